/* Programs from seeds: schemas of one to three tables, then statements of every kind on them. The
 * same seed and version give the same program, whatever became of its statements. */
#ifndef SYNCD_TESTS_GENERATE_H
#define SYNCD_TESTS_GENERATE_H

#include "base/rng.h"
#include "program.h"

/* What an SQLite of `version` (SQLITE_VERSION_NUMBER) understands. */
void generate_program(uint64_t seed, int version, struct program *out);

/* --- shared by the generator's files ------------------------------------------------------------
 */

enum { MAX_GEN_COLUMNS = 12, MAX_GEN_INDEXES = 8, GEN_NAME = 24, GEN_TEXT = 160 };

/* First versions with a syntax. */
enum {
    SINCE_EXPRESSION_INDEX = 3009000,
    SINCE_UPSERT = 3024000,
    SINCE_RENAME_COLUMN = 3025000,
    SINCE_GENERATED = 3031000,
    SINCE_UPDATE_FROM = 3033000,
    SINCE_RETURNING = 3035000,
    SINCE_DROP_COLUMN = 3035000,
    SINCE_STRICT = 3037000,
};

enum gen_type { GEN_INT, GEN_TEXT_TYPE, GEN_BLOB, GEN_REAL, GEN_NUMERIC, GEN_ANY };

struct gen_column {
    char name[GEN_NAME]; /* as written in SQL, quoted where it must be */
    enum gen_type type;
    bool not_null, key, generated;
};

/* What an upsert may name. */
struct gen_index {
    char name[GEN_NAME];   /* "": made by the table */
    char target[GEN_TEXT]; /* (a, b) WHERE …; "": cannot be named */
};

struct gen_table {
    char name[GEN_NAME];
    struct gen_column columns[MAX_GEN_COLUMNS];
    size_t column_count;
    size_t key[3], key_count;
    struct gen_index indexes[MAX_GEN_INDEXES];
    size_t index_count;
    bool rowid_key, without_rowid, strict;
};

struct gen {
    struct rng rng;
    int version;
    struct program *program;
    struct gen_table tables[MAX_PROGRAM_TABLES];
    size_t table_count;
    unsigned connections;
    int savepoints[MAX_CONNECTIONS]; /* -1: no transaction, as far as the generator knows */
    unsigned names;                  /* for indexes, triggers and added columns */
};

uint64_t gen_pick(struct gen *g, uint64_t n); /* below n */
bool gen_chance(struct gen *g, unsigned percent);
#define gen_one_of(g, array) ((array)[gen_pick(g, sizeof(array) / sizeof *(array))])
bool gen_since(const struct gen *g, int version);

void gen_literal(struct gen *g, enum gen_type type, struct buf *sql);
/* A literal that the column may well take. */
void gen_value(struct gen *g, const struct gen_column *c, struct buf *sql);
size_t gen_any_column(struct gen *g, const struct gen_table *t);
/* One that can be written. */
size_t gen_plain_column(struct gen *g, const struct gen_table *t);
const char *gen_conflict(struct gen *g); /* " OR REPLACE" and the like, or "" */

void gen_schema(struct gen *g);
void gen_index(struct gen *g, struct gen_table *t, struct buf *sql);
void gen_trigger(struct gen *g, struct buf *sql);
void gen_statement(struct gen *g, struct buf *sql);
void gen_schema_change(struct gen *g, struct buf *sql);

#endif
