/* CreateTable and DescribeTable: bodies, states, and the sentence about a key that is another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "dynamodb/table_diff.h"
#include "dynamodb/templates.h"
#include "plan_fixture.h"

static const struct key_schema one = {.parts = {{(char *)"id", ATTR_N}}, .count = 1};
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

static struct plan_index index_by(const char *name, const char *a, char ta, const char *b, char tb)
{
    return (struct plan_index){
        .name = (char *)name,
        .keys = {.parts = {{(char *)a, (enum attr_type)ta}, {(char *)b, (enum attr_type)tb}},
                 .count = b ? 2 : 1}};
}

#define _cleanup_definition_ _cleanup_(definition_drop)
static void definition_drop(struct table_definition **d)
{
    table_definition_free(*d);
}

static struct table_definition *whole(void)
{
    struct table_definition *d = table_definition_new("things", &one);
    struct plan_index first = index_by("by-a", "a", 'S', "id", 'N');
    struct plan_index second = index_by("by-b", "b", 'B', "a", 'S');
    char *included[] = {(char *)"x", (char *)"y"};
    struct err err = {.text = ""};

    second.projection = PROJECT_INCLUDE;
    second.include = included;
    second.include_count = 2;
    assert_non_null(d);
    assert_int_equal(table_definition_add_index(d, &first, &err), 0);
    assert_int_equal(table_definition_add_index(d, &second, &err), 0);
    assert_int_equal(table_definition_add_index(d, &second, &err), 0); /* the same: once */
    assert_int_equal(table_definition_set_ttl(d, "until", &err), 0);
    assert_int_equal(table_definition_add_tag(d, "team", "a \"b\"", &err), 0);
    d->deletion_protection = d->point_in_time_recovery = true;
    assert_string_equal(err.text, "");
    return d;
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

/* --- comparing -------------------------------------------------------------------------------- */

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

/* --- templates -------------------------------------------------------------------------------- */

static json_t *template_of(enum template_format format,
                           const struct table_definition *const *tables, size_t n)
{
    _cleanup_buf_ struct buf text = {0}, again = {0};

    assert_int_equal(templates_print(format, tables, n, &text), 0);
    assert_int_equal(templates_print(format, tables, n, &again), 0);
    assert_string_equal(text.data, again.data);
    assert_int_equal(text.data[text.len - 1], '\n');
    json_t *o = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(o);
    return o;
}

static void test_names_of_resources(void **state)
{
    static const char *const names[] = {"app-chat_messages", "AppChatMessages", "1st.table", "..."};
    static const char *const logical[] = {"AppChatMessages", "AppChatMessages2", "Table1stTable",
                                          "Table"};
    static const char *const terraform[] = {"app-chat_messages", "AppChatMessages",
                                            "table_1st_table", "table____"};
    struct table_definition d[4];
    const struct table_definition *tables[4];

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        d[i] = (struct table_definition){.table = (char *)names[i], .key = one};
        tables[i] = &d[i];
    }
    json_t *c = template_of(TEMPLATE_CLOUDFORMATION, tables, 4);
    json_t *t = template_of(TEMPLATE_TERRAFORM, tables, 4);
    for (size_t i = 0; i < 4; i++) {
        const json_t *r = json_object_get(json_object_get(c, "Resources"), logical[i]);
        r = json_object_get(json_object_get(r, "Properties"), "TableName");
        assert_string_equal(json_string_value(r), names[i]);
        r = json_object_get(json_object_get(t, "resource"), "aws_dynamodb_table");
        r = json_object_get(json_object_get(r, terraform[i]), "name");
        assert_string_equal(json_string_value(r), names[i]);
    }
    json_decref(c);
    json_decref(t);
}

static void test_templates_say_everything(void **state)
{
    _cleanup_definition_ struct table_definition *d = whole();
    const struct table_definition *tables[] = {d};

    (void)state;
    d->capacity = (struct table_capacity){.provisioned = true, .read_units = 7, .write_units = 3};
    json_t *root = template_of(TEMPLATE_CLOUDFORMATION, tables, 1);
    const json_t *p = json_object_get(json_object_get(json_object_get(root, "Resources"), "Things"),
                                      "Properties");
    p = json_object_get(p, "TimeToLiveSpecification");
    assert_string_equal(json_string_value(json_object_get(p, "AttributeName")), "until");
    json_decref(root);

    root = template_of(TEMPLATE_TERRAFORM, tables, 1);
    const json_t *r = json_object_get(
        json_object_get(json_object_get(root, "resource"), "aws_dynamodb_table"), "things");
    json_t *want = json_pack(
        "{s:s, s:s, s:i, s:i, s:s, s:[{s:s, s:s}, {s:s, s:s}, {s:s, s:s}],"
        " s:[{s:s, s:s, s:s, s:s, s:i, s:i}, {s:s, s:s, s:s, s:s, s:[s, s], s:i, s:i}],"
        " s:{s:s}, s:{s:s, s:b}, s:b, s:{s:b}, s:{s:b}}",
        "name", "things", "billing_mode", "PROVISIONED", "read_capacity", 7, "write_capacity", 3,
        "hash_key", "id", "attribute", "name", "id", "type", "N", "name", "a", "type", "S", "name",
        "b", "type", "B", "global_secondary_index", "name", "by-a", "hash_key", "a", "range_key",
        "id", "projection_type", "ALL", "read_capacity", 7, "write_capacity", 3, "name", "by-b",
        "hash_key", "b", "range_key", "a", "projection_type", "INCLUDE", "non_key_attributes", "x",
        "y", "read_capacity", 7, "write_capacity", 3, "tags", "team", "a \"b\"", "ttl",
        "attribute_name", "until", "enabled", 1, "deletion_protection_enabled", 1,
        "point_in_time_recovery", "enabled", 1, "lifecycle", "prevent_destroy", 1);
    assert_non_null(want);
    assert_true(json_equal(r, want));
    json_decref(want);
    json_decref(root);
}

static void test_describe(void **state)
{
    _cleanup_buf_ struct buf body = {0};

    (void)state;
    tables_name_body(&body, "things");
    body_is(&body, "{\"TableName\":\"things\"}");
}

/* --- replies ---------------------------------------------------------------------------------- */

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
        cmocka_unit_test(test_create_on_demand),
        cmocka_unit_test(test_create_provisioned_with_a_sort_key),
        cmocka_unit_test(test_create_with_everything),
        cmocka_unit_test(test_the_calls_after_it),
        cmocka_unit_test(test_one_index_more),
        cmocka_unit_test(test_definitions_that_contradict_themselves),
        cmocka_unit_test(test_a_table_as_it_is_wanted),
        cmocka_unit_test(test_everything_is_missing),
        cmocka_unit_test(test_what_is_otherwise),
        cmocka_unit_test(test_expiry_that_nobody_configured),
        cmocka_unit_test(test_names_of_resources),
        cmocka_unit_test(test_templates_say_everything),
        cmocka_unit_test(test_describe),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_another_key_is_named_beside_ours),
        cmocka_unit_test(test_the_order_of_key_elements_does_not_matter),
        cmocka_unit_test(test_the_identity_is_the_table_id),
        cmocka_unit_test(test_other_bodies_are_no_description),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
