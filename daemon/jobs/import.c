#include "jobs/import.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "jobs/backup.h"
#include "jobs/import_internal.h"
#include "jobs/import_rows.h"

#define PATIENCE (60 * USEC_PER_SEC) /* for the lock of a database that the application holds */
enum { PACKED_TIMES = 8, ROOM_LEFT = 16 * 1024 * 1024 };

static int no_memory(struct err *err)
{
    return err_set(err, -ENOMEM, "out of memory");
}

void import_say(const struct import_job *j, const char *fmt, ...)
{
    struct err sentence;
    va_list args;

    va_start(args, fmt);
    err_setv(&sentence, 0, fmt, args);
    va_end(args);
    j->q.ui->say(j->q.ui->arg, sentence.text);
}

/* --- the database ----------------------------------------------------------------------------- */

/* An empty database with a header, which a file of no bytes lacks. */
static int make_database(const char *path, struct err *err)
{
    sqlite3 *db = NULL;
    int rc = sqlite3_open(path, &db);

    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db,
                          "BEGIN; CREATE TABLE _syncd_import(id); DROP TABLE _syncd_import; COMMIT",
                          NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        err_set(err, -EIO, "database %s cannot be made: %s", path, sqlite3_errmsg(db));
    sqlite3_close(db);
    return rc == SQLITE_OK ? 0 : -EIO;
}

static int open_database(struct import_job *j, struct err *err)
{
    struct import_request *q = &j->q;
    int rc;

    if (access(q->database, F_OK) < 0 && !q->create)
        return err_set(err, -EINVAL,
                       "database %s does not exist; check --to, or say --create to make it, with "
                       "tables as the records need them",
                       q->database);
    if (access(q->database, F_OK) < 0) {
        if ((rc = make_database(q->database, err)) < 0)
            return rc;
        j->made_database = true;
        q->backup = false;
    }
    enum source_problem p = source_open_patiently(q->database, PATIENCE, &j->run.source, err);
    if (p != SOURCE_OK)
        return p == SOURCE_MISSING || p == SOURCE_NOT_A_DATABASE || p == SOURCE_OWNER ? -EINVAL
                                                                                      : -EIO;
    source_bound_values(j->run.source, false);
    int sql = source_exec(j->run.source, "PRAGMA foreign_keys=ON");
    if (sql == SQLITE_OK)
        sql = source_query_int(j->run.source,
                               "SELECT count(*) FROM main.sqlite_schema WHERE name = "
                               "'_syncd_journal'",
                               &j->run.version);
    j->run.mirrored = j->run.version > 0;
    if (sql == SQLITE_OK)
        sql = source_data_version(j->run.source, &j->run.version);
    if (sql != SQLITE_OK) {
        source_problem_of(j->run.source, sql, "opening it", err);
        return -EIO;
    }
    return 0;
}

static int read_catalog(struct import_job *j, struct err *err)
{
    struct catalog *c;

    if (catalog_read(j->run.source, &c, err) != SOURCE_OK)
        return -EIO;
    catalog_free(j->catalog);
    j->catalog = c;
    return 0;
}

/* --- room ------------------------------------------------------------------------------------- */

static int64_t size_of(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? (int64_t)st.st_size : 0;
}

/* Rows take about as much as their JSON. */
static int check_room(const struct import_job *j, struct err *err)
{
    _cleanup_free_ char *dir = strdup(j->q.database);
    char *slash = dir ? strrchr(dir, '/') : NULL;
    struct statvfs fs;
    int64_t need = ROOM_LEFT + (j->q.backup && !j->q.resume ? size_of(j->q.database) : 0);

    if (slash)
        slash[slash == dir] = '\0';
    for (size_t i = 0; i < j->run.files.count; i++) {
        const char *path = j->run.files.items[i].path;
        size_t n = strlen(path);
        bool packed = n > 3 && strcmp(path + n - 3, ".gz") == 0;
        need += j->run.files.items[i].size * (packed ? PACKED_TIMES : 1);
    }
    if (!j->q.space_check || statvfs(slash ? dir : ".", &fs) < 0)
        return 0;
    int64_t room = (int64_t)(fs.f_bavail * fs.f_frsize);
    if (room >= need)
        return 0;
    return err_set(err, -ENOSPC,
                   "importing needs about %lld MiB beside %s%s, and %lld MiB are free: make room, "
                   "or say --no-space-check",
                   (long long)(need >> 20), j->q.database,
                   j->q.backup ? " (its backup included)" : "", (long long)(room >> 20));
}

/* --- what is done before the first record ----------------------------------------------------- */

static bool go_on(void *arg, int64_t done, int64_t total)
{
    const struct import_job *j = arg;

    (void)done;
    (void)total;
    return !j->q.ui->stop(j->q.ui->arg);
}

static int back_up(struct import_job *j, struct err *err)
{
    _cleanup_buf_ struct buf name = {0};
    struct backup_result made;

    if (!j->q.backup || j->q.dry_run || j->q.resume)
        return 0;
    int rc = backup_run_beside(j->q.database, &name, go_on, j, &made, err);
    if (rc < 0)
        return rc;
    import_say(j, "backup: %s, %lld rows", name.data, (long long)made.rows);
    j->backup = take_ptr(name.data);
    return 0;
}

static int make_tables(struct import_job *j, struct err *err)
{
    struct source *s = j->run.source;
    int sql = SQLITE_OK;

    if (j->ddl.len && j->q.dry_run)
        sql = source_exec(s, j->ddl.data);
    else if (j->ddl.len && (sql = source_exec(s, "BEGIN IMMEDIATE")) == SQLITE_OK)
        sql = source_end(s, source_exec(s, j->ddl.data));
    if (sql != SQLITE_OK) {
        source_problem_of(s, sql, "making its tables", err);
        return -EIO;
    }
    return read_catalog(j, err);
}

/* --- the job ---------------------------------------------------------------------------------- */

static int prepare(struct import_job *j, struct err *err)
{
    int rc = open_database(j, err);

    if (rc == 0)
        rc = read_catalog(j, err);
    if (rc == 0)
        rc = import_choose_tables(j, err);
    if (rc == 0 && !import_state_pending(j->run.source) && j->q.resume) {
        import_say(j, "no import of this database was interrupted: beginning");
        j->q.resume = false;
    }
    if (rc == 0 && import_state_pending(j->run.source) && !j->q.resume && !j->q.restart &&
        !j->q.dry_run)
        rc = err_set(err, -EINVAL,
                     "an import into %s was interrupted: go on with it by --resume, or begin anew "
                     "by --restart (its rows stay, and are met again)",
                     j->q.database);
    if (rc == 0)
        rc = check_room(j, err);
    if (rc == 0)
        rc = import_derive_tables(j, err);
    if (rc == 0)
        rc = back_up(j, err);
    if (rc == 0 && j->q.dry_run) {
        int sql = source_exec(j->run.source, "BEGIN IMMEDIATE");
        j->run.writing = sql == SQLITE_OK;
        j->run.began = clock_monotonic();
        if (sql != SQLITE_OK) {
            source_problem_of(j->run.source, sql, "beginning the dry run", err);
            rc = -EIO;
        }
    }
    return rc;
}

static int begin(struct import_job *j, struct err *err)
{
    struct import_run *run = &j->run;
    int rc = make_tables(j, err);

    if (rc == 0)
        rc = import_open_targets(j, err);
    if (rc == 0)
        rc = import_check_assignments(j, err);
    if (rc == 0)
        rc = import_sort_files(j, err);
    _cleanup_free_ char *described = rc == 0 ? import_what(j) : NULL;
    if (rc == 0 && !described)
        rc = no_memory(err);
    if (rc == 0)
        rc = import_state_open(run->source, &j->q, described, &run->state, err);
    if (rc < 0)
        return rc;
    run->place = (struct import_place){.at = {.line = 1, .first = true}};
    if (import_state_resumed(run->state, &run->place)) {
        import_take_counts(run, run->place.counts);
        run->place.counts = NULL; /* the state's */
        import_say(j, "going on behind %lld records", (long long)run->records);
    }
    return 0;
}

/* Statistics for the planner, of few rows: the application may be waiting. */
static int finish(struct import_job *j, struct err *err)
{
    if (j->q.dry_run) {
        source_rollback(j->run.source);
        return 0;
    }
    for (size_t i = 0; i < j->run.target_count; i++)
        target_forget_statements(j->run.targets[i]);
    int rc = import_state_finish(j->run.state, err);
    source_exec(j->run.source, "PRAGMA analysis_limit=400; PRAGMA optimize");
    return rc;
}

static int run_job(struct import_job *j, json_t **report, struct err *err)
{
    json_t *o = NULL;
    int rc = prepare(j, err);

    if (rc == 0)
        rc = begin(j, err);
    bool begun = rc == 0;
    j->made_database = j->made_database && !begun;
    if (rc == 0)
        rc = import_run(&j->run, err);
    if (rc == 0 && !(o = import_report(&j->run, err)))
        rc = -EIO;
    if (rc == 0)
        rc = finish(j, err);
    if (rc == 0) {
        json_object_set(o, "files_left_out", j->left_out);
        json_object_set_new(o, "backup", j->backup ? json_string(j->backup) : json_null());
        *report = o;
        return 0;
    }
    json_decref(o);
    if (j->run.source)
        source_rollback(j->run.source);
    struct err why = *err;
    if (begun && !j->q.dry_run)
        err_set(err, rc, "%s; what was imported until then stays: go on by --resume", why.text);
    return rc;
}

static void job_free(struct import_job *j)
{
    struct import_run *run = &j->run;

    import_state_close(run->state);
    for (size_t i = 0; i < run->target_count; i++)
        target_close(run->targets[i]);
    free(run->targets);
    json_decref(run->place.counts);
    json_decref(run->broken);
    json_decref(j->left_out);
    import_files_free(&run->files);
    catalog_free(j->catalog);
    source_close(run->source);
    free(j->new_tables.items);
    free(j->backup);
    buf_free(&j->ddl);
}

/* A dry run into a database that is not there yet has one of its own, for its time. */
static int stand_in(struct import_job *j, char path[static 64], struct err *err)
{
    snprintf(path, 64, "/tmp/syncctl-import-XXXXXX");
    _cleanup_close_ int fd = mkstemp(path);
    if (fd < 0)
        return err_set(err, -errno, "%s cannot be made: %s", path, strerror(errno));
    j->q.database = path;
    return make_database(path, err);
}

int job_import(const struct import_request *q, json_t **report, struct err *err)
{
    struct import_job j = {.q = *q};
    char path[64] = "";
    int rc = 0;

    j.run.q = &j.q;
    j.run.broken = json_array();
    j.left_out = json_array();
    if (!j.run.broken || !j.left_out)
        rc = no_memory(err);
    if (rc == 0)
        rc = import_files_find(q, &j.run.files, err);
    if (rc == 0 && q->dry_run && q->create && access(q->database, F_OK) < 0)
        rc = stand_in(&j, path, err);
    if (rc == 0)
        rc = run_job(&j, report, err);
    if (rc == 0 && *path)
        json_object_set_new(*report, "database", json_string(q->database));
    job_free(&j);
    if (*path)
        unlink(path);
    if (rc < 0 && j.made_database) /* and nothing is in it */
        unlink(q->database);
    return rc;
}
