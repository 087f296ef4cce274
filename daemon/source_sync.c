/* The database's -wal is synced on a thread of its own, so that a slow disk holds nothing up but
 * what must wait for it. */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "daemon.h"

static void sync_files(void *arg)
{
    struct source_sync *s = &((struct daemon *)arg)->source_sync;

    s->rc = s->database ? durable_sync(&s->files, s->database, s->wal) : -ENOMEM;
}

static void on_done(void *arg)
{
    struct daemon *d = arg;
    struct source_sync *s = &d->source_sync;

    free(take_ptr(s->database));
    mirror_source_synced(d->mirror, clock_monotonic(), s->sync, s->rc);
    daemon_pump(d);
}

int source_sync_init(struct daemon *d, struct err *err)
{
    struct source_sync *s = &d->source_sync;

    s->files = DURABLE_INIT;
    int rc = disk_worker_start(&s->worker, &d->loop, sync_files, on_done, d);
    return rc < 0 ? err_set(err, rc, "a thread cannot be started: %s", uv_strerror(rc)) : 0;
}

void source_sync_start(void *arg, uint64_t sync, bool wal)
{
    struct daemon *d = arg;
    struct source_sync *s = &d->source_sync;

    s->database = strdup(d->config->database);
    s->sync = sync;
    s->wal = wal;
    disk_worker_go(&s->worker);
}

void source_sync_stop(struct daemon *d)
{
    struct source_sync *s = &d->source_sync;

    disk_worker_stop(&s->worker);
    free(take_ptr(s->database));
    durable_close(&s->files);
}
