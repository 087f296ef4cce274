/* Prometheus text exposition, version 0.0.4. */
#include "daemon.h"

static void metric(struct buf *out, const char *name, const char *type, const char *help, double v)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.17g\n", name, help, name, type, name, v);
}

static void label(struct buf *out, const char *s)
{
    for (; *s; s++) {
        if (*s == '\\' || *s == '"')
            buf_putc(out, '\\');
        if (*s == '\n')
            buf_lit(out, "\\n");
        else
            buf_putc(out, *s);
    }
}

struct family {
    const char *name, *type, *help;
    double (*value)(const struct mirror_table_view *t);
};

static double pending(const struct mirror_table_view *t)
{
    return (double)t->pending;
}

static double put(const struct mirror_table_view *t)
{
    return (double)t->items_put;
}

static double deleted(const struct mirror_table_view *t)
{
    return (double)t->items_deleted;
}

static double dead(const struct mirror_table_view *t)
{
    return (double)t->dead_letters;
}

static void per_table(struct daemon *d, struct buf *out)
{
    static const struct family families[] = {
        {"syncd_table_pending", "gauge", "Writes read and not yet confirmed, by table.", pending},
        {"syncd_table_items_put_total", "counter", "Items put, by table.", put},
        {"syncd_table_items_deleted_total", "counter", "Items deleted, by table.", deleted},
        {"syncd_table_dead_letters", "gauge", "Dead letters standing, by table.", dead},
    };

    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", families[f].name, families[f].help,
                   families[f].name, families[f].type);
        for (size_t i = 0; i < mirror_table_count(d->mirror); i++) {
            struct mirror_table_view t;
            mirror_table(d->mirror, i, &t);
            if (!t.mirrored)
                continue;
            buf_printf(out, "%s{table=\"", families[f].name);
            label(out, t.name);
            buf_printf(out, "\"} %.17g\n", families[f].value(&t));
        }
    }
}

static void per_target(struct daemon *d, struct buf *out)
{
    buf_lit(out,
            "# HELP syncd_write_limit_units Write units a second that a DynamoDB table is sent at "
            "most, as learnt from its throttling; 0: no limit.\n"
            "# TYPE syncd_write_limit_units gauge\n");
    for (uint32_t i = 0; i < mirror_target_count(d->mirror); i++) {
        buf_lit(out, "syncd_write_limit_units{target=\"");
        label(out, mirror_target(d->mirror, i)->name);
        buf_printf(out, "\"} %.17g\n", mirror_target_limit(d->mirror, i));
    }
}

static void histogram(struct buf *out, const char *name, const char *help,
                      const struct histogram *h)
{
    uint64_t count = 0;

    buf_printf(out, "# HELP %s %s\n# TYPE %s histogram\n", name, help, name);
    for (unsigned i = 0; i < h->bound_count; i++) {
        count += h->counts[i];
        buf_printf(out, "%s_bucket{le=\"%g\"} %llu\n", name, (double)h->bounds[i] / 1e6,
                   (unsigned long long)count);
    }
    count += h->counts[h->bound_count];
    buf_printf(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.6f\n%s_count %llu\n", name,
               (unsigned long long)count, name, (double)h->sum / 1e6, name,
               (unsigned long long)count);
}

static void histograms(const struct daemon *d, const struct mirror_view *v, struct buf *out)
{
    histogram(out, "syncd_lag_seconds", "From reading a change to its confirmation by DynamoDB.",
              v->lag);
    histogram(
        out, "syncd_request_seconds",
        "From sending a BatchWriteItem request to its answer; those without one are not counted.",
        &d->request_times);
    histogram(out, "syncd_ack_lock_seconds",
              "How long taking settled entries out of the journal held the database's write lock.",
              v->ack_locks);
    metric(out, "syncd_ack_lock_max_seconds", "gauge",
           "Longest time that taking settled entries out held the write lock.",
           (double)v->ack_locks->max / 1e6);
}

/* One line a code: several tables may be parked. */
static void reasons(const struct health_report *r, struct buf *out)
{
    buf_lit(out, "# HELP syncd_health_reason 1 for each reason that health has now; no line: none."
                 "\n# TYPE syncd_health_reason gauge\n");
    for (unsigned i = 0; i < r->count; i++) {
        bool said = false;
        for (unsigned k = 0; k < i; k++)
            said = said || (strcmp(r->reasons[k].code, r->reasons[i].code) == 0 &&
                            r->reasons[k].level == r->reasons[i].level);
        if (!said)
            buf_printf(out, "syncd_health_reason{code=\"%s\",level=\"%s\"} 1\n", r->reasons[i].code,
                       health_name(r->reasons[i].level));
    }
}

static void journal(const struct daemon *d, const struct mirror_view *v, struct buf *out)
{
    usec left = growth_reaches(&d->journal_growth, d->config->journal_limit);

    metric(out, "syncd_journal_entries", "gauge", "Changes captured and not yet confirmed.",
           (double)v->journal_entries);
    metric(out, "syncd_journal_limit_entries", "gauge",
           "journal_limit: past it the oldest go and their tables are compared.",
           (double)d->config->journal_limit);
    buf_lit(out, "# HELP syncd_journal_full_seconds Until the journal reaches its limit as it grew "
                 "within the last minute; +Inf: it does not.\n"
                 "# TYPE syncd_journal_full_seconds gauge\nsyncd_journal_full_seconds ");
    if (left == USEC_NEVER)
        buf_lit(out, "+Inf\n");
    else
        buf_printf(out, "%.3f\n", (double)left / 1e6);
}

static void pausing(const struct daemon *d, const struct mirror_view *v, usec now, struct buf *out)
{
    metric(out, "syncd_paused", "gauge", "1 while sending is paused.", v->paused);
    metric(out, "syncd_pause_left_seconds", "gauge",
           "Until a pause for a time ends by itself; 0: none.",
           d->paused_until == USEC_NEVER || d->paused_until < now
               ? 0
               : (double)(d->paused_until - now) / 1e6);
}

void metrics_text(struct daemon *d, struct buf *out)
{
    usec now = clock_monotonic();
    struct mirror_view v;
    struct health_report r;

    mirror_view(d->mirror, now, &v);
    health_look(d, &v, &r);
    buf_printf(out,
               "# HELP syncd_build_info Version of the daemon.\n# TYPE syncd_build_info gauge\n"
               "syncd_build_info{version=\"%s\"} 1\n",
               SYNCD_VERSION);
    metric(out, "syncd_healthy", "gauge", "1 when health is ok, 0.5 on a warning, 0 when critical.",
           health_number(r.level));
    metric(out, "syncd_converged", "gauge", "1 when DynamoDB equals the mapping of the database.",
           v.converged && d->state == DAEMON_RUNNING);
    metric(out, "syncd_uptime_seconds", "gauge", "Since the daemon started.",
           (double)(now - d->started) / 1e6);
    journal(d, &v, out);
    pausing(d, &v, now, out);
    reasons(&r, out);
    metric(out, "syncd_oldest_pending_seconds", "gauge", "Age of the oldest unconfirmed change.",
           v.oldest_pending == USEC_NEVER ? 0 : (double)(now - v.oldest_pending) / 1e6);
    metric(out, "syncd_wal_bytes", "gauge", "Size of the database's -wal file.",
           (double)v.wal_bytes);
    metric(out, "syncd_source_connected", "gauge", "0 while there is nothing to do.", v.connected);
    metric(out, "syncd_source_wakeups_total", "counter", "Times the database was opened again.",
           (double)v.wakeups);
    metric(out, "syncd_requests_in_flight", "gauge", "BatchWriteItem calls awaiting their answer.",
           v.engine.in_flight);
    metric(out, "syncd_dead_letters", "gauge", "Rows that DynamoDB cannot hold, standing now.",
           (double)v.dead_letters);
    metric(out, "syncd_orphans_skipped", "gauge",
           "Rows left out because they refer to rows that are not there, standing now.",
           (double)v.skipped);
    metric(out, "syncd_unconfirmed", "gauge",
           "Items of which a write may yet be carried out, standing now.", (double)v.unconfirmed);
    metric(out, "syncd_last_success_timestamp_seconds", "gauge",
           "Unix time of the last request that went well; 0: none yet.",
           (double)d->last_success_wall / 1e6);
    metric(out, "syncd_changes_total", "counter", "Journal entries read.", (double)v.changes);
    metric(out, "syncd_items_put_total", "counter", "Items put.", (double)v.items_put);
    metric(out, "syncd_items_deleted_total", "counter", "Items deleted.", (double)v.items_deleted);
    metric(out, "syncd_spared_total", "counter", "Changes that needed no write.", (double)v.spared);
    metric(out, "syncd_requests_total", "counter", "Requests sent.", (double)v.engine.requests);
    metric(out, "syncd_retries_total", "counter", "Requests that failed and went again.",
           (double)v.engine.retries);
    metric(out, "syncd_throttled_total", "counter", "Requests refused for throughput.",
           (double)v.engine.throttled);
    metric(out, "syncd_retry_quota", "gauge",
           "Tokens left for retries, of 500; without them retries go one at a time.",
           v.engine.retry_quota);
    metric(out, "syncd_unprocessed_total", "counter", "Items returned unprocessed.",
           (double)v.engine.unprocessed);
    metric(out, "syncd_sent_bytes_total", "counter", "Bytes of request bodies.",
           (double)d->sent_bytes);
    metric(out, "syncd_write_units_total", "counter", "Write capacity units consumed, as told.",
           v.engine.write_units);
    if (d->config->canary)
        metric(out, "syncd_canary_age_seconds", "gauge",
               "Since the newest canary that came back from DynamoDB was written.",
               (double)canary_age(d, now) / 1e6);
    metric(out, "syncd_loop_stall_max_seconds", "gauge",
           "Longest time since the start that the daemon was at work without looking up.",
           (double)loop_stall_max(d->loop_stall) / 1e6);
    histograms(d, &v, out);
    per_table(d, out);
    per_target(d, out);
}
