#include "config/setting.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "config/lists.h"
#include "config/quantity.h"
#include "config/shown.h"

static void *field(const struct config_option *o, void *base)
{
    return (char *)base + o->offset;
}

static const void *const_field(const struct config_option *o, const void *base)
{
    return (const char *)base + o->offset;
}

static const char *initial(const struct config_option *o)
{
    return o->initial ? o->initial : "";
}

static int no_memory(struct err *err)
{
    return err_set(err, -ENOMEM, "out of memory");
}

static int set_string(const struct config_option *o, char **to, const char *text, struct err *err)
{
    int rc = o->check && *text ? o->check(text, err) : 0;

    if (rc < 0)
        return rc;
    char *copy = strdup(text);
    if (!copy)
        return no_memory(err);
    free(*to);
    *to = copy;
    return 0;
}

static int set_bool(bool *to, const char *text, struct err *err)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};
    struct shown s;

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (same_name(text, words[i])) {
            *to = i % 2;
            return 0;
        }
    return err_set(err, -EINVAL, "\"%s\" is not yes or no", shown(&s, text));
}

static int set_int(const struct config_option *o, int64_t *to, const char *text, struct err *err)
{
    struct shown s;
    int64_t v;

    if (quantity_whole(text, &v) < 0 || v < o->min || v > o->max)
        return err_set(err, -EINVAL, "\"%s\" is not a whole number from %" PRId64 " to %" PRId64,
                       shown(&s, text), o->min, o->max);
    *to = v;
    return 0;
}

/* Durations and sizes: they differ in how they are read and printed only. */
static int set_quantity(const struct config_option *o, int64_t *to, const char *text,
                        struct err *err)
{
    bool time = o->type == OPTION_DURATION;
    _cleanup_buf_ struct buf min = {0}, max = {0};
    struct shown s;
    int64_t v;

    if ((time ? quantity_duration(text, &v) : quantity_size(text, &v)) < 0)
        return err_set(err, -EINVAL, "\"%s\" is not a %s", shown(&s, text),
                       time ? "duration (examples: 20ms, 5s, 10m)"
                            : "size (examples: 512K, 64M, 1G)");
    if (v >= o->min && v <= o->max) {
        int rc = o->check ? o->check(text, err) : 0;
        if (rc == 0)
            *to = v;
        return rc;
    }
    void (*append)(struct buf *, int64_t) = time ? quantity_append_duration : quantity_append_size;
    append(&min, o->min);
    append(&max, o->max);
    if (!buf_ok(&min) || !buf_ok(&max))
        return no_memory(err);
    return err_set(err, -EINVAL, "\"%s\" is out of range (from %s to %s)", shown(&s, text),
                   min.data, max.data);
}

static int set_percent(int64_t *to, const char *text, struct err *err)
{
    struct shown s;

    if (quantity_percent(text, to) == 0)
        return 0;
    return err_set(err, -EINVAL, "\"%s\" is not a share from 0%% to 100%%", shown(&s, text));
}

static int set_enum(const struct config_option *o, int *to, const char *text, struct err *err)
{
    _cleanup_buf_ struct buf names = {0};
    struct shown s;

    for (int i = 0; o->names[i]; i++) {
        if (same_name(text, o->names[i])) {
            *to = i;
            return 0;
        }
        buf_printf(&names, "%s%s", i ? ", " : "", o->names[i]);
    }
    if (!buf_ok(&names))
        return no_memory(err);
    return err_set(err, -EINVAL, "\"%s\" is not one of %s", shown(&s, text), names.data);
}

static int set_scalar(const struct config_option *o, void *to, const char *text, struct err *err)
{
    switch (o->type) {
    case OPTION_STRING:
        return set_string(o, to, text, err);
    case OPTION_BOOL:
        return set_bool(to, text, err);
    case OPTION_INT:
        return set_int(o, to, text, err);
    case OPTION_DURATION:
    case OPTION_SIZE:
        return set_quantity(o, to, text, err);
    case OPTION_PERCENT:
        return set_percent(to, text, err);
    case OPTION_ENUM:
        return set_enum(o, to, text, err);
    case OPTION_LIST:
    case OPTION_PAIRS:
    case OPTION_LATER:
        break;
    }
    return err_set(err, -EINVAL, "%s is not a single value", o->key);
}

struct list_reader {
    const struct config_option *o;
    struct strlist *list;
    size_t seen;
};

static int add_element(void *arg, const char *element, struct err *err)
{
    struct list_reader *r = arg;
    int rc = r->o->check ? r->o->check(element, err) : 0;

    if (rc < 0)
        return rc;
    r->seen++;
    return strlist_add(r->list, element) < 0 ? no_memory(err) : 0;
}

static int assign_list(const struct config_option *o, struct strlist *list, const char *raw,
                       ini_lookup_fn *lookup, void *arg, struct err *err)
{
    struct list_reader r = {.o = o, .list = list};
    int rc = ini_list(raw, lookup, arg, add_element, &r, err);

    if (rc == 0 && r.seen == 0)
        strlist_clear(list);
    return rc;
}

static int refuse_later(const char *raw, struct err *err)
{
    if (*raw == '\0' || strcmp(raw, "\"\"") == 0)
        return 0;
    return err_set(err, -EINVAL, "this version does not have this setting yet; remove the line");
}

int setting_init(const struct config_option *o, void *base, struct err *err)
{
    if (o->type == OPTION_LIST || o->type == OPTION_PAIRS || o->type == OPTION_LATER)
        return 0;
    return set_scalar(o, field(o, base), initial(o), err);
}

int setting_complete(const struct config_option *o, void *base, struct err *err)
{
    if (o->type != OPTION_LIST || ((const struct strlist *)const_field(o, base))->count)
        return 0;
    return assign_list(o, field(o, base), initial(o), NULL, NULL, err);
}

int setting_assign(const struct config_option *o, void *base, const char *subkey, const char *raw,
                   ini_lookup_fn *lookup, void *arg, struct err *err)
{
    _cleanup_buf_ struct buf text = {0};

    if (o->type == OPTION_LATER)
        return refuse_later(raw, err);
    if (o->type == OPTION_LIST)
        return assign_list(o, field(o, base), raw, lookup, arg, err);
    buf_append(&text, "", 0);
    int rc = ini_value(raw, lookup, arg, &text, err);
    if (rc < 0)
        return rc;
    if (o->type != OPTION_PAIRS)
        return set_scalar(o, field(o, base), text.len ? text.data : initial(o), err);
    rc = o->check && text.len ? o->check(text.data, err) : 0;
    if (rc < 0)
        return rc;
    rc = pairlist_set(field(o, base), subkey, text.len ? text.data : NULL, same_name);
    return rc < 0 ? no_memory(err) : 0;
}

void setting_append(const struct config_option *o, const void *base, struct buf *out)
{
    const void *at = const_field(o, base);
    const struct strlist *list = at;

    switch (o->type) {
    case OPTION_STRING:
        ini_append_value(out, *(char *const *)at);
        break;
    case OPTION_BOOL:
        buf_puts(out, *(const bool *)at ? "yes" : "no");
        break;
    case OPTION_INT:
        buf_append_i64(out, *(const int64_t *)at);
        break;
    case OPTION_DURATION:
        quantity_append_duration(out, *(const usec *)at);
        break;
    case OPTION_SIZE:
        quantity_append_size(out, *(const int64_t *)at);
        break;
    case OPTION_PERCENT:
        buf_append_i64(out, *(const int64_t *)at);
        buf_putc(out, '%');
        break;
    case OPTION_ENUM:
        buf_puts(out, o->names[*(const int *)at]);
        break;
    case OPTION_LIST:
        for (size_t i = 0; i < list->count; i++) {
            buf_puts(out, i ? ", " : "");
            ini_append_element(out, list->items[i]);
        }
        break;
    case OPTION_PAIRS:
    case OPTION_LATER:
        break;
    }
}

bool setting_equal(const struct config_option *o, const void *a, const void *b)
{
    const void *x = const_field(o, a), *y = const_field(o, b);

    switch (o->type) {
    case OPTION_STRING:
        return strcmp(*(char *const *)x, *(char *const *)y) == 0;
    case OPTION_BOOL:
        return *(const bool *)x == *(const bool *)y;
    case OPTION_INT:
    case OPTION_DURATION:
    case OPTION_SIZE:
    case OPTION_PERCENT:
        return *(const int64_t *)x == *(const int64_t *)y;
    case OPTION_ENUM:
        return *(const int *)x == *(const int *)y;
    case OPTION_LIST:
        return strlist_equal(x, y);
    case OPTION_PAIRS:
        return pairlist_equal(x, y, same_name);
    case OPTION_LATER:
        break;
    }
    return true;
}

void setting_free(const struct config_option *o, void *base)
{
    if (o->type == OPTION_STRING)
        free(*(char **)field(o, base));
    else if (o->type == OPTION_LIST)
        strlist_clear(field(o, base));
    else if (o->type == OPTION_PAIRS)
        pairlist_clear(field(o, base));
}
