/* An INI reader over bytes in memory.
 *
 *     [section]            or [section "any name"]: \" and \\ escape inside the quotes
 *     key = value          key.SUBKEY = value, key."odd = subkey" = value
 *     # comment            # or ; as the first character of a line, blanks before it allowed
 *
 * A value runs to the end of the line; blanks around it go, unless it stands in quotes. ${NAME}
 * takes what the caller's lookup gives, $${ is a plain ${. CRLF and a byte order mark are
 * tolerated; NUL, other control characters and bytes that are not UTF-8 are refused. The only limit
 * is the size of the file, INI_MAX_BYTES.
 *
 * Values reach the caller as they were written, because only the caller knows whether a key takes
 * one value (ini_value) or a list (ini_list). */
#ifndef SYNCD_CONFIG_INI_H
#define SYNCD_CONFIG_INI_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

#define INI_MAX_BYTES ((size_t)1 << 20)

/* Strings live during the call only. */
struct ini_entry {
    const char *section;
    const char *argument; /* the name in quotes, NULL without one */
    const char *key;      /* NULL: this is the section's header itself */
    const char *subkey;   /* what follows the key's first dot, NULL without one */
    const char *raw;      /* the value as written, trimmed */
    unsigned line;        /* from 1 */
};

/* A negative errno with a sentence ends the reading; FILE:LINE is put before the sentence. */
typedef int ini_entry_fn(void *arg, const struct ini_entry *e, struct err *err);

/* Value of ${NAME}, living until the next call at least; or a negative errno with a sentence. */
typedef int ini_lookup_fn(void *arg, const char *name, const char **value, struct err *err);

/* Calls `fn` for each header and each assignment, in order. `file` is for messages only. 0, -EINVAL
 * or -EFBIG with a sentence, or what `fn` returned. */
int ini_parse(const char *file, const void *bytes, size_t n, ini_entry_fn *fn, void *arg,
              struct err *err);

/* Append the one value that `raw` stands for. Without a lookup, ${ is plain text. What a variable
 * holds is never read as syntax. */
int ini_value(const char *raw, ini_lookup_fn *lookup, void *arg, struct buf *out, struct err *err);

/* Each element of a comma-separated list; elements may be quoted, empty ones are passed over. The
 * commas of a variable's value divide, unless the reference stands in quotes. */
typedef int ini_element_fn(void *arg, const char *element, struct err *err);
int ini_list(const char *raw, ini_lookup_fn *lookup, void *arg, ini_element_fn *fn, void *fn_arg,
             struct err *err);

/* Append `text` so that ini_value(), or ini_list() as one element, reads the same back. */
void ini_append_value(struct buf *out, const char *text);
void ini_append_element(struct buf *out, const char *text);
/* Append `text` in quotes as a section's name; or as a subkey, quoted where needed. */
void ini_append_argument(struct buf *out, const char *text);
void ini_append_subkey(struct buf *out, const char *text);

#endif
