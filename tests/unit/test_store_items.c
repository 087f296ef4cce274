/* What the state file knows of items: digests and dead letters. */
#include "base/rng.h"
#include "mapping/item.h"
#include "store_fixture.h"

/* --- digests ---------------------------------------------------------------------------------- */

static void digest(struct box *b, uint32_t target, const char *key, const char *row_key, char fill)
{
    uint8_t bytes[STORE_DIGEST_SIZE];

    memset(bytes, fill, sizeof bytes);
    assert_int_equal(store_digest_put(b->store, target, key, strlen(key), bytes, 5, row_key,
                                      row_key ? strlen(row_key) : 0),
                     0);
}

static void digests_by_target_and_key(void **state)
{
    struct box *b = *state;
    uint8_t got[STORE_DIGEST_SIZE] = {0};
    uint32_t table = 0;

    digest(b, 1, "k", NULL, 'a');
    digest(b, 2, "k", NULL, 'b');
    digest(b, 1, "kk", "row", 'c');
    digest(b, 1, "k", NULL, 'd'); /* in place of the first */
    reopened(b);
    assert_true(store_digest_get(b->store, 1, "k", 1, got, &table));
    assert_int_equal(got[0], 'd');
    assert_int_equal(got[15], 'd');
    assert_int_equal(table, 5);
    assert_true(store_digest_get(b->store, 2, "k", 1, got, &table));
    assert_int_equal(got[0], 'b');
    assert_false(store_digest_get(b->store, 3, "k", 1, got, &table));
    assert_false(store_digest_get(b->store, 1, "K", 1, got, &table));
    assert_false(store_digest_get(b->store, 1, "k\0", 2, got, &table));
    assert_int_equal(got[0], 'b');
    assert_int_equal(store_digest_count(b->store, 1), 2);

    const uint8_t c[STORE_DIGEST_SIZE] = "cccccccccccccccc", x[STORE_DIGEST_SIZE] = "x";
    assert_int_equal(store_digest_match(b->store, 1, "kk", 2, c, 5, "row", 3), DIGEST_SAME);
    assert_int_equal(store_digest_match(b->store, 1, "kk", 2, c, 5, "rov", 3), DIGEST_SAME_ITEM);
    assert_int_equal(store_digest_match(b->store, 1, "kk", 2, c, 5, "ro", 2), DIGEST_SAME_ITEM);
    assert_int_equal(store_digest_match(b->store, 1, "kk", 2, c, 5, NULL, 0), DIGEST_SAME_ITEM);
    assert_int_equal(store_digest_match(b->store, 1, "kk", 2, c, 6, "row", 3), DIGEST_SAME_ITEM);
    assert_int_equal(store_digest_match(b->store, 1, "kk", 2, x, 5, "row", 3), DIGEST_OTHER);
    assert_int_equal(store_digest_match(b->store, 2, "kk", 2, c, 5, "row", 3), DIGEST_OTHER);
    assert_int_equal(store_digest_match(b->store, 2, "k", 1, got, 5, NULL, 0), DIGEST_SAME);
    assert_int_equal(store_digest_match(b->store, 2, "k", 1, got, 5, "", 0), DIGEST_SAME_ITEM);

    assert_int_equal(store_digest_delete(b->store, 1, "k", 1), 0);
    assert_int_equal(store_digest_delete(b->store, 1, "never there", 11), 0);
    assert_false(store_digest_get(b->store, 1, "k", 1, got, &table));
    assert_int_equal(store_digest_clear(b->store, 1), 0);
    assert_int_equal(store_digest_count(b->store, 1), 0);
    assert_int_equal(store_digest_count(b->store, 2), 1);
}

/* In any order, by every way in which one comes to be there, and over transactions taken back: each
 * that was put is found, also by a store that has seen the target empty. */
static void every_digest_is_found_again(void **state)
{
    struct box *b = *state;
    bool put[500] = {0};
    struct rng r = {11};
    uint8_t got[STORE_DIGEST_SIZE];
    uint32_t table;

    for (int i = 0; i < 5000; i++) {
        struct buf key = {0};
        char text[12];
        size_t n = (size_t)rng_upto(&r, 499);
        snprintf(text, sizeof text, "%zu", n);
        assert_int_equal(item_key_part(&key, ATTR_N, text, strlen(text)), 0);
        assert_int_equal(store_digest_get(b->store, 1, key.data, key.len, got, &table), put[n]);
        memset(got, 'x', sizeof got);
        int way = (int)rng_upto(&r, 3), rc = 0;
        if (way == 0)
            rc = store_digest_put(b->store, 1, key.data, key.len, got, 5, NULL, 0);
        else if (way == 1)
            rc = store_digest_suspect(b->store, 1, key.data, key.len, 5, NULL, 0);
        else if (way == 2)
            rc = store_digest_doubt_item(b->store, 1, key.data, key.len, 5, NULL, 0);
        assert_int_equal(rc, 0);
        put[n] |= way < 3;
        if (i == 2500) { /* the same with one that has not seen it empty */
            reopened(b);
        } else if (i == 20) { /* nothing was committed */
            store_rollback(b->store);
            memset(put, 0, sizeof put);
        }
        buf_free(&key);
    }
}

struct collected {
    struct buf text, last;
    int stop_after;
};

static bool collect(void *arg, const struct store_digest *d)
{
    struct collected *c = arg;

    buf_printf(&c->text, "%.*s/%u/", (int)d->key_len, (const char *)d->key, d->table);
    buf_append(&c->text, d->row_key ? d->row_key : "-", d->row_key ? d->row_key_len : 1);
    buf_putc(&c->text, ' ');
    buf_clear(&c->last);
    buf_append(&c->last, d->key, d->key_len);
    return --c->stop_after != 0;
}

static void pages_of_digests_in_key_order(void **state)
{
    struct box *b = *state;
    struct collected c = {.stop_after = -1};
    struct buf start = {0};

    digest(b, 1, "c", NULL, 'x');
    digest(b, 1, "a", "row", 'x');
    digest(b, 2, "b", NULL, 'x');
    digest(b, 1, "d", "", 'x');
    digest(b, 1, "b", NULL, 'x');
    assert_int_equal(store_digest_page(b->store, 1, &start, 3, collect, &c), 3);
    assert_string_equal(c.text.data, "a/5/row b/5/- c/5/- ");
    buf_clear(&c.text);
    struct buf from = c.last;
    c.last = (struct buf){0};
    assert_int_equal(store_digest_page(b->store, 1, &from, 3, collect, &c), 1);
    assert_memory_equal(c.text.data, "d/5/", 4);
    assert_int_equal(store_digest_page(b->store, 1, &c.last, 3, collect, &c), 0);
    buf_clear(&c.text);
    c.stop_after = 2;
    assert_int_equal(store_digest_page(b->store, 1, &start, 3, collect, &c), 2);
    assert_string_equal(c.text.data, "a/5/row b/5/- ");
    /* A page that was left early holds no lock on what comes next. */
    assert_int_equal(store_digest_clear(b->store, 1), 0);
    assert_int_equal(store_commit(b->store, NULL), 0);
    buf_free(&from);
    buf_free(&c.text);
    buf_free(&c.last);
}

static void some_keys_stay_when_digests_are_void(void **state)
{
    struct box *b = *state;
    uint8_t got[STORE_DIGEST_SIZE], unknown[STORE_DIGEST_SIZE] = {0};
    uint32_t table = 0;

    digest(b, 1, "k", NULL, 'a');
    digest(b, 1, "k~x~12", "row", 'b');
    digest(b, 1, "k~x~123", NULL, 'c');
    digest(b, 1, "~x~12", NULL, 'd');
    digest(b, 1, "x~12", NULL, 'e');
    digest(b, 2, "k~x~12", NULL, 'f');
    assert_int_equal(store_digest_clear_but(b->store, 1, 5, "~x~"), 0);
    assert_int_equal(store_digest_count(b->store, 1), 2);
    assert_true(store_digest_get(b->store, 1, "~x~12", 5, got, &table));
    assert_memory_equal(got, unknown, sizeof got);
    assert_int_equal(store_digest_match(b->store, 1, "k~x~12", 6, unknown, 5, "row", 3),
                     DIGEST_SAME);
    assert_true(store_digest_get(b->store, 2, "k~x~12", 6, got, &table));
    assert_int_equal(got[0], 'f');
}

/* --- dead letters ----------------------------------------------------------------------------- */

static void list_letter(void *arg, const struct dead_letter *d)
{
    buf_printf(arg, "%lld:%u:%.*s:%s:%s:%s:%s:%s:%s:%lld-%lld:%lld\n", (long long)d->id,
               d->table_id, (int)d->row_key_len, (const char *)d->row_key, d->table, d->target,
               d->key, d->column, d->reason, d->message, (long long)d->first, (long long)d->last,
               (long long)d->attempts);
}

static void letters_are(struct box *b, int64_t id, const char *want, int count)
{
    _cleanup_buf_ struct buf got = {0};

    buf_puts(&got, "");
    assert_int_equal(store_dead_letters(b->store, id, list_letter, &got), count);
    assert_string_equal(got.data, want);
}

static void dead_letters_one_a_row(void **state)
{
    struct box *b = *state;
    struct dead_letter d = {.table_id = 3,
                            .table = "users",
                            .target = "prod-users",
                            .key = "id=7",
                            .row_key = "r7",
                            .row_key_len = 2,
                            .column = "age",
                            .reason = "number_range",
                            .message = "it's too large",
                            .first = 100,
                            .last = 100};
    bool is_new = false;

    assert_int_equal(store_dead_letter_clear(b->store, 3, "r7", 2, 9), 0);
    assert_int_equal(store_dead_letter_put(b->store, &d, &is_new), 0);
    assert_true(is_new);
    d.first = d.last = 200;
    d.reason = "invalid_utf8";
    assert_int_equal(store_dead_letter_put(b->store, &d, &is_new), 0);
    assert_false(is_new);
    d.row_key = "r8";
    d.column = d.message = NULL;
    assert_int_equal(store_dead_letter_put(b->store, &d, NULL), 0);
    d.table_id = 4;
    assert_int_equal(store_dead_letter_put(b->store, &d, NULL), 0);
    reopened(b);
    letters_are(b, 0,
                "1:3:r7:users:prod-users:id=7:age:invalid_utf8:it's too large:100-200:2\n"
                "2:3:r8:users:prod-users:id=7::invalid_utf8::200-200:1\n"
                "3:4:r8:users:prod-users:id=7::invalid_utf8::200-200:1\n",
                3);
    letters_are(b, 2, "2:3:r8:users:prod-users:id=7::invalid_utf8::200-200:1\n", 1);
    letters_are(b, 99, "", 0);
    assert_int_equal(store_dead_letter_count(b->store, 0), 3);
    assert_int_equal(store_dead_letter_count(b->store, 3), 2);
    assert_int_equal(store_dead_letter_count(b->store, 5), 0);

    assert_int_equal(store_dead_letter_clear(b->store, 3, "r8", 2, 9), 1);
    assert_int_equal(store_dead_letter_clear(b->store, 3, "r8", 2, 9), 0);
    assert_int_equal(store_dead_letter_delete(b->store, 3), 1);
    assert_int_equal(store_dead_letter_delete(b->store, 3), 0);
    assert_int_equal(store_dead_letter_count(b->store, 0), 1);

    /* An id that was told once means that letter for ever. */
    assert_int_equal(store_dead_letter_put(b->store, &d, &is_new), 0);
    assert_true(is_new);
    letters_are(b, 4, "4:4:r8:users:prod-users:id=7::invalid_utf8::200-200:1\n", 1);

    /* What was offered before it does not clear it, nor renew it. */
    d.serial = 10;
    assert_int_equal(store_dead_letter_put(b->store, &d, NULL), 0);
    assert_int_equal(store_dead_letter_clear(b->store, 4, "r8", 2, 9), 0);
    d.serial = 9;
    assert_int_equal(store_dead_letter_put(b->store, &d, &is_new), 0);
    assert_false(is_new);
    letters_are(b, 4, "4:4:r8:users:prod-users:id=7::invalid_utf8::200-200:2\n", 1);
    assert_int_equal(store_commit(b->store, NULL), 0);
    reopened(b); /* what another process offered is over */

    /* The count follows what a rollback takes back. */
    assert_int_equal(store_commit(b->store, NULL), 0);
    assert_int_equal(store_dead_letter_delete(b->store, 4), 1);
    assert_int_equal(store_dead_letter_delete(b->store, 1), 1);
    store_rollback(b->store);
    assert_int_equal(store_dead_letter_clear(b->store, 4, "r8", 2, 9), 1);
}

static void note_due(void *arg, const struct dead_letter *d)
{
    struct dead_letter *last = arg;

    assert_int_equal(d->target_id, STORE_ROW_CAME);
    last->id = d->id;
    last->table_id = d->table_id;
}

/* Letters that await a row are due when it comes, until they are put again or cleared; skipped ones
 * are counted apart. */
static void rows_that_await_another(void **state)
{
    struct box *b = *state;
    struct dead_letter last = {0};

    for (int i = 0; i < 6; i++) {
        struct dead_letter d = {.table_id = 3 + (uint32_t)i % 2,
                                .table = "t",
                                .target = "T",
                                .key = "",
                                .row_key = &"abcdef"[i],
                                .row_key_len = 1,
                                .column = "",
                                .reason = i < 3 ? STORE_SKIPPED : "orphan",
                                .message = "",
                                .target_id = STORE_AWAITS_ROW,
                                .remote_key = i < 4 ? "K" : "L",
                                .remote_key_len = 1};
        assert_int_equal(store_dead_letter_put(b->store, &d, NULL), 0);
    }
    assert_int_equal(store_skipped_count(b->store, 0), 3);
    assert_int_equal(store_skipped_count(b->store, 3), 2);
    assert_int_equal(store_row_awaited(b->store, "K", 1), 1);
    assert_int_equal(store_row_awaited(b->store, "M", 1), 0);
    assert_int_equal(store_rows_due(b->store, NULL, 9, note_due, &last), 0);

    assert_int_equal(store_row_came(b->store, 0, "K", 1), 0);
    assert_int_equal(store_row_awaited(b->store, "K", 1), 0);
    assert_int_equal(store_rows_due(b->store, NULL, 3, note_due, &last), 3);
    const struct dead_letter after = {.id = last.id, .remote_key = "K", .remote_key_len = 1};
    assert_int_equal(store_rows_due(b->store, &after, 3, note_due, &last), 1);
    assert_int_equal(last.table_id, 4);
    assert_int_equal(store_row_came(b->store, 3, NULL, 0), 0);
    assert_int_equal(store_rows_due(b->store, NULL, 9, note_due, &last), 5);

    assert_int_equal(store_dead_letter_clear(b->store, 3, "a", 1, 0), 1);
    assert_int_equal(store_rows_due(b->store, NULL, 9, note_due, &last), 4);
    assert_int_equal(store_skipped_count(b->store, 0), 2);
    assert_int_equal(store_commit(b->store, NULL), 0);
    assert_int_equal(store_dead_letter_clear(b->store, 3, "c", 1, 0), 1);
    store_rollback(b->store);
    assert_int_equal(store_skipped_count(b->store, 0), 2);
    assert_int_equal(store_skipped_count(b->store, 4), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        box_test(digests_by_target_and_key),     box_test(every_digest_is_found_again),
        box_test(pages_of_digests_in_key_order), box_test(some_keys_stay_when_digests_are_void),
        box_test(dead_letters_one_a_row),        box_test(rows_that_await_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
