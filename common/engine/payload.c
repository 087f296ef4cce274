#include "engine/payload.h"

#include <stdlib.h>

/* Copy to *at and move past it. An empty buffer may have no bytes at all. */
static const char *place(char **at, const struct buf *b)
{
    char *start = *at;

    if (b->len)
        memcpy(start, b->data, b->len);
    *at += b->len;
    return start;
}

struct payload *payload_new(enum write_op op, const struct buf *key, const struct buf *row_key,
                            const struct buf *json)
{
    struct payload *p = calloc(1, sizeof *p + key->len + row_key->len + json->len);

    if (!p)
        return NULL;
    char *at = (char *)(p + 1);
    p->op = op;
    p->key = place(&at, key);
    p->key_len = key->len;
    p->row_key = place(&at, row_key);
    p->row_key_len = row_key->len;
    p->json = place(&at, json);
    p->json_len = json->len;
    return p;
}

void payload_free(struct payload *p)
{
    if (!p)
        return;
    span_unref(p->journal);
    span_unref(p->load);
    free(p);
}
