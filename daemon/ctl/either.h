/* Work that the daemon does when it runs, and syncctl itself when it does not. */
#ifndef SYNCD_CTL_EITHER_H
#define SYNCD_CTL_EITHER_H

#include "ctl/ctl.h"

typedef int either_job_fn(const struct config *c, struct err *err);

/* POST `target` to the daemon. When none answers, or the one that does mirrors another database
 * than the one --database names, run `job` here. 0 with the daemon's answer in `body` (empty after
 * a job), or a negative errno with a sentence; see ctl_fail(). */
int either_do(struct ctl *ctl, const char *target, either_job_fn *job, struct buf *body,
              struct err *err);

#endif
