/* BatchWriteItem: bodies that group by table, and replies that say of each write what became of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/rng.h"
#include "base/text.h"
#include "dynamodb/batch.h"
#include "plan_fixture.h"

/* Writes whose bytes live beside them. */
struct batch {
    struct batch_write writes[BATCH_MAX_ITEMS];
    struct buf json[BATCH_MAX_ITEMS], key[BATCH_MAX_ITEMS];
    size_t count;
};

static void batch_free(struct batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        buf_free(&b->json[i]);
        buf_free(&b->key[i]);
    }
    b->count = 0;
}

#define _cleanup_batch_ _cleanup_(batch_free)

static void add(struct batch *b, const struct table_plan *p, bool put, struct value id)
{
    size_t i = b->count++;
    struct value row[] = {id, text("v")};
    struct item_fault fault;
    size_t size;

    assert_int_equal(item_key(p, row, &b->key[i], &b->json[i], &fault), 0);
    if (put) {
        buf_clear(&b->json[i]);
        assert_int_equal(item_encode(p, row, &b->json[i], &size, &fault), 0);
    }
    b->writes[i] = (struct batch_write){.table = p->target,
                                        .schema = &p->schema,
                                        .put = put,
                                        .json = b->json[i].data,
                                        .json_len = b->json[i].len,
                                        .key = b->key[i].data,
                                        .key_len = b->key[i].len};
}

static struct table_plan *numbered(const char *target)
{
    TABLE(t, "things", 1, COLUMN("id", AFFINITY_NUMERIC), COLUMN("v", AFFINITY_NONE));
    struct plan_options o = {.target = target};

    return planned(&t, &o);
}

static struct table_plan *named(const char *target)
{
    TABLE(t, "things", 1, COLUMN("id", AFFINITY_BLOB), COLUMN("v", AFFINITY_NONE));
    struct plan_options o = {.target = target};

    return planned(&t, &o);
}

static struct reply answered(const struct batch *b, int status, const char *body)
{
    struct reply_bytes bytes = {.status = status, .body = body, .len = strlen(body)};
    struct reply r = {.request_id = "R", .date = "D", .unprocessed = 77, .write_units = 77};

    batch_reply(&bytes, b->writes, b->count, &r);
    assert_string_equal(r.request_id, "R");
    assert_string_equal(r.date, "D");
    return r;
}

/* --- bodies ----------------------------------------------------------------------------------- */

static void test_bodies_parse_and_group_by_table(void **state)
{
    _cleanup_plan_ struct table_plan *a = numbered("table-a"), *b = named("table-b");
    _cleanup_batch_ struct batch batch = {0};
    _cleanup_buf_ struct buf body = {0};

    (void)state;
    add(&batch, a, true, integer(1));
    add(&batch, a, false, integer(2));
    add(&batch, b, true, blob("\xff", 1));
    batch_body(&body, batch.writes, batch.count);
    json_t *o = json_loadb(body.data, body.len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(o);
    assert_string_equal(json_string_value(json_object_get(o, "ReturnConsumedCapacity")), "TOTAL");
    json_t *items = json_object_get(o, "RequestItems");
    assert_int_equal(json_object_size(items), 2);
    json_t *first = json_object_get(items, "table-a"), *second = json_object_get(items, "table-b");
    assert_int_equal(json_array_size(first), 2);
    assert_int_equal(json_array_size(second), 1);
    char *put = json_dumps(json_array_get(first, 0), JSON_COMPACT);
    char *delete = json_dumps(json_array_get(first, 1), JSON_COMPACT);
    char *other = json_dumps(json_array_get(second, 0), JSON_COMPACT);
    assert_string_equal(put,
                        "{\"PutRequest\":{\"Item\":{\"id\":{\"N\":\"1\"},\"v\":{\"S\":\"v\"}}}}");
    assert_string_equal(delete, "{\"DeleteRequest\":{\"Key\":{\"id\":{\"N\":\"2\"}}}}");
    assert_string_equal(
        other, "{\"PutRequest\":{\"Item\":{\"id\":{\"B\":\"/w==\"},\"v\":{\"S\":\"v\"}}}}");
    free(put);
    free(delete);
    free(other);
    json_decref(o);
}

static void test_bodies_stay_within_their_stated_overhead(void **state)
{
    char name[256];
    struct table_plan *plans[BATCH_MAX_ITEMS];
    _cleanup_batch_ struct batch batch = {0};
    _cleanup_buf_ struct buf body = {0};
    size_t json = 0;

    (void)state;
    memset(name, 'n', sizeof name);
    name[255] = '\0';
    for (size_t i = 0; i < BATCH_MAX_ITEMS; i++) { /* the longest names, each its own table */
        name[0] = (char)('a' + i);
        plans[i] = numbered(name);
        add(&batch, plans[i], i % 2, integer(1));
        json += batch.writes[i].json_len;
    }
    batch_body(&body, batch.writes, batch.count);
    assert_true(body.len <= json + BATCH_MAX_ITEMS * BATCH_WRITE_OVERHEAD + BATCH_BODY_OVERHEAD);
    for (size_t i = 0; i < BATCH_MAX_ITEMS; i++)
        plan_free(plans[i]);
}

/* --- replies ---------------------------------------------------------------------------------- */

static void test_an_empty_rest_means_all_written(void **state)
{
    _cleanup_plan_ struct table_plan *p = numbered("things");
    _cleanup_batch_ struct batch b = {0};

    (void)state;
    add(&b, p, true, integer(1));
    struct reply r = answered(&b, 200, "{\"UnprocessedItems\":{}}");
    assert_int_equal(r.class, REPLY_OK);
    assert_int_equal(r.unprocessed, 0);
    assert_string_equal(r.code, "");
    assert_string_equal(r.message, "");
    assert_true(r.write_units == 0);
    r = answered(&b, 200,
                 "{\"UnprocessedItems\":{},\"ItemCollectionMetrics\":{},\"ConsumedCapacity\":"
                 "[{\"TableName\":\"a\",\"CapacityUnits\":2.5},{\"CapacityUnits\":3}]}");
    assert_int_equal(r.class, REPLY_OK);
    assert_true(r.write_units == 5.5);
    assert_int_equal(answered(&b, 200, "{\"ConsumedCapacity\":[]}").class, REPLY_OK);
}

static void test_unprocessed_items_are_found_in_any_order_and_spelling(void **state)
{
    _cleanup_plan_ struct table_plan *p = numbered("things"), *q = named("others");
    _cleanup_batch_ struct batch b = {0};

    (void)state;
    add(&b, p, true, integer(100));
    add(&b, p, true, real(0.25));
    add(&b, p, false, integer(-7));
    add(&b, q, true, blob("\xff\xee", 2));
    add(&b, q, false, blob("k", 1));
    struct reply r =
        answered(&b, 200,
                 "{\"UnprocessedItems\":{"
                 "\"others\":[{\"DeleteRequest\":{\"Key\":{\"id\":{\"B\":\"aw==\"}}}}],"
                 "\"things\":[{\"DeleteRequest\":{\"Key\":{\"id\":{\"N\":\"-7.0\"}}}},"
                 "{\"PutRequest\":{\"Item\":{\"v\":{\"S\":\"v\"},\"id\":{\"N\":\"1E2\"}}}}]}}");
    assert_int_equal(r.class, REPLY_OK);
    assert_int_equal(r.unprocessed, 1 << 0 | 1 << 2 | 1 << 4);
    r = answered(
        &b, 200,
        "{\"UnprocessedItems\":{\"things\":[{\"PutRequest\":{\"Item\":{\"id\":{\"N\":"
        "\"25E-2\"}}}}],\"others\":[{\"PutRequest\":{\"Item\":{\"id\":{\"B\":\"/+4=\"}}}}]}}");
    assert_int_equal(r.unprocessed, 1 << 1 | 1 << 3);
}

static void test_all_of_a_full_batch_may_be_unprocessed(void **state)
{
    _cleanup_plan_ struct table_plan *p = numbered("things");
    _cleanup_batch_ struct batch b = {0};
    _cleanup_buf_ struct buf body = {0};

    (void)state;
    buf_puts(&body, "{\"UnprocessedItems\":{\"things\":[");
    for (int i = 0; i < BATCH_MAX_ITEMS; i++) {
        add(&b, p, true, integer(i));
        buf_printf(&body, "%s{\"PutRequest\":{\"Item\":{\"id\":{\"N\":\"%d\"}}}}", i ? "," : "", i);
    }
    buf_puts(&body, "]}}");
    struct reply r = answered(&b, 200, body.data);
    assert_int_equal(r.class, REPLY_OK);
    assert_int_equal(r.unprocessed, (1u << BATCH_MAX_ITEMS) - 1);
}

static void test_replies_that_name_what_was_not_sent_are_ambiguous(void **state)
{
    static const char *const rests[] = {
        "{\"things\":[{\"PutRequest\":{\"Item\":{\"id\":{\"N\":\"2\"}}}}]}",   /* another item */
        "{\"other\":[{\"PutRequest\":{\"Item\":{\"id\":{\"N\":\"1\"}}}}]}",    /* another table */
        "{\"things\":[{\"DeleteRequest\":{\"Key\":{\"id\":{\"N\":\"1\"}}}}]}", /* it was a put */
        "{\"things\":[{\"PutRequest\":{\"Item\":{\"id\":{\"S\":\"1\"}}}}]}",   /* another type */
        "{\"things\":[{\"PutRequest\":{\"Item\":{\"id\":{\"N\":\"x\"}}}}]}",
        "{\"things\":[{\"PutRequest\":{\"Item\":{}}}]}",
        "{\"things\":[{\"PutRequest\":{}}]}",
        "{\"things\":[{}]}",
        "{\"things\":[5]}",
        "{\"things\":{}}",
        "[]",
        "5",
        "null",
    };
    _cleanup_plan_ struct table_plan *p = numbered("things");
    _cleanup_batch_ struct batch b = {0};

    (void)state;
    add(&b, p, true, integer(1));
    for (size_t i = 0; i < sizeof rests / sizeof *rests; i++) {
        _cleanup_buf_ struct buf body = {0};
        buf_printf(&body, "{\"UnprocessedItems\":%s}", rests[i]);
        struct reply r = answered(&b, 200, body.data);
        if (r.class != REPLY_AMBIGUOUS)
            fail_msg("%s is of class %d", body.data, (int)r.class);
        assert_string_equal(r.code, "bad_reply");
        assert_int_equal(r.unprocessed, 0);
    }
}

/* A proxy, a captive portal, a cut reply: never taken for "written". */
static void test_other_bodies_with_status_200_are_ambiguous(void **state)
{
    static const char *const bodies[] = {"",
                                         "{",
                                         "{}",
                                         "[]",
                                         "null",
                                         "OK",
                                         "<html></html>",
                                         "{\"error\":\"login first\"}",
                                         "{\"UnprocessedItems\":{}",
                                         "{\"UnprocessedItems\":{}}x",
                                         "{\"UnprocessedItems\":{},\"UnprocessedItems\":{}}",
                                         "{\"__type\":\"x#InternalServerError\",\"message\":\"m\"}",
                                         "\xff"};
    _cleanup_plan_ struct table_plan *p = numbered("things");
    _cleanup_batch_ struct batch b = {0};

    (void)state;
    add(&b, p, true, integer(1));
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct reply r = answered(&b, 200, bodies[i]);
        if (r.class != REPLY_AMBIGUOUS)
            fail_msg("%s is of class %d", bodies[i], (int)r.class);
        assert_true(r.code[0] && r.message[0]);
    }
}

static void test_errors_and_broken_checksums_are_classified(void **state)
{
    static const char good[] = "{\"UnprocessedItems\":{}}";
    _cleanup_plan_ struct table_plan *p = numbered("things");
    _cleanup_batch_ struct batch b = {0};
    struct reply_bytes bytes = {
        .status = 200, .body = good, .len = strlen(good), .has_crc32 = true};
    struct reply r = {.unprocessed = 5};

    (void)state;
    add(&b, p, true, integer(1));
    r = answered(&b, 400, "{\"__type\":\"x#ThrottlingException\"}");
    assert_int_equal(r.class, REPLY_THROTTLED);
    assert_int_equal(r.unprocessed, 0);
    bytes.crc32 = crc32_of(good, bytes.len);
    batch_reply(&bytes, b.writes, b.count, &r);
    assert_int_equal(r.class, REPLY_OK);
    bytes.crc32++;
    batch_reply(&bytes, b.writes, b.count, &r);
    assert_int_equal(r.class, REPLY_AMBIGUOUS);
    assert_string_equal(r.code, "bad_checksum");
}

/* What was sent comes back as the service would send it, for random subsets. */
static void test_random_subsets_come_back_exactly(void **state)
{
    _cleanup_plan_ struct table_plan *first = numbered("aaa");
    _cleanup_plan_ struct table_plan *second = named("bbb");
    struct rng r = {51};

    (void)state;
    for (int round = 0; round < 500; round++) {
        _cleanup_batch_ struct batch b = {0};
        size_t n = 1 + (size_t)rng_upto(&r, BATCH_MAX_ITEMS - 1), split = (size_t)rng_upto(&r, n);
        uint32_t mask = (uint32_t)rng_next(&r) & ((1u << n) - 1);
        for (size_t i = 0; i < n; i++) {
            char one = (char)i;
            if (i < split)
                add(&b, first, rng_upto(&r, 1), real((double)i / 8));
            else
                add(&b, second, rng_upto(&r, 1), blob(&one, 1));
        }
        json_t *rest = json_object();
        for (size_t i = n; i-- > 0;) {
            if (!(mask >> i & 1))
                continue;
            const struct batch_write *w = &b.writes[i];
            json_t *list = json_object_get(rest, w->table);
            if (!list) {
                list = json_array();
                json_object_set_new(rest, w->table, list);
            }
            json_t *attributes = json_loadb(w->json, w->json_len, JSON_ALLOW_NUL, NULL);
            json_array_append_new(list,
                                  json_pack("{s:{s:o}}", w->put ? "PutRequest" : "DeleteRequest",
                                            w->put ? "Item" : "Key", attributes));
        }
        json_t *o = json_pack("{s:o}", "UnprocessedItems", rest);
        char *body = json_dumps(o, 0);
        struct reply reply = answered(&b, 200, body);
        assert_int_equal(reply.class, REPLY_OK);
        assert_int_equal(reply.unprocessed, mask);
        free(body);
        json_decref(o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies_parse_and_group_by_table),
        cmocka_unit_test(test_bodies_stay_within_their_stated_overhead),
        cmocka_unit_test(test_an_empty_rest_means_all_written),
        cmocka_unit_test(test_unprocessed_items_are_found_in_any_order_and_spelling),
        cmocka_unit_test(test_all_of_a_full_batch_may_be_unprocessed),
        cmocka_unit_test(test_replies_that_name_what_was_not_sent_are_ambiguous),
        cmocka_unit_test(test_other_bodies_with_status_200_are_ambiguous),
        cmocka_unit_test(test_errors_and_broken_checksums_are_classified),
        cmocka_unit_test(test_random_subsets_come_back_exactly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
