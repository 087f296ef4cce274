/* What credential sources answer, read: pure functions over bytes that come from outside.
 *
 * Members by the AWS SDKs and Tools Reference Guide ("Process credential provider", "Container
 * credential provider", "IMDS credential provider") and the STS API Reference; STS is asked for
 * JSON, which wraps each reply in ACTIONResponse and ACTIONResult and gives times as Unix seconds.
 * No sentence made here holds a value of the reply but an error's own code and message. */
#ifndef SYNCD_AWS_CREDENTIALS_JSON_H
#define SYNCD_AWS_CREDENTIALS_JSON_H

#include <stddef.h>
#include <stdint.h>

#include "aws/credentials.h"

enum credentials_form {
    CREDENTIALS_PROCESS,   /* credential_process: Version 1; token and expiry may be absent */
    CREDENTIALS_CONTAINER, /* expiry may be absent */
    CREDENTIALS_IMDS,      /* all four, and Code "Success" */
    CREDENTIALS_STS,       /* all four, within whichever action's result */
};

/* 0, -EINVAL or -ENOMEM with a phrase that says what is wrong with the reply ("it is not JSON").
 * `where` becomes the provider's text. */
int credentials_json(enum credentials_form form, const char *body, size_t n, const char *where,
                     struct credentials *out, struct err *err);

/* What the source says of a failure: {"code","message"} of containers, {"Code","Message"} of the
 * metadata service, {"Error":{"Code","Message"}} of STS. Printable; both "" when it says none. */
struct credentials_complaint {
    char code[64], message[240];
};
void credentials_json_complaint(const char *body, size_t n, struct credentials_complaint *out);

/* Unix seconds of "2026-01-01T00:00:00Z"; a fraction may follow the seconds, and "+01:00" may stand
 * for the Z. 0 or -EINVAL. */
int credentials_parse_time(const char *text, int64_t *out);
/* The other way round, for people; `out` holds 21 bytes. */
void credentials_format_time(int64_t unix_seconds, char out[21]);

/* From now on jansson wipes what it frees: replies hold secrets. Process-wide; any number of calls.
 */
void credentials_json_wipe(void);

#endif
