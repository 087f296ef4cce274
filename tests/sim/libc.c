/* The C library's view of the files: what the program asks of a path or a descriptor beside SQLite,
 * what it syncs, and the locks that keep a second process from it. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "disk.h"
#include "source/durable.h"

/* Files that only SQLite makes are nowhere else, so that nobody need look for them there. */
static bool is_sqlites(const char *path)
{
    const char *suffix = strrchr(path, '-');

    return files.alive && suffix &&
           (strcmp(suffix, "-wal") == 0 || strcmp(suffix, "-journal") == 0 ||
            strcmp(suffix, "-shm") == 0);
}

int stat(const char *path, struct stat *st)
{
    const struct node *n = node_find(path);

    if (!n && is_sqlites(path)) {
        errno = ENOENT;
        return -1;
    }
    if (!n)
        return fstatat(AT_FDCWD, path, st, 0);
    *st = (struct stat){.st_dev = 1,
                        .st_ino = n->ino,
                        .st_mode = S_IFREG | 0600,
                        .st_nlink = 1,
                        .st_uid = files.uid,
                        .st_gid = files.gid,
                        .st_size = (off_t)n->data.size};
    st->st_mtim.tv_sec = st->st_ctim.tv_sec = (time_t)n->written;
    return 0;
}

int access(const char *path, int mode)
{
    return node_find(path) ? 0 : faccessat(AT_FDCWD, path, mode, 0);
}

char *realpath(const char *path, char *resolved)
{
    if (!node_find(path) || resolved)
        return resolved ? NULL : canonicalize_file_name(path);
    return strdup(path);
}

static bool is_lock(const char *path)
{
    const char *suffix = strrchr(path, '.');

    return files.alive && suffix && strcmp(suffix, ".lock") == 0;
}

/* Each time another file, of which only the name counts. */
static int open_lock(const char *path)
{
    int fd = memfd_create("lock", MFD_CLOEXEC);

    if (fd < 0 || fd >= DESCRIPTORS || !(files.locks[fd].name = strdup(path)))
        abort();
    return fd;
}

int flock(int fd, int operation)
{
    if (fd < 0 || fd >= DESCRIPTORS || !files.locks[fd].name)
        return (int)syscall(SYS_flock, fd, operation);
    for (int i = 0; i < DESCRIPTORS; i++)
        if (i != fd && files.locks[i].held &&
            strcmp(files.locks[i].name, files.locks[fd].name) == 0) {
            errno = EWOULDBLOCK;
            return -1;
        }
    files.locks[fd].held = operation != LOCK_UN;
    return 0;
}

int open(const char *path, int flags, ...)
{
    struct node *n = node_find(path);
    mode_t mode = 0;
    va_list args;

    if (!n && is_lock(path))
        return open_lock(path);

    if (flags & O_CREAT) {
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    int fd = openat(AT_FDCWD, n ? "/dev/null" : path, flags, mode);
    if (fd >= 0 && fd < DESCRIPTORS)
        files.descriptors[fd] = n;
    return fd;
}

int close(int fd)
{
    if (fd >= 0 && fd < DESCRIPTORS) {
        files.descriptors[fd] = NULL;
        free(files.locks[fd].name);
        files.locks[fd].name = NULL;
        files.locks[fd].held = false;
    }
    return (int)syscall(SYS_close, fd);
}

int fdatasync(int fd)
{
    struct node *n = fd >= 0 && fd < DESCRIPTORS ? files.descriptors[fd] : NULL;

    if (!n)
        return (int)syscall(SYS_fdatasync, fd);
    if (!files.dying)
        node_sync(n);
    return 0;
}

void descriptor_sync_fails(int fd)
{
    struct node *n = fd >= 0 && fd < DESCRIPTORS ? files.descriptors[fd] : NULL;

    if (n && !files.dying)
        node_sync_fails(n);
}

/* The files that durable.c would sync. */
int durable_sync(struct durable *d, const char *database, bool wal)
{
    char beside[300];

    (void)d;
    if (files.dying)
        return 0;
    if (files.refusing)
        return -EIO;
    snprintf(beside, sizeof beside, "%s%s", database, wal ? "-wal" : "-journal");
    struct node *n = node_find(beside);
    if (n)
        node_sync(n);
    sync_directory_entries();
    return wal ? 0 : durable_sync(d, database, true);
}

void durable_close(struct durable *d)
{
    *d = DURABLE_INIT;
}
