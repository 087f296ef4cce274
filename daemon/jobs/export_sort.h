/* Items sorted into the tables of an export, made records, and checked: all that can be known
 * before anything moves. */
#ifndef SYNCD_DAEMON_JOBS_EXPORT_SORT_H
#define SYNCD_DAEMON_JOBS_EXPORT_SORT_H

#include "jobs/export_plan.h"
#include "jobs/export_read.h"
#include "jobs/export_spool.h"

struct export_sort {
    const struct export_plan *plan;
    const struct export_order *order;
    enum line_format format;
    struct spool *spool;
    int64_t scanned, unmatched;
    json_t *samples;   /* of each table an array of EXPORT_SAMPLES lines of JSON at most */
    json_t *left_over; /* keys of some items that no table takes */
    struct buf store, line, item, attributes;
};

int export_sort_open(const struct export_plan *plan, const struct export_order *order,
                     enum line_format format, struct export_sort *out, struct err *err);
void export_sort_close(struct export_sort *s);

/* Reads every source, then checks. */
int export_sort_run(struct export_sort *s, struct connection *x, struct err *err);

/* Items that belong to a table, whatever is wrong with them; those that are left out. */
int64_t export_sort_found(const struct export_sort *s, size_t table);
int64_t export_sort_invalid(const struct export_sort *s, size_t table);

#endif
