/* Whether others have written into a DynamoDB table before us is asked before the first write, and
 * nothing else answers it. */
#include "sim_world.h"

/* Until people's items are being looked at, which takes its time. */
static void until_looked_at(struct world *w)
{
    uint32_t i = target_named(w, "people");

    for (int turns = 0; !w->surveys[i].active && turns < TURNS_TO_SETTLE; turns++)
        sim_turn(w);
    assert_true(w->surveys[i].active);
    w->surveys[i].due = w->now + 60 * USEC_PER_SEC;
}

/* Of a table that was never written something is known: a row that was to be read again after a
 * kill, and of which no item can be made. */
static void a_row_that_cannot_be_written_is_no_sign_that_others_are_known(void **state)
{
    struct world *w = world_new(1, false);

    (void)state;
    assert_true(world_build(w));
    w->faults = (struct sim_faults){.foreign = 1000};
    assert_true(sim_start(w));
    until_looked_at(w);
    app_run(w, "INSERT INTO people(id,v) VALUES(901,9e999)");
    for (int i = 0; i < 2; i++) {
        sim_crash(w);
        assert_true(sim_start(w));
        until_looked_at(w);
        live_for(w, 5 * USEC_PER_SEC);
    }
    assert_int_equal(table_named(w, "people").dead_letters, 1);
    sim_crash(w);
    assert_true(sim_start(w));
    live_for(w, 20 * USEC_PER_SEC);
    assert_true(mirror_target(w->mirror, target_named(w, "people"))->held);
    at_rest_again(w);
    world_free(w);
}

/* Nobody had looked into it when it was handed over, and there is no marker: nothing says that
 * items of others are there. */
static void what_was_handed_over_unseen_is_looked_at_when_it_is_back(void **state)
{
    struct world *w = world_new(1, false);
    struct err err = {0};

    (void)state;
    assert_true(world_build(w));
    assert_true(sim_start(w));
    assert_int_equal(mirror_hand_over(w->mirror, &err), 0);
    live_for(w, USEC_PER_SEC);
    assert_int_equal(mirror_take_back(w->mirror, &err), 0);
    at_rest_again(w);
    assert_true(mirror_target(w->mirror, target_named(w, "people"))->alone);
    world_free(w);
}

/* The order is about what was handed over: a table that came to be mirrored meanwhile is looked at
 * as any other, and what others have there stays. */
static void what_was_never_handed_over_is_not_taken_over_by_undoing_that(void **state)
{
    struct world *w = world_new(1, false);
    struct err err = {0};

    (void)state;
    assert_true(world_build(w));
    world_leave_out(w, "people");
    assert_true(sim_start(w));
    live_for(w, 20 * USEC_PER_SEC);
    assert_int_equal(mirror_hand_over(w->mirror, &err), 0);
    world_leave_out(w, NULL);
    service_table(w, "people")->exists = true;
    w->faults = (struct sim_faults){.foreign = 1000};
    assert_int_equal(mirror_take_back(w->mirror, &err), 0);
    live_for(w, 20 * USEC_PER_SEC);
    assert_true(mirror_target(w->mirror, target_named(w, "people"))->held);
    at_rest_again(w);
    world_free(w);
}

/* We made it, which the state file could not be told; then it went, and others made one of that
 * name. */
static void one_that_others_made_in_the_place_of_ours_is_not_taken_for_it(void **state)
{
    struct world *w = world_new(1, false);

    (void)state;
    assert_true(world_build(w));
    struct sim_table *t = service_table(w, "people");
    assert_true(sim_start(w));
    while (!w->mirror->attached)
        sim_turn(w);
    uint32_t people = target_named(w, "people");
    assert_false(mirror_target(w->mirror, people)->looked);
    w->probes[people].due = USEC_NEVER;
    sim_state_full(w, true);
    mirror_target_open(w->mirror, w->now, people, "ours", true);
    assert_false(mirror_target(w->mirror, people)->open);
    mirror_target_parked(w->mirror, w->now, people, "ResourceNotFoundException", "simulated");
    t->exists = true;
    t->planted = false;
    w->faults = (struct sim_faults){.foreign = 1000};
    w->probes[people].due = w->now;
    live_for(w, USEC_PER_SEC);
    sim_state_full(w, false);
    live_for(w, 20 * USEC_PER_SEC);
    assert_true(t->foreign > 0);
    assert_true(mirror_target(w->mirror, people)->held);
    at_rest_again(w);
    world_free(w);
}

/* As above, while a writer is in the way of the triggers: what the state file says of the one that
 * was there long before does not pass to that of the others. */
static void nor_for_the_one_before_ours(void **state)
{
    struct world *w = world_of_people(3);
    struct sim_table *t = service_table(w, "people");

    (void)state;
    assert_true(mirror_target(w->mirror, target_named(w, "people"))->alone);
    sim_stop(w);
    w->config->journal_limit++; /* its trigger is made anew */
    app_run(w, "BEGIN IMMEDIATE");
    assert_true(sim_start(w));
    assert_false(w->mirror->attached);
    uint32_t people = target_named(w, "people");
    mirror_target_open(w->mirror, w->now, people, "ours", true);
    mirror_target_parked(w->mirror, w->now, people, "ResourceNotFoundException", "simulated");
    service_clear(t);
    t->made++;
    t->marker.there = t->planted = false;
    w->faults = (struct sim_faults){.foreign = 1000};
    app_run(w, "COMMIT");
    w->probes[people].due = w->now;
    while (!mirror_target(w->mirror, people)->surveying)
        sim_turn(w);
    assert_false(mirror_target(w->mirror, people)->alone);
    sim_crash(w);
    assert_true(sim_start(w));
    live_for(w, 20 * USEC_PER_SEC);
    assert_true(t->foreign > 0);
    assert_true(mirror_target(w->mirror, target_named(w, "people"))->held);
    at_rest_again(w);
    world_free(w);
}

/* The probe finds another one in the place of one that is written: until that was looked at nothing
 * is sent there, and the look that waits for the writes of a lost process is no less due. */
static void another_one_is_looked_at_before_it_is_written(void **state)
{
    struct world *w = world_of_people(3);
    struct sim_table *t = service_table(w, "people");

    (void)state;
    sim_stop(w);
    sim_lose_state(w);
    assert_true(sim_start(w));
    live_for(w, 10 * USEC_PER_SEC);
    uint32_t people = target_named(w, "people");
    assert_true(mirror_target(w->mirror, people)->open);
    assert_true(mirror_target(w->mirror, people)->owing);
    service_clear(t);
    t->made++;
    t->marker.there = t->planted = false;
    w->faults = (struct sim_faults){.foreign = 1000};
    w->probes[people].due = w->now;
    while (!mirror_target(w->mirror, people)->surveying)
        sim_turn(w);
    assert_false(mirror_target(w->mirror, people)->open);
    while (mirror_target(w->mirror, people)->surveying)
        sim_turn(w);
    assert_true(mirror_target(w->mirror, people)->owing);
    at_rest_again(w);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_that_cannot_be_written_is_no_sign_that_others_are_known),
        cmocka_unit_test(what_was_handed_over_unseen_is_looked_at_when_it_is_back),
        cmocka_unit_test(what_was_never_handed_over_is_not_taken_over_by_undoing_that),
        cmocka_unit_test(one_that_others_made_in_the_place_of_ours_is_not_taken_for_it),
        cmocka_unit_test(nor_for_the_one_before_ours),
        cmocka_unit_test(another_one_is_looked_at_before_it_is_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
