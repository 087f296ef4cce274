/* Credentials in hand, renewed before their end: when to fetch, and what to do when that fails.
 *
 * One fetch at a time, whoever asks for it; all who wait hear of its end by the callbacks. It has
 * no timer, and its clocks are given: the owner calls credentials_cache_turn() whenever something
 * may be due, so that a test can hold any day in a second.
 *
 * Windows (botocore's): renewed at a random moment 15 to 10 minutes before the end; of shorter
 * lives, and of what a service hands out when its end is near, at half of what is left. A failed
 * renewal is repeated with backoff, and what is in hand is used on, even past its end: the service
 * is the judge (static stability). Credentials that come with less time left than those in hand do
 * not take their place once that time is over. */
#ifndef SYNCD_AWS_CREDENTIALS_CACHE_H
#define SYNCD_AWS_CREDENTIALS_CACHE_H

#include "aws/credentials.h"
#include "base/clock.h"

struct credentials_cache_options {
    struct credentials_provider *provider; /* taken over, also on failure */
    uint64_t seed;
    int64_t advisory, mandatory; /* seconds before the end; 0: 900 and 600 */
    usec (*monotonic)(void *arg);
    int64_t (*service_time)(void *arg); /* Unix seconds, of the service they are for */
    /* After a fetch, within credentials_cache_turn() or later from the loop. They may not free the
     * cache. `fetched`: these are in hand now, perhaps the same as before. */
    void (*fetched)(void *arg, const struct credentials *c);
    void (*failed)(void *arg, const struct err *err);
    void *arg;
};

struct credentials_cache;

/* NULL: no memory. */
struct credentials_cache *credentials_cache_new(const struct credentials_cache_options *o);
/* Cancels a fetch under way; wipes. NULL is fine. */
void credentials_cache_free(struct credentials_cache *c);

/* Start a fetch when one is due. */
void credentials_cache_turn(struct credentials_cache *c);
/* When to turn next at the latest, monotonic; USEC_NEVER while a fetch is under way. */
usec credentials_cache_due(const struct credentials_cache *c);

/* The service refused them: look for others, at once the first time, then with backoff. */
void credentials_cache_refused(struct credentials_cache *c);
/* The service took them. */
void credentials_cache_accepted(struct credentials_cache *c);
/* Somebody asks for a look: at once. */
void credentials_cache_hurry(struct credentials_cache *c);

enum credentials_standing {
    CREDENTIALS_NONE,     /* nothing in hand; `error` says why, or is "" before the first answer */
    CREDENTIALS_GOOD,     /* or: renewal fails, but there is time */
    CREDENTIALS_EXPIRING, /* within the mandatory window, and renewal fails: `error` */
    CREDENTIALS_REFUSED, /* the service refused those in hand, and looking for others fails: `error`
                          */
    CREDENTIALS_EXPIRED, /* past their end; `error` says why, or is "" */
};

struct credentials_view {
    enum credentials_standing standing;
    const char *provider; /* "" without any */
    int64_t expires;      /* Unix seconds; 0: never or unknown */
    const char *error;    /* of the last fetch; "" when it went well */
    unsigned refusals;    /* by the service, one after the other */
};
/* Strings live until the next turn. */
void credentials_cache_view(const struct credentials_cache *c, struct credentials_view *out);

#endif
