/* What a table's rows refer to: the foreign keys that SQLite's schema declares (PRAGMA
 * foreign_key_list), and whether the row is there that a reference names. SQLite itself checks none
 * of them where `PRAGMA foreign_keys` is off, as it is by default.
 *
 * A reference counts when its columns are all mirrored and none of them is NULL; the row it names
 * is looked for in SQLite, by the other table's affinity and collation, as SQLite's own check has
 * it. */
#ifndef SYNCD_SOURCE_REFERENCES_H
#define SYNCD_SOURCE_REFERENCES_H

#include "base/buf.h"
#include "mapping/plan.h"
#include "mapping/value.h"
#include "source/source.h"

struct catalog;

enum { REFERENCE_COLUMNS = 16 };

/* One foreign key of a mirrored table. */
struct reference {
    const struct table_plan *child;  /* borrowed */
    const struct table_plan *parent; /* borrowed; NULL: it is not mirrored, or not there */
    char *columns;                   /* "user_id" or "a, b", as the schema names them */
    char *parent_name;               /* the table that it refers to */
    char *note;                      /* why it cannot be judged, a sentence; NULL: it can */
    char *unheeded;                  /* why no row is left out for it, a sentence; NULL: it is */
    size_t at[REFERENCE_COLUMNS];    /* its columns in the child's plan, */
    size_t parent_at[REFERENCE_COLUMNS]; /* and those that they name in the parent's, if heeded */
    size_t count;
    char *sql;            /* NULL: the table that it refers to does not exist */
    sqlite3_stmt *exists; /* made when it is first needed */
};

struct references {
    struct source *source; /* borrowed; NULL: let go of */
    struct reference *list;
    size_t count;
};

/* Those of the plans, which are `count`; NULL among them are none. All of the plans' tables are in
 * the catalog. An SQLite result code; references_close() what it has made, also after a failure. */
int references_read(struct source *s, const struct catalog *c,
                    const struct table_plan *const *plans, size_t count, struct references *out);
void references_close(struct references *r);
/* Statements go, what is known stays; the next question makes them anew, of this source. */
void references_attach(struct references *r, struct source *s);

/* Does the row (values in the order of the child's plan) refer to a row that is not there? 1, 0, or
 * negative: -ENOMEM, -EIO. `r->note` is NULL. */
int reference_leads_nowhere(struct references *all, struct reference *r, const struct value *row);
/* The first heeded reference of a row of this plan that leads nowhere; NULL and *rc 0: none. */
struct reference *references_missing(struct references *all, const struct table_plan *child,
                                     const struct value *row, int *rc);

/* What a reference of a child (its values) and the row that it names (its own) have in common,
 * appended: values that SQLite takes for equal give the same bytes. Others may, too. */
void reference_key(const struct reference *r, const struct value *row, bool parent,
                   struct buf *out);
/* "user_id=3", for people. */
void reference_describe(const struct reference *r, const struct value *row, struct buf *out);

#endif
