/* Records in, transaction by transaction. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "jobs/import_internal.h"

/* How long the write lock is held: the application waits for it. Where others write, a pause as
 * long follows, so that one who polls for the lock (SQLite's busy handler does) meets it free. */
#define HOLD_ALONE  (50 * USEC_PER_MSEC)
#define HOLD_SHARED (5 * USEC_PER_MSEC)
#define SHARED_FOR  (2 * USEC_PER_SEC) /* since somebody was met */
/* The -wal is emptied when it has grown by so much: nobody else may do so for hours. */
#define CHECKPOINT_WAIT (100 * USEC_PER_MSEC)
enum { CLOCK_EVERY = 8, WAL_PAGES = 4096 };

static int problem(struct import_run *run, int rc, const char *doing, struct err *err)
{
    return source_problem_of(run->source, rc, doing, err) == SOURCE_FULL ? -ENOSPC : -EIO;
}

struct target *import_run_target(const struct import_run *run, const char *table)
{
    for (size_t i = 0; i < run->target_count; i++)
        if (strcasecmp(run->targets[i]->info->name, table) == 0)
            return run->targets[i];
    return NULL;
}

/* --- transactions ----------------------------------------------------------------------------- */

static bool shared(const struct import_run *run)
{
    return run->mirrored || (run->met && run->began - run->met < SHARED_FOR);
}

static int begin(struct import_run *run, struct err *err)
{
    int64_t version = run->version;

    if (run->writing)
        return 0;
    run->source->waited = 0;
    int rc = source_exec(run->source, "BEGIN IMMEDIATE");
    if (rc == SQLITE_OK)
        rc = source_data_version(run->source, &version);
    if (rc != SQLITE_OK)
        return problem(run, rc, "importing into it", err);
    run->began = clock_monotonic();
    /* Somebody has written since, or was writing. */
    if (version != run->version || run->source->waited > 0)
        run->met = run->began;
    run->version = version;
    run->writing = true;
    run->rows = 0;
    return 0;
}

/* FULL takes the lock of writers for the time that it copies. SQLite before 3.51.3 may damage a
 * database when a checkpoint meets a writer that begins the -wal anew (sqlite.org/wal.html, "The
 * WAL-Reset Bug"), which is kept out by that. Who reads for long is not waited for. */
static void checkpoint(struct import_run *run)
{
    struct source *s = run->source;
    usec patience = s->patience;
    int frames = 0, copied = 0;

    if (run->wal_pages < run->wal_limit)
        return;
    s->patience = CHECKPOINT_WAIT;
    int rc = sqlite3_wal_checkpoint_v2(s->db, "main", SQLITE_CHECKPOINT_FULL, &frames, &copied);
    s->patience = patience;
    /* All of it copied, the next transaction begins it anew; else it grows on. */
    run->wal_limit = (rc == SQLITE_OK && copied == frames ? 0 : run->wal_pages) + WAL_PAGES;
}

/* Called by SQLite behind each commit, with what the -wal holds. */
static int count_pages(void *arg, sqlite3 *db, const char *name, int pages)
{
    struct import_run *run = arg;

    (void)db;
    (void)name;
    run->wal_pages = pages;
    return SQLITE_OK;
}

static int commit(struct import_run *run, const struct reader_place *at, struct err *err)
{
    if (!run->writing)
        return 0;
    if (sqlite3_get_autocommit(run->source->db)) { /* a trigger has rolled it back */
        run->writing = false;
        int rc = begin(run, err);
        if (rc < 0)
            return rc;
    }
    run->place.at = *at;
    json_decref(run->place.counts);
    run->place.counts = import_counts(run);
    if (!run->place.counts)
        return err_set(err, -ENOMEM, "out of memory");
    int rc = import_state_commit(run->state, &run->place, err);
    run->rows = 0;
    run->began = run->q->dry_run ? clock_monotonic() : run->began;
    if (rc < 0 || run->q->dry_run) /* one transaction, rolled back at the end */
        return rc;
    int done = source_exec(run->source, "COMMIT");
    if (done != SQLITE_OK)
        return problem(run, done, "committing what was imported", err);
    run->writing = false;
    usec held = clock_monotonic() - run->began;
    checkpoint(run);
    if (shared(run))
        usleep((useconds_t)(held < HOLD_ALONE ? held : HOLD_ALONE));
    return 0;
}

static int check_stop(const struct import_run *run, struct err *err)
{
    const struct import_ui *ui = run->q->ui;

    return ui->stop(ui->arg) ? err_set(err, -EINTR, "interrupted") : 0;
}

static bool full(const struct import_run *run)
{
    usec hold = shared(run) ? HOLD_SHARED : HOLD_ALONE;

    return run->rows >= run->q->batch ||
           (run->rows % CLOCK_EVERY == 0 && clock_monotonic() - run->began >= hold);
}

/* --- one record ------------------------------------------------------------------------------- */

static int refuse(struct import_run *run, const char *file, int64_t line, struct target *t,
                  const char *reason, struct err *err)
{
    const struct import_refusal r = {
        .file = file, .line = line, .table = t ? t->info->name : "", .reason = reason};
    const struct import_ui *ui = run->q->ui;
    struct err sentence;

    if (ui->refused) {
        err_set(&sentence, 0, "%s:%lld: %s", file, (long long)line, reason);
        ui->refused(ui->arg, sentence.text);
    }
    return import_state_refuse(run->state, &r, err);
}

static int put_off(struct import_run *run, const struct target_record *r, const char *file,
                   int64_t line, struct target *t, const char *reason, struct err *err)
{
    const struct import_orphan o = {.file = file,
                                    .line = line,
                                    .table = t->info->name,
                                    .dialect = (int)r->dialect,
                                    .text = r->text,
                                    .len = r->len,
                                    .key = r->key,
                                    .key_len = r->key_len,
                                    .reason = reason};

    run->waiting = true;
    return import_state_put_off(run->state, &o, err);
}

static void count(struct target *t, enum import_outcome outcome)
{
    t->counts.imported += outcome == ROW_IMPORTED;
    t->counts.unchanged += outcome == ROW_UNCHANGED;
    t->counts.skipped += outcome == ROW_SKIPPED;
    t->counts.refused += outcome == ROW_REFUSED || outcome == ROW_ORPHAN;
}

/* The record's text taken apart and put in. */
static int put(struct target *t, struct record *fields, struct target_record *r,
               enum import_outcome *out, struct err *why)
{
    int rc = record_parse(fields, r->text, r->len, why);

    *out = ROW_REFUSED;
    r->fields = fields;
    return rc == -EINVAL ? 0 : rc < 0 ? rc : target_put(t, r, out, why);
}

static int take_record(struct import_run *run, struct import_file *file, struct target *t,
                       struct record *fields, const struct split_record *one, bool too_long,
                       enum dialect dialect, struct err *err)
{
    struct target_record r = {.text = one->text,
                              .len = one->len,
                              .key = one->key,
                              .key_len = one->key_len,
                              .dialect = dialect};
    enum import_outcome outcome = ROW_REFUSED;
    struct err why;

    t->counts.read++;
    run->records++;
    run->rows++;
    if (too_long)
        err_set(&why, 0, "the record is longer than %d MiB", READER_LONGEST / 1024 / 1024);
    int rc = too_long ? 0 : put(t, fields, &r, &outcome, &why);
    if (rc < 0) {
        *err = why;
        return rc;
    }
    if (outcome == ROW_ORPHAN && (t->cyclic || run->waiting))
        return put_off(run, &r, file->path, one->line, t, why.text, err);
    count(t, outcome);
    return outcome == ROW_REFUSED || outcome == ROW_ORPHAN
               ? refuse(run, file->path, one->line, t, why.text, err)
               : 0;
}

/* --- files ------------------------------------------------------------------------------------ */

static void tell(struct import_run *run, const struct reader *r)
{
    const struct import_ui *ui = run->q->ui;

    ui->progress(ui->arg, run->records, run->bytes_before + (r ? reader_position(r) : 0),
                 run->bytes_total);
}

/* The sentence without the file's name, which is told beside it. */
static const char *unnamed(const char *why, const char *path)
{
    size_t n = strlen(path);

    if (strncmp(why, path, n) != 0)
        return why;
    return why + n + strspn(why + n, ": ");
}

static int broken(struct import_run *run, const struct import_file *file, struct target *t,
                  const char *why, bool begun, struct err *err)
{
    struct err reason;

    err_set(&reason, 0, "%s%s", unnamed(why, file->path),
            begun ? "; what is behind that was not read" : "");
    json_array_append_new(run->broken, json_string(file->path));
    int rc = begin(run, err);
    return rc < 0 ? rc : refuse(run, file->path, 0, t, reason.text, err);
}

static int read_records(struct import_run *run, struct import_file *file, struct reader *r,
                        struct record *fields, struct err *err)
{
    struct target *t = import_run_target(run, file->table);
    struct reader_place at;
    struct split_record one;
    enum split_result result;
    struct err why;
    int rc = 0;

    if (!t)
        return err_set(err, -EINVAL, "%s has no table", file->path);
    while ((result = reader_next(r, &one, &why)) == SPLIT_RECORD || result == SPLIT_TOO_LONG) {
        if ((rc = begin(run, err)) < 0)
            return rc;
        rc = take_record(run, file, t, fields, &one, result == SPLIT_TOO_LONG,
                         reader_format(r)->dialect, err);
        if (rc < 0)
            return rc;
        if (!full(run))
            continue;
        tell(run, r);
        if (reader_place(r, &at) < 0)
            return err_set(err, -ENOMEM, "out of memory");
        if ((rc = commit(run, &at, err)) < 0 || (rc = check_stop(run, err)) < 0)
            return rc;
    }
    return result == SPLIT_END ? 0 : broken(run, file, t, why.text, true, err);
}

/* On where it was left, or from its beginning when it is another file now. 0 and *r, or none. */
static int open_file(struct import_run *run, struct import_file *file, bool resumed,
                     struct reader **r, struct err *err)
{
    struct target *t = import_run_target(run, file->table);
    struct err why;
    int rc = reader_open(file->path, run->q->format, r, &why);

    if (rc == 0 && resumed && run->place.at.offset) {
        rc = reader_go(*r, &run->place.at, &why);
        if (rc == 0) {
            err_set(&why, 0,
                    "%s has changed since: it is read from its beginning, and what is there "
                    "already is met again",
                    file->path);
            run->q->ui->say(run->q->ui->arg, why.text);
            reader_close(take_ptr(*r));
            rc = reader_open(file->path, run->q->format, r, &why);
        }
    }
    if (rc >= 0)
        return 0;
    reader_close(take_ptr(*r));
    return rc == -ENOMEM ? err_set(err, rc, "%s", why.text)
                         : broken(run, file, t, why.text, false, err);
}

static int import_file(struct import_run *run, size_t i, bool resumed, struct record *fields,
                       struct err *err)
{
    struct import_file *file = &run->files.items[i];
    struct reader *r = NULL;
    struct err sentence;
    int rc = open_file(run, file, resumed, &r, err);

    if (rc == 0 && r) {
        err_set(&sentence, 0, "%s: %s, into table \"%s\"", file->path,
                detect_describe(reader_format(r)), file->table);
        run->q->ui->say(run->q->ui->arg, sentence.text);
        rc = read_records(run, file, r, fields, err);
    }
    reader_close(r);
    run->bytes_before += file->size;
    tell(run, NULL);
    run->place.file = i + 1;
    /* The end of the file is a place as any other: the next one begins at its own beginning. */
    const struct reader_place beginning = {.line = 1, .first = true};
    return rc == 0 ? commit(run, &beginning, err) : rc;
}

/* --- records that were put off ---------------------------------------------------------------- */

static int settle(struct import_run *run, const struct import_orphan *o, struct target *t,
                  enum import_outcome outcome, const char *reason, struct err *err)
{
    int rc = 0;

    count(t, outcome);
    if (outcome == ROW_REFUSED || outcome == ROW_ORPHAN)
        rc = refuse(run, o->file, o->line, t, reason, err);
    return rc < 0 ? rc : import_state_settle(run->state, o->id, err);
}

/* Once through all of them. With `last` what still refers to nothing is refused. */
static int try_again(struct import_run *run, struct record *fields, bool last, bool *any,
                     struct err *err)
{
    const struct reader_place beginning = {.line = 1, .first = true};
    struct import_orphan o = {0};
    int rc;

    *any = false;
    while ((rc = import_state_orphan(run->state, o.id, &o, err)) == 1) {
        struct target *t = import_run_target(run, o.table);
        struct target_record r = {.text = o.text,
                                  .len = o.len,
                                  .key = o.key,
                                  .key_len = o.key_len,
                                  .dialect = (enum dialect)o.dialect};
        enum import_outcome outcome;
        struct err why;
        if ((rc = begin(run, err)) < 0)
            return rc;
        run->rows++;
        if (!t)
            return err_set(err, -EIO, "the import's state names an unknown table");
        if ((rc = put(t, fields, &r, &outcome, &why)) < 0) {
            *err = why;
            return rc;
        }
        if (outcome != ROW_ORPHAN || last) {
            *any = *any || outcome != ROW_REFUSED;
            rc = settle(run, &o, t, outcome, why.text, err);
        }
        if (rc == 0 && full(run) && (rc = commit(run, &beginning, err)) == 0)
            rc = check_stop(run, err);
        if (rc < 0)
            return rc;
    }
    return rc < 0 ? rc : commit(run, &beginning, err);
}

static int import_orphans(struct import_run *run, struct record *fields, struct err *err)
{
    bool any = run->waiting;
    int rc = 0;

    while (rc == 0 && any)
        rc = try_again(run, fields, false, &any, err);
    if (rc == 0 && run->waiting)
        rc = try_again(run, fields, true, &any, err);
    return rc;
}

int import_run(struct import_run *run, struct err *err)
{
    size_t first = run->place.file;
    bool resumed = run->place.at.offset > 0;
    struct record fields = {0};
    struct import_orphan o;
    int rc = import_state_orphan(run->state, 0, &o, err);

    run->wal_limit = WAL_PAGES;
    sqlite3_wal_hook(run->source->db, count_pages, run);
    run->waiting = rc == 1;
    rc = rc < 0 ? rc : 0;
    for (size_t i = 0; i < first && i < run->files.count; i++)
        run->bytes_before += run->files.items[i].size;
    for (size_t i = first; i < run->files.count && rc == 0; i++)
        rc = import_file(run, i, resumed && i == first, &fields, err);
    if (rc == 0)
        rc = import_orphans(run, &fields, err);
    record_free(&fields);
    return rc;
}
