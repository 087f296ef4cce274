/* A parallel Scan of one table: pages of several segments at a time, handed over one by one.
 *
 * Memory: a page for each segment at most. A page is handled within the callback; or the callback
 * holds the scan with scanner_hold(), goes on with the page later, and lets the scan go on with
 * scanner_go_on(). No other page is handed over meanwhile, and each segment asks for no more than
 * one page ahead.
 *
 * DynamoDB Local ignores segments and answers each with the whole table: that is noticed from the
 * first pages, before any is handed over, and one segment does it all. So nothing comes twice but
 * what moves while the scan goes on; a scan is no snapshot. */
#ifndef SYNCD_DAEMON_JOBS_SCANNER_H
#define SYNCD_DAEMON_JOBS_SCANNER_H

#include <jansson.h>

#include "jobs/connect.h"

enum { SCANNER_MAX_SEGMENTS = 64, SCANNER_PAGE_ITEMS = 1000 };

/* Where a segment begins: all zero for its beginning. */
struct scanner_start {
    const json_t *key; /* a last_key that was handed over before; copied */
    bool done;         /* the segment was at its end */
};

struct scanner_options {
    const char *table; /* borrowed, as all here, until scanner_start() has returned */
    unsigned segments; /* 0: one; at most SCANNER_MAX_SEGMENTS */
    bool consistent;
    double read_units_per_second;       /* 0: no cap */
    const char *projection;             /* an expression, or NULL */
    const char *names;                  /* of the expression's placeholders, as JSON; or NULL */
    unsigned page_items;                /* 0: SCANNER_PAGE_ITEMS; DynamoDB ends a page at 1 MB */
    usec patience;                      /* of each call (jobs/call.h); 0: JOB_CALL_PATIENCE */
    const struct scanner_start *starts; /* one for each segment, of a scan with as many segments;
                                           NULL: all from their beginning */
};

struct scanner;

/* `items` is borrowed during the callback (json_incref() to keep). `last_key` NULL: the segment is
 * at its end; an empty page may come with a key. `consumed`: read units of this page. A callback
 * may cancel the scan. */
typedef void scanner_page_fn(void *arg, unsigned segment, json_t *items, const json_t *last_key,
                             double consumed);
/* Runs once, at the end of every segment (0, err is empty), or with what job_call_error() says. The
 * scanner is gone then. */
typedef void scanner_done_fn(void *arg, int rc, const struct err *err);

/* NULL: no memory. Callbacks run on the connection's loop, later. */
struct scanner *scanner_start(struct connection *x, const struct scanner_options *o,
                              scanner_page_fn *page, scanner_done_fn *done, void *arg);
void scanner_cancel(struct scanner *s);

void scanner_hold(struct scanner *s);
/* Pages may be handed over before this returns. */
void scanner_go_on(struct scanner *s);

/* Segments that are scanned: 1 where the service ignores them. Known from the first page on. */
unsigned scanner_segments(const struct scanner *s);

#endif
