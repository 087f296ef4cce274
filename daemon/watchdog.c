/* What the engine has to do and what it achieves, as progress.h wants it. */
#include "daemon.h"

static bool any_parked(const struct daemon *d)
{
    for (uint32_t i = 0; i < mirror_target_count(d->mirror); i++)
        if (!mirror_target(d->mirror, i)->open)
            return true;
    return false;
}

static struct progress_look look(const struct daemon *d, const struct mirror_view *v, usec now)
{
    const struct engine_stats *e = &v->engine;
    const char *ignored;

    return (struct progress_look){
        .work = v->journal_entries > 0 || e->items > 0,
        /* A disk that does not answer (`state_sync`) holds a killed process as well. */
        .excused = d->state != DAEMON_RUNNING || mirror_problem(d->mirror, &ignored) != SOURCE_OK ||
                   !v->attached || v->detached || v->paused || v->held || v->loading ||
                   v->state_broken || d->state_sync.worker.busy || d->source_sync.worker.busy ||
                   d->failing_since || d->credentials_code[0] || e->waiting_credentials ||
                   (e->retry_at != USEC_NEVER && e->retry_at > now) || any_parked(d),
        .mark = e->requests + e->retries + e->throttled + e->unprocessed + v->items_put +
                v->items_deleted + v->spared + v->refused + v->changes + (uint64_t)v->journal_low +
                (uint64_t)v->watermark,
    };
}

void watchdog_look(struct daemon *d, const struct mirror_view *v, usec now)
{
    const struct progress_look l = look(d, v, now);
    usec stall = progress_stall(&d->progress, &l, now);
    bool stalled = stall > PROGRESS_LIMIT + d->config->request_timeout;

    if (stalled && !d->stalled)
        log_event(LOG_EV_ERROR, "watchdog_starved",
                  log_msg("%lld changes are pending and nothing has moved for %lld s; systemd's "
                          "watchdog is not fed any more, so that it starts syncd again",
                          (long long)v->journal_entries, (long long)(stall / USEC_PER_SEC)),
                  NULL);
    d->stalled = stalled;
}

void watchdog_feed(const struct daemon *d)
{
    if (!d->stalled)
        notify_watchdog();
}
