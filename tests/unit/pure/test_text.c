/* UTF-8, JSON strings, base64 and hex, each against a second definition. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/rng.h"
#include "base/text.h"

/* --- UTF-8 ------------------------------------------------------------------------------------ */

/* Write a code point's one encoding; its length. */
static size_t encode(uint32_t c, unsigned char out[4])
{
    if (c < 0x80) {
        out[0] = (unsigned char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (unsigned char)(0x80 | (c & 0x3f));
    out[0] = (unsigned char)(lead[n] | c);
    return n;
}

/* Valid means: what the bytes say, written again, is the bytes. */
static bool oracle(const unsigned char *p, size_t n)
{
    while (n) {
        unsigned char again[4];
        size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc0 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
        uint32_t c = p[0];
        if (!len || len > n || p[0] > 0xf7)
            return false;
        if (len > 1)
            c &= 0x7fu >> len;
        for (size_t i = 1; i < len; i++)
            c = c << 6 | (p[i] & 0x3f);
        if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) || encode(c, again) != len ||
            memcmp(again, p, len) != 0)
            return false;
        p += len;
        n -= len;
    }
    return true;
}

static void same_verdict(const unsigned char *p, size_t n)
{
    if (utf8_valid(p, n) != oracle(p, n))
        fail_msg("%zu bytes %02x %02x %02x %02x", n, p[0], n > 1 ? p[1] : 0, n > 2 ? p[2] : 0,
                 n > 3 ? p[3] : 0);
}

static void test_utf8_of_one_to_three_bytes_all_of_them(void **state)
{
    unsigned char p[3];

    (void)state;
    for (uint32_t v = 0; v < 1u << 24; v++) {
        p[0] = (unsigned char)(v >> 16);
        p[1] = (unsigned char)(v >> 8);
        p[2] = (unsigned char)v;
        same_verdict(p, 3);
        if (p[2] == 0)
            same_verdict(p, 2);
        if (p[1] == 0 && p[2] == 0)
            same_verdict(p, 1);
    }
    assert_true(utf8_valid(NULL, 0));
}

static void test_utf8_of_four_bytes_at_every_border(void **state)
{
    static const unsigned char borders[] = {0x00, 0x20, 0x7f, 0x80, 0x81, 0x8f, 0x90, 0x9f,
                                            0xa0, 0xbe, 0xbf, 0xc0, 0xc2, 0xe0, 0xf0, 0xff};
    unsigned char p[4];

    (void)state;
    for (unsigned first = 0; first < 256; first++)
        for (unsigned second = 0; second < 256; second++)
            for (size_t i = 0; i < sizeof borders; i++)
                for (size_t j = 0; j < sizeof borders; j++) {
                    p[0] = (unsigned char)first;
                    p[1] = (unsigned char)second;
                    p[2] = borders[i];
                    p[3] = borders[j];
                    same_verdict(p, 4);
                }
}

static void test_utf8_every_code_point_inside_ascii_at_every_place(void **state)
{
    unsigned char p[32];

    (void)state;
    for (uint32_t c = 0; c <= 0x10ffff; c += c < 0x900 ? 1 : 97) {
        size_t at = c % 20;
        memset(p, 'a', sizeof p);
        size_t n = encode(c, p + at);
        bool surrogate = c >= 0xd800 && c <= 0xdfff;
        assert_int_equal(utf8_valid(p, sizeof p), !surrogate);
        for (size_t cut = 1; cut < n; cut++)
            assert_false(utf8_valid(p, at + cut)); /* the end is missing */
    }
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void parses_to(const struct buf *json, const char *want, size_t n)
{
    json_error_t error;
    json_t *v = json_loadb(json->data, json->len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);

    if (!v)
        fail_msg("%s: %s", error.text, json->data);
    assert_int_equal(json_string_length(v), n);
    assert_memory_equal(json_string_value(v), want, n);
    json_decref(v);
}

static void test_json_every_character_at_every_place_reads_back(void **state)
{
    char text[32];

    (void)state;
    for (int c = 0; c < 0x80; c++)
        for (size_t at = 0; at < 20; at++) {
            _cleanup_buf_ struct buf json = {0}, lossy = {0};
            memset(text, 'a', sizeof text);
            memcpy(text + 20, "\xf0\x9f\x98\x80", 4);
            text[at] = (char)c;
            json_append_string(&json, text, 26);
            parses_to(&json, text, 26);
            json_append_string_lossy(&lossy, text, 26);
            assert_string_equal(lossy.data, json.data);
        }
}

static void test_json_random_texts_read_back(void **state)
{
    struct rng r = {11};

    (void)state;
    for (int i = 0; i < 20000; i++) {
        _cleanup_buf_ struct buf text = {0}, json = {0};
        size_t n = (size_t)rng_upto(&r, 40);
        buf_puts(&text, "");
        while (n--) {
            unsigned char one[4];
            uint32_t c = (uint32_t)rng_upto(&r, rng_upto(&r, 3) ? 0x7f : 0xd7ff);
            buf_append(&text, one, encode(c, one));
        }
        json_append_string(&json, text.data, text.len);
        parses_to(&json, text.data, text.len);
    }
}

/* In memory of exactly its length, so that the sanitizer sees a byte too many. */
static void checked_and_written_as_apart(const char *text, size_t n)
{
    _cleanup_free_ char *s = malloc(n ? n : 1);
    _cleanup_buf_ struct buf at_once = {0}, apart = {0};

    assert_non_null(s);
    memcpy(s, text, n);
    buf_lit(&at_once, "before");
    buf_lit(&apart, "before");
    bool valid = utf8_valid(s, n);
    assert_int_equal(json_append_utf8(&at_once, s, n), valid);
    if (valid)
        json_append_string(&apart, s, n);
    assert_true(buf_ok(&at_once));
    assert_int_equal(at_once.len, apart.len);
    assert_memory_equal(at_once.data, apart.data, apart.len + 1);
}

static void test_json_checked_and_written_at_once_is_as_apart(void **state)
{
    static const char other[] = "\"\\\n\x1f\x7f\x80\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xff\0";
    struct rng r = {11};
    char text[100];

    (void)state;
    /* Any byte at any place of any length, in plain text. */
    for (size_t n = 0; n <= 50; n++) {
        memset(text, 'a', sizeof text);
        checked_and_written_as_apart(text, n);
        for (size_t at = 0; at < n; at++)
            for (int c = 0; c < 256; c++) {
                text[at] = (char)c;
                checked_and_written_as_apart(text, n);
                text[at] = 'a';
            }
    }
    for (int i = 0; i < 100000; i++) {
        size_t n = (size_t)rng_upto(&r, sizeof text), odd = (size_t)rng_upto(&r, 3);
        for (size_t k = 0; k < n; k++)
            text[k] = (char)(' ' + rng_upto(&r, 94));
        for (size_t k = 0; n && k < odd; k++) {
            size_t at = (size_t)rng_upto(&r, n - 1), from = (size_t)rng_upto(&r, sizeof other - 1);
            size_t most = sizeof other - from < n - at ? sizeof other - from : n - at;
            memcpy(text + at, other + from, 1 + (size_t)rng_upto(&r, most - 1));
        }
        checked_and_written_as_apart(text, n);
    }
    checked_and_written_as_apart("", 0);
    _cleanup_buf_ struct buf b = {0};
    assert_true(json_append_utf8(&b, NULL, 0));
    assert_string_equal(b.data, "\"\"");
}

static void test_json_of_nothing_is_an_empty_string(void **state)
{
    _cleanup_buf_ struct buf json = {0};

    (void)state;
    json_append_string(&json, NULL, 0);
    json_append_string_lossy(&json, NULL, 0);
    assert_string_equal(json.data, "\"\"\"\"");
}

static void test_json_lossy_replaces_what_is_not_utf8(void **state)
{
    static const char text[] = "a\xff\xc3(\xe2\x82"
                               "b\xc3\xa9\n";
    _cleanup_buf_ struct buf json = {0};
    struct rng r = {5};

    (void)state;
    json_append_string_lossy(&json, text, sizeof text - 1);
    assert_string_equal(json.data, "\"a\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd"
                                   "b\xc3\xa9\\u000a\"");
    for (int i = 0; i < 20000; i++) {
        char noise[24];
        size_t n = (size_t)rng_upto(&r, sizeof noise);
        for (size_t k = 0; k < n; k++)
            noise[k] = (char)rng_next(&r);
        buf_clear(&json);
        json_append_string_lossy(&json, noise, n);
        json_t *v = json_loadb(json.data, json.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_non_null(v);
        json_decref(v);
    }
}

/* --- copies ----------------------------------------------------------------------------------- */

static void test_a_copy_is_cut_between_characters(void **state)
{
    char out[8];

    (void)state;
    text_copy(out, sizeof out, "short");
    assert_string_equal(out, "short");
    text_copy(out, sizeof out, "1234567");
    assert_string_equal(out, "1234567");
    text_copy(out, sizeof out, "12345678");
    assert_string_equal(out, "1234567");
    text_copy(out, sizeof out, "12345\xe2\x82\xac");
    assert_string_equal(out, "12345");
    text_copy(out, sizeof out, "1234\xe2\x82\xac");
    assert_string_equal(out, "1234\xe2\x82\xac");
    text_copy(out, sizeof out, "1234\xe2\x82\xac\xe2\x82\xac");
    assert_string_equal(out, "1234\xe2\x82\xac");
}

/* --- base64 and hex --------------------------------------------------------------------------- */

static void test_base64_of_the_rfc(void **state)
{
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"},
                                           {"\xff\xef\xbf", "/++/"}};

    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        _cleanup_buf_ struct buf out = {0}, back = {0};
        buf_puts(&back, "");
        base64_append(&out, pairs[i][0], strlen(pairs[i][0]));
        assert_string_equal(out.data, pairs[i][1]);
        assert_int_equal(base64_decode(&back, out.data, out.len), 0);
        assert_string_equal(back.data, pairs[i][0]);
    }
}

static void test_base64_and_hex_round_trip_any_bytes(void **state)
{
    struct rng r = {3};
    unsigned char bytes[200];

    (void)state;
    for (size_t n = 0; n < sizeof bytes; n++) {
        _cleanup_buf_ struct buf text = {0}, back = {0}, hex = {0};
        for (size_t i = 0; i < n; i++)
            bytes[i] = (unsigned char)rng_next(&r);
        base64_append(&text, bytes, n);
        assert_int_equal(text.len, (n + 2) / 3 * 4);
        assert_int_equal(base64_decode(&back, text.data, text.len), 0);
        assert_int_equal(back.len, n);
        assert_true(n == 0 || memcmp(back.data, bytes, n) == 0);
        hex_append(&hex, bytes, n);
        buf_clear(&back);
        assert_int_equal(hex_decode(&back, hex.data, hex.len), 0);
        assert_int_equal(back.len, n);
        assert_true(n == 0 || memcmp(back.data, bytes, n) == 0);
    }
}

static void test_base64_refuses_what_is_not_canonical(void **state)
{
    static const char *const bad[] = {
        "A",    "AA",   "AAA",        "AAAAA",    "A===",   "====",  "=AAA",
        "A=AA", "AA=A", "AA==AAAA",   "AAA=AAAA", "AA A",   "AA\nA", "QR==",
        "QUJ=", "AA-_", "AA\x80\xff", "Zg= =",    "Zm9v\n", " Zm9",  "Zg==\n\n\n\n"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        _cleanup_buf_ struct buf out = {0};
        buf_puts(&out, "before");
        if (base64_decode(&out, bad[i], strlen(bad[i])) != -EINVAL)
            fail_msg("\"%s\" was taken", bad[i]);
        assert_string_equal(out.data, "before"); /* nothing of a refused text stays */
    }
}

/* One text for each byte string: what is taken is what would be written. */
static void test_base64_takes_only_what_it_would_write(void **state)
{
    static const char alphabet[] = "AQZgz09+/==";
    struct rng r = {17};
    unsigned taken = 0;

    (void)state;
    for (int i = 0; i < 200000; i++) {
        _cleanup_buf_ struct buf out = {0}, again = {0};
        char text[9] = {0};
        size_t n = rng_upto(&r, 1) ? 8 : 4;
        for (size_t k = 0; k < n; k++)
            text[k] = alphabet[rng_upto(&r, sizeof alphabet - 2)];
        if (base64_decode(&out, text, n) < 0)
            continue;
        base64_append(&again, out.data, out.len);
        assert_string_equal(again.data, text);
        taken++;
    }
    assert_true(taken > 1000);
}

static void test_hex_takes_both_cases_and_nothing_else(void **state)
{
    static const char *const bad[] = {"a",     "abc", "0g", "g0", "0x", " 0",
                                      "0\xff", "@1",  "1`", "/0", ":0"};
    _cleanup_buf_ struct buf out = {0};

    (void)state;
    assert_int_equal(hex_decode(&out, "00fFAb", 6), 0);
    assert_memory_equal(out.data, "\x00\xff\xab", 3);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        buf_clear(&out);
        buf_puts(&out, "before");
        _cleanup_buf_ struct buf text = {0};
        buf_printf(&text, "%s", bad[i]);
        assert_int_equal(hex_decode(&out, text.data, text.len), -EINVAL);
        assert_string_equal(out.data, "before");
    }
    buf_clear(&out);
    assert_int_equal(hex_decode(&out, "00g0", 4), -EINVAL);
    assert_int_equal(out.len, 0);
}

static void test_distance_counts_edits(void **state)
{
    char longer[100];

    (void)state;
    memset(longer, 'a', 99);
    longer[99] = '\0';
    assert_int_equal(text_distance("", ""), 0);
    assert_int_equal(text_distance("", "abc"), 3);
    assert_int_equal(text_distance("linger", "lnger"), 1);
    assert_int_equal(text_distance("lniger", "linger"), 2);
    assert_int_equal(text_distance("kitten", "sitting"), 3);
    assert_int_equal(text_distance("sitting", "kitten"), 3);
    assert_int_equal(text_distance(longer, "a"), 99);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8_of_one_to_three_bytes_all_of_them),
        cmocka_unit_test(test_utf8_of_four_bytes_at_every_border),
        cmocka_unit_test(test_utf8_every_code_point_inside_ascii_at_every_place),
        cmocka_unit_test(test_json_every_character_at_every_place_reads_back),
        cmocka_unit_test(test_json_random_texts_read_back),
        cmocka_unit_test(test_json_checked_and_written_at_once_is_as_apart),
        cmocka_unit_test(test_json_of_nothing_is_an_empty_string),
        cmocka_unit_test(test_json_lossy_replaces_what_is_not_utf8),
        cmocka_unit_test(test_a_copy_is_cut_between_characters),
        cmocka_unit_test(test_base64_of_the_rfc),
        cmocka_unit_test(test_base64_and_hex_round_trip_any_bytes),
        cmocka_unit_test(test_base64_refuses_what_is_not_canonical),
        cmocka_unit_test(test_base64_takes_only_what_it_would_write),
        cmocka_unit_test(test_hex_takes_both_cases_and_nothing_else),
        cmocka_unit_test(test_distance_counts_edits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
