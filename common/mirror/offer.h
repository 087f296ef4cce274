/* A row as it is now becomes a write that is offered to the engine (offer.c), and whose an item is
 * where rows meet at one key (owner.c). */
#ifndef SYNCD_MIRROR_OFFER_H
#define SYNCD_MIRROR_OFFER_H

#include "mirror/internal.h"

/* offer.c */
/* Turn a row as it is now into a write and offer it. `entry`: values of the entry columns as the
 * journal (or the row itself) has them; the row key encoded is in m->row_key. `found`: what looking
 * the row up gave: SQLITE_ROW with rows->values, SQLITE_DONE, SQLITE_TOOBIG. Spans may be NULL.
 * 0, or -ENOMEM or -EIO: nothing came of it. */
int offer_row(struct mirror *m, usec now, struct table_slot *t, const struct value *entry,
              int found, bool force, struct span *journal, struct span *load);
/* The item in m->key, m->json has no row; the key of the row that it was of, if known, is in
 * m->row_key. */
int offer_leave(struct mirror *m, usec now, struct table_slot *t, struct span *load);
/* The item that an entry speaks of may be there: a comparison looks at it. The row key encoded is
 * in m->row_key. 0 or -ENOMEM. */
int offer_suspect(struct mirror *m, usec now, struct table_slot *t, const struct value *entry,
                  struct span *journal);

/* An item by its remote key, as its row is now. */
struct offered_item {
    const char *key, *row_key;
    size_t key_len, row_key_len; /* no row key: it is in the remote key */
    bool force;                  /* send it whatever the digests say */
};
/* Offer it if the row of `t` with that row key has it. 1 when it has (which may also make it a dead
 * letter), 0, -ENOMEM or -EIO. */
int offer_again(struct mirror *m, usec now, struct table_slot *t, const struct offered_item *i);
/* No row of `t` that we know of has it: it goes, or falls to a row that waits for the key. 0,
 * -ENOMEM or -EIO. */
int offer_gone(struct mirror *m, usec now, struct table_slot *t, const struct offered_item *i);

/* owner.c: of the item in m->key, asked for by the row of `t` with the key in m->row_key. */
/* Does another row have it, as of this snapshot? 1, with that row described in `who`; 0; negative
 * when it cannot be known. */
int owner_in_the_way(struct mirror *m, const struct table_slot *t, struct buf *who);
/* Nothing is known of the item, and not every row of its target has been seen. */
bool owner_unknown(struct mirror *m, const struct table_slot *t);
/* A put was refused, and so the item stays that another row has left to it: where that row is gone,
 * or at another key, its table's look for items without a row takes it away. */
void owner_look_for_leaver(struct mirror *m, const struct payload *p);
/* The same where the row that asks cannot be written at all, and nothing is on its way to the key.
 * 0 or negative. */
int owner_look_behind(struct mirror *m, const struct table_slot *t);
/* The row that the store names as owner of m->key; its row key is appended. 1, 0 when it cannot be
 * told, or negative. */
int owner_recorded(struct mirror *m, uint32_t target, uint32_t *table, struct buf *row_key);
/* Has the row of `t` with that row key this remote key, as far as can be told? */
bool owner_may_have(struct mirror *m, struct table_slot *t, const void *row_key, size_t n,
                    const struct buf *key);
/* Does that row of `t` have this remote key? 1, 0, or negative when it cannot be known. Its values
 * are then in t->rows->values; rows_end() afterwards in any case. */
int owner_row_has(struct mirror *m, struct table_slot *t, const void *row_key, size_t n,
                  const struct buf *key);

#endif
