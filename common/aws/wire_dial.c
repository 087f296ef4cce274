/* One address after the other, each with a start of a quarter of a second before the next joins in;
 * the first that answers is taken. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "aws/wire_internal.h"

struct attempt {
    struct wire_dial *dial;
    struct wire_socket *socket; /* NULL: not begun, or over */
};

struct wire_dial {
    struct wire *wire;
    struct wire_addresses to;
    struct attempt attempts[WIRE_ADDRESSES];
    size_t next; /* address to try */
    unsigned under_way;
    usec next_due;
    wire_dial_fn *ended;
    void *arg;
    char problem[128]; /* of the latest failure */
};

static void note_failure(struct wire_dial *d, const struct wire_address *a, int error)
{
    char host[NI_MAXHOST], port[NI_MAXSERV], reason[64];
    const struct sockaddr *at = (const struct sockaddr *)&a->at;
    const char *text = strerror_r(error, reason, sizeof reason);

    if (getnameinfo(at, a->len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(d->problem, sizeof d->problem, "%.60s port %s: %s", host, port, text);
    else
        snprintf(d->problem, sizeof d->problem, "%s", text);
}

static void attempt_ready(void *arg);

/* Try the next address that can be tried. */
static void go_on(struct wire_dial *d)
{
    while (d->next < d->to.count) {
        struct attempt *a = &d->attempts[d->next];
        const struct wire_address *to = &d->to.list[d->next++];
        a->dial = d;
        a->socket = wire_socket_connect(d->wire, to, attempt_ready, a);
        if (a->socket) {
            d->under_way++;
            d->next_due = clock_monotonic() + WIRE_NEXT_ADDRESS;
            wire_wake(d->wire, wire_dial_due(d));
            return;
        }
        note_failure(d, to, errno);
    }
}

static void attempt_ready(void *arg)
{
    struct attempt *a = arg;
    struct wire_dial *d = a->dial;
    struct wire *w = d->wire;
    struct wire_socket *s = a->socket;
    int error = 0;
    socklen_t n = sizeof error;

    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
        error = errno;
    a->socket = NULL;
    d->under_way--;
    if (error == 0) {
        d->ended(d->arg, s, NULL);
    } else {
        note_failure(d, &d->to.list[a - d->attempts], error);
        wire_socket_close(s);
        go_on(d);
        if (!d->under_way)
            d->ended(d->arg, NULL, d->problem);
    }
    wire_settle(w);
}

struct wire_dial *wire_dial_start(struct wire *w, const struct wire_addresses *to,
                                  wire_dial_fn *ended, void *arg, char *problem, size_t room)
{
    struct wire_dial *d = calloc(1, sizeof *d);

    snprintf(problem, room, "out of memory");
    if (!d)
        return NULL;
    d->wire = w;
    d->to = *to;
    d->ended = ended;
    d->arg = arg;
    go_on(d);
    if (d->under_way)
        return d;
    snprintf(problem, room, "%s", d->problem);
    free(d);
    return NULL;
}

usec wire_dial_due(const struct wire_dial *d)
{
    return d->next < d->to.count ? d->next_due : USEC_NEVER;
}

void wire_dial_tick(struct wire_dial *d, usec now)
{
    if (now >= wire_dial_due(d))
        go_on(d);
}

void wire_dial_free(struct wire_dial *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->next; i++)
        wire_socket_close(d->attempts[i].socket);
    free(d);
}
