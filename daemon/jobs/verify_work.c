#include "jobs/verify_work.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mapping/item.h"

enum statement {
    MEET,
    MET,
    CLAIM,
    SUSPECT,
    SUSPECT_SURE,
    CLEAR,
    COUNT,
    PAGE,
    WAIT_FOR,
    WAITS,
    MEND,
    MENDS,
    STATEMENTS,
};

static const char mends[] = "SELECT key,t,row,serial FROM mend WHERE t=?1 AND extra=?2 AND "
                            "serial>?3 ORDER BY serial LIMIT ?4";

static const char *const texts[STATEMENTS] = {
    [MEET] = "INSERT INTO met(h) VALUES(?1)",
    [MET] = "SELECT 1 FROM met WHERE h=?1",
    [CLAIM] = "INSERT OR IGNORE INTO claimed(h) VALUES(?1)",
    [SUSPECT] = "INSERT OR IGNORE INTO suspect(key,t,row) VALUES(?1,?2,?3)",
    [SUSPECT_SURE] = "INSERT OR REPLACE INTO suspect(key,t,row) VALUES(?1,?2,?3)",
    [CLEAR] = "DELETE FROM suspect WHERE key=?1",
    [COUNT] = "SELECT count(*) FROM suspect",
    [PAGE] = "SELECT key,t,row FROM suspect WHERE key>?1 ORDER BY key LIMIT ?2",
    [WAIT_FOR] = "INSERT OR IGNORE INTO waiting(h) VALUES(?1)",
    [WAITS] = "SELECT 1 FROM waiting WHERE h=?1",
    [MEND] = "INSERT INTO mend(key,t,row,extra) VALUES(?1,?2,?3,?4)",
    [MENDS] = mends,
};

struct work {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    bool asked; /* the index of those that were met is made */
};

/* Nothing of it outlives the process, so nothing need be safe in it. */
static const char schema[] =
    "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-16384;"
    "CREATE TABLE met(h INTEGER);"
    "CREATE TABLE claimed(h INTEGER PRIMARY KEY);"
    "CREATE TABLE suspect(key BLOB PRIMARY KEY, t INTEGER, row BLOB) WITHOUT ROWID;"
    "CREATE TABLE waiting(h INTEGER PRIMARY KEY);"
    "CREATE TABLE mend(serial INTEGER PRIMARY KEY, key BLOB, t INTEGER, row BLOB, extra INTEGER);"
    "BEGIN";

int work_open(const char *dir, struct work **out, struct err *err)
{
    struct work *w = calloc(1, sizeof *w);

    if (!w)
        return err_set(err, -EIO, "out of memory");
    if (dir && access(dir, W_OK) == 0)
        setenv("SQLITE_TMPDIR", dir, 0);
    int rc = sqlite3_open("", &w->db);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(w->db, schema, NULL, NULL, NULL);
    for (size_t i = 0; rc == SQLITE_OK && i < STATEMENTS; i++)
        rc = sqlite3_prepare_v3(w->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &w->statements[i],
                                NULL);
    if (rc != SQLITE_OK) {
        err_set(err, -EIO, "a temporary file cannot be made: %s (set TMPDIR)", work_error(w));
        work_close(w);
        return -EIO;
    }
    *out = w;
    return 0;
}

void work_close(struct work *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(w->statements[i]);
    sqlite3_close(w->db);
    free(w);
}

const char *work_error(const struct work *w)
{
    return sqlite3_errmsg(w->db);
}

static int run(struct work *w, const char *sql)
{
    return sqlite3_exec(w->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : -EIO;
}

int work_reset(struct work *w)
{
    w->asked = false;
    return run(w, "DROP INDEX IF EXISTS met_h; DELETE FROM met; DELETE FROM claimed;"
                  "DELETE FROM suspect; DELETE FROM waiting");
}

/* 1: a row; 0: none; -EIO. The statement is reset by the next use of it, or by done(). */
static int step(sqlite3_stmt *s)
{
    int rc = sqlite3_step(s);

    return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : -EIO;
}

static int done(sqlite3_stmt *s, int rc)
{
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
    return rc;
}

static void bind_bytes(sqlite3_stmt *s, int at, const void *bytes, size_t n)
{
    if (n)
        sqlite3_bind_blob(s, at, bytes, (int)n, SQLITE_STATIC);
    else
        sqlite3_bind_zeroblob(s, at, 0);
}

/* --- digests ---------------------------------------------------------------------------------- */

static int digest_of(const void *key, size_t n, int64_t *out)
{
    uint8_t digest[DIGEST_SIZE];

    if (item_digest(key, n, digest) < 0)
        return -EIO;
    memcpy(out, digest, sizeof *out);
    return 0;
}

static int with_digest(struct work *w, enum statement which, const void *key, size_t n, bool *yes)
{
    sqlite3_stmt *s = w->statements[which];
    int64_t h;

    if (digest_of(key, n, &h) < 0)
        return -EIO;
    sqlite3_bind_int64(s, 1, h);
    int rc = step(s);
    if (rc >= 0 && yes)
        *yes = rc == 1;
    return done(s, rc < 0 ? rc : 0);
}

int work_meet(struct work *w, const void *key, size_t n)
{
    return with_digest(w, MEET, key, n, NULL);
}

int work_met(struct work *w, const void *key, size_t n, bool *yes)
{
    if (!w->asked && run(w, "CREATE INDEX met_h ON met(h)") < 0)
        return -EIO;
    w->asked = true;
    return with_digest(w, MET, key, n, yes);
}

int work_claim(struct work *w, const void *key, size_t n, bool *yes)
{
    int rc = with_digest(w, CLAIM, key, n, NULL);

    *yes = rc == 0 && sqlite3_changes(w->db) == 0;
    return rc;
}

int work_wait_for(struct work *w, const void *key, size_t n)
{
    return with_digest(w, WAIT_FOR, key, n, NULL);
}

int work_waits(struct work *w, const void *key, size_t n, bool *yes)
{
    return with_digest(w, WAITS, key, n, yes);
}

int work_forget_waiting(struct work *w)
{
    return run(w, "DELETE FROM waiting");
}

/* --- keys ------------------------------------------------------------------------------------- */

static void bind_key(sqlite3_stmt *s, const struct work_key *k)
{
    bind_bytes(s, 1, k->key, k->key_len);
    sqlite3_bind_int64(s, 2, k->table);
    bind_bytes(s, 3, k->row, k->row_len);
}

int work_suspect(struct work *w, const struct work_key *k, bool sure)
{
    sqlite3_stmt *s = w->statements[sure ? SUSPECT_SURE : SUSPECT];

    bind_key(s, k);
    return done(s, step(s));
}

int work_clear(struct work *w, const void *key, size_t n)
{
    sqlite3_stmt *s = w->statements[CLEAR];

    bind_bytes(s, 1, key, n);
    return done(s, step(s));
}

int64_t work_suspects(struct work *w)
{
    sqlite3_stmt *s = w->statements[COUNT];
    int64_t n = step(s) == 1 ? sqlite3_column_int64(s, 0) : -EIO;

    done(s, 0);
    return n;
}

static void pack(sqlite3_stmt *s, struct buf *out)
{
    const struct work_key head = {.key_len = (size_t)sqlite3_column_bytes(s, 0),
                                  .row_len = (size_t)sqlite3_column_bytes(s, 2),
                                  .table = (unsigned)sqlite3_column_int64(s, 1)};

    buf_append(out, &head, sizeof head);
    if (head.key_len)
        buf_append(out, sqlite3_column_blob(s, 0), head.key_len);
    if (head.row_len)
        buf_append(out, sqlite3_column_blob(s, 2), head.row_len);
}

int work_page(struct work *w, const struct buf *after, int limit, struct buf *out)
{
    sqlite3_stmt *s = w->statements[PAGE];
    int n = 0, rc;

    bind_bytes(s, 1, after->data, after->len);
    sqlite3_bind_int(s, 2, limit);
    while ((rc = step(s)) == 1) {
        pack(s, out);
        n++;
    }
    return done(s, rc < 0 || !buf_ok(out) ? -EIO : n);
}

bool work_next(const struct buf *page, size_t *at, struct work_key *out)
{
    if (*at >= page->len)
        return false;
    memcpy(out, page->data + *at, sizeof *out);
    out->key = page->data + *at + sizeof *out;
    out->row = page->data + *at + sizeof *out + out->key_len;
    *at += sizeof *out + out->key_len + out->row_len;
    return true;
}

int work_mend(struct work *w, const struct work_key *k, bool extra)
{
    sqlite3_stmt *s = w->statements[MEND];

    bind_key(s, k);
    sqlite3_bind_int(s, 4, extra);
    return done(s, step(s));
}

int work_mends(struct work *w, unsigned table, bool extra, int limit, int64_t *serial,
               struct buf *out)
{
    sqlite3_stmt *s = w->statements[MENDS];
    int n = 0, rc;

    sqlite3_bind_int64(s, 1, table);
    sqlite3_bind_int(s, 2, extra);
    sqlite3_bind_int64(s, 3, *serial);
    sqlite3_bind_int(s, 4, limit);
    while ((rc = step(s)) == 1) {
        pack(s, out);
        *serial = sqlite3_column_int64(s, 3);
        n++;
    }
    return done(s, rc < 0 || !buf_ok(out) ? -EIO : n);
}
