/* A token file and a role: AssumeRoleWithWebIdentity (EKS service accounts, other OIDC tokens). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/sts.h"

struct web_identity_provider {
    struct credentials_provider base;
    struct credentials_context *ctx;
    char *source, *token_file, *role_arn, *session_name; /* NULL: the environment's */
    int64_t duration;
    struct sts_call *call; /* under way */
    provider_done_fn *done;
    void *arg;
};

static void answered(void *arg, enum provider_result result, const struct credentials *c,
                     const struct err *err)
{
    struct web_identity_provider *p = arg;

    p->call = NULL;
    p->done(p->arg, result, c, err);
}

static void complain(struct web_identity_provider *p, enum provider_result result,
                     const char *sentence)
{
    struct err err;

    err_set(&err, -ENOENT, "%s", sentence);
    p->done(p->arg, result, NULL, &err);
}

static void assume(struct web_identity_provider *p, const struct web_identity *w)
{
    char where[96];

    snprintf(where, sizeof where, "web identity (%s)", w->source);
    const struct sts_request req = {.role_arn = w->role_arn,
                                    .session_name = w->session_name,
                                    .duration = w->duration,
                                    .token_file = w->token_file,
                                    .where = where};
    p->call = sts_start(p->ctx, &req, answered, p);
    if (!p->call)
        complain(p, PROVIDER_FAILED, "out of memory while looking for AWS credentials");
}

static void web_identity_fetch(struct credentials_provider *base, provider_done_fn *done, void *arg)
{
    struct web_identity_provider *p = (struct web_identity_provider *)base;

    p->done = done;
    p->arg = arg;
    assume(p, &(struct web_identity){.source = p->source,
                                     .token_file = p->token_file,
                                     .role_arn = p->role_arn,
                                     .session_name = p->session_name,
                                     .duration = p->duration});
}

static void environment_fetch(struct credentials_provider *base, provider_done_fn *done, void *arg)
{
    struct web_identity_provider *p = (struct web_identity_provider *)base;
    const struct web_identity w = {
        .source = "AWS_WEB_IDENTITY_TOKEN_FILE",
        .token_file = credentials_environment("AWS_WEB_IDENTITY_TOKEN_FILE"),
        .role_arn = credentials_environment("AWS_ROLE_ARN"),
        .session_name = credentials_environment("AWS_ROLE_SESSION_NAME")};

    p->done = done;
    p->arg = arg;
    if (!w.token_file)
        complain(p, PROVIDER_ABSENT, "web identity (AWS_WEB_IDENTITY_TOKEN_FILE is not set)");
    else if (!w.role_arn)
        complain(p, PROVIDER_FAILED,
                 "AWS_WEB_IDENTITY_TOKEN_FILE is set but AWS_ROLE_ARN is not; set both or neither");
    else
        assume(p, &w);
}

static void web_identity_free(struct credentials_provider *base)
{
    struct web_identity_provider *p = (struct web_identity_provider *)base;

    sts_cancel(p->call);
    free(p->source);
    free(p->token_file);
    free(p->role_arn);
    free(p->session_name);
    free(p);
}

static bool copy_text(char **to, const char *text)
{
    *to = text ? strdup(text) : NULL;
    return !text || *to;
}

struct credentials_provider *web_identity_provider_new(struct credentials_context *ctx,
                                                       const struct web_identity *w)
{
    static const struct provider_ops ops = {"web identity", web_identity_fetch, web_identity_free};
    struct web_identity_provider *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    p->base.ops = &ops;
    p->ctx = ctx;
    p->duration = w->duration;
    if (copy_text(&p->source, w->source) && copy_text(&p->token_file, w->token_file) &&
        copy_text(&p->role_arn, w->role_arn) && copy_text(&p->session_name, w->session_name))
        return (struct credentials_provider *)p;
    web_identity_free((struct credentials_provider *)p);
    return NULL;
}

struct credentials_provider *web_identity_environment_provider_new(struct credentials_context *ctx)
{
    static const struct provider_ops ops = {"web identity", environment_fetch, web_identity_free};
    struct web_identity_provider *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    p->base.ops = &ops;
    p->ctx = ctx;
    return (struct credentials_provider *)p;
}
