/* Writes of uncertain outcome: what a killed process may have left on its way (windows.c), and keys
 * that are sent again once no older write can come any more (suspects.c). */
#ifndef SYNCD_MIRROR_SUSPECTS_H
#define SYNCD_MIRROR_SUSPECTS_H

#include "mirror/internal.h"

/* windows.c: what a killed process may have left on its way */
/* What the process before this one left; what it may have sent. */
int suspects_recall(struct mirror *m);
/* Of a target's, when it is first known. */
void suspects_recall_target(struct mirror *m, struct target_slot *t);
/* Before the first target is opened: on disk that writes may be left behind from now on. 0, or
 * negative: the target must wait. */
int suspects_begin(struct mirror *m);
/* At a clean stop, after mirror_abandon(): nothing but suspects is left behind. */
void suspects_end(struct mirror *m);
/* The journal's first look: no entry behind `max` can have been sent by the process before. */
void suspects_narrow(struct mirror *m, int64_t max);
/* The state file is new, the journal (up to `max`) is not. */
int suspects_unknown(struct mirror *m, int64_t max);
int suspects_shake(struct mirror *m, struct target_slot *t, enum shaken how);
/* What was on its way of a table that is mirrored no more, under keys that nobody can tell. */
int suspects_shake_table(struct mirror *m, uint32_t id);
/* The journal is not the one that was left: while writes of a killed process may be on their way,
 * every row may be other than they have it. */
int suspects_shake_all(struct mirror *m);
/* A comparison of one of the target's tables begins: what is on its way may be of rows as they were
 * before changes that no entry tells of. */
int suspects_unseen(struct mirror *m, uint32_t target);
/* All that is known of the target, when the state file could not be written. */
int suspects_keep(struct mirror *m, const struct target_slot *t);
int suspects_keep_window(struct mirror *m);
/* Before an offer of no entry and no load. 0 or -EIO. */
int suspects_loose(struct mirror *m);
/* The main reader is about to read behind `after`: see that it may. An SQLite result code. */
int suspects_reserve(struct mirror *m, int64_t after);
/* Does the reader wait for what is being reserved? */
bool suspects_hold_reader(const struct mirror *m);
/* Around a commit of the store. */
int suspects_flush(struct mirror *m);
void suspects_flushed(struct mirror *m);
/* Are there entries still to be read that a killed process may have sent? Until they are, nothing
 * but entries is offered. */
bool suspects_unread(const struct mirror *m);
/* May anything that a killed process sent still be carried out? */
bool suspects_shaky(const struct mirror *m);
/* When nothing can, forget its windows. */
void suspects_close_window(struct mirror *m);

/* suspects.c */
/* What time it is for the service, at the latest or at the earliest; Unix us. */
usec suspects_time(const struct mirror *m, bool latest);
void suspects_sent(struct mirror *m, const struct request *r);
/* The outcome of this write is open. */
void suspects_left_open(void *arg, const struct payload *p);
/* May a killed process have sent what this entry, or this row, or the deletion of an item without
 * one, is of? Then its key (of `entry`, or in m->key) is a suspect. The row key is in m->row_key.
 */
void suspects_entry(struct mirror *m, const struct table_slot *t, int64_t seq,
                    const struct value *entry);
void suspects_row(struct mirror *m, const struct table_slot *t, const struct value *entry);
void suspects_key(struct mirror *m, const struct table_slot *t, enum shaken at_least);
/* A chunk is about to be deleted after its head was written, and with that its name is lost: a
 * killed process may have been sending it for a row that came to the key before. */
void suspects_chunk(struct mirror *m, const struct payload *head, const struct buf *key);
/* Is the time of one over? */
bool suspects_due(const struct mirror *m);
/* How long the time of the first is over; 0: it is not. */
usec suspects_overdue(const struct mirror *m);
/* And is it time to look at them? */
bool suspects_call(const struct mirror *m);
/* Send some of those again. MIRROR_* bits. */
unsigned suspects_slice(struct mirror *m, usec now);

#endif
