/* DynamoDB tables as the mirror sees them: open, or parked with their changes waiting in the
 * journal; but not for ever. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/failpoint.h"
#include "mapping/oversize_format.h"
#include "mirror/internal.h"
#include "mirror/owned.h"
#include "mirror/suspects.h"

static int copy_schema(struct key_schema *to, const struct key_schema *from)
{
    to->count = from->count;
    for (size_t i = 0; i < from->count; i++) {
        to->parts[i].type = from->parts[i].type;
        if (!(to->parts[i].name = strdup(from->parts[i].name)))
            return -ENOMEM;
    }
    return 0;
}

int mirror_find_target(struct mirror *m, const struct table_plan *p, uint32_t *out)
{
    for (uint32_t i = 0; i < m->target_count; i++)
        if (strcmp(m->targets[i]->name, p->target) == 0 &&
            key_schema_same(&m->targets[i]->schema, &p->schema)) {
            *out = i;
            return 0;
        }
    struct target_slot **more = realloc(m->targets, (m->target_count + 1) * sizeof *m->targets);
    if (!more)
        return -ENOMEM;
    m->targets = more;
    struct target_slot *t = calloc(1, sizeof *t);
    if (!t)
        return -ENOMEM;
    more[m->target_count] = t;
    /* Its id is committed at once: one that a rollback took back would be given to another. */
    if (!(t->name = strdup(p->target)) || copy_schema(&t->schema, &p->schema) < 0 ||
        store_target(m->store, p->target, &t->store_id) < 0 || records_commit(m, NULL) < 0 ||
        owned_recall(m, t) < 0 || engine_grow(m->engine, m->target_count + 1) < 0) {
        for (size_t i = 0; i < 2; i++)
            free(t->schema.parts[i].name);
        free(t->name);
        free(t);
        return -ENOMEM;
    }
    t->view.name = t->name;
    t->view.schema = &t->schema;
    suspects_recall_target(m, t);
    split_recall(m, t);
    *out = m->target_count++;
    return 0;
}

uint32_t mirror_target_count(const struct mirror *m)
{
    return m->target_count;
}

const struct mirror_target *mirror_target(const struct mirror *m, uint32_t i)
{
    return &m->targets[i]->view;
}

const struct table_plan *mirror_target_plan(const struct mirror *m, uint32_t i, size_t k)
{
    for (size_t j = 0; j < m->table_count; j++)
        if (m->tables[j].plan && m->tables[j].target == i && k-- == 0)
            return m->tables[j].plan;
    return NULL;
}

double mirror_target_limit(const struct mirror *m, uint32_t i)
{
    return engine_limit(m->engine, i);
}

/* Another was known under its name. */
static bool another_than_known(struct mirror *m, const struct target_slot *t)
{
    _cleanup_buf_ struct buf known = {0};

    return store_target_identity(m->store, t->store_id, &known) == 0 && known.len &&
           (known.len != strlen(t->identity) || memcmp(known.data, t->identity, known.len) != 0);
}

/* Only the store names the chunks that an earlier request may have been bringing: the row's entry
 * does not. While one may yet be carried out, in the new table, they stay, as not known; and where
 * others made that one, some may be there already, from before that was noticed. */
static int clear_digests(struct mirror *m, uint32_t i)
{
    uint32_t store_id = m->targets[i]->store_id;

    if (!m->targets[i]->made || suspects_shaky(m) || split_oldest(m, i) != UINT64_MAX)
        return store_digest_clear_but(m->store, store_id, OVERSIZE_SUFFIX, SUFFIX_MARK);
    return store_digest_clear(m->store, store_id);
}

static int forget_items_of(struct mirror *m, uint32_t i)
{
    struct target_slot *t = m->targets[i];
    int rc;

    if (m->state_broken)
        return -EIO;
    if (!owned_tables_known(m, i))
        return -EAGAIN;
    bool replaced = t->made || another_than_known(m, t);
    if ((rc = store_target_identify(m->store, t->store_id, t->identity)) < 0)
        return records_kept(m, rc);
    /* Writes of an earlier process that are on their way may come to the new one as well. */
    const unsigned stays = OWNED_HANDED | OWNED_AGAIN;
    if (replaced && t->owned & ~stays && (rc = owned_put(m, t, t->owned & stays)) < 0)
        return records_kept(m, rc);
    if (t->made && (rc = owned_put(m, t, t->owned | OWNED_SEEN | OWNED_ALONE)) < 0)
        return records_kept(m, rc);
    int64_t count = store_digest_count(m->store, t->store_id);
    if (count < 0)
        return records_kept(m, -EIO);
    /* What the table of before took may yet be answered, and then be noted as of the new one. */
    const bool on_the_way = split_oldest(m, i) != UINT64_MAX;
    rc = count ? clear_digests(m, i) : 0;
    for (size_t k = 0; rc == 0 && k < m->table_count; k++) {
        const struct table_slot *s = &m->tables[k];
        /* Items without a digest may have been there too, unless none was sent yet. */
        bool begun = count || on_the_way || s->load != LOAD_ROWS || s->cursor.len;
        if (s->plan && s->target == i && begun)
            rc = mirror_load_again(m, &m->tables[k], true);
    }
    return records_kept(m, rc < 0 || !store_dirty(m->store) ? rc : records_sync(m, NULL));
}

/* It is another table: what we knew of its items is void, and its tables are loaded again. On disk
 * before anything is sent there, or a stale digest could spare a row that is not there. That it is
 * ours alone holds for the one that we made, which may be gone when that can be kept at last. */
static int forget_items(struct mirror *m, uint32_t i)
{
    int rc = forget_items_of(m, i);

    if (rc < 0 && m->targets[i]->made)
        owned_unmade(m, m->targets[i]);
    return rc;
}

/* Is it another table than the store knows under this name? Should that not be read just now, it is
 * asked again before it is opened: what is known of its items is given up for another one only. */
static void ask_whether_another(struct mirror *m, struct target_slot *t)
{
    _cleanup_buf_ struct buf known = {0};
    int rc = t->identity[0] ? store_target_identity(m->store, t->store_id, &known) : 0;

    t->unread = rc < 0 && rc != -ENOENT;
    if (!t->unread && t->identity[0])
        t->fresh |= rc < 0 || strlen(t->identity) != known.len ||
                    memcmp(t->identity, known.data, known.len) != 0;
    t->marked = t->marked && !t->fresh; /* its marker is of the table that was there before */
}

/* Does the state file say that nothing of it can be on its way? It may also where letting go of the
 * journal has failed. */
static bool marked_parked(const struct table_slot *t)
{
    return t->let_go || t->cookie == COOKIE_PARKED || t->cookie == COOKIE_PARKED_UNSURE;
}

/* Tables that had let go of the journal are loaded from now on: on disk before anything of them is
 * sent. Their entries so far need not be read, and what was offered before is older than the load.
 */
static int take_up(struct mirror *m, uint32_t i)
{
    static const struct buf none;
    bool any = false;
    int rc = 0;

    for (size_t k = 0; rc == 0 && k < m->table_count; k++)
        if (m->tables[k].plan && m->tables[k].target == i && marked_parked(&m->tables[k])) {
            any = true;
            rc = m->state_broken
                     ? -EIO
                     : store_table_progress(m->store, m->tables[k].id, LOAD_ROWS, &none, 0);
        }
    if (any && records_kept(m, rc < 0 ? rc : records_sync(m, NULL)) < 0)
        return -EIO;
    for (size_t k = 0; any && k < m->table_count; k++) {
        struct table_slot *t = &m->tables[k];
        if (!t->plan || t->target != i || !marked_parked(t))
            continue;
        t->cookie = 0;
        if (!t->let_go) /* its entries are still there */
            continue;
        t->let_go = t->skipped = false;
        load_track_reset(m, t);
    }
    return 0;
}

/* Its changes stay in the journal and are read again from here on; the others flow past them. */
static void skip_table(struct mirror *m, usec now, struct table_slot *t)
{
    bool level = t->behind || (!t->skipped && !t->lag_tracked);
    int64_t low = (int64_t)m->track.low;

    if (t->lag_tracked)
        t->lag_seq = (int64_t)t->lag_track.low;
    else if (!t->skipped)
        t->lag_seq = low;
    /* What the main reader read of it before it fell behind may still be pending. */
    if (t->behind && t->lag_seq > low)
        t->lag_seq = low;
    t->skipped = true;
    t->behind = false;
    track_clear(&t->lag_track);
    track_init(&t->lag_track, (uint64_t)t->lag_seq);
    t->lag_tracked = false;
    if (level) {
        t->behind_since = now;
        t->waiting = 0;
        t->doubted = t->lag_seq;
        t->in_doubt = false;
    }
    if (t->load != LOAD_DONE) { /* the load goes on from what is settled */
        struct store_table known = {0};
        load_track_reset(m, t);
        buf_clear(&t->cursor);
        if (store_table_by_id(m->store, t->id, &known) == 0) {
            t->load = known.load;
            buf_append(&t->cursor, known.cursor.data, known.cursor.len);
        }
        store_table_clear(&known);
    }
}

/* Nothing is sent there until it is opened again. What is pending is forgotten, also of tables that
 * fell behind before it was ever open. */
static void close_target(struct mirror *m, usec now, uint32_t i)
{
    struct target_slot *t = m->targets[i];
    bool was_open = t->view.open;

    t->view.open = t->view.held = t->view.parked = t->view.looked = false;
    survey_parked(t);
    for (size_t k = 0; k < m->table_count; k++)
        if (m->tables[k].plan && m->tables[k].target == i &&
            (was_open || !m->tables[k].skipped || m->tables[k].behind))
            skip_table(m, now, &m->tables[k]);
    split_forget(m, i);
    recheck_parked(m, i);
    mirror_act(m, now, &(struct event){.kind = EVENT_PARK, .target = i});
}

/* And that is told. */
static void shut(struct mirror *m, usec now, uint32_t i, const char *code, const char *reason)
{
    struct target_slot *t = m->targets[i];

    close_target(m, now, i);
    t->view.looked = t->view.parked = true;
    snprintf(t->view.code, sizeof t->view.code, "%s", code);
    snprintf(t->view.reason, sizeof t->view.reason, "%s", reason);
    snprintf(t->then, sizeof t->then, "%s; once it can be written again the table is compared",
             t->view.reason);
}

void targets_open(struct mirror *m, usec now, uint32_t i)
{
    struct target_slot *t = m->targets[i];
    bool was_open = t->view.open;

    if (t->unread)
        ask_whether_another(m, t);
    t->opening = t->unread || survey_heed_marker(m, t) < 0 || (t->fresh && forget_items(m, i) < 0);
    if (!t->opening && t->fresh) {
        FAILPOINT("target_forgotten");
        t->fresh = t->made = false;
    }
    t->opening = t->opening || (t->ahead && owned_behind(m, i) < 0);
    if (!t->opening && !survey_gate(m, now, i))
        return;
    t->opening = t->opening || take_up(m, i) < 0 || suspects_begin(m) < 0;
    if (t->opening) {
        /* What is sent meanwhile would be noted as of the table that was there before. */
        if (was_open)
            shut(m, now, i, "state_unwritable",
                 "it is another table than before, which the state file cannot be told");
        m->fresh_waiting = true; /* opened by mirror_work() once the state file can be written */
        return;
    }
    t->view.open = true;
    t->view.parked = t->view.held = false;
    t->view.reason[0] = t->view.code[0] = '\0';
    FAILPOINT("target_opened");
    if (!was_open)
        mirror_act(m, now, &(struct event){.kind = EVENT_OPEN, .target = i});
}

/* Is the database not read, for what may be long? */
static bool is_left_alone(const struct mirror *m)
{
    bool away = m->problem != SOURCE_OK && m->problem != SOURCE_LOCKED;

    return m->detached || m->uninstalled || m->held || (away && !m->attached);
}

void mirror_target_open(struct mirror *m, usec now, uint32_t i, const char *identity, bool made)
{
    struct target_slot *t = m->targets[i];

    m->now = now;
    t->looked_at = t->view.looked ? t->looked_at : now;
    t->unwatched = is_left_alone(m) || !owned_has_tables(m, i); /* from now on, again */
    /* What was begun before may have been with the table that was there then. */
    t->view.surveying = t->marking = false;
    /* The one that we made may be gone by now, before the state file could be told of it. */
    t->made = made || (t->made && strcmp(t->identity, identity) == 0);
    snprintf(t->identity, sizeof t->identity, "%s", identity);
    t->fresh |= made;
    ask_whether_another(m, t);
    /* Nothing is sent there before it was looked at. */
    if (t->view.open && (t->fresh || t->ahead))
        close_target(m, now, i);
    t->view.looked = true;
    targets_open(m, now, i);
}

void targets_open_fresh(struct mirror *m, usec now)
{
    if (!m->fresh_waiting || m->state_broken)
        return;
    m->fresh_waiting = false;
    for (uint32_t i = 0; i < m->target_count; i++)
        if (m->targets[i]->opening)
            targets_open(m, now, i);
}

void mirror_target_parked(struct mirror *m, usec now, uint32_t i, const char *code,
                          const char *reason)
{
    m->targets[i]->opening = false;
    shut(m, now, i, code, reason);
}

void targets_unwatched(struct mirror *m)
{
    for (uint32_t i = 0; i < m->target_count; i++)
        m->targets[i]->unwatched = true;
}

/* Is no look of the edge's still to come? */
static bool was_looked_at(const struct target_slot *t)
{
    return t->view.open || t->opening || t->view.surveying || t->marking;
}

void targets_look_again(struct mirror *m, usec now)
{
    for (uint32_t i = 0; i < m->target_count; i++) {
        struct target_slot *t = m->targets[i];
        bool looked_at = was_looked_at(t);
        if (!owned_has_tables(m, i))
            t->unwatched |= looked_at;
        if (!owned_has_tables(m, i) || !t->unwatched || !looked_at)
            continue;
        t->opening = false;
        close_target(m, now, i);
        m->edge.look_again(m->edge.arg, i);
    }
}

/* An answered write tells nothing of that: another table takes it as well. */
void mirror_target_watched(struct mirror *m, usec now, uint32_t i, const char *identity)
{
    struct target_slot *t = m->targets[i];
    bool same = identity && (!*identity || !t->identity[0] || strcmp(identity, t->identity) == 0);

    m->now = now;
    if (!t->view.open || same)
        return;
    if (!t->unwatched)
        mirror_note(m, LOG_EV_WARNING, "table_replaced",
                    identity
                        ? "DynamoDB table %s is another than before: it was deleted and made anew"
                        : "DynamoDB table %s is gone",
                    t->name);
    if (!m->attached) { /* its tables are not known just now */
        t->unwatched = true;
        return;
    }
    close_target(m, now, i);
    m->edge.look_again(m->edge.arg, i);
}

/* --- parked for long -------------------------------------------------------------------------- */

/* The canary is let go of at once, so that nobody waits for it. Tables that share a target go
 * together: what one of them left open may be about an item that the store knows as another's. */
bool targets_parked_for_long(const struct mirror *m, usec now, uint32_t i)
{
    const struct target_slot *target = m->targets[i];
    bool unloaded = true, due = false, any = false;

    if (target->view.open || !target->view.parked)
        return false;
    for (size_t k = 0; k < m->table_count; k++) {
        const struct table_slot *t = &m->tables[k];
        if (!t->plan || t->target != i)
            continue;
        if (!t->skipped)
            return false;
        any |= !t->let_go;
        due |= t->canary || t->waiting > PARKED_ENTRIES || now - t->behind_since >= PARKED_PATIENCE;
        /* All rows will be read anyhow. */
        unloaded &= t->load == LOAD_ROWS && t->cursor.len == 0;
    }
    return any && (due || unloaded);
}

static int order_comparison(struct mirror *m, struct table_slot *t, bool full)
{
    t->unsure = t->full;
    int rc = mirror_load_again(m, t, t->full || full);

    if (rc < 0)
        return rc;
    t->cookie = t->unsure ? COOKIE_PARKED_UNSURE : COOKIE_PARKED;
    return store_table_progress(m->store, t->id, LOAD_ROWS, &t->cursor, t->cookie);
}

int targets_let_go(struct mirror *m, uint32_t i)
{
    bool full = engine_in_doubt(m->engine, i);
    int rc = 0;

    for (size_t k = 0; k < m->table_count; k++)
        full |= m->tables[k].target == i && m->tables[k].plan && m->tables[k].in_doubt;
    for (size_t k = 0; rc == 0 && k < m->table_count; k++)
        if (m->tables[k].plan && m->tables[k].target == i && !m->tables[k].let_go)
            rc = order_comparison(m, &m->tables[k], full);
    if (records_kept(m, rc < 0 ? rc : records_sync(m, NULL)) < 0)
        return -EIO;
    for (size_t k = 0; k < m->table_count; k++) {
        struct table_slot *t = &m->tables[k];
        if (!t->plan || t->target != i || t->let_go)
            continue;
        t->let_go = true;
        track_clear(&t->lag_track);
        mirror_note(m, LOG_EV_WARNING, "table_let_go",
                    "table \"%s\": its changes wait in the journal no longer; once %s can be "
                    "written again it is compared",
                    t->name, m->targets[i]->name);
    }
    return 0;
}
