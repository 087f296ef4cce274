/* Chunks after they were sent: what became of them, which of them are to go, and to whom those
 * belong that are met again (split.h). */
#include <errno.h>
#include <stdlib.h>

#include "base/plant.h"
#include "mirror/internal.h"
#include "mirror/offer.h"
#include "mirror/suspects.h"

/* --- those that the state file names of a row --------------------------------------------------
 */

static bool collect(void *arg, const struct store_digest *d)
{
    struct buf *keys = arg;

    if (oversize_parse_key(d->key, d->key_len, NULL) > 0) {
        buf_append(keys, &d->key_len, sizeof d->key_len);
        buf_append(keys, d->key, d->key_len);
    }
    return buf_ok(keys);
}

int split_chunks(struct mirror *m, uint32_t target, const struct buf *key, split_chunk_fn *fn,
                 void *arg)
{
    _cleanup_buf_ struct buf prefix = {0}, keys = {0};
    int rc = oversize_prefix(key, &prefix);

    if (rc < 0)
        return rc == -EINVAL ? 0 : rc; /* such a key has none */
    int n = store_digest_prefix(m->store, m->targets[target]->store_id, &prefix, collect, &keys);
    if (n < 0 || !buf_ok(&keys))
        return n < 0 ? n : -ENOMEM;
    rc = 0;
    for (size_t at = 0; rc == 0 && at < keys.len;) {
        size_t len;
        memcpy(&len, keys.data + at, sizeof len);
        const struct buf one = {.data = keys.data + at + sizeof len, .len = len};
        rc = fn(m, arg, &one);
        at += sizeof len + len;
    }
    return rc;
}

/* --- those that a head does not name -----------------------------------------------------------
 */

struct cleaning {
    usec now;
    const struct payload *head;
};

/* 1 or 0; -ENOMEM. */
static int is_named(const struct payload *head, const struct buf *key)
{
    struct oversize_key k;
    int rc = oversize_parse_key(key->data, key->len, &k);

    if (rc < 0)
        return rc;
    buf_free(&k.head);
    return head->head && memcmp(k.version, head->version, DIGEST_SIZE) == 0;
}

static int clean_chunk(struct mirror *m, void *arg, const struct buf *key)
{
    const struct cleaning *c = arg;
    const struct payload *h = c->head;
    _cleanup_buf_ struct buf json = {0};
    int rc = is_named(h, key);

    if (rc != 0)
        return rc < 0 ? rc : 0;
    rc = item_key_json(&m->targets[h->target]->schema, key->data, key->len, &json);
    if (rc < 0)
        return rc == -EINVAL ? 0 : rc; /* of another key layout: the comparison's business */
    struct payload *p = split_beside(h, WRITE_DELETE, key, &json);
    if (!p)
        return -ENOMEM;
    p->left = true;
    p->force = false;
    p->units = item_write_units(oversize_chunk_size);
    suspects_chunk(m, h, key);
    if ((rc = split_offer(m, c->now, p)) < 0)
        payload_free(p);
    return rc;
}

/* A newer write of the key sees to it when it is there itself; and a suspect that is resolved. */
static bool is_for_another(struct mirror *m, const struct payload *p)
{
    return split_has(m, p->target, p->key, p->key_len) ||
           store_suspect_has(m->store, m->targets[p->target]->store_id, p->key, p->key_len);
}

int split_clean(struct mirror *m, usec now, const struct payload *head)
{
    struct cleaning c = {.now = now, .head = head};
    const struct buf key = {.data = (char *)head->key, .len = head->key_len};

    if (PLANTED(CHUNKS_LEFT) || is_for_another(m, head))
        return 0;
    return split_chunks(m, head->target, &key, clean_chunk, &c);
}

static int suspect_chunk(struct mirror *m, void *arg, const struct buf *key)
{
    const struct payload *h = arg;
    int rc = is_named(h, key);

    if (rc != 0)
        return rc < 0 ? rc : 0;
    return store_suspect_put(m->store,
                             &(struct store_suspect){.target = m->targets[h->target]->store_id,
                                                     .key = key->data,
                                                     .key_len = key->len,
                                                     .table = h->table,
                                                     .row_key = h->row_key,
                                                     .row_key_len = h->row_key_len,
                                                     .until = suspects_time(m, false)});
}

int split_remember(struct mirror *m, const struct payload *p)
{
    const struct buf key = {.data = (char *)p->key, .len = p->key_len};

    /* Where rows meet at a key, the entry may be another row's, which had the key before. */
    bool held = (p->journal || p->load) && !m->targets[p->target]->contested;

    if (p->part || held || (!p->head && !m->targets[p->target]->split))
        return 0;
    return split_chunks(m, p->target, &key, suspect_chunk, (void *)p);
}

/* --- outcomes --------------------------------------------------------------------------------- */

/* The row is a dead letter by now, and no head is written. */
static void chunk_refused(struct mirror *m, usec now, struct split *s, const struct payload *chunk)
{
    const struct buf key = {.data = (char *)s->head->key, .len = s->head->key_len};
    static const struct buf none = {.data = (char *)""};
    struct payload *about = split_beside(s->head, WRITE_DELETE, &key, &none);

    if (!about)
        abort(); /* systemd starts us anew; the journal still has the change */
    about->part = false;
    about->sent_after = chunk->sent_after;
    if (record_add(m, now, RECORD_UNWRITTEN, about, NULL, NULL, NULL, NULL) < 0)
        abort();
    owner_look_for_leaver(m, s->head);
    split_end(m, s);
}

/* Whose head waits for this chunk; NULL: nobody's any more. */
static struct split *split_of(const struct mirror *m, const struct payload *p, unsigned *index)
{
    struct oversize_key k;

    if (list_empty(&m->splits) || p->op != WRITE_PUT)
        return NULL;
    if (oversize_parse_key(p->key, p->key_len, &k) <= 0)
        abort(); /* it was one when it was made, and there is no memory */
    struct split *s = split_find(m, p->target, k.head.data, k.head.len);
    buf_free(&k.head);
    if (!s || s->stage != SPLIT_CHUNKS || k.index >= s->count ||
        memcmp(k.version, s->head->version, DIGEST_SIZE) != 0)
        return NULL;
    *index = k.index;
    return s;
}

bool split_is_awaited(const struct mirror *m, const struct payload *p)
{
    unsigned index;

    return split_of(m, p, &index) != NULL;
}

static void chunk_outcome(struct mirror *m, usec now, enum action_kind kind,
                          const struct payload *p)
{
    unsigned index = 0;
    struct split *s = split_of(m, p, &index);

    if (!s)
        return;
    if (kind == ACTION_REFUSED) {
        chunk_refused(m, now, s, p);
    } else if (!s->written[index]) {
        s->written[index] = true;
        s->missing--;
        split_turn(m, now);
    }
}

/* Nothing can be told at the moment: later. */
static void clean_later(struct mirror *m, const struct payload *head)
{
    const struct buf key = {.data = (char *)head->key, .len = head->key_len};
    static const struct buf none = {.data = (char *)""};
    struct split *s = calloc(1, sizeof *s);
    struct payload *about = s ? split_beside(head, WRITE_DELETE, &key, &none) : NULL;

    if (!about)
        abort(); /* as above */
    about->head = head->head;
    memcpy(about->version, head->version, DIGEST_SIZE);
    *s = (struct split){.stage = SPLIT_CLEANS,
                        .target = head->target,
                        .serial = engine_serial(m->engine),
                        .head = about};
    list_init(&s->link);
    list_push_back(&m->splits, &s->link);
}

void split_outcome(struct mirror *m, usec now, enum action_kind kind, const struct payload *p)
{
    if (p->part) {
        chunk_outcome(m, now, kind, p);
        return;
    }
    if (kind == ACTION_REFUSED || (!p->head && !m->targets[p->target]->split) ||
        split_has(m, p->target, p->key, p->key_len))
        return;
    if (m->state_broken || split_clean(m, now, p) < 0)
        clean_later(m, p);
}

/* --- those that are met again ------------------------------------------------------------------
 */

void split_judge_anew(struct mirror *m)
{
    buf_clear(&m->judged.key);
}

/* What the row in t->rows->values is written as: the digest of its item, and the version and number
 * of its chunks. 0, -EINVAL: it cannot be written; other negative. */
static int look_at_row(const struct table_slot *t, const struct buf *key, struct judged *out,
                       uint8_t digest[DIGEST_SIZE])
{
    _cleanup_(oversize_free) struct oversize o = {0};
    _cleanup_buf_ struct buf json = {0};
    struct item_fault fault;
    size_t size;
    int rc = item_encode_whole(t->plan, t->rows->values, &json, &size, &fault);

    if (rc < 0)
        return rc;
    out->count = 0;
    if (size <= oversize_limit(t->plan))
        return item_digest(json.data, json.len, digest);
    if (!t->plan->compress)
        return -EINVAL;
    if ((rc = oversize_pack(t->plan, &json, key, &o, &fault)) < 0)
        return rc;
    out->count = o.count;
    memcpy(out->version, o.version, DIGEST_SIZE);
    return item_digest(o.head.data, o.head.len, digest);
}

/* Is the head of `key` there as its row is now? Then *out says which chunks it names. */
static enum split_verdict look_at_head(struct mirror *m, uint32_t target, const struct buf *key,
                                       struct judged *out)
{
    uint8_t known[STORE_DIGEST_SIZE], digest[DIGEST_SIZE];
    uint32_t store_id = m->targets[target]->store_id;

    buf_clear(&out->row_key);
    if (!store_digest_get(m->store, store_id, key->data, key->len, known, &out->table))
        return store_digest_owner(m->store, store_id, key->data, key->len, &out->table,
                                  &out->row_key) == 0
                   ? CHUNK_HEADLESS
                   : CHUNK_UNKNOWN; /* it cannot be read */
    buf_clear(&m->key);
    buf_append(&m->key, key->data, key->len);
    if (!buf_ok(&m->key) || owner_recorded(m, target, &out->table, &out->row_key) <= 0)
        return CHUNK_UNKNOWN;
    struct table_slot *t = mirror_table_by_id(m, out->table);
    if (!t || !t->plan || t->target != target)
        return CHUNK_UNKNOWN;
    int rc = owner_row_has(m, t, out->row_key.data, out->row_key.len, key);
    rc = rc > 0 ? look_at_row(t, key, out, digest) : -ENOENT;
    if (t->rows)
        rows_end(t->rows->lookup);
    return rc == 0 && memcmp(digest, known, DIGEST_SIZE) == 0 ? CHUNK_WANTED : CHUNK_UNKNOWN;
}

/* Nothing is known of the head. A process that was killed may have written it, or it waits for its
 * row to be one that can be written: as long as the row has that key, what names the chunk is not
 * for certain gone. Where it is, the head goes first, if any is there; then split_clean() finds the
 * chunk by its name in the state file. */
static enum split_verdict judge_headless(struct mirror *m, uint32_t target, const void *key,
                                         size_t n, const struct buf *head)
{
    _cleanup_buf_ struct buf row_key = {0};
    uint32_t table = 0;
    int rc = store_digest_owner(m->store, m->targets[target]->store_id, key, n, &table, &row_key);
    struct table_slot *t = rc > 0 ? mirror_table_by_id(m, table) : NULL;

    if (rc < 0)
        return CHUNK_UNKNOWN;
    if (t && t->target == target && row_key.len &&
        owner_may_have(m, t, row_key.data, row_key.len, head))
        return CHUNK_UNKNOWN;
    return rc > 0 && m->targets[target]->split ? CHUNK_HEADLESS : CHUNK_UNWANTED;
}

const struct buf *split_judged_head(const struct mirror *m)
{
    return &m->judged.key;
}

enum split_verdict split_judge(struct mirror *m, uint32_t target, const void *key, size_t n,
                               uint32_t *table, struct buf *row_key)
{
    struct judged *j = &m->judged;
    struct oversize_key k;

    if (oversize_parse_key(key, n, &k) <= 0)
        return CHUNK_UNKNOWN;
    _cleanup_buf_ struct buf head = k.head;
    const struct payload of = {.target = target, .key = head.data, .key_len = head.len};
    if (is_for_another(m, &of))
        return CHUNK_BUSY;
    /* Chunks of a row come one after the other, and to look at it is to compress it. */
    if (!j->key.len || j->target != target || j->key.len != head.len ||
        memcmp(j->key.data, head.data, head.len) != 0) {
        buf_clear(&j->key);
        buf_append(&j->key, head.data, head.len);
        j->target = target;
        j->verdict = look_at_head(m, target, &head, j);
    }
    if (j->verdict == CHUNK_HEADLESS)
        return judge_headless(m, target, key, n, &head);
    if (j->verdict != CHUNK_WANTED)
        return j->verdict;
    *table = j->table;
    buf_append(row_key, j->row_key.data, j->row_key.len);
    return k.index < j->count && memcmp(k.version, j->version, DIGEST_SIZE) == 0 ? CHUNK_WANTED
                                                                                 : CHUNK_UNWANTED;
}
