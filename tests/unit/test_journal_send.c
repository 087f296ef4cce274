/* What journald would receive: a datagram socket of the test's own stands in for its. */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

/* The tests link the common library only. */
#include "journal_send.c"

static char dir[] = "/tmp/syncd-journal-XXXXXX";
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static int journald = -1;

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", dir);
    journald = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return bind(journald, (const struct sockaddr *)&address, sizeof address);
}

static int teardown(void **state)
{
    (void)state;
    close(journald);
    unlink(address.sun_path);
    return rmdir(dir);
}

static void fields_are_lines_and_several_lines_go_with_their_length(void **state)
{
    const char *const fields[] = {"MESSAGE=two\nlines", "PRIORITY=4", "SYNCD_EVENT=x=y"};
    char got[256];
    struct buf expected = {0};
    uint64_t n = htole64(9);

    (void)state;
    assert_int_equal(journal_send(address.sun_path, fields, 3), 0);
    buf_lit(&expected, "SYSLOG_IDENTIFIER=syncd\nMESSAGE\n");
    buf_append(&expected, &n, sizeof n);
    buf_lit(&expected, "two\nlines\nPRIORITY=4\nSYNCD_EVENT=x=y\n");
    ssize_t len = recv(journald, got, sizeof got, MSG_DONTWAIT);
    assert_int_equal(len, expected.len);
    assert_memory_equal(got, expected.data, expected.len);
    buf_free(&expected);
}

/* One that waited would end this test by its time limit. */
static void a_journald_that_does_not_read_is_not_waited_for(void **state)
{
    const char *const fields[] = {"MESSAGE=again and again"};
    char drop[256];
    int rc = 0, sent = 0;

    (void)state;
    alarm(20);
    for (; sent < 100000 && rc == 0; sent++)
        rc = journal_send(address.sun_path, fields, 1);
    alarm(0);
    assert_true(rc == -EAGAIN || rc == -ENOBUFS);
    assert_true(sent > 1);
    while (recv(journald, drop, sizeof drop, MSG_DONTWAIT) > 0)
        continue;
    assert_int_equal(journal_send(address.sun_path, fields, 1), 0);
}

static void a_journald_that_is_not_there_is_said(void **state)
{
    const char *const fields[] = {"MESSAGE=m"};

    (void)state;
    assert_int_equal(journal_send("/nowhere/socket", fields, 1), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_lines_and_several_lines_go_with_their_length),
        cmocka_unit_test(a_journald_that_does_not_read_is_not_waited_for),
        cmocka_unit_test(a_journald_that_is_not_there_is_said),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
