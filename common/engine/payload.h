/* One write on its way to DynamoDB: what was read of a row, encoded. One allocation. */
#ifndef SYNCD_ENGINE_PAYLOAD_H
#define SYNCD_ENGINE_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/blocks.h"
#include "base/clock.h"
#include "engine/track.h"
#include "mapping/item.h"

enum write_op { WRITE_PUT, WRITE_DELETE };

struct payload {
    enum write_op op;
    bool force;      /* send even if DynamoDB is known to hold the same */
    bool left;       /* the row has gone to another key: this delete says nothing of the row */
    bool part;       /* a chunk of a row that is split: its key tells which (mapping/oversize.h) */
    bool head;       /* the head of one, whose chunks are of `version` */
    bool recorded;   /* the state says of its key all that there is to say already */
    uint64_t serial; /* order of offers, given by the engine; what is offered long after it was read
                        has that of its reading already */
    uint32_t table;  /* id of the SQLite table it came from */
    uint32_t target; /* index of the DynamoDB table */
    uint32_t units;  /* write units it will cost */
    uint8_t digest[DIGEST_SIZE]; /* of json; puts only */
    uint8_t version[DIGEST_SIZE];
    usec read_at; /* monotonic */
    /* When it was sent last, in the service's time: at the earliest and at the latest, as far as
     * that can be told. Set by whoever sends it. */
    usec sent_after, sent_before;
    struct span *journal, *load; /* references, given back with payload_free() */
    const char *key;             /* canonical remote key */
    const char *row_key;         /* encoded row key (mapping/value.h) */
    const char *json;            /* the item, or the key of a delete */
    size_t key_len, row_key_len, json_len;
    struct blocks *home; /* where its memory came from; NULL: malloc() */
    size_t memory;       /* that it takes */
};

/* Are both of the same row? */
static inline bool payload_same_row(const struct payload *a, const struct payload *b)
{
    return a->table == b->table && a->row_key_len == b->row_key_len &&
           memcmp(a->row_key, b->row_key, a->row_key_len) == 0;
}

/* Memory for payloads of the usual sizes. Outlives them. */
enum { PAYLOAD_SMALL = 512, PAYLOAD_LARGE = 2048 };
struct payload_blocks {
    struct blocks small, large;
};
void payload_blocks_init(struct payload_blocks *b);
void payload_blocks_clear(struct payload_blocks *b);

/* A payload with room for the three byte strings, copied; the other fields zero. `from` may be
 * NULL. NULL: no memory. */
struct payload *payload_new(struct payload_blocks *from, enum write_op op, const struct buf *key,
                            const struct buf *row_key, const struct buf *json);
/* Gives back the span references too. NULL is fine. */
void payload_free(struct payload *p);

/* `newer` takes the place of `older` as what is to be written of a key: it keeps the older place in
 * the journal, because the journal may only be forgotten up to there, and the duty to be sent. */
void payload_inherit(struct payload *newer, struct payload *older);

static inline size_t payload_memory(const struct payload *p)
{
    return p->memory;
}

#endif
