/* Capture's lookups as part of a schema that lives: indexes that come and go, columns that are
 * renamed and dropped, and what cannot be looked up. */
#include "capture_fixture.h"

#define INDEXED                                                                                    \
    "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT UNIQUE, b, c, d AS (b||c), e, \"f g\", h);"     \
    "CREATE UNIQUE INDEX tb ON t(lower(b)) WHERE c > 1; CREATE UNIQUE INDEX td ON t(d);"           \
    "CREATE UNIQUE INDEX te ON t(e, \"f g\" COLLATE NOCASE) WHERE \"f g\" <> \"active\";"

#define TRIGGERS                                                                                   \
    "SELECT name FROM sqlite_schema WHERE type='trigger' AND name GLOB '_syncd_7_*' ORDER BY name"

static void lookups_follow_the_indexes(void **state)
{
    struct world *w = *state;

    app(w, "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b)");
    attach(w);
    expect(w, TRIGGERS, "_syncd_7_d _syncd_7_i _syncd_7_k _syncd_7_u");
    rebuilt(w);

    /* Until it is noticed, REPLACE goes unseen: the table must be compared, under its id. */
    app(w, "CREATE UNIQUE INDEX ta ON t(a)");
    read_schema(w);
    assert_true(differs(w));
    assert_string_equal(state_of(w, 0), "missing");
    install(w);
    assert_string_equal(rebuilt(w), "0");
    assert_false(differs(w));
    expect(w, TRIGGERS, "_syncd_7_b0 _syncd_7_bi _syncd_7_d _syncd_7_i _syncd_7_k _syncd_7_u");
    app(w, "INSERT INTO t VALUES(1,1,1); REPLACE INTO t VALUES(2,1,1)");
    expect_entries(w, "1 1 2");

    app(w, "DROP INDEX ta; CREATE UNIQUE INDEX ta ON t(b); CREATE UNIQUE INDEX tb ON t(a, b)");
    read_schema(w);
    assert_string_equal(state_of(w, 0), "missing"); /* altered, but the entries are the same */
    install(w);
    assert_string_equal(rebuilt(w), "0");
    expect(w, "SELECT count(*) FROM sqlite_schema WHERE name GLOB '_syncd_7_b*'", "3");

    app(w, "DROP INDEX ta; DROP INDEX tb");
    read_schema(w);
    assert_true(differs(w));
    assert_string_equal(state_of(w, 0), "intact");
    install(w);
    assert_string_equal(rebuilt(w), "");
    expect(w, TRIGGERS, "_syncd_7_d _syncd_7_i _syncd_7_k _syncd_7_u");
    assert_false(differs(w));
}

static void a_lookup_that_was_tampered_with_is_mended(void **state)
{
    struct world *w = *state;

    app(w, "CREATE TABLE t(id INTEGER PRIMARY KEY, a UNIQUE)");
    attach(w);
    rebuilt(w);
    app(w, "DROP TRIGGER _syncd_7_b0");
    assert_string_equal(state_of(w, 0), "missing");
    install(w);
    assert_string_equal(rebuilt(w), "0");
    /* Another entry than the plan's: what was journalled under this id may be misread. */
    app(w, "DROP TRIGGER _syncd_7_b0; CREATE TRIGGER _syncd_7_b0 BEFORE UPDATE ON t BEGIN "
           "INSERT INTO _syncd_journal(t,k0) SELECT 7,r.a FROM t AS r; END");
    assert_string_equal(state_of(w, 0), "altered");
    app(w, "DROP TRIGGER _syncd_7_b0; CREATE TRIGGER _syncd_7_b1 BEFORE UPDATE ON t BEGIN SELECT "
           "1; END");
    install(w);
    assert_false(differs(w));
    expect(w, "SELECT count(*) FROM sqlite_schema WHERE name GLOB '_syncd_7_b*'", "2");
}

static void as_many_indexes_as_there_may_be(void **state)
{
    struct world *w = *state;

    app(w, "CREATE TABLE t(id INTEGER PRIMARY KEY, a)");
    for (int i = 0; i < 120; i++)
        app(w, "CREATE UNIQUE INDEX i%d ON t(a+%d)", i, i);
    attach(w);
    assert_false(differs(w));
    expect(w, "SELECT count(*) FROM sqlite_schema WHERE name GLOB '_syncd_7_b*'", "121");
    app(w, "INSERT INTO t VALUES(1,1); REPLACE INTO t VALUES(2,1)");
    app(w, "DELETE FROM _syncd_journal WHERE rowid>3 AND k0=1");
    expect(w, ENTRIES, "1 1 2");
    install(w);
    assert_string_equal(state_of(w, 0), "intact");
}

/* --- ALTER TABLE ------------------------------------------------------------------------------ */

/* Columns of t that can be dropped, one at a time. */
static char *droppable(struct world *w)
{
    char *columns = sql_text(w->app, "SELECT quote(name) FROM pragma_table_xinfo('t')");
    sqlite3_str *out = sqlite3_str_new(NULL);
    sqlite3_stmt *stmt = NULL;

    assert_int_equal(
        sqlite3_prepare_v2(w->app, "SELECT name FROM pragma_table_xinfo('t')", -1, &stmt, NULL),
        SQLITE_OK);
    char *names[16];
    size_t n = 0;
    while (sqlite3_step(stmt) == SQLITE_ROW)
        names[n++] = sqlite3_mprintf("%s", sqlite3_column_text(stmt, 0));
    sqlite3_finalize(stmt);
    for (size_t i = 0; i < n; i++) {
        char *sql = sqlite3_mprintf("ALTER TABLE t DROP COLUMN \"%w\"", names[i]);
        app(w, "BEGIN");
        sqlite3_str_appendf(out, "%s%s", app_try(w, sql) == SQLITE_OK ? " " : " not ", names[i]);
        app(w, "ROLLBACK");
        sqlite3_free(sql);
        sqlite3_free(names[i]);
    }
    sqlite3_free(columns);
    return sqlite3_str_finish(out);
}

static const char *const living[] = {
    "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b TEXT); CREATE UNIQUE INDEX i ON t(b||a COLLATE "
    "NOCASE)",
    INDEXED,
    "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b, c, nocase, x TEXT NOT NULL DEFAULT 'y', z);"
    "CREATE UNIQUE INDEX ta ON t(a COLLATE nocase, CAST(b AS x)) WHERE t.rowid > 1 OR main.t.x=c",
    "CREATE TABLE t(k TEXT COLLATE NOCASE PRIMARY KEY, a, g AS (h||a), h AS (b+1) STORED, b, c, "
    "i AS (c)); CREATE UNIQUE INDEX tg ON t(g)",
    "CREATE TABLE t(id INTEGER PRIMARY KEY, a INT NOT NULL DEFAULT (1+1), b NOT NULL DEFAULT 3, c);"
    "CREATE UNIQUE INDEX ta ON t(a=b, typeof(b))",
};

static void what_can_be_dropped_can_be_dropped_still(void **state)
{
    struct world *w = *state;

    for (size_t i = 0; i < sizeof living / sizeof *living; i++) {
        app(w, "%s", living[i]);
        char *before = droppable(w);
        attach(w);
        assert_true(w->plans[0]->capture.lookup_count > 0);
        char *after = droppable(w);
        assert_string_equal(before, after);
        assert_non_null(strstr(before, "not "));
        sqlite3_free(before);
        sqlite3_free(after);
        app(w, "DROP TABLE t; DROP TABLE _syncd_journal");
    }
}

/* Renamed one after the other, and the table too, while triggers stand: writing works throughout,
 * and the next install is content or mends. */
static void renames_are_followed(void **state)
{
    struct world *w = *state;

    for (size_t i = 0; i < sizeof living / sizeof *living; i++) {
        app(w, "%s", living[i]);
        attach(w);
        const struct table_info *t = table_named(w, "t");
        for (size_t k = 0; k < t->column_count; k++) {
            app(w, "ALTER TABLE t RENAME COLUMN \"%w\" TO \"new %d\"", t->columns[k].name, (int)k);
            app(w, "REPLACE INTO t DEFAULT VALUES");
        }
        app(w, "ALTER TABLE t RENAME TO \"NEW\"");
        app(w, "REPLACE INTO \"NEW\" DEFAULT VALUES");
        read_schema(w);
        install(w);
        assert_false(differs(w));
        app(w, "REPLACE INTO \"NEW\" DEFAULT VALUES; UPDATE OR REPLACE \"NEW\" SET \"new 1\"=5");
        app(w, "DROP TABLE \"NEW\"; DROP TABLE _syncd_journal");
    }
}

/* Names of rows in a trigger, as the table's own name. */
static void tables_called_new_and_old(void **state)
{
    static const char *const names[] = {"new", "OLD", "r", "main", "_rowid_"};
    struct world *w = *state;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        app(w,
            "CREATE TABLE \"%w\"(id INTEGER PRIMARY KEY, \"new\" INT, old TEXT, r);"
            "CREATE UNIQUE INDEX u ON \"%w\"(\"new\" = '1', old) WHERE \"%w\".r > 0;"
            "CREATE UNIQUE INDEX v ON \"%w\"(r)",
            names[i], names[i], names[i], names[i]);
        attach(w);
        assert_null(w->plans[0]->capture.limits);
        app(w,
            "INSERT INTO \"%w\" VALUES(1,1,'a',1); REPLACE INTO \"%w\" VALUES(2,1,'a',2);"
            "REPLACE INTO \"%w\" VALUES(3,2,'b',2); REPLACE INTO \"%w\" VALUES(4,3,'b',3)",
            names[i], names[i], names[i], names[i]);
        expect(w, ENTRIES, "1 1 2 2 3 3 4");
        app(w, "DROP TABLE \"%w\"; DROP TABLE _syncd_journal", names[i]);
    }
}

/* A library before 3.25, or this setting, renames the table and leaves it in the triggers: nothing
 * but writing to it fails, until the next install. */
static void a_rename_by_old_rules_is_mended(void **state)
{
    struct world *w = *state;

    app(w, INDEXED "INSERT INTO t(id,a) VALUES(1,1)");
    attach(w);
    app(w, "PRAGMA legacy_alter_table=ON; ALTER TABLE t RENAME TO s");
    assert_int_equal(app_try(w, "INSERT INTO s(id,a) VALUES(3,3)"), SQLITE_ERROR);
    app(w, "UPDATE s SET h=1; DELETE FROM s WHERE id=9");
    read_schema(w);
    assert_true(differs(w));
    install(w);
    /* A connection that has failed reads the schema again with its next other statement. */
    expect(w, "SELECT count(*) FROM s", "1");
    app(w, "REPLACE INTO s(id,a) VALUES(2,1)");
    expect(w, ENTRIES, "1 1 2");
}

/* --- the application's connection ------------------------------------------------------------- */

static void counts_and_results_are_the_applications(void **state)
{
    struct world *w = *state;

    app(w, INDEXED);
    attach(w);
    app(w, "INSERT INTO t(id,a,b,c) VALUES(1,'x','x',2),(2,'y','y',2),(3,'z','z',2)");
    assert_int_equal(sqlite3_changes(w->app), 3);
    expect(w, "SELECT changes(), last_insert_rowid()", "3|3");
    expect(w, "INSERT OR REPLACE INTO t(a,b,c) VALUES('x','Y',2) RETURNING id, a, changes()",
           "4|x|3");
    expect(w, "SELECT changes(), last_insert_rowid()", "1|4");
    expect(w, "UPDATE OR REPLACE t SET a='z' WHERE id=4 RETURNING id, a", "4|z");
    expect(w, "SELECT changes(), last_insert_rowid()", "1|4");
    expect(w, "SELECT id FROM t", "4");
    expect(w, "INSERT INTO t(id,a) VALUES(9,'z') ON CONFLICT(a) DO UPDATE SET h=1 RETURNING id",
           "4");
    expect(w, "SELECT changes(), last_insert_rowid()", "1|4");
    expect(w, ENTRIES, "1 2 3 1 2 4 3 4 4 4");
}

static void hardened_connections_go_on_writing(void **state)
{
    struct world *w = *state;

    app(w, INDEXED);
    attach(w);
    sqlite3_db_config(w->app, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(w->app, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(w->app, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    app(w, "PRAGMA trusted_schema=OFF; PRAGMA case_sensitive_like=ON;"
           "PRAGMA reverse_unordered_selects=ON; PRAGMA full_column_names=ON");
    app(w, "CREATE TEMP TABLE t(id, a); CREATE TEMP TABLE _syncd_journal(x)");
    app(w, "INSERT INTO main.t(id,e,\"f g\") VALUES(1,1,'x'); REPLACE INTO main.t(id,e,\"f g\") "
           "VALUES(2,1,'X')");
    expect(w, "SELECT k0 FROM main._syncd_journal WHERE t<>0 ORDER BY seq", "1 1 2");
}

static void a_writer_that_attached_the_database(void **state)
{
    struct world *w = *state;
    sqlite3 *other;

    app(w, INDEXED);
    attach(w);
    assert_int_equal(sqlite3_open(":memory:", &other), SQLITE_OK);
    char *sql = sqlite3_mprintf("CREATE TABLE t(id, a, b); ATTACH %Q AS lib; INSERT INTO "
                                "lib.t(id,a) VALUES(5,5); REPLACE INTO lib.t(id,a) VALUES(6,5);"
                                "UPDATE OR REPLACE lib.t SET a=7",
                                w->path);
    sql_run(other, sql);
    sqlite3_free(sql);
    sqlite3_close(other);
    expect(w, ENTRIES, "5 5 6 6");
}

static void mine(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count;
    sqlite3_result_value(context, values[0]);
}

static int compare(void *arg, int n, const void *a, int m, const void *b)
{
    (void)arg;
    return n != m ? n - m : memcmp(a, b, (size_t)n);
}

/* Functions and collations that only the application has: we install without them, and whoever
 * changes other tables without them is not stopped by us. */
static void what_only_the_application_has_is_used_there(void **state)
{
    struct world *w = *state;

    sqlite3_create_function(w->app, "mine", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, mine, NULL,
                            NULL);
    sqlite3_create_collation(w->app, "mine", SQLITE_UTF8, NULL, compare);
    app(w, "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b COLLATE mine UNIQUE, c);"
           "CREATE UNIQUE INDEX u ON t(mine(a)) WHERE mine(c); CREATE TABLE s(x, y, z UNIQUE)");
    attach(w);
    assert_null(w->plans[0]->capture.limits);
    assert_false(differs(w));
    app(w, "INSERT INTO t VALUES(1,1,1,1),(2,2,2,2); REPLACE INTO t VALUES(3,1,2,1)");
    expect(w, ENTRIES, "1 2 2 1 3");
    assert_int_equal(sqlite3_close(w->app), SQLITE_OK);
    app_open(w);
    app(w, "ALTER TABLE s RENAME TO s2; ALTER TABLE s2 RENAME COLUMN x TO x2;"
           "ALTER TABLE s2 ADD COLUMN q; ALTER TABLE s2 DROP COLUMN y");
}

/* --- limits ----------------------------------------------------------------------------------- */

static void what_cannot_be_looked_up_is_said(void **state)
{
    static const char *const cases[][2] = {
        {"CREATE TABLE t(id INTEGER PRIMARY KEY, a NOT NULL DEFAULT (random()) UNIQUE)",
         "the unique index \"sqlite_autoindex_t_1\" may go unseen: the default of \"a\" cannot be "
         "foretold"},
        {"CREATE TABLE t(id INTEGER PRIMARY KEY, a DEFAULT (random()) UNIQUE)", NULL},
        {"CREATE TABLE t(id INTEGER PRIMARY KEY, a NOT NULL DEFAULT (application()) UNIQUE)",
         "foretold"},
        {"CREATE TABLE t(id INTEGER PRIMARY KEY, a NOT NULL DEFAULT (datetime('now')) UNIQUE, b "
         "NOT NULL DEFAULT CURRENT_TIMESTAMP UNIQUE)",
         NULL},
        {"CREATE TABLE t(id INTEGER PRIMARY KEY, a NOT NULL DEFAULT 5, g AS (a) UNIQUE)",
         "\"g\" is made of \"a\", whose NULL becomes its default too late"},
        {"CREATE TABLE t(id INTEGER PRIMARY KEY, a NOT NULL DEFAULT NULL, g AS (a) UNIQUE)", NULL},
        {"CREATE TABLE t(id INTEGER PRIMARY KEY, a); CREATE UNIQUE INDEX u ON t(a||id)",
         "\"u\" may go unseen: it is made of \"id\", which SQLite may choose too late"},
        {"CREATE TABLE t(id INTEGER PRIMARY KEY, g AS (id%5) UNIQUE)",
         "\"g\" is made of \"id\", which SQLite may choose too late"},
        {"CREATE TABLE t(id INTEGER PRIMARY KEY, a, UNIQUE(id, a))", NULL},
        {"CREATE TABLE t(k TEXT PRIMARY KEY, a UNIQUE)", NULL},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        app(w, "%s", cases[i][0]);
        attach(w);
        const char *limits = w->plans[0]->capture.limits;
        if (!cases[i][1] != !limits || (limits && !strstr(limits, cases[i][1])))
            fail_msg("%s: %s", cases[i][0], limits ? limits : "no limits");
        app(w, "DROP TABLE t; DROP TABLE _syncd_journal");
    }
}

/* An index whose text is not what SQLite itself writes down. */
static void a_definition_beyond_us_is_said_and_left_alone(void **state)
{
    struct world *w = *state;

    app(w, "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b UNIQUE);"
           "CREATE UNIQUE INDEX u ON t(lower(a)); PRAGMA writable_schema=ON");
    app(w, "UPDATE sqlite_schema SET sql='CREATE UNIQUE INDEX u ON t(\xef\xbb\xbf lower(a))' WHERE "
           "name='u'; PRAGMA writable_schema=RESET");
    attach(w);
    assert_non_null(w->plans[0]->capture.limits);
    assert_non_null(strstr(w->plans[0]->capture.limits, "\"u\" may go unseen: its definition is "
                                                        "beyond us"));
    assert_int_equal(w->plans[0]->capture.lookup_count, 1);
    app(w, "INSERT INTO t VALUES(1,1,1); REPLACE INTO t VALUES(2,2,1)");
    expect(w, ENTRIES, "1 1 2");
}

/* The index was renamed, in its columns, after the schema was read. */
static void a_plan_that_is_out_of_date_is_not_installed(void **state)
{
    struct world *w = *state;

    app(w, INDEXED);
    read_schema(w);
    app(w, "ALTER TABLE t RENAME COLUMN b TO bb");
    char *before = sql_text(w->app, SCHEMA);
    assert_int_equal(capture_install(w->source, &w->capture, test_nonce), SQLITE_ERROR);
    expect(w, SCHEMA, before);
    attach(w);
    assert_false(differs(w));
    sqlite3_free(before);
}

/* --- cost ------------------------------------------------------------------------------------- */

/* Each lookup goes by its own index: else an insert would read the table. */
static void lookups_use_their_indexes(void **state)
{
    struct world *w = *state;

    for (size_t i = 0; i < sizeof living / sizeof *living; i++) {
        app(w, "%s", living[i]);
        read_schema(w);
        const struct table_info *t = table_named(w, "t");
        for (size_t k = 0; k < t->lookup_count; k++) {
            char *sql = sqlite3_mprintf("EXPLAIN QUERY PLAN SELECT (SELECT 1 FROM t AS r WHERE %s) "
                                        "FROM t AS NEW",
                                        t->lookups[k].where);
            char *plan = sql_text(w->source->db, sql);
            char *by = *t->lookups[k].index ? sqlite3_mprintf("INDEX %s (", t->lookups[k].index)
                                            : sqlite3_mprintf("INTEGER PRIMARY KEY (");
            if (!strstr(plan, "SEARCH r ") || !strstr(plan, by) || strstr(plan, "SCAN r "))
                fail_msg("%s: %s", t->lookups[k].where, plan);
            sqlite3_free(sql);
            sqlite3_free(plan);
            sqlite3_free(by);
        }
        app(w, "DROP TABLE t");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(lookups_follow_the_indexes),
        world_test(a_lookup_that_was_tampered_with_is_mended),
        world_test(as_many_indexes_as_there_may_be),
        world_test(what_can_be_dropped_can_be_dropped_still),
        world_test(renames_are_followed),
        world_test(tables_called_new_and_old),
        world_test(a_rename_by_old_rules_is_mended),
        world_test(counts_and_results_are_the_applications),
        world_test(hardened_connections_go_on_writing),
        world_test(a_writer_that_attached_the_database),
        world_test(what_only_the_application_has_is_used_there),
        world_test(what_cannot_be_looked_up_is_said),
        world_test(a_definition_beyond_us_is_said_and_left_alone),
        world_test(a_plan_that_is_out_of_date_is_not_installed),
        world_test(lookups_use_their_indexes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
