/* Whose the items of a target are: what the store knows of it (owned.c), and the look into a target
 * before it is written (survey.c). */
#ifndef SYNCD_MIRROR_OWNED_H
#define SYNCD_MIRROR_OWNED_H

#include "mirror/internal.h"

/* owned.c */
enum {
    OWNED_SEEN = 1,    /* its items were looked at before it was first written */
    OWNED_ADOPTED = 2, /* it may be written though there are items of others */
    OWNED_ALONE = 4,   /* there were none */
    OWNED_AGAIN = 8,   /* to be looked at once no write of an earlier process can come any more */
    OWNED_TAKE = 16,   /* whoever its marker names */
    OWNED_HANDED = 32, /* handed over: nothing is to be written there */
    OWNED_BACK = 64,   /* taken back, which its marker does not say yet */
    OWNED_OTHERS = 128 /* items were there that are of no table as it was mirrored then */
};
/* What the store knows of a target, when it is first known here. */
int owned_recall(struct mirror *m, struct target_slot *t);
int owned_put(struct mirror *m, struct target_slot *t, unsigned owned);
/* That it was made just now, and is ours alone, could not be kept. */
void owned_unmade(struct mirror *m, struct target_slot *t);
/* These are carried out: also where the state file cannot be told so just now. */
void owned_done(struct mirror *m, struct target_slot *t, unsigned orders);
/* What is known of it once more, should a rollback have taken that back. */
int owned_keep(struct mirror *m, const struct target_slot *t);
/* What is known of the items of every target is not all: the state file was lost, or is an older
 * one. 0 or negative; durable. */
int owned_all_anew(struct mirror *m);
/* Is it known which tables are to be compared? Not before attaching has come to something: then an
 * order to compare would reach none of them. */
bool owned_tables_known(const struct mirror *m, uint32_t i);
/* It is an older one as far as this target goes. 0 or negative; durable. -EAGAIN: its tables are
 * not known. */
int owned_behind(struct mirror *m, uint32_t i);
/* Items may be there that nobody knows of. 0 or negative; to be made durable by the caller. */
int owned_again(struct mirror *m, struct target_slot *t);
/* The same, where the state file could not be told: it is with what is written again. */
void owned_owe(struct target_slot *t);
/* Is anything still to be looked at? */
bool owned_to_see(const struct mirror *m);
bool owned_is_canarys(const struct mirror *m, uint32_t i);
/* Is all that is in it ours, whatever its keys say? Never of one that machines share. */
bool owned_alone(const struct mirror *m, uint32_t i);
void owned_hold_foreign(struct mirror *m, usec now, uint32_t i);
void owned_hold_handed(struct mirror *m, usec now, uint32_t i);
/* The operator takes up those that are held. Returns how many. */
int owned_approve(struct mirror *m);
/* All of them, held or not. 0 or negative; durable. */
int owned_adopt_all(struct mirror *m);
bool owned_any_held(const struct mirror *m);
/* Nothing is to be written any more; or again, whatever others wrote meanwhile. 0 or negative;
 * durable. */
int owned_hand_over(struct mirror *m);
/* Handing over, or undoing that, has failed: all is as before it. */
void owned_hand_back(struct mirror *m);
int owned_take_back(struct mirror *m);

/* Is a table mirrored into it, or the deletion of one's items under way? Else, of one that the
 * configuration leaves out just now, nobody could tell whose an item is. */
bool owned_has_tables(const struct mirror *m, uint32_t i);

/* others.c */
/* May items of a table be there that is left out just now, or was dropped? */
bool others_may_be_there(struct mirror *m, uint32_t i);
/* And is this a key that tells of such a table, whoever else makes keys like it? Not of a chunk. */
bool others_make_key(struct mirror *m, uint32_t i, const void *key, size_t n);

/* survey.c */
/* A table is mirrored into its target that was not when the target was last looked at: of whom an
 * item is may be known better now. `known`: what the store has of it. 0 or negative. */
int survey_joined(struct mirror *m, const struct table_slot *t, const struct store_table *known);
/* May it be opened, as far as its items and its marker go? Else what is missing was asked for. */
bool survey_gate(struct mirror *m, usec now, uint32_t i);
/* Once a second: begin what is due. */
void survey_turn(struct mirror *m);
void survey_parked(struct target_slot *t);
/* Keep what its marker told; negative: the state file cannot, and the target must wait. */
int survey_heed_marker(struct mirror *m, struct target_slot *t);

#endif
