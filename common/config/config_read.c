#include "config/config_read.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/lists.h"
#include "config/options.h"
#include "config/setting.h"
#include "config/shown.h"

static int no_memory(struct err *err)
{
    return err_set(err, -ENOMEM, "out of memory");
}

/* Walk the options of struct config, of struct table_config, or of struct export_config. */
static int init_fields(void *base, enum option_scope scope, struct err *err)
{
    for (const struct config_option *o = config_options; o->section; o++) {
        int rc = option_scope(o) == scope ? setting_init(o, base, err) : 0;
        if (rc < 0)
            return rc;
    }
    return 0;
}

static void free_fields(void *base, enum option_scope scope)
{
    for (const struct config_option *o = config_options; o->section; o++)
        if (option_scope(o) == scope)
            setting_free(o, base);
}

int table_config_init(struct table_config *t, const char *name, const char *file, unsigned line,
                      struct err *err)
{
    struct table_config fresh = {.name = strdup(name), .file = strdup(file), .line = line};
    int rc = fresh.name && fresh.file ? init_fields(&fresh, SCOPE_TABLE, err) : no_memory(err);

    if (rc < 0) {
        table_config_clear(&fresh);
        return rc;
    }
    *t = fresh;
    return 0;
}

void table_config_clear(struct table_config *t)
{
    free_fields(t, SCOPE_TABLE);
    free(t->name);
    free(t->file);
}

int export_config_init(struct export_config *t, const char *name, const char *file, unsigned line,
                       struct err *err)
{
    struct export_config fresh = {.name = strdup(name), .file = strdup(file), .line = line};
    int rc = fresh.name && fresh.file ? init_fields(&fresh, SCOPE_EXPORT, err) : no_memory(err);

    if (rc < 0) {
        export_config_clear(&fresh);
        return rc;
    }
    *t = fresh;
    return 0;
}

void export_config_clear(struct export_config *t)
{
    free_fields(t, SCOPE_EXPORT);
    free(t->name);
    free(t->file);
}

int config_new(struct config **out, struct err *err)
{
    struct config *c = calloc(1, sizeof *c);

    if (!c)
        return no_memory(err);
    c->name = strdup("");
    c->file = strdup("");
    int rc = c->name && c->file ? init_fields(c, SCOPE_CONFIG, err) : no_memory(err);
    if (rc < 0) {
        config_free(c);
        return rc;
    }
    *out = c;
    return 0;
}

void config_free(struct config *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->table_section_count; i++)
        table_config_clear(&c->table_sections[i]);
    free(c->table_sections);
    for (size_t i = 0; i < c->export_section_count; i++)
        export_config_clear(&c->export_sections[i]);
    free(c->export_sections);
    pairlist_clear(&c->environment);
    free_fields(c, SCOPE_CONFIG);
    free(c->name);
    free(c->file);
    free(c);
}

struct adder {
    struct config *c;
    const char *file;
    ini_lookup_fn *lookup;
    void *lookup_arg;
    const struct option_section *section;
    size_t at; /* index of the section's table or export, of a section that has a name */
};

/* Several sections of one table are one. */
static int open_table(struct adder *a, const struct ini_entry *e, struct err *err)
{
    struct config *c = a->c;
    struct table_config *sections;

    for (size_t i = 0; i < c->table_section_count; i++)
        if (same_name(c->table_sections[i].name, e->argument)) {
            a->at = i;
            return 0;
        }
    sections = reallocarray(c->table_sections, c->table_section_count + 1, sizeof *sections);
    if (!sections)
        return no_memory(err);
    c->table_sections = sections;
    int rc =
        table_config_init(&sections[c->table_section_count], e->argument, a->file, e->line, err);
    if (rc == 0)
        a->at = c->table_section_count++;
    return rc;
}

static int open_export(struct adder *a, const struct ini_entry *e, struct err *err)
{
    struct config *c = a->c;
    struct export_config *sections;

    for (size_t i = 0; i < c->export_section_count; i++)
        if (same_text(c->export_sections[i].name, e->argument)) {
            a->at = i;
            return 0;
        }
    sections = reallocarray(c->export_sections, c->export_section_count + 1, sizeof *sections);
    if (!sections)
        return no_memory(err);
    c->export_sections = sections;
    int rc =
        export_config_init(&sections[c->export_section_count], e->argument, a->file, e->line, err);
    if (rc == 0)
        a->at = c->export_section_count++;
    return rc;
}

static int open_section(struct adder *a, const struct ini_entry *e, struct err *err)
{
    struct shown text;

    a->section = config_section_find(e->section);
    if (!a->section) {
        const char *near = config_section_nearest(e->section);
        if (near)
            return err_set(err, -EINVAL, "unknown section [%s], did you mean [%s]?",
                           shown(&text, e->section), near);
        return err_set(
            err, -EINVAL,
            "unknown section [%s] (there are source, dynamodb, sync, state, control, log, "
            "table and export)",
            shown(&text, e->section));
    }
    if (!a->section->sample)
        return e->argument ? err_set(err, -EINVAL, "section [%s] takes no name", a->section->name)
                           : 0;
    if (!e->argument || !*e->argument)
        return err_set(err, -EINVAL, "section [%s] needs a name: [%s \"NAME\"]", a->section->name,
                       a->section->name);
    return strcmp(a->section->name, "export") == 0 ? open_export(a, e, err) : open_table(a, e, err);
}

static int unknown_key(const struct adder *a, const char *key, struct err *err)
{
    const char *section = a->section->name, *near = option_nearest(section, key);
    struct shown text;

    for (const struct option_section *s = config_sections; s->name; s++)
        if (option_find(s->name, key))
            return err_set(err, -EINVAL, "%s is no key of [%s] but of [%s]; move the line there",
                           shown(&text, key), section, s->name);
    if (near)
        return err_set(err, -EINVAL, "unknown key \"%s\" in [%s], did you mean \"%s\"?",
                       shown(&text, key), section, near);
    return err_set(err, -EINVAL, "unknown key \"%s\" in [%s]; remove the line", shown(&text, key),
                   section);
}

/* Those later keys that take a subkey may have one here too, so that they get the right sentence.
 */
static int check_subkey(const struct config_option *o, const struct ini_entry *e, struct err *err)
{
    struct shown text;

    if (o->type == OPTION_LATER)
        return 0;
    if (o->type != OPTION_PAIRS && e->subkey)
        return err_set(err, -EINVAL, "%s takes no \".%s\" after it", o->key,
                       shown(&text, e->subkey));
    if (o->type == OPTION_PAIRS && (!e->subkey || !*e->subkey))
        return o->exact
                   ? err_set(err, -EINVAL, "%s needs a name: %s.NAME = value", o->key, o->key)
                   : err_set(err, -EINVAL, "%s needs a column: %s.COLUMN = value", o->key, o->key);
    return 0;
}

static int on_entry(void *arg, const struct ini_entry *e, struct err *err)
{
    struct adder *a = arg;
    struct shown text;

    if (!e->key)
        return open_section(a, e, err);
    const struct config_option *o = option_find(a->section->name, e->key);
    if (!o)
        return unknown_key(a, e->key, err);
    int rc = check_subkey(o, e, err);
    if (rc < 0)
        return rc;
    void *base = option_scope(o) == SCOPE_TABLE    ? (void *)&a->c->table_sections[a->at]
                 : option_scope(o) == SCOPE_EXPORT ? (void *)&a->c->export_sections[a->at]
                                                   : (void *)a->c;
    rc = setting_assign(o, base, e->subkey, e->raw, a->lookup, a->lookup_arg, err);
    if (rc < 0 && e->subkey)
        return err_prefix(err, rc, "%s.%s", e->key, shown(&text, e->subkey));
    return rc < 0 ? err_prefix(err, rc, "%s", e->key) : 0;
}

int config_add(struct config *c, const char *file, const void *bytes, size_t n,
               ini_lookup_fn *lookup, void *arg, struct err *err)
{
    struct adder a = {.c = c, .file = file, .lookup = lookup, .lookup_arg = arg};

    return ini_parse(file, bytes, n, on_entry, &a, err);
}

/* `low` must not be above `high`; both are durations of one section. */
static int check_order(const struct config *c, const char *file, const char *low, const char *high,
                       struct err *err)
{
    const struct config_option *l = option_find("sync", low), *h = option_find("sync", high);
    _cleanup_buf_ struct buf text_low = {0}, text_high = {0};

    if (*(const usec *)((const char *)c + l->offset) <=
        *(const usec *)((const char *)c + h->offset))
        return 0;
    setting_append(l, c, &text_low);
    setting_append(h, c, &text_high);
    if (!buf_ok(&text_low) || !buf_ok(&text_high))
        return no_memory(err);
    return err_set(err, -EINVAL, "%s: [sync] %s (%s) is longer than %s (%s); make it shorter", file,
                   low, text_low.data, high, text_high.data);
}

int config_complete(struct config *c, const char *file, struct err *err)
{
    int rc = 0;

    for (const struct config_option *o = config_options; o->section; o++) {
        if (option_scope(o) == SCOPE_CONFIG) {
            rc = setting_complete(o, c, err);
        } else if (option_scope(o) == SCOPE_TABLE) {
            for (size_t i = 0; rc == 0 && i < c->table_section_count; i++)
                rc = setting_complete(o, &c->table_sections[i], err);
        }
        if (rc < 0)
            return rc;
    }
    if (!*c->database)
        return err_set(err, -EINVAL,
                       "%s: [source] database is required: the path of the SQLite database to "
                       "mirror",
                       file);
    rc = check_order(c, file, "backoff_base", "backoff_max", err);
    return rc < 0 ? rc : check_order(c, file, "lag_warning", "lag_critical", err);
}

int config_parse_memory(const char *file, const void *bytes, size_t n, ini_lookup_fn *lookup,
                        void *arg, struct config **out, struct err *err)
{
    struct config *c = NULL;
    int rc = config_new(&c, err);

    if (rc < 0)
        return rc;
    assert(c); /* which the analyzer cannot see */
    rc = config_add(c, file, bytes, n, lookup, arg, err);
    if (rc == 0)
        rc = config_complete(c, file, err);
    if (rc < 0) {
        config_free(c);
        return rc;
    }
    *out = c;
    return 0;
}
