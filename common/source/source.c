#include "source/source.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

static const char *const codes[] = {
    [SOURCE_OK] = "ok",
    [SOURCE_MISSING] = "source_missing",
    [SOURCE_UNREADABLE] = "source_unreadable",
    [SOURCE_NOT_A_DATABASE] = "not_a_database",
    [SOURCE_OWNER] = "source_owner",
    [SOURCE_LOCKED] = "source_locked",
    [SOURCE_READONLY] = "source_readonly",
    [SOURCE_FULL] = "source_io_error",
    [SOURCE_FAILED] = "source_failed",
};

const char *source_problem_code(enum source_problem p)
{
    return codes[p];
}

static enum source_problem problem(enum source_problem p, struct err *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static enum source_problem problem(enum source_problem p, struct err *err, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    err_setv(err, -EIO, fmt, args);
    va_end(args);
    return p;
}

/* SQLite's words for this failure, not for whatever was done after it. */
static const char *words(const struct source *s, int rc)
{
    if (s->db && (sqlite3_errcode(s->db) & 0xff) == (rc & 0xff))
        return sqlite3_errmsg(s->db);
    return s->said_rc == (rc & 0xff) ? s->said : sqlite3_errstr(rc);
}

static int prepared(struct source *s, enum source_kept which)
{
    static const char *const sql[] = {[KEPT_BEGIN] = "BEGIN",
                                      [KEPT_COMMIT] = "COMMIT",
                                      [KEPT_ROLLBACK] = "ROLLBACK",
                                      [KEPT_LOOK] = "SELECT count(*) FROM sqlite_schema",
                                      [KEPT_JOURNAL_MODE] = "PRAGMA journal_mode",
                                      [KEPT_SCHEMA_VERSION] = "PRAGMA schema_version",
                                      [KEPT_DATA_VERSION] = "PRAGMA data_version"};

    return s->kept[which] ? SQLITE_OK
                          : sqlite3_prepare_v3(s->db, sql[which], -1, SQLITE_PREPARE_PERSISTENT,
                                               &s->kept[which], NULL);
}

/* One without results. */
static int run(struct source *s, enum source_kept which)
{
    int rc = prepared(s, which);

    if (rc != SQLITE_OK)
        return rc;
    sqlite3_step(s->kept[which]);
    return sqlite3_reset(s->kept[which]);
}

void source_rollback(struct source *s)
{
    s->said_rc = sqlite3_errcode(s->db) & 0xff;
    snprintf(s->said, sizeof s->said, "%s", sqlite3_errmsg(s->db));
    if (sqlite3_get_autocommit(s->db))
        return;
    run(s, KEPT_ROLLBACK);
    if (!sqlite3_get_autocommit(s->db) && source_exec(s, "ROLLBACK") != SQLITE_OK)
        abort(); /* systemd starts us anew; what was not committed is still in the journal */
}

int source_end(struct source *s, int rc)
{
    if (rc == SQLITE_OK)
        rc = run(s, KEPT_COMMIT);
    if (rc != SQLITE_OK)
        source_rollback(s);
    return rc;
}

enum source_problem source_problem_of(const struct source *s, int rc, const char *doing,
                                      struct err *err)
{
    const char *said = words(s, rc);

    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return SOURCE_OK;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return problem(SOURCE_LOCKED, err,
                       "database %s is locked by another process while %s; if this lasts, look for "
                       "locking_mode=EXCLUSIVE or a transaction left open",
                       s->path, doing);
    case SQLITE_NOTADB:
        return problem(SOURCE_NOT_A_DATABASE, err,
                       "%s is not a SQLite database (or it is encrypted): check [source] database",
                       s->path);
    case SQLITE_READONLY:
        return problem(SOURCE_READONLY, err,
                       "database %s cannot be written (%s): triggers and journal need a writable "
                       "file and directory",
                       s->path, said);
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return problem(SOURCE_UNREADABLE, err,
                       "database %s cannot be opened while %s (%s): check the permissions of the "
                       "file and its directory",
                       s->path, doing, said);
    case SQLITE_FULL:
        return problem(SOURCE_FULL, err, "the disk of database %s is full (while %s)", s->path,
                       doing);
    case SQLITE_IOERR:
        return problem(SOURCE_FULL, err, "reading or writing database %s failed while %s: %s",
                       s->path, doing, said);
    case SQLITE_CORRUPT:
        return problem(SOURCE_FAILED, err,
                       "database %s is damaged (%s, while %s): run PRAGMA integrity_check", s->path,
                       said, doing);
    default:
        return problem(SOURCE_FAILED, err, "database %s: %s (while %s)", s->path, said, doing);
    }
}

static const char *user_name(uid_t uid, char *store, size_t size)
{
    const struct passwd *pw = getpwuid(uid);

    if (pw)
        snprintf(store, size, "%s", pw->pw_name);
    else
        snprintf(store, size, "uid %u", (unsigned)uid);
    return store;
}

static enum source_problem check_path(const char *path, struct stat *st, struct err *err)
{
    char owner[64], me[64];

    if (stat(path, st) < 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            return problem(SOURCE_MISSING, err,
                           "database %s does not exist: check [source] database", path);
        return problem(SOURCE_UNREADABLE, err, "database %s cannot be reached: %s", path,
                       strerror(errno));
    }
    if (!S_ISREG(st->st_mode))
        return problem(SOURCE_NOT_A_DATABASE, err, "%s is not a file, so it is no SQLite database",
                       path);
    if (geteuid() != 0 && geteuid() != st->st_uid)
        return problem(SOURCE_OWNER, err,
                       "database %s belongs to %s, but this runs as %s: run as %s (in the unit: "
                       "User=%s), or the application could lose access to its own files",
                       path, user_name(st->st_uid, owner, sizeof owner),
                       user_name(geteuid(), me, sizeof me), owner, owner);
    if (access(path, R_OK) < 0)
        return problem(SOURCE_UNREADABLE, err, "database %s cannot be read: %s", path,
                       strerror(errno));
    if (st->st_size <= 1) /* SQLite takes a single byte for nothing, too */
        return problem(SOURCE_NOT_A_DATABASE, err,
                       "%s is an empty file; it is taken up once the application has created its "
                       "tables",
                       path);
    return SOURCE_OK;
}

int source_exec(struct source *s, const char *sql)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL);
}

int source_begin(struct source *s)
{
    return run(s, KEPT_BEGIN);
}

static int ask_int(sqlite3_stmt *stmt, int64_t *out)
{
    int rc = sqlite3_step(stmt);

    if (rc == SQLITE_ROW) {
        *out = sqlite3_column_int64(stmt, 0);
        rc = SQLITE_OK;
    }
    sqlite3_reset(stmt);
    return rc;
}

int source_schema_version(struct source *s, int64_t *out)
{
    int rc = prepared(s, KEPT_SCHEMA_VERSION);

    return rc == SQLITE_OK ? ask_int(s->kept[KEPT_SCHEMA_VERSION], out) : rc;
}

int source_data_version(struct source *s, int64_t *out)
{
    int rc = prepared(s, KEPT_DATA_VERSION);

    return rc == SQLITE_OK ? ask_int(s->kept[KEPT_DATA_VERSION], out) : rc;
}

int source_query_int(struct source *s, const char *sql, int64_t *out)
{
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL);

    if (rc == SQLITE_OK)
        rc = ask_int(stmt, out);
    sqlite3_finalize(stmt);
    return rc;
}

int source_ask(struct source *s, const char *sql, const char *arg, sqlite3_stmt **out)
{
    struct source_question *q = s->questions, *end = q + SOURCE_QUESTIONS;
    int rc = SQLITE_OK;

    while (q < end && q->sql && q->sql != sql)
        q++;
    if (q == end)
        abort(); /* there are more questions than places for them */
    if (!q->sql)
        rc = sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &q->stmt, NULL);
    if (rc != SQLITE_OK)
        return rc;
    q->sql = sql;
    *out = q->stmt;
    return sqlite3_bind_text(q->stmt, 1, arg, -1, SQLITE_STATIC);
}

void source_answered(sqlite3_stmt *stmt)
{
    if (!stmt)
        return;
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
}

void source_forget_questions(struct source *s)
{
    for (size_t i = 0; i < SOURCE_QUESTIONS; i++) {
        sqlite3_finalize(s->questions[i].stmt);
        s->questions[i] = (struct source_question){0};
    }
    for (size_t i = 0; i < SOURCE_KEPT; i++)
        sqlite3_finalize(take_ptr(s->kept[i]));
}

/* What stands at the paths of -wal and -shm. */
static bool look_beside(const struct source *s, struct source_beside out[2])
{
    static const char *const suffixes[] = {"-wal", "-shm"};
    const char *database = sqlite3_db_filename(s->db, "main"); /* symbolic links followed */
    struct stat st;

    for (size_t i = 0; i < 2; i++) {
        _cleanup_free_ char *path = NULL;
        if (!database || asprintf(&path, "%s%s", database, suffixes[i]) < 0) {
            path = NULL;
            return false;
        }
        if (stat(path, &st) < 0)
            return false;
        out[i] = (struct source_beside){st.st_dev, st.st_ino};
    }
    return true;
}

/* As long as this connection has them open, SQLite neither removes nor replaces them. When somebody
 * else does, connections that come later commit where this one cannot see it. */
static bool beside_same(const struct source *s)
{
    struct source_beside now[2];

    if (!s->beside_known)
        return true;
    if (!look_beside(s, now))
        return false;
    for (size_t i = 0; i < 2; i++)
        if (now[i].dev != s->beside[i].dev || now[i].ino != s->beside[i].ino)
            return false;
    return true;
}

int source_refresh_mode(struct source *s)
{
    int64_t ignored;
    int rc = prepared(s, KEPT_LOOK);

    /* The pragma alone tells what this connection knew last; reading makes it look. */
    if (rc == SQLITE_OK)
        rc = ask_int(s->kept[KEPT_LOOK], &ignored);
    if (rc == SQLITE_OK)
        rc = prepared(s, KEPT_JOURNAL_MODE);
    if (rc != SQLITE_OK)
        return rc;
    sqlite3_stmt *stmt = s->kept[KEPT_JOURNAL_MODE];
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        snprintf(s->journal_mode, sizeof s->journal_mode, "%s",
                 (const char *)sqlite3_column_text(stmt, 0));
    sqlite3_reset(stmt);
    if (rc != SQLITE_ROW)
        return rc;
    s->wal = strcmp(s->journal_mode, "wal") == 0;
    s->beside_known = s->wal && (s->beside_known || look_beside(s, s->beside));
    return source_exec(s, s->wal ? "PRAGMA synchronous=NORMAL" : "PRAGMA synchronous=FULL");
}

void source_bound_values(struct source *s, bool bounded)
{
    sqlite3_limit(s->db, SQLITE_LIMIT_LENGTH, bounded ? s->max_value : INT_MAX);
}

void source_allow_values(struct source *s, int length)
{
    if (length > s->max_value)
        s->max_value = length;
    source_bound_values(s, true);
}

int source_step_unbounded(sqlite3_stmt *stmt)
{
    sqlite3 *db = sqlite3_db_handle(stmt);

    int bound = sqlite3_limit(db, SQLITE_LIMIT_LENGTH, INT_MAX);
    int rc = sqlite3_step(stmt);
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, bound);
    return rc;
}

/* Short steps: a writer in rollback mode leaves gaps shorter than SQLite's own steps of 1 ms and
 * up. */
static int wait_for_lock(void *arg, int tries)
{
    struct source *s = arg;
    const usec step = 100;

    s->waited = tries ? s->waited + step : 0;
    if (s->waited >= s->patience)
        return 0;
    usleep((useconds_t)step);
    return 1;
}

static int configure(struct source *s)
{
    int rc;

    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_handler(s->db, wait_for_lock, s);
    source_allow_values(s, SOURCE_MAX_VALUE);
    /* A column that has gone must be an error, not a string of its name. */
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    if ((rc = source_exec(s, "PRAGMA wal_autocheckpoint=0; PRAGMA secure_delete=OFF;"
                             "PRAGMA cache_size=-1000; PRAGMA foreign_keys=OFF")) != SQLITE_OK)
        return rc;
    rc = prepared(s, KEPT_ROLLBACK);
    return rc == SQLITE_OK ? source_refresh_mode(s) : rc;
}

enum source_problem source_open(const char *path, struct source **out, struct err *err)
{
    struct stat st;
    enum source_problem p = check_path(path, &st, err);

    if (p != SOURCE_OK)
        return p;
    struct source *s = calloc(1, sizeof *s);
    if (!s || !(s->path = strdup(path))) {
        free(s);
        return problem(SOURCE_FAILED, err, "out of memory");
    }
    s->dev = st.st_dev;
    s->ino = st.st_ino;
    int rc = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK)
        rc = configure(s);
    if (rc != SQLITE_OK) {
        p = source_problem_of(s, rc, "opening it", err);
        source_close(s);
        return p;
    }
    if (sqlite3_db_readonly(s->db, "main") == 1) {
        p = problem(SOURCE_READONLY, err,
                    "database %s can only be read: triggers and journal need a writable file",
                    path);
        source_close(s);
        return p;
    }
    *out = s;
    return SOURCE_OK;
}

enum source_problem source_open_patiently(const char *path, usec patience, struct source **out,
                                          struct err *err)
{
    usec until = clock_monotonic() + patience;
    enum source_problem p;

    while ((p = source_open(path, out, err)) == SOURCE_LOCKED && clock_monotonic() < until)
        usleep(USEC_PER_MSEC);
    if (p == SOURCE_OK)
        (*out)->patience = patience;
    return p;
}

void source_close(struct source *s)
{
    if (!s)
        return;
    source_forget_questions(s);
    /* Else the last to leave moves its -wal into the database and removes the other's. */
    if (!beside_same(s))
        sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_close_v2(s->db);
    free(s->path);
    free(s);
}

enum source_problem source_check_file(const struct source *s, struct err *err)
{
    struct stat st;

    if (stat(s->path, &st) < 0)
        return problem(SOURCE_MISSING, err, "database %s is gone: %s", s->path, strerror(errno));
    if (st.st_dev != s->dev || st.st_ino != s->ino)
        return problem(SOURCE_MISSING, err, "database %s was replaced by another file", s->path);
    if (!beside_same(s))
        return problem(SOURCE_MISSING, err,
                       "the -wal or -shm of database %s was removed while it was open", s->path);
    return SOURCE_OK;
}

static sqlite3_file *file_of(const struct source *s)
{
    sqlite3_file *file = NULL;

    return sqlite3_file_control(s->db, "main", SQLITE_FCNTL_FILE_POINTER, &file) == SQLITE_OK &&
                   file && file->pMethods
               ? file
               : NULL;
}

bool source_being_written(const struct source *s)
{
    sqlite3_file *file = file_of(s);
    int reserved = 0;

    return file && file->pMethods->xCheckReservedLock(file, &reserved) == SQLITE_OK && reserved;
}

bool source_change_counter(const struct source *s, uint32_t *counter)
{
    enum { CHANGE_COUNTER = 24 };
    sqlite3_file *file = file_of(s);
    uint8_t b[4];

    if (!file || file->pMethods->xRead(file, b, sizeof b, CHANGE_COUNTER) != SQLITE_OK)
        return false;
    *counter = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    return true;
}

int64_t source_wal_bytes(const struct source *s)
{
    _cleanup_free_ char *wal = NULL;
    struct stat st;

    if (asprintf(&wal, "%s-wal", s->path) < 0) {
        wal = NULL;
        return 0;
    }
    return stat(wal, &st) == 0 ? (int64_t)st.st_size : 0;
}
