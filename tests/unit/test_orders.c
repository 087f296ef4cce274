/* Orders of the operator that fail: all is as before them, also to the next process. */
#include "sim_world.h"

#include "mirror/owned.h"

/* Commits of the state file that succeed before the disk is full. */
static int commits_left;

static int full_soon(void *arg)
{
    (void)arg;
    return commits_left-- <= 0;
}

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

struct backup {
    sqlite3 *db;
    char *version; /* of the schema */
};

/* Of a time before what was sent last. */
static struct backup backup_made(struct world *w, bool rested)
{
    struct backup b;

    assert_int_equal(sqlite3_open(":memory:", &b.db), SQLITE_OK);
    app_run(w, "UPDATE people SET name='before' WHERE id=1");
    at_rest_again(w);
    if (rested)
        live_for(w, 20 * USEC_PER_SEC);
    copy_database(b.db, w->app);
    b.version = app_ask(w, "PRAGMA schema_version");
    app_run(w, "UPDATE people SET name='lost' WHERE id=1");
    at_rest_again(w);
    return b;
}

/* As one that copies the file. */
static void put_back(struct world *w, struct backup *b)
{
    copy_database(w->app, b->db);
    app_run(w, "PRAGMA schema_version=%s", b->version);
    sqlite3_free(b->version);
    sqlite3_close(b->db);
}

/* What was sent since the backup was made is in no table any more; the triggers are in again, and
 * what the application writes takes the places in the journal of what is lost. Also where the
 * daemon is killed after so many commits of the state file. */
static void a_backup_that_is_put_back_while_all_is_taken_out(void **state)
{
    (void)state;
    for (int commits = 0; commits < 9; commits++) {
        struct world *w = world_of_people(3);
        struct err err = {0};

        struct backup backup = backup_made(w, false);
        assert_int_equal(mirror_detach(w->mirror, &err), 0);
        put_back(w, &backup);
        app_run(w, "UPDATE people SET name='after' WHERE id=2");
        commits_left = commits;
        sqlite3_commit_hook(mirror_store(w->mirror)->db, full_soon, NULL);
        mirror_attach_order(w->mirror, &err);
        sim_crash(w);
        assert_true(sim_start(w));
        at_rest_again(w);
        world_free(w);
    }
}

/* Triggers and all, but for whose they are. */
static sqlite3 *copy_as_another(struct world *w)
{
    char hex[2 * CAPTURE_ID_SIZE + 1], sql[300];
    sqlite3 *other;

    for (size_t i = 0; i < CAPTURE_ID_SIZE; i++)
        snprintf(hex + 2 * i, 3, "%02x", w->mirror->id[i]);
    snprintf(sql, sizeof sql,
             "PRAGMA writable_schema=1; UPDATE sqlite_schema SET sql="
             "replace(sql,'%s','0123456789abcdef0123456789abcdef') WHERE name='_syncd_cap'",
             hex);
    assert_int_equal(sqlite3_open(":memory:", &other), SQLITE_OK);
    copy_database(other, w->app);
    assert_int_equal(sqlite3_exec(other, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_changes(other), 1);
    return other;
}

/* It came in place of the one at rest a moment ago, and nobody has looked. */
static void a_letter_is_not_tried_with_another_database(void **state)
{
    struct world *w = world_of_people(1);
    _cleanup_buf_ struct buf key = {0};
    sqlite3 *other = copy_as_another(w);

    (void)state;
    app_run(w, "INSERT INTO people(id,name) VALUES(2,'second')");
    at_rest_again(w);
    key_of(w, "people", "second", &key);
    app_run(w, "UPDATE people SET name='" SIM_POISON "' WHERE id=2");
    at_rest_again(w);
    live_for(w, 20 * USEC_PER_SEC);
    assert_true(mirror_resting(w->mirror));
    assert_true(seen(w).dead_letters > 0);
    copy_database(w->app, other);
    sqlite3_close(other);
    mirror_dead_letters_retry(w->mirror, w->now, 0);
    w->pumping = true;
    live_for(w, 10 * USEC_PER_SEC);
    assert_true(seen(w).held);
    assert_non_null(service_item(service_table(w, "people"), key.data, key.len));
    world_free(w);
}

/* Nor are its rows put into the journal, whatever its schema's version is. */
static void a_row_is_not_mended_in_another_database(void **state)
{
    struct world *w = world_of_people(1);
    _cleanup_buf_ struct buf row = {0};
    struct err err = {0};

    (void)state;
    value_encode(&row, &(struct value){.kind = VALUE_INTEGER, .integer = 1});
    const struct mirror_key key = {.bytes = row.data, .len = row.len};
    sqlite3 *other = copy_as_another(w);
    app_run(w, "INSERT INTO people(id,name) VALUES(2,'second')");
    at_rest_again(w);
    live_for(w, 20 * USEC_PER_SEC);
    assert_true(mirror_resting(w->mirror));
    copy_database(w->app, other);
    sqlite3_close(other);
    app_run(w, "PRAGMA schema_version=%lld", (long long)w->mirror->schema_version);
    char *before = app_ask(w, "SELECT count(*) FROM _syncd_journal");
    assert_true(mirror_mend_rows(w->mirror, "people", &key, 1, &err) < 0);
    char *after = app_ask(w, "SELECT count(*) FROM _syncd_journal");
    assert_string_equal(before, after);
    sqlite3_free(before);
    sqlite3_free(after);
    world_free(w);
}

/* Nothing was written for long; the daemon is killed, and the application goes on at once. */
static void a_backup_that_is_put_back_after_a_kill_at_rest(void **state)
{
    struct world *w = world_of_people(3);

    (void)state;
    struct backup backup = backup_made(w, true);
    live_for(w, 20 * USEC_PER_SEC);
    sim_crash(w);
    put_back(w, &backup);
    app_run(w, "UPDATE people SET name='after' WHERE id=2");
    assert_true(sim_start(w));
    at_rest_again(w);
    world_free(w);
}

/* It was noticed, and its file does not stand still yet: the application goes on, and what it
 * writes takes the places in the journal of what is lost. */
static void a_process_ends_that_has_noticed_it(bool killed)
{
    struct world *w = world_of_people(3);

    struct backup backup = backup_made(w, true);
    assert_false(mirror_resting(w->mirror));
    put_back(w, &backup);
    live_for(w, USEC_PER_SEC / 2);
    assert_true(w->mirror->unsettled);
    app_run(w, "UPDATE people SET name='after' WHERE id=2");
    if (killed)
        sim_crash(w);
    else
        sim_stop(w);
    assert_true(sim_start(w));
    at_rest_again(w);
    world_free(w);
}

static void a_backup_that_a_killed_process_had_noticed(void **state)
{
    (void)state;
    a_process_ends_that_has_noticed_it(true);
}

static void a_backup_that_a_stopped_process_had_noticed(void **state)
{
    (void)state;
    a_process_ends_that_has_noticed_it(false);
}

/* Nor does a kill while it is taken up, as the operator has said, after so many commits of the
 * state file. */
static void a_backup_that_was_approved(void **state)
{
    static const uint8_t elsewhere[CAPTURE_ID_SIZE];

    (void)state;
    for (int commits = 0; commits < 6; commits++) {
        struct world *w = world_of_people(3);
        struct backup backup = backup_made(w, true);
        struct store *s = mirror_store(w->mirror);
        assert_int_equal(store_put(s, "host", elsewhere, sizeof elsewhere), 0);
        assert_int_equal(records_sync(w->mirror, NULL), 0);
        sim_crash(w);
        put_back(w, &backup);
        app_run(w, "UPDATE people SET name='after' WHERE id=2");
        assert_true(sim_start(w));
        assert_true(seen(w).held);
        assert_int_equal(mirror_approve(w->mirror), 1);
        commits_left = commits;
        sqlite3_commit_hook(mirror_store(w->mirror)->db, full_soon, NULL);
        mirror_attach(w->mirror, w->now);
        sim_crash(w);
        assert_true(sim_start(w));
        at_rest_again(w);
        world_free(w);
    }
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

/* It was not carried out, so nobody has said anything of what comes in place of the database. */
static void an_adoption_that_could_not_be_kept_is_none_of_another_database(void **state)
{
    struct world *w = world_of_people(3);
    _cleanup_buf_ struct buf key = {0};
    struct err err = {0};

    (void)state;
    app_run(w, "INSERT INTO people(id,name) VALUES(9,'ours')");
    sqlite3 *other = copy_as_another(w);
    assert_int_equal(sqlite3_exec(other, "UPDATE people SET name='theirs'", NULL, NULL, NULL), 0);
    at_rest_again(w);
    key_of(w, "people", "ours", &key);
    sim_state_full(w, true);
    assert_true(mirror_adopt(w->mirror, &err) < 0);
    sim_state_full(w, false);
    at_rest_again(w);
    copy_database(w->app, other);
    sqlite3_close(other);
    w->pumping = true;
    live_for(w, 10 * USEC_PER_SEC);
    assert_true(seen(w).held);
    const struct sim_item *item = service_item(service_table(w, "people"), key.data, key.len);
    assert_non_null(item);
    assert_null(memmem(item->bytes, item->key_len + item->json_len, "theirs", 6));
    world_free(w);
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

/* In the moment before a stop, amid changes that were sent and not yet acknowledged: what the
 * application writes afterwards takes the places in the journal of what is lost. */
static void a_backup_that_a_stopped_process_had_not_noticed(void **state)
{
    struct world *w = world_of_people(9);
    struct backup b;

    (void)state;
    live_for(w, 20 * USEC_PER_SEC);
    assert_int_equal(sqlite3_open(":memory:", &b.db), SQLITE_OK);
    copy_database(b.db, w->app);
    b.version = app_ask(w, "PRAGMA schema_version");
    int64_t acked = w->mirror->acked;
    for (int i = 1; i <= 5; i++)
        app_run(w, "UPDATE people SET name='lost' WHERE id=%d", i);
    w->pumping = true;
    w->mirror->ack_retry = w->now + 60 * USEC_PER_SEC; /* writers are in its way */
    live_for(w, 20 * USEC_PER_SEC);
    assert_true(mirror_idle(w->mirror));
    assert_int_equal(w->mirror->acked, acked);
    put_back(w, &b);
    app_run(w, "UPDATE people SET name='after' WHERE id=7");
    sim_stop(w);
    for (int i = 0; i < 6; i++)
        app_run(w, "UPDATE people SET name='later' WHERE id=8");
    assert_true(sim_start(w));
    at_rest_again(w);
    world_free(w);
}

/* Another database stands in its place, and is held. Nothing is sent meanwhile, so that nobody is
 * told that the DynamoDB table is made anew. */
static void a_target_that_went_while_the_database_was_held_is_noticed(void **state)
{
    (void)state;
    for (int approved = 0; approved < 2; approved++) {
        struct world *w = world_of_people(3);
        sqlite3 *own = NULL, *other = copy_as_another(w);
        struct sim_table *t = service_table(w, "people");
        assert_int_equal(sqlite3_open(":memory:", &own), SQLITE_OK);
        copy_database(own, w->app);
        copy_database(w->app, other);
        w->pumping = true;
        live_for(w, 10 * USEC_PER_SEC);
        assert_true(seen(w).held);
        service_clear(t);
        t->made++;
        t->marker.there = false;
        if (approved)
            assert_int_equal(mirror_approve(w->mirror), 1);
        else
            copy_database(w->app, own);
        sqlite3_close(own);
        sqlite3_close(other);
        w->pumping = true;
        live_for(w, 200 * USEC_PER_SEC);
        assert_false(seen(w).held);
        oracle_converged(w);
        at_rest_again(w);
        world_free(w);
    }
}

/* Writes wait while another database stands in its place and is held. Somebody else may have the
 * DynamoDB tables by then: what waits is not sent before that was looked at. */
static void what_waits_while_the_database_is_held_is_not_sent_unseen(void **state)
{
    struct world *w = world_of_people(300);
    sqlite3 *other = copy_as_another(w);
    struct sim_table *t = service_table(w, "people");

    (void)state;
    t->throttled = true;
    app_run(w, "UPDATE people SET name='waits'");
    live_for(w, 2 * USEC_PER_SEC);
    assert_true(seen(w).engine.items > 0);
    copy_database(w->app, other);
    sqlite3_close(other);
    w->pumping = true;
    live_for(w, 30 * USEC_PER_SEC);
    assert_true(seen(w).held);
    t->throttled = false;
    uint64_t before = w->requests;
    assert_int_equal(mirror_approve(w->mirror), 1);
    while (!w->mirror->attached)
        sim_work(w);
    assert_int_equal(w->requests, before);
    all_is_equal_again(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_detach_outlives_another_that_failed),
        cmocka_unit_test(a_detach_outlives_an_uninstall_that_failed),
        cmocka_unit_test(a_detach_outlives_another_that_could_not_be_kept),
        cmocka_unit_test(an_undone_handover_that_could_not_be_kept),
        cmocka_unit_test(an_item_without_a_row_that_is_taken_amid_a_comparison),
        cmocka_unit_test(a_letter_is_not_tried_with_another_database),
        cmocka_unit_test(a_row_is_not_mended_in_another_database),
        cmocka_unit_test(an_adopted_database_that_is_detached_at_once),
        cmocka_unit_test(an_adoption_that_a_writer_is_in_the_way_of),
        cmocka_unit_test(a_backup_that_is_put_back_while_all_is_taken_out),
        cmocka_unit_test(a_backup_that_is_put_back_after_a_kill_at_rest),
        cmocka_unit_test(a_backup_that_a_killed_process_had_noticed),
        cmocka_unit_test(a_backup_that_a_stopped_process_had_noticed),
        cmocka_unit_test(a_backup_that_was_approved),
        cmocka_unit_test(an_order_to_attach_that_comes_to_nothing_says_so),
        cmocka_unit_test(an_adoption_of_what_was_taken_out_outlives_a_kill),
        cmocka_unit_test(an_adoption_that_could_not_be_kept_is_none_of_another_database),
        cmocka_unit_test(an_adoption_that_was_pending_ends_with_a_detach),
        cmocka_unit_test(an_adoption_that_failed_at_its_end_is_not_pending_for_good),
        cmocka_unit_test(what_was_taken_out_by_hand_is_let_go_of),
        cmocka_unit_test(a_backup_that_a_stopped_process_had_not_noticed),
        cmocka_unit_test(a_target_that_went_while_the_database_was_held_is_noticed),
        cmocka_unit_test(what_waits_while_the_database_is_held_is_not_sent_unseen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
