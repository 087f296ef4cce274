#include <string.h>

#include "base/buf.h"
#include "config/config.h"
#include "config/config_read.h"
#include "config/lists.h"
#include "config/options.h"
#include "config/setting.h"

/* `base` is a section of a table where `table` is its name, else the configuration. */
static void print_option(const struct config_option *o, const void *base, const char *table,
                         FILE *out)
{
    _cleanup_buf_ struct buf name = {0}, value = {0};
    const struct pairlist *pairs = NULL;

    buf_puts(&name, o->section);
    if (table) {
        buf_putc(&name, ' ');
        ini_append_argument(&name, table);
    }
    buf_printf(&name, ".%s", o->key);
    if (o->type == OPTION_PAIRS)
        pairs = (const void *)((const char *)base + o->offset);
    else
        setting_append(o, base, &value);
    for (size_t i = 0; pairs && i < pairs->count; i++) { /* of a pair, the subkey is in it too */
        buf_clear(&value);
        ini_append_subkey(&value, pairs->items[i].key);
        buf_lit(&value, " = ");
        ini_append_value(&value, pairs->items[i].value);
        if (buf_ok(&name) && buf_ok(&value))
            fprintf(out, "%s.%s\n", name.data, value.data);
    }
    if (!pairs && buf_ok(&name) && buf_ok(&value))
        fprintf(out, "%s =%s%s\n", name.data, value.len ? " " : "", value.len ? value.data : "");
}

static bool prints_always(const struct config_option *o)
{
    return strcmp(o->key, "enabled") == 0;
}

static void print_table(const struct table_config *t, FILE *out)
{
    struct table_config plain;

    if (table_config_init(&plain, t->name, "", 0, NULL) < 0)
        return;
    for (const struct config_option *o = config_options; o->section; o++)
        if (option_scope(o) == SCOPE_TABLE && o->type != OPTION_LATER &&
            (prints_always(o) || !setting_equal(o, t, &plain)))
            print_option(o, t, t->name, out);
    table_config_clear(&plain);
}

void config_print(const struct config *c, FILE *out)
{
    for (const struct config_option *o = config_options; o->section; o++)
        if (option_scope(o) == SCOPE_CONFIG && o->type != OPTION_LATER)
            print_option(o, c, NULL, out);
    for (size_t i = 0; i < c->table_section_count; i++)
        print_table(&c->table_sections[i], out);
    for (size_t i = 0; i < c->export_section_count; i++)
        for (const struct config_option *o = config_options; o->section; o++)
            if (option_scope(o) == SCOPE_EXPORT)
                print_option(o, &c->export_sections[i], c->export_sections[i].name, out);
}

/* --- the mapping alone ------------------------------------------------------------------------ */

static bool of_mapping(const struct config_option *o)
{
    static const char *const names[] = {"table_name", "meta_table", "source_id"};

    if (o->type == OPTION_LATER)
        return false;
    if (strcmp(o->section, "source") == 0 || option_scope(o) == SCOPE_TABLE)
        return true;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(o->key, names[i]) == 0)
            return true;
    return false;
}

static void print_assignment(const struct config_option *o, const void *base, FILE *out)
{
    _cleanup_buf_ struct buf line = {0};
    const struct pairlist *pairs =
        o->type == OPTION_PAIRS ? (const void *)((const char *)base + o->offset) : NULL;

    for (size_t i = 0; pairs && i < pairs->count; i++) {
        buf_printf(&line, "%s.", o->key);
        ini_append_subkey(&line, pairs->items[i].key);
        buf_lit(&line, " = ");
        ini_append_value(&line, pairs->items[i].value);
        buf_putc(&line, '\n');
    }
    if (!pairs) {
        size_t start;
        buf_printf(&line, "%s = ", o->key);
        start = line.len;
        setting_append(o, base, &line);
        if (line.len == start)
            return; /* empty: its default */
        buf_putc(&line, '\n');
    }
    if (buf_ok(&line) && line.len)
        fwrite(line.data, 1, line.len, out);
}

static void print_mapping_section(const char *section, const struct config *c, FILE *out)
{
    fprintf(out, "[%s]\n", section);
    for (const struct config_option *o = config_options; o->section; o++)
        if (of_mapping(o) && strcmp(o->section, section) == 0)
            print_assignment(o, c, out);
}

static void print_mapping_table(const struct table_config *t, FILE *out)
{
    _cleanup_buf_ struct buf name = {0};
    struct table_config plain;

    ini_append_argument(&name, t->name);
    if (!buf_ok(&name) || table_config_init(&plain, t->name, "", 0, NULL) < 0)
        return;
    fprintf(out, "[table %s]\n", name.data);
    for (const struct config_option *o = config_options; o->section; o++)
        if (option_scope(o) == SCOPE_TABLE && of_mapping(o) && !setting_equal(o, t, &plain))
            print_assignment(o, t, out);
    table_config_clear(&plain);
}

void config_print_mapping(const struct config *c, FILE *out)
{
    for (const struct option_section *s = config_sections; s->name; s++)
        for (const struct config_option *o = config_options; o->section && !s->sample; o++)
            if (of_mapping(o) && strcmp(o->section, s->name) == 0) {
                print_mapping_section(s->name, c, out);
                break;
            }
    for (size_t i = 0; i < c->table_section_count; i++)
        print_mapping_table(&c->table_sections[i], out);
}

/* --- the sample ------------------------------------------------------------------------------- */

static void print_comment(const char *text, FILE *out)
{
    while (*text) {
        size_t n = strcspn(text, "\n");
        fprintf(out, "#%s%.*s\n", n ? " " : "", (int)n, text);
        text += n + (text[n] != '\0');
    }
}

static const char sample_head[] =
    "Configuration of syncd.\n"
    "\n"
    "Two things are needed: the path of the database ([source] database) and a region ([dynamodb]\n"
    "region, or AWS_REGION in the environment). Lines that begin with # and no blank show "
    "defaults,\n"
    "or examples where an empty default would tell nothing; to change one, take the # away. Then "
    "try\n"
    "it: syncd --check --config FILE.\n"
    "\n"
    "A # or ; begins a comment at the start of a line only. Lists are separated by commas; a "
    "second\n"
    "line with the same list adds to it, and an empty value puts any key back to its default. "
    "Values\n"
    "may stand in double quotes. ${NAME} takes the environment, which the file of the same name "
    "that\n"
    "ends in .env (NAME=value lines) completes; $${ is a plain ${. Files *.conf in the directory\n"
    "named like this file with .d after it are read afterwards, in the order of their names.";

static void print_sample_option(const struct config_option *o, FILE *out)
{
    const char *value = o->example ? o->example : o->initial ? o->initial : "";

    fputc('\n', out);
    print_comment(o->help, out);
    if (o->type == OPTION_PAIRS)
        fprintf(out, "#%s\n", value);
    else
        fprintf(out, "#%s =%s%s\n", o->key, *value ? " " : "", value);
}

void config_print_sample(FILE *out)
{
    print_comment(sample_head, out);
    for (const struct option_section *s = config_sections; s->name; s++) {
        fputc('\n', out);
        print_comment(s->help, out);
        if (s->sample)
            fprintf(out, "#[%s \"%s\"]\n", s->name, s->sample);
        else
            fprintf(out, "[%s]\n", s->name);
        for (const struct config_option *o = config_options; o->section; o++)
            if (strcmp(o->section, s->name) == 0 && o->type != OPTION_LATER)
                print_sample_option(o, out);
    }
}

struct differ {
    config_diff_fn *fn;
    void *arg;
    size_t count;
};

static void report(struct differ *d, const struct config_option *o, const char *table)
{
    _cleanup_buf_ struct buf name = {0};

    buf_puts(&name, o->section);
    if (table) {
        buf_putc(&name, ' ');
        ini_append_argument(&name, table);
    }
    buf_printf(&name, ".%s", o->key);
    d->count++;
    if (d->fn)
        d->fn(d->arg, buf_ok(&name) ? name.data : o->key,
              o->reloadable ? EFFECT_RELOAD
              : o->remaps   ? EFFECT_REMAP
                            : EFFECT_RESTART);
}

static void diff_table(struct differ *d, const struct table_config *a, const struct table_config *b)
{
    for (const struct config_option *o = config_options; o->section; o++)
        if (option_scope(o) == SCOPE_TABLE && !setting_equal(o, a, b))
            report(d, o, a->name);
}

/* The tables of `a`, against those of `b`; with `alone`, only what `b` has no section for. */
static void diff_tables(struct differ *d, const struct config *a, const struct config *b,
                        bool alone)
{
    for (size_t i = 0; i < a->table_section_count; i++) {
        const struct table_config *t = &a->table_sections[i], *other = config_table(b, t->name);
        struct table_config plain;
        if (other) {
            if (!alone)
                diff_table(d, t, other);
        } else if (table_config_init(&plain, t->name, "", 0, NULL) == 0) {
            diff_table(d, t, &plain);
            table_config_clear(&plain);
        }
    }
}

/* [export] sections are no part of it: nothing that runs takes them. */
size_t config_diff(const struct config *a, const struct config *b, config_diff_fn *fn, void *arg)
{
    struct differ d = {.fn = fn, .arg = arg};

    for (const struct config_option *o = config_options; o->section; o++)
        if (option_scope(o) == SCOPE_CONFIG && !setting_equal(o, a, b))
            report(&d, o, NULL);
    diff_tables(&d, a, b, false);
    diff_tables(&d, b, a, true);
    return d.count;
}
