/* A database's files as stat() sees them: enough to know that nobody wrote, without a connection.
 *
 * Every commit writes the database or its -wal. The other way round it is no proof at once: clocks
 * of file systems are coarse, so that a stamp says "nobody wrote since" only when it was the same
 * for longer than such a clock ticks; and a -wal is written before its commit can be seen. */
#ifndef SYNCD_SOURCE_STAMP_H
#define SYNCD_SOURCE_STAMP_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

/* All zero: not there, or, of a -wal, empty, which comes and goes with connections that only read.
 */
struct stamp_file {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec written, changed;
};

struct stamp {
    struct stamp_file database, wal;
};

/* `wal` may be NULL. */
void stamp_take(const char *database, const char *wal, struct stamp *out);
bool stamp_same(const struct stamp *a, const struct stamp *b);
/* Is it another file than before that stands at the path of the database? */
bool stamp_replaced(const struct stamp *now, const struct stamp *before);
/* Path of the -wal: SQLite puts it beside the file that a symbolic link leads to. NULL when there
 * is no database, or no memory; else the caller's to free. */
char *stamp_wal_path(const char *database);

#endif
