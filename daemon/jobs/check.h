/* The mapping against the schema, as `syncd --check` and jobs look at it. */
#ifndef SYNCD_DAEMON_JOBS_CHECK_H
#define SYNCD_DAEMON_JOBS_CHECK_H

#include "jobs/plan_list.h"

/* A table that a section of the configuration speaks of must be there and must be possible: 0, or
 * -EINVAL with a sentence that names file and line. */
int check_sections(const struct config *c, const struct plan_list *l, struct err *err);

#endif
