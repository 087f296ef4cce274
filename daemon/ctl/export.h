/* What `syncctl export` prints in the end. */
#ifndef SYNCD_CTL_EXPORT_H
#define SYNCD_CTL_EXPORT_H

#include "ctl/ctl.h"
#include "jobs/export.h"

/* Returns the code to exit with. */
int export_report_print(const struct ctl *ctl, const struct export_order *o, const json_t *report);

#endif
