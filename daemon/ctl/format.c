#include "ctl/format.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/text.h"

#define ELLIPSIS "\xe2\x80\xa6"

struct range {
    uint32_t first, last;
};

/* Unicode blocks, not characters: enough to keep columns straight for names that occur. */
static const struct range no_width[] = {
    {0x300, 0x36f},   {0x483, 0x489},   {0x591, 0x5bd},     {0x610, 0x61a},    {0x64b, 0x65f},
    {0x200b, 0x200f}, {0x202a, 0x202e}, {0x2060, 0x2064},   {0x20d0, 0x20f0},  {0xfe00, 0xfe0f},
    {0xfe20, 0xfe2f}, {0xfeff, 0xfeff}, {0x1f3fb, 0x1f3ff}, {0xe0100, 0xe01ef}};
static const struct range two_wide[] = {{0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0x33ff},
                                        {0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xa000, 0xa4cf},
                                        {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe6f},
                                        {0xff00, 0xff60},   {0xffe0, 0xffe6},   {0x1f300, 0x1f64f},
                                        {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static bool in_ranges(uint32_t c, const struct range *ranges, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (c >= ranges[i].first && c <= ranges[i].last)
            return true;
    return false;
}

/* The character at *s, and past it. The text is valid UTF-8. */
static uint32_t next_character(const char **s)
{
    const unsigned char *p = (const unsigned char *)*s;
    unsigned more = p[0] >= 0xf0 ? 3 : p[0] >= 0xe0 ? 2 : p[0] >= 0xc0 ? 1 : 0;
    uint32_t c = more == 3 ? p[0] & 7u : more == 2 ? p[0] & 15u : more == 1 ? p[0] & 31u : p[0];

    for (p++; more && (*p & 0xc0) == 0x80; more--, p++)
        c = c << 6 | (*p & 63u);
    *s = (const char *)p;
    return c;
}

static size_t character_width(uint32_t c)
{
    if (in_ranges(c, no_width, COUNT(no_width)))
        return 0;
    return in_ranges(c, two_wide, COUNT(two_wide)) ? 2 : 1;
}

size_t format_width(const char *text)
{
    size_t width = 0;

    while (*text)
        width += character_width(next_character(&text));
    return width;
}

size_t format_fit(const char *text, size_t columns)
{
    const char *end = text;
    size_t width = 0;

    while (*end) {
        const char *after = end;
        width += character_width(next_character(&after));
        if (width > columns)
            break;
        end = after;
    }
    return (size_t)(end - text);
}

void format_safe(struct buf *out, const char *text)
{
    const char *end = text + strlen(text);

    while (text < end) {
        unsigned char lead = (unsigned char)*text;
        size_t n = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
        if ((size_t)(end - text) < n || !utf8_valid(text, n)) {
            buf_lit(out, "\xef\xbf\xbd");
            text++;
        } else if (lead < 0x20 || lead == 0x7f || (lead == 0xc2 && (unsigned char)text[1] < 0xa0)) {
            buf_putc(out, '?');
            text += n;
        } else {
            buf_append(out, text, n);
            text += n;
        }
    }
}

void format_cut(struct buf *out, const char *safe_text, size_t columns, enum format_cut cut)
{
    size_t width = format_width(safe_text);

    if (width <= columns) {
        buf_puts(out, safe_text);
    } else if (cut == CUT_END) {
        buf_append(out, safe_text, format_fit(safe_text, columns ? columns - 1 : 0));
        buf_lit(out, ELLIPSIS);
    } else {
        const char *rest = safe_text;
        while (*rest && width > (columns ? columns - 1 : 0))
            width -= character_width(next_character(&rest));
        buf_lit(out, ELLIPSIS);
        buf_puts(out, rest);
    }
}

void format_count(struct buf *out, int64_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%" PRIu64, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);

    if (n < 0)
        buf_putc(out, '-');
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            buf_putc(out, ',');
        buf_putc(out, digits[i]);
    }
}

void format_bytes(struct buf *out, int64_t n)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    double v = (double)n;
    size_t i = 0;

    if (n < 1024) {
        buf_printf(out, "%" PRId64 " B", n);
        return;
    }
    for (v /= 1024; v >= 1023.95 && i + 1 < COUNT(units); i++)
        v /= 1024;
    buf_printf(out, "%.1f %s", v, units[i]);
}

static void two_units(struct buf *out, int64_t seconds, int64_t large, char large_name,
                      int64_t small, char small_name)
{
    int64_t rest = seconds % large / small;

    buf_printf(out, "%" PRId64 "%c", seconds / large, large_name);
    if (rest)
        buf_printf(out, " %" PRId64 "%c", rest, small_name);
}

void format_span(struct buf *out, double seconds)
{
    if (!(seconds > 0)) {
        buf_lit(out, "0s");
    } else if (seconds < 0.9995) {
        buf_printf(out, "%.0fms", seconds < 0.001 ? 1.0 : seconds * 1000);
    } else if (seconds < 9.95) {
        double tenths = round(seconds * 10);
        buf_printf(out, fmod(tenths, 10) == 0 ? "%.0fs" : "%.1fs", tenths / 10);
    } else {
        int64_t s = seconds < 1e15 ? (int64_t)llround(seconds) : INT64_C(1000000000000000);
        if (s < 60)
            buf_printf(out, "%" PRId64 "s", s);
        else if (s < 3600)
            two_units(out, s, 60, 'm', 1, 's');
        else if (s < 86400)
            two_units(out, s, 3600, 'h', 60, 'm');
        else
            two_units(out, s, 86400, 'd', 3600, 'h');
    }
}

void format_ago(struct buf *out, usec then, usec now)
{
    int64_t seconds = (now - then) / USEC_PER_SEC;

    if (seconds < 1) {
        buf_lit(out, "just now");
        return;
    }
    format_span(out, (double)seconds);
    buf_lit(out, " ago");
}

bool format_parse_time(const char *text, usec *out)
{
    struct tm tm = {0};
    int used = 0, hours, minutes;
    usec fraction = 0, unit = USEC_PER_SEC / 10, offset = 0;

    if (sscanf(text, "%4d-%2d-%2d%*1[Tt ]%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
               &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &used) != 6 ||
        !used)
        return false;
    text += used;
    if (*text == '.')
        for (text++; *text >= '0' && *text <= '9'; text++, unit /= 10)
            fraction += (*text - '0') * unit;
    if (*text == '+' || *text == '-') {
        if (sscanf(text + 1, "%2d:%2d", &hours, &minutes) != 2)
            return false;
        offset = (hours * 3600 + minutes * 60) * USEC_PER_SEC * (*text == '-' ? -1 : 1);
    } else if (*text != 'Z' && *text != 'z') {
        return false;
    }
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *out = (usec)timegm(&tm) * USEC_PER_SEC + fraction - offset;
    return true;
}
