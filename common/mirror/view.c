/* What is known, for status, health, metrics and wait. */
#include <stdlib.h>

#include "mirror/internal.h"
#include "mirror/orphans.h"
#include "mirror/owned.h"
#include "mirror/suspects.h"

/* What was written to a table that is new, or whose triggers went, is in no journal. */
static bool schema_known(const struct mirror *m)
{
    int64_t version = 0;

    return !m->probation &&
           (!m->source || (source_schema_version(m->source, &version) == SQLITE_OK &&
                           version == m->schema_version));
}

bool mirror_settled(const struct mirror *m, int64_t seq)
{
    return m->attached && m->watermark >= seq && mirror_low(m) >= seq && !loader_pending(m) &&
           !orphans_pending(m) && schema_known(m);
}

bool mirror_idle(const struct mirror *m)
{
    struct engine_stats stats;

    engine_stats(m->engine, &stats);
    return stats.items == 0 && list_empty(&m->splits) && list_empty(&m->records) &&
           list_empty(&m->syncing);
}

static int compare_lag(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void rank_lag(struct mirror *m)
{
    size_t n = m->lag_count < LAG_SAMPLES ? (size_t)m->lag_count : LAG_SAMPLES;
    uint32_t sorted[LAG_SAMPLES];

    if (m->lag_ranks.of == m->lag_count)
        return;
    memcpy(sorted, m->lag, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare_lag);
    m->lag_ranks.of = m->lag_count;
    m->lag_ranks.p50 = sorted[n / 2];
    m->lag_ranks.p99 = sorted[n * 99 / 100];
    m->lag_ranks.max = sorted[n - 1];
}

static void view_lag(struct mirror *m, struct mirror_view *v)
{
    rank_lag(m);
    v->lag_p50 = m->lag_ranks.p50 * 64e-6;
    v->lag_p99 = m->lag_ranks.p99 * 64e-6;
    v->lag_max = m->lag_ranks.max * 64e-6;
}

/* Since when something is pending that we know of; else since when all was last known to be well.
 */
static usec oldest_pending(const struct mirror *m, bool *known)
{
    usec oldest = track_oldest(&m->track);

    for (size_t i = 0; i < m->table_count; i++) {
        const struct table_slot *t = &m->tables[i];
        usec lag = t->lag_tracked ? track_oldest(&t->lag_track) : USEC_NEVER;
        oldest = lag < oldest ? lag : oldest;
    }
    *known = oldest != USEC_NEVER;
    for (size_t i = 0; i < m->table_count; i++)
        if (m->tables[i].skipped && !m->tables[i].lag_tracked && m->converged_at < oldest)
            oldest = m->converged_at;
    return oldest;
}

static bool all_open(const struct mirror *m)
{
    for (size_t i = 0; i < m->table_count; i++)
        if (m->tables[i].plan && !m->tables[i].canary &&
            !m->targets[m->tables[i].target]->view.open)
            return false;
    return true;
}

static void view_journal(struct mirror *m, struct mirror_view *v)
{
    struct journal_head head;
    int64_t max = 0, schema = 0;

    v->watermark = m->watermark;
    v->journal_low = mirror_low(m);
    v->journal_max = v->watermark;
    if (!m->attached || !m->journal)
        return;
    int rc = journal_max(m->journal, &max);
    /* A schema that moved may have taken triggers with it, and changes unseen. */
    if (rc == SQLITE_ROW &&
        (source_schema_version(m->source, &schema) != SQLITE_OK || schema != m->schema_version))
        v->attached = false;
    /* Nor is it ours any more when its first row is not, or its end is behind what was read. */
    if (rc == SQLITE_ROW && (max < m->watermark || journal_head(m->journal, &head) != SQLITE_ROW ||
                             (m->sentinel && (!head.sentinel || head.seq != m->acked))))
        v->attached = false;
    if (rc == SQLITE_ROW)
        v->journal_max = max;
    else
        v->attached = false; /* cannot be known: do not claim to be well */
    if (v->journal_max > v->journal_low)
        v->journal_entries = v->journal_max - v->journal_low;
}

static int64_t skipped_of(const struct mirror *m, uint32_t table)
{
    int64_t n = store_skipped_count(m->store, table);

    return n > 0 ? n : 0;
}

/* Where they cannot be counted health says why; none is the number to show. */
static int64_t letters_of(const struct mirror *m, uint32_t table)
{
    int64_t n = store_dead_letter_count(m->store, table);

    n = n > 0 ? n - skipped_of(m, table) : 0;
    return n > 0 ? n : 0;
}

/* Where they cannot be counted there may be one: that none is left is not said. */
static int64_t unconfirmed(const struct mirror *m)
{
    int64_t n = store_suspect_count(m->store);

    return n < 0 ? 1 : n;
}

/* What ought to move, and how far it has: for whoever watches that it does. Tables that are parked
 * or held are known to stand still. */
static void view_motion(struct mirror *m, struct mirror_view *v)
{
    struct mirror_motion *to = v->motion;
    bool behind = false;

    for (size_t i = 0; i < m->table_count; i++) {
        const struct table_slot *t = &m->tables[i];
        if (!t->plan)
            continue;
        const struct mirror_target *target = &m->targets[t->target]->view;
        bool open = target->open;
        /* One that waits for its marker or a survey is on its way to be loaded. */
        bool goes_on = open || (target->looked && !target->parked && !target->held);
        behind |= t->skipped || t->lag_tracked;
        to[MOTION_LOAD].wanted |= goes_on && !t->held && (t->load != LOAD_DONE || t->skipped);
        to[MOTION_SEND].wanted |= open && engine_pending(m->engine, t->target) > 0;
    }
    for (size_t i = 0; i < m->dropped_count; i++)
        to[MOTION_SEND].wanted |= m->targets[m->dropped[i].table.target]->view.open &&
                                  engine_pending(m->engine, m->dropped[i].table.target) > 0;
    to[MOTION_READ].wanted = v->attached && v->journal_max > v->watermark;
    to[MOTION_READ].count = (uint64_t)v->watermark;
    to[MOTION_LOAD].count = m->moved + (uint64_t)m->watermark;
    to[MOTION_SEND].count = v->items_put + v->items_deleted + v->spared + v->refused;
    to[MOTION_KEEP].wanted =
        !behind && v->attached && v->journal_low < v->watermark && !to[MOTION_SEND].wanted;
    to[MOTION_KEEP].count = (uint64_t)v->journal_low;
}

void mirror_view_orders(const struct mirror *m, struct mirror_view *out)
{
    *out = (struct mirror_view){.attached = m->attached && m->problem == SOURCE_OK,
                                .detached = m->detached,
                                .handed_over = m->handed_over,
                                .uninstalled = m->uninstalled,
                                .paused = m->paused,
                                .loading = loader_pending(m) || orphans_pending(m),
                                .held = m->held,
                                .held_text = m->held_text.text};
}

void mirror_view(struct mirror *m, usec now, struct mirror_view *out)
{
    if (m->attached && !m->source && !rest_undisturbed(m))
        rest_wake(m);
    struct mirror_view orders;
    mirror_view_orders(m, &orders);
    struct mirror_view v = {.attached = orders.attached,
                            .detached = orders.detached,
                            .handed_over = orders.handed_over,
                            .uninstalled = orders.uninstalled,
                            .paused = orders.paused,
                            .loading = orders.loading,
                            .held = orders.held,
                            .held_text = orders.held_text,
                            .state_broken = m->state_broken,
                            .state_error = m->state_error.text,
                            .dead_letters = letters_of(m, 0),
                            .skipped = skipped_of(m, 0),
                            .unconfirmed = unconfirmed(m),
                            .overdue = suspects_overdue(m),
                            .discarded = m->discarded,
                            .changes = m->changes,
                            .items_put = m->items_put,
                            .items_deleted = m->items_deleted,
                            .spared = m->spared,
                            .refused = m->refused,
                            .lag = &m->lags,
                            .ack_locks = &m->ack_locks,
                            .journal_mode = m->source ? m->source->journal_mode : m->journal_mode,
                            .wakeups = m->wakeups,
                            .ack_refused = m->ack_refused,
                            .connected = m->source != NULL};
    struct stamp s;

    stamp_take(m->config->database, m->wal_path, &s);
    v.wal_bytes = m->source ? source_wal_bytes(m->source) : (int64_t)s.wal.size;

    view_journal(m, &v);
    engine_stats(m->engine, &v.engine);
    view_lag(m, &v);
    v.converged = v.attached && !v.held && !v.detached && !v.uninstalled && !v.paused &&
                  !v.loading && !v.state_broken && !m->barrier.failed && all_open(m) &&
                  v.journal_entries == 0 && v.watermark >= v.journal_max && v.engine.items == 0 &&
                  list_empty(&m->splits) && !m->probation && !dropped_to_delete(m) &&
                  v.unconfirmed == 0 && !owned_to_see(m);
    if (v.converged || !m->converged_at)
        m->converged_at = now;
    v.converged_at = m->converged_at;
    v.oldest_pending = oldest_pending(m, &v.oldest_known);
    if (v.oldest_pending == USEC_NEVER && (v.journal_entries > 0 || v.engine.items > 0))
        v.oldest_pending = m->converged_at;
    view_motion(m, &v);
    *out = v;
}

/* Tables but for the canary's. */
static size_t shown_count(const struct mirror *m)
{
    return m->table_count - (m->canary < m->table_count);
}

size_t mirror_table_count(const struct mirror *m)
{
    return shown_count(m) + m->dropped_count;
}

static const char *state_of(const struct mirror *m, const struct table_slot *t)
{
    const struct mirror_target *target = t->plan ? &m->targets[t->target]->view : NULL;

    if (!t->plan)
        return "refused";
    if (m->detached || m->uninstalled)
        return "detached";
    if (m->held)
        return "held";
    if (target->held)
        return "held";
    if (target->parked)
        return "parked";
    if (!target->open)
        return "waiting";
    if (t->held)
        return "held";
    if (t->load == LOAD_SWEEP)
        return "comparing";
    return t->load == LOAD_ROWS ? "loading" : "live";
}

static void view_dropped(const struct dropped *d, struct mirror_table_view *out)
{
    *out = (struct mirror_table_view){
        .name = d->table.name,
        .target = d->table.plan->target,
        .state = "dropped",
        .mirrored = true,
        .foreign = -1,
        .reason = d->deleting ? "dropped from the database; its items are being deleted"
                              : "gone from the database; dropped when it stays so for a minute",
    };
}

const struct table_plan *mirror_plan(const struct mirror *m, size_t i)
{
    return i < shown_count(m) ? m->tables[i + (i >= m->canary)].plan : NULL;
}

void mirror_table(const struct mirror *m, size_t i, struct mirror_table_view *out)
{
    if (i >= shown_count(m)) {
        view_dropped(&m->dropped[i - shown_count(m)], out);
        return;
    }
    const struct table_slot *t = &m->tables[i + (i >= m->canary)];

    *out = (struct mirror_table_view){
        .name = t->name,
        .target = t->plan ? t->plan->target : "",
        .state = state_of(m, t),
        .reason = t->refusal ? t->refusal : "",
        .items_put = t->items_put,
        .items_deleted = t->items_deleted,
        .mirrored = t->plan != NULL,
        .rows_read = t->rows_read,
        .foreign = t->plan ? m->targets[t->target]->view.foreign : -1,
        .held_deletes = t->held ? t->extras : 0,
        .held_items = t->held ? t->items : 0,
    };
    if (!t->plan)
        return;
    out->pending = engine_pending(m->engine, t->target);
    out->dead_letters = letters_of(m, t->id);
    out->skipped = skipped_of(m, t->id);
    out->verified = mend_verified(m, t);
    if (m->targets[t->target]->view.parked)
        out->reason = t->let_go && !m->targets[t->target]->view.held
                          ? m->targets[t->target]->then
                          : m->targets[t->target]->view.reason;
}
