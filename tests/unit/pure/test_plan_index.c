/* Secondary indexes: what the configuration's words mean, what is refused, and what rows become. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plan_fixture.h"

/* Indexes by name, shared ones with a '+' before it. */
static bool listed(void *arg, size_t i, struct plan_index_option *out)
{
    const char *const(*list)[2] = arg;

    for (size_t k = 0; k < i; k++)
        if (!list[k][0])
            return false;
    if (!list[i][0])
        return false;
    bool shared = list[i][0][0] == '+';
    *out = (struct plan_index_option){
        .name = list[i][0] + shared, .value = list[i][1], .shared = shared};
    return true;
}

#define BOOKS(var)                                                                                 \
    TABLE(var, "books", 2, COLUMN("owner", AFFINITY_TEXT), COLUMN("id", AFFINITY_INTEGER),         \
          COLUMN("title", AFFINITY_TEXT), COLUMN("cover", AFFINITY_BLOB),                          \
          COLUMN("loose", AFFINITY_NONE))

static void reads(const char *value, const char *expected)
{
    BOOKS(t);
    const char *const list[][2] = {{"one", value}, {NULL, NULL}};
    struct plan_options o = {.arg = (void *)list, .index = listed};
    _cleanup_plan_ struct table_plan *p = planned(&t, &o);
    _cleanup_buf_ struct buf got = {0};

    assert_int_equal(p->index_count, 1);
    assert_string_equal(p->indexes[0].name, "one");
    plan_describe_index(&p->indexes[0], &got);
    assert_string_equal(got.data, expected);
}

static void test_words(void **state)
{
    (void)state;
    reads("title", "partition key title (S), ALL");
    reads(" TITLE , cover ", "partition key title (S), sort key cover (B), ALL");
    reads("id,owner:keys_only", "partition key id (N), sort key owner (S), KEYS_ONLY");
    reads("title : ALL", "partition key title (S), ALL");
    reads("title : INCLUDE cover, more ,", "partition key title (S), INCLUDE cover, more");
    reads("title : include( Cover,x )", "partition key title (S), INCLUDE cover, x");
}

static void refuses(const char *value, const char *part)
{
    BOOKS(t);
    const char *const list[][2] = {{"one", value}, {NULL, NULL}};
    struct plan_options o = {.arg = (void *)list, .index = listed};

    refused(&t, &o, part);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    refuses("", "takes partition key[, sort key]");
    refuses(",", "takes partition key[, sort key]");
    refuses("title, cover, id", "takes partition key[, sort key]");
    refuses(": ALL", "takes partition key[, sort key]");
    refuses("nothing", "index \"one\": \"nothing\" is no column");
    refuses("loose", "index \"one\": key column \"loose\" has no type");
    refuses("title, title", "as partition key and as sort key");
    refuses("title :", "is none of ALL, KEYS_ONLY and INCLUDE");
    refuses("title : SOME a", "\"SOME a\" is none of");
    refuses("title : INCLUDE", "INCLUDE takes 1 to 100 attributes");
    refuses("title : INCLUDE ( a", "INCLUDE( has no \")\"");
}

/* --- rows ------------------------------------------------------------------------------------- */

static void encodes(const struct table_plan *p, struct value title, const char *expected)
{
    const struct value row[] = {text("a"), integer(1), title, null(), null()};
    _cleanup_buf_ struct buf json = {0};
    struct item_fault fault = {0};
    size_t size;
    int rc = item_encode(p, row, &json, &size, &fault);

    assert_string_equal(rc < 0 ? fault.code : json.data, expected);
    if (rc < 0)
        assert_string_equal(fault.column, "title");
}

static void test_rows(void **state)
{
    static char long_text[2049];
    static const char *const by_title[][2] = {{"one", "title"}, {NULL, NULL}};
    static const char *const sorted[][2] = {{"+two", "id, title"}, {NULL, NULL}};

    (void)state;
    BOOKS(t);
    memset(long_text, 'x', sizeof long_text);
    struct plan_options o = {.arg = (void *)by_title, .index = listed, .write_null = true};
    _cleanup_plan_ struct table_plan *p = planned(&t, &o);
#define REST ",\"cover\":{\"NULL\":true},\"loose\":{\"NULL\":true}}"
    encodes(p, text("t"),
            "{\"owner\":{\"S\":\"a\"},\"id\":{\"N\":\"1\"},\"title\":{\"S\":\"t\"}" REST);
    encodes(p, null(), "{\"owner\":{\"S\":\"a\"},\"id\":{\"N\":\"1\"}" REST);
    encodes(p, text(""), "key_empty");
    encodes(p, blob("x", 1), "key_type");
    encodes(p, integer(1), "key_type");
    encodes(p, text_of(long_text, 2049), "key_too_long");
    o.arg = (void *)sorted; /* asked for by another table of the same target */
    _cleanup_plan_ struct table_plan *q = planned(&t, &o);
    assert_int_equal(q->index_count, 0);
    encodes(q, text(""), "key_empty");
    encodes(q, text_of(long_text, 1025), "key_too_long");
    _cleanup_free_ char *one = plan_fingerprint(p), *two = plan_fingerprint(q);
    assert_string_not_equal(one, two);
}

/* The partition key of the table, as the sort key of an index: 1,024 bytes. */
static void test_the_tables_own_key(void **state)
{
    static char long_text[1025];
    static const char *const inverted[][2] = {{"one", "id, owner"}, {NULL, NULL}};
    struct item_fault fault;

    (void)state;
    BOOKS(t);
    memset(long_text, 'x', sizeof long_text);
    struct plan_options o = {.arg = (void *)inverted, .index = listed};
    _cleanup_plan_ struct table_plan *p = planned(&t, &o), *plain = planned(&t, NULL);
    const struct value key[] = {text_of(long_text, sizeof long_text), integer(1)};
    _cleanup_buf_ struct buf out = {0};
    assert_int_equal(item_key(plain, key, &out, NULL, &fault), 0);
    assert_int_equal(item_key(p, key, &out, NULL, &fault), -EINVAL);
    assert_string_equal(fault.code, "key_too_long");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_the_tables_own_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
