#include "aws/profile_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The walk from profile to profile. */
struct walk {
    const struct profile_files *files;
    struct profile_plan *plan;
    const char *visited[PROFILE_PLAN_ROLES + 1];
    size_t visited_count;
    struct err *err;
};

static const char *get(const struct walk *w, const char *profile, const char *key)
{
    return profile_get(w->files, profile, key);
}

static const char *origin(const struct walk *w, const char *profile, const char *key)
{
    return profile_origin(w->files, profile, key);
}

/* Some keys of either pair are there. */
static bool has_keys(const struct walk *w, const char *profile)
{
    return get(w, profile, "aws_access_key_id") || get(w, profile, "aws_secret_access_key");
}

static bool has_both_keys(const struct walk *w, const char *profile)
{
    return get(w, profile, "aws_access_key_id") && get(w, profile, "aws_secret_access_key");
}

static int refuse_login(const struct walk *w, const char *profile)
{
    static const char *const keys[] = {"sso_session", "sso_start_url", "sso_account_id",
                                       "sso_role_name"};

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (get(w, profile, keys[i]))
            return err_set(w->err, -ENOTSUP,
                           "profile %s signs in by SSO (%s in %s), which needs a person and a "
                           "browser; give the service a role, or keys in another profile",
                           profile, keys[i], origin(w, profile, keys[i]));
    if (get(w, profile, "login_session") && !has_both_keys(w, profile))
        return err_set(
            w->err, -ENOTSUP,
            "profile %s signs in by a console login (login_session in %s), which needs a "
            "person and a browser; give the service a role, or keys in another profile",
            profile, origin(w, profile, "login_session"));
    return 0;
}

static int read_role(const struct walk *w, const char *profile, struct profile_role *out)
{
    const char *duration = get(w, profile, "duration_seconds");
    char *end = NULL;

    *out = (struct profile_role){.profile = profile,
                                 .role_arn = get(w, profile, "role_arn"),
                                 .session_name = get(w, profile, "role_session_name"),
                                 .external_id = get(w, profile, "external_id")};
    if (get(w, profile, "mfa_serial"))
        return err_set(w->err, -ENOTSUP,
                       "profile %s asks for a one-time code (mfa_serial in %s), which a service "
                       "cannot give; use a role that needs none",
                       profile, origin(w, profile, "mfa_serial"));
    if (!duration)
        return 0;
    out->duration = strtoll(duration, &end, 10);
    if (*end || out->duration < 900 || out->duration > 43200)
        return err_set(w->err, -EINVAL,
                       "duration_seconds of profile %s (%s) is \"%.40s\"; write 900 to 43200",
                       profile, origin(w, profile, "duration_seconds"), duration);
    return 0;
}

static int take_base(struct walk *w, enum profile_base base, const char *profile)
{
    w->plan->base = base;
    w->plan->profile = profile;
    return 0;
}

static int take_keys(struct walk *w, const char *profile)
{
    const char *there =
        get(w, profile, "aws_access_key_id") ? "aws_access_key_id" : "aws_secret_access_key";

    if (has_both_keys(w, profile))
        return take_base(w, PROFILE_KEYS, profile);
    return err_set(w->err, -EINVAL, "profile %s has %s (%s) but not %s; write both", profile, there,
                   origin(w, profile, there),
                   strcmp(there, "aws_access_key_id") == 0 ? "aws_secret_access_key"
                                                           : "aws_access_key_id");
}

static int take_web_identity(struct walk *w, const char *profile)
{
    if (!get(w, profile, "role_arn"))
        return err_set(w->err, -EINVAL,
                       "profile %s has web_identity_token_file (%s) but no role_arn; write both",
                       profile, origin(w, profile, "web_identity_token_file"));
    w->plan->token_file = get(w, profile, "web_identity_token_file");
    int r = read_role(w, profile, &w->plan->identity);
    return r < 0 ? r : take_base(w, PROFILE_WEB_IDENTITY, profile);
}

static int take_credential_source(struct walk *w, const char *profile, const char *source)
{
    static const struct {
        const char *name;
        enum profile_base base;
    } sources[] = {{"Environment", PROFILE_ENVIRONMENT},
                   {"Ec2InstanceMetadata", PROFILE_INSTANCE},
                   {"EcsContainer", PROFILE_CONTAINER}};

    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        if (strcmp(source, sources[i].name) == 0)
            return take_base(w, sources[i].base, profile);
    return err_set(w->err, -EINVAL,
                   "credential_source of profile %s (%s) is \"%.40s\"; write Environment, "
                   "Ec2InstanceMetadata or EcsContainer",
                   profile, origin(w, profile, "credential_source"), source);
}

/* The profile that the role's caller comes from; `next` stays NULL when the walk ends here. */
static int find_source(struct walk *w, const char *profile, const char **next)
{
    const char *from = get(w, profile, "source_profile");
    const char *source = get(w, profile, "credential_source");

    if (!from == !source)
        return err_set(w->err, -EINVAL,
                       "profile %s has role_arn (%s) and %s source_profile %s credential_source; "
                       "write one of them",
                       profile, origin(w, profile, "role_arn"), from ? "both" : "neither",
                       from ? "and" : "nor");
    if (source)
        return take_credential_source(w, profile, source);
    if (strcmp(from, profile) == 0 && has_keys(w, profile))
        return take_keys(w, profile);
    if (!profile_exists(w->files, from))
        return err_set(w->err, -EINVAL,
                       "source_profile of profile %s names %s, which is neither in %s nor in %s",
                       profile, from, profile_credentials_path(w->files),
                       profile_config_path(w->files));
    for (size_t i = 0; i < w->visited_count; i++)
        if (strcmp(w->visited[i], from) == 0)
            return err_set(w->err, -ELOOP,
                           "source_profile of profile %s (%s) leads back to profile %s, which has "
                           "no keys of its own; end the loop",
                           profile, origin(w, profile, "source_profile"), from);
    *next = from;
    return 0;
}

/* One profile. `next` is set when its role is assumed with another profile's credentials. */
static int step(struct walk *w, const char *profile, const char **next)
{
    struct profile_plan *plan = w->plan;
    bool source = w->visited_count > 1;
    int r = refuse_login(w, profile);

    *next = NULL;
    if (r < 0)
        return r;
    if (get(w, profile, "web_identity_token_file"))
        return take_web_identity(w, profile);
    if (get(w, profile, "role_arn") && !(source && has_both_keys(w, profile))) {
        if (plan->role_count == PROFILE_PLAN_ROLES)
            return err_set(w->err, -ELOOP,
                           "profile %s goes through more than %d roles; shorten the chain of "
                           "source_profile",
                           w->visited[0], PROFILE_PLAN_ROLES);
        r = read_role(w, profile, &plan->roles[plan->role_count++]);
        return r < 0 ? r : find_source(w, profile, next);
    }
    if (has_keys(w, profile))
        return take_keys(w, profile);
    plan->command = get(w, profile, "credential_process");
    if (plan->command)
        return take_base(w, PROFILE_PROCESS, profile);
    if (source)
        return err_set(w->err, -EINVAL,
                       "profile %s, the source_profile of %s, has neither keys nor "
                       "credential_process nor a role",
                       profile, w->visited[w->visited_count - 2]);
    return err_set(w->err, -ENOENT, "profile %s (%s in %s and %s)", profile,
                   profile_exists(w->files, profile) ? "no keys" : "no such section",
                   profile_credentials_path(w->files), profile_config_path(w->files));
}

int profile_plan_make(const struct profile_files *files, const char *profile, bool named,
                      struct profile_plan *out, struct err *err)
{
    struct profile_plan plan = {0};
    struct walk w = {.files = files, .plan = &plan, .err = err};
    int r = 0;

    if (named && !profile_exists(files, profile))
        return profile_missing(files, profile, err);
    for (const char *next; r == 0 && profile; profile = next) {
        w.visited[w.visited_count++] = profile;
        r = step(&w, profile, &next);
    }
    if (r == 0)
        *out = plan;
    return r;
}
