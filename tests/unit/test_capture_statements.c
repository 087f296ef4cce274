/* Capture as the application lives with it: which keys its statements leave in the journal, and
 * that nothing else about them changes. */
#include "database_fixture.h"

/* "entries": key values in order, by quote(); of every table. `rc`: what the last statement of the
 * application comes to. */
struct program {
    const char *schema;
    const char *statements; /* every change before the last '|' succeeds; after it comes `rc` */
    int rc;
    const char *entries;
};

#define ROWS   "CREATE TABLE a(id INTEGER PRIMARY KEY, v NOT NULL);"
#define WR     "CREATE TABLE a(id TEXT PRIMARY KEY, v NOT NULL) WITHOUT ROWID;"
#define TEXTS  "CREATE TABLE a(id TEXT PRIMARY KEY, v NOT NULL);"
#define THREE  "INSERT INTO a VALUES(1,'x'),(2,'y'),(3,'z');"
#define NOCASE "CREATE TABLE a(id TEXT COLLATE NOCASE PRIMARY KEY, v);"
#define BLOBS  "CREATE TABLE a(id BLOB PRIMARY KEY, v);"

static const struct program programs[] = {
    /* Plain changes. */
    {ROWS, THREE "|UPDATE a SET v=0 WHERE id=2", SQLITE_OK, "1 2 3 2"},
    {ROWS, THREE "|DELETE FROM a WHERE id>1", SQLITE_OK, "1 2 3 2 3"},
    {ROWS, THREE "|DELETE FROM a", SQLITE_OK, "1 2 3 1 2 3"},
    {ROWS, "|INSERT INTO a(v) VALUES('automatic')", SQLITE_OK, "1"},
    {WR, THREE "|UPDATE a SET v=0 WHERE id='2'", SQLITE_OK, "'1' '2' '3' '2'"},
    {TEXTS, THREE "|DELETE FROM a WHERE id='2'", SQLITE_OK, "'1' '2' '3' '2'"},
    {ROWS, "|INSERT INTO a SELECT 7,8 UNION SELECT 9,9", SQLITE_OK, "7 9"},
    {ROWS, THREE "|UPDATE a SET v=v WHERE id=1", SQLITE_OK, "1 2 3 1"},
    {ROWS, THREE "|UPDATE a SET v=u.w FROM (SELECT 2 AS i, 5 AS w) AS u WHERE id=u.i", SQLITE_OK,
     "1 2 3 2"},

    /* Keys that move: both places are named. */
    {ROWS, THREE "|UPDATE a SET id=9 WHERE id=1", SQLITE_OK, "1 2 3 1 9 9"},
    {ROWS, THREE "|UPDATE a SET rowid=9 WHERE id=1", SQLITE_OK, "1 2 3 1 9 9"},
    {ROWS, THREE "|UPDATE a SET oid=9 WHERE id=1", SQLITE_OK, "1 2 3 1 9 9"},
    {ROWS, THREE "|UPDATE a SET _rowid_=9 WHERE id=1", SQLITE_OK, "1 2 3 1 9 9"},
    {ROWS, THREE "|UPDATE a SET id=-id", SQLITE_OK, "1 2 3 1 -1 -1 2 -2 -2 3 -3 -3"},
    {ROWS, THREE "|UPDATE a SET id=id", SQLITE_OK, "1 2 3 1 2 3"},
    {WR, THREE "|UPDATE a SET id='n' WHERE id='2'", SQLITE_OK, "'1' '2' '3' '2' 'n' 'n'"},
    {TEXTS, THREE "|UPDATE a SET id='n', rowid=77 WHERE id='2'", SQLITE_OK,
     "'1' '2' '3' '2' 'n' 'n'"},
    {TEXTS, THREE "|UPDATE a SET rowid=77 WHERE id='2'", SQLITE_OK, "'1' '2' '3' '2'"},
    {ROWS, THREE "|UPDATE a SET id=2 WHERE id=1", SQLITE_CONSTRAINT, "1 2 3"},
    {ROWS, THREE "|UPDATE OR REPLACE a SET id=2 WHERE id=1", SQLITE_OK, "1 2 3 1 2 2"},
    {ROWS, THREE "|UPDATE OR IGNORE a SET id=2 WHERE id=1", SQLITE_OK, "1 2 3 1 2"}, /* in vain */

    /* Keys that change in type or in case only. */
    {BLOBS, "INSERT INTO a VALUES(1,0);|UPDATE a SET id=1.0", SQLITE_OK, "1 1 1.0 1.0"},
    {BLOBS, "INSERT INTO a VALUES('1',0);|UPDATE a SET id=x'31'", SQLITE_OK, "'1' '1' X'31' X'31'"},
    {NOCASE, "INSERT INTO a VALUES('abc',0);|UPDATE a SET id='ABC'", SQLITE_OK,
     "'abc' 'abc' 'ABC' 'ABC'"},
    {"CREATE TABLE a(id TEXT COLLATE RTRIM PRIMARY KEY, v) WITHOUT ROWID;",
     "INSERT INTO a VALUES('b',0);|UPDATE a SET id='b '", SQLITE_OK, "'b' 'b' 'b ' 'b '"},
    {TEXTS, "INSERT INTO a VALUES(NULL,1);|UPDATE a SET id='k'", SQLITE_OK, "NULL NULL 'k' 'k'"},
    {TEXTS, "INSERT INTO a VALUES('0012',1),(12,1);|INSERT INTO a VALUES(12.5,1)", SQLITE_OK,
     "'0012' '12' '12.5'"},

    /* What the application wants done about conflicts is done, and no more. */
    {ROWS, THREE "|INSERT INTO a VALUES(4,'p'),(2,'q')", SQLITE_CONSTRAINT, "1 2 3"},
    {ROWS, THREE "|INSERT OR FAIL INTO a VALUES(4,'p'),(2,'q'),(5,'r')", SQLITE_CONSTRAINT,
     "1 2 3 4"},
    {ROWS, THREE "|INSERT OR IGNORE INTO a VALUES(4,'p'),(2,'q'),(5,'r')", SQLITE_OK, "1 2 3 4 5"},
    {ROWS, THREE "|INSERT OR IGNORE INTO a VALUES(4,NULL),(5,'r')", SQLITE_OK, "1 2 3 5"},
    {ROWS, THREE "|REPLACE INTO a VALUES(4,'p'),(2,'q')", SQLITE_OK, "1 2 3 4 2"},
    {WR, THREE "|REPLACE INTO a VALUES('2','q')", SQLITE_OK, "'1' '2' '3' '2'"},
    {TEXTS, THREE "|REPLACE INTO a VALUES('2','q')", SQLITE_OK, "'1' '2' '3' '2'"},
    {ROWS, THREE "BEGIN;|INSERT OR ROLLBACK INTO a VALUES(4,'p'),(2,'q')", SQLITE_CONSTRAINT,
     "1 2 3"},
    {ROWS, THREE "|INSERT INTO a VALUES(2,'q') ON CONFLICT(id) DO UPDATE SET v=excluded.v",
     SQLITE_OK, "1 2 3 2"},
    {ROWS, THREE "|INSERT INTO a VALUES(2,'q') ON CONFLICT(id) DO UPDATE SET id=20", SQLITE_OK,
     "1 2 3 2 20 20"},
    {ROWS, THREE "|INSERT INTO a VALUES(2,'q'),(4,'p') ON CONFLICT DO NOTHING", SQLITE_OK,
     "1 2 3 4"},
    {ROWS, THREE "|INSERT INTO a VALUES(2,'q') ON CONFLICT(id) DO UPDATE SET v=0 WHERE v='no'",
     SQLITE_OK, "1 2 3"},
    {"CREATE TABLE a(id INTEGER PRIMARY KEY ON CONFLICT REPLACE, v);",
     THREE "|INSERT INTO a VALUES(2,'q')", SQLITE_OK, "1 2 3 2"},
    {"CREATE TABLE a(id INTEGER PRIMARY KEY, v CHECK(v<>'bad'));",
     THREE "|UPDATE a SET v='bad' WHERE id=2", SQLITE_CONSTRAINT, "1 2 3"},
    {"CREATE TABLE a(id INT PRIMARY KEY, v ANY) STRICT;", THREE "|INSERT INTO a VALUES('no',1)",
     SQLITE_CONSTRAINT, "1 2 3"},

    /* Transactions and savepoints. */
    {ROWS, THREE "BEGIN; DELETE FROM a;|ROLLBACK", SQLITE_OK, "1 2 3"},
    {ROWS,
     THREE "BEGIN; DELETE FROM a WHERE id=1; SAVEPOINT s; DELETE FROM a; ROLLBACK TO s;|COMMIT",
     SQLITE_OK, "1 2 3 1"},
    {ROWS,
     "SAVEPOINT s; INSERT INTO a VALUES(1,1); SAVEPOINT t; INSERT INTO a VALUES(2,2);"
     "RELEASE t; INSERT INTO a VALUES(3,3);|RELEASE s",
     SQLITE_OK, "1 2 3"},
    {ROWS,
     "SAVEPOINT s; INSERT INTO a VALUES(1,1); ROLLBACK TO s; INSERT INTO a VALUES(2,2);|RELEASE s",
     SQLITE_OK, "2"},

    /* Foreign keys, in both directions and onto itself. */
    {ROWS "CREATE TABLE b(id INTEGER PRIMARY KEY, p REFERENCES a ON DELETE CASCADE);",
     THREE "INSERT INTO b VALUES(10,1),(11,1),(12,2);|DELETE FROM a WHERE id=1", SQLITE_OK,
     "1 2 3 10 11 12 1 10 11"},
    {ROWS "CREATE TABLE b(id INTEGER PRIMARY KEY, p REFERENCES a ON DELETE CASCADE);",
     THREE "INSERT INTO b VALUES(10,1),(12,2);|REPLACE INTO a VALUES(1,'new')", SQLITE_OK,
     "1 2 3 10 12 10 1"},
    {ROWS "CREATE TABLE b(id INTEGER PRIMARY KEY, p REFERENCES a ON DELETE SET NULL);",
     THREE "INSERT INTO b VALUES(10,1);|DELETE FROM a WHERE id=1", SQLITE_OK, "1 2 3 10 1 10"},
    {ROWS "CREATE TABLE b(p REFERENCES a ON UPDATE CASCADE, n INT, PRIMARY KEY(n));",
     THREE "INSERT INTO b VALUES(1,10);|UPDATE a SET id=5 WHERE id=1", SQLITE_OK,
     "1 2 3 10 1 5 10 5"},
    {ROWS "CREATE TABLE b(p INT REFERENCES a ON UPDATE CASCADE PRIMARY KEY);",
     THREE "INSERT INTO b VALUES(1);|UPDATE a SET id=5 WHERE id=1", SQLITE_OK,
     "1 2 3 1 1 5 1 5 5 5"},
    {ROWS "CREATE TABLE b(id INTEGER PRIMARY KEY, p REFERENCES a);",
     THREE "INSERT INTO b VALUES(10,1);|DELETE FROM a WHERE id=1", SQLITE_CONSTRAINT, "1 2 3 10"},
    {"CREATE TABLE a(id INTEGER PRIMARY KEY, up REFERENCES a ON DELETE CASCADE);",
     "INSERT INTO a VALUES(1,NULL),(2,1),(3,2);|DELETE FROM a WHERE id=1", SQLITE_OK,
     "1 2 3 1 2 3"},
    /* AFTER DELETE SQLite would tell 1.0: the foreign key has been compared as REAL by then. */
    {"CREATE TABLE a(k TEXT PRIMARY KEY, r REAL UNIQUE REFERENCES a(k));",
     "INSERT INTO a VALUES('1',NULL);|DELETE FROM a WHERE k IS NOT NULL", SQLITE_OK, "'1' '1'"},
    /* The moved row goes with the parent that its own move replaces: AFTER would never fire. */
    {"CREATE TABLE a(id INTEGER PRIMARY KEY, up REFERENCES a ON DELETE CASCADE);",
     "INSERT INTO a VALUES(1,NULL),(2,1);|UPDATE OR REPLACE a SET id=1 WHERE id=2", SQLITE_OK,
     "1 2 2 1 2"},

    /* Triggers of the application's own. */
    {ROWS "CREATE TABLE b(id INTEGER PRIMARY KEY, n);"
          "CREATE TRIGGER mine AFTER INSERT ON a BEGIN INSERT INTO b VALUES(NEW.id+100,0);"
          "UPDATE b SET n=1 WHERE id=NEW.id+100; END;",
     "|INSERT INTO a VALUES(1,1)", SQLITE_OK, "1 101 101"},
    /* Kept by the application, and an entry too many. */
    {ROWS "CREATE TRIGGER mine BEFORE DELETE ON a BEGIN SELECT RAISE(IGNORE) WHERE OLD.id=2; END;",
     THREE "|DELETE FROM a", SQLITE_OK, "1 2 3 1 2 3"},
    {ROWS "CREATE TRIGGER mine AFTER DELETE ON a BEGIN SELECT RAISE(ABORT,'no'); END;",
     THREE "|DELETE FROM a", SQLITE_CONSTRAINT, "1 2 3"},
    {ROWS "CREATE VIEW v AS SELECT * FROM a; CREATE TRIGGER mine INSTEAD OF INSERT ON v BEGIN "
          "INSERT INTO a VALUES(NEW.id,NEW.v); END;",
     "|INSERT INTO v VALUES(4,4)", SQLITE_OK, "4"},
};

static void run_program(struct world *w, const struct program *p)
{
    const char *last = strchr(p->statements, '|');

    app(w, "PRAGMA foreign_keys=ON; %s", p->schema);
    attach(w);
    app(w, "%.*s", (int)(last - p->statements), p->statements);
    assert_int_equal(app_try(w, last + 1), p->rc);
    if (!sqlite3_get_autocommit(w->app))
        app(w, "ROLLBACK");
    expect(w, ENTRIES, p->entries);
    app(w, "PRAGMA foreign_keys=OFF; DROP VIEW IF EXISTS v;"
           "DROP TABLE IF EXISTS b; DROP TABLE a; DROP TABLE _syncd_journal");
    forget_schema(w);
}

static void every_statement_names_its_keys(void **state)
{
    struct world *w = *state;

    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        print_message("  %s\n", programs[i].statements);
        run_program(w, &programs[i]);
    }
}

static void composite_keys_are_whole(void **state)
{
    struct world *w = *state;

    app(w, "CREATE TABLE a(v, y TEXT, x INT, PRIMARY KEY(x, y)) WITHOUT ROWID");
    attach(w);
    app(w, "INSERT INTO a VALUES(0,'p',1),(0,'q',1); UPDATE a SET y='r' WHERE y='p';"
           "UPDATE a SET x=x+1; UPDATE a SET v=1 WHERE y='q'; DELETE FROM a WHERE y='r'");
    expect(w, ENTRIES2,
           "1,'p' 1,'q' 1,'p' 1,'r' 1,'r' 1,'q' 2,'q' 2,'q' 1,'r' 2,'r' 2,'r' 2,'q' 2,'r'");
}

/* What the application asks SQLite about its own statements stays what it was. */
static void counts_and_results_are_the_applications(void **state)
{
    struct world *w = *state;

    app(w, ROWS);
    attach(w);
    app(w, "INSERT INTO a(v) VALUES('p'),('q'),('r')");
    assert_int_equal(sqlite3_changes(w->app), 3);
    assert_int_equal(sqlite3_last_insert_rowid(w->app), 3);
    app(w, "UPDATE a SET id=id+10 WHERE id<3");
    assert_int_equal(sqlite3_changes(w->app), 2);
    assert_int_equal(sqlite3_last_insert_rowid(w->app), 3);
    expect(w, "SELECT changes(), last_insert_rowid()", "2|3");
    expect(w, "INSERT INTO a VALUES(50,'s') RETURNING id, v, changes()", "50|s|2");
    expect(w, "UPDATE a SET v='t' WHERE id=50 RETURNING id", "50");
    expect(w, "DELETE FROM a WHERE id>10 RETURNING id", "11 12 50");
    assert_int_equal(sqlite3_changes(w->app), 3);
    app(w, "DELETE FROM a");
    assert_int_equal(sqlite3_changes(w->app), 1);
    app(w, "UPDATE a SET v=0");
    assert_int_equal(sqlite3_changes(w->app), 0);
}

/* Settings with which an application may harden its connection. */
static void hardened_connections_go_on_writing(void **state)
{
    struct world *w = *state;

    app(w, ROWS);
    attach(w);
    sqlite3_db_config(w->app, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    app(w, "PRAGMA trusted_schema=OFF; PRAGMA recursive_triggers=ON; PRAGMA cell_size_check=ON;"
           "PRAGMA case_sensitive_like=ON; PRAGMA reverse_unordered_selects=ON");
    sqlite3_db_config(w->app, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(w->app, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    app(w,
        "INSERT INTO a VALUES(1,1); REPLACE INTO a VALUES(1,2); UPDATE a SET id=2; DELETE FROM a");
    /* With recursive triggers REPLACE tells of what it removes. */
    expect(w, ENTRIES, "1 1 1 1 2 2 2");
}

static void a_writer_that_attached_the_database(void **state)
{
    struct world *w = *state;
    sqlite3 *other;

    app(w, ROWS);
    attach(w);
    assert_int_equal(sqlite3_open(":memory:", &other), SQLITE_OK);
    char *sql = sqlite3_mprintf("ATTACH %Q AS lib; CREATE TABLE _syncd_journal(mine);"
                                "INSERT INTO lib.a VALUES(5,5); UPDATE lib.a SET id=6",
                                w->path);
    sql_run(other, sql);
    sqlite3_free(sql);
    char *mine = sql_text(other, "SELECT count(*) FROM main._syncd_journal");
    assert_string_equal(mine, "0");
    sqlite3_free(mine);
    sqlite3_close(other);
    expect(w, ENTRIES, "5 5 6 6");
}

/* A TEMP table of the journal's name hides it in an old-fashioned way: triggers are not misled. */
static void a_temp_table_of_the_same_name(void **state)
{
    struct world *w = *state;

    app(w, ROWS);
    attach(w);
    app(w, "CREATE TEMP TABLE _syncd_journal(x); CREATE TEMP TABLE a(id, v);"
           "INSERT INTO main.a VALUES(5,5); INSERT INTO temp.a VALUES(6,6)");
    expect(w, "SELECT k0 FROM main._syncd_journal WHERE t<>0", "5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(every_statement_names_its_keys),
        world_test(composite_keys_are_whole),
        world_test(counts_and_results_are_the_applications),
        world_test(hardened_connections_go_on_writing),
        world_test(a_writer_that_attached_the_database),
        world_test(a_temp_table_of_the_same_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
