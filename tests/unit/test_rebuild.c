/* The way there and back: random databases become a schema dump and items, and these a database
 * again, which must be the same value for value and kind for kind. SEEDS=2000 (from 1), or
 * SEED=17 for one of them. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/config_read.h"
#include "config/ini.h"
#include "jobs/rebuild.h"
#include "mapping/item.h"
#include "mapping/row.h"
#include "mirror/plans.h"
#include "random_database.h"
#include "sample.h"

enum { SEEDS = 2000 };

/* --- mapping ---------------------------------------------------------------------------------- */

/* Some tables share a target, told apart by what their keys begin with. */
static void make_mapping(struct trip *t)
{
    struct buf *b = &t->mapping_text;
    struct err err;

    buf_lit(b, "[source]\ndatabase = /app.db\n");
    for (size_t i = 0; i < t->table_count; i++) {
        const struct gen_table *g = &t->tables[i];
        const struct gen_column *last = &g->columns[g->count - 1];
        buf_lit(b, "[table ");
        ini_append_argument(b, g->name);
        bool shared = i < 2 && t->seed % 4 == 0 && isalpha((unsigned char)g->columns[0].name[0]) &&
                      !strpbrk(g->columns[0].name, " .\"'{}[]$#%") && g->keys == 1;
        buf_printf(b, "]\ntarget = %s%zu\nnull = %s\n", shared ? "shared" : "table",
                   shared ? (size_t)0 : i, chance(t, 30) ? "null" : "omit");
        if (shared) {
            buf_printf(b, "partition_key = T%zu@{%s}\npartition_key_name = pk key\n", i,
                       g->columns[0].name);
        }
        if (last->excluded) {
            buf_lit(b, "exclude = ");
            ini_append_element(b, last->name);
            buf_putc(b, '\n');
        }
        if (chance(t, 30) && !last->excluded) {
            buf_lit(b, "rename.");
            ini_append_subkey(b, last->name);
            buf_lit(b, " = other\n");
        }
    }
    if (config_parse_memory("test", b->data, b->len, NULL, NULL, &t->config, &err) < 0)
        fail_msg("seed %llu: %s\n%s", (unsigned long long)t->seed, err.text, b->data);
}

/* --- there ------------------------------------------------------------------------------------ */

static void take_dump(struct trip *t)
{
    _cleanup_buf_ struct buf json = {0};
    char *mapping = NULL;
    size_t n = 0;
    struct err err;
    FILE *out = open_memstream(&mapping, &n);

    config_print_mapping(t->config, out);
    fclose(out);
    const struct schema_dump_about about = {.database_id = "00ff",
                                            .database = "/app.db",
                                            .host = "here",
                                            .name = "app",
                                            .mapping = mapping};
    assert_int_equal(schema_dump_take(&t->source, &about, &json, t->version), SQLITE_OK);
    if (schema_dump_read(json.data, json.len, &t->dump, &err) < 0)
        fail_msg("seed %llu: %s", (unsigned long long)t->seed, err.text);
    free(mapping);
}

/* A dead letter: what DynamoDB cannot hold does not come back, and is told elsewhere. */
static void remove_row(struct trip *t, const struct table_plan *p, const struct value *row)
{
    sqlite3_str *sql = sqlite3_str_new(NULL);
    sqlite3_stmt *stmt = NULL;

    sqlite3_str_appendf(sql, "DELETE FROM \"%w\" WHERE ", p->table);
    for (size_t i = 0; i < p->row_key_count; i++)
        sqlite3_str_appendf(sql, "%s\"%w\" IS ?", i ? " AND " : "", p->columns[i].name);
    char *text = sqlite3_str_finish(sql);
    assert_int_equal(sqlite3_prepare_v2(t->origin, text, -1, &stmt, NULL), SQLITE_OK);
    for (size_t i = 0; i < p->row_key_count; i++)
        rows_bind(stmt, (int)i + 1, &row[i]);
    assert_int_equal(sqlite3_step(stmt), SQLITE_DONE);
    sqlite3_finalize(stmt);
    sqlite3_free(text);
}

static void add_item(struct trip *t, const char *target, const char *json, size_t n)
{
    assert_true(t->item_count < MAX_ITEMS);
    struct item_of *to = &t->items[t->item_count++];
    to->target = strdup(target);
    to->item = json_loadb(json, n, JSON_ALLOW_NUL, NULL);
    assert_non_null(to->item);
}

static void make_items(struct trip *t, const struct table_plan *p)
{
    _cleanup_buf_ struct buf json = {0};
    struct value values[MAX_GEN_COLUMNS];
    sqlite3_str *sql = sqlite3_str_new(NULL);
    sqlite3_stmt *stmt = NULL;

    for (size_t i = 0; i < p->column_count; i++)
        sqlite3_str_appendf(sql, "%s\"%w\"", i ? "," : "SELECT ", p->columns[i].name);
    /* The sort makes a copy, so that rows may be deleted meanwhile. */
    sqlite3_str_appendf(sql, " FROM \"%w\" ORDER BY random()", p->table);
    char *text = sqlite3_str_finish(sql);
    assert_int_equal(sqlite3_prepare_v2(t->origin, text, -1, &stmt, NULL), SQLITE_OK);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        struct item_fault fault;
        size_t size;
        rows_values(stmt, 0, p->column_count, values);
        buf_clear(&json);
        if (item_encode(p, values, &json, &size, &fault) < 0 || p->meeting) {
            remove_row(t, p, values);
            continue;
        }
        _cleanup_buf_ struct buf key = {0};
        if (item_key(p, values, &key, NULL, &fault) < 0)
            remove_row(t, p, values);
        else
            add_item(t, p->target, json.data, json.len);
    }
    sqlite3_finalize(stmt);
    sqlite3_free(text);
}

/* Somebody else's. */
static void add_foreign(struct trip *t, const struct table_plan *p)
{
    static const char set[] = "{\"nobody\":{\"SS\":[\"a\"]}}";

    add_item(t, p->target, set, sizeof set - 1);
    t->foreign++;
}

static void go_there(struct trip *t)
{
    struct catalog *c = NULL;
    struct err err;

    assert_int_equal(catalog_read(&t->source, &c, &err), SOURCE_OK);
    for (size_t i = 0; i < c->count; i++) {
        struct table_plan *p = NULL;
        if (c->tables[i].kind == TABLE_VIEW || plans_make(t->config, &c->tables[i], &p, &err) < 0)
            continue;
        make_items(t, p);
        if (chance(t, 20))
            add_foreign(t, p);
        plan_free(p);
    }
    catalog_free(c);
    for (size_t i = t->item_count; i > 1; i--) {
        size_t k = upto(t, i - 1);
        struct item_of kept = t->items[i - 1];
        t->items[i - 1] = t->items[k];
        t->items[k] = kept;
    }
}

/* --- and back --------------------------------------------------------------------------------- */

static struct rebuild *open_rebuild(struct trip *t, bool again)
{
    const struct rebuild_options o = {.path = t->path, .dump = t->dump, .version = t->version};
    struct rebuild *r = NULL;
    bool resumed;
    struct err err;

    if (rebuild_open(&o, &r, &resumed, &err) < 0)
        fail_msg("seed %llu: %s\n%s", (unsigned long long)t->seed, err.text, t->mapping_text.data);
    assert_int_equal(resumed, again);
    return r;
}

struct told {
    struct trip *trip;
    unsigned problems;
};

static void print_problem(void *arg, const char *table, const char *key, const char *reason,
                          bool altered)
{
    struct told *told = arg;

    told->problems++;
    print_error("seed %llu: %s: %s: %s (%d)\n", (unsigned long long)told->trip->seed, table, key,
                reason, altered);
}

static void print_unmade(void *arg, const char *sentence)
{
    struct told *told = arg;

    print_error("seed %llu: %s\n", (unsigned long long)told->trip->seed, sentence);
}

/* Killed now and then: what was not committed is given once more. */
static void go_back(struct trip *t)
{
    struct rebuild *r = open_rebuild(t, false);
    struct told told = {.trip = t};
    struct rebuild_check check;
    size_t committed = 0, foreign = 0, foreign_committed = 0;
    struct err err;

    for (size_t i = 0; i < t->item_count; i++) {
        enum rebuild_outcome outcome;
        assert_int_equal(rebuild_item(r, t->items[i].target, t->items[i].item, &outcome, &err), 0);
        foreign += outcome == REBUILD_FOREIGN;
        if (chance(t, 10)) {
            assert_int_equal(rebuild_commit(r, &err), 0);
            committed = i + 1;
            foreign_committed = foreign;
        }
        if (chance(t, 1)) {
            rebuild_close(r);
            r = open_rebuild(t, true);
            i = committed - 1;
            foreign = foreign_committed;
        }
    }
    assert_int_equal(rebuild_problems(r, 10, print_problem, &told, &err), 0);
    if (rebuild_finish(r, &check, print_unmade, &told, &err) < 0)
        fail_msg("seed %llu: %s", (unsigned long long)t->seed, err.text);
    if (told.problems || check.unmade || check.missing || strcmp(check.integrity, "ok") != 0 ||
        foreign != t->foreign)
        fail_msg("seed %llu: %u problems, %zu unmade, %lld missing, %zu foreign, integrity %s\n%s",
                 (unsigned long long)t->seed, told.problems, check.unmade, (long long)check.missing,
                 foreign, check.integrity, t->mapping_text.data);
    rebuild_close(r);
}

/* --- the same? -------------------------------------------------------------------------------- */

static void same_text(struct trip *t, sqlite3 *back, const char *sql)
{
    char *a = sql_text(t->origin, sql), *b = sql_text(back, sql);

    if (strcmp(a, b) != 0)
        fail_msg("seed %llu: %s\n  was %s\n  is  %s", (unsigned long long)t->seed, sql, a, b);
    sqlite3_free(a);
    sqlite3_free(b);
}

/* `loose`: a column without a numeric type, where 1.0 comes back as 1. */
static bool same_values(sqlite3_stmt *a, sqlite3_stmt *b, int i, bool loose)
{
    int ka = sqlite3_column_type(a, i), kb = sqlite3_column_type(b, i);

    if (ka == SQLITE_FLOAT && kb == SQLITE_INTEGER && loose)
        return sqlite3_column_double(a, i) == (double)sqlite3_column_int64(b, i);
    if (ka != kb)
        return false;
    if (ka == SQLITE_INTEGER)
        return sqlite3_column_int64(a, i) == sqlite3_column_int64(b, i);
    if (ka == SQLITE_FLOAT) {
        double x = sqlite3_column_double(a, i), y = sqlite3_column_double(b, i);
        return memcmp(&x, &y, sizeof x) == 0 || (x == 0 && y == 0);
    }
    if (ka == SQLITE_NULL)
        return true;
    const void *x = ka == SQLITE_TEXT ? sqlite3_column_text(a, i) : sqlite3_column_blob(a, i);
    const void *y = ka == SQLITE_TEXT ? sqlite3_column_text(b, i) : sqlite3_column_blob(b, i);
    int n = sqlite3_column_bytes(a, i);
    return n == sqlite3_column_bytes(b, i) && (n == 0 || memcmp(x, y, (size_t)n) == 0);
}

static sqlite3_stmt *select_all(sqlite3 *db, const struct gen_table *g)
{
    sqlite3_str *sql = sqlite3_str_new(NULL);
    sqlite3_stmt *stmt = NULL;

    sqlite3_str_appendall(sql, "SELECT ");
    for (size_t i = 0; i < g->count; i++)
        sqlite3_str_appendf(sql, "%s\"%w\"", i ? "," : "", g->columns[i].name);
    sqlite3_str_appendf(sql, " FROM \"%w\" ORDER BY ", g->name);
    for (size_t i = 0; i < g->keys; i++)
        sqlite3_str_appendf(sql, "%s\"%w\"", i ? "," : "", g->columns[i].name);
    char *text = sqlite3_str_finish(sql);
    assert_int_equal(sqlite3_prepare_v2(db, text, -1, &stmt, NULL), SQLITE_OK);
    sqlite3_free(text);
    return stmt;
}

static void same_table(struct trip *t, sqlite3 *back, const struct gen_table *g)
{
    sqlite3_stmt *a = select_all(t->origin, g), *b = select_all(back, g);
    int ra, rb, rows = 0;

    while ((ra = sqlite3_step(a)) == SQLITE_ROW && (rb = sqlite3_step(b)) == SQLITE_ROW) {
        rows++;
        for (size_t i = 0; i < g->count; i++) {
            enum affinity affinity = affinity_of(g->columns[i].type, g->strict);
            bool loose = affinity == AFFINITY_NONE || affinity == AFFINITY_BLOB;
            if (!g->columns[i].excluded && !same_values(a, b, (int)i, loose))
                fail_msg("seed %llu: \"%s\".\"%s\" %s: row %d was %d '%s', is %d '%s'",
                         (unsigned long long)t->seed, g->name, g->columns[i].name,
                         g->columns[i].type, rows, sqlite3_column_type(a, (int)i),
                         sqlite3_column_text(a, (int)i), sqlite3_column_type(b, (int)i),
                         sqlite3_column_text(b, (int)i));
        }
    }
    if (ra != SQLITE_DONE || sqlite3_step(b) != SQLITE_DONE)
        fail_msg("seed %llu: \"%s\" has not as many rows (%d are the same)",
                 (unsigned long long)t->seed, g->name, rows);
    sqlite3_finalize(a);
    sqlite3_finalize(b);
}

static void same_database(struct trip *t)
{
    static const char *const questions[] = {
        "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name",
        "PRAGMA user_version",
        "PRAGMA application_id",
        "PRAGMA encoding",
        "PRAGMA page_size",
        "PRAGMA auto_vacuum"};
    sqlite3 *back = NULL;

    assert_int_equal(sqlite3_open_v2(t->path, &back, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++)
        same_text(t, back, questions[i]);
    for (size_t i = 0; i < t->table_count; i++)
        same_table(t, back, &t->tables[i]);
    if (sql_int(t->origin, "SELECT count(*) FROM sqlite_schema WHERE name='sqlite_sequence'"))
        same_text(t, back, "SELECT name, seq FROM sqlite_sequence ORDER BY name");
    sqlite3_close(back);
}

/* --- trips ------------------------------------------------------------------------------------ */

static void begin(struct trip *t, uint64_t seed, const char *dir)
{
    static const char *const encodings[] = {"UTF-8", "UTF-8", "UTF-16le", "UTF-16be"};
    char *sql;

    *t = (struct trip){.rng = {.state = seed * 7919}, .seed = seed};
    snprintf(t->path, sizeof t->path, "%s/back.db", dir);
    assert_int_equal(sqlite3_open(":memory:", &t->origin), SQLITE_OK);
    t->source =
        (struct source){.db = t->origin, .path = (char *)"origin", .max_value = SOURCE_MAX_VALUE};
    sql = sqlite3_mprintf("PRAGMA page_size=%d; PRAGMA encoding=%Q; PRAGMA auto_vacuum=%d; "
                          "PRAGMA user_version=%d; PRAGMA application_id=%d",
                          512 << upto(t, 5), PICK(t, encodings), (int)upto(t, 2),
                          (int)upto(t, 1000), (int)upto(t, 1000));
    run_sql(t, sql);
    sqlite3_free(sql);
}

static void end(struct trip *t)
{
    for (size_t i = 0; i < t->item_count; i++) {
        free(t->items[i].target);
        json_decref(t->items[i].item);
    }
    schema_dump_free(t->dump);
    config_free(t->config);
    buf_free(&t->mapping_text);
    source_forget_questions(&t->source);
    assert_int_equal(sqlite3_close(t->origin), SQLITE_OK);
    unlink(t->path);
}

/* Returns how many rows came back. */
static size_t one_trip(uint64_t seed, const char *dir)
{
    static struct trip t;

    begin(&t, seed, dir);
    for (uint64_t i = 0, n = 1 + upto(&t, MAX_GENERATED - 1); i < n; i++)
        make_table(&t, i);
    for (size_t i = 0; i < t.table_count; i++)
        fill(&t, &t.tables[i]);
    make_others(&t);
    make_mapping(&t);
    take_dump(&t);
    go_there(&t);
    go_back(&t);
    same_database(&t);
    size_t rows = t.item_count - t.foreign;
    end(&t);
    return rows;
}

static void databases_come_back_value_for_value(void **state)
{
    char dir[64] = "/dev/shm/syncd-unit-XXXXXX";
    const char *one = getenv("SEED"), *many = getenv("SEEDS");

    (void)state;
    if (access("/dev/shm", W_OK) < 0)
        snprintf(dir, sizeof dir, "/tmp/syncd-unit-XXXXXX");
    assert_non_null(mkdtemp(dir));
    uint64_t first = one ? strtoull(one, NULL, 10) : 1;
    uint64_t count = one ? 1 : many ? strtoull(many, NULL, 10) : sample_of(SEEDS);
    size_t rows = 0;
    for (uint64_t seed = first; seed < first + count; seed++)
        rows += one_trip(seed, dir);
    rmdir(dir);
    print_message("%zu rows in %llu databases\n", rows, (unsigned long long)count);
    assert_true(one || rows > count); /* else nothing was tried */
}

/* VACUUM writes virtual tables behind the tables that they keep their data in. */
static void a_full_text_index_that_was_vacuumed_comes_back(void **state)
{
    static struct trip t;
    char dir[] = "/tmp/syncd-unit-XXXXXX";
    struct told told = {.trip = &t};
    struct rebuild_check check;
    struct err err;

    (void)state;
    assert_non_null(mkdtemp(dir));
    begin(&t, 1, dir);
    run_sql(&t, "CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT);"
                "CREATE VIRTUAL TABLE found USING fts5(body);"
                "CREATE TABLE found_by(id INTEGER PRIMARY KEY, who TEXT);"
                "CREATE INDEX by_who ON found_by(who);"
                "CREATE TRIGGER noted AFTER INSERT ON notes BEGIN"
                "  INSERT INTO found(rowid, body) VALUES(new.id, new.body); END;"
                "INSERT INTO notes VALUES(1, 'a'); VACUUM");
    make_mapping(&t);
    take_dump(&t);
    struct rebuild *r = open_rebuild(&t, false);
    for (size_t i = 0; i < 2; i++) /* what the index keeps for itself has no items */
        assert_true(strcmp(rebuild_target(r, i), "notes") == 0 ||
                    strcmp(rebuild_target(r, i), "found_by") == 0);
    assert_null(rebuild_target(r, 2));
    assert_int_equal(rebuild_finish(r, &check, print_unmade, &told, &err), 0);
    assert_int_equal(check.unmade, 0);
    assert_string_equal(check.integrity, "ok");
    rebuild_close(r);
    sqlite3 *back = NULL;
    assert_int_equal(sqlite3_open_v2(t.path, &back, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    same_text(&t, back, "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name");
    if (sqlite3_exec(back, "INSERT INTO notes VALUES(2, 'words')", NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s", sqlite3_errmsg(back));
    sqlite3_close(back);
    end(&t);
    rmdir(dir);
}

/* Whoever repeats a restore that still runs takes nothing from it. */
static void a_second_one_leaves_the_first_alone(void **state)
{
    static struct trip t;
    char dir[] = "/tmp/syncd-unit-XXXXXX";
    const char *const other[] = {"second"};
    struct rebuild *second = NULL;
    struct rebuild_check check;
    struct told told = {.trip = &t};
    struct err err;
    bool resumed;

    (void)state;
    assert_non_null(mkdtemp(dir));
    begin(&t, 1, dir);
    run_sql(&t, "CREATE TABLE first(id INTEGER PRIMARY KEY);"
                "CREATE TABLE second(id INTEGER PRIMARY KEY)");
    make_mapping(&t);
    take_dump(&t);
    struct rebuild *r = open_rebuild(&t, false);
    for (size_t i = 0; i < 2; i++) {
        const struct rebuild_options o = {.path = t.path,
                                          .dump = t.dump,
                                          .version = t.version,
                                          .tables = other,
                                          .table_count = i};
        assert_int_equal(rebuild_open(&o, &second, &resumed, &err), -EBUSY);
        assert_non_null(strstr(err.text, "another restore is making it"));
    }
    json_t *item = json_pack("{s:{s:s}}", "id", "N", "7");
    enum rebuild_outcome outcome;
    assert_int_equal(rebuild_item(r, "first", item, &outcome, &err), 0);
    assert_int_equal(outcome, REBUILD_ROW);
    json_decref(item);
    if (rebuild_finish(r, &check, print_unmade, &told, &err) < 0)
        fail_msg("%s", err.text);
    rebuild_close(r);
    sqlite3 *back = NULL;
    assert_int_equal(sqlite3_open_v2(t.path, &back, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sql_int(back, "SELECT id FROM first"), 7);
    sqlite3_close(back);
    end(&t);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(databases_come_back_value_for_value),
        cmocka_unit_test(a_full_text_index_that_was_vacuumed_comes_back),
        cmocka_unit_test(a_second_one_leaves_the_first_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
