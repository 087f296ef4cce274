/* What a failed request means for its writes, the endpoint and the credentials. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "engine_fixture.h"

/* --- memory ----------------------------------------------------------------------------------- */

/* What cannot be had is refused, and does not end the program, also under the address sanitizer. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

/* A request of which nobody could be told is none. */
static void test_a_request_that_finds_no_memory_is_made_again(void **state)
{
    _cleanup_world_ struct world w;
    struct actions full = {.count = SIZE_MAX / 256, .cap = SIZE_MAX / 256};

    (void)state;
    world_make(&w, 1, NULL);
    offer(&w, "a", 1);
    offer(&w, "b", 1);
    engine_step(w.engine, w.now, &(struct event){.kind = EVENT_TIMER}, &full);
    assert_int_equal(stats(&w).in_flight, 0);
    assert_true(engine_deadline(w.engine) <= w.now + 100 * MS);
    wait_deadline(&w);
    did(&w, "send#1[a1 b1]");
    answer(&w, 1, REPLY_OK);
    did(&w, "written a1 written b1");
    is_empty(&w);
}

/* --- unprocessed ------------------------------------------------------------------------------ */

static void test_unprocessed_writes_wait_and_go_again(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, NULL);
    offer(&w, "a", 1);
    offer(&w, "b", 1);
    offer(&w, "c", 1);
    tick(&w);
    answer_unprocessed(&w, 1, 1 << 1);
    usec t = engine_deadline(w.engine);
    if (t != USEC_NEVER) { /* else the jitter said: at once */
        assert_true(t <= w.now + 25 * MS);
        offer(&w, "b", 2);
        wait_deadline(&w);
    }
    did(&w, "send#1[a1 b1 c1] written a1 written c1 send#2[b2]");
    assert_int_equal(stats(&w).unprocessed, 1);
    answer(&w, 2, REPLY_OK);
    did(&w, "written b2");
    is_empty(&w);
}

static void test_unprocessed_waits_grow_to_the_cap(void **state)
{
    (void)state;
    for (int round = 1; round <= 14; round++) {
        usec longest = 0, ceiling = 25 * MS << (round - 1);
        if (ceiling > 20 * USEC_PER_SEC)
            ceiling = 20 * USEC_PER_SEC;
        for (uint64_t seed = 0; seed < 40; seed++) {
            _cleanup_world_ struct world w;
            world_make(&w, 1, NULL);
            engine_free(w.engine);
            w.config.seed = seed * 77;
            w.engine = engine_new(&w.config, 1);
            control(&w, EVENT_OPEN, 0);
            offer(&w, "a", 1);
            tick(&w);
            usec waited = 0;
            for (int i = 0; i < round; i++) {
                usec before = w.now;
                answer_unprocessed(&w, w.last_sent, 1);
                while (!w.flying_count)
                    wait_deadline(&w);
                waited = w.now - before;
            }
            assert_true(waited <= ceiling);
            longest = waited > longest ? waited : longest;
        }
        assert_true(longest > ceiling * 3 / 4); /* of forty, uniform in [0, ceiling] */
    }
}

/* --- throttling ------------------------------------------------------------------------------- */

static void test_a_throttled_table_does_not_stop_the_others(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 2, NULL);
    offer_to(&w, 0, "a", 1);
    tick(&w);
    answer(&w, 1, REPLY_THROTTLED);
    did(&w, "send#1[a1] retry");
    assert_true(w.delay > 0 && w.delay <= USEC_PER_SEC);
    assert_true(engine_deadline(w.engine) == w.now + w.delay);
    offer_to(&w, 1, "b", 1);
    offer_to(&w, 0, "c", 1);
    tick(&w);
    did(&w, "send#2[1/b1]");
    answer(&w, 2, REPLY_OK);
    did(&w, "written 1/b1");
    wait_deadline(&w);
    did(&w, "send#3[a1]"); /* it took nothing so far: one at a time */
    answer(&w, 3, REPLY_OK);
    while (!w.flying_count)
        wait_deadline(&w);
    did(&w, "written a1 send#4[c1]");
    answer(&w, 4, REPLY_OK);
    is_empty(&w);
    assert_int_equal(stats(&w).throttled, 1);
}

static void test_throttled_requests_in_flight_together_count_once(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 30; seed++) {
        _cleanup_world_ struct world w;
        world_make(&w, 1, NULL);
        engine_free(w.engine);
        w.config.seed = seed;
        w.engine = engine_new(&w.config, 1);
        control(&w, EVENT_OPEN, 0);
        offer_many(&w, 0, "k", 100);
        tick(&w);
        assert_int_equal(w.flying_count, 4);
        for (uint64_t id = 1; id <= 4; id++)
            answer(&w, id, REPLY_THROTTLED);
        assert_true(w.delay <= USEC_PER_SEC); /* the first step of the ladder, not the fourth */
    }
}

static void test_an_accepted_request_ends_the_tables_backoff(void **state)
{
    _cleanup_world_ struct world w;
    usec longest = 0;

    (void)state;
    world_make(&w, 1, NULL);
    offer(&w, "a", 1);
    tick(&w);
    for (int i = 0; i < 12; i++) {
        answer(&w, w.last_sent, REPLY_THROTTLED);
        longest = w.delay > longest ? w.delay : longest;
        assert_true(w.delay <= 20 * USEC_PER_SEC);
        while (!w.flying_count)
            wait_deadline(&w);
    }
    assert_true(longest > 5 * USEC_PER_SEC);
    answer(&w, w.last_sent, REPLY_OK);
    offer(&w, "b", 1);
    tick(&w);
    while (!w.flying_count)
        wait_deadline(&w);
    answer(&w, w.last_sent, REPLY_THROTTLED);
    assert_true(w.delay <= USEC_PER_SEC);
}

/* --- the endpoint ----------------------------------------------------------------------------- */

static const enum reply_class outages[] = {REPLY_TRANSIENT, REPLY_NOT_SENT, REPLY_AMBIGUOUS,
                                           REPLY_UNEXPECTED};

static void test_one_probe_at_a_time_while_the_endpoint_fails(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof outages / sizeof *outages; i++) {
        _cleanup_world_ struct world w;
        world_make(&w, 1, NULL);
        offer_many(&w, 0, "k", 200);
        tick(&w);
        assert_int_equal(w.flying_count, 4);
        for (uint64_t id = 1; id <= 4; id++)
            answer(&w, id, outages[i]);
        assert_true(w.delay <= 25 * MS); /* four that failed together are one failure */
        for (int probe = 0; probe < 5; probe++) {
            while (!w.flying_count) {
                assert_true(stats(&w).retry_at == engine_deadline(w.engine));
                wait_deadline(&w);
            }
            assert_int_equal(w.flying_count, 1);
            advance(&w, 60 * USEC_PER_SEC);
            assert_int_equal(w.flying_count, 1); /* however long it takes */
            answer(&w, w.last_sent, outages[i]);
        }
        while (!w.flying_count)
            wait_deadline(&w);
        answer(&w, w.last_sent, REPLY_OK);
        assert_true(stats(&w).retry_at == USEC_NEVER);
        assert_int_equal(w.flying_count, 2); /* doubling as it answers */
        answer(&w, w.flying[0]->id, REPLY_OK);
        answer(&w, w.flying[0]->id, REPLY_OK);
        assert_int_equal(w.flying_count, 4);
    }
}

static void test_probes_back_off_with_full_jitter_to_the_cap(void **state)
{
    enum { PROBES = 16, SEEDS = 60 };
    usec longest[PROBES] = {0}, shortest[PROBES];

    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        _cleanup_world_ struct world w;
        world_make(&w, 1, NULL);
        engine_free(w.engine);
        w.config.seed = seed * 1000003;
        w.engine = engine_new(&w.config, 1);
        control(&w, EVENT_OPEN, 0);
        offer(&w, "a", 1);
        tick(&w);
        for (int i = 0; i < PROBES; i++) {
            answer(&w, w.last_sent, REPLY_TRANSIENT);
            if (w.delay > longest[i])
                longest[i] = w.delay;
            if (seed == 0 || w.delay < shortest[i])
                shortest[i] = w.delay;
            while (!w.flying_count)
                wait_deadline(&w);
        }
    }
    for (int i = 0; i < PROBES; i++) {
        usec ceiling = i < 10 ? 25 * MS << i : 20 * USEC_PER_SEC;
        ceiling = ceiling > 20 * USEC_PER_SEC ? 20 * USEC_PER_SEC : ceiling;
        assert_true(longest[i] <= ceiling);
        assert_true(longest[i] > ceiling * 3 / 4);
        assert_true(shortest[i] < ceiling / 4);
    }
}

static void test_any_answer_of_the_service_ends_the_probing(void **state)
{
    static const enum reply_class answers[] = {REPLY_THROTTLED, REPLY_INVALID, REPLY_NO_TABLE,
                                               REPLY_DENIED};

    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        _cleanup_world_ struct world w;
        world_make(&w, 2, NULL);
        offer_to(&w, 0, "a", 1);
        tick(&w);
        answer(&w, 1, REPLY_TRANSIENT);
        while (!w.flying_count)
            wait_deadline(&w);
        offer_many(&w, 1, "k", 60);
        answer(&w, w.last_sent, answers[i]);
        assert_true(w.flying_count >= 2); /* not one at a time any more */
    }
}

/* --- bisecting -------------------------------------------------------------------------------- */

static int key_number(const struct payload *p)
{
    int n = 0;

    for (size_t i = 0; i < p->key_len && p->key[i] != '.'; i++)
        n = n * 10 + (p->key[i] - '0');
    return n;
}

/* Answer what is in flight as a service would that refuses any request with a bad write. */
static void answer_by_contents(struct world *w, const bool *bad, enum reply_class class)
{
    const struct request *r = w->flying[0];
    bool refuse = false;

    for (unsigned i = 0; i < r->count; i++)
        refuse |= bad[key_number(r->writes[i])];
    answer(w, r->id, refuse ? class : REPLY_OK);
}

static void test_bisecting_refuses_exactly_the_bad_writes(void **state)
{
    struct rng r = {61};

    (void)state;
    for (int round = 0; round < 300; round++) {
        enum { KEYS = 40 };
        _cleanup_world_ struct world w;
        bool bad[KEYS] = {0};
        uint64_t some = rng_upto(&r, 6);
        world_make(&w, 1, NULL);
        for (int i = 0; i < KEYS; i++) {
            char key[16];
            snprintf(key, sizeof key, "%d.", i);
            bad[i] = some == 6 || rng_upto(&r, 20) < some;
            offer(&w, key, 1);
        }
        tick(&w);
        for (int step = 0; step < 1000 && stats(&w).items; step++) {
            if (w.flying_count)
                answer_by_contents(&w, bad, round % 2 ? REPLY_INVALID : REPLY_TOO_LARGE);
            else
                wait_deadline(&w);
        }
        is_empty(&w);
        for (int i = 0; i < KEYS; i++) {
            char want[32], other[32];
            snprintf(want, sizeof want, "%s %d.1 ", bad[i] ? "refused" : "written", i);
            snprintf(other, sizeof other, "%s %d.1 ", bad[i] ? "written" : "refused", i);
            assert_non_null(strstr(w.log.data, want));
            assert_null(strstr(w.log.data, other));
        }
    }
}

static void test_a_newer_write_replaces_a_bad_one_while_bisecting(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, NULL);
    offer(&w, "a", 1);
    offer(&w, "b", 1);
    tick(&w);
    offer(&w, "b", 2);
    answer(&w, 1, REPLY_INVALID);
    did(&w, "send#1[a1 b1] send#2[a1] send#3[b2]");
    offer(&w, "a", 2);
    answer(&w, 2, REPLY_INVALID);
    answer(&w, 3, REPLY_OK);
    did(&w, "refused a1 written b2 send#4[a2]");
    answer(&w, 4, REPLY_OK);
    is_empty(&w);
}

/* --- credentials ------------------------------------------------------------------------------ */

static void test_expired_credentials_are_asked_for_once_and_used_at_once(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, NULL);
    offer_many(&w, 0, "k", 100);
    tick(&w);
    forget_log(&w);
    answer(&w, 1, REPLY_EXPIRED);
    answer(&w, 2, REPLY_EXPIRED);
    did(&w, "credentials");
    assert_true(stats(&w).waiting_credentials);
    advance(&w, 10 * USEC_PER_SEC);
    did(&w, "");
    control(&w, EVENT_CREDENTIALS, 0);
    did(&w, "send#5(25) send#6(25)");
    answer(&w, 3, REPLY_EXPIRED); /* was signed with the old ones: no reason to ask again */
    assert_false(stats(&w).waiting_credentials);
    did(&w, "send#7(25)");
    assert_true(stats(&w).retry_at == USEC_NEVER);
}

static void test_credentials_that_are_no_better_back_off(void **state)
{
    static const enum reply_class classes[] = {REPLY_EXPIRED, REPLY_CREDENTIALS, REPLY_CLOCK};

    (void)state;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        _cleanup_world_ struct world w;
        usec started;
        world_make(&w, 1, NULL);
        offer(&w, "a", 1);
        tick(&w);
        started = w.now;
        for (int round = 0; round < 16; round++) {
            answer(&w, w.last_sent, classes[i]);
            control(&w, EVENT_CREDENTIALS, 0);
            while (!w.flying_count)
                wait_deadline(&w);
        }
        assert_true(w.now - started > 5 * USEC_PER_SEC);
        answer(&w, w.last_sent, REPLY_OK);
        is_empty(&w);
    }
}

/* --- counts ----------------------------------------------------------------------------------- */

static void test_write_units_are_the_services_or_our_estimate(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, NULL);
    offer_as(&w, (struct offered){.key = "a", .version = 1, .units = 3});
    offer_as(&w, (struct offered){.key = "b", .version = 1, .units = 5});
    tick(&w);
    answer_unprocessed(&w, 1, 1 << 1);
    assert_true(stats(&w).write_units == 3);
    while (!w.flying_count)
        wait_deadline(&w);
    answer_as(&w, w.last_sent, (struct reply){.class = REPLY_OK, .write_units = 7.5});
    assert_true(stats(&w).write_units == 10.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_that_finds_no_memory_is_made_again),
        cmocka_unit_test(test_unprocessed_writes_wait_and_go_again),
        cmocka_unit_test(test_unprocessed_waits_grow_to_the_cap),
        cmocka_unit_test(test_a_throttled_table_does_not_stop_the_others),
        cmocka_unit_test(test_throttled_requests_in_flight_together_count_once),
        cmocka_unit_test(test_an_accepted_request_ends_the_tables_backoff),
        cmocka_unit_test(test_one_probe_at_a_time_while_the_endpoint_fails),
        cmocka_unit_test(test_probes_back_off_with_full_jitter_to_the_cap),
        cmocka_unit_test(test_any_answer_of_the_service_ends_the_probing),
        cmocka_unit_test(test_bisecting_refuses_exactly_the_bad_writes),
        cmocka_unit_test(test_a_newer_write_replaces_a_bad_one_while_bisecting),
        cmocka_unit_test(test_expired_credentials_are_asked_for_once_and_used_at_once),
        cmocka_unit_test(test_credentials_that_are_no_better_back_off),
        cmocka_unit_test(test_write_units_are_the_services_or_our_estimate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
