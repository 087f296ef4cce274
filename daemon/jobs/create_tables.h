/* Make the DynamoDB tables that the mapping needs, one after the other, each until it and its
 * indexes are ACTIVE; compare those that are there. */
#ifndef SYNCD_DAEMON_JOBS_CREATE_TABLES_H
#define SYNCD_DAEMON_JOBS_CREATE_TABLES_H

#include "config/config.h"
#include "dynamodb/table_diff.h"
#include "dynamodb/templates.h"

enum table_outcome {
    OUTCOME_CREATED,
    OUTCOME_THERE,     /* as it is wanted */
    OUTCOME_DIFFERS,   /* differences were told, nothing was changed */
    OUTCOME_UPDATED,   /* what was missing was added; a difference that is left is told after it */
    OUTCOME_RECREATED, /* deleted with everything in it, and made anew */
};

struct tables_order {
    char *const *only; /* SQLite names; only_count 0: all that are mirrored */
    size_t only_count;
    bool update;   /* add what is missing to tables that are there */
    bool recreate; /* delete tables that are there, and make them anew */
    void *arg;
    /* Before a table is deleted: true to go on. `about`: where it is, and roughly how many items it
     * has. */
    bool (*confirm)(void *arg, const char *table, const char *about);
    /* One by one, before the outcome of their table. */
    void (*difference)(void *arg, const char *table, const struct table_difference *d, bool added);
    void (*outcome)(void *arg, const char *table, enum table_outcome outcome);
};

/* How many tables are left that differ; -ECANCELED: not confirmed, nothing was done to that table
 * nor to those after it; else a negative errno with a sentence (jobs/local.h). Tables that were
 * made before stay. */
int job_tables(const struct config *c, const struct tables_order *order, struct err *err);

/* The requests that would be sent if none of the tables were there, as lines of JSON: {"operation":
 * "CreateTable","request":{…}}. Or the tables as a template. DynamoDB is not asked. */
int job_tables_requests(const struct config *c, char *const *only, size_t only_count,
                        struct buf *out, struct err *err);
int job_tables_template(const struct config *c, char *const *only, size_t only_count,
                        enum template_format format, struct buf *out, struct err *err);

const char *table_outcome_name(enum table_outcome o);

#endif
