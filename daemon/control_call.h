/* Inside the control socket: a connection, a call, and how a call waits and ends. control.c
 * receives the requests and routes them; control_call.c answers them. For these two files only. */
#ifndef SYNCD_DAEMON_CONTROL_CALL_H
#define SYNCD_DAEMON_CONTROL_CALL_H

#include <microhttpd.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/list.h"
#include "control.h"
#include "control_socket.h"

#define CONTROL_MAX_PENDING 48u
#define CONTROL_PHASE_MSEC  30000u
#define CONTROL_NEVER       UINT64_MAX

struct control {
    uv_loop_t *loop;
    struct MHD_Daemon *http;
    uv_poll_t ready; /* libmicrohttpd's epoll descriptor */
    uv_timer_t timer;
    uv_idle_t
        soon; /* runs once in the next turn: a timer of no time may run again in the same one */
    struct control_socket socket;
    const struct control_route *routes;
    void *arg;
    struct list clients; /* struct client, longest there first */
    unsigned client_count;
    gid_t operators; /* operator_group; (gid_t)-1: there is none */
    char operator_group[64];
    struct err unreachable;
    struct list pending; /* struct control_call, CALL_PENDING */
    struct list later;   /* suspended before their handlers ran: the turn was over */
    usec turn_began;
    unsigned pending_count, call_count;
    unsigned open_handles; /* the memory goes with the last one closed */
    bool running;          /* inside libmicrohttpd */
    bool run_again;        /* a call was resumed: libmicrohttpd must be run, no descriptor tells */
    bool stopping;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* One connection; libmicrohttpd's socket context. */
struct client {
    struct list node;
    int fd;
    uid_t uid;
    pid_t pid;
    bool known;        /* the kernel said who it is */
    bool operates;     /* a member of operator_group */
    bool answering;    /* an answer is on its way to it */
    bool waiting;      /* its call is suspended */
    bool cut;          /* hung up on */
    uint64_t since;    /* loop time in ms at which its phase began */
    uint64_t deadline; /* loop time in ms at which the connection is cut, or NEVER */
};

#define CONTROL_CLIENTS 64u /* served at a time */

enum call_state {
    CALL_RECEIVING, /* the body, which nobody reads, is still coming */
    CALL_RUNNING,   /* inside its handler */
    CALL_PENDING,   /* suspended; the handler's owner will answer */
    CALL_ANSWERED,
    CALL_GONE, /* nobody there any more: libmicrohttpd will drop the connection */
};

struct control_call {
    struct list node;
    struct control *control;
    struct client *client;
    struct MHD_Connection *connection;
    enum call_state state;
    size_t body_len;
    struct MHD_Response *response;
    int status;
    struct watch *watch;
    void (*gone)(void *arg);
    void *gone_arg;
};

/* The call waits for its answer (`wait` may take a minute): it is suspended, and watched for a
 * client that hangs up. control_call_answer() ends it. */
void control_call_suspend(struct control_call *call);
/* control_clients.c: */
/* A new phase of the client's begins: it is now the one that dawdles least. */
void control_client_began(struct control *c, struct client *client);
/* libmicrohttpd's notice that a connection has come or is gone. */
void control_client_notice(void *cls, struct MHD_Connection *connection, void **context,
                           enum MHD_ConnectionNotificationCode what);
/* Where more than CONTROL_CLIENTS are there, all go that dawdle; the time to look again, or
 * CONTROL_NEVER. Who has just come is given the time to speak: at libmicrohttpd's limit others wait
 * in the queue. */
uint64_t control_clients_make_room(struct control *c, uint64_t now);
/* Cut whoever is late; the time of the next one, or CONTROL_NEVER. */
uint64_t control_clients_cut_late(struct control *c, uint64_t now);

/* Tell the owner, once, that its answer is not wanted any more. */
void control_call_lost(struct control_call *call);
/* NULL without memory, which drops the connection. */
struct MHD_Response *control_error_response(const char *code, const char *message);
/* The answer, given once; NULL drops the connection. */
void control_call_answer(struct control_call *call, int status, struct MHD_Response *response);
/* Run libmicrohttpd from the loop without waiting for its descriptor. */
void control_run_soon(struct control *c);
/* One libuv handle less; the last one frees the server. */
void control_handle_closed(struct control *c);

#endif
