/* The marker: an item in meta_table that says whose a DynamoDB table is.
 *
 *     id "table#NAME" | kind "owner", or "owner#SOURCE" where machines share the table by source_id
 *     database  identity of the database, hexadecimal digits       host, hostname, path  where it
 * is generation  another with each life of the daemon: one that the state file does not know was
 *                 written by a copy of both files, or by a later state of them
 *     identity  DynamoDB's own name for the table: another made under the same name has no marker
 *     alone     nothing but items of this database was there when it was first written
 *     state     "active" or "handed_over"        since  when it came to have this owner
 *
 * Written with a condition on what was read before, so that of two who come at once one has it. */
#ifndef SYNCD_DYNAMODB_MARKER_H
#define SYNCD_DYNAMODB_MARKER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

#define MARKER_PREFIX "table#"

struct marker {
    char source[64]; /* "": the table is one database's */
    char database[40], host[40], generation[40], identity[80];
    char hostname[80], path[256], since[24]; /* for people; cut when longer */
    bool alone, handed_over;
};

enum { MARKER_MAX = 64 };

/* Query for every marker of the table, consistent. */
void marker_query_body(struct buf *out, const char *meta_table, const char *table);
/* The markers of a Query reply, MARKER_MAX at most. 0, or -EPROTO when it is no such reply. */
int marker_read(const char *body, size_t n, struct marker *out, size_t *count);
/* PutItem of `x`, if what is there still has the generation `before` ("": if nothing is there). */
void marker_put_body(struct buf *out, const char *meta_table, const char *table,
                     const struct marker *x, const char *before);

/* What is known here. */
struct marker_self {
    const char *source, *database, *host, *identity;
    bool knows_lives; /* the state file has written a marker of the table before */
    void *arg;
    bool (*knows)(void *arg, const char *generation);
};

enum marker_verdict {
    MARKER_NONE,
    MARKER_OURS,
    MARKER_AHEAD, /* ours, by a later life than is known here */
    MARKER_OTHER,
    MARKER_HANDED_OVER,
};

/* Of all markers of a table. `which`: the one that decides, or NULL. */
enum marker_verdict marker_judge(const struct marker *found, size_t count,
                                 const struct marker_self *self, const struct marker **which);
/* The one that stands where this database's would. NULL: none. */
const struct marker *marker_own(const struct marker *found, size_t count, const char *source);

#endif
