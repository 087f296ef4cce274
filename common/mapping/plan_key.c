/* What identifies a row in SQLite, what its item's key is made of, and whether two rows can become
 * one item. */
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
    switch (c->affinity) {
    case AFFINITY_INTEGER:
    case AFFINITY_REAL:
    case AFFINITY_NUMERIC:
        *out = ATTR_N;
        return 0;
    case AFFINITY_TEXT:
        *out = ATTR_S;
        return 0;
    case AFFINITY_BLOB:
        *out = ATTR_B;
        return 0;
    case AFFINITY_NONE:
        break;
    }
    return plan_refuse(m, "key column \"%s\" has no type; declare it INTEGER, TEXT or BLOB",
                       c->name);
}

static struct key_segment *add_segment(struct key_part *part)
{
    struct key_segment *grown =
        realloc(part->segments, (part->segment_count + 1) * sizeof *part->segments);

    if (!grown)
        return NULL;
    part->segments = grown;
    grown[part->segment_count] = (struct key_segment){0};
    return &grown[part->segment_count++];
}

static int add_column_segment(struct plan_maker *m, struct key_part *part, const char *name)
{
    long at = plan_column(m->plan, name);

    if (at < 0)
        return plan_refuse(m,
                           "its key names the column \"%s\", which it does not have (or which is "
                           "excluded)",
                           name);
    if (m->plan->columns[at].affinity == AFFINITY_NONE)
        return plan_refuse(m, "key column \"%s\" has no type; declare it INTEGER, TEXT or BLOB",
                           name);
    struct key_segment *s = add_segment(part);
    if (!s)
        return plan_no_memory(m);
    s->column = (size_t)at;
    return 0;
}

static int parse_template(struct plan_maker *m, struct key_part *part, const char *text)
{
    part->kind = KEY_TEMPLATE;
    if (!utf8_valid(text, strlen(text)))
        return plan_refuse(m, "its key template is not valid UTF-8");
    while (*text) {
        size_t n = strcspn(text, "{");
        if (n) {
            struct key_segment *s = add_segment(part);
            if (!s || !(s->literal = strndup(text, n)))
                return plan_no_memory(m);
            text += n;
            continue;
        }
        const char *end = strchr(text, '}');
        if (!end)
            return plan_refuse(m, "its key template has a \"{\" without \"}\"");
        _cleanup_free_ char *name = strndup(text + 1, (size_t)(end - text) - 1);
        if (!name)
            return plan_no_memory(m);
        int rc = add_column_segment(m, part, name);
        if (rc < 0)
            return rc;
        text = end + 1;
    }
    return 0;
}

static int name_key_part(struct plan_maker *m, size_t i, const char *configured,
                         const char *fallback)
{
    struct key_attribute *to = &m->plan->schema.parts[i];
    const char *name = plan_given(configured) ? configured : fallback;

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
        return add_column_segment(m, part, option);
    }
    m->plan->schema.parts[i].type = ATTR_S;
    if ((rc = parse_template(m, part, option)) < 0)
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

/* --- can two rows meet? ----------------------------------------------------------------------- */

/* Does a number's text (or a blob's, written as hex) end here? */
static bool separates(const struct key_segment *s, bool from_left)
{
    if (!s->literal)
        return false;
    char c = from_left ? s->literal[0] : s->literal[strlen(s->literal) - 1];
    return !strchr("0123456789abcdef+-.", c);
}

/* How many segments can be told apart reading from one end. Numbers and hex end where a character
 * stands that they cannot hold; text can hold anything, and ends the reading. */
static size_t readable(const struct table_plan *p, const struct key_part *part, bool from_left)
{
    size_t n = part->segment_count;

    for (size_t i = 0; i < n; i++) {
        const struct key_segment *s = &part->segments[from_left ? i : n - 1 - i];
        if (s->literal)
            continue;
        if (p->columns[s->column].affinity == AFFINITY_TEXT)
            return i;
        if (i + 1 < n && !separates(&part->segments[from_left ? i + 1 : n - 2 - i], from_left))
            return i;
    }
    return n;
}

/* Can the column's value be read back from this part of the key? */
static bool part_tells(const struct table_plan *p, const struct key_part *part, size_t column)
{
    size_t n = part->segment_count, left = 0, right = 0;

    if (part->kind == KEY_TEMPLATE) {
        left = readable(p, part, true);
        right = readable(p, part, false);
    }
    for (size_t i = 0; i < n; i++) {
        const struct key_segment *s = &part->segments[i];
        if (s->literal || s->column != column)
            continue;
        /* The one segment between what both readings tell is told too. */
        if (part->kind != KEY_TEMPLATE || i < left || n - 1 - i < right ||
            (i == left && n - 1 - i == right))
            return true;
    }
    return false;
}

/* Rows that are not told apart by their keys are looked after when they meet. */
static int find_meeting(struct plan_maker *m)
{
    struct table_plan *p = m->plan;
    _cleanup_buf_ struct buf why = {0};

    for (size_t c = 0; c < p->row_key_count; c++) {
        bool told = false;
        for (size_t i = 0; i < p->schema.count; i++)
            told |= part_tells(p, &p->parts[i], c);
        if (told)
            continue;
        buf_printf(&why, "two rows with different \"%s\" can come out at one key",
                   p->columns[c].name);
        if (!buf_ok(&why))
            return plan_no_memory(m);
        p->meeting = take_ptr(why.data);
        return 0;
    }
    return 0;
}

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
    return find_meeting(m);
}

int plan_make_key(struct plan_maker *m)
{
    if (plan_given(m->options->partition_key))
        return configured_key(m);
    if (plan_given(m->options->sort_key))
        return plan_refuse(m, "sort_key is set without partition_key");
    return default_key(m);
}
