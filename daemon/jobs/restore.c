#include "jobs/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "jobs/restore_internal.h"

enum { PROBLEMS_SHOWN = 20 };

struct restore {
    const struct config *config;
    const struct restore_request *q;
    struct connection connection;
    char *path, *partial; /* `path` NULL: of a drill, the file goes again */
    char *directory;      /* of a drill without a place of its own; removed at the end */
    struct kept_schema kept;
    struct rebuild *rebuild;
    bool resumed;
    struct restore_counts counts;
    struct rebuild_check check;
    json_t *problems, *unmade, *compared;
    struct err *err;
};

/* --- the file --------------------------------------------------------------------------------- */

static bool exists(const char *path, const char *suffix, off_t *size)
{
    _cleanup_free_ char *name = NULL;
    struct stat st;

    if (asprintf(&name, "%s%s", path, suffix) < 0) {
        name = NULL;
        return false;
    }
    bool there = lstat(name, &st) == 0;
    *size = there ? st.st_size : 0;
    return there;
}

/* What SQLite keeps beside a database would be taken for the new one's. */
static int check_beside(struct restore *x)
{
    static const char *const suffixes[] = {"-wal", "-journal"};
    off_t size;

    for (size_t i = 0; i < 2; i++)
        if (exists(x->path, suffixes[i], &size) && size > 0)
            return err_set(x->err, -EEXIST,
                           "%s%s is there: %s is in use, or was not closed; stop what uses it (or "
                           "open it once with the sqlite3 program), then try again",
                           x->path, suffixes[i], x->path);
    return 0;
}

static int check_place(struct restore *x)
{
    off_t size;

    if (!x->path)
        return 0;
    if (!x->q->force && exists(x->path, "", &size))
        return err_set(x->err, -EEXIST,
                       "%s exists; name another file, or say --force to have it replaced once the "
                       "new one is whole",
                       x->path);
    int rc = check_beside(x);
    if (rc < 0)
        return rc;
    _cleanup_free_ char *dir = strdup(x->path);
    if (!dir)
        return err_set(x->err, -ENOMEM, "out of memory");
    char *slash = strrchr(dir, '/');
    if (slash)
        *slash = '\0';
    const char *where = !slash ? "." : *dir ? dir : "/";
    if (access(where, W_OK | X_OK) < 0)
        return err_set(x->err, -errno, "%s: nothing can be written there: %s", where,
                       strerror(errno));
    return 0;
}

static int place_of_drill(struct restore *x)
{
    const char *tmp = getenv("TMPDIR");

    if (x->q->to)
        return asprintf(&x->partial, "%s.drill", x->q->to) < 0 ? -ENOMEM : 0;
    if (asprintf(&x->directory, "%s/syncd-drill-XXXXXX", tmp && *tmp ? tmp : "/var/tmp") < 0) {
        x->directory = NULL;
        return -ENOMEM;
    }
    if (!mkdtemp(x->directory)) {
        int rc = err_set(x->err, -errno, "no directory can be made in %s: %s; name one with TMPDIR",
                         tmp && *tmp ? tmp : "/var/tmp", strerror(errno));
        free(take_ptr(x->directory));
        return rc;
    }
    return asprintf(&x->partial, "%s/drill.db", x->directory) < 0 ? -ENOMEM : 0;
}

static int settle_place(struct restore *x)
{
    int rc = 0;

    if (x->q->drill)
        rc = place_of_drill(x);
    else if (!(x->path = strdup(x->q->to)) || asprintf(&x->partial, "%s.partial", x->path) < 0)
        rc = -ENOMEM;
    if (rc == -ENOMEM)
        return err_set(x->err, rc, "out of memory");
    return rc < 0 ? rc : check_place(x);
}

static void remove_drill(struct restore *x)
{
    static const char *const suffixes[] = {"", "-journal", "-wal", "-shm"};

    for (size_t i = 0; x->q->drill && x->partial && i < 4; i++) {
        _cleanup_free_ char *name = NULL;
        if (asprintf(&name, "%s%s", x->partial, suffixes[i]) >= 0)
            unlink(name);
    }
    if (x->directory)
        rmdir(x->directory);
}

/* What is replaced gives its owner and mode. */
static void take_owner(const char *from, const char *to)
{
    struct stat st;

    if (stat(from, &st) < 0)
        return;
    if (chown(to, st.st_uid, st.st_gid) == 0 || geteuid() == st.st_uid)
        chmod(to, st.st_mode & 07777);
}

static int move_there(struct restore *x)
{
    _cleanup_free_ char *shm = NULL;

    int rc = check_beside(x); /* again: reading took its time */
    if (rc < 0)
        return rc;
    if (!x->q->force && access(x->path, F_OK) == 0)
        return err_set(x->err, -EEXIST, "%s is there by now; the restored database is %s", x->path,
                       x->partial);
    take_owner(x->path, x->partial);
    if (rename(x->partial, x->path) < 0)
        return err_set(x->err, -errno, "%s cannot be moved to %s: %s", x->partial, x->path,
                       strerror(errno));
    if (asprintf(&shm, "%s-shm", x->path) >= 0)
        unlink(shm);
    else
        shm = NULL;
    _cleanup_free_ char *dir = strdup(x->path);
    char *slash = dir ? strrchr(dir, '/') : NULL;
    if (slash)
        slash[slash == dir] = '\0';
    _cleanup_close_ int fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return err_set(x->err, -errno, "the directory of %s cannot be made durable: %s", x->path,
                       strerror(errno));
    return 0;
}

/* --- the report ------------------------------------------------------------------------------- */

/* Names may hold anything. */
static json_t *text(const char *s)
{
    json_t *j = json_string(s);

    if (j)
        return j;
    _cleanup_buf_ struct buf b = {0};
    json_append_string_lossy(&b, s, strlen(s));
    return buf_ok(&b) ? json_loads(b.data, JSON_DECODE_ANY, NULL) : json_null();
}

static void add_problem(void *arg, const char *table, const char *key, const char *reason,
                        bool altered)
{
    json_array_append_new(arg, json_pack("{s:o, s:o, s:s, s:o}", "table", text(table), "key",
                                         text(key), "kind", altered ? "altered" : "failed",
                                         "reason", text(reason)));
}

static void add_unmade(void *arg, const char *sentence)
{
    json_array_append_new(arg, text(sentence));
}

static json_t *tables_json(const struct restore *x, int64_t *bad)
{
    json_t *list = json_array();

    for (size_t i = 0; i < rebuild_table_count(x->rebuild); i++) {
        const struct rebuild_table *t = rebuild_table(x->rebuild, i);
        json_t *o = json_object();
        json_object_set_new(o, "table", text(t->name));
        json_object_set_new(o, "target", t->plan ? text(t->plan->target) : json_null());
        json_object_set_new(o, "restored", json_boolean(t->wanted));
        json_object_set_new(o, "rows", json_integer(t->rows));
        json_object_set_new(o, "failed", json_integer(t->failed));
        json_object_set_new(o, "altered", json_integer(t->altered));
        json_object_set_new(o, "reason", t->reason ? text(t->reason) : json_null());
        json_array_append_new(list, o);
        *bad += t->failed + t->altered;
    }
    return list;
}

static json_t *make_report(const struct restore *x)
{
    json_t *o = json_object();
    int64_t bad = 0;
    json_t *tables = tables_json(x, &bad);
    const struct schema_dump *d = x->kept.dump;
    bool clean = bad == 0 && x->check.unmade == 0 && x->check.missing == 0 &&
                 strcmp(x->check.integrity, "ok") == 0 &&
                 (!x->compared || json_is_true(json_object_get(x->compared, "equal")));

    json_object_set_new(o, "clean", json_boolean(clean));
    json_object_set_new(o, "file", x->path ? text(x->path) : json_null());
    json_object_set_new(o, "database_id", text(x->kept.id));
    json_object_set_new(o, "database", text(d->database));
    json_object_set_new(o, "host", text(d->host));
    json_object_set_new(o, "schema_version", text(x->kept.version));
    json_object_set_new(o, "schema_kept", text(x->kept.at));
    json_object_set_new(o, "resumed", json_boolean(x->resumed));
    json_object_set_new(o, "tables", tables);
    json_object_set_new(o, "items", json_integer(x->counts.items));
    json_object_set_new(o, "foreign", json_integer(x->counts.foreign));
    json_object_set_new(o, "read_units", json_real(x->counts.units));
    json_object_set(o, "problems", x->problems);
    json_object_set(o, "unmade", x->unmade);
    json_object_set_new(o, "integrity", text(x->check.integrity));
    json_object_set_new(o, "foreign_keys", json_integer(x->check.foreign_keys));
    json_object_set_new(o, "missing", json_integer(x->check.missing));
    json_object_set(o, "compared", x->compared ? x->compared : json_null());
    return o;
}

/* --- the job ---------------------------------------------------------------------------------- */

static void say(const struct restore *x, const char *sentence)
{
    if (x->q->ui)
        x->q->ui->say(x->q->ui->arg, sentence);
}

static void say_loss(void *arg, const char *sentence)
{
    say(arg, sentence);
}

static void say_what(struct restore *x)
{
    const struct schema_dump *d = x->kept.dump;
    struct err line;

    err_set(&line, 0, "database %s (%s on %s), its schema as of %s", x->kept.id, d->database,
            d->host, x->kept.at);
    say(x, line.text);
    if (x->resumed) {
        err_set(&line, 0,
                "%s was begun before and goes on; rows that have changed since are as they are now "
                "or as they were then",
                x->partial);
        say(x, line.text);
    }
    rebuild_losses(x->rebuild, say_loss, x);
}

static int find(struct restore *x)
{
    const char *meta = x->q->meta_table ? x->q->meta_table : x->config->meta_table;
    char local[64] = "";

    if (!x->q->database_id && x->q->live)
        restore_local_id(x->q->live, local, sizeof local);
    return restore_find(&x->connection, meta, x->q->database_id, local, &x->kept, x->err);
}

static int take_up(struct restore *x)
{
    /* What a drill that was killed had read says nothing of what is in DynamoDB by now. */
    const struct rebuild_options o = {.path = x->partial,
                                      .anew = x->q->drill,
                                      .dump = x->kept.dump,
                                      .version = x->kept.version,
                                      .tables = x->q->tables,
                                      .table_count = x->q->table_count};

    return rebuild_open(&o, &x->rebuild, &x->resumed, x->err);
}

static int read_items(struct restore *x)
{
    const char *target;
    int64_t total = 0;
    int rc = 0;

    for (size_t i = 0; (target = rebuild_target(x->rebuild, i)); i++)
        total += restore_count(&x->connection, target);
    for (size_t i = 0; x->resumed && i < rebuild_table_count(x->rebuild); i++) {
        const struct rebuild_table *t = rebuild_table(x->rebuild, i);
        x->counts.items += t->rows + t->failed;
    }
    for (size_t i = 0; rc == 0 && (target = rebuild_target(x->rebuild, i)); i++)
        rc = restore_scan(&x->connection, x->rebuild, target, x->q, total, &x->counts, x->err);
    return rc;
}

static bool is_sound(const struct restore *x)
{
    return x->check.missing == 0 && strcmp(x->check.integrity, "ok") == 0;
}

static int finish(struct restore *x)
{
    int rc = rebuild_problems(x->rebuild, PROBLEMS_SHOWN, add_problem, x->problems, x->err);

    if (rc == 0)
        rc = rebuild_finish(x->rebuild, &x->check, add_unmade, x->unmade, x->err);
    if (rc == 0 && x->q->drill && x->q->live)
        rc = restore_compare(&x->connection, x->rebuild, x->partial, x->q->live, &x->compared,
                             x->err);
    if (rc == 0 && x->path && is_sound(x))
        rc = move_there(x);
    return rc;
}

static int run(struct restore *x)
{
    int rc = find(x);

    if (rc == 0)
        rc = take_up(x);
    if (rc < 0)
        return rc;
    say_what(x);
    rc = read_items(x);
    return rc == 0 ? finish(x) : rc;
}

int job_restore(const struct config *c, const struct restore_request *q, json_t **report,
                struct err *err)
{
    struct restore x = {
        .config = c, .q = q, .problems = json_array(), .unmade = json_array(), .err = err};
    int rc = settle_place(&x);

    if (rc == 0 && (rc = connection_open(&x.connection, c, err)) == 0) {
        rc = run(&x);
        connection_close(&x.connection);
    }
    if (rc == 0 && !(*report = make_report(&x)))
        rc = err_set(err, -ENOMEM, "out of memory");
    rebuild_close(x.rebuild);
    if (rc != -EBUSY || x.directory) /* else it is another's */
        remove_drill(&x);
    schema_dump_free(x.kept.dump);
    json_decref(x.problems);
    json_decref(x.unmade);
    json_decref(x.compared);
    free(x.path);
    free(x.partial);
    free(x.directory);
    return rc;
}
