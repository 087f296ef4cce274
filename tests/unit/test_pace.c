/* When the journal is read, in a simulated world: single commits at once, those in quick succession
 * together, and none is left. */
#include "sim_world.h"

enum { PEOPLE_COUNT = 40, QUICK = 16, TURNS = 20000 };

static bool in_wal_mode(const struct world *w)
{
    return strcmp(w->journal_mode, "WAL") == 0;
}

static struct world *world_in_wal(void)
{
    struct world *w = world_that(in_wal_mode, "DELETE FROM people");

    app_run(w,
            "WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d) "
            "INSERT INTO people(id,name) SELECT i,'first' FROM n",
            PEOPLE_COUNT);
    at_rest_again(w);
    return w;
}

static bool all_is_read(struct world *w)
{
    return seen(w).journal_max == w->mirror->watermark;
}

/* The application commits after that time, and the daemon looks. Was it read at once? */
static bool commit(struct world *w, usec gap)
{
    w->now += gap;
    app_run(w, "UPDATE people SET name=name||'.' WHERE id=%u", 1 + sim_pick(w, PEOPLE_COUNT));
    sim_work(w);
    bool read = all_is_read(w);
    if (w->source_syncing)
        sim_source_synced(w, true);
    sim_work(w);
    return read;
}

static void commits_that_come_singly_are_read_at_once(void **state)
{
    struct world *w = world_in_wal();

    (void)state;
    for (int i = 0; i < 100; i++)
        assert_true(commit(w, 8 * USEC_PER_MSEC));
    at_rest_again(w);
    world_free(w);
}

static void a_few_in_quick_succession_are_read_at_once(void **state)
{
    struct world *w = world_in_wal();

    (void)state;
    for (int rounds = 0; rounds < 10; rounds++) {
        for (int i = 0; i < QUICK; i++)
            assert_true(commit(w, USEC_PER_MSEC));
        w->now += 200 * USEC_PER_MSEC;
    }
    at_rest_again(w);
    world_free(w);
}

/* The first are read as they come, then those of ten milliseconds together. The last waits for no
 * other one. */
static void those_of_a_stream_share_a_slice(void **state)
{
    struct world *w = world_in_wal();
    int at_once = 0;

    (void)state;
    for (int i = 0; i < QUICK; i++)
        assert_true(commit(w, USEC_PER_MSEC));
    for (int i = 0; i < 200; i++)
        at_once += commit(w, USEC_PER_MSEC);
    assert_in_range(at_once, 15, 25);
    usec due = mirror_read_due(w->mirror);
    assert_in_range(due, w->now + 1, w->now + 10 * USEC_PER_MSEC);
    assert_true(mirror_deadline(w->mirror) <= due);
    commit(w, 0);
    w->now = due;
    sim_work(w);
    assert_true(all_is_read(w));
    at_rest_again(w);
    world_free(w);
}

/* A stream ends: what comes singly afterwards is read at once again. */
static void a_stream_ends(void **state)
{
    struct world *w = world_in_wal();

    (void)state;
    for (int i = 0; i < 100; i++)
        commit(w, USEC_PER_MSEC);
    assert_true(mirror_read_due(w->mirror) > 0);
    for (int i = 0; i < 3; i++)
        commit(w, 12 * USEC_PER_MSEC);
    for (int i = 0; i < 50; i++)
        assert_true(commit(w, 12 * USEC_PER_MSEC));
    at_rest_again(w);
    world_free(w);
}

/* Many rows in one commit are no stream, and those that one slice leaves are read on at once. */
static void a_backlog_is_no_stream(void **state)
{
    struct world *w = world_in_wal();

    (void)state;
    for (int i = 0; i < 100; i++)
        commit(w, USEC_PER_MSEC);
    app_run(w, "WITH n(i) AS (SELECT 1000 UNION ALL SELECT i+1 FROM n WHERE i<9000) "
               "INSERT INTO people(id,name) SELECT i,'many' FROM n");
    w->now += 10 * USEC_PER_MSEC;
    usec began = w->now;
    w->pumping = true;
    for (int turns = 0; !all_is_read(w); turns++) {
        sim_turn(w);
        assert_int_equal(mirror_read_due(w->mirror), 0);
        assert_true(turns < TURNS);
    }
    assert_true(w->now > began);
    at_rest_again(w);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commits_that_come_singly_are_read_at_once),
        cmocka_unit_test(a_few_in_quick_succession_are_read_at_once),
        cmocka_unit_test(those_of_a_stream_share_a_slice),
        cmocka_unit_test(a_stream_ends),
        cmocka_unit_test(a_backlog_is_no_stream),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
