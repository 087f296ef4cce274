/* Writes the part of syncd.conf(5) that names every setting, in mdoc(7), from the option table that
 * the parser and etc/syncd.conf come from too. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "config/options.h"
#include "config/quantity.h"

/* Names are to be copied as they stand: no hyphen at the end of a line. */
static bool is_name(const char *word)
{
    size_t n = strcspn(word, " \n"), marks = strcspn(word, "_{");

    return n > 0 && marks < n;
}

/* It means nothing to the formatter. */
static void put_char(char c)
{
    switch (c) {
    case '\\':
        fputs("\\e", stdout);
        break;
    case '`':
        fputs("\\(ga", stdout);
        break;
    case '\'':
        fputs("\\(aq", stdout);
        break;
    case '-':
        fputs("\\-", stdout);
        break;
    case '~':
        fputs("\\(ti", stdout);
        break;
    default:
        putchar(c);
    }
}

/* Each sentence begins a line, so that the formatter sees where they end. */
static void put_text(const char *text)
{
    bool begins = true;

    for (const char *p = text; *p; p++) {
        if (*p == ' ' && p > text + 1 && p[-1] == '.' && p[-2] != '.') {
            putchar('\n');
            begins = true;
            continue;
        }
        if ((p == text || p[-1] == ' ' || p[-1] == '\n') && is_name(p))
            fputs("\\%", stdout);
        if (begins && *p == '.')
            fputs("\\&", stdout);
        begins = *p == '\n';
        put_char(*p);
    }
}

/* An argument of a macro: one word, whatever is in it. */
static void put_argument(const char *text)
{
    fputs(" \"\\%", stdout);
    for (; *text; text++) {
        if (*text == '"')
            putchar('"');
        put_char(*text);
    }
    putchar('"');
}

static void put_value(const char *what, const char *value)
{
    if (!value || !*value)
        return;
    printf("%s:\n.Ql", what);
    put_argument(value);
    fputs(" .\n", stdout);
}

static void append_bound(const struct config_option *o, int64_t bound, struct buf *out)
{
    if (o->type == OPTION_DURATION)
        quantity_append_duration(out, bound);
    else if (o->type == OPTION_SIZE)
        quantity_append_size(out, bound);
    else
        buf_printf(out, "%lld", (long long)bound);
}

/* What a value looks like; nothing where the help has said all. */
static void append_kind(const struct config_option *o, struct buf *out)
{
    switch (o->type) {
    case OPTION_BOOL:
        buf_puts(out, "Yes or no");
        break;
    case OPTION_INT:
    case OPTION_DURATION:
    case OPTION_SIZE:
        buf_puts(out, o->type == OPTION_INT        ? "A whole number, "
                      : o->type == OPTION_DURATION ? "A duration, "
                                                   : "A size, ");
        append_bound(o, o->min, out);
        buf_puts(out, " to ");
        append_bound(o, o->max, out);
        break;
    case OPTION_PERCENT:
        buf_puts(out, "A percentage");
        break;
    case OPTION_ENUM:
        for (const char *const *name = o->names; *name; name++)
            buf_printf(out, "%s%s", name == o->names ? "One of " : name[1] ? ", " : " and ", *name);
        break;
    case OPTION_LIST:
        buf_puts(out, "A list");
        break;
    default:
        break;
    }
}

static void print_setting(const struct config_option *o)
{
    _cleanup_buf_ struct buf kind = {0};

    fputs(".It Ic", stdout);
    put_argument(o->key);
    if (o->type == OPTION_PAIRS)
        fputs(o->exact ? " Ns \\&. Ns Ar NAME" : " Ns \\&. Ns Ar COLUMN", stdout);
    putchar('\n');
    put_text(o->help);
    putchar('\n');
    append_kind(o, &kind);
    if (kind.len || (o->initial && *o->initial) || o->example || o->reloadable || o->remaps)
        fputs(".Pp\n", stdout);
    if (kind.len && buf_ok(&kind)) {
        put_text(kind.data);
        fputs(".\n", stdout);
    }
    put_value("Default", o->initial);
    put_value("Example", o->example);
    if (o->reloadable)
        fputs("A reload takes a new value.\n", stdout);
    else if (o->remaps)
        fputs("A reload takes a new value with \\-\\-apply.\n", stdout);
}

int main(void)
{
    for (const struct option_section *s = config_sections; s->name; s++) {
        fputs(".Ss \"[", stdout);
        fputs(s->name, stdout);
        fputs(s->sample ? " \"\"NAME\"\"]\"\n" : "]\"\n", stdout);
        put_text(s->help);
        fputs("\n.Bl -tag -width Ds\n", stdout);
        for (const struct config_option *o = config_options; o->section; o++)
            if (strcmp(o->section, s->name) == 0 && o->type != OPTION_LATER)
                print_setting(o);
        fputs(".El\n", stdout);
    }
    return ferror(stdout) || fflush(stdout) != 0;
}
