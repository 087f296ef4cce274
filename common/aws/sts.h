/* The two calls of AWS Security Token Service that give credentials for a role (AWS STS API
 * Reference): AssumeRole, signed, and AssumeRoleWithWebIdentity, unsigned. Form in, JSON out. The
 * endpoint is the region's, else what AWS_ENDPOINT_URL_STS, AWS_ENDPOINT_URL or the profile say. */
#ifndef SYNCD_AWS_STS_H
#define SYNCD_AWS_STS_H

#include "aws/credentials_provider.h"

struct sts_request {
    const char *role_arn;
    const char *session_name;        /* NULL: syncd-HOSTNAME */
    const char *external_id;         /* NULL: none; AssumeRole only */
    int64_t duration;                /* seconds; 0: the service's default */
    const struct credentials *signs; /* NULL: web identity */
    const char *token_file;          /* web identity: read anew for each try */
    const char *where;               /* becomes the credentials' provider */
};

struct sts_call;

/* Everything in `req` is copied. One `done`, FOUND or FAILED, later on the loop. NULL: no memory.
 */
struct sts_call *sts_start(struct credentials_context *ctx, const struct sts_request *req,
                           provider_done_fn *done, void *arg);
/* No `done` any more. NULL is fine. */
void sts_cancel(struct sts_call *call);

#endif
