/* Once the rows are in: the rest of the schema, and whether the whole is sound. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/text.h"
#include "jobs/rebuild_internal.h"

static bool is_there(struct rebuild *r, const struct schema_object *o)
{
    sqlite3_stmt *stmt = NULL;
    bool there = false;

    if (sqlite3_prepare_v2(r->db, "SELECT 1 FROM sqlite_schema WHERE type = ?1 AND name = ?2", -1,
                           &stmt, NULL) == SQLITE_OK) {
        sqlite3_bind_text(stmt, 1, o->type, -1, SQLITE_STATIC);
        sqlite3_bind_text(stmt, 2, o->name, -1, SQLITE_STATIC);
        there = sqlite3_step(stmt) == SQLITE_ROW;
    }
    sqlite3_finalize(stmt);
    return there;
}

/* What a virtual table keeps its data in, which comes with it. */
static bool is_shadow(const struct rebuild *r, const struct schema_object *o)
{
    for (size_t i = 0; i < r->catalog->count; i++)
        if (strcasecmp(r->catalog->tables[i].name, o->table) == 0)
            return r->catalog->tables[i].kind == TABLE_SHADOW;
    return false;
}

/* In the order in which they were made; each is durable by itself, so that a killed process goes on
 * with the next. */
static int make_objects(struct rebuild *r, struct rebuild_check *out, rebuild_unmade_fn *unmade,
                        void *arg, struct err *err)
{
    for (size_t i = 0; i < r->dump->object_count; i++) {
        const struct schema_object *o = &r->dump->objects[i];
        struct err text;
        if (is_there(r, o) || is_shadow(r, o))
            continue;
        int rc = sqlite3_exec(r->db, o->sql, NULL, NULL, NULL);
        if (rc == SQLITE_OK)
            continue;
        if ((rc & 0xff) != SQLITE_ERROR && (rc & 0xff) != SQLITE_CONSTRAINT)
            return rebuild_sqlite_failed(r, rc, "making its indexes", err);
        err_set(&text, 0, "%s \"%s\" cannot be made: %s", o->type, o->name, sqlite3_errmsg(r->db));
        out->unmade++;
        if (unmade)
            unmade(arg, text.text);
    }
    return 0;
}

/* AUTOINCREMENT goes on behind the highest key that came back, or that was known. */
static int raise_sequences(struct rebuild *r, struct err *err)
{
    int rc = SQLITE_OK;

    if (!rebuild_int(r, "SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_sequence'", NULL,
                     0))
        return 0;
    for (size_t i = 0; rc == SQLITE_OK && i < r->dump->sequence_count; i++) {
        const struct schema_sequence *s = &r->dump->sequences[i];
        char *sql = sqlite3_mprintf(
            "UPDATE sqlite_sequence SET seq = max(seq, %lld) WHERE name = %Q; "
            "INSERT INTO sqlite_sequence(name, seq) SELECT %Q, %lld WHERE NOT EXISTS "
            "(SELECT 1 FROM sqlite_sequence WHERE name = %Q)",
            (long long)s->seq, s->table, s->table, (long long)s->seq, s->table);
        rc = sql ? sqlite3_exec(r->db, sql, NULL, NULL, NULL) : SQLITE_NOMEM;
        sqlite3_free(sql);
    }
    return rc == SQLITE_OK ? 0 : rebuild_sqlite_failed(r, rc, "setting its sequences", err);
}

static int check_integrity(struct rebuild *r, struct rebuild_check *out, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(r->db, "PRAGMA integrity_check(1)", -1, &stmt, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        text_copy(out->integrity, sizeof out->integrity,
                  (const char *)sqlite3_column_text(stmt, 0));
    else if ((rc & 0xff) == SQLITE_ERROR) /* a function that only the application has */
        text_copy(out->integrity, sizeof out->integrity, sqlite3_errmsg(r->db));
    bool said = out->integrity[0] != '\0';
    int failed = said ? 0 : rebuild_sqlite_failed(r, rc, "checking it", err);
    sqlite3_finalize(stmt);
    return failed;
}

static void count_rows(struct rebuild *r, struct rebuild_check *out)
{
    for (size_t i = 0; i < r->table_count; i++) {
        const struct rebuild_table *t = &r->tables[i].view;
        char *sql = t->wanted ? sqlite3_mprintf("SELECT count(*) FROM main.\"%w\"", t->name) : NULL;
        int64_t there = sql ? rebuild_int(r, sql, NULL, 0) : t->rows;
        out->missing += there < t->rows ? t->rows - there : there - t->rows;
        sqlite3_free(sql);
    }
    out->foreign_keys = rebuild_int(r, "SELECT count(*) FROM pragma_foreign_key_check()", NULL, 0);
}

static int last_pragmas(struct rebuild *r, struct err *err)
{
    const struct schema_dump *d = r->dump;
    char *sql = sqlite3_mprintf(
        "BEGIN IMMEDIATE; DROP TABLE _syncd_restore; DROP TABLE _syncd_restore_table; "
        "DROP TABLE _syncd_restore_segment; DROP TABLE _syncd_restore_problem; "
        "DROP TABLE _syncd_restore_later; "
        "PRAGMA application_id=%lld; PRAGMA user_version=%lld; COMMIT; PRAGMA journal_mode=%s;",
        (long long)d->application_id, (long long)d->user_version,
        strcasecmp(d->journal_mode, "wal") == 0 ? "WAL" : "DELETE");
    int rc = sql ? rebuild_exec(r, sql, err) : err_set(err, -ENOMEM, "out of memory");

    sqlite3_free(sql);
    return rc;
}

static int make_durable(const char *path, struct err *err)
{
    _cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0 || fsync(fd) < 0)
        return err_set(err, -errno, "%s cannot be made durable: %s", path, strerror(errno));
    return 0;
}

int rebuild_finish(struct rebuild *r, struct rebuild_check *out, rebuild_unmade_fn *unmade,
                   void *arg, struct err *err)
{
    *out = (struct rebuild_check){0};
    int rc = rebuild_commit(r, err);
    if (rc == 0)
        rc = make_objects(r, out, unmade, arg, err);
    if (rc == 0)
        rc = raise_sequences(r, err);
    if (rc == 0)
        rc = check_integrity(r, out, err);
    if (rc < 0)
        return rc;
    count_rows(r, out);
    rebuild_statements_end(r);
    rc = last_pragmas(r, err);
    if (rc < 0)
        return rc;
    int closed = sqlite3_close(r->db);
    if (closed != SQLITE_OK)
        return rebuild_sqlite_failed(r, closed, "closing it", err);
    r->db = NULL;
    return make_durable(r->path, err);
}
