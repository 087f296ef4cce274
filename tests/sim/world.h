/* A simulated world for the mirror: a real database and a real state file, the real mirror between
 * them and a DynamoDB, all in memory, and a clock that only the world moves. All of it is decided
 * by one seed, so that a failing run can be had again.
 *
 *     application.c  what the application does to its database; application_schema.c changes of its
 * schema service.c      the model DynamoDB: tables, requests, the ways in which they fail disk.c
 * the files, in memory, and what a power failure leaves of them vfs.c, libc.c  those files as
 * SQLite and as the rest of the program see them oracle.c       what must be true: the items that
 * the rows map to, compared with the model's process.c      life of the mirror: start, turns,
 * crashes, stops world.c        the clock, chance, the trace
 *
 * Nothing here is thread-safe, and one world lives at a time: clock_gettime() and usleep() of the
 * program are answered from its clock. A broken promise is kept as the first sentence of
 * `failure`; whoever drives the world looks there. */
#ifndef SYNCD_TESTS_SIM_WORLD_H
#define SYNCD_TESTS_SIM_WORLD_H

#include <sqlite3.h>

#include "base/list.h"
#include "base/map.h"
#include "base/rng.h"
#include "config/config.h"
#include "mapping/oversize.h"
#include "mirror/mirror.h"

#define SIM_EPOCH (1700000000 * USEC_PER_SEC) /* of the wall clock, when the other is at 0 */

enum { SIM_TABLES = 32, SIM_SOURCES = 7, SIM_COMMITS = 64, SIM_COLUMNS = 64 };

/* How often each kind of trouble comes, in thousandths; a seed turns some of them off. */
struct sim_faults {
    unsigned unprocessed, throttled, transient, not_sent, ambiguous, expired, other;
    unsigned table_lost, table_replaced, table_denied;
    unsigned table_throttled; /* takes nothing for a while */
    unsigned denied_long;     /* it stays so, and time passes */
    unsigned poison;          /* of values: DynamoDB refuses what holds SIM_POISON */
    unsigned unmapped;        /* of values: no item can be made of the row */
    unsigned schema;          /* of the application's steps */
    unsigned triggers_dropped, journal_emptied;
    unsigned crash, power, restart, resync, pause, retry_letters;
    unsigned sync_failed, source_sync_failed, state_unwritable, state_full;
    unsigned state_lost; /* of the ends of a process: the state file goes with it */
    unsigned foreign;    /* of looks at tables that nobody has written yet: others have */
    unsigned survey_denied;
    unsigned left_out;  /* a table is mirrored no more, by configuration, and later it is again */
    unsigned ordered;   /* detach, uninstall, hand over, and later the reverse */
    unsigned meanwhile; /* of the syncs of the database: the application goes on when they begin */
};

#define SIM_POISON "poison"

/* A commit of the application: what is read from `serial` on may show it, so that nothing of that
 * may be sent before the files are durable up to `operation`. */
struct sim_commit {
    uint64_t serial, operation;
};

/* An item of the model. */
struct sim_item {
    struct map_node node;
    uint64_t seen; /* by the comparison of that number */
    /* Put by a load, or another that no entry of the journal speaks of, or of which they went with
     * the triggers or with a table that is left out; and so by a process that was killed before it
     * could keep that it had: what is known of DynamoDB is known from the state file, so that such
     * an item stays when its row goes unseen. README names it as a limit. */
    bool unentered, unknown;
    uint64_t process; /* that sent it */
    bool foreign;     /* somebody else's: nobody of ours may touch it */
    unsigned chunks;  /* of a head */
    uint8_t version[DIGEST_SIZE];
    size_t key_len, json_len;
    char bytes[]; /* key, then JSON */
};

struct sim_table {
    char *name;
    bool exists, denied;
    bool shown; /* DescribeTable is not denied */
    bool throttled;
    unsigned made; /* how often it was made: each time another table */
    bool replaced; /* by somebody else, and nobody has looked at it since */
    bool planted;  /* others have had their chance */
    struct sim_marker {
        bool there, alone;
        unsigned of; /* the table as it was made that time */
        char generation[MIRROR_GENERATION];
    } marker;
    unsigned foreign; /* items of others */
    struct map items;
    uint64_t changes; /* of them */
};

/* A survey of a target's table under way, and a marker on its way. */
struct sim_survey {
    bool active, denied;
    usec due;
    struct buf after; /* key of the last item that was given */
    usec marked_due;  /* USEC_NEVER: none */
};

/* What the edge does for one target of the mirror. */
struct sim_probe {
    usec due;
    unsigned made; /* which table it found */
    usec
        watch; /* of a table that was replaced: when it is seen in passing; USEC_NEVER: it is not */
};

struct world {
    uint64_t seed;
    struct rng rng;
    usec now;
    unsigned sector; /* of what a power failure keeps or takes back */
    size_t room;     /* writes that may be pending in the engine; 0: as in the daemon */
    usec slow;       /* a reading of the clock within the mirror moves it on by up to this */
    bool tracing;
    uint64_t hash; /* of the trace */
    unsigned step;
    char failure[1024]; /* "": none */

    char database[32], state[32];
    struct config *config;
    struct strlist configured; /* what it leaves out, while `left_out` is */
    char *left_out;
    struct sim_faults faults;

    /* application */
    sqlite3 *app;
    sqlite3 *look; /* the oracle's, which sees what is committed */
    /* Statements that are asked often. */
    struct sim_asked {
        sqlite3_stmt *columns, *tables, *journal, *orphan, *version, *data;
    } asked;
    struct sim_schema *schema; /* the oracle's */
    struct sim_compared {      /* what its last comparison has seen, which all agreed */
        uint64_t starts, mirrored, items[SIM_TABLES];
        int64_t rows, letters;
        int64_t committed, quiet;
    } compared;
    struct sim_columns { /* of each of its tables, that are no part of the key */
        bool known;
        unsigned count;
        char names[SIM_COLUMNS][24];
    } columns[SIM_SOURCES];
    bool in_transaction;
    unsigned keys; /* different keys of each table */
    const char *journal_mode, *synchronous;
    bool committed;                         /* within the statement at hand */
    struct sim_commit commits[SIM_COMMITS]; /* a ring of the latest */
    unsigned commit_count;
    unsigned column; /* number of the next new column */
    int rebuilding;  /* table that is being rebuilt, or -1 */
    unsigned rebuild_stage, rebuild_kind;
    bool disk_lies; /* a sync of the database does nothing */
    bool quiet;     /* nothing is done to harm any more */

    /* mirror */
    struct mirror *mirror;
    bool pumping, syncing, stopping, paused, state_unwritable, state_full;
    unsigned burst; /* so many more looks for rare things find them more often */
    bool source_syncing, source_synced; /* asked for; and on the disk already */
    uint64_t source_sync;
    bool source_wal;
    int state_fd;
    usec tick_due, credentials_due, recheck_due, ack_due;
    uint64_t starts;         /* of a process */
    uint64_t uninstalled_by; /* so many */
    unsigned rests;          /* times that it let go of the database */
    struct sim_probe probes[SIM_TABLES];
    struct sim_survey surveys[SIM_TABLES];
    uint32_t probe_count;
    bool templates; /* some tables' keys tell whose they are */

    /* service */
    struct sim_table tables[SIM_TABLES];
    size_t table_count;
    struct list flights; /* requests not yet answered */
    struct list late;    /* writes whose answer nobody awaits, and that are yet to arrive */
    usec skew;           /* the service's clock minus ours */
    usec vagueness;      /* it is known within this */
    usec lateness;       /* how long after it was sent a request may arrive */
    uint64_t requests;
    uint64_t comparison;
    bool dropped_items_go; /* on_drop = delete, for every table */
    bool oversize;         /* small rows are compressed and split */
    bool orphans;          /* messages in rooms that are nobody's are left out */
    bool chunks_lost;      /* by a delete that came late, or with their table */
};

/* --- world.c ---------------------------------------------------------------------------------- */

/* An empty world, whose faults are to be chosen next; NULL: no memory. */
struct world *world_new(uint64_t seed, bool tracing);
/* This table is left out by the configuration (NULL: none again). A process that is there is told
 * so. The name is to stay. */
void world_leave_out(struct world *w, const char *table);
/* Its configuration and database. */
bool world_build(struct world *w);
void world_free(struct world *w);

unsigned sim_pick(struct world *w, unsigned n); /* of [0, n) */
bool sim_chance(struct world *w, unsigned thousandths);
enum { SIM_TRACE = 600 }; /* no line is longer */
/* How many bytes of an item need be formatted for one. */
static inline int sim_shown(size_t n)
{
    return n < SIM_TRACE ? (int)n : SIM_TRACE;
}
void sim_trace(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sim_fail(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The statement at `kept`, prepared once; NULL when it cannot be, which is what the steps and
 * columns of no statement say. To be reset after use. */
sqlite3_stmt *sim_ask(sqlite3 *db, sqlite3_stmt **kept, const char *sql);

/* --- process.c -------------------------------------------------------------------------------- */

bool sim_start(struct world *w);
/* The process dies: what its state file had not committed is gone, requests are on their own. */
void sim_crash(struct world *w);
/* All processes die, and of what was not synced on the disk only some is left. */
void sim_power_failure(struct world *w);
/* As the daemon does on SIGTERM. */
void sim_stop(struct world *w);
/* The process has ended: its state file is gone, too. */
void sim_lose_state(struct world *w);

/* Parts of a turn, as the daemon takes them. */
void sim_work(struct world *w);
void sim_flush(struct world *w);
void sim_flushed(struct world *w, bool durable);
void sim_source_synced(struct world *w, bool durable);
void sim_ack(struct world *w, bool force);
void sim_tick(struct world *w);
void sim_rest(struct world *w);
/* An order of the operator: nothing is mirrored from now on, or it is again. */
void sim_order(struct world *w);
bool sim_ordered_out(const struct world *w);
void sim_pause(struct world *w, bool paused);
void sim_approve(struct world *w);
void sim_state_unwritable(struct world *w, bool yes);
/* Nothing that is written there outlives its commit. */
void sim_state_full(struct world *w, bool yes);
/* Whatever is due now, in the daemon's order; else on to the moment when something is. */
void sim_turn(struct world *w);
/* End the troubles and the application's writing, and take turns until all is at rest. */
void sim_settle(struct world *w);

/* --- service.c -------------------------------------------------------------------------------- */

void service_send(void *arg, const struct request *r);
/* Answer a request: any (`due` false), or one whose time has come. False: there is none. */
bool service_answer(struct world *w, bool due);
usec service_due(const struct world *w);
/* After a start, and before entries go unread: items that processes before this one sent, and of
 * which the state file does not tell. */
void service_unknown(struct world *w);
/* There is no state file any more: which items are extra cannot be known where neither keys nor
 * marker say that they are ours. */
void service_state_lost(struct world *w);
/* The mirror's edge: surveys and markers. */
void service_survey(void *arg, uint32_t target);
void service_mark(void *arg, uint32_t target);
usec service_survey_due(const struct world *w);
void service_surveys(struct world *w); /* what is due */
void service_survey_end(struct world *w);
/* Requests of a process that is no more: each arrives now, later or never. */
void service_orphan(struct world *w);
/* What arrives late by now; and when the next one does. */
void service_late(struct world *w);
usec service_late_due(const struct world *w);
/* Nothing that may yet arrive would change anything. */
void service_check_late(struct world *w, const char *when);
void service_trouble(struct world *w); /* a table is lost, denied, or allowed again */
/* All is allowed again, and tables that were lost unnoticed are looked at. */
void service_heal(struct world *w);
/* What DescribeTable and CreateTable would find for a target of the mirror. */
void service_probe(struct world *w, uint32_t target);
/* What a look in passing finds, at one that is open. */
void service_watch(struct world *w, uint32_t target);
struct sim_table *service_table(struct world *w, const char *name);
/* Does DynamoDB refuse it? */
bool service_is_poison(const struct world *w, const struct buf *json);
struct sim_item *service_item(struct sim_table *t, const void *key, size_t n);
void service_free(struct world *w);

/* --- application.c ---------------------------------------------------------------------------- */

const char *application_table(unsigned source);
bool application_create(struct world *w);
void application_step(struct world *w);
/* Rows change and go while no trigger notes it; outside transactions. */
void application_unseen(struct world *w);
/* Finish what is begun. */
void application_rest(struct world *w);
/* Its connections are gone; and there are others, after a power failure. */
void application_close(struct world *w);
bool application_open(struct world *w);
void application_recover(struct world *w);

/* --- oracle.c --------------------------------------------------------------------------------- */

/* The model holds what the rows map to, save for rows that are dead letters; and dead letters are
 * exactly the rows that cannot be written. */
void oracle_compare(struct world *w, const char *when);
/* Before the connection that it looks by is closed. */
void oracle_forget(struct world *w);
/* If the mirror says that all is converged, it is. */
void oracle_converged(struct world *w);
/* Nothing but the sentinel is in the journal. */
bool oracle_journal_empty(struct world *w);
/* Tables that appear while the mirror runs are mirrored once they have stood for a while. */
bool oracle_all_mirrored(struct world *w);

#endif
