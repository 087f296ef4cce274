/* Which file goes into which table, which tables are to be made, and in which order. */
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

static const struct table_info *find_table(const struct catalog *c, const char *name, bool loosely)
{
    for (size_t i = 0; i < c->count; i++)
        if (strcasecmp(c->tables[i].name, name) == 0)
            return &c->tables[i];
    for (size_t i = 0; loosely && i < c->count; i++)
        if (import_same_name(c->tables[i].name, name))
            return &c->tables[i];
    return NULL;
}

/* --- which file goes where -------------------------------------------------------------------- */

/* A name that needs no quotes, of a file's. */
static char *table_name(const char *stem)
{
    char *name = strdup(stem);

    for (char *c = name; c && *c; c++)
        if (!(*c >= 'a' && *c <= 'z') && !(*c >= 'A' && *c <= 'Z') && !(*c >= '0' && *c <= '9') &&
            !(*c & 0x80))
            *c = '_';
    return name;
}

static int no_table(const struct import_job *j, const struct import_file *f, const char *name,
                    struct err *err)
{
    _cleanup_buf_ struct buf all = {0};

    for (size_t i = 0; i < j->catalog->count && all.len < 300; i++)
        buf_printf(&all, "%s%s", i ? ", " : "", j->catalog->tables[i].name);
    return err_set(err, -EINVAL,
                   "%s: there is no table \"%s\" in %s%s%s%s; say which by --table, or --create to "
                   "make one",
                   f->path, name, j->q.database, all.len ? " (there are: " : "",
                   all.len ? all.data : "", all.len ? ")" : "");
}

/* Sets f->table to a table that is there, or is to be made. 1; 0: the file is left out. */
static int choose_table(struct import_job *j, struct import_file *f, struct err *err)
{
    _cleanup_buf_ struct buf stem = {0};

    import_files_stem(f->name, &stem);
    if (!buf_ok(&stem))
        return no_memory(err);
    const char *name = f->table ? f->table : stem.data ? stem.data : "";
    const struct table_info *t = find_table(j->catalog, name, !f->said);
    if (!t && !j->q.create) {
        if (f->said || !f->from_directory)
            return no_table(j, f, name, err);
        json_array_append_new(j->left_out, json_string(f->path));
        import_say(j, "%s: left out, there is no table \"%s\"", f->path, name);
        return 0;
    }
    if (t && t->kind != TABLE_ROWID && t->kind != TABLE_WITHOUT_ROWID)
        return err_set(err, -EINVAL, "%s: \"%s\" is no ordinary table (a view or a virtual table)",
                       f->path, t->name);
    char *chosen = t ? strdup(t->name) : f->said ? strdup(name) : table_name(name);
    free(f->table);
    f->table = chosen;
    return chosen ? 1 : no_memory(err);
}

int import_choose_tables(struct import_job *j, struct err *err)
{
    struct import_files *files = &j->run.files;
    int rc = 1;

    for (size_t i = 0; i < files->count;) {
        rc = choose_table(j, &files->items[i], err);
        if (rc < 0)
            return rc;
        if (rc)
            i++;
        else
            import_files_drop(files, i);
    }
    if (!files->count)
        return err_set(err, -EINVAL,
                       "no file is named after a table of %s: say which is which by --table "
                       "PATTERN=TABLE, or --create to make tables",
                       j->q.database);
    return 0;
}

/* --- tables that are made ----------------------------------------------------------------------
 */

static int derive_table(struct import_job *j, const char *table, struct err *err)
{
    for (size_t i = 0; i < j->new_tables.count; i++)
        if (strcasecmp(j->new_tables.items[i], table) == 0)
            return 0;
    const char **more =
        realloc(j->new_tables.items, (j->new_tables.count + 1) * sizeof *j->new_tables.items);
    if (!more)
        return no_memory(err);
    j->new_tables.items = more;
    more[j->new_tables.count++] = table;
    int rc = import_create_sql(&j->q, &j->run.files, table, &j->ddl, err);
    buf_lit(&j->ddl, ";\n");
    return rc == 0 && !buf_ok(&j->ddl) ? no_memory(err) : rc;
}

int import_derive_tables(struct import_job *j, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < j->run.files.count && rc == 0; i++)
        if (!find_table(j->catalog, j->run.files.items[i].table, false))
            rc = derive_table(j, j->run.files.items[i].table, err);
    if (rc == 0 && j->ddl.len && j->q.ui->ddl)
        j->q.ui->ddl(j->q.ui->arg, j->ddl.data);
    return rc;
}

/* --- targets -----------------------------------------------------------------------------------
 */

static bool is_new(const struct import_job *j, const char *table)
{
    for (size_t i = 0; i < j->new_tables.count; i++)
        if (strcasecmp(j->new_tables.items[i], table) == 0)
            return true;
    return false;
}

int import_open_targets(struct import_job *j, struct err *err)
{
    struct import_run *run = &j->run;
    int rc = 0;

    run->targets = calloc(run->files.count, sizeof(struct target *));
    if (!run->targets)
        return no_memory(err);
    for (size_t i = 0; i < run->files.count && rc == 0; i++) {
        const char *name = run->files.items[i].table;
        const struct table_info *info = find_table(j->catalog, name, false);
        if (import_run_target(run, name))
            continue;
        if (!info)
            return err_set(err, -EINVAL, "table \"%s\" cannot be imported into", name);
        rc = target_open(run->source, info, &j->q, &run->targets[run->target_count], err);
        if (rc == 0)
            run->targets[run->target_count++]->created = is_new(j, name);
    }
    return rc == 0 ? import_order(run->source, run->targets, run->target_count, err) : rc;
}

/* A column that is named without its table must be one of some table. */
static int check_list(const struct import_job *j, const struct import_list *list,
                      const char *option, bool right, struct err *err)
{
    for (size_t i = 0; i < list->count; i++) {
        bool found = false;
        _cleanup_buf_ struct buf left = {0};
        const char *other = "", *column = "";
        for (size_t k = 0; k < j->run.target_count && !found; k++) {
            const struct table_info *t = j->run.targets[k]->info;
            if (!import_assignment(list->items[i], t->name, &left, &other) || !buf_ok(&left))
                continue;
            column = right ? other : left.data;
            found = !*column || table_column(t, column) >= 0;
        }
        if (!found)
            return err_set(err, -EINVAL, "%s %s: none of the tables has such a column", option,
                           list->items[i]);
    }
    return 0;
}

/* Files in the order of their tables; as they were given within one. */
int import_sort_files(struct import_job *j, struct err *err)
{
    struct import_run *run = &j->run;
    struct import_file *sorted = calloc(run->files.count, sizeof *sorted);
    size_t n = 0;

    if (!sorted)
        return no_memory(err);
    for (size_t k = 0; k < run->target_count; k++)
        for (size_t i = 0; i < run->files.count; i++)
            if (strcasecmp(run->files.items[i].table, run->targets[k]->info->name) == 0)
                sorted[n++] = run->files.items[i];
    free(run->files.items);
    run->files.items = sorted;
    for (size_t i = 0; i < n; i++)
        run->bytes_total += sorted[i].size;
    return 0;
}

static json_t *texts(const struct import_list *list)
{
    json_t *all = json_array();

    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(all, json_string(list->items[i]));
    return all;
}

/* What two runs have in common when the second may go on with the first. */
char *import_what(const struct import_job *j)
{
    const struct import_request *q = &j->q;
    json_t *files = json_array();

    for (size_t i = 0; i < j->run.files.count; i++)
        json_array_append_new(
            files, json_pack("[ss]", j->run.files.items[i].path, j->run.files.items[i].table));
    json_t *o = json_pack("{so so so ss si ss si}", "files", files, "maps", texts(&q->maps),
                          "conversions", texts(&q->conversions), "format",
                          q->format ? q->format : "", "uuid", (int)q->uuid, "space",
                          q->uuid_space ? q->uuid_space : "", "existing", (int)q->existing);
    char *text = o ? json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(o);
    return text;
}

int import_check_assignments(const struct import_job *j, struct err *err)
{
    int rc = check_list(j, &j->q.maps, "--map", true, err);

    return rc == 0 ? check_list(j, &j->q.conversions, "--convert", false, err) : rc;
}
