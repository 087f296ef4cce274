/* How many write units a second one DynamoDB table is sent, learnt from what it does not take.
 * Pure.
 *
 * Off until the first throttle. From then on the limit follows CUBIC's curve (RFC 9438; the same
 * constants as the AWS SDKs' adaptive mode): down to 0.7 of what was taken, back up to there and
 * slowly past it, then ever quicker; never above twice what is measured. After a minute without a
 * throttle the curve is far past anything that held, and the limiter is off again.
 *
 * Units are taken from a bucket that may be overdrawn, so that a write which costs more than the
 * limit goes too; what follows waits until the debt is paid. */
#ifndef SYNCD_ENGINE_LIMITER_H
#define SYNCD_ENGINE_LIMITER_H

#include <stdbool.h>

#include "base/clock.h"

/* Write units that may be spent now; negative: a debt. */
struct bucket {
    double tokens;
    usec at; /* when tokens were counted */
};

/* `rate` units a second since the last time, up to `burst`. */
void bucket_fill(struct bucket *b, usec now, double rate, double burst);
/* 0 when a request may go, else when there will be enough for one. Requests wait for a twentieth of
 * a second's worth, so that a low rate makes no requests of one write each. */
usec bucket_wait(const struct bucket *b, usec now, double rate);

/* All zero: off, nothing measured. */
struct limiter {
    bool on;
    double rate;        /* units a second, while on */
    double top, growth; /* the curve: where it was throttled; seconds from `since` to there */
    usec since;         /* the last throttle */
    struct bucket bucket;
    usec full; /* since when the bucket has been full; USEC_NEVER: it is not */

    double measured;     /* units a second that the table took */
    usec counting;       /* since when is counted, 0: nothing was sent yet */
    usec last;           /* of what was sent or answered */
    double taken;        /* since `counting` */
    double passed, left; /* first tries, since that was last judged */
};

/* What a reply says of the table's writes in a request, in write units. */
struct limiter_reply {
    usec sent_at;
    double taken;        /* by the table, as told */
    double extra;        /* of that, more than limiter_spend() was told */
    double passed, left; /* writes tried for the first time: written, and left unprocessed */
};

/* 0 when writes may go now, else when to ask again (the limit may have grown by then). */
usec limiter_wait(struct limiter *l, usec now);
/* May one more write go with those that limiter_spend() was told of? */
bool limiter_more(const struct limiter *l);
/* A write that is about to be sent. */
void limiter_spend(struct limiter *l, usec now, double units);
/* The request was carried out, in part at least. What is left unprocessed now and then is a matter
 * of single keys, which wait by themselves; the limit falls by its share once that is more. */
void limiter_replied(struct limiter *l, usec now, const struct limiter_reply *r);
/* A request sent at `sent_at` was throttled whole. Those that were sent before the last throttle
 * was known say nothing new. */
void limiter_throttled(struct limiter *l, usec now, usec sent_at);
/* Units a second, 0: off. */
double limiter_limit(const struct limiter *l);

#endif
