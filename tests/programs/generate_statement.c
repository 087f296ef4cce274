/* The application's statements: every kind that writes, and schema changes. */
#include "generate.h"

#include <stdio.h>
#include <stdlib.h>

static struct gen_table *any_table(struct gen *g)
{
    return &g->tables[gen_pick(g, g->table_count)];
}

/* Keys and uniquely indexed columns are what matters most. */
static const struct gen_column *key_column(struct gen *g, const struct gen_table *t)
{
    return &t->columns[gen_chance(g, 50) ? t->key[gen_pick(g, t->key_count)]
                                         : gen_any_column(g, t)];
}

/* --- conditions ---------------------------------------------------------------------------------
 */

static void comparison(struct gen *g, const struct gen_table *t, const char *prefix,
                       struct buf *sql)
{
    const struct gen_column *c = key_column(g, t);

    switch (gen_pick(g, 9)) {
    case 0:
        buf_printf(sql, "%s%s IN (", prefix, c->name);
        gen_literal(g, c->type, sql);
        buf_puts(sql, ", ");
        gen_literal(g, c->type, sql);
        buf_puts(sql, ")");
        return;
    case 1:
        buf_printf(sql, "%s%s IS %sNULL", prefix, c->name, gen_chance(g, 50) ? "NOT " : "");
        return;
    case 2:
        buf_printf(sql, "%s%s > ", prefix, c->name);
        break;
    case 3:
        if (!t->without_rowid) {
            buf_printf(sql, "%srowid = %d", prefix, 1 + (int)gen_pick(g, 5));
            return;
        }
        buf_printf(sql, "%s%s <= ", prefix, c->name);
        break;
    default:
        buf_printf(sql, "%s%s = ", prefix, c->name);
    }
    gen_literal(g, c->type, sql);
}

static void subquery(struct gen *g, struct buf *sql)
{
    const struct gen_table *t = any_table(g);

    buf_printf(sql, "(SELECT %s FROM %s)", t->columns[gen_any_column(g, t)].name, t->name);
}

static void where(struct gen *g, const struct gen_table *t, struct buf *sql)
{
    if (gen_chance(g, 14))
        return;
    buf_puts(sql, " WHERE ");
    if (gen_chance(g, 8)) {
        buf_printf(sql, "%s IN ", key_column(g, t)->name);
        subquery(g, sql);
        return;
    }
    comparison(g, t, "", sql);
    if (gen_chance(g, 15)) {
        buf_puts(sql, gen_chance(g, 50) ? CUT_BEGIN " AND " : CUT_BEGIN " OR ");
        comparison(g, t, "", sql);
        buf_puts(sql, CUT_END);
    }
}

static void returning(struct gen *g, const struct gen_table *t, struct buf *sql)
{
    if (!gen_since(g, SINCE_RETURNING) || !gen_chance(g, 15))
        return;
    if (gen_chance(g, 70))
        buf_puts(sql, CUT_BEGIN " RETURNING *" CUT_END);
    else
        buf_printf(sql, CUT_BEGIN " RETURNING %s, 1" CUT_END,
                   t->columns[gen_any_column(g, t)].name);
}

/* --- SET ----------------------------------------------------------------------------------------
 */

static void new_value(struct gen *g, const struct gen_table *t, const struct gen_column *c,
                      struct buf *sql)
{
    const char *name = c->name;

    if (gen_chance(g, 60)) {
        gen_value(g, c, sql);
        return;
    }
    switch (gen_pick(g, 7)) {
    case 0:
        buf_printf(sql, "%s + 1", name);
        break;
    case 1:
        buf_printf(sql, "-%s", name);
        break;
    case 2:
        buf_printf(sql, "upper(%s)", name);
        break;
    case 3:
        buf_printf(sql, "lower(%s)", name);
        break;
    case 4:
        buf_printf(sql, "%s || ' '", name);
        break;
    case 5:
        buf_printf(sql, "%s", t->columns[gen_any_column(g, t)].name);
        break;
    default:
        subquery(g, sql);
    }
}

static void assignment(struct gen *g, const struct gen_table *t, struct buf *sql)
{
    static const char *const aliases[] = {"rowid", "oid", "_rowid_"};
    const struct gen_column *c = key_column(g, t);

    if (t->rowid_key && gen_chance(g, 12)) {
        buf_printf(sql, "%s = ", gen_one_of(g, aliases));
        new_value(g, t, &t->columns[t->key[0]], sql);
        return;
    }
    if (c->generated)
        c = &t->columns[gen_plain_column(g, t)];
    buf_printf(sql, "%s = ", c->name);
    new_value(g, t, c, sql);
}

static void assignments(struct gen *g, const struct gen_table *t, struct buf *sql)
{
    buf_puts(sql, " SET ");
    assignment(g, t, sql);
    for (unsigned percent = 30; gen_chance(g, percent); percent /= 2) {
        buf_puts(sql, CUT_BEGIN ", ");
        assignment(g, t, sql);
        buf_puts(sql, CUT_END);
    }
}

/* --- INSERT -------------------------------------------------------------------------------------
 */

/* Which columns are named; the key nearly always. */
static size_t choose_columns(struct gen *g, const struct gen_table *t, size_t *chosen)
{
    size_t n = 0;
    bool all = gen_chance(g, 60);

    for (size_t i = 0; i < t->column_count; i++)
        if (!t->columns[i].generated && (all || gen_chance(g, t->columns[i].key ? 95 : 60)))
            chosen[n++] = i;
    if (n == 0)
        chosen[n++] = t->key[0];
    return n;
}

static void column_list(const struct gen_table *t, const size_t *chosen, size_t n, struct buf *sql)
{
    buf_puts(sql, "(");
    for (size_t i = 0; i < n; i++)
        buf_printf(sql, "%s%s", i ? ", " : "", t->columns[chosen[i]].name);
    buf_puts(sql, ")");
}

static void value_rows(struct gen *g, const struct gen_table *t, const size_t *chosen, size_t n,
                       struct buf *sql)
{
    uint64_t rows = gen_chance(g, 60) ? 1 : 2 + gen_pick(g, 2);

    buf_puts(sql, " VALUES");
    for (uint64_t r = 0; r < rows; r++) {
        buf_puts(sql, r ? CUT_BEGIN ", (" : "(");
        for (size_t i = 0; i < n; i++) {
            buf_puts(sql, i ? ", " : "");
            gen_value(g, &t->columns[chosen[i]], sql);
        }
        buf_puts(sql, r ? ")" CUT_END : ")");
    }
}

/* Rows of a table, some columns changed on the way. */
static void select_rows(struct gen *g, const struct gen_table *t, const size_t *chosen, size_t n,
                        struct buf *sql)
{
    const struct gen_table *from = gen_chance(g, 60) ? t : any_table(g);

    buf_puts(sql, " SELECT ");
    for (size_t i = 0; i < n; i++) {
        buf_puts(sql, i ? ", " : "");
        if (from == t && gen_chance(g, 70))
            new_value(g, t, &t->columns[chosen[i]], sql);
        else if (from != t && gen_chance(g, 60))
            buf_puts(sql, from->columns[gen_any_column(g, from)].name);
        else
            gen_value(g, &t->columns[chosen[i]], sql);
    }
    buf_printf(sql, " FROM %s WHERE ", from->name);
    comparison(g, from, "", sql);
}

static void upsert_set(struct gen *g, const struct gen_table *t, struct buf *sql)
{
    buf_puts(sql, " DO UPDATE");
    if (gen_chance(g, 40))
        assignments(g, t, sql);
    else {
        const char *name = t->columns[gen_plain_column(g, t)].name;
        buf_printf(sql, " SET %s = excluded.%s", name, t->columns[gen_any_column(g, t)].name);
    }
    if (gen_chance(g, 20)) {
        char prefix[GEN_NAME + 2];
        snprintf(prefix, sizeof prefix, "%s.", gen_chance(g, 50) ? t->name : "excluded");
        buf_puts(sql, CUT_BEGIN " WHERE ");
        comparison(g, t, prefix[0] == 'e' && t->without_rowid ? "excluded." : prefix, sql);
        buf_puts(sql, CUT_END);
    }
}

static void upsert(struct gen *g, const struct gen_table *t, struct buf *sql)
{
    bool several = gen_since(g, SINCE_RETURNING);

    for (uint64_t n = several ? 1 + gen_pick(g, 2) : 1; n > 0; n--) {
        const char *target = t->index_count ? t->indexes[gen_pick(g, t->index_count)].target : "";
        bool nothing = gen_chance(g, 25);
        if (gen_chance(g, 15) && n == 1 && (nothing || several))
            target = "";
        if (!*target && !(nothing || several))
            return;
        buf_printf(sql, " ON CONFLICT%s", target);
        if (nothing)
            buf_puts(sql, " DO NOTHING");
        else
            upsert_set(g, t, sql);
        if (!*target)
            return;
    }
}

static void insert(struct gen *g, struct buf *sql)
{
    const struct gen_table *t = any_table(g);
    size_t chosen[MAX_GEN_COLUMNS], n = choose_columns(g, t, chosen);
    bool upserts = gen_since(g, SINCE_UPSERT) && gen_chance(g, 22);

    if (gen_chance(g, 15) && !upserts)
        buf_printf(sql, "REPLACE INTO %s", t->name);
    else
        buf_printf(sql, "INSERT%s INTO %s", gen_conflict(g), t->name);
    if (gen_chance(g, 3)) {
        buf_puts(sql, " DEFAULT VALUES");
        return;
    }
    column_list(t, chosen, n, sql);
    if (gen_chance(g, 18))
        select_rows(g, t, chosen, n, sql);
    else
        value_rows(g, t, chosen, n, sql);
    if (upserts)
        upsert(g, t, sql);
    returning(g, t, sql);
}

/* --- UPDATE, DELETE -----------------------------------------------------------------------------
 */

static void update(struct gen *g, struct buf *sql)
{
    const struct gen_table *t = any_table(g);

    buf_printf(sql, "UPDATE%s %s", gen_conflict(g), t->name);
    assignments(g, t, sql);
    where(g, t, sql);
    returning(g, t, sql);
}

static void update_from(struct gen *g, struct buf *sql)
{
    const struct gen_table *t = any_table(g), *from = any_table(g);
    const struct gen_column *set = &t->columns[gen_plain_column(g, t)];
    const char *key = t->columns[t->key[0]].name;

    buf_printf(sql,
               "UPDATE%s %s SET %s = q.x FROM (SELECT min(%s) AS x, %s AS y FROM %s GROUP BY "
               "2) AS q WHERE %s.%s = q.y",
               gen_conflict(g), t->name, set->name, from->columns[gen_any_column(g, from)].name,
               from->columns[gen_any_column(g, from)].name, from->name, t->name, key);
    returning(g, t, sql);
}

static void delete (struct gen *g, struct buf *sql)
{
    const struct gen_table *t = any_table(g);

    buf_printf(sql, "DELETE FROM %s", t->name);
    where(g, t, sql);
    returning(g, t, sql);
}

static void with(struct gen *g, struct buf *sql)
{
    const struct gen_table *t = any_table(g);
    const struct gen_column *key = &t->columns[t->key[gen_pick(g, t->key_count)]];

    buf_puts(sql, "WITH q(x) AS (VALUES(");
    gen_literal(g, key->type, sql);
    buf_puts(sql, ")" CUT_BEGIN ", (");
    gen_literal(g, key->type, sql);
    buf_puts(sql, ")" CUT_END ") ");
    if (gen_chance(g, 45)) {
        size_t chosen[MAX_GEN_COLUMNS], n = choose_columns(g, t, chosen);
        buf_printf(sql, "INSERT%s INTO %s", gen_conflict(g), t->name);
        column_list(t, chosen, n, sql);
        buf_puts(sql, " SELECT ");
        for (size_t i = 0; i < n; i++) {
            buf_puts(sql, i ? ", " : "");
            if (&t->columns[chosen[i]] == key || gen_chance(g, 30))
                buf_puts(sql, "x");
            else
                gen_value(g, &t->columns[chosen[i]], sql);
        }
        buf_puts(sql, " FROM q");
    } else if (gen_chance(g, 50)) {
        buf_printf(sql, "DELETE FROM %s WHERE %s IN (SELECT x FROM q)", t->name, key->name);
    } else {
        buf_printf(sql, "UPDATE%s %s", gen_conflict(g), t->name);
        assignments(g, t, sql);
        buf_printf(sql, " WHERE %s IN (SELECT x FROM q)", key->name);
    }
}

static void look(struct gen *g, struct buf *sql)
{
    const struct gen_table *t = any_table(g);

    buf_printf(sql, "SELECT * FROM %s", t->name);
}

void gen_statement(struct gen *g, struct buf *sql)
{
    uint64_t which = gen_pick(g, 100);

    if (which < 46)
        insert(g, sql);
    else if (which < 72)
        update(g, sql);
    else if (which < 84)
        delete (g, sql);
    else if (which < 92)
        with(g, sql);
    else if (which < 96 && gen_since(g, SINCE_UPDATE_FROM))
        update_from(g, sql);
    else
        look(g, sql);
}

/* --- the schema changes -------------------------------------------------------------------------
 */

static void add_column(struct gen *g, struct gen_table *t, struct buf *sql)
{
    static const char *const definitions[] = {"INT", "TEXT", "INT DEFAULT 3",
                                              "TEXT NOT NULL DEFAULT 'z'", "BLOB DEFAULT x'00'"};

    if (t->column_count == MAX_GEN_COLUMNS)
        return;
    struct gen_column *c = &t->columns[t->column_count++];
    *c = (struct gen_column){.type = GEN_INT};
    snprintf(c->name, sizeof c->name, "n%u", g->names++);
    if (gen_since(g, SINCE_GENERATED) && gen_chance(g, 20)) {
        buf_printf(sql, "ALTER TABLE %s ADD COLUMN %s AS (coalesce(%s, 0))", t->name, c->name,
                   t->columns[0].name);
        c->generated = true;
        return;
    }
    buf_printf(sql, "ALTER TABLE %s ADD COLUMN %s %s", t->name, c->name,
               gen_one_of(g, definitions));
}

/* Names inside indexes and triggers change with it; the generator forgets what upserts may name. */
static void rename_column(struct gen *g, struct gen_table *t, struct buf *sql)
{
    struct gen_column *c = &t->columns[gen_any_column(g, t)];
    char name[GEN_NAME];

    snprintf(name, sizeof name, "m%u", g->names++);
    buf_printf(sql, "ALTER TABLE %s RENAME COLUMN %s TO %s", t->name, c->name, name);
    memcpy(c->name, name, sizeof name);
    for (size_t i = 0; i < t->index_count; i++)
        t->indexes[i].target[0] = '\0';
}

/* It often fails, and then the column stays; statements that miss it fail alike with and without
 * the triggers. */
static void drop_column(struct gen *g, struct gen_table *t, struct buf *sql)
{
    size_t at = t->column_count - 1;

    buf_printf(sql, "ALTER TABLE %s DROP COLUMN %s", t->name,
               t->columns[gen_chance(g, 60) ? at : gen_any_column(g, t)].name);
}

static void drop_index(struct gen *g, struct gen_table *t, struct buf *sql)
{
    for (size_t i = 0; i < t->index_count; i++)
        if (t->indexes[i].name[0]) {
            buf_printf(sql, "DROP INDEX %s", t->indexes[i].name);
            t->indexes[i] = t->indexes[--t->index_count];
            return;
        }
    buf_puts(sql, "REINDEX");
    (void)g;
}

void gen_schema_change(struct gen *g, struct buf *sql)
{
    struct gen_table *t = any_table(g);

    switch (gen_pick(g, 12)) {
    case 0:
    case 1:
    case 2:
        gen_index(g, t, sql);
        return;
    case 3:
    case 4:
        drop_index(g, t, sql);
        return;
    case 5:
    case 6:
        add_column(g, t, sql);
        break;
    case 7:
        if (gen_since(g, SINCE_RENAME_COLUMN))
            rename_column(g, t, sql);
        break;
    case 8:
    case 9:
        if (gen_since(g, SINCE_DROP_COLUMN))
            drop_column(g, t, sql);
        break;
    case 10:
        gen_trigger(g, sql);
        return;
    default:
        break;
    }
    if (!sql->len)
        buf_puts(sql, "VACUUM");
}
