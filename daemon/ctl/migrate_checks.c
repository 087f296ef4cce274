/* Everything that can be found out before anything is changed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ctl/bar.h"
#include "ctl/migrate.h"
#include "jobs/check.h"
#include "jobs/fingerprint.h"
#include "source/canary.h"

/* --- the daemon ------------------------------------------------------------------------------- */

static const struct table_plan *plan_of(const struct migrate *m, const char *table)
{
    for (size_t i = 0; i < m->plans.count; i++)
        if (m->plans.plans[i] && strcasecmp(m->plans.plans[i]->table, table) == 0)
            return m->plans.plans[i];
    return NULL;
}

static int differs(const struct migrate *m, const char *table, const char *how)
{
    struct err err;

    return ctl_fail(
        err_set(&err, -EINVAL,
                "table \"%s\" is %s by the running daemon than by %s: give both the same "
                "configuration (restart the daemon, or `syncctl reload`)",
                table, how, *m->config->file ? m->config->file : "what was said here"),
        &err);
}

/* A table that this side maps and the daemon does not, or the other way round, differs, too; but
 * for the canary's, and for one that the daemon takes up after a minute. */
static int compare_tables(const struct migrate *m, const json_t *tables)
{
    const json_t *o;
    size_t i, known = 0, ours = 0;

    json_array_foreach(tables, i, o)
    {
        const char *name = field_text(o, "name");
        const struct table_plan *p = plan_of(m, name);
        char mine[FINGERPRINT_SIZE];
        bool mapped = json_is_string(json_object_get(o, "fingerprint"));
        if (!p && !mapped)
            continue;
        if (!p || !mapped)
            return differs(m, name, p ? "left out, other" : "mirrored, other");
        if (fingerprint_of(p, mine) < 0 || strcmp(mine, field_text(o, "fingerprint")) != 0)
            return differs(m, name, "mapped in another way");
        known++;
    }
    for (i = 0; i < m->plans.count; i++)
        ours += m->plans.plans[i] && !canary_is_table(m->plans.plans[i]->table);
    for (i = 0; known < ours && i < m->plans.count; i++) {
        bool there = false;
        if (!m->plans.plans[i] || canary_is_table(m->plans.plans[i]->table))
            continue;
        size_t k;
        json_array_foreach(tables, k, o) there |=
            strcasecmp(field_text(o, "name"), m->plans.plans[i]->table) == 0;
        if (!there) {
            fprintf(stderr,
                    "syncctl: table \"%s\" is not known to the running daemon yet, which takes it "
                    "up a minute after it was made, or when it is restarted; try again then\n",
                    m->plans.plans[i]->table);
            return CTL_FAILURES;
        }
    }
    return CTL_DONE;
}

static bool same_file(const char *a, const char *b)
{
    _cleanup_free_ char *real_a = realpath(a, NULL);
    _cleanup_free_ char *real_b = realpath(b, NULL);

    return real_a && real_b && strcmp(real_a, real_b) == 0;
}

static int compare_daemon(struct migrate *m, const json_t *root)
{
    const char *url = field_text(root, "endpoint");
    struct err err;

    if (!same_file(field_text(root, "database"), m->config->database)) {
        if (m->ctl->request.database) /* the socket was a guess */
            return CTL_DONE;
        return ctl_fail(err_set(&err, -EINVAL,
                                "the daemon that answers on the configuration's socket mirrors %s, "
                                "not %s: name its socket (--socket), or restart it",
                                field_text(root, "database"), m->config->database),
                        &err);
    }
    if (strcmp(url, m->endpoint.url) != 0)
        return ctl_fail(err_set(&err, -EINVAL,
                                "the running daemon sends to %s, and not to %s: stop it, or give "
                                "both the same region and endpoint",
                                url, m->endpoint.url),
                        &err);
    if (m->batch_size && m->batch_size != field_count(root, "batch_size"))
        return ctl_fail(
            err_set(&err, -EINVAL,
                    "--batch-size is for a move without a running daemon: the one that "
                    "runs sends %lld items in a request ([dynamodb] batch_size, which a "
                    "reload takes)",
                    (long long)field_count(root, "batch_size")),
            &err);
    m->running = true;
    return compare_tables(m, json_object_get(root, "tables"));
}

int migrate_find_daemon(struct migrate *m)
{
    struct err err;
    int r;
    json_auto_t *root = ctl_ask_json(m->ctl, "GET", "/v1/mapping", 30 * USEC_PER_SEC, &r, &err);

    if (r == -ECONNREFUSED)
        return CTL_DONE;
    return root ? compare_daemon(m, root) : ctl_fail(r == -EINVAL ? -EIO : r, &err);
}

/* --- rows ------------------------------------------------------------------------------------- */

static bool on_rows(void *arg, int64_t rows)
{
    bar_update(arg, rows, 0, clock_monotonic());
    return !migrate_interrupted();
}

static int survey(struct migrate *m)
{
    struct bar bar = bar_make(m->ctl, "check", "rows", NULL, 0);
    struct err err;
    int r = orphans_open(m->source, &m->plans, &m->orphans, &err);

    if (r == 0)
        r = survey_run(m->source, &m->plans, &m->orphans, on_rows, &bar, &m->survey, &err);
    orphans_leave(&m->orphans);
    bar_end(&bar);
    return r == -EINTR ? (ctl_fail(r, &err), CTL_FAILURES) : r < 0 ? ctl_fail(r, &err) : CTL_DONE;
}

/* --- DynamoDB --------------------------------------------------------------------------------- */

static int look_at_targets(struct migrate *m)
{
    struct connection x;
    struct err err;
    int r = connection_open(&x, m->config, &err);

    if (r < 0)
        return ctl_fail(r, &err);
    m->endpoint = x.endpoint;
    snprintf(m->credentials, sizeof m->credentials, "%s", x.provider_name);
    r = target_looks_make(&x, m->config, &m->plans, &m->targets, &err);
    connection_close(&x);
    return r < 0 ? ctl_fail(r, &err) : CTL_DONE;
}

static int wrong_targets(const struct migrate *m)
{
    int r = CTL_DONE;

    for (size_t i = 0; i < m->targets.count; i++)
        if (m->targets.list[i].wrong.text[0])
            r = ctl_fail(-EINVAL, &m->targets.list[i].wrong);
    return r;
}

enum { BILLED_BESIDE = 100 }; /* bytes of every item (DynamoDB's pricing page, "Data storage") */

static int reckon(struct migrate *m)
{
    _cleanup_free_ struct estimate_target *list =
        calloc(m->targets.count ? m->targets.count : 1, sizeof *list);

    if (!list) {
        fputs("syncctl: no memory\n", stderr);
        return CTL_UNREACHABLE;
    }
    for (size_t i = 0; i < m->targets.count; i++) {
        const struct target_look *t = &m->targets.list[i];
        list[i].provisioned = t->provisioned;
        list[i].rate = t->provisioned ? t->write_units : 0;
        for (size_t k = 0; k < m->survey.count; k++) {
            const struct survey_table *s = &m->survey.tables[k];
            if (strcmp(m->plans.plans[s->plan]->target, t->plan->target) == 0)
                list[i].write_units += s->write_units;
        }
    }
    m->estimate = estimate_make(m->config, list, m->targets.count,
                                m->survey.bytes + m->survey.rows * BILLED_BESIDE);
    return CTL_DONE;
}

/* --- all of it -------------------------------------------------------------------------------- */

int migrate_check(struct migrate *m)
{
    struct err err;

    if (survey_open(m->config->database, &m->source, &err) != SOURCE_OK)
        return ctl_fail(-EIO, &err);
    int r = plan_list_make(m->config, &m->plans, &err);
    if (r < 0)
        return ctl_fail(r, &err);
    m->planned = true;
    if ((r = check_sections(m->config, &m->plans, &err)) < 0)
        return ctl_fail(r, &err);
    if ((r = look_at_targets(m)) != CTL_DONE || (r = migrate_find_daemon(m)) != CTL_DONE)
        return r;
    if ((r = wrong_targets(m)) != CTL_DONE || (r = survey(m)) != CTL_DONE)
        return r;
    source_close(m->source);
    m->source = NULL;
    return reckon(m);
}
