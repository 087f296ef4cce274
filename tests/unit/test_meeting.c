/* Rows that meet at one key, in a simulated world: whoever is to have it, somebody has it. */
#include "meeting_world.h"

/* A row left its key and came back while another, which is refused, was to have it: it waits for
 * the key of the item that is still its own. */
static struct world *world_of_a_waiting_owner(void)
{
    struct world *w = meeting_world();

    app_run(w, "INSERT INTO seats(id,place,v) VALUES(1,'here','first')");
    at_rest_again(w);
    app_run(w, "UPDATE seats SET place='there' WHERE id=1");
    read_at_once(w, "INSERT INTO seats(id,place,v) VALUES(2,'here','" SIM_POISON "')");
    read_at_once(w, "UPDATE seats SET place='here', v='again' WHERE id=1");
    for (int i = 0; i < TURNS_TO_SETTLE && table_named(w, "seats").dead_letters < 2; i++)
        sim_turn(w);
    assert_int_equal(table_named(w, "seats").dead_letters, 2);
    assert_true(has_item(w, "first"));
    return w;
}

static void an_owner_that_waits_for_one_that_is_refused_is_looked_at_again(void **state)
{
    struct world *w = world_of_a_waiting_owner();

    (void)state;
    at_rest_again(w);
    assert_true(has_item(w, "again"));
    assert_int_equal(table_named(w, "seats").dead_letters, 1);
    world_free(w);
}

static void an_owner_that_waits_is_told_by_who_waits_for_it(void **state)
{
    struct world *w = world_of_a_waiting_owner();

    (void)state;
    app_run(w, "UPDATE seats SET v='mended' WHERE id=2");
    at_rest_again(w);
    assert_true(has_item(w, "again"));
    assert_int_equal(table_named(w, "seats").dead_letters, 1);
    world_free(w);
}

static void an_owner_that_waits_is_told_by_who_leaves(void **state)
{
    struct world *w = world_of_a_waiting_owner();

    (void)state;
    app_run(w, "DELETE FROM seats WHERE id=2");
    at_rest_again(w);
    assert_true(has_item(w, "again"));
    assert_int_equal(table_named(w, "seats").dead_letters, 0);
    world_free(w);
}

/* The owner that waits is offered its key again, by no entry of the journal, and the process ends
 * before that is sent. */
static void an_owner_is_told_again(bool killed)
{
    struct world *w = world_of_a_waiting_owner();

    sim_pause(w, true);
    app_run(w, "UPDATE seats SET v='mended' WHERE id=2");
    w->pumping = true;
    live_for(w, 5 * USEC_PER_SEC);
    if (killed)
        sim_crash(w);
    else
        sim_stop(w);
    assert_true(sim_start(w));
    sim_pause(w, false);
    at_rest_again(w);
    assert_true(has_item(w, "again"));
    assert_int_equal(table_named(w, "seats").dead_letters, 1);
    world_free(w);
}

static void an_owner_that_waits_is_told_again_after_a_kill(void **state)
{
    (void)state;
    an_owner_is_told_again(true);
}

static void an_owner_that_waits_is_told_again_after_a_stop(void **state)
{
    (void)state;
    an_owner_is_told_again(false);
}

/* Nor does it help that its DynamoDB table comes back soon. */
static void an_owner_that_waits_is_told_again_after_a_park(void **state)
{
    struct world *w = world_of_a_waiting_owner();

    (void)state;
    sim_pause(w, true);
    app_run(w, "UPDATE seats SET v='mended' WHERE id=2");
    w->pumping = true;
    live_for(w, 5 * USEC_PER_SEC);
    service_table(w, "single")->denied = true;
    service_table(w, "single")->shown = true;
    sim_pause(w, false);
    live_for(w, 5 * USEC_PER_SEC);
    service_table(w, "single")->denied = false;
    at_rest_again(w);
    assert_true(has_item(w, "again"));
    assert_int_equal(table_named(w, "seats").dead_letters, 1);
    world_free(w);
}

/* The row that has the item goes, and the one that has waited for its key cannot be written. */
static void an_item_does_not_outlive_its_row_for_one_that_is_refused(void **state)
{
    struct world *w = meeting_world();

    (void)state;
    app_run(w, "INSERT INTO seats(id,place,v) VALUES(1,'here','first')");
    at_rest_again(w);
    app_run(w, "INSERT INTO seats(id,place,v) VALUES(2,'here','" SIM_POISON "')");
    at_rest_again(w);
    assert_int_equal(table_named(w, "seats").dead_letters, 1);
    app_run(w, "DELETE FROM seats WHERE id=1");
    at_rest_again(w);
    assert_int_equal(table_named(w, "seats").dead_letters, 1);
    assert_false(has_item(w, "first"));
    world_free(w);
}

/* Seat 1 cannot be written at p1, which is told in five seconds. */
static struct sim_flight *poison_on_its_way(struct world *w)
{
    app_run(w, "INSERT INTO seats(id,place,v) VALUES(1,'p1','" SIM_POISON "')");
    turn_until_sent(w);
    struct sim_flight *f = list_first(&w->flights, struct sim_flight, link);
    assert_int_equal(f->count, 1);
    f->arrived = false;
    f->due = w->now + 5 * USEC_PER_SEC;
    return f;
}

/* A refusal that comes when its row is well under another key is none of the row's any more. */
static void a_late_refusal_under_a_key_that_was_left(void **state)
{
    struct world *w = meeting_world();

    (void)state;
    struct sim_flight *f = poison_on_its_way(w);
    app_run(w, "UPDATE seats SET place='p2', v='well' WHERE id=1");
    w->pumping = true;
    live_for(w, 4 * USEC_PER_SEC);
    assert_true(list_first(&w->flights, struct sim_flight, link) == f);
    at_rest_again(w);
    assert_int_equal(seen(w).dead_letters, 0);
    world_free(w);
}

/* Nor one that comes when its row is gone, though another row's write takes the place of the
 * delete. */
static void a_late_refusal_of_a_row_that_is_gone(void **state)
{
    struct world *w = meeting_world();

    (void)state;
    poison_on_its_way(w);
    app_run(w, "DELETE FROM seats");
    w->pumping = true;
    live_for(w, 4 * USEC_PER_SEC);
    sim_pause(w, true);
    live_for(w, 2 * USEC_PER_SEC);
    assert_true(list_empty(&w->flights));
    app_run(w, "INSERT INTO seats(id,place,v) VALUES(2,'p1','well')");
    w->pumping = true;
    live_for(w, 2 * USEC_PER_SEC);
    at_rest_again(w);
    assert_true(has_item(w, "well"));
    assert_int_equal(seen(w).dead_letters, 0);
    world_free(w);
}

static bool seats_meet_and_are_not_packed(const struct world *w)
{
    const struct table_config *seats = config_table(w->config, "seats");

    return seats_meet(w) && seats->oversize == OVERSIZE_DEAD_LETTER;
}

/* One that waits for a key, and cannot be written, leaves it to the next that waits, or to nobody.
 */
static void a_row_that_is_too_large_takes_no_key(void **state)
{
    struct world *w =
        world_that(seats_meet_and_are_not_packed, "DELETE FROM seats; DELETE FROM desks");

    (void)state;
    app_run(w, "INSERT INTO seats(id,place,v) VALUES(1,'here','first')");
    at_rest_again(w);
    app_run(w, "INSERT INTO seats(id,place,v) VALUES(2,'here',hex(zeroblob(250000)))");
    at_rest_again(w);
    assert_int_equal(table_named(w, "seats").dead_letters, 1);
    app_run(w, "INSERT INTO seats(id,place,v) VALUES(3,'here','third')");
    at_rest_again(w);
    assert_int_equal(table_named(w, "seats").dead_letters, 2);
    app_run(w, "DELETE FROM seats WHERE id=1");
    at_rest_again(w);
    assert_false(has_item(w, "first"));
    assert_true(has_item(w, "third"));
    assert_int_equal(table_named(w, "seats").dead_letters, 1);
    world_free(w);
}

static bool desks_meet_seats(const struct world *w)
{
    const struct table_config *desks = config_table(w->config, "desks");

    return seats_meet(w) && desks && desks->target && strcmp(desks->target, "single") == 0;
}

static bool desks_meet_seats_and_stay(const struct world *w)
{
    return desks_meet_seats(w) && !w->dropped_items_go;
}

static bool desks_meet_seats_and_go(const struct world *w)
{
    return desks_meet_seats(w) && w->dropped_items_go;
}

/* A seat waits for the key of a desk with that in it, which goes with all others. */
static void drop_what_is_waited_for(bool (*fits)(const struct world *w), const char *v)
{
    struct world *w = world_that(fits, "DELETE FROM seats; DELETE FROM desks");

    app_run(w, "INSERT INTO desks(code,place,v) VALUES('d1','here','%s')", v);
    sim_work(w);
    read_at_once(w, "INSERT INTO seats(id,place,v) VALUES(1,'here','waits')");
    at_rest_again(w);
    assert_int_equal(table_named(w, "seats").dead_letters, 1);
    app_run(w, "DROP TABLE desks");
    live_for(w, 150 * USEC_PER_SEC);
    at_rest_again(w);
    assert_true(has_item(w, "waits"));
    assert_int_equal(table_named(w, "seats").dead_letters, 0);
    world_free(w);
}

static void a_row_that_waits_for_a_table_that_is_dropped(void **state)
{
    (void)state;
    drop_what_is_waited_for(desks_meet_seats_and_stay, "first");
    drop_what_is_waited_for(desks_meet_seats_and_stay, SIM_POISON);
    drop_what_is_waited_for(desks_meet_seats_and_go, "first");
    drop_what_is_waited_for(desks_meet_seats_and_go, SIM_POISON);
}

/* No entry tells that who was to have the key is gone, and no item was ever there. */
static void a_row_that_waits_for_one_that_goes_unseen(void **state)
{
    struct world *w = world_that(desks_meet_seats_and_stay, "DELETE FROM seats; DELETE FROM desks");

    (void)state;
    app_run(w, "INSERT INTO desks(code,place,v) VALUES('d1','here','" SIM_POISON "')");
    sim_work(w);
    read_at_once(w, "INSERT INTO seats(id,place,v) VALUES(1,'here','waits')");
    at_rest_again(w);
    assert_int_equal(table_named(w, "seats").dead_letters, 1);
    char *drops = app_ask(w, "SELECT group_concat('DROP TRIGGER '||name, ';') FROM sqlite_schema "
                             "WHERE type='trigger' AND tbl_name='desks' AND name GLOB '_syncd_*'");
    app_run(w, "BEGIN IMMEDIATE");
    app_run(w, "%s", drops);
    app_run(w, "DELETE FROM desks");
    app_run(w, "COMMIT");
    sqlite3_free(drops);
    live_for(w, 10 * USEC_PER_SEC);
    at_rest_again(w);
    assert_true(has_item(w, "waits"));
    assert_int_equal(table_named(w, "seats").dead_letters, 0);
    world_free(w);
}

static bool seats_meet_and_are_split(const struct world *w)
{
    const struct table_config *seats = config_table(w->config, "seats");

    return seats_meet(w) && w->oversize && seats->oversize == OVERSIZE_SPLIT;
}

static void turn_with_replies_held(struct world *w)
{
    list_for_each(pos, after, &w->flights)
    {
        struct sim_flight *f = container_of(pos, struct sim_flight, link);
        f->due = w->now + 5 * USEC_PER_SEC;
    }
    sim_turn(w);
    assert_string_equal(w->failure, "");
}

/* Nor one that comes when its row is gone, and who was to have the key then cannot be written. */
static void a_late_refusal_of_a_row_that_is_gone_for_nobody(void **state)
{
    struct world *w = world_that(seats_meet_and_are_split, "DELETE FROM seats; DELETE FROM desks");
    enum { LENGTH = 900 * 1000 };
    char *text = calloc(1, LENGTH + 1);

    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < LENGTH; i++)
        text[i] = (char)('0' + sim_pick(w, 75));
    struct sim_flight *f = poison_on_its_way(w);
    app_run(w, "INSERT INTO seats(id,place,v) VALUES(2,'p1','%s')", text);
    free(text);
    sim_work(w);
    w->pumping = true;
    for (int i = 0; i < 200 && table_named(w, "seats").dead_letters == 0; i++)
        turn_with_replies_held(w);
    app_run(w, "DELETE FROM seats WHERE id=1");
    w->pumping = true;
    for (int i = 0; i < 200 && list_empty(&w->mirror->splits); i++)
        turn_with_replies_held(w);
    app_run(w, "UPDATE seats SET v=9e999 WHERE id=2");
    w->pumping = true;
    for (int i = 0; i < 200 && !list_empty(&w->mirror->splits); i++)
        turn_with_replies_held(w);
    assert_true(list_first(&w->flights, struct sim_flight, link) == f);
    live_for(w, 6 * USEC_PER_SEC);
    at_rest_again(w);
    assert_int_equal(table_named(w, "seats").dead_letters, 1);
    world_free(w);
}

/* A row that is too long to be read takes nothing from the one that is to have its key. */
static void a_row_too_long_to_be_read_ends_no_other_rows_write(void **state)
{
    struct world *w = world_that(seats_meet_and_are_split, "DELETE FROM seats; DELETE FROM desks");
    enum { LENGTH = 900 * 1000 };
    char *text = calloc(1, LENGTH + 1);

    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < LENGTH; i++)
        text[i] = (char)('0' + sim_pick(w, 75));
    app_run(w, "INSERT INTO seats(id,place,v) VALUES(1,'p1','%s')", text);
    free(text);
    w->pumping = true;
    for (int i = 0; i < 200 && list_empty(&w->mirror->splits); i++)
        turn_with_replies_held(w);
    assert_false(list_empty(&w->mirror->splits));
    app_run(w, "INSERT INTO seats(id,place,v) VALUES(2,'p1',hex(zeroblob(9000000)))");
    w->pumping = true;
    for (int i = 0; i < 200 && table_named(w, "seats").dead_letters == 0; i++)
        turn_with_replies_held(w);
    app_run(w, "DELETE FROM seats WHERE id=2");
    at_rest_again(w);
    assert_int_equal(table_named(w, "seats").dead_letters, 0);
    world_free(w);
}

/* Seat 2, which is to have the key that seat 1 has left, is packed and waits for its chunks. */
static void a_left_key_waits_for_chunks(struct world *w)
{
    enum { LENGTH = 900 * 1000 };
    char *text = calloc(1, LENGTH + 1);

    assert_non_null(text);
    app_run(w, "INSERT INTO seats(id,place,v) VALUES(1,'p1','first')");
    at_rest_again(w);
    for (size_t i = 0; i < LENGTH; i++)
        text[i] = (char)('0' + sim_pick(w, 75));
    app_run(w, "BEGIN");
    app_run(w, "INSERT INTO seats(id,place,v) VALUES(2,'p1','%s')", text);
    free(text);
    app_run(w, "UPDATE seats SET place='p2', v='moved' WHERE id=1");
    app_run(w, "COMMIT");
    w->pumping = true;
    for (int i = 0; i < 200 && list_empty(&w->mirror->splits); i++)
        turn_with_replies_held(w);
    assert_false(list_empty(&w->mirror->splits));
}

/* The item of a row that has left its key goes, also when the one that was to have the key, and
 * waits for its chunks, cannot be written any more. */
static void an_item_does_not_outlive_its_row_for_one_whose_chunks_wait(void **state)
{
    struct world *w = world_that(seats_meet_and_are_split, "DELETE FROM seats; DELETE FROM desks");

    (void)state;
    a_left_key_waits_for_chunks(w);
    app_run(w, "UPDATE seats SET v=9e999 WHERE id=2");
    at_rest_again(w);
    assert_int_equal(table_named(w, "seats").dead_letters, 1);
    assert_true(has_item(w, "moved"));
    assert_false(has_item(w, "first"));
    world_free(w);
}

/* Nor while the one that cannot be written is changed all the time: each change would have the look
 * for items without a row begin anew. */
static void an_item_does_not_outlive_its_row_for_one_that_never_rests(void **state)
{
    struct world *w = world_that(seats_meet_and_are_split, "DELETE FROM seats; DELETE FROM desks");

    (void)state;
    app_run(w, "WITH n(i) AS (SELECT 100 UNION ALL SELECT i+1 FROM n WHERE i<2100) "
               "INSERT INTO seats(id,place,v) SELECT i,'q'||i,'other' FROM n");
    at_rest_again(w);
    a_left_key_waits_for_chunks(w);
    for (int i = 0; i < 2000 && has_item(w, "first"); i++) {
        app_run(w, "UPDATE seats SET v=9e999 WHERE id=2");
        w->pumping = true;
        sim_turn(w);
        w->now += 5 * USEC_PER_MSEC;
    }
    assert_false(has_item(w, "first"));
    at_rest_again(w);
    world_free(w);
}

static bool desks_meet_seats_and_none_is_split(const struct world *w)
{
    return desks_meet_seats(w) && !w->oversize && !w->orphans;
}

/* The same where the one that was to have the key is of a table that is behind, and both are shut
 * off once more before it is written. */
static void an_item_does_not_outlive_its_row_for_one_that_is_behind(void **state)
{
    struct world *w =
        world_that(desks_meet_seats_and_none_is_split, "DELETE FROM seats; DELETE FROM desks");
    struct sim_table *t = service_table(w, "single");

    (void)state;
    app_run(w, "INSERT INTO seats(id,place,v) VALUES(1,'p1','first')");
    at_rest_again(w);
    t->denied = true;
    app_run(w, "INSERT INTO desks(code,place,v) VALUES('d1','p1','second')");
    app_run(w, "DELETE FROM seats");
    w->pumping = true;
    live_for(w, 5 * USEC_PER_SEC);
    assert_string_equal(table_named(w, "seats").state, "parked");
    t->denied = false;
    t->throttled = true;
    live_for(w, 20 * USEC_PER_SEC);
    assert_string_equal(table_named(w, "seats").state, "live");
    t->throttled = false;
    t->denied = true;
    live_for(w, 20 * USEC_PER_SEC);
    assert_string_equal(table_named(w, "seats").state, "parked");
    app_run(w, "UPDATE desks SET v=9e999");
    t->denied = false;
    at_rest_again(w);
    assert_int_equal(table_named(w, "desks").dead_letters, 1);
    assert_false(has_item(w, "first"));
    world_free(w);
}

/* A row was moved unseen, and is too long to be read now: its item at the old key goes. */
static void an_item_does_not_outlive_its_row_that_is_too_long_elsewhere(void **state)
{
    struct world *w = meeting_world();

    (void)state;
    app_run(w, "INSERT INTO seats(id,place,v) VALUES(1,'p1','first')");
    app_run(w, "INSERT INTO seats(id,place,v) VALUES(2,'p3','other')");
    w->config->hold_deletes = 100;
    at_rest_again(w);
    char *drops = app_ask(w, "SELECT group_concat('DROP TRIGGER '||name, ';') FROM sqlite_schema "
                             "WHERE type='trigger' AND tbl_name='seats' AND name GLOB '_syncd_*'");
    app_run(w, "BEGIN IMMEDIATE");
    app_run(w, "%s", drops);
    app_run(w, "UPDATE seats SET place='p2', v=hex(zeroblob(9000000)) WHERE id=1");
    app_run(w, "COMMIT");
    sqlite3_free(drops);
    live_for(w, 30 * USEC_PER_SEC);
    assert_string_equal(table_named(w, "seats").state, "live");
    assert_int_equal(table_named(w, "seats").dead_letters, 1);
    assert_true(has_item(w, "other"));
    assert_false(has_item(w, "first"));
    world_free(w);
}

/* Seat 2 waits for the place that seat 1 has. */
static void meet_here(struct world *w)
{
    app_run(w, "INSERT INTO seats(id,place,v) VALUES(1,'here','first')");
    at_rest_again(w);
    app_run(w, "INSERT INTO seats(id,place,v) VALUES(2,'here','second')");
    at_rest_again(w);
    assert_int_equal(table_named(w, "seats").dead_letters, 1);
}

/* The row that waited for a key takes it, by no entry of the journal; it can be written no more
 * when the one that left the key is read, and the process ends before anything is sent. */
static void no_item_stays_for_a_retry(struct world *w)
{
    sim_pause(w, true);
    app_run(w, "DELETE FROM seats WHERE id=1");
    assert_int_equal(mirror_dead_letters_retry(w->mirror, w->now, 0), 1);
    app_run(w, "UPDATE seats SET v=9e999 WHERE id=2");
    w->pumping = true;
    live_for(w, 5 * USEC_PER_SEC);
    sim_stop(w);
    assert_true(sim_start(w));
    sim_pause(w, false);
    at_rest_again(w);
    assert_int_equal(table_named(w, "seats").dead_letters, 1);
    assert_false(has_item(w, "first"));
    world_free(w);
}

static void an_item_does_not_outlive_its_key_for_a_retry(void **state)
{
    struct world *w = meeting_world();

    (void)state;
    meet_here(w);
    no_item_stays_for_a_retry(w);
}

/* And also when the look for items without a row that this calls for is under way already: the one
 * after it waits for what was offered meanwhile. */
static void an_item_does_not_outlive_its_key_for_a_retry_amid_a_look(void **state)
{
    struct world *w = meeting_world();
    struct table_slot *seats = mirror_table_named(w->mirror, "seats");

    (void)state;
    app_run(w, "WITH n(i) AS (SELECT 100 UNION ALL SELECT i+1 FROM n WHERE i<2100) "
               "INSERT INTO seats(id,place,v) SELECT i,'q'||i,'other' FROM n");
    meet_here(w);
    assert_int_equal(mirror_resync(w->mirror, "seats", false, NULL), 1);
    for (int i = 0; i < TURNS_TO_SETTLE && seats->sweep != SWEEP_COUNT; i++) {
        w->pumping = true;
        sim_turn(w);
    }
    assert_int_equal(seats->sweep, SWEEP_COUNT);
    no_item_stays_for_a_retry(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_owner_that_waits_for_one_that_is_refused_is_looked_at_again),
        cmocka_unit_test(an_owner_that_waits_is_told_by_who_waits_for_it),
        cmocka_unit_test(an_owner_that_waits_is_told_by_who_leaves),
        cmocka_unit_test(an_owner_that_waits_is_told_again_after_a_kill),
        cmocka_unit_test(an_owner_that_waits_is_told_again_after_a_stop),
        cmocka_unit_test(an_owner_that_waits_is_told_again_after_a_park),
        cmocka_unit_test(an_item_does_not_outlive_its_row_for_one_that_is_refused),
        cmocka_unit_test(a_late_refusal_under_a_key_that_was_left),
        cmocka_unit_test(a_late_refusal_of_a_row_that_is_gone),
        cmocka_unit_test(a_late_refusal_of_a_row_that_is_gone_for_nobody),
        cmocka_unit_test(a_row_too_long_to_be_read_ends_no_other_rows_write),
        cmocka_unit_test(an_item_does_not_outlive_its_row_for_one_whose_chunks_wait),
        cmocka_unit_test(an_item_does_not_outlive_its_row_for_one_that_never_rests),
        cmocka_unit_test(a_row_that_is_too_large_takes_no_key),
        cmocka_unit_test(a_row_that_waits_for_a_table_that_is_dropped),
        cmocka_unit_test(a_row_that_waits_for_one_that_goes_unseen),
        cmocka_unit_test(an_item_does_not_outlive_its_row_for_one_that_is_behind),
        cmocka_unit_test(an_item_does_not_outlive_its_row_that_is_too_long_elsewhere),
        cmocka_unit_test(an_item_does_not_outlive_its_key_for_a_retry),
        cmocka_unit_test(an_item_does_not_outlive_its_key_for_a_retry_amid_a_look),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
