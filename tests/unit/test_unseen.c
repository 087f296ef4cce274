/* Changes that no journal entry speaks of any more: they are noticed by what they leave behind,
 * also where it comes to look again as it looked before. */
#include "sim_world.h"

/* A world at rest whose people are thirty. */
static struct world *world_of_people(void)
{
    struct world *w = world_new(1, false);

    assert_non_null(w);
    assert_true(world_build(w));
    app_run(w, "DELETE FROM people");
    app_run(w, "WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<30) "
               "INSERT INTO people(id,name) SELECT i,'first' FROM n");
    assert_true(sim_start(w));
    at_rest_again(w);
    return w;
}

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
    struct world *w = world_of_people();

    (void)state;
    rebuild(w, "UPDATE people SET name='once' WHERE id=1");
    at_rest_again(w);
    rebuild(w, "UPDATE people SET name='twice' WHERE id=1");
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
    struct world *w = world_of_people();

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

/* A row goes while no state file knows of its item, and no entry speaks of it. */
static struct world *lose_state_and_a_row(void)
{
    struct world *w = world_of_people();

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
    written_before_a_comparison(world_of_people(), "ALTER TABLE people RENAME COLUMN v TO called");
}

static void an_emptied_journal_outlives_the_process_that_noticed_it(void **state)
{
    (void)state;
    written_before_a_comparison(world_of_people(), "UPDATE people SET name='two' WHERE id=1;"
                                                   "DELETE FROM _syncd_journal");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_rebuilt_twice_is_compared_twice),
        cmocka_unit_test(a_journal_emptied_twice_is_noticed_twice),
        cmocka_unit_test(a_change_of_form_outlives_the_process_that_noticed_it),
        cmocka_unit_test(an_emptied_journal_outlives_the_process_that_noticed_it),
        cmocka_unit_test(an_item_whose_row_went_with_the_state_file_is_found),
        cmocka_unit_test(what_a_marker_tells_outlives_an_unwritable_state_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
