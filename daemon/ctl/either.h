/* Work that the daemon does when it runs, and syncctl itself when it does not. */
#ifndef SYNCD_CTL_EITHER_H
#define SYNCD_CTL_EITHER_H

#include "ctl/ctl.h"

typedef int either_job_fn(const struct config *c, struct err *err);

/* Is there a daemon that mirrors the database that is meant (the one --database names, if it does)?
 * 0, or a negative errno with a sentence: it cannot be asked. */
int either_daemon(struct ctl *ctl, bool *there, struct err *err);

/* POST `target` to the daemon. When none answers, or the one that does mirrors another database
 * than the one --database names, run `job` here. 0 with the daemon's answer in `body` (empty after
 * a job), or a negative errno with a sentence; see ctl_fail(). */
int either_do(struct ctl *ctl, const char *target, either_job_fn *job, struct buf *body,
              struct err *err);

#endif
