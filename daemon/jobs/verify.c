#include "jobs/verify.h"

#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "jobs/verify_internal.h"

/* --- what is compared ------------------------------------------------------------------------- */

static bool is_wanted(const struct verify_options *o, const char *name)
{
    for (size_t i = 0; i < o->table_count; i++)
        if (strcasecmp(o->tables[i], name) == 0)
            return true;
    return o->table_count == 0;
}

static int choose(struct verify *v)
{
    struct compared *x = &v->compared;

    for (size_t i = 0; i < v->options->table_count; i++)
        if (!compared_find(x, v->options->tables[i], v->err))
            return -EINVAL;
    v->figures = calloc(x->count + 1, sizeof *v->figures);
    if (!v->figures)
        return err_set(v->err, -ENOMEM, "out of memory");
    v->result->tables = v->figures;
    v->result->count = x->count;
    for (size_t i = 0; i < x->count; i++) {
        struct verify_table *f = &v->figures[i];
        f->wanted = is_wanted(v->options, x->tables[i].name);
        f->name = strdup(x->tables[i].name);
        f->target = strdup(x->tables[i].plan->target);
        if (!f->name || !f->target)
            return err_set(v->err, -ENOMEM, "out of memory");
    }
    return 0;
}

void verify_result_free(struct verify_result *r)
{
    for (size_t i = 0; i < r->count; i++) {
        free((char *)r->tables[i].name);
        free((char *)r->tables[i].target);
    }
    free(r->tables);
    *r = (struct verify_result){0};
}

/* --- one DynamoDB table ----------------------------------------------------------------------- */

/* For how far it is; nothing else depends on it. */
static void count_rows(struct verify *v, size_t table)
{
    char *sql = sqlite3_mprintf("SELECT count(*) FROM main.\"%w\"", v->figures[table].name);
    int64_t n = 0;

    if (sql && source_query_int(v->compared.source, sql, &n) == SQLITE_OK)
        v->total += n;
    sqlite3_free(sql);
}

static int verify_target(struct verify *v, size_t first)
{
    struct compared *x = &v->compared;

    v->target = x->tables[first].plan->target;
    v->schema = &x->tables[first].plan->schema;
    v->first = first;
    v->units = 0;
    v->met = v->total = 0;
    for (size_t i = first; i < x->count; i++)
        if (v->edge->progress && verify_is_here(v, i) && v->figures[i].wanted)
            count_rows(v, i);
    int rc = work_reset(v->work) < 0 ? verify_work_failed(v) : 0;
    if (rc == 0)
        rc = v->options->sample ? verify_sample(v) : verify_scan_items(v);
    if (rc == 0 && !v->options->sample)
        rc = verify_scan_rows(v);
    if (rc == 0)
        rc = verify_judge(v);
    v->figures[first].read_units = v->units;
    return rc;
}

/* Each DynamoDB table once, at the first of the tables that are wanted there. */
static int verify_targets(struct verify *v)
{
    struct compared *x = &v->compared;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < x->count; i++) {
        bool done = !v->figures[i].wanted;
        for (size_t k = 0; k < i && !done; k++)
            done = v->figures[k].wanted && strcmp(v->figures[k].target, v->figures[i].target) == 0;
        if (!done)
            rc = verify_target(v, i);
    }
    return rc;
}

/* --- all of it -------------------------------------------------------------------------------- */

/* What the daemon has not sent yet would be looked at twice for nothing. */
static int settle_first(struct verify *v)
{
    struct err why;
    int rc = v->edge->daemon ? v->edge->settle(v->edge->arg, &why) : 0;

    return rc < 0 && rc != -EAGAIN ? err_set(v->err, rc, "%s", why.text) : 0;
}

static int run(struct verify *v)
{
    _cleanup_free_ char *state = strdup(v->config->state_path ? v->config->state_path : "");

    if (!state)
        return err_set(v->err, -ENOMEM, "out of memory");
    int rc = settle_first(v);
    if (rc == 0)
        rc = work_open(state[0] ? dirname(state) : NULL, &v->work, v->err);
    if (rc == 0)
        rc = verify_targets(v);
    if (rc == 0)
        rc = verify_mend(v);
    work_close(v->work);
    return rc;
}

int job_verify(const struct config *c, const struct verify_options *o, const struct verify_edge *e,
               struct verify_result *out, struct err *err)
{
    struct verify v = {.config = c, .options = o, .edge = e, .result = out, .err = err};

    *out = (struct verify_result){0};
    int rc = compared_open(c, &v.compared, err);
    if (rc == 0)
        rc = choose(&v);
    if (rc == 0)
        rc = connection_open(&v.connection, c, err);
    if (rc == 0) {
        rc = run(&v);
        connection_close(&v.connection);
    }
    compared_close(&v.compared);
    return rc;
}
