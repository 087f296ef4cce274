/* Capture under whatever names the application chooses: each stays in its quotes, and the journal
 * is what it would be under plain ones. A failing table is printed with its number; an argument
 * runs that one alone. */
#include "capture_fixture.h"

#include "base/rng.h"

enum { TABLES = 1000, WIDE_EVERY = 50, WIDE = 200 };

static void hostile_name(struct rng *rng, char out[64])
{
    static const char *const pieces[] = {
        "\"",
        "\"\"",
        "'",
        ";",
        "--",
        "/*",
        "*/",
        "\n",
        "\r\n",
        ")",
        "(",
        ",",
        " ",
        "\\",
        "%w",
        "%s",
        "%n",
        "[",
        "]",
        "`",
        "END",
        "DROP",
        "TABLE",
        "NEW.",
        "OLD.",
        "rowid",
        "oid",
        "select",
        "x",
        "Y",
        "\xc3\xa9",
        "\xe2\x82\xac",
        "\xf0\x9f\x98\x80",
        ".",
        "?1",
        "$a",
        "@",
        "#",
        "main.",
        "\"; DROP TABLE t; --",
        "\x01",
        "\x7f",
        "0",
        "''",
        "WHEN",
        "BEGIN ",
        "_rowid_",
        "new",
        "OLD",
        "r",
        "k0",
        "AS ",
        "COLLATE ",
        "WHERE ",
        "x'00'",
        "\xef\xbb\xbf",
        "CASE ",
        "end",
        "_syncd_",
    };
    size_t len = 0;

    for (uint64_t n = 1 + rng_upto(rng, 4); n > 0; n--) {
        const char *piece = pieces[rng_upto(rng, sizeof pieces / sizeof *pieces - 1)];
        if (len + strlen(piece) >= 56)
            break;
        memcpy(out + len, piece, strlen(piece));
        len += strlen(piece);
    }
    out[len] = '\0';
}

/* The names of one table. The digits at the end keep them apart. */
struct names {
    char table[80], key[80], second[80], plain[80], folded[80], made[80], index[80];
};

static void choose_names(struct rng *rng, struct names *n)
{
    char *const all[] = {n->key, n->second, n->plain, n->folded, n->made, n->index};

    do
        hostile_name(rng, n->table);
    while (strncasecmp(n->table, "sqlite_", 7) == 0 || strncasecmp(n->table, "_syncd_", 7) == 0);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        hostile_name(rng, all[i]);
        sprintf(all[i] + strlen(all[i]), "%zu", i);
    }
    if (strncasecmp(n->index, "sqlite_", 7) == 0)
        n->index[0] = 'S' + 1;
}

/* One column of each kind that a trigger may have to name. */
static void create(struct world *w, struct rng *rng, const struct names *n, bool composite,
                   bool wide)
{
    _cleanup_buf_ struct buf more = {0};

    for (int i = 0; wide && i < WIDE - 5; i++) {
        char name[64];
        hostile_name(rng, name);
        char *column = sqlite3_mprintf(",\"%w%dx\"", name, i);
        buf_puts(&more, column);
        sqlite3_free(column);
    }
    char *key = composite ? sqlite3_mprintf(",\"%w\"", n->second) : sqlite3_mprintf("");
    app(w,
        "CREATE TABLE \"%w\"(\"%w\" TEXT, \"%w\" TEXT, \"%w\" INTEGER, \"%w\" NOT NULL DEFAULT "
        "\"%w\" "
        "UNIQUE, \"%w\" AS (\"%w\" || 'g')%s, PRIMARY KEY(\"%w\"%s))%s",
        n->table, n->folded, n->second, n->key, n->plain, n->table, n->made, n->folded,
        more.data ? more.data : "", n->key, key, composite ? " WITHOUT ROWID" : "");
    app(w,
        "CREATE UNIQUE INDEX \"%w\" ON \"%w\"(/* ) */ lower(\"%w\") DESC, \"%w\" COLLATE NOCASE) "
        "WHERE "
        "\"%w\".\"%w\" IS NOT \"%w 7\" -- )",
        n->index, n->table, n->folded, n->made, n->table, n->second, n->key);
    sqlite3_free(key);
}

static void write_rows(struct world *w, const struct names *n)
{
    app(w, "INSERT INTO \"%w\"(\"%w\",\"%w\",\"%w\",\"%w\") VALUES(1,'a','p','f')", n->table,
        n->key, n->second, n->plain, n->folded);
    app(w, "UPDATE \"%w\" SET \"%w\"=2", n->table, n->key);
    /* Through the column's index, and through the other one. */
    app(w, "REPLACE INTO \"%w\"(\"%w\",\"%w\",\"%w\",\"%w\") VALUES(3,'a','p','h')", n->table,
        n->key, n->second, n->plain, n->folded);
    app(w, "REPLACE INTO \"%w\"(\"%w\",\"%w\",\"%w\",\"%w\") VALUES(4,'a',NULL,'H')", n->table,
        n->key, n->second, n->plain, n->folded);
    app(w, "INSERT INTO \"%w\"(\"%w\",\"%w\",\"%w\") VALUES(5,'a','q')", n->table, n->key,
        n->second, n->plain);
    app(w, "UPDATE OR REPLACE \"%w\" SET \"%w\"='h' WHERE \"%w\"=5", n->table, n->folded, n->key);
    app(w, "DELETE FROM \"%w\"", n->table);
}

static void one_hostile_table(struct world *w, struct rng *rng, bool wide)
{
    struct names n;
    bool composite = rng_upto(rng, 1);

    choose_names(rng, &n);
    create(w, rng, &n, composite, wide);
    char *before = sql_text(w->app, SCHEMA);
    attach(w);
    assert_int_equal(w->capture.count, 1);
    assert_null(w->plans[0]->capture.limits);
    /* Our journal, four triggers, three of lookups, the cap. */
    expect(w,
           "SELECT group_concat(name,' ') FROM (SELECT name FROM sqlite_schema WHERE name LIKE "
           "'\\_syncd\\_%' ESCAPE '\\' AND type<>'index' ORDER BY name)",
           "_syncd_7_b0 _syncd_7_b1 _syncd_7_bi _syncd_7_d _syncd_7_i _syncd_7_k _syncd_7_u "
           "_syncd_cap _syncd_journal");
    char *others = sqlite3_mprintf("SELECT count(*) FROM sqlite_schema WHERE name IN (%Q,%Q) OR "
                                   "name LIKE 'sqlite\\_auto%%' ESCAPE '\\'",
                                   n.table, n.index);
    expect(w, others, "3");
    assert_string_equal(state_of(w, 0), "intact");
    write_rows(w, &n);
    if (composite)
        expect(w, ENTRIES2,
               "1,'a' 1,'a' 2,'a' 2,'a' 2,'a' 3,'a' 3,'a' 4,'a' 5,'a' 4,'a' 5,'a' 5,'a'");
    else
        expect(w, ENTRIES, "1 1 2 2 2 3 3 4 5 4 5 5");
    assert_int_equal(capture_remove(w->source, true), SQLITE_OK);
    expect(w, SCHEMA, before);
    sqlite3_free(others);
    sqlite3_free(before);
    app(w, "DROP TABLE \"%w\"", n.table);
}

static uint64_t only;

static void a_thousand_hostile_names_stay_in_their_quotes(void **state)
{
    struct world *w = *state;

    for (uint64_t i = 1; i <= TABLES; i++) {
        struct rng rng = {.state = i};
        if (only && only != i)
            continue;
        print_message("  table %d\n", (int)i);
        one_hostile_table(w, &rng, i % WIDE_EVERY == 0);
    }
    expect(w, "SELECT count(*) FROM sqlite_schema", "0");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        world_test(a_thousand_hostile_names_stay_in_their_quotes),
    };

    if (argc > 1)
        only = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
