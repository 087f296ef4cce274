#include "aws/exchange.h"

#include <assert.h>
#include <stdlib.h>

#include "aws/credentials_json.h"
#include "base/cleanup.h"

enum { MAX_ANEW = 2 };

struct exchange {
    struct credentials_context *ctx;
    const struct exchange_ops *ops;
    void *arg;
    unsigned tries_left, anew;
    usec pause;
    struct http_call *call; /* under way */
    struct exchange_message message;
    struct err err;
    uv_timer_t timer;
};

struct buf *exchange_header(struct exchange_message *m)
{
    assert(m->header_count < EXCHANGE_HEADERS);
    return &m->headers[m->header_count++];
}

static void message_wipe(struct exchange_message *m)
{
    buf_wipe(&m->url);
    buf_wipe(&m->body);
    for (size_t i = 0; i < m->header_count; i++)
        buf_wipe(&m->headers[i]);
    *m = (struct exchange_message){0};
}

static void timer_closed(uv_handle_t *h)
{
    free(h->data);
}

static void end(struct exchange *x)
{
    message_wipe(&x->message);
    uv_close((uv_handle_t *)&x->timer, timer_closed);
}

static void finish(struct exchange *x, const struct http_reply *reply)
{
    const struct exchange_ops *ops = x->ops;
    void *arg = x->arg;
    struct err err = x->err;

    end(x);
    ops->done(arg, reply, &err);
}

static void attempt(uv_timer_t *t);

static void replied(void *arg, const struct http_reply *reply)
{
    struct exchange *x = arg;
    enum exchange_next next = EXCHANGE_AGAIN;

    x->call = NULL;
    if (reply->outcome == HTTP_REPLIED)
        next = x->ops->judge ? x->ops->judge(x->arg, reply) : exchange_judge_status(reply);
    message_wipe(&x->message);
    if (next == EXCHANGE_ANEW && x->anew++ < MAX_ANEW) {
        x->tries_left++;
        uv_timer_start(&x->timer, attempt, 0, 0);
        return;
    }
    if (next == EXCHANGE_AGAIN && x->tries_left > 0) {
        uv_timer_start(&x->timer, attempt, (uint64_t)(x->pause / USEC_PER_MSEC), 0);
        x->pause *= 2;
        return;
    }
    finish(x, reply);
}

static int send_message(struct exchange *x)
{
    struct exchange_message *m = &x->message;
    const char *lines[EXCHANGE_HEADERS];
    struct http_client *http = credentials_context_http(x->ctx, &x->err);
    bool ok = buf_ok(&m->url) && buf_ok(&m->body);

    if (!http)
        return -1;
    for (size_t i = 0; i < m->header_count; i++) {
        ok = ok && buf_ok(&m->headers[i]);
        lines[i] = m->headers[i].data;
    }
    if (!ok)
        return err_set(&x->err, -ENOMEM, "out of memory while looking for AWS credentials");
    return http_start(http,
                      &(struct http_request){.method = m->method,
                                             .url = m->url.data,
                                             .headers = lines,
                                             .header_count = m->header_count,
                                             .body = m->body.data,
                                             .body_len = m->body.len,
                                             .timeout = m->timeout,
                                             .connect_timeout = m->connect_timeout,
                                             .no_proxy = m->no_proxy,
                                             .secret = true},
                      replied, x, &x->call, &x->err);
}

static void attempt(uv_timer_t *t)
{
    struct exchange *x = t->data;

    if (x->tries_left > 0)
        x->tries_left--;
    if (x->ops->build(x->arg, &x->message, &x->err) < 0 || send_message(x) < 0)
        finish(x, NULL);
}

struct exchange *exchange_start(struct credentials_context *ctx, const struct exchange_ops *ops,
                                unsigned tries, usec pause, void *arg)
{
    struct exchange *x = calloc(1, sizeof *x);

    if (!x)
        return NULL;
    x->ctx = ctx;
    x->ops = ops;
    x->arg = arg;
    x->tries_left = tries;
    x->pause = pause;
    uv_timer_init(ctx->loop, &x->timer);
    x->timer.data = x;
    uv_timer_start(&x->timer, attempt, 0, 0);
    return x;
}

void exchange_cancel(struct exchange *x)
{
    if (!x)
        return;
    if (x->call)
        http_cancel(take_ptr(x->call));
    end(x);
}

enum exchange_next exchange_judge_status(const struct http_reply *reply)
{
    return reply->status == 429 || reply->status >= 500 ? EXCHANGE_AGAIN : EXCHANGE_TAKE;
}

void exchange_phrase(const struct http_reply *reply, const char *url, struct err *out)
{
    struct credentials_complaint c;

    if (reply->outcome != HTTP_REPLIED) {
        err_set(out, -EIO, "no answer from %s: %s", url, reply->error);
        return;
    }
    credentials_json_complaint(reply->body, reply->body_len, &c);
    if (c.code[0] || c.message[0])
        err_set(out, -EIO, "%s answers HTTP %d (%s%s%s)", url, reply->status, c.code,
                c.code[0] && c.message[0] ? ": " : "", c.message);
    else
        err_set(out, -EIO, "%s answers HTTP %d", url, reply->status);
}
