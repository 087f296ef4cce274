/* Is everything right that the service needs? Each check adds a line: its name, a result, and one
 * sentence that says what was found and, unless it is well, what to do.
 *
 * Files are looked at as whoever calls (root sees all), then the caller becomes the database's
 * owner (owner.h) for what the daemon would do itself: open the database, find credentials, ask
 * DynamoDB. Nothing is changed anywhere. */
#ifndef SYNCD_DAEMON_JOBS_DOCTOR_H
#define SYNCD_DAEMON_JOBS_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/err.h"
#include "config/config.h"
#include "jobs/plan_list.h"

enum doctor_result { DOCTOR_OK, DOCTOR_WARNING, DOCTOR_FAILED };

struct doctor_line {
    const char *check; /* "database", "unit", …: stable */
    enum doctor_result result;
    struct err text;
};

struct doctor {
    const struct config *config;
    struct stat database; /* st_nlink 0: it is not there */
    char owner[64], group[64];
    char directory[4096]; /* of the database, without symbolic links; "" when it is not there */
    bool daemon_runs;     /* as the daemon itself said */
    char daemon_credentials[96]; /* provider that the running daemon uses; "": none, or not known */
    bool unit_credentials;       /* the unit has LoadCredential=aws-credentials */
    bool unit_loaded, unit_active;
    struct plan_list plans;
    bool planned;
    struct doctor_line *lines;
    size_t count;
    bool failed_memory;
};

void doctor_add(struct doctor *d, const char *check, enum doctor_result result, const char *fmt,
                ...) __attribute__((format(printf, 4, 5)));
void doctor_free(struct doctor *d);
enum doctor_result doctor_worst(const struct doctor *d);

/* doctor_files.c, as the caller: database, -wal and -shm, file system, disk. */
void doctor_files(struct doctor *d);
/* doctor_unit.c: the unit and its drop-in, as systemd says. */
void doctor_unit(struct doctor *d);
/* doctor_database.c, as the owner: may he write, can it be opened, what is mirrored. */
void doctor_database(struct doctor *d);
/* doctor_dynamodb.c, as the owner: credentials, endpoint, clock, tables. Asks the service. */
void doctor_dynamodb(struct doctor *d);

#endif
