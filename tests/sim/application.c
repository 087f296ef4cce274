/* The application: it writes to its tables, opens transactions and thinks better of them, and
 * changes its schema as people and migration tools do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "application.h"
#include "mirror/internal.h"
#include "vfs.h"
#include "world.h"

enum { PEOPLE, NOTES, GRID, TAGS, MSGS, SEATS, DESKS };

static const struct {
    const char *name, *create, *keys;
} sources[SIM_SOURCES] = {
    {"people", "CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT, v)", "id"},
    {"notes", "CREATE TABLE notes(slug TEXT PRIMARY KEY, v, n INTEGER)", "slug"},
    {"grid", "CREATE TABLE grid(a INTEGER, b TEXT, c TEXT, v, PRIMARY KEY(a,b,c)) WITHOUT ROWID",
     "a,b,c"},
    {"tags", "CREATE TABLE tags(tag TEXT COLLATE NOCASE PRIMARY KEY, v)", "tag"},
    {"msgs", "CREATE TABLE msgs(id INTEGER PRIMARY KEY, usr TEXT, room INTEGER, v)", "id,usr,room"},
    {"seats", "CREATE TABLE seats(id INTEGER PRIMARY KEY, place TEXT, v)", "id,place"},
    {"desks", "CREATE TABLE desks(code TEXT PRIMARY KEY, place TEXT, v)", "code,place"},
};

/* Messages whose rooms are those of people, who come and go, and have their ids changed. */
#define ROOMED                                                                                     \
    "CREATE TABLE msgs(id INTEGER PRIMARY KEY, usr TEXT, room INTEGER REFERENCES people(id), v)"

/* --- running ---------------------------------------------------------------------------------- */

static int on_commit(void *arg)
{
    struct world *w = arg;

    w->committed = true;
    return 0;
}

/* What is read from now on may show a commit that is not durable. `before`: files' operations
 * before the statement; one that changed no row commits nothing. */
static void note_commit(struct world *w, uint64_t before)
{
    bool committed = w->committed && sqlite3_get_autocommit(w->app);

    if (committed)
        w->committed = false;
    if (!committed || vfs_operations() == before)
        return;
    w->commits[w->commit_count++ % SIM_COMMITS] = (struct sim_commit){
        .serial = w->mirror ? engine_serial(w->mirror->engine) : 0, .operation = vfs_operations()};
}

/* Only the application changes columns, by anything but writing rows. */
static void forget_columns(struct world *w, const char *sql)
{
    static const char *const rows[] = {"INSERT", "UPDATE", "DELETE", "WITH", "BEGIN", "COMMIT"};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strncmp(sql, rows[i], strlen(rows[i])) == 0)
            return;
    for (unsigned t = 0; t < SIM_SOURCES; t++)
        w->columns[t].known = false;
}

bool app_run(struct world *w, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    char *sql = sqlite3_vmprintf(fmt, args);
    va_end(args);
    uint64_t before = vfs_operations();
    int rc = sqlite3_exec(w->app, sql, NULL, NULL, NULL);
    note_commit(w, before);
    sim_trace(w, "sql %s -> %d", sql, rc);
    forget_columns(w, sql);
    if (sqlite3_extended_errcode(w->app) == SQLITE_BUSY_SNAPSHOT) {
        /* It has read, somebody else has written, and now it would write: every application that
         * begins so must be ready for this. */
        sqlite3_exec(w->app, "ROLLBACK", NULL, NULL, NULL);
        forget_columns(w, "ROLLBACK");
        sim_trace(w, "sql ROLLBACK");
    } else if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_CONSTRAINT)
        sim_fail(w, "the application's \"%.200s\" fails: %s", sql, sqlite3_errmsg(w->app));
    sqlite3_free(sql);
    w->in_transaction = !sqlite3_get_autocommit(w->app);
    return rc == SQLITE_OK;
}

char *app_ask(struct world *w, const char *fmt, ...)
{
    va_list args;
    sqlite3_stmt *stmt = NULL;
    char *text = NULL;

    va_start(args, fmt);
    char *sql = sqlite3_vmprintf(fmt, args);
    va_end(args);
    if (sqlite3_prepare_v2(w->app, sql, -1, &stmt, NULL) == SQLITE_OK &&
        sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_text(stmt, 0))
        text = sqlite3_mprintf("%s", sqlite3_column_text(stmt, 0));
    sqlite3_finalize(stmt);
    sqlite3_free(sql);
    return text;
}

bool app_table_exists(struct world *w, unsigned t)
{
    char *yes = app_ask(w, "SELECT 1 FROM sqlite_schema WHERE name=%Q", sources[t].name);

    sqlite3_free(yes);
    return yes != NULL;
}

/* --- pieces of statements; each freed with sqlite3_free() --------------------------------------
 */

static char *new_key(struct world *w, unsigned t, unsigned k)
{
    static const char *const spellings[] = {"tag", "Tag", "TAG"};

    switch (t) {
    case PEOPLE:
        return sqlite3_mprintf("%u", k + 1);
    case NOTES:
        if (sim_chance(w, w->faults.unmapped))
            return sqlite3_mprintf("%s", sim_chance(w, 500) ? "''" : "NULL");
        return sqlite3_mprintf("'n%u'", k);
    case GRID:
        return sqlite3_mprintf("%u,'b%u','c#%u'", k % 3, k % 2, k);
    case MSGS:
        return sqlite3_mprintf("%u,'u%u',%u", k + 1, sim_pick(w, 3),
                               sim_pick(w, w->orphans ? w->keys + 2 : 3));
    case SEATS:
        return sqlite3_mprintf("%u,'p%u'", k + 1, sim_pick(w, w->keys));
    case DESKS:
        if (sim_chance(w, w->faults.unmapped))
            return sqlite3_mprintf("'d%u',NULL", k);
        return sqlite3_mprintf("'d%u','p%u'", k, sim_pick(w, w->keys));
    default:
        return sqlite3_mprintf("'%s%u'", spellings[sim_pick(w, 3)], k);
    }
}

static char *where(unsigned t, unsigned k)
{
    switch (t) {
    case PEOPLE:
    case MSGS:
    case SEATS:
        return sqlite3_mprintf("id=%u", k + 1);
    case DESKS:
        return sqlite3_mprintf("code='d%u'", k);
    case NOTES:
        return sqlite3_mprintf("slug='n%u'", k);
    case GRID:
        return sqlite3_mprintf("a=%u AND b='b%u' AND c='c#%u'", k % 3, k % 2, k);
    default:
        return sqlite3_mprintf("tag='tag%u'", k);
    }
}

/* Text that hardly becomes smaller when it is compressed. */
static char *large_value(struct world *w)
{
    char text[1600];
    unsigned n = 100 + sim_pick(w, sizeof text - 100);

    for (unsigned i = 0; i < n; i++)
        text[i] = (char)('!' + sim_pick(w, 90));
    for (unsigned i = 0; i < n; i++)
        text[i] = text[i] == '\'' ? '~' : text[i];
    return sqlite3_mprintf("'%.*s'", (int)n, text);
}

char *app_new_value(struct world *w)
{
    if (w->oversize && sim_chance(w, 250))
        return large_value(w);
    if (sim_chance(w, w->faults.poison))
        return sqlite3_mprintf("'a cup of " SIM_POISON " %u'", sim_pick(w, 9));
    if (sim_chance(w, w->faults.unmapped))
        return sqlite3_mprintf("%s", sim_chance(w, 900) ? "9e999" : "zeroblob(420000)");
    switch (sim_pick(w, 8)) {
    case 0:
        return sqlite3_mprintf("NULL");
    case 1:
        return sqlite3_mprintf("%u.25", sim_pick(w, 1000));
    case 2:
        return sqlite3_mprintf("x'%02x00ff'", sim_pick(w, 256));
    case 3:
        return sqlite3_mprintf("printf('%%.*c %u', %u, 'x')", sim_pick(w, 50), sim_pick(w, 3000));
    case 4:
        return sqlite3_mprintf("'same'");
    default:
        return sqlite3_mprintf("'text %u'", sim_pick(w, 100000));
    }
}

/* Columns that are no part of the key; none, when there is no table. */
static void read_columns(struct world *w, unsigned t, struct sim_columns *c)
{
    sqlite3_stmt *stmt = sim_ask(w->app, &w->asked.columns,
                                 "SELECT name FROM pragma_table_info(?1) WHERE pk=0 AND name NOT "
                                 "IN (" KEY_COLUMNS ")");

    sqlite3_bind_text(stmt, 1, sources[t].name, -1, SQLITE_STATIC);
    for (c->count = 0; c->count < SIM_COLUMNS && sqlite3_step(stmt) == SQLITE_ROW; c->count++)
        snprintf(c->names[c->count], sizeof *c->names, "%s", sqlite3_column_text(stmt, 0));
    sqlite3_reset(stmt);
    c->known = true;
}

/* One of them; NULL when there is none. */
char *app_other_column(struct world *w, unsigned t)
{
    struct sim_columns *c = &w->columns[t];

    /* Within a transaction that has not read yet, this is its first look at the database. */
    if (!c->known || (w->in_transaction && sqlite3_txn_state(w->app, "main") == SQLITE_TXN_NONE))
        read_columns(w, t, c);
    return c->count ? sqlite3_mprintf("%s", c->names[sim_pick(w, c->count)]) : NULL;
}

/* --- rows ------------------------------------------------------------------------------------- */

static void insert(struct world *w, unsigned t, const char *column)
{
    static const char *const policies[] = {"", "OR IGNORE", "OR REPLACE"};
    char *key = new_key(w, t, sim_pick(w, w->keys)), *value = app_new_value(w);
    const char *policy = policies[sim_pick(w, 3)];

    if (sim_chance(w, 300))
        app_run(w,
                "INSERT INTO %s(%s,\"%w\") VALUES(%s,%s) ON CONFLICT DO UPDATE SET "
                "\"%w\"=excluded.\"%w\"",
                sources[t].name, sources[t].keys, column, key, value, column, column);
    else
        app_run(w, "INSERT %s INTO %s(%s,\"%w\") VALUES(%s,%s)", policy, sources[t].name,
                sources[t].keys, column, key, value);
    sqlite3_free(key);
    sqlite3_free(value);
}

/* Two rows take each other's DynamoDB key in one transaction. */
static void swap_places(struct world *w, unsigned t)
{
    char *one = where(t, sim_pick(w, w->keys)), *other = where(t, sim_pick(w, w->keys));
    bool begun = w->in_transaction;

    if (!begun)
        app_run(w, "BEGIN IMMEDIATE");
    app_run(w, "UPDATE %s SET place=place||'!' WHERE %s", sources[t].name, one);
    app_run(w, "UPDATE %s SET place=(SELECT rtrim(place,'!') FROM %s WHERE %s) WHERE %s",
            sources[t].name, sources[t].name, one, other);
    app_run(w, "UPDATE %s SET place='p%u' WHERE %s", sources[t].name, sim_pick(w, w->keys), one);
    if (!begun)
        app_run(w, "COMMIT");
    sqlite3_free(one);
    sqlite3_free(other);
}

static void move(struct world *w, unsigned t)
{
    static const char *const policies[] = {"", "OR IGNORE", "OR REPLACE"};
    char *from = where(t, sim_pick(w, w->keys)), *to = new_key(w, t, sim_pick(w, w->keys));
    const char *policy = policies[sim_pick(w, 3)];

    if (t == PEOPLE && sim_chance(w, 200))
        app_run(w, "UPDATE OR IGNORE people SET id=id+%u", sim_pick(w, 3));
    else if (t == PEOPLE && sim_chance(w, 100))
        app_run(w, "UPDATE people SET id=-id");
    else if (t == PEOPLE && sim_chance(w, 300))
        app_run(w, "UPDATE %s people SET rowid=%s WHERE %s", policy, to, from);
    else if ((t == SEATS || t == DESKS) && sim_chance(w, 300))
        swap_places(w, t);
    else if (strchr(sources[t].keys, ','))
        app_run(w, "UPDATE %s %s SET (%s)=(%s) WHERE %s", policy, sources[t].name, sources[t].keys,
                to, from);
    else
        app_run(w, "UPDATE %s %s SET %s=%s WHERE %s", policy, sources[t].name, sources[t].keys, to,
                from);
    sqlite3_free(from);
    sqlite3_free(to);
}

static void change(struct world *w, unsigned t, const char *column)
{
    char *row = where(t, sim_pick(w, w->keys)), *value = app_new_value(w);

    /* Of 420 KB in each of thousands of rows there is no more to be seen than of one. */
    if (sim_chance(w, 30) && !strstr(value, "zeroblob"))
        app_run(w, "UPDATE %s SET \"%w\"=%s", sources[t].name, column, value);
    else if (sim_chance(w, 100))
        app_run(w, "UPDATE %s SET \"%w\"=\"%w\"", sources[t].name, column, column);
    else
        app_run(w, "UPDATE %s SET \"%w\"=%s WHERE %s", sources[t].name, column, value, row);
    sqlite3_free(row);
    sqlite3_free(value);
}

static void many(struct world *w, unsigned t, const char *column)
{
    static const char *const keys[] = {"x",
                                       "'n'||x",
                                       "x%3,'b'||(x%2),'c#'||x",
                                       "'tag'||x",
                                       "x,'u'||(x%3),x%2",
                                       "x,'p'||x",
                                       "'d'||x,'p'||(x%100)"};
    unsigned n = sim_chance(w, 50) ? 2500 : 1 + sim_pick(w, 200);

    app_run(w,
            "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c LIMIT %u) "
            "INSERT OR IGNORE INTO %s(%s,\"%w\") SELECT %s, 'many '||x FROM c",
            n, sources[t].name, sources[t].keys, column, keys[t]);
}

void app_write_row(struct world *w)
{
    unsigned t = sim_pick(w, SIM_SOURCES);
    char *column = app_other_column(w, t);
    unsigned dice = sim_pick(w, 1000);

    if (!column)
        return;
    if (dice < 400)
        insert(w, t, column);
    else if (dice < 700)
        change(w, t, column);
    else if (dice < 820)
        move(w, t);
    else if (dice < 980) {
        char *row = where(t, sim_pick(w, w->keys));
        app_run(w, "DELETE FROM %s WHERE %s", sources[t].name, row);
        sqlite3_free(row);
    } else if (dice < 990)
        app_run(w, "DELETE FROM %s", sources[t].name);
    else
        many(w, t, column);
    sqlite3_free(column);
}

/* --- steps ------------------------------------------------------------------------------------ */

void application_step(struct world *w)
{
    if (!w->in_transaction && sim_chance(w, w->faults.schema)) {
        app_change_schema(w);
        return;
    }
    if (!w->in_transaction && sim_chance(w, 150))
        app_run(w, sim_chance(w, 500) ? "BEGIN" : "BEGIN IMMEDIATE");
    for (unsigned n = 1 + sim_pick(w, w->in_transaction ? 6 : 2); n > 0; n--)
        app_write_row(w);
    if (w->in_transaction && sim_chance(w, 700))
        app_run(w, sim_chance(w, 250) ? "ROLLBACK" : "COMMIT");
}

/* Rows change and go while no trigger notes it. */
void application_unseen(struct world *w)
{
    char *drops = app_ask(w, "SELECT group_concat('DROP TRIGGER '||name, ';') FROM sqlite_schema "
                             "WHERE type='trigger' AND name<>'_syncd_cap'");

    if (drops)
        app_run(w, "%s", drops);
    sqlite3_free(drops);
    for (unsigned n = 1 + sim_pick(w, 8); n > 0; n--) {
        unsigned t = sim_pick(w, SIM_SOURCES), k = sim_pick(w, w->keys);
        char *of = sim_chance(w, 200) ? sqlite3_mprintf("1") : where(t, k);
        if (app_table_exists(w, t))
            app_run(w, "DELETE FROM %s WHERE %s", sources[t].name, of);
        sqlite3_free(of);
        app_write_row(w);
    }
}

void application_rest(struct world *w)
{
    if (w->in_transaction)
        app_run(w, "COMMIT");
    while (w->rebuilding >= 0)
        app_rebuild_step(w);
}

const char *application_table(unsigned source)
{
    return sources[source].name;
}

void application_close(struct world *w)
{
    oracle_forget(w);
    sqlite3_finalize(w->asked.columns);
    sqlite3_finalize(w->asked.tables);
    sqlite3_finalize(w->asked.journal);
    sqlite3_finalize(w->asked.orphan);
    sqlite3_finalize(w->asked.version);
    sqlite3_finalize(w->asked.data);
    w->asked = (struct sim_asked){0};
    forget_columns(w, "");
    sqlite3_close_v2(w->app);
    sqlite3_close_v2(w->look);
    w->app = w->look = NULL;
    w->in_transaction = false;
    w->commit_count = 0;
}

bool application_open(struct world *w)
{
    if (sqlite3_open(w->database, &w->app) != SQLITE_OK ||
        sqlite3_open(w->database, &w->look) != SQLITE_OK)
        return false;
    sqlite3_commit_hook(w->app, on_commit, w);
    app_run(w, "PRAGMA journal_mode=%s", w->journal_mode);
    app_run(w, "PRAGMA synchronous=%s", w->synchronous);
    return true;
}

/* What a rebuild had come to may have been taken back in part: it is undone by hand. `names`: of
 * all tables, each in quotes. */
static void recover_table(struct world *w, const char *name, const char *names)
{
    static const char *const besides[] = {"%s_new", "_alembic_tmp_%s", "%s_old"};
    char *itself = sqlite3_mprintf("%Q", name);
    bool there = strstr(names, itself);

    for (size_t i = 0; i < sizeof besides / sizeof *besides; i++) {
        char *beside = sqlite3_mprintf(besides[i], name);
        char *quoted = sqlite3_mprintf("%Q", beside);
        if (strstr(names, quoted)) {
            if (there)
                app_run(w, "DROP TABLE \"%w\"", beside);
            else
                app_run(w, "ALTER TABLE \"%w\" RENAME TO \"%w\"", beside, name);
            there = true;
        }
        sqlite3_free(beside);
        sqlite3_free(quoted);
    }
    sqlite3_free(itself);
}

void application_recover(struct world *w)
{
    if (!application_open(w)) {
        sim_fail(w, "the database cannot be opened after a power failure");
        return;
    }
    char *sound = app_ask(w, "PRAGMA integrity_check");
    if (!sound || strcmp(sound, "ok") != 0)
        sim_fail(w, "the database is damaged by a power failure: %s", sound ? sound : "?");
    sqlite3_free(sound);
    w->rebuilding = -1;
    app_run(w, "DROP TABLE IF EXISTS passing");
    char *names = app_ask(w, "SELECT group_concat(quote(name)) FROM sqlite_schema");
    for (unsigned t = 0; names && t < SIM_SOURCES; t++)
        recover_table(w, sources[t].name, names);
    sqlite3_free(names);
}

bool application_create(struct world *w)
{
    static const char *const rollback[] = {"DELETE", "TRUNCATE", "PERSIST"};
    bool wal = sim_chance(w, 700);

    w->journal_mode = wal ? "WAL" : rollback[sim_pick(w, 3)];
    w->synchronous = wal && sim_chance(w, 700) ? "NORMAL" : "FULL";
    if (!application_open(w))
        return false;
    for (unsigned t = 0; t < SIM_SOURCES; t++)
        app_run(w, "%s", w->orphans && t == MSGS ? ROOMED : sources[t].create);
    for (unsigned n = sim_pick(w, 100); n > 0; n--)
        app_write_row(w);
    return true;
}
