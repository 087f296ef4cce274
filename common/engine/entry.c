/* Keys that have something pending or in flight, those that wait, and those of which an outcome is
 * unknown. */
#include "base/plant.h"
#include "engine/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

    e->targets[n->target].waiting--;
    if (last == n)
        return;
    heap_set(e, at, last);
    heap_up(e, at);
    heap_down(e, last->heap_at);
}

struct entry *entry_due(struct engine *e, usec now)
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

void entry_hold(struct engine *e, struct entry *n)
{
    struct target *t = &e->targets[n->target];

    list_remove(&n->link);
    t->ready_count--;
    n->state = ENTRY_HELD;
    list_push_back(&t->held, &n->link);
}

/* --- asked for again -------------------------------------------------------------------------- */

void entry_ask(struct engine *e, struct entry *n)
{
    list_remove(&n->link);
    e->targets[n->target].ready_count--;
    n->state = ENTRY_ASKED;
    n->ticket = e->next_ticket++;
    list_push_back(&e->asked, &n->link);
}

/* Its place was at the front: there it goes back. */
static void entry_answered(struct engine *e, struct entry *n)
{
    list_remove(&n->link);
    n->stale = false;
    entry_ready(e, n, true);
}

void entry_keep_asked(struct engine *e, uint64_t before)
{
    for (struct list *pos = e->asked.prev, *prev; pos != &e->asked; pos = prev) {
        struct entry *n = container_of(pos, struct entry, link);
        prev = pos->prev;
        if (n->ticket < before)
            entry_answered(e, n);
    }
}

void entry_forget_asked(struct engine *e, uint32_t target)
{
    list_for_each(pos, after, &e->asked)
    {
        struct entry *n = container_of(pos, struct entry, link);
        if (n->target == target)
            entry_forget(e, n);
    }
}

uint64_t engine_asked(const struct engine *e, uint64_t from, unsigned most, engine_write_fn *fn,
                      void *arg)
{
    for (const struct list *l = e->asked.next; l != &e->asked && most > 0; l = l->next) {
        const struct entry *n = container_of(l, const struct entry, link);
        if (n->ticket < from)
            continue;
        fn(arg, n->pending);
        from = n->ticket + 1;
        most--;
    }
    return from;
}

bool engine_asks(const struct engine *e)
{
    return !e->stopped && e->asked.next != &e->asked;
}

/* --- what is durable -------------------------------------------------------------------------- */

/* Whoever reads waits for what it read before to be durable, so that all that is held becomes free
 * at once, and no entry is looked at here more than once or twice. */
void entry_release_held(struct engine *e)
{
    for (uint32_t i = 0; i < e->target_count; i++) {
        struct list *held = &e->targets[i].held;
        for (struct list *pos = held->prev, *before; pos != held; pos = before) {
            struct entry *n = container_of(pos, struct entry, link);
            before = pos->prev;
            if (!entry_durable(e, n))
                continue;
            list_remove(pos);
            entry_ready(e, n, true);
        }
    }
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
    e->targets[n->target].waiting++;
    e->heap[e->heap_count] = n;
    heap_up(e, e->heap_count++);
}

void payload_drop(struct engine *e, struct payload *p)
{
    if (p)
        payload_uncount(e, p);
    payload_free(p);
}

/* Any payload of the entry: the key's bytes are in it. */
static const struct payload *entry_payload(const struct entry *n)
{
    return n->pending ? n->pending : n->sent;
}

void entry_free(struct engine *e, struct entry *n)
{
    if (n->state == ENTRY_READY) {
        list_remove(&n->link);
        e->targets[n->target].ready_count--;
    } else if (n->state == ENTRY_HELD || n->state == ENTRY_ASKED) {
        list_remove(&n->link);
    } else if (n->state == ENTRY_WAITING) {
        heap_remove(e, n);
    }
    payload_drop(e, n->pending);
    payload_drop(e, n->sent);
    map_remove(&e->keys, &n->node);
    e->targets[n->target].items--;
    blocks_give(&e->idle_entries, n);
}

/* --- doubts ----------------------------------------------------------------------------------- */

/* A key that has no entry any more, but whose last write may have been carried out: the table was
 * parked before its outcome was known, or a later write was refused. What the store knows of the
 * key may be older than what DynamoDB holds. */
struct doubt {
    struct map_node node;
    uint32_t target;
    size_t len;
    char key[];
};

static struct doubt *doubt_find(const struct engine *e, const struct payload *p, uint64_t hash)
{
    for (struct map_node *m = map_find(&e->doubts, hash); m; m = map_next(m)) {
        struct doubt *d = container_of(m, struct doubt, node);
        if (d->target == p->target && d->len == p->key_len && memcmp(d->key, p->key, d->len) == 0)
            return d;
    }
    return NULL;
}

void doubt_keep(struct engine *e, const struct entry *n, const struct payload *p)
{
    struct doubt *d = malloc(sizeof *d + p->key_len);

    if (!d || map_insert(&e->doubts, &d->node, n->node.hash) < 0) {
        free(d);
        e->doubt_all = true;
        return;
    }
    d->target = p->target;
    d->len = p->key_len;
    memcpy(d->key, p->key, d->len);
}

/* Was there a doubt about the key? It is the new entry's from now on. */
static bool doubt_take(struct engine *e, const struct payload *p, uint64_t hash)
{
    struct doubt *d = doubt_find(e, p, hash);

    if (d)
        map_remove(&e->doubts, &d->node);
    free(d);
    return d != NULL;
}

bool engine_in_doubt(const struct engine *e, uint32_t target)
{
    for (size_t i = 0; e->doubts.slots && i <= e->doubts.mask; i++)
        for (const struct map_node *m = e->doubts.slots[i]; m; m = m->next)
            if (container_of(m, const struct doubt, node)->target == target)
                return true;
    return e->doubt_all;
}

void doubts_free(struct engine *e)
{
    for (size_t i = 0; e->doubts.slots && i <= e->doubts.mask; i++)
        while (e->doubts.slots[i]) {
            struct doubt *d = container_of(e->doubts.slots[i], struct doubt, node);
            map_remove(&e->doubts, &d->node);
            free(d);
        }
    map_free(&e->doubts);
}

void entry_forget(struct engine *e, struct entry *n)
{
    if (n->uncertain)
        doubt_keep(e, n, entry_payload(n));
    entry_free(e, n);
}

void entry_forget_sent(struct engine *e, struct entry *n)
{
    if (!n->pending) {
        entry_forget(e, n);
        return;
    }
    payload_drop(e, n->sent);
    n->sent = NULL;
    entry_ready(e, n, false);
}

void entry_forget_waiting(struct engine *e, uint32_t target)
{
    size_t count = e->heap_count;

    e->heap_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct entry *n = e->heap[i];
        if (n->target == target) {
            e->targets[target].waiting--;
            n->state = ENTRY_BOUND; /* in no list and in no heap */
            entry_forget(e, n);
        } else {
            e->heap[e->heap_count] = n;
            heap_up(e, e->heap_count++);
        }
    }
}

/* --- offers ----------------------------------------------------------------------------------- */

static void payload_supersede(struct engine *e, struct payload *older, struct payload *newer)
{
    payload_inherit(newer, older);
    payload_drop(e, older);
}

void entry_unsend(struct engine *e, struct entry *n)
{
    struct payload *sent = n->sent;

    n->sent = NULL;
    if (PLANTED(STALE_UNPROCESSED) && n->pending) {
        payload_drop(e, n->pending);
        n->pending = sent;
    } else if (n->pending)
        payload_supersede(e, sent, n->pending);
    else {
        n->pending = sent;
        n->stale = e->config.reread && !PLANTED(STALE_UNPROCESSED);
    }
}

static uint64_t key_hash(const struct engine *e, uint32_t target, const void *key, size_t n)
{
    return map_hash(key, n, e->config.seed ^ target);
}

static struct entry *entry_find(const struct engine *e, uint64_t hash, uint32_t target,
                                const void *key, size_t n)
{
    for (struct map_node *m = map_find(&e->keys, hash); m; m = map_next(m)) {
        struct entry *found = container_of(m, struct entry, node);
        const struct payload *p = entry_payload(found);
        if (found->target == target && p->key_len == n && memcmp(p->key, key, n) == 0)
            return found;
    }
    return NULL;
}

bool engine_has(const struct engine *e, uint32_t target, const void *key, size_t n)
{
    return entry_find(e, key_hash(e, target, key, n), target, key, n) != NULL;
}

const struct payload *engine_newest(const struct engine *e, uint32_t target, const void *key,
                                    size_t n)
{
    const struct entry *found = entry_find(e, key_hash(e, target, key, n), target, key, n);

    return found ? entry_payload(found) : NULL;
}

bool engine_overtaken(struct engine *e, struct payload *p)
{
    struct entry *n =
        entry_find(e, key_hash(e, p->target, p->key, p->key_len), p->target, p->key, p->key_len);

    if (!n)
        return false;
    n->uncertain = true;
    payload_inherit(n->pending ? n->pending : n->sent, p);
    payload_free(p);
    return true;
}

uint64_t engine_serial(const struct engine *e)
{
    return e->next_serial;
}

uint64_t engine_take_serial(struct engine *e)
{
    return e->next_serial++;
}

uint64_t engine_oldest(const struct engine *e, uint32_t target)
{
    uint64_t oldest = UINT64_MAX;

    for (size_t i = 0; e->keys.slots && i <= e->keys.mask; i++)
        for (struct map_node *m = e->keys.slots[i]; m; m = m->next) {
            const struct entry *n = container_of(m, struct entry, node);
            if (n->target != target)
                continue;
            if (n->pending && n->pending->serial < oldest)
                oldest = n->pending->serial;
            if (n->sent && n->sent->serial < oldest)
                oldest = n->sent->serial;
        }
    return oldest;
}

/* The row that was asked for is as it was: the write that came back goes again, without waiting for
 * a sync that nothing of it needs. */
static bool answers_the_same(const struct entry *n, const struct payload *p)
{
    const struct payload *old = n->pending;

    return n->state == ENTRY_ASKED && !p->journal && !p->load && p->op == old->op &&
           p->left == old->left && p->force <= old->force && p->json_len == old->json_len &&
           payload_same_row(p, old) && memcmp(p->json, old->json, p->json_len) == 0;
}

int entry_offer(struct engine *e, struct payload *p)
{
    uint64_t hash = key_hash(e, p->target, p->key, p->key_len);
    struct entry *n = entry_find(e, hash, p->target, p->key, p->key_len);

    if (n && answers_the_same(n, p)) {
        payload_free(p);
        entry_answered(e, n);
        return 0;
    }
    if (!p->serial)
        p->serial = e->next_serial++;
    if (PLANTED(KEY_TWICE) && n && n->state == ENTRY_SENT)
        n = NULL;
    if (n) {
        if (PLANTED(OLDER_READ_KEPT) && n->pending) {
            payload_free(p);
            return 0;
        }
        if (n->pending)
            payload_supersede(e, n->pending, p);
        n->pending = p;
        payload_count(e, p);
        n->stale = false;
        if (n->state == ENTRY_ASKED)
            entry_answered(e, n);
        return 0;
    }
    n = blocks_take(&e->idle_entries);
    if (!n)
        return -ENOMEM;
    *n = (struct entry){.target = p->target, .pending = p};
    list_init(&n->link);
    if (map_insert(&e->keys, &n->node, hash) < 0) {
        blocks_give(&e->idle_entries, n);
        return -ENOMEM;
    }
    n->uncertain = doubt_take(e, p, n->node.hash);
    payload_count(e, p);
    e->targets[n->target].items++;
    entry_ready(e, n, false);
    return 0;
}
