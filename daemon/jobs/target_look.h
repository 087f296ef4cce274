/* What DynamoDB has of the tables that a mapping writes to, before anything is done. */
#ifndef SYNCD_DAEMON_JOBS_TARGET_LOOK_H
#define SYNCD_DAEMON_JOBS_TARGET_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "jobs/connect.h"
#include "jobs/plan_list.h"

struct target_look {
    const struct table_plan *plan; /* the first that writes there; borrowed */
    bool there;
    bool provisioned;    /* else billed on demand; of one that is not there, as it would be made */
    int64_t write_units; /* provisioned, a second */
    int64_t items;       /* as of some hours ago */
    struct err wrong;    /* another key: what to do; "" when all is well */
};

struct target_looks {
    struct target_look *list; /* every target once */
    size_t count;
};

/* 0, with free() of out->list to follow; -EINVAL when it is not allowed, another negative errno
 * when there is no usable answer, with a sentence and nothing to free. */
int target_looks_make(struct connection *x, const struct config *c, const struct plan_list *plans,
                      struct target_looks *out, struct err *err);
const struct target_look *target_looks_find(const struct target_looks *l, const char *target);

#endif
