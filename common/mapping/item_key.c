#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "mapping/item_internal.h"
#include "mapping/number.h"
#include "mapping/oversize.h"

enum { MAX_PARTITION_KEY = 2048, MAX_SORT_KEY = 1024 };

/* --- key parts -------------------------------------------------------------------------------- */

static bool kind_fits(enum attr_type type, enum value_kind kind)
{
    switch (type) {
    case ATTR_N:
        return kind == VALUE_INTEGER || kind == VALUE_REAL;
    case ATTR_S:
        return kind == VALUE_TEXT;
    case ATTR_B:
        return kind == VALUE_BLOB;
    }
    return false;
}

static enum attr_type type_of_affinity(enum affinity a)
{
    return a == AFFINITY_TEXT ? ATTR_S : a == AFFINITY_BLOB ? ATTR_B : ATTR_N;
}

static int check_key_value(const struct plan_column *c, const struct value *v, struct item_fault *f)
{
    enum attr_type type = type_of_affinity(c->affinity);

    if (!kind_fits(type, v->kind))
        return fault_set(f, c->name, "key_type",
                         "the key column holds %s, but its key attribute is of type %c",
                         value_kind_name(v->kind), (char)type);
    return 0;
}

static void append_escaped(struct buf *out, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] == '#' || bytes[i] == '\\')
            buf_putc(out, '\\');
        buf_putc(out, bytes[i]);
    }
}

/* A column inside a joined or template key, or an added attribute, as text: bytes as hex. */
static int append_column_text(const struct plan_column *c, const struct value *v, bool escape,
                              struct buf *out, struct item_fault *f)
{
    _cleanup_buf_ struct buf bytes = {0};
    enum attr_type type = ATTR_S;
    int rc = item_scalar(c, v, &bytes, &type, f);

    if (rc < 0)
        return rc;
    if (type == ATTR_B)
        hex_append(out, bytes.data, bytes.len);
    else if (escape && type == ATTR_S)
        append_escaped(out, bytes.data, bytes.len);
    else
        buf_append(out, bytes.data ? bytes.data : "", bytes.len);
    return 0;
}

int item_scalar(const struct plan_column *c, const struct value *v, struct buf *out,
                enum attr_type *type, struct item_fault *fault)
{
    int rc = convert_scalar(&c->convert, c->affinity, v, out, type, fault);

    if (rc == -EINVAL)
        fault->column = c->name;
    return rc;
}

int item_template(const struct table_plan *p, const struct key_segment *segments, size_t count,
                  const struct value *row, struct buf *out, struct item_fault *fault)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < count; i++) {
        const struct key_segment *s = &segments[i];
        if (s->literal) {
            buf_puts(out, s->literal);
            continue;
        }
        const struct plan_column *c = &p->columns[s->column];
        const struct value *v = column_value(c, &row[s->column]);
        rc = v->kind == VALUE_NULL ? 1 : append_column_text(c, v, false, out, fault);
    }
    return rc == 0 && !buf_ok(out) ? -ENOMEM : rc;
}

/* Is the value, where no conversion makes the key's type of it, of that type? */
static int check_key_column(const struct plan_column *c, const struct value *v,
                            struct item_fault *f)
{
    if (v->kind == VALUE_NULL)
        return fault_set(f, c->name, "key_null", "the key column is NULL");
    if (c->convert.kind == CONVERT_NONE || c->convert.kind == CONVERT_BOOL ||
        c->convert.kind == CONVERT_JSON)
        return check_key_value(c, v, f);
    return 0;
}

/* Text (S, N) or raw bytes (B) of one key part. */
static int part_bytes(const struct table_plan *p, size_t part, const struct value *row_key,
                      struct buf *out, struct item_fault *f)
{
    const struct key_part *k = &p->parts[part];
    enum attr_type type;
    int rc;

    for (size_t i = 0; i < k->segment_count; i++) {
        const struct key_segment *s = &k->segments[i];
        if (k->kind == KEY_JOINED && i)
            buf_putc(out, '#');
        if (s->literal) {
            buf_puts(out, s->literal);
            continue;
        }
        const struct plan_column *c = &p->columns[s->column];
        const struct value *v = column_value(c, &row_key[s->column]);
        if ((rc = check_key_column(c, v, f)) < 0)
            return rc;
        if (k->kind == KEY_COLUMN && v->kind == VALUE_INTEGER && c->convert.kind == CONVERT_NONE)
            buf_append_i64(out, v->integer); /* what most keys are */
        else if (k->kind == KEY_COLUMN)
            rc = item_scalar(c, v, out, &type, f);
        else
            rc = append_column_text(c, v, k->kind == KEY_JOINED, out, f);
        if (rc < 0)
            return rc;
    }
    return buf_ok(out) ? 0 : -ENOMEM;
}

int item_check_key(const char *column, const char *attribute, enum attr_type type, bool sort,
                   size_t n, struct item_fault *f)
{
    size_t limit = sort ? MAX_SORT_KEY : MAX_PARTITION_KEY;

    if (type == ATTR_N)
        return 0;
    if (n == 0)
        return fault_set(f, column, "key_empty",
                         "the key attribute \"%s\" is empty, which DynamoDB does not take",
                         attribute);
    if (n > limit)
        return fault_set(f, column, "key_too_long",
                         "the key attribute \"%s\" has %zu bytes; DynamoDB takes %zu", attribute, n,
                         limit);
    return 0;
}

static int check_key_size(const struct table_plan *p, size_t part, size_t n, struct item_fault *f)
{
    const struct key_part *k = &p->parts[part];
    const char *column = k->kind == KEY_COLUMN ? p->columns[k->segments[0].column].name : NULL;

    return item_check_key(column, p->schema.parts[part].name, p->schema.parts[part].type,
                          part > 0 || p->short_key[part], n, f);
}

/* The keys of chunks are no row's. */
static int check_reserved(const struct table_plan *p, size_t part, const struct buf *bytes,
                          struct item_fault *f)
{
    if (part == 0 || p->schema.parts[part].type == ATTR_N ||
        !oversize_is_reserved(bytes->data, bytes->len))
        return 0;
    return fault_set(f, NULL, "key_reserved",
                     "the key attribute \"%s\" ends as the keys of syncd's own chunks do",
                     p->schema.parts[part].name);
}

/* Canonical bytes of a part: type, two-byte length, bytes; numbers in their canonical text. */
static int append_canonical(struct buf *key, enum attr_type type, const char *bytes, size_t n)
{
    size_t at = key->len;

    buf_putc(key, (char)type);
    buf_append(key, "\0\0", 2);
    if (type == ATTR_N) {
        if (number_canonical(key, bytes, n) < 0)
            return -EINVAL;
    } else {
        buf_append(key, bytes, n);
    }
    if (!buf_ok(key))
        return -ENOMEM;
    size_t len = key->len - at - 3;
    if (len > UINT16_MAX)
        return -EINVAL;
    key->data[at + 1] = (char)(len >> 8);
    key->data[at + 2] = (char)(len & 0xff);
    return 0;
}

static void append_key_json(struct buf *json, const struct key_attribute *a, const char *bytes,
                            size_t n)
{
    json_append_string(json, a->name, strlen(a->name));
    buf_lit(json, ":{\"");
    buf_putc(json, (char)a->type);
    buf_lit(json, "\":");
    if (a->type == ATTR_S) {
        json_append_string(json, bytes, n);
    } else {
        buf_putc(json, '"');
        if (a->type == ATTR_B)
            base64_append(json, bytes, n);
        else
            buf_append(json, bytes, n);
        buf_putc(json, '"');
    }
    buf_putc(json, '}');
}

/* The one column of a part whose value is its key attribute as it is: what most keys are. NULL:
 * it is not so simple. */
static const struct plan_column *plain_column(const struct table_plan *p, size_t part,
                                              const struct value *row_key, const struct value **v)
{
    const struct key_part *k = &p->parts[part];

    if (k->kind != KEY_COLUMN || k->segments[0].literal)
        return NULL;
    const struct plan_column *c = &p->columns[k->segments[0].column];
    *v = column_value(c, &row_key[k->segments[0].column]);
    enum attr_type type = type_of_affinity(c->affinity);
    bool plain = c->convert.kind == CONVERT_NONE && type == p->schema.parts[part].type &&
                 kind_fits(type, (*v)->kind);
    return plain ? c : NULL;
}

/* number_canonical() of an integer's text. */
static int append_canonical_integer(struct buf *key, int64_t v)
{
    char text[TEXT_I64];
    size_t n = text_i64(text, v), len = n;
    char *start = buf_room(key, 3 + sizeof text + TEXT_U64);
    char *to = start;

    if (!to)
        return -ENOMEM;
    while (len > 1 && text[len - 1] == '0')
        len--;
    *to++ = ATTR_N;
    *to++ = 0;
    to++;
    memcpy(to, text, len);
    to += len;
    if (len < n) {
        *to++ = 'e';
        to += text_u64(to, n - len);
    }
    start[2] = (char)(to - start - 3);
    buf_wrote(key, to);
    return 0;
}

/* A part's canonical bytes without its text in between: 1; 0 where it takes the long way. Negative
 * as item_key(). */
static int plain_part(const struct table_plan *p, size_t part, const struct value *row_key,
                      struct buf *key, struct item_fault *f)
{
    const struct value *v;
    const struct plan_column *c = plain_column(p, part, row_key, &v);
    int rc;

    if (!c || v->kind == VALUE_REAL)
        return 0;
    if (v->kind == VALUE_INTEGER) {
        rc = append_canonical_integer(key, v->integer);
        return rc < 0 ? rc : 1;
    }
    const struct buf bytes = {.data = (char *)v->bytes, .len = v->len};
    if (v->kind == VALUE_TEXT && !utf8_valid(v->bytes, v->len))
        return 0; /* to be told there */
    if ((rc = check_key_size(p, part, v->len, f)) < 0 ||
        (rc = check_reserved(p, part, &bytes, f)) < 0 ||
        (rc = append_canonical(key, p->schema.parts[part].type, v->bytes, v->len)) < 0)
        return rc;
    return 1;
}

int item_key(const struct table_plan *p, const struct value *row_key, struct buf *key,
             struct buf *json, struct item_fault *fault)
{
    _cleanup_buf_ struct buf part = {0};
    int rc;

    if (json)
        buf_putc(json, '{');
    for (size_t i = 0; i < p->schema.count; i++) {
        if (!json && (rc = plain_part(p, i, row_key, key, fault)) != 0) {
            if (rc < 0)
                return rc;
            continue;
        }
        buf_clear(&part);
        if ((rc = part_bytes(p, i, row_key, &part, fault)) < 0 ||
            (rc = check_key_size(p, i, part.len, fault)) < 0 ||
            (rc = check_reserved(p, i, &part, fault)) < 0 ||
            (rc = append_canonical(key, p->schema.parts[i].type, part.data, part.len)) < 0)
            return rc;
        if (json) {
            buf_puts(json, i ? "," : "");
            append_key_json(json, &p->schema.parts[i], part.data, part.len);
        }
    }
    if (json)
        buf_putc(json, '}');
    return buf_ok(key) && (!json || buf_ok(json)) ? 0 : -ENOMEM;
}

int item_key_part(struct buf *key, enum attr_type type, const char *text, size_t n)
{
    _cleanup_buf_ struct buf raw = {0};

    if (type != ATTR_B)
        return append_canonical(key, type, text, n);
    if (base64_decode(&raw, text, n) < 0)
        return -EINVAL;
    if (!buf_ok(&raw))
        return -ENOMEM;
    return append_canonical(key, type, raw.data ? raw.data : "", raw.len);
}

/* --- back from canonical bytes ---------------------------------------------------------------- */

struct key_view {
    enum attr_type type;
    const char *bytes;
    size_t len;
};

static int key_split(const void *key, size_t n, struct key_view *out, size_t count)
{
    const unsigned char *p = key;

    for (size_t i = 0; i < count; i++) {
        if (n < 3)
            return -EINVAL;
        size_t len = (size_t)p[1] << 8 | p[2];
        if (n - 3 < len)
            return -EINVAL;
        out[i] = (struct key_view){(enum attr_type)p[0], (const char *)p + 3, len};
        p += 3 + len;
        n -= 3 + len;
    }
    return n ? -EINVAL : 0;
}

int item_row_key(const struct table_plan *p, const void *key, size_t n, struct value *row_key,
                 struct buf *store)
{
    struct key_view parts[2];

    if (!p->plain_key || key_split(key, n, parts, p->schema.count) < 0)
        return -EINVAL;
    for (size_t i = 0; i < p->schema.count; i++) {
        size_t column = p->parts[i].segments[0].column;
        struct value *v = &row_key[column];
        if (parts[i].type != p->schema.parts[i].type)
            return -EINVAL;
        if (parts[i].type == ATTR_N) {
            buf_clear(store);
            buf_append(store, parts[i].bytes, parts[i].len);
            if (!buf_ok(store))
                return -ENOMEM;
            value_from_number(store->data, p->columns[column].affinity, v);
        } else {
            v->kind = parts[i].type == ATTR_S ? VALUE_TEXT : VALUE_BLOB;
            v->bytes = parts[i].bytes;
            v->len = parts[i].len;
        }
    }
    return 0;
}

int item_key_json(const struct key_schema *s, const void *key, size_t n, struct buf *json)
{
    struct key_view parts[2];

    if (key_split(key, n, parts, s->count) < 0)
        return -EINVAL;
    buf_putc(json, '{');
    for (size_t i = 0; i < s->count; i++) {
        if (parts[i].type != s->parts[i].type)
            return -EINVAL;
        buf_puts(json, i ? "," : "");
        append_key_json(json, &s->parts[i], parts[i].bytes, parts[i].len);
    }
    buf_putc(json, '}');
    return buf_ok(json) ? 0 : -ENOMEM;
}

/* --- items ------------------------------------------------------------------------------------ */

int item_made_keys(const struct table_plan *p, const struct value *row, struct buf *json,
                   bool *first, size_t *size, struct item_fault *fault)
{
    for (size_t i = 0; i < p->schema.count; i++) {
        _cleanup_buf_ struct buf part = {0};
        int rc;
        if (p->parts[i].kind == KEY_COLUMN)
            continue;
        if ((rc = part_bytes(p, i, row, &part, fault)) < 0 ||
            (rc = check_key_size(p, i, part.len, fault)) < 0)
            return rc;
        if (!*first)
            buf_putc(json, ',');
        append_key_json(json, &p->schema.parts[i], part.data, part.len);
        *size += strlen(p->schema.parts[i].name) + part.len;
        *first = false;
    }
    return 0;
}

void item_describe_key(const struct table_plan *p, const struct value *row_key, struct buf *out)
{
    for (size_t i = 0; i < p->row_key_count; i++) {
        buf_printf(out, "%s%s=", i ? ", " : "", p->columns[i].name);
        value_describe(out, &row_key[i]);
    }
}
