/* Points in time as items hold them and PostgreSQL prints them, to the microsecond. What is read is
 * what mapping/convert_time.h reads, with a finer fraction. */
#ifndef SYNCD_EXPORT_MOMENT_H
#define SYNCD_EXPORT_MOMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "mapping/convert.h"

struct moment {
    int64_t seconds; /* since 1970, UTC */
    unsigned micros; /* behind that */
    bool finer;      /* there was more, which was cut */
    bool date_only;
};

/* ISO 8601 and SQLite's forms, a zone or none (UTC). 0 or -EINVAL. */
int moment_parse(const char *s, size_t n, struct moment *out);
/* Unix seconds or milliseconds as decimal text; TIME_DETECTED tells by the size. 0 or -EINVAL. */
int moment_of_number(enum time_form form, const char *s, size_t n, struct moment *out);

/* 2024-02-29 12:00:00.25+00 (with `zone`), 2024-02-29 12:00:00.25, or with `date` 2024-02-29. */
void moment_print(const struct moment *m, bool date, bool zone, struct buf *out);

#endif
