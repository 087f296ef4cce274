/* Rows that refer to rows which are not there, left out (orphans = skip or dead-letter), in a
 * simulated world: none is sent while the other row is missing, and each is sent when it has come,
 * whatever happens in between. */
#include "sim_world.h"

/* Books of users, at rest. Seed 4 is of a world whose own tables are left alone. */
static struct world *library(int orphans, const char *books)
{
    struct world *w = world_new(4, false);

    assert_non_null(w);
    w->faults.crash = 1; /* no small journal_limit */
    assert_true(world_build(w));
    w->faults.crash = 0;
    w->config->orphans = orphans;
    w->config->hold_deletes = 100;
    app_run(w, "CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT UNIQUE COLLATE NOCASE, v)");
    app_run(w, "%s", books);
    assert_true(sim_start(w));
    sim_settle(w);
    assert_string_equal(w->failure, "");
    return w;
}

#define BOOKS "CREATE TABLE books(id INTEGER PRIMARY KEY, user_id REFERENCES users, v)"

static void settle(struct world *w)
{
    sim_settle(w);
    assert_string_equal(w->failure, "");
}

static size_t items(struct world *w, const char *table, const char *part)
{
    const struct sim_table *t = service_table(w, table);
    size_t n = 0;

    for (size_t i = 0; t->items.slots && i <= t->items.mask; i++)
        for (struct map_node *at = t->items.slots[i]; at; at = at->next) {
            const struct sim_item *item = container_of(at, struct sim_item, node);
            n += memmem(item->bytes + item->key_len, item->json_len, part, strlen(part)) != NULL;
        }
    return n;
}

struct letter_count {
    const char *reason;
    int n;
    char message[256];
};

static void count_letter(void *arg, const struct dead_letter *d)
{
    struct letter_count *c = arg;

    if (strcmp(d->reason, c->reason) != 0)
        return;
    c->n++;
    snprintf(c->message, sizeof c->message, "%s: %s", d->column, d->message);
}

static int count_letter_of(struct world *w, const char *reason)
{
    struct letter_count c = {.reason = reason};

    store_dead_letters(mirror_store(w->mirror), 0, count_letter, &c);
    if (c.n)
        assert_non_null(strstr(c.message, "user_id: user_id="));
    return c.n;
}

static void it_goes_when_the_other_row_comes(void **state)
{
    (void)state;
    for (int how = ORPHANS_SKIP; how <= ORPHANS_SET_ASIDE; how++) {
        const char *reason = how == ORPHANS_SKIP ? "orphan_skipped" : "orphan";
        struct world *w = library(how, BOOKS);
        /* In one transaction with its user, without any, and without one that is there. */
        app_run(w, "BEGIN");
        app_run(w,
                "INSERT INTO books VALUES(1, 7, 'whole'), (2, NULL, 'nobody''s'), (3, 8, 'late')");
        app_run(w, "INSERT INTO users VALUES(7, 'Ann', '')");
        app_run(w, "COMMIT");
        settle(w);
        assert_int_equal(items(w, "books", ""), 2);
        assert_int_equal(items(w, "books", "late"), 0);
        assert_int_equal(count_letter_of(w, reason), 1);
        assert_int_equal(seen(w).dead_letters, how == ORPHANS_SET_ASIDE);
        assert_int_equal(seen(w).skipped, how == ORPHANS_SKIP);
        assert_int_equal(table_named(w, "books").dead_letters, how == ORPHANS_SET_ASIDE);
        assert_int_equal(table_named(w, "books").skipped, how == ORPHANS_SKIP);

        app_run(w, "INSERT INTO users VALUES(9, 'Eve', '')");
        settle(w);
        assert_int_equal(count_letter_of(w, reason), 1);
        app_run(w, "UPDATE users SET id = 8 WHERE id = 9");
        settle(w);
        assert_int_equal(items(w, "books", "late"), 1);
        assert_int_equal(count_letter_of(w, reason), 0);
        assert_int_equal(seen(w).skipped + seen(w).dead_letters, 0);
        world_free(w);
    }
}

/* As the other column compares, and not by the bytes. */
static void the_other_row_is_known_as_sqlite_compares(void **state)
{
    struct world *w =
        library(ORPHANS_SKIP, "CREATE TABLE books(id INTEGER PRIMARY KEY, user_id "
                              "TEXT REFERENCES users, by TEXT REFERENCES users(name))");

    (void)state;
    app_run(w, "INSERT INTO books VALUES(1, ' 7', NULL), (2, '7.0', NULL), (3, '7', 'ANN'), "
               "(4, '9007199254740993', NULL), (5, '7e0', 'Bob')");
    settle(w);
    assert_int_equal(items(w, "books", ""), 0);
    app_run(w, "INSERT INTO users VALUES(7, 'Ann', ''), (9007199254740993, 'bob ', '')");
    settle(w);
    /* RTRIM is not the column's collation: 'Bob' is none of them. */
    assert_int_equal(items(w, "books", ""), 4);
    assert_int_equal(items(w, "books", "Bob"), 0);
    app_run(w, "UPDATE users SET name = 'bOB' WHERE id > 7");
    settle(w);
    assert_int_equal(items(w, "books", ""), 5);
    world_free(w);
}

/* Its item stays as it was sent; a change of it waits. */
static void when_the_other_row_goes_its_item_stays(void **state)
{
    struct world *w = library(ORPHANS_SET_ASIDE, BOOKS);

    (void)state;
    app_run(w, "INSERT INTO users VALUES(7, 'Ann', '')");
    app_run(w, "INSERT INTO books VALUES(1, 7, 'first')");
    settle(w);
    app_run(w, "DELETE FROM users");
    settle(w);
    assert_int_equal(items(w, "books", "first"), 1);
    assert_int_equal(seen(w).dead_letters, 0);
    app_run(w, "UPDATE books SET v = 'second'");
    settle(w);
    assert_int_equal(items(w, "books", "first"), 1);
    assert_int_equal(count_letter_of(w, "orphan"), 1);
    /* The same after a comparison, a restart, and when nothing is known any more. */
    assert_true(mirror_resync(w->mirror, NULL, true, NULL) > 0);
    settle(w);
    assert_int_equal(items(w, "books", "first"), 1);
    sim_stop(w);
    assert_true(sim_start(w));
    settle(w);
    assert_int_equal(items(w, "books", "first"), 1);
    assert_int_equal(count_letter_of(w, "orphan"), 1);
    app_run(w, "INSERT INTO users VALUES(7, 'Ann', '')");
    settle(w);
    assert_int_equal(items(w, "books", "second"), 1);
    app_run(w, "DELETE FROM users");
    app_run(w, "DELETE FROM books");
    settle(w);
    assert_int_equal(items(w, "books", ""), 0);
    world_free(w);
}

/* It was read that the row has come, and the daemon ends before the other one is sent. */
static void a_crash_forgets_none_that_are_due(void **state)
{
    (void)state;
    for (unsigned turns = 0; turns < 40; turns++) {
        struct world *w = library(ORPHANS_SKIP, BOOKS);
        app_run(w, "INSERT INTO books VALUES(1, 7, 'late')");
        settle(w);
        app_run(w, "INSERT INTO users VALUES(7, 'Ann', '')");
        w->pumping = true;
        for (unsigned i = 0; i < turns; i++)
            sim_turn(w);
        sim_crash(w);
        assert_true(sim_start(w));
        settle(w);
        assert_int_equal(items(w, "books", "late"), 1);
        assert_int_equal(count_letter_of(w, "orphan_skipped"), 0);
        world_free(w);
    }
}

/* Where its own DynamoDB table is away when the other row comes, for moments or for long. */
static void a_parked_table_gets_them_later(void **state)
{
    (void)state;
    for (unsigned seconds = 20; seconds <= 120; seconds += 100) {
        struct world *w = library(ORPHANS_SKIP, BOOKS);
        app_run(w, "INSERT INTO books VALUES(1, 7, 'late'), (2, NULL, 'x')");
        settle(w);
        service_table(w, "books")->denied = true;
        app_run(w, "UPDATE books SET v = 'y' WHERE id = 2");
        live_for(w, 5 * USEC_PER_SEC);
        app_run(w, "INSERT INTO users VALUES(7, 'Ann', '')");
        live_for(w, seconds * USEC_PER_SEC);
        assert_false(seen(w).converged);
        assert_int_equal(items(w, "books", "late"), 0);
        settle(w);
        assert_int_equal(items(w, "books", "late"), 1);
        assert_int_equal(items(w, "books", "y"), 1);
        assert_int_equal(seen(w).skipped, 0);
        world_free(w);
    }
}

/* The state file cannot be written when it comes. */
static void a_full_disk_forgets_none(void **state)
{
    struct world *w = library(ORPHANS_SKIP, BOOKS);

    (void)state;
    app_run(w, "INSERT INTO books VALUES(1, 7, 'late')");
    settle(w);
    sim_state_unwritable(w, true);
    app_run(w, "INSERT INTO users VALUES(7, 'Ann', '')");
    w->pumping = true;
    live_for(w, 5 * USEC_PER_SEC);
    settle(w);
    assert_int_equal(items(w, "books", "late"), 1);
    assert_int_equal(seen(w).skipped, 0);
    world_free(w);
}

static void some_turns(struct world *w, unsigned n)
{
    w->pumping = true;
    for (; n > 0; n--)
        sim_turn(w);
}

/* All are due, which is not written once more, and so nothing is noted of the row that comes then;
 * one that was sent before is not through yet. What was written of the one that awaits it comes not
 * to the disk. */
static void a_failing_disk_forgets_none_that_are_due(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 4 * 4 * 4; n++) {
        struct world *w = library(ORPHANS_SKIP, BOOKS);
        app_run(w, "INSERT INTO books VALUES(1, 7, 'first'), (2, 8, 'second')");
        settle(w);
        service_table(w, "books")->throttled = true;
        app_run(w, "INSERT INTO users VALUES(7, 'Ann', '')");
        live_for(w, USEC_PER_SEC);
        app_run(w, "UPDATE books SET v = 'late' WHERE id = 2");
        some_turns(w, n % 4);
        mirror_dead_letters_retry(w->mirror, w->now, 0);
        some_turns(w, n / 4 % 4);
        app_run(w, "INSERT INTO users VALUES(8, 'Bob', '')");
        some_turns(w, n / 16);
        w->faults.sync_failed = 1000;
        some_turns(w, 8);
        settle(w);
        assert_int_equal(items(w, "books", "late"), 1);
        assert_int_equal(seen(w).skipped, 0);
        world_free(w);
    }
}

/* Many wait for one row: in turns, and never more of them in memory than there is room for. */
static void very_many_go_in_turns(void **state)
{
    struct world *w = library(ORPHANS_SKIP, BOOKS);
    size_t most = 0;

    (void)state;
    app_run(w, "WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<20000) "
               "INSERT INTO books SELECT i, 7, 'many' FROM n");
    settle(w);
    assert_int_equal(seen(w).skipped, 20000);
    app_run(w, "INSERT INTO users VALUES(7, 'Ann', '')");
    w->pumping = true;
    while (!w->failure[0] && items(w, "books", "") < 20000) {
        struct engine_stats stats;
        for (int i = 0; i < 50; i++) {
            sim_turn(w);
            engine_stats(w->mirror->engine, &stats);
            most = stats.items > most ? stats.items : most;
        }
    }
    assert_string_equal(w->failure, "");
    assert_true(most <= ENGINE_ITEMS);
    settle(w);
    assert_int_equal(seen(w).skipped, 0);
    world_free(w);
}

/* Nobody would notice when the other row comes. */
static void what_cannot_be_noticed_is_not_heeded(void **state)
{
    struct world *w = library(
        ORPHANS_SKIP, "CREATE TABLE books(id INTEGER PRIMARY KEY, a REFERENCES nowhere(id), b "
                      "REFERENCES strangers, c REFERENCES users(v), d REFERENCES users(nope))");

    (void)state;
    app_run(w, "INSERT INTO books VALUES(1, 1, 1, 1, 1)");
    settle(w);
    assert_int_equal(items(w, "books", ""), 1);
    assert_int_equal(seen(w).skipped, 0);
    world_free(w);
}

/* Taken out of the configuration, they go; and so when what they refer to is left out itself. */
static void another_configuration_lets_them_go(void **state)
{
    static char users[] = "users";
    static char *excluded[] = {users};

    (void)state;
    for (int which = 0; which < 2; which++) {
        struct world *w = library(ORPHANS_SET_ASIDE, BOOKS);
        app_run(w, "INSERT INTO books VALUES(1, 7, 'late')");
        settle(w);
        assert_int_equal(count_letter_of(w, "orphan"), 1);
        sim_stop(w);
        struct strlist before = w->config->exclude_tables;
        if (which)
            w->config->exclude_tables = (struct strlist){excluded, 1};
        else
            w->config->orphans = ORPHANS_REPORT;
        assert_true(sim_start(w));
        for (unsigned i = 0; i < 20000 && items(w, "books", "late") == 0; i++)
            sim_turn(w);
        assert_int_equal(items(w, "books", "late"), 1);
        live_for(w, 2 * USEC_PER_SEC);
        assert_int_equal(count_letter_of(w, "orphan"), 0);
        sim_stop(w);
        w->config->exclude_tables = before;
        world_free(w);
    }
}

/* Told to try again, or not to keep it in mind. */
static void an_operator_may_try_or_discard(void **state)
{
    struct world *w = library(ORPHANS_SET_ASIDE, BOOKS);

    (void)state;
    app_run(w, "INSERT INTO books VALUES(1, 7, 'late'), (2, 8, 'never')");
    settle(w);
    assert_int_equal(mirror_dead_letters_retry(w->mirror, w->now, 0), 2);
    settle(w);
    assert_int_equal(count_letter_of(w, "orphan"), 2);
    assert_int_equal(items(w, "books", ""), 0);
    assert_int_equal(mirror_dead_letters_discard(w->mirror, 2), 1);
    app_run(w, "INSERT INTO users VALUES(7, 'Ann', ''), (8, 'Bob', '')");
    settle(w);
    assert_int_equal(count_letter_of(w, "orphan"), 0);
    assert_int_equal(items(w, "books", ""), 1);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_goes_when_the_other_row_comes),
        cmocka_unit_test(the_other_row_is_known_as_sqlite_compares),
        cmocka_unit_test(when_the_other_row_goes_its_item_stays),
        cmocka_unit_test(a_crash_forgets_none_that_are_due),
        cmocka_unit_test(a_parked_table_gets_them_later),
        cmocka_unit_test(a_full_disk_forgets_none),
        cmocka_unit_test(a_failing_disk_forgets_none_that_are_due),
        cmocka_unit_test(very_many_go_in_turns),
        cmocka_unit_test(what_cannot_be_noticed_is_not_heeded),
        cmocka_unit_test(another_configuration_lets_them_go),
        cmocka_unit_test(an_operator_may_try_or_discard),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
