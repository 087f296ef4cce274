#include "pool.h"

#include <malloc.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Sizes go in steps of 16 bytes, and beyond LINEAR in steps of a quarter of a power of two. */
enum { STEP = 16, LINEAR = 512, STEPS = LINEAR / STEP, CLASSES = STEPS + 4 * 20 };
enum { CHUNK = 1 << 20, HEAD = 16 };

struct block {
    union {
        struct block *next; /* free */
        size_t class;       /* in use */
    };
};

static struct block *spare[CLASSES];
static char *chunk;
static size_t left;

static size_t size_of(size_t class)
{
    if (class < STEPS)
        return (class + 1) * STEP;
    class -= STEPS;
    return (class % 4 + 5) * (LINEAR / 4) << class / 4;
}

static size_t class_of(size_t n)
{
    if (n <= LINEAR)
        return n ? (n - 1) / STEP : 0;
    unsigned power = 63 - (unsigned)__builtin_clzll((n - 1) / LINEAR); /* of LINEAR, below n */

    return STEPS + 4 * power + ((n - 1) / (LINEAR / 4) >> power) - 4;
}

static int rounded(int n)
{
    return (int)size_of(class_of((size_t)n));
}

static void *pool_malloc(int n)
{
    size_t class = class_of((size_t)n), size = size_of(class) + HEAD;
    struct block *b;

    if (class >= CLASSES)
        return NULL;
    if ((b = spare[class]) != NULL) {
        spare[class] = b->next;
    } else if (size > CHUNK / 4) {
        b = malloc(size);
    } else {
        if (size > left) {
            chunk = malloc(CHUNK);
            left = chunk ? CHUNK : 0;
        }
        b = (struct block *)(void *)chunk;
        if (chunk) {
            chunk += size;
            left -= size;
        }
    }
    if (!b)
        return NULL;
    b->class = class;
    return (char *)b + HEAD;
}

static struct block *block_of(void *p)
{
    return (struct block *)(void *)((char *)p - HEAD);
}

static void pool_free(void *p)
{
    if (!p)
        return;
    struct block *b = block_of(p);
    size_t class = b->class;

    b->next = spare[class];
    spare[class] = b;
}

static int pool_size(void *p)
{
    return p ? (int)size_of(block_of(p)->class) : 0;
}

static void *pool_realloc(void *p, int n)
{
    size_t had = (size_t)pool_size(p);

    if (class_of((size_t)n) == block_of(p)->class)
        return p;
    void *q = pool_malloc(n);
    if (q) {
        memcpy(q, p, had < (size_t)n ? had : (size_t)n);
        pool_free(p);
    }
    return q;
}

static int pool_start(void *arg)
{
    (void)arg;
    return SQLITE_OK;
}

static void pool_end(void *arg)
{
    (void)arg;
}

void pool_install(void)
{
    static const sqlite3_mem_methods methods = {.xMalloc = pool_malloc,
                                                .xFree = pool_free,
                                                .xRealloc = pool_realloc,
                                                .xSize = pool_size,
                                                .xRoundup = rounded,
                                                .xInit = pool_start,
                                                .xShutdown = pool_end};

    sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
    /* One thread, and nobody asks how much memory is used: it saves a fifth of the time. */
    sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 1200, 100);
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 512 << 20);
}
