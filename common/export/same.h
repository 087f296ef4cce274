/* Is what PostgreSQL gives back what the item holds? For `export --verify`: it looks at the item's
 * attribute and at the text that PostgreSQL prints, and shares nothing with what wrote it there
 * (convert.h), so that a fault there is seen. */
#ifndef SYNCD_EXPORT_SAME_H
#define SYNCD_EXPORT_SAME_H

#include <jansson.h>

#include "export/column.h"

/* `attribute` NULL: the item has none. `text` NULL: the column is NULL; else it ends with a NUL. */
bool export_same(const struct export_column *c, const json_t *attribute, const char *text,
                 size_t n);

/* A key's text as it is compared: numbers by value, all else as it is. */
void export_key_text(const struct export_column *c, const char *text, size_t n, struct buf *out);

#endif
