/* Our own HTTP client's ways with connections: which it keeps, for how long, and how it gets them.
 */
#include <sched.h>

#include "http_fixture.h"

#include "aws/wire_internal.h"

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

/* --- within ------------------------------------------------------------------------------------
 */

struct inside {
    uv_loop_t loop;
    struct wire *wire;
    struct scripted *server;
    struct wire_origin *origin; /* a name whose addresses the test says */
    bool closed;
};

#define NAME "http://name.invalid:1/"

static const struct reaction fine[] = {{.reply = OK_REPLY}};

static void begin_inside(struct inside *in)
{
    struct err err = {""};

    memset(in, 0, sizeof *in);
    in->server = scripted_start(fine, 1, NULL, NULL);
    assert_int_equal(uv_loop_init(&in->loop), 0);
    const struct http_setup setup = {.loop = &in->loop,
                                     .max_connections = 2,
                                     .timeout = 10 * USEC_PER_SEC,
                                     .connect_timeout = 5 * USEC_PER_SEC,
                                     .max_reply = 1000};
    assert_int_equal(wire_new(&setup, &in->wire, &err), 0);
    in->origin = wire_origin_of(in->wire, NAME);
    assert_non_null(in->origin);
}

static void end_inside(struct inside *in)
{
    wire_close(in->wire, set_closed, &in->closed);
    uv_run(&in->loop, UV_RUN_DEFAULT);
    assert_true(in->closed);
    assert_int_equal(uv_loop_close(&in->loop), 0);
    scripted_stop(in->server);
}

static void add_address(struct inside *in, int port)
{
    struct wire_addresses *all = &in->origin->addresses;
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    memcpy(&all->list[all->count].at, &a, sizeof a);
    all->list[all->count++].len = sizeof a;
    in->origin->looked_up = clock_monotonic();
}

static void noted(void *arg, const struct http_reply *reply)
{
    struct http_reply *to = arg;

    *to = *reply;
}

static void ask_inside(struct inside *in, const char *url, struct http_reply *reply)
{
    const struct http_request req = {.method = "POST", .url = url, .body = "x", .body_len = 1};
    struct err err = {""};

    *reply = (struct http_reply){.outcome = HTTP_AMBIGUOUS};
    assert_int_equal(wire_start(in->wire, &req, noted, reply, NULL, &err), 0);
    uv_run(&in->loop, UV_RUN_DEFAULT);
}

/* A listener that answers nobody: its backlog is full. */
struct deaf {
    int fd, filler[8];
    size_t fillers;
};

static void make_deaf(struct deaf *d, int *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    d->fd = scripted_bind(port);
    assert_int_equal(listen(d->fd, 0), 0);
    a.sin_port = htons((uint16_t)*port);
    for (d->fillers = 0; d->fillers < 8; d->fillers++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(fd >= 0);
        d->filler[d->fillers] = fd;
        assert_true(connect(fd, (struct sockaddr *)&a, sizeof a) == 0 || errno == EINPROGRESS);
    }
}

static void end_deaf(struct deaf *d)
{
    while (d->fillers)
        close(d->filler[--d->fillers]);
    close(d->fd);
}

static void the_next_address_is_tried(void **state)
{
    struct http_reply reply;
    struct inside in;
    struct deaf deaf;
    int refusing, silent, bound = scripted_bind(&refusing);

    (void)state;
    make_deaf(&deaf, &silent);
    begin_inside(&in);
    add_address(&in, refusing);
    add_address(&in, silent);
    add_address(&in, in.server->port);
    ask_inside(&in, NAME, &reply);
    assert_int_equal(reply.outcome, HTTP_REPLIED);
    assert_int_equal(in.server->accepted, 1);
    end_inside(&in);
    end_deaf(&deaf);
    close(bound);
}

static void all_addresses_refuse(void **state)
{
    struct http_reply reply;
    struct inside in;
    int port, bound = scripted_bind(&port);

    (void)state;
    begin_inside(&in);
    add_address(&in, port);
    add_address(&in, port);
    ask_inside(&in, NAME, &reply);
    assert_int_equal(reply.outcome, HTTP_NOT_SENT);
    assert_string_equal(reply.code, "connect_failed");
    assert_non_null(strstr(reply.error, "127.0.0.1"));
    assert_int_equal(in.origin->looked_up, 0); /* the name is asked for anew next time */
    end_inside(&in);
    close(bound);
}

static void a_name_is_looked_up(void **state)
{
    struct http_reply reply;
    struct inside in;
    char url[64];

    (void)state;
    begin_inside(&in);
    snprintf(url, sizeof url, "http://localhost:%d/", in.server->port);
    ask_inside(&in, url, &reply);
    assert_int_equal(reply.outcome, HTTP_REPLIED);
    assert_true(wire_origin_of(in.wire, url)->looked_up > 0);
    end_inside(&in);
}

/* The program is linked with --wrap for it. While `name_server_silent`, whoever asks waits, which
 * `name_server_asked` tells, for let_name_server_answer(). */
int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **out);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **out);
static atomic_bool name_server_silent, name_server_asked;
static sem_t name_server;

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **out)
{
    if (name_server_silent && !(hints->ai_flags & AI_NUMERICHOST)) {
        name_server_asked = true;
        SCRIPTED_MUST(sem_wait(&name_server) == 0);
        name_server_asked = false;
    }
    return __real_getaddrinfo(host, port, hints, out);
}

static void let_name_server_answer(void)
{
    assert_int_equal(sem_post(&name_server), 0);
    while (name_server_asked)
        sched_yield();
}

static void a_lookup_under_way_delays_no_end(void **state)
{
    const struct http_request req = {.method = "GET", .url = "http://localhost:1/"};
    struct http_call *call;
    struct http_reply reply;
    struct inside in;
    struct err err;

    (void)state;
    begin_inside(&in);
    assert_int_equal(wire_start(in.wire, &req, noted, &reply, &call, &err), 0);
    name_server_silent = true;
    while (!wire_origin_of(in.wire, req.url)->lookup)
        uv_run(&in.loop, UV_RUN_NOWAIT);
    while (!name_server_asked)
        sched_yield();
    end_inside(&in);
    name_server_silent = false;
    let_name_server_answer();
}

/* The name server is back: whoever asks next is not held up by the question it never answered. */
static void a_lookup_without_an_answer_is_begun_again(void **state)
{
    struct http_reply first = {.outcome = HTTP_AMBIGUOUS}, second;
    struct inside in;
    struct err err;
    char url[64];

    (void)state;
    begin_inside(&in);
    snprintf(url, sizeof url, "http://localhost:%d/", in.server->port);
    const struct http_request req = {.method = "GET", .url = url};
    name_server_silent = true;
    assert_int_equal(wire_start(in.wire, &req, noted, &first, NULL, &err), 0);
    struct wire_origin *o = wire_origin_of(in.wire, url);
    while (!o->lookup)
        uv_run(&in.loop, UV_RUN_NOWAIT);
    while (!name_server_asked)
        sched_yield();
    name_server_silent = false;
    o->asked -= WIRE_LOOKUP_PATIENCE;
    ask_inside(&in, url, &second);
    if (first.outcome != HTTP_REPLIED)
        fail_msg("%s: %s", first.code, first.error);
    assert_int_equal(second.outcome, HTTP_REPLIED);
    end_inside(&in);
    let_name_server_answer();
}

static void idle_connections_are_closed_in_time(void **state)
{
    struct http_reply reply;
    struct inside in;

    (void)state;
    begin_inside(&in);
    add_address(&in, in.server->port);
    ask_inside(&in, NAME, &reply);
    assert_false(list_empty(&in.wire->idle));
    struct wire_connection *x = list_first(&in.wire->idle, struct wire_connection, node);
    usec end = x->idle_since + WIRE_IDLE_FOR;
    assert_true(in.wire->due <= end); /* the timer will look in time */
    wire_connection_tick(x, end - 1);
    assert_int_equal(in.wire->connections, 1);
    wire_connection_tick(x, end);
    assert_int_equal(in.wire->connections, 0);
    end_inside(&in);
}

static void old_connections_are_replaced(void **state)
{
    struct http_reply reply;
    struct inside in;

    (void)state;
    begin_inside(&in);
    add_address(&in, in.server->port);
    ask_inside(&in, NAME, &reply);
    list_first(&in.wire->idle, struct wire_connection, node)->opened -= WIRE_CONNECTION_LASTS;
    ask_inside(&in, NAME, &reply);
    assert_int_equal(in.server->accepted, 1);
    ask_inside(&in, NAME, &reply);
    assert_int_equal(reply.outcome, HTTP_REPLIED);
    assert_int_equal(in.server->accepted, 2);
    end_inside(&in);
}

static void hosts_share_the_connections(void **state)
{
    struct http_reply reply;
    struct inside in;
    char url[64];

    (void)state;
    begin_inside(&in);
    add_address(&in, in.server->port);
    for (unsigned i = 0; i < 12; i++) {
        snprintf(url, sizeof url, "http://127.0.0.%u:%d/", i + 1, in.server->port);
        ask_inside(&in, i % 3 ? NAME : "http://127.0.0.1:1/", &reply);
        assert_true(in.wire->connections <= 2);
        assert_non_null(wire_origin_of(in.wire, url));
        in.origin = wire_origin_of(in.wire, NAME);
        if (!in.origin->addresses.count)
            add_address(&in, in.server->port);
    }
    assert_true(in.wire->origin_count <= WIRE_ORIGINS);
    end_inside(&in);
}

static void urls_that_are_not_plain_are_left_alone(void **state)
{
    static const struct {
        const char *url, *host, *port, *authority; /* host NULL: not plain */
    } cases[] = {
        {"https://dynamodb.us-west-2.amazonaws.com/", "dynamodb.us-west-2.amazonaws.com", "443",
         "dynamodb.us-west-2.amazonaws.com"},
        {"http://127.0.0.1:8000/", "127.0.0.1", "8000", "127.0.0.1:8000"},
        {"HTTP://host", "host", "80", "host"},
        {"http://host:80/", "host", "80", "host"},
        {"https://host:80/a?b", "host", "80", "host:80"},
        {"https://[::1]:8443/", "::1", "8443", "[::1]:8443"},
        {"ftp://host/", NULL, NULL, NULL},
        {"http://", NULL, NULL, NULL},
        {"http:///", NULL, NULL, NULL},
        {"http://user@host/", NULL, NULL, NULL},
        {"http://host:/", NULL, NULL, NULL},
        {"http://host:0/", NULL, NULL, NULL},
        {"http://host:65536/", NULL, NULL, NULL},
        {"http://host:123456/", NULL, NULL, NULL},
        {"http://host?x", NULL, NULL, NULL},
        {"http://host/#x", NULL, NULL, NULL},
        {"http://host/a b", NULL, NULL, NULL},
        {"http://h%6fst/", NULL, NULL, NULL},
        {"http://[fe80::1%25eth0]/", NULL, NULL, NULL},
        {"http://[]/", NULL, NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wire_url u;
        assert_int_equal(wire_url_parse(cases[i].url, &u), cases[i].host != NULL);
        if (!cases[i].host)
            continue;
        assert_string_equal(u.host, cases[i].host);
        assert_string_equal(u.port, cases[i].port);
        assert_string_equal(u.authority, cases[i].authority);
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
        cmocka_unit_test(the_next_address_is_tried),
        cmocka_unit_test(all_addresses_refuse),
        cmocka_unit_test(a_name_is_looked_up),
        cmocka_unit_test(a_lookup_under_way_delays_no_end),
        cmocka_unit_test(a_lookup_without_an_answer_is_begun_again),
        cmocka_unit_test(idle_connections_are_closed_in_time),
        cmocka_unit_test(old_connections_are_replaced),
        cmocka_unit_test(hosts_share_the_connections),
        cmocka_unit_test(urls_that_are_not_plain_are_left_alone),
    };
    alarm(120); /* a hang ends here */
    if (sem_init(&name_server, 0, 0) < 0)
        return 1;
    own_client = true;
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
