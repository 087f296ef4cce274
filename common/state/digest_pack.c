/* Blocks changed, packed anew and put together. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "state/digest_layout.h"

static size_t put_varint(uint8_t *to, uint32_t v)
{
    size_t n = 0;

    for (; v >= 0x80; v >>= 7)
        to[n++] = (uint8_t)(v | 0x80);
    to[n++] = (uint8_t)v;
    return n;
}

static inline size_t varint_size(size_t v)
{
    size_t n = 1;

    for (; v >= 0x80; v >>= 7)
        n++;
    return n;
}

static size_t entry_size(size_t rest_len, const struct digest_fact *f)
{
    size_t n = varint_size(rest_len << 1) + rest_len + DIGEST_BYTES + varint_size(f->table);

    return f->row_key ? n + varint_size(f->row_key_len) + f->row_key_len : n;
}

static void write_entry(uint8_t *p, const void *rest, size_t n, const struct digest_fact *f)
{
    p += put_varint(p, (uint32_t)(n << 1 | (f->row_key != NULL)));
    if (n)
        memcpy(p, rest, n);
    p += n;
    memcpy(p, f->digest, DIGEST_BYTES);
    p += DIGEST_BYTES;
    p += put_varint(p, f->table);
    if (!f->row_key)
        return;
    p += put_varint(p, (uint32_t)f->row_key_len);
    if (f->row_key_len)
        memcpy(p, f->row_key, f->row_key_len);
}

/* Room for an entry of that size behind all others, whose bytes the caller writes. */
static uint8_t *append(struct digest_block *b, size_t size)
{
    if (!digest_block_have_room(b, b->count + 1, size))
        return NULL;
    uint8_t *p = (uint8_t *)b->bytes.data + b->bytes.len;
    b->at[b->count++] = (uint32_t)b->bytes.len;
    b->bytes.len += size;
    return p;
}

static int set_prefix(struct digest_block *b, const void *a, size_t an, const void *more, size_t mn)
{
    uint8_t varint[VARINT_MAX];
    size_t n = put_varint(varint, (uint32_t)(an + mn));

    buf_append(&b->bytes, varint, n);
    buf_append(&b->bytes, a, an);
    buf_append(&b->bytes, more, mn);
    b->prefix = n;
    b->prefix_len = an + mn;
    return buf_ok(&b->bytes) ? 0 : -ENOMEM;
}

static size_t common(const uint8_t *a, size_t an, const uint8_t *b, size_t bn)
{
    size_t n = 0;

    while (n < an && n < bn && a[n] == b[n])
        n++;
    return n;
}

static size_t end_of(const struct digest_block *b, size_t at)
{
    return at + 1 < b->count ? b->at[at + 1] : b->bytes.len;
}

/* Entries [from, to) of `src` behind those of `b`, whose prefix is longer or shorter: all that
 * changes is how much of the key is the rest. */
static int append_all(struct digest_block *b, const struct digest_block *src, size_t from,
                      size_t to)
{
    const uint8_t *more = bytes_of(src) + src->prefix + b->prefix_len;
    size_t n = src->prefix_len > b->prefix_len ? src->prefix_len - b->prefix_len : 0;
    size_t cut = b->prefix_len > src->prefix_len ? b->prefix_len - src->prefix_len : 0;

    for (size_t i = from; i < to; i++) {
        const uint8_t *p = bytes_of(src) + src->at[i], *end = bytes_of(src) + end_of(src, i);
        uint32_t head = 0;
        p = get_varint(p, end, &head) + cut;
        head += (uint32_t)(n << 1) - (uint32_t)(cut << 1);
        uint8_t *out = append(b, varint_size(head) + n + (size_t)(end - p));
        if (!out)
            return -ENOMEM;
        out += put_varint(out, head);
        if (n)
            memcpy(out, more, n);
        memcpy(out + n, p, (size_t)(end - p));
    }
    return 0;
}

/* With the longest prefix they have. */
int digest_block_pack(struct digest_block *b, const struct digest_block *src, size_t from,
                      size_t to)
{
    size_t first_len, last_len;
    const uint8_t *first = rest_at(src, from, &first_len);
    const uint8_t *last = rest_at(src, to - 1, &last_len);
    size_t size = end_of(src, to - 1) - src->at[from];

    if (!digest_block_have_room(b, to - from, src->prefix_len + VARINT_MAX + first_len + size))
        return -ENOMEM;
    int rc = set_prefix(b, bytes_of(src) + src->prefix, src->prefix_len, first,
                        common(first, first_len, last, last_len));
    return rc < 0 ? rc : append_all(b, src, from, to);
}

static void replace(struct digest_block *b, struct digest_block *by)
{
    digest_block_free(b);
    *b = *by;
    *by = (struct digest_block){0};
}

static int shorten_prefix(struct digest_block *b, size_t len)
{
    struct digest_block other = {0};
    size_t longer = (b->prefix_len - len) * b->count;
    int rc = buf_reserve(&other.bytes, b->bytes.len + longer + b->count)
                 ? set_prefix(&other, bytes_of(b) + b->prefix, len, NULL, 0)
                 : -ENOMEM;

    if (rc == 0)
        rc = append_all(&other, b, 0, b->count);
    if (rc == 0)
        replace(b, &other);
    digest_block_free(&other);
    return rc;
}

/* The bytes from `from` on, which belong to the entries from `at` on, move by so many. */
static void move_tail(struct digest_block *b, size_t at, size_t from, ptrdiff_t by)
{
    char *tail = b->bytes.data + from;

    memmove(tail + by, tail, b->bytes.len - from);
    b->bytes.len = (size_t)((ptrdiff_t)b->bytes.len + by);
    for (size_t i = at; i < b->count; i++)
        b->at[i] = (uint32_t)((ptrdiff_t)b->at[i] + by);
}

int digest_block_insert(struct digest_block *b, size_t at, const void *key, size_t n,
                        const struct digest_fact *f)
{
    int rc = 0;

    if (b->count == 0) {
        buf_clear(&b->bytes);
        if ((rc = set_prefix(b, key, n, NULL, 0)) < 0)
            return rc;
    } else if (n < b->prefix_len || memcmp(bytes_of(b) + b->prefix, key, b->prefix_len) != 0) {
        rc = shorten_prefix(b, common(bytes_of(b) + b->prefix, b->prefix_len, key, n));
        if (rc < 0)
            return rc;
    }
    const char *rest = (const char *)key + b->prefix_len;
    size_t left = n - b->prefix_len, size = entry_size(left, f);
    if (at == b->count) {
        uint8_t *p = append(b, size);
        if (!p)
            return -ENOMEM;
        write_entry(p, rest, left, f);
        return 0;
    }
    size_t where = b->at[at];
    if (!digest_block_have_room(b, b->count + 1, size))
        return -ENOMEM;
    move_tail(b, at, where, (ptrdiff_t)size);
    memmove(b->at + at + 1, b->at + at, (b->count - at) * sizeof *b->at);
    b->at[at] = (uint32_t)where;
    b->count++;
    write_entry((uint8_t *)b->bytes.data + where, rest, left, f);
    return 0;
}

void digest_block_remove(struct digest_block *b, size_t at)
{
    size_t where = b->at[at], end = end_of(b, at);

    memmove(b->at + at, b->at + at + 1, (b->count - at - 1) * sizeof *b->at);
    b->count--;
    move_tail(b, at, end, (ptrdiff_t)where - (ptrdiff_t)end);
}

static bool same_row_key(const struct entry *e, const struct digest_fact *f)
{
    if (!f->row_key)
        return !e->has_row_key;
    return e->has_row_key && e->row_key_len == f->row_key_len &&
           (f->row_key_len == 0 || memcmp(e->row_key, f->row_key, f->row_key_len) == 0);
}

int digest_block_update(struct digest_block *b, size_t at, const void *key, size_t n,
                        const struct digest_fact *f)
{
    struct entry e = {0};

    entry_at(b, at, &e);
    if (e.table != f->table || !same_row_key(&e, f)) {
        digest_block_remove(b, at);
        int rc = digest_block_insert(b, at, key, n, f);
        return rc < 0 ? rc : 1;
    }
    if (memcmp(e.digest, f->digest, DIGEST_BYTES) == 0)
        return 0;
    memcpy(b->bytes.data + (e.digest - bytes_of(b)), f->digest, DIGEST_BYTES);
    return 1;
}

bool digest_block_doubt(struct digest_block *b, size_t at)
{
    static const uint8_t unknown[DIGEST_BYTES];
    struct entry e = {0};

    entry_at(b, at, &e);
    if (memcmp(e.digest, unknown, DIGEST_BYTES) == 0)
        return false;
    memcpy(b->bytes.data + (e.digest - bytes_of(b)), unknown, DIGEST_BYTES);
    return true;
}

/* The bytes of [from, to) with the prefix that they have by themselves, or a few more. */
static size_t packed_size(const struct digest_block *b, size_t from, size_t to)
{
    size_t first_len, last_len;
    const uint8_t *first = rest_at(b, from, &first_len);
    const uint8_t *last = rest_at(b, to - 1, &last_len);
    size_t more = common(first, first_len, last, last_len);

    return VARINT_MAX + b->prefix_len + more + end_of(b, to - 1) - b->at[from] - more * (to - from);
}

size_t digest_block_fit(const struct digest_block *b, size_t from, size_t bytes)
{
    size_t fits = from + 1, to = b->count + 1;

    if (packed_size(b, from, b->count) <= bytes)
        return b->count;
    while (fits + 1 < to) {
        size_t middle = (fits + to) / 2;
        if (packed_size(b, from, middle) <= bytes)
            fits = middle;
        else
            to = middle;
    }
    return fits;
}

int digest_block_join(struct digest_block *b, const struct digest_block *right)
{
    size_t same = common(bytes_of(b) + b->prefix, b->prefix_len, bytes_of(right) + right->prefix,
                         right->prefix_len);
    int rc = same < b->prefix_len ? shorten_prefix(b, same) : 0;

    return rc < 0 ? rc : append_all(b, right, 0, right->count);
}

int digest_block_border(const struct digest_block *left, const struct digest_block *right,
                        struct buf *border)
{
    _cleanup_buf_ struct buf below = {0}, above = {0};

    digest_block_key(left, left->count - 1, &below);
    digest_block_key(right, 0, &above);
    if (!buf_ok(&below) || !buf_ok(&above))
        return -ENOMEM;
    size_t same =
        common((const uint8_t *)below.data, below.len, (const uint8_t *)above.data, above.len);
    buf_append(border, above.data, same + 1);
    return buf_ok(border) ? 0 : -ENOMEM;
}
