/* What a reply of DynamoDB means. Classification goes by the error code first, the HTTP status
 * second (Amazon DynamoDB Developer Guide, "Error handling with DynamoDB"). */
#ifndef SYNCD_DYNAMODB_REPLY_H
#define SYNCD_DYNAMODB_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"

enum reply_class {
    REPLY_OK,
    REPLY_THROTTLED,   /* nothing written; slow down */
    REPLY_TRANSIENT,   /* the service failed; nothing is known to be written, nothing excluded */
    REPLY_NOT_SENT,    /* definitely never reached the service */
    REPLY_AMBIGUOUS,   /* sent, no usable answer: it may have been carried out */
    REPLY_INVALID,     /* refused whole because of some item in it; nothing written */
    REPLY_TOO_LARGE,   /* refused whole for its size; nothing written */
    REPLY_KEY_SCHEMA,  /* the table's key is another than ours; nothing written */
    REPLY_NO_TABLE,    /* a table of it does not exist; nothing written */
    REPLY_DENIED,      /* not allowed on a table of it; nothing written */
    REPLY_EXPIRED,     /* credentials expired: fetch fresh ones */
    REPLY_CREDENTIALS, /* credentials not accepted */
    REPLY_CLOCK,       /* our clock and the service's differ too much */
    REPLY_UNEXPECTED,  /* an error this program does not know */
};

struct reply {
    enum reply_class class;
    int status;
    char code[64];     /* exception's name, or a stable word of the HTTP layer; "" when OK */
    char message[400]; /* DynamoDB's own words, or the HTTP layer's; of a denial see policy.h */
    char request_id[80];
    char date[40];        /* the reply's Date header: the service's clock */
    uint32_t unprocessed; /* bit i: item i of the request was not written (REPLY_OK only) */
    double write_units;   /* consumed, when the reply says so */
    usec retry_after; /* how long the service asks to wait (x-amz-retry-after); 0: it does not */
    bool key_range;   /* REPLY_THROTTLED by partitions of the keys sent, not by the table */
};

/* The bytes as they came. */
struct reply_bytes {
    int status;
    const char *body;
    size_t len;
    bool has_crc32;
    uint32_t crc32;
};

/* Classify an error reply (status other than 200), or a 200 whose checksum or body is broken. Fills
 * class, status, code, message and key_range. */
void reply_classify(const struct reply_bytes *b, struct reply *out);

/* Is the body what the service sent (x-amz-crc32)? True when it sent no checksum. */
bool reply_checksum_ok(const struct reply_bytes *b);

/* CRC-32 of zlib and x-amz-crc32 (reflected 0xEDB88320). */
uint32_t crc32_of(const void *bytes, size_t n);

#endif
