/* A run of digests, packed: some neighbouring keys of one target in memcmp order, each with what is
 * known of its item. What all keys begin with is there once. Pure: bytes in memory, no SQLite.
 *
 * The bytes are a varint (LEB128, seven bits a byte, the lowest first) of the common prefix'
 * length, the prefix, and then each entry: a varint of twice the length of the key's rest, plus one
 * where a row key is kept; the rest; the digest; a varint of the table's id; the row key behind a
 * varint of its length. How many entries there are is kept beside the bytes.
 *
 * A zero-initialised block is empty. Functions return 0, -ENOMEM (the block then holds nothing that
 * may be relied on, and is only to be freed) or what they say. */
#ifndef SYNCD_STATE_DIGEST_BLOCK_H
#define SYNCD_STATE_DIGEST_BLOCK_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"

enum {
    DIGEST_BYTES = 16,
    /* What a block of more than one entry has at most in the file: with a first key of up to
     * DIGEST_KEY_ROOM bytes its row fills a page of 4,096 (a table's leaf holds rows of up to 4,061
     * bytes without another page: https://www.sqlite.org/fileformat2.html, 1.6). */
    DIGEST_BLOCK_FULL = 4000,
    DIGEST_KEY_ROOM = 40,
};

struct digest_block {
    struct buf bytes;
    uint32_t *at; /* where each entry begins */
    size_t count, room;
    size_t prefix, prefix_len; /* where in the bytes */
};

/* Everything but the key. `row_key` NULL: none is kept. Points into a block where one gave it, and
 * then holds until the block is changed. */
struct digest_fact {
    const uint8_t *digest;
    uint32_t table;
    const void *row_key;
    size_t row_key_len;
};

/* As SQLite orders blobs: <0, 0, >0. */
static inline int digest_key_order(const void *a, size_t an, const void *b, size_t bn)
{
    size_t less = an < bn ? an : bn;
    int c = less ? memcmp(a, b, less) : 0;

    return c ? c : (an > bn) - (an < bn);
}

/* A key's first eight bytes as a number, zeros where there are fewer: keys sort as these do where
 * they differ. */
static inline uint64_t digest_key_head(const void *key, size_t n)
{
    const uint8_t *p = key;
    uint64_t v = 0;

    if (n >= sizeof v) {
        memcpy(&v, p, sizeof v);
        return be64toh(v);
    }
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)p[i] << (56 - 8 * i);
    return v;
}

void digest_block_free(struct digest_block *b);
/* Bytes that were kept, of `count` entries. -EBADMSG when they are not those of a block; the block
 * is empty then. */
int digest_block_read(struct digest_block *b, const void *bytes, size_t n, int64_t count);
int digest_block_copy(struct digest_block *b, const struct digest_block *from);

/* Is the key there? *at is its place, or that where it would be put; before, a guess of it. */
bool digest_block_find(const struct digest_block *b, const void *key, size_t n, size_t *at);
void digest_block_fact(const struct digest_block *b, size_t at, struct digest_fact *out);
/* The whole key, in place of what `key` holds. */
void digest_block_key(const struct digest_block *b, size_t at, struct buf *key);
/* <0, 0, >0: the key at that place against this one. */
int digest_block_compare(const struct digest_block *b, size_t at, const void *key, size_t n);

/* A new entry at the place that digest_block_find() named. */
int digest_block_insert(struct digest_block *b, size_t at, const void *key, size_t n,
                        const struct digest_fact *f);
/* Other facts of the key that is there. 1; 0 when they are the same. */
int digest_block_update(struct digest_block *b, size_t at, const void *key, size_t n,
                        const struct digest_fact *f);
/* Its digest alone becomes zeros. true when it was something else. */
bool digest_block_doubt(struct digest_block *b, size_t at);
void digest_block_remove(struct digest_block *b, size_t at);

/* Entries [from, to) of another block, in one that is empty. */
int digest_block_pack(struct digest_block *b, const struct digest_block *src, size_t from,
                      size_t to);
/* Of the entries from `from` on: up to which they would fit into so many bytes by themselves. At
 * least one. */
size_t digest_block_fit(const struct digest_block *b, size_t from, size_t bytes);
/* The shortest key above all of `left` and not above any of `right`: appended. */
int digest_block_border(const struct digest_block *left, const struct digest_block *right,
                        struct buf *border);
/* Those of `right`, all above, are taken in; `right` stays as it is. */
int digest_block_join(struct digest_block *b, const struct digest_block *right);

#endif
