#include "jobs/export_sort.h"

#include <errno.h>
#include <string.h>

#include "export/same.h"

enum { LEFT_OVER_SHOWN = 5 };

int export_sort_open(const struct export_plan *plan, const struct export_order *order,
                     enum line_format format, struct export_sort *out, struct err *err)
{
    *out = (struct export_sort){.plan = plan,
                                .order = order,
                                .format = format,
                                .samples = json_array(),
                                .left_over = json_array()};
    for (size_t i = 0; i < plan->count; i++)
        if (json_array_append_new(out->samples, json_array()) < 0)
            return err_set(err, -ENOMEM, "out of memory");
    return spool_open(plan->count, &out->spool, err);
}

void export_sort_close(struct export_sort *s)
{
    spool_close(s->spool);
    json_decref(s->samples);
    json_decref(s->left_over);
    buf_free(&s->store);
    buf_free(&s->line);
    buf_free(&s->item);
    buf_free(&s->attributes);
}

/* --- an item ---------------------------------------------------------------------------------- */

/* What the columns came from, for a later comparison: a JSON array. */
static int gather(struct export_sort *s, const struct export_table *t, const json_t *item,
                  const struct export_captures *captures)
{
    buf_clear(&s->attributes);
    for (size_t i = 0; i < t->column_count; i++) {
        json_t *made;
        const json_t *attribute = export_table_attribute(t, i, item, captures, &made);
        char *text = attribute ? json_dumps(attribute, JSON_COMPACT) : NULL;
        buf_putc(&s->attributes, i ? ',' : '[');
        buf_puts(&s->attributes, text ? text : "null");
        json_decref(made);
        if (attribute && !text)
            return -ENOMEM;
        free(text);
    }
    buf_putc(&s->attributes, ']');
    return buf_ok(&s->attributes) ? 0 : -ENOMEM;
}

static int add_references(struct export_sort *s, size_t table, int64_t id,
                          const struct line_value *values, struct err *err)
{
    const struct export_plan *p = s->plan;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < p->link_count; i++) {
        const struct export_link *l = &p->links[i];
        const struct line_value *v = &values[l->column];
        _cleanup_buf_ struct buf key = {0};
        if (l->table != table || !l->checked || v->null)
            continue;
        export_key_text(&p->tables[table].columns[l->column], v->text, v->n, &key);
        buf_putc(&key, '\x1f'); /* as export_table_key() ends each part */
        if (!buf_ok(&key))
            return err_set(err, -ENOMEM, "out of memory");
        rc = spool_add_reference(s->spool, table, id, l->column,
                                 &(struct spool_bytes){key.data, key.len}, err);
    }
    return rc;
}

static int keep_sample(struct export_sort *s, size_t table, const struct line_value *values)
{
    const struct export_table *t = &s->plan->tables[table];
    json_t *samples = json_array_get(s->samples, table);
    _cleanup_buf_ struct buf line = {0};

    if (json_array_size(samples) >= EXPORT_SAMPLES)
        return 0;
    line_append(LINE_JSON, t->columns, t->column_count, values, &line);
    if (!buf_ok(&line))
        return -ENOMEM;
    return json_array_append_new(samples, json_stringn(line.data, line.len - 1)) < 0 ? -ENOMEM : 0;
}

static int add_record(struct export_sort *s, size_t table, const struct line_value *values,
                      struct err *err)
{
    const struct export_table *t = &s->plan->tables[table];
    _cleanup_buf_ struct buf key = {0};

    buf_clear(&s->line);
    line_append(s->format, t->columns, t->column_count, values, &s->line);
    export_table_key(t, values, &key);
    if (!buf_ok(&s->line) || !buf_ok(&key) || keep_sample(s, table, values) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    struct spool_record r = {
        .key = {key.len ? key.data : NULL, key.len},
        .item = {s->item.data, s->item.len},
        .line = {s->line.data, s->line.len},
        .attributes = {s->attributes.len ? s->attributes.data : NULL, s->attributes.len}};
    int rc = spool_add(s->spool, table, &r, err);
    return rc == 0 ? add_references(s, table, r.id, values, err) : rc;
}

static int take_item(struct export_sort *s, size_t table, const json_t *item,
                     const struct export_captures *captures, struct err *err)
{
    const struct export_table *t = &s->plan->tables[table];
    struct line_value values[EXPORT_MAX_COLUMNS];
    struct export_fault fault;
    int rc = export_table_record(t, item, captures, values, &s->store, &fault);

    if (rc == -EINVAL)
        return spool_problem(s->spool, table, 0, fault.kind, s->item.data, fault.text, err);
    if (rc == 0 && s->order->verify)
        rc = gather(s, t, item, captures);
    if (rc < 0)
        return err_set(err, rc, "out of memory");
    return add_record(s, table, values, err);
}

/* An item that is whole in the eyes of some tables is theirs; else it is reported as one of the
 * table that it comes nearest to. */
static int sort_item(void *arg, const struct export_source *source, json_t *item, struct err *err)
{
    struct export_sort *s = arg;
    struct export_captures captures;
    struct export_fault fault, nearest_fault = {0};
    enum pattern_match nearest = PATTERN_NONE;
    size_t nearest_table = 0;
    int rc = 0;

    s->scanned++;
    buf_clear(&s->item);
    export_source_key(source, item, &s->item);
    if (!buf_ok(&s->item))
        return err_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; rc == 0 && i < s->plan->count; i++) {
        if (strcmp(s->plan->tables[i].from, source->table) != 0)
            continue;
        enum pattern_match how = export_table_match(&s->plan->tables[i], item, &captures, &fault);
        if (how == PATTERN_FULL)
            rc = take_item(s, i, item, &captures, err);
        if (how > nearest) {
            nearest = how;
            nearest_table = i;
            nearest_fault = fault;
        }
    }
    if (rc < 0 || nearest == PATTERN_FULL)
        return rc;
    if (nearest > PATTERN_NONE)
        return spool_problem(s->spool, nearest_table, 0, nearest_fault.kind, s->item.data,
                             nearest_fault.text, err);
    s->unmatched++;
    if (json_array_size(s->left_over) < LEFT_OVER_SHOWN)
        json_array_append_new(s->left_over, json_stringn(s->item.data, s->item.len));
    return 0;
}

/* --- all of them ------------------------------------------------------------------------------ */

/* What one reference leaves out may be what another refers to, in the same table: until nothing
 * more is left out. */
static int check_references(struct export_sort *s, size_t table, struct err *err)
{
    const struct export_plan *p = s->plan;
    int64_t before;
    int rc = 0;

    do {
        before = spool_problem_count(s->spool, table, PROBLEM_REFERENCE);
        for (size_t k = 0; rc == 0 && k < p->link_count; k++) {
            const struct export_link *l = &p->links[k];
            if (l->table == table && l->checked)
                rc = spool_check_references(s->spool, table, l->column, l->parent,
                                            p->tables[l->parent].name, err);
        }
    } while (rc == 0 && spool_problem_count(s->spool, table, PROBLEM_REFERENCE) > before);
    return rc;
}

static int check(struct export_sort *s, struct err *err)
{
    const struct export_plan *p = s->plan;
    int rc = spool_complete(s->spool, err);

    for (size_t i = 0; rc == 0 && i < p->count; i++) {
        rc = spool_check_duplicates(s->spool, i, err);
        if (rc == 0)
            rc = check_references(s, i, err);
        for (size_t k = 0; rc == 0 && k < p->link_count; k++)
            if (p->links[k].table == i && p->links[k].parent == i && p->links[k].checked)
                rc = spool_order(s->spool, i, p->links[k].column, err);
    }
    return rc;
}

int export_sort_run(struct export_sort *s, struct connection *x, struct err *err)
{
    const struct export_plan *p = s->plan;
    struct export_source *sources = calloc(p->source_count + 1, sizeof *sources);
    int64_t total = 0, done = 0;
    int rc = sources ? 0 : err_set(err, -ENOMEM, "out of memory");

    for (size_t i = 0; rc == 0 && i < p->source_count; i++) {
        rc = export_source_look(x, p->sources[i], &sources[i], err);
        total += rc == 0 ? sources[i].items : 0;
    }
    for (size_t i = 0; rc == 0 && i < p->source_count; i++)
        rc = export_read(x, s->order, &sources[i], sort_item, s, &done, total, err);
    free(sources);
    return rc == 0 ? check(s, err) : rc;
}

static int64_t count(const struct export_sort *s, size_t table, enum export_problem from,
                     enum export_problem to)
{
    int64_t n = 0;

    for (int i = (int)from; i <= (int)to; i++)
        n += spool_problem_count(s->spool, table, (enum export_problem)i);
    return n;
}

/* Problems up to PROBLEM_RANGE are of items of which no record was made. */
int64_t export_sort_found(const struct export_sort *s, size_t table)
{
    return spool_last(s->spool, table) + count(s, table, PROBLEM_KEY_SHAPE, PROBLEM_RANGE);
}

int64_t export_sort_invalid(const struct export_sort *s, size_t table)
{
    return count(s, table, PROBLEM_KEY_SHAPE, PROBLEM_DUPLICATE);
}
