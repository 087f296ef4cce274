/* How much may be pending: a table that its own limits hold back leaves room to the others, however
 * many there are of its kind, and large writes beside small ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine_fixture.h"

enum { LARGE = 400 * 1024 };

static void as_in_the_daemon(struct engine_config *c)
{
    c->max_in_flight = 8;
    c->max_items = 12000;
    c->max_bytes = 24 * 1024 * 1024;
}

static void capped(struct engine_config *c)
{
    as_in_the_daemon(c);
    c->write_units_per_second = 100;
}

/* Offers to the target for as long as there is room for it; how many. */
static unsigned fill_up(struct world *w, uint32_t target, const char *prefix, size_t size)
{
    unsigned n = 0;

    for (; engine_room_for(w->engine, w->now, target, SHARE_CHANGES); n++) {
        char key[32];
        snprintf(key, sizeof key, "%s%u.", prefix, n);
        offer_as(w, (struct offered){
                        .target = target, .key = key, .version = 1, .size = size, .units = 1});
    }
    return n;
}

/* Its first write is throttled, and it stays so. */
static void throttle(struct world *w, uint32_t target)
{
    char key[32];

    snprintf(key, sizeof key, "first%u", target);
    offer_to(w, target, key, 1);
    tick(w);
    assert_int_equal(w->flying_count, 1);
    answer(w, w->last_sent, REPLY_THROTTLED);
    forget_log(w);
}

static void test_a_throttled_table_has_a_small_part(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 2, as_in_the_daemon);
    throttle(&w, 0);
    assert_true(engine_limited(w.engine, w.now, 0));
    assert_false(engine_limited(w.engine, w.now, 1));
    assert_in_range(fill_up(&w, 0, "a", 10), 500, 1500);
    assert_false(engine_room_for(w.engine, w.now, 0, SHARE_LOADS));
    assert_true(engine_room(w.engine, w.now, SHARE_LOADS));
    assert_in_range(fill_up(&w, 1, "b", 10), 4000, 6000);
    tick(&w);
    for (unsigned i = 0; i < 8; i++) /* all requests are the other table's */
        for (unsigned k = 0; k < w.flying[i]->count; k++)
            assert_int_equal(w.flying[i]->writes[k]->target, 1);
    assert_int_equal(w.flying_count, 8);
}

/* One that has filled the room before it is throttled leaves as much again. */
static void test_throttling_frees_the_room_of_the_others(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 2, as_in_the_daemon);
    fill_up(&w, 0, "a", 10);
    tick(&w);
    assert_false(engine_room_for(w.engine, w.now, 1, SHARE_CHANGES));
    while (w.flying_count)
        answer(&w, w.flying[0]->id, REPLY_THROTTLED);
    assert_false(engine_room_for(w.engine, w.now, 0, SHARE_CHANGES));
    assert_in_range(fill_up(&w, 1, "b", 10), 2000, 6000);
}

/* Keys of one partition that wait, and the cap over all tables, are such limits, too. */
static void test_waiting_keys_and_the_cap_limit_a_table(void **state)
{
    _cleanup_world_ struct world w, capped_world;

    (void)state;
    world_make(&w, 2, as_in_the_daemon);
    offer_many(&w, 0, "a", 10);
    tick(&w);
    answer_unprocessed(&w, 1, 0x3ff);
    assert_true(engine_limited(w.engine, w.now, 0));
    offer_many(&w, 0, "c", 9);
    assert_true(engine_limited(w.engine, w.now, 0));
    offer_many(&w, 0, "d", 1); /* as many that may go */
    assert_false(engine_limited(w.engine, w.now, 0));

    world_make(&capped_world, 2, capped);
    offer_many(&capped_world, 0, "a", 1000);
    tick(&capped_world);
    assert_true(engine_limited(capped_world.engine, capped_world.now, 0));
    fill_up(&capped_world, 0, "b", 10);
    assert_in_range(fill_up(&capped_world, 1, "c", 10), 500, 1500);
}

static void test_a_thousand_throttled_tables_stay_within_bounds(void **state)
{
    enum { TABLES = 1000 };
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, TABLES + 1, as_in_the_daemon);
    for (uint32_t t = 0; t < TABLES; t++)
        throttle(&w, t);
    for (uint32_t t = 0; t < TABLES; t++)
        fill_up(&w, t, "k", 1000);
    for (uint32_t t = 0; t < TABLES; t++)
        assert_true(engine_pending(w.engine, t) > 0);
    struct engine_stats s = stats(&w);
    assert_true(s.items < w.config.max_items);
    /* The one that is well has requests of 25 to send. */
    assert_in_range(fill_up(&w, TABLES, "well", 1000), 25, 6000);
    assert_true(stats(&w).bytes < w.config.max_bytes);
}

/* --- large writes ----------------------------------------------------------------------------- */

static void test_large_rows_leave_room_for_small_ones(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 3, as_in_the_daemon);
    throttle(&w, 0);
    assert_in_range(fill_up(&w, 0, "a", LARGE), 2, 10);
    assert_in_range(fill_up(&w, 1, "b", LARGE), 20, 40);
    assert_true(stats(&w).bytes < w.config.max_bytes);
    tick(&w);
    assert_true(w.flying_count > 0);
    while (w.flying_count)
        answer(&w, w.flying[0]->id, REPLY_OK);
    assert_in_range(fill_up(&w, 2, "c", 10), 4000, 6000);
}

struct meter {
    uint64_t units;      /* all in all */
    usec large_at;       /* when the large write was sent */
    uint64_t after;      /* units of other writes sent since */
    uint64_t other_side; /* writes of the second table */
};

static void answer_all(struct world *w, struct meter *m)
{
    while (w->flying_count) {
        const struct request *r = w->flying[0];
        for (unsigned i = 0; i < r->count; i++) {
            m->units += r->writes[i]->units;
            m->other_side += r->writes[i]->target == 1;
            if (r->writes[i]->units > 1)
                m->large_at = w->now;
            else if (m->large_at && r->writes[i]->target == 0)
                m->after += r->writes[i]->units;
        }
        answer(w, r->id, REPLY_OK);
    }
}

/* A write of 400 units under a cap of 100 goes when its turn has come, though it costs four seconds
 * at once; what follows waits for as long, and then goes at the cap, not in a burst. */
static void test_a_large_write_neither_starves_nor_bursts_under_the_cap(void **state)
{
    enum { BEFORE = 200, AFTER = 2000 };
    _cleanup_world_ struct world w;
    struct meter m = {0};

    (void)state;
    world_make(&w, 1, capped);
    offer_many(&w, 0, "before", BEFORE);
    offer_as(&w, (struct offered){.key = "large", .version = 1, .size = LARGE, .units = 400});
    offer_many(&w, 0, "after", AFTER);
    tick(&w);
    usec began = w.now;
    while (stats(&w).items) {
        answer_all(&w, &m);
        /* Never more than the cap since the start, but for the write that goes beyond it. */
        assert_true((double)m.units <= 100.0 * (double)(w.now - began) / USEC_PER_SEC + 25 + 400);
        if (m.large_at && w.now - m.large_at > 4 * USEC_PER_SEC)
            assert_true(m.after <= 100 * (uint64_t)((w.now - m.large_at) / USEC_PER_SEC - 3) + 25);
        if (stats(&w).items)
            wait_deadline(&w);
    }
    assert_true(m.large_at > 0);
    assert_true(m.large_at - began <= (BEFORE / 100 + 1) * USEC_PER_SEC); /* in its turn */
    assert_int_equal(m.after, AFTER);
}

/* Where a table is throttled its large write takes from its own limit alone. */
static void test_a_large_write_leaves_other_tables_alone(void **state)
{
    _cleanup_world_ struct world w;
    struct meter m = {0};

    (void)state;
    world_make(&w, 2, as_in_the_daemon);
    offer_many(&w, 0, "a", 25);
    tick(&w);
    answer(&w, 1, REPLY_THROTTLED); /* from now on it has a limit */
    offer_as(&w, (struct offered){.key = "large", .version = 1, .size = LARGE, .units = 400});
    for (unsigned n = 0; n < 2000 && !m.large_at; n++) {
        wait_deadline(&w);
        answer_all(&w, &m);
    }
    assert_true(m.large_at > 0);
    assert_true(engine_limited(w.engine, w.now, 0)); /* in debt */
    offer_many(&w, 0, "c", 100);
    offer_many(&w, 1, "b", 1000);
    uint64_t after = m.after;
    tick(&w);
    while (engine_pending(w.engine, 1)) {
        answer_all(&w, &m);
        tick(&w);
    }
    assert_int_equal(m.other_side, 1000);
    assert_int_equal(m.after, after); /* at once, before any of the first table's */
}

/* Loads are asked for more when some rounds of the requests in flight are left, changes earlier;
 * what waits for its own table's sake is not counted. */
static void test_enough_ahead_is_some_rounds_of_the_requests_in_flight(void **state)
{
    _cleanup_world_ struct world w;
    unsigned n = 0;

    (void)state;
    world_make(&w, 2, as_in_the_daemon);
    throttle(&w, 0);
    fill_up(&w, 0, "a", 100);
    for (; !engine_ahead(w.engine, w.now, SHARE_LOADS); n++) {
        char key[32];
        snprintf(key, sizeof key, "b%u.", n);
        offer_to(&w, 1, key, 1);
    }
    assert_int_equal(n, 3 * 8 * BATCH_MAX_ITEMS);
    for (; !engine_ahead(w.engine, w.now, SHARE_CHANGES); n++) {
        char key[32];
        snprintf(key, sizeof key, "b%u.", n);
        offer_to(&w, 1, key, 1);
    }
    assert_int_equal(n, 6 * 8 * BATCH_MAX_ITEMS);
    assert_true(engine_room(w.engine, w.now, SHARE_LOADS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_throttled_table_has_a_small_part),
        cmocka_unit_test(test_throttling_frees_the_room_of_the_others),
        cmocka_unit_test(test_waiting_keys_and_the_cap_limit_a_table),
        cmocka_unit_test(test_a_thousand_throttled_tables_stay_within_bounds),
        cmocka_unit_test(test_large_rows_leave_room_for_small_ones),
        cmocka_unit_test(test_a_large_write_neither_starves_nor_bursts_under_the_cap),
        cmocka_unit_test(test_a_large_write_leaves_other_tables_alone),
        cmocka_unit_test(test_enough_ahead_is_some_rounds_of_the_requests_in_flight),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
