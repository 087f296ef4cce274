/* Between the files of the import job. */
#ifndef SYNCD_DAEMON_JOBS_IMPORT_INTERNAL_H
#define SYNCD_DAEMON_JOBS_IMPORT_INTERNAL_H

#include <sqlite3.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/map.h"
#include "import/reader.h"
#include "import/record.h"
#include "import/value.h"
#include "jobs/import.h"
#include "source/catalog.h"
#include "source/source.h"

/* --- files (import_files.c) ------------------------------------------------------------------- */

struct import_file {
    char *path;
    char *name;  /* by which --table's patterns and tables are told: the path below its directory */
    char *table; /* as it was said, or by its name; NULL: to be told by the name */
    bool said;   /* by --table */
    bool from_directory;
    int64_t size;
};

struct import_files {
    struct import_file *items;
    size_t count;
};

/* All files that are meant, in order of their names below a directory. 0; -EINVAL or another
 * negative errno with a sentence. */
int import_files_find(const struct import_request *q, struct import_files *out, struct err *err);
void import_files_free(struct import_files *f);
void import_files_drop(struct import_files *f, size_t i);
/* The table's name as a file's name says it: "chat-messages" of "data/chat-messages.jsonl.gz". */
void import_files_stem(const char *name, struct buf *out);
/* Are the two names the same but for case, and "_", "-" and " "? */
bool import_same_name(const char *a, const char *b);

/* --- a table (import_target.c, import_rows.c) ------------------------------------------------- */

enum import_outcome {
    ROW_IMPORTED,
    ROW_UNCHANGED, /* there already, with these values */
    ROW_SKIPPED,   /* there already, --existing skip */
    ROW_REFUSED,   /* with a reason */
    ROW_ORPHAN,    /* refused because a row that it refers to is not there (yet), with a reason */
};

struct target_counts {
    int64_t read, imported, unchanged, skipped, refused;
};

/* A field's name as it was met, and the column that it goes to. */
struct target_name {
    struct map_node node;
    struct target_name *next; /* all of a target */
    long column;              /* -1: none */
    int rank;                 /* 0 told by --map, 1 the very name, 2 but for case, 3 loosely */
    bool left_out;            /* on purpose, by --map FIELD= */
    int64_t ignored;          /* records whose field went nowhere */
    char text[];
};

struct target_path {
    const char *path; /* borrowed from the request's text */
    size_t column;
};

struct target_statement;

struct target {
    struct source *source;         /* borrowed */
    const struct table_info *info; /* borrowed from the catalog */
    const struct import_request *request;
    struct import_conversion **conversions; /* by column; NULL: none */
    struct map names;
    struct target_name *all_names, *last_name; /* in the order in which they were met */
    size_t name_count;
    struct target_path *paths;
    size_t path_count;
    struct target_cell *cells; /* by column: where its value comes from in the record at hand */
    struct target_statement *statements;
    unsigned statement_count, clock;
    sqlite3_stmt **parents; /* by foreign key: is the row there? */
    struct target_foreign *foreign;
    size_t foreign_count;
    struct conversion uuid;
    bool cyclic;   /* refers to itself, or to a table that comes after it */
    bool deferred; /* some foreign key of the database may be */
    bool created;
    struct target_counts counts, committed;
    struct buf store, scratch, text;
};

struct target_foreign {
    char *parent;
    size_t *columns; /* of the child */
    char **to;       /* of the parent; NULL: its key */
    size_t count;
};

/* 0; -EINVAL with a sentence (a mapped column that there is not); -ENOMEM, -EIO. */
int target_open(struct source *s, const struct table_info *info, const struct import_request *q,
                struct target **out, struct err *err);
void target_close(struct target *t); /* NULL is taken */

/* How often which field went nowhere, as import_counts() has it. */
void target_take_left_out(struct target *t, const json_t *fields);

struct target_record {
    const struct record *fields;
    const char *text; /* of the record */
    size_t len;
    const char *key; /* JSON text; NULL: none */
    size_t key_len;
    enum dialect dialect;
};

/* Where each column's value comes from. 0 or -EINVAL with a clause. (import_target.c) */
int target_match(struct target *t, const struct target_record *r, struct err *err);

enum cell_kind { CELL_NONE, CELL_FIELD, CELL_KEY, CELL_UUID };
struct target_cell {
    enum cell_kind kind;
    int rank;
    const char *value; /* JSON text */
    size_t len;
    struct target_name *name;
};

/* Within a transaction. ROW_REFUSED and ROW_ORPHAN leave a reason in `err`; a negative errno when
 * the database cannot go on (with a sentence). */
int target_put(struct target *t, const struct target_record *r, enum import_outcome *out,
               struct err *err);

/* --- foreign keys (import_order.c) ------------------------------------------------------------ */

/* The tables' foreign keys, and the targets in an order in which parents come first. 0 or negative
 * with a sentence. */
int import_order(struct source *s, struct target **targets, size_t count, struct err *err);

/* --- how far it is (import_state.c) ----------------------------------------------------------- */

struct import_state;

struct import_place {
    int64_t batch;          /* committed so far */
    size_t file;            /* in the files' order; their count: all are read */
    struct reader_place at; /* within that file */
    json_t *counts;         /* by table; owned */
};

/* As JSON and back (import_place.c). NULL: no memory; false: it is none. */
char *import_place_to_json(const struct import_place *p);
bool import_place_from_json(const char *text, struct import_place *out);

/* `what`: a text that says what is imported into what: another one is another import. With dry_run
 * nothing of it is on disk. */
int import_state_open(struct source *s, const struct import_request *q, const char *what,
                      struct import_state **out, struct err *err);
void import_state_close(struct import_state *st); /* NULL is taken */
/* Has an import of this database stopped before its end? */
bool import_state_pending(struct source *s);
/* Does this import go on with one that was interrupted? Then with its place, whose counts stay the
 * state's. */
bool import_state_resumed(const struct import_state *st, struct import_place *out);
/* In the transaction of the rows, before its COMMIT: they count from then on. */
int import_state_commit(struct import_state *st, const struct import_place *place, struct err *err);
/* All is imported: away with everything. */
int import_state_finish(struct import_state *st, struct err *err);

struct import_refusal {
    const char *file, *table, *reason;
    int64_t line; /* 0: the file as a whole */
};
int import_state_refuse(struct import_state *st, const struct import_refusal *r, struct err *err);
/* At most `limit` of them, in order. */
typedef void import_refusal_fn(void *arg, const struct import_refusal *r);
int import_state_refusals(struct import_state *st, int64_t limit, import_refusal_fn *fn, void *arg,
                          struct err *err);
int64_t import_state_refused(const struct import_state *st);

/* A record that is to be tried again when all others are in. */
struct import_orphan {
    int64_t id;
    const char *file, *table, *text, *key, *reason;
    size_t len, key_len;
    int64_t line;
    int dialect;
};
int import_state_put_off(struct import_state *st, const struct import_orphan *o, struct err *err);
/* The next one behind `id`; 1, 0 when there are no more. Texts until the next call. */
int import_state_orphan(struct import_state *st, int64_t id, struct import_orphan *out,
                        struct err *err);
int import_state_settle(struct import_state *st, int64_t id, struct err *err);

/* --- tables that are made (import_create.c) --------------------------------------------------- */

/* CREATE TABLE for `table` from the beginnings of its files, appended to `sql`. */
int import_create_sql(const struct import_request *q, const struct import_files *files,
                      const char *table, struct buf *sql, struct err *err);

/* "[TABLE:]A=B" taken apart: does it concern `table`? False with an empty *a: it is malformed. */
bool import_assignment(const char *text, const char *table, struct buf *a, const char **b);

/* --- the run (import_run.c) ------------------------------------------------------------------- */

struct import_run {
    const struct import_request *q;
    struct source *source;
    struct import_files files; /* in the order in which they are read */
    struct target **targets;   /* in the order in which they are filled */
    size_t target_count;
    struct import_state *state;
    struct import_place place;

    bool writing; /* within a transaction */
    usec began;   /* it, monotonic */
    int64_t rows; /* of it */
    bool waiting; /* records are put off until all others are in */

    bool mirrored; /* others write this database, too: let them */
    usec met;      /* when another writer was met last, monotonic; 0: never */
    int64_t version;
    int wal_pages, wal_limit; /* in the -wal; so many that it is to be emptied */
    int64_t records, bytes_before, bytes_total;
    json_t *broken; /* files that could not be read to their end */
};

/* Everything from run->place on. 0 or a negative errno with a sentence; what was committed stays.
 */
int import_run(struct import_run *run, struct err *err);
struct target *import_run_target(const struct import_run *run, const char *table);

/* --- the job (import.c, import_plan.c) -------------------------------------------------------- */

struct import_job {
    struct import_run run;
    struct import_request q; /* as it was asked for, but for the database of a dry run */
    struct catalog *catalog;
    struct buf ddl; /* tables that are to be made, a statement each */
    struct import_list new_tables;
    json_t *left_out; /* files of directories that no table is for */
    bool made_database;
    char *backup;
};

void import_say(const struct import_job *j, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Each file's table, one that is there or is to be made; files of directories that no table is for
 * are dropped. All of these: 0, -EINVAL or another negative errno with a sentence. */
int import_choose_tables(struct import_job *j, struct err *err);
/* CREATE TABLE for those that are not there, as they are told to the user. */
int import_derive_tables(struct import_job *j, struct err *err);
int import_open_targets(struct import_job *j, struct err *err);
/* A column that is named without its table must be one of some table. */
int import_check_assignments(const struct import_job *j, struct err *err);
/* Files in the order of their tables; as they were given within one. */
int import_sort_files(struct import_job *j, struct err *err);
/* What two runs have in common when the second may go on with the first; NULL: no memory. */
char *import_what(const struct import_job *j);

/* The run's report (import_report.c); NULL: no memory. */
json_t *import_report(const struct import_run *run, struct err *err);
/* The targets' counts, as the place has them. */
json_t *import_counts(const struct import_run *run);
void import_take_counts(struct import_run *run, const json_t *counts);

#endif
