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

/* A page of a load need not be kept where what replaced it stands in the journal, or in a later
 * page, until it is settled. */
void payload_inherit(struct payload *newer, struct payload *older)
{
    struct span *kept = older->journal;

    if (!newer->journal && !newer->load) {
        newer->load = older->load;
        older->load = NULL;
    }
    /* Spans of two tracks cannot stand for one another: then the newer read counts, whose entry
     * would be read again. */
    if (kept && (!newer->journal || newer->journal->track == kept->track)) {
        span_unref(newer->journal);
        newer->journal = kept;
        older->journal = NULL;
    }
    newer->force |= older->force;
    if (older->read_at < newer->read_at && newer->journal)
        newer->read_at = older->read_at;
}

void payload_free(struct payload *p)
{
    if (!p)
        return;
    span_unref(p->journal);
    span_unref(p->load);
    free(p);
}
