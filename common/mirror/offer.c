/* One row as it is now becomes a write and is offered to the engine, by the same door for the
 * reader, the loader and dead letters that are tried again. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/plant.h"
#include "mirror/internal.h"
#include "mirror/offer.h"
#include "mirror/orphans.h"

/* What is asked about: the entry's row and key, and where it was read. The remote key is in m->key,
 * and as JSON in m->json where it is left; the row key in m->row_key. */
struct offer {
    struct mirror *m;
    usec now;
    struct table_slot *t;
    bool force;
    struct span *journal, *load;
};

/* --- outcomes without a write ----------------------------------------------------------------- */

/* `with_key`: it is about the remote key in m->key. */
static int remember(const struct offer *o, enum record_kind kind, bool with_key,
                    const struct item_fault *f)
{
    static const struct buf none = {.data = (char *)""};
    struct mirror *m = o->m;
    struct payload *p =
        payload_new(&m->payloads, WRITE_DELETE, with_key ? &m->key : &none, &m->row_key, &none);

    if (!p)
        return -ENOMEM;
    p->table = o->t->id;
    p->target = o->t->target;
    p->serial = engine_serial(m->engine); /* writes offered before this say nothing against it */
    p->journal = span_ref(o->journal);
    p->load = span_ref(o->load);
    int rc = record_add(m, o->now, kind, p, NULL, f ? f->column : NULL, f ? f->code : NULL,
                        f ? f->text : NULL);
    if (rc < 0)
        payload_free(p);
    return rc;
}

/* The row cannot be mapped (`f`), or there is nothing of it in DynamoDB and nothing in SQLite.
 * `waits`: it waits for the remote key in m->key. */
static int outcome(const struct offer *o, const struct item_fault *f, bool waits)
{
    return remember(o, f ? RECORD_FAULT : RECORD_SETTLED, waits, f);
}

/* The row, which cannot be written, does not take the place of an item that another row left to it.
 * To look again at a dead letter is no news of that. */
static int look_behind(const struct offer *o)
{
    return o->journal || o->load ? owner_look_behind(o->m, o->t) : 0;
}

/* The row at m->key is there, and no item can be made of it. What is to be sent whatever the
 * digests say may have been on its way at a crash: its digest must spare no later write either. */
static int unholdable(const struct offer *o, const struct item_fault *f)
{
    int rc = o->force ? remember(o, RECORD_DOUBT, true, NULL) : 0;

    split_cancel(o->m, o->t->target); /* what it was cannot become its item any more */
    rc = rc < 0 ? rc : look_behind(o);
    return rc < 0 ? rc : outcome(o, f, false);
}

/* --- writes ----------------------------------------------------------------------------------- */

static struct payload *make_payload(const struct offer *o, enum write_op op, const struct buf *json,
                                    size_t size)
{
    struct mirror *m = o->m;
    struct payload *p = payload_new(&m->payloads, op, &m->key, &m->row_key, json);

    if (!p)
        return NULL;
    p->table = o->t->id;
    p->target = o->t->target;
    p->force = o->force;
    p->part = oversize_parse_key(p->key, p->key_len, NULL) > 0;
    p->read_at = o->now;
    p->units = op == WRITE_PUT ? item_write_units(size) : 1;
    p->journal = span_ref(o->journal);
    p->load = span_ref(o->load);
    if (op == WRITE_PUT && item_digest(p->json, p->json_len, p->digest) < 0)
        p->force = true;
    return p;
}

static int offer(const struct offer *o, enum write_op op, const struct buf *json, size_t size,
                 bool left)
{
    struct mirror *m = o->m;
    struct payload *p = make_payload(o, op, json, size);

    if (!p)
        return -ENOMEM;
    p->left = left;
    split_supersede(m, p);
    if (PLANTED(LATE_LOAD) && o->load) {
        struct payload *next = p;
        p = m->late;
        m->late = next;
        if (!p)
            return 0;
    }
    int rc = engine_step(m->engine, o->now, &(struct event){.kind = EVENT_OFFER, .payload = p},
                         &m->actions);
    if (rc < 0)
        payload_free(p);
    return rc;
}

/* The item in m->json is too large: as put(). */
static int put_large(const struct offer *o, size_t size, struct item_fault *fault)
{
    struct mirror *m = o->m;
    const struct table_plan *p = o->t->plan;
    _cleanup_(oversize_free) struct oversize packed = {0};
    int rc = p->compress ? oversize_pack(p, &m->json, &m->key, &packed, fault)
                         : oversize_refuse(fault, size);

    if (rc == -EINVAL)
        return unholdable(o, fault);
    if (rc < 0)
        return -ENOMEM;
    if (!packed.count) {
        rc = offer(o, WRITE_PUT, &packed.head, packed.size, false);
        return rc < 0 ? rc : 1;
    }
    struct payload *head = make_payload(o, WRITE_PUT, &packed.head, packed.size);
    if (!head)
        return -ENOMEM;
    if ((rc = split_begin(m, o->now, head, &packed)) < 0)
        payload_free(head);
    return rc < 0 ? -ENOMEM : 1;
}

/* Of a table that leaves such rows out: the row in rows->values, if it refers to one that is not
 * there: 1, and it is told; 0; or negative. The item that it may have stays as it is. */
static int set_aside(const struct offer *o)
{
    struct mirror *m = o->m;
    struct item_fault fault = {0};
    _cleanup_buf_ struct buf awaits = {0}, key = {0};
    int rc = orphans_judge(m, o->t, &fault, &awaits);

    if (rc <= 0)
        return rc;
    if (o->force && (rc = remember(o, RECORD_DOUBT, true, NULL)) < 0)
        return rc;
    split_cancel(m, o->t->target);
    if ((rc = look_behind(o)) < 0)
        return rc;
    key = m->key;
    m->key = awaits;
    rc = remember(o, RECORD_ORPHAN, true, &fault);
    awaits = m->key;
    m->key = key;
    key = (struct buf){0};
    return rc < 0 ? rc : 1;
}

/* The row in rows->values, which has the remote key in m->key. 1; 0 when it cannot be mapped, which
 * is told; or negative. */
static int put(const struct offer *o)
{
    struct mirror *m = o->m;
    struct item_fault fault;
    size_t size = 0;

    int rc = o->t->plan->guarded ? set_aside(o) : 0;
    if (rc != 0)
        return rc < 0 ? rc : 0;
    fault_none(&fault);
    buf_clear(&m->json);
    rc = item_encode_whole(o->t->plan, o->t->rows->values, &m->json, &size, &fault);
    if (rc == -EINVAL)
        return unholdable(o, &fault);
    if (rc == 0 && size > oversize_limit(o->t->plan))
        return put_large(o, size, &fault);
    if (rc == 0)
        rc = offer(o, WRITE_PUT, &m->json, size, false);
    return rc < 0 ? rc : 1;
}

/* --- keys that rows may meet at --------------------------------------------------------------- */

struct waiting {
    struct buf rows; /* table id, length, row key … */
    int count;
};

static void collect_waiting(void *arg, const struct dead_letter *d)
{
    struct waiting *w = arg;
    uint32_t head[2] = {d->table_id, (uint32_t)d->row_key_len};

    buf_append(&w->rows, head, sizeof head);
    buf_append(&w->rows, d->row_key, d->row_key_len);
    w->count++;
}

/* The owner of the key in m->key may itself wait for it, behind a row that was to have it and was
 * refused since: then nobody has it until the owner is looked at again. */
static int wake_owner(const struct offer *o)
{
    struct mirror *m = o->m;
    _cleanup_buf_ struct buf row_key = {0};
    struct waiting w = {0};
    uint32_t id;

    if (split_newest(m, o->t->target, m->key.data, m->key.len))
        return 0;
    int n = store_dead_letters_waiting(m->store, m->targets[o->t->target]->store_id, m->key.data,
                                       m->key.len, collect_waiting, &w);
    _cleanup_buf_ struct buf rows = w.rows;
    if (n <= 0)
        return n;
    int rc = owner_recorded(m, o->t->target, &id, &row_key);
    if (rc <= 0 || !buf_ok(&rows))
        return rc <= 0 ? rc : -ENOMEM;
    const char *at = rows.data;
    for (int i = 0; i < w.count; i++) {
        uint32_t head[2];
        memcpy(head, at, sizeof head);
        at += sizeof head;
        struct table_slot *t = mirror_table_by_id(m, id);
        if (t && head[0] == id && head[1] == row_key.len &&
            memcmp(at, row_key.data, row_key.len) == 0) {
            t->recheck = true;
            m->first_record = m->first_record == USEC_NEVER ? o->now : m->first_record;
            return records_kept(m, recheck_remember(m, t));
        }
        at += head[1];
    }
    return 0;
}

/* Put the row that has the key in m->key, where rows may meet. */
static int put_contested(const struct offer *o)
{
    struct item_fault taken = {.code = "key_taken"};
    _cleanup_buf_ struct buf who = {0};

    int rc = owner_in_the_way(o->m, o->t, &who);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return put(o);
    if (wake_owner(o) < 0)
        return -ENOMEM;
    snprintf(taken.text, sizeof taken.text, "%.200s already has the key of this row's item",
             who.data);
    return outcome(o, &taken, true);
}

/* Put the row that has the key in m->key, unless another row has it already: then this one waits
 * for it, as a dead letter that names both. */
static int put_if_free(const struct offer *o)
{
    return o->m->targets[o->t->target]->contested ? put_contested(o) : put(o);
}

/* Put the row if it has the key in `key` (which becomes m->key): 1; 0 when it has not; negative on
 * failure. */
static int give_to(const struct offer *o, uint32_t table, const void *row_key, size_t n,
                   const struct buf *key)
{
    struct mirror *m = o->m;
    struct offer next = *o;

    next.t = mirror_table_by_id(m, table);
    if (!next.t)
        return 0;
    int rc = owner_row_has(m, next.t, row_key, n, key);
    if (rc > 0) {
        buf_clear(&m->row_key);
        buf_append(&m->row_key, row_key, n);
        buf_clear(&m->key);
        buf_append(&m->key, key->data, key->len);
        rc = buf_ok(&m->key) && buf_ok(&m->row_key) ? put(&next) : -ENOMEM;
    }
    if (next.t->rows)
        rows_end(next.t->rows->lookup);
    return rc;
}

/* The key in m->key is free: the first row that has waited for it and still has it takes it.
 * 1 when one did, 0 when none, negative on failure. */
static int give_to_waiting(const struct offer *o)
{
    struct mirror *m = o->m;
    _cleanup_buf_ struct buf key = {0};
    struct waiting w = {0};
    int rc = 0;

    if (m->state_broken) /* it has just failed: who waits may be among what it took back */
        return -EIO;
    int n = store_dead_letters_waiting(m->store, m->targets[o->t->target]->store_id, m->key.data,
                                       m->key.len, collect_waiting, &w);
    _cleanup_buf_ struct buf rows = w.rows;
    if (n <= 0)
        return n;
    buf_append(&key, m->key.data, m->key.len);
    if (!buf_ok(&rows) || !buf_ok(&key))
        return -ENOMEM;
    const char *at = rows.data;
    for (int i = 0; rc == 0 && i < w.count; i++) {
        uint32_t head[2];
        memcpy(head, at, sizeof head);
        at += sizeof head;
        rc = give_to(o, head[0], at, head[1], &key);
        at += head[1];
    }
    return rc;
}

/* The row that has the key in m->key by now has it by a write that nothing durable stands for (a
 * retry of a dead letter, which may be dropped when the table is parked, or die with the process):
 * then what is known here, that the key was left, must not be settled before that write is. */
static int leave_to(const struct offer *o)
{
    struct mirror *m = o->m;
    const struct payload *p = split_newest(m, o->t->target, m->key.data, m->key.len);
    _cleanup_buf_ struct buf key = {0}, row_key = {0};

    if (!p || p->journal || p->load || (!o->journal && !o->load))
        return 0;
    buf_append(&key, p->key, p->key_len);
    buf_append(&row_key, p->row_key, p->row_key_len);
    if (!buf_ok(&key) || !buf_ok(&row_key))
        return -ENOMEM;
    const uint64_t offered = p->serial;
    int rc = give_to(o, p->table, row_key.data, row_key.len, &key);
    /* It cannot be written any more: should that write come to nothing, the item is nobody's. */
    return rc == 0 ? loader_sweep_once_more(m, o->t, offered) : rc < 0 ? rc : 0;
}

/* The row does not have the key in m->key (any more): its item goes, or comes to be another row's.
 * `left`: the row is there, at another key. */
static int leave(const struct offer *o, bool left)
{
    struct mirror *m = o->m;
    int rc = 0;

    if (!left && store_has_dead_letters(m->store) && (rc = outcome(o, NULL, false)) < 0)
        return rc;
    if (m->targets[o->t->target]->contested) {
        _cleanup_buf_ struct buf who = {0}, row_key = {0};
        rc = owner_in_the_way(m, o->t, &who);
        if (rc < 0)
            return rc;
        if (rc > 0 && !PLANTED(LEAVER_TAKES_ALL)) { /* another row's item by now */
            /* The last process may have ended between that item and the deletes of this row's old
             * chunks, which nobody else would look for. */
            if (o->force && o->t->plan->split && (rc = loader_sweep_later(m, o->t)) < 0)
                return rc;
            return wake_owner(o) < 0 ? -ENOMEM : leave_to(o);
        }
        if (owner_unknown(m, o->t)) {
            /* It may be the item of a row that has not been loaded yet: looked at afterwards. */
            rc = remember(o, RECORD_SUSPECT, true, NULL);
            return rc < 0 ? rc : loader_sweep_later(m, o->t);
        }
        buf_append(&row_key, m->row_key.data, m->row_key.len);
        _cleanup_buf_ struct buf json = m->json;
        m->json = (struct buf){0};
        rc = give_to_waiting(o);
        if (rc != 0)
            return rc < 0 ? rc : 0;
        buf_clear(&m->row_key);
        buf_append(&m->row_key, row_key.data, row_key.len);
        buf_clear(&m->json);
        buf_append(&m->json, json.data, json.len);
        if (!buf_ok(&m->row_key) || !buf_ok(&m->json))
            return -ENOMEM;
    }
    return offer(o, WRITE_DELETE, &m->json, 0, left);
}

int offer_leave(struct mirror *m, usec now, struct table_slot *t, struct span *load)
{
    struct offer o = {.m = m, .now = now, .t = t, .load = load};

    barrier_read(m);
    return leave(&o, true);
}

int offer_suspect(struct mirror *m, usec now, struct table_slot *t, const struct value *entry,
                  struct span *journal)
{
    struct offer o = {.m = m, .now = now, .t = t, .journal = journal};
    struct item_fault fault;

    buf_clear(&m->key);
    int rc = item_key(t->plan, entry, &m->key, NULL, &fault);
    return rc == 0 ? remember(&o, RECORD_SUSPECT, true, NULL) : rc == -ENOMEM ? rc : 0;
}

/* Does the row that was found have the key in m->key? 1, with its own row key in m->row_key; 0;
 * -ENOMEM. */
static int found_has_key(struct mirror *m, struct table_slot *t, int found, struct value *values)
{
    const struct table_plan *p = t->plan;
    const struct value *row = t->rows->values;
    _cleanup_buf_ struct buf bytes = {0}, key = {0};
    struct item_fault fault;

    if (found == SQLITE_TOOBIG) {
        if (rows_found_key(t->rows, values, &bytes) != SQLITE_ROW || !buf_ok(&bytes) ||
            values_decode(bytes.data, bytes.len, values, p->entry_count) < 0)
            return -ENOMEM;
        row = values;
    }
    int rc = item_key(p, row, &key, NULL, &fault);
    if (rc < 0)
        return rc == -ENOMEM ? rc : 0;
    if (key.len != m->key.len || memcmp(key.data, m->key.data, key.len) != 0)
        return 0;
    buf_clear(&m->row_key);
    for (size_t i = 0; i < p->row_key_count; i++)
        value_encode(&m->row_key, &row[i]);
    return buf_ok(&m->row_key) ? 1 : -ENOMEM;
}

/* The values of its row key, which may borrow from `store`: 0, -EINVAL when it is of another key
 * layout, -ENOMEM. */
static int row_key_of(const struct table_slot *t, const struct offered_item *i,
                      struct value *values, struct buf *store)
{
    if (i->row_key_len)
        return values_decode(i->row_key, i->row_key_len, values, t->plan->row_key_count);
    return t->plan->plain_key ? item_row_key(t->plan, i->key, i->key_len, values, store) : -EINVAL;
}

static int set_key(struct mirror *m, const struct offered_item *i)
{
    buf_clear(&m->key);
    buf_append(&m->key, i->key, i->key_len);
    return buf_ok(&m->key) ? 0 : -ENOMEM;
}

int offer_again(struct mirror *m, usec now, struct table_slot *t, const struct offered_item *i)
{
    const struct offer o = {.m = m, .now = now, .t = t, .force = i->force};
    _cleanup_free_ struct value *values = calloc(t->plan->entry_count, sizeof *values);
    _cleanup_buf_ struct buf store = {0};

    if (!values || mirror_rows(m, t) != SQLITE_OK || set_key(m, i) < 0)
        return -ENOMEM;
    int decoded = row_key_of(t, i, values, &store);
    if (decoded < 0)
        return decoded == -ENOMEM ? decoded : 0;
    int found = rows_lookup(t->rows, values);
    int rc = found == SQLITE_ROW || found == SQLITE_TOOBIG ? found_has_key(m, t, found, values)
             : found == SQLITE_DONE                        ? 0
                                                           : -EIO;
    bool has = rc > 0;
    if (has && found == SQLITE_ROW) /* one that is too long is a dead letter already */
        rc = put_if_free(&o);
    rows_end(t->rows->lookup);
    return rc < 0 ? rc : has;
}

int offer_gone(struct mirror *m, usec now, struct table_slot *t, const struct offered_item *i)
{
    buf_clear(&m->row_key);
    buf_append(&m->row_key, i->row_key, i->row_key_len);
    buf_clear(&m->json);
    int rc = item_key_json(&t->plan->schema, i->key, i->key_len, &m->json);
    if (rc == -ENOMEM || set_key(m, i) < 0 || !buf_ok(&m->row_key))
        return -ENOMEM;
    return rc < 0 ? 0 /* such a key cannot be there */ : offer_leave(m, now, t, NULL);
}

/* --- a row
 * ------------------------------------------------------------------------------------ */

static bool same_bytes(const struct buf *a, const struct buf *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

/* The remote key of the row that was found, in m->found_key: 0, -EINVAL with the fault (it has
 * none), -ENOMEM. 1: that of its entry, which has nothing but the row key in it. *same_row: it is
 * the row of m->row_key, and not one that its collation takes for it (a NOCASE key finds 'abc' for
 * 'ABC'). Of a row whose values are too long to read only the key is read. */
static int found_key(const struct offer *o, int found, const struct value *entry, bool *same_row,
                     struct item_fault *fault)
{
    const struct table_plan *p = o->t->plan;
    const struct value *row = o->t->rows->values;
    struct buf *row_key = &o->m->found_row;
    _cleanup_buf_ struct buf bytes = {0};
    _cleanup_free_ struct value *values = NULL;

    if (found == SQLITE_TOOBIG) {
        int rc = rows_found_key(o->t->rows, entry, &bytes);
        values = calloc(p->entry_count, sizeof *values);
        if (rc != SQLITE_ROW || !values || !buf_ok(&bytes) ||
            values_decode(bytes.data, bytes.len, values, p->entry_count) < 0)
            return -ENOMEM;
        row = values;
    }
    buf_clear(row_key);
    for (size_t i = 0; i < p->row_key_count; i++)
        value_encode(row_key, &row[i]);
    if (!buf_ok(row_key))
        return -ENOMEM;
    *same_row = same_bytes(row_key, &o->m->row_key);
    if (*same_row && p->entry_count == p->row_key_count)
        return 1;
    return item_key(p, row, &o->m->found_key, NULL, fault);
}

int offer_row(struct mirror *m, usec now, struct table_slot *t, const struct value *entry,
              int found, bool force, struct span *journal, struct span *load)
{
    const struct offer o = {
        .m = m, .now = now, .t = t, .force = force, .journal = journal, .load = load};
    struct item_fault fault, entry_fault;
    bool there = found != SQLITE_DONE, same_row = false;

    fault_none(&fault);
    fault_none(&entry_fault);

    if (m->state_broken) /* it has just failed: whose the items are cannot be known */
        return -EIO;
    barrier_read(m);
    if (t->referred_to && orphans_row_came(m, now, t, found) < 0)
        return -ENOMEM;
    buf_clear(&m->key);
    buf_clear(&m->json);
    buf_clear(&m->found_key);
    /* A row that was met in paging is its own entry. */
    bool itself = found == SQLITE_ROW && entry == t->rows->values;
    int entry_rc = item_key(t->plan, entry, &m->key, NULL, &entry_fault);
    int rc = there && !itself ? found_key(&o, found, entry, &same_row, &fault) : 0;
    if (itself || rc > 0) {
        itself = same_row = true;
        rc = entry_rc;
        if (rc < 0)
            fault = entry_fault;
    }
    if (entry_rc == -ENOMEM || rc == -ENOMEM)
        return -ENOMEM;
    bool mapped = there && rc == 0;
    if (entry_rc == 0 && mapped && (itself || same_bytes(&m->found_key, &m->key))) {
        if (found != SQLITE_TOOBIG) {
            rc = put_if_free(&o);
            return rc < 0 ? rc : 0;
        }
        fault = (struct item_fault){.code = "item_too_large",
                                    .text = "a value of the row is longer than an item can be"};
        _cleanup_buf_ struct buf who = {0};
        rc = m->targets[t->target]->contested ? owner_in_the_way(m, t, &who) : 0;
        if (rc < 0)
            return rc;
        return rc > 0 ? outcome(&o, &fault, false) : unholdable(&o, &fault);
    }
    if (entry_rc == 0) {
        /* A row that comes to have no key is told of here as well, whichever entry came of it.
         */
        if (there && !mapped && same_row && (rc = outcome(&o, &fault, false)) < 0)
            return rc;
        buf_clear(&m->found_key);
        if (item_key(t->plan, entry, &m->found_key, &m->json, &entry_fault) < 0)
            return -ENOMEM; /* it was a key a moment ago */
        return leave(&o, there && same_row);
    }
    /* No item can ever have had the entry's key. */
    if (there && !mapped && same_row)
        return outcome(&o, &fault, false);
    return there && same_row ? 0 : outcome(&o, NULL, false);
}
