#include "aws/wire_lookup.h"

#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Owned by the loop, until its handle is closed, and by the thread, until it ends: whoever comes
 * last frees it. */
struct wire_lookup {
    uv_async_t async;
    atomic_uint owners;
    pthread_mutex_t lock; /* of `abandoned`: async is not closed while the thread uses it */
    bool abandoned;
    char host[256], port[6];
    int code;
    struct wire_addresses found;
    wire_lookup_fn *done;
    void *arg;
    void (*closed)(void *arg);
    void *closed_arg;
};

static void let_go(struct wire_lookup *l)
{
    if (atomic_fetch_sub(&l->owners, 1) > 1)
        return;
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static void add(struct wire_addresses *out, const struct addrinfo *a)
{
    struct wire_address *to = &out->list[out->count];

    if (out->count == WIRE_ADDRESSES || a->ai_addrlen > sizeof to->at)
        return;
    memcpy(&to->at, a->ai_addr, a->ai_addrlen);
    to->len = a->ai_addrlen;
    out->count++;
}

static const struct addrinfo *of_family(const struct addrinfo *a, int family, bool same)
{
    while (a && (a->ai_family == family) != same)
        a = a->ai_next;
    return a;
}

/* The system's order, but so that a family of addresses that leads nowhere is not tried to its end
 * before the other gets its turn. */
static void take_turns(const struct addrinfo *list, struct wire_addresses *out)
{
    *out = (struct wire_addresses){0};
    if (!list)
        return;
    int family = list->ai_family;
    const struct addrinfo *one = list, *other = of_family(list, family, false);
    while (one || other) {
        if (one) {
            add(out, one);
            one = of_family(one->ai_next, family, true);
        }
        if (other) {
            add(out, other);
            other = of_family(other->ai_next, family, false);
        }
    }
}

static int resolve(const char *host, const char *port, int flags, struct wire_addresses *out)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int code = getaddrinfo(host, port, &hints, &list);

    if (code != 0)
        return code;
    take_turns(list, out);
    freeaddrinfo(list);
    return out->count ? 0 : EAI_NONAME;
}

bool wire_lookup_literal(const char *host, const char *port, struct wire_addresses *out)
{
    return resolve(host, port, AI_NUMERICHOST, out) == 0;
}

static void *ask(void *arg)
{
    struct wire_lookup *l = arg;

    l->code = resolve(l->host, l->port, 0, &l->found);
    pthread_mutex_lock(&l->lock);
    if (!l->abandoned)
        uv_async_send(&l->async);
    pthread_mutex_unlock(&l->lock);
    let_go(l);
    return NULL;
}

static void handle_closed(uv_handle_t *handle)
{
    struct wire_lookup *l = handle->data;
    void (*closed)(void *arg) = l->closed;
    void *arg = l->closed_arg;

    let_go(l);
    if (closed)
        closed(arg);
}

void wire_lookup_cancel(struct wire_lookup *l)
{
    pthread_mutex_lock(&l->lock);
    l->abandoned = true;
    pthread_mutex_unlock(&l->lock);
    uv_close((uv_handle_t *)&l->async, handle_closed);
}

static void answered(uv_async_t *async)
{
    struct wire_lookup *l = async->data;
    wire_lookup_fn *done = l->done;
    void *arg = l->arg;

    /* The handle is closed in a later turn: what was found is there until then. */
    wire_lookup_cancel(l);
    done(arg, l->code, &l->found);
}

/* Detached, deaf to signals, which are the loop's. */
static int start_thread(struct wire_lookup *l)
{
    enum { STACK = 256 * 1024 };
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;

    if (pthread_attr_init(&attributes) != 0)
        return -1;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (r == 0)
        r = pthread_attr_setstacksize(&attributes, STACK);
    if (r == 0)
        r = pthread_create(&thread, &attributes, ask, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return r == 0 ? 0 : -1;
}

struct wire_lookup *wire_lookup_start(uv_loop_t *loop, const char *host, const char *port,
                                      wire_lookup_fn *done, void *arg, void (*closed)(void *arg),
                                      void *closed_arg)
{
    struct wire_lookup *l = calloc(1, sizeof *l);

    if (!l || uv_async_init(loop, &l->async, answered) < 0) {
        free(l);
        return NULL;
    }
    l->async.data = l;
    uv_unref((uv_handle_t *)&l->async);
    pthread_mutex_init(&l->lock, NULL);
    snprintf(l->host, sizeof l->host, "%s", host);
    snprintf(l->port, sizeof l->port, "%s", port);
    l->done = done;
    l->arg = arg;
    l->closed = closed;
    l->closed_arg = closed_arg;
    atomic_store(&l->owners, 2);
    if (start_thread(l) == 0)
        return l;
    atomic_store(&l->owners, 1);
    l->closed = NULL;
    wire_lookup_cancel(l);
    return NULL;
}
