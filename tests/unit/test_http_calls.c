/* The life of HTTP calls: connections kept and bounded, calls started, cancelled and closed from
 * anywhere, also from their callbacks. */
#include "http_fixture.h"

static void connections_are_reused_and_bounded(void **state)
{
    static const struct reaction script[] = {{.reply = OK_REPLY}};
    struct fixture f;
    struct result one = {.again = 20}, many[8] = {{0}};

    (void)state;
    begin(&f, script);
    start(&f, &one, "first");
    run(&f); /* returns although a connection is kept: nothing wakes an idle client */
    assert_int_equal(one.calls, 21);
    assert_int_equal(f.server->accepted, 1);
    assert_int_equal(f.server->requests, 21);
    for (int i = 0; i < 8; i++)
        start(&f, &many[i], "many");
    run(&f);
    for (int i = 0; i < 8; i++)
        expect(&many[i], HTTP_REPLIED, 200, "");
    assert_true(f.server->accepted <= 4);
    free(one.body);
    end(&f);
}

static void requests_that_are_none_are_refused(void **state)
{
    static const struct reaction script[] = {{.reply = OK_REPLY}};
    static const char *const bad_headers[] = {"No colon", "A: b\r\nEvil: c", ": b", "A b: c", "A:"};
    struct http_request req = {.method = "DELETE"};
    struct fixture f;
    struct http_call *call = NULL;
    struct err err = {""};

    (void)state;
    begin(&f, script);
    req.url = f.url;
    assert_int_equal(http_start(f.client, &req, done, NULL, &call, &err), -EINVAL);
    req.method = "GET";
    req.body = "b";
    req.body_len = 1;
    assert_int_equal(http_start(f.client, &req, done, NULL, &call, &err), -EINVAL);
    req.method = "POST";
    req.header_count = 1;
    for (size_t i = 0; i < sizeof bad_headers / sizeof *bad_headers; i++) {
        req.headers = &bad_headers[i];
        assert_int_equal(http_start(f.client, &req, done, NULL, &call, &err), -EINVAL);
    }
    assert_null(call);
    run(&f);
    assert_int_equal(f.server->accepted, 0);
    end(&f);
}

static void calls_may_be_cancelled(void **state)
{
    static const struct reaction script[] = {{.then = THEN_HANG}, {.reply = OK_REPLY}};
    struct fixture f;
    struct result hanging = {0}, second = {0}, early = {0};

    (void)state;
    begin(&f, script);
    start(&f, &early, "never leaves");
    http_cancel(early.call);
    run(&f);
    assert_int_equal(f.server->accepted, 0);
    char *body = strdup("may go at once");
    start(&f, &hanging, body);
    while (f.server->requests == 0)
        uv_run(&f.loop, UV_RUN_NOWAIT);
    http_cancel(hanging.call);
    free(body);
    start(&f, &second, "second");
    run(&f);
    expect(&second, HTTP_REPLIED, 200, "");
    assert_int_equal(hanging.calls + early.calls, 0);
    end(&f);
}

static void a_callback_may_cancel_others_and_itself(void **state)
{
    static const struct reaction script[] = {{.then = THEN_HANG}, {.reply = OK_REPLY}};
    struct fixture f;
    struct result hanging = {0}, other = {0}, self = {0};

    (void)state;
    begin(&f, script);
    start(&f, &hanging, "hangs");
    while (f.server->requests == 0)
        uv_run(&f.loop, UV_RUN_NOWAIT);
    start(&f, &other, "cancels");
    other.cancel_inside = hanging.call;
    run(&f);
    expect(&other, HTTP_REPLIED, 200, "");
    start(&f, &self, "itself");
    self.cancel_inside = self.call;
    run(&f);
    expect(&self, HTTP_REPLIED, 200, "");
    assert_int_equal(hanging.calls, 0);
    end(&f);
}

static void a_callback_may_close_the_client(void **state)
{
    static const struct reaction script[] = {{.then = THEN_HANG}, {.reply = OK_REPLY}};
    struct fixture f;
    struct result hanging = {0}, waiting[6] = {{0}}, closer = {.close_inside = true};

    (void)state;
    begin(&f, script);
    start(&f, &hanging, "hangs");
    while (f.server->requests == 0)
        uv_run(&f.loop, UV_RUN_NOWAIT);
    start(&f, &closer, "closes");
    while (!closer.calls) {
        uv_run(&f.loop, UV_RUN_ONCE);
        for (int i = 0; i < 6 && f.client && !waiting[i].call; i++)
            start(&f, &waiting[i], "waits");
    }
    run(&f);
    assert_true(f.closed);
    assert_int_equal(hanging.calls, 0);
    expect(&closer, HTTP_REPLIED, 200, "");
    for (int i = 0; i < 6; i++)
        free(waiting[i].body);
    end(&f);
}

static void closing_cancels_what_is_under_way(void **state)
{
    static const struct reaction script[] = {{.then = THEN_HANG}};
    struct fixture f;
    struct result r[3] = {{0}};

    (void)state;
    begin(&f, script);
    for (int i = 0; i < 3; i++)
        start(&f, &r[i], "hangs");
    while (f.server->requests < 3)
        uv_run(&f.loop, UV_RUN_NOWAIT);
    end(&f);
    assert_int_equal(r[0].calls + r[1].calls + r[2].calls, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_are_reused_and_bounded),
        cmocka_unit_test(requests_that_are_none_are_refused),
        cmocka_unit_test(calls_may_be_cancelled),
        cmocka_unit_test(a_callback_may_cancel_others_and_itself),
        cmocka_unit_test(a_callback_may_close_the_client),
        cmocka_unit_test(closing_cancels_what_is_under_way),
    };
    alarm(120); /* a hang ends here */
    return run_over_both(tests, NULL, NULL);
}
