#include "jobs/own_daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/lockfile.h"
#include "jobs/owner.h"

#define LOCK_PATIENCE (20 * USEC_PER_SEC) /* a daemon that stops takes ten at most */
#define STOP_PATIENCE (20 * USEC_PER_SEC)
#define LOOK_EVERY    (20 * USEC_PER_MSEC)
#define INSTALLED     SYNCD_SYSCONFDIR "/syncd/"
#define STATE_HOME    "/var/lib/syncd"
enum { MAX_ARGUMENTS = 32, TAIL_BYTES = 4096 };

/* --- where the state is ----------------------------------------------------------------------- */

static bool is_beside(const struct config *c)
{
    _cleanup_buf_ struct buf beside = {0};
    const char *slash = strrchr(c->database, '/');
    const char *base = slash ? slash + 1 : c->database;

    buf_append(&beside, c->database, (size_t)(base - c->database));
    buf_printf(&beside, ".%s-syncd.db", base);
    return buf_ok(&beside) && strcmp(beside.data, c->state_path) == 0;
}

/* As systemd makes it (StateDirectory=), for the database's owner. */
static int make_directory(const struct config *c, const char *path, struct err *err)
{
    struct stat st, database;

    if (stat(path, &st) == 0)
        return 0;
    if (stat(c->database, &database) < 0)
        return err_set(err, -errno, "database %s: %s", c->database, strerror(errno));
    if (geteuid() != 0)
        return err_set(err, -EACCES,
                       "the service will keep its state in %s, which is not there yet: run this as "
                       "root (sudo), which makes it and then works as the database's owner",
                       path);
    if ((mkdir(STATE_HOME, 0755) < 0 && errno != EEXIST) || mkdir(path, 0750) < 0 ||
        chown(path, database.st_uid, owner_group(&database)) < 0)
        return err_set(err, -errno, "%s cannot be made: %s", path, strerror(errno));
    return 0;
}

int own_daemon_state(const struct config *c, bool make, struct buf *path, struct err *err)
{
    _cleanup_buf_ struct buf directory = {0};
    bool unit = strncmp(c->file, INSTALLED, sizeof INSTALLED - 1) == 0 && is_beside(c) &&
                access(c->state_path, F_OK) < 0 && access("/run/systemd/system", F_OK) == 0;

    buf_clear(path);
    if (unit)
        buf_printf(path, STATE_HOME "/%s/%s.db", c->name, c->name);
    else
        buf_puts(path, c->state_path);
    buf_printf(&directory, STATE_HOME "/%s", c->name);
    if (!buf_ok(path) || !buf_ok(&directory))
        return err_set(err, -ENOMEM, "out of memory");
    return unit && make ? make_directory(c, directory.data, err) : 0;
}

/* --- start ------------------------------------------------------------------------------------ */

/* The one that lies beside us: built together, or where `make install` puts it. */
static int find_program(struct buf *out, struct err *err)
{
    static const char *const places[] = {"syncd", "../sbin/syncd", "../bin/syncd"};
    _cleanup_free_ char *self = realpath("/proc/self/exe", NULL);
    const char *directory = self ? dirname(self) : "";

    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        buf_clear(out);
        buf_printf(out, "%s/%s", directory, places[i]);
        if (buf_ok(out) && access(out->data, X_OK) == 0)
            return 0;
    }
    return err_set(err, -ENOENT, "there is no program syncd beside %s/syncctl: install it",
                   directory);
}

/* The locks that a daemon holds: on its state file, and on the database (mirror_lock_database()).
 */
static int lock_paths(const struct config *c, const char *state, struct buf paths[2],
                      struct err *err)
{
    _cleanup_free_ char *real = realpath(c->database, NULL);
    const char *slash = real ? strrchr(real, '/') : NULL;

    if (!slash)
        return err_set(err, -errno, "database %s: %s", c->database, strerror(errno));
    buf_printf(&paths[0], "%s.lock", state);
    buf_printf(&paths[1], "%.*s/.%s-syncd.lock", (int)(slash - real), real, slash + 1);
    return buf_ok(&paths[0]) && buf_ok(&paths[1]) ? 0 : err_set(err, -ENOMEM, "out of memory");
}

/* Both at a time: a daemon that stops lets go of one after the other. */
static int try_locks(const struct buf paths[2], const char *state, const char *database,
                     struct err *err)
{
    _cleanup_close_ int first = -1;
    _cleanup_close_ int second = -1;
    int rc = lockfile_take(paths[0].data, state, &first, err);

    return rc < 0 ? rc : lockfile_take(paths[1].data, database, &second, err);
}

/* Other jobs stand back from here on, so that none of them is taken for a daemon. */
static int take_turn(struct own_daemon *d, const char *state, usec by, struct err *err)
{
    _cleanup_buf_ struct buf path = {0};
    int rc;

    buf_printf(&path, "%s.job", state);
    if (!buf_ok(&path))
        return err_set(err, -ENOMEM, "out of memory");
    while ((rc = lockfile_take(path.data, state, &d->lock, err)) == -EBUSY &&
           clock_monotonic() < by)
        usleep((useconds_t)LOOK_EVERY);
    return rc;
}

static int wait_for_locks(struct own_daemon *d, const struct config *c, const char *state,
                          struct err *err)
{
    struct buf paths[2] = {{0}, {0}};
    usec by = clock_monotonic() + LOCK_PATIENCE;
    int rc = take_turn(d, state, by, err);

    if (rc < 0)
        return rc;
    rc = lock_paths(c, state, paths, err);
    while (rc == 0 && (rc = try_locks(paths, state, c->database, err)) == -EBUSY &&
           clock_monotonic() < by) {
        usleep((useconds_t)LOOK_EVERY);
        rc = 0;
    }
    if (rc == -EBUSY)
        err_prefix(err, rc, "no daemon answers on the configuration's socket (see --socket)");
    buf_free(&paths[0]);
    buf_free(&paths[1]);
    return rc;
}

struct arguments {
    const char *list[MAX_ARGUMENTS + 1];
    size_t count;
    struct buf texts[MAX_ARGUMENTS];
    size_t text_count;
};

static void add_setting(struct arguments *a, const char *key, const char *value)
{
    struct buf *text = &a->texts[a->text_count++];

    buf_printf(text, "%s=%s", key, value);
    a->list[a->count++] = "--set";
    a->list[a->count++] = text->data;
}

/* Everything that the command line may have said stands in the loaded configuration by now. */
static int make_arguments(struct arguments *a, const struct own_daemon *d, const struct config *c,
                          const struct own_daemon_options *o, const char *program)
{
    char number[24];

    a->list[a->count++] = program;
    if (*c->file) {
        a->list[a->count++] = "--config";
        a->list[a->count++] = c->file;
    }
    snprintf(number, sizeof number, "%" PRId64, o->batch_size);
    static const char *const orphans[] = {"report", "skip", "dead-letter"};

    add_setting(a, "source.database", c->database);
    add_setting(a, "source.orphans", orphans[c->orphans]);
    add_setting(a, "dynamodb.region", c->region);
    add_setting(a, "dynamodb.profile", c->profile);
    add_setting(a, "dynamodb.endpoint_url", c->endpoint_url);
    add_setting(a, "dynamodb.batch_size", number);
    add_setting(a, "state.path", o->state_path);
    add_setting(a, "control.socket", d->socket.data);
    add_setting(a, "control.listen", "");
    add_setting(a, "control.heartbeat_url", "");
    add_setting(a, "log.format", "text");
    a->list[a->count] = NULL;
    for (size_t i = 0; i < a->text_count; i++)
        if (!buf_ok(&a->texts[i]))
            return -ENOMEM;
    return 0;
}

/* In the child, after the fork. */
static void become(const struct own_daemon *d, char *const *argv, pid_t parent, bool verbose)
{
    static const char *const gone[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC",     "WATCHDOG_PID",
                                       "LISTEN_FDS",    "LISTEN_PID",        "LISTEN_FDNAMES",
                                       "INVOCATION_ID", "RUNTIME_DIRECTORY", "STATE_DIRECTORY"};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct sigaction usual = {.sa_handler = SIG_DFL};

    /* Not the terminal's group: what a Ctrl-C means is ours to decide. */
    setpgid(0, 0);
    sigaction(SIGINT, &usual, NULL);
    sigaction(SIGTERM, &usual, NULL);
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
        unsetenv(gone[i]);
    dup2(null, STDIN_FILENO);
    dup2(verbose ? STDERR_FILENO : d->log, STDOUT_FILENO);
    dup2(verbose ? STDERR_FILENO : d->log, STDERR_FILENO);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() == parent)
        execv(argv[0], argv);
    fprintf(stderr, "syncd: %s cannot be started: %s\n", argv[0], strerror(errno));
    _exit(3);
}

static int make_place(struct own_daemon *d, struct err *err)
{
    char directory[] = "/tmp/syncd-job-XXXXXX";

    if (!mkdtemp(directory))
        return err_set(err, -errno, "no directory for a socket can be made in /tmp: %s",
                       strerror(errno));
    buf_puts(&d->directory, directory);
    buf_printf(&d->socket, "%s/s", directory);
    d->log = memfd_create("syncd-log", MFD_CLOEXEC);
    if (d->log < 0)
        return err_set(err, -errno, "no room for a log: %s", strerror(errno));
    if (!buf_ok(&d->directory) || !buf_ok(&d->socket))
        return err_set(err, -ENOMEM, "out of memory");
    /* Both ends write at the end of it. */
    fcntl(d->log, F_SETFL, O_APPEND);
    return 0;
}

int own_daemon_start(struct own_daemon *d, const struct config *c,
                     const struct own_daemon_options *o, struct err *err)
{
    _cleanup_buf_ struct buf program = {0};
    struct arguments a = {0};

    *d = (struct own_daemon){.log = -1, .lock = -1};
    int rc = find_program(&program, err);
    if (rc == 0)
        rc = wait_for_locks(d, c, o->state_path, err);
    if (rc == 0)
        rc = make_place(d, err);
    if (rc < 0)
        return rc;
    rc = make_arguments(&a, d, c, o, program.data);
    pid_t parent = getpid(), pid = 0;
    if (rc == 0) {
        fflush(NULL);
        pid = fork();
        if (pid == 0)
            become(d, (char *const *)a.list, parent, o->verbose);
    }
    for (size_t i = 0; i < a.text_count; i++)
        buf_free(&a.texts[i]);
    if (rc < 0 || pid < 0)
        return err_set(err, rc < 0 ? rc : -errno, "cannot start a process: %s",
                       strerror(rc < 0 ? -rc : errno));
    d->pid = pid;
    return 0;
}

/* --- its end ---------------------------------------------------------------------------------- */

/* The last line that is no more than news: what a daemon cannot go on for stands there. */
static int last_words(const struct own_daemon *d, int status, struct err *err)
{
    char tail[TAIL_BYTES + 1];
    off_t end = d->log >= 0 ? lseek(d->log, 0, SEEK_END) : 0;
    off_t from = end > TAIL_BYTES ? end - TAIL_BYTES : 0;
    ssize_t n = end > 0 ? pread(d->log, tail, TAIL_BYTES, from) : 0;
    int code = WIFEXITED(status) && WEXITSTATUS(status) == 2 ? -EINVAL : -EIO;

    tail[n > 0 ? n : 0] = '\0';
    while (n > 0 && tail[n - 1] == '\n')
        tail[--n] = '\0';
    char *line = strrchr(tail, '\n');
    line = line ? line + 1 : tail;
    if (strncmp(line, "syncd: ", 7) == 0)
        line += 7;
    if (*line)
        return err_set(err, code, "%s", line);
    if (WIFSIGNALED(status))
        return err_set(err, code, "syncd, which did the work, was ended by signal %d",
                       WTERMSIG(status));
    return err_set(err, code, "syncd, which did the work, ended with exit code %d",
                   WEXITSTATUS(status));
}

int own_daemon_look(struct own_daemon *d, struct err *err)
{
    int status;

    if (!d->pid || waitpid(d->pid, &status, WNOHANG) != d->pid)
        return 0;
    d->pid = 0;
    return last_words(d, status, err);
}

static void clear_place(struct own_daemon *d)
{
    if (d->socket.len)
        unlink(d->socket.data);
    if (d->directory.len)
        rmdir(d->directory.data);
    if (d->log >= 0)
        close(d->log);
    if (d->lock >= 0)
        close(d->lock);
    buf_free(&d->directory);
    buf_free(&d->socket);
    d->log = d->lock = -1;
}

int own_daemon_stop(struct own_daemon *d, struct err *err)
{
    usec by = clock_monotonic() + STOP_PATIENCE;
    int status = 0, rc = 0;

    if (!d->pid) {
        clear_place(d);
        return 0;
    }
    kill(d->pid, SIGTERM);
    while (waitpid(d->pid, &status, WNOHANG) == 0) {
        if (clock_monotonic() > by)
            kill(d->pid, SIGKILL);
        usleep((useconds_t)LOOK_EVERY);
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        rc = last_words(d, status, err);
    d->pid = 0;
    clear_place(d);
    return rc;
}
