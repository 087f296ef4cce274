#include "export/moment.h"

#include <errno.h>
#include <string.h>

#include "mapping/convert_time.h"
#include "mapping/number.h"

#define MS_BEGIN INT64_C(100000000000) /* as in mapping/convert_time.c */
/* PostgreSQL knows no year 0; years of five digits are nobody's. */
#define FIRST_SECOND INT64_C(-62135596800) /* 0001-01-01 */
#define LAST_SECOND  INT64_C(253402300799) /* 9999-12-31T23:59:59 */
#define SECOND_MS    INT64_C(1000)
#define SECOND_MIC   INT64_C(1000000)

/* At most six digits count; what else there is must be zeros not to be cut. */
static void take_fraction(const char *digits, size_t n, struct moment *m)
{
    unsigned micros = 0;

    for (size_t i = 0; i < 6; i++)
        micros = micros * 10 + (i < n ? (unsigned)(digits[i] - '0') : 0);
    for (size_t i = 6; i < n; i++)
        m->finer |= digits[i] != '0';
    m->micros = micros;
}

static int in_range(const struct moment *m, struct moment *out)
{
    if (m->seconds < FIRST_SECOND || m->seconds > LAST_SECOND)
        return -EINVAL;
    *out = *m;
    return 0;
}

int moment_parse(const char *s, size_t n, struct moment *out)
{
    const char *point = memchr(s, '.', n);
    size_t before = point ? (size_t)(point - s) : n, digits = 0;
    _cleanup_buf_ struct buf whole = {0};
    struct moment m = {.date_only = n == 10};
    int64_t ms;

    while (point && before + 1 + digits < n && point[1 + digits] >= '0' && point[1 + digits] <= '9')
        digits++;
    /* A fraction is one of seconds: 2024-02-29T12:00:00.5 */
    if (point && (digits == 0 || before != strlen("2024-02-29T12:00:00") ||
                  memchr(point + 1, '.', n - before - 1)))
        return -EINVAL;
    buf_append(&whole, s, before);
    if (point) {
        take_fraction(point + 1, digits, &m);
        buf_append(&whole, point + 1 + digits, n - before - 1 - digits);
    }
    if (!buf_ok(&whole) || !whole.len || time_parse(whole.data, whole.len, &ms) < 0)
        return -EINVAL;
    m.seconds = (ms - (ms % SECOND_MS + SECOND_MS) % SECOND_MS) / SECOND_MS;
    return in_range(&m, out);
}

/* A canonical number (15e-1) in units of 10^-scale, cut towards zero. False: too large. */
static bool scaled(const char *canonical, int scale, int64_t *out, bool *cut)
{
    bool negative = *canonical == '-';
    const char *d = canonical + negative, *e = strchr(d, 'e');
    long n = e ? (long)(e - d) : (long)strlen(d);
    long exponent = (e ? strtol(e + 1, NULL, 10) : 0) + scale;
    int64_t v = 0;

    if (n + exponent > 18)
        return false;
    for (long i = 0; i < n + exponent; i++)
        v = v * 10 + (i < n ? d[i] - '0' : 0);
    *cut = exponent < 0;
    *out = negative ? -v : v;
    return true;
}

int moment_of_number(enum time_form form, const char *s, size_t n, struct moment *out)
{
    _cleanup_buf_ struct buf canonical = {0};
    struct moment m = {0};
    int64_t micros, whole;
    bool cut;

    if (number_canonical(&canonical, s, n) < 0 || !buf_ok(&canonical) ||
        !scaled(canonical.data, 0, &whole, &cut))
        return -EINVAL;
    if (form == TIME_DETECTED)
        form = whole >= MS_BEGIN || whole <= -MS_BEGIN ? TIME_MS : TIME_UNIX;
    if (!scaled(canonical.data, form == TIME_MS ? 3 : 6, &micros, &m.finer))
        return -EINVAL;
    m.micros = (unsigned)((micros % SECOND_MIC + SECOND_MIC) % SECOND_MIC);
    m.seconds = (micros - m.micros) / SECOND_MIC;
    /* Cut towards the past, before 1970 as after it. */
    if (m.finer && *canonical.data == '-') {
        m.seconds -= m.micros == 0;
        m.micros = (unsigned)((m.micros + SECOND_MIC - 1) % SECOND_MIC);
    }
    return in_range(&m, out);
}

void moment_print(const struct moment *m, bool date, bool zone, struct buf *out)
{
    _cleanup_buf_ struct buf text = {0};
    char fraction[8];
    size_t n = 6;

    time_print(&text, m->seconds * SECOND_MS);
    if (!buf_ok(&text) || text.len < 19) {
        out->failed = true;
        return;
    }
    buf_append(out, text.data, 10);
    if (date)
        return;
    buf_putc(out, ' ');
    buf_append(out, text.data + 11, 8);
    for (unsigned left = m->micros, i = 6; i > 0; left /= 10)
        fraction[--i] = (char)('0' + left % 10);
    while (n > 0 && fraction[n - 1] == '0')
        n--;
    if (n) {
        buf_putc(out, '.');
        buf_append(out, fraction, n);
    }
    if (zone)
        buf_lit(out, "+00");
}
