#include "export/document.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/text.h"
#include "mapping/number.h"

/* DynamoDB nests 32 deep; what comes from elsewhere must not overflow the stack. */
enum { MAX_DEPTH = 40 };

static int append_value(struct buf *out, const json_t *attribute, unsigned depth);

static void append_string(struct buf *out, const json_t *s)
{
    json_append_string(out, json_string_value(s), json_string_length(s));
}

static int append_members(struct buf *out, const json_t *members, unsigned depth)
{
    const char *name, *between = "";
    json_t *value;
    int rc = 0;

    buf_putc(out, '{');
    json_object_foreach((json_t *)members, name, value)
    {
        buf_puts(out, between);
        json_append_string(out, name, strlen(name));
        buf_putc(out, ':');
        if ((rc = append_value(out, value, depth)) < 0)
            return rc;
        between = ",";
    }
    buf_putc(out, '}');
    return json_is_object(members) ? 0 : -EINVAL;
}

static int append_list(struct buf *out, const json_t *list, unsigned depth)
{
    int rc = 0;

    buf_putc(out, '[');
    for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
        if (i)
            buf_putc(out, ',');
        rc = append_value(out, json_array_get(list, i), depth);
    }
    buf_putc(out, ']');
    return rc == 0 && !json_is_array(list) ? -EINVAL : rc;
}

/* Of a string: the value of S, B or N, or a member of a set. */
static int append_scalar(struct buf *out, char type, const json_t *value)
{
    if (!json_is_string(value) ||
        (type == 'N' && number_check(json_string_value(value), json_string_length(value)) < 0))
        return -EINVAL;
    if (type == 'N')
        return number_print_decimal(out, json_string_value(value), json_string_length(value));
    append_string(out, value);
    return 0;
}

static int append_set(struct buf *out, char type, const json_t *set)
{
    int rc = 0;

    buf_putc(out, '[');
    for (size_t i = 0; rc == 0 && i < json_array_size(set); i++) {
        if (i)
            buf_putc(out, ',');
        rc = append_scalar(out, type, json_array_get(set, i));
    }
    buf_putc(out, ']');
    return rc == 0 && !json_is_array(set) ? -EINVAL : rc;
}

static int append_value(struct buf *out, const json_t *attribute, unsigned depth)
{
    void *only = json_object_iter((json_t *)attribute);
    const char *type = only ? json_object_iter_key(only) : "";
    const json_t *value = only ? json_object_iter_value(only) : NULL;

    if (json_object_size(attribute) != 1 || depth == MAX_DEPTH)
        return -EINVAL;
    if (strcmp(type, "S") == 0 || strcmp(type, "N") == 0 || strcmp(type, "B") == 0)
        return append_scalar(out, *type, value);
    if (strcmp(type, "M") == 0)
        return append_members(out, value, depth + 1);
    if (strcmp(type, "L") == 0)
        return append_list(out, value, depth + 1);
    if (strcmp(type, "SS") == 0 || strcmp(type, "NS") == 0 || strcmp(type, "BS") == 0)
        return append_set(out, *type, value);
    if (strcmp(type, "BOOL") == 0 && json_is_boolean(value))
        buf_puts(out, json_is_true(value) ? "true" : "false");
    else if (strcmp(type, "NULL") == 0 && json_is_true(value))
        buf_lit(out, "null");
    else
        return -EINVAL;
    return 0;
}

int document_append(struct buf *out, const json_t *attribute)
{
    int rc = append_value(out, attribute, 0);

    return rc == 0 && !buf_ok(out) ? -ENOMEM : rc;
}

int document_append_item(struct buf *out, const json_t *item)
{
    int rc = append_members(out, item, 0);

    return rc == 0 && !buf_ok(out) ? -ENOMEM : rc;
}

static bool holds_nul(const json_t *v, unsigned depth)
{
    const char *name;
    json_t *member;

    if (depth > 2 * MAX_DEPTH)
        return false;
    if (json_is_string(v))
        return memchr(json_string_value(v), '\0', json_string_length(v)) != NULL;
    for (size_t i = 0; i < json_array_size(v); i++)
        if (holds_nul(json_array_get(v, i), depth + 1))
            return true;
    json_object_foreach((json_t *)v, name, member) if (holds_nul(member, depth + 1)) return true;
    return false;
}

bool document_holds_nul(const json_t *attribute)
{
    return holds_nul(attribute, 0);
}
