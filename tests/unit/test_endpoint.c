/* Region and endpoint: who goes before whom, the hosts AWS publishes, and where plain http stops.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "aws/endpoint.h"
#include "aws/endpoint_url.h"

static char config_path[] = "/tmp/syncd-endpoint-XXXXXX";

static void write_config(const char *text)
{
    FILE *f = fopen(config_path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int clean_slate(void **state)
{
    static const char *const names[] = {"AWS_REGION",
                                        "AWS_DEFAULT_REGION",
                                        "AWS_PROFILE",
                                        "AWS_ENDPOINT_URL_DYNAMODB",
                                        "AWS_ENDPOINT_URL",
                                        "AWS_ENDPOINT_URL_STS",
                                        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
                                        "AWS_USE_FIPS_ENDPOINT",
                                        "AWS_USE_DUALSTACK_ENDPOINT"};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null/absent", 1);
    setenv("AWS_CONFIG_FILE", config_path, 1);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    write_config("");
    return 0;
}

static struct endpoint resolve(struct endpoint_request req)
{
    struct endpoint e;
    struct err err = {""};

    if (endpoint_resolve(&req, &e, &err) < 0)
        fail_msg("%s", err.text);
    return e;
}

static void expect_error(struct endpoint_request req, const char *part)
{
    struct endpoint e = {.region = "kept"};
    struct err err = {""};

    assert_int_equal(endpoint_resolve(&req, &e, &err), -EINVAL);
    assert_string_equal(e.region, "kept");
    if (!strstr(err.text, part))
        fail_msg("\"%s\" does not hold \"%s\"", err.text, part);
}

#define REQ(...) ((struct endpoint_request){__VA_ARGS__})

static void region_order(void **state)
{
    (void)state;
    write_config("[default]\nregion = eu-west-1\n[profile p]\nregion = eu-west-2\n");
    assert_string_equal(resolve(REQ(0)).region, "eu-west-1");
    assert_string_equal(resolve(REQ(.profile = "p")).region, "eu-west-2");
    setenv("AWS_DEFAULT_REGION", "us-east-2", 1);
    assert_string_equal(resolve(REQ(0)).region, "us-east-2");
    setenv("AWS_REGION", "us-east-1", 1);
    assert_string_equal(resolve(REQ(0)).region, "us-east-1");
    assert_string_equal(resolve(REQ(.region = "us-west-2")).region, "us-west-2");
    assert_string_equal(resolve(REQ(.region = "")).region, "us-east-1");
}

static void region_must_be_there_and_be_a_name(void **state)
{
    static const char *const bad[] = {
        "US-WEST-2",  "us west",
        "us-west-2/", "a.b",
        "-x",         "x-",
        "evil.com#",  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};

    (void)state;
    expect_error(REQ(0), "no AWS region: write region = ");
    expect_error(REQ(.endpoint_url = "http://localhost:8000"), "no AWS region");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_error(REQ(.region = bad[i]), "[dynamodb] region is ");
    setenv("AWS_REGION", "a_b", 1);
    expect_error(REQ(0), "AWS_REGION is \"a_b\"");
}

static void the_instance_is_asked_for_a_region_last(void **state)
{
    struct endpoint e = {.region = "kept"};
    struct endpoint_request req = {.region = ""};
    struct err err = {""};

    (void)state;
    unsetenv("AWS_EC2_METADATA_DISABLED");
    assert_int_equal(endpoint_resolve(&req, &e, &err), -ENODATA);
    assert_string_equal(e.region, "kept");
    assert_non_null(strstr(err.text, "no AWS region"));
    assert_string_equal(resolve(REQ(.instance_region = "eu-north-1")).region, "eu-north-1");
    expect_error(REQ(.instance_region = "<html>"), "of the instance metadata service is \"<html>");
    setenv("AWS_DEFAULT_REGION", "us-east-2", 1);
    assert_string_equal(resolve(REQ(.instance_region = "eu-north-1")).region, "us-east-2");
}

static void sts_has_an_endpoint_of_its_own(void **state)
{
#define STS(...) REQ(.region = "eu-west-1", .service = "sts", __VA_ARGS__)
    (void)state;
    assert_string_equal(resolve(STS(0)).url, "https://sts.eu-west-1.amazonaws.com/");
    assert_string_equal(resolve(REQ(.region = "cn-north-1", .service = "sts")).url,
                        "https://sts.cn-north-1.amazonaws.com.cn/");
    setenv("AWS_USE_FIPS_ENDPOINT", "true", 1);
    assert_string_equal(resolve(STS(0)).host, "sts-fips.eu-west-1.amazonaws.com");
    unsetenv("AWS_USE_FIPS_ENDPOINT");
    setenv("AWS_USE_DUALSTACK_ENDPOINT", "true", 1);
    assert_string_equal(resolve(STS(0)).host, "sts.eu-west-1.api.aws");
    unsetenv("AWS_USE_DUALSTACK_ENDPOINT");
    setenv("AWS_ENDPOINT_URL_DYNAMODB", "https://db.example", 1);
    assert_string_equal(resolve(STS(0)).host, "sts.eu-west-1.amazonaws.com");
    write_config("[default]\nservices = s\n[services s]\nsts =\n  endpoint_url = "
                 "https://mine.example\n");
    assert_string_equal(resolve(STS(0)).host, "mine.example");
    setenv("AWS_ENDPOINT_URL", "https://all.example", 1);
    assert_string_equal(resolve(STS(0)).host, "all.example");
    setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9", 1);
    assert_string_equal(resolve(STS(0)).host, "127.0.0.1:9");
    setenv("AWS_ENDPOINT_URL_STS", "http://elsewhere.example", 1);
    expect_error(STS(0), "AWS_ENDPOINT_URL_STS is \"http://elsewhere.example\": plain http");
#undef STS
}

static void credentials_come_over_tls_or_from_near(void **state)
{
    static const struct {
        const char *url;
        bool plain, fine;
    } cases[] = {
        {"https://anywhere.example/path?a=b", false, true},
        {"http://127.0.0.1:8080/x", false, true},
        {"http://localhost/x", false, true},
        {"http://[::1]:1/x", false, true},
        {"http://169.254.170.2/v2/x", false, true},
        {"http://169.254.170.23/v1/credentials", false, true},
        {"http://[fd00:ec2::23]/v1/credentials", false, true},
        {"http://169.254.169.254", false, true},
        {"http://169.254.170.3/v2/x", false, false},
        {"http://10.0.0.1/x", false, false},
        {"http://10.0.0.1/x", true, true},
        {"http://sts.amazonaws.com/x", true, false},
        {"http://me:CANARY@127.0.0.1/x", false, false},
        {"ftp://127.0.0.1/x", false, false},
        {"nothing at all", false, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err err = {""};
        int r = endpoint_url_near(cases[i].url, "THE_URL", cases[i].plain, &err);
        if (r != (cases[i].fine ? 0 : -EINVAL) || (r < 0 && !strstr(err.text, "THE_URL")) ||
            strstr(err.text, "CANARY"))
            fail_msg("%s: %d, %s", cases[i].url, r, err.text);
    }
}

static void default_hosts(void **state)
{
    static const struct {
        const char *region, *fips, *dual, *host;
    } cases[] = {
        {"us-west-2", "", "", "dynamodb.us-west-2.amazonaws.com"},
        {"us-west-2", "true", "", "dynamodb-fips.us-west-2.amazonaws.com"},
        {"us-west-2", "", "TRUE", "dynamodb.us-west-2.api.aws"},
        {"us-west-2", "true", "true", "dynamodb-fips.us-west-2.api.aws"},
        {"us-west-2", "false", "false", "dynamodb.us-west-2.amazonaws.com"},
        {"cn-north-1", "", "", "dynamodb.cn-north-1.amazonaws.com.cn"},
        {"cn-north-1", "", "true", "dynamodb.cn-north-1.api.amazonwebservices.com.cn"},
        {"us-gov-west-1", "", "", "dynamodb.us-gov-west-1.amazonaws.com"},
        {"us-gov-west-1", "true", "", "dynamodb.us-gov-west-1.amazonaws.com"},
        {"us-gov-west-1", "true", "true", "dynamodb-fips.us-gov-west-1.api.aws"},
        {"eusc-de-east-1", "", "", "dynamodb.eusc-de-east-1.amazonaws.eu"},
        {"us-iso-east-1", "", "", "dynamodb.us-iso-east-1.c2s.ic.gov"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char url[320];
        setenv("AWS_USE_FIPS_ENDPOINT", cases[i].fips, 1);
        setenv("AWS_USE_DUALSTACK_ENDPOINT", cases[i].dual, 1);
        struct endpoint e = resolve(REQ(.region = cases[i].region));
        snprintf(url, sizeof url, "https://%s/", cases[i].host);
        assert_string_equal(e.host, cases[i].host);
        assert_string_equal(e.url, url);
        assert_true(e.tls);
    }
}

static void endpoint_order(void **state)
{
    struct endpoint_request req = {.region = "us-west-2"};

    (void)state;
    write_config("[default]\nendpoint_url = https://profile.example\nservices = s\n"
                 "[profile plain]\nendpoint_url = https://plain.example\n"
                 "[services s]\ndynamodb =\n  endpoint_url = https://services.example\n");
    assert_string_equal(resolve(req).url, "https://services.example/");
    req.profile = "plain";
    assert_string_equal(resolve(req).url, "https://plain.example/");
    setenv("AWS_ENDPOINT_URL", "https://any.example", 1);
    assert_string_equal(resolve(req).url, "https://any.example/");
    setenv("AWS_ENDPOINT_URL_DYNAMODB", "https://dynamodb.example/", 1);
    assert_string_equal(resolve(req).url, "https://dynamodb.example/");
    req.endpoint_url = "https://config.example:8443/";
    assert_string_equal(resolve(req).url, "https://config.example:8443/");
    setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true", 1);
    assert_string_equal(resolve(req).url, "https://config.example:8443/");
    req.endpoint_url = "";
    assert_string_equal(resolve(req).url, "https://dynamodb.us-west-2.amazonaws.com/");
}

static void custom_urls_are_normalised(void **state)
{
    static const struct {
        const char *given, *url, *host;
        bool tls;
    } cases[] = {
        {"http://localhost:8000", "http://localhost:8000/", "localhost:8000", false},
        {"http://LocalHost:80/", "http://localhost/", "localhost", false},
        {"HTTPS://DB.Example:443", "https://db.example/", "db.example", true},
        {"https://db.example:80", "https://db.example:80/", "db.example:80", true},
        {"http://[::1]:4566", "http://[::1]:4566/", "[::1]:4566", false},
        {"http://127.8.9.10:1", "http://127.8.9.10:1/", "127.8.9.10:1", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct endpoint e = resolve(REQ(.region = "r", .endpoint_url = cases[i].given));
        assert_string_equal(e.url, cases[i].url);
        assert_string_equal(e.host, cases[i].host);
        assert_int_equal(e.tls, cases[i].tls);
    }
}

static void malformed_urls_are_refused(void **state)
{
    static const char *const bad[] = {"localhost:8000",
                                      "db.example",
                                      "ftp://db.example",
                                      "file:///etc/passwd",
                                      "https://",
                                      "https://db.example/path",
                                      "https://db.example/?q=1",
                                      "https://db.example/#f",
                                      "https://db.example:99999",
                                      "https://db.example:0",
                                      "https://db example",
                                      "https://db.example\r\nEvil: 1",
                                      "https://a%0d%0ab",
                                      "https://[fe80::1%25eth0]:1"};
    struct endpoint_request user = {.region = "r", .endpoint_url = "https://me:CANARY@db.example"};
    struct endpoint e;
    struct err err = {""};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_error(REQ(.region = "r", .endpoint_url = bad[i]), "[dynamodb] endpoint_url");
    assert_int_equal(endpoint_resolve(&user, &e, &err), -EINVAL);
    assert_null(strstr(err.text, "CANARY"));
}

static void plain_http_stops_at_loopback(void **state)
{
    static const char *const elsewhere[] = {
        "http://db.example:8000",        "http://10.0.0.5:8000", "http://localhost.evil.example",
        "http://127.0.0.1.evil.example", "http://[::2]:8000",    "http://0.0.0.0:8000"};

    (void)state;
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++) {
        expect_error(REQ(.region = "r", .endpoint_url = elsewhere[i]), "allow_plain_http = yes");
        assert_false(
            resolve(REQ(.region = "r", .endpoint_url = elsewhere[i], .allow_plain_http = true))
                .tls);
    }
}

static void plain_http_never_reaches_aws(void **state)
{
    static const char *const aws[] = {"http://dynamodb.us-west-2.amazonaws.com",
                                      "http://DynamoDB.us-west-2.AmazonAWS.com:8000",
                                      "http://dynamodb.us-west-2.amazonaws.com.",
                                      "http://dynamodb.us-west-2.api.aws",
                                      "http://dynamodb.cn-north-1.amazonaws.com.cn",
                                      "http://amazonaws.com"};

    (void)state;
    for (size_t i = 0; i < sizeof aws / sizeof *aws; i++)
        expect_error(REQ(.region = "r", .endpoint_url = aws[i], .allow_plain_http = true),
                     "never spoken to over plain http");
    assert_false(resolve(REQ(.region = "r", .endpoint_url = "http://notamazonaws.com",
                             .allow_plain_http = true))
                     .tls);
}

static void variants_and_custom_endpoints_contradict(void **state)
{
    (void)state;
    setenv("AWS_USE_FIPS_ENDPOINT", "true", 1);
    expect_error(REQ(.region = "r", .endpoint_url = "https://db.example"),
                 "[dynamodb] endpoint_url and AWS_USE_FIPS_ENDPOINT contradict each other");
    setenv("AWS_USE_FIPS_ENDPOINT", "", 1);
    setenv("AWS_USE_DUALSTACK_ENDPOINT", "true", 1);
    setenv("AWS_ENDPOINT_URL", "https://db.example", 1);
    expect_error(REQ(.region = "r"), "AWS_ENDPOINT_URL and AWS_USE_DUALSTACK_ENDPOINT");
    setenv("AWS_USE_DUALSTACK_ENDPOINT", "yes", 1);
    expect_error(REQ(.region = "r"), "AWS_USE_DUALSTACK_ENDPOINT is \"yes\"; write true or false");
}

static void a_missing_profile_is_an_error(void **state)
{
    (void)state;
    setenv("AWS_PROFILE", "typo", 1);
    expect_error(REQ(.region = "us-west-2"), "profile typo is neither in");
    write_config("[default]\nregion\n");
    unsetenv("AWS_PROFILE");
    expect_error(REQ(.region = "us-west-2"), ":2: expected");
}

static int make_config(void **state)
{
    int fd = mkstemp(config_path);

    (void)state;
    return fd < 0 ? -1 : close(fd);
}

static int remove_config(void **state)
{
    (void)state;
    return unlink(config_path);
}

#define fresh(test) cmocka_unit_test_setup(test, clean_slate)

int main(void)
{
    const struct CMUnitTest tests[] = {
        fresh(region_order),
        fresh(region_must_be_there_and_be_a_name),
        fresh(the_instance_is_asked_for_a_region_last),
        fresh(sts_has_an_endpoint_of_its_own),
        fresh(credentials_come_over_tls_or_from_near),
        fresh(default_hosts),
        fresh(endpoint_order),
        fresh(custom_urls_are_normalised),
        fresh(malformed_urls_are_refused),
        fresh(plain_http_stops_at_loopback),
        fresh(plain_http_never_reaches_aws),
        fresh(variants_and_custom_endpoints_contradict),
        fresh(a_missing_profile_is_an_error),
    };
    return cmocka_run_group_tests(tests, make_config, remove_config);
}
