#include "vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/list.h"
#include "source/durable.h"

enum { SECTOR = 512, SHM_REGIONS = 16, SHM_SLOTS = 8, DESCRIPTORS = 1024 };

/* A file, by whatever names it has and had. */
struct node {
    unsigned refs; /* handles, names */
    uint64_t ino;
    uint64_t written;         /* the operation that changed it last: its time */
    uint64_t oldest_unsynced; /* 0: all of it is durable */
    struct bytes {
        unsigned char *at;
        size_t size, cap;
    } data, disk;         /* as the processes see it; as it is after a power failure */
    unsigned char *dirty; /* of each sector: differs from the disk */
    size_t dirty_cap, dirty_from, dirty_to;
    uint64_t cut; /* the last operation that made it shorter and is not durable, or 0 */
    size_t cut_to;
    struct list handles;
    void *regions[SHM_REGIONS];
};

/* A name in the directory: of which file it is, and of which it is on the disk. */
struct entry_name {
    struct list link;
    char *name;
    struct node *now, *disk;
    uint64_t changed; /* the first operation that is not durable, or 0 */
};

struct handle {
    sqlite3_file base;
    struct list link;
    struct node *node;
    int lock;
    unsigned shm_shared, shm_exclusive;
    bool shm, sync_directory;
};

static struct {
    struct list names;
    uint64_t operations, next_ino, directory_unsynced;
    bool alive, dying;
    uint64_t seed;
    struct node *descriptors[DESCRIPTORS];
} files;

/* --- bytes ------------------------------------------------------------------------------------ */

static void *more(void *at, size_t *cap, size_t n, size_t each)
{
    size_t want = *cap ? *cap : 8192 / each;

    while (want < n)
        want *= 2;
    if (want == *cap)
        return at;
    at = realloc(at, want * each);
    if (!at)
        abort();
    memset((char *)at + *cap * each, 0, (want - *cap) * each);
    *cap = want;
    return at;
}

/* Bytes past the size are zero. */
static void resize(struct bytes *b, size_t size)
{
    b->at = more(b->at, &b->cap, size, 1);
    if (size < b->size)
        memset(b->at + size, 0, b->size - size);
    b->size = size;
}

static void touch(struct node *n, size_t from, size_t to)
{
    size_t first = from / SECTOR, end = (to + SECTOR - 1) / SECTOR;

    n->written = ++files.operations;
    if (!n->oldest_unsynced)
        n->oldest_unsynced = n->written;
    n->dirty = more(n->dirty, &n->dirty_cap, end + 1, 1);
    memset(n->dirty + first, 1, end > first ? end - first : 0);
    if (n->dirty_from == n->dirty_to)
        n->dirty_from = first;
    n->dirty_from = first < n->dirty_from ? first : n->dirty_from;
    n->dirty_to = end > n->dirty_to ? end : n->dirty_to;
}

/* One sector of what the processes see comes to the disk. */
static void settle_sector(struct node *n, size_t i)
{
    size_t at = i * SECTOR;

    n->data.at = more(n->data.at, &n->data.cap, at + SECTOR, 1);
    n->disk.at = more(n->disk.at, &n->disk.cap, at + SECTOR, 1);
    memcpy(n->disk.at + at, n->data.at + at, SECTOR);
}

static void clean(struct node *n)
{
    if (n->dirty_to > n->dirty_from)
        memset(n->dirty + n->dirty_from, 0, n->dirty_to - n->dirty_from);
    n->dirty_from = n->dirty_to = 0;
    n->oldest_unsynced = n->cut = 0;
}

static void sync_node(struct node *n)
{
    for (size_t i = n->dirty_from; i < n->dirty_to; i++)
        if (n->dirty[i])
            settle_sector(n, i);
    resize(&n->disk, n->data.size);
    clean(n);
}

/* --- names ------------------------------------------------------------------------------------ */

static struct node *node_new(void)
{
    struct node *n = calloc(1, sizeof *n);

    if (!n)
        abort();
    list_init(&n->handles);
    n->ino = ++files.next_ino;
    return n;
}

static void node_unref(struct node *n)
{
    if (!n || --n->refs > 0)
        return;
    for (unsigned i = 0; i < DESCRIPTORS; i++)
        if (files.descriptors[i] == n)
            files.descriptors[i] = NULL;
    free(n->data.at);
    free(n->disk.at);
    free(n->dirty);
    free(n);
}

static struct node *node_ref(struct node *n)
{
    if (n)
        n->refs++;
    return n;
}

static struct entry_name *name_find(const char *name)
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

static struct node *node_find(const char *name)
{
    struct entry_name *e = name_find(name);

    return e ? e->now : NULL;
}

static void name_set(struct node **at, struct node *n)
{
    node_ref(n);
    node_unref(*at);
    *at = n;
}

static void name_changed(struct entry_name *e)
{
    files.operations++;
    if (!e->changed)
        e->changed = files.operations;
    if (!files.directory_unsynced)
        files.directory_unsynced = files.operations;
}

static struct node *node_create(const char *name)
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

static void sync_directory_entries(void)
{
    list_for_each(pos, after, &files.names)
    {
        struct entry_name *e = container_of(pos, struct entry_name, link);
        name_set(&e->disk, e->now);
        e->changed = 0;
    }
    files.directory_unsynced = 0;
}

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
        resize(&node->data, end);
    memcpy(node->data.at + at, from, (size_t)n);
    touch(node, (size_t)at < size ? (size_t)at : size, end);
    return SQLITE_OK;
}

static int memory_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    struct node *node = handle_of(f)->node;
    size_t before = node->data.size;

    if (files.dying)
        return SQLITE_OK;
    resize(&node->data, (size_t)size);
    touch(node, (size_t)size, before > (size_t)size ? before : (size_t)size);
    if ((size_t)size < before) {
        node->cut_to = node->cut && node->cut_to < (size_t)size ? node->cut_to : (size_t)size;
        node->cut = node->written;
    }
    return SQLITE_OK;
}

static int memory_sync(sqlite3_file *f, int flags)
{
    struct handle *h = handle_of(f);

    (void)flags;
    if (files.dying)
        return SQLITE_OK;
    sync_node(h->node);
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

/* --- the C library's view --------------------------------------------------------------------- */

int stat(const char *path, struct stat *st)
{
    const struct node *n = node_find(path);

    if (!n)
        return fstatat(AT_FDCWD, path, st, 0);
    *st = (struct stat){.st_dev = 1,
                        .st_ino = n->ino,
                        .st_mode = S_IFREG | 0600,
                        .st_nlink = 1,
                        .st_uid = geteuid(),
                        .st_gid = getegid(),
                        .st_size = (off_t)n->data.size};
    st->st_mtim.tv_sec = st->st_ctim.tv_sec = (time_t)n->written;
    return 0;
}

int access(const char *path, int mode)
{
    return node_find(path) ? 0 : faccessat(AT_FDCWD, path, mode, 0);
}

char *realpath(const char *path, char *resolved)
{
    if (!node_find(path) || resolved)
        return resolved ? NULL : canonicalize_file_name(path);
    return strdup(path);
}

int open(const char *path, int flags, ...)
{
    struct node *n = node_find(path);
    mode_t mode = 0;
    va_list args;

    if (flags & O_CREAT) {
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    int fd = openat(AT_FDCWD, n ? "/dev/null" : path, flags, mode);
    if (fd >= 0 && fd < DESCRIPTORS)
        files.descriptors[fd] = n;
    return fd;
}

int close(int fd)
{
    if (fd >= 0 && fd < DESCRIPTORS)
        files.descriptors[fd] = NULL;
    return (int)syscall(SYS_close, fd);
}

int fdatasync(int fd)
{
    struct node *n = fd >= 0 && fd < DESCRIPTORS ? files.descriptors[fd] : NULL;

    if (!n)
        return (int)syscall(SYS_fdatasync, fd);
    if (!files.dying)
        sync_node(n);
    return 0;
}

/* The files that durable.c would sync. */
int durable_sync(struct durable *d, const char *database, bool wal)
{
    char beside[300];

    (void)d;
    if (files.dying)
        return 0;
    snprintf(beside, sizeof beside, "%s%s", database, wal ? "-wal" : "-journal");
    struct node *n = node_find(beside);
    if (n)
        sync_node(n);
    sync_directory_entries();
    return 0;
}

void durable_close(struct durable *d)
{
    *d = DURABLE_INIT;
}

/* --- life ------------------------------------------------------------------------------------- */

void vfs_start(uint64_t seed)
{
    memset(&files, 0, sizeof files);
    list_init(&files.names);
    files.alive = true;
    files.seed = seed;
    sqlite3_vfs_register(&vfs, 1);
    sqlite3_randomness(0, NULL); /* begins anew, with our seed */
}

void vfs_end(void)
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
    files.alive = false;
    sqlite3_vfs_unregister(&vfs);
}

void vfs_dying(bool dying)
{
    files.dying = dying;
}

uint64_t vfs_operations(void)
{
    return files.operations;
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
        resize(&n->data, n->disk.size);
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
        for (size_t k = i; keep && k < i + step && k < n->dirty_to; k++)
            if (n->dirty[k])
                settle_sector(n, k);
    }
    if (chance_of(rng, 50)) /* how long it is need not have come there with the bytes */
        size = n->data.size;
    else if (n->data.size > size)
        size += (size_t)rng_upto(rng, n->data.size - size);
    n->disk.size = size;
    n->disk.at = more(n->disk.at, &n->disk.cap, size, 1);
    memset(n->disk.at + size, 0, n->disk.cap - size);
}

void vfs_power_failure(struct rng *rng, unsigned sector)
{
    uint64_t undone = UINT64_MAX;

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
        resize(&n->data, 0);
        resize(&n->data, n->disk.size);
        memcpy(n->data.at, n->disk.at, n->disk.size);
        n->written = ++files.operations;
        clean(n);
    }
    files.directory_unsynced = 0;
}
