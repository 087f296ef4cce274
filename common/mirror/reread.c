/* Rows of writes that were sent and came back (unprocessed, throttled, failed) are read again
 * before they go again: the engine asks when their turn has come, and the answer is what the row is
 * then, a put or a delete. One read transaction, in the turn of the reader, answers all that is
 * asked; a row that is as it was costs no sync.
 *
 * The place in the journal, or in a load, stays that of the write which came back; so the windows
 * of what may have been sent hold for what is read here, too.
 *
 * Some go as they are:
 * - where the database cannot be read at the moment: it is locked, held, detached or gone, or a
 *   table is not looked at yet. A write must not wait for that: it was true when it was read, and
 *   is durable. In rollback mode it waits with the reader for a pause of the writers, whom reading
 *   would keep from committing; that is half a second at most;
 * - while the state file cannot be written, because it tells whose an item is;
 * - those of tables that are mirrored no more, whose rows nobody reads;
 * - a delete whose row has not come back: there is nothing newer to be said of it. Where rows may
 *   meet at one key, another row's put follows from its own entry;
 * - heads and chunks of rows that are split (split.h);
 * - a row that can no longer be mapped: it is a dead letter, as if its entry had been read. */
#include <errno.h>

#include "mirror/internal.h"
#include "mirror/offer.h"

enum { AT_ONCE = 64 }; /* keys that are collected before the clock is asked */

struct wanted {
    enum write_op op;
    bool split; /* a head or a chunk */
    uint32_t table, target;
    size_t key_len, row_key_len;
};

static void collect(void *arg, const struct payload *p)
{
    struct buf *out = arg;
    const struct wanted head = {.op = p->op,
                                .split = p->head || p->part,
                                .table = p->table,
                                .target = p->target,
                                .key_len = p->key_len,
                                .row_key_len = p->row_key_len};

    buf_append(out, &head, sizeof head);
    buf_append(out, p->key, p->key_len);
    buf_append(out, p->row_key, p->row_key_len);
}

static int read_again(struct mirror *m, usec now, const struct wanted *w, const char *key)
{
    struct table_slot *t = mirror_table_by_id(m, w->table);
    const struct offered_item i = {.key = key,
                                   .key_len = w->key_len,
                                   .row_key = key + w->key_len,
                                   .row_key_len = w->row_key_len};

    if (!t || t->target != w->target || w->split)
        return 0;
    int rc = offer_again(m, now, t, &i);
    if (rc == 0 && w->op == WRITE_PUT)
        rc = offer_gone(m, now, t, &i);
    return rc < 0 ? rc : 0;
}

/* Some of those from *ticket on, which is moved behind them. Negative when they cannot be read. */
static int read_some(struct mirror *m, usec now, uint64_t *ticket, bool *more)
{
    _cleanup_buf_ struct buf bytes = {0};
    uint64_t next = engine_asked(m->engine, *ticket, AT_ONCE, collect, &bytes);
    int rc = buf_ok(&bytes) ? 0 : -ENOMEM;

    *more = next != *ticket;
    for (size_t at = 0; rc == 0 && at < bytes.len;) {
        struct wanted w;
        memcpy(&w, bytes.data + at, sizeof w);
        rc = read_again(m, now, &w, bytes.data + at + sizeof w);
        at += sizeof w + w.key_len + w.row_key_len;
    }
    *ticket = next;
    return rc;
}

/* Inside a read transaction. */
static int read_all(struct mirror *m, usec now, uint64_t *ticket)
{
    usec began = clock_monotonic();
    bool same, more = true;

    if (reader_check(m, &same) != SQLITE_OK || !same)
        return -EIO;
    int rc = 0;
    while (rc == 0 && more && clock_monotonic() - began < READ_TIME / 2)
        rc = read_some(m, now, ticket, &more);
    return rc;
}

static bool readable(const struct mirror *m)
{
    return m->attached && m->source && !m->state_broken &&
           (m->source->wal || !source_being_written(m->source));
}

unsigned reread_slice(struct mirror *m, usec now, unsigned reader)
{
    uint64_t ticket = 0, serial = engine_serial(m->engine);
    int rc = -EIO;

    m->reread = true;
    if (!engine_asks(m->engine) || reader & MIRROR_LATER)
        return 0;
    if (!(reader & MIRROR_BUSY) && readable(m) && source_begin(m->source) == SQLITE_OK) {
        rc = read_all(m, now, &ticket);
        source_end(m->source, SQLITE_OK); /* it has only read */
    }
    if (engine_serial(m->engine) != serial)
        barrier_read(m);
    mirror_act(m, now, &(struct event){.kind = EVENT_KEEP, .serial = rc < 0 ? UINT64_MAX : ticket});
    return engine_asks(m->engine) ? MIRROR_MORE : 0;
}
