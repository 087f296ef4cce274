/* Whose the DynamoDB tables are: a marker in meta_table for each (dynamodb/marker.h). Read before a
 * table is opened, so that what is another database's, or was handed over, is held; written before
 * it is first written by this process, with the name of this life of the state file.
 *
 * Without meta_table, or without the right to it, tables are written all the same; what is not
 * protected then is said once. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "daemon.h"
#include "jobs/ddb_reply.h"
#include "jobs/definitions.h"
#include "source/canary.h"

#define RETRY_FIRST (250 * USEC_PER_MSEC)
#define RETRY_MAX   (15 * USEC_PER_SEC)
#define LOOK_AGAIN  (10 * 60 * USEC_PER_SEC)

static usec retry_at(unsigned *failures)
{
    usec wait = RETRY_FIRST << (*failures < 6 ? *failures : 6);

    ++*failures;
    return clock_monotonic() + (wait < RETRY_MAX ? wait : RETRY_MAX);
}

static const struct mirror_target *target_of(const struct probe *p)
{
    return mirror_target(p->daemon->mirror, p->target);
}

/* --- meta_table ------------------------------------------------------------------------------- */

static void no_meta(struct daemon *d, const char *code, const char *why)
{
    struct meta_table *m = &d->meta;
    bool told = strcmp(m->why, why) == 0;

    m->looked = true;
    m->there = false;
    m->look_again = clock_monotonic() + LOOK_AGAIN;
    text_copy(m->why, sizeof m->why, why);
    if (!told)
        log_event(LOG_EV_WARNING, "marker_missing",
                  log_msg("nothing in DynamoDB says whose the tables are, so that a copy of this "
                          "database elsewhere, a second one on the same tables or a handover is "
                          "not noticed there: %s",
                          why),
                  "code", code, NULL);
}

static void meta_checked(void *arg, const struct table_result *r)
{
    struct daemon *d = arg;
    struct meta_table *m = &d->meta;

    m->check = NULL;
    switch (r->verdict) {
    case VERDICT_READY:
        m->looked = m->there = true;
        m->why[0] = '\0';
        m->failures = 0;
        break;
    case VERDICT_PARKED:
        no_meta(d, r->code, r->reason);
        break;
    case VERDICT_UNREACHABLE:
        daemon_note_failure(d, r->code, r->reason, r->request_id);
        m->due = retry_at(&m->failures);
        break;
    case VERDICT_CREDENTIALS:
        access_refused(d, false, r->code, r->reason);
        m->due = retry_at(&m->failures);
        break;
    }
    daemon_pump(d);
}

static void check_meta(struct daemon *d, usec now)
{
    struct meta_table *m = &d->meta;
    struct table_definition *wanted = NULL;
    struct err err;

    m->looked = false; /* perhaps once more */
    if (m->check || m->due > now)
        return;
    if (d->config->create_tables && definition_begin(d->config, d->config->meta_table,
                                                     &definition_meta_key, &wanted, &err) < 0) {
        m->due = retry_at(&m->failures);
        return;
    }
    m->check = table_check_start(&d->loop, d->ddb, d->config->meta_table, &definition_meta_key,
                                 wanted, meta_checked, d);
}

const char *ownership_unprotected(const struct daemon *d)
{
    return !d->meta.there && d->meta.why[0] ? d->meta.why : NULL;
}

/* --- reading ---------------------------------------------------------------------------------- */

static void open_it(struct probe *p)
{
    p->own.step = OWN_IDLE;
    mirror_target_open(p->daemon->mirror, clock_monotonic(), p->target, p->own.identity,
                       p->own.created);
}

static bool knows(void *arg, const char *generation)
{
    const struct probe *p = arg;

    return mirror_generation_known(p->daemon->mirror, p->target, generation);
}

static void hold_others(struct probe *p, const struct marker *x)
{
    char why[400];

    snprintf(why, sizeof why,
             "DynamoDB table %.80s belongs to another database: %.80s on host %.40s, since %.20s; "
             "nothing is sent there until `syncctl approve` (this one has it from now on)",
             target_of(p)->name, x->path[0] ? x->path : x->database,
             x->hostname[0] ? x->hostname : x->host, x->since);
    mirror_target_held(p->daemon->mirror, clock_monotonic(), p->target, false, why);
}

static void hold_handed(struct probe *p, const struct marker *x)
{
    char why[400];

    snprintf(why, sizeof why,
             "DynamoDB table %.80s was handed over on %.20s (from %.80s on host %.40s): others "
             "write there, and nothing is sent until `syncctl handover --undo`",
             target_of(p)->name, x->since, x->path, x->hostname);
    mirror_target_held(p->daemon->mirror, clock_monotonic(), p->target, true, why);
}

static void judge(struct probe *p, const struct marker *found, size_t count)
{
    struct daemon *d = p->daemon;
    const struct mirror_target *t = target_of(p);
    struct mirror_identity me;
    const struct marker *which;

    mirror_identity(d->mirror, &me);
    const struct marker_self self = {.source = mirror_target_source(d->mirror, p->target),
                                     .database = me.id,
                                     .host = me.host,
                                     .identity = p->own.identity,
                                     .knows_lives = mirror_generation_any(d->mirror, p->target),
                                     .arg = p,
                                     .knows = knows};
    const struct marker *own = marker_own(found, count, self.source);
    p->own.own = own ? *own : (struct marker){0};
    p->own.step = OWN_IDLE;
    enum marker_verdict verdict = marker_judge(found, count, &self, &which);
    if (verdict == MARKER_HANDED_OVER && !t->taken_back) {
        hold_handed(p, which);
        return;
    }
    if (verdict == MARKER_OTHER && !t->take_over) {
        p->own.own = (struct marker){0}; /* nothing of ours takes its place meanwhile */
        hold_others(p, which);
        return;
    }
    if (verdict == MARKER_OURS || verdict == MARKER_AHEAD)
        mirror_target_marker(
            d->mirror, p->target,
            &(struct mirror_marker){.alone = which->alone, .ahead = verdict == MARKER_AHEAD});
    else
        p->own.own.since[0] = '\0';
    open_it(p);
}

/* --- calls ------------------------------------------------------------------------------------ */

/* No answer that helps. True: it was the last word, and there is no meta_table for us. */
static bool failed(struct probe *p, const struct reply *r)
{
    if (targets_refused(p->daemon, r)) {
        no_meta(p->daemon, r->code, r->message);
        return true;
    }
    p->own.due = retry_at(&p->own.failures);
    return false;
}

static void looked(void *arg, const struct http_reply *h)
{
    struct probe *p = arg;
    struct marker found[MARKER_MAX];
    size_t count = 0;
    struct reply r;

    p->own.call = NULL;
    ddb_reply_read(h, &r);
    daemon_note_reply(p->daemon, &r);
    if (r.class != REPLY_OK) {
        if (failed(p, &r))
            open_it(p);
    } else if (marker_read(h->body, h->body_len, found, &count) < 0) {
        p->own.due = retry_at(&p->own.failures);
    } else {
        p->own.failures = 0;
        judge(p, found, count);
    }
    daemon_pump(p->daemon);
}

static bool lost_race(const struct reply *r)
{
    return strcmp(r->code, "ConditionalCheckFailedException") == 0;
}

static void marked(void *arg, const struct http_reply *h)
{
    struct probe *p = arg;
    struct daemon *d = p->daemon;
    enum ownership_step step = p->own.step;
    struct reply r;

    p->own.call = NULL;
    ddb_reply_read(h, &r);
    if (lost_race(&r)) { /* somebody wrote since it was read: perhaps this very call, before */
        daemon_note_success(d);
        p->own.step = step == OWN_MARK ? OWN_LOOK : step;
        p->own.due = retry_at(&p->own.failures);
        if (step == OWN_HAND_OVER) {
            snprintf(d->handover_failed, sizeof d->handover_failed,
                     "the marker of DynamoDB table %.100s is another than before; see `syncctl "
                     "status`",
                     target_of(p)->name);
            p->own.step = OWN_IDLE;
        }
    } else {
        daemon_note_reply(d, &r);
        bool over = r.class == REPLY_OK || failed(p, &r);
        if (r.class == REPLY_OK)
            p->own.own = p->own.put;
        p->own.step = over ? OWN_IDLE : step;
        p->own.failures = r.class == REPLY_OK ? 0 : p->own.failures;
        if (over && step == OWN_MARK)
            mirror_target_marked(d->mirror, clock_monotonic(), p->target);
        else if (over && r.class != REPLY_OK)
            text_copy(d->handover_failed, sizeof d->handover_failed, r.message);
    }
    daemon_pump(d);
}

static void now_text(char out[24])
{
    time_t seconds = (time_t)(clock_wall() / USEC_PER_SEC);
    struct tm tm;

    gmtime_r(&seconds, &tm);
    strftime(out, 24, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* The marker as it is to be, and the generation that it has now. */
static int describe(struct probe *p, struct marker *out, char before[40])
{
    struct daemon *d = p->daemon;
    struct mirror_identity me;

    mirror_identity(d->mirror, &me);
    const char *source = mirror_target_source(d->mirror, p->target);
    *out = (struct marker){.alone = target_of(p)->alone && !source[0],
                           .handed_over = p->own.step == OWN_HAND_OVER};
    text_copy(out->source, sizeof out->source, source);
    text_copy(out->database, sizeof out->database, me.id);
    text_copy(out->host, sizeof out->host, me.host);
    text_copy(out->path, sizeof out->path, me.path);
    text_copy(out->identity, sizeof out->identity, p->own.identity);
    if (gethostname(out->hostname, sizeof out->hostname - 1) < 0)
        out->hostname[0] = '\0';
    text_copy(out->since, sizeof out->since, p->own.own.since);
    if (!out->since[0] || out->handed_over)
        now_text(out->since);
    text_copy(before, 40, p->own.own.generation);
    return mirror_generation(d->mirror, p->target, before, out->generation);
}

static void put(struct probe *p)
{
    struct daemon *d = p->daemon;
    struct buf body = {0};
    struct err err = {0};
    char before[40];

    /* Until it is written the one before is there, and its life stays known: else it would pass
     * for one that is later than the state file. */
    if (describe(p, &p->own.put, before) < 0) {
        p->own.due = retry_at(&p->own.failures);
        return;
    }
    marker_put_body(&body, d->config->meta_table, target_of(p)->name, &p->own.put, before);
    if (ddb_start(d->ddb, "PutItem", &body, marked, p, &p->own.call, &err) < 0) {
        p->own.call = NULL;
        p->own.due = retry_at(&p->own.failures);
    }
}

static void query(struct probe *p)
{
    struct daemon *d = p->daemon;
    struct buf body = {0};
    struct err err = {0};

    marker_query_body(&body, d->config->meta_table, target_of(p)->name);
    if (ddb_start(d->ddb, "Query", &body, looked, p, &p->own.call, &err) < 0) {
        p->own.call = NULL;
        p->own.due = retry_at(&p->own.failures);
    }
}

/* --- turns ------------------------------------------------------------------------------------ */

void ownership_look(struct probe *p, const char *identity, bool created)
{
    text_copy(p->own.identity, sizeof p->own.identity, identity);
    p->own.created = created;
    p->own.asked = true;
    /* Its own rows say whose they are. */
    if (strcmp(target_of(p)->name, p->daemon->config->meta_table) == 0) {
        open_it(p);
        return;
    }
    if (p->own.step == OWN_HAND_OVER)
        return; /* it is held, and looked at again */
    ddb_cancel(take_ptr(p->own.call));
    p->own.step = OWN_LOOK;
    p->own.due = 0;
}

void ownership_mark(void *arg, uint32_t target)
{
    struct daemon *d = arg;
    struct probe *p = d->probes[target];

    ddb_cancel(take_ptr(p->own.call));
    p->own.step = OWN_MARK;
    p->own.due = 0;
    daemon_pump(d);
}

static void without_meta(struct probe *p)
{
    struct daemon *d = p->daemon;
    enum ownership_step step = p->own.step;

    p->own.step = OWN_IDLE;
    if (step == OWN_LOOK)
        open_it(p);
    else if (step == OWN_MARK)
        mirror_target_marked(d->mirror, clock_monotonic(), p->target);
    else
        text_copy(d->handover_failed, sizeof d->handover_failed, d->meta.why);
}

static bool wanted(const struct probe *p)
{
    return p->own.step != OWN_IDLE && !p->own.call;
}

static void end_handover(struct daemon *d)
{
    struct control_call *call = d->handing_over;
    struct buf body = {0};

    if (!call || ownership_handing_over(d))
        return;
    d->handing_over = NULL;
    if (d->handover_failed[0]) {
        struct buf text = {0};
        buf_printf(&text,
                   "syncd sends nothing any more, but DynamoDB's markers could not all be "
                   "written, so that another state file or host would not know: %s",
                   d->handover_failed);
        control_reply_error(call, 503, "marker_unwritten", text.data ? text.data : "");
        buf_free(&text);
        return;
    }
    buf_lit(&body, "{\"handed_over\":true}");
    control_reply(call, 200, NULL, &body);
}

void ownership_turn(struct daemon *d, usec now)
{
    bool any = false;

    for (uint32_t i = 0; i < d->probe_count; i++)
        any |= wanted(d->probes[i]);
    if (any && (!d->meta.looked || (!d->meta.there && d->meta.look_again <= now))) {
        check_meta(d, now);
        return;
    }
    for (uint32_t i = 0; i < d->probe_count; i++) {
        struct probe *p = d->probes[i];
        if (!wanted(p) || p->own.due > now)
            continue;
        if (!d->meta.there)
            without_meta(p);
        else if (p->own.step == OWN_LOOK)
            query(p);
        else
            put(p);
    }
    end_handover(d);
}

usec ownership_due(const struct daemon *d)
{
    usec due = USEC_NEVER;

    for (uint32_t i = 0; i < d->probe_count; i++)
        if (wanted(d->probes[i]) && d->probes[i]->own.due < due)
            due = d->probes[i]->own.due;
    if (due != USEC_NEVER && !d->meta.looked)
        return d->meta.check ? USEC_NEVER : d->meta.due;
    return due;
}

void ownership_retry_now(struct daemon *d)
{
    if (!d->meta.there)
        d->meta.looked = false;
    d->meta.due = 0;
}

void ownership_stop(struct daemon *d, struct probe *p)
{
    ddb_cancel(take_ptr(p->own.call));
    p->own.step = OWN_IDLE;
    table_check_cancel(take_ptr(d->meta.check));
}

/* --- handing over ----------------------------------------------------------------------------- */

bool ownership_handing_over(const struct daemon *d)
{
    for (uint32_t i = 0; i < d->probe_count; i++)
        if (d->probes[i]->own.step == OWN_HAND_OVER)
            return true;
    return false;
}

bool ownership_known(const struct daemon *d)
{
    for (uint32_t i = 0; i < d->probe_count; i++) {
        const struct probe *p = d->probes[i];
        if (strcmp(target_of(p)->name, d->config->meta_table) != 0 &&
            mirror_target_plan(d->mirror, i, 0) && (!p->own.asked || p->own.step == OWN_LOOK))
            return false;
    }
    return true;
}

static void caller_gone(void *arg)
{
    struct daemon *d = arg;

    d->handing_over = NULL;
}

void ownership_hand_over(struct daemon *d, struct control_call *call)
{
    d->handover_failed[0] = '\0';
    d->handing_over = call;
    control_on_gone(call, caller_gone, d);
    for (uint32_t i = 0; i < d->probe_count; i++) {
        struct probe *p = d->probes[i];
        if (strcmp(target_of(p)->name, d->config->meta_table) == 0)
            continue;
        ddb_cancel(take_ptr(p->own.call));
        p->own.step = OWN_HAND_OVER;
        p->own.due = 0;
    }
    daemon_pump(d);
}
