/* What fails within the mirror (memory, SQLite, files, locks, requests) while it does each of the
 * things it does: the nth time, once or from then on until the end of the scenario. Nothing
 * crashes, hangs or leaks; `converged` is never said falsely; and once all is well again both sides
 * are equal. A process that ends (it cannot start, or gives up by abort()) is started again, as
 * systemd does.
 *
 *     INJECT=all                       every n of every scenario, for soak runs
 *     INJECT=insert                    every n of that scenario
 *     INJECT="insert memory once 17"   one run, with a trace on stderr
 *     INJECT_SEED=5                    other worlds, and another sample of n
 *     INJECT_SAMPLE=50                 a larger one: so many n of each kind, once and lasting */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <unistd.h>

#include "inject.h"

#include <cmocka.h>

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

static void out_sync_source(void *arg, uint64_t serial, bool wal)
{
    OUTSIDE(world_edge.sync_source(arg, serial, wal));
}

static void out_parked(void *arg, uint32_t target, const struct reply *why)
{
    OUTSIDE(world_edge.parked(arg, target, why));
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

static int in_new(const struct config *c, const struct mirror_edge *edge, uint64_t seed,
                  struct mirror **out, struct err *err)
{
    const struct mirror_edge ours = {.arg = edge->arg,
                                     .send = out_send,
                                     .sync_source = out_sync_source,
                                     .parked = out_parked,
                                     .credentials = out_credentials,
                                     .retrying = out_retrying,
                                     .dead_letter = out_dead_letter,
                                     .note = out_note,
                                     .targets_changed = out_targets_changed};
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
#define mirror_farewell          in_farewell
#define mirror_flush             in_flush
#define mirror_flush_now         in_flush_now
#define mirror_flushed           in_flushed
#define mirror_ack               in_ack
#define mirror_approve           in_approve

#include "../sim/application.c"
#include "../sim/oracle.c"
#include "../sim/service.c"
/* The disk's own memory does not fail. */
#define malloc(n)     __real_malloc(n)
#define calloc(n, m)  __real_calloc(n, m)
#define realloc(p, n) __real_realloc(p, n)
#define strdup(s)     __real_strdup(s)
#include "../sim/vfs.c"
#undef malloc
#undef calloc
#undef realloc
#undef strdup
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
            if (!f->arrived && ways[way].open && sim_chance(w, 500) && !refused(f))
                apply(f, 0);
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

/* --- scenarios -------------------------------------------------------------------------------- */

static void load(struct world *w)
{
    for (unsigned t = 0; t < SIM_SOURCES; t++)
        many(w, t, "v");
    turns(w, 60);
}

static void insert_rows(struct world *w)
{
    app_run(w, "INSERT INTO people(name,v) VALUES('a',1),('b',2.5),('c',x'00ff')");
    app_run(w, "INSERT INTO notes(slug,v) VALUES('fresh','text'),('other',NULL)");
    turns(w, 25);
    app_run(w, "INSERT INTO grid VALUES(1,'x','y','z')");
    turns(w, 15);
}

static void update_rows(struct world *w)
{
    app_run(w, "UPDATE people SET v='changed'");
    turns(w, 6);
    app_run(w, "UPDATE people SET v='changed again' WHERE id%%2");
    app_run(w, "UPDATE grid SET v='changed'");
    turns(w, 30);
}

static void delete_rows(struct world *w)
{
    app_run(w, "DELETE FROM people WHERE id%%2");
    app_run(w, "DELETE FROM notes");
    turns(w, 10);
    app_run(w, "DELETE FROM seats; DELETE FROM grid WHERE a=1");
    turns(w, 25);
}

static void move_keys(struct world *w)
{
    app_run(w, "UPDATE people SET id=id+1000");
    app_run(w, "UPDATE msgs SET room=room+7, usr='moved'");
    turns(w, 10);
    app_run(w, "INSERT OR REPLACE INTO people(id,name) VALUES(1001,'replaced')");
    app_run(w, "UPDATE seats SET place=place||'x'; UPDATE tags SET tag=upper(tag)");
    turns(w, 30);
}

static void swap_rows(struct world *w)
{
    app_run(w, "DELETE FROM seats; INSERT INTO seats VALUES(1,'front','a'),(2,'back','b')");
    turns(w, 20);
    app_run(w, "BEGIN IMMEDIATE");
    app_run(w, "UPDATE seats SET place='aside' WHERE id=1");
    app_run(w, "UPDATE seats SET place='front' WHERE id=2");
    app_run(w, "UPDATE seats SET place='back' WHERE id=1");
    app_run(w, "COMMIT");
    turns(w, 25);
}

static void meet(struct world *w)
{
    app_run(w, "DELETE FROM seats; DELETE FROM desks");
    app_run(w, "INSERT INTO seats VALUES(1,'front','a'),(2,'front','b'),(3,'front','c')");
    turns(w, 20);
    app_run(w, "INSERT INTO desks VALUES('d','front','d')");
    app_run(w, "DELETE FROM seats WHERE id=1");
    turns(w, 20);
    app_run(w, "UPDATE seats SET place='back' WHERE id=2");
    turns(w, 20);
}

static void dead_letters(struct world *w)
{
    app_run(w, "INSERT INTO people(id,v) VALUES(501,'" SIM_POISON "'),(502,9e999),(503,'well'),"
               "(504,zeroblob(1200000))");
    turns(w, 25);
    app_run(w, "UPDATE people SET v='mended' WHERE id IN (501,504)");
    app_run(w, "DELETE FROM people WHERE id=502");
    turns(w, 25);
}

static void retry_letters_again(struct world *w)
{
    app_run(w, "INSERT INTO people(id,v) VALUES(501,'" SIM_POISON "'),(502,9e999)");
    turns(w, 25);
    if (alive_again(w))
        WITHIN(int, 0, mirror_dead_letters_retry(w->mirror, w->now, 0));
    w->pumping = true;
    turns(w, 25);
}

static int give_resync(struct mirror *m, struct err *err)
{
    int rc = mirror_resync(m, NULL, false, err);

    return rc < 0 && rc != -ENOENT ? rc : 0;
}

static int give_full_resync(struct mirror *m, struct err *err)
{
    int rc = mirror_resync(m, NULL, true, err);

    return rc < 0 && rc != -ENOENT ? rc : 0;
}

static void compare_tables(struct world *w)
{
    order(w, give_resync);
    app_run(w, "UPDATE people SET v='while comparing'; DELETE FROM notes");
    turns(w, 30);
}

static void send_all(struct world *w)
{
    order(w, give_full_resync);
    turns(w, 30);
}

static void add_column(struct world *w)
{
    app_run(w, "ALTER TABLE people ADD COLUMN age DEFAULT 7");
    turns(w, 15);
    app_run(w, "UPDATE people SET age=8 WHERE id=1; ALTER TABLE people RENAME COLUMN age TO years");
    turns(w, 30);
}

static void rebuild(struct world *w)
{
    rebuild_by_the_book(w, PEOPLE);
    turns(w, 15);
    rebuild_by_the_book(w, SEATS);
    turns(w, 30);
}

static void lose_triggers(struct world *w)
{
    char *drops = app_ask(w, "SELECT group_concat('DROP TRIGGER '||name, ';') FROM sqlite_schema "
                             "WHERE type='trigger' AND tbl_name='people'");

    if (drops)
        app_run(w, "%s", drops);
    sqlite3_free(drops);
    app_run(w, "UPDATE people SET v='unseen'; DELETE FROM people WHERE id=1");
    turns(w, 40);
}

static void lose_journal(struct world *w)
{
    app_run(w, "UPDATE people SET v='before'");
    app_run(w, "DROP TABLE IF EXISTS _syncd_journal");
    turns(w, 40);
}

static void drop_table(struct world *w)
{
    app_run(w, "DROP TABLE tags");
    turns(w, 20);
    w->now += 61 * USEC_PER_SEC;
    turns(w, 20);
    app_run(w, "CREATE TABLE later(id INTEGER PRIMARY KEY, v); INSERT INTO later(v) VALUES('x')");
    turns(w, 10);
    w->now += 61 * USEC_PER_SEC;
    turns(w, 30);
}

static void restart_with_work(struct world *w)
{
    app_run(w, "UPDATE people SET v='before the stop'");
    turns(w, 3);
    restart(w);
    app_run(w, "UPDATE people SET v='after the stop'");
    turns(w, 20);
    restart(w);
    turns(w, 20);
}

static void crash_with_work(struct world *w)
{
    app_run(w, "UPDATE people SET v='before the crash'; DELETE FROM grid");
    turns(w, 4);
    crash(w);
    app_run(w, "UPDATE people SET v='after the crash' WHERE id%%2");
    turns(w, 12);
    crash(w);
    turns(w, 20);
}

static void detach_and_attach(struct world *w)
{
    order(w, mirror_detach);
    app_run(w, "UPDATE people SET v='while detached'; DELETE FROM notes");
    turns(w, 5);
    order(w, mirror_attach_order);
    turns(w, 30);
}

static void uninstall_and_attach(struct world *w)
{
    order(w, mirror_uninstall);
    app_run(w, "UPDATE people SET v='while taken out'");
    turns(w, 5);
    order(w, mirror_attach_order);
    turns(w, 30);
}

static void pause_and_resume(struct world *w)
{
    if (alive_again(w))
        sim_pause(w, true);
    app_run(w, "UPDATE people SET v='while paused'");
    turns(w, 10);
    if (alive_again(w))
        sim_pause(w, false);
    turns(w, 20);
}

static void rest_and_wake(struct world *w)
{
    for (unsigned i = 0; i < 40 && alive_again(w) && !mirror_resting(w->mirror); i++)
        turns(w, 1);
    app_run(w, "UPDATE people SET v='woken'");
    turns(w, 20);
}

static void lose_table(struct world *w)
{
    struct sim_table *t = alive_again(w) ? service_table(w, "notes") : NULL;

    if (t && list_empty(&w->flights)) {
        t->exists = false;
        items_clear(t);
    }
    app_run(w, "INSERT OR REPLACE INTO notes(slug,v) VALUES('n1','again')");
    turns(w, 20);
    w->now += 6 * USEC_PER_SEC;
    turns(w, 20);
}

static void vacuum(struct world *w)
{
    app_run(w, "UPDATE people SET v='before'");
    app_run(w, "VACUUM");
    turns(w, 25);
}

static void rollback_journal(struct world *w)
{
    for (unsigned i = 0; i < 40 && alive_again(w) && !mirror_resting(w->mirror); i++)
        turns(w, 1);
    sqlite3_exec(w->app, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
    app_run(w, "UPDATE people SET v='by rollback journal'");
    turns(w, 20);
    app_run(w, "DELETE FROM people WHERE id=1");
    turns(w, 20);
}

/* `cold`: from the first start on; otherwise from when the mirror was at rest. */
static const struct scenario {
    const char *name;
    void (*run)(struct world *w);
    bool cold;
} scenarios[] = {{"load", load, true},
                 {"insert", insert_rows, false},
                 {"update", update_rows, false},
                 {"delete", delete_rows, false},
                 {"move", move_keys, false},
                 {"swap", swap_rows, false},
                 {"meet", meet, false},
                 {"dead-letters", dead_letters, false},
                 {"retry", retry_letters_again, false},
                 {"resync", compare_tables, false},
                 {"full-resync", send_all, false},
                 {"add-column", add_column, false},
                 {"rebuild", rebuild, false},
                 {"triggers", lose_triggers, false},
                 {"journal", lose_journal, false},
                 {"drop", drop_table, false},
                 {"restart", restart_with_work, false},
                 {"crash", crash_with_work, false},
                 {"detach", detach_and_attach, false},
                 {"uninstall", uninstall_and_attach, false},
                 {"pause", pause_and_resume, false},
                 {"rest", rest_and_wake, false},
                 {"lost-table", lose_table, false},
                 {"vacuum", vacuum, false},
                 {"rollback", rollback_journal, false}};

enum { SCENARIOS = sizeof scenarios / sizeof *scenarios, SAMPLE = 2 };

/* --- a run ------------------------------------------------------------------------------------ */

struct run {
    const struct scenario *scenario;
    enum inject_kind kind;
    uint64_t nth; /* 0: nothing fails, all is counted */
    bool lasting;
    uint64_t seed;
};

static char running[200]; /* for whoever finds the program dead */

static uint64_t chances[INJECT_KINDS]; /* to fail, in the scenario itself */

static void end_well(struct world *w)
{
    memcpy(chances, inject.seen, sizeof chances);
    inject.nth = 0;
    bury_dead(w);
    if (!w->mirror)
        begin(w);
    if (w->mirror && !w->failure[0] && (w->mirror->detached || w->mirror->uninstalled))
        order(w, mirror_attach_order);
    if (w->mirror && !w->failure[0])
        sim_settle(w);
    if (w->mirror && !w->failure[0])
        oracle_compare(w, "at rest");
    if (w->failure[0])
        return;
    sim_stop(w);
    if (!begin(w))
        return;
    sim_settle(w);
    if (!w->failure[0])
        oracle_compare(w, "after a restart");
}

static void carry_through(struct world *w, const struct run *r)
{
    if (!r->scenario->cold && (!begin(w) || (sim_settle(w), w->failure[0])))
        return;
    inject = (struct inject){.kind = r->kind, .nth = r->nth, .lasting = r->lasting};
    turns(w, 1);
    r->scenario->run(w);
    if (!is_dead(w) && !w->failure[0])
        oracle_converged(w);
    end_well(w);
}

static void run_once(const struct run *r, bool tracing, char failure[1024])
{
    const struct inject nothing = {.nth = 0};

    inject = nothing;
    snprintf(running, sizeof running, "INJECT=\"%s %s %s %llu\" INJECT_SEED=%llu",
             r->scenario->name, inject_names[r->kind], r->lasting ? "lasting" : "once",
             (unsigned long long)r->nth, (unsigned long long)r->seed);
    alarm(60);
    struct world *w = world_new(r->seed + (uint64_t)(r->scenario - scenarios), tracing);
    if (!w || !inject_files() || !world_build(w))
        snprintf(failure, 1024, "the world cannot be made");
    else {
        carry_through(w, r);
        snprintf(failure, 1024, "%s", w->failure);
    }
    struct inject counted = inject;
    inject.died = false;
    inject.nth = 0;
    if (w)
        world_free(w);
    inject = counted;
    alarm(0);
}

/* --- tests ------------------------------------------------------------------------------------ */

static uint64_t base_seed(void)
{
    const char *text = getenv("INJECT_SEED");

    return text ? strtoull(text, NULL, 10) : 1;
}

static unsigned sample_size(void)
{
    const char *text = getenv("INJECT_SAMPLE");

    return text ? (unsigned)strtoul(text, NULL, 10) : SAMPLE;
}

static unsigned failures, runs, barren;

static void try_one(const struct run *r, bool tracing)
{
    char failure[1024];

    run_once(r, tracing, failure);
    runs++;
    barren += r->nth && !inject.failed;
    if (!failure[0])
        return;
    fprintf(stderr, "%s: %s\n", running, failure);
    failures++;
}

/* `sample`: so many n of each kind and duration; 0: every one. */
static void try_scenario(const struct scenario *s, unsigned sample)
{
    struct rng rng = {.state = base_seed() * 1000 + (uint64_t)(s - scenarios)};
    struct run r = {.scenario = s, .seed = base_seed()};
    uint64_t counts[INJECT_KINDS];

    try_one(&r, false);
    memcpy(counts, chances, sizeof counts);
    for (unsigned kind = 0; kind < INJECT_KINDS; kind++)
        for (unsigned lasting = 0; lasting < 2; lasting++) {
            uint64_t n = sample && sample < counts[kind] ? sample : counts[kind];
            r.kind = (enum inject_kind)kind;
            r.lasting = lasting;
            for (uint64_t i = 1; i <= n; i++) {
                r.nth = n == counts[kind] ? i : 1 + rng_upto(&rng, counts[kind] - 1);
                try_one(&r, false);
            }
        }
}

static bool one_run(const char *text)
{
    struct run r = {.seed = base_seed()};
    char scenario[40], kind[40], duration[40];
    unsigned long long nth;

    if (sscanf(text, "%39s %39s %39s %llu", scenario, kind, duration, &nth) != 4)
        return false;
    for (unsigned i = 0; i < SCENARIOS; i++)
        r.scenario = strcmp(scenarios[i].name, scenario) == 0 ? &scenarios[i] : r.scenario;
    for (unsigned i = 0; i < INJECT_KINDS; i++)
        r.kind = strcmp(inject_names[i], kind) == 0 ? (enum inject_kind)i : r.kind;
    r.lasting = strcmp(duration, "lasting") == 0;
    r.nth = nth;
    if (!r.scenario)
        fail_msg("there is no scenario %s", scenario);
    try_one(&r, true);
    return true;
}

static void whatever_fails_both_sides_are_equal_at_last(void **state)
{
    const char *which = getenv("INJECT");
    bool all = which && strcmp(which, "all") == 0, found = false;

    (void)state;
    failures = runs = barren = 0;
    if (which && one_run(which))
        found = true;
    else
        for (unsigned i = 0; i < SCENARIOS; i++)
            if (!which || all || strcmp(scenarios[i].name, which) == 0) {
                try_scenario(&scenarios[i], which ? 0 : sample_size());
                found = true;
            }
    if (!found)
        fail_msg("there is no scenario %s", which);
    print_message("%u runs, of which in %u nothing failed\n", runs, barren);
    if (failures)
        fail_msg("%u of %u runs failed", failures, runs);
}

static void tell(int signal)
{
    static const char hung[] = " did not end\n", crashed[] = " crashed\n";
    const char *what = signal == SIGALRM ? hung : crashed;

    if (write(STDERR_FILENO, running, strlen(running)) < 0 ||
        write(STDERR_FILENO, what, strlen(what)) < 0)
        _exit(2);
    _exit(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_fails_both_sides_are_equal_at_last),
    };

    if (!inject_install())
        return 1;
    signal(SIGALRM, tell);
    signal(SIGABRT, tell);
#ifndef __SANITIZE_ADDRESS__
    signal(SIGSEGV, tell);
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
