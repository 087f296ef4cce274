/* Random programs of the application against an oracle: after each of them, what was read by the
 * journal alone must be the tables themselves.
 *
 * The tables have no unique index but their key. A failing program is printed with its seed; an
 * argument runs that one seed alone. */
#include "database_fixture.h"
#include "sample.h"

#include "base/rng.h"
#include "mapping/value.h"

enum { PROGRAMS = 10000, ROLLBACK_MODE_PROGRAMS = 500, STATEMENTS = 24, MAX_SAVEPOINTS = 4 };

enum literals { INTS, TEXTS, BLOBS };

/* Table t and perhaps a child c of it. */
struct kind {
    const char *schema;
    const char *key[2];
    enum literals literals[2];
    bool child;
    const char *alias; /* another name of the rowid that is the key */
};

static const struct kind kinds[] = {
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, v)", {"id"}, {INTS}, false, "rowid"},
    {"CREATE TABLE t(v, id INTEGER PRIMARY KEY AUTOINCREMENT)", {"id"}, {INTS}, false, "oid"},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY DESC NOT NULL, v)", {"id"}, {INTS}, false, NULL},
    {"CREATE TABLE t(id INT NOT NULL PRIMARY KEY, v ANY) STRICT", {"id"}, {INTS}, false, NULL},
    {"CREATE TABLE t(k TEXT NOT NULL PRIMARY KEY, v)", {"k"}, {TEXTS}, false, NULL},
    {"CREATE TABLE t(v, k TEXT PRIMARY KEY) WITHOUT ROWID", {"k"}, {TEXTS}, false, NULL},
    {"CREATE TABLE t(k BLOB PRIMARY KEY, v) WITHOUT ROWID", {"k"}, {BLOBS}, false, NULL},
    {"CREATE TABLE t(y TEXT, v, x INT, PRIMARY KEY(x, y)) WITHOUT ROWID",
     {"x", "y"},
     {INTS, TEXTS},
     false,
     NULL},
    {"CREATE TABLE t(x INT NOT NULL, y TEXT NOT NULL, v, g AS (x||y), PRIMARY KEY(y, x))",
     {"y", "x"},
     {TEXTS, INTS},
     false,
     NULL},
    {"CREATE TABLE t(k TEXT COLLATE NOCASE NOT NULL PRIMARY KEY, v)", {"k"}, {TEXTS}, false, NULL},
    {"CREATE TABLE t(k TEXT COLLATE RTRIM PRIMARY KEY, v) WITHOUT ROWID",
     {"k"},
     {TEXTS},
     false,
     NULL},
    {"CREATE TABLE t(k TEXT COLLATE NOCASE, v, PRIMARY KEY(k COLLATE BINARY)) WITHOUT ROWID",
     {"k"},
     {TEXTS},
     false,
     NULL},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, v);"
     "CREATE TABLE c(id INTEGER PRIMARY KEY, p REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE, "
     "v)",
     {"id"},
     {INTS},
     true,
     "_rowid_"},
    {"CREATE TABLE t(k TEXT PRIMARY KEY, v) WITHOUT ROWID;"
     "CREATE TABLE c(id INT, p TEXT DEFAULT 'a' REFERENCES t ON DELETE SET DEFAULT ON UPDATE "
     "CASCADE,"
     "v, PRIMARY KEY(p, id)) WITHOUT ROWID",
     {"k"},
     {TEXTS},
     true,
     NULL},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, v REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE)",
     {"id"},
     {INTS},
     false,
     "rowid"},
    {"CREATE TABLE t(id INTEGER PRIMARY KEY, v REFERENCES t ON DELETE SET NULL ON UPDATE SET NULL "
     "DEFERRABLE INITIALLY DEFERRED); CREATE TRIGGER mine AFTER DELETE ON t WHEN OLD.id=3 BEGIN "
     "DELETE FROM t WHERE id=4; INSERT OR IGNORE INTO t(id) VALUES(5); END",
     {"id"},
     {INTS},
     false,
     NULL},
};

struct oracle {
    struct world *w;
    const struct kind *kind;
    struct rng rng;
    struct buf log; /* the program so far */
    uint64_t seed;
    int savepoints;
    int64_t read, acked; /* places in the journal */
    sqlite3 *model;      /* what another store would hold: m(t, k, row) */
    sqlite3_stmt *put, *delete, *get;
    struct rows *rows[MAX_TABLES];
};

static uint64_t pick(struct oracle *o, uint64_t n)
{
    return rng_upto(&o->rng, n - 1);
}

static bool chance(struct oracle *o, unsigned percent)
{
    return pick(o, 100) < percent;
}

/* --- programs --------------------------------------------------------------------------------- */

static void literal(struct oracle *o, enum literals which, struct buf *sql)
{
    static const char *const texts[] = {"'a'", "'b'", "'A'", "'a '",       "''",
                                        "'B'", "'é'", "'1'", "'01'",       "1",
                                        "'a'", "'b'", "'c'", "'a\nb''\"'", "'\xff'"};
    static const char *const blobs[] = {"x''", "x'00'", "x'61'", "'a'", "'b'", "x'6100'"};

    if (which == INTS)
        buf_printf(sql, "%d", (int)pick(o, 9) - 1);
    else if (which == TEXTS)
        buf_puts(sql, texts[pick(o, sizeof texts / sizeof *texts)]);
    else
        buf_puts(sql, blobs[pick(o, sizeof blobs / sizeof *blobs)]);
}

static void value_of_v(struct oracle *o, struct buf *sql)
{
    if (strstr(o->kind->schema, "v REFERENCES"))
        buf_puts(sql, chance(o, 40) ? "NULL" : "");
    if (sql->len && sql->data[sql->len - 1] == 'L')
        return;
    buf_printf(sql, "%d", (int)pick(o, 9) - 1);
}

static const char *policy(struct oracle *o)
{
    static const char *const all[] = {"",
                                      "",
                                      "",
                                      " OR ABORT",
                                      " OR FAIL",
                                      " OR IGNORE",
                                      " OR IGNORE",
                                      " OR ROLLBACK",
                                      " OR REPLACE",
                                      " OR REPLACE"};

    return all[pick(o, sizeof all / sizeof *all)];
}

static void key_columns(struct oracle *o, struct buf *sql)
{
    buf_printf(sql, "%s%s%s", o->kind->key[0], o->kind->key[1] ? "," : "",
               o->kind->key[1] ? o->kind->key[1] : "");
}

static void key_values(struct oracle *o, struct buf *sql)
{
    if (o->kind->alias && chance(o, 10)) {
        buf_puts(sql, "NULL"); /* SQLite chooses */
        return;
    }
    literal(o, o->kind->literals[0], sql);
    if (o->kind->key[1]) {
        buf_putc(sql, ',');
        literal(o, o->kind->literals[1], sql);
    }
}

static void condition(struct oracle *o, struct buf *sql)
{
    unsigned part = (unsigned)pick(o, o->kind->key[1] ? 2 : 1);

    switch (pick(o, 8)) {
    case 0:
        return;
    case 1:
        buf_puts(sql, " WHERE v=");
        value_of_v(o, sql);
        return;
    case 2:
        buf_printf(sql, " WHERE %s>", o->kind->key[part]);
        break;
    default:
        buf_printf(sql, " WHERE %s=", o->kind->key[part]);
    }
    literal(o, o->kind->literals[part], sql);
}

static void set_key(struct oracle *o, struct buf *sql)
{
    unsigned part = (unsigned)pick(o, o->kind->key[1] ? 2 : 1);
    const char *name = o->kind->key[part];

    if (o->kind->alias && chance(o, 30))
        name = o->kind->alias;
    buf_printf(sql, "%s=", name);
    if (o->kind->literals[part] == INTS && chance(o, 50))
        buf_printf(sql, "%s%s", o->kind->key[part], chance(o, 50) ? "+1" : "*-1");
    else if (o->kind->literals[part] == TEXTS && chance(o, 40))
        buf_printf(sql, "%s(%s)", chance(o, 50) ? "upper" : "lower", o->kind->key[part]);
    else
        literal(o, o->kind->literals[part], sql);
}

static void insert(struct oracle *o, struct buf *sql)
{
    bool upsert = chance(o, 25);

    buf_printf(sql, "INSERT%s INTO t(", upsert ? "" : policy(o));
    key_columns(o, sql);
    buf_puts(sql, ",v) ");
    if (chance(o, 15)) {
        buf_puts(sql, "SELECT ");
        key_columns(o, sql);
        buf_puts(sql, ",7 FROM t WHERE 1");
    } else {
        for (uint64_t n = 1 + pick(o, 3), i = 0; i < n; i++) {
            buf_puts(sql, i ? ",(" : "VALUES(");
            key_values(o, sql);
            buf_putc(sql, ',');
            value_of_v(o, sql);
            buf_putc(sql, ')');
        }
    }
    if (!upsert)
        return;
    buf_puts(sql, " ON CONFLICT(");
    key_columns(o, sql);
    if (strstr(o->kind->schema, "k COLLATE BINARY"))
        buf_puts(sql, " COLLATE BINARY");
    buf_puts(sql, ") DO ");
    if (chance(o, 20)) {
        buf_puts(sql, "NOTHING");
        return;
    }
    buf_puts(sql, "UPDATE SET ");
    if (chance(o, 40))
        set_key(o, sql);
    else
        buf_puts(sql, "v=excluded.v");
}

static void change_child(struct oracle *o, struct buf *sql)
{
    switch (pick(o, 4)) {
    case 0:
        buf_printf(sql, "DELETE FROM c WHERE id=%d", (int)pick(o, 5));
        break;
    case 1:
        buf_printf(sql, "UPDATE%s c SET id=%d WHERE id=%d", policy(o), (int)pick(o, 5),
                   (int)pick(o, 5));
        break;
    default:
        buf_printf(sql, "INSERT%s INTO c(id,p,v) VALUES(%d,", policy(o), (int)pick(o, 5));
        literal(o, o->kind->literals[0], sql);
        buf_printf(sql, ",%d)", (int)pick(o, 5));
    }
}

static void change(struct oracle *o, struct buf *sql)
{
    unsigned which = (unsigned)pick(o, o->kind->child ? 13 : 10);

    if (which < 5) {
        insert(o, sql);
    } else if (which < 7) {
        buf_printf(sql, "DELETE FROM t");
        condition(o, sql);
    } else if (which < 10) {
        buf_printf(sql, "UPDATE%s t SET ", policy(o));
        if (chance(o, 60)) {
            set_key(o, sql);
            buf_puts(sql, chance(o, 30) ? ",v=v" : "");
        } else {
            buf_puts(sql, "v=");
            value_of_v(o, sql);
        }
        condition(o, sql);
    } else {
        change_child(o, sql);
    }
}

static void transaction(struct oracle *o, struct buf *sql)
{
    bool open = !sqlite3_get_autocommit(o->w->app);

    if (!open)
        o->savepoints = 0;
    if (o->savepoints && chance(o, 40)) {
        int at = 1 + (int)pick(o, (uint64_t)o->savepoints);
        bool back = chance(o, 60);
        buf_printf(sql, "%s s%d", back ? "ROLLBACK TO" : "RELEASE", at);
        o->savepoints = back ? at : at - 1;
    } else if (o->savepoints < MAX_SAVEPOINTS && chance(o, 50)) {
        buf_printf(sql, "SAVEPOINT s%d", ++o->savepoints);
    } else if (open) {
        buf_puts(sql, chance(o, 60) ? "COMMIT" : "ROLLBACK");
        o->savepoints = 0;
    } else {
        buf_puts(sql, "BEGIN");
    }
}

static void broken(struct oracle *o, const char *why)
{
    /* Not by fail_msg(), which cuts long texts. */
    fprintf(stderr, "%s\nseed %llu\nPRAGMA foreign_keys=ON;\n%s;\n-- triggers here\n%s\n", why,
            (unsigned long long)o->seed, o->kind->schema, o->log.data);
    fail();
}

static void run(struct oracle *o, const char *sql)
{
    buf_printf(&o->log, "%s;\n", sql);
    int rc = sqlite3_exec(o->w->app, sql, NULL, NULL, NULL);
    if (rc == SQLITE_CONSTRAINT && strcmp(sql, "COMMIT") == 0) /* deferred foreign keys */
        run(o, "ROLLBACK");
    else if (rc != SQLITE_OK && rc != SQLITE_CONSTRAINT && rc != SQLITE_MISMATCH)
        broken(o, sqlite3_errmsg(o->w->app));
}

/* --- the other side --------------------------------------------------------------------------- */

static void model_put(struct oracle *o, uint32_t t, const struct buf *key, const struct buf *row)
{
    sqlite3_stmt *stmt = row ? o->put : o->delete;

    sqlite3_bind_int64(stmt, 1, t);
    sqlite3_bind_blob(stmt, 2, key->data, (int)key->len, SQLITE_STATIC);
    if (row)
        sqlite3_bind_blob(stmt, 3, row->data, (int)row->len, SQLITE_STATIC);
    assert_int_equal(sqlite3_step(stmt), SQLITE_DONE);
    rows_end(stmt);
}

static void encode_row(const struct rows *r, struct buf *key, struct buf *row)
{
    for (size_t i = 0; i < r->plan->column_count; i++)
        value_encode(i < r->plan->row_key_count ? key : row, &r->values[i]);
}

/* One entry as the reader takes it: the row as it is now under that very key, or none. */
static void take_entry(struct oracle *o, uint32_t t, const struct buf *key)
{
    struct rows *r = o->rows[t - FIRST_ID];
    _cleanup_buf_ struct buf found = {0}, row = {0};
    struct value values[2];

    assert_int_equal(values_decode(key->data, key->len, values, r->plan->row_key_count), 0);
    int rc = rows_lookup(r, values);
    assert_true(rc == SQLITE_ROW || rc == SQLITE_DONE);
    if (rc == SQLITE_ROW)
        encode_row(r, &found, &row);
    bool same = found.len == key->len && memcmp(found.data, key->data, key->len) == 0;
    model_put(o, t, key, rc == SQLITE_ROW && same ? &row : NULL);
    rows_end(r->lookup);
}

static void drain(struct oracle *o)
{
    struct journal_entry e;
    int rc, count, limit = 1 + (int)pick(o, 40);

    do {
        assert_int_equal(source_exec(o->w->source, "BEGIN"), SQLITE_OK);
        sqlite3_stmt *entries = journal_entries(o->w->journal, o->read, limit, 0, 0);
        for (count = 0; (rc = journal_next(entries, &e)) == SQLITE_ROW; count++) {
            _cleanup_buf_ struct buf key = {0};
            if (e.seq <= o->read)
                broken(o, "the journal went back");
            journal_key(entries, (unsigned)o->w->tables[e.table - FIRST_ID].plan->row_key_count,
                        &key);
            take_entry(o, e.table, &key);
            o->read = e.seq;
        }
        assert_int_equal(rc, SQLITE_DONE);
        rows_end(entries);
        assert_int_equal(source_exec(o->w->source, "COMMIT"), SQLITE_OK);
    } while (count == limit);
}

static void acknowledge(struct oracle *o)
{
    int64_t upto = o->read - (chance(o, 30) ? (int64_t)pick(o, 20) : 0);
    int rc = journal_ack(o->w->journal, upto, test_nonce, NULL, NULL, &o->acked);

    assert_true(rc == SQLITE_OK || (rc & 0xff) == SQLITE_BUSY);
}

static void compare(struct oracle *o)
{
    size_t rows = 0;

    for (size_t i = 0; i < o->w->capture.count; i++) {
        struct rows *r = o->rows[i];
        sqlite3_stmt *page;
        assert_int_equal(rows_page(r, NULL, 1000, &page), SQLITE_OK);
        for (; rows_next(r, page) == SQLITE_ROW; rows++) {
            _cleanup_buf_ struct buf key = {0}, row = {0};
            encode_row(r, &key, &row);
            sqlite3_bind_int64(o->get, 1, FIRST_ID + (int64_t)i);
            sqlite3_bind_blob(o->get, 2, key.data, (int)key.len, SQLITE_STATIC);
            if (sqlite3_step(o->get) != SQLITE_ROW)
                broken(o, "a row is missing on the other side");
            if ((size_t)sqlite3_column_bytes(o->get, 0) != row.len ||
                memcmp(sqlite3_column_blob(o->get, 0), row.data, row.len) != 0)
                broken(o, "a row is stale on the other side");
            rows_end(o->get);
        }
        rows_end(page);
    }
    if (sql_int(o->model, "SELECT count(*) FROM m") != (int64_t)rows)
        broken(o, "the other side holds rows that are gone");
}

static void one_program(struct oracle *o, uint64_t seed)
{
    o->seed = seed;
    o->rng.state = seed;
    o->savepoints = 0;
    buf_clear(&o->log);
    run(o, chance(o, 20) ? "PRAGMA recursive_triggers=ON" : "PRAGMA recursive_triggers=OFF");
    run(o, "DELETE FROM t");
    if (o->kind->child)
        run(o, "DELETE FROM c");
    for (uint64_t n = 2 + pick(o, STATEMENTS); n > 0; n--) {
        _cleanup_buf_ struct buf sql = {0};
        if (chance(o, 25))
            transaction(o, &sql);
        else
            change(o, &sql);
        run(o, sql.data);
        if (o->w->source->wal && chance(o, 10))
            drain(o); /* while a transaction of the application's may be open */
        if (o->w->source->wal && chance(o, 5))
            acknowledge(o);
    }
    if (!sqlite3_get_autocommit(o->w->app))
        run(o, chance(o, 70) ? "COMMIT" : "ROLLBACK");
    drain(o);
    compare(o);
    if (chance(o, 50))
        acknowledge(o);
}

static void begin_kind(struct oracle *o, const struct kind *kind)
{
    struct world *w = o->w;

    o->kind = kind;
    app(w, "PRAGMA foreign_keys=ON; %s", kind->schema);
    attach(w);
    open_journal(w);
    o->read = o->acked = 1;
    sql_run(o->model, "DELETE FROM m");
    for (size_t i = 0; i < w->capture.count; i++)
        assert_int_equal(rows_open(w->source, w->plans[i], &o->rows[i]), SQLITE_OK);
}

static void end_kind(struct oracle *o)
{
    for (size_t i = 0; i < MAX_TABLES; i++) {
        rows_close(o->rows[i]);
        o->rows[i] = NULL;
    }
    forget_schema(o->w);
    app(o->w, "PRAGMA foreign_keys=OFF; DROP TABLE IF EXISTS c; DROP TABLE t;"
              "DROP TABLE _syncd_journal");
}

/* Programs `from` to `to`; kinds take turns in runs, so that a seed belongs to one kind. */
static void run_programs(struct world *w, uint64_t from, uint64_t to)
{
    enum { RUN = 25 };
    struct oracle o = {.w = w};
    size_t count = sizeof kinds / sizeof *kinds;

    assert_int_equal(sqlite3_open(":memory:", &o.model), SQLITE_OK);
    sql_run(o.model, "CREATE TABLE m(t, k, row, PRIMARY KEY(t, k)) WITHOUT ROWID");
    sqlite3_prepare_v2(o.model, "REPLACE INTO m VALUES(?1,?2,?3)", -1, &o.put, NULL);
    sqlite3_prepare_v2(o.model, "DELETE FROM m WHERE t=?1 AND k=?2", -1, &o.delete, NULL);
    sqlite3_prepare_v2(o.model, "SELECT row FROM m WHERE t=?1 AND k=?2", -1, &o.get, NULL);
    for (uint64_t seed = from; seed < to;) {
        begin_kind(&o, &kinds[seed / RUN % count]);
        do
            one_program(&o, seed);
        while (++seed < to && seed % RUN);
        end_kind(&o);
    }
    sqlite3_finalize(o.put);
    sqlite3_finalize(o.delete);
    sqlite3_finalize(o.get);
    sqlite3_close(o.model);
    buf_free(&o.log);
}

static uint64_t only_seed;

static void the_journal_tells_of_every_change(void **state)
{
    if (only_seed)
        run_programs(*state, only_seed, only_seed + 1);
    else
        run_programs(*state, 1, sample_of(PROGRAMS) + 1);
}

static void and_so_in_rollback_mode(void **state)
{
    struct world *w = *state;

    app(w, "PRAGMA journal_mode=PERSIST");
    run_programs(w, 1000000, 1000000 + ROLLBACK_MODE_PROGRAMS);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        world_test(the_journal_tells_of_every_change),
        world_test(and_so_in_rollback_mode),
    };

    if (argc > 1)
        only_seed = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
