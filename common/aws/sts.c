#include "aws/sts.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aws/credentials_json.h"
#include "aws/endpoint.h"
#include "aws/exchange.h"
#include "aws/http_date.h"
#include "aws/sigv4.h"
#include "base/cleanup.h"

enum { TRIES = 3, SESSION_MAX = 64 };
#define TIMEOUT     (10 * USEC_PER_SEC)
#define CONNECT_FOR (5 * USEC_PER_SEC)
#define PAUSE       (500 * USEC_PER_MSEC)
#define FORM_TYPE   "application/x-www-form-urlencoded; charset=utf-8"

struct sts_call {
    struct credentials_context *ctx;
    struct exchange *exchange;
    struct endpoint endpoint;
    struct credentials signs;
    bool web_identity, clock_corrected;
    char *role_arn, *session_name, *external_id, *token_file, *where;
    int64_t duration;
    provider_done_fn *done;
    void *arg;
};

static void call_free(struct sts_call *s)
{
    exchange_cancel(s->exchange);
    credentials_clear(&s->signs);
    free(s->role_arn);
    free(s->session_name);
    free(s->external_id);
    free(s->token_file);
    free(s->where);
    free(s);
}

static void finish(struct sts_call *s, enum provider_result result, const struct credentials *c,
                   const struct err *err)
{
    provider_done_fn *done = s->done;
    void *arg = s->arg;

    call_free(s);
    done(arg, result, c, err);
}

/* --- the request ------------------------------------------------------------------------------ */

/* Letters, digits and -_.~ stay (RFC 3986, unreserved). */
static void append_encoded(struct buf *body, const char *text)
{
    static const char hex[] = "0123456789ABCDEF";

    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (isalnum(c) || strchr("-_.~", c)) {
            buf_putc(body, (char)c);
        } else {
            buf_putc(body, '%');
            buf_putc(body, hex[c >> 4]);
            buf_putc(body, hex[c & 15]);
        }
    }
}

static void append_field(struct buf *body, const char *name, const char *value)
{
    buf_printf(body, "&%s=", name);
    append_encoded(body, value);
}

static int build_body(const struct sts_call *s, struct buf *body, struct err *err)
{
    char *token = NULL;

    if (s->web_identity) {
        int r = credentials_read_token(s->token_file, "the web identity token file", &token, err);
        if (r < 0)
            return r;
        buf_reserve(body, 3 * strlen(token) + 4096);
    }
    buf_printf(body, "Action=%s&Version=2011-06-15",
               s->web_identity ? "AssumeRoleWithWebIdentity" : "AssumeRole");
    append_field(body, "RoleArn", s->role_arn);
    append_field(body, "RoleSessionName", s->session_name);
    if (s->duration)
        buf_printf(body, "&DurationSeconds=%lld", (long long)s->duration);
    if (s->external_id)
        append_field(body, "ExternalId", s->external_id);
    if (token)
        append_field(body, "WebIdentityToken", token);
    credentials_wipe_text(token);
    return 0;
}

static int sign(struct sts_call *s, struct exchange_message *m, struct err *err)
{
    struct sigv4_signer *signer = sigv4_new(s->endpoint.region, "sts");
    struct sigv4_header headers[4];
    char date[17];
    size_t n = 0;

    sigv4_date(clock_wall() / USEC_PER_SEC + s->ctx->clock_offset, date);
    headers[n++] = (struct sigv4_header){"Content-Type", FORM_TYPE};
    headers[n++] = (struct sigv4_header){"Host", s->endpoint.host};
    headers[n++] = (struct sigv4_header){"X-Amz-Date", date};
    if (s->signs.session_token)
        headers[n++] = (struct sigv4_header){"X-Amz-Security-Token", s->signs.session_token};
    const struct sigv4_request req = {.method = "POST",
                                      .path = "/",
                                      .query = "",
                                      .headers = headers,
                                      .header_count = n,
                                      .body = m->body.data,
                                      .body_len = m->body.len};
    for (size_t i = 1; i < n; i++) {
        struct buf *h = exchange_header(m);
        buf_reserve(h, strlen(headers[i].name) + strlen(headers[i].value) + 4);
        buf_printf(h, "%s: %s", headers[i].name, headers[i].value);
    }
    struct buf *h = exchange_header(m);
    buf_lit(h, "Authorization: ");
    int r = signer ? sigv4_sign(signer, &s->signs, &req, date, h) : -ENOMEM;
    sigv4_free(signer);
    return r < 0 ? err_set(err, r, "a request to STS could not be signed") : 0;
}

static int build(void *arg, struct exchange_message *m, struct err *err)
{
    struct sts_call *s = arg;
    int r = build_body(s, &m->body, err);

    if (r < 0)
        return r;
    m->method = "POST";
    buf_puts(&m->url, s->endpoint.url);
    m->timeout = TIMEOUT;
    m->connect_timeout = CONNECT_FOR;
    buf_puts(exchange_header(m), "Content-Type: " FORM_TYPE);
    buf_puts(exchange_header(m), "Accept: application/json");
    return s->web_identity ? 0 : sign(s, m, err);
}

/* --- the reply -------------------------------------------------------------------------------- */

static bool one_of(const char *code, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(code, *list) == 0)
            return true;
    return false;
}

/* Our time may be what it does not like: the reply's Date says the service's. Once a call. */
static bool clock_learnt(struct sts_call *s, const struct http_reply *reply, const char *code)
{
    static const char *const clock_codes[] = {"SignatureDoesNotMatch",
                                              "InvalidSignatureException",
                                              "RequestExpired",
                                              "RequestTimeTooSkewed",
                                              "RequestInTheFuture",
                                              "AuthFailure",
                                              NULL};
    int64_t then;

    if (s->web_identity || s->clock_corrected || !one_of(code, clock_codes) ||
        http_date_parse(reply->date, &then) < 0)
        return false;
    int64_t offset = then - clock_wall() / USEC_PER_SEC;
    int64_t change = offset - s->ctx->clock_offset;
    s->clock_corrected = true;
    s->ctx->clock_offset = offset;
    return change > 60 || change < -60;
}

static enum exchange_next judge(void *arg, const struct http_reply *reply)
{
    static const char *const passing[] = {"Throttling",           "ThrottlingException",
                                          "RequestLimitExceeded", "IDPCommunicationError",
                                          "RequestTimeout",       NULL};
    struct credentials_complaint said;

    if (reply->status == 200)
        return EXCHANGE_TAKE;
    credentials_json_complaint(reply->body, reply->body_len, &said);
    if (clock_learnt(arg, reply, said.code))
        return EXCHANGE_ANEW;
    return one_of(said.code, passing) ? EXCHANGE_AGAIN : exchange_judge_status(reply);
}

static void answered(void *arg, const struct http_reply *reply, const struct err *err)
{
    struct sts_call *s = arg;
    struct credentials c = {0};
    struct err why = {""};
    int r = -EIO;

    s->exchange = NULL;
    if (!reply)
        why = *err;
    else if (reply->outcome != HTTP_REPLIED || reply->status != 200)
        exchange_phrase(reply, s->endpoint.url, &why);
    else if ((r = credentials_json(CREDENTIALS_STS, reply->body, reply->body_len, s->where, &c,
                                   &why)) < 0)
        err_prefix(&why, r, "the answer of %s cannot be used", s->endpoint.url);
    if (r < 0) {
        err_prefix(&why, r, "role %s cannot be assumed", s->role_arn);
        finish(s, PROVIDER_FAILED, NULL, &why);
        return;
    }
    finish(s, PROVIDER_FOUND, &c, NULL);
    credentials_clear(&c);
}

/* --- life ------------------------------------------------------------------------------------- */

static bool copy_text(char **to, const char *text)
{
    *to = text ? strdup(text) : NULL;
    return !text || *to;
}

/* syncd-HOSTNAME, in the alphabet of session names. It shows in CloudTrail. */
static bool make_session_name(char **to, const char *given)
{
    char host[SESSION_MAX] = "", name[SESSION_MAX + 1];

    if (given)
        return copy_text(to, given);
    if (gethostname(host, sizeof host - 1) < 0 || !*host)
        strcpy(host, "host");
    for (char *c = host; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("+=,.@-_", *c))
            *c = '-';
    snprintf(name, sizeof name, "syncd-%.58s", host);
    return copy_text(to, name);
}

static bool fill(struct sts_call *s, const struct sts_request *req)
{
    s->web_identity = req->signs == NULL;
    s->duration = req->duration;
    return copy_text(&s->role_arn, req->role_arn) && copy_text(&s->external_id, req->external_id) &&
           copy_text(&s->token_file, req->token_file) && copy_text(&s->where, req->where) &&
           make_session_name(&s->session_name, req->session_name) &&
           (!req->signs || credentials_copy(&s->signs, req->signs) == 0);
}

/* The endpoint is looked up here, on the loop, so that a wrong one is answered as all else is. */
static int build_first(void *arg, struct exchange_message *m, struct err *err)
{
    struct sts_call *s = arg;
    const struct endpoint_request er = {.region = s->ctx->region,
                                        .profile = s->ctx->profile,
                                        .credentials_file = s->ctx->credentials_file,
                                        .allow_plain_http = s->ctx->allow_plain_http,
                                        .service = "sts"};

    if (!s->endpoint.url[0]) {
        int r = endpoint_resolve(&er, &s->endpoint, err);
        if (r < 0)
            return r;
    }
    return build(arg, m, err);
}

struct sts_call *sts_start(struct credentials_context *ctx, const struct sts_request *req,
                           provider_done_fn *done, void *arg)
{
    static const struct exchange_ops ops = {build_first, judge, answered};
    struct sts_call *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->ctx = ctx;
    s->done = done;
    s->arg = arg;
    if (fill(s, req))
        s->exchange = exchange_start(ctx, &ops, TRIES, PAUSE, s);
    if (s->exchange)
        return s;
    call_free(s);
    return NULL;
}

void sts_cancel(struct sts_call *s)
{
    if (s)
        call_free(s);
}
