/* Rows that meet at one key, in a simulated world: whoever is to have it, somebody has it. */
#include "sim_world.h"

static struct world *meeting_world(void)
{
    return world_that(seats_meet, "DELETE FROM seats; DELETE FROM desks");
}

/* The statement's entries are read, and nothing is sent yet. */
static void read_at_once(struct world *w, const char *sql)
{
    app_run(w, "%s", sql);
    sim_work(w);
}

static bool has_item(struct world *w, const char *part)
{
    const struct sim_table *t = service_table(w, "single");

    for (size_t i = 0; t->items.slots && i <= t->items.mask; i++)
        for (struct map_node *n = t->items.slots[i]; n; n = n->next) {
            const struct sim_item *item = container_of(n, struct sim_item, node);
            if (memmem(item->bytes + item->key_len, item->json_len, part, strlen(part)))
                return true;
        }
    return false;
}

/* A row left its key and came back while another, which is refused, was to have it: it waits for
 * the key of the item that is still its own. */
static struct world *world_of_a_waiting_owner(void)
{
    struct world *w = meeting_world();

    app_run(w, "INSERT INTO seats(id,place,v) VALUES(1,'here','first')");
    at_rest_again(w);
    app_run(w, "UPDATE seats SET place='there' WHERE id=1");
    read_at_once(w, "INSERT INTO seats(id,place,v) VALUES(2,'here','" SIM_POISON "')");
    read_at_once(w, "UPDATE seats SET place='here', v='again' WHERE id=1");
    at_rest_again(w);
    assert_int_equal(table_named(w, "seats").dead_letters, 2);
    assert_true(has_item(w, "first"));
    return w;
}

static void an_owner_that_waits_is_told_by_who_waits_for_it(void **state)
{
    struct world *w = world_of_a_waiting_owner();

    (void)state;
    app_run(w, "UPDATE seats SET v='mended' WHERE id=2");
    at_rest_again(w);
    assert_true(has_item(w, "again"));
    assert_int_equal(table_named(w, "seats").dead_letters, 1);
    world_free(w);
}

static void an_owner_that_waits_is_told_by_who_leaves(void **state)
{
    struct world *w = world_of_a_waiting_owner();

    (void)state;
    app_run(w, "DELETE FROM seats WHERE id=2");
    at_rest_again(w);
    assert_true(has_item(w, "again"));
    assert_int_equal(table_named(w, "seats").dead_letters, 0);
    world_free(w);
}

/* A refusal that comes when its row is well under another key is none of the row's any more. */
static void a_late_refusal_under_a_key_that_was_left(void **state)
{
    struct world *w = meeting_world();

    (void)state;
    app_run(w, "INSERT INTO seats(id,place,v) VALUES(1,'p1','" SIM_POISON "')");
    turn_until_sent(w);
    struct sim_flight *f = list_first(&w->flights, struct sim_flight, link);
    assert_int_equal(f->count, 1);
    f->arrived = false;
    f->due = w->now + 5 * USEC_PER_SEC;
    app_run(w, "UPDATE seats SET place='p2', v='well' WHERE id=1");
    w->pumping = true;
    live_for(w, 4 * USEC_PER_SEC);
    assert_true(list_first(&w->flights, struct sim_flight, link) == f);
    at_rest_again(w);
    assert_int_equal(seen(w).dead_letters, 0);
    world_free(w);
}

/* Nor one that comes when its row is gone, though another row's write takes the place of the
 * delete. */
static void a_late_refusal_of_a_row_that_is_gone(void **state)
{
    struct world *w = meeting_world();

    (void)state;
    app_run(w, "INSERT INTO seats(id,place,v) VALUES(1,'p1','" SIM_POISON "')");
    turn_until_sent(w);
    struct sim_flight *f = list_first(&w->flights, struct sim_flight, link);
    assert_int_equal(f->count, 1);
    f->arrived = false;
    f->due = w->now + 5 * USEC_PER_SEC;
    app_run(w, "DELETE FROM seats");
    w->pumping = true;
    live_for(w, 4 * USEC_PER_SEC);
    sim_pause(w, true);
    live_for(w, 2 * USEC_PER_SEC);
    assert_true(list_empty(&w->flights));
    app_run(w, "INSERT INTO seats(id,place,v) VALUES(2,'p1','well')");
    w->pumping = true;
    live_for(w, 2 * USEC_PER_SEC);
    at_rest_again(w);
    assert_true(has_item(w, "well"));
    assert_int_equal(seen(w).dead_letters, 0);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_owner_that_waits_is_told_by_who_waits_for_it),
        cmocka_unit_test(an_owner_that_waits_is_told_by_who_leaves),
        cmocka_unit_test(a_late_refusal_under_a_key_that_was_left),
        cmocka_unit_test(a_late_refusal_of_a_row_that_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
