/* Rows that refer to a row which is not there (source/references.h), of tables that are to leave
 * such rows out: orphans = skip or dead-letter.
 *
 * A row is judged whenever it would be sent, in the snapshot that it is read in. One that is left
 * out is a dead letter, with what it awaits beside it; the item that it may have from before stays
 * as it is, as that of any dead letter. So nothing is to be done when a row goes that others refer
 * to: their items stay, until they are read again themselves.
 *
 * When a row is read that others may await, those that do are noted as due, in the transaction of
 * the state file that its own outcome is in at the latest: from then on they are read again until
 * something has come of it, whatever happens in between. They are read in passes, some at a time,
 * as there may be very many. At each start and after each change of the schema all of them are due,
 * because what they refer to, or whether they are to be left out at all, may be another matter. */
#include <errno.h>
#include <stdlib.h>

#include "mirror/internal.h"
#include "mirror/orphans.h"
#include "mirror/suspects.h"

enum { PAGE = 500 };
/* From one pass to the next: at least, and where nothing could be done in it. */
#define PASS_PAUSE (100 * USEC_PER_MSEC)
#define PASS_WAIT  (5 * USEC_PER_SEC)

/* --- what refers to what ---------------------------------------------------------------------- */

int orphans_attach(struct mirror *m, const struct catalog *c)
{
    const struct table_plan **plans = calloc(m->table_count + 1, sizeof *plans);
    bool any = false;
    int rc = plans ? SQLITE_OK : SQLITE_NOMEM;

    for (size_t i = 0; plans && i < m->table_count; i++) {
        plans[i] = m->tables[i].plan;
        any |= plans[i] && plans[i]->guarded;
    }
    if (any)
        rc = references_read(m->source, c, plans, m->table_count, &m->orphans.references);
    free(plans);
    for (size_t i = 0; rc == SQLITE_OK && i < m->orphans.references.count; i++) {
        const struct reference *r = &m->orphans.references.list[i];
        for (size_t k = 0; r->child->guarded && !r->note && !r->unheeded && k < m->table_count; k++)
            m->tables[k].referred_to |= m->tables[k].plan == r->parent;
    }
    if (rc == SQLITE_OK && orphans_look_again(m, 0) < 0)
        rc = STATE_FAILED;
    return rc;
}

void orphans_detach(struct mirror *m, bool all)
{
    if (all)
        references_close(&m->orphans.references);
    else
        references_attach(&m->orphans.references, NULL);
}

/* --- judging ---------------------------------------------------------------------------------- */

bool orphans_is_letter(const struct dead_letter *d)
{
    return strcmp(d->reason, "orphan") == 0 || strcmp(d->reason, STORE_SKIPPED) == 0;
}

/* What the reference has in common with the row that it names, in few bytes. */
static int awaited_key(const struct reference *r, const struct value *row, bool parent,
                       struct buf *out)
{
    _cleanup_buf_ struct buf all = {0};
    uint8_t digest[DIGEST_SIZE];

    reference_key(r, row, parent, &all);
    if (!buf_ok(&all) || item_digest(all.data, all.len, digest) < 0)
        return -ENOMEM;
    buf_append(out, digest, sizeof digest);
    return buf_ok(out) ? 0 : -ENOMEM;
}

int orphans_judge(struct mirror *m, const struct table_slot *t, struct item_fault *fault,
                  struct buf *awaits)
{
    const struct value *row = t->rows->values;
    _cleanup_buf_ struct buf what = {0};
    int rc;

    if (m->orphans.references.source != m->source)
        references_attach(&m->orphans.references, m->source);
    const struct reference *r = references_missing(&m->orphans.references, t->plan, row, &rc);
    if (!r)
        return rc;
    reference_describe(r, row, &what);
    if (!buf_ok(&what) || awaited_key(r, row, false, awaits) < 0)
        return -ENOMEM;
    fault_set(fault, r->columns, t->plan->skips ? STORE_SKIPPED : "orphan",
              "%.120s: table \"%.80s\" has no such row", what.data, r->parent_name);
    return 1;
}

/* --- the other row ---------------------------------------------------------------------------- */

static int make_due(struct mirror *m, uint32_t table)
{
    int rc = store_row_came(m->store, table, NULL, 0);

    m->orphans.due = m->orphans.anew |= store_has_dead_letters(m->store);
    return rc;
}

int orphans_all_due(struct mirror *m)
{
    return make_due(m, 0);
}

int orphans_look_again(struct mirror *m, uint32_t table)
{
    int rc = records_kept(m, make_due(m, table));

    if (store_dirty(m->store) && m->first_record == USEC_NEVER)
        m->first_record = m->now;
    return rc;
}

static int note_that_it_came(struct mirror *m, usec now, const struct reference *r,
                             const struct buf *key)
{
    static const struct buf none = {.data = (char *)""};
    const struct table_slot *child = mirror_table_named(m, r->child->table);
    struct payload *p = child ? payload_new(WRITE_DELETE, key, &none, &none) : NULL;

    if (!p)
        return child ? -ENOMEM : 0;
    p->table = child->id;
    p->target = child->target;
    m->orphans.due = m->orphans.anew = true;
    int rc = record_add(m, now, RECORD_CAME, p, NULL, NULL, NULL, NULL);
    if (rc < 0)
        payload_free(p);
    return rc;
}

int orphans_row_came(struct mirror *m, usec now, const struct table_slot *t, int found)
{
    if (found == SQLITE_DONE || !store_has_dead_letters(m->store))
        return 0;
    if (found == SQLITE_TOOBIG) /* its values are not at hand */
        return orphans_look_again(m, 0);
    for (size_t i = 0; i < m->orphans.references.count; i++) {
        const struct reference *r = &m->orphans.references.list[i];
        _cleanup_buf_ struct buf key = {0};
        if (r->parent != t->plan || !r->child->guarded || r->note || r->unheeded)
            continue;
        if (awaited_key(r, t->rows->values, true, &key) < 0)
            return -ENOMEM;
        int rc = records_kept(m, store_row_awaited(m->store, key.data, key.len));
        if (rc > 0)
            rc = note_that_it_came(m, now, r, &key);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* --- those that are due ----------------------------------------------------------------------- */

bool orphans_pending(const struct mirror *m)
{
    return m->orphans.due;
}

usec orphans_deadline(const struct mirror *m)
{
    const struct orphans *o = &m->orphans;

    if (!o->due || !m->attached || m->state_broken)
        return USEC_NEVER;
    return o->again > m->now ? o->again : m->now + PASS_PAUSE;
}

struct due {
    uint32_t table;
    int64_t id;
    size_t awaits_len, row_key_len;
};

static void collect(void *arg, const struct dead_letter *d)
{
    const struct due head = {.table = d->table_id,
                             .id = d->id,
                             .awaits_len = d->remote_key_len,
                             .row_key_len = d->row_key_len};

    buf_append(arg, &head, sizeof head);
    buf_append(arg, d->remote_key, d->remote_key_len);
    buf_append(arg, d->row_key, d->row_key_len);
}

/* One whose table cannot be written now is passed over, and stays due. */
static int look_at(struct mirror *m, usec now, const struct due *d, const char *row_key)
{
    const struct table_slot *t = mirror_table_by_id(m, d->table);

    if (!t || !t->plan || t->skipped || !m->targets[t->target]->view.open ||
        !room_to_go_on(m, now, t->target))
        return 0;
    return orders_retry_row(m, now, d->table, row_key, d->row_key_len, false);
}

/* A page of the pass, inside a read transaction. *end: it was the last. */
static int read_page(struct mirror *m, usec now, bool *end)
{
    struct orphans *o = &m->orphans;
    _cleanup_buf_ struct buf page = {0};
    const struct dead_letter after = {
        .id = o->after_id, .remote_key = o->after.data, .remote_key_len = o->after.len};
    usec began = clock_monotonic();
    int n = store_rows_due(m->store, &after, PAGE, collect, &page), rc = 0;

    if (n < 0 || !buf_ok(&page))
        return n < 0 ? n : -ENOMEM;
    *end = n < PAGE;
    for (size_t at = 0; rc >= 0 && at < page.len;) {
        struct due d;
        memcpy(&d, page.data + at, sizeof d);
        const char *awaits = page.data + at + sizeof d;
        if ((rc = look_at(m, now, &d, awaits + d.awaits_len)) < 0)
            break;
        at += sizeof d + d.awaits_len + d.row_key_len;
        buf_clear(&o->after);
        buf_append(&o->after, awaits, d.awaits_len);
        o->after_id = d.id;
        m->moved++;
        o->read += rc > 0;
        if (clock_monotonic() - began > READ_TIME / 2 && at < page.len) {
            *end = false;
            break;
        }
    }
    return rc < 0 || !buf_ok(&o->after) ? -EIO : 0;
}

static void end_pass(struct mirror *m, usec now)
{
    struct orphans *o = &m->orphans;

    buf_clear(&o->after);
    o->after_id = 0;
    o->serial = engine_serial(m->engine);
    o->again = now + (o->read || o->anew ? PASS_PAUSE : PASS_WAIT);
    o->read = 0;
}

/* Has something come of all that was offered in the pass before? */
static bool pass_is_over(const struct mirror *m)
{
    for (uint32_t i = 0; i < m->target_count; i++)
        if (split_oldest(m, i) < m->orphans.serial)
            return false;
    return true;
}

/* Is there one that is due? */
static bool any_due(struct mirror *m)
{
    _cleanup_buf_ struct buf one = {0};

    return store_rows_due(m->store, NULL, 1, collect, &one) != 0;
}

static bool may_read(struct mirror *m, usec now)
{
    struct orphans *o = &m->orphans;

    if (o->after_id)
        return mirror_room(m, now, SHARE_LOADS);
    if (!any_due(m)) {
        o->due = o->anew = false;
        return false;
    }
    if (now < o->again && !o->anew)
        return false;
    if (!pass_is_over(m) || !mirror_room(m, now, SHARE_LOADS)) {
        o->again = now + PASS_PAUSE;
        return false;
    }
    o->anew = false;
    return true;
}

unsigned orphans_slice(struct mirror *m, usec now)
{
    bool same, end = false;
    int rc = -EIO;

    if (!m->orphans.due || m->state_broken || !may_read(m, now))
        return 0;
    if (suspects_loose(m) == 0 && source_begin(m->source) == SQLITE_OK) {
        if (reader_check(m, &same) == SQLITE_OK && same)
            rc = read_page(m, now, &end);
        source_end(m->source, SQLITE_OK); /* it has only read */
        barrier_read(m);
    }
    if (rc == 0 && !end)
        return MIRROR_MORE;
    end_pass(m, now);
    return 0;
}
