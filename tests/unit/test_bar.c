/* What a progress bar says: pure text of what was counted so far. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "ctl/bar.h"
#include "ctl/ctl.h"

/* bar.c asks; what it says of a wrong use is not looked at here. */
int ctl_usage(const struct ctl *ctl, const char *fmt, ...)
{
    (void)ctl;
    (void)fmt;
    return CTL_USAGE;
}

static struct bar loading(enum bar_kind kind)
{
    /* Silent while it is fed, so that nothing is drawn over the test's own output. */
    struct bar b = {.label = "load", .things = "rows", .units = "write units", .total = 1000000};

    for (int i = 0; i <= 40; i++) /* slow first, then 10,000 rows and 25,000 units a second */
        bar_update(&b, i < 20 ? i : 20 + (int64_t)(i - 20) * 10000, i < 20 ? 0 : (i - 20) * 25000.0,
                   (100 + i) * USEC_PER_SEC);
    b.kind = kind;
    return b;
}

static void assert_text(const struct bar *b, size_t columns, usec now, const char *expected)
{
    _cleanup_buf_ struct buf out = {0};

    bar_text(b, columns, now, &out);
    assert_true(buf_ok(&out));
    assert_string_equal(out.data, expected);
    if (b->kind == BAR_TERMINAL)
        assert_true(format_width(out.data) <= columns);
}

static void test_rates_are_of_the_last_seconds(void **state)
{
    (void)state;
    struct bar b = loading(BAR_LINES);

    assert_text(&b, 0, 140 * USEC_PER_SEC,
                "load: 200,020 of 1,000,000 rows (20%), 10,000 rows/s, 25,000 write units/s, "
                "1m 20s left");
}

static void test_a_terminal_has_a_bar(void **state)
{
    (void)state;
    struct bar b = loading(BAR_TERMINAL);

    assert_text(&b, 132, 140 * USEC_PER_SEC,
                "load [####................]  20%  200,020 of 1,000,000 rows  10,000 rows/s  "
                "25,000 write units/s  1m 20s left");
}

static void test_a_narrow_terminal_shows_what_fits(void **state)
{
    (void)state;
    struct bar b = loading(BAR_TERMINAL);

    assert_text(&b, 80, 140 * USEC_PER_SEC,
                "load [####................]  20%  200,020 of 1,000,000 rows  10,000 rows/s");
    assert_text(&b, 40, 140 * USEC_PER_SEC, "load  20%  200,020 of 1,000,000 rows");
    assert_text(&b, 20, 140 * USEC_PER_SEC, "load  20%");
    for (size_t columns = 20; columns < 140; columns++) {
        _cleanup_buf_ struct buf out = {0};
        bar_text(&b, columns, 140 * USEC_PER_SEC, &out);
        assert_true(format_width(out.data) <= columns);
    }
}

static void test_nothing_is_guessed_before_it_can_be(void **state)
{
    (void)state;
    struct bar b = {.kind = BAR_LINES, .label = "verify", .things = "items", .total = 10};

    assert_text(&b, 0, 5, "verify: 0 of 10 items (0%)");
    b.kind = BAR_SILENT;
    bar_update(&b, 0, 0, USEC_PER_SEC);
    b.kind = BAR_LINES;
    assert_text(&b, 0, USEC_PER_SEC + 1, "verify: 0 of 10 items (0%)");
    assert_text(&b, 0, 3 * USEC_PER_SEC, "verify: 0 of 10 items (0%), 0.0 items/s");
}

static void test_without_a_total_there_is_neither_bar_nor_end(void **state)
{
    (void)state;
    struct bar b = loading(BAR_TERMINAL);

    b.total = 0;
    assert_text(&b, 132, 140 * USEC_PER_SEC,
                "load  200,020 rows  10,000 rows/s  25,000 write units/s");
}

static void test_all_is_100_per_cent_and_not_a_row_less(void **state)
{
    (void)state;
    struct bar b = {.kind = BAR_LINES, .label = "load", .things = "rows", .total = 100000};

    b.done = 99999;
    assert_text(&b, 0, 1, "load: 99,999 of 100,000 rows (99%)");
    b.done = 100000;
    assert_text(&b, 0, 1, "load: 100,000 of 100,000 rows (100%)");
    b.done = 100007; /* the application wrote meanwhile */
    assert_text(&b, 0, 1, "load: 100,007 of 100,000 rows (100%)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rates_are_of_the_last_seconds),
        cmocka_unit_test(test_a_terminal_has_a_bar),
        cmocka_unit_test(test_a_narrow_terminal_shows_what_fits),
        cmocka_unit_test(test_nothing_is_guessed_before_it_can_be),
        cmocka_unit_test(test_without_a_total_there_is_neither_bar_nor_end),
        cmocka_unit_test(test_all_is_100_per_cent_and_not_a_row_less),
    };

    return cmocka_run_group_tests_name("bar", tests, NULL, NULL);
}
