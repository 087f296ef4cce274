/* An item becomes a row, and is proven to be it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "dynamodb/same.h"
#include "jobs/rebuild_internal.h"
#include "mapping/item.h"
#include "mapping/ours.h"
#include "mapping/row.h"
#include "source/rows.h"

enum { PROBLEMS_KEPT = 1000 }; /* of each table */

/* --- statements ------------------------------------------------------------------------------- */

static const struct column_info *column_of(const struct table_rebuild *t, const char *name)
{
    long i = table_column(t->info, name);

    return i < 0 ? NULL : &t->info->columns[i];
}

/* A column that may not be NULL and cannot come back has its default instead. */
static void append_parameter(sqlite3_str *sql, const struct table_rebuild *t, size_t i, int n)
{
    const struct column_info *c = column_of(t, t->plan->columns[i].name);

    if (c && c->not_null && c->value && plan_column_loss(t->plan, c->name))
        sqlite3_str_appendf(sql, "coalesce(?%d, (%s))", n, c->value);
    else
        sqlite3_str_appendf(sql, "?%d", n);
}

static char *insert_sql(struct table_rebuild *t)
{
    const struct table_plan *p = t->plan;
    sqlite3_str *sql = sqlite3_str_new(NULL);
    int n = 0;

    /* OR ABORT: whatever the table's own constraints say, one row alone fails. */
    sqlite3_str_appendf(sql, "INSERT OR ABORT INTO main.\"%w\"(", p->table);
    for (size_t i = 0; i < p->column_count; i++) {
        const struct column_info *c = column_of(t, p->columns[i].name);
        t->given[i] = c && !c->generated;
        if (t->given[i])
            sqlite3_str_appendf(sql, "%s\"%w\"", n++ ? "," : "", p->columns[i].name);
    }
    sqlite3_str_appendall(sql, ") VALUES(");
    n = 0;
    for (size_t i = 0; i < p->column_count; i++)
        if (t->given[i]) {
            sqlite3_str_appendall(sql, n++ ? "," : "");
            append_parameter(sql, t, i, n);
        }
    sqlite3_str_appendall(sql, ")");
    return sqlite3_str_finish(sql);
}

/* By the rowid, or by the key where there is none. (RETURNING would be simpler, but gives other
 * values than those that are kept: SQLite 3.40 says 9.2e18 of 9223372036854775807 beside a REAL.)
 */
static char *read_back_sql(const struct table_rebuild *t)
{
    const struct table_plan *p = t->plan;
    sqlite3_str *sql = sqlite3_str_new(NULL);

    for (size_t i = 0; i < p->column_count; i++)
        sqlite3_str_appendf(sql, "%s\"%w\"", i ? "," : "SELECT ", p->columns[i].name);
    sqlite3_str_appendf(sql, " FROM main.\"%w\" WHERE ", p->table);
    if (t->info->rowid_name) {
        sqlite3_str_appendf(sql, "%s = ?1", t->info->rowid_name);
        return sqlite3_str_finish(sql);
    }
    for (size_t i = 0; i < p->row_key_count; i++) {
        const struct column_info *c = column_of(t, p->columns[i].name);
        sqlite3_str_appendf(sql, "%s\"%w\" IS ?%d COLLATE \"%w\"", i ? " AND " : "",
                            p->columns[i].name, (int)i + 1, c ? c->collation : "BINARY");
    }
    return sqlite3_str_finish(sql);
}

int rebuild_prepare(struct rebuild *r, struct table_rebuild *t)
{
    char *sqls[] = {insert_sql(t), read_back_sql(t)};
    sqlite3_stmt **to[] = {&t->insert, &t->read_back};
    int rc = SQLITE_OK;

    for (size_t i = 0; i < 2; i++) {
        if (rc == SQLITE_OK)
            rc = sqls[i] ? sqlite3_prepare_v3(r->db, sqls[i], -1, SQLITE_PREPARE_PERSISTENT, to[i],
                                              NULL)
                         : SQLITE_NOMEM;
        sqlite3_free(sqls[i]);
    }
    if (rc != SQLITE_OK)
        err_set(&t->unusable, 0, "no row can be put into the table: %s", sqlite3_errmsg(r->db));
    return rc == SQLITE_NOMEM ? -ENOMEM : 0;
}

void rebuild_statements_end(struct rebuild *r)
{
    for (size_t i = 0; i < r->table_count; i++) {
        sqlite3_finalize(r->tables[i].insert);
        sqlite3_finalize(r->tables[i].read_back);
        r->tables[i].insert = r->tables[i].read_back = NULL;
    }
    sqlite3_finalize(r->progress);
    sqlite3_finalize(r->problem);
    r->progress = r->problem = NULL;
}

/* --- problems --------------------------------------------------------------------------------- */

static int keep_problem(struct rebuild *r, struct table_rebuild *t, const char *reason,
                        bool altered, struct err *err)
{
    buf_clear(&r->text);
    item_describe_key(t->plan, t->values, &r->text);
    if (!buf_ok(&r->text))
        return err_set(err, -ENOMEM, "out of memory");
    return rebuild_keep_problem(r, t, r->text.data, reason, altered, err);
}

int rebuild_keep_problem(struct rebuild *r, struct table_rebuild *t, const char *key,
                         const char *reason, bool altered, struct err *err)
{
    int64_t *count = altered ? &t->view.altered : &t->view.failed;

    if ((*count)++ >= PROBLEMS_KEPT)
        return 0;
    int rc = r->problem ? SQLITE_OK
                        : sqlite3_prepare_v2(r->db,
                                             "INSERT INTO _syncd_restore_problem(name, row_key, "
                                             "reason, altered) VALUES(?1, ?2, ?3, ?4)",
                                             -1, &r->problem, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(r->problem, 1, t->view.name, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(r->problem, 2, key, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(r->problem, 3, reason, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int(r->problem, 4, altered);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(r->problem);
    sqlite3_reset(r->problem);
    return rc == SQLITE_DONE ? 0 : rebuild_sqlite_failed(r, rc, "keeping its progress", err);
}

int rebuild_problems(struct rebuild *r, int limit, rebuild_problem_fn *fn, void *arg,
                     struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(r->db,
                                "SELECT name, row_key, reason, altered FROM "
                                "_syncd_restore_problem AS p WHERE (SELECT count(*) FROM "
                                "_syncd_restore_problem AS q WHERE q.name = p.name AND q.id < "
                                "p.id) < ?1 ORDER BY name, id",
                                -1, &stmt, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int(stmt, 1, limit);
    while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        rc = SQLITE_OK;
        fn(arg, (const char *)sqlite3_column_text(stmt, 0),
           (const char *)sqlite3_column_text(stmt, 1), (const char *)sqlite3_column_text(stmt, 2),
           sqlite3_column_int(stmt, 3) != 0);
    }
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? 0 : rebuild_sqlite_failed(r, rc, "reading its progress", err);
}

/* --- is it the item that it came from? -------------------------------------------------------- */

/* Of an attribute that differs: is it only that the column could not come back? */
static bool excused(const struct table_rebuild *t, const char *attribute)
{
    const struct table_plan *p = t->plan;

    for (size_t i = 0; i < p->column_count; i++)
        if (p->columns[i].attribute && strcmp(p->columns[i].attribute, attribute) == 0)
            return t->values[i].kind == VALUE_NULL && plan_column_loss(p, p->columns[i].name);
    return false;
}

/* `why` is "" when `row` maps to the item. 0 or -ENOMEM. */
static int compare(struct rebuild *r, const struct table_rebuild *t, const struct value *row,
                   const json_t *item, struct err *why)
{
    struct item_fault fault = {0};
    size_t size;

    why->text[0] = '\0';
    buf_clear(&r->json);
    int rc = item_encode_whole(t->plan, row, &r->json, &size, &fault);
    if (rc == -EINVAL)
        err_set(why, 0, "the row cannot be mapped to an item: %s", fault.text);
    if (rc < 0)
        return rc == -EINVAL ? 0 : -ENOMEM;
    json_auto_t *again = json_loadb(r->json.data, r->json.len, JSON_ALLOW_NUL, NULL);
    if (!again)
        return -ENOMEM;
    size_t count = item_differences(item, again, NULL, 0);
    if (!count)
        return 0;
    _cleanup_free_ const char **names = calloc(count, sizeof *names);
    if (!names)
        return -ENOMEM;
    item_differences(item, again, names, count);
    for (size_t i = 0; i < count && !why->text[0]; i++)
        if (!excused(t, names[i]))
            err_set(why, 0, "the row does not give back attribute \"%.100s\" of its item",
                    names[i]);
    return 0;
}

/* --- items ------------------------------------------------------------------------------------ */

/* Can the item be one that the plan made? 1 (then t->values is the row), 0, or -ENOMEM. */
static int decode(struct rebuild *r, struct table_rebuild *t, const json_t *item)
{
    struct item_fault fault = {0};

    buf_clear(&r->key);
    buf_clear(&r->key_back);
    int rc = item_key_of_json(&t->plan->schema, item, &r->key);
    if (rc == 0 && !plan_key_fits(t->plan, r->key.data, r->key.len))
        return 0;
    if (rc == 0)
        rc = row_from_item(t->plan, item, t->values, &r->store, &fault);
    if (rc == 0)
        rc = item_key(t->plan, t->values, &r->key_back, NULL, &fault);
    if (rc < 0)
        return rc == -ENOMEM ? rc : 0;
    return r->key.len == r->key_back.len && memcmp(r->key.data, r->key_back.data, r->key.len) == 0;
}

/* The table whose row it is, with its values; NULL: none. Where several tables share the target,
 * the one that gives back the item whole. */
static int find_table(struct rebuild *r, const char *target, const json_t *item,
                      struct table_rebuild **out)
{
    struct table_rebuild *first = NULL, *last = NULL;
    struct err why;

    *out = NULL;
    for (size_t i = 0; i < r->table_count; i++) {
        struct table_rebuild *t = &r->tables[i];
        if (!t->plan || strcmp(t->plan->target, target) != 0)
            continue;
        int rc = decode(r, t, item);
        why.text[0] = '\0';
        if (rc > 0 && !t->alone && compare(r, t, t->values, item, &why) < 0)
            rc = -ENOMEM;
        if (rc < 0)
            return rc;
        if (rc == 0)
            continue;
        last = t;
        if (!why.text[0]) {
            *out = t;
            return 0;
        }
        first = first ? first : t;
    }
    if (first && first != last && decode(r, first, item) < 0) /* `store` is another's by now */
        return -ENOMEM;
    *out = first;
    return 0;
}

/* The row just put in, as it is: into t->back, until the statement is reset. */
static int read_back(struct rebuild *r, struct table_rebuild *t)
{
    int rc = SQLITE_OK;

    if (t->info->rowid_name)
        rc = sqlite3_bind_int64(t->read_back, 1, sqlite3_last_insert_rowid(r->db));
    for (size_t i = 0; rc == SQLITE_OK && !t->info->rowid_name && i < t->plan->row_key_count; i++)
        rc = rows_bind(t->read_back, (int)i + 1, &t->values[i]);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(t->read_back);
    if (rc == SQLITE_ROW)
        rows_values(t->read_back, 0, t->plan->column_count, t->back);
    return rc == SQLITE_ROW && rows_unread(t->read_back) ? SQLITE_NOMEM : rc;
}

static int prove(struct rebuild *r, struct table_rebuild *t, const json_t *item, struct err *err)
{
    struct err why = {0};
    int rc = read_back(r, t), compared = 0;

    if (rc == SQLITE_ROW)
        compared = compare(r, t, t->back, item, &why);
    else if (rc == SQLITE_DONE)
        err_set(&why, 0, "the row is not found by its key");
    else
        return rebuild_sqlite_failed(r, rc, "reading rows back", err);
    sqlite3_reset(t->read_back);
    if (compared < 0)
        return err_set(err, compared, "out of memory");
    t->view.rows++;
    return why.text[0] ? keep_problem(r, t, why.text, true, err) : 0;
}

static int insert(struct rebuild *r, struct table_rebuild *t, const json_t *item, bool *in,
                  struct err *err)
{
    struct err why = {0};
    int n = 0, rc = SQLITE_OK;

    for (size_t i = 0; rc == SQLITE_OK && i < t->plan->column_count; i++)
        if (t->given[i])
            rc = rows_bind(t->insert, ++n, &t->values[i]);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(t->insert);
    *in = rc == SQLITE_DONE;
    if (*in) {
        sqlite3_reset(t->insert);
        return prove(r, t, item, err);
    }
    int primary = rc & 0xff;
    if (primary != SQLITE_CONSTRAINT && primary != SQLITE_ERROR && primary != SQLITE_MISMATCH &&
        primary != SQLITE_TOOBIG) {
        rc = rebuild_sqlite_failed(r, rc, "writing rows", err);
        sqlite3_reset(t->insert);
        return rc;
    }
    err_set(&why, 0, "%s", sqlite3_errmsg(r->db));
    sqlite3_reset(t->insert);
    return keep_problem(r, t, why.text, false, err);
}

int rebuild_item(struct rebuild *r, const char *target, const json_t *item,
                 enum rebuild_outcome *outcome, struct err *err)
{
    struct table_rebuild *t = NULL;
    bool in = false;
    int rc = rebuild_begin(r, err);

    if (rc < 0)
        return rc;
    if (find_table(r, target, item, &t) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    *outcome = !t ? REBUILD_FOREIGN : REBUILD_UNWANTED;
    if (!t || !t->view.wanted)
        return 0;
    if (t->read_back)
        rc = insert(r, t, item, &in, err);
    else
        rc = keep_problem(r, t, t->unusable.text, false, err);
    *outcome = in ? REBUILD_ROW : REBUILD_FAILED;
    return rc;
}

/* --- what cannot come back -------------------------------------------------------------------- */

static const char *loss_of(const struct table_rebuild *t, size_t column)
{
    const struct column_info *c = &t->info->columns[column];

    return c->generated ? NULL : plan_column_loss(t->plan, c->name);
}

/* No value, no default, and NULL is not allowed. */
static bool is_barred(const struct table_rebuild *t, size_t column)
{
    const struct column_info *c = &t->info->columns[column];
    const struct table_plan *p = t->plan;

    for (size_t i = 0; i < p->column_count; i++)
        if (strcasecmp(p->columns[i].name, c->name) == 0)
            return false;
    return c->not_null && !c->value;
}

/* Both lose something, and the same is to be said of it. */
static bool same_loss(const struct table_rebuild *t, size_t a, size_t b)
{
    const char *x = loss_of(t, a), *y = loss_of(t, b);

    return x && y && strcmp(x, y) == 0 && is_barred(t, a) == is_barred(t, b);
}

/* Columns that share a reason, in one sentence. */
static void tell_losses(const struct table_rebuild *t, rebuild_loss_fn *fn, void *arg)
{
    for (size_t i = 0; i < t->info->column_count; i++) {
        _cleanup_buf_ struct buf names = {0};
        const char *loss = loss_of(t, i);
        size_t count = 0;
        struct err text;
        bool told = !loss;
        for (size_t k = 0; k < i && !told; k++)
            told = same_loss(t, k, i);
        for (size_t k = i; k < t->info->column_count && !told; k++)
            if (same_loss(t, k, i))
                buf_printf(&names, "%s\"%s\"", count++ ? ", " : "", t->info->columns[k].name);
        if (told || !buf_ok(&names))
            continue;
        err_set(&text, 0, "table \"%s\", column%s %.300s: %s%s", t->view.name, count > 1 ? "s" : "",
                names.data, loss,
                is_barred(t, i) ? ", and it may not be NULL, so that no row can be put in" : "");
        fn(arg, text.text);
    }
}

void rebuild_losses(const struct rebuild *r, rebuild_loss_fn *fn, void *arg)
{
    for (size_t i = 0; i < r->table_count; i++) {
        const struct table_rebuild *t = &r->tables[i];
        struct err text = {0};
        if (!t->plan)
            err_set(&text, 0, "table \"%s\" comes back empty: %s", t->view.name, t->reason);
        else if (!t->view.wanted)
            err_set(&text, 0, "table \"%s\" comes back empty: it was not asked for", t->view.name);
        else if (t->unusable.text[0])
            err_set(&text, 0, "table \"%s\": %s", t->view.name, t->unusable.text);
        if (text.text[0])
            fn(arg, text.text);
        if (t->view.wanted)
            tell_losses(t, fn, arg);
    }
}
