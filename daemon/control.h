/* The control socket: HTTP/1.1 by libmicrohttpd over a Unix socket, inside the libuv loop.
 *
 * This file knows sockets, routes, methods, sizes and who is asking; what an answer says is the
 * handlers' business. Unknown path 404, wrong method 405 (with Allow), body over 64 KiB 413, too
 * many calls waiting 503; each as JSON {"error":{"code","message"}}. Bounds: 48 calls that wait for
 * their answer, 32 KiB of memory a connection, 30 s for a client to send its next request whole and
 * 30 s to take the answer, 64 connections (128 for moments): where there are more, those go that
 * have taken longer than 0.1 s, first of the user who has most of them, so that however many
 * dawdle, whoever asks is answered. */
#ifndef SYNCD_DAEMON_CONTROL_H
#define SYNCD_DAEMON_CONTROL_H

#include <stdbool.h>
#include <sys/types.h>
#include <uv.h>

#include "base/buf.h"
#include "base/err.h"

struct control;
struct control_call; /* one request that waits for its answer */

/* Must lead to exactly one control_reply(), now or later on the loop. */
typedef void control_handler_fn(void *arg, struct control_call *call);

/* Who may: by SO_PEERCRED and SO_PEERGROUPS; 403 otherwise. */
enum control_right {
    CONTROL_READ,    /* whoever can open the socket: its group */
    CONTROL_CHANGE,  /* root and the daemon's own user */
    CONTROL_OPERATE, /* and members of operator_group */
};

struct control_route {
    const char *method; /* "GET" or "POST" */
    const char *path;   /* exact, "/v1/status" */
    control_handler_fn *handler;
    enum control_right right;
};

struct control_groups {
    const char *socket;    /* owns the socket; "": see control_socket.h */
    const char *operators; /* may operate; "": none */
};

/* Listen on `path` as control_socket.h says. Routes end with a NULL path and must outlive the
 * server. 0 or a negative errno with a sentence. */
int control_start(uv_loop_t *loop, const char *path, const struct control_groups *groups,
                  const struct control_route *routes, void *arg, struct control **out,
                  struct err *err);
/* What keeps members of the socket's group from reaching it, a sentence with what to do; "" when
 * nothing does. */
const char *control_unreachable(const struct control *c);

/* The same over TCP, at an address of the loopback ([control] listen). Nobody is known there: its
 * routes only read. Requests whose Host is no address of the loopback are refused (403). */
int control_start_tcp(uv_loop_t *loop, const char *address, const struct control_route *routes,
                      void *arg, struct control **out, struct err *err);

/* Value of a query argument, or NULL; valid UTF-8; lives as long as the call. */
const char *control_query(struct control_call *call, const char *name);
/* The nth (from 0) value of an argument that may be repeated (`?id=1&id=2`), or NULL past the last.
 */
const char *control_query_nth(struct control_call *call, const char *name, unsigned nth);
/* May the caller do more than the route asks for? Else the call is answered, and the handler ends.
 */
bool control_permit(struct control_call *call, enum control_right right);
uid_t control_peer_uid(const struct control_call *call);
pid_t control_peer_pid(const struct control_call *call);

/* Answer. `body` is taken over (emptied). content_type NULL: application/json. A body that failed
 * for want of memory is answered 500. */
void control_reply(struct control_call *call, int status, const char *content_type,
                   struct buf *body);
/* {"error":{"code","message"}} */
void control_reply_error(struct control_call *call, int status, const char *code,
                         const char *message);
/* `gone` runs when nobody waits for the answer any more: the client hung up (or half closed), too
 * many calls wait, or control_stop() answers in the owner's stead. control_reply() must not be
 * called from then on. It may run as soon as the handler has returned. */
void control_on_gone(struct control_call *call, void (*gone)(void *arg), void *arg);

/* Stops listening, unlinks the socket, closes the handles; pending calls are answered 503 first.
 * `closed` runs on the loop when the memory is gone. Not from within a handler. */
void control_stop(struct control *c, void (*closed)(void *arg), void *arg);

#endif
