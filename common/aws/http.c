#include "aws/http.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "aws/http_internal.h"
#include "aws/http_libcurl.h"
#include "aws/http_token.h"
#include "aws/wire.h"

enum { DEFAULT_CONNECTIONS = 8 };
#define DEFAULT_TIMEOUT         (10 * USEC_PER_SEC)
#define DEFAULT_CONNECT_TIMEOUT (5 * USEC_PER_SEC)
#define DEFAULT_MAX_REPLY       ((size_t)64 << 20)

struct http_client {
    struct http_setup setup;
    char *ca_file;
    struct wire *wire;              /* NULL: libcurl carries everything */
    struct libcurl_client *libcurl; /* NULL until a request needs it */
    bool closing;
    unsigned open; /* parts that are not closed yet */
    void (*closed)(void *arg);
    void *closed_arg;
};

static int use_ca(const char *path, const char *where, char **out, struct err *err)
{
    if (access(path, R_OK) < 0)
        return err_set(err, -errno, "cannot read the certificates in %s (%s): %s", path, where,
                       strerror(errno));
    *out = strdup(path);
    return *out ? 0 : err_set(err, -ENOMEM, "out of memory while preparing HTTPS");
}

int http_find_ca(const char *configured, char **out, struct err *err)
{
    static const char *const variables[] = {"AWS_CA_BUNDLE", "SSL_CERT_FILE"};
    static const char *const bundles[] = {"/etc/ssl/certs/ca-certificates.crt",
                                          "/etc/pki/tls/certs/ca-bundle.crt"};

    if (configured && *configured)
        return use_ca(configured, "[dynamodb] ca_file", out, err);
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const char *path = getenv(variables[i]);
        if (path && *path)
            return use_ca(path, variables[i], out, err);
    }
    for (size_t i = 0; i < sizeof bundles / sizeof *bundles; i++)
        if (access(bundles[i], R_OK) == 0)
            return use_ca(bundles[i], "the system's", out, err);
    return 0;
}

static void client_free(struct http_client *c)
{
    free(c->ca_file);
    free(c);
}

/* Both carriers are made where they may be used, so that a call never fails for want of one. */
static int set_up(struct http_client *c, const struct http_options *o, struct err *err)
{
    int r = http_find_ca(o->ca_file, &c->ca_file, err);

    if (r < 0)
        return r;
    c->setup.ca_file = c->ca_file;
    c->setup.max_connections = o->max_connections ? o->max_connections : DEFAULT_CONNECTIONS;
    c->setup.timeout = o->timeout > 0 ? o->timeout : DEFAULT_TIMEOUT;
    c->setup.connect_timeout =
        o->connect_timeout > 0 ? o->connect_timeout : DEFAULT_CONNECT_TIMEOUT;
    c->setup.max_reply = o->max_reply ? o->max_reply : DEFAULT_MAX_REPLY;
    return o->own ? wire_new(&c->setup, &c->wire, err) : libcurl_new(&c->setup, &c->libcurl, err);
}

int http_client_new(uv_loop_t *loop, const struct http_options *o, struct http_client **out,
                    struct err *err)
{
    struct http_client *c = calloc(1, sizeof *c);

    if (!c)
        return err_set(err, -ENOMEM, "out of memory while preparing HTTP");
    c->setup.loop = loop;
    int r = set_up(c, o, err);
    if (r < 0) {
        client_free(c);
        return r;
    }
    *out = c;
    return 0;
}

static bool header_line_valid(const char *line)
{
    const char *c = line;

    while (http_is_token(*c))
        c++;
    if (c == line || *c != ':')
        return false;
    for (c++; *c == ' ' || *c == '\t'; c++)
        continue;
    return *c && !strchr(c, '\r') && !strchr(c, '\n');
}

static int check_request(const struct http_request *req, struct err *err)
{
    bool get = strcmp(req->method, "GET") == 0;

    if ((!get && strcmp(req->method, "POST") != 0 && strcmp(req->method, "PUT") != 0) ||
        (get && req->body_len))
        return err_set(err, -EINVAL,
                       "the request to %s is neither GET without a body, POST nor PUT", req->url);
    for (size_t i = 0; i < req->header_count; i++)
        if (!header_line_valid(req->headers[i]))
            return err_set(err, -EINVAL, "a header of the request to %s is not \"Name: value\"",
                           req->url);
    return 0;
}

int http_start(struct http_client *c, const struct http_request *req, http_done_fn *done, void *arg,
               struct http_call **out, struct err *err)
{
    if (c->closing)
        return err_set(err, -ECANCELED, "the HTTP client is closing");
    int r = check_request(req, err);
    if (r < 0)
        return r;
    if (c->wire && wire_takes(c->wire, req))
        return wire_start(c->wire, req, done, arg, out, err);
    if (!c->libcurl)
        r = libcurl_new(&c->setup, &c->libcurl, err);
    return r < 0 ? r : libcurl_start(c->libcurl, req, done, arg, out, err);
}

void http_client_connections(struct http_client *c, unsigned most)
{
    c->setup.max_connections = most;
    if (c->wire)
        wire_connections(c->wire, most);
    if (c->libcurl)
        libcurl_connections(c->libcurl, most);
}

void http_cancel(struct http_call *call)
{
    call->cancel(call);
}

static void part_closed(void *arg)
{
    struct http_client *c = arg;

    if (--c->open > 0)
        return;
    void (*closed)(void *arg) = c->closed;
    void *closed_arg = c->closed_arg;
    client_free(c);
    if (closed)
        closed(closed_arg);
}

void http_client_close(struct http_client *c, void (*closed)(void *arg), void *arg)
{
    assert(!c->closing);
    c->closing = true;
    c->closed = closed;
    c->closed_arg = arg;
    c->open = c->wire && c->libcurl ? 2 : 1;
    if (c->wire)
        wire_close(c->wire, part_closed, c);
    if (c->libcurl)
        libcurl_close(c->libcurl, part_closed, c);
}
