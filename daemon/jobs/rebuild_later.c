/* Items whose pieces are still to be read: their keys wait in the file. */
#include <errno.h>
#include <string.h>

#include "jobs/rebuild_internal.h"
#include "mapping/item.h"
#include "mapping/ours.h"

static struct table_rebuild *table_of(struct rebuild *r, const char *target)
{
    for (size_t i = 0; i < r->table_count; i++)
        if (r->tables[i].plan && strcmp(r->tables[i].plan->target, target) == 0)
            return &r->tables[i];
    return NULL;
}

const struct key_schema *rebuild_schema(const struct rebuild *r, const char *target)
{
    const struct table_rebuild *t = table_of((struct rebuild *)r, target);

    return t ? &t->plan->schema : NULL;
}

int rebuild_run(struct rebuild *r, const char *sql, const char *a, const char *b, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = rebuild_begin(r, err);

    if (rc < 0)
        return rc;
    rc = sqlite3_prepare_v2(r->db, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(stmt, 1, a, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(stmt, 2, b, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? 0 : rebuild_sqlite_failed(r, rc, "keeping its progress", err);
}

int rebuild_put_off(struct rebuild *r, const char *target, const json_t *item, struct err *err)
{
    _cleanup_buf_ struct buf key = {0}, json = {0};
    const struct table_rebuild *t = table_of(r, target);
    int rc = t ? item_key_of_json(&t->plan->schema, item, &key) : -EINVAL;

    if (rc == 0)
        rc = item_key_json(&t->plan->schema, key.data, key.len, &json);
    if (rc == -ENOMEM)
        return err_set(err, rc, "out of memory");
    return rc < 0 ? 0
                  : rebuild_run(r, "INSERT OR IGNORE INTO _syncd_restore_later VALUES(?1, ?2)",
                                target, json.data, err);
}

int rebuild_next_put_off(struct rebuild *r, const char *target, struct buf *key, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(
        r->db, "SELECT item_key FROM _syncd_restore_later WHERE target = ?1 LIMIT 1", -1, &stmt,
        NULL);

    buf_clear(key);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(stmt, 1, target, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        buf_append(key, sqlite3_column_text(stmt, 0), (size_t)sqlite3_column_bytes(stmt, 0));
    sqlite3_finalize(stmt);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return rebuild_sqlite_failed(r, rc, "reading its progress", err);
    return buf_ok(key) ? 0 : err_set(err, -ENOMEM, "out of memory");
}

int rebuild_put_off_done(struct rebuild *r, const char *target, const char *key, const char *reason,
                         struct err *err)
{
    int rc = rebuild_run(r, "DELETE FROM _syncd_restore_later WHERE target = ?1 AND item_key = ?2",
                         target, key, err);

    return rc == 0 && reason ? rebuild_damaged(r, target, key, reason, err) : rc;
}

int rebuild_damaged(struct rebuild *r, const char *target, const char *key, const char *reason,
                    struct err *err)
{
    struct table_rebuild *t = table_of(r, target);
    int rc = rebuild_begin(r, err);

    return rc == 0 && t ? rebuild_keep_problem(r, t, key, reason, false, err) : rc;
}
