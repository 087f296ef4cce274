/* A power failure takes back what the application has committed and nobody has synced: nothing that
 * was read of it may have been told by then, in a simulated world. */
#include "sim_world.h"

enum { TRIES = 8 };

/* At rest; its commits are not durable by themselves. */
static struct world *world_at_rest(void)
{
    for (uint64_t seed = 1;; seed++) {
        struct world *w = world_new(seed, false);
        assert_non_null(w);
        assert_true(world_build(w));
        if (strcmp(w->synchronous, "NORMAL") != 0) {
            world_free(w);
            continue;
        }
        assert_true(sim_start(w));
        sim_settle(w);
        assert_string_equal(w->failure, "");
        return w;
    }
}

/* Trying dead letters again is noted in the state file at once, and a new one may be among them. */
static void a_dead_letter_of_a_row_that_was_taken_back_is_not_kept(void **state)
{
    (void)state;
    for (unsigned tries = 0; tries < TRIES; tries++) {
        struct world *w = world_at_rest();
        struct mirror_view before, v;
        mirror_view(w->mirror, w->now, &before);
        app_run(w, "INSERT INTO people(id,v) VALUES(77,9e999)");
        unsigned turns = 0;
        do {
            sim_turn(w);
            mirror_view(w->mirror, w->now, &v);
            assert_true(++turns < 1000);
        } while (v.dead_letters == before.dead_letters);
        assert_true(w->source_syncing);
        assert_true(mirror_dead_letters_retry(w->mirror, w->now, 0) > 0);
        w->rng.state = tries;
        sim_power_failure(w);
        assert_true(sim_start(w));
        sim_settle(w);
        oracle_compare(w, "after a power failure");
        assert_string_equal(w->failure, "");
        world_free(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dead_letter_of_a_row_that_was_taken_back_is_not_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
