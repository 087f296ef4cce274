/* The control socket's routes. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "daemon.h"

#define WAIT_DEFAULT 60
enum { WAIT_MAX = 24 * 3600, PAUSE_MAX = 30 * 24 * 3600 };

/* --- small answers ---------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static void reply_text(struct control_call *call, int status,
                                                             const char *fmt, ...)
{
    struct buf body = {0};
    char text[256];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    buf_puts(&body, text);
    control_reply(call, status, NULL, &body);
}

static void reply_err(struct control_call *call, int rc, const struct err *err)
{
    int status = rc == -EINVAL ? 409 : rc == -ENOENT ? 404 : 500;

    control_reply_error(call, status,
                        status == 409   ? "refused"
                        : status == 404 ? "not_found"
                                        : "failed",
                        err->text);
}

/* A whole number of 0..max, `fallback` when the argument is not given; -1 when it is none. */
static long number_argument(struct control_call *call, const char *name, long fallback, long max)
{
    const char *text = control_query(call, name);
    char *end;

    if (!text)
        return fallback;
    errno = 0;
    long v = strtol(text, &end, 10);
    return errno || *end || end == text || v < 0 || v > max ? -1 : v;
}

/* --- reading ---------------------------------------------------------------------------------- */

static void get_status(void *arg, struct control_call *call)
{
    struct buf body = {0};

    status_json(arg, &body);
    control_reply(call, 200, NULL, &body);
}

static void get_health(void *arg, struct control_call *call)
{
    struct buf body = {0};
    enum health level;

    health_json(arg, &body, &level);
    control_reply(call, level == HEALTH_CRITICAL ? 503 : 200, NULL, &body);
}

static void get_tables(void *arg, struct control_call *call)
{
    struct buf body = {0};

    tables_json(arg, &body);
    control_reply(call, 200, NULL, &body);
}

static void get_mapping(void *arg, struct control_call *call)
{
    struct buf body = {0};

    mapping_json(arg, &body);
    control_reply(call, 200, NULL, &body);
}

static void get_metrics(void *arg, struct control_call *call)
{
    struct buf body = {0};

    metrics_text(arg, &body);
    control_reply(call, 200, "text/plain; version=0.0.4; charset=utf-8", &body);
}

static void get_dead_letters(void *arg, struct control_call *call)
{
    struct buf body = {0};

    dead_letters_json(arg, &body);
    control_reply(call, 200, NULL, &body);
}

/* --- waiting ---------------------------------------------------------------------------------- */

struct waiter {
    struct list link;
    struct control_call *call;
    int64_t seq; /* -1: the journal could not be looked at yet */
    usec deadline;
};

static void waiter_gone(void *arg)
{
    struct waiter *w = arg;

    list_remove(&w->link);
    free(w);
}

static void waiter_reply(struct waiter *w, const char *reason)
{
    struct buf body = {0};

    if (reason) {
        buf_lit(&body, "{\"done\":false,\"reason\":");
        json_append_string_lossy(&body, reason, strlen(reason));
        buf_putc(&body, '}');
    } else {
        buf_lit(&body, "{\"done\":true}");
    }
    list_remove(&w->link);
    control_reply(w->call, 200, NULL, &body);
    free(w);
}

/* Why waiting is of no use, or NULL. */
static const char *hopeless(struct daemon *d, const struct mirror_view *v)
{
    static char text[512];

    if (d->state == DAEMON_STOPPING)
        return "syncd is stopping";
    if (v->handed_over)
        return "the DynamoDB tables were handed over; `syncctl handover --undo` takes them back";
    if (v->uninstalled || v->detached)
        return "triggers are detached; `syncctl attach` puts them back";
    if (v->held)
        return v->held_text;
    if (v->paused)
        return "sending is paused; `syncctl resume` goes on";
    for (size_t i = 0; i < mirror_table_count(d->mirror); i++) {
        struct mirror_table_view t;
        mirror_table(d->mirror, i, &t);
        if (strcmp(t.state, "parked") == 0 && !targets_being_looked_at(d, t.target))
            snprintf(text, sizeof text, "table \"%s\" is parked: %s", t.name, t.reason);
        else if (strcmp(t.state, "held") == 0)
            snprintf(text, sizeof text, "table \"%s\" is held: %s", t.name,
                     t.reason[0] ? t.reason : "see `syncctl approve`");
        else
            continue;
        return text;
    }
    return NULL;
}

/* One that has just come, or came when nothing was attached, waits for what is committed by now. */
static bool somebody_new(const struct daemon *d)
{
    for (const struct list *l = d->waiters.next; l != &d->waiters; l = l->next)
        if (container_of(l, const struct waiter, link)->seq < 0)
            return true;
    return false;
}

void api_turn(struct daemon *d, usec now)
{
    struct mirror_view v;

    if (list_empty(&d->waiters))
        return;
    if (somebody_new(d))
        mirror_view(d->mirror, now, &v);
    else
        mirror_view_orders(d->mirror, &v);
    const char *reason = hopeless(d, &v);
    list_for_each(pos, after, &d->waiters)
    {
        struct waiter *w = container_of(pos, struct waiter, link);
        if (w->seq < 0 && v.attached)
            w->seq = v.journal_max;
        if (reason)
            waiter_reply(w, reason);
        else if (w->seq >= 0 && d->state == DAEMON_RUNNING && mirror_settled(d->mirror, w->seq))
            waiter_reply(w, NULL);
        else if (now >= w->deadline)
            waiter_reply(w, v.loading ? "tables are still being loaded"
                                      : "changes are still on their way");
    }
}

static void post_wait(void *arg, struct control_call *call)
{
    struct daemon *d = arg;
    long timeout = number_argument(call, "timeout", WAIT_DEFAULT, WAIT_MAX);

    if (timeout < 0) {
        control_reply_error(call, 400, "bad_argument", "timeout is a number of seconds");
        return;
    }
    struct waiter *w = calloc(1, sizeof *w);
    if (!w) {
        control_reply_error(call, 500, "no_memory", "out of memory");
        return;
    }
    w->call = call;
    w->seq = -1;
    w->deadline = clock_monotonic() + timeout * USEC_PER_SEC;
    list_push_back(&d->waiters, &w->link);
    control_on_gone(call, waiter_gone, w);
    daemon_pump(d);
}

/* --- changing --------------------------------------------------------------------------------- */

static void post_pause(void *arg, struct control_call *call)
{
    struct daemon *d = arg;
    long seconds = number_argument(call, "for", 0, PAUSE_MAX);

    if (seconds < 0) {
        control_reply_error(call, 400, "bad_argument", "for is a number of seconds");
        return;
    }
    bool kept = daemon_pause(d, seconds);
    daemon_pump(d);
    reply_text(call, 200, "{\"paused\":true,\"durable\":%s}", kept ? "true" : "false");
}

static void post_resume(void *arg, struct control_call *call)
{
    struct daemon *d = arg;

    bool kept = daemon_resume(d, "sending goes on");
    daemon_pump(d);
    reply_text(call, 200, "{\"paused\":false,\"durable\":%s}", kept ? "true" : "false");
}

static void post_reload(void *arg, struct control_call *call)
{
    struct buf changed = {0}, body = {0};
    struct err err = {0};
    const char *apply = control_query(call, "apply");
    int rc = daemon_reload(arg, apply && strcmp(apply, "1") == 0, &changed, &err);

    if (rc < 0) {
        reply_err(call, -EINVAL, &err);
        buf_free(&changed);
        return;
    }
    buf_lit(&body, "{\"reloaded\":true,\"changed\":[");
    for (char *p = changed.data, *next; p && *p; p = next) {
        size_t n = strcspn(p, "\n");
        next = p[n] ? p + n + 1 : p + n;
        if (p != changed.data)
            buf_putc(&body, ',');
        json_append_string_lossy(&body, p, n);
    }
    buf_lit(&body, "]}");
    buf_free(&changed);
    control_reply(call, 200, NULL, &body);
}

static void order(struct daemon *d, struct control_call *call,
                  int (*carry_out)(struct mirror *m, struct err *err), const char *done)
{
    struct err err = {0};
    int rc = carry_out(d->mirror, &err);

    daemon_pump(d);
    if (rc < 0)
        reply_err(call, rc == -EINVAL ? -EINVAL : -EIO, &err);
    else
        reply_text(call, 200, "%s", done);
}

static void post_attach(void *arg, struct control_call *call)
{
    const char *text = control_query(call, "adopt");
    bool adopt = text && strcmp(text, "1") == 0;

    /* It says whose database this is, as approve does. */
    if (adopt && !control_permit(call, CONTROL_CHANGE))
        return;
    order(arg, call, adopt ? mirror_adopt : mirror_attach_order, "{\"attached\":true}");
    if (adopt)
        targets_retry_now(arg);
}

static void post_detach(void *arg, struct control_call *call)
{
    order(arg, call, mirror_detach, "{\"attached\":false}");
}

/* What was committed until now is there, and nothing can come any more. */
static const char *unready(struct daemon *d)
{
    struct mirror_view v;

    mirror_view(d->mirror, clock_monotonic(), &v);
    if (v.handed_over)
        return NULL; /* once more, for the markers */
    if (ownership_unprotected(d))
        return "no marker can be written, so that nobody but this state file would know: make "
               "meta_table with `syncctl create-tables`, and see `syncctl iam-policy`";
    return v.converged ? NULL
                       : "not all is in DynamoDB, or some of it is unconfirmed; see `syncctl "
                         "status`, and wait until it is converged";
}

static void post_handover(void *arg, struct control_call *call)
{
    struct daemon *d = arg;
    const char *undo = control_query(call, "undo");
    struct err err = {0};

    if (undo && strcmp(undo, "1") == 0) {
        order(d, call, mirror_take_back, "{\"handed_over\":false}");
        targets_retry_now(d);
        return;
    }
    /* Whoever asked first is answered, once the markers are written. */
    const char *why =
        d->handing_over ? "the DynamoDB tables are being handed over already" : unready(d);
    if (why) {
        control_reply_error(call, 409, "refused", why);
        return;
    }
    int rc = mirror_hand_over(d->mirror, &err);
    if (rc < 0) {
        reply_err(call, -EIO, &err);
        return;
    }
    log_event(LOG_EV_WARNING, "handed_over",
              "the DynamoDB tables are handed over: nothing is sent there any more", NULL);
    if (!ownership_known(d)) { /* the order is an earlier process's */
        targets_retry_now(d);
        control_reply_error(call, 503, "marker_unwritten",
                            "syncd sends nothing any more, but DynamoDB's markers are not all "
                            "known yet: give the order again in a moment");
        return;
    }
    ownership_hand_over(d, call);
}

static void post_uninstall(void *arg, struct control_call *call)
{
    order(arg, call, mirror_uninstall, "{\"uninstalled\":true}");
}

static void post_approve(void *arg, struct control_call *call)
{
    struct daemon *d = arg;
    int count = mirror_approve(d->mirror);

    log_event(LOG_EV_WARNING, "approved", log_msg("%d approved of what was held", count), NULL);
    targets_retry_now(d);
    daemon_pump(d);
    reply_text(call, 200, "{\"approved\":%d}", count);
}

static void post_resync(void *arg, struct control_call *call)
{
    struct daemon *d = arg;
    const char *full = control_query(call, "full"), *table = control_query(call, "table");
    bool every_row = full && strcmp(full, "1") == 0;
    struct err err = {0};
    int count = 0, rc = 0;

    if (!table) /* all of them */
        rc = count = mirror_resync(d->mirror, NULL, every_row, &err);
    for (unsigned i = 0; rc >= 0 && (table = control_query_nth(call, "table", i)) != NULL; i++) {
        rc = mirror_resync(d->mirror, table, every_row, &err);
        count += rc > 0 ? rc : 0;
    }
    daemon_pump(d);
    if (rc < 0)
        reply_err(call, rc, &err);
    else
        reply_text(call, 200, "{\"tables\":%d}", count);
}

/* The number, 0 for "all", -1 for anything else. */
static long letter_id(const char *text, bool all_too)
{
    if (strcmp(text, "all") == 0)
        return all_too ? 0 : -1;
    errno = 0;
    long id = strspn(text, "0123456789") == strlen(text) ? strtol(text, NULL, 10) : -1;
    return errno || id <= 0 ? -1 : id;
}

/* Every `id` of the call, or all with id=all; none of them if one is wrong. */
static void each_letter(struct daemon *d, struct control_call *call, bool retry, const char *word)
{
    long done = 0;
    bool failed = false;
    const char *text;

    if (!control_query(call, "id")) {
        control_reply_error(call, 400, "bad_argument", "id is missing: a number, or all");
        return;
    }
    for (unsigned i = 0; (text = control_query_nth(call, "id", i)) != NULL; i++)
        if (letter_id(text, retry) < 0) {
            control_reply_error(call, 400, "bad_argument", "id is a number");
            return;
        }
    for (unsigned i = 0; (text = control_query_nth(call, "id", i)) != NULL; i++) {
        long id = letter_id(text, retry);
        int rc = retry ? mirror_dead_letters_retry(d->mirror, clock_monotonic(), id)
                       : mirror_dead_letters_discard(d->mirror, id);
        done += rc > 0 ? rc : 0;
        failed |= rc < 0;
    }
    daemon_pump(d);
    if (failed && !done) {
        control_reply_error(call, 503, "not_now",
                            "database or state file cannot be used now; see `syncctl status`");
        return;
    }
    if (!done && strcmp(control_query(call, "id"), "all") != 0) {
        control_reply_error(call, 404, "not_found",
                            "there is no dead letter with that id; see `syncctl dead-letters`");
        return;
    }
    reply_text(call, 200, "{\"%s\":%ld}", word, done);
}

static void post_retry(void *arg, struct control_call *call)
{
    each_letter(arg, call, true, "retried");
}

static void post_discard(void *arg, struct control_call *call)
{
    each_letter(arg, call, false, "discarded");
}

/* For whoever is on this machine: [control] listen. */
const struct control_route api_public_routes[] = {
    {"GET", "/v1/status", get_status, CONTROL_READ},
    {"GET", "/v1/health", get_health, CONTROL_READ},
    {"GET", "/metrics", get_metrics, CONTROL_READ},
    {NULL, NULL, NULL, CONTROL_READ},
};

const struct control_route api_routes[] = {
    {"GET", "/v1/status", get_status, CONTROL_READ},
    {"GET", "/v1/health", get_health, CONTROL_READ},
    {"GET", "/v1/tables", get_tables, CONTROL_READ},
    {"GET", "/v1/mapping", get_mapping, CONTROL_READ},
    {"GET", "/metrics", get_metrics, CONTROL_READ},
    {"GET", "/v1/dead-letters", get_dead_letters, CONTROL_READ},
    {"POST", "/v1/wait", post_wait, CONTROL_OPERATE},
    {"POST", "/v1/pause", post_pause, CONTROL_CHANGE},
    {"POST", "/v1/resume", post_resume, CONTROL_CHANGE},
    {"POST", "/v1/reload", post_reload, CONTROL_CHANGE},
    {"POST", "/v1/attach", post_attach, CONTROL_OPERATE},
    {"POST", "/v1/detach", post_detach, CONTROL_OPERATE},
    {"POST", "/v1/handover", post_handover, CONTROL_CHANGE},
    {"POST", "/v1/uninstall", post_uninstall, CONTROL_CHANGE},
    {"POST", "/v1/resync", post_resync, CONTROL_OPERATE},
    {"GET", "/v1/items", api_get_items, CONTROL_READ},
    {"POST", "/v1/repair", api_post_repair, CONTROL_OPERATE},
    {"POST", "/v1/verified", api_post_verified, CONTROL_OPERATE},
    {"POST", "/v1/approve", post_approve, CONTROL_CHANGE},
    {"POST", "/v1/dead-letters/retry", post_retry, CONTROL_CHANGE},
    {"POST", "/v1/dead-letters/discard", post_discard, CONTROL_CHANGE},
    {NULL, NULL, NULL, CONTROL_READ},
};
