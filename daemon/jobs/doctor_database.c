#include "jobs/doctor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/cleanup.h"
#include "source/source.h"

enum { SQLITE_NEEDED = 3040000 };

/* SQLite keeps files beside the database, and the daemon keeps its own. */
static bool may_write(struct doctor *d, const char *check, const char *directory)
{
    struct stat st;

    if (access(directory, W_OK | X_OK) < 0) {
        int code = errno;
        doctor_add(d, check, DOCTOR_FAILED, "%s cannot be written by %s (%s): %s", directory,
                   d->owner, strerror(code),
                   code == EROFS ? "it is on a file system that is mounted read-only"
                                 : "let the owner of the database have write permission there");
        return false;
    }
    if (stat(directory, &st) == 0 && (st.st_mode & (S_IWOTH | S_ISVTX)) == S_IWOTH) {
        doctor_add(d, check, DOCTOR_WARNING,
                   "%s may be written by everybody, who could put another file in the database's "
                   "place: chmod o-w %s",
                   directory, directory);
        return false;
    }
    return true;
}

/* Without the variables of its unit, and before that has ever run, the configuration takes the
 * daemon's file to be beside the database. */
static bool comes_with_the_unit(const struct doctor *d, const char *path)
{
    const char *database = d->config->database, *base = strrchr(database, '/') + 1;
    _cleanup_free_ char *beside = NULL;

    if (asprintf(&beside, "%.*s.%s-syncd.db", (int)(base - database), database, base) < 0) {
        beside = NULL;
        return false;
    }
    return d->unit_loaded && strcmp(path, beside) == 0 && access(path, F_OK) < 0;
}

static void look_at_state(struct doctor *d)
{
    const char *path = d->config->state_path;
    _cleanup_free_ char *dir = strdup(path);
    char *slash = dir ? strrchr(dir, '/') : NULL;
    struct stat st;

    if (comes_with_the_unit(d, path)) {
        doctor_add(d, "state", DOCTOR_OK,
                   "/var/lib/syncd/%s/%s.db, made by the unit at its first start", d->config->name,
                   d->config->name);
        return;
    }
    if (!slash)
        return;
    slash[slash == dir] = '\0';
    if (lstat(dir, &st) < 0) {
        doctor_add(d, "state", errno == ENOENT ? DOCTOR_FAILED : DOCTOR_WARNING,
                   "%s cannot be looked at (%s): make the directory and give it to %s, or correct "
                   "[state] path",
                   dir, strerror(errno), d->owner);
        return;
    }
    if (stat(path, &st) == 0 && st.st_uid != geteuid())
        doctor_add(d, "state", DOCTOR_FAILED, "%s belongs to uid %u: chown %s:%s %s*", path,
                   (unsigned)st.st_uid, d->owner, d->group, path);
    else if (may_write(d, "state", dir))
        doctor_add(d, "state", DOCTOR_OK, "%s%s", path,
                   access(path, F_OK) == 0 ? "" : ", made at the first start");
}

static void look_inside(struct doctor *d)
{
    struct source *s = NULL;
    struct err err = {0};

    if (source_open(d->config->database, &s, &err) != SOURCE_OK) {
        doctor_add(d, "sqlite", DOCTOR_FAILED, "%s", err.text);
        return;
    }
    doctor_add(d, "sqlite",
               sqlite3_libversion_number() >= SQLITE_NEEDED ? DOCTOR_OK : DOCTOR_FAILED,
               "SQLite %s, the database is in %s mode%s", sqlite3_libversion(), s->journal_mode,
               sqlite3_libversion_number() >= SQLITE_NEEDED
                   ? ""
                   : "; syncd needs SQLite 3.40 or later: update the library");
    source_close(s);
    if (plan_list_make(d->config, &d->plans, &err) < 0) {
        doctor_add(d, "mapping", DOCTOR_FAILED, "%s", err.text);
        return;
    }
    d->planned = true;
    size_t mirrored = 0, refused = 0, first = 0;
    for (size_t i = d->plans.count; i-- > 0;) {
        mirrored += d->plans.plans[i] != NULL;
        refused += d->plans.refusals[i] != NULL;
        first = d->plans.refusals[i] ? i : first;
    }
    if (refused)
        doctor_add(d, "mapping", DOCTOR_WARNING,
                   "tables mirrored: %zu, that cannot be: %zu (\"%s\": %s); see syncctl check",
                   mirrored, refused, d->plans.catalog->tables[first].name,
                   d->plans.refusals[first]);
    else
        doctor_add(d, "mapping", mirrored ? DOCTOR_OK : DOCTOR_WARNING, "tables mirrored: %zu%s",
                   mirrored, mirrored ? "" : "; see [source] tables, and syncctl check");
}

void doctor_database(struct doctor *d)
{
    if (!d->database.st_nlink || !d->directory[0])
        return;
    if (geteuid() != d->database.st_uid) {
        doctor_add(
            d, "directory", DOCTOR_WARNING,
            "what %s may do cannot be tried by this user: run doctor as root (sudo) or as %s",
            d->owner, d->owner);
        return;
    }
    if (may_write(d, "directory", d->directory))
        doctor_add(d, "directory", DOCTOR_OK, "%s can be written by %s", d->directory, d->owner);
    look_at_state(d);
    if (d->database.st_size > 1)
        look_inside(d);
}
