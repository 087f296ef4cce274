/* The catalog: every kind of table SQLite has, read as SQLite itself behaves. */
#include "database_fixture.h"

#include "base/rng.h"

static const char affinity_letters[] = "IRNTB-";

/* kind [strict] key a,b (* the rowid) by NAME: column/affinity (! not null, + generated,
 * ~collation) [index(columns~collations)] */
static void describe(const struct table_info *t, struct buf *out)
{
    static const char *const kinds[] = {"rowid", "without", "view", "virtual", "shadow"};

    buf_printf(out, "%s%s key", kinds[t->kind], t->strict ? " strict" : "");
    for (size_t i = 0; i < t->key_count; i++)
        buf_printf(out, "%c%s", i ? ',' : ' ', t->columns[t->key[i]].name);
    buf_printf(out, "%s by %s:", t->rowid_key ? "*" : "", t->rowid_name ? t->rowid_name : "-");
    for (size_t i = 0; i < t->column_count; i++) {
        const struct column_info *c = &t->columns[i];
        buf_printf(out, " %s/%c%s%s", c->name, affinity_letters[c->affinity],
                   c->not_null ? "!" : "", c->generated ? "+" : "");
        if (strcmp(c->collation, "BINARY") != 0)
            buf_printf(out, "~%s", c->collation);
    }
    for (size_t i = 0; i < t->unique_count; i++) {
        const struct unique_info *u = &t->uniques[i];
        buf_printf(out, " [%s(", u->name);
        for (size_t k = 0; k < u->column_count; k++) {
            buf_printf(out, "%s%s", k ? "," : "", t->columns[u->columns[k]].name);
            if (strcmp(u->collations[k], "BINARY") != 0)
                buf_printf(out, "~%s", u->collations[k]);
        }
        buf_puts(out, ")]");
    }
}

static void described(struct world *w, const char *name, const char *as)
{
    _cleanup_buf_ struct buf got = {0};

    describe(table_named(w, name), &got);
    assert_string_equal(got.data, as);
}

static const struct {
    const char *sql, *as;
} tables[] = {
    {"CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT NOT NULL)", "rowid key a* by rowid: a/I b/T!"},
    {"CREATE TABLE t(a INTEGER PRIMARY KEY AUTOINCREMENT)", "rowid key a* by rowid: a/I"},
    {"CREATE TABLE t(b, a integer, PRIMARY KEY(a))", "rowid key a* by rowid: b/- a/I"},
    {"CREATE TABLE t(b, a integer, PRIMARY KEY(a DESC))", "rowid key a* by rowid: b/- a/I"},
    {"CREATE TABLE t(a INTEGER PRIMARY KEY DESC, b)", "rowid key a by rowid: a/I b/-"},
    {"CREATE TABLE t(a INT PRIMARY KEY, b BLOB)", "rowid key a by rowid: a/I b/B"},
    {"CREATE TABLE t(a BIGINT PRIMARY KEY)", "rowid key a by rowid: a/I"},
    {"CREATE TABLE t(a INTEGER PRIMARY KEY) WITHOUT ROWID", "without key a by -: a/I!"},
    {"CREATE TABLE t(a TEXT PRIMARY KEY, b REAL)", "rowid key a by rowid: a/T b/R"},
    {"CREATE TABLE t(c, b TEXT, a INT, PRIMARY KEY(a, b))", "rowid key a,b by rowid: c/- b/T a/I"},
    {"CREATE TABLE t(c, b TEXT, a INT, PRIMARY KEY(a, b)) WITHOUT ROWID",
     "without key a,b by -: c/- b/T! a/I!"},
    {"CREATE TABLE t(a, b, c, PRIMARY KEY(a, a, b))", "rowid key a,b by rowid: a/- b/- c/-"},
    {"CREATE TABLE t(a, b, c, PRIMARY KEY(c, c, c, b)) WITHOUT ROWID",
     "without key c,b by -: a/- b/-! c/-!"},
    {"CREATE TABLE t(a, b)", "rowid key by rowid: a/- b/-"},
    {"CREATE TABLE t(a INT PRIMARY KEY, b ANY, c TEXT) STRICT",
     "rowid strict key a by rowid: a/I! b/- c/T"},
    {"CREATE TABLE t(a INTEGER PRIMARY KEY, b ANY) STRICT, WITHOUT ROWID",
     "without strict key a by -: a/I! b/-"},
    {"CREATE TABLE t(a INTEGER PRIMARY KEY, b ANY)", "rowid key a* by rowid: a/I b/N"},
    {"CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT GENERATED ALWAYS AS (a||'x'), c AS (a*2) "
     "STORED)",
     "rowid key a* by rowid: a/I b/T+ c/-+"},
    {"CREATE TABLE t(a TEXT COLLATE NOCASE PRIMARY KEY)", "rowid key a by rowid: a/T~NOCASE"},
    {"CREATE TABLE t(a TEXT, PRIMARY KEY(a COLLATE RTRIM)) WITHOUT ROWID",
     "without key a by -: a/T!~RTRIM"},
    {"CREATE TABLE t(a TEXT COLLATE NOCASE, PRIMARY KEY(a COLLATE BINARY))",
     "rowid key a by rowid: a/T"},
    {"CREATE TABLE t(rowid TEXT PRIMARY KEY)", "rowid key rowid by oid: rowid/T"},
    {"CREATE TABLE t(k TEXT PRIMARY KEY, RowID, OID)", "rowid key k by _rowid_: k/T RowID/- OID/-"},
    {"CREATE TABLE t(k TEXT PRIMARY KEY, rowid, oid, _rowid_)",
     "rowid key k by -: k/T rowid/- oid/- _rowid_/-"},
    {"CREATE TABLE t(rowid INTEGER PRIMARY KEY, a)", "rowid key rowid* by oid: rowid/I a/-"},
    {"CREATE TABLE t(a INTEGER PRIMARY KEY, b UNIQUE, c TEXT COLLATE NOCASE, d, UNIQUE(d DESC, c))",
     "rowid key a* by rowid: a/I b/- c/T d/- [sqlite_autoindex_t_2(d,c~NOCASE)] "
     "[sqlite_autoindex_t_1(b)]"},
    {"CREATE TABLE t(a, b NOT NULL, g AS (b)); CREATE UNIQUE INDEX u ON t(b COLLATE RTRIM);"
     "CREATE INDEX plain ON t(a); CREATE UNIQUE INDEX expression ON t(abs(a));"
     "CREATE UNIQUE INDEX partial ON t(a) WHERE b>1; CREATE UNIQUE INDEX generated ON t(g)",
     "rowid key by rowid: a/- b/-! g/-+ [u(b~RTRIM)]"},
    {"CREATE TABLE t(a INTEGER PRIMARY KEY ON CONFLICT REPLACE, b TEXT UNIQUE ON CONFLICT IGNORE)",
     "rowid key a* by rowid: a/I b/T [sqlite_autoindex_t_1(b)]"},
    {"CREATE TABLE t(a FLOATING POINT PRIMARY KEY, b DOUBLE PRECISION, c DECIMAL(10,5), d STRING,"
     " e CHARINT, f \"\", g VARCHAR(10))",
     "rowid key a by rowid: a/I b/R c/N d/N e/I f/- g/T"},
};

/* --- lookups ---------------------------------------------------------------------------------- */

static void list_columns(const struct table_info *t, char mark, const size_t *list, size_t count,
                         struct buf *out)
{
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "%c%s", i ? ',' : mark, t->columns[list[i]].name);
}

/* [index: condition <columns that matter (* and the rowid) +read !exact ?limit] */
static void describe_lookups(const struct table_info *t, struct buf *out)
{
    for (size_t i = 0; i < t->lookup_count; i++) {
        const struct lookup_info *l = &t->lookups[i];
        buf_printf(out, "%s[%s: %s ", i ? " " : "", l->index, l->where ? l->where : "-");
        list_columns(t, '<', l->columns, l->column_count, out);
        buf_puts(out, l->rowid ? "*" : "");
        list_columns(t, '+', l->reads, l->read_count, out);
        list_columns(t, '!', l->exact, l->exact_count, out);
        buf_puts(out, l->limit ? "?]" : "]");
    }
}

static void lookups_of_every_kind(void **state)
{
    static const char *const cases[][2] = {
        {"CREATE TABLE t(a INTEGER PRIMARY KEY)", "[: r.\"a\"=NEW.\"a\" <a*!a]"},
        {"CREATE TABLE t(a INT PRIMARY KEY) WITHOUT ROWID",
         "[sqlite_autoindex_t_1: r.\"a\"=NEW.\"a\" COLLATE \"BINARY\" <a!a]"},
        {"CREATE TABLE t(rowid INT PRIMARY KEY)",
         "[: r.oid=NEW.oid *] [sqlite_autoindex_t_1: r.\"rowid\"=NEW.\"rowid\" COLLATE \"BINARY\" "
         "<rowid!rowid]"},
        {"CREATE TABLE t(a, b TEXT NOT NULL DEFAULT \"x\" COLLATE NOCASE, c INT, PRIMARY KEY(c, b "
         "DESC)) WITHOUT ROWID; CREATE INDEX i ON t(a)",
         "[sqlite_autoindex_t_1: r.\"c\"=NEW.\"c\" COLLATE \"BINARY\" AND "
         "r.\"b\"=coalesce(NEW.\"b\",('x')) COLLATE \"NOCASE\" <b,c!c]"},
        {"CREATE TABLE t(a INT PRIMARY KEY, b) WITHOUT ROWID; CREATE UNIQUE INDEX i ON "
         "t(lower(\"b\")) WHERE b IN (1, \"b\", \"c\")",
         "[sqlite_autoindex_t_1: r.\"a\"=NEW.\"a\" COLLATE \"BINARY\" <a!a] [i: (lower ( \"b\" "
         ")) COLLATE \"BINARY\"=(SELECT lower ( \"b\" ) FROM (SELECT NEW.\"b\" AS \"b\")) AND (b "
         "IN ( "
         "1 , \"b\" , 'c' )) <b]"},
        {"CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE UNIQUE INDEX i ON t(b COLLATE NOCASE % "
         "2)",
         "[: r.\"a\"=NEW.\"a\" <a*!a] [i: (b COLLATE NOCASE % 2) COLLATE \"BINARY\"=(SELECT b "
         "COLLATE NOCASE % 2 FROM (SELECT NEW.\"b\" AS \"b\")) <b]"},
        {"CREATE TABLE t(a INT PRIMARY KEY, b INT NOT NULL DEFAULT 7) WITHOUT ROWID; CREATE UNIQUE "
         "INDEX i ON t(b > 5)",
         "[sqlite_autoindex_t_1: r.\"a\"=NEW.\"a\" COLLATE \"BINARY\" <a!a] [i: (b > 5) COLLATE "
         "\"BINARY\"=(SELECT b "
         "> "
         "5 FROM (SELECT (SELECT coalesce(NEW.\"b\",CASE WHEN (7)=CAST((7) AS NUMERIC) THEN "
         "CAST((7) AS NUMERIC) ELSE (7) END) UNION ALL SELECT \"b\" FROM \"t\" WHERE 0) COLLATE "
         "\"BINARY\" AS \"b\")) <b]"},
        {"CREATE TABLE t(a INTEGER PRIMARY KEY, b, c AS (d||b), d AS (b+a), e); CREATE UNIQUE "
         "INDEX "
         "i ON t(c) WHERE rowid > 1 AND d",
         "[: r.\"a\"=NEW.\"a\" <a*!a] [i: r.\"c\"=NEW.\"c\" COLLATE \"BINARY\" AND (rowid > 1 AND "
         "d) <a,b*+a,b?]"},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _cleanup_buf_ struct buf got = {0};
        app(w, "%s", cases[i][0]);
        read_schema(w);
        describe_lookups(table_named(w, "t"), &got);
        assert_string_equal(got.data, cases[i][1]);
        app(w, "DROP TABLE t");
    }
}

static bool requires_more(const struct table_info *t)
{
    for (size_t i = 0; i < t->column_count; i++)
        if (t->columns[i].not_null)
            return true;
    return false;
}

static void table_kinds(void **state)
{
    struct world *w = *state;

    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        app(w, "%s", tables[i].sql);
        read_schema(w);
        described(w, "t", tables[i].as);
        /* The key is the rowid exactly when SQLite says that it moves with it. */
        const struct table_info *t = table_named(w, "t");
        if (t->key_count == 1 && t->rowid_name && !requires_more(t)) {
            const char *key = t->columns[t->key[0]].name;
            app(w, "INSERT INTO t(\"%w\") VALUES(41)", key);
            app(w, "UPDATE t SET %s=42", t->rowid_name);
            char *sql = sqlite3_mprintf("SELECT CAST(\"%w\" AS TEXT)='42' FROM t", key);
            expect(w, sql, t->rowid_key ? "1" : "0");
            sqlite3_free(sql);
        }
        app(w, "DROP TABLE t");
    }
}

/* CREATE TABLE AS writes down the affinity that SQLite itself gave to each column. */
static void affinities_are_sqlites(void **state)
{
    static const char *const words[] = {"INT",  "char", "CLOB", "Text",  "BLOB",    "REAL",
                                        "FLOA", "DOUB", "X",    "POINT", "NUMERIC", "(10,2)",
                                        "BOOL", "DATE", "any",  "in",    "T"};
    static const char *const letters[] = {"INT", "REAL", "NUM", "TEXT", ""};
    struct world *w = *state;
    struct rng rng = {.state = 11};

    for (int round = 0; round < 300; round++) {
        char type[120] = "";
        for (uint64_t n = 1 + rng_upto(&rng, 3); n > 0; n--) {
            strcat(type, words[rng_upto(&rng, sizeof words / sizeof *words - 1)]);
            if (rng_upto(&rng, 1))
                strcat(type, " ");
        }
        app(w, "CREATE TABLE a(c \"%w\"); CREATE TABLE b AS SELECT c FROM a", type);
        enum affinity got = affinity_of(type, false);
        char *want = sql_text(w->app, "SELECT type FROM pragma_table_info('b')");
        if (strcmp(letters[got], want) != 0)
            fail_msg("type \"%s\" is %s, not %s", type, want, letters[got]);
        sqlite3_free(want);
        app(w, "DROP TABLE a; DROP TABLE b");
    }
    assert_int_equal(affinity_of("", false), AFFINITY_NONE);
    assert_int_equal(affinity_of("any", true), AFFINITY_NONE);
    assert_int_equal(affinity_of("any", false), AFFINITY_NUMERIC);
}

static void names_are_kept_byte_for_byte(void **state)
{
    static const char *const names[] = {
        "select",    "a\"b",
        "a'b",       "a;b--",
        "new\nline", "[x]",
        "`x`",       "prim\xc3\xa4r \xe2\x9c\x93 schl\xc3\xbcssel",
        "%s%n%d",    "a.b",
        "\t",        " ",
        "main.t",    "\xf0\x9f\x93\x9a",
        "/*",        "$1",
        "?1",        ":x",
        "temp",      "order by",
        "x'00'",
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        app(w, "CREATE TABLE \"%w\"(\"%w\" INTEGER PRIMARY KEY, \"x%w\" TEXT UNIQUE)", names[i],
            names[i], names[i]);
        read_schema(w);
        assert_int_equal(w->catalog->count, 1);
        const struct table_info *t = &w->catalog->tables[0];
        assert_string_equal(t->name, names[i]);
        assert_string_equal(t->columns[0].name, names[i]);
        assert_string_equal(t->columns[1].name + 1, names[i]);
        assert_int_equal(t->unique_count, 1);
        assert_true(t->rowid_key);
        app(w, "DROP TABLE \"%w\"", names[i]);
    }
}

static void views_and_virtual_tables_are_named_as_such(void **state)
{
    struct world *w = *state;

    app(w, "CREATE TABLE t(a INTEGER PRIMARY KEY); CREATE VIEW v AS SELECT a FROM t;"
           "CREATE VIEW broken AS SELECT x FROM nowhere;"
           "CREATE VIRTUAL TABLE docs USING fts5(body); CREATE VIRTUAL TABLE box USING "
           "rtree(id, x1, x2)");
    read_schema(w);
    assert_int_equal(table_named(w, "t")->kind, TABLE_ROWID);
    assert_int_equal(table_named(w, "v")->kind, TABLE_VIEW);
    assert_int_equal(table_named(w, "broken")->kind, TABLE_VIEW);
    assert_int_equal(table_named(w, "docs")->kind, TABLE_VIRTUAL);
    assert_int_equal(table_named(w, "docs_content")->kind, TABLE_SHADOW);
    assert_int_equal(table_named(w, "docs_idx")->kind, TABLE_SHADOW);
    assert_int_equal(table_named(w, "box")->kind, TABLE_VIRTUAL);
    assert_int_equal(table_named(w, "box_node")->kind, TABLE_SHADOW);
    assert_int_equal(w->capture.count, 1);
}

static void mine(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count;
    (void)values;
    sqlite3_result_null(context);
}

/* The application may have modules, functions and collations that we have not. */
static void what_only_the_application_has_does_not_stop_us(void **state)
{
    struct world *w = *state;

    assert_int_equal(sqlite3_create_function(w->app, "mine", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC,
                                             NULL, mine, NULL, NULL),
                     SQLITE_OK);
    app(w, "CREATE TABLE f(a INTEGER PRIMARY KEY, g AS (mine(a)), c CHECK(mine(c) IS NULL));"
           "CREATE INDEX fi ON f(mine(a)); CREATE TABLE t(a INTEGER PRIMARY KEY);"
           "PRAGMA writable_schema=ON;"
           "INSERT INTO sqlite_schema VALUES('table','alien','alien',0,"
           "'CREATE VIRTUAL TABLE alien USING nosuchmodule(x)');"
           "INSERT INTO sqlite_schema VALUES('table','c','c',(SELECT rootpage FROM sqlite_schema "
           "WHERE name='t'),'CREATE TABLE c(a TEXT PRIMARY KEY COLLATE elsewhere) WITHOUT ROWID');"
           "DELETE FROM sqlite_schema WHERE name='t'; PRAGMA writable_schema=RESET");
    read_schema(w);
    assert_int_equal(table_named(w, "alien")->kind, TABLE_VIRTUAL);
    described(w, "f", "rowid key a* by rowid: a/I g/-+ c/-");
    described(w, "c", "without key a by -: a/T!~elsewhere");
}

static void ours_and_sqlites_own_are_left_out(void **state)
{
    struct world *w = *state;

    app(w,
        "CREATE TABLE t(a INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO t DEFAULT VALUES;"
        "CREATE TABLE syncd(a INTEGER PRIMARY KEY); CREATE TABLE xsyncd_y(a INTEGER PRIMARY KEY);"
        "ANALYZE");
    attach(w);
    read_schema(w);
    assert_int_equal(w->catalog->count, 3);
    assert_string_equal(w->catalog->tables[0].name, "syncd");
    assert_string_equal(w->catalog->tables[1].name, "t");
    assert_int_equal(w->catalog->schema_version, sql_int(w->app, "PRAGMA schema_version"));
}

static void a_transaction_of_the_callers_goes_on(void **state)
{
    struct world *w = *state;

    app(w, "CREATE TABLE t(a INTEGER PRIMARY KEY)");
    open_source(w);
    assert_int_equal(source_exec(w->source, "BEGIN"), SQLITE_OK);
    read_schema(w);
    assert_false(sqlite3_get_autocommit(w->source->db));
    assert_int_equal(source_exec(w->source, "COMMIT"), SQLITE_OK);
    read_schema(w);
    assert_true(sqlite3_get_autocommit(w->source->db));
}

static void a_schema_of_many_columns(void **state)
{
    struct world *w = *state;
    _cleanup_buf_ struct buf sql = {0};

    buf_puts(&sql, "CREATE TABLE t(c0");
    for (int i = 1; i < 2000; i++)
        buf_printf(&sql, ",c%d", i);
    buf_puts(&sql, ",PRIMARY KEY(c1999");
    for (int i = 1998; i >= 0; i--)
        buf_printf(&sql, ",c%d", i);
    buf_puts(&sql, "))");
    app(w, "%s", sql.data);
    open_source(w);
    struct err err;
    assert_int_equal(catalog_read(w->source, &w->catalog, &err), SOURCE_OK);
    const struct table_info *t = table_named(w, "t");
    assert_int_equal(t->column_count, 2000);
    assert_int_equal(t->key_count, 2000);
    assert_int_equal(t->key[0], 1999);
    assert_int_equal(t->key[1999], 0);
}

static void a_busy_or_broken_schema_has_its_sentence(void **state)
{
    struct world *w = *state;
    struct err err = {.text = ""};

    app(w, "PRAGMA journal_mode=DELETE; CREATE TABLE t(a INTEGER PRIMARY KEY)");
    open_source(w);
    app(w, "BEGIN EXCLUSIVE");
    assert_int_equal(catalog_read(w->source, &w->catalog, &err), SOURCE_LOCKED);
    assert_non_null(strstr(err.text, w->path));
    assert_null(w->catalog);
    assert_true(sqlite3_get_autocommit(w->source->db));
    app(w, "ROLLBACK; PRAGMA writable_schema=ON;"
           "UPDATE sqlite_schema SET sql='CREATE TABLE t(' WHERE name='t';"
           "PRAGMA schema_version=99");
    assert_int_equal(catalog_read(w->source, &w->catalog, &err), SOURCE_FAILED);
    assert_non_null(strstr(err.text, "integrity_check"));
    assert_null(w->catalog);
}

static void names_of_tools_at_work(void **state)
{
    (void)state;
    assert_true(catalog_is_transient_name("_litestream_seq"));
    assert_true(catalog_is_transient_name("_alembic_tmp_users"));
    assert_true(catalog_is_transient_name("new__app_user"));
    assert_true(catalog_is_transient_name("__new_users"));
    assert_true(catalog_is_transient_name("_KNEX_temp_alter123"));
    assert_true(catalog_is_transient_name("temporary_user"));
    assert_false(catalog_is_transient_name("users"));
    assert_false(catalog_is_transient_name("new_users"));
    assert_false(catalog_is_transient_name("temporary"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(table_kinds),
        world_test(lookups_of_every_kind),
        world_test(affinities_are_sqlites),
        world_test(names_are_kept_byte_for_byte),
        world_test(views_and_virtual_tables_are_named_as_such),
        world_test(what_only_the_application_has_does_not_stop_us),
        world_test(ours_and_sqlites_own_are_left_out),
        world_test(a_transaction_of_the_callers_goes_on),
        world_test(a_schema_of_many_columns),
        world_test(a_busy_or_broken_schema_has_its_sentence),
        cmocka_unit_test(names_of_tools_at_work),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
