/* CloudWatch's embedded metric format: one line of JSON whose "_aws" tells CloudWatch Logs which of
 * its members are metrics ("Specification: Embedded metric format" in CloudWatch's user guide).
 * Counts are those since the line before, so that their sums add up over any period. */
#include "daemon.h"

#include <jansson.h>
#include <unistd.h>

struct metric {
    const char *name, *unit;
    double value;
};

enum { METRICS = 16 };

static double since(double now, double *before)
{
    double grown = now - *before;

    *before = now;
    return grown;
}

static unsigned collect(struct daemon *d, const struct mirror_view *v,
                        const struct health_report *r, usec now, struct metric out[METRICS])
{
    struct emf_counts *c = &d->emf_counts;
    const struct metric all[] = {
        {"Healthy", "None", health_number(r->level)},
        {"Converged", "None", v->converged && d->state == DAEMON_RUNNING},
        {"JournalEntries", "Count", (double)v->journal_entries},
        {"JournalUsed", "Percent",
         100 * (double)v->journal_entries / (double)d->config->journal_limit},
        {"OldestPending", "Seconds",
         v->oldest_pending == USEC_NEVER ? 0 : (double)(now - v->oldest_pending) / 1e6},
        {"LagP50", "Seconds", v->lag_p50},
        {"LagP99", "Seconds", v->lag_p99},
        {"DeadLetters", "Count", (double)v->dead_letters},
        {"Unconfirmed", "Count", (double)v->unconfirmed},
        {"ItemsPut", "Count", since((double)v->items_put, &c->put)},
        {"ItemsDeleted", "Count", since((double)v->items_deleted, &c->deleted)},
        {"Requests", "Count", since((double)v->engine.requests, &c->requests)},
        {"Retries", "Count", since((double)v->engine.retries, &c->retries)},
        {"Throttled", "Count", since((double)v->engine.throttled, &c->throttled)},
        {"WriteUnits", "Count", since(v->engine.write_units, &c->write_units)},
        {"BytesSent", "Bytes", since((double)d->sent_bytes, &c->bytes)},
    };

    _Static_assert(sizeof all / sizeof *all == METRICS, "METRICS");
    memcpy(out, all, sizeof all);
    return METRICS;
}

static json_t *head(const struct daemon *d, const struct metric *m, unsigned n)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < n; i++)
        json_array_append_new(list, json_pack("{ssss}", "Name", m[i].name, "Unit", m[i].unit));
    return json_pack("{sIs[{sss[[ss]]so}]}", "Timestamp",
                     (json_int_t)(clock_wall() / USEC_PER_MSEC), "CloudWatchMetrics", "Namespace",
                     d->config->emf_namespace, "Dimensions", "Host", "Name", "Metrics", list);
}

void emf_look(struct daemon *d, const struct mirror_view *v, const struct health_report *r,
              usec now)
{
    struct metric metrics[METRICS];
    char host[256] = "";

    if (!d->config->emf_interval || now - d->emf_at < d->config->emf_interval)
        return;
    d->emf_at = now;
    unsigned n = collect(d, v, r, now, metrics);
    gethostname(host, sizeof host - 1);
    json_t *root = json_object();
    json_object_set_new(root, "_aws", head(d, metrics, n));
    json_object_set_new(root, "ts", json_string(log_time()));
    json_object_set_new(root, "level", json_string("info"));
    json_object_set_new(root, "event", json_string("emf"));
    json_object_set_new(root, "msg", json_string("numbers"));
    json_object_set_new(root, "Host", json_string(host));
    json_object_set_new(root, "Name", json_string(d->config->name));
    for (unsigned i = 0; i < n; i++)
        json_object_set_new(root, metrics[i].name, json_real(metrics[i].value));
    char *line = json_dumps(root, JSON_COMPACT);
    if (line)
        log_raw("emf", line);
    free(line);
    json_decref(root);
}
