/* Policies: each names what its purpose needs and no more, the samples are the program's, and what
 * a refusal says is told. That the table of operations is what the code sends: test_iam.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <jansson.h>

#include "pure/policy_samples.h"

static void the_samples_are_the_programs_output(void **state)
{
    (void)state;
    for (size_t i = 0; i < POLICY_SAMPLES; i++) {
        _cleanup_buf_ struct buf text = {0};
        char path[256], file[8192];
        policy_print(&policy_samples[i].request, &text);
        snprintf(path, sizeof path, "etc/iam/%s", policy_samples[i].file);
        FILE *f = fopen(path, "r");
        if (!f)
            fail_msg("%s is missing: make sample-policies", path);
        size_t n = fread(file, 1, sizeof file, f);
        fclose(f);
        if (n != text.len || memcmp(file, text.data, n) != 0)
            fail_msg("%s is not what is printed: make sample-policies", path);
    }
}

/* "Action Resource" of each pair that is allowed, in a sorted list of lines. */
static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void allowed(const struct policy_request *r, struct buf *out)
{
    _cleanup_buf_ struct buf text = {0};
    char *lines[64];
    size_t n = 0, i, k, l;
    json_t *statement, *action, *resource;

    policy_print(r, &text);
    assert_true(buf_ok(&text));
    json_t *root = json_loadb(text.data, text.len, 0, NULL);
    assert_non_null(root);
    assert_string_equal(json_string_value(json_object_get(root, "Version")), "2012-10-17");
    json_array_foreach(json_object_get(root, "Statement"), i, statement)
    {
        assert_string_equal(json_string_value(json_object_get(statement, "Effect")), "Allow");
        json_array_foreach(json_object_get(statement, "Action"), k, action)
            json_array_foreach(json_object_get(statement, "Resource"), l, resource)
        {
            assert_true(n < 64);
            assert_true(asprintf(&lines[n++], "%s %s\n", json_string_value(action),
                                 json_string_value(resource)) > 0);
        }
    }
    json_decref(root);
    qsort(lines, n, sizeof *lines, compare_lines);
    for (i = 0; i < n; i++) {
        buf_puts(out, lines[i]);
        free(lines[i]);
    }
}

static void expect_all(unsigned purposes, const char *meta, bool create, const char *lines)
{
    static const char *const tables[] = {"a"}, *const exports[] = {"x", "y"};
    const struct policy_request r = {.purposes = purposes,
                                     .partition = "aws-cn",
                                     .region = "cn-north-1",
                                     .account = "*",
                                     .tables = tables,
                                     .table_count = 1,
                                     .export_tables = exports,
                                     .export_count = 2,
                                     .meta_table = meta,
                                     .create_tables = create};
    _cleanup_buf_ struct buf got = {0};

    allowed(&r, &got);
    assert_string_equal(got.data, lines);
}

static void expect(enum policy_purpose purpose, const char *meta, bool create, const char *lines)
{
    expect_all(1u << purpose, meta, create, lines);
}

#define ON(action, table) "dynamodb:" action " arn:aws-cn:dynamodb:cn-north-1:*:table/" table "\n"

static void each_purpose_gets_what_it_needs_and_no_more(void **state)
{
    (void)state;
    expect(POLICY_DAEMON, NULL, false,
           ON("BatchWriteItem", "a") ON("DescribeTable", "a") ON("Scan", "a"));
    expect(POLICY_DAEMON, NULL, true,
           ON("BatchWriteItem", "a") ON("CreateTable", "a") ON("DescribeTable", "a")
               ON("Scan", "a"));
    expect(POLICY_DAEMON, "m", false,
           ON("BatchWriteItem", "a") ON("BatchWriteItem", "m") ON("DescribeTable", "a")
               ON("DescribeTable", "m") ON("GetItem", "m") ON("PutItem", "m") ON("Query", "m")
                   ON("Scan", "a"));
    expect(POLICY_TABLES, "m", false,
           ON("CreateTable", "a") ON("CreateTable", "m") ON("DescribeTable", "a")
               ON("DescribeTable", "m") ON("DescribeTimeToLive", "a")
                   ON("DescribeTimeToLive", "m"));
    expect(POLICY_VERIFY, "m", true,
           ON("BatchGetItem", "a") ON("DescribeTable", "a") ON("Scan", "a"));
    expect(POLICY_RESTORE, "m", true,
           ON("DescribeTable", "a") ON("DescribeTable", "m") ON("GetItem", "a") ON("GetItem", "m")
               ON("Scan", "a") ON("Scan", "m"));
    expect(POLICY_PURGE, NULL, true,
           ON("BatchWriteItem", "a") ON("DeleteTable", "a") ON("DescribeTable", "a")
               ON("Scan", "a"));
    expect(POLICY_EXPORT, "m", true,
           ON("DescribeTable", "x") ON("DescribeTable", "y") ON("GetItem", "x") ON("GetItem", "y")
               ON("Scan", "x") ON("Scan", "y"));
}

static void several_purposes_get_what_any_of_them_needs(void **state)
{
    unsigned purposes;

    (void)state;
    assert_null(policy_purposes_find("verify", &purposes));
    assert_int_equal(purposes, 1u << POLICY_VERIFY);
    assert_null(policy_purposes_find("verify,daemon,verify", &purposes));
    assert_int_equal(purposes, 1u << POLICY_VERIFY | 1u << POLICY_DAEMON);
    assert_null(policy_purposes_find("migrate,purge", &purposes));
    assert_int_equal(purposes, POLICY_MIGRATE | 1u << POLICY_PURGE);
    assert_string_equal(policy_purposes_find("daemon,all,purge", &purposes), "all,purge");
    assert_string_equal(policy_purposes_find("daemon,", &purposes), "");
    assert_string_equal(policy_purposes_find("daemo", &purposes), "daemo");
    assert_null(policy_purposes_find("verify,export", &purposes));
    assert_int_equal(purposes, 1u << POLICY_VERIFY | 1u << POLICY_EXPORT);
    expect_all(POLICY_MIGRATE, "m", false,
               ON("BatchGetItem", "a") ON("BatchWriteItem", "a") ON("BatchWriteItem", "m")
                   ON("CreateTable", "a") ON("CreateTable", "m") ON("DescribeTable", "a")
                       ON("DescribeTable", "m") ON("DescribeTimeToLive", "a")
                           ON("DescribeTimeToLive", "m") ON("GetItem", "m") ON("PutItem", "m")
                               ON("Query", "m") ON("Scan", "a"));
}

static void what_is_exported_has_a_statement_of_its_own(void **state)
{
    (void)state;
    expect_all(1u << POLICY_VERIFY | 1u << POLICY_EXPORT, "m", false,
               ON("BatchGetItem", "a") ON("DescribeTable", "a") ON("DescribeTable", "x")
                   ON("DescribeTable", "y") ON("GetItem", "x") ON("GetItem", "y") ON("Scan", "a")
                       ON("Scan", "x") ON("Scan", "y"));
}

/* What tables are to have beside a key takes calls of their own. */
static void rights_follow_what_tables_are_to_have(void **state)
{
    static const char *const tables[] = {"a"};
    struct policy_request r = {.purposes = 1u << POLICY_DAEMON,
                               .partition = "aws-cn",
                               .region = "cn-north-1",
                               .account = "*",
                               .tables = tables,
                               .table_count = 1,
                               .meta_table = "m",
                               .ttl = true,
                               .tags = true,
                               .recovery = true,
                               .indexes = true};
    _cleanup_buf_ struct buf got = {0};

    (void)state;
    allowed(&r, &got);
    assert_null(strstr(got.data, "Update"));
    assert_null(strstr(got.data, "Tag"));
    r.create_tables = true;
    buf_clear(&got);
    allowed(&r, &got);
    assert_non_null(strstr(got.data, ON("TagResource", "a") ON("TagResource", "m")));
    assert_non_null(strstr(got.data, ON("UpdateContinuousBackups", "m")));
    assert_non_null(strstr(got.data, ON("UpdateTimeToLive", "a")));
    assert_null(strstr(got.data, ON("UpdateTimeToLive", "m"))); /* nothing there expires */
    assert_null(strstr(got.data, "UpdateTable"));
    r.purposes = 1u << POLICY_TABLES;
    buf_clear(&got);
    allowed(&r, &got);
    assert_non_null(strstr(got.data, ON("ListTagsOfResource", "a")));
    assert_non_null(strstr(got.data, ON("DescribeContinuousBackups", "a")));
    assert_non_null(strstr(got.data, ON("UpdateTable", "a") ON("UpdateTimeToLive", "a")));
    assert_null(strstr(got.data, ON("UpdateTable", "m")));
    assert_null(strstr(got.data, "DeleteTable"));
    r.protection = true;
    buf_clear(&got);
    allowed(&r, &got);
    assert_non_null(strstr(got.data, ON("UpdateTable", "a") ON("UpdateTable", "m")));
}

static void every_operation_is_of_use(void **state)
{
    (void)state;
    for (const struct ddb_operation *o = ddb_operations; o->name; o++) {
        bool needed = false;
        for (int p = 0; p < POLICY_PURPOSES; p++)
            needed |= o->need[p] != NEED_NOT;
        assert_true(needed);
        assert_ptr_equal(ddb_operation_find(o->name), o);
    }
    assert_null(ddb_operation_find("ListTables"));
}

static void only_what_is_no_blank_counts(void **state)
{
    struct buf b = {0};

    (void)state;
    buf_puts(&b, " {\n\t\"a\" : 1 }\n");
    assert_int_equal(policy_length(&b), 7);
    buf_free(&b);
}

static void explained(const char *message, const char *expected)
{
    char out[400];

    policy_explain_denied(message, out, sizeof out);
    assert_string_equal(out, expected);
}

static void a_refusal_names_action_and_resource(void **state)
{
    (void)state;
    explained("User: arn:aws:iam::123456789012:user/app is not authorized to perform: "
              "dynamodb:BatchWriteItem on resource: "
              "arn:aws:dynamodb:us-west-2:123456789012:table/chat because no identity-based policy "
              "allows the dynamodb:BatchWriteItem action",
              "dynamodb:BatchWriteItem is not allowed on "
              "arn:aws:dynamodb:us-west-2:123456789012:table/chat; `syncctl iam-policy` prints the "
              "policy that is needed (DynamoDB: because no identity-based policy allows the "
              "dynamodb:BatchWriteItem action)");
    explained(
        "User: x is not authorized to perform: dynamodb:BatchGetItem",
        "dynamodb:BatchGetItem is not allowed; `syncctl iam-policy --for verify` prints the policy "
        "that is needed");
    explained("User: x is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:k",
              "kms:Decrypt is not allowed on arn:aws:kms:k; the table's key or another service "
              "asks for it: allow it by hand");
    explained("Access denied for reasons of its own", "Access denied for reasons of its own");
    explained("", "");
    explained("perform: ", "perform: ");
}

/* However long, it stays within its bounds and names the action. */
static void a_long_refusal_is_cut(void **state)
{
    char message[5000], out[400];

    (void)state;
    snprintf(message, sizeof message,
             "User: x is not authorized to perform: dynamodb:GetItem on resource: %0900d because "
             "%03000d",
             1, 2);
    policy_explain_denied(message, out, sizeof out);
    assert_true(strlen(out) < sizeof out);
    assert_int_equal(strncmp(out, "dynamodb:GetItem is not allowed; `syncctl iam-policy`", 53), 0);
    memset(message, 'x', sizeof message - 1);
    message[sizeof message - 1] = '\0';
    memcpy(message, "perform: ", 9);
    policy_explain_denied(message, out, sizeof out);
    assert_int_equal(strlen(out), sizeof out - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_samples_are_the_programs_output),
        cmocka_unit_test(each_purpose_gets_what_it_needs_and_no_more),
        cmocka_unit_test(several_purposes_get_what_any_of_them_needs),
        cmocka_unit_test(what_is_exported_has_a_statement_of_its_own),
        cmocka_unit_test(rights_follow_what_tables_are_to_have),
        cmocka_unit_test(every_operation_is_of_use),
        cmocka_unit_test(only_what_is_no_blank_counts),
        cmocka_unit_test(a_refusal_names_action_and_resource),
        cmocka_unit_test(a_long_refusal_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
