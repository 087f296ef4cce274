#include "mirror/split.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/plant.h"
#include "mirror/internal.h"

/* --- of a target ------------------------------------------------------------------------------ */

static void split_name(const struct target_slot *t, char name[32])
{
    snprintf(name, 32, "split:%u", t->store_id);
}

void split_recall(struct mirror *m, struct target_slot *t)
{
    char name[32];
    int64_t was = 0;

    split_name(t, name);
    int rc = store_get_int(m->store, name, &was);
    t->was_split = was != 0 || (rc < 0 && rc != -ENOENT);
}

int split_keep(struct mirror *m, struct target_slot *t)
{
    char name[32];

    if (!t->split)
        return 0;
    split_name(t, name);
    t->was_split = true;
    return store_put_int(m->store, name, 1);
}

/* --- what waits ------------------------------------------------------------------------------- */

static bool is_key(const struct payload *p, uint32_t target, const void *key, size_t n)
{
    return p->target == target && p->key_len == n && memcmp(p->key, key, n) == 0;
}

struct split *split_find(const struct mirror *m, uint32_t target, const void *key, size_t n)
{
    for (struct list *l = m->splits.next; l != &m->splits; l = l->next) {
        struct split *s = container_of(l, struct split, link);
        if (s->head && is_key(s->head, target, key, n))
            return s;
    }
    return NULL;
}

const struct payload *split_newest(const struct mirror *m, uint32_t target, const void *key,
                                   size_t n)
{
    const struct split *s = split_find(m, target, key, n);

    return s && s->stage != SPLIT_CLEANS ? s->head : engine_newest(m->engine, target, key, n);
}

bool split_has(const struct mirror *m, uint32_t target, const void *key, size_t n)
{
    return split_find(m, target, key, n) || engine_has(m->engine, target, key, n);
}

uint64_t split_oldest(const struct mirror *m, uint32_t target)
{
    uint64_t oldest = engine_oldest(m->engine, target);

    for (const struct list *l = m->splits.next; l != &m->splits; l = l->next) {
        const struct split *s = container_of(l, const struct split, link);
        if (s->target == target && s->serial < oldest)
            oldest = s->serial;
    }
    return oldest;
}

static void split_free(struct mirror *m, struct split *s)
{
    engine_reserve(m->engine, s->target, -(ptrdiff_t)s->reserved);
    list_remove(&s->link);
    for (unsigned i = 0; i < s->count; i++)
        payload_free(s->chunks[i]);
    payload_free(s->head);
    free(s->chunks);
    free(s->written);
    free(s);
}

void split_free_all(struct mirror *m)
{
    list_for_each(pos, after, &m->splits) split_free(m, container_of(pos, struct split, link));
}

void split_forget(struct mirror *m, uint32_t target)
{
    list_for_each(pos, after, &m->splits)
    {
        struct split *s = container_of(pos, struct split, link);
        if (s->target == target)
            split_free(m, s);
    }
}

void split_supersede(struct mirror *m, struct payload *p)
{
    struct split *s = list_empty(&m->splits) ? NULL : split_find(m, p->target, p->key, p->key_len);

    if (!s)
        return;
    payload_inherit(p, s->head);
    split_free(m, s);
}

/* Another row, which is gone or has left the key, has a write on its way there that this head was
 * to take the place of: it is that row's no more, whatever becomes of it. */
static void leave_key(struct mirror *m, const struct split *s)
{
    const struct payload *h = s->head;
    const struct payload *p = engine_newest(m->engine, s->target, h->key, h->key_len);
    const struct buf key = {.data = (char *)h->key, .len = h->key_len};
    _cleanup_buf_ struct buf json = {0};

    if (!p || p->op == WRITE_DELETE || payload_same_row(p, h))
        return;
    int rc = item_key_json(&m->targets[s->target]->schema, key.data, key.len, &json);
    struct payload *gone = rc < 0 ? NULL : split_beside(h, WRITE_DELETE, &key, &json);
    if (!gone)
        abort(); /* systemd starts us anew; the journal still has the change */
    gone->part = gone->force = false;
    gone->left = true;
    gone->units = 1;
    if (split_offer(m, m->now, gone) < 0)
        abort();
}

/* Its places are let go of with the next commit, which what took the place of the writes is in. */
void split_end(struct mirror *m, struct split *s)
{
    struct span **spans[] = {&s->head->journal, &s->head->load};

    if (s->stage != SPLIT_CLEANS)
        leave_key(m, s);
    for (size_t i = 0; i < 2; i++) {
        if (*spans[i] &&
            record_add(m, m->now, RECORD_SETTLED, NULL, *spans[i], NULL, NULL, NULL) < 0)
            abort(); /* systemd starts us anew; the journal still has the change */
        *spans[i] = NULL;
    }
    split_free(m, s);
}

void split_cancel(struct mirror *m, uint32_t target)
{
    struct split *s =
        list_empty(&m->splits) ? NULL : split_find(m, target, m->key.data, m->key.len);

    if (s)
        split_end(m, s);
}

/* --- beginning -------------------------------------------------------------------------------- */

/* A write of another key for the same row, with the same places. */
struct payload *split_beside(const struct payload *of, enum write_op op, const struct buf *key,
                             const struct buf *json)
{
    const struct buf row_key = {.data = (char *)of->row_key, .len = of->row_key_len};
    struct payload *p = payload_new(NULL, op, key, &row_key, json);

    if (!p)
        return NULL;
    p->part = true;
    p->force = of->force;
    p->serial = op == WRITE_PUT ? of->serial : 0;
    p->table = of->table;
    p->target = of->target;
    p->read_at = of->read_at;
    p->journal = span_ref(of->journal);
    p->load = span_ref(of->load);
    return p;
}

static int make_chunk(struct mirror *m, struct split *s, const struct oversize *o, unsigned i)
{
    const struct payload *h = s->head;
    const struct buf head_key = {.data = (char *)h->key, .len = h->key_len};
    _cleanup_buf_ struct buf key = {0}, json = {0};
    size_t size = 0;
    int rc = oversize_chunk(&m->targets[h->target]->schema, o, &head_key, i, &key, &json, &size);

    if (rc < 0)
        return rc;
    struct payload *p = split_beside(h, WRITE_PUT, &key, &json);
    if (!p)
        return -ENOMEM;
    p->units = item_write_units(size);
    if (item_digest(p->json, p->json_len, p->digest) < 0)
        p->force = true;
    s->chunks[i] = p;
    s->reserved += payload_memory(p);
    return 0;
}

/* Without its head, which is the caller's. */
static int make_chunks(struct mirror *m, struct split *s, const struct oversize *o)
{
    int rc = 0;

    s->chunks = calloc(o->count, sizeof *s->chunks);
    s->written = calloc(o->count, sizeof *s->written);
    if (!s->chunks || !s->written)
        return -ENOMEM;
    s->count = s->missing = o->count;
    for (unsigned i = 0; rc == 0 && i < s->count; i++)
        rc = make_chunk(m, s, o, i);
    return rc;
}

int split_begin(struct mirror *m, usec now, struct payload *head, const struct oversize *o)
{
    struct split *s = calloc(1, sizeof *s);

    if (!s)
        return -ENOMEM;
    list_init(&s->link);
    s->target = head->target;
    /* Neither a dead letter of a newer read nor a comparison begun meanwhile may take what is
     * offered late for newer than it is. */
    s->serial = head->serial = engine_take_serial(m->engine);
    s->head = head;
    head->head = true;
    memcpy(head->version, o->version, DIGEST_SIZE);
    int rc = make_chunks(m, s, o);
    engine_reserve(m->engine, s->target, (ptrdiff_t)s->reserved);
    if (rc < 0) {
        s->head = NULL;
        split_free(m, s);
        return rc;
    }
    split_supersede(m, head);
    list_push_back(&m->splits, &s->link);
    split_turn(m, now);
    return 0;
}

/* --- on the way ------------------------------------------------------------------------------- */

/* Is a chunk about to be deleted, from when the row was other? Once it is gone so is its note. */
static bool is_deleted(const struct mirror *m, const struct payload *chunk)
{
    const struct payload *p = engine_newest(m->engine, chunk->target, chunk->key, chunk->key_len);

    return p && p->op == WRITE_DELETE;
}

/* Have the state file name the chunks. */
static void note(struct mirror *m, usec now, struct split *s)
{
    static const struct buf none = {.data = (char *)""};

    for (unsigned i = 0; i < s->count; i++)
        if (is_deleted(m, s->chunks[i]))
            return;
    for (unsigned i = 0; i < s->count && !PLANTED(CHUNKS_UNNOTED); i++) {
        const struct buf key = {.data = (char *)s->chunks[i]->key, .len = s->chunks[i]->key_len};
        struct payload *about = split_beside(s->chunks[i], WRITE_DELETE, &key, &none);
        if (!about)
            return; /* those that were noted do no harm: once more at the next turn */
        if (record_add(m, now, RECORD_SUSPECT, about, NULL, NULL, NULL, NULL) < 0) {
            payload_free(about);
            return;
        }
    }
    s->stage = SPLIT_NOTED;
    s->flush = m->flushes_begun + 1;
    if (m->first_record == USEC_NEVER)
        m->first_record = now;
}

int split_offer(struct mirror *m, usec now, struct payload *p)
{
    barrier_read(m); /* what is offered now waits for it to pass */
    return engine_step(m->engine, now, &(struct event){.kind = EVENT_OFFER, .payload = p},
                       &m->actions);
}

/* What finds no memory is offered at the next turn. */
static void offer_chunks(struct mirror *m, usec now, struct split *s)
{
    for (unsigned i = 0; i < s->count; i++) {
        size_t memory = s->chunks[i] ? payload_memory(s->chunks[i]) : 0;
        if (!s->chunks[i])
            continue;
        if (split_offer(m, now, s->chunks[i]) < 0)
            return;
        s->chunks[i] = NULL;
        engine_reserve(m->engine, s->target, -(ptrdiff_t)memory);
        s->reserved -= memory;
    }
}

static void offer_head(struct mirror *m, usec now, struct split *s)
{
    if (split_offer(m, now, s->head) < 0)
        return;
    s->head = NULL;
    split_free(m, s);
}

/* The state file can be read again. */
static void clean_late(struct mirror *m, usec now, struct split *s)
{
    struct payload *about = s->head;

    s->head = NULL; /* nothing waits for its key */
    if (split_clean(m, now, about) == 0) {
        s->head = about;
        split_end(m, s);
    } else {
        s->head = about;
    }
}

static void advance(struct mirror *m, usec now, struct split *s)
{
    if (s->stage == SPLIT_WAITS)
        note(m, now, s);
    if (s->stage == SPLIT_NOTED && s->flush <= m->flushes_durable) {
        s->stage = SPLIT_CHUNKS;
        offer_chunks(m, now, s);
    } else if (s->stage == SPLIT_CHUNKS) {
        offer_chunks(m, now, s);
    }
    if (s->stage == SPLIT_CHUNKS && (s->missing == 0 || PLANTED(HEAD_BEFORE_CHUNKS)))
        offer_head(m, now, s);
    else if (s->stage == SPLIT_CLEANS && !m->state_broken)
        clean_late(m, now, s);
}

void split_turn(struct mirror *m, usec now)
{
    list_for_each(pos, after, &m->splits) advance(m, now, container_of(pos, struct split, link));
}

bool split_wants_flush(const struct mirror *m)
{
    for (const struct list *l = m->splits.next; l != &m->splits; l = l->next) {
        const struct split *s = container_of(l, const struct split, link);
        if (s->stage == SPLIT_NOTED && s->flush > m->flushes_begun)
            return true;
    }
    return false;
}
