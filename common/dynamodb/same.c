#include "dynamodb/same.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "mapping/number.h"

/* DynamoDB takes 32 levels. */
enum { MAX_DEPTH = 64, SHORT = 40 };

/* --- one form for each value ------------------------------------------------------------------ */

static int append_value(struct buf *out, const json_t *value, unsigned depth);

/* Bytes behind their length, so that no two lists of values come out alike. */
static void append_sized(struct buf *out, const void *bytes, size_t n)
{
    buf_append_u64(out, n);
    buf_putc(out, ':');
    buf_append(out, bytes, n);
}

static int append_scalar(struct buf *out, char type, const json_t *v)
{
    _cleanup_buf_ struct buf bytes = {0};
    const char *s = json_string_value(v);
    size_t n = json_string_length(v);

    if (!s)
        return -EINVAL;
    if (type == 'S') {
        append_sized(out, s, n);
        return 0;
    }
    int rc = type == 'N' ? number_canonical(&bytes, s, n) : base64_decode(&bytes, s, n);
    if (rc == 0 && !buf_ok(&bytes))
        rc = -ENOMEM;
    if (rc == 0)
        append_sized(out, bytes.data, bytes.len);
    return rc;
}

static int compare_bufs(const void *a, const void *b)
{
    const struct buf *x = a, *y = b;
    size_t n = x->len < y->len ? x->len : y->len;
    int order = n ? memcmp(x->data, y->data, n) : 0;

    return order ? order : (x->len > y->len) - (x->len < y->len);
}

static int append_set(struct buf *out, char type, const json_t *v)
{
    size_t n = json_array_size(v);
    struct buf *members = json_is_array(v) ? calloc(n + 1, sizeof *members) : NULL;
    int rc = members ? 0 : json_is_array(v) ? -ENOMEM : -EINVAL;

    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = append_scalar(&members[i], type, json_array_get(v, i));
    if (rc == 0)
        qsort(members, n, sizeof *members, compare_bufs);
    for (size_t i = 0; members && i < n; i++) {
        if (rc == 0)
            append_sized(out, members[i].data, members[i].len);
        buf_free(&members[i]);
    }
    free(members);
    return rc;
}

static int append_list(struct buf *out, const json_t *v, unsigned depth)
{
    const json_t *one;
    size_t i;
    int rc = json_is_array(v) ? 0 : -EINVAL;

    json_array_foreach(v, i, one)
    {
        if (rc == 0)
            rc = append_value(out, one, depth + 1);
    }
    return rc;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names of both objects' members, sorted, each once; the caller frees the array. NULL: no memory.
 */
static const char **names_of(const json_t *a, const json_t *b, size_t *count)
{
    const char **names = calloc(json_object_size(a) + json_object_size(b) + 1, sizeof *names);
    const json_t *both[] = {a, b};
    size_t n = 0;

    for (size_t i = 0; names && i < 2; i++)
        for (void *at = json_object_iter((json_t *)both[i]); at;
             at = json_object_iter_next((json_t *)both[i], at)) {
            const char *name = json_object_iter_key(at);
            if (i == 0 || !json_object_get(a, name))
                names[n++] = name;
        }
    if (names)
        qsort(names, n, sizeof *names, compare_names);
    *count = n;
    return names;
}

static int append_map(struct buf *out, const json_t *v, unsigned depth)
{
    size_t n;
    const char **names = json_is_object(v) ? names_of(v, NULL, &n) : NULL;
    int rc = names ? 0 : json_is_object(v) ? -ENOMEM : -EINVAL;

    for (size_t i = 0; rc == 0 && i < n; i++) {
        append_sized(out, names[i], strlen(names[i]));
        rc = append_value(out, json_object_get(v, names[i]), depth + 1);
    }
    free(names);
    return rc;
}

static int append_typed(struct buf *out, const char *type, const json_t *v, unsigned depth)
{
    if (strcmp(type, "S") == 0 || strcmp(type, "N") == 0 || strcmp(type, "B") == 0)
        return append_scalar(out, type[0], v);
    if (strcmp(type, "BOOL") == 0 || strcmp(type, "NULL") == 0) {
        buf_putc(out, json_is_true(v) ? '1' : '0');
        return json_is_boolean(v) ? 0 : -EINVAL;
    }
    if (strcmp(type, "SS") == 0 || strcmp(type, "NS") == 0 || strcmp(type, "BS") == 0)
        return append_set(out, type[0], v);
    if (strcmp(type, "L") == 0)
        return append_list(out, v, depth);
    return strcmp(type, "M") == 0 ? append_map(out, v, depth) : -EINVAL;
}

static int append_value(struct buf *out, const json_t *value, unsigned depth)
{
    void *member = json_object_iter((json_t *)value);

    if (json_object_size(value) != 1 || depth > MAX_DEPTH)
        return -EINVAL;
    const char *type = json_object_iter_key(member);
    buf_puts(out, type);
    buf_putc(out, '(');
    int rc = append_typed(out, type, json_object_iter_value(member), depth);
    buf_putc(out, ')');
    return rc;
}

int attribute_canonical(struct buf *out, const json_t *value)
{
    int rc = append_value(out, value, 0);

    return rc == 0 && !buf_ok(out) ? -ENOMEM : rc;
}

/* --- comparing -------------------------------------------------------------------------------- */

bool attribute_same(const json_t *a, const json_t *b)
{
    _cleanup_buf_ struct buf x = {0}, y = {0};

    if (!a || !b)
        return a == b;
    if (json_equal(a, b))
        return true;
    if (attribute_canonical(&x, a) < 0 || attribute_canonical(&y, b) < 0)
        return false;
    return compare_bufs(&x, &y) == 0;
}

/* Most items are the same: no memory is needed to see that. */
static bool all_same(const json_t *a, const json_t *b)
{
    if (json_object_size(a) != json_object_size(b))
        return false;
    for (void *at = json_object_iter((json_t *)a); at; at = json_object_iter_next((json_t *)a, at))
        if (!attribute_same(json_object_iter_value(at),
                            json_object_get(b, json_object_iter_key(at))))
            return false;
    return true;
}

size_t item_differences(const json_t *a, const json_t *b, const char **names, size_t max)
{
    size_t n = 0, differ = 0;

    if (all_same(a, b))
        return 0;
    const char **all = names_of(a, b, &n);
    if (!all && max)
        names[0] = "";
    for (size_t i = 0; all && i < n; i++) {
        if (attribute_same(json_object_get(a, all[i]), json_object_get(b, all[i])))
            continue;
        if (differ < max)
            names[differ] = all[i];
        differ++;
    }
    free(all);
    return differ ? differ : 1; /* without memory the names are missing, not the difference */
}

/* --- for people ------------------------------------------------------------------------------- */

static void describe_text(struct buf *out, const char *s, size_t n)
{
    size_t cut = n;

    if (n > SHORT) {
        cut = SHORT;
        while (cut && ((unsigned char)s[cut] & 0xc0) == 0x80) /* between characters */
            cut--;
    }
    json_append_string_lossy(out, s, cut);
    if (cut < n)
        buf_printf(out, "… (%zu bytes)", n);
}

static void describe_binary(struct buf *out, const char *s, size_t n)
{
    _cleanup_buf_ struct buf bytes = {0};

    if (base64_decode(&bytes, s, n) < 0) {
        describe_text(out, s, n);
        return;
    }
    hex_append(out, bytes.data, bytes.len < SHORT / 2 ? bytes.len : SHORT / 2);
    if (bytes.len > SHORT / 2)
        buf_printf(out, "… (%zu bytes)", bytes.len);
}

void attribute_describe(struct buf *out, const json_t *value)
{
    void *member = json_object_iter((json_t *)value);

    if (!member) {
        buf_puts(out, value ? "nothing" : "absent");
        return;
    }
    const char *type = json_object_iter_key(member);
    const json_t *v = json_object_iter_value(member);
    const char *s = json_string_value(v);
    buf_printf(out, "%.8s ", type);
    if (s && strcmp(type, "N") == 0)
        buf_append(out, s, json_string_length(v) < 64 ? json_string_length(v) : 64);
    else if (s && strcmp(type, "B") == 0)
        describe_binary(out, s, json_string_length(v));
    else if (s)
        describe_text(out, s, json_string_length(v));
    else {
        char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
        size_t n = text ? strlen(text) : 0;
        if (n <= SHORT)
            buf_puts(out, text ? text : "?");
        else
            describe_text(out, text, n);
        free(text);
    }
}
