/* Outcomes on their way to the store. Each is written into the store's open transaction at once, so
 * that the digests asked for next are true; its place in the journal is let go of only when the
 * transaction is durable. When the store cannot be written, all that was written since the last
 * commit is kept and written again. */
#include <errno.h>
#include <stdlib.h>

#include "base/failpoint.h"
#include "base/plant.h"
#include "mirror/internal.h"
#include "mirror/orphans.h"
#include "mirror/owned.h"
#include "mirror/suspects.h"

static void record_free(struct mirror *m, struct record *r)
{
    payload_free(r->payload);
    span_unref(r->span);
    free(r->column);
    free(r->reason);
    free(r->message);
    blocks_give(&m->idle_records, r);
}

void mirror_describe_row(const struct table_slot *t, const void *row_key, size_t n, struct buf *out)
{
    size_t count = t && t->plan ? t->plan->row_key_count : 0;
    _cleanup_free_ struct value *key = calloc(count ? count : 1, sizeof *key);

    if (count && key && values_decode(row_key, n, key, count) == 0)
        item_describe_key(t->plan, key, out);
    else
        buf_lit(out, "?");
}

static int put_dead_letter(struct mirror *m, const struct record *r)
{
    const struct payload *p = r->payload;
    const struct table_slot *t = mirror_table_by_id(m, p->table);
    _cleanup_buf_ struct buf key = {0};
    bool is_new = false;

    if (!t) /* mirrored no more */
        return 0;
    mirror_describe_row(t, p->row_key, p->row_key_len, &key);
    int64_t now = clock_wall() / USEC_PER_SEC;
    struct dead_letter d = {.table_id = p->table,
                            .table = t->name,
                            .target = m->targets[p->target]->name,
                            .key = key.data ? key.data : "?",
                            .row_key = p->row_key,
                            .row_key_len = p->row_key_len,
                            .column = r->column ? r->column : "",
                            .reason = r->reason ? r->reason : "refused",
                            .message = r->message ? r->message : "",
                            .first = now,
                            .last = now,
                            .serial = p->serial,
                            .target_id = m->targets[p->target]->store_id,
                            .remote_key = r->kind != RECORD_REFUSED && p->key_len ? p->key : NULL,
                            .remote_key_len = p->key_len};
    if (r->kind == RECORD_ORPHAN)
        d.target_id = STORE_AWAITS_ROW;
    int rc = store_dead_letter_put(m->store, &d, &is_new);
    FAILPOINT("dead_letter_put");
    if (rc == 0)
        m->edge.dead_letter(m->edge.arg, &d, is_new);
    return rc;
}

const char *records_owner(struct mirror *m, const struct payload *p)
{
    const struct table_slot *t = mirror_table_by_id(m, p->table);
    bool keep =
        p->part || !t || !t->plan || !t->plan->plain_key || m->targets[p->target]->contested;

    return keep ? p->row_key : NULL;
}

static int put_digest(struct mirror *m, const struct payload *p)
{
    uint32_t target = m->targets[p->target]->store_id;

    if (p->op == WRITE_DELETE)
        return store_digest_delete(m->store, target, p->key, p->key_len);
    return store_digest_put(m->store, target, p->key, p->key_len, p->digest, p->table,
                            records_owner(m, p), p->row_key_len);
}

/* A put that may be carried out leaves an item that nothing would know of, should its row go
 * unseen.
 */
static int put_suspect(struct mirror *m, const struct payload *p)
{
    const struct store_suspect x = {.target = m->targets[p->target]->store_id,
                                    .key = p->key,
                                    .key_len = p->key_len,
                                    .table = p->table,
                                    .row_key = p->row_key,
                                    .row_key_len = p->row_key_len,
                                    .until = p->sent_before};
    int rc = store_suspect_put(m->store, &x);

    if (rc < 0 || p->op != WRITE_PUT)
        return rc;
    return store_digest_suspect(m->store, x.target, p->key, p->key_len, p->table, p->row_key,
                                p->row_key_len);
}

/* A write that was refused leaves what is there, and nobody knows what that is. */
static int settle_suspect(struct mirror *m, const struct payload *p, enum record_kind kind)
{
    uint32_t target = m->targets[p->target]->store_id;
    int rc = store_suspect_clear(m->store, target, p->key, p->key_len, p->sent_after);

    if (rc <= 0 || kind != RECORD_REFUSED)
        return rc;
    return store_digest_doubt_item(m->store, target, p->key, p->key_len, p->table, p->row_key,
                                   p->row_key_len);
}

static int write_record(struct mirror *m, const struct record *r)
{
    const struct payload *p = r->payload;
    int rc = 0;

    if (!p)
        return 0;
    if (r->kind == RECORD_UNCONFIRMED)
        return put_suspect(m, p);
    if (r->kind == RECORD_UNWRITTEN)
        return settle_suspect(m, p, RECORD_REFUSED);
    if ((r->kind == RECORD_WRITTEN || r->kind == RECORD_REFUSED) &&
        (rc = settle_suspect(m, p, r->kind)) < 0)
        return rc;
    if (r->kind == RECORD_CAME)
        return PLANTED(ORPHANS_FORGOTTEN) ? 0 : store_row_came(m->store, 0, p->key, p->key_len);
    if (r->kind == RECORD_SUSPECT)
        return store_digest_suspect(m->store, m->targets[p->target]->store_id, p->key, p->key_len,
                                    p->table, p->row_key, p->row_key_len);
    if (PLANTED(DEAD_LETTER_DROPPED) && (r->kind == RECORD_FAULT || r->kind == RECORD_REFUSED))
        return 0;
    if (r->kind == RECORD_DOUBT)
        return store_digest_doubt_item(m->store, m->targets[p->target]->store_id, p->key,
                                       p->key_len, p->table, p->row_key, p->row_key_len);
    if (r->kind == RECORD_FAULT || r->kind == RECORD_ORPHAN ||
        (r->kind == RECORD_REFUSED && !p->left))
        return put_dead_letter(m, r);
    if (r->kind == RECORD_WRITTEN || (r->kind == RECORD_SPARED && !p->recorded))
        rc = put_digest(m, p);
    if (rc == 0 && (r->kind == RECORD_WRITTEN || r->kind == RECORD_SPARED))
        rc = split_remember(m, p);
    if (rc == 0 && !p->left && !p->part)
        rc = store_dead_letter_clear(m->store, p->table, p->row_key, p->row_key_len, p->serial);
    if (rc > 0)
        FAILPOINT("dead_letter_cleared");
    return rc < 0 ? rc : 0;
}

void records_store_failed(struct mirror *m, usec now)
{
    if (m->state_broken && now < m->state_retry)
        return;
    if (!m->state_broken)
        mirror_note(m, LOG_EV_ERROR, "state_unwritable",
                    "state file %s cannot be written: %s; nothing is acknowledged until it can",
                    store_path(m->store), store_error(m->store));
    err_set(&m->state_error, -EIO, "state file %s cannot be written: %s", store_path(m->store),
            store_error(m->store));
    store_rollback(m->store);
    m->rollbacks++;
    m->seen_kept = -1;
    if (!m->state_broken) /* what is tried meanwhile puts nothing off */
        m->state_retry = now + STORE_RETRY;
    m->state_broken = true;
}

static int flush_failed(struct mirror *m, usec now)
{
    records_store_failed(m, now);
    m->state_retry = now + STORE_RETRY;
    return -EIO;
}

static void count(struct mirror *m, const struct record *r)
{
    m->record_count++;
    m->record_bytes += r->payload ? r->payload->json_len : 0;
}

int record_add(struct mirror *m, usec now, enum record_kind kind, struct payload *p,
               struct span *span, const char *column, const char *reason, const char *message)
{
    struct record *r = blocks_take(&m->idle_records);

    if (!r)
        return -ENOMEM;
    *r = (struct record){.kind = kind, .payload = p, .span = span};
    r->column = column ? strdup(column) : NULL;
    r->reason = reason ? strdup(reason) : NULL;
    r->message = message ? strdup(message) : NULL;
    list_push_back(&m->records, &r->link);
    count(m, r);
    if (m->first_record == USEC_NEVER)
        m->first_record = now;
    if (!m->state_broken && write_record(m, r) < 0)
        records_store_failed(m, now);
    if (PLANTED(ACK_BEFORE_DIGEST) && p) {
        span_unref(p->journal);
        p->journal = NULL;
    }
    if (p)
        FAILPOINT("outcome_noted");
    return 0;
}

int records_kept(struct mirror *m, int rc)
{
    if (rc < 0)
        records_store_failed(m, m->now);
    return rc;
}

int records_commit(struct mirror *m, struct err *err)
{
    int rc = barrier_open(m) || !store_dirty(m->store) ? 0 : barrier_sync_now(m);

    if (rc < 0)
        return err_set(err, rc, "what the application wrote to database %s cannot be made durable",
                       m->config->database);
    return store_commit(m->store, err);
}

int records_sync(struct mirror *m, struct err *err)
{
    int rc = records_commit(m, err);

    rc = rc < 0 ? rc : store_sync(m->store, err);
    /* Of one that is under way the kernel may tell that it failed, and tells it once. */
    if (rc < 0 || m->state_broken || m->sync_pending)
        return rc;
    list_for_each(pos, after, &m->records)
    {
        container_of(pos, struct record, link)->durable = true;
    }
    return 0;
}

/* Known to the state file by the same id as one that tables have now: a key of the DynamoDB table
 * that is none any more. What is known of that one is older. */
static bool is_former(const struct mirror *m, uint32_t i)
{
    bool former = false;

    for (uint32_t k = 0; !owned_has_tables(m, i) && k < m->target_count; k++)
        former |= m->targets[k]->store_id == m->targets[i]->store_id && owned_has_tables(m, k);
    return former;
}

/* After the store failed: everything since the last commit once more, how far the loads are, which
 * tables it speaks of, and what is known of them: what was noted once is not noted again. */
static int rewrite(struct mirror *m)
{
    if (store_put_int(m->store, "paused_until", m->paused_until) < 0 || orders_keep(m) < 0 ||
        identity_keep_stranger(m) < 0 || suspects_keep_window(m) < 0)
        return -EIO;
    for (uint32_t i = 0; i < m->target_count; i++) {
        struct target_slot *t = m->targets[i];
        if (is_former(m, i))
            continue;
        if (t->view.open && !t->fresh && t->identity[0] &&
            store_target_identify(m->store, t->store_id, t->identity) < 0)
            return -EIO;
        if (suspects_keep(m, t) < 0 || owned_keep(m, t) < 0 || split_keep(m, t) < 0)
            return -EIO;
    }
    for (size_t i = 0; i < m->doubted_count; i++)
        if (store_digest_doubt(m->store, m->doubted[i]) < 0 ||
            suspects_shake_table(m, m->doubted[i]) < 0)
            return -EIO;
    for (size_t i = 0; i < m->table_count; i++) {
        const struct table_slot *t = &m->tables[i];
        static const struct buf none;
        /* Unless attached, there may be orders to compare that these tables do not know of. */
        if (t->plan && t->load == LOAD_DONE && m->attached &&
            store_table_progress(m->store, t->id, LOAD_DONE, &none, t->cookie) < 0)
            return -EIO;
        if (t->plan && ((m->attached && loader_order(m, t) < 0) || recheck_remember(m, t) < 0))
            return -EIO;
    }
    list_for_each(pos, after, &m->records)
    {
        struct record *r = container_of(pos, struct record, link);
        int rc = r->durable ? 0 : write_record(m, r);
        if (rc < 0)
            return rc;
    }
    if (m->attached && orders_forget_letters(m) < 0)
        return -EIO;
    /* A row that came meanwhile was awaited by nobody whom the store knew of. */
    return orphans_all_due(m);
}

usec mirror_flush_due(const struct mirror *m)
{
    if (m->sync_pending || !barrier_open(m) || (m->first_record == USEC_NEVER && !m->state_broken))
        return USEC_NEVER;
    if (m->state_broken)
        return m->state_retry;
    if (suspects_hold_reader(m) || split_wants_flush(m))
        return 0;
    struct engine_stats stats;
    engine_stats(m->engine, &stats);
    if (m->record_count >= RECORDS_MAX || m->record_bytes >= RECORDS_BYTES)
        return 0;
    if (stats.items)
        return m->first_record + FLUSH_DELAY;
    /* The last of a burst is kept at once; of many small ones in a row, several together. */
    return m->awaited ? 0 : m->last_flush + FLUSH_GAP;
}

void mirror_await(struct mirror *m, bool yes)
{
    m->awaited = yes;
}

int mirror_flush(struct mirror *m, usec now, int *fd)
{
    return mirror_flush_due(m) > now ? 0 : mirror_flush_now(m, now, fd);
}

int mirror_flush_now(struct mirror *m, usec now, int *fd)
{
    if (m->sync_pending || !barrier_open(m))
        return 0;
    if (m->state_broken && rewrite(m) < 0)
        return flush_failed(m, now);
    FAILPOINT("store_committing");
    /* What had to be durable before anything of it is sent is written anew among the rest. */
    int (*keep)(struct store * s, struct err * err) = m->state_broken ? store_sync : store_commit;
    if (ack_remember_seen(m) < 0 || suspects_flush(m) < 0 || keep(m->store, NULL) < 0)
        return flush_failed(m, now);
    FAILPOINT("store_committed");
    if (m->state_broken) {
        m->state_broken = false;
        mirror_note(m, LOG_EV_INFO, "state_writable", "state file %s can be written again",
                    store_path(m->store));
    }
    list_append(&m->syncing, &m->records);
    m->record_count = m->record_bytes = 0;
    m->first_record = USEC_NEVER;
    m->flushes_begun++;
    m->last_flush = now;
    *fd = store_wal_fd(m->store);
    if (*fd < 0) {
        mirror_flushed(m, now, true);
        return 0;
    }
    m->sync_pending = true;
    return 1;
}

void mirror_flushed(struct mirror *m, usec now, bool durable)
{
    m->now = now;
    m->sync_pending = false;
    if (!durable) {
        /* What the kernel says was not written may be gone: keep it, and write it again. */
        while (!list_empty(&m->syncing)) {
            struct list *last = m->syncing.prev;
            list_remove(last);
            list_push_front(&m->records, last);
            count(m, container_of(last, struct record, link));
        }
        if (m->first_record == USEC_NEVER)
            m->first_record = now;
        store_wal_unsynced(m->store);
        records_store_failed(m, now);
        return;
    }
    FAILPOINT("store_durable");
    suspects_flushed(m);
    m->flushes_durable = m->flushes_begun;
    while (!list_empty(&m->syncing)) {
        struct list *first = m->syncing.next;
        list_remove(first);
        record_free(m, container_of(first, struct record, link));
    }
    FAILPOINT("outcomes_let_go");
    split_turn(m, now);
}

void records_begin(struct mirror *m)
{
    list_init(&m->records);
    list_init(&m->syncing);
    m->idle_records = (struct blocks){.size = sizeof(struct record), .most = RECORDS_MAX};
}

void records_free(struct mirror *m)
{
    struct list *lists[] = {&m->records, &m->syncing};

    for (size_t i = 0; i < 2; i++)
        while (!list_empty(lists[i])) {
            struct list *first = lists[i]->next;
            list_remove(first);
            record_free(m, container_of(first, struct record, link));
        }
}
