/* What identifies a row in SQLite, and what its item's key is made of. */
#include "mapping/plan_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

enum { MAX_KEY_NAME = 255 };

/* --- the row key ------------------------------------------------------------------------------ */

static bool known_collation(const char *name)
{
    return strcasecmp(name, "BINARY") == 0 || strcasecmp(name, "NOCASE") == 0 ||
           strcasecmp(name, "RTRIM") == 0;
}

/* Is `column` named by the key option, as a plain name or inside {} of a template? */
static bool option_names(const char *option, const char *column)
{
    size_t n = strlen(column);

    if (!plan_given(option))
        return false;
    if (strcasecmp(option, column) == 0)
        return true;
    for (const char *p = strchr(option, '{'); p; p = strchr(p + 1, '{'))
        if (strncasecmp(p + 1, column, n) == 0 && p[1 + n] == '}')
            return true;
    return false;
}

bool plan_key_names(const struct plan_maker *m, const char *column)
{
    return option_names(m->options->partition_key, column) ||
           option_names(m->options->sort_key, column);
}

/* A unique index whose columns are NOT NULL, built in collations, and all named by the options. */
static const struct unique_info *named_unique(const struct plan_maker *m)
{
    const struct table_info *t = m->table;

    for (size_t i = 0; i < t->unique_count; i++) {
        const struct unique_info *u = &t->uniques[i];
        bool usable = true;
        for (size_t j = 0; usable && j < u->column_count; j++) {
            const struct column_info *c = &t->columns[u->columns[j]];
            usable = c->not_null && !c->generated && known_collation(u->collations[j]) &&
                     plan_key_names(m, c->name);
            /* UNIQUE(a, a) is another index's job, and a key has a column once. */
            for (size_t k = 0; k < j; k++)
                usable = usable && u->columns[k] != u->columns[j];
        }
        if (usable)
            return u;
    }
    return NULL;
}

int plan_find_row_key(struct plan_maker *m, const size_t **columns, size_t *count)
{
    const struct table_info *t = m->table;

    if (t->key_count) {
        *columns = t->key;
        *count = t->key_count;
    } else {
        if (!plan_given(m->options->partition_key))
            return plan_refuse(m,
                               "it has no primary key; name a unique NOT NULL key as partition_key "
                               "(and sort_key) in [table \"%s\"], or exclude the table",
                               t->name);
        const struct unique_info *u = named_unique(m);
        if (!u)
            return plan_refuse(
                m,
                "it has no primary key, and no unique index of NOT NULL columns lies "
                "within the partition_key and sort_key of [table \"%s\"]",
                t->name);
        *columns = u->columns;
        *count = u->column_count;
    }
    for (size_t i = 0; i < *count; i++) {
        const struct column_info *c = &t->columns[(*columns)[i]];
        if (!known_collation(c->collation))
            return plan_refuse(m,
                               "key column \"%s\" has the collation %s, which only the application "
                               "knows",
                               c->name, c->collation);
        if (c->affinity == AFFINITY_NONE)
            return plan_refuse(
                m,
                "key column \"%s\" has no type, so 1 and '1' could both be keys; declare "
                "it INTEGER, TEXT or BLOB",
                c->name);
    }
    return 0;
}

/* --- the remote key --------------------------------------------------------------------------- */

static int type_of_key(struct plan_maker *m, const struct plan_column *c, enum attr_type *out)
{
    int type = conversion_type(&c->convert, c->affinity);

    if (!type)
        return plan_refuse_key(m, c);
    *out = (enum attr_type)type;
    return 0;
}

static struct key_segment *grow(struct key_segment **segments, size_t *count)
{
    struct key_segment *grown = realloc(*segments, (*count + 1) * sizeof *grown);

    if (!grown)
        return NULL;
    *segments = grown;
    grown[*count] = (struct key_segment){0};
    return &grown[(*count)++];
}

static struct key_segment *add_segment(struct key_part *part)
{
    return grow(&part->segments, &part->segment_count);
}

/* Bool and json are in a template as SQLite has them, which an untyped column does not tell. */
static int check_key_column(struct plan_maker *m, const struct plan_column *c)
{
    bool as_stored = c->convert.kind == CONVERT_BOOL || c->convert.kind == CONVERT_JSON;

    if (as_stored ? c->affinity == AFFINITY_NONE : !conversion_type(&c->convert, c->affinity))
        return plan_refuse_key(m, c);
    return 0;
}

static int no_such_column(struct plan_maker *m, const char *name)
{
    if (strcasecmp(name, "source_id") == 0)
        return plan_refuse(m, "its template has {source_id}, which is not set; write source_id = "
                              "NAME in [source]");
    return plan_refuse(m,
                       "its key names the column \"%s\", which it does not have (or which is "
                       "excluded)",
                       name);
}

static int take_braces(struct plan_maker *m, struct key_segment **segments, size_t *count,
                       const char *name)
{
    const char *id = m->options->source_id;
    bool source = plan_given(id) && strcasecmp(name, "source_id") == 0;
    long at = plan_column(m->plan, name);

    if (source && at >= 0)
        return plan_refuse(m, "{source_id} could be the setting or the table's own column; leave "
                              "source_id in [source] empty and write the name itself");
    if (!source && at < 0)
        return no_such_column(m, name);
    struct key_segment *s = grow(segments, count);
    if (!s || (source && !(s->literal = strdup(id))))
        return plan_no_memory(m);
    s->source = source;
    s->column = source ? 0 : (size_t)at;
    return 0;
}

int plan_parse_template(struct plan_maker *m, struct key_segment **segments, size_t *count,
                        const char *text)
{
    if (!utf8_valid(text, strlen(text)))
        return plan_refuse(m, "its template is not valid UTF-8");
    while (*text) {
        size_t n = strcspn(text, "{");
        if (n) {
            struct key_segment *s = grow(segments, count);
            if (!s || !(s->literal = strndup(text, n)))
                return plan_no_memory(m);
            text += n;
            continue;
        }
        const char *end = strchr(text, '}');
        if (!end)
            return plan_refuse(m, "its template has a \"{\" without \"}\"");
        _cleanup_free_ char *name = strndup(text + 1, (size_t)(end - text) - 1);
        if (!name)
            return plan_no_memory(m);
        int rc = take_braces(m, segments, count, name);
        if (rc < 0)
            return rc;
        text = end + 1;
    }
    return 0;
}

void plan_segments_free(struct key_segment *segments, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(segments[i].literal);
    free(segments);
}

static bool ends_id(char c)
{
    return !strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-", c);
}

/* Machines that share a table must not meet: their id ends, or begins, where one can see it. */
static int check_source(struct plan_maker *m, const struct key_part *part)
{
    const struct key_segment *s = part->segments;
    size_t n = part->segment_count;

    for (size_t i = 0; i < n; i++) {
        if (!s[i].source)
            continue;
        m->plan->has_source = true;
        const char *before = i ? s[i - 1].literal : NULL,
                   *after = i + 1 < n ? s[i + 1].literal : NULL;
        bool first = i == 0 && (n == 1 || (after && ends_id(after[0])));
        bool last = i + 1 == n && before && ends_id(before[strlen(before) - 1]);
        if (!first && !last)
            return plan_refuse(m, "{source_id} must begin or end its key, with a sign such as # "
                                  "between it and the rest");
    }
    return 0;
}

static int parse_key_template(struct plan_maker *m, struct key_part *part, const char *text)
{
    part->kind = KEY_TEMPLATE;
    int rc = plan_parse_template(m, &part->segments, &part->segment_count, text);

    for (size_t i = 0; rc == 0 && i < part->segment_count; i++)
        if (!part->segments[i].literal)
            rc = check_key_column(m, &m->plan->columns[part->segments[i].column]);
    return rc < 0 ? rc : check_source(m, part);
}

static int name_key_part(struct plan_maker *m, size_t i, const char *configured,
                         const char *fallback)
{
    struct key_attribute *to = &m->plan->schema.parts[i];
    const char *name = plan_given(configured) ? configured : fallback ? fallback : "";

    if (strlen(name) > MAX_KEY_NAME)
        return plan_refuse(m, "the key attribute's name \"%.40s…\" is longer than %d bytes", name,
                           MAX_KEY_NAME);
    to->name = strdup(name);
    return to->name ? 0 : plan_no_memory(m);
}

/* A key part that is one column's value: the column's own attribute is the key attribute. */
static int part_from_column(struct plan_maker *m, size_t i, size_t column,
                            const char *configured_name)
{
    struct key_part *part = &m->plan->parts[i];
    struct plan_column *c = &m->plan->columns[column];
    struct key_segment *s;
    int rc;

    part->kind = KEY_COLUMN;
    if ((rc = type_of_key(m, c, &m->plan->schema.parts[i].type)) < 0)
        return rc;
    if (!(s = add_segment(part)))
        return plan_no_memory(m);
    s->column = column;
    if ((rc = name_key_part(m, i, configured_name, c->attribute)) < 0)
        return rc;
    free(c->attribute);
    c->attribute = strdup(m->plan->schema.parts[i].name);
    return c->attribute ? 0 : plan_no_memory(m);
}

/* A word in capitals that is no column, as single-table designs have it: PROFILE. In small letters
 * it is more likely a column misspelt. */
static bool is_constant(const struct plan_maker *m, const char *option)
{
    bool capital = false;

    for (const char *p = option; *p; p++) {
        if (*p >= 'a' && *p <= 'z')
            return false;
        capital |= *p >= 'A' && *p <= 'Z';
    }
    return capital && table_column(m->table, option) < 0;
}

static int part_from_option(struct plan_maker *m, size_t i, const char *option, const char *name,
                            const char *fallback_name)
{
    struct key_part *part = &m->plan->parts[i];
    int rc;

    if (!strchr(option, '{') && !is_constant(m, option)) {
        long at = plan_column(m->plan, option);
        if (at >= 0)
            return part_from_column(m, i, (size_t)at, name);
        return no_such_column(m, option);
    }
    m->plan->schema.parts[i].type = ATTR_S;
    if ((rc = parse_key_template(m, part, option)) < 0)
        return rc;
    return name_key_part(m, i, name, fallback_name);
}

/* Without configuration: one column, two columns, or the first and the rest joined. */
static int default_key(struct plan_maker *m)
{
    struct table_plan *p = m->plan;
    int rc = part_from_column(m, 0, 0, m->options->partition_key_name);

    if (rc < 0 || p->row_key_count == 1) {
        p->schema.count = 1;
        return rc;
    }
    p->schema.count = 2;
    if (p->row_key_count == 2)
        return part_from_column(m, 1, 1, m->options->sort_key_name);

    _cleanup_buf_ struct buf name = {0};
    p->parts[1].kind = KEY_JOINED;
    p->schema.parts[1].type = ATTR_S;
    for (size_t i = 1; i < p->row_key_count; i++) {
        struct key_segment *s = add_segment(&p->parts[1]);
        if (!s)
            return plan_no_memory(m);
        s->column = i;
        buf_puts(&name, i > 1 ? "#" : "");
        buf_puts(&name, p->columns[i].attribute);
    }
    if (!buf_ok(&name))
        return plan_no_memory(m);
    return name_key_part(m, 1, m->options->sort_key_name, name.data);
}

/* --- putting it together ---------------------------------------------------------------------- */

static int configured_key(struct plan_maker *m)
{
    const struct plan_options *o = m->options;
    int rc = part_from_option(m, 0, o->partition_key, o->partition_key_name, "pk");

    m->plan->schema.count = 1;
    if (rc == 0 && plan_given(o->sort_key)) {
        m->plan->schema.count = 2;
        rc = part_from_option(m, 1, o->sort_key, o->sort_key_name, "sk");
    }
    if (rc < 0)
        return rc;
    const struct key_part *parts = m->plan->parts;
    if (m->plan->schema.count == 2 && parts[0].kind == KEY_COLUMN && parts[1].kind == KEY_COLUMN &&
        parts[0].segments[0].column == parts[1].segments[0].column)
        return plan_refuse(m,
                           "partition_key and sort_key are the same column \"%s\"; leave "
                           "sort_key out",
                           m->plan->columns[parts[0].segments[0].column].name);
    return 0;
}

/* What stands for NULL in a key must be of the key's type. */
static int check_fallbacks(struct plan_maker *m)
{
    for (size_t i = 0; i < m->plan->entry_count; i++) {
        const struct plan_column *c = &m->plan->columns[i];
        _cleanup_buf_ struct buf scalar = {0};
        enum attr_type type = ATTR_S;
        struct item_fault fault;
        if (!c->fallback)
            continue;
        int rc = convert_scalar(&c->convert, c->affinity, c->fallback, &scalar, &type, &fault);
        if (rc == -ENOMEM)
            return plan_no_memory(m);
        if (rc < 0)
            return plan_refuse(m, "default.%s cannot be converted: %s", c->name, fault.text);
        int wanted = conversion_type(&c->convert, c->affinity);
        if (wanted && (int)type != wanted)
            return plan_refuse(m,
                               "default.%s is of type %c, but the column is part of the key as %c",
                               c->name, (char)type, (char)wanted);
    }
    return 0;
}

static int choose_key(struct plan_maker *m)
{
    if (plan_given(m->options->partition_key))
        return configured_key(m);
    if (plan_given(m->options->sort_key))
        return plan_refuse(m, "sort_key is set without partition_key");
    return default_key(m);
}

int plan_make_key(struct plan_maker *m)
{
    int rc = choose_key(m);

    if (rc == 0)
        rc = check_fallbacks(m);
    return rc < 0 ? rc : plan_find_meeting(m);
}
