/* What a comparison remembers: keys that were met, keys to look at again, keys that wait. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jobs/verify_work.h"

static struct work *begin(void)
{
    struct work *w = NULL;
    struct err err = {""};

    if (work_open(NULL, &w, &err) < 0)
        fail_msg("%s", err.text);
    return w;
}

static struct work_key key(const char *k, const char *row, unsigned table)
{
    return (struct work_key){
        .key = k, .key_len = strlen(k), .row = row, .row_len = strlen(row), .table = table};
}

static void what_was_met_is_known_again(void **state)
{
    struct work *w = begin();
    bool yes;

    (void)state;
    for (uint32_t i = 0; i < 1000; i += 2)
        assert_int_equal(work_meet(w, &i, sizeof i), 0);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(work_met(w, &i, sizeof i, &yes), 0);
        assert_int_equal(yes, i % 2 == 0);
    }
    assert_int_equal(work_reset(w), 0);
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(work_met(w, &i, sizeof i, &yes), 0);
        assert_false(yes);
    }
    work_close(w);
}

static void suspects_come_in_order_once_each(void **state)
{
    static const char *const names[] = {"a", "b", "c"};
    const struct work_key first = key("b", "guess", 1), sure = key("b", "row", 2);
    struct work *w = begin();
    struct buf after = {0}, page = {0};
    struct work_key k;
    size_t at = 0;

    (void)state;
    for (int i = 2; i >= 0; i--) {
        const struct work_key other = key(names[i], "", 0);
        assert_int_equal(work_suspect(w, i == 1 ? &first : &other, false), 0);
    }
    assert_int_equal(work_suspect(w, &sure, true), 0);
    assert_int_equal(work_suspect(w, &first, false), 0);
    assert_int_equal(work_suspects(w), 3);
    assert_int_equal(work_page(w, &after, 2, &page), 2);
    assert_true(work_next(&page, &at, &k));
    assert_memory_equal(k.key, "a", 1);
    assert_int_equal(k.row_len, 0);
    assert_true(work_next(&page, &at, &k));
    assert_int_equal(k.table, 2);
    assert_int_equal(k.row_len, 3);
    assert_memory_equal(k.row, "row", 3);
    assert_false(work_next(&page, &at, &k));
    buf_puts(&after, "b");
    buf_clear(&page);
    assert_int_equal(work_page(w, &after, 9, &page), 1);
    assert_int_equal(work_clear(w, "c", 1), 0);
    assert_int_equal(work_suspects(w), 2);
    buf_free(&after);
    buf_free(&page);
    work_close(w);
}

static void a_key_is_claimed_once(void **state)
{
    struct work *w = begin();
    bool yes;

    (void)state;
    assert_int_equal(work_claim(w, "a", 1, &yes), 0);
    assert_false(yes);
    assert_int_equal(work_claim(w, "b", 1, &yes), 0);
    assert_false(yes);
    assert_int_equal(work_claim(w, "a", 1, &yes), 0);
    assert_true(yes);
    assert_int_equal(work_reset(w), 0);
    assert_int_equal(work_claim(w, "a", 1, &yes), 0);
    assert_false(yes);
    work_close(w);
}

static void what_waits_is_forgotten_as_a_whole(void **state)
{
    struct work *w = begin();
    bool yes;

    (void)state;
    assert_int_equal(work_wait_for(w, "a", 1), 0);
    assert_int_equal(work_wait_for(w, "a", 1), 0);
    assert_int_equal(work_waits(w, "a", 1, &yes), 0);
    assert_true(yes);
    assert_int_equal(work_waits(w, "b", 1, &yes), 0);
    assert_false(yes);
    assert_int_equal(work_forget_waiting(w), 0);
    assert_int_equal(work_waits(w, "a", 1, &yes), 0);
    assert_false(yes);
    work_close(w);
}

static void mends_outlive_a_table(void **state)
{
    const struct work_key row = key("a", "r", 1), extra = key("b", "", 1);
    struct work *w = begin();
    struct buf page = {0};
    int64_t serial = 0;

    (void)state;
    assert_int_equal(work_mend(w, &row, false), 0);
    assert_int_equal(work_mend(w, &extra, true), 0);
    assert_int_equal(work_reset(w), 0);
    assert_int_equal(work_mends(w, 1, false, 10, &serial, &page), 1);
    assert_int_equal(work_mends(w, 1, false, 10, &serial, &page), 0);
    serial = 0;
    assert_int_equal(work_mends(w, 1, true, 10, &serial, &page), 1);
    assert_int_equal(work_mends(w, 0, true, 10, &serial, &page), 0);
    buf_free(&page);
    work_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_met_is_known_again),
        cmocka_unit_test(suspects_come_in_order_once_each),
        cmocka_unit_test(a_key_is_claimed_once),
        cmocka_unit_test(what_waits_is_forgotten_as_a_whole),
        cmocka_unit_test(mends_outlive_a_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
