/* Requests while memory is short: the nth allocation of our own fails, once or from then on. Each
 * request that was started is answered exactly once, none is said to be written that cannot be,
 * nothing leaks, and afterwards the next request goes as if nothing had been. Every n is tried.
 * libcurl's own allocations are left alone: 7.88 divides by zero after some. */
#include <errno.h>

#include "inject.h"

#include "http_fixture.h"

#include "aws/ddb.h"

enum { REQUESTS = 3 };

struct answer {
    unsigned calls;
    enum http_outcome outcome;
    int status;
};

static void answered(void *arg, const struct http_reply *reply)
{
    struct answer *a = arg;

    a->calls++;
    a->outcome = reply->outcome;
    a->status = reply->status;
}

static struct ddb *new_ddb(struct http_client *http, const char *url)
{
    struct endpoint e = {.region = "eu-test-1", .host = "localhost"};
    const struct credentials c = {.access_key_id = (char *)"AKID",
                                  .secret_access_key = (char *)"secret",
                                  .session_token = (char *)"token"};
    struct ddb *d;

    snprintf(e.url, sizeof e.url, "%s", url);
    d = ddb_new(http, &e, 5 * USEC_PER_SEC);
    if (d && ddb_set_credentials(d, &c) < 0) {
        ddb_free(d);
        d = NULL;
    }
    return d;
}

/* 1 when it was started, which `a` then tells the end of. */
static int send_one(struct ddb *d, struct answer *a)
{
    struct buf body = {0};
    struct err err = {""};

    *a = (struct answer){0};
    buf_lit(&body, "{\"RequestItems\":{}}");
    int rc = ddb_start(d, "BatchWriteItem", &body, answered, a, NULL, &err);
    assert_null(body.data);
    if (rc < 0)
        assert_true(err.text[0] != '\0');
    return rc == 0;
}

static struct http_client *new_client(struct fixture *f)
{
    const struct http_options o = {.max_connections = 2, .own = own_client};
    struct http_client *c = NULL;
    struct err err = {""};

    if (http_client_new(&f->loop, &o, &c, &err) < 0)
        assert_true(err.text[0] != '\0' && !c);
    return c;
}

/* What the server may have seen. */
struct tally {
    unsigned least, most;
};

static void count(struct tally *t, const struct answer *a)
{
    if (a->calls && a->outcome == HTTP_REPLIED)
        assert_int_equal(a->status, 200);
    t->least += a->calls && a->outcome == HTTP_REPLIED;
    t->most += a->calls && a->outcome != HTTP_NOT_SENT;
}

static void requests(struct fixture *f, struct ddb *d, struct tally *t)
{
    struct answer answers[REQUESTS];

    for (unsigned i = 0; i < REQUESTS; i++) {
        inject_within = true;
        int started = send_one(d, &answers[i]);
        uv_run(&f->loop, UV_RUN_DEFAULT);
        inject_within = false;
        assert_int_equal(answers[i].calls, started);
        count(t, &answers[i]);
    }
}

static void run_once(enum inject_kind kind, uint64_t nth, bool lasting)
{
    static const struct reaction script[] = {{.reply = OK_REPLY}};
    struct fixture f = {.server = scripted_start(script, 1, NULL, NULL)};
    struct tally t = {0};
    struct answer last;

    snprintf(f.url, sizeof f.url, "http://127.0.0.1:%d/", f.server->port);
    assert_int_equal(uv_loop_init(&f.loop), 0);
    inject = (struct inject){.kind = kind, .nth = nth, .lasting = lasting};
    inject_within = true;
    f.client = new_client(&f);
    struct ddb *d = f.client ? new_ddb(f.client, f.url) : NULL;
    inject_within = false;
    if (d)
        requests(&f, d, &t);
    inject.nth = 0;
    if (!f.client)
        f.client = new_client(&f);
    assert_non_null(f.client);
    if (!d)
        d = new_ddb(f.client, f.url);
    assert_non_null(d);
    assert_int_equal(send_one(d, &last), 1);
    uv_run(&f.loop, UV_RUN_DEFAULT);
    assert_int_equal(last.calls, 1);
    assert_int_equal(last.outcome, HTTP_REPLIED);
    count(&t, &last);
    assert_in_range(f.server->requests, t.least, t.most);
    ddb_free(d);
    end(&f);
}

static void try_every(enum inject_kind kind)
{
    run_once(kind, 0, false);
    uint64_t n = inject.seen[kind];

    assert_true(n > 10);
    for (int lasting = 0; lasting < 2; lasting++)
        for (uint64_t i = 1; i <= n; i++)
            run_once(kind, i, lasting);
}

static void our_own_memory_may_fail(void **state)
{
    (void)state;
    try_every(INJECT_MEMORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_own_memory_may_fail),
    };

    return run_over_both(tests, NULL, NULL);
}
