/* Credentials in the environment's variables. */
#include <errno.h>
#include <stdlib.h>

#include "aws/credentials_json.h"
#include "aws/credentials_provider.h"

static enum provider_result read_environment(struct credentials *c, struct err *err)
{
    const char *id = credentials_environment("AWS_ACCESS_KEY_ID");
    const char *secret = credentials_environment("AWS_SECRET_ACCESS_KEY");
    const char *token = credentials_environment("AWS_SESSION_TOKEN");
    const char *expiry = credentials_environment("AWS_CREDENTIAL_EXPIRATION");
    int64_t expires = 0;

    if (!id && !secret) {
        err_set(err, -ENOENT, "the environment (AWS_ACCESS_KEY_ID is not set)");
        return PROVIDER_ABSENT;
    }
    if (!id || !secret) {
        err_set(err, -EINVAL, "%s is set in the environment but %s is not; set both or neither",
                id ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
                id ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
        return PROVIDER_FAILED;
    }
    if (expiry && credentials_parse_time(expiry, &expires) < 0) {
        err_set(
            err, -EINVAL,
            "AWS_CREDENTIAL_EXPIRATION is \"%.40s\"; write it as 2026-01-01T00:00:00Z or unset it",
            expiry);
        return PROVIDER_FAILED;
    }
    if (credentials_fill(c, "environment", id, secret,
                         token ? token : credentials_environment("AWS_SECURITY_TOKEN"), err) < 0)
        return PROVIDER_FAILED;
    c->expires = expires;
    return PROVIDER_FOUND;
}

static void environment_fetch(struct credentials_provider *p, provider_done_fn *done, void *arg)
{
    struct credentials c = {0};
    struct err err;

    (void)p;
    enum provider_result result = read_environment(&c, &err);
    done(arg, result, &c, &err);
    credentials_clear(&c);
}

static void environment_free(struct credentials_provider *p)
{
    free(p);
}

struct credentials_provider *environment_provider_new(void)
{
    static const struct provider_ops ops = {"environment", environment_fetch, environment_free};
    struct credentials_provider *p = calloc(1, sizeof *p);

    if (p)
        p->ops = &ops;
    return p;
}
