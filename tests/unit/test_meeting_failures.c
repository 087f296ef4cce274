/* Rows that meet at one key while the state file fails: what it takes back is whose the key is. */
#include "meeting_world.h"

/* There is a dead letter already. */
static void another_waits(struct world *w)
{
    app_run(w, "INSERT INTO seats(id,place,v) VALUES(3,'there','third')");
    at_rest_again(w);
    app_run(w, "INSERT INTO seats(id,place,v) VALUES(4,'there','fourth')");
    at_rest_again(w);
}

/* An item that the state file knows of, but has not committed yet. */
static void write_first(struct world *w)
{
    app_run(w, "INSERT INTO seats(id,place,v) VALUES(1,'here','first')");
    turn_until_sent(w);
    w->now = service_due(w);
    assert_true(service_answer(w, true));
    assert_true(has_item(w, "first"));
}

/* The state file fails while a row that waited for a key goes: that another has it may have been
 * taken back just then. */
static void an_item_stays_when_whose_it_is_was_taken_back(void **state)
{
    struct world *w = meeting_world();

    (void)state;
    another_waits(w);
    write_first(w);
    sim_state_unwritable(w, true);
    read_at_once(w, "INSERT INTO seats(id,place,v) VALUES(2,'here','second');"
                    "DELETE FROM seats WHERE id=2");
    assert_true(w->mirror->state_broken);
    sim_state_unwritable(w, false);
    at_rest_again(w);
    assert_true(has_item(w, "first"));
    world_free(w);
}

/* A row that takes another's key is refused just when the state file fails: that the other had an
 * item there may have been taken back, and it goes all the same. */
static void an_item_does_not_outlive_its_key_when_whose_it_is_was_taken_back(void **state)
{
    struct world *w = meeting_world();

    (void)state;
    write_first(w);
    w->faults.poison = 1;
    read_at_once(w, "UPDATE seats SET place='elsewhere', v='moved' WHERE id=1;"
                    "INSERT INTO seats(id,place,v) VALUES(2,'here','" SIM_POISON "')");
    sim_state_unwritable(w, true);
    for (int i = 0; !w->mirror->refused; i++) {
        assert_true(i < TURNS_TO_SETTLE);
        if (w->source_syncing)
            sim_source_synced(w, true);
        w->now = service_due(w) < w->now + USEC_PER_SEC ? service_due(w) : w->now;
        service_answer(w, true);
        sim_work(w);
    }
    assert_true(w->mirror->state_broken);
    sim_state_unwritable(w, false);
    at_rest_again(w);
    assert_int_equal(table_named(w, "seats").dead_letters, 1);
    assert_true(has_item(w, "moved"));
    assert_false(has_item(w, "first"));
    world_free(w);
}

/* The row that has a key goes just when the state file fails: that another waits for the key may
 * have been taken back. */
static void a_row_that_waits_has_the_key_when_that_it_waits_was_taken_back(void **state)
{
    struct world *w = meeting_world();

    (void)state;
    another_waits(w);
    sim_pause(w, true);
    read_at_once(w, "INSERT INTO seats(id,place,v) VALUES(1,'here','first')");
    w->pumping = true;
    if (w->source_syncing)
        sim_source_synced(w, true);
    read_at_once(w, "INSERT INTO seats(id,place,v) VALUES(2,'here','second')");
    if (w->source_syncing)
        sim_source_synced(w, true);
    assert_int_equal(table_named(w, "seats").dead_letters, 2);
    sim_state_unwritable(w, true);
    read_at_once(w, "DELETE FROM seats WHERE id=1");
    assert_true(w->mirror->state_broken);
    sim_state_unwritable(w, false);
    sim_pause(w, false);
    at_rest_again(w);
    assert_int_equal(table_named(w, "seats").dead_letters, 1);
    assert_true(has_item(w, "second"));
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_item_stays_when_whose_it_is_was_taken_back),
        cmocka_unit_test(a_row_that_waits_has_the_key_when_that_it_waits_was_taken_back),
        cmocka_unit_test(an_item_does_not_outlive_its_key_when_whose_it_is_was_taken_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
