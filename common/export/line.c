#include "export/line.h"

#include <string.h>

#include "base/text.h"

/* --- COPY ------------------------------------------------------------------------------------- */

static void append_copy(struct buf *out, const char *s, size_t n)
{
    size_t from = 0;

    for (size_t i = 0; i < n; i++) {
        const char *mark = s[i] == '\\'   ? "\\\\"
                           : s[i] == '\t' ? "\\t"
                           : s[i] == '\n' ? "\\n"
                           : s[i] == '\r' ? "\\r"
                                          : NULL;
        if (!mark)
            continue;
        buf_append(out, s + from, i - from);
        buf_puts(out, mark);
        from = i + 1;
    }
    buf_append(out, s + from, n - from);
}

static char escaped(char c)
{
    switch (c) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'v':
        return '\v';
    default:
        return c;
    }
}

bool line_copy_field(const char **s, const char *end, struct buf *out, bool *is_null)
{
    const char *p = *s;

    *is_null = end - p >= 2 && p[0] == '\\' && p[1] == 'N' && (p + 2 == end || p[2] == '\t');
    if (p > end)
        return false;
    if (*is_null)
        p += 2;
    for (; p < end && *p != '\t'; p++) {
        if (*p != '\\') {
            buf_putc(out, *p);
            continue;
        }
        if (++p == end)
            return false;
        buf_putc(out, escaped(*p));
    }
    *s = p + 1;
    return true;
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void append_base64(struct buf *out, const struct line_value *v)
{
    _cleanup_buf_ struct buf bytes = {0};

    hex_decode(&bytes, v->text + 2, v->n - 2); /* behind \x */
    buf_putc(out, '"');
    base64_append(out, bytes.data ? bytes.data : "", bytes.len);
    buf_putc(out, '"');
}

/* As RFC 3339 has it: 2024-02-29 12:00:00+00 is 2024-02-29T12:00:00Z. */
static void append_time(struct buf *out, const struct line_value *v, bool zone)
{
    const size_t date = strlen("2024-02-29"), utc = strlen("+00");

    buf_putc(out, '"');
    buf_append(out, v->text, date);
    buf_putc(out, 'T');
    buf_append(out, v->text + date + 1, v->n - date - 1 - (zone ? utc : 0));
    buf_puts(out, zone ? "Z\"" : "\"");
}

static void append_json(struct buf *out, const struct export_column *c, const struct line_value *v)
{
    json_append_string(out, c->name, strlen(c->name));
    buf_putc(out, ':');
    if (v->null)
        buf_lit(out, "null");
    else if (c->type == COLUMN_BOOLEAN)
        buf_puts(out, *v->text == 't' ? "true" : "false");
    else if (c->type == COLUMN_BYTEA)
        append_base64(out, v);
    else if (c->type == COLUMN_TIMESTAMPTZ || c->type == COLUMN_TIMESTAMP)
        append_time(out, v, c->type == COLUMN_TIMESTAMPTZ);
    else if (export_column_is_number(c->type) || c->type == COLUMN_JSON || c->type == COLUMN_JSONB)
        buf_append(out, v->text, v->n);
    else
        json_append_string(out, v->text, v->n);
}

/* --- CSV -------------------------------------------------------------------------------------- */

void line_append_csv(struct buf *out, const char *text, size_t n)
{
    bool quotes = n == 0 || text[0] == ' ' || text[n - 1] == ' ';

    for (size_t i = 0; !quotes && i < n; i++)
        quotes = text[i] == ',' || text[i] == '"' || text[i] == '\n' || text[i] == '\r';
    if (!quotes) {
        buf_append(out, text, n);
        return;
    }
    buf_putc(out, '"');
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '"')
            buf_putc(out, '"');
        buf_putc(out, text[i]);
    }
    buf_putc(out, '"');
}

void line_append_head(enum line_format format, const struct export_column *columns, size_t count,
                      struct buf *out)
{
    for (size_t i = 0; format == LINE_CSV && i < count; i++) {
        if (i)
            buf_putc(out, ',');
        line_append_csv(out, columns[i].name, strlen(columns[i].name));
    }
    if (format == LINE_CSV)
        buf_putc(out, '\n');
}

/* JSON text that was parsed may stretch over lines, which a line may not. White space within JSON
 * strings is always escaped, so that every line's end is between values. */
static void one_line(struct buf *out, size_t from)
{
    for (size_t i = from; buf_ok(out) && i < out->len; i++)
        if (out->data[i] == '\n' || out->data[i] == '\r')
            out->data[i] = ' ';
}

void line_append(enum line_format format, const struct export_column *columns, size_t count,
                 const struct line_value *values, struct buf *out)
{
    size_t start = out->len;

    for (size_t i = 0; i < count; i++) {
        const struct line_value *v = &values[i];
        if (format == LINE_JSON) {
            buf_putc(out, i ? ',' : '{');
            append_json(out, &columns[i], v);
            continue;
        }
        if (i)
            buf_putc(out, format == LINE_COPY ? '\t' : ',');
        if (format == LINE_COPY && v->null)
            buf_lit(out, "\\N");
        else if (format == LINE_COPY)
            append_copy(out, v->text, v->n);
        else if (!v->null)
            line_append_csv(out, v->text, v->n);
    }
    if (format == LINE_JSON) {
        one_line(out, start);
        buf_putc(out, '}');
    }
    buf_putc(out, '\n');
}
