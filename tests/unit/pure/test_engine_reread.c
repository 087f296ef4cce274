/* What was sent and came back is read again when its turn has come, and goes as its row is then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine_fixture.h"

static void with_reread(struct engine_config *c)
{
    c->reread = true;
}

static void with_reread_and_barrier(struct engine_config *c)
{
    c->reread = c->barrier = true;
}

static void note_asked(void *arg, const struct payload *p)
{
    struct world *w = arg;

    buf_puts(&w->log, "asked ");
    name_of(p, &w->log);
    buf_putc(&w->log, ' ');
}

/* Logs what is asked for from a ticket on; the ticket behind it. */
static uint64_t asked(struct world *w, uint64_t from, unsigned most)
{
    return engine_asked(w->engine, from, most, note_asked, w);
}

static void keep(struct world *w, uint64_t before)
{
    act(w, &(struct event){.kind = EVENT_KEEP, .serial = before});
}

static void test_unprocessed_goes_as_its_row_is_then(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, with_reread);
    offer(&w, "a", 1);
    offer(&w, "b", 1);
    tick(&w);
    answer_unprocessed(&w, 1, 2);
    did(&w, "send#1[a1 b1] written a1");
    asked(&w, 0, 9);
    did(&w, ""); /* not before its turn */
    wait_deadline(&w);
    did(&w, "");
    assert_true(engine_deadline(w.engine) == USEC_NEVER); /* the answer is for others to bring */
    asked(&w, 0, 9);
    offer(&w, "b", 2);
    tick(&w);
    did(&w, "asked b1 send#2[b2]");
    answer_unprocessed(&w, 2, 1);
    wait_deadline(&w);
    asked(&w, 0, 9); /* and before every further try */
    offer_as(&w, (struct offered){.key = "b", .version = 2, .delete = true});
    tick(&w);
    did(&w, "asked b2 send#3[-b2]");
    answer(&w, 3, REPLY_OK);
    is_empty(&w);
}

/* Order of turns, and what is not answered, stay as they are. */
static void test_what_cannot_be_read_goes_as_it_is(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, with_reread);
    offer(&w, "a", 1);
    offer(&w, "b", 1);
    offer(&w, "c", 1);
    tick(&w);
    answer(&w, 1, REPLY_NOT_SENT);
    offer(&w, "d", 1);
    wait_deadline(&w);
    did(&w, "send#1[a1 b1 c1] retry send#2[d1]"); /* others need not wait for the answer */
    uint64_t first = asked(&w, 0, 1), second = asked(&w, first, 1);
    did(&w, "asked a1 asked b1");
    keep(&w, second);
    answer(&w, 2, REPLY_OK);
    tick(&w);
    did(&w, "written d1 send#3[a1 b1]");
    assert_true(engine_asks(w.engine));
    uint64_t last = asked(&w, second, 9);
    assert_int_equal(asked(&w, last, 9), last);
    keep(&w, UINT64_MAX);
    answer(&w, 3, REPLY_OK);
    while (!w.flying_count)
        wait_deadline(&w);
    did(&w, "asked c1 written a1 written b1 send#4[c1]");
    answer(&w, 4, REPLY_OK);
    is_empty(&w);
}

/* One that came back and has been read since, by whoever it was, is not asked for. */
static void test_a_newer_read_is_answer_enough(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, with_reread);
    offer(&w, "a", 1);
    offer(&w, "b", 1);
    tick(&w);
    offer(&w, "a", 2); /* while it is in flight */
    answer(&w, 1, REPLY_NOT_SENT);
    offer(&w, "b", 2); /* before its turn */
    wait_deadline(&w);
    did(&w, "send#1[a1 b1] retry send#2[a2 b2]");
    answer(&w, 2, REPLY_OK);
    is_empty(&w);
}

/* A row that is as it was was durable when it was sent: nothing is waited for. */
static void test_only_what_changed_waits_for_a_sync(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, with_reread_and_barrier);
    offer(&w, "a", 1);
    offer(&w, "b", 1);
    act(&w, &(struct event){.kind = EVENT_DURABLE, .serial = engine_serial(w.engine)});
    answer(&w, 1, REPLY_NOT_SENT);
    wait_deadline(&w);
    uint64_t serial = engine_serial(w.engine);
    offer(&w, "a", 1);
    assert_int_equal(engine_serial(w.engine), serial);
    offer(&w, "b", 2);
    tick(&w);
    did(&w, "send#1[a1 b1] retry send#2[a1]");
    answer(&w, 2, REPLY_OK);
    tick(&w);
    did(&w, "written a1");
    act(&w, &(struct event){.kind = EVENT_DURABLE, .serial = engine_serial(w.engine)});
    did(&w, "send#3[b2]");
    answer(&w, 3, REPLY_OK);
    is_empty(&w);
}

/* Else nobody would find out which of them it is. */
static void test_halves_of_a_refused_request_stay_as_they_are(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, with_reread);
    offer(&w, "a", 1);
    offer(&w, "b", 1);
    tick(&w);
    answer(&w, 1, REPLY_INVALID);
    did(&w, "send#1[a1 b1] send#2[a1] send#3[b1]");
    answer(&w, 2, REPLY_OK);
    answer(&w, 3, REPLY_INVALID);
    did(&w, "written a1 refused b1");
    is_empty(&w);
}

/* What is read in its place holds the place of the write that came back: neither the journal nor a
 * load may be forgotten up to there. */
static void test_the_place_in_the_source_is_kept(void **state)
{
    (void)state;
    for (int load = 0; load < 2; load++) {
        _cleanup_world_ struct world w;
        struct track t;
        track_init(&t, 0);
        world_make(&w, 1, with_reread);
        struct span *s = track_open(&t, 7, 0);
        offer_as(&w,
                 (struct offered){
                     .key = "a", .version = 1, .span = load ? NULL : s, .load = load ? s : NULL});
        span_unref(s);
        tick(&w);
        answer(&w, 1, REPLY_NOT_SENT);
        wait_deadline(&w);
        offer(&w, "a", 2);
        assert_int_equal(t.low, 0);
        tick(&w);
        answer(&w, 2, REPLY_NOT_SENT);
        wait_deadline(&w);
        offer_as(&w, (struct offered){.key = "a", .version = 3, .delete = true});
        tick(&w);
        assert_int_equal(t.low, 0);
        answer(&w, 3, REPLY_OK);
        assert_int_equal(t.low, 7);
        is_empty(&w);
        track_clear(&t);
    }
}

static void test_a_parked_table_asks_for_nothing(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 2, with_reread);
    offer_to(&w, 0, "a", 1);
    offer_to(&w, 1, "b", 1);
    tick(&w);
    answer(&w, 1, REPLY_NOT_SENT);
    wait_deadline(&w);
    forget_log(&w);
    control(&w, EVENT_PARK, 0);
    asked(&w, 0, 9);
    did(&w, "asked 1/b1");
    assert_int_equal(stats(&w).items, 1);
    keep(&w, UINT64_MAX);
    answer(&w, 2, REPLY_OK);
    is_empty(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unprocessed_goes_as_its_row_is_then),
        cmocka_unit_test(test_what_cannot_be_read_goes_as_it_is),
        cmocka_unit_test(test_a_newer_read_is_answer_enough),
        cmocka_unit_test(test_only_what_changed_waits_for_a_sync),
        cmocka_unit_test(test_halves_of_a_refused_request_stay_as_they_are),
        cmocka_unit_test(test_the_place_in_the_source_is_kept),
        cmocka_unit_test(test_a_parked_table_asks_for_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
