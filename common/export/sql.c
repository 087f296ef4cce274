#include "export/sql.h"

#include <string.h>

static void append_quoted(struct buf *out, const char *text, size_t n)
{
    buf_putc(out, '"');
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '"')
            buf_putc(out, '"');
        buf_putc(out, text[i]);
    }
    buf_putc(out, '"');
}

void sql_append_name(struct buf *out, const char *name)
{
    append_quoted(out, name, strlen(name));
}

void sql_append_table(struct buf *out, const char *name)
{
    const char *dot = strchr(name, '.');

    if (dot) {
        append_quoted(out, name, (size_t)(dot - name));
        buf_putc(out, '.');
    }
    sql_append_name(out, dot ? dot + 1 : name);
}

void sql_append_literal(struct buf *out, const char *text)
{
    if (strchr(text, '\\'))
        buf_lit(out, " E");
    buf_putc(out, '\'');
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            buf_putc(out, *text);
        buf_putc(out, *text);
    }
    buf_putc(out, '\'');
}

static size_t key_columns(const struct sql_table *t)
{
    size_t n = 0;

    for (size_t i = 0; i < t->column_count; i++)
        n += t->columns[i].primary_key;
    return n;
}

/* Those of the primary key, or the others, each by `one`. Returns how many. */
typedef void column_fn(struct buf *out, const struct export_column *c);

static size_t append_each(const struct sql_table *t, bool key, column_fn *one, struct buf *out)
{
    size_t n = 0;

    for (size_t i = 0; i < t->column_count; i++) {
        if (t->columns[i].primary_key != key)
            continue;
        if (n++)
            buf_lit(out, ", ");
        one(out, &t->columns[i]);
    }
    return n;
}

static void append_column(struct buf *out, const struct export_column *c)
{
    sql_append_name(out, c->name);
}

static void append_definition(const struct export_column *c, bool only_key, struct buf *out)
{
    sql_append_name(out, c->name);
    buf_putc(out, ' ');
    export_column_type(c, out);
    if (c->required && !c->primary_key)
        buf_lit(out, " NOT NULL");
    if (c->primary_key && only_key)
        buf_lit(out, " PRIMARY KEY");
    if (c->unique)
        buf_lit(out, " UNIQUE");
    if (c->fallback) {
        buf_lit(out, " DEFAULT ");
        sql_append_literal(out, c->fallback);
    }
    if (c->ref_table) {
        buf_lit(out, " REFERENCES ");
        sql_append_table(out, c->ref_table);
    }
    if (c->ref_column) {
        buf_lit(out, " (");
        sql_append_name(out, c->ref_column);
        buf_putc(out, ')');
    }
}

void sql_create_table(const struct sql_table *t, struct buf *out)
{
    size_t keys = key_columns(t);

    buf_lit(out, "CREATE TABLE ");
    sql_append_table(out, t->name);
    buf_lit(out, " (");
    for (size_t i = 0; i < t->column_count; i++) {
        buf_puts(out, i ? ",\n  " : "\n  ");
        append_definition(&t->columns[i], keys == 1, out);
    }
    if (keys > 1) {
        buf_lit(out, ",\n  PRIMARY KEY (");
        append_each(t, true, append_column, out);
        buf_putc(out, ')');
    }
    buf_lit(out, "\n)");
}

void sql_columns(const struct sql_table *t, struct buf *out)
{
    for (size_t i = 0; i < t->column_count; i++) {
        if (i)
            buf_lit(out, ", ");
        sql_append_name(out, t->columns[i].name);
    }
}

static void append_set(struct buf *out, const struct export_column *c)
{
    sql_append_name(out, c->name);
    buf_lit(out, " = EXCLUDED.");
    sql_append_name(out, c->name);
}

/* Compared as text: json has no equality of its own. */
static void append_old(struct buf *out, const struct export_column *c)
{
    buf_lit(out, "t.");
    sql_append_name(out, c->name);
    buf_lit(out, "::text");
}

static void append_new(struct buf *out, const struct export_column *c)
{
    buf_lit(out, "EXCLUDED.");
    sql_append_name(out, c->name);
    buf_lit(out, "::text");
}

void sql_upsert(const struct sql_table *t, const char *from, struct buf *out)
{
    bool others = key_columns(t) < t->column_count;

    buf_lit(out, "INSERT INTO ");
    sql_append_table(out, t->name);
    buf_lit(out, " AS t (");
    sql_columns(t, out);
    buf_lit(out, ") SELECT ");
    sql_columns(t, out);
    buf_lit(out, " FROM ");
    sql_append_name(out, from);
    buf_lit(out, " ON CONFLICT (");
    append_each(t, true, append_column, out);
    buf_puts(out, others ? ") DO UPDATE SET " : ") DO NOTHING");
    if (!others)
        return;
    append_each(t, false, append_set, out);
    buf_lit(out, " WHERE ROW(");
    append_each(t, false, append_old, out);
    buf_lit(out, ") IS DISTINCT FROM ROW(");
    append_each(t, false, append_new, out);
    buf_putc(out, ')');
}
