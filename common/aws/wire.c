#include "aws/wire.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "aws/wire_internal.h"

/* --- time ------------------------------------------------------------------------------------- */

static void timer_due(uv_timer_t *timer);

void wire_wake(struct wire *w, usec when)
{
    if (w->closing || when >= w->due)
        return;
    usec now = clock_monotonic();
    usec wait = when > now ? (when - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC : 0;
    w->due = when;
    uv_timer_start(&w->timer, timer_due, (uint64_t)wait, 0);
}

static void tick_connections(struct list *connections, usec now)
{
    list_for_each(pos, after, connections)
        wire_connection_tick(container_of(pos, struct wire_connection, node), now);
}

static void expire_waiting(struct wire *w, usec now)
{
    list_for_each(pos, after, &w->waiting)
    {
        struct wire_call *call = container_of(pos, struct wire_call, node);
        if (now < call->deadline)
            continue;
        list_remove(&call->node);
        wire_call_failed(call, HTTP_NOT_SENT, "timeout", "no connection within the time allowed",
                         NULL);
    }
}

static usec next_due(const struct wire *w)
{
    const struct list *const lists[] = {&w->used, &w->idle};
    usec due = USEC_NEVER;

    for (size_t i = 0; i < 2; i++)
        list_for_each(pos, after, lists[i])
        {
            usec t = wire_connection_due(container_of(pos, struct wire_connection, node));
            due = t < due ? t : due;
        }
    list_for_each(pos, after, &w->waiting)
    {
        usec t = container_of(pos, struct wire_call, node)->deadline;
        due = t < due ? t : due;
    }
    return due;
}

/* The only timer. It is not moved with each request: it looks now and then who is due. */
static void timer_due(uv_timer_t *timer)
{
    struct wire *w = timer->data;
    usec now = clock_monotonic();

    w->due = USEC_NEVER;
    expire_waiting(w, now);
    tick_connections(&w->used, now);
    tick_connections(&w->idle, now);
    wire_settle(w);
    if (!w->closing)
        wire_wake(w, next_due(w));
}

/* --- calls that wait -------------------------------------------------------------------------- */

static struct wire_connection *idle_connection(struct wire *w, const struct wire_origin *o)
{
    list_for_each(pos, after, &w->idle)
    {
        struct wire_connection *x = container_of(pos, struct wire_connection, node);
        if (x->origin != o)
            continue;
        if (wire_connection_alive(x))
            return x;
        wire_connection_close(x);
    }
    return NULL;
}

/* One that is idle, and of another host, makes room. */
static bool room_for_one(struct wire *w)
{
    if (w->connections < w->setup.max_connections)
        return true;
    if (list_empty(&w->idle))
        return false;
    wire_connection_close(container_of(w->idle.prev, struct wire_connection, node));
    return true;
}

/* In the order in which they came. `open`: connections may be opened. */
static void start_waiting(struct wire *w, bool open)
{
    while (!list_empty(&w->waiting)) {
        struct wire_call *call = list_first(&w->waiting, struct wire_call, node);
        struct wire_connection *x = idle_connection(w, call->origin);
        if (x) {
            wire_connection_carry(x, call);
            continue;
        }
        if (!open) {
            wire_wake(w, clock_monotonic());
            return;
        }
        if (!room_for_one(w))
            return;
        wire_connection_open(call);
    }
}

/* `done` may start and cancel calls and close the client, whose memory outlives this: it is freed
 * from a callback of the loop. */
static void deliver(struct wire_call *call)
{
    call->state = WIRE_DELIVERED;
    list_remove(&call->node);
    call->done(call->arg, &call->reply);
    wire_call_release(call);
}

void wire_settle(struct wire *w)
{
    while (!list_empty(&w->finished))
        deliver(list_first(&w->finished, struct wire_call, node));
    w->fresh = NULL;
    if (w->closing)
        return;
    start_waiting(w, true);
    if (!list_empty(&w->finished)) /* what could not even be begun */
        wire_wake(w, clock_monotonic());
}

static void cancel(struct http_call *base)
{
    struct wire_call *call = container_of(base, struct wire_call, base);
    struct wire *w = call->wire;

    assert(call->state != WIRE_POOLED);
    if (call->state == WIRE_DELIVERED) /* its `done` runs right now and releases it */
        return;
    if (call->connection) {
        wire_connection_close(call->connection);
        if (!list_empty(&w->waiting))
            wire_wake(w, clock_monotonic());
    }
    wire_call_release(call);
}

bool wire_takes(struct wire *w, const struct http_request *req)
{
    const struct wire_origin *o = wire_origin_of(w, req->url);

    return o && (!o->proxied || req->no_proxy);
}

int wire_start(struct wire *w, const struct http_request *req, http_done_fn *done, void *arg,
               struct http_call **out, struct err *err)
{
    struct wire_origin *o = wire_origin_of(w, req->url);
    struct wire_call *call = o ? wire_call_take(w) : NULL;

    if (!call || wire_call_prepare(call, req, o) < 0) {
        if (call)
            wire_call_release(call);
        return err_set(err, -ENOMEM, "out of memory while preparing a request");
    }
    call->base.cancel = cancel;
    call->done = done;
    call->arg = arg;
    call->state = WIRE_WAITING;
    bool first = list_empty(&w->waiting);
    list_push_back(&w->waiting, &call->node);
    wire_wake(w, call->deadline);
    if (first)
        start_waiting(w, false);
    if (out)
        *out = &call->base;
    return 0;
}

void wire_connections(struct wire *w, unsigned most)
{
    w->setup.max_connections = most;
    wire_wake(w, clock_monotonic()); /* there may be room for those that wait */
}

/* --- life ------------------------------------------------------------------------------------- */

static void wire_free(struct wire *w)
{
    wire_tls_free(&w->tls);
    free(w->input);
    free(w->record);
    free(w);
}

void wire_handle_closed(void *wire)
{
    struct wire *w = wire;

    if (--w->handles > 0 || !w->closing)
        return;
    void (*closed)(void *arg) = w->closed;
    void *arg = w->closed_arg;
    wire_free(w);
    closed(arg);
}

static void timer_closed(uv_handle_t *handle)
{
    wire_handle_closed(handle->data);
}

int wire_new(const struct http_setup *setup, struct wire **out, struct err *err)
{
    struct wire *w = calloc(1, sizeof *w);

    if (!w || !(w->input = malloc(WIRE_INPUT)) || !(w->record = malloc(WIRE_RECORD))) {
        if (w)
            wire_free(w);
        return err_set(err, -ENOMEM, "out of memory while preparing HTTP");
    }
    w->setup = *setup;
    w->tls.ca_file = setup->ca_file;
    w->due = USEC_NEVER;
    list_init(&w->waiting);
    list_init(&w->finished);
    list_init(&w->pool);
    list_init(&w->used);
    list_init(&w->idle);
    list_init(&w->origins);
    uv_timer_init(setup->loop, &w->timer);
    uv_unref((uv_handle_t *)&w->timer);
    w->timer.data = w;
    w->handles = 1;
    *out = w;
    return 0;
}

static void cancel_all(struct list *calls)
{
    while (!list_empty(calls))
        cancel(&list_first(calls, struct wire_call, node)->base);
}

void wire_close(struct wire *w, void (*closed)(void *arg), void *arg)
{
    w->closing = true;
    w->closed = closed;
    w->closed_arg = arg;
    cancel_all(&w->waiting);
    cancel_all(&w->finished);
    while (!list_empty(&w->used))
        cancel(&list_first(&w->used, struct wire_connection, node)->call->base);
    while (!list_empty(&w->idle))
        wire_connection_close(list_first(&w->idle, struct wire_connection, node));
    while (!list_empty(&w->pool)) {
        struct wire_call *call = list_first(&w->pool, struct wire_call, node);
        list_remove(&call->node);
        wire_call_free(call);
    }
    while (!list_empty(&w->origins))
        wire_origin_free(list_first(&w->origins, struct wire_origin, node));
    uv_close((uv_handle_t *)&w->timer, timer_closed);
}
