/* Capture as objects of the schema: what install and remove leave, and what is noticed. */
#include "capture_fixture.h"

static void install_makes_all_and_a_second_one_nothing(void **state)
{
    struct world *w = *state;

    app(w, THREE_TABLES);
    read_schema(w);
    assert_true(differs(w));
    assert_string_equal(state_of(w, 0), "missing");
    install(w);
    assert_string_equal(rebuilt(w), "012");
    assert_false(differs(w));
    expect(w, "SELECT count(*) FROM sqlite_schema WHERE type='trigger'", "13");
    expect(w, "SELECT seq,t,hex(k0) FROM _syncd_journal", "1|0|30313233343536373839616263646566");

    int64_t version = sql_int(w->app, "PRAGMA schema_version");
    char *schema = sql_text(w->app, SCHEMA);
    app(w, "INSERT INTO a VALUES(1,1)");
    install(w);
    assert_string_equal(rebuilt(w), "");
    assert_int_equal(sql_int(w->app, "PRAGMA schema_version"), version);
    expect(w, SCHEMA, schema);
    expect(w, "SELECT count(*) FROM _syncd_journal", "2");
    sqlite3_free(schema);
}

static void what_look_tells(void **state)
{
    struct world *w = *state;

    app(w, THREE_TABLES);
    read_schema(w);
    struct capture_state *st = look(w);
    assert_false(st->journal);
    assert_int_equal(st->count, 0);
    assert_int_equal(st->first_seq, -1);
    assert_int_equal(capture_id_of(st, "a"), 0);
    assert_int_equal(capture_max_id(st), 0);
    capture_state_free(st);

    install(w);
    app(w, "INSERT INTO a VALUES(1,1),(2,2)");
    st = look(w);
    assert_true(st->journal);
    assert_int_equal(st->journal_keys, 2);
    assert_int_equal(st->count, 13);
    assert_int_equal(st->first_seq, 1);
    assert_int_equal(st->max_seq, 3);
    assert_true(st->nonce_valid);
    assert_memory_equal(st->nonce, test_nonce, sizeof test_nonce);
    assert_int_equal(capture_id_of(st, "A"), FIRST_ID);
    assert_int_equal(capture_id_of(st, "c"), FIRST_ID + 2);
    assert_int_equal(capture_max_id(st), FIRST_ID + 2);
    capture_state_free(st);

    app(w, "DELETE FROM _syncd_journal WHERE t=0");
    st = look(w);
    assert_false(st->nonce_valid);
    assert_int_equal(st->first_seq, 2);
    assert_int_equal(st->first_t, FIRST_ID);
    capture_state_free(st);

    rebuilt(w);
    app(w, "DELETE FROM _syncd_journal");
    st = look(w);
    assert_true(st->journal);
    assert_int_equal(st->first_seq, -1);
    assert_int_equal(st->max_seq, -1);
    capture_state_free(st);
    assert_true(differs(w)); /* without a sentinel the sequence could restart */
    install(w);
    assert_string_equal(rebuilt(w), "");
    expect(w, "SELECT seq,t FROM _syncd_journal", "1|0");
}

static void only_what_differs_is_changed(void **state)
{
    struct world *w = *state;
    static const char others[] = "SELECT rowid,name FROM sqlite_schema WHERE type='trigger' AND "
                                 "tbl_name<>'b' AND name<>'_syncd_cap' ORDER BY rowid";

    app(w, THREE_TABLES);
    attach(w);
    rebuilt(w);
    char *before = sql_text(w->app, others);

    app(w, "DROP TRIGGER _syncd_8_d");
    assert_string_equal(state_of(w, 1), "missing");
    assert_string_equal(state_of(w, 0), "intact");
    install(w);
    assert_string_equal(rebuilt(w), "1");

    app(w, "DROP TRIGGER _syncd_8_i; CREATE TRIGGER _syncd_8_i AFTER INSERT ON b BEGIN SELECT 1; "
           "END");
    assert_string_equal(state_of(w, 1), "altered");
    install(w);
    assert_string_equal(rebuilt(w), "1");

    char *sql = capture_trigger_sql(&w->tables[1], "u");
    app(w, "DROP TRIGGER _syncd_8_u");
    char *moved = sqlite3_mprintf("%.*s\"a\"%s", (int)(strstr(sql, "\"b\"") - sql), sql,
                                  strstr(sql, "\"b\"") + 3);
    app(w, "%s", moved);
    assert_string_equal(state_of(w, 1), "altered");
    install(w);
    assert_string_equal(rebuilt(w), "1");
    assert_string_equal(state_of(w, 1), "intact");
    assert_false(differs(w));
    expect(w, others, before);
    sqlite3_free(sql);
    sqlite3_free(moved);
    sqlite3_free(before);
}

static void triggers_of_ours_that_nobody_wants_go(void **state)
{
    struct world *w = *state;

    app(w, THREE_TABLES);
    attach(w);
    app(w, "CREATE TRIGGER _syncd_99_i AFTER INSERT ON a BEGIN SELECT 1; END;"
           "CREATE TRIGGER _syncd_007_i AFTER INSERT ON a BEGIN SELECT 1; END;"
           "CREATE TRIGGER _SYNCD_8_X AFTER INSERT ON b BEGIN SELECT 1; END;"
           "CREATE TRIGGER _syncd_7_ii AFTER INSERT ON a BEGIN SELECT 1; END;"
           "CREATE TRIGGER \"_syncd_\"\"; DROP TABLE a; --\" AFTER INSERT ON a BEGIN SELECT 1; END;"
           "CREATE TRIGGER _syncdx AFTER INSERT ON a BEGIN SELECT 1; END;"
           "CREATE TRIGGER mine AFTER INSERT ON a BEGIN SELECT 1; END");
    assert_true(differs(w));
    install(w);
    assert_false(differs(w));
    expect(w,
           "SELECT name FROM sqlite_schema WHERE type='trigger' AND name NOT LIKE '\\_syncd\\_%' "
           "ESCAPE '\\'",
           "_syncdx mine");
    expect(w, "SELECT count(*) FROM sqlite_schema WHERE type='trigger'", "15");
    w->capture.count = 1;
    assert_true(differs(w));
    install(w);
    expect(w,
           "SELECT name FROM sqlite_schema WHERE name LIKE '\\_syncd\\_%' ESCAPE '\\' ORDER BY "
           "name",
           "_syncd_7_d _syncd_7_i _syncd_7_k _syncd_7_u _syncd_cap _syncd_journal");
}

/* Names that meet ours but for their case: SQLite takes them for the same. */
static void a_trigger_in_another_case_is_replaced(void **state)
{
    struct world *w = *state;

    app(w, "CREATE TABLE a(id INTEGER PRIMARY KEY);"
           "CREATE TRIGGER _SYNCD_7_I AFTER INSERT ON a BEGIN SELECT 1; END;"
           "CREATE TRIGGER _SyncD_Cap AFTER INSERT ON a BEGIN SELECT 1; END");
    attach(w);
    assert_false(differs(w));
    app(w, "INSERT INTO a VALUES(5)");
    expect_entries(w, "5");
}

/* An id that large is nobody's: one above it would not fit. */
static void an_absurd_id_is_no_id(void **state)
{
    struct world *w = *state;

    app(w, "CREATE TABLE a(id INTEGER PRIMARY KEY);"
           "CREATE TRIGGER _syncd_4294967295_i AFTER INSERT ON a BEGIN SELECT 1; END;"
           "CREATE TRIGGER _syncd_99999999999999999999_i AFTER INSERT ON a BEGIN SELECT 1; END;"
           "CREATE TRIGGER \"_syncd_-3_i\" AFTER INSERT ON a BEGIN SELECT 1; END");
    open_source(w);
    struct capture_state *st = look(w);
    assert_int_equal(st->count, 3);
    assert_int_equal(capture_id_of(st, "a"), 0);
    assert_int_equal(capture_max_id(st), 0);
    capture_state_free(st);
    attach(w);
    expect(w, "SELECT count(*) FROM sqlite_schema WHERE type='trigger'", "5");
}

static void the_journal_is_widened_for_longer_keys(void **state)
{
    struct world *w = *state;

    app(w, THREE_TABLES);
    attach(w);
    app(w, "INSERT INTO c VALUES(1,'x',0)");
    app(w, "CREATE TABLE d(e,f INT,g INT,h INT,i INT,PRIMARY KEY(i,h,g,f)) WITHOUT ROWID");
    read_schema(w);
    assert_true(differs(w));
    install(w);
    assert_string_equal(rebuilt(w), "3");
    assert_false(differs(w));
    app(w, "INSERT INTO d VALUES(0,1,2,3,4)");
    expect(w, "SELECT t,k0,k1,k2,k3 FROM _syncd_journal WHERE t<>0", "9|1|x|NULL|NULL 10|4|3|2|1");
    app(w, "DROP TABLE d");
    read_schema(w);
    assert_false(differs(w)); /* wider than needed is as it should be */
}

static void a_failed_install_leaves_nothing(void **state)
{
    struct world *w = *state;

    app(w, THREE_TABLES);
    read_schema(w);
    app(w, "DROP TABLE c");
    char *before = sql_text(w->app, SCHEMA);
    assert_int_equal(capture_install(w->source, &w->capture, test_nonce), SQLITE_ERROR);
    struct err err = {.text = ""};
    assert_int_equal(source_problem_of(w->source, SQLITE_ERROR, "installing triggers", &err),
                     SOURCE_FAILED);
    assert_non_null(strstr(err.text, "no such table: main.c"));
    assert_true(sqlite3_get_autocommit(w->source->db));
    expect(w, SCHEMA, before);

    read_schema(w);
    app(w, "BEGIN IMMEDIATE");
    assert_int_equal(capture_install(w->source, &w->capture, test_nonce) & 0xff, SQLITE_BUSY);
    assert_int_equal(capture_remove(w->source, true) & 0xff, SQLITE_BUSY);
    app(w, "COMMIT");
    expect(w, SCHEMA, before);
    install(w);
    assert_false(differs(w));
    sqlite3_free(before);
}

/* Another file at the path, made with these settings. */
static void start_over(struct world *w, const char *settings)
{
    forget_schema(w);
    source_close(w->source);
    w->source = NULL;
    assert_int_equal(sqlite3_close(w->app), SQLITE_OK);
    remove_tree(w->dir);
    assert_int_equal(mkdir(w->dir, 0700), 0);
    app_open(w);
    app(w, "%s", settings);
}

static void uninstall_leaves_the_schema_as_it_was(void **state)
{
    static const char *const settings[] = {"PRAGMA journal_mode=WAL", "PRAGMA journal_mode=DELETE",
                                           "PRAGMA auto_vacuum=FULL",
                                           "PRAGMA encoding='UTF-16'; PRAGMA page_size=512"};
    struct world *w = *state;

    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        start_over(w, settings[i]);
        app(w, THREE_TABLES
            "CREATE INDEX ai ON a(v); CREATE VIEW v AS SELECT * FROM a;"
            "CREATE TABLE n(id INTEGER PRIMARY KEY AUTOINCREMENT);"
            "CREATE TRIGGER mine AFTER INSERT ON a BEGIN INSERT INTO n VALUES(NULL); END;"
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<3000) "
            "INSERT INTO a SELECT i,i FROM n; ANALYZE");
        char *before = sql_text(w->app, SCHEMA);
        attach(w);
        app(w, "UPDATE a SET id=id+10000; DELETE FROM a WHERE id&1; ANALYZE");
        assert_int_equal(capture_remove(w->source, true), SQLITE_OK);
        expect(w, SCHEMA, before);
        expect(w, "PRAGMA integrity_check", "ok");
        expect(w, "SELECT * FROM sqlite_stat1 WHERE tbl LIKE '%syncd%'", "");
        app(w, "INSERT INTO a VALUES(99999,1)");
        assert_int_equal(capture_remove(w->source, true), SQLITE_OK); /* nothing to do */
        sqlite3_free(before);
    }
}

static void detach_keeps_the_journal(void **state)
{
    struct world *w = *state;

    app(w, THREE_TABLES);
    attach(w);
    app(w, "INSERT INTO a VALUES(1,1)");
    assert_int_equal(capture_remove(w->source, false), SQLITE_OK);
    expect(w, "SELECT name FROM sqlite_schema WHERE name LIKE '%syncd%'", "_syncd_journal");
    app(w, "INSERT INTO a VALUES(2,2)");
    expect(w, ENTRIES, "1");
    install(w);
    app(w, "INSERT INTO a VALUES(3,3)");
    expect(w, ENTRIES, "1 3");
}

static void a_lost_journal_comes_back(void **state)
{
    struct world *w = *state;

    app(w, THREE_TABLES);
    attach(w);
    rebuilt(w);
    app(w, "DROP TABLE _syncd_journal");
    assert_int_equal(app_try(w, "INSERT INTO a VALUES(1,1)"), SQLITE_ERROR);
    assert_true(differs(w));
    install(w);
    assert_string_equal(rebuilt(w), "");
    /* A connection that has seen the gap reads the schema again with its next other statement. */
    expect(w, "SELECT count(*) FROM a", "0");
    app(w, "INSERT INTO a VALUES(1,1)");
    expect(w, ENTRIES, "1");
    expect(w, "SELECT seq FROM _syncd_journal WHERE t=0", "1");
}

static void the_cap_bounds_an_orphaned_journal(void **state)
{
    struct world *w = *state;

    w->capture.journal_limit = 5000;
    app(w, "CREATE TABLE a(id INTEGER PRIMARY KEY, v)");
    attach(w);
    app(w, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<30000) "
           "INSERT INTO a SELECT i,0 FROM n");
    assert_in_range(sql_int(w->app, "SELECT count(*) FROM _syncd_journal"), 5000, 5000 + 4096);
    expect(w, "SELECT max(seq),max(k0) FROM _syncd_journal", "30001|30000");
    struct capture_state *st = look(w);
    assert_false(st->nonce_valid); /* what was lost shows */
    capture_state_free(st);

    w->capture.journal_limit = 6000;
    assert_true(differs(w));
    install(w);
    assert_false(differs(w));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(install_makes_all_and_a_second_one_nothing),
        world_test(what_look_tells),
        world_test(only_what_differs_is_changed),
        world_test(triggers_of_ours_that_nobody_wants_go),
        world_test(a_trigger_in_another_case_is_replaced),
        world_test(an_absurd_id_is_no_id),
        world_test(the_journal_is_widened_for_longer_keys),
        world_test(a_failed_install_leaves_nothing),
        world_test(uninstall_leaves_the_schema_as_it_was),
        world_test(detach_keeps_the_journal),
        world_test(a_lost_journal_comes_back),
        world_test(the_cap_bounds_an_orphaned_journal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
