/* Markers: what is written is read back, and who has a table follows from what is there. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "dynamodb/marker.h"

static bool knows(void *arg, const char *generation)
{
    return strcmp(arg, generation) == 0;
}

static struct marker_self self_of(const char *source, const char *known)
{
    return (struct marker_self){.source = source,
                                .database = "d1",
                                .host = "h1",
                                .identity = "table-1",
                                .knows_lives = known[0] != '\0',
                                .arg = (void *)known,
                                .knows = knows};
}

static struct marker marker_of(const char *source, const char *database, const char *host,
                               const char *generation)
{
    struct marker x = {0};

    snprintf(x.source, sizeof x.source, "%s", source);
    snprintf(x.database, sizeof x.database, "%s", database);
    snprintf(x.host, sizeof x.host, "%s", host);
    snprintf(x.generation, sizeof x.generation, "%s", generation);
    snprintf(x.identity, sizeof x.identity, "table-1");
    return x;
}

static enum marker_verdict judged(const struct marker *x, size_t n, const struct marker_self *self)
{
    const struct marker *which;

    return marker_judge(x, n, self, &which);
}

static void test_nothing_there_is_nobodys(void **state)
{
    const struct marker_self me = self_of("", "");
    const struct marker *which;

    (void)state;
    assert_int_equal(marker_judge(NULL, 0, &me, &which), MARKER_NONE);
    assert_null(which);
}

static void test_the_life_that_is_known_is_ours_wherever_it_was(void **state)
{
    const struct marker_self me = self_of("", "g1");
    struct marker x = marker_of("", "other", "elsewhere", "g1");

    (void)state;
    assert_int_equal(judged(&x, 1, &me), MARKER_OURS);
}

static void test_a_life_that_is_not_known(void **state)
{
    const struct marker_self lost = self_of("", ""), behind = self_of("", "g1");
    struct marker x = marker_of("", "d1", "h1", "g2");

    (void)state;
    assert_int_equal(judged(&x, 1, &lost), MARKER_OURS);
    assert_int_equal(judged(&x, 1, &behind), MARKER_AHEAD);
    x = marker_of("", "d1", "h2", "g2"); /* a copy on another host */
    assert_int_equal(judged(&x, 1, &lost), MARKER_OTHER);
    assert_int_equal(judged(&x, 1, &behind), MARKER_OTHER);
    x = marker_of("", "d2", "h1", "g2"); /* another database on this one */
    assert_int_equal(judged(&x, 1, &behind), MARKER_OTHER);
}

static void test_of_a_table_that_is_no_more(void **state)
{
    const struct marker_self me = self_of("", "");
    struct marker x = marker_of("", "d2", "h2", "g2");

    (void)state;
    snprintf(x.identity, sizeof x.identity, "table-0");
    assert_int_equal(judged(&x, 1, &me), MARKER_NONE);
    x.handed_over = true;
    assert_int_equal(judged(&x, 1, &me), MARKER_HANDED_OVER);
}

static void test_handed_over_is_told_even_to_who_did(void **state)
{
    const struct marker_self me = self_of("", "g1");
    struct marker x = marker_of("", "d1", "h1", "g1");

    (void)state;
    x.handed_over = true;
    assert_int_equal(judged(&x, 1, &me), MARKER_HANDED_OVER);
}

static void test_shares_do_not_mind_each_other(void **state)
{
    const struct marker_self berlin = self_of("berlin", "g1"), alone = self_of("", "");
    struct marker x[] = {marker_of("paris", "d2", "h2", "g2"),
                         marker_of("berlin", "d1", "h1", "g1")};

    (void)state;
    assert_int_equal(judged(x, 1, &berlin), MARKER_NONE);
    assert_int_equal(judged(x, 2, &berlin), MARKER_OURS);
    assert_int_equal(judged(x, 1, &alone), MARKER_OTHER);
    x[0].handed_over = true;
    assert_int_equal(judged(x, 2, &berlin), MARKER_OURS);
    /* Two machines with one name. */
    x[1] = marker_of("berlin", "d3", "h3", "g3");
    assert_int_equal(judged(x, 2, &berlin), MARKER_OTHER);
}

static void test_a_share_beside_one_that_has_it_alone(void **state)
{
    const struct marker_self berlin = self_of("berlin", "");
    struct marker x[] = {marker_of("", "d2", "h2", "g2"), marker_of("berlin", "d1", "h1", "g1")};

    (void)state;
    assert_int_equal(judged(x, 1, &berlin), MARKER_OTHER);
    assert_int_equal(judged(x, 2, &berlin), MARKER_OURS); /* it was approved then */
    x[0] = marker_of("", "d1", "h1", "g0");               /* ours, before it was to be shared */
    assert_int_equal(judged(x, 1, &berlin), MARKER_NONE);
}

/* --- bodies ----------------------------------------------------------------------------------- */

static json_t *parsed(const struct buf *b)
{
    json_t *root = json_loads(b->data, 0, NULL);

    assert_non_null(root);
    return root;
}

static void test_what_is_written_is_read_back(void **state)
{
    struct marker x = marker_of("berlin \"1\"", "d1", "h1", "g1"), back[MARKER_MAX];
    _cleanup_buf_ struct buf body = {0};
    size_t count = 0;

    (void)state;
    snprintf(x.path, sizeof x.path, "/a b/\"c\".db");
    snprintf(x.hostname, sizeof x.hostname, "vm");
    snprintf(x.since, sizeof x.since, "2026-01-02T03:04:05Z");
    x.alone = true;
    marker_put_body(&body, "syncd-meta", "app.users", &x, "");
    json_auto_t *call = parsed(&body);
    const json_t *item = json_object_get(call, "Item");
    assert_string_equal(json_string_value(json_object_get(json_object_get(item, "id"), "S")),
                        "table#app.users");
    assert_string_equal(json_string_value(json_object_get(call, "ConditionExpression")),
                        "attribute_not_exists(#i)");
    json_auto_t *reply = json_pack("{s[O]}", "Items", item);
    char *text = json_dumps(reply, 0);
    assert_int_equal(marker_read(text, strlen(text), back, &count), 0);
    free(text);
    assert_int_equal(count, 1);
    assert_memory_equal(&back[0], &x, sizeof x);
}

static void test_a_put_asks_for_what_was_read(void **state)
{
    struct marker x = marker_of("", "d1", "h1", "g2");
    _cleanup_buf_ struct buf body = {0};

    (void)state;
    marker_put_body(&body, "syncd-meta", "t", &x, "g1");
    json_auto_t *call = parsed(&body);
    assert_string_equal(json_string_value(json_object_get(call, "ConditionExpression")), "#g = :g");
    const json_t *values = json_object_get(call, "ExpressionAttributeValues");
    assert_string_equal(json_string_value(json_object_get(json_object_get(values, ":g"), "S")),
                        "g1");
}

static void test_what_is_no_marker_is_passed_over(void **state)
{
    static const char reply[] =
        "{\"Items\":[{\"id\":{\"S\":\"table#t\"},\"kind\":{\"S\":\"schema\"}},"
        "{\"id\":{\"S\":\"table#t\"},\"kind\":{\"S\":\"ownership\"}},{},"
        "{\"id\":{\"S\":\"table#t\"},\"kind\":{\"S\":\"owner\"}}]}";
    struct marker found[MARKER_MAX];
    size_t count = 0;

    (void)state;
    assert_int_equal(marker_read(reply, sizeof reply - 1, found, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(marker_read("{}", 2, found, &count), -EPROTO);
    assert_int_equal(marker_read("x", 1, found, &count), -EPROTO);
}

static void test_the_query_names_the_table(void **state)
{
    _cleanup_buf_ struct buf body = {0};

    (void)state;
    marker_query_body(&body, "syncd-meta", "app");
    json_auto_t *call = parsed(&body);
    assert_true(json_is_true(json_object_get(call, "ConsistentRead")));
    const json_t *values = json_object_get(call, "ExpressionAttributeValues");
    assert_string_equal(json_string_value(json_object_get(json_object_get(values, ":t"), "S")),
                        "table#app");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_there_is_nobodys),
        cmocka_unit_test(test_the_life_that_is_known_is_ours_wherever_it_was),
        cmocka_unit_test(test_a_life_that_is_not_known),
        cmocka_unit_test(test_of_a_table_that_is_no_more),
        cmocka_unit_test(test_handed_over_is_told_even_to_who_did),
        cmocka_unit_test(test_shares_do_not_mind_each_other),
        cmocka_unit_test(test_a_share_beside_one_that_has_it_alone),
        cmocka_unit_test(test_what_is_written_is_read_back),
        cmocka_unit_test(test_a_put_asks_for_what_was_read),
        cmocka_unit_test(test_what_is_no_marker_is_passed_over),
        cmocka_unit_test(test_the_query_names_the_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
