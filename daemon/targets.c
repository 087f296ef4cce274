/* What must be right before anything is sent: each DynamoDB table, and credentials (access.c). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "jobs/definitions.h"

/* One that is not ACTIVE is asked about for minutes: those that are open leave room for others. */
enum { MAX_CHECKS = 8, MAX_WATCHES = 4 };
#define PARKED_RETRY      (10 * USEC_PER_SEC)
#define WATCH_INTERVAL    (5 * 60 * USEC_PER_SEC)
#define PATIENCE_STARTING (10 * USEC_PER_SEC)
#define PATIENCE_RUNNING  (2 * USEC_PER_SEC)
#define UNREACHABLE_FIRST (500 * USEC_PER_MSEC)
#define UNREACHABLE_MAX   (15 * USEC_PER_SEC)

static usec backoff(usec first, usec max, unsigned failures)
{
    usec wait = first;

    for (unsigned i = 1; i < failures && wait < max; i++)
        wait *= 2;
    return wait < max ? wait : max;
}

/* --- credentials ------------------------------------------------------------------------------ */

void targets_credentials(struct daemon *d)
{
    for (uint32_t i = 0; i < d->probe_count; i++)
        if (d->probes[i]->due != USEC_NEVER && !mirror_target(d->mirror, i)->looked)
            d->probes[i]->due = 0;
}

void targets_want_credentials(void *arg, const struct reply *why)
{
    struct daemon *d = arg;

    d->engine_wants_credentials = true;
    if (why->class == REPLY_CLOCK)
        log_event(
            LOG_EV_WARNING, "clock_skew",
            "this machine's clock differs from DynamoDB's; requests are signed with DynamoDB's "
            "time from now on; check the time synchronisation",
            "request_id", why->request_id, NULL);
    access_refused(d, why->class == REPLY_CLOCK, why->code, why->message);
    daemon_pump(d);
}

bool targets_refused(struct daemon *d, const struct reply *r)
{
    switch (r->class) {
    case REPLY_DENIED:
    case REPLY_INVALID:
    case REPLY_KEY_SCHEMA:
    case REPLY_NO_TABLE:
        return true;
    case REPLY_EXPIRED:
    case REPLY_CREDENTIALS:
    case REPLY_CLOCK:
        targets_want_credentials(d, r);
        return false;
    default:
        return false;
    }
}

/* --- tables ----------------------------------------------------------------------------------- */

static void verdict(void *arg, const struct table_result *r)
{
    struct probe *p = arg;
    struct daemon *d = p->daemon;
    const struct mirror_target *t = mirror_target(d->mirror, p->target);
    usec now = clock_monotonic();

    p->check = NULL;
    d->checks_running--;
    p->failures = r->verdict == VERDICT_READY || r->verdict == VERDICT_PARKED ? 0 : p->failures + 1;
    switch (r->verdict) {
    case VERDICT_READY:
        daemon_note_success(d);
        /* While it is said of it that it was handed over, it is held: nobody reads what is there
         * before that is over, so it is looked at again then. */
        p->due = p->own.step == OWN_HAND_OVER ? now + PARKED_RETRY : USEC_NEVER;
        p->watch_due = now + WATCH_INTERVAL;
        if (r->created || (t->parked && !t->held))
            log_event(LOG_EV_INFO, r->created ? "table_created" : "table_open",
                      r->created ? "DynamoDB table made" : "DynamoDB table can be written again",
                      "target", t->name, NULL);
        if (r->unfinished[0])
            log_event(LOG_EV_WARNING, "table_unfinished", r->unfinished, "target", t->name, NULL);
        ownership_look(p, r->identity, r->created);
        break;
    case VERDICT_PARKED:
        daemon_note_success(d);
        p->due = now + PARKED_RETRY;
        if (t->handed_over) /* what becomes of it is not for us to say */
            break;
        if (!t->parked || strcmp(t->reason, r->reason) != 0)
            log_event(LOG_EV_WARNING, "table_parked", r->reason, "target", t->name, "code", r->code,
                      "request_id", r->request_id, NULL);
        mirror_target_parked(d->mirror, now, p->target, r->code, r->reason);
        break;
    case VERDICT_UNREACHABLE:
        p->due = now + backoff(UNREACHABLE_FIRST, UNREACHABLE_MAX, p->failures);
        daemon_note_failure(d, r->code, r->reason, r->request_id);
        log_event(LOG_EV_WARNING, "endpoint_unreachable",
                  log_msg("DynamoDB at %s gives no usable answer: %s", d->endpoint.url, r->reason),
                  "code", r->code, NULL);
        break;
    case VERDICT_CREDENTIALS:
        p->due = now + backoff(UNREACHABLE_FIRST, UNREACHABLE_MAX, p->failures);
        daemon_note_failure(d, r->code, r->reason, r->request_id);
        d->failing_since = 0;
        access_refused(d, false, r->code, r->reason);
        break;
    }
    if (p->again) {
        p->again = false;
        p->due = now;
    }
    daemon_pump(d);
}

/* What create_tables = yes would make. NULL: it cannot be made as it is configured (told), or no
 * memory. */
static struct table_definition *definition_wanted(struct daemon *d, uint32_t target)
{
    const struct mirror_target *t = mirror_target(d->mirror, target);
    struct table_definition *wanted = NULL;
    struct err err;
    int rc = definition_begin(d->config, t->name, t->schema, &wanted, &err);
    const struct table_plan *plan;

    for (size_t k = 0; rc == 0 && (plan = mirror_target_plan(d->mirror, target, k)); k++)
        rc = definition_add(wanted, plan, &err);
    if (rc == 0)
        return wanted;
    table_definition_free(wanted);
    usec now = clock_monotonic();
    d->probes[target]->due = now + PARKED_RETRY;
    if (!t->parked)
        log_event(LOG_EV_WARNING, "table_parked", err.text, "target", t->name, NULL);
    mirror_target_parked(d->mirror, now, target, "definition", err.text);
    return NULL;
}

static void start_check(struct daemon *d, struct probe *p)
{
    const struct mirror_target *t = mirror_target(d->mirror, p->target);
    struct table_definition *wanted = NULL;

    /* One that was handed over is others', who may have deleted it. */
    bool create = d->config->create_tables && !t->handed_over;
    if (create && !(wanted = definition_wanted(d, p->target)))
        return;
    p->check = table_check_start(&d->loop, d->ddb, t->name, t->schema, wanted, verdict, p);
    if (p->check)
        d->checks_running++;
}

/* What else may be said of it, a write finds out. */
static bool is_gone(const struct table_result *r)
{
    return r->verdict == VERDICT_PARKED && (strcmp(r->code, "ResourceNotFoundException") == 0 ||
                                            strcmp(r->code, "key_schema") == 0);
}

static void watched(void *arg, const struct table_result *r)
{
    struct probe *p = arg;
    struct daemon *d = p->daemon;

    p->watch = NULL;
    d->checks_running--;
    d->watches_running--;
    p->watch_due = clock_monotonic() + WATCH_INTERVAL;
    if (r->verdict == VERDICT_READY || is_gone(r))
        mirror_target_watched(d->mirror, clock_monotonic(), p->target,
                              is_gone(r) ? NULL : r->identity);
    daemon_pump(d);
}

/* Is it one that is written, and about which nobody asks otherwise? */
static bool is_watched(const struct probe *p)
{
    const struct mirror *m = p->daemon->mirror;

    return !p->check && !p->watch && p->due == USEC_NEVER && mirror_target(m, p->target)->open &&
           mirror_target_plan(m, p->target, 0);
}

/* A table that is deleted and made anew takes writes as before: that all else is missing there, no
 * reply tells. */
static void watch(struct daemon *d, struct probe *p)
{
    const struct mirror_target *t = mirror_target(d->mirror, p->target);

    p->watch = table_check_start(&d->loop, d->ddb, t->name, t->schema, NULL, watched, p);
    if (!p->watch)
        return;
    d->checks_running++;
    d->watches_running++;
}

static bool may_watch(const struct daemon *d)
{
    return d->checks_running < MAX_CHECKS && d->watches_running < MAX_WATCHES;
}

void targets_watch_now(struct daemon *d)
{
    for (uint32_t i = 0; i < d->probe_count; i++)
        d->probes[i]->watch_due = 0;
}

static bool any_looked_at(const struct daemon *d)
{
    for (uint32_t i = 0; i < mirror_target_count(d->mirror); i++)
        if (mirror_target(d->mirror, i)->looked)
            return true;
    return false;
}

/* Nothing is read before every table was looked at. One may be minutes in the making, or cannot be
 * made at all, while DynamoDB tells of others: those do not wait for it, as for none that is
 * parked. Where it told of none so far, none of them is late. */
static void leave_behind(struct daemon *d, struct probe *p, usec now)
{
    const struct mirror_target *t = mirror_target(d->mirror, p->target);
    usec patience = d->state == DAEMON_RUNNING ? PATIENCE_RUNNING : PATIENCE_STARTING;
    char why[400];

    if (!t->looked && !any_looked_at(d))
        p->since = now;
    if (t->looked || now - p->since < patience)
        return;
    snprintf(why, sizeof why,
             "DynamoDB table %.160s is being made, or could not be looked at so far; its changes "
             "wait until it can be",
             t->name);
    log_event(LOG_EV_WARNING, "table_parked", why, "target", t->name, "code", "unlooked", NULL);
    mirror_target_parked(d->mirror, now, p->target, "unlooked", why);
    daemon_pump(d);
}

void targets_turn(struct daemon *d, usec now)
{
    access_turn(d, now);
    if (!ddb_has_credentials(d->ddb) || d->state == DAEMON_STOPPING)
        return;
    for (uint32_t i = 0; i < d->probe_count && d->checks_running < MAX_CHECKS; i++)
        if (!d->probes[i]->check && d->probes[i]->due <= now)
            start_check(d, d->probes[i]);
    for (uint32_t i = 0; i < d->probe_count && may_watch(d); i++)
        if (d->probes[i]->watch_due <= now && is_watched(d->probes[i]))
            watch(d, d->probes[i]);
    for (uint32_t i = 0; i < d->probe_count; i++)
        leave_behind(d, d->probes[i], now);
    ownership_turn(d, now);
    surveyor_turn(d, now);
}

usec targets_due(const struct daemon *d)
{
    usec due = access_due(d), own;

    if (!ddb_has_credentials(d->ddb) || d->state == DAEMON_STOPPING)
        return due;
    own = ownership_due(d);
    due = own < due ? own : due;
    own = surveyor_due(d);
    due = own < due ? own : due;
    if (d->checks_running >= MAX_CHECKS)
        return due;
    for (uint32_t i = 0; i < d->probe_count; i++) {
        const struct probe *p = d->probes[i];
        if (!p->check && p->due < due)
            due = p->due;
        if (may_watch(d) && p->watch_due < due && is_watched(p))
            due = p->watch_due;
    }
    return due;
}

void targets_changed(void *arg)
{
    struct daemon *d = arg;
    uint32_t n = mirror_target_count(d->mirror);
    struct probe **more = realloc(d->probes, (n ? n : 1) * sizeof *more);

    if (!more)
        abort(); /* nobody would look at the new ones; systemd starts us anew */
    d->probes = more;
    for (; d->probe_count < n; d->probe_count++) {
        struct probe *p = calloc(1, sizeof *p);
        if (!p)
            abort();
        p->daemon = d;
        p->target = d->probe_count;
        p->since = clock_monotonic();
        more[d->probe_count] = p;
    }
    daemon_pump(d);
}

void targets_parked(void *arg, uint32_t target, const struct reply *why)
{
    struct daemon *d = arg;

    bool held = strcmp(why->code, "held") == 0; /* which was told */
    if (!held)
        log_event(LOG_EV_WARNING, "table_parked", why->message, "target",
                  mirror_target(d->mirror, target)->name, "code", why->code, "request_id",
                  why->request_id, NULL);
    if (target < d->probe_count)
        d->probes[target]->due = clock_monotonic() + (held ? PARKED_RETRY : USEC_PER_SEC);
}

void targets_unlooked(void *arg, uint32_t target)
{
    struct daemon *d = arg;

    if (target >= d->probe_count)
        return; /* it is new, and looked at anyway */
    d->probes[target]->since = d->probes[target]->due = clock_monotonic();
    daemon_pump(d);
}

bool targets_being_looked_at(const struct daemon *d, const char *name)
{
    for (uint32_t i = 0; i < d->probe_count; i++) {
        const struct probe *p = d->probes[i];
        if (strcmp(mirror_target(d->mirror, i)->name, name) != 0)
            continue;
        /* Never due again: it was found well, and what is in it is being looked at. */
        if (p->check || p->due == USEC_NEVER || p->due <= clock_monotonic())
            return true;
    }
    return false;
}

void targets_retry_now(struct daemon *d)
{
    usec now = clock_monotonic();

    for (uint32_t i = 0; i < d->probe_count; i++) {
        struct probe *p = d->probes[i];
        if (p->check)
            p->again = true;
        else if (p->due != USEC_NEVER)
            p->due = now;
    }
    ownership_retry_now(d);
    access_retry_now(d);
}

/* --- life ------------------------------------------------------------------------------------- */

static unsigned connections(const struct config *c)
{
    return (unsigned)c->max_requests_in_flight + MAX_CHECKS;
}

void targets_configure(struct daemon *d, const struct config *fresh)
{
    http_client_connections(d->http, connections(fresh));
}

int targets_start(struct daemon *d, struct err *err)
{
    const struct config *c = d->config;
    struct http_options ho = {.ca_file = c->ca_file,
                              .max_connections = connections(c),
                              .timeout = c->request_timeout,
                              .own = c->http_client == HTTP_CLIENT_OWN,
                              .max_reply = 32 * 1024 * 1024};
    int rc = http_client_new(&d->loop, &ho, &d->http, err);

    return rc < 0 ? rc : access_start(d, err);
}

void targets_stop(struct daemon *d)
{
    access_stop(d);
    for (uint32_t i = 0; i < d->probe_count; i++) {
        if (d->probes[i]->check)
            table_check_cancel(d->probes[i]->check);
        table_check_cancel(d->probes[i]->watch);
        ownership_stop(d, d->probes[i]);
        surveyor_stop(d->probes[i]);
        free(d->probes[i]);
    }
    free(d->probes);
    d->probes = NULL;
    d->probe_count = 0;
}
