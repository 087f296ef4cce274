#include "source/lookups.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "source/sql_text.h"

/* What is read of one table while its lookups are made. */
struct maker {
    struct source *source;
    struct table_info *table;
    char **defaults;  /* by column: what NULL becomes under REPLACE, as SQL; NULL: stays NULL */
    bool *unforeseen; /* by column: NULL becomes something that cannot be foretold */
    bool *asked;      /* by column: the two above are known */
    int rc;           /* of what went wrong meanwhile */
};

/* One of them in the making; columns are flags by number. */
struct draft {
    struct lookup_info *out;
    sqlite3_str *where;
    bool *matter, *read, *exact;
    bool understood; /* and said in the schema's own words, which SQLite must still confirm: */
    bool worded;
};

static int result_of(int error)
{
    return error == -ENOMEM ? SQLITE_NOMEM : SQLITE_OK;
}

/* The numbers of the flags that are set. */
static int list_flags(const bool *flags, size_t n, size_t **out, size_t *count)
{
    size_t *list = malloc((n ? n : 1) * sizeof *list);

    if (!list)
        return SQLITE_NOMEM;
    *count = 0;
    for (size_t i = 0; i < n; i++)
        if (flags[i])
            list[(*count)++] = i;
    *out = list;
    return SQLITE_OK;
}

/* --- generated columns ------------------------------------------------------------------------ */

/* Which columns the expression of a generated one names: all of them when it is not understood. */
static int direct_bases(const struct table_info *t, struct sql_span sql, size_t column, bool *out)
{
    struct sql_expression e = {.names_rowid = false};
    struct sql_span part;
    int rc = -EINVAL;

    if (sql_generated_part(sql, t->columns[column].name, &part))
        rc = sql_expression_make(t, part, &e);
    for (size_t i = 0; i < t->column_count; i++)
        out[i] |= rc == 0 ? e.columns[i] : !t->columns[i].generated;
    if (rc == 0)
        sql_expression_free(&e);
    return result_of(rc);
}

/* Generated columns may be made of others, never of themselves. */
static int find_bases(struct table_info *t, struct sql_span sql, size_t column)
{
    size_t n = t->column_count;
    bool *named = calloc(2 * n, sizeof *named), *known = named ? named + n : NULL;
    int rc = named ? direct_bases(t, sql, column, named) : SQLITE_NOMEM;
    bool more = true;

    while (rc == SQLITE_OK && more) {
        more = false;
        for (size_t i = 0; rc == SQLITE_OK && i < n; i++)
            if (named[i] && t->columns[i].generated && !known[i]) {
                known[i] = more = true;
                rc = direct_bases(t, sql, i, named);
            }
    }
    for (size_t i = 0; rc == SQLITE_OK && i < n; i++)
        named[i] = named[i] && !t->columns[i].generated;
    if (rc == SQLITE_OK)
        rc = list_flags(named, n, &t->columns[column].bases, &t->columns[column].base_count);
    free(named);
    return rc;
}

static int read_bases(struct table_info *t)
{
    struct sql_token *tokens = NULL;
    size_t count = 0;
    int rc = SQLITE_OK;

    bool any = false;
    for (size_t i = 0; i < t->column_count; i++)
        any |= t->columns[i].generated;
    if (!any)
        return SQLITE_OK;
    if (sql_tokens(t->sql, &tokens, &count) == -ENOMEM)
        return SQLITE_NOMEM;
    for (size_t i = 0; rc == SQLITE_OK && i < t->column_count; i++)
        if (t->columns[i].generated)
            rc = find_bases(t, (struct sql_span){tokens, count}, i);
    free(tokens);
    return rc;
}

/* --- defaults --------------------------------------------------------------------------------- */

/* Does the function give the same again within one statement? The application's own are not known
 * here, and must not be called once more than the application expects. */
static int is_constant(struct maker *m, const struct sql_token *function, bool *constant)
{
    sqlite3_stmt *stmt = NULL;
    char *name = sql_unquoted(function);
    int rc = name ? source_ask(m->source,
                               "SELECT count(*) FROM pragma_function_list WHERE name=lower(?1) AND "
                               "builtin AND flags&2048",
                               name, &stmt)
                  : SQLITE_NOMEM;

    if (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        *constant = sqlite3_column_int(stmt, 0) > 0;
        rc = SQLITE_OK;
    }
    source_answered(stmt);
    free(name);
    return rc;
}

/* Under REPLACE a NULL becomes the default of a NOT NULL column after BEFORE triggers have run. */
static int read_default(struct maker *m, size_t column, const char *text)
{
    const struct sql_token *function;
    struct sql_token *tokens = NULL;
    struct sql_expression e;
    size_t count = 0, at = 0;
    int error = sql_tokens(text, &tokens, &count), rc = SQLITE_OK;
    struct sql_span span = {tokens, count};

    if (error == 0 && count == 1 && sql_is_word(tokens, "NULL")) {
        free(tokens);
        return SQLITE_OK;
    }
    if (error == 0)
        error = sql_default_make(m->table, span, &e);
    bool known = error == 0;
    while (rc == SQLITE_OK && known && (function = sql_next_function(span, &at)))
        rc = is_constant(m, function, &known);
    m->unforeseen[column] = !known;
    if (rc == SQLITE_OK && error == 0 && known && !(m->defaults[column] = strdup(e.text.data)))
        rc = SQLITE_NOMEM;
    if (error == 0)
        sql_expression_free(&e);
    free(tokens);
    return rc == SQLITE_OK ? result_of(error) : rc;
}

/* What NULL in the column becomes; looked into only for columns of unique indexes. */
static void ask_default(struct maker *m, size_t column)
{
    const struct column_info *c = &m->table->columns[column];

    if (m->asked[column] || m->rc != SQLITE_OK)
        return;
    m->asked[column] = true;
    if (c->value && c->not_null && !c->generated)
        m->rc = read_default(m, column, c->value);
}

/* --- conditions ------------------------------------------------------------------------------- */

static bool is_rowid(const struct table_info *t, size_t column)
{
    return t->rowid_key && t->key[0] == column;
}

static void limit(struct maker *m, struct draft *d, const char *fmt, ...)
{
    va_list args;

    if (d->out->limit)
        return;
    va_start(args, fmt);
    char *why = sqlite3_vmprintf(fmt, args);
    va_end(args);
    char *text = sqlite3_mprintf("a row that REPLACE removes through the unique index \"%s\" may "
                                 "go unseen: %s",
                                 d->out->index, why ? why : "");
    d->out->limit = text ? strdup(text) : NULL;
    if (!d->out->limit)
        m->rc = SQLITE_NOMEM;
    sqlite3_free(text);
    sqlite3_free(why);
}

/* A column of the row to come matters: what a trigger that runs before the change may see wrongly
 * is noted. */
static void use_column(struct maker *m, struct draft *d, size_t column)
{
    const struct table_info *t = m->table;
    const struct column_info *c = &t->columns[column];

    ask_default(m, column);
    d->worded |= m->defaults[column] != NULL;
    if (!c->generated) {
        d->matter[column] = true;
        d->out->rowid |= is_rowid(t, column);
        if (m->unforeseen[column])
            limit(m, d, "the default of \"%s\" cannot be foretold", c->name);
        return;
    }
    for (size_t i = 0; i < c->base_count; i++) {
        const char *base = t->columns[c->bases[i]].name;
        use_column(m, d, c->bases[i]);
        d->read[c->bases[i]] = true;
        if (m->defaults[c->bases[i]])
            limit(m, d, "\"%s\" is made of \"%s\", whose NULL becomes its default too late",
                  c->name, base);
        if (is_rowid(t, c->bases[i]))
            limit(m, d, "\"%s\" is made of \"%s\", which SQLite may choose too late", c->name,
                  base);
    }
}

/* What stands in for the column of the row to come inside an expression. NEW."c" alone has neither
 * the column's affinity nor, once it went through a default, its collation. */
static void append_value(struct maker *m, sqlite3_str *out, size_t column, bool compares)
{
    static const char *const converted[] = {
        [AFFINITY_INTEGER] = "CASE WHEN (%s)=CAST((%s) AS NUMERIC) THEN CAST((%s) AS NUMERIC) "
                             "ELSE (%s) END",
        [AFFINITY_NUMERIC] = "CASE WHEN (%s)=CAST((%s) AS NUMERIC) THEN CAST((%s) AS NUMERIC) "
                             "ELSE (%s) END",
        [AFFINITY_REAL] = "CASE WHEN (%s)=CAST((%s) AS REAL) THEN CAST((%s) AS REAL) ELSE (%s) "
                          "END",
        [AFFINITY_TEXT] = "CASE WHEN typeof((%s)) IN ('integer','real') THEN CAST((%s) AS TEXT) "
                          "ELSE (%s) END",
        [AFFINITY_BLOB] = "(%s)",
        [AFFINITY_NONE] = "(%s)",
    };
    const struct column_info *c = &m->table->columns[column];
    const char *text = m->defaults[column];

    if (compares)
        sqlite3_str_appendall(out, "(SELECT ");
    if (text) {
        sqlite3_str_appendf(out, "coalesce(NEW.\"%w\",", c->name);
        /* Not a format: the default's own text may hold '%'. */
        for (const char *p = converted[c->affinity]; *p; p++) {
            if (p[0] == '%' && p[1] == 's') {
                sqlite3_str_appendall(out, text);
                p++;
            } else {
                sqlite3_str_appendchar(out, 1, *p);
            }
        }
        sqlite3_str_appendall(out, ")");
    } else {
        sqlite3_str_appendf(out, "NEW.\"%w\"", c->name);
    }
    if (compares) {
        const char *collation = NULL;
        int rc = sqlite3_table_column_metadata(m->source->db, "main", m->table->name, c->name, NULL,
                                               &collation, NULL, NULL, NULL);
        m->rc = m->rc == SQLITE_OK ? rc : m->rc;
        sqlite3_str_appendf(out, " UNION ALL SELECT \"%w\" FROM \"%w\" WHERE 0) COLLATE \"%w\"",
                            c->name, m->table->name, collation ? collation : "BINARY");
    }
    sqlite3_str_appendf(out, " AS \"%w\"", c->name);
}

/* (e) = (the same of the row to come): its columns are given to e under their own names. The
 * index's collation stands on the left, where it counts before any inside e. */
static void append_expression(struct maker *m, struct draft *d, const struct sql_expression *e,
                              const char *collation)
{
    const struct table_info *t = m->table;
    bool first = true;

    d->worded = true;
    sqlite3_str_appendf(d->where, "(%s) COLLATE \"%w\"=(SELECT %s", e->text.data, collation,
                        e->text.data);
    for (size_t i = 0; i < t->column_count; i++) {
        if (!e->columns[i])
            continue;
        use_column(m, d, i);
        if (is_rowid(t, i))
            limit(m, d, "it is made of \"%s\", which SQLite may choose too late",
                  t->columns[i].name);
        sqlite3_str_appendall(d->where, first ? " FROM (SELECT " : ",");
        append_value(m, d->where, i, e->compares);
        first = false;
    }
    sqlite3_str_appendall(d->where, first ? ")" : "))");
}

static void append_column(struct maker *m, struct draft *d, size_t column, const char *collation)
{
    const struct column_info *c = &m->table->columns[column];

    use_column(m, d, column);
    /* Without a type that makes 1 and 1.0 the same, equal values may be different keys. */
    d->exact[column] |= !c->generated && sqlite3_stricmp(collation, "BINARY") == 0 &&
                        c->affinity != AFFINITY_NONE &&
                        (c->affinity != AFFINITY_BLOB || m->table->strict);
    sqlite3_str_appendf(d->where, "r.\"%w\"=", c->name);
    if (m->defaults[column])
        sqlite3_str_appendf(d->where, "coalesce(NEW.\"%w\",(%s))", c->name, m->defaults[column]);
    else
        sqlite3_str_appendf(d->where, "NEW.\"%w\"", c->name);
    sqlite3_str_appendf(d->where, " COLLATE \"%w\"", collation);
}

/* A row that the index does not hold is in nobody's way. Whether NEW itself comes to be in it is
 * left open: a row named for nothing is harmless. */
static int append_condition(struct maker *m, struct draft *d, struct sql_span where)
{
    struct sql_expression e;
    int rc = sql_expression_make(m->table, where, &e);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < m->table->column_count; i++) {
        const struct column_info *c = &m->table->columns[i];
        if (!e.columns[i])
            continue;
        d->matter[i] |= !c->generated;
        d->out->rowid |= is_rowid(m->table, i);
        for (size_t k = 0; k < c->base_count; k++)
            d->matter[c->bases[k]] = true;
    }
    d->worded = true;
    d->out->rowid |= e.names_rowid;
    if (e.names_rowid && m->table->rowid_key)
        d->matter[m->table->key[0]] = true;
    sqlite3_str_appendf(d->where, " AND (%s)", e.text.data);
    sql_expression_free(&e);
    return 0;
}

/* --- indexes ---------------------------------------------------------------------------------- */

/* The columns and expressions of an index, as SQLite lists them and as its text has them. */
static int append_items(struct maker *m, struct draft *d, const struct sql_span *items,
                        size_t count)
{
    sqlite3_stmt *stmt = NULL;
    size_t i = 0;
    int error = 0;
    int rc =
        source_ask(m->source,
                   "SELECT cid, coll FROM pragma_index_xinfo(?1,'main') WHERE \"key\"=1 ORDER BY "
                   "seqno",
                   d->out->index, &stmt);

    for (; rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW; i++) {
        int64_t column = sqlite3_column_int64(stmt, 0);
        const char *collation = (const char *)sqlite3_column_text(stmt, 1);
        struct sql_expression e;
        rc = SQLITE_OK;
        sqlite3_str_appendall(d->where, i ? " AND " : "");
        if (column >= 0 && (size_t)column < m->table->column_count) {
            append_column(m, d, (size_t)column, collation);
        } else if (column != -2 || i >= count) {
            error = -EINVAL;
            break;
        } else if ((error = sql_expression_make(m->table, items[i], &e)) < 0) {
            break;
        } else {
            append_expression(m, d, &e, collation);
            sql_expression_free(&e);
        }
    }
    source_answered(stmt);
    d->understood &= error == 0 && (count == 0 || i == count);
    rc = rc == SQLITE_DONE ? SQLITE_OK : rc;
    return rc == SQLITE_OK ? result_of(error) : rc;
}

/* `sql`: of an index that was made by CREATE INDEX; NULL for one that belongs to a constraint. */
static int append_index(struct maker *m, struct draft *d, const char *sql, bool partial)
{
    struct sql_span where = {NULL, 0}, *items = NULL;
    struct sql_token *tokens = NULL;
    size_t token_count = 0, count = 0;
    int error = 0, rc;

    if (sql)
        error = sql_tokens(sql, &tokens, &token_count);
    if (sql && error == 0)
        error = sql_index_parts((struct sql_span){tokens, token_count}, &items, &count, &where);
    d->understood = error == 0 && partial == (where.count > 0);
    if ((rc = result_of(error)) == SQLITE_OK)
        rc = append_items(m, d, items, count);
    if (rc == SQLITE_OK && d->understood && partial) {
        error = append_condition(m, d, where);
        d->understood = error == 0;
        rc = result_of(error);
    }
    free(items);
    free(tokens);
    return rc;
}

/* Two rows of one rowid cannot be. Before an insert that leaves the choice to SQLite NEW has -1. */
static void append_rowid(struct maker *m, struct draft *d)
{
    const struct table_info *t = m->table;

    d->out->rowid = d->understood = true;
    if (!t->rowid_key) {
        sqlite3_str_appendf(d->where, "r.%s=NEW.%s", t->rowid_name, t->rowid_name);
        return;
    }
    const char *key = t->columns[t->key[0]].name;
    d->matter[t->key[0]] = d->exact[t->key[0]] = true;
    sqlite3_str_appendf(d->where, "r.\"%w\"=NEW.\"%w\"", key, key);
}

int lookup_try(struct source *s, const char *table, const char *where, bool *works)
{
    sqlite3_stmt *stmt = NULL;
    char *sql = sqlite3_mprintf("SELECT (SELECT 1 FROM main.\"%w\" AS r WHERE %s) FROM "
                                "main.\"%w\" AS NEW",
                                table, where, table);
    int rc = sql ? sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL) : SQLITE_NOMEM;

    sqlite3_finalize(stmt);
    sqlite3_free(sql);
    if ((rc & 0xff) != SQLITE_ERROR) {
        *works = rc == SQLITE_OK;
        return rc;
    }
    const char *said = sqlite3_errmsg(s->db);
    *works =
        strncmp(said, "no such function", 16) == 0 || strncmp(said, "no such collation", 17) == 0;
    return SQLITE_OK;
}

static int finish(struct maker *m, struct draft *d)
{
    size_t n = m->table->column_count;
    struct lookup_info *l = d->out;
    char *where = sqlite3_str_finish(d->where);
    int rc = where ? SQLITE_OK : SQLITE_NOMEM;

    if (rc == SQLITE_OK && d->understood && d->worded)
        rc = lookup_try(m->source, m->table->name, where, &d->understood);
    if (!d->understood)
        limit(m, d, "its definition is beyond us");
    else if (where && !(l->where = strdup(where)))
        rc = SQLITE_NOMEM;
    sqlite3_free(where);
    if (m->rc != SQLITE_OK)
        rc = m->rc;
    if (rc == SQLITE_OK)
        rc = list_flags(d->matter, n, &l->columns, &l->column_count);
    if (rc == SQLITE_OK)
        rc = list_flags(d->read, n, &l->reads, &l->read_count);
    if (rc == SQLITE_OK)
        rc = list_flags(d->exact, n, &l->exact, &l->exact_count);
    return rc;
}

/* One more lookup: of the index, or of the rowid when `index` is NULL. */
static int add_lookup(struct maker *m, const char *index, const char *sql, bool partial)
{
    struct table_info *t = m->table;
    size_t n = t->column_count;
    struct lookup_info *more = realloc(t->lookups, (t->lookup_count + 1) * sizeof *more);
    bool *flags = calloc(3 * n + 1, sizeof *flags);
    int rc = more && flags ? SQLITE_OK : SQLITE_NOMEM;

    if (more)
        t->lookups = more;
    if (rc == SQLITE_OK) {
        struct draft d = {.out = &t->lookups[t->lookup_count++],
                          .matter = flags,
                          .read = flags + n,
                          .exact = flags + 2 * n,
                          .where = sqlite3_str_new(m->source->db)};
        *d.out = (struct lookup_info){.index = strdup(index ? index : "")};
        if (!d.out->index)
            rc = SQLITE_NOMEM;
        else if (index)
            rc = append_index(m, &d, sql, partial);
        else
            append_rowid(m, &d);
        int finished = finish(m, &d);
        rc = rc == SQLITE_OK ? finished : rc;
    }
    free(flags);
    return rc;
}

static int read_indexes(struct maker *m)
{
    const struct table_info *t = m->table;
    sqlite3_stmt *stmt = NULL;
    int rc = source_ask(m->source,
                        "SELECT l.name, l.partial, m.sql FROM pragma_index_list(?1,'main') AS l "
                        "LEFT JOIN sqlite_schema AS m ON m.type='index' AND m.name=l.name "
                        "WHERE l.\"unique\"=1 ORDER BY l.seq DESC",
                        t->name, &stmt);

    if (rc == SQLITE_OK && t->kind == TABLE_ROWID && (t->rowid_key || t->rowid_name))
        rc = add_lookup(m, NULL, NULL, false);
    while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
        rc = add_lookup(m, (const char *)sqlite3_column_text(stmt, 0),
                        (const char *)sqlite3_column_text(stmt, 2),
                        sqlite3_column_int(stmt, 1) != 0);
    source_answered(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int lookups_read(struct source *s, struct table_info *t)
{
    size_t n = t->column_count ? t->column_count : 1;
    struct maker m = {.source = s,
                      .table = t,
                      .defaults = calloc(n, sizeof *m.defaults),
                      .unforeseen = calloc(n, sizeof *m.unforeseen),
                      .asked = calloc(n, sizeof *m.asked),
                      .rc = SQLITE_OK};
    int rc = m.defaults && m.unforeseen && m.asked ? read_bases(t) : SQLITE_NOMEM;

    if (rc == SQLITE_OK)
        rc = read_indexes(&m);
    for (size_t i = 0; m.defaults && i < n; i++)
        free(m.defaults[i]);
    free(m.defaults);
    free(m.unforeseen);
    free(m.asked);
    return rc;
}

void lookups_clear(struct table_info *t)
{
    for (size_t i = 0; i < t->column_count; i++)
        free(t->columns[i].bases);
    for (size_t i = 0; i < t->lookup_count; i++) {
        struct lookup_info *l = &t->lookups[i];
        free(l->index);
        free(l->where);
        free(l->limit);
        free(l->columns);
        free(l->reads);
        free(l->exact);
    }
    free(t->lookups);
}
