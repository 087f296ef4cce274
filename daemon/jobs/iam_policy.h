/* Prints the IAM policy that a configuration needs; reads the database's schema, asks nobody. */
#ifndef SYNCD_DAEMON_JOBS_IAM_POLICY_H
#define SYNCD_DAEMON_JOBS_IAM_POLICY_H

#include "config/config.h"
#include "dynamodb/policy.h"

/* `account` has 12 digits, or is "*". 0, -EINVAL or -EIO with a sentence. `note`: a sentence for
 * stderr where the policy is too long to be a managed one, else "". */
int job_iam_policy(const struct config *c, unsigned purposes, const char *account, struct buf *out,
                   struct err *note, struct err *err);

#endif
