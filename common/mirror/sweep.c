/* The sweep that ends a comparison: items that are known and that no row maps to any more go. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/failpoint.h"
#include "base/plant.h"
#include "mirror/loader.h"
#include "mirror/offer.h"
#include "mirror/suspects.h"

struct sweep {
    struct page *page;
    struct buf keys; /* remote keys to look at: length (4 bytes), bytes, row key length, bytes */
    int count;
};

struct swept {
    const char *key;
    const char *row_key;
    uint32_t key_len, row_key_len;
    uint32_t table;
};

static bool collect(void *arg, const struct store_digest *d)
{
    struct sweep *s = arg;
    struct swept head = {.key_len = (uint32_t)d->key_len,
                         .row_key_len = (uint32_t)d->row_key_len,
                         .table = d->table};

    buf_append(&s->keys, &head, sizeof head);
    buf_append(&s->keys, d->key, d->key_len);
    buf_append(&s->keys, d->row_key, d->row_key_len);
    s->count++;
    return buf_ok(&s->keys);
}

/* One of an id that is not mirrored is this table's when it was so under another key layout, or
 * when nobody knows that id and no other table writes to this target. Those of a table that is left
 * out, or that was dropped and whose items stay, are not. */
int sweep_is_of(struct mirror *m, const struct table_slot *t, uint32_t id, bool *mine)
{
    struct store_table known = {0};

    const struct table_slot *other = mirror_table_by_id(m, id);
    *mine = id == t->id;
    if (*mine || (other && other->target == t->target))
        return 0;
    *mine = !m->targets[t->target]->shared;
    if (other) /* it is mirrored elsewhere by now */
        return 0;
    int rc = store_table_by_id(m->store, id, &known);
    if (rc == 0)
        *mine = strcasecmp(known.name, t->name) == 0;
    store_table_clear(&known);
    return rc == -ENOENT ? 0 : rc;
}

/* A key of another kind than the table's, as from before it was made anew for other keys: what was
 * on its way then may have been noted since. */
int sweep_no_item(struct mirror *m, const struct table_slot *t, const void *key, size_t n)
{
    if (m->first_record == USEC_NEVER)
        m->first_record = m->now;
    return store_digest_delete(m->store, m->targets[t->target]->store_id, key, n);
}

/* The row key of an item: kept beside the digest, or read back from the remote key. -EINVAL when
 * the item was made under another key layout: then no row of today is its owner. */
static int row_key_of(struct table_slot *t, const struct swept *d, struct value *key,
                      struct buf *store)
{
    if (t->plan->plain_key)
        return item_row_key(t->plan, d->key, d->key_len, key, store);
    if (d->table != t->id || !d->row_key_len)
        return -EINVAL;
    return values_decode(d->row_key, d->row_key_len, key, t->plan->row_key_count);
}

/* A chunk is its head's, and stays where that is not known, or goes after it: then *item has the
 * head's key. */
static bool is_chunk(const struct page *p, const struct swept *d, struct buf *item, bool *yes)
{
    _cleanup_buf_ struct buf row_key = {0};
    uint32_t table;

    if (oversize_parse_key(d->key, d->key_len, NULL) == 0)
        return false;
    enum split_verdict v = split_judge(p->m, p->t->target, d->key, d->key_len, &table, &row_key);
    *yes = v != CHUNK_UNWANTED && v != CHUNK_HEADLESS;
    if (v == CHUNK_HEADLESS)
        *item = *split_judged_head(p->m);
    return true;
}

/* Does the row, which is there and whose values are too long to be read, have the item's key? */
static bool has_its_key(const struct page *p, const struct swept *d, const struct value *key,
                        struct buf *row_key)
{
    const struct buf item = {.data = (char *)d->key, .len = d->key_len};

    for (size_t i = 0; i < p->t->plan->row_key_count; i++)
        value_encode(row_key, &key[i]);
    return buf_ok(row_key) && owner_may_have(p->m, p->t, row_key->data, row_key->len, &item);
}

/* Is there a row that maps to this item? If not, *item is the key of the one that goes, as long as
 * nothing else is judged. */
static int has_row(struct page *p, const struct swept *d, struct value *key, struct buf *item,
                   bool *yes)
{
    struct table_slot *t = p->t;
    _cleanup_buf_ struct buf store = {0}, found = {0};
    struct item_fault fault;

    *yes = false;
    *item = (struct buf){.data = (char *)d->key, .len = d->key_len};
    if (is_chunk(p, d, item, yes))
        return SQLITE_OK;
    int rc = row_key_of(t, d, key, &store);
    if (rc == -ENOMEM)
        return SQLITE_NOMEM;
    if (rc < 0)
        return SQLITE_OK;
    rc = rows_lookup(t->rows, key);
    if (rc == SQLITE_ROW) { /* one that can have no key any more has no item either */
        int made = item_key(t->plan, t->rows->values, &found, NULL, &fault);
        *yes = made == -ENOMEM ||
               (made == 0 && found.len == d->key_len && memcmp(found.data, d->key, found.len) == 0);
    } else if (rc == SQLITE_TOOBIG) {
        *yes = has_its_key(p, d, key, &found);
        rc = buf_ok(&found) ? rc : SQLITE_NOMEM;
    }
    rows_end(t->rows->lookup);
    return rc == SQLITE_ROW || rc == SQLITE_DONE || rc == SQLITE_TOOBIG ? SQLITE_OK : rc;
}

static int sweep_item(struct page *p, const struct swept *d, struct value *key)
{
    struct mirror *m = p->m;
    struct buf item = {0};
    bool yes = false, mine;

    if (m->state_broken) /* it has just failed: what it took back may have been of this item */
        return STATE_FAILED;
    int rc = sweep_is_of(m, p->t, d->table, &mine) < 0 ? STATE_FAILED : SQLITE_OK;

    if (PLANTED(SWEEP_SKIPPED))
        return SQLITE_OK;
    p->t->items += mine && p->t->sweep == SWEEP_COUNT;
    /* Of no row that could be looked up: a write on its way tells. It may be of a row that came to
     * the key since, which a delete must not take the place of. */
    bool of_none = !p->t->plan->plain_key && (d->table != p->t->id || !d->row_key_len);
    if (rc == SQLITE_OK && mine && of_none && split_has(m, p->t->target, d->key, d->key_len))
        return rc;
    if (rc == SQLITE_OK && mine)
        rc = has_row(p, d, key, &item, &yes);
    if (rc != SQLITE_OK || !mine || yes)
        return rc;
    buf_clear(&m->json);
    int made = item_key_json(&p->t->plan->schema, item.data, item.len, &m->json);
    if (made == -EINVAL)
        return sweep_no_item(m, p->t, d->key, d->key_len) < 0 ? STATE_FAILED : SQLITE_OK;
    if (p->t->sweep == SWEEP_COUNT) {
        /* A write that is on its way is no difference, only a change not yet confirmed. */
        p->t->extras += !split_has(m, p->t->target, d->key, d->key_len);
        return rc;
    }
    buf_clear(&m->key);
    buf_append(&m->key, item.data, item.len);
    buf_clear(&m->row_key);
    buf_append(&m->row_key, d->row_key, d->row_key_len);
    if (made < 0 || !buf_ok(&m->key) || !buf_ok(&m->row_key))
        return SQLITE_NOMEM;
    suspects_key(m, p->t, SHAKEN_ROWS);
    made = offer_leave(m, p->now, p->t, p->span);
    return made == -EIO ? STATE_FAILED : made < 0 ? SQLITE_NOMEM : SQLITE_OK;
}

static int read_sweep(struct page *p, bool *end)
{
    struct mirror *m = p->m;
    struct table_slot *t = p->t;
    _cleanup_buf_ struct buf keys = {0};
    struct sweep s = {.page = p};
    _cleanup_free_ struct value *key = calloc(t->plan->row_key_count, sizeof *key);
    int rc = SQLITE_OK;

    split_judge_anew(m);
    int n = store_digest_page(m->store, m->targets[t->target]->store_id, &t->cursor, READ_LIMIT,
                              collect, &s);
    keys = s.keys;
    if (!key || n < 0 || !buf_ok(&keys))
        return SQLITE_NOMEM;
    const char *at = keys.data;
    for (int i = 0; rc == SQLITE_OK && i < n; i++) {
        struct swept d;
        memcpy(&d, at, sizeof d);
        d.key = at + sizeof d;
        d.row_key = d.key + d.key_len;
        at = d.row_key + d.row_key_len;
        rc = sweep_item(p, &d, key);
        if (rc != SQLITE_OK)
            break;
        p->rows++;
        buf_clear(&t->cursor);
        buf_append(&t->cursor, d.key, d.key_len);
        if (loader_page_full(p)) {
            n = READ_LIMIT; /* not the end */
            break;
        }
    }
    *end = rc == SQLITE_OK && n < READ_LIMIT;
    return rc;
}

/* All items were looked at once. Nothing is deleted before it is known how much would be: a wrong
 * or empty file in the database's place must not empty DynamoDB. */
static int judge_sweep(struct mirror *m, struct table_slot *t, bool *end)
{
    FAILPOINT("sweep_judged");
    *end = t->extras == 0;
    if (t->extras * 100 > t->items * m->config->hold_deletes && !t->approved) {
        t->held = true;
        mirror_note(
            m, LOG_EV_ERROR, "held",
            "comparing table \"%s\" would delete %lld of %lld items (hold_deletes = %lld%%); "
            "nothing is deleted until `syncctl approve`",
            t->name, (long long)t->extras, (long long)t->items, (long long)m->config->hold_deletes);
        return SQLITE_OK;
    }
    t->sweep = SWEEP_DELETE;
    buf_clear(&t->cursor);
    return SQLITE_OK;
}

int sweep_page(struct page *p, bool *end)
{
    struct table_slot *t = p->t;

    if (t->sweep == SWEEP_START) {
        buf_clear(&t->cursor);
        t->extras = t->items = 0;
        t->sweep = SWEEP_COUNT;
    }
    int rc = read_sweep(p, end);
    if (rc == SQLITE_OK && *end && t->sweep == SWEEP_COUNT)
        rc = judge_sweep(p->m, t, end);
    return rc;
}
