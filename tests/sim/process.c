/* Life of the mirror in its world, driven as the daemon drives it: start, turns, crashes, stops. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/plant.h"
#include "disk.h"
#include "engine/internal.h"
#include "mirror/internal.h"
#include "mirror/owned.h"
#include "source/durable.h"
#include "state/internal.h"
#include "vfs.h"
#include "world.h"

enum { SETTLE_TURNS = 200000, STOP_ACKS = 10000 };
/* Thousands of refused rows, each found by halving, one request after the other, take their time.
 */
#define SETTLE_TIME (6 * 3600 * USEC_PER_SEC)
#define TICK        (1 * USEC_PER_SEC)

/* --- the mirror's edge ------------------------------------------------------------------------ */

static void sync_source(struct world *w)
{
    struct durable d = DURABLE_INIT;

    if (!w->disk_lies)
        durable_sync(&d, w->database, w->source_wal);
}

static void edge_sync_source(void *arg, uint64_t sync, bool wal)
{
    struct world *w = arg;

    sim_trace(w, "sync source: %d", wal);
    if (w->source_syncing)
        sim_fail(w, "two syncs of the database at once");
    w->source_syncing = true;
    w->source_sync = sync;
    w->source_wal = wal; /* as the mirror takes it, which may not be so any more */
    w->source_synced = sim_chance(w, 500); /* what is committed from now on is not covered */
    if (w->source_synced)
        sync_source(w);
    if (w->faults.meanwhile && sim_chance(w, w->faults.meanwhile))
        application_step(w);
}

static void edge_parked(void *arg, uint32_t target, const struct reply *why)
{
    struct world *w = arg;

    sim_trace(w, "parked: %s (%s)", mirror_target(w->mirror, target)->name, why->code);
    w->probes[target].due = w->now + USEC_PER_SEC;
}

static void edge_look_again(void *arg, uint32_t target)
{
    struct world *w = arg;

    sim_trace(w, "to be looked at: %s", mirror_target(w->mirror, target)->name);
    w->probes[target].due = w->now + sim_pick(w, 100) * USEC_PER_MSEC;
}

static void edge_credentials(void *arg, const struct reply *why)
{
    struct world *w = arg;

    sim_trace(w, "credentials wanted (%s)", why->code);
    w->credentials_due = w->now + sim_pick(w, 3000) * USEC_PER_MSEC;
}

static void edge_retrying(void *arg, const struct reply *why, usec delay)
{
    sim_trace(arg, "retrying in %lld us (%s)", (long long)delay, why->code);
}

static void edge_dead_letter(void *arg, const struct dead_letter *d, bool is_new)
{
    sim_trace(arg, "dead letter %s %s: %s%s", d->table, d->key, d->reason, is_new ? ", new" : "");
}

static void edge_note(void *arg, enum log_level level, const char *code, const char *text)
{
    struct world *w = arg;

    sim_trace(w, "note %d %s", level, code);
    if (w->tracing) /* its words are no part of what must be the same */
        fprintf(stderr, "                  %s\n", text);
}

/* The service's clock is another than the mirror's, and known within limits. */
static usec edge_service_time(void *arg, bool latest)
{
    struct world *w = arg;
    usec t = SIM_EPOCH + w->now + w->skew;

    return latest ? t + w->vagueness : t - w->vagueness;
}

static void edge_targets_changed(void *arg)
{
    struct world *w = arg;

    for (; w->probe_count < mirror_target_count(w->mirror) && w->probe_count < SIM_TABLES;
         w->probe_count++)
        w->probes[w->probe_count] = (struct sim_probe){
            .due = w->now + sim_pick(w, 100) * USEC_PER_MSEC, .watch = USEC_NEVER};
    w->pumping = true;
}

bool sim_start(struct world *w)
{
    const struct mirror_edge edge = {.arg = w,
                                     .send = service_send,
                                     .sync_source = edge_sync_source,
                                     .parked = edge_parked,
                                     .look_again = edge_look_again,
                                     .credentials = edge_credentials,
                                     .retrying = edge_retrying,
                                     .dead_letter = edge_dead_letter,
                                     .note = edge_note,
                                     .targets_changed = edge_targets_changed,
                                     .survey = service_survey,
                                     .mark = service_mark,
                                     .service_time = edge_service_time};
    struct err err = {0};

    sim_trace(w, "start");
    w->starts++;
    w->probe_count = 0;
    service_survey_end(w);
    w->stopping = w->syncing = w->state_unwritable = w->state_full = false;
    w->source_syncing = false;
    w->credentials_due = w->recheck_due = w->ack_due = USEC_NEVER;
    w->tick_due = w->now + TICK;
    if (mirror_new(w->config, &edge, rng_next(&w->rng), &w->mirror, &err) < 0) {
        w->mirror = NULL;
        sim_fail(w, "the mirror does not start: %s", err.text);
        return false;
    }
    if (w->room)
        w->mirror->engine->config.max_items = w->room;
    w->paused = mirror_paused_until(w->mirror) != 0; /* a pause outlives the process */
    service_unknown(w);
    mirror_attach(w->mirror, w->now);
    w->pumping = true;
    return true;
}

/* --- the end of a process --------------------------------------------------------------------- */

/* Nothing that its connections do from now on has an effect. */
static void bury(struct world *w)
{
    service_orphan(w);
    vfs_dying(true);
    store_rollback(mirror_store(w->mirror));
    mirror_free(w->mirror);
    w->mirror = NULL;
}

/* At any moment, also when a commit of the state file waits for its sync. */
static void last_deeds(struct world *w)
{
    int fd = -1;

    if (PLANTED(
            ACK_BEFORE_DIGEST)) /* else it is rare that just the acknowledgement came in between */
        mirror_ack(w->mirror, w->now, true);
    if (!w->syncing && sim_chance(w, 300) && mirror_flush(w->mirror, w->now, &fd) == 1)
        mirror_ack(w->mirror, w->now, true);
}

void sim_crash(struct world *w)
{
    last_deeds(w);
    sim_trace(w, "crash");
    bury(w);
    vfs_dying(false);
}

void sim_power_failure(struct world *w)
{
    if (w->mirror)
        last_deeds(w);
    sim_trace(w, "power failure");
    if (w->mirror)
        bury(w);
    application_close(w);
    vfs_dying(false);
    vfs_power_failure(&w->rng, w->sector);
    application_recover(w);
}

void sim_stop(struct world *w)
{
    int fd = -1;
    bool patient = w->quiet || sim_chance(w, 800);

    sim_trace(w, "stop");
    mirror_stop(w->mirror, w->now);
    w->stopping = true;
    while (patient && service_answer(w, false))
        ;
    if (w->source_syncing)
        sim_source_synced(w, true);
    if (w->syncing)
        sim_flushed(w, true);
    if (mirror_flush_now(w->mirror, w->now, &fd) == 1)
        mirror_flushed(w->mirror, w->now, fdatasync(fd) == 0);
    unsigned acks = 0;
    while (mirror_ack(w->mirror, w->now, true) == w->now && !w->failure[0])
        if (++acks > STOP_ACKS)
            sim_fail(w, "I8: at a stop the journal is acknowledged without an end");
    mirror_farewell(w->mirror);
    service_orphan(w);
    mirror_free(w->mirror);
    w->mirror = NULL;
}

void sim_lose_state(struct world *w)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    char path[sizeof w->state + 16];

    sim_trace(w, "the state file is lost");
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        snprintf(path, sizeof path, "%s%s", w->state, suffixes[i]);
        name_lose(path);
    }
    if (access(w->state, F_OK) == 0)
        sim_fail(w, "the state file is there after it was lost");
    service_state_lost(w);
}

/* --- parts of a turn -------------------------------------------------------------------------- */

void sim_work(struct world *w)
{
    unsigned bits = w->stopping ? 0 : mirror_work(w->mirror, w->now);
    const char *text;

    sim_trace(w, "work: %u, problem %d", bits, mirror_problem(w->mirror, &text));
    w->pumping |= bits & MIRROR_MORE;
    w->recheck_due = bits & (MIRROR_BUSY | MIRROR_LATER) ? w->now + USEC_PER_MSEC : USEC_NEVER;
}

void sim_flush(struct world *w)
{
    if (w->syncing || mirror_flush(w->mirror, w->now, &w->state_fd) != 1)
        return;
    sim_trace(w, "flush");
    w->syncing = true;
}

void sim_flushed(struct world *w, bool durable)
{
    sim_trace(w, "flushed: %d", durable);
    w->syncing = false;
    if (durable)
        fdatasync(w->state_fd);
    else
        descriptor_sync_fails(w->state_fd);
    mirror_flushed(w->mirror, w->now, durable);
    w->pumping = true;
}

void sim_source_synced(struct world *w, bool durable)
{
    sim_trace(w, "source synced: %d", durable);
    w->source_syncing = false;
    if (durable && !w->source_synced)
        sync_source(w);
    mirror_source_synced(w->mirror, w->now, w->source_sync, durable ? 0 : -EIO);
    w->pumping = true;
}

void sim_ack(struct world *w, bool force)
{
    w->ack_due = mirror_ack(w->mirror, w->now, force);
    sim_trace(w, "ack: next in %lld",
              w->ack_due == USEC_NEVER ? -1LL : (long long)(w->ack_due - w->now));
}

void sim_tick(struct world *w)
{
    w->tick_due = w->now + TICK;
    mirror_tick(w->mirror);
    if (mirror_changed(w->mirror))
        sim_work(w);
    sim_flush(w);
    sim_ack(w, false);
    sim_rest(w);
}

void sim_rest(struct world *w)
{
    bool resting = mirror_resting(w->mirror);

    mirror_rest(w->mirror, w->now);
    if (mirror_resting(w->mirror) != resting)
        sim_trace(w, "at rest");
    w->rests += mirror_resting(w->mirror) && !resting;
}

void sim_pause(struct world *w, bool paused)
{
    sim_trace(w, "pause: %d", paused);
    w->paused = paused;
    mirror_pause(w->mirror, w->now, paused);
    w->pumping = true;
}

void sim_state_unwritable(struct world *w, bool yes)
{
    sim_trace(w, "state unwritable: %d", yes);
    w->state_unwritable = yes;
    sqlite3_exec(mirror_store(w->mirror)->db, yes ? "PRAGMA query_only=1" : "PRAGMA query_only=0",
                 NULL, NULL, NULL);
}

static int takes_nothing(void *arg)
{
    (void)arg;
    return 1;
}

void sim_state_full(struct world *w, bool yes)
{
    sim_trace(w, "state full: %d", yes);
    w->state_full = yes;
    sqlite3_commit_hook(mirror_store(w->mirror)->db, yes ? takes_nothing : NULL, NULL);
}

static usec earlier(usec a, usec b)
{
    return a < b ? a : b;
}

static usec timer_due(struct world *w)
{
    usec due = earlier(mirror_deadline(w->mirror), mirror_flush_due(w->mirror));

    return earlier(due, w->ack_due);
}

static usec next_due(struct world *w)
{
    usec due = earlier(timer_due(w), earlier(w->tick_due, w->recheck_due));

    for (uint32_t i = 0; i < w->probe_count; i++)
        due = earlier(due, earlier(w->probes[i].due, w->probes[i].watch));
    due = earlier(due, earlier(w->credentials_due, service_due(w)));
    due = earlier(due, service_survey_due(w));
    return earlier(due, service_late_due(w));
}

static void serve(struct world *w)
{
    service_late(w);
    while (service_answer(w, true))
        ;
    if (w->credentials_due <= w->now) {
        w->credentials_due = USEC_NEVER;
        sim_trace(w, "credentials");
        mirror_credentials(w->mirror, w->now);
        w->pumping = true;
    }
    for (uint32_t i = 0; i < w->probe_count; i++)
        if (w->probes[i].due <= w->now)
            service_probe(w, i);
    for (uint32_t i = 0; i < w->probe_count; i++)
        if (w->probes[i].watch <= w->now)
            service_watch(w, i);
    service_surveys(w);
    if (w->syncing)
        sim_flushed(w, !sim_chance(w, w->faults.sync_failed));
    if (w->source_syncing)
        sim_source_synced(w, !sim_chance(w, w->faults.source_sync_failed));
}

void sim_turn(struct world *w)
{
    serve(w);
    if (w->tick_due <= w->now)
        sim_tick(w);
    bool timer = timer_due(w) <= w->now;
    if (timer)
        mirror_timer(w->mirror, w->now);
    if (w->pumping || timer || w->recheck_due <= w->now) {
        w->pumping = false;
        sim_work(w);
        sim_flush(w);
        sim_ack(w, false);
    }
    usec due = next_due(w);
    if (!w->pumping && !w->syncing && !w->source_syncing && due > w->now)
        w->now = due;
}

/* --- rest ------------------------------------------------------------------------------------- */

/* The operator looks at what a comparison would delete, and agrees. */
void sim_approve(struct world *w)
{
    bool held = w->mirror->held;

    /* Asked at every turn, so not by mirror_table(), which counts dead letters. */
    for (size_t i = 0; i < w->mirror->table_count; i++)
        held |= w->mirror->tables[i].held;
    for (uint32_t i = 0; i < w->probe_count; i++) /* also of no table any more */
        held |= mirror_target(w->mirror, i)->held;
    if (!held)
        return;
    sim_trace(w, "approve: %d", mirror_approve(w->mirror));
    for (uint32_t i = 0; i < w->probe_count; i++)
        if (mirror_target(w->mirror, i)->parked)
            w->probes[i].due = w->now;
    w->pumping = true;
}

/* A table that is gone and whose minute is not over. */
static bool any_dropped(struct world *w)
{
    struct mirror_table_view v;

    for (size_t i = 0; i < mirror_table_count(w->mirror); i++) {
        mirror_table(w->mirror, i, &v);
        if (strcmp(v.state, "dropped") == 0)
            return true;
    }
    return false;
}

static bool at_rest(struct world *w)
{
    struct mirror_view v;

    /* What is seen at once first: this is asked at every turn. */
    if (w->syncing || w->source_syncing || !list_empty(&w->flights) || !mirror_idle(w->mirror))
        return false;
    for (uint32_t i = 0; i < w->probe_count; i++)
        if (w->probes[i].due != USEC_NEVER ||
            (w->probes[i].watch != USEC_NEVER && mirror_target_plan(w->mirror, i, 0)))
            return false;
    mirror_view(w->mirror, w->now, &v);
    return v.converged && oracle_journal_empty(w) && oracle_all_mirrored(w) && !any_dropped(w);
}

static void describe_unrest(struct world *w)
{
    struct mirror_view v;
    const char *text;
    enum source_problem problem = mirror_problem(w->mirror, &text);

    mirror_view(w->mirror, w->now, &v);
    sim_fail(
        w,
        "I8: no rest: attached %d, loading %d, journal %lld of %lld to %lld, items %zu, in "
        "flight %u, state broken %d, converged %d, journal empty %d, all mirrored %d, dropped %d, "
        "problem %d %s, unconfirmed %lld, paused %d, held %d",
        v.attached, v.loading, (long long)v.journal_low, (long long)v.watermark,
        (long long)v.journal_max, v.engine.items, v.engine.in_flight, v.state_broken, v.converged,
        oracle_journal_empty(w), oracle_all_mirrored(w), any_dropped(w), problem, text,
        (long long)v.unconfirmed, v.paused, v.held);
}

/* One that was taken back in part only is to be taken back once more. */
static bool handed_over(const struct mirror *m)
{
    bool handed = m->handed_over;

    for (uint32_t i = 0; i < m->target_count; i++)
        handed |= (m->targets[i]->owned & OWNED_HANDED) != 0;
    return handed;
}

bool sim_ordered_out(const struct world *w)
{
    const struct mirror *m = w->mirror;

    return m->detached || m->uninstalled || handed_over(m);
}

void sim_order(struct world *w)
{
    struct mirror *m = w->mirror;
    struct err err = {0};
    const char *what = "attach";
    int rc;

    if (w->in_transaction) /* it would be waited for */
        return;
    if (handed_over(m)) {
        what = "take back";
        rc = mirror_take_back(m, &err);
    } else if (sim_ordered_out(w)) {
        rc = mirror_attach_order(m, &err);
    } else if (sim_chance(w, 300)) {
        what = "hand over";
        rc = mirror_hand_over(m, &err);
    } else if (sim_chance(w, 300)) {
        what = "uninstall";
        w->uninstalled_by = w->starts;
        service_unknown(w);
        rc = mirror_uninstall(m, &err);
    } else {
        what = "detach";
        rc = mirror_detach(m, &err);
    }
    sim_trace(w, "order to %s: %d %s", what, rc, err.text);
    w->pumping = true;
}

void sim_settle(struct world *w)
{
    usec until = w->now + SETTLE_TIME;
    unsigned turns = 0;

    w->quiet = true;
    w->faults = (struct sim_faults){0};
    application_rest(w);
    service_heal(w);
    if (w->paused)
        sim_pause(w, false);
    if (w->state_unwritable)
        sim_state_unwritable(w, false);
    if (w->state_full)
        sim_state_full(w, false);
    while (!w->failure[0] && !at_rest(w)) {
        if (w->now > until || ++turns > SETTLE_TURNS) {
            describe_unrest(w);
            return;
        }
        if (sim_ordered_out(w))
            sim_order(w);
        if (mirror_idle(w->mirror)) /* what is held is all that is left */
            sim_approve(w);
        sim_turn(w);
    }
}
