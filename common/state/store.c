#include "state/store.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/lockfile.h"
#include "base/plant.h"
#include "state/internal.h"

/* Time first in the index: those whose time is over are paged through by it. */
#define SKIPPED                                                                                    \
    "CREATE INDEX dead_letter_skipped ON dead_letter(t) WHERE reason='" STORE_SKIPPED "';"
#define SUSPECTS                                                                                   \
    "CREATE TABLE suspect(g INTEGER, k BLOB, t INTEGER NOT NULL, o BLOB NOT NULL,"                 \
    " until INTEGER NOT NULL, PRIMARY KEY(g, k)) WITHOUT ROWID;"                                   \
    "CREATE INDEX suspect_until ON suspect(until, g, k);"

/* digest_cache.h */
#define DIGESTS                                                                                    \
    "CREATE TABLE digest_block(id INTEGER PRIMARY KEY, g INTEGER NOT NULL, k BLOB NOT NULL,"       \
    " n INTEGER NOT NULL, v BLOB NOT NULL, UNIQUE(g, k));"

static const char schema[] =
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;"
    "CREATE TABLE target(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE NOT NULL,"
    " identity TEXT NOT NULL DEFAULT '');"
    "CREATE TABLE captured(id INTEGER PRIMARY KEY, name TEXT NOT NULL, layout TEXT NOT NULL,"
    " fingerprint TEXT NOT NULL DEFAULT '', mark TEXT NOT NULL DEFAULT '',"
    " load INTEGER NOT NULL DEFAULT 0, cursor BLOB NOT NULL DEFAULT x'',"
    " cookie INTEGER NOT NULL DEFAULT 0, full INTEGER NOT NULL DEFAULT 0,"
    " target TEXT NOT NULL DEFAULT '', key BLOB NOT NULL DEFAULT x'');" DIGESTS
    "CREATE TABLE dead_letter(id INTEGER PRIMARY KEY AUTOINCREMENT, t INTEGER NOT NULL,"
    " row_key BLOB NOT NULL, tbl TEXT NOT NULL, target TEXT NOT NULL, key TEXT NOT NULL,"
    " col TEXT NOT NULL, reason TEXT NOT NULL, message TEXT NOT NULL, first INTEGER NOT NULL,"
    " last INTEGER NOT NULL, attempts INTEGER NOT NULL, serial INTEGER NOT NULL DEFAULT 0,"
    " g INTEGER, k BLOB, UNIQUE(t, row_key));"
    "CREATE INDEX dead_letter_waiting ON dead_letter(g, k) WHERE k IS NOT NULL;" SKIPPED SUSPECTS;

/* From each earlier version to the next. */
static const char *const upgrades[STORE_SCHEMA_VERSION] = {
    [1] = "ALTER TABLE target ADD COLUMN identity TEXT NOT NULL DEFAULT '';"
          "ALTER TABLE captured ADD COLUMN target TEXT NOT NULL DEFAULT '';"
          "ALTER TABLE captured ADD COLUMN key BLOB NOT NULL DEFAULT x'';"
          "ALTER TABLE dead_letter ADD COLUMN serial INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE dead_letter ADD COLUMN g INTEGER;"
          "ALTER TABLE dead_letter ADD COLUMN k BLOB;"
          "CREATE INDEX dead_letter_waiting ON dead_letter(g, k) WHERE k IS NOT NULL;",
    [2] = SUSPECTS,
    [3] = SKIPPED,
    [4] = DIGESTS, /* and digests_upgrade() */
};

#define TABLE_COLUMNS "id, name, layout, fingerprint, mark, load, cursor, cookie, full, target, key"

static const char *const sql[ST_COUNT] = {
    [ST_BEGIN] = "BEGIN",
    [ST_COMMIT] = "COMMIT",
    [ST_GET] = "SELECT value FROM meta WHERE name=?1",
    [ST_PUT] = "REPLACE INTO meta(name, value) VALUES(?1, ?2)",
    [ST_TARGET_GET] = "SELECT id FROM target WHERE name=?1",
    [ST_TARGET_PUT] = "INSERT INTO target(name) VALUES(?1)",
    [ST_TARGET_IDENTITY] = "SELECT identity FROM target WHERE id=?1",
    [ST_TARGET_IDENTIFY] = "UPDATE target SET identity=?2 WHERE id=?1",
    [ST_TABLE_BY_NAME] = "SELECT " TABLE_COLUMNS
                         " FROM captured WHERE name=?1 COLLATE NOCASE ORDER BY id DESC LIMIT 1",
    [ST_TABLE_BY_ID] = "SELECT " TABLE_COLUMNS " FROM captured WHERE id=?1",
    [ST_TABLE_LIST] = "SELECT " TABLE_COLUMNS " FROM captured WHERE load<>3 ORDER BY id",
    [ST_TABLE_LIST_GONE] = "SELECT " TABLE_COLUMNS " FROM captured WHERE load=3 ORDER BY id",
    [ST_TABLE_NEW] = "INSERT INTO captured(id, name, layout) VALUES(max(?1, coalesce((SELECT "
                     "max(id) FROM captured), 0)) + 1, ?2, ?3)",
    [ST_TABLE_ADOPT] = "INSERT INTO captured(id, name, layout) VALUES(?1, ?2, ?3)",
    [ST_TABLE_SAVE] = "UPDATE captured SET name=?2, layout=?3, fingerprint=?4, mark=?5, load=?6, "
                      "cursor=?7, cookie=?8, full=?9, target=?10, key=?11 WHERE id=?1",
    [ST_TABLE_PROGRESS] = "UPDATE captured SET load=?2, cursor=?3, cookie=?4, full=full AND ?2<>2 "
                          "WHERE id=?1",
    [ST_DIGEST_BLOCK] =
        "SELECT id, k, n, v FROM digest_block WHERE g=?1 AND k<=?2 ORDER BY k DESC LIMIT 1",
    [ST_DIGEST_NEXT] = "SELECT k FROM digest_block WHERE g=?1 AND k>?2 ORDER BY k LIMIT 1",
    [ST_DIGEST_ADD] = "INSERT INTO digest_block(id, n, v, g, k) VALUES(?5, ?1, ?2, ?3, ?4)",
    [ST_DIGEST_WRITE] = "UPDATE digest_block SET n=?1, v=?2 WHERE id=?3",
    [ST_DIGEST_REMOVE] = "DELETE FROM digest_block WHERE id=?1",
    [ST_DIGEST_CLEAR] = "DELETE FROM digest_block WHERE g=?1",
    [ST_DIGEST_COUNT] = "SELECT coalesce(sum(n), 0) FROM digest_block WHERE g=?1",
    [ST_DIGEST_TARGET] = "SELECT g FROM digest_block WHERE g>?1 ORDER BY g LIMIT 1",
    [ST_SUSPECT_NEW] =
        "INSERT OR IGNORE INTO suspect(g, k, t, o, until) VALUES(?1, ?2, ?3, ?4, ?5)",
    [ST_SUSPECT_AGAIN] = "UPDATE suspect SET t=?3, o=?4, until=max(until, ?5) WHERE g=?1 AND k=?2",
    [ST_SUSPECT_HAS] = "SELECT 1 FROM suspect WHERE g=?1 AND k=?2",
    [ST_SUSPECT_CLEAR] = "DELETE FROM suspect WHERE g=?1 AND k=?2 AND until<=?3",
    [ST_SUSPECT_FIRST] = "SELECT until FROM suspect ORDER BY until LIMIT 1",
    [ST_SUSPECT_PAGE] = "SELECT g, k, t, o, until FROM suspect WHERE until<=?1 AND "
                        "(until, g, k)>(?2, ?3, ?4) ORDER BY until, g, k LIMIT ?5",
    [ST_SUSPECT_RAISE] = "UPDATE suspect SET until=?1 WHERE until<?1",
    [ST_SUSPECT_COUNT_OF] = "SELECT count(*) FROM suspect WHERE t=?1",
    [ST_DEAD_FIND] = "SELECT id, serial FROM dead_letter WHERE t=?1 AND row_key=?2",
    [ST_DEAD_INSERT] =
        "INSERT INTO dead_letter(t, row_key, tbl, target, key, col, reason, message, "
        "first, last, attempts, serial, g, k) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, 1, "
        "?10, ?11, ?12)",
    [ST_DEAD_UPDATE] = "UPDATE dead_letter SET tbl=?3, target=?4, key=?5, col=?6, reason=?7, "
                       "message=?8, last=?9, attempts=attempts+1, serial=?10, g=?11, k=?12 "
                       "WHERE t=?1 AND row_key=?2",
    [ST_DEAD_CLEAR] = "DELETE FROM dead_letter WHERE t=?1 AND row_key=?2 AND serial<=?3",
    [ST_DEAD_DELETE] = "DELETE FROM dead_letter WHERE id=?1",
    [ST_DEAD_COUNT] = "SELECT count(*) FROM dead_letter WHERE t=?1",
    [ST_DEAD_LIST] = "SELECT id, t, row_key, tbl, target, key, col, reason, message, first, last, "
                     "attempts FROM dead_letter WHERE ?1=0 OR id=?1 ORDER BY id",
    [ST_DEAD_WAITING] = "SELECT id, t, row_key, tbl, target, key, col, reason, message, first, "
                        "last, attempts FROM dead_letter WHERE g=?1 AND k=?2 ORDER BY id",
    [ST_ROW_AWAITED] = "SELECT 1 FROM dead_letter WHERE g=?1 AND k=?2 LIMIT 1",
    [ST_ROW_CAME] = "UPDATE dead_letter SET g=?3 WHERE g=?1 AND k=?2",
    [ST_ROWS_CAME] = "UPDATE dead_letter SET g=?3 WHERE g=?1 AND k IS NOT NULL AND (?2=0 OR t=?2)",
    [ST_ROWS_DUE] = "SELECT id, t, row_key, k FROM dead_letter WHERE g=?1 AND k IS NOT NULL AND "
                    "(k, id)>(?2, ?3) ORDER BY k, id LIMIT ?4",
    [ST_SKIPPED_COUNT] =
        "SELECT count(*) FROM dead_letter WHERE reason='" STORE_SKIPPED "' AND (?1=0 OR t=?1)",
};

int store_errno(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
        return 0;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_BUSY:
        return -EBUSY;
    case SQLITE_NOTADB:
        return -EINVAL;
    default:
        return -EIO;
    }
}

const char *store_error(const struct store *s)
{
    return s->error[0] ? s->error : sqlite3_errmsg(s->db);
}

void store_release_memory(struct store *s)
{
    digests_release(s);
    sqlite3_db_release_memory(s->db);
}

const char *store_path(const struct store *s)
{
    return s->path;
}

int store_bind_blob(sqlite3_stmt *stmt, int at, const void *bytes, size_t n)
{
    return n ? sqlite3_bind_blob(stmt, at, bytes, (int)n, SQLITE_STATIC)
             : sqlite3_bind_zeroblob(stmt, at, 0);
}

sqlite3_stmt *store_statement(struct store *s, enum store_statement which)
{
    if (!s->statements[which])
        sqlite3_prepare_v3(s->db, sql[which], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[which],
                           NULL);
    else
        sqlite3_reset(s->statements[which]);
    return s->statements[which];
}

/* --- transactions ----------------------------------------------------------------------------- */

static int exec(struct store *s, const char *text)
{
    return sqlite3_exec(s->db, text, NULL, NULL, NULL);
}

void store_rollback(struct store *s)
{
    digests_end_writing(s);
    if (!sqlite3_get_autocommit(s->db))
        exec(s, "ROLLBACK");
    s->dirty = false;
    digests_void(s);
    s->dead_letters = store_count_dead_letters(s);
    s->skipped = -1;
    s->suspects = store_count_suspects(s);
}

bool store_dirty(const struct store *s)
{
    return s->dirty;
}

static int write_failed(struct store *s, int rc)
{
    snprintf(s->error, sizeof s->error, "%s", sqlite3_errmsg(s->db));
    store_rollback(s);
    return store_errno(rc);
}

/* BEGIN or COMMIT. */
static int turn(struct store *s, enum store_statement which)
{
    sqlite3_stmt *stmt = store_statement(s, which);
    int rc = stmt ? sqlite3_step(stmt) : SQLITE_NOMEM;

    sqlite3_reset(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int store_begin(struct store *s)
{
    if (!s->dirty && !sqlite3_get_autocommit(s->db)) /* a rollback had no memory */
        exec(s, "ROLLBACK");
    if (s->dirty && sqlite3_get_autocommit(s->db)) { /* a read has failed and rolled all back */
        snprintf(s->error, sizeof s->error, "the transaction was rolled back");
        store_rollback(s);
        return -EIO;
    }
    if (s->dirty)
        return 0;
    int rc = turn(s, ST_BEGIN);
    if (rc != SQLITE_OK)
        return write_failed(s, rc);
    s->dirty = true;
    return 0;
}

int store_run(struct store *s, sqlite3_stmt *stmt)
{
    if (!stmt)
        return write_failed(s, SQLITE_NOMEM);
    int begun = store_begin(s);
    int rc = begun == 0 ? sqlite3_step(stmt) : SQLITE_OK;
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    if (begun < 0)
        return begun;
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : write_failed(s, rc);
}

int store_failed(struct store *s, int rc)
{
    if (rc == -ENOMEM)
        snprintf(s->error, sizeof s->error, "out of memory");
    store_rollback(s);
    return rc;
}

int store_commit(struct store *s, struct err *err)
{
    int rc;

    if (!s->dirty)
        return 0;
    if ((rc = digests_write(s)) < 0) {
        store_failed(s, rc);
    } else {
        int code = turn(s, ST_COMMIT);
        if (code == SQLITE_OK) {
            s->dirty = false;
            return 0;
        }
        rc = write_failed(s, code);
    }
    return err_set(err, rc, "state file %s cannot be written: %s", s->path, s->error);
}

int store_wal_fd(struct store *s)
{
    _cleanup_free_ char *wal = NULL;

    if (s->wal_fd >= 0)
        return s->wal_fd;
    if (asprintf(&wal, "%s-wal", s->path) < 0) {
        wal = NULL;
        return -1;
    }
    /* SQLite takes its locks on the database file and -shm, never on -wal, so closing this
     * descriptor later costs no lock. */
    s->wal_fd = open(wal, O_RDONLY | O_CLOEXEC);
    return s->wal_fd;
}

void store_wal_unsynced(struct store *s)
{
    s->wal_gap = true;
}

/* What could not be written the kernel gives up, and says so once: the next sync succeeds, although
 * that is missing on the disk, and after a power failure the -wal counts only up to there. So all
 * of it is written once more, as it is. An SQLite result code. */
static int write_wal_again(struct store *s)
{
    enum { PIECE = 64 * 1024 };
    _cleanup_free_ char *piece = malloc(PIECE);
    sqlite3_file *wal = NULL;
    sqlite3_int64 size = 0;

    if (!piece)
        return SQLITE_NOMEM;
    int rc = sqlite3_file_control(s->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
    if (rc != SQLITE_OK || !wal || !wal->pMethods)
        return rc;
    rc = wal->pMethods->xFileSize(wal, &size);
    for (sqlite3_int64 at = 0; rc == SQLITE_OK && at < size; at += PIECE) {
        int n = size - at < PIECE ? (int)(size - at) : PIECE;
        rc = wal->pMethods->xRead(wal, piece, n, at);
        if (rc == SQLITE_OK)
            rc = wal->pMethods->xWrite(wal, piece, n, at);
    }
    return rc;
}

int store_sync(struct store *s, struct err *err)
{
    /* Before a commit, which may move all of it into the file: that must not be cut short. */
    int again = s->wal_gap ? write_wal_again(s) : SQLITE_OK;
    int rc = again == SQLITE_OK
                 ? store_commit(s, err)
                 : err_set(err, store_errno(again), "state file %s cannot be written: %s", s->path,
                           sqlite3_errstr(again));
    int fd = rc == 0 ? store_wal_fd(s) : -1;

    if (rc == 0 && fd >= 0 && fdatasync(fd) < 0) {
        store_wal_unsynced(s);
        return err_set(err, -errno, "state file %s cannot be made durable: %s", s->path,
                       strerror(errno));
    }
    s->wal_gap = s->wal_gap && (rc < 0 || fd < 0);
    return rc;
}

/* --- opening ---------------------------------------------------------------------------------- */

static int query_int(struct store *s, const char *text, int64_t *out)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(s->db, text, -1, &stmt, NULL);

    if (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        *out = sqlite3_column_int64(stmt, 0);
        rc = SQLITE_OK;
    }
    sqlite3_finalize(stmt);
    return rc;
}

enum { APPLICATION_ID = 0x73796e63 }; /* "sync" */

/* `from`: the version that is there, 0 for an empty file. */
static int make_schema(struct store *s, int64_t from)
{
    char text[120];
    int rc = exec(s, "BEGIN IMMEDIATE");

    snprintf(text, sizeof text, "PRAGMA application_id=%d; PRAGMA user_version=%d", APPLICATION_ID,
             STORE_SCHEMA_VERSION);
    if (rc == SQLITE_OK && from == 0)
        rc = exec(s, schema);
    for (int64_t v = from; rc == SQLITE_OK && v > 0 && v < STORE_SCHEMA_VERSION; v++)
        rc = v == 4 ? digests_upgrade(s, upgrades[v]) : exec(s, upgrades[v]);
    if (rc == SQLITE_OK)
        rc = exec(s, text);
    return rc == SQLITE_OK ? exec(s, "COMMIT") : rc;
}

static int check_schema(struct store *s, struct err *err)
{
    int64_t id = 0, version = 0, tables = 0;
    int rc = query_int(s, "PRAGMA application_id", &id);

    if (rc == SQLITE_OK)
        rc = query_int(s, "PRAGMA user_version", &version);
    if (rc == SQLITE_OK)
        rc = query_int(s, "SELECT count(*) FROM sqlite_schema", &tables);
    if (rc == SQLITE_OK && tables == 0 && id == 0)
        rc = make_schema(s, 0);
    else if (rc == SQLITE_OK && id != APPLICATION_ID)
        return err_set(err, -EINVAL,
                       "%s is not a state file of syncd; set [state] path to another place",
                       s->path);
    else if (rc == SQLITE_OK && version > STORE_SCHEMA_VERSION)
        return err_set(err, -EINVAL,
                       "state file %s was written by a newer syncd (version %lld, this one knows "
                       "%d); install that version again",
                       s->path, (long long)version, STORE_SCHEMA_VERSION);
    else if (rc == SQLITE_OK && version < STORE_SCHEMA_VERSION)
        rc = make_schema(s, version);
    if (rc != SQLITE_OK)
        return err_set(err, store_errno(rc), "state file %s cannot be used: %s", s->path,
                       sqlite3_errmsg(s->db));
    return 0;
}

static int prepare_database(struct store *s, struct err *err)
{
    int rc = sqlite3_open_v2(
        s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

    /* EXCLUSIVE: no -shm file and no locking calls; the lock file already keeps others out. A file
     * that is not ours is left as it is, so it is looked at before its journal mode is set. */
    if (rc == SQLITE_OK)
        rc = exec(s, "PRAGMA locking_mode=EXCLUSIVE");
    if (rc == SQLITE_OK) {
        int checked = check_schema(s, err);
        if (checked < 0)
            return checked;
        rc = exec(s, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                     "PRAGMA secure_delete=OFF; PRAGMA cache_size=-1000");
    }
    if (rc != SQLITE_OK)
        rc = err_set(err, store_errno(rc), "state file %s cannot be opened: %s", s->path,
                     s->db ? sqlite3_errmsg(s->db) : "out of memory");
    return rc;
}

static int open_database(struct store *s, struct err *err)
{
    mode_t before = umask(0077);
    int rc = prepare_database(s, err);

    umask(before);
    return rc;
}

int store_open(const char *path, struct store **out, struct err *err)
{
    struct store *s = calloc(1, sizeof *s);
    int rc;

    if (!s)
        return err_set(err, -ENOMEM, "out of memory");
    s->lock_fd = s->wal_fd = -1;
    s->wal_gap = true; /* a process that was killed may have left one */
    s->path = strdup(path);
    if (!s->path || asprintf(&s->lock_path, "%s.lock", path) < 0) {
        s->lock_path = NULL;
        rc = err_set(err, -ENOMEM, "out of memory");
    } else if ((rc = lockfile_take(s->lock_path, s->path, &s->lock_fd, err)) == 0) {
        rc = open_database(s, err);
    }
    if (rc < 0) {
        store_close(s);
        return rc;
    }
    if (PLANTED(SUSPECTS_FORGOTTEN))
        exec(s, "DELETE FROM suspect");
    s->dead_letters = store_count_dead_letters(s);
    s->skipped = -1;
    s->suspects = store_count_suspects(s);
    if (s->dead_letters < 0 || s->suspects < 0 ||
        (s->dead_letters && exec(s, "UPDATE dead_letter SET serial=0") != SQLITE_OK)) {
        rc = err_set(err, -EIO, "state file %s cannot be used: %s", path, store_error(s));
        store_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    if (s->db && s->dirty)
        store_commit(s, NULL);
    digests_void(s);
    for (int i = 0; i < ST_COUNT; i++)
        sqlite3_finalize(s->statements[i]);
    sqlite3_close_v2(s->db);
    if (s->wal_fd >= 0)
        close(s->wal_fd);
    if (s->lock_fd >= 0)
        close(s->lock_fd); /* the file stays: removing it would race with a successor's lock */
    free(s->path);
    free(s->lock_path);
    free(s);
}
