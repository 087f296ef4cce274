#include "source/journal.h"

#include <stdlib.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/plant.h"
#include "source/rows.h"

enum { ACK_CHUNK = 1000, EMPTY_AT_ONCE = 10000 };

static int prepare(struct journal *j, const char *tail, sqlite3_stmt **out)
{
    sqlite3_str *sql = sqlite3_str_new(j->source->db);

    sqlite3_str_appendall(sql, "SELECT seq,t");
    for (unsigned i = 0; i < j->keys; i++)
        sqlite3_str_appendf(sql, ",k%u", i);
    sqlite3_str_appendf(sql, " FROM main._syncd_journal %s", tail);
    char *text = sqlite3_str_finish(sql);
    int rc = text
                 ? sqlite3_prepare_v3(j->source->db, text, -1, SQLITE_PREPARE_PERSISTENT, out, NULL)
                 : SQLITE_NOMEM;
    sqlite3_free(text);
    return rc;
}

int journal_open(struct source *s, unsigned keys, struct journal **out)
{
    struct journal *j = calloc(1, sizeof *j);

    if (!j)
        return SQLITE_NOMEM;
    j->source = s;
    j->keys = keys;
    int rc = prepare(j, "WHERE seq>?1 ORDER BY seq LIMIT ?2", &j->read);
    if (rc == SQLITE_OK)
        rc = prepare(j, "WHERE seq>?1 AND seq<=?3 AND t=?4 ORDER BY seq LIMIT ?2", &j->read_table);
    if (rc == SQLITE_OK)
        rc = prepare(j, "ORDER BY seq LIMIT 1", &j->head);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v3(s->db, "SELECT max(seq) FROM main._syncd_journal", -1,
                                SQLITE_PREPARE_PERSISTENT, &j->tail, NULL);
    if (rc == SQLITE_OK)
        *out = j;
    else
        journal_close(j);
    return rc;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    sqlite3_finalize(j->read);
    sqlite3_finalize(j->read_table);
    sqlite3_finalize(j->head);
    sqlite3_finalize(j->tail);
    free(j);
}

sqlite3_stmt *journal_entries(struct journal *j, int64_t after, int limit, uint32_t table,
                              int64_t until)
{
    sqlite3_stmt *stmt = table ? j->read_table : j->read;

    sqlite3_bind_int64(stmt, 1, after);
    sqlite3_bind_int(stmt, 2, limit);
    if (table) {
        sqlite3_bind_int64(stmt, 3, until);
        sqlite3_bind_int64(stmt, 4, table);
    }
    return stmt;
}

int journal_next(sqlite3_stmt *entries, struct journal_entry *out)
{
    int rc = source_step_unbounded(entries);

    if (rc == SQLITE_ROW) {
        out->seq = sqlite3_column_int64(entries, 0);
        out->table = (uint32_t)sqlite3_column_int64(entries, 1);
    }
    return rc;
}

void journal_key(sqlite3_stmt *entries, unsigned n, struct buf *out)
{
    for (unsigned i = 0; i < n; i++) {
        struct value v;
        rows_values(entries, (int)(2 + i), 1, &v);
        value_encode(out, &v);
    }
    out->failed |= rows_unread(entries);
}

int journal_head(struct journal *j, struct journal_head *out)
{
    /* An entry, whose key may be longer than any item's, where the beginning was lost. */
    int rc = source_step_unbounded(j->head);

    if (rc == SQLITE_ROW) {
        out->seq = sqlite3_column_int64(j->head, 0);
        out->sentinel = sqlite3_column_int64(j->head, 1) == 0 &&
                        sqlite3_column_type(j->head, 2) == SQLITE_BLOB &&
                        sqlite3_column_bytes(j->head, 2) == CAPTURE_NONCE_SIZE;
        if (out->sentinel)
            memcpy(out->nonce, sqlite3_column_blob(j->head, 2), CAPTURE_NONCE_SIZE);
    }
    rows_end(j->head);
    return rc;
}

int journal_max(struct journal *j, int64_t *max_seq)
{
    int rc = sqlite3_step(j->tail);

    if (rc == SQLITE_ROW) {
        if (sqlite3_column_type(j->tail, 0) == SQLITE_NULL)
            rc = SQLITE_DONE;
        else
            *max_seq = sqlite3_column_int64(j->tail, 0);
    }
    rows_end(j->tail);
    return rc;
}

int journal_add(struct journal *j, uint32_t table, const struct value *entry, size_t n)
{
    sqlite3_str *sql = sqlite3_str_new(j->source->db);
    sqlite3_stmt *stmt = NULL;

    sqlite3_str_appendall(sql, "INSERT INTO main._syncd_journal(t");
    for (size_t i = 0; i < n; i++)
        sqlite3_str_appendf(sql, ",k%d", (int)i);
    sqlite3_str_appendf(sql, ") VALUES(%u", table);
    for (size_t i = 0; i < n; i++)
        sqlite3_str_appendf(sql, ",?%d", (int)i + 1);
    sqlite3_str_appendall(sql, ")");
    char *text = sqlite3_str_finish(sql);
    int rc = text ? sqlite3_prepare_v2(j->source->db, text, -1, &stmt, NULL) : SQLITE_NOMEM;
    sqlite3_free(text);
    /* A key that is longer than any item's passes by a trigger, too. */
    source_bound_values(j->source, false);
    for (size_t i = 0; rc == SQLITE_OK && i < n; i++)
        rc = rows_bind(stmt, (int)i + 1, &entry[i]);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    source_bound_values(j->source, true);
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* --- acknowledging ---------------------------------------------------------------------------- */

static int put_sentinel(struct journal *j, int64_t seq, const uint8_t *nonce)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(j->source->db,
                                "INSERT INTO main._syncd_journal(seq,t,k0,k1) VALUES(?1,0,?2,?3)",
                                -1, &stmt, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(stmt, 1, seq);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_blob(stmt, 2, nonce, CAPTURE_NONCE_SIZE, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_blob(stmt, 3, j->id, CAPTURE_ID_SIZE, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int delete_upto(struct journal *j, int64_t seq)
{
    char *sql = sqlite3_mprintf("DELETE FROM main._syncd_journal WHERE seq<=%lld", (long long)seq);
    int rc = sql ? source_exec(j->source, sql) : SQLITE_NOMEM;

    sqlite3_free(sql);
    return rc;
}

/* Inside the write transaction, where nobody can add an entry: emptying the table is far cheaper
 * than a range, so it is done when nothing but settled entries is there. */
static int ack(struct journal *j, int64_t upto, const uint8_t *nonce, int64_t *acked)
{
    struct journal_head head;
    int64_t max, to = upto;
    int rc = journal_head(j, &head);

    if (rc != SQLITE_ROW)
        return rc == SQLITE_DONE ? SQLITE_CORRUPT : rc;
    if ((rc = journal_max(j, &max)) != SQLITE_ROW)
        return rc;
    if (head.sentinel && upto < head.seq) {
        *acked = head.seq;
        return SQLITE_OK;
    }
    if (max <= upto && max - head.seq <= EMPTY_AT_ONCE) {
        to = max;
        rc = source_exec(j->source, "DELETE FROM main._syncd_journal");
    } else {
        if (to - head.seq > ACK_CHUNK)
            to = head.seq + ACK_CHUNK;
        rc = delete_upto(j, to);
    }
    if (rc == SQLITE_OK && PLANTED(RESTART_SEQUENCE) && to == max)
        to = 0;
    FAILPOINT("ack_deleted");
    if (rc == SQLITE_OK)
        rc = put_sentinel(j, to, nonce);
    if (rc == SQLITE_OK)
        *acked = to;
    return rc;
}

int journal_ack(struct journal *j, int64_t upto, const uint8_t nonce[CAPTURE_NONCE_SIZE],
                journal_check *is_ours, void *arg, int64_t *acked)
{
    int64_t to = 0;
    int rc = source_exec(j->source, "BEGIN IMMEDIATE");
    usec began = clock_monotonic();

    j->locked = 0;
    if (rc != SQLITE_OK)
        return rc;
    FAILPOINT("ack_begun");
    rc = is_ours && !is_ours(arg) ? SQLITE_ABORT : ack(j, upto, nonce, &to);
    FAILPOINT("ack_committing");
    rc = source_end(j->source, rc);
    if (rc == SQLITE_OK)
        *acked = to;
    j->locked = clock_monotonic() - began;
    return rc;
}
