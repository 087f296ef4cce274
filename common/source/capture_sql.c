#include "source/capture_sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = {"i", "u", "d", "k"};
enum { KIND_COUNT = 4 };

bool capture_kind(const struct capture_table *t, size_t n, char kind[CAPTURE_KIND_SIZE])
{
    size_t lookups = t->plan->capture.lookup_count;

    if (n < KIND_COUNT)
        snprintf(kind, CAPTURE_KIND_SIZE, "%s", kinds[n]);
    else if (lookups && n == KIND_COUNT)
        snprintf(kind, CAPTURE_KIND_SIZE, "bi");
    else if (lookups && n - KIND_COUNT - 1 < lookups)
        snprintf(kind, CAPTURE_KIND_SIZE, "b%zu", n - KIND_COUNT - 1);
    else
        return false;
    return true;
}

void capture_name(uint32_t id, const char *kind, char name[CAPTURE_NAME_SIZE])
{
    snprintf(name, CAPTURE_NAME_SIZE, "_syncd_%u_%s", id, kind);
}

/* INSERT INTO _syncd_journal(t,k0,…) */
static void append_target(sqlite3_str *out, const struct capture_table *t)
{
    sqlite3_str_appendall(out, "INSERT INTO _syncd_journal(t");
    for (size_t i = 0; i < t->plan->entry_count; i++)
        sqlite3_str_appendf(out, ",k%d", (int)i);
    sqlite3_str_appendall(out, ") ");
}

/* 7,NEW."a",… A generated column of type REAL that is read of a table (`selected`) is written as an
 * integer where it is a whole number, by every SQLite that has generated columns (3.31 to 3.51 at
 * least): the entry would be another than the row's. */
static void append_columns(sqlite3_str *out, const struct capture_table *t, const char *row,
                           bool selected)
{
    const struct table_plan *p = t->plan;

    sqlite3_str_appendf(out, "%u", t->id);
    for (size_t i = 0; i < p->entry_count; i++) {
        const struct plan_column *c = &p->columns[i];
        if (selected && i >= p->row_key_count && c->affinity == AFFINITY_REAL)
            sqlite3_str_appendf(out,
                                ",CASE typeof(%s.\"%w\") WHEN 'real' THEN CAST(%s.\"%w\" AS REAL) "
                                "ELSE %s.\"%w\" END",
                                row, c->name, row, c->name, row, c->name);
        else
            sqlite3_str_appendf(out, ",%s.\"%w\"", row, c->name);
    }
}

static void append_entry(sqlite3_str *out, const struct capture_table *t, const char *row)
{
    append_target(out, t);
    sqlite3_str_appendall(out, "VALUES(");
    append_columns(out, t, row, false);
    sqlite3_str_appendall(out, "); ");
}

/* SELECT NEW."base"; naming is all that is wanted of it. */
static void append_reads(sqlite3_str *out, const char *reads)
{
    if (reads)
        sqlite3_str_appendf(out, "SELECT %s; ", reads);
}

/* An entry that moves. */
static void append_move(sqlite3_str *out, const struct capture_table *t)
{
    const struct table_plan *p = t->plan;

    sqlite3_str_appendf(out, "BEFORE UPDATE OF %s ON \"%w\" WHEN ", p->capture.key_of, p->table);
    for (size_t i = 0; i < p->entry_count; i++) {
        const char *c = p->columns[i].name;
        sqlite3_str_appendf(out,
                            "%sOLD.\"%w\" IS NOT NEW.\"%w\" COLLATE BINARY OR "
                            "typeof(OLD.\"%w\")<>typeof(NEW.\"%w\")",
                            i ? " OR " : "", c, c, c, c);
    }
    sqlite3_str_appendall(out, " BEGIN ");
    append_reads(out, p->capture.key_reads);
    append_entry(out, t, "OLD");
    append_entry(out, t, "NEW");
}

/* Is row r another one than that of the row key in `row`? */
static void append_other(sqlite3_str *out, const struct table_plan *p, const char *row)
{
    sqlite3_str_appendall(out, " AND (");
    for (size_t i = 0; i < p->row_key_count; i++) {
        const char *c = p->columns[i].name;
        sqlite3_str_appendf(out, "%sr.\"%w\" COLLATE BINARY IS NOT %s.\"%w\"", i ? " OR " : "", c,
                            row, c);
        if (p->columns[i].affinity == AFFINITY_BLOB) /* 1 IS 1.0 */
            sqlite3_str_appendf(out, " OR typeof(r.\"%w\")<>typeof(%s.\"%w\")", c, row, c);
    }
}

static void append_lookup_head(sqlite3_str *out, const struct capture_table *t)
{
    append_target(out, t);
    sqlite3_str_appendall(out, "SELECT ");
    append_columns(out, t, "r", true);
    sqlite3_str_appendf(out, " FROM \"%w\" AS r WHERE ", t->plan->table);
}

char *capture_lookup_head(const struct capture_table *t)
{
    sqlite3_str *out = sqlite3_str_new(NULL);

    append_lookup_head(out, t);
    return sqlite3_str_finish(out);
}

/* A row of NEW's own entry needs none: what is written after the insert is the same. An automatic
 * rowid is still -1 by then, though, and says nothing. */
static void append_insert_lookup(sqlite3_str *out, const struct capture_table *t,
                                 const struct plan_lookup *l)
{
    const struct table_plan *p = t->plan;

    append_lookup_head(out, t);
    sqlite3_str_appendall(out, l->where);
    if (p->entry_count == p->row_key_count) {
        append_other(out, p, "NEW");
        if (p->row_key_is_rowid)
            sqlite3_str_appendf(out, " OR r.\"%w\"=-1", p->columns[0].name);
        sqlite3_str_appendall(out, ")");
    }
    sqlite3_str_appendall(out, "; ");
}

static void append_update_lookup(sqlite3_str *out, const struct capture_table *t,
                                 const struct plan_lookup *l)
{
    sqlite3_str_appendf(out, "BEFORE UPDATE%s%s ON \"%w\" BEGIN ", l->of ? " OF " : "",
                        l->of ? l->of : "", t->plan->table);
    append_reads(out, l->reads);
    append_lookup_head(out, t);
    sqlite3_str_appendall(out, l->where);
    append_other(out, t->plan, "OLD");
    sqlite3_str_appendall(out, "); ");
}

static void append_body(sqlite3_str *out, const struct capture_table *t, const char *kind)
{
    static const char *const events[] = {"AFTER INSERT", "AFTER UPDATE", "BEFORE DELETE"};
    const struct plan_capture *c = &t->plan->capture;

    if (strcmp(kind, "k") == 0) {
        append_move(out, t);
    } else if (strcmp(kind, "bi") == 0) {
        sqlite3_str_appendf(out, "BEFORE INSERT ON \"%w\" BEGIN ", t->plan->table);
        for (size_t i = 0; i < c->lookup_count; i++)
            append_insert_lookup(out, t, &c->lookups[i]);
    } else if (kind[0] == 'b') {
        append_update_lookup(out, t, &c->lookups[strtoul(kind + 1, NULL, 10)]);
    } else {
        const char *event = events[kind[0] == 'i' ? 0 : kind[0] == 'u' ? 1 : 2];
        sqlite3_str_appendf(out, "%s ON \"%w\" BEGIN ", event, t->plan->table);
        append_entry(out, t, kind[0] == 'd' ? "OLD" : "NEW");
    }
}

char *capture_trigger_sql(const struct capture_table *t, const char *kind)
{
    sqlite3_str *out = sqlite3_str_new(NULL);

    sqlite3_str_appendf(out, "CREATE TRIGGER _syncd_%u_%s ", t->id, kind);
    append_body(out, t, kind);
    sqlite3_str_appendall(out, "END");
    return sqlite3_str_finish(out);
}
