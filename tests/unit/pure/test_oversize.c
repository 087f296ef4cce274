/* Items that are too large: what is written of them, by the bytes that the header describes, and
 * that nothing but the very item comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/rng.h"
#include "base/text.h"
#include "mapping/number.h"
#include "mapping/oversize.h"
#include "plan_fixture.h"

#define CHUNK_BYTES ((size_t)128 * 1024)

/* A row of docs(a, b, ttl, kind, body): keys a and b, expiry and an index's key. */
struct doc {
    struct value values[5];
    struct buf body, text, key;
    size_t size;
};

static struct said docs_said = {.indexed = {"kind"}};

#define DOCS(t)                                                                                    \
    TABLE(t, "docs", 2, COLUMN("a", AFFINITY_INTEGER), COLUMN("b", AFFINITY_TEXT),                 \
          COLUMN("ttl", AFFINITY_INTEGER), COLUMN("kind", AFFINITY_TEXT),                          \
          COLUMN("body", AFFINITY_BLOB))

static struct table_plan *docs_plan(bool split)
{
    DOCS(t);
    return planned(&t, &(struct plan_options){
                           .compress = true, .split = split, .ttl_column = "ttl", SAID(docs_said)});
}

static void doc_free(struct doc *d)
{
    buf_free(&d->body);
    buf_free(&d->text);
    buf_free(&d->key);
}

#define _cleanup_doc_      _cleanup_(doc_free)
#define _cleanup_oversize_ _cleanup_(oversize_free)

/* `n` bytes that do not become smaller; or, with no seed, the same byte. */
static void make_doc(const struct table_plan *p, struct doc *d, size_t n, uint64_t seed)
{
    struct rng rng = {.state = seed};
    struct item_fault fault;

    *d = (struct doc){
        .values = {integer(700), text("b \"1\"\n"), integer(1893456000), text("kind")}};
    while (d->body.len < n)
        buf_putc(&d->body, seed ? (char)rng_next(&rng) : 'x');
    d->values[4] = blob(d->body.data, d->body.len);
    assert_int_equal(item_encode_whole(p, d->values, &d->text, &d->size, &fault), 0);
    assert_int_equal(item_key(p, d->values, &d->key, NULL, &fault), 0);
}

static json_t *parse(const struct buf *b)
{
    json_t *item = json_loadb(b->data, b->len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);

    assert_non_null(item);
    return item;
}

/* As DynamoDB counts an item of S, N and B. */
static size_t counted(const json_t *item)
{
    const char *name, *type;
    json_t *attribute, *v;
    size_t size = 0;

    json_object_foreach((json_t *)item, name, attribute)
    {
        size += strlen(name);
        json_object_foreach(attribute, type, v)
        {
            _cleanup_buf_ struct buf bytes = {0};
            if (*type == 'B')
                assert_int_equal(base64_decode(&bytes, json_string_value(v), json_string_length(v)),
                                 0);
            size += *type == 'N'   ? number_size(json_string_value(v), json_string_length(v))
                    : *type == 'B' ? bytes.len
                                   : json_string_length(v);
        }
    }
    return size;
}

struct packed {
    struct oversize o;
    json_t *head, **chunks;
};

static void pack(const struct table_plan *p, const struct doc *d, struct packed *out)
{
    struct item_fault fault = {0};

    *out = (struct packed){0};
    if (oversize_pack(p, &d->text, &d->key, &out->o, &fault) != 0)
        fail_msg("%s: %s", fault.code, fault.text);
    out->head = parse(&out->o.head);
    assert_int_equal(out->o.size, counted(out->head));
    out->chunks = calloc(out->o.count + 1, sizeof *out->chunks);
    for (unsigned i = 0; i < out->o.count; i++) {
        _cleanup_buf_ struct buf key = {0}, json = {0}, again = {0};
        size_t size;
        assert_int_equal(oversize_chunk(&p->schema, &out->o, &d->key, i, &key, &json, &size), 0);
        out->chunks[i] = parse(&json);
        assert_int_equal(size, counted(out->chunks[i]));
        assert_true(size <= ITEM_MAX_SIZE);
        struct oversize_key k;
        assert_int_equal(oversize_parse_key(key.data, key.len, &k), 1);
        assert_int_equal(k.index, i);
        assert_memory_equal(k.version, out->o.version, DIGEST_SIZE);
        assert_int_equal(k.head.len, d->key.len);
        assert_memory_equal(k.head.data, d->key.data, d->key.len);
        assert_int_equal(oversize_prefix(&d->key, &again), 0);
        assert_memory_equal(again.data, key.data, again.len);
        buf_free(&k.head);
    }
}

static void unpack(struct packed *p)
{
    oversize_free(&p->o);
    json_decref(p->head);
    for (unsigned i = 0; p->chunks && i < p->o.count; i++)
        json_decref(p->chunks[i]);
    free(p->chunks);
}

#define _cleanup_packed_ _cleanup_(unpack)

static void joins(const struct packed *p, const struct doc *d)
{
    json_t *item = NULL, *wanted = parse(&d->text);
    struct err err = {0};

    if (oversize_join(p->head, p->chunks, p->o.count, &item, &err) != 0)
        fail_msg("%s", err.text);
    assert_true(json_equal(item, wanted));
    json_decref(item);
    json_decref(wanted);
}

static void joins_not(const struct packed *p, int rc, const char *part)
{
    json_t *item = NULL;
    struct err err = {0};

    assert_int_equal(oversize_join(p->head, p->chunks, p->o.count, &item, &err), rc);
    assert_null(item);
    if (!strstr(err.text, part))
        fail_msg("\"%s\" does not say \"%s\"", err.text, part);
}

static void bytes_of(const json_t *item, const char *name, struct buf *out)
{
    const json_t *b = json_object_get(json_object_get(item, name), "B");

    assert_int_equal(base64_decode(out, json_string_value(b), json_string_length(b)), 0);
}

/* --- compressed ------------------------------------------------------------------------------- */

static void test_what_compresses_well_is_one_item(void **state)
{
    _cleanup_plan_ struct table_plan *p = docs_plan(false);
    _cleanup_doc_ struct doc d;
    _cleanup_packed_ struct packed x;
    struct oversize_info info;

    (void)state;
    make_doc(p, &d, 2000000, 0);
    assert_true(d.size > ITEM_MAX_SIZE);
    pack(p, &d, &x);
    assert_int_equal(x.o.count, 0);
    assert_true(x.o.size < 2000);
    oversize_look(x.head, &info);
    assert_int_equal(info.kind, OVERSIZE_WHOLE);
    assert_int_equal(info.text_len, d.text.len);
    joins(&x, &d);
    /* Keys, expiry and what an index needs are there to be seen. */
    const char *const there[] = {"a", "b", "ttl", "kind", OVERSIZE_PACKED};
    assert_int_equal(json_object_size(x.head), 5);
    for (size_t i = 0; i < 5; i++)
        assert_non_null(json_object_get(x.head, there[i]));
}

static void test_the_header_is_as_described(void **state)
{
    _cleanup_plan_ struct table_plan *p = docs_plan(false);
    _cleanup_doc_ struct doc d;
    _cleanup_packed_ struct packed x;
    _cleanup_buf_ struct buf b = {0};
    uint8_t version[DIGEST_SIZE];

    (void)state;
    make_doc(p, &d, 500000, 0);
    pack(p, &d, &x);
    bytes_of(x.head, OVERSIZE_PACKED, &b);
    assert_memory_equal(b.data, "\1\1\0\0\0\0\0\0", 8);
    const unsigned char *u = (const unsigned char *)b.data;
    assert_int_equal((size_t)u[9] << 16 | (size_t)u[10] << 8 | u[11], d.text.len);
    assert_int_equal((size_t)u[18] << 8 | u[19], b.len - 36);
    assert_int_equal(item_digest(b.data + 36, b.len - 36, version), 0);
    assert_memory_equal(b.data + 20, version, DIGEST_SIZE);
    assert_memory_equal(b.data + 36, "\x28\xb5\x2f\xfd", 4); /* zstd's magic number */
}

static void test_what_does_not_fit_is_refused(void **state)
{
    _cleanup_plan_ struct table_plan *p = docs_plan(false), *split = docs_plan(true);
    _cleanup_doc_ struct doc d, large;
    _cleanup_oversize_ struct oversize o = {0}, o2 = {0}, o3 = {0};
    struct item_fault fault = {0};
    _cleanup_buf_ struct buf key = {0};

    (void)state;
    make_doc(p, &d, 500000, 7);
    assert_int_equal(oversize_pack(p, &d.text, &d.key, &o, &fault), -EINVAL);
    assert_string_equal(fault.code, "item_too_large");
    assert_non_null(strstr(fault.text, "still has"));
    make_doc(p, &large, 13000000, 0);
    assert_int_equal(oversize_pack(split, &large.text, &large.key, &o2, &fault), -EINVAL);
    assert_string_equal(fault.code, "item_too_large");
    assert_non_null(strstr(fault.text, "16777216"));
    /* A sort key must leave room for the chunks'. */
    _cleanup_buf_ struct buf long_key = {0};
    while (long_key.len < 981)
        buf_putc(&long_key, 'k');
    d.values[1] = text_of(long_key.data, long_key.len);
    assert_int_equal(item_key(split, d.values, &key, NULL, &fault), 0);
    assert_int_equal(oversize_pack(split, &d.text, &key, &o3, &fault), -EINVAL);
    assert_string_equal(fault.code, "key_too_long");
}

/* --- split ------------------------------------------------------------------------------------ */

static void test_an_item_in_chunks_comes_back(void **state)
{
    /* About the sizes at which another chunk is needed; blobs are a third longer as text, which
     * compression nearly takes back. */
    const size_t sizes[] = {420000, 3 * CHUNK_BYTES + 40000, 4 * CHUNK_BYTES - 3000, 1500000};
    _cleanup_plan_ struct table_plan *p = docs_plan(true);

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        _cleanup_doc_ struct doc d;
        _cleanup_packed_ struct packed x, again;
        struct oversize_info info;
        make_doc(p, &d, sizes[i], i + 1);
        pack(p, &d, &x);
        assert_int_equal(x.o.count, (x.o.frame.len + CHUNK_BYTES - 1) / CHUNK_BYTES);
        assert_true(x.o.count >= 4);
        oversize_look(x.head, &info);
        assert_int_equal(info.kind, OVERSIZE_HEAD);
        assert_int_equal(info.count, x.o.count);
        oversize_look(x.chunks[1], &info);
        assert_int_equal(info.kind, OVERSIZE_PIECE);
        assert_int_equal(info.index, 1);
        assert_non_null(json_object_get(x.chunks[1], "ttl"));
        assert_null(json_object_get(x.chunks[1], "kind"));
        joins(&x, &d);
        json_t *first = x.chunks[0];
        x.chunks[0] = x.chunks[2];
        x.chunks[2] = first;
        joins(&x, &d);
        pack(p, &d, &again);
        assert_int_equal(x.o.head.len, again.o.head.len);
        assert_memory_equal(x.o.head.data, again.o.head.data, x.o.head.len);
    }
}

static void test_keys_lead_from_head_to_chunks_and_back(void **state)
{
    _cleanup_plan_ struct table_plan *p = docs_plan(true);
    _cleanup_doc_ struct doc d;
    _cleanup_packed_ struct packed x;
    struct oversize_info info;

    (void)state;
    make_doc(p, &d, 600000, 3);
    pack(p, &d, &x);
    oversize_look(x.head, &info);
    for (unsigned i = 0; i < x.o.count; i++) {
        json_t *key = oversize_chunk_key(&p->schema, x.head, &info, i), *head;
        assert_true(json_equal(json_object_get(key, "b"), json_object_get(x.chunks[i], "b")));
        head = oversize_head_key(&p->schema, x.chunks[i]);
        assert_int_equal(json_object_size(head), 2);
        assert_true(json_equal(json_object_get(head, "b"), json_object_get(x.head, "b")));
        json_decref(key);
        json_decref(head);
    }
    assert_null(oversize_head_key(&p->schema, x.head));
}

static void test_two_versions_are_told_apart(void **state)
{
    _cleanup_plan_ struct table_plan *p = docs_plan(true);
    _cleanup_doc_ struct doc one, other;
    _cleanup_packed_ struct packed x, y;

    (void)state;
    make_doc(p, &one, 600000, 3);
    make_doc(p, &other, 600000, 4);
    pack(p, &one, &x);
    pack(p, &other, &y);
    json_t *kept = x.chunks[1];
    x.chunks[1] = y.chunks[1];
    joins_not(&x, -EAGAIN, "chunk 2 of 5 is of another version");
    x.chunks[1] = NULL;
    joins_not(&x, -EAGAIN, "chunk 2 of 5 is missing");
    x.chunks[1] = x.head; /* no chunk at all */
    joins_not(&x, -EAGAIN, "missing");
    x.chunks[1] = kept;
    joins(&x, &one);
}

static void damage(json_t *item, const char *name, size_t at)
{
    _cleanup_buf_ struct buf b = {0}, text = {0};

    bytes_of(item, name, &b);
    b.data[at] = (char)(b.data[at] ^ 1);
    base64_append(&text, b.data, b.len);
    json_object_set_new(json_object_get(item, name), "B", json_stringn(text.data, text.len));
}

static void test_damaged_bytes_are_found(void **state)
{
    _cleanup_plan_ struct table_plan *p = docs_plan(true);
    _cleanup_doc_ struct doc d, small;
    _cleanup_packed_ struct packed x, y;
    struct oversize_info info;

    (void)state;
    make_doc(p, &d, 600000, 3);
    pack(p, &d, &x);
    damage(x.chunks[2], OVERSIZE_CHUNK, 5000);
    joins_not(&x, -EBADMSG, "not those that were written");
    damage(x.chunks[2], OVERSIZE_CHUNK, 5000);
    joins(&x, &d);
    damage(x.head, OVERSIZE_PACKED, 0);
    joins_not(&x, -EBADMSG, "cannot be read by this version");
    make_doc(p, &small, 600000, 0);
    pack(p, &small, &y);
    damage(y.head, OVERSIZE_PACKED, 11); /* the length of the text */
    joins_not(&y, -EBADMSG, "cannot be decompressed");
    damage(y.head, OVERSIZE_PACKED, 11);
    for (size_t at = 0; at < 60; at++) {
        json_t *item = NULL;
        damage(y.head, OVERSIZE_PACKED, at);
        assert_true(oversize_join(y.head, NULL, 0, &item, NULL) < 0);
        damage(y.head, OVERSIZE_PACKED, at);
    }
    joins(&y, &small);
    json_object_set_new(y.head, OVERSIZE_PACKED, json_pack("{s:s}", "S", "text"));
    oversize_look(y.head, &info);
    assert_int_equal(info.kind, OVERSIZE_BROKEN);
}

static void test_a_plain_item_is_itself(void **state)
{
    json_t *item = json_pack("{s:{s:s}}", "id", "N", "7"), *out = NULL;
    struct oversize_info info;

    (void)state;
    oversize_look(item, &info);
    assert_int_equal(info.kind, OVERSIZE_PLAIN);
    assert_int_equal(oversize_join(item, NULL, 0, &out, NULL), 0);
    assert_ptr_equal(item, out);
    json_decref(out);
    json_decref(item);
}

/* --- what is refused beforehand --------------------------------------------------------------- */

static void test_no_rows_key_is_like_a_chunks(void **state)
{
    _cleanup_plan_ struct table_plan *p = docs_plan(false);
    _cleanup_buf_ struct buf key = {0};
    struct item_fault fault = {0};
    char sort[] = "x~syncd~0123456789abcdef0123456789abcdef~0000";
    struct value row_key[] = {integer(1), text(sort)};

    (void)state;
    assert_int_equal(item_key(p, row_key, &key, NULL, &fault), -EINVAL);
    assert_string_equal(fault.code, "key_reserved");
    sort[20] = 'G';
    buf_clear(&key);
    assert_int_equal(item_key(p, row_key, &key, NULL, &fault), 0);
    assert_int_equal(oversize_parse_key(key.data, key.len, NULL), 0);
}

static void test_split_needs_a_sort_key_of_text_or_bytes(void **state)
{
    TABLE(one, "one", 1, COLUMN("id", AFFINITY_TEXT), COLUMN("v", AFFINITY_TEXT));
    TABLE(number, "number", 2, COLUMN("a", AFFINITY_TEXT), COLUMN("b", AFFINITY_INTEGER));
    TABLE(ours, "ours", 1, COLUMN("id", AFFINITY_TEXT), COLUMN(OVERSIZE_PACKED, AFFINITY_TEXT));

    (void)state;
    refused(&one, &(struct plan_options){.split = true}, "needs a sort key");
    refused(&number, &(struct plan_options){.split = true}, "is of type N");
    refused(&ours, NULL, "syncd's own");
    _cleanup_plan_ struct table_plan *p = planned(
        &one, &(struct plan_options){.split = true, .partition_key = "id", .sort_key = "ROW"});
    assert_true(p->compress && p->split);
}

static void test_a_changed_policy_is_another_mapping(void **state)
{
    _cleanup_plan_ struct table_plan *p = docs_plan(false), *split = docs_plan(true);
    char *a = plan_fingerprint(p), *b = plan_fingerprint(split);

    (void)state;
    assert_string_not_equal(a, b);
    free(a);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_compresses_well_is_one_item),
        cmocka_unit_test(test_the_header_is_as_described),
        cmocka_unit_test(test_what_does_not_fit_is_refused),
        cmocka_unit_test(test_an_item_in_chunks_comes_back),
        cmocka_unit_test(test_keys_lead_from_head_to_chunks_and_back),
        cmocka_unit_test(test_two_versions_are_told_apart),
        cmocka_unit_test(test_damaged_bytes_are_found),
        cmocka_unit_test(test_a_plain_item_is_itself),
        cmocka_unit_test(test_no_rows_key_is_like_a_chunks),
        cmocka_unit_test(test_split_needs_a_sort_key_of_text_or_bytes),
        cmocka_unit_test(test_a_changed_policy_is_another_mapping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
