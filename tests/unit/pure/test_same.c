/* Items are compared as DynamoDB compares values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dynamodb/same.h"

static json_t *value(const char *text)
{
    json_error_t why;
    json_t *v = json_loads(text, JSON_ALLOW_NUL, &why);

    if (!v)
        fail_msg("%s: %s", text, why.text);
    return v;
}

static bool same(const char *a, const char *b)
{
    json_t *x = value(a), *y = value(b);
    bool s = attribute_same(x, y);

    assert_int_equal(s, attribute_same(y, x));
    json_decref(x);
    json_decref(y);
    return s;
}

static void numbers_are_compared_by_value(void **state)
{
    (void)state;
    assert_true(same("{\"N\":\"100\"}", "{\"N\":\"1E2\"}"));
    assert_true(same("{\"N\":\"0042.1200\"}", "{\"N\":\"42.12\"}"));
    assert_true(same("{\"N\":\"-0\"}", "{\"N\":\"0\"}"));
    assert_false(same("{\"N\":\"9007199254740993\"}", "{\"N\":\"9007199254740992\"}"));
    assert_false(same("{\"N\":\"1\"}", "{\"N\":\"-1\"}"));
    assert_false(same("{\"N\":\"1\"}", "{\"S\":\"1\"}"));
    assert_false(same("{\"N\":\"x\"}", "{\"N\":\"y\"}"));
}

static void strings_and_binaries_are_compared_by_their_bytes(void **state)
{
    (void)state;
    assert_true(same("{\"S\":\"\\u00e9\"}", "{\"S\":\"\xc3\xa9\"}"));
    assert_false(same("{\"S\":\"e\\u0301\"}", "{\"S\":\"\xc3\xa9\"}"));
    assert_false(same("{\"S\":\"a\\u0000b\"}", "{\"S\":\"a\\u0000c\"}"));
    assert_false(same("{\"S\":\"a\"}", "{\"S\":\"a \"}"));
    assert_false(same("{\"S\":\"AAAA\"}", "{\"B\":\"AAAA\"}"));
    assert_true(same("{\"B\":\"AP8=\"}", "{\"B\":\"AP8=\"}"));
    assert_false(same("{\"B\":\"AP8=\"}", "{\"B\":\"AP4=\"}"));
    assert_false(same("{\"S\":\"\"}", "{\"B\":\"\"}"));
}

static void sets_have_no_order(void **state)
{
    (void)state;
    assert_true(same("{\"SS\":[\"a\",\"b\"]}", "{\"SS\":[\"b\",\"a\"]}"));
    assert_true(same("{\"NS\":[\"1\",\"20\"]}", "{\"NS\":[\"2E1\",\"1.0\"]}"));
    assert_true(same("{\"BS\":[\"AA==\",\"AQ==\"]}", "{\"BS\":[\"AQ==\",\"AA==\"]}"));
    assert_false(same("{\"SS\":[\"a\",\"b\"]}", "{\"SS\":[\"a\"]}"));
    assert_false(same("{\"SS\":[\"a\",\"bc\"]}", "{\"SS\":[\"ab\",\"c\"]}"));
    assert_false(same("{\"SS\":[\"1\"]}", "{\"NS\":[\"1\"]}"));
    assert_false(
        same("{\"L\":[{\"S\":\"a\"},{\"S\":\"b\"}]}", "{\"L\":[{\"S\":\"b\"},{\"S\":\"a\"}]}"));
}

static void documents_are_compared_member_by_member(void **state)
{
    (void)state;
    assert_true(same("{\"M\":{\"x\":{\"N\":\"1\"},\"y\":{\"L\":[{\"NULL\":true}]}}}",
                     "{\"M\":{\"y\":{\"L\":[{\"NULL\":true}]},\"x\":{\"N\":\"1.0\"}}}"));
    assert_false(
        same("{\"M\":{\"x\":{\"N\":\"1\"}}}", "{\"M\":{\"x\":{\"N\":\"1\"},\"y\":{\"N\":\"1\"}}}"));
    assert_false(same("{\"M\":{}}", "{\"L\":[]}"));
    assert_false(same("{\"BOOL\":true}", "{\"BOOL\":false}"));
    assert_false(same("{\"NULL\":true}", "{\"BOOL\":true}"));
    assert_false(same("{\"L\":[{\"L\":[]},{\"L\":[]}]}", "{\"L\":[{\"L\":[{\"L\":[]}]}]}"));
}

static void values_that_are_none_equal_their_own_json_only(void **state)
{
    (void)state;
    assert_true(same("{\"Q\":1}", "{\"Q\":1}"));
    assert_false(same("{\"Q\":1}", "{\"Q\":2}"));
    assert_false(same("{\"S\":\"a\",\"N\":\"1\"}", "{\"S\":\"a\"}"));
    assert_true(attribute_same(NULL, NULL));
    json_t *v = value("{\"S\":\"a\"}");
    assert_false(attribute_same(v, NULL));
    assert_false(attribute_same(NULL, v));
    json_decref(v);
}

static void depth_is_bounded(void **state)
{
    struct buf deep = {0}, out = {0};

    (void)state;
    for (int i = 0; i < 200; i++)
        buf_lit(&deep, "{\"L\":[");
    for (int i = 0; i < 200; i++)
        buf_lit(&deep, "]}");
    json_t *v = value(deep.data);
    assert_true(attribute_canonical(&out, v) < 0);
    json_decref(v);
    buf_free(&deep);
    buf_free(&out);
}

static void differences_are_named_in_order(void **state)
{
    const char *names[2] = {NULL, NULL};
    json_t *a = value(
        "{\"id\":{\"N\":\"1\"},\"z\":{\"S\":\"a\"},\"b\":{\"S\":\"x\"},\"n\":{\"N\":\"10\"}}");
    json_t *b = value(
        "{\"id\":{\"N\":\"1\"},\"z\":{\"S\":\"b\"},\"c\":{\"S\":\"x\"},\"n\":{\"N\":\"1e1\"}}");

    (void)state;
    assert_int_equal(item_differences(a, b, names, 2), 3);
    assert_string_equal(names[0], "b");
    assert_string_equal(names[1], "c");
    assert_true(item_same(a, a));
    assert_false(item_same(a, b));
    json_decref(a);
    json_decref(b);
}

static void described(const char *json, const char *expected)
{
    struct buf out = {0};
    json_t *v = json ? value(json) : NULL;

    attribute_describe(&out, v);
    assert_string_equal(out.data, expected);
    buf_free(&out);
    json_decref(v);
}

static void values_are_described_in_short(void **state)
{
    (void)state;
    described(NULL, "absent");
    described("{\"N\":\"1.5\"}", "N 1.5");
    described("{\"S\":\"a\\nb\"}", "S \"a\\u000ab\"");
    described("{\"S\":\"0123456789012345678901234567890123456789x\"}",
              "S \"0123456789012345678901234567890123456789\"… (41 bytes)");
    described("{\"S\":\"012345678901234567890123456789012345678\xc3\xa9x\"}",
              "S \"012345678901234567890123456789012345678\"… (42 bytes)");
    described("{\"B\":\"AP8=\"}", "B 00ff");
    described("{\"BOOL\":true}", "BOOL true");
    described("{\"SS\":[\"a\",\"b\"]}", "SS [\"a\",\"b\"]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_compared_by_value),
        cmocka_unit_test(strings_and_binaries_are_compared_by_their_bytes),
        cmocka_unit_test(sets_have_no_order),
        cmocka_unit_test(documents_are_compared_member_by_member),
        cmocka_unit_test(values_that_are_none_equal_their_own_json_only),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(differences_are_named_in_order),
        cmocka_unit_test(values_are_described_in_short),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
