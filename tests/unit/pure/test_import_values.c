/* What values of records become in a column. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "import/record.h"
#include "import/value.h"

/* "integer 7", "real 1.5", "text x", "blob 0102", "null", or "refused: …". */
static void describe(enum dialect dialect, const char *json, enum affinity affinity,
                     const char *conversion, struct buf *out)
{
    _cleanup_buf_ struct buf store = {0}, scratch = {0};
    struct import_conversion c = {0};
    struct datum d;
    struct value v;
    struct err err = {""};

    if (conversion)
        assert_int_equal(import_conversion_parse(conversion, &c, &err), 0);
    int rc = datum_read(dialect, json, strlen(json), &d, &store, &err);
    if (rc == 0)
        rc = import_value(&d, &store, affinity, conversion ? &c : NULL, &v, &scratch, &err);
    import_conversion_clear(&c);
    if (rc < 0) {
        assert_int_equal(rc, -EINVAL);
        buf_printf(out, "refused: %s", err.text);
        return;
    }
    switch (v.kind) {
    case VALUE_NULL:
        buf_puts(out, "null");
        break;
    case VALUE_INTEGER:
        buf_printf(out, "integer %lld", (long long)v.integer);
        break;
    case VALUE_REAL:
        buf_printf(out, "real %.17g", v.real);
        break;
    case VALUE_TEXT:
        buf_printf(out, "text %.*s", (int)v.len, v.bytes);
        break;
    case VALUE_BLOB:
        buf_puts(out, "blob ");
        hex_append(out, v.bytes, v.len);
        break;
    }
}

static void expect(enum dialect dialect, const char *json, enum affinity affinity,
                   const char *conversion, const char *expected)
{
    _cleanup_buf_ struct buf out = {0};

    describe(dialect, json, affinity, conversion, &out);
    if (strncmp(expected, "refused", 7) == 0 ? strncmp(out.data, expected, strlen(expected)) != 0
                                             : strcmp(out.data, expected) != 0)
        fail_msg("%s is \"%s\" instead of \"%s\"", json, out.data, expected);
}

#define PLAIN(...)    expect(DIALECT_PLAIN, __VA_ARGS__)
#define EXTENDED(...) expect(DIALECT_EXTENDED, __VA_ARGS__)
#define DYNAMODB(...) expect(DIALECT_DYNAMODB, __VA_ARGS__)

static void test_plain(void **state)
{
    (void)state;
    PLAIN("null", AFFINITY_TEXT, NULL, "null");
    PLAIN("true", AFFINITY_NUMERIC, NULL, "integer 1");
    PLAIN("false", AFFINITY_TEXT, NULL, "text false");
    PLAIN("\"a\\u00e9\\ud83d\\ude00\"", AFFINITY_TEXT, NULL, "text aé😀");
    PLAIN("\"12\"", AFFINITY_INTEGER, NULL, "text 12"); /* SQLite's affinity takes it from here */
    PLAIN("{ \"a\" : [ 1.10, null ], \"b\":\"\\/\" }", AFFINITY_TEXT, NULL,
          "text {\"a\":[1.10,null],\"b\":\"/\"}");
    PLAIN("{\"$oid\":\"507f1f77bcf86cd799439011\"}", AFFINITY_TEXT, NULL,
          "text {\"$oid\":\"507f1f77bcf86cd799439011\"}");
    PLAIN("{\"a\":{\"b\":1,\"b\":2}}", AFFINITY_TEXT, NULL, "refused: an object has the same key");
}

static void test_numbers_lose_nothing(void **state)
{
    (void)state;
    PLAIN("9223372036854775807", AFFINITY_INTEGER, NULL, "integer 9223372036854775807");
    PLAIN("-9223372036854775808", AFFINITY_NONE, NULL, "integer -9223372036854775808");
    PLAIN("9223372036854775808", AFFINITY_INTEGER, NULL, "refused: the number 9223372036854775808");
    PLAIN("9223372036854775809", AFFINITY_INTEGER, NULL, "refused: the number 92233720368547758");
    PLAIN("9223372036854775809", AFFINITY_TEXT, NULL, "text 9223372036854775809");
    PLAIN("9223372036854775809", AFFINITY_NONE, NULL, "text 9223372036854775809");
    PLAIN("9007199254740993", AFFINITY_REAL, NULL, "refused: the number 9007199254740993");
    PLAIN("0.1", AFFINITY_REAL, NULL, "real 0.10000000000000001");
    PLAIN("0.10000000000000001", AFFINITY_REAL, NULL, "real 0.10000000000000001");
    PLAIN("0.1000000000000000055511151231257827", AFFINITY_REAL, NULL, "refused: the number 0.1");
    PLAIN("1.50", AFFINITY_TEXT, NULL, "text 1.50");
    PLAIN("1e3", AFFINITY_INTEGER, NULL, "real 1000");
    PLAIN("1e400", AFFINITY_REAL, NULL, "refused: the number 1e400");
    PLAIN("1e-400", AFFINITY_REAL, NULL, "refused: the number 1e-400");
    PLAIN("0e-400", AFFINITY_REAL, NULL, "real 0");
    PLAIN("123456789012345678901234567890.5", AFFINITY_NONE, NULL,
          "text 123456789012345678901234567890.5");
}

/* SQLite would make a number of such text, and round it. */
static void test_numbers_as_text_lose_nothing(void **state)
{
    (void)state;
    PLAIN("\"18446744073709551615\"", AFFINITY_INTEGER, NULL,
          "refused: the number 18446744073709551615 has more digits than an INTEGER column keeps");
    PLAIN("\" +0.12345678901234567890\\n\"", AFFINITY_REAL, NULL, "refused: the number +0.1234");
    PLAIN("\"12345678901234567890.5\"", AFFINITY_NUMERIC, NULL, "refused: the number 123456789");
    PLAIN("\"12e345678\"", AFFINITY_NUMERIC, NULL, "refused: the number 12e345678");
    PLAIN("\"9007199254740993\"", AFFINITY_REAL, NULL, "refused: the number 9007199254740993");
    DYNAMODB("{\"S\":\"18446744073709551615\"}", AFFINITY_INTEGER, NULL, "refused: the number");
    PLAIN("\"18446744073709551615\"", AFFINITY_INTEGER, "string", "refused: the number 18446");
    PLAIN("\"18446744073709551615\"", AFFINITY_TEXT, NULL, "text 18446744073709551615");
    PLAIN("\"18446744073709551615\"", AFFINITY_NONE, NULL, "text 18446744073709551615");
    PLAIN("\"9223372036854775807\"", AFFINITY_INTEGER, NULL, "text 9223372036854775807");
    PLAIN("\" 12.50 \"", AFFINITY_NUMERIC, NULL, "text  12.50 ");
    PLAIN("\"\"", AFFINITY_INTEGER, NULL, "text ");
    PLAIN("\" \"", AFFINITY_REAL, NULL, "text  ");
    PLAIN("\"18446744073709551615 of them\"", AFFINITY_INTEGER, NULL,
          "text 18446744073709551615 of them");
}

static void test_extended(void **state)
{
    (void)state;
    EXTENDED("{\"$oid\":\"507f1f77bcf86cd799439011\"}", AFFINITY_TEXT, NULL,
             "text 507f1f77bcf86cd799439011");
    EXTENDED("{\"$oid\":\"507f\"}", AFFINITY_TEXT, NULL, "refused: $oid");
    EXTENDED("{\"$numberInt\":\"-7\"}", AFFINITY_INTEGER, NULL, "integer -7");
    EXTENDED("{\"$numberLong\":\"9007199254740993\"}", AFFINITY_INTEGER, NULL,
             "integer 9007199254740993");
    EXTENDED("{\"$numberLong\":\"9223372036854775808\"}", AFFINITY_INTEGER, NULL,
             "refused: $numberLong is not an integer of 64 bits");
    EXTENDED("{\"$numberDouble\":\"1.5\"}", AFFINITY_REAL, NULL, "real 1.5");
    EXTENDED("{\"$numberDouble\":\"-Infinity\"}", AFFINITY_REAL, NULL, "real -inf");
    EXTENDED("{\"$numberDouble\":\"NaN\"}", AFFINITY_REAL, NULL, "refused: $numberDouble is NaN");
    EXTENDED("{\"$numberDecimal\":\"1.10\"}", AFFINITY_TEXT, NULL, "text 1.10");
    EXTENDED("{\"$numberDecimal\":\"1.10\"}", AFFINITY_REAL, NULL, "real 1.1000000000000001");
    EXTENDED("{\"$numberDecimal\":\"0.10000000000000001\"}", AFFINITY_REAL, NULL, "refused: the");
    EXTENDED("{\"$numberDecimal\":\"1E+3\"}", AFFINITY_NONE, NULL, "real 1000");
    EXTENDED("{\"$date\":\"2023-01-01T00:00:00Z\"}", AFFINITY_TEXT, NULL,
             "text 2023-01-01T00:00:00.000Z");
    EXTENDED("{\"$date\":\"2023-01-01T01:00:00.5+0100\"}", AFFINITY_TEXT, NULL,
             "text 2023-01-01T00:00:00.500Z");
    EXTENDED("{\"$date\":{\"$numberLong\":\"-1\"}}", AFFINITY_TEXT, NULL,
             "text 1969-12-31T23:59:59.999Z");
    EXTENDED("{\"$date\":1672531200123}", AFFINITY_TEXT, NULL, "text 2023-01-01T00:00:00.123Z");
    EXTENDED("{\"$date\":{\"$numberLong\":\"999999999999999\"}}", AFFINITY_TEXT, NULL,
             "refused: $date is outside the years");
    EXTENDED("{\"$date\":\"yesterday\"}", AFFINITY_TEXT, NULL, "refused: $date");
    EXTENDED("{\"$binary\":{\"base64\":\"AQI=\",\"subType\":\"00\"}}", AFFINITY_BLOB, NULL,
             "blob 0102");
    EXTENDED("{\"$binary\":\"AQI=\",\"$type\":\"00\"}", AFFINITY_BLOB, NULL, "blob 0102");
    EXTENDED("{\"$binary\":{\"base64\":\"!\",\"subType\":\"00\"}}", AFFINITY_BLOB, NULL,
             "refused: $binary is not base64");
    EXTENDED("{\"$binary\":{\"base64\":\"ABEiM0RVRneImaq7zN3u/w==\",\"subType\":\"04\"}}",
             AFFINITY_TEXT, NULL, "text 00112233-4455-4677-8899-aabbccddeeff");
    EXTENDED("{\"$uuid\":\"00112233-4455-4677-8899-AABBCCDDEEFF\"}", AFFINITY_BLOB, NULL,
             "blob 00112233445546778899aabbccddeeff");
    EXTENDED("{\"$symbol\":\"s\"}", AFFINITY_TEXT, NULL, "text s");
    EXTENDED("{\"$code\":\"f()\"}", AFFINITY_TEXT, NULL, "text f()");
    EXTENDED("{\"$undefined\":true}", AFFINITY_TEXT, NULL, "null");
    EXTENDED("{ \"$timestamp\": {\"t\": 1, \"i\": 2} }", AFFINITY_TEXT, NULL,
             "text {\"$timestamp\":{\"t\":1,\"i\":2}}");
    EXTENDED("{\"$minKey\":1}", AFFINITY_TEXT, NULL, "text {\"$minKey\":1}");
    EXTENDED("{\"$regularExpression\":{\"pattern\":\"a\",\"options\":\"i\"}}", AFFINITY_TEXT, NULL,
             "text {\"$regularExpression\":{\"pattern\":\"a\",\"options\":\"i\"}}");
    EXTENDED("{\"$unknown\":1}", AFFINITY_TEXT, NULL, "text {\"$unknown\":1}");
    EXTENDED("{\"$ref\":\"c\",\"$id\":{\"$oid\":\"507f1f77bcf86cd799439011\"}}", AFFINITY_TEXT,
             NULL, "text {\"$ref\":\"c\",\"$id\":\"507f1f77bcf86cd799439011\"}");
    EXTENDED("[{\"$date\":\"2023-01-01T00:00:00Z\"},{\"n\":{\"$numberLong\":\"12\"}},"
             "{\"$numberDecimal\":\"1.50\"},{\"$binary\":{\"base64\":\"AQI=\",\"subType\":\"00\"}},"
             "{\"$numberDouble\":\"Infinity\"}]",
             AFFINITY_TEXT, NULL,
             "text [\"2023-01-01T00:00:00.000Z\",{\"n\":12},1.50,\"AQI=\",\"Infinity\"]");
}

static void test_dynamodb(void **state)
{
    (void)state;
    DYNAMODB("{\"S\":\"x\"}", AFFINITY_TEXT, NULL, "text x");
    DYNAMODB("{\"N\":\"12\"}", AFFINITY_INTEGER, NULL, "integer 12");
    DYNAMODB("{\"N\":\"0.1\"}", AFFINITY_REAL, NULL, "real 0.10000000000000001");
    DYNAMODB("{\"N\":\"12345678901234567890123456789012345678\"}", AFFINITY_TEXT, NULL,
             "text 12345678901234567890123456789012345678");
    DYNAMODB("{\"N\":\"x\"}", AFFINITY_TEXT, NULL, "refused: an attribute of type N");
    DYNAMODB("{\"B\":\"AQI=\"}", AFFINITY_BLOB, NULL, "blob 0102");
    DYNAMODB("{\"BOOL\":true}", AFFINITY_INTEGER, NULL, "integer 1");
    DYNAMODB("{\"NULL\":true}", AFFINITY_INTEGER, NULL, "null");
    DYNAMODB("{\"M\":{\"a\":{\"L\":[{\"N\":\"1.50\"},{\"S\":\"x\"},{\"NULL\":true}]}}}",
             AFFINITY_TEXT, NULL, "text {\"a\":[1.5,\"x\",null]}");
    DYNAMODB("{\"SS\":[\"b\",\"a\"]}", AFFINITY_TEXT, NULL, "text [\"b\",\"a\"]");
    DYNAMODB("{\"NS\":[\"1\",\"2\"]}", AFFINITY_TEXT, NULL, "text [1,2]");
    DYNAMODB("{\"S\":\"x\",\"N\":\"1\"}", AFFINITY_TEXT, NULL,
             "refused: a value has more than one");
    DYNAMODB("\"x\"", AFFINITY_TEXT, NULL, "refused: a value has no type");
}

static void test_conversions(void **state)
{
    (void)state;
    PLAIN("\"yes\"", AFFINITY_INTEGER, "bool", "integer 1");
    PLAIN("false", AFFINITY_TEXT, "bool", "integer 0");
    PLAIN("\"perhaps\"", AFFINITY_INTEGER, "bool", "refused: ");
    PLAIN("1672531200", AFFINITY_TEXT, "timestamp", "text 2023-01-01T00:00:00.000Z");
    PLAIN("\"2023-01-01 01:00+01:00\"", AFFINITY_TEXT, "timestamp",
          "text 2023-01-01T00:00:00.000Z");
    EXTENDED("{\"$date\":1672531200999}", AFFINITY_INTEGER, "epoch", "integer 1672531200");
    PLAIN("\"2023-01-01\"", AFFINITY_INTEGER, "epoch", "integer 1672531200");
    PLAIN("\"x\"", AFFINITY_TEXT, "json", "text \"x\"");
    PLAIN("1.50", AFFINITY_TEXT, "json", "text 1.5");
    PLAIN("[1]", AFFINITY_TEXT, "json", "text [1]");
    PLAIN("true", AFFINITY_TEXT, "json", "text true");
    PLAIN("null", AFFINITY_TEXT, "json", "null");
    PLAIN("7", AFFINITY_TEXT, "string", "text 7");
    PLAIN("\"12.50\"", AFFINITY_REAL, "number", "real 12.5");
    PLAIN("\"12,50\"", AFFINITY_REAL, "number", "refused: ");
    PLAIN("1", AFFINITY_TEXT, "uuid5(example.org:users)",
          "text 2cb094c2-90f4-500c-a4a3-af56fb7427f9");
    PLAIN("\"ab\"", AFFINITY_BLOB, "binary", "blob 6162");
    PLAIN("\"AQI=\"", AFFINITY_BLOB, "base64", "blob 0102");
    PLAIN("\"AQ\"", AFFINITY_BLOB, "base64", "refused: it is not base64");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_numbers_lose_nothing),
        cmocka_unit_test(test_numbers_as_text_lose_nothing),
        cmocka_unit_test(test_extended),
        cmocka_unit_test(test_dynamodb),
        cmocka_unit_test(test_conversions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
