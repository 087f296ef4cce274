#include "mapping/oversize.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <zstd.h>

#include "base/text.h"
#include "mapping/number.h"
#include "mapping/oversize_format.h"

enum { MAX_SORT_KEY = 1024 };

#ifdef SYNCD_PLANTS
size_t oversize_item_limit = ITEM_MAX_SIZE, oversize_chunk_size = 128 * 1024;
#endif

int oversize_refuse(struct item_fault *fault, size_t size)
{
    return fault_set(fault, NULL, "item_too_large", "the item has %zu bytes; DynamoDB takes %d",
                     size, ITEM_MAX_SIZE);
}

/* --- our own JSON, looked through without being parsed -----------------------------------------
 */

/* Behind the string that begins at `p`. */
static const char *skip_string(const char *p)
{
    for (p++;; p++) {
        p = strchr(p, '"');
        size_t slashes = 0;
        while (p[-1 - (ptrdiff_t)slashes] == '\\')
            slashes++;
        if (slashes % 2 == 0)
            return p + 1;
    }
}

/* Behind the object that begins at `p`, as every value of an item is one. */
static const char *skip_object(const char *p)
{
    unsigned depth = 0;

    do {
        if (*p == '"') {
            p = skip_string(p);
            continue;
        }
        depth += *p == '{';
        depth -= *p == '}';
        p++;
    } while (depth);
    return p;
}

/* Bytes that the text of a JSON string has: escapes are of one byte, or \u00XX. */
static size_t string_size(const char *from, const char *to)
{
    size_t n = 0;

    for (const char *p = from + 1; p < to - 1; n++)
        p += *p != '\\' ? 1 : p[1] == 'u' ? 6 : 2;
    return n;
}

/* As DynamoDB counts `{"S":"…"}` and the like. */
static size_t value_size(const char *from, const char *to)
{
    const char *string = from + 5;
    size_t n = (size_t)(to - from);

    if (n < 8 || from[4] != ':' || *string != '"')
        return n; /* no less than it is */
    if (from[2] == 'N')
        return number_size(string + 1, n - 8);
    if (from[2] == 'S')
        return string_size(string, to - 1);
    size_t padding = (size_t)(to[-3] == '=') + (size_t)(to[-4] == '=');
    return (n - 8) / 4 * 3 - (n > 8 ? padding : 0);
}

struct member {
    const char *name, *value, *end; /* as JSON; the name with its quotes */
};

/* The member that begins at `p`; where the next one does, or NULL. */
static const char *next_member(const char *p, struct member *out)
{
    out->name = p;
    out->value = skip_string(p) + 1;
    out->end = skip_object(out->value);
    return *out->end == ',' ? out->end + 1 : NULL;
}

static bool is_named(const struct member *m, const char *attribute)
{
    _cleanup_buf_ struct buf name = {0};
    size_t n = (size_t)(m->value - 1 - m->name);

    json_append_string(&name, attribute, strlen(attribute));
    return buf_ok(&name) && name.len == n && memcmp(name.data, m->name, n) == 0;
}

enum stay { STAYS_NOT, STAYS, STAYS_IN_CHUNKS };

static enum stay stays(const struct table_plan *p, const struct member *m)
{
    for (size_t i = 0; i < p->schema.count; i++)
        if (is_named(m, p->schema.parts[i].name))
            return STAYS; /* chunks have keys of their own */
    if (p->ttl_attribute && is_named(m, p->ttl_attribute))
        return STAYS_IN_CHUNKS;
    for (size_t i = 0; i < p->column_count; i++)
        if (p->columns[i].indexed && is_named(m, p->columns[i].attribute))
            return STAYS;
    for (size_t i = 0; i < p->added_count; i++)
        if (p->added[i].indexed && is_named(m, p->added[i].attribute))
            return STAYS;
    return STAYS_NOT;
}

/* What stays beside the compressed attributes: the beginning of the head, and what chunks share. */
static int keep_members(const struct table_plan *p, const struct buf *text, struct oversize *o)
{
    const char *at = text->len > 2 ? text->data + 1 : NULL;
    struct member m;

    buf_putc(&o->head, '{');
    while (at) {
        at = next_member(at, &m);
        enum stay stay = stays(p, &m);
        if (stay == STAYS_NOT)
            continue;
        size_t size = string_size(m.name, m.value - 1) + value_size(m.value, m.end);
        buf_append(&o->head, m.name, (size_t)(m.end - m.name));
        buf_putc(&o->head, ',');
        o->size += size;
        if (stay != STAYS_IN_CHUNKS)
            continue;
        buf_putc(&o->shared, ',');
        buf_append(&o->shared, m.name, (size_t)(m.end - m.name));
        o->shared_size += size;
    }
    return buf_ok(&o->head) && buf_ok(&o->shared) ? 0 : -ENOMEM;
}

/* --- compressing ------------------------------------------------------------------------------ */

static int compress(const struct buf *text, struct buf *frame)
{
    ZSTD_CCtx *z = ZSTD_createCCtx();
    int rc = z && buf_reserve(frame, ZSTD_compressBound(text->len)) ? 0 : -ENOMEM;

    if (rc == 0) {
        ZSTD_CCtx_setParameter(z, ZSTD_c_compressionLevel, COMPRESSION_LEVEL);
        ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1);
        size_t n =
            ZSTD_compress2(z, frame->data, ZSTD_compressBound(text->len), text->data, text->len);
        rc = ZSTD_isError(n) ? -ENOMEM : 0; /* there is room, and nothing else can be wrong */
        frame->len = rc == 0 ? n : 0;
    }
    ZSTD_freeCCtx(z);
    return rc;
}

static size_t packed_size(size_t frame)
{
    return sizeof OVERSIZE_PACKED - 1 + PACKED_HEADER + frame;
}

/* Complete the head with the header, and the frame if it is not in chunks. */
static int finish_head(struct oversize *o, size_t text_len)
{
    unsigned char header[PACKED_HEADER] = {FORMAT_VERSION, FORMAT_ZSTD};
    _cleanup_buf_ struct buf value = {0};

    put_be(header + 2, o->count, 2);
    put_be(header + 4, text_len, 8);
    put_be(header + 12, o->frame.len, 8);
    memcpy(header + 20, o->version, DIGEST_SIZE);
    buf_append(&value, header, sizeof header);
    if (!o->count)
        buf_append(&value, o->frame.data, o->frame.len);
    if (!buf_ok(&value))
        return -ENOMEM;
    buf_lit(&o->head, "\"" OVERSIZE_PACKED "\":{\"B\":\"");
    base64_append(&o->head, value.data, value.len);
    buf_lit(&o->head, "\"}}");
    o->size += packed_size(o->count ? 0 : o->frame.len);
    return buf_ok(&o->head) ? 0 : -ENOMEM;
}

/* The sort key's length, from the last part of a canonical key. */
static size_t sort_key_len(const struct buf *key)
{
    const unsigned char *p = (const unsigned char *)key->data;
    size_t first = (size_t)p[1] << 8 | p[2];

    return key->len < first + 6 ? 0 : key->len - first - 6;
}

int oversize_pack(const struct table_plan *p, const struct buf *text, const struct buf *key,
                  struct oversize *out, struct item_fault *fault)
{
    int rc;

    if (text->len > OVERSIZE_MAX_TEXT)
        return fault_set(fault, NULL, "item_too_large",
                         "the item has %zu bytes as JSON; syncd compresses and splits up to %d",
                         text->len, OVERSIZE_MAX_TEXT);
    if ((rc = keep_members(p, text, out)) < 0 || (rc = compress(text, &out->frame)) < 0 ||
        (rc = item_digest(out->frame.data, out->frame.len, out->version)) < 0)
        return rc;
    size_t whole = out->size + packed_size(out->frame.len);
    if (whole > oversize_item_limit) {
        if (!p->split)
            return fault_set(
                fault, NULL, "item_too_large",
                "the item still has %zu bytes when it is compressed; DynamoDB takes %zu", whole,
                (size_t)oversize_item_limit);
        if (sort_key_len(key) + OVERSIZE_SUFFIX > MAX_SORT_KEY)
            return fault_set(fault, NULL, "key_too_long",
                             "the sort key has %zu bytes; an item that is split may have %d",
                             sort_key_len(key), MAX_SORT_KEY - OVERSIZE_SUFFIX);
        size_t size = oversize_chunk_size;
        out->count = (unsigned)((out->frame.len + size - 1) / size);
        if (out->count > OVERSIZE_MAX_CHUNKS)
            return oversize_refuse(fault, whole);
    }
    if ((rc = finish_head(out, text->len)) < 0)
        return rc;
    return out->size > ITEM_MAX_SIZE ? oversize_refuse(fault, out->size) : 0;
}

void oversize_free(struct oversize *o)
{
    buf_free(&o->head);
    buf_free(&o->frame);
    buf_free(&o->shared);
}

/* --- chunks ----------------------------------------------------------------------------------- */

static bool is_suffix(const char *s)
{
    const char *digits = s + OVERSIZE_SUFFIX - SUFFIX_DIGITS;

    if (memcmp(s, SUFFIX_MARK, SUFFIX_MARK_LEN) != 0 || digits[-1] != '~')
        return false;
    for (size_t i = 0; i < 2 * DIGEST_SIZE; i++)
        if (!memchr("0123456789abcdef", s[SUFFIX_MARK_LEN + i], 16))
            return false;
    for (size_t i = 0; i < SUFFIX_DIGITS; i++)
        if (digits[i] < '0' || digits[i] > '9')
            return false;
    return true;
}

bool oversize_is_reserved(const void *sort_key, size_t n)
{
    return n >= OVERSIZE_SUFFIX && is_suffix((const char *)sort_key + n - OVERSIZE_SUFFIX);
}

/* Where the length of the sort key stands in a canonical key; 0: it has none, or a number. */
static size_t sort_length_at(const char *key, size_t n)
{
    const unsigned char *p = (const unsigned char *)key;
    size_t at = n >= 3 ? 3 + ((size_t)p[1] << 8 | p[2]) : n;

    return at + 3 > n || p[at] == ATTR_N ? 0 : at + 1;
}

static void set_length(struct buf *key, size_t at, size_t len)
{
    if (buf_ok(key))
        put_be((unsigned char *)key->data + at, len, 2);
}

/* The canonical key with so many more bytes announced for its sort key. */
static int widen(const struct buf *key, size_t more, struct buf *out)
{
    size_t start = out->len, at = sort_length_at(key->data, key->len);

    if (!at)
        return -EINVAL;
    buf_append(out, key->data, key->len);
    set_length(out, start + at, key->len - at - 2 + more);
    return buf_ok(out) ? 0 : -ENOMEM;
}

int oversize_prefix(const struct buf *key, struct buf *out)
{
    int rc = widen(key, OVERSIZE_SUFFIX, out);

    buf_lit(out, SUFFIX_MARK);
    return rc < 0 ? rc : buf_ok(out) ? 0 : -ENOMEM;
}

int oversize_parse_key(const void *key, size_t n, struct oversize_key *out)
{
    size_t at = sort_length_at(key, n);
    _cleanup_buf_ struct buf version = {0};

    if (!at || !oversize_is_reserved((const char *)key + at + 2, n - at - 2))
        return 0;
    if (!out)
        return 1;
    const char *suffix = (const char *)key + n - OVERSIZE_SUFFIX;
    if (hex_decode(&version, suffix + SUFFIX_MARK_LEN, 2 * DIGEST_SIZE) < 0 || !buf_ok(&version))
        return -ENOMEM;
    *out = (struct oversize_key){
        .index = (unsigned)strtoul(
            (char[]){suffix[OVERSIZE_SUFFIX - 4], suffix[OVERSIZE_SUFFIX - 3],
                     suffix[OVERSIZE_SUFFIX - 2], suffix[OVERSIZE_SUFFIX - 1], '\0'},
            NULL, 10)};
    memcpy(out->version, version.data, DIGEST_SIZE);
    buf_append(&out->head, key, n - OVERSIZE_SUFFIX);
    set_length(&out->head, at, n - OVERSIZE_SUFFIX - at - 2);
    return buf_ok(&out->head) ? 1 : -ENOMEM;
}

/* Bytes of a canonical key's attributes as DynamoDB counts them, without their names. */
static size_t key_values_size(const struct key_schema *s, const struct buf *key)
{
    const unsigned char *p = (const unsigned char *)key->data;
    size_t size = 0;

    for (size_t i = 0; i < s->count; i++) {
        size_t n = (size_t)p[1] << 8 | p[2];
        size += s->parts[i].type == ATTR_N ? number_size((const char *)p + 3, n) : n;
        p += 3 + n;
    }
    return size;
}

int oversize_chunk(const struct key_schema *s, const struct oversize *o, const struct buf *key,
                   unsigned i, struct buf *chunk_key, struct buf *json, size_t *size)
{
    size_t from = i * (size_t)oversize_chunk_size, left = o->frame.len - from;
    size_t n = left < oversize_chunk_size ? left : oversize_chunk_size;
    unsigned char header[CHUNK_HEADER] = {FORMAT_VERSION, 0};
    _cleanup_buf_ struct buf value = {0};
    int rc = oversize_prefix(key, chunk_key);

    if (rc < 0)
        return rc;
    hex_append(chunk_key, o->version, DIGEST_SIZE);
    buf_printf(chunk_key, "~%04u", i);
    put_be(header + 2, i, 2);
    put_be(header + 4, o->count, 2);
    memcpy(header + 6, o->version, DIGEST_SIZE);
    buf_append(&value, header, sizeof header);
    buf_append(&value, o->frame.data + from, n);
    if (!buf_ok(chunk_key) || !buf_ok(&value))
        return -ENOMEM;
    if ((rc = item_key_json(s, chunk_key->data, chunk_key->len, json)) < 0)
        return rc;
    json->len--; /* the brace */
    buf_append(json, o->shared.data, o->shared.len);
    buf_lit(json, ",\"" OVERSIZE_CHUNK "\":{\"B\":\"");
    base64_append(json, value.data, value.len);
    buf_lit(json, "\"}}");
    *size = key_values_size(s, chunk_key) + o->shared_size + sizeof OVERSIZE_CHUNK - 1 + value.len;
    for (size_t k = 0; k < s->count; k++)
        *size += strlen(s->parts[k].name);
    return buf_ok(json) ? 0 : -ENOMEM;
}
