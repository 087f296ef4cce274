/* How long the loop is at work without looking for what else has happened: what a client, a timer
 * or a reply may have to wait. Costs two readings of the clock a turn. */
#ifndef SYNCD_DAEMON_LOOP_STALL_H
#define SYNCD_DAEMON_LOOP_STALL_H

#include <uv.h>

#include "base/clock.h"

struct loop_stall;

/* Before the loop runs. NULL: no memory; nothing is measured then. */
struct loop_stall *loop_stall_start(uv_loop_t *loop);
/* The longest since the start; 0 for NULL. */
usec loop_stall_max(const struct loop_stall *l);
/* Freed when the loop has closed it; NULL is fine. */
void loop_stall_stop(struct loop_stall *l);

#endif
