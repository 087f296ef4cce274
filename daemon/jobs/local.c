#include "jobs/local.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "mirror/mirror.h"

/* --- attach, detach, uninstall ---------------------------------------------------------------- */

static void no_send(void *arg, const struct request *r)
{
    (void)arg;
    (void)r;
}

static void no_sync(void *arg, uint64_t sync, bool wal)
{
    (void)arg;
    (void)sync;
    (void)wal;
}

static void no_park(void *arg, uint32_t target, const struct reply *why)
{
    (void)arg;
    (void)target;
    (void)why;
}

static void no_reply(void *arg, const struct reply *why)
{
    (void)arg;
    (void)why;
}

static void no_retry(void *arg, const struct reply *why, usec delay)
{
    (void)arg;
    (void)why;
    (void)delay;
}

static void no_letter(void *arg, const struct dead_letter *d, bool is_new)
{
    (void)arg;
    (void)d;
    (void)is_new;
}

static void no_note(void *arg, enum log_level level, const char *code, const char *text)
{
    (void)arg;
    (void)level;
    (void)code;
    (void)text;
}

static void no_change(void *arg)
{
    (void)arg;
}

/* Carry out an order with the mirror's own means, but nobody to send: the daemon is not there (its
 * lock on the state file says so). */
static int with_mirror(const struct config *c, int (*order)(struct mirror *m, struct err *err),
                       struct err *err)
{
    const struct mirror_edge edge = {.send = no_send,
                                     .sync_source = no_sync,
                                     .parked = no_park,
                                     .credentials = no_reply,
                                     .retrying = no_retry,
                                     .dead_letter = no_letter,
                                     .note = no_note,
                                     .targets_changed = no_change};
    struct mirror *m = NULL;
    int rc = mirror_new(c, &edge, 1, &m, err);

    if (rc < 0)
        return rc;
    rc = order(m, err);
    mirror_free(m);
    return rc;
}

int job_attach(const struct config *c, struct err *err)
{
    return with_mirror(c, mirror_attach_order, err);
}

int job_adopt(const struct config *c, struct err *err)
{
    return with_mirror(c, mirror_adopt, err);
}

int job_detach(const struct config *c, struct err *err)
{
    return with_mirror(c, mirror_detach, err);
}

int job_uninstall(const struct config *c, bool all, struct err *err)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock", ".job"};
    int rc = with_mirror(c, mirror_uninstall, err);

    for (size_t i = 0; rc == 0 && all && i < sizeof suffixes / sizeof *suffixes; i++) {
        _cleanup_free_ char *path = NULL;
        if (asprintf(&path, "%s%s", c->state_path, suffixes[i]) < 0)
            return err_set(err, -ENOMEM, "out of memory");
        if (unlink(path) < 0 && errno != ENOENT)
            return err_set(err, -errno, "%s cannot be removed: %s", path, strerror(errno));
    }
    return rc;
}
