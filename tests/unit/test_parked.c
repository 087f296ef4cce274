/* Tables whose DynamoDB table is away for long, in the simulated world: they hold neither journal
 * nor memory, and are compared afterwards. */
#include "sim_world.h"

enum { ROWS = 100 };

static struct world *two_tables(void)
{
    return world_of_two_tables(1, ROWS);
}

static bool desks_meet_seats(const struct world *w)
{
    const struct table_config *seats = config_table(w->config, "seats");
    const struct table_config *desks = config_table(w->config, "desks");

    return w->templates && strcmp(seats->target, desks->target) == 0 && !w->oversize;
}

/* Two tables of one DynamoDB table change names, and with each go its triggers, its id and what is
 * to be read of it yet. */
static void tables_that_change_names_keep_what_they_are_behind(void **state)
{
    struct world *w =
        world_that(desks_meet_seats, "DELETE FROM seats; DELETE FROM desks;"
                                     "INSERT INTO seats(id,place,v) VALUES(901,'s1','first')");

    (void)state;
    service_table(w, "single")->denied = true;
    app_run(w, "UPDATE seats SET v='second' WHERE id=901");
    w->pumping = true;
    live_for(w, 5 * USEC_PER_SEC);
    assert_string_equal(table_named(w, "seats").state, "parked");
    assert_true(seen(w).journal_entries > 0);
    app_run(w, "BEGIN IMMEDIATE;"
               "ALTER TABLE seats RENAME TO x__;"
               "ALTER TABLE desks RENAME TO seats;"
               "ALTER TABLE x__ RENAME TO desks;"
               "COMMIT");
    w->pumping = true;
    live_for(w, 5 * USEC_PER_SEC);
    assert_true(seen(w).journal_entries > 0);
    service_table(w, "single")->denied = false;
    at_rest_again(w);
    world_free(w);
}

/* Only for so long; then it is compared when it can be written again, over a crash and a clean stop
 * as well, and only what differs is sent. */
static void a_table_parked_for_long_does_not_hold_the_journal(void **state)
{
    struct world *w = two_tables();

    (void)state;
    service_table(w, "mine")->denied = true;
    app_run(w, "UPDATE mine SET v='second' WHERE id<=10");
    app_run(w, "DELETE FROM mine WHERE id BETWEEN 11 AND 20");
    app_run(w, "UPDATE mine SET id=id+1000 WHERE id BETWEEN 21 AND 23");
    app_run(w, "UPDATE yours SET v='second'");
    live_for(w, 50 * USEC_PER_SEC);
    assert_string_equal(table_named(w, "mine").state, "parked");
    assert_null(strstr(table_named(w, "mine").reason, "compared"));
    assert_true(seen(w).journal_entries >= 23);

    live_for(w, 30 * USEC_PER_SEC);
    assert_int_equal(seen(w).journal_entries, 0);
    assert_true(oracle_journal_empty(w));
    assert_string_equal(table_named(w, "mine").state, "parked");
    assert_non_null(strstr(table_named(w, "mine").reason, "simulated"));
    assert_non_null(strstr(table_named(w, "mine").reason, "compared"));
    assert_false(seen(w).converged);

    for (int crash = 1; crash >= 0; crash--) {
        if (crash)
            sim_crash(w);
        else
            sim_stop(w);
        sim_start(w);
        app_run(w, crash ? "DELETE FROM mine WHERE id=30" : "INSERT INTO mine VALUES(30,'third')");
        app_run(w, crash ? "DELETE FROM mine WHERE id=31" : "UPDATE yours SET v='third'");
        live_for(w, 15 * USEC_PER_SEC);
        assert_string_equal(table_named(w, "mine").state, "parked");
        assert_int_equal(seen(w).journal_entries, 0);
    }
    service_table(w, "mine")->denied = false;
    sim_settle(w);
    /* Ten changed, three moved, one came back; ten went, three moved, one went. */
    assert_int_equal(table_named(w, "mine").items_put, 14);
    assert_int_equal(table_named(w, "mine").items_deleted, 14);
    all_is_equal_again(w);
}

/* A short time in which there are very many changes is no better than a long one. */
static void a_table_parked_with_many_changes_does_not_hold_the_journal(void **state)
{
    struct world *w = two_tables();

    (void)state;
    service_table(w, "mine")->denied = true;
    app_run(w, "UPDATE mine SET v='second'");
    live_for(w, 1 * USEC_PER_SEC);
    usec began = w->now;
    for (int i = 0; i < 990; i++)
        app_run(w, "UPDATE mine SET v=v||'.'");
    live_for(w, 5 * USEC_PER_SEC);
    assert_true(seen(w).journal_entries >= 99000);
    for (int i = 0; i < 20; i++)
        app_run(w, "UPDATE mine SET v=v||'.'");
    app_run(w, "DELETE FROM mine WHERE id=7");
    live_for(w, 10 * USEC_PER_SEC);
    assert_int_equal(seen(w).journal_entries, 0);
    assert_true(w->now - began < 50 * USEC_PER_SEC);
    all_is_equal_again(w);
}

/* All its rows will be read: nothing needs to be held. */
static void a_table_parked_before_it_was_loaded_holds_nothing(void **state)
{
    struct world *w = two_tables();

    (void)state;
    sim_stop(w);
    service_table(w, "new")->denied = true;
    app_run(w, "CREATE TABLE new(id INTEGER PRIMARY KEY, v)");
    app_run(w, "INSERT INTO new SELECT * FROM mine");
    sim_start(w);
    app_run(w, "UPDATE new SET v='second'");
    live_for(w, 10 * USEC_PER_SEC);
    assert_string_equal(table_named(w, "new").state, "parked");
    assert_int_equal(seen(w).journal_entries, 0);
    app_run(w, "DELETE FROM new WHERE id<50");
    live_for(w, 10 * USEC_PER_SEC);
    assert_int_equal(seen(w).journal_entries, 0);
    all_is_equal_again(w);
}

/* Nobody knows what became of a request that was on its way at a crash; what the journal says of it
 * is let go of, but not forgotten: a row that was and is no more, and one that is as it was. */
static void what_a_crash_left_open_is_found_after_a_long_time_parked(void **state)
{
    (void)state;
    for (uint64_t tries = 0; tries < 8; tries++) {
        struct world *w = two_tables();
        w->rng.state = tries;
        app_run(w, "INSERT INTO mine VALUES(500,'in flight')");
        app_run(w, "UPDATE mine SET v='in flight' WHERE id=1");
        until_sent(w);
        sim_crash(w);
        service_table(w, "mine")->denied = true;
        app_run(w, "DELETE FROM mine WHERE id=500");
        app_run(w, "UPDATE mine SET v='first' WHERE id=1");
        sim_start(w);
        live_for(w, 80 * USEC_PER_SEC);
        assert_int_equal(seen(w).journal_entries, 0);
        if (tries % 2) {
            sim_crash(w);
            sim_start(w);
            live_for(w, 10 * USEC_PER_SEC);
        }
        all_is_equal_again(w);
    }
}

/* It may be carried out even after the comparison that follows. */
static void what_a_crash_left_open_may_come_after_the_comparison(void **state)
{
    struct world *w = two_tables();

    (void)state;
    w->config->unconfirmed_horizon = 600 * USEC_PER_SEC;
    app_run(w, "UPDATE mine SET v='in flight' WHERE id=1");
    until_sent(w);
    struct sim_flight *f = list_first(&w->flights, struct sim_flight, link);
    assert_int_equal(f->count, 1);
    service_leave(w, &f->writes[0], w->now + 200 * USEC_PER_SEC);
    f->count = 0;
    sim_crash(w);
    service_table(w, "mine")->denied = true;
    app_run(w, "DELETE FROM mine WHERE id=1");
    assert_true(sim_start(w));
    live_for(w, 80 * USEC_PER_SEC);
    assert_int_equal(seen(w).journal_entries, 0);
    service_table(w, "mine")->denied = false;
    live_for(w, 60 * USEC_PER_SEC);
    assert_string_equal(table_named(w, "mine").state, "live");
    assert_false(list_empty(&w->late));
    live_for(w, 100 * USEC_PER_SEC);
    assert_true(list_empty(&w->late));
    all_is_equal_again(w);
}

/* Nor is it forgotten that it may yet come, where the table's entries are let go of at once because
 * all its rows will be read. */
static void what_may_come_late_is_suspect_though_no_entry_is_read(void **state)
{
    (void)state;
    for (uint64_t tries = 0; tries < 16; tries++) {
        struct world *w = two_tables();
        w->rng.state = tries;
        sim_stop(w);
        app_run(w, "CREATE TABLE new(id INTEGER PRIMARY KEY, v)");
        app_run(w, "INSERT INTO new SELECT id,v FROM mine");
        sim_start(w);
        for (int i = 0; i < 1000 && list_empty(&w->flights); i++)
            sim_turn(w);
        sim_crash(w);
        service_table(w, "new")->denied = true;
        app_run(w, "UPDATE new SET v='second'");
        sim_start(w);
        live_for(w, 2 * USEC_PER_SEC);
        service_table(w, "new")->denied = false;
        all_is_equal_again(w);
    }
}

/* What was sent of a first load at the kill, nobody has noted; nothing of it can come any more, and
 * the rest of the load cannot be sent. */
static struct world *killed_amid_a_load(uint64_t seed)
{
    struct world *w = two_tables();

    w->rng.state = seed;
    w->config->unconfirmed_horizon = USEC_PER_SEC;
    w->lateness = USEC_PER_SEC / 16 * 15;
    sim_stop(w);
    app_run(w, "CREATE TABLE new(id INTEGER PRIMARY KEY, v)");
    app_run(w, "INSERT INTO new SELECT id,v FROM mine");
    sim_start(w);
    for (int i = 0; i < 1000 && list_empty(&w->flights); i++)
        sim_turn(w);
    sim_crash(w);
    service_table(w, "new")->denied = true;
    sim_start(w);
    live_for(w, 5 * USEC_PER_SEC);
    return w;
}

/* Nor where it is ordered, before that, that the table be compared with what is known of it. */
static void an_order_to_compare_forgets_nothing_that_may_be_there(void **state)
{
    (void)state;
    for (uint64_t tries = 0; tries < 16; tries++) {
        struct world *w = killed_amid_a_load(tries);
        struct err err;
        app_run(w, "UPDATE new SET id=-id");
        assert_int_equal(mirror_resync(w->mirror, "new", false, &err), 1);
        sim_stop(w);
        sim_start(w);
        live_for(w, 2 * USEC_PER_SEC);
        service_table(w, "new")->denied = false;
        all_is_equal_again(w);
    }
}

/* Nor where rows of it go while the triggers are gone: the table's items are looked at. */
static void what_nobody_noted_is_looked_for_where_rows_went_unseen(void **state)
{
    (void)state;
    for (uint64_t tries = 0; tries < 16; tries++) {
        struct world *w = killed_amid_a_load(tries);
        if (tries % 2)
            sim_stop(w);
        char *drop = app_ask(w, "SELECT 'DROP TRIGGER '||name FROM sqlite_schema WHERE "
                                "type='trigger' AND tbl_name='new' AND name GLOB '*_d'");
        assert_non_null(drop);
        app_run(w, "%s", drop);
        sqlite3_free(drop);
        app_run(w, "DELETE FROM new WHERE id<=50");
        if (tries % 2)
            sim_start(w);
        live_for(w, 2 * USEC_PER_SEC);
        service_table(w, "new")->denied = false;
        all_is_equal_again(w);
    }
}

/* While the application writes, triggers cannot be installed; what is said of DynamoDB's tables
 * meanwhile is remembered. */
static void a_table_made_anew_before_the_database_is_attached_is_filled(void **state)
{
    struct world *w = two_tables();
    struct sim_table *mine = service_table(w, "mine");

    (void)state;
    sim_stop(w);
    mine->exists = false;
    service_clear(mine);
    app_run(w, "CREATE TABLE new(id INTEGER PRIMARY KEY, v)");
    app_run(w, "BEGIN IMMEDIATE");
    app_run(w, "INSERT INTO new VALUES(1,'first')");
    assert_true(sim_start(w));
    live_for(w, 5 * USEC_PER_SEC);
    assert_true(mine->exists);
    assert_int_equal(mirror_table_count(w->mirror), 0);
    app_run(w, "COMMIT");
    all_is_equal_again(w);
}

/* A timed-out write may have been carried out; what the store knows of the item is no ground to
 * spare one, not even for the next process. */
static void a_doubt_outlives_a_long_time_parked_and_a_crash(void **state)
{
    (void)state;
    for (uint64_t tries = 0; tries < 8; tries++) {
        struct world *w = two_tables();
        w->rng.state = tries;
        app_run(w, "UPDATE mine SET v='in flight' WHERE id=1");
        until_sent(w);
        w->faults.ambiguous = 1000;
        service_answer(w, false);
        w->faults.ambiguous = 0;
        service_table(w, "mine")->denied = true;
        app_run(w, "UPDATE mine SET v='first' WHERE id=1");
        live_for(w, 80 * USEC_PER_SEC);
        assert_int_equal(seen(w).journal_entries, 0);
        if (tries % 2)
            sim_stop(w);
        else
            sim_crash(w);
        sim_start(w);
        all_is_equal_again(w);
    }
}

/* To let go of it fails, for want of a state file, and it can be written again before the next try:
 * then what is sent of it may be on its way at a kill, whatever was ordered before. */
static void what_a_crash_left_open_is_found_though_letting_go_had_failed(void **state)
{
    struct world *w = two_tables();

    (void)state;
    service_table(w, "mine")->denied = true;
    app_run(w, "UPDATE mine SET v='second' WHERE id=1");
    live_for(w, 50 * USEC_PER_SEC);
    sim_state_full(w, true);
    live_for(w, 15 * USEC_PER_SEC);
    assert_true(seen(w).state_broken);
    assert_true(seen(w).journal_entries > 0);
    service_table(w, "mine")->denied = false;
    live_for(w, 15 * USEC_PER_SEC);
    sim_state_full(w, false);
    turn_until_sent(w);
    leave_late(w, w->now);
    service_late(w);
    sim_crash(w);
    service_table(w, "mine")->denied = true;
    app_run(w, "UPDATE mine SET v='first' WHERE id=1");
    assert_true(sim_start(w));
    live_for(w, 80 * USEC_PER_SEC);
    assert_int_equal(seen(w).journal_entries, 0);
    all_is_equal_again(w);
}

/* The entries of a table that is parked for long are not read; but a write of a killed process may
 * come after the comparison. Of a load: the change of its row alone would have told. */
static void a_late_write_does_not_outlive_a_long_time_parked(void **state)
{
    (void)state;
    for (int load = 0; load < 3; load++) {
        struct world *w = two_tables();
        usec late = w->now + 300 * USEC_PER_SEC;
        struct err err = {0};
        w->lateness = 900 * USEC_PER_SEC;
        sqlite3_db_config(w->app, SQLITE_DBCONFIG_ENABLE_TRIGGER, load == 0, NULL);
        app_run(w, "UPDATE mine SET v='in flight'");
        sqlite3_db_config(w->app, SQLITE_DBCONFIG_ENABLE_TRIGGER, 1, NULL);
        if (load)
            assert_true(mirror_resync(w->mirror, "mine", load == 1, &err) > 0);
        until_sent(w);
        leave_late(w, late);
        sim_crash(w);
        service_table(w, "mine")->denied = true;
        sim_start(w);
        live_for(w, 2 * USEC_PER_SEC);
        app_run(w, "UPDATE mine SET v='newest'");
        live_for(w, 80 * USEC_PER_SEC);
        assert_int_equal(seen(w).journal_entries, 0);
        assert_true(w->now < late);
        all_is_equal_again(w);
    }
}

/* What a killed process had sent of a table that cannot be written now, and that is seen to be gone
 * before its entries are read: it comes back, and with it the rows as they were first. */
static struct world *gone_while_parked(bool late)
{
    struct world *w = two_tables();

    app_run(w, "UPDATE mine SET v='in flight' WHERE id=1");
    crash_amid(w, late ? 300 * USEC_PER_SEC : 0);
    service_table(w, "mine")->denied = true;
    assert_true(sim_start(w));
    live_for(w, 2 * USEC_PER_SEC);
    assert_true(seen(w).journal_entries > 0);
    app_run(w, "DROP TABLE mine");
    live_for(w, 2 * USEC_PER_SEC);
    app_run(w, "CREATE TABLE mine(id INTEGER PRIMARY KEY, v)");
    app_run(w, "INSERT INTO mine SELECT id,'first' FROM yours");
    live_for(w, 2 * USEC_PER_SEC);
    service_table(w, "mine")->denied = false;
    return w;
}

static void what_a_crash_left_open_of_a_table_that_goes_while_parked_is_found(void **state)
{
    (void)state;
    all_is_equal_again(gone_while_parked(false));
}

static void what_comes_late_of_a_table_that_goes_while_parked_does_not_stay(void **state)
{
    (void)state;
    all_is_equal_again(gone_while_parked(true));
}

/* The first world in which several tables share a DynamoDB table, and no row awaits another. */
static struct world *shared_target(void)
{
    for (uint64_t seed = 1;; seed++) {
        struct world *w = world_of_two_tables(seed, ROWS);
        if (!w->orphans && strcmp(table_named(w, "seats").target, "single") == 0)
            return w;
        world_free(w);
    }
}

/* The first row goes while the second, which has waited for the key, is tried again by hand: that
 * try is dropped, or dies, and what the journal said of the first is all there is. */
static void a_row_that_waits_for_a_key_gets_it_though_its_retry_is_dropped(void **state)
{
    (void)state;
    for (int crash = 0; crash < 2; crash++) {
        struct world *w = shared_target();
        app_run(w, "INSERT INTO seats(id,place) VALUES(9001,'where they meet')");
        sim_settle(w);
        app_run(w, "INSERT INTO seats(id,place) VALUES(9002,'where they meet')");
        live_for(w, 2 * USEC_PER_SEC);
        assert_int_equal(table_named(w, "seats").dead_letters, 1);

        app_run(w, "DELETE FROM seats WHERE id=9001");
        service_table(w, "single")->denied = !crash;
        assert_int_equal(mirror_dead_letters_retry(w->mirror, w->now, 0), 1);
        until_sent(w);
        container_of(w->flights.next, struct sim_flight, link)->due = w->now + 60 * USEC_PER_SEC;
        live_for(w, 5 * USEC_PER_SEC); /* in which the journal is read */
        if (crash) {
            sim_crash(w);
            sim_start(w);
        } else {
            while (service_answer(w, false))
                ;
            assert_string_equal(table_named(w, "seats").state, "parked");
        }
        service_table(w, "single")->denied = false;
        all_is_equal_again(w);
    }
}

/* The reply to the first writes of a load comes when the table that took them is gone, and another
 * was made in its place. */
static void what_the_table_of_before_took_is_not_known_of_the_one_made_anew(void **state)
{
    struct world *w = two_tables();
    struct sim_flight *f = NULL;

    (void)state;
    sim_stop(w);
    app_run(w, "CREATE TABLE new(id INTEGER PRIMARY KEY, v)");
    app_run(w, "INSERT INTO new SELECT * FROM mine");
    assert_true(sim_start(w));
    struct sim_table *t = service_table(w, "new");
    for (int i = 0; i < TURNS_TO_SETTLE && !f; i++) {
        sim_turn(w);
        list_for_each(pos, after, &w->flights)
        {
            struct sim_flight *x = container_of(pos, struct sim_flight, link);
            x->arrived = false; /* the others find no table */
            f = x->writes[0].table == t ? x : f;
        }
    }
    assert_non_null(f);
    arrive(w, f);
    assert_int_equal(f->reply.class, REPLY_OK);
    f->due = w->now + 60 * USEC_PER_SEC;
    t->exists = false;
    service_clear(t);
    live_for(w, 30 * USEC_PER_SEC);
    sim_pause(w, true);
    live_for(w, 60 * USEC_PER_SEC);
    sim_pause(w, false);
    at_rest_again(w);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_that_change_names_keep_what_they_are_behind),
        cmocka_unit_test(a_table_parked_for_long_does_not_hold_the_journal),
        cmocka_unit_test(a_table_parked_with_many_changes_does_not_hold_the_journal),
        cmocka_unit_test(a_table_parked_before_it_was_loaded_holds_nothing),
        cmocka_unit_test(what_may_come_late_is_suspect_though_no_entry_is_read),
        cmocka_unit_test(an_order_to_compare_forgets_nothing_that_may_be_there),
        cmocka_unit_test(what_nobody_noted_is_looked_for_where_rows_went_unseen),
        cmocka_unit_test(a_doubt_outlives_a_long_time_parked_and_a_crash),
        cmocka_unit_test(a_late_write_does_not_outlive_a_long_time_parked),
        cmocka_unit_test(what_a_crash_left_open_is_found_though_letting_go_had_failed),
        cmocka_unit_test(what_a_crash_left_open_of_a_table_that_goes_while_parked_is_found),
        cmocka_unit_test(what_comes_late_of_a_table_that_goes_while_parked_does_not_stay),
        cmocka_unit_test(a_row_that_waits_for_a_key_gets_it_though_its_retry_is_dropped),
        cmocka_unit_test(what_a_crash_left_open_is_found_after_a_long_time_parked),
        cmocka_unit_test(what_a_crash_left_open_may_come_after_the_comparison),
        cmocka_unit_test(a_table_made_anew_before_the_database_is_attached_is_filled),
        cmocka_unit_test(what_the_table_of_before_took_is_not_known_of_the_one_made_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
