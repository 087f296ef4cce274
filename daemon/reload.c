/* A changed configuration is taken, as far as that goes without a restart. */
#include <errno.h>

#include "base/cleanup.h"
#include "daemon.h"

struct difference {
    struct buf *changed; /* what is taken */
    struct buf remapped; /* of these, what may change items */
    struct buf fixed;    /* what takes a restart */
};

static void one_difference(void *arg, const char *key, enum config_effect effect)
{
    struct difference *x = arg;
    struct buf *lists[] = {effect == EFFECT_RESTART ? &x->fixed : x->changed,
                           effect == EFFECT_REMAP ? &x->remapped : NULL};

    for (size_t i = 0; i < 2; i++)
        if (lists[i])
            buf_printf(lists[i], "%s%s", lists[i]->len ? "\n" : "", key);
}

/* A list of lines as a list of words. */
static const char *words(struct buf *list)
{
    for (char *p = list->data; p && *p; p++)
        *p = *p == '\n' ? ',' : *p;
    return list->data ? list->data : "";
}

/* May the new mapping be taken? 0, or -EINVAL with the sentence. */
static int judge(struct daemon *d, const struct config *fresh, struct difference *x, bool apply,
                 struct err *err)
{
    _cleanup_buf_ struct buf touched = {0};

    if (!buf_ok(&x->fixed) || !buf_ok(&x->remapped) || !buf_ok(x->changed))
        return err_set(err, -ENOMEM, "out of memory");
    if (x->fixed.len)
        return err_set(err, -EINVAL,
                       "nothing was reloaded: %s changed, which takes a restart of syncd",
                       words(&x->fixed));
    if (!x->remapped.len)
        return 0;
    int rc = mirror_remap_touches(d->mirror, fresh, &touched, err);
    if (rc < 0)
        return err_prefix(err, -EINVAL, "nothing was reloaded");
    if (touched.len && !apply)
        return err_set(
            err, -EINVAL,
            "nothing was reloaded: %s changed, which touches the items of all rows (%s); "
            "`syncctl reload --apply` takes it, compares those tables and sends what "
            "differs",
            words(&x->remapped), touched.data);
    return 0;
}

int daemon_reload(struct daemon *d, bool apply, struct buf *changed, struct err *err)
{
    _cleanup_buf_ struct buf mine = {0};
    struct difference x = {.changed = changed ? changed : &mine};
    struct config *fresh = NULL;
    int rc = config_load(&d->request, &fresh, err);

    targets_retry_now(d);
    daemon_pump(d);
    if (rc < 0)
        return rc;
    config_diff(d->config, fresh, one_difference, &x);
    rc = judge(d, fresh, &x, apply, err);
    bool remapped = x.remapped.len > 0;
    buf_free(&x.remapped);
    buf_free(&x.fixed);
    if (rc < 0) {
        config_free(fresh);
        return rc;
    }
    if (remapped)
        mirror_remap(d->mirror, fresh);
    else
        mirror_configure(d->mirror, fresh);
    ddb_set_timeout(d->ddb, fresh->request_timeout);
    targets_configure(d, fresh);
    heartbeat_interval(d->heartbeat, fresh->heartbeat_interval);
    log_setup((enum log_level)fresh->log_level, (enum log_format)fresh->log_format);
    config_free(d->config);
    d->config = fresh;
    d->schema.seen = false; /* the mapping is kept with the schema */
    return 0;
}

void daemon_on_hup(uv_signal_t *h, int signum)
{
    struct daemon *d = h->data;
    struct err err = {0};

    (void)signum;
    notify_reloading();
    if (daemon_reload(d, false, NULL, &err) < 0)
        log_event(LOG_EV_ERROR, "reload_failed", err.text, NULL);
    else
        log_event(LOG_EV_INFO, "reloaded", "configuration reloaded", NULL);
    notify_ready();
}
