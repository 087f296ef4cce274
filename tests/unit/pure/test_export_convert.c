/* What becomes of attributes: column by column, what is refused and why, and that verify's own way
 * of comparing agrees with what is right and sees what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "export/convert.h"
#include "export/line.h"
#include "export/same.h"

#define A "550e8400-e29b-41d4-a716-446655440000"

static struct export_column column(const char *text)
{
    struct export_column c;
    struct err err;

    if (export_column_parse("c", text, &c, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    return c;
}

static json_t *attribute(const char *text)
{
    json_t *a = text ? json_loads(text, JSON_ALLOW_NUL, NULL) : NULL;

    if (text && !a)
        fail_msg("%s is no JSON", text);
    return a;
}

/* "NULL", the text, or "kind: sentence". What was converted is the same in verify's eyes. */
static void expect(const char *spec, const char *item, const char *wanted)
{
    struct export_column c = column(spec);
    json_t *a = attribute(item);
    _cleanup_buf_ struct buf got = {0};
    struct export_fault f;
    bool null;
    int rc = export_convert(&c, a, &got, &null, &f);

    if (rc == 0) {
        if (!export_same(&c, a, null ? NULL : got.len ? got.data : "", got.len))
            fail_msg("%s of %s: verify sees a difference", spec, item);
        if (null)
            buf_puts(&got, "NULL");
    } else {
        buf_clear(&got);
        buf_printf(&got, "%s: %s", export_problem_word(f.kind), f.text);
    }
    if (strcmp(got.data ? got.data : "", wanted) != 0)
        fail_msg("%s of %s: %s, not %s", spec, item ? item : "nothing", got.data, wanted);
    json_decref(a);
    export_column_clear(&c);
}

static void text_is_as_it_is(void **state)
{
    (void)state;
    expect("a text", "{\"S\":\"x\\ty\"}", "x\ty");
    expect("a text", "{\"S\":\"\"}", "");
    expect("a text", "{\"N\":\"1.50\"}", "1.50");
    expect("a text", "{\"BOOL\":true}", "true");
    expect("a text", "{\"NULL\":true}", "NULL");
    expect("a text", NULL, "NULL");
    expect("a text required", NULL, "required: a is missing");
    expect("a text required", "{\"NULL\":true}", "required: a is missing");
    expect("a text primary key", NULL, "required: a is missing");
    expect("a text default 'it''s'", NULL, "it's");
    expect("a text", "{\"L\":[]}", "type: a is of type L, which text does not take");
    expect("a text", "{\"S\":\"a\\u0000\"}",
           "type: a holds a NUL character, which text does not take");
    expect("a varchar(2)", "{\"S\":\"\xc3\xa9\xc3\xa9\"}", "\xc3\xa9\xc3\xa9");
    expect("a varchar(2)", "{\"S\":\"abc\"}", "range: a has 3 characters, and varchar(2) takes 2");
    expect("a uuid", "{\"S\":\"550E8400-E29B-41D4-A716-446655440000\"}", A);
    expect("a uuid", "{\"S\":\"x\"}", "uuid: a is no UUID: x");
    expect("a uuid", "{\"N\":\"1\"}", "type: a is of type N, which uuid does not take");
}

static void numbers_are_exact(void **state)
{
    (void)state;
    expect("a integer", "{\"N\":\"2147483647\"}", "2147483647");
    expect("a integer", "{\"N\":\"2147483648\"}", "range: a is out of range");
    expect("a integer", "{\"N\":\"-2147483648\"}", "-2147483648");
    expect("a integer", "{\"N\":\"1E2\"}", "100");
    expect("a integer", "{\"N\":\"1.0\"}", "1");
    expect("a integer", "{\"N\":\"1.5\"}", "range: a is no whole number");
    expect("a integer", "{\"S\":\"12\"}", "12");
    expect("a integer", "{\"S\":\"twelve\"}", "type: a is no number");
    expect("a smallint", "{\"N\":\"-32769\"}", "range: a is out of range");
    expect("a bigint", "{\"N\":\"9223372036854775807\"}", "9223372036854775807");
    expect("a bigint", "{\"N\":\"9223372036854775808\"}", "range: a is out of range");
    expect("a bigint", "{\"N\":\"-9223372036854775808\"}", "-9223372036854775808");
    expect("a bigint", "{\"N\":\"1E19\"}", "range: a is out of range");
    expect("a bigint", "{\"N\":\"0\"}", "0");
    expect("a numeric", "{\"N\":\"0.1234567890123456789012345678901234567\"}",
           "0.1234567890123456789012345678901234567");
    expect("a numeric", "{\"N\":\"12345678901234567890123456789012345678\"}",
           "12345678901234567890123456789012345678");
    expect("a numeric(4, 2)", "{\"N\":\"99.99\"}", "99.99");
    expect("a numeric(4, 2)", "{\"N\":\"100\"}",
           "range: a has 3 digits before the point, and numeric(4,2) takes 2");
    expect("a numeric(4,2)", "{\"N\":\"0.125\"}",
           "range: a has 3 digits after the point, and numeric(4,2) takes 2");
    expect("a double precision", "{\"N\":\"0.1\"}", "0.1");
    expect("a boolean", "{\"BOOL\":false}", "f");
    expect("a boolean", "{\"N\":\"1\"}", "t");
    expect("a boolean", "{\"S\":\"true\"}", "t");
    expect("a boolean", "{\"S\":\"maybe\"}", "type: a is neither true nor false");
    expect("a boolean default true", NULL, "t");
}

static void times_keep_their_microseconds(void **state)
{
    (void)state;
    expect("a timestamptz", "{\"S\":\"2025-11-30T10:00:00Z\"}", "2025-11-30 10:00:00+00");
    expect("a timestamptz", "{\"S\":\"2025-11-30T10:00:00.123456+02:00\"}",
           "2025-11-30 08:00:00.123456+00");
    expect("a timestamptz", "{\"S\":\"2025-11-30T10:00:00.120000000Z\"}",
           "2025-11-30 10:00:00.12+00");
    expect("a timestamptz", "{\"S\":\"2025-11-30T10:00:00.123456789Z\"}",
           "range: a is finer than a microsecond; timestamptz(cut) or timestamp(cut) would cut it");
    expect("a timestamptz(cut)", "{\"S\":\"2025-11-30T10:00:00.123456789Z\"}",
           "2025-11-30 10:00:00.123456+00");
    expect("a timestamptz(cut)", "{\"S\":\"1969-12-31T23:59:59.9999999Z\"}",
           "1969-12-31 23:59:59.999999+00");
    expect("a timestamp", "{\"S\":\"1969-07-20 20:17\"}", "1969-07-20 20:17:00");
    expect("a timestamp", "{\"N\":\"1700000000\"}", "2023-11-14 22:13:20");
    expect("a timestamp", "{\"N\":\"1700000000123\"}", "2023-11-14 22:13:20.123");
    expect("a timestamp(unix)", "{\"N\":\"1700000000.25\"}", "2023-11-14 22:13:20.25");
    expect("a timestamp(ms)", "{\"N\":\"1\"}", "1970-01-01 00:00:00.001");
    expect("a timestamp(ms)", "{\"N\":\"-1\"}", "1969-12-31 23:59:59.999");
    expect("a timestamp(ms)", "{\"N\":\"0.0001\"}",
           "range: a is finer than a microsecond; timestamptz(cut) or timestamp(cut) would cut it");
    expect("a timestamp", "{\"N\":\"1E30\"}", "type: a is no time: 1E30");
    expect("a timestamp", "{\"N\":\"-99999999999\"}", "type: a is no time: -99999999999");
    expect("a timestamp", "{\"S\":\"2025-11-30T10:00:00.5.5\"}",
           "type: a is no time: 2025-11-30T10:00:00.5.5");
    expect("a timestamp", "{\"S\":\"0000-12-31\"}", "type: a is no time: 0000-12-31");
    expect("a timestamp", "{\"S\":\"0001-01-01\"}", "0001-01-01 00:00:00");
    expect("a timestamp", "{\"S\":\"9999-12-31T23:59:59.999999Z\"}", "9999-12-31 23:59:59.999999");
    expect("a timestamp", "{\"S\":\"yesterday\"}", "type: a is no time: yesterday");
    expect("a timestamp", "{\"S\":\"2025-02-30\"}", "type: a is no time: 2025-02-30");
    expect("a timestamp", "{\"S\":\"2025-11-30T10:00.5\"}",
           "type: a is no time: 2025-11-30T10:00.5");
    expect("a date", "{\"S\":\"2024-02-29\"}", "2024-02-29");
    expect("a date", "{\"S\":\"2024-02-29T00:00:00Z\"}",
           "type: a is no date: 2024-02-29T00:00:00Z");
}

static void documents_are_whole(void **state)
{
    (void)state;
    expect("a jsonb",
           "{\"M\":{\"b\":{\"N\":\"1E2\"},\"a\":{\"L\":[{\"BOOL\":true},{\"NULL\":true}]}}}",
           "{\"b\":100,\"a\":[true,null]}");
    expect("a jsonb", "{\"SS\":[\"x\",\"y\"]}", "[\"x\",\"y\"]");
    expect("a jsonb", "{\"NS\":[\"1\",\"2.5\"]}", "[1,2.5]");
    expect("a jsonb", "{\"B\":\"AAE=\"}", "\"AAE=\"");
    expect("a jsonb", "{\"S\":\"{\\\"a\\\":1}\"}", "\"{\\\"a\\\":1}\"");
    expect("a jsonb(parse)", "{\"S\":\"{\\\"a\\\": 1}\"}", "{\"a\": 1}");
    expect("a jsonb(parse)", "{\"S\":\"{\"}", "type: a holds text that is not JSON");
    expect("a jsonb(parse)", "{\"S\":\"[12345678901234567890123]\"}", "[12345678901234567890123]");
    expect("a json", "{\"N\":\"12345678901234567890123456789012345678\"}",
           "12345678901234567890123456789012345678");
    expect("a jsonb", "{\"M\":{\"a\":{\"S\":\"\\u0000\"}}}",
           "type: a holds a NUL character, which JSON in PostgreSQL does not take");
    expect("a jsonb default '{}'", NULL, "{}");
    expect("a bytea", "{\"B\":\"AAH/\"}", "\\x0001ff");
    expect("a bytea", "{\"B\":\"\"}", "\\x");
    expect("a bytea", "{\"S\":\"AAE=\"}", "type: a is of type S, which bytea does not take");
}

/* A difference that is planted is seen. */
static void differ(const char *spec, const char *item, const char *text)
{
    struct export_column c = column(spec);
    json_t *a = attribute(item);

    if (export_same(&c, a, text, text ? strlen(text) : 0))
        fail_msg("%s of %s: %s passes for it", spec, item ? item : "nothing", text);
    json_decref(a);
    export_column_clear(&c);
}

static void verify_sees_what_differs(void **state)
{
    (void)state;
    differ("a text", "{\"S\":\"x\"}", "x ");
    differ("a text", "{\"S\":\"x\"}", NULL);
    differ("a text", NULL, "");
    differ("a text default x", NULL, "y");
    differ("a uuid", "{\"S\":\"" A "\"}", "550e8400-e29b-41d4-a716-446655440001");
    differ("a numeric", "{\"N\":\"0.1234567890123456789012345678901234567\"}",
           "0.1234567890123456789012345678901234568");
    differ("a bigint", "{\"N\":\"9007199254740993\"}", "9007199254740992");
    differ("a double precision", "{\"N\":\"0.1\"}", "0.2");
    differ("a boolean", "{\"BOOL\":true}", "f");
    differ("a boolean", "{\"BOOL\":false}", "t");
    differ("a timestamptz", "{\"S\":\"2025-11-30T10:00:00.000001Z\"}", "2025-11-30 10:00:00+00");
    differ("a timestamptz", "{\"S\":\"2025-11-30T10:00:00+02:00\"}", "2025-11-30 10:00:00+00");
    differ("a timestamp", "{\"N\":\"1700000000\"}", "2023-11-14 22:13:21");
    differ("a date", "{\"S\":\"2024-02-29\"}", "2024-03-01");
    differ("a jsonb", "{\"M\":{\"a\":{\"N\":\"1\"}}}", "{\"a\": \"1\"}");
    differ("a jsonb", "{\"M\":{\"a\":{\"N\":\"1\"}}}", "{\"a\": 1, \"b\": 2}");
    differ("a jsonb", "{\"SS\":[\"x\",\"y\"]}", "[\"x\"]");
    differ("a jsonb", "{\"M\":{}}", "[]");
    differ("a jsonb(parse)", "{\"S\":\"[1]\"}", "[2]");
    differ("a bytea", "{\"B\":\"AAE=\"}", "\\x0002");
}

/* What PostgreSQL prints otherwise is the same. */
static void verify_takes_other_spellings(void **state)
{
    static const struct {
        const char *spec, *item, *text;
    } same[] = {
        {"a numeric", "{\"N\":\"1.5\"}", "1.50"},
        {"a jsonb", "{\"M\":{\"b\":{\"N\":\"1.50\"},\"a\":{\"S\":\"x\"}}}",
         "{\"a\": \"x\", \"b\": 1.5}"},
        {"a double precision", "{\"N\":\"0.1000000000000000055\"}", "0.1"},
        {"a timestamptz", "{\"S\":\"2025-11-30T10:00:00Z\"}", "2025-11-30 11:00:00+01"},
        {"a timestamptz", "{\"S\":\"2025-11-30T10:00:00Z\"}", "2025-11-30 04:30:00-05:30"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        struct export_column c = column(same[i].spec);
        json_t *a = attribute(same[i].item);
        if (!export_same(&c, a, same[i].text, strlen(same[i].text)))
            fail_msg("%s is not %s", same[i].item, same[i].text);
        json_decref(a);
        export_column_clear(&c);
    }
}

/* --- lines ------------------------------------------------------------------------------------ */

static void lines_are_of_each_format(void **state)
{
    struct export_column columns[] = {
        column("a text"),  column("a numeric"),     column("a boolean"), column("a bytea"),
        column("a jsonb"), column("a timestamptz"), column("a text")};
    const struct line_value values[] = {{false, "x,\"y\"\n\\\t", 8},
                                        {false, "1.50", 4},
                                        {false, "t", 1},
                                        {false, "\\x00ff", 6},
                                        {false, "{\n\"a\":1}", 8},
                                        {false, "2025-11-30 10:00:00.5+00", 24},
                                        {true, NULL, 0}};
    _cleanup_buf_ struct buf out = {0};

    (void)state;
    line_append(LINE_COPY, columns, 7, values, &out);
    assert_string_equal(out.data, "x,\"y\"\\n\\\\\\t\t1.50\tt\t\\\\x00ff\t{\\n\"a\":1}\t"
                                  "2025-11-30 10:00:00.5+00\t\\N\n");
    const char *at = out.data, *end = out.data + out.len - 1;
    for (size_t i = 0; i < 7; i++) { /* and back */
        _cleanup_buf_ struct buf field = {0};
        bool null;
        assert_true(line_copy_field(&at, end, &field, &null));
        assert_int_equal(null, values[i].null);
        assert_int_equal(field.len, values[i].n);
        assert_true(null || memcmp(field.data, values[i].text, field.len) == 0);
    }
    buf_clear(&out);
    line_append(LINE_JSON, columns, 7, values, &out);
    assert_string_equal(out.data, "{\"c\":\"x,\\\"y\\\"\\u000a\\\\\\u0009\",\"c\":1.50,\"c\":true,"
                                  "\"c\":\"AP8=\",\"c\":{ \"a\":1},"
                                  "\"c\":\"2025-11-30T10:00:00.5Z\",\"c\":null}\n");
    buf_clear(&out);
    line_append(LINE_CSV, columns, 7, values, &out);
    assert_string_equal(out.data, "\"x,\"\"y\"\"\n\\\t\",1.50,t,\\x00ff,\"{\n\"\"a\"\":1}\","
                                  "2025-11-30 10:00:00.5+00,\n");
    for (size_t i = 0; i < 7; i++)
        export_column_clear(&columns[i]);
}

static void an_empty_text_in_csv_is_no_null(void **state)
{
    struct export_column c = column("a text");
    _cleanup_buf_ struct buf out = {0};

    (void)state;
    line_append(LINE_CSV, &c, 1, &(struct line_value){false, "", 0}, &out);
    line_append(LINE_CSV, &c, 1, &(struct line_value){true, "", 0}, &out);
    assert_string_equal(out.data, "\"\"\n\n");
    export_column_clear(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_as_it_is),
        cmocka_unit_test(numbers_are_exact),
        cmocka_unit_test(times_keep_their_microseconds),
        cmocka_unit_test(documents_are_whole),
        cmocka_unit_test(verify_sees_what_differs),
        cmocka_unit_test(verify_takes_other_spellings),
        cmocka_unit_test(lines_are_of_each_format),
        cmocka_unit_test(an_empty_text_in_csv_is_no_null),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
