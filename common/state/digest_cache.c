#include "state/digest_cache.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state/internal.h"

/* --- slots ------------------------------------------------------------------------------------ */

static int by_bytes(const void *a, size_t an, const void *b, size_t bn)
{
    size_t less = an < bn ? an : bn;
    int c = less ? memcmp(a, b, less) : 0;

    return c ? c : (an > bn) - (an < bn);
}

/* How many slots have ranges that begin at or below the key. */
static size_t place_of(const struct digest_cache *c, uint32_t target, const void *key, size_t n)
{
    size_t from = 0, to = c->count;

    while (from < to) {
        size_t middle = (from + to) / 2;
        const struct digest_slot *x = c->slots[middle];
        bool below = x->target != target ? x->target < target
                                         : by_bytes(x->from.data, x->from.len, key, n) <= 0;
        if (below)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static size_t index_of(const struct digest_cache *c, const struct digest_slot *slot)
{
    return place_of(c, slot->target, slot->from.data, slot->from.len) - 1;
}

static void weigh(struct digest_cache *c, struct digest_slot *slot)
{
    size_t weight = sizeof *slot + slot->from.cap + slot->end.cap + slot->block.bytes.cap +
                    slot->block.room * sizeof *slot->block.at;

    c->bytes = c->bytes - slot->weight + weight;
    slot->weight = weight;
}

static void free_slot(struct digest_slot *slot)
{
    buf_free(&slot->from);
    buf_free(&slot->end);
    digest_block_free(&slot->block);
    free(slot);
}

static void drop(struct digest_cache *c, size_t i)
{
    struct digest_slot *slot = c->slots[i];

    c->bytes -= slot->weight;
    c->dirty -= slot->dirty;
    if (c->recent == slot)
        c->recent = NULL;
    c->count--;
    memmove(c->slots + i, c->slots + i + 1, (c->count - i) * sizeof(struct digest_slot *));
    free_slot(slot);
}

static void add(struct digest_cache *c, struct digest_slot *slot)
{
    size_t i = place_of(c, slot->target, slot->from.data, slot->from.len);

    memmove(c->slots + i + 1, c->slots + i, (c->count - i) * sizeof(struct digest_slot *));
    c->slots[i] = slot;
    c->count++;
    c->dirty += slot->dirty;
    weigh(c, slot);
}

/* The next one that is (not) dirty, and was not used since the hand came by last. */
static struct digest_slot *pick(struct digest_cache *c, bool dirty)
{
    for (size_t i = 0; i < 2 * c->count; i++) {
        c->hand = c->hand + 1 < c->count ? c->hand + 1 : 0;
        struct digest_slot *x = c->slots[c->hand];
        if (x->dirty != dirty)
            continue;
        if (!x->used)
            return x;
        x->used = false;
    }
    return NULL;
}

/* Room for one more. */
static void make_room(struct digest_cache *c)
{
    struct digest_slot *x;

    while ((c->count >= CACHE_SLOTS || c->bytes > CACHE_BYTES) && (x = pick(c, false)))
        drop(c, index_of(c, x));
}

static struct digest_slot *new_slot(uint32_t target, const void *from, size_t n)
{
    struct digest_slot *slot = calloc(1, sizeof *slot);

    if (!slot)
        return NULL;
    slot->target = target;
    slot->last = SIZE_MAX;
    buf_append(&slot->from, from, n);
    if (!buf_ok(&slot->from)) {
        free_slot(slot);
        return NULL;
    }
    return slot;
}

void digests_forget(struct store *s, uint32_t target)
{
    struct digest_cache *c = &s->digests;

    for (size_t i = c->count; i-- > 0;)
        if (c->slots[i]->target == target)
            drop(c, i);
}

void digests_void(struct store *s)
{
    while (s->digests.count)
        drop(&s->digests, s->digests.count - 1);
}

void digests_release(struct store *s)
{
    struct digest_cache *c = &s->digests;

    for (size_t i = c->count; i-- > 0;)
        if (!c->slots[i]->dirty)
            drop(c, i);
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
    struct digest_slot *slot = new_slot(target, sqlite3_column_blob(stmt, 1), n);

    if (!slot)
        return -ENOMEM;
    slot->id = sqlite3_column_int64(stmt, 0);
    slot->stored = sqlite3_column_int64(stmt, 2);
    int rc = digest_block_read(&slot->block, sqlite3_column_blob(stmt, 3),
                               (size_t)sqlite3_column_bytes(stmt, 3), slot->stored);
    if (rc == 0 && digest_block_compare(&slot->block, 0, slot->from.data, n) < 0)
        rc = -EBADMSG;
    if (rc < 0) {
        rc = rc == -EBADMSG ? damaged(s, target, slot->id) : rc;
        free_slot(slot);
        return rc;
    }
    *out = slot;
    return 0;
}

/* Is the key, which is not below its range, surely in it? */
static bool covers(const struct digest_slot *x, const void *key, size_t n)
{
    if (x->upto == UPTO_END ||
        (x->upto == UPTO_KEY && by_bytes(key, n, x->end.data, x->end.len) < 0))
        return true;
    return x->block.count && digest_block_compare(&x->block, x->block.count - 1, key, n) >= 0;
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
        by_bytes(here->from.data, here->from.len, sqlite3_column_blob(stmt, 1),
                 (size_t)sqlite3_column_bytes(stmt, 1)) >= 0)
        there = false;
    if (there)
        err = load(s, stmt, target, &slot);
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    if (err < 0)
        return err;
    if (slot) {
        make_room(&s->digests);
        add(&s->digests, slot);
    } else if (here && (err = reach_on(s, slot = here)) < 0) {
        return err;
    }
    *out = slot;
    return slot != NULL;
}

int digests_find(struct store *s, uint32_t target, const void *key, size_t n,
                 struct digest_slot **out)
{
    struct digest_cache *c = &s->digests;
    struct digest_slot *x = c->recent;

    if (!x || x->target != target || by_bytes(x->from.data, x->from.len, key, n) > 0 ||
        !covers(x, key, n)) {
        size_t place = place_of(c, target, key, n);
        x = place && c->slots[place - 1]->target == target ? c->slots[place - 1] : NULL;
        if (!x || !covers(x, key, n)) {
            int rc = find_stored(s, target, key, n, x, &x);
            if (rc <= 0)
                return rc;
            c->recent = *out = x;
            return 1;
        }
    }
    x->used = true;
    c->recent = *out = x;
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
    size_t place = place_of(c, target, key->data, key->len);
    const struct digest_slot *here =
        place < c->count && c->slots[place]->target == target ? c->slots[place] : NULL;
    struct buf next = {0};
    int rc = next_stored(s, target, key, &next);

    if (rc >= 0 && here &&
        (rc == 0 || by_bytes(here->from.data, here->from.len, next.data, next.len) < 0)) {
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
    weigh(&s->digests, slot);
    return 0;
}

/* --- writing ---------------------------------------------------------------------------------- */

static int write_row(struct store *s, const struct digest_slot *slot)
{
    sqlite3_stmt *stmt = store_statement(s, slot->id ? ST_DIGEST_WRITE : ST_DIGEST_ADD);

    if (!stmt)
        return store_run(s, NULL);
    sqlite3_bind_int64(stmt, 1, (int64_t)slot->block.count);
    store_bind_blob(stmt, 2, slot->block.bytes.data, slot->block.bytes.len);
    if (slot->id) {
        sqlite3_bind_int64(stmt, 3, slot->id);
    } else {
        sqlite3_bind_int64(stmt, 3, slot->target);
        store_bind_blob(stmt, 4, slot->from.data, slot->from.len);
    }
    return store_run(s, stmt);
}

static int remove_row(struct store *s, int64_t id)
{
    sqlite3_stmt *stmt = store_statement(s, ST_DIGEST_REMOVE);

    if (stmt)
        sqlite3_bind_int64(stmt, 1, id);
    return store_run(s, stmt);
}

/* An empty block goes, in the file and here. */
static int write_slot(struct store *s, struct digest_slot *slot)
{
    struct digest_cache *c = &s->digests;
    int rc;

    if (!slot->block.count) {
        rc = slot->id ? remove_row(s, slot->id) : 0;
        if (rc == 0)
            drop(c, index_of(c, slot));
        return rc;
    }
    if ((rc = write_row(s, slot)) < 0)
        return rc;
    if (!slot->id)
        slot->id = sqlite3_last_insert_rowid(s->db);
    slot->stored = (int64_t)slot->block.count;
    slot->dirty = false;
    c->dirty--;
    return 0;
}

/* In the order of their keys, so that neighbours become neighbours in the file. */
int digests_write(struct store *s)
{
    struct digest_cache *c = &s->digests;

    for (size_t i = 0; c->dirty && i < c->count;) {
        size_t before = c->count;
        int rc = c->slots[i]->dirty ? write_slot(s, c->slots[i]) : 0;
        if (rc < 0)
            return rc;
        i += c->count == before;
    }
    return 0;
}

static void mark(struct digest_cache *c, struct digest_slot *slot)
{
    weigh(c, slot);
    c->dirty += !slot->dirty;
    slot->dirty = true;
}

/* Back to what may be kept. */
static int relieve(struct store *s)
{
    struct digest_cache *c = &s->digests;
    struct digest_slot *x;
    int rc = 0;

    make_room(c);
    while (rc == 0 && c->dirty && (c->dirty > CACHE_DIRTY || c->bytes > CACHE_BYTES) &&
           (x = pick(c, true))) {
        rc = write_slot(s, x);
        make_room(c);
    }
    return rc;
}

int digests_changed(struct store *s, struct digest_slot *slot)
{
    mark(&s->digests, slot);
    return relieve(s);
}

/* The entries from `at` on go to a block of their own, behind. */
static int split(struct digest_cache *c, struct digest_slot *slot, size_t at)
{
    struct digest_block block = {0};
    struct buf border = {0};
    struct digest_slot *right = NULL;
    int rc = digest_block_split(&slot->block, at, &block);

    if (rc == 0)
        rc = digest_block_border(&slot->block, &block, &border);
    if (rc == 0 && !(right = new_slot(slot->target, border.data, border.len)))
        rc = -ENOMEM;
    if (rc < 0) {
        digest_block_free(&block);
        buf_free(&border);
        return rc;
    }
    right->block = block;
    right->end = slot->end;
    right->upto = slot->upto;
    right->used = right->dirty = true;
    slot->end = border;
    slot->upto = UPTO_KEY;
    weigh(c, slot);
    add(c, right);
    return 0;
}

/* Keys that come in their order fill one block after the other, so those behind the new entry leave
 * with it; else both halves have room for what comes. */
static size_t cut_for(const struct digest_slot *slot, size_t at)
{
    bool in_order = at == slot->last + 1 || at + 2 >= slot->block.count;

    return in_order && at ? at : digest_block_middle(&slot->block);
}

static bool too_large(const struct digest_slot *slot)
{
    return slot->block.bytes.len > DIGEST_BLOCK_FULL && slot->block.count > 1;
}

static struct digest_slot *next_of(const struct digest_cache *c, const struct digest_slot *slot)
{
    return c->slots[index_of(c, slot) + 1];
}

int digests_grown(struct store *s, struct digest_slot *slot, size_t at)
{
    struct digest_cache *c = &s->digests;

    mark(c, slot);
    if (!too_large(slot)) {
        slot->last = at;
        return relieve(s);
    }
    size_t cut = cut_for(slot, at);
    int rc = split(c, slot, cut);
    if (rc < 0)
        return rc;
    slot->last = SIZE_MAX;
    if (cut == at)
        next_of(c, slot)->last = 0;
    /* A long key may make more than two pieces, which stand side by side: nothing is written or
     * dropped until all of them fit. */
    for (size_t pieces = 2; pieces > 0;) {
        if (too_large(slot)) {
            if ((rc = split(c, slot, digest_block_middle(&slot->block))) < 0)
                return rc;
            pieces++;
        } else if (--pieces > 0) {
            slot = next_of(c, slot);
        }
    }
    return relieve(s);
}

static int join(struct store *s, struct digest_slot *slot, struct digest_slot *right)
{
    struct digest_cache *c = &s->digests;
    int64_t id = right->id;
    int rc = digest_block_join(&slot->block, &right->block);

    if (rc < 0)
        return rc;
    struct buf end = slot->end;
    slot->end = right->end;
    slot->upto = right->upto;
    slot->last = SIZE_MAX;
    right->end = end;
    mark(c, slot);
    drop(c, index_of(c, right));
    return id ? remove_row(s, id) : 0;
}

static bool may_join(const struct digest_slot *a, const struct digest_slot *b)
{
    return a->target == b->target && a->upto == UPTO_KEY && a->block.count && b->block.count &&
           by_bytes(a->end.data, a->end.len, b->from.data, b->from.len) == 0 &&
           a->block.bytes.len + b->block.bytes.len <= DIGEST_BLOCK_FULL / 4 * 3;
}

int digests_shrunk(struct store *s, struct digest_slot *slot)
{
    struct digest_cache *c = &s->digests;
    int rc = 0;

    mark(c, slot);
    slot->last = SIZE_MAX;
    if (slot->block.count && slot->block.bytes.len <= DIGEST_BLOCK_FULL / 4) {
        size_t i = index_of(c, slot);
        if (i + 1 < c->count && may_join(slot, c->slots[i + 1]))
            rc = join(s, slot, c->slots[i + 1]);
        else if (i && may_join(c->slots[i - 1], slot))
            rc = join(s, c->slots[i - 1], slot);
    }
    return rc < 0 ? rc : relieve(s);
}

int digests_new(struct store *s, uint32_t target, struct digest_slot **out)
{
    struct digest_slot *slot = new_slot(target, NULL, 0);

    if (!slot)
        return -ENOMEM;
    make_room(&s->digests);
    add(&s->digests, slot);
    s->digests.recent = *out = slot;
    return digests_find_end(s, slot);
}
