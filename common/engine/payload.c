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

static struct blocks *blocks_for(struct payload_blocks *from, size_t size)
{
    if (!from || size > PAYLOAD_LARGE)
        return NULL;
    return size <= PAYLOAD_SMALL ? &from->small : &from->large;
}

struct payload *payload_new(struct payload_blocks *from, enum write_op op, const struct buf *key,
                            const struct buf *row_key, const struct buf *json)
{
    size_t size = sizeof(struct payload) + key->len + row_key->len + json->len;
    struct blocks *home = blocks_for(from, size);
    struct payload *p = home ? blocks_take(home) : malloc(size);

    if (!p)
        return NULL;
    char *at = (char *)(p + 1);
    *p = (struct payload){.op = op, .home = home, .memory = home ? home->size : size};
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
    if (p->home)
        blocks_give(p->home, p);
    else
        free(p);
}

void payload_blocks_init(struct payload_blocks *b)
{
    enum { SMALL_KEPT = 4096, LARGE_KEPT = 512 };

    *b = (struct payload_blocks){.small = {.size = PAYLOAD_SMALL, .most = SMALL_KEPT},
                                 .large = {.size = PAYLOAD_LARGE, .most = LARGE_KEPT}};
}

void payload_blocks_clear(struct payload_blocks *b)
{
    blocks_clear(&b->small);
    blocks_clear(&b->large);
}
