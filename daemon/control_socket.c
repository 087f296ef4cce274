#include "control_socket.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "config/listen.h"

#define BACKLOG 128

static int fill_address(const char *path, struct sockaddr_un *addr, struct err *err)
{
    size_t n = strlen(path);

    if (n == 0 || n >= sizeof addr->sun_path)
        return err_set(err, -ENAMETOOLONG,
                       "%s: a socket's path has 1 to %zu bytes; set a shorter [control] socket",
                       path, sizeof addr->sun_path - 1);
    *addr = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(addr->sun_path, path, n + 1);
    return 0;
}

/* Who listens at the other end: the kernel remembers it from listen(). */
static pid_t listener_pid(int fd)
{
    struct ucred cred;
    socklen_t n = sizeof cred;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0 ? cred.pid : 0;
}

static int refuse_living(const char *path, pid_t pid, struct err *err)
{
    if (pid > 0)
        return err_set(err, -EADDRINUSE, "%s is in use by a running daemon (pid %ld)", path,
                       (long)pid);
    return err_set(err, -EADDRINUSE, "%s is in use by a running daemon", path);
}

/* Make way: 0 when nothing is at the path (any more). */
static int remove_stale(const struct sockaddr_un *addr, struct err *err)
{
    const char *path = addr->sun_path;
    struct stat st;

    if (lstat(path, &st) != 0)
        return errno == ENOENT ? 0 : err_set(err, -errno, "%s: %s", path, strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return err_set(err, -EEXIST,
                       "%s is there and is not a socket; move it away or change [control] socket",
                       path);

    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set(err, -errno, "cannot make a socket: %s", strerror(errno));
    if (connect(fd, (const struct sockaddr *)addr, sizeof *addr) == 0)
        return refuse_living(path, listener_pid(fd), err);
    if (errno == EAGAIN) /* its queue is full, so somebody listens */
        return refuse_living(path, 0, err);
    if (errno == ENOENT)
        return 0;
    if (errno != ECONNREFUSED)
        return err_set(err, -errno, "cannot tell whether a daemon still uses %s: %s", path,
                       strerror(errno));
    if (unlink(path) != 0 && errno != ENOENT)
        return err_set(err, -errno, "cannot remove %s, left by a daemon that is gone: %s", path,
                       strerror(errno));
    return 0;
}

static int find_group(const char *group, gid_t *out, struct err *err)
{
    errno = 0;
    const struct group *g = getgrnam(group);
    if (!g)
        return err_set(err, -EINVAL,
                       "[control] socket_group = %s: there is no such group; create it (groupadd "
                       "--system %s) or name another",
                       group, group);
    *out = g->gr_gid;
    return 0;
}

/* The file is made 0600 and opened to the group only once it belongs to the right one. Linux takes
 * the mode of the new file from the socket's own, so that the process's umask, which all threads
 * share, need not be touched. */
static int bind_file(int fd, const struct sockaddr_un *addr, const char *group, struct err *err)
{
    const char *path = addr->sun_path;
    gid_t gid = (gid_t)-1;
    int r = *group ? find_group(group, &gid, err) : 0;

    if (r < 0)
        return r;
    if (fchmod(fd, 0600) != 0 || bind(fd, (const struct sockaddr *)addr, sizeof *addr) != 0)
        return err_set(err, -errno, "cannot make the control socket %s: %s", path,
                       errno == ENOENT ? "its directory does not exist" : strerror(errno));
    if (*group && lchown(path, (uid_t)-1, gid) != 0)
        r = err_set(err, -errno,
                    "cannot give %s to the group %s: %s; make the daemon's user a member of it",
                    path, group, strerror(errno));
    else if (chmod(path, 0660) != 0)
        r = err_set(err, -errno, "cannot set the mode of %s: %s", path, strerror(errno));
    else if (listen(fd, BACKLOG) != 0)
        r = err_set(err, -errno, "cannot listen on %s: %s", path, strerror(errno));
    if (r < 0)
        unlink(path);
    return r;
}

int control_socket_listen(const char *path, const char *group, struct control_socket *out,
                          struct err *err)
{
    struct control_socket s = {.fd = -1};
    struct stat st;
    int r = fill_address(path, &s.addr, err);

    if (r < 0)
        return r;
    if ((r = remove_stale(&s.addr, err)) < 0)
        return r;
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set(err, -errno, "cannot make a socket: %s", strerror(errno));
    if ((r = bind_file(fd, &s.addr, group, err)) < 0)
        return r;
    if (lstat(path, &st) == 0) {
        s.dev = st.st_dev;
        s.ino = st.st_ino;
    }
    s.fd = fd;
    fd = -1;
    *out = s;
    return 0;
}

int control_socket_listen_tcp(const char *address, struct control_socket *out, struct err *err)
{
    struct control_socket s = {.fd = -1, .internet = true};
    struct sockaddr_storage addr;
    socklen_t len;
    int on = 1, r = listen_parse(address, &addr, &len, err);

    if (r < 0)
        return r;
    snprintf(s.addr.sun_path, sizeof s.addr.sun_path, "%s", address);
    _cleanup_close_ int fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set(err, -errno, "[control] listen = %s: cannot make a socket: %s", address,
                       strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)&addr, len) != 0 || listen(fd, BACKLOG) != 0)
        return err_set(err, -errno, "[control] listen = %s: %s", address,
                       errno == EADDRINUSE ? "another process listens there; choose another port"
                                           : strerror(errno));
    s.fd = fd;
    fd = -1;
    *out = s;
    return 0;
}

void control_socket_unlink(const struct control_socket *s)
{
    struct stat st;

    if (!s->internet && lstat(s->addr.sun_path, &st) == 0 && st.st_dev == s->dev &&
        st.st_ino == s->ino)
        unlink(s->addr.sun_path);
}
