/* HTTP requests by libcurl, in three files: http_libcurl.c (calls and their life), http_easy.c
 * (what libcurl is told about one request, and what its outcome means), http_loop.c (libcurl's
 * sockets and timer on the libuv loop).
 *
 * libcurl repeats a POST by itself when a reused connection breaks before the first reply byte; the
 * second send is stopped and reported as HTTP_AMBIGUOUS. */
#ifndef SYNCD_AWS_HTTP_LIBCURL_H
#define SYNCD_AWS_HTTP_LIBCURL_H

#include "aws/libcurl.h"
#include <uv.h>

#include "aws/http_internal.h"
#include "base/buf.h"
#include "base/list.h"

/* IDLE -> RUNNING -> FINISHED -> DELIVERING -> IDLE (or freed). http_cancel() leads from RUNNING or
 * FINISHED back to IDLE. IDLE calls lie in the pool, with their easy handle's options still set. */
enum call_state { CALL_IDLE, CALL_RUNNING, CALL_FINISHED, CALL_DELIVERING };

struct libcurl_call {
    struct http_call base;
    struct list node; /* in the client's list of that state; alone while DELIVERING */
    struct libcurl_client *client;
    enum call_state state;
    CURL *easy;
    struct curl_slist *headers;
    http_done_fn *done;
    void *arg;

    unsigned sends;    /* how often libcurl came to send the request; 2: it wanted to repeat it */
    unsigned restarts; /* nothing was sent, for the kept connection it chose was dead */
    bool stale;        /* that happened just now */
    bool too_large, no_memory, secret;
    size_t header_bytes;
    struct buf body;
    struct http_reply reply;
    char curl_error[CURL_ERROR_SIZE];
};

/* One socket: a libuv poll for as long as it is open. `want` is libcurl's wish and `applied` what
 * libuv was told; they are brought together once a turn of the loop, just before it polls, because
 * most wishes cancel each other out within the turn. */
struct libcurl_socket {
    uv_poll_t poll;
    struct libcurl_client *client;
    curl_socket_t fd;
    int want, applied; /* UV_READABLE | UV_WRITABLE */
    bool foreign;      /* not opened through us (a resolver's): it ends when libcurl forgets it */
    bool used;         /* carried a request before */
    int local_port;    /* 0 until known */
    struct list dirty; /* in client->dirty while want and applied may differ */
};

struct libcurl_client {
    struct http_setup setup;
    CURLM *multi;
    uv_timer_t timer;
    uv_prepare_t prepare; /* active only while `dirty` holds something */
    unsigned open_handles;
    struct libcurl_socket **sockets; /* by descriptor */
    size_t socket_slots;
    struct list dirty;

    struct list running, finished, pool;
    unsigned pooled;

    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* For http.c, as in http.h. */
int libcurl_new(const struct http_setup *setup, struct libcurl_client **out, struct err *err);
int libcurl_start(struct libcurl_client *c, const struct http_request *req, http_done_fn *done,
                  void *arg, struct http_call **out, struct err *err);
void libcurl_connections(struct libcurl_client *c, unsigned most);
void libcurl_close(struct libcurl_client *c, void (*closed)(void *arg), void *arg);

/* http_easy.c */
/* An easy handle for `call` with everything set that no request changes. */
int libcurl_call_prepare(struct libcurl_call *call);
/* The options of one request; its headers are copied into call->headers. -EINVAL, -ENOMEM. */
int libcurl_call_apply(struct libcurl_call *call, const struct http_request *req, struct err *err);
/* Forget what belonged to the request, the headers' secrets wiped. */
void libcurl_call_forget(struct libcurl_call *call);
/* Fill call->reply from libcurl's result. */
void libcurl_call_judge(struct libcurl_call *call, CURLcode result);

/* http_loop.c */
int libcurl_loop_init(struct libcurl_client *c);
/* Stop and close all handles of libuv; `c` is freed and `closed` called when the last is closed. */
void libcurl_loop_close(struct libcurl_client *c);
/* Callbacks for each easy handle's CURLOPT_OPENSOCKETFUNCTION and CURLOPT_CLOSESOCKETFUNCTION. */
curl_socket_t libcurl_loop_open_socket(void *client, curlsocktype purpose,
                                       struct curl_sockaddr *addr);
int libcurl_loop_close_socket(void *client, curl_socket_t fd);
/* Is the connection from this local port one that is kept from an earlier request and that the peer
 * has closed or spoken on unasked? Called once before each request on it. */
bool libcurl_loop_stale(struct libcurl_client *c, int local_port);

/* http_libcurl.c, for http_loop.c */
/* Collect what libcurl has finished and run the callbacks. A failed `status` of curl_multi ends
 * every call: libcurl would never finish them. */
void libcurl_settle(struct libcurl_client *c, CURLMcode status);
/* After the last handle is closed. */
void libcurl_free(struct libcurl_client *c);

#endif
