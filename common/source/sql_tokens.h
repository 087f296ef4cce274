/* Words and marks of SQL as SQLite itself takes them apart: to read the few things that its PRAGMAs
 * do not tell (an index's expressions and condition, a generated column's expression) out of the
 * text in sqlite_schema.
 *
 * Tokens point into the text, which must outlive them. Comments and space are left out. */
#ifndef SYNCD_SOURCE_SQL_TOKENS_H
#define SYNCD_SOURCE_SQL_TOKENS_H

#include <stdbool.h>
#include <stddef.h>

enum sql_kind {
    SQL_END,
    SQL_WORD,   /* name or keyword without quotes */
    SQL_QUOTED, /* "name", `name` or [name]; the first may turn out to be a string */
    SQL_STRING, /* 'text' */
    SQL_BLOB,   /* x'00' */
    SQL_NUMBER,
    SQL_MARK,   /* operator, parenthesis, comma, dot … */
    SQL_BROKEN, /* what no SQL holds: an open quote, a parameter, a stray character */
};

struct sql_token {
    enum sql_kind kind;
    const char *text;
    size_t len;
};

/* The next token at *at, which moves behind it; SQL_END at the end, and again after that. */
struct sql_token sql_next(const char **at);

/* All tokens but the end. 0; -EINVAL: one is broken; -ENOMEM. Free *out. */
int sql_tokens(const char *sql, struct sql_token **out, size_t *count);

/* Is it this keyword (given in capitals), or this mark? */
bool sql_is_word(const struct sql_token *t, const char *keyword);
bool sql_is_mark(const struct sql_token *t, const char *mark);
/* Is it a name as it stands in a table's or column's place (quoted in any way, or not), and this
 * one? ASCII letters of either case are the same. */
bool sql_is_name(const struct sql_token *t, const char *name);
/* What is inside the quotes; a word as it is. Caller frees; NULL: no memory. */
char *sql_unquoted(const struct sql_token *t);

#endif
