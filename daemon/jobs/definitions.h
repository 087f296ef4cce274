/* The DynamoDB tables that a configuration and the schema of its database ask for. */
#ifndef SYNCD_DAEMON_JOBS_DEFINITIONS_H
#define SYNCD_DAEMON_JOBS_DEFINITIONS_H

#include "config/config.h"
#include "dynamodb/tables.h"
#include "jobs/plan_list.h"

/* A table as [dynamodb] says, by its key alone. Then once for each plan whose items are in it: its
 * indexes and its TTL. 0, -EINVAL with a sentence when tables that share it contradict each other,
 * -ENOMEM. */
int definition_begin(const struct config *c, const char *target, const struct key_schema *key,
                     struct table_definition **out, struct err *err);
int definition_add(struct table_definition *d, const struct table_plan *p, struct err *err);

/* Key of meta_table: id (S), kind (S). */
extern const struct key_schema definition_meta_key;

struct definition_list {
    struct table_definition **items; /* each target once, in the order of the schema */
    size_t count;
};

/* `only` (SQLite names; `only_count` 0: all): a target that is shared comes whole. -EINVAL when one
 * of them is not mirrored. */
int definitions_make(const struct config *c, const struct plan_list *l, char *const *only,
                     size_t only_count, struct definition_list *out, struct err *err);
/* And meta_table, unless it is there for the canary already. 0, -EINVAL, -ENOMEM. */
int definitions_add_meta(const struct config *c, struct definition_list *l, struct err *err);
void definitions_free(struct definition_list *l);

#endif
