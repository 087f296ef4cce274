/* When the application's commits are made durable, in a simulated world: while they are read, where
 * one comes alone; and nothing is sent that a sync which began too early does not cover. */
#include "sim_world.h"

static bool commits_are_not_durable(const struct world *w)
{
    return strcmp(w->journal_mode, "WAL") == 0 && strcmp(w->synchronous, "NORMAL") == 0;
}

/* The application commits as soon as a sync begins. */
static const char *when_it_begins;
static void (*begin_sync)(void *arg, uint64_t sync, bool wal);

static void begin_and_commit(void *arg, uint64_t sync, bool wal)
{
    const char *sql = when_it_begins;

    begin_sync(arg, sync, wal);
    when_it_begins = NULL;
    if (sql)
        assert_true(app_run(arg, "%s", sql));
}

static void look(struct world *w)
{
    assert_true(mirror_changed(w->mirror));
    sim_work(w);
}

/* After a commit that had something to send. */
static struct world *world_at_work(void)
{
    struct world *w =
        world_that(commits_are_not_durable,
                   "DELETE FROM people; INSERT INTO people(id,name) VALUES(1,'first')");

    app_run(w, "UPDATE people SET name='second' WHERE id=1");
    look(w);
    assert_true(w->source_syncing);
    settled(w);
    begin_sync = w->mirror->edge.sync_source;
    w->mirror->edge.sync_source = begin_and_commit;
    when_it_begins = NULL;
    return w;
}

static bool all_is_read(struct world *w)
{
    return seen(w).journal_max == w->mirror->watermark;
}

static void over(struct world *w)
{
    at_rest_again(w);
    world_free(w);
}

static void a_commit_that_comes_alone_has_one_sync(void **state)
{
    struct world *w = world_at_work();
    uint64_t syncs = w->source_sync;

    (void)state;
    app_run(w, "UPDATE people SET name='third' WHERE id=1");
    look(w);
    assert_true(all_is_read(w));
    assert_true(w->source_syncing);
    assert_true(list_empty(&w->flights));
    sim_source_synced(w, true);
    assert_false(list_empty(&w->flights));
    assert_int_equal(w->source_sync - syncs, 1);
    over(w);
}

static void it_is_read_when_its_sync_has_begun(void **state)
{
    struct world *w = world_at_work();

    (void)state;
    when_it_begins = "UPDATE people SET name='fourth' WHERE id=1";
    app_run(w, "UPDATE people SET name='third' WHERE id=1");
    look(w);
    assert_null(when_it_begins);
    assert_true(all_is_read(w)); /* both of them */
    over(w);
}

static void what_comes_after_a_sync_began_waits_for_the_next(void **state)
{
    struct world *w = world_at_work();
    uint64_t syncs = w->source_sync;

    (void)state;
    when_it_begins = "UPDATE people SET name='fourth' WHERE id=1";
    app_run(w, "UPDATE people SET name='third' WHERE id=1");
    look(w);
    assert_false(mirror_changed(w->mirror)); /* nothing is read meanwhile */
    assert_true(mirror_syncing(w->mirror));
    assert_true(mirror_deadline(w->mirror) > w->now);
    sim_source_synced(w, true);
    assert_true(w->source_syncing);
    assert_true(list_empty(&w->flights));
    sim_source_synced(w, true);
    assert_false(list_empty(&w->flights));
    assert_int_equal(w->source_sync - syncs, 2);
    over(w);
}

/* It knows of no commit, so its first look syncs nothing ahead of what it finds. */
static void a_new_connection_that_finds_nothing_syncs_nothing(void **state)
{
    struct world *w = world_at_work();
    uint64_t syncs = w->source_sync;

    (void)state;
    barrier_reopened(w->mirror);
    sim_work(w);
    settled(w);
    assert_int_equal(w->source_sync, syncs);
    app_run(w, "UPDATE people SET name='third' WHERE id=1");
    look(w);
    assert_int_equal(w->source_sync - syncs, 1);
    over(w);
}

/* A table that is not mirrored is written all the time: that is no reason to sync all the time. */
static void commits_with_nothing_to_send_are_not_synced(void **state)
{
    struct world *w = world_at_work();

    (void)state;
    world_leave_out(w, "notes");
    app_run(w, "UPDATE people SET name='third' WHERE id=1");
    settled(w);
    uint64_t syncs = w->source_sync;
    for (int i = 0; i < 20; i++) {
        w->now += 20 * USEC_PER_MSEC;
        assert_true(app_run(w, "INSERT INTO notes(slug,n) VALUES('beside %d',%d)", i, i));
        sim_work(w);
        if (w->source_syncing)
            sim_source_synced(w, true);
    }
    assert_in_range(w->source_sync - syncs, 0, 1);
    world_leave_out(w, NULL);
    over(w);
}

static void one_that_fails_is_told_of_and_tried_again(void **state)
{
    struct world *w = world_at_work();
    const char *text;

    (void)state;
    app_run(w, "UPDATE people SET name='third' WHERE id=1");
    look(w);
    sim_source_synced(w, false);
    assert_int_equal(mirror_problem(w->mirror, &text), SOURCE_FULL);
    assert_non_null(strstr(text, "cannot be made durable"));
    assert_true(list_empty(&w->flights));
    w->now += STORE_RETRY;
    sim_work(w);
    assert_true(w->source_syncing);
    sim_source_synced(w, true);
    assert_int_equal(mirror_problem(w->mirror, &text), SOURCE_OK);
    over(w);
}

/* A sync that failed may have left a gap in the -wal, behind which a power failure takes all. */
static struct world *world_with_a_gap(void)
{
    struct world *w = world_at_work();

    app_run(w, "UPDATE people SET name='third' WHERE id=1");
    look(w);
    sim_source_synced(w, false);
    w->now += STORE_RETRY;
    sim_work(w);
    assert_true(w->source_syncing);
    return w;
}

static int64_t position_kept(struct world *w)
{
    int64_t seen = -1;

    assert_int_equal(store_get_int(mirror_store(w->mirror), "seen", &seen), 0);
    return seen;
}

static void behind_a_gap_nothing_is_sent_while_the_position_cannot_be_kept(void **state)
{
    struct world *w = world_with_a_gap();

    (void)state;
    sim_state_unwritable(w, true);
    for (int i = 0; i < 3; i++) {
        if (w->source_syncing)
            sim_source_synced(w, true);
        assert_true(list_empty(&w->flights));
        w->now += STORE_RETRY;
        sim_work(w);
    }
    sim_state_unwritable(w, false);
    over(w);
}

/* Two slices, of which the second needs no sync any more. */
static void behind_a_gap_the_position_is_kept_for_each_slice(void **state)
{
    struct world *w = world_with_a_gap();
    unsigned passed = 0;

    (void)state;
    sim_source_synced(w, true);
    settled(w);
    for (int first = 1000; first <= 2000; first += 1000)
        app_run(w,
                "WITH n(i) AS (SELECT %d UNION ALL SELECT i+1 FROM n WHERE i<%d) "
                "INSERT INTO people(id,name) SELECT i,'first' FROM n",
                first, first + READ_LIMIT - 1);
    for (int i = 0; !all_is_read(w) || w->source_syncing; i++) {
        assert_true(i < 100);
        sim_work(w);
        if (w->source_syncing)
            sim_source_synced(w, true);
        if (list_empty(&w->flights))
            continue;
        assert_int_equal(position_kept(w), w->mirror->watermark);
        passed++;
    }
    assert_true(passed > 1);
    over(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_commit_that_comes_alone_has_one_sync),
        cmocka_unit_test(it_is_read_when_its_sync_has_begun),
        cmocka_unit_test(what_comes_after_a_sync_began_waits_for_the_next),
        cmocka_unit_test(a_new_connection_that_finds_nothing_syncs_nothing),
        cmocka_unit_test(commits_with_nothing_to_send_are_not_synced),
        cmocka_unit_test(one_that_fails_is_told_of_and_tried_again),
        cmocka_unit_test(behind_a_gap_nothing_is_sent_while_the_position_cannot_be_kept),
        cmocka_unit_test(behind_a_gap_the_position_is_kept_for_each_slice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
