#include "export/convert.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "export/cut.h"
#include "export/document.h"
#include "export/moment.h"
#include "mapping/number.h"
#include "mapping/uuid5.h"

const char *export_problem_word(enum export_problem kind)
{
    static const char *const words[PROBLEM_KINDS] = {
        [PROBLEM_KEY_SHAPE] = "key_shape", [PROBLEM_UUID] = "uuid",
        [PROBLEM_REQUIRED] = "required",   [PROBLEM_TYPE] = "type",
        [PROBLEM_RANGE] = "range",         [PROBLEM_REFERENCE] = "reference",
        [PROBLEM_DUPLICATE] = "duplicate", [PROBLEM_DATABASE] = "database",
    };

    return words[kind];
}

int export_fault_set(struct export_fault *f, enum export_problem kind, const char *fmt, ...)
{
    va_list args;
    char text[512];

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    text_copy(f->text, sizeof f->text, text);
    f->kind = kind;
    return -EINVAL;
}

/* An attribute taken apart. */
struct typed {
    const char *type; /* "S", "N", …; "" is none of DynamoDB's */
    const char *s;    /* of S, N and B */
    size_t n;
    const json_t *value, *whole;
};

static struct typed take_apart(const json_t *attribute)
{
    void *only = json_object_size(attribute) == 1 ? json_object_iter((json_t *)attribute) : NULL;
    struct typed t = {.type = "", .s = "", .whole = attribute};

    if (!only)
        return t;
    t.type = json_object_iter_key(only);
    t.value = json_object_iter_value(only);
    if (json_is_string(t.value)) {
        t.s = json_string_value(t.value);
        t.n = json_string_length(t.value);
    }
    return t;
}

static bool is(const struct typed *t, char type)
{
    return t->type[0] == type && !t->type[1] && json_is_string(t->value);
}

static int not_taken(const struct export_column *c, const struct typed *t, struct export_fault *f)
{
    _cleanup_buf_ struct buf type = {0};
    struct cut shown;

    export_column_type(c, &type);
    return export_fault_set(f, PROBLEM_TYPE, "%s is of type %s, which %s does not take", c->source,
                            *t->type ? cut(&shown, t->type) : "(none)",
                            buf_ok(&type) ? type.data : "the column");
}

/* --- text, UUIDs ------------------------------------------------------------------------------ */

static size_t characters(const char *s, size_t n)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++)
        count += ((unsigned char)s[i] & 0xc0) != 0x80;
    return count;
}

static int to_text(const struct export_column *c, const struct typed *t, struct buf *out,
                   struct export_fault *f)
{
    if (strcmp(t->type, "BOOL") == 0) {
        buf_puts(out, json_is_true(t->value) ? "true" : "false");
        return 0;
    }
    if (!is(t, 'S') && !is(t, 'N'))
        return not_taken(c, t, f);
    if (memchr(t->s, '\0', t->n))
        return export_fault_set(f, PROBLEM_TYPE,
                                "%s holds a NUL character, which text does not take", c->source);
    if (c->size && characters(t->s, t->n) > c->size)
        return export_fault_set(f, PROBLEM_RANGE, "%s has %zu characters, and varchar(%u) takes %u",
                                c->source, characters(t->s, t->n), c->size, c->size);
    buf_append(out, t->s, t->n);
    return 0;
}

static int to_uuid(const struct export_column *c, const struct typed *t, struct buf *out,
                   struct export_fault *f)
{
    uint8_t uuid[UUID_BYTES];
    char text[UUID_TEXT + 1];
    struct cut shown;

    if (!is(t, 'S'))
        return not_taken(c, t, f);
    if (uuid_parse(t->s, t->n, uuid) < 0)
        return export_fault_set(f, PROBLEM_UUID, "%s is no UUID: %s", c->source,
                                cut_n(&shown, t->s, t->n));
    uuid_print(uuid, text);
    buf_puts(out, text);
    return 0;
}

/* --- numbers ---------------------------------------------------------------------------------- */

/* Digits before and after the point, of a canonical number such as -15e-1. */
static void count_digits(const char *canonical, long *before, long *after)
{
    const char *digits = canonical + (*canonical == '-');
    const char *e = strchr(digits, 'e');
    long n = e ? (long)(e - digits) : (long)strlen(digits);
    long exponent = e ? strtol(e + 1, NULL, 10) : 0;

    *before = n + exponent > 0 ? n + exponent : 0;
    *after = exponent < 0 ? -exponent : 0;
}

static int not_number(const struct export_column *c, struct export_fault *f)
{
    return export_fault_set(f, PROBLEM_TYPE, "%s is no number", c->source);
}

/* Canonical: digits, perhaps with e and zeros behind them. */
static int to_integer(const struct export_column *c, const char *canonical, struct buf *out,
                      struct export_fault *f)
{
    static const int64_t most[] = {
        [COLUMN_SMALLINT] = INT16_MAX, [COLUMN_INTEGER] = INT32_MAX, [COLUMN_BIGINT] = INT64_MAX};
    bool negative = *canonical == '-';
    long before, after;
    char text[32];

    count_digits(canonical, &before, &after);
    if (after > 0)
        return export_fault_set(f, PROBLEM_RANGE, "%s is no whole number", c->source);
    if (before > 19)
        return export_fault_set(f, PROBLEM_RANGE, "%s is out of range", c->source);
    /* At most 19 digits: no overflow of what is unsigned. */
    uint64_t v = 0, limit = (uint64_t)most[c->type] + negative;
    const char *d = canonical + negative;
    for (long i = 0; i < before; i++)
        v = v * 10 + (*d >= '0' && *d <= '9' ? (uint64_t)(*d++ - '0') : 0);
    if (v > limit)
        return export_fault_set(f, PROBLEM_RANGE, "%s is out of range", c->source);
    snprintf(text, sizeof text, "%s%llu", negative ? "-" : "", (unsigned long long)v);
    buf_puts(out, text);
    return 0;
}

static int check_numeric(const struct export_column *c, const char *canonical,
                         struct export_fault *f)
{
    long before, after;

    count_digits(canonical, &before, &after);
    if (c->size && before > (long)(c->size - c->scale))
        return export_fault_set(f, PROBLEM_RANGE,
                                "%s has %ld digits before the point, and numeric(%u,%u) takes %u",
                                c->source, before, c->size, c->scale, c->size - c->scale);
    if (c->size && after > (long)c->scale)
        return export_fault_set(f, PROBLEM_RANGE,
                                "%s has %ld digits after the point, and numeric(%u,%u) takes %u",
                                c->source, after, c->size, c->scale, c->scale);
    return 0;
}

static int to_number(const struct export_column *c, const struct typed *t, struct buf *out,
                     struct export_fault *f)
{
    _cleanup_buf_ struct buf canonical = {0};

    if (!is(t, 'N') && !is(t, 'S'))
        return not_taken(c, t, f);
    if (number_check(t->s, t->n) == -ERANGE)
        return export_fault_set(f, PROBLEM_RANGE, "%s is a number out of range", c->source);
    if (number_canonical(&canonical, t->s, t->n) < 0)
        return not_number(c, f);
    if (!buf_ok(&canonical))
        return -ENOMEM;
    if (c->type != COLUMN_NUMERIC && c->type != COLUMN_DOUBLE)
        return to_integer(c, canonical.data, out, f);
    int rc = c->type == COLUMN_NUMERIC ? check_numeric(c, canonical.data, f) : 0;
    return rc < 0 ? rc : number_print_decimal(out, t->s, t->n);
}

static int to_boolean(const struct export_column *c, const struct typed *t, struct buf *out,
                      struct export_fault *f)
{
    bool yes = strcmp(t->type, "BOOL") == 0 && json_is_true(t->value);
    bool no = strcmp(t->type, "BOOL") == 0 && json_is_false(t->value);

    if (is(t, 'S')) {
        yes = strcmp(t->s, "true") == 0;
        no = strcmp(t->s, "false") == 0;
    } else if (is(t, 'N')) {
        yes = strcmp(t->s, "1") == 0;
        no = strcmp(t->s, "0") == 0;
    } else if (!yes && !no) {
        return not_taken(c, t, f);
    }
    if (!yes && !no)
        return export_fault_set(f, PROBLEM_TYPE, "%s is neither true nor false", c->source);
    buf_putc(out, yes ? 't' : 'f');
    return 0;
}

/* --- times, documents, bytes ------------------------------------------------------------------ */

static int to_moment(const struct export_column *c, const struct typed *t, struct buf *out,
                     struct export_fault *f)
{
    struct moment m;
    struct cut shown;
    int rc;

    if (!is(t, 'S') && !is(t, 'N'))
        return not_taken(c, t, f);
    rc = is(t, 'N') ? moment_of_number(c->form, t->s, t->n, &m) : moment_parse(t->s, t->n, &m);
    if (rc < 0)
        return export_fault_set(f, PROBLEM_TYPE, "%s is no time: %s", c->source,
                                cut_n(&shown, t->s, t->n));
    if (c->type == COLUMN_DATE && !m.date_only)
        return export_fault_set(f, PROBLEM_TYPE, "%s is no date: %s", c->source,
                                cut_n(&shown, t->s, t->n));
    if (m.finer && !c->cut)
        return export_fault_set(f, PROBLEM_RANGE,
                                "%s is finer than a microsecond; timestamptz(cut) or "
                                "timestamp(cut) would cut it",
                                c->source);
    moment_print(&m, c->type == COLUMN_DATE, c->type == COLUMN_TIMESTAMPTZ, out);
    return 0;
}

static int parse_json(const struct export_column *c, const struct typed *t, struct buf *out,
                      struct export_fault *f)
{
    json_auto_t *root =
        json_loadb(t->s, t->n, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, NULL);

    if (!root)
        return export_fault_set(f, PROBLEM_TYPE, "%s holds text that is not JSON", c->source);
    if (document_holds_nul(root))
        return export_fault_set(f, PROBLEM_TYPE,
                                "%s holds a NUL character, which JSON in PostgreSQL does not take",
                                c->source);
    buf_append(out, t->s, t->n);
    return 0;
}

static int to_json(const struct export_column *c, const struct typed *t, struct buf *out,
                   struct export_fault *f)
{
    if (is(t, 'S') && c->parse)
        return parse_json(c, t, out, f);
    if (document_holds_nul(t->whole))
        return export_fault_set(f, PROBLEM_TYPE,
                                "%s holds a NUL character, which JSON in PostgreSQL does not take",
                                c->source);
    int rc = document_append(out, t->whole);
    return rc == -EINVAL ? not_taken(c, t, f) : rc;
}

static int to_bytea(const struct export_column *c, const struct typed *t, struct buf *out,
                    struct export_fault *f)
{
    _cleanup_buf_ struct buf bytes = {0};

    if (!is(t, 'B') || base64_decode(&bytes, t->s, t->n) < 0)
        return not_taken(c, t, f);
    buf_lit(out, "\\x");
    hex_append(out, bytes.data ? bytes.data : "", bytes.len);
    return buf_ok(&bytes) ? 0 : -ENOMEM;
}

static int convert(const struct export_column *c, const json_t *attribute, struct buf *out,
                   struct export_fault *f)
{
    const struct typed t = take_apart(attribute);

    switch (c->type) {
    case COLUMN_TEXT:
    case COLUMN_VARCHAR:
        return to_text(c, &t, out, f);
    case COLUMN_UUID:
        return to_uuid(c, &t, out, f);
    case COLUMN_SMALLINT:
    case COLUMN_INTEGER:
    case COLUMN_BIGINT:
    case COLUMN_NUMERIC:
    case COLUMN_DOUBLE:
        return to_number(c, &t, out, f);
    case COLUMN_BOOLEAN:
        return to_boolean(c, &t, out, f);
    case COLUMN_TIMESTAMPTZ:
    case COLUMN_TIMESTAMP:
    case COLUMN_DATE:
        return to_moment(c, &t, out, f);
    case COLUMN_JSONB:
    case COLUMN_JSON:
        return to_json(c, &t, out, f);
    case COLUMN_BYTEA:
        return to_bytea(c, &t, out, f);
    }
    return not_taken(c, &t, f);
}

/* The fallback stands for the text that an item would have; JSON is parsed. */
static int convert_fallback(const struct export_column *c, struct buf *out, struct export_fault *f)
{
    json_auto_t *value = json_pack("{ss}", "S", c->fallback);
    struct export_column parsing = *c;

    parsing.parse = true;
    return value ? convert(&parsing, value, out, f) : -ENOMEM;
}

int export_convert(const struct export_column *c, const json_t *attribute, struct buf *out,
                   bool *is_null, struct export_fault *f)
{
    bool absent = !attribute || json_object_get(attribute, "NULL");
    int rc = 0;

    *is_null = absent && !c->fallback;
    if (*is_null && (c->required || c->primary_key))
        return export_fault_set(f, PROBLEM_REQUIRED, "%s is missing", c->source);
    if (absent && c->fallback)
        rc = convert_fallback(c, out, f);
    else if (!absent)
        rc = convert(c, attribute, out, f);
    return rc == 0 && !buf_ok(out) ? -ENOMEM : rc;
}

int export_fallback_check(const struct export_column *c, struct err *err)
{
    _cleanup_buf_ struct buf ignored = {0};
    struct export_fault f;
    int rc = c->fallback ? convert_fallback(c, &ignored, &f) : 0;

    return rc == -EINVAL ? err_set(err, rc, "its default: %s", f.text) : rc;
}
