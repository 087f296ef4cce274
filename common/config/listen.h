/* [control] listen: a loopback address with a port, such as 127.0.0.1:9847 or [::1]:9847. */
#ifndef SYNCD_CONFIG_LISTEN_H
#define SYNCD_CONFIG_LISTEN_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/err.h"

/* 0, or -EINVAL with a sentence about the value: who asks over TCP is not known, so only this
 * machine may. The outputs are untouched on failure. */
int listen_parse(const char *text, struct sockaddr_storage *addr, socklen_t *len, struct err *err);

/* Is the value of a Host header an address of this machine's loopback, or localhost? Of another
 * name a browser here may have been told by somebody else that it is this machine (DNS rebinding).
 */
bool listen_host_is_loopback(const char *host);

#endif
