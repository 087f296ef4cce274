#include "jobs/export.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "export/sql.h"
#include "jobs/export_file.h"
#include "jobs/export_load.h"
#include "jobs/export_raw.h"

struct job {
    const struct config *config;
    const struct export_order *order;
    struct err *err;
    bool postgres, csv;
    struct export_plan plan;
    struct export_sort sort;
    struct export_tally *tallies;
    char **paths; /* of files, for each table; of a raw export for each source */
    struct connection connection;
    struct postgres *pg;
    json_t *report, *tables, *notes, *failures;
};

static int no_memory(struct job *j)
{
    return err_set(j->err, -ENOMEM, "out of memory");
}

static void note(struct job *j, const char *text)
{
    json_array_append_new(j->notes, json_string(text));
}

/* --- where to --------------------------------------------------------------------------------- */

static bool ends_in(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);

    return n > m && strcmp(text + n - m, end) == 0;
}

static bool is_uri(const char *to)
{
    return strncmp(to, "postgresql://", 13) == 0 || strncmp(to, "postgres://", 11) == 0;
}

static int look_at_target(struct job *j)
{
    const struct export_order *o = j->order;

    j->postgres = is_uri(o->to);
    j->csv = ends_in(o->to, ".csv");
    if (j->postgres)
        return o->typed ? err_set(j->err, -EINVAL, "--typed is for .jsonl files")
                        : postgres_check(o->to, j->err);
    if (!j->csv && !ends_in(o->to, ".jsonl"))
        return err_set(j->err, -EINVAL,
                       "--to takes postgresql://HOST/DATABASE, or a file that ends in .jsonl or "
                       ".csv");
    if (o->create || o->verify)
        return err_set(j->err, -EINVAL, "%s is for PostgreSQL, and --to names a file",
                       o->create ? "--create-tables" : "--verify");
    return j->csv && o->typed ? err_set(j->err, -EINVAL, "--typed is for .jsonl files") : 0;
}

/* {table} in a file's name. */
static char *path_of(const char *to, const char *table)
{
    const char *place = strstr(to, "{table}");
    struct buf out = {0};

    buf_append(&out, to, place ? (size_t)(place - to) : strlen(to));
    if (place) {
        buf_puts(&out, table);
        buf_puts(&out, place + strlen("{table}"));
    }
    if (!buf_ok(&out))
        buf_free(&out);
    return out.data;
}

static int find_paths(struct job *j, bool raw)
{
    size_t n = raw ? j->plan.source_count : j->plan.count;
    int rc = 0;

    if (n > 1 && !strstr(j->order->to, "{table}"))
        return err_set(j->err, -EINVAL,
                       "%zu tables do not go into one file; write {table} in its name, as in "
                       "%s{table}%s",
                       n, "export-", j->csv ? ".csv" : ".jsonl");
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const char *name = raw ? j->plan.sources[i] : j->plan.tables[i].name;
        j->paths[i] = path_of(j->order->to, name);
        if (!j->paths[i])
            return no_memory(j);
        if (strchr(name, '/') && strstr(j->order->to, "{table}"))
            return err_set(j->err, -EINVAL, "the name of table %s cannot be one of a file", name);
        rc = export_file_check(j->paths[i], j->order->force || j->order->dry_run, j->err);
    }
    return rc;
}

/* --- before anything is read ------------------------------------------------------------------ */

/* A dry run looks at PostgreSQL as far as it can. */
static int look_ahead(struct job *j)
{
    const struct export_order *o = j->order;
    struct err why;
    int rc =
        postgres_open(o->to, o->dry_run || !(o->create || o->migrate), o->silence, &j->pg, &why);

    if (rc == 0 && o->create && !o->dry_run)
        rc = export_load_create(j->pg, &j->plan, j->tallies, &why);
    if (rc == 0 && (o->migrate || o->verify) && !(o->create && o->dry_run))
        rc = export_load_check(j->pg, &j->plan, &why);
    if (rc < 0 && o->dry_run) {
        note(j, why.text);
        json_object_set_new(j->report, "clean", json_false());
        return 0;
    }
    if (rc < 0)
        *j->err = why;
    return rc;
}

/* --- the report ------------------------------------------------------------------------------- */

static void add_failure(void *arg, size_t table, enum export_problem kind, const char *item,
                        const char *reason)
{
    struct job *j = arg;

    json_array_append_new(j->failures,
                          json_pack("{ss, ss, ss, ss}", "table", j->plan.tables[table].name, "kind",
                                    export_problem_word(kind), "key", item, "reason", reason));
}

static int64_t failed_rows(const struct job *j, size_t i)
{
    return spool_problem_count(j->sort.spool, i, PROBLEM_DATABASE);
}

static void report_table(struct job *j, size_t i)
{
    const struct export_table *t = &j->plan.tables[i];
    const struct export_tally *tally = &j->tallies[i];
    const struct sql_table table = {t->name, t->columns, t->column_count};
    _cleanup_buf_ struct buf ddl = {0};
    json_t *o = json_pack("{ss, ss, sI, sI, sI, sI, sI, sb}", "name", t->name, "from", t->from,
                          "found", (json_int_t)export_sort_found(&j->sort, i), "invalid",
                          (json_int_t)export_sort_invalid(&j->sort, i), "migrated",
                          (json_int_t)tally->migrated, "unchanged", (json_int_t)tally->unchanged,
                          "failed", (json_int_t)failed_rows(j, i), "created", tally->created);

    json_object_set(o, "samples", json_array_get(j->sort.samples, i));
    if (j->order->verify && j->order->dry_run == false) {
        json_object_set_new(o, "verified", json_integer(tally->compared));
        json_object_set_new(o, "different", json_integer(tally->different));
        json_object_set_new(o, "missing", json_integer(tally->missing));
        json_object_set_new(o, "extra", json_integer(tally->extra));
    }
    if (j->paths[i])
        json_object_set_new(o, "file", json_string(j->paths[i]));
    sql_create_table(&table, &ddl);
    if (j->order->create && buf_ok(&ddl))
        json_object_set_new(o, "ddl", json_string(ddl.data));
    json_array_append_new(j->tables, o);
}

static void report_problems(struct job *j)
{
    json_t *kinds = json_object();

    for (int k = 0; k < PROBLEM_KINDS; k++) {
        int64_t n = 0;
        for (size_t i = 0; i < j->plan.count; i++)
            n += spool_problem_count(j->sort.spool, i, (enum export_problem)k);
        if (n)
            json_object_set_new(kinds, export_problem_word((enum export_problem)k),
                                json_integer(n));
    }
    json_object_set_new(j->report, "problems", kinds);
}

/* In tenths of a percent, cut: nothing that failed is hidden by rounding. */
static void report_rate(struct job *j)
{
    int64_t found = 0, good = 0;
    bool bad = false;

    for (size_t i = 0; i < j->plan.count; i++) {
        int64_t all = export_sort_found(&j->sort, i);
        int64_t left = export_sort_invalid(&j->sort, i) + failed_rows(j, i);
        found += all;
        good += all - left;
        bad |= left || j->tallies[i].different || j->tallies[i].missing;
    }
    int64_t tenths = found ? good * 1000 / found : 1000;
    json_object_set_new(j->report, "success_rate", json_real((double)tenths / 10));
    if (bad)
        json_object_set_new(j->report, "clean", json_false());
}

static int write_report(struct job *j)
{
    int rc = spool_problems(j->sort.spool, j->order->listed, add_failure, j, j->err);

    for (size_t i = 0; rc == 0 && i < j->plan.count; i++)
        report_table(j, i);
    report_problems(j);
    report_rate(j);
    json_object_set_new(j->report, "scanned", json_integer(j->sort.scanned));
    json_object_set_new(j->report, "unmatched", json_integer(j->sort.unmatched));
    json_object_set(j->report, "unmatched_keys", j->sort.left_over);
    return rc;
}

/* --- files ------------------------------------------------------------------------------------ */

static int write_file(struct job *j, size_t i)
{
    const struct export_table *t = &j->plan.tables[i];
    const struct export_ui *ui = j->order->ui;
    struct export_file f;
    struct spool_record r;
    int64_t total;
    int rc = export_file_open(j->paths[i], &f, j->err);

    if (rc == 0)
        line_append_head(j->sort.format, t->columns, t->column_count, &f.out);
    if (rc == 0)
        rc = spool_count(j->sort.spool, i, &total, j->err);
    if (rc == 0)
        rc = spool_rewind(j->sort.spool, i, j->err);
    while (rc == 0 && (rc = spool_next(j->sort.spool, &r, j->err)) == 1) {
        buf_append(&f.out, r.line.at, r.line.n);
        rc = export_file_flush(&f, false, j->err);
        j->tallies[i].migrated++;
        if (j->tallies[i].migrated % 1024 == 0)
            ui->progress(ui->arg, "write", "rows", j->tallies[i].migrated, total, 0);
    }
    if (rc == 0)
        rc = export_file_finish(&f, j->err);
    export_file_drop(&f);
    return rc;
}

/* Whole items, without sections. */
static int run_raw(struct job *j)
{
    bool writes = !j->order->dry_run;
    int64_t done = 0;
    int rc = find_paths(j, true);

    if (rc == 0)
        rc = connection_open(&j->connection, j->config, j->err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < j->plan.source_count; i++) {
        json_t *samples = json_array();
        int64_t before = done;
        rc = export_raw_run(&j->connection, j->order, j->plan.sources[i],
                            writes ? j->paths[i] : NULL, j->csv, samples, &done, j->err);
        int64_t n = done - before;
        json_array_append_new(j->tables,
                              json_pack("{ss, ss, sI, sI, sI, sI, sI, sb, so, ss}", "name",
                                        j->plan.sources[i], "from", j->plan.sources[i], "found",
                                        (json_int_t)n, "invalid", (json_int_t)0, "migrated",
                                        (json_int_t)(writes ? n : 0), "unchanged", (json_int_t)0,
                                        "failed", (json_int_t)0, "created", 0, "samples", samples,
                                        "file", j->paths[i]));
    }
    json_object_set_new(j->report, "scanned", json_integer(done));
    json_object_set_new(j->report, "unmatched", json_integer(0));
    json_object_set_new(j->report, "success_rate", json_real(100.0));
    json_object_set_new(j->report, "problems", json_object());
    connection_close(&j->connection);
    return rc;
}

/* --- sections --------------------------------------------------------------------------------- */

static int64_t migrated(const struct job *j)
{
    int64_t n = 0;

    for (size_t i = 0; i < j->plan.count; i++)
        n += j->tallies[i].migrated;
    return n;
}

/* After the scan, which may have taken hours: a connection that was open meanwhile may be gone. */
static int load(struct job *j)
{
    int rc;

    postgres_close(j->pg);
    j->pg = NULL;
    rc = postgres_open(j->order->to, !j->order->migrate, j->order->silence, &j->pg, j->err);
    if (rc == 0 && j->order->migrate)
        rc = export_load_run(j->pg, &j->sort, j->tallies, j->err);
    if (rc == 0 && j->order->verify)
        rc = export_verify_run(j->pg, &j->sort, j->tallies, j->failures, j->err);
    if (rc == -ECONNREFUSED && j->order->migrate) {
        struct err why = *j->err;
        err_set(j->err, rc,
                "%s; %lld rows were migrated before that, and are whole: run the same command "
                "again, and it comes to the same as if nothing had happened",
                why.text, (long long)migrated(j));
    }
    return rc;
}

static int move(struct job *j)
{
    int rc = 0;

    if (j->order->dry_run)
        return 0;
    if (j->postgres)
        return load(j);
    for (size_t i = 0; rc == 0 && i < j->plan.count; i++)
        rc = write_file(j, i);
    return rc;
}

static void say(struct job *j, const char *sentence)
{
    j->order->ui->say(j->order->ui->arg, sentence);
}

static int run_sections(struct job *j)
{
    const struct export_order *o = j->order;
    int rc = j->postgres ? look_ahead(j) : find_paths(j, false);

    if (rc == 0)
        rc = export_sort_open(&j->plan, o,
                              j->postgres ? LINE_COPY
                              : j->csv    ? LINE_CSV
                                          : LINE_JSON,
                              &j->sort, j->err);
    if (rc < 0)
        return rc;
    if (o->migrate || o->verify) {
        say(j, "reading DynamoDB, and looking at every item before anything moves");
        rc = connection_open(&j->connection, j->config, j->err);
        if (rc < 0)
            return rc;
        rc = export_sort_run(&j->sort, &j->connection, j->err);
        connection_close(&j->connection);
        if (rc == 0)
            rc = move(j);
    }
    return rc == 0 ? write_report(j) : rc;
}

static int check_sections(struct job *j)
{
    for (size_t i = 0; i < j->plan.source_count; i++)
        if (!export_plan_covers(&j->plan, j->plan.sources[i]))
            return err_set(j->err, -EINVAL,
                           "no [export \"TABLE\"] section says what becomes of the items of "
                           "DynamoDB table %s; write one with from = %s",
                           j->plan.sources[i], j->plan.sources[i]);
    return 0;
}

static int run(struct job *j)
{
    const struct export_order *o = j->order;
    int rc = look_at_target(j);

    if (rc == 0)
        rc = export_plan_make(j->config, o->from, o->from_count, j->postgres, &j->plan, j->err);
    if (rc < 0)
        return rc;
    if (j->plan.source_count == 0)
        return err_set(j->err, -EINVAL,
                       "say what is to be exported: --from TABLE, or [export \"TABLE\"] sections "
                       "in the configuration");
    size_t n = j->plan.source_count + j->plan.count + 1;
    j->tallies = calloc(n, sizeof *j->tallies);
    j->paths = calloc(n, sizeof *j->paths);
    if (!j->tallies || !j->paths)
        return no_memory(j);
    if ((j->plan.count == 0 || o->typed) && !j->postgres)
        return run_raw(j);
    rc = check_sections(j);
    return rc == 0 ? run_sections(j) : rc;
}

/* The target as it may be shown: of a URI what stands behind user and password. */
static void report_target(struct job *j)
{
    json_t *to = j->pg         ? json_string(postgres_about(j->pg))
                 : j->postgres ? json_string("PostgreSQL")
                               : json_string(j->order->to);

    json_object_set_new(j->report, "to", to);
}

int job_export(const struct config *c, const struct export_order *o, json_t **report,
               struct err *err)
{
    struct job j = {.config = c, .order = o, .err = err};

    j.tables = json_array();
    j.notes = json_array();
    j.failures = json_array();
    j.report = json_pack("{sb, sb, so, so, so}", "dry_run", o->dry_run, "clean", 1, "tables",
                         j.tables, "failures", j.failures, "notes", j.notes);
    int rc = j.report ? run(&j) : no_memory(&j);
    if (rc == 0)
        report_target(&j);
    for (size_t i = 0; j.paths && i < j.plan.source_count + j.plan.count; i++)
        free(j.paths[i]);
    free(j.paths);
    free(j.tallies);
    postgres_close(j.pg);
    if (j.sort.samples)
        export_sort_close(&j.sort);
    export_plan_free(&j.plan);
    if (rc == 0)
        *report = take_ptr(j.report);
    json_decref(j.report);
    return rc == -EPERM ? -EINVAL : rc;
}
