/* A target's marker is written whenever what it has to say has changed, by whatever process. */
#include "sim_world.h"

static void nothing_is_owed(struct world *w)
{
    for (uint32_t i = 0; i < mirror_target_count(w->mirror); i++) {
        assert_false(mirror_target(w->mirror, i)->taken_back);
        assert_false(mirror_target(w->mirror, i)->take_over);
    }
}

static void look_at_all(struct world *w)
{
    for (uint32_t i = 0; i < mirror_target_count(w->mirror); i++)
        w->probes[i].due = w->now;
}

static void one_that_is_taken_back(void **state)
{
    struct world *w = world_of_people(3);
    struct err err = {0};

    (void)state;
    assert_int_equal(mirror_hand_over(w->mirror, &err), 0);
    assert_int_equal(mirror_take_back(w->mirror, &err), 0);
    look_at_all(w);
    at_rest_again(w);
    nothing_is_owed(w);
    world_free(w);
}

/* As another database from now on: nobody looks at the table anew for that. */
static void one_that_is_adopted_while_it_is_written(void **state)
{
    struct world *w = world_of_people(3);
    struct err err = {0};

    (void)state;
    assert_int_equal(mirror_adopt(w->mirror, &err), 0);
    at_rest_again(w);
    nothing_is_owed(w);
    sim_crash(w);
    assert_true(sim_start(w));
    while (!w->mirror->attached)
        sim_turn(w);
    nothing_is_owed(w);
    at_rest_again(w);
    world_free(w);
}

static void one_whose_table_was_made_anew(void **state)
{
    struct world *w = world_of_people(3);
    struct sim_table *t = service_table(w, "people");
    uint32_t target = target_named(w, "people");

    (void)state;
    assert_true(t->marker.there && t->marker.alone);
    t->exists = false;
    service_clear(t);
    mirror_target_parked(w->mirror, w->now, target, "ResourceNotFoundException", "simulated");
    w->probes[target].due = w->now;
    at_rest_again(w);
    assert_true(t->marker.there && t->marker.alone);
    world_free(w);
}

/* What was ordered once is not to be done again by a later process, when another database may have
 * the table. */
static void one_that_is_written_while_the_disk_is_full(void **state)
{
    struct world *w = world_of_people(3);
    uint32_t target = target_named(w, "people");
    struct err err = {0};

    (void)state;
    assert_int_equal(mirror_hand_over(w->mirror, &err), 0);
    assert_int_equal(mirror_take_back(w->mirror, &err), 0);
    look_at_all(w);
    while (!w->mirror->targets[target]->marking)
        sim_turn(w);
    w->surveys[target].marked_due = USEC_NEVER;
    sim_state_full(w, true);
    while (!w->mirror->state_broken) {
        app_run(w, "UPDATE people SET name=name||'.'");
        live_for(w, USEC_PER_SEC / 10);
    }
    mirror_target_marked(w->mirror, w->now, target);
    sim_state_full(w, false);
    at_rest_again(w);
    nothing_is_owed(w);
    sim_crash(w);
    assert_true(sim_start(w));
    while (!w->mirror->attached)
        sim_turn(w);
    nothing_is_owed(w);
    world_free(w);
}

/* The operator was told that it came to nothing: then all goes on. */
static void a_handover_that_a_writer_was_in_the_way_of(void **state)
{
    struct world *w = world_of_people(3);
    uint32_t target = target_named(w, "people");
    struct err err = {0};

    (void)state;
    app_run(w, "BEGIN IMMEDIATE");
    assert_true(mirror_hand_over(w->mirror, &err) < 0);
    app_run(w, "UPDATE people SET name='later' WHERE id=1");
    app_run(w, "COMMIT");
    look_at_all(w);
    at_rest_again(w);
    assert_false(mirror_target(w->mirror, target)->handed_over);
    sim_crash(w);
    assert_true(sim_start(w));
    app_run(w, "UPDATE people SET name='last' WHERE id=1");
    at_rest_again(w);
    world_free(w);
}

/* Another database had the table meanwhile, by its marker: what it wrote over our items is not
 * taken for ours when the operator says that this one has it again, and what it put beside them is
 * left.
 */
static void one_of_another_database_that_is_taken_over(void **state)
{
    struct err err = {0};

    (void)state;
    for (int how = 0; how < 3; how++) {
        struct world *w = world_of_people(3);
        struct sim_table *t = service_table(w, "people");
        _cleanup_buf_ struct buf key = {0}, other = {0}, json = {0};
        app_run(w, "UPDATE people SET name='ours' WHERE id=1");
        app_run(w, "INSERT INTO people(id,name) VALUES(9,'theirs')");
        at_rest_again(w);
        key_of(w, "people", "\"ours\"", &key);
        key_of(w, "people", "\"theirs\"", &other);
        app_run(w, "DELETE FROM people WHERE id=9");
        at_rest_again(w);
        if (how < 2)
            mirror_target_held(w->mirror, w->now, target_named(w, "people"), false, "another's");
        else
            sim_stop(w); /* a copy of it is adopted before any marker is read */
        t->marker.there = false;
        come_late(w, "people", &key, "{\"id\":{\"N\":\"1\"},\"name\":{\"S\":\"others\"}}");
        buf_puts(&json, "{\"theirs\":{\"BOOL\":true}}");
        service_put(t, &other, &json)->foreign = true;
        if (how == 2)
            assert_true(sim_start(w));
        if (how)
            assert_int_equal(mirror_adopt(w->mirror, &err), 0);
        else
            assert_int_equal(mirror_approve(w->mirror), 1);
        look_at_all(w);
        at_rest_again(w);
        assert_non_null(service_item(t, other.data, other.len));
        nothing_is_owed(w);
        world_free(w);
    }
}

/* The same of a table that is left out when the order is given: nobody has looked since. */
static void one_that_was_left_out_when_it_was_taken_over(void **state)
{
    struct world *w = world_of_two_tables(1, 3);
    _cleanup_buf_ struct buf key = {0};
    struct err err = {0};

    (void)state;
    app_run(w, "UPDATE mine SET v='ours' WHERE id=1");
    at_rest_again(w);
    key_of(w, "mine", "\"ours\"", &key);
    world_leave_out(w, "mine");
    live_for(w, 20 * USEC_PER_SEC);
    come_late(w, "mine", &key, "{\"id\":{\"N\":\"1\"},\"v\":{\"S\":\"others\"}}");
    service_table(w, "mine")->marker.there = false;
    assert_int_equal(mirror_adopt(w->mirror, &err), 0);
    live_for(w, 20 * USEC_PER_SEC);
    world_leave_out(w, NULL);
    at_rest_again(w);
    world_free(w);
}

/* The order could not be kept at first: all of it is forgotten when it is given again. */
static void one_that_is_taken_over_at_the_second_try(void **state)
{
    _cleanup_buf_ struct buf key = {0};
    struct world *w = a_message_beside_seats(&key);
    const uint32_t single = target_named(w, "single");

    (void)state;
    app_run(w, "INSERT INTO msgs(id,usr,room) VALUES(905,'u1',1)");
    at_rest_again(w);
    buf_clear(&key);
    key_of(w, "single", "MSG#1#905", &key);
    world_leave_out(w, "msgs");
    live_for(w, 20 * USEC_PER_SEC);
    mirror_target_held(w->mirror, w->now, single, false, "another's");
    come_late(w, "single", &key, "{\"others\":{\"BOOL\":true}}");
    service_table(w, "single")->marker.there = false;
    sim_state_full(w, true);
    assert_int_equal(mirror_approve(w->mirror), 0);
    sim_state_full(w, false);
    w->probes[single].due = USEC_NEVER; /* by its marker it would be held again */
    live_for(w, 5 * USEC_PER_SEC);
    assert_int_equal(mirror_approve(w->mirror), 1);
    look_at_all(w);
    live_for(w, 2000 * USEC_PER_SEC);
    world_leave_out(w, NULL);
    at_rest_again(w);
    world_free(w);
}

/* State file and database were put back together, which the marker alone tells of; a writer is in
 * the way of the triggers when it is read. What the later life wrote is compared all the same. */
static void one_of_a_later_life_while_a_writer_is_in_the_way(void **state)
{
    (void)state;
    for (int busy = 0; busy < 2; busy++) {
        struct world *w = world_of_people(3);
        struct sim_table *t = service_table(w, "people");
        _cleanup_buf_ struct buf key = {0};
        char identity[32];
        app_run(w, "UPDATE people SET name='ours' WHERE id=1");
        at_rest_again(w);
        key_of(w, "people", "\"ours\"", &key);
        sim_stop(w);
        come_late(w, "people", &key, "{\"id\":{\"N\":\"1\"},\"name\":{\"S\":\"later\"}}");
        t->marker.there = false;
        snprintf(identity, sizeof identity, "table-%u", t->made);
        w->config->journal_limit++; /* its trigger is made anew */
        if (busy)
            app_run(w, "BEGIN IMMEDIATE");
        assert_true(sim_start(w));
        assert_int_equal(w->mirror->attached, !busy);
        uint32_t target = target_named(w, "people");
        mirror_target_marker(w->mirror, target, &(struct mirror_marker){.ahead = true});
        mirror_target_open(w->mirror, w->now, target, identity, false);
        if (busy)
            app_run(w, "COMMIT");
        all_is_equal_again(w);
    }
}

/* And of one that is another's: the operator is told that there is nothing to approve so far. */
static void one_that_is_approved_while_a_writer_is_in_the_way(void **state)
{
    struct world *w = world_of_people(3);
    struct sim_table *t = service_table(w, "people");
    _cleanup_buf_ struct buf key = {0};

    (void)state;
    app_run(w, "UPDATE people SET name='ours' WHERE id=1");
    at_rest_again(w);
    key_of(w, "people", "\"ours\"", &key);
    sim_stop(w);
    come_late(w, "people", &key, "{\"id\":{\"N\":\"1\"},\"name\":{\"S\":\"others\"}}");
    t->marker.there = false;
    w->config->journal_limit++; /* its trigger is made anew */
    app_run(w, "BEGIN IMMEDIATE");
    assert_true(sim_start(w));
    assert_false(w->mirror->attached);
    mirror_target_held(w->mirror, w->now, target_named(w, "people"), false, "another's");
    int approved = mirror_approve(w->mirror);
    app_run(w, "COMMIT");
    while (!w->mirror->attached)
        sim_work(w);
    assert_int_equal(approved + mirror_approve(w->mirror), 1);
    look_at_all(w);
    all_is_equal_again(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_is_taken_back),
        cmocka_unit_test(one_that_is_adopted_while_it_is_written),
        cmocka_unit_test(one_whose_table_was_made_anew),
        cmocka_unit_test(one_that_is_written_while_the_disk_is_full),
        cmocka_unit_test(a_handover_that_a_writer_was_in_the_way_of),
        cmocka_unit_test(one_of_another_database_that_is_taken_over),
        cmocka_unit_test(one_of_a_later_life_while_a_writer_is_in_the_way),
        cmocka_unit_test(one_that_is_approved_while_a_writer_is_in_the_way),
        cmocka_unit_test(one_that_was_left_out_when_it_was_taken_over),
        cmocka_unit_test(one_that_is_taken_over_at_the_second_try),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
