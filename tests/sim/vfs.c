/* SQLite's view of the files: its methods of a file, with the locks between connections and a WAL's
 * shared memory, and its methods of a file system. */
#include "vfs.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "disk.h"

struct handle {
    sqlite3_file base;
    struct list link;
    struct node *node;
    int lock;
    unsigned shm_shared, shm_exclusive;
    bool shm, sync_directory;
};

/* --- SQLite's methods of a file --------------------------------------------------------------- */

static struct handle *handle_of(sqlite3_file *f)
{
    return (struct handle *)f;
}

static int memory_close(sqlite3_file *f)
{
    struct handle *h = handle_of(f);

    list_remove(&h->link);
    node_unref(h->node);
    h->base.pMethods = NULL;
    return SQLITE_OK;
}

static int memory_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
    const struct bytes *b = &handle_of(f)->node->data;
    size_t from = (size_t)at, there = from < b->size ? b->size - from : 0;

    if (there >= (size_t)n) {
        memcpy(to, b->at + from, (size_t)n);
        return SQLITE_OK;
    }
    if (there)
        memcpy(to, b->at + from, there);
    memset((char *)to + there, 0, (size_t)n - there);
    return SQLITE_IOERR_SHORT_READ;
}

static int memory_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
    struct node *node = handle_of(f)->node;
    size_t end = (size_t)at + (size_t)n, size = node->data.size;

    if (files.dying)
        return SQLITE_OK;
    if (end > size)
        bytes_extend(&node->data, end, (size_t)at);
    memcpy(node->data.at + at, from, (size_t)n);
    node_touch(node, (size_t)at < size ? (size_t)at : size, end);
    return SQLITE_OK;
}

static int memory_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    if (!files.dying)
        node_truncate(handle_of(f)->node, (size_t)size);
    return SQLITE_OK;
}

static int memory_sync(sqlite3_file *f, int flags)
{
    struct handle *h = handle_of(f);

    (void)flags;
    if (files.dying)
        return SQLITE_OK;
    node_sync(h->node);
    if (h->sync_directory)
        sync_directory_entries();
    h->sync_directory = false;
    return SQLITE_OK;
}

static int memory_size(sqlite3_file *f, sqlite3_int64 *size)
{
    *size = (sqlite3_int64)handle_of(f)->node->data.size;
    return SQLITE_OK;
}

/* The strongest lock of the others. */
static int lock_of_others(const struct handle *h)
{
    int most = SQLITE_LOCK_NONE;

    list_for_each(pos, after, &h->node->handles)
    {
        const struct handle *other = container_of(pos, struct handle, link);
        if (other != h && other->lock > most)
            most = other->lock;
    }
    return most;
}

static int memory_lock(sqlite3_file *f, int level)
{
    struct handle *h = handle_of(f);
    int others = lock_of_others(h);

    if (h->lock >= level)
        return SQLITE_OK;
    if (h->lock == SQLITE_LOCK_NONE && others >= SQLITE_LOCK_PENDING)
        return SQLITE_BUSY;
    if (level >= SQLITE_LOCK_RESERVED && others >= SQLITE_LOCK_RESERVED)
        return SQLITE_BUSY;
    if (level == SQLITE_LOCK_EXCLUSIVE && others >= SQLITE_LOCK_SHARED) {
        h->lock = SQLITE_LOCK_PENDING;
        return SQLITE_BUSY;
    }
    h->lock = level;
    return SQLITE_OK;
}

static int memory_unlock(sqlite3_file *f, int level)
{
    handle_of(f)->lock = level;
    return SQLITE_OK;
}

static int memory_check_reserved(sqlite3_file *f, int *yes)
{
    struct handle *h = handle_of(f);

    *yes = h->lock >= SQLITE_LOCK_RESERVED || lock_of_others(h) >= SQLITE_LOCK_RESERVED;
    return SQLITE_OK;
}

static int memory_control(sqlite3_file *f, int op, void *arg)
{
    (void)f;
    (void)op;
    (void)arg;
    return SQLITE_NOTFOUND;
}

static int memory_sector(sqlite3_file *f)
{
    (void)f;
    return 4096;
}

static int memory_device(sqlite3_file *f)
{
    (void)f;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

/* --- a WAL's shared memory -------------------------------------------------------------------- */

static int shm_map(sqlite3_file *f, int region, int size, int extend, void volatile **out)
{
    struct handle *h = handle_of(f);

    h->shm = true;
    *out = NULL;
    if (region >= SHM_REGIONS)
        return SQLITE_IOERR_SHMMAP;
    if (!h->node->regions[region] && extend &&
        !(h->node->regions[region] = calloc(1, (size_t)size)))
        return SQLITE_NOMEM;
    *out = h->node->regions[region];
    return SQLITE_OK;
}

static int shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    struct handle *h = handle_of(f);
    unsigned mask = ((1u << n) - 1) << offset, shared = 0, exclusive = 0;

    if (flags & SQLITE_SHM_UNLOCK) {
        h->shm_shared &= ~mask;
        h->shm_exclusive &= ~mask;
        return SQLITE_OK;
    }
    list_for_each(pos, after, &h->node->handles)
    {
        const struct handle *other = container_of(pos, struct handle, link);
        shared |= other == h ? 0 : other->shm_shared;
        exclusive |= other == h ? 0 : other->shm_exclusive;
    }
    if (mask & (flags & SQLITE_SHM_SHARED ? exclusive : shared | exclusive))
        return SQLITE_BUSY;
    if (flags & SQLITE_SHM_SHARED)
        h->shm_shared |= mask;
    else
        h->shm_exclusive |= mask;
    return SQLITE_OK;
}

static void shm_barrier(sqlite3_file *f)
{
    (void)f;
}

static int shm_unmap(sqlite3_file *f, int delete)
{
    struct handle *h = handle_of(f);
    bool used = false;

    (void)delete;
    h->shm = false;
    h->shm_shared = h->shm_exclusive = 0;
    list_for_each(pos, after, &h->node->handles) used |=
        container_of(pos, struct handle, link)->shm;
    for (unsigned i = 0; !used && i < SHM_REGIONS; i++) {
        free(h->node->regions[i]);
        h->node->regions[i] = NULL;
    }
    return SQLITE_OK;
}

/* --- SQLite's methods of a file system -------------------------------------------------------- */

static const sqlite3_io_methods methods = {.iVersion = 2,
                                           .xClose = memory_close,
                                           .xRead = memory_read,
                                           .xWrite = memory_write,
                                           .xTruncate = memory_truncate,
                                           .xSync = memory_sync,
                                           .xFileSize = memory_size,
                                           .xLock = memory_lock,
                                           .xUnlock = memory_unlock,
                                           .xCheckReservedLock = memory_check_reserved,
                                           .xFileControl = memory_control,
                                           .xSectorSize = memory_sector,
                                           .xDeviceCharacteristics = memory_device,
                                           .xShmMap = shm_map,
                                           .xShmLock = shm_lock,
                                           .xShmBarrier = shm_barrier,
                                           .xShmUnmap = shm_unmap};

static int fs_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out_flags)
{
    const int journals = SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL;
    struct handle *h = handle_of(f);
    struct node *n = node_find(name);

    (void)v;
    *h = (struct handle){0};
    list_init(&h->link);
    if (!n && !(flags & SQLITE_OPEN_CREATE) && name)
        return SQLITE_CANTOPEN;
    if (!n)
        n = name ? node_create(name) : node_new();
    /* As SQLite's own does: also for a journal that is there already. */
    h->sync_directory = (flags & SQLITE_OPEN_CREATE) && (flags & journals);
    h->node = node_ref(n);
    h->base.pMethods = &methods;
    list_push_back(&n->handles, &h->link);
    if (out_flags)
        *out_flags = flags;
    return SQLITE_OK;
}

static int fs_delete(sqlite3_vfs *v, const char *name, int sync_directory)
{
    struct entry_name *e = name_find(name);

    (void)v;
    if (!e || !e->now)
        return SQLITE_IOERR_DELETE_NOENT;
    if (files.dying)
        return SQLITE_OK;
    name_set(&e->now, NULL);
    name_changed(e);
    if (sync_directory)
        sync_directory_entries();
    return SQLITE_OK;
}

static int fs_access(sqlite3_vfs *v, const char *name, int flags, int *yes)
{
    const struct node *n = node_find(name);

    (void)v;
    /* As SQLite's own does: an empty journal is none. */
    *yes = n && (flags != SQLITE_ACCESS_EXISTS || n->data.size > 0);
    return SQLITE_OK;
}

static int fs_full_path(sqlite3_vfs *v, const char *name, int n, char *out)
{
    (void)v;
    snprintf(out, (size_t)n, "%s", name);
    return SQLITE_OK;
}

static int fs_random(sqlite3_vfs *v, int n, char *out)
{
    struct rng rng = {.state = files.seed};

    (void)v;
    for (int i = 0; i < n; i++)
        out[i] = (char)rng_next(&rng);
    return n;
}

static int fs_sleep(sqlite3_vfs *v, int us)
{
    (void)v;
    usleep((useconds_t)us);
    return us;
}

static int fs_time(sqlite3_vfs *v, sqlite3_int64 *ms)
{
    struct timespec t;

    (void)v;
    clock_gettime(CLOCK_REALTIME, &t);
    *ms = (sqlite3_int64)t.tv_sec * 1000 + t.tv_nsec / 1000000 + 210866760000000;
    return SQLITE_OK;
}

static int fs_time_double(sqlite3_vfs *v, double *days)
{
    sqlite3_int64 ms;

    fs_time(v, &ms);
    *days = (double)ms / 86400000.0;
    return SQLITE_OK;
}

static int fs_error(sqlite3_vfs *v, int n, char *text)
{
    (void)v;
    (void)n;
    (void)text;
    return 0;
}

static sqlite3_vfs vfs = {.iVersion = 2,
                          .szOsFile = sizeof(struct handle),
                          .mxPathname = 512,
                          .zName = "memory",
                          .xOpen = fs_open,
                          .xDelete = fs_delete,
                          .xAccess = fs_access,
                          .xFullPathname = fs_full_path,
                          .xRandomness = fs_random,
                          .xSleep = fs_sleep,
                          .xCurrentTime = fs_time_double,
                          .xGetLastError = fs_error,
                          .xCurrentTimeInt64 = fs_time};

/* --- life ------------------------------------------------------------------------------------- */

void vfs_start(uint64_t seed)
{
    files_begin(seed);
    sqlite3_vfs_register(&vfs, 1);
    sqlite3_randomness(0, NULL); /* begins anew, with our seed */
}

void vfs_end(void)
{
    files_end();
    sqlite3_vfs_unregister(&vfs);
}

void vfs_powered(void)
{
    files.powered = true;
}

void vfs_dying(bool dying)
{
    files.dying = dying;
}

uint64_t vfs_operations(void)
{
    return files.operations;
}
