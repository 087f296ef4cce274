#include "jobs/export_load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "export/sql.h"

#define BATCH_TABLE "_syncd_export"

/* Where so many records were refused and none was taken, it is not the records that are wrong. */
enum { BATCH_BYTES = 8 << 20, RETRIES = 8, HOPELESS = 1000 };

static struct sql_table sql_of(const struct export_table *t)
{
    return (struct sql_table){t->name, t->columns, t->column_count};
}

static int no_memory(struct err *err)
{
    return err_set(err, -ENOMEM, "out of memory");
}

/* --- tables ----------------------------------------------------------------------------------- */

static int is_there(struct postgres *p, const struct export_table *t, bool *out, struct err *err)
{
    _cleanup_buf_ struct buf name = {0}, sql = {0};
    char answer[8];

    sql_append_table(&name, t->name);
    buf_lit(&sql, "SELECT to_regclass(");
    if (buf_ok(&name))
        sql_append_literal(&sql, name.data);
    buf_lit(&sql, ") IS NOT NULL");
    if (!buf_ok(&name) || !buf_ok(&sql))
        return no_memory(err);
    int rc = postgres_ask(p, sql.data, answer, sizeof answer, err);
    *out = *answer == 't';
    return rc;
}

static int create_one(struct postgres *p, const struct export_table *t, bool *created,
                      struct err *err)
{
    const struct sql_table table = sql_of(t);
    _cleanup_buf_ struct buf sql = {0};
    bool there;
    int rc = is_there(p, t, &there, err);

    if (rc < 0 || there)
        return rc;
    sql_create_table(&table, &sql);
    rc = buf_ok(&sql) ? postgres_run(p, sql.data, NULL, err) : no_memory(err);
    *created = rc == 0;
    return rc < 0 && rc != -ECONNREFUSED
               ? err_prefix(err, -EPERM, "table %s cannot be made", t->name)
               : rc;
}

int export_load_create(struct postgres *p, const struct export_plan *plan,
                       struct export_tally *tallies, struct err *err)
{
    int rc = postgres_run(p, "BEGIN", NULL, err);

    for (size_t i = 0; rc == 0 && i < plan->count; i++)
        rc = create_one(p, &plan->tables[i], &tallies[i].created, err);
    if (rc == 0)
        return postgres_run(p, "COMMIT", NULL, err);
    if (rc != -ECONNREFUSED)
        postgres_run(p, "ROLLBACK", NULL, NULL);
    return rc;
}

/* What PostgreSQL makes of the statements that are to come, without carrying them out. */
static int check_one(struct postgres *p, const struct export_table *t, struct err *err)
{
    const struct sql_table table = sql_of(t);
    _cleanup_buf_ struct buf select = {0}, upsert = {0};
    bool there;
    int rc = is_there(p, t, &there, err);

    if (rc == 0 && !there)
        return err_set(err, -EPERM,
                       "there is no table %s in PostgreSQL at %s; --create-tables makes it",
                       t->name, postgres_about(p));
    if (rc < 0)
        return rc;
    buf_lit(&select, "EXPLAIN SELECT ");
    sql_columns(&table, &select);
    buf_lit(&select, " FROM ");
    sql_append_table(&select, t->name);
    buf_lit(&upsert, "EXPLAIN WITH "
                     "\"" BATCH_TABLE "\" AS (SELECT * FROM ");
    sql_append_table(&upsert, t->name);
    buf_lit(&upsert, ") ");
    sql_upsert(&table, BATCH_TABLE, &upsert);
    if (!buf_ok(&select) || !buf_ok(&upsert))
        return no_memory(err);
    rc = postgres_run(p, select.data, NULL, err);
    if (rc == 0)
        rc = postgres_run(p, upsert.data, NULL, err);
    if (rc < 0 && rc != -ECONNREFUSED)
        return err_prefix(err, -EPERM, "table %s in PostgreSQL is not as [export \"%s\"] says",
                          t->name, t->name);
    return rc;
}

int export_load_check(struct postgres *p, const struct export_plan *plan, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < plan->count; i++)
        rc = check_one(p, &plan->tables[i], err);
    return rc;
}

/* --- batches ---------------------------------------------------------------------------------- */

struct row {
    int64_t id;
    size_t line, item; /* where they begin in `bytes` */
};

struct load {
    struct postgres *pg;
    struct export_sort *sort;
    size_t table;
    struct export_tally *tally;
    struct buf copy, upsert;
    struct buf lines, items; /* of the batch; items end with a NUL */
    struct row *rows;
    size_t count, room;
    unsigned refused; /* before the first was taken */
    struct err *err;
};

static int attempt(struct load *l, size_t from, size_t to, int64_t *written)
{
    size_t begin = l->rows[from].line, end = to < l->count ? l->rows[to].line : l->lines.len;
    int rc = postgres_copy_in(l->pg, l->copy.data, l->lines.data + begin, end - begin, l->err);

    *written = 0;
    if (rc == 0)
        rc = postgres_run(l->pg, l->upsert.data, written, l->err);
    if (rc < 0 && rc != -ECONNREFUSED) {
        int back = postgres_run(l->pg, "ROLLBACK", NULL, NULL);
        if (back == -ECONNREFUSED)
            return err_set(l->err, back, "the connection to PostgreSQL at %s was lost",
                           postgres_about(l->pg));
    }
    return rc;
}

/* Whoever else writes to the table may be in the way for a moment. */
static int attempts(struct load *l, size_t from, size_t to, int64_t *written)
{
    int rc = attempt(l, from, to, written);

    for (unsigned i = 1; rc == -EAGAIN && i < RETRIES; i++) {
        usleep((1u << i) * 5000);
        rc = attempt(l, from, to, written);
    }
    return rc == -EAGAIN ? -EPERM : rc;
}

/* Rows from `from` to before `to`; halves of what is refused, until the guilty one stands alone. */
static int deliver(struct load *l, size_t from, size_t to)
{
    int64_t written;
    int rc = attempts(l, from, to, &written);

    if (rc == 0) {
        l->tally->migrated += (int64_t)(to - from);
        l->tally->unchanged += (int64_t)(to - from) - written;
        return 0;
    }
    if (rc != -EINVAL)
        return rc;
    if (to - from == 1 && l->tally->migrated == 0 && ++l->refused == HOPELESS)
        return err_prefix(l->err, -EPERM,
                          "each of the first %d records was refused, the last of them because",
                          HOPELESS);
    if (to - from == 1)
        return spool_problem(l->sort->spool, l->table, l->rows[from].id, PROBLEM_DATABASE,
                             l->items.data + l->rows[from].item, l->err->text, l->err);
    size_t middle = from + (to - from) / 2;
    rc = deliver(l, from, middle);
    return rc == 0 ? deliver(l, middle, to) : rc;
}

static int add_row(struct load *l, const struct spool_record *r)
{
    if (l->count == l->room) {
        size_t room = l->room ? l->room * 2 : 1024;
        struct row *rows = reallocarray(l->rows, room, sizeof *rows);
        if (!rows)
            return no_memory(l->err);
        l->rows = rows;
        l->room = room;
    }
    l->rows[l->count++] = (struct row){r->id, l->lines.len, l->items.len};
    buf_append(&l->lines, r->line.at, r->line.n);
    buf_append(&l->items, r->item.at, r->item.n);
    buf_putc(&l->items, '\0');
    return buf_ok(&l->lines) && buf_ok(&l->items) ? 0 : no_memory(l->err);
}

static int send_batch(struct load *l)
{
    int rc = l->count ? deliver(l, 0, l->count) : 0;

    l->count = 0;
    buf_clear(&l->lines);
    buf_clear(&l->items);
    return rc;
}

static void show(struct load *l, int64_t done, int64_t total)
{
    const struct export_ui *ui = l->sort->order->ui;
    char step[300];

    snprintf(step, sizeof step, "load %s", l->sort->plan->tables[l->table].name);
    ui->progress(ui->arg, step, "rows", done, total, 0);
}

static int send_all(struct load *l)
{
    struct spool_record r;
    int64_t total, done = 0;
    int rc = spool_count(l->sort->spool, l->table, &total, l->err);

    if (rc == 0)
        rc = spool_rewind(l->sort->spool, l->table, l->err);
    while (rc == 0 && (rc = spool_next(l->sort->spool, &r, l->err)) == 1) {
        rc = add_row(l, &r);
        if (rc == 0 && (l->count == l->sort->order->batch || l->lines.len >= BATCH_BYTES)) {
            done += (int64_t)l->count;
            rc = send_batch(l);
            show(l, done, total);
        }
    }
    done += (int64_t)l->count;
    if (rc == 0)
        rc = send_batch(l);
    if (rc == 0 && total)
        show(l, done, total);
    return rc;
}

/* A table of the session's own with the columns' types, which COPY fills and each transaction
 * empties. */
static int load_table(struct load *l)
{
    const struct export_table *t = &l->sort->plan->tables[l->table];
    const struct sql_table table = sql_of(t);
    _cleanup_buf_ struct buf make = {0};

    buf_lit(&make, "DROP TABLE IF EXISTS pg_temp.\"" BATCH_TABLE "\";"
                   " CREATE TEMP TABLE \"" BATCH_TABLE "\" ON COMMIT DELETE ROWS AS SELECT ");
    sql_columns(&table, &make);
    buf_lit(&make, " FROM ");
    sql_append_table(&make, t->name);
    buf_lit(&make, " WITH NO DATA");
    buf_lit(&l->copy, "BEGIN; COPY \"" BATCH_TABLE "\" (");
    sql_columns(&table, &l->copy);
    buf_lit(&l->copy, ") FROM STDIN");
    sql_upsert(&table, BATCH_TABLE, &l->upsert);
    buf_lit(&l->upsert, "; COMMIT");
    if (!buf_ok(&make) || !buf_ok(&l->copy) || !buf_ok(&l->upsert))
        return no_memory(l->err);
    int rc = postgres_run(l->pg, make.data, NULL, l->err);
    return rc == 0 ? send_all(l) : rc;
}

int export_load_run(struct postgres *p, struct export_sort *s, struct export_tally *tallies,
                    struct err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < s->plan->count; i++) {
        struct load l = {.pg = p, .sort = s, .table = i, .tally = &tallies[i], .err = err};
        rc = load_table(&l);
        if (rc == -EPERM || rc == -EINVAL)
            rc = err_prefix(err, -EPERM, "table %s", s->plan->tables[i].name);
        buf_free(&l.copy);
        buf_free(&l.upsert);
        buf_free(&l.lines);
        buf_free(&l.items);
        free(l.rows);
    }
    return rc;
}
