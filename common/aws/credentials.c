#include "aws/credentials.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "aws/credentials_provider.h"
#include "base/buf.h"

enum { MAX_LINKS = 4 };

static void wipe_and_free(char *secret)
{
    if (secret)
        OPENSSL_cleanse(secret, strlen(secret));
    free(secret);
}

void credentials_clear(struct credentials *c)
{
    free(c->access_key_id);
    wipe_and_free(c->secret_access_key);
    wipe_and_free(c->session_token);
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

/* The chain is itself a provider, made of others. */
struct chain {
    struct credentials_provider base;
    struct credentials_provider *links[MAX_LINKS];
    size_t count;
};

/* One walk along the chain. It ends before `done` runs, which may free the chain. */
struct walk {
    struct chain *chain;
    size_t next;
    struct buf tried;
    provider_done_fn *done;
    void *arg;
};

static void walk_end(struct walk *w, enum provider_result result, const struct credentials *c,
                     const struct err *err)
{
    provider_done_fn *done = w->done;
    void *arg = w->arg;

    buf_free(&w->tried);
    free(w);
    done(arg, result, c, err);
}

static void walk_nothing_found(struct walk *w)
{
    struct err err;

    err_set(
        &err, -ENOENT,
        "no AWS credentials found: tried %s; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
        "write both keys under a profile (roles of instances and containers are not supported "
        "by this version)",
        buf_ok(&w->tried) && w->tried.data ? w->tried.data : "nothing");
    walk_end(w, PROVIDER_ABSENT, NULL, &err);
}

static void walk_step(void *arg, enum provider_result result, const struct credentials *c,
                      const struct err *err);

static void walk_on(struct walk *w)
{
    if (w->next == w->chain->count) {
        walk_nothing_found(w);
        return;
    }
    struct credentials_provider *link = w->chain->links[w->next++];
    link->ops->fetch(link, walk_step, w);
}

static void walk_step(void *arg, enum provider_result result, const struct credentials *c,
                      const struct err *err)
{
    struct walk *w = arg;

    if (result != PROVIDER_ABSENT) {
        walk_end(w, result, c, err);
        return;
    }
    if (w->tried.len)
        buf_lit(&w->tried, ", ");
    buf_puts(&w->tried, err->text);
    walk_on(w);
}

static void chain_fetch(struct credentials_provider *p, provider_done_fn *done, void *arg)
{
    struct walk *w = calloc(1, sizeof *w);
    struct err err;

    if (!w) {
        err_set(&err, -ENOMEM, "out of memory while looking for AWS credentials");
        done(arg, PROVIDER_FAILED, NULL, &err);
        return;
    }
    *w = (struct walk){.chain = (struct chain *)p, .done = done, .arg = arg};
    walk_on(w);
}

static void chain_free(struct credentials_provider *p)
{
    struct chain *chain = (struct chain *)p;

    for (size_t i = 0; i < chain->count; i++)
        credentials_provider_free(chain->links[i]);
    free(chain);
}

static const struct provider_ops chain_ops = {"chain", chain_fetch, chain_free};

static bool chain_add(struct chain *chain, struct credentials_provider *link)
{
    if (link)
        chain->links[chain->count++] = link;
    return link != NULL;
}

int credentials_chain_new(const struct credentials_request *req, struct credentials_provider **out,
                          struct err *err)
{
    struct chain *chain = calloc(1, sizeof *chain);
    bool profile_configured = req->profile && *req->profile;

    if (!chain)
        return err_set(err, -ENOMEM, "out of memory while preparing AWS credentials");
    chain->base.ops = &chain_ops;
    if ((profile_configured || chain_add(chain, environment_provider_new())) &&
        chain_add(chain, profile_provider_new(req->profile, req->credentials_file))) {
        *out = (struct credentials_provider *)chain;
        return 0;
    }
    chain_free((struct credentials_provider *)chain);
    return err_set(err, -ENOMEM, "out of memory while preparing AWS credentials");
}

/* The caller's callback, which does not tell why there is nothing. */
struct answer {
    credentials_done_fn *done;
    void *arg;
};

static void pass_on(void *arg, enum provider_result result, const struct credentials *c,
                    const struct err *err)
{
    struct answer to = *(struct answer *)arg;

    free(arg);
    to.done(to.arg, result == PROVIDER_FOUND ? c : NULL, result == PROVIDER_FOUND ? NULL : err);
}

void credentials_fetch(struct credentials_provider *p, credentials_done_fn *done, void *arg)
{
    struct answer *to = malloc(sizeof *to);
    struct err err;

    if (!to) {
        err_set(&err, -ENOMEM, "out of memory while looking for AWS credentials");
        done(arg, NULL, &err);
        return;
    }
    *to = (struct answer){done, arg};
    p->ops->fetch(p, pass_on, to);
}

void credentials_provider_free(struct credentials_provider *p)
{
    if (p)
        p->ops->free(p);
}
