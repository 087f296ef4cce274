#include "import/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

void record_free(struct record *r)
{
    buf_free(&r->names);
    free(r->fields);
    json_names_free(&r->seen);
    *r = (struct record){0};
}

static struct record_field *add_field(struct record *r)
{
    if (r->count == r->room) {
        size_t room = r->room ? r->room * 2 : 16;
        struct record_field *more = realloc(r->fields, room * sizeof *more);
        if (!more)
            return NULL;
        r->fields = more;
        r->room = room;
    }
    return &r->fields[r->count++];
}

static int take_member(struct record *r, struct json_text *t)
{
    struct record_field *f = add_field(r);

    if (!f)
        return -ENOMEM;
    f->name_at = r->names.len;
    t->why = "an object lacks a key";
    if (!json_take_char(t, '"'))
        return -EINVAL;
    int rc = json_take_string(t, &r->names);
    if (rc < 0)
        return rc;
    f->name_len = r->names.len - f->name_at;
    if (f->name_len && memchr(r->names.data + f->name_at, '\0', f->name_len)) {
        t->why = "the name of a field holds U+0000";
        return -EINVAL;
    }
    buf_putc(&r->names, '\0');
    t->why = "a key of an object lacks its colon";
    if (!json_take_char(t, ':'))
        return -EINVAL;
    rc = json_skip_value(t, RECORD_MAX_DEPTH - 1, &f->value);
    f->len = (size_t)(t->at - f->value);
    return rc;
}

static int take_members(struct record *r, struct json_text *t)
{
    int rc;

    if (json_take_char(t, '}'))
        return 0;
    for (;;) {
        if ((rc = take_member(r, t)) < 0)
            return rc;
        if (json_take_char(t, '}'))
            return 0;
        t->why = "an object lacks a comma or its end";
        if (!json_take_char(t, ','))
            return -EINVAL;
    }
}

/* Few fields are compared with each other at once. */
static int check_twice(struct record *r, struct err *err)
{
    r->seen.bytes.len = r->seen.list.len = 0;
    for (size_t i = 0; i < r->count; i++)
        json_names_add(&r->seen, record_name(r, i), r->fields[i].name_len);
    int rc = json_names_check(&r->seen);
    return rc == -EINVAL ? err_set(err, rc, "it has the same field twice") : rc;
}

static int not_utf8(const char *text, size_t n, struct err *err)
{
    size_t good = 0, step = n;

    /* The longest valid start, by halving: only for the sentence. */
    while (step) {
        size_t upto = good + step <= n ? good + step : n;
        while (upto > good && upto < n && ((unsigned char)text[upto] & 0xc0) == 0x80)
            upto--;
        if (upto > good && utf8_valid(text + good, upto - good))
            good = upto;
        else
            step /= 2;
    }
    return err_set(
        err, -EINVAL,
        "it is not UTF-8 at its byte %zu (0x%02x); convert the file, such as by iconv -f "
        "ISO-8859-1 -t UTF-8",
        good + 1, good < n ? (unsigned)(unsigned char)text[good] : 0);
}

int record_parse(struct record *r, const char *text, size_t n, struct err *err)
{
    struct json_text t = {.at = text, .end = text + n};

    r->count = 0;
    buf_clear(&r->names);
    if (!utf8_valid(text, n))
        return not_utf8(text, n, err);
    if (!json_take_char(&t, '{')) {
        const char *ignored;
        int rc = json_skip_value(&t, RECORD_MAX_DEPTH, &ignored);
        return err_set(err, -EINVAL, rc < 0 ? "it is not JSON: %s" : "it is %s",
                       rc < 0 ? t.why : "a value, and not an object with fields");
    }
    int rc = take_members(r, &t);
    if (rc == 0) {
        json_skip_space(&t);
        t.why = "something stands behind it";
        rc = t.at < t.end ? -EINVAL : 0;
    }
    if (rc == -EINVAL)
        return err_set(err, rc, "it is not JSON: %s (at its byte %zu)", t.why,
                       (size_t)(t.at - text) + 1);
    if (rc == 0 && !buf_ok(&r->names))
        rc = -ENOMEM;
    if (rc == 0)
        rc = check_twice(r, err);
    return rc == -ENOMEM ? err_set(err, rc, "out of memory") : rc;
}

const struct record_field *record_find(const struct record *r, const char *name)
{
    size_t n = strlen(name);

    for (size_t i = 0; i < r->count; i++)
        if (r->fields[i].name_len == n && memcmp(record_name(r, i), name, n) == 0)
            return &r->fields[i];
    return NULL;
}

/* The member of an object that was checked before. */
static bool find_member(const struct record_field *object, const char *name, size_t n,
                        struct record_field *out)
{
    struct json_text t = {.at = object->value, .end = object->value + object->len};
    _cleanup_buf_ struct buf key = {0};

    if (!json_take_char(&t, '{'))
        return false;
    while (json_take_char(&t, '"')) {
        buf_clear(&key);
        if (json_take_string(&t, &key) < 0 || !json_take_char(&t, ':') ||
            json_skip_value(&t, RECORD_MAX_DEPTH, &out->value) < 0)
            return false;
        out->len = (size_t)(t.at - out->value);
        if (key.len == n && (n == 0 || memcmp(key.data, name, n) == 0))
            return true;
        json_take_char(&t, ',');
    }
    return false;
}

const struct record_field *record_find_path(const struct record *r, const char *path,
                                            struct record_field *store)
{
    const char *dot = strchr(path, '.');

    if (!dot)
        return NULL;
    for (size_t i = 0; i < r->count; i++)
        if (r->fields[i].name_len == (size_t)(dot - path) &&
            memcmp(record_name(r, i), path, r->fields[i].name_len) == 0) {
            *store = r->fields[i];
            while (dot) {
                const char *name = dot + 1;
                dot = strchr(name, '.');
                struct record_field object = *store;
                if (!find_member(&object, name, dot ? (size_t)(dot - name) : strlen(name), store))
                    return NULL;
            }
            return store;
        }
    return NULL;
}
