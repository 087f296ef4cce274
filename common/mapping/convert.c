#include "mapping/convert.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "mapping/convert_json.h"
#include "mapping/convert_time.h"
#include "mapping/number.h"
#include "mapping/uuid5.h"

static const char *const kinds[] = {NULL,     "bool",   "timestamp", "epoch", "json",
                                    "string", "number", "uuid5",     "binary"};
static const char *const forms[] = {NULL, "unix", "ms", "julian", "text"};

static bool numeric(enum affinity a)
{
    return a == AFFINITY_INTEGER || a == AFFINITY_REAL || a == AFFINITY_NUMERIC;
}

/* --- what the configuration says -------------------------------------------------------------- */

static int parse_form(const char *s, size_t n, struct conversion *c, struct err *err)
{
    for (size_t i = 1; i < sizeof forms / sizeof forms[0]; i++)
        if (strlen(forms[i]) == n && strncmp(forms[i], s, n) == 0) {
            c->form = (enum time_form)i;
            return 0;
        }
    return err_set(err, -EINVAL, "%s takes unix, ms, julian or text in its parentheses, or nothing",
                   kinds[c->kind]);
}

static int parse_uuid5(const char *s, size_t n, struct conversion *c, struct err *err)
{
    const char *colon = memchr(s, ':', n);
    size_t space = colon ? (size_t)(colon - s) : n;

    if (space == 0 || (colon && space + 1 == n))
        return err_set(err, -EINVAL,
                       "uuid5 needs a namespace, and may have a name: uuid5(example.org:users)");
    if (uuid_space(s, space, c->space) < 0)
        return err_set(err, -EIO, "the namespace of uuid5 cannot be hashed");
    if (colon && !(c->name = strndup(colon + 1, n - space - 1)))
        return err_set(err, -ENOMEM, "out of memory");
    return 0;
}

static int parse_inside(const char *s, size_t n, bool given, struct conversion *c, struct err *err)
{
    if (c->kind == CONVERT_UUID5)
        return parse_uuid5(s, n, c, err);
    if (!given)
        return 0;
    if (c->kind == CONVERT_TIMESTAMP || c->kind == CONVERT_EPOCH)
        return parse_form(s, n, c, err);
    return err_set(err, -EINVAL, "%s takes no parentheses", kinds[c->kind]);
}

int conversion_parse(const char *text, struct conversion *out, struct err *err)
{
    size_t word = strcspn(text, "("), n = strlen(text);
    struct conversion c = {.kind = CONVERT_NONE};
    bool given = text[word] == '(';

    for (size_t i = 1; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strlen(kinds[i]) == word && strncmp(kinds[i], text, word) == 0)
            c.kind = (enum convert_kind)i;
    if (c.kind == CONVERT_NONE)
        return err_set(err, -EINVAL,
                       "\"%.60s\" is no conversion (bool, timestamp, epoch, json, string, number, "
                       "uuid5(NAMESPACE:NAME), binary)",
                       text);
    if (given && text[n - 1] != ')')
        return err_set(err, -EINVAL, "\"%.60s\" lacks its closing parenthesis", text);
    int rc = parse_inside(given ? text + word + 1 : "", given ? n - word - 2 : 0, given, &c, err);
    if (rc == 0 && !(c.text = strdup(text)))
        rc = err_set(err, -ENOMEM, "out of memory");
    if (rc < 0) {
        conversion_clear(&c);
        return rc;
    }
    *out = c;
    return 0;
}

void conversion_clear(struct conversion *c)
{
    free(c->name);
    free(c->text);
    *c = (struct conversion){.kind = CONVERT_NONE};
}

int conversion_type(const struct conversion *c, enum affinity affinity)
{
    switch (c->kind) {
    case CONVERT_NONE:
        return affinity == AFFINITY_NONE   ? 0
               : affinity == AFFINITY_TEXT ? ATTR_S
               : affinity == AFFINITY_BLOB ? ATTR_B
                                           : ATTR_N;
    case CONVERT_BOOL:
    case CONVERT_JSON:
        return 0;
    case CONVERT_EPOCH:
    case CONVERT_NUMBER:
        return ATTR_N;
    case CONVERT_BINARY:
        return ATTR_B;
    case CONVERT_TIMESTAMP:
    case CONVERT_STRING:
    case CONVERT_UUID5:
        break;
    }
    return ATTR_S;
}

bool conversion_tells(const struct conversion *c, enum affinity affinity)
{
    switch (c->kind) {
    case CONVERT_NONE:
    case CONVERT_BOOL:
    case CONVERT_JSON:
        return true;
    case CONVERT_UUID5:
    case CONVERT_STRING:
        return numeric(affinity) || affinity == AFFINITY_TEXT;
    case CONVERT_NUMBER:
        return numeric(affinity);
    case CONVERT_TIMESTAMP:
    case CONVERT_EPOCH:
    case CONVERT_BINARY:
        break;
    }
    return false;
}

/* --- one value -------------------------------------------------------------------------------- */

static int check_number(double d, struct item_fault *f)
{
    int rc = number_check_double(d);

    if (rc == -EDOM)
        return fault_set(f, NULL, "not_a_number",
                         "the value is infinite, which a DynamoDB number cannot be");
    if (rc == -ERANGE)
        return fault_set(f, NULL, "number_range",
                         "the value is outside a DynamoDB number's range (1E-130 to 9.99E+125)");
    return 0;
}

static int append_text(const struct value *v, struct buf *out, struct item_fault *f)
{
    if (!utf8_valid(v->bytes, v->len))
        return fault_set(f, NULL, "invalid_utf8", "the text is not valid UTF-8");
    buf_append(out, v->bytes, v->len);
    return 0;
}

static int as_it_is(const struct value *v, struct buf *out, enum attr_type *type,
                    struct item_fault *f)
{
    int rc;

    switch (v->kind) {
    case VALUE_NULL:
        break;
    case VALUE_INTEGER:
        buf_append_i64(out, v->integer);
        break;
    case VALUE_REAL:
        if ((rc = check_number(v->real, f)) < 0)
            return rc;
        number_print_double(out, v->real);
        break;
    case VALUE_TEXT:
        *type = ATTR_S;
        return append_text(v, out, f);
    case VALUE_BLOB:
        *type = ATTR_B;
        buf_append(out, v->bytes, v->len);
        return 0;
    }
    *type = ATTR_N;
    return 0;
}

static int to_time(const struct conversion *c, const struct value *v, struct buf *out,
                   struct item_fault *f)
{
    int64_t ms;
    int rc = time_read(c->form, v, &ms, f);

    if (rc < 0)
        return rc;
    if (c->kind == CONVERT_TIMESTAMP)
        time_print(out, ms);
    else
        buf_append_i64(out, ms / 1000 - (ms % 1000 < 0));
    return 0;
}

static bool is_word(const struct value *v, const char *word)
{
    return v->kind == VALUE_TEXT && v->len == strlen(word) && memcmp(v->bytes, word, v->len) == 0;
}

/* A double always with a point or an exponent, so that it is told from an integer. */
static void spell_real(struct buf *out, double d)
{
    size_t at = out->len;

    if (isinf(d)) {
        buf_puts(out, d < 0 ? "-Infinity" : "Infinity");
        return;
    }
    if (d == 0 && signbit(d))
        buf_putc(out, '-');
    number_print_double(out, d);
    if (buf_ok(out) && !strpbrk(out->data + at, ".eE"))
        buf_lit(out, ".0");
}

static int to_string(enum affinity affinity, const struct value *v, struct buf *out,
                     struct item_fault *f)
{
    switch (v->kind) {
    case VALUE_INTEGER:
        buf_append_i64(out, v->integer);
        return 0;
    case VALUE_REAL:
        spell_real(out, v->real);
        return 0;
    case VALUE_TEXT:
        /* The only text in a column of numbers that reads as one of its numbers. */
        if (numeric(affinity) && (is_word(v, "Infinity") || is_word(v, "-Infinity")))
            return fault_set(f, NULL, "not_text",
                             "the column holds TEXT that string makes of an infinite REAL");
        return append_text(v, out, f);
    case VALUE_BLOB:
    case VALUE_NULL:
        break;
    }
    return fault_set(f, NULL, "not_text", "the column holds %s, which string does not take",
                     value_kind_name(v->kind));
}

static int to_number(const struct value *v, struct buf *out, struct item_fault *f)
{
    enum attr_type type;

    if (v->kind == VALUE_INTEGER || v->kind == VALUE_REAL)
        return as_it_is(v, out, &type, f);
    int rc = v->kind == VALUE_TEXT ? number_check(v->bytes, v->len) : -EINVAL;
    if (rc == -ERANGE)
        return fault_set(f, NULL, "number_range",
                         "the column holds TEXT of a number that has more than 38 digits or is "
                         "outside 1E-130 to 9.99E+125");
    if (rc < 0)
        return fault_set(f, NULL, "not_a_number", "the column holds %s that is no decimal number",
                         value_kind_name(v->kind));
    return number_print_decimal(out, v->bytes, v->len);
}

/* Equal numbers have one text, whatever their class. */
static void append_name(struct buf *out, const struct value *v)
{
    double d = v->kind == VALUE_REAL ? v->real : 0.5;

    if (v->kind == VALUE_INTEGER)
        buf_append_i64(out, v->integer);
    else if (v->kind == VALUE_BLOB)
        hex_append(out, v->bytes, v->len);
    else if (v->kind == VALUE_TEXT)
        buf_append(out, v->bytes, v->len);
    else if (fabs(d) < 9223372036854775808.0 && rint(d) == d)
        buf_append_i64(out, (int64_t)d);
    else
        number_print_double(out, d);
}

static int to_uuid(const struct conversion *c, enum affinity affinity, const struct value *v,
                   struct buf *out, struct item_fault *f)
{
    _cleanup_buf_ struct buf name = {0};
    uint8_t uuid[UUID_BYTES];
    char text[UUID_TEXT + 1];

    if (v->kind == VALUE_BLOB && affinity != AFFINITY_BLOB && affinity != AFFINITY_NONE)
        return fault_set(f, NULL, "not_for_uuid",
                         "the column holds BLOB, which uuid5 takes of BLOB columns only");
    if (v->kind == VALUE_TEXT && !utf8_valid(v->bytes, v->len))
        return fault_set(f, NULL, "invalid_utf8", "the text is not valid UTF-8");
    if (c->name)
        buf_printf(&name, "%s:", c->name);
    append_name(&name, v);
    if (!buf_ok(&name))
        return -ENOMEM;
    int rc = uuid5_make(c->space, name.data ? name.data : "", name.len, uuid);
    if (rc < 0)
        return rc == -EIO ? -ENOMEM : rc;
    uuid_print(uuid, text);
    buf_append(out, text, UUID_TEXT);
    return 0;
}

static int to_binary(const struct value *v, struct buf *out, struct item_fault *f)
{
    if (v->kind != VALUE_TEXT && v->kind != VALUE_BLOB)
        return fault_set(f, NULL, "not_binary", "the column holds %s, which binary does not take",
                         value_kind_name(v->kind));
    buf_append(out, v->bytes, v->len);
    return 0;
}

int convert_scalar(const struct conversion *c, enum affinity affinity, const struct value *v,
                   struct buf *out, enum attr_type *type, struct item_fault *f)
{
    int rc = 0, fixed = conversion_type(c, affinity);

    switch (c->kind) {
    case CONVERT_NONE:
    case CONVERT_BOOL:
    case CONVERT_JSON:
        rc = as_it_is(v, out, type, f);
        return rc == 0 && !buf_ok(out) ? -ENOMEM : rc;
    case CONVERT_TIMESTAMP:
    case CONVERT_EPOCH:
        rc = to_time(c, v, out, f);
        break;
    case CONVERT_STRING:
        rc = to_string(affinity, v, out, f);
        break;
    case CONVERT_NUMBER:
        rc = to_number(v, out, f);
        break;
    case CONVERT_UUID5:
        rc = to_uuid(c, affinity, v, out, f);
        break;
    case CONVERT_BINARY:
        rc = to_binary(v, out, f);
        break;
    }
    *type = (enum attr_type)fixed;
    return rc == 0 && !buf_ok(out) ? -ENOMEM : rc;
}

/* --- attributes ------------------------------------------------------------------------------- */

void attribute_append(struct buf *out, enum attr_type type, const char *bytes, size_t n,
                      size_t *size)
{
    switch (type) {
    case ATTR_N:
        buf_lit(out, "\"N\":\"");
        buf_append(out, bytes, n);
        buf_lit(out, "\"}");
        *size += number_size(bytes, n);
        return;
    case ATTR_S:
        buf_lit(out, "\"S\":");
        json_append_string(out, bytes, n);
        buf_putc(out, '}');
        break;
    case ATTR_B:
        buf_lit(out, "\"B\":\"");
        base64_append(out, bytes, n);
        buf_lit(out, "\"}");
        break;
    }
    *size += n;
}

/* 1, 0; -1: neither. */
static int truth(enum affinity affinity, const struct value *v)
{
    static const char *const words[] = {"0",  "1",   "false", "true", "f",   "t",
                                        "no", "yes", "n",     "y",    "off", "on"};

    if (v->kind == VALUE_INTEGER)
        return v->integer == 0 || v->integer == 1 ? (int)v->integer : -1;
    if (v->kind == VALUE_REAL)
        return v->real == 0 ? 0 : v->real == 1 ? 1 : -1;
    if (v->kind == VALUE_TEXT && !numeric(affinity))
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
            if (v->len == strlen(words[i]) && strncasecmp(v->bytes, words[i], v->len) == 0)
                return (int)(i % 2);
    return -1;
}

static int to_bool(enum affinity affinity, const struct value *v, struct buf *out, size_t *size,
                   struct item_fault *f)
{
    int t = truth(affinity, v);

    if (t < 0)
        return fault_set(f, NULL, "not_a_bool", "the column holds %s that is neither %s",
                         value_kind_name(v->kind),
                         numeric(affinity) ? "0 nor 1" : "0 nor 1, nor a word for true or false");
    buf_puts(out, t ? "\"BOOL\":true}" : "\"BOOL\":false}");
    *size += 1;
    return 0;
}

/* A column declared JSON has NUMERIC affinity: SQLite makes numbers of its texts that are. */
static int to_json(const struct value *v, struct buf *out, size_t *size, struct item_fault *f)
{
    _cleanup_buf_ struct buf text = {0};
    enum attr_type type;

    if (v->kind == VALUE_TEXT)
        return json_to_attribute(v->bytes, v->len, out, size, f);
    if (v->kind != VALUE_INTEGER && v->kind != VALUE_REAL)
        return fault_set(f, NULL, "not_json", "the column holds %s, which json does not take",
                         value_kind_name(v->kind));
    int rc = as_it_is(v, &text, &type, f);
    if (rc < 0 || !buf_ok(&text))
        return rc < 0 ? rc : -ENOMEM;
    attribute_append(out, type, text.data, text.len, size);
    return 0;
}

int convert_attribute(const struct conversion *c, enum affinity affinity, const struct value *v,
                      struct buf *out, size_t *size, struct item_fault *f)
{
    _cleanup_buf_ struct buf bytes = {0};
    enum attr_type type = ATTR_S;

    if (c->kind == CONVERT_BOOL)
        return to_bool(affinity, v, out, size, f);
    if (c->kind == CONVERT_JSON)
        return to_json(v, out, size, f);
    int rc = convert_scalar(c, affinity, v, &bytes, &type, f);
    if (rc == 0)
        attribute_append(out, type, bytes.data ? bytes.data : "", bytes.len, size);
    return rc;
}
