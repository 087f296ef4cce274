#include "jobs/import.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "jobs/backup.h"
#include "jobs/import_internal.h"
#include "jobs/import_rows.h"

#define PATIENCE (60 * USEC_PER_SEC) /* for the lock of a database that the application holds */
enum { MAX_BACKUPS = 100, PACKED_TIMES = 8, ROOM_LEFT = 16 * 1024 * 1024 };

struct job {
    struct import_run run;
    struct import_request q; /* as it was asked for, but for the database of a dry run */
    struct catalog *catalog;
    struct buf ddl; /* tables that are to be made, a statement each */
    struct import_list new_tables;
    json_t *left_out; /* files of directories that no table is for */
    bool made_database;
    char *backup;
};

static int no_memory(struct err *err)
{
    return err_set(err, -ENOMEM, "out of memory");
}

static void say(const struct job *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(const struct job *j, const char *fmt, ...)
{
    struct err sentence;
    va_list args;

    va_start(args, fmt);
    err_setv(&sentence, 0, fmt, args);
    va_end(args);
    j->q.ui->say(j->q.ui->arg, sentence.text);
}

/* --- the database ----------------------------------------------------------------------------- */

/* An empty database with a header, which a file of no bytes lacks. */
static int make_database(const char *path, struct err *err)
{
    sqlite3 *db = NULL;
    int rc = sqlite3_open(path, &db);

    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db,
                          "BEGIN; CREATE TABLE _syncd_import(id); DROP TABLE _syncd_import; COMMIT",
                          NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        err_set(err, -EIO, "database %s cannot be made: %s", path, sqlite3_errmsg(db));
    sqlite3_close(db);
    return rc == SQLITE_OK ? 0 : -EIO;
}

static int open_database(struct job *j, struct err *err)
{
    struct import_request *q = &j->q;
    int rc;

    if (access(q->database, F_OK) < 0 && !q->create)
        return err_set(err, -EINVAL,
                       "database %s does not exist; check --to, or say --create to make it, with "
                       "tables as the records need them",
                       q->database);
    if (access(q->database, F_OK) < 0) {
        if ((rc = make_database(q->database, err)) < 0)
            return rc;
        j->made_database = true;
        q->backup = false;
    }
    enum source_problem p = source_open_patiently(q->database, PATIENCE, &j->run.source, err);
    if (p != SOURCE_OK)
        return p == SOURCE_MISSING || p == SOURCE_NOT_A_DATABASE || p == SOURCE_OWNER ? -EINVAL
                                                                                      : -EIO;
    source_bound_values(j->run.source, false);
    int sql = source_exec(j->run.source, "PRAGMA foreign_keys=ON");
    if (sql == SQLITE_OK)
        sql = source_query_int(j->run.source,
                               "SELECT count(*) FROM main.sqlite_schema WHERE name = "
                               "'_syncd_journal'",
                               &j->run.version);
    j->run.mirrored = j->run.version > 0;
    if (sql == SQLITE_OK)
        sql = source_query_int(j->run.source, "PRAGMA data_version", &j->run.version);
    if (sql != SQLITE_OK) {
        source_problem_of(j->run.source, sql, "opening it", err);
        return -EIO;
    }
    return 0;
}

static int read_catalog(struct job *j, struct err *err)
{
    struct catalog *c;

    if (catalog_read(j->run.source, &c, err) != SOURCE_OK)
        return -EIO;
    catalog_free(j->catalog);
    j->catalog = c;
    return 0;
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

static int no_table(const struct job *j, const struct import_file *f, const char *name,
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
static int choose_table(struct job *j, struct import_file *f, struct err *err)
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
        say(j, "%s: left out, there is no table \"%s\"", f->path, name);
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

static int choose_tables(struct job *j, struct err *err)
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

/* --- room ------------------------------------------------------------------------------------- */

static int64_t size_of(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? (int64_t)st.st_size : 0;
}

/* Rows take about as much as their JSON. */
static int check_room(const struct job *j, struct err *err)
{
    _cleanup_free_ char *dir = strdup(j->q.database);
    char *slash = dir ? strrchr(dir, '/') : NULL;
    struct statvfs fs;
    int64_t need = ROOM_LEFT + (j->q.backup && !j->q.resume ? size_of(j->q.database) : 0);

    if (slash)
        slash[slash == dir] = '\0';
    for (size_t i = 0; i < j->run.files.count; i++) {
        const char *path = j->run.files.items[i].path;
        size_t n = strlen(path);
        bool packed = n > 3 && strcmp(path + n - 3, ".gz") == 0;
        need += j->run.files.items[i].size * (packed ? PACKED_TIMES : 1);
    }
    if (!j->q.space_check || statvfs(slash ? dir : ".", &fs) < 0)
        return 0;
    int64_t room = (int64_t)(fs.f_bavail * fs.f_frsize);
    if (room >= need)
        return 0;
    return err_set(err, -ENOSPC,
                   "importing needs about %lld MiB beside %s%s, and %lld MiB are free: make room, "
                   "or say --no-space-check",
                   (long long)(need >> 20), j->q.database,
                   j->q.backup ? " (its backup included)" : "", (long long)(room >> 20));
}

/* --- what is done before the first record ----------------------------------------------------- */

static int derive_table(struct job *j, const char *table, struct err *err)
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

static int derive_tables(struct job *j, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < j->run.files.count && rc == 0; i++)
        if (!find_table(j->catalog, j->run.files.items[i].table, false))
            rc = derive_table(j, j->run.files.items[i].table, err);
    if (rc == 0 && j->ddl.len && j->q.ui->ddl)
        j->q.ui->ddl(j->q.ui->arg, j->ddl.data);
    return rc;
}

static bool no_stop(void *arg, int64_t done, int64_t total)
{
    (void)arg;
    (void)done;
    (void)total;
    return true;
}

/* One a second may have been made already, by this command or by another. */
static int back_up(struct job *j, struct err *err)
{
    _cleanup_buf_ struct buf name = {0};
    struct backup_result made;
    int rc = -EEXIST;

    if (!j->q.backup || j->q.dry_run || j->q.resume)
        return 0;
    for (int i = 1; rc == -EEXIST && i < MAX_BACKUPS; i++) {
        buf_clear(&name);
        backup_default_name(j->q.database, clock_wall(), &name);
        if (i > 1)
            buf_printf(&name, ".%d", i);
        rc = buf_ok(&name) ? backup_run(j->q.database, name.data, no_stop, NULL, &made, err)
                           : no_memory(err);
    }
    if (rc < 0)
        return rc;
    say(j, "backup: %s, %lld rows", name.data, (long long)made.rows);
    j->backup = take_ptr(name.data);
    return 0;
}

static int make_tables(struct job *j, struct err *err)
{
    struct source *s = j->run.source;
    int sql = SQLITE_OK;

    if (j->ddl.len && j->q.dry_run)
        sql = source_exec(s, j->ddl.data);
    else if (j->ddl.len && (sql = source_exec(s, "BEGIN IMMEDIATE")) == SQLITE_OK)
        sql = source_end(s, source_exec(s, j->ddl.data));
    if (sql != SQLITE_OK) {
        source_problem_of(s, sql, "making its tables", err);
        return -EIO;
    }
    return read_catalog(j, err);
}

static bool is_new(const struct job *j, const char *table)
{
    for (size_t i = 0; i < j->new_tables.count; i++)
        if (strcasecmp(j->new_tables.items[i], table) == 0)
            return true;
    return false;
}

static int open_targets(struct job *j, struct err *err)
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
static int check_assignments(const struct job *j, const struct import_list *list,
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
static int sort_files(struct job *j, struct err *err)
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
static char *what(const struct job *j)
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

/* --- the job ---------------------------------------------------------------------------------- */

static int prepare(struct job *j, struct err *err)
{
    int rc = open_database(j, err);

    if (rc == 0)
        rc = read_catalog(j, err);
    if (rc == 0)
        rc = choose_tables(j, err);
    if (rc == 0 && !import_state_pending(j->run.source) && j->q.resume) {
        say(j, "no import of this database was interrupted: beginning");
        j->q.resume = false;
    }
    if (rc == 0 && import_state_pending(j->run.source) && !j->q.resume && !j->q.restart &&
        !j->q.dry_run)
        rc = err_set(err, -EINVAL,
                     "an import into %s was interrupted: go on with it by --resume, or begin anew "
                     "by --restart (its rows stay, and are met again)",
                     j->q.database);
    if (rc == 0)
        rc = check_room(j, err);
    if (rc == 0)
        rc = derive_tables(j, err);
    if (rc == 0)
        rc = back_up(j, err);
    if (rc == 0 && j->q.dry_run) {
        int sql = source_exec(j->run.source, "BEGIN IMMEDIATE");
        j->run.writing = sql == SQLITE_OK;
        j->run.began = clock_monotonic();
        if (sql != SQLITE_OK) {
            source_problem_of(j->run.source, sql, "beginning the dry run", err);
            rc = -EIO;
        }
    }
    return rc;
}

static int begin(struct job *j, struct err *err)
{
    struct import_run *run = &j->run;
    int rc = make_tables(j, err);

    if (rc == 0)
        rc = open_targets(j, err);
    if (rc == 0)
        rc = check_assignments(j, &j->q.maps, "--map", true, err);
    if (rc == 0)
        rc = check_assignments(j, &j->q.conversions, "--convert", false, err);
    if (rc == 0)
        rc = sort_files(j, err);
    _cleanup_free_ char *described = rc == 0 ? what(j) : NULL;
    if (rc == 0 && !described)
        rc = no_memory(err);
    if (rc == 0)
        rc = import_state_open(run->source, &j->q, described, &run->state, err);
    if (rc < 0)
        return rc;
    run->place = (struct import_place){.at = {.line = 1, .first = true}};
    if (import_state_resumed(run->state, &run->place)) {
        import_take_counts(run, run->place.counts);
        run->place.counts = NULL; /* the state's */
        say(j, "going on behind %lld records", (long long)run->records);
    }
    return 0;
}

/* Statistics for the planner, of few rows: the application may be waiting. */
static int finish(struct job *j, struct err *err)
{
    if (j->q.dry_run) {
        source_rollback(j->run.source);
        return 0;
    }
    for (size_t i = 0; i < j->run.target_count; i++)
        target_forget_statements(j->run.targets[i]);
    int rc = import_state_finish(j->run.state, err);
    source_exec(j->run.source, "PRAGMA analysis_limit=400; PRAGMA optimize");
    return rc;
}

static int run_job(struct job *j, json_t **report, struct err *err)
{
    json_t *o = NULL;
    int rc = prepare(j, err);

    if (rc == 0)
        rc = begin(j, err);
    bool begun = rc == 0;
    j->made_database = j->made_database && !begun;
    if (rc == 0)
        rc = import_run(&j->run, err);
    if (rc == 0 && !(o = import_report(&j->run, err)))
        rc = -EIO;
    if (rc == 0)
        rc = finish(j, err);
    if (rc == 0) {
        json_object_set(o, "files_left_out", j->left_out);
        json_object_set_new(o, "backup", j->backup ? json_string(j->backup) : json_null());
        *report = o;
        return 0;
    }
    json_decref(o);
    if (j->run.source)
        source_rollback(j->run.source);
    struct err why = *err;
    if (begun && !j->q.dry_run)
        err_set(err, rc, "%s; what was imported until then stays: go on by --resume", why.text);
    return rc;
}

static void job_free(struct job *j)
{
    struct import_run *run = &j->run;

    import_state_close(run->state);
    for (size_t i = 0; i < run->target_count; i++)
        target_close(run->targets[i]);
    free(run->targets);
    json_decref(run->place.counts);
    json_decref(run->broken);
    json_decref(j->left_out);
    import_files_free(&run->files);
    catalog_free(j->catalog);
    source_close(run->source);
    free(j->new_tables.items);
    free(j->backup);
    buf_free(&j->ddl);
}

/* A dry run into a database that is not there yet has one of its own, for its time. */
static int stand_in(struct job *j, char path[static 64], struct err *err)
{
    snprintf(path, 64, "/tmp/syncctl-import-XXXXXX");
    _cleanup_close_ int fd = mkstemp(path);
    if (fd < 0)
        return err_set(err, -errno, "%s cannot be made: %s", path, strerror(errno));
    j->q.database = path;
    return make_database(path, err);
}

int job_import(const struct import_request *q, json_t **report, struct err *err)
{
    struct job j = {.q = *q};
    char path[64] = "";
    int rc = 0;

    j.run.q = &j.q;
    j.run.broken = json_array();
    j.left_out = json_array();
    if (!j.run.broken || !j.left_out)
        rc = no_memory(err);
    if (rc == 0)
        rc = import_files_find(q, &j.run.files, err);
    if (rc == 0 && q->dry_run && q->create && access(q->database, F_OK) < 0)
        rc = stand_in(&j, path, err);
    if (rc == 0)
        rc = run_job(&j, report, err);
    if (rc == 0 && *path)
        json_object_set_new(*report, "database", json_string(q->database));
    job_free(&j);
    if (*path)
        unlink(path);
    if (rc < 0 && j.made_database) /* and nothing is in it */
        unlink(q->database);
    return rc;
}
