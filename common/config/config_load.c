#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "config/config.h"
#include "config/config_read.h"
#include "config/envfile.h"
#include "config/lists.h"
#include "config/option_checks.h"
#include "config/options.h"
#include "config/setting.h"
#include "config/shown.h"

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
#define SUFFIX          ".conf"

enum { READ_BYTES = 4096 };

/* What loading one configuration needs to know on its way. */
struct loader {
    const struct config_request *req;
    struct config *c;
    struct buf file;     /* FILE as it will be opened */
    struct buf env_file; /* NAME.env beside it */
    bool named;          /* FILE or NAME was asked for, so it must exist */
    bool env_refused;    /* NAME.env exists, and this user may not read it */
};

static int no_memory(struct err *err)
{
    return err_set(err, -ENOMEM, "out of memory");
}

static int replace(char **to, const char *text, struct err *err)
{
    char *copy = text ? strdup(text) : NULL;

    if (!copy)
        return no_memory(err);
    free(*to);
    *to = copy;
    return 0;
}

static int cannot_open(const char *path, int rc, struct err *err)
{
    if (rc == -EACCES)
        return err_set(err, rc, "%s: permission denied; run as a user who may read it", path);
    return err_set(err, rc, "%s cannot be opened: %s", path, strerror(-rc));
}

/* The whole of a file of at most INI_MAX_BYTES. -ENOENT and -EACCES come from open(2) only. */
static int read_file(const char *path, struct buf *out, struct err *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return cannot_open(path, -errno, err);
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
        return err_set(err, -EISDIR, "%s is a directory; name a file", path);
    while (out->len <= INI_MAX_BYTES) {
        if (!buf_reserve(out, READ_BYTES))
            return no_memory(err);
        ssize_t n = read(fd, out->data + out->len, READ_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, -EIO, "%s cannot be read: %s", path, strerror(errno));
        if (n == 0)
            return 0;
        out->len += (size_t)n;
    }
    return err_set(err, -EFBIG, "%s: the file is larger than 1 MiB; is it a configuration?", path);
}

/* For ini.h: the process's environment, then NAME.env. */
static int lookup_variable(void *arg, const char *name, const char **value, struct err *err)
{
    const struct loader *l = arg;
    const char *found = getenv(name);
    struct shown text;

    if (!found)
        found = pairlist_get(&l->c->environment, name, same_text);
    if (found) {
        *value = found;
        return 0;
    }
    shown(&text, name);
    if (l->env_refused)
        return err_set(err, -EINVAL,
                       "${%s} is not set in the environment, and %s may not be read by this user",
                       text.text, l->env_file.data);
    return err_set(err, -EINVAL, "${%s} is not set; set it in the environment or in %s", text.text,
                   l->env_file.data);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static int check_name(const char *name, struct err *err)
{
    struct shown text;

    if (!*name || *name == '.' || name[strspn(name, NAME_CHARACTERS)])
        return err_set(err, -EINVAL,
                       "--name \"%s\" is not a name (letters, digits, _ . and -, no dot first)",
                       shown(&text, name));
    return 0;
}

/* Settle FILE, its name, and NAME.env. */
static int find_file(struct loader *l, struct err *err)
{
    const struct config_request *req = l->req;

    if (req->file && req->name)
        return err_set(err, -EINVAL, "--config and --name exclude each other; give one of them");
    if (req->name) {
        int rc = check_name(req->name, err);
        if (rc < 0)
            return rc;
    }
    l->named = req->file || req->name;
    if (req->file)
        buf_puts(&l->file, req->file);
    else
        buf_printf(&l->file, SYNCD_SYSCONFDIR "/syncd/%s" SUFFIX, req->name ? req->name : "syncd");
    if (!buf_ok(&l->file))
        return no_memory(err);

    _cleanup_buf_ struct buf stem = {0};
    const char *base = base_name(l->file.data);
    size_t n = strlen(base), suffix = strlen(SUFFIX);
    if (n >= suffix && strcmp(base + n - suffix, SUFFIX) == 0)
        n -= suffix;
    buf_append(&stem, base, n);
    buf_append(&l->env_file, l->file.data, (size_t)(base - l->file.data) + n);
    buf_puts(&l->env_file, ".env");
    if (!buf_ok(&stem) || !buf_ok(&l->env_file))
        return no_memory(err);
    return replace(&l->c->name, stem.len ? stem.data : "syncd", err);
}

static int read_environment(struct loader *l, struct err *err)
{
    struct buf bytes = {0};
    int rc = read_file(l->env_file.data, &bytes, err);

    if (rc == 0)
        rc = envfile_parse(l->env_file.data, bytes.data, bytes.len, &l->c->environment, err);
    else if (rc == -ENOENT || rc == -ENOTDIR)
        rc = 0;
    else if (rc == -EACCES) {
        l->env_refused = true;
        rc = 0;
    }
    if (bytes.data)
        explicit_bzero(bytes.data, bytes.cap);
    buf_free(&bytes);
    return rc;
}

static int add_file(struct loader *l, const char *path, const struct buf *bytes, struct err *err)
{
    return config_add(l->c, path, bytes->data, bytes->len, lookup_variable, l, err);
}

static int drop_in(const struct dirent *e)
{
    size_t n = strlen(e->d_name), suffix = strlen(SUFFIX);

    return e->d_name[0] != '.' && n > suffix && strcmp(e->d_name + n - suffix, SUFFIX) == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int add_drop_in(struct loader *l, const char *dir, const char *name, struct err *err)
{
    _cleanup_buf_ struct buf path = {0}, bytes = {0};

    buf_printf(&path, "%s/%s", dir, name);
    if (!buf_ok(&path))
        return no_memory(err);
    int rc = read_file(path.data, &bytes, err);
    return rc < 0 ? rc : add_file(l, path.data, &bytes, err);
}

static int add_drop_ins(struct loader *l, struct err *err)
{
    _cleanup_buf_ struct buf dir = {0};
    struct dirent **entries = NULL;
    int rc = 0;

    buf_printf(&dir, "%s.d", l->file.data);
    if (!buf_ok(&dir))
        return no_memory(err);
    int n = scandir(dir.data, &entries, drop_in, by_name);
    if (n < 0 && errno == ENOENT)
        return 0;
    if (n < 0)
        return err_set(err, -errno, "the directory %s cannot be read: %s", dir.data,
                       strerror(errno));
    for (int i = 0; i < n; i++) {
        if (rc == 0)
            rc = add_drop_in(l, dir.data, entries[i]->d_name, err);
        free(entries[i]);
    }
    free(entries);
    return rc;
}

static bool sets_database(const struct config_request *req)
{
    static const char name[] = "source.database=";

    for (const char *const *s = req->settings; s && *s; s++)
        if (strncmp(*s, name, sizeof name - 1) == 0)
            return true;
    return false;
}

/* FILE with what belongs to it. A one-off job with a database needs none, unless one was named. */
static int add_files(struct loader *l, struct err *err)
{
    _cleanup_buf_ struct buf bytes = {0};
    int rc = read_file(l->file.data, &bytes, err);

    if (rc == -ENOENT && !l->named &&
        ((l->req->file_optional && l->req->database) || sets_database(l->req)))
        return 0;
    if (rc == -ENOENT)
        return err_set(err, rc,
                       "%s does not exist; write it ([source] database and a region are enough) or "
                       "name another file with --config",
                       l->file.data);
    if (rc == 0)
        rc = replace(&l->c->file, l->file.data, err);
    if (rc == 0)
        rc = read_environment(l, err);
    if (rc == 0)
        rc = add_file(l, l->file.data, &bytes, err);
    return rc < 0 ? rc : add_drop_ins(l, err);
}

/* A relative path of the command line, by the real path of its directory: the file itself need not
 * exist. */
static int absolute_path(const char *what, const char *path, struct buf *out, struct err *err)
{
    _cleanup_buf_ struct buf dir = {0};
    const char *base = base_name(path);
    struct shown text;

    if (!*base || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
        return err_set(err, -EINVAL, "%s \"%s\" does not end in the name of a file", what,
                       shown(&text, path));
    if (*path == '/') {
        buf_puts(out, path);
        return buf_ok(out) ? 0 : no_memory(err);
    }
    buf_append(&dir, path, (size_t)(base - path));
    if (base == path)
        buf_putc(&dir, '.');
    if (!buf_ok(&dir))
        return no_memory(err);
    _cleanup_free_ char *real = realpath(dir.data, NULL);
    if (!real)
        return err_set(err, -errno, "%s \"%s\": its directory cannot be found: %s", what,
                       shown(&text, path), strerror(errno));
    buf_printf(out, "%s/%s", strcmp(real, "/") == 0 ? "" : real, base);
    return buf_ok(out) ? 0 : no_memory(err);
}

static int override_path(char **to, const char *what, const char *path, struct err *err)
{
    _cleanup_buf_ struct buf absolute = {0};

    if (!path)
        return 0;
    int rc = absolute_path(what, path, &absolute, err);
    return rc < 0 ? rc : replace(to, absolute.data, err);
}

/* Its ${ is quoted, and asks for none. */
static int no_variable(void *arg, const char *name, const char **value, struct err *err)
{
    (void)arg;
    (void)value;
    return err_set(err, -EINVAL, "${%s} is not set", name);
}

/* "section.key=value", the value as it is: no quotes, no variables. */
static int apply_setting(struct loader *l, const char *text, struct err *err)
{
    const char *dot = strchr(text, '.'), *equals = dot ? strchr(dot, '=') : NULL;
    _cleanup_free_ char *section = dot ? strndup(text, (size_t)(dot - text)) : NULL;
    _cleanup_free_ char *key = equals ? strndup(dot + 1, (size_t)(equals - dot - 1)) : NULL;
    _cleanup_buf_ struct buf raw = {0};
    struct shown name;

    if (!dot || !equals)
        return err_set(err, -EINVAL, "--set \"%s\" is not SECTION.KEY=VALUE", shown(&name, text));
    if (!section || !key)
        return no_memory(err);
    const struct config_option *o = option_find(section, key);
    if (!o || option_scope(o) != SCOPE_CONFIG)
        return err_set(err, -EINVAL, "--set %s: there is no such setting%s", shown(&name, text),
                       o ? " outside of a section with a name" : "");
    if (o->type == OPTION_PAIRS)
        return err_set(
            err, -EINVAL,
            "--set %s: %s has lines of the form %s.NAME = value, which a file alone can set",
            shown(&name, text), o->key, o->key);
    if (equals[1])
        ini_append_value(&raw, equals + 1);
    if (!buf_ok(&raw))
        return no_memory(err);
    int rc = setting_assign(o, l->c, NULL, raw.len ? raw.data : "", no_variable, NULL, err);
    return rc < 0 ? err_prefix(err, rc, "--set %s.%s", section, key) : 0;
}

static int apply_overrides(struct loader *l, struct err *err)
{
    const struct config_request *req = l->req;
    struct config *c = l->c;
    const struct {
        char **to;
        const char *value;
    } texts[] = {{&c->region, req->region},
                 {&c->profile, req->profile},
                 {&c->endpoint_url, req->endpoint_url}};

    for (const char *const *s = req->settings; s && *s; s++) {
        int rc = apply_setting(l, *s, err);
        if (rc < 0)
            return rc;
    }
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int rc = texts[i].value ? replace(texts[i].to, texts[i].value, err) : 0;
        if (rc < 0)
            return rc;
    }
    int rc = override_path(&c->database, "--database", req->database, err);
    return rc < 0 ? rc : override_path(&c->socket, "--socket", req->socket, err);
}

/* The first of the directories that systemd names in a variable; false when it names none. */
static bool systemd_directory(const char *variable, struct buf *out)
{
    const char *dirs = getenv(variable);

    if (!dirs || *dirs != '/')
        return false;
    buf_append(out, dirs, strcspn(dirs, ":"));
    return true;
}

/* Beside a configuration in /etc/syncd belongs the state directory of its unit. Where this user may
 * not look, it is taken to be there: another file in its stead would know nothing. */
static bool installed_state(const struct config *c, struct buf *path)
{
    static const char installed[] = SYNCD_SYSCONFDIR "/syncd/";
    struct buf found = {0};

    if (strncmp(c->file, installed, sizeof installed - 1) != 0)
        return false;
    buf_printf(&found, "/var/lib/syncd/%s/%s.db", c->name, c->name);
    if (buf_ok(&found) && (access(found.data, F_OK) == 0 || errno == EACCES)) {
        *path = found;
        return true;
    }
    buf_free(&found);
    return false;
}

static int default_state_path(struct config *c, struct err *err)
{
    _cleanup_buf_ struct buf path = {0};

    if (*c->state_path)
        return 0;
    if (systemd_directory("STATE_DIRECTORY", &path)) {
        buf_printf(&path, "/%s.db", c->name);
    } else if (installed_state(c, &path)) {
        /* the file that the unit's daemon uses, for syncctl run by hand */
    } else {
        const char *base = base_name(c->database);
        buf_append(&path, c->database, (size_t)(base - c->database));
        buf_printf(&path, ".%s-syncd.db", base);
    }
    return buf_ok(&path) ? replace(&c->state_path, path.data, err) : no_memory(err);
}

static int default_socket(struct config *c, struct err *err)
{
    _cleanup_buf_ struct buf path = {0};

    if (*c->socket)
        return 0;
    if (systemd_directory("RUNTIME_DIRECTORY", &path))
        buf_lit(&path, "/syncd.sock");
    else if (strcmp(c->name, "syncd") == 0)
        buf_lit(&path, "/run/syncd/syncd.sock");
    else
        buf_printf(&path, "/run/syncd/%s/syncd.sock", c->name);
    return buf_ok(&path) ? replace(&c->socket, path.data, err) : no_memory(err);
}

static int settle_paths(struct config *c, struct err *err)
{
    int rc = default_state_path(c, err);

    if (rc == 0)
        rc = default_socket(c, err);
    if (rc < 0)
        return rc;
    if (strcmp(c->state_path, c->database) == 0)
        return err_set(err, -EINVAL,
                       "%s: [state] path is the database itself; give the daemon a file of its own",
                       c->file);
    rc = option_check_socket(c->socket, err);
    return rc < 0 ? err_prefix(err, rc, "[control] socket") : 0;
}

static int load(struct loader *l, struct err *err)
{
    int rc = config_new(&l->c, err);

    if (rc == 0)
        rc = find_file(l, err);
    if (rc == 0)
        rc = add_files(l, err);
    if (rc == 0)
        rc = apply_overrides(l, err);
    if (rc == 0)
        rc = config_complete(l->c, l->file.data, err);
    return rc < 0 ? rc : settle_paths(l->c, err);
}

int config_load(const struct config_request *req, struct config **out, struct err *err)
{
    struct loader l = {.req = req};
    int rc = load(&l, err);

    if (rc == 0)
        *out = take_ptr(l.c);
    config_free(l.c);
    buf_free(&l.file);
    buf_free(&l.env_file);
    return rc;
}

int config_export_environment(const struct config *c, struct err *err)
{
    for (size_t i = 0; i < c->environment.count; i++)
        if (setenv(c->environment.items[i].key, c->environment.items[i].value, 0) < 0)
            return no_memory(err);
    return 0;
}
