/* The INI reader: what it takes, what it hands on, and the sentence for each thing it refuses. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/ini.h"

static int lookup(void *arg, const char *name, const char **value, struct err *err)
{
    (void)arg;
    if (strcmp(name, "STAGE") == 0)
        *value = "dev";
    else if (strcmp(name, "LIST") == 0)
        *value = "a, b";
    else if (strcmp(name, "QUOTE") == 0)
        *value = "\"x\" ${STAGE}";
    else if (strcmp(name, "EMPTY") == 0)
        *value = "";
    else if (strcmp(name, "NEWLINE") == 0)
        *value = "a\nb";
    else
        return err_set(err, -ENOENT, "${%s} is not set", name);
    return 0;
}

/* Entries as "section/argument:line key/subkey=raw;" in one text. */
static int record(void *arg, const struct ini_entry *e, struct err *err)
{
    (void)err;
    buf_printf(arg, "%s", e->section);
    if (e->argument)
        buf_printf(arg, "/%s", e->argument);
    buf_printf(arg, ":%u", e->line);
    if (e->key)
        buf_printf(arg, " %s", e->key);
    if (e->subkey)
        buf_printf(arg, "/%s", e->subkey);
    if (e->raw)
        buf_printf(arg, "=%s", e->raw);
    buf_puts(arg, ";");
    return 0;
}

static void parses_as(const char *text, const char *entries)
{
    _cleanup_buf_ struct buf got = {0};
    struct err err = {.text = ""};

    buf_puts(&got, "");
    if (ini_parse("f.conf", text, strlen(text), record, &got, &err) != 0)
        fail_msg("%s", err.text);
    assert_string_equal(got.data, entries);
}

static void refuse_bytes(const char *text, size_t n, const char *sentence)
{
    _cleanup_buf_ struct buf got = {0};
    struct err err = {.text = ""};

    assert_int_equal(ini_parse("f.conf", text, n, record, &got, &err), -EINVAL);
    assert_string_equal(err.text, sentence);
}

static void refuse(const char *text, const char *sentence)
{
    refuse_bytes(text, strlen(text), sentence);
}

static void sections_and_assignments(void **state)
{
    (void)state;
    parses_as("", "");
    parses_as("[a]\nk = v\n", "a:1;a:2 k=v;");
    parses_as("[a]\nk=v", "a:1;a:2 k=v;");
    parses_as("  [ a ]  \n\tk\t=  v w \t\n", "a:1;a:2 k=v w;");
    parses_as("[a]\n\n[b]\nk = \n", "a:1;b:3;b:4 k=;");
    parses_as("[a]\nk = a = b\n", "a:1;a:2 k=a = b;");
}

static void section_names_in_quotes_hold_anything(void **state)
{
    (void)state;
    parses_as("[table \"a b\"]\nk=1", "table/a b:1;table/a b:2 k=1;");
    parses_as("[table\"]; #\"]", "table/]; #:1;");
    parses_as("[table \"\\\"q\\\\\"]", "table/\"q\\:1;");
    parses_as("[table \"\"]", "table/:1;");
    parses_as("[table \"${STAGE}\"]", "table/${STAGE}:1;");
    parses_as("[table \"\xc3\xa9\"]", "table/\xc3\xa9:1;");
}

static void subkeys(void **state)
{
    (void)state;
    parses_as("[a]\nrename.x = y", "a:1;a:2 rename/x=y;");
    parses_as("[a]\nrename. x y  = z", "a:1;a:2 rename/x y=z;");
    parses_as("[a]\nrename.a.b = z", "a:1;a:2 rename/a.b=z;");
    parses_as("[a]\nrename.\"a=\\\"b \" = z", "a:1;a:2 rename/a=\"b =z;");
    parses_as("[a]\nk = v.w", "a:1;a:2 k=v.w;");
}

static void comments_begin_lines_only(void **state)
{
    (void)state;
    parses_as("# c\n; c\n  # [x\n\t;\n[a]\nk = USER#{id} ; no # comment\n",
              "a:5;a:6 k=USER#{id} ; no # comment;");
}

static void byte_order_mark_and_crlf_are_tolerated(void **state)
{
    (void)state;
    parses_as("\xef\xbb\xbf[a]\r\nk = v\r\n\r\n", "a:1;a:2 k=v;");
}

static void long_lines_are_whole(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf text = {0}, entries = {0}, value = {0};

    for (int i = 0; i < 100000; i++)
        buf_putc(&value, (char)('a' + i % 26));
    buf_printf(&text, "[a]\nk = %s\n", value.data);
    buf_printf(&entries, "a:1;a:2 k=%s;", value.data);
    parses_as(text.data, entries.data);
}

static void refusals_name_file_and_line(void **state)
{
    (void)state;
    refuse("\nk = v\n", "f.conf:2: k stands before any [section]");
    refuse("[a]\nnonsense\n", "f.conf:2: \"nonsense\" is neither [section] nor key = value");
    refuse("[a]\nk: v\n", "f.conf:2: \"k: v\" is neither [section] nor key = value");
    refuse("[a]\n= v\n", "f.conf:2: no key stands before the =");
    refuse("[a\n", "f.conf:1: a section's line is [name] or [name \"argument\"], with quotes");
    refuse("[]\n", "f.conf:1: a section's line is [name] or [name \"argument\"], with quotes");
    refuse("[table x]\n",
           "f.conf:1: a section's line is [name] or [name \"argument\"], with quotes");
    refuse("[a] k = v\n", "f.conf:1: text follows the section's closing bracket");
    refuse("[table \"x]\n", "f.conf:1: the quote is not closed");
    refuse("[table \"\\n\"]\n", "f.conf:1: a backslash in quotes stands before \" or \\ only; "
                                "write \\\\ for a backslash");
    refuse("[a]\nr.\"x\" y = 1\n",
           "f.conf:2: \"r.\"x\" y = 1\" is neither [section] nor key = value");
    refuse("[a]\r\nk = \xff\r\n", "f.conf:2: this line is not UTF-8");
    refuse("[a]\nk = \x1b[0m\n", "f.conf:2: this line holds a control character (0x1b)");
    refuse_bytes("[a]\nk = \0v\n", 10, "f.conf:2: this line holds a control character (0x00)");
}

static void a_file_past_the_limit_is_refused(void **state)
{
    (void)state;
    char *big = malloc(INI_MAX_BYTES + 1);
    struct err err;

    assert_non_null(big);
    memset(big, '\n', INI_MAX_BYTES + 1);
    assert_int_equal(ini_parse("f.conf", big, INI_MAX_BYTES, record, NULL, &err), 0);
    assert_int_equal(ini_parse("f.conf", big, INI_MAX_BYTES + 1, record, NULL, &err), -EFBIG);
    assert_string_equal(err.text, "f.conf: the file is larger than 1 MiB; is it a configuration?");
    free(big);
}

static int stop(void *arg, const struct ini_entry *e, struct err *err)
{
    int *calls = arg;

    ++*calls;
    return e->key ? err_set(err, -EDOM, "no %s here", e->key) : 0;
}

static void an_error_of_the_caller_ends_the_reading(void **state)
{
    (void)state;
    static const char text[] = "[a]\nk = 1\nl = 2\n";
    struct err err;
    int calls = 0;

    assert_int_equal(ini_parse("f.conf", text, strlen(text), stop, &calls, &err), -EDOM);
    assert_string_equal(err.text, "f.conf:2: no k here");
    assert_int_equal(calls, 2);
}

static void reads_as(const char *raw, const char *value)
{
    _cleanup_buf_ struct buf got = {0};
    struct err err = {.text = ""};

    buf_puts(&got, "");
    if (ini_value(raw, lookup, NULL, &got, &err) != 0)
        fail_msg("%s", err.text);
    assert_string_equal(got.data, value);
}

static void refuses(const char *raw, int code, const char *sentence)
{
    _cleanup_buf_ struct buf got = {0};
    struct err err = {.text = ""};

    assert_int_equal(ini_value(raw, lookup, NULL, &got, &err), code);
    assert_string_equal(err.text, sentence);
}

static void values_and_references(void **state)
{
    (void)state;
    reads_as("", "");
    reads_as("a b", "a b");
    reads_as("\"  a \\\" \\\\ \"", "  a \" \\ ");
    reads_as("a \"b\"", "a \"b\"");
    reads_as("x-${STAGE}-y", "x-dev-y");
    reads_as("\"x-${STAGE}\"", "x-dev");
    reads_as("${EMPTY}", "");
    reads_as("$STAGE $ {table} $", "$STAGE $ {table} $");
    reads_as("$${STAGE} $$${STAGE}", "${STAGE} $${STAGE}");
    /* a variable's value is text, not syntax */
    reads_as("${QUOTE}", "\"x\" ${STAGE}");
    reads_as("\"${QUOTE}\"", "\"x\" ${STAGE}");

    refuses("${NOPE}", -ENOENT, "${NOPE} is not set");
    refuses("a ${STAGE", -EINVAL, "\"${\" has no closing brace (write $${ for a plain ${)");
    refuses("${}", -EINVAL,
            "\"${}\" names no environment variable (letters, digits and _; write $${ for a "
            "plain ${)");
    refuses("${a-b}", -EINVAL,
            "\"${a-b}\" names no environment variable (letters, digits and _; write $${ for "
            "a plain ${)");
    refuses("${NEWLINE}", -EINVAL, "${NEWLINE} holds a control character or is not UTF-8");
    refuses("\"a", -EINVAL, "the quote is not closed");
    refuses("\"a\\", -EINVAL,
            "a backslash in quotes stands before \" or \\ only; write \\\\ "
            "for a backslash");
    refuses("\"a\" b", -EINVAL, "text follows the closing quote; write \\\" for a quote");
}

static int join(void *arg, const char *element, struct err *err)
{
    (void)err;
    buf_printf(arg, "<%s>", element);
    return 0;
}

static void lists_as(const char *raw, const char *elements)
{
    _cleanup_buf_ struct buf got = {0};
    struct err err = {.text = ""};

    buf_puts(&got, "");
    if (ini_list(raw, lookup, NULL, join, &got, &err) != 0)
        fail_msg("%s", err.text);
    assert_string_equal(got.data, elements);
}

static void lists(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf got = {0};
    struct err err;

    lists_as("", "");
    lists_as("a", "<a>");
    lists_as(" a ,b c,, d,", "<a><b c><d>");
    lists_as("\"a, b\" , c", "<a, b><c>");
    lists_as("\"\", c", "<c>");
    lists_as("${LIST}, c", "<a><b><c>");
    lists_as("\"${LIST}\", c", "<a, b><c>");
    lists_as("x${LIST}", "<xa><b>");
    assert_int_equal(ini_list("\"a\" b", lookup, NULL, join, &got, &err), -EINVAL);
    assert_string_equal(err.text, "text follows the closing quote; put a comma between");
    assert_int_equal(ini_list("a, \"b", lookup, NULL, join, &got, &err), -EINVAL);
    assert_string_equal(err.text, "the quote is not closed");
}

static void what_is_written_reads_back(void **state)
{
    static const char *const texts[] = {"plain",     " blanks ", "\"",    "a\"b",
                                        "\"q\"",     "\\",       "a,b",   "${STAGE}",
                                        "$${STAGE}", "$",        "a = b", "\"${X\\"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        _cleanup_buf_ struct buf value = {0}, element = {0}, one = {0}, line = {0}, entries = {0};
        ini_append_value(&value, texts[i]);
        reads_as(value.data, texts[i]);
        ini_append_element(&element, texts[i]);
        buf_printf(&one, "<%s>", texts[i]);
        lists_as(element.data, one.data);
        buf_lit(&line, "[s ");
        ini_append_argument(&line, texts[i]);
        buf_lit(&line, "]\nk.");
        ini_append_subkey(&line, texts[i]);
        buf_lit(&line, " = v\n");
        buf_printf(&entries, "s/%s:1;s/%s:2 k/%s=v;", texts[i], texts[i], texts[i]);
        parses_as(line.data, entries.data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections_and_assignments),
        cmocka_unit_test(section_names_in_quotes_hold_anything),
        cmocka_unit_test(subkeys),
        cmocka_unit_test(comments_begin_lines_only),
        cmocka_unit_test(byte_order_mark_and_crlf_are_tolerated),
        cmocka_unit_test(long_lines_are_whole),
        cmocka_unit_test(refusals_name_file_and_line),
        cmocka_unit_test(a_file_past_the_limit_is_refused),
        cmocka_unit_test(an_error_of_the_caller_ends_the_reading),
        cmocka_unit_test(values_and_references),
        cmocka_unit_test(lists),
        cmocka_unit_test(what_is_written_reads_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
