/* Is all well, and if not, why: one sentence a reason, each with what to do. */
#include "daemon.h"

#include <stdio.h>

#define LOCKED_GRACE      (5 * USEC_PER_SEC)
#define UNREACHABLE_GRACE (30 * USEC_PER_SEC)
#define STARTING_GRACE    (30 * USEC_PER_SEC)
#define LONGEST_RETRY     (15 * USEC_PER_SEC) /* of all but the engine */
#define MINUTE            (60 * USEC_PER_SEC)
/* Signatures follow DynamoDB's time anyway; a clock that is a minute off is set by nobody. */
enum { SKEW_SECONDS = 60 };

static const char *const names[] = {"ok", "warning", "critical"};

const char *health_name(enum health h)
{
    return names[h];
}

double health_number(enum health h)
{
    return h == HEALTH_OK ? 1 : h == HEALTH_WARNING ? 0.5 : 0;
}

__attribute__((format(printf, 4, 5))) static void add(struct health_report *r, enum health level,
                                                      const char *code, const char *fmt, ...)
{
    va_list args;

    if (level > r->level)
        r->level = level;
    if (r->count == MAX_REASONS)
        return;
    struct reason *to = &r->reasons[r->count++];
    to->code = code;
    to->level = level;
    va_start(args, fmt);
    vsnprintf(to->message, sizeof to->message, fmt, args);
    va_end(args);
}

static void look_source(struct daemon *d, const struct mirror_view *v, usec now,
                        struct health_report *r)
{
    const char *text;
    enum source_problem p = mirror_problem(d->mirror, &text);

    if (p != SOURCE_LOCKED)
        d->locked_since = 0;
    else if (!d->locked_since)
        d->locked_since = now;
    if (v->held)
        add(r, HEALTH_CRITICAL, "held", "%s", v->held_text);
    else if (v->uninstalled)
        add(r, HEALTH_WARNING, "uninstalled",
            "journal and triggers were taken out of the database; `syncctl attach` puts them back");
    else if (v->handed_over)
        add(r, HEALTH_WARNING, "handed_over",
            "the DynamoDB tables were handed over: others write there, and changes of the database "
            "are not captured until `syncctl handover --undo`");
    else if (v->detached)
        add(r, HEALTH_WARNING, "detached",
            "triggers are detached: changes are not captured until `syncctl attach`");
    else if (p == SOURCE_LOCKED && now - d->locked_since > LOCKED_GRACE)
        add(r, HEALTH_CRITICAL, source_problem_code(p), "%s", text);
    else if (p != SOURCE_OK && p != SOURCE_LOCKED)
        add(r, HEALTH_CRITICAL, source_problem_code(p), "%s", text);
}

/* What failed is not tried again (sending is paused, or there is nothing to send any more), nor was
 * anything else for longer than whoever asks waits: how DynamoDB is now is not known. */
static bool nobody_asks(const struct daemon *d, const struct mirror_view *v, usec now)
{
    return !v->engine.in_flight &&
           (v->paused || !v->engine.items || v->engine.retry_at == USEC_NEVER) &&
           now - d->failed_last >
               d->config->backoff_max + d->config->request_timeout + LONGEST_RETRY;
}

static void look_target(struct daemon *d, const struct mirror_view *v, usec now,
                        struct health_report *r)
{
    if (d->failing_since && nobody_asks(d, v, now))
        d->failing_since = 0;
    if (d->credentials_code[0])
        add(r, d->credentials_warning ? HEALTH_WARNING : HEALTH_CRITICAL, d->credentials_code, "%s",
            d->credentials_error.text);
    if (d->failing_since)
        add(r, now - d->failing_since > UNREACHABLE_GRACE ? HEALTH_CRITICAL : HEALTH_WARNING,
            "endpoint_unreachable", "DynamoDB at %s gives no usable answer for %lld s: %s",
            d->endpoint.url, (long long)((now - d->failing_since) / USEC_PER_SEC),
            d->last_error_message);
    int64_t offset = ddb_clock_offset(d->ddb);
    if (offset > SKEW_SECONDS || offset < -SKEW_SECONDS)
        add(r, HEALTH_WARNING, "clock_skew",
            "this machine's clock is %lld s %s DynamoDB's; check the time synchronisation",
            (long long)(offset < 0 ? -offset : offset), offset < 0 ? "ahead of" : "behind");
}

/* Before those that are only parked, of which there may be more than there is room for. */
static void look_held_tables(struct daemon *d, struct health_report *r)
{
    for (size_t i = 0; i < mirror_table_count(d->mirror); i++) {
        struct mirror_table_view t;
        mirror_table(d->mirror, i, &t);
        if (strcmp(t.state, "held") != 0 || r->count >= MAX_REASONS - 8)
            continue;
        if (t.reason[0] && !t.held_deletes)
            add(r, HEALTH_CRITICAL, "held", "table \"%s\": %s", t.name, t.reason);
        else
            add(r, HEALTH_CRITICAL, "held",
                "table \"%s\": a comparison would delete %lld of %lld items; look at the database, "
                "then `syncctl approve`",
                t.name, (long long)t.held_deletes, (long long)t.held_items);
    }
}

static void look_parked_tables(struct daemon *d, struct health_report *r)
{
    size_t more = 0;

    for (size_t i = 0; i < mirror_table_count(d->mirror); i++) {
        struct mirror_table_view t;
        mirror_table(d->mirror, i, &t);
        if (strcmp(t.state, "parked") != 0)
            continue;
        if (r->count < MAX_REASONS - 8)
            add(r, HEALTH_WARNING, "table_parked", "table \"%s\": %s", t.name, t.reason);
        else
            more++;
    }
    if (more)
        add(r, HEALTH_WARNING, "table_parked", "%zu more tables are parked; see `syncctl tables`",
            more);
}

static void look_tables(struct daemon *d, struct health_report *r)
{
    look_held_tables(d, r);
    look_parked_tables(d, r);
}

/* What cannot be known of what DynamoDB holds. */
static void look_surveys(struct daemon *d, struct health_report *r)
{
    for (uint32_t i = 0; i < mirror_target_count(d->mirror); i++) {
        const struct mirror_target *t = mirror_target(d->mirror, i);
        if (t->open && t->owing && t->unseen[0] && r->count < MAX_REASONS - 8)
            add(r, HEALTH_WARNING, "survey_failed",
                "%s; items whose rows went while the state file was lost may still be there; "
                "`syncctl iam-policy` prints the rights that are needed",
                t->unseen);
    }
}

static void look_lag(struct daemon *d, const struct mirror_view *v, usec now,
                     struct health_report *r)
{
    /* While tables are loaded nothing may have been well for long; a change that waits does. */
    if (v->oldest_pending == USEC_NEVER || v->paused || v->detached ||
        (v->loading && !v->oldest_known))
        return;
    usec lag = now - v->oldest_pending;
    enum health level = lag > d->config->lag_critical  ? HEALTH_CRITICAL
                        : lag > d->config->lag_warning ? HEALTH_WARNING
                                                       : HEALTH_OK;
    if (level != HEALTH_OK)
        add(r, level, level == HEALTH_CRITICAL ? "lag_critical" : "lag_warning",
            "the oldest change waits for %lld s (%s = %lld s)", (long long)(lag / USEC_PER_SEC),
            level == HEALTH_CRITICAL ? "lag_critical" : "lag_warning",
            (long long)((level == HEALTH_CRITICAL ? d->config->lag_critical
                                                  : d->config->lag_warning) /
                        USEC_PER_SEC));
}

/* Nothing moves although something should, whatever the cause. */
static void look_stalls(struct daemon *d, const struct mirror_view *v, usec now,
                        struct health_report *r)
{
    bool excused = !mirror_on_duty(d->mirror) || d->state != DAEMON_RUNNING;
    enum mirror_motion_kind which = MOTION_READ;
    usec limit = stall_limit(d->config->lag_critical);

    stall_look(&d->stall, v->motion, excused, now);
    usec stalled = stall_longest(&d->stall, now, &which);
    if (stalled > limit)
        add(r, HEALTH_CRITICAL, "stalled",
            "%s for %lld s; see the reasons beside this one and the log", stall_words(which),
            (long long)(stalled / USEC_PER_SEC));
    if (excused || v->attached)
        d->detached_since = 0;
    else if (!d->detached_since)
        d->detached_since = now;
    if (d->detached_since && now - d->detached_since > limit)
        add(r, HEALTH_CRITICAL, "not_attached",
            "triggers and journal of database %s are not as they should be for %lld s: changes may "
            "go unseen; see the reasons beside this one and the log",
            d->config->database, (long long)((now - d->detached_since) / USEC_PER_SEC));
    if (!excused && v->ack_refused && now - v->ack_refused > limit)
        add(r, HEALTH_CRITICAL, "journal_locked",
            "the journal in database %s cannot be emptied for %lld s: another process keeps the "
            "database locked; look for a transaction left open",
            d->config->database, (long long)((now - v->ack_refused) / USEC_PER_SEC));
}

static void look_canary(struct daemon *d, usec now, struct health_report *r)
{
    const char *stopped = mirror_canary_stopped(d->mirror);
    enum mirror_motion_kind which;
    struct canary_facts f = {.age = canary_age(d, now),
                             .limit = d->config->canary,
                             .lag_warning = d->config->lag_warning,
                             .lag_critical = d->config->lag_critical};

    if (!d->canary.on_duty)
        return;
    f.queued = !stopped && canary_on_its_way(d);
    f.still = stall_longest(&d->stall, now, &which);
    enum canary_verdict verdict = canary_judge(&f);
    if (verdict == CANARY_WELL && !stopped)
        return;
    if (verdict == CANARY_WELL)
        add(r, HEALTH_WARNING, "canary_stopped", "the canary cannot go on its way: %s", stopped);
    else
        add(r, verdict == CANARY_LATE ? HEALTH_CRITICAL : HEALTH_WARNING, "canary_late",
            "no canary has come back from DynamoDB for %lld s (canary = %lld s): %s",
            (long long)(f.age / USEC_PER_SEC), (long long)(f.limit / USEC_PER_SEC),
            stopped ? stopped : d->canary.why);
}

/* DynamoDB takes less than is written, and has for long enough to be noticed. */
static void look_throttling(struct daemon *d, const struct mirror_view *v, usec now,
                            struct health_report *r)
{
    const char *slowest = NULL;
    double least = 0;

    if (!d->throttled_since || now - d->throttled_since <= d->config->lag_warning ||
        v->oldest_pending == USEC_NEVER || now - v->oldest_pending <= d->config->lag_warning)
        return;
    for (uint32_t i = 0; i < mirror_target_count(d->mirror); i++) {
        double limit = mirror_target_limit(d->mirror, i);
        if (limit > 0 && (!slowest || limit < least)) {
            slowest = mirror_target(d->mirror, i)->name;
            least = limit;
        }
    }
    add(r, HEALTH_WARNING, "throttled",
        "DynamoDB has been throttling for %lld s%s%s, and changes wait; give the table more write "
        "capacity",
        (long long)((now - d->throttled_since) / USEC_PER_SEC), slowest ? ", most of all " : "",
        slowest ? slowest : "");
}

static const char *span(usec t, char out[32])
{
    long long minutes = t / MINUTE;

    if (minutes < 2)
        snprintf(out, 32, "%lld s", (long long)(t / USEC_PER_SEC));
    else if (minutes < 120)
        snprintf(out, 32, "%lld min", minutes);
    else
        snprintf(out, 32, "%lld h", minutes / 60);
    return out;
}

/* Past journal_limit the oldest changes go and whole tables are compared: not lost, but long. */
static void look_journal(struct daemon *d, const struct mirror_view *v, struct health_report *r)
{
    int64_t limit = d->config->journal_limit;
    usec left = growth_reaches(&d->journal_growth, limit);
    double used = (double)v->journal_entries / (double)limit;
    bool filling = left != USEC_NEVER;
    enum health level = used >= 0.9 || (used >= 0.5 && left < 10 * MINUTE)   ? HEALTH_CRITICAL
                        : used >= 0.5 || (used >= 0.1 && left < 60 * MINUTE) ? HEALTH_WARNING
                                                                             : HEALTH_OK;
    char text[32];

    if (level == HEALTH_OK)
        return;
    if (used >= 1)
        add(r, level, "journal_full",
            "the journal holds %lld changes, its limit is %lld: the oldest go, and their tables "
            "will be compared",
            (long long)v->journal_entries, (long long)limit);
    else
        add(r, level, "journal_filling",
            "the journal holds %.0f %% of journal_limit (%lld of %lld changes)%s%s", used * 100,
            (long long)v->journal_entries, (long long)limit,
            filling ? "; as it grows now it is full in " : "", filling ? span(left, text) : "");
}

void health_look(struct daemon *d, const struct mirror_view *v, struct health_report *out)
{
    usec now = clock_monotonic();

    *out = (struct health_report){0};
    if (d->state == DAEMON_STOPPING)
        add(out, HEALTH_WARNING, "stopping", "syncd is stopping");
    look_source(d, v, now, out);
    if (v->state_broken)
        add(out, HEALTH_CRITICAL, "state_unwritable", "%s", v->state_error);
    look_target(d, v, now, out);
    look_tables(d, out);
    look_surveys(d, out);
    look_lag(d, v, now, out);
    look_stalls(d, v, now, out);
    look_canary(d, now, out);
    const char *unkept = schema_keeper_problem(d, now);
    if (unkept)
        add(out, HEALTH_WARNING, "schema_unkept", "%s", unkept);
    look_journal(d, v, out);
    look_throttling(d, v, now, out);
    if (v->paused)
        add(out, HEALTH_WARNING, "paused", "sending is paused; `syncctl resume` goes on");
    if (v->dead_letters)
        add(out, HEALTH_WARNING, "dead_letters",
            "%lld row%s cannot be held by DynamoDB, or %s for another; see `syncctl dead-letters`",
            (long long)v->dead_letters, v->dead_letters == 1 ? "" : "s",
            v->dead_letters == 1 ? "waits" : "wait");
    if (v->overdue > d->config->unconfirmed_horizon && !v->paused && !v->held)
        add(out, HEALTH_WARNING, "unconfirmed",
            "%lld item%s of uncertain outcome could not be sent again for %lld s; see the reasons "
            "beside this one",
            (long long)v->unconfirmed, v->unconfirmed == 1 ? "" : "s",
            (long long)(v->overdue / USEC_PER_SEC));
    /* Other reasons may be why; a mere warning is no reason for a start that does not end. */
    enum health starting = d->state != DAEMON_STARTING         ? HEALTH_OK
                           : now - d->started > STARTING_GRACE ? HEALTH_CRITICAL
                                                               : HEALTH_WARNING;
    if (starting > out->level)
        add(out, starting, "starting",
            "syncd has not looked at the database and every DynamoDB table yet");
}
