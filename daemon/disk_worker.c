#include "disk_worker.h"

#include <errno.h>
#include <stdatomic.h>

static void work(void *arg)
{
    struct disk_worker *w = arg;

    for (;;) {
        uv_sem_wait(&w->go);
        if (w->stopping)
            return;
        w->run(w->arg);
        atomic_store_explicit(&w->ended, true, memory_order_release);
        uv_async_send(&w->back);
    }
}

/* libuv may call it without need. */
static void on_back(uv_async_t *h)
{
    struct disk_worker *w = h->data;

    if (!atomic_exchange_explicit(&w->ended, false, memory_order_acquire))
        return;
    w->busy = false;
    w->done(w->arg);
}

int disk_worker_start(struct disk_worker *w, uv_loop_t *loop, disk_worker_fn *run,
                      disk_worker_fn *done, void *arg)
{
    *w = (struct disk_worker){.run = run, .done = done, .arg = arg};
    int rc = uv_sem_init(&w->go, 0);
    if (rc < 0)
        return rc;
    if ((rc = uv_async_init(loop, &w->back, on_back)) < 0) {
        uv_sem_destroy(&w->go);
        return rc;
    }
    w->back.data = w;
    if ((rc = uv_thread_create(&w->thread, work, w)) < 0) {
        uv_close((uv_handle_t *)&w->back, NULL);
        uv_sem_destroy(&w->go);
        return rc;
    }
    w->started = true;
    return 0;
}

void disk_worker_go(struct disk_worker *w)
{
    w->busy = true;
    uv_sem_post(&w->go);
}

void disk_worker_stop(struct disk_worker *w)
{
    if (!w->started)
        return;
    w->stopping = true;
    uv_sem_post(&w->go);
    uv_thread_join(&w->thread);
    uv_sem_destroy(&w->go);
    uv_close((uv_handle_t *)&w->back, NULL);
    w->started = false;
}
