#include "mapping/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "mapping/naming.h"

enum { MAX_ATTRIBUTE_NAME = 65535, MAX_KEY_NAME = 255 };

struct maker {
    const struct table_info *table;
    const struct plan_options *options;
    struct table_plan *plan;
    struct err *err;
};

static bool given(const char *s)
{
    return s && s[0];
}

__attribute__((format(printf, 2, 3))) static int refuse(struct maker *m, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    err_setv(m->err, -ENOTSUP, fmt, args);
    va_end(args);
    return -ENOTSUP;
}

static long plan_column(const struct table_plan *p, const char *name)
{
    for (size_t i = 0; i < p->column_count; i++)
        if (strcasecmp(p->columns[i].name, name) == 0)
            return (long)i;
    return -1;
}

static int check_kind(struct maker *m)
{
    switch (m->table->kind) {
    case TABLE_VIEW:
        return refuse(m, "it is a view: only tables are mirrored");
    case TABLE_VIRTUAL:
        return refuse(m, "it is a virtual table, which takes no triggers");
    case TABLE_SHADOW:
        return refuse(m, "it is the shadow table of a virtual table");
    case TABLE_ROWID:
    case TABLE_WITHOUT_ROWID:
        break;
    }
    return 0;
}

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

    if (!given(option))
        return false;
    if (strcasecmp(option, column) == 0)
        return true;
    for (const char *p = strchr(option, '{'); p; p = strchr(p + 1, '{'))
        if (strncasecmp(p + 1, column, n) == 0 && p[1 + n] == '}')
            return true;
    return false;
}

/* A unique index whose columns are NOT NULL, built in collations, and all named by the options. */
static const struct unique_info *named_unique(const struct maker *m)
{
    const struct table_info *t = m->table;

    for (size_t i = 0; i < t->unique_count; i++) {
        const struct unique_info *u = &t->uniques[i];
        bool usable = true;
        for (size_t j = 0; usable && j < u->column_count; j++) {
            const struct column_info *c = &t->columns[u->columns[j]];
            usable = c->not_null && !c->generated && known_collation(u->collations[j]) &&
                     (option_names(m->options->partition_key, c->name) ||
                      option_names(m->options->sort_key, c->name));
        }
        if (usable)
            return u;
    }
    return NULL;
}

static int find_row_key(struct maker *m, const size_t **columns, size_t *count)
{
    const struct table_info *t = m->table;

    if (t->key_count) {
        *columns = t->key;
        *count = t->key_count;
    } else {
        if (!given(m->options->partition_key))
            return refuse(m,
                          "it has no primary key; name a unique NOT NULL key as partition_key "
                          "(and sort_key) in [table \"%s\"], or exclude the table",
                          t->name);
        const struct unique_info *u = named_unique(m);
        if (!u)
            return refuse(m,
                          "it has no primary key, and no unique index of NOT NULL columns lies "
                          "within the partition_key and sort_key of [table \"%s\"]",
                          t->name);
        *columns = u->columns;
        *count = u->column_count;
    }
    for (size_t i = 0; i < *count; i++) {
        const struct column_info *c = &t->columns[(*columns)[i]];
        if (!known_collation(c->collation))
            return refuse(m,
                          "key column \"%s\" has the collation %s, which only the application "
                          "knows",
                          c->name, c->collation);
        if (c->affinity == AFFINITY_NONE)
            return refuse(m,
                          "key column \"%s\" has no type, so 1 and '1' could both be keys; declare "
                          "it INTEGER, TEXT or BLOB",
                          c->name);
    }
    return 0;
}

/* --- columns and attributes ------------------------------------------------------------------- */

static int add_column(struct maker *m, const struct column_info *c)
{
    struct plan_column *to = &m->plan->columns[m->plan->column_count];
    const char *renamed =
        m->options->renamed ? m->options->renamed(m->options->arg, c->name) : NULL;

    to->name = strdup(c->name);
    to->attribute = strdup(given(renamed) ? renamed : c->name);
    to->affinity = c->affinity;
    if (to->name && to->attribute) {
        m->plan->column_count++;
        return 0;
    }
    free(to->name);
    free(to->attribute);
    return err_set(m->err, -ENOMEM, "out of memory");
}

static bool excluded(const struct maker *m, const char *column)
{
    return m->options->excludes && m->options->excludes(m->options->arg, column);
}

static int add_columns(struct maker *m, const size_t *key, size_t key_count)
{
    const struct table_info *t = m->table;
    int rc;

    m->plan->columns = calloc(t->column_count ? t->column_count : 1, sizeof *m->plan->columns);
    if (!m->plan->columns)
        return err_set(m->err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < key_count; i++) {
        const struct column_info *c = &t->columns[key[i]];
        if (excluded(m, c->name))
            return refuse(m, "column \"%s\" is part of its key and cannot be excluded", c->name);
        if ((rc = add_column(m, c)) < 0)
            return rc;
    }
    m->plan->row_key_count = key_count;
    for (size_t i = 0; i < t->column_count; i++) {
        const struct column_info *c = &t->columns[i];
        if (plan_column(m->plan, c->name) >= 0 || excluded(m, c->name))
            continue;
        if ((rc = add_column(m, c)) < 0)
            return rc;
    }
    return 0;
}

/* --- the remote key --------------------------------------------------------------------------- */

static int type_of_key(struct maker *m, const struct plan_column *c, enum attr_type *out)
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
    return refuse(m, "key column \"%s\" has no type; declare it INTEGER, TEXT or BLOB", c->name);
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

static int add_column_segment(struct maker *m, struct key_part *part, const char *name)
{
    long at = plan_column(m->plan, name);

    if (at < 0)
        return refuse(m,
                      "its key names the column \"%s\", which it does not have (or which is "
                      "excluded)",
                      name);
    if ((size_t)at >= m->plan->row_key_count)
        return refuse(m,
                      "its key names the column \"%s\", which is not part of the primary key; this "
                      "version makes keys from primary key columns only",
                      name);
    struct key_segment *s = add_segment(part);
    if (!s)
        return err_set(m->err, -ENOMEM, "out of memory");
    s->column = (size_t)at;
    return 0;
}

static int parse_template(struct maker *m, struct key_part *part, const char *text)
{
    part->kind = KEY_TEMPLATE;
    while (*text) {
        size_t n = strcspn(text, "{");
        if (n) {
            struct key_segment *s = add_segment(part);
            if (!s || !(s->literal = strndup(text, n)))
                return err_set(m->err, -ENOMEM, "out of memory");
            text += n;
            continue;
        }
        const char *end = strchr(text, '}');
        if (!end)
            return refuse(m, "its key template has a \"{\" without \"}\"");
        _cleanup_free_ char *name = strndup(text + 1, (size_t)(end - text) - 1);
        if (!name)
            return err_set(m->err, -ENOMEM, "out of memory");
        int rc = add_column_segment(m, part, name);
        if (rc < 0)
            return rc;
        text = end + 1;
    }
    return 0;
}

/* Two rows must not meet at one text. Numbers (and blobs, written as hex) end where a character
 * follows that they cannot hold; text can hold anything, so only the last column may be text. */
static int prove_template(struct maker *m, const struct key_part *part)
{
    for (size_t i = 0; i + 1 < part->segment_count; i++) {
        const struct key_segment *s = &part->segments[i], *next = s + 1;
        if (s->literal)
            continue;
        bool last_column = true;
        for (size_t j = i + 1; j < part->segment_count; j++)
            last_column &= part->segments[j].literal != NULL;
        if (last_column)
            continue;
        const struct plan_column *c = &m->plan->columns[s->column];
        if (!next->literal || strchr("0123456789abcdef+-.", next->literal[0]))
            return refuse(m,
                          "its key template puts nothing between \"%s\" and the next column that "
                          "keeps them apart; write a separator such as #",
                          c->name);
        if (c->affinity == AFFINITY_TEXT)
            return refuse(m,
                          "its key template has the text column \"%s\" before another column, so "
                          "two rows could meet at one key; put it last",
                          c->name);
    }
    return 0;
}

static int name_key_part(struct maker *m, size_t i, const char *configured, const char *fallback)
{
    struct key_attribute *to = &m->plan->schema.parts[i];
    const char *name = given(configured) ? configured : fallback;

    if (strlen(name) > MAX_KEY_NAME)
        return refuse(m, "the key attribute's name \"%.40s…\" is longer than %d bytes", name,
                      MAX_KEY_NAME);
    to->name = strdup(name);
    return to->name ? 0 : err_set(m->err, -ENOMEM, "out of memory");
}

/* A key part that is one column's value: the column's own attribute is the key attribute. */
static int part_from_column(struct maker *m, size_t i, size_t column, const char *configured_name)
{
    struct key_part *part = &m->plan->parts[i];
    struct plan_column *c = &m->plan->columns[column];
    struct key_segment *s;
    int rc;

    part->kind = KEY_COLUMN;
    if ((rc = type_of_key(m, c, &m->plan->schema.parts[i].type)) < 0)
        return rc;
    if (!(s = add_segment(part)))
        return err_set(m->err, -ENOMEM, "out of memory");
    s->column = column;
    if ((rc = name_key_part(m, i, configured_name, c->attribute)) < 0)
        return rc;
    free(c->attribute);
    c->attribute = strdup(m->plan->schema.parts[i].name);
    return c->attribute ? 0 : err_set(m->err, -ENOMEM, "out of memory");
}

static int part_from_option(struct maker *m, size_t i, const char *option, const char *name,
                            const char *fallback_name)
{
    struct key_part *part = &m->plan->parts[i];
    int rc;

    if (!strchr(option, '{')) {
        long at = plan_column(m->plan, option);
        if (at >= 0 && (size_t)at < m->plan->row_key_count)
            return part_from_column(m, i, (size_t)at, name);
        return add_column_segment(m, part, option);
    }
    m->plan->schema.parts[i].type = ATTR_S;
    if ((rc = parse_template(m, part, option)) < 0 || (rc = prove_template(m, part)) < 0)
        return rc;
    return name_key_part(m, i, name, fallback_name);
}

/* Without configuration: one column, two columns, or the first and the rest joined. */
static int default_key(struct maker *m)
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
            return err_set(m->err, -ENOMEM, "out of memory");
        s->column = i;
        buf_puts(&name, i > 1 ? "#" : "");
        buf_puts(&name, p->columns[i].attribute);
    }
    if (!buf_ok(&name))
        return err_set(m->err, -ENOMEM, "out of memory");
    return name_key_part(m, 1, m->options->sort_key_name, name.data);
}

static bool key_uses(const struct table_plan *p, size_t column)
{
    for (size_t i = 0; i < p->schema.count; i++)
        for (size_t j = 0; j < p->parts[i].segment_count; j++)
            if (!p->parts[i].segments[j].literal && p->parts[i].segments[j].column == column)
                return true;
    return false;
}

static int configured_key(struct maker *m)
{
    const struct plan_options *o = m->options;
    int rc = part_from_option(m, 0, o->partition_key, o->partition_key_name, "pk");

    m->plan->schema.count = 1;
    if (rc == 0 && given(o->sort_key)) {
        m->plan->schema.count = 2;
        rc = part_from_option(m, 1, o->sort_key, o->sort_key_name, "sk");
    }
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < m->plan->row_key_count; i++)
        if (!key_uses(m->plan, i))
            return refuse(m,
                          "its key leaves out the primary key column \"%s\", so two rows could "
                          "meet at one item; add it to sort_key",
                          m->plan->columns[i].name);
    return 0;
}

/* --- finishing -------------------------------------------------------------------------------- */

static int check_attributes(struct maker *m)
{
    struct table_plan *p = m->plan;

    for (size_t i = 0; i < p->column_count; i++) {
        size_t n = strlen(p->columns[i].attribute);
        if (n == 0 || n > MAX_ATTRIBUTE_NAME)
            return refuse(m,
                          "column \"%.60s\" makes an attribute name of %zu bytes; DynamoDB takes "
                          "1 to %d",
                          p->columns[i].name, n, MAX_ATTRIBUTE_NAME);
        if (!utf8_valid(p->columns[i].attribute, n))
            return refuse(m, "a column's name is not valid UTF-8; rename it with rename.COLUMN");
        for (size_t j = 0; j < i; j++)
            if (strcmp(p->columns[i].attribute, p->columns[j].attribute) == 0)
                return refuse(m, "columns \"%s\" and \"%s\" both become the attribute \"%s\"",
                              p->columns[j].name, p->columns[i].name, p->columns[i].attribute);
        for (size_t k = 0; k < p->schema.count; k++)
            if (p->parts[k].kind != KEY_COLUMN &&
                strcmp(p->columns[i].attribute, p->schema.parts[k].name) == 0)
                return refuse(m,
                              "column \"%s\" and the key both become the attribute \"%s\"; set "
                              "partition_key_name or sort_key_name",
                              p->columns[i].name, p->schema.parts[k].name);
    }
    if (p->schema.count == 2 && strcmp(p->schema.parts[0].name, p->schema.parts[1].name) == 0)
        return refuse(m, "partition key and sort key are both named \"%s\"",
                      p->schema.parts[0].name);
    return 0;
}

static int make_prefixes(struct maker *m)
{
    for (size_t i = 0; i < m->plan->column_count; i++) {
        struct plan_column *c = &m->plan->columns[i];
        _cleanup_buf_ struct buf b = {0};
        json_append_string(&b, c->attribute, strlen(c->attribute));
        buf_lit(&b, ":{");
        if (!buf_ok(&b))
            return err_set(m->err, -ENOMEM, "out of memory");
        c->prefix_len = b.len;
        c->prefix = take_ptr(b.data);
    }
    return 0;
}

static int make_target(struct maker *m)
{
    _cleanup_buf_ struct buf name = {0};
    const struct plan_options *o = m->options;

    if (given(o->target))
        buf_puts(&name, o->target);
    else
        naming_expand(&name, given(o->table_name) ? o->table_name : "{table}", m->table->name);
    if (!buf_ok(&name))
        return err_set(m->err, -ENOMEM, "out of memory");
    if (!naming_valid(name.data ? name.data : ""))
        return refuse(m,
                      "\"%.80s\" is no name for a DynamoDB table (3 to 255 of a-z A-Z 0-9 _ . -); "
                      "set target in [table \"%s\"]",
                      name.data ? name.data : "", m->table->name);
    m->plan->target = take_ptr(name.data);
    return 0;
}

static int build(struct maker *m)
{
    const struct table_info *t = m->table;
    const size_t *key = NULL;
    size_t key_count = 0;
    int rc;

    if ((rc = check_kind(m)) < 0 || (rc = find_row_key(m, &key, &key_count)) < 0 ||
        (rc = add_columns(m, key, key_count)) < 0 || (rc = make_target(m)) < 0)
        return rc;
    rc = given(m->options->partition_key) ? configured_key(m) : default_key(m);
    if (rc == 0 && !given(m->options->partition_key) && given(m->options->sort_key))
        rc = refuse(m, "sort_key is set without partition_key");
    if (rc < 0 || (rc = check_attributes(m)) < 0 || (rc = make_prefixes(m)) < 0)
        return rc;
    m->plan->write_null = m->options->write_null;
    m->plan->row_key_is_rowid = t->rowid_key && t->key_count == 1;
    m->plan->page_by = t->kind == TABLE_ROWID ? t->rowid_name : NULL;
    m->plan->plain_key = m->plan->parts[0].kind == KEY_COLUMN &&
                         (m->plan->schema.count == 1 || m->plan->parts[1].kind == KEY_COLUMN) &&
                         m->plan->row_key_count == m->plan->schema.count;
    return 0;
}

int plan_make(const struct table_info *t, const struct plan_options *o, struct table_plan **out,
              struct err *err)
{
    struct table_plan *p = calloc(1, sizeof *p);
    struct maker m = {.table = t, .options = o, .plan = p, .err = err};
    int rc;

    if (!p || !(p->table = strdup(t->name))) {
        free(p);
        return err_set(err, -ENOMEM, "out of memory");
    }
    if ((rc = build(&m)) < 0) {
        plan_free(p);
        return rc;
    }
    *out = p;
    return 0;
}

void plan_free(struct table_plan *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->column_count; i++) {
        free(p->columns[i].name);
        free(p->columns[i].attribute);
        free(p->columns[i].prefix);
    }
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < p->parts[i].segment_count; j++)
            free(p->parts[i].segments[j].literal);
        free(p->parts[i].segments);
        free(p->schema.parts[i].name);
    }
    free(p->columns);
    free(p->table);
    free(p->target);
    free(p);
}

char *plan_fingerprint(const struct table_plan *p)
{
    struct buf b = {0};

    buf_printf(&b, "1|%s|%d|%zu", p->target, p->write_null, p->row_key_count);
    for (size_t i = 0; i < p->column_count; i++) {
        buf_lit(&b, "|");
        json_append_string_lossy(&b, p->columns[i].name, strlen(p->columns[i].name));
        buf_append(&b, p->columns[i].prefix, p->columns[i].prefix_len);
        buf_append_u64(&b, (uint64_t)p->columns[i].affinity);
    }
    for (size_t i = 0; i < p->schema.count; i++) {
        buf_printf(&b, "|%c%d%s", (char)p->schema.parts[i].type, (int)p->parts[i].kind,
                   p->schema.parts[i].name);
        for (size_t j = 0; j < p->parts[i].segment_count; j++) {
            const struct key_segment *s = &p->parts[i].segments[j];
            if (s->literal)
                buf_printf(&b, ",=%s", s->literal);
            else
                buf_printf(&b, ",%zu", s->column);
        }
    }
    if (!buf_ok(&b)) {
        buf_free(&b);
        return NULL;
    }
    return b.data;
}

void plan_describe_key(const struct table_plan *p, struct buf *out)
{
    static const char *const names[] = {"partition key", "sort key"};

    for (size_t i = 0; i < p->schema.count; i++)
        buf_printf(out, "%s%s %s (%c)", i ? ", " : "", names[i], p->schema.parts[i].name,
                   (char)p->schema.parts[i].type);
}
