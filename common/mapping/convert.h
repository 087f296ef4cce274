/* Conversions: what `convert.COLUMN` makes of a value, and what brings it back.
 *
 *     bool                    0 and 1 (of text columns also true, false, yes, no, …)   BOOL
 *     timestamp[(FORM)]       a point in time: ISO 8601, UTC, milliseconds             S
 *     epoch[(FORM)]           a point in time: whole Unix seconds, as TTL wants them   N
 *     json                    text, as the value that it describes                     M L S N …
 *     string                  a number as its text                                     S
 *     number                  text, as the decimal number that it spells, exactly      N
 *     uuid5(NAMESPACE[:NAME]) the UUID that the value always has (RFC 4122, 4.3)       S
 *     binary                  text, as its bytes                                       B
 *
 * FORM is unix (seconds), ms (milliseconds), julian (days) or text (SQLite's forms); without it, it
 * is told by each value: see convert_time.h. Every conversion is total: a value that it does not
 * take leaves a fault that names the kind of the value and the reason. */
#ifndef SYNCD_MAPPING_CONVERT_H
#define SYNCD_MAPPING_CONVERT_H

#include <jansson.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "mapping/fault.h"
#include "mapping/value.h"

enum convert_kind {
    CONVERT_NONE,
    CONVERT_BOOL,
    CONVERT_TIMESTAMP,
    CONVERT_EPOCH,
    CONVERT_JSON,
    CONVERT_STRING,
    CONVERT_NUMBER,
    CONVERT_UUID5,
    CONVERT_BINARY,
};

enum time_form { TIME_DETECTED, TIME_UNIX, TIME_MS, TIME_JULIAN, TIME_TEXT };

enum { UUID_BYTES = 16, UUID_TEXT = 36 };

struct conversion {
    enum convert_kind kind;
    enum time_form form;       /* timestamp, epoch */
    uint8_t space[UUID_BYTES]; /* uuid5: its namespace */
    char *name;                /* uuid5: what stands before the value in the name; NULL: nothing */
    char *text;                /* as it was configured; NULL: none */
};

/* What the configuration says. 0; -EINVAL with a sentence; -ENOMEM. Free with conversion_clear().
 */
int conversion_parse(const char *text, struct conversion *out, struct err *err);
void conversion_clear(struct conversion *c);

/* The type that a column's attribute has as a key ('N', 'S', 'B'), or 0: a BOOL, JSON, or an
 * untyped column's own value are none. */
int conversion_type(const struct conversion *c, enum affinity affinity);

/* Do different values stay different, for sure? */
bool conversion_tells(const struct conversion *c, enum affinity affinity);

/* The value as a key or a template has it: text (S), decimal text (N) or bytes (B), appended to
 * `out`; of bool and json, which no key can hold, the value as SQLite has it. Not for NULL. 0,
 * -EINVAL with the fault (whose column is the caller's to set), -ENOMEM. */
int convert_scalar(const struct conversion *c, enum affinity affinity, const struct value *v,
                   struct buf *out, enum attr_type *type, struct item_fault *f);

/* The value as an attribute without its opening brace: `"S":"…"}`, appended to `out`; its size is
 * added to *size. Not for NULL. As above. */
int convert_attribute(const struct conversion *c, enum affinity affinity, const struct value *v,
                      struct buf *out, size_t *size, struct item_fault *f);

/* Text, decimal text or bytes as an attribute without its opening brace. */
void attribute_append(struct buf *out, enum attr_type type, const char *bytes, size_t n,
                      size_t *size);

/* The value back from the attribute `type`: `v`. Text that is made is appended to `store`, and *v
 * then has only its length (bytes NULL): it is the last that was appended. NULL where nothing can
 * be given back. 0, -EINVAL when it is none of this conversion's, -ENOMEM. */
int convert_back(const struct conversion *c, enum affinity affinity, const char *type,
                 const json_t *attribute, struct value *v, struct buf *store);

/* What convert_back() cannot give back: a clause, or NULL. `strict`: the table is, so that values
 * are of the column's type. */
const char *conversion_loss(const struct conversion *c, enum affinity affinity, bool strict);

#endif
