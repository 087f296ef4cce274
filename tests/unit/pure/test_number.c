/* Numbers: what is written reads back and is the shortest, equal values have one text, and sizes
 * and limits are DynamoDB's. */
#include <errno.h>
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "mapping/number.h"

static double from_bits(uint64_t bits)
{
    double d;

    memcpy(&d, &bits, 8);
    return d;
}

static uint64_t to_bits(double d)
{
    uint64_t bits;

    memcpy(&bits, &d, 8);
    return bits;
}

static int significant_digits(const char *text)
{
    int n = 0, zeros = 0;

    for (; *text && *text != 'e'; text++) {
        if (*text < '0' || *text > '9' || (n == 0 && *text == '0'))
            continue;
        n++;
        zeros = *text == '0' ? zeros + 1 : 0;
    }
    return n - zeros;
}

/* Does some decimal of so many digits read back to d? The nearest one or a neighbour would. */
static bool has_decimal_of(double d, int digits)
{
    char text[40], *e;

    snprintf(text, sizeof text, "%.*e", digits - 1, d);
    e = strchr(text, 'e');
    int exponent = atoi(e + 1) - (digits - 1);
    *e = '\0';
    unsigned long long mantissa = 0;
    for (char *p = text; *p; p++)
        if (*p != '.')
            mantissa = mantissa * 10 + (unsigned)(*p - '0');
    for (unsigned long long m = mantissa - 1; m <= mantissa + 1; m++) {
        snprintf(text, sizeof text, "%llue%d", m, exponent);
        if (strtod(text, NULL) == d)
            return true;
    }
    return false;
}

static void is_decimal(const char *text)
{
    size_t n = strspn(text, "-"), digits = strspn(text + n, "0123456789");

    assert_true(n <= 1 && digits > 0);
    n += digits;
    if (text[n] == '.') {
        digits = strspn(text + n + 1, "0123456789");
        assert_true(digits > 0);
        n += 1 + digits;
    }
    if (text[n] == 'e') {
        assert_true(text[n + 1] == '-' || text[n + 1] == '+');
        digits = strspn(text + n + 2, "0123456789");
        assert_true(digits > 0);
        n += 2 + digits;
    }
    assert_int_equal(text[n], '\0');
}

static void prints_well(double d)
{
    _cleanup_buf_ struct buf b = {0};

    number_print_double(&b, d);
    is_decimal(b.data);
    double want = d == 0 ? 0.0 : d;
    if (to_bits(strtod(b.data, NULL)) != to_bits(want))
        fail_msg("%a was written as %s", d, b.data);
    int digits = significant_digits(b.data);
    if (digits > 1 && has_decimal_of(fabs(d), digits - 1))
        fail_msg("%a was written as %s, which is not the shortest", d, b.data);
}

/* --- printing --------------------------------------------------------------------------------- */

static void test_random_bits_read_back_and_are_the_shortest(void **state)
{
    struct rng r = {1};

    (void)state;
    for (int i = 0; i < 150000; i++) {
        double d = from_bits(rng_next(&r));
        if (isfinite(d))
            prints_well(d);
    }
}

static void test_what_people_store_reads_back_and_is_the_shortest(void **state)
{
    static const double powers[] = {1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
    struct rng r = {2};

    (void)state;
    for (int i = 0; i < 150000; i++) {
        double n = (double)(rng_next(&r) >> rng_upto(&r, 63));
        double d = (rng_upto(&r, 1) ? n : -n) / powers[rng_upto(&r, 9)];
        prints_well(d);
        prints_well(nextafter(d, INFINITY));
    }
}

static void test_borders_read_back_and_are_the_shortest(void **state)
{
    (void)state;
    for (int e = -1074; e < 1024; e++) {
        double d = ldexp(1, e);
        prints_well(d);
        prints_well(-d);
        prints_well(nextafter(d, 0));
        prints_well(nextafter(d, INFINITY));
    }
    for (int e = -323; e <= 308; e++) {
        char text[16];
        snprintf(text, sizeof text, "1e%d", e);
        prints_well(strtod(text, NULL));
        prints_well(nextafter(strtod(text, NULL), 0));
    }
    prints_well(DBL_MAX);
    prints_well(DBL_MIN);
    prints_well(DBL_TRUE_MIN);
}

static void test_texts_of_common_doubles(void **state)
{
    static const struct {
        double d;
        const char *text;
    } cases[] = {
        {0, "0"},
        {-0.0, "0"},
        {1, "1"},
        {-1, "-1"},
        {0.1, "0.1"},
        {-2.5, "-2.5"},
        {1.05, "1.05"},
        {100, "100"},
        {1e15, "1e+15"},
        {0.30000000000000004, "0.30000000000000004"},
        {123456.789, "123456.789"},
        {1e-7, "1e-07"},
        {999999999999999, "999999999999999"},
        {0x1p-44, "5.684341886080802e-14"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _cleanup_buf_ struct buf b = {0};
        number_print_double(&b, cases[i].d);
        assert_string_equal(b.data, cases[i].text);
    }
}

/* --- range ------------------------------------------------------------------------------------ */

static void test_the_range_is_dynamodbs_to_the_last_bit(void **state)
{
    (void)state;
    assert_int_equal(number_check_double(0), 0);
    assert_int_equal(number_check_double(-0.0), 0);
    for (int sign = -1; sign <= 1; sign += 2) {
        assert_int_equal(number_check_double(sign * 1e-130), 0);
        assert_int_equal(number_check_double(sign * nextafter(1e-130, 0)), -ERANGE);
        assert_int_equal(number_check_double(sign * 9.9999999999999999e125),
                         -ERANGE); /* is 1e126 */
        assert_int_equal(number_check_double(sign * nextafter(1e126, 0)), 0);
        assert_int_equal(number_check_double(sign * 1e126), -ERANGE);
        assert_int_equal(number_check_double(sign * DBL_MAX), -ERANGE);
        assert_int_equal(number_check_double(sign * DBL_TRUE_MIN), -ERANGE);
        assert_int_equal(number_check_double((double)INFINITY * sign), -EDOM);
    }
    assert_int_equal(number_check_double((double)NAN), -EDOM);
}

/* The text that is sent is in range exactly when the check says so. */
static void test_the_range_holds_for_the_text_as_written(void **state)
{
    static const double borders[] = {1e-130, 1e126};

    (void)state;
    for (size_t b = 0; b < 2; b++)
        for (int i = -2000; i <= 2000; i++) {
            double d = from_bits(to_bits(borders[b]) + (uint64_t)i);
            _cleanup_buf_ struct buf text = {0}, canonical = {0};
            number_print_double(&text, d);
            assert_int_equal(number_canonical(&canonical, text.data, text.len), 0);
            const char *e = strchr(canonical.data, 'e');
            long magnitude = atol(e + 1) + (e - canonical.data) - 1; /* of the first digit */
            assert_int_equal(number_check_double(d) == 0, magnitude >= -130 && magnitude <= 125);
        }
}

/* --- canonical text --------------------------------------------------------------------------- */

static void canonical_is(const char *text, const char *want)
{
    _cleanup_buf_ struct buf b = {0};

    if (number_canonical(&b, text, strlen(text)) < 0)
        fail_msg("%s was refused", text);
    assert_string_equal(b.data, want);
}

static void test_equal_values_have_one_text(void **state)
{
    static const char *const hundred[] = {"100",   "1E2",       "1e2",    "100.0",       "100.",
                                          "+1e+2", "1e+02",     "0.1e3",  ".1e3",        "1000e-1",
                                          "00100", "0100.00e0", "10.0E1", "1e0000000002"};
    static const char *const zero[] = {"0",
                                       "-0",
                                       "+0",
                                       "0.0",
                                       "-0.000",
                                       ".0",
                                       "0.",
                                       "0e5",
                                       "-0E-9",
                                       "000",
                                       "0e99999999999999999999"};

    (void)state;
    for (size_t i = 0; i < sizeof hundred / sizeof *hundred; i++)
        canonical_is(hundred[i], "1e2");
    for (size_t i = 0; i < sizeof zero / sizeof *zero; i++)
        canonical_is(zero[i], "0");
    canonical_is("-0.0150", "-15e-3");
    canonical_is("42.12", "4212e-2");
    canonical_is("1", "1");
    canonical_is("9223372036854775807", "9223372036854775807");
    canonical_is("-9223372036854775808", "-9223372036854775808");
    canonical_is("1e125", "1e125");
    canonical_is("0.00001", "1e-5");
    canonical_is("10203040.5060", "10203040506e-3");
}

/* What is out of any range stays what it is when it is read again. */
static void test_an_exponent_without_end_ends_somewhere(void **state)
{
    static const char *const far[] = {"20e999999", "20e99999999999999999999999999999999999904034",
                                      "-0.02e-99999999999999999999", "12e10000000", "1e-10000001"};

    (void)state;
    for (size_t i = 0; i < sizeof far / sizeof *far; i++) {
        _cleanup_buf_ struct buf once = {0};
        assert_int_equal(number_canonical(&once, far[i], strlen(far[i])), 0);
        canonical_is(once.data, once.data);
    }
    /* Digits bring it back from as far as a value is long. */
    _cleanup_buf_ struct buf b = {0};
    buf_puts(&b, "0.");
    for (unsigned zeros = 0; zeros < 1000000; zeros++)
        buf_putc(&b, '0');
    buf_puts(&b, "70e1000000");
    canonical_is(b.data, "7e-1");
}

static void test_what_is_no_number_is_refused_and_nothing_written(void **state)
{
    static const char *const bad[] = {"",    "-",        "+",     ".",    "e5",    "1e",
                                      "1e+", "1e-",      "1.2.3", " 1",   "1 ",    "0x1",
                                      "1,5", "--1",      "+-1",   "1e5.", "1e5e5", "NaN",
                                      "inf", "Infinity", "1_000", "1e 5", "-.",    ".e1"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        _cleanup_buf_ struct buf b = {0};
        buf_puts(&b, "before");
        if (number_canonical(&b, bad[i], strlen(bad[i])) != -EINVAL)
            fail_msg("\"%s\" was taken", bad[i]);
        assert_string_equal(b.data, "before");
    }
    _cleanup_buf_ struct buf b = {0};
    assert_int_equal(number_canonical(&b, "", 0), -EINVAL);
}

/* digits * 10^exponent, spelled in some way that keeps the value. */
static void spell(struct rng *r, const char *digits, long exponent, struct buf *out)
{
    size_t n = strlen(digits), zeros = (size_t)rng_upto(r, 3), point;

    for (size_t i = (size_t)rng_upto(r, 2); i > 0; i--)
        buf_putc(out, '0');
    buf_printf(out, "%s%.*s", digits, (int)zeros, "000");
    exponent -= (long)zeros;
    point = (size_t)rng_upto(r, n + zeros);
    _cleanup_buf_ struct buf tail = {0};
    size_t from = out->len - point;
    if (rng_upto(r, 1)) {
        buf_append(&tail, out->data + from, point);
        out->len = from;
        buf_putc(out, '.');
        buf_append(out, tail.data ? tail.data : "", point);
        exponent += (long)point;
    }
    if (exponent || rng_upto(r, 1))
        buf_printf(out, "%c%s%ld", rng_upto(r, 1) ? 'e' : 'E',
                   exponent >= 0 && rng_upto(r, 1) ? "+" : "", exponent);
}

static void test_random_spellings_of_a_value_have_one_text(void **state)
{
    struct rng r = {8};

    (void)state;
    for (int i = 0; i < 20000; i++) {
        char digits[24], want[64];
        snprintf(digits, sizeof digits, "%llu",
                 (unsigned long long)(rng_next(&r) >> rng_upto(&r, 60)) / 10 * 10 + 1 +
                     rng_upto(&r, 8));
        long exponent = (long)rng_upto(&r, 200) - 100;
        if (exponent)
            snprintf(want, sizeof want, "%se%ld", digits, exponent);
        else
            snprintf(want, sizeof want, "%s", digits);
        for (int k = 0; k < 4; k++) {
            _cleanup_buf_ struct buf text = {0}, got = {0};
            spell(&r, digits, exponent, &text);
            if (number_canonical(&got, text.data, text.len) < 0)
                fail_msg("%s was refused", text.data);
            if (strcmp(got.data, want) != 0)
                fail_msg("%s became %s, not %s", text.data, got.data, want);
        }
    }
}

/* --- size ------------------------------------------------------------------------------------- */

static void test_sizes_are_dynamodbs(void **state)
{
    static const struct {
        const char *text;
        size_t size;
    } cases[] = {
        {"0", 1},
        {"-0", 1},
        {"0.000", 1},
        {"1", 2},
        {"3.14159", 5},
        {"100.5", 4},
        {"-42", 3},
        {"100", 2},
        {"-100", 3},
        {"12", 2},
        {"123", 3},
        {"0.5", 2},
        {"0.05", 2},
        {"0.001", 2},
        {"0.0123", 3},
        {"1e+15", 2},
        {"1.5", 3},
        {"00012.5000", 3},
        {"9223372036854775807", 11},
        {"-9223372036854775808", 12},
        {"12345678901234567890123456789012345678", 20},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (number_size(cases[i].text, strlen(cases[i].text)) != cases[i].size)
            fail_msg("%s has %zu bytes, not %zu", cases[i].text,
                     number_size(cases[i].text, strlen(cases[i].text)), cases[i].size);
}

/* With an exponent that is ignored, a number's size is counted the long way. */
static void test_sizes_of_plain_numbers_are_those_counted_at_length(void **state)
{
    static const char letters[] = "00000123456789.-+";
    struct rng r = {12};

    (void)state;
    for (int i = 0; i < 300000; i++) {
        char text[24];
        size_t n = (size_t)rng_upto(&r, 14);
        for (size_t k = 0; k < n; k++)
            text[k] = letters[rng_upto(&r, sizeof letters - 2)];
        size_t plain = number_size(text, n);
        memcpy(text + n, "e0", 3);
        if (plain != number_size(text, n + 2))
            fail_msg("%.*s has %zu bytes, at length %zu", (int)n, text, plain,
                     number_size(text, n + 2));
    }
}

/* Up to where doubles are whole numbers, and halves and quarters just below. */
static void test_decimals_of_many_digits_read_back_and_are_the_shortest(void **state)
{
    static const double powers[] = {1, 10, 100, 1e3, 1e4, 1e5, 1e6};
    struct rng r = {13};

    (void)state;
    for (int i = 0; i < 60000; i++) {
        uint64_t n = rng_next(&r) >> (11 + rng_upto(&r, 6));
        double d = (double)n / powers[rng_upto(&r, 6)];
        prints_well(rng_upto(&r, 1) ? d : -d);
        prints_well((double)(n >> 2) + 0.25 * (double)rng_upto(&r, 3));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_bits_read_back_and_are_the_shortest),
        cmocka_unit_test(test_what_people_store_reads_back_and_is_the_shortest),
        cmocka_unit_test(test_borders_read_back_and_are_the_shortest),
        cmocka_unit_test(test_texts_of_common_doubles),
        cmocka_unit_test(test_the_range_is_dynamodbs_to_the_last_bit),
        cmocka_unit_test(test_the_range_holds_for_the_text_as_written),
        cmocka_unit_test(test_equal_values_have_one_text),
        cmocka_unit_test(test_an_exponent_without_end_ends_somewhere),
        cmocka_unit_test(test_what_is_no_number_is_refused_and_nothing_written),
        cmocka_unit_test(test_random_spellings_of_a_value_have_one_text),
        cmocka_unit_test(test_sizes_are_dynamodbs),
        cmocka_unit_test(test_sizes_of_plain_numbers_are_those_counted_at_length),
        cmocka_unit_test(test_decimals_of_many_digits_read_back_and_are_the_shortest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
