/* What the oracle's files share: oracle.c (its life, and draining the journal), oracle_items.c (the
 * other store), oracle_attach.c (a schema that is new). */
#ifndef SYNCD_TESTS_ORACLE_PARTS_H
#define SYNCD_TESTS_ORACLE_PARTS_H

#include "base/cleanup.h"
#include "oracle.h"

extern const uint8_t oracle_nonce[CAPTURE_NONCE_SIZE];

/* Did this work? Busy is no failure: it is tried again. */
bool oracle_went(struct oracle *o, int rc, const char *doing);

/* oracle_items.c */
void oracle_show(struct buf *out, const struct value *v);
struct oracle_item *oracle_find(const struct oracle *o, const char *key);
void oracle_drop(struct oracle *o, struct oracle_item *at);
void oracle_put(struct oracle *o, const char *key, const char *row);
void oracle_forget(struct oracle *o, const char *table);
/* Each row of the table, by SELECT *; rows with a NULL in their row key are no items. How many. */
typedef void row_taker(struct oracle *o, const char *key, const char *row);
size_t oracle_every_row(struct oracle *o, sqlite3 *db, const struct oracle_table *t,
                        row_taker *take);

/* oracle_attach.c */
/* Of the journal and of the tables' lookups. */
void oracle_let_go(struct oracle *o);

#endif
