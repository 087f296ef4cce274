/* What is not durable where it was read is not sent, nor spared, nor does it keep others waiting.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine_fixture.h"

static void with_barrier(struct engine_config *c)
{
    c->barrier = true;
}

static void durable(struct world *w, uint64_t serial)
{
    act(w, &(struct event){.kind = EVENT_DURABLE, .serial = serial});
}

static void all_durable(struct world *w)
{
    durable(w, engine_serial(w->engine));
}

static void test_nothing_goes_before_it_is_durable(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, with_barrier);
    offer(&w, "a", 1);
    offer(&w, "b", 1);
    tick(&w);
    uint64_t serial = engine_serial(w.engine);
    offer(&w, "c", 1);
    tick(&w);
    did(&w, "");
    assert_true(engine_deadline(w.engine) == USEC_NEVER); /* nothing to be woken for */
    durable(&w, serial);
    did(&w, "send#1[a1 b1]");
    answer(&w, 1, REPLY_OK);
    did(&w, "written a1 written b1");
    durable(&w, serial); /* nor does the same once more cover the third */
    did(&w, "");
    all_durable(&w);
    did(&w, "send#2[c1]");
    answer(&w, 2, REPLY_OK);
    did(&w, "written c1");
    is_empty(&w);
}

/* The newest read of a key wins, and is durable later than the one whose place it takes. */
static void test_a_newer_read_is_waited_for(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, with_barrier);
    offer(&w, "a", 1);
    tick(&w);
    uint64_t serial = engine_serial(w.engine);
    offer(&w, "a", 2);
    tick(&w);
    durable(&w, serial);
    did(&w, "");
    all_durable(&w);
    did(&w, "send#1[a2]");
    offer(&w, "a", 3);
    answer(&w, 1, REPLY_OK);
    did(&w, "written a2"); /* and so is one that came while another was in flight */
    all_durable(&w);
    did(&w, "send#2[a3]");
    answer_unprocessed(&w, 2, 1);
    offer(&w, "a", 4);
    wait_deadline(&w);
    did(&w, "");
    all_durable(&w);
    did(&w, "send#3[a4]");
    answer(&w, 3, REPLY_OK);
    did(&w, "written a4");
    is_empty(&w);
}

static void test_what_dynamodb_holds_is_spared_when_it_is_durable(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, with_barrier);
    w.held['a'] = 7;
    offer_as(&w, (struct offered){.key = "a", .version = 1, .digest = 7});
    tick(&w);
    did(&w, "");
    all_durable(&w);
    did(&w, "spared a1");
    is_empty(&w);
}

static void test_a_half_of_a_refused_request_waits_for_what_is_newer(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, with_barrier);
    offer(&w, "a", 1);
    offer(&w, "b", 1);
    all_durable(&w);
    forget_log(&w);
    act(&w, &(struct event){.kind = EVENT_PAUSE});
    answer(&w, 1, REPLY_INVALID);
    offer(&w, "a", 2);
    act(&w, &(struct event){.kind = EVENT_RESUME});
    did(&w, "send#2[b1]");
    all_durable(&w);
    did(&w, "send#3[a2]");
}

/* Those whose turn had come keep it. */
static void test_turns_are_kept(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, with_barrier);
    offer(&w, "a", 1);
    offer(&w, "b", 1);
    tick(&w);
    offer(&w, "c", 1);
    offer(&w, "a", 2);
    all_durable(&w);
    did(&w, "send#1[a2 b1 c1]");
}

static void test_what_is_held_is_forgotten_with_its_table(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 2, with_barrier);
    offer_to(&w, 0, "a", 1);
    offer_to(&w, 1, "b", 1);
    tick(&w);
    assert_int_equal(engine_grow(w.engine, 3), 0);
    control(&w, EVENT_PARK, 0);
    assert_int_equal(engine_pending(w.engine, 0), 0);
    control(&w, EVENT_OPEN, 0);
    all_durable(&w);
    did(&w, "send#1[1/b1]");
    answer(&w, 1, REPLY_OK);
    did(&w, "written 1/b1");
    is_empty(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_goes_before_it_is_durable),
        cmocka_unit_test(test_a_newer_read_is_waited_for),
        cmocka_unit_test(test_what_dynamodb_holds_is_spared_when_it_is_durable),
        cmocka_unit_test(test_a_half_of_a_refused_request_waits_for_what_is_newer),
        cmocka_unit_test(test_turns_are_kept),
        cmocka_unit_test(test_what_is_held_is_forgotten_with_its_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
