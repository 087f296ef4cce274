/* Rows by key and page by page: the right ones, each once, and by an index. */
#include "database_fixture.h"

#include "base/rng.h"
#include "mapping/value.h"

#define NUMBERS(n) "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<" #n ") "

/* Rows of the only table, made by `sql`. */
static struct rows *rows_of(struct world *w, const char *sql)
{
    struct rows *r = NULL;

    app(w, "%s", sql);
    read_schema(w);
    assert_int_equal(w->capture.count, 1);
    assert_int_equal(rows_open(w->source, w->plans[0], &r), SQLITE_OK);
    return r;
}

static void done(struct world *w, struct rows *r)
{
    rows_close(r);
    app(w, "DROP TABLE t");
}

static void describe(const struct rows *r, struct buf *out)
{
    buf_clear(out);
    for (size_t i = 0; i < r->plan->column_count; i++) {
        buf_puts(out, i ? "," : "");
        value_describe(out, &r->values[i]);
    }
}

/* The row with the key that the SQL expressions give, or the word for what came instead. */
static void finds(struct world *w, struct rows *r, const char *key, const char *row)
{
    _cleanup_buf_ struct buf got = {0};
    struct value values[8];
    sqlite3_stmt *stmt = NULL;
    char *sql = sqlite3_mprintf("SELECT %s", key);

    assert_int_equal(sqlite3_prepare_v2(w->app, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    rows_values(stmt, 0, r->plan->row_key_count, values);
    int rc = rows_lookup(r, values);
    if (rc == SQLITE_ROW)
        describe(r, &got);
    else
        buf_puts(&got, rc == SQLITE_DONE     ? "none"
                       : rc == SQLITE_TOOBIG ? "too big"
                                             : sqlite3_errmsg(w->source->db));
    rows_end(r->lookup);
    sqlite3_finalize(stmt);
    sqlite3_free(sql);
    assert_string_equal(got.data, row);
}

static void lookups_by_every_kind_of_key(void **state)
{
    struct world *w = *state;
    struct rows *r = rows_of(w, "CREATE TABLE t(v, id INTEGER PRIMARY KEY);"
                                "INSERT INTO t VALUES('x',7),(x'00ff',-1),(NULL,9e15),(2.5,0)");
    finds(w, r, "7", "7,'x'");
    finds(w, r, "-1", "-1,x'00ff'");
    finds(w, r, "9000000000000000", "9000000000000000,NULL");
    finds(w, r, "0", "0,2.5");
    finds(w, r, "8", "none");
    finds(w, r, "NULL", "none");
    done(w, r);

    r = rows_of(w,
                "CREATE TABLE t(v, k TEXT PRIMARY KEY);"
                "INSERT INTO t VALUES(1,'a'),(2,''),(3,'a' || char(0) || 'b'),(4,NULL),(5,'0012')");
    finds(w, r, "'a'", "'a',1");
    finds(w, r, "''", "'',2");
    finds(w, r, "'0012'", "'0012',5");
    finds(w, r, "'12'", "none");
    finds(w, r, "NULL", "NULL,4");
    finds(w, r, "'A'", "none");
    finds(w, r, "x'61'", "none"); /* a blob is no text */
    done(w, r);

    r = rows_of(w, "CREATE TABLE t(v, y TEXT, x INT, PRIMARY KEY(x, y)) WITHOUT ROWID;"
                   "INSERT INTO t VALUES(1,'p',5),(2,'q',5),(3,'p',6)");
    finds(w, r, "5,'q'", "5,'q',2");
    finds(w, r, "6,'p'", "6,'p',3");
    finds(w, r, "6,'q'", "none");
    done(w, r);

    r = rows_of(w, "CREATE TABLE t(k BLOB PRIMARY KEY, v);"
                   "INSERT INTO t VALUES(x'',1),(x'00',2),('t',3),(5,4)");
    finds(w, r, "x''", "x'',1");
    finds(w, r, "x'00'", "x'00',2");
    finds(w, r, "'t'", "'t',3");
    finds(w, r, "5", "5,4");
    done(w, r);

    r = rows_of(w, "CREATE TABLE t(x, y, z, v, PRIMARY KEY(x, y, z)); DROP TABLE t;"
                   "CREATE TABLE t(x INT, y TEXT, v, PRIMARY KEY(x, y));"
                   "INSERT INTO t VALUES(1,NULL,'half'),(NULL,NULL,'none'),(NULL,'b','other')");
    finds(w, r, "1,NULL", "1,NULL,'half'");
    finds(w, r, "NULL,NULL", "NULL,NULL,'none'");
    finds(w, r, "NULL,'b'", "NULL,'b','other'");
    finds(w, r, "2,NULL", "none");
    done(w, r);
}

static void gets(struct rows *r, int rc, struct buf *out)
{
    buf_clear(out);
    if (rc == SQLITE_ROW)
        describe(r, out);
    else
        buf_printf(out, "%d", rc);
}

/* Whatever the order of the keys, a walk finds what a lookup of each finds, and leaves nothing
 * open. */
static void a_walk_finds_what_lookups_find(void **state)
{
    static const int64_t far[] = {INT64_MIN, INT64_MIN + 1, -1, 0, INT64_MAX - 1, INT64_MAX};
    enum { KEYS = 3000, LAST = 400, FAR = sizeof far / sizeof *far };
    struct world *w = *state;
    struct rows *r = rows_of(w, "CREATE TABLE t(v, id INTEGER PRIMARY KEY);" NUMBERS(
                                    400) "INSERT INTO t SELECT 'row '||i,i FROM n;"
                                         "DELETE FROM t WHERE id%7=0 OR id BETWEEN 90 AND 110;"
                                         "UPDATE t SET v=zeroblob(2000000) WHERE id%50=3;"
                                         "INSERT INTO t VALUES('least',-9223372036854775807-1),"
                                         "('most',9223372036854775807)");
    struct rng rng = {.state = 1};
    int64_t key = 0, steps = 0;

    assert_int_equal(source_begin(w->source), SQLITE_OK);
    for (int i = 0; i < KEYS; i++) {
        _cleanup_buf_ struct buf walked = {0}, found = {0};
        uint64_t dice = rng_upto(&rng, 19);
        key = dice < 16 && key < LAST ? key + 1
              : dice == 16            ? far[rng_upto(&rng, FAR - 1)]
              : dice == 17            ? key
                                      : (int64_t)rng_upto(&rng, LAST);
        const struct value v = {.kind = VALUE_INTEGER, .integer = key};
        gets(r, rows_walk(r, &v), &walked);
        steps += r->walk.on;
        rows_end(r->lookup);
        gets(r, rows_lookup(r, &v), &found);
        rows_end(r->lookup);
        assert_string_equal(walked.data, found.data);
    }
    assert_in_range(steps, KEYS / 2, KEYS);
    rows_walk_end(r);
    for (sqlite3_stmt *s = NULL; (s = sqlite3_next_stmt(w->source->db, s));)
        assert_false(sqlite3_stmt_busy(s));
    assert_int_equal(source_end(w->source, SQLITE_OK), SQLITE_OK);
    assert_true(sqlite3_get_autocommit(w->source->db));
    done(w, r);
}

/* What another transaction reads is not what the last one saw. */
static void a_walk_ends_with_its_transaction(void **state)
{
    struct world *w = *state;
    struct rows *r = rows_of(w, "CREATE TABLE t(id INTEGER PRIMARY KEY, v);"
                                "INSERT INTO t VALUES(1,'a'),(2,'b'),(3,'c')");

    for (int round = 0; round < 2; round++) {
        assert_int_equal(source_begin(w->source), SQLITE_OK);
        for (int id = 1; id <= 3; id++) {
            const struct value v = {.kind = VALUE_INTEGER, .integer = id};
            assert_int_equal(rows_walk(r, &v), round && id == 2 ? SQLITE_DONE : SQLITE_ROW);
            rows_end(r->lookup);
        }
        rows_walk_end(r);
        assert_int_equal(source_end(w->source, SQLITE_OK), SQLITE_OK);
        app(w, "DELETE FROM t WHERE id=2");
    }
    done(w, r);
}

/* Each is looked up, also where it looks like a rowid. */
static void other_keys_are_not_walked(void **state)
{
    struct world *w = *state;
    struct rows *r = rows_of(w, "CREATE TABLE t(id TEXT PRIMARY KEY, v);"
                                "INSERT INTO t VALUES('1','a'),('2','b')");
    const struct value one = {.kind = VALUE_TEXT, .bytes = "1", .len = 1},
                       two = {.kind = VALUE_INTEGER, .integer = 2};

    assert_int_equal(rows_walk(r, &one), SQLITE_ROW);
    rows_end(r->lookup);
    assert_int_equal(rows_walk(r, &two), SQLITE_ROW);
    assert_false(r->walk.on);
    rows_end(r->lookup);
    rows_walk_end(r);
    done(w, r);
}

static void generated_columns_are_read_as_their_value(void **state)
{
    struct world *w = *state;
    struct rows *r =
        rows_of(w, "CREATE TABLE t(id INTEGER PRIMARY KEY, a INT, g AS (a*2), s TEXT AS "
                   "(a||'!') STORED); INSERT INTO t VALUES(1,21)");

    finds(w, r, "1", "1,21,42,'21!'");
    done(w, r);
}

/* By the collation of the key's index, which may be another than the column's. */
static void lookups_know_the_case_that_the_key_knows(void **state)
{
    struct world *w = *state;
    struct rows *r = rows_of(w, "CREATE TABLE t(k TEXT COLLATE NOCASE PRIMARY KEY, v);"
                                "INSERT INTO t VALUES('Abc',1)");
    finds(w, r, "'aBC'", "'Abc',1"); /* the reader sees that it is another remote key */
    done(w, r);

    r = rows_of(w, "CREATE TABLE t(k TEXT COLLATE NOCASE, v, PRIMARY KEY(k COLLATE BINARY));"
                   "INSERT INTO t VALUES('abc',1),('ABC',2),('Abc',3)");
    finds(w, r, "'abc'", "'abc',1");
    finds(w, r, "'ABC'", "'ABC',2");
    finds(w, r, "'Abc'", "'Abc',3");
    finds(w, r, "'aBC'", "none");
    done(w, r);

    r = rows_of(w, "CREATE TABLE t(k TEXT, v, PRIMARY KEY(k COLLATE NOCASE)) WITHOUT ROWID;"
                   "INSERT INTO t VALUES('abc',1)");
    finds(w, r, "'ABC'", "'abc',1");
    done(w, r);
}

static void one_plan(struct world *w, sqlite3_stmt *stmt, const char *table, const char *wanted)
{
    char *sql = sqlite3_mprintf("EXPLAIN QUERY PLAN %s", sqlite3_sql(stmt));
    char *plan = sql_text(w->source->db, sql);

    if (!strstr(plan, wanted) || strstr(plan, "TEMP B-TREE"))
        fail_msg("%s\n  is done so: %s\n  wanted: %s (table: %s)", sql, plan, wanted, table);
    sqlite3_free(plan);
    sqlite3_free(sql);
}

static void lookups_and_pages_use_the_index(void **state)
{
    static const struct {
        const char *sql, *lookup, *first, *next;
    } cases[] = {
        {"CREATE TABLE t(id INTEGER PRIMARY KEY, v)",
         "SEARCH main.t USING INTEGER PRIMARY KEY (rowid=?)", "SCAN main.t",
         "SEARCH main.t USING INTEGER PRIMARY KEY (rowid>?)"},
        {"CREATE TABLE t(k TEXT PRIMARY KEY, v)", "USING INDEX sqlite_autoindex_t_1 (k=?)",
         "SCAN main.t", "SEARCH main.t USING INTEGER PRIMARY KEY (rowid>?)"},
        {"CREATE TABLE t(k TEXT PRIMARY KEY, v) WITHOUT ROWID", "USING PRIMARY KEY (k=?)",
         "SCAN main.t", "SEARCH main.t USING PRIMARY KEY (k>?)"},
        {"CREATE TABLE t(v, y TEXT, x INT, PRIMARY KEY(x, y)) WITHOUT ROWID",
         "USING PRIMARY KEY (x=? AND y=?)", "SCAN main.t",
         "SEARCH main.t USING PRIMARY KEY ((x,y)>(?,?))"},
        {"CREATE TABLE t(v, y TEXT, x INT, PRIMARY KEY(x, y))", "(x=? AND y=?)", "SCAN main.t",
         "SEARCH main.t USING INTEGER PRIMARY KEY (rowid>?)"},
        {"CREATE TABLE t(v, y TEXT COLLATE NOCASE, x INT, PRIMARY KEY(y, x)) WITHOUT ROWID",
         "USING PRIMARY KEY (y=? AND x=?)", "SCAN main.t",
         "SEARCH main.t USING PRIMARY KEY ((y,x)>(?,?))"},
        {"CREATE TABLE t(y TEXT COLLATE NOCASE, x INT, PRIMARY KEY(y COLLATE BINARY, x)) WITHOUT "
         "ROWID",
         "USING PRIMARY KEY (y=? AND x=?)", "SCAN main.t",
         "SEARCH main.t USING PRIMARY KEY ((y,x)>(?,?))"},
        {"CREATE TABLE t(y TEXT, PRIMARY KEY(y COLLATE NOCASE)) WITHOUT ROWID",
         "USING PRIMARY KEY (y=?)", "SCAN main.t", "SEARCH main.t USING PRIMARY KEY (y>?)"},
        {"CREATE TABLE t(k TEXT PRIMARY KEY, rowid, oid, _rowid_)",
         "USING INDEX sqlite_autoindex_t_1 (k=?)", "USING INDEX sqlite_autoindex_t_1",
         "SEARCH main.t USING INDEX sqlite_autoindex_t_1 (k>?)"},
        {"CREATE TABLE t(id INTEGER PRIMARY KEY DESC, v)",
         "USING INDEX sqlite_autoindex_t_1 (id=?)", "SCAN main.t",
         "SEARCH main.t USING INTEGER PRIMARY KEY (rowid>?)"},
    };
    struct world *w = *state;
    const struct buf nowhere = {.data = (char[]){"?"}, .len = 1};
    sqlite3_stmt *page;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rows *r = rows_of(w, cases[i].sql);
        one_plan(w, r->lookup, cases[i].sql, cases[i].lookup);
        assert_int_equal(rows_page(r, NULL, 1, &page), SQLITE_OK);
        one_plan(w, page, cases[i].sql, cases[i].first);
        assert_int_equal(rows_page(r, &nowhere, 1, &page), SQLITE_MISMATCH);
        one_plan(w, page, cases[i].sql, cases[i].next);
        done(w, r);
    }
}

/* --- pages ------------------------------------------------------------------------------------ */

/* Page through the table; every row's v is counted once in the TEMP table seen(v). Returns the
 * number of pages. */
static int page_through(struct world *w, struct rows *r, int limit)
{
    _cleanup_buf_ struct buf cursor = {0};
    sqlite3_stmt *seen = NULL, *page;
    int pages = 0, n;

    app(w, "CREATE TEMP TABLE seen(v)");
    sqlite3_prepare_v2(w->app, "INSERT INTO seen VALUES(?1)", -1, &seen, NULL);
    do {
        int rc = rows_page(r, &cursor, limit, &page);
        assert_int_equal(rc, SQLITE_OK);
        for (n = 0; (rc = rows_next(r, page)) == SQLITE_ROW; n++) {
            rows_bind(seen, 1, &r->values[r->plan->column_count - 1]);
            assert_int_equal(sqlite3_step(seen), SQLITE_DONE);
            sqlite3_reset(seen);
            rows_cursor(r, page, &cursor);
        }
        assert_int_equal(rc, SQLITE_DONE);
        rows_end(page);
        pages++;
    } while (n == limit);
    sqlite3_finalize(seen);
    return pages;
}

static void pages_give_each_row_once(struct world *w, const char *sql, int count)
{
    struct rows *r = rows_of(w, sql);
    char *totals = sqlite3_mprintf("%d|%d", count, count);

    for (int limit = 7; limit <= 5000; limit = limit * 20 + 1) {
        assert_int_equal(page_through(w, r, limit), count / limit + 1);
        expect(w, "SELECT count(*),count(DISTINCT v) FROM seen", totals);
        expect(w, "SELECT count(*) FROM (SELECT v FROM t EXCEPT SELECT v FROM seen)", "0");
        app(w, "DROP TABLE seen");
    }
    sqlite3_free(totals);
    done(w, r);
}

static void every_row_comes_once_whatever_the_key(void **state)
{
    struct world *w = *state;

    pages_give_each_row_once(w,
                             "CREATE TABLE t(id INTEGER PRIMARY KEY, v); " NUMBERS(
                                 3300) "INSERT INTO t SELECT (i-1500)*3,i FROM n",
                             3300);
    pages_give_each_row_once(w,
                             "CREATE TABLE t(k TEXT PRIMARY KEY, v); " NUMBERS(
                                 3300) "INSERT INTO t SELECT hex(randomblob(8)),i FROM n",
                             3300);
    pages_give_each_row_once(
        w,
        "CREATE TABLE t(v, y TEXT, x INT, v2, PRIMARY KEY(x, y)) WITHOUT "
        "ROWID; " NUMBERS(
            3300) "INSERT INTO t SELECT i,hex(i),i%13,i FROM n; ALTER TABLE t DROP COLUMN v;"
                  "ALTER TABLE t RENAME COLUMN v2 TO v",
        3300);
    pages_give_each_row_once(
        w,
        "CREATE TABLE t(a TEXT, b REAL, c BLOB, v, PRIMARY KEY(a,b,c)) "
        "WITHOUT ROWID; " NUMBERS(
            3300) "INSERT INTO t SELECT substr('ab',1,i%3),i%5+0.5,CAST(i AS BLOB),i FROM n",
        3300);
    /* NULLs in the key of a rowid table: paged by rowid, so they do not matter. */
    pages_give_each_row_once(w,
                             "CREATE TABLE t(k TEXT PRIMARY KEY, v); " NUMBERS(
                                 3300) "INSERT INTO t SELECT NULL,i FROM n",
                             3300);
    /* Keys that differ by case only, at every place a page may end. */
    pages_give_each_row_once(
        w,
        "CREATE TABLE t(k TEXT COLLATE NOCASE, v, PRIMARY KEY(k COLLATE "
        "BINARY)) WITHOUT ROWID; " NUMBERS(
            3300) "INSERT INTO t SELECT substr('aAbB',i%4+1,1)||(i/4),i FROM n",
        3300);
    pages_give_each_row_once(w,
                             "CREATE TABLE t(k TEXT PRIMARY KEY, rowid, oid, _rowid_, v); " NUMBERS(
                                 3300) "INSERT INTO t SELECT hex(i),1,1,1,i FROM n",
                             3300);
    pages_give_each_row_once(
        w,
        "CREATE TABLE t(k BLOB PRIMARY KEY, v) WITHOUT ROWID; " NUMBERS(
            800) "INSERT INTO t SELECT i,i*4 FROM n UNION ALL SELECT i||'',i*4+1 FROM n "
                 "UNION ALL SELECT CAST(i AS BLOB),i*4+2 FROM n UNION ALL SELECT "
                 "i+0.5,i*4+3 FROM n",
        3200);
}

/* Without a name for its rowid a table is paged by key, and a key with NULL is none to go on from.
 */
static void rows_with_a_null_key_do_not_end_the_pages(void **state)
{
    struct world *w = *state;
    struct rows *r =
        rows_of(w, "CREATE TABLE t(k TEXT, n INT, rowid, oid, _rowid_, v, PRIMARY KEY(k,"
                   "n)); " NUMBERS(
                       50) "INSERT INTO t SELECT nullif(hex(i),'31'),nullif(i%5,2),0,0,0,i FROM n");

    page_through(w, r, 3);
    expect(w, "SELECT count(*),count(DISTINCT v) FROM seen", "39|39");
    app(w, "DROP TABLE seen");
    done(w, r);
}

static void a_page_sees_what_changed_behind_it_only(void **state)
{
    struct world *w = *state;
    struct rows *r = rows_of(w, "CREATE TABLE t(id INTEGER PRIMARY KEY, v);" NUMBERS(
                                    10) "INSERT INTO t SELECT i,i FROM n");
    _cleanup_buf_ struct buf cursor = {0}, text = {0};
    sqlite3_stmt *page;

    assert_int_equal(rows_page(r, NULL, 3, &page), SQLITE_OK);
    while (rows_next(r, page) == SQLITE_ROW)
        rows_cursor(r, page, &cursor);
    rows_end(page);
    app(w, "DELETE FROM t WHERE id IN (3,4); UPDATE t SET v='new' WHERE id IN (1,5)");
    assert_int_equal(rows_page(r, &cursor, 1, &page), SQLITE_OK);
    assert_int_equal(rows_next(r, page), SQLITE_ROW);
    describe(r, &text);
    assert_string_equal(text.data, "5,'new'");
    rows_end(page);

    buf_putc(&cursor, 'x');
    assert_int_equal(rows_page(r, &cursor, 1, &page), SQLITE_MISMATCH);
    rows_end(page);
    done(w, r);
}

/* --- values too long to be read --------------------------------------------------------------- */

/* "row row !key row": ! is a row that was stepped over. */
static void pages_with_skips(struct rows *r, const char *want)
{
    _cleanup_buf_ struct buf cursor = {0}, out = {0};
    sqlite3_stmt *page;
    int rc;

    for (;;) {
        rc = rows_page(r, &cursor, 100, &page);
        while (rc == SQLITE_OK && (rc = rows_next(r, page)) == SQLITE_ROW) {
            value_describe(&out, &r->values[0]);
            buf_putc(&out, ' ');
            rows_cursor(r, page, &cursor);
            rc = SQLITE_OK;
        }
        rows_end(page);
        if (rc != SQLITE_TOOBIG)
            break;
        _cleanup_buf_ struct buf key = {0}, next = {0};
        struct value value;
        assert_int_equal(rows_skip(r, &cursor, &key, &next), SQLITE_ROW);
        size_t at = 0;
        assert_int_equal(value_decode(key.data, key.len, &at, &value), 0);
        buf_putc(&out, '!');
        if (value.kind == VALUE_TEXT && value.len > 10)
            buf_printf(&out, "%zu", value.len);
        else
            value_describe(&out, &value);
        buf_putc(&out, ' ');
        buf_clear(&cursor);
        buf_append(&cursor, next.data, next.len);
    }
    assert_int_equal(rc, SQLITE_DONE);
    assert_string_equal(out.data, want);
}

static void values_too_long_are_stepped_over(void **state)
{
    struct world *w = *state;
    struct rows *r = rows_of(w, "CREATE TABLE t(id INTEGER PRIMARY KEY, v);"
                                "INSERT INTO t VALUES(1,zeroblob(1048577)),(2,zeroblob(1048576)),"
                                "(3,printf('%.*c',1048577,'x')),(4,zeroblob(9000000)),(5,'x')");
    finds(w, r, "1", "too big");
    finds(w, r, "3", "too big");
    finds(w, r, "5", "5,'x'");
    finds(w, r, "6", "none");
    pages_with_skips(r, "!1 2 !3 !4 5 ");
    done(w, r);

    r = rows_of(w, "CREATE TABLE t(k TEXT PRIMARY KEY, v) WITHOUT ROWID;"
                   "INSERT INTO t VALUES('a',1),('b',zeroblob(2000000)),('c',zeroblob(2000000))");
    pages_with_skips(r, "'a' !'b' !'c' ");
    done(w, r);
}

/* Such a key can be no item's, but what follows it can. */
static void keys_too_long_are_stepped_over(void **state)
{
    static const char *const tables[] = {"CREATE TABLE t(k TEXT PRIMARY KEY, v);",
                                         "CREATE TABLE t(k TEXT PRIMARY KEY, v) WITHOUT ROWID;"};
    struct world *w = *state;

    for (size_t i = 0; i < 2; i++) {
        char *sql = sqlite3_mprintf("%sINSERT INTO t VALUES('a',1),(printf('%%.*c',3000000,'b'),2),"
                                    "(printf('%%.*c',2000000,'c'),3),('d',4)",
                                    tables[i]);
        struct rows *r = rows_of(w, sql);
        sqlite3_free(sql);
        pages_with_skips(r, "'a' !3000000 !2000000 'd' ");
        finds(w, r, "printf('%.*c',3000000,'b')", "too big");
        finds(w, r, "printf('%.*c',3000000,'x')", "none");
        finds(w, r, "'d'", "'d',4");
        assert_int_equal(sqlite3_limit(w->source->db, SQLITE_LIMIT_LENGTH, -1), SOURCE_MAX_VALUE);
        done(w, r);
    }
}

static void skipping_at_the_end_finds_nothing(void **state)
{
    struct world *w = *state;
    struct rows *r = rows_of(w, "CREATE TABLE t(id INTEGER PRIMARY KEY, v)");
    _cleanup_buf_ struct buf cursor = {0}, key = {0}, next = {0};

    buf_puts(&next, "kept");
    assert_int_equal(rows_skip(r, &cursor, &key, &next), SQLITE_DONE);
    assert_string_equal(next.data, "kept");
    assert_int_equal(key.len, 0);
    done(w, r);
}

static void a_table_that_cannot_be_read_is_refused(void **state)
{
    struct world *w = *state;
    struct rows *r = NULL;

    app(w, "CREATE TABLE t(id INTEGER PRIMARY KEY, v)");
    read_schema(w);
    app(w, "ALTER TABLE t RENAME COLUMN v TO w");
    assert_int_equal(rows_open(w->source, w->plans[0], &r), SQLITE_ERROR);
    assert_null(r);
    rows_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(lookups_by_every_kind_of_key),
        world_test(a_walk_finds_what_lookups_find),
        world_test(a_walk_ends_with_its_transaction),
        world_test(other_keys_are_not_walked),
        world_test(generated_columns_are_read_as_their_value),
        world_test(lookups_know_the_case_that_the_key_knows),
        world_test(lookups_and_pages_use_the_index),
        world_test(every_row_comes_once_whatever_the_key),
        world_test(rows_with_a_null_key_do_not_end_the_pages),
        world_test(a_page_sees_what_changed_behind_it_only),
        world_test(values_too_long_are_stepped_over),
        world_test(keys_too_long_are_stepped_over),
        world_test(skipping_at_the_end_finds_nothing),
        world_test(a_table_that_cannot_be_read_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
