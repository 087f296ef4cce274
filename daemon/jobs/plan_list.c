#include "jobs/plan_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "mirror/plans.h"
#include "source/canary.h"

/* For a commit or a checkpoint of others. */
#define PATIENCE (5 * USEC_PER_SEC)

void plan_list_free(struct plan_list *l)
{
    for (size_t i = 0; i < l->count; i++) {
        plan_free(l->plans[i]);
        free(l->refusals[i]);
    }
    free(l->plans);
    free(l->refusals);
    catalog_free(l->catalog);
}

/* As the daemon does: several tables may share a target, if they make keys of one kind. */
static int plan_one(const struct config *c, struct plan_list *l, size_t i)
{
    struct err why = {0};
    int rc = plans_make(c, &l->catalog->tables[i], &l->plans[i], &why);

    for (size_t k = 0; rc == 0 && k < i; k++)
        if (l->plans[k] && strcmp(l->plans[k]->target, l->plans[i]->target) == 0 &&
            !key_schema_same(&l->plans[k]->schema, &l->plans[i]->schema)) {
            rc = err_set(&why, -ENOTSUP,
                         "it would share DynamoDB table %s with \"%s\", whose key is another; set "
                         "another target, or the same key names and types",
                         l->plans[i]->target, l->catalog->tables[k].name);
            plan_free(take_ptr(l->plans[i]));
        }
    if (rc < 0)
        l->refusals[i] = strdup(why.text);
    return rc == -ENOMEM || (rc < 0 && !l->refusals[i]) ? -ENOMEM : 0;
}

int plan_list_make(const struct config *c, struct plan_list *out, struct err *err)
{
    struct plan_list l = {0};
    struct source *s = NULL;

    if (source_open_patiently(c->database, PATIENCE, &s, err) != SOURCE_OK)
        return -EIO;
    enum source_problem p = catalog_read(s, &l.catalog, err);
    source_close(s);
    if (p != SOURCE_OK)
        return -EIO;
    if (c->canary && canary_describe(l.catalog) != SQLITE_OK) {
        catalog_free(l.catalog);
        return err_set(err, -ENOMEM, "out of memory");
    }
    l.count = l.catalog->count;
    l.plans = calloc(l.count ? l.count : 1, sizeof *l.plans);
    l.refusals = calloc(l.count ? l.count : 1, sizeof *l.refusals);
    int rc = l.plans && l.refusals ? 0 : -ENOMEM;
    for (size_t i = 0; rc == 0 && i < l.count; i++)
        if (plans_covers(c, &l.catalog->tables[i]))
            rc = plan_one(c, &l, i);
    if (rc < 0) {
        l.count = l.plans && l.refusals ? l.count : 0;
        plan_list_free(&l);
        return err_set(err, rc, "out of memory");
    }
    *out = l;
    return 0;
}
