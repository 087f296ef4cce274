/* AWS credentials and where they come from: the chain of sources that the SDKs have in common.
 *
 * In order: the environment, the profile (keys, credential_process, roles), web identity, the
 * container, the instance's role. The first that has something decides; one that has something
 * wrong ends the search with a sentence. */
#ifndef SYNCD_AWS_CREDENTIALS_H
#define SYNCD_AWS_CREDENTIALS_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"

struct credentials {
    char *access_key_id;
    char *secret_access_key; /* wiped when freed */
    char *session_token;     /* NULL when there is none; wiped when freed */
    int64_t expires;         /* Unix seconds; 0: never */
    char provider[96]; /* for people: "environment", "profile dev (/home/x/.aws/credentials)" */
};

void credentials_clear(struct credentials *c);
int credentials_copy(struct credentials *to, const struct credentials *from);

struct credentials_request {
    uv_loop_t *loop;     /* must outlive the chain, and run until its handles are closed */
    const char *region;  /* for STS */
    const char *ca_file; /* configuration; "" or NULL: AWS_CA_BUNDLE, else the system's */
    bool allow_plain_http;
    const char *profile; /* configuration; "" or NULL: AWS_PROFILE, else "default" */
    const char
        *credentials_file; /* configuration; "" or NULL: AWS_SHARED_CREDENTIALS_FILE, else ~ */
};

/* Exactly one call of `done`, perhaps before credentials_fetch() returns. On success `c` is
 * non-NULL and the callee takes a copy if it wants to keep it; otherwise `err` holds one sentence
 * that names what was tried. */
typedef void credentials_done_fn(void *arg, const struct credentials *c, const struct err *err);

struct credentials_provider;
/* The chain. Strings are copied. credentials_provider_free() cancels what is under way and leaves
 * handles that close on the loop. */
int credentials_chain_new(const struct credentials_request *req, struct credentials_provider **out,
                          struct err *err);
/* `p` is a chain. One fetch at a time. */
void credentials_fetch(struct credentials_provider *p, credentials_done_fn *done, void *arg);
void credentials_provider_free(struct credentials_provider *p);

#endif
