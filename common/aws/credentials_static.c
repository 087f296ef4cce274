/* The providers that answer at once: the environment and the keys in shared files. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aws/credentials_provider.h"
#include "aws/profile.h"

static const char *environment(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

/* "2026-01-01T00:00:00Z" (a fraction or "+00:00" may stand before the end). */
static int parse_expiry(const char *text, int64_t *out)
{
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

    if (!rest)
        return -EINVAL;
    if (*rest == '.')
        rest += 1 + strspn(rest + 1, "0123456789");
    if (strcmp(rest, "Z") != 0 && strcmp(rest, "+00:00") != 0)
        return -EINVAL;
    *out = timegm(&tm);
    return 0;
}

static enum provider_result read_environment(struct credentials *c, struct err *err)
{
    const char *id = environment("AWS_ACCESS_KEY_ID");
    const char *secret = environment("AWS_SECRET_ACCESS_KEY");
    const char *token = environment("AWS_SESSION_TOKEN");
    const char *expiry = environment("AWS_CREDENTIAL_EXPIRATION");
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
    if (expiry && parse_expiry(expiry, &expires) < 0) {
        err_set(
            err, -EINVAL,
            "AWS_CREDENTIAL_EXPIRATION is \"%.40s\"; write it as 2026-01-01T00:00:00Z or unset it",
            expiry);
        return PROVIDER_FAILED;
    }
    if (credentials_fill(c, "environment", id, secret,
                         token ? token : environment("AWS_SECURITY_TOKEN"), err) < 0)
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

struct profile_provider {
    struct credentials_provider base;
    char *profile, *credentials_file; /* "" when not configured */
};

/* Keys that say the profile gets its credentials elsewhere. Those with `despite_keys` take
 * precedence over static keys in the SDKs too, so using the keys would be another identity. */
static const struct {
    const char *key;
    bool despite_keys;
} elsewhere[] = {
    {"role_arn", true},        {"web_identity_token_file", true},
    {"sso_session", true},     {"sso_start_url", true},
    {"sso_account_id", true},  {"sso_role_name", true},
    {"source_profile", false}, {"credential_source", false},
    {"login_session", false},  {"credential_process", false},
};

static const char *uses_elsewhere(const struct profile_files *files, const char *profile,
                                  bool has_keys)
{
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
        if ((elsewhere[i].despite_keys || !has_keys) &&
            profile_get(files, profile, elsewhere[i].key))
            return elsewhere[i].key;
    return NULL;
}

static enum provider_result no_keys(const struct profile_files *files, const char *profile,
                                    struct err *err)
{
    err_set(err, -ENOENT, "profile %s (%s in %s and %s)", profile,
            profile_exists(files, profile) ? "no keys" : "no such section",
            profile_credentials_path(files), profile_config_path(files));
    return PROVIDER_ABSENT;
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

static enum provider_result read_profile(const struct profile_files *files, const char *profile,
                                         bool named, struct credentials *c, struct err *err)
{
    const char *id = profile_get(files, profile, "aws_access_key_id");
    const char *secret = profile_get(files, profile, "aws_secret_access_key");
    const char *foreign = uses_elsewhere(files, profile, id && secret);
    char where[sizeof c->provider];

    if (named && !profile_exists(files, profile)) {
        profile_missing(files, profile, err);
        return PROVIDER_FAILED;
    }
    if (foreign) {
        err_set(err, -ENOTSUP,
                "profile %s uses %s (%s), which is not supported by this version; use static keys "
                "or the environment",
                profile, foreign, profile_origin(files, profile, foreign));
        return PROVIDER_FAILED;
    }
    if (!id && !secret)
        return no_keys(files, profile, err);
    if (!id || !secret) {
        err_set(err, -EINVAL, "profile %s has %s (%s) but not %s; write both", profile,
                id ? "aws_access_key_id" : "aws_secret_access_key",
                profile_origin(files, profile, id ? "aws_access_key_id" : "aws_secret_access_key"),
                id ? "aws_secret_access_key" : "aws_access_key_id");
        return PROVIDER_FAILED;
    }
    snprintf(where, sizeof where, "profile %s (%s)", profile,
             profile_origin(files, profile, "aws_access_key_id"));
    return credentials_fill(c, where, id, secret, token_beside(files, profile), err) < 0
               ? PROVIDER_FAILED
               : PROVIDER_FOUND;
}

static void profile_fetch(struct credentials_provider *p, provider_done_fn *done, void *arg)
{
    const struct profile_provider *self = (const struct profile_provider *)p;
    struct profile_files *files = NULL;
    struct credentials c = {0};
    struct err err;
    bool named;
    const char *profile = profile_choose(self->profile, &named);
    enum provider_result result = PROVIDER_FAILED;

    if (profile_files_load(self->credentials_file, NULL, &files, &err) == 0)
        result = read_profile(files, profile, named, &c, &err);
    profile_files_free(files);
    done(arg, result, &c, &err);
    credentials_clear(&c);
}

static void profile_free(struct credentials_provider *p)
{
    struct profile_provider *self = (struct profile_provider *)p;

    free(self->profile);
    free(self->credentials_file);
    free(self);
}

struct credentials_provider *profile_provider_new(const char *profile, const char *credentials_file)
{
    static const struct provider_ops ops = {"profile", profile_fetch, profile_free};
    struct profile_provider *self = calloc(1, sizeof *self);

    if (!self)
        return NULL;
    self->base.ops = &ops;
    self->profile = strdup(profile ? profile : "");
    self->credentials_file = strdup(credentials_file ? credentials_file : "");
    if (self->profile && self->credentials_file)
        return (struct credentials_provider *)self;
    profile_free((struct credentials_provider *)self);
    return NULL;
}
