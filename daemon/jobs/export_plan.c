#include "jobs/export_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void export_plan_free(struct export_plan *p)
{
    for (size_t i = 0; i < p->count; i++)
        export_table_clear(&p->tables[i]);
    for (size_t i = 0; i < p->source_count; i++)
        free(p->sources[i]);
    free(p->tables);
    free(p->links);
    free(p->sources);
    *p = (struct export_plan){0};
}

static int no_memory(struct err *err)
{
    return err_set(err, -ENOMEM, "out of memory");
}

bool export_plan_covers(const struct export_plan *p, const char *source)
{
    for (size_t i = 0; i < p->count; i++)
        if (strcmp(p->tables[i].from, source) == 0)
            return true;
    return false;
}

static int add_source(struct export_plan *p, const char *name, struct err *err)
{
    for (size_t i = 0; i < p->source_count; i++)
        if (strcmp(p->sources[i], name) == 0)
            return 0;
    char **sources = reallocarray(p->sources, p->source_count + 1, sizeof *sources);
    char *copy = strdup(name);
    if (sources)
        p->sources = sources;
    if (!sources || !copy) {
        free(copy);
        return no_memory(err);
    }
    p->sources[p->source_count++] = copy;
    return 0;
}

/* --- sections --------------------------------------------------------------------------------- */

static int fill_table(struct export_table *t, const struct export_config *s, bool keyed,
                      struct err *err)
{
    int rc = 0;

    t->name = strdup(s->name);
    t->from = strdup(s->from);
    if (!t->name || !t->from)
        return no_memory(err);
    for (size_t i = 0; rc == 0 && i < s->match.count; i++)
        rc = export_table_add_match(t, s->match.items[i].key, s->match.items[i].value, err);
    for (size_t i = 0; rc == 0 && i < s->columns.count; i++)
        rc = export_table_add_column(t, s->columns.items[i].key, s->columns.items[i].value, err);
    if (rc == 0)
        rc = export_table_complete(t, err);
    if (rc == 0 && keyed && export_table_key_count(t) == 0)
        rc = err_set(err, -EINVAL,
                     "no column is its primary key, without which running again would double the "
                     "rows; write \"primary key\" behind the column's type");
    return rc;
}

static bool wanted(const struct export_config *s, const char *const *from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(s->from, from[i]) == 0)
            return true;
    return count == 0;
}

static int add_section(struct export_plan *p, const struct export_config *s, bool keyed,
                       struct err *err)
{
    int rc = 0;

    if (!*s->from)
        rc = err_set(err, -EINVAL, "from is missing: the DynamoDB table");
    if (rc == 0)
        rc = fill_table(&p->tables[p->count++], s, keyed, err);
    if (rc == 0)
        rc = add_source(p, s->from, err);
    return rc == -EINVAL ? err_prefix(err, rc, "%s:%u: [export \"%s\"]", s->file, s->line, s->name)
                         : rc;
}

/* --- references ------------------------------------------------------------------------------- */

static const struct export_column *only_key(const struct export_table *t)
{
    const struct export_column *found = NULL;

    for (size_t i = 0; i < t->column_count; i++)
        if (t->columns[i].primary_key) {
            if (found)
                return NULL;
            found = &t->columns[i];
        }
    return found;
}

static int add_link(struct export_plan *p, size_t table, size_t column, size_t parent,
                    struct err *err)
{
    const struct export_column *c = &p->tables[table].columns[column];
    const struct export_column *key = only_key(&p->tables[parent]);
    struct export_link *links = reallocarray(p->links, p->link_count + 1, sizeof *links);

    if (!links)
        return no_memory(err);
    p->links = links;
    links[p->link_count++] = (struct export_link){
        .table = table,
        .column = column,
        .parent = parent,
        .checked = key && (!c->ref_column || strcmp(c->ref_column, key->name) == 0)};
    return 0;
}

static int find_links(struct export_plan *p, struct err *err)
{
    int rc = 0;

    p->link_count = 0;
    for (size_t t = 0; t < p->count; t++)
        for (size_t c = 0; c < p->tables[t].column_count; c++)
            for (size_t k = 0; rc == 0 && p->tables[t].columns[c].ref_table && k < p->count; k++)
                if (strcmp(p->tables[t].columns[c].ref_table, p->tables[k].name) == 0)
                    rc = add_link(p, t, c, k, err);
    return rc;
}

/* Does a table that is not placed yet stand before this one? A reference to itself does not. */
static bool waits(const struct export_plan *p, size_t table, const bool *placed)
{
    for (size_t i = 0; i < p->link_count; i++)
        if (p->links[i].table == table && p->links[i].parent != table &&
            !placed[p->links[i].parent])
            return true;
    return false;
}

/* In the order of the file, but for parents, which come first. */
static int put_in_order(struct export_plan *p, struct err *err)
{
    _cleanup_free_ bool *placed = calloc(p->count + 1, sizeof *placed);
    struct export_table *sorted = calloc(p->count + 1, sizeof *sorted);
    size_t n = 0;

    if (!placed || !sorted) {
        free(sorted);
        return no_memory(err);
    }
    while (n < p->count) {
        size_t i = 0;
        while (i < p->count && (placed[i] || waits(p, i, placed)))
            i++;
        if (i == p->count) {
            for (i = 0; placed[i]; i++)
                ;
            err_set(err, -EINVAL,
                    "the references of table %s and others form a circle, so that none can be "
                    "filled first; take one reference out, and add it in PostgreSQL afterwards",
                    p->tables[i].name);
            free(sorted);
            return -EINVAL;
        }
        placed[i] = true;
        sorted[n++] = p->tables[i];
    }
    free(p->tables);
    p->tables = sorted;
    return find_links(p, err);
}

int export_plan_make(const struct config *c, const char *const *from, size_t from_count, bool keyed,
                     struct export_plan *out, struct err *err)
{
    int rc = 0;

    *out = (struct export_plan){0};
    out->tables = calloc(c->export_section_count + 1, sizeof *out->tables);
    if (!out->tables)
        return no_memory(err);
    for (size_t i = 0; rc == 0 && i < from_count; i++)
        rc = add_source(out, from[i], err);
    for (size_t i = 0; rc == 0 && i < c->export_section_count; i++)
        if (wanted(&c->export_sections[i], from, from_count))
            rc = add_section(out, &c->export_sections[i], keyed, err);
    if (rc == 0)
        rc = find_links(out, err);
    return rc == 0 ? put_in_order(out, err) : rc;
}
