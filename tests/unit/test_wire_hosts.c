/* Our own HTTP client from within: where it finds its servers, and when it lets go of connections.
 */
#include <sched.h>

#include "http_fixture.h"

#include "aws/wire_internal.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    return cmocka_run_group_tests(tests, NULL, NULL);
}
