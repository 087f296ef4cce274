/* Who we are to AWS, and where it is: region, endpoint, credentials, and what becomes of them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/rand.h>

#include "aws/credentials_json.h"
#include "aws/imds.h"
#include "daemon.h"
#include "jobs/connect.h"

#define REGION_FIRST (1 * USEC_PER_SEC)
#define REGION_MOST  (15 * USEC_PER_SEC)

static bool endpoint_known(const struct daemon *d)
{
    return d->endpoint.url[0] != '\0';
}

/* --- what the operator hears ------------------------------------------------------------------ */

static void complain(struct daemon *d, const char *code, bool warning, const char *sentence)
{
    snprintf(d->credentials_code, sizeof d->credentials_code, "%s", code);
    err_set(&d->credentials_error, 0, "%s", sentence);
    d->credentials_warning = warning;
}

/* The standing of what is in hand changes with time alone. */
static void judge(struct daemon *d)
{
    struct credentials_view v;
    struct err text;
    char end[21];

    d->credentials_code[0] = '\0';
    if (d->refusal.text[0]) {
        complain(d, "credentials_refused", false, d->refusal.text);
        return;
    }
    if (!d->credentials) {
        if (d->region_error.text[0])
            complain(d, "region_missing", false, d->region_error.text);
        return;
    }
    credentials_cache_view(d->credentials, &v);
    if (v.standing == CREDENTIALS_GOOD)
        return;
    credentials_format_time(v.expires, end);
    switch (v.standing) {
    case CREDENTIALS_NONE:
        if (*v.error)
            complain(d, "credentials_missing", false, v.error);
        break;
    case CREDENTIALS_GOOD:
        break;
    case CREDENTIALS_EXPIRING:
        err_set(&text, 0, "the credentials (%s) end at %s and cannot be renewed: %s", v.provider,
                end, v.error);
        complain(d, "credentials_expiring", true, text.text);
        break;
    case CREDENTIALS_REFUSED:
        err_set(&text, 0,
                "DynamoDB refuses the credentials in hand (%s), and looking for others "
                "fails: %s",
                v.provider, v.error);
        complain(d, "credentials_refused", false, text.text);
        break;
    case CREDENTIALS_EXPIRED:
        err_set(&text, 0, "the credentials (%s) ended at %s and there are no newer ones%s%s",
                v.provider, end, *v.error ? ": " : "; look at their source", v.error);
        complain(d, "credentials_expired", false, text.text);
        break;
    }
}

/* --- credentials ------------------------------------------------------------------------------ */

static usec monotonic(void *arg)
{
    (void)arg;
    return clock_monotonic();
}

static int64_t service_time(void *arg)
{
    const struct daemon *d = arg;

    return ddb_service_time(d->ddb, true) / USEC_PER_SEC;
}

static void fetch_failed(void *arg, const struct err *err)
{
    struct daemon *d = arg;
    struct credentials_view v;

    credentials_cache_view(d->credentials, &v);
    judge(d);
    log_event(
        v.standing == CREDENTIALS_GOOD ? LOG_EV_WARNING : LOG_EV_ERROR, "credentials_failed",
        v.standing == CREDENTIALS_GOOD || v.standing == CREDENTIALS_EXPIRING
            ? log_msg("the credentials cannot be renewed, those in hand are used on: %s", err->text)
            : err->text,
        NULL);
}

static void tell_renewal(const struct daemon *d, const struct credentials *c)
{
    char end[21];

    if (c->expires == d->credentials_expire && strcmp(c->provider, d->provider_name) == 0)
        return;
    credentials_format_time(c->expires, end);
    log_event(LOG_EV_INFO, "credentials",
              c->expires ? log_msg("credentials: %s, good until %s", c->provider, end)
                         : log_msg("credentials: %s", c->provider),
              NULL);
}

static void fetched(void *arg, const struct credentials *c)
{
    struct daemon *d = arg;

    if (ddb_set_credentials(d->ddb, c) < 0) {
        credentials_cache_refused(d->credentials); /* no memory for a copy: a little later */
        return;
    }
    tell_renewal(d, c);
    d->credentials_expire = c->expires;
    snprintf(d->provider_name, sizeof d->provider_name, "%s", c->provider);
    judge(d);
    targets_credentials(d);
    if (d->engine_wants_credentials) {
        d->engine_wants_credentials = false;
        mirror_credentials(d->mirror, clock_monotonic());
    }
    daemon_pump(d);
}

static int start_credentials(struct daemon *d, struct err *err)
{
    const struct credentials_request cr =
        connection_credentials(d->config, &d->loop, d->endpoint.region);
    struct credentials_cache_options o = {.monotonic = monotonic,
                                          .service_time = service_time,
                                          .fetched = fetched,
                                          .failed = fetch_failed,
                                          .arg = d};
    int rc = credentials_chain_new(&cr, &o.provider, err);

    if (rc < 0)
        return rc;
    if (RAND_bytes((unsigned char *)&o.seed, sizeof o.seed) != 1)
        o.seed = (uint64_t)clock_wall();
    d->credentials = credentials_cache_new(&o);
    return d->credentials ? 0 : err_set(err, -ENOMEM, "out of memory");
}

void access_refused(struct daemon *d, bool clock, const char *code, const char *message)
{
    struct credentials_view v;
    /* Tokens expire in the normal course of things (twice, perhaps, before a success is noticed),
     * of a clock DynamoDB's time is learnt with the refusal, and new keys of a role may be unknown
     * for a moment; only what stays so is worth a word. */
    bool passing = clock || strncmp(code, "ExpiredToken", 12) == 0;

    if (!d->credentials)
        return;
    credentials_cache_view(d->credentials, &v);
    credentials_cache_refused(d->credentials);
    if (v.refusals < (passing ? 2 : 1))
        return;
    err_set(&d->refusal, 0, "DynamoDB does not accept the %s (%s): %s: %s",
            clock ? "time of our signatures" : "credentials", d->provider_name, code, message);
    judge(d);
    log_event(LOG_EV_ERROR, "credentials_failed", d->refusal.text, NULL);
}

void access_worked(struct daemon *d)
{
    d->refusal.text[0] = '\0';
    if (d->credentials)
        credentials_cache_accepted(d->credentials);
}

/* --- region and endpoint ---------------------------------------------------------------------- */

static int resolve(struct daemon *d, const char *instance_region, struct err *err)
{
    const struct config *c = d->config;
    const struct endpoint_request er = {.region = c->region,
                                        .endpoint_url = c->endpoint_url,
                                        .profile = c->profile,
                                        .credentials_file = c->credentials_file,
                                        .allow_plain_http = c->allow_plain_http,
                                        .instance_region = instance_region};

    return endpoint_resolve(&er, &d->endpoint, err);
}

static void located(void *arg, const char *region, const struct err *err)
{
    struct daemon *d = arg;
    struct err why = {""};
    int rc = -ENODATA;

    d->locating = NULL;
    if (region && (rc = resolve(d, region, &why)) == 0 &&
        (rc = ddb_set_endpoint(d->ddb, &d->endpoint)) == 0)
        rc = start_credentials(d, &why);
    if (rc == 0) {
        d->region_error.text[0] = '\0';
        log_event(LOG_EV_INFO, "region", log_msg("the instance is in region %s", region),
                  "endpoint", d->endpoint.url, NULL);
        daemon_pump(d);
        return;
    }
    d->endpoint = (struct endpoint){0};
    usec wait = REGION_FIRST;
    for (unsigned i = 0; i < d->region_failures && wait < REGION_MOST; i++)
        wait *= 2;
    d->region_failures++;
    d->region_retry = clock_monotonic() + (wait < REGION_MOST ? wait : REGION_MOST);
    d->region_error = region ? why : *err;
    judge(d);
    log_event(LOG_EV_ERROR, "region_missing", d->region_error.text, NULL);
}

/* --- turns ------------------------------------------------------------------------------------ */

void access_turn(struct daemon *d, usec now)
{
    if (d->state == DAEMON_STOPPING)
        return;
    if (d->credentials)
        credentials_cache_turn(d->credentials);
    else if (!d->locating && now >= d->region_retry)
        d->locating = imds_region_start(&d->loop, located, d);
    judge(d);
}

usec access_due(const struct daemon *d)
{
    if (d->credentials)
        return credentials_cache_due(d->credentials);
    return d->locating ? USEC_NEVER : d->region_retry;
}

void access_retry_now(struct daemon *d)
{
    d->region_retry = 0;
    if (d->credentials)
        credentials_cache_hurry(d->credentials);
}

int access_start(struct daemon *d, struct err *err)
{
    int rc = resolve(d, NULL, err);

    if (rc == -ENODATA) /* asked for on the loop, for as long as it takes */
        rc = 0;
    if (rc == 0 && !(d->ddb = ddb_new(d->http, &d->endpoint, d->config->request_timeout)))
        rc = err_set(err, -ENOMEM, "out of memory");
    return rc == 0 && endpoint_known(d) ? start_credentials(d, err) : rc;
}

void access_stop(struct daemon *d)
{
    imds_region_cancel(d->locating);
    d->locating = NULL;
    credentials_cache_free(d->credentials);
    d->credentials = NULL;
}
