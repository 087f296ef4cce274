/* The mirror in a simulated world: whatever the application, the service and the machine do, once
 * they stop doing it DynamoDB holds what the database holds. Each seed is a run of its own.
 *
 *     SIM_SEED=7           one seed, with a trace on stderr
 *     SIM_SEEDS=1-100000   all of these, naming each that fails */
#include "../sim/run.c"
#include "sim_world.h"

enum { SEEDS = 60, REPLAYED = 20 };
static const struct sim_limits all;

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
        sim_run(seed, one != NULL, &all, failure, NULL);
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
        assert_int_equal(sim_run(seed, false, &all, failure, NULL),
                         sim_run(seed, false, &all, failure, NULL));
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
    w->journal_mode = "DELETE";
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
    sim_source_synced(w, true);
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

    /* One thread, and nobody asks how much memory is used: it saves a fifth of the time. */
    sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 1200, 100);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
