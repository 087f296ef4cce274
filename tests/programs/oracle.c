#include "oracle_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const uint8_t oracle_nonce[CAPTURE_NONCE_SIZE] = "0123456789abcdef";

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

bool oracle_went(struct oracle *o, int rc, const char *doing)
{
    if (rc == SQLITE_OK || rc == SQLITE_DONE)
        return true;
    if ((rc & 0xff) != SQLITE_BUSY)
        oracle_fail(o, "%s: %d, %s", doing, rc, sqlite3_errmsg(o->source->db));
    return false;
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
    oracle_let_go(o);
    for (size_t i = 0; i < o->table_count; i++) {
        plan_free(o->tables[i].plan);
        free(o->tables[i].name);
        free(o->tables[i].columns);
    }
    catalog_free(o->catalog);
    source_close(o->source);
    while (o->item_count)
        oracle_drop(o, o->items);
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
        oracle_show(out, &values[i]);
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
            oracle_show(&row, &t->rows->values[i]);
    } else {
        oracle_went(o, rc, "looking a row up");
    }
    rows_end(t->rows->lookup);
    bool same = found.len && strcmp(key.data, found.data) == 0;
    if (same || (found.len && o->plant && o->plant->trust_entries))
        oracle_put(o, key.data, row.data);
    else
        oracle_drop(o, oracle_find(o, key.data));
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
    oracle_went(o, rc, "reading the journal");
    if (!sqlite3_get_autocommit(o->source->db))
        oracle_went(o, source_exec(o->source, "COMMIT"), "ending a read");
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
        oracle_went(o, journal_ack(o->journal, upto, oracle_nonce, NULL, NULL, &o->acked),
                    "acknowledging");
}

void oracle_uninstall(struct oracle *o)
{
    oracle_let_go(o);
    if (capture_remove(o->source, true) != SQLITE_OK)
        oracle_fail(o, "uninstalling: %s", sqlite3_errmsg(o->source->db));
}
