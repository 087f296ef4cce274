/* Bodies and replies of Scan and BatchGetItem. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dynamodb/scan.h"

static json_t *json(const char *text)
{
    json_t *v = json_loads(text, JSON_ALLOW_NUL, NULL);

    assert_non_null(v);
    return v;
}

static void a_scan_says_what_it_wants(void **state)
{
    json_t *start = json("{\"id\":{\"S\":\"a\\u0000\\\"\"}}");
    struct buf out = {0};

    (void)state;
    scan_body(&out, &(struct scan_request){.table = "t"});
    assert_string_equal(out.data, "{\"TableName\":\"t\",\"ReturnConsumedCapacity\":\"TOTAL\"}");
    buf_clear(&out);
    scan_body(&out, &(struct scan_request){.table = "t",
                                           .segment = 2,
                                           .segments = 8,
                                           .consistent = true,
                                           .projection = "#k",
                                           .names = "{\"#k\":\"id\"}",
                                           .limit = 7,
                                           .start = start});
    assert_string_equal(
        out.data, "{\"TableName\":\"t\",\"Segment\":2,\"TotalSegments\":8,\"ConsistentRead\":true,"
                  "\"Limit\":7,"
                  "\"ProjectionExpression\":\"#k\",\"ExpressionAttributeNames\":{\"#k\":\"id\"},"
                  "\"ExclusiveStartKey\":{\"id\":{\"S\":\"a\\u0000\\\"\"}},"
                  "\"ReturnConsumedCapacity\":\"TOTAL\"}");
    json_decref(start);
    buf_free(&out);
}

static void a_page_is_read(void **state)
{
    json_t *reply =
        json("{\"Items\":[{\"id\":{\"N\":\"1\"}}],\"Count\":1,\"LastEvaluatedKey\":{\"id\":"
             "{\"N\":\"1\"}},\"ConsumedCapacity\":{\"CapacityUnits\":1.5}}");
    struct scan_page page;

    (void)state;
    assert_int_equal(scan_read(reply, &page), 0);
    assert_int_equal(json_array_size(page.items), 1);
    assert_int_equal(json_object_size(page.last_key), 1);
    assert_true(page.units > 1.4 && page.units < 1.6);
    json_object_del(reply, "LastEvaluatedKey");
    json_object_del(reply, "ConsumedCapacity");
    assert_int_equal(scan_read(reply, &page), 0);
    assert_null(page.last_key);
    assert_true(page.units < 0);
    json_decref(reply);
}

/* A proxy's page, or another operation's reply, must not pass for an empty table. */
static void what_is_no_page_is_refused(void **state)
{
    static const char *const none[] = {"{}", "{\"Items\":{}}", "{\"Items\":[1]}",
                                       "{\"Items\":[],\"LastEvaluatedKey\":[]}", "{\"Count\":0}"};
    struct scan_page page;

    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        json_t *reply = json(none[i]);
        assert_int_equal(scan_read(reply, &page), -EPROTO);
        json_decref(reply);
    }
}

static void keys_are_asked_for(void **state)
{
    json_t *keys = json("[{\"id\":{\"N\":\"1\"}},{\"id\":{\"N\":\"2\"}}]");
    struct buf out = {0};

    (void)state;
    batch_get_body(&out, "t", keys, true);
    assert_string_equal(out.data,
                        "{\"RequestItems\":{\"t\":{\"Keys\":[{\"id\":{\"N\":\"1\"}},{\"id\":{\"N\":"
                        "\"2\"}}],\"ConsistentRead\":true}},\"ReturnConsumedCapacity\":\"TOTAL\"}");
    json_decref(keys);
    buf_free(&out);
}

static void what_was_got_is_read(void **state)
{
    json_t *reply =
        json("{\"Responses\":{\"t\":[{\"id\":{\"N\":\"1\"}}]},\"UnprocessedKeys\":{\"t\":{\"Keys\":"
             "[{\"id\":{\"N\":\"2\"}}]}},\"ConsumedCapacity\":[{\"TableName\":\"t\","
             "\"CapacityUnits\":2}]}");
    struct batch_got got;

    (void)state;
    assert_int_equal(batch_get_read(reply, "t", &got), 0);
    assert_int_equal(json_array_size(got.items), 1);
    assert_int_equal(json_array_size(got.unprocessed), 1);
    assert_true(got.units > 1.9);
    assert_int_equal(batch_get_read(reply, "u", &got), -EPROTO);
    json_decref(reply);
    reply = json("{\"Responses\":{\"t\":[]},\"UnprocessedKeys\":{}}");
    assert_int_equal(batch_get_read(reply, "t", &got), 0);
    assert_null(got.unprocessed);
    json_decref(reply);
    reply =
        json("{\"Responses\":{},\"UnprocessedKeys\":{\"t\":{\"Keys\":[{\"id\":{\"N\":\"2\"}}]}}}");
    assert_int_equal(batch_get_read(reply, "t", &got), 0);
    assert_null(got.items);
    assert_int_equal(json_array_size(got.unprocessed), 1);
    json_decref(reply);
    reply = json("{\"UnprocessedKeys\":{}}");
    assert_int_equal(batch_get_read(reply, "t", &got), -EPROTO);
    json_decref(reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scan_says_what_it_wants),  cmocka_unit_test(a_page_is_read),
        cmocka_unit_test(what_is_no_page_is_refused), cmocka_unit_test(keys_are_asked_for),
        cmocka_unit_test(what_was_got_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
