/* What a file of records is, told by its beginning. */
#ifndef SYNCD_DAEMON_IMPORT_DETECT_H
#define SYNCD_DAEMON_IMPORT_DETECT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "import/datum.h"
#include "import/split.h"

/* So much of a file is looked at. A record that is longer is taken for one of many that are keyed
 * by id, when the file begins with an object. */
enum { DETECT_BYTES = 1024 * 1024 };

struct format {
    enum split_form form;
    enum dialect dialect;
    bool item;   /* a record is {"Item": record} */
    bool empty;  /* nothing but space */
    bool marked; /* Extended JSON's marks were seen: only for people */
};

/* "array", "keyed", "lines" (plain JSON), "mongo" and "dynamodb"; an unknown name: -EINVAL. The
 * latter two, and NULL, are recognised by content as far as the name leaves it open. `whole`: the
 * bytes are all of the file. A byte order mark is no part of them. 0; -EINVAL with a clause that
 * says what the file is instead ("it is UTF-16: …"). */
int detect_format(const char *name, const char *bytes, size_t n, bool whole, struct format *out,
                  struct err *err);
/* NULL when it is none. */
const char *detect_known_name(const char *name);
/* For people: "JSON Lines", "MongoDB Extended JSON, lines". */
const char *detect_describe(const struct format *f);

/* Length of a UTF-8 byte order mark at the beginning: 3 or 0. */
size_t detect_mark(const char *bytes, size_t n);

#endif
