#include "jobs/setup.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "config/ini.h"
#include "config/shown.h"
#include "jobs/files.h"
#include "jobs/owner.h"

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
#define UNIT_CHARACTERS NAME_CHARACTERS ":@\\"

void setup_unit_name(struct buf *out, const char *name)
{
    if (strcmp(name, "syncd") == 0)
        buf_lit(out, "syncd.service");
    else
        buf_printf(out, "syncd@%s.service", name);
}

/* systemd.exec(5): /home, /root and /run/user by ProtectHome=, the others by PrivateTmp=. */
bool setup_hides(const char *path)
{
    static const char *const hidden[] = {"/home", "/root", "/run/user", "/tmp", "/var/tmp"};

    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++) {
        size_t n = strlen(hidden[i]);
        if (strncmp(path, hidden[i], n) == 0 && (path[n] == '/' || path[n] == '\0'))
            return true;
    }
    return false;
}

static int check_request(const struct setup_request *r, struct err *err)
{
    struct shown text;

    if (!*r->name || *r->name == '.' || r->name[strspn(r->name, NAME_CHARACTERS)])
        return err_set(
            err, -EINVAL,
            "\"%s\" cannot name a configuration; take letters, digits, _ . and -, no dot "
            "first",
            shown(&text, r->name));
    if (!r->database || !*r->database)
        return err_set(err, -EINVAL, "say which database: setup %s --database PATH", r->name);
    for (const char *p = r->database; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return err_set(err, -EINVAL,
                           "the path \"%s\" holds a control character; rename the file",
                           shown(&text, r->database));
    if (r->credentials && (*r->credentials != '/' || strpbrk(r->credentials, "\n\r\t")))
        return err_set(err, -EINVAL,
                       "--credentials \"%s\" is not an absolute path; begin it with /",
                       shown(&text, r->credentials));
    if (r->application &&
        (!*r->application || r->application[strspn(r->application, UNIT_CHARACTERS)]))
        return err_set(err, -EINVAL, "\"%s\" is not the name of a unit, such as app.service",
                       shown(&text, r->application));
    return 0;
}

/* --- the database ----------------------------------------------------------------------------- */

static int find_directory(const char *database, struct setup *s, struct err *err)
{
    _cleanup_free_ char *here = *database == '/' ? NULL : realpath(".", NULL);
    struct stat st;

    if (*database != '/' && !here)
        return err_set(err, -errno, "where this runs cannot be found out: %s", strerror(errno));
    if (here)
        buf_printf(&s->database, "%s/%s", strcmp(here, "/") == 0 ? "" : here, database);
    else
        buf_puts(&s->database, database);
    /* Of the file itself, when it is there: a link may lead to another directory. */
    _cleanup_free_ char *real = realpath(database, NULL);
    if (!real) {
        const char *slash = strrchr(s->database.data ? s->database.data : "", '/');
        _cleanup_free_ char *dir =
            slash ? strndup(s->database.data, (size_t)(slash - s->database.data) + 1) : NULL;
        real = dir ? realpath(dir, NULL) : NULL;
        if (!real)
            return err_set(err, -ENOENT, "the directory of database %s cannot be found: %s",
                           database, strerror(errno));
        buf_puts(&s->directory, real);
    } else {
        if (stat(real, &st) < 0 || !S_ISREG(st.st_mode))
            return err_set(err, -EINVAL, "%s is not a file, so it is no SQLite database", database);
        buf_append(&s->directory, real, (size_t)(strrchr(real, '/') - real));
        if (!s->directory.len)
            buf_putc(&s->directory, '/');
    }
    if (!buf_ok(&s->database) || !buf_ok(&s->directory))
        return err_set(err, -ENOMEM, "out of memory");
    return strcmp(s->directory.data, "/") == 0
               ? err_set(err, -EINVAL,
                         "database %s stands in the root directory, all of which the service would "
                         "have to write to; move it into a directory of its own",
                         database)
               : 0;
}

static void take_user(struct setup *s, const struct passwd *pw, gid_t gid)
{
    const struct group *gr = getgrgid(gid);

    if (pw)
        buf_puts(&s->user, pw->pw_name);
    else
        buf_printf(&s->user, "%u", (unsigned)s->uid);
    if (gr)
        buf_puts(&s->group, gr->gr_name);
    else
        buf_printf(&s->group, "%u", (unsigned)gid);
    if (pw && pw->pw_dir && *pw->pw_dir == '/')
        buf_puts(&s->home, pw->pw_dir);
}

/* The daemon is to make -wal and -shm as the application does: as the owner of the database, in the
 * database's group. */
static int find_owner(const struct setup_request *r, struct setup *s, struct err *err)
{
    struct shown text;
    struct stat st;

    if (stat(r->database, &st) == 0) {
        s->uid = st.st_uid;
        take_user(s, getpwuid(st.st_uid), owner_group(&st));
        if (r->user && strcmp(r->user, s->user.data ? s->user.data : "") != 0)
            return err_set(err, -EINVAL,
                           "database %s belongs to %s, so the service must run as %s; leave --user "
                           "out, or give the file to %s",
                           r->database, s->user.data, s->user.data, shown(&text, r->user));
        return 0;
    }
    if (!r->user)
        return err_set(err, -ENOENT,
                       "database %s is not there (%s): let the application make it first, or say "
                       "whose it will be with --user",
                       r->database, strerror(errno));
    const struct passwd *pw = getpwnam(r->user);
    if (!pw)
        return err_set(err, -EINVAL, "there is no user %s", shown(&text, r->user));
    s->uid = pw->pw_uid;
    take_user(s, pw, pw->pw_gid);
    return 0;
}

/* --- the texts -------------------------------------------------------------------------------- */

static void append_setting(struct buf *out, const char *key, const char *value)
{
    buf_printf(out, "%s = ", key);
    ini_append_value(out, value);
    buf_putc(out, '\n');
}

static void write_config(const struct setup_request *r, struct setup *s)
{
    struct buf *b = &s->config;

    buf_lit(b, "# Written by syncctl setup. Every setting, explained: " SYNCD_SYSCONFDIR
               "/syncd/syncd.conf\n\n[source]\n");
    append_setting(b, "database", s->database.data);
    buf_lit(b, "\n[dynamodb]\n");
    if (r->region)
        append_setting(b, "region", r->region);
    else
        buf_lit(b,
                "# Else from the environment, the profile or the instance.\n#region = us-west-2\n");
    if (r->endpoint_url)
        append_setting(b, "endpoint_url", r->endpoint_url);
    if (r->profile)
        append_setting(b, "profile", r->profile);
    buf_lit(
        b, "# yes: make tables that are missing. Else: syncctl create-tables\n#create_tables = no\n"
           "\n[control]\n# Its members may ask the daemon how it is.\nsocket_group = " SERVICE_GROUP
           "\n");
}

/* systemd.syntax(7) and systemd.unit(5): words are divided by blanks, and may be quoted with C-like
 * escapes; % begins a specifier. In BindPaths= a colon divides source and destination. */
static void append_word(struct buf *out, const char *word, bool bind)
{
    bool quoted = strpbrk(word, " \t\"'\\;#") || (bind && strchr(word, ':'));

    if (quoted)
        buf_putc(out, '"');
    for (const char *p = word; *p; p++) {
        if (*p == '%')
            buf_putc(out, '%');
        if (*p == '"' || *p == '\\')
            buf_putc(out, '\\');
        if (*p == ':' && bind)
            buf_lit(out, "\\\\"); /* one is for the quotes, one for the colon */
        buf_putc(out, *p);
    }
    if (quoted)
        buf_putc(out, '"');
}

static void append_directive(struct buf *out, const char *key, const char *prefix, const char *word)
{
    buf_printf(out, "%s=%s", key, prefix);
    append_word(out, word, strncmp(key, "Bind", 4) == 0);
    buf_putc(out, '\n');
}

static void write_drop_in(const struct setup_request *r, struct setup *s)
{
    struct buf *b = &s->drop_in;

    buf_lit(
        b,
        "# Written by syncctl setup. What you want otherwise goes into a file of its own beside\n"
        "# this one: systemctl edit ");
    buf_append(b, s->unit.data, s->unit.len - strlen(".service"));
    buf_lit(b, "\n[Unit]\n");
    append_directive(b, "RequiresMountsFor", "", s->directory.data);
    if (s->application.len)
        buf_printf(
            b,
            "# Up before the application, so that nothing it writes goes unseen, and stopped\n"
            "# after it, so that its last change is sent.\nBefore=%s\n",
            s->application.data);
    buf_lit(
        b, "\n[Service]\n# The owner of the database, and its group: SQLite's -wal and -shm belong "
           "to whoever makes them.\n");
    buf_printf(b, "User=%s\nGroup=%s\n", s->user.data, s->group.data);
    append_directive(b, "ReadWritePaths", "", s->directory.data);
    if (setup_hides(s->directory.data)) {
        buf_lit(b, "# Of all homes and temporary files the service sees this directory alone.\n");
        append_directive(b, "BindPaths", "", s->directory.data);
    }
    if (r->credentials) {
        buf_lit(b, "# Read by systemd as root and handed to the daemon alone: chmod 0600.\n");
        append_directive(b, "LoadCredential", "aws-credentials:", r->credentials);
    }
    if (s->home.len && setup_hides(s->home.data)) {
        _cleanup_buf_ struct buf aws = {0};
        buf_printf(&aws, "%s/.aws", s->home.data);
        buf_lit(b, "# Profiles and keys of the owner, if there are any.\n");
        if (buf_ok(&aws))
            append_directive(b, "BindReadOnlyPaths", "-", aws.data);
    }
}

static int write_texts(const struct setup_request *r, struct setup *s, struct err *err)
{
    const char *root = r->root ? r->root : "";

    setup_unit_name(&s->unit, r->name);
    if (r->application) {
        buf_puts(&s->application, r->application);
        if (!strchr(r->application, '.'))
            buf_lit(&s->application, ".service");
    }
    write_config(r, s);
    write_drop_in(r, s);
    buf_printf(&s->config_path, "%s" SYNCD_SYSCONFDIR "/syncd/%s.conf", root, r->name);
    buf_printf(&s->drop_in_path, "%s/etc/systemd/system/%s.d/setup.conf", root,
               s->unit.data ? s->unit.data : "");
    bool ok = buf_ok(&s->unit) && buf_ok(&s->application) && buf_ok(&s->config) &&
              buf_ok(&s->drop_in) && buf_ok(&s->config_path) && buf_ok(&s->drop_in_path);
    return ok ? 0 : err_set(err, -ENOMEM, "out of memory");
}

int setup_plan(const struct setup_request *req, struct setup *out, struct err *err)
{
    int rc = check_request(req, err);

    if (rc == 0)
        rc = find_directory(req->database, out, err);
    if (rc == 0)
        rc = find_owner(req, out, err);
    if (rc == 0 && (!buf_ok(&out->user) || !buf_ok(&out->group) || !buf_ok(&out->home)))
        rc = err_set(err, -ENOMEM, "out of memory");
    return rc < 0 ? rc : write_texts(req, out, err);
}

void setup_free(struct setup *s)
{
    struct buf *all[] = {&s->unit,   &s->application, &s->database,    &s->directory,
                         &s->user,   &s->group,       &s->home,        &s->config_path,
                         &s->config, &s->drop_in,     &s->drop_in_path};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        buf_free(all[i]);
}

int setup_install(const struct setup *s, bool force, struct err *err)
{
    struct new_file files[] = {{.path = s->config_path.data, .text = &s->config, .mode = 0644},
                               {.path = s->drop_in_path.data, .text = &s->drop_in, .mode = 0644}};

    return files_install(files, 2, force, err);
}
