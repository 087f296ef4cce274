#include "heartbeat.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/http.h"
#include "base/cleanup.h"
#include "base/log.h"

#define TIMEOUT (10 * USEC_PER_SEC)
enum { REPLY_MAX = 64 * 1024 };

struct heartbeat {
    struct http_client *http;
    struct http_call *call; /* under way */
    char *url;
    usec interval, next;
    bool failing; /* and that was said */
};

static void failed(struct heartbeat *h, const char *why)
{
    if (!h->failing)
        log_event(LOG_EV_WARNING, "heartbeat_failed",
                  log_msg("the heartbeat does not reach heartbeat_url: %s; it is tried every "
                          "heartbeat_interval, and said no more until it works again",
                          why),
                  NULL);
    h->failing = true;
}

static void answered(void *arg, const struct http_reply *r)
{
    struct heartbeat *h = arg;
    char status[48];

    h->call = NULL;
    if (r->outcome != HTTP_REPLIED) {
        failed(h, r->code);
        return;
    }
    if (r->status < 200 || r->status > 299) {
        snprintf(status, sizeof status, "HTTP status %d", r->status);
        failed(h, status);
        return;
    }
    if (h->failing)
        log_event(LOG_EV_INFO, "heartbeat_works", "the heartbeat reaches heartbeat_url again",
                  NULL);
    h->failing = false;
}

void heartbeat_say(struct heartbeat *h, bool well)
{
    usec now = clock_monotonic();
    struct err err = {0};

    if (!h || !well || h->call || now < h->next)
        return;
    h->next = now + h->interval;
    if (http_start(h->http,
                   &(struct http_request){.method = "GET", .url = h->url, .timeout = TIMEOUT},
                   answered, h, &h->call, &err) < 0) {
        h->call = NULL;
        failed(h, "the request cannot be started");
    }
}

void heartbeat_interval(struct heartbeat *h, usec interval)
{
    if (!h || h->interval == interval)
        return;
    h->interval = interval;
    h->next = 0;
}

int heartbeat_start(uv_loop_t *loop, const char *url, usec interval, struct heartbeat **out,
                    struct err *err)
{
    const struct http_options o = {
        .own = true, .max_connections = 1, .timeout = TIMEOUT, .max_reply = REPLY_MAX};
    struct heartbeat *h = calloc(1, sizeof *h);

    if (!h || !(h->url = strdup(url))) {
        free(h);
        return err_set(err, -ENOMEM, "out of memory");
    }
    h->interval = interval;
    int rc = http_client_new(loop, &o, &h->http, err);
    if (rc < 0) {
        free(h->url);
        free(h);
        return rc;
    }
    *out = h;
    return 0;
}

static void closed(void *arg)
{
    struct heartbeat *h = arg;

    free(h->url);
    free(h);
}

void heartbeat_stop(struct heartbeat *h)
{
    if (h)
        http_client_close(h->http, closed, h);
}
