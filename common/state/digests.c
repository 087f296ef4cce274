/* What is known of each item: store.h's digests, over digest_cache.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "state/internal.h"

static const uint8_t unknown[STORE_DIGEST_SIZE];

_Static_assert((int)DIGEST_BYTES == (int)STORE_DIGEST_SIZE, "one digest");

/* --- one key ---------------------------------------------------------------------------------- */

/* 1 with what is known of it; 0, negative. */
static int look_up(struct store *s, uint32_t target, const void *key, size_t n,
                   struct digest_fact *out)
{
    struct digest_slot *slot;
    int rc = digests_find(s, DIGEST_LOOKS, target, key, n, &slot);

    if (rc <= 0 || !digest_block_find(&slot->block, key, n, &slot->seen))
        return rc < 0 ? rc : 0;
    digest_block_fact(&slot->block, slot->seen++, out);
    return 1;
}

bool store_digest_get(struct store *s, uint32_t target, const void *key, size_t n,
                      uint8_t digest[STORE_DIGEST_SIZE], uint32_t *table)
{
    struct digest_fact f;

    if (look_up(s, target, key, n, &f) <= 0)
        return false;
    memcpy(digest, f.digest, STORE_DIGEST_SIZE);
    *table = f.table;
    return true;
}

static bool same_row_key(const struct digest_fact *f, const void *row_key, size_t n)
{
    if (!row_key || !f->row_key)
        return !row_key && !f->row_key;
    return f->row_key_len == n && (n == 0 || memcmp(f->row_key, row_key, n) == 0);
}

enum digest_match store_digest_match(struct store *s, uint32_t target, const void *key, size_t n,
                                     const uint8_t digest[STORE_DIGEST_SIZE], uint32_t table,
                                     const void *row_key, size_t row_key_len)
{
    struct digest_fact f;

    if (look_up(s, target, key, n, &f) <= 0 || memcmp(f.digest, digest, STORE_DIGEST_SIZE) != 0)
        return DIGEST_OTHER;
    return f.table == table && same_row_key(&f, row_key, row_key_len) ? DIGEST_SAME
                                                                      : DIGEST_SAME_ITEM;
}

int store_digest_owner(struct store *s, uint32_t target, const void *key, size_t n, uint32_t *table,
                       struct buf *row_key)
{
    struct digest_fact f;
    int rc = look_up(s, target, key, n, &f);

    if (rc <= 0)
        return rc;
    *table = f.table;
    buf_append(row_key, f.row_key, f.row_key_len);
    return buf_ok(row_key) ? 1 : -ENOMEM;
}

/* What a write does where something is known of the key already. */
enum over { OVER_ALL, OVER_NOTHING, OVER_DIGEST };

static int put(struct store *s, uint32_t target, const void *key, size_t n,
               const struct digest_fact *f, enum over over)
{
    struct digest_slot *slot = NULL;
    int rc = store_begin(s);

    if (rc < 0)
        return rc;
    rc = digests_find(s, DIGEST_PUTS, target, key, n, &slot);
    if (rc == 0)
        rc = digests_new(s, target, &slot);
    if (rc < 0)
        return store_failed(s, rc);
    bool grown = true;
    size_t at = slot->last + 1;
    if (!digest_block_find(&slot->block, key, n, &at)) {
        rc = digest_block_insert(&slot->block, at, key, n, f);
    } else if (over == OVER_ALL) {
        size_t before = slot->block.bytes.len;
        rc = digest_block_update(&slot->block, at, key, n, f);
        if (rc == 0)
            return 0; /* the same */
        grown = slot->block.bytes.len > before;
    } else {
        grown = false;
        if (over == OVER_NOTHING || !digest_block_doubt(&slot->block, at))
            return 0;
    }
    if (!grown)
        slot->last = at;
    if (rc >= 0)
        rc = grown ? digests_grown(s, slot, at) : digests_changed(s, slot);
    return rc < 0 ? store_failed(s, rc) : 0;
}

int store_digest_put(struct store *s, uint32_t target, const void *key, size_t n,
                     const uint8_t digest[STORE_DIGEST_SIZE], uint32_t table, const void *row_key,
                     size_t row_key_len)
{
    const struct digest_fact f = {digest, table, row_key, row_key_len};

    return put(s, target, key, n, &f, OVER_ALL);
}

int store_digest_suspect(struct store *s, uint32_t target, const void *key, size_t n,
                         uint32_t table, const void *row_key, size_t row_key_len)
{
    const struct digest_fact f = {unknown, table, row_key, row_key_len};

    return put(s, target, key, n, &f, OVER_NOTHING);
}

int store_digest_doubt_item(struct store *s, uint32_t target, const void *key, size_t n,
                            uint32_t table, const void *row_key, size_t row_key_len)
{
    const struct digest_fact f = {unknown, table, row_key, row_key_len};

    return put(s, target, key, n, &f, OVER_DIGEST);
}

int store_digest_delete(struct store *s, uint32_t target, const void *key, size_t n)
{
    struct digest_slot *slot;
    size_t at = 0;
    int rc = store_begin(s);

    if (rc < 0)
        return rc;
    rc = digests_find(s, DIGEST_PUTS, target, key, n, &slot);
    if (rc > 0 && digest_block_find(&slot->block, key, n, &at)) {
        digest_block_remove(&slot->block, at);
        rc = digests_shrunk(s, slot);
    }
    return rc < 0 ? store_failed(s, rc) : 0;
}

/* --- block by block --------------------------------------------------------------------------- */

/* Told of one block. 0; 1: enough; negative: failed. */
typedef int visit_fn(struct store *s, void *arg, struct digest_slot *slot);

/* Each block of the target from that of `from` on, in key order. One whose visits change it may be
 * told of once more, with what it took over from the next one meanwhile. */
static int walk(struct store *s, uint32_t target, const struct buf *from, bool changes,
                visit_fn *visit, void *arg)
{
    _cleanup_buf_ struct buf at = {0}, next = {0};
    struct digest_slot *slot = NULL;
    bool first = true;
    int rc;

    if (from)
        buf_append(&at, from->data, from->len);
    if (!buf_ok(&at))
        return -ENOMEM;
    if ((rc = digests_find(s, DIGEST_LOOKS, target, at.data, at.len, &slot)) == 0)
        rc = digests_next(s, target, &at);
    for (; rc > 0; first = false) {
        if ((rc = digests_find(s, DIGEST_LOOKS, target, at.data, at.len, &slot)) <= 0 ||
            (rc = digests_find_end(s, slot)) < 0)
            break;
        bool more = slot->upto == UPTO_KEY;
        buf_clear(&next);
        buf_append(&next, slot->end.data, slot->end.len);
        if (!buf_ok(&next))
            return -ENOMEM;
        /* One that reaches past the end it had a moment ago was there already. */
        bool seen = !changes && !first &&
                    digest_key_order(slot->from.data, slot->from.len, at.data, at.len);
        if (!seen && (rc = visit(s, arg, slot)) != 0)
            return rc < 0 ? rc : 0;
        struct buf was = at;
        at = next;
        next = was;
        rc = more;
    }
    return rc;
}

struct page {
    const struct buf *from, *before; /* before: or NULL */
    bool behind;                     /* not `from` itself */
    int limit, count;                /* limit < 0: none */
    store_digest_fn *fn;
    void *arg;
    struct digest_block block; /* its own: `fn` may come back here */
    struct buf key;
};

static int give(struct store *s, void *arg, struct digest_slot *slot)
{
    struct page *p = arg;
    struct digest_fact f;
    size_t at = 0;
    int rc = digest_block_copy(&p->block, &slot->block);

    (void)s;
    if (rc < 0)
        return rc;
    if (digest_block_find(&p->block, p->from->data, p->from->len, &at) && p->behind)
        at++;
    for (; at < p->block.count && p->count != p->limit; at++) {
        if (p->before && digest_block_compare(&p->block, at, p->before->data, p->before->len) >= 0)
            return 1;
        digest_block_key(&p->block, at, &p->key);
        if (!buf_ok(&p->key))
            return -ENOMEM;
        digest_block_fact(&p->block, at, &f);
        const struct store_digest d = {.key = p->key.data,
                                       .key_len = p->key.len,
                                       .table = f.table,
                                       .row_key = f.row_key,
                                       .row_key_len = f.row_key_len};
        p->count++;
        if (!p->fn(p->arg, &d))
            return 1;
    }
    return p->count == p->limit;
}

static int give_all(struct store *s, uint32_t target, struct page *p)
{
    int rc = walk(s, target, p->from, false, give, p);

    digest_block_free(&p->block);
    buf_free(&p->key);
    return rc < 0 ? rc : p->count;
}

int store_digest_page(struct store *s, uint32_t target, const struct buf *cursor, int limit,
                      store_digest_fn *fn, void *arg)
{
    struct page p = {.from = cursor, .behind = true, .limit = limit, .fn = fn, .arg = arg};

    return give_all(s, target, &p);
}

int store_digest_prefix(struct store *s, uint32_t target, const struct buf *prefix,
                        store_digest_fn *fn, void *arg)
{
    _cleanup_buf_ struct buf end = {0};

    buf_append(&end, prefix->data, prefix->len);
    buf_putc(&end, '\xff');
    if (!buf_ok(&end))
        return -ENOMEM;
    struct page p = {.from = prefix, .before = &end, .limit = -1, .fn = fn, .arg = arg};
    return give_all(s, target, &p);
}

/* --- all of a target, or a table -------------------------------------------------------------- */

int store_digest_clear(struct store *s, uint32_t target)
{
    sqlite3_stmt *stmt = store_statement(s, ST_DIGEST_CLEAR);

    digests_forget(s, target);
    if (stmt)
        sqlite3_bind_int64(stmt, 1, target);
    return store_run(s, stmt);
}

struct kept {
    size_t from_end, n;
    const char *mark;
    struct buf key;
};

static int clear_but(struct store *s, void *arg, struct digest_slot *slot)
{
    struct kept *k = arg;
    bool changed = false;

    for (size_t i = slot->block.count; i-- > 0;) {
        digest_block_key(&slot->block, i, &k->key);
        if (!buf_ok(&k->key))
            return -ENOMEM;
        if (k->key.len < k->from_end || k->from_end < k->n ||
            memcmp(k->key.data + k->key.len - k->from_end, k->mark, k->n) != 0) {
            digest_block_remove(&slot->block, i);
            changed = true;
        } else {
            changed |= digest_block_doubt(&slot->block, i);
        }
    }
    return changed ? digests_changed(s, slot) : 0;
}

int store_digest_clear_but(struct store *s, uint32_t target, size_t from_end, const char *mark)
{
    struct kept k = {.from_end = from_end, .n = strlen(mark), .mark = mark};
    int rc = store_begin(s);

    if (rc < 0)
        return rc;
    rc = walk(s, target, NULL, true, clear_but, &k);
    buf_free(&k.key);
    return rc < 0 ? store_failed(s, rc) : 0;
}

static int doubt(struct store *s, void *arg, struct digest_slot *slot)
{
    const uint32_t *table = arg;
    bool changed = false;
    struct digest_fact f;

    for (size_t i = 0; i < slot->block.count; i++) {
        digest_block_fact(&slot->block, i, &f);
        if (!*table || f.table == *table)
            changed |= digest_block_doubt(&slot->block, i);
    }
    return changed ? digests_changed(s, slot) : 0;
}

/* The first target above that has digests, here or in the file. 1, 0, negative. */
static int next_target(struct store *s, int64_t above, int64_t *out)
{
    sqlite3_stmt *stmt = store_statement(s, ST_DIGEST_TARGET);
    int64_t found = INT64_MAX;

    if (!stmt)
        return -ENOMEM;
    sqlite3_bind_int64(stmt, 1, above);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        found = sqlite3_column_int64(stmt, 0);
    else if (rc != SQLITE_DONE)
        snprintf(s->error, sizeof s->error, "%s", sqlite3_errmsg(s->db));
    sqlite3_reset(stmt);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return store_errno(rc);
    for (size_t i = 0; i < s->digests.count; i++)
        if (s->digests.slots[i]->target > above && s->digests.slots[i]->target < found)
            found = s->digests.slots[i]->target;
    *out = found;
    return found != INT64_MAX;
}

int store_digest_doubt(struct store *s, uint32_t table)
{
    int64_t target = -1;
    int rc = store_begin(s);

    if (rc < 0)
        return rc;
    while ((rc = next_target(s, target, &target)) > 0)
        if ((rc = walk(s, (uint32_t)target, NULL, true, doubt, &table)) < 0)
            break;
    return rc < 0 ? store_failed(s, rc) : 0;
}

int store_digest_doubt_target(struct store *s, uint32_t target)
{
    uint32_t any = 0;
    int rc = store_begin(s);

    rc = rc < 0 ? rc : walk(s, target, NULL, true, doubt, &any);
    return rc < 0 ? store_failed(s, rc) : 0;
}

/* --- how many --------------------------------------------------------------------------------- */

int64_t store_digest_count(struct store *s, uint32_t target)
{
    sqlite3_stmt *stmt = store_statement(s, ST_DIGEST_COUNT);

    if (!stmt)
        return -EIO;
    sqlite3_bind_int64(stmt, 1, target);
    int64_t n = sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : -EIO;
    sqlite3_reset(stmt);
    for (size_t i = 0; n >= 0 && i < s->digests.count; i++) {
        const struct digest_slot *x = s->digests.slots[i];
        if (x->target == target)
            n += (int64_t)x->block.count - x->stored;
    }
    return n;
}

struct tally {
    uint32_t table;
    int64_t count;
};

static int tally(struct store *s, void *arg, struct digest_slot *slot)
{
    struct tally *t = arg;
    struct digest_fact f;

    (void)s;
    for (size_t i = 0; i < slot->block.count; i++) {
        digest_block_fact(&slot->block, i, &f);
        t->count += f.table == t->table;
    }
    return 0;
}

int64_t store_digest_count_of(struct store *s, uint32_t target, uint32_t table)
{
    struct tally t = {.table = table};
    int rc = walk(s, target, NULL, false, tally, &t);

    return rc < 0 ? -EIO : t.count;
}
