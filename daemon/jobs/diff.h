/* One row explained: as it is, the item that it should be, the item that is, and whether a change
 * of it is on its way. */
#ifndef SYNCD_DAEMON_JOBS_DIFF_H
#define SYNCD_DAEMON_JOBS_DIFF_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "config/config.h"

struct diff {
    char *table, *target; /* as they are written */
    char *key_text;       /* "id=7" */
    struct buf key;       /* canonical; empty: the row has none */
    json_t *row;          /* {"column": "value for people", …}; NULL: there is no row */
    json_t *should;       /* NULL: no row, or `fault` */
    char fault[320];      /* why the row can be no item; "" */
    json_t *is;           /* NULL: no item */
    bool journaled;       /* a change of it is in the journal */
};

/* `key` names each column of the row key: `id=7`, `a=1,b='x, y'`, `x'0aff'` for a blob; one column
 * alone may be left unnamed. 0, -EINVAL (table or key), other negative; with a sentence.
 * diff_free() in any case. */
int job_diff(const struct config *c, const char *table, const char *key, struct diff *out,
             struct err *err);
void diff_free(struct diff *d);

#endif
