#include "jobs/deleter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/cleanup.h"
#include "dynamodb/batch.h"
#include "jobs/call.h"
#include "mapping/item.h"

/* As many as the daemon sends at a time, unless told otherwise. */
enum { SLOTS = 8 };

struct slot {
    struct deleter *deleter;
    struct buf keys[BATCH_MAX_ITEMS], json[BATCH_MAX_ITEMS];
    struct batch_write writes[BATCH_MAX_ITEMS];
    size_t count;
    unsigned tries; /* since one of them was processed */
    struct job_call *call;
    uv_timer_t timer;
};

struct deleter {
    struct connection *x;
    const struct deleter_options *o;
    struct err *err;
    unsigned busy;
    bool drained; /* there are no more keys */
    int rc;
    struct slot slots[SLOTS];
};

static void fail(struct deleter *d, int rc)
{
    if (d->rc == 0)
        d->rc = rc;
}

/* Those that are under way are let finish: what they delete is told. */
static void done_with(struct slot *s)
{
    if (--s->deleter->busy == 0)
        uv_stop(&s->deleter->x->loop);
}

static void send_batch(struct slot *s);

static int fill(struct slot *s)
{
    struct deleter *d = s->deleter;

    for (s->count = 0; !d->drained && s->count < BATCH_MAX_ITEMS;) {
        struct buf *key = &s->keys[s->count], *json = &s->json[s->count];
        buf_clear(key);
        buf_clear(json);
        int rc = d->o->next(d->o->arg, key, d->err);
        if (rc < 0)
            return rc;
        if (rc == 0) {
            d->drained = true;
            break;
        }
        if (item_key_json(d->o->schema, key->data, key->len, json) < 0)
            return err_set(d->err, -ENOMEM, "out of memory");
        s->count++;
    }
    return 0;
}

/* The next batch, if there is one and nothing has failed. */
static void go_on(struct slot *s)
{
    struct deleter *d = s->deleter;
    int rc = d->rc == 0 ? fill(s) : 0;

    if (rc < 0)
        fail(d, rc);
    s->tries = 0;
    if (d->rc < 0 || s->count == 0)
        done_with(s);
    else
        send_batch(s);
}

static void swap(struct buf *a, struct buf *b)
{
    struct buf kept = *a;

    *a = *b;
    *b = kept;
}

/* Tell those that are deleted, and keep the others together. */
static int settle(struct slot *s, uint32_t unprocessed, double units)
{
    struct deleter *d = s->deleter;
    size_t kept = 0;
    int rc = 0;

    for (size_t i = 0; i < s->count; i++) {
        if (unprocessed & UINT32_C(1) << i) {
            swap(&s->keys[kept], &s->keys[i]);
            swap(&s->json[kept], &s->json[i]);
            kept++;
        } else if (rc == 0) {
            rc = d->o->deleted(d->o->arg, s->keys[i].data, s->keys[i].len, units, d->err);
            units = 0;
        }
    }
    s->tries = kept < s->count ? 1 : s->tries + 1;
    s->count = kept;
    return rc;
}

static void again(uv_timer_t *t)
{
    struct slot *s = t->data;

    if (s->deleter->rc < 0)
        done_with(s);
    else
        send_batch(s);
}

static void answered(void *arg, const struct reply *reply, json_t *body, size_t bytes)
{
    struct slot *s = arg;
    struct deleter *d = s->deleter;
    struct connection *x = d->x;
    uint32_t unprocessed = 0;
    double units = 0;
    int rc = 0;

    (void)bytes;
    s->call = NULL;
    if (reply->class != REPLY_OK)
        rc = job_call_error(reply, "BatchWriteItem", d->o->table, d->rc ? NULL : d->err);
    else if (batch_unprocessed(body, s->writes, s->count, &unprocessed, &units) < 0)
        rc = err_set(d->rc ? NULL : d->err, -EIO,
                     "the reply is not what BatchWriteItem answers for DynamoDB table %s",
                     d->o->table);
    else
        rc = settle(s, unprocessed, units);
    if (rc < 0)
        fail(d, rc);
    if (d->rc < 0)
        done_with(s);
    else if (s->count == 0 || !unprocessed)
        go_on(s);
    else
        uv_timer_start(
            &s->timer, again,
            (uint64_t)(backoff_delay(&x->rng, x->throttle_base, x->backoff_max, s->tries, 0) /
                       USEC_PER_MSEC),
            0);
}

static void send_batch(struct slot *s)
{
    struct deleter *d = s->deleter;
    struct buf body = {0};

    for (size_t i = 0; i < s->count; i++)
        s->writes[i] = (struct batch_write){.table = d->o->table,
                                            .schema = d->o->schema,
                                            .json = s->json[i].data,
                                            .json_len = s->json[i].len,
                                            .key = s->keys[i].data,
                                            .key_len = s->keys[i].len};
    batch_body(&body, s->writes, s->count);
    s->call = job_call_start(d->x, "BatchWriteItem", &body, 0, answered, s);
    if (!s->call) {
        fail(d, err_set(d->err, -ENOMEM, "out of memory"));
        done_with(s);
    }
}

static void closed(uv_handle_t *h)
{
    struct slot *s = h->data;

    if (--s->deleter->busy == 0)
        uv_stop(&s->deleter->x->loop);
}

int deleter_run(struct connection *x, const struct deleter_options *o, struct err *err)
{
    struct deleter *d = calloc(1, sizeof *d);

    if (!d)
        return err_set(err, -ENOMEM, "out of memory");
    *d = (struct deleter){.x = x, .o = o, .err = err, .busy = SLOTS};
    for (size_t i = 0; i < SLOTS; i++) {
        d->slots[i].deleter = d;
        uv_timer_init(&x->loop, &d->slots[i].timer);
        d->slots[i].timer.data = &d->slots[i];
    }
    for (size_t i = 0; i < SLOTS; i++)
        go_on(&d->slots[i]);
    while (d->busy)
        uv_run(&x->loop, UV_RUN_DEFAULT);
    d->busy = SLOTS;
    for (size_t i = 0; i < SLOTS; i++)
        uv_close((uv_handle_t *)&d->slots[i].timer, closed);
    while (d->busy)
        uv_run(&x->loop, UV_RUN_DEFAULT);
    for (size_t i = 0; i < SLOTS; i++)
        for (size_t k = 0; k < BATCH_MAX_ITEMS; k++) {
            buf_free(&d->slots[i].keys[k]);
            buf_free(&d->slots[i].json[k]);
        }
    int rc = d->rc;
    free(d);
    return rc;
}
