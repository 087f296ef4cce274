/* Whether two programs map a table in the same way: a short text of its plan. */
#ifndef SYNCD_DAEMON_JOBS_FINGERPRINT_H
#define SYNCD_DAEMON_JOBS_FINGERPRINT_H

#include "mapping/item.h"

enum { FINGERPRINT_SIZE = 2 * DIGEST_SIZE + 1 };

/* Equal where equal rows become equal items of one target. 0, -ENOMEM or -EIO. */
int fingerprint_of(const struct table_plan *p, char out[FINGERPRINT_SIZE]);

#endif
