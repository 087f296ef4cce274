/* A one-off job's way to DynamoDB: region, endpoint and credentials by the same rules as the
 * daemon's, on a loop of its own. */
#ifndef SYNCD_DAEMON_JOBS_CONNECT_H
#define SYNCD_DAEMON_JOBS_CONNECT_H

#include <uv.h>

#include "aws/ddb.h"
#include "base/list.h"
#include "base/rng.h"
#include "config/config.h"

struct connection {
    uv_loop_t loop;
    struct endpoint endpoint;
    struct http_client *http;
    struct credentials_provider *provider;
    struct ddb *ddb; /* with credentials */
    char provider_name[96];
    int64_t expires; /* of the credentials, Unix seconds; 0: never or unknown */
    /* How jobs/call.h repeats calls. */
    usec backoff_base, throttle_base, backoff_max;
    struct rng rng;
    struct list renewing; /* calls that wait for other credentials; one fetch serves them all */
    bool fetching;
};

/* Where DynamoDB is, by the configuration; the instance's metadata is asked for a region that
 * nobody names (some seconds at most). 0, or -EINVAL with a sentence. */
int connection_endpoint(const struct config *c, struct endpoint *out, struct err *err);

/* What the chain of credentials is to look for; strings stay the configuration's. The daemon asks
 * by it, too. */
struct credentials_request connection_credentials(const struct config *c, uv_loop_t *loop,
                                                  const char *region);

/* Waits for credentials. 0, or a negative errno with a sentence, and nothing to close. */
int connection_open(struct connection *x, const struct config *c, struct err *err);
/* Use these from now on; copied. 0 or -ENOMEM. */
int connection_take_credentials(struct connection *x, const struct credentials *c, struct err *err);
/* No call may be under way. */
void connection_close(struct connection *x);

#endif
