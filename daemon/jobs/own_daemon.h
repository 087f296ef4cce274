/* A syncd of a job's own, for as long as the job lasts, where no service runs: the same program,
 * the same configuration and the same state file as the service would use, which carries on from
 * there later; only its control socket is private.
 *
 * It goes when its parent goes, however that ends: killed, it is told to stop, finishes what is in
 * flight, and the next job waits for it. */
#ifndef SYNCD_DAEMON_JOBS_OWN_DAEMON_H
#define SYNCD_DAEMON_JOBS_OWN_DAEMON_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "config/config.h"

struct own_daemon {
    pid_t pid; /* 0: none */
    int log;   /* what it says */
    int lock;  /* one such job at a time: on the state file's name with ".job" */
    struct buf directory, socket;
};

/* What differs from the configuration's file. */
struct own_daemon_options {
    const char *state_path;
    int64_t batch_size;
    bool verbose; /* its log goes to stderr */
};

/* Where the service that this configuration is installed for keeps its state: the configuration's
 * own path, unless that is the default of a unit that has never run. To be called as root where the
 * unit's directory must be made, and before owner_become(). `make`: make that directory. 0 or a
 * negative errno with a sentence. */
int own_daemon_state(const struct config *c, bool make, struct buf *path, struct err *err);

/* Starts it, once no other syncd has the state file: one that is just stopping is waited for, up to
 * some seconds (-EBUSY after). It answers on d->socket soon. own_daemon_stop() also after a
 * failure.
 */
int own_daemon_start(struct own_daemon *d, const struct config *c,
                     const struct own_daemon_options *o, struct err *err);
/* 0: it runs. Else what it said last, and the errno that its exit code stands for: -EINVAL or -EIO.
 */
int own_daemon_look(struct own_daemon *d, struct err *err);
/* A clean stop. 0, or what it said last. Does nothing where none runs. */
int own_daemon_stop(struct own_daemon *d, struct err *err);

#endif
