/* What the engine wants done is done: requests go out, outcomes are counted and kept. And what the
 * engine is told of: replies, time, a pause, the end. */
#include <errno.h>
#include <string.h>

#include "mirror/internal.h"
#include "mirror/offer.h"
#include "mirror/suspects.h"

#define MS(n) ((usec)((n)*USEC_PER_MSEC))

/* From the quickest confirmation to outages of hours. */
static const usec lag_bounds[] = {MS(1),   MS(2.5), MS(5),   MS(10),  MS(25),   MS(50),
                                  MS(100), MS(250), MS(500), MS(1e3), MS(2500), MS(5e3),
                                  MS(1e4), MS(3e4), MS(6e4), MS(3e5), MS(18e5), MS(72e5)};

static void note_lag(struct mirror *m, usec now, const struct payload *p)
{
    usec lag = p->read_at ? now - p->read_at : 0;

    histogram_add(&m->lags, lag);
    if (lag / 64 > UINT32_MAX)
        lag = (usec)UINT32_MAX * 64;
    m->lag[m->lag_count++ % LAG_SAMPLES] = (uint32_t)(lag / 64);
}

static void count_outcome(struct mirror *m, usec now, const struct action *a)
{
    struct table_slot *t = mirror_table_by_id(m, a->payload->table);
    bool put = a->payload->op == WRITE_PUT;

    if (a->kind == ACTION_SPARED) {
        m->spared++;
        return;
    }
    if (a->kind == ACTION_REFUSED) {
        m->refused++;
        return;
    }
    note_lag(m, now, a->payload);
    if (put)
        m->items_put++;
    else
        m->items_deleted++;
    if (t && put)
        t->items_put++;
    else if (t)
        t->items_deleted++;
}

/* Another row has the key by now, its own is gone or at another key, or has other chunks: what
 * becomes of the row is told elsewhere. (The delete of one that is gone cannot be relied on for
 * that: another row's put may yet take its place.) */
static bool outdated(const struct mirror *m, const struct payload *p)
{
    const struct payload *newest = split_newest(m, p->target, p->key, p->key_len);

    if (p->part)
        return !split_is_awaited(m, p);

    return newest && (newest->op == WRITE_DELETE || !payload_same_row(newest, p));
}

static void keep_outcome(struct mirror *m, usec now, const struct action *a)
{
    enum record_kind kind = a->kind == ACTION_WRITTEN  ? RECORD_WRITTEN
                            : a->kind == ACTION_SPARED ? RECORD_SPARED
                            : outdated(m, a->payload)  ? RECORD_SETTLED
                                                       : RECORD_REFUSED;
    const struct reply *r = a->kind == ACTION_REFUSED ? a->reply : NULL;

    count_outcome(m, now, a);
    if (record_add(m, now, kind, a->payload, NULL, NULL, r ? "refused" : NULL,
                   r ? r->message : NULL) < 0) {
        /* Without memory the outcome cannot be kept: say nothing of the write, and send it again;
         * but not after one that was read since. */
        struct event ev = {.kind = EVENT_OFFER, .payload = a->payload};
        a->payload->force = true;
        if (engine_overtaken(m->engine, a->payload))
            return;
        if (engine_step(m->engine, now, &ev, &m->actions) < 0)
            abort(); /* systemd starts us anew; the journal still has the change */
        barrier_read(m);
        return;
    }
    if (kind == RECORD_REFUSED)
        owner_look_for_leaver(m, a->payload);
    split_outcome(m, now, a->kind, a->payload);
}

static void carry_out(struct mirror *m, usec now, const struct action *a)
{
    switch (a->kind) {
    case ACTION_SEND:
        suspects_sent(m, a->request);
        m->edge.send(m->edge.arg, a->request);
        break;
    case ACTION_WRITTEN:
    case ACTION_SPARED:
    case ACTION_REFUSED:
        keep_outcome(m, now, a);
        break;
    case ACTION_PARK:
        m->edge.parked(m->edge.arg, a->target, a->reply);
        mirror_target_parked(m, now, a->target, a->reply->code, a->reply->message);
        break;
    case ACTION_CREDENTIALS:
        m->edge.credentials(m->edge.arg, a->reply);
        break;
    case ACTION_RETRY:
        m->edge.retrying(m->edge.arg, a->reply, a->delay);
        break;
    }
}

/* Carrying out an action may add more of them; they follow in order. */
static void carry_out_all(struct mirror *m, usec now)
{
    if (m->acting)
        return;
    m->acting = true;
    for (size_t i = 0; i < m->actions.count; i++) {
        struct action a = m->actions.items[i];
        carry_out(m, now, &a);
    }
    actions_clear(&m->actions);
    m->acting = false;
}

void mirror_act(struct mirror *m, usec now, const struct event *ev)
{
    m->now = now;
    engine_step(m->engine, now, ev, &m->actions);
    carry_out_all(m, now);
}

void mirror_reply(struct mirror *m, usec now, uint64_t request, const struct reply *r)
{
    m->now = now;
    engine_left_open(m->engine, request, r, suspects_left_open, m);
    mirror_act(m, now, &(struct event){.kind = EVENT_REPLY, .request_id = request, .reply = r});
}

void mirror_timer(struct mirror *m, usec now)
{
    barrier_step(m, now);
    mirror_act(m, now, &(struct event){.kind = EVENT_TIMER});
}

void mirror_credentials(struct mirror *m, usec now)
{
    mirror_act(m, now, &(struct event){.kind = EVENT_CREDENTIALS});
}

int mirror_pause_until(struct mirror *m, usec now, usec until)
{
    m->paused = until != 0;
    m->paused_until = until;
    if (!m->held_paused)
        mirror_act(m, now, &(struct event){.kind = m->paused ? EVENT_PAUSE : EVENT_RESUME});
    if (m->state_broken || records_kept(m, store_put_int(m->store, "paused_until", until)) < 0 ||
        records_kept(m, records_sync(m, NULL)) < 0)
        return -EIO; /* written again with all else */
    return 0;
}

void mirror_pause(struct mirror *m, usec now, bool paused)
{
    mirror_pause_until(m, now, paused ? USEC_NEVER : 0);
}

usec mirror_paused_until(const struct mirror *m)
{
    return m->paused_until;
}

void mirror_stop(struct mirror *m, usec now)
{
    mirror_act(m, now, &(struct event){.kind = EVENT_STOP});
}

void actions_begin(struct mirror *m)
{
    m->lags = (struct histogram){.bounds = lag_bounds,
                                 .bound_count = sizeof lag_bounds / sizeof *lag_bounds};
}
