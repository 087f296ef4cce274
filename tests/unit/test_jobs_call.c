/* The jobs' calls: repeated until there is an answer; scans: every page once. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "jobs/call.h"
#include "jobs/ddb_reply.h"
#include "jobs/scanner.h"
#include "scripted_server.h"

#define REPLY(status, headers, body)                                                               \
    "HTTP/1.1 " status "\r\n" headers "Content-Length: %zu\r\n\r\n%s", strlen(body), body
#define ERROR(code) "{\"__type\":\"com.amazonaws.dynamodb.v20120810#" code "\",\"message\":\"why\"}"

enum { MOST = 24 };

struct world {
    struct reaction script[MOST];
    char texts[MOST][600];
    size_t n;
    struct scripted *server;
    struct connection x;
    char url[64];
};

__attribute__((format(printf, 2, 3))) static void then(struct world *w, const char *fmt, ...)
{
    va_list args;

    assert_true(w->n < MOST);
    va_start(args, fmt);
    vsnprintf(w->texts[w->n], sizeof w->texts[0], fmt, args);
    va_end(args);
    w->script[w->n] = (struct reaction){.reply = w->texts[w->n]};
    w->n++;
}

static void then_ok(struct world *w, const char *body)
{
    then(w, REPLY("200 OK", "", body));
}

static void then_error(struct world *w, const char *body)
{
    then(w, REPLY("400 Bad Request", "", body));
}

static void begin(struct world *w)
{
    static char region[] = "us-west-2", none[] = "";
    struct err err = {""};

    setenv("AWS_ACCESS_KEY_ID", "FIRST", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    w->server = scripted_start(w->script, w->n, NULL, NULL);
    snprintf(w->url, sizeof w->url, "http://127.0.0.1:%d", w->server->port);
    const struct config c = {.region = region,
                             .endpoint_url = w->url,
                             .profile = none,
                             .credentials_file = none,
                             .ca_file = none,
                             .backoff_base = 1,
                             .backoff_max = 1000,
                             .request_timeout = 10 * USEC_PER_SEC};
    if (connection_open(&w->x, &c, &err) < 0)
        fail_msg("%s", err.text);
    w->x.throttle_base = 1;
}

static void end(struct world *w)
{
    connection_close(&w->x);
    scripted_stop(w->server);
}

static int call(struct world *w, json_t **reply, struct err *err)
{
    struct buf body = {0};

    buf_puts(&body, "{\"TableName\":\"t\"}");
    return job_call(&w->x, "DescribeTable", &body, reply, err);
}

static void must_answer(struct world *w, unsigned requests)
{
    json_t *reply = NULL;
    struct err err = {""};

    if (call(w, &reply, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(json_string_value(json_object_get(reply, "a")), "b");
    json_decref(reply);
    assert_int_equal(w->server->requests, requests);
}

static void what_may_pass_is_repeated(void **state)
{
    struct world w = {.n = 0};

    (void)state;
    then_error(&w, ERROR("ThrottlingException"));
    then_error(&w, ERROR("ProvisionedThroughputExceededException"));
    then(&w, REPLY("500 Oops", "", ERROR("InternalServerError")));
    then(&w, REPLY("503 Oops", "", "<html>"));
    w.script[w.n++] = (struct reaction){.then = THEN_RESET};
    then(&w, REPLY("200 OK", "x-amz-crc32: 1\r\n", "{\"a\":\"wrong\"}"));
    then_ok(&w, "not JSON");
    then_ok(&w, "[]");
    then_ok(&w, "{\"a\":\"b\"}");
    begin(&w);
    must_answer(&w, 9);
    end(&w);
}

/* Nor did a write happen of which a page speaks. */
static void a_page_is_no_answer(void **state)
{
    static const struct {
        const char *body;
        enum reply_class class;
    } replies[] = {{"{}", REPLY_OK},
                   {" \r\n\t{\"a\":\"b\"}", REPLY_OK},
                   {"<html>{}</html>", REPLY_AMBIGUOUS},
                   {"[{}]", REPLY_AMBIGUOUS},
                   {" ", REPLY_AMBIGUOUS},
                   {"", REPLY_AMBIGUOUS}};

    (void)state;
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        const struct http_reply h = {.outcome = HTTP_REPLIED,
                                     .status = 200,
                                     .request_id = "",
                                     .body = replies[i].body,
                                     .body_len = strlen(replies[i].body)};
        struct reply r;
        ddb_reply_read(&h, &r);
        assert_int_equal(r.class, replies[i].class);
    }
}

static void credentials_are_fetched_anew(void **state)
{
    struct world w = {.n = 0};

    (void)state;
    then_error(&w, ERROR("ExpiredTokenException"));
    then_ok(&w, "{\"a\":\"b\"}");
    begin(&w);
    setenv("AWS_ACCESS_KEY_ID", "SECOND", 1);
    must_answer(&w, 2);
    assert_non_null(strstr(w.server->head, "Credential=SECOND/"));
    end(&w);
}

static void a_clock_that_is_off_is_learnt(void **state)
{
    struct world w = {.n = 0};

    (void)state;
    then(&w, REPLY("400 Bad Request", "Date: Fri, 01 Jan 2021 00:00:00 GMT\r\n",
                   "{\"__type\":\"InvalidSignatureException\",\"message\":\"Signature expired\"}"));
    then_ok(&w, "{\"a\":\"b\"}");
    begin(&w);
    must_answer(&w, 2);
    assert_non_null(strstr(w.server->head, "X-Amz-Date: 20210101T0000"));
    end(&w);
}

static void refused(const char *body, unsigned requests, int rc, const char *sentence)
{
    struct world w = {.n = 0};
    json_t *reply = NULL;
    struct err err = {""};

    then_error(&w, body);
    begin(&w);
    assert_int_equal(call(&w, &reply, &err), rc);
    assert_string_equal(err.text, sentence);
    assert_null(reply);
    assert_int_equal(w.server->requests, requests);
    end(&w);
}

static void a_refusal_is_an_answer(void **state)
{
    (void)state;
    refused(ERROR("ValidationException"), 1, -EINVAL, "DescribeTable: why (ValidationException)");
    refused(ERROR("ResourceInUseException"), 1, -EEXIST,
            "DescribeTable: why (ResourceInUseException)");
    refused(ERROR("ConditionalCheckFailedException"), 1, -EINVAL,
            "DescribeTable: why (ConditionalCheckFailedException)");
    refused(ERROR("ResourceNotFoundException"), 1, -ENOENT,
            "DescribeTable: why (ResourceNotFoundException)");
    refused(ERROR("UnrecognizedClientException"), 2, -EACCES,
            "DescribeTable: why (UnrecognizedClientException)");
}

static void note_code(void *arg, const struct reply *r, json_t *body, size_t bytes)
{
    (void)bytes;
    assert_null(body);
    snprintf(arg, 64, "%s", r->code);
}

static void patience_has_an_end(void **state)
{
    struct world w = {.n = 0};
    struct buf body = {0};
    char code[64] = "";

    (void)state;
    then(&w, REPLY("500 Oops", "", ERROR("InternalServerError")));
    begin(&w);
    buf_puts(&body, "{}");
    assert_non_null(job_call_start(&w.x, "DescribeTable", &body, 20000, note_code, code));
    while (!code[0])
        uv_run(&w.x.loop, UV_RUN_ONCE);
    assert_string_equal(code, "InternalServerError");
    assert_true(w.server->requests > 1);
    end(&w);
}

static void a_call_may_be_cancelled(void **state)
{
    struct world w = {.n = 0};
    struct buf body = {0};
    char code[64] = "";

    (void)state;
    w.script[w.n++] = (struct reaction){.then = THEN_HANG};
    then_ok(&w, "{\"a\":\"b\"}");
    begin(&w);
    buf_puts(&body, "{}");
    struct job_call *c = job_call_start(&w.x, "DescribeTable", &body, 0, note_code, code);
    while (!w.server->requests)
        uv_run(&w.x.loop, UV_RUN_NOWAIT);
    job_call_cancel(c);
    must_answer(&w, 2);
    assert_string_equal(code, "");
    end(&w);
}

/* --- scans ------------------------------------------------------------------------------------ */

struct seen {
    struct scanner *scanner;
    char ids[64];
    unsigned pages, cancel_at, hold_at, ends;
    bool over;
    int rc;
    struct err err;
};

static void page(void *arg, unsigned segment, json_t *items, const json_t *last_key,
                 double consumed)
{
    struct seen *s = arg;
    const json_t *item;
    size_t i;

    (void)segment;
    assert_true(consumed > 0);
    json_array_foreach(items, i, item)
        strcat(s->ids, json_string_value(json_object_get(json_object_get(item, "id"), "N")));
    s->ends += !last_key;
    if (++s->pages == s->cancel_at) {
        scanner_cancel(s->scanner);
        s->over = true;
    }
    if (s->pages == s->hold_at)
        scanner_hold(s->scanner);
}

static void scanned(void *arg, int rc, const struct err *err)
{
    struct seen *s = arg;

    assert_false(s->over);
    s->over = true;
    s->rc = rc;
    s->err = *err;
}

static void scan(struct world *w, struct seen *s, const struct scanner_options *o)
{
    s->scanner = scanner_start(&w->x, o, page, scanned, s);
    assert_non_null(s->scanner);
    while (!s->over) {
        uv_run(&w->x.loop, UV_RUN_ONCE);
        if (s->hold_at && s->pages == s->hold_at) {
            s->hold_at = 0;
            assert_int_equal(scanner_segments(s->scanner), 1);
            scanner_go_on(s->scanner);
        }
    }
}

#define ITEM(id) "{\"id\":{\"N\":\"" id "\"}}"
#define LAST(id) ",\"LastEvaluatedKey\":{\"id\":{\"N\":\"" id "\"}}"

static void every_page_comes_once(void **state)
{
    struct world w = {.n = 0};
    struct seen s = {.hold_at = 2};

    (void)state;
    then_ok(&w, "{\"Items\":[" ITEM("1") "," ITEM("2") "]" LAST("2") "}");
    then_error(&w, ERROR("ThrottlingException"));
    then_ok(&w, "{\"Items\":[]" LAST("3") "}");
    w.script[w.n++] = (struct reaction){.then = THEN_RESET};
    then_ok(&w, "{\"Items\":[" ITEM("4") "]}");
    begin(&w);
    scan(&w, &s, &(struct scanner_options){.table = "t"});
    assert_int_equal(s.rc, 0);
    assert_string_equal(s.ids, "124");
    assert_int_equal(s.pages, 3);
    assert_int_equal(s.ends, 1);
    assert_int_equal(w.server->requests, 5);
    end(&w);
}

static void segments_that_are_ignored_are_counted_once(void **state)
{
    struct world w = {.n = 0};
    struct seen s = {0};

    (void)state;
    for (int i = 0; i < 4; i++)
        then_ok(&w, "{\"Items\":[" ITEM("1") "," ITEM("2") "]" LAST("2") "}");
    then_ok(&w, "{\"Items\":[" ITEM("3") "]}");
    begin(&w);
    scan(&w, &s, &(struct scanner_options){.table = "t", .segments = 4});
    assert_int_equal(s.rc, 0);
    assert_string_equal(s.ids, "123");
    assert_int_equal(w.server->requests, 5);
    end(&w);
}

static void segments_are_scanned_to_their_ends(void **state)
{
    struct world w = {.n = 0};
    struct seen s = {0};
    const struct scanner_start starts[2] = {{.done = true}};

    (void)state;
    then_ok(&w, "{\"Items\":[" ITEM("1") "]}");
    then_ok(&w, "{\"Items\":[" ITEM("2") "]}");
    then_ok(&w, "{\"Items\":[]}");
    then_ok(&w, "{\"Items\":[" ITEM("3") "]}");
    begin(&w);
    scan(&w, &s, &(struct scanner_options){.table = "t", .segments = 3});
    assert_int_equal(s.ends, 3);
    assert_int_equal(strlen(s.ids), 2);
    s = (struct seen){0};
    scan(&w, &s, &(struct scanner_options){.table = "t", .segments = 2, .starts = starts});
    assert_string_equal(s.ids, "3");
    assert_int_equal(s.ends, 1);
    end(&w);
}

static void a_scan_may_be_cancelled_from_a_page(void **state)
{
    struct world w = {.n = 0};
    struct seen s = {.cancel_at = 2};

    (void)state;
    then_ok(&w, "{\"Items\":[" ITEM("1") "]" LAST("1") "}");
    begin(&w);
    scan(&w, &s, &(struct scanner_options){.table = "t"});
    assert_string_equal(s.ids, "11");
    end(&w);
}

static void a_scan_that_fails_says_why(void **state)
{
    struct world w = {.n = 0};
    struct seen s = {0};

    (void)state;
    then_ok(&w, "{\"Items\":[" ITEM("1") "]" LAST("1") "}");
    then_error(&w, ERROR("ResourceNotFoundException"));
    then_ok(&w, "{\"Count\":0}");
    begin(&w);
    scan(&w, &s, &(struct scanner_options){.table = "t"});
    assert_int_equal(s.rc, -ENOENT);
    assert_string_equal(s.ids, "1");
    assert_non_null(strstr(s.err.text, "DynamoDB table t does not exist"));
    s = (struct seen){0};
    scan(&w, &s, &(struct scanner_options){.table = "t"});
    assert_int_equal(s.rc, -EIO);
    assert_string_equal(s.err.text, "Scan of table t: the reply is not what Scan answers");
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_may_pass_is_repeated),
        cmocka_unit_test(a_page_is_no_answer),
        cmocka_unit_test(credentials_are_fetched_anew),
        cmocka_unit_test(a_clock_that_is_off_is_learnt),
        cmocka_unit_test(a_refusal_is_an_answer),
        cmocka_unit_test(patience_has_an_end),
        cmocka_unit_test(a_call_may_be_cancelled),
        cmocka_unit_test(every_page_comes_once),
        cmocka_unit_test(segments_that_are_ignored_are_counted_once),
        cmocka_unit_test(segments_are_scanned_to_their_ends),
        cmocka_unit_test(a_scan_may_be_cancelled_from_a_page),
        cmocka_unit_test(a_scan_that_fails_says_why),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
