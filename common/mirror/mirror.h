/* The mirror: source, mapping, engine and state put together, without loop, network or threads. The
 * daemon drives it with libuv and libcurl; a simulator drives it with a seed.
 *
 *     journal --reader--\                                         /--> store (digests, dead
 * letters)
 *                        >-- mapping --> engine --> send ... reply
 *     tables  --loader--/                                         \--> journal ack, load progress
 *
 * Reading and offering are one step: no row is held that the engine has not taken. What was read is
 * made durable in the application's database before it is sent. An outcome is written to the store,
 * made durable, and only then lets go of its place in the journal. */
#ifndef SYNCD_MIRROR_MIRROR_H
#define SYNCD_MIRROR_MIRROR_H

#include "base/histogram.h"
#include "config/config.h"
#include "engine/engine.h"
#include "source/capture.h"
#include "source/source.h"
#include "state/store.h"

struct mirror;

/* What the mirror needs done outside. Called from within mirror functions; must not call back. */
struct mirror_edge {
    void *arg;
    /* Send it; answer later with mirror_reply(). */
    void (*send)(void *arg, const struct request *r);
    /* Make durable what is committed to the database (source/durable.h), off the loop; answer with
     * mirror_source_synced(). One at a time. */
    void (*sync_source)(void *arg, uint64_t serial, bool wal);
    /* A table cannot be written: look at it now and then, answer with mirror_target_open(). */
    void (*parked)(void *arg, uint32_t target, const struct reply *why);
    /* Fresh credentials, please; answer with mirror_credentials(). */
    void (*credentials)(void *arg, const struct reply *why);
    void (*retrying)(void *arg, const struct reply *why, usec delay);
    /* A row cannot be mirrored (again). `is_new`: it was not a dead letter before. */
    void (*dead_letter)(void *arg, const struct dead_letter *d, bool is_new);
    /* Something worth a line in the log. `code` is the event's name. */
    void (*note)(void *arg, enum log_level level, const char *code, const char *text);
    /* The set of targets changed: see mirror_target_count(). */
    void (*targets_changed)(void *arg);
    /* What time it is for the service, Unix us: at the latest, or at the earliest, as far as can be
     * told. NULL: the wall clock. */
    usec (*service_time)(void *arg, bool latest);
};

/* Opens the state file (-EBUSY: a second daemon) and remembers the configuration, which must
 * outlive the mirror or be replaced by mirror_configure(). The database is not touched yet. */
int mirror_new(const struct config *c, const struct mirror_edge *edge, uint64_t seed,
               struct mirror **out, struct err *err);
void mirror_free(struct mirror *m);
/* The limits of the engine and of the journal, from a new configuration whose mapping is the same.
 */
void mirror_configure(struct mirror *m, const struct config *c);
/* Which tables a configuration maps otherwise than they are now, and how many rows they have:
 * `12 of "users", 7 of "books"` appended to `touched`, nothing where none is. 0; -EINVAL with a
 * sentence when a table that is mirrored could not be; -EIO, -ENOMEM. Counting takes a look at
 * every row of those tables. */
int mirror_remap_touches(struct mirror *m, const struct config *c, struct buf *touched,
                         struct err *err);
/* As mirror_configure(), from one that may map otherwise: the tables are compared with what was
 * sent, and what differs is sent, once the work goes on. */
void mirror_remap(struct mirror *m, const struct config *c);

/* Open the database if it is not, read its schema, install what is missing, open the journal. To be
 * called at the start, and again while mirror_problem() is not SOURCE_OK. */
enum source_problem mirror_attach(struct mirror *m, usec now);
/* Let go of the database; pending writes stay. */
void mirror_close_source(struct mirror *m);

/* What stands between us and the database, and the sentence about it. */
enum source_problem mirror_problem(const struct mirror *m, const char **text);

/* Look for changes and take a slice of work. Returns MIRROR_* bits. */
enum {
    MIRROR_MORE = 1,  /* there is more to do at once */
    MIRROR_FOUND = 2, /* something new was in the journal */
    MIRROR_BUSY = 4,  /* the database was locked: try again soon */
    MIRROR_LATER = 8, /* reading gave way to a writer: try again in a millisecond or so */
};
unsigned mirror_work(struct mirror *m, usec now);
/* Once a second: is the file still the one that is open? */
void mirror_tick(struct mirror *m);
/* Cheap: is there anything to look for: a commit of another connection, a table whose minute of
 * probation is over? */
bool mirror_changed(struct mirror *m);
/* Rollback mode: writers are at work, and even a glance would refuse them a commit. */
bool mirror_gives_way(const struct mirror *m);
/* Once a second, after work: let go of the database when there has been nothing to do for a few
 * seconds. The functions above and below take it up again when they must. */
void mirror_rest(struct mirror *m, usec now);
bool mirror_resting(const struct mirror *m);

void mirror_reply(struct mirror *m, usec now, uint64_t request, const struct reply *r);
/* `rc`: 0 or a negative errno; then nothing is sent, and it is asked for again. */
void mirror_source_synced(struct mirror *m, usec now, uint64_t serial, int rc);
void mirror_timer(struct mirror *m, usec now);
void mirror_credentials(struct mirror *m, usec now);
void mirror_pause(struct mirror *m, usec now, bool paused);
/* Send nothing until then (Unix us; USEC_NEVER: until told to), or from now on again (0). Over a
 * restart too; the caller ends it when the time has come. 0, or -EIO: it holds for this process
 * only, until the state file can be written. */
int mirror_pause_until(struct mirror *m, usec now, usec until);
/* As it was ordered last; 0: not paused. */
usec mirror_paused_until(const struct mirror *m);
void mirror_stop(struct mirror *m, usec now);

/* --- targets ---------------------------------------------------------------------------------- */

struct mirror_target {
    const char *name;
    const struct key_schema *schema;
    bool open;
    bool looked; /* the edge has said open or parked since the start */
    bool parked;
    char reason[400]; /* why it is parked */
    char code[64];
};
uint32_t mirror_target_count(const struct mirror *m);
const struct mirror_target *mirror_target(const struct mirror *m, uint32_t i);
/* Write units a second that it is sent at most, as learnt from its throttling; 0: no limit. */
double mirror_target_limit(const struct mirror *m, uint32_t i);
/* `identity`: what the service calls this very table, "" when not known. One that is not the table
 * that was known under the name, or was just made (`made`), is empty as far as we know: what was
 * known of its items is void. */
void mirror_target_open(struct mirror *m, usec now, uint32_t i, const char *identity, bool made);
void mirror_target_parked(struct mirror *m, usec now, uint32_t i, const char *code,
                          const char *reason);

/* --- making outcomes durable ------------------------------------------------------------------ */

/* At a clean stop, after the last acknowledgement: remember where the journal stands, so that an
 * older copy of the database in its place is told from it at the next start. */
void mirror_farewell(struct mirror *m);
/* When mirror_flush() is due, or USEC_NEVER. */
usec mirror_flush_due(const struct mirror *m);
/* Commit outcomes to the store. 1: `*fd` must be fdatasync'ed, then mirror_flushed(); 0: nothing to
 * do; negative: the store cannot be written (it is tried again later). */
int mirror_flush(struct mirror *m, usec now, int *fd);
/* The same whether it is due or not: before a stop. */
int mirror_flush_now(struct mirror *m, usec now, int *fd);
void mirror_flushed(struct mirror *m, usec now, bool durable);
/* Take settled entries out of the journal if the time is right (`force`: whatever the time).
 * Returns when to try again, or USEC_NEVER. */
usec mirror_ack(struct mirror *m, usec now, bool force);

/* --- orders ----------------------------------------------------------------------------------- */

int mirror_detach(struct mirror *m, struct err *err);
int mirror_attach_order(struct mirror *m, struct err *err);
/* Attach, whatever the database was before, and give it an identity of its own. */
int mirror_adopt(struct mirror *m, struct err *err);
int mirror_uninstall(struct mirror *m, struct err *err);
/* Compare and send differences; `full`: send every row. -ENOENT: no such table. */
int mirror_resync(struct mirror *m, const char *table, bool full, struct err *err);
/* Let held comparisons delete what they would, and take up a database that is held. Returns how
 * many of them. */
int mirror_approve(struct mirror *m);
/* Read the row again and send it. id 0: all. Returns how many, or negative when none could be read.
 */
int mirror_dead_letters_retry(struct mirror *m, usec now, int64_t id);
int mirror_dead_letters_discard(struct mirror *m, int64_t id);

/* --- what is known ---------------------------------------------------------------------------- */

struct mirror_table_view {
    const char *name, *target;
    const char *state; /* live loading comparing held parked refused detached waiting dropped */
    const char *reason;
    uint64_t pending, items_put, items_deleted;
    int64_t dead_letters;
    bool mirrored;
    int64_t held_deletes, held_items; /* state held: it would delete so many of so many */
};

/* What may stand still, each for causes of its own. */
enum mirror_motion_kind {
    MOTION_READ, /* entries of the journal are to be read */
    MOTION_LOAD, /* tables are to be loaded, compared, or caught up with */
    MOTION_SEND, /* writes that were read are to be confirmed by DynamoDB */
    MOTION_KEEP, /* what was confirmed is to be kept in the state file */
    MOTION_COUNT,
};

struct mirror_motion {
    bool wanted;
    uint64_t count; /* another one: it has moved */
};

struct mirror_view {
    bool attached, detached, uninstalled, paused;
    bool held; /* the database is not the one that we know: nothing is read or sent */
    const char *held_text;
    bool connected; /* false: resting, or nothing to be connected to */
    uint64_t wakeups;
    bool loading; /* some table is not done */
    bool state_broken;
    const char *state_error;
    int64_t journal_max, journal_low, watermark;
    int64_t journal_entries;
    int64_t dead_letters;
    int64_t unconfirmed; /* keys of which a write may yet be carried out */
    usec overdue;        /* how long the time of the first of them is over; 0: it is not */
    uint64_t discarded;
    usec oldest_pending; /* monotonic, or USEC_NEVER */
    bool oldest_known;   /* a change that waits since then; else since when all was well */
    usec converged_at;   /* monotonic, when it was last known */
    uint64_t changes, items_put, items_deleted, spared, refused;
    struct engine_stats engine;
    const char *journal_mode, *synchronous;
    int64_t wal_bytes;
    bool converged;
    struct mirror_motion motion[MOTION_COUNT];
    usec ack_refused; /* monotonic: since when entries cannot be taken out of the journal; 0 */
    double lag_p50, lag_p99, lag_max; /* seconds, of recent writes */
    /* Since the start; they live as long as the mirror. */
    const struct histogram *lag;       /* from reading a change to its confirmation */
    const struct histogram *ack_locks; /* how long an acknowledgement held the user's write lock */
};

/* --- the canary: a row of ours that is written, mirrored, and read back by the edge ------------
 */

enum { MIRROR_CANARY_ID = 2 * CAPTURE_ID_SIZE + 1 };
/* Write the canary's row with `beat` into it, giving way to writers as acknowledgements do: not
 * before `due` by a moment of quiet. 0: *seq is the journal's position that covers it; -EAGAIN: not
 * now, and *why says why (static). The caller has work done next. */
int mirror_canary_beat(struct mirror *m, usec now, usec due, int64_t beat, int64_t *seq,
                       const char **why);
/* Is it sent, as far as the mirror knows, when that was its position? */
bool mirror_canary_sent(const struct mirror *m, int64_t seq);
/* Nobody has ordered that nothing is mirrored (paused, detached, uninstalled, held). */
bool mirror_on_duty(const struct mirror *m);
/* The partition key of its item. */
void mirror_canary_id(const struct mirror *m, char out[MIRROR_CANARY_ID]);
/* What keeps it from DynamoDB for good: its table refused or parked. NULL: nothing that is known.
 */
const char *mirror_canary_stopped(const struct mirror *m);

/* Takes a fresh look at the journal. */
void mirror_view(struct mirror *m, usec now, struct mirror_view *out);
size_t mirror_table_count(const struct mirror *m);
void mirror_table(const struct mirror *m, size_t i, struct mirror_table_view *out);
/* Give caches of both databases back. */
void mirror_release_memory(struct mirror *m);
struct store *mirror_store(const struct mirror *m);
usec mirror_deadline(const struct mirror *m);
/* Everything up to this journal position, and every load, is settled and durable. */
bool mirror_settled(const struct mirror *m, int64_t seq);
bool mirror_idle(const struct mirror *m);

#endif
