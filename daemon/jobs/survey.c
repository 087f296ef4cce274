#include "jobs/survey.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "mapping/item.h"
#include "mapping/oversize.h"
#include "source/rows.h"

#define PATIENCE (5 * USEC_PER_SEC)
#define SLICE    (10 * USEC_PER_MSEC) /* of a read transaction */
enum { PAGE_ROWS = 1000, MAX_FAULTS = 100 };

/* Other tables than ours share no key: an exact, unordered set of what was seen, in a file of its
 * own that SQLite removes by itself. */
static const char seen_schema[] =
    "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-8000;"
    "CREATE TABLE seen(g INTEGER, k BLOB, t INTEGER, r TEXT, PRIMARY KEY(g, k)) WITHOUT ROWID;"
    "BEGIN";

struct pass {
    struct source *source;
    const struct plan_list *plans;
    struct orphans *orphans; /* NULL: not looked for */
    struct survey *out;
    survey_progress_fn *progress;
    void *arg;
    struct err *err;
    sqlite3 *seen; /* NULL: no rows can meet */
    sqlite3_stmt *note, *look;
    struct buf json, key, text;
};

/* --- faults ----------------------------------------------------------------------------------- */

static struct survey_fault *find_fault(struct survey_table *t, const struct item_fault *f)
{
    const char *column = f->column ? f->column : "";

    for (size_t i = 0; i < t->fault_count; i++)
        if (strcmp(t->faults[i].code, f->code) == 0 && strcmp(t->faults[i].column, column) == 0)
            return &t->faults[i];
    if (t->fault_count == MAX_FAULTS) /* as many columns fail: the last one stands for the rest */
        return &t->faults[MAX_FAULTS - 1];
    struct survey_fault *list = reallocarray(t->faults, t->fault_count + 1, sizeof *list);
    if (!list)
        return NULL;
    t->faults = list;
    struct survey_fault *fresh = &list[t->fault_count];
    *fresh = (struct survey_fault){.column = strdup(column), .text = strdup(f->text)};
    if (!fresh->column || !fresh->text) {
        free(fresh->column);
        free(fresh->text);
        return NULL;
    }
    snprintf(fresh->code, sizeof fresh->code, "%s", f->code);
    t->fault_count++;
    return fresh;
}

static int add_fault(struct survey_table *t, const struct table_plan *p, const struct value *row,
                     const struct item_fault *f)
{
    struct survey_fault *fault = find_fault(t, f);
    _cleanup_buf_ struct buf key = {0};

    if (!fault)
        return -ENOMEM;
    t->failing++;
    if (fault->rows < SURVEY_KEYS) {
        item_describe_key(p, row, &key);
        if (!buf_ok(&key) || !(fault->keys[fault->rows] = strdup(key.data ? key.data : "")))
            return -ENOMEM;
    }
    fault->rows++;
    return 0;
}

void survey_free(struct survey *s)
{
    for (size_t i = 0; i < s->count; i++) {
        for (size_t k = 0; k < s->tables[i].fault_count; k++) {
            struct survey_fault *f = &s->tables[i].faults[k];
            free(f->column);
            free(f->text);
            for (size_t n = 0; n < SURVEY_KEYS; n++)
                free(f->keys[n]);
        }
        free(s->tables[i].faults);
    }
    free(s->tables);
    *s = (struct survey){0};
}

/* --- rows that meet at one key ---------------------------------------------------------------- */

/* The first table with the same target stands for it. */
static size_t group_of(const struct plan_list *l, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (l->plans[k] && strcmp(l->plans[k]->target, l->plans[i]->target) == 0)
            return k;
    return i;
}

static bool may_meet(const struct plan_list *l, size_t i)
{
    if (l->plans[i]->meeting)
        return true;
    for (size_t k = 0; k < l->count; k++)
        if (k != i && l->plans[k] && strcmp(l->plans[k]->target, l->plans[i]->target) == 0)
            return true;
    return false;
}

static int open_seen(struct pass *x)
{
    if (x->seen)
        return SQLITE_OK;
    int rc = sqlite3_open("", &x->seen);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(x->seen, seen_schema, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(x->seen, "INSERT OR IGNORE INTO seen VALUES(?1, ?2, ?3, ?4)", -1,
                                &x->note, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(x->seen, "SELECT t, r FROM seen WHERE g=?1 AND k=?2", -1, &x->look,
                                NULL);
    return rc;
}

static int seen_failed(const struct pass *x)
{
    return err_set(x->err, -EIO,
                   "the temporary file that keys are compared in cannot be written: %s (TMPDIR or "
                   "SQLITE_TMPDIR names another place)",
                   sqlite3_errmsg(x->seen));
}

/* Who has the key already. */
static int name_owner(struct pass *x, struct item_fault *f)
{
    int rc = sqlite3_step(x->look);

    if (rc == SQLITE_ROW) {
        const struct table_plan *p = x->plans->plans[sqlite3_column_int64(x->look, 0)];
        f->code = "key_taken";
        f->column = NULL;
        snprintf(f->text, sizeof f->text,
                 "row %.120s of table \"%.60s\" already has the key of this row's item",
                 (const char *)sqlite3_column_text(x->look, 1), p->table);
    }
    sqlite3_reset(x->look);
    return rc == SQLITE_ROW ? 1 : seen_failed(x);
}

/* Another row has the key in x->key: 1, which the fault tells. */
static int meets(struct pass *x, size_t plan, const struct value *row, struct item_fault *f)
{
    const struct table_plan *p = x->plans->plans[plan];
    int64_t group = (int64_t)group_of(x->plans, plan);

    buf_clear(&x->text);
    item_describe_key(p, row, &x->text);
    if (!buf_ok(&x->key) || !buf_ok(&x->text))
        return -ENOMEM;
    for (int i = 0; i < 2; i++) {
        sqlite3_stmt *s = i ? x->look : x->note;
        sqlite3_bind_int64(s, 1, group);
        sqlite3_bind_blob64(s, 2, x->key.data, x->key.len, SQLITE_STATIC);
    }
    sqlite3_bind_int64(x->note, 3, (int64_t)plan);
    sqlite3_bind_text(x->note, 4, x->text.data, (int)x->text.len, SQLITE_STATIC);
    int rc = sqlite3_step(x->note);
    sqlite3_reset(x->note);
    if (rc != SQLITE_DONE)
        return seen_failed(x);
    return sqlite3_changes(x->seen) ? 0 : name_owner(x, f);
}

/* --- rows ------------------------------------------------------------------------------------- */

struct table_pass {
    struct pass *x;
    struct survey_table *t;
    const struct table_plan *plan;
    struct rows *rows;
    struct buf cursor;
    bool meet;
};

/* The item in x->json, whose key is in x->key, is too large: what it would be written as. */
static int pack(struct table_pass *tp, size_t *size, uint32_t *units, struct item_fault *fault)
{
    _cleanup_(oversize_free) struct oversize packed = {0};
    int rc = oversize_pack(tp->plan, &tp->x->json, &tp->x->key, &packed, fault);

    if (rc < 0)
        return rc == -EINVAL ? rc : -ENOMEM;
    *size = packed.size;
    *units = item_write_units(packed.size);
    for (unsigned i = 0; i < packed.count; i++) {
        _cleanup_buf_ struct buf key = {0}, json = {0};
        size_t chunk = 0;
        if (oversize_chunk(&tp->plan->schema, &packed, &tp->x->key, i, &key, &json, &chunk) < 0)
            return -ENOMEM;
        *size += chunk;
        *units += item_write_units(chunk);
    }
    return 0;
}

/* As the daemon makes it (mirror/offer.c): key, item, and what becomes of one that is too large. */
static int encode(struct table_pass *tp, size_t *size, uint32_t *units, struct item_fault *fault)
{
    struct pass *x = tp->x;

    buf_clear(&x->json);
    buf_clear(&x->key);
    int rc = item_key(tp->plan, tp->rows->values, &x->key, NULL, fault);
    if (rc == 0)
        rc = item_encode_whole(tp->plan, tp->rows->values, &x->json, size, fault);
    if (rc == 0 && (!buf_ok(&x->json) || !buf_ok(&x->key)))
        rc = -ENOMEM;
    *units = item_write_units(*size);
    if (rc == 0 && *size > oversize_limit(tp->plan))
        rc = tp->plan->compress ? pack(tp, size, units, fault) : oversize_refuse(fault, *size);
    return rc;
}

/* For want of a row that it refers to. 1, 0 or negative. */
static int is_left_out(struct table_pass *tp)
{
    int rc = 0;

    if (!tp->x->orphans || !tp->plan->guarded ||
        !references_missing(&tp->x->orphans->declared, tp->plan, tp->rows->values, &rc))
        return rc;
    tp->t->skipped += tp->plan->skips;
    tp->t->set_aside += !tp->plan->skips;
    return 1;
}

static int take_item(struct table_pass *tp)
{
    struct pass *x = tp->x;
    struct item_fault fault = {0};
    size_t size = 0;
    uint32_t units = 0;
    int rc = encode(tp, &size, &units, &fault);

    if (rc == 0 && tp->meet) {
        rc = meets(x, tp->t->plan, tp->rows->values, &fault);
        rc = rc == 1 ? -EINVAL : rc;
    }
    tp->t->rows++;
    if (rc >= 0 || rc == -EINVAL) {
        int found =
            x->orphans ? orphans_row(x->orphans, tp->t->plan, tp->rows->values, NULL, NULL) : 0;
        if (found == -EIO)
            return err_set(x->err, -EIO, "references of table \"%s\" cannot be looked up: %s",
                           tp->plan->table, sqlite3_errmsg(x->source->db));
        rc = found < 0 ? found : rc;
    }
    if (rc >= 0 || rc == -EINVAL) {
        int left = is_left_out(tp);
        if (left != 0)
            return left < 0 ? left : 0;
    }
    if (rc == -EINVAL)
        return add_fault(tp->t, tp->plan, tp->rows->values, &fault);
    if (rc < 0)
        return rc;
    tp->t->bytes += (int64_t)size;
    tp->t->write_units += units;
    if ((int64_t)size > tp->t->largest)
        tp->t->largest = (int64_t)size;
    return 0;
}

/* A row with a value too long to be read: its key is told, and it is stepped over. */
static int step_over(struct table_pass *tp)
{
    static const struct item_fault fault = {
        .code = "item_too_large", .text = "a value of the row is longer than an item can be"};
    _cleanup_buf_ struct buf entry = {0}, next = {0};
    _cleanup_free_ struct value *key = calloc(tp->plan->column_count, sizeof *key);

    if (!key)
        return -ENOMEM;
    int rc = rows_skip(tp->rows, &tp->cursor, &entry, &next);
    if (rc != SQLITE_ROW)
        return rc == SQLITE_DONE ? 0 : -EIO;
    if (!buf_ok(&entry) || !buf_ok(&next) ||
        values_decode(entry.data, entry.len, key, tp->plan->entry_count) < 0)
        return -ENOMEM;
    tp->t->rows++;
    buf_clear(&tp->cursor);
    buf_append(&tp->cursor, next.data, next.len);
    return buf_ok(&tp->cursor) ? add_fault(tp->t, tp->plan, key, &fault) : -ENOMEM;
}

/* Rows for as long as a slice lasts. 0, or a negative errno without a sentence; *sqlite_rc when
 * that is what went wrong. */
static int read_slice(struct table_pass *tp, bool *end, int *sqlite_rc)
{
    _cleanup_buf_ struct buf from = {0};
    usec began = clock_monotonic();
    sqlite3_stmt *page;
    int n = 0, failed = 0;

    buf_append(&from, tp->cursor.data, tp->cursor.len);
    int rc = rows_page(tp->rows, &from, PAGE_ROWS, &page);
    while (rc == SQLITE_OK && (rc = rows_next(tp->rows, page)) == SQLITE_ROW) {
        rc = SQLITE_OK;
        n++;
        if ((failed = take_item(tp)) < 0)
            break;
        rows_cursor(tp->rows, page, &tp->cursor);
        if (!buf_ok(&tp->cursor))
            failed = -ENOMEM;
        if (failed || (n % 16 == 0 && clock_monotonic() - began > SLICE))
            break;
    }
    rows_end(page);
    *end = rc == SQLITE_DONE && n < PAGE_ROWS;
    if (rc == SQLITE_TOOBIG)
        failed = step_over(tp);
    *sqlite_rc = rc == SQLITE_TOOBIG || rc == SQLITE_DONE ? SQLITE_OK : rc;
    return failed;
}

static int table_failed(const struct table_pass *tp, int failed, int sqlite_rc)
{
    struct pass *x = tp->x;
    char doing[200];

    if (failed == -ENOMEM)
        return err_set(x->err, -ENOMEM, "out of memory");
    if (failed < 0)
        return failed; /* with its sentence */
    snprintf(doing, sizeof doing, "reading table \"%.100s\"", tp->plan->table);
    source_problem_of(x->source, sqlite_rc, doing, x->err);
    return -EIO;
}

static int read_table(struct table_pass *tp)
{
    struct pass *x = tp->x;
    int rc = rows_open(x->source, tp->plan, &tp->rows);
    bool end = false;

    if (rc != SQLITE_OK)
        return table_failed(tp, 0, rc);
    while (!end) {
        int failed = 0;
        rc = source_begin(x->source);
        if (rc == SQLITE_OK)
            failed = read_slice(tp, &end, &rc);
        if (failed < 0 || rc != SQLITE_OK)
            failed = table_failed(tp, failed, rc);
        source_end(x->source, SQLITE_OK);
        if (failed < 0)
            return failed;
        if (x->progress && !x->progress(x->arg, x->out->rows + tp->t->rows))
            return err_set(x->err, -EINTR, "interrupted");
    }
    return 0;
}

static int survey_one(struct pass *x, size_t plan, struct survey_table *t)
{
    struct table_pass tp = {
        .x = x, .t = t, .plan = x->plans->plans[plan], .meet = may_meet(x->plans, plan)};

    t->plan = plan;
    if (tp.meet && open_seen(x) != SQLITE_OK)
        return seen_failed(x);
    int rc = read_table(&tp);
    rows_close(tp.rows);
    buf_free(&tp.cursor);
    x->out->rows += t->rows;
    x->out->failing += t->failing;
    x->out->skipped += t->skipped;
    x->out->set_aside += t->set_aside;
    x->out->bytes += t->bytes;
    x->out->write_units += t->write_units;
    return rc;
}

int survey_run(struct source *source, const struct plan_list *plans, struct orphans *orphans,
               survey_progress_fn *progress, void *arg, struct survey *out, struct err *err)
{
    struct pass x = {.source = source,
                     .plans = plans,
                     .orphans = orphans,
                     .out = out,
                     .progress = progress,
                     .arg = arg,
                     .err = err};
    int rc = 0;

    *out = (struct survey){0};
    out->tables = calloc(plans->count ? plans->count : 1, sizeof *out->tables);
    if (!out->tables)
        return err_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; rc == 0 && i < plans->count; i++)
        if (plans->plans[i])
            rc = survey_one(&x, i, &out->tables[out->count++]);
    sqlite3_finalize(x.note);
    sqlite3_finalize(x.look);
    sqlite3_close(x.seen);
    buf_free(&x.json);
    buf_free(&x.key);
    buf_free(&x.text);
    return rc;
}

/* --- the database ----------------------------------------------------------------------------- */

enum source_problem survey_open(const char *path, struct source **out, struct err *err)
{
    _cleanup_free_ char *wal = NULL;
    struct stat st;

    if (asprintf(&wal, "%s-wal", path) < 0) {
        wal = NULL;
        err_set(err, -ENOMEM, "out of memory");
        return SOURCE_FAILED;
    }
    bool had_wal = stat(wal, &st) == 0 && st.st_size > 0;
    enum source_problem p = source_open_patiently(path, PATIENCE, out, err);
    if (p != SOURCE_OK)
        return p;
    if (had_wal)
        sqlite3_db_config((*out)->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    return SOURCE_OK;
}
