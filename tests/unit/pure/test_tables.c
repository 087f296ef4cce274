/* Bodies of CreateTable and of the calls after it, and definitions that contradict themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "tables_fixture.h"

static const struct key_schema two = {.parts = {{(char *)"a\"b", ATTR_S}, {(char *)"c", ATTR_B}},
                                      .count = 2};

/* The body, parsed and written again with sorted keys. */
static void body_is(const struct buf *body, const char *want)
{
    json_t *o = json_loadb(body->data, body->len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(o);
    char *text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(text, want);
    free(text);
    json_decref(o);
}

static void test_create_on_demand(void **state)
{
    _cleanup_buf_ struct buf body = {0};
    struct table_definition d = {
        .table = (char *)"things", .key = one, .capacity = {.read_units = 5, .write_units = 6}};

    (void)state;
    tables_create_body(&body, &d);
    body_is(&body, "{\"AttributeDefinitions\":[{\"AttributeName\":\"id\",\"AttributeType\":\"N\"}],"
                   "\"BillingMode\":\"PAY_PER_REQUEST\","
                   "\"KeySchema\":[{\"AttributeName\":\"id\",\"KeyType\":\"HASH\"}],"
                   "\"TableName\":\"things\"}");
}

static void test_create_provisioned_with_a_sort_key(void **state)
{
    _cleanup_buf_ struct buf body = {0};
    struct table_definition d = {
        .table = (char *)"things",
        .key = two,
        .capacity = {.provisioned = true, .read_units = 5, .write_units = 600}};

    (void)state;
    tables_create_body(&body, &d);
    body_is(&body,
            "{\"AttributeDefinitions\":[{\"AttributeName\":\"a\\\"b\",\"AttributeType\":\"S\"},"
            "{\"AttributeName\":\"c\",\"AttributeType\":\"B\"}],"
            "\"BillingMode\":\"PROVISIONED\","
            "\"KeySchema\":[{\"AttributeName\":\"a\\\"b\",\"KeyType\":\"HASH\"},"
            "{\"AttributeName\":\"c\",\"KeyType\":\"RANGE\"}],"
            "\"ProvisionedThroughput\":{\"ReadCapacityUnits\":5,\"WriteCapacityUnits\":600},"
            "\"TableName\":\"things\"}");
}

static const char whole_body[] =
    "{\"AttributeDefinitions\":[{\"AttributeName\":\"id\",\"AttributeType\":\"N\"},"
    "{\"AttributeName\":\"a\",\"AttributeType\":\"S\"},"
    "{\"AttributeName\":\"b\",\"AttributeType\":\"B\"}],"
    "\"BillingMode\":\"PAY_PER_REQUEST\",\"DeletionProtectionEnabled\":true,"
    "\"GlobalSecondaryIndexes\":["
    "{\"IndexName\":\"by-a\",\"KeySchema\":[{\"AttributeName\":\"a\",\"KeyType\":\"HASH\"},"
    "{\"AttributeName\":\"id\",\"KeyType\":\"RANGE\"}],"
    "\"Projection\":{\"ProjectionType\":\"ALL\"}},"
    "{\"IndexName\":\"by-b\",\"KeySchema\":[{\"AttributeName\":\"b\",\"KeyType\":\"HASH\"},"
    "{\"AttributeName\":\"a\",\"KeyType\":\"RANGE\"}],"
    "\"Projection\":{\"NonKeyAttributes\":[\"x\",\"y\"],\"ProjectionType\":\"INCLUDE\"}}],"
    "\"KeySchema\":[{\"AttributeName\":\"id\",\"KeyType\":\"HASH\"}],"
    "\"TableName\":\"things\",\"Tags\":[{\"Key\":\"team\",\"Value\":\"a \\\"b\\\"\"}]}";

static void test_create_with_everything(void **state)
{
    _cleanup_definition_ struct table_definition *d = whole(), *copy = NULL;
    _cleanup_buf_ struct buf body = {0}, again = {0};

    (void)state;
    tables_create_body(&body, d);
    body_is(&body, whole_body);
    assert_int_equal(table_definition_copy(d, &copy), 0);
    tables_create_body(&again, copy);
    body_is(&again, whole_body);
    assert_string_equal(copy->ttl_attribute, "until");
    assert_true(copy->point_in_time_recovery);
}

static void test_the_calls_after_it(void **state)
{
    _cleanup_definition_ struct table_definition *d = whole();
    _cleanup_buf_ struct buf body = {0};

    (void)state;
    tables_ttl_body(&body, d);
    body_is(&body, "{\"TableName\":\"things\",\"TimeToLiveSpecification\":"
                   "{\"AttributeName\":\"until\",\"Enabled\":true}}");
    buf_clear(&body);
    tables_recovery_body(&body, d);
    body_is(&body, "{\"PointInTimeRecoverySpecification\":{\"PointInTimeRecoveryEnabled\":true},"
                   "\"TableName\":\"things\"}");
    buf_clear(&body);
    tables_protect_body(&body, "things");
    body_is(&body, "{\"DeletionProtectionEnabled\":true,\"TableName\":\"things\"}");
    buf_clear(&body);
    tables_list_tags_body(&body, "arn:x", NULL);
    body_is(&body, "{\"ResourceArn\":\"arn:x\"}");
    buf_clear(&body);
    tables_list_tags_body(&body, "arn:x", "t\"");
    body_is(&body, "{\"NextToken\":\"t\\\"\",\"ResourceArn\":\"arn:x\"}");
    buf_clear(&body);
    tables_tag_body(&body, "arn:x", d);
    body_is(&body, "{\"ResourceArn\":\"arn:x\",\"Tags\":[{\"Key\":\"team\","
                   "\"Value\":\"a \\\"b\\\"\"}]}");
}

static void test_one_index_more(void **state)
{
    _cleanup_definition_ struct table_definition *d = whole();
    _cleanup_buf_ struct buf body = {0};

    (void)state;
    d->capacity = (struct table_capacity){.provisioned = true, .read_units = 7, .write_units = 3};
    tables_add_index_body(&body, d, &d->indexes[0]);
    body_is(&body,
            "{\"AttributeDefinitions\":[{\"AttributeName\":\"id\",\"AttributeType\":\"N\"},"
            "{\"AttributeName\":\"a\",\"AttributeType\":\"S\"},"
            "{\"AttributeName\":\"b\",\"AttributeType\":\"B\"}],"
            "\"GlobalSecondaryIndexUpdates\":[{\"Create\":{\"IndexName\":\"by-a\","
            "\"KeySchema\":[{\"AttributeName\":\"a\",\"KeyType\":\"HASH\"},"
            "{\"AttributeName\":\"id\",\"KeyType\":\"RANGE\"}],"
            "\"Projection\":{\"ProjectionType\":\"ALL\"},"
            "\"ProvisionedThroughput\":{\"ReadCapacityUnits\":7,\"WriteCapacityUnits\":3}}}],"
            "\"TableName\":\"things\"}");
}

static void test_definitions_that_contradict_themselves(void **state)
{
    _cleanup_definition_ struct table_definition *d = whole();
    struct plan_index other = index_by("by-a", "a", 'S', NULL, 0);
    struct plan_index typed = index_by("by-c", "a", 'N', NULL, 0);
    struct plan_index keyed = index_by("by-d", "id", 'S', NULL, 0);
    struct err err = {.text = ""};
    char name[32];

    (void)state;
    assert_int_equal(table_definition_add_index(d, &other, &err), -EINVAL);
    assert_non_null(strstr(err.text, "index \"by-a\" of DynamoDB table things is defined twice"));
    assert_int_equal(table_definition_add_index(d, &typed, &err), -EINVAL);
    assert_non_null(
        strstr(err.text, "attribute a of DynamoDB table things would be a key of type S"));
    assert_int_equal(table_definition_add_index(d, &keyed, &err), -EINVAL);
    assert_non_null(strstr(err.text, "type N and, in index \"by-d\", of type S"));
    assert_int_equal(table_definition_set_ttl(d, "until", &err), 0);
    assert_int_equal(table_definition_set_ttl(d, "then", &err), -EINVAL);
    assert_non_null(strstr(err.text, "by until and by then"));
    for (int i = 0; i < TABLE_MAX_INDEXES - 2; i++) {
        struct plan_index x = index_by(name, "a", 'S', NULL, 0);
        snprintf(name, sizeof name, "more-%d", i);
        assert_int_equal(table_definition_add_index(d, &x, &err), 0);
    }
    struct plan_index last = index_by("last", "a", 'S', NULL, 0);
    assert_int_equal(table_definition_add_index(d, &last, &err), -EINVAL);
    assert_non_null(strstr(err.text, "more than 20 indexes"));
    assert_int_equal(d->index_count, TABLE_MAX_INDEXES);
}

static void test_describe(void **state)
{
    _cleanup_buf_ struct buf body = {0};

    (void)state;
    tables_name_body(&body, "things");
    body_is(&body, "{\"TableName\":\"things\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create_on_demand),
        cmocka_unit_test(test_create_provisioned_with_a_sort_key),
        cmocka_unit_test(test_create_with_everything),
        cmocka_unit_test(test_the_calls_after_it),
        cmocka_unit_test(test_one_index_more),
        cmocka_unit_test(test_definitions_that_contradict_themselves),
        cmocka_unit_test(test_describe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
