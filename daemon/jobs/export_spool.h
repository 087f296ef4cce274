/* Where records wait until all are there: a SQLite database in a temporary file without a name
 * ($SQLITE_TMPDIR, $TMPDIR, else /var/tmp), which is gone with the process, however that ends. */
#ifndef SYNCD_DAEMON_JOBS_EXPORT_SPOOL_H
#define SYNCD_DAEMON_JOBS_EXPORT_SPOOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "export/convert.h"

struct spool;

/* `tables` are numbered from 0. 0 or a negative errno with a sentence, as everywhere here (-ENOSPC:
 * the disk of the temporary file is full). */
int spool_open(size_t tables, struct spool **out, struct err *err);
void spool_close(struct spool *s);

struct spool_bytes {
    const char *at; /* NULL: none */
    size_t n;
};

struct spool_record {
    int64_t id;                    /* from 1, of its table; set by spool_add() */
    struct spool_bytes key;        /* primary key */
    struct spool_bytes item;       /* the item's key, for people */
    struct spool_bytes line;       /* what is written */
    struct spool_bytes attributes; /* JSON, for a later comparison */
};

/* Copied. */
int spool_add(struct spool *s, size_t table, struct spool_record *r, struct err *err);
/* What the record just added refers to with one of its columns. */
int spool_add_reference(struct spool *s, size_t table, int64_t id, size_t column,
                        const struct spool_bytes *key, struct err *err);
/* Something is wrong with an item; with a record `id` (0: none came of it), which is left then. */
int spool_problem(struct spool *s, size_t table, int64_t id, enum export_problem kind,
                  const char *item, const char *reason, struct err *err);

/* Once everything was added; before what follows. */
int spool_complete(struct spool *s, struct err *err);
/* Records that share a primary key are problems but for the first by its item's key. */
int spool_check_duplicates(struct spool *s, size_t table, struct err *err);
/* So are records that refer to none of `parent` that is left. */
int spool_check_references(struct spool *s, size_t table, size_t column, size_t parent,
                           const char *parent_name, struct err *err);
/* Of a column that refers to its own table: spool_next() then gives what is referred to first.
 * Records that refer to each other in a circle come last. */
int spool_order(struct spool *s, size_t table, size_t column, struct err *err);

/* Records that nothing is wrong with, in order: 1 with the next, borrowed until the next call; 0 at
 * the end; or a negative errno. spool_rewind() begins with a table. */
int spool_rewind(struct spool *s, size_t table, struct err *err);
int spool_next(struct spool *s, struct spool_record *out, struct err *err);
/* The one of that primary key that nothing is wrong with: 1, 0 or a negative errno. */
int spool_find(struct spool *s, size_t table, const struct spool_bytes *key,
               struct spool_record *out, struct err *err);
int spool_count(struct spool *s, size_t table, int64_t *out, struct err *err);
/* The highest id. */
int64_t spool_last(const struct spool *s, size_t table);

/* Problems in the order of tables and items. */
typedef void spool_problem_fn(void *arg, size_t table, enum export_problem kind, const char *item,
                              const char *reason);
int spool_problems(struct spool *s, size_t limit, spool_problem_fn *fn, void *arg, struct err *err);
int64_t spool_problem_count(const struct spool *s, size_t table, enum export_problem kind);

#endif
