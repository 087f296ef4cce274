/* The user's database: one connection, opened with care and used in short slices.
 *
 * Rules kept here: only the file's owner or root opens it (another user would create -wal and -shm
 * files that the application cannot open); never a checkpoint while others may write
 * (wal_autocheckpoint=0); no waiting for locks beyond `patience` (the caller tries again later);
 * never create the file; nothing but SQLite opens or closes the database or its -shm. */
#ifndef SYNCD_SOURCE_SOURCE_H
#define SYNCD_SOURCE_SOURCE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/err.h"

/* What stands between us and the database; SOURCE_OK when nothing does. */
enum source_problem {
    SOURCE_OK,
    SOURCE_MISSING,
    SOURCE_UNREADABLE,
    SOURCE_NOT_A_DATABASE,
    SOURCE_OWNER,
    SOURCE_LOCKED, /* busy for the moment, or held in locking_mode=EXCLUSIVE */
    SOURCE_READONLY,
    SOURCE_FULL,   /* disk full or an I/O error */
    SOURCE_FAILED, /* anything else SQLite says */
};

/* Stable word of a problem for health reasons: source_missing, source_locked, … */
const char *source_problem_code(enum source_problem p);

enum { SOURCE_QUESTIONS = 12 };
enum source_kept {
    KEPT_BEGIN,
    KEPT_COMMIT,
    KEPT_LOOK,
    KEPT_JOURNAL_MODE,
    KEPT_ROLLBACK,
    KEPT_SCHEMA_VERSION,
    KEPT_DATA_VERSION,
    SOURCE_KEPT,
};

struct source {
    sqlite3 *db;
    char *path;
    dev_t dev;
    ino_t ino;
    bool wal; /* journal_mode is WAL */
    struct source_beside {
        dev_t dev;
        ino_t ino;
    } beside[2];       /* -wal and -shm, as they are open; nobody may remove them meanwhile */
    bool beside_known; /* not in rollback mode */
    char journal_mode[12];
    int max_value; /* longest value that is read: source_allow_values() */
    usec patience; /* how long a statement may wait for a lock; 0 (the rule): not at all */
    usec waited;   /* in the wait at hand */
    sqlite3_stmt *kept[SOURCE_KEPT]; /* prepared once: they are run for every slice, and a ROLLBACK
                                        must not want for memory */
    struct source_question {
        const char *sql;
        sqlite3_stmt *stmt;
    } questions[SOURCE_QUESTIONS]; /* prepared once; what is free comes last */
    int said_rc; /* what SQLite said before source_rollback(), and of which result code */
    char said[200];
};

/* Longest value that is read of a row, unless more was allowed; a longer one can be no item and
 * becomes a dead letter. */
enum { SOURCE_MAX_VALUE = 1024 * 1024 };

/* Open and look at the schema once. SOURCE_OK and *out, or the problem and a sentence. */
enum source_problem source_open(const char *path, struct source **out, struct err *err);
/* The same, but waits so long for a lock that somebody holds: for jobs that have nothing else to
 * do. Its statements wait as long. */
enum source_problem source_open_patiently(const char *path, usec patience, struct source **out,
                                          struct err *err);
void source_close(struct source *s);

/* Is the file at the path still the one that is open? SOURCE_OK, or SOURCE_MISSING when it is gone
 * or another. */
enum source_problem source_check_file(const struct source *s, struct err *err);

/* What an SQLite result code of this connection means: to be asked before anything else is done
 * with the connection but source_rollback(). */
enum source_problem source_problem_of(const struct source *s, int sqlite_rc, const char *doing,
                                      struct err *err);

/* Run statements without results. An SQLite result code. */
int source_exec(struct source *s, const char *sql);
/* ROLLBACK if a transaction is open, keeping for source_problem_of() what SQLite said last. It is
 * over afterwards in any case: where SQLite cannot even do that for lack of memory the process
 * aborts, because it must not keep the application from its database. */
void source_rollback(struct source *s);
/* COMMIT, or ROLLBACK when that fails or `rc` is no success. An SQLite result code: `rc`, or why it
 * could not be committed. */
int source_end(struct source *s, int rc);
/* BEGIN: what is read until source_end() is of one state of the database. An SQLite result code. */
int source_begin(struct source *s);
/* How often the schema was changed; and a number that moves when another connection has committed
 * (sqlite.org/pragma.html). An SQLite result code. */
int source_schema_version(struct source *s, int64_t *out);
int source_data_version(struct source *s, int64_t *out);
/* First column of the first row as integer; SQLITE_DONE when there is no row. */
int source_query_int(struct source *s, const char *sql, int64_t *out);

/* A question about a table or an index of the schema, `arg` (?1; kept by the caller until the
 * answer is over) its name. It is prepared once as long as the database is open, and told by where
 * `sql` lies: a literal, which one place asks, and not again before source_answered(). Many tables
 * are looked at one after the other, and preparing is dearer than asking. An SQLite result code. */
int source_ask(struct source *s, const char *sql, const char *arg, sqlite3_stmt **out);
void source_answered(sqlite3_stmt *stmt); /* NULL is taken */
/* Before the connection is closed by anyone but source_close(): no statement is left. */
void source_forget_questions(struct source *s);

/* Read the journal mode anew (the application may change it) and set synchronous to match. Not
 * inside a transaction. */
int source_refresh_mode(struct source *s);

/* Values longer than max_value are refused with SQLITE_TOOBIG, when bound and when read. Keys must
 * pass all the same, or the row that has such a key could not even be stepped over. */
void source_bound_values(struct source *s, bool bounded);
/* From now on values of that length are read by this connection; never fewer than before. */
void source_allow_values(struct source *s, int length);
int source_step_unbounded(sqlite3_stmt *stmt);

/* Rollback mode: is another connection within a write transaction? Takes no lock to find out. */
bool source_being_written(const struct source *s);
/* The file header's change counter (sqlite.org/fileformat2.html, 1.3.8), which every commit in
 * rollback mode moves. Read without a lock, so it only hints that there is something to look for.
 * False when it cannot be read. */
bool source_change_counter(const struct source *s, uint32_t *counter);

/* Size of the -wal file in bytes, 0 when there is none. */
int64_t source_wal_bytes(const struct source *s);

#endif
