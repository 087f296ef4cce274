/* A record as one line of what it is exported to. */
#ifndef SYNCD_EXPORT_LINE_H
#define SYNCD_EXPORT_LINE_H

#include "export/column.h"

enum line_format {
    LINE_COPY, /* PostgreSQL's COPY, text format (its documentation, COPY, "Text Format") */
    LINE_JSON, /* JSON Lines: an object with a member for each column */
    LINE_CSV,  /* RFC 4180 with \n; NULL is empty, an empty text is "" */
};

/* What export_convert() made of a column's value. */
struct line_value {
    bool null;
    const char *text;
    size_t n;
};

/* Append the line with its end. */
void line_append(enum line_format format, const struct export_column *columns, size_t count,
                 const struct line_value *values, struct buf *out);
/* What stands first in the file: the names, of CSV. */
void line_append_head(enum line_format format, const struct export_column *columns, size_t count,
                      struct buf *out);
void line_append_csv(struct buf *out, const char *text, size_t n);

/* Take the next field of a line of COPY apart: its bytes into `out`, *s behind it and its tab.
 * False: there is none, or it is not what COPY writes. */
bool line_copy_field(const char **s, const char *end, struct buf *out, bool *is_null);

#endif
