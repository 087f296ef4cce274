/* What a reply means for each write of its request, for the endpoint and for the tables. */
#include "base/backoff.h"
#include "base/plant.h"
#include "engine/internal.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* No request can cost more: items of 400 KB, each replaced in the table and in 20 indexes. */
static const double MAX_WRITE_UNITS = BATCH_MAX_ITEMS * 400.0 * (1 + 2 * 20);

static usec backoff(struct engine *e, usec base, unsigned n, const struct reply *reply)
{
    return backoff_delay(&e->rng, base, e->config.backoff_max, n, reply->retry_after);
}

static void endpoint_failed(struct engine *e, usec now, const struct batch *b,
                            const struct reply *reply)
{
    if (b->epoch != e->epoch) /* was in flight when an earlier failure was noticed */
        return;
    e->epoch++;
    e->failures++;
    e->window = 1;
    e->not_before = now + backoff(e, e->config.backoff_base, e->failures, reply);
}

/* The service answered: after failures it is trusted with one request more, which doubles what is
 * in flight by the time those are answered. One that used up the quota has to earn that first. */
static void endpoint_answered(struct engine *e, const struct batch *b, enum reply_class class)
{
    e->failures = 0;
    if (class == REPLY_OK) {
        e->quota += b->took ? b->took : 1;
        if (e->quota > RETRY_QUOTA)
            e->quota = RETRY_QUOTA;
    }
    if (e->window < e->config.max_in_flight && e->quota >= RETRY_TRANSIENT)
        e->window++;
    if (e->window >= e->config.max_in_flight)
        e->window = UINT_MAX;
}

static void target_throttled(struct engine *e, usec now, struct target *t, const struct batch *b,
                             const struct reply *reply)
{
    limiter_throttled(&t->limiter, now, b->sent_at);
    if (now < t->not_before) /* one wait for all requests that were in flight */
        return;
    t->failures++;
    t->not_before = now + backoff(e, e->config.throttle_base, t->failures, reply);
}

static bool same_target(const struct batch *b)
{
    for (unsigned i = 1; i < b->request.count; i++)
        if (b->entries[i]->target != b->entries[0]->target)
            return false;
    return true;
}

/* May the writes of a request have been carried out although it failed? */
static bool is_uncertain(enum reply_class class)
{
    if (PLANTED(TIMEOUT_IS_SUCCESS) && class == REPLY_AMBIGUOUS)
        return false;
    return class == REPLY_TRANSIENT || class == REPLY_AMBIGUOUS || class == REPLY_UNEXPECTED;
}

/* What sending it again takes of the quota. */
static unsigned retry_cost(enum reply_class class)
{
    if (class == REPLY_THROTTLED)
        return RETRY_THROTTLED;
    return class == REPLY_NOT_SENT || is_uncertain(class) ? RETRY_TRANSIENT : 0;
}

/* Everything of the batch is to be sent again, as part of any batch. */
static void requeue(struct engine *e, struct batch *b, enum reply_class class)
{
    for (unsigned i = b->request.count; i-- > 0;) {
        struct entry *n = b->entries[i];
        n->uncertain |= is_uncertain(class);
        n->retry = retry_cost(class);
        entry_unsend(e, n);
        entry_ready(e, n, true);
    }
}

/* DynamoDB holds `written`, and the store does not know yet: only the very same item may be spared
 * by what the store says. */
static void mind_written(struct payload *pending, const struct payload *written)
{
    if (PLANTED(SPARED_IN_DOUBT))
        return;
    if (pending->op != written->op || memcmp(pending->digest, written->digest, DIGEST_SIZE) != 0)
        pending->force = true;
}

static int settle(struct engine *e, struct entry *n, enum action_kind kind,
                  const struct reply *reply, struct actions *out)
{
    struct payload *p = n->sent;
    int rc = action_push(out, &(struct action){.kind = kind, .payload = p, .reply = reply});

    if (rc < 0) { /* cannot be told: send it again, which is always right */
        entry_unsend(e, n);
        entry_ready(e, n, false);
        return rc;
    }
    payload_uncount(e, p);
    n->sent = NULL;
    n->attempts = 0;
    if (kind == ACTION_WRITTEN)
        n->uncertain = false;
    if (n->pending) {
        if (kind == ACTION_WRITTEN)
            mind_written(n->pending, p);
        entry_ready(e, n, false);
        return 0;
    }
    if (n->uncertain)
        doubt_keep(e, n, p);
    entry_free(e, n);
    return 0;
}

static bool is_left(const struct reply *reply, unsigned i)
{
    return reply->unprocessed >> i & 1;
}

/* Write units that a request took, by the service's own count if it told one. `estimate`: ours. */
static double units_taken(const struct batch *b, const struct reply *reply, double *estimate)
{
    *estimate = 0;
    for (unsigned i = 0; i < b->request.count; i++)
        *estimate += is_left(reply, i) ? 0 : b->entries[i]->sent->units;
    if (!(reply->write_units > 0))
        return *estimate;
    return reply->write_units < MAX_WRITE_UNITS ? reply->write_units : MAX_WRITE_UNITS;
}

/* Tell the cap and each table's limiter what became of a request. Writes of one table stand
 * together. */
static void count_units(struct engine *e, usec now, const struct batch *b,
                        const struct reply *reply)
{
    double estimate, units = units_taken(b, reply, &estimate), spent = 0;
    double each = estimate > 0 ? units / estimate : 1;
    struct limiter_reply r = {.sent_at = b->sent_at};

    for (unsigned i = 0; i < b->request.count; i++) {
        const struct entry *n = b->entries[i];
        double cost = n->sent->units;
        spent += cost;
        if (!is_left(reply, i)) {
            r.taken += cost * each;
            r.extra += cost * (each - 1);
        }
        if (n->attempts == 0)
            *(is_left(reply, i) ? &r.left : &r.passed) += cost;
        if (i + 1 < b->request.count && b->entries[i + 1]->target == n->target)
            continue;
        limiter_replied(&e->targets[n->target].limiter, now, &r);
        r = (struct limiter_reply){.sent_at = b->sent_at};
    }
    e->units.tokens += spent - units;
    e->stats.write_units += units;
}

static int accepted(struct engine *e, usec now, struct batch *b, const struct reply *reply,
                    struct actions *out)
{
    int rc = 0;

    e->expired = false;
    count_units(e, now, b, reply);
    for (unsigned i = 0; i < b->request.count; i++) {
        struct entry *n = b->entries[i];
        n->retry = 0;
        if (!is_left(reply, i)) {
            e->targets[n->target].failures = 0;
            e->targets[n->target].alone = false;
            int settled = settle(e, n, ACTION_WRITTEN, reply, out);
            rc = rc < 0 ? rc : settled;
            continue;
        }
        e->stats.unprocessed++;
        if (e->targets[n->target].parked) {
            entry_forget_sent(e, n); /* as EVENT_PARK did with the others */
            continue;
        }
        entry_unsend(e, n);
        entry_wait(e, n, now + backoff(e, e->config.backoff_base, ++n->attempts, reply));
    }
    return rc;
}

/* One of the writes is to blame: send each half as it is, until one write stands alone. */
static int bisect(struct engine *e, struct batch *b, const struct reply *reply, struct actions *out)
{
    unsigned half = b->request.count / 2;
    struct batch *halves[2];

    if (b->request.count == 1)
        return settle(e, b->entries[0], ACTION_REFUSED, reply, out);
    halves[0] = calloc(1, sizeof *b);
    halves[1] = calloc(1, sizeof *b);
    if (!halves[0] || !halves[1]) {
        free(halves[0]);
        free(halves[1]);
        requeue(e, b, reply->class);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < b->request.count; i++) {
        struct batch *to = halves[i >= half];
        entry_unsend(e, b->entries[i]);
        b->entries[i]->state = ENTRY_BOUND;
        to->entries[to->request.count++] = b->entries[i];
    }
    list_push_back(&e->bound, &halves[0]->link);
    list_push_back(&e->bound, &halves[1]->link);
    return 0;
}

/* A table of the request cannot be written. Which one is only sure when it was sent alone. */
static int table_failed(struct engine *e, struct batch *b, bool whole, const struct reply *reply,
                        struct actions *out)
{
    uint32_t target = b->entries[0]->target;
    bool sure = whole && same_target(b);

    for (unsigned i = 0; i < b->request.count; i++)
        e->targets[b->entries[i]->target].alone = true;
    requeue(e, b, reply->class);
    if (!sure)
        return 0;
    int rc =
        action_push(out, &(struct action){.kind = ACTION_PARK, .target = target, .reply = reply});
    /* Nothing more goes there; EVENT_PARK clears its queue. What cannot be told is asked again. */
    e->targets[target].parked = rc == 0;
    return rc;
}

/* Keys of one partition have more than their share of writes: they wait, each by itself, and the
 * table's other keys go on. */
static usec keys_throttled(struct engine *e, usec now, struct batch *b, const struct reply *reply)
{
    usec last = now;

    for (unsigned i = 0; i < b->request.count; i++) {
        struct entry *n = b->entries[i];
        usec until = now + backoff(e, e->config.throttle_base, ++n->attempts, reply);
        n->retry = retry_cost(reply->class);
        entry_unsend(e, n);
        entry_wait(e, n, until);
        last = until > last ? until : last;
    }
    return last;
}

static usec tables_throttled(struct engine *e, usec now, struct batch *b, const struct reply *reply)
{
    usec last = now;

    for (unsigned i = 0; i < b->request.count; i++) {
        struct target *t = &e->targets[b->entries[i]->target];
        if (i == 0 || b->entries[i - 1]->target != b->entries[i]->target)
            target_throttled(e, now, t, b, reply);
        last = t->not_before > last ? t->not_before : last;
    }
    requeue(e, b, reply->class);
    return last;
}

static int throttled(struct engine *e, usec now, struct batch *b, const struct reply *reply,
                     struct actions *out)
{
    e->stats.throttled++;
    usec until =
        reply->key_range ? keys_throttled(e, now, b, reply) : tables_throttled(e, now, b, reply);
    return action_push(
        out, &(struct action){.kind = ACTION_RETRY, .reply = reply, .delay = until - now});
}

static int credentials_needed(struct engine *e, usec now, struct batch *b,
                              const struct reply *reply, struct actions *out)
{
    requeue(e, b, reply->class);
    if (e->waiting_credentials || b->credentials != e->credentials)
        return 0; /* fresh ones are under way, or there already */
    if (reply->class != REPLY_EXPIRED || e->expired) /* the fresh ones are no better */
        endpoint_failed(e, now, b, reply);
    int rc = action_push(out, &(struct action){.kind = ACTION_CREDENTIALS, .reply = reply});
    e->expired = true;
    e->waiting_credentials = rc == 0;
    return rc;
}

/* Writes of a table that was parked meanwhile are forgotten, as EVENT_PARK did with the others.
 * True when there were any: then what the reply blames may have been among them. */
static bool forget_parked(struct engine *e, struct batch *b, bool uncertain)
{
    unsigned kept = 0, count = b->request.count;

    for (unsigned i = 0; i < count; i++) {
        struct entry *n = b->entries[i];
        if (e->targets[n->target].parked) {
            n->uncertain |= uncertain;
            entry_forget_sent(e, n);
        } else {
            b->entries[kept++] = n;
        }
    }
    b->request.count = kept;
    return kept < count;
}

void engine_left_open(const struct engine *e, uint64_t request, const struct reply *reply,
                      engine_write_fn *fn, void *arg)
{
    if (reply && !is_uncertain(reply->class))
        return;
    for (const struct list *l = e->flying.next; l != &e->flying; l = l->next) {
        const struct batch *b = container_of(l, const struct batch, link);
        for (unsigned i = 0; (!reply || b->request.id == request) && i < b->request.count; i++)
            fn(arg, b->request.writes[i]);
    }
}

/* Did the service itself answer, as against something on the way to it? */
static bool is_answer(enum reply_class class)
{
    switch (class) {
    case REPLY_OK:
    case REPLY_THROTTLED:
    case REPLY_INVALID:
    case REPLY_TOO_LARGE:
    case REPLY_KEY_SCHEMA:
    case REPLY_NO_TABLE:
    case REPLY_DENIED:
        return true;
    default:
        return false;
    }
}

int engine_outcome(struct engine *e, usec now, struct batch *b, const struct reply *reply,
                   struct actions *out)
{
    bool whole = true;
    int rc = 0;

    list_remove(&b->link);
    e->in_flight--;
    e->probes -= b->probe;
    if (reply->class != REPLY_OK) {
        e->stats.retries++;
        whole = !forget_parked(e, b, is_uncertain(reply->class));
    }
    if (is_answer(reply->class))
        endpoint_answered(e, b, reply->class);
    if (b->request.count == 0) {
        free(b);
        return 0;
    }
    enum reply_class class = reply->class;
    if (PLANTED(TIMEOUT_IS_SUCCESS) && class == REPLY_AMBIGUOUS)
        class = REPLY_OK;
    switch (class) {
    case REPLY_OK:
        rc = accepted(e, now, b, reply, out);
        break;
    case REPLY_INVALID:
    case REPLY_TOO_LARGE:
        if (whole)
            rc = bisect(e, b, reply, out);
        else
            requeue(e, b, reply->class);
        break;
    case REPLY_KEY_SCHEMA:
    case REPLY_NO_TABLE:
    case REPLY_DENIED:
        rc = table_failed(e, b, whole, reply, out);
        break;
    case REPLY_THROTTLED:
        rc = throttled(e, now, b, reply, out);
        break;
    case REPLY_EXPIRED:
    case REPLY_CREDENTIALS:
    case REPLY_CLOCK:
        rc = credentials_needed(e, now, b, reply, out);
        break;
    case REPLY_NOT_SENT:
    case REPLY_TRANSIENT:
    case REPLY_AMBIGUOUS:
    case REPLY_UNEXPECTED:
        endpoint_failed(e, now, b, reply);
        requeue(e, b, reply->class);
        rc = action_push(out,
                         &(struct action){.kind = ACTION_RETRY,
                                          .reply = reply,
                                          .delay = e->not_before > now ? e->not_before - now : 0});
        break;
    }
    free(b);
    return rc;
}
