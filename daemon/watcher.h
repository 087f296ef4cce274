/* Notices that the database may have changed.
 *
 * inotify on its directory tells of every commit, but too early: SQLite writes the -wal before the
 * commit is visible, and publishing it raises no event. So each event that finds nothing is
 * followed by looks after 0.05, 0.1, 0.2 … 50 ms (a timerfd: libuv's timers count milliseconds). A
 * slow timer is the net below. Nothing is polled otherwise. While commits come in quick succession
 * they are read together, and events are not listened to in between. */
#ifndef SYNCD_DAEMON_WATCHER_H
#define SYNCD_DAEMON_WATCHER_H

#include <stdbool.h>
#include <uv.h>

#include "base/clock.h"
#include "base/err.h"

struct watcher;

/* What a look came to. While the database is locked it is looked at every 50 ms. */
enum watcher_look { LOOK_NOTHING, LOOK_FOUND, LOOK_LOCKED };

/* `look` looks for changes; the re-checks end when it finds some. Runs on the loop.
 * `tick` runs once a second, and while it says that all is at rest every other second. */
struct watcher_callbacks {
    void *arg;
    enum watcher_look (*look)(void *arg,
                              bool cheap); /* cheap: a re-check, first ask whether anything moved */
    bool (*tick)(void *arg);
};

int watcher_start(uv_loop_t *loop, const char *database, const struct watcher_callbacks *cb,
                  struct watcher **out, struct err *err);
/* Begin the series of re-checks, as after an event that long ago: for a database that was locked,
 * or could not be looked at. */
void watcher_recheck(struct watcher *w, usec since);
/* Tell of nothing for so long, and look then: each event wakes the process, and those that come
 * meanwhile can wait for one another. Nothing where it lasts already. */
void watcher_pause(struct watcher *w, usec time);
void watcher_stop(struct watcher *w);

#endif
