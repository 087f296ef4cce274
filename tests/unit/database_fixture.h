/* A database in a directory of its own, with the application's connection and ours, for the tests
 * of source, capture, journal, rows and state. */
#ifndef SYNCD_TESTS_DATABASE_FIXTURE_H
#define SYNCD_TESTS_DATABASE_FIXTURE_H

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "mapping/plan.h"
#include "source/capture_sql.h"
#include "source/catalog.h"
#include "source/journal.h"
#include "source/rows.h"
#include "source/source.h"

enum { FIRST_ID = 7, MAX_TABLES = 8 };

struct world {
    char dir[64], path[96];
    sqlite3 *app;          /* the application's connection */
    struct source *source; /* ours */
    struct catalog *catalog;
    struct table_plan *plans[MAX_TABLES];
    struct capture_table tables[MAX_TABLES]; /* every table with a key, by name */
    struct capture capture;
    struct journal *journal;
};

static const uint8_t test_nonce[CAPTURE_NONCE_SIZE] = "0123456789abcdef";

/* --- SQL -------------------------------------------------------------------------------------- */

static inline void sql_run(sqlite3 *db, const char *sql)
{
    char *said = NULL;

    if (sqlite3_exec(db, sql, NULL, NULL, &said) != SQLITE_OK)
        fail_msg("%s\n  in: %.2000s", said, sql);
}

/* Statements of the application; SQLite's own formats, %w and %q among them. */
static inline void app(struct world *w, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    char *sql = sqlite3_vmprintf(fmt, args);
    va_end(args);
    sql_run(w->app, sql);
    sqlite3_free(sql);
}

static inline int app_try(struct world *w, const char *sql)
{
    return sqlite3_exec(w->app, sql, NULL, NULL, NULL) & 0xff;
}

/* Every row of a query: columns parted by '|', rows by ' '. Free with sqlite3_free(). */
static inline char *sql_text(sqlite3 *db, const char *sql)
{
    sqlite3_str *out = sqlite3_str_new(NULL);
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

    if (rc != SQLITE_OK)
        fail_msg("%s\n  in: %s", sqlite3_errmsg(db), sql);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        if (sqlite3_str_length(out))
            sqlite3_str_appendchar(out, 1, ' ');
        for (int i = 0; i < sqlite3_column_count(stmt); i++) {
            const unsigned char *text = sqlite3_column_text(stmt, i);
            sqlite3_str_appendf(out, "%s%s", i ? "|" : "", text ? (const char *)text : "NULL");
        }
    }
    if (rc != SQLITE_DONE)
        fail_msg("%s\n  in: %s", sqlite3_errmsg(db), sql);
    sqlite3_finalize(stmt);
    char *text = sqlite3_str_finish(out);
    return text ? text : sqlite3_mprintf("");
}

static inline void expect(struct world *w, const char *sql, const char *rows)
{
    char *got = sql_text(w->app, sql);

    assert_string_equal(got, rows);
    sqlite3_free(got);
}

static inline int64_t sql_int(sqlite3 *db, const char *sql)
{
    char *text = sql_text(db, sql);
    int64_t n = strtoll(text, NULL, 10);

    sqlite3_free(text);
    return n;
}

/* --- life ------------------------------------------------------------------------------------- */

static inline void remove_tree(const char *dir)
{
    DIR *d = opendir(dir);

    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        char *path = sqlite3_mprintf("%s/%s", dir, e->d_name);
        if (unlink(path) < 0)
            remove_tree(path);
        sqlite3_free(path);
    }
    if (d)
        closedir(d);
    rmdir(dir);
}

static inline void app_open(struct world *w)
{
    assert_int_equal(sqlite3_open(w->path, &w->app), SQLITE_OK);
    sql_run(w->app, "PRAGMA synchronous=OFF");
}

static inline int world_setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    assert_non_null(w);
    snprintf(w->dir, sizeof w->dir, "/tmp/syncd-unit-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->path, sizeof w->path, "%s/app.db", w->dir);
    app_open(w);
    sql_run(w->app, "PRAGMA journal_mode=WAL");
    w->capture.journal_limit = 1000000;
    *state = w;
    return 0;
}

static inline void forget_schema(struct world *w)
{
    journal_close(w->journal);
    w->journal = NULL;
    for (size_t i = 0; i < MAX_TABLES; i++) {
        plan_free(w->plans[i]);
        w->plans[i] = NULL;
    }
    catalog_free(w->catalog);
    w->catalog = NULL;
    w->capture.count = 0;
}

static inline int world_teardown(void **state)
{
    struct world *w = *state;

    forget_schema(w);
    source_close(w->source);
    sqlite3_close_v2(w->app);
    remove_tree(w->dir);
    free(w);
    return 0;
}

#define world_test(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

/* --- our side --------------------------------------------------------------------------------- */

static inline void open_source(struct world *w)
{
    struct err err = {.text = ""};

    if (!w->source && source_open(w->path, &w->source, &err) != SOURCE_OK)
        fail_msg("%s", err.text);
}

/* Read the schema anew and make a plan of each table that can be mirrored; ids by name from
 * FIRST_ID. */
static inline void read_schema(struct world *w)
{
    struct plan_options o = {.target = "target"};
    struct err err = {.text = ""};

    open_source(w);
    forget_schema(w);
    if (catalog_read(w->source, &w->catalog, &err) != SOURCE_OK)
        fail_msg("%s", err.text);
    w->capture.tables = w->tables;
    for (size_t i = 0; i < w->catalog->count; i++) {
        const struct table_info *t = &w->catalog->tables[i];
        size_t n = w->capture.count;
        if (!t->key_count)
            continue;
        assert_true(n < MAX_TABLES);
        if (plan_make(t, &o, &w->plans[n], &err) < 0)
            continue;
        w->tables[n] = (struct capture_table){.id = FIRST_ID + (uint32_t)n, .plan = w->plans[n]};
        w->capture.count++;
    }
}

static inline void install(struct world *w)
{
    int rc = capture_install(w->source, &w->capture, test_nonce);

    if (rc != SQLITE_OK)
        fail_msg("install: %s", sqlite3_errmsg(w->source->db));
}

static inline void attach(struct world *w)
{
    read_schema(w);
    install(w);
}

static inline struct table_info *table_named(struct world *w, const char *name)
{
    for (size_t i = 0; i < w->catalog->count; i++)
        if (strcasecmp(w->catalog->tables[i].name, name) == 0)
            return &w->catalog->tables[i];
    fail_msg("no table %s", name);
    return NULL;
}

static inline void open_journal(struct world *w)
{
    struct capture_state *st = NULL;

    assert_int_equal(capture_look(w->source, &st), SQLITE_OK);
    assert_int_equal(journal_open(w->source, st->journal_keys, &w->journal), SQLITE_OK);
    capture_state_free(st);
}

/* The first key value of every entry, in order. */
#define ENTRIES  "SELECT quote(k0) FROM _syncd_journal WHERE t<>0 ORDER BY seq"
#define ENTRIES2 "SELECT quote(k0)||','||quote(k1) FROM _syncd_journal WHERE t<>0 ORDER BY seq"
#define SCHEMA   "SELECT type,name,tbl_name,rootpage,sql FROM sqlite_schema ORDER BY rowid"

/* What was journalled since the last call. */
static inline void expect_entries(struct world *w, const char *rows)
{
    expect(w, ENTRIES, rows);
    app(w, "DELETE FROM _syncd_journal WHERE t<>0 AND seq<(SELECT max(seq) FROM _syncd_journal)");
    app(w, "UPDATE _syncd_journal SET t=0 WHERE t<>0");
}

#endif
