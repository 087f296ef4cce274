#include "base/map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t mix(uint64_t a, uint64_t b)
{
    __uint128_t m = (__uint128_t)a * b;

    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

uint64_t map_hash(const void *bytes, size_t n, uint64_t seed)
{
    const unsigned char *p = bytes;
    const uint64_t k = 0x9e3779b97f4a7c15ull;
    uint64_t h = seed ^ (n * k), w;

    for (; n >= 8; n -= 8, p += 8) {
        memcpy(&w, p, 8);
        h = mix(h ^ w, k);
    }
    w = 0;
    for (size_t i = 0; i < n; i++)
        w |= (uint64_t)p[i] << (8 * i);
    h = mix(h ^ w, k ^ 0xe7037ed1a0b428dbull);
    return mix(h ^ seed, k);
}

static int grow(struct map *m)
{
    size_t want = m->slots ? (m->mask + 1) * 2 : 64;
    struct map_node **slots = calloc(want, sizeof *slots);

    if (!slots)
        return -ENOMEM;
    for (size_t i = 0; m->slots && i <= m->mask; i++) {
        struct map_node *node = m->slots[i];
        while (node) {
            struct map_node *next = node->next;
            struct map_node **slot = &slots[node->hash & (want - 1)];
            node->next = *slot;
            *slot = node;
            node = next;
        }
    }
    free(m->slots);
    m->slots = slots;
    m->mask = want - 1;
    return 0;
}

int map_insert(struct map *m, struct map_node *node, uint64_t hash)
{
    if ((!m->slots || m->count > m->mask) && grow(m) < 0 && !m->slots)
        return -ENOMEM;
    struct map_node **slot = &m->slots[hash & m->mask];
    node->hash = hash;
    node->next = *slot;
    *slot = node;
    m->count++;
    return 0;
}

void map_remove(struct map *m, struct map_node *node)
{
    for (struct map_node **p = &m->slots[node->hash & m->mask]; *p; p = &(*p)->next) {
        if (*p != node)
            continue;
        *p = node->next;
        node->next = NULL;
        m->count--;
        return;
    }
}

static struct map_node *same_hash(struct map_node *node, uint64_t hash)
{
    while (node && node->hash != hash)
        node = node->next;
    return node;
}

struct map_node *map_find(const struct map *m, uint64_t hash)
{
    return m->slots ? same_hash(m->slots[hash & m->mask], hash) : NULL;
}

struct map_node *map_next(const struct map_node *node)
{
    return same_hash(node->next, node->hash);
}

void map_free(struct map *m)
{
    free(m->slots);
    *m = (struct map){0};
}
