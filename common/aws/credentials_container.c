/* Credentials of a container: ECS (a path at a link-local address) and EKS pod identity (a URL, and
 * a token in a file that is replaced now and then). */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/credentials_json.h"
#include "aws/credentials_provider.h"
#include "aws/endpoint_url.h"
#include "aws/exchange.h"

#define ECS_HOST "http://169.254.170.2"
#define RELATIVE "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
#define FULL     "AWS_CONTAINER_CREDENTIALS_FULL_URI"
#define TOKEN    "AWS_CONTAINER_AUTHORIZATION_TOKEN"

enum { TRIES = 3 };
#define TIMEOUT (2 * USEC_PER_SEC)
#define PAUSE   (1 * USEC_PER_SEC)

struct container_provider {
    struct credentials_provider base;
    struct credentials_context *ctx;
    struct exchange *exchange; /* under way */
    provider_done_fn *done;
    void *arg;
};

static void finish(struct container_provider *p, enum provider_result result,
                   const struct credentials *c, const struct err *err)
{
    p->done(p->arg, result, c, err);
}

static int build_url(struct container_provider *p, struct buf *url, struct err *err)
{
    const char *relative = credentials_environment(RELATIVE);
    const char *full = credentials_environment(FULL);

    for (const char *c = relative ? relative : full; *c; c++)
        if (!isgraph((unsigned char)*c))
            return err_set(err, -EINVAL, "%s holds a blank or another character that no URL has",
                           relative ? RELATIVE : FULL);
    if (relative && *relative != '/')
        return err_set(err, -EINVAL, RELATIVE " does not begin with /; correct it");
    if (!relative && endpoint_url_near(full, FULL, p->ctx->allow_plain_http, err) < 0)
        return -EINVAL;
    buf_printf(url, "%s%s", relative ? ECS_HOST : "", relative ? relative : full);
    return 0;
}

static int add_authorization(struct exchange_message *m, struct err *err)
{
    const char *file = credentials_environment(TOKEN "_FILE");
    const char *given = credentials_environment(TOKEN);
    char *token = NULL;
    int r = 0;

    if (!file && !given)
        return 0;
    if (file)
        r = credentials_read_token(file, TOKEN "_FILE", &token, err);
    else if (strpbrk(given, "\r\n"))
        r = err_set(err, -EINVAL, TOKEN " holds a line end; correct it");
    else if (!(token = strdup(given)))
        r = err_set(err, -ENOMEM, "out of memory while looking for AWS credentials");
    if (r < 0)
        return r;
    struct buf *h = exchange_header(m);
    buf_reserve(h, strlen(token) + 32);
    buf_printf(h, "Authorization: %s", token);
    credentials_wipe_text(token);
    return 0;
}

static int build(void *arg, struct exchange_message *m, struct err *err)
{
    struct container_provider *p = arg;
    int r = build_url(p, &m->url, err);

    if (r < 0)
        return r;
    m->method = "GET";
    m->no_proxy = true;
    m->timeout = m->connect_timeout = TIMEOUT;
    buf_puts(exchange_header(m), "Accept: application/json");
    return add_authorization(m, err);
}

static void answered(void *arg, const struct http_reply *reply, const struct err *err)
{
    struct container_provider *p = arg;
    struct credentials c = {0};
    struct err why;

    p->exchange = NULL;
    if (!reply) {
        finish(p, PROVIDER_FAILED, NULL, err);
        return;
    }
    if (reply->outcome != HTTP_REPLIED || reply->status != 200) {
        exchange_phrase(reply, "it", &why);
        if (reply->outcome == HTTP_REPLIED)
            err_prefix(&why, 0, "the container's credentials endpoint gives none");
        else
            err_set(&why, -EIO, "the container's credentials endpoint does not answer: %s",
                    reply->error);
        finish(p, PROVIDER_FAILED, NULL, &why);
        return;
    }
    if (credentials_json(CREDENTIALS_CONTAINER, reply->body, reply->body_len, "container", &c,
                         &why) < 0) {
        err_prefix(&why, 0, "the answer of the container's credentials endpoint cannot be used");
        finish(p, PROVIDER_FAILED, NULL, &why);
        return;
    }
    finish(p, PROVIDER_FOUND, &c, NULL);
    credentials_clear(&c);
}

static void container_fetch(struct credentials_provider *base, provider_done_fn *done, void *arg)
{
    static const struct exchange_ops ops = {build, NULL, answered};
    struct container_provider *p = (struct container_provider *)base;
    struct err err;

    p->done = done;
    p->arg = arg;
    if (!credentials_environment(RELATIVE) && !credentials_environment(FULL)) {
        err_set(&err, -ENOENT, "the container (" RELATIVE " is not set)");
        finish(p, PROVIDER_ABSENT, NULL, &err);
        return;
    }
    p->exchange = exchange_start(p->ctx, &ops, TRIES, PAUSE, p);
    if (p->exchange)
        return;
    err_set(&err, -ENOMEM, "out of memory while looking for AWS credentials");
    finish(p, PROVIDER_FAILED, NULL, &err);
}

static void container_free(struct credentials_provider *base)
{
    struct container_provider *p = (struct container_provider *)base;

    exchange_cancel(p->exchange);
    free(p);
}

struct credentials_provider *container_provider_new(struct credentials_context *ctx)
{
    static const struct provider_ops ops = {"container", container_fetch, container_free};
    struct container_provider *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    p->base.ops = &ops;
    p->ctx = ctx;
    return (struct credentials_provider *)p;
}
