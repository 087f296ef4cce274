#include "jobs/systemctl.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { OUTPUT_MAX = 64 * 1024 };

extern char **environ;

int systemctl_ask(const char *verb, const char *option, const char *unit, struct buf *out,
                  struct err *err)
{
    char *argv[] = {(char *)"systemctl", (char *)verb, (char *)option,
                    (char *)"--",        (char *)unit, NULL};
    posix_spawn_file_actions_t actions;
    int fds[2], status = -1;
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_set(err, -errno, "systemctl cannot be asked: %s", strerror(errno));
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
    /* Its complaints come back as the sentence below. */
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    int rc = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(fds[1]);
    _cleanup_close_ int from = fds[0];
    if (rc != 0)
        return err_set(err, -rc, "systemctl cannot be run: %s", strerror(rc));
    while (out->len < OUTPUT_MAX && buf_reserve(out, 4096)) {
        ssize_t n = read(from, out->data + out->len, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        out->len += (size_t)n;
        out->data[out->len] = '\0';
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (status != 0 || !buf_ok(out) || !out->len)
        return err_set(err, -EIO, "systemctl %s %s failed: does systemd run here?", verb, unit);
    return 0;
}

char *systemctl_property(const struct buf *shown, const char *name)
{
    size_t n = strlen(name);

    for (const char *p = shown->data; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
        if (strncmp(p, name, n) == 0 && p[n] == '=')
            return strndup(p + n + 1, strcspn(p + n + 1, "\n"));
    return strdup("");
}
