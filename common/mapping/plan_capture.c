/* What the triggers of a table need to know: which updates may move an entry, and through which
 * unique indexes a row can be replaced without a trigger being told. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/plan_internal.h"

static void append_name(struct buf *b, const char *before, const char *name)
{
    buf_puts(b, b->len ? "," : "");
    buf_puts(b, before);
    buf_putc(b, '"');
    for (; *name; name++) {
        if (*name == '"')
            buf_putc(b, '"');
        buf_putc(b, *name);
    }
    buf_putc(b, '"');
}

/* UPDATE t SET rowid=… moves an INTEGER PRIMARY KEY without firing "UPDATE OF id". */
static void append_rowid_names(struct buf *b, const struct table_info *t)
{
    static const char *const names[] = {"rowid", "oid", "_rowid_"};

    for (size_t i = 0; i < 3; i++)
        if (table_column(t, names[i]) < 0) {
            buf_puts(b, b->len ? "," : "");
            buf_puts(b, names[i]);
        }
}

static bool is_rowid(const struct table_info *t, size_t column)
{
    return t->rowid_key && t->key[0] == column;
}

/* The text, or NULL where nothing was written; -ENOMEM. */
static int take(struct plan_maker *m, struct buf *b, char **out)
{
    if (!buf_ok(b))
        return plan_no_memory(m);
    *out = b->len ? take_ptr(b->data) : NULL;
    return 0;
}

/* Columns of the entry, of a generated one those it is made of: these must also be named by a
 * trigger before an update, because SQLite (3.31 and later) computes NEW's generated columns from
 * NULL where a column is neither set nor named. */
static int add_key(struct plan_maker *m)
{
    _cleanup_buf_ struct buf of = {0}, reads = {0};
    const struct table_info *t = m->table;
    bool rowid = false;
    int rc;

    for (size_t i = 0; i < m->plan->entry_count; i++) {
        size_t at = (size_t)table_column(t, m->plan->columns[i].name);
        const struct column_info *c = &t->columns[at];
        rowid |= is_rowid(t, at);
        if (!c->generated)
            append_name(&of, "", c->name);
        for (size_t k = 0; k < c->base_count; k++) {
            append_name(&of, "", t->columns[c->bases[k]].name);
            append_name(&reads, "NEW.", t->columns[c->bases[k]].name);
            rowid |= is_rowid(t, c->bases[k]);
        }
    }
    if (rowid)
        append_rowid_names(&of, t);
    rc = take(m, &of, &m->plan->capture.key_of);
    return rc < 0 ? rc : take(m, &reads, &m->plan->capture.key_reads);
}

/* Do two rows that meet in the index have the same entry? Then what is written of the new one tells
 * of the one that it replaces. */
static bool same_entry(const struct plan_maker *m, const struct lookup_info *l)
{
    for (size_t i = 0; i < m->plan->entry_count; i++) {
        size_t at = (size_t)table_column(m->table, m->plan->columns[i].name);
        bool exact = false;
        for (size_t k = 0; !exact && k < l->exact_count; k++)
            exact = l->exact[k] == at;
        if (!exact)
            return false;
    }
    return true;
}

static int add_lookup(struct plan_maker *m, const struct lookup_info *l)
{
    struct plan_capture *c = &m->plan->capture;
    struct plan_lookup *more = realloc(c->lookups, (c->lookup_count + 1) * sizeof *more);
    _cleanup_buf_ struct buf of = {0}, reads = {0};
    const struct table_info *t = m->table;
    int rc;

    if (!more)
        return plan_no_memory(m);
    c->lookups = more;
    struct plan_lookup *to = &more[c->lookup_count++];
    *to = (struct plan_lookup){.where = strdup(l->where)};
    if (!to->where)
        return plan_no_memory(m);
    for (size_t i = 0; i < l->column_count; i++)
        append_name(&of, "", t->columns[l->columns[i]].name);
    if (l->rowid)
        append_rowid_names(&of, t);
    for (size_t i = 0; i < l->read_count; i++)
        append_name(&reads, "NEW.", t->columns[l->reads[i]].name);
    rc = take(m, &of, &to->of);
    return rc < 0 ? rc : take(m, &reads, &to->reads);
}

static void add_limit(struct buf *b, const char *limit)
{
    buf_puts(b, b->len ? "; " : "");
    buf_puts(b, limit);
}

/* A rowid beside the row key is looked up only where there are lookups anyway. Nobody but who
 * writes REPLACE with a rowid of a table that has another key could replace a row by it, and a
 * BEFORE trigger on every plain table would name the table, which renames by old libraries leave
 * dangling. */
int plan_add_capture(struct plan_maker *m)
{
    const struct table_info *t = m->table;
    _cleanup_buf_ struct buf limits = {0};
    bool beside = false;
    int rc = add_key(m);

    for (size_t i = 0; i < t->lookup_count; i++)
        beside |= *t->lookups[i].index && !same_entry(m, &t->lookups[i]);
    for (size_t i = 0; rc == 0 && i < t->lookup_count; i++) {
        const struct lookup_info *l = &t->lookups[i];
        if (same_entry(m, l) || (!*l->index && !t->rowid_key && !beside))
            continue;
        if (l->limit)
            add_limit(&limits, l->limit);
        if (l->where)
            rc = add_lookup(m, l);
    }
    return rc < 0 ? rc : take(m, &limits, &m->plan->capture.limits);
}

void plan_capture_clear(struct plan_capture *c)
{
    for (size_t i = 0; i < c->lookup_count; i++) {
        free(c->lookups[i].where);
        free(c->lookups[i].of);
        free(c->lookups[i].reads);
    }
    free(c->lookups);
    free(c->key_of);
    free(c->key_reads);
    free(c->limits);
}
