/* One slice of a load (loader.c), and of the look for items without a row that ends it (sweep.c).
 */
#ifndef SYNCD_MIRROR_LOADER_H
#define SYNCD_MIRROR_LOADER_H

#include "mirror/internal.h"

struct page {
    struct mirror *m;
    struct table_slot *t;
    usec now, started;
    struct span *span;
    size_t rows, bytes;
};

/* Is it time to let others have their turn? */
bool loader_page_full(const struct page *p);

/* sweep.c: items from the cursor on, inside a read transaction. They are all counted first; nothing
 * is deleted before it is known how much would be. *end: there are no more. An SQLite result code,
 * or STATE_FAILED. */
int sweep_page(struct page *p, bool *end);

#endif
