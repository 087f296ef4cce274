/* Expressions out of the schema's text, written anew so that they mean the same in a trigger.
 *
 * A trigger runs under the settings of whoever writes, while the schema is read with lenience of
 * its own: "active" may be a string in an index and an error in a trigger. So names and strings are
 * told apart here, by the table's columns; comments and the table's own name before a column go.
 * What cannot be understood for certain is refused, never guessed. */
#ifndef SYNCD_SOURCE_SQL_TEXT_H
#define SYNCD_SOURCE_SQL_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "mapping/table.h"
#include "source/sql_tokens.h"

/* Some tokens of a definition, borrowed from it. */
struct sql_span {
    const struct sql_token *tokens;
    size_t count;
};

/* One expression. Empty at first; freed with sql_expression_free(). */
struct sql_expression {
    struct buf text;  /* its tokens, parted by spaces */
    bool *columns;    /* by number: is the column named? */
    bool names_rowid; /* by rowid, oid or _rowid_ */
    bool compares;    /* affinity and collation of its columns count */
    struct sql_span span;
};

/* 0; -EINVAL: not understood; -ENOMEM. */
int sql_expression_make(const struct table_info *t, struct sql_span span,
                        struct sql_expression *out);
void sql_expression_free(struct sql_expression *e);

/* The next word of a span that is called as a function, from *at on; NULL: no more. */
const struct sql_token *sql_next_function(struct sql_span span, size_t *at);

/* Text of a DEFAULT as table_xinfo tells it, as an expression that means the same anywhere. */
int sql_default_make(const struct table_info *t, struct sql_span span, struct sql_expression *out);

/* The parts of CREATE UNIQUE INDEX: what stands between the commas, without ASC and DESC; and the
 * condition, of no tokens when there is none. 0; -EINVAL; -ENOMEM. Free *items. */
int sql_index_parts(struct sql_span sql, struct sql_span **items, size_t *count,
                    struct sql_span *where);

/* The expression of a generated column in CREATE TABLE; false: not found. */
bool sql_generated_part(struct sql_span sql, const char *column, struct sql_span *out);

#endif
