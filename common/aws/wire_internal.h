/* The inside of our own HTTP client:
 *
 *   wire.c             the client: calls that wait, the one timer, the end
 *   wire_call.c        a call: its head, what its outcome is called
 *   wire_origin.c      a host: its addresses, its TLS session
 *   wire_connection.c  a connection's life: opened, used, kept, closed
 *   wire_dial.c        a TCP connection to one of several addresses
 *   wire_socket.c      a descriptor on the loop
 *   wire_link.c        bytes on it, plain or by TLS (wire_tls.c)
 *   wire_lookup.c, wire_reply.c, wire_url.c  names, replies, URLs
 *
 * All times are monotonic. Nothing calls `done` but wire_settle(), which callbacks of the loop end
 * with: so it never runs within http_start(), and it may do what it likes with the client. */
#ifndef SYNCD_AWS_WIRE_INTERNAL_H
#define SYNCD_AWS_WIRE_INTERNAL_H

#include <uv.h>

#include "aws/wire.h"
#include "aws/wire_link.h"
#include "aws/wire_lookup.h"
#include "aws/wire_reply.h"
#include "aws/wire_tls.h"
#include "aws/wire_url.h"
#include "base/buf.h"
#include "base/list.h"

#define WIRE_IDLE_FOR (50 * USEC_PER_SEC) /* a kept connection; servers end theirs as well */
#define WIRE_CONNECTION_LASTS                                                                      \
    (10 * 60 * USEC_PER_SEC)                       /* so that changed addresses are followed       \
                                                    */
#define WIRE_ADDRESSES_LAST  (5 * USEC_PER_SEC)    /* so that many connections need one lookup */
#define WIRE_LOOKUP_PATIENCE (5 * USEC_PER_SEC)    /* then another is begun */
#define WIRE_NEXT_ADDRESS    (250 * USEC_PER_MSEC) /* RFC 8305, section 8 */

enum { WIRE_INPUT = 32 * 1024, WIRE_ORIGINS = 8 };

/* --- sockets ---------------------------------------------------------------------------------- */

/* A descriptor and its poll, which stands for as long as it is open. */
struct wire_socket {
    uv_poll_t poll;
    struct wire *wire;
    int fd;
    int events;               /* waited for; 0: libuv does not look */
    void (*ready)(void *arg); /* something has happened, be it an error */
    void *arg;
};

/* A TCP socket on its way to `to`. NULL: errno says why. */
struct wire_socket *wire_socket_connect(struct wire *w, const struct wire_address *to,
                                        void (*ready)(void *arg), void *arg);
void wire_socket_want(struct wire_socket *s, int events);
/* The descriptor is closed at once. NULL is fine. */
void wire_socket_close(struct wire_socket *s);

/* --- dialling --------------------------------------------------------------------------------- */

struct wire_connection;
struct wire_dial;

/* `socket` is the caller's now; NULL: no address could be reached, and `problem` says why. Runs
 * from the loop, never from within wire_dial_start(); the dial is over, and still to be freed. */
typedef void wire_dial_fn(void *arg, struct wire_socket *socket, const char *problem);

/* NULL: nothing can be tried, and `problem` (of `room` bytes) says why. */
struct wire_dial *wire_dial_start(struct wire *w, const struct wire_addresses *to,
                                  wire_dial_fn *ended, void *arg, char *problem, size_t room);
/* When wire_dial_tick() has something to do: the next address has its turn. */
usec wire_dial_due(const struct wire_dial *d);
void wire_dial_tick(struct wire_dial *d, usec now);
void wire_dial_free(struct wire_dial *d);

/* --- hosts ------------------------------------------------------------------------------------ */

struct wire_origin {
    struct list node; /* in wire->origins, the latest used first */
    struct wire *wire;
    struct wire_url url;
    char *text;     /* scheme://host:port of the URLs that lead here, as they are written */
    bool proxied;   /* a proxy may stand before it */
    bool literal;   /* it is an address, not a name */
    bool abrupt;    /* it has ended a kept connection without a word before */
    unsigned users; /* calls and connections */
    struct wire_addresses addresses;
    usec looked_up; /* 0: there are no addresses */
    struct wire_lookup *lookup;
    usec asked;         /* when `lookup` began */
    struct list asking; /* connections that wait for it */
    struct wire_session session;
};

/* The one for `url`, made if need be; NULL: its form is not plain, or no memory. */
struct wire_origin *wire_origin_of(struct wire *w, const char *url);
void wire_origin_use(struct wire_origin *o);
void wire_origin_leave(struct wire_origin *o);
void wire_origin_free(struct wire_origin *o);
/* Have wire_connection_dial() run with its addresses, or without: now, or when they are known. */
void wire_origin_ask(struct wire_origin *o, struct wire_connection *x);
/* None of its addresses answers: look them up again next time. */
void wire_origin_distrust(struct wire_origin *o);

/* --- calls ------------------------------------------------------------------------------------ */

/* POOLED -> WAITING -> CARRIED (by a connection, from before it is opened) -> FINISHED -> DELIVERED
 * -> POOLED or freed. From CARRIED back to WAITING when nothing of it was sent. Cancelling leads
 * from any but the last two to POOLED. */
enum wire_call_state { WIRE_POOLED, WIRE_WAITING, WIRE_CARRIED, WIRE_FINISHED, WIRE_DELIVERED };

struct wire_call {
    struct http_call base;
    struct list node; /* in the client's list of its state; alone while CARRIED or DELIVERED */
    struct wire *wire;
    enum wire_call_state state;
    struct wire_origin *origin;         /* while WAITING or CARRIED */
    struct wire_connection *connection; /* while CARRIED */
    http_done_fn *done;
    void *arg;

    struct buf head; /* what is sent before the body */
    const char *body;
    size_t body_len;
    bool secret;
    usec deadline, connect_timeout;
    unsigned restarts; /* kept connections that were found dead */

    struct wire_reply in;
    struct http_reply reply;
};

struct wire_call *wire_call_take(struct wire *w);
int wire_call_prepare(struct wire_call *call, const struct http_request *req,
                      struct wire_origin *origin);
/* The call belongs to nobody any more. */
void wire_call_release(struct wire_call *call);
void wire_call_free(struct wire_call *call);
/* These leave the call FINISHED; its connection has let go of it. */
void wire_call_replied(struct wire_call *call);
void wire_call_failed(struct wire_call *call, enum http_outcome outcome, const char *code,
                      const char *phrase, const char *detail);

/* --- connections ------------------------------------------------------------------------------ */

enum wire_connection_state {
    WIRE_ASKING, /* for its host's addresses */
    WIRE_DIALING,
    WIRE_SHAKING, /* hands, by TLS */
    WIRE_BUSY,
    WIRE_IDLE,
};

struct wire_connection {
    struct list node;   /* in wire->idle or wire->used */
    struct list asking; /* in origin->asking while ASKING */
    struct wire *wire;
    struct wire_origin *origin;
    enum wire_connection_state state;
    struct wire_call *call; /* NULL only while IDLE */
    usec opened, idle_since, connect_deadline;
    struct wire_dial *dial; /* while DIALING */
    struct wire_socket *socket;
    struct wire_link link;
    size_t sent;       /* of the call's head and body */
    bool used;         /* it has carried a request before */
    bool sending_over; /* all is sent, or nothing more can be */
    bool broken;       /* nothing more can be: a reply may have come before */
    bool want_write;   /* TLS has something to send */
};

/* For a call that is WAITING: it is CARRIED then, or FINISHED. */
void wire_connection_open(struct wire_call *call);
/* An IDLE one takes a call that is WAITING, and sends. */
void wire_connection_carry(struct wire_connection *x, struct wire_call *call);
/* Of an IDLE one: may it carry a request? One whose reply has just been read is not looked at
 * again, unless its host is known to end connections right after a reply. */
bool wire_connection_alive(struct wire_connection *x);
/* Its host's addresses are known, or not: `problem`. */
void wire_connection_dial(struct wire_connection *x, const char *problem);
/* Its call, if it has one, is let go of first. */
void wire_connection_close(struct wire_connection *x);
/* The time is `now`: give up, try another address, or close what was idle for long. */
void wire_connection_tick(struct wire_connection *x, usec now);
/* When that has something to do. */
usec wire_connection_due(const struct wire_connection *x);

/* --- the client ------------------------------------------------------------------------------- */

struct wire {
    struct http_setup setup;
    struct wire_tls tls;
    uv_timer_t timer;
    usec due;         /* when it is; USEC_NEVER: it stands still */
    unsigned handles; /* libuv's, ours, that are open */
    unsigned calls;   /* that are not POOLED; the loop lives while there are any */

    struct list waiting, finished, pool;
    unsigned pooled;
    struct list used, idle; /* connections; idle: the latest used first */
    unsigned connections;
    struct wire_connection *fresh; /* its reply has just been read, and nothing came after it */
    struct list origins;
    unsigned origin_count;

    char *input;  /* WIRE_INPUT bytes: what was just read */
    char *record; /* WIRE_RECORD bytes: what is just written */
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* See to it that the timer is due at `when` at the latest. */
void wire_wake(struct wire *w, usec when);
/* Deliver what is finished, start what waits. The last thing that a callback of the loop does. */
void wire_settle(struct wire *w);
/* A handle of libuv's is closed. */
void wire_handle_closed(void *wire);

#endif
