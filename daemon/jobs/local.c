#include "jobs/local.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "jobs/connect.h"
#include "jobs/plan_list.h"
#include "jobs/table_check.h"
#include "mirror/mirror.h"

/* --- attach, detach, uninstall ---------------------------------------------------------------- */

static void no_send(void *arg, const struct request *r)
{
    (void)arg;
    (void)r;
}

static void no_sync(void *arg, uint64_t serial, bool wal)
{
    (void)arg;
    (void)serial;
    (void)wal;
}

static void no_park(void *arg, uint32_t target, const struct reply *why)
{
    (void)arg;
    (void)target;
    (void)why;
}

static void no_reply(void *arg, const struct reply *why)
{
    (void)arg;
    (void)why;
}

static void no_retry(void *arg, const struct reply *why, usec delay)
{
    (void)arg;
    (void)why;
    (void)delay;
}

static void no_letter(void *arg, const struct dead_letter *d, bool is_new)
{
    (void)arg;
    (void)d;
    (void)is_new;
}

static void no_note(void *arg, enum log_level level, const char *code, const char *text)
{
    (void)arg;
    (void)level;
    (void)code;
    (void)text;
}

static void no_change(void *arg)
{
    (void)arg;
}

/* Carry out an order with the mirror's own means, but nobody to send: the daemon is not there (its
 * lock on the state file says so). */
static int with_mirror(const struct config *c, int (*order)(struct mirror *m, struct err *err),
                       struct err *err)
{
    const struct mirror_edge edge = {.send = no_send,
                                     .sync_source = no_sync,
                                     .parked = no_park,
                                     .credentials = no_reply,
                                     .retrying = no_retry,
                                     .dead_letter = no_letter,
                                     .note = no_note,
                                     .targets_changed = no_change};
    struct mirror *m = NULL;
    int rc = mirror_new(c, &edge, 1, &m, err);

    if (rc < 0)
        return rc;
    rc = order(m, err);
    mirror_free(m);
    return rc;
}

int job_attach(const struct config *c, struct err *err)
{
    return with_mirror(c, mirror_attach_order, err);
}

int job_adopt(const struct config *c, struct err *err)
{
    return with_mirror(c, mirror_adopt, err);
}

int job_detach(const struct config *c, struct err *err)
{
    return with_mirror(c, mirror_detach, err);
}

int job_uninstall(const struct config *c, bool all, struct err *err)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock", ".job"};
    int rc = with_mirror(c, mirror_uninstall, err);

    for (size_t i = 0; rc == 0 && all && i < sizeof suffixes / sizeof *suffixes; i++) {
        _cleanup_free_ char *path = NULL;
        if (asprintf(&path, "%s%s", c->state_path, suffixes[i]) < 0)
            return err_set(err, -ENOMEM, "out of memory");
        if (unlink(path) < 0 && errno != ENOENT)
            return err_set(err, -errno, "%s cannot be removed: %s", path, strerror(errno));
    }
    return rc;
}

/* --- create-tables ---------------------------------------------------------------------------- */

struct creation {
    struct connection connection;
    struct table_capacity capacity;
    struct plan_list plans;
    size_t next;
    FILE *out;
    struct err *err;
    int rc;
};

static void next_table(struct creation *x);

static void table_done(void *arg, const struct table_result *r)
{
    struct creation *x = arg;
    const struct table_plan *p = x->plans.plans[x->next++];

    if (r->verdict != VERDICT_READY) {
        uv_stop(&x->connection.loop);
        x->rc = err_set(x->err, r->verdict == VERDICT_PARKED ? -EINVAL : -EIO,
                        "DynamoDB table %s: %s (%s)", p->target, r->reason, r->code);
        return;
    }
    fprintf(x->out, "%-10s %s\n", r->created ? "created" : "there", p->target);
    fflush(x->out);
    next_table(x);
}

static void next_table(struct creation *x)
{
    while (x->next < x->plans.count && !x->plans.plans[x->next])
        x->next++;
    if (x->next == x->plans.count) {
        uv_stop(&x->connection.loop); /* connections kept alive would hold it */
        return;
    }
    const struct table_plan *p = x->plans.plans[x->next];
    if (!table_check_start(&x->connection.loop, x->connection.ddb, p->target, &p->schema, true,
                           &x->capacity, table_done, x))
        x->rc = err_set(x->err, -ENOMEM, "out of memory");
}

static void print_requests(const struct creation *x)
{
    for (size_t i = 0; i < x->plans.count; i++) {
        _cleanup_buf_ struct buf body = {0};
        if (!x->plans.plans[i])
            continue;
        tables_create_body(&body, x->plans.plans[i]->target, &x->plans.plans[i]->schema,
                           &x->capacity);
        fprintf(x->out, "%s\n", body.data ? body.data : "");
    }
}

int job_create_tables(const struct config *c, bool dry_run, FILE *out, struct err *err)
{
    struct creation x = {.out = out, .err = err};
    int rc;

    x.capacity = (struct table_capacity){.provisioned = c->billing_mode == BILLING_PROVISIONED,
                                         .read_units = c->read_capacity,
                                         .write_units = c->write_capacity};
    rc = plan_list_make(c, &x.plans, err);
    if (rc == 0 && (rc = plan_list_add_meta(c, &x.plans, err)) < 0)
        plan_list_free(&x.plans);
    if (rc < 0)
        return rc;
    if (dry_run) {
        print_requests(&x);
        plan_list_free(&x.plans);
        return 0;
    }
    x.rc = connection_open(&x.connection, c, err);
    if (x.rc == 0) {
        next_table(&x);
        uv_run(&x.connection.loop, UV_RUN_DEFAULT);
        connection_close(&x.connection);
    }
    plan_list_free(&x.plans);
    return x.rc;
}
