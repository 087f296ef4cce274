/* Whose a target is: see mirror.h. What is known of that stands in the store, for each target:
 *
 *     first opening ---> surveyed ---> seen: written from now on
 *                          | foreign items: held ---> adopted by the operator: seen
 *     state file lost, or an older one: surveyed as at first, but for holding; and again later
 *     a kill that left rows unseen:     again, once no write of before can come any more
 *
 * A survey's progress is not kept: one that was broken off begins anew. What it had found is known
 * by then, but for what is in it, and counts as found again. What is found is on disk before the
 * survey counts as done. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/plant.h"
#include "base/text.h"
#include "mapping/ours.h"
#include "mapping/oversize.h"
#include "mirror/internal.h"
#include "mirror/owned.h"
#include "mirror/suspects.h"

#define SURVEY_RETRY (60 * USEC_PER_SEC)

void survey_parked(struct target_slot *t)
{
    t->view.surveying = t->marking = false;
    t->told = 0; /* it is read again before the next opening */
}

/* The state file failed: once more, from the start. */
static void broken_off(struct mirror *m, usec now, uint32_t i)
{
    struct target_slot *t = m->targets[i];

    t->view.surveying = false;
    t->survey_retry = now + STORE_RETRY;
    if (!t->view.open) {
        t->opening = true;
        m->fresh_waiting = true;
    }
}

/* --- before it is opened ---------------------------------------------------------------------- */

/* Machines share it by source_id: items of others are no surprise, and have other keys. */
static bool is_share(const struct mirror *m, uint32_t i)
{
    return mirror_target_source(m, i)[0] != '\0';
}

/* Where items of others are, and no key tells ours, only what is known already is ours. That they
 * are was seen, or the marker said so: else a look tells. */
static bool learns_nothing(const struct mirror *m, uint32_t i)
{
    const struct target_slot *t = m->targets[i];

    if (owned_alone(m, i) || !(t->owned & OWNED_ADOPTED) || !(t->owned & OWNED_OTHERS))
        return false;
    for (size_t k = 0; k < m->table_count; k++)
        if (m->tables[k].plan && m->tables[k].target == i && plan_key_tells(m->tables[k].plan))
            return false;
    return true;
}

/* It is not to be looked at again. */
static void let_be(struct mirror *m, struct target_slot *t)
{
    if (records_kept(m, owned_put(m, t, t->owned & ~(unsigned)OWNED_AGAIN)) < 0)
        return;
    mirror_note(m, LOG_EV_WARNING, "survey_useless",
                "which items of DynamoDB table %s are ours cannot be told: their keys do not say, "
                "and no marker says that all are; items whose rows went unseen stay there",
                t->name);
    if (m->first_record == USEC_NEVER)
        m->first_record = m->now;
}

static void begin(struct mirror *m, uint32_t i)
{
    struct target_slot *t = m->targets[i];

    t->view.surveying = true;
    t->view.foreign = 0;
    t->found = t->others = t->joined = t->later = false;
    t->mixed = -1;
    t->survey_rollbacks = m->rollbacks;
    t->example[0] = '\0';
    mirror_note(m, LOG_EV_DEBUG, "survey_begun", "the items of %s are being looked at", t->name);
    m->edge.survey(m->edge.arg, i);
}

bool survey_gate(struct mirror *m, usec now, uint32_t i)
{
    struct target_slot *t = m->targets[i];

    if (!m->edge.survey || owned_is_canarys(m, i))
        return true;
    if (t->owned & OWNED_HANDED) {
        owned_hold_handed(m, now, i);
        return false;
    }
    if (!(t->owned & OWNED_SEEN)) {
        if (!owned_has_tables(m, i)) {
            t->opening = true; /* once one is */
            return false;
        }
        if (t->view.held && now < t->held_at + HELD_LOOK) {
            owned_hold_foreign(m, now, i);
            return false;
        }
        if (!learns_nothing(m, i)) {
            if (!t->view.surveying)
                begin(m, i);
            return false;
        }
        if (m->state_broken || records_kept(m, owned_put(m, t, t->owned | OWNED_SEEN)) < 0)
            broken_off(m, now, i);
        return !t->opening && survey_gate(m, now, i);
    }
    if (m->edge.mark && !t->marked) {
        if (!t->marking) {
            t->marking = true;
            m->edge.mark(m->edge.arg, i);
        }
        return false;
    }
    return true;
}

/* The marker is read once for an opening: what it says outlives that the state file cannot be
 * written just then. */
void mirror_target_marker(struct mirror *m, uint32_t i, const struct mirror_marker *found)
{
    struct target_slot *t = m->targets[i];

    t->told = OWNED_ADOPTED | (found->alone ? OWNED_ALONE : OWNED_OTHERS);
    t->ahead |= found->ahead;
    survey_heed_marker(m, t);
}

int survey_heed_marker(struct mirror *m, struct target_slot *t)
{
    bool news = t->told && !(t->owned & OWNED_SEEN); /* one that was seen is known better */
    int rc = news && m->state_broken ? -EIO : 0;

    /* A former process has written there, of which neither state file nor journal tells: what it
     * left on its way may yet come. */
    if (rc == 0 && news && !(t->owned & OWNED_ADOPTED) && !suspects_shaky(m))
        rc = records_kept(m, suspects_unknown(m, m->watermark));
    if (rc == 0 && news)
        rc = records_kept(m, owned_put(m, t, t->owned | t->told));
    if (rc == 0)
        t->told = 0;
    return rc;
}

void mirror_target_marked(struct mirror *m, usec now, uint32_t i)
{
    struct target_slot *t = m->targets[i];

    m->now = now;
    if (!t->marking)
        return;
    t->marking = false;
    t->marked = true;
    owned_done(m, t, OWNED_TAKE | OWNED_BACK);
    targets_open(m, now, i);
}

/* --- a survey --------------------------------------------------------------------------------- */

/* Every plan whose items are in the target. Freed by the caller. */
static const struct table_plan **plans_of(const struct mirror *m, uint32_t i, size_t *count)
{
    const struct table_plan **plans = calloc(m->table_count + 1, sizeof *plans);

    *count = 0;
    for (size_t k = 0; plans && k < m->table_count; k++)
        if (m->tables[k].plan && m->tables[k].target == i)
            plans[(*count)++] = m->tables[k].plan;
    return plans;
}

static const struct table_slot *slot_of(const struct mirror *m, uint32_t i,
                                        const struct table_plan *plan)
{
    for (size_t k = 0; k < m->table_count; k++)
        if (m->tables[k].plan && m->tables[k].target == i && (!plan || m->tables[k].plan == plan))
            return &m->tables[k];
    return plan ? NULL : dropped_heir(m, i);
}

/* The row key to keep with the item, where the key tells it and it is not read from there anyway.
 */
static int row_key_of(const struct mirror *m, const struct table_slot *s, const void *key, size_t n,
                      struct buf *out)
{
    const struct table_plan *p = s->plan;
    _cleanup_free_ struct value *entry = calloc(p->entry_count, sizeof *entry);
    _cleanup_buf_ struct buf store = {0};

    if (!entry)
        return -ENOMEM;
    if (p->plain_key && !m->targets[s->target]->contested)
        return 0;
    int rc = plan_key_row(p, key, n, entry, &store);
    for (size_t k = 0; rc == 0 && k < p->row_key_count; k++)
        value_encode(out, &entry[k]);
    return rc == -ENOMEM || !buf_ok(out) ? -ENOMEM : 0;
}

/* Numbers as people write them: canonical keys have 5e3 for 5000. */
static void spell_out(char *json, size_t size)
{
    char *e = strstr(json, "{\"N\":\""), *end;

    e = e ? strpbrk(e + 6, "e\"") : NULL;
    long zeros = e && *e == 'e' ? strtol(e + 1, &end, 10) : 0;
    if (zeros < 1 || zeros > 20 || strlen(json) + (size_t)zeros >= size)
        return;
    memmove(e + zeros, end, strlen(end) + 1);
    memset(e, '0', (size_t)zeros);
}

static void note_foreign(struct target_slot *t, const void *key, size_t n)
{
    _cleanup_buf_ struct buf json = {0};

    if (t->view.foreign++ > 0 || item_key_json(&t->schema, key, n, &json) < 0 || !buf_ok(&json))
        return;
    text_copy(t->example, sizeof t->example, json.data);
    spell_out(t->example, sizeof t->example);
}

/* Nothing is known of the item but that it may be there: perhaps from a look that was broken off.
 */
static bool known_by_key(struct mirror *m, const struct target_slot *t, const void *key, size_t n)
{
    static const uint8_t unknown[STORE_DIGEST_SIZE];
    uint8_t digest[STORE_DIGEST_SIZE];
    uint32_t table;

    return store_digest_get(m->store, t->store_id, key, n, digest, &table) &&
           memcmp(digest, unknown, sizeof unknown) == 0;
}

/* Rows of it are still to be sent. */
static bool is_loading(const struct mirror *m, uint32_t i)
{
    for (size_t k = 0; k < m->table_count; k++)
        if (m->tables[k].plan && m->tables[k].target == i && m->tables[k].load == LOAD_ROWS)
            return true;
    return false;
}

/* Several tables make such keys, as well as the one that comes first? Whose the item is, their rows
 * tell once all are sent. Until then it is not to be noted as the wrong one's: the right one may be
 * left out before. */
static bool is_of_several(const struct claim_facts *f, const struct table_plan *plan,
                          const void *key, size_t n)
{
    size_t fit = 0;

    for (size_t k = 0; plan && k < f->count; k++)
        fit += plan_key_tells(f->plans[k]) >= plan_key_tells(plan) &&
               plan_key_fits(f->plans[k], key, n);
    return fit > 1;
}

/* 0 or negative. */
static int look_at(struct mirror *m, uint32_t i, const struct claim_facts *facts, const void *key,
                   size_t n)
{
    struct target_slot *t = m->targets[i];
    struct claim_facts f = *facts;
    const struct table_plan *plan = NULL;
    _cleanup_buf_ struct buf row_key = {0}, owner = {0};
    uint32_t table;
    int known = store_digest_owner(m->store, t->store_id, key, n, &table, &owner);

    if (known < 0)
        return known;
    f.known = known > 0 || split_has(m, i, key, n);
    /* A chunk is whose its head is. */
    struct oversize_key chunk = {0};
    int piece = oversize_parse_key(key, n, &chunk);
    _cleanup_buf_ struct buf head = chunk.head;
    if (piece < 0)
        return piece;
    const void *whole = piece ? head.data : key;
    size_t whole_len = piece ? head.len : n;
    enum item_claim claim = item_claim(&f, whole, whole_len, &plan);
    if (claim == ITEM_OURS_KNOWN) {
        t->found |= known > 0 && known_by_key(m, t, key, n);
        return 0;
    }
    if (t->mixed < 0)
        t->mixed = others_may_be_there(m, i);
    bool others =
        t->mixed > 0 && (claim != ITEM_OURS_BY_KEY || others_make_key(m, i, whole, whole_len));
    t->others |= !plan || others;
    if (others && claim != ITEM_FOREIGN)
        return 0;
    if (claim != ITEM_FOREIGN && is_loading(m, i) && is_of_several(&f, plan, whole, whole_len)) {
        t->later = true;
        return 0;
    }
    const struct table_slot *s = plan || !t->shared ? slot_of(m, i, plan) : NULL;
    if ((claim == ITEM_FOREIGN && !PLANTED(FOREIGN_TAKEN)) || !s) {
        note_foreign(t, key, n);
        return 0;
    }
    if (PLANTED(SURVEY_FORGOTTEN))
        return 0;
    int rc = s->plan == plan && !piece ? row_key_of(m, s, key, n, &row_key) : 0;
    /* Rows were split there once, of which the state file may know nothing. */
    if (rc == 0 && piece && !t->was_split) {
        t->split = true;
        rc = split_keep(m, t);
    }
    if (rc == 0)
        rc = store_digest_suspect(m->store, t->store_id, key, n, s->id,
                                  row_key.len ? row_key.data : NULL, row_key.len);
    t->found = true;
    return rc;
}

/* The tables of the target look for items without a row once their rows are loaded. */
static int sweep_later(struct mirror *m, uint32_t i)
{
    int rc = 0;

    for (size_t k = 0; rc == 0 && k < m->table_count; k++)
        if (m->tables[k].plan && m->tables[k].target == i)
            rc = loader_sweep_later(m, &m->tables[k]);
    return rc;
}

static void away_name(uint32_t table, char name[32])
{
    snprintf(name, 32, "away:%u", table);
}

struct absence {
    struct mirror *m;
    uint32_t target;
    struct buf ids;
};

static void collect_absent(void *arg, const struct store_table *t)
{
    struct absence *a = arg;

    if (strcmp(t->target, a->m->targets[a->target]->name) == 0 && !mirror_table_by_id(a->m, t->id))
        buf_append(&a->ids, &t->id, sizeof t->id);
}

/* The tables whose items were seen by nobody who knew that they are theirs. */
static int note_absent(struct mirror *m, uint32_t i)
{
    struct absence a = {.m = m, .target = i};
    int rc = store_tables(m->store, collect_absent, &a);

    if (rc >= 0 && !buf_ok(&a.ids))
        rc = -ENOMEM;
    for (size_t at = 0; rc >= 0 && at < a.ids.len; at += sizeof(uint32_t)) {
        uint32_t id;
        char name[32];
        memcpy(&id, a.ids.data + at, sizeof id);
        away_name(id, name);
        rc = store_put_int(m->store, name, 1);
    }
    buf_free(&a.ids);
    return rc < 0 ? rc : 0;
}

int survey_joined(struct mirror *m, const struct table_slot *t, const struct store_table *known)
{
    struct target_slot *target = m->targets[t->target];
    char name[32];
    int64_t away = 0;

    target->joined |= target->view.surveying && !mirror_table_by_id(m, t->id);
    if (!(target->owned & OWNED_OTHERS)) /* whoever looked last knew whose each item is */
        return 0;
    away_name(t->id, name);
    int rc = store_get_int(m->store, name, &away);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    rc = away ? store_put_int(m->store, name, 0) : 0;
    bool joined = away || strcmp(known->target, t->plan->target) != 0;
    return rc == 0 && joined ? owned_again(m, target) : rc;
}

static int keep(struct mirror *m, uint32_t i, unsigned owned)
{
    struct target_slot *t = m->targets[i];
    int rc = t->found ? sweep_later(m, i) : 0;

    owned = t->others ? owned | OWNED_OTHERS : owned & ~(unsigned)OWNED_OTHERS;
    if (rc == 0 && t->others)
        rc = note_absent(m, i);
    /* What was found comes first: should the rest fail, it is looked for once more in vain. */
    if (rc == 0 && t->found)
        rc = records_sync(m, NULL);
    rc = rc < 0 ? rc : owned_put(m, t, owned);
    return records_kept(m, rc < 0 ? rc : records_sync(m, NULL));
}

/* All of it was seen. */
static void seen(struct mirror *m, usec now, uint32_t i)
{
    struct target_slot *t = m->targets[i];
    unsigned owned = t->owned | OWNED_SEEN;

    if (t->view.open)
        owned &= ~(unsigned)OWNED_AGAIN;
    else if (t->view.foreign == 0 && !(t->owned & OWNED_SEEN) && !is_share(m, i))
        owned |= OWNED_ALONE;
    if (t->view.foreign)
        owned &= ~(unsigned)OWNED_ALONE;
    if (t->later)
        owned |= OWNED_AGAIN;
    if (m->state_broken || keep(m, i, owned) < 0) {
        broken_off(m, now, i);
        return;
    }
    FAILPOINT("surveyed");
    t->view.surveying = false;
    t->view.unseen[0] = '\0';
    if (t->view.foreign && !(owned & OWNED_AGAIN) && !is_share(m, i))
        mirror_note(
            m, LOG_EV_WARNING, "foreign_items",
            "DynamoDB table %s holds %lld items that are not known as ours, for example %s; "
            "they are left alone",
            t->name, (long long)t->view.foreign, t->example);
    if (!t->view.open)
        targets_open(m, now, i);
}

bool mirror_survey_page(struct mirror *m, usec now, uint32_t i, const struct buf *keys, bool last)
{
    struct target_slot *t = m->targets[i];
    size_t count = 0, at = 0;
    /* With what a rollback took back went what was found so far. */
    bool lost = m->state_broken || t->survey_rollbacks != m->rollbacks || t->joined;
    int rc = 0;

    m->now = now;
    if (!t->view.surveying)
        return false;
    _cleanup_free_ const struct table_plan **plans = plans_of(m, i, &count);
    const struct claim_facts f = {.alone = owned_alone(m, i), .plans = plans, .count = count};
    while (plans && !lost && rc == 0 && at < keys->len) {
        size_t n;
        memcpy(&n, keys->data + at, sizeof n);
        rc = records_kept(m, look_at(m, i, &f, keys->data + at + sizeof n, n));
        at += sizeof n + n;
    }
    if (!plans || lost || rc < 0 || !owned_has_tables(m, i)) {
        broken_off(m, now, i);
        return false;
    }
    if (m->first_record == USEC_NEVER)
        m->first_record = now;
    m->moved++;
    if (t->view.foreign && !(t->owned & OWNED_ADOPTED) && !t->view.open && !is_share(m, i)) {
        owned_hold_foreign(m, now, i);
        return false;
    }
    if (last)
        seen(m, now, i);
    return !last;
}

void mirror_survey_failed(struct mirror *m, usec now, uint32_t i, const char *code, const char *why)
{
    struct target_slot *t = m->targets[i];
    struct reply r = {0};

    m->now = now;
    if (!t->view.surveying)
        return;
    t->view.surveying = false;
    t->view.foreign = -1;
    t->survey_retry = now + SURVEY_RETRY;
    text_copy(t->view.unseen, sizeof t->view.unseen, why);
    if (t->view.open)
        return;
    if (!(t->owned & OWNED_ADOPTED)) { /* what may be there is not ours to overwrite */
        text_copy(r.code, sizeof r.code, code);
        text_copy(r.message, sizeof r.message, why);
        m->edge.parked(m->edge.arg, i, &r);
        mirror_target_parked(m, now, i, code, why);
        return;
    }
    /* Rows flow; that not all can be known is said until it can. */
    t->found = false;
    if (m->state_broken || keep(m, i, t->owned | OWNED_SEEN | OWNED_AGAIN) < 0)
        broken_off(m, now, i);
    else
        targets_open(m, now, i);
}

void survey_turn(struct mirror *m)
{
    usec now = clock_monotonic();

    if (!m->edge.survey || !m->attached || m->state_broken || !m->suspects.begun ||
        suspects_shaky(m))
        return;
    for (uint32_t i = 0; i < m->target_count; i++) {
        struct target_slot *t = m->targets[i];
        if (!(t->owned & OWNED_AGAIN) || !t->view.open || t->view.surveying ||
            now < t->survey_retry || !owned_has_tables(m, i) || (t->shared && is_loading(m, i)))
            continue;
        if (learns_nothing(m, i) || owned_is_canarys(m, i) || PLANTED(SURVEYED_ONCE))
            let_be(m, t);
        else
            begin(m, i);
    }
}
