/* Rows that become several items (mapping/oversize.h), on their way.
 *
 *     read -> WAITS -> NOTED -> CHUNKS -> head offered -> written -> old chunks offered as deletes
 *               |        |         |                         |
 *               |        |         `- a chunk is refused: a dead letter, and no head
 *               |        `- the state file names them, durably: only then are they sent
 *               `- deletes of these very chunks, from when the row was other, are over first
 *
 * A head is written when each of its chunks was acknowledged; chunks that it does not name go when
 * the head was, and no older head can come any more (no write of its key is suspect). So whoever
 * reads a head finds its chunks, or a newer head. The keys of chunks are made of their contents:
 * they cannot hold anything else, only be there or not.
 *
 * How that fits the rules of engine and store:
 * - The unit stays the remote key. Chunks are writes like others, with a digest each; who owns them
 *   is kept beside it, because their key does not tell. What a head names is in its own digest.
 * - Room, order, memory: chunks that wait here count as pending (engine_reserve()), and a row is
 *   read only where there is room; in a request they are 25 of 128 KiB at most, like others.
 * - A newer read of the row takes the place of what waits here, and its place in the journal, as it
 *   does in the engine: whatever is offered for the head's key ends what waits for it. A row that
 * is smaller, gone or at another key needs no more than that: what is written at the key is what
 * the chunks are judged by.
 * - An entry of the journal, or a page of a load, is held by head, chunks and the deletes that
 *   follow; one after the other or together, until all are durable. Where there is neither, or the
 *   entry may be that of another row which had the key, what is to be deleted is suspect as soon as
 *   the head is known to be written.
 * - What may have been sent is on disk before it is sent, chunks by their keys: a row's entry does
 *   not tell which chunks a killed process was sending. After a kill each chunk that the state file
 *   names of a row is as suspect as its head, and looked at when its time is over: named by the
 * head that is there, it is written again with it; else it goes. Those names outlive the table:
 *   what was sent to the one of before may come to the one that was made anew.
 * - A chunk counts as written by its outcome alone. What could delete it (the sweep, suspects, the
 *   head of before, the end of a dropped table) looks here first, and leaves it.
 * - A parked table loses what waits here as what waits in the engine: it is read again.
 * - What came back from DynamoDB goes again as it is, head and chunks: to read the row again would
 *   be to compress it for each of them.
 * - Rows that meet at one key: a head that waits is its row's claim to the key.
 *
 * A row that is a dead letter leaves the head and chunks of what it was before, and chunks that
 * were written in vain; all go when the row is well, or gone. */
#ifndef SYNCD_MIRROR_SPLIT_H
#define SYNCD_MIRROR_SPLIT_H

#include "engine/engine.h"
#include "mapping/oversize.h"

struct mirror;
struct table_slot;
struct target_slot;

enum split_stage {
    SPLIT_WAITS,
    SPLIT_NOTED,
    SPLIT_CHUNKS,
    SPLIT_CLEANS, /* the head is written, and the state file cannot tell which chunks are to go */
};

struct split {
    struct list link; /* in mirror.splits */
    enum split_stage stage;
    uint32_t target;
    uint64_t serial;         /* of offers, when it was read */
    uint64_t flush;          /* NOTED: it is on disk with the flush of that number */
    struct payload *head;    /* CLEANS: its key and places */
    struct payload **chunks; /* NULL once they are the engine's */
    bool *written;
    unsigned count, missing; /* chunks; not yet written */
    size_t reserved;         /* bytes, of chunks that are not the engine's yet */
};

/* Whether rows that became several items were ever written there is in the state file: those that
 * are no longer split leave chunks that go when the row is well, or gone. */
void split_recall(struct mirror *m, struct target_slot *t);
/* What the tables of today say of it as well. 0 or negative. */
int split_keep(struct mirror *m, struct target_slot *t);
/* `head`, a payload like any other of the row, waits until the chunks are written; it is taken over
 * on success. 0, -EINVAL, -ENOMEM, -EIO. */
int split_begin(struct mirror *m, usec now, struct payload *head, const struct oversize *o);
/* `p` is about to be offered: what waits for its key ends, and its place is p's. */
void split_supersede(struct mirror *m, struct payload *p);
/* Nothing waits any more to be written of the key in m->key; its place in the journal is settled
 * with the next commit of the store. */
void split_cancel(struct mirror *m, uint32_t target);
/* Of a parked target. */
void split_forget(struct mirror *m, uint32_t target);
void split_free_all(struct mirror *m);
/* The one that waits for a key; NULL. And its end, its places let go of with the next commit. */
struct split *split_find(const struct mirror *m, uint32_t target, const void *key, size_t n);
void split_end(struct mirror *m, struct split *s);
/* A write of another key for the same row, with the same places. NULL: no memory. */
struct payload *split_beside(const struct payload *of, enum write_op op, const struct buf *key,
                             const struct buf *json);
/* To the engine; 0 or -ENOMEM: it is still the caller's. */
int split_offer(struct mirror *m, usec now, struct payload *p);
/* The head was written: chunks that it does not name go. 0, or negative: not all could be told. */
int split_clean(struct mirror *m, usec now, const struct payload *head);
/* Does a head wait for this chunk? What becomes of others says nothing of their row any more. */
bool split_is_awaited(const struct mirror *m, const struct payload *p);
/* It was written. Where neither an entry nor a load of its own stands for it (a suspect is sent
 * again; it has waited for another row's key), what is to go after it is so little known after a
 * kill or a stop that it is suspect from now on. 0, -ENOMEM, -EIO. */
int split_remember(struct mirror *m, const struct payload *p);
/* What became of a write, after it was noted. */
void split_outcome(struct mirror *m, usec now, enum action_kind kind, const struct payload *p);
/* The state file is durable with all that was noted before the flush; and at each turn. */
void split_turn(struct mirror *m, usec now);
/* Does something wait for the next flush? */
bool split_wants_flush(const struct mirror *m);

/* The newest write of a key that waits here, is pending or in flight, until the next step; NULL. */
const struct payload *split_newest(const struct mirror *m, uint32_t target, const void *key,
                                   size_t n);
bool split_has(const struct mirror *m, uint32_t target, const void *key, size_t n);
/* Serial of the oldest one of a target that is not settled, as engine_oldest(). */
uint64_t split_oldest(const struct mirror *m, uint32_t target);

/* Is a chunk one that the head names which is there? */
enum split_verdict {
    CHUNK_WANTED,
    CHUNK_UNWANTED,
    CHUNK_HEADLESS, /* nor is a head known, which a killed process may have written all the same:
                       that goes first, and the chunk after it */
    CHUNK_BUSY,     /* its head is being written, or suspect: ask later */
    CHUNK_UNKNOWN,  /* what is there of its row is not known, or not as the row is: a change of the
                       row is on its way, or it is a dead letter. It stays until that is settled */
};
struct judged {
    struct buf key; /* of a head; "": none */
    uint32_t target, table;
    struct buf row_key;
    enum split_verdict verdict; /* CHUNK_WANTED: those of `version` are */
    uint8_t version[DIGEST_SIZE];
    unsigned count;
};
/* Inside a read transaction. Of a chunk that is wanted, or unwanted where there is a row, *table
 * and `row_key` say whose it is. Of one without a head that could be known split_judged_head() has
 * the head's key, until the next is judged. */
enum split_verdict split_judge(struct mirror *m, uint32_t target, const void *key, size_t n,
                               uint32_t *table, struct buf *row_key);
const struct buf *split_judged_head(const struct mirror *m);
/* What was judged may have changed. */
void split_judge_anew(struct mirror *m);
/* Chunks that the state file names of the head in `key`, by their keys: 0 or -ENOMEM, -EIO. */
typedef int split_chunk_fn(struct mirror *m, void *arg, const struct buf *chunk_key);
int split_chunks(struct mirror *m, uint32_t target, const struct buf *key, split_chunk_fn *fn,
                 void *arg);

#endif
