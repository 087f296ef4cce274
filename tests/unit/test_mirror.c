/* The mirror in a simulated world: whatever the application, the service and the machine do, once
 * they stop doing it DynamoDB holds what the database holds. Each seed is a run of its own.
 *
 *     SIM_SEED=7           one seed, with a trace on stderr
 *     SIM_SEEDS=1-100000   all of these, naming each that fails */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../sim/application.c"
#include "../sim/oracle.c"
#include "../sim/service.c"
#include "../sim/world.c"

enum { SEEDS = 300, REPLAYED = 20 };

/* --- a run ------------------------------------------------------------------------------------ */

static unsigned trouble(struct world *w, unsigned most)
{
    return sim_chance(w, 400) ? sim_pick(w, most + 1) : 0;
}

static void choose_faults(struct world *w)
{
    w->faults = (struct sim_faults){
        .unprocessed = trouble(w, 500),
        .throttled = trouble(w, 300),
        .transient = trouble(w, 300),
        .not_sent = trouble(w, 300),
        .ambiguous = trouble(w, 300),
        .expired = trouble(w, 100),
        .other = trouble(w, 50),
        .table_lost = trouble(w, 100),
        .table_denied = trouble(w, 200),
        .poison = trouble(w, 200),
        .unmapped = trouble(w, 100),
        .schema = trouble(w, 150),
        .triggers_dropped = trouble(w, 150),
        .journal_emptied = trouble(w, 150),
        .crash = trouble(w, 30),
        .restart = trouble(w, 30),
        .resync = trouble(w, 30),
        .pause = trouble(w, 30),
        .retry_letters = trouble(w, 30),
        .sync_failed = trouble(w, 200),
        .state_unwritable = trouble(w, 30),
    };
    /* Where the journal's entries are gone, only a comparison with DynamoDB itself finds what a
     * dead process had in flight. */
    if (w->faults.crash || w->faults.restart)
        w->faults.journal_emptied = 0;
    w->slow = sim_chance(w, 500) ? 0 : sim_chance(w, 500) ? 500 : 15000;
}

static void resync(struct world *w)
{
    struct mirror_table_view v;
    struct err err = {0};
    size_t n = mirror_table_count(w->mirror);

    if (!n)
        return;
    mirror_table(w->mirror, sim_pick(w, (unsigned)n), &v);
    bool full = sim_chance(w, 500);
    int rc = mirror_resync(w->mirror, sim_chance(w, 300) ? NULL : v.name, full, &err);
    sim_trace(w, "resync %s, full %d: %d", v.name, full, rc);
    w->pumping = true;
}

/* Rare things; true when one was done. */
static bool disturb(struct world *w)
{
    const struct sim_faults *f = &w->faults;

    if (sim_chance(w, f->crash)) {
        sim_crash(w);
        sim_start(w);
    } else if (sim_chance(w, f->restart)) {
        sim_stop(w);
        sim_start(w);
    } else if (sim_chance(w, f->resync)) {
        resync(w);
    } else if (sim_chance(w, w->paused ? 100 : f->pause)) {
        sim_pause(w, !w->paused);
    } else if (sim_chance(w, w->state_unwritable ? 100 : f->state_unwritable)) {
        sim_state_unwritable(w, !w->state_unwritable);
    } else if (sim_chance(w, f->retry_letters)) {
        sim_trace(w, "retry: %d", mirror_dead_letters_retry(w->mirror, w->now, 0));
        w->pumping = true;
    } else {
        return false;
    }
    return true;
}

static void pass_time(struct world *w)
{
    unsigned dice = sim_pick(w, 1000);

    if (dice < 600)
        w->now += sim_pick(w, 3000);
    else if (dice < 900)
        w->now += sim_pick(w, 200) * USEC_PER_MSEC;
    else if (dice < 995)
        w->now += sim_pick(w, 5000) * USEC_PER_MSEC;
    else if (dice < 999)
        w->now += 61 * USEC_PER_SEC;
    else
        w->now += sim_pick(w, 20 * 60) * USEC_PER_SEC;
}

static void step(struct world *w)
{
    service_late(w);
    if (disturb(w) || !w->mirror)
        return;
    switch (sim_pick(w, 14)) {
    case 0:
    case 1:
    case 2:
        application_step(w);
        break;
    case 3:
    case 4:
        service_answer(w, false);
        break;
    case 5:
        sim_work(w);
        break;
    case 6:
        mirror_timer(w->mirror, w->now);
        break;
    case 7:
        if (w->syncing)
            sim_flushed(w, !sim_chance(w, w->faults.sync_failed));
        else
            sim_flush(w);
        break;
    case 8:
        sim_ack(w, sim_chance(w, 500));
        break;
    case 9:
        service_trouble(w);
        break;
    case 10:
        oracle_converged(w);
        break;
    case 11:
        if (sim_chance(w, 100))
            sim_approve(w);
        break;
    case 12:
        sim_rest(w);
        break;
    default:
        sim_turn(w);
    }
    pass_time(w);
}

/* After a clean stop at rest nothing is left to be sent. */
static void check_clean_restart(struct world *w)
{
    sim_stop(w);
    uint64_t requests = w->requests;
    if (!sim_start(w))
        return;
    sim_settle(w);
    if (w->requests != requests)
        sim_fail(w, "a clean restart at rest sent %llu requests",
                 (unsigned long long)(w->requests - requests));
}

/* With nothing to do it lets go of the database, and misses nothing of what comes then. */
static void check_rest(struct world *w)
{
    unsigned rounds = 1 + sim_pick(w, 3);

    for (unsigned i = 0; i < rounds && !w->failure[0]; i++) {
        usec until = w->now + 60 * USEC_PER_SEC;
        while (!mirror_resting(w->mirror) && w->now < until)
            sim_turn(w);
        if (!mirror_resting(w->mirror))
            sim_fail(w, "the database is not let go of");
        oracle_converged(w);
        for (unsigned n = 1 + sim_pick(w, 5); n > 0; n--) {
            application_step(w);
            if (sim_chance(w, 300))
                sim_turn(w);
        }
        if (sim_chance(w, 300))
            sim_rest(w);
        if (sim_chance(w, 200)) {
            sim_stop(w);
            sim_start(w);
        } else if (sim_chance(w, 200)) {
            resync(w);
        }
        oracle_converged(w);
        sim_settle(w);
        if (!w->failure[0])
            oracle_compare(w, "after a rest");
        if (!w->failure[0])
            service_check_late(w, "after a rest");
    }
}

static uint64_t run(uint64_t seed, bool tracing, char failure[1024])
{
    struct world *w = world_new(seed, tracing);

    if (!w) {
        snprintf(failure, 1024, "the world cannot be made");
        return 0;
    }
    choose_faults(w);
    if (!world_build(w))
        sim_fail(w, "the database cannot be made");
    else if (sim_start(w)) {
        for (unsigned steps = 50 + sim_pick(w, 400); w->step < steps && !w->failure[0]; w->step++)
            step(w);
        if (!w->failure[0])
            sim_settle(w);
        if (!w->failure[0])
            oracle_compare(w, "at rest");
        if (!w->failure[0])
            service_check_late(w, "at rest");
        if (!w->failure[0])
            check_clean_restart(w);
        if (!w->failure[0])
            check_rest(w);
    }
    snprintf(failure, 1024, "%s", w->failure);
    uint64_t hash = w->hash;
    world_free(w);
    return hash;
}

/* --- tests ------------------------------------------------------------------------------------ */

static void the_mirror_equals_the_database_at_rest(void **state)
{
    const char *one = getenv("SIM_SEED"), *range = getenv("SIM_SEEDS");
    unsigned long long from = 1, to = SEEDS;
    unsigned failures = 0;
    char failure[1024];

    (void)state;
    if (one)
        from = to = strtoull(one, NULL, 10);
    else if (range && sscanf(range, "%llu-%llu", &from, &to) != 2)
        fail_msg("SIM_SEEDS=%s is not FROM-TO", range);
    for (unsigned long long seed = from; seed <= to; seed++) {
        run(seed, one != NULL, failure);
        if (!failure[0])
            continue;
        fprintf(stderr, "SIM_SEED=%llu: %s\n", seed, failure);
        failures++;
    }
    if (failures)
        fail_msg("%u of %llu seeds failed", failures, to - from + 1);
}

static void a_seed_gives_the_same_trace_again(void **state)
{
    char failure[1024];

    (void)state;
    for (uint64_t seed = 1; seed <= REPLAYED; seed++)
        assert_int_equal(run(seed, false, failure), run(seed, false, failure));
}

static uint64_t changes_read(struct world *w)
{
    struct mirror_view v;

    mirror_view(w->mirror, w->now, &v);
    return v.changes;
}

/* A world at rest without troubles, whose application keeps a rollback journal. */
static struct world *rollback_world(void)
{
    struct world *w = world_new(1, false);

    assert_non_null(w);
    assert_true(world_build(w));
    app_run(w, "PRAGMA journal_mode=DELETE");
    app_run(w, "CREATE TABLE mine(id INTEGER PRIMARY KEY)");
    assert_true(sim_start(w));
    app_run(w, "INSERT INTO mine VALUES(0)"); /* the first one waits for the state file */
    sim_settle(w);
    assert_string_equal(w->failure, "");
    return w;
}

/* A reader would keep the writer from committing; of one that never pauses it takes its share. */
static void reading_gives_way_to_writers_in_rollback_mode(void **state)
{
    struct world *w = rollback_world();
    uint64_t before = changes_read(w);

    (void)state;
    app_run(w, "INSERT INTO mine VALUES(1)");
    app_run(w, "BEGIN IMMEDIATE");
    assert_int_equal(mirror_work(w->mirror, w->now), MIRROR_LATER);
    assert_true(mirror_changed(w->mirror));
    w->now += 499 * USEC_PER_MSEC;
    assert_int_equal(mirror_work(w->mirror, w->now), MIRROR_LATER);
    assert_int_equal(changes_read(w), before);
    w->now += 1 * USEC_PER_MSEC;
    assert_true(mirror_work(w->mirror, w->now) & MIRROR_FOUND);
    assert_int_equal(changes_read(w), before + 1);
    assert_int_equal(mirror_work(w->mirror, w->now), MIRROR_LATER);

    /* Between two transactions is no pause; a millisecond without a writer is one. */
    app_run(w, "INSERT INTO mine VALUES(2)");
    app_run(w, "COMMIT");
    assert_int_equal(mirror_work(w->mirror, w->now), MIRROR_LATER);
    w->now += 1 * USEC_PER_MSEC;
    assert_true(mirror_work(w->mirror, w->now) & MIRROR_FOUND);
    assert_int_equal(changes_read(w), before + 2);
    sim_settle(w);
    assert_string_equal(w->failure, "");
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_mirror_equals_the_database_at_rest),
        cmocka_unit_test(a_seed_gives_the_same_trace_again),
        cmocka_unit_test(reading_gives_way_to_writers_in_rollback_mode),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
