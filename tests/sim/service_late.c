/* Writes that are on their way though nobody waits for them any more. */
#include <stdlib.h>
#include <string.h>

#include "service.h"

void service_late_free(struct sim_late *l)
{
    buf_free(&l->write.key);
    buf_free(&l->write.json);
    list_remove(&l->link);
    free(l);
}

/* Would it change what is there now? */
static bool would_change(const struct world *w, const struct sim_write *x)
{
    const struct sim_item *item = service_item(x->table, x->key.data, x->key.len);

    if (!x->put)
        return item != NULL;
    return !service_refuses(w, x) &&
           (!item || item->json_len != x->json.len ||
            memcmp(item->bytes + item->key_len, x->json.data, x->json.len) != 0);
}

usec service_lateness(struct world *w)
{
    usec most = w->lateness;

    for (unsigned i = sim_pick(w, 12); i > 0 && most > USEC_PER_MSEC; i--)
        most /= 2;
    return (usec)rng_upto(&w->rng, (uint64_t)most);
}

void service_leave(struct world *w, struct sim_write *x, usec due)
{
    struct sim_late *l = calloc(1, sizeof *l);
    struct list *at = &w->late;

    if (!l)
        abort();
    l->due = due;
    l->write = *x;
    x->key = x->json = (struct buf){0};
    list_init(&l->link);
    list_for_each(pos, after, &w->late)
    {
        at = pos;
        if (container_of(pos, struct sim_late, link)->due > due)
            break;
        at = &w->late;
    }
    list_push_back(at, &l->link); /* before `at` */
}

usec service_late_due(const struct world *w)
{
    return list_empty(&w->late) ? USEC_NEVER : list_first(&w->late, struct sim_late, link)->due;
}

void service_late(struct world *w)
{
    while (service_late_due(w) <= w->now) {
        struct sim_late *l = list_first(&w->late, struct sim_late, link);
        struct sim_write *x = &l->write;
        bool admitted = x->table->exists && !x->table->denied && !service_refuses(w, x);
        sim_trace(w, "late %s %s %.*s%s", x->put ? "put" : "delete", x->table->name,
                  sim_shown(x->json.len), x->json.data, admitted ? "" : ": refused");
        if (admitted)
            service_carry_out(w, x, true);
        service_late_free(l);
    }
}

void service_check_late(struct world *w, const char *when)
{
    list_for_each(pos, after, &w->late)
    {
        const struct sim_late *l = container_of(pos, struct sim_late, link);
        if (would_change(w, &l->write))
            sim_fail(w, "%s: I3: a %s of %s may yet arrive: %.*s", when,
                     l->write.put ? "put" : "delete", l->write.table->name, (int)l->write.json.len,
                     l->write.json.data);
    }
}
