/* What has been committed to the user's database, made to survive a power failure.
 *
 * SQLite itself lets a power failure take commits back: in WAL mode with synchronous=NORMAL the
 * -wal is not synced at a commit; in rollback mode the journal's removal, which is the commit, is
 * not (synchronous=EXTRA aside), so that the journal may be back and undo it. How an application
 * has set its connections cannot be seen from outside, so it is always done; it is cheap when there
 * is nothing to write. Nor can synchronous=OFF be seen: then the database file itself may be behind
 * after a checkpoint or a commit, and nothing here helps, because the database file must not be
 * opened outside SQLite (closing it would drop SQLite's locks).
 *
 * In WAL mode it is enough to sync the -wal: what a reader saw is in its frames, or was moved into
 * the database by a checkpoint that synced both before frames could be overwritten. SQLite's locks
 * are on the database and -shm, never on -wal or -journal: descriptors of our own do no harm there.
 *
 * In rollback mode it is the directory (journal_mode DELETE) and the -journal, if there is one
 * (TRUNCATE, PERSIST); which of them an application uses cannot be seen either.
 * And a -wal that stands there: an application may go over to WAL mode at any moment, of which the
 * caller need not know yet. The other way it cannot go while anybody is connected. */
#ifndef SYNCD_SOURCE_DURABLE_H
#define SYNCD_SOURCE_DURABLE_H

#include <stdbool.h>
#include <sys/types.h>

/* The -wal is kept open: an error in writing it back is told only to those who have it open. */
struct durable {
    int wal; /* -1: none */
    dev_t dev;
    ino_t ino;
};

#define DURABLE_INIT ((struct durable){.wal = -1})

/* Blocks for as long as the disk needs. To be called after the read transaction has ended; needs no
 * lock, and any thread may, but one at a time for a `d`. 0, or a negative errno: then nothing is
 * known to be durable. It may be tried again; that the kernel may by then have given up what it
 * could not write is not seen by the next call. */
int durable_sync(struct durable *d, const char *database, bool wal);
void durable_close(struct durable *d);

#endif
