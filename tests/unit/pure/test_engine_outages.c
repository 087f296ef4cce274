/* Outages: how seldom they are looked at, how the service is loaded when it is back, and the quota
 * of retries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "service_fixture.h"

/* --- outages ---------------------------------------------------------------------------------- */

static void roomy(struct engine_config *c)
{
    c->max_items = 200000;
    c->max_in_flight = 8;
}

static void go_down(struct service *s, enum reply_class how, usec latency, int seconds)
{
    s->down = how;
    s->down_latency = latency;
    idle(s, seconds);
    s->down = REPLY_OK;
}

static void test_two_hours_without_network(void **state)
{
    static const struct {
        enum reply_class how;
        usec latency;
    } ways[] = {{REPLY_NOT_SENT, 0},
                {REPLY_NOT_SENT, 3 * MS},
                {REPLY_AMBIGUOUS, 10 * USEC_PER_SEC},
                {REPLY_TRANSIENT, 5 * MS}};
    enum { ITEMS = 100000, HOURS = 2 };

    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        _cleanup_service_ struct service s;
        service_make(&s, 1, roomy);
        for (int k = 0; k < ITEMS; k++)
            tiny(&s);
        tick(&s.w);
        go_down(&s, ways[i].how, ways[i].latency, HOURS * 3600);
        uint64_t steps = s.steps;
        assert_int_equal(stats(&s.w).items, ITEMS);
        /* One try every ten seconds on average, each two wakings: its start and its end. */
        assert_true(steps <= 2 * (HOURS * 3600 / 10 * 13 / 10 + 40));
        usec back = s.w.now;
        while (s.passed == 0)
            step(&s, s.w.now + USEC_PER_SEC);
        assert_true(s.w.now - back <= 30 * USEC_PER_SEC + s.latency);
        usec first = s.w.now, ideal = ITEMS / 25 / 8 * s.latency;
        drain(&s, 3600);
        assert_true(s.w.now - first <= 2 * ideal);
        assert_int_equal(s.passed, ITEMS);
    }
}

static void test_a_service_that_comes_back_is_loaded_step_by_step(void **state)
{
    _cleanup_service_ struct service s;

    (void)state;
    service_make(&s, 1, roomy);
    s.w.config.max_in_flight = 32;
    engine_configure(s.w.engine, &s.w.config);
    for (int k = 0; k < 5000; k++)
        tiny(&s);
    tick(&s.w);
    note_flights(&s);
    assert_int_equal(s.most_flights, 32);
    for (size_t i = 0; i < s.flight_count; i++)
        s.flights[i].down = REPLY_TRANSIENT; /* all that are in flight fail */
    while (s.flight_count > 1)
        step(&s, s.w.now + USEC_PER_SEC);
    for (uint64_t replies = 0; replies <= 31; replies++) {
        uint64_t passed = s.passed;
        assert_true(s.flight_count <= 1 + replies);
        while (s.passed == passed && stats(&s.w).items)
            step(&s, s.w.now + USEC_PER_SEC);
    }
    drain(&s, 60);
    assert_int_equal(s.most_flights, 32);
}

/* --- the retry quota -------------------------------------------------------------------------- */

static void test_retries_take_from_the_quota_and_give_back(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, NULL);
    offer(&w, "a", 1);
    tick(&w);
    assert_int_equal(stats(&w).retry_quota, 500);
    for (unsigned i = 1; i <= 3; i++) {
        answer(&w, w.last_sent, REPLY_TRANSIENT);
        while (!w.flying_count)
            wait_deadline(&w);
        assert_int_equal(stats(&w).retry_quota, 500 - 14 * i);
    }
    answer(&w, w.last_sent, REPLY_OK);
    assert_int_equal(stats(&w).retry_quota, 500 - 14 * 2);
    offer(&w, "b", 1);
    tick(&w);
    answer(&w, w.last_sent, REPLY_OK);
    assert_int_equal(stats(&w).retry_quota, 500 - 14 * 2 + 1);
    offer(&w, "c", 1);
    tick(&w);
    answer(&w, w.last_sent, REPLY_THROTTLED);
    while (!w.flying_count)
        wait_deadline(&w);
    assert_int_equal(stats(&w).retry_quota, 500 - 14 * 2 + 1 - 5);
    answer(&w, w.last_sent, REPLY_OK);
    assert_int_equal(stats(&w).retry_quota, 500 - 14 * 2 + 1);
    is_empty(&w);
}

/* With the quota gone there is one request in flight until it is earned again. */
static void test_a_drained_quota_slows_and_drops_nothing(void **state)
{
    _cleanup_world_ struct world w;
    struct rng rng = {3};

    (void)state;
    world_make(&w, 1, NULL);
    offer_many(&w, 0, "k", 900);
    tick(&w);
    for (int i = 0; i < 60 || stats(&w).retry_quota >= 14; i++) {
        assert_true(i < 10000);
        while (!w.flying_count)
            wait_deadline(&w);
        answer(&w, w.flying[0]->id, rng_upto(&rng, 1) ? REPLY_TRANSIENT : REPLY_NOT_SENT);
    }
    unsigned successes = 0;
    while (stats(&w).retry_quota < 14) {
        while (!w.flying_count)
            wait_deadline(&w);
        assert_int_equal(w.flying_count, 1);
        answer(&w, w.flying[0]->id, REPLY_OK);
        successes++;
    }
    assert_in_range(successes, 1, 14);
    assert_true(w.flying_count > 1);
    while (stats(&w).items) {
        while (w.flying_count)
            answer(&w, w.flying[0]->id, REPLY_OK);
        if (stats(&w).items)
            wait_deadline(&w);
    }
    is_empty(&w);
}

static void test_without_quota_throttled_tables_are_tried_one_at_a_time(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 3, NULL);
    offer_to(&w, 0, "a", 1);
    tick(&w);
    for (int i = 0; i < 110; i++) { /* uses the quota up */
        answer(&w, w.last_sent, REPLY_THROTTLED);
        while (!w.flying_count)
            wait_deadline(&w);
    }
    assert_true(stats(&w).retry_quota < 5);
    offer_to(&w, 1, "b", 1);
    tick(&w);
    advance(&w, 10 * MS);
    assert_int_equal(w.flying_count, 2); /* a table that was never throttled */
    answer(&w, w.last_sent, REPLY_THROTTLED);
    uint64_t probe = w.flying[0]->id;
    advance(&w, 60 * USEC_PER_SEC);
    assert_int_equal(w.flying_count, 1); /* now it waits for the other's answer */
    offer_to(&w, 2, "c", 1);
    tick(&w);
    advance(&w, 10 * MS);
    assert_int_equal(w.flying_count, 2); /* which others do not */
    answer(&w, w.last_sent, REPLY_OK);
    answer(&w, probe, REPLY_THROTTLED);
    assert_int_equal(w.flying_count, 1);
    assert_int_equal(w.flying[0]->writes[0]->target, 1);
    answer(&w, w.flying[0]->id, REPLY_OK);
    while (!w.flying_count)
        wait_deadline(&w);
    answer(&w, w.flying[0]->id, REPLY_OK);
    is_empty(&w);
}

/* --- what the service asks for ---------------------------------------------------------------- */

static void test_the_wait_that_the_service_asks_for_is_kept(void **state)
{
    static const struct {
        usec asked, least, most;
    } cases[] = {{0, 0, 25 * MS},
                 {400 * MS, 400 * MS, 400 * MS},
                 {3600 * USEC_PER_SEC, 5 * USEC_PER_SEC, 5 * USEC_PER_SEC + 25 * MS}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _cleanup_world_ struct world w;
        world_make(&w, 1, NULL);
        offer(&w, "a", 1);
        tick(&w);
        answer_as(&w, 1, (struct reply){.class = REPLY_TRANSIENT, .retry_after = cases[i].asked});
        assert_in_range(w.delay, cases[i].least, cases[i].most);
    }
    _cleanup_world_ struct world w;
    world_make(&w, 1, NULL);
    offer(&w, "a", 1);
    tick(&w);
    answer_as(&w, 1, (struct reply){.class = REPLY_THROTTLED, .retry_after = 1500 * MS});
    assert_int_equal(w.delay, 1500 * MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_hours_without_network),
        cmocka_unit_test(test_a_service_that_comes_back_is_loaded_step_by_step),
        cmocka_unit_test(test_retries_take_from_the_quota_and_give_back),
        cmocka_unit_test(test_a_drained_quota_slows_and_drops_nothing),
        cmocka_unit_test(test_without_quota_throttled_tables_are_tried_one_at_a_time),
        cmocka_unit_test(test_the_wait_that_the_service_asks_for_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
