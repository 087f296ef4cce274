#include "state/digest_slots.h"

#include <stdlib.h>
#include <string.h>

size_t slots_upto(const struct digest_cache *c, uint32_t target, const void *key, size_t n)
{
    size_t from = 0, to = c->count;
    uint64_t head = digest_key_head(key, n);

    while (from < to) {
        size_t middle = (from + to) / 2;
        const struct digest_slot *x = c->slots[middle];
        bool below = x->target != target ? x->target < target
                     : x->from_head != head
                         ? x->from_head < head
                         : digest_key_order(x->from.data, x->from.len, key, n) <= 0;
        if (below)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

size_t slots_index(const struct digest_cache *c, const struct digest_slot *slot)
{
    return slots_upto(c, slot->target, slot->from.data, slot->from.len) - 1;
}

void slots_weigh(struct digest_cache *c, struct digest_slot *slot)
{
    size_t weight = sizeof *slot + slot->from.cap + slot->end.cap + slot->block.bytes.cap +
                    slot->block.room * sizeof *slot->block.at;

    c->bytes = c->bytes - slot->weight + weight;
    slot->weight = weight;
}

void slot_free(struct digest_slot *slot)
{
    if (!slot)
        return;
    buf_free(&slot->from);
    buf_free(&slot->end);
    digest_block_free(&slot->block);
    free(slot);
}

void slots_drop(struct digest_cache *c, size_t i)
{
    struct digest_slot *slot = c->slots[i];

    c->bytes -= slot->weight;
    c->dirty -= slot->dirty;
    for (int who = 0; who < DIGEST_RECENT; who++)
        if (c->recent[who] == slot)
            c->recent[who] = NULL;
    c->count--;
    memmove(c->slots + i, c->slots + i + 1, (c->count - i) * sizeof(struct digest_slot *));
    if (!c->spare && slot->weight <= CACHE_SPARE)
        c->spare = slot;
    else
        slot_free(slot);
}

void slots_add(struct digest_cache *c, struct digest_slot *slot)
{
    size_t i = slots_upto(c, slot->target, slot->from.data, slot->from.len);

    memmove(c->slots + i + 1, c->slots + i, (c->count - i) * sizeof(struct digest_slot *));
    c->slots[i] = slot;
    c->count++;
    c->dirty += slot->dirty;
    slots_weigh(c, slot);
}

struct digest_slot *slots_pick(struct digest_cache *c, bool dirty)
{
    for (size_t i = 0; i < 2 * c->count; i++) {
        c->hand = c->hand + 1 < c->count ? c->hand + 1 : 0;
        struct digest_slot *x = c->slots[c->hand];
        if (x->dirty != dirty)
            continue;
        if (!x->used)
            return x;
        x->used = false;
    }
    return NULL;
}

void slots_make_room(struct digest_cache *c)
{
    struct digest_slot *x;

    while ((c->count >= CACHE_SLOTS || c->bytes > CACHE_BYTES) && (x = slots_pick(c, false)))
        slots_drop(c, slots_index(c, x));
}

/* Memory of the last one that was dropped, or new. */
static struct digest_slot *take_memory(struct digest_cache *c)
{
    struct digest_slot *slot = c->spare;

    if (!slot)
        return calloc(1, sizeof *slot);
    c->spare = NULL;
    struct buf from = slot->from, end = slot->end;
    struct digest_block block = slot->block;
    buf_clear(&from);
    buf_clear(&end);
    buf_clear(&block.bytes);
    block.count = 0;
    *slot = (struct digest_slot){.from = from, .end = end, .block = block};
    return slot;
}

struct digest_slot *slot_new(struct digest_cache *c, uint32_t target, const void *from, size_t n)
{
    struct digest_slot *slot = take_memory(c);

    if (!slot)
        return NULL;
    slot->target = target;
    slot->last = SIZE_MAX;
    slot->from_head = digest_key_head(from, n);
    buf_append(&slot->from, from, n);
    if (!buf_ok(&slot->from)) {
        slot_free(slot);
        return NULL;
    }
    return slot;
}
