#include "jobs/iam_policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "aws/endpoint.h"
#include "aws/endpoint_url.h"
#include "base/cleanup.h"
#include "jobs/plan_list.h"
#include "source/canary.h"

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Targets of the plans, each once, in order. */
static size_t collect(const struct plan_list *l, const char **out)
{
    size_t n = 0, kept = 0;

    for (size_t i = 0; i < l->count; i++)
        if (l->plans[i] && !canary_is_table(l->catalog->tables[i].name))
            out[n++] = l->plans[i]->target;
    qsort(out, n, sizeof *out, compare_names);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || strcmp(out[kept - 1], out[i]) != 0)
            out[kept++] = out[i];
    return kept;
}

/* Of the sections, each once, in order. */
static int collect_exports(const struct config *c, struct policy_request *r, const char **out,
                           struct err *err)
{
    size_t kept = 0, n = 0;

    for (size_t i = 0; i < c->export_section_count; i++)
        if (*c->export_sections[i].from)
            out[n++] = c->export_sections[i].from;
    qsort(out, n, sizeof *out, compare_names);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || strcmp(out[kept - 1], out[i]) != 0)
            out[kept++] = out[i];
    r->export_tables = out;
    r->export_count = kept;
    if (kept == 0 && r->purposes & 1u << POLICY_EXPORT)
        return err_set(err, -EINVAL,
                       "no [export \"TABLE\"] section of the configuration names a DynamoDB table, "
                       "so that no right is needed to export");
    return 0;
}

static int print(const struct config *c, struct policy_request *r, const struct plan_list *l,
                 struct buf *out, struct err *err)
{
    _cleanup_free_ const char **tables = calloc(l->count ? l->count : 1, sizeof *tables);

    if (!tables)
        return err_set(err, -EIO, "out of memory");
    r->tables = tables;
    r->table_count = collect(l, tables);
    r->meta_table = c->meta_table;
    r->create_tables = c->create_tables;
    r->tags = c->tag.count > 0;
    r->recovery = c->point_in_time_recovery;
    r->protection = c->deletion_protection;
    for (size_t i = 0; i < l->count; i++)
        if (l->plans[i]) {
            r->indexes |= l->plans[i]->index_count > 0;
            r->ttl |= l->plans[i]->ttl_attribute != NULL;
        }
    if (r->table_count == 0 && r->purposes != 1u << POLICY_EXPORT)
        return err_set(err, -EINVAL,
                       "no table of %s is mirrored, so no right is needed; see `syncctl check`",
                       c->database);
    policy_print(r, out);
    return buf_ok(out) ? 0 : err_set(err, -EIO, "out of memory");
}

int job_iam_policy(const struct config *c, unsigned purposes, const char *account, struct buf *out,
                   struct err *note, struct err *err)
{
    struct endpoint endpoint;
    struct plan_list l = {0};
    const struct endpoint_request er = {.region = c->region,
                                        .endpoint_url = c->endpoint_url,
                                        .profile = c->profile,
                                        .credentials_file = c->credentials_file,
                                        .allow_plain_http = c->allow_plain_http};
    int rc = endpoint_resolve(&er, &endpoint, err);

    note->text[0] = '\0';
    if (rc == 0 && purposes != 1u << POLICY_EXPORT) /* which asks no database */
        rc = plan_list_make(c, &l, err);
    if (rc < 0)
        return rc;
    struct policy_request r = {.purposes = purposes,
                               .partition = aws_partition_of(endpoint.region)->name,
                               .region = endpoint.region,
                               .account = account};
    _cleanup_free_ const char **exports = calloc(c->export_section_count + 1, sizeof *exports);
    rc = exports ? collect_exports(c, &r, exports, err) : err_set(err, -EIO, "out of memory");
    if (rc == 0)
        rc = print(c, &r, &l, out, err);
    if (rc == 0 && policy_length(out) > POLICY_MANAGED_MAX)
        err_set(note, 0,
                "the policy has %zu characters and a managed policy holds %d: divide its tables "
                "over several, or end the ARNs of tables that begin alike with *",
                policy_length(out), POLICY_MANAGED_MAX);
    plan_list_free(&l);
    return rc;
}
