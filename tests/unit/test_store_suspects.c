/* What the state file knows of writes of uncertain outcome. */
#include "state/internal.h"
#include "store_fixture.h"

static int suspect(struct box *b, uint32_t target, const char *key, int64_t until)
{
    const struct store_suspect x = {.target = target,
                                    .key = key,
                                    .key_len = strlen(key),
                                    .table = 7,
                                    .row_key = "row",
                                    .row_key_len = 3,
                                    .until = until};

    return store_suspect_put(b->store, &x);
}

static void describe(void *arg, const struct store_suspect *x)
{
    buf_printf(arg, "%u:%.*s:%u:%.*s:%lld ", x->target, (int)x->key_len, (const char *)x->key,
               x->table, (int)x->row_key_len, (const char *)x->row_key, (long long)x->until);
}

static void due_are(struct box *b, int64_t now, const struct store_suspect *after, int limit,
                    const char *expected)
{
    static const struct store_suspect first = {.until = INT64_MIN};
    _cleanup_buf_ struct buf text = {0};

    assert_true(store_suspect_page(b->store, now, after ? after : &first, limit, describe, &text) >=
                0);
    buf_append(&text, "", 1);
    assert_string_equal(text.data, expected);
}

static void none(void **state)
{
    struct box *b = *state;

    assert_int_equal(store_suspect_count(b->store), 0);
    assert_false(store_suspect_has(b->store, 1, "k", 1));
    assert_int_equal(store_suspect_clear(b->store, 1, "k", 1, INT64_MAX), 0);
    assert_true(store_suspect_first(b->store) == INT64_MAX);
    assert_int_equal(store_suspect_raise(b->store, 5), 0);
    due_are(b, INT64_MAX, NULL, 9, "");
    assert_false(store_dirty(b->store)); /* nothing was written for all that */
}

static void a_key_is_one_until_its_time(void **state)
{
    struct box *b = *state;

    assert_int_equal(suspect(b, 1, "k", 100), 0);
    assert_int_equal(suspect(b, 2, "k", 50), 0);
    assert_int_equal(store_commit(b->store, NULL), 0);
    reopened(b);
    assert_int_equal(store_suspect_count(b->store), 2);
    assert_true(store_suspect_has(b->store, 1, "k", 1));
    assert_false(store_suspect_has(b->store, 1, "kk", 2));
    assert_false(store_suspect_has(b->store, 3, "k", 1));
    assert_int_equal(store_suspect_first(b->store), 50);

    /* A write settles it only when it was sent at or after that. */
    assert_int_equal(store_suspect_clear(b->store, 1, "k", 1, 99), 0);
    assert_int_equal(store_suspect_count(b->store), 2);
    assert_int_equal(store_suspect_clear(b->store, 1, "k", 1, 100), 1);
    assert_int_equal(store_suspect_count(b->store), 1);
    assert_false(store_suspect_has(b->store, 1, "k", 1));
    assert_true(store_suspect_has(b->store, 2, "k", 1));
}

static void a_later_one_moves_the_time_on_and_an_earlier_one_does_not(void **state)
{
    struct box *b = *state;

    assert_int_equal(suspect(b, 1, "k", 100), 0);
    assert_int_equal(suspect(b, 1, "k", 200), 0);
    assert_int_equal(suspect(b, 1, "k", 150), 0);
    assert_int_equal(store_suspect_count(b->store), 1);
    assert_int_equal(store_suspect_first(b->store), 200);
    assert_int_equal(suspect(b, 1, "l", 100), 0);
    assert_int_equal(store_suspect_raise(b->store, 180), 0);
    due_are(b, 1000, NULL, 9, "1:l:7:row:180 1:k:7:row:200 ");
    assert_int_equal(store_suspect_count_of(b->store, 7), 2);
    assert_int_equal(store_suspect_count_of(b->store, 8), 0);
}

static void pages_of_those_whose_time_is_over(void **state)
{
    struct box *b = *state;
    struct store_suspect after = {.until = 20, .target = 1, .key = "a", .key_len = 1};

    assert_int_equal(suspect(b, 1, "a", 20), 0);
    assert_int_equal(suspect(b, 1, "b", 20), 0);
    assert_int_equal(suspect(b, 2, "a", 20), 0);
    assert_int_equal(suspect(b, 2, "z", 10), 0);
    assert_int_equal(suspect(b, 1, "c", 31), 0);
    due_are(b, 30, NULL, 2, "2:z:7:row:10 1:a:7:row:20 ");
    due_are(b, 30, &after, 2, "1:b:7:row:20 2:a:7:row:20 ");
    due_are(b, 31, &after, 9, "1:b:7:row:20 2:a:7:row:20 1:c:7:row:31 ");
    due_are(b, 9, NULL, 9, "");
}

static void the_count_follows_what_a_rollback_takes_back(void **state)
{
    struct box *b = *state;

    assert_int_equal(suspect(b, 1, "a", 1), 0);
    assert_int_equal(store_commit(b->store, NULL), 0);
    assert_int_equal(suspect(b, 1, "b", 1), 0);
    assert_int_equal(store_suspect_clear(b->store, 1, "a", 1, 1), 1);
    store_rollback(b->store);
    assert_int_equal(store_suspect_count(b->store), 1);
    assert_true(store_suspect_has(b->store, 1, "a", 1));
    assert_false(store_suspect_has(b->store, 1, "b", 1));
}

static void a_digest_is_made_void(void **state)
{
    struct box *b = *state;
    const uint8_t known[STORE_DIGEST_SIZE] = "dddddddddddddddd";
    uint8_t got[STORE_DIGEST_SIZE];
    _cleanup_buf_ struct buf row_key = {0};
    uint32_t table = 0;

    assert_int_equal(store_digest_put(b->store, 1, "k", 1, known, 5, "own", 3), 0);
    assert_int_equal(store_digest_doubt_item(b->store, 1, "k", 1, 7, "row", 3), 0);
    assert_int_equal(store_digest_doubt_item(b->store, 1, "new", 3, 7, "row", 3), 0);
    assert_true(store_digest_get(b->store, 1, "k", 1, got, &table));
    assert_int_equal(got[0], 0);
    assert_int_equal(table, 5); /* whose it is stays */
    assert_true(store_digest_get(b->store, 1, "new", 3, got, &table));
    assert_int_equal(table, 7);
    assert_int_equal(store_digest_owner(b->store, 1, "k", 1, &table, &row_key), 1);
    assert_memory_equal(row_key.data, "own", 3);
}

static int interrupt(void *arg)
{
    (void)arg;
    return 1;
}

/* A transaction is taken back where nothing can be read: that there are some is not forgotten. */
static void a_failed_count_is_not_none(void **state)
{
    struct box *b = *state;
    sqlite3 *db = b->store->db;

    assert_int_equal(suspect(b, 1, "k", 100), 0);
    assert_int_equal(store_commit(b->store, NULL), 0);
    assert_int_equal(suspect(b, 1, "other", 100), 0);
    sqlite3_progress_handler(db, 1, interrupt, NULL);
    store_rollback(b->store);
    assert_int_not_equal(store_suspect_count(b->store), 0);
    assert_true(store_suspect_has(b->store, 1, "k", 1));
    sqlite3_progress_handler(db, 0, NULL, NULL);
    assert_int_equal(suspect(b, 1, "more", 200), 0);
    assert_int_equal(store_suspect_count(b->store), 2);
    assert_int_equal(store_suspect_first(b->store), 100);
    assert_int_equal(store_suspect_clear(b->store, 1, "k", 1, 100), 1);
    assert_int_equal(store_suspect_count(b->store), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        box_test(a_failed_count_is_not_none),
        box_test(none),
        box_test(a_key_is_one_until_its_time),
        box_test(a_later_one_moves_the_time_on_and_an_earlier_one_does_not),
        box_test(pages_of_those_whose_time_is_over),
        box_test(the_count_follows_what_a_rollback_takes_back),
        box_test(a_digest_is_made_void),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
