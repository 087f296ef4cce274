/* Digests in packed blocks as they are in the file: damage, room, and what an earlier version left.
 */
#include <signal.h>
#include <sys/resource.h>

#include "base/rng.h"
#include "state/internal.h"
#include "store_fixture.h"

/* --- damage ----------------------------------------------------------------------------------- */

static void change_file(struct box *b, const char *sql)
{
    sqlite3 *db = NULL;

    closed(b);
    assert_int_equal(sqlite3_open(b->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    reopened(b);
}

static bool never(void *arg, const struct store_digest *d)
{
    (void)arg;
    (void)d;
    return true;
}

/* A block that does not make sense is an error of the file, and never "nothing is known". */
static void damage_is_told(void **state)
{
    static const char *const damages[] = {
        "UPDATE digest_block SET v=substr(v, 1, length(v)-1)",
        "UPDATE digest_block SET v=v||x'00'",
        "UPDATE digest_block SET v=x''",
        "UPDATE digest_block SET n=n-1",
        "UPDATE digest_block SET n=n+1",
        "UPDATE digest_block SET n=-1",
        "UPDATE digest_block SET v=x'ff'||v",
        "UPDATE digest_block SET v=substr(v,1,3)||substr(v,24,20)||substr(v,4,20)||substr(v,44)",
        "UPDATE digest_block SET v=NULL WHERE 0; UPDATE digest_block SET k=x'ff'",
    };
    struct box *b = *state;
    const uint8_t digest[STORE_DIGEST_SIZE] = "0123456789abcde";

    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        _cleanup_buf_ struct buf row_key = {0}, start = {0};
        uint8_t got[STORE_DIGEST_SIZE];
        uint32_t table;
        struct err err = {.text = ""};
        assert_int_equal(store_digest_clear(b->store, 1), 0);
        for (char k = 'a'; k <= 'e'; k++) {
            const char key[3] = {'k', k};
            assert_int_equal(store_digest_put(b->store, 1, key, 2, digest, 1, NULL, 0), 0);
        }
        assert_int_equal(store_commit(b->store, NULL), 0);
        change_file(b, damages[i]);
        const char *key = i == 8 ? "\xff" : "kb";
        size_t n = i == 8 ? 1 : 2;
        assert_int_equal(store_digest_owner(b->store, 1, key, n, &table, &row_key), -EIO);
        assert_non_null(strstr(store_error(b->store), "digests are damaged"));
        assert_false(store_digest_get(b->store, 1, key, n, got, &table));
        assert_int_equal(store_digest_match(b->store, 1, key, n, digest, 1, NULL, 0), DIGEST_OTHER);
        assert_int_equal(store_digest_page(b->store, 1, &start, 9, never, NULL), -EIO);
        assert_int_equal(store_digest_count_of(b->store, 1, 1), -EIO);
        assert_int_equal(store_digest_put(b->store, 1, key, n, digest, 1, NULL, 0), -EIO);
        assert_int_equal(store_digest_delete(b->store, 1, key, n), -EIO);
        assert_int_equal(store_digest_doubt(b->store, 1), -EIO);
        assert_false(store_dirty(b->store));
        assert_int_equal(store_commit(b->store, &err), 0);
    }
}

/* --- room ------------------------------------------------------------------------------------- */

static int64_t blocks(struct box *b)
{
    sqlite3_stmt *stmt = NULL;

    assert_int_equal(
        sqlite3_prepare_v2(b->store->db, "SELECT count(*) FROM digest_block", -1, &stmt, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return n;
}

/* Keys in their order, also in batches that overtake each other, fill their blocks; what is deleted
 * leaves none behind; and the cache stays within its bounds. */
static void blocks_are_full_and_gone_when_empty(void **state)
{
    struct box *b = *state;
    const uint8_t digest[STORE_DIGEST_SIZE] = "0123456789abcde";
    char key[20];

    for (int i = 0; i < 20000; i++) {
        int batch = i / 25, at = (batch ^ 1) * 25 + i % 25;
        int n = snprintf(key, sizeof key, "N  %06d", at);
        assert_int_equal(store_digest_put(b->store, 1, key, (size_t)n, digest, 1, NULL, 0), 0);
        assert_true(b->store->digests.count <= CACHE_SLOTS);
        assert_true(b->store->digests.dirty <= CACHE_DIRTY);
        if (i % 4000 == 0)
            assert_int_equal(store_commit(b->store, NULL), 0);
    }
    assert_int_equal(store_commit(b->store, NULL), 0);
    const int64_t least = 20000 * 19 / DIGEST_BLOCK_FULL; /* of 19 bytes each */
    assert_in_range(blocks(b), least, least * 5 / 4);
    assert_int_equal(store_digest_count(b->store, 1), 20000);
    for (int i = 0; i < 20000; i++) {
        int n = snprintf(key, sizeof key, "N  %06d", (int)(i * 7919ll % 20000));
        if (i == 19500) { /* few are left, and they do not each keep a block */
            assert_int_equal(store_commit(b->store, NULL), 0);
            assert_in_range(blocks(b), 1, 20); /* 500 keys */
        }
        assert_int_equal(store_digest_delete(b->store, 1, key, (size_t)n), 0);
    }
    assert_int_equal(store_commit(b->store, NULL), 0);
    assert_int_equal(blocks(b), 0);
    assert_int_equal(b->store->digests.bytes > 0, b->store->digests.count > 0);
}

/* Keys in no order fill theirs by three quarters at least: neighbours share before they are cut. */
static void blocks_of_random_keys_share_their_room(void **state)
{
    struct box *b = *state;
    const uint8_t digest[STORE_DIGEST_SIZE] = "0123456789abcde";
    const size_t entry = 33 + 18; /* at most */
    struct rng rng = {.state = 7};
    uint64_t got[40000];
    char key[40];

    for (int i = 0; i < 40000; i++) {
        got[i] = rng_next(&rng);
        int n = snprintf(key, sizeof key, "S%016llx%016llx", (unsigned long long)got[i],
                         (unsigned long long)i);
        assert_int_equal(store_digest_put(b->store, 1, key, (size_t)n, digest, 1, NULL, 0), 0);
        if (i % 250 == 0)
            assert_int_equal(store_commit(b->store, NULL), 0);
    }
    assert_int_equal(store_commit(b->store, NULL), 0);
    assert_in_range(blocks(b), 1, 40000 * entry * 4 / 3 / DIGEST_BLOCK_FULL);
    assert_int_equal(store_digest_count(b->store, 1), 40000);
    for (int i = 0; i < 40000; i++) {
        int n = snprintf(key, sizeof key, "S%016llx%016llx", (unsigned long long)got[i],
                         (unsigned long long)i);
        assert_int_equal(store_digest_match(b->store, 1, key, (size_t)n, digest, 1, NULL, 0),
                         DIGEST_SAME);
    }
}

/* In one commit. */
static void put_keys(struct box *b, uint32_t target, char first, int from, int to)
{
    const uint8_t digest[STORE_DIGEST_SIZE] = "0123456789abcde";
    char key[20];

    for (int i = from; i != to; i += from < to ? 1 : -1) {
        int n = snprintf(key, sizeof key, "S%c%06d", first, i);
        assert_int_equal(store_digest_put(b->store, target, key, (size_t)n, digest, 1, NULL, 0), 0);
    }
    assert_int_equal(store_commit(b->store, NULL), 0);
}

/* The room of a block that has gone is shared: by one that has no row yet with the one behind it,
 * whose row is the highest. That row is free then, and given out once: not also by SQLite, which
 * goes on from the highest that there is. */
static void a_row_that_is_free_again_is_given_out_once(void **state)
{
    struct box *b = *state;
    char key[20];
    int gone = 0;

    put_keys(b, 1, 'm', 0, 100);
    put_keys(b, 2, 'm', 0, 1);
    put_keys(b, 1, 'm', 100, 365);
    assert_int_equal(blocks(b), 3);
    for (; blocks(b) == 3; gone++) {
        assert_in_range(gone, 0, 300);
        int n = snprintf(key, sizeof key, "Sm%06d", gone);
        assert_int_equal(store_digest_delete(b->store, 1, key, (size_t)n), 0);
        assert_int_equal(store_commit(b->store, NULL), 0);
    }
    put_keys(b, 1, 'a', 200, 0); /* downwards: in no order that fills one block after the other */
    closed(b);
    reopened(b);
    assert_int_equal(store_digest_count(b->store, 1), 200 + 365 - gone);
    assert_int_equal(store_digest_count(b->store, 2), 1);
}

static bool count_one(void *arg, const struct store_digest *d)
{
    (void)d;
    ++*(int *)arg;
    return true;
}

/* A block that has gone leaves its range to the one before, which is not met twice for that. */
static void a_page_goes_past_a_block_that_has_gone(void **state)
{
    struct box *b = *state;
    const uint8_t digest[STORE_DIGEST_SIZE] = "0123456789abcde";
    _cleanup_buf_ struct buf start = {0};
    char key[20];
    int met = 0;

    for (int i = 0; i < 800; i++) {
        int n = snprintf(key, sizeof key, "N  %06d", i);
        assert_int_equal(store_digest_put(b->store, 1, key, (size_t)n, digest, 1, NULL, 0), 0);
    }
    assert_int_equal(store_commit(b->store, NULL), 0);
    int64_t before = blocks(b);
    assert_int_equal(store_digest_page(b->store, 1, &start, 1000, count_one, &met), 800);
    for (int i = 120; i <= 480; i++) {
        int n = snprintf(key, sizeof key, "N  %06d", i);
        assert_int_equal(store_digest_delete(b->store, 1, key, (size_t)n), 0);
    }
    assert_int_equal(store_commit(b->store, NULL), 0);
    assert_int_equal(blocks(b), before - 1);
    met = 0;
    assert_int_equal(store_digest_page(b->store, 1, &start, 1000, count_one, &met), 439);
    assert_int_equal(met, 439);
    assert_int_equal(store_digest_count_of(b->store, 1, 1), 439);
}

/* --- a file of version 4 ---------------------------------------------------------------------- */

static void version_4(struct box *b, const char *rows)
{
    sqlite3 *db = NULL;

    closed(b);
    assert_int_equal(sqlite3_open(b->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN;" VERSION_4_DIGESTS, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, rows, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=4; COMMIT", NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static int64_t query(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return n;
}

#define MANY_ROWS                                                                                  \
    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<%s) "                    \
    "INSERT INTO digest SELECT 1+(i%%3), CAST('key '||i AS BLOB), "                                \
    "CAST(printf('%%016d', i) AS BLOB), 7+i%%2, "                                                  \
    "CASE i%%5 WHEN 0 THEN NULL WHEN 1 THEN x'' ELSE CAST('row '||i AS BLOB) END FROM c"

static void version_4_is_converted(void **state)
{
    struct box *b = *state;
    const char *count = getenv("DIGEST_ROWS") ? getenv("DIGEST_ROWS") : "20000";
    int rows = atoi(count);
    char sql[600], key[40], want[20], row[40];

    snprintf(sql, sizeof sql, MANY_ROWS, count);
    version_4(b, sql);
    reopened(b);
    for (int i = 1; i <= rows; i++) {
        uint8_t got[STORE_DIGEST_SIZE];
        uint32_t table, g = 1 + (uint32_t)i % 3;
        size_t n = (size_t)snprintf(key, sizeof key, "key %d", i);
        int len = snprintf(row, sizeof row, "row %d", i);
        snprintf(want, sizeof want, "%016d", i);
        assert_true(store_digest_get(b->store, g, key, n, got, &table));
        assert_memory_equal(got, want, sizeof got);
        assert_int_equal(store_digest_match(b->store, g, key, n, got, 7 + (uint32_t)i % 2,
                                            i % 5 == 0 ? NULL : row, i % 5 <= 1 ? 0 : (size_t)len),
                         DIGEST_SAME);
    }
    int64_t all = 0;
    for (uint32_t g = 1; g <= 3; g++)
        all += store_digest_count(b->store, g);
    assert_int_equal(all, rows);
    closed(b);
    assert_int_equal(query(b->path, "PRAGMA user_version"), STORE_SCHEMA_VERSION);
    assert_int_equal(query(b->path, "SELECT count(*) FROM sqlite_schema WHERE name='digest'"), 0);
    reopened(b);
}

static void version_4_stays_where_there_is_no_room(void **state)
{
    struct box *b = *state;
    struct err err = {.text = ""};
    struct rlimit limit, low;
    char sql[600];

    snprintf(sql, sizeof sql, MANY_ROWS, "50000");
    version_4(b, sql);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    low = limit;
    for (low.rlim_cur = 64 * 1024; low.rlim_cur <= 1024 * 1024; low.rlim_cur *= 4) {
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
        int rc = store_open(b->path, &b->store, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        assert_true(rc == -ENOSPC || rc == -EIO);
        assert_non_null(strstr(err.text, b->path));
        b->store = NULL;
        assert_int_equal(query(b->path, "PRAGMA user_version"), 4);
        assert_int_equal(query(b->path, "SELECT count(*) FROM digest"), 50000);
        assert_int_equal(
            query(b->path, "SELECT count(*) FROM sqlite_schema WHERE name='digest_block'"), 0);
    }
    reopened(b);
    assert_int_equal(store_digest_count(b->store, 1), 16666);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        box_test(damage_is_told),
        box_test(blocks_are_full_and_gone_when_empty),
        box_test(blocks_of_random_keys_share_their_room),
        box_test(a_row_that_is_free_again_is_given_out_once),
        box_test(a_page_goes_past_a_block_that_has_gone),
        box_test(version_4_is_converted),
        box_test(version_4_stays_where_there_is_no_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
