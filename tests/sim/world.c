/* A world is made and ended; its clock, its chance and its trace. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vfs.h"
#include "world.h"

/* --- clock ------------------------------------------------------------------------------------ */

static struct world *alive; /* clock_gettime() has no other way to know */

int clock_gettime(clockid_t id, struct timespec *ts)
{
    if (!alive)
        return (int)syscall(SYS_clock_gettime, id, ts);
    if (alive->slow)
        alive->now += sim_pick(alive, (unsigned)alive->slow);
    usec t = alive->now + (id == CLOCK_REALTIME ? SIM_EPOCH : 0);
    ts->tv_sec = t / USEC_PER_SEC;
    ts->tv_nsec = t % USEC_PER_SEC * 1000;
    return 0;
}

int usleep(useconds_t duration)
{
    if (alive)
        alive->now += duration;
    return 0;
}

/* --- chance, trace, failure ------------------------------------------------------------------- */

unsigned sim_pick(struct world *w, unsigned n)
{
    return n ? (unsigned)rng_upto(&w->rng, n - 1) : 0;
}

bool sim_chance(struct world *w, unsigned thousandths)
{
    return thousandths && sim_pick(w, 1000) < thousandths;
}

void sim_trace(struct world *w, const char *fmt, ...)
{
    char text[SIM_TRACE];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    w->hash = map_hash(text, strlen(text), w->hash ^ (uint64_t)w->now);
    if (w->tracing)
        fprintf(stderr, "%4u %10.6f %s\n", w->step, (double)w->now / 1e6, text);
}

void sim_fail(struct world *w, const char *fmt, ...)
{
    char text[sizeof w->failure];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (w->failure[0])
        return;
    if (w->tracing)
        fprintf(stderr, "%4u %10.6f FAILURE: %s\n", w->step, (double)w->now / 1e6, text);
    snprintf(w->failure, sizeof w->failure, "%s", text);
}

sqlite3_stmt *sim_ask(sqlite3 *db, sqlite3_stmt **kept, const char *sql)
{
    if (!*kept)
        sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, kept, NULL);
    return *kept;
}

/* --- life of the world ------------------------------------------------------------------------ */

/* Limits so low that small rows are compressed and split. Tables without a sort key of text are
 * compressed only. */
static void choose_oversize(struct world *w, FILE *f, bool single)
{
    static const char *const tables[] = {"people", "notes", "tags", "grid",
                                         "msgs",   "seats", "desks"};

    w->oversize = sim_chance(w, 500);
#ifdef SYNCD_PLANTS
    oversize_item_limit = w->oversize ? 200 + sim_pick(w, 500) : ITEM_MAX_SIZE;
    oversize_chunk_size = w->oversize ? 40 + sim_pick(w, 200) : 128 * 1024;
#endif
    if (!w->oversize)
        return;
    for (unsigned i = 0; i < sizeof tables / sizeof *tables; i++)
        fprintf(f, "[table \"%s\"]\noversize=%s\n", tables[i],
                i == 3 || (i > 3 && single) ? sim_chance(w, 900) ? "split" : "compress"
                : sim_chance(w, 500)        ? "compress"
                                            : "dead-letter");
}

static bool write_config(struct world *w)
{
    char path[32];
    struct config_request request = {.file = path};
    struct err err = {0};
    int fd = memfd_create("sim.conf", MFD_CLOEXEC);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");

    if (!f)
        return false;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    fprintf(f,
            "[source]\ndatabase=%s\n[state]\npath=%s\n[dynamodb]\nregion=us-west-2\n"
            "max_requests_in_flight=%u\n[sync]\nlinger=%ums\nbackoff_max=%us\n",
            w->database, w->state, 1 + sim_pick(w, 8), sim_pick(w, 20), 1 + sim_pick(w, 20));
    unsigned horizon = sim_chance(w, 500) ? 16 * 60 : 2 + sim_pick(w, 60);
    fprintf(f, "unconfirmed_horizon=%us\n", horizon);
    w->lateness = (usec)horizon * USEC_PER_SEC / 16 * 15;
    w->vagueness = sim_chance(w, 500) ? 0 : (usec)horizon * USEC_PER_SEC / 64;
    w->skew = ((int)sim_pick(w, 1200) - 600) * USEC_PER_SEC;
    fprintf(f, "hold_deletes=%u%%\n", sim_chance(w, 500) ? 100 : sim_pick(w, 60));
    if (!w->faults.crash && !w->faults.power && !w->faults.restart && sim_chance(w, 200))
        fprintf(f, "journal_limit=%u\n", 1000 + sim_pick(w, 2000));
    bool single = w->templates = sim_chance(w, 700);
    if (single) {
        /* One DynamoDB table of several, whose rows may meet; and one row that moves. */
        fprintf(f, "[table \"msgs\"]\ntarget=single\npartition_key=USER#{usr}\n"
                   "sort_key=MSG#{room}#{id}\n");
        fprintf(f, "[table \"seats\"]\ntarget=single\npartition_key=PLACE#{place}\n"
                   "sort_key=SEAT\n");
        fprintf(f,
                "[table \"desks\"]\ntarget=%s\npartition_key=PLACE#{place}\n"
                "sort_key=SEAT\n",
                sim_chance(w, 600) ? "single" : "desks");
    }
    /* By the seed's number, not its dice, so that the other worlds stay what they are. */
    if (w->seed % 4 == 1)
        fprintf(f, "[table \"people\"]\nconvert.id=uuid5(sim:people)\ndefault.name=nobody\n"
                   "keep_key=yes\nadd.both=p/{id}\n"
                   "[table \"notes\"]\nconvert.slug=binary\nconvert.n=timestamp\n"
                   "[table \"grid\"]\nconvert.a=string\nconvert.b=uuid5(sim:b)\n"
                   "[table \"msgs\"]\nconvert.room=uuid5(sim:rooms)\nconvert.usr=string\n"
                   "[table \"desks\"]\nconvert.code=uuid5(sim:desks)\n");
    w->dropped_items_go = sim_chance(w, 400);
    for (unsigned t = 0; w->dropped_items_go && t < SIM_SOURCES; t++)
        fprintf(f, "[table \"%s\"]\non_drop=delete\n", application_table(t));
    choose_oversize(w, f, single);
    w->orphans = w->seed % 4 == 3;
    if (w->orphans)
        fprintf(f, "[table \"msgs\"]\norphans=%s\n", w->seed % 8 == 3 ? "skip" : "dead-letter");
    fflush(f);
    int rc = config_load(&request, &w->config, &err);
    fclose(f);
    if (rc < 0)
        sim_fail(w, "%s", err.text);
    return rc == 0;
}

void world_leave_out(struct world *w, const char *table)
{
    if (!table == !w->left_out)
        return;
    if (table)
        w->configured = w->config->exclude_tables;
    w->left_out = (char *)table;
    w->config->exclude_tables =
        table ? (struct strlist){.items = &w->left_out, .count = 1} : w->configured;
    sim_trace(w, "table %s is left out", table ? table : "(none)");
    w->compared = (struct sim_compared){0};
    oracle_forget(w);
    if (w->mirror) {
        service_unknown(w);
        mirror_remap(w->mirror, w->config);
        w->pumping = true;
    }
}

struct world *world_new(uint64_t seed, bool tracing)
{
    struct world *w = calloc(1, sizeof *w);

    if (!w)
        return NULL;
    alive = w;
    *w = (struct world){.seed = seed, .rng.state = seed, .tracing = tracing, .rebuilding = -1};
    w->now = 1000 * USEC_PER_SEC;
    list_init(&w->flights);
    vfs_start(seed);
    list_init(&w->late);
    snprintf(w->database, sizeof w->database,
             "/sim/app.db"); /* files in memory: no such directory */
    snprintf(w->state, sizeof w->state, "/sim/state.db");
    w->keys = 2 + sim_pick(w, 30);
    w->sector = sim_chance(w, 500) ? 512 : 4096;
    return w;
}

bool world_build(struct world *w)
{
    return write_config(w) && application_create(w);
}

void world_free(struct world *w)
{
    if (w->mirror)
        mirror_free(w->mirror);
    service_free(w);
    application_close(w);
    vfs_end();
    if (w->left_out)
        w->config->exclude_tables = w->configured;
    config_free(w->config);
    alive = NULL;
    free(w);
}
