/* Tables that cannot be written, what parking forgets, and doubts about what DynamoDB holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine_fixture.h"

/* --- tables ----------------------------------------------------------------------------------- */

static const enum reply_class table_faults[] = {REPLY_NO_TABLE, REPLY_DENIED, REPLY_KEY_SCHEMA};

static void test_the_table_to_blame_is_found_by_asking_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof table_faults / sizeof *table_faults; i++) {
        _cleanup_world_ struct world w;
        world_make(&w, 3, NULL);
        offer_to(&w, 0, "a", 1);
        offer_to(&w, 1, "b", 1);
        tick(&w);
        did(&w, "send#1[a1 1/b1]");
        answer(&w, 1, table_faults[i]);
        offer_to(&w, 2, "c", 1); /* others may still share */
        unsigned parked = 0;
        for (int step = 0; step < 20 && w.flying_count; step++) {
            const struct request *r = w.flying[0];
            bool missing = false, shared = false;
            for (unsigned k = 0; k < r->count; k++) {
                missing |= r->writes[k]->target == 1;
                shared |= r->writes[k]->target != r->writes[0]->target;
            }
            assert_false(shared && missing);
            answer(&w, r->id, missing ? table_faults[i] : REPLY_OK);
            parked += missing;
            if (missing)
                control(&w, EVENT_PARK, 1);
            else
                advance(&w, 10 * MS);
        }
        assert_int_equal(parked, 1);
        assert_non_null(strstr(w.log.data, "park 1 "));
        assert_non_null(strstr(w.log.data, "written a1 "));
        assert_non_null(strstr(w.log.data, "written 2/c1 "));
        is_empty(&w);
    }
}

static void test_a_table_alone_is_shared_again_once_it_answers(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 2, NULL);
    offer_to(&w, 0, "a", 1);
    offer_to(&w, 1, "b", 1);
    tick(&w);
    answer(&w, 1, REPLY_NO_TABLE);
    while (stats(&w).items) {
        while (w.flying_count)
            answer(&w, w.flying[0]->id, REPLY_OK);
        if (stats(&w).items)
            wait_deadline(&w);
    }
    forget_log(&w);
    offer_to(&w, 0, "a", 2);
    offer_to(&w, 1, "b", 2);
    tick(&w);
    assert_int_equal(w.flying_count, 1);
    assert_int_equal(w.flying[0]->count, 2);
}

static void test_parking_forgets_and_opening_goes_on(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 2, NULL);
    offer_to(&w, 0, "a", 1); /* in flight, with a newer one behind it */
    offer_to(&w, 0, "b", 1); /* will wait */
    offer_to(&w, 1, "o", 1);
    tick(&w);
    answer_unprocessed(&w, 1, 1 << 1 | 1 << 2);
    forget_log(&w);
    while (!w.flying_count)
        wait_deadline(&w);
    offer_to(&w, 0, "a", 2);
    tick(&w);
    offer_to(&w, 0, "a", 3);
    offer_to(&w, 0, "c", 1); /* ready */
    control(&w, EVENT_PARK, 0);
    for (int i = 0; i < 20; i++) {
        while (w.flying_count)
            answer(&w, w.flying[0]->id, REPLY_OK);
        if (engine_deadline(w.engine) != USEC_NEVER)
            wait_deadline(&w);
    }
    assert_int_equal(engine_pending(w.engine, 0), 0);
    is_empty(&w);
    forget_log(&w);
    offer_to(&w, 0, "a", 4);
    tick(&w);
    did(&w, "");
    control(&w, EVENT_OPEN, 0);
    assert_non_null(strstr(w.log.data, "[a4]"));
    answer(&w, w.last_sent, REPLY_OK);
    is_empty(&w);
}

static void test_what_waits_behind_a_reply_is_forgotten_by_parking(void **state)
{
    static const enum reply_class classes[] = {REPLY_OK,      REPLY_NO_TABLE,  REPLY_TRANSIENT,
                                               REPLY_INVALID, REPLY_THROTTLED, REPLY_EXPIRED};

    (void)state;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        _cleanup_world_ struct world w;
        struct track track;
        track_init(&track, 0);
        world_make(&w, 1, NULL);
        struct span *one = track_open(&track, 1, w.now), *two = track_open(&track, 2, w.now);
        offer_as(&w, (struct offered){.key = "a", .version = 1, .span = one});
        tick(&w);
        offer_as(&w, (struct offered){.key = "a", .version = 2, .span = two});
        span_unref(one);
        span_unref(two);
        assert_int_equal(track.low, 0);
        control(&w, EVENT_PARK, 0);
        answer(&w, 1, classes[i]);
        is_empty(&w);
        assert_true(track_idle(&track)); /* nothing of a parked table pins the journal */
        assert_int_equal(track.low, 2);
        track_clear(&track);
    }
}

/* A shared request fails because of the table that was parked while it was in flight: the other
 * table, and its write, are not to blame. */
static void test_a_parked_table_takes_the_blame_with_it(void **state)
{
    static const enum reply_class classes[] = {REPLY_NO_TABLE, REPLY_INVALID, REPLY_TOO_LARGE};

    (void)state;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        _cleanup_world_ struct world w;
        world_make(&w, 2, NULL);
        offer_to(&w, 0, "a", 1);
        offer_to(&w, 1, "b", 1);
        tick(&w);
        control(&w, EVENT_PARK, 0);
        answer(&w, 1, classes[i]);
        did(&w, "send#1[a1 1/b1] send#2[1/b1]");
        answer(&w, 2, REPLY_OK);
        did(&w, "written 1/b1");
        is_empty(&w);
    }
}

static void test_what_is_offered_after_parking_is_kept(void **state)
{
    static const enum reply_class classes[] = {REPLY_OK, REPLY_NO_TABLE, REPLY_AMBIGUOUS};

    (void)state;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        _cleanup_world_ struct world w;
        world_make(&w, 1, NULL);
        offer(&w, "a", 1);
        tick(&w);
        control(&w, EVENT_PARK, 0);
        offer(&w, "a", 2);
        answer(&w, 1, classes[i]);
        forget_log(&w);
        control(&w, EVENT_OPEN, 0);
        while (!w.flying_count)
            wait_deadline(&w);
        assert_int_equal(w.flying[0]->count, 1);
        answer(&w, w.last_sent, REPLY_OK);
        assert_non_null(strstr(w.log.data, "written a2"));
        is_empty(&w);
    }
}

/* Many keys of several tables wait, each until its own moment; one table is parked. */
static void test_parking_forgets_all_that_waits_and_nothing_else(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        _cleanup_world_ struct world w;
        world_make(&w, 3, NULL);
        engine_free(w.engine);
        w.config.seed = seed;
        w.config.max_in_flight = 60;
        w.engine = engine_new(&w.config, 3);
        for (uint32_t t = 0; t < 3; t++) {
            control(&w, EVENT_OPEN, t);
            offer_many(&w, t, "k", 40 + (int)t);
        }
        for (int round = 0; round < 5; round++) { /* each a longer wait than the last */
            tick(&w);
            while (w.flying_count)
                answer_unprocessed(&w, w.flying[0]->id, UINT32_MAX >> seed % 3);
            w.now += 20 * MS;
        }
        size_t left[3];
        for (uint32_t t = 0; t < 3; t++)
            left[t] = engine_pending(w.engine, t);
        control(&w, EVENT_PARK, 1);
        while (w.flying_count)
            answer_unprocessed(&w, w.flying[0]->id, UINT32_MAX);
        assert_true(left[1] > 20);
        assert_int_equal(engine_pending(w.engine, 1), 0);
        assert_int_equal(engine_pending(w.engine, 0), left[0]);
        assert_int_equal(engine_pending(w.engine, 2), left[2]);
        while (stats(&w).items) {
            if (w.flying_count)
                answer(&w, w.flying[0]->id, REPLY_OK);
            else
                wait_deadline(&w);
        }
        is_empty(&w);
    }
}

/* --- doubts ----------------------------------------------------------------------------------- */

/* DynamoDB holds 1, as the store knows. A write of 2 fails in some way, and the row goes back. */
static bool spared_after(enum reply_class class)
{
    _cleanup_world_ struct world w;

    world_make(&w, 1, NULL);
    w.held['a'] = 1;
    offer_as(&w, (struct offered){.key = "a", .version = 2, .digest = 2});
    tick(&w);
    offer_as(&w, (struct offered){.key = "a", .version = 3, .digest = 1});
    answer(&w, 1, class);
    control(&w, EVENT_CREDENTIALS, 0);
    while (!w.flying_count && stats(&w).items)
        wait_deadline(&w);
    return strstr(w.log.data, "spared a3") != NULL;
}

static void test_nothing_is_spared_while_an_outcome_is_unknown(void **state)
{
    (void)state;
    assert_false(spared_after(REPLY_TRANSIENT));
    assert_false(spared_after(REPLY_AMBIGUOUS));
    assert_false(spared_after(REPLY_UNEXPECTED));
    assert_true(spared_after(REPLY_NOT_SENT));
    assert_true(spared_after(REPLY_THROTTLED));
    assert_true(spared_after(REPLY_EXPIRED));
}

static void test_the_doubt_outlives_parking(void **state)
{
    (void)state;
    for (int early = 0; early < 2; early++) {
        _cleanup_world_ struct world w;
        world_make(&w, 1, NULL);
        w.held['a'] = 1;
        offer_as(&w, (struct offered){.key = "a", .version = 2, .digest = 2});
        tick(&w);
        if (early)
            control(&w, EVENT_PARK, 0);
        answer(&w, 1, REPLY_AMBIGUOUS);
        control(&w, EVENT_PARK, 0);
        is_empty(&w);
        assert_true(engine_in_doubt(w.engine, 0));
        control(&w, EVENT_OPEN, 0);
        offer_as(&w, (struct offered){.key = "a", .version = 3, .digest = 1});
        tick(&w);
        while (!w.flying_count)
            wait_deadline(&w);
        answer(&w, w.last_sent, REPLY_OK);
        assert_non_null(strstr(w.log.data, "written a3"));
        assert_false(engine_in_doubt(w.engine, 0));
        forget_log(&w);
        offer_as(&w, (struct offered){.key = "a", .version = 4, .digest = 1});
        tick(&w);
        did(&w, "spared a4"); /* and ends with a sure outcome */
    }
}

static void test_the_doubt_outlives_a_refusal(void **state)
{
    (void)state;
    for (int pending = 0; pending < 2; pending++) {
        _cleanup_world_ struct world w;
        world_make(&w, 1, NULL);
        w.held['a'] = 1;
        offer_as(&w, (struct offered){.key = "a", .version = 2, .digest = 2});
        tick(&w);
        offer_as(&w, (struct offered){.key = "a", .version = 3, .digest = 3});
        answer(&w, 1, REPLY_AMBIGUOUS); /* 2 may stand in DynamoDB */
        while (!w.flying_count)
            wait_deadline(&w);
        if (pending)
            offer_as(&w, (struct offered){.key = "a", .version = 4, .digest = 1});
        answer(&w, w.last_sent, REPLY_INVALID);
        assert_non_null(strstr(w.log.data, "refused a3"));
        if (!pending) {
            offer_as(&w, (struct offered){.key = "a", .version = 4, .digest = 1});
            tick(&w);
        }
        assert_int_equal(w.flying_count, 1);
        answer(&w, w.last_sent, REPLY_OK);
        assert_non_null(strstr(w.log.data, "written a4"));
        is_empty(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_table_to_blame_is_found_by_asking_alone),
        cmocka_unit_test(test_a_table_alone_is_shared_again_once_it_answers),
        cmocka_unit_test(test_parking_forgets_and_opening_goes_on),
        cmocka_unit_test(test_what_waits_behind_a_reply_is_forgotten_by_parking),
        cmocka_unit_test(test_a_parked_table_takes_the_blame_with_it),
        cmocka_unit_test(test_what_is_offered_after_parking_is_kept),
        cmocka_unit_test(test_parking_forgets_all_that_waits_and_nothing_else),
        cmocka_unit_test(test_nothing_is_spared_while_an_outcome_is_unknown),
        cmocka_unit_test(test_the_doubt_outlives_parking),
        cmocka_unit_test(test_the_doubt_outlives_a_refusal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
