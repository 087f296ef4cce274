/* Flow control over time: the engine against a service with capacity, hot keys and outages, in
 * virtual time. Keys that begin with 'h' lie in one partition of their table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "engine_fixture.h"

enum { TABLES = 3, MAX_SECONDS = 400, TENTHS = MAX_SECONDS * 10, FLIGHTS = 64 };

struct table {
    double capacity; /* write units a second, 0: any number */
    double tokens;
    usec at;
};

struct service {
    struct world w;
    struct rng rng;
    usec start, latency;
    struct table tables[TABLES], hot;
    double told;           /* units consumed for each that was estimated; 0: nothing is told */
    enum reply_class down; /* what every request ends with; REPLY_OK: it works */
    usec down_latency;
    struct {
        uint64_t id;
        usec due;
        enum reply_class down;
    } flights[FLIGHTS];
    size_t flight_count, most_flights;
    uint64_t made, tried, passed, left, throttled, steps;
    double units[TABLES][TENTHS]; /* consumed, by tenths of a second */
    uint64_t writes[TABLES], hot_writes;
};

static void service_make(struct service *s, uint32_t targets, void (*tweak)(struct engine_config *))
{
    *s = (struct service){.rng = {7}, .latency = 20 * MS, .told = 1};
    world_make(&s->w, targets, tweak);
    s->start = s->w.now;
}

static void service_free(struct service *s)
{
    world_free(&s->w);
}

#define _cleanup_service_ _cleanup_(service_free)

/* --- what the service does -------------------------------------------------------------------- */

static bool passes(struct table *t, usec now, double units)
{
    if (t->capacity <= 0)
        return true;
    t->tokens += t->capacity * (double)(now - t->at) / 1e6;
    t->at = now;
    if (t->tokens > t->capacity)
        t->tokens = t->capacity;
    if (t->tokens <= 0)
        return false;
    t->tokens -= units;
    return true;
}

static const struct request *request_of(const struct service *s, uint64_t id)
{
    for (size_t i = 0; i < s->w.flying_count; i++)
        if (s->w.flying[i]->id == id)
            return s->w.flying[i];
    fail_msg("request %llu is not in flight", (unsigned long long)id);
    return NULL;
}

static void serve(struct service *s, uint64_t id)
{
    const struct request *r = request_of(s, id);
    struct reply reply = {.class = REPLY_OK};
    bool hot_only = true;
    double units = 0;

    for (unsigned i = 0; i < r->count; i++) {
        const struct payload *p = r->writes[i];
        bool hot = p->key[0] == 'h';
        s->tried++;
        if ((hot && !passes(&s->hot, s->w.now, p->units)) ||
            !passes(&s->tables[p->target], s->w.now, p->units)) {
            reply.unprocessed |= UINT32_C(1) << i;
            hot_only &= hot;
            s->left++;
            continue;
        }
        units += p->units;
        s->passed++;
        s->writes[p->target]++;
        s->hot_writes += hot;
        size_t tenth = (size_t)((s->w.now - s->start) / (USEC_PER_SEC / 10));
        if (tenth < TENTHS)
            s->units[p->target][tenth] += p->units * (s->told > 0 ? s->told : 1);
    }
    reply.write_units = units * s->told;
    if (units == 0) {
        s->throttled++;
        reply = (struct reply){.class = REPLY_THROTTLED, .key_range = hot_only};
    }
    answer_as(&s->w, id, reply);
}

static void note_flights(struct service *s)
{
    for (size_t i = 0; i < s->w.flying_count; i++) {
        bool known = false;
        for (size_t k = 0; k < s->flight_count; k++)
            known |= s->flights[k].id == s->w.flying[i]->id;
        if (known)
            continue;
        assert_true(s->flight_count < FLIGHTS);
        s->flights[s->flight_count].id = s->w.flying[i]->id;
        s->flights[s->flight_count].down = s->down;
        s->flights[s->flight_count++].due =
            s->w.now + (s->down == REPLY_OK ? s->latency : s->down_latency);
    }
    if (s->flight_count > s->most_flights)
        s->most_flights = s->flight_count;
}

static usec next_due(const struct service *s, size_t *which)
{
    usec due = USEC_NEVER;

    for (size_t i = 0; i < s->flight_count; i++)
        if (s->flights[i].due < due) {
            due = s->flights[i].due;
            *which = i;
        }
    return due;
}

/* One thing happens: a reply, or the engine wakes; not past `end`. */
static void step(struct service *s, usec end)
{
    size_t which = 0;

    note_flights(s);
    usec due = next_due(s, &which), wake = engine_deadline(s->w.engine);
    usec t = due < wake ? due : wake;
    s->steps++;
    if (t > end) {
        s->w.now = end;
        return;
    }
    if (t > s->w.now)
        s->w.now = t;
    if (due <= wake) {
        uint64_t id = s->flights[which].id;
        enum reply_class down = s->flights[which].down;
        s->flights[which] = s->flights[--s->flight_count];
        if (down != REPLY_OK)
            answer(&s->w, id, down);
        else
            serve(s, id);
    } else {
        tick(&s->w);
    }
    forget_log(&s->w);
    note_flights(s);
}

/* --- what the source does --------------------------------------------------------------------- */

static void add(struct service *s, uint32_t target, char kind, uint32_t units)
{
    char key[32];

    snprintf(key, sizeof key, "%c%llu", kind, (unsigned long long)++s->made);
    offer_as(&s->w, (struct offered){.key = key, .version = 1, .target = target, .units = units});
}

/* Never out of work for `seconds`: `more` writes are offered whenever fewer are pending. */
static void busy(struct service *s, int seconds, size_t more, void (*make)(struct service *))
{
    usec end = s->w.now + seconds * USEC_PER_SEC;

    while (s->w.now < end) {
        if (stats(&s->w).items < more) {
            while (stats(&s->w).items < 2 * more)
                make(s);
            tick(&s->w);
        }
        step(s, end);
    }
}

static void idle(struct service *s, int seconds)
{
    usec end = s->w.now + seconds * USEC_PER_SEC;

    while (s->w.now < end)
        step(s, end);
}

static void drain(struct service *s, int seconds)
{
    usec end = s->w.now + seconds * USEC_PER_SEC;

    while (stats(&s->w).items && s->w.now < end)
        step(s, end);
    is_empty(&s->w);
}

static double units_between(const struct service *s, uint32_t target, int from, int to)
{
    double sum = 0;

    for (int i = from * 10; i < to * 10; i++)
        sum += s->units[target][i];
    return sum;
}

/* The most and least in any ten seconds. */
static void windows(const struct service *s, int from, int to, double *least, double *most)
{
    *least = 1e18;
    *most = 0;
    for (int i = from * 10; i + 100 <= to * 10; i++) {
        double sum = 0;
        for (int k = i; k < i + 100; k++)
            for (int t = 0; t < TABLES; t++)
                sum += s->units[t][k];
        *least = sum < *least ? sum : *least;
        *most = sum > *most ? sum : *most;
    }
}

static void tiny(struct service *s)
{
    add(s, 0, 'k', 1);
}

static void large(struct service *s)
{
    add(s, 0, 'k', 400);
}

static void of_all_sizes(struct service *s)
{
    uint64_t dice = rng_upto(&s->rng, 99);

    add(s, (uint32_t)rng_upto(&s->rng, 1), 'k',
        dice < 80 ? 1 + (uint32_t)rng_upto(&s->rng, 4)
                  : 1 + (uint32_t)rng_upto(&s->rng, dice < 98 ? 60 : 399));
}

/* --- the limit of a table --------------------------------------------------------------------- */

static void test_a_tables_capacity_is_found_and_used(void **state)
{
    static const double capacities[] = {20, 100, 1000, 4000};

    (void)state;
    for (size_t i = 0; i < sizeof capacities / sizeof *capacities; i++) {
        _cleanup_service_ struct service s;
        service_make(&s, 1, NULL);
        s.tables[0].capacity = capacities[i];
        busy(&s, 60, 400, tiny);
        uint64_t tried = s.tried, left = s.left;
        busy(&s, 120, 400, tiny);
        double used = units_between(&s, 0, 60, 180) / 120 / capacities[i];
        double wasted = (double)(s.left - left) / (double)(s.tried - tried);
        assert_true(used >= 0.8 && used <= 1.001);
        assert_true(wasted <= 0.2);
    }
}

static void test_a_capacity_that_falls_and_rises_is_followed(void **state)
{
    _cleanup_service_ struct service s;

    (void)state;
    service_make(&s, 1, NULL);
    s.tables[0].capacity = 2000;
    busy(&s, 60, 400, tiny);
    s.tables[0].capacity = 100;
    busy(&s, 60, 400, tiny);
    s.tables[0].capacity = 2000;
    busy(&s, 60, 400, tiny);
    assert_true(units_between(&s, 0, 80, 120) >= 0.75 * 40 * 100);
    assert_true(units_between(&s, 0, 150, 180) >= 0.75 * 30 * 2000);
}

static void test_writes_that_cost_more_than_the_limit_go(void **state)
{
    _cleanup_service_ struct service s;

    (void)state;
    service_make(&s, 1, NULL);
    s.tables[0].capacity = 50;
    for (int i = 0; i < 10; i++) {
        large(&s);
        for (int k = 0; k < 50; k++)
            tiny(&s);
    }
    tick(&s.w);
    drain(&s, 200); /* 4,500 units at 50 a second: 90 seconds at best */
    assert_true(s.w.now - s.start >= 80 * USEC_PER_SEC);
}

static void test_small_writes_among_large_ones_neither_starve_nor_burst(void **state)
{
    _cleanup_service_ struct service s;
    uint64_t before;

    (void)state;
    service_make(&s, 1, NULL);
    s.tables[0].capacity = 200;
    busy(&s, 30, 100, tiny);
    before = s.writes[0];
    for (int i = 0; i < 20; i++)
        large(&s);
    for (int i = 0; i < 400; i++)
        tiny(&s);
    tick(&s.w);
    idle(&s, 50);
    /* In their turn: all of 8,400 units in a little more than the 42 seconds that they need. */
    assert_true(s.writes[0] - before >= 420);
    for (int second = 30; second < 80; second++)
        assert_true(units_between(&s, 0, second, second + 1) <= 2 * 200 + 400);
}

static void two_tables(struct service *s)
{
    add(s, (uint32_t)(s->made % 2), 'k', 1);
}

static void the_other(struct service *s)
{
    if (engine_pending(s->w.engine, 0) < 100)
        add(s, 0, 'k', 1);
    add(s, 1, 'k', 1);
}

static void test_a_throttled_table_leaves_the_others_their_speed(void **state)
{
    _cleanup_service_ struct service alone, both;

    (void)state;
    service_make(&alone, 2, NULL);
    busy(&alone, 60, 400, two_tables);
    service_make(&both, 2, NULL);
    both.tables[0].capacity = 50;
    busy(&both, 60, 400, the_other);
    assert_true(both.writes[1] * 10 >= (alone.writes[0] + alone.writes[1]) * 8);
    assert_true(both.writes[0] >= 60 * 50 * 7 / 10);
    assert_true(engine_limit(both.w.engine, 1) == 0);
}

static void test_a_table_that_gives_nothing_does_not_stop_the_others(void **state)
{
    _cleanup_service_ struct service s;

    (void)state;
    service_make(&s, 2, NULL);
    s.tables[0].capacity = 1e-9;
    busy(&s, 300, 400, the_other);
    assert_true(s.writes[1] >= 300 * 1000);
    assert_true(s.throttled <= 100); /* twenty seconds apart at last */
}

/* --- hot keys --------------------------------------------------------------------------------- */

static void some_hot(struct service *s)
{
    add(s, 0, rng_upto(&s->rng, 24) == 0 && stats(&s->w).items < 600 ? 'h' : 'k', 1);
}

static void test_hot_keys_wait_alone(void **state)
{
    _cleanup_service_ struct service s;

    (void)state;
    service_make(&s, 1, NULL);
    s.hot.capacity = 20;
    s.tables[0].capacity = 1e9;
    busy(&s, 60, 400, some_hot);
    assert_true(s.hot_writes >= 60 * 20 * 7 / 10); /* what their partition takes */
    assert_true(s.writes[0] - s.hot_writes >= 60 * 1000);
    assert_true(s.left > 0 && s.throttled > 0); /* both ways to refuse them were met */
    assert_true(engine_limit(s.w.engine, 0) == 0);
}

static void test_throttled_key_ranges_let_the_table_go_on(void **state)
{
    _cleanup_world_ struct world w;

    (void)state;
    world_make(&w, 1, NULL);
    offer(&w, "h", 1);
    offer(&w, "i", 1);
    tick(&w);
    offer(&w, "a", 1);
    answer_as(&w, 1, (struct reply){.class = REPLY_THROTTLED, .key_range = true});
    did(&w, "send#1[h1 i1] retry send#2[a1]"); /* at once */
    assert_true(w.delay > 0 && w.delay <= USEC_PER_SEC);
    assert_true(engine_limit(w.engine, 0) == 0);
    answer(&w, 2, REPLY_OK);
    while (stats(&w).items) {
        while (w.flying_count)
            answer(&w, w.flying[0]->id, REPLY_OK);
        if (stats(&w).items)
            wait_deadline(&w);
    }
    is_empty(&w);
    assert_true(w.now > 1000 * USEC_PER_SEC);
}

/* --- the cap over all tables ------------------------------------------------------------------ */

static void capped(struct engine_config *c)
{
    c->write_units_per_second = 1000;
    c->max_in_flight = 8;
}

/* `granule`: what one write may cost more than was known when it was sent. */
static void hold_the_cap(struct service *s, void (*make)(struct service *), double granule)
{
    double least, most;

    busy(s, 60, 400, make);
    windows(s, 2, 60, &least, &most);
    assert_true(most <= 1.05 * 10000 + granule);
    assert_true(least >= 0.95 * 10000 - granule);
}

static void test_the_cap_holds_in_any_ten_seconds(void **state)
{
    static void (*const makes[])(struct service *) = {tiny, large, of_all_sizes, two_tables};
    static const usec latencies[] = {MS, 20 * MS, 150 * MS};

    (void)state;
    for (size_t m = 0; m < sizeof makes / sizeof *makes; m++)
        for (size_t i = 0; i < sizeof latencies / sizeof *latencies; i++) {
            _cleanup_service_ struct service s;
            service_make(&s, 2, capped);
            s.latency = latencies[i];
            hold_the_cap(&s, makes[m], 0);
        }
}

static void test_the_cap_is_on_what_the_service_counts(void **state)
{
    static const double told[] = {0, 2, 5};

    (void)state;
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        _cleanup_service_ struct service s;
        service_make(&s, 2, capped);
        s.told = told[i];
        hold_the_cap(&s, of_all_sizes, told[i] > 1 ? 400 * (told[i] - 1) : 0);
    }
}

static void test_the_cap_holds_after_idleness(void **state)
{
    _cleanup_service_ struct service s;
    double least, most;

    (void)state;
    service_make(&s, 2, capped);
    for (int i = 0; i < 5; i++) {
        idle(&s, 30);
        busy(&s, 15, 400, tiny);
        drain(&s, 5);
    }
    windows(&s, 0, 250, &least, &most);
    assert_true(most <= 1.05 * 10000);
    for (int tenth = 0; tenth < 2500; tenth++)
        assert_true(s.units[0][tenth] <= 1000);
}

static void test_a_cap_set_later_asks_for_no_debts(void **state)
{
    _cleanup_service_ struct service s;

    (void)state;
    service_make(&s, 1, NULL);
    busy(&s, 20, 400, tiny);
    capped(&s.w.config);
    engine_configure(s.w.engine, &s.w.config);
    busy(&s, 20, 400, tiny);
    assert_true(units_between(&s, 0, 21, 40) >= 0.95 * 19 * 1000);
}

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

/* Half of all fail, again and again: with the quota gone there is one request in flight, and what
 * it loses is nothing. */
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
        answer(&w, w.flying[0]->id, rng_upto(&rng, 9) ? REPLY_TRANSIENT : REPLY_THROTTLED);
    }
    unsigned successes = 0;
    while (stats(&w).retry_quota < 14) {
        while (!w.flying_count)
            wait_deadline(&w);
        assert_int_equal(w.flying_count, 1);
        answer(&w, w.flying[0]->id, REPLY_OK);
        successes++;
    }
    assert_in_range(successes, 1, 900 / 25); /* a retry earns nothing, and each is one but once */
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
        cmocka_unit_test(test_a_tables_capacity_is_found_and_used),
        cmocka_unit_test(test_a_capacity_that_falls_and_rises_is_followed),
        cmocka_unit_test(test_writes_that_cost_more_than_the_limit_go),
        cmocka_unit_test(test_small_writes_among_large_ones_neither_starve_nor_burst),
        cmocka_unit_test(test_a_throttled_table_leaves_the_others_their_speed),
        cmocka_unit_test(test_a_table_that_gives_nothing_does_not_stop_the_others),
        cmocka_unit_test(test_hot_keys_wait_alone),
        cmocka_unit_test(test_throttled_key_ranges_let_the_table_go_on),
        cmocka_unit_test(test_the_cap_holds_in_any_ten_seconds),
        cmocka_unit_test(test_the_cap_is_on_what_the_service_counts),
        cmocka_unit_test(test_the_cap_holds_after_idleness),
        cmocka_unit_test(test_a_cap_set_later_asks_for_no_debts),
        cmocka_unit_test(test_two_hours_without_network),
        cmocka_unit_test(test_a_service_that_comes_back_is_loaded_step_by_step),
        cmocka_unit_test(test_retries_take_from_the_quota_and_give_back),
        cmocka_unit_test(test_a_drained_quota_slows_and_drops_nothing),
        cmocka_unit_test(test_without_quota_throttled_tables_are_tried_one_at_a_time),
        cmocka_unit_test(test_the_wait_that_the_service_asks_for_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
