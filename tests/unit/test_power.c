/* A power failure takes back what the application has committed and nobody has synced: nothing that
 * was read of it may have been told by then, in a simulated world. */
#include "sim_world.h"

enum { TRIES = 16 };

static bool commits_are_not_durable(const struct world *w)
{
    return strcmp(w->synchronous, "NORMAL") == 0;
}

static void retry(struct world *w)
{
    assert_true(mirror_dead_letters_retry(w->mirror, w->now, 0) > 0);
}

static void pause_sending(struct world *w)
{
    sim_pause(w, true);
}

/* An order that is noted in the state file at once; a new dead letter may be among what it notes.
 */
static void try_order(void (*order)(struct world *w))
{
    for (unsigned tries = 0; tries < TRIES; tries++) {
        struct world *w = world_that(commits_are_not_durable, "");
        struct mirror_view before, v;
        unsigned turns = 0;

        mirror_view(w->mirror, w->now, &before);
        w->rng.state = tries * UINT64_C(0x9e3779b97f4a7c15); /* of the disk, too */
        app_run(w, "INSERT INTO people(id,v) VALUES(77,9e999)");
        do {
            sim_turn(w);
            mirror_view(w->mirror, w->now, &v);
            assert_true(++turns < 1000);
        } while (v.dead_letters == before.dead_letters);
        assert_true(w->source_syncing);
        order(w);
        sim_power_failure(w);
        assert_true(sim_start(w));
        sim_settle(w);
        oracle_compare(w, "after a power failure");
        assert_string_equal(w->failure, "");
        world_free(w);
    }
}

static void a_retry_keeps_no_dead_letter_of_a_row_that_was_taken_back(void **state)
{
    (void)state;
    try_order(retry);
}

static void a_pause_keeps_no_dead_letter_of_a_row_that_was_taken_back(void **state)
{
    (void)state;
    try_order(pause_sending);
}

static bool rolls_back(const struct world *w)
{
    return strcmp(w->journal_mode, "WAL") != 0;
}

/* The application goes over to WAL mode while the mirror is connected, which it looks for once a
 * second: what is read until then is in a -wal, too. The oracle knows whether a write that is sent
 * may be taken back. */
static void a_change_to_wal_mode_is_synced_at_once(void **state)
{
    struct world *w = world_that(rolls_back, "");
    unsigned turns = 0;

    (void)state;
    app_run(w, "INSERT INTO people(id,name) VALUES(77,'before')");
    settled(w);
    assert_non_null(w->mirror->source);
    w->tick_due = w->now + USEC_PER_SEC;
    app_run(w, "PRAGMA journal_mode=WAL");
    app_run(w, "PRAGMA synchronous=NORMAL");
    w->journal_mode = "WAL";
    w->synchronous = "NORMAL";
    app_run(w, "INSERT INTO people(id,name) VALUES(78,'after')");
    uint64_t requests = w->requests;
    while (w->requests == requests && !w->failure[0]) {
        w->pumping = true;
        sim_turn(w);
        assert_true(++turns < 1000);
    }
    assert_string_equal(w->failure, "");
    at_rest_again(w);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_to_wal_mode_is_synced_at_once),
        cmocka_unit_test(a_retry_keeps_no_dead_letter_of_a_row_that_was_taken_back),
        cmocka_unit_test(a_pause_keeps_no_dead_letter_of_a_row_that_was_taken_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
