/* A table that takes nothing for long, with a long backlog, in a simulated world: the others flow
 * on, its own changes wait in the journal and come in order; and what came back is read again
 * before it goes again. */
#include "sim_world.h"

enum { ROWS = 12000, TURNS = 20000 };

/* What is too much for malloc() is no error of the program there. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

/* Turns until the table has had so many writes. */
static void until_put(struct world *w, const char *table, uint64_t puts)
{
    int turns = 0;

    w->pumping = true;
    while (table_named(w, table).items_put < puts) {
        sim_turn(w);
        assert_string_equal(w->failure, "");
        assert_true(++turns < TURNS);
    }
}

static void all_is_equal(struct world *w)
{
    sim_settle(w);
    oracle_compare(w, "when it is free again");
    assert_string_equal(w->failure, "");
    world_free(w);
}

/* The first table is throttled, and has a long backlog. */
static struct world *one_throttled(void)
{
    struct world *w = world_of_two_tables(1, 3);

    service_table(w, "mine")->throttled = true;
    app_run(w,
            "WITH n(i) AS (SELECT 10 UNION ALL SELECT i+1 FROM n WHERE i<%d) "
            "INSERT INTO mine SELECT i,'first' FROM n",
            ROWS);
    return w;
}

/* --- room ------------------------------------------------------------------------------------- */

static void the_others_flow_past_a_throttled_table(void **state)
{
    struct world *w = one_throttled();

    (void)state;
    live_for(w, 2 * USEC_PER_SEC);
    uint64_t puts = table_named(w, "mine").items_put, yours = table_named(w, "yours").items_put;
    for (unsigned n = 1; n <= 20; n++) {
        app_run(w, "UPDATE yours SET v='change %u'", n);
        until_put(w, "yours", yours + 3 * n);
        app_run(w, "UPDATE mine SET v='change %u' WHERE id<5000", n);
    }
    assert_int_equal(table_named(w, "mine").items_put, puts);
    assert_true(seen(w).engine.items < 8000);
    assert_true(seen(w).journal_entries >= ROWS - 10);
    assert_false(seen(w).converged);
    service_table(w, "mine")->throttled = false;
    all_is_equal(w);
}

/* So many changes of the other table are written while that one is still being looked through. */
static void look_through(struct world *w, uint32_t target, uint64_t puts)
{
    w->pumping = true;
    for (int turns = 0; table_named(w, "yours").items_put < puts; turns++) {
        if (w->surveys[target].active)
            w->surveys[target].due = w->now + 3600 * USEC_PER_SEC;
        sim_turn(w);
        assert_string_equal(w->failure, "");
        assert_true(turns < TURNS);
    }
    assert_true(mirror_target(w->mirror, target)->surveying);
    assert_false(mirror_target(w->mirror, target)->open);
}

/* What a DynamoDB table holds is looked through before anything is sent there, which may last for
 * hours. */
static void the_others_flow_past_a_table_that_is_looked_through(void **state)
{
    struct world *w = world_of_two_tables(1, 3);

    (void)state;
    sim_stop(w);
    sim_lose_state(w);
    assert_true(sim_start(w));
    while (mirror_target_count(w->mirror) == 0)
        sim_turn(w);
    uint32_t mine = target_named(w, "mine");
    look_through(w, mine, 3);
    app_run(w,
            "WITH n(i) AS (SELECT 10 UNION ALL SELECT i+1 FROM n WHERE i<%d) "
            "INSERT INTO mine SELECT i,'first' FROM n",
            ROWS);
    for (unsigned n = 1; n <= 20; n++) {
        app_run(w, "UPDATE yours SET v='change %u'", n);
        look_through(w, mine, 3 + 3 * n);
        app_run(w, "UPDATE mine SET v='change %u' WHERE id<5000", n);
    }
    assert_true(seen(w).engine.items < 4000);
    assert_false(seen(w).converged);
    w->surveys[mine].due = w->now;
    all_is_equal(w);
}

/* Falling behind is no matter of the process: it may die, stop, let go of the journal, take it up
 * again. */
static void what_is_behind_survives_everything(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        struct world *w = one_throttled();
        live_for(w, 2 * USEC_PER_SEC);
        app_run(w, "DELETE FROM mine WHERE id%%7=0");
        app_run(w, "UPDATE mine SET id=id+100000 WHERE id%%7=1");
        live_for(w, 2 * USEC_PER_SEC);
        if (how == 0)
            sim_crash(w);
        else if (how == 1)
            sim_stop(w);
        if (!w->mirror)
            assert_true(sim_start(w));
        if (how == 2) { /* and parked, in between */
            service_table(w, "mine")->denied = true;
            live_for(w, 30 * USEC_PER_SEC);
            assert_string_equal(table_named(w, "mine").state, "parked");
            service_table(w, "mine")->denied = false;
        }
        if (how == 3) /* a schema change attaches anew */
            app_run(w, "CREATE TABLE other(id INTEGER PRIMARY KEY)");
        live_for(w, 2 * USEC_PER_SEC);
        service_table(w, "mine")->throttled = false;
        all_is_equal(w);
    }
}

/* Its DynamoDB table is parked before it was open: what was read of it is forgotten, and read again
 * once it is open, however soon. */
static void what_is_behind_survives_a_table_that_never_opened(void **state)
{
    struct world *w = world_of_two_tables(1, 3);

    (void)state;
    sim_stop(w);
    app_run(w,
            "WITH n(i) AS (SELECT 10 UNION ALL SELECT i+1 FROM n WHERE i<%d) "
            "INSERT INTO yours SELECT i,'first' FROM n",
            ROWS);
    app_run(w, "INSERT INTO mine SELECT id+10,'new' FROM yours");
    w->config->write_units_per_second = 1000;
    assert_true(sim_start(w));
    uint32_t mine = target_named(w, "mine");
    w->pumping = true;
    for (int turns = 0; !mirror_table_named(w->mirror, "mine")->behind; turns++) {
        w->surveys[mine].marked_due = USEC_NEVER; /* its marker cannot be written yet */
        sim_turn(w);
        assert_true(turns < TURNS);
    }
    assert_false(mirror_target(w->mirror, mine)->open);
    mirror_target_parked(w->mirror, w->now, mine, "AccessDeniedException", "simulated");
    service_probe(w, mine);
    w->surveys[mine].marked_due = USEC_NEVER;
    mirror_target_marked(w->mirror, w->now, mine);
    assert_true(mirror_target(w->mirror, mine)->open);
    all_is_equal(w);
}

/* An operator's order has the journal judged anew, from its beginning: what is pending of the table
 * is settled no more than before. */
static void what_is_behind_survives_an_order_to_attach(void **state)
{
    struct world *w = one_throttled();
    struct err err = {0};

    (void)state;
    live_for(w, 2 * USEC_PER_SEC);
    assert_int_equal(mirror_attach_order(w->mirror, &err), 0);
    live_for(w, 20 * USEC_PER_SEC);
    sim_crash(w);
    assert_true(sim_start(w));
    service_table(w, "mine")->throttled = false;
    all_is_equal(w);
}

/* A load, too: it neither takes the room of changes nor is it kept from going on. */
static void a_load_leaves_room_while_it_is_throttled(void **state)
{
    struct world *w = one_throttled();
    struct err err = {0};

    (void)state;
    service_table(w, "mine")->throttled = false;
    sim_settle(w);
    service_table(w, "mine")->throttled = true;
    assert_true(mirror_resync(w->mirror, "mine", true, &err) > 0);
    live_for(w, 2 * USEC_PER_SEC);
    assert_true(seen(w).engine.items < 8000);
    uint64_t yours = table_named(w, "yours").items_put;
    app_run(w, "UPDATE yours SET v='second'");
    until_put(w, "yours", yours + 3);
    assert_true(mirror_resync(w->mirror, "yours", true, &err) > 0);
    until_put(w, "yours", yours + 6);
    assert_string_equal(table_named(w, "mine").state, "loading");
    service_table(w, "mine")->throttled = false;
    all_is_equal(w);
}

/* --- what came back --------------------------------------------------------------------------- */

/* As a connection without triggers: no entry tells of it. */
static void app_unseen(struct world *w, const char *sql)
{
    sqlite3_db_config(w->app, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    app_run(w, "%s", sql);
    sqlite3_db_config(w->app, SQLITE_DBCONFIG_ENABLE_TRIGGER, 1, NULL);
}

/* Every way to come back: unprocessed, throttled, not sent, left open. */
static void make_it_come_back(struct world *w, int how, bool yes)
{
    service_table(w, "mine")->throttled = yes && how < 2;
    w->faults.not_sent = yes && how == 2 ? 1000 : 0;
    w->faults.transient = yes && how == 3 ? 1000 : 0;
}

static void what_came_back_goes_as_its_row_is_then(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++)
        for (int gone = 0; gone < 2; gone++) {
            struct world *w = world_of_two_tables(1, 3);
            uint64_t requests = w->requests;
            w->lateness = 0;

            make_it_come_back(w, how, true);
            app_run(w, "BEGIN; UPDATE mine SET v='older' WHERE id=2; %s; COMMIT",
                    how == 0 ? "UPDATE yours SET v='older' WHERE id=2" : "SELECT 1");
            w->pumping = true;
            for (int turns = 0; w->requests < requests + 3; turns++) {
                sim_turn(w);
                assert_true(turns < TURNS);
            }
            while (service_answer(w, false))
                ;
            app_unseen(w, gone ? "DELETE FROM mine WHERE id=2"
                               : "UPDATE mine SET v='newer' WHERE id=2");
            make_it_come_back(w, how, false);
            all_is_equal(w);
        }
}

/* Without memory to keep it an outcome is as if there had been none, and the write goes again; but
 * not over one that was read since. */
static void an_outcome_that_finds_no_memory_brings_nothing_back(void **state)
{
    struct world *w = world_of_people(3);
    struct blocks *records = &w->mirror->idle_records;
    size_t size = records->size;

    (void)state;
    app_run(w, "UPDATE people SET name='second' WHERE id=1");
    until_sent(w);
    struct sim_flight *f = list_first(&w->flights, struct sim_flight, link);
    f->due = w->now + 5 * USEC_PER_SEC;
    app_run(w, "UPDATE people SET name='third' WHERE id=1");
    w->pumping = true;
    live_for(w, 4 * USEC_PER_SEC);
    assert_true(list_first(&w->flights, struct sim_flight, link) == f);
    blocks_clear(records);
    records->size = SIZE_MAX / 2;
    while (!list_empty(&w->flights) && list_first(&w->flights, struct sim_flight, link) == f)
        sim_turn(w);
    records->size = size;
    all_is_equal(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_others_flow_past_a_throttled_table),
        cmocka_unit_test(what_is_behind_survives_everything),
        cmocka_unit_test(what_is_behind_survives_a_table_that_never_opened),
        cmocka_unit_test(what_is_behind_survives_an_order_to_attach),
        cmocka_unit_test(a_load_leaves_room_while_it_is_throttled),
        cmocka_unit_test(what_came_back_goes_as_its_row_is_then),
        cmocka_unit_test(an_outcome_that_finds_no_memory_brings_nothing_back),
        cmocka_unit_test(the_others_flow_past_a_table_that_is_looked_through),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
