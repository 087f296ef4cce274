/* What the options make of columns beyond their names: conversions, defaults, attributes beside and
 * added, the TTL, keys of indexes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "mapping/number.h"
#include "mapping/plan_internal.h"

#define KEPT_PREFIX "_key_"

enum { MAX_ATTRIBUTE_NAME = 65535 };

/* --- columns ---------------------------------------------------------------------------------- */

/* The text as SQLite would store it in a column of that affinity; its bytes behind the value. */
static struct value *as_stored(const char *text, enum affinity affinity)
{
    size_t n = strlen(text);
    struct value *v = malloc(sizeof *v + n + 1);
    _cleanup_buf_ struct buf canonical = {0};

    if (!v)
        return NULL;
    char *bytes = (char *)(v + 1);
    memcpy(bytes, text, n + 1);
    *v = (struct value){.kind = VALUE_TEXT, .bytes = bytes, .len = n};
    if (affinity == AFFINITY_INTEGER || affinity == AFFINITY_REAL || affinity == AFFINITY_NUMERIC) {
        if (number_canonical(&canonical, text, n) == 0 && buf_ok(&canonical))
            value_from_number(canonical.data, affinity, v);
    }
    return v;
}

static const char *said(const struct plan_maker *m, const char *(*what)(void *, const char *),
                        const char *column)
{
    return what ? what(m->options->arg, column) : NULL;
}

static bool is_ttl(const struct plan_maker *m, const struct plan_column *c)
{
    return plan_given(m->options->ttl_column) && strcasecmp(m->options->ttl_column, c->name) == 0;
}

static int set_conversion(struct plan_maker *m, struct plan_column *c)
{
    const char *text = said(m, m->options->converted, c->name);
    struct err why = {0};

    if (!plan_given(text) && is_ttl(m, c))
        text = "epoch";
    if (!plan_given(text))
        return 0;
    int rc = conversion_parse(text, &c->convert, &why);
    if (rc == -ENOMEM)
        return plan_no_memory(m);
    if (rc < 0)
        return plan_refuse(m, "convert.%s: %s", c->name, why.text);
    if (is_ttl(m, c) && c->convert.kind != CONVERT_EPOCH && c->convert.kind != CONVERT_NUMBER)
        return plan_refuse(m,
                           "ttl_column \"%s\" must be whole Unix seconds; write convert.%s = epoch",
                           c->name, c->name);
    return 0;
}

int plan_dress_column(struct plan_maker *m, struct plan_column *c)
{
    const struct plan_options *o = m->options;
    const char *fallback = said(m, o->defaulted, c->name);
    int rc = set_conversion(m, c);

    if (rc < 0)
        return rc;
    if (plan_given(fallback)) {
        if (!utf8_valid(fallback, strlen(fallback)))
            return plan_refuse(m, "default.%s is not valid UTF-8", c->name);
        if (!(c->fallback = as_stored(fallback, c->affinity)))
            return plan_no_memory(m);
    }
    c->indexed = o->indexed && o->indexed(o->arg, c->name);
    c->special = c->convert.kind != CONVERT_NONE || c->fallback || c->indexed;
    return 0;
}

void plan_column_clear(struct plan_column *c)
{
    conversion_clear(&c->convert);
    free(c->name);
    free(c->attribute);
    free(c->prefix);
    free(c->fallback);
    free(c->kept);
    free(c->kept_prefix);
}

int plan_refuse_key(struct plan_maker *m, const struct plan_column *c)
{
    if (c->convert.kind == CONVERT_BOOL || c->convert.kind == CONVERT_JSON)
        return plan_refuse(m,
                           "\"%s\" becomes %s by convert.%s, which no key can be; leave the "
                           "conversion away, or write add.NAME = {%s} and take NAME as the key of "
                           "an index",
                           c->name, c->convert.kind == CONVERT_BOOL ? "a BOOL" : "JSON", c->name,
                           c->name);
    return plan_refuse(m,
                       "key column \"%s\" has no type; declare it INTEGER, TEXT or BLOB, or write "
                       "convert.%s = string",
                       c->name, c->name);
}

/* --- attributes beside ------------------------------------------------------------------------ */

/* Who has the attribute, for people; NULL: nobody. `but` is passed over. */
static const char *taken_by(const struct table_plan *p, const char *attribute, const void *but)
{
    for (size_t i = 0; i < p->column_count; i++) {
        const struct plan_column *c = &p->columns[i];
        if (strcmp(c->attribute, attribute) == 0)
            return c->name;
        if (c->kept && c->kept != but && strcmp(c->kept, attribute) == 0)
            return c->kept;
    }
    for (size_t i = 0; i < p->added_count; i++)
        if (p->added[i].attribute != but && strcmp(p->added[i].attribute, attribute) == 0)
            return p->added[i].attribute;
    for (size_t i = 0; i < p->schema.count; i++)
        if (strcmp(p->schema.parts[i].name, attribute) == 0)
            return "the key";
    return NULL;
}

static int check_name(struct plan_maker *m, const char *attribute)
{
    size_t n = strlen(attribute);

    if (n == 0 || n > MAX_ATTRIBUTE_NAME || !utf8_valid(attribute, n))
        return plan_refuse(m,
                           "an added attribute's name is empty, longer than %d bytes or not "
                           "valid UTF-8",
                           MAX_ATTRIBUTE_NAME);
    const char *other = taken_by(m->plan, attribute, attribute);
    if (other)
        return plan_refuse(m,
                           "the attribute \"%s\" would be there twice: it is also that of \"%s\"",
                           attribute, other);
    return 0;
}

static int keep_sources(struct plan_maker *m)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < m->plan->column_count; i++) {
        struct plan_column *c = &m->plan->columns[i];
        if (c->convert.kind != CONVERT_UUID5)
            continue;
        if (asprintf(&c->kept, KEPT_PREFIX "%s", c->attribute) < 0) {
            c->kept = NULL;
            return plan_no_memory(m);
        }
        c->kept_len = strlen(c->kept);
        if ((rc = check_name(m, c->kept)) == 0)
            rc = plan_prefix(m, c->kept, &c->kept_prefix, &c->kept_prefix_len);
    }
    return rc;
}

void plan_added_clear(struct plan_added *a)
{
    plan_segments_free(a->segments, a->segment_count);
    free(a->attribute);
    free(a->prefix);
}

static int fill_added(struct plan_maker *m, struct plan_added *a, const char *text)
{
    const struct plan_options *o = m->options;
    int rc = check_name(m, a->attribute);

    if (rc == 0)
        rc = plan_parse_template(m, &a->segments, &a->segment_count, text);
    if (rc == 0)
        rc = plan_prefix(m, a->attribute, &a->prefix, &a->prefix_len);
    if (rc < 0)
        return rc;
    a->attribute_len = strlen(a->attribute);
    a->copy = a->segment_count == 1 && !a->segments[0].literal;
    a->type = ATTR_S;
    if (a->copy) {
        const struct plan_column *c = &m->plan->columns[a->segments[0].column];
        bool stored = c->convert.kind == CONVERT_BOOL || c->convert.kind == CONVERT_JSON;
        a->type = stored ? conversion_type(&(struct conversion){.kind = CONVERT_NONE}, c->affinity)
                         : conversion_type(&c->convert, c->affinity);
    }
    a->indexed = o->indexed && o->indexed(o->arg, a->attribute);
    if (a->indexed && !a->type)
        return plan_refuse_key(m, &m->plan->columns[a->segments[0].column]);
    return 0;
}

static int add_one(struct plan_maker *m, const char *attribute, const char *text)
{
    struct table_plan *p = m->plan;
    struct plan_added *more = realloc(p->added, (p->added_count + 1) * sizeof *more);

    if (!more)
        return plan_no_memory(m);
    p->added = more;
    struct plan_added *a = &more[p->added_count++];
    *a = (struct plan_added){.attribute = strdup(attribute)};
    return a->attribute ? fill_added(m, a, text) : plan_no_memory(m);
}

static int find_ttl(struct plan_maker *m)
{
    const char *name = m->options->ttl_column;
    long at = plan_given(name) ? plan_column(m->plan, name) : -1;

    if (plan_given(name) && at < 0)
        return plan_refuse(
            m, "ttl_column names \"%s\", which it does not have (or which is excluded)", name);
    if (at >= 0)
        m->plan->ttl_attribute = m->plan->columns[at].attribute;
    return 0;
}

int plan_add_attributes(struct plan_maker *m)
{
    const struct plan_options *o = m->options;
    const char *attribute, *text;
    int rc = o->keep_key ? keep_sources(m) : 0;

    for (size_t i = 0; rc == 0 && o->added && o->added(o->arg, i, &attribute, &text); i++)
        rc = add_one(m, attribute, text);
    for (size_t i = 0; rc == 0 && i < m->plan->column_count; i++) {
        const struct plan_column *c = &m->plan->columns[i];
        if (c->indexed && !conversion_type(&c->convert, c->affinity))
            rc = plan_refuse_key(m, c);
    }
    return rc < 0 ? rc : find_ttl(m);
}

int plan_index_key(const struct table_plan *p, const char *name, const char **attribute,
                   enum attr_type *type, struct err *err)
{
    struct plan_maker m = {.plan = (struct table_plan *)p, .err = err};
    long at = plan_column(p, name);

    for (size_t i = 0; i < p->added_count; i++)
        if (strcmp(p->added[i].attribute, name) == 0) {
            if (!p->added[i].type)
                return plan_refuse_key(&m, &p->columns[p->added[i].segments[0].column]);
            *attribute = p->added[i].attribute;
            *type = (enum attr_type)p->added[i].type;
            return 0;
        }
    for (size_t i = 0; at < 0 && i < p->schema.count; i++)
        if (strcmp(p->schema.parts[i].name, name) == 0) {
            *attribute = p->schema.parts[i].name;
            *type = p->schema.parts[i].type;
            return 0;
        }
    if (at < 0)
        return err_set(err, -ENOENT, "\"%s\" is no column and no added attribute of it", name);
    int of = conversion_type(&p->columns[at].convert, p->columns[at].affinity);
    if (!of)
        return plan_refuse_key(&m, &p->columns[at]);
    *attribute = p->columns[at].attribute;
    *type = (enum attr_type)of;
    return 0;
}
