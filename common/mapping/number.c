#include "mapping/number.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* Digits of n with a point before the last `places` of them. */
static size_t put_point(char *to, uint64_t n, size_t places)
{
    char digits[TEXT_U64];
    size_t count = text_u64(digits, n), whole = count > places ? count - places : 0;
    char *at = to;

    if (!whole)
        *at++ = '0';
    memcpy(at, digits, whole);
    at += whole;
    if (!places)
        return (size_t)(at - to);
    *at++ = '.';
    for (size_t zeros = whole ? 0 : places - count; zeros; zeros--)
        *at++ = '0';
    memcpy(at, digits + whole, count - whole);
    return (size_t)(at - to) + count - whole;
}

/* Most doubles that people store are n / 10^k for a small k. If that quotient, rounded once by the
 * division, is the double again, then n and k are a decimal that reads back, and with n below 2^53
 * no shorter one exists that a smaller k would not have found. The length of its text; 0: none. */
static size_t short_decimal(char *to, double d)
{
    static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};
    const double limit = 9007199254740992.0; /* 2^53 */
    double magnitude = fabs(d);
    size_t sign = d < 0;

    if (!(magnitude < 1e15))
        return 0;
    for (size_t k = 0; k < sizeof powers / sizeof *powers; k++) {
        double scaled = magnitude * powers[k];
        if (scaled >= limit)
            return 0;
        int64_t n = (int64_t)scaled;
        n += scaled - (double)n >= 0.5;
        if ((double)n / powers[k] != magnitude)
            continue;
        *to = '-';
        return sign + put_point(to + sign, (uint64_t)n, k);
    }
    return 0;
}

/* Below a power of two doubles stand twice as close as above it: the nearest 16 digits may belong
 * to the neighbour below, while the next 16 digits above still read back. */
static bool print_above_power(char *text, size_t size, double d)
{
    int exponent;

    if (fabs(frexp(d, &exponent)) != 0.5)
        return false;
    snprintf(text, size, "%.15e", d);
    char *last = strchr(text, 'e') - 1;
    if (*last == '9') /* one more would be fewer digits, which were tried */
        return false;
    ++*last;
    return strtod(text, NULL) == d;
}

size_t number_text_double(char to[NUMBER_TEXT], double d)
{
    /* A normal double's 15 digits are found at once; a subnormal one may have fewer than it shows.
     */
    int precision = fabs(d) < DBL_MIN ? 1 : 15;
    size_t n = short_decimal(to, d);

    if (n)
        return n;
    for (; precision <= 17; precision++) {
        if (precision == 17 && isfinite(d) && print_above_power(to, NUMBER_TEXT, d))
            break;
        snprintf(to, NUMBER_TEXT, "%.*g", precision, d);
        if (strtod(to, NULL) == d)
            break;
    }
    return strlen(to);
}

void number_print_double(struct buf *out, double d)
{
    char *to = buf_room(out, NUMBER_TEXT);

    if (to)
        buf_wrote(out, to + number_text_double(to, d));
}

int number_check_double(double d)
{
    double magnitude = fabs(d);

    if (!isfinite(d))
        return -EDOM;
    /* 1e126 is the first power out of range; the shortest text of the double below it is in. */
    return magnitude != 0 && (magnitude < 1e-130 || magnitude >= 1e126) ? -ERANGE : 0;
}

/* A decimal taken apart: the significant digits (first to last nonzero) and where the point is. */
struct decimal {
    bool negative;
    const char *first, *last; /* span of significant digits, may hold the point; NULL for zero */
    long exponent;            /* value = digits as an integer * 10^exponent */
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Far beyond what DynamoDB holds, and beyond what the digits of a value of SOURCE_MAX_VALUE's
 * length can bring back from there: what it cuts off is out of range either way. */
static long within(long exponent)
{
    const long most = 10000000;

    return exponent > most ? most : exponent < -most ? -most : exponent;
}

static int parse_exponent(const char *s, const char *end, long *out)
{
    bool negative = false;
    long e = 0;

    if (s < end && (*s == '+' || *s == '-'))
        negative = *s++ == '-';
    if (s == end)
        return -EINVAL;
    for (; s < end; s++) {
        if (!is_digit(*s))
            return -EINVAL;
        e = within(e * 10 + (*s - '0'));
    }
    *out = negative ? -e : e;
    return 0;
}

static int decimal_parse(const char *s, size_t n, struct decimal *out)
{
    const char *end = s + n, *point = NULL, *mantissa_end;
    struct decimal d = {0};
    size_t digits = 0;
    long exponent = 0, after = 0;

    if (s < end && (*s == '-' || *s == '+'))
        d.negative = *s++ == '-';
    for (; s < end && (is_digit(*s) || (*s == '.' && !point)); s++) {
        if (*s == '.') {
            point = s;
            continue;
        }
        digits++;
        if (*s != '0') {
            if (!d.first)
                d.first = s;
            d.last = s;
        }
    }
    mantissa_end = s;
    if (!digits)
        return -EINVAL;
    if (s < end && ((*s != 'e' && *s != 'E') || parse_exponent(s + 1, end, &exponent) < 0))
        return -EINVAL;
    if (d.first) {
        if (point && d.last > point)
            after = -(long)(d.last - point);
        else
            after = (long)((point ? point : mantissa_end) - d.last) - 1;
        d.exponent = within(exponent + after);
    }
    *out = d;
    return 0;
}

int number_canonical(struct buf *out, const char *s, size_t n)
{
    struct decimal d;

    if (decimal_parse(s, n, &d) < 0)
        return -EINVAL;
    if (!d.first) {
        buf_putc(out, '0');
        return 0;
    }
    if (d.negative)
        buf_putc(out, '-');
    for (const char *p = d.first; p <= d.last; p++)
        if (*p != '.')
            buf_putc(out, *p);
    if (d.exponent) {
        buf_putc(out, 'e');
        buf_append_i64(out, d.exponent);
    }
    return 0;
}

static size_t significant(const struct decimal *d)
{
    size_t n = 0;

    for (const char *p = d->first; p && p <= d->last; p++)
        n += *p != '.';
    return n;
}

int number_check(const char *s, size_t n)
{
    enum { MAX_DIGITS = 38, MAX_EXPONENT = 125, MIN_EXPONENT = -130 };
    struct decimal d;

    if (decimal_parse(s, n, &d) < 0)
        return -EINVAL;
    if (!d.first)
        return 0;
    size_t count = significant(&d);
    long magnitude = d.exponent + (long)count - 1; /* of the first digit */
    return count > MAX_DIGITS || magnitude > MAX_EXPONENT || magnitude < MIN_EXPONENT ? -ERANGE : 0;
}

int number_print_decimal(struct buf *out, const char *s, size_t n)
{
    enum { LONGEST = 40 }; /* digits and zeros that are written out */
    _cleanup_buf_ struct buf all = {0};
    struct decimal d;

    if (decimal_parse(s, n, &d) < 0)
        return -EINVAL;
    if (!d.first) {
        buf_putc(out, '0');
        return buf_ok(out) ? 0 : -ENOMEM;
    }
    for (const char *p = d.first; p <= d.last; p++)
        if (*p != '.')
            buf_putc(&all, *p);
    if (!buf_ok(&all))
        return -ENOMEM;
    long count = (long)all.len, whole = count + d.exponent; /* digits before the point */
    if (d.negative)
        buf_putc(out, '-');
    if (whole > LONGEST || whole < -LONGEST) {
        buf_putc(out, all.data[0]);
        if (count > 1)
            buf_printf(out, ".%s", all.data + 1);
        buf_printf(out, "e%+ld", whole - 1);
        return buf_ok(out) ? 0 : -ENOMEM;
    }
    if (whole <= 0)
        buf_puts(out, "0.");
    for (long i = whole; i < 0; i++)
        buf_putc(out, '0');
    for (long i = 0; i < count; i++) {
        if (i && i == whole)
            buf_putc(out, '.');
        buf_putc(out, all.data[i]);
    }
    for (long i = count; i < whole; i++)
        buf_putc(out, '0');
    return buf_ok(out) ? 0 : -ENOMEM;
}

/* Of digits with at most a sign and a point, as numbers are mostly written: their size, or 0. */
static size_t plain_size(const char *s, size_t n)
{
    size_t start = n && s[0] == '-', point = n, first = n, last = 0;

    for (size_t i = start; i < n; i++) {
        if (s[i] == '.' && point == n)
            point = i;
        else if (!is_digit(s[i]))
            return 0;
        else if (s[i] != '0') {
            first = first == n ? i : first;
            last = i;
        }
    }
    if (first == n)
        return 1;
    size_t whole = first > point ? 0 : (last < point ? last + 1 : point) - first;
    size_t fraction = last < point ? 0 : last - (first > point ? first - 1 : point);
    return 1 + (whole + 1) / 2 + (fraction + 1) / 2 + start;
}

size_t number_size(const char *s, size_t n)
{
    struct decimal d;
    size_t whole = 0, fraction = 0, plain = plain_size(s, n);
    bool past_point = false;

    if (plain)
        return plain;
    if (decimal_parse(s, n, &d) < 0 || !d.first)
        return 1;
    /* The point's place relative to the significant digits, as written. */
    for (const char *p = s; p < d.first; p++)
        past_point |= *p == '.';
    for (const char *p = d.first; p <= d.last; p++) {
        if (*p == '.')
            past_point = true;
        else if (past_point)
            fraction++;
        else
            whole++;
    }
    return 1 + (whole + 1) / 2 + (fraction + 1) / 2 + d.negative;
}
