#include "state/digest_cache.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "state/digest_slots.h"
#include "state/internal.h"

void digests_forget(struct store *s, uint32_t target)
{
    struct digest_cache *c = &s->digests;

    for (size_t i = c->count; i-- > 0;)
        if (c->slots[i]->target == target)
            slots_drop(c, i);
}

void digests_void(struct store *s)
{
    while (s->digests.count)
        slots_drop(&s->digests, s->digests.count - 1);
    slot_free(s->digests.spare);
    s->digests.spare = NULL;
}

void digests_release(struct store *s)
{
    struct digest_cache *c = &s->digests;

    for (size_t i = c->count; i-- > 0;)
        if (!c->slots[i]->dirty)
            slots_drop(c, i);
}

/* --- reading ---------------------------------------------------------------------------------- */

static int unreadable(struct store *s, int rc)
{
    snprintf(s->error, sizeof s->error, "%s", sqlite3_errmsg(s->db));
    return store_errno(rc);
}

static int damaged(struct store *s, uint32_t target, int64_t id)
{
    snprintf(s->error, sizeof s->error,
             "its digests are damaged (block %lld, of target %u); stop syncd and move the file "
             "away: what DynamoDB holds is then compared anew",
             (long long)id, target);
    return -EIO;
}

/* The row that the statement stands on: id, k, n, v. */
static int load(struct store *s, sqlite3_stmt *stmt, uint32_t target, struct digest_slot **out)
{
    size_t n = (size_t)sqlite3_column_bytes(stmt, 1);
    struct digest_slot *slot = slot_new(&s->digests, target, sqlite3_column_blob(stmt, 1), n);

    if (!slot)
        return -ENOMEM;
    slot->id = sqlite3_column_int64(stmt, 0);
    slot->stored = sqlite3_column_int64(stmt, 2);
    slot->stored_bytes = (size_t)sqlite3_column_bytes(stmt, 3);
    int rc = digest_block_read(&slot->block, sqlite3_column_blob(stmt, 3), slot->stored_bytes,
                               slot->stored);
    if (rc == 0 && (slot_exceeds(slot, DIGEST_BLOCK_FULL) ||
                    digest_block_compare(&slot->block, 0, slot->from.data, n) < 0))
        rc = -EBADMSG;
    if (rc < 0) {
        rc = rc == -EBADMSG ? damaged(s, target, slot->id) : rc;
        slot_free(slot);
        return rc;
    }
    *out = slot;
    return 0;
}

/* Is the key, which is not below its range, surely in it? */
static bool covers(const struct digest_slot *x, const void *key, size_t n, uint64_t head)
{
    if (x->upto == UPTO_END)
        return true;
    if (x->upto == UPTO_KEY &&
        (head < x->end_head ||
         (head == x->end_head && digest_key_order(key, n, x->end.data, x->end.len) < 0)))
        return true;
    return x->block.count && digest_block_compare(&x->block, x->block.count - 1, key, n) >= 0;
}

static bool begins_above(const struct digest_slot *x, const void *key, size_t n, uint64_t head)
{
    return x->from_head != head ? x->from_head > head
                                : digest_key_order(x->from.data, x->from.len, key, n) > 0;
}

/* What is here was found not to reach up to a key, and yet there is no block between. */
static int reach_on(struct store *s, struct digest_slot *slot)
{
    slot->upto = UPTO_UNKNOWN;
    return digests_find_end(s, slot);
}

/* As the file has it; `here` is the nearest block below that is in memory, or NULL. */
static int find_stored(struct store *s, uint32_t target, const void *key, size_t n,
                       struct digest_slot *here, struct digest_slot **out)
{
    sqlite3_stmt *stmt = store_statement(s, ST_DIGEST_BLOCK);
    struct digest_slot *slot = NULL;

    if (!stmt)
        return unreadable(s, SQLITE_NOMEM);
    sqlite3_bind_int64(stmt, 1, target);
    store_bind_blob(stmt, 2, key, n);
    int rc = sqlite3_step(stmt);
    int err = rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : unreadable(s, rc);
    bool there = rc == SQLITE_ROW;
    if (there && here &&
        digest_key_order(here->from.data, here->from.len, sqlite3_column_blob(stmt, 1),
                         (size_t)sqlite3_column_bytes(stmt, 1)) >= 0)
        there = false;
    if (there)
        err = load(s, stmt, target, &slot);
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    if (err < 0)
        return err;
    if (slot) {
        slots_make_room(&s->digests);
        slots_add(&s->digests, slot);
    } else if (here && (err = reach_on(s, slot = here)) < 0) {
        return err;
    }
    *out = slot;
    return slot != NULL;
}

int digests_find(struct store *s, enum digest_recent who, uint32_t target, const void *key,
                 size_t n, struct digest_slot **out)
{
    struct digest_cache *c = &s->digests;
    struct digest_slot *x = c->recent[who];

    uint64_t head = digest_key_head(key, n);
    if (!x || x->target != target || begins_above(x, key, n, head) || !covers(x, key, n, head)) {
        size_t place = slots_upto(c, target, key, n);
        x = place && c->slots[place - 1]->target == target ? c->slots[place - 1] : NULL;
        if (!x || !covers(x, key, n, head)) {
            int rc = find_stored(s, target, key, n, x, &x);
            if (rc <= 0)
                return rc;
            c->recent[who] = *out = x;
            return 1;
        }
    }
    x->used = true;
    c->recent[who] = *out = x;
    return 1;
}

/* The first key above `key` that a range in the file begins with: appended. */
static int next_stored(struct store *s, uint32_t target, const struct buf *key, struct buf *out)
{
    sqlite3_stmt *stmt = store_statement(s, ST_DIGEST_NEXT);

    if (!stmt)
        return unreadable(s, SQLITE_NOMEM);
    sqlite3_bind_int64(stmt, 1, target);
    store_bind_blob(stmt, 2, key->data, key->len);
    int rc = sqlite3_step(stmt);
    int err = rc == SQLITE_ROW || rc == SQLITE_DONE ? rc == SQLITE_ROW : unreadable(s, rc);
    if (err > 0)
        buf_append(out, sqlite3_column_blob(stmt, 0), (size_t)sqlite3_column_bytes(stmt, 0));
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return buf_ok(out) ? err : -ENOMEM;
}

int digests_next(struct store *s, uint32_t target, struct buf *key)
{
    struct digest_cache *c = &s->digests;
    size_t place = slots_upto(c, target, key->data, key->len);
    const struct digest_slot *here =
        place < c->count && c->slots[place]->target == target ? c->slots[place] : NULL;
    struct buf next = {0};
    int rc = next_stored(s, target, key, &next);

    if (rc >= 0 && here &&
        (rc == 0 || digest_key_order(here->from.data, here->from.len, next.data, next.len) < 0)) {
        buf_clear(&next);
        buf_append(&next, here->from.data, here->from.len);
        rc = buf_ok(&next) ? 1 : -ENOMEM;
    }
    if (rc <= 0) {
        buf_free(&next);
        return rc;
    }
    buf_free(key);
    *key = next;
    return 1;
}

int digests_find_end(struct store *s, struct digest_slot *slot)
{
    if (slot->upto != UPTO_UNKNOWN)
        return 0;
    buf_clear(&slot->end);
    buf_append(&slot->end, slot->from.data, slot->from.len);
    int rc = buf_ok(&slot->end) ? digests_next(s, slot->target, &slot->end) : -ENOMEM;
    if (rc < 0)
        return rc;
    slot->upto = rc ? UPTO_KEY : UPTO_END;
    slot->end_head = digest_key_head(slot->end.data, slot->end.len);
    slots_weigh(&s->digests, slot);
    return 0;
}

int digests_new(struct store *s, uint32_t target, struct digest_slot **out)
{
    struct digest_slot *slot = slot_new(&s->digests, target, NULL, 0);

    if (!slot)
        return -ENOMEM;
    slots_make_room(&s->digests);
    slots_add(&s->digests, slot);
    *out = slot;
    return digests_find_end(s, slot);
}
