#include "source/catalog.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "source/lookups.h"

bool catalog_is_transient_name(const char *name)
{
    static const char *const prefixes[] = {"_litestream_", "_alembic_tmp_",    "new__",
                                           "__new_",       "_knex_temp_alter", "temporary_"};

    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strncasecmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

/* Grow an array by one zeroed element; NULL: no memory. */
static void *grow(void **items, size_t *count, size_t size)
{
    char *more = realloc(*items, (*count + 1) * size);

    if (!more)
        return NULL;
    *items = more;
    memset(more + *count * size, 0, size);
    return more + (*count)++ * size;
}

static char *copy_text(sqlite3_stmt *stmt, int column)
{
    const unsigned char *text = sqlite3_column_text(stmt, column);

    return strdup(text ? (const char *)text : "");
}

enum { MAX_COLUMNS = 2000, NO_COLUMN = -1 };

/* Columns by their places in the key, of which a table has few. */
struct key_places {
    int at[MAX_COLUMNS];
    size_t count;
};

/* The key's columns in key order. PRIMARY KEY(a, a, b) counts its places but names a column once,
 * so places may be empty. */
static int make_key(struct table_info *t, const struct key_places *places)
{
    if (places->count && !(t->key = malloc(places->count * sizeof *t->key)))
        return SQLITE_NOMEM;
    for (size_t i = 0; i < places->count; i++)
        if (places->at[i] != NO_COLUMN)
            t->key[t->key_count++] = (size_t)places->at[i];
    return SQLITE_OK;
}

static void take_place(struct key_places *places, int place, size_t column)
{
    if (place < 1 || place > MAX_COLUMNS)
        return;
    while (places->count < (size_t)place)
        places->at[places->count++] = NO_COLUMN;
    places->at[place - 1] = (int)column;
}

static int read_columns(struct source *s, struct table_info *t)
{
    sqlite3_stmt *stmt = NULL;
    int rc = source_ask(s,
                        "SELECT name, type, \"notnull\", pk, hidden, dflt_value FROM "
                        "pragma_table_xinfo(?1, 'main') ORDER BY cid",
                        t->name, &stmt);
    struct key_places places;

    places.count = 0; /* what is behind that needs no value */
    while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        rc = SQLITE_OK;
        if (sqlite3_column_int(stmt, 4) == 1) /* hidden column of a virtual table */
            continue;
        struct column_info *c = grow((void **)&t->columns, &t->column_count, sizeof *c);
        if (!c || !(c->name = copy_text(stmt, 0)) || !(c->type = copy_text(stmt, 1)) ||
            !(c->collation = strdup("BINARY")) ||
            (sqlite3_column_type(stmt, 5) != SQLITE_NULL && !(c->value = copy_text(stmt, 5)))) {
            rc = SQLITE_NOMEM;
            break;
        }
        c->affinity = affinity_of(c->type, t->strict);
        c->not_null = sqlite3_column_int(stmt, 2) != 0;
        c->generated = sqlite3_column_int(stmt, 4) >= 2;
        take_place(&places, sqlite3_column_int(stmt, 3), t->column_count - 1);
    }
    source_answered(stmt);
    return rc == SQLITE_DONE ? make_key(t, &places) : rc;
}

static int set_collation(struct column_info *c, const char *collation)
{
    char *copy = strdup(collation);

    if (!copy)
        return SQLITE_NOMEM;
    free(c->collation);
    c->collation = copy;
    return SQLITE_OK;
}

/* Columns and collations of one unique index; one with an expression or a generated column is left
 * out, since it cannot be a key. */
static int read_unique(struct source *s, struct table_info *t, const char *index, bool primary)
{
    sqlite3_stmt *stmt = NULL;
    int rc = source_ask(s,
                        "SELECT cid, coll FROM pragma_index_xinfo(?1, 'main') WHERE key = 1 "
                        "ORDER BY seqno",
                        index, &stmt);
    struct unique_info u = {0};
    bool usable = true;

    while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        rc = SQLITE_OK;
        int64_t cid = sqlite3_column_int64(stmt, 0);
        usable = usable && cid >= 0 && (size_t)cid < t->column_count && !t->columns[cid].generated;
        if (!usable)
            continue;
        if (primary) {
            rc = set_collation(&t->columns[cid], (const char *)sqlite3_column_text(stmt, 1));
            continue;
        }
        size_t count = u.column_count;
        size_t *column = grow((void **)&u.columns, &u.column_count, sizeof *column);
        char **collation = grow((void **)&u.collations, &count, sizeof *collation);
        if (!column || !collation || !(*collation = copy_text(stmt, 1))) {
            rc = SQLITE_NOMEM;
            break;
        }
        *column = (size_t)cid;
    }
    source_answered(stmt);
    if (rc == SQLITE_DONE && usable && !primary) {
        struct unique_info *to = grow((void **)&t->uniques, &t->unique_count, sizeof *to);
        if (to && (u.name = strdup(index))) {
            *to = u;
            return SQLITE_OK;
        }
        rc = SQLITE_NOMEM;
    }
    for (size_t i = 0; i < u.column_count; i++)
        free(u.collations[i]);
    free(u.columns);
    free(u.collations);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int read_indexes(struct source *s, struct table_info *t)
{
    sqlite3_stmt *stmt = NULL;
    int rc = source_ask(s,
                        "SELECT name, origin FROM pragma_index_list(?1, 'main') "
                        "WHERE \"unique\" = 1 AND partial = 0 ORDER BY seq",
                        t->name, &stmt);
    bool key_index = false;

    while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        bool primary = strcmp((const char *)sqlite3_column_text(stmt, 1), "pk") == 0;
        key_index |= primary;
        rc = read_unique(s, t, (const char *)sqlite3_column_text(stmt, 0), primary);
    }
    source_answered(stmt);
    /* A primary key of a rowid table without an index of its own is the rowid itself. */
    t->rowid_key = t->kind == TABLE_ROWID && t->key_count == 1 && !key_index;
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static void find_rowid_name(struct table_info *t)
{
    static const char *const names[] = {"rowid", "oid", "_rowid_"};

    for (size_t i = 0; i < 3 && !t->rowid_name && t->kind == TABLE_ROWID; i++)
        if (table_column(t, names[i]) < 0)
            t->rowid_name = names[i];
}

static enum table_kind kind_of(const char *type, bool without_rowid)
{
    if (strcmp(type, "view") == 0)
        return TABLE_VIEW;
    if (strcmp(type, "virtual") == 0)
        return TABLE_VIRTUAL;
    if (strcmp(type, "shadow") == 0)
        return TABLE_SHADOW;
    return without_rowid ? TABLE_WITHOUT_ROWID : TABLE_ROWID;
}

static int read_table(struct source *s, struct table_info *t)
{
    int rc = SQLITE_OK;

    /* The columns of a virtual table are only known to its module, which may be the application's.
     */
    if (t->kind == TABLE_VIRTUAL || t->kind == TABLE_VIEW || t->kind == TABLE_SHADOW)
        return rc;
    if ((rc = read_columns(s, t)) != SQLITE_OK || (rc = read_indexes(s, t)) != SQLITE_OK)
        return rc;
    find_rowid_name(t);
    return lookups_read(s, t);
}

int catalog_add_table(struct source *s, struct catalog *c, const char *name, const char *sql)
{
    struct table_info *t = grow((void **)&c->tables, &c->count, sizeof *t);

    if (!t || !(t->name = strdup(name)) || !(t->sql = strdup(sql)))
        return SQLITE_NOMEM;
    t->kind = TABLE_ROWID;
    return read_table(s, t);
}

static int read_all(struct source *s, struct catalog *c)
{
    sqlite3_stmt *stmt = NULL;
    int rc = source_schema_version(s, &c->schema_version);

    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(
            s->db,
            "SELECT l.name, l.type, l.wr, l.strict, coalesce(m.sql, '') "
            "FROM pragma_table_list AS l JOIN sqlite_schema AS m "
            "ON m.name = l.name AND m.type IN ('table', 'view') "
            "WHERE l.schema = 'main' AND l.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
            "AND l.name NOT LIKE '\\_syncd\\_%' ESCAPE '\\' ORDER BY l.name",
            -1, &stmt, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct table_info *t = grow((void **)&c->tables, &c->count, sizeof *t);
        if (!t || !(t->name = copy_text(stmt, 0)) || !(t->sql = copy_text(stmt, 4))) {
            rc = SQLITE_NOMEM;
            break;
        }
        t->kind =
            kind_of((const char *)sqlite3_column_text(stmt, 1), sqlite3_column_int(stmt, 2) != 0);
        t->strict = sqlite3_column_int(stmt, 3) != 0;
        rc = read_table(s, t);
    }
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

enum source_problem catalog_read(struct source *s, struct catalog **out, struct err *err)
{
    struct catalog *c = calloc(1, sizeof *c);
    bool own = sqlite3_get_autocommit(s->db) != 0;
    int rc = c ? SQLITE_OK : SQLITE_NOMEM;

    if (rc == SQLITE_OK && own)
        rc = source_begin(s);
    if (rc == SQLITE_OK)
        rc = read_all(s, c);
    if (rc != SQLITE_OK) {
        enum source_problem p = source_problem_of(s, rc, "reading its schema", err);
        if (own)
            source_rollback(s);
        catalog_free(c);
        return p;
    }
    if (own)
        source_end(s, rc); /* it has only read */
    *out = c;
    return SOURCE_OK;
}

static void table_clear(struct table_info *t)
{
    lookups_clear(t);
    for (size_t i = 0; i < t->column_count; i++) {
        free(t->columns[i].name);
        free(t->columns[i].type);
        free(t->columns[i].collation);
        free(t->columns[i].value);
    }
    for (size_t i = 0; i < t->unique_count; i++) {
        struct unique_info *u = &t->uniques[i];
        for (size_t j = 0; j < u->column_count; j++)
            free(u->collations[j]);
        free(u->name);
        free(u->columns);
        free(u->collations);
    }
    free(t->columns);
    free(t->uniques);
    free(t->key);
    free(t->name);
    free(t->sql);
}

void catalog_free(struct catalog *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->count; i++)
        table_clear(&c->tables[i]);
    free(c->tables);
    free(c);
}
