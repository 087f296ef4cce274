/* Tables that the configuration leaves out for a while: what was on its way of them, and what is
 * there of them, is nobody's meanwhile. */
#include "sim_world.h"

enum { ROWS = 100 };

static struct world *two_tables(void)
{
    return world_of_two_tables(1, ROWS);
}

static void in_flight_by_its_entry(struct world *w)
{
    app_run(w, "UPDATE mine SET v='in flight' WHERE id=1");
}

static void in_flight_by_a_load(struct world *w)
{
    in_flight_by_its_entry(w);
    at_rest_again(w);
    assert_int_equal(mirror_resync(w->mirror, "mine", true, NULL), 1);
}

/* A dead letter that is tried again by hand. */
static void in_flight_as_a_letter(struct world *w)
{
    app_run(w, "UPDATE mine SET v='" SIM_POISON "' WHERE id=1");
    w->faults.poison = 1;
    at_rest_again(w);
    assert_int_equal(table_named(w, "mine").dead_letters, 1);
    sqlite3_db_config(w->app, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    app_run(w, "UPDATE mine SET v='in flight' WHERE id=1");
    sqlite3_db_config(w->app, SQLITE_DBCONFIG_ENABLE_TRIGGER, 1, NULL);
    assert_int_equal(mirror_dead_letters_retry(w->mirror, w->now, 0), 1);
}

/* By a reload, or by a start. */
static void take_in_again(struct world *w, bool restart)
{
    if (restart)
        sim_stop(w);
    world_leave_out(w, NULL);
    if (restart)
        assert_true(sim_start(w));
}

/* What a killed process had on its way of a table that its successor does not mirror, and that is
 * mirrored again before that can come no more. */
static void left_out_for_a_while(void (*send)(struct world *w), usec late, const char *then)
{
    for (int restart = 0; restart < 2; restart++) {
        struct world *w = two_tables();
        send(w);
        crash_amid(w, late);
        app_run(w, "%s", then);
        world_leave_out(w, "mine");
        assert_true(sim_start(w));
        live_for(w, 10 * USEC_PER_SEC);
        assert_int_equal(seen(w).journal_entries, 0);
        app_run(w, "UPDATE mine SET v='first' WHERE id=1");
        take_in_again(w, restart);
        all_is_equal_again(w);
    }
}

static void what_comes_late_of_a_table_that_was_left_out_does_not_stay(void **state)
{
    (void)state;
    left_out_for_a_while(in_flight_by_its_entry, 0, "");
    left_out_for_a_while(in_flight_by_its_entry, 300 * USEC_PER_SEC, "");
}

static void nor_where_its_entries_are_lost(void **state)
{
    static const char then[] = "DELETE FROM _syncd_journal";

    (void)state;
    left_out_for_a_while(in_flight_by_its_entry, 0, then);
    left_out_for_a_while(in_flight_by_its_entry, 300 * USEC_PER_SEC, then);
}

static void nor_does_what_comes_late_of_its_load(void **state)
{
    (void)state;
    left_out_for_a_while(in_flight_by_a_load, 0, "");
    left_out_for_a_while(in_flight_by_a_load, 300 * USEC_PER_SEC, "");
}

static void nor_does_what_comes_late_of_its_dead_letters(void **state)
{
    (void)state;
    left_out_for_a_while(in_flight_as_a_letter, 0, "");
    left_out_for_a_while(in_flight_as_a_letter, 300 * USEC_PER_SEC, "");
}

/* It is mirrored again when its DynamoDB table is open already: nobody takes it up, but from then
 * on what is sent of it may be on its way. */
static void what_a_crash_left_open_of_a_table_let_go_and_left_out_is_found(void **state)
{
    struct world *w = two_tables();

    (void)state;
    service_table(w, "mine")->denied = true;
    app_run(w, "UPDATE mine SET v='second' WHERE id=1");
    live_for(w, 80 * USEC_PER_SEC);
    assert_int_equal(seen(w).journal_entries, 0);
    world_leave_out(w, "mine");
    live_for(w, 2 * USEC_PER_SEC);
    service_table(w, "mine")->denied = false;
    while (!mirror_target(w->mirror, target_named(w, "mine"))->open)
        live_for(w, USEC_PER_SEC);
    world_leave_out(w, NULL);
    turn_until_sent(w);
    leave_late(w, w->now);
    service_late(w);
    sim_crash(w);
    service_table(w, "mine")->denied = true;
    app_run(w, "UPDATE mine SET v='first' WHERE id=1");
    assert_true(sim_start(w));
    live_for(w, 80 * USEC_PER_SEC);
    all_is_equal_again(w);
}

/* Of very many tables, and the state file cannot be written just then. */
static void nor_what_came_of_many_where_it_is_taken_back(void **state)
{
    enum { MANY = 20 };
    struct world *w = two_tables();

    (void)state;
    for (int i = 0; i < MANY; i++) {
        app_run(w, "CREATE TABLE many%02d(id INTEGER PRIMARY KEY, v)", i);
        app_run(w, "INSERT INTO many%02d VALUES(1,'first')", i);
    }
    live_for(w, 100 * USEC_PER_SEC);
    at_rest_again(w);
    for (int i = 0; i < MANY; i++)
        app_run(w, "UPDATE many%02d SET v='in flight'", i);
    crash_amid(w, 0);
    world_leave_out(w, "many*");
    assert_true(sim_start(w));
    for (int i = 0; w->mirror->doubted_count < MANY; i++) {
        assert_true(i < TURNS_TO_SETTLE);
        sim_turn(w);
    }
    sim_state_full(w, true);
    if (w->source_syncing)
        sim_source_synced(w, true);
    assert_int_equal(mirror_flush_now(w->mirror, w->now, &(int){0}), -EIO);
    sim_state_full(w, false);
    live_for(w, 10 * USEC_PER_SEC);
    assert_false(w->mirror->state_broken);
    assert_int_equal(seen(w).journal_entries, 0);
    for (int i = 0; i < MANY; i++)
        app_run(w, "UPDATE many%02d SET v='first'", i);
    world_leave_out(w, NULL);
    live_for(w, 100 * USEC_PER_SEC);
    all_is_equal_again(w);
}

/* --- what is there ---------------------------------------------------------------------------- */

/* Of a table that is mirrored no more, by configuration or because it was dropped (on_drop = keep),
 * though the one that is left has the DynamoDB table for itself and is compared. */
static void items_of_a_table_that_is_not_mirrored_stay(void **state)
{
    _cleanup_buf_ struct buf key = {0};

    (void)state;
    for (int how = 0; how < 3; how++) {
        struct world *w = a_message_beside_seats(&key);
        if (how == 1)
            app_run(w, "DROP TABLE msgs");
        else
            world_leave_out(w, "msgs");
        if (how == 2) { /* only the table's mark tells that they are ours */
            sim_stop(w);
            sim_lose_state(w);
            assert_true(sim_start(w));
        }
        live_for(w, 200 * USEC_PER_SEC);
        assert_int_equal(mirror_resync(w->mirror, "seats", true, NULL), 1);
        live_for(w, 2000 * USEC_PER_SEC);
        assert_non_null(service_item(service_table(w, "single"), key.data, key.len));
        world_leave_out(w, NULL);
        all_is_equal_again(w);
    }
}

/* Nor does whoever looks at the items take them for the other table's. */
static void nor_are_they_mended(void **state)
{
    _cleanup_buf_ struct buf key = {0};
    struct world *w = a_message_beside_seats(&key);
    const struct mirror_key item = {.bytes = key.data, .len = key.len}, row = {0};
    struct err err = {0};

    (void)state;
    world_leave_out(w, "msgs");
    live_for(w, 20 * USEC_PER_SEC);
    assert_int_equal(mirror_mend_extra(w->mirror, "seats", &item, &row, 1, &err), 0);
    live_for(w, 20 * USEC_PER_SEC);
    assert_non_null(service_item(service_table(w, "single"), key.data, key.len));
    world_leave_out(w, NULL);
    all_is_equal_again(w);
}

/* --- with a state file that was lost ---------------------------------------------------------- */

/* Rows go while no state file knows of their items, and no entry speaks of them. */
static void lose_state_and(struct world *w, const char *rows)
{
    sim_stop(w);
    app_run(w, "DELETE FROM %s", rows);
    app_run(w, "DELETE FROM _syncd_journal WHERE t<>0");
    sim_lose_state(w);
}

/* Whose the items are that are found then, only its plan tells. */
static void a_look_at_the_items_of_a_table_left_out_is_none(void **state)
{
    (void)state;
    for (uint64_t tries = 0; tries < 8; tries++) {
        struct world *w = world_of_people(ROWS);
        lose_state_and(w, "people WHERE id=7");
        assert_true(sim_start(w));
        w->rng.state = tries;
        uint32_t i = target_named(w, "people");
        while (!mirror_target(w->mirror, i)->surveying)
            sim_turn(w);
        world_leave_out(w, "people");
        live_for(w, 5 * USEC_PER_SEC);
        world_leave_out(w, NULL);
        all_is_equal_again(w);
    }
}

static bool three_tables_in_one(const struct world *w)
{
    const struct table_config *desks = config_table(w->config, "desks");

    return w->templates && strcmp(desks->target, "single") == 0 && !w->oversize && !w->orphans;
}

/* The others of its DynamoDB table are mirrored all the time. */
static void items_of_a_table_left_out_are_looked_for_when_it_is_back(void **state)
{
    (void)state;
    for (int restart = 0; restart < 2; restart++) {
        struct world *w =
            world_that(three_tables_in_one, "INSERT INTO msgs(id,usr,room) VALUES(901,'u1',1)");
        lose_state_and(w, "msgs WHERE id=901");
        world_leave_out(w, "msgs");
        assert_true(sim_start(w));
        live_for(w, 2000 * USEC_PER_SEC);
        take_in_again(w, restart);
        all_is_equal_again(w);
    }
}

/* It is not known that the table was mirrored by a process whose writes may yet come. */
static void late_writes_of_a_table_left_out_do_not_stay(void **state)
{
    struct world *w = two_tables();

    (void)state;
    in_flight_by_its_entry(w);
    crash_amid(w, 300 * USEC_PER_SEC);
    sim_lose_state(w);
    world_leave_out(w, "mine");
    assert_true(sim_start(w));
    live_for(w, 5 * USEC_PER_SEC);
    world_leave_out(w, NULL);
    app_run(w, "UPDATE mine SET v='second' WHERE id=1");
    all_is_equal_again(w);
}

/* A load brings another row to the key that its item had. */
static void nor_does_it_take_what_a_load_brought(void **state)
{
    struct world *w =
        world_that(three_tables_in_one, "INSERT INTO desks(code,place) VALUES('d901','here')");

    (void)state;
    w->config->hold_deletes = 100;
    app_run(w, "DELETE FROM desks WHERE code='d901'");
    crash_amid(w, 300 * USEC_PER_SEC);
    world_leave_out(w, "desks");
    sqlite3_db_config(w->app, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    app_run(w, "INSERT INTO seats(id,place) VALUES(902,'here')");
    sqlite3_db_config(w->app, SQLITE_DBCONFIG_ENABLE_TRIGGER, 1, NULL);
    assert_true(sim_start(w));
    while (!w->mirror->attached)
        sim_turn(w);
    assert_int_equal(mirror_resync(w->mirror, "seats", true, NULL), 1);
    live_for(w, 2000 * USEC_PER_SEC);
    world_leave_out(w, NULL);
    all_is_equal_again(w);
}

/* What was to be looked at of a table that is dropped keeps nobody waiting. */
static void a_look_that_was_due_is_not_when_the_table_is_dropped(void **state)
{
    struct world *w = world_of_people(ROWS);

    (void)state;
    lose_state_and(w, "people WHERE id=7");
    assert_true(sim_start(w));
    while (!mirror_target(w->mirror, target_named(w, "people"))->open)
        sim_turn(w);
    assert_true(mirror_target(w->mirror, target_named(w, "people"))->owing);
    app_run(w, "DROP TABLE people");
    at_rest_again(w);
    world_free(w);
}

/* Nobody sends anything there meanwhile, and so nobody is told. */
static void replace(struct world *w, bool made_anew)
{
    struct sim_table *t = service_table(w, "mine");

    service_clear(t);
    t->exists = made_anew;
    t->made += made_anew;
    t->marker.there = false;
}

/* Its DynamoDB table is deleted, or made anew, while nothing is mirrored into it. */
static void a_target_that_went_while_its_table_was_left_out_is_noticed(void **state)
{
    (void)state;
    for (int made_anew = 0; made_anew < 2; made_anew++) {
        struct world *w = two_tables();
        world_leave_out(w, "mine");
        live_for(w, 20 * USEC_PER_SEC);
        replace(w, made_anew);
        world_leave_out(w, NULL);
        live_for(w, 200 * USEC_PER_SEC);
        oracle_converged(w);
        assert_true(service_table(w, "mine")->exists);
        all_is_equal_again(w);
    }
}

static void nor_is_one_overlooked_that_went_while_all_was_taken_out(void **state)
{
    struct err err = {0};

    (void)state;
    for (int made_anew = 0; made_anew < 2; made_anew++) {
        struct world *w = two_tables();
        assert_int_equal(mirror_detach(w->mirror, &err), 0);
        live_for(w, 20 * USEC_PER_SEC);
        replace(w, made_anew);
        assert_int_equal(mirror_attach_order(w->mirror, &err), 0);
        w->pumping = true;
        live_for(w, 200 * USEC_PER_SEC);
        oracle_converged(w);
        assert_true(service_table(w, "mine")->exists);
        all_is_equal_again(w);
    }
}

/* Nor one that was parked before, was found well while nothing was mirrored into it, and went then.
 */
static void nor_one_that_was_looked_at_meanwhile(void **state)
{
    struct err err = {0};

    (void)state;
    for (int how = 0; how < 4; how++) {
        struct world *w = two_tables();
        const uint32_t mine = target_named(w, "mine");
        mirror_target_parked(w->mirror, w->now, mine, "AccessDeniedException", "simulated");
        w->probes[mine].due = w->now + 10 * USEC_PER_SEC;
        if (how & 1)
            assert_int_equal(mirror_detach(w->mirror, &err), 0);
        else
            world_leave_out(w, "mine");
        live_for(w, 20 * USEC_PER_SEC);
        assert_true(mirror_target(w->mirror, mine)->open);
        replace(w, how & 2);
        if (how & 1)
            assert_int_equal(mirror_attach_order(w->mirror, &err), 0);
        else
            world_leave_out(w, NULL);
        w->pumping = true;
        live_for(w, 200 * USEC_PER_SEC);
        oracle_converged(w);
        assert_true(service_table(w, "mine")->exists);
        all_is_equal_again(w);
    }
}

static bool dropped_items_go(const struct world *w)
{
    return w->dropped_items_go && w->seed % 4 != 1;
}

/* The process is killed amid the first load of a table, which is dropped then: nobody has noted
 * what that load has sent. */
static void items_of_a_load_go_with_the_table_that_is_dropped(void **state)
{
    uint64_t seed = 0;
    struct world *w = NULL;

    (void)state;
    while (!w || !dropped_items_go(w)) {
        if (w)
            world_free(w);
        w = world_new(++seed, false);
        assert_true(world_build(w));
    }
    w->lateness = 900 * USEC_PER_SEC;
    w->config->unconfirmed_horizon = 960 * USEC_PER_SEC;
    app_run(w, "INSERT OR REPLACE INTO people(id,name) VALUES(1,'first')");
    assert_true(sim_start(w));
    while (service_table(w, "people")->items.count == 0) {
        sim_turn(w);
        leave_late(w, w->now);
        service_late(w);
    }
    sim_crash(w);
    app_run(w, "DROP TABLE people");
    assert_true(sim_start(w));
    const uint32_t people = target_named(w, "people");
    while (!mirror_target(w->mirror, people)->surveying || !mirror_target(w->mirror, people)->open)
        sim_turn(w);
    /* The look takes long, and the database is let go of meanwhile. */
    w->surveys[people].due = w->now + 60 * USEC_PER_SEC;
    live_for(w, 50 * USEC_PER_SEC);
    assert_true(mirror_resting(w->mirror));
    at_rest_again(w);
    assert_int_equal(service_table(w, "people")->items.count, 0);
    all_is_equal_again(w);
}

/* What may yet come back of one keeps no other from being done with: the items of the first cannot
 * be looked at for as long as that is denied. */
static void items_go_beside_those_of_a_table_that_cannot_be_looked_at(void **state)
{
    const char *const names[] = {"people", "notes"};

    (void)state;
    for (int k = 0; k < 2; k++) {
        struct world *w =
            world_that(dropped_items_go, "INSERT INTO people(id,name) VALUES(911,'x');"
                                         "INSERT INTO notes(slug,n) VALUES('x',911)");
        const uint32_t target = target_named(w, names[k]);
        assert_int_equal(owned_again(w->mirror, w->mirror->targets[target]), 0);
        w->quiet = false;
        w->faults.survey_denied = 1000;
        app_run(w, "DROP TABLE people; DROP TABLE notes");
        live_for(w, 300 * USEC_PER_SEC);
        assert_int_equal(w->mirror->dropped_count, 1);
        assert_int_equal(service_table(w, "people")->items.count, 0);
        assert_int_equal(service_table(w, "notes")->items.count, 0);
        w->faults.survey_denied = 0;
        live_for(w, 300 * USEC_PER_SEC);
        assert_int_equal(w->mirror->dropped_count, 0);
        world_free(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_late_of_a_table_that_was_left_out_does_not_stay),
        cmocka_unit_test(nor_where_its_entries_are_lost),
        cmocka_unit_test(nor_does_what_comes_late_of_its_load),
        cmocka_unit_test(nor_does_what_comes_late_of_its_dead_letters),
        cmocka_unit_test(what_a_crash_left_open_of_a_table_let_go_and_left_out_is_found),
        cmocka_unit_test(nor_what_came_of_many_where_it_is_taken_back),
        cmocka_unit_test(items_of_a_table_that_is_not_mirrored_stay),
        cmocka_unit_test(nor_are_they_mended),
        cmocka_unit_test(a_look_at_the_items_of_a_table_left_out_is_none),
        cmocka_unit_test(items_of_a_table_left_out_are_looked_for_when_it_is_back),
        cmocka_unit_test(late_writes_of_a_table_left_out_do_not_stay),
        cmocka_unit_test(nor_does_it_take_what_a_load_brought),
        cmocka_unit_test(a_look_that_was_due_is_not_when_the_table_is_dropped),
        cmocka_unit_test(a_target_that_went_while_its_table_was_left_out_is_noticed),
        cmocka_unit_test(nor_is_one_overlooked_that_went_while_all_was_taken_out),
        cmocka_unit_test(nor_one_that_was_looked_at_meanwhile),
        cmocka_unit_test(items_of_a_load_go_with_the_table_that_is_dropped),
        cmocka_unit_test(items_go_beside_those_of_a_table_that_cannot_be_looked_at),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
