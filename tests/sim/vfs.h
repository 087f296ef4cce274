/* Files in memory for SQLite and for whoever looks at them beside it, and what a power failure
 * leaves of them.
 *
 * Every file whose name a connection gives is kept here, for all connections of the program, with
 * SQLite's locks between them and a WAL's shared memory. A write is durable once its file was
 * synced, a name once its directory was (SQLite does that with the first sync of a journal that it
 * has opened). A power failure keeps or takes back what was not, by sectors of a size, as chance
 * has it, as POSIX allows, but for two things that SQLite relies on: a sector is never neither the
 * old nor the new ("powersafe overwrite"), and no file becomes shorter before an earlier change of
 * a name has come to the disk.
 *
 * stat(), access(), realpath(), open(), close() and fdatasync() of the program see these files too,
 * and durable_sync() is answered from here. One world of files lives at a time. */
#ifndef SYNCD_TESTS_SIM_VFS_H
#define SYNCD_TESTS_SIM_VFS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"

/* SQLite uses these files from now on, empty. */
void vfs_start(uint64_t seed);
/* Before there is any file: no power failure will come. */
void vfs_powered(void);
/* Every connection must be closed. */
void vfs_end(void);

/* Processes end: what their connections do until they are closed has no effect but on locks. */
void vfs_dying(bool dying);
/* After all have died: what is left on the disk, in sectors of that size. */
void vfs_power_failure(struct rng *rng, unsigned sector);

/* Operations so far; and whether all up to one of them are durable, of the files that decide what
 * the database at `path` recovers to after a power failure. */
uint64_t vfs_operations(void);
bool vfs_is_durable(const char *path, bool wal, uint64_t operation);

#endif
