#include "jobs/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "jobs/setup.h"

#define PROPERTIES                                                                                 \
    "--property=LoadState,ActiveState,Result,UnitFileState,NeedDaemonReload,User,ProtectSystem,"   \
    "ProtectHome,ReadWritePaths,BindPaths"

enum { OUTPUT_MAX = 64 * 1024 };

extern char **environ;

/* What systemctl(1) prints: `show` is meant for programs ("KEY=value" lines), `cat` gives the
 * unit's files as they are. */
static int ask(const char *verb, const char *option, const char *unit, struct buf *out,
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

/* The value of a property, "" when there is none; free() it. */
static char *property(const struct buf *shown, const char *name)
{
    size_t n = strlen(name);

    for (const char *p = shown->data; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
        if (strncmp(p, name, n) == 0 && p[n] == '=')
            return strndup(p + n + 1, strcspn(p + n + 1, "\n"));
    return strdup("");
}

/* systemctl divides paths by blanks and does not quote those inside one, so a path with blanks is
 * looked for as it is. A '-' or '+' may stand before each; BindPaths' are
 * SOURCE:DESTINATION:OPTIONS.
 */
static bool covers(const char *list, const char *directory)
{
    size_t n = strlen(directory);

    if (!list || !*list)
        return false;
    for (const char *at = strstr(list, directory); at; at = strstr(at + 1, directory))
        if ((at == list || strchr(" -+", at[-1])) && (at[n] == '\0' || strchr(" :/", at[n])))
            return true;
    for (const char *p = list; *p; p += strspn(p, " ")) {
        size_t length = strcspn(p, " :");
        const char *path = p + strspn(p, "-+");
        size_t m = length - (size_t)(path - p);
        while (m > 1 && path[m - 1] == '/')
            m--;
        if (m <= n && m > 0 && strncmp(path, directory, m) == 0 &&
            (directory[m] == '/' || directory[m] == '\0' || m == 1))
            return true;
        p += strcspn(p, " ");
    }
    return false;
}

/* systemctl show cannot print credentials. */
static bool brings_credentials(const char *unit)
{
    _cleanup_buf_ struct buf text = {0};
    struct err ignored;

    if (ask("cat", "--no-pager", unit, &text, &ignored) < 0)
        return false;
    return strstr(text.data, "\nLoadCredential=aws-credentials") ||
           strstr(text.data, "\nLoadCredentialEncrypted=aws-credentials") ||
           strstr(text.data, "\nSetCredentialEncrypted=aws-credentials");
}

static void look_at_life(struct doctor *d, const struct buf *shown, const char *unit)
{
    _cleanup_free_ char *active = property(shown, "ActiveState");
    _cleanup_free_ char *result = property(shown, "Result");
    _cleanup_free_ char *enabled = property(shown, "UnitFileState");
    _cleanup_free_ char *stale = property(shown, "NeedDaemonReload");

    if (!active || !result || !enabled || !stale)
        return;
    d->unit_active = strcmp(active, "active") == 0;
    if (strcmp(stale, "yes") == 0)
        doctor_add(d, "unit", DOCTOR_WARNING,
                   "%s was changed on disk since systemd read it: systemctl daemon-reload", unit);
    if (strcmp(active, "failed") == 0)
        doctor_add(d, "unit", DOCTOR_FAILED, "%s has failed (%s): journalctl -u %s says why", unit,
                   result, unit);
    else if (strcmp(enabled, "enabled") != 0 && strcmp(enabled, "enabled-runtime") != 0)
        doctor_add(d, "unit", DOCTOR_WARNING,
                   "%s is %s and does not start at boot: systemctl enable "
                   "--now %s",
                   unit, active, unit);
    else if (strcmp(active, "active") != 0 && strcmp(active, "reloading") != 0)
        doctor_add(d, "unit", DOCTOR_WARNING, "%s is enabled and %s: systemctl start %s", unit,
                   active, unit);
    else
        doctor_add(d, "unit", DOCTOR_OK, "%s is enabled and %s", unit, active);
}

static void look_at_user(struct doctor *d, const struct buf *shown, const char *unit)
{
    _cleanup_free_ char *user = property(shown, "User");

    if (!user || !d->database.st_nlink)
        return;
    const struct passwd *pw = getpwnam(*user ? user : "root");
    char *end = user;
    unsigned long uid = pw ? pw->pw_uid : strtoul(user, &end, 10);
    if ((pw || (*user && !*end)) && uid == d->database.st_uid)
        doctor_add(d, "user", DOCTOR_OK, "%s runs as %s, the owner of the database", unit,
                   *user ? user : "root");
    else
        doctor_add(d, "user", DOCTOR_FAILED,
                   "%s runs as %s, but the database belongs to %s: syncctl setup %s --database %s "
                   "--force, or User=%s in a drop-in (systemctl edit %s)",
                   unit, *user ? user : "root", d->owner, d->config->name, d->config->database,
                   d->owner, unit);
}

static void look_at_sandbox(struct doctor *d, const struct buf *shown, const char *unit)
{
    _cleanup_free_ char *system = property(shown, "ProtectSystem");
    _cleanup_free_ char *home = property(shown, "ProtectHome");
    _cleanup_free_ char *writable = property(shown, "ReadWritePaths");
    _cleanup_free_ char *bound = property(shown, "BindPaths");
    const char *dir = d->directory;

    if (!system || !home || !writable || !bound || !*dir)
        return;
    bool strict = strcmp(system, "strict") == 0;
    bool hidden = setup_hides(dir) && (strcmp(home, "yes") == 0 || strcmp(home, "tmpfs") == 0);
    if (hidden && !covers(bound, dir))
        doctor_add(d, "sandbox", DOCTOR_FAILED,
                   "%s does not see %s: BindPaths=%s in a drop-in (systemctl edit %s)", unit, dir,
                   dir, unit);
    else if (strict && !covers(writable, dir) && !covers(bound, dir))
        doctor_add(d, "sandbox", DOCTOR_FAILED,
                   "%s may not write in %s: ReadWritePaths=%s in a drop-in (systemctl edit %s)",
                   unit, dir, dir, unit);
    else
        doctor_add(d, "sandbox", DOCTOR_OK, "%s may write in %s", unit, dir);
}

void doctor_unit(struct doctor *d)
{
    static const char ours[] = SYNCD_SYSCONFDIR "/syncd/";
    _cleanup_buf_ struct buf unit = {0}, shown = {0};
    struct err err = {0};

    if (strncmp(d->config->file, ours, sizeof ours - 1) != 0) {
        doctor_add(d, "unit", DOCTOR_WARNING,
                   "the configuration is not in " SYNCD_SYSCONFDIR
                   "/syncd, so no unit belongs to it");
        return;
    }
    setup_unit_name(&unit, d->config->name);
    if (!buf_ok(&unit) || ask("show", PROPERTIES, unit.data, &shown, &err) < 0) {
        doctor_add(d, "unit", DOCTOR_WARNING, "%s",
                   err.text[0] ? err.text : "the unit cannot be looked at: out of memory");
        return;
    }
    _cleanup_free_ char *load = property(&shown, "LoadState");
    if (load && strcmp(load, "loaded") != 0) {
        doctor_add(d, "unit", DOCTOR_FAILED, "%s is %s: %s", unit.data, load,
                   strcmp(load, "masked") == 0 ? "systemctl unmask it"
                                               : "install the package, or make install and "
                                                 "systemctl daemon-reload");
        return;
    }
    d->unit_loaded = true;
    d->unit_credentials = brings_credentials(unit.data);
    look_at_life(d, &shown, unit.data);
    look_at_user(d, &shown, unit.data);
    look_at_sandbox(d, &shown, unit.data);
}
