#include "watcher.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

#include "base/cleanup.h"

enum { FIRST_RECHECK_US = 50, LAST_RECHECK_US = 51200, TICK_MS = 1000, REST_MS = 2000 };

struct watcher {
    struct watcher_callbacks cb;
    char *database;         /* as configured */
    char *directory, *base; /* where it is */
    dev_t dev;              /* of the directory that is watched */
    ino_t ino;
    uv_loop_t *loop;
    uv_fs_event_t events;
    uv_poll_t recheck;
    uv_check_t check; /* right after the loop's poll: one look for many events */
    uv_timer_t tick;
    int timer_fd;
    long recheck_us;
    bool watching, marked;
    bool paused;  /* events are not listened to, until the timer is over */
    bool resting; /* the tick said so */
    int open_handles;
};

static void arm(struct watcher *w, long us)
{
    struct itimerspec t = {.it_value = {us / 1000000, us % 1000000 * 1000}};

    w->recheck_us = us;
    timerfd_settime(w->timer_fd, 0, &t, NULL);
}

/* Each waits as long as has passed. */
void watcher_recheck(struct watcher *w, usec since)
{
    if (w->paused)
        return; /* it ends with a look */
    arm(w, since < FIRST_RECHECK_US ? FIRST_RECHECK_US
                                    : (long)(since < LAST_RECHECK_US ? since : LAST_RECHECK_US));
}

static void on_event(uv_fs_event_t *h, const char *name, int events, int status);

static void listen_to_events(struct watcher *w)
{
    w->watching = uv_fs_event_start(&w->events, on_event, w->directory, 0) == 0;
}

void watcher_pause(struct watcher *w, usec time)
{
    if (w->paused || !w->watching)
        return;
    uv_fs_event_stop(&w->events);
    w->paused = true;
    arm(w, (long)time);
}

/* Events first: what comes during the look is told of. */
static void resume(struct watcher *w)
{
    w->paused = false;
    listen_to_events(w);
    if (w->cb.look(w->cb.arg, false) != LOOK_FOUND)
        watcher_recheck(w, 0);
}

static void on_recheck(uv_poll_t *h, int status, int events)
{
    struct watcher *w = h->data;
    uint64_t expirations;

    (void)status;
    (void)events;
    if (read(w->timer_fd, &expirations, sizeof expirations) < 0)
        return;
    if (w->paused) {
        resume(w);
        return;
    }
    enum watcher_look found = w->cb.look(w->cb.arg, true);
    if (found == LOOK_LOCKED)
        arm(w, LAST_RECHECK_US);
    else if (found == LOOK_NOTHING && w->recheck_us < LAST_RECHECK_US)
        arm(w, w->recheck_us * 2);
}

static void on_tick(uv_timer_t *h);

static void on_check(uv_check_t *h)
{
    struct watcher *w = h->data;

    if (!w->marked)
        return;
    w->marked = false;
    if (w->resting) {
        w->resting = false;
        uv_timer_start(&w->tick, on_tick, TICK_MS, 0);
    }
    if (w->cb.look(w->cb.arg, false) != LOOK_FOUND)
        watcher_recheck(w, 0);
}

static void on_event(uv_fs_event_t *h, const char *name, int events, int status)
{
    struct watcher *w = h->data;

    (void)events;
    /* The database, its -wal and its -journal; not the other files of the directory. */
    if (status == 0 && name && w->base && strncmp(name, w->base, strlen(w->base)) != 0)
        return;
    w->marked = true;
}

/* Where the database is now: a symbolic link's -wal stands beside its target, and a directory may
 * be made anew. A database that is not there yet is awaited where the path says. */
static int locate(struct watcher *w, struct stat *directory)
{
    _cleanup_free_ char *real = realpath(w->database, NULL);
    const char *path = real ? real : w->database;
    const char *slash = strrchr(path, '/');
    char *base = strdup(slash ? slash + 1 : path);
    char *dir = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");

    if (!base || !dir || stat(dir, directory) < 0) {
        free(base);
        free(dir);
        return -ENOENT;
    }
    free(w->base);
    free(w->directory);
    w->base = base;
    w->directory = dir;
    return 0;
}

static void watch(struct watcher *w)
{
    struct stat st;

    if (w->paused || locate(w, &st) < 0)
        return;
    if (w->watching && st.st_dev == w->dev && st.st_ino == w->ino)
        return;
    uv_fs_event_stop(&w->events);
    listen_to_events(w);
    w->dev = st.st_dev;
    w->ino = st.st_ino;
}

static void on_tick(uv_timer_t *h)
{
    struct watcher *w = h->data;

    watch(w);
    w->resting = w->cb.tick(w->cb.arg);
    if (!uv_is_closing((uv_handle_t *)h))
        uv_timer_start(h, on_tick, w->resting ? REST_MS : TICK_MS, 0);
}

static void free_watcher(struct watcher *w)
{
    if (w->timer_fd >= 0)
        close(w->timer_fd);
    free(w->database);
    free(w->directory);
    free(w->base);
    free(w);
}

static void on_close(uv_handle_t *h)
{
    struct watcher *w = h->data;

    if (--w->open_handles == 0)
        free_watcher(w);
}

int watcher_start(uv_loop_t *loop, const char *database, const struct watcher_callbacks *cb,
                  struct watcher **out, struct err *err)
{
    struct watcher *w = calloc(1, sizeof *w);

    if (!w)
        return err_set(err, -ENOMEM, "out of memory");
    w->cb = *cb;
    w->loop = loop;
    w->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    w->database = strdup(database);
    if (w->timer_fd < 0 || !w->database) {
        free_watcher(w);
        return err_set(err, -ENOMEM, "a timer cannot be made: %s", strerror(errno));
    }
    uv_fs_event_init(loop, &w->events);
    uv_poll_init(loop, &w->recheck, w->timer_fd);
    uv_check_init(loop, &w->check);
    uv_timer_init(loop, &w->tick);
    uv_handle_t *handles[] = {(uv_handle_t *)&w->events, (uv_handle_t *)&w->recheck,
                              (uv_handle_t *)&w->check, (uv_handle_t *)&w->tick};
    w->open_handles = sizeof handles / sizeof *handles;
    for (int i = 0; i < w->open_handles; i++)
        handles[i]->data = w;
    uv_poll_start(&w->recheck, UV_READABLE, on_recheck);
    uv_check_start(&w->check, on_check);
    uv_timer_start(&w->tick, on_tick, TICK_MS, 0);
    watch(w);
    *out = w;
    return 0;
}

void watcher_stop(struct watcher *w)
{
    if (!w)
        return;
    uv_close((uv_handle_t *)&w->events, on_close);
    uv_close((uv_handle_t *)&w->recheck, on_close);
    uv_close((uv_handle_t *)&w->check, on_close);
    uv_close((uv_handle_t *)&w->tick, on_close);
}
