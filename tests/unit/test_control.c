/* What the control socket answers, at once and later. */
#include "control_fixture.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_answers),
        TEST(test_refuses_unknown_paths_methods_and_arguments),
        TEST(test_bounds_the_body),
        TEST(test_answers_later),
        TEST(test_tells_when_the_client_is_gone),
        TEST(test_bounds_the_calls_that_wait),
        TEST(test_takes_requests_in_pieces_and_in_rows),
        TEST(test_stops_with_calls_pending),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
