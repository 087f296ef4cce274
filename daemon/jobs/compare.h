/* Rows of the database against items: for jobs that look at both sides. The database is opened as
 * the daemon opens it, and read in transactions of milliseconds. */
#ifndef SYNCD_DAEMON_JOBS_COMPARE_H
#define SYNCD_DAEMON_JOBS_COMPARE_H

#include <jansson.h>

#include "config/config.h"
#include "jobs/plan_list.h"
#include "mapping/item.h"
#include "source/journal.h"
#include "source/references.h"
#include "source/rows.h"

struct compared_table {
    const char *name;              /* of the catalog */
    const struct table_plan *plan; /* of the list */
    struct rows *rows;
    uint32_t id; /* of its capture; 0: it has none */
};

struct compared {
    struct source *source;
    struct journal *journal; /* NULL: there is none */
    struct plan_list plans;
    struct compared_table *tables; /* those that are mirrored, but for the canary's */
    size_t count;
    int64_t schema_version;
    struct value *values; /* as many as the widest plan has */
    struct references references;
};

/* 0, -EINVAL (a table that is shared by plans that do not go together), -EIO, -ENOMEM; with a
 * sentence. compared_close() in any case. */
int compared_open(const struct config *c, struct compared *out, struct err *err);
void compared_close(struct compared *x);
/* NULL with a sentence that says why there is none. */
struct compared_table *compared_find(struct compared *x, const char *name, struct err *err);

/* Around reading: begins when nobody is in the midst of a commit, and sees that the schema is still
 * the one that was planned for. 0, -EIO with a sentence. */
int compared_begin(struct compared *x, struct err *err);
void compared_end(struct compared *x);
/* What an SQLite result code means: -EIO with a sentence. */
int compared_failed(struct compared *x, int sqlite_rc, const char *doing, struct err *err);

/* The row that has this canonical key: by the key itself, else by what the item (may be NULL) says
 * of its row, else by `row` (an encoded row key; may be empty). SQLITE_ROW with t->rows->values
 * until rows_end(t->rows->lookup); SQLITE_TOOBIG: it is there and cannot be read; SQLITE_DONE; or
 * an error. */
int compared_row(struct compared *x, struct compared_table *t, const struct buf *key,
                 const json_t *item, const struct buf *row);

/* Is the row at hand of `t` left out, for want of a row that it refers to (orphans = skip or
 * dead-letter)? 1, with that said in `why` (may be NULL); 0; -EIO or -ENOMEM with a sentence. */
int compared_left_out(struct compared *x, const struct compared_table *t, struct buf *why,
                      struct err *err);

/* The key of the item that a row has, of which this is the key or that of a chunk
 * (mapping/oversize.h): `key` itself, or `head`, which is set then. NULL: no memory. */
const struct buf *compared_head(const struct buf *key, struct buf *head);

/* The item with this key (its own, or a chunk's) that the row at hand maps to, to be json_decref'd;
 * NULL: the row makes no item with that key. 0, -EINVAL with the fault, -ENOMEM. */
int compared_item(const struct compared_table *t, const struct buf *key, json_t **out,
                  struct item_fault *fault);
/* Keys of the chunks of the row at hand, whose own key is `key`: each appended to `keys`, and where
 * it ends to `ends` (size_t). 0, also where it has none or cannot be an item; -ENOMEM. */
int compared_chunks(const struct compared_table *t, const struct buf *key, struct buf *keys,
                    struct buf *ends);

/* Are the items the same, a compressed one by what is in it? */
bool compared_same(const json_t *item, const json_t *should);

#endif
