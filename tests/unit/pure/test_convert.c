/* Conversions: what each makes of good values and of those at the edge, and what it refuses. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mapping/convert_time.h"
#include "mapping/uuid5.h"
#include "plan_fixture.h"

struct accepted {
    const char *conversion;
    enum affinity affinity;
    struct value value;
    const char *attribute; /* without its opening brace */
};

struct rejected {
    const char *conversion;
    enum affinity affinity;
    struct value value;
    const char *code, *part;
};

#define INTEGER_OF(n)                                                                              \
    {                                                                                              \
        .kind = VALUE_INTEGER, .integer = (n)                                                      \
    }
#define REAL_OF(d)                                                                                 \
    {                                                                                              \
        .kind = VALUE_REAL, .real = (d)                                                            \
    }
#define TEXT_OF(s)                                                                                 \
    {                                                                                              \
        .kind = VALUE_TEXT, .bytes = (s), .len = sizeof(s) - 1                                     \
    }
#define BLOB_OF(s)                                                                                 \
    {                                                                                              \
        .kind = VALUE_BLOB, .bytes = (s), .len = sizeof(s) - 1                                     \
    }

static void parsed(const char *text, struct conversion *c)
{
    struct err err = {0};

    if (conversion_parse(text, c, &err) != 0)
        fail_msg("%s: %s", text, err.text);
}

static void all_accepted(const struct accepted *a, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        _cleanup_buf_ struct buf out = {0};
        struct item_fault f = {0};
        struct conversion c;
        size_t size = 0;
        parsed(a[i].conversion, &c);
        if (convert_attribute(&c, a[i].affinity, &a[i].value, &out, &size, &f) != 0)
            fail_msg("%s, %s: refused: %s", a[i].conversion, a[i].attribute, f.text);
        assert_string_equal(out.data, a[i].attribute);
        conversion_clear(&c);
    }
}

static void all_rejected(const struct rejected *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        _cleanup_buf_ struct buf out = {0};
        struct item_fault f = {0};
        struct conversion c;
        size_t size = 0;
        parsed(r[i].conversion, &c);
        if (convert_attribute(&c, r[i].affinity, &r[i].value, &out, &size, &f) != -EINVAL)
            fail_msg("%s took what should be %s: %s", r[i].conversion, r[i].code, out.data);
        assert_string_equal(f.code, r[i].code);
        if (!strstr(f.text, r[i].part))
            fail_msg("\"%s\" does not say \"%s\"", f.text, r[i].part);
        conversion_clear(&c);
    }
}

#define ACCEPTED(list) all_accepted(list, sizeof(list) / sizeof(list)[0])
#define REJECTED(list) all_rejected(list, sizeof(list) / sizeof(list)[0])

static void test_bool(void **state)
{
    (void)state;
    static const struct accepted good[] = {
        {"bool", AFFINITY_NUMERIC, INTEGER_OF(1), "\"BOOL\":true}"},
        {"bool", AFFINITY_INTEGER, INTEGER_OF(0), "\"BOOL\":false}"},
        {"bool", AFFINITY_REAL, REAL_OF(1.0), "\"BOOL\":true}"},
        {"bool", AFFINITY_TEXT, TEXT_OF("True"), "\"BOOL\":true}"},
        {"bool", AFFINITY_TEXT, TEXT_OF("n"), "\"BOOL\":false}"},
        {"bool", AFFINITY_NONE, TEXT_OF("off"), "\"BOOL\":false}"},
    };
    static const struct rejected bad[] = {
        {"bool", AFFINITY_INTEGER, INTEGER_OF(2), "not_a_bool", "INTEGER"},
        {"bool", AFFINITY_REAL, REAL_OF(0.5), "not_a_bool", "REAL"},
        {"bool", AFFINITY_NUMERIC, TEXT_OF("true"), "not_a_bool", "TEXT"},
        {"bool", AFFINITY_TEXT, TEXT_OF(""), "not_a_bool", "TEXT"},
        {"bool", AFFINITY_BLOB, BLOB_OF("1"), "not_a_bool", "BLOB"},
    };

    ACCEPTED(good);
    REJECTED(bad);
}

static void test_timestamp(void **state)
{
    (void)state;
    enum affinity i = AFFINITY_INTEGER, r = AFFINITY_REAL, t = AFFINITY_TEXT;
    const struct accepted good[] = {
        {"timestamp", i, INTEGER_OF(0), "\"S\":\"1970-01-01T00:00:00.000Z\"}"},
        {"timestamp", i, INTEGER_OF(1700000000), "\"S\":\"2023-11-14T22:13:20.000Z\"}"},
        {"timestamp", i, INTEGER_OF(1700000000123), "\"S\":\"2023-11-14T22:13:20.123Z\"}"},
        {"timestamp", i, INTEGER_OF(99999999999), "\"S\":\"5138-11-16T09:46:39.000Z\"}"},
        {"timestamp", i, INTEGER_OF(100000000000), "\"S\":\"1973-03-03T09:46:40.000Z\"}"},
        {"timestamp", i, INTEGER_OF(-1), "\"S\":\"1969-12-31T23:59:59.000Z\"}"},
        {"timestamp", r, REAL_OF(2440587.5), "\"S\":\"1970-01-01T00:00:00.000Z\"}"},
        {"timestamp", r, REAL_OF(2460310.75), "\"S\":\"2024-01-01T06:00:00.000Z\"}"},
        {"timestamp", r, REAL_OF(1700000000.5), "\"S\":\"2023-11-14T22:13:20.500Z\"}"},
        {"timestamp", t, TEXT_OF("2024-02-29"), "\"S\":\"2024-02-29T00:00:00.000Z\"}"},
        {"timestamp", t, TEXT_OF("2024-02-29 12:34"), "\"S\":\"2024-02-29T12:34:00.000Z\"}"},
        {"timestamp", t, TEXT_OF("2024-02-29T12:34:56.7Z"), "\"S\":\"2024-02-29T12:34:56.700Z\"}"},
        {"timestamp", t, TEXT_OF("2024-01-01 00:30:00+02:00"),
         "\"S\":\"2023-12-31T22:30:00.000Z\"}"},
        {"timestamp", t, TEXT_OF("2023-12-31 23:59:59.9995"),
         "\"S\":\"2024-01-01T00:00:00.000Z\"}"},
        {"timestamp", t, TEXT_OF("0000-01-01"), "\"S\":\"0000-01-01T00:00:00.000Z\"}"},
        {"timestamp", t, TEXT_OF("9999-12-31 23:59:59.999"), "\"S\":\"9999-12-31T23:59:59.999Z\"}"},
        {"timestamp(unix)", i, INTEGER_OF(100000000000), "\"S\":\"5138-11-16T09:46:40.000Z\"}"},
        {"timestamp(unix)", r, REAL_OF(2460310.0), "\"S\":\"1970-01-29T11:25:10.000Z\"}"},
        {"timestamp(unix)", t, TEXT_OF("1700000000.25"), "\"S\":\"2023-11-14T22:13:20.250Z\"}"},
        {"timestamp(ms)", i, INTEGER_OF(5), "\"S\":\"1970-01-01T00:00:00.005Z\"}"},
        {"timestamp(julian)", i, INTEGER_OF(2460311), "\"S\":\"2024-01-01T12:00:00.000Z\"}"},
        {"timestamp(text)", t, TEXT_OF("2024-02-29 01:02:03"),
         "\"S\":\"2024-02-29T01:02:03.000Z\"}"},
        {"epoch", i, INTEGER_OF(1700000000), "\"N\":\"1700000000\"}"},
        {"epoch", i, INTEGER_OF(1700000000999), "\"N\":\"1700000000\"}"},
        {"epoch", t, TEXT_OF("1969-12-31 23:59:58.5"), "\"N\":\"-2\"}"},
        {"epoch(ms)", i, INTEGER_OF(-1), "\"N\":\"-1\"}"},
    };
    const struct rejected bad[] = {
        {"timestamp", t, TEXT_OF("2023-02-29"), "not_a_time", "TEXT"},
        {"timestamp", t, TEXT_OF("2024-01-01 24:00:00"), "not_a_time", "TEXT"},
        {"timestamp", t, TEXT_OF("12:00"), "not_a_time", "TEXT"},
        {"timestamp", t, TEXT_OF("now"), "not_a_time", "TEXT"},
        {"timestamp", t, TEXT_OF(""), "not_a_time", "TEXT"},
        {"timestamp", t, TEXT_OF("2024-01-01 00:00:00 CET"), "not_a_time", "TEXT"},
        {"timestamp", t, TEXT_OF("2024-01-01 00:00:00."), "not_a_time", "TEXT"},
        {"timestamp", t, TEXT_OF("1700000000"), "not_a_time", "TEXT"},
        {"timestamp", t, TEXT_OF("0000-01-01 00:00+01:00"), "not_a_time", "TEXT"},
        {"timestamp", i, INTEGER_OF(INT64_MAX), "not_a_time", "INTEGER"},
        {"timestamp", r, REAL_OF((double)INFINITY), "not_a_time", "REAL"},
        {"timestamp", i, BLOB_OF("x"), "not_a_time", "BLOB"},
        {"timestamp(unix)", i, INTEGER_OF(INT64_MIN), "not_a_time", "INTEGER"},
        {"timestamp(unix)", t, TEXT_OF("2024-01-01"), "not_a_time", "not a number"},
        {"timestamp(julian)", r, REAL_OF(5373484.5), "not_a_time", "REAL"},
        {"timestamp(julian)", r, REAL_OF(-1.0), "not_a_time", "REAL"},
        {"timestamp(text)", i, INTEGER_OF(1), "not_a_time", "INTEGER"},
        {"epoch", t, TEXT_OF("tomorrow"), "not_a_time", "TEXT"},
    };

    ACCEPTED(good);
    REJECTED(bad);
}

static void test_json(void **state)
{
    (void)state;
    enum affinity t = AFFINITY_TEXT;
    const struct accepted good[] = {
        {"json", t, TEXT_OF(" { \"a\" : [ 1 , \"x\" ] , \"b\" : null } "),
         "\"M\":{\"a\":{\"L\":[{\"N\":\"1\"},{\"S\":\"x\"}]},\"b\":{\"NULL\":true}}}"},
        {"json", t, TEXT_OF("[]"), "\"L\":[]}"},
        {"json", t, TEXT_OF("{}"), "\"M\":{}}"},
        {"json", t, TEXT_OF("true"), "\"BOOL\":true}"},
        {"json", t, TEXT_OF("\"\""), "\"S\":\"\"}"},
        {"json", t, TEXT_OF("12345678901234567890.123456789012345678"),
         "\"N\":\"12345678901234567890.123456789012345678\"}"},
        {"json", t, TEXT_OF("[1.10,-0,1E5]"),
         "\"L\":[{\"N\":\"1.10\"},{\"N\":\"-0\"},{\"N\":\"1E5\"}]}"},
        {"json", t, TEXT_OF("\"\\u00fc\\ud83d\\ude00\\n\""), "\"S\":\"ü😀\\u000a\"}"},
        {"json", AFFINITY_NUMERIC, INTEGER_OF(5), "\"N\":\"5\"}"},
        {"json", AFFINITY_NUMERIC, REAL_OF(1.5), "\"N\":\"1.5\"}"},
    };
    const struct rejected bad[] = {
        {"json", t, TEXT_OF(""), "not_json", "missing"},
        {"json", t, TEXT_OF("{"), "not_json", "key"},
        {"json", t, TEXT_OF("[1,]"), "not_json", "not one"},
        {"json", t, TEXT_OF("[1 2]"), "not_json", "comma"},
        {"json", t, TEXT_OF("{\"a\" 1}"), "not_json", "colon"},
        {"json", t, TEXT_OF("{\"a\":1}x"), "not_json", "behind"},
        {"json", t, TEXT_OF("{\"a\":1,\"b\":2,\"a\":1}"), "not_json", "twice"},
        {"json", t, TEXT_OF("{\"\\u0061\":1,\"a\":2}"), "not_json", "twice"},
        {"json", t, TEXT_OF("{\"\":1}"), "not_json", "empty"},
        {"json", t, TEXT_OF("{\"\\u0000\":1}"), "not_json", "U+0000"},
        {"json", t, TEXT_OF("\"\\ud800\""), "not_json", "surrogate"},
        {"json", t, TEXT_OF("\"\\ud800\\u0041\""), "not_json", "surrogate"},
        {"json", t, TEXT_OF("\"\\x\""), "not_json", "escape"},
        {"json", t, TEXT_OF("\"a\nb\""), "not_json", "control"},
        {"json", t, TEXT_OF("\"abc"), "not_json", "end"},
        {"json", t, TEXT_OF("01"), "not_json", "not one"},
        {"json", t, TEXT_OF("1."), "not_json", "point"},
        {"json", t, TEXT_OF("1e"), "not_json", "exponent"},
        {"json", t, TEXT_OF("+1"), "not_json", "not one"},
        {"json", t, TEXT_OF("NaN"), "not_json", "not one"},
        {"json", t, TEXT_OF("1e126"), "number_range", "JSON"},
        {"json", t, TEXT_OF("1e-131"), "number_range", "JSON"},
        {"json", t, TEXT_OF("123456789012345678901234567890123456789"), "number_range", "38"},
        {"json", t, TEXT_OF("\"\xff\""), "invalid_utf8", "UTF-8"},
        {"json", t, BLOB_OF("{}"), "not_json", "BLOB"},
        {"json", AFFINITY_NUMERIC, REAL_OF((double)INFINITY), "not_a_number", "infinite"},
    };

    ACCEPTED(good);
    REJECTED(bad);
}

/* The attribute is a level: 31 within it pass, 32 do not. */
static void test_json_depth(void **state)
{
    (void)state;
    for (size_t depth = 31; depth <= 32; depth++) {
        _cleanup_buf_ struct buf text = {0}, out = {0};
        struct item_fault f = {0};
        struct conversion c;
        size_t size = 0;
        for (size_t i = 0; i < depth; i++)
            buf_putc(&text, '[');
        buf_putc(&text, '1');
        for (size_t i = 0; i < depth; i++)
            buf_putc(&text, ']');
        struct value v = {.kind = VALUE_TEXT, .bytes = text.data, .len = text.len};
        parsed("json", &c);
        int rc = convert_attribute(&c, AFFINITY_TEXT, &v, &out, &size, &f);
        assert_int_equal(rc, depth == 31 ? 0 : -EINVAL);
        if (rc < 0)
            assert_non_null(strstr(f.text, "deeper"));
        else
            assert_int_equal(size, 31 * 4 + 2);
        conversion_clear(&c);
    }
}

static void test_string_number_binary(void **state)
{
    (void)state;
    enum affinity i = AFFINITY_INTEGER, r = AFFINITY_REAL, t = AFFINITY_TEXT;
    const struct accepted good[] = {
        {"string", i, INTEGER_OF(INT64_MIN), "\"S\":\"-9223372036854775808\"}"},
        {"string", r, REAL_OF(3.0), "\"S\":\"3.0\"}"},
        {"string", r, REAL_OF(-0.0), "\"S\":\"-0.0\"}"},
        {"string", r, REAL_OF((double)INFINITY), "\"S\":\"Infinity\"}"},
        {"string", r, REAL_OF((double)-INFINITY), "\"S\":\"-Infinity\"}"},
        {"string", r, REAL_OF(1e300), "\"S\":\"1e+300\"}"},
        {"string", t, TEXT_OF(""), "\"S\":\"\"}"},
        {"string", t, TEXT_OF("Infinity"), "\"S\":\"Infinity\"}"},
        {"number", t, TEXT_OF("12.50"), "\"N\":\"12.5\"}"},
        {"number", t, TEXT_OF("+007"), "\"N\":\"7\"}"},
        {"number", t, TEXT_OF("-.5e1"), "\"N\":\"-5\"}"},
        {"number", t, TEXT_OF("0.000"), "\"N\":\"0\"}"},
        {"number", t, TEXT_OF("1E100"), "\"N\":\"1e+100\"}"},
        {"number", t, TEXT_OF("1.25e-60"), "\"N\":\"1.25e-60\"}"},
        {"number", t, TEXT_OF("0.10000000000000000000000000000000000001"),
         "\"N\":\"0.10000000000000000000000000000000000001\"}"},
        {"number", i, INTEGER_OF(7), "\"N\":\"7\"}"},
        {"number", r, REAL_OF(0.1), "\"N\":\"0.1\"}"},
        {"binary", t, TEXT_OF("\xff\x00"), "\"B\":\"/wA=\"}"},
        {"binary", AFFINITY_BLOB, BLOB_OF("ab"), "\"B\":\"YWI=\"}"},
    };
    const struct rejected bad[] = {
        {"string", t, BLOB_OF("x"), "not_text", "BLOB"},
        {"string", t, TEXT_OF("\xff"), "invalid_utf8", "UTF-8"},
        {"string", r, TEXT_OF("Infinity"), "not_text", "TEXT"},
        {"number", t, TEXT_OF(""), "not_a_number", "TEXT"},
        {"number", t, TEXT_OF("12,5"), "not_a_number", "TEXT"},
        {"number", t, TEXT_OF(" 1"), "not_a_number", "TEXT"},
        {"number", t, TEXT_OF("0x10"), "not_a_number", "TEXT"},
        {"number", t, TEXT_OF("NaN"), "not_a_number", "TEXT"},
        {"number", t, TEXT_OF("1e126"), "number_range", "38"},
        {"number", t, TEXT_OF("1.23456789012345678901234567890123456789"), "number_range", "38"},
        {"number", t, BLOB_OF("1"), "not_a_number", "BLOB"},
        {"number", r, REAL_OF((double)INFINITY), "not_a_number", "infinite"},
        {"number", r, REAL_OF(1e126), "number_range", "range"},
        {"binary", i, INTEGER_OF(1), "not_binary", "INTEGER"},
    };

    ACCEPTED(good);
    REJECTED(bad);
}

#define USERS_1 "2cb094c2-90f4-500c-a4a3-af56fb7427f9"
#define X500    "e4f10845-fe4e-559d-a306-5521e166760e"
#define URL_1_5 "ae6ff9ff-d547-5a98-892b-6f17eef534e2"

/* python3 -c 'import uuid; print(uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_DNS, "example.org"),
 * "users:1"))' */
static void test_uuid5(void **state)
{
    (void)state;
    enum affinity i = AFFINITY_INTEGER, t = AFFINITY_TEXT;
    const struct accepted good[] = {
        {"uuid5(dns)", t, TEXT_OF("www.example.com"),
         "\"S\":\"2ed6657d-e927-568b-95e1-2665a8aea6a2\"}"},
        {"uuid5(6ba7b810-9dad-11d1-80b4-00c04fd430c8)", t, TEXT_OF("www.example.com"),
         "\"S\":\"2ed6657d-e927-568b-95e1-2665a8aea6a2\"}"},
        {"uuid5(example.org:users)", i, INTEGER_OF(1), "\"S\":\"" USERS_1 "\"}"},
        {"uuid5(example.org:users)", t, TEXT_OF("1"), "\"S\":\"" USERS_1 "\"}"},
        {"uuid5(example.org:users)", AFFINITY_REAL, REAL_OF(1.0), "\"S\":\"" USERS_1 "\"}"},
        {"uuid5(x500:a:b)", AFFINITY_BLOB, BLOB_OF("\x0a\xff"), "\"S\":\"" X500 "\"}"},
        {"uuid5(url)", AFFINITY_REAL, REAL_OF(1.5), "\"S\":\"" URL_1_5 "\"}"},
    };
    const struct rejected bad[] = {
        {"uuid5(dns)", i, BLOB_OF("1"), "not_for_uuid", "BLOB"},
    };

    ACCEPTED(good);
    REJECTED(bad);
}

static void test_what_is_no_conversion(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"boolean", "no conversion"},   {"bool(x)", "takes no parentheses"},
        {"timestamp(iso)", "unix, ms"}, {"timestamp(", "parenthesis"},
        {"uuid5", "namespace"},         {"uuid5()", "namespace"},
        {"uuid5(:users)", "namespace"}, {"uuid5(dns:)", "namespace"},
        {"", "no conversion"},          {"JSON", "no conversion"},
        {"epoch()", "unix, ms"},        {"json x", "no conversion"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct conversion c = {.form = TIME_MS};
        struct err err = {0};
        if (conversion_parse(bad[i][0], &c, &err) != -EINVAL)
            fail_msg("%s was taken", bad[i][0]);
        assert_int_equal(c.form, TIME_MS); /* untouched */
        if (!strstr(err.text, bad[i][1]))
            fail_msg("\"%s\" does not say \"%s\"", err.text, bad[i][1]);
    }
}

/* Every day from the year 0 to 9999, by counting. */
static void test_every_day(void **state)
{
    (void)state;
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t day = -719528;

    for (int y = 0; y < 10000; y++)
        for (int m = 1; m <= 12; m++) {
            int last = days[m - 1] + (m == 2 && (y % 400 == 0 || (y % 4 == 0 && y % 100 != 0)));
            for (int d = 1; d <= last; d += d == 1 ? last - 1 : 1) {
                _cleanup_buf_ struct buf out = {0};
                char text[48];
                int64_t ms = 0, want = (day + d - 1) * 86400000 + 1;
                snprintf(text, sizeof text, "%04d-%02d-%02dT00:00:00.001Z", y, m, d);
                assert_int_equal(time_parse(text, strlen(text), &ms), 0);
                assert_int_equal(ms, want);
                time_print(&out, want);
                assert_string_equal(out.data, text);
            }
            day += last;
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bool),
        cmocka_unit_test(test_timestamp),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_json_depth),
        cmocka_unit_test(test_string_number_binary),
        cmocka_unit_test(test_uuid5),
        cmocka_unit_test(test_what_is_no_conversion),
        cmocka_unit_test(test_every_day),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
