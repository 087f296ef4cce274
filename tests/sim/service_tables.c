/* Whose the tables of the model DynamoDB are, what a look into them finds, and how they come and
 * go. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/item.h"
#include "service.h"

/* Before the first write of ours others have been here. Their keys are of the table's schema. */
static void plant_foreign(struct world *w, uint32_t target, struct sim_table *t)
{
    const struct key_schema *s = mirror_target(w->mirror, target)->schema;
    unsigned count = t->planted || t->items.count ? 0 : 1 + sim_pick(w, 5);

    if (t->planted || !sim_chance(w, w->faults.foreign))
        count = 0;
    t->planted = true;
    for (unsigned n = 0; n < count; n++) {
        _cleanup_buf_ struct buf key = {0}, json = {0};
        for (size_t i = 0; i < s->count; i++) {
            char text[32];
            snprintf(text, sizeof text, s->parts[i].type == ATTR_N ? "7%07u" : "YWxpZW4%u", n);
            item_key_part(&key, s->parts[i].type, text, strlen(text));
        }
        buf_printf(&json, "{\"alien\":{\"N\":\"%u\"}}", n);
        service_put(t, &key, &json)->foreign = true;
        t->foreign++;
    }
    if (count)
        sim_trace(w, "others have written %u items into %s", count, t->name);
}

void service_survey_end(struct world *w)
{
    for (uint32_t i = 0; i < SIM_TABLES; i++) {
        w->surveys[i].active = false;
        w->surveys[i].marked_due = USEC_NEVER;
    }
}

void service_survey(void *arg, uint32_t target)
{
    struct world *w = arg;
    struct sim_survey *s = &w->surveys[target];

    sim_trace(w, "survey of %s", mirror_target(w->mirror, target)->name);
    s->active = true;
    s->denied = sim_chance(w, w->faults.survey_denied);
    s->due = w->now + sim_pick(w, 30) * USEC_PER_MSEC;
    buf_clear(&s->after);
}

void service_mark(void *arg, uint32_t target)
{
    struct world *w = arg;

    w->surveys[target].marked_due = w->now + sim_pick(w, 30) * USEC_PER_MSEC;
}

usec service_survey_due(const struct world *w)
{
    usec due = USEC_NEVER;

    for (uint32_t i = 0; i < w->probe_count; i++) {
        const struct sim_survey *s = &w->surveys[i];
        due = s->active && s->due < due ? s->due : due;
        due = s->marked_due < due ? s->marked_due : due;
    }
    return due;
}

static int key_order(const struct buf *a, const struct buf *b)
{
    int rc = memcmp(a->data, b->data, a->len < b->len ? a->len : b->len);

    return rc ? rc : a->len < b->len ? -1 : a->len > b->len;
}

enum { PAGE_ITEMS = 20 };

static struct buf key_in(const struct sim_item *item)
{
    return (struct buf){.data = (char *)item->bytes, .len = item->key_len};
}

/* The first `most` items behind `after`, in the order of their keys; how many there are. */
static unsigned items_after(const struct sim_table *t, const struct buf *after, unsigned most,
                            struct sim_item *out[PAGE_ITEMS + 1])
{
    unsigned count = 0;

    for (size_t k = 0; t->items.slots && k <= t->items.mask; k++)
        for (struct map_node *n = t->items.slots[k]; n; n = n->next) {
            struct sim_item *item = container_of(n, struct sim_item, node);
            struct buf key = key_in(item), other;
            unsigned at = count;
            if (after->len && key_order(&key, after) <= 0)
                continue;
            for (; at > 0 && (other = key_in(out[at - 1]), key_order(&key, &other) < 0); at--)
                if (at < most)
                    out[at] = out[at - 1];
            if (at < most)
                out[at] = item;
            count += count < most;
        }
    return count;
}

/* A page: what stands there now behind the last. */
static void survey_page(struct world *w, uint32_t target)
{
    struct sim_table *t = service_table(w, mirror_target(w->mirror, target)->name);
    struct sim_survey *s = &w->surveys[target];
    _cleanup_buf_ struct buf keys = {0};
    struct sim_item *items[PAGE_ITEMS + 1];
    unsigned most = sim_chance(w, 100) ? 0 : 1 + sim_pick(w, PAGE_ITEMS);
    unsigned count = items_after(t, &s->after, most + 1, items);
    bool last = count <= most;

    for (unsigned n = 0; n < count && n < most; n++) {
        buf_append(&keys, &items[n]->key_len, sizeof items[n]->key_len);
        buf_append(&keys, items[n]->bytes, items[n]->key_len);
        buf_clear(&s->after);
        buf_append(&s->after, items[n]->bytes, items[n]->key_len);
    }
    s->due = w->now + sim_pick(w, 100) * USEC_PER_MSEC;
    s->active = !last; /* before it is told: the mirror may ask for the next */
    sim_trace(w, "survey page of %s%s", t->name, last ? ", the last" : "");
    if (!mirror_survey_page(w->mirror, w->now, target, &keys, last) && !last)
        s->active = false;
}

static void mark(struct world *w, uint32_t target)
{
    struct sim_table *t = service_table(w, mirror_target(w->mirror, target)->name);

    w->surveys[target].marked_due = USEC_NEVER;
    sim_trace(w, "mark of %s", t->name);
    char generation[MIRROR_GENERATION];
    if (t->exists && mirror_generation(w->mirror, target, t->marker.generation, generation) == 0) {
        memcpy(t->marker.generation, generation, sizeof generation);
        t->marker.there = true;
        t->marker.of = w->probes[target].made;
        t->marker.alone = mirror_target(w->mirror, target)->alone;
    } else if (t->exists) {
        w->surveys[target].marked_due = w->now + USEC_PER_SEC;
        return;
    }
    mirror_target_marked(w->mirror, w->now, target);
}

void service_surveys(struct world *w)
{
    for (uint32_t i = 0; i < w->probe_count; i++) {
        struct sim_survey *s = &w->surveys[i];
        if (s->marked_due <= w->now) {
            mark(w, i);
            w->pumping = true;
        }
        if (!s->active || s->due > w->now)
            continue;
        w->pumping = true;
        if (!service_table(w, mirror_target(w->mirror, i)->name)->exists) {
            s->active = false; /* lost since: the next look says so */
            w->probes[i].due = w->now;
        } else if (s->denied && !w->quiet) {
            s->active = false;
            sim_trace(w, "survey denied");
            mirror_survey_failed(w->mirror, w->now, i, "AccessDeniedException", "simulated");
        } else {
            survey_page(w, i);
        }
    }
}

/* --- tables come and go ----------------------------------------------------------------------- */

/* Deleted and made anew by somebody else: it takes writes as before, and no reply tells. */
static void made_anew(struct world *w, struct sim_table *t)
{
    service_clear(t);
    t->made++;
    t->replaced = w->chunks_lost = true;
    sim_trace(w, "table %s is another", t->name);
    for (uint32_t i = 0; i < w->probe_count; i++)
        if (service_table(w, mirror_target(w->mirror, i)->name) == t)
            w->probes[i].watch = w->now + sim_pick(w, 60000) * USEC_PER_MSEC;
}

/* Nothing is written there before it was looked at. What was nobody knows to be ours, but for its
 * row; a chunk's key says it. And what a process that is no more had sent may come into this one,
 * of which no marker says that all is ours. */
static void is_noticed(struct world *w, struct sim_table *t)
{
    for (size_t i = 0; t->replaced && t->items.slots && i <= t->items.mask; i++)
        for (struct map_node *n = t->items.slots[i]; n; n = n->next) {
            struct sim_item *item = container_of(n, struct sim_item, node);
            item->unknown |= oversize_parse_key(item->bytes, item->key_len, NULL) == 0;
        }
    if (t->replaced)
        service_unknown(w);
    t->replaced = false;
}

void service_watch(struct world *w, uint32_t target)
{
    const struct mirror_target *v = mirror_target(w->mirror, target);
    struct sim_table *t = service_table(w, v->name);
    char identity[32];

    w->probes[target].watch = USEC_NEVER;
    if (!t->replaced)
        return;
    if (!v->open || !mirror_target_plan(w->mirror, target, 0)) {
        w->probes[target].watch = w->now + 20 * USEC_PER_SEC;
        return;
    }
    snprintf(identity, sizeof identity, "table-%u", t->made);
    sim_trace(w, "watch %s", t->name);
    mirror_target_watched(w->mirror, w->now, target, t->exists ? identity : NULL);
    w->pumping = true;
}

void service_trouble(struct world *w)
{
    if (!w->table_count)
        return;
    struct sim_table *t = &w->tables[sim_pick(w, (unsigned)w->table_count)];
    if (t->denied && sim_chance(w, w->faults.denied_long)) {
        /* Long enough for its tables to let go of the journal. */
        sim_trace(w, "table %s stays denied", t->name);
        w->now += 13 * USEC_PER_SEC;
    } else if (t->denied) {
        t->denied = false;
        sim_trace(w, "table %s is allowed again", t->name);
    } else if (sim_chance(w, w->faults.table_denied)) {
        t->denied = true;
        t->shown = sim_chance(w, 300);
        sim_trace(w, "table %s is denied", t->name);
    } else if (t->throttled || sim_chance(w, w->faults.table_throttled)) {
        t->throttled = !t->throttled;
        sim_trace(w, "table %s is %s", t->name, t->throttled ? "throttled" : "throttled no more");
    } else if (t->exists && sim_chance(w, w->faults.table_replaced)) {
        made_anew(w, t);
    } else if (t->exists && sim_chance(w, w->faults.table_lost)) {
        t->exists = false;
        w->chunks_lost = true;
        service_clear(t);
        sim_trace(w, "table %s is lost", t->name);
    }
}

static void show_marker(struct world *w, uint32_t target, const struct sim_table *t)
{
    struct mirror_marker found = {.alone = t->marker.alone};

    if (!t->marker.there || t->marker.of != t->made)
        return; /* there is none, or it is of the one before */
    found.ahead = mirror_generation_any(w->mirror, target) &&
                  !mirror_generation_known(w->mirror, target, t->marker.generation);
    if (found.ahead)
        sim_fail(w, "the marker of %s is of another life", t->name);
    mirror_target_marker(w->mirror, target, &found);
}

void service_probe(struct world *w, uint32_t target)
{
    struct sim_table *t = service_table(w, mirror_target(w->mirror, target)->name);
    bool fresh = !t->exists;
    char identity[32];

    w->pumping = true;
    if ((t->denied && !t->shown) || (!t->exists && !w->quiet && sim_chance(w, 300))) {
        sim_trace(w, "probe %s: parked", t->name);
        w->probes[target].due = w->now + 5 * USEC_PER_SEC;
        mirror_target_parked(w->mirror, w->now, target, "AccessDeniedException", "simulated");
        return;
    }
    t->exists = true;
    t->made += fresh;
    t->planted |= fresh;
    if (fresh)
        t->marker = (struct sim_marker){0};
    else
        plant_foreign(w, target, t);
    show_marker(w, target, t);
    snprintf(identity, sizeof identity, "table-%u", t->made);
    sim_trace(w, "probe %s: open%s", t->name, fresh ? ", just made" : "");
    w->probes[target].due = USEC_NEVER;
    is_noticed(w, t);
    w->probes[target].made = t->made;
    mirror_target_open(w->mirror, w->now, target, identity, fresh && sim_chance(w, 500));
}

void service_heal(struct world *w)
{
    for (size_t i = 0; i < w->table_count; i++)
        w->tables[i].denied = w->tables[i].throttled = false;
    for (uint32_t i = 0; i < w->probe_count; i++) {
        if (!service_table(w, mirror_target(w->mirror, i)->name)->exists)
            w->probes[i].due = w->now;
        if (w->probes[i].watch != USEC_NEVER)
            w->probes[i].watch = w->now;
    }
}
