/* Rows as items: the JSON read back by another parser, sizes by DynamoDB's rules, each fault. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/rng.h"
#include "base/text.h"
#include "plan_fixture.h"

/* Encode and parse; the caller drops the object. */
static json_t *encoded(const struct table_plan *p, const struct value *row, size_t *size)
{
    _cleanup_buf_ struct buf json = {0};
    struct item_fault fault;
    json_error_t error;

    buf_puts(&json, "<");
    if (item_encode(p, row, &json, size, &fault) != 0)
        fail_msg("%s: %s", fault.code, fault.text);
    assert_int_equal(json.data[0], '<'); /* appended to what was there */
    json_t *o =
        json_loadb(json.data + 1, json.len - 1, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
    if (!o)
        fail_msg("%s: %s", error.text, json.data);
    return o;
}

static void attribute_is(const json_t *o, const char *name, const char *type, const char *want,
                         size_t n)
{
    const json_t *a = json_object_get(o, name), *v = json_object_get(a, type);

    assert_int_equal(json_object_size(a), 1);
    assert_true(json_is_string(v));
    assert_int_equal(json_string_length(v), n);
    assert_memory_equal(json_string_value(v), want, n);
}

/* The fault of a row; `json` before it is the caller's to cut back. */
static void faults(const struct table_plan *p, const struct value *row, const char *code,
                   const char *column, const char *part)
{
    _cleanup_buf_ struct buf json = {0};
    struct item_fault fault = {0};
    size_t size = 77;

    assert_int_equal(item_encode(p, row, &json, &size, &fault), -EINVAL);
    assert_string_equal(fault.code, code);
    if (column)
        assert_string_equal(fault.column, column);
    else
        assert_null(fault.column);
    if (!strstr(fault.text, part))
        fail_msg("\"%s\" does not say \"%s\"", fault.text, part);
    assert_int_equal(size, 77);
    assert_null(strstr(fault.text, "1e")); /* sentences go to the log: never a row's content */
}

static struct table_plan *five_columns(bool write_null)
{
    TABLE(t, "things", 1, COLUMN("id", AFFINITY_INTEGER), COLUMN("r", AFFINITY_NONE),
          COLUMN("text", AFFINITY_NONE), COLUMN("bytes", AFFINITY_NONE),
          COLUMN("nothing", AFFINITY_NONE));
    struct plan_options o = {.write_null = write_null};

    return planned(&t, &o);
}

/* --- what is written -------------------------------------------------------------------------- */

static void test_each_storage_class_becomes_its_type(void **state)
{
    _cleanup_plan_ struct table_plan *p = five_columns(false);
    struct value row[] = {integer(INT64_MIN), real(0.1), text_of("a\"\\\n\0\xc3\xa9", 7),
                          blob("\0\xff\x10", 3), null()};
    size_t size = 0;

    (void)state;
    json_t *o = encoded(p, row, &size);
    assert_int_equal(json_object_size(o), 4);
    attribute_is(o, "id", "N", "-9223372036854775808", 20);
    attribute_is(o, "r", "N", "0.1", 3);
    attribute_is(o, "text", "S", "a\"\\\n\0\xc3\xa9", 7);
    attribute_is(o, "bytes", "B", "AP8Q", 4);
    assert_int_equal(size, 2 + 12 + 1 + 2 + 4 + 7 + 5 + 3);
    json_decref(o);
}

static void test_null_is_left_out_or_written(void **state)
{
    _cleanup_plan_ struct table_plan *p = five_columns(true);
    struct value row[] = {integer(1), null(), null(), null(), null()};
    size_t size = 0;

    (void)state;
    json_t *o = encoded(p, row, &size);
    assert_int_equal(json_object_size(o), 5);
    assert_true(json_is_true(json_object_get(json_object_get(o, "nothing"), "NULL")));
    assert_int_equal(size, 2 + 2 + (1 + 4 + 5 + 7) + 4);
    json_decref(o);
    p->write_null = false;
    o = encoded(p, row, &size);
    assert_int_equal(json_object_size(o), 1);
    assert_int_equal(size, 4);
    json_decref(o);
}

static void test_empty_values_that_are_no_keys_are_fine(void **state)
{
    _cleanup_plan_ struct table_plan *p = five_columns(false);
    struct value row[] = {integer(0), real(-0.0), text_of(NULL, 0), blob(NULL, 0), null()};
    size_t size = 0;

    (void)state;
    json_t *o = encoded(p, row, &size);
    attribute_is(o, "r", "N", "0", 1);
    attribute_is(o, "text", "S", "", 0);
    attribute_is(o, "bytes", "B", "", 0);
    assert_int_equal(size, 2 + 1 + 1 + 1 + 4 + 5);
    json_decref(o);
}

static void test_made_keys_stand_beside_the_columns(void **state)
{
    TABLE(t, "seats", 3, COLUMN("a", AFFINITY_TEXT), COLUMN("b", AFFINITY_TEXT),
          COLUMN("c", AFFINITY_INTEGER));
    struct plan_options o = {.partition_key = "A#{a}", .sort_key = "{c}#{b}"};
    struct value row[] = {text("x"), text("y#z"), integer(7)};
    size_t size = 0;

    (void)state;
    _cleanup_plan_ struct table_plan *joined = planned(&t, NULL);
    json_t *item = encoded(joined, row, &size);
    assert_int_equal(json_object_size(item), 4);
    attribute_is(item, "b#c", "S", "y\\#z#7", 6);
    attribute_is(item, "b", "S", "y#z", 3);
    assert_int_equal(size, 1 + 1 + 3 + 6 + 1 + 3 + 1 + 2);
    json_decref(item);
    _cleanup_plan_ struct table_plan *made = planned(&t, &o);
    item = encoded(made, row, &size);
    assert_int_equal(json_object_size(item), 5);
    attribute_is(item, "pk", "S", "A#x", 3);
    attribute_is(item, "sk", "S", "7#y#z", 5);
    json_decref(item);
}

/* A size added up a second time, from the parsed JSON. */
static size_t size_of(const json_t *o)
{
    const char *name;
    json_t *attribute;
    size_t total = 0;

    json_object_foreach((json_t *)o, name, attribute)
    {
        const json_t *n = json_object_get(attribute, "N"), *s = json_object_get(attribute, "S"),
                     *b = json_object_get(attribute, "B");
        total += strlen(name);
        if (b) {
            size_t len = json_string_length(b);
            const char *text64 = json_string_value(b);
            total +=
                len / 4 * 3 - (len && text64[len - 1] == '=') - (len && text64[len - 2] == '=');
        } else if (s) {
            total += json_string_length(s);
        } else if (n) {
            const char *text = json_string_value(n);
            size_t digits = 0, zeros = 0;
            for (const char *q = text + (*text == '-'); *q; q++) {
                digits += digits > 0 || *q != '0';
                zeros = *q == '0' ? zeros + 1 : 0;
            }
            total += digits ? 1 + (digits - zeros + 1) / 2 + (*text == '-') : 1;
        } else {
            total += 1;
        }
    }
    return total;
}

static void test_random_rows_read_back_with_their_size(void **state)
{
    _cleanup_plan_ struct table_plan *p = five_columns(true);
    struct rng r = {12};
    char bytes[64];

    (void)state;
    for (int i = 0; i < 20000; i++) {
        struct value row[5];
        size_t size = 0, n = (size_t)rng_upto(&r, sizeof bytes);
        for (size_t k = 0; k < n; k++)
            bytes[k] = (char)rng_upto(&r, 127);
        for (size_t k = 0; k < 5; k++) {
            int64_t number = (int64_t)(rng_next(&r) >> rng_upto(&r, 63));
            uint64_t kind = k ? rng_upto(&r, 3) : 0;
            row[k] = kind == 0   ? integer(rng_upto(&r, 1) ? number : -number)
                     : kind == 1 ? text_of(bytes, n)
                     : kind == 2 ? blob(bytes, n)
                                 : null();
        }
        json_t *o = encoded(p, row, &size);
        assert_int_equal(json_object_size(o), 5);
        assert_int_equal(size, size_of(o));
        for (size_t k = 0; k < 5; k++) {
            _cleanup_buf_ struct buf want = {0};
            if (row[k].kind == VALUE_INTEGER) {
                buf_append_i64(&want, row[k].integer);
                attribute_is(o, p->columns[k].name, "N", want.data, want.len);
            } else if (row[k].kind == VALUE_TEXT) {
                attribute_is(o, p->columns[k].name, "S", bytes, n);
            } else if (row[k].kind == VALUE_BLOB) {
                base64_append(&want, bytes, n);
                attribute_is(o, p->columns[k].name, "B", want.data, want.len);
            }
        }
        json_decref(o);
    }
}

/* --- limits and faults ------------------------------------------------------------------------ */

static void test_409600_bytes_pass_and_one_more_does_not(void **state)
{
    _cleanup_plan_ struct table_plan *p = five_columns(false);
    _cleanup_buf_ struct buf big = {0};
    size_t room = ITEM_MAX_SIZE - (2 + 2) - 4, size = 0; /* id=1, name of the text column */

    (void)state;
    while (big.len < room + 1)
        buf_puts(&big, "\x01");
    struct value row[] = {integer(1), null(), text_of(big.data, room), null(), null()};
    json_t *o = encoded(p, row, &size);
    assert_int_equal(size, 409600);
    json_decref(o);
    row[2].len++;
    faults(p, row, "item_too_large", NULL, "the item has 409601 bytes; DynamoDB takes 409600");
    row[2] = null();
    row[3] = blob(big.data, room - 1);
    o = encoded(p, row, &size);
    assert_int_equal(size, 409600);
    json_decref(o);
    row[3].len++;
    faults(p, row, "item_too_large", NULL, "409601");
}

static void test_values_dynamodb_cannot_hold_name_their_column(void **state)
{
    _cleanup_plan_ struct table_plan *p = five_columns(false);
    struct value row[] = {integer(1), real((double)INFINITY), null(), null(), null()};

    (void)state;
    faults(p, row, "not_a_number", "r", "cannot be");
    row[1] = real(-(double)INFINITY);
    faults(p, row, "not_a_number", "r", "cannot be");
    row[1] = real(1e126);
    faults(p, row, "number_range", "r", "outside a DynamoDB number's range");
    row[1] = real(-1e-131);
    faults(p, row, "number_range", "r", "outside a DynamoDB number's range");
    row[1] = null();
    row[2] = text_of("a\xff", 2);
    faults(p, row, "invalid_utf8", "text", "not valid UTF-8");
    row[2] = text_of("\xed\xa0\x80", 3);
    faults(p, row, "invalid_utf8", "text", "not valid UTF-8");
}

static void test_made_keys_are_checked_too(void **state)
{
    TABLE(t, "seats", 1, COLUMN("a", AFFINITY_TEXT));
    struct plan_options o = {.partition_key = "{a}"};
    struct value row[] = {text_of(NULL, 0)};

    (void)state;
    _cleanup_plan_ struct table_plan *p = planned(&t, &o);
    faults(p, row, "key_empty", NULL, "is empty");
    row[0] = null();
    faults(p, row, "key_null", "a", "NULL");
}

/* --- digests and units ------------------------------------------------------------------------ */

static void test_digests_are_sha256_cut_to_128_bits(void **state)
{
    static const uint8_t abc[DIGEST_SIZE] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea,
                                             0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23};
    static const uint8_t empty[DIGEST_SIZE] = {0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14,
                                               0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24};
    uint8_t out[DIGEST_SIZE];

    (void)state;
    assert_int_equal(item_digest("abc", 3, out), 0);
    assert_memory_equal(out, abc, DIGEST_SIZE);
    assert_int_equal(item_digest("", 0, out), 0);
    assert_memory_equal(out, empty, DIGEST_SIZE);
    assert_int_equal(item_digest("abc", 3, out), 0);
    assert_memory_equal(out, abc, DIGEST_SIZE);
}

static void test_write_units_are_whole_kilobytes(void **state)
{
    (void)state;
    assert_int_equal(item_write_units(0), 1);
    assert_int_equal(item_write_units(1), 1);
    assert_int_equal(item_write_units(1024), 1);
    assert_int_equal(item_write_units(1025), 2);
    assert_int_equal(item_write_units(2048), 2);
    assert_int_equal(item_write_units(2049), 3);
    assert_int_equal(item_write_units(ITEM_MAX_SIZE), 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_storage_class_becomes_its_type),
        cmocka_unit_test(test_null_is_left_out_or_written),
        cmocka_unit_test(test_empty_values_that_are_no_keys_are_fine),
        cmocka_unit_test(test_made_keys_stand_beside_the_columns),
        cmocka_unit_test(test_random_rows_read_back_with_their_size),
        cmocka_unit_test(test_409600_bytes_pass_and_one_more_does_not),
        cmocka_unit_test(test_values_dynamodb_cannot_hold_name_their_column),
        cmocka_unit_test(test_made_keys_are_checked_too),
        cmocka_unit_test(test_digests_are_sha256_cut_to_128_bits),
        cmocka_unit_test(test_write_units_are_whole_kilobytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
