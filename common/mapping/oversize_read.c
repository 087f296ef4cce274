/* The way back: items of DynamoDB put together again. */
#include "mapping/oversize.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <zstd.h>

#include "base/text.h"
#include "mapping/oversize_format.h"

/* --- what an item is -------------------------------------------------------------------------- */

/* The bytes of a B attribute. 1, 0 when it has no such attribute, -EINVAL when it is another. */
static int binary_of(const json_t *item, const char *name, struct buf *out)
{
    const json_t *attribute = json_object_get(item, name), *b = json_object_get(attribute, "B");

    if (!attribute)
        return 0;
    if (!json_is_string(b) || base64_decode(out, json_string_value(b), json_string_length(b)) < 0)
        return -EINVAL;
    return buf_ok(out) ? 1 : -ENOMEM;
}

/* An honest frame is hardly larger than its text; and of a text that is too long nothing is ours.
 */
static bool is_sane(const struct oversize_info *i)
{
    return i->text_len <= OVERSIZE_MAX_TEXT &&
           i->frame_len <= ZSTD_COMPRESSBOUND(OVERSIZE_MAX_TEXT) && i->frame_len > 0 &&
           i->count <= OVERSIZE_MAX_CHUNKS;
}

static void look_at_packed(const struct buf *b, struct oversize_info *out)
{
    const unsigned char *p = (const unsigned char *)b->data;

    out->kind = OVERSIZE_BROKEN;
    if (b->len < PACKED_HEADER || p[0] != FORMAT_VERSION || p[1] != FORMAT_ZSTD)
        return;
    out->count = (unsigned)get_be(p + 2, 2);
    out->text_len = get_be(p + 4, 8);
    out->frame_len = get_be(p + 12, 8);
    memcpy(out->version, p + 20, DIGEST_SIZE);
    if (is_sane(out) && b->len - PACKED_HEADER == (out->count ? 0 : out->frame_len))
        out->kind = out->count ? OVERSIZE_HEAD : OVERSIZE_WHOLE;
}

static void look_at_chunk(const struct buf *b, struct oversize_info *out)
{
    const unsigned char *p = (const unsigned char *)b->data;

    out->kind = OVERSIZE_BROKEN;
    if (b->len <= CHUNK_HEADER || p[0] != FORMAT_VERSION)
        return;
    out->index = (unsigned)get_be(p + 2, 2);
    out->count = (unsigned)get_be(p + 4, 2);
    memcpy(out->version, p + 6, DIGEST_SIZE);
    if (out->index < out->count)
        out->kind = OVERSIZE_PIECE;
}

/* With the bytes of the attribute that says it. */
static void look(const json_t *item, struct oversize_info *out, struct buf *bytes)
{
    *out = (struct oversize_info){.kind = OVERSIZE_PLAIN};
    int rc = binary_of(item, OVERSIZE_PACKED, bytes);
    if (rc > 0)
        look_at_packed(bytes, out);
    else if (rc == 0 && (rc = binary_of(item, OVERSIZE_CHUNK, bytes)) > 0)
        look_at_chunk(bytes, out);
    if (rc < 0)
        out->kind = OVERSIZE_BROKEN;
}

void oversize_look(const json_t *item, struct oversize_info *out)
{
    _cleanup_buf_ struct buf bytes = {0};

    look(item, out, &bytes);
}

/* --- keys ------------------------------------------------------------------------------------- */

/* The key attributes of an item, the sort key's bytes (of its text, or of its base64) replaced. */
static json_t *key_with(const struct key_schema *s, const json_t *item, const struct buf *sort)
{
    json_t *key = json_object();

    for (size_t i = 0; key && i < s->count; i++) {
        const char type[2] = {(char)s->parts[i].type, '\0'};
        json_t *v = json_object_get(json_object_get(item, s->parts[i].name), type);
        json_t *made = i == 0 ? json_incref(v) : json_stringn(sort->data, sort->len);
        if (!json_is_string(made) ||
            json_object_set_new(key, s->parts[i].name, json_pack("{s:o}", type, made)) < 0) {
            json_decref(key);
            return NULL;
        }
    }
    return key;
}

/* The sort key's bytes. 0 or negative. */
static int sort_bytes(const struct key_schema *s, const json_t *item, struct buf *out)
{
    if (s->count != 2 || s->parts[1].type == ATTR_N)
        return -EINVAL;
    const json_t *a = json_object_get(item, s->parts[1].name);
    if (s->parts[1].type == ATTR_B)
        return binary_of(item, s->parts[1].name, out) == 1 ? 0 : -EINVAL;
    const json_t *v = json_object_get(a, "S");
    if (!json_is_string(v))
        return -EINVAL;
    buf_append(out, json_string_value(v), json_string_length(v));
    return buf_ok(out) ? 0 : -ENOMEM;
}

static json_t *key_of(const struct key_schema *s, const json_t *item, const struct buf *sort)
{
    _cleanup_buf_ struct buf text = {0};

    if (s->parts[1].type != ATTR_B)
        return key_with(s, item, sort);
    base64_append(&text, sort->data, sort->len);
    return buf_ok(&text) ? key_with(s, item, &text) : NULL;
}

json_t *oversize_chunk_key(const struct key_schema *s, const json_t *head,
                           const struct oversize_info *info, unsigned i)
{
    _cleanup_buf_ struct buf sort = {0};

    if (sort_bytes(s, head, &sort) < 0)
        return NULL;
    buf_lit(&sort, SUFFIX_MARK);
    hex_append(&sort, info->version, DIGEST_SIZE);
    buf_printf(&sort, "~%04u", i);
    return buf_ok(&sort) ? key_of(s, head, &sort) : NULL;
}

json_t *oversize_head_key(const struct key_schema *s, const json_t *chunk)
{
    _cleanup_buf_ struct buf sort = {0};

    if (sort_bytes(s, chunk, &sort) < 0 || !oversize_is_reserved(sort.data, sort.len))
        return NULL;
    sort.len -= OVERSIZE_SUFFIX;
    return key_of(s, chunk, &sort);
}

/* --- put together ----------------------------------------------------------------------------- */

/* The piece of that number among the chunks, appended to the frame. */
static int append_piece(const struct oversize_info *head, json_t *const *chunks, size_t n,
                        unsigned index, struct buf *frame, struct err *err)
{
    bool other = false;

    /* Most callers have them in order. */
    for (size_t k = 0; k < n; k++) {
        _cleanup_buf_ struct buf bytes = {0};
        struct oversize_info c;
        json_t *chunk = chunks[(index + k) % n];
        if (!chunk)
            continue;
        look(chunk, &c, &bytes);
        if (c.kind != OVERSIZE_PIECE || c.index != index)
            continue;
        if (c.count != head->count || memcmp(c.version, head->version, DIGEST_SIZE) != 0) {
            other = true;
            continue;
        }
        buf_append(frame, bytes.data + CHUNK_HEADER, bytes.len - CHUNK_HEADER);
        return buf_ok(frame) ? 0 : -ENOMEM;
    }
    return err_set(err, -EAGAIN, "chunk %u of %u is %s", index + 1, head->count,
                   other ? "of another version of the row" : "missing");
}

static int decompress(const struct oversize_info *head, const struct buf *frame, struct buf *text,
                      struct err *err)
{
    uint8_t version[DIGEST_SIZE];

    if (frame->len != head->frame_len)
        return err_set(err, -EBADMSG, "its compressed bytes are %zu, and ought to be %llu",
                       frame->len, (unsigned long long)head->frame_len);
    if (item_digest(frame->data, frame->len, version) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    if (memcmp(version, head->version, DIGEST_SIZE) != 0)
        return err_set(err, -EBADMSG, "its compressed bytes are not those that were written");
    if (!buf_reserve(text, head->text_len + 1))
        return err_set(err, -ENOMEM, "out of memory");
    size_t n = ZSTD_decompress(text->data, head->text_len, frame->data, frame->len);
    if (ZSTD_isError(n) || n != head->text_len)
        return err_set(err, -EBADMSG, "its compressed bytes cannot be decompressed: %s",
                       ZSTD_isError(n) ? ZSTD_getErrorName(n) : "the length differs");
    text->len = n;
    text->data[n] = '\0';
    return 0;
}

static int parse(const struct buf *text, json_t **item, struct err *err)
{
    json_t *found =
        json_loadb(text->data, text->len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);

    if (json_is_object(found)) {
        *item = found;
        return 0;
    }
    json_decref(found);
    return err_set(err, -EBADMSG, "what was compressed is no item");
}

int oversize_join(const json_t *head, json_t *const *chunks, size_t n, json_t **item,
                  struct err *err)
{
    _cleanup_buf_ struct buf bytes = {0}, frame = {0}, text = {0};
    struct oversize_info info;
    int rc = 0;

    look(head, &info, &bytes);
    switch (info.kind) {
    case OVERSIZE_PLAIN:
        *item = json_incref((json_t *)head);
        return 0;
    case OVERSIZE_PIECE:
        return err_set(err, -EBADMSG, "it is a chunk of another item");
    case OVERSIZE_BROKEN:
        return err_set(err, -EBADMSG, "its attribute %s cannot be read by this version",
                       json_object_get(head, OVERSIZE_PACKED) ? OVERSIZE_PACKED : OVERSIZE_CHUNK);
    case OVERSIZE_WHOLE:
        buf_append(&frame, bytes.data + PACKED_HEADER, bytes.len - PACKED_HEADER);
        break;
    case OVERSIZE_HEAD:
        for (unsigned i = 0; rc == 0 && i < info.count; i++)
            rc = append_piece(&info, chunks, n, i, &frame, err);
        break;
    }
    if (rc == 0 && !buf_ok(&frame))
        rc = err_set(err, -ENOMEM, "out of memory");
    if (rc == 0)
        rc = decompress(&info, &frame, &text, err);
    return rc < 0 ? rc : parse(&text, item, err);
}
