/* The database's -wal is synced on a thread of libuv's pool, so that a slow disk holds nothing up
 * but what must wait for it. */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "daemon.h"

static void sync_files(uv_work_t *w)
{
    struct daemon *d = w->data;
    struct source_sync *s = &d->source_sync;

    s->rc = s->database ? durable_sync(&s->files, s->database, s->wal) : -ENOMEM;
}

static void on_done(uv_work_t *w, int status)
{
    struct daemon *d = w->data;
    struct source_sync *s = &d->source_sync;

    s->running = false;
    free(take_ptr(s->database));
    mirror_source_synced(d->mirror, clock_monotonic(), s->serial, status < 0 ? status : s->rc);
    daemon_pump(d);
}

void source_sync_start(void *arg, uint64_t serial, bool wal)
{
    struct daemon *d = arg;
    struct source_sync *s = &d->source_sync;

    s->work.data = d;
    s->database = strdup(d->config->database);
    s->serial = serial;
    s->wal = wal;
    s->running = true;
    uv_queue_work(&d->loop, &s->work, sync_files, on_done); /* fails without a callback only */
}
