/* What the mirror's files do for one another, on what they share (slots.h): mirror.c (life, work),
 * actions.c (the engine's), attach.c (schema and capture), resolve.c (tables and the store),
 * identity.c and place.c (whose database and journal it is), rest.c (letting go of it), reader.c
 * and pace.c (journal), loader.c and sweep.c (tables), dropped.c (tables that are gone), canary.c
 * (a row of ours), barrier.c (what was read is durable before it is sent), room.c (how much may be
 * pending of which table), reread.c (rows of writes that are tried again), split.c and chunks.c
 * (rows that become several items), offer.c (a row becomes a write), orphans.c (rows that refer to
 * none), owner.c (rows that meet at one key), records.c (outcomes), suspects.c (writes of uncertain
 * outcome), windows.c (those of a killed process), ack.c, targets.c, owned.c (whose a target is),
 * survey.c (whose its items are), others.c (of which tables else), orders.c, mend.c, view.c.
 */
#ifndef SYNCD_MIRROR_INTERNAL_H
#define SYNCD_MIRROR_INTERNAL_H

#include "mirror/slots.h"

/* actions.c */
void actions_begin(struct mirror *m);
/* An event for the engine, and what it wants done of it. */
void mirror_act(struct mirror *m, usec now, const struct event *ev);

/* mirror.c */
int mirror_lock_database(struct mirror *m, struct err *err);
void mirror_fail(struct mirror *m, int sqlite_rc, const char *doing);
void mirror_note(struct mirror *m, enum log_level level, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
struct table_slot *mirror_table_by_id(struct mirror *m, uint32_t id);
struct table_slot *mirror_table_named(struct mirror *m, const char *name);
int64_t mirror_low(const struct mirror *m);

/* No reply is awaited any more. */
void mirror_abandon(struct mirror *m);

/* attach.c */
void table_slot_clear(struct table_slot *t);
void mirror_free_tables(struct mirror *m);
/* identity.c */
/* The first look at the journal of a database that was just attached. An SQLite result code. */
int identity_first_look(struct mirror *m, bool journal_was_there);
/* The journal at the path is not the one we knew: read it from its start and compare every table.
 */
int mirror_compare_all(struct mirror *m, const char *why);
/* May what was found be attached to? SQLITE_OK and *go, or STATE_FAILED. Where it is not to be,
 * the mirror is held or in doubt. */
int identity_check(struct mirror *m, usec now, const struct capture_state *st, bool *go);
/* What is at the path may be another database, or another state of it: judge it as at a start, once
 * its files stand still, and compare every table. `why`: a constant. */
void identity_doubt(struct mirror *m, const char *why);
/* That it must be compared: into the state file, and from there at a start; and that it is ordered
 * by now. */
int identity_keep_stranger(struct mirror *m);
void identity_recall_stranger(struct mirror *m);
void identity_compared(struct mirror *m);
/* It is held no more: what waited since may go, but not before its targets are to be looked at
 * again. */
void identity_resume(struct mirror *m, usec now);
/* The reader met a journal that is not as we left it. Inside its transaction. */
int identity_stranger(struct mirror *m, const char *why);
/* Is it time to look at a doubtful database? Sets the problem when it is not. */
bool identity_settled(struct mirror *m, usec now);
/* Has what is held changed since? */
bool identity_held_changed(const struct mirror *m);

/* rest.c */
/* Close the connection; what is known stays. */
void rest_close(struct mirror *m);
/* At rest, with files as they were. */
bool rest_undisturbed(const struct mirror *m);
/* Attached without a connection: is there anything that needs one? */
bool rest_calls(const struct mirror *m);
/* Open the database again. SOURCE_LOCKED: later. After other problems it is no longer attached. */
enum source_problem rest_wake(struct mirror *m);
/* Statements over the table's rows, made when they are first needed. An SQLite result code. */
int mirror_rows(struct mirror *m, struct table_slot *t);

/* barrier.c */
/* Something was read whose commit may not be durable. */
void barrier_read(struct mirror *m);
/* All that was read is durable: more may be read, and what came of it be kept. */
bool barrier_open(const struct mirror *m);
/* Nothing can be read or let through before the edge's sync is over. */
bool barrier_waits(const struct mirror *m);
/* Before the journal is read: in WAL mode, have what others have committed made durable already. */
void barrier_ahead(struct mirror *m);
/* After reading, outside transactions: let through what is durable, or have it made so. */
void barrier_step(struct mirror *m, usec now);
/* The connection to the database is another one, or none. */
void barrier_reopened(struct mirror *m);
/* Make all that is committed durable at once. 0 or a negative errno. */
int barrier_sync_now(struct mirror *m);
/* How far the journal was read and acknowledged, as far as that is durable. */
int64_t barrier_watermark(const struct mirror *m);
int64_t barrier_acked(const struct mirror *m);

/* ack.c */
extern const usec mirror_ack_bounds[MIRROR_ACK_BOUNDS];
/* Remember how far the journal has been read: one that ends before it is an older one. */
int ack_remember_seen(struct mirror *m);

/* A load begins, or goes on from its cursor, with no span out. */
void load_track_reset(struct mirror *m, struct table_slot *t);
/* `full`: whatever the digests say; one that is, stays so. 0 or negative; to be made durable. */
int mirror_load_again(struct mirror *m, struct table_slot *t, bool full);

/* Index of the DynamoDB table of that name and key, made when new. Targets stay for the mirror's
 * life, so that writes in flight keep their meaning. */
int mirror_find_target(struct mirror *m, const struct table_plan *p, uint32_t *out);

/* resolve.c */
/* Id, target and load of a drafted table. 0; -EBUSY: ask again; other negative: the store failed or
 * memory is short. */
int resolve_table(struct mirror *m, const struct capture_state *st, struct table_slot *t);
/* After the triggers stand: remember the schema entries they are, and as of which schema. */
int resolve_save_marks(struct mirror *m, const struct capture *c);

/* dropped.c */
int dropped_encode_key(const struct key_schema *s, struct buf *out);
/* After attaching: the tables that the store knows and the database no longer has. 0, or negative
 * when the store failed or memory is short. */
int dropped_find(struct mirror *m, usec now, const struct catalog *c);
/* The journal is another: what a killed process may have on its way of tables that are not mirrored
 * can be learnt from no entry. 0 or negative, likewise. */
int dropped_entries_lost(struct mirror *m);
/* Those that are due: keep their items, or begin to delete them. 0 or negative, likewise. */
int dropped_decide(struct mirror *m, usec now);
/* Delete some more. True when there is more to do at once. */
bool dropped_slice(struct mirror *m, usec now);
/* Are items being deleted? */
bool dropped_pending(const struct mirror *m);
/* Of a table whose items were all deleted: can none come back any more? */
bool dropped_calls(const struct mirror *m);
/* Are items being deleted, or will they be when their table stays away? */
bool dropped_to_delete(const struct mirror *m);
/* Of a table that is gone: were its items left where they are? What cannot be known counts as yes.
 */
bool dropped_kept_items(struct mirror *m, uint32_t id);
/* The one whose every item of the target is that is known of no table: nothing else is mirrored
 * into it, and its items go. Or NULL. */
const struct table_slot *dropped_heir(const struct mirror *m, uint32_t target);
void dropped_clear(struct dropped *d);

/* room.c */
/* May anything be read, for changes or for loads and the like? */
bool mirror_room(const struct mirror *m, usec now, enum engine_share share);
/* And for one target: to begin a slice, and to go on with it. One that its own limits hold back
 * has a small part of the room, and is asked for more when half of that is used up; `common` is
 * what mirror_room() said of the others. */
bool room_to_begin(const struct mirror *m, usec now, uint32_t target, bool common);
bool room_to_go_on(const struct mirror *m, usec now, uint32_t target);
/* The main reader passes over the table's entries behind `seq`. */
void room_fall_behind(struct table_slot *t, int64_t seq);
/* All of it is settled. */
void room_is_level(struct table_slot *t);

/* reread.c */
/* Read again what the engine asks for; `reader`: what the reader came to in this turn, or
 * MIRROR_BUSY where nothing can be read. MIRROR_* bits. */
unsigned reread_slice(struct mirror *m, usec now, unsigned reader);

/* reader.c */
void reader_begin(struct mirror *m);
unsigned reader_slice(struct mirror *m, usec now);
/* Is the database as it was attached, and its journal ours? Inside a transaction; an SQLite result
 * code. Where not, the reader's next slice sees to it. */
int reader_check(struct mirror *m, bool *same);

/* Is the journal's first row the sentinel we left? An SQLite result code, with the sentence when it
 * is not. An empty journal ends the attachment. */
int reader_check_head(struct mirror *m, const char **stranger);

/* pace.c */
/* Is the journal to be read later, as commits come in quick succession? */
bool pace_waits(const struct mirror *m, usec now);
/* A slice of it was read, with so many entries. `all`: up to its end. */
void pace_read(struct mirror *m, usec now, size_t entries, bool all);

/* loader.c */
unsigned loader_slice(struct mirror *m, usec now);
void loader_advanced(void *arg, const struct span *s);
bool loader_pending(const struct mirror *m);
/* An item of the table is suspected to be there: whatever the table's load comes to, its items are
 * looked at once more at its end. 0 or -EIO. */
int loader_sweep_later(struct mirror *m, struct table_slot *t);
/* The same for what may be asked for at any entry: a sweep under way ends first, and begins anew
 * then (as it does after a kill), or it would not end as long as that goes on. The one that begins
 * next waits until something has come of the offer of that serial; 0: of none. */
int loader_sweep_once_more(struct mirror *m, struct table_slot *t, uint64_t offered);
/* That it is being loaded, should a rollback have taken that back. */
int loader_order(struct mirror *m, const struct table_slot *t);

/* sweep.c */
/* Is an item in the table's target this table's, that is known as one of table `id`? 0, or negative
 * when the store failed. */
int sweep_is_of(struct mirror *m, const struct table_slot *t, uint32_t id, bool *mine);
/* No item of the table's target can have that key: nothing is known of it any more. 0 or negative.
 */
int sweep_no_item(struct mirror *m, const struct table_slot *t, const void *key, size_t n);

/* recheck.c */
/* What a process before this one left to be looked at. */
void recheck_recall(struct mirror *m, struct table_slot *t);
/* Into the state file: 0 or negative. */
int recheck_remember(struct mirror *m, const struct table_slot *t);
void recheck_turn(struct mirror *m, usec now);
/* Dead letters of the table were just offered. 0 or negative. */
int recheck_offered(struct mirror *m, struct table_slot *t);
/* Of which tables is that settled, as this commit has it? */
int recheck_settle(struct mirror *m);
/* What is on its way to the target is forgotten. */
void recheck_parked(struct mirror *m, uint32_t target);

/* targets.c */
/* It can be written, as far as the edge knows. */
void targets_open(struct mirror *m, usec now, uint32_t i);
/* Nothing is sent to any of them from now on, so that nobody is told if one goes or is made anew.
 */
void targets_unwatched(struct mirror *m);
/* Those of which that is so and that tables are mirrored into: not looked at so far, as at a start,
 * so that nothing is spared for what the one of before held. */
void targets_look_again(struct mirror *m, usec now);
/* Open targets that waited for the state file to say that they are new. */
void targets_open_fresh(struct mirror *m, usec now);
/* Is it time that the tables of a target let go of the journal? */
bool targets_parked_for_long(const struct mirror *m, usec now, uint32_t i);
/* On disk: those tables will be compared. From then on nothing is held for them. All their entries
 * up to m->watermark that may have been on their way are suspects. 0 or negative. */
int targets_let_go(struct mirror *m, uint32_t i);

/* orders.c */
/* Read the row of a dead letter again. 1; 0 when there is nothing to be done; negative when it
 * could not be. */
int orders_retry_row(struct mirror *m, usec now, uint32_t table, const void *row_key, size_t n,
                     bool force);
/* Open the database if it is not. 0, or negative with a sentence. */
int orders_need_source(struct mirror *m, struct err *err);
/* Where taking the triggers out failed, the store's word for it goes too. 0 or negative. */
int orders_withdraw(struct mirror *m);
/* The same, with what is written again of a state file that could not be written. */
int orders_keep(struct mirror *m);
/* Attached, as ordered: that is durable, or it is not carried out. 0 or negative. */
int orders_attached(struct mirror *m);
/* Dead letters of tables that are mirrored no more, or under another id, are moot. */
int orders_forget_letters(struct mirror *m);
/* Read the rows of a table's dead letters again: those that are gone or well are none any more. */
int orders_recheck_letters(struct mirror *m, usec now, uint32_t table);

/* mend.c */
/* When the table was last seen to be equal, Unix seconds; 0: never, as far as is known. */
int64_t mend_verified(const struct mirror *m, const struct table_slot *t);

/* records.c */
/* "id=7": the key of a row, for people. */
void mirror_describe_row(const struct table_slot *t, const void *row_key, size_t n,
                         struct buf *out);
int record_add(struct mirror *m, usec now, enum record_kind kind, struct payload *p,
               struct span *span, const char *column, const char *reason, const char *message);
void records_begin(struct mirror *m);
void records_free(struct mirror *m);
/* The row key to keep with an item's digest, or NULL where the remote key tells it. */
const char *records_owner(struct mirror *m, const struct payload *p);
/* What came of a write to the store: a failure has rolled back all that was written since the last
 * commit, and is said once and mended in a while. Returns `rc`. */
int records_kept(struct mirror *m, int rc);
/* Commit the state file at once, or make it durable too: after what was read from the database, of
 * which it may tell. */
int records_commit(struct mirror *m, struct err *err);
int records_sync(struct mirror *m, struct err *err);
/* The store cannot be written: roll back, say so once, try again in a while. */
void records_store_failed(struct mirror *m, usec now);

#endif
