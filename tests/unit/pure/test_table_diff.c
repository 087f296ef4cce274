/* A DynamoDB table that is there, compared with what the configuration says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "dynamodb/table_diff.h"
#include "tables_fixture.h"

static void note_difference(void *arg, const struct table_difference *d)
{
    buf_printf(arg, "%s%s%s: %s\n", table_aspect_name(d->aspect), d->missing ? "+" : "",
               d->note ? "?" : "", d->text);
}

/* What is said of a table with this description, TTL, recovery and tags ("" : not asked). */
static size_t differences(const struct table_definition *d, const char *table, const char *ttl,
                          const char *recovery, const char *tags, struct buf *out)
{
    const char *texts[] = {table, ttl, recovery, tags};
    json_t *o[4];

    for (size_t i = 0; i < 4; i++) {
        o[i] = *texts[i] ? json_loads(texts[i], 0, NULL) : NULL;
        assert_true(o[i] || !*texts[i]);
    }
    struct table_facts f = {o[0], o[1], o[2], o[3]};
    buf_clear(out);
    buf_append(out, "", 0);
    size_t n = table_compare(d, &f, note_difference, out);
    for (size_t i = 0; i < 4; i++)
        json_decref(o[i]);
    return n;
}

#define TYPES                                                                                      \
    "\"AttributeDefinitions\":[{\"AttributeName\":\"id\",\"AttributeType\":\"N\"},"                \
    "{\"AttributeName\":\"a\",\"AttributeType\":\"S\"},"                                           \
    "{\"AttributeName\":\"b\",\"AttributeType\":\"B\"}]"
#define BY_A                                                                                       \
    "{\"IndexName\":\"by-a\",\"KeySchema\":[{\"AttributeName\":\"id\",\"KeyType\":\"RANGE\"},"     \
    "{\"AttributeName\":\"a\",\"KeyType\":\"HASH\"}],\"Projection\":{\"ProjectionType\":\"ALL\"}}"
#define BY_B(names)                                                                                \
    "{\"IndexName\":\"by-b\",\"KeySchema\":[{\"AttributeName\":\"b\",\"KeyType\":\"HASH\"},"       \
    "{\"AttributeName\":\"a\",\"KeyType\":\"RANGE\"}],"                                            \
    "\"Projection\":{\"ProjectionType\":\"INCLUDE\",\"NonKeyAttributes\":[" names "]}}"
#define ON_DEMAND "\"BillingModeSummary\":{\"BillingMode\":\"PAY_PER_REQUEST\"}"
#define PROTECTED "\"DeletionProtectionEnabled\":true"
#define TTL(state, attribute)                                                                      \
    "{\"TimeToLiveStatus\":\"" state "\",\"AttributeName\":\"" attribute "\"}"
#define RECOVERY(state)                                                                            \
    "{\"PointInTimeRecoveryDescription\":{\"PointInTimeRecoveryStatus\":\"" state "\"}}"
#define TEAM(value) "[{\"Key\":\"x\",\"Value\":\"y\"},{\"Key\":\"team\",\"Value\":\"" value "\"}]"

static void test_a_table_as_it_is_wanted(void **state)
{
    _cleanup_definition_ struct table_definition *d = whole();
    _cleanup_buf_ struct buf got = {0};
    static const char table[] = "{" TYPES "," ON_DEMAND "," PROTECTED
                                ",\"GlobalSecondaryIndexes\":[" BY_B("\"y\",\"x\"") "," BY_A "]}";

    (void)state;
    assert_int_equal(differences(d, table, TTL("ENABLED", "until"), RECOVERY("ENABLED"),
                                 TEAM("a \\\"b\\\""), &got),
                     0);
    assert_string_equal(got.data, "");
    assert_int_equal(differences(d, table, TTL("ENABLING", "until"), "", "", &got), 0);
    assert_string_equal(got.data, "");
}

static void test_everything_is_missing(void **state)
{
    _cleanup_definition_ struct table_definition *d = whole();
    _cleanup_buf_ struct buf got = {0};

    (void)state;
    assert_int_equal(differences(d, "{" TYPES "}", "{\"TimeToLiveStatus\":\"DISABLED\"}",
                                 RECOVERY("DISABLED"), "[]", &got),
                     7);
    assert_string_equal(
        got.data, "index+: index by-a is missing\n"
                  "index+: index by-b is missing\n"
                  "billing: it is billed PROVISIONED, and the configuration says billing_mode "
                  "= PAY_PER_REQUEST\n"
                  "ttl+: its items do not expire, and the configuration says by until\n"
                  "tags+: tag team is missing\n"
                  "protection+: it is not protected against deletion\n"
                  "recovery+: point-in-time recovery is off\n");
}

static void test_what_is_otherwise(void **state)
{
    _cleanup_definition_ struct table_definition *d = whole();
    _cleanup_buf_ struct buf got = {0};
    static const char table[] =
        "{" TYPES "," ON_DEMAND "," PROTECTED
        ",\"GlobalSecondaryIndexes\":[{\"IndexName\":\"by-a\",\"KeySchema\":[{\"AttributeName\":"
        "\"a\",\"KeyType\":\"HASH\"}],\"Projection\":{\"ProjectionType\":\"ALL\"}}," BY_B(
            "\"x\"") ",{\"IndexName\":\"theirs\"}]}";

    (void)state;
    assert_int_equal(
        differences(d, table, TTL("ENABLED", "old"), RECOVERY("ENABLED"), TEAM("b"), &got), 4);
    assert_string_equal(
        got.data,
        "index: index by-a is by a (S), ALL, and the configuration says: partition key a (S), sort "
        "key id (N), ALL; an index cannot be changed: delete it, or choose another name\n"
        "index: index by-b is by b (B), a (S), INCLUDE x, and the configuration says: partition "
        "key "
        "b (B), sort key a (S), INCLUDE x, y; an index cannot be changed: delete it, or choose "
        "another name\n"
        "index?: index theirs is there, of which the configuration says nothing\n"
        "ttl: its items expire by old, and the configuration says until; switch the old one off "
        "first, and wait an hour\n"
        "tags+: tag team is \"b\", and the configuration says \"a \"b\"\"\n");
}

static void test_expiry_that_nobody_configured(void **state)
{
    struct table_definition d = {.table = (char *)"things", .key = one};
    _cleanup_buf_ struct buf got = {0};

    (void)state;
    assert_int_equal(differences(&d, "{" ON_DEMAND "}", TTL("ENABLED", "old"), "", "", &got), 1);
    assert_non_null(strstr(got.data, "ttl: its items expire by old, of which"));
    assert_int_equal(differences(&d, "{" ON_DEMAND "}", TTL("DISABLED", "old"), "", "", &got), 0);
    d.capacity = (struct table_capacity){.provisioned = true, .read_units = 5, .write_units = 5};
    assert_int_equal(differences(&d,
                                 "{\"ProvisionedThroughput\":{\"ReadCapacityUnits\":9,"
                                 "\"WriteCapacityUnits\":5}}",
                                 "", "", "", &got),
                     0);
    assert_string_equal(got.data,
                        "billing?: it has 9 read and 5 write units, and the configuration "
                        "says 5 and 5\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_table_as_it_is_wanted),
        cmocka_unit_test(test_everything_is_missing),
        cmocka_unit_test(test_what_is_otherwise),
        cmocka_unit_test(test_expiry_that_nobody_configured),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
