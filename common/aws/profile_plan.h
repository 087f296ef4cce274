/* What a profile says about credentials, followed through its source profiles: a base to begin with
 * and the roles to assume from there. Pure over parsed files (AWS SDKs and Tools Reference Guide,
 * "Assume role credential provider"; the order within a profile is botocore's).
 *
 * Within the profile asked for, a role goes before keys; within a source profile keys go before a
 * role, as in the SDKs. SSO and console logins are refused by name: both need a person. */
#ifndef SYNCD_AWS_PROFILE_PLAN_H
#define SYNCD_AWS_PROFILE_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/profile.h"

enum { PROFILE_PLAN_ROLES = 8 };

enum profile_base {
    PROFILE_KEYS,
    PROFILE_PROCESS,
    PROFILE_WEB_IDENTITY,
    PROFILE_ENVIRONMENT,
    PROFILE_INSTANCE,
    PROFILE_CONTAINER,
};

struct profile_role {
    const char *profile, *role_arn;
    const char *session_name, *external_id; /* NULL when not given */
    int64_t duration;                       /* seconds; 0: not given */
};

/* Strings live as long as the files. */
struct profile_plan {
    enum profile_base base;
    const char *profile;    /* the base's */
    const char *command;    /* PROFILE_PROCESS */
    const char *token_file; /* PROFILE_WEB_IDENTITY, whose role is `identity` */
    struct profile_role identity;
    struct profile_role roles[PROFILE_PLAN_ROLES]; /* the first is assumed last */
    size_t role_count;
};

/* 0; -ENOENT with a phrase when the profile has nothing to say (or is not there and nobody named
 * it); another errno with a sentence that names profile, key and file. */
int profile_plan_make(const struct profile_files *files, const char *profile, bool named,
                      struct profile_plan *out, struct err *err);

#endif
