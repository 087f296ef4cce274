/* Opening the user's database: with care, and with a sentence for whatever stands in the way. */
#include "database_fixture.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/wait.h>

enum { NOBODY = 65534 };

static void write_file(const char *path, const void *bytes, size_t n)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), n);
}

/* Opening comes to this problem, and the sentence holds this and the path. */
static void opens_as(const char *path, enum source_problem want, const char *sentence)
{
    struct source *s = NULL;
    struct err err = {.text = ""};
    enum source_problem p = source_open(path, &s, &err);

    if (p != want || !strstr(err.text, sentence) || !strstr(err.text, path))
        fail_msg("%s: %s (%s), wanted %s: %s", path, source_problem_code(p), err.text,
                 source_problem_code(want), sentence);
    assert_null(s);
}

static void a_database_is_opened_with_our_rules(void **state)
{
    struct world *w = *state;

    app(w, "CREATE TABLE t(id INTEGER PRIMARY KEY)");
    open_source(w);
    assert_true(w->source->wal);
    assert_string_equal(w->source->journal_mode, "wal");
    assert_int_equal(sql_int(w->source->db, "PRAGMA synchronous"), 1);
    assert_int_equal(sql_int(w->source->db, "PRAGMA wal_autocheckpoint"), 0);
    assert_int_equal(sql_int(w->source->db, "PRAGMA secure_delete"), 0);
    assert_int_equal(sql_int(w->source->db, "PRAGMA foreign_keys"), 0);
    assert_string_equal(w->source->path, w->path);
    source_close(w->source);
    w->source = NULL;
    source_close(NULL);

    app(w, "PRAGMA journal_mode=TRUNCATE");
    open_source(w);
    assert_false(w->source->wal);
    assert_int_equal(sql_int(w->source->db, "PRAGMA synchronous"), 2);
}

static void nothing_is_checkpointed_while_others_write(void **state)
{
    struct world *w = *state;

    app(w, "CREATE TABLE t(id INTEGER PRIMARY KEY, v)");
    assert_int_equal(
        sqlite3_wal_checkpoint_v2(w->app, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL), SQLITE_OK);
    open_source(w);
    assert_int_equal(source_wal_bytes(w->source), 0);
    struct stat before, after;
    assert_int_equal(stat(w->path, &before), 0);
    for (int i = 0; i < 30; i++)
        assert_int_equal(source_exec(w->source, "INSERT INTO t(v) VALUES(zeroblob(200000))"),
                         SQLITE_OK);
    assert_int_equal(stat(w->path, &after), 0);
    assert_int_equal(before.st_size, after.st_size);
    assert_true(source_wal_bytes(w->source) > 30 * 200000);
    source_close(w->source);
    w->source = NULL;
    assert_int_equal(stat(w->path, &after), 0);
    assert_int_equal(before.st_size, after.st_size); /* the application is still there */
}

static void the_journal_mode_is_followed(void **state)
{
    struct world *w = *state;

    app(w, "PRAGMA journal_mode=DELETE; CREATE TABLE t(id INTEGER PRIMARY KEY)");
    open_source(w);
    assert_string_equal(w->source->journal_mode, "delete");
    app(w, "PRAGMA journal_mode=WAL; INSERT INTO t VALUES(1)");
    assert_int_equal(source_refresh_mode(w->source), SQLITE_OK);
    assert_true(w->source->wal);
    assert_int_equal(sql_int(w->source->db, "PRAGMA synchronous"), 1);
}

static void queries_for_one_number(void **state)
{
    struct world *w = *state;
    int64_t n = 77;

    app(w, "CREATE TABLE t(id INTEGER PRIMARY KEY)");
    open_source(w);
    assert_int_equal(source_query_int(w->source, "SELECT 1<<40", &n), SQLITE_OK);
    assert_true(n == INT64_C(1) << 40);
    assert_int_equal(source_query_int(w->source, "SELECT id FROM t", &n), SQLITE_DONE);
    assert_int_equal(source_query_int(w->source, "SELECT x FROM t", &n), SQLITE_ERROR);
    assert_true(n == INT64_C(1) << 40);
    /* A name that is no column is an error, never a string. */
    assert_int_equal(source_query_int(w->source, "SELECT \"gone\" FROM t", &n), SQLITE_ERROR);
}

static void files_that_are_no_database(void **state)
{
    struct world *w = *state;
    char path[128], header[4096] = "";

    snprintf(path, sizeof path, "%s/none.db", w->dir);
    opens_as(path, SOURCE_MISSING, "does not exist");
    assert_int_equal(access(path, F_OK), -1);
    snprintf(path, sizeof path, "%s/app.db/none.db", w->dir);
    opens_as(path, SOURCE_MISSING, "does not exist");
    opens_as(w->dir, SOURCE_NOT_A_DATABASE, "is not a file");
    snprintf(path, sizeof path, "%s/fifo", w->dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    opens_as(path, SOURCE_NOT_A_DATABASE, "is not a file");

    snprintf(path, sizeof path, "%s/other.db", w->dir);
    write_file(path, "", 0);
    opens_as(path, SOURCE_NOT_A_DATABASE, "empty file");
    write_file(path, "hello", 5);
    opens_as(path, SOURCE_NOT_A_DATABASE, "not a SQLite database");
    memset(header, 'x', sizeof header);
    write_file(path, header, sizeof header);
    opens_as(path, SOURCE_NOT_A_DATABASE, "encrypted");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, sizeof header); /* as it was */
}

static void files_cut_short(void **state)
{
    struct world *w = *state;
    char path[128], whole[8 * 4096];
    struct source *s = NULL;
    struct err err = {.text = ""};

    app(w, "PRAGMA journal_mode=DELETE; CREATE TABLE t(id INTEGER PRIMARY KEY, v);"
           "CREATE TABLE u(v); INSERT INTO u VALUES(zeroblob(20000))");
    _cleanup_close_ int fd = open(w->path, O_RDONLY | O_CLOEXEC);
    ssize_t size = read(fd, whole, sizeof whole);
    assert_in_range(size, 4 * 4096, sizeof whole);
    snprintf(path, sizeof path, "%s/cut.db", w->dir);
    static const size_t lengths[] = {1, 15, 16, 50, 99, 100, 511};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        write_file(path, whole, lengths[i]);
        enum source_problem p = source_open(path, &s, &err);
        if (p != SOURCE_NOT_A_DATABASE && p != SOURCE_FAILED)
            fail_msg("%zu bytes: %s", lengths[i], source_problem_code(p));
        assert_non_null(strstr(err.text, path));
        assert_null(s);
    }
    write_file(path, whole, 2 * 4096);
    opens_as(path, SOURCE_FAILED, "integrity_check");
}

static void locks_are_told_and_not_waited_for(void **state)
{
    struct world *w = *state;
    int64_t n;

    app(w, "PRAGMA journal_mode=DELETE; CREATE TABLE t(id INTEGER PRIMARY KEY);"
           "PRAGMA locking_mode=EXCLUSIVE; INSERT INTO t VALUES(1)");
    opens_as(w->path, SOURCE_LOCKED, "locking_mode=EXCLUSIVE");
    app(w, "PRAGMA journal_mode=WAL; INSERT INTO t VALUES(2)");
    opens_as(w->path, SOURCE_LOCKED, "locking_mode=EXCLUSIVE");
    app(w, "PRAGMA journal_mode=DELETE; PRAGMA locking_mode=NORMAL; SELECT * FROM t");
    open_source(w);

    app(w, "BEGIN IMMEDIATE");
    assert_int_equal(source_exec(w->source, "BEGIN IMMEDIATE") & 0xff, SQLITE_BUSY);
    assert_int_equal(w->source->waited, 0);
    assert_int_equal(source_query_int(w->source, "SELECT count(*) FROM t", &n), SQLITE_OK);
    w->source->patience = 2000;
    assert_int_equal(source_exec(w->source, "BEGIN IMMEDIATE") & 0xff, SQLITE_BUSY);
    assert_true(w->source->waited >= 2000);
    w->source->patience = 0;
    app(w, "COMMIT");
    assert_int_equal(source_exec(w->source, "BEGIN IMMEDIATE; COMMIT"), SQLITE_OK);
}

static void a_writer_is_seen_without_a_lock(void **state)
{
    static const char *const modes[] = {"DELETE", "TRUNCATE", "PERSIST", "MEMORY"};
    struct world *w = *state;

    app(w, "PRAGMA journal_mode=DELETE; CREATE TABLE t(id INTEGER PRIMARY KEY)");
    open_source(w);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        app(w, "PRAGMA journal_mode=%s", modes[i]);
        assert_false(source_being_written(w->source));
        app(w, "BEGIN; SELECT * FROM t");
        assert_false(source_being_written(w->source));
        app(w, "INSERT INTO t DEFAULT VALUES");
        assert_true(source_being_written(w->source));
        app(w, "COMMIT"); /* which a lock of ours would refuse */
        assert_false(source_being_written(w->source));
    }
}

static void the_file_at_the_path_may_be_another(void **state)
{
    struct world *w = *state;
    struct err err = {.text = ""};
    char aside[128];

    app(w, "CREATE TABLE t(id INTEGER PRIMARY KEY)");
    open_source(w);
    assert_int_equal(source_check_file(w->source, &err), SOURCE_OK);
    snprintf(aside, sizeof aside, "%s/aside.db", w->dir);
    assert_int_equal(rename(w->path, aside), 0);
    assert_int_equal(source_check_file(w->source, &err), SOURCE_MISSING);
    assert_non_null(strstr(err.text, "is gone"));
    write_file(w->path, "x", 1);
    assert_int_equal(source_check_file(w->source, &err), SOURCE_MISSING);
    assert_non_null(strstr(err.text, "replaced by another file"));
    assert_int_equal(rename(aside, w->path), 0);
    assert_int_equal(source_check_file(w->source, &err), SOURCE_OK);
}

/* Somebody removes what stands beside a database that is open (a backup put back by the book of
 * rm), and another process, which came later, commits to a -wal of its own. */
static void the_files_beside_it_may_be_others(void **state)
{
    static const char *const suffixes[] = {"-wal", "-shm"};
    struct world *w = *state;
    struct err err = {.text = ""};
    int go[2], status;
    char path[128];

    app(w, "CREATE TABLE t(id INTEGER PRIMARY KEY); INSERT INTO t VALUES(1)");
    sqlite3_close(w->app);
    w->app = NULL;
    assert_int_equal(pipe(go), 0);
    pid_t other = fork(); /* now: of SQLite's locks it must not know what we hold */
    if (other == 0) {
        char byte;
        sqlite3 *db = NULL;
        bool well = read(go[0], &byte, 1) == 1 && sqlite3_open(w->path, &db) == SQLITE_OK &&
                    sqlite3_exec(db, "INSERT INTO t VALUES(2)", NULL, NULL, NULL) == SQLITE_OK;
        sqlite3_close(db);
        _exit(!well);
    }
    open_source(w);
    assert_true(w->source->wal);
    assert_int_equal(sql_int(w->source->db, "SELECT count(*) FROM t"), 1);
    assert_int_equal(source_check_file(w->source, &err), SOURCE_OK);
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s%s", w->path, suffixes[i]);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(write(go[1], "x", 1), 1);
    assert_int_equal(waitpid(other, &status, 0), other);
    assert_int_equal(status, 0);
    assert_int_equal(sql_int(w->source->db, "SELECT count(*) FROM t"), 1); /* blind */
    enum source_problem found = source_check_file(w->source, &err);

    /* Letting go must not take the other's commits along. */
    source_close(w->source);
    w->source = NULL;
    assert_int_equal(sqlite3_open(w->path, &w->app), SQLITE_OK);
    int64_t left = sql_int(w->app, "SELECT count(*) FROM t");
    if (found != SOURCE_MISSING || left != 2)
        fail_msg("it is said to be %s (%s), and %lld rows of 2 are left",
                 source_problem_code(found), err.text, (long long)left);
    assert_non_null(strstr(err.text, "-wal"));
    close(go[0]);
    close(go[1]);
}

static void every_result_code_has_a_meaning(void **state)
{
    static const struct {
        int rc;
        enum source_problem problem;
        const char *sentence;
    } cases[] = {
        {SQLITE_BUSY, SOURCE_LOCKED, "locked by another process"},
        {SQLITE_BUSY_SNAPSHOT, SOURCE_LOCKED, "locked by another process"},
        {SQLITE_LOCKED, SOURCE_LOCKED, "locked by another process"},
        {SQLITE_NOTADB, SOURCE_NOT_A_DATABASE, "not a SQLite database"},
        {SQLITE_READONLY, SOURCE_READONLY, "cannot be written"},
        {SQLITE_READONLY_DIRECTORY, SOURCE_READONLY, "directory"},
        {SQLITE_CANTOPEN, SOURCE_UNREADABLE, "permissions"},
        {SQLITE_FULL, SOURCE_FULL, "is full"},
        {SQLITE_IOERR_WRITE, SOURCE_FULL, "disk I/O error"},
        {SQLITE_CORRUPT, SOURCE_FAILED, "integrity_check"},
        {SQLITE_NOMEM, SOURCE_FAILED, "out of memory"},
    };
    struct world *w = *state;
    struct err err = {.text = "untouched"};

    open_source(w);
    assert_int_equal(source_problem_of(w->source, SQLITE_DONE, "testing", &err), SOURCE_OK);
    assert_int_equal(source_problem_of(w->source, SQLITE_ROW, "testing", &err), SOURCE_OK);
    assert_string_equal(err.text, "untouched");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(source_problem_of(w->source, cases[i].rc, "testing", &err),
                         cases[i].problem);
        assert_non_null(strstr(err.text, cases[i].sentence));
        assert_non_null(strstr(err.text, w->path));
    }
    for (int p = SOURCE_OK; p <= SOURCE_FAILED; p++)
        assert_true(strlen(source_problem_code((enum source_problem)p)) > 1);
    assert_string_equal(source_problem_code(SOURCE_LOCKED), "source_locked");
}

static void a_rollback_does_not_hide_what_went_wrong(void **state)
{
    struct world *w = *state;
    struct err err = {.text = ""};

    app(w, "CREATE TABLE t(id INTEGER PRIMARY KEY)");
    open_source(w);
    assert_int_equal(source_exec(w->source, "BEGIN; INSERT INTO t VALUES(1)"), SQLITE_OK);
    assert_int_equal(source_exec(w->source, "INSERT INTO nosuch VALUES(1)"), SQLITE_ERROR);
    source_rollback(w->source);
    assert_true(sqlite3_get_autocommit(w->source->db));
    assert_int_equal(source_problem_of(w->source, SQLITE_ERROR, "testing", &err), SOURCE_FAILED);
    assert_non_null(strstr(err.text, "no such table: nosuch"));
    expect(w, "SELECT count(*) FROM t", "0");
    source_rollback(w->source); /* none open */
}

/* --- other users ------------------------------------------------------------------------------ */

/* In a process of its own, as nobody when we are root. */
static void as_another_user(const char *path, enum source_problem want, const char *sentence)
{
    pid_t pid = fork();
    int status = 0;

    assert_true(pid >= 0);
    if (pid == 0) {
        struct source *s = NULL;
        struct err err = {.text = ""};
        if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
            _exit(3);
        enum source_problem p = source_open(path, &s, &err);
        if (p == want && strstr(err.text, sentence) && !s)
            _exit(0);
        fprintf(stderr, "%s: %s, wanted %s: %s\n", source_problem_code(p), err.text,
                source_problem_code(want), sentence);
        _exit(1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* The files of the fixture become those of the user that as_another_user() is. */
static void give_away(struct world *w)
{
    sqlite3_close_v2(w->app);
    w->app = NULL;
    if (geteuid() != 0)
        return;
    assert_int_equal(chown(w->dir, NOBODY, NOBODY), 0);
    assert_int_equal(chown(w->path, NOBODY, NOBODY), 0);
}

static void only_the_owner_or_root_opens(void **state)
{
    struct world *w = *state;

    if (geteuid() != 0) {
        print_message("only root can be another user\n");
        skip();
    }
    app(w, "CREATE TABLE t(id INTEGER PRIMARY KEY)");
    assert_int_equal(chmod(w->dir, 0777), 0);
    assert_int_equal(chmod(w->path, 0666), 0);
    as_another_user(w->path, SOURCE_OWNER, "belongs to root");
    as_another_user(w->path, SOURCE_OWNER, "User=root");
    assert_int_equal(chmod(w->dir, 0700), 0);
    as_another_user(w->path, SOURCE_UNREADABLE, "cannot be reached");
}

/* Root works in the owner's name: what SQLite makes beside the database must be the owner's. */
static void root_leaves_the_files_to_their_owner(void **state)
{
    static const char *const suffixes[] = {"-wal", "-shm"};
    struct world *w = *state;

    if (geteuid() != 0) {
        print_message("only root can be another user\n");
        skip();
    }
    app(w, "CREATE TABLE t(id INTEGER PRIMARY KEY)");
    give_away(w);
    open_source(w);
    assert_int_equal(source_exec(w->source, "INSERT INTO t VALUES(1)"), SQLITE_OK);
    for (size_t i = 0; i < 2; i++) {
        char path[128];
        struct stat st;
        snprintf(path, sizeof path, "%s%s", w->path, suffixes[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_uid, NOBODY);
    }
}

static void permissions_that_lack(void **state)
{
    struct world *w = *state;

    app(w, "PRAGMA journal_mode=DELETE; CREATE TABLE t(id INTEGER PRIMARY KEY)");
    give_away(w);
    assert_int_equal(chmod(w->path, 0), 0);
    as_another_user(w->path, SOURCE_UNREADABLE, "cannot be read");
    assert_int_equal(chmod(w->path, 0400), 0);
    as_another_user(w->path, SOURCE_READONLY, "can only be read");
    assert_int_equal(chmod(w->path, 0600), 0);
}

static void a_wal_database_that_cannot_be_written(void **state)
{
    struct world *w = *state;

    app(w, "CREATE TABLE t(id INTEGER PRIMARY KEY)");
    give_away(w);
    assert_int_equal(chmod(w->path, 0400), 0);
    as_another_user(w->path, SOURCE_READONLY, "can only be read");
}

static void a_wal_database_in_a_directory_that_cannot_be_written(void **state)
{
    struct world *w = *state;

    app(w, "CREATE TABLE t(id INTEGER PRIMARY KEY)");
    give_away(w);
    assert_int_equal(chmod(w->dir, 0500), 0);
    as_another_user(w->path, SOURCE_READONLY, "writable file and directory");
    assert_int_equal(chmod(w->dir, 0700), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(a_database_is_opened_with_our_rules),
        world_test(nothing_is_checkpointed_while_others_write),
        world_test(the_journal_mode_is_followed),
        world_test(queries_for_one_number),
        world_test(files_that_are_no_database),
        world_test(files_cut_short),
        world_test(locks_are_told_and_not_waited_for),
        world_test(a_writer_is_seen_without_a_lock),
        world_test(the_file_at_the_path_may_be_another),
        world_test(the_files_beside_it_may_be_others),
        world_test(every_result_code_has_a_meaning),
        world_test(a_rollback_does_not_hide_what_went_wrong),
        world_test(only_the_owner_or_root_opens),
        world_test(root_leaves_the_files_to_their_owner),
        world_test(permissions_that_lack),
        world_test(a_wal_database_that_cannot_be_written),
        world_test(a_wal_database_in_a_directory_that_cannot_be_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
