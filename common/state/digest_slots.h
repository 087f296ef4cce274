/* The blocks that are in memory, in their order: digest_cache.h's own. Nothing here reads or
 * writes. */
#ifndef SYNCD_STATE_DIGEST_SLOTS_H
#define SYNCD_STATE_DIGEST_SLOTS_H

#include "state/digest_cache.h"

/* A block without entries, which the caller adds or frees; NULL: no memory. */
struct digest_slot *slot_new(struct digest_cache *c, uint32_t target, const void *from, size_t n);
void slot_free(struct digest_slot *slot);

/* What its block may have in the file, so that the row fills a page. */
static inline size_t slot_full(const struct digest_slot *slot)
{
    size_t more = slot->from.len > DIGEST_KEY_ROOM ? slot->from.len - DIGEST_KEY_ROOM : 0;

    return DIGEST_BLOCK_FULL - (more < DIGEST_BLOCK_FULL / 2 ? more : DIGEST_BLOCK_FULL / 2);
}

/* And how full those are left that keys in no order come to. */
static inline size_t slot_shared(const struct digest_slot *slot)
{
    return slot_full(slot) - slot_full(slot) / 32;
}

static inline bool slot_exceeds(const struct digest_slot *slot, size_t bytes)
{
    return slot->block.bytes.len > bytes && slot->block.count > 1;
}

/* How many there are up to and including the last whose range does not begin above the key. */
size_t slots_upto(const struct digest_cache *c, uint32_t target, const void *key, size_t n);
/* The place of one that is among them. */
size_t slots_index(const struct digest_cache *c, const struct digest_slot *slot);
void slots_add(struct digest_cache *c, struct digest_slot *slot);
/* It is gone. */
void slots_drop(struct digest_cache *c, size_t at);
/* Its size may have changed. */
void slots_weigh(struct digest_cache *c, struct digest_slot *slot);
/* The next one that is (not) dirty, and was not used since the hand came by last. */
struct digest_slot *slots_pick(struct digest_cache *c, bool dirty);
/* Unchanged ones go until there is room for one more, or none is left. */
void slots_make_room(struct digest_cache *c);

#endif
