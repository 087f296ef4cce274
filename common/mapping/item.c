#include "mapping/item.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>

#include "base/text.h"
#include "mapping/number.h"

enum { MAX_PARTITION_KEY = 2048, MAX_SORT_KEY = 1024 };

__attribute__((format(printf, 4, 5))) static int fail(struct item_fault *f, const char *column,
                                                      const char *code, const char *fmt, ...)
{
    va_list args;

    f->column = column;
    f->code = code;
    va_start(args, fmt);
    vsnprintf(f->text, sizeof f->text, fmt, args);
    va_end(args);
    return -EINVAL;
}

static int check_number(const char *column, double d, struct item_fault *f)
{
    int rc = number_check_double(d);

    if (rc == -EDOM)
        return fail(f, column, "not_a_number",
                    "the value is infinite, which a DynamoDB number cannot be");
    if (rc == -ERANGE)
        return fail(f, column, "number_range",
                    "the value is outside a DynamoDB number's range (1E-130 to 9.99E+125)");
    return 0;
}

static int check_text(const char *column, const struct value *v, struct item_fault *f)
{
    if (utf8_valid(v->bytes, v->len))
        return 0;
    return fail(f, column, "invalid_utf8", "the text is not valid UTF-8");
}

/* --- attributes ------------------------------------------------------------------------------- */

/* Append `{"N":"…"}` without its opening brace, which the column's prefix holds; add the value's
 * bytes to *size. */
static int append_value(struct buf *out, const char *column, const struct value *v, size_t *size,
                        struct item_fault *f)
{
    size_t start;
    int rc;

    switch (v->kind) {
    case VALUE_NULL:
        buf_lit(out, "\"NULL\":true}");
        *size += 1;
        return 0;
    case VALUE_INTEGER:
    case VALUE_REAL:
        buf_lit(out, "\"N\":\"");
        start = out->len;
        if (v->kind == VALUE_INTEGER) {
            buf_append_i64(out, v->integer);
        } else {
            if ((rc = check_number(column, v->real, f)) < 0)
                return rc;
            number_print_double(out, v->real);
        }
        if (!buf_ok(out))
            return -ENOMEM;
        *size += number_size(out->data + start, out->len - start);
        buf_lit(out, "\"}");
        return 0;
    case VALUE_TEXT:
        if ((rc = check_text(column, v, f)) < 0)
            return rc;
        buf_lit(out, "\"S\":");
        json_append_string(out, v->bytes, v->len);
        buf_putc(out, '}');
        *size += v->len;
        return 0;
    case VALUE_BLOB:
        buf_lit(out, "\"B\":\"");
        base64_append(out, v->bytes, v->len);
        buf_lit(out, "\"}");
        *size += v->len;
        return 0;
    }
    return 0;
}

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

    if (v->kind == VALUE_NULL)
        return fail(f, c->name, "key_null", "the key column is NULL");
    if (!kind_fits(type, v->kind))
        return fail(f, c->name, "key_type",
                    "the key column holds %s, but its key attribute is of type %c",
                    value_kind_name(v->kind), (char)type);
    if (v->kind == VALUE_REAL)
        return check_number(c->name, v->real, f);
    return v->kind == VALUE_TEXT ? check_text(c->name, v, f) : 0;
}

/* A column inside a joined or template key, as text. */
static void append_key_text(struct buf *out, const struct value *v, bool escape)
{
    switch (v->kind) {
    case VALUE_NULL:
        break;
    case VALUE_INTEGER:
        buf_append_i64(out, v->integer);
        break;
    case VALUE_REAL:
        number_print_double(out, v->real);
        break;
    case VALUE_BLOB:
        hex_append(out, v->bytes, v->len);
        break;
    case VALUE_TEXT:
        for (size_t i = 0; i < v->len; i++) {
            if (escape && (v->bytes[i] == '#' || v->bytes[i] == '\\'))
                buf_putc(out, '\\');
            buf_putc(out, v->bytes[i]);
        }
        break;
    }
}

/* Text (S, N) or raw bytes (B) of one key part. */
static int part_bytes(const struct table_plan *p, size_t part, const struct value *row_key,
                      struct buf *out, struct item_fault *f)
{
    const struct key_part *k = &p->parts[part];
    int rc;

    for (size_t i = 0; i < k->segment_count; i++) {
        const struct key_segment *s = &k->segments[i];
        if (k->kind == KEY_JOINED && i)
            buf_putc(out, '#');
        if (s->literal) {
            buf_puts(out, s->literal);
            continue;
        }
        const struct value *v = &row_key[s->column];
        if ((rc = check_key_value(&p->columns[s->column], v, f)) < 0)
            return rc;
        if (k->kind == KEY_COLUMN && v->kind == VALUE_BLOB)
            buf_append(out, v->bytes, v->len);
        else
            append_key_text(out, v, k->kind == KEY_JOINED);
    }
    return buf_ok(out) ? 0 : -ENOMEM;
}

static int check_key_size(const struct table_plan *p, size_t part, size_t n, struct item_fault *f)
{
    size_t limit = part || p->short_key[part] ? MAX_SORT_KEY : MAX_PARTITION_KEY;
    const struct key_part *k = &p->parts[part];
    const char *column = k->kind == KEY_COLUMN ? p->columns[k->segments[0].column].name : NULL;

    if (p->schema.parts[part].type == ATTR_N)
        return 0;
    if (n == 0)
        return fail(f, column, "key_empty",
                    "the key attribute \"%s\" is empty, which DynamoDB does not take",
                    p->schema.parts[part].name);
    if (n > limit)
        return fail(f, column, "key_too_long",
                    "the key attribute \"%s\" has %zu bytes; DynamoDB takes %zu",
                    p->schema.parts[part].name, n, limit);
    return 0;
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
    buf_printf(json, ":{\"%c\":", (char)a->type);
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

int item_key(const struct table_plan *p, const struct value *row_key, struct buf *key,
             struct buf *json, struct item_fault *fault)
{
    _cleanup_buf_ struct buf part = {0};
    int rc;

    if (json)
        buf_putc(json, '{');
    for (size_t i = 0; i < p->schema.count; i++) {
        buf_clear(&part);
        if ((rc = part_bytes(p, i, row_key, &part, fault)) < 0 ||
            (rc = check_key_size(p, i, part.len, fault)) < 0 ||
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

/* Key attributes that are no column of their own: joined parts and templates. */
static int append_made_keys(const struct table_plan *p, const struct value *row, struct buf *json,
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

/* An attribute just encoded, `{"S":…}` without its brace and of so many bytes, as a key of an index.
 */
static int check_demand(const struct index_demand *d, const char *column, const char *encoded,
                        size_t size, struct item_fault *f)
{
    size_t limit = d->sort ? MAX_SORT_KEY : MAX_PARTITION_KEY;

    if (encoded[1] != d->type || encoded[2] != '"')
        return fail(f, column, "index_key_type",
                    "the value is not of type %c, which an index of the DynamoDB table has as its key",
                    d->type);
    if (d->type == 'N')
        return 0;
    if (size == 0)
        return fail(f, column, "index_key_empty",
                    "the value is empty, which DynamoDB does not take in the key of an index; NULL "
                    "keeps the row out of the index");
    if (size > limit)
        return fail(f, column, "index_key_too_long",
                    "the value has %zu bytes and is the key of an index, which takes %zu", size,
                    limit);
    return 0;
}

int item_encode(const struct table_plan *p, const struct value *row, struct buf *json, size_t *size,
                struct item_fault *fault)
{
    size_t total = 0;
    bool first = true;
    int rc;

    buf_putc(json, '{');
    if ((rc = append_made_keys(p, row, json, &first, &total, fault)) < 0)
        return rc;
    for (size_t i = 0; i < p->column_count; i++) {
        const struct plan_column *c = &p->columns[i];
        if (row[i].kind == VALUE_NULL && (!p->write_null || c->demand.type))
            continue;
        if (!first)
            buf_putc(json, ',');
        buf_append(json, c->prefix, c->prefix_len);
        size_t start = json->len, before = total;
        if ((rc = append_value(json, c->name, &row[i], &total, fault)) < 0)
            return rc;
        if (c->demand.type && buf_ok(json) &&
            (rc = check_demand(&c->demand, c->name, json->data + start, total - before, fault)) < 0)
            return rc;
        total += strlen(c->attribute);
        first = false;
    }
    buf_putc(json, '}');
    if (!buf_ok(json))
        return -ENOMEM;
    if (total > ITEM_MAX_SIZE)
        return fail(fault, NULL, "item_too_large", "the item has %zu bytes; DynamoDB takes %d",
                    total, ITEM_MAX_SIZE);
    *size = total;
    return 0;
}

int item_digest(const void *json, size_t n, uint8_t out[DIGEST_SIZE])
{
    /* Fetched once: a fetch for every item would cost more than the hash. */
    static EVP_MD *sha256;
    static EVP_MD_CTX *ctx;
    unsigned char full[EVP_MAX_MD_SIZE];

    if (!sha256 && !(sha256 = EVP_MD_fetch(NULL, "SHA256", NULL)))
        return -EIO;
    if (!ctx && !(ctx = EVP_MD_CTX_new()))
        return -EIO;
    if (!EVP_DigestInit_ex2(ctx, sha256, NULL) || !EVP_DigestUpdate(ctx, json, n) ||
        !EVP_DigestFinal_ex(ctx, full, NULL))
        return -EIO;
    memcpy(out, full, DIGEST_SIZE);
    return 0;
}

void item_describe_key(const struct table_plan *p, const struct value *row_key, struct buf *out)
{
    for (size_t i = 0; i < p->row_key_count; i++) {
        buf_printf(out, "%s%s=", i ? ", " : "", p->columns[i].name);
        value_describe(out, &row_key[i]);
    }
}
