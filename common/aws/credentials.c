#include "aws/credentials.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/credentials_json.h"
#include "aws/credentials_provider.h"
#include "base/buf.h"

enum { MAX_LINKS = 5 };

void credentials_clear(struct credentials *c)
{
    free(c->access_key_id);
    credentials_wipe_text(c->secret_access_key);
    credentials_wipe_text(c->session_token);
    *c = (struct credentials){0};
}

int credentials_copy(struct credentials *to, const struct credentials *from)
{
    struct credentials c = *from;

    c.access_key_id = from->access_key_id ? strdup(from->access_key_id) : NULL;
    c.secret_access_key = from->secret_access_key ? strdup(from->secret_access_key) : NULL;
    c.session_token = from->session_token ? strdup(from->session_token) : NULL;
    if ((from->access_key_id && !c.access_key_id) ||
        (from->secret_access_key && !c.secret_access_key) ||
        (from->session_token && !c.session_token)) {
        credentials_clear(&c);
        return -ENOMEM;
    }
    *to = c;
    return 0;
}

/* All three travel in HTTP headers, or beside '/' and ',' in one: a line end must not get there. */
static bool printable(const char *s)
{
    for (; *s; s++)
        if (!isgraph((unsigned char)*s))
            return false;
    return true;
}

int credentials_fill(struct credentials *to, const char *where, const char *id, const char *secret,
                     const char *token, struct err *err)
{
    if (!printable(id) || strpbrk(id, "/,"))
        return err_set(err, -EINVAL,
                       "aws_access_key_id of %s holds a blank or another character that no key id "
                       "has; write it again",
                       where);
    if (!printable(secret))
        return err_set(err, -EINVAL,
                       "aws_secret_access_key of %s holds a blank or a control character; write it "
                       "again",
                       where);
    if (token && !printable(token))
        return err_set(
            err, -EINVAL,
            "aws_session_token of %s holds a blank or a control character; write it again", where);
    const struct credentials view = {.access_key_id = (char *)id,
                                     .secret_access_key = (char *)secret,
                                     .session_token = token && *token ? (char *)token : NULL};
    if (credentials_copy(to, &view) < 0)
        return err_set(err, -ENOMEM, "out of memory while reading the credentials of %s", where);
    snprintf(to->provider, sizeof to->provider, "%s", where);
    return 0;
}

/* The chain is itself a provider, made of others. One fetch at a time: a walk from link to link. */
struct chain {
    struct credentials_provider base;
    struct credentials_context *ctx;
    struct credentials_provider *links[MAX_LINKS];
    size_t count;

    size_t next;
    struct buf tried; /* what the links passed so far looked at */
    provider_done_fn *done;
    void *arg;
    credentials_done_fn *caller_done; /* of credentials_fetch() */
    void *caller_arg;
};

static void nothing_found(struct chain *chain)
{
    struct err err;

    err_set(&err, -ENOENT,
            "no AWS credentials found: tried %s; attach a role to the instance, or write both keys "
            "under a profile, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            buf_ok(&chain->tried) && chain->tried.data ? chain->tried.data : "nothing");
    chain->done(chain->arg, PROVIDER_ABSENT, NULL, &err);
}

static void walk_on(struct chain *chain);

static void link_done(void *arg, enum provider_result result, const struct credentials *c,
                      const struct err *err)
{
    struct chain *chain = arg;

    if (result != PROVIDER_ABSENT) {
        chain->done(chain->arg, result, c, err);
        return;
    }
    if (chain->tried.len)
        buf_lit(&chain->tried, ", ");
    buf_puts(&chain->tried, err->text);
    walk_on(chain);
}

static void walk_on(struct chain *chain)
{
    if (chain->next == chain->count) {
        nothing_found(chain);
        return;
    }
    struct credentials_provider *link = chain->links[chain->next++];
    link->ops->fetch(link, link_done, chain);
}

static void chain_fetch(struct credentials_provider *p, provider_done_fn *done, void *arg)
{
    struct chain *chain = (struct chain *)p;

    chain->next = 0;
    chain->done = done;
    chain->arg = arg;
    buf_clear(&chain->tried);
    walk_on(chain);
}

static void chain_free(struct credentials_provider *p)
{
    struct chain *chain = (struct chain *)p;

    for (size_t i = 0; i < chain->count; i++)
        credentials_provider_free(chain->links[i]);
    credentials_context_free(chain->ctx);
    buf_free(&chain->tried);
    free(chain);
}

static bool chain_add(struct chain *chain, struct credentials_provider *link)
{
    if (link)
        chain->links[chain->count++] = link;
    return link != NULL;
}

/* A profile that the configuration names goes before the environment; one that only AWS_PROFILE
 * names does not. */
static bool fill_chain(struct chain *chain, const struct credentials_request *req)
{
    struct credentials_context *ctx = chain->ctx;
    bool profile_configured = req->profile && *req->profile;

    return ctx && (profile_configured || chain_add(chain, environment_provider_new())) &&
           chain_add(chain, profile_provider_new(ctx)) &&
           chain_add(chain, web_identity_environment_provider_new(ctx)) &&
           chain_add(chain, container_provider_new(ctx)) &&
           chain_add(chain, imds_provider_new(ctx));
}

int credentials_chain_new(const struct credentials_request *req, struct credentials_provider **out,
                          struct err *err)
{
    static const struct provider_ops ops = {"chain", chain_fetch, chain_free};
    struct chain *chain = calloc(1, sizeof *chain);

    credentials_json_wipe();
    if (chain) {
        chain->base.ops = &ops;
        chain->ctx = credentials_context_new(req);
        if (fill_chain(chain, req)) {
            *out = (struct credentials_provider *)chain;
            return 0;
        }
        chain_free((struct credentials_provider *)chain);
    }
    return err_set(err, -ENOMEM, "out of memory while preparing AWS credentials");
}

/* The caller is not told why there is nothing. */
static void pass_on(void *arg, enum provider_result result, const struct credentials *c,
                    const struct err *err)
{
    struct chain *chain = arg;

    chain->caller_done(chain->caller_arg, result == PROVIDER_FOUND ? c : NULL,
                       result == PROVIDER_FOUND ? NULL : err);
}

void credentials_fetch(struct credentials_provider *p, credentials_done_fn *done, void *arg)
{
    struct chain *chain = (struct chain *)p;

    chain->caller_done = done;
    chain->caller_arg = arg;
    p->ops->fetch(p, pass_on, chain);
}

void credentials_provider_free(struct credentials_provider *p)
{
    if (p)
        p->ops->free(p);
}
