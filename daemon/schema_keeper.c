#include "schema_keeper.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "base/text.h"
#include "daemon.h"
#include "jobs/ddb_reply.h"
#include "jobs/definitions.h"
#include "source/canary.h"

#define RETRY_REFUSED (30 * USEC_PER_SEC)
#define LOOK_AGAIN    (60 * USEC_PER_SEC)
#define NOT_NOW       (1 * USEC_PER_SEC)
#define PATIENCE      (60 * USEC_PER_SEC)

static bool on_duty(const struct daemon *d)
{
    return d->config->keep_schema && d->state == DAEMON_RUNNING && !d->drain.active &&
           mirror_on_duty(d->mirror) && ddb_has_credentials(d->ddb);
}

static void drop_bodies(struct schema_keeper *k)
{
    for (size_t i = 0; i < k->body_count; i++)
        buf_free(&k->bodies[i]);
    free(take_ptr(k->bodies));
    k->body_count = k->at = 0;
}

/* --- outcomes --------------------------------------------------------------------------------- */

/* Full jitter, as for rows. */
static void later(struct daemon *d)
{
    struct schema_keeper *k = &d->schema;
    usec wait = d->config->backoff_base;

    for (unsigned i = 0; i < k->failures && wait < d->config->backoff_max; i++)
        wait *= 2;
    wait = wait < d->config->backoff_max ? wait : d->config->backoff_max;
    k->failures++;
    k->next = clock_monotonic() + (usec)rng_upto(&k->rng, (uint64_t)wait) + USEC_PER_MSEC;
}

/* Begin anew with the head, once it may have been mended. */
static void refused(struct daemon *d, const char *code, const char *why)
{
    struct schema_keeper *k = &d->schema;
    char text[sizeof k->why];

    snprintf(text, sizeof text,
             "the schema cannot be kept in DynamoDB table %s, so that a database could not be "
             "restored from DynamoDB alone: %.300s",
             d->config->meta_table, why);
    if (strcmp(text, k->why) != 0)
        log_event(LOG_EV_WARNING, "schema_unkept", text, "target", d->config->meta_table, "code",
                  code, NULL);
    text_copy(k->why, sizeof k->why, text);
    k->refused = true;
    k->step = KEEPER_HEAD;
    drop_bodies(k);
    k->next = clock_monotonic() + RETRY_REFUSED;
}

static void is_kept(struct daemon *d, bool written)
{
    struct schema_keeper *k = &d->schema;

    if (written || strcmp(k->kept, k->version) != 0 || k->why[0])
        log_event(LOG_EV_INFO, "schema_kept",
                  log_msg("the schema is %s in DynamoDB table %s", written ? "now" : "already",
                          d->config->meta_table),
                  "target", d->config->meta_table, NULL);
    memcpy(k->kept, k->version, sizeof k->kept);
    k->kept_at = clock_wall();
    k->step = KEEPER_IDLE;
    k->why[0] = '\0';
    k->refused = false;
    k->failures = 0;
    buf_free(&k->text);
    drop_bodies(k);
}

static void made(void *arg, const struct table_result *r)
{
    struct daemon *d = arg;

    d->schema.making = NULL;
    if (r->verdict == VERDICT_READY) {
        if (r->created)
            log_event(LOG_EV_INFO, "table_created", "DynamoDB table made", "target",
                      d->config->meta_table, NULL);
        d->schema.next = clock_monotonic();
    } else if (r->verdict == VERDICT_PARKED) {
        refused(d, r->code, r->reason);
    } else {
        later(d);
    }
    daemon_pump(d);
}

static void no_table(struct daemon *d)
{
    struct table_definition *wanted = NULL;
    struct err err;

    if (!d->config->create_tables) {
        refused(d, "ResourceNotFoundException",
                "it does not exist (in this region and account); make it with `syncctl "
                "create-tables`, or do without by keep_schema = no");
        return;
    }
    text_copy(d->schema.table, sizeof d->schema.table, d->config->meta_table);
    if (definition_begin(d->config, d->schema.table, &definition_meta_key, &wanted, &err) == 0)
        d->schema.making = table_check_start(&d->loop, d->ddb, d->schema.table,
                                             &definition_meta_key, wanted, made, d);
    if (!d->schema.making)
        later(d);
}

static void failed(struct daemon *d, const struct reply *r)
{
    struct schema_keeper *k = &d->schema;

    daemon_note_reply(d, r);
    switch (r->class) {
    case REPLY_NO_TABLE:
        no_table(d);
        return;
    case REPLY_EXPIRED:
    case REPLY_CREDENTIALS:
    case REPLY_CLOCK:
        targets_want_credentials(d, r);
        later(d);
        return;
    case REPLY_AMBIGUOUS:
    case REPLY_TRANSIENT:
        k->unsure |= k->step == KEEPER_WRITE;
        later(d);
        return;
    case REPLY_THROTTLED:
    case REPLY_NOT_SENT:
        later(d);
        return;
    case REPLY_OK:
    case REPLY_INVALID:
    case REPLY_TOO_LARGE:
    case REPLY_KEY_SCHEMA:
    case REPLY_DENIED:
    case REPLY_UNEXPECTED:
        break;
    }
    refused(d, r->code, r->message[0] ? r->message : r->code);
}

/* --- steps ------------------------------------------------------------------------------------ */

static void make_bodies(struct daemon *d)
{
    struct schema_keeper *k = &d->schema;
    char id[MIRROR_CANARY_ID], host[256] = "", at[32];
    time_t seconds = (time_t)(clock_wall() / USEC_PER_SEC);
    struct tm tm;

    mirror_canary_id(d->mirror, id);
    gethostname(host, sizeof host - 1);
    gmtime_r(&seconds, &tm);
    strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%SZ", &tm);
    const struct schema_kept kept = {.table = d->config->meta_table,
                                     .id = id,
                                     .version = k->version,
                                     .database = d->config->database,
                                     .host = host,
                                     .at = at,
                                     .text = k->text.data,
                                     .len = k->text.len};
    k->bodies = schema_write_bodies(&kept, &k->head, &k->writing, &k->body_count);
    k->at = 0;
    k->step = k->bodies ? KEEPER_WRITE : KEEPER_HEAD;
    if (!k->bodies)
        later(d);
}

static void step_done(struct daemon *d, const json_t *reply)
{
    struct schema_keeper *k = &d->schema;

    switch (k->step) {
    case KEEPER_IDLE:
        break;
    case KEEPER_HEAD:
        schema_read_named(reply, &k->head);
        k->step = KEEPER_WRITING;
        break;
    case KEEPER_WRITING:
        schema_read_named(reply, &k->writing);
        if (strcmp(k->head.version, k->version) == 0 && !k->writing.version[0])
            is_kept(d, false);
        else
            make_bodies(d);
        break;
    case KEEPER_WRITE:
        if (json_object_size(json_object_get(reply, "UnprocessedItems"))) {
            later(d);
            return;
        }
        if (++k->at == k->body_count) {
            k->verify = k->unsure ? clock_monotonic() + d->config->unconfirmed_horizon : 0;
            k->unsure = false;
            is_kept(d, true);
        }
        break;
    }
    k->failures = 0;
}

static void replied(void *arg, const struct http_reply *h)
{
    struct daemon *d = arg;
    struct reply r;
    json_t *body = NULL;

    d->schema.asking = NULL;
    d->schema.next = clock_monotonic();
    ddb_reply_read(h, &r);
    if (r.class == REPLY_OK && !(body = json_loadb(h->body, h->body_len, JSON_ALLOW_NUL, NULL))) {
        r.class = REPLY_TRANSIENT;
        snprintf(r.code, sizeof r.code, "bad_reply");
        snprintf(r.message, sizeof r.message, "the reply is no JSON");
    }
    if (r.class == REPLY_OK) {
        daemon_note_reply(d, &r);
        step_done(d, body);
    } else {
        failed(d, &r);
    }
    json_decref(body);
    daemon_pump(d);
}

static void ask(struct daemon *d)
{
    struct schema_keeper *k = &d->schema;
    bool writes = k->step == KEEPER_WRITE;
    struct buf body = {0};
    struct err err = {0};
    char id[MIRROR_CANARY_ID];

    mirror_canary_id(d->mirror, id);
    if (writes)
        buf_append(&body, k->bodies[k->at].data, k->bodies[k->at].len);
    else
        schema_get_body(&body, d->config->meta_table, id,
                        k->step == KEEPER_HEAD ? SCHEMA_KIND : SCHEMA_WRITING_KIND);
    int rc = writes ? ddb_start(d->ddb, "BatchWriteItem", &body, replied, d, &k->asking, &err)
                    : ddb_start(d->ddb, "GetItem", &body, replied, d, &k->asking, &err);
    if (rc < 0) {
        k->asking = NULL;
        later(d);
    }
}

/* --- turns ------------------------------------------------------------------------------------ */

/* Is there, or may there be, another schema than the one that was looked at last? What changes
 * without a new version of the schema (user_version, say) usually follows one: a minute after it
 * there is one more look, when the database is open anyway. */
static bool wants_dump(const struct daemon *d, usec now)
{
    const struct schema_keeper *k = &d->schema;
    int64_t version;

    if (!mirror_schema_known(d->mirror, &version) ||
        (k->step != KEEPER_IDLE && k->step != KEEPER_HEAD))
        return false;
    if (!k->seen || version != k->schema || (k->verify && k->verify <= now))
        return true;
    return k->again && now >= k->taken + LOOK_AGAIN && !mirror_resting(d->mirror) &&
           !mirror_gives_way(d->mirror);
}

static void take_dump(struct daemon *d, usec now)
{
    struct schema_keeper *k = &d->schema;
    int64_t version = 0;
    struct buf text = {0};

    mirror_schema_known(d->mirror, &version);
    int rc = mirror_schema_dump(d->mirror, &text, k->version);
    if (rc < 0) {
        buf_free(&text);
        k->next = now + NOT_NOW;
        return;
    }
    buf_free(&k->text);
    k->text = text;
    k->again = !k->seen || version != k->schema;
    k->seen = true;
    k->schema = version;
    k->taken = now;
    bool verify = k->verify && k->verify <= now;
    if (verify)
        k->verify = 0;
    if (!verify && strcmp(k->version, k->kept) == 0) {
        k->step = KEEPER_IDLE;
        buf_free(&k->text);
        return;
    }
    if (k->step == KEEPER_IDLE)
        k->since = now;
    k->step = KEEPER_HEAD;
}

void schema_keeper_turn(struct daemon *d, usec now)
{
    struct schema_keeper *k = &d->schema;

    if (k->asking || k->making || !on_duty(d) || k->next > now)
        return;
    if (wants_dump(d, now))
        take_dump(d, now);
    if (k->step != KEEPER_IDLE && k->next <= now)
        ask(d);
}

usec schema_keeper_due(const struct daemon *d)
{
    const struct schema_keeper *k = &d->schema;
    usec now = clock_monotonic();

    if (k->asking || k->making || !on_duty(d))
        return USEC_NEVER;
    if (k->step != KEEPER_IDLE || wants_dump(d, now))
        return k->next > now ? k->next : now;
    return k->verify ? k->verify : USEC_NEVER;
}

const char *schema_keeper_problem(const struct daemon *d, usec now)
{
    const struct schema_keeper *k = &d->schema;

    if (!on_duty(d) || k->step == KEEPER_IDLE)
        return NULL;
    if (k->refused)
        return k->why;
    return now - k->since > PATIENCE
               ? "the schema could not be kept in DynamoDB for a minute; see the reasons beside "
                 "this one and the log"
               : NULL;
}

void schema_keeper_stop(struct daemon *d)
{
    ddb_cancel(take_ptr(d->schema.asking));
    table_check_cancel(take_ptr(d->schema.making));
    drop_bodies(&d->schema);
    buf_free(&d->schema.text);
}
