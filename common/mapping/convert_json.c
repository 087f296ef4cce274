#include "mapping/convert_json.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/json_text.h"
#include "base/text.h"
#include "mapping/number.h"

enum { MAX_NAME = 65535 };

struct reader {
    struct json_text in;
    struct buf *out;
    struct buf text; /* the string at hand */
    size_t size;
    unsigned depth;
    struct item_fault *fault;
};

static int not_json(struct reader *r, const char *why)
{
    return fault_set(r->fault, NULL, "not_json",
                     "the column holds TEXT that json does not take: %s", why);
}

/* What a reading function answers, with its reason as the fault. */
static int taken(struct reader *r, int rc)
{
    return rc == -EINVAL ? not_json(r, r->in.why) : rc;
}

static bool take_char(struct reader *r, char c)
{
    return json_take_char(&r->in, c);
}

/* The string behind its opening quote, into r->text. */
static int take_string(struct reader *r)
{
    buf_clear(&r->text);
    return taken(r, json_take_string(&r->in, &r->text));
}

static int take_number(struct reader *r)
{
    const char *from;
    size_t n;
    int rc = taken(r, json_take_number(&r->in, &from, &n));

    if (rc < 0)
        return rc;
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

static int take_member(struct reader *r, struct json_names *names)
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
    json_names_add(names, r->text.data, r->text.len);
    json_append_string(r->out, r->text.data, r->text.len);
    buf_putc(r->out, ':');
    r->size += 1 + r->text.len;
    if (!take_char(r, ':'))
        return not_json(r, "a key of an object lacks its colon");
    return take_value(r);
}

static int take_object(struct reader *r)
{
    _cleanup_json_names_ struct json_names names = {0};
    int rc = deeper(r);

    buf_lit(r->out, "\"M\":{");
    if (rc == 0 && take_char(r, '}')) {
        buf_putc(r->out, '}');
        r->depth--;
        return 0;
    }
    while (rc == 0) {
        if ((rc = take_member(r, &names)) < 0)
            break;
        if (take_char(r, '}')) {
            buf_putc(r->out, '}');
            r->depth--;
            rc = json_names_check(&names);
            return rc == -EINVAL ? not_json(r, "an object has the same key twice") : rc;
        }
        if (!take_char(r, ','))
            return not_json(r, "an object lacks a comma or its end");
        buf_putc(r->out, ',');
    }
    return rc;
}

static int take_word(struct reader *r)
{
    static const char *const attributes[] = {
        [JSON_WORD_TRUE] = "\"BOOL\":true",
        [JSON_WORD_FALSE] = "\"BOOL\":false",
        [JSON_WORD_NULL] = "\"NULL\":true",
    };
    enum json_word word;
    int rc = taken(r, json_take_word(&r->in, &word));

    if (rc < 0)
        return rc;
    buf_puts(r->out, attributes[word]);
    r->size++;
    return 0;
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
    if (r->in.at < r->in.end && (*r->in.at == '-' || (*r->in.at >= '0' && *r->in.at <= '9')))
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
    struct reader r = {.in = {.at = text, .end = text + n}, .out = out, .fault = f};
    int rc = utf8_valid(text, n)
                 ? take_bare(&r)
                 : fault_set(f, NULL, "invalid_utf8", "the text is not valid UTF-8");

    buf_free(&r.text);
    if (rc < 0)
        return rc;
    json_skip_space(&r.in);
    if (r.in.at < r.in.end)
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
