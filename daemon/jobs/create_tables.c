#include "jobs/create_tables.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "jobs/call.h"
#include "jobs/definitions.h"
#include "jobs/local.h"
#include "jobs/table_check.h"
#include "jobs/table_delete.h"
#include "jobs/table_facts.h"

/* An index fills for as long as it takes. */
#define POLL_FIRST (100 * USEC_PER_MSEC)
#define POLL_MAX   (2 * USEC_PER_SEC)

struct creation {
    struct connection connection;
    const struct tables_order *order;
    struct table_definition *d; /* the one at hand */
    struct err *err;
    int rc;
    bool created;
    bool tagged, added; /* by --update, of the table at hand */
    int left;           /* tables that differ */
};

const char *table_outcome_name(enum table_outcome o)
{
    static const char *const names[] = {"created", "there", "differs", "updated", "recreated"};

    return names[o];
}

/* --- making one ------------------------------------------------------------------------------- */

static void checked(void *arg, const struct table_result *r)
{
    struct creation *x = arg;

    uv_stop(&x->connection.loop); /* connections kept alive would hold it */
    x->created = r->created;
    if (r->verdict != VERDICT_READY)
        x->rc = err_set(x->err, r->verdict == VERDICT_PARKED ? -EINVAL : -EIO,
                        "DynamoDB table %s: %s (%s)", x->d->table, r->reason, r->code);
    else if (r->unfinished[0])
        x->rc = err_set(x->err, -EIO, "%s", r->unfinished);
}

/* Make it where it is missing, and wait. x->created says which. */
static int make_sure(struct creation *x)
{
    struct table_definition *copy = NULL;

    x->rc = 0;
    if (table_definition_copy(x->d, &copy) < 0 ||
        !table_check_start(&x->connection.loop, x->connection.ddb, x->d->table, &x->d->key, copy,
                           checked, x))
        return err_set(x->err, -ENOMEM, "out of memory");
    uv_run(&x->connection.loop, UV_RUN_DEFAULT);
    return x->rc;
}

/* --- adding what is missing ------------------------------------------------------------------- */

/* Until no change is under way: DynamoDB takes one at a time. */
static int wait_until_settled(struct creation *x)
{
    for (usec wait = POLL_FIRST;; wait = wait * 2 < POLL_MAX ? wait * 2 : POLL_MAX) {
        struct table_description now = {.status = TABLE_UNKNOWN};
        struct table_answers a = {0};
        int rc = table_describe(&x->connection, x->d->table, &a, x->err);
        if (rc == 0)
            rc = tables_read_json(a.describe, x->d->table, &x->d->key, &now, x->err);
        table_answers_clear(&a);
        if (rc < 0 || (now.status == TABLE_ACTIVE && !now.updating && now.indexes_active))
            return rc;
        usleep((useconds_t)wait);
    }
}

static int send_addition(struct creation *x, const struct table_difference *d,
                         const struct table_facts *f)
{
    struct connection *c = &x->connection;
    json_auto_t *reply = NULL;
    struct buf body = {0};

    switch (d->aspect) {
    case ASPECT_INDEX:
        tables_add_index_body(&body, x->d, d->index);
        return job_call(c, "UpdateTable", &body, &reply, x->err);
    case ASPECT_PROTECTION:
        tables_protect_body(&body, x->d->table);
        return job_call(c, "UpdateTable", &body, &reply, x->err);
    case ASPECT_TTL:
        tables_ttl_body(&body, x->d);
        return job_call(c, "UpdateTimeToLive", &body, &reply, x->err);
    case ASPECT_RECOVERY:
        tables_recovery_body(&body, x->d);
        return job_call(c, "UpdateContinuousBackups", &body, &reply, x->err);
    case ASPECT_TAGS:
        if (x->tagged) /* all of them at once */
            return 0;
        x->tagged = true;
        tables_tag_body(&body, table_arn(f), x->d);
        return job_call(c, "TagResource", &body, &reply, x->err);
    case ASPECT_BILLING:
        break;
    }
    return 0;
}

struct additions {
    struct creation *x;
    const struct table_facts *f;
    int rc;
};

static void add(void *arg, const struct table_difference *d)
{
    struct additions *a = arg;
    struct creation *x = a->x;

    if (!d->missing || a->rc < 0)
        return;
    a->rc = send_addition(x, d, a->f);
    if (a->rc == 0)
        a->rc = wait_until_settled(x);
    if (a->rc < 0)
        return;
    x->added = true;
    if (x->order->difference)
        x->order->difference(x->order->arg, x->d->table, d, true);
}

/* --- one that is there ------------------------------------------------------------------------ */

static void tell(void *arg, const struct table_difference *d)
{
    struct creation *x = arg;

    if (x->order->difference)
        x->order->difference(x->order->arg, x->d->table, d, false);
}

static int add_missing(struct creation *x, struct table_answers *now)
{
    struct additions a = {.x = x, .f = &now->facts};

    table_compare(x->d, &now->facts, add, &a);
    if (a.rc < 0 || !x->added)
        return a.rc;
    table_answers_clear(now);
    return table_facts_get(&x->connection, x->d, now, x->err);
}

static int look_over(struct creation *x, enum table_outcome *out)
{
    struct table_answers now = {0};
    int rc = table_facts_get(&x->connection, x->d, &now, x->err);

    x->tagged = x->added = false;
    if (rc == 0 && x->order->update)
        rc = add_missing(x, &now);
    if (rc == 0) {
        bool differs = table_compare(x->d, &now.facts, tell, x) > 0;
        *out = differs ? OUTCOME_DIFFERS : x->added ? OUTCOME_UPDATED : OUTCOME_THERE;
        x->left += differs;
        if (now.unknown.text[0])
            tell(x, &(struct table_difference){.note = true, .text = now.unknown.text});
    }
    table_answers_clear(&now);
    return rc;
}

/* --- making one anew -------------------------------------------------------------------------- */

/* 1 when the table was deleted, 0 when there was none. */
static int clear_away(struct creation *x)
{
    _cleanup_buf_ struct buf about = {0};
    struct table_answers now = {0};
    int rc = table_describe(&x->connection, x->d->table, &now, x->err);

    if (rc == 0) {
        table_about(&x->connection, &now.facts, &about);
        if (x->order->confirm &&
            !x->order->confirm(x->order->arg, x->d->table, about.data ? about.data : ""))
            rc = err_set(x->err, -ECANCELED, "not confirmed");
    }
    table_answers_clear(&now);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    rc = table_delete(&x->connection, x->d->table, x->err);
    return rc < 0 ? rc : 1;
}

static int do_table(struct creation *x)
{
    enum table_outcome outcome = OUTCOME_CREATED;
    bool cleared = false;
    int rc = 0;

    if (x->order->recreate) {
        rc = clear_away(x);
        cleared = rc > 0;
    }
    if (rc >= 0)
        rc = make_sure(x);
    if (rc == 0 && !x->created)
        rc = look_over(x, &outcome);
    else if (cleared)
        outcome = OUTCOME_RECREATED;
    if (rc == 0 && x->order->outcome)
        x->order->outcome(x->order->arg, x->d->table, outcome);
    return rc;
}

/* --- the jobs --------------------------------------------------------------------------------- */

static int definitions_of(const struct config *c, char *const *only, size_t only_count,
                          struct definition_list *out, struct err *err)
{
    struct plan_list plans = {0};
    int rc = plan_list_make(c, &plans, err);

    if (rc < 0)
        return rc;
    rc = definitions_make(c, &plans, only, only_count, out, err);
    plan_list_free(&plans);
    if (rc == 0 && only_count == 0 && (rc = definitions_add_meta(c, out, err)) < 0)
        definitions_free(out);
    return rc;
}

int job_tables(const struct config *c, const struct tables_order *order, struct err *err)
{
    struct creation x = {.order = order, .err = err};
    struct definition_list l = {0};
    int rc = definitions_of(c, order->only, order->only_count, &l, err);

    if (rc < 0)
        return rc;
    rc = connection_open(&x.connection, c, err);
    if (rc == 0) {
        for (size_t i = 0; rc == 0 && i < l.count; i++) {
            x.d = l.items[i];
            rc = do_table(&x);
        }
        connection_close(&x.connection);
    }
    definitions_free(&l);
    return rc < 0 ? rc : x.left;
}

static void request(struct buf *out, const char *operation, const struct buf *body)
{
    buf_printf(out, "{\"operation\":\"%s\",\"request\":", operation);
    buf_append(out, body->data, body->len);
    buf_lit(out, "}\n");
    out->failed |= body->failed;
}

int job_tables_requests(const struct config *c, char *const *only, size_t only_count,
                        struct buf *out, struct err *err)
{
    struct definition_list l = {0};
    int rc = definitions_of(c, only, only_count, &l, err);

    for (size_t i = 0; rc == 0 && i < l.count; i++) {
        const struct table_definition *d = l.items[i];
        _cleanup_buf_ struct buf create = {0}, ttl = {0}, recovery = {0};
        tables_create_body(&create, d);
        request(out, "CreateTable", &create);
        if (d->ttl_attribute) {
            tables_ttl_body(&ttl, d);
            request(out, "UpdateTimeToLive", &ttl);
        }
        if (d->point_in_time_recovery) {
            tables_recovery_body(&recovery, d);
            request(out, "UpdateContinuousBackups", &recovery);
        }
    }
    definitions_free(&l);
    return rc < 0 || buf_ok(out) ? rc : err_set(err, -ENOMEM, "out of memory");
}

int job_tables_template(const struct config *c, char *const *only, size_t only_count,
                        enum template_format format, struct buf *out, struct err *err)
{
    struct definition_list l = {0};
    int rc = definitions_of(c, only, only_count, &l, err);

    if (rc == 0)
        rc = templates_print(format, (const struct table_definition *const *)l.items, l.count, out);
    definitions_free(&l);
    return rc == -ENOMEM ? err_set(err, rc, "out of memory") : rc;
}

/* --- without questions ------------------------------------------------------------------------ */

static void print_difference(void *arg, const char *table, const struct table_difference *d,
                             bool added)
{
    (void)added;
    fprintf(arg, "%-10s %s: %s\n", d->note ? "note" : "differs", table, d->text);
}

static void print_outcome(void *arg, const char *table, enum table_outcome o)
{
    fprintf(arg, "%-10s %s\n", table_outcome_name(o), table);
    fflush(arg);
}

int job_create_tables(const struct config *c, bool dry_run, FILE *out, struct err *err)
{
    const struct tables_order order = {
        .arg = out, .difference = print_difference, .outcome = print_outcome};
    _cleanup_buf_ struct buf text = {0};
    int rc = dry_run ? job_tables_requests(c, NULL, 0, &text, err) : job_tables(c, &order, err);

    if (rc == 0 && dry_run)
        fputs(text.data ? text.data : "", out);
    return rc < 0 ? rc : 0;
}
