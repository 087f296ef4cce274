#include "mapping/plan_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "mapping/naming.h"

enum { MAX_ATTRIBUTE_NAME = 65535 };

int plan_refuse(struct plan_maker *m, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    err_setv(m->err, -ENOTSUP, fmt, args);
    va_end(args);
    return -ENOTSUP;
}

int plan_no_memory(struct plan_maker *m)
{
    return err_set(m->err, -ENOMEM, "out of memory");
}

long plan_column(const struct table_plan *p, const char *name)
{
    for (size_t i = 0; i < p->column_count; i++)
        if (strcasecmp(p->columns[i].name, name) == 0)
            return (long)i;
    return -1;
}

static int check_kind(struct plan_maker *m)
{
    switch (m->table->kind) {
    case TABLE_VIEW:
        return plan_refuse(m, "it is a view: only tables are mirrored");
    case TABLE_VIRTUAL:
        return plan_refuse(m, "it is a virtual table, which takes no triggers");
    case TABLE_SHADOW:
        return plan_refuse(m, "it is the shadow table of a virtual table");
    case TABLE_ROWID:
    case TABLE_WITHOUT_ROWID:
        break;
    }
    return 0;
}

/* --- columns and attributes ------------------------------------------------------------------- */

static int add_column(struct plan_maker *m, const struct column_info *c)
{
    struct plan_column *to = &m->plan->columns[m->plan->column_count];
    const char *renamed =
        m->options->renamed ? m->options->renamed(m->options->arg, c->name) : NULL;

    to->name = strdup(c->name);
    to->attribute = strdup(plan_given(renamed) ? renamed : c->name);
    to->affinity = c->affinity;
    to->not_null = c->not_null;
    to->strict = m->table->strict;
    m->plan->column_count++;
    return to->name && to->attribute ? plan_dress_column(m, to) : plan_no_memory(m);
}

static bool excluded(const struct plan_maker *m, const char *column)
{
    return m->options->excludes && m->options->excludes(m->options->arg, column);
}

static int add_columns(struct plan_maker *m, const size_t *key, size_t key_count)
{
    const struct table_info *t = m->table;
    int rc;

    m->plan->columns = calloc(t->column_count ? t->column_count : 1, sizeof *m->plan->columns);
    if (!m->plan->columns)
        return plan_no_memory(m);
    for (size_t i = 0; i < key_count; i++) {
        const struct column_info *c = &t->columns[key[i]];
        if (excluded(m, c->name))
            return plan_refuse(m, "column \"%s\" is part of its key and cannot be excluded",
                               c->name);
        if ((rc = add_column(m, c)) < 0)
            return rc;
    }
    m->plan->row_key_count = key_count;
    /* Twice through the table: first what else the remote key is made of, then the rest. */
    for (size_t i = 0; i < 2 * t->column_count; i++) {
        const struct column_info *c = &t->columns[i % t->column_count];
        bool rest = i >= t->column_count;
        if (plan_column(m->plan, c->name) >= 0 || excluded(m, c->name) ||
            (!rest && !plan_key_names(m, c->name)))
            continue;
        if ((rc = add_column(m, c)) < 0)
            return rc;
        if (!rest)
            m->plan->entry_count++;
    }
    m->plan->entry_count += key_count;
    return 0;
}

/* --- finishing -------------------------------------------------------------------------------- */

static int check_attributes(struct plan_maker *m)
{
    struct table_plan *p = m->plan;

    for (size_t i = 0; i < p->column_count; i++) {
        size_t n = strlen(p->columns[i].attribute);
        if (n == 0 || n > MAX_ATTRIBUTE_NAME)
            return plan_refuse(
                m,
                "column \"%.60s\" makes an attribute name of %zu bytes; DynamoDB takes "
                "1 to %d",
                p->columns[i].name, n, MAX_ATTRIBUTE_NAME);
        if (!utf8_valid(p->columns[i].attribute, n))
            return plan_refuse(m,
                               "a column's name is not valid UTF-8; rename it with rename.COLUMN");
        for (size_t j = 0; j < i; j++)
            if (strcmp(p->columns[i].attribute, p->columns[j].attribute) == 0)
                return plan_refuse(m, "columns \"%s\" and \"%s\" both become the attribute \"%s\"",
                                   p->columns[j].name, p->columns[i].name, p->columns[i].attribute);
        for (size_t k = 0; k < p->schema.count; k++)
            if (p->parts[k].kind != KEY_COLUMN &&
                strcmp(p->columns[i].attribute, p->schema.parts[k].name) == 0)
                return plan_refuse(
                    m,
                    "column \"%s\" and the key both become the attribute \"%s\"; set "
                    "partition_key_name or sort_key_name",
                    p->columns[i].name, p->schema.parts[k].name);
    }
    for (size_t k = 0; k < p->schema.count; k++)
        if (!utf8_valid(p->schema.parts[k].name, strlen(p->schema.parts[k].name)))
            return plan_refuse(m, "a key attribute's name is not valid UTF-8; correct "
                                  "partition_key_name or sort_key_name");
    if (p->schema.count == 2 && strcmp(p->schema.parts[0].name, p->schema.parts[1].name) == 0)
        return plan_refuse(m, "partition key and sort key are both named \"%s\"",
                           p->schema.parts[0].name);
    return 0;
}

int plan_prefix(struct plan_maker *m, const char *attribute, char **prefix, size_t *len)
{
    _cleanup_buf_ struct buf b = {0};

    json_append_string(&b, attribute, strlen(attribute));
    buf_lit(&b, ":{");
    if (!buf_ok(&b))
        return plan_no_memory(m);
    *len = b.len;
    *prefix = take_ptr(b.data);
    return 0;
}

static int make_prefixes(struct plan_maker *m)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < m->plan->column_count; i++) {
        struct plan_column *c = &m->plan->columns[i];
        rc = plan_prefix(m, c->attribute, &c->prefix, &c->prefix_len);
        c->attribute_len = strlen(c->attribute);
    }
    return rc;
}

static int make_target(struct plan_maker *m)
{
    _cleanup_buf_ struct buf name = {0};
    const struct plan_options *o = m->options;

    if (plan_given(o->target))
        buf_puts(&name, o->target);
    else
        naming_expand(&name, plan_given(o->table_name) ? o->table_name : "{table}", m->table->name);
    if (!buf_ok(&name))
        return plan_no_memory(m);
    if (!naming_valid(name.data ? name.data : ""))
        return plan_refuse(
            m,
            "\"%.80s\" is no name for a DynamoDB table (3 to 255 of a-z A-Z 0-9 _ . -); "
            "set target in [table \"%s\"]",
            name.data ? name.data : "", m->table->name);
    m->plan->target = take_ptr(name.data);
    return 0;
}

static int build(struct plan_maker *m)
{
    const struct table_info *t = m->table;
    const size_t *key = NULL;
    size_t key_count = 0;
    int rc;

    if ((rc = check_kind(m)) < 0 || (rc = plan_find_row_key(m, &key, &key_count)) < 0 ||
        (rc = add_columns(m, key, key_count)) < 0 || (rc = make_target(m)) < 0)
        return rc;
    if ((rc = plan_make_key(m)) < 0 || (rc = check_attributes(m)) < 0 ||
        (rc = make_prefixes(m)) < 0 || (rc = plan_add_attributes(m)) < 0 ||
        (rc = plan_add_indexes(m)) < 0 || (rc = plan_add_oversize(m)) < 0)
        return rc;
    m->plan->write_null = m->options->write_null;
    m->plan->guarded = m->options->guarded;
    m->plan->skips = m->options->skips;
    m->plan->row_key_is_rowid = t->rowid_key && t->key_count == 1;
    m->plan->page_by = t->kind == TABLE_ROWID ? t->rowid_name : NULL;
    m->plan->plain_key = plan_has_plain_key(m->plan);
    return plan_add_capture(m);
}

int plan_make(const struct table_info *t, const struct plan_options *o, struct table_plan **out,
              struct err *err)
{
    struct table_plan *p = calloc(1, sizeof *p);
    struct plan_maker m = {.table = t, .options = o, .plan = p, .err = err};
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
    for (size_t i = 0; i < p->column_count; i++)
        plan_column_clear(&p->columns[i]);
    for (size_t i = 0; i < p->added_count; i++)
        plan_added_clear(&p->added[i]);
    for (size_t i = 0; i < 2; i++) {
        plan_segments_free(p->parts[i].segments, p->parts[i].segment_count);
        free(p->schema.parts[i].name);
    }
    for (size_t i = 0; i < p->index_count; i++)
        plan_index_clear(&p->indexes[i]);
    free(p->indexes);
    plan_capture_clear(&p->capture);
    free(p->columns);
    free(p->added);
    free(p->meeting);
    free(p->table);
    free(p->target);
    free(p);
}

static void print_segments(struct buf *b, const struct key_segment *segments, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        buf_putc(b, ',');
        if (segments[i].literal)
            json_append_string_lossy(b, segments[i].literal, strlen(segments[i].literal));
        else
            buf_append_u64(b, segments[i].column);
    }
}

static void print_named(struct buf *b, const char *what, const char *text)
{
    buf_puts(b, what);
    json_append_string_lossy(b, text, strlen(text));
}

/* Nothing for a plain column, so that what was stored of tables without such options stays. */
static void print_special(struct buf *b, const struct plan_column *c)
{
    if (c->convert.text)
        print_named(b, "~", c->convert.text);
    if (c->fallback) {
        _cleanup_buf_ struct buf bytes = {0};
        value_encode(&bytes, c->fallback);
        buf_puts(b, "?");
        hex_append(b, bytes.data, bytes.len);
    }
    if (c->kept)
        print_named(b, "&", c->kept);
    if (c->indexed)
        buf_puts(b, c->index_sort ? "#s" : "#");
}

char *plan_fingerprint(const struct table_plan *p)
{
    struct buf b = {0};

    buf_printf(&b, "1|%s|%d|%zu", p->target, p->write_null, p->row_key_count);
    if (p->entry_count > p->row_key_count)
        buf_printf(&b, "+%zu", p->entry_count - p->row_key_count);
    for (size_t i = 0; i < p->column_count; i++) {
        buf_lit(&b, "|");
        json_append_string_lossy(&b, p->columns[i].name, strlen(p->columns[i].name));
        buf_append(&b, p->columns[i].prefix, p->columns[i].prefix_len);
        buf_append_u64(&b, (uint64_t)p->columns[i].affinity);
        if (p->columns[i].special)
            print_special(&b, &p->columns[i]);
    }
    for (size_t i = 0; i < p->added_count; i++) {
        print_named(&b, "|+", p->added[i].attribute);
        buf_printf(&b, "%d%d%s", p->added[i].copy, p->added[i].indexed,
                   p->added[i].index_sort ? "s" : "");
        print_segments(&b, p->added[i].segments, p->added[i].segment_count);
    }
    for (size_t i = 0; i < p->schema.count; i++) {
        buf_printf(&b, "|%c%d%s", (char)p->schema.parts[i].type, (int)p->parts[i].kind,
                   p->short_key[i] ? "s" : "");
        json_append_string_lossy(&b, p->schema.parts[i].name, strlen(p->schema.parts[i].name));
        print_segments(&b, p->parts[i].segments, p->parts[i].segment_count);
    }
    if (p->compress)
        print_named(&b, p->split ? "|split" : "|compress",
                    p->ttl_attribute ? p->ttl_attribute : "");
    if (p->guarded)
        buf_puts(&b, p->skips ? "|orphans skipped" : "|orphans aside");
    if (!buf_ok(&b)) {
        buf_free(&b);
        return NULL;
    }
    return b.data;
}

static void describe_schema(const struct key_schema *s, struct buf *out)
{
    static const char *const names[] = {"partition key", "sort key"};

    for (size_t i = 0; i < s->count; i++)
        buf_printf(out, "%s%s %s (%c)", i ? ", " : "", names[i], s->parts[i].name,
                   (char)s->parts[i].type);
}

bool key_schema_same(const struct key_schema *a, const struct key_schema *b)
{
    bool same = a->count == b->count;

    for (size_t i = 0; same && i < a->count; i++)
        same =
            a->parts[i].type == b->parts[i].type && strcmp(a->parts[i].name, b->parts[i].name) == 0;
    return same;
}

void plan_describe_key(const struct table_plan *p, struct buf *out)
{
    describe_schema(&p->schema, out);
}

const char *plan_projection_name(enum index_projection p)
{
    static const char *const names[] = {"ALL", "KEYS_ONLY", "INCLUDE"};

    return names[p];
}

void plan_describe_index(const struct plan_index *x, struct buf *out)
{
    describe_schema(&x->keys, out);
    buf_printf(out, ", %s", plan_projection_name(x->projection));
    for (size_t i = 0; i < x->include_count; i++)
        buf_printf(out, "%s %s", i ? "," : "", x->include[i]);
}
