#include "state/digest_layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void digest_block_free(struct digest_block *b)
{
    buf_free(&b->bytes);
    free(b->at);
    *b = (struct digest_block){0};
}

bool digest_block_grow(struct digest_block *b, size_t count, size_t bytes)
{
    if (count > b->room) {
        size_t room = b->room ? b->room * 2 : ROOM_FIRST;
        while (room < count)
            room *= 2;
        uint32_t *more = realloc(b->at, room * sizeof *more);
        if (!more)
            return false;
        b->at = more;
        b->room = room;
    }
    return buf_reserve(&b->bytes, bytes);
}

/* The same as digest_key_head(), of an entry's rest, behind which there is a digest to read on. */
static inline uint64_t head_of(const uint8_t *p, size_t n)
{
    uint64_t v;

    memcpy(&v, p, sizeof v);
    v = be64toh(v);
    return n >= sizeof v ? v : n ? v & ~(UINT64_MAX >> (8 * n)) : 0;
}

/* A key's rest that is looked for. */
struct wanted {
    const uint8_t *rest;
    size_t len;
    uint64_t head;
};

/* <0, 0, >0: the entry's rest (behind which there is a digest) against that. */
static inline int order(const uint8_t *rest, size_t n, const struct wanted *w)
{
    uint64_t head = head_of(rest, n);

    if (head != w->head)
        return head < w->head ? -1 : 1;
    return digest_key_order(rest, n, w->rest, w->len);
}

/* The place behind the entry at `p`, NULL when it is not whole; its rest. */
static inline const uint8_t *pass_entry(const uint8_t *p, const uint8_t *end, const uint8_t **rest,
                                        size_t *len)
{
    struct entry e;

    /* What nearly all are: a short rest, a low table, and no row key. */
    if (end - p > UINT8_MAX && *p < 0x80 && !(*p & 1) && p[1 + (*p >> 1) + DIGEST_BYTES] < 0x80) {
        *rest = p + 1;
        *len = *p >> 1;
        return p + 1 + *len + DIGEST_BYTES + 1;
    }
    p = read_entry(p, end, &e);
    *rest = e.rest;
    *len = e.rest_len;
    return p;
}

/* The entries' places; false when they are not whole, or not in their order. */
static bool find_entries(struct digest_block *b, const uint8_t *p, const uint8_t *end)
{
    const uint8_t *bytes = bytes_of(b), *rest, *last = NULL;
    size_t count = 0, room = b->room, len, last_len = 0;
    uint32_t *at = b->at;
    uint64_t last_head = 0;

    for (; p < end && count < room; count++) {
        at[count] = (uint32_t)(p - bytes);
        if (!(p = pass_entry(p, end, &rest, &len)))
            return false;
        uint64_t head = head_of(rest, len);
        if (count && (last_head > head ||
                      (last_head == head && digest_key_order(last, last_len, rest, len) >= 0)))
            return false;
        last = rest;
        last_len = len;
        last_head = head;
    }
    b->count = count;
    return p == end;
}

int digest_block_read(struct digest_block *b, const void *bytes, size_t n, int64_t count)
{
    uint32_t prefix_len;

    b->count = 0;
    buf_clear(&b->bytes);
    /* An entry has a byte for the rest's length, and one for the table, at least. */
    bool whole = n <= INT32_MAX && count > 0 && (uint64_t)count <= n / (DIGEST_BYTES + 2);
    if (whole && !digest_block_have_room(b, (size_t)count, n)) {
        digest_block_free(b);
        return -ENOMEM;
    }
    if (whole) {
        buf_append(&b->bytes, bytes, n);
        const uint8_t *p = bytes_of(b), *end = p + n;
        whole = (p = get_varint(p, end, &prefix_len)) && (size_t)(end - p) >= prefix_len;
        if (whole) {
            b->prefix = (size_t)(p - bytes_of(b));
            b->prefix_len = prefix_len;
            whole = find_entries(b, p + prefix_len, end) && b->count == (size_t)count;
        }
    }
    if (whole)
        return 0;
    digest_block_free(b);
    return -EBADMSG;
}

int digest_block_copy(struct digest_block *b, const struct digest_block *from)
{
    buf_clear(&b->bytes);
    if (!digest_block_have_room(b, from->count, from->bytes.len))
        return -ENOMEM;
    buf_append(&b->bytes, from->bytes.data, from->bytes.len);
    if (from->count)
        memcpy(b->at, from->at, from->count * sizeof *b->at);
    b->count = from->count;
    b->prefix = from->prefix;
    b->prefix_len = from->prefix_len;
    return 0;
}

int digest_block_compare(const struct digest_block *b, size_t at, const void *key, size_t n)
{
    const uint8_t *p = key, *prefix = bytes_of(b) + b->prefix;
    size_t less = n < b->prefix_len ? n : b->prefix_len, rest_len;
    int c = less ? memcmp(prefix, p, less) : 0;

    if (c || n < b->prefix_len)
        return c ? c : 1;
    const uint8_t *rest = rest_at(b, at, &rest_len);
    return digest_key_order(rest, rest_len, p + less, n - less);
}

/* Among the entries [from, to). */
static bool search(const struct digest_block *b, const struct wanted *w, size_t from, size_t to,
                   size_t *at)
{
    size_t rest_len;

    while (from < to) {
        size_t middle = (from + to) / 2;
        const uint8_t *rest = rest_at(b, middle, &rest_len);
        int c = order(rest, rest_len, w);
        if (c == 0) {
            *at = middle;
            return true;
        }
        if (c < 0)
            from = middle + 1;
        else
            to = middle;
    }
    *at = from;
    return false;
}

bool digest_block_find(const struct digest_block *b, const void *key, size_t n, size_t *at)
{
    size_t guess = *at, rest_len;

    *at = 0;
    if (b->count == 0)
        return false;
    size_t less = n < b->prefix_len ? n : b->prefix_len;
    int c = less ? memcmp(bytes_of(b) + b->prefix, key, less) : 0;
    if (c || n < b->prefix_len) {
        *at = c < 0 ? b->count : 0; /* above all of them, or below */
        return false;
    }
    const uint8_t *rest_of_key = (const uint8_t *)key + less;
    const struct wanted w = {rest_of_key, n - less, digest_key_head(rest_of_key, n - less)};
    if (guess > b->count)
        guess = b->count;
    if (guess > 0) {
        const uint8_t *rest = rest_at(b, guess - 1, &rest_len);
        if ((c = order(rest, rest_len, &w)) >= 0) {
            *at = guess - 1;
            return c == 0 || search(b, &w, 0, guess - 1, at);
        }
    }
    if (guess < b->count) {
        const uint8_t *rest = rest_at(b, guess, &rest_len);
        if ((c = order(rest, rest_len, &w)) <= 0) {
            *at = guess;
            return c == 0 || search(b, &w, guess + 1, b->count, at);
        }
    }
    *at = guess;
    return false;
}

void digest_block_fact(const struct digest_block *b, size_t at, struct digest_fact *out)
{
    struct entry e = {0};

    entry_at(b, at, &e);
    *out = (struct digest_fact){.digest = e.digest,
                                .table = e.table,
                                .row_key = e.has_row_key ? e.row_key : NULL,
                                .row_key_len = e.row_key_len};
}

void digest_block_key(const struct digest_block *b, size_t at, struct buf *key)
{
    size_t rest_len;
    const uint8_t *rest = rest_at(b, at, &rest_len);

    buf_clear(key);
    buf_append(key, bytes_of(b) + b->prefix, b->prefix_len);
    buf_append(key, rest, rest_len);
}
