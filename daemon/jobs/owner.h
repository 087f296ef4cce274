/* Root works on a database as its owner: SQLite's -wal and -shm belong to whoever makes them, and
 * one made by root would lock the application out. */
#ifndef SYNCD_DAEMON_JOBS_OWNER_H
#define SYNCD_DAEMON_JOBS_OWNER_H

#include <sys/stat.h>

#include "base/err.h"
#include "config/config.h"

/* The group that reaches the directories of the service and its socket. */
#define SERVICE_GROUP "syncd"

/* The group to work on a database in: the file's, as of all who may share it. Never root's for
 * another user; his own then. */
gid_t owner_group(const struct stat *database);

/* For good: the user, his groups and SERVICE_GROUP, the group of the file, and HOME, USER and
 * LOGNAME in the environment. Does nothing for another user than root, nor when the database
 * belongs to root or is not there. 0 or a negative errno with a sentence. One thread only. */
int owner_become(const char *database, struct err *err);

/* Run the job as the owner, and stay who we are: in a process of its own where that takes one. The
 * job's answer and sentence. */
int owner_run(const struct config *c, int (*job)(const struct config *c, struct err *err),
              struct err *err);

#endif
