#include "import/value.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "mapping/convert_time.h"
#include "mapping/number.h"
#include "mapping/uuid5.h"

enum { DOUBLE_DIGITS = 17 }; /* decimal digits that tell all doubles apart */

int import_conversion_parse(const char *text, struct import_conversion *out, struct err *err)
{
    struct import_conversion c = {.base64 = strcmp(text, "base64") == 0};
    int rc = c.base64 ? 0 : conversion_parse(text, &c.c, err);

    if (rc == 0)
        *out = c;
    return rc;
}

void import_conversion_clear(struct import_conversion *c)
{
    conversion_clear(&c->c);
}

static void set_text(struct value *v, const char *bytes, size_t n)
{
    *v = (struct value){.kind = VALUE_TEXT};
    v->bytes = bytes;
    v->len = n;
}

static void set_bytes(struct value *v, const char *bytes, size_t n)
{
    set_text(v, bytes, n);
    v->kind = VALUE_BLOB;
}

static void set_integer(struct value *v, int64_t n)
{
    *v = (struct value){.kind = VALUE_INTEGER};
    v->integer = n;
}

/* --- numbers ---------------------------------------------------------------------------------- */

static size_t digits(const char *s, size_t n)
{
    size_t count = 0;

    for (size_t i = 0; i < n && s[i] != 'e' && s[i] != 'E'; i++)
        count += s[i] >= '0' && s[i] <= '9' && (count || s[i] != '0');
    return count;
}

/* Does the double stand for this number and no other that is written with so many digits? */
static bool keeps(double real, const char *s, size_t n, bool decimal)
{
    _cleanup_buf_ struct buf shortest = {0}, one = {0}, other = {0};

    if (!isfinite(real))
        return false;
    if (!decimal && digits(s, n) <= DOUBLE_DIGITS)
        return real != 0 || digits(s, n) == 0; /* not when it is too small for a double */
    number_print_double(&shortest, real);
    return buf_ok(&shortest) && number_canonical(&one, shortest.data, shortest.len) == 0 &&
           number_canonical(&other, s, n) == 0 && one.len == other.len &&
           memcmp(one.data, other.data, one.len) == 0;
}

/* An integer of 64 bits, or a double that keeps it; else false. `s` ends with a NUL. */
static bool read_number(const char *s, size_t n, bool decimal, struct value *out)
{
    char *end;

    if (strspn(s, "-0123456789") == n) {
        errno = 0;
        long long integer = strtoll(s, &end, 10);
        if (!errno && !*end) {
            set_integer(out, integer);
            return true;
        }
    }
    double real = strtod(s, &end);
    if (*end || !keeps(real, s, n, decimal))
        return false;
    *out = (struct value){.kind = VALUE_REAL};
    out->real = real;
    return true;
}

static const char *affinity_name(enum affinity a)
{
    return a == AFFINITY_INTEGER ? "an INTEGER" : a == AFFINITY_REAL ? "a REAL" : "a NUMERIC";
}

static int number_value(const char *s, size_t n, bool decimal, enum affinity affinity,
                        struct value *out, struct buf *scratch, struct err *err)
{
    buf_clear(scratch);
    buf_append(scratch, s, n);
    if (!buf_ok(scratch))
        return -ENOMEM;
    set_text(out, scratch->data, n);
    if (affinity == AFFINITY_TEXT)
        return 0;
    struct value number;
    bool exact = read_number(scratch->data, n, decimal, &number);
    if (exact && affinity == AFFINITY_REAL && number.kind == VALUE_INTEGER)
        exact = keeps((double)number.integer, scratch->data, n, true);
    if (exact) {
        *out = number;
        return 0;
    }
    if (affinity == AFFINITY_NONE || affinity == AFFINITY_BLOB)
        return 0;
    return err_set(err, -EINVAL,
                   "the number %.60s%s has more digits than %s column keeps; make it TEXT",
                   scratch->data, n > 60 ? "…" : "", affinity_name(affinity));
}

/* SQLite makes a number of text that is one when its column is of numbers, rounding it without a
 * word. */
static int check_text(const struct value *v, enum affinity affinity, struct err *err)
{
    static const char space[] = " \t\n\v\f\r";
    _cleanup_buf_ struct buf text = {0}, canonical = {0}, ignored = {0};
    const char *at = v->bytes, *end = at + v->len;
    struct value number;

    if (affinity != AFFINITY_INTEGER && affinity != AFFINITY_REAL && affinity != AFFINITY_NUMERIC)
        return 0;
    while (at < end && *at && strchr(space, *at))
        at++;
    while (at < end && end[-1] && strchr(space, end[-1]))
        end--;
    if (at == end || number_canonical(&canonical, at, (size_t)(end - at)) == -EINVAL)
        return 0;
    buf_append(&text, at, (size_t)(end - at));
    if (!buf_ok(&text))
        return -ENOMEM;
    return number_value(text.data, text.len, true, affinity, &number, &ignored, err);
}

/* --- as it is --------------------------------------------------------------------------------- */

static void infinite(const struct datum *d, enum affinity affinity, struct value *out)
{
    if (affinity == AFFINITY_TEXT) {
        set_text(out, d->truth ? "-Infinity" : "Infinity", d->truth ? 9 : 8);
        return;
    }
    *out = (struct value){.kind = VALUE_REAL};
    out->real = d->truth ? -HUGE_VAL : HUGE_VAL;
}

static int uuid_value(const char *text, enum affinity affinity, struct value *out,
                      struct buf *scratch)
{
    uint8_t bytes[UUID_BYTES];

    set_text(out, text, UUID_TEXT);
    if (affinity != AFFINITY_BLOB || uuid_parse(text, UUID_TEXT, bytes) < 0)
        return 0;
    buf_clear(scratch);
    buf_append(scratch, bytes, sizeof bytes);
    set_bytes(out, scratch->data, sizeof bytes);
    return buf_ok(scratch) ? 0 : -ENOMEM;
}

static int as_it_is(const struct datum *d, const struct buf *store, enum affinity affinity,
                    struct value *out, struct buf *scratch, struct err *err)
{
    const char *text = store->data ? store->data + d->at : "";

    buf_clear(scratch);
    switch (d->kind) {
    case DATUM_NULL:
        *out = (struct value){.kind = VALUE_NULL};
        break;
    case DATUM_BOOL:
        if (affinity == AFFINITY_TEXT)
            set_text(out, d->truth ? "true" : "false", d->truth ? 4 : 5);
        else
            set_integer(out, d->truth);
        break;
    case DATUM_NUMBER:
        return number_value(text, d->len, d->decimal, affinity, out, scratch, err);
    case DATUM_INFINITE:
        infinite(d, affinity, out);
        break;
    case DATUM_TEXT:
    case DATUM_JSON:
        set_text(out, text, d->len);
        break;
    case DATUM_BYTES:
        set_bytes(out, text, d->len);
        break;
    case DATUM_UUID:
        return uuid_value(text, affinity, out, scratch);
    case DATUM_TIME:
        time_print(scratch, d->ms);
        set_text(out, scratch->data, scratch->len);
        return buf_ok(scratch) ? 0 : -ENOMEM;
    }
    return 0;
}

/* --- converted -------------------------------------------------------------------------------- */

/* The affinity of a column that would have this very value. */
static enum affinity natural(const struct value *v)
{
    switch (v->kind) {
    case VALUE_INTEGER:
        return AFFINITY_INTEGER;
    case VALUE_REAL:
        return AFFINITY_REAL;
    case VALUE_TEXT:
        return AFFINITY_TEXT;
    default:
        return AFFINITY_BLOB;
    }
}

static int to_json(const struct datum *d, const struct value *v, struct value *out,
                   struct buf *scratch)
{
    _cleanup_buf_ struct buf text = {0};

    if (d->kind == DATUM_JSON) {
        *out = *v;
        return 0;
    }
    if (d->kind == DATUM_BOOL)
        buf_puts(&text, d->truth ? "true" : "false");
    else if (v->kind == VALUE_INTEGER)
        buf_append_i64(&text, v->integer);
    else if (v->kind == VALUE_REAL && isfinite(v->real))
        number_print_double(&text, v->real);
    else if (v->kind == VALUE_REAL)
        buf_puts(&text, v->real < 0 ? "\"-Infinity\"" : "\"Infinity\"");
    else if (d->kind == DATUM_NUMBER)
        buf_append(&text, v->bytes, v->len);
    else if (v->kind == VALUE_TEXT)
        json_append_string(&text, v->bytes, v->len);
    else {
        buf_putc(&text, '"');
        base64_append(&text, v->bytes, v->len);
        buf_putc(&text, '"');
    }
    buf_clear(scratch);
    buf_append(scratch, text.data ? text.data : "", text.len);
    if (!buf_ok(&text) || !buf_ok(scratch))
        return -ENOMEM;
    set_text(out, scratch->data, scratch->len);
    return 0;
}

static int to_bool(const struct conversion *c, const struct value *v, struct value *out,
                   struct item_fault *f)
{
    static const char yes[] = "\"BOOL\":true";
    _cleanup_buf_ struct buf attribute = {0};
    size_t size = 0;
    int rc = convert_attribute(c, natural(v), v, &attribute, &size, f);

    if (rc == 0)
        set_integer(out, memcmp(attribute.data, yes, sizeof yes - 1) == 0);
    return rc;
}

static int to_scalar(const struct conversion *c, const struct value *v, enum affinity affinity,
                     struct value *out, struct buf *scratch, struct item_fault *f, struct err *err)
{
    _cleanup_buf_ struct buf bytes = {0};
    enum attr_type type = ATTR_S;
    int rc = convert_scalar(c, natural(v), v, &bytes, &type, f);

    if (rc < 0)
        return rc;
    if (type == ATTR_N)
        return number_value(bytes.data ? bytes.data : "", bytes.len, true, affinity, out, scratch,
                            err);
    buf_clear(scratch);
    buf_append(scratch, bytes.data ? bytes.data : "", bytes.len);
    set_text(out, scratch->data, scratch->len);
    if (type == ATTR_B)
        out->kind = VALUE_BLOB;
    return buf_ok(scratch) ? 0 : -ENOMEM;
}

/* A point in time needs no guess at its form. */
static bool to_time(const struct datum *d, const struct conversion *c, const struct value *v,
                    struct value *out)
{
    if (d->kind != DATUM_TIME || (c->kind != CONVERT_EPOCH && c->kind != CONVERT_TIMESTAMP))
        return false;
    if (c->kind == CONVERT_EPOCH)
        set_integer(out, d->ms / 1000 - (d->ms % 1000 < 0));
    else
        *out = *v;
    return true;
}

static int from_base64(const struct value *v, struct value *out, struct buf *scratch,
                       struct err *err)
{
    _cleanup_buf_ struct buf bytes = {0};

    if (v->kind == VALUE_BLOB) {
        *out = *v;
        return 0;
    }
    if (v->kind != VALUE_TEXT || base64_decode(&bytes, v->bytes, v->len) < 0)
        return err_set(err, -EINVAL, "it is not base64");
    buf_clear(scratch);
    buf_append(scratch, bytes.data ? bytes.data : "", bytes.len);
    set_bytes(out, scratch->data, scratch->len);
    return buf_ok(scratch) ? 0 : -ENOMEM;
}

static int make_value(const struct datum *d, const struct buf *store, enum affinity affinity,
                      const struct import_conversion *convert, struct value *out,
                      struct buf *scratch, struct err *err)
{
    struct item_fault fault = {0};
    struct value v;
    int rc;

    if (!convert || d->kind == DATUM_NULL)
        return as_it_is(d, store, affinity, out, scratch, err);
    rc = as_it_is(d, store, AFFINITY_NONE, &v, scratch, err);
    if (rc < 0 || to_time(d, &convert->c, &v, out))
        return rc;
    if (convert->base64)
        return from_base64(&v, out, scratch, err);
    err->text[0] = '\0';
    if (convert->c.kind == CONVERT_JSON)
        rc = to_json(d, &v, out, scratch);
    else if (convert->c.kind == CONVERT_BOOL && d->kind == DATUM_BOOL)
        *out = v;
    else if (convert->c.kind == CONVERT_BOOL)
        rc = to_bool(&convert->c, &v, out, &fault);
    else
        rc = to_scalar(&convert->c, &v, affinity, out, scratch, &fault, err);
    if (rc == -EINVAL && !err->text[0])
        err_set(err, rc, "%s", fault.text);
    return rc;
}

int import_value(const struct datum *d, const struct buf *store, enum affinity affinity,
                 const struct import_conversion *convert, struct value *out, struct buf *scratch,
                 struct err *err)
{
    int rc = make_value(d, store, affinity, convert, out, scratch, err);

    return rc == 0 && out->kind == VALUE_TEXT ? check_text(out, affinity, err) : rc;
}

int import_value_name(const struct datum *d, const struct buf *store, struct buf *out)
{
    const char *text = store->data ? store->data + d->at : "";

    switch (d->kind) {
    case DATUM_NULL:
        return -EINVAL;
    case DATUM_BOOL:
        buf_puts(out, d->truth ? "true" : "false");
        break;
    case DATUM_INFINITE:
        buf_puts(out, d->truth ? "-Infinity" : "Infinity");
        break;
    case DATUM_BYTES:
        hex_append(out, text, d->len);
        break;
    case DATUM_TIME:
        time_print(out, d->ms);
        break;
    default:
        buf_append(out, text, d->len);
    }
    return buf_ok(out) ? 0 : -ENOMEM;
}
