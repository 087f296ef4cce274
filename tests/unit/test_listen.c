/* Addresses of the loopback, and what only looks like one. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config/listen.h"

static void test_addresses_of_the_loopback_are_taken(void **state)
{
    static const char *const fine[] = {"127.0.0.1:9847", "127.5.6.7:1", "localhost:65535",
                                       "[::1]:9847"};
    struct err err = {0};

    (void)state;
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        struct sockaddr_storage addr;
        socklen_t len = 0;
        assert_int_equal(listen_parse(fine[i], &addr, &len, &err), 0);
        assert_int_equal(addr.ss_family, fine[i][0] == '[' ? AF_INET6 : AF_INET);
        assert_int_equal(len, fine[i][0] == '[' ? sizeof(struct sockaddr_in6)
                                                : sizeof(struct sockaddr_in));
    }
    struct sockaddr_storage addr;
    socklen_t len;
    assert_int_equal(listen_parse("127.0.0.1:9847", &addr, &len, &err), 0);
    assert_int_equal(ntohs(((struct sockaddr_in *)&addr)->sin_port), 9847);
}

static void test_anything_else_is_refused_with_a_sentence(void **state)
{
    static const char *const bad[] = {"0.0.0.0:9847",
                                      "10.0.0.1:9847",
                                      "[::]:9847",
                                      "[fe80::1]:9847",
                                      "[::ffff:10.0.0.1]:9847",
                                      "example.org:9847",
                                      "127.0.0.1",
                                      "127.0.0.1:",
                                      "127.0.0.1:0",
                                      "127.0.0.1:65536",
                                      "127.0.0.1:99999999999999999999",
                                      "127.0.0.1:80x",
                                      "127.0.0.1: 80",
                                      "127.0.0.1:-1",
                                      "127.1:80",
                                      "9847",
                                      ":9847",
                                      "[::1",
                                      "[::1]",
                                      "[]:80",
                                      "::1:9847",
                                      ""};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sockaddr_storage addr;
        struct err err = {0};
        socklen_t len = 77;
        assert_int_not_equal(listen_parse(bad[i], &addr, &len, &err), 0);
        assert_int_equal(len, 77);
        assert_non_null(strstr(err.text, "127.0.0.1"));
    }
}

static void test_hosts_of_requests(void **state)
{
    (void)state;
    assert_true(listen_host_is_loopback("127.0.0.1:9847"));
    assert_true(listen_host_is_loopback("127.0.0.1"));
    assert_true(listen_host_is_loopback("LocalHost:80"));
    assert_true(listen_host_is_loopback("[::1]"));
    assert_true(listen_host_is_loopback("[::1]:80"));
    assert_false(listen_host_is_loopback(""));
    assert_false(listen_host_is_loopback("example.org"));
    assert_false(listen_host_is_loopback("127.0.0.1.example.org:9847"));
    assert_false(listen_host_is_loopback("localhost.example.org"));
    assert_false(listen_host_is_loopback("127.0.0.1@example.org"));
    assert_false(listen_host_is_loopback("[::1].example.org"));
    assert_false(listen_host_is_loopback("10.0.0.1:80"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_of_the_loopback_are_taken),
        cmocka_unit_test(test_anything_else_is_refused_with_a_sentence),
        cmocka_unit_test(test_hosts_of_requests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
