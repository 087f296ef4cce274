#include "aws/http_libcurl.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void call_free(struct libcurl_call *call)
{
    libcurl.easy_cleanup(call->easy);
    libcurl.slist_free_all(call->headers);
    buf_free(&call->body);
    free(call);
}

static void cancel(struct http_call *base);

static struct libcurl_call *call_new(struct libcurl_client *c)
{
    struct libcurl_call *call = calloc(1, sizeof *call);

    if (!call)
        return NULL;
    list_init(&call->node);
    call->base.cancel = cancel;
    call->client = c;
    if (libcurl_call_prepare(call) == 0)
        return call;
    call_free(call);
    return NULL;
}

/* The call is over and belongs to nobody: into the pool, as far as that has room. */
static void call_release(struct libcurl_call *call)
{
    struct libcurl_client *c = call->client;

    list_remove(&call->node);
    libcurl_call_forget(call);
    call->state = CALL_IDLE;
    if (c->closing || c->pooled >= c->setup.max_connections) {
        call_free(call);
        return;
    }
    list_push_front(&c->pool, &call->node);
    c->pooled++;
}

static struct libcurl_call *call_take(struct libcurl_client *c)
{
    if (list_empty(&c->pool))
        return call_new(c);
    struct libcurl_call *call = list_first(&c->pool, struct libcurl_call, node);
    list_remove(&call->node);
    c->pooled--;
    return call;
}

static void call_finish(struct libcurl_call *call, CURLcode result)
{
    struct libcurl_client *c = call->client;

    libcurl.multi_remove_handle(c->multi, call->easy);
    libcurl_call_judge(call, result);
    call->state = CALL_FINISHED;
    list_remove(&call->node);
    list_push_back(&c->finished, &call->node);
}

/* Begin again after nothing was sent; libcurl has dropped the dead connection. At worst every kept
 * connection is dead. */
static bool call_restart(struct libcurl_call *call)
{
    struct libcurl_client *c = call->client;

    if (!call->stale || call->restarts >= c->setup.max_connections)
        return false;
    call->restarts++;
    call->stale = false;
    libcurl.multi_remove_handle(c->multi, call->easy);
    call->curl_error[0] = '\0';
    return libcurl.multi_add_handle(c->multi, call->easy) == CURLM_OK;
}

/* `done` may start and cancel calls and close the client, whose memory outlives this: it is freed
 * from a callback of the loop. */
static void call_deliver(struct libcurl_call *call)
{
    call->state = CALL_DELIVERING;
    list_remove(&call->node);
    call->done(call->arg, &call->reply);
    call_release(call);
}

void libcurl_settle(struct libcurl_client *c, CURLMcode status)
{
    CURLMsg *msg;
    int left;

    while ((msg = libcurl.multi_info_read(c->multi, &left))) {
        struct libcurl_call *call = NULL;
        CURLcode result = msg->data.result; /* gone with the handle's removal */
        if (msg->msg == CURLMSG_DONE &&
            libcurl.easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&call) == CURLE_OK &&
            !call_restart(call))
            call_finish(call, result);
    }
    if (status != CURLM_OK)
        while (!list_empty(&c->running)) {
            struct libcurl_call *call = list_first(&c->running, struct libcurl_call, node);
            strncat(call->curl_error, libcurl.multi_strerror(status), CURL_ERROR_SIZE / 2);
            call_finish(call, CURLE_FAILED_INIT);
        }
    while (!list_empty(&c->finished))
        call_deliver(list_first(&c->finished, struct libcurl_call, node));
}

void libcurl_free(struct libcurl_client *c)
{
    void (*closed)(void *arg) = c->closed;
    void *arg = c->closed_arg;

    free(c->sockets);
    free(c);
    if (closed)
        closed(arg);
}

static bool set_limits(struct libcurl_client *c)
{
    long connections = (long)c->setup.max_connections;

#if LIBCURL_VERSION_NUM >= 0x081400
    /* Closing must not wait for a name server; CURLOPT_QUICK_EXIT covers the calls only. */
    if (libcurl.multi_setopt(c->multi, CURLMOPT_QUICK_EXIT, 1L) != CURLM_OK)
        return false;
#endif
    return libcurl.multi_setopt(c->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, connections) ==
               CURLM_OK &&
           libcurl.multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, connections) == CURLM_OK &&
           libcurl.multi_setopt(c->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) == CURLM_OK;
}

static int set_up(struct libcurl_client *c, struct err *err)
{
    c->multi = libcurl.multi_init();
    list_init(&c->running);
    list_init(&c->finished);
    list_init(&c->pool);
    if (!c->multi || !set_limits(c) || libcurl_loop_init(c) < 0)
        return err_set(err, -ENOMEM, "out of memory while preparing HTTP");
    return 0;
}

int libcurl_new(const struct http_setup *setup, struct libcurl_client **out, struct err *err)
{
    struct libcurl_client *c = calloc(1, sizeof *c);

    if (!c)
        return err_set(err, -ENOMEM, "out of memory while preparing HTTP");
    int r = libcurl_load(err);
    if (r < 0) {
        free(c);
        return r;
    }
    c->setup = *setup;
    r = set_up(c, err);
    if (r == 0) {
        *out = c;
        return 0;
    }
    libcurl.multi_cleanup(c->multi);
    libcurl_free(c);
    return r;
}

/* Setting a number takes no memory. */
void libcurl_connections(struct libcurl_client *c, unsigned most)
{
    c->setup.max_connections = most;
    libcurl.multi_setopt(c->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)most);
    libcurl.multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)most);
}

int libcurl_start(struct libcurl_client *c, const struct http_request *req, http_done_fn *done,
                  void *arg, struct http_call **out, struct err *err)
{
    struct libcurl_call *call = call_take(c);
    if (!call)
        return err_set(err, -ENOMEM, "out of memory while preparing a request");
    int r = libcurl_call_apply(call, req, err);
    if (r == 0 && libcurl.multi_add_handle(c->multi, call->easy) != CURLM_OK)
        r = err_set(err, -ENOMEM, "libcurl cannot take another request");
    if (r < 0) {
        call_release(call);
        return r;
    }
    call->done = done;
    call->arg = arg;
    call->state = CALL_RUNNING;
    list_push_back(&c->running, &call->node);
    if (out)
        *out = &call->base;
    return 0;
}

static void cancel(struct http_call *base)
{
    struct libcurl_call *call = container_of(base, struct libcurl_call, base);

    assert(call->state != CALL_IDLE);
    if (call->state == CALL_RUNNING)
        libcurl.multi_remove_handle(call->client->multi, call->easy);
    if (call->state != CALL_DELIVERING) /* its `done` runs right now and releases it */
        call_release(call);
}

static void cancel_all(struct list *calls)
{
    while (!list_empty(calls))
        cancel(&list_first(calls, struct libcurl_call, node)->base);
}

void libcurl_close(struct libcurl_client *c, void (*closed)(void *arg), void *arg)
{
    c->closing = true;
    c->closed = closed;
    c->closed_arg = arg;
    cancel_all(&c->running);
    cancel_all(&c->finished);
    while (!list_empty(&c->pool)) {
        struct libcurl_call *call = list_first(&c->pool, struct libcurl_call, node);
        list_remove(&call->node);
        call_free(call);
    }
    libcurl.multi_cleanup(c->multi);
    libcurl_loop_close(c);
}
