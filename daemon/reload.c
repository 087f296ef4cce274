/* A changed configuration is taken, as far as that goes without a restart. */
#include <errno.h>

#include "base/cleanup.h"
#include "daemon.h"

struct difference {
    struct buf *changed, *fixed;
};

static void one_difference(void *arg, const char *key, bool reloadable)
{
    struct difference *x = arg;
    struct buf *to = reloadable ? x->changed : x->fixed;

    if (to)
        buf_printf(to, "%s%s", to->len ? "\n" : "", key);
}

int daemon_reload(struct daemon *d, struct buf *changed, struct err *err)
{
    _cleanup_buf_ struct buf mine = {0}, fixed = {0};
    struct difference x = {changed ? changed : &mine, &fixed};
    struct config *fresh = NULL;
    int rc = config_load(&d->request, &fresh, err);

    targets_retry_now(d);
    daemon_pump(d);
    if (rc < 0)
        return rc;
    config_diff(d->config, fresh, one_difference, &x);
    if (fixed.len) {
        for (char *p = fixed.data; *p; p++)
            *p = *p == '\n' ? ',' : *p;
        config_free(fresh);
        return err_set(err, -EINVAL,
                       "nothing was reloaded: %s changed, which takes a restart of syncd",
                       fixed.data);
    }
    mirror_configure(d->mirror, fresh);
    ddb_set_timeout(d->ddb, fresh->request_timeout);
    heartbeat_interval(d->heartbeat, fresh->heartbeat_interval);
    log_setup((enum log_level)fresh->log_level, (enum log_format)fresh->log_format);
    config_free(d->config);
    d->config = fresh;
    return 0;
}

void daemon_on_hup(uv_signal_t *h, int signum)
{
    struct daemon *d = h->data;
    struct err err = {0};

    (void)signum;
    notify_reloading();
    if (daemon_reload(d, NULL, &err) < 0)
        log_event(LOG_EV_ERROR, "reload_failed", err.text, NULL);
    else
        log_event(LOG_EV_INFO, "reloaded", "configuration reloaded", NULL);
    notify_ready();
}
