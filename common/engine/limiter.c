#include "engine/limiter.h"

#include <math.h>

#define SECONDS(t) ((double)(t) / (double)USEC_PER_SEC)

static const double SCALE = 0.4;     /* of the curve */
static const double STEP_DOWN = 0.3; /* how much less after a throttle */
static const double WEIGHT = 0.8;    /* of the newest measurement */
static const double LOWEST = 0.5;    /* units a second */

static const double HOT_SHARE = 0.1; /* unprocessed, up to which single keys are to blame */
static const double ENOUGH = 25;     /* units to judge a share by */
static const double MANY = 200;      /* units to judge by at once */

static const double QUANTUM = 25;        /* units: a request of small writes */
static const double QUANTUM_TIME = 0.05; /* seconds */

static const usec MEASURE = USEC_PER_SEC / 2;
static const usec IDLE = USEC_PER_SEC; /* longer pauses are not part of what is measured */
static const usec LOOK_AGAIN = USEC_PER_SEC / 2; /* at a limit that may have grown */
static const usec FORGET = 60 * USEC_PER_SEC;

void bucket_fill(struct bucket *b, usec now, double rate, double burst)
{
    if (now > b->at)
        b->tokens += rate * SECONDS(now - b->at);
    b->at = now;
    if (b->tokens > burst)
        b->tokens = burst;
}

usec bucket_wait(const struct bucket *b, usec now, double rate)
{
    double enough = fmin(QUANTUM, rate * QUANTUM_TIME);

    if (b->tokens >= enough)
        return 0;
    return now + (usec)ceil((enough - b->tokens) / rate * (double)USEC_PER_SEC);
}

/* --- the limit -------------------------------------------------------------------------------- */

static double bounded(const struct limiter *l, double rate)
{
    return fmax(LOWEST, fmin(rate, 2 * l->measured));
}

static double curve(const struct limiter *l, usec now)
{
    double t = SECONDS(now - l->since) - l->growth;

    return SCALE * t * t * t + l->top;
}

/* Pay in what the time since the last look brought, and follow the curve. */
static void refresh(struct limiter *l, usec now)
{
    double before = l->rate;

    if (!l->on)
        return;
    if (now - l->since >= FORGET) {
        l->on = false;
        return;
    }
    l->rate = bounded(l, curve(l, now));
    double burst = fmax(1, l->rate), mean = (before + l->rate) / 2;
    double over = l->bucket.tokens + mean * SECONDS(now - l->bucket.at) - burst;
    if (over < 0)
        l->full = USEC_NEVER;
    else if (l->full == USEC_NEVER)
        l->full = now - (usec)(over / mean * (double)USEC_PER_SEC);
    bucket_fill(&l->bucket, now, mean, burst);
}

/* `share` of what was sent did not pass, at the limit as it was last refreshed. */
static void step_down(struct limiter *l, usec now, double share)
{
    l->top = l->on ? fmin(l->measured, l->rate) : l->measured;
    l->growth = cbrt(l->top * STEP_DOWN * share / SCALE);
    l->since = now;
    if (!l->on) {
        l->bucket = (struct bucket){.at = now};
        l->full = USEC_NEVER;
    }
    l->on = true;
    l->rate = bounded(l, (1 - STEP_DOWN * share) * l->top);
    l->passed = l->left = 0;
}

/* --- what is measured ------------------------------------------------------------------------- */

/* A pause is no slowness: only as much of it as IDLE counts. Time in which the limiter itself held
 * writes back is none. */
static void skip_pause(struct limiter *l, usec now)
{
    usec from = l->last;

    if (l->on && l->full == USEC_NEVER)
        return;
    if (l->on && l->full > from)
        from = l->full;
    if (now - from > IDLE)
        l->counting += now - from - IDLE;
}

static void count(struct limiter *l, usec now)
{
    l->measured = WEIGHT * l->taken / SECONDS(now - l->counting) + (1 - WEIGHT) * l->measured;
    l->counting = now;
    l->taken = 0;
}

/* Before a step down: what is being counted may be all there is, and more than was measured. Too
 * much is soon corrected by the next measurement; from too little it takes long to come back. */
static void count_early(struct limiter *l, usec now)
{
    double seconds = fmax(SECONDS(now - l->counting), QUANTUM_TIME);
    l->measured = fmax(l->measured, WEIGHT * l->taken / seconds);
}

/* A few writes left unprocessed are too few to judge the table by; most of many are reason enough
 * before the half second is over. */
static void judge(struct limiter *l, usec now, bool early)
{
    double sum = l->passed + l->left, left = l->left;

    if (sum < (early ? MANY : ENOUGH) || (early && left < sum / 2))
        return;
    l->passed = l->left = 0;
    if (left <= HOT_SHARE * sum)
        return;
    if (early)
        count_early(l, now);
    step_down(l, now, left / sum);
}

/* --- what the engine asks and tells ----------------------------------------------------------- */

usec limiter_wait(struct limiter *l, usec now)
{
    refresh(l, now);
    if (!l->on)
        return 0;
    usec t = bucket_wait(&l->bucket, now, l->rate);
    return t > now + LOOK_AGAIN ? now + LOOK_AGAIN : t;
}

bool limiter_more(const struct limiter *l)
{
    return !l->on || l->bucket.tokens > 0;
}

void limiter_spend(struct limiter *l, usec now, double units)
{
    refresh(l, now);
    if (!l->counting)
        l->counting = now;
    else
        skip_pause(l, now);
    l->last = now;
    l->bucket.tokens -= units;
    l->full = USEC_NEVER;
}

void limiter_replied(struct limiter *l, usec now, const struct limiter_reply *r)
{
    refresh(l, now);
    l->bucket.tokens -= r->extra;
    l->last = now;
    l->taken += r->taken;
    if (!l->on || r->sent_at >= l->since) {
        l->passed += r->passed;
        l->left += r->left;
    }
    bool early = now - l->counting < MEASURE;
    if (!early)
        count(l, now);
    judge(l, now, early);
    if (l->on) /* less may have been measured */
        l->rate = bounded(l, l->rate);
}

void limiter_throttled(struct limiter *l, usec now, usec sent_at)
{
    refresh(l, now);
    if (l->on && sent_at < l->since)
        return;
    l->last = now;
    count_early(l, now);
    step_down(l, now, 1);
}

double limiter_limit(const struct limiter *l)
{
    return l->on ? l->rate : 0;
}
