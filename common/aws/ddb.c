#include "aws/ddb.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "aws/http_date.h"
#include "aws/sigv4.h"
#include "base/cleanup.h"
#include "dynamodb/operations.h"

struct ddb {
    struct http_client *http;
    struct endpoint endpoint;
    struct sigv4_signer *signer;
    struct credentials credentials;
    bool has_credentials;
    usec timeout;
    int64_t offset;       /* seconds */
    usec dated, dated_at; /* the last Date header, and when it came (monotonic); 0: none yet */
    char date[40];        /* that header: many replies come within a second */
};

struct ddb_call {
    struct ddb *ddb;
    struct buf body;
    struct http_call *http;
    ddb_done_fn *done;
    void *arg;
};

struct ddb *ddb_new(struct http_client *http, const struct endpoint *e, usec timeout)
{
    struct ddb *d = calloc(1, sizeof *d);

    if (!d)
        return NULL;
    d->http = http;
    d->endpoint = *e;
    d->timeout = timeout;
    d->signer = sigv4_new(e->region, "dynamodb");
    if (!d->signer) {
        free(d);
        return NULL;
    }
    return d;
}

void ddb_free(struct ddb *d)
{
    if (!d)
        return;
    sigv4_free(d->signer);
    credentials_clear(&d->credentials);
    free(d);
}

int ddb_set_endpoint(struct ddb *d, const struct endpoint *e)
{
    struct sigv4_signer *signer = sigv4_new(e->region, "dynamodb");

    if (!signer)
        return -ENOMEM;
    sigv4_free(d->signer);
    d->signer = signer;
    d->endpoint = *e;
    return 0;
}

void ddb_set_timeout(struct ddb *d, usec timeout)
{
    d->timeout = timeout;
}

int ddb_set_credentials(struct ddb *d, const struct credentials *c)
{
    struct credentials copy = {0};
    int rc = credentials_copy(&copy, c);

    if (rc < 0)
        return rc;
    credentials_clear(&d->credentials);
    d->credentials = copy;
    d->has_credentials = true;
    return 0;
}

bool ddb_has_credentials(const struct ddb *d)
{
    return d->has_credentials;
}

int64_t ddb_clock_offset(const struct ddb *d)
{
    return d->offset;
}

usec ddb_service_time(const struct ddb *d, bool latest)
{
    usec signs = clock_wall() + d->offset * USEC_PER_SEC;
    usec counts = d->dated_at ? d->dated + clock_monotonic() - d->dated_at : signs;

    return latest == (counts > signs) ? counts : signs;
}

/* Date says whole seconds, so that differences of a second or two are noise. */
static void learn_clock(struct ddb *d, const char *date)
{
    int64_t then = d->dated / USEC_PER_SEC;

    if (strcmp(date, d->date) != 0 || !d->dated_at) {
        if (http_date_parse(date, &then) < 0)
            return;
        snprintf(d->date, sizeof d->date, "%s", date);
    }
    d->dated = (usec)then * USEC_PER_SEC;
    d->dated_at = clock_monotonic();
    int64_t offset = d->dated / USEC_PER_SEC - clock_wall() / USEC_PER_SEC;
    d->offset = offset > 2 || offset < -2 ? offset : 0;
}

static void call_free(struct ddb_call *c)
{
    buf_free(&c->body);
    free(c);
}

static void finished(void *arg, const struct http_reply *reply)
{
    struct ddb_call *c = arg;
    ddb_done_fn *done = c->done;
    void *done_arg = c->arg;

    if (reply->outcome == HTTP_REPLIED)
        learn_clock(c->ddb, reply->date);
    call_free(c);
    done(done_arg, reply);
}

enum { MAX_HEADERS = 6 };

struct headers {
    struct sigv4_header signed_headers[MAX_HEADERS];
    size_t signed_count;
    char target[96], date[17];
};

static void fill_headers(const struct ddb *d, const char *operation, struct headers *h)
{
    snprintf(h->target, sizeof h->target, "DynamoDB_20120810.%s", operation);
    sigv4_date(clock_wall() / USEC_PER_SEC + d->offset, h->date);
    size_t n = 0;
    h->signed_headers[n++] = (struct sigv4_header){"Content-Type", "application/x-amz-json-1.0"};
    h->signed_headers[n++] = (struct sigv4_header){"Host", d->endpoint.host};
    h->signed_headers[n++] = (struct sigv4_header){"X-Amz-Date", h->date};
    if (d->credentials.session_token)
        h->signed_headers[n++] =
            (struct sigv4_header){"X-Amz-Security-Token", d->credentials.session_token};
    h->signed_headers[n++] = (struct sigv4_header){"X-Amz-Target", h->target};
    h->signed_count = n;
}

static int sign_and_start(struct ddb_call *c, const char *operation, struct err *err)
{
    struct ddb *d = c->ddb;
    struct headers h;
    struct buf lines[MAX_HEADERS + 1] = {0};
    const char *header_lines[MAX_HEADERS + 1];
    size_t n = 0;
    int rc;

    fill_headers(d, operation, &h);
    const struct sigv4_request req = {.method = "POST",
                                      .path = "/",
                                      .query = "",
                                      .headers = h.signed_headers,
                                      .header_count = h.signed_count,
                                      .body = c->body.data,
                                      .body_len = c->body.len};
    buf_lit(&lines[0], "Authorization: ");
    rc = sigv4_sign(d->signer, &d->credentials, &req, h.date, &lines[0]);
    for (n = 1; n <= h.signed_count; n++)
        buf_printf(&lines[n], "%s: %s", h.signed_headers[n - 1].name,
                   h.signed_headers[n - 1].value);
    for (size_t i = 0; i < n; i++) {
        rc = rc == 0 && !buf_ok(&lines[i]) ? -ENOMEM : rc;
        header_lines[i] = lines[i].data;
    }
    if (rc == 0)
        rc = http_start(d->http,
                        &(struct http_request){.method = "POST",
                                               .url = d->endpoint.url,
                                               .headers = header_lines,
                                               .header_count = n,
                                               .body = c->body.data,
                                               .body_len = c->body.len,
                                               .timeout = d->timeout},
                        finished, c, &c->http, err);
    else
        err_set(err, rc, "a request could not be signed");
    for (size_t i = 0; i < n; i++)
        buf_wipe(&lines[i]);
    return rc;
}

int ddb_start(struct ddb *d, const char *operation, struct buf *body, ddb_done_fn *done, void *arg,
              struct ddb_call **out, struct err *err)
{
    struct ddb_call *c = calloc(1, sizeof *c);
    int rc;

    assert(ddb_operation_find(operation));
    if (!c || !buf_ok(body)) {
        free(c);
        buf_free(body);
        return err_set(err, -ENOMEM, "out of memory");
    }
    c->ddb = d;
    c->body = *body;
    *body = (struct buf){0};
    c->done = done;
    c->arg = arg;
    rc = d->has_credentials ? sign_and_start(c, operation, err)
                            : err_set(err, -ENOKEY, "there are no credentials yet");
    if (rc < 0) {
        call_free(c);
        return rc;
    }
    if (out)
        *out = c;
    return 0;
}

void ddb_cancel(struct ddb_call *c)
{
    if (!c)
        return;
    http_cancel(c->http);
    call_free(c);
}
