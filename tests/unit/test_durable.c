/* Which files are made durable: the sync calls of this program are noted, by the name of the file.
 */
#include "database_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>

#include "source/durable.h"

static char synced[400]; /* "app.db-wal dir", in order */
static int failing;      /* errno of each sync; 0: none */
static bool noting;

static int note(int fd)
{
    char link[64], path[300] = "";
    struct stat st;

    if (!noting)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    bool directory = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
    const char *slash = strrchr(path, '/');
    size_t at = strlen(synced);
    snprintf(synced + at, sizeof synced - at, "%s%s", at ? " " : "",
             directory ? "dir"
             : slash   ? slash + 1
                       : path);
    errno = failing;
    return failing ? -1 : 0;
}

int fdatasync(int fd)
{
    return note(fd);
}

int fsync(int fd)
{
    return note(fd);
}

static void syncs(struct durable *d, const char *path, bool wal, const char *want)
{
    synced[0] = '\0';
    noting = true;
    int rc = durable_sync(d, path, wal);
    noting = false;
    assert_int_equal(rc, -failing);
    assert_string_equal(synced, want);
}

static void the_wal_is_synced_and_followed(void **state)
{
    struct world *w = *state;
    struct durable d = DURABLE_INIT;
    char wal[160], aside[160];

    app(w, "CREATE TABLE t(id INTEGER PRIMARY KEY)");
    syncs(&d, w->path, true, "dir app.db-wal"); /* its name first, once */
    syncs(&d, w->path, true, "app.db-wal");
    failing = EIO;
    syncs(&d, w->path, true, "app.db-wal");
    failing = 0;

    /* Another one in its place; and none, when all of it is in the database. */
    snprintf(wal, sizeof wal, "%s-wal", w->path);
    snprintf(aside, sizeof aside, "%s/aside", w->dir);
    assert_int_equal(rename(wal, aside), 0);
    syncs(&d, w->path, true, "");
    close(open(wal, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    failing = EIO;
    syncs(&d, w->path, true, "dir");
    failing = 0;
    syncs(&d, w->path, true, "dir app.db-wal");
    syncs(&d, w->path, true, "app.db-wal");
    assert_int_equal(rename(aside, wal), 0);
    durable_close(&d);
    durable_close(&d);
}

static void a_link_leads_to_the_files(void **state)
{
    struct world *w = *state;
    struct durable d = DURABLE_INIT;
    char link[160];

    app(w, "CREATE TABLE t(id INTEGER PRIMARY KEY)");
    snprintf(link, sizeof link, "%s/link.db", w->dir);
    assert_int_equal(symlink("app.db", link), 0);
    syncs(&d, link, true, "dir app.db-wal");
    durable_close(&d);
}

static void in_rollback_mode_it_is_the_directory_and_a_journal(void **state)
{
    struct world *w = *state;
    struct durable d = DURABLE_INIT;

    app(w, "PRAGMA journal_mode=DELETE");
    app(w, "CREATE TABLE t(id INTEGER PRIMARY KEY)");
    syncs(&d, w->path, false, "dir");
    app(w, "PRAGMA journal_mode=PERSIST");
    app(w, "INSERT INTO t VALUES(1)");
    syncs(&d, w->path, false, "app.db-journal dir");
    failing = EIO;
    syncs(&d, w->path, false, "app.db-journal");
    failing = 0;
    assert_int_equal(d.wal, -1);
}

static void of_a_database_that_is_gone_there_is_nothing_to_sync(void **state)
{
    struct durable d = DURABLE_INIT;

    (void)state;
    syncs(&d, "/nonexistent/app.db", true, "");
    syncs(&d, "/nonexistent/app.db", false, "");
}

/* The descriptor on the -wal is opened and closed beside SQLite's without taking its locks away. */
static void sqlite_keeps_its_locks(void **state)
{
    struct world *w = *state;
    struct durable d = DURABLE_INIT;
    sqlite3 *other = NULL;

    app(w, "CREATE TABLE t(id INTEGER PRIMARY KEY)");
    app(w, "BEGIN IMMEDIATE");
    assert_int_equal(durable_sync(&d, w->path, true), 0);
    durable_close(&d);
    pid_t pid = fork(); /* locks of a process do not count against itself */
    if (pid == 0) {
        bool busy = sqlite3_open(w->path, &other) == SQLITE_OK &&
                    sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_BUSY;
        _exit(busy ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    app(w, "COMMIT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(the_wal_is_synced_and_followed),
        world_test(a_link_leads_to_the_files),
        world_test(in_rollback_mode_it_is_the_directory_and_a_journal),
        world_test(of_a_database_that_is_gone_there_is_nothing_to_sync),
        world_test(sqlite_keeps_its_locks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
