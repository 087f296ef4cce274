/* The daemon's own file: what is put there is there after a reopening, and nobody else's file is
 * touched. */
#include "state/internal.h"
#include "store_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void refused(struct box *b, int want, const char *sentence)
{
    struct err err = {.text = ""};
    int rc = store_open(b->path, &b->store, &err);

    if (rc != want || !strstr(err.text, sentence) || !strstr(err.text, "state.db"))
        fail_msg("%d: %s; wanted %d: %s", rc, err.text, want, sentence);
    assert_null(b->store);
}

/* As somebody else would, on the closed file. */
static void alter(struct box *b, const char *sql)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(b->path, &db), SQLITE_OK);
    sql_run(db, sql);
    sqlite3_close(db);
}

static char *get(struct box *b, const char *name)
{
    static char text[64];
    _cleanup_buf_ struct buf value = {0};

    if (store_get(b->store, name, &value) < 0)
        return NULL;
    assert_in_range(value.len, 0, sizeof text - 1);
    memcpy(text, value.len ? value.data : "", value.len);
    text[value.len] = '\0';
    return text;
}

static void put(struct box *b, const char *name, const char *value)
{
    assert_int_equal(store_put(b->store, name, value, strlen(value)), 0);
}

/* --- opening ---------------------------------------------------------------------------------- */

static void the_file_is_ours_alone(void **state)
{
    struct box *b = *state;
    char path[128];
    struct stat st;

    assert_string_equal(store_path(b->store), b->path);
    put(b, "a", "1");
    assert_int_equal(store_sync(b->store, NULL), 0);
    static const char *const suffixes[] = {"", "-wal", ".lock"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s%s", b->path, suffixes[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    snprintf(path, sizeof path, "%s-shm", b->path);
    assert_int_equal(stat(path, &st), -1);
}

static void a_second_process_is_told_the_pid_of_the_first(void **state)
{
    struct box *b = *state;
    char pid_text[32];
    int status = 0;

    snprintf(pid_text, sizeof pid_text, "pid %ld", (long)getpid());
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct store *s = NULL;
        struct err err = {.text = ""};
        int rc = store_open(b->path, &s, &err);
        _exit(rc == -EBUSY && !s && strstr(err.text, pid_text) ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);

    put(b, "still", "mine");
    assert_int_equal(store_commit(b->store, NULL), 0);
    reopened(b); /* closing lets go of it */
    assert_string_equal(get(b, "still"), "mine");
}

static void files_that_are_not_ours_are_left_as_they_are(void **state)
{
    struct box *b = *state;
    char before[8192], after[8192];

    closed(b);
    unlink(b->path);
    alter(b, "CREATE TABLE theirs(x); INSERT INTO theirs VALUES(1)");
    for (int round = 0; round < 2; round++) {
        int fd = open(b->path, O_RDONLY | O_CLOEXEC);
        ssize_t size = read(fd, before, sizeof before);
        close(fd);
        refused(b, -EINVAL, round ? "database" : "not a state file of syncd");
        fd = open(b->path, O_RDONLY | O_CLOEXEC);
        assert_int_equal(read(fd, after, sizeof after), size);
        close(fd);
        assert_memory_equal(before, after, (size_t)size);
        if (round == 0) { /* and one that is no database at all */
            fd = open(b->path, O_WRONLY | O_TRUNC | O_CLOEXEC);
            for (size_t i = 0; i < 200; i++)
                assert_int_equal(write(fd, "Dear diary, ", 12), 12);
            close(fd);
        }
    }
}

static void an_older_versions_file_is_brought_up_to_date(void **state)
{
    struct box *b = *state;
    struct dead_letter d = {.table_id = 1,
                            .table = "t",
                            .target = "T",
                            .key = "id=1",
                            .row_key = "r",
                            .row_key_len = 1,
                            .reason = "x",
                            .message = "",
                            .column = ""};
    uint32_t id = 0;

    assert_int_equal(store_target(b->store, "T", &id), 0);
    assert_int_equal(store_dead_letter_put(b->store, &d, NULL), 0);
    closed(b);
    alter(b, VERSION_4_DIGESTS
          "DROP TABLE suspect; DROP INDEX dead_letter_waiting; DROP INDEX dead_letter_skipped; "
          "ALTER TABLE dead_letter DROP "
          "COLUMN serial;"
          "ALTER TABLE dead_letter DROP COLUMN g; ALTER TABLE dead_letter DROP COLUMN k;"
          "ALTER TABLE target DROP COLUMN identity;"
          "ALTER TABLE captured DROP COLUMN target; ALTER TABLE captured DROP COLUMN key; "
          "PRAGMA user_version=1");
    reopened(b);
    assert_int_equal(store_dead_letter_count(b->store, 1), 1); /* what was there stays */
    d.remote_key = "K";
    d.remote_key_len = 1;
    d.target_id = id;
    assert_int_equal(store_dead_letter_put(b->store, &d, NULL), 0);
    assert_int_equal(store_target_identify(b->store, id, "arn"), 0);
    assert_int_equal(store_suspect_put(b->store, &(struct store_suspect){.key = "K", .key_len = 1}),
                     0);
}

static void a_newer_versions_file_is_refused(void **state)
{
    struct box *b = *state;

    put(b, "a", "1");
    closed(b);
    alter(b, "PRAGMA user_version=6");
    refused(b, -EINVAL, "newer syncd (version 6, this one knows 5)");
    alter(b, "PRAGMA user_version=5");
    reopened(b);
    assert_string_equal(get(b, "a"), "1");
}

static void a_place_that_cannot_be_used(void **state)
{
    struct box *b = *state;

    closed(b);
    snprintf(b->path, sizeof b->path, "%s/none/state.db", b->dir);
    refused(b, -ENOENT, "No such file");
    snprintf(b->path, sizeof b->path, "%s/state.db", b->dir);
    unlink(b->path);
    assert_int_equal(mkdir(b->path, 0700), 0);
    refused(b, -EIO, "cannot be opened");
}

/* --- transactions ----------------------------------------------------------------------------- */

static void writes_collect_until_the_commit(void **state)
{
    struct box *b = *state;

    assert_false(store_dirty(b->store));
    assert_int_equal(store_commit(b->store, NULL), 0);
    put(b, "a", "1");
    assert_true(store_dirty(b->store));
    assert_string_equal(get(b, "a"), "1"); /* seen before it is committed */
    store_rollback(b->store);
    assert_false(store_dirty(b->store));
    assert_null(get(b, "a"));
    store_rollback(b->store);

    put(b, "a", "2");
    assert_int_equal(store_commit(b->store, NULL), 0);
    assert_false(store_dirty(b->store));
    put(b, "b", "3");
    assert_int_equal(store_sync(b->store, NULL), 0);
    assert_true(store_wal_fd(b->store) >= 0);
    reopened(b);
    assert_string_equal(get(b, "a"), "2");
    assert_string_equal(get(b, "b"), "3");
}

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A disk without room: what was in the transaction is gone, all else goes on. */
static void a_failed_write_leaves_it_usable(void **state)
{
    struct box *b = *state;
    struct err err = {.text = ""};
    _cleanup_free_ char *big = calloc(1, 9000000);
    struct dead_letter d = {.table_id = 1, .row_key = "k", .row_key_len = 1};

    signal(SIGXFSZ, SIG_IGN);
    put(b, "kept", "yes");
    assert_int_equal(store_sync(b->store, NULL), 0);
    for (size_t size = 300000; size <= 9000000; size += 8700000) {
        put(b, "lost", "yes");
        assert_int_equal(store_dead_letter_put(b->store, &d, NULL), 0);
        assert_int_equal(store_dead_letter_count(b->store, 0), 1);
        limit_files(256 * 1024);
        int rc = store_put(b->store, "big", big, size);
        if (rc == 0)
            rc = store_commit(b->store, &err);
        limit_files(RLIM_INFINITY);
        assert_true(rc == -EIO || rc == -ENOSPC);
        assert_true(strlen(store_error(b->store)) > 3);
        assert_null(strstr(store_error(b->store), "not an error"));
        assert_false(store_dirty(b->store));
        assert_null(get(b, "lost"));
        assert_null(get(b, "big"));
        assert_int_equal(store_dead_letter_count(b->store, 0), 0);
        assert_int_equal(store_dead_letter_clear(b->store, 1, "k", 1, 0), 0);
        assert_string_equal(get(b, "kept"), "yes");

        put(b, "again", "works");
        assert_int_equal(store_commit(b->store, NULL), 0);
    }
    assert_non_null(strstr(err.text, b->path));
    reopened(b);
    assert_string_equal(get(b, "again"), "works");
    assert_null(get(b, "lost"));
}

/* A read that fails must not look like absence: an order or a nonce would be forgotten by it. */
/* Without dead letters and suspects, which are counted at once, the file would not be opened. */
static bool is_counted(const char *path, off_t page)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT 1 FROM sqlite_schema WHERE tbl_name IN "
                                        "('dead_letter','suspect') AND rootpage=?",
                                        -1, &stmt, NULL),
                     SQLITE_OK);
    sqlite3_bind_int64(stmt, 1, page);
    bool yes = sqlite3_step(stmt) == SQLITE_ROW;
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return yes;
}

static void a_failed_read_is_not_absence(void **state)
{
    struct box *b = *state;
    _cleanup_buf_ struct buf value = {0};
    struct store_table t = {0};
    struct stat st;
    uint32_t id = 77;
    int64_t n = 77;

    put(b, "detached", "1");
    assert_int_equal(store_table_new(b->store, "users", "id", 0, &id), 0);
    assert_int_equal(store_sync(b->store, NULL), 0);
    closed(b);
    assert_int_equal(stat(b->path, &st), 0);
    _cleanup_close_ int fd = open(b->path, O_WRONLY | O_CLOEXEC);
    for (off_t at = 4096; at < st.st_size; at += 4096)
        if (!is_counted(b->path, at / 4096 + 1))
            assert_int_equal(pwrite(fd, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, at), 8);
    reopened(b);
    assert_int_equal(store_get(b->store, "detached", &value), -EIO);
    assert_int_equal(store_get_int(b->store, "detached", &n), -EIO);
    assert_int_equal(store_table_by_name(b->store, "users", &t), -EIO);
    assert_int_equal(store_table_by_id(b->store, 1, &t), -EIO);
    assert_int_equal(store_target(b->store, "users", &id), -EIO);
    assert_int_equal(n, 77);
    assert_null(t.name);
}

/* SQLite takes a transaction back by itself when a statement in it, a read too, has no memory. What
 * follows must not be kept without what came before. */
static void what_follows_a_rollback_by_itself_is_not_kept_alone(void **state)
{
    struct box *b = *state;
    int64_t value;

    assert_int_equal(store_put_int(b->store, "first", 1), 0);
    assert_int_equal(sqlite3_exec(b->store->db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_true(store_put_int(b->store, "second", 2) < 0);
    assert_false(store_dirty(b->store));
    assert_int_equal(store_get_int(b->store, "second", &value), -ENOENT);
    assert_int_equal(store_put_int(b->store, "second", 3), 0);
    assert_int_equal(store_commit(b->store, NULL), 0);
    assert_int_equal(store_get_int(b->store, "second", &value), 0);
    assert_int_equal(value, 3);
}

/* --- names and values, targets, tables -------------------------------------------------------- */

static void values_are_bytes(void **state)
{
    struct box *b = *state;
    _cleanup_buf_ struct buf value = {0};
    int64_t n = 77;

    assert_int_equal(store_get(b->store, "none", &value), -ENOENT);
    assert_int_equal(store_put(b->store, "bytes", "a\0b\xff", 4), 0);
    assert_int_equal(store_put(b->store, "empty", NULL, 0), 0);
    buf_puts(&value, "before:");
    assert_int_equal(store_get(b->store, "bytes", &value), 0);
    assert_int_equal(value.len, 11);
    assert_memory_equal(value.data, "before:a\0b\xff", 11);
    assert_string_equal(get(b, "empty"), "");
    put(b, "empty", "no more");
    assert_string_equal(get(b, "empty"), "no more");

    assert_int_equal(store_get_int(b->store, "n", &n), -ENOENT);
    assert_int_equal(store_get_int(b->store, "bytes", &n), -ENOENT); /* no number */
    assert_int_equal(n, 77);
    assert_int_equal(store_put_int(b->store, "n", INT64_MIN), 0);
    reopened(b);
    assert_int_equal(store_get_int(b->store, "n", &n), 0);
    assert_true(n == INT64_MIN);
}

static void targets_have_one_id_each(void **state)
{
    struct box *b = *state;
    uint32_t users = 0, books = 0, again = 0;

    assert_int_equal(store_target(b->store, "users", &users), 0);
    assert_int_equal(store_target(b->store, "books", &books), 0);
    assert_int_equal(store_target(b->store, "Users", &again), 0);
    assert_true(users != books && again != users && again != books);
    reopened(b);
    assert_int_equal(store_target(b->store, "users", &again), 0);
    assert_int_equal(again, users);
}

static void ids_of_tables_are_never_given_twice(void **state)
{
    struct box *b = *state;
    struct store_table t = {0};
    uint32_t id[4] = {0};

    assert_int_equal(store_table_by_name(b->store, "users", &t), -ENOENT);
    assert_int_equal(store_table_by_id(b->store, 1, &t), -ENOENT);
    assert_int_equal(store_table_new(b->store, "users", "id", 0, &id[0]), 0);
    assert_int_equal(store_table_new(b->store, "books", "id", 40, &id[1]), 0);
    assert_int_equal(store_table_new(b->store, "USERS", "id,org", 3, &id[2]), 0);
    assert_int_equal(id[0], 1);
    assert_int_equal(id[1], 41);
    assert_int_equal(id[2], 42);

    /* The youngest of that name, whatever its case. */
    assert_int_equal(store_table_by_name(b->store, "users", &t), 0);
    assert_int_equal(t.id, 42);
    assert_string_equal(t.layout, "id,org");
    assert_string_equal(t.fingerprint, "");
    assert_string_equal(t.mark, "");
    assert_int_equal(t.load, LOAD_ROWS);
    assert_int_equal(t.cursor.len, 0);
    store_table_clear(&t);
    assert_null(t.name);
    store_table_clear(&t);
    assert_int_equal(store_table_by_id(b->store, 1, &t), 0);
    assert_string_equal(t.name, "users");
    store_table_clear(&t);
}

static void a_tables_load_goes_on_after_a_restart(void **state)
{
    struct box *b = *state;
    _cleanup_buf_ struct buf cursor = {0};
    struct store_table t = {0};
    uint32_t id;

    assert_int_equal(store_table_new(b->store, "users", "id", 0, &id), 0);
    assert_int_equal(store_table_by_id(b->store, id, &t), 0);
    free(t.fingerprint);
    t.fingerprint = strdup("print \"'");
    free(t.mark);
    t.mark = strdup("5:2 6:0");
    t.full = true;
    t.cookie = -3;
    t.load = LOAD_SWEEP;
    buf_append(&t.cursor, "\0\x01", 2);
    assert_int_equal(store_table_save(b->store, &t), 0);
    store_table_clear(&t);
    reopened(b);
    assert_int_equal(store_table_by_id(b->store, id, &t), 0);
    assert_string_equal(t.fingerprint, "print \"'");
    assert_string_equal(t.mark, "5:2 6:0");
    assert_true(t.full);
    assert_int_equal(t.cookie, -3);
    assert_int_equal(t.load, LOAD_SWEEP);
    assert_int_equal(t.cursor.len, 2);
    store_table_clear(&t);

    buf_puts(&cursor, "place");
    assert_int_equal(store_table_progress(b->store, id, LOAD_ROWS, &cursor, 9), 0);
    reopened(b);
    assert_int_equal(store_table_by_id(b->store, id, &t), 0);
    assert_int_equal(t.load, LOAD_ROWS);
    assert_int_equal(t.cookie, 9);
    assert_string_equal(t.cursor.data, "place");
    assert_string_equal(t.mark, "5:2 6:0"); /* the rest stays */
    store_table_clear(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        box_test(the_file_is_ours_alone),
        box_test(a_second_process_is_told_the_pid_of_the_first),
        box_test(files_that_are_not_ours_are_left_as_they_are),
        box_test(an_older_versions_file_is_brought_up_to_date),
        box_test(a_newer_versions_file_is_refused),
        box_test(a_place_that_cannot_be_used),
        box_test(writes_collect_until_the_commit),
        box_test(a_failed_write_leaves_it_usable),
        box_test(a_failed_read_is_not_absence),
        box_test(what_follows_a_rollback_by_itself_is_not_kept_alone),
        box_test(values_are_bytes),
        box_test(targets_have_one_id_each),
        box_test(ids_of_tables_are_never_given_twice),
        box_test(a_tables_load_goes_on_after_a_restart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
