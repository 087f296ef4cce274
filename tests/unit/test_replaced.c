/* The database's file is another one when it is looked at again after a rest. */
#include "sim_world.h"

/* A world at rest; what its database was before anything was put in is there again. */
static struct world *world_put_back(void)
{
    struct world *w = world_new(1, false);
    sqlite3 *backup;

    assert_non_null(w);
    assert_true(world_build(w));
    assert_int_equal(sqlite3_open(":memory:", &backup), SQLITE_OK);
    copy_database(backup, w->app);
    assert_true(sim_start(w));
    at_rest_again(w);
    live_for(w, 20 * USEC_PER_SEC);
    assert_true(mirror_resting(w->mirror));
    copy_database(w->app, backup);
    sqlite3_close(backup);
    return w;
}

static void it_is_held(struct world *w)
{
    w->pumping = true;
    live_for(w, 5 * USEC_PER_SEC);
    assert_false(seen(w).uninstalled);
    assert_true(seen(w).held);
}

static void a_database_without_capture_is_held(void **state)
{
    struct world *w = world_put_back();

    (void)state;
    it_is_held(w);
    world_free(w);
}

/* It is attached to anew before a look at it. */
static void a_changed_limit_does_not_take_it_for_the_one_that_was_left(void **state)
{
    struct world *w = world_put_back();
    struct config c = *w->config;

    (void)state;
    c.journal_limit++;
    mirror_configure(w->mirror, &c);
    it_is_held(w);
    mirror_configure(w->mirror, w->config);
    world_free(w);
}

static void nor_does_a_look_at_what_a_configuration_touches(void **state)
{
    struct world *w = world_put_back();
    _cleanup_buf_ struct buf touched = {0};
    struct err err = {0};

    (void)state;
    assert_int_equal(mirror_remap_touches(w->mirror, w->config, &touched, &err), 0);
    it_is_held(w);
    world_free(w);
}

/* Its volume is away for a while. Nobody sends anything meanwhile, and so nobody is told that the
 * DynamoDB table is made anew. */
static void a_target_that_went_while_the_database_was_away_is_noticed(void **state)
{
    (void)state;
    for (int parked = 0; parked < 2; parked++) {
        struct world *w = world_of_people(3);
        const uint32_t people = target_named(w, "people");
        struct sim_table *t = service_table(w, "people");
        live_for(w, 20 * USEC_PER_SEC);
        struct entry_name *name = name_find(w->database);
        struct node *file = name->now;
        if (parked) {
            mirror_target_parked(w->mirror, w->now, people, "AccessDeniedException", "simulated");
            w->probes[people].due = w->now + 10 * USEC_PER_SEC;
        }
        name->now = NULL;
        w->pumping = true;
        live_for(w, 30 * USEC_PER_SEC);
        assert_int_equal(mirror_problem(w->mirror, &(const char *){NULL}), SOURCE_MISSING);
        assert_true(mirror_target(w->mirror, people)->open);
        service_clear(t);
        t->made++;
        t->marker.there = false;
        name->now = file;
        w->pumping = true;
        live_for(w, 200 * USEC_PER_SEC);
        oracle_converged(w);
        at_rest_again(w);
        world_free(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_database_without_capture_is_held),
        cmocka_unit_test(a_changed_limit_does_not_take_it_for_the_one_that_was_left),
        cmocka_unit_test(nor_does_a_look_at_what_a_configuration_touches),
        cmocka_unit_test(a_target_that_went_while_the_database_was_away_is_noticed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
