/* The model DynamoDB. A request arrives when it is sent or when it is answered, by chance. When its
 * answer was no use, or the process that sent it died, each of its writes is carried out then,
 * never, or at any later moment while the service would still admit the request: after newer writes
 * of the same key too. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/plant.h"
#include "base/text.h"
#include "mapping/item.h"
#include "state/store.h"
#include "vfs.h"
#include "world.h"

struct sim_write {
    uint32_t target;
    struct sim_table *table;
    bool put, unentered, orphan;
    bool stateless; /* the state file was lost while it was on its way */
    struct buf key, json;
};

/* A write that is on its way though nobody waits for it any more. */
struct sim_late {
    struct list link; /* in world.late, the next one first */
    usec due;
    struct sim_write write;
};

struct sim_flight {
    struct list link;
    uint64_t id;
    usec sent, due;
    bool arrived;
    struct reply reply;
    unsigned count;
    struct sim_write writes[BATCH_MAX_ITEMS];
};

/* --- tables and items ------------------------------------------------------------------------- */

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

static struct sim_item *item_put(struct sim_table *t, const struct buf *key, const struct buf *json)
{
    struct sim_item *item = malloc(sizeof *item + key->len + json->len);

    item_remove(t, service_item(t, key->data, key->len));
    if (!item)
        abort();
    *item = (struct sim_item){.key_len = key->len, .json_len = json->len};
    look_at_head(item, json);
    memcpy(item->bytes, key->data, key->len);
    memcpy(item->bytes + key->len, json->data, json->len);
    if (map_insert(&t->items, &item->node, map_hash(key->data, key->len, 0)) < 0)
        abort();
    return item;
}

static int key_order(const struct buf *a, const struct buf *b)
{
    int rc = memcmp(a->data, b->data, a->len < b->len ? a->len : b->len);

    return rc ? rc : a->len < b->len ? -1 : a->len > b->len;
}

/* Do its keys, or its marker, say of every item of ours that it is? */
static bool tells(const struct world *w, const struct sim_table *t)
{
    return t->marker.alone ||
           (w->templates && (strcmp(t->name, "single") == 0 || strcmp(t->name, "desks") == 0));
}

static bool is_known(struct store *s, uint32_t target, const void *key, size_t n)
{
    uint8_t digest[STORE_DIGEST_SIZE];
    uint32_t owner;

    return store_digest_get(s, target, key, n, digest, &owner) ||
           store_suspect_has(s, target, key, n);
}

void service_unknown(struct world *w)
{
    struct store *s = mirror_store(w->mirror);
    uint32_t id;

    /* What timed out and was not kept before the process died is as if it had been on its way. */
    list_for_each(pos, after, &w->late)
    {
        struct sim_write *x = &container_of(pos, struct sim_late, link)->write;
        x->orphan |= x->unentered && !tells(w, x->table) &&
                     store_target(s, x->table->name, &id) == 0 &&
                     !is_known(s, id, x->key.data, x->key.len);
    }
    for (size_t i = 0; i < w->table_count; i++) {
        struct sim_table *t = &w->tables[i];
        if (!t->items.slots || store_target(s, t->name, &id) < 0)
            continue;
        for (size_t k = 0; k <= t->items.mask; k++)
            for (struct map_node *n = t->items.slots[k]; n; n = n->next) {
                struct sim_item *item = container_of(n, struct sim_item, node);
                item->unknown |=
                    item->unentered && !tells(w, t) && !is_known(s, id, item->bytes, item->key_len);
                item->unentered = false;
            }
    }
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

static void items_clear(struct sim_table *t)
{
    for (size_t i = 0; t->items.slots && i <= t->items.mask; i++)
        while (t->items.slots[i])
            item_remove(t, container_of(t->items.slots[i], struct sim_item, node));
}

static void flight_free(struct sim_flight *f)
{
    for (unsigned i = 0; i < f->count; i++) {
        buf_free(&f->writes[i].key);
        buf_free(&f->writes[i].json);
    }
    list_remove(&f->link);
    free(f);
}

static void late_free(struct sim_late *l)
{
    buf_free(&l->write.key);
    buf_free(&l->write.json);
    list_remove(&l->link);
    free(l);
}

void service_free(struct world *w)
{
    list_for_each(pos, after, &w->flights) flight_free(container_of(pos, struct sim_flight, link));
    list_for_each(late, after_late, &w->late) late_free(container_of(late, struct sim_late, link));
    for (uint32_t i = 0; i < SIM_TABLES; i++)
        buf_free(&w->surveys[i].after);
    for (size_t i = 0; i < w->table_count; i++) {
        items_clear(&w->tables[i]);
        map_free(&w->tables[i].items);
        free(w->tables[i].name);
    }
}

/* --- a request arrives ------------------------------------------------------------------------ */

static void carry_out_write(struct world *w, struct sim_write *x, bool late)
{
    const struct sim_item *there = service_item(x->table, x->key.data, x->key.len);

    if (there && there->foreign)
        sim_fail(w, "somebody else's item in %s is %s: %.*s", x->table->name,
                 x->put ? "replaced" : "deleted", (int)there->json_len,
                 there->bytes + there->key_len);
    bool chunk = oversize_parse_key(x->key.data, x->key.len, NULL) > 0;

    if (x->put) {
        struct sim_item *item = item_put(x->table, &x->key, &x->json);
        item->unentered = x->unentered && !x->orphan;
        item->unknown = (x->unentered && x->orphan) || (x->stateless && !tells(w, x->table));
        if (!late && !x->orphan)
            check_head(w, x->table, item);
        return;
    }
    w->chunks_lost |= chunk && late;
    if (!late && !x->orphan)
        check_chunk(w, x->table, &x->key);
    item_remove(x->table, service_item(x->table, x->key.data, x->key.len));
}

static void apply(struct world *w, struct sim_flight *f, uint32_t but)
{
    for (unsigned i = 0; i < f->count; i++)
        if (!(but >> i & 1))
            carry_out_write(w, &f->writes[i], false);
}

static void answer(struct sim_flight *f, enum reply_class class, int status, const char *code)
{
    f->reply = (struct reply){.class = class, .status = status};
    snprintf(f->reply.code, sizeof f->reply.code, "%s", code);
    snprintf(f->reply.message, sizeof f->reply.message, "simulated %s", code);
}

/* Also a chunk now and then, as one whose partition is full would be. */
bool service_is_poison(const struct world *w, const struct buf *json)
{
    if (memmem(json->data, json->len, SIM_POISON, strlen(SIM_POISON)))
        return true;
    return w->seed % 4 == 0 && map_hash(json->data, json->len, 0) % 64 == 0 &&
           memmem(json->data, json->len, OVERSIZE_CHUNK, sizeof OVERSIZE_CHUNK - 1);
}

static bool is_poison(const struct world *w, const struct sim_write *x)
{
    return x->put && service_is_poison(w, &x->json);
}

/* What the service itself refuses. */
static bool refused(const struct world *w, struct sim_flight *f)
{
    for (unsigned i = 0; i < f->count; i++) {
        struct sim_table *t = f->writes[i].table;
        if (!t->exists || t->denied) {
            answer(f, t->exists ? REPLY_DENIED : REPLY_NO_TABLE, 400,
                   t->exists ? "AccessDeniedException" : "ResourceNotFoundException");
            return true;
        }
    }
    for (unsigned i = 0; i < f->count; i++)
        if (is_poison(w, &f->writes[i])) {
            answer(f, REPLY_INVALID, 400, "ValidationException");
            return true;
        }
    return false;
}

static usec some_lateness(struct world *w);
static void leave_for_later(struct world *w, struct sim_write *x, usec due);

static uint32_t throttled_writes(const struct sim_flight *f)
{
    uint32_t mask = 0;

    for (unsigned i = 0; i < f->count; i++)
        mask |= f->writes[i].table->throttled ? UINT32_C(1) << i : 0;
    return mask;
}

/* A planted fault: the request had been sent once before, and that is carried out late. */
static void sent_before(struct world *w, struct sim_flight *f)
{
    usec late = some_lateness(w);

    for (unsigned i = 0; i < f->count; i++) {
        struct sim_write x = f->writes[i];
        x.key = x.json = (struct buf){0};
        buf_append(&x.key, f->writes[i].key.data, f->writes[i].key.len);
        buf_append(&x.json, f->writes[i].json.data, f->writes[i].json.len);
        leave_for_later(w, &x, w->now + late);
    }
}

static void accept(struct world *w, struct sim_flight *f)
{
    uint32_t mask = 0;

    if (sim_chance(w, w->faults.unprocessed))
        mask = (uint32_t)rng_next(&w->rng) & ((UINT32_C(1) << f->count) - 1);
    mask |= throttled_writes(f);
    apply(w, f, mask);
    if (PLANTED(RESENT_UNSEEN) && sim_chance(w, 100))
        sent_before(w, f);
    answer(f, REPLY_OK, 200, "");
    f->reply.message[0] = '\0';
    f->reply.unprocessed = mask;
    f->reply.write_units = f->count;
}

/* How late a write may be: soon or at any time, while the service admits its request. */
static usec some_lateness(struct world *w)
{
    usec most = w->lateness;

    for (unsigned i = sim_pick(w, 12); i > 0 && most > USEC_PER_MSEC; i--)
        most /= 2;
    return (usec)rng_upto(&w->rng, (uint64_t)most);
}

static void leave_for_later(struct world *w, struct sim_write *x, usec due)
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

/* Of a request whose answer nobody gets: each write is carried out now, later or never. */
static void let_go(struct world *w, struct sim_flight *f)
{
    bool together = sim_chance(w, 500);
    unsigned fate = sim_pick(w, 3);
    usec late = some_lateness(w);

    for (unsigned i = 0; i < f->count; i++) {
        struct sim_write *x = &f->writes[i];
        if (!together) {
            fate = sim_pick(w, 3);
            late = some_lateness(w);
        }
        if (fate == 0 && x->table->exists && !x->table->denied && !is_poison(w, x))
            carry_out_write(w, x, false);
        else if (fate == 1 && f->sent + late > w->now)
            leave_for_later(w, x, f->sent + late);
    }
}

/* The service carries it out now, later or not at all, and the answer is no use. */
static void garble(struct world *w, struct sim_flight *f, enum reply_class class, int status,
                   const char *code)
{
    let_go(w, f);
    answer(f, class, status, code);
}

static void arrive(struct world *w, struct sim_flight *f)
{
    f->arrived = true;
    if (sim_chance(w, w->faults.not_sent))
        answer(f, REPLY_NOT_SENT, 0, "connect");
    else if (sim_chance(w, w->faults.expired))
        answer(f, REPLY_EXPIRED, 400, "ExpiredTokenException");
    else if (sim_chance(w, w->faults.throttled))
        answer(f, REPLY_THROTTLED, 400, "ProvisionedThroughputExceededException");
    else if (sim_chance(w, w->faults.ambiguous))
        garble(w, f, REPLY_AMBIGUOUS, 0, "timeout");
    else if (sim_chance(w, w->faults.transient))
        garble(w, f, REPLY_TRANSIENT, 500, "InternalServerError");
    else if (sim_chance(w, w->faults.other))
        answer(f, sim_chance(w, 500) ? REPLY_CREDENTIALS : REPLY_CLOCK, 400, "Signature");
    else if (refused(w, f))
        return;
    else if (throttled_writes(f) == (UINT32_C(1) << f->count) - 1)
        answer(f, REPLY_THROTTLED, 400, "ThrottlingException");
    else
        accept(w, f);
}

/* --- sending ---------------------------------------------------------------------------------- */

static bool in_flight(struct world *w, const struct payload *p)
{
    list_for_each(pos, after, &w->flights)
    {
        struct sim_flight *f = container_of(pos, struct sim_flight, link);
        for (unsigned i = 0; i < f->count; i++)
            if (f->writes[i].target == p->target && f->writes[i].key.len == p->key_len &&
                memcmp(f->writes[i].key.data, p->key, p->key_len) == 0)
                return true;
    }
    return false;
}

/* Would what was read stand after a power failure? */
static bool is_durable(const struct world *w, const struct payload *p)
{
    unsigned oldest = w->commit_count > SIM_COMMITS ? w->commit_count - SIM_COMMITS : 0;

    if (w->disk_lies) /* then it is for the comparison at rest to tell */
        return true;
    for (unsigned i = w->commit_count; i-- > oldest;) {
        const struct sim_commit *c = &w->commits[i % SIM_COMMITS];
        if (p->serial >= c->serial)
            return vfs_is_durable(w->database, strcmp(w->journal_mode, "WAL") == 0, c->operation);
    }
    return true;
}

static void check_request(struct world *w, const struct request *r)
{
    size_t bytes = 0;

    if (r->count < 1 || r->count > BATCH_MAX_ITEMS)
        sim_fail(w, "I10: a request of %u writes", r->count);
    if (w->stopping || w->paused)
        sim_fail(w, "a request is sent while %s", w->stopping ? "stopping" : "paused");
    for (unsigned i = 0; i < r->count; i++) {
        const struct payload *p = r->writes[i];
        const struct mirror_target *t = mirror_target(w->mirror, p->target);
        bytes += p->json_len + BATCH_WRITE_OVERHEAD;
        if (!is_durable(w, p))
            sim_fail(w, "I4: a write for %s may be taken back", t->name);
        if (!t->open)
            sim_fail(w, "a request for %s, which is not open", t->name);
        if (in_flight(w, p))
            sim_fail(w, "I10: a key of %s is in flight twice", t->name);
        for (unsigned k = 0; k < i; k++) {
            const struct payload *q = r->writes[k];
            if (q->target == p->target && q->key_len == p->key_len &&
                memcmp(q->key, p->key, p->key_len) == 0)
                sim_fail(w, "I10: a key of %s is in one request twice", t->name);
            if (q->target == p->target && r->writes[i - 1]->target != p->target)
                sim_fail(w, "writes of %s do not stand together in the request", t->name);
        }
    }
    if (bytes > BATCH_MAX_BYTES)
        sim_fail(w, "I10: a request of %zu bytes", bytes);
}

void service_send(void *arg, const struct request *r)
{
    struct world *w = arg;
    struct sim_flight *f = calloc(1, sizeof *f);

    if (!f)
        abort();
    check_request(w, r);
    list_init(&f->link);
    f->id = r->id;
    f->sent = w->now;
    f->count = r->count;
    for (unsigned i = 0; i < r->count; i++) {
        const struct payload *p = r->writes[i];
        struct sim_write *x = &f->writes[i];
        x->target = p->target;
        x->table = service_table(w, mirror_target(w->mirror, p->target)->name);
        x->put = p->op == WRITE_PUT;
        x->unentered = !p->journal;
        buf_append(&x->key, p->key, p->key_len);
        buf_append(&x->json, p->json, p->json_len);
        sim_trace(w, "  %s %s %.*s", x->put ? "put" : "delete",
                  mirror_target(w->mirror, p->target)->name, (int)p->json_len, p->json);
    }
    sim_trace(w, "  request %llu of %u", (unsigned long long)r->id, r->count);
    w->requests++;
    f->due = w->now + (sim_chance(w, 50) ? sim_pick(w, 10000) : sim_pick(w, 30)) * USEC_PER_MSEC;
    if (sim_chance(w, 500))
        arrive(w, f);
    list_push_back(&w->flights, &f->link);
}

usec service_due(const struct world *w)
{
    usec due = USEC_NEVER;

    list_for_each(pos, after, &w->flights)
    {
        const struct sim_flight *f = container_of(pos, struct sim_flight, link);
        due = f->due < due ? f->due : due;
    }
    return due;
}

static struct sim_flight *choose(struct world *w, bool due)
{
    struct sim_flight *chosen = NULL;
    unsigned n = 0;

    list_for_each(pos, after, &w->flights)
    {
        struct sim_flight *f = container_of(pos, struct sim_flight, link);
        if ((!due || f->due <= w->now) && sim_pick(w, ++n) == 0)
            chosen = f;
    }
    return chosen;
}

bool service_answer(struct world *w, bool due)
{
    struct sim_flight *f = choose(w, due);

    if (!f)
        return false;
    if (!f->arrived)
        arrive(w, f);
    list_remove(&f->link);
    sim_trace(w, "answer %llu: class %d %s, unprocessed %x", (unsigned long long)f->id,
              f->reply.class, f->reply.code, f->reply.unprocessed);
    mirror_reply(w->mirror, w->now, f->id, &f->reply);
    flight_free(f);
    w->pumping = true;
    return true;
}

void service_orphan(struct world *w)
{
    list_for_each(pos, after, &w->flights)
    {
        struct sim_flight *f = container_of(pos, struct sim_flight, link);
        for (unsigned i = 0; i < f->count; i++)
            /* A clean stop keeps that they were on their way. */
            f->writes[i].orphan = !w->stopping && !tells(w, f->writes[i].table);
        if (!f->arrived)
            let_go(w, f);
        flight_free(f);
    }
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
        bool admitted = x->table->exists && !x->table->denied && !is_poison(w, x);
        sim_trace(w, "late %s %s %.*s%s", x->put ? "put" : "delete", x->table->name,
                  (int)x->json.len, x->json.data, admitted ? "" : ": refused");
        if (admitted)
            carry_out_write(w, x, true);
        late_free(l);
    }
}

/* Would it change what is there now? */
static bool would_change(const struct world *w, const struct sim_write *x)
{
    const struct sim_item *item = service_item(x->table, x->key.data, x->key.len);

    if (!x->put)
        return item != NULL;
    return !is_poison(w, x) &&
           (!item || item->json_len != x->json.len ||
            memcmp(item->bytes + item->key_len, x->json.data, x->json.len) != 0);
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

/* --- whose the tables are --------------------------------------------------------------------- */

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
        item_put(t, &key, &json)->foreign = true;
        t->foreign++;
    }
    if (count)
        sim_trace(w, "others have written %u items into %s", count, t->name);
}

void service_state_lost(struct world *w)
{
    list_for_each(pos, after, &w->late)
    {
        struct sim_write *x = &container_of(pos, struct sim_late, link)->write;
        x->unentered = x->orphan = !tells(w, x->table);
        x->stateless = true;
    }
    for (size_t i = 0; i < w->table_count; i++) {
        struct sim_table *t = &w->tables[i];
        for (size_t k = 0; t->items.slots && k <= t->items.mask; k++)
            for (struct map_node *n = t->items.slots[k]; n; n = n->next) {
                struct sim_item *item = container_of(n, struct sim_item, node);
                item->unentered = false;
                item->unknown = !tells(w, t) && !item->foreign;
            }
    }
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

static struct sim_item *item_after(struct sim_table *t, const struct buf *after)
{
    struct sim_item *next = NULL;

    for (size_t k = 0; t->items.slots && k <= t->items.mask; k++)
        for (struct map_node *n = t->items.slots[k]; n; n = n->next) {
            struct sim_item *item = container_of(n, struct sim_item, node);
            struct buf key = {.data = item->bytes, .len = item->key_len};
            if ((!after->len || key_order(&key, after) > 0) &&
                (!next ||
                 key_order(&key, &(struct buf){.data = next->bytes, .len = next->key_len}) < 0))
                next = item;
        }
    return next;
}

/* A page: what stands there now behind the last. */
static void survey_page(struct world *w, uint32_t target)
{
    struct sim_table *t = service_table(w, mirror_target(w->mirror, target)->name);
    struct sim_survey *s = &w->surveys[target];
    _cleanup_buf_ struct buf keys = {0};
    struct sim_item *item = NULL;
    unsigned most = sim_chance(w, 100) ? 0 : 1 + sim_pick(w, 20);

    for (unsigned n = 0; n < most && (item = item_after(t, &s->after)); n++) {
        buf_append(&keys, &item->key_len, sizeof item->key_len);
        buf_append(&keys, item->bytes, item->key_len);
        buf_clear(&s->after);
        buf_append(&s->after, item->bytes, item->key_len);
    }
    s->due = w->now + sim_pick(w, 100) * USEC_PER_MSEC;
    bool last = !item_after(t, &s->after);
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
        if (s->denied && !w->quiet) {
            s->active = false;
            sim_trace(w, "survey denied");
            mirror_survey_failed(w->mirror, w->now, i, "AccessDeniedException", "simulated");
        } else {
            survey_page(w, i);
        }
    }
}

/* --- tables come and go ----------------------------------------------------------------------- */

static bool touched(struct world *w, const struct sim_table *t)
{
    list_for_each(pos, after, &w->flights)
    {
        struct sim_flight *f = container_of(pos, struct sim_flight, link);
        for (unsigned i = 0; f->arrived && i < f->count; i++)
            if (f->writes[i].table == t)
                return true;
    }
    return false;
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
    } else if (t->exists && sim_chance(w, w->faults.table_lost) && !touched(w, t)) {
        t->exists = false;
        w->chunks_lost = true;
        items_clear(t);
        sim_trace(w, "table %s is lost", t->name);
    }
}

static void show_marker(struct world *w, uint32_t target, const struct sim_table *t)
{
    struct mirror_marker found = {.alone = t->marker.alone};

    if (!t->marker.there)
        return;
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
    mirror_target_open(w->mirror, w->now, target, identity, fresh && sim_chance(w, 500));
}

void service_heal(struct world *w)
{
    for (size_t i = 0; i < w->table_count; i++)
        w->tables[i].denied = w->tables[i].throttled = false;
    for (uint32_t i = 0; i < w->probe_count; i++)
        if (!service_table(w, mirror_target(w->mirror, i)->name)->exists)
            w->probes[i].due = w->now;
}
