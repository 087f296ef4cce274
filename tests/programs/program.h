/* A program: what an application does to a database, made from a seed, with the moments at which
 * the journal is drained.
 *
 * SQL carries marks that nobody but the shrinker sees: what stands between CUT_BEGIN and CUT_END
 * may be left out without the rest losing its sense. program_sql() takes the marks out.
 *
 * A program owns its texts. Lack of memory aborts: this is a test. */
#ifndef SYNCD_TESTS_PROGRAM_H
#define SYNCD_TESTS_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define CUT_BEGIN "\x01"
#define CUT_END   "\x02"

enum { MAX_CONNECTIONS = 3, MAX_PROGRAM_TABLES = 3 };

enum step_kind {
    STEP_SQL,
    STEP_DRAIN,       /* read the journal to its end, or `amount` entries of it */
    STEP_ACKNOWLEDGE, /* take out what was read, `amount` entries less */
};

struct step {
    enum step_kind kind;
    int connection; /* of STEP_SQL */
    uint64_t amount;
    char *sql;
};

/* How a table's DynamoDB key is made; NULL: as it comes. */
struct key_options {
    char *table, *partition_key, *sort_key;
};

struct program {
    uint64_t seed;
    bool rollback_mode; /* journal_mode=DELETE, else WAL */
    struct step *steps;
    size_t count, cap;
    size_t setup; /* the first steps make the schema; the triggers are installed after them */
    struct key_options keys[MAX_PROGRAM_TABLES];
};

void program_add(struct program *p, enum step_kind kind, int connection, uint64_t amount,
                 const char *sql);
/* Without the steps whose flag is set; `gone` has p->count flags, NULL: all stay. */
void program_copy(struct program *to, const struct program *from, const bool *gone);
void program_free(struct program *p);

/* The SQL of a step as SQLite is to see it, appended. */
void program_sql(const char *marked, struct buf *out);

void *must(void *allocated);

#endif
