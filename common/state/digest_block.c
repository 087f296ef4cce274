#include "state/digest_block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { VARINT_MAX = 5, ROOM_FIRST = 56 };

/* Of an entry: where its parts are. */
struct entry {
    const uint8_t *rest, *digest, *row_key;
    size_t rest_len, row_key_len;
    uint32_t table;
    bool has_row_key;
    const uint8_t *end;
};

void digest_block_free(struct digest_block *b)
{
    buf_free(&b->bytes);
    free(b->at);
    *b = (struct digest_block){0};
}

static const uint8_t *bytes_of(const struct digest_block *b)
{
    return (const uint8_t *)b->bytes.data;
}

/* --- packing ---------------------------------------------------------------------------------- */

static size_t put_varint(uint8_t *to, uint32_t v)
{
    size_t n = 0;

    for (; v >= 0x80; v >>= 7)
        to[n++] = (uint8_t)(v | 0x80);
    to[n++] = (uint8_t)v;
    return n;
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
    uint32_t head = 0;

    p = get_varint(p, p + VARINT_MAX, &head);
    *len = head >> 1;
    return p;
}

static void entry_at(const struct digest_block *b, size_t at, struct entry *out)
{
    const uint8_t *p = bytes_of(b);

    read_entry(p + b->at[at], p + b->bytes.len, out);
}

static bool have_room(struct digest_block *b, size_t count)
{
    if (count <= b->room)
        return true;
    size_t room = b->room ? b->room * 2 : ROOM_FIRST;
    while (room < count)
        room *= 2;
    uint32_t *more = realloc(b->at, room * sizeof *more);
    if (!more)
        return false;
    b->at = more;
    b->room = room;
    return true;
}

static size_t entry_size(size_t rest_len, const struct digest_fact *f)
{
    uint8_t varint[VARINT_MAX];
    size_t n = put_varint(varint, (uint32_t)(rest_len << 1)) + rest_len + DIGEST_BYTES +
               put_varint(varint, f->table);

    return f->row_key ? n + put_varint(varint, (uint32_t)f->row_key_len) + f->row_key_len : n;
}

/* The rest comes in two pieces: of a prefix that has become shorter, and what was the rest. */
static void write_entry(uint8_t *p, const void *a, size_t an, const void *rest, size_t rn,
                        const struct digest_fact *f)
{
    p += put_varint(p, (uint32_t)((an + rn) << 1 | (f->row_key != NULL)));
    if (an)
        memcpy(p, a, an);
    if (rn)
        memcpy(p + an, rest, rn);
    p += an + rn;
    memcpy(p, f->digest, DIGEST_BYTES);
    p += DIGEST_BYTES;
    p += put_varint(p, f->table);
    if (!f->row_key)
        return;
    p += put_varint(p, (uint32_t)f->row_key_len);
    if (f->row_key_len)
        memcpy(p, f->row_key, f->row_key_len);
}

/* Behind all others. */
static int append(struct digest_block *b, const void *a, size_t an, const void *rest, size_t rn,
                  const struct digest_fact *f)
{
    size_t size = entry_size(an + rn, f);

    if (!have_room(b, b->count + 1) || !buf_reserve(&b->bytes, size))
        return -ENOMEM;
    b->at[b->count++] = (uint32_t)b->bytes.len;
    write_entry((uint8_t *)b->bytes.data + b->bytes.len, a, an, rest, rn, f);
    b->bytes.len += size;
    return 0;
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

/* --- reading ---------------------------------------------------------------------------------- */

/* The entries' places; false when they are not whole, or not in their order. */
static bool find_entries(struct digest_block *b, const uint8_t *p, const uint8_t *end)
{
    struct entry last = {0}, e;

    for (size_t i = 0; i < b->room && p < end; i++, b->count++) {
        b->at[i] = (uint32_t)(p - bytes_of(b));
        if (!(p = read_entry(p, end, &e)) ||
            (i && digest_key_order(last.rest, last.rest_len, e.rest, e.rest_len) >= 0))
            return false;
        last = e;
    }
    return p == end;
}

int digest_block_read(struct digest_block *b, const void *bytes, size_t n, int64_t count)
{
    uint32_t prefix_len;

    digest_block_free(b);
    /* An entry has a byte for the rest's length, and one for the table, at least. */
    if (n > INT32_MAX || count <= 0 || (uint64_t)count > n / (DIGEST_BYTES + 2))
        return -EBADMSG;
    buf_append(&b->bytes, bytes, n);
    b->room = (size_t)count < ROOM_FIRST ? ROOM_FIRST : (size_t)count;
    b->at = malloc(b->room * sizeof *b->at);
    if (!b->at || !buf_ok(&b->bytes)) {
        digest_block_free(b);
        return -ENOMEM;
    }
    const uint8_t *p = bytes_of(b), *end = p + n;
    bool whole = (p = get_varint(p, end, &prefix_len)) && (size_t)(end - p) >= prefix_len;
    if (whole) {
        b->prefix = (size_t)(p - bytes_of(b));
        b->prefix_len = prefix_len;
        whole = find_entries(b, p + prefix_len, end);
    }
    if (!whole || b->count != (size_t)count) {
        digest_block_free(b);
        return -EBADMSG;
    }
    return 0;
}

int digest_block_copy(struct digest_block *b, const struct digest_block *from)
{
    buf_clear(&b->bytes);
    buf_append(&b->bytes, from->bytes.data, from->bytes.len);
    if (!buf_ok(&b->bytes) || !have_room(b, from->count))
        return -ENOMEM;
    if (from->count)
        memcpy(b->at, from->at, from->count * sizeof *b->at);
    b->count = from->count;
    b->prefix = from->prefix;
    b->prefix_len = from->prefix_len;
    return 0;
}

static size_t common(const uint8_t *a, size_t an, const uint8_t *b, size_t bn)
{
    size_t n = 0;

    while (n < an && n < bn && a[n] == b[n])
        n++;
    return n;
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

bool digest_block_find(const struct digest_block *b, const void *key, size_t n, size_t *at)
{
    size_t from = 0, to = b->count, rest_len;
    int c;

    if (to == 0) {
        *at = 0;
        return false;
    }
    /* Keys mostly come in their order. */
    if ((c = digest_block_compare(b, to - 1, key, n)) <= 0) {
        *at = c ? to : to - 1;
        return c == 0;
    }
    if (n < b->prefix_len || memcmp(bytes_of(b) + b->prefix, key, b->prefix_len) != 0)
        to = 0; /* below the last one, and not among them */
    const uint8_t *rest_of_key = (const uint8_t *)key + b->prefix_len;
    while (from < to) {
        size_t middle = (from + to) / 2;
        const uint8_t *rest = rest_at(b, middle, &rest_len);
        c = digest_key_order(rest, rest_len, rest_of_key, n - b->prefix_len);
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

static void fact_of(const struct entry *e, struct digest_fact *out)
{
    *out = (struct digest_fact){.digest = e->digest,
                                .table = e->table,
                                .row_key = e->has_row_key ? e->row_key : NULL,
                                .row_key_len = e->row_key_len};
}

void digest_block_fact(const struct digest_block *b, size_t at, struct digest_fact *out)
{
    struct entry e = {0};

    entry_at(b, at, &e);
    fact_of(&e, out);
}

void digest_block_key(const struct digest_block *b, size_t at, struct buf *key)
{
    size_t rest_len;
    const uint8_t *rest = rest_at(b, at, &rest_len);

    buf_clear(key);
    buf_append(key, bytes_of(b) + b->prefix, b->prefix_len);
    buf_append(key, rest, rest_len);
}

/* --- changing --------------------------------------------------------------------------------- */

/* Entries [from, to) of `src` behind those of `b`, whose prefix is the same or shorter. */
static int append_all(struct digest_block *b, const struct digest_block *src, size_t from,
                      size_t to)
{
    const uint8_t *left_out = bytes_of(src) + src->prefix + b->prefix_len;
    size_t n = src->prefix_len > b->prefix_len ? src->prefix_len - b->prefix_len : 0;
    size_t cut = b->prefix_len > src->prefix_len ? b->prefix_len - src->prefix_len : 0;
    int rc = 0;

    for (size_t i = from; rc == 0 && i < to; i++) {
        struct entry e = {0};
        struct digest_fact f;
        entry_at(src, i, &e);
        fact_of(&e, &f);
        rc = append(b, left_out, n, e.rest + cut, e.rest_len - cut, &f);
    }
    return rc;
}

/* With the longest prefix they have. */
int digest_block_pack(struct digest_block *b, const struct digest_block *src, size_t from,
                      size_t to)
{
    size_t first_len, last_len;
    const uint8_t *first = rest_at(src, from, &first_len);
    const uint8_t *last = rest_at(src, to - 1, &last_len);
    size_t size = (to < src->count ? src->at[to] : src->bytes.len) - src->at[from];

    if (!buf_reserve(&b->bytes, src->prefix_len + VARINT_MAX + first_len + size))
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
        rc = set_prefix(b, key, n, NULL, 0);
        return rc < 0 ? rc : append(b, NULL, 0, NULL, 0, f);
    }
    size_t same = common(bytes_of(b) + b->prefix, b->prefix_len, key, n);
    if (same < b->prefix_len && (rc = shorten_prefix(b, same)) < 0)
        return rc;
    const char *rest = (const char *)key + same;
    if (at == b->count)
        return append(b, NULL, 0, rest, n - same, f);

    size_t size = entry_size(n - same, f), where = b->at[at];
    if (!have_room(b, b->count + 1) || !buf_reserve(&b->bytes, size))
        return -ENOMEM;
    move_tail(b, at, where, (ptrdiff_t)size);
    memmove(b->at + at + 1, b->at + at, (b->count - at) * sizeof *b->at);
    b->at[at] = (uint32_t)where;
    b->count++;
    write_entry((uint8_t *)b->bytes.data + where, NULL, 0, rest, n - same, f);
    return 0;
}

void digest_block_remove(struct digest_block *b, size_t at)
{
    size_t where = b->at[at], end = at + 1 < b->count ? b->at[at + 1] : b->bytes.len;

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

size_t digest_block_fit(const struct digest_block *b, size_t from, size_t bytes)
{
    size_t first_len, last_len, to = from + 1;
    const uint8_t *first = rest_at(b, from, &first_len);

    for (; to < b->count; to++) {
        const uint8_t *last = rest_at(b, to, &last_len);
        size_t end = to + 1 < b->count ? b->at[to + 1] : b->bytes.len;
        size_t more = common(first, first_len, last, last_len);
        size_t prefix = b->prefix_len + more;
        if (end - b->at[from] + VARINT_MAX + prefix > bytes + more * (to + 1 - from))
            break;
    }
    return to;
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
