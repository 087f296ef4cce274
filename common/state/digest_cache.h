/* The state file's digests, block by block: each row of digest_block holds a run of neighbouring
 * keys of one target, from its key `k` up to that of the next row, in a packed blob
 * (digest_block.h).
 *
 * A table with integer ids, whose b-tree carries rows on its leaves alone, and an index of (g, k)
 * beside it: in a WITHOUT ROWID table blocks would stand on interior pages too, four to a page, and
 * one that outgrew a quarter of a page would spill (https://www.sqlite.org/fileformat2.html, 1.6).
 *
 * Blocks in use are kept here, changed in memory, and written when there are too many of them and
 * before the transaction is committed. Reading never writes: it drops blocks that were not changed.
 * A block that is handed out holds until the next call here; whatever returns a failure of a write
 * has taken the transaction back and emptied the cache. */
#ifndef SYNCD_STATE_DIGEST_CACHE_H
#define SYNCD_STATE_DIGEST_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "state/digest_block.h"

struct store;

enum {
    CACHE_SLOTS = 1024,
    CACHE_DIRTY = 900, /* so many changed at most: there is always one to drop */
    CACHE_BYTES = 1536 * 1024,
    /* What a block may grow to before it is cut up, which is done when it is written at the latest:
     * keys come in their order, but the requests that bring them overtake each other. */
    CACHE_BLOCK = 4 * DIGEST_BLOCK_FULL,
    CACHE_SHARE = 2,    /* so many blocks share what is too much for one */
    CACHE_PIECES = 80,  /* far more than one that is cut up makes */
    CACHE_SPARE = 4096, /* memory of one that was dropped serves the next, up to this size */
};

/* Where the block's range ends. What is known may be short of the end after blocks behind it have
 * gone, and is then found out anew; it is never past it. */
enum upto { UPTO_UNKNOWN, UPTO_KEY, UPTO_END };

struct digest_slot {
    uint32_t target;
    struct buf from, end; /* the range's first key, empty for a target's first block; and its end */
    uint64_t from_head, end_head; /* digest_key_head() */
    enum upto upto;
    int64_t id, stored;     /* in the file: its row (0: none), how many entries that has, */
    size_t stored_bytes;    /* and in how many bytes */
    size_t weight;          /* bytes of memory */
    size_t last;            /* place of the entry that was put last, or SIZE_MAX */
    size_t seen;            /* place of what was looked for last */
    unsigned put, in_order; /* entries put, and those of them that came behind the one before */
    bool dirty, used;
    struct digest_block block;
};

/* Who looks: the keys that are read and those that are written are each near the one before. */
enum digest_recent { DIGEST_LOOKS, DIGEST_PUTS, DIGEST_RECENT };

struct digest_cache {
    struct digest_slot *slots[CACHE_SLOTS + CACHE_PIECES]; /* by target and range */
    struct digest_slot *spare;
    struct sqlite3_blob *writer; /* open while many are written */
    size_t count, dirty, hand, bytes;
    struct digest_slot *recent[DIGEST_RECENT]; /* where the next one may well be, or NULL */
};

/* The block whose range the key is in. 1; 0 when there is none; negative when it cannot be read. */
int digests_find(struct store *s, enum digest_recent who, uint32_t target, const void *key,
                 size_t n, struct digest_slot **out);
/* A new one, for a key that has none: it is below all of its target. */
int digests_new(struct store *s, uint32_t target, struct digest_slot **out);
/* Find out where its range ends. */
int digests_find_end(struct store *s, struct digest_slot *slot);
/* The first range of the target that begins behind `key`, which is replaced by its first key. 1; 0
 * when there is none. */
int digests_next(struct store *s, uint32_t target, struct buf *key);

/* The slot's block was changed; by an entry put at that place; by one that was removed. It may be
 * gone after. */
int digests_changed(struct store *s, struct digest_slot *slot);
int digests_grown(struct store *s, struct digest_slot *slot, size_t at);
int digests_shrunk(struct store *s, struct digest_slot *slot);

/* Everything that was changed is written. */
int digests_write(struct store *s);
/* Before a transaction ends. */
void digests_end_writing(struct store *s);
/* What is kept here of a target, or of all, counts no more. */
void digests_forget(struct store *s, uint32_t target);
void digests_void(struct store *s);
/* Memory is given back, but for what was changed. */
void digests_release(struct store *s);

/* Version 4 kept a row a key. Within a transaction, with the statements that make the new tables;
 * an SQLite result code. */
int digests_upgrade(struct store *s, const char *tables);

#endif
