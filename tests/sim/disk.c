#include "disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vfs.h"

enum { SECTOR = 512 }; /* what is settled or torn at once is one or several of these */

struct files files;

/* --- bytes ------------------------------------------------------------------------------------ */

/* Worlds come by the thousand and their files grow to megabytes: memory that a file lets go of
 * waits for the next, by powers of four. What it holds is anything. */
enum { LEAST_POWER = 20, GROWTH = 2, POWERS = 48 };

static struct spare_bytes {
    struct spare_bytes *next;
} * spare[POWERS];

static unsigned char *bytes_take(unsigned power)
{
    struct spare_bytes *b = spare[power];

    if (b)
        spare[power] = b->next;
    else if (!(b = malloc((size_t)1 << power)))
        abort();
    return (unsigned char *)b;
}

static void bytes_leave(unsigned char *at, size_t cap)
{
    struct spare_bytes *b = (struct spare_bytes *)(void *)at;

    if (!at)
        return;
    unsigned power = (unsigned)__builtin_ctzll(cap);
    b->next = spare[power];
    spare[power] = b;
}

/* Room for `n` bytes, of which the first `used` are kept. */
static inline unsigned char *more(unsigned char *at, size_t *cap, size_t n, size_t used)
{
    unsigned power = LEAST_POWER;

    if (n <= *cap)
        return at;
    while ((size_t)1 << power < n)
        power += GROWTH;
    unsigned char *new = bytes_take(power);
    if (at)
        memcpy(new, at, used);
    bytes_leave(at, *cap);
    *cap = (size_t)1 << power;
    return new;
}

void bytes_extend(struct bytes *b, size_t size, size_t from)
{
    b->at = more(b->at, &b->cap, size, b->size);
    if (from > b->size)
        memset(b->at + b->size, 0, from - b->size);
    b->size = size;
}

void bytes_resize(struct bytes *b, size_t size)
{
    if (size > b->size)
        bytes_extend(b, size, size);
    b->size = size;
}

/* Sectors [first, end) are dirty, too. What is beside the range of those that are is anything. */
static void mark_dirty(struct node *n, size_t first, size_t end)
{
    n->dirty = more(n->dirty, &n->dirty_cap, end + 1, n->dirty_to);
    if (n->dirty_from == n->dirty_to)
        n->dirty_from = n->dirty_to = first;
    if (first > n->dirty_to)
        memset(n->dirty + n->dirty_to, 0, first - n->dirty_to);
    if (end < n->dirty_from)
        memset(n->dirty + end, 0, n->dirty_from - end);
    memset(n->dirty + first, 1, end > first ? end - first : 0);
    n->dirty_from = first < n->dirty_from ? first : n->dirty_from;
    n->dirty_to = end > n->dirty_to ? end : n->dirty_to;
}

void node_touch(struct node *n, size_t from, size_t to)
{
    n->written = ++files.operations;
    if (!n->oldest_unsynced)
        n->oldest_unsynced = n->written;
    if (files.powered)
        return;
    mark_dirty(n, from / SECTOR, (to + SECTOR - 1) / SECTOR);
}

void node_truncate(struct node *n, size_t size)
{
    size_t before = n->data.size;

    bytes_resize(&n->data, size);
    node_touch(n, size, before > size ? before : size);
    if (size >= before)
        return;
    n->cut_to = n->cut && n->cut_to < size ? n->cut_to : size;
    n->cut = n->written;
}

/* Sectors [i, end) of what the processes see come to the disk; past its size that is zeros. */
static void settle_sectors(struct node *n, size_t i, size_t end)
{
    size_t from = i * SECTOR, to = end * SECTOR, size = n->data.size;
    size_t there = size <= from ? 0 : (size < to ? size : to) - from;

    if (to > n->disk.size)
        bytes_extend(&n->disk, to, from);
    if (there)
        memcpy(n->disk.at + from, n->data.at + from, there);
    memset(n->disk.at + from + there, 0, to - from - there);
}

static void clean(struct node *n)
{
    n->dirty_from = n->dirty_to = 0;
    n->oldest_unsynced = n->cut = 0;
}

void node_sync(struct node *n)
{
    for (size_t i = n->dirty_from, end; i < n->dirty_to; i = end + 1) {
        for (end = i; end < n->dirty_to && n->dirty[end]; end++)
            ;
        if (end > i)
            settle_sectors(n, i, end);
    }
    if (!files.powered)
        bytes_resize(&n->disk, n->data.size);
    clean(n);
}

void node_sync_fails(struct node *n)
{
    clean(n);
}

/* --- names ------------------------------------------------------------------------------------ */

struct node *node_new(void)
{
    struct node *n = calloc(1, sizeof *n);

    if (!n)
        abort();
    list_init(&n->handles);
    n->ino = ++files.next_ino;
    return n;
}

void node_unref(struct node *n)
{
    if (!n || --n->refs > 0)
        return;
    for (unsigned i = 0; i < DESCRIPTORS; i++)
        if (files.descriptors[i] == n)
            files.descriptors[i] = NULL;
    bytes_leave(n->data.at, n->data.cap);
    bytes_leave(n->disk.at, n->disk.cap);
    bytes_leave(n->dirty, n->dirty_cap);
    free(n);
}

struct node *node_ref(struct node *n)
{
    if (n)
        n->refs++;
    return n;
}

struct entry_name *name_find(const char *name)
{
    if (!files.alive || !name)
        return NULL;
    list_for_each(pos, after, &files.names)
    {
        struct entry_name *e = container_of(pos, struct entry_name, link);
        if (strcmp(e->name, name) == 0)
            return e;
    }
    return NULL;
}

struct node *node_find(const char *name)
{
    struct entry_name *e = name_find(name);

    return e ? e->now : NULL;
}

void name_set(struct node **at, struct node *n)
{
    node_ref(n);
    node_unref(*at);
    *at = n;
}

void name_changed(struct entry_name *e)
{
    files.operations++;
    if (!e->changed)
        e->changed = files.operations;
    if (!files.directory_unsynced)
        files.directory_unsynced = files.operations;
}

void name_lose(const char *name)
{
    struct entry_name *e = name_find(name);

    if (!e)
        return;
    name_set(&e->now, NULL);
    name_set(&e->disk, NULL);
    e->changed = 0;
}

struct node *node_create(const char *name)
{
    struct entry_name *e = name_find(name);

    if (!e) {
        e = calloc(1, sizeof *e);
        if (!e || !(e->name = strdup(name)))
            abort();
        list_push_back(&files.names, &e->link);
    }
    name_set(&e->now, node_new());
    name_changed(e);
    return e->now;
}

void sync_directory_entries(void)
{
    list_for_each(pos, after, &files.names)
    {
        struct entry_name *e = container_of(pos, struct entry_name, link);
        name_set(&e->disk, e->now);
        e->changed = 0;
    }
    files.directory_unsynced = 0;
}

/* --- life ------------------------------------------------------------------------------------- */

void files_begin(uint64_t seed)
{
    memset(&files, 0, sizeof files);
    list_init(&files.names);
    files.alive = true;
    files.seed = seed;
    files.uid = geteuid();
    files.gid = getegid();
}

void files_end(void)
{
    list_for_each(pos, after, &files.names)
    {
        struct entry_name *e = container_of(pos, struct entry_name, link);
        name_set(&e->now, NULL);
        name_set(&e->disk, NULL);
        free(e->name);
        list_remove(&e->link);
        free(e);
    }
    for (unsigned i = 0; i < DESCRIPTORS; i++)
        free(files.locks[i].name);
    files.alive = false;
}

static bool synced(uint64_t oldest_unsynced, uint64_t operation)
{
    return !oldest_unsynced || oldest_unsynced > operation;
}

bool vfs_is_durable(const char *path, bool wal, uint64_t operation)
{
    char beside[300];

    snprintf(beside, sizeof beside, "%s%s", path, wal ? "-wal" : "-journal");
    const struct node *n = node_find(beside);
    return (!n || synced(n->oldest_unsynced, operation)) &&
           (wal || synced(files.directory_unsynced, operation));
}

/* --- power failure ---------------------------------------------------------------------------- */

static bool chance_of(struct rng *rng, unsigned percent)
{
    return rng_upto(rng, 99) < percent;
}

/* File systems with a journal keep the order of what is no file's content. SQLite relies on it,
 * with any `synchronous` short of EXTRA: it ends a VACUUM by deleting the rollback journal and
 * cutting the database short, syncs neither, and the journal does not hold the pages that were cut
 * off (pager_end_transaction() in its pager.c). So no file is shorter on a disk where an earlier
 * change of a name was taken back. */
static void undo_cut(struct node *n)
{
    for (size_t i = (n->cut_to + SECTOR - 1) / SECTOR; i < n->dirty_to; i++)
        n->dirty[i] = 0;
    if (n->data.size < n->disk.size)
        bytes_resize(&n->data, n->disk.size);
}

static void tear(struct node *n, struct rng *rng, unsigned sector)
{
    static const unsigned kept_percents[] = {0, 50, 90, 100};
    unsigned kept = kept_percents[rng_upto(rng, 3)];
    size_t step = sector / SECTOR, size = n->disk.size;

    if (!n->oldest_unsynced)
        return;
    for (size_t i = n->dirty_from / step * step; i < n->dirty_to; i += step) {
        bool keep = chance_of(rng, kept);
        for (size_t k = i > n->dirty_from ? i : n->dirty_from;
             keep && k < i + step && k < n->dirty_to; k++)
            if (n->dirty[k])
                settle_sectors(n, k, k + 1);
    }
    if (chance_of(rng, 50)) /* how long it is need not have come there with the bytes */
        size = n->data.size;
    else if (n->data.size > size)
        size += (size_t)rng_upto(rng, n->data.size - size);
    bytes_resize(&n->disk, size);
}

void vfs_power_failure(struct rng *rng, unsigned sector)
{
    uint64_t undone = UINT64_MAX;

    if (files.powered)
        abort();
    list_for_each(pos, after, &files.names)
    {
        struct entry_name *e = container_of(pos, struct entry_name, link);
        if (e->now != e->disk && chance_of(rng, 50))
            name_set(&e->disk, e->now);
        else if (e->now != e->disk && e->changed < undone)
            undone = e->changed;
        name_set(&e->now, e->disk);
        e->changed = 0;
    }
    list_for_each(pos, after, &files.names)
    {
        struct entry_name *e = container_of(pos, struct entry_name, link);
        struct node *n = e->now;
        if (!n)
            continue;
        if (n->cut > undone)
            undo_cut(n);
        tear(n, rng, sector);
        bytes_resize(&n->data, n->disk.size);
        memcpy(n->data.at, n->disk.at, n->disk.size);
        n->written = ++files.operations;
        clean(n);
    }
    files.directory_unsynced = 0;
}
