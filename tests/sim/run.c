/* A run: which troubles there are, what happens step by step, and what must hold at its end. */
#include <stdio.h>
#include <string.h>

#include "run.h"
#include "vfs.h"
#include "world.h"

static unsigned trouble(struct world *w, unsigned most)
{
    return sim_chance(w, 400) ? sim_pick(w, most + 1) : 0;
}

static void choose_faults(struct world *w)
{
    w->faults = (struct sim_faults){
        .unprocessed = trouble(w, 500),
        .throttled = trouble(w, 300),
        .transient = trouble(w, 300),
        .not_sent = trouble(w, 300),
        .ambiguous = trouble(w, 300),
        .expired = trouble(w, 100),
        .other = trouble(w, 50),
        .table_lost = trouble(w, 100),
        .table_replaced = trouble(w, 300),
        .table_denied = trouble(w, 200),
        .table_throttled = trouble(w, 200),
        .poison = trouble(w, 200),
        .unmapped = trouble(w, 100),
        .schema = trouble(w, 150),
        .triggers_dropped = trouble(w, 150),
        .journal_emptied = trouble(w, 150),
        .crash = trouble(w, 30),
        .power = trouble(w, 30),
        .restart = trouble(w, 30),
        .resync = trouble(w, 30),
        .pause = trouble(w, 30),
        .retry_letters = trouble(w, 30),
        .sync_failed = trouble(w, 200),
        .source_sync_failed = trouble(w, 200),
        .state_unwritable = trouble(w, 30),
        .state_full = trouble(w, 30),
        .state_lost = trouble(w, 600),
        .foreign = trouble(w, 700),
        .survey_denied = trouble(w, 300),
        .left_out = trouble(w, 30),
        .ordered = trouble(w, 12),
        .meanwhile = trouble(w, 300),
    };
    /* Where the journal's entries are gone, only a comparison with DynamoDB itself finds what a
     * dead process had in flight. */
    if (w->faults.crash || w->faults.power || w->faults.restart)
        w->faults.journal_emptied = 0;
    w->faults.denied_long = w->faults.table_denied ? trouble(w, 950) : 0;
    w->room = sim_chance(w, 300) ? 16 + sim_pick(w, 300) : 0;
    w->slow = sim_chance(w, 500) ? 0 : sim_chance(w, 500) ? 500 : 15000;
}

static void resync(struct world *w)
{
    struct mirror_table_view v;
    struct err err = {0};
    size_t n = mirror_table_count(w->mirror);

    if (!n)
        return;
    mirror_table(w->mirror, sim_pick(w, (unsigned)n), &v);
    bool full = sim_chance(w, 500);
    int rc = mirror_resync(w->mirror, sim_chance(w, 300) ? NULL : v.name, full, &err);
    sim_trace(w, "resync %s, full %d: %d", v.name, full, rc);
    w->pumping = true;
}

static void leave_out_another(struct world *w)
{
    world_leave_out(w, w->left_out ? NULL : application_table(sim_pick(w, SIM_SOURCES)));
}

static void start_again(struct world *w)
{
    if (sim_chance(w, w->faults.state_lost)) {
        /* Meanwhile rows go, whose items nobody knows any more. */
        if (!w->in_transaction && w->rebuilding < 0 && sim_chance(w, 700))
            application_unseen(w);
        sim_lose_state(w);
    }
    if (sim_chance(w, 10 * w->faults.left_out))
        leave_out_another(w);
    sim_start(w);
}

/* One that ends comes often enough. */
static bool rare(struct world *w, bool ends, unsigned chance)
{
    if (ends)
        return sim_chance(w, 100);
    return sim_chance(w, w->burst ? 5 * chance : chance);
}

static bool disturb_once(struct world *w)
{
    const struct sim_faults *f = &w->faults;

    if (rare(w, false, f->crash)) {
        sim_crash(w);
        start_again(w);
    } else if (rare(w, false, f->power)) {
        sim_power_failure(w);
        start_again(w);
    } else if (rare(w, false, f->restart)) {
        sim_stop(w);
        start_again(w);
    } else if (rare(w, false, f->resync)) {
        resync(w);
    } else if (rare(w, w->paused, f->pause)) {
        sim_pause(w, !w->paused);
    } else if (rare(w, w->state_unwritable, f->state_unwritable)) {
        sim_state_unwritable(w, !w->state_unwritable);
    } else if (rare(w, w->state_full, f->state_full)) {
        sim_state_full(w, !w->state_full);
    } else if (rare(w, sim_ordered_out(w), f->ordered)) {
        sim_order(w);
    } else if (rare(w, w->left_out, f->left_out)) {
        leave_out_another(w);
    } else if (rare(w, false, f->retry_letters)) {
        sim_trace(w, "retry: %d", mirror_dead_letters_retry(w->mirror, w->now, 0));
        w->pumping = true;
    } else {
        return false;
    }
    return true;
}

/* Rare things, of which one often brings others; true when one was done. */
static bool disturb(struct world *w)
{
    bool done = disturb_once(w);

    if (w->burst)
        w->burst--;
    if (done && sim_chance(w, 100))
        w->burst = 4 + sim_pick(w, 12);
    return done;
}

static void pass_time(struct world *w)
{
    unsigned dice = sim_pick(w, 1000);

    if (dice < 600)
        w->now += sim_pick(w, 3000);
    else if (dice < 900)
        w->now += sim_pick(w, 200) * USEC_PER_MSEC;
    else if (dice < 995)
        w->now += sim_pick(w, 5000) * USEC_PER_MSEC;
    else if (dice < 999)
        w->now += 61 * USEC_PER_SEC;
    else
        w->now += sim_pick(w, 20 * 60) * USEC_PER_SEC;
}

static void step(struct world *w)
{
    service_late(w);
    if (disturb(w) || !w->mirror)
        return;
    switch (sim_pick(w, 14)) {
    case 0:
    case 1:
    case 2:
        application_step(w);
        break;
    case 3:
    case 4:
        service_answer(w, false);
        break;
    case 5:
        sim_work(w);
        break;
    case 6:
        mirror_timer(w->mirror, w->now);
        break;
    case 7:
        if (w->source_syncing && sim_chance(w, 500))
            sim_source_synced(w, !sim_chance(w, w->faults.source_sync_failed));
        else if (w->syncing)
            sim_flushed(w, !sim_chance(w, w->faults.sync_failed));
        else
            sim_flush(w);
        break;
    case 8:
        sim_ack(w, sim_chance(w, 500));
        break;
    case 9:
        service_trouble(w);
        break;
    case 10:
        oracle_converged(w);
        break;
    case 11:
        if (sim_chance(w, 100))
            sim_approve(w);
        break;
    case 12:
        sim_rest(w);
        break;
    default:
        sim_turn(w);
    }
    pass_time(w);
}

/* After a clean stop at rest nothing is left to be sent. */
static void check_clean_restart(struct world *w)
{
    sim_stop(w);
    uint64_t requests = w->requests;
    if (!sim_start(w))
        return;
    sim_settle(w);
    if (w->requests != requests)
        sim_fail(w, "a clean restart at rest sent %llu requests",
                 (unsigned long long)(w->requests - requests));
}

enum { REST_TURNS = 100000 };

/* With nothing to do it lets go of the database, and misses nothing of what comes then. */
static void check_rest(struct world *w)
{
    unsigned rounds = 1 + sim_pick(w, 3);

    for (unsigned i = 0; i < rounds && !w->failure[0]; i++) {
        usec until = w->now + 60 * USEC_PER_SEC;
        for (unsigned n = 0; !mirror_resting(w->mirror) && w->now < until && n < REST_TURNS; n++)
            sim_turn(w);
        if (!mirror_resting(w->mirror))
            sim_fail(w, "the database is not let go of");
        oracle_converged(w);
        for (unsigned n = 1 + sim_pick(w, 5); n > 0; n--) {
            application_step(w);
            if (sim_chance(w, 300))
                sim_turn(w);
        }
        if (sim_chance(w, 300))
            sim_rest(w);
        if (sim_chance(w, 200)) {
            sim_stop(w);
            sim_start(w);
        } else if (sim_chance(w, 200)) {
            resync(w);
        }
        oracle_converged(w);
        sim_settle(w);
        if (!w->failure[0])
            oracle_compare(w, "after a rest");
        if (!w->failure[0])
            service_check_late(w, "after a rest");
    }
}

static const char *const fault_names[] = {
    "unprocessed",      "throttled",       "transient",     "not_sent",       "ambiguous",
    "expired",          "other",           "table_lost",    "table_replaced", "table_denied",
    "table_throttled",  "denied_long",     "poison",        "unmapped",       "schema",
    "triggers_dropped", "journal_emptied", "crash",         "power",          "restart",
    "resync",           "pause",           "retry_letters", "sync_failed",    "source_sync_failed",
    "state_unwritable", "state_full",      "state_lost",    "foreign",        "survey_denied",
    "left_out",         "ordered",         "meanwhile",
};
enum { FAULTS = sizeof fault_names / sizeof *fault_names };
_Static_assert(sizeof(struct sim_faults) == FAULTS * sizeof(unsigned), "a name for each trouble");

const char *sim_fault_name(unsigned n)
{
    return n < FAULTS ? fault_names[n] : NULL;
}

/* The seed's choices stay as they are; what is left out just does not happen. */
static void leave_out(struct world *w, const struct sim_limits *limits)
{
    unsigned faults[FAULTS];

    memcpy(faults, &w->faults, sizeof faults);
    for (unsigned n = 0; n < FAULTS; n++)
        if (limits->without >> n & 1)
            faults[n] = 0;
    memcpy(&w->faults, faults, sizeof faults);
}

static void go(struct world *w, unsigned most)
{
    unsigned steps = 50 + sim_pick(w, 300);

    if (most && most < steps)
        steps = most;
    for (; w->step < steps && !w->failure[0]; w->step++)
        step(w);
    w->faults.meanwhile = 0;
    world_leave_out(w, NULL);
    if (!w->failure[0])
        sim_settle(w);
    if (!w->failure[0])
        oracle_compare(w, "at rest");
    if (!w->failure[0])
        service_check_late(w, "at rest");
    if (!w->failure[0])
        check_clean_restart(w);
    if (!w->failure[0])
        check_rest(w);
}

uint64_t sim_run(uint64_t seed, bool tracing, const struct sim_limits *limits, char failure[1024],
                 unsigned *steps)
{
    struct world *w = world_new(seed, tracing);

    if (!w) {
        snprintf(failure, 1024, "the world cannot be made");
        return 0;
    }
    choose_faults(w);
    leave_out(w, limits);
    if (!w->faults.power)
        vfs_powered();
    if (!world_build(w))
        sim_fail(w, "the database cannot be made");
    else if (sim_start(w))
        go(w, limits->steps);
    snprintf(failure, 1024, "%s", w->failure);
    uint64_t hash = w->hash;
    if (steps)
        *steps = w->step;
    world_free(w);
    return hash;
}
