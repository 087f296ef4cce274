/* A drill's restored database against the live one, row by row: value for value, of the same kind.
 *
 * The live database is read in short pages, so that nobody waits for us. It may move on meanwhile:
 * a row that differs is asked for in DynamoDB once more, and read here once more; where those two
 * agree it has only moved on since the drill read it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "dynamodb/same.h"
#include "jobs/restore_internal.h"
#include "mapping/item.h"
#include "mapping/oversize.h"
#include "mapping/row.h"
#include "source/catalog.h"
#include "source/references.h"
#include "source/rows.h"

enum { PAGE = 500, NAMED = 20 };
enum agreement { DISAGREE, AGREE, UNMAPPED };
#define READ_PATIENCE (50 * USEC_PER_MSEC)

struct comparison {
    struct connection *x;
    const struct table_plan *plan;
    struct rows *live, *restored;
    struct references references;        /* of the live tables */
    struct value *key;                   /* of the row at hand, decoded */
    struct buf json, text, cursor, next; /* `next`: the cursor behind the row at hand */
    json_t *named;
    int64_t rows, missing, extra, different, moved, unmapped;
    struct err *err;
};

/* --- values ----------------------------------------------------------------------------------- */

static bool same_value(const struct value *a, const struct value *b)
{
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case VALUE_NULL:
        return true;
    case VALUE_INTEGER:
        return a->integer == b->integer;
    case VALUE_REAL:               /* -0.0 is 0 in DynamoDB, and here */
        return a->real == b->real; /* SQLite has no NaN */
    case VALUE_TEXT:
    case VALUE_BLOB:
        break;
    }
    return a->len == b->len && (a->len == 0 || memcmp(a->bytes, b->bytes, a->len) == 0);
}

/* Name of the first column that differs, or NULL. Columns that may come back otherwise, where
 * `lossy`, else the others. */
static const char *first_difference(const struct table_plan *p, const struct value *live,
                                    const struct value *restored, bool lossy)
{
    for (size_t i = 0; i < p->column_count; i++)
        if (!same_value(&live[i], &restored[i]) &&
            (plan_column_loss(p, p->columns[i].name) != NULL) == lossy)
            return p->columns[i].name;
    return NULL;
}

/* --- did it only move on? --------------------------------------------------------------------- */

/* The row's item as JSON; an empty buffer where no item can be made of it. */
static int encode(struct comparison *c, const struct value *row)
{
    struct item_fault fault;
    size_t size;

    buf_clear(&c->json);
    int rc = item_encode_whole(c->plan, row, &c->json, &size, &fault);
    if (rc == -EINVAL)
        buf_clear(&c->json);
    return rc == -ENOMEM ? rc : 0;
}

/* *item NULL: there is none. -ENOENT: no key can be made of the row. */
static int get_item(struct comparison *c, json_t **item)
{
    _cleanup_buf_ struct buf key = {0}, json = {0};
    struct item_fault fault;
    int rc = item_key(c->plan, c->key, &key, &json, &fault);

    if (rc < 0)
        return rc == -ENOMEM ? err_set(c->err, rc, "out of memory") : -ENOENT;
    rc = restore_fetch(c->x, c->plan->target, &c->plan->schema, json.data, item, c->err);
    return rc < 0 ? rc : 0;
}

/* Of the item and the live row by now: an enum agreement; negative: an error. */
static int agree_now(struct comparison *c)
{
    json_auto_t *item = NULL;
    int rc = get_item(c, &item);

    if (rc == -ENOENT)
        return UNMAPPED;
    if (rc < 0)
        return rc;
    int found = rows_lookup(c->live, c->key);
    bool left_out = false;
    if (found == SQLITE_ROW)
        rc = encode(c, c->live->values);
    if (found == SQLITE_ROW && rc == 0 && c->plan->guarded)
        left_out = references_missing(&c->references, c->plan, c->live->values, &rc) != NULL;
    rows_end(c->live->lookup);
    if (rc < 0)
        return err_set(c->err, rc, "rows that table \"%s\" refers to cannot be looked up",
                       c->plan->table);
    if (found == SQLITE_DONE)
        return item ? DISAGREE : AGREE;
    if (found != SQLITE_ROW || !c->json.len)
        return item ? DISAGREE : UNMAPPED;
    if (left_out) /* it has what it had when it was sent last */
        return UNMAPPED;
    if (!item)
        return DISAGREE;
    json_auto_t *mapped = json_loadb(c->json.data, c->json.len, JSON_ALLOW_NUL, NULL);
    return mapped && item_same(item, mapped) ? AGREE : DISAGREE;
}

static void name_it(struct comparison *c, const char *kind, const char *column)
{
    if (json_array_size(c->named) >= NAMED)
        return;
    buf_clear(&c->text);
    item_describe_key(c->plan, c->key, &c->text);
    if (!buf_ok(&c->text))
        return;
    _cleanup_buf_ struct buf key = {0};
    json_append_string_lossy(&key, c->text.data, c->text.len);
    json_t *o = json_object();
    json_object_set_new(o, "table", json_string(c->plan->table));
    json_object_set_new(o, "key",
                        buf_ok(&key) ? json_loads(key.data, JSON_DECODE_ANY, NULL) : json_null());
    json_object_set_new(o, "kind", json_string(kind));
    json_object_set_new(o, "column", column ? json_string(column) : json_null());
    json_array_append_new(c->named, o);
}

static int judge(struct comparison *c, int64_t *count, const char *kind, const char *column)
{
    int agree = agree_now(c);

    if (agree < 0)
        return agree;
    if (agree == AGREE) {
        c->moved++;
        return 0;
    }
    if (agree == UNMAPPED) {
        c->unmapped++;
        name_it(c, "dead_letter", NULL);
        return 0;
    }
    (*count)++;
    name_it(c, kind, column);
    return 0;
}

/* --- rows ------------------------------------------------------------------------------------- */

/* Do the two rows, which differ in columns that may come back otherwise, stand for one item? */
static int same_item(struct comparison *c, const struct value *live, const struct value *restored)
{
    int rc = encode(c, restored);

    buf_clear(&c->text);
    buf_append(&c->text, c->json.data, c->json.len);
    if (rc == 0)
        rc = encode(c, live);
    if (rc < 0 || !buf_ok(&c->text))
        return err_set(c->err, -ENOMEM, "out of memory");
    if (!c->json.len || !c->text.len)
        return 0;
    json_auto_t *a = json_loadb(c->json.data, c->json.len, JSON_ALLOW_NUL, NULL);
    json_auto_t *b = json_loadb(c->text.data, c->text.len, JSON_ALLOW_NUL, NULL);
    return a && b && item_same(a, b);
}

/* *column: the first that differs, or NULL. */
static int differs(struct comparison *c, const char **column)
{
    const struct value *live = c->live->values, *restored = c->restored->values;

    *column = first_difference(c->plan, live, restored, false);
    if (*column)
        return 0;
    *column = first_difference(c->plan, live, restored, true);
    int same = *column ? same_item(c, live, restored) : 0;
    if (same > 0)
        *column = NULL;
    return same < 0 ? same : 0;
}

/* A row of one side that the other lacks, or has otherwise; kept until the page is read. */
struct doubt {
    struct buf key;
    const char *column; /* NULL: it is not there */
};

struct doubts {
    struct doubt *items;
    size_t count;
};

static void clear(struct doubts *d)
{
    for (size_t i = 0; i < d->count; i++)
        buf_free(&d->items[i].key);
    free(d->items);
    *d = (struct doubts){0};
}

static int add(struct comparison *c, struct doubts *d, const struct value *row, const char *column)
{
    struct doubt *more = reallocarray(d->items, d->count + 1, sizeof *more);

    if (!more)
        return err_set(c->err, -ENOMEM, "out of memory");
    d->items = more;
    struct doubt *to = &more[d->count++];
    *to = (struct doubt){.column = column};
    for (size_t i = 0; i < c->plan->entry_count; i++)
        value_encode(&to->key, &row[i]);
    return buf_ok(&to->key) ? 0 : err_set(c->err, -ENOMEM, "out of memory");
}

static int failed(struct comparison *c, const struct rows *of)
{
    return err_set(c->err, -EIO, "table \"%s\" of %s cannot be read: %s", c->plan->table,
                   of->source->path, sqlite3_errmsg(of->source->db));
}

/* A value is longer than any item: a dead letter, stepped over. */
static int skip(struct comparison *c, struct rows *from, bool *more)
{
    _cleanup_buf_ struct buf entry = {0};
    int got = rows_skip(from, c->next.len ? &c->next : NULL, &entry, &c->cursor);

    if (got != SQLITE_ROW)
        return failed(c, from);
    c->unmapped += from == c->live;
    *more = true;
    return 0;
}

/* One page of `from`; *more when there is another. */
static int look_at_page(struct comparison *c, struct rows *from, struct rows *other, bool *more,
                        struct doubts *d)
{
    sqlite3_stmt *page = NULL;
    int n = 0, rc = 0;
    int got = rows_page(from, c->cursor.len ? &c->cursor : NULL, PAGE, &page);

    if (got != SQLITE_OK)
        return failed(c, from);
    buf_clear(&c->next);
    buf_append(&c->next, c->cursor.data, c->cursor.len);
    while (rc == 0 && (got = rows_next(from, page)) == SQLITE_ROW) {
        n++;
        rows_cursor(from, page, &c->next);
        int found = rows_lookup(other, from->values);
        const char *column = NULL;
        if (found == SQLITE_ROW && from == c->live)
            rc = differs(c, &column);
        if (rc == 0 && (found == SQLITE_DONE || column))
            rc = add(c, d, from->values, column);
        else if (rc == 0 && found != SQLITE_ROW && found != SQLITE_TOOBIG)
            rc = failed(c, other);
        rows_end(other->lookup);
    }
    rows_end(page);
    *more = n == PAGE;
    if (from == c->live)
        c->rows += n;
    if (rc == 0 && got == SQLITE_TOOBIG)
        return skip(c, from, more);
    if (rc == 0 && got != SQLITE_DONE && got != SQLITE_ROW)
        rc = failed(c, from);
    struct buf taken = c->cursor;
    c->cursor = c->next;
    c->next = taken;
    return rc;
}

static int settle(struct comparison *c, const struct doubts *d, bool of_live)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < d->count; i++) {
        const struct doubt *one = &d->items[i];
        if (values_decode(one->key.data, one->key.len, c->key, c->plan->entry_count) < 0)
            return err_set(c->err, -EIO, "a key could not be read back");
        if (!of_live)
            rc = judge(c, &c->extra, "extra", NULL);
        else if (one->column)
            rc = judge(c, &c->different, "different", one->column);
        else
            rc = judge(c, &c->missing, "missing", NULL);
    }
    return rc;
}

static int compare_way(struct comparison *c, struct rows *from, struct rows *other)
{
    bool more = true;
    int rc = 0;

    buf_clear(&c->cursor);
    while (rc == 0 && more) {
        struct doubts d = {0};
        rc = look_at_page(c, from, other, &more, &d);
        if (rc == 0)
            rc = settle(c, &d, from == c->live);
        clear(&d);
    }
    return rc;
}

static int compare_table(struct comparison *c, struct source *live, struct source *restored,
                         const struct table_plan *plan)
{
    int rc = 0;

    c->plan = plan;
    c->key = calloc(plan->column_count, sizeof *c->key);
    if (!c->key)
        return err_set(c->err, -ENOMEM, "out of memory");
    if (rows_open(live, plan, &c->live) != SQLITE_OK)
        rc = err_set(c->err, -EIO,
                     "table \"%s\" of %s is not what it was when the schema was kept: %s",
                     plan->table, live->path, sqlite3_errmsg(live->db));
    else if (rows_open(restored, plan, &c->restored) != SQLITE_OK)
        rc = err_set(c->err, -EIO, "table \"%s\" of %s cannot be read: %s", plan->table,
                     restored->path, sqlite3_errmsg(restored->db));
    if (rc == 0)
        rc = compare_way(c, c->live, c->restored);
    if (rc == 0)
        rc = compare_way(c, c->restored, c->live);
    rows_close(c->live);
    rows_close(c->restored);
    c->live = c->restored = NULL;
    free(take_ptr(c->key));
    return rc;
}

static json_t *result(const struct comparison *c)
{
    json_t *o = json_object();

    json_object_set_new(o, "equal",
                        json_boolean(!c->missing && !c->extra && !c->different && !c->unmapped));
    json_object_set_new(o, "rows", json_integer(c->rows));
    json_object_set_new(o, "missing", json_integer(c->missing));
    json_object_set_new(o, "extra", json_integer(c->extra));
    json_object_set_new(o, "different", json_integer(c->different));
    json_object_set_new(o, "dead_letters", json_integer(c->unmapped));
    json_object_set_new(o, "moved", json_integer(c->moved));
    json_object_set(o, "differences", c->named);
    return o;
}

/* What the live tables refer to, where that decides which rows have items. */
static int read_references(struct comparison *c, struct source *live, const struct rebuild *r)
{
    const size_t n = rebuild_table_count(r);
    const struct table_plan **plans = calloc(n + 1, sizeof *plans);
    struct catalog *catalog = NULL;
    bool any = false;
    int rc = 0;

    if (!plans)
        return err_set(c->err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        plans[i] = rebuild_table(r, i)->plan;
        any |= plans[i] && plans[i]->guarded;
    }
    if (any && catalog_read(live, &catalog, c->err) != SOURCE_OK)
        rc = -EIO;
    if (any && rc == 0 && references_read(live, catalog, plans, n, &c->references) != SQLITE_OK)
        rc = err_set(c->err, -EIO, "the foreign keys of %s cannot be read: %s", live->path,
                     sqlite3_errmsg(live->db));
    catalog_free(catalog);
    free(plans);
    return rc;
}

int restore_compare(struct connection *x, const struct rebuild *r, const char *restored,
                    const char *live, json_t **out, struct err *err)
{
    struct comparison c = {.x = x, .named = json_array(), .err = err};
    struct source made = {.path = (char *)restored}, *source = NULL;
    int rc = 0;

    if (source_open(live, &source, err) != SOURCE_OK)
        rc = -EIO;
    if (rc == 0 && sqlite3_open_v2(restored, &made.db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
        rc = err_set(err, -EIO, "%s cannot be opened: %s", restored, sqlite3_errmsg(made.db));
    if (rc == 0) {
        source->patience = READ_PATIENCE;
        source_allow_values(source, OVERSIZE_MAX_TEXT);
        source_allow_values(&made, OVERSIZE_MAX_TEXT);
    }
    if (rc == 0)
        rc = read_references(&c, source, r);
    for (size_t i = 0; rc == 0 && i < rebuild_table_count(r); i++)
        if (rebuild_table(r, i)->wanted)
            rc = compare_table(&c, source, &made, rebuild_table(r, i)->plan);
    if (rc == 0)
        *out = result(&c);
    references_close(&c.references);
    source_forget_questions(&made); /* else it is not closed */
    sqlite3_close(made.db);
    source_close(source);
    buf_free(&c.json);
    buf_free(&c.text);
    buf_free(&c.cursor);
    buf_free(&c.next);
    json_decref(c.named);
    return rc;
}
