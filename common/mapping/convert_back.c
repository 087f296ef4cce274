/* The way back of conversions, and what does not come back. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "mapping/convert.h"
#include "mapping/convert_json.h"
#include "mapping/convert_time.h"
#include "mapping/number.h"

static bool numeric(enum affinity a)
{
    return a == AFFINITY_INTEGER || a == AFFINITY_REAL || a == AFFINITY_NUMERIC;
}

static bool is(const char *type, const char *wanted)
{
    return strcmp(type, wanted) == 0;
}

static void made(struct value *v, enum value_kind kind, const struct buf *store, size_t at)
{
    *v = (struct value){.kind = kind, .len = store->len - at};
}

static int number_back(enum affinity affinity, const json_t *a, struct value *v)
{
    _cleanup_buf_ struct buf canonical = {0};

    if (number_canonical(&canonical, json_string_value(a), json_string_length(a)) < 0)
        return -EINVAL;
    if (!buf_ok(&canonical))
        return -ENOMEM;
    value_from_number(canonical.data, affinity, v);
    return 0;
}

static int plain_back(enum affinity affinity, const char *type, const json_t *a, struct value *v,
                      struct buf *store)
{
    size_t at = store->len;

    if (!json_is_string(a))
        return -EINVAL;
    if (is(type, "N"))
        return number_back(affinity, a, v);
    if (is(type, "S")) {
        *v = (struct value){
            .kind = VALUE_TEXT, .bytes = json_string_value(a), .len = json_string_length(a)};
        return 0;
    }
    if (!is(type, "B") || base64_decode(store, json_string_value(a), json_string_length(a)) < 0)
        return -EINVAL;
    made(v, VALUE_BLOB, store, at);
    return 0;
}

static int bool_back(enum affinity affinity, const char *type, const json_t *a, struct value *v,
                     struct buf *store)
{
    size_t at = store->len;

    if (!is(type, "BOOL") || !json_is_boolean(a))
        return -EINVAL;
    *v = affinity == AFFINITY_REAL
             ? (struct value){.kind = VALUE_REAL, .real = json_is_true(a)}
             : (struct value){.kind = VALUE_INTEGER, .integer = json_is_true(a)};
    if (affinity == AFFINITY_TEXT) {
        buf_putc(store, json_is_true(a) ? '1' : '0');
        made(v, VALUE_TEXT, store, at);
    }
    return 0;
}

static int time_of(const struct conversion *c, enum affinity affinity, const char *type,
                   const json_t *a, struct value *v, struct buf *store)
{
    bool seconds = c->kind == CONVERT_EPOCH;
    int64_t ms;

    if (!is(type, seconds ? "N" : "S") || !json_is_string(a))
        return -EINVAL;
    if (seconds) {
        struct value n;
        int rc = number_back(AFFINITY_INTEGER, a, &n);
        if (rc < 0)
            return rc;
        if (n.kind != VALUE_INTEGER || n.integer > INT64_C(253402300799) ||
            n.integer < INT64_C(-62167219200))
            return -EINVAL;
        ms = n.integer * 1000;
    } else if (time_parse(json_string_value(a), json_string_length(a), &ms) < 0) {
        return -EINVAL;
    }
    return time_back(c->form, affinity, ms, seconds, v, store);
}

/* Text in a column of numbers is the text of one if it reads so: SQLite would have made it one. */
static int string_back(enum affinity affinity, const char *type, const json_t *a, struct value *v)
{
    const char *s = json_string_value(a);
    char *end;

    if (!is(type, "S") || !s)
        return -EINVAL;
    *v = (struct value){.kind = VALUE_TEXT, .bytes = s, .len = json_string_length(a)};
    if (!numeric(affinity) || v->len != strlen(s))
        return 0;
    if (strcmp(s, "Infinity") == 0 || strcmp(s, "-Infinity") == 0) {
        *v = (struct value){.kind = VALUE_REAL, .real = *s == '-' ? -INFINITY : INFINITY};
        return 0;
    }
    if (number_check(s, v->len) == -EINVAL)
        return 0;
    errno = 0;
    int64_t n = strtoll(s, &end, 10);
    if (*end || errno || affinity == AFFINITY_REAL)
        *v = (struct value){.kind = VALUE_REAL, .real = strtod(s, NULL)};
    else
        *v = (struct value){.kind = VALUE_INTEGER, .integer = n};
    return 0;
}

static int spelt_back(enum affinity affinity, const char *type, const json_t *a, struct value *v,
                      struct buf *store)
{
    size_t at = store->len;

    if (!is(type, "N") || !json_is_string(a))
        return -EINVAL;
    if (numeric(affinity))
        return number_back(affinity, a, v);
    /* Text, which holds every digit. */
    int rc = number_print_decimal(store, json_string_value(a), json_string_length(a));
    made(v, VALUE_TEXT, store, at);
    return rc;
}

static int binary_back(enum affinity affinity, const char *type, const json_t *a, struct value *v,
                       struct buf *store)
{
    int rc = is(type, "B") ? plain_back(affinity, type, a, v, store) : -EINVAL;

    if (rc == 0 && affinity == AFFINITY_TEXT)
        v->kind = VALUE_TEXT;
    return rc;
}

int convert_back(const struct conversion *c, enum affinity affinity, const char *type,
                 const json_t *a, struct value *v, struct buf *store)
{
    size_t at = store->len;
    int rc;

    switch (c->kind) {
    case CONVERT_NONE:
        return plain_back(affinity, type, a, v, store);
    case CONVERT_BOOL:
        return bool_back(affinity, type, a, v, store);
    case CONVERT_TIMESTAMP:
    case CONVERT_EPOCH:
        return time_of(c, affinity, type, a, v, store);
    case CONVERT_STRING:
        return string_back(affinity, type, a, v);
    case CONVERT_NUMBER:
        return spelt_back(affinity, type, a, v, store);
    case CONVERT_BINARY:
        return binary_back(affinity, type, a, v, store);
    case CONVERT_JSON:
        /* A column of numbers would have made one of it. */
        if (is(type, "N") && json_is_string(a) && numeric(affinity))
            return number_back(affinity, a, v);
        rc = json_from_attribute(type, a, store);
        made(v, VALUE_TEXT, store, at);
        return rc;
    case CONVERT_UUID5:
        break;
    }
    *v = (struct value){.kind = VALUE_NULL};
    return is(type, "S") && json_is_string(a) ? 0 : -EINVAL;
}

const char *conversion_loss(const struct conversion *c, enum affinity affinity, bool strict)
{
    switch (c->kind) {
    case CONVERT_NONE:
        if (affinity == AFFINITY_NONE || (affinity == AFFINITY_BLOB && !strict))
            return "it has no numeric type, so that a real number that is whole (1.0) comes back "
                   "as an integer";
        return NULL;
    case CONVERT_BOOL:
        return numeric(affinity) ? NULL : "its words for true and false come back as 1 and 0";
    case CONVERT_TIMESTAMP:
        if (c->form == TIME_DETECTED)
            return "every form of a time becomes one (timestamp(unix), (ms), (julian) or (text) "
                   "would say which it was)";
        if (c->form == TIME_TEXT)
            return "its times come back as ISO 8601 in UTC with milliseconds";
        return affinity == AFFINITY_INTEGER && strict
                   ? NULL
                   : "fractions finer than a millisecond do not come back";
    case CONVERT_EPOCH:
        return c->form == TIME_UNIX && affinity == AFFINITY_INTEGER && strict
                   ? NULL
                   : "fractions of a second, and the form in which its times were written, do not "
                     "come back";
    case CONVERT_JSON:
        return "its JSON comes back with the same value, not with the same text";
    case CONVERT_STRING:
        return numeric(affinity) || affinity == AFFINITY_TEXT
                   ? NULL
                   : "it has no numeric type, so that its numbers come back as text";
    case CONVERT_NUMBER:
        return numeric(affinity) ? NULL
                                 : "its numbers come back without the zeros they need not have";
    case CONVERT_BINARY:
        return "its texts and blobs become the same, so that they come back as what the column is "
               "declared";
    case CONVERT_UUID5:
        break;
    }
    return "a UUID does not give back what it was made of (keep_key = yes would keep it beside)";
}
