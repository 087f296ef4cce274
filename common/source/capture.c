#include "source/capture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/failpoint.h"
#include "source/canary.h"
#include "source/capture_sql.h"
#include "source/lookups.h"

static void to_hex(const uint8_t bytes[CAPTURE_ID_SIZE], char out[2 * CAPTURE_ID_SIZE + 1])
{
    for (size_t i = 0; i < CAPTURE_ID_SIZE; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

/* Bounds the journal of a database whose daemon is gone for good; the missing sentinel then says
 * that the tables must be compared. Its text says which database this is and where: it stays when
 * the sentinel goes. */
static char *cap_sql(const struct capture *c)
{
    char id[2 * CAPTURE_ID_SIZE + 1], place[2 * CAPTURE_ID_SIZE + 1];

    to_hex(c->id, id);
    to_hex(c->place, place);
    return sqlite3_mprintf("CREATE TRIGGER _syncd_cap AFTER INSERT ON _syncd_journal "
                           "WHEN NEW.seq %% 4096 = 0 BEGIN DELETE FROM _syncd_journal "
                           "WHERE seq <= NEW.seq - %lld /* database %s at %s */; END",
                           (long long)c->journal_limit, id, place);
}

static unsigned widest_key(const struct capture *c)
{
    size_t n = 2;

    for (size_t i = 0; i < c->count; i++)
        if (c->tables[i].plan->entry_count > n)
            n = c->tables[i].plan->entry_count;
    return (unsigned)n;
}

/* --- judging ---------------------------------------------------------------------------------- */

/* A lookup that is another than it should be says nothing of the journal's layout, unless the entry
 * that it writes is another too. */
static bool layout_differs(const struct capture_table *t, const char *kind, const char *found)
{
    if (kind[0] != 'b')
        return true;
    char *head = capture_lookup_head(t);
    bool differs = !head || !strstr(found, head);
    sqlite3_free(head);
    return differs;
}

bool capture_intact(const struct capture_state *st, const struct capture_table *t,
                    bool *some_differ)
{
    char kind[CAPTURE_KIND_SIZE], name[CAPTURE_NAME_SIZE];
    bool intact = true;

    *some_differ = false;
    for (size_t i = 0; capture_kind(t, i, kind); i++) {
        char *sql = capture_trigger_sql(t, kind);
        capture_name(t->id, kind, name);
        const struct capture_found *f = capture_find(st, name);
        bool here = f && strcasecmp(f->table, t->plan->table) == 0;
        bool same = here && sql && strcmp(f->sql, sql) == 0;
        *some_differ |= f && !same && (!here || layout_differs(t, kind, f->sql));
        intact &= same && !capture_cut_short(st, f);
        sqlite3_free(sql);
    }
    return intact;
}

/* As it should be, and behind all others: see make_cap(). */
static bool cap_intact(const struct capture_state *st, const struct capture *c)
{
    const struct capture_found *f = capture_find(st, "_syncd_cap");
    char *sql = cap_sql(c);
    bool same = f && f == &st->triggers[st->count - 1] && sql && strcmp(f->sql, sql) == 0;

    sqlite3_free(sql);
    return same;
}

static bool wanted(const struct capture *c, const struct capture_found *f)
{
    if (f->id == 0)
        return strcmp(f->name, "_syncd_cap") == 0;
    for (size_t i = 0; i < c->count; i++) {
        char kind[CAPTURE_KIND_SIZE];
        if (c->tables[i].id != f->id)
            continue;
        for (size_t k = 0; capture_kind(&c->tables[i], k, kind); k++)
            if (strcmp(f->kind, kind) == 0)
                return true;
    }
    return false;
}

bool capture_differs(const struct capture_state *st, const struct capture *c)
{
    bool differ;

    if (!st->journal || st->canary != c->canary || st->first_seq < 0 ||
        st->journal_keys < widest_key(c) || !cap_intact(st, c))
        return true;
    for (size_t i = 0; i < st->count; i++)
        if (!wanted(c, &st->triggers[i]))
            return true;
    for (size_t i = 0; i < c->count; i++)
        if (!c->tables[i].intact && !capture_intact(st, &c->tables[i], &differ))
            return true;
    return false;
}

/* --- changing --------------------------------------------------------------------------------- */

/* Run SQL made by sqlite3_mprintf() and free it. */
static int run(struct source *s, char *sql)
{
    int rc = sql ? source_exec(s, sql) : SQLITE_NOMEM;

    sqlite3_free(sql);
    return rc;
}

/* When the triggers are out, the sentinel alone says whose the database is: one that was left from
 * before it was given another id would tell the old one. */
static int name_sentinel(struct source *s, const struct capture *c)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(s->db,
                                "UPDATE _syncd_journal SET k1=?1 WHERE t=0 AND k1 IS NOT ?1 AND "
                                "seq=(SELECT min(seq) FROM _syncd_journal)",
                                -1, &stmt, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_bind_blob(stmt, 1, c->id, CAPTURE_ID_SIZE, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int make_journal(struct source *s, const struct capture_state *st, const struct capture *c,
                        const uint8_t nonce[CAPTURE_NONCE_SIZE])
{
    unsigned keys = st->journal ? st->journal_keys : 2;
    sqlite3_stmt *stmt = NULL;
    int rc = SQLITE_OK;

    if (!st->journal)
        rc = source_exec(s, "CREATE TABLE _syncd_journal(seq INTEGER PRIMARY KEY, t INTEGER, k0, "
                            "k1)");
    for (; rc == SQLITE_OK && keys < widest_key(c); keys++)
        rc = run(s, sqlite3_mprintf("ALTER TABLE _syncd_journal ADD COLUMN k%u", keys));
    if (rc != SQLITE_OK || st->first_seq >= 0)
        return rc == SQLITE_OK ? name_sentinel(s, c) : rc;
    rc = sqlite3_prepare_v2(s->db, "INSERT INTO _syncd_journal(seq,t,k0,k1) VALUES(1,0,?1,?2)", -1,
                            &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_blob(stmt, 1, nonce, CAPTURE_NONCE_SIZE, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_blob(stmt, 2, c->id, CAPTURE_ID_SIZE, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int drop_trigger(struct source *s, const struct capture_found *f)
{
    return run(s, sqlite3_mprintf("DROP TRIGGER main.\"%w\"", f->name));
}

/* The plan may be older than the schema by a moment, and SQLite takes a trigger that names a column
 * which is not there: every write of the application would fail by it. */
static int check_columns(struct source *s, const struct capture_table *t)
{
    sqlite3_str *sql = sqlite3_str_new(s->db);
    sqlite3_stmt *stmt = NULL;

    for (size_t i = 0; i < t->plan->entry_count; i++)
        sqlite3_str_appendf(sql, "%s\"%w\"", i ? "," : "SELECT ", t->plan->columns[i].name);
    sqlite3_str_appendf(sql, " FROM main.\"%w\"", t->plan->table);
    char *text = sqlite3_str_finish(sql);
    int rc = text ? sqlite3_prepare_v2(s->db, text, -1, &stmt, NULL) : SQLITE_NOMEM;
    sqlite3_finalize(stmt);
    sqlite3_free(text);
    for (size_t i = 0; rc == SQLITE_OK && i < t->plan->capture.lookup_count; i++) {
        bool works = true;
        rc = lookup_try(s, t->plan->table, t->plan->capture.lookups[i].where, &works);
        if (!works)
            rc = SQLITE_ERROR;
    }
    return rc;
}

static int make_table(struct source *s, const struct capture_state *st, struct capture_table *t)
{
    char kind[CAPTURE_KIND_SIZE], name[CAPTURE_NAME_SIZE];
    bool differ;
    int rc = SQLITE_OK;

    t->rebuilt = !capture_intact(st, t, &differ);
    if (!t->rebuilt)
        return SQLITE_OK;
    rc = check_columns(s, t);
    for (size_t i = 0; rc == SQLITE_OK && capture_kind(t, i, kind); i++) {
        char *sql = capture_trigger_sql(t, kind);
        capture_name(t->id, kind, name);
        const struct capture_found *f = capture_find(st, name);
        if (f && sql && strcmp(f->sql, sql) == 0 && !capture_cut_short(st, f)) {
            sqlite3_free(sql);
            continue;
        }
        if (f)
            rc = drop_trigger(s, f);
        if (rc == SQLITE_OK)
            rc = run(s, sql);
        else
            sqlite3_free(sql);
    }
    return rc;
}

/* The cap is made after every other trigger, so that its entry is the schema's highest of ours: a
 * table or trigger that is dropped and made again later cannot get its old entry back, which is how
 * capture_mark() sees it. VACUUM numbers the entries anew but keeps their order: the cap's own is
 * part of the mark, and the cap of a table that brought its triggers back behind it is made again,
 * or the table's next rebuild would leave, after a VACUUM, what the last one had left. */
static int make_cap(struct source *s, const struct capture *c)
{
    int rc = source_exec(s, "DROP TRIGGER IF EXISTS main._syncd_cap");

    return rc == SQLITE_OK ? run(s, cap_sql(c)) : rc;
}

/* One that was just made has no triggers yet: the caller's next look finds it. */
static int make_canary(struct source *s, const struct capture_state *st, const struct capture *c)
{
    if (st->canary == c->canary)
        return SQLITE_OK;
    return source_exec(s, c->canary ? CANARY_CREATE : "DROP TABLE main." CANARY_TABLE);
}

static int install(struct source *s, const struct capture *c, const uint8_t *nonce)
{
    struct capture_state *st = NULL;
    bool made = false;
    int rc = capture_look(s, &st);

    if (rc != SQLITE_OK)
        return rc;
    rc = make_journal(s, st, c, nonce);
    for (size_t i = 0; rc == SQLITE_OK && i < st->count; i++)
        if (!wanted(c, &st->triggers[i]))
            rc = drop_trigger(s, &st->triggers[i]);
    for (size_t i = 0; rc == SQLITE_OK && i < c->count; i++) {
        rc = make_table(s, st, &c->tables[i]);
        made |= c->tables[i].rebuilt;
    }
    if (rc == SQLITE_OK)
        rc = make_canary(s, st, c);
    if (rc == SQLITE_OK && (made || !cap_intact(st, c)))
        rc = make_cap(s, c);
    capture_state_free(st);
    return rc;
}

static int same_schema(struct source *s, const struct capture *c)
{
    int64_t version = 0;
    int rc = source_schema_version(s, &version);

    return rc == SQLITE_OK && c->schema_version && version != c->schema_version ? SQLITE_BUSY : rc;
}

static int take_marks(struct source *s, const struct capture *c)
{
    struct capture_state *st = NULL;
    int rc = capture_look(s, &st);

    if (rc == SQLITE_OK)
        rc = source_schema_version(s, c->marked_at);
    for (size_t i = 0; rc == SQLITE_OK && i < c->count; i++)
        if (!(c->marks[i] = capture_mark(st, c->tables[i].plan->table)))
            rc = SQLITE_NOMEM;
    capture_state_free(st);
    return rc;
}

int capture_install(struct source *s, const struct capture *c,
                    const uint8_t nonce[CAPTURE_NONCE_SIZE])
{
    int rc = source_exec(s, "BEGIN IMMEDIATE");

    if (rc != SQLITE_OK)
        return rc;
    if ((rc = same_schema(s, c)) == SQLITE_OK)
        rc = install(s, c, nonce);
    if (rc == SQLITE_OK && c->marks)
        rc = take_marks(s, c);
    FAILPOINT("triggers_committing");
    return source_end(s, rc);
}

static int remove_all(struct source *s, bool journal_too)
{
    struct capture_state *st = NULL;
    int rc = capture_look(s, &st);

    /* Triggers first: a trigger without its journal would fail every write of the application. */
    for (size_t i = 0; rc == SQLITE_OK && i < st->count; i++)
        rc = drop_trigger(s, &st->triggers[i]);
    if (rc == SQLITE_OK && journal_too)
        rc = source_exec(s, "DROP TABLE IF EXISTS main._syncd_journal; "
                            "DROP TABLE IF EXISTS main._syncd_import; "
                            "DROP TABLE IF EXISTS main." CANARY_TABLE);
    capture_state_free(st);
    return rc;
}

int capture_remove(struct source *s, bool journal_too)
{
    int rc = source_exec(s, "BEGIN IMMEDIATE");

    return rc == SQLITE_OK ? source_end(s, remove_all(s, journal_too)) : rc;
}
