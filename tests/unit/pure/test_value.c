/* Values in their exact form, for people, and the names of tables. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/text.h"
#include "mapping/naming.h"
#include "mapping/table.h"
#include "mapping/value.h"

static struct value text_value(const char *s)
{
    return (struct value){.kind = VALUE_TEXT, .bytes = s, .len = strlen(s)};
}

static bool same_value(const struct value *a, const struct value *b)
{
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case VALUE_NULL:
        return true;
    case VALUE_INTEGER:
        return a->integer == b->integer;
    case VALUE_REAL:
        return memcmp(&a->real, &b->real, 8) == 0;
    case VALUE_TEXT:
    case VALUE_BLOB:
        return a->len == b->len && (a->len == 0 || memcmp(a->bytes, b->bytes, a->len) == 0);
    }
    return false;
}

static struct value random_value(struct rng *r, const char *bytes, size_t n)
{
    struct value v = {.kind = (enum value_kind)rng_upto(r, VALUE_BLOB)};
    uint64_t bits = rng_next(r);

    if (v.kind == VALUE_INTEGER) {
        memcpy(&v.integer, &bits, 8);
    } else if (v.kind == VALUE_REAL) {
        memcpy(&v.real, &bits, 8);
    } else if (v.kind != VALUE_NULL) {
        v.len = (size_t)rng_upto(r, n);
        v.bytes = v.len ? bytes : NULL;
    }
    return v;
}

/* --- encode and decode ------------------------------------------------------------------------ */

static void test_any_values_come_back_exactly(void **state)
{
    struct rng r = {4};
    char bytes[50];

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)rng_next(&r);
    for (int i = 0; i < 20000; i++) {
        _cleanup_buf_ struct buf b = {0};
        struct value in[5], out[5];
        size_t count = (size_t)rng_upto(&r, 5);
        for (size_t k = 0; k < count; k++) {
            in[k] = random_value(&r, bytes, sizeof bytes);
            value_encode(&b, &in[k]);
        }
        assert_int_equal(values_decode(b.data ? b.data : "", b.len, out, count), 0);
        for (size_t k = 0; k < count; k++)
            assert_true(same_value(&in[k], &out[k]));
    }
}

static void test_one_is_four_different_keys(void **state)
{
    struct value one[] = {{.kind = VALUE_INTEGER, .integer = 1},
                          {.kind = VALUE_REAL, .real = 1.0},
                          {.kind = VALUE_TEXT, .bytes = "1", .len = 1},
                          {.kind = VALUE_BLOB, .bytes = "1", .len = 1}};

    (void)state;
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < i; j++) {
            _cleanup_buf_ struct buf a = {0}, b = {0};
            value_encode(&a, &one[i]);
            value_encode(&b, &one[j]);
            assert_false(a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
        }
}

/* A copy that ends where the allocation ends, so that a byte too far is seen. */
static char *exactly(const char *bytes, size_t n)
{
    char *copy = malloc(n ? n : 1);

    assert_non_null(copy);
    if (n)
        memcpy(copy, bytes, n);
    return copy;
}

static void test_every_cut_is_refused_and_changes_nothing(void **state)
{
    struct value in[] = {{.kind = VALUE_INTEGER, .integer = -5},
                         {.kind = VALUE_TEXT, .bytes = "some text", .len = 9},
                         {.kind = VALUE_NULL},
                         {.kind = VALUE_REAL, .real = 2.5},
                         {.kind = VALUE_BLOB, .bytes = "\0\1\2", .len = 3}};
    _cleanup_buf_ struct buf b = {0};

    (void)state;
    for (size_t i = 0; i < 5; i++)
        value_encode(&b, &in[i]);
    for (size_t n = 0; n < b.len; n++) {
        _cleanup_free_ char *cut = exactly(b.data, n);
        struct value out[5];
        assert_int_equal(values_decode(cut, n, out, 5), -EINVAL);
    }
    for (size_t i = 0; i < 5; i++) {
        _cleanup_buf_ struct buf one = {0};
        value_encode(&one, &in[i]);
        for (size_t n = 0; n < one.len; n++) {
            _cleanup_free_ char *cut = exactly(one.data, n);
            struct value out = {.kind = VALUE_INTEGER, .integer = 77};
            size_t at = 0;
            assert_int_equal(value_decode(cut, n, &at, &out), -EINVAL);
            assert_int_equal(at, 0);
            assert_true(out.kind == VALUE_INTEGER && out.integer == 77);
        }
    }
}

static void test_surplus_and_wrong_counts_are_refused(void **state)
{
    struct value v = {.kind = VALUE_INTEGER, .integer = 1}, out[3];
    _cleanup_buf_ struct buf b = {0};

    (void)state;
    value_encode(&b, &v);
    value_encode(&b, &v);
    assert_int_equal(values_decode(b.data, b.len, out, 2), 0);
    assert_int_equal(values_decode(b.data, b.len, out, 1), -EINVAL);
    assert_int_equal(values_decode(b.data, b.len, out, 3), -EINVAL);
    buf_putc(&b, '\0');
    assert_int_equal(values_decode(b.data, b.len, out, 2), -EINVAL);
}

static void test_garbage_is_read_within_its_bounds(void **state)
{
    struct rng r = {6};
    unsigned taken = 0;

    (void)state;
    for (int i = 0; i < 100000; i++) {
        char bytes[40];
        size_t n = (size_t)rng_upto(&r, sizeof bytes), at = 0;
        for (size_t k = 0; k < n; k++)
            bytes[k] = (char)rng_upto(&r, rng_upto(&r, 1) ? 6 : 255);
        _cleanup_free_ char *copy = exactly(bytes, n);
        struct value v;
        while (value_decode(copy, n, &at, &v) == 0) {
            assert_true(at <= n);
            if (v.kind == VALUE_TEXT || v.kind == VALUE_BLOB)
                assert_true(v.bytes >= copy && v.bytes + v.len <= copy + n);
            taken++;
        }
    }
    assert_true(taken > 10000);
}

/* --- for people ------------------------------------------------------------------------------- */

static void described(struct value v, const char *want)
{
    _cleanup_buf_ struct buf b = {0};

    value_describe(&b, &v);
    assert_string_equal(b.data, want);
}

static void test_values_for_people(void **state)
{
    char longer[100];

    (void)state;
    described((struct value){.kind = VALUE_NULL}, "NULL");
    described((struct value){.kind = VALUE_INTEGER, .integer = INT64_MIN}, "-9223372036854775808");
    described((struct value){.kind = VALUE_REAL, .real = 1.5}, "1.5");
    described(text_value("it's"), "'it's'");
    described(text_value(""), "''");
    described((struct value){.kind = VALUE_BLOB, .bytes = "\x0a\x0b", .len = 2}, "x'0a0b'");
    described((struct value){.kind = VALUE_BLOB, .bytes = NULL, .len = 0}, "x''");
    memset(longer, 'x', sizeof longer);
    longer[60] = '\0';
    described(text_value(longer), "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'");
    assert_string_equal(value_kind_name(VALUE_NULL), "NULL");
    assert_string_equal(value_kind_name(VALUE_BLOB), "BLOB");
}

static void test_long_texts_are_cut_between_characters(void **state)
{
    (void)state;
    for (size_t shift = 0; shift < 4; shift++) {
        _cleanup_buf_ struct buf text = {0}, got = {0};
        buf_printf(&text, "%.*s", (int)shift, "aaa");
        while (text.len < 200)
            buf_puts(&text, "\xf0\x9f\x98\x80");
        struct value v = text_value(text.data);
        value_describe(&got, &v);
        assert_true(utf8_valid(got.data, got.len));
        assert_in_range(got.len, 57 + 5, 60 + 5);
        assert_string_equal(got.data + got.len - 4, "…'");
    }
}

/* --- names ------------------------------------------------------------------------------------ */

static void expands(const char *pattern, const char *table, const char *want)
{
    _cleanup_buf_ struct buf b = {0};

    buf_puts(&b, "");
    naming_expand(&b, pattern, table);
    assert_string_equal(b.data, want);
}

static void test_table_names_follow_their_pattern(void **state)
{
    (void)state;
    expands("{table}", "user_books", "user_books");
    expands("{Table}", "user_books", "UserBooks");
    expands("{table-kebab}", "user_books", "user-books");
    expands("{table-kebab}", "UserBooks", "user-books");
    expands("{table-kebab}", "chat_messages", "chat-messages");
    expands("{Table}", "UserBooks", "UserBooks");
    expands("{Table}", "a", "A");
    expands("jaaz-{table-kebab}", "comfy_flows", "jaaz-comfy-flows");
    expands("BookLibrary-{Table}-dev", "books", "BookLibrary-Books-dev");
    expands("{table}{table}", "x", "xx");
    expands("{tables}", "x", "{tables}");
    expands("{", "x", "{");
    expands("plain", "x", "plain");
    expands("", "x", "");
}

static void test_valid_names_are_dynamodbs(void **state)
{
    char name[300];

    (void)state;
    memset(name, 'a', sizeof name);
    for (size_t n = 0; n < 260; n++) {
        name[n] = '\0';
        assert_int_equal(naming_valid(name), n >= 3 && n <= 255);
        name[n] = 'a';
    }
    for (int c = 1; c < 256; c++) {
        char one[] = {'a', (char)c, 'b', '\0'};
        bool good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                    c == '_' || c == '.' || c == '-';
        assert_int_equal(naming_valid(one), good);
    }
}

static void test_affinities_are_sqlites(void **state)
{
    (void)state;
    assert_int_equal(affinity_of("INTEGER", false), AFFINITY_INTEGER);
    assert_int_equal(affinity_of("BIGINT UNSIGNED", false), AFFINITY_INTEGER);
    assert_int_equal(affinity_of("FLOATING POINT", false), AFFINITY_INTEGER);
    assert_int_equal(affinity_of("CHARINT", false), AFFINITY_INTEGER);
    assert_int_equal(affinity_of("varchar(20)", false), AFFINITY_TEXT);
    assert_int_equal(affinity_of("CLOB", false), AFFINITY_TEXT);
    assert_int_equal(affinity_of("BLOB", false), AFFINITY_BLOB);
    assert_int_equal(affinity_of("", false), AFFINITY_NONE);
    assert_int_equal(affinity_of("DOUBLE PRECISION", false), AFFINITY_REAL);
    assert_int_equal(affinity_of("float", false), AFFINITY_REAL);
    assert_int_equal(affinity_of("DECIMAL(10,5)", false), AFFINITY_NUMERIC);
    assert_int_equal(affinity_of("STRING", false), AFFINITY_NUMERIC);
    assert_int_equal(affinity_of("ANY", false), AFFINITY_NUMERIC);
    assert_int_equal(affinity_of("ANY", true), AFFINITY_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_values_come_back_exactly),
        cmocka_unit_test(test_one_is_four_different_keys),
        cmocka_unit_test(test_every_cut_is_refused_and_changes_nothing),
        cmocka_unit_test(test_surplus_and_wrong_counts_are_refused),
        cmocka_unit_test(test_garbage_is_read_within_its_bounds),
        cmocka_unit_test(test_values_for_people),
        cmocka_unit_test(test_long_texts_are_cut_between_characters),
        cmocka_unit_test(test_table_names_follow_their_pattern),
        cmocka_unit_test(test_valid_names_are_dynamodbs),
        cmocka_unit_test(test_affinities_are_sqlites),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
