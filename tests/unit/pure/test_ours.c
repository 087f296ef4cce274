/* Whose an item is: known, by its key, by the table's mark, or somebody else's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "mapping/ours.h"
#include "plan_fixture.h"

static void key_of_parts(const struct table_plan *p, const char *first, const char *second,
                         struct buf *key)
{
    const char *parts[] = {first, second};

    buf_clear(key);
    for (size_t i = 0; i < p->schema.count; i++)
        assert_int_equal(item_key_part(key, p->schema.parts[i].type, parts[i], strlen(parts[i])),
                         0);
}

static enum item_claim claim(const struct table_plan *p, bool known, bool alone, const char *first,
                             const char *second)
{
    _cleanup_buf_ struct buf key = {0};
    const struct table_plan *plans[] = {p};
    const struct claim_facts f = {.known = known, .alone = alone, .plans = plans, .count = 1};

    key_of_parts(p, first, second, &key);
    return item_claim(&f, key.data, key.len, NULL);
}

static void test_a_bare_key_says_nothing_about_whose_item_it_is(void **state)
{
    TABLE(t, "things", 1, COLUMN("id", AFFINITY_INTEGER), COLUMN("v", AFFINITY_TEXT));
    _cleanup_plan_ struct table_plan *p = planned(&t, NULL);

    (void)state;
    assert_int_equal(claim(p, false, false, "7", NULL), ITEM_FOREIGN);
    assert_int_equal(claim(p, false, true, "7", NULL), ITEM_OURS_ALONE);
    assert_int_equal(claim(p, true, false, "7", NULL), ITEM_OURS_KNOWN);
}

static void test_a_template_with_words_tells(void **state)
{
    const struct plan_options o = {.partition_key = "USER#{user_id}", .sort_key = "MSG#{id}#{at}"};
    TABLE(t, "messages", 1, COLUMN("id", AFFINITY_INTEGER), COLUMN("user_id", AFFINITY_INTEGER),
          COLUMN("at", AFFINITY_TEXT));
    _cleanup_plan_ struct table_plan *p = planned(&t, &o);
    static const struct {
        const char *first, *second;
        enum item_claim claim;
    } cases[] = {
        {"USER#7", "MSG#1#noon", ITEM_OURS_BY_KEY}, {"USER#-7", "MSG#1#a#b#c", ITEM_OURS_BY_KEY},
        {"USER#seven", "MSG#1#noon", ITEM_FOREIGN}, {"USER#", "MSG#1#noon", ITEM_FOREIGN},
        {"USER#7", "MSG#x#noon", ITEM_FOREIGN},     {"USER#7", "MSG#1", ITEM_FOREIGN},
        {"USER#7", "PROFILE", ITEM_FOREIGN},        {"user#7", "MSG#1#noon", ITEM_FOREIGN},
        {"XUSER#7", "MSG#1#noon", ITEM_FOREIGN},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (claim(p, false, false, cases[i].first, cases[i].second) != cases[i].claim)
            fail_msg("%s %s", cases[i].first, cases[i].second);
    assert_int_equal(claim(p, false, true, "user#7", "x"), ITEM_OURS_ALONE);
}

/* Machines that share a table: the other's items are foreign to each. */
static void test_a_prefix_tells_machines_apart(void **state)
{
    const struct plan_options one = {.partition_key = "berlin#{id}"},
                              two = {.partition_key = "paris#{id}"};
    TABLE(t, "things", 1, COLUMN("id", AFFINITY_TEXT), COLUMN("v", AFFINITY_TEXT));
    _cleanup_plan_ struct table_plan *berlin = planned(&t, &one), *paris = planned(&t, &two);

    (void)state;
    assert_int_equal(claim(berlin, false, false, "berlin#a", NULL), ITEM_OURS_BY_KEY);
    assert_int_equal(claim(berlin, false, false, "paris#a", NULL), ITEM_FOREIGN);
    assert_int_equal(claim(paris, false, false, "paris#a", NULL), ITEM_OURS_BY_KEY);
    assert_int_equal(claim(paris, false, false, "berlin#a", NULL), ITEM_FOREIGN);
}

static void test_marks_alone_are_no_words(void **state)
{
    const struct plan_options o = {.partition_key = "{a}#{b}"};
    TABLE(t, "things", 2, COLUMN("a", AFFINITY_INTEGER), COLUMN("b", AFFINITY_INTEGER));
    _cleanup_plan_ struct table_plan *p = planned(&t, &o);

    (void)state;
    assert_false(plan_key_tells(p));
    assert_int_equal(claim(p, false, false, "1#2", NULL), ITEM_FOREIGN);
}

static void test_of_several_plans_the_one_that_tells_is_named(void **state)
{
    const struct plan_options a = {.partition_key = "{id}", .sort_key = "{v}"},
                              b = {.partition_key = "PLACE#{v}", .sort_key = "SEAT"};
    TABLE(t, "things", 1, COLUMN("id", AFFINITY_TEXT), COLUMN("v", AFFINITY_TEXT));
    _cleanup_plan_ struct table_plan *first = planned(&t, &a), *second = planned(&t, &b);
    const struct table_plan *plans[] = {first, second}, *found = NULL;
    const struct claim_facts f = {.plans = plans, .count = 2};
    _cleanup_buf_ struct buf key = {0};

    (void)state;
    key_of_parts(first, "PLACE#x", "SEAT", &key);
    assert_int_equal(item_claim(&f, key.data, key.len, &found), ITEM_OURS_BY_KEY);
    assert_ptr_equal(found, second);
    key_of_parts(first, "x", "y", &key);
    assert_int_equal(item_claim(&f, key.data, key.len, &found), ITEM_FOREIGN);
    assert_ptr_equal(found, first);
}

/* --- rows ------------------------------------------------------------------------------------- */

static void leads_back(const struct table_plan *p, const struct value *row)
{
    _cleanup_buf_ struct buf key = {0}, store = {0}, a = {0}, b = {0};
    struct value entry[5] = {0};
    struct item_fault fault;

    if (item_key(p, row, &key, NULL, &fault) < 0)
        return;
    assert_true(plan_key_fits(p, key.data, key.len));
    assert_int_equal(plan_key_row(p, key.data, key.len, entry, &store), 0);
    for (size_t i = 0; i < p->row_key_count; i++) {
        value_encode(&a, &row[i]);
        value_encode(&b, &entry[i]);
    }
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
}

static struct value some_value(struct rng *r, enum affinity a, char text[16])
{
    static const char letters[] = "a#\\b-1";
    size_t n = rng_upto(r, 6);

    for (size_t i = 0; i < n; i++)
        text[i] = letters[rng_upto(r, sizeof letters - 2)];
    switch (a) {
    case AFFINITY_TEXT:
        return (struct value){.kind = VALUE_TEXT, .bytes = text, .len = n};
    case AFFINITY_BLOB:
        return (struct value){.kind = VALUE_BLOB, .bytes = text, .len = n};
    case AFFINITY_REAL:
        return (struct value){.kind = VALUE_REAL, .real = (double)(int)rng_upto(r, 2000) / 8 - 100};
    default:
        return (struct value){.kind = VALUE_INTEGER,
                              .integer = (int64_t)(rng_next(r) >> rng_upto(r, 63))};
    }
}

static void test_keys_lead_back_to_their_rows(void **state)
{
    static const enum affinity affinities[] = {AFFINITY_TEXT, AFFINITY_INTEGER, AFFINITY_REAL,
                                               AFFINITY_BLOB};
    static const struct plan_options options[] = {
        {0},
        {.partition_key = "A#{a}", .sort_key = "B#{b}#C#{c}"},
        {.partition_key = "a", .sort_key = "X{b}Y{c}"},
        {.partition_key = "{a}", .sort_key = "{b}|{c}"},
    };
    struct rng r = {.state = 11};
    unsigned told = 0;

    (void)state;
    for (unsigned n = 0; n < 20000; n++) {
        char texts[3][16];
        enum affinity a[3];
        struct value row[3];
        for (size_t i = 0; i < 3; i++) {
            a[i] = affinities[rng_upto(&r, 3)];
            row[i] = some_value(&r, a[i], texts[i]);
        }
        TABLE(t, "things", 3, COLUMN("a", a[0]), COLUMN("b", a[1]), COLUMN("c", a[2]));
        _cleanup_plan_ struct table_plan *p = planned(&t, &options[n % 4]);
        if (p->meeting)
            continue;
        told++;
        leads_back(p, row);
    }
    assert_true(told > 5000);
}

static void test_where_rows_may_meet_no_row_is_told(void **state)
{
    const struct plan_options o = {.partition_key = "PLACE#{place}"};
    TABLE(t, "seats", 1, COLUMN("id", AFFINITY_INTEGER), COLUMN("place", AFFINITY_TEXT));
    _cleanup_plan_ struct table_plan *p = planned(&t, &o);
    _cleanup_buf_ struct buf key = {0}, store = {0};
    struct value entry[2] = {0};

    (void)state;
    key_of_parts(p, "PLACE#a", NULL, &key);
    assert_int_equal(plan_key_row(p, key.data, key.len, entry, &store), -EINVAL);
}

/* Spelt as nobody of ours spells it: no row has it. */
static void test_another_spelling_is_no_row(void **state)
{
    const struct plan_options o = {.partition_key = "N#{id}"};
    TABLE(t, "things", 1, COLUMN("id", AFFINITY_INTEGER), COLUMN("v", AFFINITY_TEXT));
    _cleanup_plan_ struct table_plan *p = planned(&t, &o);
    static const char *const keys[] = {"N#007", "N#1e2", "N#+1", "N#1.0", "N#-0"};
    _cleanup_buf_ struct buf key = {0}, store = {0};
    struct value entry[2] = {0};

    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        key_of_parts(p, keys[i], NULL, &key);
        assert_int_equal(plan_key_row(p, key.data, key.len, entry, &store), -EINVAL);
    }
}

/* Long keys of many separators do not take for ever. */
static void test_hostile_keys_are_read_in_bounded_time(void **state)
{
    const struct plan_options o = {.partition_key = "A{a}#{b}#{c}#{d}#{e}Z"};
    TABLE(t, "things", 5, COLUMN("a", AFFINITY_TEXT), COLUMN("b", AFFINITY_TEXT),
          COLUMN("c", AFFINITY_TEXT), COLUMN("d", AFFINITY_TEXT), COLUMN("e", AFFINITY_TEXT));
    _cleanup_plan_ struct table_plan *p = planned(&t, &o);
    _cleanup_buf_ struct buf key = {0};
    char text[2048];

    (void)state;
    memset(text, '#', sizeof text);
    text[0] = 'A';
    text[sizeof text - 1] = '\0';
    key_of_parts(p, text, NULL, &key);
    assert_false(plan_key_fits(p, key.data, key.len));
}

static void test_a_key_of_another_type_or_shape_is_not_ours(void **state)
{
    TABLE(t, "things", 1, COLUMN("id", AFFINITY_INTEGER), COLUMN("v", AFFINITY_TEXT));
    _cleanup_plan_ struct table_plan *p = planned(&t, NULL);
    static const char odd[] = "S\0\1a";

    (void)state;
    assert_false(plan_key_fits(p, odd, 4));
    assert_false(plan_key_fits(p, "N\0", 2));
    assert_false(plan_key_fits(p, "N\0\5ab", 5));
    assert_false(plan_key_fits(p, "", 0));
}

static void test_the_key_of_an_item_in_json(void **state)
{
    TABLE(t, "things", 2, COLUMN("a", AFFINITY_INTEGER), COLUMN("b", AFFINITY_BLOB));
    _cleanup_plan_ struct table_plan *p = planned(&t, NULL);
    _cleanup_buf_ struct buf key = {0}, expected = {0};
    json_auto_t *item =
        json_pack("{s{ss}s{ss}s{ss}}", "a", "N", "100", "b", "B", "AAE=", "x", "S", "y");
    json_auto_t *other = json_pack("{s{ss}}", "a", "N", "100");

    (void)state;
    assert_int_equal(item_key_of_json(&p->schema, item, &key), 0);
    key_of_parts(p, "1E2", "AAE=", &expected);
    assert_int_equal(key.len, expected.len);
    assert_memory_equal(key.data, expected.data, key.len);
    buf_clear(&key);
    assert_int_equal(item_key_of_json(&p->schema, other, &key), -EINVAL);
}

/* Keys of converted columns are ours by the form that they have after it, and give no row back. */
static void test_converted_columns(void **state)
{
    (void)state;
    TABLE(t, "users", 1, COLUMN("id", AFFINITY_INTEGER));
    struct said said = {.converted = {{"id", "uuid5(example.org:users)"}}};
    struct plan_options o = {SAID(said), .partition_key = "USER#{id}"};
    _cleanup_plan_ struct table_plan *p = planned(&t, &o);
    _cleanup_buf_ struct buf key = {0}, other = {0}, store = {0};
    struct item_fault fault;
    struct value row[] = {integer(1)}, back[1];

    assert_int_equal(item_key(p, row, &key, NULL, &fault), 0);
    assert_true(plan_key_fits(p, key.data, key.len));
    assert_int_equal(plan_key_row(p, key.data, key.len, back, &store), -EINVAL);
    assert_int_equal(item_key_part(&other, ATTR_S, "USER#1", 6), 0);
    assert_false(plan_key_fits(p, other.data, other.len));
    said.converted[0][1] = "string";
    _cleanup_plan_ struct table_plan *q = planned(&t, &o);
    assert_true(plan_key_fits(q, other.data, other.len));
    assert_int_equal(plan_key_row(q, other.data, other.len, back, &store), 0);
    assert_int_equal(back[0].integer, 1);
}

static bool claims(const char *partition, const char *sort, const char *first, const char *second)
{
    struct key_schema s = {.count = second ? 2 : 1};
    _cleanup_buf_ struct buf key = {0};

    s.parts[0].type = s.parts[1].type = ATTR_S;
    assert_int_equal(item_key_part(&key, ATTR_S, first, strlen(first)), 0);
    if (second)
        assert_int_equal(item_key_part(&key, ATTR_S, second, strlen(second)), 0);
    return templates_claim(partition, sort, &s, key.data, key.len);
}

/* Of a table that is left out or gone nothing is known but its templates. */
static void templates_tell_without_a_plan(void **state)
{
    (void)state;
    assert_true(claims("PLACE#{place}", "SEAT", "PLACE#here", "SEAT"));
    assert_false(claims("PLACE#{place}", "SEAT", "PLACE#here", "DESK"));
    assert_false(claims("PLACE#{place}", "SEAT", "USER#here", "SEAT"));
    assert_false(claims("PLACE#{place}", NULL, "PLACE#here", "SEAT"));
    assert_true(claims("PLACE#{place}", "", "PLACE#", NULL));
    assert_true(claims("{a}#x{b}x", NULL, "1#x#xx", NULL));
    assert_false(claims("{a}#x{b}x", NULL, "1#x#xy", NULL));
    assert_true(claims("USER#{id}", "made", "USER#7", "whatever"));
    assert_false(claims("{id}", NULL, "USER#7", NULL));
    assert_false(claims("id", "{a}#{b}", "USER#7", "1#2"));
    assert_false(claims("", NULL, "USER#7", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_converted_columns),
        cmocka_unit_test(test_a_bare_key_says_nothing_about_whose_item_it_is),
        cmocka_unit_test(test_a_template_with_words_tells),
        cmocka_unit_test(test_a_prefix_tells_machines_apart),
        cmocka_unit_test(test_marks_alone_are_no_words),
        cmocka_unit_test(test_of_several_plans_the_one_that_tells_is_named),
        cmocka_unit_test(test_keys_lead_back_to_their_rows),
        cmocka_unit_test(test_where_rows_may_meet_no_row_is_told),
        cmocka_unit_test(test_another_spelling_is_no_row),
        cmocka_unit_test(test_hostile_keys_are_read_in_bounded_time),
        cmocka_unit_test(test_a_key_of_another_type_or_shape_is_not_ours),
        cmocka_unit_test(test_the_key_of_an_item_in_json),
        cmocka_unit_test(templates_tell_without_a_plan),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
