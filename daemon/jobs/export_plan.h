/* The tables of an export, in the order in which they can be filled. */
#ifndef SYNCD_DAEMON_JOBS_EXPORT_PLAN_H
#define SYNCD_DAEMON_JOBS_EXPORT_PLAN_H

#include "config/config.h"
#include "export/table.h"

/* A column that refers to another table of the export. */
struct export_link {
    size_t table, column, parent;
    bool checked; /* by its primary key, a single column: what it refers to can be looked for */
};

struct export_plan {
    struct export_table *tables; /* parents before children */
    size_t count;
    struct export_link *links;
    size_t link_count;
    char **sources; /* DynamoDB tables, each once */
    size_t source_count;
};

/* Of every [export] section whose table is named in `from` (none named: of all sections); tables
 * that are named and have no section are among the sources all the same. `keyed`: each table must
 * have a primary key. 0, -EINVAL with a sentence naming file and section, or -ENOMEM; free it in
 * any case. */
int export_plan_make(const struct config *c, const char *const *from, size_t from_count, bool keyed,
                     struct export_plan *out, struct err *err);
void export_plan_free(struct export_plan *p);

/* Has any table this source? */
bool export_plan_covers(const struct export_plan *p, const char *source);

#endif
