/* The shared AWS files (~/.aws/credentials, ~/.aws/config): profiles as key/value sections, merged
 * as the SDKs do (reference: AWS SDKs and Tools Reference Guide, "Shared config and credentials
 * files"). Used for credentials, region and endpoint. */
#ifndef SYNCD_AWS_PROFILE_H
#define SYNCD_AWS_PROFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct profile_files;

/* Missing files are empty files; unreadable or malformed ones are errors naming file and line.
 * NULL or "" takes $CREDENTIALS_DIRECTORY/aws-credentials where systemd provides that (for the
 * credentials file), else the environment's path or the home directory's. */
int profile_files_load(const char *credentials_path, const char *config_path,
                       struct profile_files **out, struct err *err);
void profile_files_free(struct profile_files *f);
bool profile_exists(const struct profile_files *f, const char *profile);
/* Value of a key (case-insensitive), the credentials file winning over config; NULL when absent or
 * empty. Lives as long as `f`. */
const char *profile_get(const struct profile_files *f, const char *profile, const char *key);
/* A value of the [services NAME] section that the profile names, e.g. ("dynamodb","endpoint_url").
 */
const char *profile_service_get(const struct profile_files *f, const char *profile,
                                const char *service, const char *key);
/* The same over bytes in memory, for tests and fuzzing. */
int profile_files_parse(const char *credentials, size_t ncred, const char *config, size_t nconf,
                        struct profile_files **out, struct err *err);

/* The profile to use: `configured`, else AWS_PROFILE, else "default". `named` says that somebody
 * asked for it, so that its absence is an error. Lives as long as its source. */
const char *profile_choose(const char *configured, bool *named);
/* -EINVAL with a sentence that names both files, for a profile that somebody named and that is in
 * neither. */
int profile_missing(const struct profile_files *f, const char *profile, struct err *err);
/* For messages: the file that profile_get() answers from, or NULL; and the two paths ("~/.aws/..."
 * where there is no home directory). They live as long as `f`. */
const char *profile_origin(const struct profile_files *f, const char *profile, const char *key);
const char *profile_credentials_path(const struct profile_files *f);
const char *profile_config_path(const struct profile_files *f);

#endif
