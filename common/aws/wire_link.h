/* Bytes to and from a connected socket, plain or by TLS; nothing here blocks. */
#ifndef SYNCD_AWS_WIRE_LINK_H
#define SYNCD_AWS_WIRE_LINK_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum wire_io {
    WIRE_IO_DONE,       /* some bytes went, or came */
    WIRE_IO_WANT_READ,  /* try again when the socket is readable */
    WIRE_IO_WANT_WRITE, /* or writable */
    WIRE_IO_END,        /* the peer ended the connection in order */
    WIRE_IO_BROKEN,     /* it is of no use any more */
};

struct wire_link {
    int fd;
    SSL *ssl;      /* NULL: plain */
    size_t handed; /* bytes that the kernel was given, by whoever counts them: 0 is set there */
};

/* A request: its head, then its body. */
struct wire_parts {
    const char *head, *body;
    size_t head_len, body_len;
};

/* -1 and errno, as send() and recv(). */
ssize_t wire_link_raw_write(struct wire_link *l, const void *bytes, size_t n);
ssize_t wire_link_raw_read(const struct wire_link *l, void *to, size_t room);

/* WIRE_IO_DONE when the peer is verified and the keys are agreed on. */
enum wire_io wire_link_shake(struct wire_link *l);
/* Send on from byte `at` of the parts; `scratch` (WIRE_RECORD bytes) is where a TLS record is put
 * together. After WIRE_IO_DONE *sent tells how much went, which may not be all. */
enum wire_io wire_link_send(struct wire_link *l, const struct wire_parts *p, size_t at,
                            char *scratch, size_t *sent);
enum wire_io wire_link_read(struct wire_link *l, char *to, size_t room, size_t *got);
/* Has TLS got bytes that no event of the socket will tell of? */
bool wire_link_pending(const struct wire_link *l);
/* A connection that nothing is asked of: is it up, and has the peer said nothing? Tickets and new
 * keys of TLS are nothing. `scratch`: `room` bytes. */
bool wire_link_quiet(struct wire_link *l, char *scratch, size_t room);
/* Free what TLS holds, after telling the peer of the end if that is in order. */
void wire_link_free(struct wire_link *l, bool orderly);
/* Why TLS failed, for people, right after the failure. */
const char *wire_link_problem(const struct wire_link *l);

#endif
