/* Remove our items from DynamoDB, never others; or the tables that hold nothing else.
 *
 * First every table is looked through (Scan, keys alone), and what is ours in it is written down in
 * a temporary file; then it is asked for; then exactly that is deleted. Before the first deletion
 * the state file says that nothing is known of those items any more and that their tables are to be
 * loaded from the beginning, so that whatever ends this, a daemon that starts later spares nothing.
 */
#ifndef SYNCD_DAEMON_JOBS_PURGE_H
#define SYNCD_DAEMON_JOBS_PURGE_H

#include "config/config.h"

struct purge_table {
    const char *target;
    bool missing;        /* there is no such table */
    uint64_t ours;       /* to be deleted */
    uint64_t others;     /* ours too, of tables that were not named */
    uint64_t foreign;    /* not ours: left */
    const char *example; /* key of a foreign one, as JSON; NULL: there is none */
    bool whole;          /* the table itself goes */
    uint64_t deleted;    /* so far */
};

struct purge_plan {
    const char *about; /* "account 123456789012, region us-west-2, https://…" */
    const struct purge_table *tables;
    size_t count;
    uint64_t ours, foreign;
    size_t whole_tables;
    int64_t uncertain; /* writes of uncertain outcome, which may yet be carried out */
};

struct purge_order {
    char *const *only; /* SQLite names; only_count 0: all that are mirrored */
    size_t only_count;
    bool delete_tables;
    void *arg;
    /* True to go on. NULL: go on. */
    bool (*confirm)(void *arg, const struct purge_plan *plan);
    /* Now and then. `deleting`: else looking. `total` 0: not known. */
    void (*progress)(void *arg, bool deleting, uint64_t done, uint64_t total, double units);
    /* Once, at the end of what was begun; also after a failure. */
    void (*done)(void *arg, const struct purge_plan *plan);
};

/* 0; -ECANCELED: not confirmed, nothing was done; -EBUSY: a daemon mirrors there; -EPERM:
 * delete_tables, and a table holds what is not ours: nothing was done; else a negative errno with a
 * sentence (jobs/local.h). Interrupted or failed it can be run again, and goes on. */
int job_purge(const struct config *c, const struct purge_order *order, struct err *err);

#endif
