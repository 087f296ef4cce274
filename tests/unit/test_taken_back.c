/* What was written into the state file and not yet kept is taken back when it cannot be written;
 * all of it is written again. */
#include "sim_world.h"

#include "mirror/suspects.h"

enum { PEOPLE_COUNT = 1500 };

static bool is_on_its_way(struct world *w, const struct buf *key)
{
    list_for_each(pos, after, &w->flights)
    {
        const struct sim_flight *f = container_of(pos, struct sim_flight, link);
        for (unsigned i = 0; i < f->count; i++)
            if (f->writes[i].key.len == key->len &&
                memcmp(f->writes[i].key.data, key->data, key->len) == 0)
                return true;
    }
    return false;
}

/* A process was killed while it sent all rows. Its successor notices that rows have changed of
 * which no entry tells, while nothing can be kept; and is killed, too, before it has met all of
 * them. What the first had sent comes last. */
static void killed_twice(bool unwritable)
{
    _cleanup_buf_ struct buf key = {0};
    struct world *w = world_of_people(PEOPLE_COUNT);

    app_run(w, "UPDATE people SET name='last' WHERE id=%d", PEOPLE_COUNT);
    at_rest_again(w);
    key_of(w, "people", "\"last\"", &key);
    assert_int_equal(mirror_resync(w->mirror, "people", true, NULL), 1);
    while (!is_on_its_way(w, &key))
        sim_turn(w);
    usec sent = w->now;
    sim_crash(w);
    assert_true(sim_start(w));
    settled(w);
    if (unwritable)
        sim_state_unwritable(w, true);
    app_run(w, "ALTER TABLE people RENAME COLUMN v TO called");
    live_for(w, 3 * USEC_PER_SEC / 2);
    if (unwritable) {
        assert_false(w->mirror->attached);
        sim_state_unwritable(w, false);
    }
    while (!w->mirror->attached)
        sim_turn(w);
    sim_crash(w);
    assert_true(sim_start(w));
    settled(w);
    assert_true(w->now < sent + w->lateness);
    come_late(w, "people", &key, "{\"stale\":{\"BOOL\":true}}");
    at_rest_again(w);
    world_free(w);
}

static void a_change_that_nobody_saw(void **state)
{
    (void)state;
    killed_twice(false);
}

static void a_change_that_nobody_saw_while_nothing_could_be_kept(void **state)
{
    (void)state;
    killed_twice(true);
}

/* --- a survey ----------------------------------------------------------------------------------
 */

static bool is_found(struct world *w, const struct buf *key)
{
    struct store *s = mirror_store(w->mirror);
    uint32_t id;

    return store_target(s, "people", &id) == 0 && is_known(s, id, key->data, key->len);
}

/* A row goes while no state file knows of it, and a killed process's write of it comes after the
 * first survey; the second, which is to find it, has begun. */
static struct world *survey_begun(struct buf *key, uint32_t *target)
{
    struct world *w = world_of_people(60);

    app_run(w, "UPDATE people SET name='gone' WHERE id=7");
    at_rest_again(w);
    key_of(w, "people", "\"gone\"", key);
    sim_crash(w);
    app_run(w, "DELETE FROM people WHERE id=7");
    app_run(w, "DELETE FROM _syncd_journal WHERE t<>0");
    struct sim_table *t = service_table(w, "people");
    item_remove(t, service_item(t, key->data, key->len));
    sim_lose_state(w);
    assert_true(sim_start(w));
    *target = target_named(w, "people");
    settled(w);
    come_late(w, "people", key, "{\"late\":{\"BOOL\":true}}");
    while (!w->surveys[*target].active)
        sim_turn(w);
    return w;
}

static void next_page(struct world *w, uint32_t target)
{
    w->now = w->surveys[target].due;
    survey_page(w, target);
}

static void what_a_survey_found_when_the_disk_was_full_at_its_end(void **state)
{
    _cleanup_buf_ struct buf key = {0};
    uint32_t target;
    struct world *w = survey_begun(&key, &target);

    (void)state;
    assert_int_equal(mirror_resync(w->mirror, "people", false, NULL), 1);
    sim_state_full(w, true);
    while (w->surveys[target].active)
        next_page(w, target);
    sim_state_full(w, false);
    at_rest_again(w);
    world_free(w);
}

static void what_a_survey_had_found_when_the_disk_was_full(void **state)
{
    _cleanup_buf_ struct buf key = {0};
    uint32_t target;
    struct world *w = survey_begun(&key, &target);

    (void)state;
    while (!is_found(w, &key) && w->surveys[target].active)
        next_page(w, target);
    assert_true(w->surveys[target].active);
    sim_state_full(w, true);
    assert_int_equal(mirror_flush_now(w->mirror, w->now, &(int){0}), -EIO);
    sim_state_full(w, false);
    w->now += STORE_RETRY;
    sim_flush(w);
    assert_false(w->mirror->state_broken);
    at_rest_again(w);
    world_free(w);
}

/* A process was killed in its first load; its successor finds rows gone of which no entry tells,
 * while the disk is full, and is killed as well. An item that nobody knows of comes last. */
static void rows_gone(void (*trouble)(struct world *w, bool yes))
{
    _cleanup_buf_ struct buf key = {0};
    struct world *w = world_of_people(1);

    app_run(w, "UPDATE people SET name='last'");
    at_rest_again(w);
    key_of(w, "people", "\"last\"", &key);
    world_free(w);

    w = world_new(1, false);
    assert_true(world_build(w));
    app_run(w, "DELETE FROM people");
    app_run(w, "INSERT INTO people(id,name) VALUES(1,'last')");
    assert_true(sim_start(w));
    while (!is_on_its_way(w, &key))
        sim_turn(w);
    usec sent = w->now;
    list_for_each(pos, after, &w->flights) flight_free(container_of(pos, struct sim_flight, link));
    sim_crash(w);
    service_table(w, "people")->denied = true;
    assert_true(sim_start(w));
    live_for(w, 10 * USEC_PER_SEC);
    int64_t version = w->mirror->schema_version;
    if (trouble)
        trouble(w, true);
    char *drops = app_ask(w, "SELECT group_concat('DROP TRIGGER '||name, ';') FROM sqlite_schema "
                             "WHERE type='trigger' AND tbl_name='people'");
    app_run(w, "%s; DELETE FROM people", drops);
    sqlite3_free(drops);
    if (trouble) {
        live_for(w, 3 * USEC_PER_SEC / 2);
        trouble(w, false);
    }
    w->pumping = true;
    while (!w->mirror->attached || w->mirror->schema_version == version)
        sim_turn(w);
    sim_crash(w);
    service_table(w, "people")->denied = false;
    assert_true(sim_start(w));
    settled(w);
    assert_true(w->now < sent + w->lateness);
    come_late(w, "people", &key, "{\"late\":{\"BOOL\":true}}");
    at_rest_again(w);
    assert_int_equal(service_table(w, "people")->items.count, 0);
    world_free(w);
}

static void a_row_that_nobody_saw_go(void **state)
{
    (void)state;
    rows_gone(NULL);
}

static void a_row_that_nobody_saw_go_while_the_disk_was_full(void **state)
{
    (void)state;
    rows_gone(sim_state_full);
}

static void a_row_that_nobody_saw_go_while_nothing_could_be_written(void **state)
{
    (void)state;
    rows_gone(sim_state_unwritable);
}

/* --- whose a table is --------------------------------------------------------------------------
 */

static bool is_held(struct world *w)
{
    return mirror_target(w->mirror, target_named(w, "people"))->held;
}

/* Somebody deletes the DynamoDB table and makes another of that name, in which an item of theirs
 * has the key of a row. The disk is full just when that is noticed: it is held, and still is after
 * a restart. */
static void another_table_that_came_while_the_disk_was_full(void **state)
{
    _cleanup_buf_ struct buf key = {0}, json = {0};
    struct world *w = world_of_people(3);
    struct sim_table *t = service_table(w, "people");
    uint32_t target = target_named(w, "people");

    (void)state;
    app_run(w, "UPDATE people SET name='mine' WHERE id=1");
    at_rest_again(w);
    key_of(w, "people", "\"mine\"", &key);
    service_clear(t);
    t->made++;
    t->marker = (struct sim_marker){0};
    buf_lit(&json, "{\"alien\":{\"BOOL\":true}}");
    service_put(t, &key, &json)->foreign = true;
    t->foreign++;
    sim_state_full(w, true);
    mirror_target_parked(w->mirror, w->now, target, "ResourceNotFoundException", "simulated");
    w->probes[target].due = w->now;
    while (!w->mirror->state_broken)
        sim_turn(w);
    sim_state_full(w, false);
    while (!is_held(w))
        sim_turn(w);
    live_for(w, 2 * USEC_PER_SEC);
    sim_stop(w);
    assert_true(sim_start(w));
    live_for(w, 10 * USEC_PER_SEC);
    assert_true(is_held(w));
    world_free(w);
}

/* The operator was told that it came to nothing. */
static void a_handover_while_the_disk_was_full(void **state)
{
    struct world *w = world_of_people(3);
    uint32_t target = target_named(w, "people");
    struct err err = {0};

    (void)state;
    sim_state_full(w, true);
    assert_true(mirror_hand_over(w->mirror, &err) < 0);
    sim_state_full(w, false);
    live_for(w, 2 * USEC_PER_SEC);
    assert_false(mirror_target(w->mirror, target)->handed_over);
    mirror_target_parked(w->mirror, w->now, target, "AccessDeniedException", "simulated");
    w->probes[target].due = w->now;
    app_run(w, "UPDATE people SET name='later' WHERE id=1");
    at_rest_again(w);
    /* And by the next order it is, also to a later process. */
    assert_int_equal(mirror_hand_over(w->mirror, &err), 0);
    world_free(w);
}

/* The operator was told that it came to nothing, and so it is, also to the next process: what was
 * written may have been kept although nobody could say so. */
static void a_detach_that_could_not_be_made_durable(void **state)
{
    struct world *w = world_of_people(3);
    struct store *s = mirror_store(w->mirror);
    struct err err = {0};
    int pipes[2], fd = store_wal_fd(s);

    (void)state;
    assert_int_equal(pipe(pipes), 0);
    s->wal_fd = pipes[0]; /* which cannot be synced */
    assert_true(mirror_detach(w->mirror, &err) < 0);
    s->wal_fd = fd;
    app_run(w, "UPDATE people SET name='later' WHERE id=1");
    at_rest_again(w);
    sim_crash(w);
    assert_true(sim_start(w));
    app_run(w, "UPDATE people SET name='last' WHERE id=1");
    at_rest_again(w);
    close(pipes[0]);
    close(pipes[1]);
    world_free(w);
}

static char owned_of[40];
static bool refuse_writing;

/* What the state file refuses once: to say whose that table is, or another thing of that name. */
static int refuse_owned(void *arg)
{
    sqlite3 *db = arg;
    bool asked = false;

    for (sqlite3_stmt *s = sqlite3_next_stmt(db, NULL); owned_of[0] && s && !asked;
         s = sqlite3_next_stmt(db, s)) {
        char *sql = !sqlite3_stmt_readonly(s) == refuse_writing ? sqlite3_expanded_sql(s) : NULL;
        asked = sql && strstr(sql, owned_of);
        sqlite3_free(sql);
    }
    if (asked)
        owned_of[0] = '\0';
    return asked;
}

static int refuse_later(sqlite3 *db)
{
    sqlite3_progress_handler(db, 1, refuse_owned, db);
    return SQLITE_OK;
}

static void a_table_handed_over_of_which_that_cannot_be_read_once(void **state)
{
    struct world *w = world_of_people(3);

    (void)state;
    mirror_target_held(w->mirror, w->now, target_named(w, "people"), true, "simulated");
    live_for(w, USEC_PER_SEC);
    snprintf(owned_of, sizeof owned_of, "'owned:%u'",
             w->mirror->targets[target_named(w, "people")]->store_id);
    sim_crash(w);
    sqlite3_auto_extension((void (*)(void))refuse_later);
    assert_true(sim_start(w));
    sqlite3_cancel_auto_extension((void (*)(void))refuse_later);
    assert_string_equal(owned_of, "");
    live_for(w, 5 * USEC_PER_SEC);
    assert_true(mirror_target(w->mirror, target_named(w, "people"))->handed_over);
    world_free(w);
}

/* Neither state file nor journal tell of a process that was killed; the marker does, and what
 * follows of that is taken back before it is kept. The one that learnt it ends cleanly. */
static void a_former_process_that_only_the_marker_tells_of(void **state)
{
    struct world *w = world_of_people(3);

    (void)state;
    app_run(w, "UPDATE people SET name='killed' WHERE id=1");
    crash_amid(w, 300 * USEC_PER_SEC);
    char *drops = app_ask(w, "SELECT group_concat('DROP '||type||' IF EXISTS '||name, ';') FROM "
                             "sqlite_schema WHERE type IN ('table','trigger') AND name GLOB "
                             "'_syncd_*' AND tbl_name NOT GLOB '_syncd_canary'");
    app_run(w, "%s", drops);
    sqlite3_free(drops);
    sim_lose_state(w);
    for (size_t i = 0; i < w->table_count; i++) /* others are opened before */
        if (strcmp(w->tables[i].name, "people") != 0) {
            w->tables[i].marker = (struct sim_marker){0};
            service_clear(&w->tables[i]);
        }
    service_table(w, "people")->denied = true;
    assert_true(sim_start(w));
    live_for(w, 10 * USEC_PER_SEC);
    assert_true(w->mirror->suspects.begun);
    assert_false(suspects_shaky(w->mirror));
    mirror_target_marker(w->mirror, target_named(w, "people"),
                         &(struct mirror_marker){.alone = true});
    assert_true(suspects_shaky(w->mirror));
    assert_true(store_dirty(mirror_store(w->mirror)));
    sim_state_full(w, true);
    assert_int_equal(mirror_flush_now(w->mirror, w->now, &(int){0}), -EIO);
    sim_state_full(w, false);
    service_table(w, "people")->denied = false;
    live_for(w, 10 * USEC_PER_SEC);
    assert_false(seen(w).state_broken);
    assert_true(suspects_shaky(w->mirror));
    sim_stop(w);
    assert_true(sim_start(w));
    assert_true(suspects_shaky(w->mirror));
    all_is_equal_again(w);
}

/* The operator was told that nothing was approved. */
static void an_approval_while_the_disk_was_full(void **state)
{
    struct world *w = world_of_people(3);
    uint32_t target = target_named(w, "people");

    (void)state;
    w->mirror->targets[target]->owned = 0; /* as at its first opening */
    mirror_target_held(w->mirror, w->now, target, false, "simulated");
    assert_true(is_held(w));
    sim_state_full(w, true);
    assert_int_equal(mirror_approve(w->mirror), 0);
    sim_state_full(w, false);
    w->now += STORE_RETRY;
    sim_flush(w);
    assert_false(seen(w).state_broken);
    assert_true(is_held(w));
    assert_false(mirror_target(w->mirror, target)->take_over);
    assert_int_equal(mirror_approve(w->mirror), 1);
    at_rest_again(w);
    world_free(w);
}

/* Whoever watches that all goes on is told of what waits for a look that does not end. */
static void a_look_that_does_not_end_is_no_rest(void **state)
{
    struct world *w = world_of_people(3);

    (void)state;
    sim_crash(w);
    sim_lose_state(w);
    assert_true(sim_start(w));
    for (int i = 0; i < 20000; i++) {
        for (uint32_t k = 0; k < mirror_target_count(w->mirror); k++)
            if (w->surveys[k].active)
                w->surveys[k].due = USEC_NEVER;
        sim_turn(w);
        if (w->now > 60 * USEC_PER_SEC && w->surveys[target_named(w, "people")].active)
            break;
    }
    assert_true(w->surveys[target_named(w, "people")].active);
    assert_string_equal(table_named(w, "people").state, "waiting");
    assert_true(seen(w).motion[MOTION_LOAD].wanted);
    world_free(w);
}

/* A process was killed while it sent a new row, and the row goes while the journal loses its
 * beginning: only a look at all items, once nothing can come any more, tells of that item. The
 * state file fails just when that look is to be ordered. */
static void a_lost_journal(bool fails)
{
    struct world *w = world_of_people(3);

    uint32_t id = w->mirror->targets[target_named(w, "people")]->store_id;
    app_run(w, "INSERT INTO people(id,name) VALUES(50,'killed')");
    crash_amid(w, 300 * USEC_PER_SEC);
    app_run(w, "DELETE FROM people WHERE id=50; UPDATE people SET name='later' WHERE id=1;"
               "DELETE FROM _syncd_journal WHERE seq<(SELECT max(seq) FROM _syncd_journal)");
    if (fails) {
        snprintf(owned_of, sizeof owned_of, "'shaken:%u'", id);
        refuse_writing = true;
        sqlite3_auto_extension((void (*)(void))refuse_later);
    }
    assert_true(sim_start(w));
    sqlite3_cancel_auto_extension((void (*)(void))refuse_later);
    refuse_writing = false;
    assert_string_equal(owned_of, "");
    live_for(w, 10 * USEC_PER_SEC);
    assert_false(seen(w).state_broken);
    all_is_equal_again(w);
}

static void a_lost_journal_of_a_killed_process(void **state)
{
    (void)state;
    a_lost_journal(false);
}

static void a_lost_journal_while_nothing_could_be_kept(void **state)
{
    (void)state;
    a_lost_journal(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_that_nobody_saw),
        cmocka_unit_test(a_change_that_nobody_saw_while_nothing_could_be_kept),
        cmocka_unit_test(what_a_survey_found_when_the_disk_was_full_at_its_end),
        cmocka_unit_test(what_a_survey_had_found_when_the_disk_was_full),
        cmocka_unit_test(a_row_that_nobody_saw_go),
        cmocka_unit_test(a_row_that_nobody_saw_go_while_the_disk_was_full),
        cmocka_unit_test(a_row_that_nobody_saw_go_while_nothing_could_be_written),
        cmocka_unit_test(another_table_that_came_while_the_disk_was_full),
        cmocka_unit_test(a_handover_while_the_disk_was_full),
        cmocka_unit_test(a_detach_that_could_not_be_made_durable),
        cmocka_unit_test(a_table_handed_over_of_which_that_cannot_be_read_once),
        cmocka_unit_test(a_former_process_that_only_the_marker_tells_of),
        cmocka_unit_test(a_lost_journal_of_a_killed_process),
        cmocka_unit_test(a_lost_journal_while_nothing_could_be_kept),
        cmocka_unit_test(an_approval_while_the_disk_was_full),
        cmocka_unit_test(a_look_that_does_not_end_is_no_rest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
