#include "control.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/text.h"
#include "config/listen.h"
#include "control_call.h"

#define SPARE            64u /* accepted beyond, until those are cut that dawdle */
#define TURN             (5 * USEC_PER_MSEC)
#define TAKEN_UP         8u
#define MAX_BODY         (64u << 10)
#define MAX_DISCARD      (1u << 20) /* read past MAX_BODY, so that the client gets to hear its 413 */
#define MEMORY_LIMIT     ((size_t)32 << 10)
#define STOP_ROUNDS      16
#define PATH_IN_MESSAGES 120

void control_handle_closed(struct control *c)
{
    if (--c->open_handles > 0)
        return;
    void (*closed)(void *arg) = c->closed;
    void *arg = c->closed_arg;
    free(c);
    if (closed)
        closed(arg);
}

static void on_own_handle_closed(uv_handle_t *h)
{
    control_handle_closed(h->data);
}

/* Handlers take arguments for C strings and repeat them in messages: no NUL, valid UTF-8. */
static enum MHD_Result visit_check(void *cls, enum MHD_ValueKind kind, const char *key,
                                   size_t key_len, const char *value, size_t value_len)
{
    bool *bad = cls;

    (void)kind;
    *bad = *bad || memchr(key, 0, key_len) || !utf8_valid(key, key_len) ||
           (value && (memchr(value, 0, value_len) || !utf8_valid(value, value_len)));
    return MHD_YES;
}

static bool arguments_bad(struct control_call *call)
{
    bool bad = false;

    MHD_get_connection_values_n(call->connection, MHD_GET_ARGUMENT_KIND, visit_check, &bad);
    return bad;
}

static void refuse_method(struct control_call *call, const char *path, const char *method)
{
    _cleanup_buf_ struct buf allow = {0};
    struct err message;

    for (const struct control_route *r = call->control->routes; r->path; r++)
        if (strcmp(r->path, path) == 0)
            buf_printf(&allow, "%s%s", allow.len ? ", " : "", r->method);
    err_set(&message, 0, "%s does not take %.20s; use %s", path, method,
            buf_ok(&allow) ? allow.data : "another method");
    struct MHD_Response *response = control_error_response("method_not_allowed", message.text);
    if (response && buf_ok(&allow))
        MHD_add_response_header(response, "Allow", allow.data);
    control_call_answer(call, 405, response);
}

/* The route, or NULL with the call answered. */
static const struct control_route *find_route(struct control_call *call, const char *path,
                                              const char *method)
{
    bool path_known = false;

    for (const struct control_route *r = call->control->routes; r->path; r++) {
        if (strcmp(r->path, path) != 0)
            continue;
        path_known = true;
        if (strcmp(r->method, method) == 0)
            return r;
    }
    if (path_known) {
        refuse_method(call, path, method);
        return NULL;
    }
    struct err message;
    err_set(&message, 0, "there is nothing at %.*s", PATH_IN_MESSAGES, path);
    control_reply_error(call, 404, "not_found", message.text);
    return NULL;
}

/* Answers take time, and who sends many requests in one go would have the loop for as long as all
 * of them take. */
static void put_off(struct control_call *call)
{
    struct control *c = call->control;

    list_push_back(&c->later, &call->node);
    call->client->waiting = true;
    c->run_again = true;
    MHD_suspend_connection(call->connection);
}

/* libmicrohttpd comes to on_request() again, and that to dispatch(). */
static void take_up(struct control *c, unsigned most)
{
    for (; most > 0 && !list_empty(&c->later); most--) {
        struct control_call *call = list_first(&c->later, struct control_call, node);
        list_remove(&call->node);
        call->client->waiting = false;
        MHD_resume_connection(call->connection);
    }
    c->run_again |= !list_empty(&c->later);
}

static bool host_is_ours(struct control_call *call)
{
    const char *host =
        MHD_lookup_connection_value(call->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);

    return host && listen_host_is_loopback(host);
}

static void dispatch(struct control_call *call, const char *path, const char *method)
{
    struct control *c = call->control;

    if (c->stopping) {
        control_reply_error(call, 503, "stopping", "the daemon is stopping");
        return;
    }
    if (call->body_len > MAX_BODY) {
        control_reply_error(call, 413, "too_large", "the request's body is over 64 KiB");
        return;
    }
    if (c->socket.internet && !host_is_ours(call)) {
        control_reply_error(call, 403, "forbidden",
                            "ask by the address itself, such as http://127.0.0.1:PORT/metrics");
        return;
    }
    const struct control_route *route = find_route(call, path, method);
    if (!route)
        return;
    if (arguments_bad(call)) {
        control_reply_error(call, 400, "bad_argument", "an argument is not valid UTF-8 text");
        return;
    }
    if (!control_permit(call, route->right))
        return;
    if (clock_monotonic() - c->turn_began > TURN) {
        put_off(call);
        return;
    }
    call->state = CALL_RUNNING;
    route->handler(c->arg, call);
    if (call->state == CALL_RUNNING)
        control_call_suspend(call);
}

/* Content-Length, when it is so large that the body is not worth reading. */
static bool declares_too_much(struct MHD_Connection *connection)
{
    const char *s = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");

    return s && strtoull(s, NULL, 10) > MAX_DISCARD;
}

static struct control_call *call_new(struct control *c, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct control_call *call;

    if (!info || !info->socket_context || !(call = calloc(1, sizeof *call)))
        return NULL;
    list_init(&call->node);
    call->control = c;
    call->client = info->socket_context;
    call->connection = connection;
    c->call_count++;
    return call;
}

/* libmicrohttpd comes here for the headers, for each piece of the body, at the body's end, and
 * again after a suspension. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_len, void **call_out)
{
    struct control_call *call = *call_out;

    (void)version;
    (void)data;
    if (!call) {
        call = *call_out = call_new(cls, connection);
        if (!call)
            return MHD_NO;
        if (!declares_too_much(connection))
            return MHD_YES;
        control_reply_error(call, 413, "too_large", "the request's body is over 64 KiB");
    } else if (*data_len) {
        call->body_len += *data_len;
        *data_len = 0;
        return call->body_len > MAX_DISCARD ? MHD_NO : MHD_YES;
    } else if (call->state == CALL_RECEIVING) {
        dispatch(call, url, method);
    }
    if (call->state == CALL_PENDING || call->state == CALL_RECEIVING)
        return MHD_YES;
    if (call->state == CALL_GONE || !call->response)
        return MHD_NO;
    control_client_began(call->control, call->client);
    call->client->answering = true;
    if (call->control->client_count > CONTROL_CLIENTS) /* one question each, while others wait */
        MHD_add_response_header(call->response, MHD_HTTP_HEADER_CONNECTION, "close");
    return MHD_queue_response(connection, (unsigned)call->status, call->response);
}

static void on_request_completed(void *cls, struct MHD_Connection *connection, void **call_in,
                                 enum MHD_RequestTerminationCode how)
{
    struct control_call *call = take_ptr(*call_in);

    (void)connection;
    (void)how;
    if (!call)
        return;
    assert(call->state != CALL_PENDING);
    control_client_began(call->control, call->client);
    call->client->answering = false;
    if (call->response)
        MHD_destroy_response(call->response);
    ((struct control *)cls)->call_count--;
    free(call);
}

static void on_timer(uv_timer_t *timer);
static void on_soon(uv_idle_t *handle);

static void run_http(struct control *c)
{
    c->run_again = false;
    c->running = true;
    c->turn_began = clock_monotonic();
    take_up(c, TAKEN_UP);
    MHD_run(c->http);
    c->running = false;
}

static void step(struct control *c)
{
    MHD_UNSIGNED_LONG_LONG msec;
    uint64_t now = uv_now(c->loop), next;

    run_http(c);
    uint64_t crowded = control_clients_make_room(c, now);
    next = control_clients_cut_late(c, now);
    next = crowded < next ? crowded : next;
    if (MHD_get_timeout(c->http, &msec) == MHD_YES && msec < next - now)
        next = now + msec;
    if (c->run_again || next <= now)
        uv_idle_start(&c->soon, on_soon);
    else
        uv_idle_stop(&c->soon);
    if (next == CONTROL_NEVER || next <= now)
        uv_timer_stop(&c->timer);
    else
        uv_timer_start(&c->timer, on_timer, next - now, 0);
}

static void on_soon(uv_idle_t *handle)
{
    step(handle->data);
}

static void on_timer(uv_timer_t *timer)
{
    step(timer->data);
}

void control_run_soon(struct control *c)
{
    c->run_again = true;
    uv_idle_start(&c->soon, on_soon);
}

static void on_ready(uv_poll_t *handle, int status, int events)
{
    (void)status;
    (void)events;
    step(handle->data);
}

static int start_http(struct control *c, struct err *err)
{
    /* libmicrohttpd would close the listening socket with its daemon; quiescing takes it back. */
    c->http = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, c,
        MHD_OPTION_LISTEN_SOCKET, c->socket.fd, MHD_OPTION_CONNECTION_LIMIT,
        CONTROL_CLIENTS + SPARE, MHD_OPTION_CONNECTION_MEMORY_LIMIT, MEMORY_LIMIT,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_NOTIFY_COMPLETED, on_request_completed, c,
        MHD_OPTION_NOTIFY_CONNECTION, control_client_notice, c, MHD_OPTION_END);
    if (!c->http)
        return err_set(err, -EIO, "cannot start the HTTP server on %s", c->socket.addr.sun_path);
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(c->http, MHD_DAEMON_INFO_EPOLL_FD);
    int r = info ? uv_poll_init(c->loop, &c->ready, info->epoll_fd) : -EIO;
    if (r < 0)
        return err_set(err, r, "cannot watch the control socket %s: %s", c->socket.addr.sun_path,
                       uv_strerror(r));
    return 0;
}

static void stop_http(struct control *c)
{
    if (!c->http)
        return;
    MHD_quiesce_daemon(c->http);
    MHD_stop_daemon(c->http);
    c->http = NULL;
}

static int find_operators(struct control *c, const char *group, struct err *err)
{
    c->operators = (gid_t)-1;
    snprintf(c->operator_group, sizeof c->operator_group, "%s", group);
    return *group ? control_socket_group(group, "operator_group", &c->operators, err) : 0;
}

const char *control_unreachable(const struct control *c)
{
    return c->unreachable.text;
}

/* Takes the socket over. `operators`: the group that may operate, "" for none. */
static int start_on(uv_loop_t *loop, const struct control_socket *socket, const char *operators,
                    const struct control_route *routes, void *arg, struct control **out,
                    struct err *err)
{
    struct control *c = calloc(1, sizeof *c);
    int r = c ? 0 : err_set(err, -ENOMEM, "no memory for the control socket");

    if (c) {
        c->loop = loop;
        c->routes = routes;
        c->arg = arg;
        c->socket = *socket;
        list_init(&c->clients);
        list_init(&c->pending);
        list_init(&c->later);
        control_socket_reachable(&c->socket, &c->unreachable);
        r = find_operators(c, operators, err);
        if (r == 0)
            r = start_http(c, err);
    }
    if (r < 0) {
        if (c)
            stop_http(c);
        control_socket_unlink(socket);
        close(socket->fd);
        free(c);
        return r;
    }
    assert(c); /* which the analyzer cannot see */
    uv_timer_init(loop, &c->timer);
    uv_idle_init(loop, &c->soon);
    c->timer.data = c->ready.data = c->soon.data = c;
    c->open_handles = 3;
    uv_poll_start(&c->ready, UV_READABLE, on_ready);
    *out = c;
    return 0;
}

int control_start(uv_loop_t *loop, const char *path, const struct control_groups *groups,
                  const struct control_route *routes, void *arg, struct control **out,
                  struct err *err)
{
    struct control_socket socket;
    int r = control_socket_listen(path, groups->socket, &socket, err);

    return r < 0 ? r : start_on(loop, &socket, groups->operators, routes, arg, out, err);
}

int control_start_tcp(uv_loop_t *loop, const char *address, const struct control_route *routes,
                      void *arg, struct control **out, struct err *err)
{
    struct control_socket socket;
    int r = control_socket_listen_tcp(address, &socket, err);

    return r < 0 ? r : start_on(loop, &socket, "", routes, arg, out, err);
}

/* Nothing here blocks: answers are small and fit into the sockets' buffers, so a few rounds send
 * them all; who does not read is cut. */
void control_stop(struct control *c, void (*closed)(void *arg), void *arg)
{
    assert(!c->running && !c->stopping);
    c->stopping = true;
    c->closed = closed;
    c->closed_arg = arg;
    MHD_quiesce_daemon(c->http);
    control_socket_unlink(&c->socket);
    close(c->socket.fd);
    while (!list_empty(&c->pending)) {
        struct control_call *call = list_first(&c->pending, struct control_call, node);
        control_call_lost(call);
        control_reply_error(call, 503, "stopping", "the daemon is stopping");
    }
    take_up(c, UINT_MAX);
    for (int i = 0; i < STOP_ROUNDS && c->call_count > 0; i++)
        run_http(c);
    uv_close((uv_handle_t *)&c->ready, on_own_handle_closed);
    uv_close((uv_handle_t *)&c->timer, on_own_handle_closed);
    uv_close((uv_handle_t *)&c->soon, on_own_handle_closed);
    MHD_stop_daemon(c->http);
    c->http = NULL;
}
