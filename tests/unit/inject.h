/* Faults for whoever is within: the nth allocation, SQLite allocation, file operation or wait for a
 * lock fails, once or from then on. What happens outside (the application, the model service, the
 * test itself) goes on as if nothing were wrong.
 *
 * The program is linked with --wrap for the allocating functions and abort(), so that each call of
 * the project's own code is counted, but none of a library's own; SQLite's allocations and files
 * are reached through the doors it has for that. One thread is within at a time. */
#ifndef SYNCD_TESTS_INJECT_H
#define SYNCD_TESTS_INJECT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "base/blocks.h"

enum inject_kind {
    INJECT_MEMORY,        /* malloc() and its like answer NULL */
    INJECT_SQLITE_MEMORY, /* of SQLite's own */
    INJECT_IO,            /* reading, writing, syncing, opening … fails */
    INJECT_FULL,          /* no space left */
    INJECT_LOCK,          /* somebody else holds the lock */
    INJECT_REPLY,         /* a request does not do what it should: counted by the test */
    INJECT_KINDS
};

static const char *const inject_names[INJECT_KINDS] = {"memory", "sqlite-memory", "io",
                                                       "full",   "lock",          "reply"};

static struct inject {
    enum inject_kind kind;
    uint64_t nth; /* 0: none */
    bool lasting;
    uint64_t seen[INJECT_KINDS], failed;
    bool died; /* abort() was called: nothing more happens within until the process is buried */
    jmp_buf death;
    /* Told of the nth call before it is decided on, where nothing fails; it may fork, and set in
     * the child what is to fail. */
    void (*branch)(enum inject_kind kind, uint64_t n);
} inject;

static __thread bool inject_within; /* else nothing is counted; other threads never are */

static bool inject_fails(enum inject_kind kind)
{
    if (!inject_within)
        return false;
    uint64_t n = ++inject.seen[kind];
    if (inject.branch)
        inject.branch(kind, n);
    if (kind != inject.kind || !inject.nth || n < inject.nth || (n > inject.nth && !inject.lasting))
        return false;
    inject.failed++;
    return true;
}

/* Run a call of the code under test. After abort() in it, and in those that follow, it does
 * nothing. */
#define INJECT_RUN(call)                                                                           \
    do {                                                                                           \
        if (inject.died)                                                                           \
            break;                                                                                 \
        if (setjmp(inject.death) == 0) {                                                           \
            inject_within = true;                                                                  \
            call;                                                                                  \
        } else {                                                                                   \
            inject.died = true;                                                                    \
        }                                                                                          \
        inject_within = false;                                                                     \
    } while (0)

/* --- memory ----------------------------------------------------------------------------------- */

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_blocks_take(struct blocks *b);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
char *__real_realpath(const char *path, char *resolved);
void __real_abort(void) __attribute__((noreturn));
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_blocks_take(struct blocks *b);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);
char *__wrap_realpath(const char *path, char *resolved);
int __wrap_asprintf(char **out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int __wrap___asprintf_chk(char **out, int flag, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void __wrap_abort(void) __attribute__((noreturn));

void *__wrap_malloc(size_t n)
{
    return inject_fails(INJECT_MEMORY) ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return inject_fails(INJECT_MEMORY) ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return inject_fails(INJECT_MEMORY) ? NULL : __real_realloc(p, n);
}

/* One that is kept might as well not have been. */
void *__wrap_blocks_take(struct blocks *b)
{
    return inject_fails(INJECT_MEMORY) ? NULL : __real_blocks_take(b);
}

char *__wrap_strdup(const char *s)
{
    return inject_fails(INJECT_MEMORY) ? NULL : __real_strdup(s);
}

char *__wrap_strndup(const char *s, size_t n)
{
    return inject_fails(INJECT_MEMORY) ? NULL : __real_strndup(s, n);
}

char *__wrap_realpath(const char *path, char *resolved)
{
    return inject_fails(INJECT_MEMORY) ? NULL : __real_realpath(path, resolved);
}

int __wrap_asprintf(char **out, const char *fmt, ...)
{
    va_list args;

    if (inject_fails(INJECT_MEMORY))
        return -1;
    va_start(args, fmt);
    int n = vasprintf(out, fmt, args);
    va_end(args);
    return n;
}

int __wrap___asprintf_chk(char **out, int flag, const char *fmt, ...)
{
    va_list args;

    (void)flag;
    if (inject_fails(INJECT_MEMORY))
        return -1;
    va_start(args, fmt);
    int n = vasprintf(out, fmt, args);
    va_end(args);
    return n;
}

void __wrap_abort(void)
{
    if (inject_within)
        longjmp(inject.death, 1);
    __real_abort();
}

static sqlite3_mem_methods inject_memory;

static void *inject_sqlite_malloc(int n)
{
    return inject_fails(INJECT_SQLITE_MEMORY) ? NULL : inject_memory.xMalloc(n);
}

static void *inject_sqlite_realloc(void *p, int n)
{
    return inject_fails(INJECT_SQLITE_MEMORY) ? NULL : inject_memory.xRealloc(p, n);
}

/* --- files ------------------------------------------------------------------------------------ */

struct inject_file {
    sqlite3_file base;
    sqlite3_file *real; /* behind it in the same memory */
};

static sqlite3_vfs *inject_real_vfs;

static sqlite3_file *real_file(sqlite3_file *f)
{
    return ((struct inject_file *)f)->real;
}

static int file_close(sqlite3_file *f)
{
    return real_file(f)->pMethods->xClose(real_file(f));
}

static int file_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
    return inject_fails(INJECT_IO) ? SQLITE_IOERR_READ
                                   : real_file(f)->pMethods->xRead(real_file(f), to, n, at);
}

static int file_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
    if (inject_fails(INJECT_IO))
        return SQLITE_IOERR_WRITE;
    return inject_fails(INJECT_FULL) ? SQLITE_FULL
                                     : real_file(f)->pMethods->xWrite(real_file(f), from, n, at);
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    return inject_fails(INJECT_IO) ? SQLITE_IOERR_TRUNCATE
                                   : real_file(f)->pMethods->xTruncate(real_file(f), size);
}

static int file_sync(sqlite3_file *f, int flags)
{
    return inject_fails(INJECT_IO) ? SQLITE_IOERR_FSYNC
                                   : real_file(f)->pMethods->xSync(real_file(f), flags);
}

static int file_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return inject_fails(INJECT_IO) ? SQLITE_IOERR_FSTAT
                                   : real_file(f)->pMethods->xFileSize(real_file(f), size);
}

static int file_lock(sqlite3_file *f, int level)
{
    return inject_fails(INJECT_LOCK) ? SQLITE_BUSY
                                     : real_file(f)->pMethods->xLock(real_file(f), level);
}

static int file_unlock(sqlite3_file *f, int level)
{
    return real_file(f)->pMethods->xUnlock(real_file(f), level);
}

static int file_check_reserved(sqlite3_file *f, int *out)
{
    return inject_fails(INJECT_IO) ? SQLITE_IOERR_CHECKRESERVEDLOCK
                                   : real_file(f)->pMethods->xCheckReservedLock(real_file(f), out);
}

static int file_control(sqlite3_file *f, int op, void *arg)
{
    return real_file(f)->pMethods->xFileControl(real_file(f), op, arg);
}

static int file_sector(sqlite3_file *f)
{
    return real_file(f)->pMethods->xSectorSize(real_file(f));
}

static int file_device(sqlite3_file *f)
{
    return real_file(f)->pMethods->xDeviceCharacteristics(real_file(f));
}

static int file_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    if (inject_fails(INJECT_IO))
        return SQLITE_IOERR_SHMMAP;
    return real_file(f)->pMethods->xShmMap(real_file(f), page, size, extend, out);
}

static int file_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    if ((flags & SQLITE_SHM_LOCK) && inject_fails(INJECT_LOCK))
        return SQLITE_BUSY;
    return real_file(f)->pMethods->xShmLock(real_file(f), offset, n, flags);
}

static void file_shm_barrier(sqlite3_file *f)
{
    real_file(f)->pMethods->xShmBarrier(real_file(f));
}

static int file_shm_unmap(sqlite3_file *f, int delete)
{
    return real_file(f)->pMethods->xShmUnmap(real_file(f), delete);
}

static const sqlite3_io_methods inject_methods = {.iVersion = 2,
                                                  .xClose = file_close,
                                                  .xRead = file_read,
                                                  .xWrite = file_write,
                                                  .xTruncate = file_truncate,
                                                  .xSync = file_sync,
                                                  .xFileSize = file_size,
                                                  .xLock = file_lock,
                                                  .xUnlock = file_unlock,
                                                  .xCheckReservedLock = file_check_reserved,
                                                  .xFileControl = file_control,
                                                  .xSectorSize = file_sector,
                                                  .xDeviceCharacteristics = file_device,
                                                  .xShmMap = file_shm_map,
                                                  .xShmLock = file_shm_lock,
                                                  .xShmBarrier = file_shm_barrier,
                                                  .xShmUnmap = file_shm_unmap};

static int vfs_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out)
{
    struct inject_file *file = (struct inject_file *)f;

    (void)v;
    file->base.pMethods = NULL;
    if (inject_fails(INJECT_IO))
        return SQLITE_CANTOPEN;
    file->real = (sqlite3_file *)(file + 1);
    int rc = inject_real_vfs->xOpen(inject_real_vfs, name, file->real, flags, out);
    if (rc == SQLITE_OK)
        file->base.pMethods = &inject_methods;
    return rc;
}

static int vfs_delete(sqlite3_vfs *v, const char *name, int sync)
{
    (void)v;
    return inject_fails(INJECT_IO) ? SQLITE_IOERR_DELETE
                                   : inject_real_vfs->xDelete(inject_real_vfs, name, sync);
}

static int vfs_access(sqlite3_vfs *v, const char *name, int flags, int *out)
{
    (void)v;
    return inject_fails(INJECT_IO) ? SQLITE_IOERR_ACCESS
                                   : inject_real_vfs->xAccess(inject_real_vfs, name, flags, out);
}

/* Before SQLite is used for the first time. */
static inline bool inject_install(void)
{
    sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &inject_memory) != SQLITE_OK)
        return false;
    sqlite3_mem_methods memory = inject_memory;
    memory.xMalloc = inject_sqlite_malloc;
    memory.xRealloc = inject_sqlite_realloc;
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &memory) != SQLITE_OK ||
        sqlite3_initialize() != SQLITE_OK)
        return false;
    return true;
}

/* The files of the world that has just been made. */
static inline bool inject_files(void)
{
    static sqlite3_vfs vfs;

    inject_real_vfs = sqlite3_vfs_find("memory");
    if (!inject_real_vfs)
        return false;
    sqlite3_vfs_unregister(&vfs);
    vfs = *inject_real_vfs;
    vfs.pNext = NULL;
    vfs.zName = "inject";
    vfs.szOsFile = (int)sizeof(struct inject_file) + inject_real_vfs->szOsFile;
    vfs.xOpen = vfs_open;
    vfs.xDelete = vfs_delete;
    vfs.xAccess = vfs_access;
    return sqlite3_vfs_register(&vfs, 1) == SQLITE_OK;
}

#endif
