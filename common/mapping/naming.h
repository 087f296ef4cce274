/* Names of DynamoDB tables: patterns, and what is allowed (3 to 255 of a-z A-Z 0-9 _ . -). */
#ifndef SYNCD_MAPPING_NAMING_H
#define SYNCD_MAPPING_NAMING_H

#include <stdbool.h>

#include "base/buf.h"

/* Expand {table}, {Table} (user_books -> UserBooks) and {table-kebab} (user_books, UserBooks ->
 * user-books). Anything else in braces stays as it is, and is then refused by naming_valid(). */
void naming_expand(struct buf *out, const char *pattern, const char *table);
bool naming_valid(const char *name);

#endif
