/* Patterns: what is captured, how far a text goes with them, and what is no pattern. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "export/pattern.h"

#define A "550e8400-e29b-41d4-a716-446655440000"
#define B "660E8400-E29B-41D4-A716-446655440001"

static const char *const how_words[] = {"none", "begins", "shaped", "full"};

/* "full id=… n=…" */
static void expect(const char *pattern, const char *text, const char *wanted)
{
    struct pattern_span spans[PATTERN_MAX_PARTS];
    _cleanup_buf_ struct buf got = {0};
    struct pattern p;
    struct err err;
    size_t part = 99;

    if (pattern_parse(pattern, &p, &err) < 0)
        fail_msg("%s: %s", pattern, err.text);
    enum pattern_match how = pattern_match(&p, text, strlen(text), spans, &part);
    buf_puts(&got, how_words[how]);
    if (how == PATTERN_SHAPED)
        buf_printf(&got, " not %s", p.parts[part].text);
    for (size_t i = 0; how == PATTERN_FULL && i < p.count; i++)
        if (p.parts[i].kind != PATTERN_LITERAL)
            buf_printf(&got, " %s=%.*s", p.parts[i].text, (int)spans[i].n, spans[i].at);
    assert_string_equal(got.data, wanted);
    pattern_clear(&p);
}

static void captures_are_what_stands_between(void **state)
{
    (void)state;
    expect("CONV#{id:uuid}", "CONV#" A, "full id=" A);
    expect("CONV#{id:uuid}", "CONV#" B, "full id=" B);
    expect("MSG#{c:uuid}#{id:uuid}", "MSG#" A "#" B, "full c=" A " id=" B);
    expect("{a:uuid}-{b:uuid}", A "-" B, "full a=" A " b=" B);
    expect("{a}-{b}", "x-y-z", "full a=x b=y-z");
    expect("{y:integer}/{n:number}", "-2024/1.5e3", "full y=-2024 n=1.5e3");
    expect("FILE#{path:rest}", "FILE#a#b/c", "full path=a#b/c");
    expect("PROFILE", "PROFILE", "full");
    expect("{{{x}}}", "{1}", "full x=1");
    expect("{name}", "\xc3\xa9", "full name=\xc3\xa9");
}

static void what_goes_on_otherwise_is_told_from_what_is_another(void **state)
{
    (void)state;
    expect("CONV#{id:uuid}", "MSG#" A, "none");
    expect("CONV#{id:uuid}", "CON", "none");
    expect("CONV#{id:uuid}", "", "none");
    expect("CONV#{id:uuid}", "CONV#not-a-uuid", "shaped not id");
    expect("CONV#{id:uuid}", "CONV#", "begins");
    expect("CONV#{id:uuid}", "CONV#" A "#more", "begins");
    expect("MSG#{c:uuid}#{id:uuid}", "MSG#" A, "begins");
    expect("MSG#{c:uuid}#{id:uuid}", "MSG#" A "#x", "shaped not id");
    expect("MSG#{c:uuid}#{id:uuid}", "MSG##" A, "begins");
    expect("{id:uuid}", "x", "shaped not id");
    expect("{n:integer}", "1.5", "shaped not n");
    expect("{n:integer}", "-", "shaped not n");
    expect("{n:number}", "1e", "shaped not n");
    expect("PROFILE", "PROFILES", "none");
    expect("A#{x}#B", "A#1#C", "begins");
    expect("A#{x}#B", "A#1#BB", "begins");
    expect("{x}", "a#b", "begins");
}

/* Text of a service's is no C string. */
static void a_nul_is_a_character(void **state)
{
    struct pattern_span spans[PATTERN_MAX_PARTS];
    struct pattern p;
    struct err err;
    size_t part;

    (void)state;
    assert_int_equal(pattern_parse("A{x}", &p, &err), 0);
    assert_int_equal(pattern_match(&p, "A\0b", 3, spans, &part), PATTERN_FULL);
    assert_int_equal(spans[1].n, 2);
    pattern_clear(&p);
}

static void a_long_text_takes_its_length(void **state)
{
    enum { LENGTH = 1 << 20 };
    struct pattern_span spans[PATTERN_MAX_PARTS];
    char *text = malloc(LENGTH);
    struct pattern p;
    struct err err;
    size_t part;

    (void)state;
    assert_non_null(text);
    memset(text, '-', LENGTH);
    assert_int_equal(pattern_parse("{a}-{b}-{c}-{d}-{e}-{f}x", &p, &err), 0);
    assert_int_equal(pattern_match(&p, text, LENGTH, spans, &part), PATTERN_BEGINS);
    pattern_clear(&p);
    free(text);
}

static void refuse(const char *pattern, const char *sentence)
{
    struct pattern p;
    struct err err = {""};

    assert_true(pattern_parse(pattern, &p, &err) < 0);
    assert_string_equal(err.text, sentence);
    assert_int_equal(p.count, 0);
}

static void what_is_no_pattern_is_refused(void **state)
{
    _cleanup_buf_ struct buf many = {0};

    (void)state;
    refuse("", "the pattern is empty");
    refuse("A{", "a { has no }; {{ stands for a brace");
    refuse("A{x", "a { has no }; {{ stands for a brace");
    refuse("A{x{y}}", "a { has no }; {{ stands for a brace");
    refuse("A}", "a } has no {; }} stands for a brace");
    refuse("{}", "a capture needs a name: {NAME} or {NAME:TYPE}");
    refuse("{:uuid}", "a capture needs a name: {NAME} or {NAME:TYPE}");
    refuse("{x:guid}", "\"guid\" is none of text, uuid, integer, number and rest");
    refuse("{x:}", "\"\" is none of text, uuid, integer, number and rest");
    refuse("{x}{y}", "nothing stands between {x} and {y}, so that nobody knows where the one ends");
    refuse("{x}#{x}", "{x} is there twice");
    refuse("{x:rest}#", "{x:rest} takes everything: nothing can follow it");
    for (int i = 0; i < 40; i++)
        buf_printf(&many, "#{a%d}", i);
    refuse(many.data, "the pattern has more than 32 parts");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(captures_are_what_stands_between),
        cmocka_unit_test(what_goes_on_otherwise_is_told_from_what_is_another),
        cmocka_unit_test(a_nul_is_a_character),
        cmocka_unit_test(a_long_text_takes_its_length),
        cmocka_unit_test(what_is_no_pattern_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
