/* Random databases: tables of every kind with odd names, columns and values, made from a seed. */
#ifndef SYNCD_TESTS_RANDOM_DATABASE_H
#define SYNCD_TESTS_RANDOM_DATABASE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "database_fixture.h"
#include "source/schema_dump.h"

enum { MAX_GENERATED = 4, MAX_ITEMS = 400, MAX_GEN_COLUMNS = 12 };

struct gen_column {
    char name[32];
    const char *type;
    bool generated, not_null, excluded;
};

struct gen_table {
    char name[32];
    struct gen_column columns[MAX_GEN_COLUMNS];
    size_t count, keys; /* the first columns are the key */
    bool strict, without_rowid, autoincrement, rowid_key;
};

struct item_of {
    char *target;
    json_t *item;
};

struct trip {
    struct rng rng;
    uint64_t seed;
    char path[128];
    sqlite3 *origin;
    struct source source;
    struct buf mapping_text;
    struct config *config;
    struct gen_table tables[MAX_GENERATED];
    size_t table_count;
    struct item_of items[MAX_ITEMS];
    size_t item_count, foreign;
    struct schema_dump *dump;
    char version[SCHEMA_DUMP_VERSION_SIZE];
};

static uint64_t upto(struct trip *t, uint64_t n)
{
    return rng_upto(&t->rng, n);
}

static bool chance(struct trip *t, unsigned percent)
{
    return upto(t, 99) < percent;
}

static void run_sql(struct trip *t, const char *sql)
{
    char *said = NULL;

    if (sqlite3_exec(t->origin, sql, NULL, NULL, &said) != SQLITE_OK)
        fail_msg("seed %llu: %s\n  in: %s", (unsigned long long)t->seed, said, sql);
}

/* --- schemas ---------------------------------------------------------------------------------- */

static const char *const odd_names[] = {"plain",  "sp ace", "qu\"ote", "select", "ünï", "a.b",
                                        "[x]",    "it's",   "UPPER",   "_",      "#{}", "日本",
                                        "rowidx", "${x}",   "1st",     "a%b"};
static const char *const types[] = {"INTEGER",
                                    "INT",
                                    "REAL",
                                    "DOUBLE",
                                    "NUMERIC",
                                    "DECIMAL",
                                    "VARCHAR(20)",
                                    "TEXT",
                                    "BLOB",
                                    "",
                                    "BOOLEAN",
                                    "DATE",
                                    "TEXT COLLATE NOCASE"};
static const char *const strict_types[] = {"INTEGER", "INT", "REAL", "TEXT", "BLOB", "ANY"};
static const char *const key_types[] = {"INTEGER", "TEXT", "REAL", "NUMERIC", "BLOB", "VARCHAR(9)"};
static const char *const strict_key_types[] = {"INTEGER", "TEXT", "REAL", "BLOB"};

#define PICK(t, list) (list)[upto(t, sizeof(list) / sizeof *(list)-1)]

static void make_names(struct trip *t, struct gen_table *g, size_t n)
{
    snprintf(g->name, sizeof g->name, "%s%zu", PICK(t, odd_names), n);
    for (size_t i = 0; i < g->count; i++)
        snprintf(g->columns[i].name, sizeof g->columns[i].name, "%s%zu", PICK(t, odd_names), i);
}

static void make_columns(struct trip *t, struct gen_table *g)
{
    g->strict = chance(t, 25);
    g->keys = chance(t, 60) ? 1 : 2 + upto(t, 1);
    g->count = g->keys + upto(t, 6);
    for (size_t i = 0; i < g->keys; i++)
        g->columns[i] = (struct gen_column){
            .type = g->strict ? PICK(t, strict_key_types) : PICK(t, key_types), .not_null = true};
    if (g->keys == 1 && chance(t, 40)) {
        g->columns[0].type = "INTEGER";
        g->rowid_key = true;
        g->autoincrement = chance(t, 50);
    }
    g->without_rowid = !g->rowid_key && chance(t, 40);
    for (size_t i = g->keys; i < g->count; i++)
        g->columns[i] = (struct gen_column){
            .type = g->strict ? PICK(t, strict_types) : PICK(t, types), .not_null = chance(t, 15)};
    if (g->count > g->keys && chance(t, 30)) {
        g->columns[g->count] = (struct gen_column){.type = "TEXT", .generated = true};
        g->count++;
    } else if (g->count > g->keys && chance(t, 20)) {
        g->columns[g->count - 1].excluded = true;
        g->columns[g->count - 1].not_null = false;
    }
}

static void append_column(struct trip *t, sqlite3_str *sql, const struct gen_table *g, size_t i)
{
    const struct gen_column *c = &g->columns[i];

    sqlite3_str_appendf(sql, "%s\"%w\" %s", i ? ", " : "", c->name, c->type);
    if (c->generated) {
        sqlite3_str_appendf(sql, " GENERATED ALWAYS AS (typeof(\"%w\") || '!') %s",
                            g->columns[0].name, chance(t, 50) ? "STORED" : "VIRTUAL");
        return;
    }
    if (i == 0 && g->rowid_key)
        sqlite3_str_appendf(sql, " PRIMARY KEY%s", g->autoincrement ? " AUTOINCREMENT" : "");
    if (c->not_null && !(i == 0 && g->rowid_key))
        sqlite3_str_appendall(sql, " NOT NULL");
    if (chance(t, 20) && i >= g->keys && !g->strict)
        sqlite3_str_appendall(sql, chance(t, 50) ? " DEFAULT 'd''ef'" : " DEFAULT (1 + 1)");
    if (chance(t, 10) && i >= g->keys)
        sqlite3_str_appendf(sql, " CHECK (typeof(\"%w\") <> 'never')", c->name);
}

static void make_table(struct trip *t, size_t n)
{
    struct gen_table *g = &t->tables[t->table_count++];
    sqlite3_str *sql = sqlite3_str_new(NULL);

    make_columns(t, g);
    make_names(t, g, n);
    sqlite3_str_appendf(sql, "CREATE TABLE \"%w\"(", g->name);
    for (size_t i = 0; i < g->count; i++)
        append_column(t, sql, g, i);
    for (size_t i = 0; !g->rowid_key && i < g->keys; i++)
        sqlite3_str_appendf(sql, "%s\"%w\"", i ? ", " : ", PRIMARY KEY (", g->columns[i].name);
    sqlite3_str_appendf(sql, "%s)%s%s%s", g->rowid_key ? "" : ")",
                        g->without_rowid ? " WITHOUT ROWID" : "",
                        g->without_rowid && g->strict ? "," : "", g->strict ? " STRICT" : "");
    char *text = sqlite3_str_finish(sql);
    run_sql(t, text);
    sqlite3_free(text);
}

static void make_others(struct trip *t)
{
    for (size_t i = 0; i < t->table_count; i++) {
        const struct gen_table *g = &t->tables[i];
        const char *table = g->name, *column = g->columns[g->count - 1].name;
        char *sql = sqlite3_mprintf(
            "CREATE INDEX \"i%w\" ON \"%w\"(\"%w\" DESC)%s; CREATE VIEW \"v%w\" AS SELECT * FROM "
            "\"%w\"; CREATE TRIGGER \"t%w\" AFTER INSERT ON \"%w\" BEGIN DELETE FROM \"%w\" WHERE "
            "0; END; CREATE UNIQUE INDEX \"u%w\" ON \"%w\"(\"%w\", abs(random() * 0))",
            table, table, column, "", table, table, table, table, table, "", "", "");
        char *end = strstr(sql, "; CREATE UNIQUE INDEX"); /* random() is not for indexes */
        *end = '\0';
        if (chance(t, 60))
            run_sql(t, sql);
        sqlite3_free(sql);
    }
}

/* --- values ----------------------------------------------------------------------------------- */

static const int64_t integers[] = {
    0, 1, -1, INT64_MAX, INT64_MIN, 1LL << 53, (1LL << 53) + 1, 1000000000000000000LL, -42, 255};
static const double reals[] = {
    0.5,   -1.5, 1.0 / 3, 1e22,     5e-100, 1.0,    -7.0,
    1e125, 1e15, 1e17,    1.1,      1e-130, 9.5e18, 1152921504606846976.0,
    0.1,   4.35, -1e-7,   INFINITY, 1e300,  -0.0};
static const struct {
    const char *bytes;
    int len;
} texts[] = {{"", 0},    {"x", 1},    {"a\0b", 3},   {"12", 2},         {"1.50", 4},
             {"#\\", 2}, {"\xff", 1}, {"日本語", 9}, {"\"", 1},         {"\n\t", 2},
             {" ", 1},   {"1e3", 3},  {"😀\x7f", 5},  {"'; DROP --", 10}};

static void bind_text(struct trip *t, sqlite3_stmt *stmt, int at)
{
    size_t n = upto(t, sizeof texts / sizeof *texts + 5);
    char made[40];

    if (n < sizeof texts / sizeof *texts) {
        sqlite3_bind_text(stmt, at, texts[n].bytes, texts[n].len, SQLITE_TRANSIENT);
        return;
    }
    int len = (int)upto(t, 30) + 1;
    for (int i = 0; i < len; i++)
        made[i] = (char)(' ' + (int)upto(t, 94));
    sqlite3_bind_text(stmt, at, made, len, SQLITE_TRANSIENT);
}

static void bind_real(struct trip *t, sqlite3_stmt *stmt, int at)
{
    double d = PICK(t, reals);

    if (chance(t, 40)) { /* any bits, of a size that DynamoDB takes */
        uint64_t bits = rng_next(&t->rng);
        memcpy(&d, &bits, sizeof d);
        d = isfinite(d) && fabs(d) > 1e-100 && fabs(d) < 1e100 ? d : (double)upto(t, 1000) / 7;
    }
    sqlite3_bind_double(stmt, at, d);
}

/* Mostly what the column's type suggests: a key of another kind is a dead letter. */
static uint64_t kind_of_value(struct trip *t, const struct gen_column *c)
{
    if (chance(t, 30))
        return upto(t, 9);
    return strncmp(c->type, "INT", 3) == 0    ? 0
           : strncmp(c->type, "REAL", 4) == 0 ? 3
           : strcmp(c->type, "NUMERIC") == 0  ? 3
           : strcmp(c->type, "BLOB") == 0     ? 8
                                              : 5;
}

static void bind_any(struct trip *t, sqlite3_stmt *stmt, int at, const struct gen_column *c)
{
    uint64_t kind = kind_of_value(t, c);
    uint8_t blob[20];

    if (kind <= 2) {
        int64_t n = PICK(t, integers);
        sqlite3_bind_int64(stmt, at, chance(t, 50) ? n : (int64_t)upto(t, 200) - 100);
    } else if (kind <= 4) {
        bind_real(t, stmt, at);
    } else if (kind <= 7) {
        bind_text(t, stmt, at);
    } else if (kind == 8) {
        int n = (int)upto(t, sizeof blob);
        for (int i = 0; i < n; i++)
            blob[i] = (uint8_t)upto(t, 255);
        if (n)
            sqlite3_bind_blob(stmt, at, blob, n, SQLITE_TRANSIENT);
        else
            sqlite3_bind_zeroblob(stmt, at, 0);
    } else {
        sqlite3_bind_null(stmt, at);
    }
}

/* Rows that a constraint refuses are left out. */
static void fill(struct trip *t, const struct gen_table *g)
{
    sqlite3_str *sql = sqlite3_str_new(NULL);
    sqlite3_stmt *stmt = NULL;
    int n = 0;

    sqlite3_str_appendf(sql, "INSERT OR IGNORE INTO \"%w\"(", g->name);
    for (size_t i = 0; i < g->count; i++)
        if (!g->columns[i].generated)
            sqlite3_str_appendf(sql, "%s\"%w\"", n++ ? "," : "", g->columns[i].name);
    sqlite3_str_appendall(sql, ") VALUES(?");
    for (int i = 1; i < n; i++)
        sqlite3_str_appendall(sql, ",?");
    sqlite3_str_appendall(sql, ")");
    char *text = sqlite3_str_finish(sql);
    assert_int_equal(sqlite3_prepare_v2(t->origin, text, -1, &stmt, NULL), SQLITE_OK);
    sqlite3_free(text);
    for (uint64_t rows = upto(t, 25); rows > 0; rows--) {
        int at = 0;
        for (size_t i = 0; i < g->count; i++)
            if (!g->columns[i].generated)
                bind_any(t, stmt, ++at, &g->columns[i]);
        sqlite3_step(stmt);
        sqlite3_reset(stmt);
    }
    sqlite3_finalize(stmt);
}

#endif
