/* The state file is synced on a thread of its own. */
#include <errno.h>
#include <unistd.h>

#include "daemon.h"

static void sync_state(void *arg)
{
    struct state_sync *s = &((struct daemon *)arg)->state_sync;

    s->rc = fdatasync(s->fd) < 0 ? -errno : 0;
}

static void on_done(void *arg)
{
    struct daemon *d = arg;

    mirror_flushed(d->mirror, clock_monotonic(), d->state_sync.rc == 0);
    daemon_pump(d);
}

int state_sync_init(struct daemon *d, struct err *err)
{
    int rc = disk_worker_start(&d->state_sync.worker, &d->loop, sync_state, on_done, d);

    return rc < 0 ? err_set(err, rc, "a thread cannot be started: %s", uv_strerror(rc)) : 0;
}

void state_sync_flush(struct daemon *d, usec now)
{
    struct state_sync *s = &d->state_sync;

    if (!s->worker.busy && mirror_flush(d->mirror, now, &s->fd) == 1)
        disk_worker_go(&s->worker);
}
