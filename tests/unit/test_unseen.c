/* Changes that no journal entry speaks of any more: they are noticed by what they leave behind,
 * also where it comes to look again as it looked before. */
#include "sim_world.h"

enum { PEOPLE_COUNT = 30 };

/* As a tool does that copies a table, and puts back the triggers that it found, word for word. */
static void rebuild(struct world *w, const char *meanwhile)
{
    char *triggers = app_ask(w, "SELECT group_concat(sql, ';') FROM sqlite_schema WHERE "
                                "type='trigger' AND tbl_name='people'");

    assert_non_null(triggers);
    app_run(w, "BEGIN IMMEDIATE");
    app_run(w, "CREATE TABLE copy(id INTEGER PRIMARY KEY, name)");
    app_run(w, "INSERT INTO copy SELECT id,name FROM people");
    app_run(w, "DROP TABLE people");
    app_run(w, "ALTER TABLE copy RENAME TO people");
    app_run(w, "%s", meanwhile);
    app_run(w, "%s", triggers);
    app_run(w, "COMMIT");
    app_run(w, "VACUUM");
    sqlite3_free(triggers);
}

/* VACUUM numbers the schema's entries anew: the second rebuild leaves them as the first did. */
static void a_table_rebuilt_twice_is_compared_twice(void **state)
{
    struct world *w = world_of_people(PEOPLE_COUNT);

    (void)state;
    rebuild(w, "UPDATE people SET name='once' WHERE id=1");
    at_rest_again(w);
    rebuild(w, "UPDATE people SET name='twice' WHERE id=1");
    at_rest_again(w);
    world_free(w);
}

/* Nor need it be the second: where no number was missing before, the cap's goes to the first of the
 * triggers now behind it, and the last of these has the cap's. */
static void a_rebuilt_table_is_compared_though_all_numbers_are_as_before(void **state)
{
    struct world *w = world_of_people(PEOPLE_COUNT);

    (void)state;
    rebuild(w, "UPDATE people SET name='once' WHERE id=1");
    at_rest_again(w);
    app_run(w, "VACUUM");
    at_rest_again(w);
    rebuild(w, "UPDATE people SET name='twice' WHERE id=1");
    at_rest_again(w);
    world_free(w);
}

/* Every trigger goes while rows are changed, and comes back: each entry of the schema is as it was.
 */
static void triggers_that_all_came_back_are_noticed(void **state)
{
    struct world *w = world_of_people(PEOPLE_COUNT);
    const char *each = "SELECT group_concat(%s, ';') FROM (SELECT name, sql FROM sqlite_schema "
                       "WHERE type='trigger' ORDER BY rowid)";
    char *drops = app_ask(w, each, "'DROP TRIGGER '||name"), *creates = app_ask(w, each, "sql");

    (void)state;
    assert_true(drops && creates);
    for (int i = 0; i < 2; i++) {
        app_run(w, "BEGIN IMMEDIATE");
        app_run(w, "%s", drops);
        app_run(w, "UPDATE people SET name='unseen' WHERE id=%d", 1 + i);
        app_run(w, "%s", creates);
        app_run(w, "COMMIT");
        at_rest_again(w);
    }
    sqlite3_free(drops);
    sqlite3_free(creates);
    world_free(w);
}

/* The newest trigger runs first, and this one keeps the row but not what would run behind it. */
static void triggers_of_the_application_do_not_cut_ours_short(void **state)
{
    struct world *w = world_of_people(PEOPLE_COUNT);

    (void)state;
    app_run(w, "CREATE TRIGGER mine AFTER UPDATE ON people WHEN NEW.id<5 BEGIN "
               "SELECT RAISE(IGNORE); END");
    app_run(w, "UPDATE people SET name='at once' WHERE id=1");
    at_rest_again(w);
    app_run(w, "UPDATE people SET name='later' WHERE id=2");
    at_rest_again(w);
    app_run(w, "CREATE TRIGGER mine_too AFTER INSERT ON people BEGIN SELECT RAISE(IGNORE); END");
    at_rest_again(w);
    app_run(w, "INSERT INTO people(id,name) VALUES(900,'new')");
    at_rest_again(w);
    app_run(w, "VACUUM");
    app_run(w, "UPDATE people SET name='vacuumed' WHERE id=3");
    at_rest_again(w);
    world_free(w);
}

static void change_some(struct world *w, int from, int count)
{
    for (int i = 0; i < count; i++)
        app_run(w, "UPDATE people SET name='changed' WHERE id=%d", from + i);
}

/* Emptied, the journal counts from one again, and again after the second time. */
static void a_journal_emptied_twice_is_noticed_twice(void **state)
{
    struct world *w = world_of_people(PEOPLE_COUNT);

    (void)state;
    sim_pause(w, true); /* nothing is acknowledged */
    app_run(w, "DELETE FROM _syncd_journal");
    change_some(w, 1, 5);
    live_for(w, 2 * USEC_PER_SEC);
    app_run(w, "DELETE FROM _syncd_journal");
    change_some(w, 11, 10);
    live_for(w, 2 * USEC_PER_SEC);
    sim_pause(w, false);
    at_rest_again(w);
    world_free(w);
}

/* What comes first in a journal that lost its beginning may be a key longer than any item's. */
static void a_journal_that_begins_with_a_giant_key_is_read(void **state)
{
    struct world *w = world_new(1, false);

    (void)state;
    assert_non_null(w);
    assert_true(world_build(w));
    app_run(w, "CREATE TABLE giants(id TEXT PRIMARY KEY, v)");
    assert_true(sim_start(w));
    at_rest_again(w);
    app_run(w, "BEGIN IMMEDIATE;"
               "DELETE FROM _syncd_journal;"
               "INSERT INTO giants VALUES(hex(zeroblob(4000000)),'giant');"
               "INSERT INTO giants VALUES('small','small');"
               "COMMIT");
    at_rest_again(w);
    assert_int_equal(table_named(w, "giants").dead_letters, 1);
    world_free(w);
}

/* A row goes while no state file knows of its item, and no entry speaks of it. */
static struct world *lose_state_and_a_row(void)
{
    struct world *w = world_of_people(PEOPLE_COUNT);

    sim_stop(w);
    app_run(w, "DELETE FROM people WHERE id=30");
    app_run(w, "DELETE FROM _syncd_journal WHERE t<>0");
    sim_lose_state(w);
    return w;
}

static void an_item_whose_row_went_with_the_state_file_is_found(void **state)
{
    struct world *w = lose_state_and_a_row();

    (void)state;
    assert_int_equal(access(w->state, F_OK), -1);
    assert_true(sim_start(w));
    at_rest_again(w);
    world_free(w);
}

/* The marker, which says that all items are ours, is read while nothing can be kept. */
static void what_a_marker_tells_outlives_an_unwritable_state_file(void **state)
{
    struct world *w = lose_state_and_a_row();

    (void)state;
    assert_true(sim_start(w));
    sim_state_unwritable(w, true);
    live_for(w, 5 * USEC_PER_SEC);
    for (uint32_t i = 0; i < mirror_target_count(w->mirror); i++)
        assert_false(mirror_target(w->mirror, i)->open);
    sim_state_unwritable(w, false);
    at_rest_again(w);
    world_free(w);
}

/* Whoever looks through the items finds no table any more; one is made in its place before anything
 * is sent there. */
static void a_table_lost_while_its_items_are_looked_at_is_filled(void **state)
{
    (void)state;
    for (uint64_t tries = 0; tries < 8; tries++) {
        struct world *w = lose_state_and_a_row();
        struct sim_table *people = service_table(w, "people");
        assert_true(sim_start(w));
        w->rng.state = tries;
        uint32_t i = target_named(w, "people");
        while (!mirror_target(w->mirror, i)->surveying)
            sim_turn(w);
        people->exists = false;
        service_clear(people);
        while (w->surveys[i].active)
            sim_turn(w);
        at_rest_again(w);
        world_free(w);
    }
}

/* Of an item that was found in a look at a table that flows already, and that was broken off: by a
 * kill, a stop, or because the table could not be written for a moment. */
static void what_a_look_has_found_that_was_broken_off_goes(void **state)
{
    (void)state;
    for (uint64_t tries = 0; tries < 24; tries++) {
        struct world *w = world_of_people(PEOPLE_COUNT);
        _cleanup_buf_ struct buf key = {0};
        app_run(w, "INSERT INTO people(id,name) VALUES(0,'nobody')");
        at_rest_again(w);
        key_of(w, "people", "nobody", &key);
        app_run(w, "DELETE FROM people WHERE id=0");
        at_rest_again(w);
        sim_stop(w);
        sim_lose_state(w);
        assert_true(sim_start(w));
        w->rng.state = tries;
        uint32_t i = target_named(w, "people");
        settled(w);
        come_late(w, "people", &key, "{\"stale\":{\"BOOL\":true}}");
        while (!mirror_target(w->mirror, i)->surveying)
            sim_turn(w);
        assert_true(mirror_target(w->mirror, i)->open);
        while (mirror_target(w->mirror, i)->surveying && !w->mirror->targets[i]->found)
            sim_turn(w);
        if (mirror_target(w->mirror, i)->surveying && tries % 3 == 0) {
            mirror_target_parked(w->mirror, w->now, i, "AccessDeniedException", "simulated");
            w->probes[i].due = w->now + USEC_PER_SEC;
        } else if (mirror_target(w->mirror, i)->surveying) {
            sim_flush(w);
            if (w->syncing)
                sim_flushed(w, true);
            if (tries % 3 == 1)
                sim_crash(w);
            else
                sim_stop(w);
            assert_true(sim_start(w));
        }
        at_rest_again(w);
        world_free(w);
    }
}

/* A killed process had sent rows as they were before a change that no entry tells of; it had
 * noticed the change and begun to send all of them anew, so that its successor finds nothing new.
 * What it had sent first may come last. */
static void written_before_a_comparison(struct world *w, const char *change)
{
    _cleanup_buf_ struct buf key = {0};

    app_run(w, "UPDATE people SET name='one' WHERE id=1");
    at_rest_again(w);
    key_of(w, "people", "\"one\"", &key);
    assert_int_equal(mirror_resync(w->mirror, "people", true, NULL), 1);
    turn_until_sent(w);
    for (struct list *l = w->flights.next; l != &w->flights; l = l->next)
        container_of(l, struct sim_flight, link)->due = USEC_NEVER;
    app_run(w, "%s", change);
    live_for(w, 2 * USEC_PER_SEC);
    sim_crash(w);
    assert_true(sim_start(w));
    settled(w);
    come_late(w, "people", &key, "{\"stale\":{\"BOOL\":true}}");
    at_rest_again(w);
    world_free(w);
}

static void a_change_of_form_outlives_the_process_that_noticed_it(void **state)
{
    (void)state;
    written_before_a_comparison(world_of_people(PEOPLE_COUNT),
                                "ALTER TABLE people RENAME COLUMN v TO called");
}

static void an_emptied_journal_outlives_the_process_that_noticed_it(void **state)
{
    (void)state;
    written_before_a_comparison(world_of_people(PEOPLE_COUNT),
                                "UPDATE people SET name='two' WHERE id=1;"
                                "DELETE FROM _syncd_journal");
}

/* Writes of the rows as they are, which are never answered. */
static void leave_load_open(struct world *w, struct buf *key)
{
    app_run(w, "UPDATE people SET name='one' WHERE id=1");
    at_rest_again(w);
    key_of(w, "people", "\"one\"", key);
    assert_int_equal(mirror_resync(w->mirror, "people", true, NULL), 1);
    turn_until_sent(w);
    sim_crash(w);
}

/* What a killed process left is noticed to be of rows that changed unseen when nothing can be kept
 * just then; and the process that has noticed it is killed later. */
static void a_change_of_form_outlives_an_unwritable_state_file(void **state)
{
    struct world *w = world_of_people(PEOPLE_COUNT);
    _cleanup_buf_ struct buf key = {0};

    (void)state;
    leave_load_open(w, &key);
    assert_true(sim_start(w));
    sim_state_unwritable(w, true);
    app_run(w, "ALTER TABLE people RENAME COLUMN v TO called");
    mirror_attach(w->mirror, w->now);
    assert_true(w->mirror->state_broken);
    sim_state_unwritable(w, false);
    w->now += 2 * USEC_PER_SEC;
    sim_flush(w);
    if (w->syncing)
        sim_flushed(w, true);
    mirror_attach(w->mirror, w->now);
    assert_true(w->mirror->attached);
    sim_crash(w);
    assert_true(sim_start(w));
    settled(w);
    come_late(w, "people", &key, "{\"stale\":{\"BOOL\":true}}");
    at_rest_again(w);
    world_free(w);
}

/* A comparison that was refused for want of a state file is made all the same. */
static void a_refused_comparison_outlives_a_kill(void **state)
{
    struct world *w = world_of_people(PEOPLE_COUNT);
    _cleanup_buf_ struct buf key = {0};

    (void)state;
    app_run(w, "UPDATE people SET name='one' WHERE id=1");
    at_rest_again(w);
    key_of(w, "people", "\"one\"", &key);
    sim_state_unwritable(w, true);
    assert_int_equal(mirror_resync(w->mirror, "people", true, NULL), -EIO);
    sim_state_unwritable(w, false);
    live_for(w, 500 * USEC_PER_MSEC);
    uint64_t before = w->requests;
    w->pumping = true;
    for (int i = 0; i < 1000 && w->requests == before; i++)
        sim_turn(w);
    bool sent = w->requests != before;
    sim_crash(w);
    assert_true(sim_start(w));
    settled(w);
    app_run(w, "UPDATE people SET name='two' WHERE id=1");
    w->pumping = true;
    live_for(w, 3 * USEC_PER_SEC);
    settled(w);
    if (sent)
        come_late(w, "people", &key, "{\"stale\":{\"BOOL\":true}}");
    at_rest_again(w);
    world_free(w);
}

static bool survey_under_way(const struct world *w)
{
    for (uint32_t i = 0; i < w->probe_count; i++)
        if (w->surveys[i].active && w->surveys[i].after.len &&
            strcmp(mirror_target(w->mirror, i)->name, "people") == 0)
            return true;
    return false;
}

/* What a survey has found so far is taken back when the state file fails for a moment: it begins
 * anew. */
static void a_survey_outlives_an_unwritable_state_file(void **state)
{
    struct world *w = world_of_people(PEOPLE_COUNT);
    usec until;
    int fd, broken = 0;

    (void)state;
    w->config->hold_deletes = 100;
    sim_stop(w);
    app_run(w, "DELETE FROM people WHERE id<30");
    app_run(w, "DELETE FROM _syncd_journal WHERE t<>0");
    sim_lose_state(w);
    assert_true(sim_start(w));
    until = w->now + 2 * w->config->unconfirmed_horizon;
    while (w->now < until) {
        sim_turn(w);
        if (broken == 2 || !survey_under_way(w) || w->syncing || w->source_syncing ||
            !store_dirty(mirror_store(w->mirror)))
            continue;
        for (uint32_t i = 0; i < w->probe_count; i++)
            w->surveys[i].due = w->now + 5 * USEC_PER_SEC;
        sim_state_unwritable(w, true);
        mirror_flush_now(w->mirror, w->now, &fd);
        sim_state_unwritable(w, false);
        if (!w->mirror->state_broken)
            continue;
        broken++;
        live_for(w, 4 * USEC_PER_SEC);
        assert_false(w->mirror->state_broken);
        live_for(w, 4 * USEC_PER_SEC);
        while (survey_under_way(w) && broken == 1)
            sim_turn(w);
    }
    assert_true(broken > 0);
    at_rest_again(w);
    world_free(w);
}

/* Change what the item of the row with that id holds, as a killed process' write does. */
static void write_behind(struct world *w, int id)
{
    char part[40];
    struct buf key = {0}, text = {0};

    snprintf(part, sizeof part, "{\"N\":\"%d\"}", id);
    key_of(w, "people", part, &key);
    struct sim_item *item = service_item(service_table(w, "people"), key.data, key.len);
    assert_non_null(item);
    buf_append(&text, item->bytes + item->key_len, item->json_len);
    buf_putc(&text, 0);
    char *at = strstr(text.data, "first");
    assert_non_null(at);
    memcpy(at, "other", 5);
    come_late(w, "people", &key, text.data);
    buf_free(&key);
    buf_free(&text);
}

static bool dropped_items_stay(const struct world *w)
{
    return !w->dropped_items_go;
}

/* What a killed process may have written of a table that is gone is in doubt, also when the state
 * file could not be written just then. */
static void a_doubt_outlives_an_unwritable_state_file(void **state)
{
    struct world *w = world_that(
        dropped_items_stay, "DELETE FROM people; INSERT INTO people(id,name) VALUES(7,'first')");

    (void)state;
    char *create = app_ask(w, "SELECT sql FROM sqlite_schema WHERE name='people'");
    app_run(w, "UPDATE people SET name='other' WHERE id=7");
    sim_work(w);
    sim_crash(w);
    write_behind(w, 7);
    app_run(w, "DROP TABLE people");
    assert_true(sim_start(w));
    for (int turns = 0; turns < 300 && !w->mirror->doubted_count; turns++) {
        sim_turn(w);
        if (!w->mirror->doubted_count)
            sim_work(w);
    }
    assert_true(w->mirror->doubted_count && store_dirty(mirror_store(w->mirror)));
    sim_state_unwritable(w, true);
    live_for(w, 5 * USEC_PER_SEC);
    sim_state_unwritable(w, false);
    live_for(w, 200 * USEC_PER_SEC);
    sim_settle(w);
    sim_stop(w);
    app_run(w, "%s", create);
    app_run(w, "INSERT INTO people(id,name) VALUES(7,'first')");
    sqlite3_free(create);
    assert_true(sim_start(w));
    at_rest_again(w);
    world_free(w);
}

enum { SWEPT_COUNT = 600, GONE_ABOVE = 300 };

static bool people_keys_are_made(const struct world *w)
{
    return w->seed % 4 == 1 && !w->orphans && !w->dropped_items_go && !w->oversize;
}

/* Rows come while items are deleted that are known as those of another layout's rows: what is on
 * its way for them is not taken for what was there before. */
static void rows_that_come_amid_a_sweep_stay(void **state)
{
    struct world *w = world_that(people_keys_are_made, "DELETE FROM people");
    struct table_slot *t = NULL;
    int turns = 0;

    (void)state;
    w->config->hold_deletes = 100;
    app_run(w,
            "WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d) "
            "INSERT INTO people(id,name) SELECT i,'first' FROM n",
            SWEPT_COUNT);
    at_rest_again(w);
    app_run(w,
            "BEGIN IMMEDIATE; CREATE TABLE copy(id TEXT PRIMARY KEY, name TEXT, v);"
            "INSERT INTO copy SELECT id,name,v FROM people WHERE id<=%d;"
            "DROP TABLE people; ALTER TABLE copy RENAME TO people; COMMIT",
            GONE_ABOVE);
    do {
        sim_turn(w);
        assert_string_equal(w->failure, "");
        assert_true(++turns < TURNS_TO_SETTLE);
        t = mirror_table_named(w->mirror, "people");
    } while (!t || t->load != LOAD_SWEEP || t->sweep != SWEEP_DELETE);
    app_run(w,
            "WITH n(i) AS (SELECT %d+1 UNION ALL SELECT i+1 FROM n WHERE i<%d) "
            "INSERT INTO people(id,name) SELECT i,'again' FROM n",
            GONE_ABOVE, SWEPT_COUNT);
    all_is_equal_again(w);
}

static int interrupted(void *arg)
{
    (void)arg;
    return 1;
}

/* A table that was away for a moment is no other one because what is known of it cannot be read
 * just then: the items of rows that went are known still. */
static void what_is_known_outlives_a_state_file_that_cannot_be_read(void **state)
{
    struct world *w = world_of_people(PEOPLE_COUNT);
    uint32_t people = target_named(w, "people");
    sqlite3 *db = mirror_store(w->mirror)->db;
    char identity[32];

    (void)state;
    snprintf(identity, sizeof identity, "table-%u", service_table(w, "people")->made);
    w->config->hold_deletes = 100;
    sqlite3_db_config(w->app, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    app_run(w, "DELETE FROM people WHERE id=30");
    sqlite3_db_config(w->app, SQLITE_DBCONFIG_ENABLE_TRIGGER, 1, NULL);
    mirror_target_parked(w->mirror, w->now, people, "AccessDeniedException", "simulated");
    sqlite3_progress_handler(db, 1, interrupted, NULL);
    mirror_target_open(w->mirror, w->now, people, identity, false);
    sqlite3_progress_handler(db, 0, NULL, NULL);
    live_for(w, 5 * USEC_PER_SEC);
    assert_int_equal(mirror_resync(w->mirror, "people", false, NULL), 1);
    at_rest_again(w);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_that_come_amid_a_sweep_stay),
        cmocka_unit_test(a_table_rebuilt_twice_is_compared_twice),
        cmocka_unit_test(a_rebuilt_table_is_compared_though_all_numbers_are_as_before),
        cmocka_unit_test(triggers_that_all_came_back_are_noticed),
        cmocka_unit_test(triggers_of_the_application_do_not_cut_ours_short),
        cmocka_unit_test(a_journal_emptied_twice_is_noticed_twice),
        cmocka_unit_test(a_journal_that_begins_with_a_giant_key_is_read),
        cmocka_unit_test(a_change_of_form_outlives_the_process_that_noticed_it),
        cmocka_unit_test(an_emptied_journal_outlives_the_process_that_noticed_it),
        cmocka_unit_test(a_change_of_form_outlives_an_unwritable_state_file),
        cmocka_unit_test(a_refused_comparison_outlives_a_kill),
        cmocka_unit_test(a_survey_outlives_an_unwritable_state_file),
        cmocka_unit_test(an_item_whose_row_went_with_the_state_file_is_found),
        cmocka_unit_test(what_a_marker_tells_outlives_an_unwritable_state_file),
        cmocka_unit_test(what_a_look_has_found_that_was_broken_off_goes),
        cmocka_unit_test(a_table_lost_while_its_items_are_looked_at_is_filled),
        cmocka_unit_test(a_doubt_outlives_an_unwritable_state_file),
        cmocka_unit_test(what_is_known_outlives_a_state_file_that_cannot_be_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
