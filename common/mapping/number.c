#include "mapping/number.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* Most doubles that people store are n / 10^k for a small k. If that quotient, rounded once by the
 * division, is the double again, then n and k are a decimal that reads back, and with n below 2^53
 * no shorter one exists that a smaller k would not have found. */
static bool print_short_decimal(struct buf *out, double d)
{
    static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};
    const double limit = 9007199254740992.0; /* 2^53 */

    if (fabs(d) >= 1e15)
        return false;
    for (unsigned k = 0; k < sizeof powers / sizeof *powers; k++) {
        double scaled = rint(d * powers[k]);
        if (fabs(scaled) >= limit)
            return false;
        if (scaled / powers[k] != d)
            continue;
        int64_t n = (int64_t)scaled;
        uint64_t magnitude = n < 0 ? -(uint64_t)n : (uint64_t)n;
        uint64_t power = (uint64_t)powers[k];
        if (n < 0)
            buf_putc(out, '-');
        buf_append_u64(out, magnitude / power);
        if (k) {
            char digits[8];
            snprintf(digits, sizeof digits, "%0*u", (int)k, (unsigned)(magnitude % power));
            buf_putc(out, '.');
            buf_append(out, digits, k);
        }
        return true;
    }
    return false;
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

void number_print_double(struct buf *out, double d)
{
    char text[40];
    /* A normal double's 15 digits are found at once; a subnormal one may have fewer than it shows.
     */
    int precision = fabs(d) < DBL_MIN ? 1 : 15;

    if (print_short_decimal(out, d))
        return;
    for (; precision <= 17; precision++) {
        if (precision == 17 && isfinite(d) && print_above_power(text, sizeof text, d))
            break;
        snprintf(text, sizeof text, "%.*g", precision, d);
        if (strtod(text, NULL) == d)
            break;
    }
    buf_puts(out, text);
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

size_t number_size(const char *s, size_t n)
{
    struct decimal d;
    size_t whole = 0, fraction = 0;
    bool past_point = false;

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
