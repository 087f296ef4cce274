/* The heartbeat: while all is well, a URL is asked at an interval, so that somebody elsewhere
 * notices when that stops. It has an HTTP client of its own and never matters to the mirror; that
 * it fails is said once, without the URL, which is as good as a password. */
#ifndef SYNCD_DAEMON_HEARTBEAT_H
#define SYNCD_DAEMON_HEARTBEAT_H

#include <stdbool.h>
#include <uv.h>

#include "base/clock.h"
#include "base/err.h"

struct heartbeat;

/* `url` checked by the configuration; copied. 0 or a negative errno with a sentence. */
int heartbeat_start(uv_loop_t *loop, const char *url, usec interval, struct heartbeat **out,
                    struct err *err);
void heartbeat_interval(struct heartbeat *h, usec interval);
/* Called now and then with what is known: the first time that all is well, and every interval while
 * it is, the URL is asked for. NULL is fine, here and below. */
void heartbeat_say(struct heartbeat *h, bool well);
void heartbeat_stop(struct heartbeat *h);

#endif
