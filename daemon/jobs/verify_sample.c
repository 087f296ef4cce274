/* A sample instead of the whole: so many rows of each table, every row as likely as any other, and
 * about as many items, in short runs behind the keys of those rows. DynamoDB keeps items in the
 * order of a hash of their keys, so that such places are random, and items without a row are met
 * there as well. The rows are found by paging through the table, which costs no read units. */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/rng.h"
#include "dynamodb/scan.h"
#include "jobs/call.h"
#include "jobs/verify_internal.h"

enum { PAGE = 200, RUN = 10 };

struct sampled {
    struct buf key, row;
};

struct sample {
    struct verify *verify;
    size_t table;
    struct sampled *rows; /* options.sample of them */
    int64_t seen;
    struct rng rng;
    struct buf cursor;
    bool end;
};

/* A row takes the place that falls to it among all that were seen, if there is such a place
 * (reservoir sampling). */
static int take_row(struct sample *s, const struct value *entry)
{
    struct verify *v = s->verify;
    const struct table_plan *p = v->compared.tables[s->table].plan;
    int64_t at =
        s->seen < v->options->sample ? s->seen : (int64_t)rng_upto(&s->rng, (uint64_t)s->seen);
    struct item_fault fault;

    s->seen++;
    if (at >= v->options->sample)
        return 0;
    struct sampled *r = &s->rows[at];
    buf_clear(&r->key);
    buf_clear(&r->row);
    int rc = item_key(p, entry, &r->key, NULL, &fault);
    if (rc == -EINVAL) /* a dead letter, which has no item to be looked at */
        buf_clear(&r->key);
    for (size_t i = 0; i < p->row_key_count; i++)
        value_encode(&r->row, &entry[i]);
    return rc == -ENOMEM || !buf_ok(&r->row) ? err_set(v->err, -ENOMEM, "out of memory") : 0;
}

static int skip_row(struct sample *s)
{
    struct verify *v = s->verify;
    _cleanup_buf_ struct buf entry = {0}, next = {0};
    int rc = rows_skip(v->compared.tables[s->table].rows, &s->cursor, &entry, &next);

    if (rc != SQLITE_ROW)
        return compared_failed(&v->compared, rc, "reading rows", v->err);
    buf_clear(&s->cursor);
    buf_append(&s->cursor, next.data, next.len);
    return buf_ok(&s->cursor) ? 0 : err_set(v->err, -ENOMEM, "out of memory");
}

static int take_page(struct sample *s)
{
    struct verify *v = s->verify;
    struct compared_table *t = &v->compared.tables[s->table];
    _cleanup_buf_ struct buf from = {0};
    sqlite3_stmt *page;
    int n = 0, rc = 0;

    buf_append(&from, s->cursor.data, s->cursor.len);
    int sq = rows_page(t->rows, &from, PAGE, &page);
    while (rc == 0 && sq == SQLITE_OK && (sq = rows_next(t->rows, page)) == SQLITE_ROW) {
        n++;
        rc = take_row(s, t->rows->values);
        rows_cursor(t->rows, page, &s->cursor);
        sq = SQLITE_OK;
    }
    rows_end(page);
    s->end = sq == SQLITE_DONE && n < PAGE;
    if (rc < 0)
        return rc;
    if (!buf_ok(&from) || !buf_ok(&s->cursor))
        return err_set(v->err, -ENOMEM, "out of memory");
    if (sq == SQLITE_TOOBIG)
        return skip_row(s);
    return sq == SQLITE_DONE ? 0 : compared_failed(&v->compared, sq, "reading rows", v->err);
}

/* --- items ------------------------------------------------------------------------------------ */

static int take_run(struct sample *s, const struct buf *behind)
{
    struct verify *v = s->verify;
    _cleanup_buf_ struct buf json = {0};
    struct scan_request r = {.table = v->target, .consistent = true, .limit = RUN};
    struct buf body = {0};
    struct scan_page page;
    json_t *reply = NULL, *start = NULL;

    if (behind->len && item_key_json(v->schema, behind->data, behind->len, &json) == 0)
        r.start = start = json_loadb(json.data, json.len, JSON_ALLOW_NUL, NULL);
    scan_body(&body, &r);
    json_decref(start);
    int rc = job_call(&v->connection, "Scan", &body, &reply, v->err);
    if (rc < 0)
        return rc;
    if (scan_read(reply, &page) < 0)
        rc = err_set(v->err, -EIO, "Scan of table %s: the reply is not what Scan answers",
                     v->target);
    if (rc == 0) {
        v->units += page.units > 0 ? page.units : 0;
        verify_slow_down(v, page.units);
        rc = verify_look_at_items(v, page.items);
    }
    json_decref(reply);
    return rc;
}

static int take_items(struct sample *s, int64_t rows)
{
    static const struct buf beginning;
    int64_t runs = (s->verify->options->sample + RUN - 1) / RUN;
    int rc = rows ? 0 : take_run(s, &beginning);

    for (int64_t i = 0; rc == 0 && i < runs && i < rows; i++)
        rc = take_run(s, &s->rows[i].key);
    return rc;
}

/* --- a table ---------------------------------------------------------------------------------- */

/* Does it wait for a key that another row has? */
static int waits(struct sample *s, const struct sampled *r, bool *yes)
{
    struct verify *v = s->verify;
    const struct table_plan *p = v->compared.tables[s->table].plan;

    *yes = false;
    if (!r->key.len || !verify_may_meet(v, s->table))
        return 0;
    if (values_decode(r->row.data, r->row.len, v->compared.values, p->row_key_count) < 0)
        return err_set(v->err, -ENOMEM, "out of memory");
    return verify_waits_for_key(v, s->table, v->compared.values, yes);
}

/* The rows are compared as keys that are looked at again. */
static int judge_rows(struct sample *s, int64_t rows)
{
    struct verify *v = s->verify;
    int rc = 0;

    for (int64_t i = 0; rc == 0 && i < rows; i++) {
        const struct sampled *r = &s->rows[i];
        const struct work_key k = {.key = r->key.data,
                                   .key_len = r->key.len,
                                   .row = r->row.data,
                                   .row_len = r->row.len,
                                   .table = (unsigned)s->table};
        bool dead = false;
        v->figures[s->table].rows++;
        rc = waits(s, r, &dead);
        if (rc < 0)
            break;
        if (!k.key_len || dead)
            v->figures[s->table].dead_letters++;
        else if (work_suspect(v->work, &k, true) < 0)
            rc = verify_work_failed(v);
    }
    return rc;
}

static int sample_table(struct verify *v, size_t table)
{
    struct sample s = {.verify = v, .table = table, .rng = {(uint64_t)clock_wall()}};
    int rc = 0;

    s.rows = calloc((size_t)v->options->sample, sizeof *s.rows);
    if (!s.rows)
        return err_set(v->err, -ENOMEM, "out of memory");
    while (rc == 0 && !s.end) {
        rc = compared_begin(&v->compared, v->err);
        if (rc < 0)
            break;
        rc = take_page(&s);
        compared_end(&v->compared);
    }
    int64_t rows = s.seen < v->options->sample ? s.seen : v->options->sample;
    if (rc == 0)
        rc = take_items(&s, rows);
    if (rc == 0)
        rc = judge_rows(&s, rows);
    for (int64_t i = 0; i < rows; i++) {
        buf_free(&s.rows[i].key);
        buf_free(&s.rows[i].row);
    }
    buf_free(&s.cursor);
    free(s.rows);
    return rc;
}

int verify_sample(struct verify *v)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < v->compared.count; i++)
        if (verify_is_here(v, i) && v->figures[i].wanted)
            rc = sample_table(v, i);
    return rc;
}
