/* The journal: reading entries in order, and taking out what is settled. */
#ifndef SYNCD_SOURCE_JOURNAL_H
#define SYNCD_SOURCE_JOURNAL_H

#include "mapping/value.h"
#include "source/capture.h"

struct journal {
    struct source *source;       /* borrowed */
    unsigned keys;               /* k columns */
    uint8_t id[CAPTURE_ID_SIZE]; /* of the database, for sentinels; set by the owner */
    sqlite3_stmt *read, *read_table, *head, *tail;
    usec locked; /* how long the last journal_ack() held the write lock */
};

struct journal_entry {
    int64_t seq;
    uint32_t table; /* 0: a sentinel */
};

/* Prepares statements; an SQLite result code. */
int journal_open(struct source *s, unsigned keys, struct journal **out);
void journal_close(struct journal *j);

/* A statement over entries with seq > after, in order, at most `limit`; of one table alone and up
 * to `until` when `table` is not 0. Step with journal_next() (SQLITE_ROW, SQLITE_DONE or an error),
 * end with rows_end(). */
sqlite3_stmt *journal_entries(struct journal *j, int64_t after, int limit, uint32_t table,
                              int64_t until);
int journal_next(sqlite3_stmt *entries, struct journal_entry *out);
/* k0…k(n-1) of the entry at hand, encoded (mapping/value.h) onto `out`. */
void journal_key(sqlite3_stmt *entries, unsigned n, struct buf *out);

/* The first row as it is now: its seq, and whether it is a sentinel, with its nonce. SQLITE_ROW;
 * SQLITE_DONE when the journal is empty. */
struct journal_head {
    int64_t seq;
    bool sentinel;
    uint8_t nonce[CAPTURE_NONCE_SIZE];
};
int journal_head(struct journal *j, struct journal_head *out);
/* Highest seq; SQLITE_DONE when the journal is empty. */
int journal_max(struct journal *j, int64_t *max_seq);

/* Write an entry, as a trigger would: within a transaction of the caller's. An SQLite result code.
 */
int journal_add(struct journal *j, uint32_t table, const struct value *entry, size_t n);

/* Take out entries with seq <= upto, about a thousand in one short transaction, and put the
 * sentinel with `nonce` in their place. *acked is where the sentinel stands now; it never moves
 * back. SQLITE_BUSY at once when somebody else writes. Whenever the lock was got, j->locked says
 * how long it was held. `is_ours` (may be NULL) is asked under the lock whether this is still the
 * journal that was read; SQLITE_ABORT when not. */
typedef bool journal_check(void *arg);
int journal_ack(struct journal *j, int64_t upto, const uint8_t nonce[CAPTURE_NONCE_SIZE],
                journal_check *is_ours, void *arg, int64_t *acked);

#endif
