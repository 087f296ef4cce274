/* The journal: reading in order, and taking out what is settled. */
#include "database_fixture.h"

#include "mapping/value.h"

static const uint8_t other_nonce[CAPTURE_NONCE_SIZE] = "fedcba9876543210";

#define NUMBERS(n) "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<" #n ") "

static void make(struct world *w)
{
    app(w, "CREATE TABLE a(id INTEGER PRIMARY KEY, v);"
           "CREATE TABLE b(k TEXT, n BLOB, PRIMARY KEY(k, n)) WITHOUT ROWID");
    attach(w);
    open_journal(w);
}

/* "seq:table:key,key" of what journal_entries() gives. */
static char *entries(struct world *w, int64_t after, int limit, uint32_t table, int64_t until)
{
    sqlite3_stmt *stmt = journal_entries(w->journal, after, limit, table, until);
    sqlite3_str *out = sqlite3_str_new(NULL);
    struct journal_entry e;
    int rc;

    while ((rc = journal_next(stmt, &e)) == SQLITE_ROW) {
        _cleanup_buf_ struct buf key = {0}, text = {0};
        struct value values[2];
        unsigned n = e.table == FIRST_ID + 1 ? 2 : 1;
        journal_key(stmt, n, &key);
        assert_int_equal(values_decode(key.data, key.len, values, n), 0);
        for (unsigned i = 0; i < n; i++) {
            buf_puts(&text, i ? "," : "");
            value_describe(&text, &values[i]);
        }
        sqlite3_str_appendf(out, "%s%lld:%u:%s", sqlite3_str_length(out) ? " " : "",
                            (long long)e.seq, e.table, text.data);
    }
    assert_int_equal(rc, SQLITE_DONE);
    rows_end(stmt);
    char *text = sqlite3_str_finish(out);
    return text ? text : sqlite3_mprintf("");
}

static void reads(struct world *w, int64_t after, int limit, uint32_t table, int64_t until,
                  const char *want)
{
    char *got = entries(w, after, limit, table, until);

    assert_string_equal(got, want);
    sqlite3_free(got);
}

static void entries_come_in_order_each_with_its_key(void **state)
{
    struct world *w = *state;

    make(w);
    reads(w, 1, 100, 0, 0, "");
    app(w, "INSERT INTO a VALUES(5,0); INSERT INTO b VALUES('x',1),('',x''),('y',2.5);"
           "DELETE FROM a");
    reads(w, 1, 100, 0, 0, "2:7:5 3:8:'x',1 4:8:'',x'' 5:8:'y',2.5 6:7:5");
    reads(w, 0, 1, 0, 0, "1:0:x'30313233343536373839616263646566'");
    reads(w, 3, 2, 0, 0, "4:8:'',x'' 5:8:'y',2.5");
    reads(w, 6, 100, 0, 0, "");
    /* One table alone, up to a place. */
    reads(w, 1, 100, FIRST_ID, 6, "2:7:5 6:7:5");
    reads(w, 1, 100, FIRST_ID, 5, "2:7:5");
    reads(w, 1, 2, FIRST_ID + 1, 6, "3:8:'x',1 4:8:'',x''");
    reads(w, 1, 100, 99, 6, "");
}

/* The key as it was stored, not as some column would have it. */
static void keys_keep_their_types(void **state)
{
    static const char *const values[] = {
        "1",     "'1'", "1.0", "x'31'", "'0012'", "-9223372036854775808", "9007199254740993",
        "1e300", "''",  "x''"};
    struct world *w = *state;

    make(w);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        app(w, "INSERT INTO b VALUES('%d',%s)", (int)i, values[i]);
        sqlite3_stmt *stmt = journal_entries(w->journal, 1 + (int64_t)i, 1, 0, 0);
        struct journal_entry e;
        assert_int_equal(journal_next(stmt, &e), SQLITE_ROW);
        _cleanup_buf_ struct buf key = {0};
        struct value got[2], want;
        journal_key(stmt, 2, &key);
        assert_int_equal(values_decode(key.data, key.len, got, 2), 0);
        sqlite3_stmt *direct;
        char *sql = sqlite3_mprintf("SELECT %s", values[i]);
        sqlite3_prepare_v2(w->app, sql, -1, &direct, NULL);
        sqlite3_free(sql);
        assert_int_equal(sqlite3_step(direct), SQLITE_ROW);
        rows_values(direct, 0, 1, &want);
        _cleanup_buf_ struct buf a = {0}, b = {0};
        value_encode(&a, &got[1]);
        value_encode(&b, &want);
        assert_int_equal(a.len, b.len);
        assert_memory_equal(a.data, b.data, a.len);
        sqlite3_finalize(direct);
        rows_end(stmt);
    }
}

static void head_and_tail(void **state)
{
    struct world *w = *state;
    struct journal_head head = {0};
    int64_t max = 0;

    make(w);
    assert_int_equal(journal_head(w->journal, &head), SQLITE_ROW);
    assert_true(head.sentinel);
    assert_int_equal(head.seq, 1);
    assert_memory_equal(head.nonce, test_nonce, sizeof test_nonce);
    app(w, "INSERT INTO a VALUES(1,1),(2,2)");
    assert_int_equal(journal_max(w->journal, &max), SQLITE_ROW);
    assert_int_equal(max, 3);

    app(w, "DELETE FROM _syncd_journal WHERE t=0");
    assert_int_equal(journal_head(w->journal, &head), SQLITE_ROW);
    assert_false(head.sentinel);
    assert_int_equal(head.seq, 2);
    app(w, "DELETE FROM _syncd_journal");
    assert_int_equal(journal_head(w->journal, &head), SQLITE_DONE);
    assert_int_equal(journal_max(w->journal, &max), SQLITE_DONE);
    assert_int_equal(max, 3); /* untouched */

    /* An entry of table 0 that holds no nonce is no sentinel. */
    app(w, "INSERT INTO _syncd_journal VALUES(9,0,'0123456789abcdef',NULL)");
    assert_int_equal(journal_head(w->journal, &head), SQLITE_ROW);
    assert_false(head.sentinel);
    app(w, "UPDATE _syncd_journal SET k0=x'00'");
    assert_int_equal(journal_head(w->journal, &head), SQLITE_ROW);
    assert_false(head.sentinel);
}

static int64_t ack(struct world *w, int64_t upto)
{
    int64_t acked = -1;
    int rc = journal_ack(w->journal, upto, other_nonce, NULL, NULL, &acked);

    if (rc != SQLITE_OK)
        fail_msg("ack: %s", sqlite3_errmsg(w->source->db));
    assert_true(sqlite3_get_autocommit(w->source->db));
    return acked;
}

static void settled_entries_go_and_the_sequence_goes_on(void **state)
{
    struct world *w = *state;

    make(w);
    app(w, "INSERT INTO a VALUES(1,1),(2,2),(3,3)");
    /* In part: the rest stays where it is. */
    assert_int_equal(ack(w, 2), 2);
    expect(w, "SELECT seq,t FROM _syncd_journal", "2|0 3|7 4|7");
    expect(w, "SELECT hex(k0) FROM _syncd_journal WHERE t=0", "66656463626139383736353433323130");
    /* All of it: the table is emptied, the next entry comes behind. */
    assert_int_equal(ack(w, 4), 4);
    expect(w, "SELECT seq,t FROM _syncd_journal", "4|0");
    app(w, "INSERT INTO a VALUES(4,4)");
    expect(w, "SELECT seq,t,k0 FROM _syncd_journal WHERE t<>0", "5|7|4");
    /* Further than there is anything: the sentinel must not stand before what comes. */
    assert_int_equal(ack(w, 1000), 5);
    app(w, "INSERT INTO a VALUES(5,5)");
    expect(w, "SELECT seq,t FROM _syncd_journal", "5|0 6|7");
}

/* What is behind the sentinel already is no work, and above all moves it not back. */
static void an_old_acknowledgement_changes_nothing(void **state)
{
    struct world *w = *state;

    make(w);
    app(w, "INSERT INTO a VALUES(1,1),(2,2),(3,3)");
    assert_int_equal(ack(w, 3), 3);
    assert_int_equal(ack(w, 2), 3);
    expect(w, "SELECT seq,t FROM _syncd_journal", "3|0 4|7");
    assert_int_equal(ack(w, 3), 3);
    expect(w, "SELECT seq,t FROM _syncd_journal", "3|0 4|7");
}

static void many_entries_go_in_short_transactions(void **state)
{
    struct world *w = *state;
    int64_t acked = 0, max = 0, calls = 0;

    make(w);
    app(w, NUMBERS(30000) "INSERT INTO a SELECT i,0 FROM n");
    assert_int_equal(journal_max(w->journal, &max), SQLITE_ROW);
    while (acked < max) {
        int64_t before = acked ? acked : 1;
        acked = ack(w, max);
        assert_true(acked > before);
        assert_true(acked - before <= 1000 || acked == max);
        if (acked < max) {
            /* One sentinel, everything behind it, nothing before. */
            expect(w,
                   "SELECT count(*), min(seq)=(SELECT seq FROM _syncd_journal WHERE t=0) FROM "
                   "_syncd_journal WHERE t=0",
                   "1|1");
            assert_int_equal(sql_int(w->app, "SELECT count(*) FROM _syncd_journal"),
                             max - acked + 1);
        }
        calls++;
    }
    assert_in_range(calls, 10, 31);
    expect(w, "SELECT seq,t FROM _syncd_journal", "30001|0");

    /* With newer entries behind, settled ones go by range, a thousand at a time. */
    app(w, NUMBERS(2500) "INSERT INTO a SELECT i+30000,0 FROM n");
    assert_int_equal(ack(w, 31600), 31001);
    assert_int_equal(ack(w, 31600), 31600);
    expect(w, "SELECT count(*),min(seq),max(seq) FROM _syncd_journal", "902|31600|32501");
}

/* The cap took the beginning, sentinel and all; the next acknowledgement puts one back. */
static bool not_ours(void *arg)
{
    (void)arg;
    return false;
}

static void a_lost_sentinel_is_put_back(void **state)
{
    struct world *w = *state;

    make(w);
    app(w, "INSERT INTO a VALUES(1,1),(2,2),(3,3),(4,4); DELETE FROM _syncd_journal WHERE seq<4");
    assert_int_equal(ack(w, 4), 4);
    expect(w, "SELECT seq,t FROM _syncd_journal", "4|0 5|7");

    app(w, "DELETE FROM _syncd_journal");
    int64_t acked = 77;
    /* Emptied and written to since it was read: what is there was read by nobody. */
    app(w, "INSERT INTO a VALUES(5,5)");
    assert_int_equal(journal_ack(w->journal, 5, other_nonce, not_ours, NULL, &acked), SQLITE_ABORT);
    expect(w, "SELECT seq,t FROM _syncd_journal", "1|7");
    app(w, "DELETE FROM _syncd_journal");
    assert_int_equal(journal_ack(w->journal, 5, other_nonce, NULL, NULL, &acked), SQLITE_CORRUPT);
    assert_int_equal(acked, 77);
    assert_true(sqlite3_get_autocommit(w->source->db));
}

static void an_acknowledgement_does_not_wait_for_writers(void **state)
{
    static const char *const modes[] = {"WAL", "DELETE"};
    struct world *w = *state;
    int64_t acked = 77;

    for (size_t i = 0; i < 2; i++) {
        app(w, "PRAGMA journal_mode=%s", modes[i]);
        make(w);
        app(w, "INSERT INTO a VALUES(1,1); BEGIN IMMEDIATE; INSERT INTO a VALUES(2,2)");
        assert_int_equal(journal_ack(w->journal, 2, other_nonce, NULL, NULL, &acked) & 0xff,
                         SQLITE_BUSY);
        assert_int_equal(acked, 77);
        assert_true(sqlite3_get_autocommit(w->source->db));
        app(w, "COMMIT");
        expect(w, "SELECT count(*) FROM _syncd_journal", "3");
        assert_int_equal(ack(w, 2), 2);
        app(w, "DROP TABLE a; DROP TABLE b; DROP TABLE _syncd_journal");
        forget_schema(w);
        source_close(w->source);
        w->source = NULL;
    }
}

/* A reader of the application's that holds on to the past does not keep us from acknowledging. */
static void an_acknowledgement_beside_a_long_reader(void **state)
{
    struct world *w = *state;
    sqlite3 *reader;

    make(w);
    app(w, "INSERT INTO a VALUES(1,1)");
    assert_int_equal(sqlite3_open(w->path, &reader), SQLITE_OK);
    sql_run(reader, "BEGIN; SELECT count(*) FROM a");
    assert_int_equal(ack(w, 2), 2);
    char *seen = sql_text(reader, "SELECT count(*) FROM _syncd_journal");
    assert_string_equal(seen, "2");
    sqlite3_free(seen);
    sqlite3_close(reader);
    expect(w, "SELECT count(*) FROM _syncd_journal", "1");
}

/* The longest value is a rule for rows. A key beyond it still has to be passed. */
static void a_giant_key_does_not_stop_the_reading(void **state)
{
    struct world *w = *state;

    make(w);
    app(w, "INSERT INTO b VALUES('small',1),(printf('%%.*c',3000000,'x'),2),('after',3)");
    sqlite3_stmt *stmt = journal_entries(w->journal, 1, 100, 0, 0);
    struct journal_entry e;
    size_t lengths[4] = {0}, n = 0;
    while (journal_next(stmt, &e) == SQLITE_ROW && n < 4) {
        _cleanup_buf_ struct buf key = {0};
        journal_key(stmt, 2, &key);
        lengths[n++] = key.len;
    }
    rows_end(stmt);
    assert_int_equal(n, 3);
    assert_int_equal(lengths[0], 5 + 5 + 9);
    assert_int_equal(lengths[1], 5 + 3000000 + 9);
    assert_int_equal(lengths[2], 5 + 5 + 9);
    assert_int_equal(sqlite3_limit(w->source->db, SQLITE_LIMIT_LENGTH, -1), SOURCE_MAX_VALUE);
    assert_int_equal(ack(w, 4), 4);
}

static void the_journal_must_be_there(void **state)
{
    struct world *w = *state;

    app(w, "CREATE TABLE a(id INTEGER PRIMARY KEY)");
    read_schema(w);
    assert_int_equal(journal_open(w->source, 2, &w->journal), SQLITE_ERROR);
    assert_null(w->journal);
    journal_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(entries_come_in_order_each_with_its_key),
        world_test(keys_keep_their_types),
        world_test(head_and_tail),
        world_test(settled_entries_go_and_the_sequence_goes_on),
        world_test(an_old_acknowledgement_changes_nothing),
        world_test(many_entries_go_in_short_transactions),
        world_test(a_lost_sentinel_is_put_back),
        world_test(an_acknowledgement_does_not_wait_for_writers),
        world_test(an_acknowledgement_beside_a_long_reader),
        world_test(a_giant_key_does_not_stop_the_reading),
        world_test(the_journal_must_be_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
