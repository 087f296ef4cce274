/* Writes of uncertain outcome. A request that timed out, or that a killed process had sent, may be
 * carried out as long as the service admits it, also after newer writes of its keys. Each of its
 * keys is a suspect in the state file until then: newer values go at once as always, but what is
 * known of the key is not believed; and once no older write can come any more, the key is sent
 * again as its row is then.
 *
 *     unanswered ------> suspect until sent + horizon -----> sent again ---> written: settled
 *                          |  ^ unanswered again: until later
 *                          `--- (a write sent after `until` settles it as well)
 *
 * What a killed process left behind: windows.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/failpoint.h"
#include "base/plant.h"
#include "mirror/internal.h"
#include "mirror/offer.h"
#include "mirror/suspects.h"

#define LOOK_AGAIN (1 * USEC_PER_SEC)

usec suspects_time(const struct mirror *m, bool latest)
{
    return m->edge.service_time ? m->edge.service_time(m->edge.arg, latest) : clock_wall();
}

/* --- becoming one ----------------------------------------------------------------------------- */

void suspects_sent(struct mirror *m, const struct request *r)
{
    usec after = suspects_time(m, false), before = suspects_time(m, true);

    for (unsigned i = 0; i < r->count; i++) {
        r->writes[i]->sent_after = after;
        r->writes[i]->sent_before = before;
    }
}

static void add(struct mirror *m, enum write_op op, const struct buf *key,
                const struct buf *row_key, uint32_t table, uint32_t target, usec until)
{
    static const struct buf none = {.data = (char *)""};
    struct payload *about = payload_new(NULL, op, key, row_key, &none);

    if (!about)
        abort(); /* systemd starts us anew, and then it is known as one of a killed process */
    about->table = table;
    about->target = target;
    about->sent_before = until;
    if (record_add(m, m->now, RECORD_UNCONFIRMED, about, NULL, NULL, NULL, NULL) < 0)
        abort();
}

void suspects_left_open(void *arg, const struct payload *p)
{
    struct mirror *m = arg;
    const struct buf key = {.data = (char *)p->key, .len = p->key_len};
    const struct buf row_key = {.data = (char *)p->row_key, .len = p->row_key_len};

    add(m, p->op, &key, &row_key, p->table, p->target,
        p->sent_before + (PLANTED(SHORT_HORIZON) ? m->config->unconfirmed_horizon / 16
                                                 : m->config->unconfirmed_horizon));
    FAILPOINT("suspect_noted");
}

/* Until nothing of a killed process can come any more. Before this one has begun nobody knows when
 * that is; suspects_begin() raises it then. */
static usec windows_over(const struct mirror *m)
{
    return m->suspects.window_until != USEC_NEVER
               ? m->suspects.window_until
               : suspects_time(m, true) + m->config->unconfirmed_horizon;
}

/* Also once its time is over, until it is closed: what was carried out at the last moment may stand
 * where a row was sent before, whose entry is read only now.
 */
static bool stands(const struct mirror *m)
{
    return m->suspects.window_until != 0;
}

void suspects_key(struct mirror *m, const struct table_slot *t, enum shaken at_least)
{
    if (m->targets[t->target]->shaken >= at_least && stands(m))
        add(m, WRITE_DELETE, &m->key, &m->row_key, t->id, t->target, windows_over(m));
}

static int add_chunk(struct mirror *m, void *arg, const struct buf *key)
{
    const struct table_slot *t = arg;

    add(m, WRITE_DELETE, key, &m->row_key, t->id, t->target, windows_over(m));
    return 0;
}

/* With the chunks that may have been on their way for it. */
static void add_entry(struct mirror *m, const struct table_slot *t, const struct value *entry)
{
    struct item_fault fault;

    buf_clear(&m->key);
    if (item_key(t->plan, entry, &m->key, NULL, &fault) < 0 || !buf_ok(&m->key))
        return;
    add(m, WRITE_DELETE, &m->key, &m->row_key, t->id, t->target, windows_over(m));
    if (split_chunks(m, t->target, &m->key, add_chunk, (void *)t) < 0)
        abort(); /* as in add() */
}

void suspects_entry(struct mirror *m, const struct table_slot *t, int64_t seq,
                    const struct value *entry)
{
    bool sent = seq <= m->suspects.window || m->targets[t->target]->shaken;

    if (sent && stands(m))
        add_entry(m, t, entry);
}

void suspects_chunk(struct mirror *m, const struct payload *head, const struct buf *key)
{
    const struct buf row_key = {.data = (char *)head->row_key, .len = head->row_key_len};

    if (stands(m))
        add(m, WRITE_DELETE, key, &row_key, head->table, head->target, windows_over(m));
}

void suspects_row(struct mirror *m, const struct table_slot *t, const struct value *entry)
{
    if (m->targets[t->target]->shaken == SHAKEN_ROWS && stands(m))
        add_entry(m, t, entry);
}

/* --- being sent again ------------------------------------------------------------------------- */

bool suspects_due(const struct mirror *m)
{
    return store_suspect_count(m->store) > 0 &&
           store_suspect_first(m->store) <= suspects_time(m, false);
}

usec suspects_overdue(const struct mirror *m)
{
    usec first = store_suspect_first(m->store), now = suspects_time(m, false);

    return first < now ? now - first : 0;
}

bool suspects_call(const struct mirror *m)
{
    return store_suspect_count(m->store) > 0 && m->attached && !m->paused && !m->held &&
           clock_monotonic() >= m->suspects.next_look && suspects_due(m);
}

/* One whose time is over, with bytes of its own. */
struct due {
    struct store_suspect of;
    const char *key, *row_key;
    struct dropped *dropped;  /* its table is, and its items go */
    struct table_slot *table; /* its own table, or the one that answers for its item now; or NULL */
    uint32_t target;
};

struct page {
    struct buf bytes; /* struct store_suspect, key, row key ... */
    int count;
    bool chunks; /* some are */
};

static void collect(void *arg, const struct store_suspect *x)
{
    struct page *p = arg;

    p->chunks |= oversize_parse_key(x->key, x->key_len, NULL) != 0; /* or there is no memory */
    buf_append(&p->bytes, x, sizeof *x);
    buf_append(&p->bytes, x->key, x->key_len);
    buf_append(&p->bytes, x->row_key, x->row_key_len);
    p->count++;
}

static bool is_of(const struct mirror *m, const struct table_slot *t, uint32_t store_id)
{
    return t && m->targets[t->target]->store_id == store_id;
}

/* The table that an item of an id that is nobody's any more falls to, or NULL: as a comparison has
 * it. 0 or negative. */
static int heir(struct mirror *m, uint32_t store_id, uint32_t id, struct table_slot **out)
{
    int rc = 0;

    *out = NULL;
    for (size_t i = 0; rc == 0 && !*out && i < m->table_count; i++) {
        struct table_slot *t = &m->tables[i];
        bool mine = false;
        if (!t->plan || !is_of(m, t, store_id))
            continue;
        rc = sweep_is_of(m, t, id, &mine);
        *out = mine ? t : NULL;
    }
    return rc;
}

static bool find_target(const struct mirror *m, struct due *d)
{
    for (size_t i = 0; i < m->table_count; i++)
        if (m->tables[i].plan && is_of(m, &m->tables[i], d->of.target)) {
            d->target = m->tables[i].target;
            return true;
        }
    for (size_t i = 0; i < m->dropped_count; i++)
        if (is_of(m, &m->dropped[i].table, d->of.target)) {
            d->target = m->dropped[i].table.target;
            return true;
        }
    return false;
}

enum verdict { WAIT, SEND, LET_GO };

/* Or negative. */
static int judge(struct mirror *m, usec now, struct due *d)
{
    int rc = 0;

    if (!find_target(m, d))
        return LET_GO; /* of a table that is mirrored no more: its items stay as they are */
    for (size_t i = 0; i < m->dropped_count; i++)
        if (m->dropped[i].table.id == d->of.table)
            d->dropped = &m->dropped[i];
    d->table = mirror_table_by_id(m, d->of.table);
    if (!is_of(m, d->table, d->of.target))
        rc = heir(m, d->of.target, d->of.table, &d->table);
    if (rc < 0)
        return rc;
    if (d->table)
        d->target = d->table->target;
    else if (d->dropped)
        d->target = d->dropped->table.target;
    const struct target_slot *target = m->targets[d->target];
    if (!target->view.open || (d->dropped && !d->dropped->deleting) ||
        split_has(m, d->target, d->key, d->of.key_len) || !room_to_go_on(m, now, d->target))
        return WAIT;
    /* A row that has the key may not have been loaded yet. */
    for (size_t i = 0; target->contested && i < m->table_count; i++)
        if (m->tables[i].plan && m->tables[i].target == d->target && m->tables[i].load == LOAD_ROWS)
            return WAIT;
    return SEND;
}

static int again(struct mirror *m, usec now, struct table_slot *t, const struct due *d,
                 const struct buf *row_key)
{
    const struct offered_item i = {.key = d->key,
                                   .key_len = d->of.key_len,
                                   .row_key = row_key->data,
                                   .row_key_len = row_key->len,
                                   .force = true};

    return offer_again(m, now, t, &i);
}

static int gone(struct mirror *m, usec now, const struct due *d, const struct buf *key)
{
    struct table_slot *t = d->table ? d->table : d->dropped ? &d->dropped->table : NULL;
    const struct offered_item i = {.key = key->data,
                                   .key_len = key->len,
                                   .row_key = d->row_key,
                                   .row_key_len = d->of.row_key_len};

    return t ? offer_gone(m, now, t, &i) : 0;
}

static int send_again(struct mirror *m, usec now, const struct due *d)
{
    const struct buf own = {.data = (char *)d->row_key, .len = d->of.row_key_len}, none = {0};
    _cleanup_buf_ struct buf row_key = {0};
    uint32_t id = 0;
    int rc = store_digest_owner(m->store, d->of.target, d->key, d->of.key_len, &id, &row_key);
    struct table_slot *owner = rc > 0 ? mirror_table_by_id(m, id) : NULL;

    if (rc < 0)
        return rc;
    rc = owner && owner->target == d->target ? again(m, now, owner, d, &row_key) : 0;
    if (rc == 0 && d->table)
        rc = again(m, now, d->table, d, d->table->id == d->of.table ? &own : &none);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    const struct buf key = {.data = (char *)d->key, .len = d->of.key_len};
    return gone(m, now, d, &key);
}

/* No write comes of it: its row cannot be written, or nobody mirrors it any more. What is there is
 * not known from now on, and a table that comes back is compared. */
static int let_go(struct mirror *m, const struct due *d)
{
    static const struct buf none;
    const struct store_suspect *x = &d->of;
    struct store_table known = {0};
    int rc = store_digest_doubt_item(m->store, x->target, d->key, x->key_len, x->table,
                                     x->row_key_len ? d->row_key : NULL, x->row_key_len);

    if (rc == 0 && !mirror_table_by_id(m, x->table) &&
        store_table_by_id(m->store, x->table, &known) == 0 && known.load != LOAD_GONE)
        rc = store_table_progress(m->store, x->table, LOAD_ROWS, &none, 0);
    store_table_clear(&known);
    if (rc == 0)
        rc = store_suspect_clear(m->store, x->target, d->key, x->key_len, INT64_MAX);
    if (m->first_record == USEC_NEVER)
        m->first_record = m->now;
    return rc < 0 ? rc : 0;
}

/* A chunk: with all of its row where it is wanted, and else it goes. */
static int send_chunk(struct mirror *m, usec now, const struct due *d, enum verdict *v)
{
    const struct buf key = {.data = (char *)d->key, .len = d->of.key_len};
    _cleanup_buf_ struct buf row_key = {0};
    struct oversize_key k;
    uint32_t id = 0;
    int rc = 0;

    enum split_verdict chunk = split_judge(m, d->target, d->key, d->of.key_len, &id, &row_key);
    if (chunk == CHUNK_BUSY)
        *v = WAIT;
    if (chunk == CHUNK_UNWANTED)
        return gone(m, now, d, &key);
    if (chunk == CHUNK_HEADLESS) {
        const struct buf *head = split_judged_head(m);
        rc = gone(m, now, d, head);
        *v = split_has(m, d->target, head->data, head->len) ? WAIT : *v;
        return rc;
    }
    struct table_slot *t = chunk == CHUNK_WANTED ? mirror_table_by_id(m, id) : NULL;
    if (!t)
        return 0;
    if (oversize_parse_key(d->key, d->of.key_len, &k) < 0)
        return -ENOMEM;
    const struct offered_item i = {.key = k.head.data,
                                   .key_len = k.head.len,
                                   .row_key = row_key.data,
                                   .row_key_len = row_key.len,
                                   .force = true};
    rc = offer_again(m, now, t, &i);
    *v = rc > 0 ? WAIT : *v;
    buf_free(&k.head);
    return rc < 0 ? rc : 0;
}

static int look_at(struct mirror *m, usec now, struct due *d)
{
    /* With what the state file has just taken back may have gone whose the item is. */
    int judged = m->state_broken ? -EIO : judge(m, now, d);
    if (judged < 0)
        return judged;
    enum verdict v = (enum verdict)judged;
    bool chunk = oversize_parse_key(d->key, d->of.key_len, NULL) > 0;
    int rc = v != SEND ? 0 : chunk ? send_chunk(m, now, d, &v) : send_again(m, now, d);

    if (rc < 0 || v == WAIT || (v == SEND && split_has(m, d->target, d->key, d->of.key_len)))
        return rc;
    return let_go(m, d);
}

/* Was it the database that could not be read, or the state file? */
static int what_failed(const struct mirror *m)
{
    int rc = sqlite3_errcode(m->source->db);

    return (rc & 0xff) == SQLITE_ROW || (rc & 0xff) == SQLITE_DONE || rc == SQLITE_TOOBIG || !rc
               ? STATE_FAILED
               : rc;
}

static int look_at_page(struct mirror *m, usec now, const struct page *p)
{
    struct suspects *x = &m->suspects;
    const char *at = p->bytes.data;
    int64_t version;
    int rc = source_schema_version(m->source, &version);

    split_judge_anew(m);
    if (rc == SQLITE_OK && version != m->schema_version)
        m->attached = false;
    for (int i = 0; rc == SQLITE_OK && m->attached && i < p->count; i++) {
        struct due d = {0};
        memcpy(&d.of, at, sizeof d.of);
        d.key = at + sizeof d.of;
        d.row_key = d.key + d.of.key_len;
        at = d.row_key + d.of.row_key_len;
        int looked = look_at(m, now, &d);
        if (looked < 0)
            return looked == -ENOMEM ? SQLITE_NOMEM : what_failed(m);
        buf_clear(&x->after_key);
        buf_append(&x->after_key, d.key, d.of.key_len);
        x->after = d.of;
    }
    return buf_ok(&x->after_key) ? rc : SQLITE_NOMEM;
}

/* A pass over all of them is over: those that were offered settle meanwhile. */
static void begin_anew(struct mirror *m, usec now)
{
    m->suspects.after = (struct store_suspect){.until = INT64_MIN};
    buf_clear(&m->suspects.after_key);
    m->suspects.next_look = now + LOOK_AGAIN;
}

unsigned suspects_slice(struct mirror *m, usec now)
{
    struct suspects *x = &m->suspects;
    struct page p = {0};

    if (now < x->next_look || m->state_broken)
        return 0;
    suspects_close_window(m);
    if (m->paused || m->held || !suspects_due(m)) {
        begin_anew(m, now);
        return 0;
    }
    if (!mirror_room(m, now, SHARE_LOADS))
        return 0;
    x->after.key = x->after_key.data;
    int n =
        store_suspect_page(m->store, suspects_time(m, false), &x->after, READ_LIMIT, collect, &p);
    _cleanup_buf_ struct buf bytes = p.bytes;
    if (n < 0 || !buf_ok(&bytes)) {
        records_store_failed(m, now);
        return 0;
    }
    /* With a chunk its head is sent, which need not be suspect itself: should this process be
     * killed, nothing else tells of that. */
    if (p.chunks && suspects_loose(m) < 0)
        return 0;
    int rc = source_begin(m->source);
    if (rc == SQLITE_OK) {
        rc = look_at_page(m, now, &p);
        source_end(m->source, SQLITE_OK); /* it has only read */
        barrier_read(m);
    }
    if (rc == STATE_FAILED)
        records_store_failed(m, now);
    else if ((rc & 0xff) == SQLITE_BUSY || rc == SQLITE_NOMEM)
        return MIRROR_BUSY;
    else if (rc != SQLITE_OK)
        mirror_fail(m, rc, "reading rows again");
    if (rc == SQLITE_OK && n == READ_LIMIT)
        return MIRROR_MORE;
    begin_anew(m, now);
    return 0;
}
