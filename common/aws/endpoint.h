/* Region and endpoint of DynamoDB, or of STS: configuration, environment, profile, then AWS's rule;
 * for the region the instance metadata service comes last, which the caller asks (aws/imds.h). */
#ifndef SYNCD_AWS_ENDPOINT_H
#define SYNCD_AWS_ENDPOINT_H

#include <stdbool.h>

#include "base/err.h"

struct endpoint_request {
    const char *region, *endpoint_url, *profile,
        *credentials_file; /* configuration; "" or NULL: not set */
    bool allow_plain_http;
    const char *service;         /* NULL: "dynamodb"; else "sts" */
    const char *instance_region; /* what the metadata service said, NULL: not asked */
};

struct endpoint {
    char region[64];
    char url[512];  /* scheme://host[:port]/ as requests use it, always ending in one '/' */
    char host[320]; /* Host header: with the port when it is not the scheme's default */
    bool tls;
};

/* 0, or -EINVAL with a sentence: region missing, URL malformed, plain http to a host that is
 * neither loopback nor allowed. -ENODATA, with the sentence as well: no region is named anywhere,
 * but the instance metadata service has not been asked and may be. */
int endpoint_resolve(const struct endpoint_request *req, struct endpoint *out, struct err *err);

/* Lower-case letters, digits and dashes: it goes into host names and signatures. */
bool endpoint_region_valid(const char *region);

#endif
