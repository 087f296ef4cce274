#include "jobs/import_rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "base/cleanup.h"
#include "import/datum.h"
#include "mapping/number.h"
#include "mapping/uuid5.h"
#include "source/rows.h"

static int no_memory(struct err *err)
{
    return err_set(err, -ENOMEM, "out of memory");
}

static int failed(const struct target *t, int rc, struct err *err)
{
    enum source_problem p = source_problem_of(t->source, rc, "importing into it", err);

    return p == SOURCE_FULL ? -ENOSPC : -EIO;
}

/* --- statements ------------------------------------------------------------------------------- */

static void forget(struct target_statement *st)
{
    sqlite3_finalize(st->insert);
    sqlite3_finalize(st->same);
    free(st->set);
    *st = (struct target_statement){0};
}

void target_forget_statements(struct target *t)
{
    for (unsigned i = 0; t->statements && i < TARGET_STATEMENTS; i++)
        forget(&t->statements[i]);
    for (size_t i = 0; t->parents && i < t->foreign_count; i++)
        sqlite3_finalize(t->parents[i]);
    free(t->parents);
    t->parents = NULL;
}

static bool is_key(const struct table_info *info, size_t column)
{
    for (size_t i = 0; i < info->key_count; i++)
        if (info->key[i] == column)
            return true;
    return false;
}

/* The key's columns are all set, so that one row at most is meant. */
static bool has_key(const struct target *t)
{
    for (size_t i = 0; i < t->info->key_count; i++)
        if (t->cells[t->info->key[i]].kind == CELL_NONE)
            return false;
    return t->info->key_count > 0;
}

/* Of a key that is there: the columns that the record sets, but those of the key. */
static void append_update(const struct target *t, sqlite3_str *sql)
{
    const struct table_info *info = t->info;
    const char *comma = "";
    bool any = false;

    sqlite3_str_appendall(sql, " ON CONFLICT(");
    for (size_t i = 0; i < info->key_count; i++)
        sqlite3_str_appendf(sql, "%s\"%w\"", i ? "," : "", info->columns[info->key[i]].name);
    sqlite3_str_appendall(sql, ") DO UPDATE SET ");
    for (size_t i = 0; i < info->column_count; i++) {
        if (t->cells[i].kind == CELL_NONE || is_key(info, i))
            continue;
        sqlite3_str_appendf(sql, "%s\"%w\"=excluded.\"%w\"", comma, info->columns[i].name,
                            info->columns[i].name);
        comma = ",";
        any = true;
    }
    if (!any)
        sqlite3_str_appendf(sql, "\"%w\"=excluded.\"%w\"", info->columns[info->key[0]].name,
                            info->columns[info->key[0]].name);
}

static char *insert_sql(const struct target *t)
{
    const struct table_info *info = t->info;
    sqlite3_str *sql = sqlite3_str_new(NULL);
    const char *comma = "";
    int n = 0;

    sqlite3_str_appendf(sql, "INSERT INTO main.\"%w\"(", info->name);
    for (size_t i = 0; i < info->column_count; i++)
        if (t->cells[i].kind != CELL_NONE) {
            sqlite3_str_appendf(sql, "%s\"%w\"", comma, info->columns[i].name);
            comma = ",";
            n++;
        }
    sqlite3_str_appendall(sql, ") VALUES(");
    for (int i = 0; i < n; i++)
        sqlite3_str_appendf(sql, i ? ",?%d" : "?%d", i + 1);
    sqlite3_str_appendall(sql, ")");
    if (t->request->existing == EXISTING_UPDATE && has_key(t))
        append_update(t, sql);
    return sqlite3_str_finish(sql);
}

/* Is this very row there? Parameters as of the INSERT. Columns compare byte by byte, whatever their
 * own collation takes for equal: what differs in case is another value. */
static char *same_sql(const struct target *t)
{
    const struct table_info *info = t->info;
    sqlite3_str *sql = sqlite3_str_new(NULL);
    int n = 0;

    sqlite3_str_appendf(sql, "SELECT 1 FROM main.\"%w\" WHERE 1", info->name);
    for (size_t i = 0; i < info->column_count; i++)
        if (t->cells[i].kind != CELL_NONE) {
            n++;
            if (is_key(info, i)) /* which its index finds */
                sqlite3_str_appendf(sql, " AND \"%w\"=?%d", info->columns[i].name, n);
            sqlite3_str_appendf(sql, " AND \"%w\" IS ?%d COLLATE BINARY", info->columns[i].name, n);
        }
    return sqlite3_str_finish(sql);
}

static int prepare(struct target *t, char *sql, sqlite3_stmt **out, struct err *err)
{
    if (!sql)
        return no_memory(err);
    int rc = sqlite3_prepare_v3(t->source->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
    sqlite3_free(sql);
    if ((rc & 0xff) ==
        SQLITE_ERROR) /* a foreign key into a table that there is not, and the like */
        return err_set(err, -EINVAL, "%s", sqlite3_errmsg(t->source->db));
    return rc == SQLITE_OK ? 0 : failed(t, rc, err);
}

/* The place of the record's set of columns, or the one that was not used for longest. */
static struct target_statement *place_of(struct target *t, bool *there)
{
    struct target_statement *oldest = &t->statements[0];

    for (unsigned i = 0; i < TARGET_STATEMENTS; i++) {
        struct target_statement *st = &t->statements[i];
        size_t c = 0;
        while (st->set && c < t->info->column_count &&
               st->set[c] == (t->cells[c].kind != CELL_NONE))
            c++;
        if (st->set && c == t->info->column_count) {
            *there = true;
            return st;
        }
        if (st->used < oldest->used || (!st->set && oldest->set))
            oldest = st;
    }
    *there = false;
    return oldest;
}

static int statement(struct target *t, struct target_statement **out, struct err *err)
{
    bool there;
    struct target_statement *st = place_of(t, &there);

    if (!there) {
        forget(st);
        st->set = malloc(t->info->column_count);
        if (!st->set)
            return no_memory(err);
        for (size_t i = 0; i < t->info->column_count; i++)
            st->set[i] = t->cells[i].kind != CELL_NONE;
        int rc = prepare(t, insert_sql(t), &st->insert, err);
        if (rc < 0) {
            forget(st);
            return rc;
        }
    }
    st->used = ++t->clock;
    *out = st;
    return 0;
}

/* --- values ----------------------------------------------------------------------------------- */

static int random_uuid(struct buf *out)
{
    uint8_t bytes[UUID_BYTES];
    char text[UUID_TEXT + 1];

    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return -EIO;
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40); /* version 4 */
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80); /* RFC 4122's variant */
    uuid_print(bytes, text);
    buf_append(out, text, UUID_TEXT);
    return buf_ok(out) ? 0 : -ENOMEM;
}

/* Made of the record's _id, if it has one, else of all of its text: the same whenever it is met. */
static int named_uuid(struct target *t, const struct target_record *r, struct buf *out,
                      struct err *err)
{
    const struct record_field *id = record_find(r->fields, "_id");
    _cleanup_buf_ struct buf name = {0}, store = {0};
    struct item_fault fault = {0};
    struct value v = {.kind = VALUE_TEXT};
    enum attr_type type;
    struct datum d;
    int rc = id ? datum_read(r->dialect, id->value, id->len, &d, &store, err) : -EINVAL;

    if (rc == 0)
        rc = import_value_name(&d, &store, &name);
    if (rc == -EINVAL)
        buf_append(&name, r->text, r->len);
    if (rc == -ENOMEM || !buf_ok(&name))
        return no_memory(err);
    v.bytes = name.data;
    v.len = name.len;
    rc = convert_scalar(&t->uuid, AFFINITY_TEXT, &v, out, &type, &fault);
    return rc == -EINVAL ? err_set(err, rc, "no UUID can be made of it: %s", fault.text) : rc;
}

static int uuid_cell(struct target *t, const struct target_record *r, size_t column,
                     struct value *v, struct err *err)
{
    struct datum d = {.kind = DATUM_UUID, .len = UUID_TEXT};

    buf_clear(&t->store);
    int rc =
        t->request->uuid == UUID_RANDOM ? random_uuid(&t->store) : named_uuid(t, r, &t->store, err);
    if (rc < 0)
        return rc == -EIO ? err_set(err, -ENOMEM, "no random numbers can be had") : rc;
    return import_value(&d, &t->store, t->info->columns[column].affinity, NULL, v, &t->scratch,
                        err);
}

/* Digits that are no number, such as a postcode's 02134: SQLite makes one of them even in a STRICT
 * table, whose columns are to take nothing of another kind. */
static int check_digits(const struct value *v, enum affinity affinity, struct err *err)
{
    _cleanup_buf_ struct buf canonical = {0};
    const char *s = v->bytes;
    size_t n = v->len, sign = n && (*s == '-' || *s == '+');
    bool zero = n > sign + 1 && s[sign] == '0' && s[sign + 1] >= '0' && s[sign + 1] <= '9';

    if ((affinity != AFFINITY_INTEGER && affinity != AFFINITY_REAL) || !n ||
        (!zero && *s != '+' && !memchr(s, 'e', n) && !memchr(s, 'E', n)) ||
        number_canonical(&canonical, s, n) < 0)
        return 0;
    return err_set(err, -EINVAL,
                   "the text \"%.*s\" would become a number, and lose how it is written; make it "
                   "TEXT, or say --convert "
                   "COLUMN=number",
                   (int)(n < 60 ? n : 60), s);
}

/* -EINVAL with a clause that names the column. */
static int cell_value(struct target *t, const struct target_record *r, size_t column,
                      struct value *v, struct err *err)
{
    const struct target_cell *c = &t->cells[column];
    struct datum d;
    int rc;

    if (c->kind == CELL_UUID)
        return uuid_cell(t, r, column, v, err);
    buf_clear(&t->store);
    rc = datum_read(c->kind == CELL_KEY ? DIALECT_PLAIN : r->dialect, c->value, c->len, &d,
                    &t->store, err);
    if (rc == 0)
        rc = import_value(&d, &t->store, t->info->columns[column].affinity, t->conversions[column],
                          v, &t->scratch, err);
    if (rc == 0 && t->info->strict && d.kind == DATUM_TEXT && v->kind == VALUE_TEXT &&
        !t->conversions[column])
        rc = check_digits(v, t->info->columns[column].affinity, err);
    return rc == -EINVAL ? err_prefix(err, rc, "column \"%s\"", t->info->columns[column].name) : rc;
}

static int bind_cells(struct target *t, const struct target_record *r, sqlite3_stmt *stmt,
                      struct err *err)
{
    int n = 0, rc;

    for (size_t i = 0; i < t->info->column_count; i++) {
        struct value v;
        if (t->cells[i].kind == CELL_NONE)
            continue;
        if ((rc = cell_value(t, r, i, &v, err)) < 0)
            return rc == -ENOMEM ? no_memory(err) : rc;
        n++;
        int bound = v.kind == VALUE_TEXT   ? sqlite3_bind_text64(stmt, n, v.bytes ? v.bytes : "",
                                                                 v.len, SQLITE_TRANSIENT, SQLITE_UTF8)
                    : v.kind == VALUE_BLOB ? sqlite3_bind_blob64(stmt, n, v.bytes ? v.bytes : "",
                                                                 v.len, SQLITE_TRANSIENT)
                                           : rows_bind(stmt, n, &v);
        if (bound == SQLITE_TOOBIG)
            return err_set(err, -EINVAL, "column \"%s\": the value is longer than SQLite takes",
                           t->info->columns[i].name);
        if (bound != SQLITE_OK)
            return failed(t, bound, err);
    }
    return 0;
}

/* --- what SQLite says ------------------------------------------------------------------------- */

static int is_there(struct target *t, const struct target_record *r, struct target_statement *st,
                    bool *same, struct err *err)
{
    int rc = st->same ? 0 : prepare(t, same_sql(t), &st->same, err);

    *same = false;
    if (rc == 0)
        rc = bind_cells(t, r, st->same, err);
    if (rc < 0)
        return rc;
    rc = sqlite3_step(st->same);
    *same = rc == SQLITE_ROW;
    sqlite3_reset(st->same);
    sqlite3_clear_bindings(st->same);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : failed(t, rc, err);
}

/* A key or a unique index has that already. `why` is SQLite's sentence of it. */
static int meets(struct target *t, const struct target_record *r, struct target_statement *st,
                 enum import_outcome *out, struct err *err)
{
    struct err why;
    bool same;

    err_set(&why, 0, "%s", sqlite3_errmsg(t->source->db));
    if (has_key(t)) {
        /* Of a key that is made anew each time there is none the same. */
        int rc = is_there(t, r, st, &same, err);
        if (rc < 0)
            return rc;
        if (same) {
            *out = ROW_UNCHANGED;
            return 0;
        }
    }
    *out = t->request->existing == EXISTING_SKIP ? ROW_SKIPPED : ROW_REFUSED;
    err_set(err, -EEXIST, "%s: a row has that already", why.text);
    return 0;
}

/* Which of the rows that it refers to is not there? */
static bool lacks_parent(struct target *t, const struct target_record *r, size_t k)
{
    const struct target_foreign *f = &t->foreign[k];
    sqlite3_stmt *stmt = t->parents ? t->parents[k] : NULL;
    struct err ignored;

    if (!stmt)
        return false;
    for (size_t i = 0; i < f->count; i++) {
        struct value v;
        if (t->cells[f->columns[i]].kind == CELL_NONE ||
            cell_value(t, r, f->columns[i], &v, &ignored) < 0 || v.kind == VALUE_NULL)
            return false;
        if (v.kind == VALUE_TEXT)
            sqlite3_bind_text64(stmt, (int)i + 1, v.bytes ? v.bytes : "", v.len, SQLITE_TRANSIENT,
                                SQLITE_UTF8);
        else if (v.kind == VALUE_BLOB)
            sqlite3_bind_blob64(stmt, (int)i + 1, v.bytes ? v.bytes : "", v.len, SQLITE_TRANSIENT);
        else
            rows_bind(stmt, (int)i + 1, &v);
    }
    bool lacks = sqlite3_step(stmt) == SQLITE_DONE;
    sqlite3_reset(stmt);
    return lacks;
}

static void prepare_parents(struct target *t)
{
    t->parents = calloc(t->foreign_count, sizeof(sqlite3_stmt *));
    for (size_t i = 0; t->parents && i < t->foreign_count; i++) {
        const struct target_foreign *f = &t->foreign[i];
        sqlite3_str *sql = sqlite3_str_new(NULL);
        sqlite3_str_appendf(sql, "SELECT 1 FROM main.\"%w\" WHERE 1", f->parent);
        for (size_t j = 0; j < f->count; j++)
            sqlite3_str_appendf(sql, " AND \"%w\"=?%d", f->to[j] ? f->to[j] : "", (int)j + 1);
        char *text = sqlite3_str_finish(sql);
        if (text) /* one that cannot be asked (no such table) is not told */
            sqlite3_prepare_v2(t->source->db, text, -1, &t->parents[i], NULL);
        sqlite3_free(text);
    }
}

static void say_orphan(struct target *t, const struct target_record *r, struct err *err)
{
    if (!t->parents && t->foreign_count)
        prepare_parents(t);
    for (size_t i = 0; i < t->foreign_count; i++)
        if (lacks_parent(t, r, i)) {
            err_set(err, 0, "column \"%s\" refers to a row of \"%s\" that is not there",
                    t->info->columns[t->foreign[i].columns[0]].name, t->foreign[i].parent);
            return;
        }
    err_set(err, 0, "FOREIGN KEY constraint failed");
}

static int judge(struct target *t, const struct target_record *r, struct target_statement *st,
                 int rc, enum import_outcome *out, struct err *err)
{
    if (sqlite3_get_autocommit(t->source->db) && t->request->batch != 1)
        return err_set(err, -EINVAL,
                       "table \"%s\": a trigger or constraint of it rolls whole transactions back "
                       "(%s); import with --batch-size 1",
                       t->info->name, sqlite3_errmsg(t->source->db));
    switch (rc) {
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_ROWID:
        return meets(t, r, st, out, err);
    case SQLITE_CONSTRAINT_FOREIGNKEY:
        *out = ROW_ORPHAN;
        say_orphan(t, r, err);
        return 0;
    default:
        break;
    }
    int kind = rc & 0xff;
    if (kind != SQLITE_CONSTRAINT && kind != SQLITE_MISMATCH && kind != SQLITE_TOOBIG &&
        kind != SQLITE_ERROR)
        return failed(t, rc, err);
    *out = ROW_REFUSED;
    err_set(err, 0, "%s", sqlite3_errmsg(t->source->db));
    return 0;
}

static bool any_cell(const struct target *t)
{
    for (size_t i = 0; i < t->info->column_count; i++)
        if (t->cells[i].kind != CELL_NONE)
            return true;
    return false;
}

/* Foreign keys that are DEFERRED are judged at the end of a transaction, which would refuse all of
 * it: SQLite tells whether one waits (SQLITE_DBSTATUS_DEFERRED_FKS), and the record alone is
 * undone.
 */
static bool left_open(const struct target *t)
{
    int now = 0, ignored;

    sqlite3_db_status(t->source->db, SQLITE_DBSTATUS_DEFERRED_FKS, &now, &ignored, 0);
    return now != 0;
}

static int insert(struct target *t, const struct target_record *r, struct target_statement *st,
                  enum import_outcome *out, struct err *err)
{
    int rc = sqlite3_step(st->insert);

    if (rc != SQLITE_DONE)
        return judge(t, r, st, sqlite3_extended_errcode(t->source->db), out, err);
    *out = sqlite3_changes(t->source->db) > 0 ? ROW_IMPORTED : ROW_REFUSED;
    if (*out == ROW_REFUSED)
        err_set(err, 0, "a trigger of the table left it out (RAISE(IGNORE))");
    return 0;
}

static int savepoint(struct target *t, const char *sql, struct err *err)
{
    int rc = t->deferred && !sqlite3_get_autocommit(t->source->db) ? source_exec(t->source, sql)
                                                                   : SQLITE_OK;

    return rc == SQLITE_OK ? 0 : failed(t, rc, err);
}

static int put(struct target *t, const struct target_record *r, enum import_outcome *out,
               struct err *err)
{
    struct target_statement *st = NULL;
    int rc = target_match(t, r, err);

    if (rc == 0 && !any_cell(t))
        rc = err_set(err, -EINVAL, "none of its fields is a column of the table");
    if (rc == 0)
        rc = statement(t, &st, err);
    if (rc == 0)
        rc = bind_cells(t, r, st->insert, err);
    if (rc == 0)
        rc = savepoint(t, "SAVEPOINT syncd_record", err);
    if (rc < 0 || !st)
        return rc;
    rc = insert(t, r, st, out, err);
    sqlite3_reset(st->insert);
    sqlite3_clear_bindings(st->insert);
    if (rc == 0 && t->deferred && *out == ROW_IMPORTED && left_open(t)) {
        rc = savepoint(t, "ROLLBACK TO syncd_record", err);
        *out = ROW_ORPHAN;
        say_orphan(t, r, err);
    }
    return rc == 0 ? savepoint(t, "RELEASE syncd_record", err) : rc;
}

int target_put(struct target *t, const struct target_record *r, enum import_outcome *out,
               struct err *err)
{
    int rc = put(t, r, out, err);

    if (rc != -EINVAL || sqlite3_get_autocommit(t->source->db))
        return rc;
    *out = ROW_REFUSED;
    return 0;
}
