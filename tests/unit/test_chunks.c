/* Rows that become several items, where tables go and come: whoever reads a head finds its chunks,
 * and no chunk is left that no head names. */
#include "sim_world.h"

enum { TURNS = 5000 };

/* Its grid is split, and deleted when it is dropped. */
static bool splits(const struct world *w)
{
    const struct table_config *grid = config_table(w->config, "grid");

    return grid && grid->oversize == OVERSIZE_SPLIT && grid->on_drop == DROP_DELETE;
}

static void insert_large(struct world *w)
{
    app_run(w, "INSERT INTO grid(a,b,c,v) VALUES(1,'b','c',hex(randomblob(700000)))");
}

static size_t items_of(struct world *w, const char *table)
{
    return service_table(w, table)->items.count;
}

/* The next request is on its way. */
static struct sim_flight *sent(struct world *w)
{
    uint64_t before = w->requests;

    for (int turns = 0; w->requests == before; turns++) {
        sim_turn(w);
        assert_string_equal(w->failure, "");
        assert_true(turns < TURNS);
    }
    return list_first(&w->flights, struct sim_flight, link);
}

static bool is_chunk(const struct sim_write *x)
{
    return oversize_parse_key(x->key.data, x->key.len, NULL) > 0;
}

/* The service puts off what it will of a request: all heads. */
static void chunks_go_after_the_head_of_a_dropped_table(void **state)
{
    struct world *w = world_that(splits, "DELETE FROM grid");

    (void)state;
    insert_large(w);
    at_rest_again(w);
    assert_true(items_of(w, "grid") > 2);
    app_run(w, "DROP TABLE grid");
    struct sim_flight *f = sent(w);
    uint32_t heads = 0;
    for (unsigned i = 0; i < f->count; i++)
        heads |= is_chunk(&f->writes[i]) ? 0 : 1U << i;
    f->arrived = true;
    apply(w, f, heads);
    answer(f, REPLY_OK, 200, "");
    f->reply.unprocessed = heads;
    at_rest_again(w);
    assert_int_equal(items_of(w, "grid"), 0);
    world_free(w);
}

/* The state file alone names the chunks that a killed process was sending. */
static void chunks_that_come_to_a_table_made_anew_go(void **state)
{
    struct world *w = world_that(splits, "DELETE FROM grid");

    (void)state;
    insert_large(w);
    struct sim_flight *f = sent(w);
    f->arrived = true;
    for (unsigned i = 0; i < f->count; i++) {
        assert_true(is_chunk(&f->writes[i]));
        service_leave(w, &f->writes[i], w->now + w->lateness / 2);
    }
    assert_true(f->count > 1);
    f->count = 0;
    sim_crash(w);
    app_run(w, "UPDATE grid SET v='small'");
    struct sim_table *t = service_table(w, "grid");
    t->exists = false;
    w->chunks_lost = true;
    service_clear(t);
    assert_true(sim_start(w));
    at_rest_again(w);
    assert_int_equal(items_of(w, "grid"), 1);
    world_free(w);
}

/* Somebody else made it anew, which is noticed when chunks are there already. */
static void chunks_go_that_came_to_another_table_before_that_was_noticed(void **state)
{
    struct world *w = world_that(splits, "DELETE FROM grid");
    struct sim_table *t = service_table(w, "grid");
    const uint32_t grid = target_named(w, "grid");

    (void)state;
    service_clear(t);
    t->made++;
    t->replaced = w->chunks_lost = true;
    insert_large(w);
    while (items_of(w, "grid") < 2 || !mirror_idle(w->mirror))
        sim_turn(w);
    service_watch(w, grid);
    assert_false(mirror_target(w->mirror, grid)->open);
    app_run(w, "UPDATE grid SET v='small'");
    at_rest_again(w);
    assert_int_equal(items_of(w, "grid"), 1);
    world_free(w);
}

/* Nothing is sent to another table than the state file knows of before it can be told: it would be
 * forgotten with what was known of the first. */
static void a_table_made_anew_waits_for_the_state_file(void **state)
{
    struct world *w = world_that(splits, "DELETE FROM grid");
    struct sim_table *t = service_table(w, "grid");
    uint32_t target = target_named(w, "grid");

    (void)state;
    t->throttled = true;
    insert_large(w);
    sent(w);
    app_run(w, "INSERT INTO people(id) VALUES(4711)");
    sim_state_unwritable(w, true);
    live_for(w, 5 * USEC_PER_SEC);
    assert_true(seen(w).state_broken);
    t->exists = false;
    w->chunks_lost = true;
    service_clear(t);
    service_probe(w, target);
    assert_true(t->exists);
    t->throttled = false;
    live_for(w, 60 * USEC_PER_SEC);
    assert_int_equal(items_of(w, "grid"), 0);
    app_run(w, "UPDATE grid SET v='small'");
    sim_state_unwritable(w, false);
    at_rest_again(w);
    assert_int_equal(items_of(w, "grid"), 1);
    world_free(w);
}

/* A head of that table is on its way. */
static struct sim_flight *head_sent(struct world *w, const struct sim_table *t)
{
    for (int turns = 0; turns < TURNS; turns++) {
        list_for_each(pos, after, &w->flights)
        {
            struct sim_flight *f = container_of(pos, struct sim_flight, link);
            for (unsigned i = 0; i < f->count; i++)
                if (f->writes[i].table == t && !is_chunk(&f->writes[i]))
                    return f;
        }
        sim_turn(w);
        assert_string_equal(w->failure, "");
    }
    fail_msg("no head is sent");
    return NULL;
}

/* A killed process wrote the head, and nobody knows: its chunks stay while the row, which cannot be
 * written any more, has its key. */
static void chunks_stay_of_a_head_that_nobody_knows_of(void **state)
{
    struct world *w = world_that(splits, "DELETE FROM grid");
    struct sim_table *t = service_table(w, "grid");

    (void)state;
    insert_large(w);
    at_rest_again(w);
    size_t whole = items_of(w, "grid");
    sim_crash(w);
    t->exists = false;
    w->chunks_lost = true;
    service_clear(t);
    assert_true(sim_start(w));
    apply(w, head_sent(w, t), 0);
    sim_crash(w);
    w->chunks_lost = false;
    assert_int_equal(items_of(w, "grid"), whole);
    t->throttled = true;
    assert_true(sim_start(w));
    live_for(w, 2 * w->config->unconfirmed_horizon);
    app_run(w, "UPDATE grid SET v=9e999");
    live_for(w, 5 * USEC_PER_SEC);
    t->throttled = false;
    at_rest_again(w);
    assert_int_equal(items_of(w, "grid"), whole);
    app_run(w, "DELETE FROM grid");
    at_rest_again(w);
    assert_int_equal(items_of(w, "grid"), 0);
    world_free(w);
}

/* A killed process wrote the head, of which only the entry tells, and that is nobody's any more:
 * the head goes all the same, and its chunks after it. */
static void chunks_go_after_an_unknown_head_of_a_dropped_table(void **state)
{
    struct world *w = world_that(splits, "DELETE FROM grid");
    struct sim_table *t = service_table(w, "grid");

    (void)state;
    insert_large(w);
    struct sim_flight *f = head_sent(w, t);
    f->arrived = true;
    apply(w, f, 0);
    sim_crash(w);
    app_run(w, "DROP TABLE grid");
    assert_true(items_of(w, "grid") > 1);
    assert_true(sim_start(w));
    live_for(w, 2 * w->config->unconfirmed_horizon + 300 * USEC_PER_SEC);
    assert_int_equal(items_of(w, "grid"), 0);
    world_free(w);
}

/* An item that a killed process wrote for an entry, which is nobody's once the table is dropped. */
static void an_item_goes_that_only_an_entry_of_a_dropped_table_tells_of(void **state)
{
    struct world *w = world_that(splits, "DELETE FROM grid");
    struct sim_table *t = service_table(w, "grid");

    (void)state;
    app_run(w, "INSERT INTO grid(a,b,c,v) VALUES(7,'b','c','old')");
    at_rest_again(w);
    app_run(w, "INSERT INTO grid(a,b,c,v) VALUES(1,'b','c','new')");
    struct sim_flight *f = head_sent(w, t);
    f->arrived = true;
    apply(w, f, 0);
    sim_crash(w);
    app_run(w, "DROP TABLE grid");
    assert_int_equal(items_of(w, "grid"), 2);
    assert_true(sim_start(w));
    live_for(w, 2 * w->config->unconfirmed_horizon + 300 * USEC_PER_SEC);
    assert_int_equal(items_of(w, "grid"), 0);
    world_free(w);
}

/* The table's head is written, and the process ends before anything is sent after it: what its
 * chunks of before are, the next one knows. */
static void only_the_head_stays(struct world *w, const char *table, bool killed)
{
    head_sent(w, service_table(w, table));
    sim_pause(w, true);
    live_for(w, 2 * USEC_PER_SEC);
    assert_true(list_empty(&w->flights));
    assert_true(items_of(w, table) > 2);
    if (killed)
        sim_crash(w);
    else
        sim_stop(w);
    assert_true(sim_start(w));
    sim_pause(w, false);
    at_rest_again(w);
    assert_int_equal(items_of(w, table), 1);
    world_free(w);
}

/* A head that was left open is sent again, and written, just before the process ends: no entry
 * stands for it any more, and the chunks of what the row was before go all the same. */
static void chunks_go_after_a_head_that_was_suspect(bool killed)
{
    struct world *w = world_that(splits, "DELETE FROM grid");

    insert_large(w);
    at_rest_again(w);
    app_run(w, "UPDATE grid SET v='small'");
    struct sim_flight *f = head_sent(w, service_table(w, "grid"));
    f->arrived = true;
    answer(f, REPLY_AMBIGUOUS, 0, "timeout");
    settled(w);
    assert_true(items_of(w, "grid") > 1);
    w->now += w->config->unconfirmed_horizon;
    only_the_head_stays(w, "grid", killed);
}

static void chunks_go_after_a_stop(void **state)
{
    (void)state;
    chunks_go_after_a_head_that_was_suspect(false);
}

static void chunks_go_after_a_kill(void **state)
{
    (void)state;
    chunks_go_after_a_head_that_was_suspect(true);
}

/* Rows of both have their items in one table, and may meet there. */
static bool splits_where_rows_meet(const struct world *w)
{
    const struct table_config *seats = config_table(w->config, "seats");
    const struct table_config *desks = config_table(w->config, "desks");

    return seats && desks && *seats->target && *desks->target &&
           strcmp(seats->target, desks->target) == 0 && seats->oversize == OVERSIZE_SPLIT;
}

static struct world *world_before_its_start(bool (*fits)(const struct world *w))
{
    for (uint64_t seed = 1;; seed++) {
        struct world *w = world_new(seed, false);
        assert_non_null(w);
        assert_true(world_build(w));
        if (fits(w))
            return w;
        world_free(w);
    }
}

/* The first chunk that is sent, where rows of that table are loaded before others. */
static void chunk_sent(struct world *w, const char *first, struct buf *key)
{
    for (int turns = 0; !key->len && turns < TURNS; turns++) {
        w->mirror->next_load = (size_t)(mirror_table_named(w->mirror, first) - w->mirror->tables);
        sim_turn(w);
        list_for_each(pos, after, &w->flights)
        {
            const struct sim_flight *f = container_of(pos, struct sim_flight, link);
            for (unsigned i = 0; i < f->count && !key->len; i++)
                if (is_chunk(&f->writes[i]))
                    buf_append(key, f->writes[i].key.data, f->writes[i].key.len);
        }
    }
    assert_true(key->len);
}

/* A process is killed that was sending the chunks of one of two rows that meet; its successor comes
 * to the other one first, which has the key from then on, and neither row has changed. The chunks
 * that stood there go, and those that come late go as well. */
static void chunks_go_of_a_row_that_another_process_wrote_first(void **state)
{
    struct world *w = world_before_its_start(splits_where_rows_meet);
    _cleanup_buf_ struct buf key = {0};

    (void)state;
    app_run(w, "DELETE FROM seats; DELETE FROM desks; DELETE FROM msgs");
    app_run(w, "INSERT INTO seats(id,place,v) VALUES(1,'here',hex(randomblob(700000)))");
    app_run(w, "INSERT INTO desks(code,place,v) VALUES('d1','here','small')");
    assert_true(sim_start(w));
    chunk_sent(w, "seats", &key);
    sim_crash(w);
    assert_true(sim_start(w));
    settled(w);
    come_late(w, "single", &key, "{\"late\":{\"BOOL\":true}}");
    at_rest_again(w);
    assert_int_equal(items_of(w, "single"), 1);
    world_free(w);
}

/* A process is killed that was sending the chunks of a row, and its state file is lost. The row
 * cannot be written any more when the next process reads it, and then leaves its key to one that
 * has waited for it. The entry is the first one's: read again, it says nothing of the other, nor of
 * what was to go after its head. */
static void chunks_go_after_a_head_that_came_with_anothers_entry(bool killed)
{
    struct world *w = world_that(splits_where_rows_meet, "DELETE FROM seats; DELETE FROM desks");

    app_run(w, "DELETE FROM msgs");
    at_rest_again(w);
    app_run(w, "INSERT INTO seats(id,place,v) VALUES(1,'here',hex(randomblob(700000)))");
    struct sim_flight *f = sent(w);
    assert_true(is_chunk(&f->writes[0]));
    f->arrived = true;
    apply(w, f, 0);
    sim_crash(w);
    sim_lose_state(w);
    app_run(w, "UPDATE seats SET v=9e999");
    app_run(w, "INSERT INTO desks(code,place,v) VALUES('d1','here','small')");
    assert_true(sim_start(w));
    w->chunks_lost = true; /* they have no head */
    live_for(w, 2000 * USEC_PER_SEC);
    assert_true(items_of(w, "single") > 1);
    app_run(w, "DELETE FROM seats");
    only_the_head_stays(w, "single", killed);
}

static void chunks_go_after_anothers_entry_and_a_stop(void **state)
{
    (void)state;
    chunks_go_after_a_head_that_came_with_anothers_entry(false);
}

static void chunks_go_after_anothers_entry_and_a_kill(void **state)
{
    (void)state;
    chunks_go_after_a_head_that_came_with_anothers_entry(true);
}

/* Its rows are split no more: the head and the chunks of one that is too large stay with its dead
 * letter, and go with the row, or when it has become small. */
static void chunks_go_of_a_table_that_is_split_no_more(const char *sql, size_t left)
{
    struct world *w = world_that(splits, "DELETE FROM grid");
    struct table_config *grid = (struct table_config *)config_table(w->config, "grid");

    insert_large(w);
    at_rest_again(w);
    assert_true(items_of(w, "grid") > 2);
    sim_stop(w);
    grid->oversize = OVERSIZE_DEAD_LETTER;
    assert_true(sim_start(w));
    sim_settle(w); /* the oracle has the row as one that is split */
    assert_string_equal(w->failure, "");
    assert_int_equal(seen(w).dead_letters, 1);
    app_run(w, "%s", sql);
    at_rest_again(w);
    assert_int_equal(items_of(w, "grid"), left);
    world_free(w);
}

static void chunks_go_with_a_row_that_is_split_no_more(void **state)
{
    (void)state;
    chunks_go_of_a_table_that_is_split_no_more("DELETE FROM grid", 0);
}

static void chunks_go_of_a_row_that_is_split_no_more(void **state)
{
    (void)state;
    chunks_go_of_a_table_that_is_split_no_more("UPDATE grid SET v='small'", 1);
}

/* And nobody knows any more that its rows were split once: only the items themselves tell. */
static void chunks_go_of_a_row_that_no_state_file_knew_of(void **state)
{
    struct world *w = world_that(splits, "DELETE FROM grid");
    struct table_config *grid = (struct table_config *)config_table(w->config, "grid");

    (void)state;
    insert_large(w);
    at_rest_again(w);
    assert_true(items_of(w, "grid") > 2);
    sim_stop(w);
    sim_lose_state(w);
    grid->oversize = OVERSIZE_DEAD_LETTER;
    assert_true(sim_start(w));
    live_for(w, 2000 * USEC_PER_SEC);
    assert_int_equal(seen(w).dead_letters, 1);
    assert_true(items_of(w, "grid") > 2);
    app_run(w, "DELETE FROM grid");
    at_rest_again(w);
    assert_int_equal(items_of(w, "grid"), 0);
    world_free(w);
}

/* A killed process wrote the head, and no entry and no row is left to tell of it: a reader finds it
 * whole until it goes, also where the service carries the write out late. */
static void chunks_go_after_a_head_that_nobody_knows_of(bool late)
{
    struct world *w = world_that(splits, "DELETE FROM grid");
    struct sim_table *t = service_table(w, "grid");

    insert_large(w);
    struct sim_flight *f = head_sent(w, t);
    f->arrived = true;
    if (late)
        service_leave(w, &f->writes[0], w->now + w->lateness / 2);
    else
        apply(w, f, 0);
    f->count = late ? 0 : f->count;
    sim_crash(w);
    app_run(w, "BEGIN IMMEDIATE");
    app_run(w, "DELETE FROM grid");
    app_run(w, "DELETE FROM _syncd_journal");
    app_run(w, "COMMIT");
    assert_true(items_of(w, "grid") > 1);
    assert_true(sim_start(w));
    at_rest_again(w);
    assert_int_equal(items_of(w, "grid"), 0);
    world_free(w);
}

static void chunks_go_after_a_head_that_is_there(void **state)
{
    (void)state;
    chunks_go_after_a_head_that_nobody_knows_of(false);
}

static void chunks_go_after_a_head_that_comes_late(void **state)
{
    (void)state;
    chunks_go_after_a_head_that_nobody_knows_of(true);
}

/* A chunk that was left open is sent again with its head, which no entry stands for: the process is
 * killed with that on its way, and the row changes before it comes. */
static void a_head_that_goes_with_a_suspect_chunk_overwrites_nothing_newer(void **state)
{
    struct world *w = world_that(splits, "DELETE FROM grid");
    struct sim_table *t = service_table(w, "grid");

    (void)state;
    insert_large(w);
    struct sim_flight *f = sent(w);
    assert_true(is_chunk(&f->writes[0]));
    f->arrived = true;
    answer(f, REPLY_AMBIGUOUS, 0, "timeout");
    settled(w);
    assert_true(items_of(w, "grid") > 1);
    w->now += w->config->unconfirmed_horizon;
    f = head_sent(w, t);
    leave_late(w, w->now + w->lateness / 2);
    sim_crash(w);
    assert_true(sim_start(w));
    settled(w);
    app_run(w, "UPDATE grid SET v='small'");
    all_is_equal_again(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_go_after_the_head_of_a_dropped_table),
        cmocka_unit_test(chunks_that_come_to_a_table_made_anew_go),
        cmocka_unit_test(chunks_go_that_came_to_another_table_before_that_was_noticed),
        cmocka_unit_test(a_table_made_anew_waits_for_the_state_file),
        cmocka_unit_test(chunks_stay_of_a_head_that_nobody_knows_of),
        cmocka_unit_test(chunks_go_after_an_unknown_head_of_a_dropped_table),
        cmocka_unit_test(an_item_goes_that_only_an_entry_of_a_dropped_table_tells_of),
        cmocka_unit_test(chunks_go_after_a_stop),
        cmocka_unit_test(chunks_go_after_a_kill),
        cmocka_unit_test(chunks_go_of_a_row_that_another_process_wrote_first),
        cmocka_unit_test(chunks_go_after_anothers_entry_and_a_stop),
        cmocka_unit_test(chunks_go_after_anothers_entry_and_a_kill),
        cmocka_unit_test(chunks_go_with_a_row_that_is_split_no_more),
        cmocka_unit_test(chunks_go_of_a_row_that_is_split_no_more),
        cmocka_unit_test(chunks_go_of_a_row_that_no_state_file_knew_of),
        cmocka_unit_test(chunks_go_after_a_head_that_is_there),
        cmocka_unit_test(chunks_go_after_a_head_that_comes_late),
        cmocka_unit_test(a_head_that_goes_with_a_suspect_chunk_overwrites_nothing_newer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
