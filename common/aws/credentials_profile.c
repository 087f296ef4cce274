/* A profile of the shared files, carried out: its base credentials, then each role in turn. The
 * files are read anew for every fetch. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/credentials_provider.h"
#include "aws/profile.h"
#include "aws/profile_plan.h"
#include "aws/sts.h"
#include "base/cleanup.h"

struct profile_provider {
    struct credentials_provider base;
    struct credentials_context *ctx;

    /* A fetch under way. */
    struct profile_files *files;
    struct profile_plan plan;
    size_t roles_left;
    struct credentials_provider *source;
    struct sts_call *call;
    provider_done_fn *done;
    void *arg;
};

static void forget_fetch(struct profile_provider *p)
{
    sts_cancel(take_ptr(p->call));
    credentials_provider_free(take_ptr(p->source));
    profile_files_free(take_ptr(p->files));
}

static void finish(struct profile_provider *p, enum provider_result result,
                   const struct credentials *c, const struct err *err)
{
    /* The source may be what is calling us: it goes with the next fetch or with the provider. */
    p->done(p->arg, result, c, err);
}

static void out_of_memory(struct profile_provider *p)
{
    struct err err;

    err_set(&err, -ENOMEM, "out of memory while looking for AWS credentials");
    finish(p, PROVIDER_FAILED, NULL, &err);
}

/* --- roles ------------------------------------------------------------------------------------ */

static void assume_next(struct profile_provider *p, const struct credentials *with);

static void assumed(void *arg, enum provider_result result, const struct credentials *c,
                    const struct err *err)
{
    struct profile_provider *p = arg;
    struct err named;

    p->call = NULL;
    if (result == PROVIDER_FOUND) {
        assume_next(p, c);
        return;
    }
    named = *err;
    err_prefix(&named, 0, "profile %s", p->plan.roles[p->roles_left].profile);
    finish(p, PROVIDER_FAILED, NULL, &named);
}

static void assume_next(struct profile_provider *p, const struct credentials *with)
{
    char where[96];

    if (p->roles_left == 0) {
        finish(p, PROVIDER_FOUND, with, NULL);
        return;
    }
    const struct profile_role *role = &p->plan.roles[--p->roles_left];
    snprintf(where, sizeof where, "profile %s (assumed role)", role->profile);
    const struct sts_request req = {.role_arn = role->role_arn,
                                    .session_name = role->session_name,
                                    .external_id = role->external_id,
                                    .duration = role->duration,
                                    .signs = with,
                                    .where = where};
    p->call = sts_start(p->ctx, &req, assumed, p);
    if (!p->call)
        out_of_memory(p);
}

/* --- the base --------------------------------------------------------------------------------- */

static void based(void *arg, enum provider_result result, const struct credentials *c,
                  const struct err *err)
{
    struct profile_provider *p = arg;
    struct err why;

    if (result == PROVIDER_FOUND) {
        assume_next(p, c);
        return;
    }
    why = *err;
    if (result == PROVIDER_ABSENT)
        err_set(&why, -ENOENT,
                "profile %s takes its credentials from its credential_source, and there are none: "
                "tried %s",
                p->plan.profile, err->text);
    finish(p, PROVIDER_FAILED, NULL, &why);
}

/* A token belongs to the key it was issued with: one left over in the other file is not it. */
static const char *token_beside(const struct profile_files *files, const char *profile)
{
    const char *token_file = profile_origin(files, profile, "aws_session_token");
    const char *key_file = profile_origin(files, profile, "aws_access_key_id");

    return token_file && strcmp(token_file, key_file) == 0
               ? profile_get(files, profile, "aws_session_token")
               : NULL;
}

static void use_keys(struct profile_provider *p)
{
    const char *profile = p->plan.profile;
    struct credentials c = {0};
    char where[sizeof c.provider];
    struct err err;

    snprintf(where, sizeof where, "profile %s (%s)", profile,
             profile_origin(p->files, profile, "aws_access_key_id"));
    int r = credentials_fill(&c, where, profile_get(p->files, profile, "aws_access_key_id"),
                             profile_get(p->files, profile, "aws_secret_access_key"),
                             token_beside(p->files, profile), &err);
    based(p, r < 0 ? PROVIDER_FAILED : PROVIDER_FOUND, &c, &err);
    credentials_clear(&c);
}

static struct credentials_provider *make_source(struct profile_provider *p)
{
    const struct profile_plan *plan = &p->plan;
    char source[80];

    switch (plan->base) {
    case PROFILE_PROCESS:
        return process_provider_new(p->ctx, plan->profile, plan->command);
    case PROFILE_WEB_IDENTITY:
        snprintf(source, sizeof source, "profile %s", plan->profile);
        return web_identity_provider_new(
            p->ctx, &(struct web_identity){.source = source,
                                           .token_file = plan->token_file,
                                           .role_arn = plan->identity.role_arn,
                                           .session_name = plan->identity.session_name,
                                           .duration = plan->identity.duration});
    case PROFILE_ENVIRONMENT:
        return environment_provider_new();
    case PROFILE_INSTANCE:
        return imds_provider_new(p->ctx);
    case PROFILE_CONTAINER:
        return container_provider_new(p->ctx);
    default:
        return NULL;
    }
}

static void profile_fetch(struct credentials_provider *base, provider_done_fn *done, void *arg)
{
    struct profile_provider *p = (struct profile_provider *)base;
    bool named;
    const char *profile = profile_choose(p->ctx->profile, &named);
    struct err err;

    forget_fetch(p);
    p->done = done;
    p->arg = arg;
    int r = profile_files_load(p->ctx->credentials_file, NULL, &p->files, &err);
    if (r == 0)
        r = profile_plan_make(p->files, profile, named, &p->plan, &err);
    if (r < 0) {
        finish(p, r == -ENOENT ? PROVIDER_ABSENT : PROVIDER_FAILED, NULL, &err);
        return;
    }
    p->roles_left = p->plan.role_count;
    if (p->plan.base == PROFILE_KEYS) {
        use_keys(p);
        return;
    }
    p->source = make_source(p);
    if (p->source)
        p->source->ops->fetch(p->source, based, p);
    else
        out_of_memory(p);
}

static void profile_free(struct credentials_provider *base)
{
    struct profile_provider *p = (struct profile_provider *)base;

    forget_fetch(p);
    free(p);
}

struct credentials_provider *profile_provider_new(struct credentials_context *ctx)
{
    static const struct provider_ops ops = {"profile", profile_fetch, profile_free};
    struct profile_provider *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    p->base.ops = &ops;
    p->ctx = ctx;
    return (struct credentials_provider *)p;
}
