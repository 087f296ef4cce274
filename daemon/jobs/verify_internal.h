/* Shared by the files of job_verify() only: verify.c (the whole), verify_scan.c (items, then rows),
 * verify_sample.c (or some of them), verify_judge.c (what differed, once more), verify_mend.c
 * (handing over). */
#ifndef SYNCD_DAEMON_JOBS_VERIFY_INTERNAL_H
#define SYNCD_DAEMON_JOBS_VERIFY_INTERNAL_H

#include "jobs/compare.h"
#include "jobs/connect.h"
#include "jobs/verify.h"
#include "jobs/verify_work.h"

struct verify {
    const struct config *config;
    const struct verify_options *options;
    const struct verify_edge *edge;
    struct compared compared;
    struct connection connection;
    struct work *work;
    struct verify_table *figures; /* by table of compared */
    struct verify_result *result;
    /* The DynamoDB table at hand. */
    const char *target;
    const struct key_schema *schema;
    size_t first; /* the first of its tables, which bears what is nobody's */
    double units; /* read there so far */
    int64_t met, total;
    struct err *err;
};

static inline bool verify_is_here(const struct verify *v, size_t table)
{
    return strcmp(v->compared.tables[table].plan->target, v->target) == 0;
}

/* Which table here has the row of this key: SQLITE_ROW or SQLITE_TOOBIG with *table, and its row at
 * hand; SQLITE_DONE with the first table whose key it can be, or v->compared.count where it can be
 * nobody's; or an error. `hint`: table and row key that it is supposed to be of, or NULL. */
int verify_find(struct verify *v, const struct buf *key, const json_t *item,
                const struct work_key *hint, size_t *table);

/* Of two rows at one key one has the item, and the other waits for it as a dead letter. Could rows
 * of this table meet others'? Is this row (its entry columns) one that waits, as the daemon knows?
 */
bool verify_may_meet(const struct verify *v, size_t table);
int verify_waits_for_key(struct verify *v, size_t table, const struct value *entry, bool *waits);

/* Is this item past its time to live? */
bool verify_expired(const struct verify *v, size_t table, const json_t *item);

/* Keep to the cap after a call that consumed so much. */
void verify_slow_down(const struct verify *v, double units);

/* 0 or negative with a sentence; each. */
int verify_look_at_items(struct verify *v, const json_t *items);
int verify_sample(struct verify *v); /* instead of both scans */
int verify_scan_items(struct verify *v);
int verify_scan_rows(struct verify *v);
int verify_judge(struct verify *v);
int verify_mend(struct verify *v);

int verify_work_failed(struct verify *v);

#endif
