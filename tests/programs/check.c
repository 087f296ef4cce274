#include "check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "execute.h"

enum { MAIN, TWIN };

/* How a difference between the two databases begins. */
#define SEES_US     "the application sees the triggers"
#define WRITER_DIED "the writer died"

struct run {
    struct checker *c;
    const struct program *p;
    struct oracle o;
    struct application apps[2];
    char paths[2][96];
    bool rowid_unknown[MAX_CONNECTIONS];
    bool wrong_type;     /* a STRICT table refused a value … */
    bool partial;        /* … and the databases differ since: as refused */
    bool refused;        /* see lookup_refuses(): the rest of the program is not run */
    bool sqlite_broke;   /* the program says nothing of us */
    bool empty_triggers; /* the twin has triggers too, that do nothing */
};

int checker_open(struct checker *c)
{
    snprintf(c->dir, sizeof c->dir, "%s/syncd-programs-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    return mkdtemp(c->dir) ? 0 : -errno;
}

static void remove_database(const char *path)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    char file[128];

    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        snprintf(file, sizeof file, "%s%s", path, suffixes[i]);
        unlink(file);
    }
}

void checker_close(struct checker *c)
{
    rmdir(c->dir);
}

/* VACUUM copies all tables, ours too, and leaves the rowid of the last row copied as
 * last_insert_rowid(). In older versions a statement that fails inside a trigger leaves the
 * trigger's. So it says nothing from there to where both sides agree again. */
static void judge_rowid(struct run *r, int connection, bool unsettles, struct buf seen[2])
{
    char *at[2];

    for (int which = MAIN; which <= TWIN; which++)
        at[which] = must(strstr(seen[which].data, EXECUTE_ROWID));
    bool same = strcmp(at[MAIN], at[TWIN]) == 0;
    if (same || unsettles)
        r->rowid_unknown[connection] = !same;
    for (int which = MAIN; which <= TWIN && r->rowid_unknown[connection]; which++)
        *at[which] = '\0';
}

/* Did another SQLite than the system's crash, or find its own damage? When the twin alone was
 * enough for it, or damage came to light, that is none of our triggers' doing: old versions damage
 * indexes by REPLACE, and our lookups only read what is damaged. */
static bool writer_broke(struct run *r, int which, int rc, const char *sql)
{
    if (!r->c->writer)
        return false;
    if (r->c->writer->died)
        oracle_fail(&r->o, WRITER_DIED " of: %s", sql);
    else if ((rc & 0xff) == SQLITE_CORRUPT)
        oracle_fail(&r->o, "SQLite damaged its database: %s", sql);
    else
        return false;
    r->sqlite_broke = !r->c->writer->died || which == TWIN;
    return true;
}

/* Does the statement drop a column that the configured DynamoDB key of its table is made of? */
static bool drops_key_column(const struct run *r, const char *sql)
{
    for (size_t i = 0; i < r->o.table_count; i++) {
        const struct table_plan *p = r->o.tables[i].plan;
        for (size_t c = p ? p->row_key_count : 0; p && c < p->entry_count; c++) {
            char *text =
                sqlite3_mprintf("ALTER TABLE %s DROP COLUMN %s", p->table, p->columns[c].name);
            char *quoted =
                sqlite3_mprintf("ALTER TABLE %s DROP COLUMN \"%w\"", p->table, p->columns[c].name);
            bool same = sqlite3_stricmp(sql, text) == 0 || sqlite3_stricmp(sql, quoted) == 0;
            sqlite3_free(text);
            sqlite3_free(quoted);
            if (same)
                return true;
        }
    }
    return false;
}

/* A column that our triggers must name, and SQLite refuses to drop: one that the DynamoDB key is
 * made of, or one whose index was dropped before it in the same transaction, while a lookup of ours
 * still names it. Known limits, which is why migrations may be run detached. */
static bool trigger_refuses(const struct run *r, int connection, const char *sql,
                            const struct buf seen[2])
{
    const char *refusal = "error in trigger _syncd_";

    /* Of a generated column SQLite finds out at the next write only. */
    const char *missing = "error 1: no such column: ";
    if (strstr(seen[MAIN].data, missing) && strstr(seen[TWIN].data, missing))
        return true;
    /* Empty triggers name the same columns, perhaps in another order. */
    return (r->apps[MAIN].open[connection] || drops_key_column(r, sql)) &&
           strstr(sql, " DROP COLUMN ") && strstr(seen[MAIN].data, refusal) &&
           (!strstr(seen[TWIN].data, "error") || strstr(seen[TWIN].data, refusal));
}

/* Runs on both; what is seen must be the same. With empty triggers the twin goes first, to see
 * whether it is enough to crash a writer. */
static void run_sql(struct run *r, int connection, const char *sql)
{
    struct buf seen[2] = {{0}};
    bool failed = false, broke = false, wrong_type = false;

    for (int i = MAIN; i <= TWIN && !broke; i++) {
        int which = r->empty_triggers ? TWIN - i : i;
        int rc = application_run(&r->apps[which], connection, sql, &seen[which]);
        wrong_type |= rc == SQLITE_CONSTRAINT_DATATYPE;
        failed |= rc != SQLITE_OK;
        broke = writer_broke(r, which, rc, sql);
    }
    r->c->met.statements++;
    r->c->met.succeeded += !failed;
    /* A STRICT table's type error leaves what the statement did before it, unless SQLite had reason
     * to keep a way back: triggers like ours are such a reason, and whether it has one is no
     * promise. */
    r->wrong_type |= wrong_type;
    if (!broke) {
        bool older = r->c->writer && r->c->writer->version < SQLITE_VERSION_NUMBER;
        judge_rowid(r, connection, strcmp(sql, "VACUUM") == 0 || (failed && older), seen);
        bool differ = strcmp(seen[MAIN].data, seen[TWIN].data) != 0;
        if (trigger_refuses(r, connection, sql, seen))
            r->refused = true;
        else if (differ && r->wrong_type)
            r->partial = true;
        else if (differ)
            oracle_fail(&r->o, SEES_US " in: %s\nwith triggers\n%swithout\n%s", sql,
                        seen[MAIN].data, seen[TWIN].data);
    }
    buf_free(&seen[MAIN]);
    buf_free(&seen[TWIN]);
}

/* The same for us alone, in both databases. */
static void setting(struct run *r, const char *sql)
{
    for (int i = 0; i < MAX_CONNECTIONS; i++)
        for (int which = MAIN; which <= TWIN; which++)
            application_run(&r->apps[which], i, sql, NULL);
}

static void open_databases(struct run *r)
{
    for (int which = MAIN; which <= TWIN; which++) {
        snprintf(r->paths[which], sizeof r->paths[which], "%s/%s.db", r->c->dir,
                 which == MAIN ? "main" : "twin");
        remove_database(r->paths[which]);
        r->apps[which].writer = r->c->writer;
        r->apps[which].slot = which;
        application_open(&r->apps[which], r->paths[which]);
        application_run(
            &r->apps[which], 0,
            r->p->rollback_mode ? "PRAGMA journal_mode=DELETE" : "PRAGMA journal_mode=WAL", NULL);
    }
    setting(r, "PRAGMA synchronous=OFF");
}

/* Triggers like ours on the twin, which do nothing of use: they write, since SQLite prepares for
 * more where a statement writes to two tables. */
static void make_empty_triggers(struct run *r)
{
    const char *begin, *at = r->o.installed.data ? r->o.installed.data : "";

    application_run(&r->apps[TWIN], 0, "CREATE TABLE _syncd_nothing(seq INTEGER PRIMARY KEY, x)",
                    NULL);
    application_run(
        &r->apps[TWIN], 0,
        "CREATE TRIGGER _syncd_cap AFTER INSERT ON _syncd_nothing WHEN NEW.seq % 4096 = 0 "
        "BEGIN DELETE FROM _syncd_nothing WHERE seq <= NEW.seq - 1000000; END",
        NULL);
    while ((at = strstr(at, "CREATE TRIGGER ")) && (begin = strstr(at, " BEGIN "))) {
        const char *end = strchr(begin, '\n'), *from = strstr(begin, " FROM \"");
        bool looks_up = from && from < end;
        int named = looks_up ? (int)(strchr(from + 7, '"') + 1 - from) : 0;
        char *sql = must(sqlite3_mprintf("%.*s BEGIN INSERT INTO _syncd_nothing(x) %s%.*s%s; END",
                                         (int)(begin - at), at, looks_up ? "SELECT 1" : "VALUES(1)",
                                         named, looks_up ? from : "", looks_up ? " WHERE 0" : ""));
        application_run(&r->apps[TWIN], 0, sql, NULL);
        sqlite3_free(sql);
        at = begin;
    }
}

static void begin_capture(struct run *r)
{
    oracle_open(&r->o, r->paths[MAIN]);
    if (r->empty_triggers)
        make_empty_triggers(r);
}

static void run_steps(struct run *r)
{
    for (size_t i = 0; i < r->p->count && !oracle_failed(&r->o) && !r->refused && !r->partial;
         i++) {
        const struct step *s = &r->p->steps[i];
        if (i == r->p->setup)
            begin_capture(r);
        if (s->kind == STEP_SQL) {
            _cleanup_buf_ struct buf sql = {0};
            program_sql(s->sql, &sql);
            run_sql(r, s->connection, sql.data);
        } else if (s->kind == STEP_DRAIN) {
            oracle_drain(&r->o, s->amount);
        } else if (application_idle(&r->apps[MAIN])) {
            oracle_acknowledge(&r->o, s->amount);
        }
        if (i >= r->p->setup)
            oracle_notice(&r->o);
    }
}

static void end_transactions(struct run *r)
{
    for (int i = 0; i < MAX_CONNECTIONS; i++)
        for (int which = MAIN; which <= TWIN; which++)
            if (r->apps[which].open[i])
                application_run(&r->apps[which], i, "ROLLBACK", NULL);
}

/* --- the two databases at the end ---------------------------------------------------------------
 */

static void same_answer(struct run *r, sqlite3 *dbs[2], const char *sql, const char *what)
{
    char *text[2];
    size_t n[2];

    for (int which = MAIN; which <= TWIN; which++) {
        FILE *out = must(open_memstream(&text[which], &n[which]));
        execute(dbs[which], sql, out);
        fclose(out);
    }
    if (strcmp(text[MAIN], text[TWIN]) != 0)
        oracle_fail(&r->o, SEES_US " in: %s\nwith triggers\n%swithout\n%s", what, text[MAIN],
                    text[TWIN]);
    free(text[MAIN]);
    free(text[TWIN]);
}

static void same_tables(struct run *r, sqlite3 *dbs[2])
{
    sqlite3_stmt *stmt = NULL;
    int rc =
        sqlite3_prepare_v2(dbs[TWIN],
                           "SELECT name, rowid FROM sqlite_master WHERE type='table' AND name "
                           "NOT LIKE 'sqlite_stat%' AND name <> '_syncd_nothing' ORDER BY name",
                           -1, &stmt, NULL);

    while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(stmt, 0);
        char *sql = must(sqlite3_mprintf("SELECT * FROM \"%w\"", name));
        same_answer(r, dbs, sql, "the tables");
        sqlite3_free(sql);
        sql = must(sqlite3_mprintf("SELECT rowid FROM \"%w\" ORDER BY 1", name));
        same_answer(r, dbs, sql, "the rowids");
        sqlite3_free(sql);
        rc = SQLITE_OK;
    }
    sqlite3_finalize(stmt);
}

static void same_schema(struct run *r, sqlite3 *dbs[2], bool uninstalled)
{
    same_answer(r, dbs,
                uninstalled && !r->empty_triggers
                    ? "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY rowid"
                    : "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE NOT (name "
                      "LIKE '\\_syncd\\_%' ESCAPE '\\') ORDER BY rowid",
                uninstalled ? "the schema after uninstalling" : "the schema");
}

/* Rows that a CHECK or NOT NULL no longer allows are no damage: the application may switch both
 * off. */
static bool is_sound(sqlite3 *db)
{
    static const char *const damage[] = {"missing from index", "wrong # of entries",
                                         "non-unique entry", "malformed", "***"};
    sqlite3_stmt *stmt = NULL;
    bool sound = true;
    int rc = sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &stmt, NULL);

    while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *said = (const char *)sqlite3_column_text(stmt, 0);
        for (size_t i = 0; i < sizeof damage / sizeof *damage; i++)
            sound &= strstr(said, damage[i]) == NULL;
        rc = SQLITE_OK;
    }
    sqlite3_finalize(stmt);
    return sound && rc == SQLITE_DONE;
}

/* Does the index hold what the table does, down to the type? */
static bool index_agrees(sqlite3 *db, const char *table, const char *index, const char *column)
{
    char *sql = must(sqlite3_mprintf("SELECT quote(\"%w\") FROM \"%w\" NOT INDEXED EXCEPT "
                                     "SELECT quote(\"%w\") FROM \"%w\" INDEXED BY \"%w\"",
                                     column, table, column, table, index));
    sqlite3_stmt *stmt = NULL;
    bool agrees = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK ||
                  sqlite3_step(stmt) != SQLITE_ROW;

    sqlite3_finalize(stmt);
    sqlite3_free(sql);
    return agrees;
}

/* Versions up to 3.21 at least turn the 1.0 of a key without affinity into 1 in the table, and not
 * in its index, where a row with a REAL that refers to it has come first. What a query answers goes
 * by its plan then; PRAGMA integrity_check finds nothing wrong with it. */
static bool indexes_agree(sqlite3 *db)
{
    sqlite3_stmt *stmt = NULL;
    bool agree = true;
    int rc = sqlite3_prepare_v2(db,
                                "SELECT m.name, l.name, x.name FROM sqlite_master AS m, "
                                "pragma_index_list(m.name) AS l, pragma_index_info(l.name) AS x "
                                "WHERE m.type='table' AND NOT l.partial AND x.name IS NOT NULL",
                                -1, &stmt, NULL);

    while (rc == SQLITE_OK && agree && sqlite3_step(stmt) == SQLITE_ROW)
        agree = index_agrees(db, (const char *)sqlite3_column_text(stmt, 0),
                             (const char *)sqlite3_column_text(stmt, 1),
                             (const char *)sqlite3_column_text(stmt, 2));
    sqlite3_finalize(stmt);
    return agree;
}

/* An old SQLite damages databases by itself, some only where there is a trigger: such a program
 * says nothing of ours when the twin is damaged too. */
static bool is_damaged(const struct run *r, int which)
{
    sqlite3 *db = NULL;
    bool damaged =
        sqlite3_open(r->paths[which], &db) != SQLITE_OK || !is_sound(db) || !indexes_agree(db);

    sqlite3_close(db);
    return damaged;
}

static void final_checks(struct run *r)
{
    sqlite3 *dbs[2] = {NULL, NULL};

    for (int which = MAIN; which <= TWIN; which++)
        if (sqlite3_open(r->paths[which], &dbs[which]) != SQLITE_OK)
            oracle_fail(&r->o, "it cannot be opened: %s", r->paths[which]);
    if (!oracle_failed(&r->o))
        oracle_compare(&r->o, dbs[MAIN]);
    r->c->met.refused += r->refused;
    r->c->met.any_trigger += r->partial;
    if (!oracle_failed(&r->o) && !r->wrong_type)
        same_tables(r, dbs);
    if (!oracle_failed(&r->o))
        same_schema(r, dbs, false);
    if (!oracle_failed(&r->o)) {
        oracle_uninstall(&r->o);
        same_schema(r, dbs, true);
    }
    sqlite3_close(dbs[MAIN]);
    sqlite3_close(dbs[TWIN]);
}

static void count(struct checker *c, const struct oracle *o)
{
    c->met.programs++;
    c->met.entries += o->entries;
    c->met.refreshed += o->refreshed;
    c->met.extra_columns += o->extra_columns;
    c->met.planted += o->planted;
    c->met.unseen += o->unseen > 0;
}

/* One run of both. True when all is well, or when SQLite itself went wrong. `suspect`: it may be
 * what SQLite does with any trigger. */
static bool run_both(struct checker *c, const struct program *p, bool empty_triggers,
                     struct buf *why, struct buf *installed, bool *suspect)
{
    struct run r = {.c = c, .p = p, .empty_triggers = empty_triggers};

    r.o.program = p;
    r.o.plant = c->plant;
    open_databases(&r);
    run_steps(&r);
    end_transactions(&r);
    if (!r.o.source && !oracle_failed(&r.o))
        begin_capture(&r);
    if (!oracle_failed(&r.o))
        oracle_drain(&r.o, 0);
    if (!oracle_failed(&r.o))
        final_checks(&r);
    for (int which = MAIN; which <= TWIN; which++)
        application_close(&r.apps[which]);
    bool well = !oracle_failed(&r.o);
    *suspect =
        !well && (is_damaged(&r, MAIN) || strncmp(r.o.why.data, SEES_US, strlen(SEES_US)) == 0 ||
                  strncmp(r.o.why.data, WRITER_DIED, strlen(WRITER_DIED)) == 0);
    if (!well && (r.sqlite_broke || is_damaged(&r, TWIN))) {
        c->met.damaged++;
        well = true;
    }
    if (!well)
        buf_puts(why, r.o.why.data);
    if (!well && installed && r.o.installed.len)
        buf_puts(installed, r.o.installed.data);
    count(c, &r.o);
    if (c->writer && writer_revive(c->writer) < 0)
        exit(2);
    oracle_close(&r.o);
    for (int which = MAIN; which <= TWIN; which++)
        remove_database(r.paths[which]);
    return well;
}

/* Some things SQLite does otherwise in a table with any trigger, whatever it does:
 * last_insert_rowid() after an INSERT that failed by its foreign key, whether types or NOT NULL are
 * checked first in a STRICT table, foreign keys that only then are seen to be violated. So where
 * the two differ, the program is run once more against a twin with triggers that do nothing: ours
 * must look like those. */
bool check_program(struct checker *c, const struct program *p, struct buf *why,
                   struct buf *installed)
{
    _cleanup_buf_ struct buf first = {0}, second = {0};

    bool suspect;

    if (run_both(c, p, false, &first, installed, &suspect))
        return true;
    if (suspect && run_both(c, p, true, &second, NULL, &suspect)) {
        c->met.any_trigger++;
        return true;
    }
    if (why)
        buf_puts(why, second.len ? second.data : first.data);
    return false;
}
