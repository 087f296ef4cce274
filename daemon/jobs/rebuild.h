/* A database made again of its schema dump (source/schema_dump.h) and of items: the part of
 * `restore` that needs no network.
 *
 * The file is made with the tables alone; rows come in with rebuild_item(), in transactions that
 * also hold how far the caller's reading is, so that a process that is killed goes on where it
 * committed last; rebuild_finish() adds indexes, views and triggers and checks the whole. Plans are
 * made by the same code as the daemon's, of the same schema and the recorded mapping.
 *
 * Each row is read back as SQLite holds it, mapped to an item again, and compared with the item
 * that it came from: that proves it value for value, as far as the mapping keeps values.
 *
 * What of ours is in the file until the end is named _syncd_restore…. Nothing here waits, but for
 * the disk. Functions return 0 or a negative errno with a sentence; -ENOSPC: the disk is full, and
 * what was committed stays. */
#ifndef SYNCD_DAEMON_JOBS_REBUILD_H
#define SYNCD_DAEMON_JOBS_REBUILD_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "config/config.h"
#include "mapping/plan.h"
#include "source/schema_dump.h"

struct rebuild;

struct rebuild_table {
    const char *name;
    const struct table_plan *plan; /* NULL: it is not mirrored, and stays empty */
    const char *reason;            /* then why; else NULL */
    bool wanted;                   /* its rows are to come back */
    int64_t rows;                  /* put in */
    int64_t failed;                /* could not be */
    int64_t altered;               /* in, but not what their item says: see rebuild_problem */
};

/* One row that could not be put in, or is not what its item says. Strings live during the call. */
typedef void rebuild_problem_fn(void *arg, const char *table, const char *key, const char *reason,
                                bool altered);

enum rebuild_outcome {
    REBUILD_ROW,
    REBUILD_FAILED,   /* of ours, but it could not be put in */
    REBUILD_FOREIGN,  /* no table of this database makes such an item */
    REBUILD_UNWANTED, /* of a table that was not asked for */
};

struct rebuild_options {
    const char *path;
    const struct schema_dump *dump; /* outlives the rebuild */
    const char *version;            /* of the dump */
    const char *const *tables;      /* whose rows are wanted; none: all */
    size_t table_count;
    bool anew; /* takes up nothing */
};

/* Makes the file, or takes up one that was begun of the same dump for the same tables (*resumed);
 * one begun of another is made anew. -EINVAL: the dump cannot be used, or a table of `tables` is
 * none of its. */
int rebuild_open(const struct rebuild_options *o, struct rebuild **out, bool *resumed,
                 struct err *err);
/* Rolls back what is not committed; the file stays. */
void rebuild_close(struct rebuild *r);

size_t rebuild_table_count(const struct rebuild *r);
const struct rebuild_table *rebuild_table(const struct rebuild *r, size_t i);
/* DynamoDB tables that hold wanted rows, each once. NULL past the last. */
const char *rebuild_target(const struct rebuild *r, size_t i);
/* Say of each wanted table what cannot come back, a sentence each. */
typedef void rebuild_loss_fn(void *arg, const char *sentence);
void rebuild_losses(const struct rebuild *r, rebuild_loss_fn *fn, void *arg);

/* Put in what an item of that DynamoDB table is. Opens a transaction when none is open. Negative
 * only when the file cannot be written, or there is no memory. */
int rebuild_item(struct rebuild *r, const char *target, const json_t *item,
                 enum rebuild_outcome *outcome, struct err *err);

/* Of an item that cannot be put in at once (its chunks are still to be read): its key, to be kept
 * until it can. In the same transaction as the rows around it. */
int rebuild_put_off(struct rebuild *r, const char *target, const json_t *item, struct err *err);
/* One of those, as JSON for GetItem; an empty `key` when there are no more. */
int rebuild_next_put_off(struct rebuild *r, const char *target, struct buf *key, struct err *err);
/* It is dealt with: nothing more, or, where `reason` is not NULL, it cannot come back. */
int rebuild_put_off_done(struct rebuild *r, const char *target, const char *key, const char *reason,
                         struct err *err);
/* An item of a table of ours that cannot come back. */
int rebuild_damaged(struct rebuild *r, const char *target, const char *key, const char *reason,
                    struct err *err);
const struct key_schema *rebuild_schema(const struct rebuild *r, const char *target);

/* How far reading is: `segments` of a target, and for each its last key (JSON, "" at the
 * beginning). To be set in the transaction of the rows before it. */
int rebuild_set_progress(struct rebuild *r, const char *target, unsigned segments, unsigned segment,
                         const char *last_key, bool done, struct err *err);
typedef void rebuild_progress_fn(void *arg, unsigned segments, unsigned segment,
                                 const char *last_key, bool done);
int rebuild_progress(struct rebuild *r, const char *target, rebuild_progress_fn *fn, void *arg,
                     struct err *err);
int rebuild_commit(struct rebuild *r, struct err *err);

struct rebuild_check {
    char integrity[400];  /* "ok", or what PRAGMA integrity_check says first */
    int64_t foreign_keys; /* rows whose parent is not there */
    int64_t missing;      /* rows that were put in and are not there: 0, or something is broken */
    size_t unmade;        /* objects that could not be made */
};
/* An index, view, trigger or table that could not be made: a sentence. */
typedef void rebuild_unmade_fn(void *arg, const char *sentence);
/* The rest of the schema, sequences, pragmas, the checks; takes out what of ours is in the file.
 * The file is closed and durable afterwards, whatever the checks say. */
int rebuild_finish(struct rebuild *r, struct rebuild_check *out, rebuild_unmade_fn *unmade,
                   void *arg, struct err *err);

/* The problems that are recorded, at most `limit` of each table. */
int rebuild_problems(struct rebuild *r, int limit, rebuild_problem_fn *fn, void *arg,
                     struct err *err);

#endif
