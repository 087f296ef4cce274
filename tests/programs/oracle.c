#include "oracle.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static const uint8_t nonce[CAPTURE_NONCE_SIZE] = "0123456789abcdef";

bool oracle_failed(const struct oracle *o)
{
    return o->why.len > 0;
}

void oracle_fail(struct oracle *o, const char *fmt, ...)
{
    char *text;
    va_list args;

    if (oracle_failed(o))
        return;
    va_start(args, fmt);
    if (vasprintf(&text, fmt, args) < 0)
        abort();
    va_end(args);
    buf_puts(&o->why, text);
    free(text);
}

/* Did this work? Busy is no failure: it is tried again. */
static bool went(struct oracle *o, int rc, const char *doing)
{
    if (rc == SQLITE_OK || rc == SQLITE_DONE)
        return true;
    if ((rc & 0xff) != SQLITE_BUSY)
        oracle_fail(o, "%s: %d, %s", doing, rc, sqlite3_errmsg(o->source->db));
    return false;
}

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

static void show_value(struct buf *out, const struct value *v)
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
    show_value(out, &v);
}

static struct oracle_item *find_item(const struct oracle *o, const char *key)
{
    for (size_t i = 0; i < o->item_count; i++)
        if (strcmp(o->items[i].key, key) == 0)
            return &o->items[i];
    return NULL;
}

static void drop_item(struct oracle *o, struct oracle_item *at)
{
    if (!at)
        return;
    free(at->key);
    free(at->row);
    *at = o->items[--o->item_count];
}

static void put_item(struct oracle *o, const char *key, const char *row)
{
    struct oracle_item *at = find_item(o, key);

    if (!at) {
        o->items = must(realloc(o->items, (o->item_count + 1) * sizeof *o->items));
        at = &o->items[o->item_count++];
        *at = (struct oracle_item){.key = must(strdup(key))};
    }
    free(at->row);
    at->row = must(strdup(row));
}

static void forget_items(struct oracle *o, const char *table)
{
    size_t n = strlen(table);

    for (size_t i = o->item_count; i-- > 0;)
        if (strncmp(o->items[i].key, table, n) == 0 && o->items[i].key[n] == '|')
            drop_item(o, &o->items[i]);
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

typedef void row_taker(struct oracle *o, const char *key, const char *row);

/* Rows with a NULL in their row key are no items. */
static size_t every_row(struct oracle *o, sqlite3 *db, const struct oracle_table *t,
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
    const struct oracle_item *item = find_item(o, key);

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
            rows += every_row(o, db, &o->tables[i], compare_row);
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
    drop_item(o, find_item(o, key));
}

static void forget_rows(struct oracle *o, sqlite3 *db)
{
    for (size_t i = 0; i < o->table_count; i++)
        if (o->tables[i].present)
            every_row(o, db, &o->tables[i], take_away);
}

/* --- attaching -------------------------------------------------------------------------------- */

static void forget_readers(struct oracle *o)
{
    journal_close(o->journal);
    o->journal = NULL;
    for (size_t i = 0; i < o->table_count; i++) {
        rows_close(o->tables[i].rows);
        o->tables[i].rows = NULL;
    }
}

static struct oracle_table *table_of(struct oracle *o, const char *name)
{
    for (size_t i = 0; i < o->table_count; i++)
        if (strcasecmp(o->tables[i].name, name) == 0)
            return &o->tables[i];
    if (o->table_count == MAX_ORACLE_TABLES)
        abort();
    struct oracle_table *t = &o->tables[o->table_count++];
    *t = (struct oracle_table){.name = must(strdup(name))};
    return t;
}

static struct table_plan *plan_of(const struct oracle *o, const struct table_info *t)
{
    struct plan_options options = {.target = "target"};
    struct table_plan *plan = NULL;
    struct err err = {.text = ""};

    for (size_t i = 0; i < MAX_PROGRAM_TABLES; i++) {
        const struct key_options *k = &o->program->keys[i];
        if (!k->table || strcasecmp(k->table, t->name) != 0)
            continue;
        options.partition_key = k->partition_key;
        options.sort_key = k->sort_key;
        if (plan_make(t, &options, &plan, &err) == 0)
            return plan;
    }
    options.partition_key = options.sort_key = NULL;
    return plan_make(t, &options, &plan, &err) == 0 ? plan : NULL;
}

static char *columns_of(const struct table_plan *p)
{
    struct buf b = {0};

    buf_printf(&b, "%zu %zu", p->row_key_count, p->entry_count);
    for (size_t i = 0; i < p->column_count; i++)
        buf_printf(&b, ",%s", p->columns[i].name);
    return b.data;
}

/* The id stays while the triggers that are there are the plan's; another layout gets another. */
static uint32_t id_of(struct oracle *o, const struct capture_state *st, struct oracle_table *t)
{
    uint32_t id = capture_id_of(st, t->name), max = capture_max_id(st);
    struct capture_table ct = {.id = id, .plan = t->plan};
    bool differ = false;

    if (id)
        capture_intact(st, &ct, &differ);
    if (id && !differ)
        return id;
    o->last_id = (max > o->last_id ? max : o->last_id) + 1;
    return o->last_id;
}

static void plan_tables(struct oracle *o, const struct capture_state *st)
{
    for (size_t i = 0; i < o->table_count; i++)
        o->tables[i].present = false;
    for (size_t i = 0; i < o->catalog->count; i++) {
        struct table_plan *plan = plan_of(o, &o->catalog->tables[i]);
        if (!plan)
            continue;
        struct oracle_table *t = table_of(o, o->catalog->tables[i].name);
        plan_free(t->plan);
        t->plan = plan;
        t->present = true;
        t->id = id_of(o, st, t);
        o->extra_columns += plan->entry_count > plan->row_key_count;
    }
}

static void refresh(struct oracle *o, struct oracle_table *t)
{
    o->refreshed++;
    forget_items(o, t->name);
    every_row(o, o->source->db, t, put_item);
}

/* A table that is no longer captured has no items that anybody vouches for. */
static void after_install(struct oracle *o, const struct capture *c)
{
    size_t at = 0;

    for (size_t i = 0; i < o->table_count; i++) {
        struct oracle_table *t = &o->tables[i];
        if (!t->present) {
            forget_items(o, t->name);
            continue;
        }
        char *columns = columns_of(t->plan);
        bool rebuilt = c->tables[at++].rebuilt;
        if (rebuilt || !t->columns || strcmp(columns, t->columns) != 0)
            refresh(o, t);
        free(t->columns);
        t->columns = columns;
        went(o, rows_open(o->source, t->plan, &t->rows), "preparing lookups");
    }
}

static bool install(struct oracle *o)
{
    struct capture_table tables[MAX_ORACLE_TABLES];
    struct capture c = {.tables = tables, .journal_limit = 1000000};

    for (size_t i = 0; i < o->table_count; i++)
        if (o->tables[i].present)
            tables[c.count++] =
                (struct capture_table){.id = o->tables[i].id, .plan = o->tables[i].plan};
    if (!went(o, capture_install(o->source, &c, nonce), "installing the triggers"))
        return false;
    after_install(o, &c);
    return true;
}

static void write_trigger(struct oracle *o, const char *name, const char *sql)
{
    const struct plant *p = o->plant;
    const char *at = p->from ? strstr(sql, p->from) : NULL;
    bool drop = p->drop && fnmatch(p->drop, name, 0) == 0;

    if (!drop && !at)
        return;
    o->planted++;
    char *text = sqlite3_mprintf("DROP TRIGGER \"%w\"", name);
    went(o, source_exec(o->source, text), "planting");
    sqlite3_free(text);
    if (drop)
        return;
    _cleanup_buf_ struct buf other = {0};
    for (; at; sql = at + strlen(p->from), at = strstr(sql, p->from)) {
        buf_append(&other, sql, (size_t)(at - sql));
        buf_puts(&other, p->to);
    }
    buf_puts(&other, sql);
    went(o, source_exec(o->source, other.data), "planting");
}

/* The objects that are ours: kept as SQL for the report, and spoilt where a fault is planted. */
static void look_at_installed(struct oracle *o)
{
    struct capture_state *st = NULL;
    bool first = o->installed.len == 0;

    if (!went(o, capture_look(o->source, &st), "looking at the triggers"))
        return;
    if (first) {
        buf_puts(&o->installed, "CREATE TABLE _syncd_journal(seq INTEGER PRIMARY KEY, t INTEGER");
        for (unsigned i = 0; i < st->journal_keys; i++)
            buf_printf(&o->installed, ", k%u", i);
        buf_puts(&o->installed, ");\n");
    }
    for (size_t i = 0; i < st->count; i++) {
        const struct capture_found *f = &st->triggers[i];
        if (first && f->id)
            buf_printf(&o->installed, "%s;\n", f->sql);
        if (o->plant)
            write_trigger(o, f->name, f->sql);
    }
    if (!oracle_failed(o) && went(o, journal_open(o->source, st->journal_keys, &o->journal),
                                  "preparing to read the journal"))
        went(o, source_query_int(o->source, "PRAGMA schema_version", &o->schema_version),
             "reading the schema's version");
    capture_state_free(st);
}

static void attach(struct oracle *o)
{
    struct capture_state *st = NULL;
    struct err err = {.text = ""};

    o->schema_version = -1;
    forget_readers(o);
    catalog_free(o->catalog);
    o->catalog = NULL;
    enum source_problem p = catalog_read(o->source, &o->catalog, &err);
    if (p != SOURCE_OK) {
        if (p != SOURCE_LOCKED)
            oracle_fail(o, "%s", err.text);
        return;
    }
    if (!went(o, capture_look(o->source, &st), "looking at the triggers"))
        return;
    plan_tables(o, st);
    capture_state_free(st);
    if (install(o) && !oracle_failed(o))
        look_at_installed(o);
}

void oracle_notice(struct oracle *o)
{
    int64_t now;

    if (oracle_failed(o) ||
        !went(o, source_query_int(o->source, "PRAGMA schema_version", &now), "looking"))
        return;
    if (now != o->schema_version)
        attach(o);
}

void oracle_open(struct oracle *o, const char *path)
{
    struct err err = {.text = ""};

    o->schema_version = -1;
    o->read = o->acked = 1;
    if (source_open(path, &o->source, &err) != SOURCE_OK)
        oracle_fail(o, "%s", err.text);
    oracle_notice(o);
}

void oracle_close(struct oracle *o)
{
    forget_readers(o);
    for (size_t i = 0; i < o->table_count; i++) {
        plan_free(o->tables[i].plan);
        free(o->tables[i].name);
        free(o->tables[i].columns);
    }
    catalog_free(o->catalog);
    source_close(o->source);
    while (o->item_count)
        drop_item(o, o->items);
    free(o->items);
    buf_free(&o->why);
    buf_free(&o->installed);
    *o = (struct oracle){0};
}

/* --- draining --------------------------------------------------------------------------------- */

static void key_text(const struct oracle_table *t, const struct value *values, struct buf *out)
{
    buf_printf(out, "%s|", t->name);
    for (size_t i = 0; i < t->plan->entry_count; i++)
        show_value(out, &values[i]);
}

static void take_entry(struct oracle *o, struct oracle_table *t, const struct value *entry)
{
    _cleanup_buf_ struct buf key = {0}, found = {0}, row = {0};
    int rc;

    for (size_t i = 0; i < t->plan->row_key_count; i++)
        if (entry[i].kind == VALUE_NULL)
            return;
    key_text(t, entry, &key);
    rc = rows_lookup(t->rows, entry);
    if (rc == SQLITE_ROW) {
        key_text(t, t->rows->values, &found);
        for (size_t i = 0; i < t->plan->column_count; i++)
            show_value(&row, &t->rows->values[i]);
    } else {
        went(o, rc, "looking a row up");
    }
    rows_end(t->rows->lookup);
    bool same = found.len && strcmp(key.data, found.data) == 0;
    if (same || (found.len && o->plant && o->plant->trust_entries))
        put_item(o, key.data, row.data);
    else
        drop_item(o, find_item(o, key.data));
}

static void take(struct oracle *o, sqlite3_stmt *entries, const struct journal_entry *e)
{
    if (e->seq <= o->read)
        oracle_fail(o, "the journal went back from %lld to %lld", (long long)o->read,
                    (long long)e->seq);
    o->read = e->seq;
    o->entries++;
    for (size_t i = 0; i < o->table_count; i++) {
        struct oracle_table *t = &o->tables[i];
        if (!t->present || t->id != e->table)
            continue;
        unsigned n = (unsigned)t->plan->entry_count;
        _cleanup_buf_ struct buf key = {0};
        struct value *values = must(calloc(n, sizeof *values));
        journal_key(entries, n, &key);
        if (values_decode(key.data, key.len, values, n) < 0)
            oracle_fail(o, "an entry's key cannot be read");
        else
            take_entry(o, t, values);
        free(values);
    }
}

/* One read transaction; how many entries it gave. The schema is looked at inside it. */
static uint64_t drain_page(struct oracle *o, uint64_t limit)
{
    struct journal_entry e;
    uint64_t count = 0;
    int64_t now = -1;
    int rc = source_exec(o->source, "BEGIN");

    if (rc == SQLITE_OK)
        rc = source_query_int(o->source, "PRAGMA schema_version", &now);
    if (rc == SQLITE_OK && now == o->schema_version) {
        sqlite3_stmt *entries = journal_entries(o->journal, o->read, (int)limit, 0, 0);
        while (!oracle_failed(o) && (rc = journal_next(entries, &e)) == SQLITE_ROW) {
            take(o, entries, &e);
            count++;
        }
        rows_end(entries);
    }
    went(o, rc, "reading the journal");
    if (!sqlite3_get_autocommit(o->source->db))
        went(o, source_exec(o->source, "COMMIT"), "ending a read");
    return count;
}

void oracle_drain(struct oracle *o, uint64_t limit)
{
    enum { PAGE = 50 };

    oracle_notice(o);
    if (oracle_failed(o) || o->schema_version < 0)
        return;
    if (limit) {
        drain_page(o, limit);
        return;
    }
    while (!oracle_failed(o) && drain_page(o, PAGE) > 0)
        ;
}

void oracle_acknowledge(struct oracle *o, uint64_t less)
{
    if (oracle_failed(o) || o->schema_version < 0)
        return;
    int64_t upto = o->read - (int64_t)less;
    if (upto > o->acked)
        went(o, journal_ack(o->journal, upto, nonce, NULL, NULL, &o->acked), "acknowledging");
}

void oracle_uninstall(struct oracle *o)
{
    forget_readers(o);
    if (capture_remove(o->source, true) != SQLITE_OK)
        oracle_fail(o, "uninstalling: %s", sqlite3_errmsg(o->source->db));
}
