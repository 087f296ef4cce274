/* Orders of the operator that fail: all is as before them, also to the next process. */
#include "sim_world.h"

#include "mirror/owned.h"

static const char *triggers_in(void)
{
    return "SELECT count(*) FROM sqlite_schema WHERE type='trigger' AND name GLOB '_syncd_*'";
}

static void assert_taken_out(struct world *w)
{
    char *count = app_ask(w, "%s", triggers_in());

    assert_string_equal(count, "0");
    sqlite3_free(count);
}

static void assert_stays_detached(struct world *w)
{
    live_for(w, 2 * USEC_PER_SEC);
    bool connected = seen(w).connected;
    assert_true(seen(w).detached);
    sim_crash(w);
    assert_true(sim_start(w));
    live_for(w, 2 * USEC_PER_SEC);
    assert_true(seen(w).detached);
    assert_taken_out(w);
    assert_false(connected);
}

/* A tool is at work in what was taken out for it. */
static void another_order_that_a_writer_is_in_the_way_of(int (*order)(struct mirror *m,
                                                                      struct err *err))
{
    struct world *w = world_of_people(3);
    struct err err = {0};

    assert_int_equal(mirror_detach(w->mirror, &err), 0);
    app_run(w, "BEGIN IMMEDIATE");
    assert_true(order(w->mirror, &err) < 0);
    app_run(w, "COMMIT");
    assert_stays_detached(w);
    app_run(w, "UPDATE people SET name='unseen' WHERE id=1");
    assert_int_equal(mirror_attach_order(w->mirror, &err), 0);
    at_rest_again(w);
    world_free(w);
}

static void a_detach_outlives_another_that_failed(void **state)
{
    (void)state;
    another_order_that_a_writer_is_in_the_way_of(mirror_detach);
}

static void a_detach_outlives_an_uninstall_that_failed(void **state)
{
    (void)state;
    another_order_that_a_writer_is_in_the_way_of(mirror_uninstall);
}

static void a_detach_outlives_another_that_could_not_be_kept(void **state)
{
    struct world *w = world_of_people(3);
    struct err err = {0};

    (void)state;
    assert_int_equal(mirror_detach(w->mirror, &err), 0);
    sim_state_full(w, true);
    assert_true(mirror_detach(w->mirror, &err) < 0);
    sim_state_full(w, false);
    assert_stays_detached(w);
    world_free(w);
}

/* Others have written there, of which nobody knows here: nothing is sent before all of it can be
 * compared. */
static void an_undone_handover_that_could_not_be_kept(void **state)
{
    (void)state;
    for (int commits = 1; commits < 12; commits++) {
        struct world *w = world_of_people(3);
        struct store *s = mirror_store(w->mirror);
        _cleanup_buf_ struct buf key = {0};
        struct err err = {0};
        key_of(w, "people", "\"1\"", &key);
        assert_int_equal(mirror_hand_over(w->mirror, &err), 0);
        come_late(w, "people", &key, "{\"theirs\":{\"BOOL\":true}}");
        commits_left = commits;
        sqlite3_commit_hook(s->db, full_soon, NULL);
        int rc = mirror_take_back(w->mirror, &err);
        sqlite3_commit_hook(s->db, NULL, NULL);
        for (uint32_t i = 0; i < mirror_target_count(w->mirror); i++)
            w->probes[i].due = w->now;
        live_for(w, 5 * USEC_PER_SEC);
        for (uint32_t i = 0; rc < 0 && i < mirror_target_count(w->mirror); i++) {
            if (owned_is_canarys(w->mirror, i))
                continue;
            assert_true(mirror_target(w->mirror, i)->handed_over);
            assert_false(mirror_target(w->mirror, i)->open);
        }
        if (rc < 0)
            assert_int_equal(mirror_take_back(w->mirror, &err), 0);
        for (uint32_t i = 0; i < mirror_target_count(w->mirror); i++)
            w->probes[i].due = w->now;
        at_rest_again(w);
        world_free(w);
    }
}

/* The row is sent, and an older outcome that the state file has to be told once more does not say
 * that its item is known. */
static void a_row_is_mended_though_a_sync_fails_after_that(void **state)
{
    struct world *w = world_of_people(1);
    _cleanup_buf_ struct buf key = {0}, row = {0};
    struct err err = {0};
    int fd;

    (void)state;
    app_run(w, "UPDATE people SET name='second' WHERE id=1");
    until_sent(w);
    w->now = service_due(w);
    assert_true(service_answer(w, true));
    assert_false(list_empty(&w->mirror->records));
    key_of(w, "people", "\"1\"", &key);
    come_late(w, "people", &key, "{\"id\":{\"N\":\"1\"},\"name\":{\"S\":\"garbled\"}}");
    value_encode(&row, &(struct value){.kind = VALUE_INTEGER, .integer = 1});
    const struct mirror_key mended = {.bytes = row.data, .len = row.len};
    assert_int_equal(mirror_mend_rows(w->mirror, "people", &mended, 1, &err), 1);
    assert_int_equal(mirror_flush_now(w->mirror, w->now, &fd), 1);
    mirror_flushed(w->mirror, w->now, false);
    w->now += STORE_RETRY;
    assert_int_equal(mirror_flush_now(w->mirror, w->now, &fd), 1);
    mirror_flushed(w->mirror, w->now, true);
    at_rest_again(w);
    world_free(w);
}

/* What verify was told is taken outlives a kill, also where the rows are being compared anyway. */
static void an_item_without_a_row_that_is_taken_amid_a_comparison(void **state)
{
    struct world *w = world_of_people(3);
    _cleanup_buf_ struct buf key = {0};
    struct err err = {0};

    (void)state;
    app_run(w, "INSERT INTO people(id,name) VALUES(9,'nobody')");
    at_rest_again(w);
    key_of(w, "people", "nobody", &key);
    app_run(w, "DELETE FROM people WHERE id=9");
    at_rest_again(w);
    come_late(w, "people", &key, "{\"stale\":{\"BOOL\":true}}");
    assert_int_equal(mirror_resync(w->mirror, "people", false, &err), 1);
    const struct mirror_key k = {.bytes = key.data, .len = key.len}, none = {.bytes = ""};
    assert_int_equal(mirror_mend_extra(w->mirror, "people", &k, &none, 1, &err), 1);
    sim_crash(w);
    assert_true(sim_start(w));
    at_rest_again(w);
    world_free(w);
}

/* The new id is known, and the triggers that tell it are not in yet. */
static void an_adoption_that_a_writer_is_in_the_way_of(void **state)
{
    struct world *w = world_of_people(3);
    struct err err = {0};

    (void)state;
    app_run(w, "BEGIN IMMEDIATE");
    app_run(w, "UPDATE people SET name='later' WHERE id=1");
    assert_true(mirror_adopt(w->mirror, &err) < 0);
    app_run(w, "COMMIT");
    live_for(w, 5 * USEC_PER_SEC);
    assert_false(seen(w).held);
    at_rest_again(w);
    world_free(w);
}

/* It is known by its new id though nothing was acknowledged under it. */
static void an_adopted_database_that_is_detached_at_once(void **state)
{
    struct world *w = world_of_people(3);
    struct err err = {0};

    (void)state;
    assert_int_equal(mirror_detach(w->mirror, &err), 0);
    assert_int_equal(mirror_adopt(w->mirror, &err), 0);
    assert_int_equal(mirror_detach(w->mirror, &err), 0);
    assert_int_equal(mirror_attach_order(w->mirror, &err), 0);
    at_rest_again(w);
    world_free(w);
}

/* The state file fails amid it. */
static void an_order_to_attach_that_comes_to_nothing_says_so(void **state)
{
    (void)state;
    for (int commits = 0; commits < 9; commits++) {
        struct world *w = world_of_people(3);
        struct store *s = mirror_store(w->mirror);
        struct err err = {0};

        assert_int_equal(mirror_detach(w->mirror, &err), 0);
        commits_left = commits;
        sqlite3_commit_hook(s->db, full_soon, NULL);
        int rc = mirror_attach_order(w->mirror, &err);
        bool attached = w->mirror->attached;
        sqlite3_commit_hook(s->db, NULL, NULL);
        assert_int_equal(rc == 0, attached);
        assert_int_equal(rc < 0, err.text[0] != '\0');
        live_for(w, 5 * USEC_PER_SEC);
        at_rest_again(w);
        world_free(w);
    }
}

/* Of a copy that is to be a database of its own: never as the one that it is a copy of, also where
 * the daemon is killed after so many commits of the state file. */
static void an_adoption_of_what_was_taken_out_outlives_a_kill(void **state)
{
    (void)state;
    for (int commits = 0; commits < 9; commits++) {
        struct world *w = world_of_people(3);
        char before[MIRROR_CANARY_ID], after[MIRROR_CANARY_ID];
        struct err err = {0};

        mirror_canary_id(w->mirror, before);
        assert_int_equal(mirror_detach(w->mirror, &err), 0);
        commits_left = commits;
        sqlite3_commit_hook(mirror_store(w->mirror)->db, full_soon, NULL);
        mirror_adopt(w->mirror, &err);
        sim_crash(w);
        assert_true(sim_start(w));
        live_for(w, 5 * USEC_PER_SEC);
        mirror_canary_id(w->mirror, after);
        assert_true(seen(w).detached || seen(w).held || strcmp(before, after) != 0);
        world_free(w);
    }
}

/* The operator was told that it came to nothing: it does not stand there to be done much later,
 * when another database may have the tables. */
static void an_adoption_that_failed_at_its_end_is_not_pending_for_good(void **state)
{
    (void)state;
    for (int commits = 0; commits < 12; commits++) {
        struct world *w = world_of_people(3);
        struct err err = {0};

        commits_left = commits;
        sqlite3_commit_hook(mirror_store(w->mirror)->db, full_soon, NULL);
        mirror_adopt(w->mirror, &err);
        sqlite3_commit_hook(mirror_store(w->mirror)->db, NULL, NULL);
        live_for(w, 5 * USEC_PER_SEC);
        at_rest_again(w);
        sim_crash(w);
        assert_true(sim_start(w));
        while (!w->mirror->attached)
            sim_turn(w);
        for (uint32_t i = 0; i < mirror_target_count(w->mirror); i++)
            assert_false(mirror_target(w->mirror, i)->take_over);
        world_free(w);
    }
}

/* What was taken out since was not to be adopted any more. */
static void an_adoption_that_was_pending_ends_with_a_detach(void **state)
{
    struct world *w = world_of_people(3);
    char before[MIRROR_CANARY_ID], after[MIRROR_CANARY_ID];
    struct err err = {0};

    (void)state;
    mirror_canary_id(w->mirror, before);
    sim_state_full(w, true);
    assert_true(mirror_adopt(w->mirror, &err) < 0);
    sim_state_full(w, false);
    live_for(w, 5 * USEC_PER_SEC);
    assert_int_equal(mirror_detach(w->mirror, &err), 0);
    assert_int_equal(mirror_attach_order(w->mirror, &err), 0);
    mirror_canary_id(w->mirror, after);
    assert_string_equal(before, after);
    at_rest_again(w);
    world_free(w);
}

/* Whoever stops the application then may copy a backup over the file: a connection that is left
 * open would keep the -wal there, and the backup would be given what is in that. */
static void what_was_taken_out_by_hand_is_let_go_of(void **state)
{
    struct world *w = world_of_people(3);
    char *drops = app_ask(w, "SELECT group_concat('DROP TRIGGER '||name, ';') FROM sqlite_schema "
                             "WHERE type='trigger' AND name GLOB '_syncd_*'");

    (void)state;
    app_run(w, "BEGIN IMMEDIATE; %s; DROP TABLE _syncd_journal; COMMIT", drops);
    live_for(w, 20 * USEC_PER_SEC);
    assert_true(seen(w).uninstalled);
    assert_false(seen(w).connected);
    sqlite3_free(drops);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_detach_outlives_another_that_failed),
        cmocka_unit_test(a_detach_outlives_an_uninstall_that_failed),
        cmocka_unit_test(a_detach_outlives_another_that_could_not_be_kept),
        cmocka_unit_test(an_undone_handover_that_could_not_be_kept),
        cmocka_unit_test(a_row_is_mended_though_a_sync_fails_after_that),
        cmocka_unit_test(an_item_without_a_row_that_is_taken_amid_a_comparison),
        cmocka_unit_test(an_adopted_database_that_is_detached_at_once),
        cmocka_unit_test(an_adoption_that_a_writer_is_in_the_way_of),
        cmocka_unit_test(an_order_to_attach_that_comes_to_nothing_says_so),
        cmocka_unit_test(an_adoption_of_what_was_taken_out_outlives_a_kill),
        cmocka_unit_test(an_adoption_that_was_pending_ends_with_a_detach),
        cmocka_unit_test(an_adoption_that_failed_at_its_end_is_not_pending_for_good),
        cmocka_unit_test(what_was_taken_out_by_hand_is_let_go_of),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
