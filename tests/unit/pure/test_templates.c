/* Templates of CloudFormation and Terraform. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "dynamodb/templates.h"
#include "tables_fixture.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_of_resources),
        cmocka_unit_test(test_templates_say_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
