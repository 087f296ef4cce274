#include "jobs/table_facts.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "jobs/call.h"

void table_answers_clear(struct table_answers *a)
{
    json_decref(a->describe);
    json_decref(a->ttl);
    json_decref(a->recovery);
    json_decref(a->tags);
    *a = (struct table_answers){0};
}

static const char *member(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s ? s : "";
}

int table_describe(struct connection *x, const char *table, struct table_answers *out,
                   struct err *err)
{
    struct buf body = {0};

    tables_name_body(&body, table);
    int rc = job_call(x, "DescribeTable", &body, &out->describe, err);
    if (rc < 0)
        return rc;
    out->facts.table = tables_description(out->describe);
    if (!json_is_object(out->facts.table))
        return err_set(err, -EIO, "the description of DynamoDB table %s is no such reply", table);
    return 0;
}

/* A refusal is no reason to give up: the rest can still be compared. */
static int refused(struct table_answers *out, int rc, const struct err *why)
{
    if (rc != -EACCES && rc != -EINVAL)
        return rc;
    if (!out->unknown.text[0])
        out->unknown = *why;
    return 0;
}

static int ask_ttl(struct connection *x, const char *table, struct table_answers *out,
                   struct err *err)
{
    struct buf body = {0};

    tables_name_body(&body, table);
    int rc = job_call(x, "DescribeTimeToLive", &body, &out->ttl, err);
    if (rc < 0)
        return refused(out, rc, err);
    out->facts.ttl = json_object_get(out->ttl, "TimeToLiveDescription");
    return 0;
}

static int ask_recovery(struct connection *x, const char *table, struct table_answers *out,
                        struct err *err)
{
    struct buf body = {0};

    tables_name_body(&body, table);
    int rc = job_call(x, "DescribeContinuousBackups", &body, &out->recovery, err);
    if (rc < 0)
        return refused(out, rc, err);
    out->facts.recovery = json_object_get(out->recovery, "ContinuousBackupsDescription");
    return 0;
}

/* Page by page: a page holds ten or so. */
static int ask_tags(struct connection *x, struct table_answers *out, struct err *err)
{
    json_auto_t *reply = NULL, *all = json_array();
    int rc = 0;

    do {
        struct buf body = {0};
        const char *token = json_string_value(json_object_get(reply, "NextToken"));
        tables_list_tags_body(&body, table_arn(&out->facts), token);
        json_t *page = NULL;
        rc = job_call(x, "ListTagsOfResource", &body, &page, err);
        json_decref(reply);
        reply = page;
        if (rc == 0 && json_array_extend(all, json_object_get(page, "Tags")) < 0)
            rc = err_set(err, -EIO, "the answer of ListTagsOfResource has no tags");
    } while (rc == 0 && json_is_string(json_object_get(reply, "NextToken")));
    if (rc < 0)
        return refused(out, rc, err);
    out->tags = json_incref(all);
    out->facts.tags = out->tags;
    return 0;
}

int table_facts_get(struct connection *x, const struct table_definition *d,
                    struct table_answers *out, struct err *err)
{
    int rc = table_describe(x, d->table, out, err);

    if (rc == 0)
        rc = ask_ttl(x, d->table, out, err);
    if (rc == 0 && d->point_in_time_recovery)
        rc = ask_recovery(x, d->table, out, err);
    if (rc == 0 && d->tag_count && *table_arn(&out->facts))
        rc = ask_tags(x, out, err);
    return rc;
}

const char *table_arn(const struct table_facts *f)
{
    return member(f->table, "TableArn");
}

/* arn:aws:dynamodb:REGION:ACCOUNT:table/NAME */
void table_account(const struct table_facts *f, char out[16])
{
    const char *p = table_arn(f);

    out[0] = '\0';
    for (int i = 0; p && i < 4; i++)
        p = (p = strchr(p, ':')) ? p + 1 : NULL;
    size_t n = p ? strcspn(p, ":") : 0;
    if (n > 0 && n <= 12)
        snprintf(out, 16, "%.*s", (int)n, p);
}

int64_t table_item_count(const struct table_facts *f)
{
    const json_t *n = json_object_get(f->table, "ItemCount");

    return json_is_integer(n) ? json_integer_value(n) : -1;
}
