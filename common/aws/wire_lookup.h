/* A name's addresses, by the system's resolver in a thread of its own, which may take as long as
 * the name server likes: neither the loop nor its thread pool, nor the end of the process, ever
 * waits for it. */
#ifndef SYNCD_AWS_WIRE_LOOKUP_H
#define SYNCD_AWS_WIRE_LOOKUP_H

#include <netdb.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <uv.h>

enum { WIRE_ADDRESSES = 8 }; /* more are left out */

struct wire_address {
    struct sockaddr_storage at;
    socklen_t len;
};

struct wire_addresses {
    struct wire_address list[WIRE_ADDRESSES]; /* in the order to try: families take turns */
    size_t count;
};

struct wire_lookup;

/* On the loop, once, unless cancelled: `code` is getaddrinfo()'s. The lookup is gone after it, but
 * for its handle, which `closed` tells the end of. */
typedef void wire_lookup_fn(void *arg, int code, const struct wire_addresses *found);

/* An address needs no lookup: false when `host` is none. */
bool wire_lookup_literal(const char *host, const char *port, struct wire_addresses *out);
/* NULL: no memory or no thread; `closed` will not run then. */
struct wire_lookup *wire_lookup_start(uv_loop_t *loop, const char *host, const char *port,
                                      wire_lookup_fn *done, void *arg, void (*closed)(void *arg),
                                      void *closed_arg);
/* No `done` any more; `closed` still comes. */
void wire_lookup_cancel(struct wire_lookup *l);

#endif
