/* When credentials are renewed, and what is in hand while that fails, on clocks that the test
 * moves: a day takes no time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "aws/credentials_cache.h"
#include "aws/credentials_provider.h"

#define START INT64_C(1800000000)
enum { MINUTE = 60, HOUR = 3600, DAY = 24 * HOUR };

/* A source that answers when the test says so, with the nth credentials. */
struct source {
    struct credentials_provider base;
    provider_done_fn *done; /* a fetch under way */
    void *arg;
    unsigned fetches;
    bool *freed;
};

struct world {
    struct source *source;
    struct credentials_cache *cache;
    usec now;        /* monotonic */
    int64_t service; /* Unix seconds */
    unsigned fetched, failed;
    int64_t expires; /* of what was fetched last */
    char id[32];
    struct err error;
    bool freed;
};

static void source_fetch(struct credentials_provider *p, provider_done_fn *done, void *arg)
{
    struct source *s = (struct source *)p;

    assert_null(s->done); /* one at a time */
    s->done = done;
    s->arg = arg;
    s->fetches++;
}

static void source_free(struct credentials_provider *p)
{
    *((struct source *)p)->freed = true;
    free(p);
}

static usec monotonic(void *arg)
{
    return ((struct world *)arg)->now;
}

static int64_t service_time(void *arg)
{
    return ((struct world *)arg)->service;
}

static void fetched(void *arg, const struct credentials *c)
{
    struct world *w = arg;

    w->fetched++;
    w->expires = c->expires;
    snprintf(w->id, sizeof w->id, "%s", c->access_key_id);
}

static void failed(void *arg, const struct err *err)
{
    struct world *w = arg;

    w->failed++;
    w->error = *err;
}

static struct world *begin(uint64_t seed)
{
    static const struct provider_ops ops = {"test", source_fetch, source_free};
    struct world *w = calloc(1, sizeof *w);

    assert_non_null(w);
    w->source = calloc(1, sizeof *w->source);
    assert_non_null(w->source);
    w->source->base.ops = &ops;
    w->source->freed = &w->freed;
    w->now = USEC_PER_SEC;
    w->service = START;
    const struct credentials_cache_options o = {.provider = &w->source->base,
                                                .seed = seed,
                                                .monotonic = monotonic,
                                                .service_time = service_time,
                                                .fetched = fetched,
                                                .failed = failed,
                                                .arg = w};
    w->cache = credentials_cache_new(&o);
    assert_non_null(w->cache);
    return w;
}

static void end(struct world *w)
{
    credentials_cache_free(w->cache);
    assert_true(w->freed);
    free(w);
}

static void pass(struct world *w, int64_t seconds)
{
    w->now += seconds * USEC_PER_SEC;
    w->service += seconds;
    credentials_cache_turn(w->cache);
}

static bool asking(const struct world *w)
{
    return w->source->done != NULL;
}

static void answer(struct world *w, enum provider_result result, int64_t expires)
{
    char id[32];
    struct err err = {"the source says no"};
    struct credentials c = {.access_key_id = id,
                            .secret_access_key = (char *)"secret",
                            .session_token = (char *)"token",
                            .expires = expires,
                            .provider = "test"};
    provider_done_fn *done = w->source->done;

    assert_non_null(done);
    snprintf(id, sizeof id, "AKID%u", w->source->fetches);
    w->source->done = NULL;
    done(w->source->arg, result, &c, &err);
}

static void give(struct world *w, int64_t life)
{
    answer(w, PROVIDER_FOUND, w->service + life);
}

static struct credentials_view view(const struct world *w)
{
    struct credentials_view v;

    credentials_cache_view(w->cache, &v);
    return v;
}

/* Seconds until it asks again, which it is told by credentials_cache_due() as well. */
static int64_t wait_for_question(struct world *w, int64_t most)
{
    int64_t from = w->service;
    usec due = credentials_cache_due(w->cache), now = w->now;

    while (!asking(w) && w->service - from < most)
        pass(w, 1);
    assert_true(asking(w));
    assert_true(credentials_cache_due(w->cache) == USEC_NEVER);
    assert_in_range(w->now, due > now ? due : now, due + USEC_PER_SEC);
    return w->service - from;
}

static void first_ones_are_asked_for_at_once(void **state)
{
    struct world *w = begin(1);

    (void)state;
    assert_int_equal(view(w).standing, CREDENTIALS_NONE);
    assert_string_equal(view(w).error, "");
    pass(w, 0);
    assert_true(asking(w));
    pass(w, 100);
    assert_int_equal(w->source->fetches, 1);
    answer(w, PROVIDER_FOUND, 0);
    assert_int_equal(w->fetched, 1);
    assert_int_equal(view(w).standing, CREDENTIALS_GOOD);
    assert_string_equal(view(w).provider, "test");
    assert_true(credentials_cache_due(w->cache) == USEC_NEVER);
    pass(w, 10 * DAY);
    assert_false(asking(w)); /* they have no end */
    end(w);
}

static void renewed_within_the_window_at_a_moment_of_its_own(void **state)
{
    int64_t least = DAY, most = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct world *w = begin(seed);
        pass(w, 0);
        give(w, 6 * HOUR);
        int64_t left = 6 * HOUR - wait_for_question(w, 6 * HOUR);
        assert_in_range(left, 10 * MINUTE, 15 * MINUTE);
        least = left < least ? left : least;
        most = left > most ? left : most;
        end(w);
    }
    assert_true(least < 10 * MINUTE + 30 && most > 15 * MINUTE - 30);
}

static void short_lives_are_renewed_at_half_of_what_is_left(void **state)
{
    static const int64_t lives[] = {20 * MINUTE, 15 * MINUTE, 4 * MINUTE, 90, 60, 4, 2, 1};

    (void)state;
    for (size_t i = 0; i < sizeof lives / sizeof *lives; i++) {
        struct world *w = begin(3);
        pass(w, 0);
        give(w, lives[i]);
        assert_int_equal(wait_for_question(w, DAY), lives[i] - lives[i] / 2);
        end(w);
    }
}

static void a_failed_renewal_changes_nothing_until_there_is_little_time(void **state)
{
    struct world *w = begin(4);
    unsigned asked = 0;

    (void)state;
    pass(w, 0);
    give(w, 6 * HOUR);
    wait_for_question(w, 6 * HOUR);
    answer(w, PROVIDER_FAILED, 0);
    assert_int_equal(w->failed, 1);
    assert_string_equal(w->error.text, "the source says no");
    if (w->expires - w->service > 10 * MINUTE)
        assert_int_equal(view(w).standing, CREDENTIALS_GOOD);
    while (w->service < w->expires) {
        assert_true(wait_for_question(w, 61) <= 60);
        answer(w, PROVIDER_ABSENT, 0);
        asked++;
        if (w->service >= w->expires - 10 * MINUTE && w->service < w->expires)
            assert_int_equal(view(w).standing, CREDENTIALS_EXPIRING);
    }
    assert_in_range(asked, 30, 120);
    assert_int_equal(view(w).standing, CREDENTIALS_EXPIRED);
    assert_string_equal(w->id, "AKID1"); /* used on */
    wait_for_question(w, 16);
    give(w, HOUR);
    assert_int_equal(view(w).standing, CREDENTIALS_GOOD);
    assert_string_equal(view(w).error, "");
    end(w);
}

static void what_is_over_is_taken_only_by_who_has_nothing_better(void **state)
{
    struct world *w = begin(5);

    (void)state;
    pass(w, 0);
    give(w, -HOUR);
    assert_int_equal(w->fetched, 1); /* the service is the judge */
    assert_int_equal(view(w).standing, CREDENTIALS_EXPIRED);
    assert_in_range(wait_for_question(w, DAY), 2 * MINUTE, 10 * MINUTE);
    give(w, HOUR);
    wait_for_question(w, HOUR);
    give(w, -1);
    assert_int_equal(w->fetched, 2);
    assert_non_null(strstr(w->error.text, "test gives credentials that ended at 20"));
    assert_string_equal(w->id, "AKID2");
    credentials_cache_refused(w->cache);
    pass(w, 0);
    give(w, -1); /* those in hand are no better */
    assert_int_equal(w->fetched, 3);
    end(w);
}

static void refusals_are_looked_into_at_once_then_slowly(void **state)
{
    struct world *w = begin(6);
    int64_t waited = 0;

    (void)state;
    pass(w, 0);
    answer(w, PROVIDER_FOUND, 0);
    for (int i = 0; i < 8; i++) /* requests that were on their way together */
        credentials_cache_refused(w->cache);
    assert_int_equal(view(w).refusals, 1);
    pass(w, 0);
    assert_true(asking(w));
    credentials_cache_refused(w->cache);
    answer(w, PROVIDER_FOUND, 0);
    for (int i = 0; i < 12; i++) {
        credentials_cache_refused(w->cache);
        waited = wait_for_question(w, 20);
        assert_true(waited <= 15);
        answer(w, PROVIDER_FOUND, 0);
    }
    assert_true(waited >= 7);
    credentials_cache_refused(w->cache);
    wait_for_question(w, 20);
    answer(w, PROVIDER_FAILED, 0);
    assert_int_equal(view(w).standing, CREDENTIALS_REFUSED);
    credentials_cache_hurry(w->cache);
    pass(w, 0);
    answer(w, PROVIDER_FOUND, 0);
    credentials_cache_accepted(w->cache);
    assert_int_equal(view(w).refusals, 0);
    assert_int_equal(view(w).standing, CREDENTIALS_GOOD);
    end(w);
}

/* A source that hands out new ones every minute, each good for 90 s, and is away for 12 s of each
 * hour: at every second of a day what is in hand is good. */
static void a_day_of_a_new_role_every_minute(void **state)
{
    struct world *w = begin(7);

    (void)state;
    pass(w, 0);
    give(w, 90);
    for (int second = 1; second < DAY; second++) {
        pass(w, 1);
        if (asking(w) && w->service % HOUR < 12)
            answer(w, PROVIDER_FAILED, 0);
        else if (asking(w))
            answer(w, PROVIDER_FOUND, w->service / MINUTE * MINUTE + 90);
        assert_true(w->expires > w->service);
    }
    assert_in_range(w->fetched, DAY / 90, DAY / 15);
    end(w);
}

/* The clock was a year ahead at boot, when everything seemed to be over; then it was set. */
static void renewed_after_a_clock_that_was_ahead(void **state)
{
    struct world *w = begin(9);

    (void)state;
    w->service += 365 * DAY;
    pass(w, 0);
    answer(w, PROVIDER_FOUND, START + 6 * HOUR);
    assert_int_equal(view(w).standing, CREDENTIALS_EXPIRED);
    w->service = START;
    assert_int_equal(view(w).standing, CREDENTIALS_GOOD);
    assert_in_range(wait_for_question(w, 6 * HOUR), 0, 6 * HOUR - 1);
    give(w, 6 * HOUR);
    assert_in_range(wait_for_question(w, 6 * HOUR), 5 * HOUR, 6 * HOUR - 1);
    end(w);
}

static void freed_while_a_question_is_open(void **state)
{
    struct world *w = begin(8);

    (void)state;
    pass(w, 0);
    assert_true(asking(w));
    end(w);
    credentials_cache_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_ones_are_asked_for_at_once),
        cmocka_unit_test(renewed_within_the_window_at_a_moment_of_its_own),
        cmocka_unit_test(short_lives_are_renewed_at_half_of_what_is_left),
        cmocka_unit_test(a_failed_renewal_changes_nothing_until_there_is_little_time),
        cmocka_unit_test(what_is_over_is_taken_only_by_who_has_nothing_better),
        cmocka_unit_test(refusals_are_looked_into_at_once_then_slowly),
        cmocka_unit_test(a_day_of_a_new_role_every_minute),
        cmocka_unit_test(renewed_after_a_clock_that_was_ahead),
        cmocka_unit_test(freed_while_a_question_is_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
