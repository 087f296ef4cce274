/* References to rows that do not exist (source/references.h): per foreign key, which rows hold one,
 * whether its table is to leave such rows out or not. The row it names is looked for in SQLite,
 * whether its table is mirrored or not. The database is only read, a page of rows at a time, and
 * memory does not grow with it. */
#ifndef SYNCD_DAEMON_JOBS_ORPHANS_H
#define SYNCD_DAEMON_JOBS_ORPHANS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "jobs/plan_list.h"
#include "mapping/value.h"
#include "source/references.h"

enum { ORPHAN_KEYS = 3 };

/* One foreign key of a mirrored table. Texts are borrowed from `declared` below. */
struct orphan_reference {
    size_t plan;             /* index into the plan list */
    const char *columns;     /* "user_id" or "a, b", as the schema names them */
    const char *parent;      /* the table that it refers to */
    const char *note;        /* why it cannot be judged, a sentence; NULL: it can */
    bool left_out;           /* such rows are, by the table's setting */
    const char *unheeded;    /* or are not, though the table says so: a sentence; NULL */
    int64_t rows;            /* of the table, whose reference leads nowhere */
    char *keys[ORPHAN_KEYS]; /* the first of them, for people: "id=7" */
};

struct orphans {
    struct source *source;         /* borrowed */
    const struct plan_list *plans; /* borrowed */
    struct references declared;
    struct orphan_reference *references; /* in the same order */
    size_t count;
};

/* 0, -EIO or -ENOMEM with a sentence. orphans_close() what it has made, also after a failure. */
int orphans_open(struct source *source, const struct plan_list *plans, struct orphans *out,
                 struct err *err);
void orphans_close(struct orphans *o);
/* Let go of the source, which may then be closed; what was found stays. */
void orphans_leave(struct orphans *o);

/* One row of the plan `plan` (values in the plan's order): its references that lead nowhere are
 * counted, and told to `fn` unless it is NULL. How many there are; -EIO or -ENOMEM. */
typedef void orphan_fn(void *arg, const struct orphan_reference *r, const struct value *row);
int orphans_row(struct orphans *o, size_t plan, const struct value *row, orphan_fn *fn, void *arg);

/* Every row of every table. 0, -EIO or -ENOMEM with a sentence. `source` is not inside a
 * transaction. */
int orphans_find(struct orphans *o, orphan_fn *fn, void *arg, struct err *err);

/* "user_id=3" of a row, for people. */
void orphans_describe(const struct orphans *o, const struct orphan_reference *r,
                      const struct value *row, struct buf *out);

#endif
