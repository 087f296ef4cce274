/* How a block's bytes are laid out: for the two files that read and write them. */
#ifndef SYNCD_STATE_DIGEST_LAYOUT_H
#define SYNCD_STATE_DIGEST_LAYOUT_H

#include "state/digest_block.h"

enum { VARINT_MAX = 5, ROOM_FIRST = 56 };

/* Of an entry: where its parts are. */
struct entry {
    const uint8_t *rest, *digest, *row_key;
    size_t rest_len, row_key_len;
    uint32_t table;
    bool has_row_key;
    const uint8_t *end;
};

static inline const uint8_t *bytes_of(const struct digest_block *b)
{
    return (const uint8_t *)b->bytes.data;
}

/* The place behind it; NULL when it is cut off or too large. */
static inline const uint8_t *get_varint(const uint8_t *p, const uint8_t *end, uint32_t *out)
{
    if (p < end && *p < 0x80) { /* what nearly all are */
        *out = *p;
        return p + 1;
    }
    uint64_t v = 0;
    for (unsigned shift = 0; p < end && shift < VARINT_MAX * 7; shift += 7) {
        v |= (uint64_t)(*p & 0x7f) << shift;
        if (!(*p++ & 0x80)) {
            *out = (uint32_t)v;
            return v <= UINT32_MAX ? p : NULL;
        }
    }
    return NULL;
}

/* The place behind the entry, NULL when it is not whole. */
static inline const uint8_t *read_entry(const uint8_t *p, const uint8_t *end, struct entry *out)
{
    uint32_t head, len = 0;

    if (!(p = get_varint(p, end, &head)) || (size_t)(end - p) < (head >> 1) + DIGEST_BYTES)
        return NULL;
    out->rest = p;
    out->rest_len = head >> 1;
    out->digest = p + out->rest_len;
    out->has_row_key = head & 1;
    if (!(p = get_varint(out->digest + DIGEST_BYTES, end, &out->table)))
        return NULL;
    if (out->has_row_key && !(p = get_varint(p, end, &len)))
        return NULL;
    if ((size_t)(end - p) < len)
        return NULL;
    out->row_key = p;
    out->row_key_len = len;
    out->end = p + len;
    return out->end;
}

/* Where the rest of a key is, which is all that most need. */
static inline const uint8_t *rest_at(const struct digest_block *b, size_t at, size_t *len)
{
    const uint8_t *p = bytes_of(b) + b->at[at];
    uint32_t head = *p & 0x7f;

    for (unsigned shift = 7; *p++ & 0x80; shift += 7)
        head |= (uint32_t)(*p & 0x7f) << shift;
    *len = head >> 1;
    return p;
}

static inline void entry_at(const struct digest_block *b, size_t at, struct entry *out)
{
    const uint8_t *p = bytes_of(b);

    read_entry(p + b->at[at], p + b->bytes.len, out);
}

/* Room for so many entries' places, and so many more bytes. */
bool digest_block_grow(struct digest_block *b, size_t count, size_t bytes);

static inline bool digest_block_have_room(struct digest_block *b, size_t count, size_t bytes)
{
    return (count <= b->room && bytes < b->bytes.cap - b->bytes.len) ||
           digest_block_grow(b, count, bytes);
}

#endif
