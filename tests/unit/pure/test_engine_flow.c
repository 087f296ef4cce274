/* The limit of a table, hot keys, and the cap over all tables: the engine against a service with so
 * much capacity. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "service_fixture.h"

static double units_between(const struct service *s, uint32_t target, int from, int to)
{
    double sum = 0;

    for (int i = from * 10; i < to * 10; i++)
        sum += s->units[target][i];
    return sum;
}

/* The most and least in any ten seconds. */
static void windows(const struct service *s, int from, int to, double *least, double *most)
{
    *least = 1e18;
    *most = 0;
    for (int i = from * 10; i + 100 <= to * 10; i++) {
        double sum = 0;
        for (int k = i; k < i + 100; k++)
            for (int t = 0; t < TABLES; t++)
                sum += s->units[t][k];
        *least = sum < *least ? sum : *least;
        *most = sum > *most ? sum : *most;
    }
}

static void large(struct service *s)
{
    add(s, 0, 'k', 400);
}

static void of_all_sizes(struct service *s)
{
    uint64_t dice = rng_upto(&s->rng, 99);

    add(s, (uint32_t)rng_upto(&s->rng, 1), 'k',
        dice < 80 ? 1 + (uint32_t)rng_upto(&s->rng, 4)
                  : 1 + (uint32_t)rng_upto(&s->rng, dice < 98 ? 60 : 399));
}

/* --- the limit of a table --------------------------------------------------------------------- */

static void test_a_tables_capacity_is_found_and_used(void **state)
{
    static const double capacities[] = {20, 100, 1000, 4000};

    (void)state;
    for (size_t i = 0; i < sizeof capacities / sizeof *capacities; i++) {
        _cleanup_service_ struct service s;
        service_make(&s, 1, NULL);
        s.tables[0].capacity = capacities[i];
        busy(&s, 60, 400, tiny);
        uint64_t tried = s.tried, left = s.left;
        busy(&s, 120, 400, tiny);
        double used = units_between(&s, 0, 60, 180) / 120 / capacities[i];
        double wasted = (double)(s.left - left) / (double)(s.tried - tried);
        assert_true(used >= 0.8 && used <= 1.001);
        assert_true(wasted <= 0.2);
    }
}

static void test_a_capacity_that_falls_and_rises_is_followed(void **state)
{
    _cleanup_service_ struct service s;

    (void)state;
    service_make(&s, 1, NULL);
    s.tables[0].capacity = 2000;
    busy(&s, 60, 400, tiny);
    s.tables[0].capacity = 100;
    busy(&s, 60, 400, tiny);
    s.tables[0].capacity = 2000;
    busy(&s, 60, 400, tiny);
    assert_true(units_between(&s, 0, 80, 120) >= 0.75 * 40 * 100);
    assert_true(units_between(&s, 0, 150, 180) >= 0.75 * 30 * 2000);
}

static void test_writes_that_cost_more_than_the_limit_go(void **state)
{
    _cleanup_service_ struct service s;

    (void)state;
    service_make(&s, 1, NULL);
    s.tables[0].capacity = 50;
    for (int i = 0; i < 10; i++) {
        large(&s);
        for (int k = 0; k < 50; k++)
            tiny(&s);
    }
    tick(&s.w);
    drain(&s, 200); /* 4,500 units at 50 a second: 90 seconds at best */
    assert_true(s.w.now - s.start >= 80 * USEC_PER_SEC);
}

static void test_small_writes_among_large_ones_neither_starve_nor_burst(void **state)
{
    _cleanup_service_ struct service s;
    uint64_t before;

    (void)state;
    service_make(&s, 1, NULL);
    s.tables[0].capacity = 200;
    busy(&s, 30, 100, tiny);
    before = s.writes[0];
    for (int i = 0; i < 20; i++)
        large(&s);
    for (int i = 0; i < 400; i++)
        tiny(&s);
    tick(&s.w);
    idle(&s, 50);
    /* In their turn: all of 8,400 units in a little more than the 42 seconds that they need. */
    assert_true(s.writes[0] - before >= 420);
    for (int second = 30; second < 80; second++)
        assert_true(units_between(&s, 0, second, second + 1) <= 2 * 200 + 400);
}

static void two_tables(struct service *s)
{
    add(s, (uint32_t)(s->made % 2), 'k', 1);
}

static void the_other(struct service *s)
{
    if (engine_pending(s->w.engine, 0) < 100)
        add(s, 0, 'k', 1);
    add(s, 1, 'k', 1);
}

static void test_a_throttled_table_leaves_the_others_their_speed(void **state)
{
    _cleanup_service_ struct service alone, both;

    (void)state;
    service_make(&alone, 2, NULL);
    busy(&alone, 60, 400, two_tables);
    service_make(&both, 2, NULL);
    both.tables[0].capacity = 50;
    busy(&both, 60, 400, the_other);
    assert_true(both.writes[1] * 10 >= (alone.writes[0] + alone.writes[1]) * 8);
    assert_true(both.writes[0] >= 60 * 50 * 7 / 10);
    assert_true(engine_limit(both.w.engine, 1) == 0);
}

static void test_a_table_that_gives_nothing_does_not_stop_the_others(void **state)
{
    _cleanup_service_ struct service s;

    (void)state;
    service_make(&s, 2, NULL);
    s.tables[0].capacity = 1e-9;
    busy(&s, 300, 400, the_other);
    assert_true(s.writes[1] >= 300 * 1000);
    assert_true(s.throttled <= 100); /* twenty seconds apart at last */
}

/* --- hot keys --------------------------------------------------------------------------------- */

static void some_hot(struct service *s)
{
    add(s, 0, rng_upto(&s->rng, 24) == 0 && stats(&s->w).items < 600 ? 'h' : 'k', 1);
}

static void test_hot_keys_wait_alone(void **state)
{
    _cleanup_service_ struct service s;

    (void)state;
    service_make(&s, 1, NULL);
    s.hot.capacity = 20;
    s.tables[0].capacity = 1e9;
    busy(&s, 60, 400, some_hot);
    assert_true(s.hot_writes >= 60 * 20 * 7 / 10); /* what their partition takes */
    assert_true(s.writes[0] - s.hot_writes >= 60 * 1000);
    assert_true(s.left > 0 && s.throttled > 0); /* both ways to refuse them were met */
    assert_true(engine_limit(s.w.engine, 0) == 0);
}

static void test_throttled_key_ranges_let_the_table_go_on(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, NULL);
    offer(&w, "h", 1);
    offer(&w, "i", 1);
    tick(&w);
    offer(&w, "a", 1);
    answer_as(&w, 1, (struct reply){.class = REPLY_THROTTLED, .key_range = true});
    did(&w, "send#1[h1 i1] retry send#2[a1]"); /* at once */
    assert_true(w.delay > 0 && w.delay <= USEC_PER_SEC);
    assert_true(engine_limit(w.engine, 0) == 0);
    answer(&w, 2, REPLY_OK);
    while (stats(&w).items) {
        while (w.flying_count)
            answer(&w, w.flying[0]->id, REPLY_OK);
        if (stats(&w).items)
            wait_deadline(&w);
    }
    is_empty(&w);
    assert_true(w.now > 1000 * USEC_PER_SEC);
}

/* --- the cap over all tables ------------------------------------------------------------------ */

static void capped(struct engine_config *c)
{
    c->write_units_per_second = 1000;
    c->max_in_flight = 8;
}

/* `granule`: what one write may cost more than was known when it was sent. */
static void hold_the_cap(struct service *s, void (*make)(struct service *), double granule)
{
    double least, most;

    busy(s, 60, 400, make);
    windows(s, 2, 60, &least, &most);
    assert_true(most <= 1.05 * 10000 + granule);
    assert_true(least >= 0.95 * 10000 - granule);
}

static void test_the_cap_holds_in_any_ten_seconds(void **state)
{
    static void (*const makes[])(struct service *) = {tiny, large, of_all_sizes, two_tables};
    static const usec latencies[] = {MS, 20 * MS, 150 * MS};

    (void)state;
    for (size_t m = 0; m < sizeof makes / sizeof *makes; m++)
        for (size_t i = 0; i < sizeof latencies / sizeof *latencies; i++) {
            _cleanup_service_ struct service s;
            service_make(&s, 2, capped);
            s.latency = latencies[i];
            hold_the_cap(&s, makes[m], 0);
        }
}

static void test_the_cap_is_on_what_the_service_counts(void **state)
{
    static const double told[] = {0, 2, 5};

    (void)state;
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        _cleanup_service_ struct service s;
        service_make(&s, 2, capped);
        s.told = told[i];
        hold_the_cap(&s, of_all_sizes, told[i] > 1 ? 400 * (told[i] - 1) : 0);
    }
}

static void test_the_cap_holds_after_idleness(void **state)
{
    _cleanup_service_ struct service s;
    double least, most;

    (void)state;
    service_make(&s, 2, capped);
    for (int i = 0; i < 5; i++) {
        idle(&s, 30);
        busy(&s, 15, 400, tiny);
        drain(&s, 5);
    }
    windows(&s, 0, 250, &least, &most);
    assert_true(most <= 1.05 * 10000);
    for (int tenth = 0; tenth < 2500; tenth++)
        assert_true(s.units[0][tenth] <= 1000);
}

static void test_a_cap_set_later_asks_for_no_debts(void **state)
{
    _cleanup_service_ struct service s;

    (void)state;
    service_make(&s, 1, NULL);
    busy(&s, 10, 400, large);
    drain(&s, 10);
    capped(&s.w.config);
    engine_configure(s.w.engine, &s.w.config);
    busy(&s, 30, 400, tiny);
    assert_true(units_between(&s, 0, 21, 30) >= 0.95 * 9 * 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_tables_capacity_is_found_and_used),
        cmocka_unit_test(test_a_capacity_that_falls_and_rises_is_followed),
        cmocka_unit_test(test_writes_that_cost_more_than_the_limit_go),
        cmocka_unit_test(test_small_writes_among_large_ones_neither_starve_nor_burst),
        cmocka_unit_test(test_a_throttled_table_leaves_the_others_their_speed),
        cmocka_unit_test(test_a_table_that_gives_nothing_does_not_stop_the_others),
        cmocka_unit_test(test_hot_keys_wait_alone),
        cmocka_unit_test(test_throttled_key_ranges_let_the_table_go_on),
        cmocka_unit_test(test_the_cap_holds_in_any_ten_seconds),
        cmocka_unit_test(test_the_cap_is_on_what_the_service_counts),
        cmocka_unit_test(test_the_cap_holds_after_idleness),
        cmocka_unit_test(test_a_cap_set_later_asks_for_no_debts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
