#include "mapping/table.h"

#include <string.h>
#include <strings.h>

static bool contains(const char *type, const char *word)
{
    return strcasestr(type, word) != NULL;
}

/* The order of the tests is SQLite's own and matters: "FLOATING POINT" is INTEGER by it. */
enum affinity affinity_of(const char *type, bool strict)
{
    if (strict && strcasecmp(type, "ANY") == 0)
        return AFFINITY_NONE;
    if (contains(type, "INT"))
        return AFFINITY_INTEGER;
    if (contains(type, "CHAR") || contains(type, "CLOB") || contains(type, "TEXT"))
        return AFFINITY_TEXT;
    if (type[0] == '\0')
        return AFFINITY_NONE;
    if (contains(type, "BLOB"))
        return AFFINITY_BLOB;
    if (contains(type, "REAL") || contains(type, "FLOA") || contains(type, "DOUB"))
        return AFFINITY_REAL;
    return AFFINITY_NUMERIC;
}

long table_column(const struct table_info *t, const char *name)
{
    for (size_t i = 0; i < t->column_count; i++)
        if (strcasecmp(t->columns[i].name, name) == 0)
            return (long)i;
    return -1;
}
