#include <stdlib.h>
#include <string.h>

#include "aws/wire_internal.h"

static void let_go_of_call(struct wire_connection *x)
{
    if (x->call)
        x->call->connection = NULL;
    x->call = NULL;
}

static void close_connection(struct wire_connection *x, bool orderly)
{
    struct wire *w = x->wire;

    let_go_of_call(x);
    list_remove(&x->node);
    list_remove(&x->asking);
    wire_dial_free(x->dial);
    wire_link_free(&x->link, orderly);
    wire_socket_close(x->socket);
    wire_origin_leave(x->origin);
    if (w->fresh == x)
        w->fresh = NULL;
    w->connections--;
    free(x);
}

void wire_connection_close(struct wire_connection *x)
{
    close_connection(x, x->state == WIRE_IDLE);
}

/* It could not be opened. */
static void fail_open(struct wire_connection *x, const char *code, const char *phrase,
                      const char *detail)
{
    struct wire_call *call = x->call;

    let_go_of_call(x);
    wire_call_failed(call, HTTP_NOT_SENT, code, phrase, detail);
    close_connection(x, false);
}

/* --- sending and reading ---------------------------------------------------------------------- */

/* Nothing of the request was sent on a kept connection: another may carry it. At worst every kept
 * one is dead. */
static bool try_another(struct wire_connection *x)
{
    struct wire *w = x->wire;
    struct wire_call *call = x->call;

    if (!x->used || x->link.handed || x->call->in.started ||
        call->restarts >= w->setup.max_connections)
        return false;
    call->restarts++;
    close_connection(x, false);
    call->state = WIRE_WAITING;
    list_push_front(&w->waiting, &call->node);
    return true;
}

/* The connection is over and the reply is not whole. */
static void broke(struct wire_connection *x)
{
    struct wire_call *call = x->call;
    bool started = call->in.started, sent = x->link.handed > 0 || started, used = x->used;

    x->origin->abrupt = x->origin->abrupt || (used && !started);
    if (try_another(x))
        return;
    close_connection(x, false);
    if (!sent)
        wire_call_failed(call, HTTP_NOT_SENT, "connect_failed", "no connection",
                         "it broke before anything was sent");
    else if (started)
        wire_call_failed(call, HTTP_AMBIGUOUS, "connection_reset", "the reply was cut short", NULL);
    else if (used)
        wire_call_failed(call, HTTP_AMBIGUOUS, "resend_stopped",
                         "the connection broke before a reply; the request was not repeated", NULL);
    else
        wire_call_failed(call, HTTP_AMBIGUOUS, "connection_reset", "the connection broke", NULL);
}

/* Kept for the next request, if both sides wish so. `more`: bytes came after the reply. */
static void park(struct wire_connection *x, bool more)
{
    struct wire *w = x->wire;
    bool orderly = x->sending_over && !x->broken, keep = orderly && !more && x->call->in.keep_alive;
    usec now = clock_monotonic();

    let_go_of_call(x);
    if (keep && wire_link_pending(&x->link))
        keep = wire_link_quiet(&x->link, w->input, WIRE_INPUT);
    if (!keep || now - x->opened >= WIRE_CONNECTION_LASTS) {
        close_connection(x, orderly);
        return;
    }
    x->state = WIRE_IDLE;
    x->used = true;
    x->idle_since = now;
    list_remove(&x->node);
    list_push_front(&w->idle, &x->node);
    w->fresh = x;
    wire_wake(w, wire_connection_due(x));
    wire_socket_want(x->socket, UV_READABLE);
}

static void reply_ended(struct wire_connection *x, enum wire_verdict v, bool more)
{
    struct wire_call *call = x->call;

    if (v == WIRE_WHOLE) {
        park(x, more);
        wire_call_replied(call);
        return;
    }
    close_connection(x, false);
    if (v == WIRE_TOO_LARGE)
        wire_call_failed(call, HTTP_AMBIGUOUS, "too_large", "the reply is larger than allowed",
                         NULL);
    else if (v == WIRE_BAD)
        wire_call_failed(call, HTTP_AMBIGUOUS, "bad_reply", "the reply cannot be understood",
                         call->in.problem);
    else
        wire_call_failed(call, HTTP_AMBIGUOUS, "bad_reply", "out of memory for the reply", NULL);
}

/* Whatever there is. false: the connection is no longer this call's, and perhaps gone. */
static bool read_reply(struct wire_connection *x)
{
    struct wire_call *call = x->call;
    char *input = x->wire->input;
    size_t got, used;

    for (;;) {
        enum wire_io io = wire_link_read(&x->link, input, WIRE_INPUT, &got);
        if (io == WIRE_IO_END || io == WIRE_IO_BROKEN || (io != WIRE_IO_DONE && x->broken)) {
            broke(x);
            return false;
        }
        if (io != WIRE_IO_DONE) {
            x->want_write = x->want_write || io == WIRE_IO_WANT_WRITE;
            return true;
        }
        enum wire_verdict v = wire_reply_take(&call->in, input, got, &used);
        if (call->secret)
            explicit_bzero(input, got);
        if (v != WIRE_MORE) {
            reply_ended(x, v, used < got);
            return false;
        }
        /* Less than there was room for: an event tells of the next. */
        if (got < WIRE_INPUT && !x->link.ssl && !x->broken)
            return true;
    }
}

/* As much as goes. false: it was taken from the call, for nothing could be sent. */
static bool send_request(struct wire_connection *x)
{
    const struct wire_call *call = x->call;
    const struct wire_parts parts = {.head = call->head.data,
                                     .head_len = call->head.len,
                                     .body = call->body,
                                     .body_len = call->body_len};

    while (x->sent < parts.head_len + parts.body_len) {
        size_t n = 0;
        enum wire_io io = wire_link_send(&x->link, &parts, x->sent, x->wire->record, &n);
        if (io == WIRE_IO_WANT_READ || io == WIRE_IO_WANT_WRITE)
            return true;
        if (io != WIRE_IO_DONE) {
            x->broken = x->sending_over = true;
            return !try_another(x);
        }
        x->sent += n;
    }
    x->sending_over = true;
    return true;
}

static void want(struct wire_connection *x)
{
    bool write = x->want_write || !x->sending_over;

    wire_socket_want(x->socket, UV_READABLE | (write ? UV_WRITABLE : 0));
}

/* The request may go. What becomes of it at once is told by the timer: http_start() may be above.
 */
static void begin_request(struct wire_connection *x)
{
    x->state = WIRE_BUSY;
    x->sent = x->link.handed = 0;
    x->sending_over = x->broken = x->want_write = false;
    struct wire *w = x->wire;
    if (send_request(x) && (!x->broken || read_reply(x)))
        want(x);
    else
        wire_wake(w, clock_monotonic());
}

void wire_connection_carry(struct wire_connection *x, struct wire_call *call)
{
    struct wire *w = x->wire;

    list_remove(&call->node);
    call->state = WIRE_CARRIED;
    call->connection = x;
    x->call = call;
    list_remove(&x->node);
    list_push_back(&w->used, &x->node);
    begin_request(x);
}

bool wire_connection_alive(struct wire_connection *x)
{
    return (x->wire->fresh == x && !x->origin->abrupt) ||
           wire_link_quiet(&x->link, x->wire->input, WIRE_INPUT);
}

/* --- opening ---------------------------------------------------------------------------------- */

static void shake_hands(struct wire_connection *x)
{
    enum wire_io io = wire_link_shake(&x->link);

    if (io == WIRE_IO_DONE)
        begin_request(x);
    else if (io == WIRE_IO_WANT_READ || io == WIRE_IO_WANT_WRITE)
        wire_socket_want(x->socket, io == WIRE_IO_WANT_READ ? UV_READABLE : UV_WRITABLE);
    else
        fail_open(x, "tls_failed", "no secure connection", wire_link_problem(&x->link));
}

static void ready(void *arg)
{
    struct wire_connection *x = arg;
    struct wire *w = x->wire;

    switch (x->state) {
    case WIRE_SHAKING:
        shake_hands(x);
        break;
    case WIRE_BUSY:
        x->want_write = false;
        if ((x->sending_over || send_request(x)) && read_reply(x))
            want(x);
        break;
    default: /* WIRE_IDLE: tickets and new keys are fine, anything else ends it */
        if (wire_link_quiet(&x->link, w->input, WIRE_INPUT))
            wire_socket_want(x->socket, UV_READABLE);
        else
            wire_connection_close(x);
        break;
    }
    wire_settle(w);
}

static void dialled(void *arg, struct wire_socket *socket, const char *problem)
{
    struct wire_connection *x = arg;
    const char *why = NULL;

    if (!socket) {
        wire_origin_distrust(x->origin);
        fail_open(x, "connect_failed", "no connection", problem);
        return;
    }
    wire_dial_free(take_ptr(x->dial));
    x->socket = socket;
    x->link.fd = socket->fd;
    socket->ready = ready;
    socket->arg = x;
    if (!x->origin->url.tls) {
        begin_request(x);
        return;
    }
    x->state = WIRE_SHAKING;
    x->link.ssl =
        wire_tls_open(&x->wire->tls, &x->link, x->origin->url.host, &x->origin->session, &why);
    if (x->link.ssl)
        shake_hands(x);
    else
        fail_open(x, "tls_failed", "no secure connection", why);
}

void wire_connection_dial(struct wire_connection *x, const char *problem)
{
    char why[128];

    if (problem) {
        fail_open(x, "resolve_failed", "the host's name cannot be resolved", problem);
        return;
    }
    x->state = WIRE_DIALING;
    x->dial = wire_dial_start(x->wire, &x->origin->addresses, dialled, x, why, sizeof why);
    if (!x->dial) {
        wire_origin_distrust(x->origin);
        fail_open(x, "connect_failed", "no connection", why);
    }
}

void wire_connection_open(struct wire_call *call)
{
    struct wire *w = call->wire;
    struct wire_connection *x = calloc(1, sizeof *x);

    list_remove(&call->node);
    call->state = WIRE_CARRIED;
    if (!x) {
        wire_call_failed(call, HTTP_NOT_SENT, "connect_failed", "no connection", "out of memory");
        return;
    }
    x->wire = w;
    x->origin = call->origin;
    wire_origin_use(x->origin);
    x->call = call;
    call->connection = x;
    x->opened = clock_monotonic();
    x->connect_deadline = x->opened + call->connect_timeout;
    list_init(&x->asking);
    list_init(&x->node);
    list_push_back(&w->used, &x->node);
    w->connections++;
    wire_wake(w, wire_connection_due(x));
    wire_origin_ask(x->origin, x);
}

/* --- time ------------------------------------------------------------------------------------- */

static usec sooner(usec a, usec b)
{
    return a < b ? a : b;
}

usec wire_connection_due(const struct wire_connection *x)
{
    if (x->state == WIRE_IDLE)
        return x->idle_since + WIRE_IDLE_FOR;
    if (x->state == WIRE_BUSY)
        return x->call->deadline;
    usec due = sooner(x->call->deadline, x->connect_deadline);
    return x->dial ? sooner(due, wire_dial_due(x->dial)) : due;
}

static void expire(struct wire_connection *x)
{
    struct wire_call *call = x->call;
    bool sent = x->state == WIRE_BUSY && (x->link.handed || call->in.started);

    close_connection(x, false);
    if (sent)
        wire_call_failed(call, HTTP_AMBIGUOUS, "timeout", "no whole reply within the time allowed",
                         NULL);
    else
        wire_call_failed(call, HTTP_NOT_SENT, "timeout", "no connection within the time allowed",
                         NULL);
}

void wire_connection_tick(struct wire_connection *x, usec now)
{
    if (now < wire_connection_due(x))
        return;
    if (x->state == WIRE_IDLE)
        wire_connection_close(x);
    else if (now >= x->call->deadline || (x->state != WIRE_BUSY && now >= x->connect_deadline))
        expire(x);
    else
        wire_dial_tick(x->dial, now);
}
