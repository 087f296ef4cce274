/* The tables of the model DynamoDB, the items in them, and what a write does to them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/text.h"
#include "service.h"
#include "state/store.h"

struct sim_table *service_table(struct world *w, const char *name)
{
    for (size_t i = 0; i < w->table_count; i++)
        if (strcmp(w->tables[i].name, name) == 0)
            return &w->tables[i];
    if (w->table_count == SIM_TABLES) {
        sim_fail(w, "more than %d tables", SIM_TABLES);
        return &w->tables[0];
    }
    struct sim_table *t = &w->tables[w->table_count++];
    *t = (struct sim_table){.name = strdup(name), .exists = sim_chance(w, 500)};
    return t;
}

struct sim_item *service_item(struct sim_table *t, const void *key, size_t n)
{
    for (struct map_node *m = map_find(&t->items, map_hash(key, n, 0)); m; m = map_next(m)) {
        struct sim_item *item = container_of(m, struct sim_item, node);
        if (item->key_len == n && memcmp(item->bytes, key, n) == 0)
            return item;
    }
    return NULL;
}

static void item_remove(struct sim_table *t, struct sim_item *item)
{
    if (!item)
        return;
    t->changes++;
    t->foreign -= item->foreign;
    map_remove(&t->items, &item->node);
    free(item);
}

static bool is_head(const struct buf *json)
{
    return memmem(json->data, json->len, OVERSIZE_PACKED, sizeof OVERSIZE_PACKED - 1) != NULL;
}

/* Which chunks a head names. */
static void look_at_head(struct sim_item *item, const struct buf *json)
{
    json_t *read = is_head(json) ? json_loadb(json->data, json->len, JSON_ALLOW_NUL, NULL) : NULL;
    struct oversize_info info;

    oversize_look(read, &info);
    if (info.kind == OVERSIZE_HEAD) {
        item->chunks = info.count;
        memcpy(item->version, info.version, DIGEST_SIZE);
    }
    json_decref(read);
}

struct sim_item *service_put(struct sim_table *t, const struct buf *key, const struct buf *json)
{
    struct sim_item *item = malloc(sizeof *item + key->len + json->len);

    item_remove(t, service_item(t, key->data, key->len));
    if (!item)
        abort();
    t->changes++;
    *item = (struct sim_item){.key_len = key->len, .json_len = json->len};
    look_at_head(item, json);
    memcpy(item->bytes, key->data, key->len);
    memcpy(item->bytes + key->len, json->data, json->len);
    if (map_insert(&t->items, &item->node, map_hash(key->data, key->len, 0)) < 0)
        abort();
    return item;
}

void service_clear(struct sim_table *t)
{
    for (size_t i = 0; t->items.slots && i <= t->items.mask; i++)
        while (t->items.slots[i])
            item_remove(t, container_of(t->items.slots[i], struct sim_item, node));
}

bool service_tells(const struct world *w, const struct sim_table *t)
{
    return (t->marker.alone && t->marker.of == t->made) ||
           (w->templates && (strcmp(t->name, "single") == 0 || strcmp(t->name, "desks") == 0));
}

static bool is_known(struct store *s, uint32_t target, const void *key, size_t n)
{
    uint8_t digest[STORE_DIGEST_SIZE];
    uint32_t owner;

    return store_digest_get(s, target, key, n, digest, &owner) ||
           store_suspect_has(s, target, key, n);
}

bool service_passed_over(const struct world *w, const struct sim_table *t)
{
    const struct table_config *left = w->left_out ? config_table(w->config, w->left_out) : NULL;
    const char *target = left && *left->target ? left->target : w->left_out;

    return w->uninstalled_by == w->starts || (target && strcmp(target, t->name) == 0);
}

void service_unknown(struct world *w)
{
    struct store *s = mirror_store(w->mirror);
    uint32_t id;

    list_for_each(pos, after, &w->flights)
    {
        struct sim_flight *f = container_of(pos, struct sim_flight, link);
        for (unsigned i = 0; i < f->count; i++)
            f->writes[i].unentered |= service_passed_over(w, f->writes[i].table);
    }
    /* What timed out and was not kept before the process died is as if it had been on its way. */
    list_for_each(pos, after, &w->late)
    {
        struct sim_write *x = &container_of(pos, struct sim_late, link)->write;
        x->unentered |= service_passed_over(w, x->table);
        x->orphan |= x->process < w->starts && x->unentered && !service_tells(w, x->table) &&
                     store_target(s, x->table->name, &id) == 0 &&
                     !is_known(s, id, x->key.data, x->key.len);
    }
    for (size_t i = 0; i < w->table_count; i++) {
        struct sim_table *t = &w->tables[i];
        bool passed_over = service_passed_over(w, t);
        if (!t->items.slots || store_target(s, t->name, &id) < 0)
            continue;
        for (size_t k = 0; k <= t->items.mask; k++)
            for (struct map_node *n = t->items.slots[k]; n; n = n->next) {
                struct sim_item *item = container_of(n, struct sim_item, node);
                item->unentered |= passed_over;
                if (item->process == w->starts)
                    continue;
                item->unknown |= item->unentered && !service_tells(w, t) &&
                                 !is_known(s, id, item->bytes, item->key_len);
                item->unentered = false;
            }
    }
}

void service_state_lost(struct world *w)
{
    list_for_each(pos, after, &w->late)
    {
        struct sim_write *x = &container_of(pos, struct sim_late, link)->write;
        x->unentered = x->orphan = !service_tells(w, x->table);
        x->stateless = true;
    }
    for (size_t i = 0; i < w->table_count; i++) {
        struct sim_table *t = &w->tables[i];
        for (size_t k = 0; t->items.slots && k <= t->items.mask; k++)
            for (struct map_node *n = t->items.slots[k]; n; n = n->next) {
                struct sim_item *item = container_of(n, struct sim_item, node);
                item->unentered = false;
                item->unknown = !service_tells(w, t) && !item->foreign;
            }
    }
}

/* --- writes ----------------------------------------------------------------------------------- */

/* Also a chunk now and then, as one whose partition is full would be. */
bool service_is_poison(const struct world *w, const struct buf *json)
{
    if (memmem(json->data, json->len, SIM_POISON, strlen(SIM_POISON)))
        return true;
    return w->seed % 4 == 0 && map_hash(json->data, json->len, 0) % 64 == 0 &&
           memmem(json->data, json->len, OVERSIZE_CHUNK, sizeof OVERSIZE_CHUNK - 1);
}

bool service_refuses(const struct world *w, const struct sim_write *x)
{
    return x->put && service_is_poison(w, &x->json);
}

/* A head is written when its chunks are there. */
static void check_head(struct world *w, struct sim_table *t, const struct sim_item *head)
{
    const struct buf key = {.data = (char *)head->bytes, .len = head->key_len};

    for (unsigned i = 0; i < head->chunks && !w->chunks_lost; i++) {
        _cleanup_buf_ struct buf chunk = {0};
        oversize_prefix(&key, &chunk);
        hex_append(&chunk, head->version, DIGEST_SIZE);
        buf_printf(&chunk, "~%04u", i);
        if (!service_item(t, chunk.data, chunk.len))
            sim_fail(w, "a head of %s is written while chunk %u of %u is missing", t->name, i,
                     head->chunks);
    }
}

/* A chunk goes when no head names it. */
static void check_chunk(struct world *w, struct sim_table *t, const struct buf *key)
{
    struct oversize_key k;

    if (oversize_parse_key(key->data, key->len, &k) <= 0)
        return;
    const struct sim_item *head = service_item(t, k.head.data, k.head.len);
    if (head && service_item(t, key->data, key->len) && head->chunks && !w->chunks_lost &&
        memcmp(head->version, k.version, DIGEST_SIZE) == 0)
        sim_fail(w, "chunk %u of %s is deleted, and its head is there", k.index, t->name);
    buf_free(&k.head);
}

void service_carry_out(struct world *w, struct sim_write *x, bool late)
{
    const struct sim_item *there = service_item(x->table, x->key.data, x->key.len);

    if (there && there->foreign)
        sim_fail(w, "somebody else's item in %s is %s: %.*s", x->table->name,
                 x->put ? "replaced" : "deleted", (int)there->json_len,
                 there->bytes + there->key_len);
    bool chunk = oversize_parse_key(x->key.data, x->key.len, NULL) > 0;

    if (x->put) {
        struct sim_item *item = service_put(x->table, &x->key, &x->json);
        item->process = x->process;
        item->unentered = x->unentered && !x->orphan;
        item->unknown =
            (x->unentered && x->orphan) || (x->stateless && !service_tells(w, x->table));
        if (!late && !x->orphan)
            check_head(w, x->table, item);
        return;
    }
    w->chunks_lost |= chunk && late;
    if (!late && !x->orphan)
        check_chunk(w, x->table, &x->key);
    item_remove(x->table, service_item(x->table, x->key.data, x->key.len));
}
