/* AWS Signature Version 4 (docs.aws.amazon.com/IAM, "Create a signed AWS API request"). Pure but
 * for libcrypto: the time is given. The signing key is cached per secret, day, region and service.
 */
#ifndef SYNCD_AWS_SIGV4_H
#define SYNCD_AWS_SIGV4_H

#include <stddef.h>
#include <stdint.h>

#include "aws/credentials.h"
#include "base/buf.h"

struct sigv4_signer;

/* region and service are copied. NULL on lack of memory or of the algorithms. */
struct sigv4_signer *sigv4_new(const char *region, const char *service);
void sigv4_free(struct sigv4_signer *s); /* wipes the key */

struct sigv4_header {
    const char *name; /* any case */
    const char *value;
};

struct sigv4_request {
    const char *method; /* "POST" */
    const char *path;   /* already URI-encoded; "/" */
    const char *query;  /* canonical query string, "" for none */
    /* All headers to sign, host and x-amz-date among them; any order. Every one of them must be
     * sent. x-amz-security-token too, when there is one. */
    const struct sigv4_header *headers;
    size_t header_count;
    const void *body;
    size_t body_len;
};

/* Append the Authorization header's value to `out`. `amz_date` is "YYYYMMDDTHHMMSSZ" and equals the
 * x-amz-date header. 0, -EINVAL (a header that is none, more than 64 of
 * them, another form of date) or -ENOMEM (output untouched then). */
int sigv4_sign(struct sigv4_signer *s, const struct credentials *c, const struct sigv4_request *req,
               const char *amz_date, struct buf *out);

/* The steps, for the published vectors. */
int sigv4_canonical_request(const struct sigv4_request *req, struct buf *out);
int sigv4_string_to_sign(const struct sigv4_signer *s, const char *amz_date, const char *canonical,
                         size_t n, struct buf *out);

/* "YYYYMMDDTHHMMSSZ" of Unix seconds; `out` holds 17 bytes. */
void sigv4_date(int64_t unix_seconds, char out[17]);

#endif
