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
        w->mirror->barrier.worth = false;                    /* the sync begins when it was read */
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

/* Nor at a stop, when it cannot be synced any more. */
static void stop_unsynced(struct world *w)
{
    files.refusing = true;
    sim_source_synced(w, false);
    sim_stop(w);
    files.refusing = false;
}

static void a_stop_keeps_no_dead_letter_of_a_row_that_was_taken_back(void **state)
{
    (void)state;
    try_order(stop_unsynced);
}

static bool rolls_back(const struct world *w)
{
    return strcmp(w->journal_mode, "WAL") != 0;
}

static bool is_wal(const struct world *w)
{
    return !rolls_back(w);
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

static bool is_wal_and_normal(const struct world *w)
{
    return is_wal(w) && commits_are_not_durable(w);
}

/* The -wal of the state file has a gap where a sync failed, unless what was to be there is written
 * once more; what is written behind it is lost with the power, however often it was synced. Here
 * that is what was sent last, of which nothing is in the journal any more. */
static void fail_a_sync_of_the_state_file(bool killed)
{
    struct world *w = world_that(is_wal, "INSERT INTO people(id,name) VALUES(77,'first')");

    app_run(w, "UPDATE people SET name='second' WHERE id=77");
    until_sent(w);
    w->now += FLUSH_DELAY; /* how far was read is kept before it is answered */
    sim_flush(w);
    assert_true(w->syncing);
    sim_flushed(w, true);
    while (service_answer(w, false))
        ;
    w->now += FLUSH_DELAY;
    sim_flush(w);
    assert_true(w->syncing);
    sim_flushed(w, false);
    if (killed) {
        sim_crash(w);
        assert_true(sim_start(w));
    }
    w->now += STORE_RETRY;
    settled(w);
    sim_ack(w, true);
    assert_true(oracle_journal_empty(w));
    assert_int_equal(durable_sync(&(struct durable){0}, w->database, true), 0);
    sim_power_failure(w);
    assert_true(sim_start(w));
    app_run(w, "UPDATE people SET name='first' WHERE id=77");
    at_rest_again(w);
    world_free(w);
}

static void what_follows_a_failed_sync_of_the_state_file_is_durable(void **state)
{
    (void)state;
    fail_a_sync_of_the_state_file(false);
}

static void also_where_the_process_was_killed_after_it(void **state)
{
    (void)state;
    fail_a_sync_of_the_state_file(true);
}

/* The same of the database's own -wal, of which nothing can be written once more: what is read from
 * behind the gap may be taken back, so that this is to be seen after a power failure. */
static void what_is_sent_after_a_failed_sync_of_the_database_is_known_to_be_ahead(void **state)
{
    struct world *w =
        world_that(is_wal_and_normal, "INSERT INTO people(id,name) VALUES(77,'first')");
    char wal[64];

    (void)state;
    sim_turn(w);
    assert_int_equal(durable_sync(&(struct durable){0}, w->database, true), 0);
    w->disk_lies = true;
    app_run(w, "UPDATE people SET name='second' WHERE id=77");
    sim_work(w);
    assert_true(w->source_syncing);
    snprintf(wal, sizeof wal, "%s-wal", w->database);
    node_sync_fails(node_find(wal));
    sim_source_synced(w, false);
    w->disk_lies = false;
    w->now += STORE_RETRY;
    until_sent(w);
    leave_late(w, w->now);
    service_late(w);
    sim_power_failure(w);
    assert_true(sim_start(w));
    at_rest_again(w);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_to_wal_mode_is_synced_at_once),
        cmocka_unit_test(a_retry_keeps_no_dead_letter_of_a_row_that_was_taken_back),
        cmocka_unit_test(a_pause_keeps_no_dead_letter_of_a_row_that_was_taken_back),
        cmocka_unit_test(a_stop_keeps_no_dead_letter_of_a_row_that_was_taken_back),
        cmocka_unit_test(what_follows_a_failed_sync_of_the_state_file_is_durable),
        cmocka_unit_test(also_where_the_process_was_killed_after_it),
        cmocka_unit_test(what_is_sent_after_a_failed_sync_of_the_database_is_known_to_be_ahead),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
