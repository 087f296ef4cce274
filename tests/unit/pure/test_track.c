/* Spans: `low` stands at the last position up to which everything is settled, and no further. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "engine_fixture.h"

struct seen {
    uint64_t last[100];
    size_t count;
};

static void advanced(void *arg, const struct span *s)
{
    struct seen *seen = arg;

    assert_int_equal(s->refs, 0);
    seen->last[seen->count++] = s->last;
}

static void test_low_waits_for_the_oldest(void **state)
{
    struct seen seen = {.count = 0};
    struct track t;

    (void)state;
    track_init(&t, 5);
    t.arg = &seen;
    t.advanced = advanced;
    assert_true(track_idle(&t));
    assert_true(track_oldest(&t) == USEC_NEVER);
    struct span *a = track_open(&t, 10, 100), *b = track_open(&t, 20, 200),
                *c = track_open(&t, 30, 300);
    assert_true(track_oldest(&t) == 100);
    span_unref(c);
    span_unref(b);
    assert_int_equal(t.low, 5);
    assert_int_equal(seen.count, 0);
    span_unref(a);
    assert_int_equal(t.low, 30);
    assert_int_equal(seen.count, 3);
    assert_true(seen.last[0] == 10 && seen.last[1] == 20 && seen.last[2] == 30);
    assert_true(track_idle(&t));
    span_unref(NULL);
    assert_null(span_ref(NULL));
}

static void test_spans_outlive_their_track(void **state)
{
    struct track t;

    (void)state;
    track_init(&t, 0);
    struct span *a = track_open(&t, 1, 1), *b = span_ref(track_open(&t, 2, 2));
    buf_puts(&a->cursor, "freed with the span");
    track_clear(&t);
    assert_true(track_idle(&t));
    span_unref(b);
    span_unref(b);
    span_unref(a);
    assert_int_equal(t.low, 0);
}

static void test_low_is_the_longest_settled_beginning(void **state)
{
    struct rng r = {71};

    (void)state;
    for (int round = 0; round < 500; round++) {
        enum { SPANS = 30 };
        struct span *spans[SPANS];
        unsigned refs[SPANS] = {0};
        size_t opened = 0, left = 0;
        struct track t;
        track_init(&t, 0);
        do {
            if (opened < SPANS && rng_upto(&r, 2) == 0) {
                spans[opened] = track_open(&t, opened + 1, (usec)opened);
                refs[opened++] = 1;
                left++;
            } else if (opened) {
                size_t i = (size_t)rng_upto(&r, opened - 1);
                if (!refs[i])
                    continue;
                if (opened < SPANS && rng_upto(&r, 3) == 0) {
                    span_ref(spans[i]);
                    refs[i]++;
                } else {
                    refs[i]--;
                    left -= refs[i] == 0;
                    span_unref(spans[i]);
                }
            }
            size_t settled = 0;
            while (settled < opened && !refs[settled])
                settled++;
            assert_int_equal(t.low, settled);
            assert_true(track_oldest(&t) == (settled < opened ? (usec)settled : USEC_NEVER));
        } while (opened < SPANS || left);
    }
}

/* --- spans in the engine ---------------------------------------------------------------------- */

static void test_a_change_holds_its_place_until_it_or_a_newer_one_is_settled(void **state)
{
    _cleanup_world_ struct world w;
    struct track t;

    (void)state;
    world_make(&w, 1, NULL);
    track_init(&t, 0);
    struct span *one = track_open(&t, 1, w.now), *two = track_open(&t, 2, w.now),
                *three = track_open(&t, 3, w.now);
    offer_as(&w, (struct offered){.key = "a", .version = 1, .span = one});
    offer_as(&w, (struct offered){.key = "a", .version = 2, .span = two}); /* replaces it */
    tick(&w);
    offer_as(&w, (struct offered){.key = "a", .version = 3, .span = three}); /* behind it */
    span_unref(one);
    span_unref(two);
    span_unref(three);
    assert_int_equal(t.low, 0);
    answer(&w, 1, REPLY_OK);
    assert_int_equal(t.low, 2);
    did(&w, "send#1[a2] written a2 send#2[a3]");
    answer(&w, 2, REPLY_OK);
    assert_int_equal(t.low, 3);
    assert_true(track_idle(&t));
}

static void test_an_unsent_change_keeps_the_older_place(void **state)
{
    static const enum reply_class classes[] = {REPLY_NOT_SENT, REPLY_AMBIGUOUS, REPLY_THROTTLED,
                                               REPLY_EXPIRED};

    (void)state;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        _cleanup_world_ struct world w;
        struct track t;
        world_make(&w, 1, NULL);
        track_init(&t, 0);
        struct span *one = track_open(&t, 1, w.now), *two = track_open(&t, 2, w.now);
        offer_as(&w, (struct offered){.key = "a", .version = 1, .span = one});
        tick(&w);
        offer_as(&w, (struct offered){.key = "a", .version = 2, .span = two});
        span_unref(one);
        span_unref(two);
        answer(&w, 1, classes[i]); /* 1 is superseded by 2, which is not written */
        assert_int_equal(t.low, 0);
        control(&w, EVENT_CREDENTIALS, 0);
        while (!w.flying_count)
            wait_deadline(&w);
        assert_int_equal(t.low, 0);
        answer(&w, w.last_sent, REPLY_OK);
        assert_int_equal(t.low, 2);
    }
}

static void test_freeing_the_engine_gives_all_spans_back(void **state)
{
    struct world w;
    struct track t;

    (void)state;
    world_make(&w, 2, NULL);
    track_init(&t, 0);
    struct span *one = track_open(&t, 1, w.now);
    offer_as(&w, (struct offered){.key = "a", .version = 1, .span = one});
    offer_as(&w, (struct offered){.key = "b", .version = 1, .span = one});
    tick(&w);
    offer_as(&w, (struct offered){.key = "a", .version = 2, .span = one});
    answer_unprocessed(&w, 1, 1 << 1);
    offer_as(&w, (struct offered){.key = "c", .target = 1, .version = 2, .span = one});
    span_unref(one);
    assert_int_equal(t.low, 0);
    world_free(&w);
    assert_int_equal(t.low, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_low_waits_for_the_oldest),
        cmocka_unit_test(test_spans_outlive_their_track),
        cmocka_unit_test(test_low_is_the_longest_settled_beginning),
        cmocka_unit_test(test_a_change_holds_its_place_until_it_or_a_newer_one_is_settled),
        cmocka_unit_test(test_an_unsent_change_keeps_the_older_place),
        cmocka_unit_test(test_freeing_the_engine_gives_all_spans_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
