/* The control socket's file: who may open it, what it replaces, what it refuses, when it goes. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

/* The tests link the common library only. */
#include "control_socket.c"

struct place {
    char dir[64], path[128];
};

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);

    if (!p)
        return -1;
    snprintf(p->dir, sizeof p->dir, "/tmp/test-control-XXXXXX");
    if (!mkdtemp(p->dir))
        return -1;
    snprintf(p->path, sizeof p->path, "%s/syncd.sock", p->dir);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;

    unlink(p->path);
    assert_int_equal(rmdir(p->dir), 0);
    free(p);
    return 0;
}

static struct control_socket listen_at(const char *path)
{
    struct control_socket s;
    struct err err;

    if (control_socket_listen(path, "", &s, &err) != 0)
        fail_msg("%s", err.text);
    return s;
}

static void refused(const char *path, const char *group, int code, const char *part)
{
    struct control_socket s = {.fd = -7};
    struct err err = {""};

    assert_int_equal(control_socket_listen(path, group, &s, &err), code);
    assert_int_equal(s.fd, -7);
    if (!strstr(err.text, part))
        fail_msg("\"%s\" is not in: %s", part, err.text);
}

static int dial(const char *path)
{
    struct sockaddr_un addr;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(fill_address(path, &addr, NULL), 0);
    int r = connect(fd, (struct sockaddr *)&addr, sizeof addr);
    close(fd);
    return r;
}

static void put_file(const char *path)
{
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    close(fd);
}

static void test_is_for_owner_and_group_whatever_the_umask(void **state)
{
    static const mode_t masks[] = {0, 022, 077};
    struct place *p = *state;
    struct stat st;

    for (size_t i = 0; i < sizeof masks / sizeof masks[0]; i++) {
        mode_t before = umask(masks[i]);
        struct control_socket s = listen_at(p->path);
        umask(before);
        assert_int_equal(lstat(p->path, &st), 0);
        assert_true(S_ISSOCK(st.st_mode));
        assert_int_equal(st.st_mode & 07777, 0660);
        assert_int_equal(dial(p->path), 0);
        control_socket_unlink(&s);
        close(s.fd);
        assert_int_equal(access(p->path, F_OK), -1);
    }
}

static void test_belongs_to_the_group_that_is_named(void **state)
{
    struct place *p = *state;
    const struct group *g = getgrgid(getegid());
    struct control_socket s;
    struct err err;
    struct stat st;

    if (!g)
        skip();
    if (control_socket_listen(p->path, g->gr_name, &s, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(lstat(p->path, &st), 0);
    assert_int_equal(st.st_gid, getegid());
    close(s.fd);
}

static void test_leaves_a_successors_file_alone(void **state)
{
    struct place *p = *state;
    struct control_socket s = listen_at(p->path);
    char aside[160];

    /* Moved aside and not removed, so that the new file cannot get the same inode. */
    snprintf(aside, sizeof aside, "%s.aside", p->path);
    assert_int_equal(rename(p->path, aside), 0);
    put_file(p->path);
    control_socket_unlink(&s);
    assert_int_equal(access(p->path, F_OK), 0);
    close(s.fd);
    unlink(aside);
}

/* What a daemon that was killed leaves: the file, and nobody behind it. */
static void test_replaces_a_stale_socket(void **state)
{
    struct place *p = *state;
    struct control_socket s = listen_at(p->path);

    close(s.fd);
    assert_int_equal(dial(p->path), -1);
    s = listen_at(p->path);
    assert_int_equal(dial(p->path), 0);
    close(s.fd);
}

static void test_refuses_a_living_socket(void **state)
{
    struct place *p = *state;
    struct control_socket s = listen_at(p->path);
    char part[64];

    snprintf(part, sizeof part, "syncd.sock is in use by a running daemon (pid %d)", (int)getpid());
    refused(p->path, "", -EADDRINUSE, part);
    assert_int_equal(dial(p->path), 0);
    close(s.fd);
}

/* Its queue is full: nobody gets through, yet somebody is there. */
static void test_refuses_a_busy_socket(void **state)
{
    struct place *p = *state;
    struct sockaddr_un addr;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), peers[2], n = 0;

    assert_int_equal(fill_address(p->path, &addr, NULL), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(listen(fd, 0), 0);
    for (; n < 2; n++) {
        peers[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (connect(peers[n], (struct sockaddr *)&addr, sizeof addr) != 0)
            break;
    }
    refused(p->path, "", -EADDRINUSE, "in use by a running daemon");
    for (int i = 0; i <= n && i < 2; i++)
        close(peers[i]);
    close(fd);
}

static void test_refuses_what_cannot_be_a_socket(void **state)
{
    struct place *p = *state;
    char path[256];

    memset(path, 'x', 200);
    path[200] = '\0';
    refused(path, "", -ENAMETOOLONG, "bytes");
    refused("", "", -ENAMETOOLONG, "bytes");
    snprintf(path, sizeof path, "%s/none/syncd.sock", p->dir);
    refused(path, "", -ENOENT, "its directory does not exist");
    refused(p->path, "no-such-group-here", -EINVAL, "groupadd");
    assert_int_equal(access(p->path, F_OK), -1);
    put_file(p->path);
    refused(p->path, "", -EEXIST, "is not a socket");
    assert_int_equal(access(p->path, F_OK), 0);
}

/* The group is taken over by a name, where another user would look: a directory on the way that is
 * closed to it is told. */
static void test_tells_which_directory_is_closed(void **state)
{
    struct place *p = *state;
    const struct group *g = getgrnam("daemon");
    struct control_socket s;
    struct err err;

    if (getuid() != 0 || !g)
        skip();
    if (control_socket_listen(p->path, "daemon", &s, &err) != 0)
        fail_msg("%s", err.text);
    control_socket_reachable(&s, &err);
    assert_non_null(strstr(err.text, "members of the group daemon cannot reach"));
    assert_non_null(strstr(err.text, p->dir));
    assert_int_equal(chown(p->dir, (uid_t)-1, g->gr_gid), 0);
    assert_int_equal(chmod(p->dir, 0710), 0);
    control_socket_reachable(&s, &err);
    assert_string_equal(err.text, "");
    close(s.fd);
}

static void test_the_runtime_directory_goes_to_the_group(void **state)
{
    struct place *p = *state;
    const struct group *g = getgrnam("daemon");
    struct control_socket s;
    struct err err;
    struct stat st;
    char two[160];

    if (getuid() != 0 || !g)
        skip();
    chmod(p->dir, 0750);
    for (int given = 0; given < 2; given++) {
        snprintf(two, sizeof two, "%s:/run/other", p->dir);
        setenv("RUNTIME_DIRECTORY", given ? two : "/run/other", 1);
        int rc = control_socket_listen(p->path, "daemon", &s, &err);
        unsetenv("RUNTIME_DIRECTORY");
        if (rc != 0)
            fail_msg("%s", err.text);
        assert_int_equal(stat(p->dir, &st), 0);
        assert_int_equal(st.st_gid == g->gr_gid, given);
        assert_int_equal(st.st_mode & 07777, 0750);
        control_socket_unlink(&s);
        close(s.fd);
    }
}

/* As sd_listen_fds(3) says: descriptors from 3 on, for the process that LISTEN_PID names. */
static void pass(int fd, const char *count)
{
    char pid[16];

    snprintf(pid, sizeof pid, "%d", (int)getpid());
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", count, 1);
    if (fd != 3) {
        assert_int_equal(dup2(fd, 3), 3);
        close(fd);
    }
}

static int listening(const char *path)
{
    struct sockaddr_un addr;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    assert_int_equal(fill_address(path, &addr, NULL), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(listen(fd, 5), 0);
    return fd;
}

/* Descriptor 3 is the test's own while this runs, whoever had it. */
static void test_takes_systemds_socket_and_leaves_it(void **state)
{
    struct place *p = *state;
    int saved = fcntl(3, F_DUPFD_CLOEXEC, 50);
    char other[160];

    pass(listening(p->path), "1");
    struct control_socket s = listen_at(p->path);
    assert_int_equal(s.fd, 3);
    assert_true(fcntl(3, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(3, F_GETFL) & O_NONBLOCK);
    assert_null(getenv("LISTEN_FDS"));
    assert_int_equal(dial(p->path), 0);
    control_socket_unlink(&s);
    assert_int_equal(access(p->path, F_OK), 0);
    close(s.fd);
    unlink(p->path);

    snprintf(other, sizeof other, "%s.other", p->path);
    pass(listening(other), "1");
    refused(p->path, "", -EINVAL, "ListenStream=");
    assert_int_equal(fcntl(3, F_GETFD), -1);
    unlink(other);
    pass(open("/dev/null", O_RDONLY), "1");
    refused(p->path, "", -EINVAL, "one Unix stream socket is expected");
    if (saved >= 0) {
        dup2(saved, 3);
        close(saved);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_is_for_owner_and_group_whatever_the_umask),
        TEST(test_belongs_to_the_group_that_is_named),
        TEST(test_leaves_a_successors_file_alone),
        TEST(test_replaces_a_stale_socket),
        TEST(test_refuses_a_living_socket),
        TEST(test_refuses_a_busy_socket),
        TEST(test_refuses_what_cannot_be_a_socket),
        TEST(test_tells_which_directory_is_closed),
        TEST(test_the_runtime_directory_goes_to_the_group),
        TEST(test_takes_systemds_socket_and_leaves_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
