/* Between datum.c and the two ways in which values carry a type. */
#ifndef SYNCD_DAEMON_IMPORT_DATUM_INTERNAL_H
#define SYNCD_DAEMON_IMPORT_DATUM_INTERNAL_H

#include "base/json_text.h"
#include "import/datum.h"
#include "import/record.h"

struct datum_reader {
    struct json_text in;
    enum dialect dialect;
    struct buf *store;
    struct err *err;
};

/* The value at the cursor: as a datum, or appended to `out` as JSON text. 0 or negative. */
int datum_value(struct datum_reader *r, struct datum *out);
int datum_json(struct datum_reader *r, unsigned depth, struct buf *out);

/* Extended JSON: 1 when the value at the cursor is one of its wrappers, which is then behind it; 0
 * when it is not, and nothing was moved; negative when it is one that is wrong. */
int extended_read(struct datum_reader *r, struct datum *out);

/* DynamoDB's types. */
int typed_read(struct datum_reader *r, struct datum *out);
int typed_json(struct datum_reader *r, unsigned depth, struct buf *out);

#endif
