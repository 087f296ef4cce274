#include "jobs/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"

static int failed(const char *path, const char *doing, struct err *err)
{
    int code = errno;

    return err_set(err, -code, "%s cannot be %s: %s", path, doing,
                   code == EACCES || code == EPERM ? "permission denied; run as root (sudo)"
                                                   : strerror(code));
}

static int make_directories(const char *path, struct err *err)
{
    _cleanup_free_ char *dir = strdup(path);

    if (!dir)
        return err_set(err, -ENOMEM, "out of memory");
    for (char *slash = strchr(dir + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(dir, 0755) < 0 && errno != EEXIST)
            return failed(dir, "made", err);
        *slash = '/';
    }
    return 0;
}

static int write_all(int fd, const struct buf *text)
{
    size_t at = 0;

    while (at < text->len) {
        ssize_t n = write(fd, text->data + at, text->len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        at += (size_t)n;
    }
    return fsync(fd);
}

static int write_beside(struct new_file *f, struct err *err)
{
    int rc = make_directories(f->path, err);

    if (rc < 0)
        return rc;
    buf_printf(&f->temporary, "%s.XXXXXX", f->path);
    if (!buf_ok(&f->temporary))
        return err_set(err, -ENOMEM, "out of memory");
    _cleanup_close_ int fd = mkstemp(f->temporary.data);
    if (fd < 0) {
        rc = failed(f->path, "written", err);
        buf_free(&f->temporary);
        return rc;
    }
    if (fchmod(fd, f->mode) < 0 || write_all(fd, f->text) < 0)
        return failed(f->path, "written", err);
    return 0;
}

static int already_there(const struct new_file *f, struct err *err)
{
    return err_set(err, -EEXIST,
                   "%s is there already and nothing was written; look at it, and say --force to "
                   "replace it",
                   f->path);
}

/* What is there is kept under another name until all is done. */
static int keep_old(struct new_file *f, struct err *err)
{
    buf_printf(&f->kept, "%s.old", f->temporary.data);
    if (!buf_ok(&f->kept))
        return err_set(err, -ENOMEM, "out of memory");
    if (link(f->path, f->kept.data) == 0)
        return 0;
    int code = errno;
    buf_free(&f->kept);
    errno = code;
    return code == ENOENT ? 0 : failed(f->path, "kept while it is replaced", err);
}

static int put_in_place(struct new_file *f, bool replace, struct err *err)
{
    int rc = replace ? keep_old(f, err) : 0;

    if (rc < 0)
        return rc;
    /* link() never replaces, whoever comes in between. */
    if ((replace ? rename(f->temporary.data, f->path) : link(f->temporary.data, f->path)) < 0)
        return errno == EEXIST ? already_there(f, err) : failed(f->path, "put in place", err);
    f->in_place = true;
    return 0;
}

static void take_back(struct new_file *f)
{
    if (!f->in_place)
        return;
    if (f->kept.len)
        rename(f->kept.data, f->path);
    else
        unlink(f->path);
}

/* The directory's entry is as durable as the file. */
static void sync_directory(const char *path)
{
    _cleanup_free_ char *dir = strdup(path);
    char *slash = dir ? strrchr(dir, '/') : NULL;

    if (!slash)
        return;
    *slash = '\0';
    _cleanup_close_ int fd = open(*dir ? dir : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        fsync(fd);
}

int files_install(struct new_file *files, size_t count, bool replace, struct err *err)
{
    struct stat st;
    int rc = 0;

    for (size_t i = 0; i < count && rc == 0 && !replace; i++)
        if (lstat(files[i].path, &st) == 0)
            rc = already_there(&files[i], err);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = write_beside(&files[i], err);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = put_in_place(&files[i], replace, err);
    for (size_t i = 0; i < count; i++) {
        if (rc < 0)
            take_back(&files[i]);
        else
            sync_directory(files[i].path);
        if (files[i].temporary.len)
            unlink(files[i].temporary.data);
        if (files[i].kept.len)
            unlink(files[i].kept.data);
        buf_free(&files[i].temporary);
        buf_free(&files[i].kept);
    }
    return rc;
}
