/* Digests of a version-4 file, a row a key, become blocks: read in their order, a block at a time.
 */
#include <errno.h>

#include "state/internal.h"

struct packing {
    sqlite3_stmt *in, *out;
    int64_t target;
    struct buf from; /* where the block's range begins */
    struct digest_block block;
};

static int write_block(struct packing *p)
{
    if (!p->block.count)
        return SQLITE_OK;
    sqlite3_bind_int64(p->out, 1, (int64_t)p->block.count);
    store_bind_blob(p->out, 2, p->block.bytes.data, p->block.bytes.len);
    sqlite3_bind_int64(p->out, 3, p->target);
    store_bind_blob(p->out, 4, p->from.data, p->from.len);
    int rc = sqlite3_step(p->out);
    sqlite3_reset(p->out);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* The last entry begins the next block. */
static int turn_over(struct packing *p)
{
    struct digest_block full = {0}, next = {0};
    struct buf border = {0};
    size_t last = p->block.count - 1;
    int rc = SQLITE_NOMEM;

    if (digest_block_pack(&full, &p->block, 0, last) == 0 &&
        digest_block_pack(&next, &p->block, last, last + 1) == 0 &&
        digest_block_border(&full, &next, &border) == 0) {
        digest_block_free(&p->block);
        p->block = full;
        rc = write_block(p);
        full = (struct digest_block){0};
    }
    digest_block_free(&full);
    digest_block_free(&p->block);
    buf_free(&p->from);
    p->block = next;
    p->from = border;
    return rc;
}

static int next_target(struct packing *p, int64_t target)
{
    int rc = write_block(p);

    digest_block_free(&p->block);
    buf_clear(&p->from);
    p->target = target;
    return rc;
}

/* The row that is read: g, k, d, t, o. */
static int take_row(struct packing *p)
{
    static const uint8_t unknown[DIGEST_BYTES];
    const void *key = sqlite3_column_blob(p->in, 1);
    size_t n = (size_t)sqlite3_column_bytes(p->in, 1), at = p->block.count;
    struct digest_fact f = {.digest = sqlite3_column_blob(p->in, 2),
                            .table = (uint32_t)sqlite3_column_int64(p->in, 3)};
    int rc = SQLITE_OK;

    if (sqlite3_column_bytes(p->in, 2) != DIGEST_BYTES)
        f.digest = unknown;
    if (sqlite3_column_type(p->in, 4) != SQLITE_NULL) {
        f.row_key = sqlite3_column_blob(p->in, 4);
        f.row_key_len = (size_t)sqlite3_column_bytes(p->in, 4);
        if (!f.row_key) /* none, and yet kept */
            f.row_key = "";
    }
    if (p->target != sqlite3_column_int64(p->in, 0))
        rc = next_target(p, sqlite3_column_int64(p->in, 0));
    if (rc != SQLITE_OK)
        return rc;
    if (digest_block_find(&p->block, key, n, &at) || at != p->block.count)
        return SQLITE_CORRUPT;
    if (digest_block_insert(&p->block, at, key, n, &f) < 0)
        return SQLITE_NOMEM;
    return p->block.bytes.len > DIGEST_BLOCK_FULL && p->block.count > 1 ? turn_over(p) : SQLITE_OK;
}

int digests_upgrade(struct store *s, const char *tables)
{
    struct packing p = {.target = -1};
    int rc = sqlite3_exec(s->db, tables, NULL, NULL, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(s->db, "SELECT g, k, d, t, o FROM digest ORDER BY g, k", -1, &p.in,
                                NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(
            s->db, "INSERT INTO digest_block(n, v, g, k) VALUES(?1, ?2, ?3, ?4)", -1, &p.out, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(p.in)) == SQLITE_ROW)
        rc = take_row(&p);
    if (rc == SQLITE_DONE)
        rc = write_block(&p);
    sqlite3_finalize(p.in);
    sqlite3_finalize(p.out);
    digest_block_free(&p.block);
    buf_free(&p.from);
    return rc == SQLITE_OK ? sqlite3_exec(s->db, "DROP TABLE digest", NULL, NULL, NULL) : rc;
}
