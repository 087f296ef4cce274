/* Blocks of digests. The first byte says which: bytes as a file may hold them, which are refused or
 * are a block that stands every change; or changes of a block, against a plain list of what is in
 * it. */
#include <stdlib.h>
#include <string.h>

#include "state/digest_block.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LISTED = 96 };

static void must(bool what)
{
    if (!what)
        abort();
}

/* Every entry is whole, in its order, and found. */
static void sound(const struct digest_block *b)
{
    struct buf key = {0}, last = {0};
    struct digest_fact f;

    for (size_t i = 0; i < b->count; i++) {
        size_t at = i / 2;
        digest_block_key(b, i, &key);
        digest_block_fact(b, i, &f);
        must(i == 0 || digest_key_order(last.data, last.len, key.data, key.len) < 0);
        must(digest_block_compare(b, i, key.data, key.len) == 0);
        must(digest_block_find(b, key.data, key.len, &at) && at == i);
        must(f.row_key || !f.row_key_len);
        buf_clear(&last);
        buf_append(&last, key.data, key.len);
    }
    buf_free(&key);
    buf_free(&last);
}

/* What is written is read again. */
static void read_again(const struct digest_block *b)
{
    struct digest_block again = {0};

    if (!b->count)
        return;
    must(digest_block_read(&again, b->bytes.data, b->bytes.len, (int64_t)b->count) == 0);
    must(again.count == b->count);
    must(memcmp(again.at, b->at, b->count * sizeof *b->at) == 0);
    digest_block_free(&again);
}

/* Cut up and put together, it is the same. */
static void cut_and_joined(const struct digest_block *b, size_t bytes)
{
    struct digest_block whole = {0};
    struct buf x = {0}, y = {0};

    for (size_t at = 0; at < b->count;) {
        struct digest_block piece = {0};
        size_t to = digest_block_fit(b, at, bytes);
        must(to > at && to <= b->count);
        must(digest_block_pack(&piece, b, at, to) == 0);
        must(piece.count == to - at && (piece.count == 1 || piece.bytes.len <= bytes));
        sound(&piece);
        if (at == 0) {
            must(digest_block_copy(&whole, &piece) == 0);
        } else {
            buf_clear(&x);
            must(digest_block_border(&whole, &piece, &x) == 0);
            must(digest_block_compare(&whole, at - 1, x.data, x.len) < 0);
            must(digest_block_compare(&piece, 0, x.data, x.len) >= 0);
            must(digest_block_join(&whole, &piece) == 0);
        }
        digest_block_free(&piece);
        at = to;
    }
    must(whole.count == b->count);
    for (size_t i = 0; i < b->count; i++) {
        struct digest_fact f, g;
        digest_block_key(b, i, &x);
        digest_block_key(&whole, i, &y);
        digest_block_fact(b, i, &f);
        digest_block_fact(&whole, i, &g);
        must(x.len == y.len && memcmp(x.data, y.data, x.len) == 0);
        must(memcmp(f.digest, g.digest, DIGEST_BYTES) == 0 && f.table == g.table);
        must(f.row_key_len == g.row_key_len && !f.row_key == !g.row_key);
    }
    digest_block_free(&whole);
    buf_free(&x);
    buf_free(&y);
}

struct listed {
    const uint8_t *key;
    size_t len;
    struct digest_fact fact;
};

/* One change: a byte of what to do, one of the key's length, the key, one of what is known of it.
 */
static size_t change(struct digest_block *b, struct listed *list, size_t count, const uint8_t *data,
                     size_t size, size_t *used)
{
    static const uint8_t digests[DIGEST_BYTES * 4] = {[DIGEST_BYTES] = 1, [DIGEST_BYTES * 2] = 2};
    size_t len = data[1] % 80 < size - 3 ? data[1] % 80 : size - 3, at = data[0], i = 0;
    const uint8_t *key = data + 3, what = data[2];
    struct digest_fact f = {.digest = digests + DIGEST_BYTES * (what % 3),
                            .table = what & 4 ? 70000 : 3,
                            .row_key = what & 8 ? key : NULL,
                            .row_key_len = what & 8 ? len : 0};
    int order = -1;

    *used = len + 3;
    while (i < count && (order = digest_key_order(list[i].key, list[i].len, key, len)) < 0)
        i++;
    bool there = i < count && order == 0;
    must(digest_block_find(b, key, len, &at) == there && at == i);
    if (there && data[0] % 4 == 0) {
        digest_block_remove(b, at);
        memmove(list + i, list + i + 1, (count - i - 1) * sizeof *list);
        return count - 1;
    }
    if (there && data[0] % 4 == 1) {
        digest_block_doubt(b, at);
        list[i].fact.digest = digests;
        return count;
    }
    if (there) {
        must(digest_block_update(b, at, key, len, &f) >= 0);
        must(digest_block_update(b, at, key, len, &f) == 0);
    } else if (count == LISTED) {
        return count;
    } else {
        must(digest_block_insert(b, at, key, len, &f) == 0);
        memmove(list + i + 1, list + i, (count - i) * sizeof *list);
        count++;
    }
    list[i] = (struct listed){key, len, f};
    return count;
}

static void changes(const uint8_t *data, size_t size, size_t bytes)
{
    struct digest_block b = {0};
    struct listed list[LISTED];
    struct buf key = {0};
    size_t count = 0, used;

    for (; size > 3; data += used, size -= used) {
        count = change(&b, list, count, data, size, &used);
        must(b.count == count);
    }
    sound(&b);
    for (size_t i = 0; i < count; i++) {
        struct digest_fact f;
        digest_block_key(&b, i, &key);
        digest_block_fact(&b, i, &f);
        must(key.len == list[i].len && memcmp(key.data, list[i].key, key.len) == 0);
        must(memcmp(f.digest, list[i].fact.digest, DIGEST_BYTES) == 0);
        must(f.table == list[i].fact.table && !f.row_key == !list[i].fact.row_key);
        must(f.row_key_len == list[i].fact.row_key_len);
        must(!f.row_key_len || memcmp(f.row_key, list[i].fact.row_key, f.row_key_len) == 0);
    }
    read_again(&b);
    cut_and_joined(&b, bytes);
    buf_free(&key);
    digest_block_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct digest_block b = {0};

    if (size < 2)
        return 0;
    if (data[0] & 1) {
        changes(data + 2, size - 2, 60 + 4 * (size_t)data[1]);
    } else if (digest_block_read(&b, data + 2, size - 2, data[1]) == 0) {
        must(b.count == data[1]);
        sound(&b);
        read_again(&b);
        cut_and_joined(&b, 60 + 2 * (size_t)data[0]);
        while (b.count) {
            digest_block_doubt(&b, b.count / 2);
            digest_block_remove(&b, b.count / 2);
            sound(&b);
        }
        digest_block_free(&b);
    }
    return 0;
}
