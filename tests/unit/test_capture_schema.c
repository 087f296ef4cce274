/* Capture while the application changes its schema. */
#include "capture_fixture.h"

static void altering_tables_works_and_is_followed(void **state)
{
    struct world *w = *state;

    app(w, THREE_TABLES);
    attach(w);
    rebuilt(w);
    app(w, "INSERT INTO c VALUES(1,'x',0); ALTER TABLE c ADD COLUMN w DEFAULT 5;"
           "ALTER TABLE c DROP COLUMN v; ALTER TABLE c RENAME COLUMN w TO \"w \"\"2\"\"\"");
    read_schema(w);
    assert_string_equal(state_of(w, 2), "intact");

    /* A renamed key column, or table, is followed by SQLite into the triggers, word for word. */
    app(w, "ALTER TABLE c RENAME COLUMN y TO \"why \"\" not\"");
    assert_string_equal(state_of(w, 2), "altered"); /* by the plan as it was */
    read_schema(w);
    assert_string_equal(state_of(w, 2), "intact");
    app(w, "ALTER TABLE c RENAME TO \"d; \"\"x\"");
    read_schema(w);
    assert_string_equal(state_of(w, 2), "intact");
    struct capture_state *st = look(w);
    assert_int_equal(capture_id_of(st, "d; \"x"), FIRST_ID + 2);
    capture_state_free(st);
    app(w, "UPDATE \"d; \"\"x\" SET x=2");
    expect(w, ENTRIES2, "1,'x' 1,'x' 2,'x' 2,'x'");
    assert_false(differs(w));

    app(w, "ALTER TABLE b RENAME COLUMN v TO rowid; ALTER TABLE a RENAME COLUMN v TO oid");
    read_schema(w);
    /* oid names a column of its own now: the alias must leave the list. */
    assert_string_equal(state_of(w, 0), "altered");
    install(w);
    assert_string_equal(rebuilt(w), "0");
    app(w, "INSERT INTO a VALUES(1,1); UPDATE a SET rowid=2");
    expect(w, "SELECT k0 FROM _syncd_journal WHERE t=7", "1 1 2 2");
}

/* Rebuilt by the book, and what a mark must see although names and SQL are the same again. */
static void marks_change_with_every_rebuild(void **state)
{
    static const char copy_of_table[] = "SELECT group_concat(sql,';') FROM sqlite_schema WHERE "
                                        "type='trigger' AND tbl_name='b'";
    struct world *w = *state;

    app(w, THREE_TABLES);
    attach(w);
    char *first = mark_of(w, "B");
    assert_non_null(first);
    app(w, "INSERT INTO b VALUES('x',1); ALTER TABLE a ADD COLUMN z; CREATE TABLE other(x);"
           "UPDATE b SET v=2");
    install(w);
    char *again = mark_of(w, "b");
    assert_string_equal(first, again);
    sqlite3_free(again);

    char *triggers = sql_text(w->app, copy_of_table);
    app(w,
        "BEGIN; CREATE TABLE new_b(k TEXT PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO new_b SELECT "
        "* FROM b; DROP TABLE b; ALTER TABLE new_b RENAME TO b");
    app(w, "%s; COMMIT", triggers);
    again = mark_of(w, "b");
    assert_string_not_equal(first, again);
    sqlite3_free(again);
    sqlite3_free(first);

    /* A table that came last, dropped and made again, gets its old place in the schema back. */
    app(w, "CREATE TABLE z(k TEXT PRIMARY KEY)");
    attach(w);
    first = mark_of(w, "z");
    sqlite3_free(triggers);
    triggers = sql_text(w->app, "SELECT group_concat(sql,';') FROM sqlite_schema WHERE "
                                "type='trigger' AND tbl_name='z'");
    app(w,
        "BEGIN; DROP TABLE z; CREATE TABLE z(k TEXT PRIMARY KEY); INSERT INTO z VALUES('missed');"
        "%s; COMMIT",
        triggers);
    assert_string_equal(state_of(w, 3), "intact");
    again = mark_of(w, "z");
    assert_string_not_equal(first, again);
    sqlite3_free(triggers);
    sqlite3_free(again);
    sqlite3_free(first);
    again = mark_of(w, "nosuch");
    assert_true(!again || !*again);
    sqlite3_free(again);
}

/* A mark as SQL tells it: entries of the schema in their order. */
static void a_mark_names_the_table_its_triggers_and_the_cap(void **state)
{
    static const char expected[] =
        "SELECT group_concat(rowid||':'||rootpage, ' ') FROM (SELECT rowid, rootpage FROM "
        "sqlite_schema WHERE (type='table' AND name=%Q COLLATE NOCASE) OR name='_syncd_cap' OR "
        "(type='trigger' AND tbl_name=%Q COLLATE NOCASE AND name LIKE '\\_syncd\\_%%' ESCAPE "
        "'\\') ORDER BY rowid)";
    static const char *const names[] = {"a", "B", "c", "Aa"};
    struct world *w = *state;

    app(w, THREE_TABLES "CREATE TABLE aA(id INTEGER PRIMARY KEY, v);");
    attach(w);
    app(w, "CREATE TRIGGER theirs AFTER INSERT ON a BEGIN SELECT 1; END; VACUUM;"
           "DROP TABLE b; CREATE TABLE b(k TEXT PRIMARY KEY, v)");
    attach(w);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *sql = sqlite3_mprintf(expected, names[i], names[i]);
        char *wanted = sql_text(w->app, sql), *mark = mark_of(w, names[i]);
        assert_non_null(strchr(wanted, ' '));
        assert_string_equal(mark, wanted);
        sqlite3_free(sql);
        sqlite3_free(wanted);
        sqlite3_free(mark);
    }
}

/* The application renamed a key column after its schema was read: a trigger by the old name would
 * make its writes fail. */
static void a_plan_that_is_out_of_date_is_not_installed(void **state)
{
    struct world *w = *state;

    app(w, THREE_TABLES);
    read_schema(w);
    app(w, "ALTER TABLE c RENAME COLUMN y TO z");
    char *before = sql_text(w->app, SCHEMA);
    assert_int_equal(capture_install(w->source, &w->capture, test_nonce), SQLITE_ERROR);
    expect(w, SCHEMA, before);
    app(w, "INSERT INTO c VALUES(1,'x',0)");
    attach(w);
    app(w, "INSERT INTO c VALUES(2,'x',0)");
    expect(w, ENTRIES2, "2,'x'");
    sqlite3_free(before);
}

/* A table that was rebuilt after it was judged must not get its triggers back by the way. */
static void a_schema_that_moved_on_is_not_installed_into(void **state)
{
    struct world *w = *state;
    char *marks[3] = {0};
    int64_t marked_at = 0, version = 0;

    app(w, THREE_TABLES);
    attach(w);
    assert_int_equal(
        source_query_int(w->source, "PRAGMA schema_version", &w->capture.schema_version),
        SQLITE_OK);
    w->capture.marks = marks;
    w->capture.marked_at = &marked_at;
    app(w, "BEGIN; CREATE TABLE new_b(k TEXT PRIMARY KEY, v) WITHOUT ROWID; DROP TABLE b;"
           "ALTER TABLE new_b RENAME TO b; INSERT INTO b VALUES('missed',1); COMMIT");
    char *before = sql_text(w->app, SCHEMA);
    assert_int_equal(capture_install(w->source, &w->capture, test_nonce), SQLITE_BUSY);
    expect(w, SCHEMA, before);
    assert_null(marks[1]);
    sqlite3_free(before);

    w->capture.schema_version = 0;
    assert_int_equal(capture_install(w->source, &w->capture, test_nonce), SQLITE_OK);
    assert_string_equal(rebuilt(w), "1");
    assert_int_equal(source_query_int(w->source, "PRAGMA schema_version", &version), SQLITE_OK);
    assert_int_equal(marked_at, version);
    for (size_t i = 0; i < 3; i++) {
        char *mark = mark_of(w, w->capture.tables[i].plan->table);
        assert_string_equal(marks[i], mark);
        sqlite3_free(mark);
        sqlite3_free(marks[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(altering_tables_works_and_is_followed),
        world_test(a_mark_names_the_table_its_triggers_and_the_cap),
        world_test(marks_change_with_every_rebuild),
        world_test(a_plan_that_is_out_of_date_is_not_installed),
        world_test(a_schema_that_moved_on_is_not_installed_into),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
