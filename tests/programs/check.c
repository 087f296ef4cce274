#include "check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "execute.h"

enum { MAIN, TWIN };

struct run {
    struct checker *c;
    const struct program *p;
    struct oracle o;
    struct application apps[2];
    char paths[2][96];
    bool rowid_unknown[MAX_CONNECTIONS];
    bool defect; /* SQLite itself went wrong in the twin: the rest is not run */
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

/* What SQLite itself does otherwise in a table with a trigger, whoever's:
 *
 * An INSERT that fails by its foreign key leaves last_insert_rowid() as it was in a table without
 * triggers, and changed in one with: the key is checked before the row goes in only where nothing
 * else is to be done. VACUUM copies all tables and leaves there the rowid of the last row copied.
 * So the rowid says nothing from there to where both sides agree again. */
static bool same_rowid(struct run *r, int connection, bool unsettles, struct buf seen[2])
{
    char *at[2];
    bool same;

    for (int which = MAIN; which <= TWIN; which++)
        at[which] = must(strstr(seen[which].data, EXECUTE_ROWID));
    same = strcmp(at[MAIN], at[TWIN]) == 0;
    if (unsettles || same)
        r->rowid_unknown[connection] = !same;
    for (int which = MAIN; which <= TWIN && r->rowid_unknown[connection]; which++)
        *at[which] = '\0';
    return same || r->rowid_unknown[connection];
}

/* Foreign keys that SQLite itself gets wrong in a table without triggers, and right in one with
 * any: INSERT OR REPLACE into a table that refers to itself may leave a row without its parent; and
 * a row refused at once, by one key, leaves the count of its deferred other key raised, so that
 * COMMIT fails though nothing is amiss. */
static bool foreign_key_defect(struct run *r, int connection, const int rc[2])
{
    _cleanup_buf_ struct buf found = {0};
    int which_fails = rc[MAIN] == SQLITE_CONSTRAINT_FOREIGNKEY && rc[TWIN] == SQLITE_OK   ? MAIN
                      : rc[TWIN] == SQLITE_CONSTRAINT_FOREIGNKEY && rc[MAIN] == SQLITE_OK ? TWIN
                                                                                          : -1;

    if (which_fails < 0)
        return false;
    application_run(&r->apps[TWIN], connection, "PRAGMA foreign_key_check", &found);
    bool violated = strstr(found.data, "  (") != NULL;
    return violated == (which_fails == MAIN);
}

/* In a STRICT table with a BEFORE trigger the types are checked before NOT NULL, in one without
 * after it: a row that is wrong in both ways fails otherwise. */
static bool types_came_first(const int rc[2])
{
    return rc[MAIN] == SQLITE_CONSTRAINT_DATATYPE && rc[TWIN] != rc[MAIN];
}

/* Rows that RETURNING gave before a foreign key failed the statement: none where the key is checked
 * at once. */
static void without_rows(struct buf seen[2])
{
    for (int which = MAIN; which <= TWIN; which++) {
        const char *error = must(strstr(seen[which].data, "  error "));
        memmove(seen[which].data, error, strlen(error) + 1);
    }
}

/* Runs on both; what is seen must be the same. */
static void run_sql(struct run *r, int connection, const char *sql)
{
    struct buf seen[2] = {{0}};
    int rc[2];

    for (int which = MAIN; which <= TWIN; which++)
        rc[which] = application_run(&r->apps[which], connection, sql, &seen[which]);
    r->c->met.statements++;
    r->c->met.succeeded += rc[MAIN] == SQLITE_OK;
    bool unsettles = rc[MAIN] == SQLITE_CONSTRAINT_FOREIGNKEY || strcmp(sql, "VACUUM") == 0;
    if (rc[MAIN] == SQLITE_CONSTRAINT_FOREIGNKEY && rc[TWIN] == rc[MAIN])
        without_rows(seen);
    if (foreign_key_defect(r, connection, rc) || types_came_first(rc))
        r->defect = true;
    else if (!same_rowid(r, connection, unsettles, seen) ||
             strcmp(seen[MAIN].data, seen[TWIN].data) != 0)
        oracle_fail(&r->o, "the application sees the triggers in: %s\nwith triggers\n%swithout\n%s",
                    sql, seen[MAIN].data, seen[TWIN].data);
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

static void run_steps(struct run *r)
{
    for (size_t i = 0; i < r->p->count && !oracle_failed(&r->o) && !r->defect; i++) {
        const struct step *s = &r->p->steps[i];
        if (i == r->p->setup)
            oracle_open(&r->o, r->paths[MAIN]);
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
        oracle_fail(&r->o, "%s\nwith triggers\n%swithout\n%s", what, text[MAIN], text[TWIN]);
    free(text[MAIN]);
    free(text[TWIN]);
}

static void same_tables(struct run *r, sqlite3 *dbs[2])
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(dbs[TWIN],
                                "SELECT name, rowid FROM sqlite_master WHERE type='table' AND name "
                                "NOT LIKE 'sqlite_stat%' ORDER BY name",
                                -1, &stmt, NULL);

    while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(stmt, 0);
        char *sql = must(sqlite3_mprintf("SELECT * FROM \"%w\"", name));
        same_answer(r, dbs, sql, "the tables differ");
        sqlite3_free(sql);
        sql = must(sqlite3_mprintf("SELECT rowid FROM \"%w\" ORDER BY 1", name));
        same_answer(r, dbs, sql, "the rowids differ");
        sqlite3_free(sql);
        rc = SQLITE_OK;
    }
    sqlite3_finalize(stmt);
}

static void same_schema(struct run *r, sqlite3 *dbs[2], bool uninstalled)
{
    same_answer(r, dbs,
                uninstalled ? "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY rowid"
                            : "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE NOT (name "
                              "LIKE '\\_syncd\\_%' ESCAPE '\\') ORDER BY rowid",
                uninstalled ? "uninstalling left another schema"
                            : "the schema is not the application's and ours");
}

static bool is_sound(sqlite3 *db)
{
    sqlite3_stmt *stmt = NULL;
    bool sound = sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &stmt, NULL) == SQLITE_OK &&
                 sqlite3_step(stmt) == SQLITE_ROW &&
                 strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") == 0;

    sqlite3_finalize(stmt);
    return sound;
}

/* An old SQLite damages databases by itself: such a program says nothing of the triggers. */
static bool damaged_without_us(const struct run *r)
{
    sqlite3 *db = NULL;
    bool damaged = sqlite3_open(r->paths[TWIN], &db) != SQLITE_OK || !is_sound(db);

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
    if (!oracle_failed(&r->o) && !r->defect)
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
}

bool check_program(struct checker *c, const struct program *p, struct buf *why,
                   struct buf *installed)
{
    struct run r = {.c = c, .p = p, .o = {.program = p, .plant = c->plant}};

    open_databases(&r);
    run_steps(&r);
    end_transactions(&r);
    if (!r.o.source && !oracle_failed(&r.o))
        oracle_open(&r.o, r.paths[MAIN]);
    if (!oracle_failed(&r.o))
        oracle_drain(&r.o, 0);
    if (!oracle_failed(&r.o))
        final_checks(&r);
    c->met.defects += r.defect;
    for (int which = MAIN; which <= TWIN; which++)
        application_close(&r.apps[which]);
    bool well = !oracle_failed(&r.o);
    if (!well && damaged_without_us(&r)) {
        c->met.defects++;
        well = true;
    }
    if (!well && why)
        buf_puts(why, r.o.why.data);
    if (!well && installed && r.o.installed.len)
        buf_puts(installed, r.o.installed.data);
    count(c, &r.o);
    oracle_close(&r.o);
    for (int which = MAIN; which <= TWIN; which++)
        remove_database(r.paths[which]);
    return well;
}
