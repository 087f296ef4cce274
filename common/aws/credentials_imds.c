/* The role of an EC2 instance. Looked for last, so that silence means: not on EC2. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/credentials_json.h"
#include "aws/credentials_provider.h"
#include "aws/imds.h"

#define ROLES "latest/meta-data/iam/security-credentials/"

enum { MAX_ROLE = 128 };

struct imds_provider {
    struct credentials_provider base;
    struct credentials_context *ctx;
    struct imds_get *get; /* under way */
    char role[MAX_ROLE];
    provider_done_fn *done;
    void *arg;
};

static void finish(struct imds_provider *p, enum provider_result result,
                   const struct credentials *c, const struct err *err)
{
    p->done(p->arg, result, c, err);
}

static void phrase_absent(struct imds_provider *p, const char *why)
{
    struct err err;

    err_set(&err, -ENOENT, "the instance's role (%s)", why);
    finish(p, PROVIDER_ABSENT, NULL, &err);
}

static void fail(struct imds_provider *p, const char *why)
{
    struct err err;

    err_set(&err, -EIO, "the instance metadata service gives no credentials: %s", why);
    finish(p, PROVIDER_FAILED, NULL, &err);
}

static void got_credentials(void *arg, enum imds_result result, const char *body, size_t n,
                            const struct err *err)
{
    struct imds_provider *p = arg;
    struct credentials_complaint said;
    struct credentials c = {0};
    char where[MAX_ROLE + 32];
    struct err why;

    p->get = NULL;
    if (result != IMDS_FOUND) {
        fail(p, err->text);
        return;
    }
    snprintf(where, sizeof where, "instance role %s", p->role);
    if (credentials_json(CREDENTIALS_IMDS, body, n, where, &c, &why) == 0) {
        finish(p, PROVIDER_FOUND, &c, NULL);
        credentials_clear(&c);
        return;
    }
    credentials_json_complaint(body, n, &said);
    err_prefix(&why, 0, "the answer for role %s%s%s%s%s cannot be used", p->role,
               said.code[0] ? ", " : "", said.code, said.message[0] ? ": " : "", said.message);
    fail(p, why.text);
}

/* The list has one name; what follows its first line is left alone. */
static bool take_role(struct imds_provider *p, const char *body)
{
    size_t n = strcspn(body, "\r\n");

    /* IAM's own alphabet for names of roles; it becomes part of a path. */
    if (n == 0 || n >= MAX_ROLE ||
        strspn(body, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+=,.@_-") < n ||
        strncmp(body, "..", 2) == 0)
        return false;
    memcpy(p->role, body, n);
    p->role[n] = '\0';
    return true;
}

static void start(struct imds_provider *p, const char *path, imds_done_fn *then)
{
    p->get = imds_get_start(p->ctx, path, then, p);
    if (!p->get)
        fail(p, "out of memory");
}

static void got_roles(void *arg, enum imds_result result, const char *body, size_t n,
                      const struct err *err)
{
    struct imds_provider *p = arg;
    char path[sizeof ROLES + MAX_ROLE];

    (void)n;
    p->get = NULL;
    switch (result) {
    case IMDS_SILENT:
    case IMDS_REFUSED:
        phrase_absent(p, err->text);
        return;
    case IMDS_NOTHING:
        phrase_absent(p, "none is attached to this instance");
        return;
    case IMDS_FOUND:
        break;
    }
    if (!take_role(p, body)) {
        fail(p, "its list of roles holds no name of a role");
        return;
    }
    snprintf(path, sizeof path, "%s%s", ROLES, p->role);
    start(p, path, got_credentials);
}

static void imds_fetch(struct credentials_provider *base, provider_done_fn *done, void *arg)
{
    struct imds_provider *p = (struct imds_provider *)base;

    p->done = done;
    p->arg = arg;
    if (imds_disabled())
        phrase_absent(p, "AWS_EC2_METADATA_DISABLED is true");
    else
        start(p, ROLES, got_roles);
}

static void imds_provider_free(struct credentials_provider *base)
{
    struct imds_provider *p = (struct imds_provider *)base;

    imds_get_cancel(p->get);
    free(p);
}

struct credentials_provider *imds_provider_new(struct credentials_context *ctx)
{
    static const struct provider_ops ops = {"instance metadata", imds_fetch, imds_provider_free};
    struct imds_provider *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    p->base.ops = &ops;
    p->ctx = ctx;
    return (struct credentials_provider *)p;
}
