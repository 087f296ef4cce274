/* Points in time, as SQLite's applications write them (sqlite.org/lang_datefunc.html), in
 * milliseconds since 1970-01-01 UTC. From year 0000 to 9999.
 *
 * TIME_DETECTED: an integer is Unix seconds, or milliseconds from 1E11 on (so that seconds reach to
 * the year 5138, and milliseconds begin with March 1973); a real number from 0 to 5373484.5 is a
 * Julian day, any other as an integer; text must be one of SQLite's forms of a date, with or
 * without a time, with "T" or a blank between, a fraction and a zone (Z, +02:00). Text without a
 * zone is UTC. Where a form is given, numbers in text are read as well. Nearest millisecond; halves
 * away from 1970. */
#ifndef SYNCD_MAPPING_CONVERT_TIME_H
#define SYNCD_MAPPING_CONVERT_TIME_H

#include <stdint.h>

#include "mapping/convert.h"

/* 0, or -EINVAL with the fault. */
int time_read(enum time_form form, const struct value *v, int64_t *ms, struct item_fault *f);

/* 2024-02-29T12:00:00.000Z */
void time_print(struct buf *out, int64_t ms);

/* The other way: what time_read() of that form reads as `ms`, as a column of that affinity has it.
 * As convert_back(). `seconds`: from whole seconds, so that text needs no fraction. */
int time_back(enum time_form form, enum affinity affinity, int64_t ms, bool seconds,
              struct value *v, struct buf *store);

/* Text of SQLite's forms alone. 0 or -EINVAL. */
int time_parse(const char *s, size_t n, int64_t *ms);

#endif
