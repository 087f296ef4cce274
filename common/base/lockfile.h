/* A file that says "mine": locked for as long as its holder lives, with the holder's pid inside.
 * The file stays when the lock goes, because removing it would race with a successor's lock. */
#ifndef SYNCD_BASE_LOCKFILE_H
#define SYNCD_BASE_LOCKFILE_H

#include "base/err.h"

/* Take the lock of `path` (made with mode 0600). 0 and *fd, which holds it until closed; -EBUSY
 * with a sentence that names the holder's pid; other negative errno. `what` is what the lock stands
 * for. */
int lockfile_take(const char *path, const char *what, int *fd, struct err *err);

#endif
