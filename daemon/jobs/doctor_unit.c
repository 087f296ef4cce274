#include "jobs/doctor.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "jobs/setup.h"
#include "jobs/systemctl.h"

#define PROPERTIES                                                                                 \
    "--property=LoadState,ActiveState,Result,UnitFileState,NeedDaemonReload,User,ProtectSystem,"   \
    "ProtectHome,ReadWritePaths,BindPaths"

/* Is `directory` at the beginning of `path`, with nothing after it that would make it another one?
 */
static bool ends_here(const char *path, size_t n)
{
    if (path[n] == '/')
        n++;
    return path[n] == '\0' || path[n] == ' ' || path[n] == ':';
}

/* systemctl divides paths by blanks and does not quote those inside one, so `directory` is looked
 * for as it is, too. A '-' or '+' may stand before each; those of BindPaths are
 * SOURCE:DESTINATION:OPTIONS.
 */
static bool covers(const char *list, const char *directory)
{
    size_t n = strlen(directory);

    for (const char *at = strstr(list, directory); at; at = strstr(at + 1, directory))
        if ((at == list || strchr(" -+", at[-1])) && ends_here(at, n))
            return true;
    for (const char *p = list; *p; p += strspn(p, " ")) {
        const char *path = p + strspn(p, "-+");
        size_t m = strcspn(path, " :");
        while (m > 1 && path[m - 1] == '/')
            m--;
        if (m > 0 && m < n && strncmp(path, directory, m) == 0 && (directory[m] == '/' || m == 1))
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

    if (systemctl_ask("cat", "--no-pager", unit, &text, &ignored) < 0)
        return false;
    return strstr(text.data, "\nLoadCredential=aws-credentials") ||
           strstr(text.data, "\nLoadCredentialEncrypted=aws-credentials") ||
           strstr(text.data, "\nSetCredentialEncrypted=aws-credentials");
}

static void look_at_life(struct doctor *d, const struct buf *shown, const char *unit)
{
    _cleanup_free_ char *active = systemctl_property(shown, "ActiveState");
    _cleanup_free_ char *result = systemctl_property(shown, "Result");
    _cleanup_free_ char *enabled = systemctl_property(shown, "UnitFileState");
    _cleanup_free_ char *stale = systemctl_property(shown, "NeedDaemonReload");

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
    _cleanup_free_ char *user = systemctl_property(shown, "User");

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
    _cleanup_free_ char *system = systemctl_property(shown, "ProtectSystem");
    _cleanup_free_ char *home = systemctl_property(shown, "ProtectHome");
    _cleanup_free_ char *writable = systemctl_property(shown, "ReadWritePaths");
    _cleanup_free_ char *bound = systemctl_property(shown, "BindPaths");
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
    if (!buf_ok(&unit) || systemctl_ask("show", PROPERTIES, unit.data, &shown, &err) < 0) {
        doctor_add(d, "unit", DOCTOR_WARNING, "%s",
                   err.text[0] ? err.text : "the unit cannot be looked at: out of memory");
        return;
    }
    _cleanup_free_ char *load = systemctl_property(&shown, "LoadState");
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
