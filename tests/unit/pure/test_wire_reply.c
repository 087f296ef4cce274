/* Replies of HTTP taken apart: what is whole, what is broken and what is too large, the same
 * however the bytes are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "aws/wire_reply.h"

enum { MAX_HEADERS = 512, MAX_BODY = 100 };

struct expected {
    const char *bytes;
    enum wire_verdict verdict;
    int status;
    const char *body;
    bool closes; /* the connection may carry no other request */
    size_t rest; /* bytes after the reply */
};

#define OK "HTTP/1.1 200 OK\r\n"

static const struct expected replies[] = {
    {OK "Content-Length: 5\r\n\r\nhello", WIRE_WHOLE, 200, "hello", false, 0},
    {OK "Content-Length: 5\r\n\r\nhelloHTTP/1.1", WIRE_WHOLE, 200, "hello", false, 8},
    {OK "content-length:0\r\n\r\n", WIRE_WHOLE, 200, "", false, 0},
    {OK "CONTENT-LENGTH: \t 2 \t\r\nX:\r\nY: \r\n\r\n{}", WIRE_WHOLE, 200, "{}", false, 0},
    {OK "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", WIRE_WHOLE, 200, "{}", false, 0},
    {"HTTP/1.1 500\r\nContent-Length: 1\r\n\r\nx", WIRE_WHOLE, 500, "x", false, 0},
    {"HTTP/1.1 500 \r\nContent-Length: 1\r\n\r\nx", WIRE_WHOLE, 500, "x", false, 0},
    {"HTTP/1.1 204 No Content\r\n\r\n", WIRE_WHOLE, 204, "", false, 0},
    {"HTTP/1.1 304 Not\r\nContent-Length: 7\r\n\r\n", WIRE_WHOLE, 304, "", false, 0},
    {"HTTP/1.1 100 Continue\r\nDate: no\r\n\r\nHTTP/1.1 103 Hints\r\n\r\n" OK
     "Content-Length: 1\r\n\r\nx",
     WIRE_WHOLE, 200, "x", false, 0},
    {OK "Connection: close\r\nContent-Length: 1\r\n\r\nx", WIRE_WHOLE, 200, "x", true, 0},
    {OK "connection: Keep-Alive , CLOSE\r\nContent-Length: 1\r\n\r\nx", WIRE_WHOLE, 200, "x", true,
     0},
    {OK "Connection: closed\r\nContent-Length: 1\r\n\r\nx", WIRE_WHOLE, 200, "x", false, 0},
    {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", WIRE_WHOLE, 200, "x", true, 0},
    {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", WIRE_WHOLE, 200,
     "x", false, 0},
    {OK "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0004\r\ndefg\r\n0\r\n\r\n", WIRE_WHOLE, 200,
     "abcdefg", false, 0},
    {OK
     "Transfer-Encoding: Chunked\r\n\r\nA ; x=\"y\"\r\n0123456789\r\n0;z\r\nTrailer: t\r\n\r\nrest",
     WIRE_WHOLE, 200, "0123456789", false, 4},
    {OK "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", WIRE_WHOLE, 200, "", false, 0},

    {"", WIRE_MORE, 0, "", false, 0},
    {"HTTP/1.1 200 O", WIRE_MORE, 0, "", false, 0},
    {OK "Content-Length: 5\r\n\r\nhell", WIRE_MORE, 200, "hell", false, 0},
    {OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", WIRE_MORE, 200, "hello", false, 0},
    {"HTTP/1.1 100 Continue\r\n\r\n", WIRE_MORE, 100, "", false, 0},

    {"220 mail.example ESMTP\r\n", WIRE_BAD, 0, NULL, false, 0},
    {"\r\n" OK "\r\n", WIRE_BAD, 0, NULL, false, 0},
    {"HTTP/2 200\r\n", WIRE_BAD, 0, NULL, false, 0},
    {"HTTP/1.2 200 OK\r\n", WIRE_BAD, 0, NULL, false, 0},
    {"HTTP/1.1 20 OK\r\n", WIRE_BAD, 0, NULL, false, 0},
    {"HTTP/1.1 2000 OK\r\n", WIRE_BAD, 0, NULL, false, 0},
    {"HTTP/1.1 600 OK\r\n", WIRE_BAD, 0, NULL, false, 0},
    {"HTTP/1.1  200 OK\r\n", WIRE_BAD, 0, NULL, false, 0},
    {"HTTP/1.1 200 OK\n", WIRE_BAD, 0, NULL, false, 0},
    {"HTTP/1.1 200 O\rK\r\n", WIRE_BAD, 0, NULL, false, 0},
    {"HTTP/1.1 101 Switching\r\n\r\n", WIRE_BAD, 101, NULL, false, 0},
    {OK "\r\nno length", WIRE_BAD, 200, NULL, false, 0},
    {OK "Connection: close\r\n\r\nno length", WIRE_BAD, 200, NULL, false, 0},
    {OK "Content-Length: 5\n", WIRE_BAD, 200, NULL, false, 0},
    {OK "Content-Length : 5\r\n", WIRE_BAD, 200, NULL, false, 0},
    {OK ": 5\r\n", WIRE_BAD, 200, NULL, false, 0},
    {OK "No colon\r\n", WIRE_BAD, 200, NULL, false, 0},
    {OK "A: b\r\n folded\r\n", WIRE_BAD, 200, NULL, false, 0},
    {OK "A: b\x01\r\n", WIRE_BAD, 200, NULL, false, 0},
    {OK "A: b\rc\r\n", WIRE_BAD, 200, NULL, false, 0},
    {OK "Content-Length: -5\r\n", WIRE_BAD, 200, NULL, false, 0},
    {OK "Content-Length: +5\r\n", WIRE_BAD, 200, NULL, false, 0},
    {OK "Content-Length:\r\n", WIRE_BAD, 200, NULL, false, 0},
    {OK "Content-Length: 5, 5\r\n", WIRE_BAD, 200, NULL, false, 0},
    {OK "Content-Length: 99999999999999999999\r\n", WIRE_BAD, 200, NULL, false, 0},
    {OK "Content-Length: 5\r\nContent-Length: 6\r\n", WIRE_BAD, 200, NULL, false, 0},
    {OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", WIRE_BAD, 200, NULL, false, 0},
    {OK "Transfer-Encoding: gzip, chunked\r\n", WIRE_BAD, 200, NULL, false, 0},
    {OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", WIRE_BAD, 200, NULL, false,
     0},
    {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", WIRE_BAD, 200, NULL, false, 0},
    {OK "Transfer-Encoding: chunked\r\n\r\n\r\n", WIRE_BAD, 200, NULL, false, 0},
    {OK "Transfer-Encoding: chunked\r\n\r\nx\r\n", WIRE_BAD, 200, NULL, false, 0},
    {OK "Transfer-Encoding: chunked\r\n\r\n-1\r\n", WIRE_BAD, 200, NULL, false, 0},
    {OK "Transfer-Encoding: chunked\r\n\r\n11111111111111111\r\n", WIRE_BAD, 200, NULL, false, 0},
    {OK "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", WIRE_BAD, 200, NULL, false, 0},
    {OK "Transfer-Encoding: chunked\r\n\r\n0\r\nbroken\r\n", WIRE_BAD, 200, NULL, false, 0},

    {OK "Content-Length: 101\r\n\r\n", WIRE_TOO_LARGE, 200, NULL, false, 0},
    {OK "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n64\r\n", WIRE_TOO_LARGE, 200, NULL, false, 0},
    {OK "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", WIRE_TOO_LARGE, 200, NULL, false,
     0},
};

static void free_reply(struct wire_reply *r)
{
    wire_reply_free(r);
    *r = (struct wire_reply){0};
}

static void expect(const struct wire_reply *r, const struct expected *e, enum wire_verdict v,
                   size_t used)
{
    if (v != e->verdict || r->status != e->status)
        fail_msg("verdict %d, status %d (%s) of %s", (int)v, r->status,
                 r->problem ? r->problem : "", e->bytes);
    assert_int_equal(v == WIRE_BAD, r->problem != NULL);
    if (e->body)
        assert_string_equal(r->body.len ? r->body.data : "", e->body);
    if (v != WIRE_WHOLE)
        return;
    assert_int_equal(r->keep_alive, !e->closes);
    assert_int_equal(strlen(e->bytes) - used, e->rest);
}

/* The pieces as a connection would bring them. */
static enum wire_verdict take_pieces(struct wire_reply *r, const char *bytes, size_t n,
                                     size_t first, size_t piece, size_t *used)
{
    enum wire_verdict v = WIRE_MORE;
    size_t at = 0;

    wire_reply_begin(r, MAX_HEADERS, MAX_BODY);
    while (at < n && v == WIRE_MORE) {
        size_t want = at == 0 && first ? first : piece;
        size_t k = 0;
        want = want < n - at ? want : n - at;
        v = wire_reply_take(r, bytes + at, want, &k);
        assert_true(k <= want);
        assert_true(v != WIRE_MORE || k == want);
        at += k;
    }
    *used = at;
    return v;
}

static void every_reply_however_it_is_cut(void **state)
{
    struct wire_reply r = {0};
    size_t used;

    (void)state;
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        const struct expected *e = &replies[i];
        size_t n = strlen(e->bytes);
        for (size_t first = 0; first < n; first++) {
            enum wire_verdict v = take_pieces(&r, e->bytes, n, first, n, &used);
            expect(&r, e, v, used);
        }
        for (size_t piece = 1; piece < 5; piece++) {
            enum wire_verdict v = take_pieces(&r, e->bytes, n, 0, piece, &used);
            expect(&r, e, v, used);
        }
    }
    free_reply(&r);
}

static void take_all(struct wire_reply *r, const char *bytes, enum wire_verdict verdict)
{
    size_t used;

    wire_reply_begin(r, MAX_HEADERS, MAX_BODY);
    assert_int_equal(wire_reply_take(r, bytes, strlen(bytes), &used), verdict);
}

static void what_the_headers_say(void **state)
{
    struct wire_reply r = {0};

    (void)state;
    take_all(&r,
             "HTTP/1.1 100 Continue\r\nDate: wrong\r\nx-amz-crc32: 7\r\n\r\n"
             "HTTP/1.1 400 Bad Request\r\nX-Amzn-RequestId:  ABC\x80"
             "123 \r\n"
             "x-amz-crc32: 4294967295\r\nX-AMZ-RETRY-AFTER: 1500\r\nContent-Length: 0\r\n\r\n",
             WIRE_WHOLE);
    assert_string_equal(r.request_id, "ABC123");
    assert_string_equal(r.date, "");
    assert_true(r.has_crc32);
    assert_true(r.crc32 == UINT32_MAX);
    assert_int_equal(r.retry_after_ms, 1500);
    take_all(&r,
             OK "Date: Fri, 20 Nov 2026 01:02:03 GMT\r\nx-amz-crc32: 4294967296\r\n"
                "x-amz-retry-after: soon\r\nx-amz-crc3: 1\r\nContent-Length: 0\r\n\r\n",
             WIRE_WHOLE);
    assert_string_equal(r.date, "Fri, 20 Nov 2026 01:02:03 GMT");
    assert_string_equal(r.request_id, "");
    assert_false(r.has_crc32);
    assert_int_equal(r.retry_after_ms, 0);
    free_reply(&r);
}

static void long_texts_are_cut(void **state)
{
    struct wire_reply r = {0};
    char text[300], id[201];

    (void)state;
    memset(id, 'i', sizeof id - 1);
    id[sizeof id - 1] = '\0';
    snprintf(text, sizeof text, OK "x-amzn-requestid: %s\r\nContent-Length: 0\r\n\r\n", id);
    take_all(&r, text, WIRE_WHOLE);
    assert_int_equal(strlen(r.request_id), sizeof r.request_id - 1);
    free_reply(&r);
}

/* Head, interim heads and trailers count together; one byte more than allowed is too much. */
static void headers_are_bounded(void **state)
{
    static const char *const frames[][2] = {
        {OK "X: ", "\r\nContent-Length: 0\r\n\r\n"},
        {"HTTP/1.1 100 Continue\r\nX: ", "\r\n\r\n" OK "Content-Length: 0\r\n\r\n"},
        {OK "Transfer-Encoding: chunked\r\n\r\n0\r\nX: ", "\r\n\r\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++)
        for (size_t over = 0; over < 2; over++) {
            struct wire_reply r = {0};
            size_t fixed = strlen(frames[i][0]) + strlen(frames[i][1]), used;
            char filler[MAX_HEADERS + 1], text[2 * MAX_HEADERS];
            memset(filler, 'x', sizeof filler);
            int n = snprintf(text, sizeof text, "%s%.*s%s", frames[i][0],
                             (int)(MAX_HEADERS - fixed + over), filler, frames[i][1]);
            enum wire_verdict wanted = over ? WIRE_TOO_LARGE : WIRE_WHOLE;
            assert_int_equal(take_pieces(&r, text, (size_t)n, 0, (size_t)n, &used), wanted);
            assert_int_equal(take_pieces(&r, text, (size_t)n, 0, 7, &used), wanted);
            free_reply(&r);
        }
}

static void a_verdict_stands(void **state)
{
    struct wire_reply r = {0};
    size_t used;

    (void)state;
    take_all(&r, "junk\r\n", WIRE_BAD);
    assert_int_equal(wire_reply_take(&r, OK, strlen(OK), &used), WIRE_BAD);
    assert_int_equal(used, 0);
    take_all(&r, OK "Content-Length: 1\r\n\r\nx", WIRE_WHOLE);
    assert_int_equal(wire_reply_take(&r, "y", 1, &used), WIRE_WHOLE);
    assert_int_equal(used, 0);
    assert_string_equal(r.body.data, "x");
    free_reply(&r);
}

static void memory_is_kept_or_wiped(void **state)
{
    struct wire_reply r = {0};

    (void)state;
    take_all(&r, OK "Content-Length: 6\r\n\r\nsecret", WIRE_WHOLE);
    wire_reply_forget(&r, false);
    assert_non_null(r.body.data);
    wire_reply_forget(&r, true);
    assert_null(r.body.data);
    wire_reply_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reply_however_it_is_cut),
        cmocka_unit_test(what_the_headers_say),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(headers_are_bounded),
        cmocka_unit_test(a_verdict_stands),
        cmocka_unit_test(memory_is_kept_or_wiped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
