/* The application whose instructions are counted; valgrind watches work() alone.
 *
 *   worker --database FILE --table NAME --work insert|update|delete --transactions N --rows N
 *
 * The table's first column is its key, an integer or text in the shape of a UUID, both made from
 * the row's number; its last column is the body, 200 bytes of text; those between are unique texts.
 * New rows are numbered from 1,000,000; those updated or deleted are spread over the first 100,000.
 * A row alone is a statement alone, without BEGIN. Everything is prepared before, and the WAL is
 * emptied, so that all runs begin alike.
 *
 *   worker --fill N ...    makes rows 1 to N instead. */
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

enum { BODY = 200, NEW_ROWS = 1000000, OLD_ROWS = 100000, STRIDE = 7919 };

struct worker {
    const char *database, *table, *work;
    long transactions, rows, fill;
    bool text_key;
    int columns;
    sqlite3 *db;
    sqlite3_stmt *begin, *change, *commit;
    char body[BODY];
};

static int step(sqlite3_stmt *stmt)
{
    int rc = sqlite3_step(stmt);

    sqlite3_reset(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static void bind_key(struct worker *w, int64_t number)
{
    char key[64];
    uint64_t a = (uint64_t)number * UINT64_C(0x9e3779b97f4a7c15);
    uint64_t b = a ^ a >> 29;

    if (!w->text_key) {
        sqlite3_bind_int64(w->change, 1, number);
        return;
    }
    snprintf(key, sizeof key, "%08x-%04x-4%03x-8%03x-%012" PRIx64, (unsigned)(a >> 32),
             (unsigned)(a >> 16 & 0xffff), (unsigned)(a & 0xfff), (unsigned)(b >> 48 & 0xfff),
             b * UINT64_C(0xbf58476d1ce4e5b9) >> 16);
    sqlite3_bind_text(w->change, 1, key, -1, SQLITE_TRANSIENT);
}

static int change(struct worker *w, int64_t number)
{
    char text[32];

    bind_key(w, number);
    w->body[0] = (char)('A' + number % 26);
    if (strcmp(w->work, "delete") != 0)
        sqlite3_bind_text(w->change, 2, w->body, BODY, SQLITE_STATIC);
    if (strcmp(w->work, "insert") == 0)
        for (int i = 3; i <= w->columns; i++) {
            snprintf(text, sizeof text, "%d-%08" PRId64 "@example.org", i,
                     number * STRIDE % 9999991);
            sqlite3_bind_text(w->change, i, text, -1, SQLITE_TRANSIENT);
        }
    return step(w->change);
}

/* Not inlined: valgrind finds it by its name. */
__attribute__((noinline)) static int work(struct worker *w, int64_t number)
{
    int rc = SQLITE_OK;

    for (long t = 0; rc == SQLITE_OK && t < w->transactions; t++) {
        rc = w->rows > 1 ? step(w->begin) : SQLITE_OK;
        for (long r = 0; rc == SQLITE_OK && r < w->rows; r++, number++)
            rc = change(w, number < NEW_ROWS && !w->fill ? 1 + number * STRIDE % OLD_ROWS : number);
        if (rc == SQLITE_OK && w->rows > 1)
            rc = step(w->commit);
    }
    return rc;
}

static int prepare(struct worker *w, char *sql, sqlite3_stmt **out)
{
    int rc = sql ? sqlite3_prepare_v2(w->db, sql, -1, out, NULL) : SQLITE_NOMEM;

    sqlite3_free(sql);
    return rc;
}

/* Column names: key, the unique ones, body. */
static int prepare_change(struct worker *w)
{
    sqlite3_stmt *look = NULL;
    int rc = prepare(w, sqlite3_mprintf("SELECT * FROM \"%w\" LIMIT 0", w->table), &look);

    if (rc != SQLITE_OK)
        return rc;
    w->columns = sqlite3_column_count(look);
    const char *type = sqlite3_column_decltype(look, 0);
    w->text_key = type && strcmp(type, "TEXT") == 0;
    sqlite3_finalize(look);
    if (strcmp(w->work, "update") == 0)
        return prepare(w, sqlite3_mprintf("UPDATE \"%w\" SET body=?2 WHERE key=?1", w->table),
                       &w->change);
    if (strcmp(w->work, "delete") == 0)
        return prepare(w, sqlite3_mprintf("DELETE FROM \"%w\" WHERE key=?1", w->table), &w->change);
    sqlite3_str *sql = sqlite3_str_new(w->db);
    sqlite3_str_appendf(sql, "INSERT INTO \"%w\" VALUES(?1", w->table);
    for (int i = 2; i <= w->columns; i++)
        sqlite3_str_appendf(sql, ",?%d", i < w->columns ? i + 1 : 2);
    sqlite3_str_appendall(sql, ")");
    return prepare(w, sqlite3_str_finish(sql), &w->change);
}

static int run(struct worker *w)
{
    int rc = sqlite3_open_v2(w->database, &w->db, SQLITE_OPEN_READWRITE, NULL);

    memset(w->body, 'x', BODY);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(w->db, "PRAGMA synchronous=NORMAL; PRAGMA wal_checkpoint(TRUNCATE)", NULL,
                          NULL, NULL);
    if (rc == SQLITE_OK)
        rc = prepare(w, sqlite3_mprintf("BEGIN IMMEDIATE"), &w->begin);
    if (rc == SQLITE_OK)
        rc = prepare(w, sqlite3_mprintf("COMMIT"), &w->commit);
    if (rc == SQLITE_OK)
        rc = prepare_change(w);
    if (rc == SQLITE_OK)
        rc = work(w, w->fill ? 1 : strcmp(w->work, "insert") == 0 ? NEW_ROWS : 0);
    if (rc != SQLITE_OK)
        fprintf(stderr, "worker: %s cannot be written: %s\n", w->database,
                w->db ? sqlite3_errmsg(w->db) : "out of memory");
    sqlite3_finalize(w->begin);
    sqlite3_finalize(w->change);
    sqlite3_finalize(w->commit);
    sqlite3_close(w->db);
    return rc == SQLITE_OK ? 0 : 3;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {{"database", required_argument, NULL, 'd'},
                                          {"table", required_argument, NULL, 't'},
                                          {"work", required_argument, NULL, 'w'},
                                          {"transactions", required_argument, NULL, 'n'},
                                          {"rows", required_argument, NULL, 'r'},
                                          {"fill", required_argument, NULL, 'f'},
                                          {0}};
    struct worker w = {.work = "insert", .transactions = 1, .rows = 1};
    bool good = true;
    int o;

    while (good && (o = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (o == 'd')
            w.database = optarg;
        else if (o == 't')
            w.table = optarg;
        else if (o == 'w')
            w.work = optarg;
        else if (o == 'n')
            w.transactions = atol(optarg);
        else if (o == 'r')
            w.rows = atol(optarg);
        else if (o == 'f')
            w.fill = w.rows = atol(optarg);
        else
            good = false;
    }
    if (!good || !w.database || !w.table || optind != argc) {
        fprintf(stderr, "usage: worker --database FILE --table NAME [--fill N] "
                        "[--work insert|update|delete] [--transactions N] [--rows N]\n");
        return 2;
    }
    return run(&w);
}
