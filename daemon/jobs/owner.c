#include "jobs/owner.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { MAX_GROUPS = 256 };

/* Does root have to become somebody else for this database? */
static bool must_become(const char *database, struct stat *st)
{
    return geteuid() == 0 && stat(database, st) == 0 && st->st_uid != 0;
}

gid_t owner_group(const struct stat *database)
{
    const struct passwd *pw = database->st_gid == 0 ? getpwuid(database->st_uid) : NULL;

    return pw ? pw->pw_gid : database->st_gid;
}

static int set_groups(const struct passwd *pw, gid_t gid)
{
    gid_t groups[MAX_GROUPS];
    int n = MAX_GROUPS - 1;
    const struct group *service = getgrnam(SERVICE_GROUP);

    if (!pw) {
        groups[0] = gid;
        n = 1;
    } else if (getgrouplist(pw->pw_name, gid, groups, &n) < 0) {
        return -E2BIG;
    }
    if (service)
        groups[n++] = service->gr_gid;
    return setgroups((size_t)n, groups) < 0 ? -errno : 0;
}

int owner_become(const char *database, struct err *err)
{
    struct stat st;

    if (!must_become(database, &st))
        return 0;
    gid_t gid = owner_group(&st);
    const struct passwd *pw = getpwuid(st.st_uid);
    int rc = set_groups(pw, gid);
    if (rc == 0 && (setresgid(gid, gid, gid) < 0 || setresuid(st.st_uid, st.st_uid, st.st_uid) < 0))
        rc = -errno;
    if (rc == 0 &&
        (setenv("HOME", pw ? pw->pw_dir : "/", 1) < 0 ||
         (pw && (setenv("USER", pw->pw_name, 1) < 0 || setenv("LOGNAME", pw->pw_name, 1) < 0))))
        rc = -ENOMEM;
    if (rc < 0)
        return err_set(err, rc, "cannot become the owner of database %s (uid %u): %s", database,
                       (unsigned)st.st_uid, strerror(-rc));
    return 0;
}

/* What the child has to say: the code, then the sentence. */
struct answer {
    int code;
    struct err err;
};

static void run_child(const struct config *c, int (*job)(const struct config *c, struct err *err),
                      int to)
{
    struct answer a = {0};

    a.code = owner_become(c->database, &a.err);
    if (a.code == 0)
        a.code = job(c, &a.err);
    fflush(NULL);
    _exit(write(to, &a, sizeof a) == (ssize_t)sizeof a ? 0 : 1);
}

static ssize_t read_whole(int fd, void *to, size_t size)
{
    size_t have = 0;

    while (have < size) {
        ssize_t n = read(fd, (char *)to + have, size - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        have += (size_t)n;
    }
    return (ssize_t)have;
}

int owner_run(const struct config *c, int (*job)(const struct config *c, struct err *err),
              struct err *err)
{
    struct answer a = {0};
    struct stat st;
    int fds[2];

    if (!must_become(c->database, &st))
        return job(c, err);
    fflush(NULL);
    if (pipe(fds) < 0)
        return err_set(err, -errno, "cannot start a process: %s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        run_child(c, job, fds[1]);
    }
    int failed = pid < 0 ? errno : 0;
    close(fds[1]);
    _cleanup_close_ int from = fds[0];
    if (failed)
        return err_set(err, -failed, "cannot start a process: %s", strerror(failed));
    bool whole = read_whole(from, &a, sizeof a) == (ssize_t)sizeof a;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    if (!whole)
        return err_set(err, -EIO, "the process that worked on database %s ended early",
                       c->database);
    if (a.code < 0)
        *err = a.err;
    return a.code;
}
