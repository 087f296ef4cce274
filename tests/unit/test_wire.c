/* Our own HTTP client's ways with connections: which it keeps, for how long, and how it gets them.
 */
#include "http_fixture.h"

#define CLOSING_REPLY "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"

static char directory[32];

static void pem_path(char *out, size_t room)
{
    snprintf(out, room, "%s/right.pem", directory);
}

static void begin_tls(struct fixture *f, const struct reaction *script, size_t n)
{
    char pem[64];

    pem_path(pem, sizeof pem);
    begin_with(f, script, n, pem, &(struct http_options){.ca_file = pem, .max_connections = 4});
}

/* Two requests, one after the other; over so many connections. */
static void ask_twice(struct fixture *f, unsigned connections)
{
    struct result first = {0}, second = {0};

    start(f, &first, "first");
    run(f);
    expect(&first, HTTP_REPLIED, 200, "");
    start(f, &second, "second");
    run(f);
    expect(&second, HTTP_REPLIED, 200, "");
    assert_int_equal(f->server->accepted, connections);
    assert_int_equal(f->server->requests, 2);
}

static void connections_end_as_the_server_wishes(void **state)
{
    static const struct {
        const char *reply;
        unsigned connections;
    } cases[] = {
        {OK_REPLY, 1},
        {CLOSING_REPLY, 2},
        {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", 2},
        {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}", 1},
        {OK_REPLY "unasked", 2},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int tls = 0; tls < 2; tls++) {
            const struct reaction script[] = {{.reply = cases[i].reply}};
            struct fixture f;
            if (tls)
                begin_tls(&f, script, 1);
            else
                begin(&f, script);
            ask_twice(&f, cases[i].connections);
            end(&f);
        }
}

static void a_reply_without_a_length_is_not_whole(void **state)
{
    static const struct reaction script[] = {
        {.reply = "HTTP/1.1 200 OK\r\n\r\n{}", .then = THEN_CLOSE}};
    struct fixture f;
    struct result r = {0};

    (void)state;
    begin(&f, script);
    start(&f, &r, "body");
    run(&f);
    assert_non_null(strstr(r.reply.error, "how long"));
    expect(&r, HTTP_AMBIGUOUS, 200, "bad_reply");
    end(&f);
}

/* What TLS 1.3 says of its own accord while a connection is idle. */
static void tickets_and_new_keys_are_nothing_said(void **state)
{
    (void)state;
    for (int keys = 0; keys < 2; keys++)
        for (int after = 0; after < 2; after++) {
            sem_t got_reply, said;
            const struct reaction script[] = {{.reply = OK_REPLY,
                                               .wait_before = after ? &got_reply : NULL,
                                               .post_after = after ? &said : NULL,
                                               .ticket = !keys,
                                               .new_keys = keys},
                                              {.reply = OK_REPLY}};
            struct fixture f;
            struct result first = {.post = after ? &got_reply : NULL, .wait = &said};

            assert_int_equal(sem_init(&got_reply, 0, 0), 0);
            assert_int_equal(sem_init(&said, 0, 0), 0);
            begin_tls(&f, script, 2);
            start(&f, &first, "first");
            run(&f);
            expect(&first, HTTP_REPLIED, 200, "");
            for (unsigned i = 0; i < 3; i++) {
                struct result next = {0};
                start(&f, &next, "next");
                run(&f);
                expect(&next, HTTP_REPLIED, 200, "");
            }
            assert_int_equal(f.server->accepted, 1);
            end(&f);
            sem_destroy(&got_reply);
            sem_destroy(&said);
        }
}

static void sessions_are_taken_up_again(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    static const struct reaction script[] = {{.reply = CLOSING_REPLY}};

    (void)state;
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        struct fixture f;
        begin_tls(&f, script, 1);
        SSL_CTX_set_max_proto_version(f.server->tls, versions[i]);
        ask_twice(&f, 2);
        assert_int_equal(f.server->resumed, 1);
        end(&f);
    }
}

/* The reply comes before the request was sent whole: the server reads no more of it than its head
 * until the reply has been taken. */
static void expect_early_reply(bool tls)
{
    enum { LARGE = 32 * 1024 * 1024 }; /* more than all buffers between hold */
    sem_t got_reply, ended;
    const struct reaction script[] = {{.reply = "HTTP/1.1 413 Large\r\nContent-Length: 2\r\n\r\n{}",
                                       .at_once = true,
                                       .wait_before = &got_reply,
                                       .then = THEN_CLOSE,
                                       .post_after = &ended},
                                      {.reply = OK_REPLY}};
    struct fixture f;
    struct result large = {.post = &got_reply, .wait = &ended}, next = {0};
    char *body = calloc(1, LARGE);

    assert_non_null(body);
    assert_int_equal(sem_init(&got_reply, 0, 0), 0);
    assert_int_equal(sem_init(&ended, 0, 0), 0);
    if (tls)
        begin_tls(&f, script, 2);
    else
        begin(&f, script);
    start_request(
        &f, &large,
        (struct http_request){.method = "POST", .url = f.url, .body = body, .body_len = LARGE});
    run(&f);
    expect(&large, HTTP_REPLIED, 413, "");
    start(&f, &next, "next");
    run(&f);
    expect(&next, HTTP_REPLIED, 200, "");
    assert_int_equal(f.server->accepted, 2);
    end(&f);
    free(body);
    sem_destroy(&got_reply);
    sem_destroy(&ended);
}

static void an_early_reply_is_taken(void **state)
{
    (void)state;
    expect_early_reply(false);
    expect_early_reply(true);
}

static void large_bodies_arrive_whole_by_tls(void **state)
{
    enum { LARGE = 3 * 1024 * 1024 + 17 };
    static const struct reaction script[] = {
        {.reply = "HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n", .filler = 3000000}};
    struct fixture f;
    struct result r = {0};
    char *body = calloc(1, LARGE);

    (void)state;
    assert_non_null(body);
    begin_tls(&f, script, 1);
    start_request(
        &f, &r,
        (struct http_request){.method = "POST", .url = f.url, .body = body, .body_len = LARGE});
    run(&f);
    assert_int_equal(f.server->body_bytes, LARGE);
    assert_int_equal(r.reply.body_len, 3000000);
    expect(&r, HTTP_REPLIED, 200, "");
    free(body);
    end(&f);
}

struct order {
    struct fixture *f;
    unsigned calls, last;
    bool broken;
};

struct ordered {
    struct order *order;
    unsigned nth;
};

static void in_order(void *arg, const struct http_reply *reply)
{
    struct ordered *o = arg;

    o->order->broken |= o->nth != o->order->calls || reply->outcome != HTTP_REPLIED;
    o->order->calls++;
}

static void requests_that_wait_go_in_order(void **state)
{
    static const struct reaction script[] = {{.reply = OK_REPLY}, {.reply = CLOSING_REPLY}};
    struct order order = {0};
    struct ordered calls[12];
    struct fixture f;
    struct err err;

    (void)state;
    begin_with(&f, script, 2, NULL, &(struct http_options){.max_connections = 1});
    for (unsigned i = 0; i < 12; i++) {
        const struct http_request req = {.method = "GET", .url = f.url};
        calls[i] = (struct ordered){&order, i};
        assert_int_equal(http_start(f.client, &req, in_order, &calls[i], NULL, &err), 0);
    }
    run(&f);
    assert_int_equal(order.calls, 12);
    assert_false(order.broken);
    end(&f);
}

/* A call that starts the next when the connection of its own has ended, and before that was seen.
 */
struct follower {
    struct result *next;
    sem_t *got_reply, *ended;
};

static void follow(void *arg, const struct http_reply *reply)
{
    struct follower *w = arg;

    assert_int_equal(reply->outcome, HTTP_REPLIED);
    assert_int_equal(sem_post(w->got_reply), 0);
    assert_int_equal(sem_wait(w->ended), 0);
    start(w->next->f, w->next, "next");
}

static void ask_and_follow(struct fixture *f, sem_t *got_reply, sem_t *ended, struct result *next)
{
    const struct http_request req = {.method = "GET", .url = f->url};
    struct follower w = {next, got_reply, ended};
    struct err err = {""};

    next->f = f;
    assert_int_equal(http_start(f->client, &req, follow, &w, NULL, &err), 0);
    run(f);
}

/* What went to it without a look may have been carried out; from then on it is looked at. */
static void a_server_that_ends_connections_without_a_word_is_known(void **state)
{
    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        sem_t got_reply, ended;
        const struct reaction closing = {
            .reply = OK_REPLY, .wait_before = &got_reply, .then = THEN_CLOSE, .post_after = &ended};
        const struct reaction script[] = {closing, closing, {.reply = OK_REPLY}};
        struct fixture f;
        struct result lost = {0}, fine = {0};

        assert_int_equal(sem_init(&got_reply, 0, 0), 0);
        assert_int_equal(sem_init(&ended, 0, 0), 0);
        if (tls)
            begin_tls(&f, script, 3);
        else
            begin(&f, script);
        ask_and_follow(&f, &got_reply, &ended, &lost);
        expect(&lost, HTTP_AMBIGUOUS, 0, "resend_stopped");
        ask_and_follow(&f, &got_reply, &ended, &fine);
        expect(&fine, HTTP_REPLIED, 200, "");
        assert_int_equal(f.server->requests, 3);
        end(&f);
        sem_destroy(&got_reply);
        sem_destroy(&ended);
    }
}

static int make_directory(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/syncd-wire-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    make_certificate(directory, "right", "DNS:localhost");
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    remove_certificate(directory, "right");
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_end_as_the_server_wishes),
        cmocka_unit_test(a_reply_without_a_length_is_not_whole),
        cmocka_unit_test(tickets_and_new_keys_are_nothing_said),
        cmocka_unit_test(sessions_are_taken_up_again),
        cmocka_unit_test(an_early_reply_is_taken),
        cmocka_unit_test(large_bodies_arrive_whole_by_tls),
        cmocka_unit_test(requests_that_wait_go_in_order),
        cmocka_unit_test(a_server_that_ends_connections_without_a_word_is_known),
    };
    alarm(120); /* a hang ends here */
    own_client = true;
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
