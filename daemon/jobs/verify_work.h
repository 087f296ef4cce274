/* What a comparison must remember, in a file: whose items it has met, which keys are to be looked
 * at again, which changes wait in the journal, what is to be mended. Memory is that of a page cache
 * whatever the number of items; the file is SQLite's own temporary one, gone with the process. */
#ifndef SYNCD_DAEMON_JOBS_VERIFY_WORK_H
#define SYNCD_DAEMON_JOBS_VERIFY_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct work;

/* `dir`: where the file may be; a directory that cannot be written leaves the choice to SQLite
 * (TMPDIR, /var/tmp). 0, or -EIO with a sentence. Every function below returns 0 or -EIO. */
int work_open(const char *dir, struct work **out, struct err *err);
void work_close(struct work *w); /* NULL is fine */
/* Forget what is about one DynamoDB table: begin with another. */
int work_reset(struct work *w);
/* What SQLite said last. */
const char *work_error(const struct work *w);

/* Canonical keys of items that have a row, by a 64-bit digest of them: first all are added, then
 * they are asked for. */
int work_meet(struct work *w, const void *key, size_t n);
int work_met(struct work *w, const void *key, size_t n, bool *yes);
/* Canonical keys of rows that may meet at one: *yes when another row came with it before. */
int work_claim(struct work *w, const void *key, size_t n, bool *yes);

/* A key to look at again, once each. A later `row` (encoded row key; may be empty) of a `sure` one
 * takes the place of an earlier. */
struct work_key {
    const void *key, *row;
    size_t key_len, row_len;
    unsigned table;
};
int work_suspect(struct work *w, const struct work_key *k, bool sure);
int work_clear(struct work *w, const void *key, size_t n);
int64_t work_suspects(struct work *w); /* negative: it failed */
/* At most `limit` behind `after` (a key; empty: from the first), in the order of keys, appended as
 * packed work_keys: see work_next(). Returns how many, or -EIO. */
int work_page(struct work *w, const struct buf *after, int limit, struct buf *out);
/* The next of those in `page`: false at the end. The pointers are into `page`. */
bool work_next(const struct buf *page, size_t *at, struct work_key *out);

/* Keys of changes that may not have arrived. */
int work_wait_for(struct work *w, const void *key, size_t n);
int work_waits(struct work *w, const void *key, size_t n, bool *yes);
int work_forget_waiting(struct work *w);

/* What is to be mended, over all DynamoDB tables. */
int work_mend(struct work *w, const struct work_key *k, bool extra);
/* As work_page(), of one table and kind, in the order in which they were put in behind *serial. */
int work_mends(struct work *w, unsigned table, bool extra, int limit, int64_t *serial,
               struct buf *out);

#endif
