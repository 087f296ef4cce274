/* The simulated world of tests/sim within a test program: all of it is compiled here, so that a
 * test can reach into it. */
#ifndef SYNCD_TESTS_SIM_WORLD_FIXTURE_H
#define SYNCD_TESTS_SIM_WORLD_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../sim/application.c"
#include "../sim/application_schema.c"
#include "../sim/disk.c"
#include "../sim/libc.c"
#include "../sim/oracle.c"
#include "../sim/oracle_letters.c"
#include "../sim/oracle_schema.c"
#include "../sim/process.c"
#include "../sim/service.c"
#include "../sim/service_items.c"
#include "../sim/service_late.c"
#include "../sim/service_tables.c"
#include "../sim/vfs.c"
#include "../sim/world.c"

__attribute__((unused)) static struct mirror_table_view table_named(struct world *w,
                                                                    const char *name)
{
    struct mirror_table_view v = {0};

    for (size_t i = 0; i < mirror_table_count(w->mirror); i++) {
        mirror_table(w->mirror, i, &v);
        if (strcmp(v.name, name) == 0)
            return v;
    }
    fail_msg("there is no table %s", name);
    return v;
}

__attribute__((unused)) static struct mirror_view seen(struct world *w)
{
    struct mirror_view v;

    mirror_view(w->mirror, w->now, &v);
    return v;
}

__attribute__((unused)) static void live_for(struct world *w, usec time)
{
    usec until = w->now + time;

    while (w->now < until && !w->failure[0])
        sim_turn(w);
    assert_string_equal(w->failure, "");
}

__attribute__((unused)) static void at_rest_again(struct world *w)
{
    sim_settle(w);
    if (!w->failure[0])
        oracle_compare(w, "at rest");
    assert_string_equal(w->failure, "");
}

/* The first world of which `fits` is true, at rest without troubles after `sql`. */
__attribute__((unused)) static struct world *world_that(bool (*fits)(const struct world *w),
                                                        const char *sql)
{
    for (uint64_t seed = 1;; seed++) {
        struct world *w = world_new(seed, false);
        assert_non_null(w);
        assert_true(world_build(w));
        if (!fits(w)) {
            world_free(w);
            continue;
        }
        assert_true(sim_start(w));
        app_run(w, "%s", sql);
        at_rest_again(w);
        return w;
    }
}

/* The places of seats are keys that rows pass on to one another. */
__attribute__((unused)) static bool seats_meet(const struct world *w)
{
    const struct table_config *seats = config_table(w->config, "seats");

    return seats && *seats->target;
}

/* A world at rest without troubles, with two tables of `rows` rows each besides the usual ones. */
__attribute__((unused)) static struct world *world_of_two_tables(uint64_t seed, unsigned rows)
{
    struct world *w = world_new(seed, false);

    assert_non_null(w);
    w->faults.crash = 1; /* no small journal_limit */
    assert_true(world_build(w));
    w->faults.crash = 0;
    app_run(w, "CREATE TABLE mine(id INTEGER PRIMARY KEY, v)");
    app_run(w, "CREATE TABLE yours(id INTEGER PRIMARY KEY, v)");
    app_run(w,
            "WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%u) "
            "INSERT INTO mine SELECT i,'first' FROM n",
            rows);
    app_run(w, "INSERT INTO yours SELECT id,v FROM mine");
    assert_true(sim_start(w));
    sim_settle(w);
    assert_string_equal(w->failure, "");
    return w;
}

/* Turns until another request is on its way. */
__attribute__((unused)) static void turn_until_sent(struct world *w)
{
    uint64_t before = w->requests;

    w->pumping = true;
    while (w->requests == before)
        sim_turn(w);
}

enum { TURNS_TO_SETTLE = 5000 };

__attribute__((unused)) static bool every_target_open(struct world *w)
{
    for (uint32_t i = 0; i < mirror_target_count(w->mirror); i++)
        if (!mirror_target(w->mirror, i)->open)
            return false;
    return true;
}

/* Turns until everything read is settled, which waits for no suspect. */
__attribute__((unused)) static void settled(struct world *w)
{
    struct mirror_view v;
    int turns = 0;

    do {
        sim_turn(w);
        mirror_view(w->mirror, w->now, &v);
        assert_true(++turns < TURNS_TO_SETTLE);
    } while (v.journal_entries || !mirror_settled(w->mirror, v.journal_max) || v.engine.items ||
             !every_target_open(w));
}

/* What a write does that was left open and is carried out after all. */
__attribute__((unused)) static void come_late(struct world *w, const char *table,
                                              const struct buf *key, const char *json)
{
    struct buf text = {0};

    buf_append(&text, json, strlen(json));
    service_put(service_table(w, table), key, &text);
    buf_free(&text);
}

/* The key of the item with that in it. */
__attribute__((unused)) static void key_of(struct world *w, const char *table, const char *part,
                                           struct buf *key)
{
    const struct sim_table *t = service_table(w, table);

    for (size_t i = 0; t->items.slots && i <= t->items.mask; i++)
        for (struct map_node *n = t->items.slots[i]; n; n = n->next) {
            const struct sim_item *item = container_of(n, struct sim_item, node);
            if (memmem(item->bytes, item->key_len + item->json_len, part, strlen(part)))
                buf_append(key, item->bytes, item->key_len);
        }
    assert_true(key->len > 0);
}

/* A world at rest with so many people. */
__attribute__((unused)) static struct world *world_of_people(int count)
{
    struct world *w = world_new(1, false);

    assert_non_null(w);
    assert_true(world_build(w));
    app_run(w, "DELETE FROM people");
    app_run(w,
            "WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d) "
            "INSERT INTO people(id,name) SELECT i,'first' FROM n",
            count);
    assert_true(sim_start(w));
    at_rest_again(w);
    return w;
}

__attribute__((unused)) static uint32_t target_named(struct world *w, const char *name)
{
    for (uint32_t i = 0; i < mirror_target_count(w->mirror); i++)
        if (strcmp(mirror_target(w->mirror, i)->name, name) == 0)
            return i;
    fail_msg("nobody writes %s", name);
    return 0;
}

/* What the application has written is on its way: after the syncs that come before it. */
__attribute__((unused)) static void until_sent(struct world *w)
{
    for (unsigned i = 0; i < 10 && list_empty(&w->flights); i++) {
        sim_work(w);
        if (w->source_syncing)
            sim_source_synced(w, true);
        sim_flush(w);
        if (w->syncing)
            sim_flushed(w, true);
    }
    assert_false(list_empty(&w->flights));
}

/* A write of a killed process that the service carries out only now. */
__attribute__((unused)) static void arrives_late(struct world *w, struct sim_flight *f, usec due)
{
    for (unsigned i = 0; i < f->count; i++)
        service_leave(w, &f->writes[i], due);
    f->arrived = true;
}

/* All that is on its way arrives then, if nobody is there to be answered. */
__attribute__((unused)) static void leave_late(struct world *w, usec due)
{
    while (!list_empty(&w->flights)) {
        struct sim_flight *f = list_first(&w->flights, struct sim_flight, link);
        arrives_late(w, f, due);
        list_remove(&f->link);
        flight_free(f);
    }
}

/* That is so, also when what may yet arrive has arrived; the world ends. */
__attribute__((unused)) static void all_is_equal_again(struct world *w)
{
    at_rest_again(w);
    service_check_late(w, "at rest");
    assert_string_equal(w->failure, "");
    world_free(w);
}

/* msgs and seats, in "single". */
__attribute__((unused)) static bool two_tables_in_one(const struct world *w)
{
    const struct table_config *desks = config_table(w->config, "desks");

    return w->templates && strcmp(desks->target, "single") != 0 && !w->oversize && !w->orphans &&
           !w->dropped_items_go && w->seed % 4 != 1;
}

__attribute__((unused)) static struct world *a_message_beside_seats(struct buf *key)
{
    struct world *w =
        world_that(two_tables_in_one, "INSERT INTO msgs(id,usr,room) VALUES(901,'u1',1);"
                                      "INSERT INTO seats(id,place) VALUES(902,'here')");

    w->config->hold_deletes = 100;
    at_rest_again(w);
    buf_clear(key);
    key_of(w, "single", "MSG#1#901", key);
    return w;
}

/* The process is killed with what the application has written on its way, which arrives so much
 * later. */
__attribute__((unused)) static void crash_amid(struct world *w, usec late)
{
    w->lateness = 900 * USEC_PER_SEC;
    w->config->unconfirmed_horizon = 960 * USEC_PER_SEC;
    until_sent(w);
    leave_late(w, w->now + late);
    service_late(w);
    sim_crash(w);
}

__attribute__((unused)) static void copy_database(sqlite3 *to, sqlite3 *from)
{
    sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");

    assert_non_null(b);
    assert_int_equal(sqlite3_backup_step(b, -1), SQLITE_DONE);
    assert_int_equal(sqlite3_backup_finish(b), SQLITE_OK);
}

/* Commits of the state file that succeed before the disk is full. */
__attribute__((unused)) static int commits_left;

__attribute__((unused)) static int full_soon(void *arg)
{
    (void)arg;
    return commits_left-- <= 0;
}

#endif
