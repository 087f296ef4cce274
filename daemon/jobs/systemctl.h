/* What systemctl(1) says about a unit. It runs as a program, which works with and without D-Bus, as
 * root and as anybody. */
#ifndef SYNCD_DAEMON_JOBS_SYSTEMCTL_H
#define SYNCD_DAEMON_JOBS_SYSTEMCTL_H

#include "base/buf.h"
#include "base/err.h"

/* `systemctl VERB OPTION -- UNIT`, its output appended. `show` is meant for programs ("KEY=value"
 * lines), `cat` gives the unit's files as they are. 0 or a negative errno with a sentence. */
int systemctl_ask(const char *verb, const char *option, const char *unit, struct buf *out,
                  struct err *err);

/* The value of a property in what `show` printed, "" when it is not there; free() it. NULL: no
 * memory. */
char *systemctl_property(const struct buf *shown, const char *name);

#endif
