/* Are both sides equal? Every item of the DynamoDB tables is read (consistently, in parallel) and
 * compared, attribute by attribute, with what its row maps to now; then every row is looked for
 * among the items that were met. The application may write and the daemon send meanwhile:
 *
 * - DynamoDB is read first, the row afterwards;
 * - what differs is looked at again, once the daemon says that what was committed is settled: by a
 *   consistent BatchGetItem between two looks at the journal. A key of a change that was in it, or
 *   came to be in it, is judged in another round;
 * - what still differs is a difference unless the daemon says that a write of the key is on its
 *   way, that an older one may yet be carried out, or that the table is being loaded, compared,
 *   parked or held.
 *
 * Memory is bounded whatever the number of rows: what must be remembered is in a temporary file
 * (verify_work.h), some 20 bytes an item. */
#ifndef SYNCD_DAEMON_JOBS_VERIFY_H
#define SYNCD_DAEMON_JOBS_VERIFY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "config/config.h"

enum difference_kind {
    DIFFERENCE_MISSING, /* a row without its item */
    DIFFERENCE_EXTRA,   /* an item of ours without a row */
    DIFFERENCE_OTHER,   /* attributes differ */
};

enum { DIFFERENCE_NAMES = 4 };

struct difference {
    enum difference_kind kind;
    const char *table, *target;
    const char *key;          /* for people: "id=7"; of an extra item its key as JSON */
    const json_t *item;       /* as it is; NULL: missing */
    const json_t *should;     /* as it should be; NULL: extra */
    const char *const *names; /* the first attributes that differ */
    size_t name_count, differ;
};

/* One table's figures. */
struct verify_table {
    const char *name, *target;
    bool wanted;         /* by the operands; others share its DynamoDB table */
    int64_t rows, items; /* looked at */
    int64_t missing, extra, other;
    int64_t dead_letters; /* rows that no item can be made of, or that DynamoDB refused */
    int64_t expired;      /* items and rows past their time to live, or missing for it */
    int64_t unsettled;    /* keys that differed, but could not be judged: changes on their way */
    int64_t foreign;      /* items that are none of ours; told once for a DynamoDB table */
    double read_units;
};

/* What the daemon knows of an item; see /v1/items. */
struct verify_known {
    bool pending, unconfirmed, known, live;
    bool ours; /* mapping/ours.h */
};

/* What the job asks of the daemon, and tells the command. All with `arg`. */
struct verify_edge {
    void *arg;
    bool daemon; /* there is one: else the functions of the first group are not called */
    /* Wait (up to a minute) until what is committed is settled; 0, -EAGAIN with the reason why
     * not, other negative: the daemon is gone. */
    int (*settle)(void *arg, struct err *why);
    /* What the daemon knows of an item: 0, or negative with a sentence. */
    int (*look)(void *arg, const char *table, const void *key, size_t n, struct verify_known *out,
                struct err *err);
    /* Is the row (key as people read it) a dead letter? */
    bool (*dead)(void *arg, const char *table, const char *key);
    /* Hand keys over; see /v1/repair. `rows` are packed (verify_work.h); *taken is added to. */
    int (*repair)(void *arg, const char *table, bool extra, const struct buf *keys, int64_t *taken,
                  struct err *err);

    /* What is found, as it is found. */
    void (*difference)(void *arg, const struct difference *d);
    /* How far it is: what is counted since the phase began, of how many, and read units so far. */
    void (*progress)(void *arg, const char *phase, int64_t done, int64_t total, double units);
};

struct verify_options {
    const char *const *tables; /* names in SQLite; none: all */
    size_t table_count;
    double rate;    /* read units a second at most; 0: no cap */
    int64_t sample; /* so many rows and items of each table; 0: all */
    bool repair, delete_extra;
};

struct verify_result {
    struct verify_table *tables;
    size_t count;
    int64_t handed_over, left; /* keys given to the daemon to be mended; extras it did not take */
    char unsettled[400];       /* why some could not be judged; "" */
};

/* 0: it was done, whatever was found. -EINVAL: configuration or operands; other negative: database
 * or DynamoDB cannot be reached; with a sentence. Blocks. verify_result_free() in any case. */
int job_verify(const struct config *c, const struct verify_options *o, const struct verify_edge *e,
               struct verify_result *out, struct err *err);
void verify_result_free(struct verify_result *r);

static inline bool verify_equal(const struct verify_table *t)
{
    return !t->missing && !t->extra && !t->other && !t->unsettled;
}

#endif
