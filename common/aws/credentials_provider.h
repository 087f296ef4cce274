/* What a link of the credentials chain implements. A link embeds this struct as its first member.
 *
 * fetch() leads to exactly one call of `done`, perhaps before it returns; `done` may free the whole
 * chain, so a link touches nothing of its own after calling it. One fetch at a time. free() while a
 * fetch is under way cancels it without `done`. Nothing is cached here: every fetch looks again, so
 * that rotated keys are seen.
 *
 *     credentials_environment.c  AWS_ACCESS_KEY_ID and its kin
 *     credentials_profile.c      shared files: what a profile says (profile_plan.c) is carried out
 *     credentials_process.c      a profile's credential_process
 *     credentials_web_identity.c a token file, by AssumeRoleWithWebIdentity
 *     credentials_container.c    ECS, EKS pod identity
 *     credentials_imds.c         the role of an EC2 instance; imds.c speaks the protocol
 *     sts.c, exchange.c          what several of them send */
#ifndef SYNCD_AWS_CREDENTIALS_PROVIDER_H
#define SYNCD_AWS_CREDENTIALS_PROVIDER_H

#include "aws/credentials.h"
#include "aws/credentials_context.h"

enum provider_result {
    PROVIDER_FOUND,  /* `c` holds them */
    PROVIDER_ABSENT, /* nothing here, try the next; `err` is a phrase that says what was tried */
    PROVIDER_FAILED, /* something is here and is wrong: stop; `err` is a sentence */
};

typedef void provider_done_fn(void *arg, enum provider_result result, const struct credentials *c,
                              const struct err *err);

struct provider_ops {
    const char *name;
    void (*fetch)(struct credentials_provider *p, provider_done_fn *done, void *arg);
    void (*free)(struct credentials_provider *p);
};

struct credentials_provider {
    const struct provider_ops *ops;
};

/* NULL for lack of memory; strings are copied, `ctx` must outlive them. */
struct credentials_provider *environment_provider_new(void);
struct credentials_provider *profile_provider_new(struct credentials_context *ctx);
struct credentials_provider *process_provider_new(struct credentials_context *ctx,
                                                  const char *profile, const char *command);
struct credentials_provider *container_provider_new(struct credentials_context *ctx);
struct credentials_provider *imds_provider_new(struct credentials_context *ctx);

/* By AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN, AWS_ROLE_SESSION_NAME; or by a profile's keys,
 * which `source` names for people. */
struct web_identity {
    const char *source, *token_file, *role_arn, *session_name; /* session_name: NULL for our own */
    int64_t duration; /* seconds; 0: the service's default */
};
struct credentials_provider *web_identity_provider_new(struct credentials_context *ctx,
                                                       const struct web_identity *w);
struct credentials_provider *web_identity_environment_provider_new(struct credentials_context *ctx);

/* Copy the three strings (a NULL or "" token means none) and the provider's text after checking
 * that they can stand in HTTP headers. `where` is for the sentence and becomes `provider`. */
int credentials_fill(struct credentials *to, const char *where, const char *id, const char *secret,
                     const char *token, struct err *err);

#endif
