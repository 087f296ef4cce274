/* Blocks of one size that come and go by the thousand: those given back are kept, up to a bound,
 * for whoever takes one next. The one given back last is taken first: it is the one in the cache.
 *
 * A value type; zero but for `size` and `most` it is empty. blocks_clear() gives the kept ones back
 * to the system; those still out are their takers' and may be given back later. Not for two
 * threads. Under the address sanitizer nothing is kept, so that it sees what is used after its end.
 */
#ifndef SYNCD_BASE_BLOCKS_H
#define SYNCD_BASE_BLOCKS_H

#include <stddef.h>

struct block {
    struct block *next;
};

struct blocks {
    size_t size;  /* of each, at least a pointer's */
    size_t most;  /* kept at the same time */
    size_t count; /* kept now */
    struct block *kept;
};

/* Its bytes are anything. NULL: no memory. */
void *blocks_take(struct blocks *b);
void blocks_give(struct blocks *b, void *block); /* NULL is fine */
void blocks_clear(struct blocks *b);

#endif
