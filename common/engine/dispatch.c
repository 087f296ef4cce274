/* What is sent when: gates of endpoint and tables, the linger, the cap on write units, the limits
 * of the tables, and how a batch is filled. */
#include "base/plant.h"
#include "engine/internal.h"

#include <errno.h>
#include <stdlib.h>

/* For the writes of one request, so that its body is within the limit. */
enum { REQUEST_ROOM = BATCH_MAX_BYTES - BATCH_BODY_OVERHEAD };

static void wake_at(struct engine *e, usec t)
{
    if (t < e->deadline)
        e->deadline = t;
}

/* After failures of the endpoint one request at a time probes it, then ever more while it answers,
 * so that a service which comes back is not stampeded. */
static bool endpoint_open(struct engine *e, usec now)
{
    if (e->paused || e->stopped || e->waiting_credentials)
        return false;
    if (e->in_flight >= e->config.max_in_flight || e->in_flight >= e->window)
        return false;
    if (e->failures && now < e->not_before) {
        wake_at(e, e->not_before);
        return false;
    }
    return true;
}

/* May writes go to a target? Else it says when to look again, unless an event will tell. */
static bool target_open(struct engine *e, struct target *t, usec now)
{
    if (t->parked)
        return false;
    if (t->failures && e->quota < RETRY_THROTTLED && e->probes)
        return false;
    usec at = now < t->not_before ? t->not_before : limiter_wait(&t->limiter, now);
    if (at)
        wake_at(e, at);
    return at == 0;
}

/* The cap over all tables. A quarter of a second's worth is kept for later, so that no ten seconds
 * see much more than ten times the cap. */
static bool units_available(struct engine *e, usec now)
{
    double rate = (double)e->config.write_units_per_second;

    if (rate <= 0) { /* no debts from the time without a cap */
        e->units = (struct bucket){.at = now};
        return true;
    }
    bucket_fill(&e->units, now, rate, rate / 4 > 1 ? rate / 4 : 1);
    usec at = bucket_wait(&e->units, now, rate);
    if (at)
        wake_at(e, at);
    return at == 0;
}

static bool more_units(const struct engine *e)
{
    return e->config.write_units_per_second <= 0 || e->units.tokens > 0;
}

static void spend(struct engine *e, const struct entry *n, usec now)
{
    double units = n->pending->units;

    e->units.tokens -= units;
    limiter_spend(&e->targets[n->target].limiter, now, units);
}

static size_t payload_size(const struct payload *p)
{
    return p->json_len + BATCH_WRITE_OVERHEAD;
}

/* Put one ready entry into the batch; false when it does not fit. A put that DynamoDB already holds
 * is settled on the spot; what is not durable yet, or is to be read again, goes aside. */
static bool take(struct engine *e, struct batch *b, struct entry *n, size_t *bytes, usec now,
                 struct actions *out)
{
    struct payload *p = n->pending;
    size_t size = payload_size(p);

    if (!entry_durable(e, n)) {
        entry_hold(e, n);
        return true;
    }
    if (n->stale) {
        entry_ask(e, n);
        return true;
    }
    if (p->op == WRITE_PUT && (PLANTED(SPARED_IN_DOUBT) || (!p->force && !n->uncertain)) &&
        !e->doubt_all && e->config.holds && e->config.holds(e->config.arg, p)) {
        if (action_push(out, &(struct action){.kind = ACTION_SPARED, .payload = p}) == 0) {
            payload_uncount(e, p);
            /* The key's bytes live in the payload that now is the receiver's, but an entry is
             * unlinked by its hash alone. */
            n->pending = NULL;
            entry_free(e, n);
            return true;
        }
    }
    if (b->request.count && *bytes + size > REQUEST_ROOM)
        return false;
    *bytes += size;
    list_remove(&n->link);
    e->targets[n->target].ready_count--;
    spend(e, n, now);
    n->state = ENTRY_SENT;
    b->entries[b->request.count++] = n;
    return true;
}

/* What becomes of it must say nothing of other tables, which would share its wait. */
static bool goes_alone(const struct target *t)
{
    return t->alone || t->failures;
}

static void fill(struct engine *e, struct batch *b, usec now, struct actions *out)
{
    size_t bytes = 0;
    bool full = false;

    for (uint32_t k = 0; k < e->target_count && !full; k++) {
        uint32_t at = (e->next_target + k) % e->target_count;
        struct target *t = &e->targets[at];
        if (!t->ready_count || (goes_alone(t) && b->request.count) || !target_open(e, t, now))
            continue;
        size_t before = b->request.count;
        /* One write may overdraw a bucket, else those that cost more than its rate never went. */
        while (!list_empty(&t->ready) && !full && limiter_more(&t->limiter)) {
            if (b->request.count == batch_items(e) || !more_units(e) ||
                !take(e, b, list_first(&t->ready, struct entry, link), &bytes, now, out))
                full = true;
        }
        if (b->request.count > before && goes_alone(t))
            break;
    }
    e->next_target = (e->next_target + 1) % (e->target_count ? e->target_count : 1);
}

static size_t sendable(struct engine *e, usec now)
{
    size_t count = 0;

    for (uint32_t i = 0; i < e->target_count; i++)
        if (e->targets[i].ready_count && target_open(e, &e->targets[i], now))
            count += e->targets[i].ready_count;
    return count;
}

/* A batch that is not full waits for company only while others are in flight. */
static bool worth_sending(struct engine *e, size_t ready, usec now)
{
    if (ready >= batch_items(e) || e->in_flight == 0)
        return true;
    if (!e->partial_since)
        e->partial_since = now;
    if (now - e->partial_since >= e->config.linger)
        return true;
    wake_at(e, e->partial_since + e->config.linger);
    return false;
}

/* Count what it repeats against the quota, as far as that goes. */
static void take_retry(struct engine *e, struct batch *b)
{
    unsigned cost = 0;

    b->probe = false;
    for (unsigned i = 0; i < b->request.count; i++) {
        const struct entry *n = b->entries[i];
        cost = n->retry > cost ? n->retry : cost;
        b->probe |= e->targets[n->target].failures > 0;
    }
    b->took = cost <= e->quota ? cost : 0;
    e->quota -= b->took;
    e->probes += b->probe;
}

static int launch(struct engine *e, struct batch *b, usec now, struct actions *out)
{
    int rc = action_push(out, &(struct action){.kind = ACTION_SEND, .request = &b->request});

    if (rc < 0) { /* nobody would be told of it */
        for (unsigned i = b->request.count; i-- > 0;)
            entry_ready(e, b->entries[i], true);
        free(b);
        return rc;
    }
    b->request.id = e->next_request++;
    b->epoch = e->epoch;
    b->credentials = e->credentials;
    b->sent_at = now;
    take_retry(e, b);
    for (unsigned i = 0; i < b->request.count; i++) {
        struct entry *n = b->entries[i];
        n->state = ENTRY_SENT;
        n->sent = n->pending;
        n->pending = NULL;
        b->request.writes[i] = n->sent;
        e->stats.written_bytes += n->sent->json_len;
    }
    list_push_back(&e->flying, &b->link);
    e->in_flight++;
    e->stats.requests++;
    return 0;
}

static bool batch_open(struct engine *e, const struct batch *b, usec now)
{
    for (unsigned i = 0; i < b->request.count; i++)
        if (!target_open(e, &e->targets[b->entries[i]->target], now) ||
            !entry_durable(e, b->entries[i]))
            return false;
    return true;
}

/* Newer and larger payloads may have taken the place of those that were sent. */
static bool batch_fits(const struct batch *b)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < b->request.count; i++)
        bytes += payload_size(b->entries[i]->pending);
    return b->request.count == 1 || bytes <= REQUEST_ROOM;
}

static struct batch *next_bound(struct engine *e, usec now)
{
    list_for_each(pos, after, &e->bound)
    {
        struct batch *b = container_of(pos, struct batch, link);
        if (!batch_open(e, b, now))
            continue;
        if (batch_fits(b)) {
            list_remove(&b->link);
            for (unsigned i = 0; i < b->request.count; i++)
                spend(e, b->entries[i], now);
            return b;
        }
        batch_unbind(e, b);
    }
    return NULL;
}

static int next_batch(struct engine *e, usec now, struct batch **out_batch, struct actions *out)
{
    struct batch *b = next_bound(e, now);

    *out_batch = b;
    if (b)
        return 0;
    size_t ready = sendable(e, now);
    if (!ready || !worth_sending(e, ready, now))
        return 0;
    b = calloc(1, sizeof *b);
    if (!b)
        return -ENOMEM;
    list_init(&b->link);
    fill(e, b, now, out);
    e->partial_since = 0;
    if (b->request.count == 0) { /* all of it was spared, is held or asked for */
        free(b);
        return sendable(e, now) ? next_batch(e, now, out_batch, out) : 0;
    }
    *out_batch = b;
    return 0;
}

/* Without anything to send there is nothing to be woken for. */
static bool has_work(const struct engine *e)
{
    if (!list_empty(&e->bound))
        return true;
    for (uint32_t i = 0; i < e->target_count; i++)
        if (e->targets[i].ready_count && !e->targets[i].parked)
            return true;
    return false;
}

int engine_dispatch(struct engine *e, usec now, struct actions *out)
{
    struct entry *n;
    int rc = 0;

    e->deadline = USEC_NEVER;
    while ((n = entry_due(e, now)) != NULL)
        entry_ready(e, n, true);
    if (e->heap_count)
        wake_at(e, e->heap[0]->not_before);
    while (rc == 0 && has_work(e) && endpoint_open(e, now) && units_available(e, now)) {
        struct batch *b;
        rc = next_batch(e, now, &b, out);
        if (rc < 0 || !b)
            break;
        rc = launch(e, b, now, out);
    }
    if (rc == -ENOMEM) { /* nothing is lost: try again soon */
        wake_at(e, now + 100 * USEC_PER_MSEC);
        rc = 0;
    }
    return rc;
}
