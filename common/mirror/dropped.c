/* Tables that are gone from the database: dropped, or renamed to a name with another target. A
 * rebuild drops and renames too, so nothing is done before a minute has passed; then `on_drop` says
 * what becomes of the items. Should the table come back it is compared. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mirror/internal.h"
#include "mirror/offer.h"
#include "mirror/owned.h"
#include "mirror/suspects.h"
#include "source/canary.h"

/* --- the key of a DynamoDB table, as the store keeps it: per part its type, name and a NUL -------
 */

int dropped_encode_key(const struct key_schema *s, struct buf *out)
{
    buf_clear(out);
    for (size_t i = 0; i < s->count; i++) {
        buf_putc(out, (char)s->parts[i].type);
        buf_append(out, s->parts[i].name, strlen(s->parts[i].name) + 1);
    }
    return buf_ok(out) ? 0 : -ENOMEM;
}

static int decode_key(const struct buf *key, struct key_schema *out)
{
    size_t at = 0;

    for (out->count = 0; at < key->len && out->count < 2; out->count++) {
        struct key_attribute *part = &out->parts[out->count];
        size_t n = strnlen(key->data + at + 1, key->len - at - 1);
        if (at + 1 + n >= key->len)
            return -EINVAL;
        part->type = (enum attr_type)key->data[at];
        if (!(part->name = strdup(key->data + at + 1)))
            return -ENOMEM;
        at += n + 2;
    }
    return out->count && at == key->len ? 0 : -EINVAL;
}

/* --- which tables ----------------------------------------------------------------------------- */

void dropped_clear(struct dropped *d)
{
    plan_free(d->table.plan);
    free(d->table.name);
    buf_free(&d->table.cursor);
}

static struct dropped *find(struct mirror *m, uint32_t id)
{
    for (size_t i = 0; i < m->dropped_count; i++)
        if (m->dropped[i].table.id == id)
            return &m->dropped[i];
    return NULL;
}

static bool in_catalog(const struct catalog *c, const char *name)
{
    for (size_t i = 0; i < c->count; i++)
        if (strcasecmp(c->tables[i].name, name) == 0)
            return true;
    return false;
}

struct look {
    struct mirror *m;
    const struct catalog *catalog;
    usec now;
    struct dropped *found;
    size_t count;
    struct buf open; /* ids of those of which writes may be on their way that no entry tells of */
    uint32_t canary; /* id of the canary's table, which is wanted no more; 0: there is none */
    int rc;
};

static int add(struct look *l, const struct store_table *t)
{
    struct mirror *m = l->m;
    const struct dropped *known = find(m, t->id);
    struct dropped *more = realloc(l->found, (l->count + 1) * sizeof *more);

    if (!more)
        return -ENOMEM;
    l->found = more;
    struct dropped *d = &more[l->count];
    *d = (struct dropped){.due = known ? known->due : l->now + ADOPT_DELAY,
                          .deleting = known && known->deleting,
                          .lingering = known && known->lingering,
                          .waiting = known && known->waiting};
    d->table.id = t->id;
    d->table.plan = calloc(1, sizeof *d->table.plan);
    d->table.name = strdup(t->name);
    l->count++;
    struct table_plan *p = d->table.plan;
    if (!p || !d->table.name || !(p->target = strdup(t->target)) || !(p->table = strdup(t->name)))
        return -ENOMEM;
    int rc = decode_key(&t->key, &p->schema);
    rc = rc < 0 ? rc : mirror_find_target(m, p, &d->table.target);
    return rc;
}

/* Its load, the deletion of its items or a try of its dead letters may have been under way at a
 * kill. */
static bool left_open(const struct mirror *m, const struct store_table *t)
{
    return m->unclean && m->suspects.killed && !canary_is_table(t->name) &&
           (t->load != LOAD_DONE || m->suspects.was_loose);
}

/* When it comes back nothing that is known of its items counts; what it sends may be overtaken. */
static int remember_open(struct mirror *m, uint32_t id)
{
    struct store_table known = {0};
    int rc = suspects_shake_table(m, id);

    rc = rc < 0 ? rc : store_table_by_id(m->store, id, &known);
    if (rc == 0) {
        known.load = LOAD_ROWS;
        known.full = true;
        buf_clear(&known.cursor);
        rc = store_table_save(m->store, &known);
    }
    store_table_clear(&known);
    return rc;
}

struct others {
    struct mirror *m;
    struct buf ids;
};

static void collect_other(void *arg, const struct store_table *t)
{
    struct others *o = arg;

    if (t->target[0] && t->key.len && !canary_is_table(t->name) && !mirror_table_by_id(o->m, t->id))
        buf_append(&o->ids, &t->id, sizeof t->id);
}

static int remember_all_open(struct mirror *m, const struct buf *ids)
{
    int rc = buf_ok(ids) ? 0 : -ENOMEM;

    for (size_t at = 0; rc >= 0 && at < ids->len; at += sizeof(uint32_t)) {
        uint32_t id;
        memcpy(&id, ids->data + at, sizeof id);
        rc = remember_open(m, id);
    }
    return rc;
}

int dropped_entries_lost(struct mirror *m)
{
    struct others o = {.m = m};

    if (!suspects_shaky(m))
        return 0;
    int rc = store_tables(m->store, collect_other, &o);
    rc = rc < 0 ? rc : remember_all_open(m, &o.ids);
    buf_free(&o.ids);
    return rc < 0 ? rc : 0;
}

static void look_at(void *arg, const struct store_table *t)
{
    struct look *l = arg;
    const struct mirror *m = l->m;

    if (l->rc < 0 || !t->target[0] || !t->key.len)
        return;
    for (size_t i = 0; i < m->table_count; i++)
        if (m->tables[i].plan && m->tables[i].id == t->id)
            return; /* it may have another name by now, and the same items */
    if (left_open(m, t))
        buf_append(&l->open, &t->id, sizeof t->id);
    if (in_catalog(l->catalog, t->name))
        return; /* it is only not mirrored, or not under this id */
    if (canary_is_table(t->name)) {
        l->canary = m->config->canary ? 0 : t->id;
        return;
    }
    l->rc = add(l, t);
}

/* A table that is gone is compared when it comes back, wherever its load stood. */
static int remember(struct mirror *m, const struct dropped *d, enum load_state load)
{
    static const struct buf none;

    return store_table_progress(m->store, d->table.id, load, &none, 0);
}

int dropped_find(struct mirror *m, usec now, const struct catalog *c)
{
    static const struct buf none;
    struct look l = {.m = m, .catalog = c, .now = now};
    int rc = store_tables(m->store, look_at, &l);

    rc = rc < 0 ? rc : l.rc < 0 ? l.rc : remember_all_open(m, &l.open);
    buf_free(&l.open);
    if (rc >= 0 && l.canary) /* at once, and its item stays */
        rc = store_table_progress(m->store, l.canary, LOAD_GONE, &none, 0);
    for (size_t i = 0; rc >= 0 && i < l.count; i++) {
        struct dropped *d = &l.found[i];
        rc = remember(m, d, LOAD_ROWS); /* once more: an attempt before may have been taken back */
        if (!d->deleting && d->due < m->adopt_at)
            m->adopt_at = d->due;
    }
    for (size_t i = 0; i < m->dropped_count; i++)
        dropped_clear(&m->dropped[i]);
    free(m->dropped);
    m->dropped = l.found;
    m->dropped_count = l.count;
    return rc < 0 ? rc : 0;
}

/* --- what becomes of their items
 * ------------------------------------------------------------------ */

/* Rows of other tables may wait for keys that its rows had, with an item or without. */
static int wake_waiting(struct mirror *m, uint32_t target)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < m->table_count; i++) {
        struct table_slot *t = &m->tables[i];
        if (!t->plan || t->target != target)
            continue;
        t->recheck = true;
        rc = recheck_remember(m, t);
    }
    return rc;
}

static void kept_name(uint32_t id, char name[32])
{
    snprintf(name, 32, "kept:%u", id);
}

bool dropped_kept_items(struct mirror *m, uint32_t id)
{
    char name[32];
    int64_t kept = 0;

    kept_name(id, name);
    int rc = store_get_int(m->store, name, &kept);
    return kept != 0 || (rc < 0 && rc != -ENOENT);
}

static int forget(struct mirror *m, size_t at)
{
    const struct dropped *d = &m->dropped[at];
    char name[32];
    int rc = remember(m, d, LOAD_GONE);

    kept_name(d->table.id, name);
    rc = rc < 0 ? rc : store_put_int(m->store, name, !d->deleting);
    rc = rc < 0 ? rc : wake_waiting(m, d->table.target);
    if (m->first_record == USEC_NEVER)
        m->first_record = m->now;
    if (rc < 0)
        return rc;
    dropped_clear(&m->dropped[at]);
    memmove(&m->dropped[at], &m->dropped[at + 1], (--m->dropped_count - at) * sizeof *m->dropped);
    return 0;
}

int dropped_decide(struct mirror *m, usec now)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < m->dropped_count;) {
        struct dropped *d = &m->dropped[i];
        const struct table_config *section = config_table(m->config, d->table.name);
        if (d->deleting || d->due > now) {
            i++;
            continue;
        }
        d->deleting = section && section->on_drop == DROP_DELETE;
        mirror_note(m, LOG_EV_WARNING, "table_dropped",
                    d->deleting ? "table \"%s\" was dropped: its items are being deleted from %s"
                                : "table \"%s\" was dropped: its items stay in %s (on_drop = keep)",
                    d->table.name, d->table.plan->target);
        if (!d->deleting)
            rc = forget(m, i);
    }
    return rc;
}

/* Do its items go, or will they? */
static bool items_go(const struct mirror *m, const struct dropped *d)
{
    const struct table_config *section = config_table(m->config, d->table.name);

    return d->deleting || (section && section->on_drop == DROP_DELETE);
}

const struct table_slot *dropped_heir(const struct mirror *m, uint32_t target)
{
    const struct dropped *only = NULL;

    for (size_t i = 0; i < m->table_count; i++)
        if (m->tables[i].plan && m->tables[i].target == target)
            return NULL;
    for (size_t i = 0; i < m->dropped_count; i++) {
        if (m->dropped[i].table.target != target)
            continue;
        if (only || !items_go(m, &m->dropped[i]))
            return NULL;
        only = &m->dropped[i];
    }
    return only ? &only->table : NULL;
}

bool dropped_pending(const struct mirror *m)
{
    for (size_t i = 0; i < m->dropped_count; i++)
        if (m->dropped[i].deleting && !m->dropped[i].lingering)
            return true;
    return false;
}

bool dropped_to_delete(const struct mirror *m)
{
    for (size_t i = 0; i < m->dropped_count; i++)
        if (items_go(m, &m->dropped[i]))
            return true;
    return false;
}

struct pass {
    struct dropped *dropped;
    struct buf keys; /* length, bytes, row key length, bytes … */
    int count;
};

static bool collect(void *arg, const struct store_digest *s)
{
    struct pass *p = arg;
    struct buf *cursor = &p->dropped->table.cursor;

    buf_clear(cursor);
    buf_append(cursor, s->key, s->key_len);
    if (s->table == p->dropped->table.id) {
        size_t lengths[2] = {s->key_len, s->row_key_len};
        buf_append(&p->keys, lengths, sizeof lengths);
        buf_append(&p->keys, s->key, s->key_len);
        buf_append(&p->keys, s->row_key, s->row_key_len);
        p->count++;
    }
    return buf_ok(&p->keys) && buf_ok(cursor);
}

/* A chunk goes when its head has, so that whoever reads a head finds its chunks: not while the head
 * is on its way, or there, or an older one may yet come. Then the next pass takes it. A head that
 * is recorded as another table's names none of this one's. Where none is known of, a killed process
 * may have written it all the same: then `unknown` is its key. 1, 0 or negative. */
static int has_head(struct mirror *m, struct dropped *d, bool *later, struct buf *unknown)
{
    uint32_t target = d->table.target, store_id = m->targets[target]->store_id, table = 0;
    _cleanup_buf_ struct buf row_key = {0};
    struct oversize_key k = {0};

    if (m->state_broken) /* it has just failed, and the head may be among what it took back */
        return -EIO;
    int rc = oversize_parse_key(m->key.data, m->key.len, &k);
    _cleanup_buf_ struct buf head = k.head;

    if (rc <= 0)
        return rc;
    if (split_has(m, target, head.data, head.len))
        return 1;
    rc = store_digest_owner(m->store, store_id, head.data, head.len, &table, &row_key);
    if (rc < 0 || (rc > 0 && table == d->table.id))
        return rc;
    *later = store_suspect_has(m->store, store_id, head.data, head.len);
    if (rc == 0 && !*later && m->targets[target]->split)
        buf_append(unknown, head.data, head.len);
    return buf_ok(unknown) ? *later : -ENOMEM;
}

/* Deletes the item in m->key, m->json; a chunk without a head goes after that, should there be one,
 * as split_clean() finds it by its name in the state file. */
static int delete_item(struct mirror *m, usec now, struct dropped *d, const struct buf *head)
{
    struct table_slot *t = &d->table;

    if (head->len) {
        buf_clear(&m->key);
        buf_clear(&m->json);
        buf_append(&m->key, head->data, head->len);
        int rc = item_key_json(&t->plan->schema, m->key.data, m->key.len, &m->json);
        if (rc < 0 || !buf_ok(&m->key))
            return rc < 0 ? rc : -ENOMEM;
    }
    suspects_key(m, t, SHAKEN_ENTRIES);
    return offer_leave(m, now, t, NULL);
}

/* Deletes in flight are met again by the next pass; it begins when they are over. */
static int delete_page(struct mirror *m, usec now, struct dropped *d, bool *end)
{
    struct table_slot *t = &d->table;
    struct pass p = {.dropped = d};

    if (!t->cursor.len)
        d->waiting = false;
    int n = store_digest_page(m->store, m->targets[t->target]->store_id, &t->cursor, READ_LIMIT,
                              collect, &p);
    _cleanup_buf_ struct buf keys = p.keys;
    int rc = n < 0 || !buf_ok(&keys) ? -EIO : 0;
    const char *at = keys.data;

    d->found += (size_t)p.count;
    for (int i = 0; rc == 0 && i < p.count; i++) {
        size_t lengths[2];
        memcpy(lengths, at, sizeof lengths);
        at += sizeof lengths;
        buf_clear(&m->key);
        buf_clear(&m->json);
        buf_clear(&m->row_key);
        buf_append(&m->key, at, lengths[0]);
        buf_append(&m->row_key, at + lengths[0], lengths[1]);
        at += lengths[0] + lengths[1];
        if (split_has(m, t->target, m->key.data, m->key.len))
            continue;
        bool later = false;
        _cleanup_buf_ struct buf head = {0};
        if ((rc = has_head(m, d, &later, &head)) != 0) {
            d->found -= later;
            d->waiting |= later;
            rc = rc < 0 ? rc : 0;
            continue;
        }
        rc = item_key_json(&t->plan->schema, m->key.data, m->key.len, &m->json);
        if (rc == -EINVAL) {
            rc = records_kept(m, sweep_no_item(m, t, m->key.data, m->key.len));
        } else if (rc == 0) {
            rc = delete_item(m, now, d, &head);
        }
    }
    *end = n < READ_LIMIT;
    return rc;
}

/* What a load under way at a kill has sent is noted by the look that is due once it is over. */
static bool is_unseen(const struct mirror *m, const struct dropped *d)
{
    const struct target_slot *target = m->targets[d->table.target];

    return m->edge.survey && (target->owned & OWNED_AGAIN || target->view.surveying);
}

static bool can_come_back(const struct mirror *m, const struct dropped *d)
{
    return is_unseen(m, d) || store_suspect_count_of(m->store, d->table.id) != 0;
}

bool dropped_calls(const struct mirror *m)
{
    for (size_t i = 0; i < m->dropped_count; i++) {
        const struct dropped *d = &m->dropped[i];
        if (d->lingering && m->targets[d->table.target]->view.open && !can_come_back(m, d))
            return true;
    }
    return false;
}

/* All items are deleted. It is over when none can come back. */
static bool end_delete(struct mirror *m, size_t at)
{
    struct dropped *d = &m->dropped[at];

    bool lingered = d->lingering;
    d->waiting |= is_unseen(m, d);
    d->lingering = can_come_back(m, d);
    if (d->lingering)
        return false;
    if (d->waiting)
        return lingered; /* what waited is met by a pass more */
    mirror_note(m, LOG_EV_INFO, "items_deleted",
                "the items of the dropped table \"%s\" are deleted from %s", d->table.name,
                d->table.plan->target);
    return records_kept(m, forget(m, at)) == 0;
}

bool dropped_slice(struct mirror *m, usec now)
{
    for (size_t i = 0; i < m->dropped_count; i++) {
        struct dropped *d = &m->dropped[i];
        bool end = false;
        if (!room_to_begin(m, now, d->table.target, mirror_room(m, now, SHARE_LOADS)))
            continue;
        if (!d->deleting || !m->targets[d->table.target]->view.open ||
            split_oldest(m, d->table.target) < d->pass_serial)
            continue;
        if (d->lingering) {
            if (end_delete(m, i))
                return true;
            continue; /* what may come back of it holds up no other */
        }
        if (delete_page(m, now, d, &end) < 0)
            return false; /* tried again at the next turn */
        if (!end)
            return true;
        buf_clear(&d->table.cursor);
        d->pass_serial = engine_serial(m->engine);
        if (d->found == 0)
            return end_delete(m, i);
        d->found = 0;
    }
    return false;
}
