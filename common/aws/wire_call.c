#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "aws/wire_internal.h"

static void leave_origin(struct wire_call *call)
{
    if (call->origin)
        wire_origin_leave(call->origin);
    call->origin = NULL;
}

void wire_call_free(struct wire_call *call)
{
    buf_free(&call->head);
    wire_reply_free(&call->in);
    free(call);
}

struct wire_call *wire_call_take(struct wire *w)
{
    struct wire_call *call;

    if (list_empty(&w->pool)) {
        call = calloc(1, sizeof *call);
        if (!call)
            return NULL;
        list_init(&call->node);
        call->wire = w;
    } else {
        call = list_first(&w->pool, struct wire_call, node);
        list_remove(&call->node);
        w->pooled--;
    }
    if (w->calls++ == 0)
        uv_ref((uv_handle_t *)&w->timer);
    return call;
}

void wire_call_release(struct wire_call *call)
{
    struct wire *w = call->wire;

    list_remove(&call->node);
    call->state = WIRE_POOLED;
    leave_origin(call);
    if (call->head.data) /* credentials */
        explicit_bzero(call->head.data, call->head.len);
    buf_clear(&call->head);
    wire_reply_forget(&call->in, call->secret);
    if (--w->calls == 0)
        uv_unref((uv_handle_t *)&w->timer);
    if (w->closing || w->pooled >= w->setup.max_connections) {
        wire_call_free(call);
        return;
    }
    list_push_front(&w->pool, &call->node);
    w->pooled++;
}

/* --- the request ------------------------------------------------------------------------------ */

static const char *after_name(const char *line, const char *name, size_t n)
{
    return strncasecmp(line, name, n) == 0 ? line + n : NULL;
}

/* In one piece: growing would leave copies of credentials behind. */
static bool reserve_head(struct buf *head, const struct http_request *req,
                         const struct wire_origin *o)
{
    enum { OUR_LINES = 256 };
    size_t n = OUR_LINES + strlen(req->url) + strlen(o->url.authority);

    for (size_t i = 0; i < req->header_count; i++)
        n += strlen(req->headers[i]) + 2;
    return buf_reserve(head, n);
}

static int write_head(struct buf *head, const struct http_request *req, const struct wire_origin *o)
{
    const char *path = req->url + o->url.authority_end;
    bool host = false;

    buf_clear(head);
    if (!reserve_head(head, req, o))
        return -ENOMEM;
    buf_puts(head, req->method);
    buf_putc(head, ' ');
    buf_puts(head, *path ? path : "/");
    buf_lit(head, " HTTP/1.1\r\n");
    for (size_t i = 0; i < req->header_count; i++)
        host = host || after_name(req->headers[i], "host:", 5);
    if (!host) {
        buf_lit(head, "Host: ");
        buf_puts(head, o->url.authority);
        buf_lit(head, "\r\n");
    }
    buf_lit(head, "User-Agent: syncd/" SYNCD_VERSION "\r\nAccept-Encoding: identity\r\n");
    for (size_t i = 0; i < req->header_count; i++) {
        buf_puts(head, req->headers[i]);
        buf_lit(head, "\r\n");
    }
    if (strcmp(req->method, "GET") != 0) {
        buf_lit(head, "Content-Length: ");
        buf_append_u64(head, req->body_len);
        buf_lit(head, "\r\n");
    }
    buf_lit(head, "\r\n");
    return buf_ok(head) ? 0 : -ENOMEM;
}

int wire_call_prepare(struct wire_call *call, const struct http_request *req,
                      struct wire_origin *origin)
{
    const struct http_setup *s = &call->wire->setup;

    call->secret = req->secret;
    if (req->secret && !buf_reserve(&call->in.body, HTTP_SECRET_ROOM))
        return -ENOMEM;
    wire_reply_begin(&call->in, HTTP_MAX_HEADER_BYTES, s->max_reply);
    int r = write_head(&call->head, req, origin);
    if (r < 0)
        return r;
    call->origin = origin;
    wire_origin_use(origin);
    call->body = req->body_len ? req->body : "";
    call->body_len = req->body_len;
    call->deadline = clock_monotonic() + (req->timeout > 0 ? req->timeout : s->timeout);
    call->connect_timeout = req->connect_timeout > 0 ? req->connect_timeout : s->connect_timeout;
    call->restarts = 0;
    return 0;
}

/* --- the outcome ------------------------------------------------------------------------------ */

static struct http_reply *finish(struct wire_call *call, enum http_outcome outcome)
{
    const struct wire_reply *in = &call->in;
    struct http_reply *r = &call->reply;

    r->outcome = outcome;
    r->status = in->status;
    r->body = in->body.len ? in->body.data : "";
    r->body_len = in->body.len;
    memcpy(r->request_id, in->request_id, sizeof r->request_id);
    memcpy(r->date, in->date, sizeof r->date);
    r->has_crc32 = in->has_crc32;
    r->crc32 = in->crc32;
    r->retry_after = in->retry_after_ms * USEC_PER_MSEC;
    r->error[0] = r->code[0] = '\0';
    leave_origin(call); /* `done` may close the client */
    call->state = WIRE_FINISHED;
    list_push_back(&call->wire->finished, &call->node);
    return r;
}

void wire_call_replied(struct wire_call *call)
{
    finish(call, HTTP_REPLIED);
}

void wire_call_failed(struct wire_call *call, enum http_outcome outcome, const char *code,
                      const char *phrase, const char *detail)
{
    struct http_reply *r = finish(call, outcome);

    snprintf(r->code, sizeof r->code, "%s", code);
    snprintf(r->error, sizeof r->error, "%s%s%.160s%s", phrase, detail ? " (" : "",
             detail ? detail : "", detail ? ")" : "");
}
