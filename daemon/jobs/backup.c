#include "jobs/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "jobs/survey.h"

#define SLICE      (5 * USEC_PER_MSEC) /* that a writer may have to wait */
#define PAUSE      (2 * USEC_PER_MSEC)
#define COUNT_TIME (50 * USEC_PER_MSEC) /* of a read transaction in rollback mode */
enum { STEP_PAGES = 64, MAX_RESTARTS = 50, MAX_BACKUPS = 100 };

struct copy {
    struct source *from;
    sqlite3 *to;
    const char *file;
    struct buf part; /* where it is written until it is whole */
    int64_t version; /* see version_of() */
    backup_progress_fn *progress;
    void *arg;
    struct backup_result *out;
    struct err *err;
};

void backup_default_name(const char *database, int64_t wall, struct buf *out)
{
    time_t seconds = (time_t)(wall / USEC_PER_SEC);
    struct tm tm;
    char when[32];

    gmtime_r(&seconds, &tm);
    strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", &tm);
    buf_printf(out, "%s-%s.backup", database, when);
}

static int failed(const struct copy *c, int rc)
{
    if ((rc & 0xff) == SQLITE_FULL || (rc & 0xff) == SQLITE_IOERR)
        return err_set(c->err, -ENOSPC,
                       "backup %s cannot be written: %s; make room, or name another place with "
                       "--backup=FILE",
                       c->file, sqlite3_errstr(rc));
    return err_set(c->err, -EIO, "backup %s cannot be made: %s", c->file,
                   c->to && sqlite3_errcode(c->to) ? sqlite3_errmsg(c->to) : sqlite3_errstr(rc));
}

/* --- the copy --------------------------------------------------------------------------------- */

static int open_copy(struct copy *c, mode_t mode)
{
    struct stat st;

    if (lstat(c->file, &st) == 0)
        return err_set(c->err, -EEXIST, "%s is there already; name another file with --backup=FILE",
                       c->file);
    buf_printf(&c->part, "%s.part", c->file);
    if (!buf_ok(&c->part))
        return err_set(c->err, -ENOMEM, "out of memory");
    /* One that was left behind by a run that was killed. */
    unlink(c->part.data);
    _cleanup_close_ int fd = open(c->part.data, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode & 0777);
    if (fd < 0)
        return err_set(c->err, -errno, "backup %s cannot be made: %s", c->file, strerror(errno));
    int rc =
        sqlite3_open_v2(c->part.data, &c->to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK) /* nobody reads it before it is whole */
        rc = sqlite3_exec(c->to, "PRAGMA synchronous=OFF; PRAGMA journal_mode=OFF", NULL, NULL,
                          NULL);
    return rc == SQLITE_OK ? 0 : failed(c, rc);
}

/* Pages until the slice is over. An SQLite code. */
static int copy_slice(sqlite3_backup *b)
{
    usec began = clock_monotonic();
    int rc;

    do
        rc = sqlite3_backup_step(b, STEP_PAGES);
    while (rc == SQLITE_OK && clock_monotonic() - began < SLICE);
    return rc;
}

/* Of a database that is not in WAL mode: of which of its versions the copy is, if it is of that
 * which stood before its last slice. -1: nobody knows. */
static int64_t version_of(struct copy *c)
{
    int64_t version = -1;

    return source_data_version(c->from, &version) == SQLITE_OK ? version : -1;
}

static int copy_pages(struct copy *c)
{
    sqlite3_backup *b = sqlite3_backup_init(c->to, "main", c->from->db, "main");
    int restarts = 0, busy = 0, rc = SQLITE_OK, last = 0;

    if (!b)
        return failed(c, sqlite3_errcode(c->to));
    while (rc == SQLITE_OK || rc == SQLITE_BUSY || rc == SQLITE_LOCKED) {
        if (!c->from->wal)
            c->version = version_of(c);
        rc = copy_slice(b);
        int total = sqlite3_backup_pagecount(b), done = total - sqlite3_backup_remaining(b);
        restarts += done < last;
        busy = rc == SQLITE_BUSY ? busy + 1 : 0;
        last = done;
        if (restarts > MAX_RESTARTS || busy > MAX_RESTARTS) {
            sqlite3_backup_finish(b);
            return err_set(c->err, -EBUSY,
                           "database %s is written so often that it cannot be copied beside that; "
                           "stop the application for the backup, or set journal_mode=WAL",
                           c->from->path);
        }
        if (c->progress && !c->progress(c->arg, done, total)) {
            sqlite3_backup_finish(b);
            return err_set(c->err, -EINTR, "interrupted; the backup was not finished");
        }
        if (rc == SQLITE_OK || rc == SQLITE_BUSY)
            usleep((useconds_t)PAUSE);
    }
    sqlite3_backup_finish(b);
    return rc == SQLITE_DONE ? 0 : failed(c, rc);
}

/* --- the check -------------------------------------------------------------------------------- */

/* Of a table, or of the whole file (NULL). *told is false where only the application could check
 * it, by a collation or a function of its own. */
static int check_integrity_of(struct copy *c, const char *table, bool *told)
{
    char *sql = table ? sqlite3_mprintf("PRAGMA integrity_check(%Q)", table)
                      : sqlite3_mprintf("PRAGMA integrity_check(1)");
    sqlite3_stmt *s = NULL;
    int result = 0;
    int rc = sql ? sqlite3_prepare_v2(c->to, sql, -1, &s, NULL) : SQLITE_NOMEM;

    sqlite3_free(sql);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(s);
    const char *said = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(s, 0) : NULL;
    *told = (rc & 0xff) != SQLITE_ERROR;
    if (*told && rc != SQLITE_ROW)
        result = failed(c, rc);
    else if (*told && (!said || strcmp(said, "ok") != 0))
        result = err_set(c->err, -EIO,
                         "the copy does not stand PRAGMA integrity_check (%.200s), nor will the "
                         "database %s: look at it first",
                         said ? said : "", c->from->path);
    sqlite3_finalize(s);
    return result;
}

static int too_long(void *arg)
{
    return clock_monotonic() > *(usec *)arg;
}

/* -1: it took too long, or the database has changed. An index is read where SQLite finds one that
 * is shorter, but for such as only the application can read. */
static int64_t count_rows(sqlite3 *db, const char *table)
{
    static const char *const how[] = {"", " NOT INDEXED"};
    int64_t n = -1;
    int rc = SQLITE_ERROR;

    for (size_t i = 0; (rc & 0xff) == SQLITE_ERROR && i < sizeof how / sizeof *how; i++) {
        char *sql = sqlite3_mprintf("SELECT count(*) FROM \"%w\"%s", table, how[i]);
        sqlite3_stmt *s = NULL;
        rc = sql ? sqlite3_prepare_v2(db, sql, -1, &s, NULL) : SQLITE_NOMEM;
        if (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW)
            n = sqlite3_column_int64(s, 0);
        sqlite3_finalize(s);
        sqlite3_free(sql);
    }
    return n;
}

/* What was counted on both sides is of one moment: in WAL mode by the snapshot that is held, else
 * where nobody has written from before the copy's last slice until after this count. */
static bool same_moment(struct copy *c)
{
    return c->from->wal || (c->version >= 0 && version_of(c) == c->version);
}

static int check_table(struct copy *c, const char *table, bool whole)
{
    bool told = true;
    int rc = whole ? 0 : check_integrity_of(c, table, &told);
    int64_t there = rc == 0 ? count_rows(c->to, table) : -1;

    if (rc < 0)
        return rc;
    c->out->tables++;
    if (there < 0)
        return told ? failed(c, sqlite3_errcode(c->to)) : 0;
    c->out->rows += there;
    usec deadline = c->from->wal ? USEC_NEVER : clock_monotonic() + COUNT_TIME;
    if (!same_moment(c))
        return 0;
    sqlite3_progress_handler(c->from->db, 10000, too_long, &deadline);
    int64_t here = count_rows(c->from->db, table);
    sqlite3_progress_handler(c->from->db, 0, NULL, NULL);
    if (here < 0 || here == there || !same_moment(c))
        return 0;
    return err_set(c->err, -EIO, "the copy has %lld rows of table \"%s\", the database %lld: %s",
                   (long long)there, table, (long long)here, "it was thrown away; try again");
}

static int check_tables(struct copy *c)
{
    sqlite3_stmt *s;
    bool whole;
    int result = check_integrity_of(c, NULL, &whole);
    if (result < 0)
        return result;
    int rc = sqlite3_prepare_v2(c->to,
                                "SELECT name FROM pragma_table_list WHERE schema = 'main' AND "
                                "type = 'table' AND name NOT GLOB 'sqlite_*'",
                                -1, &s, NULL);

    if (rc != SQLITE_OK)
        return failed(c, rc);
    while (result == 0 && sqlite3_step(s) == SQLITE_ROW)
        result = check_table(c, (const char *)sqlite3_column_text(s, 0), whole);
    sqlite3_finalize(s);
    return result;
}

/* --- in place --------------------------------------------------------------------------------- */

static int put_in_place(struct copy *c)
{
    struct stat st;
    _cleanup_close_ int fd = open(c->part.data, O_RDWR | O_CLOEXEC);

    if (fd < 0 || fsync(fd) < 0 || fstat(fd, &st) < 0)
        return err_set(c->err, -errno, "backup %s cannot be written: %s", c->file, strerror(errno));
    c->out->bytes = (int64_t)st.st_size;
    if (link(c->part.data, c->file) < 0) /* never replaces */
        return err_set(c->err, -errno, "backup %s cannot be put in place: %s", c->file,
                       strerror(errno));
    _cleanup_free_ char *dir = strdup(c->file);
    char *slash = dir ? strrchr(dir, '/') : NULL;
    if (slash)
        slash[slash == dir] = '\0';
    _cleanup_close_ int at = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (at >= 0)
        fsync(at);
    return 0;
}

static int make(struct copy *c)
{
    int rc = copy_pages(c);

    if (rc == 0)
        rc = check_tables(c);
    if (rc < 0)
        return rc;
    if (sqlite3_close(take_ptr(c->to)) != SQLITE_OK)
        return err_set(c->err, -EIO, "backup %s cannot be closed", c->file);
    return put_in_place(c);
}

int backup_run(const char *database, const char *file, backup_progress_fn *progress, void *arg,
               struct backup_result *out, struct err *err)
{
    struct backup_result result = {0};
    struct copy c = {.file = file, .progress = progress, .arg = arg, .out = &result, .err = err};
    struct stat st;

    if (survey_open(database, &c.from, err) != SOURCE_OK)
        return -EIO;
    /* Whole files, whatever is in them. */
    source_bound_values(c.from, false);
    int rc =
        stat(database, &st) < 0 ? err_set(err, -errno, "%s: %s", database, strerror(errno)) : 0;
    if (rc == 0)
        rc = open_copy(&c, st.st_mode);
    int64_t ignored;
    if (rc == 0 && c.from->wal) { /* the snapshot is taken by the first read */
        int begun = source_begin(c.from);
        if (begun == SQLITE_OK)
            begun = source_query_int(c.from, "SELECT count(*) FROM sqlite_schema", &ignored);
        rc = begun == SQLITE_OK ? 0 : failed(&c, begun);
    }
    if (rc == 0)
        rc = make(&c);
    source_end(c.from, SQLITE_OK);
    sqlite3_close(c.to);
    if (c.part.data)
        unlink(c.part.data);
    source_close(c.from);
    buf_free(&c.part);
    if (rc == 0)
        *out = result;
    return rc;
}

int backup_run_beside(const char *database, struct buf *name, backup_progress_fn *progress,
                      void *arg, struct backup_result *out, struct err *err)
{
    int rc = -EEXIST;

    for (int i = 1; rc == -EEXIST && i < MAX_BACKUPS; i++) {
        buf_clear(name);
        backup_default_name(database, clock_wall(), name);
        if (i > 1)
            buf_printf(name, ".%d", i);
        rc = buf_ok(name) ? backup_run(database, name->data, progress, arg, out, err)
                          : err_set(err, -ENOMEM, "out of memory");
    }
    return rc;
}
