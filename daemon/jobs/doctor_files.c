#include "jobs/doctor.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "jobs/owner.h"

#define MIB ((uint64_t)1 << 20)

enum { LINES_STEP = 32 };
/* The journal grows on this disk while DynamoDB is away. */
#define DISK_FULL  (64 * MIB)
#define DISK_SMALL (1024 * MIB)

void doctor_add(struct doctor *d, const char *check, enum doctor_result result, const char *fmt,
                ...)
{
    va_list args;

    if (d->count % LINES_STEP == 0) {
        struct doctor_line *more = reallocarray(d->lines, d->count + LINES_STEP, sizeof *d->lines);
        if (!more) {
            d->failed_memory = true;
            return;
        }
        d->lines = more;
    }
    struct doctor_line *l = &d->lines[d->count++];
    *l = (struct doctor_line){.check = check, .result = result};
    va_start(args, fmt);
    err_setv(&l->text, 0, fmt, args);
    va_end(args);
}

void doctor_free(struct doctor *d)
{
    if (d->planned)
        plan_list_free(&d->plans);
    free(d->lines);
}

enum doctor_result doctor_worst(const struct doctor *d)
{
    enum doctor_result worst = d->failed_memory ? DOCTOR_FAILED : DOCTOR_OK;

    for (size_t i = 0; i < d->count; i++)
        if (d->lines[i].result > worst)
            worst = d->lines[i].result;
    return worst;
}

static void name_owner(struct doctor *d)
{
    const struct passwd *pw = getpwuid(d->database.st_uid);
    const struct group *gr = getgrgid(owner_group(&d->database));

    if (pw)
        snprintf(d->owner, sizeof d->owner, "%s", pw->pw_name);
    else
        snprintf(d->owner, sizeof d->owner, "%u", (unsigned)d->database.st_uid);
    if (gr)
        snprintf(d->group, sizeof d->group, "%s", gr->gr_name);
    else
        snprintf(d->group, sizeof d->group, "%u", (unsigned)owner_group(&d->database));
}

static bool look_at_database(struct doctor *d)
{
    const char *path = d->config->database;

    if (stat(path, &d->database) < 0) {
        doctor_add(d, "database", DOCTOR_FAILED, "%s cannot be found (%s): %s", path,
                   strerror(errno),
                   errno == EACCES ? "run doctor as root (sudo)"
                                   : "let the application make it, or correct [source] database");
        d->database = (struct stat){0};
        return false;
    }
    name_owner(d);
    if (!S_ISREG(d->database.st_mode)) {
        doctor_add(d, "database", DOCTOR_FAILED, "%s is not a file; correct [source] database",
                   path);
        return false;
    }
    _cleanup_free_ char *real = realpath(path, NULL);
    if (real && strlen(real) < sizeof d->directory) {
        memcpy(d->directory, real, (size_t)(strrchr(real, '/') - real));
        if (!d->directory[0])
            d->directory[0] = '/';
    }
    doctor_add(d, "database",
               d->database.st_size > 1 && d->database.st_uid != 0 ? DOCTOR_OK : DOCTOR_WARNING,
               "%s, %" PRIu64 " KiB, belongs to %s:%s, mode %04o%s", path,
               ((uint64_t)d->database.st_size + 1023) / 1024, d->owner, d->group,
               (unsigned)(d->database.st_mode & 07777),
               d->database.st_size <= 1
                   ? "; it is empty, and taken up once the application has made "
                     "its tables"
               : d->database.st_uid == 0
                   ? "; the daemon must run as root: better let a user of its own have it"
                   : "");
    return true;
}

/* Files that SQLite keeps beside the database belong to whoever made them; one of another user
 * keeps the application out. */
static void look_at_companions(struct doctor *d)
{
    static const char *const suffixes[] = {"-wal", "-shm", "-journal"};
    _cleanup_buf_ struct buf there = {0};
    struct stat st;
    bool well = true;

    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        _cleanup_free_ char *path = NULL;
        if (asprintf(&path, "%s%s", d->config->database, suffixes[i]) < 0) {
            path = NULL;
            continue;
        }
        if (stat(path, &st) < 0)
            continue;
        if (st.st_uid != d->database.st_uid) {
            well = false;
            doctor_add(
                d, "files", DOCTOR_FAILED,
                "%s belongs to uid %u, so %s may be locked out of the database: chown %s:%s %s",
                path, (unsigned)st.st_uid, d->owner, d->owner, d->group, path);
        } else if ((st.st_mode & 0600) != 0600) {
            well = false;
            doctor_add(d, "files", DOCTOR_FAILED,
                       "%s may not be read and written by its owner: chmod u+rw %s", path, path);
        }
        buf_printf(&there, "%s%s", there.len ? ", " : "", suffixes[i]);
    }
    if (well && there.len && buf_ok(&there))
        doctor_add(d, "files", DOCTOR_OK, "%s belong to %s", there.data, d->owner);
    else if (well)
        doctor_add(d, "files", DOCTOR_OK, "no -wal, -shm or -journal at the moment");
}

static void look_at_file_system(struct doctor *d)
{
    /* statfs(2); those that <linux/magic.h> lacks are from there. */
    static const struct {
        unsigned type;
        const char *name;
        enum doctor_result result;
    } known[] = {
        {NFS_SUPER_MAGIC, "NFS", DOCTOR_FAILED},   {SMB_SUPER_MAGIC, "SMB", DOCTOR_FAILED},
        {0xfe534d42, "SMB2", DOCTOR_FAILED},       {0xff534d42, "CIFS", DOCTOR_FAILED},
        {V9FS_MAGIC, "9p", DOCTOR_FAILED},         {0x00c36400, "Ceph", DOCTOR_FAILED},
        {AFS_SUPER_MAGIC, "AFS", DOCTOR_FAILED},   {0x0bd00bd0, "Lustre", DOCTOR_FAILED},
        {0x47504653, "GPFS", DOCTOR_FAILED},       {0x786f4256, "vboxsf", DOCTOR_FAILED},
        {CODA_SUPER_MAGIC, "Coda", DOCTOR_FAILED}, {0x65735546, "FUSE", DOCTOR_WARNING},
        {TMPFS_MAGIC, "tmpfs", DOCTOR_WARNING},    {RAMFS_MAGIC, "ramfs", DOCTOR_WARNING},
    };
    struct statfs fs;

    if (statfs(d->directory, &fs) < 0)
        return;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (known[i].type != (unsigned)fs.f_type)
            continue;
        if (known[i].result == DOCTOR_FAILED)
            doctor_add(
                d, "filesystem", DOCTOR_FAILED,
                "%s is on %s, where SQLite's locks and shared memory cannot be relied on and "
                "changes go unnoticed: move the database to a local disk",
                d->directory, known[i].name);
        else
            doctor_add(d, "filesystem", DOCTOR_WARNING, "%s is on %s%s", d->directory,
                       known[i].name,
                       known[i].type == 0x65735546
                           ? ": if that is a network's, move the database to a local disk"
                           : ", in memory: the database is gone after a restart of the machine");
        return;
    }
    doctor_add(d, "filesystem", DOCTOR_OK, "%s is on a local file system", d->directory);
}

static void look_at_disk(struct doctor *d)
{
    struct statvfs fs;

    if (statvfs(d->directory, &fs) < 0)
        return;
    uint64_t left = (uint64_t)fs.f_bavail * fs.f_frsize;
    enum doctor_result r = left < DISK_FULL    ? DOCTOR_FAILED
                           : left < DISK_SMALL ? DOCTOR_WARNING
                                               : DOCTOR_OK;
    doctor_add(d, "disk", r, "%" PRIu64 " MiB free in %s%s", left / MIB, d->directory,
               r == DOCTOR_OK ? "" : ": make room, the journal grows there while DynamoDB is away");
}

void doctor_files(struct doctor *d)
{
    if (!look_at_database(d))
        return;
    look_at_companions(d);
    if (!d->directory[0])
        return;
    look_at_file_system(d);
    look_at_disk(d);
}
