/* What DescribeTable answers: states, identity, and the sentence about a key that is another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "dynamodb/tables.h"
#include "plan_fixture.h"

static const struct key_schema one = {.parts = {{(char *)"id", ATTR_N}}, .count = 1};
static const struct key_schema two = {.parts = {{(char *)"a\"b", ATTR_S}, {(char *)"c", ATTR_B}},
                                      .count = 2};

static void description(struct buf *out, const char *member, const char *status, const char *keys,
                        const char *definitions)
{
    buf_clear(out);
    buf_printf(out,
               "{\"%s\":{\"TableStatus\":\"%s\",\"KeySchema\":[%s],\"AttributeDefinitions\":[%s],"
               "\"ItemCount\":12345678901234,\"CreationDateTime\":1.5E9}}",
               member, status, keys, definitions);
}

#define ID_KEY "{\"AttributeName\":\"id\",\"KeyType\":\"HASH\"}"
#define ID_N   "{\"AttributeName\":\"id\",\"AttributeType\":\"N\"}"
#define ID_S   "{\"AttributeName\":\"id\",\"AttributeType\":\"S\"}"

static int read_reply(const struct buf *body, const struct key_schema *schema,
                      enum table_status *status, struct err *err)
{
    struct table_description d = {.status = TABLE_MISSING};

    err->text[0] = '\0';
    int rc = tables_read(body->data, body->len, "things", schema, &d, err);
    *status = d.status;
    return rc;
}

static void test_states(void **state)
{
    static const struct {
        const char *word;
        enum table_status status;
    } words[] = {
        {"ACTIVE", TABLE_ACTIVE},     {"UPDATING", TABLE_ACTIVE},
        {"CREATING", TABLE_CREATING}, {"DELETING", TABLE_DELETING},
        {"ARCHIVED", TABLE_UNKNOWN},  {"INACCESSIBLE_ENCRYPTION_CREDENTIALS", TABLE_UNKNOWN}};
    _cleanup_buf_ struct buf body = {0};
    enum table_status status;
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        description(&body, "Table", words[i].word, ID_KEY, ID_N);
        assert_int_equal(read_reply(&body, &one, &status, &err), 0);
        assert_int_equal(status, words[i].status);
        description(&body, "TableDescription", words[i].word, ID_KEY, ID_N);
        assert_int_equal(read_reply(&body, &one, &status, &err), 0);
        assert_int_equal(status, words[i].status);
    }
}

static void test_another_key_is_named_beside_ours(void **state)
{
    static const char sort[] = ","
                               "{\"AttributeName\":\"c\",\"KeyType\":\"RANGE\"}";
    static const char c_b[] = ","
                              "{\"AttributeName\":\"c\",\"AttributeType\":\"B\"}";
    _cleanup_buf_ struct buf body = {0}, keys = {0}, types = {0};
    enum table_status status;
    struct err err;

    (void)state;
    description(&body, "Table", "ACTIVE", ID_KEY, ID_S);
    assert_int_equal(read_reply(&body, &one, &status, &err), -EEXIST);
    assert_int_equal(status, TABLE_MISSING); /* untouched */
    assert_string_equal(err.text,
                        "DynamoDB table things has the key id (S), but the mapping needs "
                        "id (N); set another target or name the key in the configuration");
    buf_printf(&keys, "%s%s", ID_KEY, sort);
    buf_printf(&types, "%s%s", ID_N, c_b);
    description(&body, "Table", "ACTIVE", keys.data, types.data);
    assert_int_equal(read_reply(&body, &one, &status, &err), -EEXIST);
    assert_non_null(strstr(err.text, "has the key id (N), c (B), but the mapping needs id (N);"));
    assert_int_equal(read_reply(&body, &two, &status, &err), -EEXIST);
    assert_non_null(strstr(err.text, "but the mapping needs a\"b (S), c (B);"));
    description(&body, "Table", "ACTIVE", ID_KEY, ID_N);
    assert_int_equal(read_reply(&body, &two, &status, &err), -EEXIST);
}

static void test_the_order_of_key_elements_does_not_matter(void **state)
{
    _cleanup_buf_ struct buf body = {0};
    enum table_status status;
    struct err err;

    (void)state;
    description(&body, "Table", "ACTIVE",
                "{\"AttributeName\":\"c\",\"KeyType\":\"RANGE\"},"
                "{\"AttributeName\":\"a\\\"b\",\"KeyType\":\"HASH\"}",
                "{\"AttributeName\":\"g\",\"AttributeType\":\"N\"},"
                "{\"AttributeName\":\"c\",\"AttributeType\":\"B\"},"
                "{\"AttributeName\":\"a\\\"b\",\"AttributeType\":\"S\"}");
    assert_int_equal(read_reply(&body, &two, &status, &err), 0);
    assert_int_equal(status, TABLE_ACTIVE);
}

static void test_other_bodies_are_no_description(void **state)
{
    static const char *const bodies[] = {"",
                                         "{}",
                                         "[]",
                                         "<html>",
                                         "{\"Table\":5}",
                                         "{\"Table\":{}}",
                                         "{\"Table\":{\"TableStatus\":5}}",
                                         "null",
                                         "{\"Table\":{\"TableStatus\":\"\"}}",
                                         "{\"Table\":"};
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct table_description d = {.status = TABLE_DELETING};
        err.text[0] = '\0';
        assert_int_equal(tables_read(bodies[i], strlen(bodies[i]), "things", &one, &d, &err),
                         -EPROTO);
        assert_int_equal(d.status, TABLE_DELETING);
        assert_non_null(strstr(err.text, "things"));
    }
    _cleanup_buf_ struct buf body = {0};
    buf_puts(&body, "{\"Table\":{\"TableStatus\":\"ACTIVE\"}}");
    enum table_status status;
    assert_int_equal(read_reply(&body, &one, &status, &err), -EEXIST); /* no key at all */
    assert_non_null(strstr(err.text, "has the key ?, but"));
}

static void test_the_identity_is_the_table_id(void **state)
{
    static const char *const ids[] = {"\"TableId\":\"8a0c-11\",", "", "\"TableId\":7,"};
    struct err err = {.text = ""};

    (void)state;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        _cleanup_buf_ struct buf body = {0};
        struct table_description d = {.identity = "old"};
        buf_printf(&body,
                   "{\"Table\":{%s\"TableStatus\":\"ACTIVE\",\"KeySchema\":[{\"AttributeName\":"
                   "\"id\",\"KeyType\":\"HASH\"}],\"AttributeDefinitions\":[" ID_N "]}}",
                   ids[i]);
        assert_int_equal(tables_read(body.data, body.len, "things", &one, &d, &err), 0);
        assert_string_equal(d.identity, i == 0 ? "8a0c-11" : "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_another_key_is_named_beside_ours),
        cmocka_unit_test(test_the_order_of_key_elements_does_not_matter),
        cmocka_unit_test(test_other_bodies_are_no_description),
        cmocka_unit_test(test_the_identity_is_the_table_id),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
