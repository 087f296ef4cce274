/* The plain form of URL that our own client speaks to: http://HOST[:PORT]/PATH or https. No input
 * or output. */
#ifndef SYNCD_AWS_WIRE_URL_H
#define SYNCD_AWS_WIRE_URL_H

#include <stdbool.h>
#include <stddef.h>

struct wire_url {
    bool tls;
    char host[256]; /* a name or an address; IPv6 without its brackets */
    char port[6];
    char authority[270];  /* for the Host header: the port only where it is not the scheme's */
    size_t authority_end; /* where in the URL the path begins */
};

/* false for any other form (a user, a zone, a query or fragment right after the host, escapes in
 * the host), which are not refused but left to libcurl. */
bool wire_url_parse(const char *url, struct wire_url *out);

#endif
