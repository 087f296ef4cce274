#include "aws/endpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "aws/endpoint_url.h"
#include "aws/imds.h"
#include "aws/profile.h"
#include "base/cleanup.h"

DEFINE_CLEANUP(struct profile_files *, profile_files_free)

/* A setting and the place it was read from, for messages. */
struct setting {
    const char *value; /* NULL: not set */
    char where[160];
};

/* What is looked up, beside the request. */
struct lookup {
    const struct endpoint_request *req;
    const struct profile_files *files;
    const char *profile, *service;
};

static bool from_config(struct setting *s, const char *value, const char *key)
{
    if (!value || !*value)
        return false;
    s->value = value;
    snprintf(s->where, sizeof s->where, "[dynamodb] %s", key);
    return true;
}

static bool from_environment(struct setting *s, const char *name)
{
    const char *value = getenv(name);

    if (!value || !*value)
        return false;
    s->value = value;
    snprintf(s->where, sizeof s->where, "%s", name);
    return true;
}

static bool from_profile(struct setting *s, const struct lookup *l, const char *key)
{
    const char *value = profile_get(l->files, l->profile, key);

    if (!value)
        return false;
    s->value = value;
    snprintf(s->where, sizeof s->where, "%s of profile %s", key, l->profile);
    return true;
}

static bool from_services(struct setting *s, const struct lookup *l)
{
    const char *value = profile_service_get(l->files, l->profile, l->service, "endpoint_url");

    if (!value)
        return false;
    s->value = value;
    snprintf(s->where, sizeof s->where, "%s endpoint_url in the services of profile %s", l->service,
             l->profile);
    return true;
}

/* true or false, from the environment, else the profile; false when neither says. */
static int read_flag(const struct lookup *l, const char *variable, const char *key,
                     struct setting *s, bool *out, struct err *err)
{
    if (!from_environment(s, variable) && !from_profile(s, l, key)) {
        *out = false;
        return 0;
    }
    if (strcasecmp(s->value, "true") != 0 && strcasecmp(s->value, "false") != 0)
        return err_set(err, -EINVAL, "%s is \"%s\"; write true or false", s->where, s->value);
    *out = strcasecmp(s->value, "true") == 0;
    return 0;
}

static bool region_fits(const char *region, size_t room)
{
    size_t n = strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-");

    return n > 0 && n < room && region[n] == '\0' && region[0] != '-' && region[n - 1] != '-';
}

bool endpoint_region_valid(const char *region)
{
    return region_fits(region, sizeof((struct endpoint *)0)->region);
}

static bool from_instance(struct setting *s, const char *region)
{
    if (!region || !*region)
        return false;
    s->value = region;
    snprintf(s->where, sizeof s->where, "the region of the instance metadata service");
    return true;
}

static int find_region(const struct lookup *l, struct endpoint *out, struct err *err)
{
    struct setting s = {0};

    if (!from_config(&s, l->req->region, "region") && !from_environment(&s, "AWS_REGION") &&
        !from_environment(&s, "AWS_DEFAULT_REGION") && !from_profile(&s, l, "region") &&
        !from_instance(&s, l->req->instance_region))
        return err_set(
            err, imds_disabled() ? -EINVAL : -ENODATA,
            "no AWS region: write region = us-west-2 (for instance) under [dynamodb], or "
            "set AWS_REGION (profile %s in %s and %s names none)",
            l->profile, profile_credentials_path(l->files), profile_config_path(l->files));
    if (!region_fits(s.value, sizeof out->region))
        return err_set(err, -EINVAL,
                       "%s is \"%s\", which is no region's name; write lower-case letters, digits "
                       "and dashes, such as us-west-2",
                       s.where, s.value);
    memcpy(out->region, s.value, strlen(s.value) + 1);
    return 0;
}

static int find_custom_url(const struct lookup *l, struct setting *s, struct err *err)
{
    struct setting flag = {0};
    char variable[48];
    bool ignore;

    if (from_config(s, l->req->endpoint_url, "endpoint_url"))
        return 0;
    int r = read_flag(l, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls",
                      &flag, &ignore, err);
    if (r < 0 || ignore)
        return r;
    snprintf(variable, sizeof variable, "AWS_ENDPOINT_URL_%s",
             strcmp(l->service, "sts") == 0 ? "STS" : "DYNAMODB");
    if (!from_environment(s, variable) && !from_environment(s, "AWS_ENDPOINT_URL") &&
        !from_services(s, l))
        from_profile(s, l, "endpoint_url");
    return 0;
}

/* The host AWS gives the region (the service's published endpoint rules). */
static int build_default_url(const char *service, const char *region, bool fips, bool dual_stack,
                             char *url, size_t room)
{
    const struct aws_partition *p = aws_partition_of(region);
    bool fips_name = fips && (dual_stack || !p->plain_fips);

    return snprintf(url, room, "https://%s%s.%s.%s/", service, fips_name ? "-fips" : "", region,
                    dual_stack ? p->dual_stack_suffix : p->suffix);
}

static int find_url(const struct lookup *l, struct endpoint *out, struct err *err)
{
    struct setting custom = {0}, fips_from = {0}, dual_from = {0};
    bool fips, dual_stack;
    char url[256];

    int r = find_custom_url(l, &custom, err);
    if (r == 0)
        r = read_flag(l, "AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint", &fips_from, &fips, err);
    if (r == 0)
        r = read_flag(l, "AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint", &dual_from,
                      &dual_stack, err);
    if (r < 0)
        return r;
    if (custom.value && (fips || dual_stack))
        return err_set(
            err, -EINVAL,
            "%s and %s contradict each other: a custom endpoint has no FIPS or dual-stack "
            "variant; remove one of them",
            custom.where, fips ? fips_from.where : dual_from.where);
    if (custom.value)
        return endpoint_url_parse(custom.value, custom.where, l->req->allow_plain_http, out, err);
    build_default_url(l->service, out->region, fips, dual_stack, url, sizeof url);
    return endpoint_url_parse(url, "the region's endpoint", false, out, err);
}

int endpoint_resolve(const struct endpoint_request *req, struct endpoint *out, struct err *err)
{
    _cleanup_(profile_files_free_cleanup) struct profile_files *files = NULL;
    struct endpoint e = {0};
    bool named;

    int r = profile_files_load(req->credentials_file, NULL, &files, err);
    if (r < 0)
        return r;
    const struct lookup l = {req, files, profile_choose(req->profile, &named),
                             req->service ? req->service : "dynamodb"};
    if (named && !profile_exists(files, l.profile))
        return profile_missing(files, l.profile, err);
    r = find_region(&l, &e, err);
    if (r == 0)
        r = find_url(&l, &e, err);
    if (r < 0)
        return r;
    *out = e;
    return 0;
}
