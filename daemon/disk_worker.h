/* A thread that waits for the disk in the loop's place, one job at a time.
 *
 * libuv's pool has the same to offer, but wakes its threads while it holds their lock, so that a
 * job begins only after a second switch; here an fdatasync of half a millisecond is what a change
 * waits for on its way out. */
#ifndef SYNCD_DISK_WORKER_H
#define SYNCD_DISK_WORKER_H

#include <stdbool.h>
#include <uv.h>

typedef void disk_worker_fn(void *arg);

struct disk_worker {
    uv_thread_t thread;
    uv_sem_t go;
    uv_async_t back;
    disk_worker_fn *run, *done;
    void *arg;
    bool started, busy; /* the loop's alone */
    bool stopping;      /* written before `go` */
    _Atomic bool ended; /* a job has */
};

/* `run` will be called on the thread and `done` after it on the loop, once for each
 * disk_worker_go(). 0 or negative errno; then nothing is left to stop. `w` must stay where it is
 * until the loop has ended. */
int disk_worker_start(struct disk_worker *w, uv_loop_t *loop, disk_worker_fn *run,
                      disk_worker_fn *done, void *arg);
/* Not while it is busy: from here until `done` is called, what `run` works on is the thread's. */
void disk_worker_go(struct disk_worker *w);
/* Waits for the job under way, without its `done`, and ends the thread. The loop must still run
 * once for the handle to be closed. Nothing when it was not started. */
void disk_worker_stop(struct disk_worker *w);

#endif
