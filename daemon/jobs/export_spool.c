#include "jobs/export_spool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "base/cleanup.h"

/* Of each table: its records r0, r1, …, and what they refer to, f0, f1, … */
struct spool_table {
    sqlite3_stmt *add, *refer, *find, *leave;
    int64_t last;
    int64_t problems[PROBLEM_KINDS];
};

struct spool {
    sqlite3 *db;
    sqlite3_stmt *rows, *problem;
    size_t count;
    struct spool_table tables[];
};

static int failed(struct spool *s, struct err *err)
{
    int code = sqlite3_errcode(s->db);

    if (code == SQLITE_FULL || code == SQLITE_IOERR || code == SQLITE_CANTOPEN)
        return err_set(err, -ENOSPC,
                       "the temporary file of the export cannot be written (%s); free some disk, "
                       "or name another place with TMPDIR",
                       sqlite3_errmsg(s->db));
    return err_set(err, code == SQLITE_NOMEM ? -ENOMEM : -EIO,
                   "the temporary file of the export: %s", sqlite3_errmsg(s->db));
}

static int run(struct spool *s, struct err *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int run(struct spool *s, struct err *err, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    char *sql = sqlite3_vmprintf(fmt, args);
    va_end(args);
    int rc = sql ? sqlite3_exec(s->db, sql, NULL, NULL, NULL) : SQLITE_NOMEM;
    sqlite3_free(sql);
    return rc == SQLITE_OK ? 0 : failed(s, err);
}

static int prepare(struct spool *s, sqlite3_stmt **out, struct err *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static int prepare(struct spool *s, sqlite3_stmt **out, struct err *err, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    char *sql = sqlite3_vmprintf(fmt, args);
    va_end(args);
    sqlite3_finalize(*out);
    *out = NULL;
    int rc = sql ? sqlite3_prepare_v2(s->db, sql, -1, out, NULL) : SQLITE_NOMEM;
    sqlite3_free(sql);
    return rc == SQLITE_OK ? 0 : failed(s, err);
}

static int finish(struct spool *s, sqlite3_stmt *stmt, struct err *err)
{
    int rc = sqlite3_step(stmt);

    if (rc == SQLITE_DONE || rc == SQLITE_ROW)
        rc = 0;
    else
        rc = failed(s, err);
    sqlite3_reset(stmt);
    return rc;
}

static void bind(sqlite3_stmt *stmt, int at, const struct spool_bytes *b)
{
    if (b->at)
        sqlite3_bind_blob64(stmt, at, b->at, b->n, SQLITE_STATIC);
    else
        sqlite3_bind_null(stmt, at);
}

static int make_table(struct spool *s, int t, struct err *err)
{
    struct spool_table *table = &s->tables[t];
    int rc = run(s, err,
                 "CREATE TABLE r%d(id INTEGER PRIMARY KEY, k BLOB, item BLOB, line BLOB, attributes"
                 " BLOB, level INT DEFAULT 0, bad INT DEFAULT 0);"
                 "CREATE TABLE f%d(id INT, c INT, k BLOB)",
                 t, t);

    if (rc == 0)
        rc = prepare(s, &table->add, err,
                     "INSERT INTO r%d(id, k, item, line, attributes) VALUES(?, ?, ?, ?, ?)", t);
    if (rc == 0)
        rc = prepare(s, &table->refer, err, "INSERT INTO f%d VALUES(?, ?, ?)", t);
    return rc == 0 ? prepare(s, &table->leave, err, "UPDATE r%d SET bad = 1 WHERE id = ?", t) : rc;
}

int spool_open(size_t tables, struct spool **out, struct err *err)
{
    struct spool *s = calloc(1, sizeof *s + tables * sizeof s->tables[0]);
    int rc;

    if (!s)
        return err_set(err, -ENOMEM, "out of memory");
    s->count = tables;
    rc = sqlite3_open("", &s->db) == SQLITE_OK ? 0 : failed(s, err);
    if (rc == 0)
        rc = run(s, err,
                 "PRAGMA journal_mode=off; PRAGMA synchronous=off; PRAGMA cache_size=-16384;"
                 "PRAGMA temp_store=file; BEGIN;"
                 "CREATE TABLE problem(id INTEGER PRIMARY KEY, t INT, kind INT, item BLOB, reason"
                 " TEXT)");
    for (size_t i = 0; rc == 0 && i < tables; i++)
        rc = make_table(s, (int)i, err);
    if (rc == 0)
        rc = prepare(s, &s->problem, err,
                     "INSERT INTO problem(t, kind, item, reason) VALUES(?, ?, ?, ?)");
    if (rc < 0)
        spool_close(s);
    else
        *out = s;
    return rc;
}

void spool_close(struct spool *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->count; i++) {
        sqlite3_finalize(s->tables[i].add);
        sqlite3_finalize(s->tables[i].refer);
        sqlite3_finalize(s->tables[i].find);
        sqlite3_finalize(s->tables[i].leave);
    }
    sqlite3_finalize(s->rows);
    sqlite3_finalize(s->problem);
    sqlite3_close(s->db);
    free(s);
}

/* --- adding ----------------------------------------------------------------------------------- */

int spool_add(struct spool *s, size_t table, struct spool_record *r, struct err *err)
{
    struct spool_table *t = &s->tables[table];

    r->id = ++t->last;
    sqlite3_bind_int64(t->add, 1, r->id);
    bind(t->add, 2, &r->key);
    bind(t->add, 3, &r->item);
    bind(t->add, 4, &r->line);
    bind(t->add, 5, &r->attributes);
    return finish(s, t->add, err);
}

int spool_add_reference(struct spool *s, size_t table, int64_t id, size_t column,
                        const struct spool_bytes *key, struct err *err)
{
    sqlite3_stmt *stmt = s->tables[table].refer;

    sqlite3_bind_int64(stmt, 1, id);
    sqlite3_bind_int64(stmt, 2, (int64_t)column);
    bind(stmt, 3, key);
    return finish(s, stmt, err);
}

int spool_problem(struct spool *s, size_t table, int64_t id, enum export_problem kind,
                  const char *item, const char *reason, struct err *err)
{
    struct spool_table *t = &s->tables[table];
    int rc;

    sqlite3_bind_int64(s->problem, 1, (int64_t)table);
    sqlite3_bind_int64(s->problem, 2, kind);
    sqlite3_bind_text(s->problem, 3, item, -1, SQLITE_STATIC);
    sqlite3_bind_text(s->problem, 4, reason, -1, SQLITE_STATIC);
    rc = finish(s, s->problem, err);
    if (rc == 0)
        t->problems[kind]++;
    if (rc < 0 || !id)
        return rc;
    sqlite3_bind_int64(t->leave, 1, id);
    return finish(s, t->leave, err);
}

/* --- checks ----------------------------------------------------------------------------------- */

int spool_complete(struct spool *s, struct err *err)
{
    int rc = 0;

    for (int i = 0; rc == 0 && i < (int)s->count; i++) {
        rc = run(s, err, "CREATE INDEX k%d ON r%d(k) WHERE k IS NOT NULL", i, i);
        if (rc == 0)
            rc = prepare(s, &s->tables[i].find, err,
                         "SELECT id, k, item, line, attributes FROM r%d WHERE k = ? AND bad = 0"
                         " ORDER BY id LIMIT 1",
                         i);
    }
    return rc;
}

/* Each row of `found` is a record's id, its item's key, and what is said about it. */
static int leave_all(struct spool *s, size_t table, enum export_problem kind, sqlite3_stmt *found,
                     struct err *err)
{
    int rc = 0, step = SQLITE_DONE;

    while (rc == 0 && (step = sqlite3_step(found)) == SQLITE_ROW) {
        const char *item = (const char *)sqlite3_column_text(found, 1);
        const char *reason = (const char *)sqlite3_column_text(found, 2);
        rc = spool_problem(s, table, sqlite3_column_int64(found, 0), kind, item ? item : "",
                           reason ? reason : "", err);
    }
    if (rc == 0 && step != SQLITE_DONE)
        rc = failed(s, err);
    sqlite3_finalize(found);
    return rc;
}

/* The list is made whole before it is worked through, because that changes what it is made of. */
int spool_check_duplicates(struct spool *s, size_t table, struct err *err)
{
    sqlite3_stmt *found = NULL;
    int t = (int)table;
    int rc = run(s, err,
                 "DROP TABLE IF EXISTS found;"
                 "CREATE TABLE found AS SELECT a.id, CAST(a.item AS TEXT),"
                 " 'the primary key is that of the item ' ||"
                 "  (SELECT CAST(b.item AS TEXT) FROM r%d b WHERE b.k = a.k ORDER BY item LIMIT 1)"
                 " FROM r%d a WHERE a.k IN (SELECT k FROM r%d WHERE k IS NOT NULL GROUP BY k"
                 "  HAVING count(*) > 1)"
                 " AND a.id <> (SELECT id FROM r%d c WHERE c.k = a.k ORDER BY item LIMIT 1)"
                 " ORDER BY a.item",
                 t, t, t, t);

    if (rc == 0)
        rc = prepare(s, &found, err, "SELECT * FROM found");
    return rc == 0 ? leave_all(s, table, PROBLEM_DUPLICATE, found, err) : rc;
}

/* Records that are left because of what is left pull down those that refer to them, where a table
 * refers to itself. */
int spool_check_references(struct spool *s, size_t table, size_t column, size_t parent,
                           const char *parent_name, struct err *err)
{
    sqlite3_stmt *found = NULL;
    int t = (int)table, c = (int)column, p = (int)parent;
    char *name = sqlite3_mprintf("%Q", parent_name);
    char *pulled =
        table == parent
            ? sqlite3_mprintf(" UNION SELECT f.id, f.k, r.k FROM gone JOIN f%d f ON f.k ="
                              " gone.key JOIN r%d r ON r.id = f.id WHERE f.c = %d AND"
                              " r.bad = 0",
                              t, t, c)
            : sqlite3_mprintf("");
    int rc = name && pulled ? 0 : err_set(err, -ENOMEM, "out of memory");

    if (rc == 0)
        rc = run(s, err, "CREATE INDEX IF NOT EXISTS fk%d ON f%d(k); DROP TABLE IF EXISTS found", t,
                 t);
    if (rc == 0)
        rc = run(s, err,
                 "CREATE TABLE found AS WITH RECURSIVE gone(id, to_key, key) AS ("
                 " SELECT f.id, f.k, r.k FROM f%d f JOIN r%d r ON r.id = f.id WHERE f.c = %d AND"
                 " r.bad = 0 AND NOT EXISTS (SELECT 1 FROM r%d p WHERE p.k = f.k AND p.bad = 0)%s)"
                 " SELECT r.id, CAST(r.item AS TEXT), %s || ' ' ||"
                 " replace(CAST(gone.to_key AS TEXT), char(31), '') ||"
                 " ' is not there, or left out itself' FROM gone JOIN r%d r ON r.id = gone.id"
                 " ORDER BY r.item",
                 t, t, c, p, pulled, name, t);
    if (rc == 0)
        rc = prepare(s, &found, err, "SELECT * FROM found");
    if (rc == 0)
        rc = leave_all(s, table, PROBLEM_REFERENCE, found, err);
    sqlite3_free(name);
    sqlite3_free(pulled);
    return rc;
}

int spool_order(struct spool *s, size_t table, size_t column, struct err *err)
{
    int t = (int)table;
    int rc = run(s, err,
                 "CREATE INDEX IF NOT EXISTS fk%d ON f%d(k);"
                 "UPDATE r%d SET level = 1000000000 WHERE id IN (SELECT id FROM f%d WHERE c = %d);"
                 "CREATE INDEX IF NOT EXISTS l%d ON r%d(level, id)",
                 t, t, t, t, (int)column, t, t);

    /* A level at a time; a record is looked at once. */
    for (int level = 0; rc == 0; level++) {
        rc =
            run(s, err,
                "UPDATE r%d SET level = %d WHERE level = 1000000000 AND id IN"
                " (SELECT f.id FROM r%d p JOIN f%d f ON f.k = p.k WHERE p.level = %d AND f.c = %d)",
                t, level + 1, t, t, level, (int)column);
        if (rc < 0 || sqlite3_changes(s->db) == 0)
            break;
    }
    return rc;
}

/* --- reading ---------------------------------------------------------------------------------- */

int spool_rewind(struct spool *s, size_t table, struct err *err)
{
    return prepare(s, &s->rows, err,
                   "SELECT id, k, item, line, attributes FROM r%d WHERE bad = 0 ORDER BY level, id",
                   (int)table);
}

static struct spool_bytes bytes_of(sqlite3_stmt *stmt, int at)
{
    bool null = sqlite3_column_type(stmt, at) == SQLITE_NULL;
    const char *blob = sqlite3_column_blob(stmt, at);

    return (struct spool_bytes){null   ? NULL
                                : blob ? blob
                                       : "",
                                (size_t)sqlite3_column_bytes(stmt, at)};
}

static int take_record(struct spool *s, sqlite3_stmt *stmt, struct spool_record *out,
                       struct err *err)
{
    int rc = sqlite3_step(stmt);

    if (rc == SQLITE_DONE)
        return 0;
    if (rc != SQLITE_ROW)
        return failed(s, err);
    *out = (struct spool_record){.id = sqlite3_column_int64(stmt, 0),
                                 .key = bytes_of(stmt, 1),
                                 .item = bytes_of(stmt, 2),
                                 .line = bytes_of(stmt, 3),
                                 .attributes = bytes_of(stmt, 4)};
    return 1;
}

int spool_next(struct spool *s, struct spool_record *out, struct err *err)
{
    return take_record(s, s->rows, out, err);
}

int spool_find(struct spool *s, size_t table, const struct spool_bytes *key,
               struct spool_record *out, struct err *err)
{
    sqlite3_stmt *stmt = s->tables[table].find;

    sqlite3_reset(stmt);
    bind(stmt, 1, key);
    return take_record(s, stmt, out, err);
}

int spool_count(struct spool *s, size_t table, int64_t *out, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = prepare(s, &stmt, err, "SELECT count(*) FROM r%d WHERE bad = 0", (int)table);

    if (rc == 0 && sqlite3_step(stmt) == SQLITE_ROW)
        *out = sqlite3_column_int64(stmt, 0);
    else if (rc == 0)
        rc = failed(s, err);
    sqlite3_finalize(stmt);
    return rc;
}

int64_t spool_last(const struct spool *s, size_t table)
{
    return s->tables[table].last;
}

int spool_problems(struct spool *s, size_t limit, spool_problem_fn *fn, void *arg, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = prepare(s, &stmt, err,
                     "SELECT t, kind, item, reason FROM problem ORDER BY t, kind, item LIMIT %lld",
                     (long long)limit);
    int step = SQLITE_DONE;

    while (rc == 0 && (step = sqlite3_step(stmt)) == SQLITE_ROW)
        fn(arg, (size_t)sqlite3_column_int64(stmt, 0),
           (enum export_problem)sqlite3_column_int(stmt, 1),
           (const char *)sqlite3_column_text(stmt, 2), (const char *)sqlite3_column_text(stmt, 3));
    if (rc == 0 && step != SQLITE_DONE)
        rc = failed(s, err);
    sqlite3_finalize(stmt);
    return rc;
}

int64_t spool_problem_count(const struct spool *s, size_t table, enum export_problem kind)
{
    return s->tables[table].problems[kind];
}
