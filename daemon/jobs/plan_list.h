/* The plans that the daemon would make of the tables of a database, for jobs that need no daemon.
 */
#ifndef SYNCD_DAEMON_JOBS_PLAN_LIST_H
#define SYNCD_DAEMON_JOBS_PLAN_LIST_H

#include <stddef.h>

#include "base/err.h"
#include "config/config.h"
#include "mapping/plan.h"
#include "source/catalog.h"

struct plan_list {
    struct catalog *catalog;
    struct table_plan **plans; /* by table of the catalog; NULL: left out or refused */
    char **refusals;           /* why it cannot be mirrored; NULL: it can, or is left out */
    size_t count;
};

/* Reads the schema. 0, -EIO when the database cannot be read, or -ENOMEM; plan_list_free() what it
 * has made. */
int plan_list_make(const struct config *c, struct plan_list *out, struct err *err);
void plan_list_free(struct plan_list *l);

/* Append the plan of meta_table's own items, where the configuration wants any and there is none
 * yet (the canary's stands for all of them). 0 or -ENOMEM. */
int plan_list_add_meta(const struct config *c, struct plan_list *l, struct err *err);

#endif
