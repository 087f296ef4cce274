/* What a first move takes, reckoned from prices and capacities. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/option_checks.h"
#include "jobs/backup.h"
#include "jobs/estimate.h"

#define GIGABYTE (INT64_C(1) << 30)

static struct config config_with(int64_t cap)
{
    static char write[] = "0.625", hour[] = "0.00065", month[] = "0.25";

    return (struct config){.write_units_per_second = cap,
                           .price_write_million = write,
                           .price_write_unit_hour = hour,
                           .price_storage_gb_month = month};
}

static void assert_near(double a, double b)
{
    assert_true(a > b - 1e-9 && a < b + 1e-9);
}

static void prices(void **state)
{
    static const char *const bad[] = {"",    ".5",  "1.", "-1",         "1,5",
                                      "1e3", "abc", " 1", "1234567890", "0.1234567890123"};
    struct err err;

    (void)state;
    assert_true(estimate_price("0.625") > 0.6249999 && estimate_price("0.625") < 0.6250001);
    assert_true(estimate_price("12") > 11.999999 && estimate_price("12") < 12.000001);
    assert_int_equal(option_check_price("0.625", &err), 0);
    assert_int_equal(option_check_price("0", &err), 0);
    assert_int_equal(option_check_price("123456789.123456789", &err), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_true(option_check_price(bad[i], &err) < 0);
}

static void on_demand_tables_are_written_side_by_side(void **state)
{
    const struct config c = config_with(0);
    const struct estimate_target t[] = {{.write_units = 4000000}, {.write_units = 400000}};
    struct estimate e = estimate_make(&c, t, 2, 4 * GIGABYTE);

    (void)state;
    assert_near(e.seconds, 1000);
    assert_near(e.write_cost, 4.4 * 0.625);
    assert_near(e.hour_cost, 0);
    assert_near(e.month_cost, 1);
}

static void a_budget_is_over_all_tables(void **state)
{
    const struct config c = config_with(100);
    const struct estimate_target t[] = {{.write_units = 1000}, {.write_units = 9000}};

    (void)state;
    assert_near(estimate_make(&c, t, 2, 0).seconds, 100);
}

static void provisioned_capacity_is_paid_by_the_hour(void **state)
{
    const struct config c = config_with(0);
    const struct estimate_target t[] = {{.write_units = 5000, .rate = 10, .provisioned = true},
                                        {.write_units = 1000000}};
    struct estimate e = estimate_make(&c, t, 2, 0);

    (void)state;
    assert_near(e.seconds, 500);
    assert_near(e.hour_cost, 0.0065);
    assert_near(e.write_cost, 0.625);
}

static void a_backup_has_a_name_of_its_own(void **state)
{
    _cleanup_buf_ struct buf name = {0};

    (void)state;
    backup_default_name("/srv/app.db", INT64_C(1706702400) * 1000000, &name);
    assert_string_equal(name.data, "/srv/app.db-20240131T120000Z.backup");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prices),
        cmocka_unit_test(on_demand_tables_are_written_side_by_side),
        cmocka_unit_test(a_budget_is_over_all_tables),
        cmocka_unit_test(provisioned_capacity_is_paid_by_the_hour),
        cmocka_unit_test(a_backup_has_a_name_of_its_own),
    };

    return cmocka_run_group_tests_name("estimate", tests, NULL, NULL);
}
