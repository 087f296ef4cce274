/* What of a DynamoDB table is ours: every key is read, and those of ours are written down. */
#ifndef SYNCD_DAEMON_JOBS_PURGE_LOOK_H
#define SYNCD_DAEMON_JOBS_PURGE_LOOK_H

#include <stdio.h>

#include "dynamodb/tables.h"
#include "jobs/connect.h"
#include "jobs/plan_list.h"
#include "state/store.h"

struct purge_found {
    uint64_t ours, others, foreign;
    struct buf example; /* key of the first foreign item, as JSON */
    FILE *keys; /* canonical keys of ours, each behind its length; no name in any directory */
};

void purge_found_clear(struct purge_found *f);
/* The keys one by one, from the first on. As deleter_options.next. */
int purge_found_next(struct purge_found *f, struct buf *key, struct err *err);

struct purge_look {
    struct connection *connection;
    struct store *store;
    const struct plan_list *plans;
    const struct table_definition *definition;
    bool alone;        /* the table is marked as ours alone */
    char *const *only; /* SQLite names of those to be removed; only_count 0: all */
    size_t only_count;
    void (*progress)(void *arg, uint64_t items, double units);
    void *arg;
};

/* 0; what job_call_error() says; -EIO, -ENOMEM. `out` is to be cleared in any case. */
int purge_look(const struct purge_look *l, struct purge_found *out, struct err *err);

#endif
