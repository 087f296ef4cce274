/* Writes of uncertain outcome, one at a time, in a simulated world: what is left open is
 * unconfirmed, is not taken for known, and is sent again once no older write can come any more. */
#include "sim_world.h"

#include "mirror/suspects.h"

enum { TURNS = 5000 };

/* --- a world at rest, and what is asked of it ------------------------------------------------- */

static bool seats_do_not_meet(const struct world *w)
{
    return !seats_meet(w);
}

static struct world *calm_world(bool meeting)
{
    return world_that(meeting ? seats_meet : seats_do_not_meet,
                      "DELETE FROM people; DELETE FROM seats; DELETE FROM desks");
}

static int64_t unconfirmed(struct world *w)
{
    struct mirror_view v;

    mirror_view(w->mirror, w->now, &v);
    assert_false(v.converged && v.unconfirmed);
    return v.unconfirmed;
}

static void note_until(void *arg, const struct store_suspect *x)
{
    *(int64_t *)arg = x->until;
}

static int64_t only_until(struct world *w)
{
    const struct store_suspect first = {.until = INT64_MIN};
    int64_t until = 0;

    assert_int_equal(
        store_suspect_page(mirror_store(w->mirror), INT64_MAX, &first, 9, note_until, &until), 1);
    return until;
}

/* The application's statement, whose write is sent and left open: none of it is carried out. */
static void leave_open(struct world *w, const char *sql)
{
    struct mirror_view v;
    uint64_t before = w->requests;
    int turns = 0;

    app_run(w, "%s", sql);
    w->pumping = true;
    do {
        sim_turn(w);
        assert_true(++turns < TURNS);
    } while (w->requests == before);
    struct sim_flight *f = list_first(&w->flights, struct sim_flight, link);
    f->arrived = true;
    answer(f, REPLY_AMBIGUOUS, 0, "timeout");
    while (service_answer(w, false))
        ;
    mirror_view(w->mirror, w->now, &v);
    assert_true(v.unconfirmed > 0);
}

/* Rewrites the only item of a table, or puts `item` back when there is none: what a write that
 * comes late does. */
static struct sim_item *only_item(struct world *w, const char *table)
{
    struct sim_table *t = service_table(w, table);
    struct sim_item *found = NULL;

    for (size_t i = 0; t->items.slots && i <= t->items.mask; i++)
        for (struct map_node *n = t->items.slots[i]; n; n = n->next) {
            assert_null(found);
            found = container_of(n, struct sim_item, node);
        }
    return found;
}

static void item_is(struct world *w, const char *table, const char *part)
{
    const struct sim_item *item = only_item(w, table);

    assert_non_null(item);
    assert_non_null(memmem(item->bytes + item->key_len, item->json_len, part, strlen(part)));
}

static void key_of_only_item(struct world *w, const char *table, struct buf *key)
{
    const struct sim_item *item = only_item(w, table);

    assert_non_null(item);
    buf_append(key, item->bytes, item->key_len);
}

/* --- tests ------------------------------------------------------------------------------------ */

#define OLD "{\"id\":{\"N\":\"1\"},\"name\":{\"S\":\"old\"}}"

static void a_write_left_open_is_sent_again_after_the_horizon(void **state)
{
    struct world *w = calm_world(false);
    _cleanup_buf_ struct buf key = {0};

    (void)state;
    leave_open(w, "INSERT INTO people(id,name) VALUES(1,'old')");
    assert_int_equal(unconfirmed(w), 1);
    app_run(w, "UPDATE people SET name='new'");
    settled(w); /* the newer one went at once */
    item_is(w, "people", "new");
    assert_int_equal(unconfirmed(w), 1);
    int64_t until = only_until(w);
    assert_true(until > edge_service_time(w, false));

    key_of_only_item(w, "people", &key);
    come_late(w, "people", &key, OLD);
    w->now += until - edge_service_time(w, false) - 1;
    settled(w);
    item_is(w, "people", "old"); /* not a moment too early */
    w->now += 2 * USEC_PER_SEC;
    at_rest_again(w);
    item_is(w, "people", "new");
    assert_int_equal(unconfirmed(w), 0);
    world_free(w);
}

static void another_one_moves_the_time_on(void **state)
{
    struct world *w = calm_world(false);

    (void)state;
    leave_open(w, "INSERT INTO people(id,name) VALUES(1,'old')");
    int64_t until = only_until(w);
    settled(w);
    w->now += w->config->unconfirmed_horizon / 2;
    leave_open(w, "UPDATE people SET name='new'");
    assert_true(only_until(w) >= until + w->config->unconfirmed_horizon / 2);
    at_rest_again(w);
    assert_int_equal(unconfirmed(w), 0);
    world_free(w);
}

/* What the row says again is what the state file says it holds. */
static void nothing_is_spared_for_one(void **state)
{
    struct world *w = calm_world(false);

    (void)state;
    app_run(w, "INSERT INTO people(id,name) VALUES(1,'same')");
    at_rest_again(w);
    leave_open(w, "UPDATE people SET name='other'");
    settled(w);
    leave_open(w, "UPDATE people SET name='same'");
    settled(w);
    uint64_t before = w->requests;
    app_run(w, "UPDATE people SET name='same'");
    settled(w);
    assert_true(w->requests > before);
    at_rest_again(w);
    before = w->requests;
    app_run(w, "UPDATE people SET name='same'");
    at_rest_again(w);
    assert_int_equal(w->requests, before);
    world_free(w);
}

static void it_outlives_a_restart_and_a_crash(void **state)
{
    struct world *w = calm_world(false);
    _cleanup_buf_ struct buf key = {0};

    (void)state;
    leave_open(w, "INSERT INTO people(id,name) VALUES(1,'old')");
    app_run(w, "UPDATE people SET name='new'");
    settled(w);
    int64_t until = only_until(w);
    sim_stop(w);
    assert_true(sim_start(w));
    assert_int_equal(only_until(w), until);
    settled(w);
    sim_crash(w);
    assert_true(sim_start(w));
    settled(w);
    /* It may have been sent again by the process that died. */
    assert_true(only_until(w) > until);
    key_of_only_item(w, "people", &key);
    come_late(w, "people", &key, OLD);
    at_rest_again(w);
    item_is(w, "people", "new");
    world_free(w);
}

static void what_a_stop_leaves_open_is_one(void **state)
{
    struct world *w = calm_world(false);

    (void)state;
    app_run(w, "INSERT INTO people(id,name) VALUES(1,'old')");
    turn_until_sent(w);
    w->quiet = false;
    mirror_stop(w->mirror, w->now);
    mirror_farewell(w->mirror);
    service_orphan(w);
    mirror_free(w->mirror);
    assert_true(sim_start(w));
    assert_int_equal(unconfirmed(w), 1);
    at_rest_again(w);
    assert_int_equal(unconfirmed(w), 0);
    world_free(w);
}

/* Its entry is in the journal, within what was reserved. */
static void what_a_killed_process_may_have_sent_is_one(void **state)
{
    struct world *w = calm_world(false);

    (void)state;
    app_run(w, "INSERT INTO people(id,name) VALUES(1,'old')");
    turn_until_sent(w);
    sim_crash(w);
    app_run(w, "UPDATE people SET name='new'");
    assert_true(sim_start(w));
    settled(w);
    assert_int_equal(unconfirmed(w), 1);
    assert_true(only_until(w) >= edge_service_time(w, false));
    /* What was written after the start is none. */
    app_run(w, "INSERT INTO people(id,name) VALUES(2,'later')");
    settled(w);
    assert_int_equal(unconfirmed(w), 1);
    at_rest_again(w);
    world_free(w);
}

static void a_row_that_is_gone_has_its_item_deleted_again(void **state)
{
    struct world *w = calm_world(false);
    _cleanup_buf_ struct buf key = {0};

    (void)state;
    app_run(w, "INSERT INTO people(id,name) VALUES(1,'first')");
    at_rest_again(w);
    key_of_only_item(w, "people", &key);
    leave_open(w, "UPDATE people SET name='old'");
    app_run(w, "DELETE FROM people");
    settled(w);
    assert_null(only_item(w, "people"));
    assert_int_equal(unconfirmed(w), 1);
    come_late(w, "people", &key, OLD);
    at_rest_again(w);
    assert_null(only_item(w, "people"));
    world_free(w);
}

/* A delete that comes late takes the item of a row that has the key again. */
static void a_delete_left_open_is_no_less_one(void **state)
{
    struct world *w = calm_world(false);

    (void)state;
    app_run(w, "INSERT INTO people(id,name) VALUES(1,'first')");
    at_rest_again(w);
    leave_open(w, "DELETE FROM people");
    app_run(w, "INSERT INTO people(id,name) VALUES(1,'new')");
    settled(w);
    item_remove(service_table(w, "people"), only_item(w, "people"));
    at_rest_again(w);
    item_is(w, "people", "new");
    world_free(w);
}

/* The key has come to be another row's: that one's item is what is sent again. */
static void a_key_that_another_row_has_now_gets_its_item(void **state)
{
    struct world *w = calm_world(true);
    struct sim_table *t = service_table(w, "single");
    _cleanup_buf_ struct buf key = {0};
    struct sim_item *item;

    (void)state;
    leave_open(w, "INSERT INTO seats(id,place,v) VALUES(1,'here','one')");
    settled(w);
    key_of(w, "single", "PLACE#here", &key);
    app_run(w, "UPDATE seats SET place='there' WHERE id=1");
    app_run(w, "INSERT INTO seats(id,place,v) VALUES(2,'here','two')");
    settled(w);
    assert_int_equal(unconfirmed(w), 1);
    come_late(w, "single", &key, "{\"stale\":{\"BOOL\":true}}");
    at_rest_again(w);
    item = service_item(t, key.data, key.len);
    assert_non_null(item);
    assert_non_null(memmem(item->bytes, item->key_len + item->json_len, "two", 3));
    world_free(w);
}

/* A process was killed when it had just tried a row again that waits for the key of another: its
 * successor has started, and has done nothing yet. `key`: of the item with `at` in it. */
static struct world *killed_after_a_retry(const char *at, struct buf *key)
{
    struct world *w = calm_world(true);

    app_run(w, "INSERT INTO seats(id,place,v) VALUES(1,'here','one'),(2,'here','two'),"
               "(3,'there','three')");
    at_rest_again(w);
    key_of(w, "single", at, key);
    assert_int_equal(mirror_dead_letters_retry(w->mirror, w->now, 0), 1);
    bury(w);
    vfs_dying(false);
    assert_true(sim_start(w));
    return w;
}

static void stale_item_comes_late(struct world *w, const struct buf *key)
{
    come_late(w, "single", key, "{\"stale\":{\"BOOL\":true}}");
    at_rest_again(w);
    assert_int_equal(unconfirmed(w), 0);
}

/* Whose key that row took is in no entry: also the items of rows that do not wait are suspect. */
static void where_rows_meet_a_retry_makes_every_row_suspect(void **state)
{
    _cleanup_buf_ struct buf key = {0};
    struct world *w = killed_after_a_retry("PLACE#there", &key);
    struct err err = {0};

    (void)state;
    settled(w);
    assert_int_equal(unconfirmed(w), 0);
    assert_int_equal(mirror_resync(w->mirror, "seats", true, &err), 1);
    settled(w);
    assert_int_equal(unconfirmed(w), 2);
    stale_item_comes_late(w, &key);
    world_free(w);
}

static void the_key_of_a_row_tried_again_is_suspect(void **state)
{
    _cleanup_buf_ struct buf key = {0};
    struct world *w = killed_after_a_retry("PLACE#here", &key);

    (void)state;
    settled(w);
    assert_int_equal(unconfirmed(w), 0);
    assert_int_equal(mirror_dead_letters_retry(w->mirror, w->now, 0), 1);
    settled(w);
    assert_int_equal(unconfirmed(w), 1);
    stale_item_comes_late(w, &key);
    world_free(w);
}

/* Before its target has opened nobody knows until when. */
static void a_row_tried_again_at_once_is_not_suspect_for_ever(void **state)
{
    _cleanup_buf_ struct buf key = {0};
    struct world *w = killed_after_a_retry("PLACE#here", &key);

    (void)state;
    assert_int_equal(mirror_dead_letters_retry(w->mirror, w->now, 0), 1);
    settled(w);
    assert_int_equal(unconfirmed(w), 1);
    stale_item_comes_late(w, &key);
    world_free(w);
}

/* Its entry waits behind a long backlog until nothing of the killed process can come any more. That
 * it seems to be known tells nothing: a load may have sent it before an older write came. */
static void a_change_that_is_read_late_is_sent_though_it_seems_known(void **state)
{
    _cleanup_buf_ struct buf key = {0};
    struct world *w = world_of_two_tables(1, 3);

    (void)state;
    key_of(w, "mine", "{\"N\":\"1\"}", &key);
    service_table(w, "mine")->throttled = true;
    app_run(w, "WITH n(i) AS (SELECT 10 UNION ALL SELECT i+1 FROM n WHERE i<12000) "
               "INSERT INTO mine SELECT i,'first' FROM n");
    live_for(w, 2 * USEC_PER_SEC);
    sim_crash(w);
    assert_true(sim_start(w));
    live_for(w, 2 * USEC_PER_SEC);
    app_run(w, "UPDATE mine SET v=v WHERE id=1");
    come_late(w, "mine", &key, "{\"stale\":{\"BOOL\":true}}");
    live_for(w, 2 * w->config->unconfirmed_horizon);
    service_table(w, "mine")->throttled = false;
    at_rest_again(w);
    world_free(w);
}

/* Nobody has looked since that time was over: the machine stood still meanwhile. */
static void nor_is_one_spared_that_is_read_right_after_the_horizon(void **state)
{
    _cleanup_buf_ struct buf key = {0};
    struct world *w = world_of_two_tables(1, 3);

    (void)state;
    key_of(w, "mine", "{\"N\":\"1\"}", &key);
    assert_int_equal(mirror_resync(w->mirror, "mine", true, NULL), 1);
    sim_crash(w);
    assert_true(sim_start(w));
    app_run(w, "UPDATE yours SET v=v"); /* what may be read is noted */
    live_for(w, 10 * USEC_PER_SEC);
    assert_string_equal(table_named(w, "mine").state, "live");
    app_run(w, "UPDATE mine SET v=v WHERE id=1");
    come_late(w, "mine", &key, "{\"stale\":{\"BOOL\":true}}");
    w->now += 2 * w->config->unconfirmed_horizon;
    at_rest_again(w);
    world_free(w);
}

/* One may be of a table that is mirrored no more, and concern the key of any row. */
static void entries_that_may_have_been_sent_are_read_first(void **state)
{
    struct world *w = world_of_two_tables(1, 3);

    (void)state;
    app_run(w, "BEGIN");
    for (int i = 0; i < 2 * READ_LIMIT; i++)
        app_run(w, "UPDATE mine SET v=%d WHERE id=1", i);
    app_run(w, "COMMIT");
    until_sent(w);
    assert_int_equal(mirror_resync(w->mirror, "yours", true, NULL), 1);
    sim_crash(w);
    assert_true(sim_start(w));
    while (!w->mirror->attached)
        sim_turn(w);
    assert_true(suspects_unread(w->mirror));
    while (table_named(w, "yours").rows_read == 0)
        sim_turn(w);
    assert_false(suspects_unread(w->mirror));
    at_rest_again(w);
    world_free(w);
}

/* A row that cannot be written leaves nothing to wait for; what is there is not known any more. */
static void a_row_that_cannot_be_written_ends_it(void **state)
{
    struct world *w = calm_world(false);

    (void)state;
    leave_open(w, "INSERT INTO people(id,name) VALUES(1,'old')");
    settled(w);
    app_run(w, "UPDATE people SET name=9e999");
    at_rest_again(w);
    assert_int_equal(unconfirmed(w), 0);
    app_run(w, "UPDATE people SET name='old'");
    uint64_t before = w->requests;
    at_rest_again(w);
    assert_true(w->requests > before);
    world_free(w);
}

/* A daemon with nothing to do has let go of the database; it takes it up again by itself. */
static void rest_is_left_for_one(void **state)
{
    struct world *w = calm_world(false);
    int turns = 0;

    (void)state;
    leave_open(w, "INSERT INTO people(id,name) VALUES(1,'old')");
    while (!mirror_resting(w->mirror) && only_until(w) > edge_service_time(w, false)) {
        sim_turn(w);
        assert_true(++turns < TURNS);
    }
    if (w->config->unconfirmed_horizon > 30 * USEC_PER_SEC)
        assert_true(mirror_resting(w->mirror));
    at_rest_again(w);
    assert_int_equal(unconfirmed(w), 0);
    world_free(w);
}

/* The key's column is of another type from now on, and the DynamoDB table is made anew for it: what
 * was left open under a key of before can be no item there, and no comparison waits for it. */
static void a_key_of_another_type_is_let_go_of(void **state)
{
    struct world *w = world_of_two_tables(1, 1);

    (void)state;
    leave_open(w, "UPDATE mine SET v='second' WHERE id=1");
    settled(w);
    assert_int_equal(unconfirmed(w), 1);
    app_run(w, "BEGIN IMMEDIATE");
    app_run(w, "DROP TABLE mine");
    app_run(w, "CREATE TABLE mine(id TEXT PRIMARY KEY, v)");
    app_run(w, "INSERT INTO mine VALUES('a','new')");
    app_run(w, "COMMIT");
    struct sim_table *made_anew = service_table(w, "mine");
    made_anew->exists = false;
    service_clear(made_anew);
    live_for(w, 1200 * USEC_PER_SEC);
    assert_int_equal(unconfirmed(w), 0);
    w->config->hold_deletes = 100;
    assert_int_equal(mirror_resync(w->mirror, "mine", false, NULL), 1);
    live_for(w, 60 * USEC_PER_SEC);
    assert_int_equal(mirror_table_named(w->mirror, "mine")->load, LOAD_DONE);
    at_rest_again(w);
    world_free(w);
}

/* What the database refuses while one row is looked up. */
static int refuse_lookup(void *arg)
{
    const struct world *w = arg;

    for (size_t i = 0; i < w->mirror->table_count; i++) {
        const struct table_slot *t = &w->mirror->tables[i];
        if (t->rows && sqlite3_stmt_busy(t->rows->lookup))
            return 1;
    }
    return 0;
}

/* It is not the state file that cannot be written. */
static void a_row_that_cannot_be_read_when_it_is_sent_again(void **state)
{
    struct world *w = calm_world(false);
    const char *text;

    (void)state;
    leave_open(w, "INSERT INTO people(id,name) VALUES(1,'old')");
    settled(w);
    w->now += w->config->unconfirmed_horizon;
    sqlite3_progress_handler(w->mirror->source->db, 1, refuse_lookup, w);
    w->mirror->suspects.next_look = 0;
    sim_work(w);
    assert_false(seen(w).state_broken);
    assert_int_not_equal(mirror_problem(w->mirror, &text), SOURCE_OK);
    if (w->mirror->source)
        sqlite3_progress_handler(w->mirror->source->db, 0, NULL, NULL);
    at_rest_again(w);
    assert_int_equal(unconfirmed(w), 0);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_left_open_is_sent_again_after_the_horizon),
        cmocka_unit_test(another_one_moves_the_time_on),
        cmocka_unit_test(nothing_is_spared_for_one),
        cmocka_unit_test(it_outlives_a_restart_and_a_crash),
        cmocka_unit_test(what_a_stop_leaves_open_is_one),
        cmocka_unit_test(what_a_killed_process_may_have_sent_is_one),
        cmocka_unit_test(a_row_that_is_gone_has_its_item_deleted_again),
        cmocka_unit_test(a_delete_left_open_is_no_less_one),
        cmocka_unit_test(a_key_that_another_row_has_now_gets_its_item),
        cmocka_unit_test(where_rows_meet_a_retry_makes_every_row_suspect),
        cmocka_unit_test(the_key_of_a_row_tried_again_is_suspect),
        cmocka_unit_test(a_row_tried_again_at_once_is_not_suspect_for_ever),
        cmocka_unit_test(a_change_that_is_read_late_is_sent_though_it_seems_known),
        cmocka_unit_test(nor_is_one_spared_that_is_read_right_after_the_horizon),
        cmocka_unit_test(entries_that_may_have_been_sent_are_read_first),
        cmocka_unit_test(a_row_that_cannot_be_written_ends_it),
        cmocka_unit_test(a_key_of_another_type_is_let_go_of),
        cmocka_unit_test(rest_is_left_for_one),
        cmocka_unit_test(a_row_that_cannot_be_read_when_it_is_sent_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
