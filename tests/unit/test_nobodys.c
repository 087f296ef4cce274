/* Items of tables that are not mirrored just now, beside those of tables that are; and of tables
 * that are mirrored to another DynamoDB table for a while. */
#include "sim_world.h"

#include "config/config_read.h"

enum { ROWS = 100 };

static char *text(const char *s)
{
    char *copy = strdup(s);

    assert_non_null(copy);
    return copy;
}

/* As a changed configuration says, of which a process that is there is told. */
static void map_to(struct world *w, const char *table, const char *target)
{
    struct config *c = w->config;
    struct table_config *s = (struct table_config *)config_table(c, table);

    if (!s) {
        c->table_sections =
            realloc(c->table_sections, (c->table_section_count + 1) * sizeof *c->table_sections);
        assert_non_null(c->table_sections);
        s = &c->table_sections[c->table_section_count++];
        struct err err;
        assert_int_equal(table_config_init(s, table, "", 0, &err), 0);
    }
    free(s->target);
    s->target = text(target);
    w->compared = (struct sim_compared){0};
    oracle_forget(w);
    if (w->mirror) {
        mirror_remap(w->mirror, c);
        w->pumping = true;
    }
}

/* --- two tables in one DynamoDB table --------------------------------------------------------- */

/* A message that a killed process had on its way for the first time, and that did arrive. */
static void a_message_in_flight_at_a_crash(struct world *w, struct buf *key)
{
    app_run(w, "INSERT INTO msgs(id,usr,room) VALUES(903,'u1',1)");
    crash_amid(w, 0);
    buf_clear(key);
    key_of(w, "single", "MSG#1#903", key);
}

/* A write of uncertain outcome is looked at when the table that it is of is mirrored no more. */
static void an_item_of_uncertain_outcome_of_a_table_left_out_stays(void **state)
{
    _cleanup_buf_ struct buf key = {0};
    struct world *w = a_message_beside_seats(&key);
    uint32_t id;

    (void)state;
    a_message_in_flight_at_a_crash(w, &key);
    assert_true(sim_start(w));
    settled(w);
    assert_int_equal(store_target(mirror_store(w->mirror), "single", &id), 0);
    assert_true(store_suspect_has(mirror_store(w->mirror), id, key.data, key.len));
    world_leave_out(w, "msgs");
    live_for(w, 2000 * USEC_PER_SEC);
    assert_false(store_suspect_has(mirror_store(w->mirror), id, key.data, key.len));
    assert_non_null(service_item(service_table(w, "single"), key.data, key.len));
    world_leave_out(w, NULL);
    all_is_equal_again(w);
}

/* Of which no state file knew, and whose row goes while the table is left out. */
static void an_item_that_a_crash_left_of_a_table_left_out_is_found(void **state)
{
    _cleanup_buf_ struct buf key = {0};

    (void)state;
    for (int soon = 0; soon < 2; soon++) {
        struct world *w = a_message_beside_seats(&key);
        a_message_in_flight_at_a_crash(w, &key);
        world_leave_out(w, "msgs");
        assert_true(sim_start(w));
        live_for(w, 10 * USEC_PER_SEC);
        app_run(w, "DELETE FROM msgs WHERE id=903");
        live_for(w, (soon ? 10 : 2000) * USEC_PER_SEC);
        world_leave_out(w, NULL);
        all_is_equal_again(w);
    }
}

/* What a sweep would delete is measured by the table's own items. */
static void items_of_a_table_left_out_do_not_count_for_hold_deletes(void **state)
{
    _cleanup_buf_ struct buf key = {0};
    struct world *w = a_message_beside_seats(&key);

    (void)state;
    app_run(w, "WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<1000) "
               "INSERT INTO msgs(id,usr,room) SELECT 10000+i,'u2',1 FROM n");
    at_rest_again(w);
    w->config->hold_deletes = 50;
    world_leave_out(w, "msgs");
    live_for(w, 20 * USEC_PER_SEC);
    sqlite3_db_config(w->app, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    app_run(w, "DELETE FROM seats");
    sqlite3_db_config(w->app, SQLITE_DBCONFIG_ENABLE_TRIGGER, 1, NULL);
    assert_int_equal(mirror_resync(w->mirror, "seats", false, NULL), 1);
    live_for(w, 200 * USEC_PER_SEC);
    assert_true(table_named(w, "seats").held_items > 0);
    world_leave_out(w, NULL);
    all_is_equal_again(w);
}

/* Others write while the database is handed over; a table comes back only later. */
static void what_others_wrote_of_a_table_left_out_is_noticed(void **state)
{
    _cleanup_buf_ struct buf key = {0};
    struct world *w = a_message_beside_seats(&key);
    struct err err = {0};

    (void)state;
    assert_int_equal(mirror_hand_over(w->mirror, &err), 0);
    come_late(w, "single", &key, "{\"stale\":{\"BOOL\":true}}");
    world_leave_out(w, "msgs");
    assert_int_equal(mirror_take_back(w->mirror, &err), 0);
    live_for(w, 2000 * USEC_PER_SEC);
    world_leave_out(w, NULL);
    all_is_equal_again(w);
}

/* --- an older state file ---------------------------------------------------------------------- */

static void copy_state(struct world *w, const char *to, bool back)
{
    char path[64];
    sqlite3 *from_db, *to_db;

    snprintf(path, sizeof path, "%s", to);
    if (back)
        sim_lose_state(w);
    assert_int_equal(sqlite3_open(back ? path : w->state, &from_db), SQLITE_OK);
    assert_int_equal(sqlite3_open(back ? w->state : path, &to_db), SQLITE_OK);
    sqlite3_backup *b = sqlite3_backup_init(to_db, "main", from_db, "main");
    assert_non_null(b);
    assert_int_equal(sqlite3_backup_step(b, -1), SQLITE_DONE);
    sqlite3_backup_finish(b);
    sqlite3_close(from_db);
    sqlite3_close(to_db);
}

static void what_an_older_state_file_has_of_a_table_left_out_is_not_believed(void **state)
{
    struct world *w = world_of_two_tables(1, ROWS);

    (void)state;
    sim_stop(w);
    copy_state(w, "/sim/older.db", false);
    assert_true(sim_start(w));
    at_rest_again(w);
    app_run(w, "UPDATE mine SET v='second' WHERE id=1");
    at_rest_again(w);
    sim_stop(w);
    copy_state(w, "/sim/older.db", true);
    for (size_t i = 0; i < w->table_count; i++) /* markers that cannot be read */
        w->tables[i].marker = (struct sim_marker){0};
    world_leave_out(w, "mine");
    assert_true(sim_start(w));
    live_for(w, 20 * USEC_PER_SEC);
    app_run(w, "UPDATE mine SET v='first' WHERE id=1");
    live_for(w, 2000 * USEC_PER_SEC);
    world_leave_out(w, NULL);
    all_is_equal_again(w);
}

/* --- to another DynamoDB table and back ------------------------------------------------------- */

static void what_a_killed_process_had_on_its_way_is_minded_when_a_table_is_mapped_back(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        struct world *w = world_of_two_tables(1, ROWS);
        app_run(w, "UPDATE mine SET v='in flight' WHERE id=1");
        crash_amid(w, late ? 300 * USEC_PER_SEC : 0);
        map_to(w, "mine", "elsewhere");
        assert_true(sim_start(w));
        live_for(w, 10 * USEC_PER_SEC);
        assert_int_equal(seen(w).journal_entries, 0);
        app_run(w, "UPDATE mine SET v='first' WHERE id=1");
        live_for(w, 10 * USEC_PER_SEC);
        map_to(w, "mine", "mine");
        all_is_equal_again(w);
    }
}

/* --- no key tells ----------------------------------------------------------------------------- */

/* Two tables in one DynamoDB table, whose keys do not tell whose an item is. */
static struct world *two_in_one(void)
{
    struct world *w = world_of_two_tables(1, ROWS);

    w->config->hold_deletes = 100;
    app_run(w, "UPDATE yours SET id=id+1000");
    at_rest_again(w);
    map_to(w, "yours", "mine");
    at_rest_again(w);
    return w;
}

static void lose_state_and(struct world *w, const char *rows)
{
    sim_stop(w);
    if (*rows)
        app_run(w, "DELETE FROM %s", rows);
    app_run(w, "DELETE FROM _syncd_journal WHERE t<>0");
    sim_lose_state(w);
}

static void item_of(struct world *w, const char *part, struct buf *key)
{
    buf_clear(key);
    key_of(w, "mine", part, key);
}

static void items_of_a_table_left_out_are_looked_for_though_other_keys_fit(void **state)
{
    _cleanup_buf_ struct buf key = {0};
    struct world *w = two_in_one();

    (void)state;
    app_run(w, "UPDATE yours SET v='gone' WHERE id=1007");
    at_rest_again(w);
    item_of(w, "\"gone\"", &key);
    lose_state_and(w, "yours WHERE id=1007");
    world_leave_out(w, "yours");
    assert_true(sim_start(w));
    live_for(w, 2000 * USEC_PER_SEC);
    world_leave_out(w, NULL);
    at_rest_again(w);
    live_for(w, 2000 * USEC_PER_SEC);
    assert_null(service_item(service_table(w, "mine"), key.data, key.len));
    all_is_equal_again(w);
}

static void nor_are_they_mended_as_those_of_the_other(void **state)
{
    _cleanup_buf_ struct buf key = {0};
    struct world *w = two_in_one();
    struct err err = {0};

    (void)state;
    app_run(w, "UPDATE yours SET v='there' WHERE id=1007");
    at_rest_again(w);
    item_of(w, "\"there\"", &key);
    const struct mirror_key item = {.bytes = key.data, .len = key.len}, row = {0};
    lose_state_and(w, "");
    world_leave_out(w, "yours");
    assert_true(sim_start(w));
    live_for(w, 2000 * USEC_PER_SEC);
    assert_int_equal(mirror_mend_extra(w->mirror, "mine", &item, &row, 1, &err), 0);
    live_for(w, 20 * USEC_PER_SEC);
    assert_non_null(service_item(service_table(w, "mine"), key.data, key.len));
    world_leave_out(w, NULL);
    all_is_equal_again(w);
}

/* Nor does a look take them for the other's, whether or not a section of the configuration names
 * the DynamoDB table of the one that is left out. */
static void nor_are_they_taken_for_the_others(void **state)
{
    static const char *const tables[] = {"mine", "yours"};
    _cleanup_buf_ struct buf key = {0};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct world *w = two_in_one();
        app_run(w, "UPDATE %s SET v='there' WHERE id %% 1000=7", tables[i]);
        at_rest_again(w);
        item_of(w, "\"there\"", &key);
        lose_state_and(w, "");
        world_leave_out(w, tables[i]);
        assert_true(sim_start(w));
        live_for(w, 2000 * USEC_PER_SEC);
        assert_non_null(service_item(service_table(w, "mine"), key.data, key.len));
        world_leave_out(w, NULL);
        all_is_equal_again(w);
    }
}

/* It is left out while the look is under way. */
static void nor_where_it_is_left_out_amid_the_look(void **state)
{
    _cleanup_buf_ struct buf key = {0};

    (void)state;
    for (unsigned pages = 0, over = 0; !over; pages++) {
        struct world *w = two_in_one();
        app_run(w, "UPDATE yours SET v='there' WHERE id=1007");
        at_rest_again(w);
        item_of(w, "\"there\"", &key);
        lose_state_and(w, "");
        assert_true(sim_start(w));
        uint32_t i = target_named(w, "mine");
        while (!w->surveys[i].active)
            sim_turn(w);
        for (unsigned n = 0; n < pages && w->surveys[i].active; n++) {
            w->now = w->surveys[i].due;
            survey_page(w, i);
        }
        over = !w->surveys[i].active;
        world_leave_out(w, "yours");
        live_for(w, 2000 * USEC_PER_SEC);
        assert_non_null(service_item(service_table(w, "mine"), key.data, key.len));
        world_leave_out(w, NULL);
        all_is_equal_again(w);
    }
}

/* It was dropped, its items stay, and the configuration names it no more. */
static void nor_where_it_was_dropped_and_its_section_taken_out(void **state)
{
    _cleanup_buf_ struct buf key = {0};

    (void)state;
    for (int soon = 0; soon < 2; soon++) {
        struct world *w = two_in_one();
        struct config *c = w->config;
        app_run(w, "INSERT INTO yours VALUES(5007,'there')");
        crash_amid(w, 0);
        item_of(w, "\"there\"", &key);
        app_run(w, "DROP TABLE yours");
        if (soon) {
            table_config_clear(&c->table_sections[--c->table_section_count]);
            assert_true(sim_start(w));
        } else {
            assert_true(sim_start(w));
            live_for(w, 100 * USEC_PER_SEC);
            table_config_clear(&c->table_sections[--c->table_section_count]);
            mirror_remap(w->mirror, c);
        }
        live_for(w, 2000 * USEC_PER_SEC);
        assert_non_null(service_item(service_table(w, "mine"), key.data, key.len));
        world_free(w);
    }
}

/* Its own was away for so long that it holds the journal no more; the other is there. When that is
 * away, too, for a moment, what changes meanwhile waits in the journal. */
static void a_table_parked_for_long_that_goes_to_one_that_is_open(void **state)
{
    struct world *w = world_of_two_tables(1, ROWS);

    (void)state;
    app_run(w, "UPDATE mine SET id=id+5000");
    at_rest_again(w);
    service_table(w, "mine")->denied = true;
    app_run(w, "UPDATE mine SET v='second' WHERE id<5010");
    live_for(w, 90 * USEC_PER_SEC);
    assert_string_equal(table_named(w, "mine").state, "parked");
    assert_int_equal(seen(w).journal_entries, 0);
    map_to(w, "mine", "yours");
    at_rest_again(w);
    service_table(w, "yours")->denied = true;
    app_run(w, "UPDATE yours SET v='third' WHERE id=7");
    live_for(w, 5 * USEC_PER_SEC);
    assert_string_equal(table_named(w, "mine").state, "parked");
    app_run(w, "UPDATE mine SET v='third' WHERE id=5050");
    live_for(w, 20 * USEC_PER_SEC);
    service_table(w, "yours")->denied = false;
    at_rest_again(w);
    world_free(w);
}

/* --- rows that wait for a key ----------------------------------------------------------------- */

static bool three_tables_in_one(const struct world *w)
{
    const struct table_config *desks = config_table(w->config, "desks");

    return w->templates && strcmp(desks->target, "single") == 0 && !w->oversize && !w->orphans &&
           !w->dropped_items_go && w->seed % 4 != 1;
}

/* Keys that tell that an item is ours, but not which table's: one that is left out, or that was
 * dropped and whose items stay, makes such keys as well. */
static void nor_where_the_keys_of_both_are_alike(void **state)
{
    _cleanup_buf_ struct buf key = {0}, own = {0};
    struct err err = {0};

    (void)state;
    for (int dropped = 0; dropped < 2; dropped++) {
        struct world *w =
            world_that(three_tables_in_one, "INSERT INTO desks(code,place) VALUES('d1','here');"
                                            "INSERT INTO msgs(id,usr,room) VALUES(901,'u1',1)");
        w->config->hold_deletes = 100;
        buf_clear(&key);
        buf_clear(&own);
        key_of(w, "single", "PLACE#here", &key);
        key_of(w, "single", "MSG#1#901", &own);
        lose_state_and(w, "msgs WHERE id=901");
        if (dropped)
            app_run(w, "DROP TABLE desks");
        else
            world_leave_out(w, "desks");
        assert_true(sim_start(w));
        live_for(w, 2000 * USEC_PER_SEC);
        assert_non_null(service_item(service_table(w, "single"), key.data, key.len));
        assert_null(service_item(service_table(w, "single"), own.data, own.len));
        const struct mirror_key item = {.bytes = key.data, .len = key.len}, row = {0};
        assert_int_equal(mirror_mend_extra(w->mirror, "seats", &item, &row, 1, &err), 0);
        live_for(w, 20 * USEC_PER_SEC);
        assert_non_null(service_item(service_table(w, "single"), key.data, key.len));
        world_leave_out(w, NULL);
        if (!dropped)
            at_rest_again(w);
        world_free(w);
    }
}

/* Nobody's row has the key any more once the table whose row had it is left out. */
static void a_row_that_waits_for_the_key_of_a_table_left_out_is_sent(void **state)
{
    (void)state;
    for (int restart = 0; restart < 2; restart++) {
        struct world *w =
            world_that(three_tables_in_one, "INSERT INTO desks(code,place) VALUES('d1','here')");
        app_run(w, "INSERT INTO seats(id,place) VALUES(902,'here')");
        at_rest_again(w);
        assert_int_equal(table_named(w, "seats").dead_letters, 1);
        if (restart)
            sim_stop(w);
        world_leave_out(w, "desks");
        if (restart)
            assert_true(sim_start(w));
        live_for(w, 200 * USEC_PER_SEC);
        assert_int_equal(table_named(w, "seats").dead_letters, 0);
        world_leave_out(w, NULL);
        all_is_equal_again(w);
    }
}

/* The key's column has another name for a moment, and with it the DynamoDB table another key: what
 * was known of that one is not written over what is known since. */
static void a_look_that_is_due_outlives_a_key_that_was_another(void **state)
{
    _cleanup_buf_ struct buf key = {0};
    struct world *w = two_in_one();
    uint32_t own, other;

    (void)state;
    app_run(w, "UPDATE yours SET v='gone' WHERE id=1007");
    at_rest_again(w);
    item_of(w, "\"gone\"", &key);
    lose_state_and(w, "yours WHERE id=1007");
    world_leave_out(w, "yours");
    assert_true(sim_start(w));
    live_for(w, 2000 * USEC_PER_SEC);
    own = target_named(w, "mine");
    other = mirror_target_count(w->mirror);
    app_run(w, "ALTER TABLE mine RENAME COLUMN id TO nr");
    for (int turns = 0; mirror_target_count(w->mirror) == other; turns++) {
        assert_true(turns < TURNS_TO_SETTLE);
        sim_turn(w);
    }
    mirror_target_parked(w->mirror, w->now, other, "key", "its key is another");
    w->probes[other].due = USEC_NEVER;
    app_run(w, "ALTER TABLE mine RENAME COLUMN nr TO id");
    live_for(w, 20 * USEC_PER_SEC);
    world_leave_out(w, NULL);
    for (int turns = 0; !w->surveys[own].active; turns++) {
        assert_true(turns < TURNS_TO_SETTLE);
        sim_turn(w);
    }
    w->surveys[own].due = w->now + 600 * USEC_PER_SEC;
    sim_state_full(w, true);
    app_run(w, "UPDATE mine SET v='second' WHERE id=1");
    live_for(w, 5 * USEC_PER_SEC);
    sim_state_full(w, false);
    live_for(w, 5 * USEC_PER_SEC);
    assert_false(w->mirror->state_broken);
    sim_stop(w);
    assert_true(sim_start(w));
    live_for(w, 2000 * USEC_PER_SEC);
    assert_null(service_item(service_table(w, "mine"), key.data, key.len));
    all_is_equal_again(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_item_of_uncertain_outcome_of_a_table_left_out_stays),
        cmocka_unit_test(an_item_that_a_crash_left_of_a_table_left_out_is_found),
        cmocka_unit_test(items_of_a_table_left_out_do_not_count_for_hold_deletes),
        cmocka_unit_test(what_others_wrote_of_a_table_left_out_is_noticed),
        cmocka_unit_test(what_an_older_state_file_has_of_a_table_left_out_is_not_believed),
        cmocka_unit_test(
            what_a_killed_process_had_on_its_way_is_minded_when_a_table_is_mapped_back),
        cmocka_unit_test(items_of_a_table_left_out_are_looked_for_though_other_keys_fit),
        cmocka_unit_test(nor_where_it_was_dropped_and_its_section_taken_out),
        cmocka_unit_test(nor_are_they_mended_as_those_of_the_other),
        cmocka_unit_test(nor_are_they_taken_for_the_others),
        cmocka_unit_test(nor_where_it_is_left_out_amid_the_look),
        cmocka_unit_test(a_table_parked_for_long_that_goes_to_one_that_is_open),
        cmocka_unit_test(nor_where_the_keys_of_both_are_alike),
        cmocka_unit_test(a_row_that_waits_for_the_key_of_a_table_left_out_is_sent),
        cmocka_unit_test(a_look_that_is_due_outlives_a_key_that_was_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
