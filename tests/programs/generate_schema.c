/* Tables, indexes and the application's triggers. */
#include "generate.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const conflict_words[] = {"REPLACE", "REPLACE",  "IGNORE",
                                             "FAIL",    "ROLLBACK", "ABORT"};
static const char *const collations[] = {"NOCASE", "NOCASE", "RTRIM", "BINARY"};

/* What may be cut from the SQL is put between marks. */
static void cut(struct buf *sql, const char *text)
{
    buf_printf(sql, CUT_BEGIN "%s" CUT_END, text);
}

static void on_conflict(struct gen *g, unsigned percent, struct buf *sql)
{
    if (gen_chance(g, percent))
        buf_printf(sql, CUT_BEGIN " ON CONFLICT %s" CUT_END, gen_one_of(g, conflict_words));
}

static const char *type_name(struct gen *g, const struct gen_table *t, enum gen_type type)
{
    static const char *const ints[] = {"INT", "BIGINT", "INT"};

    switch (type) {
    case GEN_INT:
        return t->strict ? "INT" : gen_one_of(g, ints);
    case GEN_TEXT_TYPE:
        return t->strict || gen_chance(g, 80) ? "TEXT" : "VARCHAR(9)";
    case GEN_BLOB:
        return "BLOB";
    case GEN_REAL:
        return "REAL";
    case GEN_NUMERIC:
        return t->strict ? "REAL" : "NUMERIC";
    case GEN_ANY:
        break;
    }
    return t->strict ? "ANY" : "";
}

static struct gen_column *add_column(struct gen *g, struct gen_table *t, enum gen_type type)
{
    static const char *const plain[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"};
    static const char *const odd[] = {"\"order\"", "\"a b\"", "\"it's\"", "\"x\"\"y\"", "\"Ä\""};
    struct gen_column *c = &t->columns[t->column_count];
    bool quoted = gen_chance(g, 8) && t->column_count < sizeof odd / sizeof *odd;

    *c = (struct gen_column){.type = type};
    snprintf(c->name, sizeof c->name, "%s", quoted ? odd[t->column_count] : plain[t->column_count]);
    t->column_count++;
    return c;
}

static enum gen_type any_type(struct gen *g)
{
    static const enum gen_type types[] = {GEN_INT,       GEN_INT,       GEN_INT,    GEN_TEXT_TYPE,
                                          GEN_TEXT_TYPE, GEN_TEXT_TYPE, GEN_BLOB,   GEN_REAL,
                                          GEN_ANY,       GEN_ANY,       GEN_NUMERIC};

    return gen_one_of(g, types);
}

static void add_upsert_target(struct gen_table *t, const char *name, const char *target)
{
    if (t->index_count == MAX_GEN_INDEXES)
        return;
    struct gen_index *i = &t->indexes[t->index_count++];
    snprintf(i->name, sizeof i->name, "%s", name);
    i->target[0] = '\0';
    if (strlen(target) < sizeof i->target)
        snprintf(i->target, sizeof i->target, "%s", target);
}

/* --- keys ---------------------------------------------------------------------------------------
 */

static void integer_key(struct gen *g, struct gen_table *t, struct buf *sql)
{
    struct gen_column *c = add_column(g, t, GEN_INT);
    /* By an old quirk "INTEGER PRIMARY KEY DESC" is not the rowid. */
    bool descending = gen_chance(g, 12);

    c->key = true;
    t->key[t->key_count++] = 0;
    t->rowid_key = !t->without_rowid && !descending;
    buf_printf(sql, "%s INTEGER PRIMARY KEY%s", c->name, descending ? " DESC" : "");
    on_conflict(g, 15, sql);
    if (t->rowid_key && gen_chance(g, 15))
        cut(sql, " AUTOINCREMENT");
}

static enum gen_type key_type(struct gen *g, const struct gen_table *t)
{
    static const enum gen_type types[] = {GEN_TEXT_TYPE, GEN_TEXT_TYPE, GEN_TEXT_TYPE, GEN_INT,
                                          GEN_INT,       GEN_BLOB,      GEN_REAL,      GEN_NUMERIC};
    enum gen_type type = gen_one_of(g, types);

    return t->strict && type == GEN_NUMERIC ? GEN_INT : type;
}

static void typed_key(struct gen *g, struct gen_table *t, struct buf *sql)
{
    struct gen_column *c = add_column(g, t, key_type(g, t));

    c->key = true;
    t->key[t->key_count++] = 0;
    buf_printf(sql, "%s %s", c->name, type_name(g, t, c->type));
    if (c->type == GEN_TEXT_TYPE && gen_chance(g, 35))
        buf_printf(sql, CUT_BEGIN " COLLATE %s" CUT_END, gen_one_of(g, collations));
    if (gen_chance(g, 40))
        cut(sql, " NOT NULL");
    buf_puts(sql, " PRIMARY KEY");
    on_conflict(g, 15, sql);
}

static void composite_key(struct gen *g, struct gen_table *t, struct buf *sql, struct buf *rest)
{
    size_t count = gen_chance(g, 75) ? 2 : 3, first;

    for (size_t i = 0; i < count; i++) {
        struct gen_column *c = add_column(g, t, key_type(g, t));
        c->key = true;
        buf_printf(sql, "%s%s %s", i ? ", " : "", c->name, type_name(g, t, c->type));
        if (c->type == GEN_TEXT_TYPE && gen_chance(g, 25))
            buf_printf(sql, CUT_BEGIN " COLLATE %s" CUT_END, gen_one_of(g, collations));
        if (gen_chance(g, 40))
            cut(sql, " NOT NULL");
    }
    first = gen_pick(g, count);
    buf_puts(rest, ", PRIMARY KEY(");
    for (size_t i = 0; i < count; i++) {
        size_t at = (first + i) % count;
        t->key[t->key_count++] = at;
        buf_printf(rest, "%s%s", i ? ", " : "", t->columns[at].name);
        if (t->columns[at].type == GEN_TEXT_TYPE && gen_chance(g, 15))
            buf_printf(rest, CUT_BEGIN " COLLATE %s" CUT_END, gen_one_of(g, collations));
        if (gen_chance(g, 15))
            cut(rest, " DESC");
    }
    buf_putc(rest, ')');
    on_conflict(g, 15, rest);
}

/* No primary key: a unique NOT NULL column is named in the configuration. */
static void named_key(struct gen *g, struct gen_table *t, struct buf *sql)
{
    struct gen_column *c = add_column(g, t, key_type(g, t));

    c->key = c->not_null = true;
    t->key[t->key_count++] = 0;
    buf_printf(sql, "%s %s NOT NULL UNIQUE", c->name, type_name(g, t, c->type));
    on_conflict(g, 20, sql);
}

/* --- other columns ------------------------------------------------------------------------------
 */

static void default_value(struct gen *g, const struct gen_column *c, struct buf *sql)
{
    static const char *const expressions[] = {"(1+1)", "('a'||'b')", "(abs(-2))", "(lower('A'))",
                                              "-1",    "+2",         "(x'61')"};

    buf_puts(sql, " DEFAULT ");
    if (gen_chance(g, 30))
        buf_puts(sql, gen_one_of(g, expressions));
    else
        gen_literal(g, c->type, sql);
}

static void check(struct gen *g, const struct gen_column *c, struct buf *sql)
{
    buf_printf(sql, CUT_BEGIN " CHECK(%s <> ", c->name);
    gen_literal(g, c->type, sql);
    buf_puts(sql, ")" CUT_END);
}

static void foreign_key(struct gen *g, struct gen_table *t, const struct gen_column *c,
                        struct buf *sql)
{
    static const char *const actions[] = {"CASCADE",  "CASCADE",     "SET NULL",
                                          "RESTRICT", "SET DEFAULT", "NO ACTION"};
    const struct gen_table *parent = &g->tables[gen_pick(g, g->table_count + 1)];

    if (parent->key_count != 1 || (parent == t && &t->columns[parent->key[0]] == c))
        return;
    buf_printf(sql, CUT_BEGIN " REFERENCES %s(%s)", parent->name,
               parent->columns[parent->key[0]].name);
    if (gen_chance(g, 80))
        buf_printf(sql, CUT_BEGIN " ON DELETE %s" CUT_END, gen_one_of(g, actions));
    if (gen_chance(g, 70))
        buf_printf(sql, CUT_BEGIN " ON UPDATE %s" CUT_END, gen_one_of(g, actions));
    if (gen_chance(g, 35))
        cut(sql, " DEFERRABLE INITIALLY DEFERRED");
    buf_puts(sql, CUT_END);
}

static void generated(struct gen *g, struct gen_table *t, struct buf *sql)
{
    const char *of = t->columns[gen_plain_column(g, t)].name;
    const char *other = t->columns[gen_plain_column(g, t)].name;
    struct gen_column *c = add_column(g, t, any_type(g));

    c->generated = true;
    buf_printf(sql, CUT_BEGIN ", %s %s AS (", c->name, type_name(g, t, c->type));
    switch (gen_pick(g, 5)) {
    case 0:
        buf_printf(sql, "%s", of);
        break;
    case 1:
        buf_printf(sql, "lower(%s)", of);
        break;
    case 2:
        buf_printf(sql, "%s || '-' || %s", of, other);
        break;
    case 3:
        buf_printf(sql, "coalesce(%s, %s, 0)", of, other);
        break;
    default:
        buf_printf(sql, "length(%s) %% 3", of);
    }
    buf_printf(sql, ") %s", gen_chance(g, 50) ? "VIRTUAL" : "STORED");
    if (gen_chance(g, 35)) {
        buf_puts(sql, CUT_BEGIN " UNIQUE");
        on_conflict(g, 20, sql);
        buf_puts(sql, CUT_END);
    }
    buf_puts(sql, CUT_END);
}

static void plain_column(struct gen *g, struct gen_table *t, struct buf *sql)
{
    struct gen_column *c = add_column(g, t, any_type(g));
    _cleanup_buf_ struct buf target = {0};

    buf_printf(sql, CUT_BEGIN ", %s %s", c->name, type_name(g, t, c->type));
    if (gen_chance(g, 12))
        buf_printf(sql, CUT_BEGIN " COLLATE %s" CUT_END, gen_one_of(g, collations));
    if (gen_chance(g, 20)) {
        c->not_null = true;
        buf_puts(sql, CUT_BEGIN " NOT NULL");
        on_conflict(g, 30, sql);
        buf_puts(sql, CUT_END);
    }
    if (gen_chance(g, c->not_null ? 70 : 15)) {
        buf_puts(sql, CUT_BEGIN);
        default_value(g, c, sql);
        buf_puts(sql, CUT_END);
    }
    if (gen_chance(g, 22)) {
        buf_puts(sql, CUT_BEGIN " UNIQUE");
        on_conflict(g, 25, sql);
        buf_puts(sql, CUT_END);
        buf_printf(&target, "(%s)", c->name);
        add_upsert_target(t, "", target.data);
    }
    if (gen_chance(g, 8))
        check(g, c, sql);
    if (gen_chance(g, 22))
        foreign_key(g, t, c, sql);
    buf_puts(sql, CUT_END);
}

/* --- tables -------------------------------------------------------------------------------------
 */

static void table_unique(struct gen *g, struct gen_table *t, struct buf *rest)
{
    const char *a = t->columns[gen_any_column(g, t)].name;
    const char *b = t->columns[gen_any_column(g, t)].name;
    _cleanup_buf_ struct buf target = {0};

    if (strcmp(a, b) == 0)
        return;
    buf_printf(rest, CUT_BEGIN ", UNIQUE(%s, %s)", a, b);
    on_conflict(g, 25, rest);
    buf_puts(rest, CUT_END);
    buf_printf(&target, "(%s, %s)", a, b);
    add_upsert_target(t, "", target.data);
}

static void choose_shape(struct gen *g, struct gen_table *t)
{
    t->strict = gen_since(g, SINCE_STRICT) && gen_chance(g, 12);
    t->without_rowid = gen_chance(g, 30);
}

static void create_table(struct gen *g, struct gen_table *t)
{
    _cleanup_buf_ struct buf sql = {0}, rest = {0}, target = {0};
    uint64_t shape = gen_pick(g, 10);

    choose_shape(g, t);
    buf_printf(&sql, "CREATE TABLE %s(", t->name);
    if (shape < 4) {
        integer_key(g, t, &sql);
    } else if (shape < 7) {
        typed_key(g, t, &sql);
    } else if (shape < 9) {
        composite_key(g, t, &sql, &rest);
    } else {
        t->without_rowid = false;
        named_key(g, t, &sql);
    }
    for (uint64_t n = 1 + gen_pick(g, 4); n > 0; n--)
        if (gen_since(g, SINCE_GENERATED) && gen_chance(g, 18))
            generated(g, t, &sql);
        else
            plain_column(g, t, &sql);
    if (gen_chance(g, 20))
        table_unique(g, t, &rest);
    buf_puts(&target, "(");
    for (size_t i = 0; i < t->key_count; i++)
        buf_printf(&target, "%s%s", i ? ", " : "", t->columns[t->key[i]].name);
    buf_puts(&target, ")");
    add_upsert_target(t, "", target.data);
    buf_printf(&sql, "%s)", rest.len ? rest.data : "");
    if (t->without_rowid)
        cut(&sql, " WITHOUT ROWID");
    if (t->strict)
        buf_puts(&sql, t->without_rowid ? ", STRICT" : " STRICT");
    program_add(g->program, STEP_SQL, 0, 0, sql.data);
}

/* --- indexes ------------------------------------------------------------------------------------
 */

static void expression(struct gen *g, const struct gen_table *t, struct buf *sql)
{
    const char *a = t->columns[gen_any_column(g, t)].name;
    const char *b = t->columns[gen_any_column(g, t)].name;

    switch (gen_pick(g, 6)) {
    case 0:
        buf_printf(sql, "lower(%s)", a);
        break;
    case 1:
        buf_printf(sql, "%s + %s", a, b);
        break;
    case 2:
        buf_printf(sql, "%s || '/' || %s", a, b);
        break;
    case 3:
        buf_printf(sql, "coalesce(%s, %s)", a, b);
        break;
    case 4:
        buf_printf(sql, "abs(%s)", a);
        break;
    default:
        buf_printf(sql, "substr(%s, 1, 1)", a);
    }
}

static void partial(struct gen *g, const struct gen_table *t, struct buf *sql)
{
    const struct gen_column *c = &t->columns[gen_any_column(g, t)];

    buf_printf(sql, CUT_BEGIN " WHERE %s", c->name);
    switch (gen_pick(g, 4)) {
    case 0:
        buf_puts(sql, " IS NOT NULL");
        break;
    case 1:
        buf_puts(sql, " > ");
        gen_literal(g, c->type, sql);
        break;
    case 2:
        buf_puts(sql, " IN (");
        gen_literal(g, c->type, sql);
        buf_puts(sql, ", ");
        gen_literal(g, c->type, sql);
        buf_puts(sql, ")");
        break;
    default:
        buf_puts(sql, " <> ");
        gen_literal(g, c->type, sql);
        buf_printf(sql, " AND %s IS NOT NULL", t->columns[gen_any_column(g, t)].name);
    }
    buf_puts(sql, CUT_END);
}

void gen_index(struct gen *g, struct gen_table *t, struct buf *sql)
{
    _cleanup_buf_ struct buf marked = {0}, target = {0};
    char name[GEN_NAME];
    bool unique = gen_chance(g, 85);

    snprintf(name, sizeof name, "x%u", g->names++);
    buf_puts(&marked, "(");
    for (uint64_t n = gen_chance(g, 65) ? 1 : 2, i = 0; i < n; i++) {
        buf_puts(&marked, i ? ", " : "");
        if (gen_since(g, SINCE_EXPRESSION_INDEX) && gen_chance(g, 25))
            expression(g, t, &marked);
        else
            buf_puts(&marked, t->columns[gen_any_column(g, t)].name);
        if (gen_chance(g, 25))
            buf_printf(&marked, CUT_BEGIN " COLLATE %s" CUT_END, gen_one_of(g, collations));
        if (gen_chance(g, 15))
            cut(&marked, " DESC");
    }
    buf_puts(&marked, ")");
    if (gen_chance(g, 25))
        partial(g, t, &marked);
    buf_printf(sql, "CREATE%s INDEX %s ON %s%s", unique ? " UNIQUE" : "", name, t->name,
               marked.data);
    program_sql(marked.data, &target);
    add_upsert_target(t, name, unique && !strstr(target.data, "DESC") ? target.data : "");
}

/* --- the application's triggers -----------------------------------------------------------------
 */

/* A value in a trigger: of the row at hand, or any. */
static void trigger_value(struct gen *g, const struct gen_table *on, const char *row,
                          const struct gen_column *to, struct buf *sql)
{
    if (gen_chance(g, 55))
        buf_printf(sql, "%s.%s", row, on->columns[gen_any_column(g, on)].name);
    else
        gen_value(g, to, sql);
}

static void trigger_action(struct gen *g, const struct gen_table *on, const char *row,
                           struct buf *sql)
{
    struct gen_table *t = &g->tables[gen_pick(g, g->table_count)];
    const struct gen_column *c = &t->columns[gen_any_column(g, t)];
    const char *comma = "";

    switch (gen_pick(g, 3)) {
    case 0:
        buf_printf(sql, "DELETE FROM %s WHERE %s = ", t->name, c->name);
        trigger_value(g, on, row, c, sql);
        break;
    case 1: {
        const struct gen_column *set = &t->columns[gen_plain_column(g, t)];
        buf_printf(sql, "UPDATE%s %s SET %s = ", gen_conflict(g), t->name, set->name);
        trigger_value(g, on, row, set, sql);
        buf_printf(sql, " WHERE %s = ", c->name);
        trigger_value(g, on, row, c, sql);
        break;
    }
    default:
        buf_printf(sql, "INSERT%s INTO %s VALUES(", gen_conflict(g), t->name);
        for (size_t i = 0; i < t->column_count; i++) {
            if (t->columns[i].generated)
                continue;
            buf_puts(sql, comma);
            trigger_value(g, on, row, &t->columns[i], sql);
            comma = ", ";
        }
        buf_puts(sql, ")");
    }
    buf_puts(sql, "; ");
}

void gen_trigger(struct gen *g, struct buf *sql)
{
    static const char *const events[] = {"INSERT", "UPDATE", "DELETE"};
    static const char *const raises[] = {"RAISE(IGNORE)", "RAISE(ABORT, 'no')", "RAISE(FAIL, 'no')",
                                         "RAISE(ROLLBACK, 'no')"};
    const struct gen_table *on = &g->tables[gen_pick(g, g->table_count)];
    size_t event = gen_pick(g, 3);
    const char *row = event == 2 || (event == 1 && gen_chance(g, 50)) ? "OLD" : "NEW";
    const struct gen_column *when = &on->columns[gen_any_column(g, on)];
    bool before = gen_chance(g, 40);

    buf_printf(sql, "CREATE TRIGGER r%u %s %s", g->names++, before ? "BEFORE" : "AFTER",
               events[event]);
    if (event == 1 && gen_chance(g, 40))
        buf_printf(sql, " OF %s", on->columns[gen_any_column(g, on)].name);
    buf_printf(sql, " ON %s", on->name);
    /* Always guarded, or programs would do little but what their triggers do. */
    buf_printf(sql, " WHEN %s.%s %s ", row, when->name, gen_chance(g, 50) ? "=" : ">");
    gen_literal(g, when->type, sql);
    buf_puts(sql, " BEGIN ");
    for (uint64_t n = 1 + gen_pick(g, 2); n > 0; n--) {
        buf_puts(sql, CUT_BEGIN);
        trigger_action(g, on, row, sql);
        buf_puts(sql, CUT_END);
    }
    if (gen_chance(g, 12))
        buf_printf(sql, CUT_BEGIN "SELECT %s; " CUT_END,
                   before ? gen_one_of(g, raises) : raises[1 + gen_pick(g, 3)]);
    buf_puts(sql, "SELECT 1; END");
}

/* --- all of it ----------------------------------------------------------------------------------
 */

/* A key made of other columns too, but always of the whole primary key, so that rows never meet. */
static void key_options(struct gen *g, const struct gen_table *t, struct key_options *out)
{
    static const char *const before[] = {"USER#", "", "A", "x-"};
    const char *key = t->columns[t->key[0]].name;
    _cleanup_buf_ struct buf partition = {0}, sort = {0};
    bool named = !strchr(key, '"');

    out->table = must(strdup(t->name));
    for (size_t i = 0; i < t->column_count; i++)
        named &= !strchr(t->columns[i].name, '"');
    if (!named)
        return;
    const char *other = t->columns[gen_any_column(g, t)].name;
    if (t->key_count > 2 || gen_chance(g, 55)) {
        if (t->columns[t->key[0]].not_null && t->key_count == 1)
            out->partition_key = must(strdup(key));
        return;
    }
    if (gen_chance(g, 30))
        buf_puts(&partition, other);
    else
        buf_printf(&partition, "%s{%s}", gen_one_of(g, before), other);
    if (t->key_count == 1 && gen_chance(g, 40))
        buf_puts(&sort, key);
    else
        buf_printf(&sort, "%s{%s}", gen_one_of(g, before), key);
    if (t->key_count == 2)
        buf_printf(&sort, "#{%s}", t->columns[t->key[1]].name);
    out->partition_key = must(strdup(partition.data));
    out->sort_key = must(strdup(sort.data));
}

void gen_schema(struct gen *g)
{
    uint64_t tables = 1 + gen_pick(g, MAX_PROGRAM_TABLES);

    for (size_t i = 0; i < tables; i++) {
        struct gen_table *t = &g->tables[i];
        snprintf(t->name, sizeof t->name, "t%zu", i);
        g->table_count = i;
        create_table(g, t);
        g->table_count = i + 1;
        key_options(g, t, &g->program->keys[i]);
        for (uint64_t n = gen_pick(g, 3); n > 0; n--) {
            _cleanup_buf_ struct buf sql = {0};
            gen_index(g, t, &sql);
            program_add(g->program, STEP_SQL, 0, 0, sql.data);
        }
    }
    for (uint64_t n = gen_chance(g, 35) ? 1 + gen_pick(g, 2) : 0; n > 0; n--) {
        _cleanup_buf_ struct buf sql = {0};
        gen_trigger(g, &sql);
        program_add(g->program, STEP_SQL, 0, 0, sql.data);
    }
}
