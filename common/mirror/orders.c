/* What an operator asks for: detach, attach, uninstall, resync, approve, dead letters. */
#include <errno.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "mirror/internal.h"
#include "mirror/offer.h"
#include "mirror/orphans.h"
#include "mirror/owned.h"
#include "mirror/suspects.h"

int orders_need_source(struct mirror *m, struct err *err)
{
    usec until = clock_monotonic() + ORDER_PATIENCE;

    if (m->source)
        return 0;
    m->attached = m->resting = false;
    /* A commit in rollback mode shuts others out for a moment. */
    while ((m->problem = source_open(m->config->database, &m->source, &m->problem_text)) ==
               SOURCE_LOCKED &&
           clock_monotonic() < until)
        usleep(USEC_PER_MSEC);
    m->woken = m->ever_attached;
    return m->problem == SOURCE_OK ? 0 : err_set(err, -EIO, "%s", m->problem_text.text);
}

static int put_order(struct mirror *m, int64_t order, struct err *err)
{
    if (records_kept(m, store_put_int(m->store, "detached", order)) < 0)
        return err_set(err, -EIO, "state file %s cannot be written: %s", store_path(m->store),
                       store_error(m->store));
    return records_kept(m, records_sync(m, err));
}

int orders_keep(struct mirror *m)
{
    return m->order_failed ? store_put_int(m->store, "detached", m->order_before) : 0;
}

int orders_withdraw(struct mirror *m)
{
    if (!m->order_failed)
        return 0;
    int rc = put_order(m, m->order_before, NULL);

    m->order_failed = rc < 0;
    return rc;
}

int orders_attached(struct mirror *m)
{
    return m->reattaching ? put_order(m, ORDER_NONE, NULL) : 0;
}

/* What an order that fails leaves standing: what the file says now, unless that is of one that has
 * failed. */
static int recall_order(struct mirror *m, struct err *err)
{
    int64_t before = ORDER_NONE;
    int rc = m->order_failed ? 0 : store_get_int(m->store, "detached", &before);

    if (rc < 0 && rc != -ENOENT)
        return err_set(err, rc, "state file %s cannot be read: %s", store_path(m->store),
                       store_error(m->store));
    if (!m->order_failed)
        m->order_before = before;
    return 0;
}

/* Where everything was out before, nobody needs the connection. */
static int order_fails(struct mirror *m, int rc)
{
    m->order_failed = true;
    if (m->detached || m->uninstalled)
        mirror_close_source(m);
    return rc;
}

/* The order is durable before the triggers go, so that nobody puts them back. */
static int take_out(struct mirror *m, int64_t order, struct err *err)
{
    int rc = orders_need_source(m, err);

    rc = rc < 0 ? rc : recall_order(m, err);
    if (rc < 0)
        return rc;
    rc = put_order(m, order, err);
    /* What could not be made durable may stand in the file all the same. */
    if (rc < 0)
        return order_fails(m, rc);
    m->order_failed = false;
    FAILPOINT("detach_ordered");
    m->attached = false;
    journal_close(take_ptr(m->journal));
    m->source->patience = ORDER_PATIENCE;
    int sq = capture_remove(m->source, order == ORDER_UNINSTALL);
    m->source->patience = 0;
    if (sq != SQLITE_OK) {
        source_problem_of(m->source, sq, "taking the triggers out", err);
        rc = order_fails(m, -EBUSY);
        orders_withdraw(m);
        return rc;
    }
    FAILPOINT("triggers_removed");
    targets_unwatched(m);
    mirror_close_source(m);
    m->adopting = m->reattaching = false; /* what was still to be attached is not any more */
    m->detached = order != ORDER_UNINSTALL;
    m->handed_over = order == ORDER_HAND_OVER;
    m->uninstalled = order == ORDER_UNINSTALL;
    return 0;
}

int mirror_detach(struct mirror *m, struct err *err)
{
    return take_out(m, ORDER_DETACH, err);
}

int mirror_uninstall(struct mirror *m, struct err *err)
{
    return take_out(m, ORDER_UNINSTALL, err);
}

/* `adopt`: as a database of its own. An order that is not kept leaves no trace: whatever comes in
 * the database's place later would be taken for the one that it was about. */
static int attach_ordered(struct mirror *m, bool adopt, struct err *err)
{
    int rc = recall_order(m, err);

    if (rc < 0)
        return rc;
    bool was_out = m->order_before != ORDER_NONE || m->uninstalled || m->reattaching;
    int64_t order = adopt ? ORDER_ADOPT : ORDER_ATTACH;
    rc = put_order(m, was_out ? order : ORDER_NONE, err);
    m->order_failed = rc < 0;
    if (rc < 0)
        return rc;
    FAILPOINT("attach_ordered");
    m->adopting = adopt;
    m->reattaching = was_out;
    m->held = false;
    m->detached = m->uninstalled = m->handed_over = m->attached = false;
    m->ever_attached = false; /* the journal is judged anew, as at a start */
    if ((rc = orders_need_source(m, err)) < 0)
        return rc;
    usec until = clock_monotonic() + ORDER_PATIENCE;
    enum source_problem p;
    do
        p = mirror_attach(m, clock_monotonic());
    while (p == SOURCE_LOCKED && clock_monotonic() < until);
    if (m->held)
        return err_set(err, -EINVAL, "%s", m->held_text.text);
    if (p == SOURCE_OK && !m->attached) /* it is, once that can be written */
        return err_set(err, -EIO, "%s", m->state_error.text);
    return p == SOURCE_OK ? 0 : err_set(err, -EIO, "%s", m->problem_text.text);
}

int mirror_attach_order(struct mirror *m, struct err *err)
{
    return attach_ordered(m, m->adopting, err);
}

int mirror_adopt(struct mirror *m, struct err *err)
{
    /* Where only DynamoDB tables are held the database stays who it is. */
    int rc = attach_ordered(m, m->held || !owned_any_held(m), err);

    if (rc == 0 && owned_adopt_all(m) < 0)
        rc = err_set(err, -EIO, "state file %s cannot be written: %s", store_path(m->store),
                     store_error(m->store));
    return rc;
}

/* Handed over before this start: which DynamoDB tables they are, whose markers are owed, attaching
 * tells. Nothing is sent there, for the state file knows them as handed over. */
static int know_handed(struct mirror *m, struct err *err)
{
    if (!m->handed_over || m->target_count)
        return 0;
    int rc = orders_need_source(m, err);

    if (rc < 0 || (rc = attach_ordered(m, false, err)) == 0)
        return rc;
    mirror_close_source(m);
    if (put_order(m, ORDER_HAND_OVER, NULL) == 0) {
        m->adopting = m->reattaching = false;
        m->detached = m->handed_over = true;
    }
    return rc;
}

int mirror_hand_over(struct mirror *m, struct err *err)
{
    int rc = know_handed(m, err);

    if (rc < 0)
        return rc;
    if (owned_hand_over(m) < 0)
        return err_set(err, -EIO, "state file %s cannot be written: %s", store_path(m->store),
                       store_error(m->store));
    rc = take_out(m, ORDER_HAND_OVER, err);
    if (rc < 0)
        owned_hand_back(m);
    return rc;
}

int mirror_take_back(struct mirror *m, struct err *err)
{
    int rc = mirror_attach_order(m, err);

    if (rc == 0 && owned_take_back(m) < 0)
        rc = err_set(err, -EIO, "state file %s cannot be written: %s", store_path(m->store),
                     store_error(m->store));
    return rc;
}

int mirror_resync(struct mirror *m, const char *table, bool full, struct err *err)
{
    int count = 0;

    for (size_t i = 0; i < m->table_count; i++) {
        struct table_slot *t = &m->tables[i];
        if (!t->plan || (table && strcasecmp(t->name, table) != 0))
            continue;
        if (t->canary && table)
            continue;
        if (records_kept(m, mirror_load_again(m, t, full)) < 0)
            return err_set(err, -EIO, "state file %s cannot be written: %s", store_path(m->store),
                           store_error(m->store));
        count += !t->canary;
    }
    if (!count)
        return err_set(err, -ENOENT, "no table \"%s\" is mirrored; see `syncctl tables`",
                       table ? table : "*");
    FAILPOINT("load_ordered");
    int rc = records_kept(m, records_sync(m, err));
    return rc < 0 ? rc : count;
}

/* For the database that was held, as it was: if another comes in its place, that is held anew. */
static int approve_database(struct mirror *m)
{
    if (!m->held ||
        records_kept(m, store_put(m->store, "approved", m->held_as, sizeof m->held_as)) < 0 ||
        records_kept(m, records_sync(m, NULL)) < 0)
        return 0;
    m->held = m->attached = false;
    return 1;
}

int mirror_approve(struct mirror *m)
{
    int count = approve_database(m) + owned_approve(m);

    for (size_t i = 0; i < m->table_count; i++) {
        struct table_slot *t = &m->tables[i];
        if (!t->held)
            continue;
        t->held = false;
        t->approved = true;
        t->sweep = SWEEP_START; /* counted anew: the rows may have changed meanwhile */
        count++;
    }
    return count;
}

/* --- dead letters ----------------------------------------------------------------------------- */

struct letters {
    struct mirror *mirror;
    uint32_t table;   /* 0: of all */
    bool one;         /* that was asked for by its id */
    int orphans;      /* those that await another row */
    struct buf *keys; /* table id, length, row key … */
    int count;
};

static void collect_letter(void *arg, const struct dead_letter *d)
{
    struct letters *l = arg;
    uint32_t head[2] = {d->table_id, (uint32_t)d->row_key_len};

    if (l->table && l->table != d->table_id)
        return;
    if (orphans_is_letter(d) && !l->one) { /* there may be very many: in their own turn */
        l->orphans++;
        return;
    }
    buf_append(l->keys, head, sizeof head);
    buf_append(l->keys, d->row_key, d->row_key_len);
    l->count++;
}

/* The entry that the row at hand would have, into `entry`. SQLITE_DONE, and `entry` as it was, when
 * the row is another, which its collation takes for the one with that key. */
static int entry_of_row(struct mirror *m, struct table_slot *t, int found, const char *row_key,
                        size_t n, struct value *entry)
{
    const struct table_plan *p = t->plan;
    buf_clear(&m->entry);
    int rc = rows_found_key(t->rows, entry, &m->entry);

    if (rc != SQLITE_ROW || !buf_ok(&m->entry))
        return rc == SQLITE_DONE ? rc : SQLITE_NOMEM;
    if (m->entry.len < n || memcmp(m->entry.data, row_key, n) != 0)
        return SQLITE_DONE;
    return values_decode(m->entry.data, m->entry.len, entry, p->entry_count) < 0 ? SQLITE_NOMEM
                                                                                 : found;
}

/* A row that is gone has had its delete in the journal. */
int orders_retry_row(struct mirror *m, usec now, uint32_t id, const void *bytes, size_t n,
                     bool force)
{
    struct table_slot *t = mirror_table_by_id(m, id);

    if (!t)
        return 0;
    if (!m->attached || !m->source || mirror_rows(m, t) != SQLITE_OK)
        return -EIO;
    const struct table_plan *p = t->plan;
    _cleanup_free_ struct value *key = calloc(p->entry_count, sizeof *key);
    if (!key)
        return -ENOMEM;
    if (values_decode(bytes, n, key, p->row_key_count) < 0)
        return 0;
    int rc = rows_lookup(t->rows, key);
    if (rc == SQLITE_ROW || rc == SQLITE_TOOBIG)
        rc = entry_of_row(m, t, rc, bytes, n, key);
    buf_clear(&m->row_key);
    buf_append(&m->row_key, bytes, n);
    if (!buf_ok(&m->row_key))
        rc = SQLITE_NOMEM;
    /* A killed process may have had another row's item on its way to the key it takes. */
    if (rc == SQLITE_ROW || rc == SQLITE_TOOBIG)
        suspects_entry(m, t, 0, key);
    if (rc == SQLITE_ROW || rc == SQLITE_DONE || rc == SQLITE_TOOBIG)
        rc = offer_row(m, now, t, key, rc, force, NULL, NULL);
    rows_end(t->rows->lookup);
    return rc == 0 ? 1 : -EIO;
}

/* A transaction in which the database is the one that was looked at last: nobody asked for another
 * one's rows. */
static bool begin_look(struct mirror *m)
{
    bool same = false;

    if (!m->attached || !m->source)
        return false;
    m->source->patience = READ_PATIENCE;
    int rc = source_begin(m->source);
    m->source->patience = 0;
    if (rc != SQLITE_OK)
        return false;
    if (reader_check(m, &same) == SQLITE_OK && same)
        return true;
    source_end(m->source, SQLITE_OK);
    return false;
}

/* How many were tried; *failed: some could not be. */
static int retry_letters(struct mirror *m, usec now, int64_t id, uint32_t table, bool *failed)
{
    _cleanup_buf_ struct buf keys = {0};
    struct letters l = {.keys = &keys, .table = table, .one = id != 0};
    int n = store_dead_letters(m->store, id, collect_letter, &l), done = 0;

    if (n < 0 || !buf_ok(&keys) || (l.count && (suspects_loose(m) < 0 || !begin_look(m))))
        return -EIO;
    const char *at = keys.data;
    for (int i = 0; i < l.count; i++) {
        uint32_t head[2];
        memcpy(head, at, sizeof head);
        at += sizeof head;
        int rc = orders_retry_row(m, now, head[0], at, head[1], true);
        struct table_slot *t = rc > 0 ? mirror_table_by_id(m, head[0]) : NULL;
        if (t && recheck_offered(m, t) < 0)
            rc = -EIO;
        *failed |= rc < 0;
        done += rc > 0;
        at += head[1];
    }
    if (l.count)
        source_end(m->source, SQLITE_OK); /* it has only read */
    if (l.orphans)
        *failed |= orphans_look_again(m, table) < 0;
    return done + l.orphans;
}

static void collect_moot(void *arg, const struct dead_letter *d)
{
    struct letters *l = arg;

    if (!mirror_table_by_id(l->mirror, d->table_id)) {
        buf_append(l->keys, &d->id, sizeof d->id);
        l->count++;
    }
}

int orders_forget_letters(struct mirror *m)
{
    _cleanup_buf_ struct buf ids = {0};
    struct letters l = {.mirror = m, .keys = &ids};
    int rc = 0;

    if (store_dead_letters(m->store, 0, collect_moot, &l) < 0 || !buf_ok(&ids))
        return -EIO;
    for (int i = 0; rc >= 0 && i < l.count; i++) {
        int64_t id;
        memcpy(&id, ids.data + (size_t)i * sizeof id, sizeof id);
        rc = store_dead_letter_delete(m->store, id);
    }
    return rc < 0 ? rc : 0;
}

int orders_recheck_letters(struct mirror *m, usec now, uint32_t table)
{
    bool failed = false;

    if (store_dead_letter_count(m->store, table) != 0 &&
        retry_letters(m, now, 0, table, &failed) < 0)
        failed = true;
    return failed ? -EIO : 0;
}

int mirror_dead_letters_retry(struct mirror *m, usec now, int64_t id)
{
    bool failed = false;

    rest_wake(m);
    int done = retry_letters(m, now, id, 0, &failed);

    mirror_timer(m, now);
    return failed && done == 0 ? -EIO : done;
}

int mirror_dead_letters_discard(struct mirror *m, int64_t id)
{
    int rc = records_kept(m, store_dead_letter_delete(m->store, id));

    if (rc > 0 &&
        records_kept(m, store_put_int(m->store, "discarded", (int64_t)++m->discarded)) < 0)
        return -EIO;
    if (rc >= 0 && records_kept(m, records_sync(m, NULL)) < 0)
        return -EIO;
    return rc;
}
