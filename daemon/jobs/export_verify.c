#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "export/same.h"
#include "export/sql.h"
#include "jobs/export_load.h"

struct verify {
    struct postgres *pg;
    struct export_sort *sort;
    size_t table;
    struct export_tally *tally;
    json_t *differences;
    unsigned char *seen; /* a bit for each record */
    char step[300];
    int64_t total;
    struct buf fields; /* of the row at hand, each with a NUL behind it */
    struct {
        size_t at, n;
        bool null;
    } places[EXPORT_MAX_COLUMNS];
};

static int no_memory(struct err *err)
{
    return err_set(err, -ENOMEM, "out of memory");
}

static int report(struct verify *v, const struct spool_record *r, const char *reason,
                  struct err *err)
{
    json_t *one;

    if (json_array_size(v->differences) >= v->sort->order->listed)
        return 0;
    one = json_pack("{ss, ss, ss%, ss}", "table", v->sort->plan->tables[v->table].name, "kind",
                    "difference", "key", r->item.at, r->item.n, "reason", reason);
    return json_array_append_new(v->differences, one) < 0 ? no_memory(err) : 0;
}

/* --- a row of PostgreSQL's -------------------------------------------------------------------- */

static int take_fields(struct verify *v, const char *line, size_t n, struct err *err)
{
    const struct export_table *t = &v->sort->plan->tables[v->table];
    const char *at = line, *end = line + n;

    buf_clear(&v->fields);
    for (size_t i = 0; i < t->column_count; i++) {
        v->places[i].at = v->fields.len;
        if (!line_copy_field(&at, end, &v->fields, &v->places[i].null))
            return err_set(err, -EIO, "PostgreSQL at %s gave a row of %s that is none",
                           postgres_about(v->pg), t->name);
        v->places[i].n = v->fields.len - v->places[i].at;
        buf_putc(&v->fields, '\0');
    }
    return buf_ok(&v->fields) ? 0 : no_memory(err);
}

static int key_of(const struct verify *v, struct buf *out)
{
    const struct export_table *t = &v->sort->plan->tables[v->table];

    for (size_t i = 0; i < t->column_count; i++)
        if (t->columns[i].primary_key) {
            export_key_text(&t->columns[i], v->fields.data + v->places[i].at, v->places[i].n, out);
            buf_putc(out, '\x1f');
        }
    return buf_ok(out) ? 0 : -ENOMEM;
}

static int compare(struct verify *v, const struct spool_record *r, struct err *err)
{
    const struct export_table *t = &v->sort->plan->tables[v->table];
    json_auto_t *attributes = json_loadb(r->attributes.at, r->attributes.n, JSON_ALLOW_NUL, NULL);

    if (!json_is_array(attributes))
        return no_memory(err);
    v->tally->compared++;
    for (size_t i = 0; i < t->column_count; i++) {
        const json_t *a = json_array_get(attributes, i);
        const char *text = v->places[i].null ? NULL : v->fields.data + v->places[i].at;
        struct err why;
        if (export_same(&t->columns[i], json_is_null(a) ? NULL : a, text, v->places[i].n))
            continue;
        v->tally->different++;
        err_set(&why, 0, "column %s is not what the item holds", t->columns[i].name);
        return report(v, r, why.text, err);
    }
    return 0;
}

static int got_row(void *arg, const char *line, size_t n, struct err *err)
{
    struct verify *v = arg;
    const struct export_ui *ui = v->sort->order->ui;
    _cleanup_buf_ struct buf key = {0};
    struct spool_record r;
    int rc = take_fields(v, line, n, err);

    if (rc < 0)
        return rc;
    if (key_of(v, &key) < 0)
        return no_memory(err);
    rc = spool_find(v->sort->spool, v->table, &(struct spool_bytes){key.data, key.len}, &r, err);
    if (rc < 0)
        return rc;
    if (rc == 0) {
        v->tally->extra++;
        return 0;
    }
    v->seen[r.id / 8] |= (unsigned char)(1 << r.id % 8);
    rc = compare(v, &r, err);
    if (v->tally->compared % 256 == 0)
        ui->progress(ui->arg, v->step, "rows", v->tally->compared, v->total, 0);
    return rc;
}

/* --- rows that are not there ------------------------------------------------------------------ */

static int find_missing(struct verify *v, struct err *err)
{
    struct spool_record r;
    int rc = spool_rewind(v->sort->spool, v->table, err);

    while (rc == 0 && (rc = spool_next(v->sort->spool, &r, err)) == 1) {
        rc = 0;
        if (v->seen[r.id / 8] & 1 << r.id % 8)
            continue;
        v->tally->missing++;
        rc = report(v, &r, "there is no such row", err);
    }
    return rc;
}

static int verify_table(struct verify *v, struct err *err)
{
    const struct export_table *t = &v->sort->plan->tables[v->table];
    const struct sql_table table = {t->name, t->columns, t->column_count};
    _cleanup_buf_ struct buf sql = {0};

    v->seen = calloc((size_t)spool_last(v->sort->spool, v->table) / 8 + 1, 1);
    buf_lit(&sql, "COPY (SELECT ");
    sql_columns(&table, &sql);
    buf_lit(&sql, " FROM ");
    sql_append_table(&sql, t->name);
    buf_lit(&sql, ") TO STDOUT");
    if (!v->seen || !buf_ok(&sql))
        return no_memory(err);
    snprintf(v->step, sizeof v->step, "verify %s", t->name);
    int rc = spool_count(v->sort->spool, v->table, &v->total, err);
    if (rc == 0)
        rc = postgres_copy_out(v->pg, sql.data, got_row, v, err);
    return rc == 0 ? find_missing(v, err) : rc;
}

int export_verify_run(struct postgres *p, struct export_sort *s, struct export_tally *tallies,
                      json_t *differences, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < s->plan->count; i++) {
        struct verify v = {
            .pg = p, .sort = s, .table = i, .tally = &tallies[i], .differences = differences};
        rc = verify_table(&v, err);
        if (rc == -EPERM || rc == -EINVAL)
            rc = err_prefix(err, -EPERM, "table %s", s->plan->tables[i].name);
        free(v.seen);
        buf_free(&v.fields);
    }
    return rc;
}
