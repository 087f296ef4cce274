/* The application: connections to one database, which run its statements. Either in this process,
 * with the system's SQLite, or in a writer process that is linked with another. */
#ifndef SYNCD_TESTS_APPLICATION_H
#define SYNCD_TESTS_APPLICATION_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/buf.h"
#include "program.h"

/* A writer process, kept for many programs. */
struct writer {
    const char *path; /* borrowed */
    pid_t pid;
    bool died; /* an old SQLite may crash */
    FILE *to, *from;
    int version; /* SQLITE_VERSION_NUMBER of the library in it */
};

/* 0, or -errno when it cannot be started. */
int writer_start(const char *path, struct writer *out);
void writer_stop(struct writer *w);
/* Another in its place, if it died. */
int writer_revive(struct writer *w);

struct application {
    struct writer *writer; /* borrowed; NULL: in this process */
    int slot;              /* which of the writer's databases */
    sqlite3 *db[MAX_CONNECTIONS];
    bool open[MAX_CONNECTIONS]; /* a transaction is open in it */
};

void application_open(struct application *a, const char *path);
void application_close(struct application *a);

/* Runs one statement and appends what was seen of it. An SQLite result code. */
int application_run(struct application *a, int connection, const char *sql, struct buf *seen);
/* Has no connection a transaction open? */
bool application_idle(const struct application *a);

#endif
