/* Whose a target is: see mirror.h. What is known of that stands in the store, for each target:
 *
 *     first opening ---> surveyed ---> seen: written from now on
 *                          | foreign items: held ---> adopted by the operator: seen
 *     state file lost, or an older one: surveyed as at first, but for holding; and again later
 *     a kill that left rows unseen:     again, once no write of before can come any more
 *
 * A survey's progress is not kept: one that was broken off begins anew, and finds again what it has
 * found. What is found is on disk before the survey counts as done. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/failpoint.h"
#include "base/plant.h"
#include "base/text.h"
#include "mapping/ours.h"
#include "mirror/internal.h"
#include "source/canary.h"

#define HELD_LOOK    (5 * 60 * USEC_PER_SEC) /* others may have cleaned up */
#define SURVEY_RETRY (60 * USEC_PER_SEC)

static bool is_canarys(const struct mirror *m, uint32_t i)
{
    return m->canary < m->table_count && m->tables[m->canary].target == i;
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

int survey_put(struct mirror *m, struct target_slot *t, unsigned owned)
{
    char name[32];

    owned_name(t, name);
    int rc = owned == t->owned ? 0 : store_put_int(m->store, name, owned);
    if (rc == 0)
        t->owned = owned;
    show(t);
    return rc;
}

void survey_recall(struct mirror *m, struct target_slot *t)
{
    char name[32];
    int64_t owned = 0;

    owned_name(t, name);
    /* One that was written before anybody looked is ours as far as it goes. */
    if (store_get_int(m->store, name, &owned) == -ENOENT &&
        store_digest_count(m->store, t->store_id) > 0)
        owned = OWNED_SEEN | OWNED_ADOPTED;
    t->owned = (unsigned)owned;
    t->view.foreign = -1;
    show(t);
}

int survey_again(struct mirror *m, struct target_slot *t)
{
    return records_kept(m, survey_put(m, t, t->owned | OWNED_AGAIN));
}

int survey_all_anew(struct mirror *m)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < m->target_count; i++) {
        struct target_slot *t = m->targets[i];
        unsigned owned = t->owned | OWNED_ADOPTED | OWNED_AGAIN;
        rc = survey_put(m, t, t->view.open ? owned : owned & ~(unsigned)OWNED_SEEN);
    }
    return records_kept(m, rc < 0 || !store_dirty(m->store) ? rc : records_sync(m, NULL));
}

int survey_behind(struct mirror *m, uint32_t i)
{
    struct target_slot *t = m->targets[i];
    unsigned owned = (t->owned | OWNED_ADOPTED | OWNED_AGAIN) & ~(unsigned)OWNED_SEEN;
    int rc = m->state_broken ? -EIO : suspects_unknown(m, m->watermark);

    for (size_t k = 0; rc == 0 && k < m->table_count; k++) {
        if (!m->tables[k].plan || m->tables[k].target != i)
            continue;
        rc = store_digest_doubt(m->store, m->tables[k].id);
        rc = rc < 0 ? rc : mirror_load_again(m, &m->tables[k], true);
    }
    rc = rc < 0 ? rc : survey_put(m, t, owned);
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

bool survey_owed(const struct mirror *m)
{
    for (uint32_t i = 0; m->edge.survey && i < m->target_count; i++)
        if (m->targets[i]->owned & OWNED_AGAIN || m->targets[i]->view.surveying)
            return true;
    return false;
}

void survey_parked(struct target_slot *t)
{
    t->view.surveying = t->marking = false;
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
        records_kept(m, survey_put(m, t, t->owned | OWNED_HANDED));
    hold(m, now, i, why);
}

static void hold_foreign(struct mirror *m, usec now, uint32_t i)
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

int survey_approve(struct mirror *m)
{
    int count = 0;

    for (uint32_t i = 0; i < m->target_count; i++) {
        struct target_slot *t = m->targets[i];
        if (!t->view.held || t->owned & OWNED_HANDED ||
            records_kept(m, survey_put(m, t, t->owned | OWNED_ADOPTED | OWNED_TAKE)) < 0 ||
            records_kept(m, records_sync(m, NULL)) < 0)
            continue;
        t->view.held = t->view.parked = false;
        t->held_at = 0;
        count++;
    }
    return count;
}

int survey_adopt_all(struct mirror *m)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < m->target_count; i++) {
        struct target_slot *t = m->targets[i];
        t->view.held = t->view.parked = false;
        t->held_at = 0;
        rc = survey_put(m, t, t->owned | OWNED_ADOPTED | OWNED_TAKE);
    }
    return records_kept(m, rc < 0 ? rc : records_sync(m, NULL));
}

static void hold_handed(struct mirror *m, usec now, uint32_t i)
{
    char why[400];

    snprintf(why, sizeof why,
             "DynamoDB table %.120s was handed over: others write there, and nothing of this "
             "database is sent until `syncctl handover --undo`",
             m->targets[i]->name);
    hold(m, now, i, why);
}

int survey_hand_over(struct mirror *m)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < m->target_count; i++)
        if (!is_canarys(m, i))
            rc = survey_put(m, m->targets[i], m->targets[i]->owned | OWNED_HANDED);
    rc = records_kept(m, rc < 0 ? rc : records_sync(m, NULL));
    for (uint32_t i = 0; rc == 0 && i < m->target_count; i++)
        if (!is_canarys(m, i))
            hold_handed(m, clock_monotonic(), i);
    return rc;
}

int survey_take_back(struct mirror *m)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < m->target_count; i++) {
        struct target_slot *t = m->targets[i];
        if (is_canarys(m, i))
            continue;
        t->view.held = t->view.parked = false;
        rc = survey_put(m, t, (t->owned | OWNED_TAKE | OWNED_BACK) & ~(unsigned)OWNED_HANDED);
        rc = rc < 0 ? rc : survey_behind(m, i);
    }
    return rc;
}

bool survey_any_held(const struct mirror *m)
{
    for (uint32_t i = 0; i < m->target_count; i++)
        if (m->targets[i]->view.held && !(m->targets[i]->owned & OWNED_HANDED))
            return true;
    return false;
}

/* The state file failed: once more, from the start. */
static void broken_off(struct mirror *m, usec now, uint32_t i)
{
    struct target_slot *t = m->targets[i];

    records_kept(m, -EIO);
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

static bool is_alone(const struct mirror *m, uint32_t i)
{
    return m->targets[i]->owned & OWNED_ALONE && !is_share(m, i);
}

/* Where items of others are, and no key tells ours, only what is known already is ours. */
static bool learns_nothing(const struct mirror *m, uint32_t i)
{
    const struct target_slot *t = m->targets[i];

    if (is_alone(m, i) || !(t->owned & OWNED_ADOPTED))
        return false;
    for (size_t k = 0; k < m->table_count; k++)
        if (m->tables[k].plan && m->tables[k].target == i && plan_key_tells(m->tables[k].plan))
            return false;
    return true;
}

/* It is not to be looked at again. */
static void let_be(struct mirror *m, struct target_slot *t)
{
    if (records_kept(m, survey_put(m, t, t->owned & ~(unsigned)OWNED_AGAIN)) < 0)
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
    t->found = false;
    t->example[0] = '\0';
    mirror_note(m, LOG_EV_DEBUG, "survey_begun", "the items of %s are being looked at", t->name);
    m->edge.survey(m->edge.arg, i);
}

bool survey_gate(struct mirror *m, usec now, uint32_t i)
{
    struct target_slot *t = m->targets[i];

    if (!m->edge.survey || is_canarys(m, i))
        return true;
    if (t->owned & OWNED_HANDED) {
        hold_handed(m, now, i);
        return false;
    }
    if (!(t->owned & OWNED_SEEN)) {
        if (t->view.held && now < t->held_at + HELD_LOOK) {
            hold_foreign(m, now, i);
            return false;
        }
        if (!learns_nothing(m, i)) {
            if (!t->view.surveying)
                begin(m, i);
            return false;
        }
        if (m->state_broken || survey_put(m, t, t->owned | OWNED_SEEN) < 0)
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

void mirror_target_marker(struct mirror *m, uint32_t i, const struct mirror_marker *found)
{
    struct target_slot *t = m->targets[i];
    unsigned owned = t->owned;

    if (m->state_broken)
        return;
    if (!(owned & OWNED_SEEN))
        owned |= OWNED_ADOPTED | (found->alone ? OWNED_ALONE : 0);
    records_kept(m, survey_put(m, t, owned));
    t->ahead |= found->ahead;
}

void mirror_target_marked(struct mirror *m, usec now, uint32_t i)
{
    struct target_slot *t = m->targets[i];

    m->now = now;
    if (!t->marking)
        return;
    t->marking = false;
    t->marked = true;
    if (t->owned & (OWNED_TAKE | OWNED_BACK) && !m->state_broken)
        records_kept(m, survey_put(m, t, t->owned & ~(unsigned)(OWNED_TAKE | OWNED_BACK)));
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
    return NULL;
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
    f.known = known > 0 || engine_has(m->engine, i, key, n);
    enum item_claim claim = item_claim(&f, key, n, &plan);
    if (claim == ITEM_OURS_KNOWN)
        return 0;
    const struct table_slot *s = plan || !t->shared ? slot_of(m, i, plan) : NULL;
    if ((claim == ITEM_FOREIGN && !PLANTED(FOREIGN_TAKEN)) || !s) {
        note_foreign(t, key, n);
        return 0;
    }
    if (PLANTED(SURVEY_FORGOTTEN))
        return 0;
    int rc = s->plan == plan ? row_key_of(m, s, key, n, &row_key) : 0;
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

static int keep(struct mirror *m, uint32_t i, unsigned owned)
{
    struct target_slot *t = m->targets[i];
    int rc = t->found ? sweep_later(m, i) : 0;

    rc = rc < 0 ? rc : survey_put(m, t, owned);
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
    if (PLANTED(SURVEYED_ONCE))
        owned &= ~(unsigned)OWNED_AGAIN;
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
    int rc = m->state_broken ? -EIO : 0;

    m->now = now;
    if (!t->view.surveying)
        return false;
    _cleanup_free_ const struct table_plan **plans = plans_of(m, i, &count);
    const struct claim_facts f = {.alone = is_alone(m, i), .plans = plans, .count = count};
    while (plans && rc == 0 && at < keys->len) {
        size_t n;
        memcpy(&n, keys->data + at, sizeof n);
        rc = look_at(m, i, &f, keys->data + at + sizeof n, n);
        at += sizeof n + n;
    }
    if (!plans || rc < 0) {
        broken_off(m, now, i);
        return false;
    }
    if (m->first_record == USEC_NEVER)
        m->first_record = now;
    m->moved++;
    if (t->view.foreign && !(t->owned & OWNED_ADOPTED) && !t->view.open && !is_share(m, i)) {
        hold_foreign(m, now, i);
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
            now < t->survey_retry)
            continue;
        if (learns_nothing(m, i) || is_canarys(m, i))
            let_be(m, t);
        else
            begin(m, i);
    }
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
