/* What is known of whose a target is, and what holds it: see mirror.h. In the store, for each
 * target, bits (OWNED_) and the lives of the state file that its marker may name. */
#include <errno.h>
#include <stdio.h>

#include "base/failpoint.h"
#include "mirror/internal.h"
#include "mirror/owned.h"
#include "mirror/suspects.h"

bool owned_is_canarys(const struct mirror *m, uint32_t i)
{
    return m->canary < m->table_count && m->tables[m->canary].target == i;
}

bool owned_alone(const struct mirror *m, uint32_t i)
{
    return m->targets[i]->owned & OWNED_ALONE && !mirror_target_source(m, i)[0];
}

/* --- what is known ---------------------------------------------------------------------------- */

static void owned_name(const struct target_slot *t, char name[32])
{
    snprintf(name, 32, "owned:%u", t->store_id);
}

static void show(struct target_slot *t)
{
    t->view.alone = t->owned & OWNED_ALONE;
    t->view.owing = t->owned & OWNED_AGAIN || !(t->owned & OWNED_SEEN);
    t->view.handed_over = t->owned & OWNED_HANDED;
    t->view.take_over = t->owned & OWNED_TAKE;
    t->view.taken_back = t->owned & OWNED_BACK;
    t->view.adopted = t->owned & OWNED_ADOPTED;
}

int owned_put(struct mirror *m, struct target_slot *t, unsigned owned)
{
    char name[32];

    owned_name(t, name);
    /* While the state file is behind it may not have what is known here. */
    bool kept = owned == t->owned && !m->state_broken;
    int rc = kept ? 0 : store_put_int(m->store, name, owned);
    if (rc == 0)
        t->owned = owned;
    show(t);
    return rc;
}

void owned_unmade(struct mirror *m, struct target_slot *t)
{
    t->owned &= ~(unsigned)(OWNED_SEEN | OWNED_ALONE);
    show(t);
    /* What the state file says of the one before must not pass to one that comes next. */
    if (!m->state_broken)
        records_kept(m, owned_keep(m, t));
}

void owned_done(struct mirror *m, struct target_slot *t, unsigned orders)
{
    char name[32];

    if (!(t->owned & orders))
        return;
    owned_name(t, name);
    t->owned &= ~orders;
    show(t);
    if (!m->state_broken)
        records_kept(m, store_put_int(m->store, name, t->owned));
    if (m->first_record == USEC_NEVER)
        m->first_record = m->now;
}

int owned_keep(struct mirror *m, const struct target_slot *t)
{
    char name[32];

    owned_name(t, name);
    return store_put_int(m->store, name, t->owned);
}

int owned_recall(struct mirror *m, struct target_slot *t)
{
    char name[32];
    int64_t owned = 0;

    owned_name(t, name);
    int rc = store_get_int(m->store, name, &owned);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    /* One that was written before anybody looked is ours as far as it goes. Told apart once and for
     * all: what is kept of rows that cannot be written is no sign of that later. */
    if (rc == -ENOENT) {
        if (store_digest_count(m->store, t->store_id) > 0)
            owned = OWNED_SEEN | OWNED_ADOPTED;
        records_kept(m, store_put_int(m->store, name, owned));
    }
    t->owned = (unsigned)owned;
    t->view.foreign = -1;
    show(t);
    return 0;
}

void owned_owe(struct target_slot *t)
{
    t->owned |= OWNED_AGAIN;
    show(t);
}

int owned_again(struct mirror *m, struct target_slot *t)
{
    return records_kept(m, owned_put(m, t, t->owned | OWNED_AGAIN));
}

int owned_all_anew(struct mirror *m)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < m->target_count; i++) {
        struct target_slot *t = m->targets[i];
        unsigned owned = t->owned | OWNED_ADOPTED | OWNED_AGAIN;
        rc = owned_put(m, t, t->view.open ? owned : owned & ~(unsigned)OWNED_SEEN);
    }
    return records_kept(m, rc < 0 || !store_dirty(m->store) ? rc : records_sync(m, NULL));
}

bool owned_tables_known(const struct mirror *m, uint32_t i)
{
    bool any = m->attached;

    for (size_t k = 0; !any && k < m->table_count; k++)
        any = m->tables[k].plan && m->tables[k].target == i;
    return any;
}

int owned_behind(struct mirror *m, uint32_t i)
{
    struct target_slot *t = m->targets[i];
    unsigned owned = (t->owned | OWNED_ADOPTED | OWNED_AGAIN) & ~(unsigned)OWNED_SEEN;

    if (!owned_tables_known(m, i))
        return -EAGAIN;
    int rc = m->state_broken ? -EIO : suspects_unknown(m, m->watermark);

    /* Also of tables that are not mirrored just now. */
    rc = rc < 0 ? rc : store_digest_doubt_target(m->store, t->store_id);
    for (size_t k = 0; rc == 0 && k < m->table_count; k++)
        if (m->tables[k].plan && m->tables[k].target == i)
            rc = mirror_load_again(m, &m->tables[k], true);
    rc = rc < 0 ? rc : owned_put(m, t, owned);
    rc = records_kept(m, rc < 0 ? rc : records_sync(m, NULL));
    if (rc < 0)
        return rc;
    if (t->ahead)
        mirror_note(m, LOG_EV_WARNING, "state_behind",
                    "DynamoDB table %s was written by a later life of this database than its state "
                    "file knows (were both put back?): all of it is compared",
                    t->name);
    t->ahead = false;
    return 0;
}

bool owned_has_tables(const struct mirror *m, uint32_t i)
{
    for (size_t k = 0; k < m->table_count; k++)
        if (m->tables[k].plan && m->tables[k].target == i)
            return true;
    for (size_t k = 0; k < m->dropped_count; k++)
        if (m->dropped[k].table.target == i)
            return true;
    return false;
}

bool owned_to_see(const struct mirror *m)
{
    for (uint32_t i = 0; m->edge.survey && i < m->target_count; i++)
        if (owned_has_tables(m, i) &&
            (m->targets[i]->owned & OWNED_AGAIN || m->targets[i]->view.surveying))
            return true;
    return false;
}

/* --- held ------------------------------------------------------------------------------------- */

static void hold(struct mirror *m, usec now, uint32_t i, const char *why)
{
    struct target_slot *t = m->targets[i];
    bool told = t->view.held && strcmp(t->view.reason, why) == 0;
    struct reply r = {.code = "held"};

    mirror_target_parked(m, now, i, "held", why);
    t->view.held = true;
    if (!told)
        mirror_note(m, LOG_EV_ERROR, "held", "%s", t->view.reason);
    snprintf(r.message, sizeof r.message, "%s", t->view.reason);
    m->edge.parked(m->edge.arg, i, &r);
}

void mirror_target_held(struct mirror *m, usec now, uint32_t i, bool handed_over, const char *why)
{
    struct target_slot *t = m->targets[i];

    m->now = now;
    /* Known from now on also where the marker cannot be read. */
    if (handed_over && !m->state_broken)
        records_kept(m, owned_put(m, t, t->owned | OWNED_HANDED));
    hold(m, now, i, why);
}

void owned_hold_foreign(struct mirror *m, usec now, uint32_t i)
{
    struct target_slot *t = m->targets[i];
    char why[400];

    snprintf(
        why, sizeof why,
        "DynamoDB table %.120s holds items that are not ours: at least %lld, for example %s; "
        "nothing is sent there until `syncctl attach --adopt` (they stay, but one with the key "
        "of a row is replaced)",
        t->name, (long long)t->view.foreign, t->example);
    if (now >= t->held_at + HELD_LOOK || !t->held_at)
        t->held_at = now;
    hold(m, now, i, why);
}

/* What it is when the operator takes it up, whatever was found there. */
static unsigned adopted(const struct target_slot *t)
{
    return t->owned | OWNED_ADOPTED | (t->view.foreign > 0 ? OWNED_OTHERS : 0);
}

/* One that we have written before, and that is taken over from whomever its marker names or will be
 * found to name: that one may have written there since, over our items and beside them. Before the
 * order, which must not be kept without this, nor when it is given again. One that is open and into
 * which nothing is mirrored may have been taken meanwhile as well. */
static int forget_known(struct mirror *m, uint32_t i)
{
    struct target_slot *t = m->targets[i];
    const unsigned before = t->owned;

    if ((t->view.open && !t->unwatched) || !(t->owned & OWNED_SEEN) || t->owned & OWNED_HANDED ||
        owned_is_canarys(m, i))
        return 0;
    if (!owned_tables_known(m, i))
        return -EAGAIN;
    int rc = records_kept(m, owned_put(m, t, t->owned & ~(unsigned)OWNED_ALONE));
    rc = rc < 0 ? rc : owned_behind(m, i);
    if (rc < 0) { /* what was known of its items is, too */
        t->owned = before;
        show(t);
    }
    return rc;
}

int owned_approve(struct mirror *m)
{
    int count = 0;

    for (uint32_t i = 0; i < m->target_count; i++) {
        struct target_slot *t = m->targets[i];
        if (!t->view.held || t->owned & OWNED_HANDED || forget_known(m, i) < 0)
            continue;
        const unsigned before = t->owned;
        if (records_kept(m, owned_put(m, t, adopted(t) | OWNED_TAKE)) < 0 ||
            records_kept(m, records_sync(m, NULL)) < 0) {
            t->owned = before; /* and so it is written again with all else */
            show(t);
            continue;
        }
        t->view.held = t->view.parked = t->marked = false;
        t->held_at = 0;
        count++;
    }
    return count;
}

/* One that is written goes on, and no opening will have its marker written: who reads it is to find
 * the database as it is called from now on, and the order is not to be done again much later. */
static void mark_open(struct mirror *m, uint32_t i)
{
    struct target_slot *t = m->targets[i];

    if (!t->view.open || !m->attached || !m->edge.mark || !(t->owned & OWNED_TAKE))
        return;
    t->marking = true;
    m->edge.mark(m->edge.arg, i);
}

int owned_adopt_all(struct mirror *m)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < m->target_count; i++) {
        struct target_slot *t = m->targets[i];
        if ((rc = forget_known(m, i)) < 0)
            break;
        t->view.held = t->view.parked = t->marked = false;
        t->held_at = 0;
        rc = owned_put(m, t, adopted(t) | (owned_is_canarys(m, i) ? 0 : OWNED_TAKE));
    }
    rc = records_kept(m, rc < 0 ? rc : records_sync(m, NULL));
    /* Also where that cannot be kept just now: it is known here, and is written again with all
     * else. Then it must not stand there for good. */
    for (uint32_t i = 0; i < m->target_count; i++)
        mark_open(m, i);
    return rc;
}

void owned_hold_handed(struct mirror *m, usec now, uint32_t i)
{
    char why[400];

    snprintf(why, sizeof why,
             "DynamoDB table %.120s was handed over: others write there, and nothing of this "
             "database is sent until `syncctl handover --undo`",
             m->targets[i]->name);
    hold(m, now, i, why);
}

void owned_hand_back(struct mirror *m)
{
    int rc = 0;

    for (uint32_t i = 0; i < m->target_count; i++) {
        struct target_slot *t = m->targets[i];
        char name[32];
        if (owned_is_canarys(m, i))
            continue;
        owned_name(t, name);
        t->owned = t->owned_before;
        t->view.held = false; /* the next look opens it, or finds what else holds it */
        show(t);
        rc = rc < 0 || m->state_broken ? rc : store_put_int(m->store, name, t->owned);
    }
    /* Where it cannot be kept, it is written again with all else. */
    if (!m->state_broken)
        records_kept(m, rc < 0 ? rc : records_sync(m, NULL));
}

static void remember_all(struct mirror *m)
{
    for (uint32_t i = 0; i < m->target_count; i++)
        m->targets[i]->owned_before = m->targets[i]->owned;
}

int owned_hand_over(struct mirror *m)
{
    int rc = 0;

    remember_all(m);
    for (uint32_t i = 0; rc == 0 && i < m->target_count; i++)
        if (!owned_is_canarys(m, i))
            rc = owned_put(m, m->targets[i], m->targets[i]->owned | OWNED_HANDED);
    rc = records_kept(m, rc < 0 ? rc : records_sync(m, NULL));
    if (rc < 0)
        owned_hand_back(m);
    for (uint32_t i = 0; rc == 0 && i < m->target_count; i++)
        if (!owned_is_canarys(m, i))
            owned_hold_handed(m, clock_monotonic(), i);
    return rc;
}

int owned_take_back(struct mirror *m)
{
    int rc = 0;

    remember_all(m);
    for (uint32_t i = 0; rc == 0 && i < m->target_count; i++) {
        struct target_slot *t = m->targets[i];
        if (owned_is_canarys(m, i))
            continue;
        /* One that was mirrored into only before, or only since, the order is not about: whose it
         * is by now, its marker and its items tell as at a start. */
        if (!(t->owned & (OWNED_HANDED | OWNED_BACK))) {
            rc = forget_known(m, i);
            continue;
        }
        t->view.held = t->view.parked = t->marked = false;
        rc = owned_put(m, t, (t->owned | OWNED_TAKE | OWNED_BACK) & ~(unsigned)OWNED_HANDED);
        rc = rc < 0 ? rc : owned_behind(m, i);
    }
    if (rc == 0)
        return 0;
    /* Of what others wrote there nothing is known: without the comparison nothing may be sent. */
    owned_hand_back(m);
    for (uint32_t i = 0; i < m->target_count; i++)
        if (m->targets[i]->owned & OWNED_HANDED)
            owned_hold_handed(m, clock_monotonic(), i);
    return rc;
}

bool owned_any_held(const struct mirror *m)
{
    for (uint32_t i = 0; i < m->target_count; i++)
        if (m->targets[i]->view.held && !(m->targets[i]->owned & OWNED_HANDED))
            return true;
    return false;
}

/* --- lives ------------------------------------------------------------------------------------ */

static void generation_name(const struct target_slot *t, char name[32])
{
    snprintf(name, 32, "generation:%u", t->store_id);
}

static void hex(const uint8_t *bytes, char out[MIRROR_GENERATION])
{
    for (size_t i = 0; i < CAPTURE_ID_SIZE; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

/* What the store has: the life that stands in the marker, then this one, 32 digits each. */
int mirror_generation(struct mirror *m, uint32_t i, const char *found, char out[MIRROR_GENERATION])
{
    char name[32], both[2 * MIRROR_GENERATION];

    hex(m->nonce, out); /* as random, and made anew at each start */
    generation_name(m->targets[i], name);
    snprintf(both, sizeof both, "%.32s%s", strlen(found) == 32 ? found : "", out);
    int rc = m->state_broken ? -EIO : store_put(m->store, name, both, strlen(both));
    return records_kept(m, rc < 0 ? rc : records_sync(m, NULL));
}

bool mirror_generation_known(struct mirror *m, uint32_t i, const char *generation)
{
    _cleanup_buf_ struct buf kept = {0};
    char name[32];

    generation_name(m->targets[i], name);
    if (store_get(m->store, name, &kept) < 0 || strlen(generation) != 32)
        return false;
    for (size_t at = 0; at + 32 <= kept.len; at += 32)
        if (memcmp(kept.data + at, generation, 32) == 0)
            return true;
    return false;
}

bool mirror_generation_any(struct mirror *m, uint32_t i)
{
    _cleanup_buf_ struct buf kept = {0};
    char name[32];

    generation_name(m->targets[i], name);
    return store_get(m->store, name, &kept) != -ENOENT;
}

void mirror_identity(const struct mirror *m, struct mirror_identity *out)
{
    struct place here = {0};

    *out = (struct mirror_identity){.path = m->config->database};
    hex(m->id, out->id);
    if (place_find(m->config->database, &here) == 0)
        hex(here.host, out->host);
    place_clear(&here);
}

const char *mirror_target_source(const struct mirror *m, uint32_t i)
{
    for (size_t k = 0; k < m->table_count; k++)
        if (m->tables[k].plan && m->tables[k].target == i && !m->tables[k].plan->has_source)
            return "";
    return m->config->source_id;
}
