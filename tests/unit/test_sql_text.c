/* The reading of SQL out of the schema: tokens, expressions, definitions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "source/sql_text.h"

/* --- tokens ----------------------------------------------------------------------------------- */

/* Kind letter and text of each, parted by " / ". */
static void spelled(const char *sql, struct buf *out)
{
    static const char letters[] = "ewqsbnm!";

    for (struct sql_token t = sql_next(&sql); t.kind != SQL_END; t = sql_next(&sql))
        buf_printf(out, "%s%c:%.*s", out->len ? " / " : "", letters[t.kind], (int)t.len, t.text);
}

static void tokens_are_sqlites(void **state)
{
    static const char *const cases[][2] = {
        {"a+b", "w:a / m:+ / w:b"},
        {" a\t\n\f\rB ", "w:a / w:B"},
        {"a--b\nc--", "w:a / w:c"},
        {"a/*b*/c/* '*/ d /* open", "w:a / w:c / w:d"},
        {"a/ *b", "w:a / m:/ / m:* / w:b"},
        {"'a''b' \"c\"\"d\" `e``f` [g]]", "s:'a''b' / q:\"c\"\"d\" / q:`e``f` / q:[g] / !:]"},
        {"'--' \"/*\" [*/]", "s:'--' / q:\"/*\" / q:[*/]"},
        {"'' \"\"", "s:'' / q:\"\""},
        {"x'0aF' X'00' x y'0'", "!:x'0aF' X'00' x y'0'"},
        {"X'00' x''", "b:X'00' / b:x''"},
        {"1 1.5 .5 1. 1e3 1.5E-7 0x1F 12e", "n:1 / n:1.5 / n:.5 / n:1. / n:1e3 / n:1.5E-7 / n:0x1F "
                                            "/ !:12e"},
        {"1..2", "n:1. / n:.2"},
        {"t.5", "w:t / n:.5"},
        {"a->'$.b'->>c", "w:a / m:-> / s:'$.b' / m:->> / w:c"},
        {"a||b<>c!=d==e<=f>=g<<h>>i|j", "w:a / m:|| / w:b / m:<> / w:c / m:!= / w:d / m:== / w:e / "
                                        "m:<= / w:f / m:>= / w:g / m:<< / w:h / m:>> / w:i / m:| / "
                                        "w:j"},
        {"a$1 _b \xc3\xa9t\xc3\xa9", "w:a$1 / w:_b / w:\xc3\xa9t\xc3\xa9"},
        {"a 'open", "w:a / !:'open"},
        {"\"open\"\"", "!:\"open\"\""},
        {"[open", "!:[open"},
        {"?1", "!:?1"},
        {"$a", "!:$a"},
        {":a", "!::a"},
        {"a\xef\xbb\xbf\x01", "w:a\xef\xbb\xbf / !:\x01"},
        {"\xef\xbb\xbf", "!:\xef\xbb\xbf"},
        {"", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _cleanup_buf_ struct buf got = {0};
        spelled(cases[i][0], &got);
        assert_string_equal(got.data ? got.data : "", cases[i][1]);
    }
}

static void names_are_compared_without_their_quotes(void **state)
{
    static const struct {
        const char *token, *name;
        bool same;
    } cases[] = {
        {"abc", "ABC", true},
        {"\"a\"\"b\"", "a\"B", true},
        {"\"a\"\"b\"", "a\"", false},
        {"`a\"b`", "a\"b", true},
        {"[a]", "a", true},
        {"[a\"\"b]", "a\"\"b", true},
        {"'it''s'", "it's", true},
        {"abc", "ab", false},
        {"\"\"", "", true},
        {"\"abc\"", "abcd", false},
        {"\"abcd\"", "abc", false},
        {"\"\"\"\"", "\"", true},
        {"\"\xc3\xa9\"", "\xc3\xa9", true},
        {"\"\xc3\xa9\"", "\xc3\x89", false},
        {"1", "1", false},
        {"x'00'", "x'00'", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *at = cases[i].token;
        struct sql_token t = sql_next(&at);
        if (sql_is_name(&t, cases[i].name) != cases[i].same)
            fail_msg("%s is %sthe name %s", cases[i].token, cases[i].same ? "not " : "",
                     cases[i].name);
        char *plain = sql_unquoted(&t);
        if (cases[i].same)
            assert_int_equal(strcasecmp(plain, cases[i].name), 0);
        free(plain);
    }
}

/* --- expressions ------------------------------------------------------------------------------ */

static struct column_info columns[] = {
    {.name = (char *)"a"},      {.name = (char *)"B"},   {.name = (char *)"two words"},
    {.name = (char *)"text"},   {.name = (char *)"end"}, {.name = (char *)"say \"hi\""},
    {.name = (char *)"nocase"},
};

static const struct table_info table = {
    .name = (char *)"t", .columns = columns, .column_count = sizeof columns / sizeof *columns};

/* The text, then the columns' numbers, R for a rowid, C when it compares; or "not understood". */
static void expression(const char *sql, struct buf *out)
{
    struct sql_token *tokens = NULL;
    struct sql_expression e;
    size_t count = 0;
    int rc = sql_tokens(sql, &tokens, &count);

    if (rc == 0)
        rc = sql_expression_make(&table, (struct sql_span){tokens, count}, &e);
    buf_puts(out, rc == 0 ? e.text.data : "not understood");
    buf_puts(out, rc == 0 ? " :" : "");
    for (size_t i = 0; rc == 0 && i < table.column_count; i++)
        if (e.columns[i])
            buf_printf(out, " %zu", i);
    if (rc == 0) {
        buf_printf(out, "%s%s", e.names_rowid ? " R" : "", e.compares ? " C" : "");
        sql_expression_free(&e);
    }
    free(tokens);
}

static void expressions_mean_the_same_anywhere(void **state)
{
    static const char *const cases[][2] = {
        {"lower(A)||b", "lower ( A ) || b : 0 1"},
        {"a /* , */ + -- b\n 1", "a + 1 : 0"},
        {"\"A\" = \"x\"\"y\" AND [two words]", "\"A\" = 'x\"y' AND \"two words\" : 0 2 C"},
        {"\"it's\" || a", "'it''s' || a : 0"},
        {"`say \"hi\"` IS NULL", "\"say \"\"hi\"\"\" IS NULL : 5 C"},
        {"`nothing`", "not understood"},
        {"[nothing] + 1", "not understood"},
        {"t.a > 1", "a > 1 : 0 C"},
        {"main . \"t\" . [B] > 1", "\"B\" > 1 : 1 C"},
        {"t.", "not understood"},
        {"t.*", "not understood"},
        {"t.'a'", "not understood"},
        {"a COLLATE nocase", "a COLLATE nocase : 0"},
        {"a COLLATE \"two words\"", "a COLLATE \"two words\" : 0"},
        {"nocase COLLATE nocase", "nocase COLLATE nocase : 6"},
        {"CAST(a AS text)", "CAST ( a AS text ) : 0"},
        {"CAST(text AS \"text\" (1,2)) || text", "CAST ( text AS \"text\" ( 1 , 2 ) ) || text : 3"},
        {"CAST(CAST(a AS end) AS text)+end", "CAST ( CAST ( a AS end ) AS text ) + end : 0 4"},
        {"\"lower\"(a)", "\"lower\" ( a ) : 0"},
        {"\"strange one\"(a)", "\"strange one\" ( a ) : 0"},
        {"a(1)", "a ( 1 ) :"},
        {"rowid > 3", "rowid > 3 : R C"},
        {"\"OID\" + _rowid_", "\"OID\" + _rowid_ : R"},
        {"a IN (1,'(')", "a IN ( 1 , '(' ) : 0 C"},
        {"a BETWEEN x'00' AND 1e3", "a BETWEEN x'00' AND 1e3 : 0 C"},
        {"a->>'$.x'", "a ->> '$.x' : 0"},
        {"max(a, 1)", "max ( a , 1 ) : 0 C"},
        {"json_extract(a,'$.b')", "json_extract ( a , '$.b' ) : 0"},
        {"a)", "not understood"},
        {")(", "not understood"},
        {"(a", "not understood"},
        {"a; DROP TABLE t", "not understood"},
        {"a = ?1", "not understood"},
        {"a = 'open", "not understood"},
        {"", "not understood"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _cleanup_buf_ struct buf got = {0};
        expression(cases[i][0], &got);
        assert_string_equal(got.data, cases[i][1]);
    }
}

static void defaults_are_values(void **state)
{
    static const char *const cases[][2] = {
        {"'x'", "'x'"},
        {"\"a\"", "'a'"},
        {"abc", "'abc'"},
        {"a", "'a'"},
        {"[x y]", "'x y'"},
        {"`it's`", "'it''s'"},
        {"TRUE", "1"},
        {"false", "0"},
        {"\"true\"", "'true'"},
        {"NULL", "NULL"},
        {"-5", "- 5"},
        {"+0x10", "+ 0x10"},
        {"x'00'", "x'00'"},
        {"1+2", "1 + 2"},
        {"current_timestamp", "current_timestamp"},
        {"\"a\"||1", "'a' || 1"},
        {"lower(\"Q\")", "lower ( 'Q' )"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sql_token *tokens = NULL;
        struct sql_expression e;
        size_t count = 0;
        assert_int_equal(sql_tokens(cases[i][0], &tokens, &count), 0);
        assert_int_equal(sql_default_make(&table, (struct sql_span){tokens, count}, &e), 0);
        assert_string_equal(e.text.data, cases[i][1]);
        sql_expression_free(&e);
        free(tokens);
    }
}

static void functions_are_told_from_keywords(void **state)
{
    struct sql_token *tokens = NULL;
    _cleanup_buf_ struct buf got = {0};
    const struct sql_token *t;
    size_t count = 0, at = 0;

    (void)state;
    assert_int_equal(sql_tokens("CAST(random() AS t(1)) IN (1) AND (\"My f\" (x)) OR NOT(lower(x)) "
                                "LIKE (y) + z",
                                &tokens, &count),
                     0);
    while ((t = sql_next_function((struct sql_span){tokens, count}, &at)))
        buf_printf(&got, "%.*s ", (int)t->len, t->text);
    assert_string_equal(got.data, "random t \"My f\" lower ");
    free(tokens);
}

/* --- definitions ------------------------------------------------------------------------------ */

static void append_span(struct buf *out, struct sql_span s)
{
    for (size_t i = 0; i < s.count; i++)
        buf_printf(out, "%s%.*s", i ? " " : "", (int)s.tokens[i].len, s.tokens[i].text);
}

/* [item][item] where … */
static void index_parts(const char *sql, struct buf *out)
{
    struct sql_span *items = NULL, where;
    struct sql_token *tokens = NULL;
    size_t count = 0, item_count = 0;
    int rc = sql_tokens(sql, &tokens, &count);

    if (rc == 0)
        rc = sql_index_parts((struct sql_span){tokens, count}, &items, &item_count, &where);
    if (rc < 0)
        buf_puts(out, "not understood");
    for (size_t i = 0; rc == 0 && i < item_count; i++) {
        buf_puts(out, "[");
        append_span(out, items[i]);
        buf_puts(out, "]");
    }
    if (rc == 0 && where.count) {
        buf_puts(out, " where ");
        append_span(out, where);
    }
    free(items);
    free(tokens);
}

static void indexes_are_taken_apart(void **state)
{
    static const char *const cases[][2] = {
        {"CREATE UNIQUE INDEX i ON t(a)", "[a]"},
        {"CREATE UNIQUE INDEX \"i ON x(\" ON \"t(\"(a,b DESC , f(c,d) ASC)", "[a][b][f ( c , d )]"},
        {"create unique index main.i on t(a)", "[a]"},
        {"CREATE UNIQUE INDEX IF NOT EXISTS [x].i ON t(a)", "[a]"},
        {"CREATE UNIQUE INDEX if ON t(a)", "[a]"},
        {"CREATE UNIQUE INDEX i ON t(a COLLATE x DESC,\")\"||')') WHERE a IN (1) -- x",
         "[a COLLATE x][\")\" || ')'] where a IN ( 1 )"},
        {"CREATE UNIQUE INDEX i ON t(desc, a+desc, a COLLATE desc, desc desc, NOT asc)",
         "[desc][a + desc][a COLLATE desc][desc][NOT asc]"},
        {"CREATE UNIQUE INDEX i ON t((a), (a,b))", "[( a )][( a , b )]"},
        {"CREATE INDEX i ON t(a)", "not understood"},
        {"CREATE UNIQUE INDEX i ON t(a) WHERE", "not understood"},
        {"CREATE UNIQUE INDEX i ON t(a) a > 1", "not understood"},
        {"CREATE UNIQUE INDEX i ON t(a", "not understood"},
        {"CREATE UNIQUE INDEX i ON t", "not understood"},
        {"CREATE UNIQUE INDEX", "not understood"},
        {"", "not understood"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _cleanup_buf_ struct buf got = {0};
        index_parts(cases[i][0], &got);
        assert_string_equal(got.data, cases[i][1]);
    }
}

static void generated_columns_are_found(void **state)
{
    static const char *const cases[][3] = {
        {"CREATE TABLE t(a, g AS (a+1))", "g", "a + 1"},
        {"CREATE TABLE t(a, \"G\" INT GENERATED ALWAYS AS (f(a, (1))) STORED NOT NULL, h AS (2))",
         "g", "f ( a , ( 1 ) )"},
        {"CREATE TABLE \"x(y\"(a CHECK(a AS (3)), g TEXT(1,2) CHECK(CAST(g AS INT)) AS (','))", "g",
         "','"},
        {"CREATE TABLE t(a, g INT)", "g", NULL},
        {"CREATE TABLE t(a, [h] AS (1), CHECK(g AS (1)))", "g", NULL},
        {"CREATE TABLE t(a DEFAULT (1), 'g' AS (a))", "g", "a"},
        {"CREATE TEMP TABLE main.t(g AS (a))", "g", "a"},
        {"CREATE TABLE t AS SELECT 1", "g", NULL},
        {"CREATE TABLE t(g AS (a", "g", NULL},
        {"CREATE TABLE", "g", NULL},
        {"", "g", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sql_token *tokens = NULL;
        struct sql_span part;
        size_t count = 0;
        _cleanup_buf_ struct buf got = {0};
        assert_int_equal(sql_tokens(cases[i][0], &tokens, &count), 0);
        bool found = sql_generated_part((struct sql_span){tokens, count}, cases[i][1], &part);
        assert_int_equal(found, cases[i][2] != NULL);
        if (found) {
            append_span(&got, part);
            assert_string_equal(got.data, cases[i][2]);
        }
        free(tokens);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_are_sqlites),
        cmocka_unit_test(names_are_compared_without_their_quotes),
        cmocka_unit_test(expressions_mean_the_same_anywhere),
        cmocka_unit_test(defaults_are_values),
        cmocka_unit_test(functions_are_told_from_keywords),
        cmocka_unit_test(indexes_are_taken_apart),
        cmocka_unit_test(generated_columns_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
