/* Capture of any schema that SQLite takes. The input is SQL of it: tables and their indexes.
 *
 * Held: every token lies where the one before it ends; an expression written anew is written the
 * same again; an index is looked up or said to be beyond us; installing succeeds; and what the
 * application could write before (as far as SQLite compiles it) it can write after, renames of
 * tables included. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/plan.h"
#include "source/capture_sql.h"
#include "source/catalog.h"
#include "source/sql_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_TABLES = 8, MAX_STEPS = 2000 };

/* --- text ------------------------------------------------------------------------------------- */

static void check_tokens(const char *sql)
{
    const char *at = sql, *end = sql;

    for (struct sql_token t = sql_next(&at); t.kind != SQL_END; t = sql_next(&at)) {
        if (t.len == 0 || t.text < end || at != t.text + t.len)
            abort();
        end = at;
        char *plain = sql_unquoted(&t);
        bool name = t.kind == SQL_WORD || t.kind == SQL_QUOTED || t.kind == SQL_STRING;
        if (!plain || (name && !sql_is_name(&t, plain)))
            abort();
        free(plain);
    }
    if (*at)
        abort();
}

static char *rewritten(const struct table_info *t, const char *sql)
{
    struct sql_token *tokens = NULL;
    struct sql_expression e;
    size_t count = 0;
    char *text = NULL;

    if (sql_tokens(sql, &tokens, &count) == 0 &&
        sql_expression_make(t, (struct sql_span){tokens, count}, &e) == 0) {
        text = strdup(e.text.data);
        sql_expression_free(&e);
    }
    free(tokens);
    return text;
}

static void check_expression(const char *sql)
{
    struct column_info columns[] = {{.name = (char *)"a"}, {.name = (char *)"b c"}};
    struct table_info t = {.name = (char *)"t", .columns = columns, .column_count = 2};
    char *once = rewritten(&t, sql), *twice = once ? rewritten(&t, once) : NULL;

    if (once && (!twice || strcmp(once, twice) != 0)) {
        fprintf(stderr, "%s\n%s\n", once, twice ? twice : "(not understood)");
        abort();
    }
    free(once);
    free(twice);
}

/* --- schemas ---------------------------------------------------------------------------------- */

static int allow(void *arg, int action, const char *a, const char *b, const char *c, const char *d)
{
    (void)arg;
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    switch (action) {
    case SQLITE_CREATE_TABLE:
    case SQLITE_CREATE_INDEX:
    case SQLITE_INSERT:
    case SQLITE_UPDATE:
    case SQLITE_READ:
    case SQLITE_REINDEX:
    case SQLITE_FUNCTION:
        return SQLITE_OK;
    default:
        return SQLITE_DENY;
    }
}

static int stop(void *arg)
{
    int *steps = arg;

    return ++*steps > MAX_STEPS;
}

static bool compiles(sqlite3 *db, const char *fmt, const char *table)
{
    sqlite3_stmt *stmt = NULL;
    char *sql = sqlite3_mprintf(fmt, table);
    bool ok = sql && sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK;

    sqlite3_finalize(stmt);
    sqlite3_free(sql);
    return ok;
}

/* What of these the application may do. */
static unsigned possible(sqlite3 *db, const struct table_info *t)
{
    unsigned can = compiles(db, "INSERT INTO main.\"%w\" DEFAULT VALUES", t->name);

    can |= (unsigned)compiles(db, "DELETE FROM main.\"%w\"", t->name) << 1;
    for (size_t i = 0; i < t->column_count; i++) {
        char *fmt = sqlite3_mprintf("UPDATE main.\"%%w\" SET \"%w\"=1", t->columns[i].name);
        if (fmt && !strchr(t->columns[i].name, '%') && i < 20)
            can |= (unsigned)compiles(db, fmt, t->name) << (i + 2);
        sqlite3_free(fmt);
    }
    sqlite3_exec(db, "SAVEPOINT s", NULL, NULL, NULL);
    char *sql = sqlite3_mprintf("ALTER TABLE main.\"%w\" RENAME TO renamed_here", t->name);
    can |= (unsigned)(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK) << 30;
    sqlite3_free(sql);
    sqlite3_exec(db, "ROLLBACK TO s; RELEASE s", NULL, NULL, NULL);
    return can;
}

static void check_lookups(const struct table_info *t)
{
    for (size_t i = 0; i < t->lookup_count; i++)
        if (!t->lookups[i].where && !t->lookups[i].limit)
            abort();
}

static void check_schema(struct source *s, struct catalog *c)
{
    static const uint8_t nonce[CAPTURE_NONCE_SIZE];
    struct table_plan *plans[MAX_TABLES] = {NULL};
    struct capture_table tables[MAX_TABLES];
    unsigned before[MAX_TABLES];
    struct plan_options o = {.target = "target"};
    struct capture capture = {.tables = tables, .journal_limit = 1000};
    struct err err = {.text = ""};

    for (size_t i = 0; i < c->count && capture.count < MAX_TABLES; i++) {
        size_t n = capture.count;
        check_lookups(&c->tables[i]);
        /* Nor is a table mirrored whose rows SQLite cannot read (a generated column made of
         * itself). */
        if (!compiles(s->db, "SELECT * FROM main.\"%w\"", c->tables[i].name) ||
            plan_make(&c->tables[i], &o, &plans[n], &err) < 0)
            continue;
        before[n] = possible(s->db, &c->tables[i]);
        tables[n] = (struct capture_table){.id = (uint32_t)n + 1, .plan = plans[n]};
        capture.count++;
    }
    if (capture_install(s, &capture, nonce) != SQLITE_OK) {
        fprintf(stderr, "%s\n", sqlite3_errmsg(s->db));
        abort();
    }
    for (size_t i = 0, n = 0; n < capture.count; i++) {
        if (strcmp(c->tables[i].name, plans[n]->table) != 0)
            continue;
        unsigned after = possible(s->db, &c->tables[i]);
        if (before[n] & ~after) {
            fprintf(stderr, "%s: %x, %x\n", c->tables[i].name, before[n], after);
            abort();
        }
        n++;
    }
    for (size_t n = 0; n < MAX_TABLES; n++)
        plan_free(plans[n]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct source s = {.path = (char *)":memory:"};
    struct catalog *c = NULL;
    struct err err = {.text = ""};
    int steps = 0;
    char *sql = strndup((const char *)data, size);

    check_tokens(sql);
    check_expression(sql);
    if (sqlite3_open(":memory:", &s.db) != SQLITE_OK)
        abort();
    sqlite3_limit(s.db, SQLITE_LIMIT_LENGTH, 1000000);
    sqlite3_progress_handler(s.db, 100, stop, &steps);
    sqlite3_set_authorizer(s.db, allow, NULL);
    sqlite3_exec(s.db, sql, NULL, NULL, NULL);
    sqlite3_set_authorizer(s.db, NULL, NULL);
    sqlite3_progress_handler(s.db, 0, NULL, NULL);
    sqlite3_db_config(s.db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    if (sqlite3_get_autocommit(s.db) && catalog_read(&s, &c, &err) == SOURCE_OK)
        check_schema(&s, c);
    catalog_free(c);
    source_forget_questions(&s);
    sqlite3_close(s.db);
    free(sql);
    return 0;
}
