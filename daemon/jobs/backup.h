/* A copy of the database while the application works, by SQLite's backup interface.
 *
 * In WAL mode it is of one moment and blocks nobody (the -wal grows meanwhile). In rollback mode
 * the pages are copied in slices of some milliseconds with room for writers between; where one
 * wrote, it begins again, and a database that is written all the time cannot be copied that way. */
#ifndef SYNCD_DAEMON_JOBS_BACKUP_H
#define SYNCD_DAEMON_JOBS_BACKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* `done` of `total` pages. False: stop (-EINTR). */
typedef bool backup_progress_fn(void *arg, int64_t done, int64_t total);

struct backup_result {
    int64_t bytes, tables, rows;
};

/* Copies `database` to `file`, which must not be there (-EEXIST) and comes to be there only whole,
 * checked (integrity_check; the rows of every table counted on both sides) and synced to the disk,
 * with the database's own mode. 0 or a negative errno with a sentence: then nothing is left of it.
 */
int backup_run(const char *database, const char *file, backup_progress_fn *progress, void *arg,
               struct backup_result *out, struct err *err);

/* "DATABASE-20240131T120000Z.backup", beside the database; `wall` is Unix us. */
void backup_default_name(const char *database, int64_t wall, struct buf *out);
/* backup_run() to a file of that name, with ".2" and so on behind it where one was made within the
 * same second, by whatever command. `name` is set to it. */
int backup_run_beside(const char *database, struct buf *name, backup_progress_fn *progress,
                      void *arg, struct backup_result *out, struct err *err);

#endif
