#include "ctl/either.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/owner.h"

#define DAEMON_TIMEOUT                                                                             \
    (5 * 60 * USEC_PER_SEC) /* it may have to wait for the application's locks                     \
                             */

static bool same_file(const char *a, const char *b)
{
    _cleanup_free_ char *real_a = realpath(a, NULL);
    _cleanup_free_ char *real_b = realpath(b, NULL);

    return real_a && real_b && strcmp(real_a, real_b) == 0;
}

/* With --database the socket that was found is a guess: the daemon there may mirror another
 * database, whose triggers must not go instead. */
static int daemon_is_meant(struct ctl *ctl, bool *out, struct err *err)
{
    int r;

    if (!ctl->request.database) {
        *out = true;
        return 0;
    }
    json_auto_t *root = ctl_ask_json(ctl, "GET", "/v1/status", DAEMON_TIMEOUT, &r, err);
    if (!root)
        return r;
    const json_t *source = json_object_get(root, "source");
    *out = same_file(field_text(source, "database"), ctl->request.database);
    return 0;
}

int either_daemon(struct ctl *ctl, bool *there, struct err *err)
{
    _cleanup_buf_ struct buf body = {0};
    int status, r = ctl_ask(ctl, "GET", "/v1/health", DAEMON_TIMEOUT, &status, &body, err);

    if (r == 0)
        r = daemon_is_meant(ctl, there, err);
    if (r == -ECONNREFUSED) {
        *there = false;
        return 0;
    }
    return r;
}

static int do_here(struct ctl *ctl, either_job_fn *job, struct err *err)
{
    const struct config *config;
    int r = ctl_config(ctl, &config, err);

    return r < 0 ? r : owner_run(config, job, err);
}

int either_do(struct ctl *ctl, const char *target, either_job_fn *job, struct buf *body,
              struct err *err)
{
    bool meant;
    int status, r = daemon_is_meant(ctl, &meant, err);

    if (r == 0 && meant)
        r = ctl_ask(ctl, "POST", target, DAEMON_TIMEOUT, &status, body, err);
    if (r == -ECONNREFUSED || (r == 0 && !meant)) {
        buf_clear(body);
        return do_here(ctl, job, err);
    }
    return r < 0 ? r : ctl_check_status(status, body, err);
}
