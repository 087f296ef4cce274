#include "engine/payload.h"

#include <stdlib.h>

struct payload *payload_new(enum write_op op, const struct buf *key, const struct buf *row_key,
                            const struct buf *json)
{
    struct payload *p = calloc(1, sizeof *p + key->len + row_key->len + json->len);

    if (!p)
        return NULL;
    char *at = (char *)(p + 1);
    p->op = op;
    p->key = memcpy(at, key->data, key->len);
    p->key_len = key->len;
    at += key->len;
    p->row_key = memcpy(at, row_key->data, row_key->len);
    p->row_key_len = row_key->len;
    at += row_key->len;
    p->json = memcpy(at, json->data, json->len);
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
