#include "export/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "export/cut.h"
#include "export/same.h"

static int no_memory(struct err *err)
{
    return err_set(err, -ENOMEM, "out of memory");
}

int export_table_add_match(struct export_table *t, const char *attribute, const char *pattern,
                           struct err *err)
{
    struct export_match m = {.attribute = strdup(attribute)};
    int rc = m.attribute ? pattern_parse(pattern, &m.pattern, err) : no_memory(err);

    if (rc == 0 && t->match_count == EXPORT_MAX_MATCHES)
        rc = err_set(err, -EINVAL, "there are more than %d match lines", EXPORT_MAX_MATCHES);
    for (size_t i = 0; rc == 0 && i < t->match_count; i++)
        for (size_t k = 0; rc == 0 && k < m.pattern.count; k++)
            if (m.pattern.parts[k].kind != PATTERN_LITERAL &&
                pattern_capture(&t->matches[i].pattern, m.pattern.parts[k].text) >= 0)
                rc = err_set(err, -EINVAL, "{%s} is captured twice", m.pattern.parts[k].text);
    if (rc < 0) {
        pattern_clear(&m.pattern);
        free(m.attribute);
        return err_prefix(err, rc, "match.%s", attribute);
    }
    t->matches[t->match_count++] = m;
    return 0;
}

int export_table_add_column(struct export_table *t, const char *name, const char *text,
                            struct err *err)
{
    struct export_column c, *columns;
    int rc = 0;

    if (t->column_count == EXPORT_MAX_COLUMNS)
        return err_set(err, -EINVAL, "there are more than %d columns", EXPORT_MAX_COLUMNS);
    columns = reallocarray(t->columns, t->column_count + 1, sizeof *columns);
    if (!columns)
        return no_memory(err);
    t->columns = columns;
    rc = export_column_parse(name, text, &c, err);
    if (rc == 0) {
        t->columns[t->column_count++] = c;
        rc = export_fallback_check(&c, err);
    }
    return rc < 0 ? err_prefix(err, rc, "column.%s", name) : 0;
}

static bool find_capture(const struct export_table *t, const char *name, struct export_place *out)
{
    for (size_t i = 0; i < t->match_count; i++) {
        int part = pattern_capture(&t->matches[i].pattern, name);
        if (part >= 0) {
            *out = (struct export_place){(int)i, part};
            return true;
        }
    }
    return false;
}

int export_table_complete(struct export_table *t, struct err *err)
{
    if (t->column_count == 0)
        return err_set(err, -EINVAL, "it has no columns; write column.NAME = ATTRIBUTE TYPE");
    t->places = calloc(t->column_count, sizeof *t->places);
    if (!t->places)
        return no_memory(err);
    for (size_t i = 0; i < t->column_count; i++) {
        const struct export_column *c = &t->columns[i];
        t->places[i].match = -1;
        bool captured = c->from != SOURCE_ATTRIBUTE && find_capture(t, c->source, &t->places[i]);
        if (c->from == SOURCE_CAPTURE && !captured)
            return err_set(err, -EINVAL, "column.%s: no match line captures {%s}", c->name,
                           c->source);
    }
    return 0;
}

void export_table_clear(struct export_table *t)
{
    for (size_t i = 0; i < t->match_count; i++) {
        free(t->matches[i].attribute);
        pattern_clear(&t->matches[i].pattern);
    }
    for (size_t i = 0; i < t->column_count; i++)
        export_column_clear(&t->columns[i]);
    free(t->columns);
    free(t->places);
    free(t->name);
    free(t->from);
    *t = (struct export_table){0};
}

size_t export_table_key_count(const struct export_table *t)
{
    size_t n = 0;

    for (size_t i = 0; i < t->column_count; i++)
        n += t->columns[i].primary_key;
    return n;
}

/* --- matching --------------------------------------------------------------------------------- */

static void say_why(const struct export_match *m, enum pattern_match how,
                    const struct pattern_span *spans, size_t part, struct export_fault *f)
{
    const struct pattern_part *p = part < m->pattern.count ? &m->pattern.parts[part] : NULL;
    struct cut shown;

    if (!p)
        export_fault_set(f, PROBLEM_KEY_SHAPE, "%s goes on after what its pattern says",
                         m->attribute);
    else if (how == PATTERN_SHAPED)
        export_fault_set(f, p->kind == PATTERN_UUID ? PROBLEM_UUID : PROBLEM_KEY_SHAPE,
                         "{%s} of %s is not %s: %s", p->text, m->attribute,
                         pattern_kind_name(p->kind), cut_n(&shown, spans[part].at, spans[part].n));
    else if (p->kind == PATTERN_LITERAL)
        export_fault_set(f, PROBLEM_KEY_SHAPE, "%s has no \"%s\" where its pattern has one",
                         m->attribute, p->text);
    else
        export_fault_set(f, PROBLEM_KEY_SHAPE,
                         "%s has no {%s}, or it does not end as its pattern "
                         "says",
                         m->attribute, p->text);
}

enum pattern_match export_table_match(const struct export_table *t, const json_t *item,
                                      struct export_captures *captures, struct export_fault *fault)
{
    enum pattern_match least = PATTERN_FULL;

    for (size_t i = 0; i < t->match_count; i++) {
        const struct export_match *m = &t->matches[i];
        const json_t *attribute = json_object_get(item, m->attribute);
        const json_t *text = json_object_get(attribute, "S");
        size_t part = 0;
        if (!text)
            text = json_object_get(attribute, "N");
        if (!json_is_string(text))
            return PATTERN_NONE;
        enum pattern_match how = pattern_match(&m->pattern, json_string_value(text),
                                               json_string_length(text), captures->spans[i], &part);
        if (how < least) {
            least = how;
            if (how == PATTERN_NONE)
                return how;
            say_why(m, how, captures->spans[i], part, fault);
        }
    }
    return least;
}

/* --- the record ------------------------------------------------------------------------------- */

const json_t *export_table_attribute(const struct export_table *t, size_t column,
                                     const json_t *item, const struct export_captures *captures,
                                     json_t **made)
{
    const struct export_place *p = &t->places[column];

    *made = NULL;
    if (p->match < 0)
        return json_object_get(item, t->columns[column].source);
    const struct pattern_span *s = &captures->spans[p->match][p->part];
    *made = json_pack("{so}", "S", json_stringn_nocheck(s->at, s->n));
    return *made;
}

int export_table_record(const struct export_table *t, const json_t *item,
                        const struct export_captures *captures, struct line_value *values,
                        struct buf *store, struct export_fault *fault)
{
    buf_clear(store);
    for (size_t i = 0; i < t->column_count; i++) {
        json_t *made;
        const json_t *attribute = export_table_attribute(t, i, item, captures, &made);
        size_t before = store->len;
        if (t->places[i].match >= 0 && !made)
            return -ENOMEM;
        int rc = export_convert(&t->columns[i], attribute, store, &values[i].null, fault);
        json_decref(made);
        if (rc < 0)
            return rc;
        values[i].n = store->len - before;
        buf_putc(store, '\0');
    }
    if (!buf_ok(store))
        return -ENOMEM;
    for (size_t i = 0, at = 0; i < t->column_count; i++) { /* it has moved meanwhile */
        values[i].text = store->data + at;
        at += values[i].n + 1;
    }
    return 0;
}

void export_table_key(const struct export_table *t, const struct line_value *values,
                      struct buf *out)
{
    for (size_t i = 0; i < t->column_count; i++) {
        if (!t->columns[i].primary_key)
            continue;
        export_key_text(&t->columns[i], values[i].text, values[i].n, out);
        buf_putc(out, '\x1f');
    }
}
