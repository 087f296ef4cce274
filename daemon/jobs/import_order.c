/* Parents before their children. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "jobs/import_internal.h"

static int no_memory(struct err *err)
{
    return err_set(err, -ENOMEM, "out of memory");
}

/* One column of one foreign key; those of a key come one after the other. */
static int add_column(struct target *t, sqlite3_stmt *row)
{
    const char *parent = (const char *)sqlite3_column_text(row, 2);
    const char *from = (const char *)sqlite3_column_text(row, 3);
    const char *to = (const char *)sqlite3_column_text(row, 4);
    long column = from ? table_column(t->info, from) : -1;

    if (sqlite3_column_int(row, 1) == 0) {
        struct target_foreign *more = realloc(t->foreign, (t->foreign_count + 1) * sizeof *more);
        if (!more)
            return -ENOMEM;
        t->foreign = more;
        more[t->foreign_count++] = (struct target_foreign){0};
        if (!(more[t->foreign_count - 1].parent = strdup(parent ? parent : "")))
            return -ENOMEM;
    }
    struct target_foreign *f = &t->foreign[t->foreign_count - 1];
    size_t *columns = realloc(f->columns, (f->count + 1) * sizeof *columns);
    if (columns)
        f->columns = columns;
    char **tos = realloc(f->to, (f->count + 1) * sizeof *tos);
    if (tos)
        f->to = tos;
    if (!columns || !tos)
        return -ENOMEM;
    columns[f->count] = column < 0 ? 0 : (size_t)column;
    tos[f->count] = to ? strdup(to) : NULL;
    f->count++;
    return to && !tos[f->count - 1] ? -ENOMEM : 0;
}

static int read_foreign(struct source *s, struct target *t, struct err *err)
{
    sqlite3_stmt *stmt = NULL;
    char *sql = sqlite3_mprintf("PRAGMA main.foreign_key_list(\"%w\")", t->info->name);
    int rc = sql ? sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL) : SQLITE_NOMEM, result = 0;

    sqlite3_free(sql);
    while (rc == SQLITE_OK && result == 0 && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        rc = SQLITE_OK;
        if (add_column(t, stmt) < 0)
            result = no_memory(err);
    }
    sqlite3_finalize(stmt);
    if (result == 0 && rc != SQLITE_DONE) {
        source_problem_of(s, rc, "reading its foreign keys", err);
        result = -EIO;
    }
    return result;
}

/* Keys that name no columns of the parent mean its primary key. */
static void resolve(struct target *t, struct target **all, size_t count)
{
    for (size_t i = 0; i < t->foreign_count; i++) {
        struct target_foreign *f = &t->foreign[i];
        for (size_t k = 0; k < count; k++) {
            const struct table_info *parent = all[k]->info;
            if (strcasecmp(parent->name, f->parent) != 0 || parent->key_count != f->count)
                continue;
            for (size_t j = 0; j < f->count; j++)
                if (!f->to[j])
                    f->to[j] = strdup(parent->columns[parent->key[j]].name);
        }
    }
}

/* Does `t` refer to one of the targets from `from` on, but itself? */
static bool waits(const struct target *t, struct target *const *all, size_t from, size_t count)
{
    for (size_t i = 0; i < t->foreign_count; i++)
        for (size_t k = from; k < count; k++)
            if (all[k] != t && strcasecmp(all[k]->info->name, t->foreign[i].parent) == 0)
                return true;
    return false;
}

static bool refers_to_itself(const struct target *t)
{
    for (size_t i = 0; i < t->foreign_count; i++)
        if (strcasecmp(t->info->name, t->foreign[i].parent) == 0)
            return true;
    return false;
}

/* Each place gets the first that waits for none of those behind it; where all wait for each other,
 * the first, whose rows may then have to be tried again. */
static void sort(struct target **all, size_t count)
{
    for (size_t at = 0; at < count; at++) {
        size_t next = at;
        while (next < count && waits(all[next], all, at, count))
            next++;
        bool stuck = next == count;
        next = stuck ? at : next;
        struct target *t = all[next];
        memmove(all + at + 1, all + at, (next - at) * sizeof(struct target *));
        all[at] = t;
        t->cyclic = stuck || refers_to_itself(t);
    }
}

/* A deferred key of any table may be broken by a row of any other: its parent's that is updated, or
 * one whose trigger writes to it. */
static int look_for_deferred(struct source *s, struct target **targets, size_t count,
                             struct err *err)
{
    int64_t n = 0;
    int rc = source_query_int(s,
                              "SELECT count(*) FROM main.sqlite_schema WHERE type = 'table' AND "
                              "sql LIKE '%deferred%'",
                              &n);

    if (rc != SQLITE_OK) {
        source_problem_of(s, rc, "reading its foreign keys", err);
        return -EIO;
    }
    for (size_t i = 0; i < count; i++)
        targets[i]->deferred = n > 0;
    return 0;
}

int import_order(struct source *s, struct target **targets, size_t count, struct err *err)
{
    int rc = look_for_deferred(s, targets, count, err);

    for (size_t i = 0; i < count && rc == 0; i++)
        rc = read_foreign(s, targets[i], err);
    for (size_t i = 0; i < count && rc == 0; i++)
        resolve(targets[i], targets, count);
    if (rc == 0)
        sort(targets, count);
    return rc;
}
