/* The daemon's own SQLite file: what must outlive the process and is not in the user's database.
 *
 * Who the database is (identity, journal nonces), tables (id, plan, progress of their load), a
 * digest of every item that DynamoDB is known to hold, writes of uncertain outcome, dead letters.
 * Writes collect in one open transaction until store_commit(); in WAL mode with synchronous=NORMAL
 * a commit is durable once the -wal file has been fdatasync'ed, which the caller does off the loop
 * (store_wal_fd()), or here by store_sync().
 *
 * One process at a time: the file beside it, PATH.lock, is locked for life and holds our pid. */
#ifndef SYNCD_STATE_STORE_H
#define SYNCD_STATE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum { STORE_DIGEST_SIZE = 16, STORE_SCHEMA_VERSION = 5 };

struct store;

/* 0; -EBUSY: another process (its pid in the sentence) has it; -EINVAL: not ours, or of a newer
 * version; other negative errno. Creates the file (mode 0600). */
int store_open(const char *path, struct store **out, struct err *err);
void store_close(struct store *s);
const char *store_path(const struct store *s);

/* Every writing function below opens the transaction when none is open, and returns 0 or -EIO /
 * -ENOSPC / -ENOMEM; after a failure the open transaction is gone (rolled back) and the caller
 * writes again what it had put since the last commit. */
int store_commit(struct store *s, struct err *err);
void store_rollback(struct store *s);
bool store_dirty(const struct store *s);
/* Commit and wait until it is durable. For start-up and one-off jobs. */
int store_sync(struct store *s, struct err *err);
/* Descriptor of the -wal file for fdatasync, or -1. Valid until store_close(). */
int store_wal_fd(struct store *s);
/* That has failed: nothing is durable before store_sync() has succeeded. */
void store_wal_unsynced(struct store *s);
/* Give page cache back to the system. */
void store_release_memory(struct store *s);
/* What SQLite said last, for messages. */
const char *store_error(const struct store *s);

/* --- names and values ------------------------------------------------------------------------- */

/* -ENOENT when there is none, -EIO when it cannot be known. Values are bytes, appended to `out`. */
int store_get(struct store *s, const char *name, struct buf *out);
int store_put(struct store *s, const char *name, const void *value, size_t n);
int store_get_int(struct store *s, const char *name, int64_t *out);
int store_put_int(struct store *s, const char *name, int64_t value);

/* --- targets and tables ----------------------------------------------------------------------- */

/* Id of a DynamoDB table by name, made when new. */
int store_target(struct store *s, const char *name, uint32_t *out);
/* What DynamoDB calls the table that was last written under that name: another table made later in
 * its place has another identity. "" when not known. -EIO when it cannot be read. */
int store_target_identity(struct store *s, uint32_t id, struct buf *out);
int store_target_identify(struct store *s, uint32_t id, const char *identity);

enum load_state {
    LOAD_ROWS,  /* rows are being sent, from `cursor` on */
    LOAD_SWEEP, /* items without a row are being deleted, from `cursor` on */
    LOAD_DONE,
    LOAD_GONE, /* the table was dropped, and what is to become of its items has become of them */
};

struct store_table {
    uint32_t id;
    char *name;        /* SQLite name */
    char *layout;      /* names of its row key's columns, which the id stands for */
    char *fingerprint; /* of the plan its items were made by */
    char *mark;        /* of the schema entries (capture_mark) */
    char *target;      /* DynamoDB table that its items are in */
    struct buf key;    /* the key of that table, in the caller's encoding */
    enum load_state load;
    struct buf cursor;
    int64_t cookie; /* schema_version the cursor belongs to */
    bool full;      /* the load sends every row, whatever the digests say */
};

void store_table_clear(struct store_table *t);
/* The youngest table of that name, or that id. -ENOENT when there is none, -EIO when it cannot be
 * known. */
int store_table_by_name(struct store *s, const char *name, struct store_table *out);
int store_table_by_id(struct store *s, uint32_t id, struct store_table *out);
/* A new id, higher than `above` and than any before. */
int store_table_new(struct store *s, const char *name, const char *layout, uint32_t above,
                    uint32_t *id);
/* An id that is not known here, but stands in the database's triggers. */
int store_table_adopt(struct store *s, uint32_t id, const char *name, const char *layout);
int store_table_save(struct store *s, const struct store_table *t);
/* Every table that is not gone. Returns how many, or negative. `fn` must not write to the store. */
typedef void store_table_fn(void *arg, const struct store_table *t);
int store_tables(struct store *s, store_table_fn *fn, void *arg);
/* And those that are. */
int store_tables_gone(struct store *s, store_table_fn *fn, void *arg);
int store_table_progress(struct store *s, uint32_t id, enum load_state load,
                         const struct buf *cursor, int64_t cookie);

/* --- digests ---------------------------------------------------------------------------------- */

/* True when there is one for the key. */
bool store_digest_get(struct store *s, uint32_t target, const void *key, size_t n,
                      uint8_t digest[STORE_DIGEST_SIZE], uint32_t *table);
/* What is kept of an item, against what there is now of it. */
enum digest_match {
    DIGEST_OTHER,     /* nothing, or another content */
    DIGEST_SAME_ITEM, /* this content, but as another row's */
    DIGEST_SAME,      /* all as store_digest_put() would write it */
};
enum digest_match store_digest_match(struct store *s, uint32_t target, const void *key, size_t n,
                                     const uint8_t digest[STORE_DIGEST_SIZE], uint32_t table,
                                     const void *row_key, size_t row_key_len);
/* Whose item it is: table id, and the row key where it is kept (appended to `row_key`). 1; 0 when
 * there is none, negative when it cannot be known. */
int store_digest_owner(struct store *s, uint32_t target, const void *key, size_t n, uint32_t *table,
                       struct buf *row_key);
/* `row_key` is kept where it cannot be read back from the remote key, or where rows may meet at one
 * key; NULL otherwise. */
int store_digest_put(struct store *s, uint32_t target, const void *key, size_t n,
                     const uint8_t digest[STORE_DIGEST_SIZE], uint32_t table, const void *row_key,
                     size_t row_key_len);
int store_digest_delete(struct store *s, uint32_t target, const void *key, size_t n);
/* An item that may be there, of which nothing is known but whose it was: a comparison looks at it.
 * What is known already stays. */
int store_digest_suspect(struct store *s, uint32_t target, const void *key, size_t n,
                         uint32_t table, const void *row_key, size_t row_key_len);
/* The same, but what is known of the item counts no more, except whose it is. */
int store_digest_doubt_item(struct store *s, uint32_t target, const void *key, size_t n,
                            uint32_t table, const void *row_key, size_t row_key_len);
/* Writes of this table's items may have been carried out unseen (they were in flight at a crash,
 * and their journal entries can no longer be read): the items are known to be there or to have
 * been, but not what they hold. */
int store_digest_doubt(struct store *s, uint32_t table); /* 0: of all */
/* The same of all that is in a target. */
int store_digest_doubt_target(struct store *s, uint32_t target);
/* Every digest of a target is void (its table was lost or made anew). */
int store_digest_clear(struct store *s, uint32_t target);
/* The same, but keys with `mark` so many bytes before their end stay, as if in doubt. */
int store_digest_clear_but(struct store *s, uint32_t target, size_t from_end, const char *mark);

/* Digests of a target behind `cursor` (a key; empty: from the start), in key order. `fn` returns
 * false to stop after that one. Returns how many were given, or negative. */
struct store_digest {
    const void *key;
    size_t key_len;
    uint32_t table;
    const void *row_key; /* NULL when not kept */
    size_t row_key_len;
};
typedef bool store_digest_fn(void *arg, const struct store_digest *d);
int store_digest_page(struct store *s, uint32_t target, const struct buf *cursor, int limit,
                      store_digest_fn *fn, void *arg);
/* All those whose key begins with `prefix`, likewise. */
int store_digest_prefix(struct store *s, uint32_t target, const struct buf *prefix,
                        store_digest_fn *fn, void *arg);
/* How many there are; negative when it cannot be known. */
int64_t store_digest_count(struct store *s, uint32_t target);
/* Of one table alone, where several share the target. Looks at all of them. */
int64_t store_digest_count_of(struct store *s, uint32_t target, uint32_t table);

/* --- suspects: keys of which a write may yet be carried out ------------------------------------
 */

struct store_suspect {
    uint32_t target;
    const void *key;
    size_t key_len;
    uint32_t table; /* the row that the write was of: its table's id, and its key (may be empty) */
    const void *row_key;
    size_t row_key_len;
    int64_t until; /* no write sent before is carried out from here on: service's time, Unix us */
};
/* Add; one that stands already keeps the later `until`, and is of the newer row. */
int store_suspect_put(struct store *s, const struct store_suspect *x);
/* A write of the key that was sent at `sent` was carried out, or the key is of no concern any more
 * (INT64_MAX). Returns 1 when a suspect went by that. Cheap when there are none. */
int store_suspect_clear(struct store *s, uint32_t target, const void *key, size_t n, int64_t sent);
/* Is the key one? What cannot be known is. Cheap when there are none. */
bool store_suspect_has(struct store *s, uint32_t target, const void *key, size_t n);
/* Negative when it cannot be known. */
int64_t store_suspect_count(struct store *s);
/* Of one table; of all, or negative, where that cannot be known. */
int64_t store_suspect_count_of(struct store *s, uint32_t table);
/* The earliest `until`, or INT64_MAX. */
int64_t store_suspect_first(struct store *s);
/* Those whose time is over by `now`, behind `after` (one of which until, target and key count), the
 * earliest first. Returns how many were given, or negative. */
typedef void store_suspect_fn(void *arg, const struct store_suspect *x);
int store_suspect_page(struct store *s, int64_t now, const struct store_suspect *after, int limit,
                       store_suspect_fn *fn, void *arg);
/* None ends before `until`. */
int store_suspect_raise(struct store *s, int64_t until);

/* --- dead letters ----------------------------------------------------------------------------- */

struct dead_letter {
    int64_t id;
    uint32_t table_id;
    const char *table, *target, *key; /* key: for people, "id=7" */
    const void *row_key;
    size_t row_key_len;
    const char *column;  /* "" when it is about the whole item */
    const char *reason;  /* stable word */
    const char *message; /* a sentence; DynamoDB's own words where it refused */
    int64_t first, last; /* Unix seconds */
    int64_t attempts;
    uint64_t serial;    /* of this process's offers: what was offered before it does not clear it; 0
                           for    one from before the start */
    uint32_t target_id; /* the key that another row has, for which this one waits; or what it awaits
                           a row by (STORE_AWAITS_ROW) … */
    const void *remote_key; /* … NULL: none */
    size_t remote_key_len;
};

/* Add, or renew what is there for the same row (first stays, attempts grow), unless that is of a
 * later serial. *is_new may be NULL. */
int store_dead_letter_put(struct store *s, const struct dead_letter *d, bool *is_new);
/* The row maps well again, or is gone, as of an offer of that serial. Returns 1 when there was one.
 * Cheap when there are none. */
int store_dead_letter_clear(struct store *s, uint32_t table_id, const void *row_key, size_t n,
                            uint64_t serial);
int store_dead_letter_delete(struct store *s, int64_t id);
/* Also true when it cannot be known. */
bool store_has_dead_letters(const struct store *s);
/* `table_id` 0: of all tables. Negative when it cannot be known. */
int64_t store_dead_letter_count(struct store *s, uint32_t table_id);
/* Ordered by id; one alone when `id` is not 0. Returns how many, or negative. */
typedef void dead_letter_fn(void *arg, const struct dead_letter *d);
int store_dead_letters(struct store *s, int64_t id, dead_letter_fn *fn, void *arg);
/* Those that wait for a key, the oldest first. */
int store_dead_letters_waiting(struct store *s, uint32_t target, const void *key, size_t n,
                               dead_letter_fn *fn, void *arg);

/* --- rows that await another row -----------------------------------------------------------------
 *
 * Dead letters whose target_id is one that no target has, and whose remote_key is what the other
 * row will be known by. When it has come they are due to be read again, until what comes of that
 * puts or clears them. */
enum store_awaiting { STORE_ROW_CAME = INT32_MAX - 1, STORE_AWAITS_ROW = INT32_MAX };
/* Their reason where they are to be counted apart from dead letters. */
#define STORE_SKIPPED "orphan_skipped"

/* Does any await a row known by this? Cheap when there are no dead letters. 1, 0 or negative. */
int store_row_awaited(struct store *s, const void *key, size_t n);
/* It came: those are due. `key` NULL: all that await one, of a table (0: of all). */
int store_row_came(struct store *s, uint32_t table_id, const void *key, size_t n);
/* Those that are due behind `after` (of which id and remote_key count; NULL: from the start), which
 * of them `fn` is told by id, table_id, row_key and remote_key alone. Returns how many, or
 * negative.
 */
int store_rows_due(struct store *s, const struct dead_letter *after, int limit, dead_letter_fn *fn,
                   void *arg);
/* Of the dead letters, those that were skipped; `table_id` 0: of all tables. */
int64_t store_skipped_count(struct store *s, uint32_t table_id);

#endif
