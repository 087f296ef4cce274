/* Times, command lines and the replies of credential sources, read. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "aws/credentials_json.h"
#include "aws/shell_words.h"

static void times_are_read(void **state)
{
    static const struct {
        const char *text;
        int64_t at; /* 0: refused */
    } cases[] = {
        {"2026-01-01T00:00:00Z", 1767225600},
        {"2026-01-01T00:00:00.999Z", 1767225600},
        {"2026-01-01T00:00:00+00:00", 1767225600},
        {"2026-01-01T01:00:00+01:00", 1767225600},
        {"2025-12-31T23:30:00.5-00:30", 1767225600},
        {"9999-12-31T23:59:59Z", INT64_C(253402300799)},
        {"9999-12-31T23:59:59-00:01", 0},
        {"1970-01-01T00:00:00Z", 0},
        {"2026-01-01T00:00:00", 0},
        {"2026-01-01T00:00:00+1:00", 0},
        {"2026-01-01T00:00:00+01:00x", 0},
        {"2026-01-01T00:00:00+01:60", 0},
        {"2026-01-01 00:00:00Z", 0},
        {" 2026-01-01T00:00:00Z", 0},
        {"2026-13-01T00:00:00Z", 0},
        {"", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t at = 0;
        int r = credentials_parse_time(cases[i].text, &at);
        if (r != (cases[i].at ? 0 : -EINVAL) || at != cases[i].at)
            fail_msg("%s: %d, %lld", cases[i].text, r, (long long)at);
    }
}

static void times_are_written(void **state)
{
    char out[21];

    (void)state;
    credentials_format_time(1767225600, out);
    assert_string_equal(out, "2026-01-01T00:00:00Z");
    credentials_format_time(INT64_MAX, out);
    assert_string_equal(out, "at no known time");
}

static void command_lines_are_taken_apart(void **state)
{
    static const struct {
        const char *text;
        const char *words[5];
    } cases[] = {
        {"  /a/b  c\td\n", {"/a/b", "c", "d"}},
        {"a 'b c' \"d e\"f", {"a", "b c", "d ef"}},
        {"a\\ b '\\' \"\\\"\\\\\\n\"", {"a b", "\\", "\"\\\\n"}},
        {"a '' \"\"", {"a", "", ""}},
        {"$HOME `x` *", {"$HOME", "`x`", "*"}},
        {"", {NULL}},
    };
    static const char *const bad[] = {"'a", "\"a", "a\\", "\"a\\"};
    struct shell_words w = {0};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(shell_words_split(cases[i].text, &w), 0);
        size_t n = 0;
        for (; cases[i].words[n]; n++) {
            assert_true(n < w.count);
            assert_string_equal(w.words[n], cases[i].words[n]);
        }
        assert_int_equal(w.count, n);
        shell_words_free(&w);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(shell_words_split(bad[i], &w), -EINVAL);
}

static void sts_wraps_what_it_gives(void **state)
{
    static const char text[] =
        "{\"AssumeRoleResponse\":{\"AssumeRoleResult\":{\"Credentials\":{\"AccessKeyId\":\"A\","
        "\"SecretAccessKey\":\"s\",\"SessionToken\":\"t\",\"Expiration\":1.767225600E9}}}}";
    struct credentials c = {0};
    struct err err = {""};

    (void)state;
    if (credentials_json(CREDENTIALS_STS, text, sizeof text - 1, "here", &c, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(c.session_token, "t");
    assert_string_equal(c.provider, "here");
    assert_true(c.expires == 1767225600);
    credentials_clear(&c);
    assert_int_equal(credentials_json(CREDENTIALS_IMDS, text, sizeof text - 1, "x", &c, &err),
                     -EINVAL);
    assert_null(c.access_key_id);
}

static void complaints_are_one_printable_line(void **state)
{
    static const char text[] = "{\"code\":\"No\\nSuch\",\"message\":\"a\\u0007b \\u00e9\"}";
    struct credentials_complaint said;

    (void)state;
    credentials_json_complaint(text, sizeof text - 1, &said);
    assert_string_equal(said.code, "No Such");
    assert_string_equal(said.message, "a b   ");
    credentials_json_complaint("[1]", 3, &said);
    assert_string_equal(said.code, "");
    credentials_json_complaint("{\"Error\":{\"Code\":7}}", 20, &said);
    assert_string_equal(said.code, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_read),
        cmocka_unit_test(times_are_written),
        cmocka_unit_test(command_lines_are_taken_apart),
        cmocka_unit_test(sts_wraps_what_it_gives),
        cmocka_unit_test(complaints_are_one_printable_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
