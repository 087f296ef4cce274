#include "control_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <systemd/sd-daemon.h>

#include "base/cleanup.h"
#include "config/listen.h"

#define BACKLOG     1024
#define USUAL_GROUP "syncd" /* systemd/syncd.sysusers makes it */
#define SOCKET_PATH sizeof((struct sockaddr_un *)NULL)->sun_path

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

int control_socket_group(const char *group, const char *option, gid_t *out, struct err *err)
{
    const struct group *g = getgrnam(group);

    if (!g)
        return err_set(err, -EINVAL,
                       "[control] %s = %s: there is no such group; create it (groupadd --system "
                       "%s) or name another",
                       option, group, group);
    *out = g->gr_gid;
    return 0;
}

static bool member_of(gid_t gid)
{
    gid_t groups[256];
    int n = getgroups(sizeof groups / sizeof *groups, groups);
    bool member = getegid() == gid;

    for (int i = 0; i < n; i++)
        member |= groups[i] == gid;
    return member;
}

/* The group to give the socket to; (gid_t)-1: it stays the process's own. */
static int choose_group(const char *group, gid_t *out, struct err *err)
{
    *out = (gid_t)-1;
    if (*group)
        return control_socket_group(group, "socket_group", out, err);
    const struct group *usual = getgrnam(USUAL_GROUP);
    if (usual && member_of(usual->gr_gid))
        *out = usual->gr_gid;
    return 0;
}

/* Group and mode of the file at the path, which is ours. */
static int open_to_group(const char *path, gid_t gid, struct err *err)
{
    if (gid != (gid_t)-1 && lchown(path, (uid_t)-1, gid) != 0)
        return err_set(err, -errno,
                       "cannot give %s to the group %ld: %s; make the daemon's user a member of it",
                       path, (long)gid, strerror(errno));
    if (chmod(path, 0660) != 0)
        return err_set(err, -errno, "cannot set the mode of %s: %s", path, strerror(errno));
    return 0;
}

static void directory_of(const char *path, char out[SOCKET_PATH])
{
    const char *slash = strrchr(path, '/');
    size_t n = slash == path ? 1 : (size_t)(slash - path);

    snprintf(out, SOCKET_PATH, "%.*s", (int)n, path);
}

/* The directory that systemd has made for us belongs to the unit's group, which members of the
 * socket's may not be in. No other directory is ours to change. */
static void open_directory(const char *path, gid_t gid)
{
    const char *given = getenv("RUNTIME_DIRECTORY");
    char dir[SOCKET_PATH];
    struct stat st;

    if (gid == (gid_t)-1 || !given)
        return;
    directory_of(path, dir);
    size_t n = strcspn(given, ":");
    if (strlen(dir) != n || strncmp(dir, given, n) != 0 || lstat(dir, &st) != 0 ||
        st.st_uid != geteuid() || st.st_gid == gid || st.st_mode & S_IXOTH)
        return;
    /* Where it fails, control_socket_reachable() says so. */
    (void)!fchownat(AT_FDCWD, dir, (uid_t)-1, gid, AT_SYMLINK_NOFOLLOW);
}

/* The file is made 0600 and opened to the group only once it belongs to the right one. Linux takes
 * the mode of the new file from the socket's own, so that the process's umask, which all threads
 * share, need not be touched. */
static int bind_file(int fd, const struct sockaddr_un *addr, gid_t gid, struct err *err)
{
    const char *path = addr->sun_path;

    if (fchmod(fd, 0600) != 0 || bind(fd, (const struct sockaddr *)addr, sizeof *addr) != 0)
        return err_set(err, -errno, "cannot make the control socket %s: %s", path,
                       errno == ENOENT ? "its directory does not exist" : strerror(errno));
    int r = open_to_group(path, gid, err);
    if (r == 0 && listen(fd, BACKLOG) != 0)
        r = err_set(err, -errno, "cannot listen on %s: %s", path, strerror(errno));
    if (r < 0)
        unlink(path);
    return r;
}

/* systemd listens already (sd_listen_fds(3)): 1 with the descriptor in `s`, 0 when it does not. The
 * file is its own: never unlinked by us. */
static int take_inherited(struct control_socket *s, struct err *err)
{
    int n = sd_listen_fds(1), fd = SD_LISTEN_FDS_START;

    if (n <= 0)
        return 0;
    for (int i = 1; i < n; i++)
        close(fd + i);
    if (n > 1 || sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) <= 0) {
        close(fd);
        return err_set(err, -EINVAL,
                       "systemd passed %d socket%s where one Unix stream socket is expected; see "
                       "the unit's ListenStream=",
                       n, n == 1 ? "" : "s");
    }
    if (sd_is_socket_unix(fd, SOCK_STREAM, 1, s->addr.sun_path, 0) <= 0) {
        close(fd);
        return err_set(err, -EINVAL,
                       "systemd listens on another path than [control] socket = %s; make the "
                       "socket unit's ListenStream= and the setting the same",
                       s->addr.sun_path);
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    s->fd = fd;
    s->inherited = true;
    return 1;
}

static int make_own(struct control_socket *s, gid_t gid, struct err *err)
{
    struct stat st;
    int r = remove_stale(&s->addr, err);

    if (r < 0)
        return r;
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set(err, -errno, "cannot make a socket: %s", strerror(errno));
    if ((r = bind_file(fd, &s->addr, gid, err)) < 0)
        return r;
    if (lstat(s->addr.sun_path, &st) == 0) {
        s->dev = st.st_dev;
        s->ino = st.st_ino;
    }
    s->fd = fd;
    fd = -1;
    return 0;
}

int control_socket_listen(const char *path, const char *group, struct control_socket *out,
                          struct err *err)
{
    struct control_socket s = {.fd = -1};
    struct err ignored;
    int r = fill_address(path, &s.addr, err);

    if (r == 0)
        r = choose_group(group, &s.group, err);
    if (r == 0)
        r = take_inherited(&s, err);
    if (r < 0)
        return r;
    /* The unit says who may use an inherited one; but systemd gives what it finds in the service's
     * runtime directory to the service's group. */
    if (r == 1)
        (void)(s.group != (gid_t)-1 && open_to_group(path, s.group, &ignored));
    else if ((r = make_own(&s, s.group, err)) < 0)
        return r;
    open_directory(path, s.group);
    *out = s;
    return 0;
}

void control_socket_reachable(const struct control_socket *s, struct err *out)
{
    char dir[SOCKET_PATH];
    struct stat st;

    out->text[0] = '\0';
    if (s->group == (gid_t)-1)
        return;
    const struct group *g = getgrgid(s->group);
    const char *name = g ? g->gr_name : "of the socket";
    for (snprintf(dir, sizeof dir, "%s", s->addr.sun_path); strcmp(dir, "/") != 0;) {
        char below[SOCKET_PATH];
        snprintf(below, sizeof below, "%s", dir);
        directory_of(below, dir);
        if (!*dir || stat(dir, &st) != 0)
            return;
        if (st.st_mode & S_IXOTH || (st.st_gid == s->group && st.st_mode & S_IXGRP))
            continue;
        err_set(out, -EACCES,
                "members of the group %s cannot reach the control socket %s: directory %s is "
                "closed to them (chgrp %s %s; chmod g+x %s)",
                name, s->addr.sun_path, dir, name, dir, dir);
        return;
    }
}

int control_socket_listen_tcp(const char *address, struct control_socket *out, struct err *err)
{
    struct control_socket s = {.fd = -1, .group = (gid_t)-1, .internet = true};
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

    if (!s->inherited && !s->internet && lstat(s->addr.sun_path, &st) == 0 && st.st_dev == s->dev &&
        st.st_ino == s->ino)
        unlink(s->addr.sun_path);
}
