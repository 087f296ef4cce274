/* What is sent when: idle and busy, full and partial batches, limits, pauses, spared writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine_fixture.h"

/* --- when ------------------------------------------------------------------------------------- */

static void test_an_idle_engine_sends_at_once(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, NULL);
    offer(&w, "a", 1);
    did(&w, ""); /* a run of offers ends with a timer event */
    tick(&w);
    did(&w, "send#1[a1]");
    assert_true(engine_deadline(w.engine) == USEC_NEVER);
    answer(&w, 1, REPLY_OK);
    did(&w, "written a1");
    is_empty(&w);
    assert_true(engine_deadline(w.engine) == USEC_NEVER); /* nothing wakes an idle daemon */
}

static void test_a_partial_batch_lingers_only_while_others_are_in_flight(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, NULL);
    offer(&w, "a", 1);
    tick(&w);
    offer(&w, "b", 1);
    tick(&w);
    did(&w, "send#1[a1]");
    assert_true(engine_deadline(w.engine) == w.now + 5 * MS);
    advance(&w, 4 * MS);
    offer(&w, "c", 1);
    tick(&w);
    did(&w, "");
    advance(&w, MS);
    did(&w, "send#2[b1 c1]");
    offer(&w, "d", 1);
    tick(&w);
    answer(&w, 1, REPLY_OK);
    did(&w, "written a1"); /* another is in flight still */
    answer(&w, 2, REPLY_OK);
    did(&w, "written b1 written c1 send#3[d1]");
}

static void test_a_full_batch_does_not_linger(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, NULL);
    offer_many(&w, 0, "k", 60);
    tick(&w);
    did(&w, "send#1(25) send#2(25)");
    offer_many(&w, 0, "l", 14);
    tick(&w);
    did(&w, "");
    offer(&w, "z", 1);
    tick(&w);
    did(&w, "send#3(25)");
}

static void test_no_more_requests_than_allowed(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, NULL);
    offer_many(&w, 0, "k", 200);
    tick(&w);
    did(&w, "send#1(25) send#2(25) send#3(25) send#4(25)");
    forget_log(&w);
    answer(&w, 2, REPLY_OK);
    assert_int_equal(w.flying_count, 4);
    w.config.max_in_flight = 6;
    engine_configure(w.engine, &w.config);
    tick(&w);
    assert_int_equal(w.flying_count, 6);
    assert_int_equal(stats(&w).in_flight, 6);
}

static void test_targets_share_requests_and_stand_together(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 3, NULL);
    offer_to(&w, 0, "a", 1);
    offer_to(&w, 2, "a", 1); /* the same key in another table is another key */
    offer_to(&w, 0, "b", 1);
    offer_to(&w, 1, "c", 1);
    tick(&w);
    const struct request *r = w.flying[0];
    assert_int_equal(w.flying_count, 1);
    assert_int_equal(r->count, 4); /* grouping is checked with every request */
    assert_int_equal(engine_pending(w.engine, 0), 2);
    answer(&w, 1, REPLY_OK);
    assert_int_equal(engine_pending(w.engine, 0), 0);
    is_empty(&w);
}

static void test_a_long_queue_does_not_starve_another_table(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 2, NULL);
    offer_many(&w, 0, "k", 500);
    offer_to(&w, 1, "a", 1);
    tick(&w);
    unsigned others = 0;
    for (size_t i = 0; i < w.flying_count; i++)
        for (unsigned j = 0; j < w.flying[i]->count; j++)
            others += w.flying[i]->writes[j]->target == 1;
    assert_int_equal(others, 1); /* in one of the first four requests */
}

/* --- how much --------------------------------------------------------------------------------- */

static void test_requests_stay_under_16_megabytes(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, NULL);
    for (int i = 0; i < 20; i++) {
        char key[] = {(char)('a' + i), '\0'};
        offer_as(&w, (struct offered){.key = key, .version = 1, .size = 2400000});
    }
    tick(&w);
    while (engine_deadline(w.engine) != USEC_NEVER)
        wait_deadline(&w);
    did(&w, "send#1[a1 b1 c1 d1 e1 f1] send#2[g1 h1 i1 j1 k1 l1] send#3[m1 n1 o1 p1 q1 r1] "
            "send#4[s1 t1]");
}

static void test_a_refused_half_that_grew_stays_under_16_megabytes(void **state)
{
    _cleanup_world_ struct world w;
    char key[] = "a";

    (void)state;
    world_make(&w, 1, NULL);
    for (key[0] = 'a'; key[0] <= 'y'; key[0]++)
        offer(&w, key, 1);
    tick(&w);
    for (key[0] = 'a'; key[0] <= 'y'; key[0]++)
        offer_as(&w, (struct offered){.key = key, .version = 2, .size = 2400000});
    answer(&w, 1, REPLY_INVALID); /* every request is checked for its size */
    for (int i = 0; i < 40 && stats(&w).items; i++) {
        while (w.flying_count)
            answer(&w, w.flying[0]->id, REPLY_OK);
        if (stats(&w).items)
            tick(&w);
    }
    is_empty(&w);
}

static void test_room_follows_items_and_bytes(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, NULL); /* a thousand items, of which what is free is as much as what is not */
    offer_many(&w, 0, "k", 333);
    assert_true(engine_room(w.engine, w.now, SHARE_LOADS));
    offer(&w, "one", 1);
    assert_false(engine_room(w.engine, w.now, SHARE_LOADS));
    offer_many(&w, 0, "l", 165);
    assert_true(engine_room(w.engine, w.now, SHARE_CHANGES));
    offer(&w, "last", 1);
    assert_false(engine_room(w.engine, w.now, SHARE_CHANGES));
    tick(&w);
    answer(&w, 1, REPLY_OK);
    assert_true(engine_room(w.engine, w.now, SHARE_CHANGES));
    size_t before = stats(&w).bytes;
    offer_as(&w, (struct offered){.key = "big", .version = 1, .size = 1000});
    assert_in_range(stats(&w).bytes, before + 1000, before + 2000);
    w.config.max_bytes = 2 * before + 1000;
    engine_configure(w.engine, &w.config);
    assert_false(engine_room(w.engine, w.now, SHARE_CHANGES));
}

static void capped(struct engine_config *c)
{
    c->write_units_per_second = 100;
}

static void test_the_cap_on_write_units_holds_over_time(void **state)
{
    enum { SECONDS = 60, EACH = 7 };
    _cleanup_world_ struct world w;
    uint64_t sent = 0;
    int made = 0;

    (void)state;
    world_make(&w, 1, capped);
    usec end = w.now + SECONDS * USEC_PER_SEC;
    while (w.now < end) {
        while (stats(&w).items < 100) {
            char key[16];
            snprintf(key, sizeof key, "k%d", made++);
            offer_as(&w, (struct offered){.key = key, .version = 1, .units = EACH});
        }
        tick(&w);
        while (w.flying_count) {
            sent += w.flying[0]->count * (uint64_t)EACH;
            answer(&w, w.flying[0]->id, REPLY_OK);
        }
        usec t = engine_deadline(w.engine);
        assert_true(t > w.now && t != USEC_NEVER);
        w.now = t < end ? t : end;
        forget_log(&w);
        uint64_t passed = (uint64_t)((w.now - (end - SECONDS * USEC_PER_SEC)) / USEC_PER_SEC);
        /* a second's worth at the start, and one request may overdraw */
        assert_true(sent <= 100 * (passed + 2) + BATCH_MAX_ITEMS * EACH);
    }
    assert_true(sent >= 100 * (SECONDS - 1));
}

/* --- the newest wins -------------------------------------------------------------------------- */

static void test_the_newest_offer_wins_before_it_is_sent(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, NULL);
    offer(&w, "a", 1);
    offer(&w, "a", 2);
    offer_as(&w, (struct offered){.key = "a", .version = 3, .delete = true});
    assert_int_equal(stats(&w).items, 1);
    tick(&w);
    did(&w, "send#1[-a3]");
    answer(&w, 1, REPLY_OK);
    did(&w, "written -a3");
    is_empty(&w);
}

static void test_a_key_in_flight_waits_for_its_reply(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, NULL);
    offer(&w, "a", 1);
    tick(&w);
    offer(&w, "a", 2);
    offer(&w, "a", 3);
    advance(&w, USEC_PER_SEC);
    did(&w, "send#1[a1]");
    answer(&w, 1, REPLY_OK);
    did(&w, "written a1 send#2[a3]");
    answer(&w, 2, REPLY_OK);
    did(&w, "written a3");
    is_empty(&w);
}

/* --- gates ------------------------------------------------------------------------------------ */

static void test_pause_resume_and_stop(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, NULL);
    offer(&w, "a", 1);
    tick(&w);
    control(&w, EVENT_PAUSE, 0);
    offer(&w, "b", 1);
    tick(&w);
    answer(&w, 1, REPLY_OK);
    did(&w, "send#1[a1] written a1"); /* replies are heard */
    assert_true(engine_deadline(w.engine) == USEC_NEVER);
    control(&w, EVENT_RESUME, 0);
    did(&w, "send#2[b1]");
    offer(&w, "c", 1);
    control(&w, EVENT_STOP, 0);
    answer(&w, 2, REPLY_AMBIGUOUS);
    control(&w, EVENT_RESUME, 0);
    advance(&w, USEC_PER_SEC);
    did(&w, "retry");
    assert_int_equal(stats(&w).in_flight, 0);
    assert_int_equal(stats(&w).items, 2); /* freed with the engine */
}

static void test_targets_are_parked_until_opened(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, NULL);
    assert_int_equal(engine_grow(w.engine, 3), 0);
    offer_to(&w, 2, "a", 1);
    offer_to(&w, 0, "b", 1);
    tick(&w);
    did(&w, "send#1[b1]");
    answer(&w, 1, REPLY_OK);
    assert_true(engine_deadline(w.engine) == USEC_NEVER);
    control(&w, EVENT_OPEN, 2);
    did(&w, "written b1 send#2[2/a1]");
}

static void test_growing_keeps_what_is_queued(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 2, NULL);
    offer_to(&w, 0, "a", 1);
    offer_to(&w, 1, "b", 1);
    offer_to(&w, 1, "c", 1);
    for (uint32_t n = 3; n < 40; n++)
        assert_int_equal(engine_grow(w.engine, n), 0);
    offer_to(&w, 1, "b", 2);
    tick(&w);
    did(&w, "send#1[a1 1/b2 1/c1]");
    answer(&w, 1, REPLY_OK);
    is_empty(&w);
}

static void test_replies_to_unknown_requests_are_ignored(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, NULL);
    offer(&w, "a", 1);
    tick(&w);
    answer(&w, 99, REPLY_OK);
    did(&w, "send#1[a1]");
    answer(&w, 1, REPLY_OK);
    answer(&w, 1, REPLY_OK);
    did(&w, "written a1");
    is_empty(&w);
}

/* --- what is asked of it -----------------------------------------------------------------------
 */

static void test_it_knows_which_keys_are_on_their_way_and_since_when(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 2, NULL);
    uint64_t before = engine_serial(w.engine);
    offer_to(&w, 0, "a", 1);
    offer_to(&w, 1, "b", 1);
    uint64_t between = engine_serial(w.engine);
    tick(&w);
    offer_to(&w, 0, "a", 2);
    assert_true(engine_has(w.engine, 0, "a", 1) && engine_has(w.engine, 1, "b", 1));
    assert_false(engine_has(w.engine, 1, "a", 1) || engine_has(w.engine, 0, "ab", 2));
    assert_true(engine_oldest(w.engine, 0) >= before && engine_oldest(w.engine, 0) < between);
    answer(&w, 1, REPLY_OK);
    assert_true(engine_has(w.engine, 0, "a", 1) && !engine_has(w.engine, 1, "b", 1));
    assert_true(engine_oldest(w.engine, 0) >= between); /* only what was offered since is left */
    assert_true(engine_oldest(w.engine, 1) == UINT64_MAX);
    answer(&w, 2, REPLY_OK);
    assert_true(engine_oldest(w.engine, 0) == UINT64_MAX);
}

/* What was read long before it is offered is as old as its reading, from the first on. */
static void test_what_is_offered_late_keeps_the_order_of_its_reading(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, NULL);
    uint64_t read = engine_take_serial(w.engine);
    uint64_t since = engine_serial(w.engine);
    offer(&w, "a", 1);
    assert_true(engine_oldest(w.engine, 0) >= since);
    offer_as(&w, (struct offered){.key = "b", .version = 1, .serial = read});
    assert_true(engine_oldest(w.engine, 0) == read && read < since);
}

static void test_the_newest_write_of_a_key_can_be_asked_for(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, NULL);
    assert_null(engine_newest(w.engine, 0, "a", 1));
    offer(&w, "a", 1);
    tick(&w);
    assert_ptr_equal(engine_newest(w.engine, 0, "a", 1), w.flying[0]->writes[0]);
    offer(&w, "a", 2);
    assert_ptr_not_equal(engine_newest(w.engine, 0, "a", 1), w.flying[0]->writes[0]);
    assert_null(engine_newest(w.engine, 0, "b", 1));
    answer(&w, 1, REPLY_OK);
    assert_ptr_equal(engine_newest(w.engine, 0, "a", 1), w.flying[0]->writes[0]);
}

/* --- spared writes ---------------------------------------------------------------------------- */

static void test_a_put_that_dynamodb_holds_is_spared(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, NULL);
    w.held['a'] = w.held['b'] = w.held['c'] = 7;
    offer_as(&w, (struct offered){.key = "a", .version = 1, .digest = 7});
    offer_as(&w, (struct offered){.key = "b", .version = 1, .digest = 8});
    offer_as(&w, (struct offered){.key = "c", .version = 1, .digest = 7, .force = true});
    offer_as(&w, (struct offered){.key = "d", .version = 1, .digest = 7});
    offer_as(&w, (struct offered){.key = "c", .version = 2, .digest = 7}); /* the duty stays */
    tick(&w);
    did(&w, "spared a1 send#1[b1 c2 d1]");
    offer_as(&w, (struct offered){.key = "b", .version = 2, .digest = 7, .delete = true});
    answer(&w, 1, REPLY_OK);
    did(&w, "written b1 written c2 written d1 send#2[-b2]");
    answer(&w, 2, REPLY_OK);
    is_empty(&w);
}

static void test_all_may_be_spared(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 2, NULL);
    w.held['k'] = 7;
    for (int i = 0; i < 300; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        offer_as(
            &w, (struct offered){.key = key, .target = (uint32_t)i % 2, .version = 1, .digest = 7});
    }
    tick(&w);
    assert_int_equal(stats(&w).requests, 0);
    is_empty(&w);
}

/* DynamoDB holds 1; 2 is in flight; the row goes back to 1. When the reply comes the store does not
 * know of 2 yet: its digest must not spare the 1. */
static void test_a_row_that_goes_back_while_in_flight_is_sent(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, NULL);
    w.held['a'] = 1;
    offer_as(&w, (struct offered){.key = "a", .version = 2, .digest = 2});
    tick(&w);
    offer_as(&w, (struct offered){.key = "a", .version = 3, .digest = 1});
    answer(&w, 1, REPLY_OK);
    did(&w, "send#1[a2] written a2 send#2[a3]");
    answer(&w, 2, REPLY_OK);
    did(&w, "written a3");
    assert_int_equal(w.held['a'], 1);
}

static void test_a_deleted_row_that_comes_back_while_in_flight_is_sent(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, NULL);
    w.held['a'] = 1;
    offer_as(&w, (struct offered){.key = "a", .version = 2, .delete = true});
    tick(&w);
    offer_as(&w, (struct offered){.key = "a", .version = 3, .digest = 1});
    answer(&w, 1, REPLY_OK);
    did(&w, "send#1[-a2] written -a2 send#2[a3]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_idle_engine_sends_at_once),
        cmocka_unit_test(test_a_partial_batch_lingers_only_while_others_are_in_flight),
        cmocka_unit_test(test_a_full_batch_does_not_linger),
        cmocka_unit_test(test_no_more_requests_than_allowed),
        cmocka_unit_test(test_targets_share_requests_and_stand_together),
        cmocka_unit_test(test_a_long_queue_does_not_starve_another_table),
        cmocka_unit_test(test_requests_stay_under_16_megabytes),
        cmocka_unit_test(test_a_refused_half_that_grew_stays_under_16_megabytes),
        cmocka_unit_test(test_room_follows_items_and_bytes),
        cmocka_unit_test(test_the_cap_on_write_units_holds_over_time),
        cmocka_unit_test(test_the_newest_offer_wins_before_it_is_sent),
        cmocka_unit_test(test_a_key_in_flight_waits_for_its_reply),
        cmocka_unit_test(test_pause_resume_and_stop),
        cmocka_unit_test(test_targets_are_parked_until_opened),
        cmocka_unit_test(test_growing_keeps_what_is_queued),
        cmocka_unit_test(test_replies_to_unknown_requests_are_ignored),
        cmocka_unit_test(test_it_knows_which_keys_are_on_their_way_and_since_when),
        cmocka_unit_test(test_what_is_offered_late_keeps_the_order_of_its_reading),
        cmocka_unit_test(test_the_newest_write_of_a_key_can_be_asked_for),
        cmocka_unit_test(test_a_put_that_dynamodb_holds_is_spared),
        cmocka_unit_test(test_all_may_be_spared),
        cmocka_unit_test(test_a_row_that_goes_back_while_in_flight_is_sent),
        cmocka_unit_test(test_a_deleted_row_that_comes_back_while_in_flight_is_sent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
