/* Records into PostgreSQL, and a look at whether they are there. */
#ifndef SYNCD_DAEMON_JOBS_EXPORT_LOAD_H
#define SYNCD_DAEMON_JOBS_EXPORT_LOAD_H

#include "jobs/export_sort.h"
#include "jobs/postgres.h"

/* Of one table. */
struct export_tally {
    bool created;
    int64_t migrated;  /* rows that are there now as they should be */
    int64_t unchanged; /* of these, those that were so before */
    int64_t compared, different, missing, extra;
};

/* Makes the tables that are not there, all or none. */
int export_load_create(struct postgres *p, const struct export_plan *plan,
                       struct export_tally *tallies, struct err *err);
/* Are tables, columns and primary keys there as the sections say? Changes nothing. -EPERM with a
 * sentence: not. */
int export_load_check(struct postgres *p, const struct export_plan *plan, struct err *err);

/* Batches in transactions; one that fails is divided until the guilty record is found, which
 * becomes a problem of the spool's. 0, or a negative errno: what was committed stays, and tallies
 * tell how much. */
int export_load_run(struct postgres *p, struct export_sort *s, struct export_tally *tallies,
                    struct err *err);

/* Reads every row back and compares it with its item. json: {"table","key","reason"} of the first
 * that differ are appended to `differences`. */
int export_verify_run(struct postgres *p, struct export_sort *s, struct export_tally *tallies,
                      json_t *differences, struct err *err);

#endif
