/* What a link of the credentials chain implements. A link embeds this struct as its first member.
 *
 * fetch() leads to exactly one call of `done`, perhaps before it returns; `done` may free the whole
 * chain, so a link touches nothing of its own after calling it. free() while a fetch is under way
 * cancels it without `done`. Nothing is cached here: every fetch looks again, so that rotated keys
 * are seen. */
#ifndef SYNCD_AWS_CREDENTIALS_PROVIDER_H
#define SYNCD_AWS_CREDENTIALS_PROVIDER_H

#include "aws/credentials.h"

enum provider_result {
    PROVIDER_FOUND,  /* `c` holds them */
    PROVIDER_ABSENT, /* nothing here, try the next; `err` is a phrase that says what was tried */
    PROVIDER_FAILED, /* something is here and is wrong: stop; `err` is a sentence */
};

typedef void provider_done_fn(void *arg, enum provider_result result, const struct credentials *c,
                              const struct err *err);

struct provider_ops {
    const char *name;
    void (*fetch)(struct credentials_provider *p, provider_done_fn *done, void *arg);
    void (*free)(struct credentials_provider *p);
};

struct credentials_provider {
    const struct provider_ops *ops;
};

/* NULL for lack of memory; strings are copied. */
struct credentials_provider *environment_provider_new(void);
struct credentials_provider *profile_provider_new(const char *profile,
                                                  const char *credentials_file);

/* Copy the three strings (a NULL or "" token means none) and the provider's text after checking
 * that they can stand in HTTP headers. `where` is for the sentence and becomes `provider`. */
int credentials_fill(struct credentials *to, const char *where, const char *id, const char *secret,
                     const char *token, struct err *err);

#endif
