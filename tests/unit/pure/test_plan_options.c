/* Plans with conversions, defaults, added attributes and a source: keys, names, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plan_fixture.h"

static void item_is(const struct table_plan *p, const struct value *row, const char *json)
{
    _cleanup_buf_ struct buf out = {0};
    struct item_fault f = {0};
    size_t size;

    if (item_encode(p, row, &out, &size, &f) != 0)
        fail_msg("%s: %s", f.code, f.text);
    assert_string_equal(out.data, json);
}

static void item_faults(const struct table_plan *p, const struct value *row, const char *column,
                        const char *code)
{
    _cleanup_buf_ struct buf out = {0};
    struct item_fault f = {0};
    size_t size;

    assert_int_equal(item_encode(p, row, &out, &size, &f), -EINVAL);
    assert_string_equal(f.code, code);
    assert_string_equal(f.column ? f.column : "", column);
}

static void key_json_is(const struct table_plan *p, const struct value *row, const char *json)
{
    _cleanup_buf_ struct buf key = {0}, out = {0}, again = {0};
    struct item_fault f = {0};

    if (item_key(p, row, &key, &out, &f) != 0)
        fail_msg("%s: %s", f.code, f.text);
    assert_string_equal(out.data, json);
    assert_int_equal(item_key_json(&p->schema, key.data, key.len, &again), 0);
    assert_string_equal(again.data, json);
}

/* Python: uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_DNS, "example.org"), "users:1") */
#define USERS_1 "2cb094c2-90f4-500c-a4a3-af56fb7427f9"
#define BOOKS_1 "8c5357d7-b67d-5365-a677-a7e19c2420eb"

static void test_references_follow_their_uuids(void **state)
{
    (void)state;
    TABLE(users, "users", 1, COLUMN("id", AFFINITY_INTEGER));
    TABLE(books, "books", 1, COLUMN("id", AFFINITY_INTEGER), COLUMN("user_id", AFFINITY_INTEGER));
    struct said a = {.converted = {{"id", "uuid5(example.org:users)"}}};
    struct said b = {
        .converted = {{"id", "uuid5(example.org:books)"}, {"user_id", "uuid5(example.org:users)"}}};
    struct plan_options of_users = {SAID(a), .keep_key = true}, of_books = {SAID(b)};
    _cleanup_plan_ struct table_plan *u = planned(&users, &of_users);
    _cleanup_plan_ struct table_plan *k = planned(&books, &of_books);
    const struct value user[] = {integer(1)}, book[] = {integer(1), integer(1)};

    assert_int_equal(u->schema.parts[0].type, ATTR_S);
    assert_false(u->plain_key);
    assert_null(u->meeting);
    item_is(u, user, "{\"id\":{\"S\":\"" USERS_1 "\"},\"_key_id\":{\"N\":\"1\"}}");
    item_is(k, book, "{\"id\":{\"S\":\"" BOOKS_1 "\"},\"user_id\":{\"S\":\"" USERS_1 "\"}}");
    key_json_is(u, user, "{\"id\":{\"S\":\"" USERS_1 "\"}}");
}

static void test_keys_take_the_type_of_their_conversion(void **state)
{
    (void)state;
    const struct {
        const char *conversion;
        enum affinity affinity;
        char type;
        bool meets;
    } cases[] = {
        {"timestamp", AFFINITY_INTEGER, 'S', true}, {"epoch", AFFINITY_TEXT, 'N', true},
        {"string", AFFINITY_INTEGER, 'S', false},   {"number", AFFINITY_TEXT, 'N', true},
        {"number", AFFINITY_NUMERIC, 'N', false},   {"uuid5(dns)", AFFINITY_TEXT, 'S', false},
        {"uuid5(dns)", AFFINITY_BLOB, 'S', true},   {"binary", AFFINITY_TEXT, 'B', true},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        TABLE(t, "things", 1, COLUMN("id", cases[i].affinity));
        struct said said = {.converted = {{"id", cases[i].conversion}}};
        struct plan_options o = {SAID(said)};
        _cleanup_plan_ struct table_plan *p = planned(&t, &o);
        assert_int_equal(p->schema.parts[0].type, cases[i].type);
        assert_false(p->plain_key);
        if ((p->meeting != NULL) != cases[i].meets)
            fail_msg("%s: %s", cases[i].conversion, p->meeting);
    }
}

static void test_what_no_key_can_be_is_refused(void **state)
{
    (void)state;
    TABLE(t, "things", 1, COLUMN("id", AFFINITY_INTEGER), COLUMN("any", AFFINITY_NONE));
    struct said flag = {.converted = {{"id", "bool"}}}, doc = {.converted = {{"id", "json"}}};
    struct said index = {.converted = {{"any", "bool"}}, .indexed = {"any"}};
    struct said untyped = {.indexed = {"any"}},
                copy = {.added = {{"x", "{any}"}}, .indexed = {"x"}};
    struct plan_options o = {SAID(flag)};

    refused(&t, &o,
            "\"id\" becomes a BOOL by convert.id, which no key can be; leave the conversion");
    o.arg = &doc;
    refused(&t, &o, "\"id\" becomes JSON by convert.id");
    o.arg = &index;
    refused(&t, &o, "write add.NAME = {any}");
    o.arg = &untyped;
    refused(&t, &o, "convert.any = string");
    o.arg = &copy;
    refused(&t, &o, "key column \"any\" has no type");
}

static void test_a_bool_is_indexed_by_its_copy(void **state)
{
    (void)state;
    TABLE(t, "canvases", 1, COLUMN("id", AFFINITY_INTEGER), COLUMN("is_public", AFFINITY_NUMERIC),
          COLUMN("name", AFFINITY_TEXT));
    struct said said = {
        .converted = {{"is_public", "bool"}},
        .added = {{"isPublicKey", "{is_public}"}, {"kind", "CANVAS"}, {"label", "{name} ({id})"}},
        .indexed = {"isPublicKey", "name"}};
    struct plan_options o = {SAID(said), .write_null = true};
    _cleanup_plan_ struct table_plan *p = planned(&t, &o);
    const struct value row[] = {integer(1), integer(1), text("a")};
    const struct value nulls[] = {integer(1), null(), null()};
    const struct value empty[] = {integer(1), integer(0), text("")};
    const char *attribute;
    enum attr_type type;
    struct err err = {0};

    item_is(
        p, row,
        "{\"id\":{\"N\":\"1\"},\"is_public\":{\"BOOL\":true},\"name\":{\"S\":\"a\"},"
        "\"isPublicKey\":{\"N\":\"1\"},\"kind\":{\"S\":\"CANVAS\"},\"label\":{\"S\":\"a (1)\"}}");
    /* What is the key of an index is left out where it is NULL, and cannot be empty. */
    item_is(p, nulls,
            "{\"id\":{\"N\":\"1\"},\"is_public\":{\"NULL\":true},\"kind\":{\"S\":\"CANVAS\"}}");
    item_faults(p, empty, "name", "key_empty");
    assert_int_equal(plan_index_key(p, "isPublicKey", &attribute, &type, &err), 0);
    assert_int_equal(type, ATTR_N);
    assert_int_equal(plan_index_key(p, "ID", &attribute, &type, &err), 0);
    assert_string_equal(attribute, "id");
    assert_int_equal(plan_index_key(p, "is_public", &attribute, &type, &err), -ENOTSUP);
    assert_int_equal(plan_index_key(p, "nope", &attribute, &type, &err), -ENOENT);
}

static void test_defaults_stand_for_null(void **state)
{
    (void)state;
    TABLE(t, "books", 1, COLUMN("id", AFFINITY_TEXT), COLUMN("genre", AFFINITY_TEXT),
          COLUMN("rating", AFFINITY_NUMERIC), COLUMN("added", AFFINITY_INTEGER));
    struct said said = {
        .defaulted = {{"genre", "Unknown"}, {"rating", "3.50"}, {"added", "1970-01-02"}},
        .converted = {{"added", "timestamp"}}};
    struct said key = {.defaulted = {{"id", "none"}}};
    struct plan_options o = {SAID(said)};
    _cleanup_plan_ struct table_plan *p = planned(&t, &o);
    const struct value row[] = {text("x"), null(), null(), null()};

    item_is(p, row,
            "{\"id\":{\"S\":\"x\"},\"genre\":{\"S\":\"Unknown\"},\"rating\":{\"N\":\"3.5\"},"
            "\"added\":{\"S\":\"1970-01-02T00:00:00.000Z\"}}");
    o.arg = &key;
    _cleanup_plan_ struct table_plan *k = planned(&t, &o);
    const struct value keyless[] = {null()};
    key_json_is(k, keyless, "{\"id\":{\"S\":\"none\"}}");
    assert_non_null(k->meeting); /* with the row that has it by itself */
    t_columns[0].affinity = AFFINITY_INTEGER;
    refused(&t, &o, "default.id is of type S, but the column is part of the key as N");
}

static void test_machines_that_share_a_table(void **state)
{
    (void)state;
    TABLE(t, "things", 1, COLUMN("id", AFFINITY_INTEGER), COLUMN("name", AFFINITY_TEXT));
    struct plan_options o = {.partition_key = "{source_id}#{id}", .source_id = "edge-7"};
    _cleanup_plan_ struct table_plan *p = planned(&t, &o);
    const struct value row[] = {integer(5), text("x")};

    assert_true(p->has_source);
    assert_null(p->meeting);
    key_json_is(p, row, "{\"pk\":{\"S\":\"edge-7#5\"}}");
    o.partition_key = "{name}#{source_id}";
    o.sort_key = "id";
    _cleanup_plan_ struct table_plan *q = planned(&t, &o);
    key_json_is(q, row, "{\"pk\":{\"S\":\"x#edge-7\"},\"id\":{\"N\":\"5\"}}");
    o.partition_key = "{source_id}{id}";
    refused(&t, &o, "{source_id} must begin or end its key");
    o.partition_key = "A#{source_id}#{id}";
    refused(&t, &o, "{source_id} must begin or end its key");
    o.source_id = "";
    refused(&t, &o, "{source_id}, which is not set; write source_id = NAME in [source]");
}

static void test_added_attributes_are_checked(void **state)
{
    (void)state;
    TABLE(t, "things", 1, COLUMN("id", AFFINITY_INTEGER), COLUMN("name", AFFINITY_TEXT));
    const char *const bad[][3] = {
        {"name", "x", "the attribute \"name\" would be there twice"},
        {"x", "{nope}", "its key names the column \"nope\""},
        {"x", "{id", "without \"}\""},
        {"", "x", "an added attribute's name is empty"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct said said = {.added = {{bad[i][0], bad[i][1]}}};
        struct plan_options o = {SAID(said)};
        refused(&t, &o, bad[i][2]);
    }
    struct plan_options ttl = {.ttl_column = "nope"};
    refused(&t, &ttl, "ttl_column names \"nope\"");
    struct said said = {.converted = {{"name", "timestamp"}}};
    struct plan_options iso = {SAID(said), .ttl_column = "name"};
    refused(&t, &iso, "ttl_column \"name\" must be whole Unix seconds; write convert.name = epoch");
}

static void test_faults_name_the_column(void **state)
{
    (void)state;
    TABLE(t, "things", 1, COLUMN("id", AFFINITY_INTEGER), COLUMN("at", AFFINITY_TEXT));
    struct said said = {.converted = {{"at", "timestamp"}}};
    struct plan_options o = {SAID(said)};
    _cleanup_plan_ struct table_plan *p = planned(&t, &o);
    const struct value row[] = {integer(1), text("secret")};
    _cleanup_buf_ struct buf out = {0};
    struct item_fault f = {0};
    size_t size;

    assert_int_equal(item_encode(p, row, &out, &size, &f), -EINVAL);
    assert_string_equal(f.column, "at");
    assert_null(strstr(f.text, "secret"));
    o.partition_key = "{at}";
    _cleanup_plan_ struct table_plan *q = planned(&t, &o);
    _cleanup_buf_ struct buf key = {0};
    assert_int_equal(item_key(q, row, &key, NULL, &f), -EINVAL);
    assert_string_equal(f.column, "at");
    assert_string_equal(f.code, "not_a_time");
}

static void test_every_option_changes_the_fingerprint(void **state)
{
    (void)state;
    TABLE(t, "things", 1, COLUMN("id", AFFINITY_INTEGER), COLUMN("a", AFFINITY_TEXT));
    struct said plain = {0}, ms = {.converted = {{"a", "timestamp(ms)"}}},
                iso = {.converted = {{"a", "timestamp"}}},
                uuid = {.converted = {{"a", "uuid5(dns)"}}},
                other = {.converted = {{"a", "uuid5(url)"}}}, x = {.defaulted = {{"a", "x"}}},
                y = {.defaulted = {{"a", "y"}}}, add = {.added = {{"b", "{a}"}}},
                text_ = {.added = {{"b", "a"}}}, index = {.indexed = {"a"}};
    struct plan_options o[] = {{SAID(plain)},
                               {SAID(ms)},
                               {SAID(iso)},
                               {SAID(uuid)},
                               {SAID(other)},
                               {SAID(uuid), .keep_key = true},
                               {SAID(x)},
                               {SAID(y)},
                               {SAID(add)},
                               {SAID(text_)},
                               {SAID(index)},
                               {.ttl_column = "a"},
                               {.partition_key = "{source_id}#{id}", .source_id = "a"},
                               {.partition_key = "{source_id}#{id}", .source_id = "b"}};
    enum { COUNT = sizeof o / sizeof o[0] };
    char *texts[COUNT];

    for (size_t i = 0; i < COUNT; i++) {
        _cleanup_plan_ struct table_plan *p = planned(&t, &o[i]);
        texts[i] = plan_fingerprint(p);
        for (size_t j = 0; j < i; j++)
            if (strcmp(texts[i], texts[j]) == 0)
                fail_msg("plans %zu and %zu: %s", j, i, texts[i]);
    }
    for (size_t i = 0; i < COUNT; i++)
        free(texts[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_references_follow_their_uuids),
        cmocka_unit_test(test_keys_take_the_type_of_their_conversion),
        cmocka_unit_test(test_what_no_key_can_be_is_refused),
        cmocka_unit_test(test_a_bool_is_indexed_by_its_copy),
        cmocka_unit_test(test_defaults_stand_for_null),
        cmocka_unit_test(test_machines_that_share_a_table),
        cmocka_unit_test(test_added_attributes_are_checked),
        cmocka_unit_test(test_faults_name_the_column),
        cmocka_unit_test(test_every_option_changes_the_fingerprint),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
