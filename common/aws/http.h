/* HTTP requests on the loop. A small face with two carriers behind it, of one meaning: our own
 * client, and libcurl, which knows proxies.
 *
 * Connections are kept alive and reused. No redirects, no Expect:, no cookies, HTTP/1.1, TLS >= 1.2
 * with peer and host verified, no content decoding (x-amz-crc32 covers the bytes on the wire), and
 * no silent resend: a request whose connection breaks before its reply is HTTP_AMBIGUOUS.
 * A kept connection that the peer has ended meanwhile is noticed before anything is written to it,
 * and replaced. */
#ifndef SYNCD_AWS_HTTP_H
#define SYNCD_AWS_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/clock.h"
#include "base/err.h"

enum http_outcome {
    HTTP_REPLIED,   /* a whole reply: status, headers and body are there */
    HTTP_NOT_SENT,  /* definitely not sent: resolve, connect or TLS set-up failed */
    HTTP_AMBIGUOUS, /* sent in part or whole, no whole reply: it may have been carried out */
};

struct http_request {
    const char *method; /* "GET", "POST", "PUT" */
    const char *url;
    const char *const *headers; /* "Name: value" lines; copied */
    size_t header_count;
    const void *body; /* must stay until `done`; not copied */
    size_t body_len;
    usec timeout;         /* over all; 0: the client's default */
    usec connect_timeout; /* 0: the client's default */
    bool no_proxy;        /* metadata endpoints: never through a proxy; nor is any http: URL */
    bool secret;          /* the reply's body is wiped after `done` */
};

struct http_reply {
    enum http_outcome outcome;
    int status;
    const char *body; /* NUL-terminated after body_len; valid during `done` only */
    size_t body_len;
    char request_id[80]; /* x-amzn-RequestId, "" when absent */
    char date[40];       /* Date header, "" when absent */
    bool has_crc32;      /* x-amz-crc32 was there and well formed */
    uint32_t crc32;
    usec retry_after; /* x-amz-retry-after (milliseconds), 0: absent */
    char error[256];  /* a phrase for people when the outcome is not HTTP_REPLIED */
    char code[32];    /* stable word for it: resolve_failed connect_failed tls_failed timeout
                         connection_reset bad_reply too_large resend_stopped */
};

typedef void http_done_fn(void *arg, const struct http_reply *reply);

struct http_client;
struct http_call;

struct http_options {
    const char *ca_file; /* "" or NULL: AWS_CA_BUNDLE, else the system's */
    unsigned max_connections;
    usec timeout, connect_timeout;
    size_t max_reply; /* bytes; a longer body ends the call as HTTP_AMBIGUOUS "too_large" */
    bool own;         /* our own client where it can carry the request (wire.h), else libcurl */
};

int http_client_new(uv_loop_t *loop, const struct http_options *o, struct http_client **out,
                    struct err *err);
/* `done` runs once, later, on the loop; never before http_start() returns. */
int http_start(struct http_client *c, const struct http_request *req, http_done_fn *done, void *arg,
               struct http_call **out, struct err *err);
/* No `done` any more. The body may go at once. */
void http_cancel(struct http_call *call);
/* How many connections at most, from now on. */
void http_client_connections(struct http_client *c, unsigned most);
/* Cancels all calls and closes every libuv handle of its own; `closed` runs when the memory is
 * gone. */
void http_client_close(struct http_client *c, void (*closed)(void *arg), void *arg);

#endif
