#include "config/quantity.h"

#include <errno.h>
#include <string.h>

struct unit {
    const char *name;
    int64_t factor;
};

/* Largest first, as printing wants. */
static const struct unit time_units[] = {
    {"d", 86400 * USEC_PER_SEC}, {"h", 3600 * USEC_PER_SEC}, {"m", 60 * USEC_PER_SEC},
    {"s", USEC_PER_SEC},         {"ms", USEC_PER_MSEC},      {"us", 1},
};
static const struct unit size_units[] = {
    {"G", INT64_C(1) << 30}, {"M", INT64_C(1) << 20}, {"K", INT64_C(1) << 10}, {"", 1}};

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* Digits at *text; moves past them. */
static int take_digits(const char **text, int64_t *out)
{
    const char *p = *text;
    int64_t v = 0;

    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *p - '0', &v))
            return -EINVAL;
    if (p == *text)
        return -EINVAL;
    *text = p;
    *out = v;
    return 0;
}

int quantity_whole(const char *text, int64_t *out)
{
    bool negative = *text == '-';
    int64_t v;

    if (negative)
        text++;
    if (take_digits(&text, &v) < 0 || *text)
        return -EINVAL;
    *out = negative ? -v : v;
    return 0;
}

static int parse_units(const char *text, const struct unit *units, size_t n, int64_t *out)
{
    int64_t v;

    if (take_digits(&text, &v) < 0)
        return -EINVAL;
    text += strspn(text, " \t");
    for (size_t i = 0; i < n; i++)
        if (strcmp(text, units[i].name) == 0) {
            if (__builtin_mul_overflow(v, units[i].factor, &v))
                return -EINVAL;
            *out = v;
            return 0;
        }
    return -EINVAL;
}

static void append_units(struct buf *out, int64_t value, const struct unit *units, size_t n)
{
    size_t i = 0;

    while (i + 1 < n && value % units[i].factor != 0)
        i++;
    buf_append_i64(out, value / units[i].factor);
    buf_puts(out, units[i].name);
}

int quantity_duration(const char *text, usec *out)
{
    if (strcmp(text, "0") == 0) {
        *out = 0;
        return 0;
    }
    return parse_units(text, time_units, COUNT(time_units), out);
}

void quantity_append_duration(struct buf *out, usec value)
{
    if (value == 0)
        buf_lit(out, "0");
    else
        append_units(out, value, time_units, COUNT(time_units));
}

int quantity_size(const char *text, int64_t *out)
{
    return parse_units(text, size_units, COUNT(size_units), out);
}

void quantity_append_size(struct buf *out, int64_t value)
{
    if (value == 0)
        buf_lit(out, "0");
    else
        append_units(out, value, size_units, COUNT(size_units));
}

int quantity_percent(const char *text, int64_t *out)
{
    int64_t v;

    if (take_digits(&text, &v) < 0 || strcmp(text, "%") != 0 || v > 100)
        return -EINVAL;
    *out = v;
    return 0;
}
