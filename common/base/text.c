#include "base/text.h"

#include <errno.h>

/* Length of the valid sequence at p (1-4), or 0. */
static size_t utf8_sequence(const unsigned char *p, size_t n)
{
    unsigned char c = p[0];

    if (c < 0x80)
        return 1;
    if (c < 0xc2)
        return 0;
    if (c < 0xe0)
        return n >= 2 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
    if (c < 0xf0) {
        if (n < 3 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80)
            return 0;
        if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f))
            return 0;
        return 3;
    }
    if (c > 0xf4 || n < 4 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80 ||
        (p[3] & 0xc0) != 0x80)
        return 0;
    if ((c == 0xf0 && p[1] < 0x90) || (c == 0xf4 && p[1] > 0x8f))
        return 0;
    return 4;
}

bool utf8_valid(const void *bytes, size_t n)
{
    const unsigned char *p = bytes;

    while (n) {
        uint64_t w;
        if (n >= 8) { /* eight ASCII bytes at once: the common case */
            memcpy(&w, p, 8);
            if (!(w & 0x8080808080808080ull)) {
                p += 8;
                n -= 8;
                continue;
            }
        }
        size_t k = utf8_sequence(p, n);
        if (!k)
            return false;
        p += k;
        n -= k;
    }
    return true;
}

void text_copy(char *out, size_t size, const char *s)
{
    size_t n = strnlen(s, size);

    if (n == size) {
        n = size - 1;
        while (n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80)
            n--;
    }
    memcpy(out, s, n);
    out[n] = '\0';
}

static bool needs_escape(unsigned char c)
{
    return c < 0x20 || c == '"' || c == '\\';
}

static void append_escape(struct buf *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    char esc[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

    if (c == '"' || c == '\\') {
        esc[1] = (char)c;
        buf_append(out, esc, 2);
    } else {
        buf_append(out, esc, 6);
    }
}

/* Nonzero when one of eight bytes is a control character, a quote or a backslash (the usual
 * carry-free byte tests; a byte >= 0x80 never matches). */
static uint64_t escape_mask(uint64_t w)
{
    const uint64_t ones = 0x0101010101010101ull, high = 0x8080808080808080ull;
    uint64_t control = (w - ones * 0x20) & ~w & high;
    uint64_t quote = w ^ (ones * '"'), slash = w ^ (ones * '\\');

    quote = (quote - ones) & ~quote & high;
    slash = (slash - ones) & ~slash & high;
    return control | quote | slash;
}

/* The inside of a JSON string. */
static void append_inside(struct buf *out, const char *s, size_t n)
{
    size_t start = 0, i = 0;

    while (i < n) {
        uint64_t w;
        if (n - i >= 8) {
            memcpy(&w, s + i, 8);
            if (!escape_mask(w)) {
                i += 8;
                continue;
            }
        }
        if (needs_escape((unsigned char)s[i])) {
            buf_append(out, s + start, i - start);
            append_escape(out, (unsigned char)s[i]);
            start = i + 1;
        }
        i++;
    }
    if (n > start) /* `s` may be NULL when n is 0 */
        buf_append(out, s + start, n - start);
}

void json_append_string(struct buf *out, const char *s, size_t n)
{
    buf_reserve(out, n + 2);
    buf_putc(out, '"');
    append_inside(out, s, n);
    buf_putc(out, '"');
}

/* Copy eight bytes, or sixteen; false when one of them is not ASCII or needs an escape. */
static bool copy_8(char *to, const char *s)
{
    uint64_t w;

    memcpy(&w, s, 8);
    memcpy(to, &w, 8);
    return !(escape_mask(w) | (w & 0x8080808080808080ull));
}

static bool copy_16(char *to, const char *s)
{
    typedef signed char sixteen __attribute__((vector_size(16)));
    typedef long long halves __attribute__((vector_size(16)));
    sixteen w;

    memcpy(&w, s, 16);
    memcpy(to, &w, 16);
    /* As signed bytes, those that are not ASCII are less than a space too. */
    halves other = (halves)((w < 0x20) | (w == '"') | (w == '\\'));
    return !(other[0] | other[1]);
}

/* Copy as long as it is ASCII without anything to escape; how many bytes that holds for, or fewer.
 * What lies behind them in `to`, up to n, is anything. */
static size_t copy_plain(char *to, const char *s, size_t n)
{
    size_t i = 0;

    if (n >= 16) {
        for (; n - i >= 16; i += 16)
            if (!copy_16(to + i, s + i))
                return i;
        /* The last sixteen once more, so that no rest is left. */
        return i == n || copy_16(to + n - 16, s + n - 16) ? n : i;
    }
    if (n >= 8)
        return copy_8(to, s) && copy_8(to + n - 8, s + n - 8) ? n : 0;
    for (; i < n && (signed char)s[i] >= 0x20 && s[i] != '"' && s[i] != '\\'; i++)
        to[i] = s[i];
    return i;
}

bool json_append_utf8(struct buf *out, const char *s, size_t n)
{
    char *to = buf_room(out, n + 2);
    size_t plain;

    if (!to)
        return utf8_valid(s, n);
    *to++ = '"';
    plain = copy_plain(to, s, n);
    if (plain < n && !utf8_valid(s + plain, n - plain)) {
        out->data[out->len] = '\0';
        return false;
    }
    buf_wrote(out, to + plain);
    if (plain < n)
        append_inside(out, s + plain, n - plain);
    buf_putc(out, '"');
    return true;
}

void json_append_string_lossy(struct buf *out, const char *s, size_t n)
{
    buf_putc(out, '"');
    for (size_t i = 0; i < n;) {
        size_t k = utf8_sequence((const unsigned char *)s + i, n - i);
        if (!k)
            buf_lit(out, "\xef\xbf\xbd");
        else if (k == 1 && needs_escape((unsigned char)s[i]))
            append_escape(out, (unsigned char)s[i]);
        else
            buf_append(out, s + i, k);
        i += k ? k : 1;
    }
    buf_putc(out, '"');
}

static const char b64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_append(struct buf *out, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;

    if (n > SIZE_MAX / 4 || !buf_reserve(out, (n + 2) / 3 * 4))
        return;
    char *to = out->data + out->len;
    for (; n >= 3; n -= 3, p += 3) {
        *to++ = b64[p[0] >> 2];
        *to++ = b64[(p[0] & 3) << 4 | p[1] >> 4];
        *to++ = b64[(p[1] & 15) << 2 | p[2] >> 6];
        *to++ = b64[p[2] & 63];
    }
    if (n) {
        *to++ = b64[p[0] >> 2];
        *to++ = b64[(p[0] & 3) << 4 | (n == 2 ? p[1] >> 4 : 0)];
        *to++ = n == 2 ? b64[(p[1] & 15) << 2] : '=';
        *to++ = '=';
    }
    out->len = (size_t)(to - out->data);
    *to = '\0';
}

static int b64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Take back what was appended since `len`. */
static int cut_back(struct buf *out, size_t len)
{
    out->len = len;
    if (out->data)
        out->data[len] = '\0';
    return -EINVAL;
}

int base64_decode(struct buf *out, const char *s, size_t n)
{
    const size_t before = out->len;

    if (n % 4)
        return -EINVAL;
    for (size_t i = 0; i < n; i += 4) {
        size_t pad = i + 4 == n ? (size_t)(s[i + 3] == '=') + (s[i + 2] == '=') : 0;
        int v[4] = {0};
        for (size_t j = 0; j < 4 - pad; j++)
            if ((v[j] = b64_value(s[i + j])) < 0)
                return cut_back(out, before);
        if ((pad == 1 && (s[i + 3] != '=' || (v[2] & 3))) ||
            (pad == 2 && (s[i + 3] != '=' || (v[1] & 15))))
            return cut_back(out, before);
        char triple[3] = {(char)(v[0] << 2 | v[1] >> 4), (char)(v[1] << 4 | v[2] >> 2),
                          (char)(v[2] << 6 | v[3])};
        buf_append(out, triple, 3 - pad);
    }
    return 0;
}

void hex_append(struct buf *out, const void *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = bytes;

    char *to = n > SIZE_MAX / 4 ? NULL : buf_room(out, 2 * n);

    if (!to)
        return;
    for (size_t i = 0; i < n; i++) {
        *to++ = digits[p[i] >> 4];
        *to++ = digits[p[i] & 15];
    }
    buf_wrote(out, to);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int hex_decode(struct buf *out, const char *s, size_t n)
{
    const size_t before = out->len;

    if (n % 2)
        return -EINVAL;
    for (size_t i = 0; i < n; i += 2) {
        int high = hex_value(s[i]), low = hex_value(s[i + 1]);
        if (high < 0 || low < 0)
            return cut_back(out, before);
        buf_putc(out, (char)(high << 4 | low));
    }
    return 0;
}

unsigned text_distance(const char *a, const char *b)
{
    enum { MAX = 64 };
    size_t na = strlen(a), nb = strlen(b);
    unsigned row[MAX + 1];

    if (na > MAX || nb > MAX)
        return 99;
    for (size_t j = 0; j <= nb; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= na; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= nb; j++) {
            unsigned above = row[j];
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);
            if (above + 1 < best)
                best = above + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
            diagonal = above;
        }
    }
    return row[nb];
}
