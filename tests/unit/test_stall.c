/* What counts as standing still, and when a canary is late: the decisions alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* The tests link the common library only. */
#include "stall.c"

#define S USEC_PER_SEC

static usec longest(struct stall_watch *w, const struct mirror_motion m[MOTION_COUNT], usec now)
{
    enum mirror_motion_kind which;

    stall_look(w, m, false, now);
    return stall_longest(w, now, &which);
}

static void what_need_not_move_does_not_stall(void **state)
{
    struct mirror_motion m[MOTION_COUNT] = {0};
    struct stall_watch w = {0};

    (void)state;
    for (usec now = S; now < 1000 * S; now += S)
        assert_int_equal(longest(&w, m, now), 0);
}

static void each_kind_stalls_by_itself_and_is_named(void **state)
{
    (void)state;
    for (int kind = 0; kind < MOTION_COUNT; kind++) {
        struct mirror_motion m[MOTION_COUNT] = {0};
        struct stall_watch w = {0};
        enum mirror_motion_kind which = MOTION_COUNT;

        m[kind].wanted = true;
        m[kind].count = 7;
        for (usec now = S; now <= 60 * S; now += S) {
            /* The others move all the while. */
            for (int other = 0; other < MOTION_COUNT; other++)
                if (other != kind)
                    m[other] = (struct mirror_motion){true, (uint64_t)now};
            stall_look(&w, m, false, now);
        }
        assert_int_equal(stall_longest(&w, 60 * S, &which), 59 * S);
        assert_int_equal(which, kind);
        assert_true(stall_words(which)[0] != '\0');
        m[kind].count++;
        stall_look(&w, m, false, 61 * S);
        assert_int_equal(w.since[kind], 61 * S);
    }
}

static void what_moves_does_not_stall(void **state)
{
    struct mirror_motion m[MOTION_COUNT] = {[MOTION_SEND] = {true, 1}};
    struct stall_watch w = {0};

    (void)state;
    for (usec now = S; now < 1000 * S; now += S) {
        if (now / S % 10 == 0)
            m[MOTION_SEND].count++;
        assert_true(longest(&w, m, now) < 10 * S);
    }
}

static void time_begins_anew_with_work_and_after_an_excuse(void **state)
{
    struct mirror_motion m[MOTION_COUNT] = {[MOTION_READ] = {true, 5}};
    struct stall_watch w = {0};

    (void)state;
    assert_int_equal(longest(&w, m, 10 * S), 0);
    assert_int_equal(longest(&w, m, 40 * S), 30 * S);
    stall_look(&w, m, true, 41 * S);
    assert_int_equal(longest(&w, m, 42 * S), 0);
    assert_int_equal(longest(&w, m, 50 * S), 8 * S);
    m[MOTION_READ].wanted = false;
    assert_int_equal(longest(&w, m, 51 * S), 0);
    m[MOTION_READ].wanted = true;
    assert_int_equal(longest(&w, m, 100 * S), 0);
}

static void the_limit_leaves_a_quarter_of_a_minute(void **state)
{
    (void)state;
    assert_int_equal(stall_limit(60 * S), 45 * S);
    assert_int_equal(stall_limit(30 * 60 * S), 45 * S);
    assert_int_equal(stall_limit(4 * S), 3 * S);
}

static void a_canary_is_late_past_its_limit(void **state)
{
    struct canary_facts f = {.limit = 60 * S, .lag_warning = 60 * S, .lag_critical = 600 * S};

    (void)state;
    f.age = 60 * S;
    assert_int_equal(canary_judge(&f), CANARY_WELL);
    f.age = 61 * S;
    assert_int_equal(canary_judge(&f), CANARY_LATE);
}

static void one_in_a_backlog_that_drains_is_as_late_as_the_lag(void **state)
{
    struct canary_facts f = {
        .limit = 60 * S, .queued = true, .lag_warning = 120 * S, .lag_critical = 600 * S};

    (void)state;
    f.age = 120 * S;
    assert_int_equal(canary_judge(&f), CANARY_WELL);
    f.age = 121 * S;
    assert_int_equal(canary_judge(&f), CANARY_SLOW);
    f.age = 601 * S;
    assert_int_equal(canary_judge(&f), CANARY_LATE);
    /* A backlog that does not drain is no excuse. */
    f.age = 61 * S;
    f.still = 30 * S;
    assert_int_equal(canary_judge(&f), CANARY_WELL);
    f.still = 31 * S;
    assert_int_equal(canary_judge(&f), CANARY_LATE);
    /* Nor may a lag limit below the canary's make it late sooner. */
    f = (struct canary_facts){.age = 50 * S,
                              .limit = 60 * S,
                              .queued = true,
                              .lag_warning = 10 * S,
                              .lag_critical = 20 * S};
    assert_int_equal(canary_judge(&f), CANARY_WELL);
}

/* However a stall and the canary's rhythm meet: a beat every third, read back at once while all is
 * well, and none after the stall. */
static void a_stall_is_known_within_the_limit(void **state)
{
    const usec limit = 60 * S;

    (void)state;
    for (usec stall = 100 * S; stall < 130 * S; stall += S) {
        usec beat = stall - stall % (limit / 3); /* the last one that can come back */
        struct canary_facts f = {.limit = limit, .lag_warning = limit, .lag_critical = limit};
        f.age = stall + limit + S - beat;
        assert_int_equal(canary_judge(&f), CANARY_LATE);
        /* And one beat that is lost is no alarm. */
        f.age = 2 * limit / 3;
        assert_int_equal(canary_judge(&f), CANARY_WELL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_need_not_move_does_not_stall),
        cmocka_unit_test(each_kind_stalls_by_itself_and_is_named),
        cmocka_unit_test(what_moves_does_not_stall),
        cmocka_unit_test(time_begins_anew_with_work_and_after_an_excuse),
        cmocka_unit_test(the_limit_leaves_a_quarter_of_a_minute),
        cmocka_unit_test(a_canary_is_late_past_its_limit),
        cmocka_unit_test(one_in_a_backlog_that_drains_is_as_late_as_the_lag),
        cmocka_unit_test(a_stall_is_known_within_the_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
