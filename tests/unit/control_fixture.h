/* The control socket on a real loop, with raw clients on the same thread: nothing waits for time,
 * each step runs the loop until its condition holds (or a generous guard fails the test). */
#ifndef SYNCD_TESTS_CONTROL_FIXTURE_H
#define SYNCD_TESTS_CONTROL_FIXTURE_H

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

__attribute__((unused)) static void exchange(struct world *w, const char *method,
                                             const char *target, int status, const char *part)
{
    struct peer p = dial(w);

    ask(w, &p, method, target);
    expect(w, &p, status, part);
    hang_up(&p);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
