/* Columns as the configuration says them, the SQL that is made of them, and items that become
 * records of a table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "export/sql.h"
#include "export/table.h"

static void expect_column(const char *text, const char *wanted)
{
    struct export_column c;
    struct err err;
    _cleanup_buf_ struct buf got = {0};

    if (export_column_parse("c", text, &c, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    buf_puts(&got, c.from == SOURCE_CAPTURE ? "{" : c.from == SOURCE_NAMED ? "~" : "");
    buf_printf(&got, "%s ", c.source);
    export_column_type(&c, &got);
    buf_printf(&got, "%s%s%s%s%s%s", c.cut ? " cut" : "", c.parse ? " parse" : "",
               c.form == TIME_MS     ? " ms"
               : c.form == TIME_UNIX ? " unix"
                                     : "",
               c.required ? " required" : "", c.primary_key ? " key" : "",
               c.unique ? " unique" : "");
    if (c.fallback)
        buf_printf(&got, " default <%s>", c.fallback);
    if (c.ref_table)
        buf_printf(&got, " -> %s.%s", c.ref_table, c.ref_column ? c.ref_column : "?");
    assert_string_equal(got.data, wanted);
    export_column_clear(&c);
}

static void columns_are_read(void **state)
{
    (void)state;
    expect_column("uuid primary key", "~c uuid key");
    expect_column("userId text required", "userId text required");
    expect_column("{conv} UUID Primary  Key", "{conv uuid key");
    expect_column("text text", "text text");
    expect_column("'text' date", "text date");
    expect_column("'it''s here' text", "it's here text");
    expect_column("date required", "~c date required");
    expect_column("varchar(255)", "~c varchar(255)");
    expect_column("price numeric( 10 , 2 )", "price numeric(10,2)");
    expect_column("price decimal (5)", "price numeric(5,0)");
    expect_column("x double precision", "x double precision");
    expect_column("double precision", "~c double precision");
    expect_column("double double precision", "double double precision");
    expect_column("at timestamptz(ms) required", "at timestamptz ms required");
    expect_column("at timestamp(cut)", "at timestamp cut");
    expect_column("at timestamp(unix)", "at timestamp unix");
    expect_column("doc jsonb(parse)", "doc jsonb parse");
    expect_column("n int8 default 0 unique", "n bigint unique default <0>");
    expect_column("t text default 'a b'", "t text default <a b>");
    expect_column("t text default ''", "t text default <>");
    expect_column("conv uuid required references app.conversations(id)",
                  "conv uuid required -> app.conversations.id");
    expect_column("conv uuid references conversations", "conv uuid -> conversations.?");
}

static void refuse_column(const char *text, const char *sentence)
{
    struct export_column c;
    struct err err = {""};

    assert_true(export_column_parse("c", text, &c, &err) < 0);
    assert_string_equal(err.text, sentence);
}

static void what_is_no_column_is_refused(void **state)
{
    (void)state;
    refuse_column("", "the type is missing, such as text, uuid or timestamptz");
    refuse_column("userId", "the type is missing, such as text, uuid or timestamptz");
    refuse_column("userId string",
                  "\"string\" is no type that is known here (text, varchar, uuid, smallint, "
                  "integer, bigint, numeric, double precision, boolean, timestamptz, timestamp, "
                  "date, jsonb, json, bytea)");
    refuse_column("a text requird", "\"requird\" is none of required, primary key, unique, default "
                                    "VALUE and references TABLE(COLUMN)");
    refuse_column("a text primary", "\"primary\" is none of required, primary key, unique, default "
                                    "VALUE and references TABLE(COLUMN)");
    refuse_column("a text(5)", "text does not take (5)");
    refuse_column("a varchar(0)", "varchar does not take (0)");
    refuse_column("a varchar(99999999999)", "varchar does not take (99999999999)");
    refuse_column("a numeric(2,3)", "numeric does not take (2,3)");
    refuse_column("a uuid(ms)", "uuid does not take (ms)");
    refuse_column("a varchar(5", "a ( has no )");
    refuse_column("'a text", "a ' has no second one");
    refuse_column("{} uuid", "\"{}\" is no capture: {NAME}");
    refuse_column("{a{b} uuid", "\"{a{b}\" is no capture: {NAME}");
    refuse_column("a text default", "default needs a value: default VALUE");
    refuse_column("a text references", "references needs a table: references TABLE(COLUMN)");
    refuse_column("a text references t(a,b)",
                  "references takes one column: references TABLE(COLUMN)");
    refuse_column("a jsonb primary key", "a primary key cannot be JSON");
    refuse_column("a bytea default x", "bytea takes no default");
}

/* --- SQL -------------------------------------------------------------------------------------- */

static void table_of(struct export_table *t, const char *const *lines)
{
    struct err err;

    for (; *lines; lines += 3) {
        int rc = strcmp(lines[0], "match") == 0
                     ? export_table_add_match(t, lines[1], lines[2], &err)
                     : export_table_add_column(t, lines[1], lines[2], &err);
        if (rc < 0)
            fail_msg("%s", err.text);
    }
    if (export_table_complete(t, &err) < 0)
        fail_msg("%s", err.text);
}

static void names_are_always_quoted(void **state)
{
    static const char *const lines[] = {
        "column", "select", "text primary key", "column", "a\"b", "x integer default 7", NULL};
    struct export_table t = {0};
    _cleanup_buf_ struct buf create = {0}, upsert = {0};

    (void)state;
    table_of(&t, lines);
    const struct sql_table sql = {"odd schema.drop table x; --\"", t.columns, t.column_count};
    sql_create_table(&sql, &create);
    assert_string_equal(create.data, "CREATE TABLE \"odd schema\".\"drop table x; --\"\"\" (\n"
                                     "  \"select\" text PRIMARY KEY,\n"
                                     "  \"a\"\"b\" integer DEFAULT '7'\n)");
    sql_upsert(&sql, "from", &upsert);
    assert_string_equal(
        upsert.data,
        "INSERT INTO \"odd schema\".\"drop table x; --\"\"\" AS t (\"select\", \"a\"\"b\") SELECT "
        "\"select\", \"a\"\"b\" FROM \"from\" ON CONFLICT (\"select\") DO UPDATE SET \"a\"\"b\" = "
        "EXCLUDED.\"a\"\"b\" WHERE ROW(t.\"a\"\"b\"::text) IS DISTINCT FROM "
        "ROW(EXCLUDED.\"a\"\"b\"::text)");
    export_table_clear(&t);
}

static void keys_of_several_columns_stand_at_the_end(void **state)
{
    static const char *const lines[] = {"column", "a", "text primary key",
                                        "column", "b", "bigint primary key references o(id)",
                                        NULL};
    struct export_table t = {0};
    _cleanup_buf_ struct buf create = {0}, upsert = {0}, literal = {0};

    (void)state;
    table_of(&t, lines);
    const struct sql_table sql = {"t", t.columns, t.column_count};
    sql_create_table(&sql, &create);
    assert_string_equal(create.data, "CREATE TABLE \"t\" (\n  \"a\" text,\n"
                                     "  \"b\" bigint REFERENCES \"o\" (\"id\"),\n"
                                     "  PRIMARY KEY (\"a\", \"b\")\n)");
    sql_upsert(&sql, "f", &upsert);
    assert_non_null(strstr(upsert.data, "ON CONFLICT (\"a\", \"b\") DO NOTHING"));
    sql_append_literal(&literal, "it's \\");
    assert_string_equal(literal.data, " E'it''s \\\\'");
    export_table_clear(&t);
}

/* --- records ---------------------------------------------------------------------------------- */

#define A "550e8400-e29b-41d4-a716-446655440000"
#define B "660e8400-e29b-41d4-a716-446655440001"

static void expect_record(const struct export_table *t, const char *text, const char *wanted)
{
    static const char *const how_words[] = {"none", "begins", "shaped", "full"};
    json_t *item = json_loads(text, JSON_ALLOW_NUL, NULL);
    _cleanup_buf_ struct buf store = {0}, got = {0};
    struct line_value values[EXPORT_MAX_COLUMNS];
    struct export_captures captures;
    struct export_fault fault;

    assert_non_null(item);
    enum pattern_match how = export_table_match(t, item, &captures, &fault);
    buf_puts(&got, how_words[how]);
    if (how == PATTERN_FULL && export_table_record(t, item, &captures, values, &store, &fault) < 0)
        how = PATTERN_SHAPED;
    if (how == PATTERN_FULL) {
        buf_putc(&got, ' ');
        line_append(LINE_CSV, t->columns, t->column_count, values, &got);
        export_table_key(t, values, &got);
    } else if (how > PATTERN_NONE) {
        buf_printf(&got, " %s: %s", export_problem_word(fault.kind), fault.text);
    }
    assert_string_equal(got.data, wanted);
    json_decref(item);
}

static void items_become_records(void **state)
{
    static const char *const lines[] = {"match",  "sk",      "MSG#{conversation_id:uuid}#{id:uuid}",
                                        "match",  "pk",      "USER#{user}",
                                        "column", "id",      "uuid primary key",
                                        "column", "conv",    "{conversation_id} uuid required",
                                        "column", "user",    "text",
                                        "column", "content", "text required",
                                        "column", "n",       "count bigint default 0",
                                        NULL};
    struct export_table t = {0};

    (void)state;
    table_of(&t, lines);
    expect_record(&t,
                  "{\"pk\":{\"S\":\"USER#u\"},\"sk\":{\"S\":\"MSG#" A "#" B
                  "\"},\"content\":{\"S\":\"hi\"},\"count\":{\"N\":\"7\"}}",
                  "full " B "," A ",u,hi,7\n" B "\x1f");
    expect_record(&t, "{\"pk\":{\"S\":\"USER#u\"},\"sk\":{\"S\":\"MSG#" A "#" B "\"}}",
                  "full required: content is missing");
    expect_record(&t, "{\"pk\":{\"S\":\"USER#u\"},\"sk\":{\"S\":\"MSG#" A "#x\"}}",
                  "shaped uuid: {id} of sk is not a UUID: x");
    expect_record(&t, "{\"pk\":{\"S\":\"USER#u\"},\"sk\":{\"S\":\"MSG#" A "\"}}",
                  "begins key_shape: sk has no {conversation_id}, or it does not end as its "
                  "pattern says");
    expect_record(&t, "{\"pk\":{\"S\":\"USER#u#v\"},\"sk\":{\"S\":\"MSG#" A "#" B "\"}}",
                  "begins key_shape: pk has no {user}, or it does not end as its pattern says");
    expect_record(&t, "{\"pk\":{\"S\":\"ORG#u\"},\"sk\":{\"S\":\"MSG#" A "#" B "\"}}", "none");
    expect_record(&t, "{\"pk\":{\"S\":\"USER#u\"}}", "none");
    expect_record(&t, "{\"pk\":{\"S\":\"USER#u\"},\"sk\":{\"B\":\"AAE=\"}}", "none");
    export_table_clear(&t);
}

static void a_capture_must_be_there(void **state)
{
    struct export_table t = {0};
    struct err err;

    (void)state;
    assert_int_equal(export_table_add_match(&t, "sk", "A#{id}", &err), 0);
    assert_true(export_table_add_match(&t, "pk", "B#{id}", &err) < 0);
    assert_string_equal(err.text, "match.pk: {id} is captured twice");
    assert_true(export_table_complete(&t, &err) < 0);
    assert_int_equal(export_table_add_column(&t, "x", "{other} text", &err), 0);
    assert_true(export_table_complete(&t, &err) < 0);
    assert_string_equal(err.text, "column.x: no match line captures {other}");
    assert_true(export_table_add_column(&t, "y", "a integer default x", &err) < 0);
    assert_string_equal(err.text, "column.y: its default: a is no number");
    export_table_clear(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_read),
        cmocka_unit_test(what_is_no_column_is_refused),
        cmocka_unit_test(names_are_always_quoted),
        cmocka_unit_test(keys_of_several_columns_stand_at_the_end),
        cmocka_unit_test(items_become_records),
        cmocka_unit_test(a_capture_must_be_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
