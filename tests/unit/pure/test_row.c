/* Items as rows again: value for value, whatever the row held. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/rng.h"
#include "mapping/number.h"
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
    if (a->kind == VALUE_REAL) /* to the last bit */
        return a->real == b->real && !signbit(a->real) == !signbit(b->real);
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

/* --- random rows ------------------------------------------------------------------------------ */

static const char *const conversions[] = {"",
                                          "",
                                          "bool",
                                          "timestamp",
                                          "timestamp(unix)",
                                          "timestamp(ms)",
                                          "timestamp(julian)",
                                          "timestamp(text)",
                                          "epoch",
                                          "epoch(ms)",
                                          "epoch(text)",
                                          "json",
                                          "string",
                                          "number",
                                          "binary",
                                          "uuid5(example.org:t)"};

/* Texts that some conversion takes, and a few that none does. */
static const char *const texts[] = {"",
                                    "true",
                                    "off",
                                    "2024-02-29",
                                    "1999-12-31 23:59:59.987",
                                    "2024-01-01T00:00:00+02:00",
                                    "a",
                                    "1.50",
                                    "-0",
                                    "1700000000",
                                    "[1,{\"a\":[true,null,1E5]},\"\\u00fc\"]",
                                    "{}",
                                    "null",
                                    "\"s\"",
                                    "Infinity",
                                    "0.000000000000000000000000000000000000012345",
                                    "#\\",
                                    "12e3",
                                    "1e400",
                                    "12345678901234567890123456789012345678"};

static uint64_t rng_below(struct rng *r, uint64_t n)
{
    return rng_upto(r, n - 1);
}

static struct value random_number(struct rng *r)
{
    switch (rng_below(r, 9)) {
    case 0:
        return integer((int64_t)rng_below(r, 3));
    case 1:
        return integer((int64_t)rng_next(r));
    case 2:
        return integer(1600000000 + (int64_t)rng_below(r, 300000000));
    case 3:
        return integer(1600000000000 + (int64_t)rng_below(r, 300000000000));
    case 4:
        return real(2440000.5 + (double)rng_below(r, 30000000) / 1000);
    case 5:
        return real((double)rng_below(r, 4000000000000) / 1024 - 1e9);
    case 6:
        return real(rng_below(r, 2) ? (double)INFINITY : 1e200);
    case 7:
        return real((double)(int64_t)rng_next(r) / 1e9);
    default:
        return integer((int64_t)rng_below(r, 6000000));
    }
}

/* As SQLite stores it in a column of that affinity (sqlite.org/datatype3.html, 3). */
static struct value random_value(struct rng *r, enum affinity a)
{
    const char *s = texts[rng_below(r, sizeof texts / sizeof texts[0])];
    bool numeric = a == AFFINITY_INTEGER || a == AFFINITY_NUMERIC || a == AFFINITY_REAL;
    struct value v;

    if (rng_below(r, 8) == 0)
        return null();
    if (rng_below(r, 8) == 0)
        return blob("\0\xff"
                    "ab",
                    (size_t)rng_below(r, 5));
    bool text_one = a == AFFINITY_TEXT || rng_below(r, 3) == 0;
    if (text_one && !(numeric && (strspn(s, "0123456789.-e") == strlen(s) && *s)))
        return text(s);
    if (text_one)
        return null();
    v = random_number(r);
    if (a == AFFINITY_REAL && v.kind == VALUE_INTEGER)
        v = real((double)v.integer);
    if (numeric && a != AFFINITY_REAL && v.kind == VALUE_REAL && rint(v.real) == v.real &&
        fabs(v.real) < 9e18)
        v = integer((int64_t)v.real);
    return v;
}

/* The same value: numbers by theirs, everything else as it is. */
static bool same_json(const json_t *a, const json_t *b, bool number)
{
    if (json_is_string(a) && json_is_string(b) && number) {
        _cleanup_buf_ struct buf x = {0}, y = {0};
        return number_canonical(&x, json_string_value(a), json_string_length(a)) == 0 &&
               number_canonical(&y, json_string_value(b), json_string_length(b)) == 0 &&
               strcmp(x.data, y.data) == 0;
    }
    if (json_is_object(a) && json_is_object(b) && json_object_size(a) == json_object_size(b)) {
        const char *key;
        json_t *v;
        json_object_foreach((json_t *)a, key, v)
        {
            const json_t *w = json_object_get(b, key);
            if (!w || !same_json(v, w, strcmp(key, "N") == 0))
                return false;
        }
        return true;
    }
    if (json_is_array(a) && json_is_array(b) && json_array_size(a) == json_array_size(b)) {
        for (size_t i = 0; i < json_array_size(a); i++)
            if (!same_json(json_array_get(a, i), json_array_get(b, i), false))
                return false;
        return true;
    }
    return json_equal(a, b);
}

struct tally {
    unsigned rows, taken, kept;
};

static void one_row(struct rng *r, const struct table_plan *p, struct tally *tally)
{
    _cleanup_buf_ struct buf store = {0};
    struct value row[4], back[4];
    struct item_fault fault = {0};

    row[0] = integer((int64_t)rng_next(r));
    for (size_t i = 1; i < p->column_count; i++)
        row[i] = random_value(r, p->columns[i].affinity);
    tally->rows++;
    json_t *item = item_of(p, row);
    if (!item)
        return;
    tally->taken++;
    if (row_from_item(p, item, back, &store, &fault) != 0)
        fail_msg("%s: %s", fault.code, fault.text);
    for (size_t i = 0; i < p->column_count; i++) {
        const struct plan_column *c = &p->columns[i];
        if (plan_column_loss(p, c->name))
            continue;
        tally->kept++;
        /* -0.0 is 0 in a number. */
        bool zero = row[i].kind == VALUE_REAL && row[i].real == 0 && back[i].kind == VALUE_REAL &&
                    back[i].real == 0 && c->convert.kind != CONVERT_STRING;
        if (!zero && !same_value(&row[i], &back[i])) {
            _cleanup_buf_ struct buf text_ = {0};
            value_describe(&text_, &row[i]);
            buf_puts(&text_, " came back as ");
            value_describe(&text_, &back[i]);
            fail_msg("%s by %s, affinity %d: %s", c->name, c->convert.text, c->affinity,
                     text_.data);
        }
    }
    /* What comes back maps to the same item, whatever was lost; a UUID without its source has gone.
     */
    json_t *again = item_of(p, back);
    for (size_t i = 1; again && i < p->column_count; i++)
        if (p->columns[i].convert.kind == CONVERT_UUID5 && !p->columns[i].kept) {
            json_object_del(item, p->columns[i].attribute);
            json_object_del(again, p->columns[i].attribute);
        }
    if (!again || !same_json(item, again, false)) {
        _cleanup_free_ char *x = json_dumps(item, 0), *y = again ? json_dumps(again, 0) : NULL;
        fail_msg("%s\n%s", x, y ? y : "it could not be mapped again");
    }
    json_decref(again);
    json_decref(item);
}

static void test_random_rows_come_back(void **state)
{
    (void)state;
    struct tally tally = {0};

    for (uint64_t seed = 0; seed < 400; seed++) {
        struct rng r = {.state = seed};
        TABLE(t, "things", 1, COLUMN("id", AFFINITY_INTEGER),
              COLUMN("a", (enum affinity)rng_below(&r, 6)),
              COLUMN("b", (enum affinity)rng_below(&r, 6)),
              COLUMN("c", (enum affinity)rng_below(&r, 6)));
        struct said said = {.excluded = {0}};
        const size_t kinds = sizeof conversions / sizeof conversions[0];
        for (size_t i = 0; i < 3; i++) {
            said.converted[i][0] = t_columns[i + 1].name;
            said.converted[i][1] = conversions[rng_below(&r, kinds)];
        }
        struct plan_options o = {SAID(said), .keep_key = rng_below(&r, 2),
                                 .write_null = rng_below(&r, 2)};
        _cleanup_plan_ struct table_plan *p = planned(&t, &o);
        for (int i = 0; i < 60; i++)
            one_row(&r, p, &tally);
    }
    assert_true(tally.taken > tally.rows / 10); /* a test of refusals alone would be none */
    assert_true(tally.kept > tally.taken);
}

static void test_what_is_lost_is_told(void **state)
{
    (void)state;
    const struct {
        const char *conversion;
        enum affinity affinity;
        bool strict, lost;
    } cases[] = {
        {"bool", AFFINITY_NUMERIC, false, false},
        {"bool", AFFINITY_TEXT, false, true},
        {"timestamp", AFFINITY_INTEGER, true, true},
        {"timestamp(unix)", AFFINITY_INTEGER, true, false},
        {"timestamp(unix)", AFFINITY_INTEGER, false, true},
        {"timestamp(text)", AFFINITY_TEXT, true, true},
        {"epoch(unix)", AFFINITY_INTEGER, true, false},
        {"json", AFFINITY_TEXT, false, true},
        {"string", AFFINITY_REAL, false, false},
        {"string", AFFINITY_TEXT, false, false},
        {"string", AFFINITY_BLOB, false, true},
        {"number", AFFINITY_NUMERIC, false, false},
        {"number", AFFINITY_TEXT, false, true},
        {"uuid5(dns)", AFFINITY_INTEGER, false, true},
        {"binary", AFFINITY_TEXT, false, true},
        {"", AFFINITY_BLOB, true, false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        TABLE(t, "things", 1, COLUMN("id", AFFINITY_INTEGER), COLUMN("a", cases[i].affinity));
        struct said said = {.converted = {{"a", cases[i].conversion}}};
        struct plan_options o = {SAID(said)};
        t.strict = cases[i].strict;
        _cleanup_plan_ struct table_plan *p = planned(&t, &o);
        if (!plan_column_loss(p, "a") == cases[i].lost)
            fail_msg("%s: %s", cases[i].conversion, plan_column_loss(p, "a"));
    }
}

static void test_a_kept_source_and_a_default_come_back(void **state)
{
    (void)state;
    TABLE(t, "users", 1, COLUMN("id", AFFINITY_INTEGER), COLUMN("g", AFFINITY_TEXT));
    struct said said = {.converted = {{"id", "uuid5(example.org:users)"}},
                        .defaulted = {{"g", "Unknown"}}};
    struct plan_options o = {SAID(said), .keep_key = true};
    _cleanup_plan_ struct table_plan *p = planned(&t, &o);
    _cleanup_buf_ struct buf store = {0};
    struct item_fault fault;
    struct value row[] = {integer(7), null()}, back[2];

    json_t *item = item_of(p, row);
    assert_string_equal(json_string_value(json_object_get(json_object_get(item, "_key_id"), "N")),
                        "7");
    assert_int_equal(row_from_item(p, item, back, &store, &fault), 0);
    assert_int_equal(back[0].integer, 7);
    assert_memory_equal(back[1].bytes, "Unknown", 7);
    assert_null(plan_column_loss(p, "id"));
    assert_string_equal(plan_column_loss(p, "g"), "NULL comes back as its default");
    json_decref(item);
}

static void test_time_to_live(void **state)
{
    (void)state;
    TABLE(t, "sessions", 1, COLUMN("id", AFFINITY_INTEGER), COLUMN("until", AFFINITY_TEXT));
    struct plan_options o = {.ttl_column = "until"};
    _cleanup_plan_ struct table_plan *p = planned(&t, &o);

    assert_string_equal(p->ttl_attribute, "until");
    struct value row[] = {integer(1), text("2024-01-01 00:00:00")};
    json_t *item = item_of(p, row);
    assert_false(row_expired(p, item, 1704067200));
    assert_true(row_expired(p, item, 1704067201));
    json_object_del(item, "until");
    assert_false(row_expired(p, item, INT64_MAX));
    json_decref(item);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_rows_come_back),
        cmocka_unit_test(test_what_is_lost_is_told),
        cmocka_unit_test(test_a_kept_source_and_a_default_come_back),
        cmocka_unit_test(test_time_to_live),
        cmocka_unit_test(test_values_come_back),
        cmocka_unit_test(test_what_is_none_of_ours_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
