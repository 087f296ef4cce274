/* The load: whose daemon does it, how far it is, when it is over. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/bar.h"
#include "ctl/migrate.h"

#define ASK_TIMEOUT   (30 * USEC_PER_SEC)
#define START_TIMEOUT (30 * USEC_PER_SEC)
#define LOOK_EVERY    (200 * USEC_PER_MSEC)
#define STUCK         (60 * USEC_PER_SEC) /* nothing moves, and the daemon says that it is not well */

/* What the daemon said last. */
struct load {
    struct migrate *m;
    struct bar bar;
    bool first;                             /* nothing was asked yet */
    bool put_in, adopted;                   /* ordered once; what it did not help is told */
    bool was_live;                          /* at the first look nothing was to be loaded */
    json_int_t put, deleted, spared, units; /* at the first look of a daemon that ran before */
    int64_t moved;                          /* what is counted to tell whether anything moves */
    usec moved_at;
};

static int ask(struct migrate *m, const char *method, const char *target, usec timeout,
               json_t **out, struct err *err)
{
    struct err last;
    int r;

    *out = ctl_ask_json(m->ctl, method, target, timeout, &r, err);
    /* Where our own has ended, its last words say more than a socket that nobody listens on. */
    if (r < 0 && m->own.pid) {
        int ended = own_daemon_look(&m->own, &last);
        if (ended < 0) {
            *err = last;
            r = ended;
        }
    }
    return r;
}

/* --- whose daemon ----------------------------------------------------------------------------- */

static int wait_for_answer(struct migrate *m)
{
    usec by = clock_monotonic() + START_TIMEOUT;
    struct err err;

    for (;;) {
        json_t *root = NULL;
        int r = ask(m, "GET", "/v1/health", ASK_TIMEOUT, &root, &err);
        json_decref(root);
        /* Health may be 503: it answers. */
        if (r == 0 || (r == -EIO && m->own.pid && access(m->own.socket.data, F_OK) == 0))
            return CTL_DONE;
        if (!m->own.pid || clock_monotonic() > by || migrate_interrupted())
            return ctl_fail(r, &err);
        usleep((useconds_t)(LOOK_EVERY / 10));
    }
}

static int start_own(struct migrate *m)
{
    struct ctl *ctl = m->ctl;
    struct err err;
    const struct own_daemon_options o = {.state_path = m->state_path.data,
                                         .batch_size =
                                             m->batch_size ? m->batch_size : m->config->batch_size,
                                         .verbose = ctl->verbose};
    int r = own_daemon_start(&m->own, m->config, &o, &err);

    if (r < 0)
        return ctl_fail(r, &err);
    buf_clear(&ctl->socket);
    buf_append(&ctl->socket, m->own.socket.data, m->own.socket.len);
    if (!buf_ok(&ctl->socket))
        return ctl_print(&ctl->socket);
    return wait_for_answer(m);
}

int migrate_leave(struct migrate *m)
{
    struct err err;

    return own_daemon_stop(&m->own, &err) < 0 ? ctl_fail(-EIO, &err) : CTL_DONE;
}

/* --- how far ---------------------------------------------------------------------------------- */

static int64_t rows_of(const struct migrate *m, const char *table)
{
    for (size_t i = 0; i < m->survey.count; i++)
        if (strcmp(m->plans.plans[m->survey.tables[i].plan]->table, table) == 0)
            return m->survey.tables[i].rows;
    return 0;
}

struct progress {
    int64_t rows;
    bool loading, detached, held;
};

static struct progress progress_of(const struct migrate *m, const json_t *status)
{
    struct progress p = {0};
    const json_t *t;
    size_t i;

    json_array_foreach(json_object_get(status, "tables"), i, t)
    {
        const char *state = field_text(t, "state");
        int64_t rows = rows_of(m, field_text(t, "name")), read = field_count(t, "rows_read");
        bool loading = strcmp(state, "loading") == 0 || strcmp(state, "waiting") == 0;
        p.rows += strcmp(state, "live") == 0 || strcmp(state, "comparing") == 0 || read > rows
                      ? rows
                      : read;
        p.loading |= loading || strcmp(state, "comparing") == 0;
        p.held |= strcmp(state, "held") == 0;
    }
    json_array_foreach(json_object_get(status, "reasons"), i, t)
    {
        const char *code = field_text(t, "code");
        p.detached |= strcmp(code, "detached") == 0 || strcmp(code, "uninstalled") == 0;
        p.held |= strcmp(code, "held") == 0;
    }
    return p;
}

static void first_look(struct load *l, const json_t *totals, const struct progress *p)
{
    l->first = false;
    l->was_live = !p->loading;
    if (!l->m->running)
        return; /* all that ours has counted is of this move */
    l->put = field_count(totals, "items_put");
    l->deleted = field_count(totals, "items_deleted");
    l->spared = field_count(totals, "spared");
    l->units = field_count(totals, "write_units");
}

static void take_totals(struct load *l, const json_t *totals, const struct progress *p)
{
    struct migrate *m = l->m;
    usec now = clock_monotonic();

    if (l->first)
        first_look(l, totals, p);
    m->items_put = field_count(totals, "items_put") - l->put;
    m->items_deleted = field_count(totals, "items_deleted") - l->deleted;
    m->spared = field_count(totals, "spared") - l->spared;
    m->write_units = field_count(totals, "write_units") - l->units;
    m->dead_letters = field_count(totals, "dead_letters");
    int64_t moved =
        m->items_put + m->items_deleted + m->spared + m->write_units + m->dead_letters + p->rows;
    if (moved != l->moved || !l->moved_at) {
        l->moved = moved;
        l->moved_at = now;
    }
    bar_update(&l->bar, p->rows, (double)m->write_units, now);
}

static int stuck(const struct json_t *status)
{
    const json_t *reason = json_array_get(json_object_get(status, "reasons"), 0);
    struct err err;

    err_set(&err, -EIO,
            "nothing has moved for a minute: %s; run this again once that is mended, and "
            "it goes on where it stopped",
            field_text(reason, "message"));
    return ctl_fail(-EIO, &err);
}

/* What was ordered earlier (`syncctl detach`, uninstall) is undone: a move needs the triggers. And
 * --adopt, where it waits for that. */
static int put_in(struct load *l, bool adopt)
{
    struct migrate *m = l->m;
    struct err err;
    json_t *root = NULL;
    int r = ask(m, "POST", adopt ? "/v1/attach?adopt=1" : "/v1/attach", 5 * 60 * USEC_PER_SEC,
                &root, &err);

    json_decref(root);
    l->put_in = true;
    l->adopted |= adopt;
    return r < 0 ? ctl_fail(r, &err) : CTL_DONE;
}

/* --- until it is over ------------------------------------------------------------------------- */

static int not_over(struct migrate *m, const char *why)
{
    struct err err;

    err_set(&err, 0, "%s; run this again then, and it goes on where it stopped", why);
    ctl_fail(0, &err);
    (void)m;
    return CTL_FAILURES;
}

/* Is everything that was committed before over there? `*why` is set when that cannot come. */
static int look_settled(struct migrate *m, bool *settled, char why[512])
{
    struct err err;
    json_t *root = NULL;
    int r = ask(m, "POST", "/v1/wait?timeout=1", ASK_TIMEOUT, &root, &err);

    if (r < 0)
        return ctl_fail(r, &err);
    *settled = field_true(root, "done");
    snprintf(why, 512, "%s", *settled ? "" : field_text(root, "reason"));
    json_decref(root);
    return CTL_DONE;
}

/* The two that only time is needed for; whatever else wait says is for good. */
static bool passes(const char *why)
{
    return strcmp(why, "tables are still being loaded") == 0 ||
           strcmp(why, "changes are still on their way") == 0;
}

static int one_look(struct load *l, bool *over)
{
    struct migrate *m = l->m;
    json_t *status = NULL;
    struct err err;
    char why[512] = "";
    int r = ask(m, "GET", "/v1/status", ASK_TIMEOUT, &status, &err);

    if (r < 0)
        return ctl_fail(r, &err);
    struct progress p = progress_of(m, status);
    take_totals(l, json_object_get(status, "totals"), &p);
    bool critical = strcmp(field_text(status, "health"), "critical") == 0;
    if (critical && clock_monotonic() - l->moved_at > STUCK) {
        r = stuck(status);
        json_decref(status);
        return r;
    }
    json_decref(status);
    if ((p.detached && !l->put_in) || (p.held && m->adopt && !l->adopted))
        return put_in(l, p.held);
    if (!p.loading || p.held || critical) {
        if ((r = look_settled(m, over, why)) != CTL_DONE || *over || passes(why) || !*why)
            return r;
        bar_end(&l->bar);
        return not_over(m, why);
    }
    usleep((useconds_t)LOOK_EVERY);
    return CTL_DONE;
}

int migrate_load(struct migrate *m)
{
    struct load l = {.m = m,
                     .first = true,
                     .bar = bar_make(m->ctl, "load", "rows", "write units", m->survey.rows)};
    bool over = false;
    int r = m->running ? CTL_DONE : start_own(m);

    m->load_began = clock_monotonic();
    while (r == CTL_DONE && !over) {
        if (migrate_interrupted()) {
            bar_end(&l.bar);
            return not_over(m, "interrupted");
        }
        r = one_look(&l, &over);
    }
    if (r == CTL_DONE) { /* the last of it came after the last look */
        bool ignored;
        r = one_look(&l, &ignored);
    }
    bar_end(&l.bar);
    m->seconds = (double)(clock_monotonic() - m->load_began) / (double)USEC_PER_SEC;
    m->loaded = r == CTL_DONE;
    return r;
}
