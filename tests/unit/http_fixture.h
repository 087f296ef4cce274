/* A loop, a client and a scripted server for the tests of the HTTP client. */
#ifndef SYNCD_TESTS_HTTP_FIXTURE_H
#define SYNCD_TESTS_HTTP_FIXTURE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/pem.h>

#include "aws/http.h"
#include "scripted_server.h"

#define OK_REPLY "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

/* Which of the two clients is under test: every test runs over both. */
static bool own_client;

struct fixture {
    uv_loop_t loop;
    struct http_client *client;
    struct scripted *server;
    char url[64];
    bool closed;
};

/* What one call came to; the reply's strings do not outlive `done`, so the body is copied. */
struct result {
    struct fixture *f;
    struct http_call *call;
    int calls;
    struct http_reply reply;
    char *body;
    struct http_call *cancel_inside;
    bool close_inside;
    unsigned again; /* start so many more, one after the other */
    sem_t *post, *wait;
};

/* `certificate` is a PEM file that holds the key as well, or NULL for plain HTTP. */
static inline void begin_with(struct fixture *f, const struct reaction *script, size_t n,
                              const char *certificate, const struct http_options *o)
{
    struct http_options options = *o;
    struct err err = {""};

    options.own = own_client;
    memset(f, 0, sizeof *f);
    f->server = scripted_start(script, n, certificate, certificate);
    snprintf(f->url, sizeof f->url, "%s:%d/",
             certificate ? "https://localhost" : "http://127.0.0.1", f->server->port);
    assert_int_equal(uv_loop_init(&f->loop), 0);
    if (http_client_new(&f->loop, &options, &f->client, &err) < 0)
        fail_msg("%s", err.text);
}

#define begin(f, script, ...)                                                                      \
    begin_with(f, script, sizeof(script) / sizeof *(script), NULL,                                 \
               &(struct http_options){.max_connections = 4, __VA_ARGS__})

static inline void run(struct fixture *f)
{
    uv_run(&f->loop, UV_RUN_DEFAULT);
}

static inline void set_closed(void *arg)
{
    *(bool *)arg = true;
}

/* A loop that closes without complaint has no handle left. */
static inline void end(struct fixture *f)
{
    if (f->client)
        http_client_close(f->client, set_closed, &f->closed);
    run(f);
    assert_true(f->closed);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    scripted_stop(f->server);
}

static inline void start(struct fixture *f, struct result *r, const char *body);

static inline void done(void *arg, const struct http_reply *reply)
{
    struct result *r = arg;
    struct fixture *f = r->f;

    r->calls++;
    r->reply = *reply;
    free(r->body);
    r->body = strndup(reply->body, reply->body_len);
    assert_int_equal(strlen(reply->body), reply->body_len);
    if (r->cancel_inside)
        http_cancel(r->cancel_inside);
    if (r->post) {
        assert_int_equal(sem_post(r->post), 0);
        assert_int_equal(sem_wait(r->wait), 0);
    }
    if (r->again) {
        r->again--;
        start(f, r, "again");
    }
    if (r->close_inside) {
        http_client_close(f->client, set_closed, &f->closed);
        f->client = NULL;
    }
}

static inline void start_request(struct fixture *f, struct result *r, struct http_request req)
{
    struct err err = {""};
    int calls = r->calls;

    r->f = f;
    if (http_start(f->client, &req, done, r, &r->call, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(r->calls, calls);
}

static inline void start(struct fixture *f, struct result *r, const char *body)
{
    start_request(f, r,
                  (struct http_request){
                      .method = "POST", .url = f->url, .body = body, .body_len = strlen(body)});
}

static inline void expect(struct result *r, enum http_outcome outcome, int status, const char *code)
{
    if (r->calls != 1 || r->reply.outcome != outcome || r->reply.status != status ||
        strcmp(r->reply.code, code) != 0)
        fail_msg("calls %d, outcome %d, status %d, code %s, error %s", r->calls,
                 (int)r->reply.outcome, r->reply.status, r->reply.code, r->reply.error);
    assert_int_equal(outcome == HTTP_REPLIED, r->reply.error[0] == '\0');
    free(r->body);
    r->body = NULL;
}

/* NAME.crt, which vouches for itself, and NAME.pem with the key as well. */
static inline void make_certificate(const char *directory, const char *name, const char *of)
{
    char command[512];

    snprintf(command, sizeof command,
             "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
             "-days 2 -subj /CN=syncd -addext subjectAltName=%s -keyout %s.pem -out %s.crt "
             "2>/dev/null && cat %s.crt >>%s.pem",
             directory, of, name, name, name, name);
    assert_int_equal(system(command), 0);
}

/* The same, but that it ended yesterday. */
static inline void expire_certificate(const char *directory, const char *name)
{
    char pem[128], crt[128];

    snprintf(pem, sizeof pem, "%s/%s.pem", directory, name);
    snprintf(crt, sizeof crt, "%s/%s.crt", directory, name);
    FILE *f = fopen(pem, "r+");
    assert_non_null(f);
    EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    X509 *x = PEM_read_X509(f, NULL, NULL, NULL);
    assert_true(key && x);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), -2 * 24 * 3600));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), -24 * 3600));
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    rewind(f);
    assert_true(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) && PEM_write_X509(f, x));
    fclose(f);
    f = fopen(crt, "w");
    assert_true(f && PEM_write_X509(f, x));
    fclose(f);
    X509_free(x);
    EVP_PKEY_free(key);
}

static inline void remove_certificate(const char *directory, const char *name)
{
    static const char *const endings[] = {"crt", "pem"};

    for (size_t i = 0; i < 2; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s.%s", directory, name, endings[i]);
        unlink(path);
    }
}

/* main() of a program of such tests. */
#define run_over_both(tests, setup, teardown)                                                      \
    ({                                                                                             \
        own_client = false;                                                                        \
        int failed_ = cmocka_run_group_tests_name("libcurl", tests, setup, teardown);              \
        own_client = true;                                                                         \
        failed_ + cmocka_run_group_tests_name("own client", tests, setup, teardown);               \
    })

#endif
