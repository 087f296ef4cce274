#include "export/same.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/text.h"
#include "dynamodb/same.h"
#include "export/document.h"
#include "mapping/convert_json.h"
#include "mapping/number.h"

static const char *member(const json_t *attribute, const char *type)
{
    return json_string_value(json_object_get(attribute, type));
}

/* --- numbers ---------------------------------------------------------------------------------- */

static bool same_number(const char *a, const char *b)
{
    _cleanup_buf_ struct buf x = {0}, y = {0};

    return a && number_canonical(&x, a, strlen(a)) == 0 &&
           number_canonical(&y, b, strlen(b)) == 0 && buf_ok(&x) && buf_ok(&y) &&
           strcmp(x.data, y.data) == 0;
}

static const char *digits_of(const json_t *attribute)
{
    const char *s = member(attribute, "N");

    return s ? s : member(attribute, "S");
}

/* A double cannot be nearer than it is. */
static bool same_double(const char *a, const char *b)
{
    return a && strtod(a, NULL) == strtod(b, NULL);
}

/* --- words ------------------------------------------------------------------------------------ */

static bool same_uuid(const char *a, const char *b)
{
    return a && strcasecmp(a, b) == 0;
}

static bool same_boolean(const json_t *attribute, const char *text)
{
    const json_t *value = json_object_get(attribute, "BOOL");
    const char *word = digits_of(attribute);
    bool yes = json_is_true(value) || (word && (!strcmp(word, "true") || !strcmp(word, "1")));

    return (*text == 't') == yes;
}

static bool same_text(const json_t *attribute, const char *text, size_t n)
{
    const json_t *s = json_object_get(attribute, "S");

    if (!s)
        s = json_object_get(attribute, "N");
    if (!s && json_object_get(attribute, "BOOL"))
        return strcmp(text, json_is_true(json_object_get(attribute, "BOOL")) ? "true" : "false") ==
               0;
    return s && json_string_length(s) == n && memcmp(json_string_value(s), text, n) == 0;
}

/* Hex digits, two a byte, behind \x. */
static bool same_bytes(const char *base64, const char *text)
{
    _cleanup_buf_ struct buf a = {0}, b = {0};

    return base64 && strncmp(text, "\\x", 2) == 0 &&
           base64_decode(&a, base64, strlen(base64)) == 0 &&
           hex_decode(&b, text + 2, strlen(text + 2)) == 0 && a.len == b.len &&
           (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* --- times ------------------------------------------------------------------------------------ */

/* By the C library: seconds since 1970 and microseconds, of YYYY-MM-DD, with HH:MM[:SS[.F]] and a
 * zone or none. */
static bool read_time(const char *s, int64_t *seconds, long *micros)
{
    struct tm tm = {0};
    const char *p = strptime(s, "%Y-%m-%d", &tm);
    long offset = 0;

    *micros = 0;
    if (p && (*p == 'T' || *p == ' ')) {
        p = strptime(p + 1, "%H:%M", &tm);
        if (p && *p == ':')
            p = strptime(p + 1, "%S", &tm);
        if (p && *p == '.') {
            long unit = 100000;
            for (p++; isdigit((unsigned char)*p); p++, unit /= 10)
                *micros += (*p - '0') * unit;
        }
        while (p && *p == ' ')
            p++;
        if (p && (*p == '+' || *p == '-')) {
            long sign = *p == '-' ? -1 : 1, hours = strtol(p + 1, (char **)&p, 10);
            long minutes = *p == ':' ? strtol(p + 1, (char **)&p, 10) : 0;
            offset = sign * (hours * 3600 + minutes * 60);
        }
    }
    if (!p || (*p && strcasecmp(p, "Z") != 0))
        return false;
    *seconds = timegm(&tm) - offset;
    return true;
}

/* Numbers as long doubles: 64 bits are more than microseconds need. */
static bool same_number_time(const struct export_column *c, const char *n, const char *text)
{
    int64_t seconds;
    long micros;
    long double v = strtold(n, NULL);
    bool ms = c->form == TIME_MS || (c->form == TIME_DETECTED && (v >= 1e11L || v <= -1e11L));

    if (!read_time(text, &seconds, &micros))
        return false;
    long double back = (long double)seconds + (long double)micros / 1e6L;
    long double off = (ms ? v / 1000 : v) - back;
    return off < 1e-6L && off > -1e-6L;
}

static bool same_time(const struct export_column *c, const json_t *attribute, const char *text)
{
    const char *s = member(attribute, "S");
    int64_t a, b;
    long x, y;

    if (!s)
        return member(attribute, "N") && same_number_time(c, member(attribute, "N"), text);
    return read_time(s, &a, &x) && read_time(text, &b, &y) && a == b && x == y;
}

/* --- documents -------------------------------------------------------------------------------- */

/* What JSON does not tell apart is what it can say: sets are lists, bytes are base64. */
static json_t *spoken(const json_t *attribute)
{
    static const char *const sets[] = {"SS", "S", "NS", "N", "BS", "S"};
    const json_t *members = json_object_get(attribute, "M"),
                 *list = json_object_get(attribute, "L");
    const char *name;
    json_t *value;

    if (members) {
        json_t *out = json_object();
        json_object_foreach((json_t *)members, name, value)
            json_object_set_new(out, name, spoken(value));
        return json_pack("{so}", "M", out);
    }
    json_t *out = json_array();
    for (size_t i = 0; i < json_array_size(list); i++)
        json_array_append_new(out, spoken(json_array_get(list, i)));
    for (size_t k = 0; k < 6; k += 2) {
        const json_t *set = json_object_get(attribute, sets[k]);
        for (size_t i = 0; i < json_array_size(set); i++)
            json_array_append_new(out, json_pack("{sO}", sets[k + 1], json_array_get(set, i)));
        list = list ? list : set;
    }
    if (list)
        return json_pack("{so}", "L", out);
    json_decref(out);
    value = json_object_get(attribute, "B");
    return value ? json_pack("{sO}", "S", value) : json_incref((json_t *)attribute);
}

/* PostgreSQL's JSON as DynamoDB's typed JSON, by the project's own reader. */
static json_t *typed_of(const char *text, size_t n)
{
    _cleanup_buf_ struct buf typed = {0};
    struct item_fault ignored;
    size_t size = 0;

    buf_putc(&typed, '{');
    if (json_to_attribute(text, n, &typed, &size, &ignored) < 0 || !buf_ok(&typed))
        return NULL;
    return json_loadb(typed.data, typed.len, JSON_ALLOW_NUL, NULL);
}

/* One document in two spellings, where DynamoDB's own rules do not reach it. */
static bool same_plain(const char *a, size_t n, const char *b, size_t m)
{
    const size_t flags = JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL;
    json_auto_t *x = json_loadb(a, n, flags, NULL), *y = json_loadb(b, m, flags, NULL);

    return x && y && json_equal(x, y);
}

/* What the project's reader does not take (an empty name, a number past DynamoDB's) is compared as
 * any JSON is. */
static bool same_document(const struct export_column *c, const json_t *attribute, const char *text,
                          size_t n)
{
    json_auto_t *back = typed_of(text, n), *there = NULL;
    const json_t *s = json_object_get(attribute, "S");
    bool parsed = s && c->parse;

    there = parsed ? typed_of(json_string_value(s), json_string_length(s)) : spoken(attribute);
    if (there && back)
        return attribute_same(there, back);
    if (parsed)
        return same_plain(json_string_value(s), json_string_length(s), text, n);
    _cleanup_buf_ struct buf plain = {0};
    return there && document_append(&plain, there) == 0 &&
           same_plain(plain.data, plain.len, text, n);
}

/* --- all of them ------------------------------------------------------------------------------ */

static bool same(const struct export_column *c, const json_t *attribute, const char *text, size_t n)
{
    switch (c->type) {
    case COLUMN_TEXT:
    case COLUMN_VARCHAR:
        return same_text(attribute, text, n);
    case COLUMN_UUID:
        return same_uuid(member(attribute, "S"), text);
    case COLUMN_SMALLINT:
    case COLUMN_INTEGER:
    case COLUMN_BIGINT:
    case COLUMN_NUMERIC:
        return same_number(digits_of(attribute), text);
    case COLUMN_DOUBLE:
        return same_double(digits_of(attribute), text);
    case COLUMN_BOOLEAN:
        return same_boolean(attribute, text);
    case COLUMN_TIMESTAMPTZ:
    case COLUMN_TIMESTAMP:
    case COLUMN_DATE:
        return same_time(c, attribute, text);
    case COLUMN_JSONB:
    case COLUMN_JSON:
        return same_document(c, attribute, text, n);
    case COLUMN_BYTEA:
        return same_bytes(member(attribute, "B"), text);
    }
    return false;
}

bool export_same(const struct export_column *c, const json_t *attribute, const char *text, size_t n)
{
    bool absent = !attribute || json_object_get(attribute, "NULL");

    if (absent && c->fallback) {
        struct export_column parsing = *c;
        json_auto_t *fallback = json_pack("{ss}", "S", c->fallback);
        parsing.parse = true;
        return text && fallback && same(&parsing, fallback, text, n);
    }
    if (absent || !text)
        return absent && !text;
    return same(c, attribute, text, n);
}

void export_key_text(const struct export_column *c, const char *text, size_t n, struct buf *out)
{
    if (!export_column_is_number(c->type) || number_canonical(out, text, n) < 0)
        buf_append(out, text, n);
}
