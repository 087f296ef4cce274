/* The first move, from looking to the summary:
 *
 *     migrate.c         options, the steps in their order
 *     migrate_checks.c  database, mapping, credentials, tables, every row; the daemon's mapping
 *     migrate_load.c    a daemon to do it, the load until all is over there
 *     migrate_plan.c    what would be done, for people
 *     migrate_result.c  what was done, for people; and all of it as JSON
 *
 * Everything is done by a daemon: the one that runs, else one of our own (jobs/own_daemon.h). What
 * is remembered is in its state file, so that whatever interrupts a move, the next one goes on. */
#ifndef SYNCD_CTL_MIGRATE_H
#define SYNCD_CTL_MIGRATE_H

#include "ctl/ctl.h"
#include "jobs/backup.h"
#include "jobs/estimate.h"
#include "jobs/own_daemon.h"
#include "jobs/survey.h"
#include "jobs/target_look.h"

struct migrate_letter {
    char *table, *reason;
    char *keys[SURVEY_KEYS];
    int64_t rows;
};

struct migrate {
    struct ctl *ctl;
    const struct config *config;

    /* options */
    bool dry_run, yes, adopt, no_verify, backup;
    const char *backup_file; /* NULL: a name of its own */
    int64_t batch_size;      /* 0: the configuration's */
    bool orphans_said;       /* --orphans stands above what the configuration says */

    /* found */
    struct source *source; /* while looking */
    struct plan_list plans;
    bool planned;
    struct survey survey;
    struct orphans orphans;
    struct target_looks targets;
    struct estimate estimate;
    struct endpoint endpoint;
    char credentials[96];
    bool running; /* a daemon that is not ours */

    /* done */
    struct buf state_path, backup_name;
    struct backup_result backed_up;
    struct own_daemon own;
    usec began, load_began;
    double seconds;
    bool loaded, verified;
    int64_t items_put, items_deleted, spared, write_units, dead_letters, skipped;
    struct migrate_letter *letters;
    size_t letter_count;
    struct buf not_verified; /* what the verification found; "" nothing */
};

/* Ctrl-C, SIGTERM or a hang-up came: whatever is under way is to end. */
bool migrate_interrupted(void);

/* migrate_checks.c: CTL_DONE, or the exit code with the sentence printed. */
int migrate_check(struct migrate *m);
/* Both have it: is the table mapped in the same way there? CTL_DONE or CTL_USAGE. Sets m->running.
 */
int migrate_find_daemon(struct migrate *m);

/* migrate_load.c */
int migrate_load(struct migrate *m);
/* Stops the daemon that is ours. */
int migrate_leave(struct migrate *m);

/* migrate_plan.c */
int migrate_print_plan(struct migrate *m);
void migrate_put_money(struct buf *out, const struct migrate *m, double amount);

/* migrate_result.c */
/* Dead letters by table and reason. */
int migrate_read_letters(struct migrate *m, struct err *err);
int migrate_print_result(struct migrate *m);
int migrate_print_json(const struct migrate *m);
int migrate_exit_code(const struct migrate *m);

#endif
