#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "config/config_read.h"
#include "jobs/rebuild_internal.h"
#include "mapping/row.h"
#include "mirror/plans.h"

/* --- SQLite ----------------------------------------------------------------------------------- */

/* A write that failed: for want of room? SQLite tells that of ENOSPC alone. */
static bool no_room(const char *path)
{
    enum { LITTLE = 1024 * 1024 };
    struct statvfs fs;
    struct rlimit limit;
    struct stat st;

    if (statvfs(path, &fs) == 0 && fs.f_bavail * fs.f_frsize < LITTLE)
        return true;
    return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
           stat(path, &st) == 0 && (rlim_t)st.st_size + LITTLE > limit.rlim_cur;
}

int rebuild_sqlite_failed(struct rebuild *r, int rc, const char *doing, struct err *err)
{
    int primary = rc & 0xff;

    if (rc == SQLITE_NOMEM)
        return err_set(err, -ENOMEM, "out of memory");
    if (primary == SQLITE_FULL || (primary == SQLITE_IOERR && no_room(r->path)))
        return err_set(err, -ENOSPC,
                       "%s cannot grow: the disk is full; make room and run the same command "
                       "again, which goes on where this one ended",
                       r->path);
    return err_set(err, -EIO, "%s: %s failed: %s", r->path, doing,
                   r->db ? sqlite3_errmsg(r->db) : sqlite3_errstr(rc));
}

int rebuild_exec(struct rebuild *r, const char *sql, struct err *err)
{
    int rc = sqlite3_exec(r->db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : rebuild_sqlite_failed(r, rc, "writing it", err);
}

int64_t rebuild_int(struct rebuild *r, const char *sql, const char *name, int64_t fallback)
{
    sqlite3_stmt *stmt = NULL;
    int64_t n = fallback;

    if (sqlite3_prepare_v2(r->db, sql, -1, &stmt, NULL) == SQLITE_OK) {
        if (name)
            sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
        if (sqlite3_step(stmt) == SQLITE_ROW)
            n = sqlite3_column_int64(stmt, 0);
    }
    sqlite3_finalize(stmt);
    return n;
}

int rebuild_begin(struct rebuild *r, struct err *err)
{
    if (r->open)
        return 0;
    int rc = rebuild_exec(r, "BEGIN IMMEDIATE", err);
    r->open = rc == 0;
    return rc;
}

/* One row of "name" and up to three numbers, or a text. */
static int put(struct rebuild *r, const char *sql, const char *name, const char *text,
               const int64_t *numbers, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(r->db, sql, -1, &stmt, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK && text)
        rc = sqlite3_bind_text(stmt, 2, text, -1, SQLITE_STATIC);
    for (int i = 0; rc == SQLITE_OK && numbers && i < 3; i++)
        rc = sqlite3_bind_int64(stmt, 2 + i, numbers[i]);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? 0 : rebuild_sqlite_failed(r, rc, "keeping its progress", err);
}

static int put_counts(struct rebuild *r, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < r->table_count; i++) {
        const struct rebuild_table *t = &r->tables[i].view;
        rc = put(r, "INSERT OR REPLACE INTO _syncd_restore_table VALUES(?1, ?2, ?3, ?4)", t->name,
                 NULL, (const int64_t[]){t->rows, t->failed, t->altered}, err);
    }
    return rc;
}

int rebuild_commit(struct rebuild *r, struct err *err)
{
    if (!r->open)
        return 0;
    int rc = put_counts(r, err);
    if (rc == 0)
        rc = rebuild_exec(r, "COMMIT", err);
    if (rc == 0)
        r->open = false;
    return rc;
}

/* --- progress --------------------------------------------------------------------------------- */

int rebuild_set_progress(struct rebuild *r, const char *target, unsigned segments, unsigned segment,
                         const char *last_key, bool done, struct err *err)
{
    int rc = rebuild_begin(r, err);

    if (rc < 0)
        return rc;
    rc = r->progress ? SQLITE_OK
                     : sqlite3_prepare_v2(r->db,
                                          "INSERT OR REPLACE INTO _syncd_restore_segment "
                                          "VALUES(?1, ?2, ?3, ?4, ?5)",
                                          -1, &r->progress, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(r->progress, 1, target, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(r->progress, 2, segment);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(r->progress, 3, segments);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(r->progress, 4, last_key, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int(r->progress, 5, done);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(r->progress);
    sqlite3_reset(r->progress);
    return rc == SQLITE_DONE ? 0 : rebuild_sqlite_failed(r, rc, "keeping its progress", err);
}

int rebuild_progress(struct rebuild *r, const char *target, rebuild_progress_fn *fn, void *arg,
                     struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(r->db,
                                "SELECT segments, segment, last_key, done FROM "
                                "_syncd_restore_segment WHERE target = ?1 ORDER BY segment",
                                -1, &stmt, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(stmt, 1, target, -1, SQLITE_STATIC);
    while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        rc = SQLITE_OK;
        fn(arg, (unsigned)sqlite3_column_int(stmt, 0), (unsigned)sqlite3_column_int(stmt, 1),
           (const char *)sqlite3_column_text(stmt, 2), sqlite3_column_int(stmt, 3) != 0);
    }
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? 0 : rebuild_sqlite_failed(r, rc, "reading its progress", err);
}

/* --- plans ------------------------------------------------------------------------------------ */

/* A table of this name could be one that the virtual table keeps its data in. */
static bool may_be_shadow(const char *name, const char *virtual_table)
{
    size_t n = strlen(virtual_table);

    return strncasecmp(name, virtual_table, n) == 0 && name[n] == '_';
}

/* A virtual table makes the tables that it keeps its data in, and is none where they are there
 * already: VACUUM writes it behind them. */
static void make_virtual(sqlite3 *db, const struct schema_dump *d, const struct schema_object *v)
{
    if (sqlite3_exec(db, v->sql, NULL, NULL, NULL) == SQLITE_OK)
        return;
    for (size_t i = 0; i < d->object_count; i++) {
        const struct schema_object *o = &d->objects[i];
        char *sql = strcmp(o->type, "table") == 0 && may_be_shadow(o->name, v->name)
                        ? sqlite3_mprintf("DROP TABLE \"%w\"", o->name)
                        : NULL;
        if (sql)
            sqlite3_exec(db, sql, NULL, NULL, NULL);
        sqlite3_free(sql);
    }
    sqlite3_exec(db, v->sql, NULL, NULL, NULL);
    for (size_t i = 0; i < d->object_count; i++)
        if (may_be_shadow(d->objects[i].table, v->name) &&
            (strcmp(d->objects[i].type, "table") == 0 || strcmp(d->objects[i].type, "index") == 0))
            sqlite3_exec(db, d->objects[i].sql, NULL, NULL, NULL);
}

/* The whole schema in memory, for a configured key may be a unique index that the file gets last.
 * What cannot be made here cannot be made there either, and is told there. */
static int read_catalog(struct rebuild *r, struct err *err)
{
    static const char is_virtual[] = "CREATE VIRTUAL TABLE ";
    struct source memory = {.path = (char *)"the schema"};
    int rc = sqlite3_open_v2(":memory:", &memory.db,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY, NULL);

    if (rc == SQLITE_OK)
        sqlite3_db_config(memory.db, SQLITE_DBCONFIG_DQS_DDL, 1, NULL);
    for (size_t i = 0; rc == SQLITE_OK && i < r->dump->object_count; i++) {
        const struct schema_object *o = &r->dump->objects[i];
        if (strncmp(o->sql, is_virtual, sizeof is_virtual - 1) == 0)
            make_virtual(memory.db, r->dump, o);
        else if (strcmp(o->type, "table") == 0 || strcmp(o->type, "index") == 0)
            sqlite3_exec(memory.db, o->sql, NULL, NULL, NULL);
    }
    if (rc == SQLITE_OK && catalog_read(&memory, &r->catalog, err) != SOURCE_OK)
        rc = SQLITE_ERROR;
    else if (rc != SQLITE_OK)
        err_set(err, -ENOMEM, "out of memory");
    source_forget_questions(&memory);
    sqlite3_close(memory.db);
    return rc == SQLITE_OK ? 0 : -ENOMEM;
}

static bool asked_for(const struct rebuild_options *o, const char *table)
{
    for (size_t i = 0; i < o->table_count; i++)
        if (strcasecmp(o->tables[i], table) == 0)
            return true;
    return o->table_count == 0;
}

static bool is_plain(const struct table_info *t)
{
    return t->kind == TABLE_ROWID || t->kind == TABLE_WITHOUT_ROWID;
}

static int make_table(struct rebuild *r, const struct rebuild_options *o,
                      const struct table_info *info)
{
    struct table_rebuild *t = &r->tables[r->table_count];
    struct err why = {0};

    t->info = info;
    t->view.name = info->name;
    t->view.wanted = asked_for(o, info->name);
    r->table_count++;
    if (info->kind == TABLE_VIRTUAL) {
        t->reason = strdup("it is a virtual table, which is made anew and empty");
    } else if (!plans_covers(r->mapping, info)) {
        t->reason = strdup("the configuration leaves it out");
    } else {
        int rc = plans_make(r->mapping, info, &t->plan, &why);
        if (rc == -ENOMEM)
            return rc;
        if (rc < 0)
            t->reason = strdup(why.text);
    }
    t->view.plan = t->plan;
    t->view.reason = t->reason;
    t->view.wanted &= t->plan != NULL;
    if (!t->plan)
        return t->reason ? 0 : -ENOMEM;
    t->given = calloc(t->plan->column_count, sizeof *t->given);
    t->values = calloc(t->plan->column_count, sizeof *t->values);
    t->back = calloc(t->plan->column_count, sizeof *t->back);
    return t->given && t->values && t->back ? 0 : -ENOMEM;
}

static int add_target(struct rebuild *r, const struct table_rebuild *t)
{
    for (size_t i = 0; i < r->target_count; i++)
        if (strcmp(r->targets[i], t->plan->target) == 0)
            return 0;
    const char **more = reallocarray(r->targets, r->target_count + 1, sizeof *more);
    if (!more)
        return -ENOMEM;
    r->targets = more;
    r->targets[r->target_count++] = t->plan->target;
    return 0;
}

static void find_alone(struct rebuild *r)
{
    for (size_t i = 0; i < r->table_count; i++) {
        struct table_rebuild *t = &r->tables[i];
        size_t sharing = 0;
        for (size_t k = 0; t->plan && k < r->table_count; k++)
            sharing += r->tables[k].plan && strcmp(r->tables[k].plan->target, t->plan->target) == 0;
        t->alone = sharing == 1;
    }
}

static int make_plans(struct rebuild *r, const struct rebuild_options *o, struct err *err)
{
    size_t n = r->catalog->count;
    int rc = 0;

    r->tables = calloc(n ? n : 1, sizeof *r->tables);
    for (size_t i = 0; r->tables && rc == 0 && i < n; i++) {
        const struct table_info *t = &r->catalog->tables[i];
        if (is_plain(t) || t->kind == TABLE_VIRTUAL)
            rc = make_table(r, o, t);
        if (rc == 0 && r->table_count && r->tables[r->table_count - 1].view.wanted)
            rc = add_target(r, &r->tables[r->table_count - 1]);
    }
    if (!r->tables || rc < 0)
        return err_set(err, -ENOMEM, "out of memory");
    find_alone(r);
    for (size_t i = 0; i < o->table_count; i++) {
        const struct table_rebuild *found = NULL;
        for (size_t k = 0; k < r->table_count; k++)
            if (strcasecmp(r->tables[k].view.name, o->tables[i]) == 0)
                found = &r->tables[k];
        if (!found)
            return err_set(err, -EINVAL, "the database has no table \"%.100s\"", o->tables[i]);
        if (!found->plan)
            return err_set(err, -EINVAL, "table \"%.100s\" is not in DynamoDB: %s", o->tables[i],
                           found->reason);
    }
    return 0;
}

/* --- the file --------------------------------------------------------------------------------- */

static const char own_tables[] =
    "CREATE TABLE _syncd_restore(name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE _syncd_restore_table(name TEXT PRIMARY KEY, rows, failed, altered) WITHOUT ROWID;"
    "CREATE TABLE _syncd_restore_segment(target, segment, segments, last_key, done, "
    "PRIMARY KEY(target, segment)) WITHOUT ROWID;"
    "CREATE TABLE _syncd_restore_later(target, item_key, PRIMARY KEY(target, item_key)) "
    "WITHOUT ROWID;"
    "CREATE TABLE _syncd_restore_problem(id INTEGER PRIMARY KEY, name, row_key, reason, altered);";

static int open_file(struct rebuild *r, struct err *err)
{
    int rc = sqlite3_open_v2(
        r->path, &r->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW, NULL);

    if (rc != SQLITE_OK)
        return rebuild_sqlite_failed(r, rc, "opening it", err);
    sqlite3_extended_result_codes(r->db, 1);
    sqlite3_db_config(r->db, SQLITE_DBCONFIG_DQS_DDL, 1, NULL);
    sqlite3_db_config(r->db, SQLITE_DBCONFIG_ENABLE_FKEY, 0, NULL);
    return rebuild_exec(r, "PRAGMA locking_mode=EXCLUSIVE", err); /* one of us at a time */
}

static int set_pragmas(struct rebuild *r, struct err *err)
{
    const struct schema_dump *d = r->dump;
    char *sql = sqlite3_mprintf("PRAGMA page_size=%lld; PRAGMA auto_vacuum=%lld; "
                                "PRAGMA encoding=%Q; PRAGMA journal_mode=TRUNCATE; "
                                "PRAGMA synchronous=NORMAL; PRAGMA cache_size=-65536;",
                                (long long)d->page_size, (long long)d->auto_vacuum, d->encoding);
    int rc = sql ? rebuild_exec(r, sql, err) : err_set(err, -ENOMEM, "out of memory");

    sqlite3_free(sql);
    return rc;
}

/* What the rows are asked of: another answer means another file. */
static int describe(const struct rebuild *r, const struct rebuild_options *o, struct buf *out)
{
    buf_printf(out, "%s %s", r->dump->database_id, o->version);
    for (size_t i = 0; i < r->table_count; i++)
        if (r->tables[i].view.wanted)
            buf_printf(out, "\n%s", r->tables[i].view.name);
    return buf_ok(out) ? 0 : -ENOMEM;
}

/* 1, 0, or negative where that cannot be told, and nothing may be taken away. */
static int begun_before(struct rebuild *r, const char *what, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    bool same = false;
    int rc = sqlite3_prepare_v2(r->db, "SELECT value FROM _syncd_restore WHERE name = 'what'", -1,
                                &stmt, NULL);

    if (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(stmt, 0);
        same = text && strcmp(text, what) == 0;
    }
    sqlite3_finalize(stmt);
    switch (rc & 0xff) {
    case SQLITE_ROW:
        return same;
    case SQLITE_DONE:
    case SQLITE_ERROR: /* it has no such table */
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return 0;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return err_set(err, -EBUSY,
                       "%s is in use: another restore is making it; wait until that is over, or "
                       "name another file",
                       r->path);
    default:
        return rebuild_sqlite_failed(r, rc, "looking whether it was begun", err);
    }
}

static bool made_last(const struct rebuild *r, const struct schema_object *o)
{
    if (strcmp(o->type, "table") != 0)
        return true;
    for (size_t i = 0; i < r->catalog->count; i++)
        if (strcasecmp(r->catalog->tables[i].name, o->name) == 0)
            return !is_plain(&r->catalog->tables[i]);
    return false;
}

/* A table that cannot be made (a collation that only the application has) is told at the end. */
static int make_tables(struct rebuild *r, const char *what, struct err *err)
{
    int rc = rebuild_begin(r, err);

    for (size_t i = 0; rc == 0 && i < r->dump->object_count; i++) {
        if (made_last(r, &r->dump->objects[i]))
            continue;
        int said = sqlite3_exec(r->db, r->dump->objects[i].sql, NULL, NULL, NULL);
        if (said != SQLITE_OK && (said & 0xff) != SQLITE_ERROR)
            rc = rebuild_sqlite_failed(r, said, "making its tables", err);
    }
    if (rc == 0)
        rc = rebuild_exec(r, own_tables, err);
    if (rc == 0)
        rc = put(r, "INSERT INTO _syncd_restore VALUES(?1, ?2)", "what", what, NULL, err);
    return rc == 0 ? rebuild_commit(r, err) : rc;
}

static void recall_counts(struct rebuild *r)
{
    for (size_t i = 0; i < r->table_count; i++) {
        struct rebuild_table *t = &r->tables[i].view;
        t->rows =
            rebuild_int(r, "SELECT rows FROM _syncd_restore_table WHERE name = ?1", t->name, 0);
        t->failed =
            rebuild_int(r, "SELECT failed FROM _syncd_restore_table WHERE name = ?1", t->name, 0);
        t->altered =
            rebuild_int(r, "SELECT altered FROM _syncd_restore_table WHERE name = ?1", t->name, 0);
    }
}

static void remove_file(const char *path)
{
    static const char *const suffixes[] = {"", "-journal", "-wal", "-shm"};

    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char *name = sqlite3_mprintf("%s%s", path, suffixes[i]);
        if (name)
            unlink(name);
        sqlite3_free(name);
    }
}

static int take_up(struct rebuild *r, const struct rebuild_options *o, bool *resumed,
                   struct err *err)
{
    _cleanup_buf_ struct buf what = {0};
    bool there = access(r->path, F_OK) == 0;
    int rc =
        describe(r, o, &what) == 0 ? open_file(r, err) : err_set(err, -ENOMEM, "out of memory");

    int begun = rc == 0 && there ? begun_before(r, what.data, err) : 0;
    if (begun < 0)
        return begun;
    *resumed = begun > 0 && !o->anew;
    if (rc == 0 && there && !*resumed) {
        sqlite3_close(take_ptr(r->db));
        remove_file(r->path);
        rc = open_file(r, err);
    }
    if (rc == 0)
        rc = set_pragmas(r, err);
    if (rc == 0 && !*resumed)
        rc = make_tables(r, what.data, err);
    if (rc == 0 && *resumed)
        recall_counts(r);
    for (size_t i = 0; rc == 0 && i < r->table_count; i++)
        if (r->tables[i].plan)
            rc = rebuild_prepare(r, &r->tables[i]);
    return rc;
}

static int no_variable(void *arg, const char *name, const char **value, struct err *err)
{
    (void)arg;
    (void)value;
    return err_set(err, -EINVAL, "${%s} stands in the mapping that is kept", name);
}

static int read_mapping(struct rebuild *r, struct err *err)
{
    const struct schema_dump *d = r->dump;
    int rc = config_parse_memory("the mapping that is kept", d->mapping, strlen(d->mapping),
                                 no_variable, NULL, &r->mapping, err);

    if (rc < 0 && rc != -ENOMEM)
        err_prefix(err, rc,
                   "it was kept by syncd %s, which this one (" SYNCD_VERSION
                   ") does not understand: ",
                   d->syncd);
    return rc;
}

int rebuild_open(const struct rebuild_options *o, struct rebuild **out, bool *resumed,
                 struct err *err)
{
    struct rebuild *r = calloc(1, sizeof *r);

    if (!r || !(r->path = strdup(o->path))) {
        free(r);
        return err_set(err, -ENOMEM, "out of memory");
    }
    r->dump = o->dump;
    int rc = read_mapping(r, err);
    if (rc == 0)
        rc = read_catalog(r, err);
    if (rc == 0)
        rc = make_plans(r, o, err);
    if (rc == 0)
        rc = take_up(r, o, resumed, err);
    if (rc < 0) {
        rebuild_close(r);
        return rc;
    }
    *out = r;
    return 0;
}

void rebuild_close(struct rebuild *r)
{
    if (!r)
        return;
    rebuild_statements_end(r);
    if (r->open)
        sqlite3_exec(r->db, "ROLLBACK", NULL, NULL, NULL);
    sqlite3_close(r->db);
    for (size_t i = 0; i < r->table_count; i++) {
        struct table_rebuild *t = &r->tables[i];
        plan_free(t->plan);
        free(t->reason);
        free(t->given);
        free(t->values);
        free(t->back);
    }
    free(r->tables);
    free(r->targets);
    catalog_free(r->catalog);
    config_free(r->mapping);
    buf_free(&r->json);
    buf_free(&r->key);
    buf_free(&r->key_back);
    buf_free(&r->store);
    buf_free(&r->text);
    free(r->path);
    free(r);
}

size_t rebuild_table_count(const struct rebuild *r)
{
    return r->table_count;
}

const struct rebuild_table *rebuild_table(const struct rebuild *r, size_t i)
{
    return &r->tables[i].view;
}

const char *rebuild_target(const struct rebuild *r, size_t i)
{
    return i < r->target_count ? r->targets[i] : NULL;
}
