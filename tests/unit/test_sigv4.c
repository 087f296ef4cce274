/* Signature Version 4 against known answers. The cases named like "post-vanilla" have the requests
 * of AWS's published signing test suite (awslabs/aws-c-auth, Apache-2.0); their expected
 * signatures, and all others here, were computed with botocore's SigV4Auth. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "aws/sigv4.h"

#define KEY_ID     "AKIDEXAMPLE"
#define SECRET     "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define SUITE_DATE "20150830T123600Z"
#define DATE       "20261120T010203Z"
#define AWS_HOST   "dynamodb.us-west-2.amazonaws.com"
#define TARGET     "DynamoDB_20120810.BatchWriteItem"
#define LONG_TOKEN                                                                                 \
    "AQoDYXdzEPT//////////"                                                                        \
    "wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfI"                    \
    "eoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/"                                                          \
    "kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0"                                  \
    "wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+"            \
    "scqKmlzm8FDry"                                                                                \
    "pNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="

static struct credentials credentials(const char *secret, const char *token)
{
    return (struct credentials){.access_key_id = (char *)KEY_ID,
                                .secret_access_key = (char *)secret,
                                .session_token = (char *)token};
}

/* The value that begins after "Signature=". */
static const char *signature_of(const struct buf *authorization)
{
    const char *at = strstr(authorization->data, "Signature=");

    assert_non_null(at);
    return at + strlen("Signature=");
}

struct suite_case {
    const char *name, *method;
    struct sigv4_header headers[6];
    size_t count;
    const char *signed_names, *signature;
};

static const struct suite_case suite[] = {
    {"get-vanilla",
     "GET",
     {{"Host", "example.amazonaws.com"}, {"X-Amz-Date", SUITE_DATE}},
     2,
     "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"post-vanilla",
     "POST",
     {{"Host", "example.amazonaws.com"}, {"X-Amz-Date", SUITE_DATE}},
     2,
     "host;x-amz-date",
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"post-header-key-case",
     "POST",
     {{"HOST", "example.amazonaws.com"}, {"x-AMZ-dATE", SUITE_DATE}},
     2,
     "host;x-amz-date",
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"post-header-key-sort",
     "POST",
     {{"X-Amz-Date", SUITE_DATE}, {"My-Header1", "value1"}, {"Host", "example.amazonaws.com"}},
     3,
     "host;my-header1;x-amz-date",
     "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
    {"post-header-value-case",
     "POST",
     {{"Host", "example.amazonaws.com"}, {"My-Header1", "VALUE1"}, {"X-Amz-Date", SUITE_DATE}},
     3,
     "host;my-header1;x-amz-date",
     "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
    {"get-header-value-trim",
     "GET",
     {{"Host", "example.amazonaws.com"},
      {"My-Header1", " \t value1 \t"},
      {"My-Header2", " \"a   b \t c\""},
      {"X-Amz-Date", SUITE_DATE}},
     4,
     "host;my-header1;my-header2;x-amz-date",
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {"get-header-key-duplicate",
     "GET",
     {{"My-Header1", "value2"},
      {"Host", "example.amazonaws.com"},
      {"my-header1", "value2"},
      {"X-Amz-Date", SUITE_DATE},
      {"MY-HEADER1", "value1"}},
     5,
     "host;my-header1;x-amz-date",
     "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
    {"post-sts-header-before",
     "POST",
     {{"Host", "example.amazonaws.com"},
      {"X-Amz-Date", SUITE_DATE},
      {"X-Amz-Security-Token", LONG_TOKEN}},
     3,
     "host;x-amz-date;x-amz-security-token",
     "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
};

static void signs_the_published_vectors(void **state)
{
    struct sigv4_signer *s = sigv4_new("us-east-1", "service");
    const struct credentials c = credentials(SECRET, NULL);

    (void)state;
    assert_non_null(s);
    for (size_t i = 0; i < sizeof suite / sizeof *suite; i++) {
        _cleanup_buf_ struct buf out = {0}, want = {0};
        const struct sigv4_request req = {.method = suite[i].method,
                                          .path = "/",
                                          .query = "",
                                          .headers = suite[i].headers,
                                          .header_count = suite[i].count};
        print_message("  %s\n", suite[i].name);
        buf_printf(&want,
                   "AWS4-HMAC-SHA256 Credential=" KEY_ID
                   "/20150830/us-east-1/service/aws4_request, "
                   "SignedHeaders=%s, Signature=%s",
                   suite[i].signed_names, suite[i].signature);
        assert_int_equal(sigv4_sign(s, &c, &req, SUITE_DATE, &out), 0);
        assert_string_equal(out.data, want.data);
    }
    sigv4_free(s);
}

/* A DynamoDB request as the daemon makes it; the caller owns the result. */
static char *sign_dynamodb(struct sigv4_signer *s, const char *host, const char *secret,
                           const char *token, const char *date, const void *body, size_t n)
{
    const struct sigv4_header headers[] = {{"Content-Type", "application/x-amz-json-1.0"},
                                           {"X-Amz-Target", TARGET},
                                           {"Host", host},
                                           {"X-Amz-Date", date},
                                           {"X-Amz-Security-Token", token}};
    const struct sigv4_request req = {.method = "POST",
                                      .path = "/",
                                      .query = "",
                                      .headers = headers,
                                      .header_count = token ? 5 : 4,
                                      .body = body,
                                      .body_len = n};
    const struct credentials c = credentials(secret, token);
    _cleanup_buf_ struct buf out = {0};

    assert_int_equal(sigv4_sign(s, &c, &req, date, &out), 0);
    return strdup(signature_of(&out));
}

static void expect_signature(char *got, const char *want)
{
    assert_string_equal(got, want);
    free(got);
}

static void agrees_with_botocore(void **state)
{
    struct sigv4_signer *s = sigv4_new("us-west-2", "dynamodb");
    enum { BIG = 300 * 1024 };
    unsigned char *big = malloc(BIG);

    (void)state;
    assert_non_null(s);
    assert_non_null(big);
    for (int i = 0; i < BIG; i++)
        big[i] = (unsigned char)(i * 7 + i / 251);
    expect_signature(sign_dynamodb(s, "db.example:8000", SECRET, NULL, DATE, "{}", 2),
                     "8644536ae5eef329ce507a1674839de6eaf46beb1c880d49d303ac9b65fa9743");
    expect_signature(sign_dynamodb(s, AWS_HOST, SECRET, "FwoGZXIvYXdzEXAMPLE/+==", DATE, "{}", 2),
                     "6e320a9fe9c9080bb77df2d02e8b8330c50f044a4756a79988a64c5e4e484d3e");
    expect_signature(sign_dynamodb(s, AWS_HOST, SECRET, NULL, DATE, big, BIG),
                     "bd53f44411dced018e446b41a427aab838bdf0ed2e4e446042927c0fcb4919a0");
    expect_signature(sign_dynamodb(s, AWS_HOST, SECRET, NULL, DATE, "a\0b", 4),
                     "3d1f7aa36ec07566e7309e2d8926bca04c7fd61095431f28ac4e8e584d6e7a17");
    free(big);
    sigv4_free(s);
}

static void derives_the_key_again_when_day_or_secret_changes(void **state)
{
    static const char plain[] = "7be2f20beb8dc333d12e5327ec7d1f9661781168b2a00e30f0a7d1f2d7010ad8";
    static const char other[] = "03fb0f8def361fe003bf008f243587d8ef0d3dc49bdcf3bdc37ad2ccf9584ea5";
    static const char next_day[] =
        "3d7c508938dde43722e1eada924b9332657c5949ac37d2b568e52c0a9bf1047a";
    struct sigv4_signer *s = sigv4_new("us-west-2", "dynamodb");

    (void)state;
    assert_non_null(s);
    for (int round = 0; round < 2; round++) {
        expect_signature(sign_dynamodb(s, AWS_HOST, SECRET, NULL, DATE, "{}", 2), plain);
        expect_signature(sign_dynamodb(s, AWS_HOST, SECRET, NULL, DATE, "{}", 2), plain);
        expect_signature(sign_dynamodb(s, AWS_HOST, SECRET, NULL, "20261121T000000Z", "{}", 2),
                         next_day);
        expect_signature(sign_dynamodb(s, AWS_HOST, "another/Secret+0123456789abcdefghijklmnop",
                                       NULL, DATE, "{}", 2),
                         other);
    }
    sigv4_free(s);
    s = sigv4_new("eu-central-1", "dynamodb");
    assert_non_null(s);
    expect_signature(sign_dynamodb(s, AWS_HOST, SECRET, NULL, DATE, "{}", 2),
                     "9a1f358e8237e79be4d7c8f75d5f13cc7517fe467a2cfb694b0bc2a1d6cca552");
    sigv4_free(s);
}

static void shows_its_steps(void **state)
{
    static const struct sigv4_header headers[] = {{"X-Amz-Target", TARGET},
                                                  {"X-Amz-Date", DATE},
                                                  {"Host", AWS_HOST},
                                                  {"Content-Type", "application/x-amz-json-1.0"}};
    static const struct sigv4_request req = {.method = "POST",
                                             .path = "/",
                                             .query = "",
                                             .headers = headers,
                                             .header_count = 4,
                                             .body = "{}",
                                             .body_len = 2};
    struct sigv4_signer *s = sigv4_new("us-west-2", "dynamodb");
    _cleanup_buf_ struct buf canonical = {0}, to_sign = {0};

    (void)state;
    assert_non_null(s);
    assert_int_equal(sigv4_canonical_request(&req, &canonical), 0);
    assert_string_equal(canonical.data,
                        "POST\n/\n\n"
                        "content-type:application/x-amz-json-1.0\n"
                        "host:" AWS_HOST "\n"
                        "x-amz-date:" DATE "\n"
                        "x-amz-target:" TARGET "\n\n"
                        "content-type;host;x-amz-date;x-amz-target\n"
                        "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    assert_int_equal(sigv4_string_to_sign(s, DATE, canonical.data, canonical.len, &to_sign), 0);
    assert_string_equal(to_sign.data,
                        "AWS4-HMAC-SHA256\n" DATE "\n20261120/us-west-2/dynamodb/aws4_request\n"
                        "6dc4a73e0de457e3ae3914068fe044da35fa3633ca229fc7fcedaf5d531ded35");
    sigv4_free(s);
}

static void refuses_what_would_not_be_one_request(void **state)
{
    static const struct sigv4_header good[] = {{"Host", AWS_HOST}, {"X-Amz-Date", DATE}};
    static const struct sigv4_header split_value[] = {{"Host", "a\r\nEvil: b"}};
    static const struct sigv4_header split_name[] = {{"Host: a\r\nEvil", "b"}};
    const struct sigv4_request bad[] = {
        {.method = "POST", .path = "/", .query = "", .headers = split_value, .header_count = 1},
        {.method = "POST", .path = "/", .query = "", .headers = split_name, .header_count = 1},
        {.method = "POST", .path = "x", .query = "", .headers = good, .header_count = 2},
        {.method = "", .path = "/", .query = "", .headers = good, .header_count = 2},
        {.method = "POST", .path = "/", .query = "", .headers = good, .header_count = 65},
    };
    struct sigv4_signer *s = sigv4_new("us-west-2", "dynamodb");
    const struct credentials c = credentials(SECRET, NULL);
    const struct credentials odd = {.access_key_id = (char *)"AKID/x",
                                    .secret_access_key = (char *)SECRET};
    const struct sigv4_request fine = {
        .method = "POST", .path = "/", .query = "", .headers = good, .header_count = 2};
    _cleanup_buf_ struct buf out = {0};

    (void)state;
    assert_non_null(s);
    buf_puts(&out, "kept");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(sigv4_sign(s, &c, &bad[i], DATE, &out), -EINVAL);
    assert_int_equal(sigv4_sign(s, &c, &fine, "2026-11-20", &out), -EINVAL);
    assert_int_equal(sigv4_sign(s, &odd, &fine, DATE, &out), -EINVAL);
    assert_string_equal(out.data, "kept");
    assert_int_equal(sigv4_sign(s, &c, &fine, DATE, &out), 0);
    assert_int_equal(memcmp(out.data, "keptAWS4-HMAC-SHA256 ", 21), 0);
    sigv4_free(s);
}

static void writes_dates(void **state)
{
    char date[17];

    (void)state;
    sigv4_date(1440938160, date);
    assert_string_equal(date, SUITE_DATE);
    sigv4_date(951782400, date); /* a leap day */
    assert_string_equal(date, "20000229T000000Z");
    sigv4_date(-5, date);
    assert_string_equal(date, "19700101T000000Z");
    sigv4_date(INT64_MAX, date);
    assert_string_equal(date, "99991231T235959Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs_the_published_vectors),
        cmocka_unit_test(agrees_with_botocore),
        cmocka_unit_test(derives_the_key_again_when_day_or_secret_changes),
        cmocka_unit_test(shows_its_steps),
        cmocka_unit_test(refuses_what_would_not_be_one_request),
        cmocka_unit_test(writes_dates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
