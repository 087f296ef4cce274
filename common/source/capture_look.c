/* What of capture is in a database: triggers, journal, sentinel. The schema is read once for all
 * tables, and what is asked of one of a thousand is found by halving. */
#include "source/capture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "source/canary.h"
#include "source/capture_sql.h"
#include "source/sql_tokens.h"

static bool from_hex(const char *text, uint8_t out[CAPTURE_ID_SIZE])
{
    static const char digits[] = "0123456789abcdef";

    if (strspn(text, digits) < 2 * CAPTURE_ID_SIZE)
        return false;
    for (size_t i = 0; i < CAPTURE_ID_SIZE; i++) {
        size_t high = (size_t)(strchr(digits, text[2 * i]) - digits);
        size_t low = (size_t)(strchr(digits, text[2 * i + 1]) - digits);
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool capture_parse_identity(const char *sql, uint8_t id[CAPTURE_ID_SIZE],
                            uint8_t place[CAPTURE_ID_SIZE])
{
    static const char mark[] = "/* database ", at[] = " at ";
    const char *p = sql ? strstr(sql, mark) : NULL;

    if (!p || !from_hex(p += sizeof mark - 1, id))
        return false;
    p += 2 * CAPTURE_ID_SIZE;
    return strncmp(p, at, sizeof at - 1) == 0 && from_hex(p + sizeof at - 1, place);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Id and kind out of a name that we could have given; others keep id 0. Nine digits leave room for
 * the ids above. */
static void parse_name(struct capture_found *f)
{
    static const char prefix[] = "_syncd_";
    const char *id = f->name + sizeof prefix - 1;

    if (strncmp(f->name, prefix, sizeof prefix - 1) != 0) /* LIKE takes capitals for the same */
        return;
    size_t digits = strspn(id, "0123456789");
    if (digits < 1 || digits > 9 || id[0] == '0' || id[digits] != '_')
        return;
    const char *kind = id + digits + 1;
    size_t n = strspn(kind, "abcdefghijklmnopqrstuvwxyz0123456789");
    if (n < 1 || n >= CAPTURE_KIND_SIZE || kind[n])
        return;
    memcpy(f->kind, kind, n + 1);
    f->id = (uint32_t)strtoul(id, NULL, 10);
}

static int add_trigger(struct capture_state *st, sqlite3_stmt *stmt)
{
    struct capture_found *more = realloc(st->triggers, (st->count + 1) * sizeof *st->triggers);

    if (!more)
        return SQLITE_NOMEM;
    st->triggers = more;
    struct capture_found *f = &more[st->count++];
    *f = (struct capture_found){.entry = sqlite3_column_int64(stmt, 3),
                                .root = sqlite3_column_int64(stmt, 4),
                                .name = strdup((const char *)sqlite3_column_text(stmt, 1)),
                                .table = strdup((const char *)sqlite3_column_text(stmt, 2)),
                                .sql = strdup((const char *)sqlite3_column_text(stmt, 5))};
    if (!f->name || !f->table || !f->sql)
        return SQLITE_NOMEM;
    parse_name(f);
    return SQLITE_OK;
}

static int add_table(struct capture_state *st, sqlite3_stmt *stmt)
{
    struct capture_entry *more = realloc(st->tables, (st->table_count + 1) * sizeof *st->tables);

    if (!more)
        return SQLITE_NOMEM;
    st->tables = more;
    struct capture_entry *t = &more[st->table_count++];
    *t = (struct capture_entry){.entry = sqlite3_column_int64(stmt, 3),
                                .root = sqlite3_column_int64(stmt, 4),
                                .name = strdup((const char *)sqlite3_column_text(stmt, 1))};
    if (!t->name)
        return SQLITE_NOMEM;
    st->canary |= strcmp(t->name, CANARY_TABLE) == 0;
    return SQLITE_OK;
}

static int look_schema(struct source *s, struct capture_state *st)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(s->db,
                                "SELECT type='trigger', name, tbl_name, rowid, rootpage, sql "
                                "FROM sqlite_schema WHERE type='table' OR (type='trigger' "
                                "AND name LIKE '\\_syncd\\_%' ESCAPE '\\') ORDER BY rowid",
                                -1, &stmt, NULL);

    while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
        rc = sqlite3_column_int(stmt, 0) ? add_trigger(st, stmt) : add_table(st, stmt);
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* --- finding ---------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    const struct capture_found *const *x = a, *const *y = b;

    return strcmp((*x)->name, (*y)->name);
}

static int by_table(const void *a, const void *b)
{
    const struct capture_found *const *x = a, *const *y = b;
    int rc = strcasecmp((*x)->table, (*y)->table);

    return rc ? rc : (*x)->entry < (*y)->entry ? -1 : (*x)->entry > (*y)->entry;
}

static int by_entry_name(const void *a, const void *b)
{
    const struct capture_entry *x = a, *y = b;

    return strcasecmp(x->name, y->name);
}

static int put_in_order(struct capture_state *st)
{
    if (st->table_count)
        qsort(st->tables, st->table_count, sizeof *st->tables, by_entry_name);
    if (!st->count)
        return SQLITE_OK;
    st->by_name = malloc(st->count * sizeof(struct capture_found *));
    st->by_table = malloc(st->count * sizeof(struct capture_found *));
    if (!st->by_name || !st->by_table)
        return SQLITE_NOMEM;
    for (size_t i = 0; i < st->count; i++) {
        st->by_name[i] = st->by_table[i] = &st->triggers[i];
        if (st->triggers[i].id > st->max_id)
            st->max_id = st->triggers[i].id;
    }
    qsort(st->by_name, st->count, sizeof *st->by_name, by_name);
    qsort(st->by_table, st->count, sizeof *st->by_table, by_table);
    return SQLITE_OK;
}

const struct capture_found *capture_find(const struct capture_state *st, const char *name)
{
    const struct capture_found sought = {.name = (char *)name}, *key = &sought;
    struct capture_found **at =
        st->count ? bsearch(&key, st->by_name, st->count, sizeof *st->by_name, by_name) : NULL;

    return at ? *at : NULL;
}

/* Of by_table, where the triggers of a table begin. */
static size_t first_of(const struct capture_state *st, const char *table)
{
    size_t first = 0, end = st->count;

    while (first < end) {
        size_t middle = first + (end - first) / 2;
        if (strcasecmp(st->by_table[middle]->table, table) < 0)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

static bool is_of(const struct capture_state *st, size_t i, const char *table)
{
    return i < st->count && strcasecmp(st->by_table[i]->table, table) == 0;
}

static struct capture_entry *find_table(const struct capture_state *st, const char *table)
{
    const struct capture_entry sought = {.name = (char *)table};

    return st->table_count
               ? bsearch(&sought, st->tables, st->table_count, sizeof *st->tables, by_entry_name)
               : NULL;
}

bool capture_cut_short(const struct capture_state *st, const struct capture_found *f)
{
    const struct capture_entry *t = find_table(st, f->table);
    bool after = strcmp(f->kind, "i") == 0 || strcmp(f->kind, "u") == 0;

    return after && t && t->others > f->entry;
}

uint32_t capture_id_of(const struct capture_state *st, const char *table)
{
    for (size_t i = first_of(st, table); is_of(st, i, table); i++)
        if (st->by_table[i]->id)
            return st->by_table[i]->id;
    return 0;
}

uint32_t capture_max_id(const struct capture_state *st)
{
    return st->max_id;
}

static void put_entry(sqlite3_str *mark, int64_t entry, int64_t root)
{
    sqlite3_str_appendf(mark, "%s%lld:%lld", sqlite3_str_length(mark) ? " " : "", (long long)entry,
                        (long long)root);
}

/* The table, its triggers in the order of the schema, the cap. Each has its place: a VACUUM may
 * give the numbers of triggers and cap to the same ones in another order. */
char *capture_mark(const struct capture_state *st, const char *table)
{
    const struct capture_entry *t = find_table(st, table);
    const struct capture_found *cap = capture_find(st, "_syncd_cap");

    if (!t)
        return NULL;
    sqlite3_str *mark = sqlite3_str_new(NULL);
    put_entry(mark, t->entry, t->root);
    for (size_t i = first_of(st, table); is_of(st, i, table); i++)
        put_entry(mark, st->by_table[i]->entry, st->by_table[i]->root);
    if (cap)
        put_entry(mark, cap->entry, cap->root);
    return sqlite3_str_finish(mark);
}

bool capture_mark_deceives(const struct capture_state *st, const char *table, uint32_t changes)
{
    size_t first = first_of(st, table);

    return is_of(st, first, table) &&
           changes > st->count - (size_t)(st->by_table[first] - st->triggers);
}

/* --- the application's triggers --------------------------------------------------------------- */

/* CREATE TRIGGER [schema .] name AFTER …: not so before a change, which is not made then either,
 * and not of DELETE, which our own trigger precedes. One that is not understood may be anything. */
static bool runs_after(const char *sql)
{
    struct sql_token t = {.kind = SQL_END};

    for (int i = 0; i < 4; i++)
        t = sql_next(&sql);
    if (sql_is_mark(&t, ".")) {
        sql_next(&sql);
        t = sql_next(&sql);
    }
    if (t.kind == SQL_BROKEN)
        return true;
    const struct sql_token event = sql_next(&sql);
    return sql_is_word(&t, "AFTER") && !sql_is_word(&event, "DELETE");
}

static int look_others(struct source *s, struct capture_state *st)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(s->db,
                                "SELECT tbl_name, rowid, sql FROM sqlite_schema WHERE "
                                "type='trigger' AND name NOT LIKE '\\_syncd\\_%' ESCAPE '\\' "
                                "ORDER BY rowid",
                                -1, &stmt, NULL);

    while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *table = (const char *)sqlite3_column_text(stmt, 0);
        const char *sql = (const char *)sqlite3_column_text(stmt, 2);
        struct capture_entry *t = table ? find_table(st, table) : NULL;
        rc = table && sql ? SQLITE_OK : SQLITE_NOMEM;
        if (t && sql && runs_after(sql))
            t->others = sqlite3_column_int64(stmt, 1);
    }
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* --- looking ---------------------------------------------------------------------------------- */

static int look_journal(struct source *s, struct capture_state *st)
{
    sqlite3_stmt *stmt = NULL;
    int64_t keys = 0;
    int rc = source_query_int(s,
                              "SELECT count(*) FROM pragma_table_info('_syncd_journal','main') "
                              "WHERE name GLOB 'k[0-9]*'",
                              &keys);

    st->first_seq = st->max_seq = -1;
    if (rc != SQLITE_OK || keys == 0)
        return rc;
    st->journal = true;
    st->journal_keys = (unsigned)keys;
    rc = sqlite3_prepare_v2(s->db,
                            "SELECT seq, t, k0, (SELECT max(seq) FROM _syncd_journal), k1 "
                            "FROM _syncd_journal ORDER BY seq LIMIT 1",
                            -1, &stmt, NULL);
    /* Of a journal that lost its beginning this is an entry, with a key of any length. */
    if (rc == SQLITE_OK && (rc = source_step_unbounded(stmt)) == SQLITE_ROW) {
        st->first_seq = sqlite3_column_int64(stmt, 0);
        st->first_t = sqlite3_column_int64(stmt, 1);
        st->max_seq = sqlite3_column_int64(stmt, 3);
        st->nonce_valid = st->first_t == 0 && sqlite3_column_type(stmt, 2) == SQLITE_BLOB &&
                          sqlite3_column_bytes(stmt, 2) == CAPTURE_NONCE_SIZE;
        if (st->nonce_valid)
            memcpy(st->nonce, sqlite3_column_blob(stmt, 2), CAPTURE_NONCE_SIZE);
        if (st->nonce_valid && sqlite3_column_type(stmt, 4) == SQLITE_BLOB &&
            sqlite3_column_bytes(stmt, 4) == CAPTURE_ID_SIZE) {
            st->id_valid = true;
            memcpy(st->id, sqlite3_column_blob(stmt, 4), CAPTURE_ID_SIZE);
        }
        rc = SQLITE_OK;
    }
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int capture_look(struct source *s, struct capture_state **out)
{
    struct capture_state *st = calloc(1, sizeof *st);
    int rc = st ? look_schema(s, st) : SQLITE_NOMEM;

    if (rc == SQLITE_OK)
        rc = put_in_order(st);
    if (rc == SQLITE_OK)
        rc = look_others(s, st);
    if (rc == SQLITE_OK)
        rc = look_journal(s, st);
    const struct capture_found *cap = rc == SQLITE_OK ? capture_find(st, "_syncd_cap") : NULL;
    if (cap && capture_parse_identity(cap->sql, st->id, st->place))
        st->id_valid = st->place_valid = true;
    if (rc == SQLITE_OK)
        *out = st;
    else
        capture_state_free(st);
    return rc;
}

void capture_state_free(struct capture_state *st)
{
    if (!st)
        return;
    for (size_t i = 0; i < st->count; i++) {
        free(st->triggers[i].name);
        free(st->triggers[i].table);
        free(st->triggers[i].sql);
    }
    for (size_t i = 0; i < st->table_count; i++)
        free(st->tables[i].name);
    free(st->by_name);
    free(st->by_table);
    free(st->tables);
    free(st->triggers);
    free(st);
}
