/* Requests while memory is short, or the network: the nth allocation of our own fails, or the nth
 * call of our own client for a socket, once or from then on. Each request that was started is
 * answered exactly once, none is said to be written that cannot be, nothing leaks, and afterwards
 * the next request goes as if nothing had been. Every n is tried.
 * libcurl's own allocations are left alone: 7.88 divides by zero after some. */
#include <errno.h>
#include <sys/socket.h>

#include "inject.h"

#include "http_fixture.h"

#include "aws/ddb.h"

enum { REQUESTS = 3 };

static char directory[32]; /* of the certificate */
static bool by_tls;

/* --- the network -------------------------------------------------------------------------------
 */

int __real_socket(int family, int type, int protocol);
int __real_connect(int fd, const struct sockaddr *to, socklen_t n);
int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *n);
ssize_t __real_send(int fd, const void *bytes, size_t n, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *m, int flags);
ssize_t __real_recv(int fd, void *to, size_t n, int flags);
int __wrap_socket(int family, int type, int protocol);
int __wrap_connect(int fd, const struct sockaddr *to, socklen_t n);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *n);
ssize_t __wrap_send(int fd, const void *bytes, size_t n, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *m, int flags);
ssize_t __wrap_recv(int fd, void *to, size_t n, int flags);

static bool network_fails(int error)
{
    bool fails = inject_fails(INJECT_IO);

    if (fails)
        errno = error;
    return fails;
}

int __wrap_socket(int family, int type, int protocol)
{
    return network_fails(EMFILE) ? -1 : __real_socket(family, type, protocol);
}

int __wrap_connect(int fd, const struct sockaddr *to, socklen_t n)
{
    return network_fails(ENETUNREACH) ? -1 : __real_connect(fd, to, n);
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *n)
{
    return network_fails(ENOBUFS) ? -1 : __real_getsockopt(fd, level, name, value, n);
}

ssize_t __wrap_send(int fd, const void *bytes, size_t n, int flags)
{
    return network_fails(EPIPE) ? -1 : __real_send(fd, bytes, n, flags);
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *m, int flags)
{
    return network_fails(ECONNRESET) ? -1 : __real_sendmsg(fd, m, flags);
}

ssize_t __wrap_recv(int fd, void *to, size_t n, int flags)
{
    return network_fails(ECONNRESET) ? -1 : __real_recv(fd, to, n, flags);
}

/* --- requests ----------------------------------------------------------------------------------
 */

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
    char ca[64];
    const struct http_options o = {
        .max_connections = 2, .own = own_client, .ca_file = by_tls ? ca : NULL};
    struct http_client *c = NULL;
    struct err err = {""};

    snprintf(ca, sizeof ca, "%s/near.crt", directory);
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
    static const struct reaction script[] = {
        {.reply = OK_REPLY},
        {.reply = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"},
        {.reply = OK_REPLY}};
    char pem[64];
    struct tally t = {0};
    struct answer last;
    struct fixture f = {0};

    snprintf(pem, sizeof pem, "%s/near.pem", directory);
    f.server = scripted_start(script, 3, by_tls ? pem : NULL, by_tls ? pem : NULL);
    snprintf(f.url, sizeof f.url, "http%s://127.0.0.1:%d/", by_tls ? "s" : "", f.server->port);
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

static void try_every(enum inject_kind kind, bool tls)
{
    by_tls = tls;
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
    try_every(INJECT_MEMORY, false);
    try_every(INJECT_MEMORY, true);
}

/* libcurl makes its own calls. */
static void the_network_may_fail(void **state)
{
    (void)state;
    if (!own_client)
        return;
    try_every(INJECT_IO, false);
    try_every(INJECT_IO, true);
}

static int make_directory(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/syncd-inject-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    make_certificate(directory, "near", "IP:127.0.0.1");
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    remove_certificate(directory, "near");
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_own_memory_may_fail),
        cmocka_unit_test(the_network_may_fail),
    };

    return run_over_both(tests, make_directory, remove_directory);
}
