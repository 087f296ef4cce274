/* The other store: what it holds, and whether that is what the tables hold. */
#include <stdlib.h>
#include <strings.h>

#include "oracle_parts.h"

/* --- the store ----------------------------------------------------------------------------------
 */

static void show_bytes(struct buf *out, char kind, const void *bytes, size_t n)
{
    const unsigned char *b = bytes;

    buf_putc(out, kind);
    for (size_t i = 0; i < n; i++)
        if (b[i] > 0x20 && b[i] < 0x7f && b[i] != '%' && b[i] != ',')
            buf_putc(out, (char)b[i]);
        else
            buf_printf(out, "%%%02x", b[i]);
}

void oracle_show(struct buf *out, const struct value *v)
{
    if (out->len && out->data[out->len - 1] != '|')
        buf_putc(out, ',');
    switch (v->kind) {
    case VALUE_NULL:
        buf_puts(out, "NULL");
        return;
    case VALUE_INTEGER:
        buf_printf(out, "%lld", (long long)v->integer);
        return;
    case VALUE_REAL:
        buf_printf(out, "%.17e", v->real);
        return;
    case VALUE_TEXT:
    case VALUE_BLOB:
        show_bytes(out, v->kind == VALUE_TEXT ? 't' : 'x', v->bytes, v->len);
    }
}

static void show_column(struct buf *out, sqlite3_stmt *stmt, int i)
{
    struct value v = {.kind = VALUE_NULL};

    switch (sqlite3_column_type(stmt, i)) {
    case SQLITE_INTEGER:
        v.kind = VALUE_INTEGER;
        v.integer = sqlite3_column_int64(stmt, i);
        break;
    case SQLITE_FLOAT:
        v.kind = VALUE_REAL;
        v.real = sqlite3_column_double(stmt, i);
        break;
    case SQLITE_TEXT:
    case SQLITE_BLOB:
        v.kind = sqlite3_column_type(stmt, i) == SQLITE_TEXT ? VALUE_TEXT : VALUE_BLOB;
        v.bytes = sqlite3_column_blob(stmt, i);
        v.len = (size_t)sqlite3_column_bytes(stmt, i);
        break;
    default:
        break;
    }
    oracle_show(out, &v);
}

struct oracle_item *oracle_find(const struct oracle *o, const char *key)
{
    for (size_t i = 0; i < o->item_count; i++)
        if (strcmp(o->items[i].key, key) == 0)
            return &o->items[i];
    return NULL;
}

void oracle_drop(struct oracle *o, struct oracle_item *at)
{
    if (!at)
        return;
    free(at->key);
    free(at->row);
    *at = o->items[--o->item_count];
}

void oracle_put(struct oracle *o, const char *key, const char *row)
{
    struct oracle_item *at = oracle_find(o, key);

    if (!at) {
        o->items = must(realloc(o->items, (o->item_count + 1) * sizeof *o->items));
        at = &o->items[o->item_count++];
        *at = (struct oracle_item){.key = must(strdup(key))};
    }
    free(at->row);
    at->row = must(strdup(row));
}

void oracle_forget(struct oracle *o, const char *table)
{
    size_t n = strlen(table);

    for (size_t i = o->item_count; i-- > 0;)
        if (strncmp(o->items[i].key, table, n) == 0 && o->items[i].key[n] == '|')
            oracle_drop(o, &o->items[i]);
}

/* --- every row, by SELECT * ------------------------------------------------------------------- */

/* Where the plan's columns stand in the result; false when there are others. */
static bool place_columns(struct oracle *o, const struct table_plan *p, sqlite3_stmt *stmt, int *at)
{
    if ((size_t)sqlite3_column_count(stmt) != p->column_count)
        return false;
    for (size_t i = 0; i < p->column_count; i++) {
        at[i] = -1;
        for (int j = 0; j < sqlite3_column_count(stmt); j++)
            if (strcasecmp(sqlite3_column_name(stmt, j), p->columns[i].name) == 0)
                at[i] = j;
        if (at[i] < 0)
            return false;
    }
    (void)o;
    return true;
}

/* Rows with a NULL in their row key are no items. */
size_t oracle_every_row(struct oracle *o, sqlite3 *db, const struct oracle_table *t,
                        row_taker *take)
{
    const struct table_plan *p = t->plan;
    int *at = must(calloc(p->column_count, sizeof *at));
    char *sql = must(sqlite3_mprintf("SELECT * FROM \"%w\"", t->name));
    sqlite3_stmt *stmt = NULL;
    size_t count = 0;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

    if (rc == SQLITE_OK && !place_columns(o, p, stmt, at))
        oracle_fail(o, "the plan of %s does not read its columns", t->name);
    while (rc == SQLITE_OK && !oracle_failed(o) && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        _cleanup_buf_ struct buf key = {0}, row = {0};
        bool keyed = true;
        buf_printf(&key, "%s|", t->name);
        for (size_t i = 0; i < p->column_count; i++) {
            keyed &= i >= p->row_key_count || sqlite3_column_type(stmt, at[i]) != SQLITE_NULL;
            show_column(&row, stmt, at[i]);
            if (i < p->entry_count)
                show_column(&key, stmt, at[i]);
        }
        if (keyed) {
            count++;
            take(o, key.data, row.data);
        }
        rc = SQLITE_OK;
    }
    if (rc != SQLITE_OK && rc != SQLITE_DONE)
        oracle_fail(o, "%s: %s", sql, sqlite3_errmsg(db));
    sqlite3_finalize(stmt);
    sqlite3_free(sql);
    free(at);
    return count;
}

static void compare_row(struct oracle *o, const char *key, const char *row)
{
    const struct oracle_item *item = oracle_find(o, key);

    if (!item)
        oracle_fail(o, "missing on the other side: %s (%s)", key, row);
    else if (strcmp(item->row, row) != 0)
        oracle_fail(o, "stale on the other side: %s is (%s), there it is (%s)", key, row,
                    item->row);
}

static void forget_rows(struct oracle *o, sqlite3 *db);

/* Of a table with an index by which, as its plan says, rows may be replaced unseen. */
static bool may_go_unseen(const struct oracle *o, const struct oracle_item *item)
{
    for (size_t i = 0; i < o->table_count; i++) {
        const struct oracle_table *t = &o->tables[i];
        size_t n = strlen(t->name);
        if (strncmp(item->key, t->name, n) == 0 && item->key[n] == '|')
            return t->plan && t->plan->capture.limits;
    }
    return false;
}

void oracle_compare(struct oracle *o, sqlite3 *db)
{
    size_t rows = 0;

    for (size_t i = 0; i < o->table_count; i++)
        if (o->tables[i].present)
            rows += oracle_every_row(o, db, &o->tables[i], compare_row);
    if (oracle_failed(o) || rows == o->item_count)
        return;
    forget_rows(o, db);
    if (!o->item_count)
        oracle_fail(o, "two rows share a key");
    for (size_t i = 0; i < o->item_count && !oracle_failed(o); i++)
        if (may_go_unseen(o, &o->items[i]))
            o->unseen++;
        else
            oracle_fail(o, "gone, but not on the other side: %s (%s)", o->items[i].key,
                        o->items[i].row);
}

/* Taking each row's item away leaves what has no row. */
static void take_away(struct oracle *o, const char *key, const char *row)
{
    (void)row;
    oracle_drop(o, oracle_find(o, key));
}

static void forget_rows(struct oracle *o, sqlite3 *db)
{
    for (size_t i = 0; i < o->table_count; i++)
        if (o->tables[i].present)
            oracle_every_row(o, db, &o->tables[i], take_away);
}
