/* Remote keys: two rows never meet, one row has one key however DynamoDB writes it, and plain keys
 * lead back to their row. */
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

static void make_key(const struct table_plan *p, const struct value *row_key, struct buf *key,
                     struct buf *json)
{
    struct item_fault fault;

    buf_clear(key);
    if (json)
        buf_clear(json);
    if (item_key(p, row_key, key, json, &fault) != 0)
        fail_msg("%s: %s", fault.code, fault.text);
}

static void key_faults(const struct table_plan *p, const struct value *row_key, const char *code,
                       const char *column, const char *part)
{
    _cleanup_buf_ struct buf key = {0};
    struct item_fault fault = {0};

    assert_int_equal(item_key(p, row_key, &key, NULL, &fault), -EINVAL);
    assert_string_equal(fault.code, code);
    if (column)
        assert_string_equal(fault.column, column);
    else
        assert_null(fault.column);
    if (!strstr(fault.text, part))
        fail_msg("\"%s\" does not say \"%s\"", fault.text, part);
}

static bool same_bytes(const struct buf *a, const struct buf *b)
{
    return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

/* --- as DynamoDB writes it -------------------------------------------------------------------- */

static void test_the_key_as_json_has_the_key_attributes_alone(void **state)
{
    TABLE(t, "things", 2, COLUMN("a", AFFINITY_BLOB), COLUMN("b", AFFINITY_REAL),
          COLUMN("c", AFFINITY_TEXT));
    _cleanup_plan_ struct table_plan *p = planned(&t, NULL);
    _cleanup_buf_ struct buf key = {0}, json = {0};
    struct value row_key[] = {blob("\0\xff", 2), real(-0.25)};

    (void)state;
    make_key(p, row_key, &key, &json);
    assert_string_equal(json.data, "{\"a\":{\"B\":\"AP8=\"},\"b\":{\"N\":\"-0.25\"}}");
    buf_clear(&json);
    assert_int_equal(item_key_json(&p->schema, key.data, key.len, &json), 0);
    assert_string_equal(json.data, "{\"a\":{\"B\":\"AP8=\"},\"b\":{\"N\":\"-25e-2\"}}");
}

static void test_numbers_are_one_key_in_every_spelling(void **state)
{
    static const char *const hundred[] = {"100", "1E2", "1e+2", "100.0", "0100", "10E+1"};
    TABLE(t, "things", 1, COLUMN("id", AFFINITY_INTEGER));
    _cleanup_plan_ struct table_plan *p = planned(&t, NULL);
    _cleanup_buf_ struct buf key = {0}, other = {0};
    struct value id = integer(100);

    (void)state;
    make_key(p, &id, &key, NULL);
    for (size_t i = 0; i < sizeof hundred / sizeof *hundred; i++) {
        buf_clear(&other);
        assert_int_equal(item_key_part(&other, ATTR_N, hundred[i], strlen(hundred[i])), 0);
        assert_true(same_bytes(&key, &other));
    }
    id = real(100.0);
    make_key(p, &id, &other, NULL);
    assert_true(same_bytes(&key, &other));
}

static void test_parts_that_are_no_keys_are_refused(void **state)
{
    _cleanup_buf_ struct buf key = {0}, longer = {0};

    (void)state;
    assert_int_equal(item_key_part(&key, ATTR_N, "x", 1), -EINVAL);
    assert_int_equal(item_key_part(&key, ATTR_N, "", 0), -EINVAL);
    assert_int_equal(item_key_part(&key, ATTR_B, "A", 1), -EINVAL);
    assert_int_equal(item_key_part(&key, ATTR_B, "AA=A", 4), -EINVAL);
    while (longer.len < 65536)
        buf_putc(&longer, 'x');
    assert_int_equal(item_key_part(&key, ATTR_S, longer.data, 65536), -EINVAL);
    buf_clear(&key);
    assert_int_equal(item_key_part(&key, ATTR_S, longer.data, 65535), 0);
    buf_clear(&key);
    assert_int_equal(item_key_part(&key, ATTR_B, "", 0), 0);
    assert_int_equal(key.len, 3);
}

/* What the request held and what the reply says come out the same, for every type. */
static void test_keys_read_from_json_are_the_keys_made_from_rows(void **state)
{
    TABLE(t, "things", 2, COLUMN("b", AFFINITY_BLOB), COLUMN("s", AFFINITY_TEXT));
    _cleanup_plan_ struct table_plan *p = planned(&t, NULL);
    _cleanup_buf_ struct buf key = {0}, json = {0}, again = {0};
    struct rng r = {21};

    (void)state;
    for (int i = 0; i < 5000; i++) {
        char bytes[30], letters[30];
        size_t n = 1 + (size_t)rng_upto(&r, 29), m = 1 + (size_t)rng_upto(&r, 29);
        for (size_t k = 0; k < n; k++)
            bytes[k] = (char)rng_next(&r);
        for (size_t k = 0; k < m; k++)
            letters[k] = (char)rng_upto(&r, 127);
        struct value row_key[] = {blob(bytes, n), text_of(letters, m)};
        make_key(p, row_key, &key, &json);
        json_t *o = json_loadb(json.data, json.len, JSON_ALLOW_NUL, NULL);
        assert_non_null(o);
        buf_clear(&again);
        json_t *b = json_object_get(json_object_get(o, "b"), "B");
        json_t *s = json_object_get(json_object_get(o, "s"), "S");
        assert_int_equal(item_key_part(&again, ATTR_B, json_string_value(b), json_string_length(b)),
                         0);
        assert_int_equal(item_key_part(&again, ATTR_S, json_string_value(s), json_string_length(s)),
                         0);
        assert_true(same_bytes(&key, &again));
        json_decref(o);
    }
}

/* --- faults ----------------------------------------------------------------------------------- */

static void test_each_fault_of_a_key(void **state)
{
    static const char huge[2049] = {0};
    TABLE(t, "things", 2, COLUMN("s", AFFINITY_TEXT), COLUMN("n", AFFINITY_NUMERIC));
    TABLE(u, "others", 2, COLUMN("n", AFFINITY_INTEGER), COLUMN("b", AFFINITY_BLOB));
    _cleanup_plan_ struct table_plan *p = planned(&t, NULL);
    _cleanup_plan_ struct table_plan *q = planned(&u, NULL);
    struct value k[] = {null(), integer(1)}, b[] = {integer(1), blob(huge, 1024)};
    _cleanup_buf_ struct buf key = {0};

    (void)state;
    key_faults(p, k, "key_null", "s", "is NULL");
    k[0] = text("");
    key_faults(p, k, "key_empty", "s", "the key attribute \"s\" is empty");
    k[0] = integer(5);
    key_faults(p, k, "key_type", "s", "holds INTEGER, but its key attribute is of type S");
    k[0] = blob("x", 1);
    key_faults(p, k, "key_type", "s", "holds BLOB");
    k[0] = text("\xc0\x80");
    key_faults(p, k, "invalid_utf8", "s", "not valid UTF-8");
    k[0] = text_of(huge, 2049);
    key_faults(p, k, "key_too_long", "s", "has 2049 bytes; DynamoDB takes 2048");
    k[0] = text_of(huge, 2048);
    make_key(p, k, &key, NULL);
    k[1] = text("x");
    key_faults(p, k, "key_type", "n", "holds TEXT, but its key attribute is of type N");
    k[1] = real((double)INFINITY);
    key_faults(p, k, "not_a_number", "n", "cannot be");
    k[1] = real(1e126);
    key_faults(p, k, "number_range", "n", "outside");
    make_key(q, b, &key, NULL);
    b[1].len = 1025;
    key_faults(q, b, "key_too_long", "b", "has 1025 bytes; DynamoDB takes 1024");
    b[1].len = 0;
    b[1].bytes = NULL;
    key_faults(q, b, "key_empty", "b", "is empty");
}

static void test_joined_keys_count_their_escapes(void **state)
{
    char hashes[600];
    TABLE(t, "things", 3, COLUMN("a", AFFINITY_INTEGER), COLUMN("b", AFFINITY_TEXT),
          COLUMN("c", AFFINITY_TEXT));
    _cleanup_plan_ struct table_plan *p = planned(&t, NULL);
    struct value k[] = {integer(1), text_of(hashes, 511), text("")};
    _cleanup_buf_ struct buf key = {0};

    (void)state;
    memset(hashes, '#', sizeof hashes);
    make_key(p, k, &key, NULL); /* 2 * 511 + 1 */
    k[2] = text("x");
    make_key(p, k, &key, NULL); /* exactly 1,024 */
    k[2] = text("xy");
    key_faults(p, k, "key_too_long", NULL, "has 1025 bytes");
    k[1] = text("");
    k[2] = text("");
    make_key(p, k, &key, NULL); /* "#" is not empty */
}

/* --- no two rows meet ------------------------------------------------------------------------- */

/* All rows made of these short texts, in three columns: 14^3 keys, no two alike. */
static void test_joined_keys_never_meet(void **state)
{
    static const char *const parts[] = {"",  "#",  "\\", "##",  "\\\\", "\\#", "#\\",
                                        "a", "a#", "#a", "a\\", "\\a",  "a#a", "\\#\\"};
    enum { PARTS = sizeof parts / sizeof *parts, ALL = PARTS * PARTS * PARTS };
    TABLE(t, "things", 4, COLUMN("p", AFFINITY_INTEGER), COLUMN("a", AFFINITY_TEXT),
          COLUMN("b", AFFINITY_TEXT), COLUMN("c", AFFINITY_TEXT));
    _cleanup_plan_ struct table_plan *p = planned(&t, NULL);
    _cleanup_free_ struct buf *keys = calloc(ALL, sizeof *keys);

    (void)state;
    assert_non_null(keys);
    for (size_t i = 0; i < ALL; i++) {
        struct value k[] = {integer(1), text(parts[i % PARTS]), text(parts[i / PARTS % PARTS]),
                            text(parts[i / PARTS / PARTS])};
        make_key(p, k, &keys[i], NULL);
    }
    for (size_t i = 0; i < ALL; i++)
        for (size_t j = 0; j < i; j++)
            if (same_bytes(&keys[i], &keys[j]))
                fail_msg("rows %zu and %zu meet at %s", j, i, keys[i].data);
    for (size_t i = 0; i < ALL; i++)
        buf_free(&keys[i]);
}

/* Random rows from a small alphabet, so that near collisions are many. */
static struct value random_part(struct rng *r, enum affinity a, char *bytes, size_t room)
{
    static const double reals[] = {1, 10, 0.1, 1e19, 1e-7, 1.5, -1, 1e22, -0.5, 11};
    static const char letters[] = "#\\a1-.e";
    size_t n = (size_t)rng_upto(r, room);

    for (size_t i = 0; i < n; i++)
        bytes[i] = letters[rng_upto(r, sizeof letters - 2)];
    switch (a) {
    case AFFINITY_INTEGER:
        return integer((int64_t)rng_upto(r, 22) - 11);
    case AFFINITY_REAL:
        return real(reals[rng_upto(r, 9)]);
    case AFFINITY_BLOB:
        return blob(bytes, n);
    default:
        return text_of(bytes, n);
    }
}

static bool same_row(const struct table_plan *p, const struct value *a, const struct value *b)
{
    _cleanup_buf_ struct buf x = {0}, y = {0};

    for (size_t i = 0; i < p->row_key_count; i++) {
        value_encode(&x, &a[i]);
        value_encode(&y, &b[i]);
    }
    return same_bytes(&x, &y);
}

static void rows_keep_apart(const struct table_plan *p, uint64_t seed)
{
    struct rng r = {seed};
    _cleanup_buf_ struct buf x = {0}, y = {0};
    struct item_fault fault;
    unsigned compared = 0;

    for (int i = 0; i < 40000; i++) {
        struct value a[4], b[4];
        char bytes[8][4];
        for (size_t k = 0; k < p->row_key_count; k++) {
            a[k] = random_part(&r, p->columns[k].affinity, bytes[k], 3);
            b[k] =
                rng_upto(&r, 2) ? random_part(&r, p->columns[k].affinity, bytes[4 + k], 3) : a[k];
        }
        buf_clear(&x);
        buf_clear(&y);
        if (item_key(p, a, &x, NULL, &fault) < 0 || item_key(p, b, &y, NULL, &fault) < 0)
            continue;
        compared++;
        if (same_row(p, a, b) != same_bytes(&x, &y))
            fail_msg("seed %llu: two rows meet, or one row has two keys: %.*s",
                     (unsigned long long)seed, (int)x.len, x.data);
    }
    assert_true(compared > 10000);
}

static void test_rows_keep_apart_under_every_kind_of_key(void **state)
{
    TABLE(t, "things", 4, COLUMN("n", AFFINITY_INTEGER), COLUMN("r", AFFINITY_REAL),
          COLUMN("b", AFFINITY_BLOB), COLUMN("s", AFFINITY_TEXT));
    TABLE(s, "strings", 3, COLUMN("a", AFFINITY_TEXT), COLUMN("b", AFFINITY_TEXT),
          COLUMN("c", AFFINITY_TEXT));
    struct plan_options whole = {.partition_key = "{n}#{b}#{r}#{s}"};
    struct plan_options split = {.partition_key = "{n}/{r}", .sort_key = "{b}#{s}"};
    struct table_plan *plans[] = {planned(&t, NULL), planned(&s, NULL), planned(&t, &whole),
                                  planned(&t, &split)};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        rows_keep_apart(plans[i], 100 + i);
        plan_free(plans[i]);
    }
}

/* --- back to the row -------------------------------------------------------------------------- */

static void leads_back(const struct table_plan *p, const struct value *row_key)
{
    _cleanup_buf_ struct buf key = {0}, store = {0}, want = {0}, got = {0};
    struct value back[2];

    make_key(p, row_key, &key, NULL);
    assert_int_equal(item_row_key(p, key.data, key.len, back, &store), 0);
    for (size_t i = 0; i < p->row_key_count; i++) {
        value_encode(&want, &row_key[i]);
        value_encode(&got, &back[i]);
    }
    if (!same_bytes(&want, &got)) {
        _cleanup_buf_ struct buf a = {0}, b = {0};
        item_describe_key(p, row_key, &a);
        item_describe_key(p, back, &b);
        fail_msg("%s came back as %s", a.data, b.data);
    }
}

static void test_integer_keys_lead_back_to_their_row(void **state)
{
    static const int64_t ids[] = {0,
                                  1,
                                  -1,
                                  10,
                                  100,
                                  1000000,
                                  1000000000000000000,
                                  INT64_MAX,
                                  INT64_MIN,
                                  INT64_MAX - 7,
                                  -9000000000000000000,
                                  9007199254740993,
                                  9223372036854775800};
    TABLE(t, "things", 1, COLUMN("id", AFFINITY_INTEGER));
    TABLE(n, "decimals", 1, COLUMN("id", AFFINITY_NUMERIC));
    _cleanup_plan_ struct table_plan *p = planned(&t, NULL);
    _cleanup_plan_ struct table_plan *q = planned(&n, NULL);
    struct rng r = {31};

    (void)state;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        struct value id = integer(ids[i]);
        leads_back(p, &id);
        leads_back(q, &id);
    }
    for (int i = 0; i < 20000; i++) {
        struct value id = integer((int64_t)rng_next(&r) >> rng_upto(&r, 62));
        leads_back(p, &id);
    }
}

/* SQLite keeps a REAL in an INTEGER or NUMERIC column only when it is no 64-bit integer. */
static void test_real_keys_lead_back_to_their_row(void **state)
{
    static const double reals[] = {
        0.5,    -2.5, 1e19, 1e22, 9223372036854775808.0, -9223372036854775808.0, 1.5e300 / 1e190,
        1e-100, 1e125};
    TABLE(t, "numerics", 1, COLUMN("x", AFFINITY_NUMERIC));
    _cleanup_plan_ struct table_plan *p = planned(&t, NULL);

    (void)state;
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        struct value x = real(reals[i]);
        leads_back(p, &x);
    }
}

/* And keeps a REAL in a REAL column always: 1e18 must not come back as an integer that is not
 * exactly the double. */
static void test_keys_of_real_columns_lead_back_as_reals(void **state)
{
    static const double reals[] = {0,
                                   1,
                                   -1,
                                   100,
                                   1e15,
                                   1e18,
                                   4611686018427387904.0,
                                   9007199254740993.0,
                                   1.2345678901234567e17,
                                   0.1};
    TABLE(t, "reals", 1, COLUMN("x", AFFINITY_REAL));
    _cleanup_plan_ struct table_plan *p = planned(&t, NULL);
    struct rng r = {41};

    (void)state;
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        struct value x = real(reals[i]);
        leads_back(p, &x);
    }
    for (int i = 0; i < 20000; i++) {
        struct value x = real((double)(int64_t)rng_next(&r) / (double)(1 + rng_upto(&r, 20)));
        leads_back(p, &x);
    }
}

static void test_text_and_blob_keys_lead_back_in_key_order(void **state)
{
    TABLE(t, "things", 2, COLUMN("s", AFFINITY_TEXT), COLUMN("b", AFFINITY_BLOB));
    struct plan_options o = {.partition_key = "b", .sort_key = "s"};
    _cleanup_plan_ struct table_plan *p = planned(&t, NULL);
    _cleanup_plan_ struct table_plan *swapped = planned(&t, &o);
    struct value k[] = {text_of("a\0#\\", 4), blob("\xff\0", 2)};

    (void)state;
    leads_back(p, k);
    leads_back(swapped, k);
}

static void test_only_plain_keys_lead_back(void **state)
{
    TABLE(t, "things", 3, COLUMN("a", AFFINITY_INTEGER), COLUMN("b", AFFINITY_TEXT),
          COLUMN("c", AFFINITY_TEXT));
    _cleanup_plan_ struct table_plan *p = planned(&t, NULL);
    struct value k[] = {integer(1), text("x"), text("y")}, back[3];
    _cleanup_buf_ struct buf key = {0}, store = {0};

    (void)state;
    make_key(p, k, &key, NULL);
    assert_int_equal(item_row_key(p, key.data, key.len, back, &store), -EINVAL);
}

static void test_damaged_keys_are_refused(void **state)
{
    TABLE(t, "things", 2, COLUMN("s", AFFINITY_TEXT), COLUMN("n", AFFINITY_INTEGER));
    _cleanup_plan_ struct table_plan *p = planned(&t, NULL);
    struct value k[] = {text("abc"), integer(5)}, back[2];
    _cleanup_buf_ struct buf key = {0}, store = {0}, json = {0};

    (void)state;
    make_key(p, k, &key, NULL);
    for (size_t n = 0; n < key.len; n++) {
        _cleanup_free_ char *cut = malloc(n ? n : 1);
        assert_non_null(cut);
        memcpy(cut, key.data, n);
        assert_int_equal(item_row_key(p, cut, n, back, &store), -EINVAL);
        assert_int_equal(item_key_json(&p->schema, cut, n, &json), -EINVAL);
    }
    buf_putc(&key, 'x');
    assert_int_equal(item_row_key(p, key.data, key.len, back, &store), -EINVAL);
    assert_int_equal(item_key_json(&p->schema, key.data, key.len, &json), -EINVAL);
    key.len--;
    key.data[0] = 'N'; /* a type the schema does not have there */
    assert_int_equal(item_row_key(p, key.data, key.len, back, &store), -EINVAL);
    assert_int_equal(item_key_json(&p->schema, key.data, key.len, &json), -EINVAL);
}

static void test_keys_for_people(void **state)
{
    TABLE(t, "things", 2, COLUMN("a", AFFINITY_TEXT), COLUMN("b", AFFINITY_INTEGER));
    _cleanup_plan_ struct table_plan *p = planned(&t, NULL);
    struct value k[] = {text("x"), integer(2)};
    _cleanup_buf_ struct buf b = {0};

    (void)state;
    item_describe_key(p, k, &b);
    assert_string_equal(b.data, "a='x', b=2");
}

/* The key of a plain column is made the short way when no JSON is wanted. */
static void same_either_way(const struct table_plan *p, const struct value *row_key)
{
    _cleanup_buf_ struct buf alone = {0}, with_json = {0}, json = {0};
    struct item_fault fault = {0}, other = {0};
    int rc = item_key(p, row_key, &alone, NULL, &fault);

    assert_int_equal(item_key(p, row_key, &with_json, &json, &other), rc);
    if (rc == 0) {
        assert_true(same_bytes(&alone, &with_json));
        return;
    }
    assert_string_equal(fault.code, other.code);
    assert_string_equal(fault.text, other.text);
    assert_ptr_equal(fault.column, other.column);
}

static struct value any_value(struct rng *r, char *text, size_t size)
{
    size_t n = (size_t)rng_upto(r, rng_upto(r, 30) ? 20 : size - 1);

    for (size_t i = 0; i < n; i++)
        text[i] = (char)(rng_upto(r, 40) ? ' ' + rng_upto(r, 94) : rng_upto(r, 255));
    switch (rng_upto(r, 9)) {
    case 0:
        return (struct value){.kind = VALUE_NULL};
    case 1:
        return real((double)rng_upto(r, 100000) / 8);
    case 2:
        return blob(text, n);
    case 3:
    case 4:
    case 5:
        return (struct value){.kind = VALUE_TEXT, .bytes = text, .len = n};
    default:
        break;
    }
    int64_t v = (int64_t)(rng_next(r) >> (11 + rng_upto(r, 52)));
    if (rng_upto(r, 40) == 0)
        return integer(INT64_MIN + v);
    return integer((rng_upto(r, 1) ? v : -v) * (rng_upto(r, 3) ? 1 : 1000));
}

static void test_a_key_is_the_same_with_and_without_its_json(void **state)
{
    static const enum affinity affinities[] = {AFFINITY_INTEGER, AFFINITY_TEXT, AFFINITY_BLOB,
                                               AFFINITY_REAL};
    static char one[3000], two[3000];
    struct rng r = {14};

    (void)state;
    for (size_t a = 0; a < 16; a++) {
        TABLE(t, "things", 2, COLUMN("a", affinities[a / 4]), COLUMN("b", affinities[a % 4]),
              COLUMN("c", AFFINITY_TEXT));
        _cleanup_plan_ struct table_plan *p = planned(&t, NULL);
        for (int i = 0; i < 5000; i++) {
            struct value row_key[] = {any_value(&r, one, sizeof one),
                                      any_value(&r, two, sizeof two)};
            same_either_way(p, row_key);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_key_as_json_has_the_key_attributes_alone),
        cmocka_unit_test(test_numbers_are_one_key_in_every_spelling),
        cmocka_unit_test(test_parts_that_are_no_keys_are_refused),
        cmocka_unit_test(test_keys_read_from_json_are_the_keys_made_from_rows),
        cmocka_unit_test(test_each_fault_of_a_key),
        cmocka_unit_test(test_joined_keys_count_their_escapes),
        cmocka_unit_test(test_joined_keys_never_meet),
        cmocka_unit_test(test_rows_keep_apart_under_every_kind_of_key),
        cmocka_unit_test(test_integer_keys_lead_back_to_their_row),
        cmocka_unit_test(test_real_keys_lead_back_to_their_row),
        cmocka_unit_test(test_keys_of_real_columns_lead_back_as_reals),
        cmocka_unit_test(test_text_and_blob_keys_lead_back_in_key_order),
        cmocka_unit_test(test_only_plain_keys_lead_back),
        cmocka_unit_test(test_damaged_keys_are_refused),
        cmocka_unit_test(test_keys_for_people),
        cmocka_unit_test(test_a_key_is_the_same_with_and_without_its_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
