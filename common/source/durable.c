#include "source/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

static int sync_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    _cleanup_free_ char *directory =
        slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");

    if (!directory)
        return -ENOMEM;
    _cleanup_close_ int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* The -wal that stands at the path now. Its name must be durable, too. */
static int open_wal(struct durable *d, const char *path)
{
    struct stat st;

    durable_close(d);
    d->wal = open(path, O_RDONLY | O_CLOEXEC);
    if (d->wal < 0)
        return -errno;
    int rc = fstat(d->wal, &st) < 0 ? -errno : sync_directory(path);
    if (rc < 0) {
        durable_close(d);
        return rc;
    }
    d->dev = st.st_dev;
    d->ino = st.st_ino;
    return 0;
}

static int sync_wal(struct durable *d, const char *path)
{
    struct stat st;
    int rc = 0;

    /* The last connection to leave moves it into the database, durably, and removes it. */
    if (stat(path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (d->wal < 0 || st.st_dev != d->dev || st.st_ino != d->ino)
        rc = open_wal(d, path);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    return fdatasync(d->wal) < 0 ? -errno : 0;
}

static int sync_journal(const char *path)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd >= 0)
        return fsync(fd) < 0 ? -errno : 0;
    return errno == ENOENT ? 0 : -errno;
}

int durable_sync(struct durable *d, const char *database, bool wal)
{
    _cleanup_free_ char *real = realpath(database, NULL);
    _cleanup_free_ char *beside = NULL, *log = NULL;

    if (!real) /* gone, and what it held with it */
        return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
    if (asprintf(&log, "%s-wal", real) < 0) {
        log = NULL;
        return -ENOMEM;
    }
    if (wal)
        return sync_wal(d, log);
    if (asprintf(&beside, "%s-journal", real) < 0) {
        beside = NULL;
        return -ENOMEM;
    }
    int rc = sync_journal(beside);
    rc = rc < 0 ? rc : sync_directory(real);
    return rc < 0 ? rc : sync_wal(d, log); /* it may have changed to WAL mode just now */
}

void durable_close(struct durable *d)
{
    if (d->wal >= 0)
        close(d->wal);
    *d = DURABLE_INIT;
}
