/* What the parts of the oracle share; world.h has what is asked of it. oracle.c compares,
 * oracle_schema.c keeps what the schema comes to, oracle_letters.c sorts dead letters. */
#ifndef SYNCD_TESTS_SIM_ORACLE_H
#define SYNCD_TESTS_SIM_ORACLE_H

#include "mapping/plan.h"
#include "source/catalog.h"
#include "source/rows.h"
#include "world.h"

/* Dead letters as texts "table", NUL, row key. */
struct letters {
    struct buf *items;
    size_t count;
};

void letters_add(struct letters *l, const char *table, const void *row_key, size_t n);
/* For store_dead_letters(); `arg`: a struct letters. */
void letters_kept(void *arg, const struct dead_letter *d);
/* Rows that share a key (NULL in a TEXT key) share a letter. */
void letters_sort(struct letters *l);
void letters_describe(const struct buf *b, char *out, size_t size);
void letters_free(struct letters *l);
int bufs_order(const void *a, const void *b); /* of two struct buf, for qsort() */

/* What the schema comes to, for as long as it stays. */
struct sim_schema {
    struct source source; /* borrows the connection */
    struct catalog *catalog;
    struct sim_planned {
        struct table_plan *plan;
        struct rows *rows; /* opened when they are read */
    } tables[SIM_TABLES];
    size_t count;
};

/* The one of the transaction that is open; it is in the world afterwards. */
bool oracle_know_schema(struct world *w);

#endif
