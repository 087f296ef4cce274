/* The control socket on a real loop, with raw clients on the same thread: nothing waits for time,
 * each step runs the loop until its condition holds (or a generous guard fails the test). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/clock.h"

/* The tests link the common library only, and look at the decisions inside. */
#include "control.c"
#include "control_call.c"
#include "control_clients.c"
#include "control_socket.c"

#define GUARD_SECONDS 20
#define MANY          100

struct world {
    uv_loop_t loop;
    char dir[64], path[128];
    struct control *control;
    struct control_call *held[MANY]; /* calls of /hold, in their order */
    unsigned held_count, gone_count;
    bool closed;
    const char *operators;
};

struct peer {
    int fd;
    struct buf in;
    bool eof; /* or reset */
};

static void answer_text(struct control_call *call, const char *text)
{
    struct buf b = {0};

    buf_puts(&b, text);
    control_reply(call, 200, NULL, &b);
    assert_null(b.data);
}

static void on_hello(void *arg, struct control_call *call)
{
    (void)arg;
    answer_text(call, "{\"hello\":true}");
}

static void on_echo(void *arg, struct control_call *call)
{
    struct buf b = {0};
    const char *v;

    (void)arg;
    for (unsigned i = 0; (v = control_query_nth(call, "id", i)); i++)
        buf_printf(&b, "[%s]", v);
    v = control_query(call, "absent");
    buf_printf(&b, "%s uid=%d pid=%d", v ? v : "none", (int)control_peer_uid(call),
               (int)control_peer_pid(call));
    control_reply(call, 200, "text/plain", &b);
}

static void on_gone(void *arg)
{
    ((struct world *)arg)->gone_count++;
}

static void on_hold(void *arg, struct control_call *call)
{
    struct world *w = arg;

    assert_true(w->held_count < MANY);
    w->held[w->held_count++] = call;
    control_on_gone(call, on_gone, w);
}

/* Answers the first held call from inside a handler. */
static void on_release(void *arg, struct control_call *call)
{
    struct world *w = arg;

    answer_text(w->held[0], "released");
    answer_text(call, "done");
}

static void on_large(void *arg, struct control_call *call)
{
    struct buf b = {0};

    (void)arg;
    for (int i = 0; i < 200000; i++)
        buf_lit(&b, "0123456789");
    control_reply(call, 200, NULL, &b);
}

static void on_no_memory(void *arg, struct control_call *call)
{
    struct buf b = {.failed = true};

    (void)arg;
    control_reply(call, 200, NULL, &b);
}

static const struct control_route routes[] = {{"GET", "/hello", on_hello, CONTROL_READ},
                                              {"GET", "/echo", on_echo, CONTROL_READ},
                                              {"POST", "/hold", on_hold, CONTROL_READ},
                                              {"POST", "/change", on_hello, CONTROL_CHANGE},
                                              {"POST", "/operate", on_hello, CONTROL_OPERATE},
                                              {"POST", "/release", on_release, CONTROL_READ},
                                              {"GET", "/large", on_large, CONTROL_READ},
                                              {"GET", "/no-memory", on_no_memory, CONTROL_READ},
                                              {"GET", "/both", on_hello, CONTROL_READ},
                                              {"POST", "/both", on_hello, CONTROL_READ},
                                              {NULL, NULL, NULL, CONTROL_READ}};

static void start(struct world *w)
{
    struct err err;

    const struct control_groups groups = {"", w->operators};

    if (control_start(&w->loop, w->path, &groups, routes, w, &w->control, &err) != 0)
        fail_msg("%s", err.text);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    if (!w)
        return -1;
    snprintf(w->dir, sizeof w->dir, "/tmp/test-control-XXXXXX");
    if (!mkdtemp(w->dir))
        return -1;
    snprintf(w->path, sizeof w->path, "%s/syncd.sock", w->dir);
    uv_loop_init(&w->loop);
    w->operators = "";
    *state = w;
    return 0;
}

static void on_closed(void *arg)
{
    ((struct world *)arg)->closed = true;
}

static void stop(struct world *w)
{
    control_stop(w->control, on_closed, w);
    w->control = NULL;
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_true(w->closed);
}

static int teardown(void **state)
{
    struct world *w = *state;

    if (w->control)
        stop(w);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    unlink(w->path);
    assert_int_equal(rmdir(w->dir), 0);
    free(w);
    return 0;
}

static int dial_fd(const char *path, int flags)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

    assert_true(fd >= 0);
    strcpy(addr.sun_path, path);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    return fd;
}

static struct peer dial(struct world *w)
{
    return (struct peer){.fd = dial_fd(w->path, SOCK_NONBLOCK)};
}

static void hang_up(struct peer *p)
{
    close(p->fd);
    buf_free(&p->in);
}

/* One turn of the loop and of this client's socket. */
static void turn(struct world *w, struct peer *p)
{
    char bytes[4096];
    ssize_t n;

    uv_run(&w->loop, UV_RUN_NOWAIT);
    while (p && !p->eof) {
        n = recv(p->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n > 0)
            buf_append(&p->in, bytes, (size_t)n);
        else if (n < 0 && errno == EAGAIN)
            return;
        else
            p->eof = true;
    }
}

#define UNTIL(w, p, condition)                                                                     \
    do {                                                                                           \
        usec guard_ = clock_monotonic() + GUARD_SECONDS * USEC_PER_SEC;                            \
        while (!(condition)) {                                                                     \
            turn(w, p);                                                                            \
            if (clock_monotonic() > guard_)                                                        \
                fail_msg("never: %s", #condition);                                                 \
        }                                                                                          \
    } while (0)

static void say_bytes(struct world *w, struct peer *p, const char *bytes, size_t n)
{
    for (size_t sent = 0; sent < n;) {
        ssize_t k = send(p->fd, bytes + sent, n - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (k > 0)
            sent += (size_t)k;
        else if (errno != EAGAIN)
            return; /* the server closed its side: what it said is what counts */
        turn(w, p);
    }
}

static void say(struct world *w, struct peer *p, const char *text)
{
    say_bytes(w, p, text, strlen(text));
}

static void ask(struct world *w, struct peer *p, const char *method, const char *target)
{
    struct buf b = {0};

    buf_printf(&b, "%s %s HTTP/1.1\r\nHost: localhost\r\n\r\n", method, target);
    say_bytes(w, p, b.data, b.len);
    buf_free(&b);
}

/* Length of the first whole answer in the buffer, or 0. */
static size_t whole_answer(const struct peer *p)
{
    const char *end = p->in.data ? strstr(p->in.data, "\r\n\r\n") : NULL;
    const char *length = p->in.data ? strcasestr(p->in.data, "content-length:") : NULL;

    if (!end || !length)
        return 0;
    size_t n = (size_t)(end + 4 - p->in.data) + strtoul(length + 15, NULL, 10);
    return p->in.len >= n ? n : 0;
}

/* Wait for one answer, check its status and that `part` occurs in it, and take it off. */
static void expect(struct world *w, struct peer *p, int status, const char *part)
{
    char head[32];
    size_t n;

    UNTIL(w, p, (n = whole_answer(p)) > 0);
    snprintf(head, sizeof head, "HTTP/1.1 %d ", status);
    char *answer = strndup(p->in.data, n);
    assert_non_null(answer);
    if (strncmp(answer, head, strlen(head)) != 0 || !strstr(answer, part))
        fail_msg("expected %d with \"%s\", got: %s", status, part, answer);
    free(answer);
    memmove(p->in.data, p->in.data + n, p->in.len - n + 1);
    p->in.len -= n;
}

static void exchange(struct world *w, const char *method, const char *target, int status,
                     const char *part)
{
    struct peer p = dial(w);

    ask(w, &p, method, target);
    expect(w, &p, status, part);
    hang_up(&p);
}

static void test_answers(void **state)
{
    struct world *w = *state;
    char who[64];

    start(w);
    exchange(w, "GET", "/hello", 200, "\r\n\r\n{\"hello\":true}");
    exchange(w, "GET", "/hello", 200, "Content-Type: application/json\r\n");
    exchange(w, "GET", "/echo?id=1", 200, "Content-Type: text/plain\r\n");
    exchange(w, "GET", "/echo?id=1&x=2&id=a%20b%26&id=%C3%A9", 200, "[1][a b&][\xc3\xa9]none");
    snprintf(who, sizeof who, "uid=%d pid=%d", (int)getuid(), (int)getpid());
    exchange(w, "GET", "/echo", 200, who);
    exchange(w, "GET", "/no-memory", 500, "\"no_memory\"");
    exchange(w, "POST", "/change", 200, "hello");
}

static void test_refuses_unknown_paths_methods_and_arguments(void **state)
{
    struct world *w = *state;

    start(w);
    exchange(w, "GET", "/nothing%22here", 404,
             "{\"error\":{\"code\":\"not_found\",\"message\":\"there is nothing at "
             "/nothing\\\"here\"}}");
    exchange(w, "GET", "/hello/", 404, "not_found");
    exchange(w, "POST", "/hello", 405, "Allow: GET\r\n");
    exchange(w, "DELETE", "/both", 405, "Allow: GET, POST\r\n");
    exchange(w, "DELETE", "/both", 405, "\"method_not_allowed\"");
    exchange(w, "GET", "/echo?id=a%00b", 400, "bad_argument");
    exchange(w, "GET", "/echo?id=%ff", 400, "bad_argument");
    exchange(w, "GET", "/echo?%ff=1", 400, "bad_argument");
}

static void test_bounds_the_body(void **state)
{
    struct world *w = *state;
    size_t n = MAX_BODY + 1;
    char *bytes = malloc(n);

    assert_non_null(bytes);
    memset(bytes, 'x', n);
    start(w);
    struct peer p = dial(w);
    say(w, &p, "POST /both HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r\n");
    say_bytes(w, &p, bytes, n - 1);
    expect(w, &p, 200, "hello");
    say(w, &p, "POST /both HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n");
    say_bytes(w, &p, bytes, n);
    expect(w, &p, 413, "\"too_large\"");
    /* Far too much is refused before it is sent. */
    say(w, &p, "POST /both HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n");
    expect(w, &p, 413, "\"too_large\"");
    UNTIL(w, &p, p.eof);
    hang_up(&p);

    /* A body that never ends is cut. */
    p = dial(w);
    say(w, &p, "POST /both HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 40 && !p.eof; i++) {
        say(w, &p, "8000\r\n");
        say_bytes(w, &p, bytes, 0x8000);
        say(w, &p, "\r\n");
    }
    UNTIL(w, &p, p.eof);
    hang_up(&p);
    free(bytes);
}

static bool allowed(enum control_right right, bool known, uid_t peer, bool operates, uid_t own)
{
    const struct client c = {.known = known, .uid = peer, .operates = operates};

    return may(right, &c, own);
}

static void test_rights_go_by_who_asks(void **state)
{
    (void)state;
    for (int i = CONTROL_CHANGE; i <= CONTROL_OPERATE; i++) {
        enum control_right right = (enum control_right)i;
        assert_true(allowed(right, true, 0, false, 1000));
        assert_true(allowed(right, true, 1000, false, 1000));
        assert_false(allowed(right, true, 1001, false, 1000));
        assert_false(allowed(right, true, 1000, false, 0));
        assert_false(allowed(right, false, 0, false, 0));
        assert_false(allowed(right, false, (uid_t)-1, false, (uid_t)-1));
    }
    assert_true(allowed(CONTROL_OPERATE, true, 1001, true, 1000));
    assert_false(allowed(CONTROL_CHANGE, true, 1001, true, 1000));
    assert_true(allowed(CONTROL_READ, true, 1001, false, 1000));
    assert_true(allowed(CONTROL_READ, false, 1001, false, 1000));
}

/* Asked by a user who is neither root nor the daemon's, with one group besides its own. */
static void ask_as_another(struct world *w, gid_t first, gid_t second, const char *target,
                           int status, const char *part)
{
    struct peer p = {.fd = -1};
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char byte;
        if (setgroups(1, &second) != 0 || setgid(first) != 0 || setuid(65533) != 0)
            _exit(1);
        int fd = dial_fd(w->path, 0);
        struct msghdr m = {0};
        char x = 'x';
        struct iovec v = {.iov_base = &x, .iov_len = 1};
        char control[CMSG_SPACE(sizeof fd)] = {0};
        m.msg_iov = &v;
        m.msg_iovlen = 1;
        m.msg_control = control;
        m.msg_controllen = sizeof control;
        struct cmsghdr *h = CMSG_FIRSTHDR(&m);
        h->cmsg_level = SOL_SOCKET;
        h->cmsg_type = SCM_RIGHTS;
        h->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(h), &fd, sizeof fd);
        _exit(sendmsg(pair[0], &m, 0) == 1 && read(pair[0], &byte, 1) == 1 ? 0 : 2);
    }
    close(pair[0]);
    char byte, control[CMSG_SPACE(sizeof p.fd)] = {0};
    struct iovec v = {.iov_base = &byte, .iov_len = 1};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    assert_int_equal(recvmsg(pair[1], &m, 0), 1);
    memcpy(&p.fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof p.fd);
    ask(w, &p, "POST", target);
    expect(w, &p, status, part);
    assert_int_equal(write(pair[1], "x", 1), 1);
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_int_equal(how, 0);
    close(pair[1]);
    hang_up(&p);
}

static void test_operators_may_operate_and_others_hear_which_group(void **state)
{
    struct world *w = *state;
    const struct group *g = getgrnam("daemon");

    if (getuid() != 0 || !g)
        skip();
    gid_t operators = g->gr_gid, other = 65532;
    w->operators = "daemon";
    start(w);
    chmod(w->dir, 0755);
    chmod(w->path, 0666);
    ask_as_another(w, operators, other, "/operate", 200, "hello");
    ask_as_another(w, other, operators, "/operate", 200, "hello");
    ask_as_another(w, other, other, "/operate", 403,
                   "members of the group daemon may do this: join it (usermod -aG daemon USER");
    ask_as_another(w, operators, operators, "/change", 403,
                   "only root and the daemon's own user may do this; use sudo");
    ask_as_another(w, other, other, "/both", 200, "hello");
}

static void test_without_an_operator_group_the_setting_is_named(void **state)
{
    struct world *w = *state;

    if (getuid() != 0)
        skip();
    start(w);
    chmod(w->dir, 0755);
    chmod(w->path, 0666);
    ask_as_another(w, 65532, 65532, "/operate", 403, "[control] operator_group");
}

static void test_an_operator_group_must_be_there(void **state)
{
    struct world *w = *state;
    const struct control_groups groups = {"", "no-such-group-here"};
    struct control *c = NULL;
    struct err err;

    assert_int_equal(control_start(&w->loop, w->path, &groups, routes, w, &c, &err), -EINVAL);
    assert_null(c);
    assert_non_null(strstr(err.text, "[control] operator_group = no-such-group-here"));
    assert_int_equal(access(w->path, F_OK), -1);
}

static void test_answers_later(void **state)
{
    struct world *w = *state;

    start(w);
    struct peer p = dial(w), other = dial(w);
    ask(w, &p, "POST", "/hold");
    UNTIL(w, &p, w->held_count == 1);
    exchange(w, "GET", "/hello", 200, "hello");
    assert_int_equal(p.in.len, 0);
    answer_text(w->held[0], "at last");
    expect(w, &p, 200, "at last");

    /* Answered from within another call's handler. */
    w->held_count = 0;
    ask(w, &p, "POST", "/hold");
    UNTIL(w, &p, w->held_count == 1);
    ask(w, &other, "POST", "/release");
    expect(w, &other, 200, "done");
    expect(w, &p, 200, "released");
    assert_int_equal(w->gone_count, 0);
    hang_up(&p);
    hang_up(&other);
}

static void test_tells_when_the_client_is_gone(void **state)
{
    struct world *w = *state;

    start(w);
    for (unsigned i = 0; i < 3; i++) {
        struct peer p = dial(w);
        ask(w, &p, "POST", "/hold");
        UNTIL(w, &p, w->held_count == i + 1);
        if (i == 1)
            shutdown(p.fd, SHUT_WR);
        else
            close(p.fd);
        UNTIL(w, NULL, w->gone_count == i + 1);
        if (i == 1)
            close(p.fd);
    }
    UNTIL(w, NULL, w->control->call_count == 0);
    assert_int_equal(w->control->pending_count, 0);
    exchange(w, "GET", "/hello", 200, "hello");
    assert_int_equal(w->gone_count, 3);
}

static void test_bounds_the_calls_that_wait(void **state)
{
    struct world *w = *state;
    struct peer p[CONTROL_MAX_PENDING + 1];

    start(w);
    for (unsigned i = 0; i <= CONTROL_MAX_PENDING; i++) {
        p[i] = dial(w);
        ask(w, &p[i], "POST", "/hold");
        UNTIL(w, &p[i], w->held_count == i + 1);
    }
    expect(w, &p[CONTROL_MAX_PENDING], 503, "\"busy\"");
    assert_int_equal(w->gone_count, 1);
    exchange(w, "GET", "/hello", 200, "hello");
    for (unsigned i = 0; i < CONTROL_MAX_PENDING; i++) {
        answer_text(w->held[i], "yours");
        expect(w, &p[i], 200, "yours");
    }
    for (unsigned i = 0; i <= CONTROL_MAX_PENDING; i++)
        hang_up(&p[i]);
}

static void test_serves_a_hundred_at_once(void **state)
{
    struct world *w = *state;
    struct peer p[MANY];

    start(w);
    for (int i = 0; i < MANY; i++) {
        p[i] = dial(w);
        ask(w, &p[i], "GET", i % 10 ? "/hello" : "/large");
    }
    for (int i = 0; i < MANY; i++) {
        expect(w, &p[i], 200, i % 10 ? "hello" : "0123456789");
        hang_up(&p[i]);
    }
}

/* However many have connected and do nothing, whoever asks is answered, and they go. Who waits for
 * an answer of ours, or is being answered, does not go. */
static void test_dawdlers_make_room(void **state)
{
    struct world *w = *state;
    struct peer waiting[20], first[CONTROL_CLIENTS], late[30];
    const unsigned idle = CONTROL_CLIENTS;

    start(w);
    for (unsigned i = 0; i < 20; i++) {
        waiting[i] = dial(w);
        ask(w, &waiting[i], "POST", "/hold");
        UNTIL(w, &waiting[i], w->held_count == i + 1);
    }
    for (unsigned i = 0; i < idle; i++) {
        first[i] = dial(w);
        if (i % 2)
            say(w, &first[i], "GET /hel");
    }
    for (unsigned i = 0; i < 30; i++) {
        late[i] = dial(w);
        ask(w, &late[i], "GET", "/hello");
        expect(w, &late[i], 200, "hello");
    }
    UNTIL(w, &first[0], first[0].eof);
    UNTIL(w, NULL, w->control->client_count <= CONTROL_CLIENTS);
    assert_int_equal(w->gone_count, 0);
    for (unsigned i = 0; i < 20; i++) {
        answer_text(w->held[i], "at last");
        expect(w, &waiting[i], 200, "at last");
        hang_up(&waiting[i]);
    }
    for (unsigned i = 0; i < 30; i++)
        hang_up(&late[i]);
    for (unsigned i = 0; i < idle; i++)
        hang_up(&first[i]);
}

static void test_takes_requests_in_pieces_and_in_rows(void **state)
{
    static const char request[] = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
    struct world *w = *state;

    start(w);
    struct peer half = dial(w), p = dial(w);
    say(w, &half, "GET /hel");
    for (const char *c = request; *c; c++) {
        say_bytes(w, &p, c, 1);
        turn(w, &p);
    }
    expect(w, &p, 200, "hello");
    for (int i = 0; i < 20; i++)
        ask(w, &p, i % 2 ? "GET" : "POST", i % 2 ? "/echo?id=7" : "/both");
    for (int i = 0; i < 20; i++)
        expect(w, &p, 200, i % 2 ? "[7]" : "hello");
    /* What comes behind a held call waits for it. */
    ask(w, &p, "POST", "/hold");
    ask(w, &p, "GET", "/hello");
    UNTIL(w, &p, w->held_count == 1);
    answer_text(w->held[0], "first");
    expect(w, &p, 200, "first");
    expect(w, &p, 200, "hello");
    say(w, &half, "lo HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(w, &half, 200, "hello");
    say(w, &half, "\x01\x02 nonsense\r\n\r\n");
    UNTIL(w, &half, half.eof);
    hang_up(&half);
    hang_up(&p);
}

static void test_cuts_late_clients_but_not_waiting_ones(void **state)
{
    struct world *w = *state;

    start(w);
    struct peer idle = dial(w), half = dial(w), waiting = dial(w), deaf = dial(w);
    say(w, &half, "GET /hello HT");
    ask(w, &waiting, "POST", "/hold");
    UNTIL(w, NULL, w->held_count == 1);
    ask(w, &deaf, "GET", "/large");
    UNTIL(w, NULL, recv(deaf.fd, &(char){0}, 1, MSG_PEEK | MSG_DONTWAIT) == 1);
    uint64_t now = uv_now(&w->loop);
    assert_true(control_clients_cut_late(w->control, now) <= now + CONTROL_PHASE_MSEC);
    assert_true(control_clients_cut_late(w->control, now + CONTROL_PHASE_MSEC) == CONTROL_NEVER);
    UNTIL(w, &idle, idle.eof);
    UNTIL(w, &half, half.eof);
    UNTIL(w, &deaf, deaf.eof);
    assert_int_equal(whole_answer(&deaf), 0);
    UNTIL(w, NULL, w->control->call_count == 1);
    answer_text(w->held[0], "still here");
    expect(w, &waiting, 200, "still here");
    hang_up(&idle);
    hang_up(&half);
    hang_up(&waiting);
    hang_up(&deaf);
}

static void test_stops_with_calls_pending(void **state)
{
    struct world *w = *state;

    start(w);
    struct peer a = dial(w), b = dial(w), half = dial(w), idle = dial(w);
    ask(w, &a, "POST", "/hold");
    ask(w, &b, "POST", "/hold");
    say(w, &half, "POST /both HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12");
    UNTIL(w, NULL, w->held_count == 2 && w->control->call_count == 3);
    stop(w);
    assert_int_equal(w->gone_count, 2);
    assert_int_equal(access(w->path, F_OK), -1);
    expect(w, &a, 503, "\"stopping\"");
    expect(w, &b, 503, "\"stopping\"");
    UNTIL(w, &half, half.eof);
    hang_up(&a);
    hang_up(&b);
    hang_up(&half);
    hang_up(&idle);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_answers),
        TEST(test_refuses_unknown_paths_methods_and_arguments),
        TEST(test_bounds_the_body),
        TEST(test_rights_go_by_who_asks),
        TEST(test_operators_may_operate_and_others_hear_which_group),
        TEST(test_without_an_operator_group_the_setting_is_named),
        TEST(test_an_operator_group_must_be_there),
        TEST(test_answers_later),
        TEST(test_tells_when_the_client_is_gone),
        TEST(test_bounds_the_calls_that_wait),
        TEST(test_serves_a_hundred_at_once),
        TEST(test_dawdlers_make_room),
        TEST(test_takes_requests_in_pieces_and_in_rows),
        TEST(test_cuts_late_clients_but_not_waiting_ones),
        TEST(test_stops_with_calls_pending),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
