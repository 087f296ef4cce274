/* Records told apart in a stream, and taken apart into fields. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "import/detect.h"
#include "import/record.h"
#include "import/split.h"

/* A stream that gives `step` bytes at a time. */
struct stream {
    const char *text;
    size_t len, at, step;
    struct buf passed;
};

static ssize_t give(void *arg, char *to, size_t n, struct err *err)
{
    struct stream *s = arg;
    size_t left = s->len - s->at;

    (void)err;
    n = n < s->step ? n : s->step;
    n = n < left ? n : left;
    memcpy(to, s->text + s->at, n);
    s->at += n;
    return (ssize_t)n;
}

static void pass(void *arg, const char *bytes, size_t n)
{
    struct stream *s = arg;

    buf_append(&s->passed, bytes, n);
}

/* All records as "line key=text|", what cannot be taken as "line too long|", the end as its reason.
 */
static void told_apart(enum split_form form, const char *text, size_t step, size_t longest,
                       struct buf *out)
{
    struct stream stream = {.text = text, .len = strlen(text), .step = step};
    struct split s;
    struct split_record r;
    enum split_result result;
    struct err err = {""};

    split_init(&s, form, longest, give, pass, &stream);
    while ((result = split_next(&s, &r, &err)) == SPLIT_RECORD || result == SPLIT_TOO_LONG) {
        buf_printf(out, "%lld ", (long long)r.line);
        if (r.key)
            buf_printf(out, "%.*s=", (int)r.key_len, r.key);
        if (result == SPLIT_RECORD)
            buf_append(out, r.text, r.len);
        else
            buf_puts(out, "too long");
        buf_putc(out, '|');
        assert_int_equal(s.offset, (int64_t)stream.passed.len);
    }
    if (result != SPLIT_END)
        buf_puts(out, err.text);
    /* What was passed by is the stream's beginning, byte for byte: a digest is made of it. */
    assert_memory_equal(stream.passed.data ? stream.passed.data : "", text, stream.passed.len);
    if (result == SPLIT_END)
        assert_int_equal(stream.passed.len, stream.len);
    buf_free(&stream.passed);
    split_free(&s);
}

static void expect_split(enum split_form form, const char *text, const char *expected)
{
    static const size_t steps[] = {1, 2, 3, 7, 1000};

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        _cleanup_buf_ struct buf out = {0};
        told_apart(form, text, steps[i], 1000, &out);
        assert_string_equal(out.data ? out.data : "", expected);
    }
}

static void test_lines(void **state)
{
    (void)state;
    expect_split(SPLIT_LINES, "{\"a\":1}\n\n  {\"a\":\"\\n\"}\r\n{\"a",
                 "1 {\"a\":1}|3 {\"a\":\"\\n\"}\r|4 {\"a|");
    expect_split(SPLIT_LINES, "", "");
    expect_split(SPLIT_LINES, "{\"broken\":\n{\"b\":2}\n", "1 {\"broken\":|2 {\"b\":2}|");
}

static void test_documents(void **state)
{
    (void)state;
    expect_split(SPLIT_DOCUMENTS, "{\n \"a\": \"}\\\"{\"\n}\n{\"b\":[{}]} {}\n",
                 "1 {\n \"a\": \"}\\\"{\"\n}|4 {\"b\":[{}]}|4 {}|");
    expect_split(SPLIT_DOCUMENTS, "{}\n{\"a\":",
                 "1 {}|it ends in the middle of a value that begins at line 2 (is it cut off?)");
    expect_split(SPLIT_DOCUMENTS, "{}]", "1 {}|at line 1 a record is missing");
}

static void test_array(void **state)
{
    (void)state;
    expect_split(SPLIT_ARRAY, " [ {\"a\":[1,2]} ,\n{}\n] \n", "1 {\"a\":[1,2]}|2 {}|");
    expect_split(SPLIT_ARRAY, "[]", "");
    expect_split(SPLIT_ARRAY, "[1,\"x\",null]", "1 1|1 \"x\"|1 null|");
    expect_split(SPLIT_ARRAY, "[{},\n{}",
                 "1 {}|2 {}|at line 2 it ends before its closing bracket (is it cut off?)");
    expect_split(SPLIT_ARRAY, "[{} {}]", "1 {}|at line 1 a comma is missing between two records");
    expect_split(SPLIT_ARRAY, "[{},]", "1 {}|at line 1 a value is missing behind a comma");
    expect_split(SPLIT_ARRAY, "[{}] x",
                 "1 {}|at line 1 something stands behind the closing bracket");
    expect_split(SPLIT_ARRAY, "[,]", "at line 1 a record is missing");
}

static void test_keyed(void **state)
{
    (void)state;
    expect_split(SPLIT_KEYED, "{\"a\\\"b\" : {\"x\":1},\n\"c\":{}}",
                 "1 \"a\\\"b\"={\"x\":1}|2 \"c\"={}|");
    expect_split(SPLIT_KEYED, "{}", "");
    expect_split(SPLIT_KEYED, "{\"a\" {}}", "at line 1 a key lacks its colon");
    expect_split(SPLIT_KEYED, "{a:{}}", "at line 1 a record lacks its key");
}

static void test_a_long_record_costs_itself_alone(void **state)
{
    _cleanup_buf_ struct buf text = {0}, out = {0};

    (void)state;
    buf_puts(&text, "[{\"a\":1},{\"b\":\"");
    for (int i = 0; i < 200000; i++)
        buf_puts(&text, "]}\\\"x");
    buf_puts(&text, "\"},\n{\"c\":3}]");
    told_apart(SPLIT_ARRAY, text.data, 4096, 1000, &out);
    assert_string_equal(out.data, "1 {\"a\":1}|1 too long|2 {\"c\":3}|");
    buf_clear(&out);
    told_apart(SPLIT_LINES, text.data, 4096, 1000, &out);
    assert_string_equal(out.data, "1 too long|2 {\"c\":3}]|");
}

/* Begun anew at any place it was at, the rest is the same. */
static void test_goes_on_from_a_place(void **state)
{
    static const char text[] = "{\"a\":{},\n\"b\":{\"x\":\"}\"},\n\"c\":{}}\n";
    struct stream stream = {.text = text, .len = strlen(text), .step = 5};
    struct split s;
    struct split_record r;
    struct err err;
    int records = 0;

    (void)state;
    split_init(&s, SPLIT_KEYED, 1000, give, NULL, &stream);
    while (split_next(&s, &r, &err) == SPLIT_RECORD) {
        struct stream rest = {.text = text, .len = strlen(text), .at = (size_t)s.offset, .step = 5};
        struct split again;
        struct split_record other;
        int more = 0;
        split_init(&again, SPLIT_KEYED, 1000, give, NULL, &rest);
        again.begun = s.begun;
        again.first = s.first;
        again.offset = s.offset;
        again.line = s.line;
        records++;
        while (split_next(&again, &other, &err) == SPLIT_RECORD) {
            more++;
            assert_int_equal(other.line, records + more);
        }
        assert_int_equal(records + more, 3);
        split_free(&again);
    }
    assert_int_equal(records, 3);
    split_free(&s);
}

/* --- fields ----------------------------------------------------------------------------------- */

static void expect_refused(const char *text, size_t n, const char *clause)
{
    struct record r = {0};
    struct err err = {""};

    assert_int_equal(record_parse(&r, text, n, &err), -EINVAL);
    if (!strstr(err.text, clause))
        fail_msg("\"%s\" is not in \"%s\"", clause, err.text);
    record_free(&r);
}

static void test_fields(void **state)
{
    static const char text[] =
        " {\"a\\u0062\": {\"x\": {\"y\": 7}}, \"n\" : -1.50e+3 ,\"\":null}\n";
    struct record r = {0};
    struct record_field store;
    struct err err;

    (void)state;
    assert_int_equal(record_parse(&r, text, strlen(text), &err), 0);
    assert_int_equal(r.count, 3);
    assert_string_equal(record_name(&r, 0), "ab");
    assert_int_equal(r.fields[1].len, 8);
    assert_memory_equal(r.fields[1].value, "-1.50e+3", 8);
    assert_non_null(record_find(&r, ""));
    const struct record_field *deep = record_find_path(&r, "ab.x.y", &store);
    assert_non_null(deep);
    assert_memory_equal(deep->value, "7", 1);
    assert_null(record_find_path(&r, "ab.z.y", &store));
    assert_null(record_find_path(&r, "n.x", &store));
    record_free(&r);
}

static void test_what_is_no_record(void **state)
{
    _cleanup_buf_ struct buf deep = {0};

    (void)state;
    expect_refused("{\"a\":1,\"a\":2}", 13, "same field twice");
    expect_refused("{\"a\":1", 6, "lacks a comma or its end");
    expect_refused("{\"a\":1} x", 9, "something stands behind it");
    expect_refused("{\"a\":01}", 8, "not JSON");
    expect_refused("{\"a\":\"\\ud800\"}", 14, "half of a surrogate pair");
    expect_refused("{\"a\":NaN}", 9, "not JSON");
    expect_refused("{\"a\\u0000b\":1}", 14, "U+0000");
    expect_refused("[1]", 3, "not an object");
    expect_refused("7", 1, "not an object");
    expect_refused("", 0, "not JSON");
    expect_refused("{\"name\":\"caf\xe9\"}", 15, "not UTF-8 at its byte 13 (0xe9)");
    expect_refused("{\"a\":\"\xc0\x80\"}", 10, "not UTF-8");
    buf_puts(&deep, "{\"a\":");
    for (int i = 0; i < 200; i++)
        buf_putc(&deep, '[');
    expect_refused(deep.data, deep.len, "nested too deep");
}

/* --- formats ---------------------------------------------------------------------------------- */

static void expect_format(const char *name, const char *text, bool whole, const char *described)
{
    struct format f;
    struct err err = {""};

    if (detect_format(name, text, strlen(text), whole, &f, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    assert_string_equal(detect_describe(&f), described);
}

static void test_formats(void **state)
{
    static const char lines[] = "JSON Lines", keyed[] = "a JSON object keyed by id",
                      documents[] = "JSON documents", items[] = "DynamoDB's items, lines";

    (void)state;
    expect_format(NULL, "[{\"a\":1}]", true, "a JSON array");
    expect_format(NULL, "[{\"a\":{\"$numberInt\":\"1\"}}]", true, "a JSON array, Extended JSON");
    expect_format(NULL, "{\"a\":1}\n{\"a\":2}\n", true, lines);
    expect_format(NULL, "{\"a\":{\"b\":1}}\n{\"a\":{}}\n", true, lines);
    expect_format(NULL, "{\"p1\":{\"name\":\"x\"},\n\"p2\":{}}\n", true, keyed);
    expect_format(NULL, "{\"p1\":{\"name\":\"x\"},\"p2\":{\"na", false, keyed);
    expect_format(NULL, "{\"_id\":{\"$oid\":\"507f1f77bcf86cd799439011\"}}\n", true,
                  "JSON Lines, Extended JSON");
    expect_format(NULL, "{\n  \"_id\": 1,\n  \"a\": {}\n}\n{\n \"_id\": 2}\n", true, documents);
    expect_format(NULL, "{\"Item\":{\"id\":{\"S\":\"1\"}}}\n{\"Item\":{}}", true, items);
    expect_format(NULL, "{\"Item\":{\"id\":{\"S\":\"1\"}}}\n", true, items);
    expect_format(NULL, "{\"id\":{\"S\":\"1\"},\"n\":{\"N\":\"2\"}}\n", true, items);
    /* The first item alone may be longer than what is looked at. */
    expect_format(NULL, " {\"Item\":{\"id\":{\"S\":\"1\"},\"v\":{\"S\":\"xx", false, items);
    expect_format("dynamodb", "{\"Item\": {\"v\": {\"M\": {\"a\": {\"S\":\"xx", false, items);
    expect_format(NULL, "[ {\"Item\":{\"v\":{\"B\":\"xx", false, "an array of DynamoDB's items");
    expect_format(NULL, "{\"Item\":{\"v\":\"xx", false, lines);
    expect_format(NULL, "{}", true, lines);
    expect_format(NULL, " \n", true, "empty");
    expect_format("lines", "{\"p1\":{\"name\":\"x\"}}\n", true, "JSON Lines");
    expect_format("keyed", "{\"p1\":{\"$oid\":\"x\"}}\n", true, "a JSON object keyed by id");
    expect_format("mongo", "{\"a\":{\"b\":1}}", true, documents);
}

static void expect_no_format(const char *name, const char *text, size_t n, const char *clause)
{
    struct format f;
    struct err err = {""};

    assert_int_equal(detect_format(name, text, n, true, &f, &err), -EINVAL);
    if (!strstr(err.text, clause))
        fail_msg("\"%s\" is not in \"%s\"", clause, err.text);
}

static void test_files_of_something_else(void **state)
{
    (void)state;
    expect_no_format(NULL, "\xff\xfe{\0\"\0", 6, "UTF-16");
    expect_no_format(NULL, "\0{\0\"", 4, "UTF-16");
    expect_no_format(NULL, "{\0\"\0a\0", 6, "UTF-16");
    expect_no_format(NULL, "PK\3\4xxxx", 8, "zip");
    expect_no_format(NULL, "$ion_1_0 {Item:{}}", 18, "Ion");
    expect_no_format(NULL, "\x16\0\0\0\2hello\0", 12, "BSON");
    expect_no_format(NULL, "id,name\n1,x\n", 12, "no JSON of records");
    expect_no_format("array", "{\"a\":1}", 7, "no array");
    expect_no_format("dynamodb", "{\"a\":1}", 7, "not of DynamoDB's items");
    assert_int_equal(detect_mark("\xef\xbb\xbf{}", 5), 3);
    assert_int_equal(detect_mark("{}", 2), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_array),
        cmocka_unit_test(test_keyed),
        cmocka_unit_test(test_a_long_record_costs_itself_alone),
        cmocka_unit_test(test_goes_on_from_a_place),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_what_is_no_record),
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_files_of_something_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
