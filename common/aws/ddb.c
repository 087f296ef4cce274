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
    char amz_date[17];    /* X-Amz-Date of `amz_second`, "" before the first */
    int64_t amz_second;
    struct buf lines; /* a request's headers while it is started, wiped after */
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
    buf_wipe(&d->lines);
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

/* Our clock may have been set since, and nobody asked since: the time that has passed tells. That
 * stands still while the machine sleeps, so it is heard only where it says less. */
int64_t ddb_clock_offset(const struct ddb *d)
{
    if (!d->dated_at)
        return d->offset;
    int64_t now = (d->dated + clock_monotonic() - d->dated_at - clock_wall()) / USEC_PER_SEC;
    int64_t said = d->offset < 0 ? -d->offset : d->offset;

    return (now < 0 ? -now : now) < said ? now : d->offset;
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

enum { MAX_HEADERS = 5, DATE = 17 };

struct headers {
    struct sigv4_header list[MAX_HEADERS];
    size_t count;
    char target[96], date[DATE];
};

/* Many requests are made within a second. */
static void date_now(struct ddb *d, char out[DATE])
{
    int64_t now = clock_wall() / USEC_PER_SEC + d->offset;

    if (now != d->amz_second || !d->amz_date[0]) {
        sigv4_date(now, d->amz_date);
        d->amz_second = now;
    }
    memcpy(out, d->amz_date, DATE);
}

static void add_header(struct headers *h, const char *name, const char *value)
{
    h->list[h->count++] = (struct sigv4_header){name, value};
}

/* In the order in which they are signed. */
static void fill_headers(struct ddb *d, const char *operation, struct headers *h)
{
    static const char prefix[] = "DynamoDB_20120810.";
    size_t at = sizeof prefix - 1, n = strnlen(operation, sizeof h->target - at - 1);

    h->count = 0;
    memcpy(h->target, prefix, at);
    memcpy(h->target + at, operation, n);
    h->target[at + n] = '\0';
    date_now(d, h->date);
    add_header(h, "Content-Type", "application/x-amz-json-1.0");
    add_header(h, "Host", d->endpoint.host);
    add_header(h, "X-Amz-Date", h->date);
    if (d->credentials.session_token)
        add_header(h, "X-Amz-Security-Token", d->credentials.session_token);
    add_header(h, "X-Amz-Target", h->target);
}

/* The lines, each ended by a NUL, into one buffer, which is large enough from the start: growing
 * would leave copies of credentials behind. `begin` says where each begins. */
static int write_lines(struct ddb *d, const struct headers *h, const struct sigv4_request *req,
                       struct buf *lines, size_t begin[MAX_HEADERS + 1])
{
    size_t need = 1024; /* Authorization, and the names */

    for (size_t i = 0; i < h->count; i++)
        need += strlen(h->list[i].name) + strlen(h->list[i].value) + 3;
    buf_clear(lines);
    if (!buf_reserve(lines, need))
        return -ENOMEM;
    begin[0] = 0;
    buf_lit(lines, "Authorization: ");
    int rc = sigv4_sign(d->signer, &d->credentials, req, h->date, lines);
    buf_putc(lines, '\0');
    for (size_t i = 0; i < h->count; i++) {
        begin[i + 1] = lines->len;
        buf_puts(lines, h->list[i].name);
        buf_lit(lines, ": ");
        buf_puts(lines, h->list[i].value);
        buf_putc(lines, '\0');
    }
    return rc == 0 && !buf_ok(lines) ? -ENOMEM : rc;
}

static int sign_and_start(struct ddb_call *c, const char *operation, struct err *err)
{
    struct ddb *d = c->ddb;
    struct headers h;
    size_t begin[MAX_HEADERS + 1];
    const char *lines[MAX_HEADERS + 1];

    fill_headers(d, operation, &h);
    const struct sigv4_request req = {.method = "POST",
                                      .path = "/",
                                      .query = "",
                                      .headers = h.list,
                                      .header_count = h.count,
                                      .body = c->body.data,
                                      .body_len = c->body.len};
    int rc = write_lines(d, &h, &req, &d->lines, begin);
    for (size_t i = 0; rc == 0 && i <= h.count; i++)
        lines[i] = d->lines.data + begin[i];
    if (rc == 0)
        rc = http_start(d->http,
                        &(struct http_request){.method = "POST",
                                               .url = d->endpoint.url,
                                               .headers = lines,
                                               .header_count = h.count + 1,
                                               .body = c->body.data,
                                               .body_len = c->body.len,
                                               .timeout = d->timeout},
                        finished, c, &c->http, err);
    else
        err_set(err, rc, "a request could not be signed");
    if (d->lines.data)
        explicit_bzero(d->lines.data, d->lines.len);
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
