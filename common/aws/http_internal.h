/* What the two carriers of HTTP requests share: libcurl (http_libcurl.h) and our own client
 * (wire.h). http.c chooses between them, request by request. */
#ifndef SYNCD_AWS_HTTP_INTERNAL_H
#define SYNCD_AWS_HTTP_INTERNAL_H

#include "aws/http.h"

/* The first member of either carrier's call. */
struct http_call {
    void (*cancel)(struct http_call *call);
};

/* What both are made from; the defaults are filled in. `ca_file` is NULL where the library's own
 * default stands, and outlives the carrier. */
struct http_setup {
    uv_loop_t *loop;
    const char *ca_file;
    unsigned max_connections;
    usec timeout, connect_timeout;
    size_t max_reply;
};

enum {
    HTTP_MAX_HEADER_BYTES =
        256 * 1024,               /* of a reply, its trailers and the interim ones before it */
    HTTP_SECRET_ROOM = 16 * 1024, /* reserved for a secret body: growing leaves copies behind */
};

/* The certificates' file: `configured`, AWS_CA_BUNDLE, SSL_CERT_FILE, the system's; *out is NULL
 * when there is none. An explicit one that cannot be read is -EINVAL or another errno with a
 * sentence. */
int http_find_ca(const char *configured, char **out, struct err *err);

#endif
