/* A world in which rows of several tables, and of one, may meet at one key. */
#ifndef SYNCD_TESTS_MEETING_WORLD_H
#define SYNCD_TESTS_MEETING_WORLD_H

#include "sim_world.h"

__attribute__((unused)) static struct world *meeting_world(void)
{
    return world_that(seats_meet, "DELETE FROM seats; DELETE FROM desks");
}

/* The statement's entries are read, and nothing is sent yet. */
__attribute__((unused)) static void read_at_once(struct world *w, const char *sql)
{
    app_run(w, "%s", sql);
    sim_work(w);
}

__attribute__((unused)) static bool has_item(struct world *w, const char *part)
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

#endif
