/* Attaching: the schema becomes plans, plans become triggers, and tables whose items may not be
 * what the plan says are marked for comparison before anything of that is forgotten. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/failpoint.h"
#include "base/text.h"
#include "mirror/internal.h"
#include "mirror/orphans.h"
#include "mirror/owned.h"
#include "mirror/plans.h"
#include "mirror/suspects.h"
#include "source/canary.h"

/* --- slots ------------------------------------------------------------------------------------ */

void table_slot_clear(struct table_slot *t)
{
    rows_close(t->rows);
    plan_free(t->plan);
    track_clear(&t->load_track);
    track_clear(&t->lag_track);
    buf_free(&t->cursor);
    free(t->name);
    free(t->refusal);
}

void mirror_free_tables(struct mirror *m)
{
    orphans_detach(m, true);
    for (size_t i = 0; i < m->table_count; i++)
        table_slot_clear(&m->tables[i]);
    free(m->tables);
    m->tables = NULL;
    m->table_count = m->canary = 0;
}

/* --- plans ------------------------------------------------------------------------------------ */

struct draft {
    struct table_slot *slots;
    size_t count;
};

static void draft_free(struct draft *d)
{
    for (size_t i = 0; i < d->count; i++)
        table_slot_clear(&d->slots[i]);
    free(d->slots);
}

static int draft_table(struct mirror *m, struct draft *d, const struct table_info *t)
{
    struct table_slot *s = &d->slots[d->count];
    struct err why = {0};

    *s = (struct table_slot){.load = LOAD_DONE, .canary = canary_is_table(t->name)};
    track_init(&s->load_track, 0);
    track_init(&s->lag_track, 0);
    if (!(s->name = strdup(t->name)))
        return -ENOMEM;
    d->count++;
    int rc = plans_make(m->config, t, &s->plan, &why);
    if (rc == -ENOMEM)
        return rc;
    /* Several tables may share a target, if they make keys of one kind. */
    for (size_t i = 0; rc == 0 && i + 1 < d->count; i++)
        if (d->slots[i].plan && strcmp(d->slots[i].plan->target, s->plan->target) == 0 &&
            !key_schema_same(&d->slots[i].plan->schema, &s->plan->schema)) {
            rc = err_set(&why, -ENOTSUP,
                         "it would share DynamoDB table %s with \"%s\", whose key is another; set "
                         "another target, or the same key names and types",
                         s->plan->target, d->slots[i].name);
            plan_free(take_ptr(s->plan));
        }
    if (rc < 0 && !(s->refusal = strdup(why.text)))
        return -ENOMEM;
    return 0;
}

/* Triggers that were made under this name, rather than ones that a renamed table brought along. */
static bool carries_its_triggers(struct mirror *m, const struct capture_state *st, const char *name)
{
    struct store_table known = {0};
    uint32_t id = capture_id_of(st, name);
    bool same =
        id && store_table_by_id(m->store, id, &known) == 0 && strcasecmp(known.name, name) == 0;

    store_table_clear(&known);
    return same;
}

/* A table that appears while we run, or a name that a table comes to have, may be a migration's
 * work in progress: it is taken up only after a minute. */
static bool adopted(struct mirror *m, const struct capture_state *st, const char *name, usec now)
{
    for (size_t i = 0; i < m->seen_count; i++) {
        if (strcasecmp(m->seen[i].name, name) != 0)
            continue;
        usec due = m->seen[i].since + ADOPT_DELAY;
        if (m->seen[i].since && now < due) {
            m->adopt_at = due < m->adopt_at ? due : m->adopt_at;
            m->probation = true;
            return false;
        }
        return true;
    }
    struct seen_table *more = realloc(m->seen, (m->seen_count + 1) * sizeof *more);
    if (!more)
        return true;
    m->seen = more;
    bool at_once = !m->ever_attached || carries_its_triggers(m, st, name);
    more[m->seen_count] = (struct seen_table){strdup(name), at_once ? 0 : now};
    if (more[m->seen_count].name)
        m->seen_count++;
    if (!at_once && now + ADOPT_DELAY < m->adopt_at)
        m->adopt_at = now + ADOPT_DELAY;
    m->probation |= !at_once;
    return at_once;
}

/* A name on probation that is gone again begins anew when it comes back. */
static void forget_passing(struct mirror *m, const struct catalog *c)
{
    for (size_t i = 0; i < m->seen_count;) {
        bool there = m->seen[i].since == 0;
        for (size_t k = 0; !there && k < c->count; k++)
            there = strcasecmp(c->tables[k].name, m->seen[i].name) == 0;
        if (there) {
            i++;
            continue;
        }
        free(m->seen[i].name);
        m->seen[i] = m->seen[--m->seen_count];
    }
}

static int draft_all(struct mirror *m, const struct catalog *c, const struct capture_state *st,
                     usec now, struct draft *d)
{
    m->adopt_at = USEC_NEVER;
    m->probation = false;
    forget_passing(m, c);
    /* Made at once: a slot holds list heads and must not move. */
    d->slots = calloc(c->count ? c->count : 1, sizeof *d->slots);
    if (!d->slots)
        return -ENOMEM;
    for (size_t i = 0; i < c->count; i++) {
        const struct table_info *t = &c->tables[i];
        int rc;
        if (!plans_covers(m->config, t) ||
            (!canary_is_table(t->name) && !adopted(m, st, t->name, now)))
            continue;
        if ((rc = draft_table(m, d, t)) < 0)
            return rc;
    }
    return 0;
}

/* --- capture ---------------------------------------------------------------------------------- */

/* `*installed`: what `st` tells is over. */
static int install(struct mirror *m, const struct capture_state *st, struct draft *d,
                   bool *installed)
{
    int64_t marked_at = m->schema_version;
    struct capture c = {.journal_limit = m->config->journal_limit,
                        .canary = m->config->canary > 0,
                        .schema_version = m->schema_version,
                        .marked_at = &marked_at};

    memcpy(c.id, m->id, sizeof c.id);
    memcpy(c.place, m->place, sizeof c.place);
    size_t rebuilt = 0;
    int rc = SQLITE_OK;

    c.tables = calloc(d->count ? d->count : 1, sizeof *c.tables);
    c.marks = calloc(d->count ? d->count : 1, sizeof *c.marks);
    if (!c.tables || !c.marks) {
        free(c.tables);
        free(c.marks);
        return SQLITE_NOMEM;
    }
    for (size_t i = 0; i < d->count; i++)
        if (d->slots[i].plan)
            c.tables[c.count++] = (struct capture_table){
                .id = d->slots[i].id, .plan = d->slots[i].plan, .intact = d->slots[i].intact};
    if ((*installed = capture_differs(st, &c))) {
        rc = capture_install(m->source, &c, m->nonce);
        if (rc == SQLITE_OK)
            FAILPOINT("triggers_installed");
        for (size_t i = 0; rc == SQLITE_OK && i < c.count; i++)
            rebuilt += c.tables[i].rebuilt && !canary_is_table(c.tables[i].plan->table);
        if (rc == SQLITE_OK && m->ever_attached && rebuilt)
            mirror_note(m, LOG_EV_WARNING, "triggers_repaired",
                        "triggers of %zu table%s were missing or altered; they are back and the "
                        "tables are being compared",
                        rebuilt, rebuilt == 1 ? "" : "s");
    }
    if (rc == SQLITE_OK && resolve_save_marks(m, &c) < 0)
        rc = STATE_FAILED;
    for (size_t i = 0; i < c.count; i++)
        sqlite3_free(c.marks[i]);
    free(c.marks);
    free(c.tables);
    return rc;
}

/* Where rows may meet at one key, their owners are kept and asked for. There a retried write that a
 * kill left on its way may be of another row than the one that has the key afterwards, though
 * neither has changed: every row that is met is suspect. */
static int mark_contested(struct mirror *m)
{
    int rc = 0;

    for (uint32_t i = 0; i < m->target_count; i++) {
        struct target_slot *target = m->targets[i];
        size_t tables = 0;
        target->contested = false;
        target->split = target->was_split;
        for (size_t k = 0; k < m->table_count; k++)
            if (m->tables[k].plan && m->tables[k].target == i) {
                target->contested |= m->tables[k].plan->meeting != NULL;
                target->split |= m->tables[k].plan->split;
                tables++;
            }
        target->shared = tables > 1;
        target->contested |= target->shared;
        /* Before any of their chunks is: what names those is committed later. */
        if (target->split && !target->was_split && rc == 0)
            rc = records_kept(m, split_keep(m, target));
        if (target->contested && m->suspects.was_loose && rc == 0)
            rc = suspects_shake(m, target, SHAKEN_ROWS);
    }
    return rc;
}

/* Which targets are those of tables, too, that are not mirrored: left out, refused or not taken up
 * yet? Only the configuration knows of them where the state file was lost. */
static int mark_beside(struct mirror *m, const struct catalog *c)
{
    for (uint32_t i = 0; i < m->target_count; i++) {
        m->targets[i]->beside = false;
        m->targets[i]->mixed = -1; /* a look that is under way asks anew */
    }
    for (size_t k = 0, next = 0; k < c->count; k++) {
        _cleanup_buf_ struct buf target = {0};
        /* They were drafted in the order of the catalog. */
        const struct table_slot *t =
            next < m->table_count && strcmp(m->tables[next].name, c->tables[k].name) == 0
                ? &m->tables[next++]
                : NULL;
        if ((t && t->plan) || canary_is_table(c->tables[k].name))
            continue;
        plans_target(m->config, c->tables[k].name, &target);
        if (!buf_ok(&target))
            return SQLITE_NOMEM;
        for (uint32_t i = 0; target.len && i < m->target_count; i++)
            m->targets[i]->beside |= strcmp(m->targets[i]->name, target.data) == 0;
    }
    return SQLITE_OK;
}

/* Rows of the table may wait for keys that rows of one that is mirrored no more had. */
static int recheck_letters(struct mirror *m, struct table_slot *t)
{
    if (store_dead_letter_count(m->store, t->id) == 0)
        return 0;
    t->recheck = true;
    return recheck_remember(m, t);
}

/* The same after a start, whose tables the process before it may have mirrored. */
static int recheck_beside(struct mirror *m)
{
    int rc = 0;

    if (m->ever_attached || !store_has_dead_letters(m->store))
        return 0;
    for (size_t i = 0; rc == 0 && i < m->table_count; i++)
        if (m->tables[i].plan && store_dead_letter_count(m->store, m->tables[i].id) != 0 &&
            others_may_be_there(m, m->tables[i].target))
            rc = recheck_letters(m, &m->tables[i]);
    return rc;
}

/* --- putting it together ---------------------------------------------------------------------- */

/* Runtime state of tables that stay: loads and lags go on where they are when nothing changed. A
 * table is its id: it may have another's name by now, and another its own. */
static void carry_over(struct mirror *m, struct draft *d)
{
    for (size_t i = 0; i < d->count; i++) {
        struct table_slot *to = &d->slots[i];
        struct table_slot *from = mirror_table_named(m, to->name);
        if (!to->plan)
            continue;
        if (from) {
            to->items_put = from->items_put;
            to->items_deleted = from->items_deleted;
        }
        if ((from = mirror_table_by_id(m, to->id))) {
            /* One that had let go of the journal, and is mapped to a DynamoDB table that is open by
             * now: nothing else takes it up. It is loaded, and read on from here. */
            bool taken_up = from->let_go && m->targets[to->target]->view.open;
            to->skipped = from->skipped && !taken_up;
            to->behind = from->behind;
            to->lag_seq = from->lag_seq;
            to->behind_since = from->behind_since;
            to->waiting = from->waiting;
            to->doubted = from->doubted;
            to->in_doubt = from->in_doubt;
            to->unsure |= from->unsure;
            to->let_go |= from->let_go && !taken_up;
            /* What is out is read again: sending twice is harmless. */
            if (from->lag_tracked && !taken_up) {
                to->skipped = to->lag_tracked = true;
                to->lag_seq = (int64_t)from->lag_track.low;
                track_init(&to->lag_track, from->lag_track.low);
            }
        }
    }
}

/* Will its entries still be read, for the same items? */
static bool goes_on(const struct draft *d, const struct table_slot *t)
{
    for (size_t i = 0; i < d->count; i++)
        if (d->slots[i].plan && d->slots[i].id == t->id)
            return d->slots[i].target == t->target;
    return false;
}

/* Tables that are mirrored no more, or under another id. What a killed process had on its way of
 * them, and what it may have changed, was to be learnt from their entries: those that were passed
 * over, or not reached yet, are nobody's from now on. The table may be back before all of that has
 * been carried out, and be compared with what is known of its items. */
static int leave_behind(struct mirror *m, struct draft *d)
{
    int rc = 0;

    for (size_t i = 0; rc >= 0 && i < m->table_count; i++) {
        const struct table_slot *t = &m->tables[i];
        int64_t read = t->lag_tracked ? (int64_t)t->lag_track.low
                       : t->skipped   ? t->lag_seq
                                      : m->watermark;
        if (!t->plan || goes_on(d, t))
            continue;
        for (size_t k = 0; rc >= 0 && k < d->count; k++)
            if (d->slots[k].plan && d->slots[k].target == t->target)
                rc = recheck_letters(m, &d->slots[k]);
        if (t->let_go || rc < 0)
            continue;
        if (read < m->force_upto)
            rc = store_digest_doubt(m->store, t->id);
        if (rc >= 0 && read < m->doubt_upto)
            rc = owned_again(m, m->targets[t->target]);
        if (rc >= 0 && read < m->suspects.window)
            rc = suspects_shake(m, m->targets[t->target], SHAKEN_ROWS);
    }
    return rc < 0 ? rc : 0;
}

static int open_rows(struct mirror *m, struct draft *d)
{
    for (size_t i = 0; i < d->count; i++) {
        struct table_slot *t = &d->slots[i];
        if (!t->plan)
            continue;
        int rc = rows_open(m->source, t->plan, &t->rows);
        if (rc == SQLITE_OK)
            continue;
        if ((rc & 0xff) != SQLITE_ERROR)
            return rc;
        /* A generated column or an index may need a function that only the application has. */
        if (asprintf(&t->refusal, "its rows cannot be read: %s", sqlite3_errmsg(m->source->db)) < 0)
            t->refusal = NULL;
        plan_free(take_ptr(t->plan));
    }
    return SQLITE_OK;
}

static int attach_tables(struct mirror *m, usec now, const struct catalog *c,
                         const struct capture_state *st, struct draft *d, bool *installed)
{
    int rc = draft_all(m, c, st, now, d) < 0 ? SQLITE_NOMEM : SQLITE_OK;

    if (rc == SQLITE_OK)
        rc = open_rows(m, d);
    for (size_t i = 0; rc == SQLITE_OK && i < d->count; i++)
        if (d->slots[i].plan) {
            int resolved = resolve_table(m, st, &d->slots[i]);
            rc = resolved == -EBUSY ? SQLITE_BUSY : resolved < 0 ? STATE_FAILED : SQLITE_OK;
        }
    if (rc == SQLITE_OK && leave_behind(m, d) < 0)
        rc = STATE_FAILED;
    FAILPOINT("tables_resolved");
    /* The order to compare must be on disk before the triggers are whole again, so that a crash in
     * between cannot forget it. */
    if (rc == SQLITE_OK && records_sync(m, &m->state_error) < 0)
        rc = STATE_FAILED;
    FAILPOINT("comparison_ordered");
    if (rc == SQLITE_OK)
        rc = install(m, st, d, installed);
    if (rc == SQLITE_OK && records_sync(m, &m->state_error) < 0)
        rc = STATE_FAILED;
    FAILPOINT("marks_saved");
    if (rc != SQLITE_OK)
        return rc;
    carry_over(m, d);
    mirror_free_tables(m);
    m->tables = take_ptr(d->slots);
    m->table_count = m->canary = d->count;
    d->count = 0;
    for (size_t i = 0; i < m->table_count; i++)
        if (m->tables[i].canary)
            m->canary = i;
    if ((rc = orphans_attach(m, c)) != SQLITE_OK || (rc = mark_beside(m, c)) != SQLITE_OK)
        return rc;
    if (recheck_beside(m) < 0)
        return STATE_FAILED;
    for (uint32_t i = 0; i < m->target_count; i++)
        m->fresh_waiting |= m->targets[i]->opening;
    int contested = mark_contested(m);
    for (size_t i = 0; i < m->table_count; i++)
        load_track_reset(m, &m->tables[i]);
    if (contested < 0 || dropped_find(m, now, c) < 0 || dropped_decide(m, now) < 0 ||
        records_sync(m, &m->state_error) < 0)
        return STATE_FAILED;
    records_kept(m, orders_forget_letters(m));
    return rc;
}

/* `st`: as capture_look() has it now. */
static int open_journal(struct mirror *m, const struct capture_state *st, bool journal_was_there)
{
    journal_close(take_ptr(m->journal));
    m->trigger_count = st->count;
    int rc = journal_open(m->source, st->journal_keys, &m->journal);
    if (rc == SQLITE_OK)
        memcpy(m->journal->id, m->id, sizeof m->id);
    if (rc == SQLITE_OK && !m->ever_attached)
        rc = identity_first_look(m, journal_was_there);
    else if (rc == SQLITE_OK && !journal_was_there)
        rc = mirror_compare_all(m, "the journal was dropped and has been made anew");
    return rc;
}

static int attach(struct mirror *m, usec now)
{
    struct catalog *c = NULL;
    struct capture_state *st = NULL;
    struct draft d = {0};
    bool go = false;
    int rc;

    m->problem = catalog_read(m->source, &c, &m->problem_text);
    if (m->problem != SOURCE_OK)
        return SQLITE_ERROR;
    /* What we install moves the version on: the next look attaches once more, finds nothing to do,
     * and so no change of the application's in between is missed. */
    m->schema_version = c->schema_version;
    rc = capture_look(m->source, &st);
    if (rc == SQLITE_OK && st->canary && m->config->canary > 0)
        rc = canary_describe(c);
    if (rc == SQLITE_OK)
        rc = identity_check(m, now, st, &go);
    if (rc == SQLITE_OK && !go) {
        ; /* held, or looked at again later */
    } else if (rc == SQLITE_OK && m->ever_attached && !st->journal && st->count == 0) {
        m->uninstalled = true; /* somebody took everything out: leave it so */
        targets_unwatched(m);
        mirror_note(
            m, LOG_EV_WARNING, "uninstalled",
            "journal and triggers were taken out of the database; nothing is captured until "
            "`syncctl attach`");
    } else if (rc == SQLITE_OK) {
        bool journal_was_there = st->journal && st->first_seq >= 0, installed = false;
        rc = attach_tables(m, now, c, st, &d, &installed);
        if (rc == SQLITE_OK && installed) {
            capture_state_free(take_ptr(st));
            rc = capture_look(m->source, &st);
        }
        if (rc == SQLITE_OK)
            rc = open_journal(m, st, journal_was_there);
        if (rc == SQLITE_OK && orders_attached(m) < 0)
            rc = STATE_FAILED;
        if (rc == SQLITE_OK) {
            /* What we have put in is no reason to wait. */
            source_schema_version(m->source, &m->schema_noticed);
            m->schema_restless = false;
            m->attached = m->ever_attached = true;
            m->adopting = m->reattaching = false; /* not before it has the id that was chosen */
            m->doubt_upto = m->unclean ? m->force_upto : m->doubt_upto;
            m->unclean = false;
            identity_compared(m);
            targets_look_again(m, now);
            identity_resume(m, now);
            FAILPOINT("attached");
        }
    }
    draft_free(&d);
    capture_state_free(st);
    catalog_free(c);
    return rc;
}

/* Has the operator taken the triggers out? 1 or 0; negative when the state file cannot be read. */
static int order_given(struct mirror *m)
{
    int64_t detached = 0;
    int rc = orders_withdraw(m);

    if (rc < 0)
        return rc;
    rc = store_get_int(m->store, "detached", &detached);

    if (rc < 0 && rc != -ENOENT)
        return rc;
    m->detached = detached == ORDER_DETACH || detached == ORDER_HAND_OVER;
    m->handed_over = detached == ORDER_HAND_OVER;
    m->uninstalled = detached == ORDER_UNINSTALL;
    m->reattaching |= detached == ORDER_ATTACH || detached == ORDER_ADOPT;
    m->adopting |= detached == ORDER_ADOPT;
    return m->detached || m->uninstalled;
}

enum source_problem mirror_attach(struct mirror *m, usec now)
{
    m->attached = m->resting = false;
    if (mirror_lock_database(m, &m->problem_text) < 0)
        return m->problem = SOURCE_FAILED;
    if (m->held && !identity_held_changed(m))
        return m->problem = SOURCE_OK;
    if (!identity_settled(m, now))
        return m->problem;
    if (!m->source) {
        m->problem = source_open(m->config->database, &m->source, &m->problem_text);
        if (m->problem != SOURCE_OK && m->problem != SOURCE_LOCKED)
            targets_unwatched(m);
        if (m->problem != SOURCE_OK)
            return m->problem;
        m->woken = m->ever_attached; /* nobody saw what became of it meanwhile */
    }
    m->problem = source_check_file(m->source, &m->problem_text);
    if (m->problem != SOURCE_OK) {
        mirror_close_source(m);
        return m->problem;
    }
    int order = order_given(m);
    if (order < 0) {
        records_store_failed(m, now);
        return m->problem = SOURCE_OK;
    }
    if (order > 0) {
        mirror_close_source(m);
        return m->problem = SOURCE_OK;
    }
    if (m->state_broken) /* its flush comes first */
        return m->problem = SOURCE_OK;
    m->source->patience = ATTACH_PATIENCE;
    int rc = attach(m, now);
    m->source->patience = 0;
    if (m->held) {
        mirror_close_source(m);
        free(m->wal_path);
        m->wal_path = stamp_wal_path(m->config->database);
        stamp_take(m->config->database, m->wal_path, &m->stamp);
    }
    if (m->uninstalled) /* nobody needs it any more, and it would keep the -wal there */
        mirror_close_source(m);
    /* Also of an attempt that came to nothing: the next one finds them known. */
    if (m->target_count != m->announced_targets) {
        m->announced_targets = m->target_count;
        m->edge.targets_changed(m->edge.arg);
    }
    if (rc == SQLITE_OK)
        return m->problem = SOURCE_OK;
    if (rc == STATE_FAILED)
        records_store_failed(m, now);
    else if (m->problem == SOURCE_OK)
        mirror_fail(m, rc, "installing triggers");
    return m->problem;
}
