#include "base/lockfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "base/cleanup.h"

static int busy(int fd, const char *path, const char *what, struct err *err)
{
    char pid[32];
    ssize_t n = pread(fd, pid, sizeof pid - 1, 0);

    pid[n > 0 ? n : 0] = '\0';
    pid[strcspn(pid, "\n")] = '\0';
    return err_set(err, -EBUSY, "another syncd (pid %s) uses %s: %s is locked; stop it first",
                   pid[0] ? pid : "?", what, path);
}

int lockfile_take(const char *path, const char *what, int *out, struct err *err)
{
    char pid[32];
    _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return err_set(err, -errno, "%s cannot be made, which keeps a second syncd from %s: %s",
                       path, what, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return busy(fd, path, what, err);
    int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n)
        return err_set(err, -EIO, "%s cannot be written: %s", path, strerror(errno));
    *out = fd;
    fd = -1;
    return 0;
}
