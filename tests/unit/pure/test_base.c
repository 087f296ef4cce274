/* Buffers, hash table, list, generator and error sentences: what everything else stands on. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/blocks.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/map.h"
#include "base/rng.h"
#include "base/text.h"

/* An allocation that cannot be met is what this file asks for: AddressSanitizer shall answer it as
 * malloc does. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

/* --- buf -------------------------------------------------------------------------------------- */

static void test_buf_keeps_every_byte_while_it_grows(void **state)
{
    enum { TOTAL = 300000 };
    _cleanup_free_ char *want = malloc(TOTAL);
    _cleanup_buf_ struct buf b = {0};
    struct rng r = {7};

    (void)state;
    assert_non_null(want);
    while (b.len < TOTAL) {
        size_t n = (size_t)rng_upto(&r, 700);
        if (n > TOTAL - b.len)
            n = TOTAL - b.len;
        for (size_t i = 0; i < n; i++)
            want[b.len + i] = (char)rng_next(&r);
        size_t before = b.len;
        buf_append(&b, want + before, n);
        assert_int_equal(b.len, before + n);
        assert_int_equal(b.data[b.len], '\0');
        assert_true(b.len < b.cap);
    }
    assert_true(buf_ok(&b));
    assert_memory_equal(b.data, want, TOTAL);
}

static void test_buf_ends_with_nul_at_every_length(void **state)
{
    _cleanup_buf_ struct buf b = {0};

    (void)state;
    buf_append(&b, NULL, 0);
    assert_string_equal(b.data, "");
    for (size_t i = 1; i < 300; i++) {
        buf_putc(&b, 'x');
        assert_int_equal(strlen(b.data), i);
    }
}

static void test_buf_prints_numbers_to_their_limits(void **state)
{
    _cleanup_buf_ struct buf b = {0};
    char want[200];

    (void)state;
    buf_append_u64(&b, 0);
    buf_lit(&b, " ");
    buf_append_u64(&b, UINT64_MAX);
    buf_lit(&b, " ");
    buf_append_i64(&b, INT64_MIN);
    buf_lit(&b, " ");
    buf_append_i64(&b, -1);
    buf_lit(&b, " ");
    buf_append_i64(&b, INT64_MAX);
    buf_printf(&b, " %s %d%s", "x", 5, "");
    snprintf(want, sizeof want, "0 %llu %lld -1 %lld x 5", (unsigned long long)UINT64_MAX,
             (long long)INT64_MIN, (long long)INT64_MAX);
    assert_string_equal(b.data, want);
}

static void fails_and_stays_failed(size_t more)
{
    _cleanup_buf_ struct buf b = {0};

    buf_puts(&b, "kept");
    assert_false(buf_reserve(&b, more));
    assert_false(buf_ok(&b));
    buf_puts(&b, "lost");
    buf_putc(&b, 'l');
    buf_printf(&b, "%d", 5);
    buf_append_i64(&b, -5);
    base64_append(&b, "ab", 2);
    assert_false(buf_reserve(&b, 1));
    assert_false(buf_ok(&b));
    assert_string_equal(b.data, "kept");
    assert_int_equal(b.len, 4);
    buf_clear(&b);
    assert_true(buf_ok(&b));
    buf_puts(&b, "again");
    assert_string_equal(b.data, "again");
}

static void test_buf_that_failed_stays_failed_until_cleared(void **state)
{
    (void)state;
    fails_and_stays_failed(SIZE_MAX);
    fails_and_stays_failed(SIZE_MAX / 2);
    fails_and_stays_failed(SIZE_MAX / 2 - 5); /* the longest that is tried */
    fails_and_stays_failed(SIZE_MAX / 4);
}

static void test_buf_free_leaves_an_empty_buffer(void **state)
{
    struct buf b = {0};

    (void)state;
    buf_free(&b);
    buf_puts(&b, "x");
    buf_free(&b);
    assert_null(b.data);
    assert_int_equal(b.len + b.cap, 0);
    buf_clear(&b);
    assert_null(b.data);
}

/* --- map -------------------------------------------------------------------------------------- */

struct thing {
    struct map_node node;
    uint64_t key;
    bool in;
};

static bool found(const struct map *m, uint64_t hash, const struct thing *t)
{
    for (struct map_node *n = map_find(m, hash); n; n = map_next(n))
        if (container_of(n, struct thing, node) == t)
            return true;
    return false;
}

/* Inserts and removals in any order, hashes from a small range so that many are equal. */
static void random_work(uint64_t seed, uint64_t hashes)
{
    enum { COUNT = 3000 };
    _cleanup_free_ struct thing *things = calloc(COUNT, sizeof *things);
    struct map m = {0};
    struct rng r = {seed};
    size_t in = 0;

    assert_non_null(things);
    assert_null(map_find(&m, 1));
    for (size_t i = 0; i < COUNT; i++)
        things[i].key = rng_upto(&r, hashes);
    for (size_t step = 0; step < 5 * COUNT; step++) {
        struct thing *t = &things[rng_upto(&r, COUNT - 1)];
        assert_int_equal(found(&m, t->key, t), t->in);
        if (t->in)
            map_remove(&m, &t->node);
        else
            assert_int_equal(map_insert(&m, &t->node, t->key), 0);
        t->in = !t->in;
        in = t->in ? in + 1 : in - 1;
        assert_int_equal(m.count, in);
    }
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(found(&m, things[i].key, &things[i]), things[i].in);
    map_free(&m);
    assert_null(map_find(&m, things[0].key));
}

static void test_map_finds_exactly_what_is_in_it(void **state)
{
    (void)state;
    random_work(1, UINT64_MAX);
    random_work(2, 500);
    random_work(3, 3);
}

static void test_map_holds_many(void **state)
{
    enum { MANY = 200000 };
    _cleanup_free_ struct thing *things = calloc(MANY, sizeof *things);
    struct map m = {0};

    (void)state;
    assert_non_null(things);
    for (uint64_t i = 0; i < MANY; i++) {
        things[i].key = map_hash(&i, sizeof i, 42);
        assert_int_equal(map_insert(&m, &things[i].node, things[i].key), 0);
    }
    assert_true(m.mask + 1 >= MANY / 2);
    for (size_t i = 0; i < MANY; i++)
        assert_true(found(&m, things[i].key, &things[i]));
    for (size_t i = 0; i < MANY; i += 2)
        map_remove(&m, &things[i].node);
    assert_int_equal(m.count, MANY / 2);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(found(&m, things[i].key, &things[i]), i % 2);
    map_free(&m);
}

static void test_hash_depends_on_bytes_length_and_seed_but_not_on_place(void **state)
{
    char bytes[64] = {0};
    char moved[80];

    (void)state;
    for (size_t n = 0; n < sizeof bytes; n++) {
        uint64_t hash = map_hash(bytes, n, 5);
        assert_true(hash != map_hash(bytes, n, 6));
        assert_true(n == 0 || hash != map_hash(bytes, n - 1, 5));
        for (size_t shift = 0; shift < 8; shift++) {
            memcpy(moved + shift, bytes, n);
            assert_true(hash == map_hash(moved + shift, n, 5));
        }
        for (size_t i = 0; i < n; i++) {
            bytes[i] ^= 0x40;
            assert_true(hash != map_hash(bytes, n, 5));
            bytes[i] ^= 0x40;
        }
    }
}

/* --- list ------------------------------------------------------------------------------------- */

struct link {
    struct list node;
    int n;
};

static void order_is(struct list *l, const char *want)
{
    _cleanup_buf_ struct buf got = {0};

    buf_puts(&got, "");
    list_for_each(pos, after, l) buf_printf(&got, "%d", container_of(pos, struct link, node)->n);
    assert_string_equal(got.data, want);
}

static void test_list_keeps_order_and_lets_go(void **state)
{
    struct link links[5];
    struct list l;

    (void)state;
    list_init(&l);
    assert_true(list_empty(&l));
    for (int i = 0; i < 5; i++)
        links[i].n = i;
    list_push_back(&l, &links[1].node);
    list_push_back(&l, &links[2].node);
    list_push_front(&l, &links[0].node);
    order_is(&l, "012");
    assert_ptr_equal(list_first(&l, struct link, node), &links[0]);
    list_remove(&links[1].node);
    order_is(&l, "02");
    assert_true(list_empty(&links[1].node)); /* stands alone: removing again does nothing */
    list_remove(&links[1].node);
    order_is(&l, "02");
    list_push_back(&l, &links[3].node);
    list_push_back(&l, &links[4].node);
    list_for_each(pos, after, &l) if (container_of(pos, struct link, node)->n % 2 == 0)
        list_remove(pos);
    order_is(&l, "3");
    list_remove(&links[3].node);
    assert_true(list_empty(&l));
}

static void test_lists_are_put_together(void **state)
{
    struct link links[4];
    struct list l, from;

    (void)state;
    list_init(&l);
    list_init(&from);
    for (int i = 0; i < 4; i++)
        links[i].n = i;
    list_append(&l, &from); /* nothing to nothing */
    assert_true(list_empty(&l));
    list_push_back(&from, &links[0].node);
    list_append(&l, &from);
    order_is(&l, "0");
    assert_true(list_empty(&from));
    for (int i = 1; i < 4; i++)
        list_push_back(&from, &links[i].node);
    list_append(&l, &from);
    order_is(&l, "0123");
    assert_true(list_empty(&from));
    list_append(&l, &from);
    list_remove(&links[3].node);
    order_is(&l, "012");
}

/* --- rng -------------------------------------------------------------------------------------- */

static void test_rng_is_splitmix64(void **state)
{
    struct rng zero = {0}, other = {1234567};

    (void)state;
    assert_true(rng_next(&zero) == 0xe220a8397b1dcdafull);
    assert_true(rng_next(&zero) == 0x6e789e6aa1b965f4ull);
    assert_true(rng_next(&zero) == 0x06c45d188009454full);
    assert_true(rng_next(&other) == 6457827717110365317ull);
    assert_true(rng_next(&other) == 3203168211198807973ull);
}

static void test_rng_upto_reaches_both_ends_and_no_further(void **state)
{
    struct rng r = {99};
    unsigned seen[11] = {0};

    (void)state;
    for (int i = 0; i < 11000; i++) {
        uint64_t v = rng_upto(&r, 10);
        assert_true(v <= 10);
        seen[v]++;
    }
    for (int i = 0; i <= 10; i++)
        assert_in_range(seen[i], 800, 1200);
    assert_int_equal(rng_upto(&r, 0), 0);
    rng_upto(&r, UINT64_MAX);
}

/* --- err -------------------------------------------------------------------------------------- */

static void test_err_returns_the_code_and_keeps_the_sentence(void **state)
{
    struct err err;

    (void)state;
    assert_int_equal(err_set(&err, -EINVAL, "file %s, line %d", "a.conf", 3), -EINVAL);
    assert_string_equal(err.text, "file a.conf, line 3");
    assert_int_equal(err_prefix(&err, -EIO, "table %s", "t"), -EIO);
    assert_string_equal(err.text, "table t: file a.conf, line 3");
    assert_int_equal(err_set(NULL, -ENOMEM, "nobody listens"), -ENOMEM);
    assert_int_equal(err_prefix(NULL, -ENOMEM, "nobody listens"), -ENOMEM);
}

static void test_err_is_cut_between_characters(void **state)
{
    static const char *const chars[] = {"x", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    struct err err;

    (void)state;
    for (size_t c = 0; c < 4; c++)
        for (int shift = 0; shift < 5; shift++) {
            _cleanup_buf_ struct buf text = {0};
            buf_printf(&text, "%.*s", shift, "....");
            while (text.len < 1000)
                buf_puts(&text, chars[c]);
            err_set(&err, -1, "%s", text.data);
            size_t n = strlen(err.text);
            assert_true(utf8_valid(err.text, n));
            assert_in_range(n, sizeof err.text - 4, sizeof err.text - 1);
            assert_memory_equal(err.text, text.data, n);
            err_prefix(&err, -1, "p%.*s", shift, "....");
            assert_true(utf8_valid(err.text, strlen(err.text)));
        }
}

static void test_err_that_fits_exactly_is_not_cut(void **state)
{
    _cleanup_buf_ struct buf text = {0};
    struct err err;

    (void)state;
    while (text.len < sizeof err.text - 3)
        buf_putc(&text, 'x');
    buf_puts(&text, "\xc3\xa9");
    assert_int_equal(text.len, sizeof err.text - 1);
    err_set(&err, -1, "%s", text.data);
    assert_string_equal(err.text, text.data);
}

/* --- digits ----------------------------------------------------------------------------------- */

static void digits_are(uint64_t v)
{
    char want[32], got[32];

    memset(got, '?', sizeof got);
    int n = snprintf(want, sizeof want, "%llu", (unsigned long long)v);
    assert_int_equal(text_u64(got, v), n);
    assert_memory_equal(got, want, (size_t)n);
    assert_int_equal(got[n], '?');
    n = snprintf(want, sizeof want, "%lld", (long long)v);
    assert_int_equal(text_i64(got, (int64_t)v), n);
    assert_memory_equal(got, want, (size_t)n);
}

static void test_digits_are_those_of_printf(void **state)
{
    struct rng r = {9};

    (void)state;
    for (uint64_t v = 0; v < 20000; v++)
        digits_are(v);
    for (uint64_t power = 1; power <= UINT64_MAX / 10; power *= 10)
        for (uint64_t near = 0; near < 3; near++) {
            digits_are(power * 10 - near);
            digits_are(power * 10 + near);
            digits_are(-(power * 10 + near));
        }
    for (int i = 0; i < 200000; i++)
        digits_are(rng_next(&r) >> rng_upto(&r, 63));
    digits_are(UINT64_MAX);
    digits_are((uint64_t)INT64_MAX);
    digits_are((uint64_t)INT64_MIN);
}

static void test_buf_printf_at_every_length_around_its_room(void **state)
{
    (void)state;
    for (int before = 0; before < 70; before++)
        for (int n = 0; n < 200; n++) {
            _cleanup_buf_ struct buf b = {0};
            for (int i = 0; i < before; i++)
                buf_putc(&b, 'x');
            buf_printf(&b, "%0*d", n, 7);
            assert_true(buf_ok(&b));
            assert_int_equal(b.len, before + (n ? n : 1));
            assert_int_equal(strlen(b.data), b.len);
            assert_int_equal(b.data[b.len - 1], '7');
            assert_int_equal(strspn(b.data, "x"), before);
        }
}

/* --- blocks ----------------------------------------------------------------------------------- */

static void test_blocks_are_kept_up_to_the_bound_and_no_two_takers_share_one(void **state)
{
    enum { MOST = 10, ALL = 25, SIZE = 40 };
    struct blocks b = {.size = SIZE, .most = MOST};
    unsigned char *taken[ALL];

    (void)state;
    for (int turn = 0; turn < 3; turn++) {
        for (int i = 0; i < ALL; i++) {
            taken[i] = blocks_take(&b);
            assert_non_null(taken[i]);
            memset(taken[i], i, SIZE);
        }
        assert_int_equal(b.count, 0);
        for (int i = 0; i < ALL; i++)
            for (int k = 0; k < SIZE; k++)
                assert_int_equal(taken[i][k], i);
        for (int i = 0; i < ALL; i++)
            blocks_give(&b, taken[i]);
        blocks_give(&b, NULL);
        assert_true(b.count <= MOST);
    }
    blocks_clear(&b);
    assert_int_equal(b.count, 0);
    void *one = blocks_take(&b);
    assert_non_null(one);
    blocks_give(&b, one);
    blocks_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf_keeps_every_byte_while_it_grows),
        cmocka_unit_test(test_buf_ends_with_nul_at_every_length),
        cmocka_unit_test(test_buf_prints_numbers_to_their_limits),
        cmocka_unit_test(test_buf_that_failed_stays_failed_until_cleared),
        cmocka_unit_test(test_buf_free_leaves_an_empty_buffer),
        cmocka_unit_test(test_map_finds_exactly_what_is_in_it),
        cmocka_unit_test(test_map_holds_many),
        cmocka_unit_test(test_hash_depends_on_bytes_length_and_seed_but_not_on_place),
        cmocka_unit_test(test_list_keeps_order_and_lets_go),
        cmocka_unit_test(test_lists_are_put_together),
        cmocka_unit_test(test_rng_is_splitmix64),
        cmocka_unit_test(test_rng_upto_reaches_both_ends_and_no_further),
        cmocka_unit_test(test_err_returns_the_code_and_keeps_the_sentence),
        cmocka_unit_test(test_err_is_cut_between_characters),
        cmocka_unit_test(test_err_that_fits_exactly_is_not_cut),
        cmocka_unit_test(test_digits_are_those_of_printf),
        cmocka_unit_test(test_buf_printf_at_every_length_around_its_room),
        cmocka_unit_test(test_blocks_are_kept_up_to_the_bound_and_no_two_takers_share_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
