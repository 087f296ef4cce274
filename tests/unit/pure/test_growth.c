/* When a count that grows reaches its limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/growth.h"
#include "base/histogram.h"

/* A sample a second, from `value` on by `step`. */
static int64_t grow(struct growth *g, usec *now, int64_t value, int64_t step, int seconds)
{
    for (int i = 0; i < seconds; i++) {
        growth_note(g, *now, value);
        *now += USEC_PER_SEC;
        value += step;
    }
    return value;
}

static void test_nothing_is_known_at_first(void **state)
{
    struct growth g = {0};
    usec now = 7 * USEC_PER_SEC;

    (void)state;
    assert_true(growth_reaches(&g, 100) == USEC_NEVER);
    grow(&g, &now, 0, 10, 5); /* over four seconds */
    assert_true(growth_reaches(&g, 1000) == USEC_NEVER);
}

static void test_the_time_left_is_told_from_the_rate(void **state)
{
    struct growth g = {0};
    usec now = 7 * USEC_PER_SEC;

    (void)state;
    grow(&g, &now, 0, 10, 31); /* the last sample says 300 */
    assert_int_equal(growth_reaches(&g, 1300), 100 * USEC_PER_SEC);
    assert_int_equal(growth_reaches(&g, 300), 0);
    assert_int_equal(growth_reaches(&g, 200), 0);
}

static void test_only_the_last_minute_counts(void **state)
{
    struct growth g = {0};
    usec now = 7 * USEC_PER_SEC;

    (void)state;
    int64_t value = grow(&g, &now, 0, 1000000, 200);
    value = grow(&g, &now, value, 2, 62);
    assert_int_equal(growth_reaches(&g, value - 2 + 120), 60 * USEC_PER_SEC);
}

static void test_what_stands_still_or_shrinks_reaches_nothing(void **state)
{
    struct growth still = {0}, shrinking = {0}, drained = {0};
    usec now = 7 * USEC_PER_SEC;

    (void)state;
    grow(&still, &now, 50, 0, 30);
    assert_true(growth_reaches(&still, 100) == USEC_NEVER);
    grow(&shrinking, &now, 5000, -3, 30);
    assert_true(growth_reaches(&shrinking, 100000) == USEC_NEVER);
    /* More than a minute ago, but on its way down. */
    int64_t value = grow(&drained, &now, 0, 100, 40);
    grow(&drained, &now, value, -10, 14);
    assert_true(growth_reaches(&drained, 100000) == USEC_NEVER);
}

static void test_many_looks_a_second_are_one_sample(void **state)
{
    struct growth g = {0};
    usec now = 7 * USEC_PER_SEC;

    (void)state;
    for (int i = 0; i < 100000; i++, now += USEC_PER_MSEC)
        growth_note(&g, now, i);
    assert_in_range(growth_reaches(&g, 99000 + 1000000), 995 * USEC_PER_SEC, 1005 * USEC_PER_SEC);
}

static void test_a_histogram_counts_each_value_once(void **state)
{
    static const usec bounds[] = {10, 100};
    struct histogram h = {.bounds = bounds, .bound_count = 2};

    (void)state;
    for (usec v = 1; v <= 1000; v *= 10)
        histogram_add(&h, v);
    assert_int_equal(h.counts[0], 2);
    assert_int_equal(h.counts[1], 1);
    assert_int_equal(h.counts[2], 1);
    assert_int_equal(h.sum, 1111);
    assert_int_equal(h.max, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_known_at_first),
        cmocka_unit_test(test_the_time_left_is_told_from_the_rate),
        cmocka_unit_test(test_only_the_last_minute_counts),
        cmocka_unit_test(test_what_stands_still_or_shrinks_reaches_nothing),
        cmocka_unit_test(test_many_looks_a_second_are_one_sample),
        cmocka_unit_test(test_a_histogram_counts_each_value_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
