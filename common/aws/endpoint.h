/* Region and endpoint of DynamoDB: configuration, environment, profile, then AWS's rule. */
#ifndef SYNCD_AWS_ENDPOINT_H
#define SYNCD_AWS_ENDPOINT_H

#include <stdbool.h>

#include "base/err.h"

struct endpoint_request {
    const char *region, *endpoint_url, *profile,
        *credentials_file; /* configuration; "" or NULL: not set */
    bool allow_plain_http;
};

struct endpoint {
    char region[64];
    char url[512];  /* scheme://host[:port]/ as requests use it, always ending in one '/' */
    char host[320]; /* Host header: with the port when it is not the scheme's default */
    bool tls;
};

/* 0, or -EINVAL with a sentence: region missing, URL malformed, plain http to a host that is
 * neither loopback nor allowed. */
int endpoint_resolve(const struct endpoint_request *req, struct endpoint *out, struct err *err);

#endif
