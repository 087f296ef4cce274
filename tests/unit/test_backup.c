/* Copies of a database that somebody writes to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "jobs/backup.h"

struct written {
    char dir[32], database[64], copy[64];
    sqlite3 *app;
    const char *after; /* what is written when every page is copied, before it is checked */
};

static void run(sqlite3 *db, const char *sql)
{
    char *message = NULL;

    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", sql, message);
}

static int begin(void **state)
{
    struct written *w = calloc(1, sizeof *w);

    assert_non_null(w);
    snprintf(w->dir, sizeof w->dir, "/tmp/syncd-backup-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->database, sizeof w->database, "%s/app.db", w->dir);
    snprintf(w->copy, sizeof w->copy, "%s/copy.db", w->dir);
    assert_int_equal(sqlite3_open(w->database, &w->app), SQLITE_OK);
    run(w->app, "CREATE TABLE pairs(id INTEGER PRIMARY KEY, half);"
                "INSERT INTO pairs VALUES(1, 1), (2, 2)");
    *state = w;
    return 0;
}

static int end(void **state)
{
    struct written *w = *state;

    sqlite3_close(w->app);
    unlink(w->database);
    unlink(w->copy);
    assert_int_equal(rmdir(w->dir), 0); /* nothing else is left */
    free(w);
    return 0;
}

static bool progress(void *arg, int64_t done, int64_t total)
{
    struct written *w = arg;

    if (done == total && w->after)
        run(w->app, w->after);
    return true;
}

static int64_t rows_of(const char *file)
{
    sqlite3 *db;
    sqlite3_stmt *s;
    char uri[96];

    snprintf(uri, sizeof uri, "file:%s?immutable=1", file); /* no -shm beside it */
    assert_int_equal(sqlite3_open_v2(uri, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM pairs NOT INDEXED", -1, &s, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return n;
}

static void copied(struct written *w)
{
    struct backup_result out = {0};
    struct err err = {0};

    if (backup_run(w->database, w->copy, progress, w, &out, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(out.tables, 1);
    assert_int_equal(out.rows, 2);
    assert_int_equal(rows_of(w->copy), 2);
}

/* A copy is not to blame for what is committed behind it. */
static void rows_that_come_behind_the_copy_are_not_missed(void **state)
{
    struct written *w = *state;

    w->after = "INSERT INTO pairs VALUES(3, 1), (4, 2)";
    copied(w);
}

static void nor_in_wal_mode(void **state)
{
    struct written *w = *state;

    run(w->app, "PRAGMA journal_mode=WAL");
    w->after = "INSERT INTO pairs VALUES(3, 1), (4, 2)";
    copied(w);
}

static void a_database_at_rest_is_copied(void **state)
{
    copied(*state);
}

static int backwards(void *arg, int m, const void *a, int n, const void *b)
{
    int order = memcmp(b, a, (size_t)(m < n ? m : n));

    (void)arg;
    return order ? order : n - m;
}

/* What only the application can compare, nobody else can check. */
static void an_order_of_the_applications_own_is_copied(void **state)
{
    struct written *w = *state;

    assert_int_equal(sqlite3_create_collation(w->app, "mine", SQLITE_UTF8, NULL, backwards),
                     SQLITE_OK);
    run(w->app, "ALTER TABLE pairs ADD COLUMN name TEXT COLLATE mine;"
                "CREATE INDEX by_name ON pairs(name); UPDATE pairs SET name = 'n' || id");
    copied(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_database_at_rest_is_copied, begin, end),
        cmocka_unit_test_setup_teardown(rows_that_come_behind_the_copy_are_not_missed, begin, end),
        cmocka_unit_test_setup_teardown(nor_in_wal_mode, begin, end),
        cmocka_unit_test_setup_teardown(an_order_of_the_applications_own_is_copied, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
