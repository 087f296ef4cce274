/* The HTTP client against a server that misbehaves: every outcome is told apart and nothing is sent
 * twice. */
#include "http_fixture.h"

static char directory[32];

/* One request to a server with one reaction. */
static void expect_one(const struct reaction *reaction, const struct http_options *o,
                       enum http_outcome outcome, int status, const char *code)
{
    struct fixture f;
    struct result r = {0};

    begin_with(&f, reaction, 1, NULL, o);
    start(&f, &r, "body");
    run(&f);
    expect(&r, outcome, status, code);
    end(&f);
}

static void replies_are_taken_whole(void **state)
{
    static const struct reaction script[] = {
        {.reply = "HTTP/1.1 100 Continue\r\nDate: wrong\r\n\r\n"
                  "HTTP/1.1 400 Bad Request\r\nX-Amzn-RequestId:  ABC123 \r\n"
                  "Date: Fri, 20 Nov 2026 01:02:03 GMT\r\nx-amz-crc32: 4294967295\r\n"
                  "X-Amz-Retry-After: 1500\r\nContent-Length: 5\r\n\r\nhello"},
        {.reply = "HTTP/1.1 200 OK\r\nx-amz-crc32: 4294967296\r\nx-amz-retry-after: soon\r\n"
                  "Transfer-Encoding: chunked\r\n\r\n"
                  "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"}};
    static const char *const headers[] = {"Content-Type: application/x-amz-json-1.0",
                                          "X-Amz-Target: T"};
    struct fixture f;
    struct result a = {0}, b = {0};

    (void)state;
    begin(&f, script);
    start_request(&f, &a,
                  (struct http_request){.method = "POST",
                                        .url = f.url,
                                        .headers = headers,
                                        .header_count = 2,
                                        .body = "x",
                                        .body_len = 1});
    run(&f);
    assert_string_equal(a.body, "hello");
    assert_string_equal(a.reply.request_id, "ABC123");
    assert_string_equal(a.reply.date, "Fri, 20 Nov 2026 01:02:03 GMT");
    assert_true(a.reply.has_crc32);
    assert_true(a.reply.crc32 == UINT32_MAX);
    assert_true(a.reply.retry_after == 1500 * USEC_PER_MSEC);
    expect(&a, HTTP_REPLIED, 400, "");
    assert_non_null(strstr(f.server->head, "POST / HTTP/1.1\r\n"));
    assert_non_null(strstr(f.server->head, "\r\nUser-Agent: syncd/" SYNCD_VERSION "\r\n"));
    assert_non_null(strstr(f.server->head, "\r\nAccept-Encoding: identity\r\n"));
    assert_non_null(strstr(f.server->head, "\r\nX-Amz-Target: T\r\n"));
    assert_non_null(strstr(f.server->head, "\r\nContent-Type: application/x-amz-json-1.0\r\n"));
    assert_null(strstr(f.server->head, "\r\nAccept:"));

    start_request(&f, &b, (struct http_request){.method = "PUT", .url = f.url});
    run(&f);
    assert_string_equal(b.body, "abcdefg");
    assert_false(b.reply.has_crc32);
    assert_true(b.reply.retry_after == 0);
    assert_string_equal(b.reply.request_id, "");
    expect(&b, HTTP_REPLIED, 200, "");
    assert_non_null(strstr(f.server->head, "PUT / HTTP/1.1\r\n"));
    assert_non_null(strstr(f.server->head, "\r\nContent-Length: 0\r\n"));
    assert_null(strstr(f.server->head, "Content-Type"));
    assert_null(strstr(f.server->head, "X-Amz-Target"));
    end(&f);
}

static void a_get_has_no_body_and_redirects_are_not_followed(void **state)
{
    static const struct reaction script[] = {
        {.reply = "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"}};
    struct fixture f;
    struct result r = {0};

    (void)state;
    begin(&f, script);
    start_request(&f, &r, (struct http_request){.method = "GET", .url = f.url});
    run(&f);
    expect(&r, HTTP_REPLIED, 302, "");
    assert_int_equal(f.server->requests, 1);
    assert_null(strstr(f.server->head, "Content-Length"));
    end(&f);
}

static void plain_http_ignores_proxies(void **state)
{
    static const struct reaction script[] = {{.reply = OK_REPLY}};

    (void)state;
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("all_proxy", "http://127.0.0.1:1", 1);
    expect_one(script, &(struct http_options){0}, HTTP_REPLIED, 200, "");
    unsetenv("http_proxy");
    unsetenv("all_proxy");
}

/* One request to a host that only a proxy would find. */
static void ask_far_host(struct fixture *f, bool no_proxy, const char *code)
{
    struct result r = {0};

    start_request(f, &r,
                  (struct http_request){
                      .method = "GET", .url = "https://127.0.0.1:1/", .no_proxy = no_proxy});
    run(f);
    assert_int_equal(r.calls, 1);
    assert_int_equal(r.reply.outcome, HTTP_NOT_SENT);
    assert_string_equal(r.reply.code, code);
    free(r.body);
}

static void https_takes_the_proxy_where_it_may(void **state)
{
    static const struct reaction script[] = {
        {.reply = "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", .then = THEN_CLOSE}};
    struct fixture f;

    (void)state;
    begin(&f, script);
    setenv("HTTPS_PROXY", f.url, 1);
    ask_far_host(&f, true, "connect_failed");
    assert_int_equal(f.server->requests, 0);
    ask_far_host(&f, false, "connect_failed");
    assert_int_equal(f.server->requests, 1);
    assert_non_null(strstr(f.server->head, "CONNECT 127.0.0.1:1 HTTP/1.1\r\n"));
    setenv("NO_PROXY", "example.com,127.0.0.1", 1);
    ask_far_host(&f, false, "connect_failed");
    assert_int_equal(f.server->requests, 1);
    unsetenv("NO_PROXY");
    unsetenv("HTTPS_PROXY");
    end(&f);
}

static const struct broken_reply {
    struct reaction reaction;
    int status;
    const char *code; /* NULL: libcurl's versions differ in what they call it */
} broken_replies[] = {
    {{.then = THEN_CLOSE}, 0, "connection_reset"},
    {{.then = THEN_RESET}, 0, "connection_reset"},
    {{.at_once = true, .then = THEN_RESET}, 0, "connection_reset"},
    {{.reply = "HTTP/1.1 200 O", .then = THEN_CLOSE}, 0, NULL},
    {{.reply = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart", .then = THEN_CLOSE},
     200,
     "connection_reset"},
    {{.reply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\npart",
      .then = THEN_CLOSE},
     200,
     "connection_reset"},
    {{.reply = "220 mail.example ESMTP\r\n", .then = THEN_CLOSE}, 0, "bad_reply"},
    {{.then = THEN_HANG}, 0, "timeout"},
    {{.reply = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart", .then = THEN_HANG},
     200,
     "timeout"},
    {{.reply = "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n", .filler = 200000},
     200,
     "too_large"},
    {{.reply = "HTTP/1.1 200 OK\r\nX: ", .filler = 300000, .then = THEN_CLOSE}, 0, NULL},
};

static void expect_broken(const struct broken_reply *b, const char *pem)
{
    struct fixture f;
    struct result r = {0};
    bool hangs = b->reaction.then == THEN_HANG;

    begin_with(&f, &b->reaction, 1, pem,
               &(struct http_options){.max_reply = 100000,
                                      .ca_file = pem,
                                      .timeout = hangs ? 300 * USEC_PER_MSEC : 0});
    start(&f, &r, "body");
    run(&f);
    if (!b->code) {
        assert_int_equal(r.calls, 1);
        assert_int_equal(r.reply.outcome, HTTP_AMBIGUOUS);
        free(r.body);
    } else {
        expect(&r, HTTP_AMBIGUOUS, b->status, b->code);
    }
    assert_int_equal(f.server->requests, 1);
    end(&f);
}

static void broken_replies_are_ambiguous(void **state)
{
    char pem[64];

    (void)state;
    snprintf(pem, sizeof pem, "%s/right.pem", directory);
    for (size_t i = 0; i < sizeof broken_replies / sizeof *broken_replies; i++) {
        print_message("  case %zu\n", i);
        expect_broken(&broken_replies[i], NULL);
        expect_broken(&broken_replies[i], pem);
    }
}

static void a_request_is_never_repeated_on_a_new_connection(void **state)
{
    static const enum then ways[] = {THEN_CLOSE, THEN_RESET};

    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        const struct reaction script[] = {
            {.reply = OK_REPLY}, {.then = ways[i]}, {.reply = OK_REPLY}};
        struct fixture f;
        struct result first = {0}, second = {0}, third = {0};

        begin(&f, script);
        start(&f, &first, "first");
        run(&f);
        expect(&first, HTTP_REPLIED, 200, "");
        start(&f, &second, "second");
        run(&f);
        expect(&second, HTTP_AMBIGUOUS, 0, "resend_stopped");
        assert_int_equal(f.server->requests, 2);
        assert_int_equal(f.server->body_bytes, strlen("first") + strlen("second"));
        start(&f, &third, "third");
        run(&f);
        expect(&third, HTTP_REPLIED, 200, "");
        assert_int_equal(f.server->requests, 3);
        end(&f);
    }
}

/* The server ends the connection after the reply was taken and before the next request. */
static void end_after_reply(enum then then, bool tls)
{
    sem_t got_reply, ended;
    const struct reaction script[] = {
        {.reply = OK_REPLY, .then = then, .wait_before = &got_reply, .post_after = &ended},
        {.reply = OK_REPLY}};
    char pem[128];
    struct fixture f;
    struct result first = {.post = &got_reply, .wait = &ended}, second = {0};

    snprintf(pem, sizeof pem, "%s/right.pem", directory);
    assert_int_equal(sem_init(&got_reply, 0, 0), 0);
    assert_int_equal(sem_init(&ended, 0, 0), 0);
    begin_with(&f, script, 2, tls ? pem : NULL, &(struct http_options){.ca_file = pem});
    start(&f, &first, "first");
    run(&f);
    expect(&first, HTTP_REPLIED, 200, "");
    start(&f, &second, "second");
    run(&f);
    expect(&second, HTTP_REPLIED, 200, "");
    assert_int_equal(f.server->accepted, 2);
    assert_int_equal(f.server->requests, 2);
    end(&f);
    sem_destroy(&got_reply);
    sem_destroy(&ended);
}

static void a_dead_kept_connection_is_replaced_before_anything_is_sent(void **state)
{
    (void)state;
    end_after_reply(THEN_CLOSE, false);
    end_after_reply(THEN_RESET, false);
    end_after_reply(THEN_CLOSE, true);
    end_after_reply(THEN_RESET, true);
}

static void a_large_body_goes_without_asking(void **state)
{
    enum { LARGE = 1536 * 1024 };
    static const struct reaction script[] = {{.reply = OK_REPLY}};
    struct fixture f;
    struct result r = {0};
    char *body = malloc(LARGE);

    (void)state;
    assert_non_null(body);
    memset(body, 'b', LARGE);
    begin(&f, script);
    start_request(
        &f, &r,
        (struct http_request){.method = "POST", .url = f.url, .body = body, .body_len = LARGE});
    run(&f);
    expect(&r, HTTP_REPLIED, 200, "");
    assert_int_equal(f.server->body_bytes, LARGE);
    assert_null(strcasestr(f.server->head, "Expect:"));
    free(body);
    end(&f);
}

static void what_never_left_is_known_as_such(void **state)
{
    static const struct reaction hang[] = {{.then = THEN_HANG}};
    struct fixture f;
    struct result refused = {0}, unknown = {0}, mute = {0};
    char url[128];
    int port, bound = scripted_bind(&port); /* bound, but nobody listens */

    (void)state;
    begin(&f, hang, .connect_timeout = 300 * USEC_PER_MSEC);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", port);
    start_request(&f, &refused, (struct http_request){.method = "POST", .url = url});
    run(&f);
    expect(&refused, HTTP_NOT_SENT, 0, "connect_failed");

    /* A label past 63 characters: refused by the resolver without asking anybody. */
    start_request(&f, &unknown,
                  (struct http_request){.method = "POST",
                                        .url =
                                            "http://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                                            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.invalid/"});
    run(&f);
    expect(&unknown, HTTP_NOT_SENT, 0, "resolve_failed");

    /* A server that does not answer the TLS greeting. */
    snprintf(url, sizeof url, "https://127.0.0.1:%d/", f.server->port);
    start_request(&f, &mute, (struct http_request){.method = "POST", .url = url});
    run(&f);
    expect(&mute, HTTP_NOT_SENT, 0, "timeout");
    close(bound);
    end(&f);
}

/* The server shows the certificate `own`, the client trusts `ca`. */
static void tls_request(const char *own, const char *ca, const char *host, int max_version,
                        enum http_outcome outcome, const char *code)
{
    static const struct reaction script[] = {{.reply = OK_REPLY}};
    struct fixture f;
    struct result first = {0}, second = {0};
    char pem[128], ca_file[128];

    snprintf(pem, sizeof pem, "%s/%s.pem", directory, own);
    snprintf(ca_file, sizeof ca_file, "%s/%s.crt", directory, ca);
    begin_with(&f, script, 1, pem, &(struct http_options){.ca_file = ca_file});
    SSL_CTX_set_max_proto_version(f.server->tls, max_version);
    assert_int_equal(SSL_CTX_set_cipher_list(f.server->tls, "ALL:@SECLEVEL=0"), 1);
    snprintf(f.url, sizeof f.url, "https://%s:%d/", host, f.server->port);
    start(&f, &first, "body");
    run(&f);
    expect(&first, outcome, outcome == HTTP_REPLIED ? 200 : 0, code);
    start(&f, &second, "body");
    run(&f);
    expect(&second, outcome, outcome == HTTP_REPLIED ? 200 : 0, code);
    assert_int_equal(f.server->requests, outcome == HTTP_REPLIED ? 2 : 0);
    assert_int_equal(f.server->accepted, outcome == HTTP_REPLIED ? 1 : 2);
    end(&f);
}

static void tls_verifies_authority_host_and_version(void **state)
{
    (void)state;
    tls_request("right", "right", "localhost", 0, HTTP_REPLIED, "");
    tls_request("right", "right", "localhost", TLS1_2_VERSION, HTTP_REPLIED, "");
    tls_request("right", "wrong", "localhost", 0, HTTP_NOT_SENT, "tls_failed");
    tls_request("right", "right", "127.0.0.1", 0, HTTP_NOT_SENT, "tls_failed");
    tls_request("right", "right", "localhost", TLS1_1_VERSION, HTTP_NOT_SENT, "tls_failed");
    tls_request("address", "address", "127.0.0.1", 0, HTTP_REPLIED, "");
    tls_request("address", "address", "localhost", 0, HTTP_NOT_SENT, "tls_failed");
    tls_request("expired", "expired", "localhost", 0, HTTP_NOT_SENT, "tls_failed");
}

static void a_missing_ca_file_is_an_error(void **state)
{
    const struct http_options o = {.ca_file = "/dev/null/absent.pem"};
    struct http_client *c = NULL;
    uv_loop_t loop;
    struct err err = {""};

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(http_client_new(&loop, &o, &c, &err), -ENOTDIR);
    assert_non_null(strstr(err.text, "/dev/null/absent.pem ([dynamodb] ca_file)"));
    setenv("AWS_CA_BUNDLE", "/dev/null/other.pem", 1);
    assert_int_equal(http_client_new(&loop, &(struct http_options){0}, &c, &err), -ENOTDIR);
    assert_non_null(strstr(err.text, "/dev/null/other.pem (AWS_CA_BUNDLE)"));
    unsetenv("AWS_CA_BUNDLE");
    assert_null(c);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static int make_directory(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/syncd-http-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    make_certificate(directory, "right", "DNS:localhost");
    make_certificate(directory, "wrong", "DNS:localhost");
    make_certificate(directory, "address", "IP:127.0.0.1");
    make_certificate(directory, "expired", "DNS:localhost");
    expire_certificate(directory, "expired");
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    remove_certificate(directory, "right");
    remove_certificate(directory, "wrong");
    remove_certificate(directory, "address");
    remove_certificate(directory, "expired");
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_taken_whole),
        cmocka_unit_test(a_get_has_no_body_and_redirects_are_not_followed),
        cmocka_unit_test(plain_http_ignores_proxies),
        cmocka_unit_test(https_takes_the_proxy_where_it_may),
        cmocka_unit_test(broken_replies_are_ambiguous),
        cmocka_unit_test(a_request_is_never_repeated_on_a_new_connection),
        cmocka_unit_test(a_dead_kept_connection_is_replaced_before_anything_is_sent),
        cmocka_unit_test(a_large_body_goes_without_asking),
        cmocka_unit_test(what_never_left_is_known_as_such),
        cmocka_unit_test(tls_verifies_authority_host_and_version),
        cmocka_unit_test(a_missing_ca_file_is_an_error),
    };
    alarm(120); /* a hang ends here */
    return run_over_both(tests, make_directory, remove_directory);
}
