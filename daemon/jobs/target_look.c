#include "jobs/target_look.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "dynamodb/tables.h"
#include "jobs/call.h"

const struct target_look *target_looks_find(const struct target_looks *l, const char *target)
{
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->list[i].plan->target, target) == 0)
            return &l->list[i];
    return NULL;
}

/* Its capacity, and whether its key is ours. */
static int read_description(struct target_look *t, const json_t *reply, struct err *err)
{
    const json_t *table = json_object_get(reply, "Table");
    const char *mode = json_string_value(
        json_object_get(json_object_get(table, "BillingModeSummary"), "BillingMode"));
    const json_t *through = json_object_get(table, "ProvisionedThroughput");
    struct table_description d;
    char *text = json_dumps(reply, JSON_COMPACT);

    if (!text)
        return err_set(err, -ENOMEM, "out of memory");
    int rc = tables_read(text, strlen(text), t->plan->target, &t->plan->schema, &d, err);
    free(text);
    if (rc == -EEXIST)
        t->wrong = *err;
    else if (rc < 0)
        return rc;
    t->there = true;
    t->items = json_integer_value(json_object_get(table, "ItemCount"));
    t->write_units = json_integer_value(json_object_get(through, "WriteCapacityUnits"));
    t->provisioned = t->write_units > 0 && !(mode && strcmp(mode, "PAY_PER_REQUEST") == 0);
    return 0;
}

static int look(struct connection *x, const struct config *c, struct target_look *t,
                struct err *err)
{
    struct buf body = {0};
    json_t *reply = NULL;

    tables_describe_body(&body, t->plan->target);
    int rc = job_call(x, "DescribeTable", &body, &reply, err);
    if (rc == 0) {
        rc = read_description(t, reply, err);
        json_decref(reply);
        return rc;
    }
    t->provisioned = c->billing_mode == BILLING_PROVISIONED;
    t->write_units = t->provisioned ? c->write_capacity : 0;
    return rc == -ENOENT ? 0 : rc == -EACCES ? -EINVAL : rc;
}

int target_looks_make(struct connection *x, const struct config *c, const struct plan_list *plans,
                      struct target_looks *out, struct err *err)
{
    struct target_looks l = {.list = calloc(plans->count ? plans->count : 1, sizeof *l.list)};
    int rc = l.list ? 0 : err_set(err, -ENOMEM, "out of memory");

    for (size_t i = 0; rc == 0 && i < plans->count; i++) {
        if (!plans->plans[i] || target_looks_find(&l, plans->plans[i]->target))
            continue;
        l.list[l.count].plan = plans->plans[i];
        rc = look(x, c, &l.list[l.count++], err);
    }
    if (rc < 0) {
        free(l.list);
        return rc;
    }
    *out = l;
    return 0;
}
