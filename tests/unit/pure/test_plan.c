/* Plans: which keys tables get, what is refused and in which words, and when the fingerprint
 * changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plan_fixture.h"

static void key_is(const struct table_info *t, const struct plan_options *o, const char *want)
{
    _cleanup_plan_ struct table_plan *p = planned(t, o);
    _cleanup_buf_ struct buf b = {0};

    plan_describe_key(p, &b);
    assert_string_equal(b.data, want);
}

/* --- keys without configuration --------------------------------------------------------------- */

static void test_one_key_column_is_the_partition_key(void **state)
{
    TABLE(n, "n", 1, COLUMN("id", AFFINITY_INTEGER), COLUMN("v", AFFINITY_NONE));
    TABLE(s, "books", 1, COLUMN("isbn", AFFINITY_TEXT));
    TABLE(b, "files", 1, COLUMN("hash", AFFINITY_BLOB));
    TABLE(r, "reals", 1, COLUMN("x", AFFINITY_REAL));
    TABLE(d, "decimals", 1, COLUMN("x", AFFINITY_NUMERIC));

    (void)state;
    n.name = (char *)"numbers";
    key_is(&n, NULL, "partition key id (N)");
    key_is(&s, NULL, "partition key isbn (S)");
    key_is(&b, NULL, "partition key hash (B)");
    key_is(&r, NULL, "partition key x (N)");
    key_is(&d, NULL, "partition key x (N)");
}

static void test_two_key_columns_are_partition_and_sort_key(void **state)
{
    TABLE(t, "loans", 2, COLUMN("user", AFFINITY_INTEGER), COLUMN("book", AFFINITY_TEXT));

    (void)state;
    key_is(&t, NULL, "partition key user (N), sort key book (S)");
    _cleanup_plan_ struct table_plan *p = planned(&t, NULL);
    assert_true(p->plain_key);
    assert_int_equal(p->row_key_count, 2);
    assert_string_equal(p->page_by, "rowid");
}

static void test_more_key_columns_are_joined(void **state)
{
    TABLE(t, "seats", 3, COLUMN("hall", AFFINITY_INTEGER), COLUMN("line", AFFINITY_TEXT),
          COLUMN("place", AFFINITY_INTEGER));

    (void)state;
    key_is(&t, NULL, "partition key hall (N), sort key line#place (S)");
    _cleanup_plan_ struct table_plan *p = planned(&t, NULL);
    assert_false(p->plain_key);
    struct plan_options o = {.partition_key_name = "p", .sort_key_name = "s"};
    key_is(&t, &o, "partition key p (N), sort key s (S)");
}

static void test_the_row_key_comes_first_in_key_order(void **state)
{
    TABLE(t, "things", 2, COLUMN("a", AFFINITY_TEXT), COLUMN("b", AFFINITY_TEXT),
          COLUMN("c", AFFINITY_TEXT));

    (void)state;
    t_key[0] = 2;
    t_key[1] = 0;
    t.kind = TABLE_WITHOUT_ROWID;
    _cleanup_plan_ struct table_plan *p = planned(&t, NULL);
    assert_string_equal(p->columns[0].name, "c");
    assert_string_equal(p->columns[1].name, "a");
    assert_string_equal(p->columns[2].name, "b");
    assert_string_equal(p->schema.parts[0].name, "c");
    assert_null(p->page_by);
    assert_false(p->row_key_is_rowid);
}

static void test_rowid_keys_are_marked(void **state)
{
    TABLE(t, "things", 1, COLUMN("id", AFFINITY_INTEGER));

    (void)state;
    t.rowid_key = true;
    _cleanup_plan_ struct table_plan *p = planned(&t, NULL);
    assert_true(p->row_key_is_rowid);
}

/* --- refusals --------------------------------------------------------------------------------- */

static void test_only_ordinary_tables_are_mirrored(void **state)
{
    TABLE(t, "things", 1, COLUMN("id", AFFINITY_INTEGER));

    (void)state;
    t.kind = TABLE_VIEW;
    refused(&t, NULL, "it is a view: only tables are mirrored");
    t.kind = TABLE_VIRTUAL;
    refused(&t, NULL, "it is a virtual table");
    t.kind = TABLE_SHADOW;
    refused(&t, NULL, "it is the shadow table of a virtual table");
}

static void test_key_columns_must_have_a_type_and_a_known_collation(void **state)
{
    TABLE(t, "things", 1, COLUMN("id", AFFINITY_NONE));

    (void)state;
    refused(&t, NULL, "key column \"id\" has no type, so 1 and '1' could both be keys");
    t_columns[0].affinity = AFFINITY_TEXT;
    t_columns[0].collation = (char *)"german";
    refused(&t, NULL, "key column \"id\" has the collation german");
    t_columns[0].collation = (char *)"nocase";
    key_is(&t, NULL, "partition key id (S)");
    t_columns[0].collation = (char *)"RTRIM";
    key_is(&t, NULL, "partition key id (S)");
}

static void test_names_must_be_dynamodbs(void **state)
{
    TABLE(t, "ab", 1, COLUMN("id", AFFINITY_INTEGER));
    struct plan_options o = {.target = "has space"};

    (void)state;
    refused(&t, NULL, "\"ab\" is no name for a DynamoDB table");
    refused(&t, &o, "\"has space\" is no name");
    o.target = "good.name";
    _cleanup_plan_ struct table_plan *p = planned(&t, &o);
    assert_string_equal(p->target, "good.name");
    o = (struct plan_options){.table_name = "x-{Table}-y"};
    _cleanup_plan_ struct table_plan *q = planned(&t, &o);
    assert_string_equal(q->target, "x-Ab-y");
    assert_string_equal(q->table, "ab");
    o.table_name = "x-{tables}";
    refused(&t, &o, "\"x-{tables}\" is no name");
}

static void test_sort_key_alone_is_refused(void **state)
{
    TABLE(t, "things", 1, COLUMN("id", AFFINITY_INTEGER));
    struct plan_options o = {.sort_key = "id"};

    (void)state;
    refused(&t, &o, "sort_key is set without partition_key");
}

static void test_configured_keys_name_columns_that_are_there(void **state)
{
    TABLE(t, "things", 2, COLUMN("a", AFFINITY_INTEGER), COLUMN("b", AFFINITY_TEXT),
          COLUMN("c", AFFINITY_TEXT), COLUMN("any", AFFINITY_NONE));
    struct plan_options o = {.partition_key = "b", .sort_key = "a"};

    (void)state;
    key_is(&t, &o, "partition key b (S), sort key a (N)");
    _cleanup_plan_ struct table_plan *p = planned(&t, &o);
    assert_true(p->plain_key);
    assert_int_equal(p->entry_count, 2);
    assert_null(p->meeting);
    o.sort_key = "nope";
    refused(&t, &o, "its key names the column \"nope\", which it does not have");
    o.sort_key = "NOPE"; /* a constant */
    key_is(&t, &o, "partition key b (S), sort key sk (S)");
    o.sort_key = "A"; /* but columns come first, however they are written */
    key_is(&t, &o, "partition key b (S), sort key a (N)");
    o.sort_key = "X#{a";
    refused(&t, &o, "has a \"{\" without \"}\"");
    o.sort_key = "X#{}";
    refused(&t, &o, "its key names the column \"\", which it does not have");
    o.sort_key = "X#{any}";
    refused(&t, &o, "key column \"any\" has no type");
    o.sort_key = "any";
    refused(&t, &o, "key column \"any\" has no type");
}

static void test_keys_of_other_columns_travel_in_the_journal(void **state)
{
    TABLE(t, "messages", 1, COLUMN("id", AFFINITY_INTEGER), COLUMN("body", AFFINITY_TEXT),
          COLUMN("user_id", AFFINITY_TEXT), COLUMN("session", AFFINITY_TEXT));
    struct plan_options o = {.partition_key = "USER#{user_id}", .sort_key = "MSG#{session}#{id}"};

    (void)state;
    key_is(&t, &o, "partition key pk (S), sort key sk (S)");
    _cleanup_plan_ struct table_plan *p = planned(&t, &o);
    assert_int_equal(p->row_key_count, 1);
    assert_int_equal(p->entry_count, 3);
    assert_string_equal(p->columns[0].name, "id");
    assert_string_equal(p->columns[1].name, "user_id");
    assert_string_equal(p->columns[2].name, "session");
    assert_string_equal(p->columns[3].name, "body");
    assert_false(p->plain_key);
    assert_null(p->meeting); /* the number behind the last # is the id */
    o = (struct plan_options){.partition_key = "user_id", .sort_key = "id"};
    key_is(&t, &o, "partition key user_id (S), sort key id (N)");
    _cleanup_plan_ struct table_plan *q = planned(&t, &o);
    assert_int_equal(q->entry_count, 2);
    assert_false(q->plain_key);
    assert_null(q->meeting);
}

static bool may_meet(const struct table_info *t, const char *partition, const char *sort)
{
    struct plan_options o = {.partition_key = partition, .sort_key = sort};
    _cleanup_plan_ struct table_plan *p = planned(t, &o);

    return p->meeting != NULL;
}

static void test_keys_that_do_not_tell_rows_apart_are_known(void **state)
{
    TABLE(t, "things", 2, COLUMN("a", AFFINITY_INTEGER), COLUMN("b", AFFINITY_TEXT),
          COLUMN("c", AFFINITY_TEXT), COLUMN("n", AFFINITY_REAL));
    struct plan_options o = {.partition_key = "c", .sort_key = "X#{n}"};

    (void)state;
    assert_true(may_meet(&t, "b", NULL));      /* a is left out */
    assert_true(may_meet(&t, "c", "{a}"));     /* b is */
    assert_true(may_meet(&t, "{a}{b}", NULL)); /* 1 and "2", 12 and "" */
    assert_true(may_meet(&t, "{b}{a}", NULL));
    assert_true(may_meet(&t, "{a}-{b}", NULL)); /* a minus sign is a number's */
    assert_true(may_meet(&t, "{b}#{c}#{a}", NULL));
    assert_true(may_meet(&t, "{c}#{b}", "{a}"));
    assert_false(may_meet(&t, "{a}#{b}", NULL));
    assert_false(may_meet(&t, "{b}#{a}", NULL)); /* read from the right */
    assert_false(may_meet(&t, "T#{a}#{b}#{n}", NULL));
    assert_false(may_meet(&t, "{a}#{c}", "b"));
    assert_false(may_meet(&t, "{n}x{a}", "S#{b}"));
    _cleanup_plan_ struct table_plan *p = planned(&t, &o);
    assert_string_equal(p->meeting, "two rows with different \"a\" can come out at one key");
}

static void test_one_column_cannot_be_both_keys(void **state)
{
    TABLE(t, "things", 1, COLUMN("id", AFFINITY_INTEGER));
    struct plan_options o = {.partition_key = "id", .sort_key = "ID"};

    (void)state;
    refused(&t, &o, "the same column");
    o.sort_key_name = "sk";
    refused(&t, &o, "the same column");
    o.sort_key = "S#{id}"; /* but a template may repeat it */
    key_is(&t, &o, "partition key id (N), sort key sk (S)");
}

static void test_tables_without_a_primary_key_need_a_named_unique_one(void **state)
{
    TABLE(t, "things", 0, COLUMN("a", AFFINITY_INTEGER), COLUMN("b", AFFINITY_TEXT));
    size_t both[] = {1, 0};
    char *collations[] = {(char *)"BINARY", (char *)"BINARY"};
    struct unique_info unique = {
        .name = (char *)"u", .columns = both, .collations = collations, .column_count = 2};
    struct plan_options o = {.partition_key = "a", .sort_key = "b"};

    (void)state;
    refused(&t, NULL, "it has no primary key; name a unique NOT NULL key");
    refused(&t, &o, "no unique index of NOT NULL columns lies within the partition_key");
    t.uniques = &unique;
    t.unique_count = 1;
    refused(&t, &o, "no unique index of NOT NULL columns"); /* the columns may be NULL */
    t_columns[0].not_null = t_columns[1].not_null = true;
    key_is(&t, &o, "partition key a (N), sort key b (S)");
    _cleanup_plan_ struct table_plan *p = planned(&t, &o);
    assert_string_equal(p->columns[0].name, "b"); /* the row key, in index order */
    o.sort_key = "X#{b}";
    key_is(&t, &o, "partition key a (N), sort key sk (S)");
    o.sort_key = NULL;
    refused(&t, &o, "no unique index of NOT NULL columns");
    o.sort_key = "b";
    both[1] = 1; /* UNIQUE(b, b) */
    refused(&t, &o, "no unique index of NOT NULL columns");
    both[1] = 0;
    collations[1] = (char *)"german";
    refused(&t, &o, "no unique index of NOT NULL columns");
    collations[1] = (char *)"NOCASE";
    t_columns[0].generated = true;
    refused(&t, &o, "no unique index of NOT NULL columns");
}

static void test_key_columns_cannot_be_excluded(void **state)
{
    TABLE(t, "things", 1, COLUMN("id", AFFINITY_INTEGER), COLUMN("secret", AFFINITY_TEXT));
    struct said said = {.excluded = {"secret"}};
    struct plan_options o = {SAID(said)};

    (void)state;
    _cleanup_plan_ struct table_plan *p = planned(&t, &o);
    assert_int_equal(p->column_count, 1);
    said.excluded[0] = "ID";
    refused(&t, &o, "column \"id\" is part of its key and cannot be excluded");
}

/* --- attributes ------------------------------------------------------------------------------- */

static void test_renames_change_the_attribute(void **state)
{
    TABLE(t, "things", 1, COLUMN("id", AFFINITY_INTEGER), COLUMN("created_at", AFFINITY_TEXT));
    struct said said = {.renamed = {{"created_at", "createdAt"}, {"id", "bookId"}}};
    struct plan_options o = {SAID(said)};

    (void)state;
    _cleanup_plan_ struct table_plan *p = planned(&t, &o);
    assert_string_equal(p->columns[1].attribute, "createdAt");
    assert_string_equal(p->columns[1].name, "created_at");
    assert_string_equal(p->columns[1].prefix, "\"createdAt\":{");
    assert_int_equal(p->columns[1].prefix_len, strlen("\"createdAt\":{"));
    assert_string_equal(p->schema.parts[0].name, "bookId");
    o.partition_key_name = "pk"; /* the nearer word wins */
    _cleanup_plan_ struct table_plan *q = planned(&t, &o);
    assert_string_equal(q->schema.parts[0].name, "pk");
    assert_string_equal(q->columns[0].attribute, "pk");
}

static void test_attributes_must_not_clash(void **state)
{
    TABLE(t, "things", 1, COLUMN("id", AFFINITY_INTEGER), COLUMN("a", AFFINITY_TEXT),
          COLUMN("b", AFFINITY_TEXT), COLUMN("pk", AFFINITY_TEXT));
    struct said said = {.renamed = {{"b", "a"}}};
    struct plan_options o = {SAID(said)};

    (void)state;
    refused(&t, &o, "columns \"a\" and \"b\" both become the attribute \"a\"");
    said.renamed[0][1] = "A"; /* DynamoDB tells cases apart */
    _cleanup_plan_ struct table_plan *p = planned(&t, &o);
    assert_int_equal(p->column_count, 4);
    o.partition_key = "USER#{id}";
    refused(&t, &o, "column \"pk\" and the key both become the attribute \"pk\"");
    o.partition_key_name = "key";
    key_is(&t, &o, "partition key key (S)");
    o.sort_key = "S#{id}";
    o.sort_key_name = "key";
    refused(&t, &o, "partition key and sort key are both named \"key\"");
    o.sort_key = "id";
    refused(&t, &o, "attribute \"key\"");
}

static void test_attribute_names_are_checked(void **state)
{
    char longer[300];
    _cleanup_buf_ struct buf huge = {0};
    TABLE(t, "things", 1, COLUMN("id", AFFINITY_INTEGER), COLUMN("", AFFINITY_TEXT));
    struct plan_options o = {.partition_key_name = longer};

    (void)state;
    refused(&t, NULL, "makes an attribute name of 0 bytes");
    t_columns[1].name = (char *)"caf\xe9";
    refused(&t, NULL, "not valid UTF-8");
    t_columns[1].name = (char *)"v";
    memset(longer, 'k', sizeof longer);
    longer[256] = '\0';
    refused(&t, &o, "is longer than 255 bytes");
    longer[255] = '\0';
    _cleanup_plan_ struct table_plan *p = planned(&t, &o);
    assert_string_equal(p->schema.parts[0].name, longer);
    while (huge.len < 65535)
        buf_putc(&huge, 'v');
    t_columns[1].name = huge.data;
    _cleanup_plan_ struct table_plan *q = planned(&t, NULL);
    assert_int_equal(q->column_count, 2);
    buf_putc(&huge, 'v');
    t_columns[1].name = huge.data;
    refused(&t, NULL, "makes an attribute name of 65536 bytes");
}

static void test_configured_texts_must_be_utf8(void **state)
{
    TABLE(t, "things", 1, COLUMN("id", AFFINITY_INTEGER));
    struct plan_options o = {.partition_key = "U\xff#{id}"};

    (void)state;
    refused(&t, &o, "not valid UTF-8");
    o.partition_key = "U#{id}";
    o.partition_key_name = "p\xff";
    refused(&t, &o, "not valid UTF-8");
}

static void test_hostile_names_are_quoted_in_prefixes(void **state)
{
    TABLE(t, "things", 1, COLUMN("id", AFFINITY_INTEGER), COLUMN("a\"b\\c\n", AFFINITY_TEXT));

    (void)state;
    _cleanup_plan_ struct table_plan *p = planned(&t, NULL);
    assert_string_equal(p->columns[1].prefix, "\"a\\\"b\\\\c\\u000a\":{");
}

/* --- templates -------------------------------------------------------------------------------- */

static void test_templates_that_keep_rows_apart_are_taken(void **state)
{
    static const char *const good[] = {"{n}#{s}",          "N#{n}#S#{s}",      "{n}x{m}y{s}",
                                       "{n}#{m}#{b}#{s}",  "{b}#{n}_{m}~{s}!", "{n}/{m}:{n} {s}",
                                       "é{n}é{m}#{b}#{s}", "{N}#{M}#{B}#{S}"};
    TABLE(t, "things", 4, COLUMN("n", AFFINITY_INTEGER), COLUMN("m", AFFINITY_REAL),
          COLUMN("b", AFFINITY_BLOB), COLUMN("s", AFFINITY_TEXT));

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct plan_options o = {.partition_key = good[i], .sort_key = "{n}#{m}#{b}#{s}"};
        key_is(&t, &o, "partition key pk (S), sort key sk (S)");
        _cleanup_plan_ struct table_plan *p = planned(&t, &o);
        assert_false(p->plain_key);
    }
}

static void test_templates_where_rows_could_meet_are_known(void **state)
{
    static const char *const two[] = {"{n}{m}",  "{n}1{m}", "{n}.5{m}",
                                      "{n}-{m}", "{n}+{m}", "{n}e{m}"};
    static const char *const hex[] = {"{b}a{n}", "{n}{b}"};
    TABLE(t, "things", 2, COLUMN("n", AFFINITY_INTEGER), COLUMN("m", AFFINITY_REAL));
    TABLE(h, "blobs", 2, COLUMN("b", AFFINITY_BLOB), COLUMN("n", AFFINITY_INTEGER));
    TABLE(s, "texts", 2, COLUMN("s", AFFINITY_TEXT), COLUMN("z", AFFINITY_TEXT));

    (void)state;
    for (size_t i = 0; i < sizeof two / sizeof *two; i++)
        assert_true(may_meet(&t, two[i], NULL));
    for (size_t i = 0; i < sizeof hex / sizeof *hex; i++)
        assert_true(may_meet(&h, hex[i], NULL));
    assert_false(may_meet(&h, "{b}f#{n}", NULL)); /* read from the right */
    assert_true(may_meet(&s, "{s}{s}{z}", NULL));
    assert_true(may_meet(&s, "{s}#{z}", NULL));
    assert_false(may_meet(&s, "{s}", "{z}"));
}

/* --- fingerprints ----------------------------------------------------------------------------- */

static char *fingerprint(const struct table_info *t, const struct plan_options *o)
{
    _cleanup_plan_ struct table_plan *p = planned(t, o);
    char *text = plan_fingerprint(p);

    assert_non_null(text);
    return text;
}

static void test_the_fingerprint_changes_with_everything_that_shapes_items(void **state)
{
    enum { MAX = 16 };
    TABLE(t, "things", 2, COLUMN("a", AFFINITY_INTEGER), COLUMN("b", AFFINITY_INTEGER),
          COLUMN("c", AFFINITY_TEXT), COLUMN("d", AFFINITY_TEXT));
    struct said none = {0}, without = {.excluded = {"c"}}, renamed = {.renamed = {{"c", "e"}}};
    struct plan_options options[] = {
        {SAID(none)},
        {SAID(without)},
        {SAID(renamed)},
        {.write_null = true},
        {.target = "other"},
        {.partition_key_name = "pk"},
        {.sort_key_name = "sk"},
        {.partition_key = "b", .sort_key = "a"},
        {.partition_key = "x{a}#{b}"},
        {.partition_key = "y{a}#{b}"},
        {.partition_key = "x{b}#{a}"},
        {.partition_key = "x,1,=#{a}", .sort_key = "b"}, /* reads like the next one, unquoted */
        {.partition_key = "x{b}#{a}", .sort_key = "b"},
        {.partition_key = "\\{a}", .sort_key = "b"},
    };
    char *texts[MAX + 2];
    size_t n = sizeof options / sizeof *options;

    (void)state;
    for (size_t i = 0; i < n; i++)
        texts[i] = fingerprint(&t, &options[i]);
    t_columns[3].affinity = AFFINITY_BLOB;
    texts[n++] = fingerprint(&t, NULL);
    t_key[0] = 1;
    t_key[1] = 0;
    texts[n++] = fingerprint(&t, NULL);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(texts[i], texts[j]) == 0)
                fail_msg("plans %zu and %zu: %s", j, i, texts[i]);
    for (size_t i = 0; i < n; i++)
        free(texts[i]);
}

static void test_the_fingerprint_stays_with_what_does_not(void **state)
{
    TABLE(t, "things", 1, COLUMN("a", AFFINITY_INTEGER), COLUMN("c", AFFINITY_TEXT));
    struct plan_options o = {.target = "things", .partition_key = "a"};
    _cleanup_free_ char *before = fingerprint(&t, NULL);

    (void)state;
    t_columns[1].not_null = true;
    t.rowid_name = "oid";
    _cleanup_free_ char *after = fingerprint(&t, &o);
    assert_string_equal(before, after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_key_column_is_the_partition_key),
        cmocka_unit_test(test_two_key_columns_are_partition_and_sort_key),
        cmocka_unit_test(test_more_key_columns_are_joined),
        cmocka_unit_test(test_the_row_key_comes_first_in_key_order),
        cmocka_unit_test(test_rowid_keys_are_marked),
        cmocka_unit_test(test_only_ordinary_tables_are_mirrored),
        cmocka_unit_test(test_key_columns_must_have_a_type_and_a_known_collation),
        cmocka_unit_test(test_names_must_be_dynamodbs),
        cmocka_unit_test(test_sort_key_alone_is_refused),
        cmocka_unit_test(test_configured_keys_name_columns_that_are_there),
        cmocka_unit_test(test_keys_of_other_columns_travel_in_the_journal),
        cmocka_unit_test(test_keys_that_do_not_tell_rows_apart_are_known),
        cmocka_unit_test(test_one_column_cannot_be_both_keys),
        cmocka_unit_test(test_tables_without_a_primary_key_need_a_named_unique_one),
        cmocka_unit_test(test_key_columns_cannot_be_excluded),
        cmocka_unit_test(test_renames_change_the_attribute),
        cmocka_unit_test(test_attributes_must_not_clash),
        cmocka_unit_test(test_attribute_names_are_checked),
        cmocka_unit_test(test_configured_texts_must_be_utf8),
        cmocka_unit_test(test_hostile_names_are_quoted_in_prefixes),
        cmocka_unit_test(test_templates_that_keep_rows_apart_are_taken),
        cmocka_unit_test(test_templates_where_rows_could_meet_are_known),
        cmocka_unit_test(test_the_fingerprint_changes_with_everything_that_shapes_items),
        cmocka_unit_test(test_the_fingerprint_stays_with_what_does_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
