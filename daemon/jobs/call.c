#include "jobs/call.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/backoff.h"
#include "jobs/ddb_reply.h"

enum { THROTTLED_PATIENCE = 10 };

struct job_call {
    struct connection *x;
    const char *operation;
    struct buf body;
    usec started, patience;
    unsigned failures;
    unsigned refusals; /* of credentials, or of the clock */
    struct ddb_call *call;
    struct list link; /* in connection.renewing */
    uv_timer_t timer;
    job_call_fn *done;
    void *arg;
};

static void attempt(struct job_call *c);

static void timer_closed(uv_handle_t *h)
{
    struct job_call *c = h->data;

    buf_free(&c->body);
    free(c);
}

static void finish(struct job_call *c, const struct reply *r, json_t *body, size_t bytes)
{
    job_call_fn *done = c->done;
    void *arg = c->arg;

    list_remove(&c->link);
    uv_close((uv_handle_t *)&c->timer, timer_closed);
    done(arg, r, body, bytes);
}

static void due(uv_timer_t *t)
{
    attempt(t->data);
}

static void again_in(struct job_call *c, usec delay)
{
    uv_timer_start(&c->timer, due, (uint64_t)(delay + USEC_PER_MSEC - 1) / USEC_PER_MSEC, 0);
}

/* Wait and try again, or end with what it came to where that has been going on for too long. */
static void repeat(struct job_call *c, const struct reply *r)
{
    const struct connection *x = c->x;
    bool throttled = r->class == REPLY_THROTTLED;
    usec delay = backoff_delay(&c->x->rng, throttled ? x->throttle_base : x->backoff_base,
                               x->backoff_max, ++c->failures, r->retry_after);

    if (clock_monotonic() + delay - c->started > c->patience * (throttled ? THROTTLED_PATIENCE : 1))
        finish(c, r, NULL, 0);
    else
        again_in(c, delay);
}

static void renewed(void *arg, const struct credentials *found, const struct err *why)
{
    struct connection *x = arg;
    struct reply r = {.class = REPLY_CREDENTIALS, .code = "no_credentials"};
    struct list waiting;
    struct err err;

    x->fetching = false;
    if (found && connection_take_credentials(x, found, &err) < 0)
        why = &err, found = NULL;
    if (!found)
        snprintf(r.message, sizeof r.message, "%.*s", (int)sizeof r.message - 1, why->text);
    list_init(&waiting);
    while (!list_empty(&x->renewing)) {
        struct job_call *c = list_first(&x->renewing, struct job_call, link);
        list_remove(&c->link);
        list_push_back(&waiting, &c->link);
    }
    while (!list_empty(&waiting)) {
        struct job_call *c = list_first(&waiting, struct job_call, link);
        list_remove(&c->link);
        if (found)
            again_in(c, 0);
        else
            repeat(c, &r);
    }
}

static void renew(struct job_call *c)
{
    struct connection *x = c->x;

    list_push_back(&x->renewing, &c->link);
    if (x->fetching)
        return;
    x->fetching = true;
    credentials_fetch(x->provider, renewed, x);
}

/* The first refusal may be of credentials that have just been replaced elsewhere; later ones are
 * looked at with growing pauses while they say no more than that their time is over. */
static void refused_credentials(struct job_call *c, const struct reply *r)
{
    if (c->refusals++ == 0)
        renew(c);
    else if (r->class == REPLY_EXPIRED && clock_monotonic() - c->started < c->patience) {
        c->refusals = 0;
        repeat(c, r);
    } else {
        finish(c, r, NULL, 0);
    }
}

/* The refusal told the service's time. */
static void refused_clock(struct job_call *c, const struct reply *r)
{
    if (c->refusals++ < 2)
        again_in(c, 0);
    else
        finish(c, r, NULL, 0);
}

static void judge(struct job_call *c, const struct reply *r)
{
    switch (r->class) {
    case REPLY_EXPIRED:
    case REPLY_CREDENTIALS:
        refused_credentials(c, r);
        break;
    case REPLY_CLOCK:
        refused_clock(c, r);
        break;
    case REPLY_THROTTLED:
    case REPLY_NOT_SENT:
        repeat(c, r);
        break;
    case REPLY_TRANSIENT:
    case REPLY_AMBIGUOUS:
        /* A reply that is too long will be as long again. */
        if (strcmp(r->code, "ResourceInUseException") == 0 || strcmp(r->code, "too_large") == 0)
            finish(c, r, NULL, 0);
        else
            repeat(c, r);
        break;
    default:
        finish(c, r, NULL, 0);
    }
}

static void answered(void *arg, const struct http_reply *h)
{
    struct job_call *c = arg;
    json_t *body = NULL;
    struct reply r;

    c->call = NULL;
    ddb_reply_read(h, &r);
    r.retry_after = h->retry_after;
    if (r.class == REPLY_OK) {
        body = json_loadb(h->body, h->body_len, JSON_ALLOW_NUL, NULL);
        if (!json_is_object(body)) {
            r.class = REPLY_AMBIGUOUS;
            snprintf(r.code, sizeof r.code, "bad_reply");
            snprintf(r.message, sizeof r.message,
                     "the reply with status 200 is not the JSON that DynamoDB answers");
        }
    }
    if (r.class == REPLY_OK)
        finish(c, &r, body, h->body_len);
    else
        judge(c, &r);
    json_decref(body);
}

static void attempt(struct job_call *c)
{
    struct reply r = {.class = REPLY_NOT_SENT, .code = "not_sent"};
    struct buf body = {0};
    struct err err = {0};

    buf_append(&body, c->body.data, c->body.len);
    if (ddb_start(c->x->ddb, c->operation, &body, answered, c, &c->call, &err) == 0)
        return;
    snprintf(r.message, sizeof r.message, "%.*s", (int)sizeof r.message - 1, err.text);
    repeat(c, &r);
}

struct job_call *job_call_start(struct connection *x, const char *operation, struct buf *body,
                                usec patience, job_call_fn *done, void *arg)
{
    struct job_call *c = buf_ok(body) ? calloc(1, sizeof *c) : NULL;

    if (!c) {
        buf_free(body);
        return NULL;
    }
    c->x = x;
    c->operation = operation;
    c->body = *body;
    *body = (struct buf){0};
    c->started = clock_monotonic();
    c->patience = patience ? patience : JOB_CALL_PATIENCE;
    c->done = done;
    c->arg = arg;
    list_init(&c->link);
    uv_timer_init(&x->loop, &c->timer);
    c->timer.data = c;
    again_in(c, 0);
    return c;
}

void job_call_cancel(struct job_call *c)
{
    if (!c)
        return;
    list_remove(&c->link);
    ddb_cancel(take_ptr(c->call));
    uv_close((uv_handle_t *)&c->timer, timer_closed);
}

/* --- errors ----------------------------------------------------------------------------------- */

static int code_of(const struct reply *r)
{
    switch (r->class) {
    case REPLY_NO_TABLE:
        return -ENOENT;
    case REPLY_DENIED:
    case REPLY_EXPIRED:
    case REPLY_CREDENTIALS:
        return -EACCES;
    case REPLY_INVALID:
    case REPLY_TOO_LARGE:
    case REPLY_KEY_SCHEMA:
    case REPLY_UNEXPECTED:
        return -EINVAL;
    default:
        return strcmp(r->code, "ResourceInUseException") == 0 ? -EEXIST : -EIO;
    }
}

int job_call_error(const struct reply *r, const char *operation, const char *table, struct err *err)
{
    const char *of = table ? " of table " : "", *name = table ? table : "";
    int rc = code_of(r);

    if (r->class == REPLY_NO_TABLE && table)
        return err_set(err, rc,
                       "DynamoDB table %s does not exist (in this region and account); make it "
                       "with `syncctl create-tables`, or look at region and credentials",
                       table);
    return err_set(err, rc, "%s%s%s: %s (%s)", operation, of, name,
                   r->message[0] ? r->message : "no reason was given", r->code);
}

/* --- one that waits --------------------------------------------------------------------------- */

struct waited {
    bool over;
    struct reply reply;
    json_t *body;
};

static void over(void *arg, const struct reply *r, json_t *body, size_t bytes)
{
    struct waited *w = arg;

    (void)bytes;
    w->over = true;
    w->reply = *r;
    w->body = json_incref(body);
}

int job_call(struct connection *x, const char *operation, struct buf *body, json_t **reply,
             struct err *err)
{
    return job_call_on(x, operation, NULL, body, reply, err);
}

int job_call_on(struct connection *x, const char *operation, const char *table, struct buf *body,
                json_t **reply, struct err *err)
{
    struct waited w = {0};

    if (!job_call_start(x, operation, body, 0, over, &w))
        return err_set(err, -ENOMEM, "out of memory");
    while (!w.over)
        uv_run(&x->loop, UV_RUN_ONCE);
    if (w.reply.class != REPLY_OK)
        return job_call_error(&w.reply, operation, table, err);
    *reply = w.body;
    return 0;
}
