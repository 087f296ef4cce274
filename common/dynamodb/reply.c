#include "dynamodb/reply.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>

#include "base/text.h"
#include "dynamodb/policy.h"

uint32_t crc32_of(const void *bytes, size_t n)
{
    static uint32_t table[256];
    const unsigned char *p = bytes;
    uint32_t crc = 0xffffffffu;

    if (!table[1])
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;
            for (int k = 0; k < 8; k++)
                c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
            table[i] = c;
        }
    for (size_t i = 0; i < n; i++)
        crc = table[(crc ^ p[i]) & 0xff] ^ (crc >> 8);
    return crc ^ 0xffffffffu;
}

bool reply_checksum_ok(const struct reply_bytes *b)
{
    return !b->has_crc32 || crc32_of(b->body, b->len) == b->crc32;
}

static const struct {
    const char *code;
    enum reply_class class;
} codes[] = {
    {"ProvisionedThroughputExceededException", REPLY_THROTTLED},
    {"ThrottlingException", REPLY_THROTTLED},
    {"RequestLimitExceeded", REPLY_THROTTLED},
    {"Throttling", REPLY_THROTTLED},
    {"InternalServerError", REPLY_TRANSIENT},
    {"InternalFailure", REPLY_TRANSIENT},
    {"ServiceUnavailable", REPLY_TRANSIENT},
    {"ServiceUnavailableException", REPLY_TRANSIENT},
    {"RequestTimeout", REPLY_TRANSIENT},
    {"RequestTimeoutException", REPLY_TRANSIENT},
    {"ReplicatedWriteConflictException", REPLY_TRANSIENT},
    {"TransactionInProgressException", REPLY_TRANSIENT},
    {"TransactionConflictException", REPLY_TRANSIENT},
    {"LimitExceededException", REPLY_THROTTLED},
    {"ResourceInUseException", REPLY_TRANSIENT},
    {"ExpiredTokenException", REPLY_EXPIRED},
    {"ExpiredToken", REPLY_EXPIRED},
    {"UnrecognizedClientException", REPLY_CREDENTIALS},
    {"InvalidSignatureException", REPLY_CREDENTIALS},
    {"SignatureDoesNotMatch", REPLY_CREDENTIALS},
    {"IncompleteSignatureException", REPLY_CREDENTIALS},
    {"MissingAuthenticationTokenException", REPLY_CREDENTIALS},
    {"MissingAuthenticationToken", REPLY_CREDENTIALS},
    {"AuthFailure", REPLY_CREDENTIALS},
    {"InvalidClientTokenId", REPLY_CREDENTIALS},
    {"RequestExpired", REPLY_CLOCK},
    {"RequestTimeTooSkewed", REPLY_CLOCK},
    {"RequestInTheFuture", REPLY_CLOCK},
    {"AccessDeniedException", REPLY_DENIED},
    {"ResourceNotFoundException", REPLY_NO_TABLE},
    {"ValidationException", REPLY_INVALID},
    {"SerializationException", REPLY_INVALID},
    {"ItemCollectionSizeLimitExceededException", REPLY_INVALID},
};

static enum reply_class class_of_code(const char *code)
{
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (strcmp(codes[i].code, code) == 0)
            return codes[i].class;
    return REPLY_UNEXPECTED;
}

static enum reply_class class_of_status(int status)
{
    switch (status) {
    case 413:
        return REPLY_TOO_LARGE;
    case 429:
        return REPLY_THROTTLED;
    case 500:
    case 502:
    case 503:
    case 504:
        return REPLY_TRANSIENT;
    default:
        /* A 200 that cannot be understood was probably carried out. */
        return status == 200 ? REPLY_AMBIGUOUS : REPLY_UNEXPECTED;
    }
}

/* "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException:http://…" -> the name alone. */
static void copy_code(char *out, size_t size, const char *type)
{
    const char *hash = strrchr(type, '#');
    const char *start = hash ? hash + 1 : type;

    text_copy(out, size, start);
    out[strcspn(out, ":")] = '\0';
}

static const char *string_member(const json_t *o, const char *a, const char *b)
{
    const char *s = json_string_value(json_object_get(o, a));

    return s ? s : json_string_value(json_object_get(o, b));
}

/* One code covers several causes; DynamoDB tells them apart in words only. */
static enum reply_class refine(enum reply_class class, const char *message)
{
    if (class == REPLY_CREDENTIALS &&
        (strstr(message, "Signature expired") || strstr(message, "not yet current")))
        return REPLY_CLOCK;
    if (class == REPLY_INVALID &&
        (strstr(message, "key element does not match the schema") ||
         strstr(message, "number of conditions on the keys is invalid") ||
         strstr(message, "Missing the key ") || strstr(message, "Type mismatch for key ")))
        return REPLY_KEY_SCHEMA;
    return class;
}

/* "ThrottlingReasons":[{"reason":"TableWriteKeyRangeThroughputExceeded","resource":"arn:…"}]: are
 * partitions all that is named? */
static bool names_key_ranges_only(const json_t *root)
{
    const json_t *list = json_object_get(root, "ThrottlingReasons"), *one;
    size_t i;

    if (!list)
        list = json_object_get(root, "throttlingReasons");
    json_array_foreach(list, i, one)
    {
        const char *reason = string_member(one, "reason", "Reason");
        if (!reason || !strstr(reason, "KeyRange"))
            return false;
    }
    return json_array_size(list) > 0;
}

void reply_classify(const struct reply_bytes *b, struct reply *out)
{
    out->status = b->status;
    out->code[0] = out->message[0] = '\0';
    out->key_range = false;
    if (!reply_checksum_ok(b)) {
        out->class = b->status == 200 ? REPLY_AMBIGUOUS : REPLY_TRANSIENT;
        snprintf(out->code, sizeof out->code, "bad_checksum");
        snprintf(out->message, sizeof out->message,
                 "the reply's checksum is wrong: it was damaged on its way");
        return;
    }
    json_t *root = json_loadb(b->body, b->len, JSON_ALLOW_NUL, NULL);
    const char *type = json_string_value(json_object_get(root, "__type"));
    const char *message = string_member(root, "message", "Message");
    if (type)
        copy_code(out->code, sizeof out->code, type);
    if (out->code[0]) {
        text_copy(out->message, sizeof out->message, message ? message : "");
        out->class = class_of_code(out->code);
        if (out->class == REPLY_UNEXPECTED && class_of_status(b->status) != REPLY_UNEXPECTED)
            out->class = class_of_status(b->status);
        out->class = refine(out->class, out->message);
        if (out->class == REPLY_DENIED && message)
            policy_explain_denied(message, out->message, sizeof out->message);
        out->key_range = out->class == REPLY_THROTTLED && names_key_ranges_only(root);
    } else {
        out->class = class_of_status(b->status);
        snprintf(out->code, sizeof out->code, "http_%d", b->status);
        snprintf(out->message, sizeof out->message,
                 "HTTP status %d without an error DynamoDB sends", b->status);
    }
    json_decref(root);
}
