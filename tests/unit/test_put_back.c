/* Another database stands in the place of the one that was mirrored: a copy, or a backup of it that
 * was put back, and what was ordered of the one before. */
#include "sim_world.h"

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
        cmocka_unit_test(a_letter_is_not_tried_with_another_database),
        cmocka_unit_test(a_row_is_not_mended_in_another_database),
        cmocka_unit_test(a_backup_that_is_put_back_while_all_is_taken_out),
        cmocka_unit_test(a_backup_that_is_put_back_after_a_kill_at_rest),
        cmocka_unit_test(a_backup_that_a_killed_process_had_noticed),
        cmocka_unit_test(a_backup_that_a_stopped_process_had_noticed),
        cmocka_unit_test(a_backup_that_was_approved),
        cmocka_unit_test(an_adoption_that_could_not_be_kept_is_none_of_another_database),
        cmocka_unit_test(a_backup_that_a_stopped_process_had_not_noticed),
        cmocka_unit_test(a_target_that_went_while_the_database_was_held_is_noticed),
        cmocka_unit_test(what_waits_while_the_database_is_held_is_not_sent_unseen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
