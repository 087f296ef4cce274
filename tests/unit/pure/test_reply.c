/* Replies: each error of DynamoDB has its class, and whatever else a network answers has one too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "dynamodb/reply.h"

static struct reply classified(int status, const char *body)
{
    struct reply_bytes b = {.status = status, .body = body, .len = body ? strlen(body) : 0};
    struct reply r;

    memset(&r, 0x5a, sizeof r);
    reply_classify(&b, &r);
    assert_int_equal(r.status, status);
    return r;
}

static struct reply error(int status, const char *prefix, const char *code, const char *message)
{
    _cleanup_buf_ struct buf body = {0};

    buf_printf(&body, "{\"__type\":\"%s%s\",\"message\":\"%s\"}", prefix, code, message);
    return classified(status, body.data);
}

/* --- codes ------------------------------------------------------------------------------------ */

static const struct {
    const char *code;
    int status;
    enum reply_class class;
} codes[] = {
    {"ProvisionedThroughputExceededException", 400, REPLY_THROTTLED},
    {"ThrottlingException", 400, REPLY_THROTTLED},
    {"RequestLimitExceeded", 400, REPLY_THROTTLED},
    {"LimitExceededException", 400, REPLY_THROTTLED},
    {"InternalServerError", 500, REPLY_TRANSIENT},
    {"InternalFailure", 500, REPLY_TRANSIENT},
    {"ServiceUnavailable", 503, REPLY_TRANSIENT},
    {"RequestTimeout", 400, REPLY_TRANSIENT},
    {"RequestTimeoutException", 400, REPLY_TRANSIENT},
    {"ReplicatedWriteConflictException", 409, REPLY_TRANSIENT},
    {"TransactionInProgressException", 400, REPLY_TRANSIENT},
    {"TransactionConflictException", 400, REPLY_TRANSIENT},
    {"ResourceInUseException", 400, REPLY_TRANSIENT},
    {"ExpiredTokenException", 400, REPLY_EXPIRED},
    {"UnrecognizedClientException", 400, REPLY_CREDENTIALS},
    {"InvalidSignatureException", 400, REPLY_CREDENTIALS},
    {"IncompleteSignatureException", 400, REPLY_CREDENTIALS},
    {"MissingAuthenticationTokenException", 400, REPLY_CREDENTIALS},
    {"SignatureDoesNotMatch", 403, REPLY_CREDENTIALS},
    {"AuthFailure", 403, REPLY_CREDENTIALS},
    {"RequestExpired", 403, REPLY_CLOCK},
    {"RequestTimeTooSkewed", 403, REPLY_CLOCK},
    {"RequestInTheFuture", 403, REPLY_CLOCK},
    {"AccessDeniedException", 400, REPLY_DENIED},
    {"ResourceNotFoundException", 400, REPLY_NO_TABLE},
    {"ValidationException", 400, REPLY_INVALID},
    {"SerializationException", 400, REPLY_INVALID},
    {"ItemCollectionSizeLimitExceededException", 400, REPLY_INVALID},
    {"UnknownOperationException", 400, REPLY_UNEXPECTED},
    {"SomethingNewException", 400, REPLY_UNEXPECTED},
};

static void test_every_code_has_its_class_under_every_prefix(void **state)
{
    static const char *const prefixes[] = {"",
                                           "com.amazonaws.dynamodb.v20120810#",
                                           "com.amazon.coral.service#",
                                           "com.amazon.coral.validate#",
                                           "com.amazon.coral.availability#",
                                           "a#b#"};

    (void)state;
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        for (size_t k = 0; k < sizeof prefixes / sizeof *prefixes; k++) {
            struct reply r = error(codes[i].status, prefixes[k], codes[i].code, "words");
            if (r.class != codes[i].class)
                fail_msg("%s%s is of class %d", prefixes[k], codes[i].code, (int)r.class);
            assert_string_equal(r.code, codes[i].code);
            assert_string_equal(r.message, "words");
        }
}

static bool by_key_range(const char *code, const char *more)
{
    _cleanup_buf_ struct buf body = {0};

    buf_printf(&body, "{\"__type\":\"%s\",\"message\":\"m\"%s}", code, more);
    return classified(400, body.data).key_range;
}

static void test_throttling_by_key_ranges_is_told_from_the_tables(void **state)
{
#define KEYS  "{\"reason\":\"TableWriteKeyRangeThroughputExceeded\",\"resource\":\"arn\"}"
#define INDEX "{\"reason\":\"IndexWriteKeyRangeThroughputExceeded\"}"
#define TABLE "{\"reason\":\"TableWriteMaxOnDemandThroughputExceeded\"}"
    (void)state;
    assert_true(by_key_range("ThrottlingException", ",\"throttlingReasons\":[" KEYS "]"));
    assert_true(by_key_range("ProvisionedThroughputExceededException",
                             ",\"ThrottlingReasons\":[" KEYS "," INDEX "]"));
    assert_false(
        by_key_range("ThrottlingException", ",\"ThrottlingReasons\":[" KEYS "," TABLE "]"));
    assert_false(by_key_range("ThrottlingException", ",\"ThrottlingReasons\":[" TABLE "]"));
    assert_false(by_key_range("ThrottlingException", ",\"ThrottlingReasons\":[]"));
    assert_false(by_key_range("ThrottlingException", ",\"ThrottlingReasons\":[{},7,null]"));
    assert_false(by_key_range("ThrottlingException", ",\"ThrottlingReasons\":{\"reason\":1}"));
    assert_false(by_key_range("ThrottlingException", ""));
    assert_false(by_key_range("InternalServerError", ",\"ThrottlingReasons\":[" KEYS "]"));
}

static void test_what_follows_the_code_is_cut(void **state)
{
    struct reply r = error(400, "x#", "ValidationException:http://internal.amazon.com/coral/", "m");

    (void)state;
    assert_string_equal(r.code, "ValidationException");
    assert_int_equal(r.class, REPLY_INVALID);
}

static void test_the_code_counts_before_the_status(void **state)
{
    (void)state;
    assert_int_equal(error(500, "", "ValidationException", "").class, REPLY_INVALID);
    assert_int_equal(error(403, "", "ThrottlingException", "").class, REPLY_THROTTLED);
    assert_int_equal(error(400, "", "InternalServerError", "").class, REPLY_TRANSIENT);
    assert_int_equal(error(503, "", "SomethingNewException", "").class, REPLY_TRANSIENT);
    assert_int_equal(error(429, "", "SomethingNewException", "").class, REPLY_THROTTLED);
}

static void test_both_spellings_of_message_are_read(void **state)
{
    (void)state;
    assert_string_equal(classified(400, "{\"__type\":\"x#E\",\"Message\":\"upper\"}").message,
                        "upper");
    assert_string_equal(classified(400, "{\"__type\":\"x#E\",\"message\":\"lower\"}").message,
                        "lower");
    assert_string_equal(classified(400, "{\"__type\":\"x#E\"}").message, "");
    assert_string_equal(classified(400, "{\"__type\":\"x#E\",\"message\":5}").message, "");
}

static void test_words_tell_clock_and_key_faults_apart(void **state)
{
    static const char *const clock[] = {
        "Signature expired: 20260101T000000Z is now earlier than 20260101T001000Z",
        "Signature not yet current: 20260101T001000Z is still later than 20260101T000000Z"};
    static const char *const keys[] = {
        "The provided key element does not match the schema",
        "The number of conditions on the keys is invalid",
        "One or more parameter values were invalid: Missing the key id in the item",
        "Type mismatch for key id expected: S actual: N"};
    static const char *const items[] = {
        "Item size has exceeded the maximum allowed size",
        "One or more parameter values were invalid: Type mismatch for Index Key gsi Expected: S "
        "Actual: N IndexName: g",
        "One or more parameter values are not valid. The AttributeValue for a key attribute cannot "
        "contain an empty string value. Key: id"};

    (void)state;
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(error(400, "", "InvalidSignatureException", clock[i]).class, REPLY_CLOCK);
    assert_int_equal(error(400, "", "InvalidSignatureException",
                           "The request signature we calculated does not match")
                         .class,
                     REPLY_CREDENTIALS);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(error(400, "x#", "ValidationException", keys[i]).class, REPLY_KEY_SCHEMA);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(error(400, "x#", "ValidationException", items[i]).class, REPLY_INVALID);
}

/* --- no error of DynamoDB --------------------------------------------------------------------- */

static void test_statuses_without_a_code(void **state)
{
    static const struct {
        int status;
        enum reply_class class;
    } cases[] = {{413, REPLY_TOO_LARGE},  {429, REPLY_THROTTLED},  {500, REPLY_TRANSIENT},
                 {502, REPLY_TRANSIENT},  {503, REPLY_TRANSIENT},  {504, REPLY_TRANSIENT},
                 {400, REPLY_UNEXPECTED}, {403, REPLY_UNEXPECTED}, {404, REPLY_UNEXPECTED},
                 {301, REPLY_UNEXPECTED}, {204, REPLY_UNEXPECTED}, {200, REPLY_AMBIGUOUS}};
    static const char *const bodies[] = {NULL,
                                         "",
                                         "<html><body><h1>502 Bad Gateway</h1></body></html>",
                                         "{\"message\":\"no type\"}",
                                         "[1,2]",
                                         "{\"__type\":5}",
                                         "{\"__type\":\"x#\",\"message\":\"no name\"}",
                                         "{\"__type\":\"x#E\"",
                                         "\"text\"",
                                         "\xff\xfe"};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t k = 0; k < sizeof bodies / sizeof *bodies; k++) {
            _cleanup_buf_ struct buf code = {0};
            struct reply r = classified(cases[i].status, bodies[k]);
            assert_int_equal(r.class, cases[i].class);
            buf_printf(&code, "http_%d", cases[i].status);
            assert_string_equal(r.code, code.data);
            assert_true(strlen(r.message) > 10);
        }
}

static void test_long_words_are_cut_between_characters(void **state)
{
    (void)state;
    for (int shift = 0; shift < 3; shift++) {
        _cleanup_buf_ struct buf message = {0}, code = {0};
        buf_printf(&message, "%.*s", shift, "..");
        while (message.len < 1000)
            buf_puts(&message, "\xe2\x82\xac");
        while (code.len < 100)
            buf_puts(&code, "Long\xc3\xa9");
        struct reply r = error(400, "x#", code.data, message.data);
        size_t n = strlen(r.message);
        assert_true(utf8_valid(r.message, n));
        assert_in_range(n, sizeof r.message - 3, sizeof r.message - 1);
        assert_true(utf8_valid(r.code, strlen(r.code)));
    }
}

/* --- checksums -------------------------------------------------------------------------------- */

static void test_crc32_is_the_common_one(void **state)
{
    (void)state;
    assert_int_equal(crc32_of("123456789", 9), 0xcbf43926u);
    assert_int_equal(crc32_of("", 0), 0);
    assert_int_equal(crc32_of(NULL, 0), 0);
    assert_int_equal(crc32_of("a", 1), 0xe8b7be43u);
}

static void test_a_wrong_checksum_makes_the_reply_unusable(void **state)
{
    const char *body = "{\"__type\":\"x#ValidationException\",\"message\":\"m\"}";
    struct reply_bytes b = {.status = 400, .body = body, .len = strlen(body), .has_crc32 = true};
    struct reply r;

    (void)state;
    b.crc32 = crc32_of(body, b.len);
    assert_true(reply_checksum_ok(&b));
    reply_classify(&b, &r);
    assert_int_equal(r.class, REPLY_INVALID);
    b.crc32 ^= 1;
    assert_false(reply_checksum_ok(&b));
    reply_classify(&b, &r);
    assert_int_equal(r.class, REPLY_TRANSIENT); /* what it says may not be believed */
    assert_string_equal(r.code, "bad_checksum");
    b.status = 200;
    reply_classify(&b, &r);
    assert_int_equal(r.class, REPLY_AMBIGUOUS);
    b.has_crc32 = false;
    assert_true(reply_checksum_ok(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_code_has_its_class_under_every_prefix),
        cmocka_unit_test(test_throttling_by_key_ranges_is_told_from_the_tables),
        cmocka_unit_test(test_what_follows_the_code_is_cut),
        cmocka_unit_test(test_the_code_counts_before_the_status),
        cmocka_unit_test(test_both_spellings_of_message_are_read),
        cmocka_unit_test(test_words_tell_clock_and_key_faults_apart),
        cmocka_unit_test(test_statuses_without_a_code),
        cmocka_unit_test(test_long_words_are_cut_between_characters),
        cmocka_unit_test(test_crc32_is_the_common_one),
        cmocka_unit_test(test_a_wrong_checksum_makes_the_reply_unusable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
