#include "jobs/connect.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "aws/imds.h"

/* Connections are made as they are needed. A page of a scan is 1 MB as DynamoDB counts, and up to
 * some twenty times that as JSON: items of many short attributes, text of control characters. */
enum { MAX_CONNECTIONS = 16, MAX_REPLY = 64 << 20 };
#define THROTTLE_BASE USEC_PER_SEC

static int resolve(const struct config *c, const char *instance_region, struct endpoint *out,
                   struct err *err)
{
    const struct endpoint_request er = {.region = c->region,
                                        .endpoint_url = c->endpoint_url,
                                        .profile = c->profile,
                                        .credentials_file = c->credentials_file,
                                        .allow_plain_http = c->allow_plain_http,
                                        .instance_region = instance_region};

    return endpoint_resolve(&er, out, err);
}

struct location {
    const struct config *config;
    struct endpoint *out;
    struct err *err;
    int rc;
};

static void located(void *arg, const char *region, const struct err *err)
{
    struct location *l = arg;

    l->rc = region ? resolve(l->config, region, l->out, l->err)
                   : err_set(l->err, -EINVAL, "%s", err->text);
}

int connection_endpoint(const struct config *c, struct endpoint *out, struct err *err)
{
    struct location l = {.config = c, .out = out, .err = err};
    uv_loop_t loop;
    int rc = resolve(c, NULL, out, err);

    if (rc != -ENODATA)
        return rc;
    if (uv_loop_init(&loop) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    if (imds_region_start(&loop, located, &l))
        uv_run(&loop, UV_RUN_DEFAULT);
    else
        l.rc = err_set(err, -ENOMEM, "out of memory");
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    return l.rc;
}

int connection_take_credentials(struct connection *x, const struct credentials *c, struct err *err)
{
    x->expires = c->expires;
    snprintf(x->provider_name, sizeof x->provider_name, "%s", c->provider);
    int rc = ddb_set_credentials(x->ddb, c);
    return rc < 0 ? err_set(err, rc, "out of memory") : 0;
}

struct wait {
    struct connection *connection;
    struct err *err;
    bool over;
    int rc;
};

static void got_credentials(void *arg, const struct credentials *c, const struct err *err)
{
    struct wait *w = arg;
    struct connection *x = w->connection;

    w->over = true;
    if (!c) {
        w->rc = err_set(w->err, -EINVAL, "%s", err->text);
        return;
    }
    w->rc = connection_take_credentials(x, c, w->err);
}

struct credentials_request connection_credentials(const struct config *c, uv_loop_t *loop,
                                                  const char *region)
{
    return (struct credentials_request){.loop = loop,
                                        .region = region,
                                        .profile = c->profile,
                                        .credentials_file = c->credentials_file,
                                        .ca_file = c->ca_file,
                                        .allow_plain_http = c->allow_plain_http};
}

static int make_parts(struct connection *x, const struct config *c, struct err *err)
{
    const struct credentials_request cr = connection_credentials(c, &x->loop, x->endpoint.region);
    const struct http_options ho = {.ca_file = c->ca_file,
                                    .max_connections = MAX_CONNECTIONS,
                                    .timeout = c->request_timeout,
                                    .own = c->http_client == HTTP_CLIENT_OWN,
                                    .max_reply = MAX_REPLY};
    int rc = http_client_new(&x->loop, &ho, &x->http, err);

    if (rc == 0)
        rc = credentials_chain_new(&cr, &x->provider, err);
    if (rc == 0 && !(x->ddb = ddb_new(x->http, &x->endpoint, c->request_timeout)))
        rc = err_set(err, -ENOMEM, "out of memory");
    return rc;
}

int connection_open(struct connection *x, const struct config *c, struct err *err)
{
    struct wait w = {.connection = x, .err = err};

    *x = (struct connection){.backoff_base = c->backoff_base,
                             .throttle_base = THROTTLE_BASE,
                             .backoff_max = c->backoff_max,
                             .rng = {(uint64_t)clock_wall() ^ (uint64_t)getpid()}};
    list_init(&x->renewing);
    int rc = connection_endpoint(c, &x->endpoint, err);
    if (rc < 0)
        return rc;
    if (uv_loop_init(&x->loop) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    rc = make_parts(x, c, err);
    if (rc == 0) {
        credentials_fetch(x->provider, got_credentials, &w);
        while (!w.over)
            uv_run(&x->loop, UV_RUN_ONCE);
        rc = w.rc;
    }
    if (rc < 0)
        connection_close(x);
    return rc;
}

void connection_close(struct connection *x)
{
    credentials_provider_free(x->provider);
    if (x->http)
        http_client_close(x->http, NULL, NULL);
    uv_run(&x->loop, UV_RUN_DEFAULT);
    ddb_free(x->ddb);
    uv_loop_close(&x->loop);
}
