/* Several small files installed together: all of them or none. */
#ifndef SYNCD_DAEMON_JOBS_FILES_H
#define SYNCD_DAEMON_JOBS_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

struct new_file {
    const char *path;
    const struct buf *text;
    mode_t mode;
    struct buf temporary, kept; /* of files_install() alone */
    bool in_place;
};

/* Each is written beside its place, synced, and moved there once all are written; missing
 * directories are made (0755). With `replace` what was there is put back when a later one fails;
 * without it a file that is there is left alone and -EEXIST returned. 0 or a negative errno with a
 * sentence that names the file. */
int files_install(struct new_file *files, size_t count, bool replace, struct err *err);

#endif
