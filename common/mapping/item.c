#include <errno.h>
#include <stdlib.h>

/* The functions of the algorithm itself: EVP_DigestInit_ex2() allocates a state for each item,
 * which costs more than the hash of a small one. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include "base/text.h"
#include "mapping/item_internal.h"
#include "mapping/number.h"
#include "mapping/oversize.h"

static int check_number(const char *column, double d, struct item_fault *f)
{
    int rc = number_check_double(d);

    if (rc == -EDOM)
        return fault_set(f, column, "not_a_number",
                         "the value is infinite, which a DynamoDB number cannot be");
    if (rc == -ERANGE)
        return fault_set(f, column, "number_range",
                         "the value is outside a DynamoDB number's range (1E-130 to 9.99E+125)");
    return 0;
}

/* number_size() of an integer as it is printed here: most numbers are. */
static size_t integer_size(const char *s, size_t n)
{
    bool negative = *s == '-';

    while (n > 1 && s[n - 1] == '0')
        n--;
    n -= negative;
    return n == 1 && s[negative] == '0' ? 1 : 1 + (n + 1) / 2 + negative;
}

/* --- attributes ------------------------------------------------------------------------------- */

static int append_number(struct buf *out, const char *column, const struct value *v, size_t *size,
                         struct item_fault *f)
{
    static const char before[] = "\"N\":\"", behind[] = "\"}";
    char *to = buf_room(out, sizeof before + NUMBER_TEXT + sizeof behind);
    int rc = v->kind == VALUE_REAL ? check_number(column, v->real, f) : 0;
    size_t n;

    if (rc < 0 || !to)
        return rc < 0 ? rc : -ENOMEM;
    memcpy(to, before, sizeof before - 1);
    to += sizeof before - 1;
    if (v->kind == VALUE_INTEGER) {
        n = text_i64(to, v->integer);
        *size += integer_size(to, n);
    } else {
        n = number_text_double(to, v->real);
        *size += number_size(to, n);
    }
    memcpy(to + n, behind, sizeof behind - 1);
    buf_wrote(out, to + n + sizeof behind - 1);
    return 0;
}

/* Append `{"N":"…"}` without its opening brace, which the column's prefix holds; add the value's
 * bytes to *size. */
static int append_value(struct buf *out, const char *column, const struct value *v, size_t *size,
                        struct item_fault *f)
{
    switch (v->kind) {
    case VALUE_NULL:
        buf_lit(out, "\"NULL\":true}");
        *size += 1;
        return 0;
    case VALUE_INTEGER:
    case VALUE_REAL:
        return append_number(out, column, v, size, f);
    case VALUE_TEXT:
        buf_lit(out, "\"S\":");
        if (!json_append_utf8(out, v->bytes, v->len))
            return fault_set(f, column, "invalid_utf8", "the text is not valid UTF-8");
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

/* --- items ------------------------------------------------------------------------------------ */

/* An item in the making. */
struct encoder {
    const struct table_plan *plan;
    const struct value *row;
    struct buf *json;
    bool first;
    size_t size;
    struct item_fault *fault;
};

static void begin_attribute(struct encoder *e, const char *prefix, size_t prefix_len,
                            size_t name_len)
{
    char *to = buf_room(e->json, 1 + prefix_len);

    e->size += name_len;
    if (!to)
        return;
    if (!e->first)
        *to++ = ',';
    e->first = false;
    memcpy(to, prefix, prefix_len);
    buf_wrote(e->json, to + prefix_len);
}

/* What an index has as its key, DynamoDB refuses with its whole batch where it does not fit. */
static int check_indexed(const struct plan_column *c, const struct value *v, struct item_fault *f)
{
    int wanted = conversion_type(&c->convert, c->affinity);
    _cleanup_buf_ struct buf bytes = {0};
    enum attr_type type = ATTR_S;
    int rc = item_scalar(c, v, &bytes, &type, f);

    if (rc < 0)
        return rc;
    if (wanted && (int)type != wanted)
        return fault_set(f, c->name, "key_type",
                         "the column holds %s, but it is the key of an index of type %c",
                         value_kind_name(v->kind), (char)wanted);
    return item_check_key(c->name, c->attribute, type, c->index_sort, bytes.len, f);
}

/* A column with a conversion, a default, an index, or a source that is kept beside. */
static int append_special(struct encoder *e, const struct plan_column *c, const struct value *raw)
{
    const struct value *v = column_value(c, raw);
    int rc = 0;

    if (v->kind == VALUE_NULL) {
        if (!e->plan->write_null || c->indexed)
            return 0;
        begin_attribute(e, c->prefix, c->prefix_len, c->attribute_len);
        return append_value(e->json, c->name, v, &e->size, e->fault);
    }
    if (c->indexed)
        rc = check_indexed(c, v, e->fault);
    if (rc < 0)
        return rc;
    begin_attribute(e, c->prefix, c->prefix_len, c->attribute_len);
    if (c->convert.kind == CONVERT_NONE) {
        rc = append_value(e->json, c->name, v, &e->size, e->fault);
    } else {
        rc = convert_attribute(&c->convert, c->affinity, v, e->json, &e->size, e->fault);
        if (rc == -EINVAL)
            e->fault->column = c->name;
    }
    if (rc < 0 || !c->kept || raw->kind == VALUE_NULL)
        return rc;
    begin_attribute(e, c->kept_prefix, c->kept_prefix_len, c->kept_len);
    return append_value(e->json, c->name, raw, &e->size, e->fault);
}

static int append_added(struct encoder *e, const struct plan_added *a)
{
    _cleanup_buf_ struct buf bytes = {0};
    enum attr_type type = ATTR_S;
    int rc;

    if (a->copy) {
        const struct plan_column *c = &e->plan->columns[a->segments[0].column];
        const struct value *v = column_value(c, &e->row[a->segments[0].column]);
        rc = v->kind == VALUE_NULL ? 1 : item_scalar(c, v, &bytes, &type, e->fault);
        if (rc == 0 && a->indexed && (int)type != a->type)
            rc = fault_set(e->fault, c->name, "key_type",
                           "the column holds %s, but \"%.80s\" is the key of an index of type %c",
                           value_kind_name(v->kind), a->attribute, (char)a->type);
    } else {
        rc = item_template(e->plan, a->segments, a->segment_count, e->row, &bytes, e->fault);
    }
    if (rc == 0 && a->indexed)
        rc = item_check_key(NULL, a->attribute, type, a->index_sort, bytes.len, e->fault);
    if (rc != 0)
        return rc < 0 ? rc : 0; /* of a NULL there is none */
    begin_attribute(e, a->prefix, a->prefix_len, a->attribute_len);
    attribute_append(e->json, type, bytes.data ? bytes.data : "", bytes.len, &e->size);
    return buf_ok(&bytes) ? 0 : -ENOMEM;
}

int item_encode_whole(const struct table_plan *p, const struct value *row, struct buf *json,
                      size_t *size, struct item_fault *fault)
{
    struct encoder e = {.plan = p, .row = row, .json = json, .first = true, .fault = fault};
    int rc;

    buf_putc(json, '{');
    if ((rc = item_made_keys(p, row, json, &e.first, &e.size, fault)) < 0)
        return rc;
    for (size_t i = 0; i < p->column_count; i++) {
        const struct plan_column *c = &p->columns[i];
        if (c->special) {
            if ((rc = append_special(&e, c, &row[i])) < 0)
                return rc;
            continue;
        }
        if (row[i].kind == VALUE_NULL && !p->write_null)
            continue;
        begin_attribute(&e, c->prefix, c->prefix_len, c->attribute_len);
        if ((rc = append_value(json, c->name, &row[i], &e.size, fault)) < 0)
            return rc;
    }
    for (size_t i = 0; i < p->added_count; i++)
        if ((rc = append_added(&e, &p->added[i])) < 0)
            return rc;
    buf_putc(json, '}');
    if (!buf_ok(json))
        return -ENOMEM;
    *size = e.size;
    return 0;
}

int item_encode(const struct table_plan *p, const struct value *row, struct buf *json, size_t *size,
                struct item_fault *fault)
{
    size_t whole = 0;
    int rc = item_encode_whole(p, row, json, &whole, fault);

    if (rc == 0 && whole > ITEM_MAX_SIZE)
        return oversize_refuse(fault, whole);
    if (rc == 0)
        *size = whole;
    return rc;
}

int item_digest(const void *json, size_t n, uint8_t out[DIGEST_SIZE])
{
    unsigned char full[SHA256_DIGEST_LENGTH];
    SHA256_CTX ctx;

    if (!SHA256_Init(&ctx) || !SHA256_Update(&ctx, json, n) || !SHA256_Final(full, &ctx))
        return -EIO;
    memcpy(out, full, DIGEST_SIZE);
    return 0;
}
