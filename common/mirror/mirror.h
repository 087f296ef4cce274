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
#include "source/schema_dump.h"
#include "source/source.h"
#include "state/store.h"

struct mirror;

/* What the mirror needs done outside. Called from within mirror functions; must not call back. */
struct mirror_edge {
    void *arg;
    /* Send it; answer later with mirror_reply(). */
    void (*send)(void *arg, const struct request *r);
    /* Make durable what is committed to the database (source/durable.h), off the loop; answer with
     * mirror_source_synced(), which tells the same number. One at a time. */
    void (*sync_source)(void *arg, uint64_t sync, bool wal);
    /* A table cannot be written: look at it now and then, answer with mirror_target_open(). */
    void (*parked)(void *arg, uint32_t target, const struct reply *why);
    /* It may be another by now, or is: look at it as at a start. */
    void (*look_again)(void *arg, uint32_t target);
    /* Fresh credentials, please; answer with mirror_credentials(). */
    void (*credentials)(void *arg, const struct reply *why);
    void (*retrying)(void *arg, const struct reply *why, usec delay);
    /* A row cannot be mirrored (again). `is_new`: it was not a dead letter before. */
    void (*dead_letter)(void *arg, const struct dead_letter *d, bool is_new);
    /* Something worth a line in the log. `code` is the event's name. */
    void (*note)(void *arg, enum log_level level, const char *code, const char *text);
    /* The set of targets changed: see mirror_target_count(). */
    void (*targets_changed)(void *arg);
    /* Look at the key of every item of the target's table, read consistently, from the start:
     * answer page by page with mirror_survey_page(), or with mirror_survey_failed(). It replaces
     * one of that target that is under way. NULL: nobody looks, and what a table holds is taken on
     * trust.
     */
    void (*survey)(void *arg, uint32_t target);
    /* Write down, where other machines see it, that the target is ours: answer with
     * mirror_target_marked(). NULL: nothing is written. */
    void (*mark)(void *arg, uint32_t target);
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
/* What was read is being made durable, and nothing more is read before that: a look comes to
 * nothing.
 */
bool mirror_syncing(const struct mirror *m);
/* Rollback mode: writers are at work, and even a glance would refuse them a commit. */
bool mirror_gives_way(const struct mirror *m);
/* Once a second, after work: let go of the database when there has been nothing to do for a few
 * seconds. The functions above and below take it up again when they must. */
void mirror_rest(struct mirror *m, usec now);
bool mirror_resting(const struct mirror *m);

void mirror_reply(struct mirror *m, usec now, uint64_t request, const struct reply *r);
/* `rc`: 0 or a negative errno; then nothing is sent, and it is asked for again. */
void mirror_source_synced(struct mirror *m, usec now, uint64_t sync, int rc);
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
    bool held;        /* parked until the operator says what is to become of it */
    char reason[400]; /* why it is parked */
    char code[64];
    /* Of the items in it, as far as it was looked at since the start. */
    bool alone;     /* none but ours were there when it was first written */
    bool surveying; /* it is being looked at */
    bool owing;     /* it is to be looked at (once more) */
    bool handed_over;
    bool take_over;   /* ordered to be ours, whoever has it */
    bool taken_back;  /* and though it was handed over */
    bool adopted;     /* ordered to be written though there are foreign items */
    int64_t foreign;  /* items of others that were met; -1: not known */
    char unseen[400]; /* why it could not be looked at; "": it could */
};
uint32_t mirror_target_count(const struct mirror *m);
const struct mirror_target *mirror_target(const struct mirror *m, uint32_t i);
/* The plans of the tables whose items are in it, k from 0 up; NULL: there are no more. Valid until
 * the mirror is called again. */
const struct table_plan *mirror_target_plan(const struct mirror *m, uint32_t i, size_t k);
/* Write units a second that it is sent at most, as learnt from its throttling; 0: no limit. */
double mirror_target_limit(const struct mirror *m, uint32_t i);
/* `identity`: what the service calls this very table, "" when not known. One that is not the table
 * that was known under the name, or was just made (`made`), is empty as far as we know: what was
 * known of its items is void. */
void mirror_target_open(struct mirror *m, usec now, uint32_t i, const char *identity, bool made);
/* One that is open was looked at in passing: `identity` as above, NULL when it is gone. Where it is
 * another than before, nothing is sent there until it was looked at as at a start. */
void mirror_target_watched(struct mirror *m, usec now, uint32_t i, const char *identity);
void mirror_target_parked(struct mirror *m, usec now, uint32_t i, const char *code,
                          const char *reason);

/* --- whose a target is: survey.c ---------------------------------------------------------------
 *
 * Before the first write into a table, and when the state file was lost or is an older one, every
 * item there is looked at. What is ours (mapping/ours.h) and not known is then known as an item
 * that may be there, so that a comparison deletes it when it has no row. What is not ours holds the
 * first load until the operator adopts the table, and is never touched. After a kill or a loss,
 * once no write of before can come any more, it is looked at once more beside the running work. */

/* What stands in the marker of the target, before it is opened. */
struct mirror_marker {
    bool alone; /* marked as ours alone */
    bool ahead; /* by a later life of this database than the state file knows */
};
void mirror_target_marker(struct mirror *m, uint32_t i, const struct mirror_marker *found);
/* It was written, or could not be written at this time. */
void mirror_target_marked(struct mirror *m, usec now, uint32_t i);
/* Its marker says that it is somebody else's, or handed over: nothing is sent there before the
 * operator says so. `why`: a sentence. */
void mirror_target_held(struct mirror *m, usec now, uint32_t i, bool handed_over, const char *why);

/* A page of canonical keys (item_key()), each behind its length as size_t. Returns false when no
 * more are wanted, and after the last. */
bool mirror_survey_page(struct mirror *m, usec now, uint32_t i, const struct buf *keys, bool last);
/* It will not come to an end, for want of a right or the like. */
void mirror_survey_failed(struct mirror *m, usec now, uint32_t i, const char *code,
                          const char *why);
/* Lives of the state file, each with a name of its own, in DynamoDB's marker too. */
enum { MIRROR_GENERATION = 2 * CAPTURE_ID_SIZE + 1 };
/* This life's, made durable as one that the target's marker may hold, beside the one that is found
 * there ("": none). 0 or -EIO. */
int mirror_generation(struct mirror *m, uint32_t i, const char *found, char out[MIRROR_GENERATION]);
/* Is it one that this state file may have written there? */
bool mirror_generation_known(struct mirror *m, uint32_t i, const char *generation);
/* Has the state file ever written one there? */
bool mirror_generation_any(struct mirror *m, uint32_t i);
/* source_id, where every key of the target's tables holds it; else "": the table is one database's.
 * Valid as long as the configuration. */
const char *mirror_target_source(const struct mirror *m, uint32_t i);
struct mirror_identity {
    char id[MIRROR_GENERATION], host[MIRROR_GENERATION]; /* hexadecimal digits */
    const char *path;
};
void mirror_identity(const struct mirror *m, struct mirror_identity *out);

/* --- making outcomes durable ------------------------------------------------------------------ */

/* At a clean stop, after the last acknowledgement: remember where the journal stands, so that an
 * older copy of the database in its place is told from it at the next start. */
void mirror_farewell(struct mirror *m);
/* Somebody waits for outcomes to be kept: they are not gathered for long. */
void mirror_await(struct mirror *m, bool yes);
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
/* Let held comparisons delete what they would, and take up a database and targets that are held.
 * Returns how many of them. Targets are to be looked at again by the caller. */
int mirror_approve(struct mirror *m);
/* Others write DynamoDB from now on: take the triggers out, and send nothing to any target, also by
 * a later process; or take all of it up again, where what DynamoDB holds is not known any more. */
int mirror_hand_over(struct mirror *m, struct err *err);
int mirror_take_back(struct mirror *m, struct err *err);
/* Read the row again and send it. id 0: all. Returns how many, or negative when none could be read.
 */
int mirror_dead_letters_retry(struct mirror *m, usec now, int64_t id);
int mirror_dead_letters_discard(struct mirror *m, int64_t id);

/* --- what a comparison from outside found (mend.c) ----------------------------------------------
 */

struct mirror_key {
    const void *bytes;
    size_t len;
};
/* What is known of an item by its canonical remote key. 0, or -ENOENT: no such table. */
struct mirror_item {
    bool pending;     /* a write of it is on its way, or waits */
    bool unconfirmed; /* an older write of it may yet be carried out */
    bool known;       /* it is one that we have written, or are to */
    bool ours;        /* known, or its key or the table's mark says so: mapping/ours.h */
    bool live;        /* its table is neither loading nor compared, parked or held */
};
int mirror_item_look(struct mirror *m, const char *table, const void *key, size_t n,
                     struct mirror_item *out, struct err *err);
/* Put the rows with these row keys (value_encode()) into the journal, so that they are sent
 * whatever is thought to be known of their items. Returns how many there are; -ENOENT: no such
 * table, -EBUSY: the database is locked, else negative. */
int mirror_mend_rows(struct mirror *m, const char *table, const struct mirror_key *rows, size_t n,
                     struct err *err);
/* Items by their canonical remote keys that no row has: those that are ours are deleted by the
 * table's next sweep, which begins now, if no row has them then. `rows`: the row key that was read
 * in each, may be empty. Returns how many are ours, or negative as above. */
int mirror_mend_extra(struct mirror *m, const char *table, const struct mirror_key *keys,
                      const struct mirror_key *rows, size_t n, struct err *err);

/* Both sides of the table were seen to be equal by who began to look then (Unix seconds). 0,
 * -ENOENT, or -EIO: it cannot be kept. */
int mirror_verified(struct mirror *m, const char *table, int64_t at, struct err *err);

/* --- what is known ---------------------------------------------------------------------------- */

struct mirror_table_view {
    const char *name, *target;
    const char *state; /* live loading comparing held parked refused detached waiting dropped */
    const char *reason;
    uint64_t pending, items_put, items_deleted;
    int64_t dead_letters;
    int64_t skipped; /* rows that are left out because they refer to none (orphans = skip) */
    bool mirrored;
    int64_t rows_read; /* by the load: of one that was interrupted before, about as many more */
    int64_t held_deletes, held_items; /* state held: it would delete so many of so many; 0 of 0:
                                         its target is held, see reason */
    int64_t verified; /* when both sides were last seen to be equal, Unix seconds; 0: never */
    int64_t foreign; /* items of others in its target, when it was looked at last; -1: not since the
                        start */
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
    bool handed_over; /* and therefore detached */
    bool held;        /* the database is not the one that we know: nothing is read or sent */
    const char *held_text;
    bool connected; /* false: resting, or nothing to be connected to */
    uint64_t wakeups;
    bool loading; /* some table is not done */
    bool state_broken;
    const char *state_error;
    int64_t journal_max, journal_low, watermark;
    int64_t journal_entries;
    int64_t dead_letters, skipped;
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

/* --- the schema, to be kept beside the items
 * ---------------------------------------------------- */

/* The schema's version as it was attached: with another one the dump may be another. False: not
 * attached now. */
bool mirror_schema_known(const struct mirror *m, int64_t *version);
/* Append the dump (source/schema_dump.h). 0; -EAGAIN: not now; -ENOMEM. */
int mirror_schema_dump(struct mirror *m, struct buf *json, char version[SCHEMA_DUMP_VERSION_SIZE]);

/* Takes a fresh look at the journal. */
void mirror_view(struct mirror *m, usec now, struct mirror_view *out);
/* Of that only what has been ordered and what is going on: attached, detached, handed_over,
 * uninstalled, paused, loading, held. Without a look at the files: for every turn of the loop. */
void mirror_view_orders(const struct mirror *m, struct mirror_view *out);
size_t mirror_table_count(const struct mirror *m);
void mirror_table(const struct mirror *m, size_t i, struct mirror_table_view *out);
/* How that table is mapped; NULL where it is not. */
const struct table_plan *mirror_plan(const struct mirror *m, size_t i);
/* Give caches of both databases back. */
void mirror_release_memory(struct mirror *m);
struct store *mirror_store(const struct mirror *m);
usec mirror_deadline(const struct mirror *m);
/* Commits come in quick succession, and those that come before that moment are read then: nobody
 * needs to look for them sooner. 0: they are read as they come. */
usec mirror_read_due(const struct mirror *m);
/* Everything up to this journal position, and every load, is settled and durable. */
bool mirror_settled(const struct mirror *m, int64_t seq);
bool mirror_idle(const struct mirror *m);

#endif
