#include "base/json_text.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static int wrong(struct json_text *t, const char *why)
{
    t->why = why;
    return -EINVAL;
}

void json_skip_space(struct json_text *t)
{
    while (t->at < t->end && (*t->at == ' ' || *t->at == '\t' || *t->at == '\n' || *t->at == '\r'))
        t->at++;
}

bool json_take_char(struct json_text *t, char c)
{
    json_skip_space(t);
    if (t->at == t->end || *t->at != c)
        return false;
    t->at++;
    return true;
}

/* --- strings ---------------------------------------------------------------------------------- */

static int hex4(struct json_text *t, uint32_t *out)
{
    uint32_t v = 0;

    if (t->end - t->at < 4)
        return -EINVAL;
    for (int i = 0; i < 4; i++) {
        char c = *t->at++;
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit > 15)
            return -EINVAL;
        v = v << 4 | digit;
    }
    *out = v;
    return 0;
}

static void append_utf8(struct buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_putc(out, (char)c);
        return;
    }
    if (c < 0x800) {
        buf_putc(out, (char)(0xc0 | c >> 6));
    } else if (c < 0x10000) {
        buf_putc(out, (char)(0xe0 | c >> 12));
        buf_putc(out, (char)(0x80 | (c >> 6 & 0x3f)));
    } else {
        buf_putc(out, (char)(0xf0 | c >> 18));
        buf_putc(out, (char)(0x80 | (c >> 12 & 0x3f)));
        buf_putc(out, (char)(0x80 | (c >> 6 & 0x3f)));
    }
    buf_putc(out, (char)(0x80 | (c & 0x3f)));
}

/* \uXXXX, two of them for what is past U+FFFF. */
static int take_code_point(struct json_text *t, struct buf *out)
{
    uint32_t c, low;

    if (hex4(t, &c) < 0)
        return wrong(t, "\\u without four hex digits");
    if (c >= 0xd800 && c <= 0xdfff) {
        bool pair = c < 0xdc00 && t->end - t->at >= 2 && t->at[0] == '\\' && t->at[1] == 'u';
        if (pair)
            t->at += 2;
        if (!pair || hex4(t, &low) < 0 || low < 0xdc00 || low > 0xdfff)
            return wrong(t, "half of a surrogate pair, which is no character");
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    if (out)
        append_utf8(out, c);
    return 0;
}

static int take_escape(struct json_text *t, struct buf *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = t->at < t->end ? *t->at++ : '\0';
    const char *known = c ? strchr(from, c) : NULL;

    if (c == 'u')
        return take_code_point(t, out);
    if (!known)
        return wrong(t, "an escape that JSON does not know");
    if (out)
        buf_putc(out, to[known - from]);
    return 0;
}

/* With no `out`, only checked. */
static int take_string(struct json_text *t, struct buf *out)
{
    for (;;) {
        const char *from = t->at;
        while (t->at < t->end && *t->at != '"' && *t->at != '\\' && (unsigned char)*t->at >= 0x20)
            t->at++;
        if (out)
            buf_append(out, from, (size_t)(t->at - from));
        if (t->at == t->end)
            return wrong(t, "a string does not end");
        char c = *t->at++;
        if (c == '"')
            return !out || buf_ok(out) ? 0 : -ENOMEM;
        if (c != '\\')
            return wrong(t, "a control character stands in a string");
        int rc = take_escape(t, out);
        if (rc < 0)
            return rc;
    }
}

int json_take_string(struct json_text *t, struct buf *out)
{
    return take_string(t, out);
}

/* --- numbers and words ------------------------------------------------------------------------ */

static size_t digits(struct json_text *t)
{
    const char *from = t->at;

    while (t->at < t->end && *t->at >= '0' && *t->at <= '9')
        t->at++;
    return (size_t)(t->at - from);
}

int json_take_number(struct json_text *t, const char **from, size_t *n)
{
    const char *begin = t->at;

    if (t->at < t->end && *t->at == '-')
        t->at++;
    const char *first = t->at;
    size_t whole = digits(t);
    if (whole == 0 || (whole > 1 && *first == '0'))
        return wrong(t, "a value is not one");
    if (t->at < t->end && *t->at == '.') {
        t->at++;
        if (!digits(t))
            return wrong(t, "a number ends in its point");
    }
    if (t->at < t->end && (*t->at == 'e' || *t->at == 'E')) {
        t->at++;
        if (t->at < t->end && (*t->at == '+' || *t->at == '-'))
            t->at++;
        if (!digits(t))
            return wrong(t, "a number has an exponent without digits");
    }
    *from = begin;
    *n = (size_t)(t->at - begin);
    return 0;
}

int json_take_word(struct json_text *t, enum json_word *out)
{
    static const char *const words[] = {"true", "false", "null"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        size_t n = strlen(words[i]);
        if ((size_t)(t->end - t->at) < n || memcmp(t->at, words[i], n) != 0)
            continue;
        t->at += n;
        *out = (enum json_word)i;
        return 0;
    }
    return wrong(t, t->at == t->end ? "a value is missing" : "a value is not one");
}

/* --- whole values ----------------------------------------------------------------------------- */

static int skip_inside(struct json_text *t, unsigned depth, bool object)
{
    char close = object ? '}' : ']';
    const char *ignored;
    int rc;

    if (depth == 0)
        return wrong(t, "it is nested too deep");
    if (json_take_char(t, close))
        return 0;
    for (;;) {
        if (object && !json_take_char(t, '"'))
            return wrong(t, "an object lacks a key");
        if (object && (rc = take_string(t, NULL)) < 0)
            return rc;
        if (object && !json_take_char(t, ':'))
            return wrong(t, "a key of an object lacks its colon");
        if ((rc = json_skip_value(t, depth - 1, &ignored)) < 0)
            return rc;
        if (json_take_char(t, close))
            return 0;
        if (!json_take_char(t, ','))
            return wrong(t, object ? "an object lacks a comma or its end"
                                   : "an array lacks a comma or its end");
    }
}

int json_skip_value(struct json_text *t, unsigned depth, const char **from)
{
    enum json_word word;
    size_t n;

    json_skip_space(t);
    *from = t->at;
    char c = t->at < t->end ? *t->at : '\0';
    if (c == '"') {
        t->at++;
        return take_string(t, NULL);
    }
    if (c == '{' || c == '[') {
        t->at++;
        return skip_inside(t, depth, c == '{');
    }
    return c == '-' || (c >= '0' && c <= '9') ? json_take_number(t, from, &n)
                                              : json_take_word(t, &word);
}

/* --- names ------------------------------------------------------------------------------------ */

struct name {
    size_t at, len; /* within the bytes */
};

void json_names_free(struct json_names *names)
{
    buf_free(&names->bytes);
    buf_free(&names->list);
}

void json_names_add(struct json_names *names, const char *name, size_t n)
{
    struct name one = {names->bytes.len, n};

    buf_append(&names->bytes, name, n);
    buf_append(&names->list, &one, sizeof one);
}

static int by_bytes(const void *a, const void *b, void *bytes)
{
    const struct name *x = a, *y = b;
    int c = memcmp((const char *)bytes + x->at, (const char *)bytes + y->at,
                   x->len < y->len ? x->len : y->len);

    return c ? c : (x->len > y->len) - (x->len < y->len);
}

int json_names_check(struct json_names *names)
{
    struct name *list = (struct name *)(void *)names->list.data;
    size_t n = names->list.len / sizeof *list;

    if (!buf_ok(&names->bytes) || !buf_ok(&names->list))
        return -ENOMEM;
    if (n < 2)
        return 0;
    qsort_r(list, n, sizeof *list, by_bytes, names->bytes.data);
    for (size_t i = 1; i < n; i++)
        if (by_bytes(&list[i - 1], &list[i], names->bytes.data) == 0)
            return -EINVAL;
    return 0;
}
