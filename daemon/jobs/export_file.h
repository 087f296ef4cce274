/* A file that is there when it is whole: FILE.partial until then, synced and renamed at the end. */
#ifndef SYNCD_DAEMON_JOBS_EXPORT_FILE_H
#define SYNCD_DAEMON_JOBS_EXPORT_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct export_file {
    struct buf path, partial;
    struct buf out; /* not written yet */
    int fd;
    int64_t bytes;
};

/* What it must have before anything is read: a directory, and no such file unless `force`. 0,
 * -EEXIST, -EINVAL with a sentence. */
int export_file_check(const char *path, bool force, struct err *err);
/* 0 or a negative errno with a sentence, as below; then export_file_drop(). */
int export_file_open(const char *path, struct export_file *out, struct err *err);
/* Call after appending to `out`: writes what has gathered. */
int export_file_flush(struct export_file *f, bool all, struct err *err);
/* The whole file under its name, on the disk. */
int export_file_finish(struct export_file *f, struct err *err);
/* Closes; what is not finished is removed. Also after export_file_finish(). */
void export_file_drop(struct export_file *f);

#endif
