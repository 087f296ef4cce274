/* How far an import is, and what it met.
 *
 * The place is a row of the table _syncd_import in the database itself, written in the transaction
 * of the rows before it: there is no moment in which one of them is durable and the other not. What
 * was refused, and what is to be tried again, stands in a file beside the database, whose entries
 * carry the number of their transaction and are durable before it: those of a transaction that
 * never was are taken out at the next start. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "jobs/import_internal.h"

struct import_state {
    struct source *source; /* borrowed */
    sqlite3 *db;
    char *path;                /* NULL: a temporary one */
    char run[33];              /* tells this import from others in this database */
    bool keeps, resumed, open; /* a place is kept at all; a transaction of `db` is open */
    int64_t batch;             /* the number of the transaction at hand */
    int64_t refused;
    struct import_place place; /* of a resumed one */
    sqlite3_stmt *refuse, *put_off, *orphan, *settle;
};

static const char tables[] =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA user_version=1;"
    "CREATE TABLE IF NOT EXISTS import(id INTEGER PRIMARY KEY, what TEXT, run TEXT);"
    "CREATE TABLE IF NOT EXISTS refusal(id INTEGER PRIMARY KEY, batch INTEGER, file TEXT, "
    "line INTEGER, tbl TEXT, reason TEXT);"
    "CREATE TABLE IF NOT EXISTS orphan(id INTEGER PRIMARY KEY, batch INTEGER, settled INTEGER, "
    "file TEXT, line INTEGER, tbl TEXT, dialect INTEGER, record TEXT, record_key TEXT, reason "
    "TEXT)";

static int no_memory(struct err *err)
{
    return err_set(err, -ENOMEM, "out of memory");
}

static int failed(const struct import_state *st, struct err *err)
{
    int rc = sqlite3_errcode(st->db);

    return err_set(err, (rc & 0xff) == SQLITE_FULL ? -ENOSPC : -EIO,
                   "the import's state, %s, cannot be kept: %s",
                   st->path ? st->path : "(temporary)", sqlite3_errmsg(st->db));
}

static int exec(struct import_state *st, const char *sql, struct err *err)
{
    return sqlite3_exec(st->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : failed(st, err);
}

static char *state_path(const char *database)
{
    const char *slash = strrchr(database, '/');
    char *path = NULL;

    if (asprintf(&path, "%.*s.%s-import.db", slash ? (int)(slash - database + 1) : 0, database,
                 slash ? slash + 1 : database) < 0)
        return NULL;
    return path;
}

static void remove_files(const char *path)
{
    static const char *const tails[] = {"", "-wal", "-shm"};

    for (size_t i = 0; path && i < sizeof tails / sizeof tails[0]; i++) {
        char *name = NULL;
        if (asprintf(&name, "%s%s", path, tails[i]) < 0)
            return;
        unlink(name);
        free(name);
    }
}

/* --- the place -------------------------------------------------------------------------------- */

bool import_state_pending(struct source *s)
{
    int64_t n = 0;

    return source_query_int(s,
                            "SELECT count(*) FROM main.sqlite_schema WHERE type = 'table' AND name "
                            "= '_syncd_import'",
                            &n) == SQLITE_OK &&
           n > 0;
}

/* The row that the database has; false: none that is understood. */
static bool read_place(struct source *s, char run[33], struct import_place *out)
{
    sqlite3_stmt *stmt = NULL;
    bool good = false;

    if (sqlite3_prepare_v2(s->db, "SELECT run, place FROM main._syncd_import WHERE id = 1", -1,
                           &stmt, NULL) == SQLITE_OK &&
        sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_text(stmt, 0) &&
        sqlite3_column_text(stmt, 1)) {
        text_copy(run, 33, (const char *)sqlite3_column_text(stmt, 0));
        good = import_place_from_json((const char *)sqlite3_column_text(stmt, 1), out);
    }
    sqlite3_finalize(stmt);
    return good;
}

/* --- beginning -------------------------------------------------------------------------------- */

static int read_run(struct import_state *st, char **what)
{
    sqlite3_stmt *stmt = NULL;
    int rc = -ENOENT;

    if (sqlite3_prepare_v2(st->db, "SELECT run, what FROM import WHERE id = 1", -1, &stmt, NULL) ==
            SQLITE_OK &&
        sqlite3_step(stmt) == SQLITE_ROW) {
        const char *of = (const char *)sqlite3_column_text(stmt, 1);
        text_copy(st->run, sizeof st->run, (const char *)sqlite3_column_text(stmt, 0));
        *what = strdup(of ? of : "");
        rc = *what ? 0 : -ENOMEM;
    }
    sqlite3_finalize(stmt);
    return rc;
}

static int begin_anew(struct import_state *st, const char *what, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    struct source *s = st->source;
    int rc = exec(st,
                  "DELETE FROM import; DELETE FROM refusal; DELETE FROM orphan;"
                  "INSERT INTO import(id, run) VALUES(1, lower(hex(randomblob(16))))",
                  err);

    if (rc == 0 &&
        (sqlite3_prepare_v2(st->db, "UPDATE import SET what = ?1", -1, &stmt, NULL) != SQLITE_OK ||
         sqlite3_bind_text(stmt, 1, what, -1, SQLITE_STATIC) != SQLITE_OK ||
         sqlite3_step(stmt) != SQLITE_DONE))
        rc = failed(st, err);
    sqlite3_finalize(stmt);
    _cleanup_free_ char *ours = NULL;
    if (rc == 0 && read_run(st, &ours) < 0)
        rc = no_memory(err);
    if (rc < 0 || !st->keeps)
        return rc;
    int made = source_exec(s, "BEGIN IMMEDIATE");
    if (made == SQLITE_OK)
        made = source_end(s, source_exec(s, "DROP TABLE IF EXISTS main._syncd_import; CREATE TABLE "
                                            "main._syncd_import(id INTEGER PRIMARY KEY, run TEXT, "
                                            "place TEXT)"));
    if (made != SQLITE_OK) {
        source_problem_of(s, made, "noting that an import begins", err);
        return -EIO;
    }
    return 0;
}

/* Entries of a transaction that was not committed are of nothing. */
static int take_back(struct import_state *st, struct err *err)
{
    char *sql = sqlite3_mprintf("DELETE FROM refusal WHERE batch > %lld;"
                                "DELETE FROM orphan WHERE batch > %lld;"
                                "UPDATE orphan SET settled = NULL WHERE settled > %lld",
                                (long long)st->place.batch, (long long)st->place.batch,
                                (long long)st->place.batch);
    int rc = sql ? exec(st, sql, err) : no_memory(err);
    sqlite3_stmt *stmt = NULL;

    sqlite3_free(sql);
    if (rc == 0 &&
        sqlite3_prepare_v2(st->db, "SELECT count(*) FROM refusal", -1, &stmt, NULL) == SQLITE_OK &&
        sqlite3_step(stmt) == SQLITE_ROW)
        st->refused = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    st->batch = st->place.batch + 1;
    return rc;
}

/* What was left behind by an import that did not come to its end. */
static int look_back(struct import_state *st, const struct import_request *q, const char *what,
                     struct err *err)
{
    char here[33] = "";
    _cleanup_free_ char *before = NULL;
    bool mark = import_state_pending(st->source),
         placed = mark && read_place(st->source, here, &st->place);
    bool known = read_run(st, &before) == 0 && placed && strcmp(here, st->run) == 0;

    if (!mark || !q->resume || (!placed && !known))
        return begin_anew(st, what, err);
    if (!known)
        return err_set(err, -EINVAL,
                       "the state of the interrupted import, %s, is not there any more: begin anew "
                       "by --restart (its rows stay, and are met again)",
                       st->path);
    if (strcmp(before, what) != 0)
        return err_set(err, -EINVAL,
                       "the interrupted import into %s was of other files or tables, or had other "
                       "settings: say the same ones, or begin anew by --restart",
                       q->database);
    st->resumed = true;
    return take_back(st, err);
}

static int prepare(struct import_state *st, struct err *err)
{
    static const struct {
        size_t at;
        const char *sql;
    } all[] = {
        {offsetof(struct import_state, refuse),
         "INSERT INTO refusal(batch, file, line, tbl, reason) VALUES(?1, ?2, ?3, ?4, ?5)"},
        {offsetof(struct import_state, put_off),
         "INSERT INTO orphan(batch, file, line, tbl, dialect, record, record_key, reason) "
         "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"},
        {offsetof(struct import_state, orphan),
         "SELECT id, file, line, tbl, dialect, record, record_key, reason FROM orphan WHERE id > "
         "?1 AND settled IS NULL ORDER BY id LIMIT 1"},
        {offsetof(struct import_state, settle), "UPDATE orphan SET settled = ?2 WHERE id = ?1"},
    };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (sqlite3_prepare_v3(st->db, all[i].sql, -1, SQLITE_PREPARE_PERSISTENT,
                               (sqlite3_stmt **)(void *)((char *)st + all[i].at),
                               NULL) != SQLITE_OK)
            return failed(st, err);
    return 0;
}

int import_state_open(struct source *s, const struct import_request *q, const char *what,
                      struct import_state **out, struct err *err)
{
    struct import_state *st = calloc(1, sizeof *st);
    int rc = 0;

    if (!st)
        return no_memory(err);
    *st = (struct import_state){.source = s, .keeps = !q->dry_run, .batch = 1};
    if (st->keeps && !(st->path = state_path(q->database)))
        rc = no_memory(err);
    if (rc == 0 && st->keeps && !import_state_pending(s))
        remove_files(st->path); /* of an import whose database is another, or was put back */
    if (rc == 0 && sqlite3_open(st->path ? st->path : "", &st->db) != SQLITE_OK)
        rc = failed(st, err);
    if (rc == 0)
        rc = exec(st, tables, err);
    if (rc == 0)
        rc = st->keeps ? look_back(st, q, what, err) : begin_anew(st, what, err);
    if (rc == 0)
        rc = prepare(st, err);
    if (rc < 0)
        import_state_close(st);
    else
        *out = st;
    return rc;
}

void import_state_close(struct import_state *st)
{
    if (!st)
        return;
    sqlite3_finalize(st->refuse);
    sqlite3_finalize(st->put_off);
    sqlite3_finalize(st->orphan);
    sqlite3_finalize(st->settle);
    sqlite3_close(st->db);
    json_decref(st->place.counts);
    free(st->path);
    free(st);
}

bool import_state_resumed(const struct import_state *st, struct import_place *out)
{
    if (st->resumed)
        *out = st->place;
    return st->resumed;
}

/* --- on the way ------------------------------------------------------------------------------- */

static int open_transaction(struct import_state *st, struct err *err)
{
    int rc = st->open ? 0 : exec(st, "BEGIN IMMEDIATE", err);

    st->open = rc == 0;
    return rc;
}

static int close_transaction(struct import_state *st, struct err *err)
{
    int rc = st->open ? exec(st, "COMMIT", err) : 0;

    st->open = st->open && rc < 0;
    return rc;
}

static int run(struct import_state *st, sqlite3_stmt *stmt, struct err *err)
{
    int rc = sqlite3_step(stmt) == SQLITE_DONE ? 0 : failed(st, err);

    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return rc;
}

int import_state_commit(struct import_state *st, const struct import_place *place, struct err *err)
{
    struct import_place now = *place;
    sqlite3_stmt *stmt = NULL;
    struct source *s = st->source;
    int rc = close_transaction(st, err);

    if (rc < 0 || !st->keeps)
        return rc;
    now.batch = st->batch;
    char *text = import_place_to_json(&now);
    if (!text)
        return no_memory(err);
    int sql = sqlite3_prepare_v2(s->db,
                                 "INSERT OR REPLACE INTO main._syncd_import(id, run, place) "
                                 "VALUES(1, ?1, ?2)",
                                 -1, &stmt, NULL);
    if (sql == SQLITE_OK)
        sql = sqlite3_bind_text(stmt, 1, st->run, -1, SQLITE_STATIC);
    if (sql == SQLITE_OK)
        sql = sqlite3_bind_text(stmt, 2, text, -1, SQLITE_TRANSIENT);
    if (sql == SQLITE_OK)
        sql = sqlite3_step(stmt);
    if (sql != SQLITE_DONE)
        rc = source_problem_of(s, sql, "noting how far the import is", err) == SOURCE_FULL ? -ENOSPC
                                                                                           : -EIO;
    sqlite3_finalize(stmt);
    free(text);
    if (rc == 0)
        st->batch++;
    return rc;
}

int import_state_finish(struct import_state *st, struct err *err)
{
    struct source *s = st->source;
    int rc = close_transaction(st, err);

    if (rc < 0 || !st->keeps)
        return rc;
    int sql = source_exec(s, "BEGIN IMMEDIATE");
    if (sql == SQLITE_OK)
        sql = source_end(s, source_exec(s, "DROP TABLE IF EXISTS main._syncd_import"));
    if (sql != SQLITE_OK) {
        source_problem_of(s, sql, "ending the import", err);
        return -EIO;
    }
    remove_files(st->path);
    return 0;
}

int import_state_refuse(struct import_state *st, const struct import_refusal *r, struct err *err)
{
    int rc = open_transaction(st, err);

    if (rc < 0)
        return rc;
    sqlite3_bind_int64(st->refuse, 1, st->batch);
    sqlite3_bind_text(st->refuse, 2, r->file, -1, SQLITE_STATIC);
    sqlite3_bind_int64(st->refuse, 3, r->line);
    sqlite3_bind_text(st->refuse, 4, r->table, -1, SQLITE_STATIC);
    sqlite3_bind_text(st->refuse, 5, r->reason, -1, SQLITE_STATIC);
    st->refused++;
    return run(st, st->refuse, err);
}

int64_t import_state_refused(const struct import_state *st)
{
    return st->refused;
}

int import_state_refusals(struct import_state *st, int64_t limit, import_refusal_fn *fn, void *arg,
                          struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(st->db,
                                "SELECT file, line, tbl, reason FROM refusal ORDER BY id LIMIT ?1",
                                -1, &stmt, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(stmt, 1, limit);
    while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const struct import_refusal r = {.file = (const char *)sqlite3_column_text(stmt, 0),
                                         .line = sqlite3_column_int64(stmt, 1),
                                         .table = (const char *)sqlite3_column_text(stmt, 2),
                                         .reason = (const char *)sqlite3_column_text(stmt, 3)};
        fn(arg, &r);
        rc = SQLITE_OK;
    }
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? 0 : failed(st, err);
}

/* --- orphans ---------------------------------------------------------------------------------- */

int import_state_put_off(struct import_state *st, const struct import_orphan *o, struct err *err)
{
    int rc = open_transaction(st, err);

    if (rc < 0)
        return rc;
    sqlite3_bind_int64(st->put_off, 1, st->batch);
    sqlite3_bind_text(st->put_off, 2, o->file, -1, SQLITE_STATIC);
    sqlite3_bind_int64(st->put_off, 3, o->line);
    sqlite3_bind_text(st->put_off, 4, o->table, -1, SQLITE_STATIC);
    sqlite3_bind_int(st->put_off, 5, o->dialect);
    sqlite3_bind_text64(st->put_off, 6, o->text, o->len, SQLITE_STATIC, SQLITE_UTF8);
    if (o->key)
        sqlite3_bind_text64(st->put_off, 7, o->key, o->key_len, SQLITE_STATIC, SQLITE_UTF8);
    sqlite3_bind_text(st->put_off, 8, o->reason, -1, SQLITE_STATIC);
    return run(st, st->put_off, err);
}

static const char *text_at(sqlite3_stmt *stmt, int column, size_t *n)
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);

    if (n)
        *n = (size_t)sqlite3_column_bytes(stmt, column);
    return text;
}

int import_state_orphan(struct import_state *st, int64_t id, struct import_orphan *out,
                        struct err *err)
{
    sqlite3_reset(st->orphan);
    sqlite3_bind_int64(st->orphan, 1, id);
    int rc = sqlite3_step(st->orphan);
    if (rc == SQLITE_DONE) {
        sqlite3_reset(st->orphan);
        return 0;
    }
    if (rc != SQLITE_ROW)
        return failed(st, err);
    *out = (struct import_orphan){.id = sqlite3_column_int64(st->orphan, 0),
                                  .file = text_at(st->orphan, 1, NULL),
                                  .line = sqlite3_column_int64(st->orphan, 2),
                                  .table = text_at(st->orphan, 3, NULL),
                                  .dialect = sqlite3_column_int(st->orphan, 4),
                                  .reason = text_at(st->orphan, 7, NULL)};
    out->text = text_at(st->orphan, 5, &out->len);
    out->key = text_at(st->orphan, 6, &out->key_len);
    return 1;
}

int import_state_settle(struct import_state *st, int64_t id, struct err *err)
{
    int rc = open_transaction(st, err);

    if (rc < 0)
        return rc;
    sqlite3_bind_int64(st->settle, 1, id);
    sqlite3_bind_int64(st->settle, 2, st->batch);
    return run(st, st->settle, err);
}
