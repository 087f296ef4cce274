/* From configuration and catalog to plans: which tables are mirrored, how, and why not. */
#ifndef SYNCD_MIRROR_PLANS_H
#define SYNCD_MIRROR_PLANS_H

#include "config/config.h"
#include "mapping/plan.h"
#include "source/catalog.h"

/* Is the table one to speak of at all? Not when it is left out by configuration or by its name. */
bool plans_covers(const struct config *c, const struct table_info *t);
/* The DynamoDB table that the table of that name becomes items of. */
void plans_target(const struct config *c, const char *table, struct buf *out);
/* As plan_make(), by the configuration. */
int plans_make(const struct config *c, const struct table_info *t, struct table_plan **out,
               struct err *err);

#endif
