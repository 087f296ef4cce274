#include "aws/imds.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "aws/endpoint_url.h"
#include "aws/exchange.h"
#include "base/cleanup.h"

/* The SDKs give up after one try of a second; a daemon may start before the network is there. */
enum { TRIES = 2, MOST_TRIES = 10, SECONDS = 2, MOST_SECONDS = 60, MAX_TOKEN = 4096 };
#define PAUSE     (200 * USEC_PER_MSEC)
#define TOKEN_TTL "21600"

struct imds_get {
    struct credentials_context *ctx;
    struct exchange *exchange;
    char base[320];
    char *path;
    bool renewed; /* a token was refused already */
    imds_done_fn *done;
    void *arg;
};

bool imds_disabled(void)
{
    return credentials_environment_true("AWS_EC2_METADATA_DISABLED");
}

/* A number of the environment within bounds; one that is none is taken for not set. */
static unsigned bounded(const char *variable, unsigned otherwise, unsigned most)
{
    const char *text = credentials_environment(variable);
    unsigned long n =
        text && strspn(text, "0123456789") == strlen(text) ? strtoul(text, NULL, 10) : 0;

    return n == 0 ? otherwise : n > most ? most : (unsigned)n;
}

static int find_base(struct imds_get *g, struct err *err)
{
    const char *given = credentials_environment("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    const char *mode = credentials_environment("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
    const char *base = given                                   ? given
                       : mode && strcasecmp(mode, "IPv6") == 0 ? "http://[fd00:ec2::254]"
                                                               : "http://169.254.169.254";
    size_t n = strlen(base);

    while (n && base[n - 1] == '/')
        n--;
    if (n >= sizeof g->base)
        return err_set(err, -EINVAL, "AWS_EC2_METADATA_SERVICE_ENDPOINT is too long; correct it");
    memcpy(g->base, base, n);
    g->base[n] = '\0';
    return endpoint_url_near(g->base, "AWS_EC2_METADATA_SERVICE_ENDPOINT", g->ctx->allow_plain_http,
                             err);
}

static void address(const struct imds_get *g, struct exchange_message *m, const char *method,
                    const char *path)
{
    unsigned seconds = bounded("AWS_METADATA_SERVICE_TIMEOUT", SECONDS, MOST_SECONDS);

    m->method = method;
    buf_printf(&m->url, "%s/%s", g->base, path);
    m->no_proxy = true;
    m->timeout = m->connect_timeout = (usec)seconds * USEC_PER_SEC;
}

static void imds_free(struct imds_get *g)
{
    exchange_cancel(g->exchange);
    free(g->path);
    free(g);
}

static void finish(struct imds_get *g, enum imds_result result, const struct http_reply *reply,
                   const struct err *err)
{
    imds_done_fn *done = g->done;
    void *arg = g->arg;

    imds_free(g);
    done(arg, result, reply ? reply->body : "", reply ? reply->body_len : 0, err);
}

static void start(struct imds_get *g, const struct exchange_ops *ops)
{
    struct err err;

    g->exchange = exchange_start(
        g->ctx, ops, bounded("AWS_METADATA_SERVICE_NUM_ATTEMPTS", TRIES, MOST_TRIES), PAUSE, g);
    if (g->exchange)
        return;
    err_set(&err, -ENOMEM, "out of memory while asking the instance metadata service");
    finish(g, IMDS_REFUSED, NULL, &err);
}

/* True when there is nothing more to say but the failure. */
static bool failed(struct imds_get *g, const struct http_reply *reply, const struct err *err)
{
    struct err phrase;

    if (reply && reply->outcome == HTTP_REPLIED)
        return false;
    if (reply)
        exchange_phrase(reply, g->base, &phrase);
    finish(g, reply ? IMDS_SILENT : IMDS_REFUSED, NULL, reply ? &phrase : err);
    return true;
}

/* --- the question ----------------------------------------------------------------------------- */

static void ask_token(struct imds_get *g);

static int build_get(void *arg, struct exchange_message *m, struct err *err)
{
    struct imds_get *g = arg;

    (void)err;
    address(g, m, "GET", g->path);
    struct buf *h = exchange_header(m);
    buf_reserve(h, MAX_TOKEN + 64);
    buf_printf(h, "X-aws-ec2-metadata-token: %s", g->ctx->imds_token);
    return 0;
}

static void got_reply(void *arg, const struct http_reply *reply, const struct err *err)
{
    struct imds_get *g = arg;
    struct err phrase = {""};

    g->exchange = NULL;
    if (failed(g, reply, err))
        return;
    if (reply->status == 401 && !g->renewed) {
        g->renewed = true;
        credentials_wipe_text(take_ptr(g->ctx->imds_token));
        ask_token(g);
        return;
    }
    if (reply->status != 200)
        exchange_phrase(reply, g->base, &phrase);
    finish(g,
           reply->status == 200   ? IMDS_FOUND
           : reply->status == 404 ? IMDS_NOTHING
                                  : IMDS_REFUSED,
           reply, &phrase);
}

static void ask(struct imds_get *g)
{
    static const struct exchange_ops ops = {build_get, NULL, got_reply};

    start(g, &ops);
}

/* --- the token -------------------------------------------------------------------------------- */

static int build_token(void *arg, struct exchange_message *m, struct err *err)
{
    (void)err;
    address(arg, m, "PUT", "latest/api/token");
    buf_puts(exchange_header(m), "X-aws-ec2-metadata-token-ttl-seconds: " TOKEN_TTL);
    return 0;
}

/* It goes into a header as it is. */
static bool token_usable(const struct http_reply *reply)
{
    if (!reply->body_len || reply->body_len > MAX_TOKEN)
        return false;
    for (size_t i = 0; i < reply->body_len; i++)
        if (!isgraph((unsigned char)reply->body[i]))
            return false;
    return true;
}

static void got_token(void *arg, const struct http_reply *reply, const struct err *err)
{
    struct imds_get *g = arg;
    struct err phrase;

    g->exchange = NULL;
    if (failed(g, reply, err))
        return;
    if (reply->status == 200 && token_usable(reply)) {
        credentials_wipe_text(g->ctx->imds_token);
        g->ctx->imds_token = strndup(reply->body, reply->body_len);
        if (g->ctx->imds_token) {
            ask(g);
            return;
        }
    }
    if (reply->status == 403 || reply->status == 404 || reply->status == 405)
        err_set(&phrase, -EACCES,
                "%s gives no session token (HTTP %d): only version 2 of the metadata service is "
                "used, and the instance's options must have it enabled",
                g->base, reply->status);
    else if (reply->status == 200)
        err_set(&phrase, -EINVAL, "%s gives a session token that is none", g->base);
    else
        exchange_phrase(reply, g->base, &phrase);
    finish(g, IMDS_REFUSED, NULL, &phrase);
}

static void ask_token(struct imds_get *g)
{
    static const struct exchange_ops ops = {build_token, NULL, got_token};

    start(g, &ops);
}

/* --- life ------------------------------------------------------------------------------------- */

/* The base is looked at here, on the loop, so that a wrong one is answered as all else is. */
static int build_first(void *arg, struct exchange_message *m, struct err *err)
{
    struct imds_get *g = arg;
    int r = find_base(g, err);

    if (r < 0)
        return r;
    return g->ctx->imds_token ? build_get(arg, m, err) : build_token(arg, m, err);
}

static void got_first(void *arg, const struct http_reply *reply, const struct err *err)
{
    struct imds_get *g = arg;

    if (g->ctx->imds_token)
        got_reply(arg, reply, err);
    else
        got_token(arg, reply, err);
}

struct imds_get *imds_get_start(struct credentials_context *ctx, const char *path,
                                imds_done_fn *done, void *arg)
{
    static const struct exchange_ops ops = {build_first, NULL, got_first};
    struct imds_get *g = calloc(1, sizeof *g);

    if (!g || !(g->path = strdup(path))) {
        free(g);
        return NULL;
    }
    g->ctx = ctx;
    g->done = done;
    g->arg = arg;
    g->exchange = exchange_start(
        ctx, &ops, bounded("AWS_METADATA_SERVICE_NUM_ATTEMPTS", TRIES, MOST_TRIES), PAUSE, g);
    if (g->exchange)
        return g;
    imds_free(g);
    return NULL;
}

void imds_get_cancel(struct imds_get *g)
{
    if (g)
        imds_free(g);
}

/* --- the region ------------------------------------------------------------------------------- */

struct imds_region {
    struct credentials_context *ctx;
    struct imds_get *get;
    imds_region_fn *done;
    void *arg;
};

void imds_region_cancel(struct imds_region *r)
{
    if (!r)
        return;
    imds_get_cancel(r->get);
    credentials_context_free(r->ctx);
    free(r);
}

static void got_region(void *arg, enum imds_result result, const char *body, size_t n,
                       const struct err *err)
{
    struct imds_region *r = arg;
    imds_region_fn *done = r->done;
    void *done_arg = r->arg;
    char region[64];
    struct err why;

    r->get = NULL;
    snprintf(region, sizeof region, "%.*s", (int)(n < sizeof region ? n : 0), body);
    imds_region_cancel(r);
    if (result == IMDS_FOUND && endpoint_region_valid(region)) {
        done(done_arg, region, NULL);
        return;
    }
    err_set(&why, -ENOENT,
            "no AWS region: write region = us-west-2 (for instance) under [dynamodb], or set "
            "AWS_REGION (the instance metadata service was asked: %s)",
            result == IMDS_FOUND ? "its answer is no region's name" : err->text);
    done(done_arg, NULL, &why);
}

struct imds_region *imds_region_start(uv_loop_t *loop, imds_region_fn *done, void *arg)
{
    const struct credentials_request req = {.loop = loop};
    struct imds_region *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    r->done = done;
    r->arg = arg;
    r->ctx = credentials_context_new(&req);
    if (r->ctx)
        r->get = imds_get_start(r->ctx, "latest/meta-data/placement/region", got_region, r);
    if (r->get)
        return r;
    imds_region_cancel(r);
    return NULL;
}
