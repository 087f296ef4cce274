/* Every item of a DynamoDB table, one by one. */
#ifndef SYNCD_DAEMON_JOBS_EXPORT_READ_H
#define SYNCD_DAEMON_JOBS_EXPORT_READ_H

#include "jobs/connect.h"
#include "jobs/export.h"
#include "mapping/plan.h"

struct export_source {
    const char *table;
    char partition_key[256], sort_key[256]; /* names; "" for none */
    struct key_schema schema;               /* the same; borrows them */
    int64_t items;                          /* as the service counts, some hours late; 0: unknown */
};

/* What the service says of a table. -ENOENT with a sentence: there is none of that name. */
int export_source_look(struct connection *x, const char *table, struct export_source *out,
                       struct err *err);

/* pk=USER#7, sk=CONV#1: for people. */
void export_source_key(const struct export_source *s, const json_t *item, struct buf *out);

/* `item` is borrowed during the call. A negative errno, with the sentence in `err`, ends it all. */
typedef int export_item_fn(void *arg, const struct export_source *s, json_t *item, struct err *err);

/* Calls `fn` for each, with those that syncd has compressed or split (mapping/oversize.h) as they
 * were before; the split ones come last. *done counts on over several tables, of `total`. 0, what
 * `fn` returned, or what job_call_error() says. */
int export_read(struct connection *x, const struct export_order *o, const struct export_source *s,
                export_item_fn *fn, void *arg, int64_t *done, int64_t total, struct err *err);

#endif
