/* A small intrusive hash table: chained, doubling, never shrinking. The caller embeds a map_node,
 * hashes with map_hash() and compares the candidates itself. */
#ifndef SYNCD_BASE_MAP_H
#define SYNCD_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_node {
    struct map_node *next;
    uint64_t hash;
};

struct map {
    struct map_node **slots;
    size_t mask; /* slots - 1; slots is a power of two */
    size_t count;
};

/* Keys come from other people's rows, so the hash is seeded. */
uint64_t map_hash(const void *bytes, size_t n, uint64_t seed);

/* 0, or -ENOMEM when the very first table cannot be had; later a failed growth only means longer
 * chains. */
int map_insert(struct map *m, struct map_node *node, uint64_t hash);
void map_remove(struct map *m, struct map_node *node);
/* First node with that hash, then map_next() for the others; NULL at the end. */
struct map_node *map_find(const struct map *m, uint64_t hash);
struct map_node *map_next(const struct map_node *node);
void map_free(struct map *m); /* frees the slots, never the nodes */

#endif
