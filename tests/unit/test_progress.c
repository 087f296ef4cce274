/* When the watchdog goes hungry: only for work that stands still without an excuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The tests link the common library only. */
#include "progress.c"

#define SECOND USEC_PER_SEC

static const struct progress_look idle = {.work = false, .mark = 7};
static const struct progress_look at_work = {.work = true, .mark = 7};
static const struct progress_look further = {.work = true, .mark = 8};
static const struct progress_look excused = {.work = true, .excused = true, .mark = 7};

static void nothing_to_do_is_no_stall(void **state)
{
    struct progress p = {0};

    (void)state;
    assert_int_equal(progress_stall(&p, &idle, 1 * SECOND), 0);
    assert_int_equal(progress_stall(&p, &idle, 4000 * SECOND), 0);
    /* Nor does the time count that went by without any. */
    assert_int_equal(progress_stall(&p, &at_work, 4000 * SECOND), 0);
    assert_int_equal(progress_stall(&p, &at_work, 4003 * SECOND), 3 * SECOND);
}

static void the_first_look_of_all_is_no_stall(void **state)
{
    struct progress p = {0};
    const struct progress_look zero = {.work = true, .mark = 0};

    (void)state;
    assert_int_equal(progress_stall(&p, &zero, 4000 * SECOND), 0);
}

static void whatever_moves_begins_it_anew(void **state)
{
    struct progress p = {0};

    (void)state;
    assert_int_equal(progress_stall(&p, &at_work, 10 * SECOND), 0);
    assert_int_equal(progress_stall(&p, &at_work, 200 * SECOND), 190 * SECOND);
    assert_int_equal(progress_stall(&p, &further, 300 * SECOND), 0);
    assert_int_equal(progress_stall(&p, &further, 301 * SECOND), 1 * SECOND);
}

static void an_excuse_begins_it_anew(void **state)
{
    struct progress p = {0};

    (void)state;
    assert_int_equal(progress_stall(&p, &at_work, 10 * SECOND), 0);
    assert_int_equal(progress_stall(&p, &excused, 5000 * SECOND), 0);
    assert_int_equal(progress_stall(&p, &at_work, 5001 * SECOND), 0);
    assert_int_equal(progress_stall(&p, &at_work, 5002 * SECOND), 1 * SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_to_do_is_no_stall),
        cmocka_unit_test(the_first_look_of_all_is_no_stall),
        cmocka_unit_test(whatever_moves_begins_it_anew),
        cmocka_unit_test(an_excuse_begins_it_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
