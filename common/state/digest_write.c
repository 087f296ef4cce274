/* Blocks that were changed: cut up, joined, written (digest_cache.h). */
#include <errno.h>
#include <string.h>

#include "state/digest_slots.h"
#include "state/internal.h"

enum { MANY = 16 };

/* Other bytes, as many as there were, in the row's place: without the cost of a statement, which is
 * most of it. false: by a statement, then, which also tells what is wrong. */
static bool write_over(struct store *s, const struct digest_slot *slot)
{
    struct digest_cache *c = &s->digests;
    int n = (int)slot->block.bytes.len;

    if (!slot->id || slot->stored != (int64_t)slot->block.count ||
        slot->stored_bytes != slot->block.bytes.len || !s->dirty || sqlite3_get_autocommit(s->db))
        return false;
    int rc = c->writer
                 ? sqlite3_blob_reopen(c->writer, slot->id)
                 : sqlite3_blob_open(s->db, "main", "digest_block", "v", slot->id, 1, &c->writer);
    if (rc == SQLITE_OK && sqlite3_blob_bytes(c->writer) == n &&
        sqlite3_blob_write(c->writer, slot->block.bytes.data, n, 0) == SQLITE_OK)
        return true;
    digests_end_writing(s);
    return false;
}

void digests_end_writing(struct store *s)
{
    sqlite3_blob_close(s->digests.writer);
    s->digests.writer = NULL;
}

/* A new one is put at `row`, unless that is 0. */
static int write_row(struct store *s, const struct digest_slot *slot, int64_t row)
{
    sqlite3_stmt *stmt = store_statement(s, slot->id ? ST_DIGEST_WRITE : ST_DIGEST_ADD);

    if (!stmt)
        return store_run(s, NULL);
    sqlite3_bind_int64(stmt, 1, (int64_t)slot->block.count);
    store_bind_blob(stmt, 2, slot->block.bytes.data, slot->block.bytes.len);
    if (slot->id) {
        sqlite3_bind_int64(stmt, 3, slot->id);
        return store_run(s, stmt);
    }
    sqlite3_bind_int64(stmt, 3, slot->target);
    store_bind_blob(stmt, 4, slot->from.data, slot->from.len);
    if (row)
        sqlite3_bind_int64(stmt, 5, row);
    return store_run(s, stmt);
}

static int remove_row(struct store *s, int64_t id)
{
    sqlite3_stmt *stmt = store_statement(s, ST_DIGEST_REMOVE);

    if (stmt)
        sqlite3_bind_int64(stmt, 1, id);
    return store_run(s, stmt);
}

/* Entries [from, to) of what was the block of `left` become the block behind it. */
static int cut_off(struct digest_cache *c, struct digest_slot *left,
                   const struct digest_block *whole, size_t from, size_t to)
{
    struct buf border = {0};
    struct digest_block block = {0};
    struct digest_slot *right = NULL;
    int rc = c->count + 1 < CACHE_SLOTS + CACHE_PIECES ? digest_block_pack(&block, whole, from, to)
                                                       : -ENOMEM;

    if (rc == 0)
        rc = digest_block_border(&left->block, &block, &border);
    if (rc == 0 && !(right = slot_new(c, left->target, border.data, border.len)))
        rc = -ENOMEM;
    if (rc < 0 || !right) {
        digest_block_free(&block);
        buf_free(&border);
        return rc;
    }
    digest_block_free(&right->block);
    buf_free(&right->end);
    right->block = block;
    right->end = left->end;
    right->end_head = left->end_head;
    right->upto = left->upto;
    right->used = right->dirty = true;
    left->end = border;
    left->end_head = right->from_head;
    left->upto = UPTO_KEY;
    slots_weigh(c, left);
    slots_add(c, right);
    return 0;
}

static struct digest_slot *next_of(const struct digest_cache *c, const struct digest_slot *slot)
{
    return c->slots[slots_index(c, slot) + 1];
}

/* Does it hold keys that came in no order? */
static bool is_random(const struct digest_slot *slot)
{
    return 2 * slot->in_order < slot->put;
}

/* Into blocks that may be written, which stand side by side: how many, or negative. Keys that came
 * in their order fill one after the other; else all have room for what comes. Nothing is written or
 * dropped. */
static int cut_up(struct digest_cache *c, struct digest_slot *slot)
{
    struct digest_block whole = slot->block;
    size_t full = slot_full(slot), bytes = full, at;
    int pieces = 1, rc;

    if (is_random(slot)) {
        size_t even = whole.bytes.len / (whole.bytes.len / slot_shared(slot) + 1);
        bytes = even + whole.bytes.len / whole.count;
        bytes = bytes < full ? bytes : full;
    }
    slot->block = (struct digest_block){0};
    slot->put = slot->in_order = 0;
    slot->last = SIZE_MAX;
    at = digest_block_fit(&whole, 0, bytes);
    rc = digest_block_pack(&slot->block, &whole, 0, at);
    while (rc == 0 && at < whole.count) {
        size_t to = digest_block_fit(&whole, at, bytes);
        if ((rc = cut_off(c, slot, &whole, at, to)) == 0) {
            slot = next_of(c, slot);
            pieces++;
            at = to;
        }
    }
    digest_block_free(&whole);
    return rc < 0 ? rc : pieces;
}

/* An empty block goes, in the file and here. */
static int write_piece(struct store *s, struct digest_slot *slot, int64_t row)
{
    struct digest_cache *c = &s->digests;
    int rc;

    if (!slot->block.count) {
        rc = slot->id ? remove_row(s, slot->id) : 0;
        if (rc == 0)
            slots_drop(c, slots_index(c, slot));
        return rc;
    }
    bool over = c->dirty >= MANY || c->writer ? write_over(s, slot) : false;
    if (!over && (rc = write_row(s, slot, row)) < 0)
        return rc;
    if (!slot->id)
        slot->id = sqlite3_last_insert_rowid(s->db);
    slot->stored = (int64_t)slot->block.count;
    slot->stored_bytes = slot->block.bytes.len;
    slot->dirty = false;
    c->dirty--;
    return 0;
}

static void mark(struct digest_cache *c, struct digest_slot *slot)
{
    slots_weigh(c, slot);
    c->dirty += !slot->dirty;
    slot->dirty = true;
}

/* What `right` holds becomes the slot's. */
static int join(struct store *s, struct digest_slot *slot, struct digest_slot *right)
{
    struct digest_cache *c = &s->digests;
    int64_t id = right->id;
    int rc = digest_block_join(&slot->block, &right->block);

    if (rc < 0)
        return rc;
    struct buf end = slot->end;
    slot->end = right->end;
    slot->end_head = right->end_head;
    slot->upto = right->upto;
    slot->last = SIZE_MAX;
    right->end = end;
    mark(c, slot);
    slots_drop(c, slots_index(c, right));
    return id ? remove_row(s, id) : 0;
}

/* The block behind is taken in; *row is where it stood. 1; 0 when there is none. That it cannot be
 * read is told by whoever needs it. */
static int take_in_next(struct store *s, struct digest_slot *slot, int64_t *row)
{
    struct digest_slot *right = NULL;

    if (digests_find_end(s, slot) < 0 || slot->upto != UPTO_KEY ||
        digests_find(s, DIGEST_LOOKS, slot->target, slot->end.data, slot->end.len, &right) <= 0 ||
        right == slot || !right->block.count)
        return 0;
    *row = right->id;
    int rc = join(s, slot, right);
    return rc < 0 ? rc : 1;
}

/* Cut in two, blocks would be half empty for long where keys come in no order. So those behind are
 * taken in first, until all have room in as many blocks as there were, or in one more that is not
 * half empty either. */
static int share(struct store *s, struct digest_slot *slot, int64_t rows[CACHE_SHARE])
{
    int rc = 1;

    for (size_t n = 0; rc > 0 && n < CACHE_SHARE && is_random(slot) &&
                       slot->block.bytes.len > (n + 1) * slot_shared(slot);
         n++)
        rc = take_in_next(s, slot, &rows[n]);
    return rc < 0 ? rc : 0;
}

static int write_slot(struct store *s, struct digest_slot *slot)
{
    struct digest_cache *c = &s->digests;
    int64_t rows[CACHE_SHARE] = {0}; /* those that are free again, near their neighbours */
    int pieces = 1, rc = 0;

    if (slot_exceeds(slot, slot_full(slot)) && (rc = share(s, slot, rows)) == 0)
        pieces = cut_up(c, slot);
    if (rc < 0 || pieces < 0)
        return rc < 0 ? rc : pieces;
    size_t at = slots_index(c, slot), next = 0;
    for (int i = 0; rc == 0 && i < pieces; i++) {
        struct digest_slot *piece = c->slots[at + (size_t)i];
        int64_t row = 0;
        /* All of them before SQLite chooses one, which might be one of them. */
        while (!piece->id && !row && next < CACHE_SHARE)
            row = rows[next++];
        rc = write_piece(s, piece, row);
    }
    return rc;
}

/* In the order of their keys, all but those that moved meanwhile, so that neighbours become
 * neighbours in the file. */
int digests_write(struct store *s)
{
    struct digest_cache *c = &s->digests;

    for (size_t i = 0; c->dirty; i++) {
        if (i >= c->count)
            i = 0; /* some have moved */
        if (!c->slots[i]->dirty)
            continue;
        int rc = write_slot(s, c->slots[i]);
        if (rc < 0)
            return rc;
        slots_make_room(c);
    }
    digests_end_writing(s);
    return 0;
}

/* Back to what may be kept. */
static int relieve(struct store *s)
{
    struct digest_cache *c = &s->digests;
    struct digest_slot *x;
    int rc = 0;

    slots_make_room(c);
    while (rc == 0 && c->dirty && (c->dirty > CACHE_DIRTY || c->bytes > CACHE_BYTES) &&
           (x = slots_pick(c, true))) {
        rc = write_slot(s, x);
        slots_make_room(c);
    }
    return rc;
}

int digests_changed(struct store *s, struct digest_slot *slot)
{
    mark(&s->digests, slot);
    return relieve(s);
}

int digests_grown(struct store *s, struct digest_slot *slot, size_t at)
{
    struct digest_cache *c = &s->digests;
    int rc = 0;

    mark(c, slot);
    slot->put++;
    slot->in_order += at == slot->last + 1 || at + 1 == slot->block.count;
    slot->last = at;
    if (slot_exceeds(slot, CACHE_BLOCK))
        rc = cut_up(c, slot);
    return rc < 0 ? rc : relieve(s);
}

/* A block that has become small goes together with the one behind it, where both have room. */
static int join_next(struct store *s, struct digest_slot *slot)
{
    struct digest_slot *right = NULL;
    int rc = digests_find_end(s, slot);

    if (rc < 0 || slot->upto != UPTO_KEY)
        return rc;
    rc = digests_find(s, DIGEST_LOOKS, slot->target, slot->end.data, slot->end.len, &right);
    if (rc <= 0 || right == slot || !right->block.count ||
        slot->block.bytes.len + right->block.bytes.len > DIGEST_BLOCK_FULL / 4 * 3)
        return rc < 0 ? rc : 0;
    return join(s, slot, right);
}

int digests_shrunk(struct store *s, struct digest_slot *slot)
{
    int rc = 0;

    mark(&s->digests, slot);
    slot->last = SIZE_MAX;
    if (slot->block.count && slot->block.bytes.len <= DIGEST_BLOCK_FULL / 4)
        rc = join_next(s, slot);
    return rc < 0 ? rc : relieve(s);
}
