/* Holding back for a while, over a restart too. */
#include "daemon.h"

#include <stdio.h>

bool daemon_pause(struct daemon *d, int64_t seconds)
{
    usec now = clock_monotonic(), until = clock_wall() + seconds * USEC_PER_SEC;
    char text[24];

    d->paused_until = seconds ? now + seconds * USEC_PER_SEC : USEC_NEVER;
    d->pause_recalled = false;
    bool kept = mirror_pause_until(d->mirror, now, seconds ? until : USEC_NEVER) == 0;
    snprintf(text, sizeof text, "%lld", (long long)seconds);
    log_event(LOG_EV_WARNING, "paused",
              seconds ? log_msg("sending is paused for %s s", text)
                      : "sending is paused until `syncctl resume`",
              "seconds", seconds ? text : NULL, NULL);
    return kept;
}

bool daemon_resume(struct daemon *d, const char *why)
{
    bool was = mirror_paused_until(d->mirror) != 0;

    d->paused_until = USEC_NEVER;
    d->pause_recalled = false;
    bool kept = mirror_pause_until(d->mirror, clock_monotonic(), 0) == 0;
    targets_watch_now(d);
    if (was)
        log_event(LOG_EV_INFO, "resumed", why, NULL);
    return kept;
}

/* A pause outlives the process, by the wall clock. */
void daemon_recall_pause(struct daemon *d)
{
    usec until = mirror_paused_until(d->mirror), wall = clock_wall();

    if (!until)
        return;
    d->pause_recalled = until != USEC_NEVER;
    if (d->pause_recalled)
        d->paused_until = clock_monotonic() + (until > wall ? until - wall : 0);
    log_event(LOG_EV_WARNING, "paused", "sending is still paused, as before this start", NULL);
}

void daemon_pause_turn(struct daemon *d, usec now)
{
    /* A clock that was behind at boot is set right later. */
    bool over = d->pause_recalled && mirror_paused_until(d->mirror) <= clock_wall();

    if (over || d->paused_until <= now)
        daemon_resume(d, "the pause is over: sending goes on");
}
