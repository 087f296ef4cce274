#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "import/datum_internal.h"
#include "mapping/convert_time.h"
#include "mapping/number.h"
#include "mapping/uuid5.h"

enum { MAX_MEMBERS = 3, UUID_LEGACY = 3, UUID_STANDARD = 4 };

/* The object at hand, if it has few members and the first begins with "$". */
struct wrapper {
    char names[MAX_MEMBERS][24];
    struct json_text values[MAX_MEMBERS]; /* a value each, not read */
    size_t count;
};

static int wrong(struct datum_reader *r, const char *name, const char *why)
{
    return err_set(r->err, -EINVAL, "%s %s", name, why);
}

static bool take_member(struct json_text *t, struct wrapper *w)
{
    _cleanup_buf_ struct buf name = {0};
    struct json_text *value = &w->values[w->count];

    if (w->count == MAX_MEMBERS || !json_take_char(t, '"') || json_take_string(t, &name) < 0 ||
        name.len == 0 || name.len >= sizeof w->names[0] || memchr(name.data, '\0', name.len))
        return false;
    if (w->count == 0 && name.data[0] != '$')
        return false;
    memcpy(w->names[w->count], name.data, name.len + 1);
    if (!json_take_char(t, ':') || json_skip_value(t, RECORD_MAX_DEPTH, &value->at) < 0)
        return false;
    value->end = t->at;
    w->count++;
    return true;
}

/* Moves `t` behind the object when it is one that could be a wrapper. */
static bool take_wrapper(struct json_text *t, struct wrapper *w)
{
    struct json_text at = *t;

    if (!json_take_char(&at, '{'))
        return false;
    do
        if (!take_member(&at, w))
            return false;
    while (json_take_char(&at, ','));
    if (!json_take_char(&at, '}'))
        return false;
    *t = at;
    return true;
}

static const struct json_text *member(const struct wrapper *w, const char *name)
{
    for (size_t i = 0; i < w->count; i++)
        if (strcmp(w->names[i], name) == 0)
            return &w->values[i];
    return NULL;
}

/* A string (or, of numbers in older files, a bare number), onto `out`. */
static bool text_of(const struct json_text *value, bool number, struct buf *out)
{
    struct json_text t = *value;
    const char *from;
    size_t n;

    if (json_take_char(&t, '"'))
        return json_take_string(&t, out) == 0;
    if (!number || json_take_number(&t, &from, &n) < 0)
        return false;
    buf_append(out, from, n);
    return true;
}

/* --- one function a kind ---------------------------------------------------------------------- */

static int stored(struct datum_reader *r, enum datum_kind kind, const char *bytes, size_t n,
                  struct datum *out)
{
    *out = (struct datum){.kind = kind, .at = r->store->len, .len = n};
    buf_append(r->store, bytes, n);
    return 1;
}

static int read_oid(struct datum_reader *r, const struct wrapper *w, struct datum *out)
{
    _cleanup_buf_ struct buf text = {0}, ignored = {0};

    if (!text_of(&w->values[0], false, &text) || text.len != 24 ||
        hex_decode(&ignored, text.data, text.len) < 0)
        return wrong(r, "$oid", "is not 24 hex digits");
    return stored(r, DATUM_TEXT, text.data, text.len, out);
}

static int read_integer(struct datum_reader *r, const struct wrapper *w, struct datum *out)
{
    _cleanup_buf_ struct buf text = {0};
    char *end;

    errno = 0;
    if (!text_of(&w->values[0], true, &text) || !text.len ||
        strspn(text.data, "-0123456789") < text.len || (strtoll(text.data, &end, 10), *end) ||
        errno)
        return wrong(r, w->names[0], "is not an integer of 64 bits");
    return stored(r, DATUM_NUMBER, text.data, text.len, out);
}

/* Infinity and NaN are no decimal numbers. */
static int read_number(struct datum_reader *r, const struct wrapper *w, bool decimal,
                       struct datum *out)
{
    _cleanup_buf_ struct buf text = {0}, canonical = {0};

    if (!text_of(&w->values[0], true, &text) || !text.len)
        return wrong(r, w->names[0], "is not a number");
    if (strcmp(text.data, "Infinity") == 0 || strcmp(text.data, "-Infinity") == 0) {
        *out = (struct datum){.kind = DATUM_INFINITE, .truth = text.data[0] == '-'};
        return 1;
    }
    if (strcmp(text.data, "NaN") == 0)
        return wrong(r, w->names[0], "is NaN, which SQLite does not have");
    if (number_canonical(&canonical, text.data, text.len) < 0)
        return wrong(r, w->names[0], "is not a number");
    int rc = stored(r, DATUM_NUMBER, text.data, text.len, out);
    out->decimal = decimal;
    return rc;
}

/* +0100 at the end becomes +01:00, as older mongoexports leave out the colon. */
static bool parse_date(const struct buf *text, int64_t *ms)
{
    const char *s = text->data;
    size_t n = text->len;
    char mended[48];

    if (n < 5 || n + 2 > sizeof mended || !strchr("+-", s[n - 5]) || !strchr(s, 'T'))
        return time_parse(s, n, ms) == 0;
    memcpy(mended, s, n - 2);
    mended[n - 2] = ':';
    memcpy(mended + n - 1, s + n - 2, 3);
    return time_parse(mended, n + 1, ms) == 0;
}

/* Within the years 0000 to 9999, which ISO 8601's four digits can tell. */
#define FIRST_MS INT64_C(-62167219200000)
#define LAST_MS  INT64_C(253402300799999)

static int read_date(struct datum_reader *r, const struct wrapper *w, struct datum *out)
{
    _cleanup_buf_ struct buf text = {0};
    struct wrapper number = {0};
    struct json_text value = w->values[0];
    int64_t ms;
    char *end;

    if (*value.at == '"') {
        if (!text_of(&value, false, &text) || !text.len || !parse_date(&text, &ms))
            return wrong(r, "$date", "is not a point in time such as 2024-01-31T12:00:00.000Z");
    } else {
        if (take_wrapper(&value, &number) &&
            (number.count != 1 || strcmp(number.names[0], "$numberLong") != 0))
            return wrong(r, "$date", "is not a number of milliseconds");
        errno = 0;
        if (!text_of(number.count ? &number.values[0] : &w->values[0], true, &text) || !text.len)
            return wrong(r, "$date", "is not a number of milliseconds");
        ms = strtoll(text.data, &end, 10);
        if (*end || errno)
            return wrong(r, "$date", "is not a whole number of milliseconds");
    }
    if (ms < FIRST_MS || ms > LAST_MS)
        return wrong(r, "$date", "is outside the years 0000 to 9999");
    *out = (struct datum){.kind = DATUM_TIME, .ms = ms};
    return 1;
}

static int read_bytes(struct datum_reader *r, const struct json_text *base64,
                      const struct json_text *type, struct datum *out)
{
    _cleanup_buf_ struct buf text = {0}, kind = {0}, bytes = {0};
    char uuid[UUID_TEXT + 1], *end;

    if (!base64 || !text_of(base64, false, &text) ||
        base64_decode(&bytes, text.data ? text.data : "", text.len) < 0)
        return wrong(r, "$binary", "is not base64");
    if (!type || !text_of(type, true, &kind) || !kind.len || kind.len > 2)
        return wrong(r, "$binary", "has no subtype");
    unsigned long subtype = strtoul(kind.data, &end, 16);
    if (*end)
        return wrong(r, "$binary", "has no subtype");
    if (bytes.len != UUID_BYTES || subtype != UUID_STANDARD)
        return stored(r, DATUM_BYTES, bytes.data ? bytes.data : "", bytes.len, out);
    uuid_print((const uint8_t *)bytes.data, uuid);
    return stored(r, DATUM_UUID, uuid, UUID_TEXT, out);
}

static int read_binary(struct datum_reader *r, const struct wrapper *w, struct datum *out)
{
    const struct json_text *type = member(w, "$type");
    struct json_text value = w->values[0];
    struct wrapper inner = {0};

    if (type)
        return read_bytes(r, &w->values[0], type, out);
    /* Its members do not begin with "$": read by hand. */
    _cleanup_buf_ struct buf name = {0};
    struct json_text parts[2] = {{0}};
    if (w->count != 1 || !json_take_char(&value, '{'))
        return wrong(r, "$binary", "is not an object with base64 and subType");
    while (inner.count < 2 && json_take_char(&value, '"')) {
        struct json_text one = {0};
        buf_clear(&name);
        if (json_take_string(&value, &name) < 0 || !json_take_char(&value, ':') ||
            json_skip_value(&value, RECORD_MAX_DEPTH, &one.at) < 0)
            break;
        one.end = value.at;
        if (name.len == 6 && memcmp(name.data, "base64", 6) == 0)
            parts[0] = one;
        else if (name.len == 7 && memcmp(name.data, "subType", 7) == 0)
            parts[1] = one;
        inner.count++;
        json_take_char(&value, ',');
    }
    if (!parts[0].at || !parts[1].at || !json_take_char(&value, '}'))
        return wrong(r, "$binary", "is not an object with base64 and subType");
    return read_bytes(r, &parts[0], &parts[1], out);
}

static int read_uuid(struct datum_reader *r, const struct wrapper *w, struct datum *out)
{
    _cleanup_buf_ struct buf text = {0};
    uint8_t bytes[UUID_BYTES];
    char uuid[UUID_TEXT + 1];

    if (!text_of(&w->values[0], false, &text) ||
        uuid_parse(text.data ? text.data : "", text.len, bytes) < 0)
        return wrong(r, "$uuid", "is not a UUID");
    uuid_print(bytes, uuid);
    return stored(r, DATUM_UUID, uuid, UUID_TEXT, out);
}

static int read_text(struct datum_reader *r, const struct wrapper *w, struct datum *out)
{
    size_t at = r->store->len;

    if (!text_of(&w->values[0], false, r->store))
        return wrong(r, w->names[0], "is not a string");
    *out = (struct datum){.kind = DATUM_TEXT, .at = at, .len = r->store->len - at};
    return 1;
}

/* What no other system has stays as it is written. */
static int read_kept(struct datum_reader *r, const struct wrapper *w, struct datum *out)
{
    struct datum_reader plain = {.dialect = DIALECT_PLAIN, .store = r->store, .err = r->err};
    size_t at = r->store->len;
    int rc = 0;

    buf_putc(r->store, '{');
    for (size_t i = 0; i < w->count && rc == 0; i++) {
        buf_puts(r->store, i ? "," : "");
        json_append_string(r->store, w->names[i], strlen(w->names[i]));
        buf_putc(r->store, ':');
        plain.in = w->values[i];
        rc = datum_json(&plain, RECORD_MAX_DEPTH, r->store);
    }
    buf_putc(r->store, '}');
    *out = (struct datum){.kind = DATUM_JSON, .at = at, .len = r->store->len - at};
    return rc < 0 ? rc : 1;
}

/* --- which it is ------------------------------------------------------------------------------ */

static int read_null(struct datum_reader *r, const struct wrapper *w, struct datum *out)
{
    (void)r;
    (void)w;
    *out = (struct datum){.kind = DATUM_NULL};
    return 1;
}

static int read_double(struct datum_reader *r, const struct wrapper *w, struct datum *out)
{
    return read_number(r, w, false, out);
}

static int read_decimal(struct datum_reader *r, const struct wrapper *w, struct datum *out)
{
    return read_number(r, w, true, out);
}

static const struct {
    const char *first, *second; /* the names of its members; NULL: there is but one */
    int (*read)(struct datum_reader *r, const struct wrapper *w, struct datum *out);
} kinds[] = {
    {"$oid", NULL, read_oid},
    {"$date", NULL, read_date},
    {"$numberInt", NULL, read_integer},
    {"$numberLong", NULL, read_integer},
    {"$numberDouble", NULL, read_double},
    {"$numberDecimal", NULL, read_decimal},
    {"$binary", NULL, read_binary},
    {"$binary", "$type", read_binary},
    {"$uuid", NULL, read_uuid},
    {"$symbol", NULL, read_text},
    {"$code", NULL, read_text},
    {"$code", "$scope", read_kept},
    {"$undefined", NULL, read_null},
    {"$timestamp", NULL, read_kept},
    {"$regularExpression", NULL, read_kept},
    {"$regex", "$options", read_kept},
    {"$dbPointer", NULL, read_kept},
    {"$minKey", NULL, read_kept},
    {"$maxKey", NULL, read_kept},
};

int extended_read(struct datum_reader *r, struct datum *out)
{
    struct json_text at = r->in;
    struct wrapper w = {0};

    if (!take_wrapper(&at, &w))
        return 0;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        bool same = strcmp(w.names[0], kinds[i].first) == 0 &&
                    (kinds[i].second ? w.count == 2 && strcmp(w.names[1], kinds[i].second) == 0
                                     : w.count == 1);
        if (!same)
            continue;
        int rc = kinds[i].read(r, &w, out);
        if (rc == 1)
            r->in.at = at.at;
        return rc;
    }
    return 0;
}
