/* The value of a field as a column gets it.
 *
 * Without a conversion: numbers are INTEGER or REAL where nothing is lost by that, and text in TEXT
 * columns; what a number column would round is refused. Booleans are 1 and 0, in TEXT columns true
 * and false; times ISO 8601, UTC, milliseconds; documents and arrays JSON text; bytes BLOBs; a UUID
 * its text, in BLOB columns its bytes. Everything else is for SQLite to take or to refuse.
 * With one (mapping/convert.h has the same names): what it makes of that value. */
#ifndef SYNCD_DAEMON_IMPORT_VALUE_H
#define SYNCD_DAEMON_IMPORT_VALUE_H

#include <stdbool.h>

#include "import/datum.h"
#include "mapping/convert.h"
#include "mapping/value.h"

struct import_conversion {
    struct conversion c;
    bool base64; /* text is base64 of a BLOB; `c` is none then */
};

/* As --convert has it: a conversion's name, or base64. 0; -EINVAL with a sentence; -ENOMEM. */
int import_conversion_parse(const char *text, struct import_conversion *out, struct err *err);
void import_conversion_clear(struct import_conversion *c);

/* `scratch` is cleared; text and bytes of *out are in it, in `store` (the datum's) or the
 * program's. 0; -EINVAL with a clause ("the number has more digits than REAL keeps"); -ENOMEM. */
int import_value(const struct datum *d, const struct buf *store, enum affinity affinity,
                 const struct import_conversion *convert, struct value *out, struct buf *scratch,
                 struct err *err);

/* The text that stands for a value in a UUID's name: strings and numbers as they are, everything
 * else as JSON. -EINVAL for NULL. */
int import_value_name(const struct datum *d, const struct buf *store, struct buf *out);

#endif
