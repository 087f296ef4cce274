#include "aws/credentials_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "aws/credentials_json.h"
#include "aws/credentials_provider.h"
#include "base/rng.h"

enum { ADVISORY = 900, MANDATORY = 600 };
/* Of credentials that are over when they are handed out (botocore, static stability). */
enum { STALE_LEAST = 120, STALE_MOST = 600 };
#define FIRST_PAUSE (1 * USEC_PER_SEC)
#define MOST_PAUSE  (15 * USEC_PER_SEC) /* while something is wrong */
#define MOST_CALM   (60 * USEC_PER_SEC) /* while there is time */

struct credentials_cache {
    struct credentials_cache_options o;
    struct rng rng;
    struct credentials held;
    bool has, fetching, wanted;
    bool stale;        /* seemed over when they came: asked for again whatever the time is then */
    int64_t renew_at;  /* the service's time; 0: never */
    int64_t mandatory; /* of those in hand, which may live for less than the window */
    usec retry_at;     /* monotonic: no fetch before */
    unsigned failures, refusals;
    struct err error; /* of the last fetch; "" when it went well */
};

struct credentials_cache *credentials_cache_new(const struct credentials_cache_options *o)
{
    struct credentials_cache *c = calloc(1, sizeof *c);

    if (!c) {
        credentials_provider_free(o->provider);
        return NULL;
    }
    c->o = *o;
    c->o.advisory = o->advisory ? o->advisory : ADVISORY;
    c->o.mandatory = o->mandatory ? o->mandatory : MANDATORY;
    c->rng.state = o->seed;
    return c;
}

void credentials_cache_free(struct credentials_cache *c)
{
    if (!c)
        return;
    credentials_provider_free(c->o.provider);
    credentials_clear(&c->held);
    free(c);
}

static int64_t service_time(const struct credentials_cache *c)
{
    return c->o.service_time(c->o.arg);
}

static usec monotonic(const struct credentials_cache *c)
{
    return c->o.monotonic(c->o.arg);
}

static bool over(const struct credentials *k, int64_t service)
{
    return k->expires && k->expires <= service;
}

/* --- when ------------------------------------------------------------------------------------- */

static usec pause_after(struct credentials_cache *c, unsigned failures, usec most)
{
    usec wait = FIRST_PAUSE;

    for (unsigned i = 1; i < failures && wait < most; i++)
        wait *= 2;
    if (wait > most / 5 * 4)
        wait = most / 5 * 4;
    return wait + (usec)rng_upto(&c->rng, (uint64_t)(wait / 4));
}

static void plan_renewal(struct credentials_cache *c, int64_t service)
{
    int64_t left = c->held.expires - service;
    int64_t spread = c->o.advisory > c->o.mandatory ? c->o.advisory - c->o.mandatory : 0;
    int64_t lead = c->o.mandatory + (int64_t)rng_upto(&c->rng, (uint64_t)spread);

    c->renew_at = 0;
    c->mandatory = 0;
    c->retry_at = 0;
    c->stale = c->held.expires && left <= 0;
    if (!c->held.expires)
        return;
    if (c->stale) { /* or it is the clock that is wrong, and no time told by it is of use */
        int64_t wait = STALE_LEAST + (int64_t)rng_upto(&c->rng, STALE_MOST - STALE_LEAST);
        c->retry_at = monotonic(c) + wait * USEC_PER_SEC;
        return;
    }
    c->renew_at = c->held.expires - (lead < left / 2 ? lead : left / 2);
    c->mandatory = c->o.mandatory < left / 4 ? c->o.mandatory : left / 4;
}

/* --- a fetch ---------------------------------------------------------------------------------- */

static void failed(struct credentials_cache *c, const struct err *err)
{
    int64_t service = service_time(c);
    bool calm =
        c->has && !c->wanted && (!c->held.expires || service < c->held.expires - c->mandatory);

    c->error = *err;
    c->failures++;
    c->retry_at = monotonic(c) + pause_after(c, c->failures, calm ? MOST_CALM : MOST_PAUSE);
    c->o.failed(c->o.arg, &c->error);
}

/* What is over does not take the place of what is not, unless the service has refused that. */
static bool worse(const struct credentials_cache *c, const struct credentials *k, int64_t service)
{
    return c->has && !c->refusals && over(k, service) && !over(&c->held, service);
}

static void answered(void *arg, enum provider_result result, const struct credentials *k,
                     const struct err *err)
{
    struct credentials_cache *c = arg;
    int64_t service = service_time(c);
    struct credentials copy = {0};
    struct err why;
    char end[21];

    c->fetching = false;
    if (result != PROVIDER_FOUND) {
        failed(c, err);
        return;
    }
    if (worse(c, k, service)) {
        credentials_format_time(k->expires, end);
        err_set(&why, -EKEYEXPIRED, "%s gives credentials that ended at %s", k->provider, end);
        failed(c, &why);
        return;
    }
    if (credentials_copy(&copy, k) < 0) {
        err_set(&why, -ENOMEM, "out of memory while looking for AWS credentials");
        failed(c, &why);
        return;
    }
    credentials_clear(&c->held);
    c->held = copy;
    c->has = true;
    c->wanted = false;
    c->failures = 0;
    c->error.text[0] = '\0';
    plan_renewal(c, service); /* a second later at least */
    c->o.fetched(c->o.arg, &c->held);
}

static bool renewal_due(const struct credentials_cache *c)
{
    return c->stale || (c->renew_at && service_time(c) >= c->renew_at);
}

void credentials_cache_turn(struct credentials_cache *c)
{
    if (c->fetching || monotonic(c) < c->retry_at || (c->has && !c->wanted && !renewal_due(c)))
        return;
    c->fetching = true;
    c->o.provider->ops->fetch(c->o.provider, answered, c);
}

usec credentials_cache_due(const struct credentials_cache *c)
{
    if (c->fetching)
        return USEC_NEVER;
    if (!c->has || c->wanted || renewal_due(c))
        return c->retry_at;
    if (!c->renew_at)
        return USEC_NEVER;
    usec due = monotonic(c) + (c->renew_at - service_time(c)) * USEC_PER_SEC;
    return due > c->retry_at ? due : c->retry_at;
}

/* --- what the service says -------------------------------------------------------------------- */

void credentials_cache_refused(struct credentials_cache *c)
{
    /* Several requests may have been on their way; a look is coming already. */
    if (c->wanted || c->fetching)
        return;
    c->wanted = true;
    c->refusals++;
    /* Fresh ones may be there already: the first look is at once, those after it are not. */
    c->retry_at =
        monotonic(c) + (c->refusals == 1 ? 0 : pause_after(c, c->refusals - 1, MOST_PAUSE));
}

void credentials_cache_accepted(struct credentials_cache *c)
{
    c->refusals = 0;
}

void credentials_cache_hurry(struct credentials_cache *c)
{
    c->wanted = true;
    c->retry_at = monotonic(c);
}

void credentials_cache_view(const struct credentials_cache *c, struct credentials_view *out)
{
    int64_t service = service_time(c);

    *out = (struct credentials_view){.standing = CREDENTIALS_GOOD,
                                     .provider = c->has ? c->held.provider : "",
                                     .expires = c->held.expires,
                                     .error = c->error.text,
                                     .refusals = c->refusals};
    if (!c->has)
        out->standing = CREDENTIALS_NONE;
    else if (c->refusals && c->failures)
        out->standing = CREDENTIALS_REFUSED;
    else if (over(&c->held, service))
        out->standing = CREDENTIALS_EXPIRED;
    else if (c->held.expires && c->failures && service >= c->held.expires - c->mandatory)
        out->standing = CREDENTIALS_EXPIRING;
}
