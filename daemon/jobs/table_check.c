#include "jobs/table_check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "jobs/ddb_reply.h"

/* Indexes of a new table take minutes at times, backups of a new one some seconds. */
enum { POLL_FIRST_MS = 100, POLL_MAX_MS = 2000, POLL_TRIES = 300, RECOVERY_TRIES = 60 };

/* What a table that was just made still lacks: calls of their own, once it is ACTIVE. */
enum step { STEP_TTL, STEP_RECOVERY, STEP_DONE };

struct table_check {
    struct ddb *ddb;
    char *table; /* its own: the configuration may be replaced meanwhile */
    const struct key_schema *schema;
    struct table_definition *wanted; /* NULL: a missing table is not made */
    bool creating, created, redated;
    enum step step;
    unsigned polls, wait_ms, step_tries;
    char identity[80];
    struct err unfinished;
    struct ddb_call *call;
    uv_timer_t timer;
    table_check_fn *done;
    void *arg;
};

static void describe(struct table_check *c);

static void timer_closed(uv_handle_t *h)
{
    struct table_check *c = h->data;

    table_definition_free(c->wanted);
    free(c->table);
    free(c);
}

static void finish(struct table_check *c, const struct table_result *r)
{
    table_check_fn *done = c->done;
    void *arg = c->arg;
    struct table_result result = *r;

    result.created = c->created;
    result.unfinished = c->unfinished.text;
    result.identity = result.identity ? result.identity : "";
    uv_close((uv_handle_t *)&c->timer, timer_closed);
    done(arg, &result);
}

static void finish_reply(struct table_check *c, enum table_verdict verdict, const struct reply *r)
{
    finish(c, &(struct table_result){.verdict = verdict,
                                     .code = r->code,
                                     .reason = r->message,
                                     .request_id = r->request_id});
}

static void finish_start(struct table_check *c, const struct err *err)
{
    finish(c, &(struct table_result){.verdict = VERDICT_UNREACHABLE,
                                     .code = "not_sent",
                                     .reason = err->text,
                                     .request_id = ""});
}

static enum table_verdict verdict_of(enum reply_class class)
{
    switch (class) {
    case REPLY_EXPIRED:
    case REPLY_CREDENTIALS:
    case REPLY_CLOCK:
        return VERDICT_CREDENTIALS;
    case REPLY_DENIED:
    case REPLY_INVALID:
    case REPLY_KEY_SCHEMA:
    case REPLY_NO_TABLE:
        return VERDICT_PARKED;
    default:
        return VERDICT_UNREACHABLE;
    }
}

static void poll_due(uv_timer_t *t)
{
    describe(t->data);
}

static void poll_again(struct table_check *c)
{
    if (++c->polls > POLL_TRIES) {
        finish(c, &(struct table_result){.verdict = VERDICT_UNREACHABLE,
                                         .code = "not_active",
                                         .reason = "the table does not become ACTIVE",
                                         .request_id = ""});
        return;
    }
    c->wait_ms = c->wait_ms ? c->wait_ms * 2 : POLL_FIRST_MS;
    if (c->wait_ms > POLL_MAX_MS)
        c->wait_ms = POLL_MAX_MS;
    uv_timer_start(&c->timer, poll_due, c->wait_ms, 0);
}

static void created(void *arg, const struct http_reply *h)
{
    struct table_check *c = arg;
    struct reply r;

    c->call = NULL;
    ddb_reply_read(h, &r);
    if (r.class == REPLY_OK)
        c->created = true;
    /* ResourceInUseException: somebody else makes it just now. */
    if (r.class == REPLY_OK || strcmp(r.code, "ResourceInUseException") == 0)
        poll_again(c);
    else
        finish_reply(c, verdict_of(r.class), &r);
}

static void create(struct table_check *c)
{
    struct buf body = {0};
    struct err err = {0};

    c->creating = true;
    tables_create_body(&body, c->wanted);
    if (ddb_start(c->ddb, "CreateTable", &body, created, c, &c->call, &err) < 0)
        finish_start(c, &err);
}

static void missing(struct table_check *c, struct reply *r)
{
    if (c->creating) /* just made; DescribeTable may lag behind */
        poll_again(c);
    else if (c->wanted)
        create(c);
    else {
        snprintf(r->message, sizeof r->message,
                 "DynamoDB table %s does not exist (in this region and account); make it with "
                 "`syncctl create-tables` or set create_tables = yes",
                 c->table);
        finish_reply(c, VERDICT_PARKED, r);
    }
}

/* --- what comes after CreateTable ------------------------------------------------------------- */

static void next_step(struct table_check *c);

static void step_due(uv_timer_t *t)
{
    next_step(t->data);
}

/* The table is there and can be written: what went wrong is told, and is no reason to wait. */
static void step_failed(struct table_check *c, const char *code, const char *message)
{
    static const char *const what[] = {"its items do not expire yet (UpdateTimeToLive)",
                                       "point-in-time recovery is still off "
                                       "(UpdateContinuousBackups)"};

    if (!c->unfinished.text[0])
        err_set(&c->unfinished, 0,
                "DynamoDB table %s was made, but %s: %.300s (%s); `syncctl create-tables --update` "
                "does what is missing",
                c->table, what[c->step], message, code);
    c->step++;
    next_step(c);
}

static void stepped(void *arg, const struct http_reply *h)
{
    struct table_check *c = arg;
    struct reply r;

    c->call = NULL;
    ddb_reply_read(h, &r);
    if (r.class == REPLY_OK) {
        c->step++;
        c->step_tries = 0;
        next_step(c);
        return;
    }
    /* ContinuousBackupsUnavailableException: backups of a new table are not ready at once. */
    bool early = strcmp(r.code, "ContinuousBackupsUnavailableException") == 0 ||
                 r.class == REPLY_THROTTLED || r.class == REPLY_TRANSIENT ||
                 r.class == REPLY_NOT_SENT || r.class == REPLY_AMBIGUOUS ||
                 strcmp(r.code, "ResourceInUseException") == 0 ||
                 strcmp(r.code, "LimitExceededException") == 0;
    if (early && ++c->step_tries < RECOVERY_TRIES)
        uv_timer_start(&c->timer, step_due,
                       c->step_tries < 4 ? (uint64_t)POLL_FIRST_MS << c->step_tries : POLL_MAX_MS,
                       0);
    else
        step_failed(c, r.code, r.message);
}

static void next_step(struct table_check *c)
{
    struct buf body = {0};
    struct err err = {0};
    int rc = 0;

    c->step += c->step == STEP_TTL && !c->wanted->ttl_attribute;
    c->step += c->step == STEP_RECOVERY && !c->wanted->point_in_time_recovery;
    if (c->step == STEP_TTL) {
        tables_ttl_body(&body, c->wanted);
        rc = ddb_start(c->ddb, "UpdateTimeToLive", &body, stepped, c, &c->call, &err);
    } else if (c->step == STEP_RECOVERY) {
        tables_recovery_body(&body, c->wanted);
        rc = ddb_start(c->ddb, "UpdateContinuousBackups", &body, stepped, c, &c->call, &err);
    } else {
        finish(c, &(struct table_result){.verdict = VERDICT_READY,
                                         .identity = c->identity,
                                         .code = "",
                                         .reason = "",
                                         .request_id = ""});
    }
    if (rc < 0)
        step_failed(c, "not_sent", err.text);
}

/* --- looking ---------------------------------------------------------------------------------- */

static void described(void *arg, const struct http_reply *h)
{
    struct table_check *c = arg;
    struct table_description table = {.status = TABLE_UNKNOWN};
    struct err err = {0};
    struct reply r;

    c->call = NULL;
    ddb_reply_read(h, &r);
    if (r.class == REPLY_NO_TABLE) {
        missing(c, &r);
        return;
    }
    /* The refusal told the service's time. */
    if (r.class == REPLY_CLOCK && !c->redated) {
        c->redated = true;
        describe(c);
        return;
    }
    if (r.class != REPLY_OK) {
        finish_reply(c, verdict_of(r.class), &r);
        return;
    }
    int rc = tables_read(h->body, h->body_len, c->table, c->schema, &table, &err);
    if (rc < 0) {
        finish(c, &(struct table_result){.verdict =
                                             rc == -EEXIST ? VERDICT_PARKED : VERDICT_UNREACHABLE,
                                         .code = rc == -EEXIST ? "key_schema" : "bad_reply",
                                         .reason = err.text,
                                         .request_id = r.request_id});
        return;
    }
    /* Writes need no index that somebody else adds just now; one that is made here does. */
    if (table.status != TABLE_ACTIVE || (c->created && !table.indexes_active)) {
        poll_again(c);
        return;
    }
    snprintf(c->identity, sizeof c->identity, "%s", table.identity);
    c->step = c->created ? STEP_TTL : STEP_DONE;
    next_step(c);
}

static void describe(struct table_check *c)
{
    struct buf body = {0};
    struct err err = {0};

    tables_name_body(&body, c->table);
    if (ddb_start(c->ddb, "DescribeTable", &body, described, c, &c->call, &err) < 0)
        finish_start(c, &err);
}

struct table_check *table_check_start(uv_loop_t *loop, struct ddb *ddb, const char *table,
                                      const struct key_schema *schema,
                                      struct table_definition *create_as, table_check_fn *done,
                                      void *arg)
{
    struct table_check *c = calloc(1, sizeof *c);

    if (!c || !(c->table = strdup(table))) {
        table_definition_free(create_as);
        free(c);
        return NULL;
    }
    c->ddb = ddb;
    c->schema = schema;
    c->wanted = create_as;
    c->done = done;
    c->arg = arg;
    uv_timer_init(loop, &c->timer);
    c->timer.data = c;
    /* Never answers before it has returned. */
    uv_timer_start(&c->timer, poll_due, 0, 0);
    return c;
}

void table_check_cancel(struct table_check *c)
{
    if (!c)
        return;
    ddb_cancel(take_ptr(c->call));
    uv_close((uv_handle_t *)&c->timer, timer_closed);
}
