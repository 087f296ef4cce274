/* Taking an endpoint's URL apart and judging its host. Used by endpoint.c only. Whoever will
 * connect takes it apart here as well, so that what is judged is what will be connected to: our own
 * client's parser the plain ones, libcurl's all others. */
#ifndef SYNCD_AWS_ENDPOINT_URL_H
#define SYNCD_AWS_ENDPOINT_URL_H

#include <stdbool.h>

#include "aws/endpoint.h"
#include "base/err.h"

/* Where AWS keeps the regions whose names begin so. */
struct aws_partition {
    const char *region_prefix; /* "" for the rest of the world */
    const char *name;          /* as in ARNs: "aws" */
    const char *suffix, *dual_stack_suffix;
    bool plain_fips; /* the plain name serves FIPS */
};

const struct aws_partition *aws_partition_of(const char *region);

/* Fill url, host and tls of `out` from `text`. -EINVAL names `where` (what it was written in) and
 * what to write; also for plain http where it must not be. */
int endpoint_url_parse(const char *text, const char *where, bool allow_plain_http,
                       struct endpoint *out, struct err *err);

/* Is this a URL from which credentials may be taken: https, or http to this machine, to the
 * link-local addresses at which AWS offers them, or, if `plain_http`, anywhere but AWS's hosts? 0,
 * or -EINVAL with a sentence that names `where`. A path and a query are fine. */
int endpoint_url_near(const char *text, const char *where, bool plain_http, struct err *err);

#endif
