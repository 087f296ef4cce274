/* A SQLite value as it was read: storage class and bytes, nothing converted.
 *
 * Text and blob bytes are borrowed from whoever made the value (a statement's row, a decoded key).
 * value_encode() gives row keys an exact, self-delimiting form: for dead letters, loader cursors
 * and the row keys that the engine carries; 1, '1', 1.0 and x'31' stay four different keys. */
#ifndef SYNCD_MAPPING_VALUE_H
#define SYNCD_MAPPING_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "mapping/table.h"

enum value_kind { VALUE_NULL, VALUE_INTEGER, VALUE_REAL, VALUE_TEXT, VALUE_BLOB };

/* Types of attributes that keys may have. */
enum attr_type { ATTR_N = 'N', ATTR_S = 'S', ATTR_B = 'B' };

struct value {
    enum value_kind kind;
    union {
        int64_t integer;
        double real;
        struct {
            const char *bytes;
            size_t len;
        };
    };
};

const char *value_kind_name(enum value_kind kind);

void value_encode(struct buf *out, const struct value *v);
/* Read one value at *at and move *at past it; text and blobs point into `bytes`. 0 or -EINVAL. */
int value_decode(const void *bytes, size_t n, size_t *at, struct value *out);
/* All of `bytes` as exactly `count` values. 0 or -EINVAL. */
int values_decode(const void *bytes, size_t n, struct value *out, size_t count);

/* A number's canonical text ("15e-1", see mapping/number.h) as SQLite has it in a column of that
 * affinity: a REAL column holds doubles only, the others an integer whenever it is one. */
void value_from_number(const char *text, enum affinity affinity, struct value *out);

/* For people: 7, 1.5, 'text' (cut), x'0a0b' (cut), NULL. */
void value_describe(struct buf *out, const struct value *v);

#endif
