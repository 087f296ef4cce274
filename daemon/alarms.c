/* What lasts is told when it begins and when it is over, once each: of health's reasons those that
 * an operator is to be woken for. See base/events.h. */
#include "daemon.h"

#include <stdio.h>

/* A request's answer may be twenty seconds away (backoff_max); throttling that goes on is heard of
 * again within this. */
#define THROTTLE_QUIET (30 * USEC_PER_SEC)

void alarms_note(struct daemon *d, const struct mirror_view *v, usec now)
{
    uint64_t refused = v->engine.throttled + v->engine.unprocessed;

    growth_note(&d->journal_growth, now, v->journal_entries);
    if (refused != d->throttled_seen) {
        d->throttled_seen = refused;
        d->throttled_last = now;
        if (!d->throttled_since)
            d->throttled_since = now;
    }
    if (d->throttled_since && now - d->throttled_last > THROTTLE_QUIET)
        d->throttled_since = 0;
}

static bool is_journal(const struct reason *r)
{
    return strcmp(r->code, "journal_filling") == 0 || strcmp(r->code, "journal_full") == 0;
}

/* Changes do not reach DynamoDB; a full journal is told by its own event. */
static bool is_stall(const struct reason *r)
{
    return r->level == HEALTH_CRITICAL && !is_journal(r);
}

static bool is_throttling(const struct reason *r)
{
    return strcmp(r->code, "throttled") == 0;
}

static bool is_credentials(const struct reason *r)
{
    return strncmp(r->code, "credentials_", 12) == 0;
}

static const struct {
    const char *begun; /* NULL: told elsewhere, with more to say */
    enum log_level level;
    const char *ended, *ended_text;
    bool (*is)(const struct reason *r);
} kinds[ALARMS] = {
    {"stalled", LOG_EV_ERROR, "stall_ended", "changes reach DynamoDB again", is_stall},
    {"throttled_long", LOG_EV_WARNING, "throttling_ended", "DynamoDB throttles no more",
     is_throttling},
    {"journal_filling", LOG_EV_WARNING, "journal_relieved",
     "the journal is well within its limit again", is_journal},
    {NULL, LOG_EV_ERROR, "credentials_restored", "DynamoDB accepts the credentials again",
     is_credentials},
};

static const struct reason *find(const struct health_report *r, bool (*is)(const struct reason *))
{
    for (unsigned i = 0; i < r->count; i++)
        if (is(&r->reasons[i]))
            return &r->reasons[i];
    return NULL;
}

void alarms_look(struct daemon *d, const struct health_report *r, usec now)
{
    for (unsigned i = 0; i < ALARMS; i++) {
        const struct reason *why = find(r, kinds[i].is);
        usec since = d->alarm_since[i];
        char seconds[24];

        if (why && !since) {
            d->alarm_since[i] = now;
            if (kinds[i].begun)
                log_event(kinds[i].level, kinds[i].begun, why->message, "code", why->code, NULL);
        } else if (!why && since) {
            d->alarm_since[i] = 0;
            snprintf(seconds, sizeof seconds, "%lld", (long long)((now - since) / USEC_PER_SEC));
            log_event(LOG_EV_INFO, kinds[i].ended, kinds[i].ended_text, "seconds", seconds, NULL);
        }
    }
}
