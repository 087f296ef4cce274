/* The highest key of each target that the store may hold a digest of: a load that goes through a
 * new table in the order of its keys asks of every item, and what is above has none.
 *
 * It is known of targets that were seen without any digest, and raised with each that is put from
 * then on. It may be too high (a digest was deleted, a transaction taken back): then the digest is
 * looked for, as always. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "mapping/item.h"
#include "state/internal.h"

enum { TARGETS_MAX = 4096 };

struct top {
    enum { TOP_UNSEEN, TOP_KNOWN, TOP_UNKNOWN } state;
    struct buf key; /* empty: none */
};

static struct top *find(struct store *s, uint32_t target)
{
    if (target >= TARGETS_MAX)
        return NULL;
    if (target >= s->top_count) {
        struct top *more = realloc(s->tops, (target + 1) * sizeof *more);
        if (!more)
            return NULL;
        memset(more + s->top_count, 0, (target + 1 - s->top_count) * sizeof *more);
        s->tops = more;
        s->top_count = target + 1;
    }
    return &s->tops[target];
}

static void look(struct store *s, uint32_t target, struct top *t)
{
    sqlite3_stmt *stmt = store_statement(s, ST_DIGEST_ANY);

    if (!stmt)
        return;
    sqlite3_bind_int64(stmt, 1, target);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW || rc == SQLITE_DONE)
        t->state = rc == SQLITE_DONE ? TOP_KNOWN : TOP_UNKNOWN;
    sqlite3_reset(stmt);
}

bool top_above(struct store *s, uint32_t target, const void *key, size_t n)
{
    struct top *t = find(s, target);

    if (t && t->state == TOP_UNSEEN)
        look(s, target, t);
    return t && t->state == TOP_KNOWN && item_key_order(t->key.data, t->key.len, key, n) < 0;
}

void top_raise(struct store *s, uint32_t target, const void *key, size_t n)
{
    struct top *t = target < s->top_count ? &s->tops[target] : NULL;

    if (!t || t->state != TOP_KNOWN || item_key_order(t->key.data, t->key.len, key, n) >= 0)
        return;
    buf_clear(&t->key);
    buf_append(&t->key, key, n);
    if (!buf_ok(&t->key))
        t->state = TOP_UNKNOWN;
}

void top_free(struct store *s)
{
    for (size_t i = 0; i < s->top_count; i++)
        buf_free(&s->tops[i].key);
    free(s->tops);
}
