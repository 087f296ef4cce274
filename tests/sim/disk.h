/* The files of a world, in memory: what the processes see of them, what of that is on the disk, and
 * what a power failure leaves (vfs.h says by which rules). vfs.c and libc.c show them to SQLite and
 * to the rest of the program.
 *
 * Files are counted: by each name, and by each handle that is open. There is one set of files. */
#ifndef SYNCD_TESTS_SIM_DISK_H
#define SYNCD_TESTS_SIM_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"
#include "base/rng.h"

enum { SHM_REGIONS = 128, DESCRIPTORS = 1024 };

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

extern struct files {
    struct list names;
    uint64_t operations, next_ino, directory_unsynced;
    bool alive, dying;
    bool refusing; /* the database's files cannot be synced */
    bool powered;  /* the power never fails: what is on the disk is not kept, as nobody sees it */
    uint64_t seed;
    uid_t uid; /* whose they are: asked for once */
    gid_t gid;
    struct node *descriptors[DESCRIPTORS]; /* that libc.c has given */
    struct file_lock {                     /* of those for lock files */
        char *name;
        bool held;
    } locks[DESCRIPTORS];
} files;

void files_begin(uint64_t seed);
/* Names go; nodes live as long as they have handles. */
void files_end(void);

/* New bytes are zero. */
void bytes_resize(struct bytes *b, size_t size);
/* To a larger size; new bytes from `from` on are the caller's to write. */
void bytes_extend(struct bytes *b, size_t size, size_t from);
/* Bytes [from, to) of what the processes see have changed. */
void node_touch(struct node *n, size_t from, size_t to);
void node_truncate(struct node *n, size_t size);
void node_sync(struct node *n);
/* As Linux has it: what could not be written is given up. It is seen until the power fails, and a
 * later sync, which succeeds, does not bring it to the disk. */
void node_sync_fails(struct node *n);
/* The same of a descriptor's file. */
void descriptor_sync_fails(int fd);

/* A file without a name. */
struct node *node_new(void);
struct node *node_ref(struct node *n); /* NULL is taken */
void node_unref(struct node *n);
/* An empty file under that name, instead of any that had it. */
struct node *node_create(const char *name);
/* NULL: there is none, or there are no files at all. */
struct node *node_find(const char *name);
struct entry_name *name_find(const char *name);
/* Nobody has it under that name any more, nor does the disk. */
void name_lose(const char *name);
void name_set(struct node **at, struct node *n);
void name_changed(struct entry_name *e);
void sync_directory_entries(void);

#endif
