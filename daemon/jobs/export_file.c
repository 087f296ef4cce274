#include "jobs/export_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { FLUSH_AT = 1 << 20 };

/* Where the file's directory ends; "." where it has none. */
static void directory_of(const char *path, struct buf *out)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        buf_putc(out, '.');
    else
        buf_append(out, path, slash == path ? 1 : (size_t)(slash - path));
}

int export_file_check(const char *path, bool force, struct err *err)
{
    _cleanup_buf_ struct buf dir = {0};
    struct stat st;

    directory_of(path, &dir);
    if (!buf_ok(&dir))
        return err_set(err, -ENOMEM, "out of memory");
    if (stat(dir.data, &st) < 0 || !S_ISDIR(st.st_mode))
        return err_set(err, -EINVAL, "the directory of %s is not there", path);
    if (access(dir.data, W_OK | X_OK) < 0)
        return err_set(err, -EINVAL, "%s cannot be made: %s", path, strerror(errno));
    if (lstat(path, &st) < 0)
        return 0;
    if (!S_ISREG(st.st_mode))
        return err_set(err, -EINVAL, "%s is there, and is no ordinary file", path);
    return force ? 0 : err_set(err, -EEXIST, "%s is there; --force replaces it", path);
}

static int failed(const struct export_file *f, const char *what, struct err *err)
{
    int code = errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? -ENOSPC : -EIO;

    return err_set(err, code, "%s cannot be %s: %s; nothing is left of it", f->path.data, what,
                   strerror(errno));
}

int export_file_open(const char *path, struct export_file *out, struct err *err)
{
    *out = (struct export_file){.fd = -1};
    buf_puts(&out->path, path);
    buf_printf(&out->partial, "%s.partial", path);
    if (!buf_ok(&out->path) || !buf_ok(&out->partial))
        return err_set(err, -ENOMEM, "out of memory");
    unlink(out->partial.data); /* of a run that was killed */
    out->fd = open(out->partial.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    return out->fd < 0 ? failed(out, "made", err) : 0;
}

int export_file_flush(struct export_file *f, bool all, struct err *err)
{
    size_t at = 0;

    if (!buf_ok(&f->out))
        return err_set(err, -ENOMEM, "out of memory");
    if (f->out.len < FLUSH_AT && !all)
        return 0;
    while (at < f->out.len) {
        ssize_t n = write(f->fd, f->out.data + at, f->out.len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed(f, "written", err);
        at += (size_t)n;
    }
    f->bytes += (int64_t)at;
    buf_clear(&f->out);
    return 0;
}

static int sync_directory(const struct export_file *f, struct err *err)
{
    _cleanup_buf_ struct buf dir = {0};

    directory_of(f->path.data, &dir);
    if (!buf_ok(&dir))
        return err_set(err, -ENOMEM, "out of memory");
    _cleanup_close_ int fd = open(dir.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return err_set(err, -EIO, "the directory of %s cannot be synced: %s", f->path.data,
                       strerror(errno));
    return 0;
}

int export_file_finish(struct export_file *f, struct err *err)
{
    int rc = export_file_flush(f, true, err);

    if (rc < 0)
        return rc;
    if (fsync(f->fd) < 0 || rename(f->partial.data, f->path.data) < 0)
        return failed(f, "written", err);
    close(f->fd);
    f->fd = -1;
    return sync_directory(f, err);
}

void export_file_drop(struct export_file *f)
{
    if (f->fd >= 0 && f->path.len) {
        close(f->fd);
        unlink(f->partial.data);
    }
    f->fd = -1;
    buf_free(&f->path);
    buf_free(&f->partial);
    buf_free(&f->out);
}
