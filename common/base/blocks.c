#include "base/blocks.h"

#include <stdbool.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
static const bool keeps = false;
#elif defined(__has_feature)
static const bool keeps = !__has_feature(address_sanitizer);
#else
static const bool keeps = true;
#endif

void *blocks_take(struct blocks *b)
{
    struct block *first = b->kept;

    if (!first)
        return malloc(b->size);
    b->kept = first->next;
    b->count--;
    __builtin_prefetch(b->kept); /* its `next` is read when it is taken */
    return first;
}

void blocks_give(struct blocks *b, void *block)
{
    struct block *first = block;

    if (!first)
        return;
    if (!keeps || b->count >= b->most) {
        free(first);
        return;
    }
    first->next = b->kept;
    b->kept = first;
    b->count++;
}

void blocks_clear(struct blocks *b)
{
    while (b->kept) {
        struct block *first = b->kept;
        b->kept = first->next;
        free(first);
    }
    b->count = 0;
}
