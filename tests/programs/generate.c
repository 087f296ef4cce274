#include "generate.h"

#include <stdio.h>

uint64_t gen_pick(struct gen *g, uint64_t n)
{
    return rng_upto(&g->rng, n - 1);
}

bool gen_chance(struct gen *g, unsigned percent)
{
    return gen_pick(g, 100) < percent;
}

bool gen_since(const struct gen *g, int version)
{
    return g->version >= version;
}

/* Few values, so that they meet. */
void gen_literal(struct gen *g, enum gen_type type, struct buf *sql)
{
    static const char *const texts[] = {"'a'",  "'b'",  "'A'",  "'B'", "'a '", "'a'",
                                        "'c'",  "'C '", "''",   "'1'", "'ab'", "'é'",
                                        "'a '", "'b'",  "'Ab'", "'2'", "'a#b'"};
    static const char *const blobs[] = {"x''",     "x'00'", "x'61'", "x'41'",
                                        "x'6162'", "x'31'", "1",     "1.0"};
    static const char *const reals[] = {"0.0", "1.0", "1.5", "-1.5", "2.0", "1", "2", "1e300"};
    static const char *const numerics[] = {"1", "2", "1.5", "'x'", "'1'", "'2.0'", "0", "-1"};

    if (type == GEN_ANY)
        type = (enum gen_type)gen_pick(g, GEN_ANY);
    switch (type) {
    case GEN_INT:
        buf_printf(sql, "%d", (int)gen_pick(g, 8) - 1);
        break;
    case GEN_TEXT_TYPE:
        buf_puts(sql, gen_one_of(g, texts));
        break;
    case GEN_BLOB:
        buf_puts(sql, gen_one_of(g, blobs));
        break;
    case GEN_REAL:
        buf_puts(sql, gen_one_of(g, reals));
        break;
    default:
        buf_puts(sql, gen_one_of(g, numerics));
    }
}

void gen_value(struct gen *g, const struct gen_column *c, struct buf *sql)
{
    if (gen_chance(g, c->not_null || c->key ? 6 : 14))
        buf_puts(sql, "NULL");
    else
        gen_literal(g, gen_chance(g, 6) ? GEN_ANY : c->type, sql);
}

size_t gen_any_column(struct gen *g, const struct gen_table *t)
{
    return gen_pick(g, t->column_count);
}

size_t gen_plain_column(struct gen *g, const struct gen_table *t)
{
    size_t i = gen_any_column(g, t);

    while (t->columns[i].generated)
        i = (i + 1) % t->column_count;
    return i;
}

const char *gen_conflict(struct gen *g)
{
    static const char *const all[] = {"",
                                      "",
                                      "",
                                      "",
                                      "",
                                      " OR FAIL",
                                      " OR IGNORE",
                                      " OR IGNORE",
                                      " OR ABORT",
                                      "",
                                      " OR REPLACE",
                                      " OR REPLACE",
                                      " OR REPLACE",
                                      " OR ROLLBACK"};

    return gen_one_of(g, all);
}

/* --- transactions -------------------------------------------------------------------------------
 */

static void begin(struct gen *g, int connection, struct buf *sql)
{
    static const char *const how[] = {"BEGIN", "BEGIN", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"};

    buf_puts(sql, gen_chance(g, 25) ? "SAVEPOINT s1" : gen_one_of(g, how));
    g->savepoints[connection] = sql->data[0] == 'S' ? 1 : 0;
}

static void transaction(struct gen *g, int connection, struct buf *sql)
{
    int *savepoints = &g->savepoints[connection];

    if (*savepoints < 0) {
        begin(g, connection, sql);
    } else if (*savepoints > 0 && gen_chance(g, 40)) {
        int at = 1 + (int)gen_pick(g, (uint64_t)*savepoints);
        bool back = gen_chance(g, 60);
        buf_printf(sql, "%s s%d", back ? "ROLLBACK TO" : "RELEASE", at);
        *savepoints = back ? at : at - 1;
    } else if (*savepoints < 4 && gen_chance(g, 45)) {
        buf_printf(sql, "SAVEPOINT s%d", ++*savepoints);
    } else {
        buf_puts(sql, gen_chance(g, 65) ? "COMMIT" : "ROLLBACK");
        *savepoints = -1;
    }
}

static void pragma(struct gen *g, struct buf *sql)
{
    static const char *const names[] = {"recursive_triggers", "recursive_triggers",
                                        "foreign_keys",       "foreign_keys",
                                        "defer_foreign_keys", "ignore_check_constraints"};

    buf_printf(sql, "PRAGMA %s=%s", gen_one_of(g, names), gen_chance(g, 50) ? "ON" : "OFF");
}

/* --- the program --------------------------------------------------------------------------------
 */

static void settings(struct gen *g)
{
    for (unsigned i = 0; i < g->connections; i++) {
        program_add(g->program, STEP_SQL, (int)i, 0,
                    gen_chance(g, 70) ? "PRAGMA foreign_keys=ON" : "PRAGMA foreign_keys=OFF");
        if (gen_chance(g, 25))
            program_add(g->program, STEP_SQL, (int)i, 0, "PRAGMA recursive_triggers=ON");
    }
}

/* Now and then the journal is read in pieces, and taken out in part. */
static void interlude(struct gen *g)
{
    if (gen_chance(g, 12))
        program_add(g->program, STEP_DRAIN, 0, gen_chance(g, 40) ? 1 + gen_pick(g, 6) : 0, "");
    if (gen_chance(g, 6))
        program_add(g->program, STEP_ACKNOWLEDGE, 0, gen_chance(g, 40) ? gen_pick(g, 5) : 0, "");
}

static void step(struct gen *g, bool schema_changes)
{
    _cleanup_buf_ struct buf sql = {0};
    int connection = (int)gen_pick(g, g->connections);

    if (gen_chance(g, 18))
        transaction(g, connection, &sql);
    else if (gen_chance(g, 3))
        pragma(g, &sql);
    else if (schema_changes && gen_chance(g, 12))
        gen_schema_change(g, &sql);
    else
        gen_statement(g, &sql);
    program_add(g->program, STEP_SQL, connection, 0, sql.data);
}

/* The first rows by plain means, so that what follows meets some. */
static void fill(struct gen *g)
{
    for (size_t i = 0; i < g->table_count; i++)
        for (uint64_t n = 1 + gen_pick(g, 4); n > 0; n--) {
            const struct gen_table *t = &g->tables[i];
            _cleanup_buf_ struct buf sql = {0};
            const char *comma = "";
            buf_printf(&sql, "INSERT OR IGNORE INTO %s VALUES(", t->name);
            for (size_t c = 0; c < t->column_count; c++) {
                if (t->columns[c].generated)
                    continue;
                buf_puts(&sql, comma);
                gen_literal(g, t->columns[c].type, &sql);
                comma = ", ";
            }
            buf_putc(&sql, ')');
            program_add(g->program, STEP_SQL, 0, 0, sql.data);
        }
}

void generate_program(uint64_t seed, int version, struct program *out)
{
    struct gen g = {.rng = {.state = seed}, .version = version, .program = out};

    *out = (struct program){.seed = seed};
    out->rollback_mode = gen_chance(&g, 15);
    g.connections = gen_chance(&g, 65) ? 1 : 2 + (unsigned)gen_pick(&g, 2);
    for (int i = 0; i < MAX_CONNECTIONS; i++)
        g.savepoints[i] = -1;
    gen_schema(&g);
    out->setup = out->count;
    settings(&g);
    fill(&g);
    bool schema_changes = gen_chance(&g, 25);
    for (uint64_t n = 4 + gen_pick(&g, 26); n > 0; n--) {
        step(&g, schema_changes);
        interlude(&g);
    }
    for (unsigned i = 0; i < g.connections; i++)
        if (g.savepoints[i] >= 0)
            program_add(out, STEP_SQL, (int)i, 0, gen_chance(&g, 70) ? "COMMIT" : "ROLLBACK");
}
