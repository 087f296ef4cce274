/* A request of the engine becomes a BatchWriteItem call, and its reply an outcome. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/failpoint.h"
#include "base/text.h"
#include "daemon.h"
#include "dynamodb/batch.h"

/* Replies that come together share a turn, which is cheaper. But where the service takes its time,
 * its slots are filled again after a few: each of many would wait for all with its successor. */
enum { SENDINGS_KEPT = 16, REPLIES_A_TURN = 4 };
#define TAKES_ITS_TIME (4 * USEC_PER_MSEC)

static const usec time_bounds[] = {1000,   2500,   5000,    10000,   25000,   50000,   100000,
                                   250000, 500000, 1000000, 2500000, 5000000, 10000000};

struct sending {
    struct list link; /* in daemon.flying, or in daemon.unsent when it could not be started */
    struct daemon *daemon;
    struct ddb_call *call;
    uint64_t id;
    usec started;
    size_t count;
    struct batch_write writes[BATCH_MAX_ITEMS];
    struct reply failure; /* of one that could not be started */
};

void sender_start(struct daemon *d)
{
    list_init(&d->flying);
    list_init(&d->unsent);
    d->idle_sendings = (struct blocks){.size = sizeof(struct sending), .most = SENDINGS_KEPT};
    d->request_times.bounds = time_bounds;
    d->request_times.bound_count = sizeof time_bounds / sizeof *time_bounds;
}

void daemon_note_success(struct daemon *d)
{
    d->last_success_wall = clock_wall();
    d->failing_since = 0;
    access_worked(d);
}

void daemon_note_failure(struct daemon *d, const char *code, const char *message,
                         const char *request_id)
{
    d->last_error_wall = clock_wall();
    d->failed_last = clock_monotonic();
    if (!d->failing_since)
        d->failing_since = d->failed_last;
    snprintf(d->last_error_code, sizeof d->last_error_code, "%s", code);
    snprintf(d->last_error_message, sizeof d->last_error_message, "%s", message);
    snprintf(d->last_error_request, sizeof d->last_error_request, "%s", request_id);
}

void daemon_note_reply(struct daemon *d, const struct reply *r)
{
    if (r->class == REPLY_OK)
        daemon_note_success(d);
    else
        daemon_note_failure(d, r->code, r->message, r->request_id);
    /* It answered, so it is reachable; what it said is judged elsewhere. */
    if (r->class != REPLY_NOT_SENT && r->class != REPLY_TRANSIENT && r->class != REPLY_AMBIGUOUS &&
        r->class != REPLY_UNEXPECTED)
        d->failing_since = 0;
}

static void transport_failure(const struct http_reply *h, struct reply *r)
{
    r->class = h->outcome == HTTP_NOT_SENT ? REPLY_NOT_SENT : REPLY_AMBIGUOUS;
    snprintf(r->code, sizeof r->code, "%s", h->code);
    snprintf(r->message, sizeof r->message, "%s", h->error);
}

static void replied(void *arg, const struct http_reply *h)
{
    struct sending *s = arg;
    struct daemon *d = s->daemon;
    struct reply r = {.status = h->status, .retry_after = h->retry_after};
    usec now = clock_monotonic(), took = now - s->started;

    FAILPOINT("reply_arrived");
    text_copy(r.request_id, sizeof r.request_id, h->request_id);
    text_copy(r.date, sizeof r.date, h->date);
    if (h->outcome == HTTP_REPLIED) {
        struct reply_bytes b = {.status = h->status,
                                .body = h->body,
                                .len = h->body_len,
                                .has_crc32 = h->has_crc32,
                                .crc32 = h->crc32};
        batch_reply(&b, s->writes, s->count, &r);
        histogram_add(&d->request_times, took);
    } else {
        transport_failure(h, &r);
    }
    list_remove(&s->link);
    daemon_note_reply(d, &r);
    FAILPOINT("reply_judged");
    mirror_reply(d->mirror, now, s->id, &r);
    blocks_give(&d->idle_sendings, s);
    if (took >= TAKES_ITS_TIME && ++d->replies >= REPLIES_A_TURN)
        daemon_turn(d);
    else
        daemon_pump(d);
}

/* The engine fills a batch table by table, which is the order the body needs. */
static void fill(struct daemon *d, struct sending *s, const struct request *r)
{
    s->id = r->id;
    s->count = r->count;
    for (unsigned i = 0; i < r->count; i++) {
        const struct payload *p = r->writes[i];
        const struct mirror_target *t = mirror_target(d->mirror, p->target);
        s->writes[i] = (struct batch_write){.table = t->name,
                                            .schema = t->schema,
                                            .put = p->op == WRITE_PUT,
                                            .json = p->json,
                                            .json_len = p->json_len,
                                            .key = p->key,
                                            .key_len = p->key_len};
    }
}

void sender_send(void *arg, const struct request *r)
{
    struct daemon *d = arg;
    struct sending *s = blocks_take(&d->idle_sendings);
    struct buf body = {0};
    struct err err = {0};

    if (!s)
        abort(); /* the journal has every change; systemd starts us anew */
    list_init(&s->link);
    s->daemon = d;
    s->call = NULL;
    s->started = clock_monotonic();
    fill(d, s, r);
    batch_body(&body, s->writes, s->count);
    size_t bytes = body.len;
    FAILPOINT("request_starting");
    int rc = ddb_start(d->ddb, "BatchWriteItem", &body, replied, s, &s->call, &err);
    if (rc == 0) {
        d->sent_bytes += bytes;
        list_push_back(&d->flying, &s->link);
        FAILPOINT("request_started");
        return;
    }
    s->failure = (struct reply){0};
    s->failure.class = rc == -ENOKEY ? REPLY_CREDENTIALS : REPLY_NOT_SENT;
    snprintf(s->failure.code, sizeof s->failure.code, "%s",
             rc == -ENOKEY ? "no_credentials" : "not_sent");
    snprintf(s->failure.message, sizeof s->failure.message, "%.*s",
             (int)sizeof s->failure.message - 1, err.text);
    list_push_back(&d->unsent, &s->link);
    daemon_pump(d);
}

void sender_turn(struct daemon *d)
{
    while (!list_empty(&d->unsent)) {
        struct sending *s = list_first(&d->unsent, struct sending, link);
        list_remove(&s->link);
        daemon_note_reply(d, &s->failure);
        mirror_reply(d->mirror, clock_monotonic(), s->id, &s->failure);
        blocks_give(&d->idle_sendings, s);
    }
}

void sender_stop(struct daemon *d)
{
    struct list *lists[] = {&d->flying, &d->unsent};

    for (size_t i = 0; i < 2; i++)
        while (!list_empty(lists[i])) {
            struct sending *s = list_first(lists[i], struct sending, link);
            list_remove(&s->link);
            ddb_cancel(s->call);
            blocks_give(&d->idle_sendings, s);
        }
    blocks_clear(&d->idle_sendings);
}
