#include "engine/internal.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* --- actions ---------------------------------------------------------------------------------- */

int action_push(struct actions *out, const struct action *a)
{
    if (out->count == out->cap) {
        size_t cap = out->cap ? out->cap * 2 : 64;
        struct action *items = realloc(out->items, cap * sizeof *items);
        if (!items)
            return -ENOMEM;
        out->items = items;
        out->cap = cap;
    }
    out->items[out->count++] = *a;
    return 0;
}

void actions_clear(struct actions *a)
{
    a->count = 0;
}

void actions_free(struct actions *a)
{
    free(a->items);
    *a = (struct actions){0};
}

/* --- targets ---------------------------------------------------------------------------------- */

void batch_unbind(struct engine *e, struct batch *b)
{
    for (unsigned i = 0; i < b->request.count; i++)
        entry_ready(e, b->entries[i], true);
    list_remove(&b->link);
    free(b);
}

static bool batch_has_target(const struct batch *b, uint32_t target)
{
    for (unsigned i = 0; i < b->request.count; i++)
        if (b->entries[i]->target == target)
            return true;
    return false;
}

/* What waits for the reply of an earlier write of its key. */
static void forget_pending(struct engine *e, uint32_t target)
{
    list_for_each(pos, after, &e->flying)
    {
        struct batch *b = container_of(pos, struct batch, link);
        for (unsigned i = 0; i < b->request.count; i++) {
            struct entry *n = b->entries[i];
            if (n->target != target)
                continue;
            payload_drop(e, n->pending);
            n->pending = NULL;
        }
    }
}

static void park(struct engine *e, uint32_t target)
{
    struct target *t = &e->targets[target];

    t->parked = true;
    list_for_each(pos, after, &e->bound)
    {
        struct batch *b = container_of(pos, struct batch, link);
        if (batch_has_target(b, target))
            batch_unbind(e, b);
    }
    list_for_each(entry_pos, entry_after, &t->ready)
        entry_forget(e, container_of(entry_pos, struct entry, link));
    list_for_each(held_pos, held_after, &t->held)
        entry_forget(e, container_of(held_pos, struct entry, link));
    entry_forget_waiting(e, target);
    entry_forget_asked(e, target);
    forget_pending(e, target);
}

static struct batch *batch_find(struct engine *e, uint64_t id)
{
    list_for_each(pos, after, &e->flying)
    {
        struct batch *b = container_of(pos, struct batch, link);
        if (b->request.id == id)
            return b;
    }
    return NULL;
}

/* --- events ----------------------------------------------------------------------------------- */

int engine_step(struct engine *e, usec now, const struct event *ev, struct actions *out)
{
    struct batch *b;
    int rc = 0, sent;

    switch (ev->kind) {
    case EVENT_OFFER: /* a slice of offers is followed by one EVENT_TIMER, so that batches fill */
        return entry_offer(e, ev->payload);
    case EVENT_REPLY:
        b = batch_find(e, ev->request_id);
        if (b)
            rc = engine_outcome(e, now, b, ev->reply, out);
        break;
    case EVENT_TIMER:
        break;
    case EVENT_PAUSE:
        e->paused = true;
        break;
    case EVENT_RESUME:
        e->paused = false;
        break;
    case EVENT_STOP:
        e->stopped = true;
        break;
    case EVENT_OPEN:
        e->targets[ev->target].parked = false;
        e->targets[ev->target].not_before = 0;
        break;
    case EVENT_PARK:
        park(e, ev->target);
        break;
    case EVENT_CREDENTIALS:
        e->waiting_credentials = false;
        e->credentials++;
        break;
    case EVENT_KEEP:
        entry_keep_asked(e, ev->serial);
        break;
    case EVENT_DURABLE:
        if (ev->serial > e->durable) {
            e->durable = ev->serial;
            entry_release_held(e);
        }
        break;
    }
    sent = engine_dispatch(e, now, out); /* whatever failed above, the rest goes on */
    return rc < 0 ? rc : sent;
}

/* --- life ------------------------------------------------------------------------------------- */

static void target_init(struct target *t)
{
    *t = (struct target){.parked = true};
    list_init(&t->ready);
    list_init(&t->held);
}

static void list_move(struct list *to, struct list *from)
{
    list_init(to);
    list_for_each(pos, after, from)
    {
        list_remove(pos);
        list_push_back(to, pos);
    }
}

int engine_grow(struct engine *e, uint32_t targets)
{
    struct target *more = calloc(targets, sizeof *more);

    if (!more)
        return -ENOMEM;
    for (uint32_t i = 0; i < targets; i++) {
        target_init(&more[i]);
        if (i >= e->target_count)
            continue;
        more[i] = e->targets[i];
        list_move(&more[i].ready, &e->targets[i].ready);
        list_move(&more[i].held, &e->targets[i].held);
    }
    free(e->targets);
    e->targets = more;
    e->target_count = targets;
    return 0;
}

struct engine *engine_new(const struct engine_config *c, uint32_t targets)
{
    struct engine *e = calloc(1, sizeof *e);

    if (!e || !(e->targets = calloc(targets ? targets : 1, sizeof *e->targets))) {
        free(e);
        return NULL;
    }
    e->config = *c;
    e->rng.state = c->seed;
    e->idle_entries = (struct blocks){.size = sizeof(struct entry), .most = ENTRIES_KEPT};
    e->target_count = targets;
    e->next_request = e->next_serial = 1;
    e->window = UINT_MAX;
    e->quota = RETRY_QUOTA;
    e->durable = c->barrier ? 0 : UINT64_MAX;
    e->deadline = USEC_NEVER;
    list_init(&e->flying);
    list_init(&e->bound);
    list_init(&e->asked);
    for (uint32_t i = 0; i < targets; i++)
        target_init(&e->targets[i]);
    return e;
}

static void free_batches(struct list *batches)
{
    list_for_each(pos, after, batches) free(container_of(pos, struct batch, link));
}

void engine_free(struct engine *e)
{
    if (!e)
        return;
    for (size_t i = 0; e->keys.slots && i <= e->keys.mask; i++)
        while (e->keys.slots[i])
            entry_free(e, container_of(e->keys.slots[i], struct entry, node));
    free_batches(&e->flying);
    free_batches(&e->bound);
    map_free(&e->keys);
    blocks_clear(&e->idle_entries);
    doubts_free(e);
    free(e->heap);
    free(e->targets);
    free(e);
}

void engine_configure(struct engine *e, const struct engine_config *c)
{
    struct engine_config keep = e->config;

    e->config = *c;
    e->config.arg = keep.arg;
    e->config.holds = keep.holds;
    e->config.barrier = keep.barrier;
    e->config.reread = keep.reread;
    e->config.seed = keep.seed; /* keys are hashed with it */
}

usec engine_deadline(const struct engine *e)
{
    return e->deadline;
}

size_t engine_pending(const struct engine *e, uint32_t target)
{
    return e->targets[target].items;
}

double engine_limit(const struct engine *e, uint32_t target)
{
    return limiter_limit(&e->targets[target].limiter);
}

void engine_stats(const struct engine *e, struct engine_stats *out)
{
    *out = e->stats;
    out->items = e->keys.count;
    out->bytes = e->bytes;
    out->in_flight = e->in_flight;
    out->retry_quota = e->quota;
    out->retry_at = e->failures ? e->not_before : USEC_NEVER;
    out->waiting_credentials = e->waiting_credentials;
}
