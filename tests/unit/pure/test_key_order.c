/* The order of remote keys: a total one over any bytes, as what is remembered of the highest key
 * relies on, and the one in which integers and texts are read from a table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/rng.h"
#include "mapping/item.h"

static void number_key(struct buf *key, const char *text)
{
    buf_clear(key);
    assert_int_equal(item_key_part(key, ATTR_N, text, strlen(text)), 0);
}

static int order(const struct buf *a, const struct buf *b)
{
    int c = item_key_order(a->data, a->len, b->data, b->len);

    return (c > 0) - (c < 0);
}

static void test_integers_rise(void **state)
{
    _cleanup_buf_ struct buf before = {0}, key = {0};
    char text[24];

    (void)state;
    number_key(&before, "-100001");
    for (int i = -100000; i <= 100000; i++) {
        if (i == 0)
            continue;
        snprintf(text, sizeof text, "%d", i);
        number_key(&key, text);
        if (order(&before, &key) >= 0)
            fail_msg("%d is not above the number before it", i);
        buf_clear(&before);
        buf_append(&before, key.data, key.len);
    }
}

static void test_texts_rise_as_they_are_read(void **state)
{
    static const char *const texts[] = {"", "a", "aa", "ab", "b", "b1", "z"};
    _cleanup_buf_ struct buf a = {0}, b = {0};

    (void)state;
    for (size_t i = 0; i + 1 < sizeof texts / sizeof *texts; i++) {
        buf_clear(&a);
        buf_clear(&b);
        item_key_part(&a, ATTR_S, texts[i], strlen(texts[i]));
        item_key_part(&b, ATTR_S, texts[i + 1], strlen(texts[i + 1]));
        assert_int_equal(order(&a, &b), -1);
        /* A second part decides where the first is the same. */
        item_key_part(&a, ATTR_N, "9", 1);
        assert_int_equal(order(&a, &b), -1);
        buf_clear(&b);
        item_key_part(&b, ATTR_S, texts[i], strlen(texts[i]));
        item_key_part(&b, ATTR_N, "10", 2);
        assert_int_equal(order(&a, &b), -1);
    }
}

/* Keys, damaged keys, and bytes that never were one. */
static void make_any(struct rng *r, struct buf *key)
{
    static const char *const numbers[] = {"0", "1", "-1", "1e30", "-1e30", "12e-5", "0.5", "100"};

    buf_clear(key);
    for (uint64_t parts = rng_upto(r, 2); parts > 0; parts--) {
        const char *text = numbers[rng_upto(r, 7)];
        item_key_part(key, rng_upto(r, 1) ? ATTR_N : ATTR_S, text, strlen(text));
    }
    if (rng_upto(r, 3) == 0)
        buf_putc(key, (char)rng_upto(r, 255));
    if (key->len && rng_upto(r, 3) == 0)
        key->data[rng_upto(r, key->len - 1)] = (char)rng_upto(r, 255);
    if (key->len && rng_upto(r, 3) == 0)
        key->len -= rng_upto(r, key->len);
}

static void test_any_three_keys_are_in_order(void **state)
{
    struct buf k[3] = {0};
    struct rng r = {7};

    (void)state;
    for (int i = 0; i < 200000; i++) {
        for (int j = 0; j < 3; j++)
            make_any(&r, &k[j]);
        int ab = order(&k[0], &k[1]), bc = order(&k[1], &k[2]), ac = order(&k[0], &k[2]);
        assert_int_equal(order(&k[0], &k[0]), 0);
        assert_int_equal(order(&k[1], &k[0]), -ab);
        if (ab <= 0 && bc <= 0)
            assert_true(ac <= 0 && (ac < 0 || (ab == 0 && bc == 0)));
        if (ab >= 0 && bc >= 0)
            assert_true(ac >= 0 && (ac > 0 || (ab == 0 && bc == 0)));
    }
    for (int j = 0; j < 3; j++)
        buf_free(&k[j]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers_rise),
        cmocka_unit_test(test_texts_rise_as_they_are_read),
        cmocka_unit_test(test_any_three_keys_are_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
