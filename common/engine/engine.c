#include "engine/internal.h"

#include <errno.h>
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

/* --- the heap of waiting entries -------------------------------------------------------------- */

static void heap_set(struct engine *e, size_t at, struct entry *n)
{
    e->heap[at] = n;
    n->heap_at = at;
}

static void heap_up(struct engine *e, size_t at)
{
    struct entry *n = e->heap[at];

    while (at > 0 && e->heap[(at - 1) / 2]->not_before > n->not_before) {
        heap_set(e, at, e->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_set(e, at, n);
}

static void heap_down(struct engine *e, size_t at)
{
    struct entry *n = e->heap[at];

    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= e->heap_count)
            break;
        if (child + 1 < e->heap_count &&
            e->heap[child + 1]->not_before < e->heap[child]->not_before)
            child++;
        if (e->heap[child]->not_before >= n->not_before)
            break;
        heap_set(e, at, e->heap[child]);
        at = child;
    }
    heap_set(e, at, n);
}

static void heap_remove(struct engine *e, struct entry *n)
{
    size_t at = n->heap_at;
    struct entry *last = e->heap[--e->heap_count];

    if (last == n)
        return;
    heap_set(e, at, last);
    heap_up(e, at);
    heap_down(e, last->heap_at);
}

struct entry *heap_pop_due(struct engine *e, usec now)
{
    struct entry *n = e->heap_count ? e->heap[0] : NULL;

    if (!n || n->not_before > now)
        return NULL;
    heap_remove(e, n);
    return n;
}

/* --- entries ---------------------------------------------------------------------------------- */

void entry_ready(struct engine *e, struct entry *n, bool front)
{
    struct target *t = &e->targets[n->target];

    n->state = ENTRY_READY;
    if (front)
        list_push_front(&t->ready, &n->link);
    else
        list_push_back(&t->ready, &n->link);
    t->ready_count++;
}

void entry_wait(struct engine *e, struct entry *n, usec until)
{
    if (e->heap_count == e->heap_cap) {
        size_t cap = e->heap_cap ? e->heap_cap * 2 : 64;
        struct entry **heap = realloc(e->heap, cap * sizeof *heap);
        if (!heap) { /* no room to wait in: try again at once, which is allowed */
            entry_ready(e, n, false);
            return;
        }
        e->heap = heap;
        e->heap_cap = cap;
    }
    n->state = ENTRY_WAITING;
    n->not_before = until;
    e->heap[e->heap_count] = n;
    heap_up(e, e->heap_count++);
}

static void payload_drop(struct engine *e, struct payload *p)
{
    if (p)
        e->bytes -= payload_memory(p);
    payload_free(p);
}

void entry_free(struct engine *e, struct entry *n)
{
    if (n->state == ENTRY_READY) {
        list_remove(&n->link);
        e->targets[n->target].ready_count--;
    } else if (n->state == ENTRY_WAITING) {
        heap_remove(e, n);
    }
    payload_drop(e, n->pending);
    payload_drop(e, n->sent);
    map_remove(&e->keys, &n->node);
    e->targets[n->target].items--;
    free(n);
}

/* `newer` takes the place of `older`: it keeps the older place in the journal, because the journal
 * may only be forgotten up to there, and the duty to be sent. A page of a load need not be kept:
 * what replaced it stands in the journal, or in a later page, until it is settled. */
static void payload_supersede(struct engine *e, struct payload *older, struct payload *newer)
{
    struct span *keep = older->journal ? older->journal : newer->journal;

    if (older->journal) {
        span_unref(newer->journal);
        older->journal = NULL;
    }
    newer->journal = keep;
    newer->force |= older->force;
    if (older->read_at < newer->read_at && keep)
        newer->read_at = older->read_at;
    payload_drop(e, older);
}

void entry_unsend(struct engine *e, struct entry *n)
{
    struct payload *sent = n->sent;

    n->sent = NULL;
    if (n->pending)
        payload_supersede(e, sent, n->pending);
    else
        n->pending = sent;
}

static const char *entry_key(const struct entry *n, size_t *len)
{
    const struct payload *p = n->pending ? n->pending : n->sent;

    *len = p->key_len;
    return p->key;
}

static uint64_t key_hash(const struct engine *e, uint32_t target, const void *key, size_t n)
{
    return map_hash(key, n, e->config.seed ^ target);
}

static struct entry *entry_find(const struct engine *e, uint32_t target, const void *key, size_t n)
{
    for (struct map_node *m = map_find(&e->keys, key_hash(e, target, key, n)); m; m = map_next(m)) {
        struct entry *found = container_of(m, struct entry, node);
        size_t len;
        const char *its = entry_key(found, &len);
        if (found->target == target && len == n && memcmp(its, key, len) == 0)
            return found;
    }
    return NULL;
}

bool engine_has(const struct engine *e, uint32_t target, const void *key, size_t n)
{
    return entry_find(e, target, key, n) != NULL;
}

static int offer(struct engine *e, struct payload *p)
{
    struct entry *n = entry_find(e, p->target, p->key, p->key_len);

    if (n) {
        if (n->pending)
            payload_supersede(e, n->pending, p);
        n->pending = p;
        e->bytes += payload_memory(p);
        return 0;
    }
    n = calloc(1, sizeof *n);
    if (!n || map_insert(&e->keys, &n->node, key_hash(e, p->target, p->key, p->key_len)) < 0) {
        free(n);
        return -ENOMEM;
    }
    list_init(&n->link);
    n->target = p->target;
    n->pending = p;
    e->bytes += payload_memory(p);
    e->targets[n->target].items++;
    entry_ready(e, n, false);
    return 0;
}

/* --- targets ---------------------------------------------------------------------------------- */

static void unbind(struct engine *e, struct batch *b)
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

static void park(struct engine *e, uint32_t target)
{
    struct target *t = &e->targets[target];

    t->parked = true;
    list_for_each(pos, after, &e->bound)
    {
        struct batch *b = container_of(pos, struct batch, link);
        if (batch_has_target(b, target))
            unbind(e, b);
    }
    list_for_each(entry_pos, entry_after, &t->ready)
        entry_free(e, container_of(entry_pos, struct entry, link));
    for (size_t i = 0; i < e->heap_count;) {
        if (e->heap[i]->target == target)
            entry_free(e, e->heap[i]); /* another entry takes its place */
        else
            i++;
    }
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
    int rc = 0;

    switch (ev->kind) {
    case EVENT_OFFER: /* a slice of offers is followed by one EVENT_TIMER, so that batches fill */
        return offer(e, ev->payload);
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
        break;
    }
    return rc < 0 ? rc : engine_dispatch(e, now, out);
}

/* --- life ------------------------------------------------------------------------------------- */

static void target_init(struct target *t)
{
    *t = (struct target){.parked = true};
    list_init(&t->ready);
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
        struct list *old = &e->targets[i].ready;
        more[i] = e->targets[i];
        list_init(&more[i].ready);
        list_for_each(pos, after, old)
        {
            list_remove(pos);
            list_push_back(&more[i].ready, pos);
        }
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
    e->target_count = targets;
    e->next_request = 1;
    e->deadline = USEC_NEVER;
    list_init(&e->flying);
    list_init(&e->bound);
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
    e->config.seed = keep.seed; /* keys are hashed with it */
}

bool engine_room(const struct engine *e)
{
    return e->keys.count < e->config.max_items && e->bytes < e->config.max_bytes;
}

usec engine_deadline(const struct engine *e)
{
    return e->deadline;
}

size_t engine_pending(const struct engine *e, uint32_t target)
{
    return e->targets[target].items;
}

void engine_stats(const struct engine *e, struct engine_stats *out)
{
    *out = e->stats;
    out->items = e->keys.count;
    out->bytes = e->bytes;
    out->in_flight = e->in_flight;
    out->retry_at = e->failures ? e->not_before : USEC_NEVER;
    out->waiting_credentials = e->waiting_credentials;
}
