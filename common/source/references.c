#include "source/references.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "source/catalog.h"
#include "source/rows.h"

/* --- the schema's foreign keys ---------------------------------------------------------------- */

/* One column of a foreign key: `from` of the table, `to` of the parent (NULL: its primary key). */
struct fk_column {
    char *from, *to;
};

struct reading {
    struct references *out;
    const struct catalog *catalog;
    const struct table_plan *const *plans;
    size_t plan_count;
    const struct table_plan *child;
    /* the key at hand */
    int64_t id;
    char *parent;
    struct fk_column columns[REFERENCE_COLUMNS];
    size_t count;
    bool longer; /* than anybody's is */
};

static void forget(struct reading *x)
{
    for (size_t i = 0; i < x->count; i++) {
        free(x->columns[i].from);
        free(x->columns[i].to);
    }
    free(x->parent);
    x->parent = NULL;
    x->count = 0;
    x->id = -1;
    x->longer = false;
}

static const struct table_info *table_named(const struct reading *x, const char *name)
{
    for (size_t i = 0; i < x->catalog->count; i++)
        if (strcasecmp(x->catalog->tables[i].name, name) == 0)
            return &x->catalog->tables[i];
    return NULL;
}

static const struct table_plan *plan_named(const struct reading *x, const char *name)
{
    for (size_t i = 0; i < x->plan_count; i++)
        if (x->plans[i] && strcasecmp(x->plans[i]->table, name) == 0)
            return x->plans[i];
    return NULL;
}

/* Its place in the plan; column_count: it is not mirrored. */
static size_t plan_column_at(const struct table_plan *p, const char *name)
{
    size_t i = 0;

    while (i < p->column_count && strcasecmp(p->columns[i].name, name) != 0)
        i++;
    return i;
}

static int say(char **where, const char *sentence)
{
    *where = strdup(sentence);
    return *where ? SQLITE_OK : SQLITE_NOMEM;
}

/* Are these columns the whole of a key? Else looking one up may take a look at every row. */
static bool is_key(const size_t *columns, size_t count, const size_t *key, size_t key_count)
{
    size_t found = 0;

    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < key_count; k++)
            found += columns[i] == key[k];
    return count == key_count && found == count;
}

static bool are_unique(const struct table_info *t, const size_t *columns, size_t count)
{
    if (is_key(columns, count, t->key, t->key_count))
        return true;
    for (size_t i = 0; i < t->unique_count; i++)
        if (is_key(columns, count, t->uniques[i].columns, t->uniques[i].column_count))
            return true;
    return false;
}

/* SELECT 1 FROM parent WHERE "a" = ?1 … */
static char *exists_sql(const struct table_info *parent, const size_t *to, size_t count)
{
    sqlite3_str *sql = sqlite3_str_new(NULL);

    sqlite3_str_appendf(sql, "SELECT 1 FROM main.\"%w\" WHERE ", parent->name);
    for (size_t i = 0; i < count; i++)
        sqlite3_str_appendf(sql, "%s\"%w\" = ?%d", i ? " AND " : "", parent->columns[to[i]].name,
                            (int)i + 1);
    sqlite3_str_appendall(sql, " LIMIT 1");
    return sqlite3_str_finish(sql);
}

/* May a row be left out for it? Only if it is noticed when the other row comes. */
static int heed(struct reference *r, const struct table_info *parent, const size_t *to)
{
    if (!r->parent)
        return say(&r->unheeded, "the table that it refers to is not mirrored");
    if (!are_unique(parent, to, r->count))
        return say(&r->unheeded, "the columns that it names are no key of the other table");
    for (size_t i = 0; i < r->count; i++) {
        r->parent_at[i] = plan_column_at(r->parent, parent->columns[to[i]].name);
        if (r->parent_at[i] == r->parent->column_count)
            return say(&r->unheeded, "a column that it names is not mirrored");
    }
    return SQLITE_OK;
}

/* The reference can be looked up; a statement that cannot be made is the schema's fault. */
static int try_out(struct references *all, struct reference *r)
{
    int rc = sqlite3_prepare_v3(all->source->db, r->sql, -1, SQLITE_PREPARE_PERSISTENT, &r->exists,
                                NULL);

    if ((rc & 0xff) != SQLITE_ERROR)
        return rc;
    return say(&r->note,
               "the other table cannot be searched here, as for a collation that only the "
               "application has");
}

static int fill(struct reading *x, struct reference *r)
{
    const struct table_info *parent = table_named(x, r->parent_name);
    size_t to[REFERENCE_COLUMNS];

    if (!parent)
        return say(&r->unheeded, "the table that it refers to does not exist");
    for (size_t i = 0; i < r->count; i++) {
        const char *name = x->columns[i].to;
        if (!name && r->count == parent->key_count)
            name = parent->columns[parent->key[i]].name;
        long at = name ? table_column(parent, name) : -1;
        if (at < 0)
            return say(&r->note, "it refers to columns that the other table does not have");
        to[i] = (size_t)at;
    }
    if (!(r->sql = exists_sql(parent, to, r->count)))
        return SQLITE_NOMEM;
    int rc = heed(r, parent, to);
    return rc == SQLITE_OK ? try_out(x->out, r) : rc;
}

static int settle(struct reading *x)
{
    struct reference r = {.child = x->child, .count = x->count};
    _cleanup_buf_ struct buf names = {0};

    for (size_t i = 0; i < x->count; i++) {
        r.at[i] = plan_column_at(x->child, x->columns[i].from);
        if (r.at[i] == x->child->column_count)
            return SQLITE_OK; /* it is not mirrored */
        buf_printf(&names, "%s%s", i ? ", " : "", x->columns[i].from);
    }
    if (x->count == 0 || x->longer)
        return SQLITE_OK;
    struct reference *more = realloc(x->out->list, (x->out->count + 1) * sizeof *x->out->list);
    if (!more)
        return SQLITE_NOMEM;
    x->out->list = more;
    r.parent_name = strdup(x->parent);
    r.parent = plan_named(x, x->parent);
    r.columns = buf_ok(&names) ? take_ptr(names.data) : NULL;
    more[x->out->count++] = r;
    return r.parent_name && r.columns ? fill(x, &more[x->out->count - 1]) : SQLITE_NOMEM;
}

static char *column_text(sqlite3_stmt *stmt, int i)
{
    const char *s = (const char *)sqlite3_column_text(stmt, i);

    return s ? strdup(s) : NULL;
}

/* Rows of PRAGMA foreign_key_list: those of one key follow each other. */
static int take_row(struct reading *x, sqlite3_stmt *stmt)
{
    int64_t id = sqlite3_column_int64(stmt, 0);
    int rc = id == x->id ? SQLITE_OK : settle(x);

    if (rc != SQLITE_OK)
        return rc;
    if (id != x->id)
        forget(x);
    x->id = id;
    if (!x->parent && !(x->parent = column_text(stmt, 2)))
        return SQLITE_NOMEM;
    x->longer |= x->count == REFERENCE_COLUMNS;
    if (x->longer)
        return SQLITE_OK;
    struct fk_column *c = &x->columns[x->count++];
    c->to = column_text(stmt, 4);
    c->from = column_text(stmt, 3);
    return c->from ? SQLITE_OK : SQLITE_NOMEM;
}

static int read_keys(struct reading *x)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(x->out->source->db,
                                "SELECT id, seq, \"table\", \"from\", \"to\" FROM "
                                "pragma_foreign_key_list(?1, 'main') ORDER BY id, seq",
                                -1, &stmt, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(stmt, 1, x->child->table, -1, SQLITE_STATIC);
    x->id = -1;
    while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
        rc = take_row(x, stmt);
    sqlite3_finalize(stmt);
    if (rc == SQLITE_DONE)
        rc = settle(x);
    forget(x);
    return rc;
}

int references_read(struct source *s, const struct catalog *c,
                    const struct table_plan *const *plans, size_t count, struct references *out)
{
    struct reading x = {.out = out, .catalog = c, .plans = plans, .plan_count = count};
    int rc = SQLITE_OK;

    *out = (struct references){.source = s};
    for (size_t i = 0; rc == SQLITE_OK && i < count; i++) {
        x.child = plans[i];
        rc = x.child ? read_keys(&x) : SQLITE_OK;
    }
    return rc;
}

void references_attach(struct references *r, struct source *s)
{
    for (size_t i = 0; i < r->count; i++) {
        sqlite3_finalize(r->list[i].exists);
        r->list[i].exists = NULL;
    }
    r->source = s;
}

void references_close(struct references *r)
{
    for (size_t i = 0; i < r->count; i++) {
        sqlite3_finalize(r->list[i].exists);
        sqlite3_free(r->list[i].sql);
        free(r->list[i].columns);
        free(r->list[i].parent_name);
        free(r->list[i].note);
        free(r->list[i].unheeded);
    }
    free(r->list);
    *r = (struct references){.source = NULL};
}

/* --- rows ------------------------------------------------------------------------------------- */

int reference_leads_nowhere(struct references *all, struct reference *r, const struct value *row)
{
    int rc = SQLITE_OK;

    for (size_t i = 0; i < r->count; i++)
        if (row[r->at[i]].kind == VALUE_NULL)
            return 0;
    if (!r->sql)
        return 1;
    if (!r->exists)
        rc = sqlite3_prepare_v3(all->source->db, r->sql, -1, SQLITE_PREPARE_PERSISTENT, &r->exists,
                                NULL);
    for (size_t i = 0; rc == SQLITE_OK && i < r->count; i++)
        rc = rows_bind(r->exists, (int)i + 1, &row[r->at[i]]);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(r->exists);
    rows_end(r->exists);
    return rc == SQLITE_ROW ? 0 : rc == SQLITE_DONE ? 1 : rc == SQLITE_NOMEM ? -ENOMEM : -EIO;
}

struct reference *references_missing(struct references *all, const struct table_plan *child,
                                     const struct value *row, int *rc)
{
    *rc = 0;
    for (size_t i = 0; i < all->count; i++) {
        struct reference *r = &all->list[i];
        if (r->child != child || r->note || r->unheeded)
            continue;
        int nowhere = reference_leads_nowhere(all, r, row);
        *rc = nowhere < 0 ? nowhere : 0;
        if (nowhere != 0)
            return nowhere > 0 ? r : NULL;
    }
    return NULL;
}

/* Whole numbers that a double holds exactly are told apart; others are all taken for the same, as
 * text and the number that it stands for may differ in a bit of it. */
static void number_key(double x, struct buf *out)
{
    if (x == floor(x) && fabs(x) < 9007199254740992.0)
        buf_printf(out, "n%.0f", x + 0.0);
    else
        buf_lit(out, "r");
}

/* A number in text is that number (affinity); other text without regard to case and trailing blanks
 * (NOCASE, RTRIM). */
static void text_key(const struct value *v, struct buf *out)
{
    char digits[64], *end;
    size_t n = v->len;

    while (n && isspace((unsigned char)v->bytes[n - 1]))
        n--;
    if (n && n < sizeof digits) {
        memcpy(digits, v->bytes, n);
        digits[n] = '\0';
        double x = strtod(digits, &end);
        if (end == digits + n && strlen(digits) == n) {
            number_key(x, out);
            return;
        }
    }
    buf_lit(out, "t");
    for (size_t i = 0; i < n; i++)
        buf_putc(out, (char)tolower((unsigned char)v->bytes[i]));
}

void reference_key(const struct reference *r, const struct value *row, bool parent, struct buf *out)
{
    const size_t *at = parent ? r->parent_at : r->at;

    buf_puts(out, r->child->table);
    buf_putc(out, '\0');
    buf_puts(out, r->columns);
    for (size_t i = 0; i < r->count; i++) {
        const struct value *v = &row[at[i]];
        buf_putc(out, '\0');
        if (v->kind == VALUE_INTEGER)
            number_key((double)v->integer, out);
        else if (v->kind == VALUE_REAL)
            number_key(v->real, out);
        else if (v->kind == VALUE_TEXT)
            text_key(v, out);
        else if (v->kind == VALUE_BLOB) {
            buf_lit(out, "b");
            buf_append(out, v->bytes, v->len);
        }
    }
}

void reference_describe(const struct reference *r, const struct value *row, struct buf *out)
{
    for (size_t i = 0; i < r->count; i++) {
        buf_printf(out, "%s%s=", i ? ", " : "", r->child->columns[r->at[i]].name);
        value_describe(out, &row[r->at[i]]);
    }
}
