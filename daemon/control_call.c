#include "control_call.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

/* While a call is pending libmicrohttpd does not look at its socket, so we do. Outlives the call
 * until libuv has closed the handle. */
struct watch {
    uv_poll_t handle;
    struct control *control;
    struct control_call *call;
};

static void on_watch_closed(uv_handle_t *h)
{
    struct watch *w = container_of((uv_poll_t *)h, struct watch, handle);
    struct control *c = w->control;

    free(w);
    control_handle_closed(c);
}

static void watch_end(struct control_call *call)
{
    struct watch *w = take_ptr(call->watch);

    if (!w)
        return;
    w->call = NULL;
    uv_close((uv_handle_t *)&w->handle, on_watch_closed);
}

/* Out of suspension, into `state`: the one way a pending call ends. */
static void call_wake(struct control_call *call, enum call_state state)
{
    struct control *c = call->control;

    assert(call->state == CALL_PENDING);
    call->state = state;
    list_remove(&call->node);
    c->pending_count--;
    watch_end(call);
    call->client->waiting = false;
    control_client_began(c, call->client);
    MHD_resume_connection(call->connection);
    control_run_soon(c);
}

void control_call_lost(struct control_call *call)
{
    if (call->gone)
        call->gone(call->gone_arg);
    call->gone = NULL;
}

/* Half closed counts as gone: libmicrohttpd drops such a client as soon as it looks. */
static void on_hangup(uv_poll_t *handle, int status, int events)
{
    struct control_call *call = container_of(handle, struct watch, handle)->call;

    (void)status;
    (void)events;
    control_call_lost(call);
    call_wake(call, CALL_GONE);
}

/* Without memory for it the call simply lives until it is answered. */
static void watch_begin(struct control_call *call)
{
    struct control *c = call->control;
    struct watch *w = calloc(1, sizeof *w);

    if (!w || uv_poll_init(c->loop, &w->handle, call->client->fd) != 0) {
        free(w);
        return;
    }
    w->control = c;
    w->call = call;
    call->watch = w;
    c->open_handles++;
    uv_poll_start(&w->handle, UV_DISCONNECT, on_hangup);
}

void control_call_answer(struct control_call *call, int status, struct MHD_Response *response)
{
    assert(call->state != CALL_ANSWERED && call->state != CALL_GONE);
    call->status = status;
    call->response = response; /* NULL, no memory: the connection is dropped */
    if (call->state == CALL_PENDING)
        call_wake(call, CALL_ANSWERED);
    else
        call->state = CALL_ANSWERED;
}

static struct MHD_Response *make_response(const char *content_type, struct buf *body)
{
    size_t n = body->len;
    char *data = take_ptr(body->data);
    struct MHD_Response *r =
        data ? MHD_create_response_from_buffer(n, data, MHD_RESPMEM_MUST_FREE)
             : MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);

    *body = (struct buf){0};
    if (!r) {
        free(data);
        return NULL;
    }
    MHD_add_response_header(r, "Content-Type", content_type ? content_type : "application/json");
    return r;
}

struct MHD_Response *control_error_response(const char *code, const char *message)
{
    struct buf b = {0};

    buf_lit(&b, "{\"error\":{\"code\":");
    json_append_string_lossy(&b, code, strlen(code));
    buf_lit(&b, ",\"message\":");
    json_append_string_lossy(&b, message, strlen(message));
    buf_lit(&b, "}}");
    if (!buf_ok(&b)) {
        buf_free(&b);
        return NULL;
    }
    return make_response(NULL, &b);
}

void control_reply_error(struct control_call *call, int status, const char *code,
                         const char *message)
{
    control_call_answer(call, status, control_error_response(code, message));
}

void control_reply(struct control_call *call, int status, const char *content_type,
                   struct buf *body)
{
    if (!buf_ok(body)) {
        buf_free(body);
        control_reply_error(call, 500, "no_memory", "the daemon has no memory for the answer");
        return;
    }
    control_call_answer(call, status, make_response(content_type, body));
}

void control_on_gone(struct control_call *call, void (*gone)(void *arg), void *arg)
{
    call->gone = gone;
    call->gone_arg = arg;
}

const char *control_query(struct control_call *call, const char *name)
{
    return control_query_nth(call, name, 0);
}

struct nth {
    const char *name;
    unsigned left;
    const char *value;
};

static enum MHD_Result visit_nth(void *cls, enum MHD_ValueKind kind, const char *key,
                                 const char *value)
{
    struct nth *n = cls;

    (void)kind;
    if (!value || strcmp(key, n->name) != 0 || n->left-- > 0)
        return MHD_YES;
    n->value = value;
    return MHD_NO;
}

const char *control_query_nth(struct control_call *call, const char *name, unsigned nth)
{
    struct nth n = {.name = name, .left = nth};

    MHD_get_connection_values(call->connection, MHD_GET_ARGUMENT_KIND, visit_nth, &n);
    return n.value;
}

uid_t control_peer_uid(const struct control_call *call)
{
    return call->client->uid;
}

pid_t control_peer_pid(const struct control_call *call)
{
    return call->client->pid;
}

void control_call_suspend(struct control_call *call)
{
    struct control *c = call->control;

    if (c->pending_count >= CONTROL_MAX_PENDING) {
        control_call_lost(call);
        control_reply_error(call, 503, "busy", "too many callers wait for an answer; try again");
        return;
    }
    call->state = CALL_PENDING;
    list_push_back(&c->pending, &call->node);
    c->pending_count++;
    call->client->deadline = CONTROL_NEVER;
    call->client->waiting = true;
    watch_begin(call);
    MHD_suspend_connection(call->connection);
}
