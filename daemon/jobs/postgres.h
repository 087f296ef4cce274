/* A connection to PostgreSQL, by libpq. Nothing waits without bound: neither for the connection
 * (connect_timeout, POSTGRES_CONNECT seconds for each host where nobody says) nor for an answer. A
 * password is in no sentence.
 *
 * Where the program was built without libpq, postgres_absent.c stands in: every call fails. */
#ifndef SYNCD_DAEMON_JOBS_POSTGRES_H
#define SYNCD_DAEMON_JOBS_POSTGRES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"

enum { POSTGRES_CONNECT = 10 };

struct postgres;

/* Can this program do it, and is it a connection URI? 0 or -EINVAL with a sentence. */
int postgres_check(const char *uri, struct err *err);

/* `uri` is postgresql://…, with the service file, PGPASSFILE and libpq's environment taken into
 * account. 0, -ECONNREFUSED or -EINVAL with a sentence. The session prints values in one way:
 * UTF-8, UTC, ISO dates. `read_only`: the server refuses to change anything. `silence`: a server
 * that says nothing for so long is gone. */
int postgres_open(const char *uri, bool read_only, usec silence, struct postgres **out,
                  struct err *err);
void postgres_close(struct postgres *p);
/* db1:5432/app: for people. */
const char *postgres_about(const struct postgres *p);

/* What a statement came to. Codes are PostgreSQL's (its documentation, Appendix A).
 *   0
 *   -EINVAL        refused for what a record is (classes 22, 23, 44, 54, P0): others may do
 *   -EAGAIN        a deadlock or serialization failure: the same once more may do
 *   -EPERM         refused for what the table, the rights or the statement are
 *   -ECONNREFUSED  the connection is gone, the server shuts down, is full, or says nothing
 * After all but the last the connection can be used; a transaction that was begun is to be rolled
 * back. */
int postgres_run(struct postgres *p, const char *sql, int64_t *rows, struct err *err);
/* The code of what was refused last, five characters: "42P01". */
const char *postgres_state(const struct postgres *p);
/* The first column of the first row: text is "" where there is none. */
int postgres_ask(struct postgres *p, const char *sql, char *text, size_t size, struct err *err);

/* COPY … FROM STDIN with these lines. */
int postgres_copy_in(struct postgres *p, const char *sql, const char *lines, size_t n,
                     struct err *err);
/* COPY … TO STDOUT, a line at a time without its end. A negative errno of the callback ends it. */
typedef int postgres_line_fn(void *arg, const char *line, size_t n, struct err *err);
int postgres_copy_out(struct postgres *p, const char *sql, postgres_line_fn *fn, void *arg,
                      struct err *err);

#endif
