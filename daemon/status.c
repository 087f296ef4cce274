/* The JSON that the control socket answers (contract: the README's "Control API"). */
#include <jansson.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "daemon.h"
#include "jobs/fingerprint.h"

static void dump(json_t *root, struct buf *out)
{
    char *text = json_dumps(root, JSON_INDENT(2));

    if (text)
        buf_puts(out, text);
    else
        out->failed = true;
    free(text);
    json_decref(root);
}

/* Text that may hold anything, such as a table's name. */
static json_t *text(const char *s)
{
    json_t *j = json_string(s ? s : "");

    if (j)
        return j;
    _cleanup_buf_ struct buf b = {0};
    json_append_string_lossy(&b, s, strlen(s));
    return b.data ? json_loads(b.data, JSON_DECODE_ANY, NULL) : json_string("");
}

static json_t *when(usec wall)
{
    time_t seconds = (time_t)(wall / USEC_PER_SEC);
    struct tm tm;
    char out[32];

    if (!wall)
        return json_null();
    gmtime_r(&seconds, &tm);
    strftime(out, sizeof out, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_string(out);
}

/* When a pause for a time ends; null where there is none. */
static json_t *pause_end(const struct daemon *d, const struct mirror_view *v)
{
    usec until = mirror_paused_until(d->mirror);

    return v->paused && until != USEC_NEVER ? when(until) : json_null();
}

static json_t *reasons_json(const struct health_report *r)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < r->count; i++) {
        json_t *one = json_object();
        json_object_set_new(one, "code", json_string(r->reasons[i].code));
        json_object_set_new(one, "message", text(r->reasons[i].message));
        json_array_append_new(list, one);
    }
    return list;
}

static const char *state_name(const struct daemon *d, const struct mirror_view *v)
{
    if (d->state == DAEMON_STOPPING || d->drain.active)
        return "stopping";
    if (d->state == DAEMON_STARTING)
        return "starting";
    return v->paused ? "paused" : "running";
}

static double seconds(usec t)
{
    return (double)t / (double)USEC_PER_SEC;
}

static json_t *source_json(const struct daemon *d, const struct mirror_view *v, usec now)
{
    json_t *o = json_object();

    json_object_set_new(o, "database", text(d->config->database));
    json_object_set_new(o, "journal_entries", json_integer(v->journal_entries));
    json_object_set_new(
        o, "oldest_pending_seconds",
        json_real(v->oldest_pending == USEC_NEVER ? 0 : seconds(now - v->oldest_pending)));
    usec left = growth_reaches(&d->journal_growth, d->config->journal_limit);
    json_object_set_new(o, "journal_limit", json_integer(d->config->journal_limit));
    json_object_set_new(o, "journal_full_in_seconds",
                        left == USEC_NEVER ? json_null() : json_real(seconds(left)));
    json_object_set_new(o, "wal_bytes", json_integer(v->wal_bytes));
    json_object_set_new(o, "connected", json_boolean(v->connected));
    json_object_set_new(o, "journal_mode", json_string(v->journal_mode));
    return o;
}

static json_t *error_json(const struct daemon *d)
{
    if (!d->last_error_wall)
        return json_null();
    json_t *o = json_object();
    json_object_set_new(o, "code", text(d->last_error_code));
    json_object_set_new(o, "message", text(d->last_error_message));
    json_object_set_new(o, "at", when(d->last_error_wall));
    json_object_set_new(o, "request_id", text(d->last_error_request));
    return o;
}

static json_t *target_json(const struct daemon *d, const struct mirror_view *v, usec now)
{
    json_t *o = json_object(), *c = json_object();

    json_object_set_new(o, "endpoint", text(d->endpoint.url));
    json_object_set_new(o, "region", text(d->endpoint.region));
    json_object_set_new(o, "requests_in_flight", json_integer(v->engine.in_flight));
    json_object_set_new(o, "last_success", when(d->last_success_wall));
    json_object_set_new(o, "last_error", error_json(d));
    json_object_set_new(o, "retry_in_seconds",
                        v->engine.retry_at == USEC_NEVER || v->engine.retry_at < now
                            ? json_null()
                            : json_real(seconds(v->engine.retry_at - now)));
    json_object_set_new(c, "provider", d->provider_name[0] ? text(d->provider_name) : json_null());
    json_object_set_new(c, "expires", when(d->credentials_expire * USEC_PER_SEC));
    json_object_set_new(o, "credentials", c);
    return o;
}

static json_t *totals_json(const struct daemon *d, const struct mirror_view *v)
{
    json_t *o = json_object();

    json_object_set_new(o, "changes", json_integer((json_int_t)v->changes));
    json_object_set_new(o, "items_put", json_integer((json_int_t)v->items_put));
    json_object_set_new(o, "items_deleted", json_integer((json_int_t)v->items_deleted));
    json_object_set_new(o, "requests", json_integer((json_int_t)v->engine.requests));
    json_object_set_new(o, "retries", json_integer((json_int_t)v->engine.retries));
    json_object_set_new(o, "throttled", json_integer((json_int_t)v->engine.throttled));
    json_object_set_new(o, "unprocessed", json_integer((json_int_t)v->engine.unprocessed));
    json_object_set_new(o, "dead_letters", json_integer(v->dead_letters));
    json_object_set_new(o, "orphans_skipped", json_integer(v->skipped));
    json_object_set_new(o, "unconfirmed", json_integer(v->unconfirmed));
    json_object_set_new(o, "spared", json_integer((json_int_t)v->spared));
    json_object_set_new(o, "discarded", json_integer((json_int_t)v->discarded));
    json_object_set_new(o, "bytes_sent", json_integer((json_int_t)d->sent_bytes));
    json_object_set_new(o, "write_units", json_integer((json_int_t)(v->engine.write_units + 0.5)));
    return o;
}

static json_t *tables_array(const struct daemon *d)
{
    json_t *list = json_array();

    for (size_t i = 0; i < mirror_table_count(d->mirror); i++) {
        struct mirror_table_view t;
        json_t *o = json_object();
        mirror_table(d->mirror, i, &t);
        json_object_set_new(o, "name", text(t.name));
        json_object_set_new(o, "target", t.mirrored ? text(t.target) : json_null());
        json_object_set_new(o, "state", json_string(t.state));
        json_object_set_new(o, "pending", json_integer((json_int_t)t.pending));
        json_object_set_new(o, "rows_read", json_integer(t.rows_read));
        json_object_set_new(o, "items_put", json_integer((json_int_t)t.items_put));
        json_object_set_new(o, "items_deleted", json_integer((json_int_t)t.items_deleted));
        json_object_set_new(o, "dead_letters", json_integer(t.dead_letters));
        json_object_set_new(o, "orphans_skipped", json_integer(t.skipped));
        json_object_set_new(o, "reason", t.reason[0] ? text(t.reason) : json_null());
        json_object_set_new(o, "verified_at", when(t.verified * USEC_PER_SEC));
        json_object_set_new(o, "foreign_items",
                            t.foreign < 0 ? json_null() : json_integer(t.foreign));
        json_array_append_new(list, o);
    }
    return list;
}

/* null: there is none. */
static json_t *canary_json(const struct daemon *d, usec now)
{
    if (!d->config->canary)
        return json_null();
    return json_pack("{s:s, s:o, s:f}", "table", d->config->meta_table, "last_back",
                     when(d->canary.seen), "age_seconds", seconds(canary_age(d, now)));
}

/* null: it is not to be kept. `kept` is when it was last seen there; null: not since the start. */
static json_t *schema_json(const struct daemon *d)
{
    if (!d->config->keep_schema)
        return json_null();
    return json_pack("{s:s, s:o}", "table", d->config->meta_table, "kept", when(d->schema.kept_at));
}

void status_json(struct daemon *d, struct buf *out)
{
    usec now = clock_monotonic();
    struct mirror_view v;
    struct health_report r;
    json_t *root = json_object(), *lag = json_object();

    mirror_view(d->mirror, now, &v);
    health_look(d, &v, &r);
    json_object_set_new(root, "version", json_string(SYNCD_VERSION));
    json_object_set_new(root, "name", text(d->config->name));
    json_object_set_new(root, "pid", json_integer(getpid()));
    json_object_set_new(root, "uptime_seconds", json_integer((now - d->started) / USEC_PER_SEC));
    json_object_set_new(root, "state", json_string(state_name(d, &v)));
    json_object_set_new(root, "paused_until", pause_end(d, &v));
    json_object_set_new(root, "health", json_string(health_name(r.level)));
    json_object_set_new(root, "reasons", reasons_json(&r));
    json_object_set_new(root, "converged", json_boolean(v.converged && d->state == DAEMON_RUNNING));
    json_object_set_new(root, "source", source_json(d, &v, now));
    json_object_set_new(root, "target", target_json(d, &v, now));
    json_object_set_new(root, "totals", totals_json(d, &v));
    json_object_set_new(lag, "p50", json_real(v.lag_p50));
    json_object_set_new(lag, "p99", json_real(v.lag_p99));
    json_object_set_new(lag, "max", json_real(v.lag_max));
    json_object_set_new(root, "lag_seconds", lag);
    json_object_set_new(root, "canary", canary_json(d, now));
    json_object_set_new(root, "schema", schema_json(d));
    json_object_set_new(root, "tables", tables_array(d));
    dump(root, out);
}

void health_json(struct daemon *d, struct buf *out, enum health *level)
{
    struct mirror_view v;
    struct health_report r;
    json_t *root = json_object();

    mirror_view(d->mirror, clock_monotonic(), &v);
    health_look(d, &v, &r);
    *level = r.level;
    json_object_set_new(root, "health", json_string(health_name(r.level)));
    json_object_set_new(root, "reasons", reasons_json(&r));
    dump(root, out);
}

/* null without a plan. */
static json_t *fingerprint(const struct table_plan *p)
{
    char hex[FINGERPRINT_SIZE];

    return p && fingerprint_of(p, hex) == 0 ? json_string(hex) : json_null();
}

void mapping_json(struct daemon *d, struct buf *out)
{
    json_t *root = json_object(), *list = json_array();

    for (size_t i = 0; i < mirror_table_count(d->mirror); i++) {
        const struct table_plan *p = mirror_plan(d->mirror, i);
        struct mirror_table_view t;
        json_t *o = json_object();
        mirror_table(d->mirror, i, &t);
        json_object_set_new(o, "name", text(t.name));
        json_object_set_new(o, "target", p ? text(p->target) : json_null());
        json_object_set_new(o, "fingerprint", fingerprint(p));
        json_array_append_new(list, o);
    }
    json_object_set_new(root, "database", text(d->config->database));
    json_object_set_new(root, "endpoint", text(d->endpoint.url));
    json_object_set_new(root, "region", text(d->endpoint.region));
    json_object_set_new(root, "batch_size", json_integer(d->config->batch_size));
    json_object_set_new(root, "tables", list);
    dump(root, out);
}

void tables_json(struct daemon *d, struct buf *out)
{
    json_t *root = json_object();

    json_object_set_new(root, "tables", tables_array(d));
    dump(root, out);
}

static void add_letter(void *arg, const struct dead_letter *l)
{
    json_t *list = arg, *o = json_object();

    json_object_set_new(o, "id", json_integer(l->id));
    json_object_set_new(o, "table", text(l->table));
    json_object_set_new(o, "key", text(l->key));
    json_object_set_new(o, "target", text(l->target));
    json_object_set_new(o, "column", l->column[0] ? text(l->column) : json_null());
    json_object_set_new(o, "reason", text(l->reason));
    json_object_set_new(o, "message", text(l->message));
    json_object_set_new(o, "first", when(l->first * USEC_PER_SEC));
    json_object_set_new(o, "last", when(l->last * USEC_PER_SEC));
    json_object_set_new(o, "attempts", json_integer(l->attempts));
    json_array_append_new(list, o);
}

void dead_letters_json(struct daemon *d, struct buf *out)
{
    json_t *root = json_object(), *list = json_array();

    store_dead_letters(mirror_store(d->mirror), 0, add_letter, list);
    json_object_set_new(root, "dead_letters", list);
    dump(root, out);
}
