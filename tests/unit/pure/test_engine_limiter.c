/* The limiter of one table by itself: the curve, its bounds, what is measured, its bucket. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "engine/limiter.h"

#define SEC USEC_PER_SEC

/* A table that takes everything, for so many seconds, in requests of a tenth of a second each. */
static usec flow(struct limiter *l, usec now, double rate, int seconds)
{
    for (int i = 0; i < seconds * 10; i++) {
        struct limiter_reply r = {.sent_at = now, .taken = rate / 10, .passed = rate / 10};
        limiter_spend(l, now, rate / 10);
        now += SEC / 10;
        limiter_replied(l, now, &r);
    }
    return now;
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 0.01 * fabs(b);
}

static void test_it_is_off_until_the_first_throttle(void **state)
{
    struct limiter l = {0};

    (void)state;
    usec now = flow(&l, 100 * SEC, 1000, 5);
    assert_true(limiter_limit(&l) == 0 && limiter_wait(&l, now) == 0 && limiter_more(&l));
    assert_true(near(l.measured, 1000));
    limiter_throttled(&l, now, now);
    assert_true(near(limiter_limit(&l), 700));
}

static void test_a_throttle_goes_by_what_was_taken_not_by_the_limit(void **state)
{
    struct limiter l = {0};

    (void)state;
    usec now = flow(&l, 100 * SEC, 1000, 5);
    limiter_throttled(&l, now, now);
    now = flow(&l, now, 200, 3);
    assert_true(near(l.measured, 200));
    assert_true(limiter_limit(&l) <= 2 * l.measured * 1.000001);
    limiter_throttled(&l, now, now);
    assert_true(near(limiter_limit(&l), 0.7 * 200));
}

static void test_the_curve_comes_back_to_where_it_was_and_goes_on(void **state)
{
    struct limiter l = {0};
    double k = cbrt(1000 * 0.3 / 0.4); /* seconds */

    (void)state;
    usec now = flow(&l, 100 * SEC, 1000, 5), start = now;
    limiter_throttled(&l, now, now);
    double before = limiter_limit(&l);
    for (int i = 1; i <= 150; i++) {
        double t = i / 10.0;
        now = start + i * SEC / 10;
        limiter_wait(&l, now);
        double want = fmin(0.4 * pow(t - k, 3) + 1000, 2000);
        assert_true(near(limiter_limit(&l), want));
        assert_true(limiter_limit(&l) >= before);
        before = limiter_limit(&l);
    }
    assert_true(before > 1050); /* past it, in fifteen seconds */
}

static void test_replies_to_what_was_sent_before_a_throttle_say_nothing_new(void **state)
{
    struct limiter l = {0};

    (void)state;
    usec now = flow(&l, 100 * SEC, 1000, 5);
    for (int i = 0; i < 8; i++)
        limiter_throttled(&l, now + i, now - i);
    assert_true(near(limiter_limit(&l), 700));
    limiter_throttled(&l, now + 100, now + 50);
    assert_true(limiter_limit(&l) < 600);
}

static void test_a_throttle_in_the_first_half_second_counts_what_passed(void **state)
{
    struct limiter l = {0};
    usec now = 100 * SEC;

    (void)state;
    limiter_spend(&l, now, 400);
    limiter_replied(&l, now + 1000,
                    &(struct limiter_reply){.sent_at = now, .taken = 400, .passed = 400});
    limiter_throttled(&l, now + SEC / 10, now);
    assert_true(near(limiter_limit(&l), 0.7 * 0.8 * 4000));
}

static void test_nothing_taken_leaves_the_lowest_limit(void **state)
{
    struct limiter l = {0};
    usec now = 100 * SEC;

    (void)state;
    limiter_spend(&l, now, 25);
    limiter_throttled(&l, now + 1000, now);
    assert_true(limiter_limit(&l) == 0.5);
    limiter_wait(&l, now + 50 * SEC);
    assert_true(limiter_limit(&l) == 0.5); /* twice nothing is nothing */
}

static void test_it_is_off_again_after_a_minute_without_a_throttle(void **state)
{
    struct limiter l = {0};

    (void)state;
    usec now = flow(&l, 100 * SEC, 1000, 5), start = now;
    limiter_throttled(&l, now, now);
    now = flow(&l, now, 100, 59);
    assert_true(limiter_limit(&l) > 0);
    flow(&l, now, 100, 2);
    assert_true(limiter_limit(&l) == 0 && limiter_wait(&l, start + 62 * SEC) == 0);
}

/* A hundred units at once, half a minute apart. */
static usec bursts(struct limiter *l, usec now, int n)
{
    for (int i = 0; i < n; i++, now += 30 * SEC) {
        struct limiter_reply r = {.sent_at = now, .taken = 100, .passed = 100};
        limiter_spend(l, now, 100);
        limiter_replied(l, now + SEC / 10, &r);
    }
    return now;
}

static void test_pauses_are_no_slowness(void **state)
{
    struct limiter l = {0};

    (void)state;
    usec now = bursts(&l, 100 * SEC, 10);
    assert_true(l.measured > 60);
    limiter_spend(&l, now, 1);
    limiter_throttled(&l, now, now);
    bursts(&l, now, 2);                                     /* longer and the limiter is off */
    assert_true(limiter_limit(&l) > 30 && l.measured > 20); /* 100 in 30 seconds are 3 */
}

static void test_time_spent_on_a_debt_is_measured(void **state)
{
    struct limiter l = {0};
    usec now = flow(&l, 100 * SEC, 10, 5), start;
    double sent = 0;

    (void)state;
    limiter_throttled(&l, now, now);
    for (start = now; now < start + 59 * SEC;) {
        usec t = limiter_wait(&l, now);
        if (t) {
            assert_true(t > now && t <= now + SEC / 2);
            now = t;
            continue;
        }
        limiter_spend(&l, now, 400);
        sent += 400;
        limiter_replied(&l, now + 1000,
                        &(struct limiter_reply){.sent_at = now, .taken = 400, .passed = 400});
        assert_true(limiter_limit(&l) <= fmax(0.5, 2 * l.measured) * 1.000001);
        limiter_throttled(&l, now + 2000, now); /* so that it does not grow */
    }
    /* Writes of 400 units through a limit of a few units a second: they go, and not much faster. */
    assert_in_range(sent, 800, 6000);
}

/* --- unprocessed ------------------------------------------------------------------------------ */

static usec flow_with_left(struct limiter *l, usec now, double share, int seconds)
{
    for (int i = 0; i < seconds * 10; i++) {
        struct limiter_reply r = {
            .sent_at = now, .taken = 100 * (1 - share), .passed = 100 * (1 - share)};
        r.left = 100 * share;
        limiter_spend(l, now, 100);
        now += SEC / 10;
        limiter_replied(l, now, &r);
    }
    return now;
}

static void test_a_few_unprocessed_writes_do_not_slow_the_table(void **state)
{
    struct limiter l = {0};

    (void)state;
    usec now = flow(&l, 100 * SEC, 1000, 5);
    flow_with_left(&l, now, 0.04, 60);
    assert_true(limiter_limit(&l) == 0);
}

static void test_the_limit_falls_by_the_share_left_unprocessed(void **state)
{
    struct limiter l = {0};

    (void)state;
    usec now = flow(&l, 100 * SEC, 1000, 5), end = now;
    while (limiter_limit(&l) == 0 && end < now + 10 * SEC)
        end = flow_with_left(&l, end, 0.5, 1);
    double limit = limiter_limit(&l);
    assert_true(limit > 0 && limit <= 1000);
    assert_true(near(l.top, l.measured) || l.top < l.measured);
    assert_true(l.growth < cbrt(l.top * 0.3 / 0.4));
}

static void test_one_write_left_alone_is_no_sign(void **state)
{
    struct limiter l = {0};
    usec now = 100 * SEC;

    (void)state;
    for (int i = 0; i < 20; i++) {
        limiter_spend(&l, now, 1);
        now += SEC;
        limiter_replied(&l, now, &(struct limiter_reply){.sent_at = now - SEC, .left = 1});
        assert_true(limiter_limit(&l) == 0);
    }
}

/* --- the bucket ------------------------------------------------------------------------------- */

static void test_what_was_told_beyond_the_estimate_is_a_debt(void **state)
{
    struct limiter l = {0};

    (void)state;
    usec now = flow(&l, 100 * SEC, 1000, 5);
    limiter_throttled(&l, now, now);
    now += 10 * SEC;
    assert_true(limiter_wait(&l, now) == 0);
    limiter_spend(&l, now, 10);
    limiter_replied(&l, now, &(struct limiter_reply){.sent_at = now, .taken = 10, .extra = 2000});
    assert_true(limiter_wait(&l, now) > now);
    assert_false(limiter_more(&l));
}

static void test_no_more_than_a_second_is_kept(void **state)
{
    struct limiter l = {0};

    (void)state;
    usec now = flow(&l, 100 * SEC, 100, 5);
    limiter_throttled(&l, now, now);
    now += 40 * SEC;
    double sent = 0;
    while (limiter_wait(&l, now) == 0) {
        limiter_spend(&l, now, 1);
        sent++;
    }
    assert_true(sent <= limiter_limit(&l) + 1);
    assert_true(sent >= limiter_limit(&l) * 0.9);
}

static void test_requests_are_not_cut_into_single_writes(void **state)
{
    static const double rates[] = {1, 20, 100, 400, 1000, 40000};

    (void)state;
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        struct bucket b = {.at = 100 * SEC};
        usec now = b.at, t;
        double sent = 0;
        int requests = 0;
        while (now < 110 * SEC) {
            bucket_fill(&b, now, rates[i], fmax(1, rates[i]));
            if ((t = bucket_wait(&b, now, rates[i])) != 0) {
                assert_true(t > now);
                now = t;
                continue;
            }
            for (int k = 0; k < 25 && b.tokens > 0; k++, sent++)
                b.tokens--;
            requests++;
        }
        assert_true(fabs(sent - 10 * rates[i]) <= 0.01 * 10 * rates[i] + 26);
        assert_true(requests <= 201 || sent / requests >= 24);
    }
}

/* --- whatever happens ------------------------------------------------------------------------- */

static void test_at_random_the_limit_stays_within_its_bounds(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        struct rng rng = {seed};
        struct limiter l = {0};
        usec now = 100 * SEC;
        for (int i = 0; i < 300; i++) {
            double units = (double)rng_upto(&rng, 800);
            usec sent_at = now;
            now += (usec)rng_upto(&rng, rng_upto(&rng, 9) ? SEC / 5 : 20 * SEC);
            limiter_wait(&l, now);
            double before = limiter_limit(&l);
            switch (rng_upto(&rng, 3)) {
            case 0:
                limiter_spend(&l, now, units);
                break;
            case 1:
                limiter_throttled(&l, now, sent_at);
                if (before > 0 && limiter_limit(&l) > fmax(0.5, before))
                    fail_msg("seed %llu: a throttle raised the limit", (unsigned long long)seed);
                break;
            default:
                limiter_replied(&l, now,
                                &(struct limiter_reply){.sent_at = sent_at,
                                                        .taken = units,
                                                        .extra = units / 10,
                                                        .passed = units / 2,
                                                        .left = units / 2});
                break;
            }
            double limit = limiter_limit(&l), most = fmax(0.5, 2 * l.measured) * 1.000001;
            usec t = limiter_wait(&l, now);
            bool sane = limit == 0 || (limit >= 0.5 && isfinite(limit));
            bool asked = t == 0 || (t > now && t <= now + SEC / 2);
            /* The bound holds when the limit is made; what is measured may fall until the next. */
            limit = limiter_limit(&l);
            if (!sane || !asked || limit > most || !isfinite(l.bucket.tokens))
                fail_msg("seed %llu, step %d: limit %g, measured %g", (unsigned long long)seed, i,
                         limit, l.measured);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_is_off_until_the_first_throttle),
        cmocka_unit_test(test_a_throttle_goes_by_what_was_taken_not_by_the_limit),
        cmocka_unit_test(test_the_curve_comes_back_to_where_it_was_and_goes_on),
        cmocka_unit_test(test_replies_to_what_was_sent_before_a_throttle_say_nothing_new),
        cmocka_unit_test(test_a_throttle_in_the_first_half_second_counts_what_passed),
        cmocka_unit_test(test_nothing_taken_leaves_the_lowest_limit),
        cmocka_unit_test(test_it_is_off_again_after_a_minute_without_a_throttle),
        cmocka_unit_test(test_pauses_are_no_slowness),
        cmocka_unit_test(test_time_spent_on_a_debt_is_measured),
        cmocka_unit_test(test_a_few_unprocessed_writes_do_not_slow_the_table),
        cmocka_unit_test(test_the_limit_falls_by_the_share_left_unprocessed),
        cmocka_unit_test(test_one_write_left_alone_is_no_sign),
        cmocka_unit_test(test_what_was_told_beyond_the_estimate_is_a_debt),
        cmocka_unit_test(test_no_more_than_a_second_is_kept),
        cmocka_unit_test(test_requests_are_not_cut_into_single_writes),
        cmocka_unit_test(test_at_random_the_limit_stays_within_its_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
