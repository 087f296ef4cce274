/* Items as rows again: value for value, whatever the row held. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/rng.h"
#include "mapping/row.h"
#include "plan_fixture.h"

static json_t *item_of(const struct table_plan *p, const struct value *row)
{
    _cleanup_buf_ struct buf json = {0};
    struct item_fault fault;
    json_error_t error;
    size_t size;

    if (item_encode(p, row, &json, &size, &fault) != 0)
        return NULL;
    json_t *o = json_loadb(json.data, json.len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
    if (!o)
        fail_msg("%s: %s", error.text, json.data);
    return o;
}

static bool same_value(const struct value *a, const struct value *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == VALUE_INTEGER)
        return a->integer == b->integer;
    if (a->kind == VALUE_REAL)
        return memcmp(&a->real, &b->real, 8) == 0;
    return a->kind == VALUE_NULL || (a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0);
}

static void comes_back(const struct table_plan *p, const struct value *row)
{
    _cleanup_buf_ struct buf store = {0};
    struct value back[8];
    struct item_fault fault;
    json_t *item = item_of(p, row);

    assert_non_null(item);
    if (row_from_item(p, item, back, &store, &fault) != 0)
        fail_msg("%s: %s", fault.code, fault.text);
    for (size_t i = 0; i < p->column_count; i++)
        if (!same_value(&row[i], &back[i])) {
            _cleanup_buf_ struct buf text = {0};
            value_describe(&text, &row[i]);
            buf_puts(&text, " came back as ");
            value_describe(&text, &back[i]);
            fail_msg("%s: %s", p->columns[i].name, text.data);
        }
    json_decref(item);
}

static void test_values_come_back(void **state)
{
    (void)state;
    TABLE(t, "things", 1, COLUMN("id", AFFINITY_INTEGER), COLUMN("r", AFFINITY_REAL),
          COLUMN("n", AFFINITY_NUMERIC), COLUMN("t", AFFINITY_TEXT), COLUMN("b", AFFINITY_BLOB));
    _cleanup_plan_ struct table_plan *p = planned(&t, NULL);
    const struct value rows[][5] = {
        {integer(1), null(), null(), null(), null()},
        {integer(INT64_MAX), real(0.1), integer(0), text(""), blob("", 0)},
        {integer(INT64_MIN), real(1), real(1e20), text_of("a\0b", 3), blob("\0\xff", 2)},
        {integer(-7), real(9007199254740993.0), real(-1.5e-7), text("\"\\ü"), integer(12)},
        {integer(0), real(5e-130), text("x"), blob("z", 1), text("t")},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        comes_back(p, rows[i]);
    for (size_t i = 0; i < 4; i++)
        assert_null(plan_column_loss(p, p->columns[i].name));
    assert_non_null(strstr(plan_column_loss(p, "B"), "1.0"));
    assert_string_equal(plan_column_loss(p, "gone"), "it is excluded");
}

static void test_what_is_none_of_ours_is_told(void **state)
{
    (void)state;
    static const char *const items[] = {
        "{\"id\":{\"N\":\"1\"},\"t\":{\"SS\":[\"a\"]}}", "{\"id\":{\"N\":\"x\"}}",
        "{\"id\":{\"N\":\"1\"},\"t\":{\"B\":\"?\"}}",    "{\"id\":{}}",
        "{\"id\":{\"N\":\"1\"},\"t\":{\"BOOL\":true}}",  "{\"id\":7}",
    };
    TABLE(t, "things", 1, COLUMN("id", AFFINITY_INTEGER), COLUMN("t", AFFINITY_TEXT));
    _cleanup_plan_ struct table_plan *p = planned(&t, NULL);

    for (size_t i = 0; i < sizeof items / sizeof items[0]; i++) {
        _cleanup_buf_ struct buf store = {0};
        struct item_fault fault = {0};
        struct value row[2];
        json_error_t error;
        json_t *item = json_loads(items[i], 0, &error);
        assert_non_null(item);
        assert_int_equal(row_from_item(p, item, row, &store, &fault), -EINVAL);
        assert_string_equal(fault.code, "not_ours");
        assert_non_null(fault.column);
        json_decref(item);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_come_back),
        cmocka_unit_test(test_what_is_none_of_ours_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
