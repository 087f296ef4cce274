/* Whose item it is, where rows may meet at one key: two tables in one DynamoDB table, or a key that
 * does not tell all rows apart.
 *
 * The owner of a key is the row of its newest write, pending or in flight, else the row recorded
 * beside its digest. It stays the owner while it still has the key, which is looked up in the same
 * snapshot as the row that wants it. */
#include <errno.h>
#include <stdlib.h>

#include "mirror/internal.h"
#include "mirror/offer.h"

/* The remote key of a row by its row key, as it is now: SQLITE_ROW with `key` appended to when the
 * row is there and has one, SQLITE_DONE when not, or an error. */
static int key_of_row(struct mirror *m, struct table_slot *t, const void *row_key, size_t n,
                      struct buf *key)
{
    const struct table_plan *p = t->plan;
    _cleanup_free_ struct value *values = calloc(p->entry_count, sizeof *values);
    _cleanup_buf_ struct buf entry = {0};
    struct item_fault fault;

    if (!values)
        return SQLITE_NOMEM;
    if (values_decode(row_key, n, values, p->row_key_count) < 0)
        return SQLITE_DONE; /* of another key layout */
    int rc = mirror_rows(m, t);
    if (rc == SQLITE_OK)
        rc = rows_found_key(t->rows, values, &entry);
    if (rc != SQLITE_ROW)
        return rc;
    if (!buf_ok(&entry) || values_decode(entry.data, entry.len, values, p->entry_count) < 0)
        return SQLITE_NOMEM;
    /* An entry begins with the row key; another is of a row that its collation takes for this one.
     */
    if (entry.len < n || memcmp(entry.data, row_key, n) != 0)
        return SQLITE_DONE;
    rc = item_key(p, values, key, NULL, &fault);
    return rc == -ENOMEM ? SQLITE_NOMEM : rc < 0 ? SQLITE_DONE : SQLITE_ROW;
}

/* The row key of the owner that the store names; 1, 0 when it cannot be told, or negative: -EIO
 * also when the state file has just failed, for with what it took back may have gone whose the item
 * is.
 */
int owner_recorded(struct mirror *m, uint32_t target, uint32_t *table, struct buf *row_key)
{
    if (m->state_broken)
        return -EIO;
    int rc = store_digest_owner(m->store, m->targets[target]->store_id, m->key.data, m->key.len,
                                table, row_key);
    const struct table_slot *t = rc > 0 ? mirror_table_by_id(m, *table) : NULL;

    if (rc <= 0 || row_key->len || !t)
        return rc > 0 ? row_key->len > 0 : rc;
    /* It was kept when no other row could have the key. */
    _cleanup_buf_ struct buf scratch = {0};
    struct value *values = calloc(t->plan->entry_count, sizeof *values);
    if (!values)
        return -ENOMEM;
    rc = item_row_key(t->plan, m->key.data, m->key.len, values, &scratch);
    for (size_t i = 0; rc == 0 && i < t->plan->row_key_count; i++)
        value_encode(row_key, &values[i]);
    free(values);
    if (rc == -ENOMEM || !buf_ok(row_key))
        return -ENOMEM;
    return rc == 0;
}

static int find_owner(struct mirror *m, uint32_t target, uint32_t *table, struct buf *row_key)
{
    const struct payload *p = split_newest(m, target, m->key.data, m->key.len);

    if (!p)
        return owner_recorded(m, target, table, row_key);
    if (p->op == WRITE_DELETE)
        return 0;
    *table = p->table;
    buf_append(row_key, p->row_key, p->row_key_len);
    return buf_ok(row_key) ? 1 : -ENOMEM;
}

int owner_in_the_way(struct mirror *m, const struct table_slot *t, struct buf *who)
{
    _cleanup_buf_ struct buf row_key = {0}, key = {0};
    uint32_t id = 0;
    int rc = find_owner(m, t->target, &id, &row_key);

    if (rc <= 0)
        return rc;
    if (id == t->id && row_key.len == m->row_key.len &&
        memcmp(row_key.data, m->row_key.data, row_key.len) == 0)
        return 0;
    struct table_slot *other = mirror_table_by_id(m, id);
    if (!other || other->target != t->target)
        return 0;
    rc = key_of_row(m, other, row_key.data, row_key.len, &key);
    if (rc == SQLITE_DONE || (rc == SQLITE_ROW && (key.len != m->key.len ||
                                                   memcmp(key.data, m->key.data, key.len) != 0)))
        return 0;
    if (rc != SQLITE_ROW)
        return rc == SQLITE_NOMEM ? -ENOMEM : -EIO;
    buf_lit(who, "the row ");
    mirror_describe_row(other, row_key.data, row_key.len, who);
    if (other != t)
        buf_printf(who, " of table \"%s\"", other->name);
    return buf_ok(who) ? 1 : -ENOMEM;
}

bool owner_unknown(struct mirror *m, const struct table_slot *t)
{
    _cleanup_buf_ struct buf row_key = {0};
    uint32_t table;

    if (split_has(m, t->target, m->key.data, m->key.len))
        return false;
    /* A survey may know of the item, but not of which row it is. */
    if (store_digest_owner(m->store, m->targets[t->target]->store_id, m->key.data, m->key.len,
                           &table, &row_key) > 0 &&
        (row_key.len || t->plan->plain_key))
        return false;
    for (size_t i = 0; i < m->table_count; i++)
        if (m->tables[i].plan && m->tables[i].target == t->target && m->tables[i].load == LOAD_ROWS)
            return true;
    return false;
}

bool owner_may_have(struct mirror *m, struct table_slot *t, const void *row_key, size_t n,
                    const struct buf *key)
{
    _cleanup_buf_ struct buf has = {0};
    int rc = key_of_row(m, t, row_key, n, &has);

    if (rc != SQLITE_ROW || !buf_ok(&has))
        return rc != SQLITE_DONE;
    return has.len == key->len && memcmp(has.data, key->data, has.len) == 0;
}

int owner_row_has(struct mirror *m, struct table_slot *t, const void *row_key, size_t n,
                  const struct buf *key)
{
    _cleanup_free_ struct value *values = calloc(t->plan->row_key_count, sizeof *values);
    _cleanup_buf_ struct buf has = {0};
    struct item_fault fault;

    if (!values || mirror_rows(m, t) != SQLITE_OK)
        return values ? -EIO : -ENOMEM;
    rows_end(t->rows->lookup); /* of the row that leaves the key */
    if (values_decode(row_key, n, values, t->plan->row_key_count) < 0)
        return 0;
    int rc = rows_lookup(t->rows, values);
    if (rc != SQLITE_ROW)
        return rc == SQLITE_DONE || rc == SQLITE_TOOBIG ? 0 : rc == SQLITE_NOMEM ? -ENOMEM : -EIO;
    rc = item_key(t->plan, t->rows->values, &has, NULL, &fault);
    if (rc == -ENOMEM)
        return rc;
    return rc == 0 && has.len == key->len && memcmp(has.data, key->data, has.len) == 0;
}

void owner_look_for_leaver(struct mirror *m, const struct payload *p)
{
    const struct target_slot *target = m->targets[p->target];
    _cleanup_buf_ struct buf row_key = {0};
    uint32_t table = 0;

    if (!target->contested || p->op != WRITE_PUT)
        return;
    /* It cannot be known just after the state file has failed, either. */
    int rc = m->state_broken ? -EIO
                             : store_digest_owner(m->store, target->store_id, p->key, p->key_len,
                                                  &table, &row_key);
    if (rc == 0 || (rc > 0 && table == p->table && row_key.len == p->row_key_len &&
                    memcmp(row_key.data, p->row_key, row_key.len) == 0))
        return;
    /* Where that cannot be kept just now, it is with all else, once it can. */
    for (size_t i = 0; i < m->table_count; i++) {
        struct table_slot *t = &m->tables[i];
        if (t->plan && t->target == p->target && (rc < 0 || t->id == table))
            loader_sweep_later(m, t);
    }
}

int owner_look_behind(struct mirror *m, const struct table_slot *t)
{
    _cleanup_buf_ struct buf row_key = {0};
    uint32_t id = 0;

    if (!m->targets[t->target]->contested || split_newest(m, t->target, m->key.data, m->key.len))
        return 0;
    int rc = owner_recorded(m, t->target, &id, &row_key);
    if (rc <= 0 || (id == t->id && row_key.len == m->row_key.len &&
                    memcmp(row_key.data, m->row_key.data, row_key.len) == 0))
        return rc < 0 ? rc : 0;
    struct table_slot *other = mirror_table_by_id(m, id);
    return other && other->target == t->target ? loader_sweep_once_more(m, other, 0) : 0;
}
