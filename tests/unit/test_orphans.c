/* References that lead nowhere, against what SQLite's own check finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "jobs/orphans.h"

struct world {
    char dir[32], path[64];
    struct config config;
    struct source *source;
    struct plan_list plans;
    struct orphans orphans;
};

static void execute(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    char *text = NULL;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &text) != SQLITE_OK)
        fail_msg("%s: %s", text, sql);
    sqlite3_close(db);
}

static void begin(struct world *w, const char *sql)
{
    static char any[] = "*", name[] = "{table}", none[] = "";
    static char *all[] = {any};
    struct err err = {0};

    *w = (struct world){.dir = "/tmp/syncd-orphans-XXXXXX"};
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->path, sizeof w->path, "%s/app.db", w->dir);
    execute(w->path, sql);
    w->config = (struct config){.database = w->path,
                                .tables = {all, 1},
                                .table_name = name,
                                .source_id = none,
                                .meta_table = none};
    assert_int_equal(plan_list_make(&w->config, &w->plans, &err), 0);
    assert_int_equal(source_open(w->path, &w->source, &err), SOURCE_OK);
    if (orphans_open(w->source, &w->plans, &w->orphans, &err) != 0)
        fail_msg("%s", err.text);
}

static void end(struct world *w)
{
    char command[128];

    orphans_close(&w->orphans);
    source_close(w->source);
    plan_list_free(&w->plans);
    snprintf(command, sizeof command, "rm -rf %s", w->dir);
    assert_int_equal(system(command), 0);
}

static const struct orphan_reference *reference(const struct world *w, const char *columns)
{
    for (size_t i = 0; i < w->orphans.count; i++)
        if (strcmp(w->orphans.references[i].columns, columns) == 0)
            return &w->orphans.references[i];
    fail_msg("no reference by %s", columns);
    return NULL;
}

static void describe(void *arg, const struct orphan_reference *r, const struct value *row)
{
    struct world *w = ((void **)arg)[0];
    struct buf *out = ((void **)arg)[1];

    orphans_describe(&w->orphans, r, row, out);
    buf_puts(out, ";");
}

static void test_each_kind_of_reference(void **state)
{
    (void)state;
    struct world w;
    _cleanup_buf_ struct buf told = {0};
    struct err err = {0};

    begin(&w,
          "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT UNIQUE COLLATE NOCASE);"
          "CREATE TABLE pairs(a TEXT, b INTEGER, PRIMARY KEY(a, b)) WITHOUT ROWID;"
          "CREATE TABLE books(id TEXT PRIMARY KEY NOT NULL, user_id INTEGER REFERENCES users,"
          " by_name TEXT REFERENCES users(name), x TEXT, y TEXT, gone TEXT REFERENCES nowhere(id),"
          " wrong TEXT REFERENCES users(nope), FOREIGN KEY(x, y) REFERENCES pairs) WITHOUT ROWID;"
          "INSERT INTO users VALUES(1, 'Ann'), (2, 'Bob');"
          "INSERT INTO pairs VALUES('p', 7);"
          "INSERT INTO books(id, user_id, by_name, x, y, gone) VALUES"
          " ('ok', 1, 'ANN', 'p', '7', NULL), ('null', NULL, NULL, 'q', NULL, NULL),"
          " ('bad', 3, 'Eve', 'p', '8', 'z'), ('two', 4, 'bob', 'q', '7', NULL);");
    void *arg[] = {&w, &told};
    if (orphans_find(&w.orphans, describe, arg, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(w.orphans.count, 5);
    assert_int_equal(reference(&w, "user_id")->rows, 2);
    assert_string_equal(reference(&w, "user_id")->keys[0], "id='bad'");
    assert_string_equal(reference(&w, "user_id")->keys[1], "id='two'");
    assert_null(reference(&w, "user_id")->keys[2]);
    assert_string_equal(reference(&w, "user_id")->parent, "users");
    assert_int_equal(reference(&w, "by_name")->rows, 1);
    assert_int_equal(reference(&w, "x, y")->rows, 2);
    assert_int_equal(reference(&w, "gone")->rows, 1);
    assert_non_null(reference(&w, "wrong")->note);
    assert_non_null(strstr(told.data, "user_id=3;"));
    assert_non_null(strstr(told.data, "x='q', y='7';"));
    end(&w);
}

/* More rows than a page, as many found as SQLite itself finds. */
static void test_as_many_as_sqlite_finds(void **state)
{
    (void)state;
    struct world w;
    struct err err = {0};
    int64_t want = 0;

    begin(&w, "CREATE TABLE parents(id INTEGER PRIMARY KEY);"
              "CREATE TABLE children(id INTEGER PRIMARY KEY, p INTEGER REFERENCES parents);"
              "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) "
              "INSERT INTO children SELECT i, i % 97 FROM n;"
              "INSERT INTO parents SELECT DISTINCT p FROM children WHERE p % 3;");
    assert_int_equal(orphans_find(&w.orphans, NULL, NULL, &err), 0);
    assert_int_equal(source_query_int(w.source,
                                      "SELECT count(*) FROM pragma_foreign_key_check('children')",
                                      &want),
                     SQLITE_OK);
    assert_true(want > 1000);
    assert_int_equal(reference(&w, "p")->rows, want);
    end(&w);
}

/* A column that is not sent refers to nothing over there. */
static void test_excluded_columns_do_not_count(void **state)
{
    (void)state;
    struct world w;
    static char pattern[] = "books.a_id";
    static char *patterns[] = {pattern};

    begin(&w, "CREATE TABLE authors(id INTEGER PRIMARY KEY);"
              "CREATE TABLE books(id INTEGER PRIMARY KEY, a_id INTEGER REFERENCES authors);");
    assert_int_equal(w.orphans.count, 1);
    orphans_close(&w.orphans);
    plan_list_free(&w.plans);
    w.config.exclude_columns = (struct strlist){patterns, 1};
    struct err err = {0};
    assert_int_equal(plan_list_make(&w.config, &w.plans, &err), 0);
    assert_int_equal(orphans_open(w.source, &w.plans, &w.orphans, &err), 0);
    assert_int_equal(w.orphans.count, 0);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_kind_of_reference),
        cmocka_unit_test(test_as_many_as_sqlite_finds),
        cmocka_unit_test(test_excluded_columns_do_not_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
