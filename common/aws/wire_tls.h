/* TLS for our own HTTP client, by OpenSSL: one context for all connections, its certificates parsed
 * once and again only when their file has changed. TLS 1.2 or later, chain and host verified, no
 * renegotiation, no compression. */
#ifndef SYNCD_AWS_WIRE_TLS_H
#define SYNCD_AWS_WIRE_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <sys/stat.h>

enum { WIRE_RECORD = 16 * 1024 }; /* what a TLS record carries at most */

struct wire_tls {
    const char *ca_file; /* NULL: OpenSSL's own default */
    SSL_CTX *context;    /* NULL until the first connection */
    BIO_METHOD *method;
    struct stat ca_stat; /* of the file that `context` was made from */
    unsigned made;       /* how often a context was made */
};

/* Written by SSL_read() and its like through the connection's BIO. */
struct wire_link;

/* Sessions are taken up again: where a connection's latest is kept, for the next to its host. */
struct wire_session {
    SSL_SESSION *latest;
    unsigned made; /* of the context whose authorities vouched for it */
};

/* A TLS end for `link`, ready to shake hands with `host`, a name or an address. `session` must
 * outlive it. NULL: `problem` says why. */
SSL *wire_tls_open(struct wire_tls *t, struct wire_link *link, const char *host,
                   struct wire_session *session, const char **problem);
void wire_session_forget(struct wire_session *s);
void wire_tls_free(struct wire_tls *t);

#endif
