#include "daemon.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/rand.h>

#include "base/cleanup.h"
#include "base/failpoint.h"

#define STOP_LIMIT (9 * USEC_PER_SEC)
enum { TRIM_AFTER = 100 }; /* requests */
#define REPORT_LATEST (5 * USEC_PER_SEC)

/* --- turns ------------------------------------------------------------------------------------ */

static void on_pump(uv_idle_t *h);
static void stop_sending(struct daemon *d, usec now);
static void finish_stop(struct daemon *d);

void daemon_pump(struct daemon *d)
{
    if (d->pumping || d->closing)
        return;
    d->pumping = true;
    uv_idle_start(&d->pump, on_pump);
}

static void pump_done(struct daemon *d)
{
    d->pumping = false;
    uv_idle_stop(&d->pump);
}

static void on_timer(uv_timer_t *h)
{
    struct daemon *d = h->data;

    mirror_timer(d->mirror, clock_monotonic());
    daemon_turn(d);
}

static usec earliest(usec a, usec b)
{
    return a < b ? a : b;
}

static void arm(struct daemon *d, usec now, usec due)
{
    if (d->closing)
        return;
    if (due == USEC_NEVER) {
        uv_timer_stop(&d->timer);
        return;
    }
    /* Never 0: what is due at each turn (a long journal that is acknowledged, say) would run in one
     * turn of the loop, and nobody else would be heard meanwhile. */
    usec wait = due > now ? due - now : 1;
    uv_update_time(&d->loop);
    uv_timer_start(&d->timer, on_timer, (uint64_t)((wait + USEC_PER_MSEC - 1) / USEC_PER_MSEC), 0);
}

static void look_ready(struct daemon *d)
{
    const char *text;

    if (d->state != DAEMON_STARTING || mirror_problem(d->mirror, &text) != SOURCE_OK)
        return;
    for (uint32_t i = 0; i < mirror_target_count(d->mirror); i++)
        if (!mirror_target(d->mirror, i)->looked)
            return;
    d->state = DAEMON_RUNNING;
    log_event(LOG_EV_INFO, "running",
              log_msg("mirroring %s into DynamoDB at %s", d->config->database, d->endpoint.url),
              NULL);
}

static void report_health(struct daemon *d, const struct mirror_view *v, usec now)
{
    struct health_report r;
    char status[160];

    alarms_note(d, v, now);
    health_look(d, v, &r);
    alarms_look(d, &r, now);
    emf_look(d, v, &r, now);
    if (r.level != d->health) {
        d->health = r.level;
        log_event(r.level == HEALTH_OK        ? LOG_EV_INFO
                  : r.level == HEALTH_WARNING ? LOG_EV_WARNING
                                              : LOG_EV_ERROR,
                  "health_changed",
                  log_msg("health is %s%s%s", health_name(r.level), r.count ? ": " : "",
                          r.count ? r.reasons[0].message : ""),
                  "health", health_name(r.level), "code", r.count ? r.reasons[0].code : NULL, NULL);
    }
    snprintf(status, sizeof status, "%s%s%s; %lld pending, %llu sent", health_name(r.level),
             r.count ? ": " : "", r.count ? r.reasons[0].code : "", (long long)v->journal_entries,
             (unsigned long long)(v->items_put + v->items_deleted));
    notify_status(status);
}

/* Whatever is due, and a timer for what comes next. */
static void settle(struct daemon *d)
{
    usec now = clock_monotonic(), ack_due;

    sender_turn(d);
    targets_turn(d, now);
    mirror_await(d->mirror, !list_empty(&d->waiters));
    state_sync_flush(d, now);
    ack_due = mirror_ack(d->mirror, now, false);
    look_ready(d);
    canary_turn(d, now);
    schema_keeper_turn(d, now);
    api_turn(d, now);
    daemon_pause_turn(d, now);
    if (d->drain.active && drain_over(d, now))
        stop_sending(d, now);
    if (d->state == DAEMON_STOPPING) {
        finish_stop(d);
        if (d->closing)
            return;
    }
    usec due = earliest(mirror_deadline(d->mirror), mirror_flush_due(d->mirror));
    due = earliest(due, earliest(ack_due, targets_due(d)));
    due = earliest(due, earliest(canary_due(d), schema_keeper_due(d)));
    due = earliest(
        due, earliest(d->paused_until, d->state == DAEMON_STOPPING ? d->stop_by : USEC_NEVER));
    due = earliest(due, d->drain.active ? d->drain.look : USEC_NEVER);
    arm(d, now, due);
}

static unsigned work(struct daemon *d)
{
    unsigned bits = d->state == DAEMON_STOPPING ? 0 : mirror_work(d->mirror, clock_monotonic());
    usec read_due = mirror_read_due(d->mirror), now = clock_monotonic();

    if (bits & MIRROR_MORE)
        daemon_pump(d);
    else if (bits & MIRROR_BUSY && d->watcher)
        watcher_recheck(d->watcher, 0);
    if (read_due > now && d->watcher)
        watcher_pause(d->watcher, read_due - now);
    return bits;
}

/* What happened during a sync may be a commit that cannot be seen even now. */
static void look_again(struct daemon *d)
{
    usec since = clock_monotonic() - d->look_owed;

    d->look_owed = 0;
    if (d->watcher)
        watcher_recheck(d->watcher, since);
}

void daemon_turn(struct daemon *d)
{
    if (d->closing)
        return;
    d->replies = 0;
    unsigned bits = work(d);
    settle(d);
    if (bits & MIRROR_LATER && d->watcher)
        watcher_recheck(d->watcher, 0);
    else if (d->look_owed && !(bits & MIRROR_FOUND) && !mirror_syncing(d->mirror))
        look_again(d);
    if (!(bits & MIRROR_MORE) && d->pumping && list_empty(&d->unsent))
        pump_done(d);
}

static void on_pump(uv_idle_t *h)
{
    daemon_turn(h->data);
}

static enum watcher_look look(void *arg, bool cheap)
{
    struct daemon *d = arg;

    if (d->closing || d->state == DAEMON_STOPPING)
        return LOOK_FOUND;
    if (mirror_syncing(d->mirror)) {
        d->look_owed = clock_monotonic();
        return LOOK_FOUND;
    }
    if (cheap && !mirror_changed(d->mirror))
        return LOOK_NOTHING;
    /* At rest a stamp of the files says all: no look again for what cannot be seen yet. */
    bool resting = mirror_resting(d->mirror);
    unsigned bits = work(d);
    settle(d);
    if (resting && mirror_resting(d->mirror))
        return LOOK_FOUND;
    return bits & MIRROR_FOUND ? LOOK_FOUND : bits & MIRROR_BUSY ? LOOK_LOCKED : LOOK_NOTHING;
}

/* What a burst needed is given back to the system once it is over. */
static void give_back_memory(struct daemon *d, const struct mirror_view *v)
{
    if (v->engine.items || v->engine.requests - d->trimmed_at < TRIM_AFTER)
        return;
    d->trimmed_at = v->engine.requests;
    mirror_release_memory(d->mirror);
    malloc_trim(0);
}

static void report(struct daemon *d)
{
    usec now = clock_monotonic();
    struct mirror_view v;

    if (mirror_gives_way(d->mirror) && now - d->reported_at < REPORT_LATEST)
        return;
    d->reported_at = now;
    mirror_view(d->mirror, now, &v);
    report_health(d, &v, now);
    watchdog_look(d, &v, now);
    heartbeat_say(d->heartbeat, d->health == HEALTH_OK && d->state == DAEMON_RUNNING);
    give_back_memory(d, &v);
}

static bool tick(void *arg)
{
    struct daemon *d = arg;

    if (d->closing)
        return false;
    mirror_tick(d->mirror);
    if (mirror_changed(d->mirror))
        look(d, false);
    settle(d);
    if (d->closing)
        return false;
    mirror_rest(d->mirror, clock_monotonic());
    report(d);
    log_tick();
    watchdog_feed(d);
    return d->health == HEALTH_OK && mirror_resting(d->mirror);
}

/* --- the mirror's edge ------------------------------------------------------------------------ */

static void retrying(void *arg, const struct reply *why, usec delay)
{
    char ms[32];

    (void)arg;
    snprintf(ms, sizeof ms, "%lld", (long long)(delay / USEC_PER_MSEC));
    log_event(
        LOG_EV_WARNING, why->class == REPLY_THROTTLED ? "throttled" : "request_failed",
        log_msg("%s%s%s; it is sent again", why->code, why->message[0] ? ": " : "", why->message),
        "request_id", why->request_id, "retry_ms", ms, NULL);
}

static void dead_letter(void *arg, const struct dead_letter *l, bool is_new)
{
    (void)arg;
    /* The sentence tells what the row refers to, which is its content. */
    bool skipped = strcmp(l->reason, STORE_SKIPPED) == 0;
    if (is_new && (skipped || strcmp(l->reason, "orphan") == 0))
        log_event(skipped ? LOG_EV_INFO : LOG_EV_WARNING, skipped ? "row_left_out" : "dead_letter",
                  log_msg("a row of table \"%s\" is left out: %s names a row that is not there",
                          l->table, l->column),
                  "table", l->table, "reason", l->reason, NULL);
    else if (is_new)
        log_event(LOG_EV_WARNING, "dead_letter",
                  log_msg("a row of table \"%s\" cannot be held by DynamoDB: %s%s%s", l->table,
                          l->column[0] ? l->column : "", l->column[0] ? ": " : "", l->message),
                  "table", l->table, "reason", l->reason, NULL);
}

static void note(void *arg, enum log_level level, const char *code, const char *text)
{
    (void)arg;
    log_event(level, code, text, NULL);
}

static usec service_time(void *arg, bool latest)
{
    struct daemon *d = arg;

    return ddb_service_time(d->ddb, latest);
}

/* --- stop ------------------------------------------------------------------------------------- */

static void part_closed(void *arg)
{
    (void)arg;
}

static void close_all(struct daemon *d)
{
    uv_handle_t *own[] = {(uv_handle_t *)&d->pump, (uv_handle_t *)&d->timer,
                          (uv_handle_t *)&d->on_term, (uv_handle_t *)&d->on_int,
                          (uv_handle_t *)&d->on_hup};

    d->closing = true;
    targets_stop(d);
    sender_stop(d);
    canary_stop(d);
    schema_keeper_stop(d);
    if (d->watcher)
        watcher_stop(take_ptr(d->watcher));
    if (d->control)
        control_stop(take_ptr(d->control), part_closed, d);
    heartbeat_stop(take_ptr(d->heartbeat));
    loop_stall_stop(take_ptr(d->loop_stall));
    if (d->listener)
        control_stop(take_ptr(d->listener), part_closed, d);
    if (d->http)
        http_client_close(take_ptr(d->http), part_closed, d);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (!uv_is_closing(own[i]))
            uv_close(own[i], NULL);
    source_sync_stop(d);
    disk_worker_stop(&d->state_sync.worker);
}

/* Everything in flight is answered, or time is up: keep what is known, and go. */
static void finish_stop(struct daemon *d)
{
    struct mirror_view v;
    usec now = clock_monotonic();
    int fd = -1;

    mirror_view(d->mirror, now, &v);
    if ((v.engine.in_flight && now < d->stop_by) || d->state_sync.worker.busy ||
        d->source_sync.worker.busy)
        return;
    if (mirror_flush_now(d->mirror, now, &fd) == 1)
        mirror_flushed(d->mirror, now, fdatasync(fd) == 0);
    FAILPOINT("stop_flushed");
    /* What is left of very many goes at the next start. */
    while (mirror_ack(d->mirror, now, true) == now && clock_monotonic() < d->stop_by)
        ;
    FAILPOINT("stop_acknowledged");
    mirror_farewell(d->mirror);
    FAILPOINT("stop_kept");
    log_event(LOG_EV_INFO, "stopped", "syncd stops", NULL);
    log_flush();
    close_all(d);
}

static void stop_sending(struct daemon *d, usec now)
{
    d->drain.active = false;
    d->state = DAEMON_STOPPING;
    mirror_stop(d->mirror, now);
    FAILPOINT("stop_begun");
}

void daemon_stop(struct daemon *d, const char *why)
{
    usec now = clock_monotonic();

    if (d->state == DAEMON_STOPPING)
        return;
    if (!d->drain.active) {
        d->stop_by = now + STOP_LIMIT;
        notify_stopping();
        log_event(LOG_EV_INFO, "stopping",
                  log_msg("stopping (%s): finishing what is in flight", why), NULL);
        drain_begin(d, now);
    } else {
        d->drain.active = false; /* asked for twice: at once */
    }
    if (!d->drain.active)
        stop_sending(d, now);
    daemon_turn(d);
}

static void on_term(uv_signal_t *h, int signum)
{
    daemon_stop(h->data, signum == SIGINT ? "SIGINT" : "SIGTERM");
}

/* --- start ------------------------------------------------------------------------------------ */

static void start_handles(struct daemon *d)
{
    uv_idle_init(&d->loop, &d->pump);
    uv_timer_init(&d->loop, &d->timer);
    uv_signal_init(&d->loop, &d->on_term);
    uv_signal_init(&d->loop, &d->on_int);
    uv_signal_init(&d->loop, &d->on_hup);
    d->pump.data = d->timer.data = d->on_term.data = d->on_int.data = d->on_hup.data = d;
    uv_signal_start(&d->on_term, on_term, SIGTERM);
    uv_signal_start(&d->on_int, on_term, SIGINT);
    uv_signal_start(&d->on_hup, daemon_on_hup, SIGHUP);
}

static int start_mirror(struct daemon *d, struct err *err)
{
    struct mirror_edge edge = {.arg = d,
                               .send = sender_send,
                               .sync_source = source_sync_start,
                               .parked = targets_parked,
                               .look_again = targets_unlooked,
                               .credentials = targets_want_credentials,
                               .retrying = retrying,
                               .dead_letter = dead_letter,
                               .note = note,
                               .targets_changed = targets_changed,
                               .survey = surveyor_start,
                               .mark = ownership_mark,
                               .service_time = service_time};
    uint64_t seed = 0;
    const char *text;

    if (RAND_bytes((unsigned char *)&seed, sizeof seed) != 1)
        return err_set(err, -EIO, "no random numbers are to be had");
    int rc = mirror_new(d->config, &edge, seed, &d->mirror, err);
    if (rc < 0)
        return rc;
    d->schema.rng.state = seed ^ 1;
    daemon_recall_pause(d);
    mirror_attach(d->mirror, clock_monotonic());
    /* Running as another user than the owner would harm the application: not something to wait out.
     */
    enum source_problem p = mirror_problem(d->mirror, &text);
    if (p == SOURCE_OWNER)
        return err_set(err, -EINVAL, "%s", text);
    if (p != SOURCE_OK)
        log_event(LOG_EV_ERROR, "source_unavailable", text, "code", source_problem_code(p), NULL);
    return 0;
}

static int start(struct daemon *d, struct err *err)
{
    const struct watcher_callbacks cb = {.arg = d, .look = look, .tick = tick};
    int rc;

    if ((rc = source_sync_init(d, err)) < 0 || (rc = state_sync_init(d, err)) < 0 ||
        (rc = targets_start(d, err)) < 0 || (rc = start_mirror(d, err)) < 0)
        return rc;
    const struct control_groups groups = {d->config->socket_group, d->config->operator_group};
    if ((rc = control_start(&d->loop, d->config->socket, &groups, api_routes, d, &d->control,
                            err)) < 0)
        return rc;
    if (control_unreachable(d->control)[0])
        log_event(LOG_EV_WARNING, "socket_unreachable", control_unreachable(d->control), NULL);
    if (*d->config->listen && (rc = control_start_tcp(&d->loop, d->config->listen,
                                                      api_public_routes, d, &d->listener, err)) < 0)
        return rc;
    if ((rc = watcher_start(&d->loop, d->config->database, &cb, &d->watcher, err)) < 0)
        return rc;
    if (d->config->heartbeat_url[0] &&
        (rc = heartbeat_start(&d->loop, d->config->heartbeat_url, d->config->heartbeat_interval,
                              &d->heartbeat, err)) < 0)
        return rc;
    notify_ready();
    log_event(LOG_EV_INFO, "started",
              log_msg("syncd %s watches %s", SYNCD_VERSION, d->config->database), "region",
              d->endpoint.region, "endpoint", d->endpoint.url, NULL);
    daemon_pump(d);
    return 0;
}

int daemon_run(struct daemon *d, struct err *err)
{
    int rc = uv_loop_init(&d->loop);

    if (rc < 0)
        return err_set(err, rc, "the event loop cannot be made: %s", uv_strerror(rc));
    d->loop_stall = loop_stall_start(&d->loop);
    d->started = clock_monotonic();
    d->paused_until = USEC_NEVER;
    sender_start(d);
    list_init(&d->waiters);
    start_handles(d);
    rc = start(d, err);
    if (rc < 0)
        close_all(d);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    mirror_free(d->mirror);
    ddb_free(d->ddb);
    config_free(d->config);
    uv_loop_close(&d->loop);
    return rc;
}
