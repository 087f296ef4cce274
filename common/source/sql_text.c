#include "source/sql_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- expressions ------------------------------------------------------------------------------ */

/* Where the writing of an expression stands. */
struct writer {
    const struct table_info *table; /* NULL: no column can be meant */
    struct sql_span span;
    struct sql_expression *out;
    size_t at;
    int depth;
    int type_depth; /* inside CAST(… AS type), from this depth on; 0: not */
};

static const struct sql_token end_token = {.kind = SQL_END, .text = ""};

static const struct sql_token *token_at(struct sql_span s, size_t i)
{
    return i < s.count ? &s.tokens[i] : &end_token;
}

static bool is_name_kind(const struct sql_token *t)
{
    return t->kind == SQL_WORD || t->kind == SQL_QUOTED;
}

static void put_quoted(struct buf *b, const char *text, char quote)
{
    buf_putc(b, quote);
    for (; *text; text++) {
        if (*text == quote)
            buf_putc(b, quote);
        buf_putc(b, *text);
    }
    buf_putc(b, quote);
}

static int put_token_as(struct writer *w, const struct sql_token *t, char quote)
{
    char *text = sql_unquoted(t);

    if (!text)
        return -ENOMEM;
    put_quoted(&w->out->text, text, quote);
    free(text);
    return 0;
}

static void put_token(struct writer *w, const struct sql_token *t)
{
    buf_append(&w->out->text, t->text, t->len);
}

static long column_named(const struct writer *w, const struct sql_token *t)
{
    for (size_t i = 0; w->table && i < w->table->column_count; i++)
        if (sql_is_name(t, w->table->columns[i].name))
            return (long)i;
    return -1;
}

static bool is_rowid(const struct writer *w, const struct sql_token *t)
{
    return w->table && w->table->kind == TABLE_ROWID &&
           (sql_is_name(t, "rowid") || sql_is_name(t, "oid") || sql_is_name(t, "_rowid_"));
}

/* A word where a value may stand: a column, the rowid, a keyword; a quoted one that is no column is
 * a string, as SQLite reads it in a schema. */
static int put_value(struct writer *w, const struct sql_token *t)
{
    long column = column_named(w, t);

    if (column >= 0)
        w->out->columns[column] = true;
    else if (is_rowid(w, t))
        w->out->names_rowid = true;
    else if (t->kind == SQL_QUOTED && t->text[0] == '"')
        return put_token_as(w, t, '\'');
    else if (t->kind == SQL_QUOTED && w->table)
        return -EINVAL;
    if (t->kind == SQL_QUOTED)
        return put_token_as(w, t, '"');
    put_token(w, t);
    return 0;
}

static bool compares(const struct sql_token *t)
{
    static const char *const marks[] = {"=", "==", "<>", "!=", "<", "<=", ">", ">="};
    static const char *const words[] = {"IS", "IN", "BETWEEN", "CASE", "MIN", "MAX", "NULLIF"};

    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (sql_is_mark(t, marks[i]))
            return true;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (is_name_kind(t) && sql_is_name(t, words[i]))
            return true;
    return false;
}

static int put_name(struct writer *w, const struct sql_token *t)
{
    const struct sql_token *before = w->at ? token_at(w->span, w->at - 1) : &end_token;
    const struct sql_token *after = token_at(w->span, w->at + 1);

    if (sql_is_mark(after, ".")) { /* the table's name: the column says it all */
        if (!is_name_kind(token_at(w->span, w->at + 2)))
            return -EINVAL;
        w->at++;
        return 0;
    }
    buf_puts(&w->out->text, w->out->text.len ? " " : "");
    bool named = w->type_depth || sql_is_word(before, "COLLATE") || sql_is_mark(after, "(");
    if (!named)
        return put_value(w, t);
    if (t->kind == SQL_QUOTED)
        return put_token_as(w, t, '"');
    put_token(w, t);
    return 0;
}

static int put_other(struct writer *w, const struct sql_token *t)
{
    if (t->kind == SQL_BROKEN || sql_is_mark(t, ";") || sql_is_mark(t, "."))
        return -EINVAL;
    if (sql_is_mark(t, "("))
        w->depth++;
    if (sql_is_mark(t, ")")) {
        if (--w->depth < 0)
            return -EINVAL;
        if (w->depth < w->type_depth)
            w->type_depth = 0;
    }
    buf_puts(&w->out->text, w->out->text.len ? " " : "");
    put_token(w, t);
    return 0;
}

static int write_all(struct writer *w)
{
    for (; w->at < w->span.count; w->at++) {
        const struct sql_token *t = &w->span.tokens[w->at];
        int rc = is_name_kind(t) ? put_name(w, t) : put_other(w, t);
        if (rc < 0)
            return rc;
        w->out->compares |= compares(t);
        if (sql_is_word(t, "AS"))
            w->type_depth = w->depth;
    }
    return w->depth == 0 && w->span.count ? 0 : -EINVAL;
}

static int make(const struct table_info *columns_of, size_t column_count, struct sql_span span,
                struct sql_expression *out)
{
    struct writer w = {.table = columns_of, .span = span, .out = out};

    *out = (struct sql_expression){.span = span};
    out->columns = calloc(column_count ? column_count : 1, sizeof *out->columns);
    int rc = out->columns ? write_all(&w) : -ENOMEM;
    if (rc == 0 && !buf_ok(&out->text))
        rc = -ENOMEM;
    if (rc < 0)
        sql_expression_free(out);
    return rc;
}

int sql_expression_make(const struct table_info *t, struct sql_span span,
                        struct sql_expression *out)
{
    return make(t, t->column_count, span, out);
}

void sql_expression_free(struct sql_expression *e)
{
    buf_free(&e->text);
    free(e->columns);
    *e = (struct sql_expression){.names_rowid = false};
}

const struct sql_token *sql_next_function(struct sql_span span, size_t *at)
{
    static const char *const others[] = {"CAST",    "IN",   "AND",  "OR",    "NOT",
                                         "CASE",    "WHEN", "THEN", "ELSE",  "LIKE",
                                         "BETWEEN", "GLOB", "IS",   "ESCAPE"};
    const struct sql_token *tokens = span.tokens;

    while (*at < span.count) {
        const struct sql_token *t = tokens + (*at)++;
        bool function = is_name_kind(t) && sql_is_mark(token_at(span, *at), "(");
        for (size_t i = 0; function && i < sizeof others / sizeof *others; i++)
            function = !sql_is_word(t, others[i]);
        if (function)
            return t;
    }
    return NULL;
}

/* A word alone is a string there: DEFAULT abc. */
int sql_default_make(const struct table_info *t, struct sql_span span, struct sql_expression *out)
{
    static const char *const literals[] = {"NULL", "CURRENT_TIME", "CURRENT_DATE",
                                           "CURRENT_TIMESTAMP"};

    int rc = make(NULL, t->column_count, span, out);
    if (rc < 0 || span.count != 1 || !is_name_kind(span.tokens))
        return rc;
    for (size_t i = 0; i < sizeof literals / sizeof *literals; i++)
        if (sql_is_word(span.tokens, literals[i]))
            return 0;
    char *text = sql_unquoted(span.tokens);
    buf_clear(&out->text);
    if (text && sql_is_word(span.tokens, "TRUE"))
        buf_lit(&out->text, "1");
    else if (text && sql_is_word(span.tokens, "FALSE"))
        buf_lit(&out->text, "0");
    else if (text)
        put_quoted(&out->text, text, '\'');
    rc = text && buf_ok(&out->text) ? 0 : -ENOMEM;
    free(text);
    if (rc < 0)
        sql_expression_free(out);
    return rc;
}

/* --- definitions ------------------------------------------------------------------------------ */

/* Where the parenthesis at `open` closes; span.count: nowhere. */
static size_t closing(struct sql_span s, size_t open)
{
    int depth = 0;

    for (size_t i = open; i < s.count; i++) {
        if (sql_is_mark(&s.tokens[i], "("))
            depth++;
        else if (sql_is_mark(&s.tokens[i], ")") && --depth == 0)
            return i;
    }
    return s.count;
}

/* Up to the next comma that is in no parenthesis, from *at on, which moves behind it. */
static struct sql_span up_to_comma(struct sql_span s, size_t *at)
{
    struct sql_span part = {.tokens = s.tokens + *at};
    int depth = 0;

    for (; *at < s.count; (*at)++, part.count++) {
        const struct sql_token *t = &s.tokens[*at];
        if (sql_is_mark(t, ",") && depth == 0) {
            (*at)++;
            break;
        }
        depth += sql_is_mark(t, "(") ? 1 : sql_is_mark(t, ")") ? -1 : 0;
    }
    return part;
}

/* May a value end with this token? If not, DESC behind it is a column of that name. */
static bool ends_value(const struct sql_token *t)
{
    static const char *const operators[] = {
        "AND",  "OR",   "NOT",  "IS",     "IN",    "LIKE", "GLOB",    "BETWEEN", "CASE",
        "WHEN", "THEN", "ELSE", "REGEXP", "MATCH", "FROM", "COLLATE", "ESCAPE",  "DISTINCT"};

    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (sql_is_word(t, operators[i]))
            return false;
    return t->kind != SQL_MARK || sql_is_mark(t, ")");
}

static void strip_order(struct sql_span *item)
{
    if (item->count < 2)
        return;
    const struct sql_token *last = &item->tokens[item->count - 1];
    if ((sql_is_word(last, "ASC") || sql_is_word(last, "DESC")) && ends_value(last - 1))
        item->count--;
}

/* Past [IF NOT EXISTS] [schema .] name. */
static size_t skip_name(struct sql_span s, size_t at)
{
    if (sql_is_word(token_at(s, at), "IF") && sql_is_word(token_at(s, at + 1), "NOT"))
        at += 3;
    return sql_is_mark(token_at(s, at + 1), ".") ? at + 3 : at + 1;
}

int sql_index_parts(struct sql_span sql, struct sql_span **items, size_t *count,
                    struct sql_span *where)
{
    size_t at = 3, n = 0, last;
    struct sql_span *all, list;

    if (!sql_is_word(token_at(sql, 0), "CREATE") || !sql_is_word(token_at(sql, 1), "UNIQUE") ||
        !sql_is_word(token_at(sql, 2), "INDEX"))
        return -EINVAL;
    at = skip_name(sql, at);
    if (!sql_is_word(token_at(sql, at), "ON") || !sql_is_mark(token_at(sql, at + 2), "("))
        return -EINVAL;
    at += 2;
    last = closing(sql, at);
    if (last == sql.count)
        return -EINVAL;
    *where = (struct sql_span){.tokens = sql.tokens + last};
    if (last + 1 < sql.count) {
        if (!sql_is_word(&sql.tokens[last + 1], "WHERE") || last + 2 == sql.count)
            return -EINVAL;
        *where = (struct sql_span){sql.tokens + last + 2, sql.count - last - 2};
    }
    list = (struct sql_span){sql.tokens + at + 1, last - at - 1};
    all = calloc(list.count + 1, sizeof *all);
    if (!all)
        return -ENOMEM;
    for (at = 0; at < list.count; n++) {
        all[n] = up_to_comma(list, &at);
        strip_order(&all[n]);
    }
    *items = all;
    *count = n;
    return 0;
}

bool sql_generated_part(struct sql_span sql, const char *column, struct sql_span *out)
{
    size_t at = sql_is_word(token_at(sql, 1), "TABLE") ? 2 : 3;
    size_t open = skip_name(sql, at), last = closing(sql, open);

    if (!sql_is_mark(token_at(sql, open), "(") || last == sql.count) /* or not understood at all */
        return false;
    const struct sql_span list = {sql.tokens + open + 1, last - open - 1};
    for (at = 0; at < list.count;) {
        struct sql_span part = up_to_comma(list, &at);
        int depth = 0;
        if (!part.count || !sql_is_name(part.tokens, column))
            continue;
        for (size_t i = 1; i + 1 < part.count; i++) {
            depth += sql_is_mark(&part.tokens[i], "(") ? 1 : 0;
            depth -= sql_is_mark(&part.tokens[i], ")") ? 1 : 0;
            if (depth || !sql_is_word(&part.tokens[i], "AS") ||
                !sql_is_mark(&part.tokens[i + 1], "("))
                continue;
            size_t end = closing(part, i + 1);
            *out = (struct sql_span){part.tokens + i + 2, end - i - 2};
            return end < part.count;
        }
        return false;
    }
    return false;
}
