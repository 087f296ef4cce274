/* Keeps the schema and the mapping in DynamoDB (meta_table), beside the items, so that a database
 * can be made of them again with nothing else at hand: source/schema_dump.h says what is kept,
 * dynamodb/schema_items.h how it lies there.
 *
 * Whenever the database is attached with another schema than before, its dump is compared with the
 * head that is there, and written when it is another. Calls go one after another, each repeated
 * until it is answered; nothing waits for them. A write without an answer may be carried out late,
 * over a newer one: the head is looked at once more after unconfirmed_horizon. */
#ifndef SYNCD_DAEMON_SCHEMA_KEEPER_H
#define SYNCD_DAEMON_SCHEMA_KEEPER_H

#include "aws/ddb.h"
#include "base/clock.h"
#include "base/rng.h"
#include "dynamodb/schema_items.h"
#include "jobs/table_check.h"
#include "source/schema_dump.h"

struct daemon;

enum keeper_step {
    KEEPER_IDLE,    /* what was seen last is kept */
    KEEPER_HEAD,    /* which version is there? */
    KEEPER_WRITING, /* and what did an interrupted writer leave? */
    KEEPER_WRITE,   /* bodies, one after another */
};

struct schema_keeper {
    enum keeper_step step;
    struct ddb_call *asking;
    struct table_check *making; /* of meta_table */
    char table[256];            /* its name, for a reload takes the configuration's away */
    struct rng rng;
    bool seen, unsure, again;
    int64_t schema; /* of the dump that was taken last, where `seen` */
    usec taken;     /* when that was, monotonic */
    struct buf text;
    char version[SCHEMA_DUMP_VERSION_SIZE];
    char kept[SCHEMA_DUMP_VERSION_SIZE]; /* what is known to be there; "": nothing */
    usec kept_at;                        /* Unix time; 0: never since the start */
    struct schema_named head, writing;
    struct buf *bodies;
    size_t body_count, at;
    usec next;   /* not before */
    usec since;  /* it is wanted, and not kept, since then (monotonic) */
    usec verify; /* look at the head once more then; 0: no need */
    unsigned failures;
    bool refused;  /* why[] will not pass by itself */
    char why[480]; /* "": nothing is in the way */
};

void schema_keeper_turn(struct daemon *d, usec now);
/* When that has something to do, or USEC_NEVER. */
usec schema_keeper_due(const struct daemon *d);
/* Why the schema is not kept, for people; NULL: it is, or will be in a moment. */
const char *schema_keeper_problem(const struct daemon *d, usec now);
void schema_keeper_stop(struct daemon *d);

#endif
