#include "aws/profile.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include <openssl/crypto.h>

#include "aws/profile_internal.h"
#include "base/buf.h"

/* Real files hold a few kilobytes; past this it is not such a file. */
enum { MAX_FILE = 1 << 20 };

struct profile_files {
    struct profile_file credentials, config;
};

DEFINE_CLEANUP(struct profile_files *, profile_files_free)

void profile_files_free(struct profile_files *f)
{
    if (!f)
        return;
    profile_file_clear(&f->credentials);
    profile_file_clear(&f->config);
    free(f);
}

/* HOME may be unset under systemd; the user database then knows. NULL when nobody does. */
static char *home_directory(void)
{
    const char *home = getenv("HOME");
    struct passwd entry, *found = NULL;
    char scratch[4096];

    if (home && *home)
        return strdup(home);
    if (getpwuid_r(geteuid(), &entry, scratch, sizeof scratch, &found) != 0 || !found ||
        !*found->pw_dir)
        return NULL;
    return strdup(found->pw_dir);
}

/* `given`, else the environment's, else `usual` (which begins with "~/"); a leading "~/" is the
 * home directory. *out stays NULL when there is none. */
static int choose_path(const char *given, const char *variable, const char *usual, char **out)
{
    const char *path = given && *given ? given : getenv(variable);

    if (!path || !*path)
        path = usual;
    if (strncmp(path, "~/", 2) != 0) {
        *out = strdup(path);
        return *out ? 0 : -ENOMEM;
    }
    _cleanup_free_ char *home = home_directory();
    if (home && asprintf(out, "%s%s", home, path + 1) < 0) {
        *out = NULL;
        return -ENOMEM;
    }
    return 0;
}

/* The shared credentials file: what is configured, else the one that systemd hands to the unit
 * (LoadCredential=aws-credentials:..., systemd.exec(5)), else the usual one. */
static int choose_credentials_path(const char *given, char **out)
{
    const char *directory = getenv("CREDENTIALS_DIRECTORY");
    _cleanup_free_ char *loaded = NULL;

    if (!(given && *given) && directory && *directory) {
        if (asprintf(&loaded, "%s/aws-credentials", directory) < 0) {
            loaded = NULL;
            return -ENOMEM;
        }
        if (access(loaded, F_OK) == 0)
            given = loaded;
    }
    return choose_path(given, "AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", out);
}

static int read_all(int fd, const char *path, struct buf *text, struct err *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_set(err, -errno, "cannot read %s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode) || st.st_size > MAX_FILE)
        return err_set(err, -EINVAL, "%s is not a shared AWS file: a plain file of at most 1 MiB",
                       path);
    /* Reserved whole, so that no copy of a secret is left behind by growing. */
    while (text->len <= MAX_FILE && buf_reserve(text, MAX_FILE + 1 - text->len)) {
        ssize_t n = read(fd, text->data + text->len, MAX_FILE + 1 - text->len);
        if (n == 0)
            return 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, -errno, "cannot read %s: %s", path, strerror(errno));
        text->len += (size_t)n;
    }
    return text->failed ? err_set(err, -ENOMEM, "out of memory while reading %s", path)
                        : err_set(err, -EINVAL, "%s is longer than 1 MiB", path);
}

static int load_file(struct profile_file *file, bool is_config, struct err *err)
{
    _cleanup_buf_ struct buf text = {0};

    if (!file->path)
        return 0;
    _cleanup_close_ int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (fd < 0)
        return err_set(err, -errno, "cannot read %s: %s; let the service's user read it",
                       file->path, strerror(errno));
    int r = read_all(fd, file->path, &text, err);
    if (r == 0)
        r = profile_parse(file, text.data, text.len, is_config, err);
    if (text.data)
        OPENSSL_cleanse(text.data, text.len);
    return r;
}

int profile_files_load(const char *credentials_path, const char *config_path,
                       struct profile_files **out, struct err *err)
{
    _cleanup_(profile_files_free_cleanup) struct profile_files *f = calloc(1, sizeof *f);

    if (!f || choose_credentials_path(credentials_path, &f->credentials.path) < 0 ||
        choose_path(config_path, "AWS_CONFIG_FILE", "~/.aws/config", &f->config.path) < 0)
        return err_set(err, -ENOMEM, "out of memory while reading the shared AWS files");
    int r = load_file(&f->credentials, false, err);
    if (r == 0)
        r = load_file(&f->config, true, err);
    if (r < 0)
        return r;
    *out = take_ptr(f);
    return 0;
}

int profile_files_parse(const char *credentials, size_t ncred, const char *config, size_t nconf,
                        struct profile_files **out, struct err *err)
{
    _cleanup_(profile_files_free_cleanup) struct profile_files *f = calloc(1, sizeof *f);

    if (!f || !(f->credentials.path = strdup("credentials")) ||
        !(f->config.path = strdup("config")))
        return err_set(err, -ENOMEM, "out of memory while reading the shared AWS files");
    int r = profile_parse(&f->credentials, credentials, ncred, false, err);
    if (r == 0)
        r = profile_parse(&f->config, config, nconf, true, err);
    if (r < 0)
        return r;
    *out = take_ptr(f);
    return 0;
}

static bool has_section(const struct profile_file *file, enum profile_section_kind kind,
                        const char *name)
{
    for (size_t i = 0; i < file->section_count; i++)
        if (file->sections[i].kind == kind && strcmp(file->sections[i].name, name) == 0)
            return true;
    return false;
}

/* The last value wins. An empty one counts as not set. */
static const char *find(const struct profile_file *file, enum profile_section_kind kind,
                        const char *name, const char *key, const char *sub)
{
    for (size_t i = file->entry_count; i-- > 0;) {
        const struct profile_entry *e = &file->entries[i];
        const struct profile_section *s = &file->sections[e->section];
        if (s->kind != kind || strcmp(s->name, name) != 0 || strcasecmp(e->key, key) != 0)
            continue;
        if (!sub ? !e->sub : e->sub && strcasecmp(e->sub, sub) == 0)
            return *e->value ? e->value : NULL;
    }
    return NULL;
}

/* How this file writes the profile: [profile default] makes [default] of the config file void. */
static enum profile_section_kind kind_of(const struct profile_file *file, const char *profile)
{
    return strcmp(profile, "default") == 0 && !has_section(file, PROFILE_SECTION_PROFILE, profile)
               ? PROFILE_SECTION_DEFAULT
               : PROFILE_SECTION_PROFILE;
}

bool profile_exists(const struct profile_files *f, const char *profile)
{
    return has_section(&f->credentials, kind_of(&f->credentials, profile), profile) ||
           has_section(&f->config, kind_of(&f->config, profile), profile);
}

static const char *get_from(const struct profile_file *file, const char *profile, const char *key)
{
    return find(file, kind_of(file, profile), profile, key, NULL);
}

const char *profile_get(const struct profile_files *f, const char *profile, const char *key)
{
    const char *value = get_from(&f->credentials, profile, key);

    return value ? value : get_from(&f->config, profile, key);
}

const char *profile_service_get(const struct profile_files *f, const char *profile,
                                const char *service, const char *key)
{
    const char *services = profile_get(f, profile, "services");

    return services ? find(&f->config, PROFILE_SECTION_SERVICES, services, service, key) : NULL;
}

const char *profile_choose(const char *configured, bool *named)
{
    const char *profile = configured && *configured ? configured : getenv("AWS_PROFILE");

    *named = profile && *profile;
    return *named ? profile : "default";
}

int profile_missing(const struct profile_files *f, const char *profile, struct err *err)
{
    return err_set(err, -EINVAL,
                   "profile %s is neither in %s (as [%s]) nor in %s (as [profile %s]); add it, or "
                   "correct [dynamodb] profile or AWS_PROFILE",
                   profile, profile_credentials_path(f), profile, profile_config_path(f), profile);
}

const char *profile_origin(const struct profile_files *f, const char *profile, const char *key)
{
    if (get_from(&f->credentials, profile, key))
        return profile_credentials_path(f);
    return get_from(&f->config, profile, key) ? profile_config_path(f) : NULL;
}

const char *profile_credentials_path(const struct profile_files *f)
{
    return f->credentials.path ? f->credentials.path : "~/.aws/credentials";
}

const char *profile_config_path(const struct profile_files *f)
{
    return f->config.path ? f->config.path : "~/.aws/config";
}
