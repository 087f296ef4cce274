#include "mapping/convert_json.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "mapping/number.h"

enum { MAX_NAME = 65535 };

struct reader {
    const char *at, *end;
    struct buf *out;
    struct buf text; /* the string at hand */
    size_t size;
    unsigned depth;
    struct item_fault *fault;
};

/* A key of the object at hand, within its `names`. */
struct name {
    size_t at, len;
};

static int not_json(struct reader *r, const char *why)
{
    return fault_set(r->fault, NULL, "not_json",
                     "the column holds TEXT that json does not take: %s", why);
}

static void skip_space(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

static bool take_char(struct reader *r, char c)
{
    skip_space(r);
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

/* --- strings ---------------------------------------------------------------------------------- */

static int hex4(struct reader *r, uint32_t *out)
{
    uint32_t v = 0;

    if (r->end - r->at < 4)
        return -EINVAL;
    for (int i = 0; i < 4; i++) {
        char c = *r->at++;
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
static int take_code_point(struct reader *r)
{
    uint32_t c, low;

    if (hex4(r, &c) < 0)
        return not_json(r, "\\u without four hex digits");
    if (c >= 0xd800 && c <= 0xdfff) {
        bool pair = c < 0xdc00 && r->end - r->at >= 2 && r->at[0] == '\\' && r->at[1] == 'u';
        if (pair)
            r->at += 2;
        if (!pair || hex4(r, &low) < 0 || low < 0xdc00 || low > 0xdfff)
            return not_json(r, "half of a surrogate pair, which is no character");
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    append_utf8(&r->text, c);
    return 0;
}

static int take_escape(struct reader *r)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = r->at < r->end ? *r->at++ : '\0';
    const char *known = c ? strchr(from, c) : NULL;

    if (c == 'u')
        return take_code_point(r);
    if (!known)
        return not_json(r, "an escape that JSON does not know");
    buf_putc(&r->text, to[known - from]);
    return 0;
}

/* The string behind its opening quote, into r->text. */
static int take_string(struct reader *r)
{
    buf_clear(&r->text);
    for (;;) {
        const char *from = r->at;
        while (r->at < r->end && *r->at != '"' && *r->at != '\\' && (unsigned char)*r->at >= 0x20)
            r->at++;
        buf_append(&r->text, from, (size_t)(r->at - from));
        if (r->at == r->end)
            return not_json(r, "a string does not end");
        char c = *r->at++;
        if (c == '"')
            break;
        if (c != '\\')
            return not_json(r, "a control character stands in a string");
        int rc = take_escape(r);
        if (rc < 0)
            return rc;
    }
    return buf_ok(&r->text) ? 0 : -ENOMEM;
}

/* --- numbers ---------------------------------------------------------------------------------- */

static size_t digits(struct reader *r)
{
    const char *from = r->at;

    while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
        r->at++;
    return (size_t)(r->at - from);
}

static int take_number(struct reader *r)
{
    const char *from = r->at;

    if (*r->at == '-')
        r->at++;
    const char *first = r->at;
    size_t n = digits(r);
    if (n == 0 || (n > 1 && *first == '0'))
        return not_json(r, "a value is not one");
    if (r->at < r->end && *r->at == '.') {
        r->at++;
        if (!digits(r))
            return not_json(r, "a number ends in its point");
    }
    if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
        r->at++;
        if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
            r->at++;
        if (!digits(r))
            return not_json(r, "a number has an exponent without digits");
    }
    n = (size_t)(r->at - from);
    if (number_check(from, n) < 0)
        return fault_set(r->fault, NULL, "number_range",
                         "the column holds TEXT with a number in its JSON that has more than 38 "
                         "digits or is outside 1E-130 to 9.99E+125");
    buf_lit(r->out, "\"N\":\"");
    buf_append(r->out, from, n);
    buf_putc(r->out, '"');
    r->size += number_size(from, n);
    return 0;
}

/* --- values ----------------------------------------------------------------------------------- */

static int take_value(struct reader *r);

static int deeper(struct reader *r)
{
    r->size += 3;
    return ++r->depth > JSON_MAX_DEPTH ? not_json(r, "it is nested deeper than DynamoDB takes") : 0;
}

static int take_array(struct reader *r)
{
    int rc = deeper(r);

    buf_lit(r->out, "\"L\":[");
    if (rc == 0 && take_char(r, ']')) {
        buf_putc(r->out, ']');
        r->depth--;
        return 0;
    }
    while (rc == 0) {
        r->size++;
        if ((rc = take_value(r)) < 0)
            break;
        if (take_char(r, ']')) {
            buf_putc(r->out, ']');
            r->depth--;
            return 0;
        }
        if (!take_char(r, ','))
            return not_json(r, "an array lacks a comma or its end");
        buf_putc(r->out, ',');
    }
    return rc;
}

static int by_bytes(const void *a, const void *b, void *bytes)
{
    const struct name *x = a, *y = b;
    int c = memcmp((const char *)bytes + x->at, (const char *)bytes + y->at,
                   x->len < y->len ? x->len : y->len);

    return c ? c : (x->len > y->len) - (x->len < y->len);
}

static int check_names(struct reader *r, struct buf *bytes, struct buf *names)
{
    struct name *list = (struct name *)(void *)names->data;
    size_t n = names->len / sizeof *list;

    if (!buf_ok(bytes) || !buf_ok(names))
        return -ENOMEM;
    if (n < 2)
        return 0;
    qsort_r(list, n, sizeof *list, by_bytes, bytes->data);
    for (size_t i = 1; i < n; i++)
        if (by_bytes(&list[i - 1], &list[i], bytes->data) == 0)
            return not_json(r, "an object has the same key twice");
    return 0;
}

static int take_member(struct reader *r, struct buf *bytes, struct buf *names)
{
    int rc;

    if (!take_char(r, '"'))
        return not_json(r, "an object lacks a key");
    if ((rc = take_string(r)) < 0)
        return rc;
    if (r->text.len == 0 || r->text.len > MAX_NAME)
        return not_json(r, "a key of an object is empty or longer than 65,535 bytes");
    if (memchr(r->text.data, '\0', r->text.len))
        return not_json(r, "a key of an object holds U+0000");
    struct name name = {bytes->len, r->text.len};
    buf_append(bytes, r->text.data, r->text.len);
    buf_append(names, &name, sizeof name);
    json_append_string(r->out, r->text.data, r->text.len);
    buf_putc(r->out, ':');
    r->size += 1 + r->text.len;
    if (!take_char(r, ':'))
        return not_json(r, "a key of an object lacks its colon");
    return take_value(r);
}

static int take_object(struct reader *r)
{
    _cleanup_buf_ struct buf bytes = {0}, names = {0};
    int rc = deeper(r);

    buf_lit(r->out, "\"M\":{");
    if (rc == 0 && take_char(r, '}')) {
        buf_putc(r->out, '}');
        r->depth--;
        return 0;
    }
    while (rc == 0) {
        if ((rc = take_member(r, &bytes, &names)) < 0)
            break;
        if (take_char(r, '}')) {
            buf_putc(r->out, '}');
            r->depth--;
            return check_names(r, &bytes, &names);
        }
        if (!take_char(r, ','))
            return not_json(r, "an object lacks a comma or its end");
        buf_putc(r->out, ',');
    }
    return rc;
}

static int take_word(struct reader *r)
{
    static const char *const words[][2] = {
        {"true", "\"BOOL\":true"}, {"false", "\"BOOL\":false"}, {"null", "\"NULL\":true"}};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        size_t n = strlen(words[i][0]);
        if ((size_t)(r->end - r->at) < n || memcmp(r->at, words[i][0], n) != 0)
            continue;
        r->at += n;
        buf_puts(r->out, words[i][1]);
        r->size++;
        return 0;
    }
    return not_json(r, r->at == r->end ? "a value is missing" : "a value is not one");
}

/* What stands between the braces of an attribute: "S":"…". */
static int take_bare(struct reader *r)
{
    int rc;

    if (take_char(r, '"')) {
        if ((rc = take_string(r)) < 0)
            return rc;
        buf_lit(r->out, "\"S\":");
        json_append_string(r->out, r->text.data ? r->text.data : "", r->text.len);
        r->size += r->text.len;
        return 0;
    }
    if (take_char(r, '{'))
        return take_object(r);
    if (take_char(r, '['))
        return take_array(r);
    if (r->at < r->end && (*r->at == '-' || (*r->at >= '0' && *r->at <= '9')))
        return take_number(r);
    return take_word(r);
}

static int take_value(struct reader *r)
{
    buf_putc(r->out, '{');
    int rc = take_bare(r);
    buf_putc(r->out, '}');
    return rc;
}

int json_to_attribute(const char *text, size_t n, struct buf *out, size_t *size,
                      struct item_fault *f)
{
    struct reader r = {.at = text, .end = text + n, .out = out, .fault = f};
    int rc = utf8_valid(text, n)
                 ? take_bare(&r)
                 : fault_set(f, NULL, "invalid_utf8", "the text is not valid UTF-8");

    buf_free(&r.text);
    if (rc < 0)
        return rc;
    skip_space(&r);
    if (r.at < r.end)
        return not_json(&r, "something stands behind its value");
    buf_putc(out, '}');
    *size += r.size;
    return buf_ok(out) ? 0 : -ENOMEM;
}

/* --- and back --------------------------------------------------------------------------------- */

static int value_back(const json_t *attribute, struct buf *out)
{
    const char *type = json_object_iter_key(json_object_iter((json_t *)attribute));

    if (!type || json_object_size(attribute) != 1)
        return -EINVAL;
    return json_from_attribute(type, json_object_get(attribute, type), out);
}

static int list_back(const json_t *list, struct buf *out)
{
    int rc = 0;
    size_t i;
    json_t *v;

    buf_putc(out, '[');
    json_array_foreach(list, i, v)
    {
        buf_puts(out, i ? "," : "");
        if ((rc = value_back(v, out)) < 0)
            return rc;
    }
    buf_putc(out, ']');
    return buf_ok(out) ? 0 : -ENOMEM;
}

static int map_back(const json_t *map, struct buf *out)
{
    bool first = true;
    int rc = 0;

    buf_putc(out, '{');
    for (void *i = json_object_iter((json_t *)map); i;
         i = json_object_iter_next((json_t *)map, i)) {
        buf_puts(out, first ? "" : ",");
        first = false;
        const char *key = json_object_iter_key(i);
        json_append_string(out, key, strlen(key));
        buf_putc(out, ':');
        if ((rc = value_back(json_object_iter_value(i), out)) < 0)
            return rc;
    }
    buf_putc(out, '}');
    return buf_ok(out) ? 0 : -ENOMEM;
}

int json_from_attribute(const char *type, const json_t *value, struct buf *out)
{
    if (strcmp(type, "M") == 0 && json_is_object(value))
        return map_back(value, out);
    if (strcmp(type, "L") == 0 && json_is_array(value))
        return list_back(value, out);
    if (strcmp(type, "S") == 0 && json_is_string(value))
        json_append_string(out, json_string_value(value), json_string_length(value));
    else if (strcmp(type, "N") == 0 && json_is_string(value))
        return number_print_decimal(out, json_string_value(value), json_string_length(value));
    else if (strcmp(type, "BOOL") == 0 && json_is_boolean(value))
        buf_puts(out, json_is_true(value) ? "true" : "false");
    else if (strcmp(type, "NULL") == 0 && json_is_true(value))
        buf_lit(out, "null");
    else
        return -EINVAL;
    return buf_ok(out) ? 0 : -ENOMEM;
}
