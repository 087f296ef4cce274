/* Capture where REPLACE removes rows that no trigger is told of: whatever a statement changes,
 * each entry whose row is another now, or gone, must be in the journal.
 *
 * Every schema is also run without the lookups, where rows must be found to escape: else the
 * schema tests nothing. A failing statement is printed with its seed; an argument runs one seed. */
#include "capture_fixture.h"

#include "base/rng.h"
#include "sample.h"

enum { STATEMENTS = 250, SEEDS = 4, MAX_VALUES = 12 };

struct kind {
    const char *schema; /* of table t, which may have a child */
    size_t entry;       /* columns of the entry; 0: the row key's */
    bool plain;         /* REPLACE removes nothing unseen: no lookups are wanted */
};

static const struct kind kinds[] = {
    /* The key alone. */
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a)", 0, true},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a, b, UNIQUE(a, id))", 0, true},
    {"CREATE TABLE t(k TEXT PRIMARY KEY, a) WITHOUT ROWID", 0, true},
    {"CREATE TABLE t(k TEXT PRIMARY KEY COLLATE NOCASE, a)", 0, false},
    {"CREATE TABLE t(k TEXT PRIMARY KEY COLLATE NOCASE, a) WITHOUT ROWID", 0, false},
    {"CREATE TABLE t(k TEXT PRIMARY KEY COLLATE RTRIM, a)", 0, false},
    {"CREATE TABLE t(a, k TEXT, j TEXT COLLATE NOCASE, PRIMARY KEY(k, j))", 0, false},
    {"CREATE TABLE t(k TEXT COLLATE NOCASE NOT NULL DEFAULT 'ABC' PRIMARY KEY, a)", 0, false},

    /* One more unique index, of each kind. */
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a UNIQUE, b)", 0, false},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a INTEGER UNIQUE, b)", 0, false},
    {"CREATE TABLE t(k TEXT PRIMARY KEY, a TEXT UNIQUE, b) WITHOUT ROWID", 0, false},
    {"CREATE TABLE t(k TEXT PRIMARY KEY, a REAL UNIQUE, b)", 0, false},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE UNIQUE, b)", 0, false},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a, b); CREATE UNIQUE INDEX u ON t(a COLLATE RTRIM)", 0,
     false},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT COLLATE application UNIQUE, b)", 0, false},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a, b); CREATE UNIQUE INDEX u ON t(a DESC, b)", 0,
     false},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a, b); CREATE UNIQUE INDEX u ON t(a) WHERE b > 1", 0,
     false},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a, b); CREATE UNIQUE INDEX u ON t(a) WHERE t.rowid>1 "
     "AND main.t.b IS NOT \"abc\" -- active\n",
     0, false},
    {"CREATE TABLE t(k TEXT PRIMARY KEY, a, b); CREATE UNIQUE INDEX u ON t(a) WHERE rowid > 2", 0,
     false},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a, b); CREATE UNIQUE INDEX u ON t(lower(a))", 0,
     false},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a INT, b TEXT); CREATE UNIQUE INDEX u ON t(a=\"1\", "
     "b < 2)",
     0, false},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE, b TEXT); CREATE UNIQUE INDEX u "
     "ON t((a='abc')+2*(b=a), (CASE b WHEN a THEN 'x' ELSE b END) COLLATE NOCASE DESC)",
     0, false},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a INT, b); CREATE UNIQUE INDEX u ON t(CAST(a AS "
     "TEXT)||'x', coalesce(b,0)) WHERE b NOT IN ('abc', 7)",
     0, false},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a, b); CREATE UNIQUE INDEX u ON t(application(a))", 0,
     false},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a, g AS (lower(a)) UNIQUE, b)", 0, false},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b INT, h AS (g||'x'), g TEXT AS (a||b) STORED,"
     " UNIQUE(h COLLATE NOCASE))",
     0, false},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a, b, g AS (a)); CREATE UNIQUE INDEX u ON t(b) WHERE "
     "g > 1",
     0, false},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a, b, g INT AS (a)); CREATE UNIQUE INDEX u ON t(g+1)",
     0, false},

    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a ANY UNIQUE, b TEXT, c INT) STRICT; CREATE UNIQUE "
     "INDEX u ON t(b || a, c = '1')",
     0, false},

    /* What NULL becomes. */
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a NOT NULL DEFAULT 'abc' UNIQUE, b)", 0, false},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT NOT NULL ON CONFLICT REPLACE DEFAULT 1 UNIQUE, "
     "b)",
     0, false},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a INT NOT NULL DEFAULT (abs(-1) /* ) */ + length("
     "'b')) UNIQUE, b)",
     0, false},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a NOT NULL DEFAULT abc, b TEXT NOT NULL DEFAULT 1 "
     "UNIQUE); CREATE UNIQUE INDEX u ON t(typeof(b)||b||a)",
     0, false},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a REAL NOT NULL DEFAULT '1', b INT NOT NULL DEFAULT "
     "'2'); CREATE UNIQUE INDEX u ON t(typeof(a)||a); CREATE UNIQUE INDEX v ON t(typeof(b)||b)",
     0, false},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a NOT NULL DEFAULT -1 UNIQUE, b NOT NULL DEFAULT TRUE "
     "UNIQUE)",
     0, false},

    /* Several of them, conflicts settled by the schema, foreign keys. */
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a UNIQUE, b UNIQUE, c)", 0, false},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY ON CONFLICT REPLACE, a UNIQUE ON CONFLICT REPLACE, b "
     "TEXT COLLATE NOCASE UNIQUE ON CONFLICT IGNORE)",
     0, false},
    {"CREATE TABLE t(k TEXT PRIMARY KEY, a UNIQUE, b) WITHOUT ROWID; CREATE UNIQUE INDEX u ON "
     "t(b||a) WHERE a IS NOT NULL",
     0, false},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a REFERENCES t(b) ON DELETE CASCADE ON UPDATE CASCADE,"
     " b UNIQUE)",
     0, false},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a UNIQUE, b REFERENCES t ON DELETE SET NULL ON UPDATE "
     "CASCADE)",
     0, false},

    /* Entries of more columns than the row key. */
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a, b)", 2, false},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a, b, UNIQUE(b, a, id))", 3, false},
    {"CREATE TABLE t(k TEXT PRIMARY KEY, a, b) WITHOUT ROWID", 2, false},
    {"CREATE TABLE t(k TEXT PRIMARY KEY, a, b)", 3, false},
    {"CREATE TABLE t(a, k TEXT COLLATE NOCASE, j INT, PRIMARY KEY(j, k)) WITHOUT ROWID", 3, false},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, a UNIQUE, b)", 3, false},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, g TEXT AS (a||coalesce(b,'')), a, b UNIQUE)", 2,
     false},
    {"CREATE TABLE t(k TEXT PRIMARY KEY, g AS (a||b) STORED, a, b)", 3, false},
};

struct run {
    struct world *w;
    const struct kind *kind;
    struct rng rng;
    uint64_t seed;
    char *names[MAX_VALUES]; /* columns that can be written, and a name of the rowid */
    size_t name_count;
    char *before, *missing; /* SQL */
    bool lookups;
    unsigned escaped;
};

static uint64_t pick(struct run *r, uint64_t n)
{
    return rng_upto(&r->rng, n - 1);
}

/* --- statements ------------------------------------------------------------------------------- */

static const char *literal(struct run *r, const char *column)
{
    static const char *const any[] = {"'abc'", "'ABC'", "'abc '", "1",   "2",   "'1'",
                                      "3",     "NULL",  "-1",     "1.0", "2.5", "x'61'"};
    static const char *const integers[] = {"1", "2", "3", "4", "-1", "5", "NULL"};

    if (strcmp(column, "id") == 0 || strcmp(column, "rowid") == 0)
        return integers[pick(r, sizeof integers / sizeof *integers)];
    return any[pick(r, sizeof any / sizeof *any)];
}

static const char *policy(struct run *r)
{
    static const char *const all[] = {
        " OR REPLACE", " OR REPLACE", " OR REPLACE", " OR IGNORE", " OR FAIL", "", ""};

    return all[pick(r, sizeof all / sizeof *all)];
}

static void insert(struct run *r, struct buf *sql)
{
    size_t chosen[MAX_VALUES], n = 0;
    bool upsert = pick(r, 6) == 0;

    for (size_t i = 0; i < r->name_count; i++)
        if (pick(r, 6) < (strcmp(r->names[i], "rowid") == 0 ? 1 : 5))
            chosen[n++] = i;
    if (n == 0)
        chosen[n++] = 0;
    buf_printf(sql, "INSERT%s INTO t(", upsert ? "" : policy(r));
    for (size_t i = 0; i < n; i++)
        buf_printf(sql, "%s%s", i ? "," : "", r->names[chosen[i]]);
    buf_puts(sql, ") VALUES");
    for (uint64_t rows = 1 + pick(r, 2), k = 0; k < rows; k++) {
        buf_puts(sql, k ? ",(" : "(");
        for (size_t i = 0; i < n; i++)
            buf_printf(sql, "%s%s", i ? "," : "", literal(r, r->names[chosen[i]]));
        buf_putc(sql, ')');
    }
    if (upsert && pick(r, 3) == 0)
        buf_puts(sql, " ON CONFLICT DO NOTHING");
    else if (upsert)
        buf_printf(sql, " ON CONFLICT DO UPDATE SET %s=%s", r->names[pick(r, r->name_count)],
                   literal(r, "id"));
}

static void update(struct run *r, struct buf *sql)
{
    buf_printf(sql, "UPDATE%s t SET ", policy(r));
    for (uint64_t n = 1 + pick(r, 2), i = 0; i < n; i++) {
        const char *name = r->names[pick(r, r->name_count)];
        buf_printf(sql, "%s%s=%s", i ? "," : "", name, literal(r, name));
    }
    if (pick(r, 4)) {
        const char *name = r->names[pick(r, r->name_count)];
        buf_printf(sql, " WHERE %s IS %s", name, literal(r, name));
    }
}

/* --- the check -------------------------------------------------------------------------------- */

static void run_statement(struct run *r, const char *sql)
{
    app(r->w, "DELETE FROM _syncd_journal WHERE t<>0; DELETE FROM temp.before");
    app(r->w, "%s", r->before);
    int rc = app_try(r->w, sql);
    if (rc != SQLITE_OK && rc != SQLITE_CONSTRAINT && rc != SQLITE_MISMATCH)
        fail_msg("seed %llu: %s\n%s;\n%s", (unsigned long long)r->seed, sqlite3_errmsg(r->w->app),
                 r->kind->schema, sql);
    char *missing = sql_text(r->w->app, r->missing);
    if (*missing && r->lookups)
        fail_msg("seed %llu: entry %s escaped from\n%s;\n%s", (unsigned long long)r->seed, missing,
                 r->kind->schema, sql);
    r->escaped += *missing != '\0';
    sqlite3_free(missing);
}

/* Rows as text: `e` the entry, `row` all of it; and what differs without being in the journal. Rows
 * with NULL in their key are not mirrored. */
static void make_queries(struct run *r)
{
    const struct table_plan *p = r->w->plans[0];
    _cleanup_buf_ struct buf entry = {0}, row = {0}, keys = {0}, mirrored = {0};

    for (size_t i = 0; i < p->column_count; i++) {
        buf_printf(&row, "%squote(%s)", i ? "||','||" : "", p->columns[i].name);
        if (i < p->row_key_count)
            buf_printf(&mirrored, "%s%s IS NOT NULL", i ? " AND " : "", p->columns[i].name);
        if (i < p->entry_count)
            buf_printf(&keys, "%squote(k%zu)", i ? "||','||" : "", i);
        if (i < p->entry_count)
            buf_printf(&entry, "%squote(%s)", i ? "||','||" : "", p->columns[i].name);
    }
    char *rows = sqlite3_mprintf("SELECT %s AS e,%s AS row FROM t WHERE %s", entry.data, row.data,
                                 mirrored.data);
    r->before = sqlite3_mprintf("INSERT INTO temp.before %s", rows);
    r->missing =
        sqlite3_mprintf("SELECT e FROM (SELECT * FROM (SELECT * FROM temp.before EXCEPT %s) "
                        "UNION ALL SELECT * FROM (%s EXCEPT SELECT * FROM temp.before)) "
                        "EXCEPT SELECT %s FROM _syncd_journal",
                        rows, rows, keys.data);
    sqlite3_free(rows);
}

static int compare_texts(void *arg, int n, const void *a, int m, const void *b)
{
    (void)arg;
    if (n != m)
        return n - m;
    return strncasecmp(a, b, (size_t)n);
}

static void shout(sqlite3_context *context, int count, sqlite3_value **values)
{
    char *text = sqlite3_mprintf("%s!", sqlite3_value_text(values[0]));

    (void)count;
    for (char *p = text; *p; p++)
        *p = (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
    sqlite3_result_text(context, text, -1, sqlite3_free);
}

static void begin(struct run *r, bool lookups, size_t entry)
{
    struct world *w = r->w;

    app(w, "PRAGMA foreign_keys=ON; %s", r->kind->schema);
    read_schema(w);
    if (entry)
        widen_entry(w, 0, entry);
    install(w);
    r->lookups = lookups;
    if (!lookups)
        for (size_t i = w->plans[0]->capture.lookup_count; i-- > 0;)
            app(w, "DROP TRIGGER _syncd_7_b%d", (int)i);
    if (!lookups)
        app(w, "DROP TRIGGER IF EXISTS _syncd_7_bi");
    const struct table_info *t = table_named(w, "t");
    for (size_t i = 0; i < t->column_count; i++)
        if (!t->columns[i].generated)
            r->names[r->name_count++] = t->columns[i].name;
    /* Without lookups a rowid beside the key is nobody's. */
    if (t->rowid_name && (t->rowid_key || w->plans[0]->capture.lookup_count))
        r->names[r->name_count++] = (char *)"rowid";
    make_queries(r);
    app(w, "CREATE TEMP TABLE before(e, row)");
}

static void end(struct run *r)
{
    app(r->w, "PRAGMA foreign_keys=OFF; DROP TABLE t; DROP TABLE _syncd_journal; DROP TABLE "
              "temp.before");
    sqlite3_free(r->before);
    sqlite3_free(r->missing);
    forget_schema(r->w);
}

static unsigned one_run(struct world *w, const struct kind *k, uint64_t seed, bool lookups)
{
    struct run r = {.w = w, .kind = k, .seed = seed, .rng = {.state = seed}};

    begin(&r, lookups, k->entry);
    app(w, "PRAGMA recursive_triggers=%s", lookups && seed % 2 ? "ON" : "OFF");
    for (int i = 0; i < STATEMENTS; i++) {
        _cleanup_buf_ struct buf sql = {0};
        uint64_t what = pick(&r, 8);
        if (what == 0)
            buf_printf(&sql, "DELETE FROM t WHERE %s IS %s", r.names[0], literal(&r, r.names[0]));
        else if (what < 5)
            insert(&r, &sql);
        else
            update(&r, &sql);
        run_statement(&r, sql.data);
    }
    end(&r);
    return r.escaped;
}

static uint64_t only_seed;

static void application_has_its_own(struct world *w)
{
    assert_int_equal(
        sqlite3_create_collation(w->app, "application", SQLITE_UTF8, NULL, compare_texts),
        SQLITE_OK);
    assert_int_equal(sqlite3_create_function(w->app, "application", 1,
                                             SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, shout, NULL,
                                             NULL),
                     SQLITE_OK);
}

static void nothing_escapes_replace(void **state)
{
    struct world *w = *state;

    application_has_its_own(w);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        unsigned escaped = 0;
        for (uint64_t n = 0; n < SEEDS; n++) {
            uint64_t seed = 1000 * (i + 1) + n;
            if (only_seed && seed != only_seed)
                continue;
            if (n < sample_of(SEEDS))
                one_run(w, &kinds[i], seed, true);
            if (!escaped)
                escaped += one_run(w, &kinds[i], seed, false);
        }
        if (!only_seed && (escaped == 0) != kinds[i].plain)
            fail_msg("%u rows escaped without lookups from %s", escaped, kinds[i].schema);
    }
}

static void plain_tables_have_no_lookups(void **state)
{
    struct world *w = *state;

    application_has_its_own(w);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        app(w, "%s", kinds[i].schema);
        read_schema(w);
        if (kinds[i].entry)
            widen_entry(w, 0, kinds[i].entry);
        assert_int_equal(w->plans[0]->capture.lookup_count == 0, kinds[i].plain);
        assert_null(w->plans[0]->capture.limits);
        app(w, "DROP TABLE t");
    }
}

/* Read of a table, SQLite has an integer for the whole number of a generated REAL. */
static void an_entry_of_a_replaced_row_is_the_rows(void **state)
{
    struct world *w = *state;

    app(w, "CREATE TABLE t(a INTEGER, c REAL AS (b) VIRTUAL, b, PRIMARY KEY(a)) WITHOUT ROWID");
    read_schema(w);
    widen_entry(w, 0, 2);
    install(w);
    app(w, "INSERT INTO t(a, b) VALUES(3, 1), (4, 'text'), (5, 2.5)");
    app(w, "DELETE FROM _syncd_journal WHERE t<>0");
    app(w, "REPLACE INTO t(a, b) VALUES(3, 2), (4, 3), (5, NULL)");
    expect(w,
           "SELECT group_concat(e, ' ') FROM (SELECT DISTINCT quote(k0)||','||quote(k1) AS e FROM "
           "_syncd_journal WHERE t<>0 ORDER BY seq)",
           "3,1.0 3,2.0 4,'text' 4,3.0 5,2.5 5,NULL");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        world_test(an_entry_of_a_replaced_row_is_the_rows),
        world_test(plain_tables_have_no_lookups),
        world_test(nothing_escapes_replace),
    };

    if (argc > 1)
        only_seed = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
