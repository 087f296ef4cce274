/* What the links of one credentials chain share: the loop, an HTTP client of their own (bounded in
 * size and time, apart from DynamoDB's so that neither waits for the other), what the configuration
 * says, and what they have learnt. Owned by the chain; links hold a pointer to it. */
#ifndef SYNCD_AWS_CREDENTIALS_CONTEXT_H
#define SYNCD_AWS_CREDENTIALS_CONTEXT_H

#include "aws/credentials.h"
#include "aws/http.h"

struct credentials_context {
    uv_loop_t *loop;
    struct http_client *http; /* made when first needed; see credentials_context_http() */
    char *region, *profile, *credentials_file, *ca_file; /* "" when not given */
    bool allow_plain_http;
    usec process_limit;   /* how long a credential_process may take */
    int64_t clock_offset; /* seconds that STS is ahead of this machine, as far as known */
    char *imds_token;     /* of version 2; NULL: none. Wiped when freed */
};

/* Strings are copied. NULL: no memory. */
struct credentials_context *credentials_context_new(const struct credentials_request *req);
/* Every exchange must have ended or been cancelled. The HTTP client's handles close on the loop. */
void credentials_context_free(struct credentials_context *ctx);
/* NULL with a sentence: certificates that cannot be read, or no memory. */
struct http_client *credentials_context_http(struct credentials_context *ctx, struct err *err);

/* A value of the environment; NULL when it is not set or empty. */
const char *credentials_environment(const char *name);
/* Is that variable "true", in any case? */
bool credentials_environment_true(const char *name);

/* A whole small file of one line, such as a token, without the blanks and line ends around it. 0
 * with *out to be freed by credentials_wipe_text(); -EINVAL or another errno with a sentence that
 * names `what` and the path. */
int credentials_read_token(const char *path, const char *what, char **out, struct err *err);
/* NULL is fine. */
void credentials_wipe_text(char *secret);

#endif
