/* Rows that refer to rows which are not there, and are left out until those come (orphans.c). */
#ifndef SYNCD_MIRROR_ORPHANS_H
#define SYNCD_MIRROR_ORPHANS_H

#include "mirror/internal.h"

/* After attaching: what the tables of a guarded plan refer to. An SQLite result code, or
 * STATE_FAILED. */
int orphans_attach(struct mirror *m, const struct catalog *c);
/* The connection goes, or (`free`) the tables do. */
void orphans_detach(struct mirror *m, bool all);
/* Is the row at hand of `t` to be left out? 1, with the fault and what it awaits appended to
 * `awaits`; 0; -ENOMEM or -EIO. */
int orphans_judge(struct mirror *m, const struct table_slot *t, struct item_fault *fault,
                  struct buf *awaits);
/* The row at hand of `t` is there (`found`: as for offer_row()): those that await it are due. 0 or
 * negative. */
int orphans_row_came(struct mirror *m, usec now, const struct table_slot *t, int found);
/* All that await a row are due, of a table (0: of all). 0 or negative. */
int orphans_look_again(struct mirror *m, uint32_t table);
/* The same of all, while what the store lost is written once more. 0 or negative. */
int orphans_all_due(struct mirror *m);
/* Is it a row that was set aside for want of another? */
bool orphans_is_letter(const struct dead_letter *d);
bool orphans_pending(const struct mirror *m);
/* When there is something to do, whatever happens; USEC_NEVER. */
usec orphans_deadline(const struct mirror *m);
/* Read some of those that are due. MIRROR_* bits. */
unsigned orphans_slice(struct mirror *m, usec now);

#endif
