#include "mapping/convert_time.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/number.h"

#define DAY_MS       INT64_C(86400000)
#define JULIAN_EPOCH INT64_C(210866760000000) /* ms from Julian day 0 to 1970 */
#define JULIAN_END   5373484.5                /* 9999-12-31T24:00 */
#define FIRST_MS     INT64_C(-62167219200000) /* 0000-01-01 */
#define LAST_MS      INT64_C(253402300799999) /* 9999-12-31T23:59:59.999 */
#define MS_BEGIN     INT64_C(100000000000)    /* detected: from here on they are milliseconds */

static int out_of_range(const struct value *v, struct item_fault *f)
{
    return fault_set(f, NULL, "not_a_time",
                     "the column holds %s that is no time from the year 0000 to 9999",
                     value_kind_name(v->kind));
}

static int no_form(const struct value *v, const char *why, struct item_fault *f)
{
    return fault_set(f, NULL, "not_a_time", "the column holds %s, which is no time: %s",
                     value_kind_name(v->kind), why);
}

static int in_range(int64_t ms, int64_t *out)
{
    if (ms < FIRST_MS || ms > LAST_MS)
        return -ERANGE;
    *out = ms;
    return 0;
}

/* --- numbers ---------------------------------------------------------------------------------- */

static int from_real(double d, int64_t unit, int64_t *ms)
{
    /* Exact before it is rounded: 53 bits times ten at most. */
    long double product = (long double)d * (long double)unit;

    if (!(fabsl(product) < 1e15L))
        return -ERANGE;
    return in_range((int64_t)roundl(product), ms);
}

static int from_julian(double d, int64_t *ms)
{
    if (!(d >= 0 && d < JULIAN_END))
        return -ERANGE;
    return in_range((int64_t)roundl((long double)d * DAY_MS) - JULIAN_EPOCH, ms);
}

static int from_integer(int64_t n, int64_t unit, int64_t *ms)
{
    return __builtin_mul_overflow(n, unit, &n) ? -ERANGE : in_range(n, ms);
}

static int64_t unit_of(enum time_form form, double magnitude)
{
    if (form == TIME_DETECTED)
        form = magnitude >= (double)MS_BEGIN ? TIME_MS : TIME_UNIX;
    return form == TIME_MS ? 1 : 1000;
}

static int from_number(enum time_form form, const struct value *v, int64_t *ms)
{
    if (v->kind == VALUE_INTEGER) {
        if (form == TIME_JULIAN)
            return from_julian((double)v->integer, ms);
        return from_integer(v->integer, unit_of(form, fabs((double)v->integer)), ms);
    }
    if (form == TIME_JULIAN || (form == TIME_DETECTED && v->real >= 0 && v->real < JULIAN_END))
        return from_julian(v->real, ms);
    return from_real(v->real, unit_of(form, fabs(v->real)), ms);
}

/* --- text ------------------------------------------------------------------------------------- */

struct cursor {
    const char *at, *end;
};

static bool take(struct cursor *c, char wanted)
{
    if (c->at == c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

/* Exactly `n` digits, from `low` to `high`. */
static bool number_of(struct cursor *c, int n, int low, int high, int64_t *out)
{
    int v = 0;

    if (c->end - c->at < n)
        return false;
    for (int i = 0; i < n; i++, c->at++) {
        if (*c->at < '0' || *c->at > '9')
            return false;
        v = v * 10 + (*c->at - '0');
    }
    *out = v;
    return v >= low && v <= high;
}

static bool leap(int64_t y)
{
    return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

static int64_t month_days(int64_t y, int64_t m)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return days[m - 1] + (m == 2 && leap(y));
}

/* Days from 1970-01-01, of years from 0 on. */
static int64_t day_number(int64_t y, int64_t m, int64_t d)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    int64_t past = y - 1; /* whole years; of year 0 none */
    int64_t leaps = y > 0 ? past / 4 - past / 100 + past / 400 + 1 : 0;

    return y * 365 + leaps + before[m - 1] + (m > 2 && leap(y)) + d - 1 - 719528;
}

/* .123: to the nearest millisecond. */
static int64_t fraction(struct cursor *c)
{
    int64_t ms = 0, unit = 100;
    bool up = false;

    for (int i = 0; c->at < c->end && *c->at >= '0' && *c->at <= '9'; i++, c->at++) {
        if (i < 3)
            ms += (*c->at - '0') * unit;
        else if (i == 3)
            up = *c->at >= '5';
        unit /= 10;
    }
    return ms + up;
}

/* Z, +02:00; *out in milliseconds. */
static bool zone(struct cursor *c, int64_t *out)
{
    int64_t h, m, sign = 1;

    *out = 0;
    while (take(c, ' '))
        ;
    if (c->at == c->end || take(c, 'Z') || take(c, 'z'))
        return true;
    if (take(c, '-'))
        sign = -1;
    else if (!take(c, '+'))
        return false;
    if (!number_of(c, 2, 0, 14, &h) || !take(c, ':') || !number_of(c, 2, 0, 59, &m))
        return false;
    *out = sign * (h * 60 + m) * 60000;
    return true;
}

static bool time_of_day(struct cursor *c, int64_t *out)
{
    int64_t h, m, s = 0, ms = 0;

    if (!number_of(c, 2, 0, 23, &h) || !take(c, ':') || !number_of(c, 2, 0, 59, &m))
        return false;
    if (take(c, ':')) {
        if (!number_of(c, 2, 0, 59, &s))
            return false;
        if (take(c, '.')) {
            if (c->at == c->end || *c->at < '0' || *c->at > '9')
                return false;
            ms = fraction(c);
        }
    }
    *out = ((h * 60 + m) * 60 + s) * 1000 + ms;
    return true;
}

int time_parse(const char *s, size_t n, int64_t *ms)
{
    struct cursor c = {s, s + n};
    int64_t y, m, d, of_day = 0, offset = 0;

    if (!number_of(&c, 4, 0, 9999, &y) || !take(&c, '-') || !number_of(&c, 2, 1, 12, &m) ||
        !take(&c, '-') || !number_of(&c, 2, 1, (int)month_days(y, m), &d))
        return -EINVAL;
    if (c.at < c.end) {
        if ((!take(&c, 'T') && !take(&c, ' ')) || !time_of_day(&c, &of_day) || !zone(&c, &offset))
            return -EINVAL;
    }
    if (c.at < c.end)
        return -EINVAL;
    return in_range(day_number(y, m, d) * DAY_MS + of_day - offset, ms) < 0 ? -EINVAL : 0;
}

/* A number spelt in text, where the form is given. */
static int from_spelt(enum time_form form, const struct value *v, int64_t *ms)
{
    char text[64], *end;
    struct value number;

    if (v->len >= sizeof text || number_check(v->bytes, v->len) < 0)
        return -EINVAL;
    memcpy(text, v->bytes, v->len);
    text[v->len] = '\0';
    errno = 0;
    number = (struct value){.kind = VALUE_INTEGER, .integer = strtoll(text, &end, 10)};
    if (*end || errno)
        number = (struct value){.kind = VALUE_REAL, .real = strtod(text, NULL)};
    return from_number(form, &number, ms);
}

int time_read(enum time_form form, const struct value *v, int64_t *ms, struct item_fault *f)
{
    int rc;

    if (v->kind == VALUE_INTEGER || v->kind == VALUE_REAL) {
        if (form == TIME_TEXT)
            return no_form(v, "the conversion asks for text", f);
        rc = from_number(form, v, ms);
        return rc < 0 ? out_of_range(v, f) : 0;
    }
    if (v->kind != VALUE_TEXT)
        return no_form(v, "a number or text would be", f);
    if (form == TIME_TEXT || form == TIME_DETECTED)
        return time_parse(v->bytes, v->len, ms) < 0
                   ? no_form(v,
                             "not written as YYYY-MM-DD, or YYYY-MM-DD HH:MM:SS.SSS with Z or "
                             "+HH:MM",
                             f)
                   : 0;
    rc = from_spelt(form, v, ms);
    return rc == -EINVAL ? no_form(v, "not a number, as the conversion asks for", f)
           : rc < 0      ? out_of_range(v, f)
                         : 0;
}

/* --- and back --------------------------------------------------------------------------------- */

static void civil(int64_t days, int64_t *y, int64_t *m, int64_t *d)
{
    int64_t left;

    /* Near enough from below, then counted on. */
    *y = (days + 719528) * 400 / 146097 - 1;
    if (*y < 0)
        *y = 0;
    while (day_number(*y + 1, 1, 1) <= days)
        ++*y;
    left = days - day_number(*y, 1, 1);
    for (*m = 1; left >= month_days(*y, *m); ++*m)
        left -= month_days(*y, *m);
    *d = left + 1;
}

static void print(struct buf *out, int64_t ms, char between, const char *end)
{
    int64_t days = ms >= 0 ? ms / DAY_MS : -((-ms + DAY_MS - 1) / DAY_MS);
    int64_t of_day = ms - days * DAY_MS, y, m, d;

    civil(days, &y, &m, &d);
    buf_printf(out, "%04d-%02d-%02d%c%02d:%02d:%02d", (int)y, (int)m, (int)d, between,
               (int)(of_day / 3600000), (int)(of_day / 60000 % 60), (int)(of_day / 1000 % 60));
    if (end)
        buf_printf(out, ".%03d%s", (int)(of_day % 1000), end);
}

void time_print(struct buf *out, int64_t ms)
{
    print(out, ms, 'T', "Z");
}

static void text_back(int64_t ms, bool seconds, struct value *v, struct buf *store)
{
    size_t at = store->len;

    if (seconds)
        print(store, ms, ' ', NULL);
    else
        time_print(store, ms);
    *v = (struct value){.kind = VALUE_TEXT, .len = store->len - at};
}

static double julian(int64_t ms)
{
    return (double)((long double)(ms + JULIAN_EPOCH) / (long double)DAY_MS);
}

static struct value whole(int64_t n, enum affinity affinity)
{
    return affinity == AFFINITY_REAL ? (struct value){.kind = VALUE_REAL, .real = (double)n}
                                     : (struct value){.kind = VALUE_INTEGER, .integer = n};
}

static struct value real(double d)
{
    return (struct value){.kind = VALUE_REAL, .real = d};
}

/* A number that is detected as what it is. */
static struct value detectable(int64_t ms, enum affinity affinity)
{
    int64_t s = ms / 1000;
    double r = (double)ms / 1000;

    if (ms % 1000 == 0 && affinity != AFFINITY_REAL && llabs(s) < MS_BEGIN)
        return whole(s, affinity);
    if (fabs(r) < (double)MS_BEGIN && !(r >= 0 && r < JULIAN_END))
        return real(r);
    return llabs(ms) >= MS_BEGIN ? whole(ms, affinity) : real(julian(ms));
}

/* A number in a column of text is its text. */
static void spell(struct value *v, struct buf *store)
{
    size_t at = store->len;

    if (v->kind == VALUE_INTEGER)
        buf_append_i64(store, v->integer);
    else
        number_print_double(store, v->real);
    *v = (struct value){.kind = VALUE_TEXT, .len = store->len - at};
}

int time_back(enum time_form form, enum affinity affinity, int64_t ms, bool seconds,
              struct value *v, struct buf *store)
{
    switch (form) {
    case TIME_DETECTED:
        if (affinity == AFFINITY_TEXT) {
            text_back(ms, seconds, v, store);
            return 0;
        }
        *v = detectable(ms, affinity);
        return 0;
    case TIME_TEXT:
        text_back(ms, seconds, v, store);
        return 0;
    case TIME_UNIX:
        *v = ms % 1000 ? real((double)ms / 1000) : whole(ms / 1000, affinity);
        break;
    case TIME_MS:
        *v = whole(ms, affinity);
        break;
    case TIME_JULIAN:
        *v = real(julian(ms));
        break;
    }
    if (affinity == AFFINITY_TEXT)
        spell(v, store);
    return 0;
}
