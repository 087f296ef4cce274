/* The simulated world (tests/sim) with faults from inject.h inside its mirror, and a process that
 * is started again when it has ended. Included by one program only. */
#ifndef SYNCD_TESTS_INJECT_WORLD_H
#define SYNCD_TESTS_INJECT_WORLD_H

#include <errno.h>
#include <unistd.h>

#include "inject.h"

#include "mirror/internal.h"
#include "state/internal.h"

#include "../sim/world.h"

/* --- the mirror, from outside ----------------------------------------------------------------- */

/* What the world calls of the mirror runs within; what the mirror calls of the world, outside. */

static struct mirror_edge world_edge;

#define OUTSIDE(call)                                                                              \
    do {                                                                                           \
        bool within_ = inject_within;                                                              \
        inject_within = false;                                                                     \
        call;                                                                                      \
        inject_within = within_;                                                                   \
    } while (0)

static void out_send(void *arg, const struct request *r);

static void out_sync_source(void *arg, uint64_t sync, bool wal)
{
    OUTSIDE(world_edge.sync_source(arg, sync, wal));
}

static void out_parked(void *arg, uint32_t target, const struct reply *why)
{
    OUTSIDE(world_edge.parked(arg, target, why));
}

static void out_look_again(void *arg, uint32_t target)
{
    OUTSIDE(world_edge.look_again(arg, target));
}

static void out_credentials(void *arg, const struct reply *why)
{
    OUTSIDE(world_edge.credentials(arg, why));
}

static void out_retrying(void *arg, const struct reply *why, usec delay)
{
    OUTSIDE(world_edge.retrying(arg, why, delay));
}

static void out_dead_letter(void *arg, const struct dead_letter *d, bool is_new)
{
    OUTSIDE(world_edge.dead_letter(arg, d, is_new));
}

static void out_note(void *arg, enum log_level level, const char *code, const char *text)
{
    OUTSIDE(world_edge.note(arg, level, code, text));
}

static void out_targets_changed(void *arg)
{
    OUTSIDE(world_edge.targets_changed(arg));
}

static void out_survey(void *arg, uint32_t target)
{
    OUTSIDE(world_edge.survey(arg, target));
}

static void out_mark(void *arg, uint32_t target)
{
    OUTSIDE(world_edge.mark(arg, target));
}

static int in_new(const struct config *c, const struct mirror_edge *edge, uint64_t seed,
                  struct mirror **out, struct err *err)
{
    const struct mirror_edge ours = {.arg = edge->arg,
                                     .send = out_send,
                                     .sync_source = out_sync_source,
                                     .parked = out_parked,
                                     .look_again = out_look_again,
                                     .credentials = out_credentials,
                                     .retrying = out_retrying,
                                     .dead_letter = out_dead_letter,
                                     .note = out_note,
                                     .targets_changed = out_targets_changed,
                                     .survey = out_survey,
                                     .mark = out_mark};
    volatile int rc = -ECANCELED;

    world_edge = *edge;
    INJECT_RUN(rc = mirror_new(c, &ours, seed, out, err));
    return rc;
}

/* A process that has died gives nothing back but its locks. */
static struct mirror *graves[64];
static unsigned grave_count;

static void close_database(sqlite3 *db)
{
    sqlite3_stmt *stmt;

    while ((stmt = sqlite3_next_stmt(db, NULL)))
        sqlite3_finalize(stmt);
    sqlite3_close_v2(db);
}

static void in_free(struct mirror *m)
{
    if (!inject.died) {
        mirror_free(m);
        return;
    }
    if (m->source)
        close_database(m->source->db);
    close_database(m->store->db);
    close(m->store->lock_fd);
    close(m->store->wal_fd);
    close(m->database_lock);
    graves[grave_count++ % 64] = m;
}

static void in_view(struct mirror *m, usec now, struct mirror_view *out)
{
    *out = (struct mirror_view){.journal_mode = "", .synchronous = ""};
    INJECT_RUN(mirror_view(m, now, out));
}

#define WITHIN(type, otherwise, call)                                                              \
    ({                                                                                             \
        volatile type result_ = (otherwise);                                                       \
        INJECT_RUN(result_ = (call));                                                              \
        result_;                                                                                   \
    })
static void in_attach(struct mirror *m, usec now)
{
    INJECT_RUN(mirror_attach(m, now));
}

static unsigned in_work(struct mirror *m, usec now)
{
    return WITHIN(unsigned, 0, mirror_work(m, now));
}

static void in_tick(struct mirror *m)
{
    INJECT_RUN(mirror_tick(m));
}

static bool in_changed(struct mirror *m)
{
    return WITHIN(bool, false, mirror_changed(m));
}

static void in_rest(struct mirror *m, usec now)
{
    INJECT_RUN(mirror_rest(m, now));
}

static void in_reply(struct mirror *m, usec now, uint64_t request, const struct reply *r)
{
    INJECT_RUN(mirror_reply(m, now, request, r));
}

static void in_timer(struct mirror *m, usec now)
{
    INJECT_RUN(mirror_timer(m, now));
}

static void in_credentials(struct mirror *m, usec now)
{
    INJECT_RUN(mirror_credentials(m, now));
}

static void in_pause(struct mirror *m, usec now, bool paused)
{
    INJECT_RUN(mirror_pause(m, now, paused));
}

static void in_stop(struct mirror *m, usec now)
{
    INJECT_RUN(mirror_stop(m, now));
}

static void in_target_open(struct mirror *m, usec now, uint32_t i, const char *identity, bool made)
{
    INJECT_RUN(mirror_target_open(m, now, i, identity, made));
}

static void in_target_parked(struct mirror *m, usec now, uint32_t i, const char *code,
                             const char *reason)
{
    INJECT_RUN(mirror_target_parked(m, now, i, code, reason));
}

static void in_target_marker(struct mirror *m, uint32_t i, const struct mirror_marker *found)
{
    INJECT_RUN(mirror_target_marker(m, i, found));
}

static void in_target_marked(struct mirror *m, usec now, uint32_t i)
{
    INJECT_RUN(mirror_target_marked(m, now, i));
}

static bool in_survey_page(struct mirror *m, usec now, uint32_t i, const struct buf *keys,
                           bool last)
{
    return WITHIN(bool, false, mirror_survey_page(m, now, i, keys, last));
}

static void in_survey_failed(struct mirror *m, usec now, uint32_t i, const char *code,
                             const char *why)
{
    INJECT_RUN(mirror_survey_failed(m, now, i, code, why));
}

static int in_generation(struct mirror *m, uint32_t i, const char *found,
                         char out[MIRROR_GENERATION])
{
    return WITHIN(int, -EIO, mirror_generation(m, i, found, out));
}

static void in_farewell(struct mirror *m)
{
    INJECT_RUN(mirror_farewell(m));
}

static int in_flush(struct mirror *m, usec now, int *fd)
{
    return WITHIN(int, 0, mirror_flush(m, now, fd));
}

static int in_flush_now(struct mirror *m, usec now, int *fd)
{
    return WITHIN(int, 0, mirror_flush_now(m, now, fd));
}

static void in_flushed(struct mirror *m, usec now, bool durable)
{
    INJECT_RUN(mirror_flushed(m, now, durable));
}

static usec in_ack(struct mirror *m, usec now, bool force)
{
    return WITHIN(usec, USEC_NEVER, mirror_ack(m, now, force));
}

static int in_approve(struct mirror *m)
{
    return WITHIN(int, 0, mirror_approve(m));
}

#define mirror_new               in_new
#define mirror_free              in_free
#define mirror_view(m, now, out) in_view(m, now, out)
#define mirror_attach            in_attach
#define mirror_work              in_work
#define mirror_tick              in_tick
#define mirror_changed           in_changed
#define mirror_rest              in_rest
#define mirror_reply             in_reply
#define mirror_timer             in_timer
#define mirror_credentials       in_credentials
#define mirror_pause             in_pause
#define mirror_stop              in_stop
#define mirror_target_open       in_target_open
#define mirror_target_parked     in_target_parked
#define mirror_target_marker     in_target_marker
#define mirror_target_marked     in_target_marked
#define mirror_survey_page       in_survey_page
#define mirror_survey_failed     in_survey_failed
#define mirror_generation        in_generation
#define mirror_farewell          in_farewell
#define mirror_flush             in_flush
#define mirror_flush_now         in_flush_now
#define mirror_flushed           in_flushed
#define mirror_ack               in_ack
#define mirror_approve           in_approve

#include "../sim/application.c"
#include "../sim/application_schema.c"
#include "../sim/oracle.c"
#include "../sim/oracle_letters.c"
#include "../sim/oracle_schema.c"
#include "../sim/service.c"
#include "../sim/service_items.c"
#include "../sim/service_late.c"
#include "../sim/service_tables.c"
/* The disk's own memory does not fail. */
#define malloc(n)     __real_malloc(n)
#define calloc(n, m)  __real_calloc(n, m)
#define realloc(p, n) __real_realloc(p, n)
#define strdup(s)     __real_strdup(s)
#include "../sim/disk.c"
#include "../sim/libc.c"
#include "../sim/vfs.c"
#undef malloc
#undef calloc
#undef realloc
#undef strdup
#include "../sim/process.c"
#include "../sim/world.c"

/* The nth request does not do what it should: which way it fails goes by its number. */
static void out_send(void *arg, const struct request *r)
{
    static const struct {
        enum reply_class class;
        int status;
        const char *code;
        bool open; /* it may have been carried out */
    } ways[] = {{REPLY_NOT_SENT, 0, "connect_failed", false},
                {REPLY_AMBIGUOUS, 0, "timeout", true},
                {REPLY_TRANSIENT, 500, "InternalServerError", true},
                {REPLY_THROTTLED, 400, "ThrottlingException", false},
                {REPLY_EXPIRED, 400, "ExpiredTokenException", false},
                {REPLY_CLOCK, 400, "InvalidSignatureException", false},
                {REPLY_TOO_LARGE, 413, "http_413", false},
                {REPLY_UNEXPECTED, 302, "http_302", true}};
    struct world *w = arg;
    bool fails = inject_fails(INJECT_REPLY);

    OUTSIDE({
        world_edge.send(arg, r);
        struct sim_flight *f =
            list_empty(&w->flights) ? NULL : container_of(w->flights.prev, struct sim_flight, link);
        size_t way = inject.seen[INJECT_REPLY] % (sizeof ways / sizeof *ways);
        if (fails && r->count == 1 && ways[way].class == REPLY_TOO_LARGE)
            way = 0; /* of one item it would be the last word */
        if (fails && f && f->arrived)
            way = 1 + inject.seen[INJECT_REPLY] % 2;
        if (fails && f && (!f->arrived || ways[way].open)) {
            if (!f->arrived && ways[way].open && sim_chance(w, 500) && !refused(w, f))
                apply(w, f, 0);
            f->arrived = true;
            answer(f, ways[way].class, ways[way].status, ways[way].code);
        }
    });
}

/* --- a world in which things fail ------------------------------------------------------------- */

static bool is_dead(const struct world *w)
{
    return inject.died || !w->mirror;
}

/* What is left of a process that has ended goes; the files stay as they are. */
static void bury_dead(struct world *w)
{
    if (inject.died && w->mirror) {
        sim_trace(w, "the process has died");
        service_orphan(w);
        vfs_dying(true);
        in_free(w->mirror);
        vfs_dying(false);
        w->mirror = NULL;
    }
    inject.died = false;
}

/* As systemd does; false when it does not start. That is no failure while something else fails. */
static bool begin(struct world *w)
{
    char before[sizeof w->failure];

    memcpy(before, w->failure, sizeof before);
    uint64_t failed = inject.failed;
    bool started = sim_start(w);
    if (inject.died || (!started && inject.failed > failed)) {
        memcpy(w->failure, before, sizeof before);
        bury_dead(w);
        w->now += USEC_PER_SEC;
    }
    return w->mirror != NULL;
}

static bool alive_again(struct world *w)
{
    if (!is_dead(w))
        return true;
    bury_dead(w);
    return begin(w);
}

/* Turns, with the process started again when it is none. */
static void turns(struct world *w, unsigned n)
{
    for (; n > 0 && !w->failure[0]; n--) {
        if (alive_again(w))
            sim_turn(w);
        else
            w->now += USEC_PER_SEC;
    }
}

static void restart(struct world *w)
{
    if (!is_dead(w)) {
        sim_stop(w);
        inject.died = false;
    }
    bury_dead(w);
    begin(w);
}

static void crash(struct world *w)
{
    if (!is_dead(w))
        sim_crash(w);
    bury_dead(w);
    begin(w);
}

static int give_order(struct world *w, int (*give)(struct mirror *m, struct err *err))
{
    struct err err = {0};
    int rc = WITHIN(int, -ECANCELED, give(w->mirror, &err));

    sim_trace(w, "order: %d", rc);
    return rc;
}

/* An order of the operator, who gives it again until it is carried out; in vain while it fails. */
static void order(struct world *w, int (*give)(struct mirror *m, struct err *err))
{
    for (unsigned tries = 0; tries < 3; tries++) {
        if (alive_again(w) && give_order(w, give) == 0)
            break;
        turns(w, 1);
    }
    w->pumping = true;
    turns(w, 20);
}

#endif
