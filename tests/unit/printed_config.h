/* What config_print() says, as a configuration file again. */
#ifndef SYNCD_TESTS_PRINTED_CONFIG_H
#define SYNCD_TESTS_PRINTED_CONFIG_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "config/config.h"

/* Length of "section", `table "name"` or `export "name"` at the start of a line. */
static inline size_t printed_section(const char *line)
{
    const char *p = line;

    if (strncmp(line, "table \"", 7) != 0 && strncmp(line, "export \"", 8) != 0)
        return strcspn(line, ".");
    for (p = strchr(p, '"') + 1; *p != '"'; p++)
        if (*p == '\\')
            p++;
    return (size_t)(p + 1 - line);
}

/* Append one [section] and one assignment for each printed line. */
static inline void printed_as_ini(const struct config *c, struct buf *out)
{
    char *text = NULL, *rest, *line;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);

    if (!f)
        abort();
    config_print(c, f);
    fclose(f);
    rest = text;
    while ((line = strsep(&rest, "\n")))
        if (*line) {
            size_t n = printed_section(line);
            buf_printf(out, "[%.*s]\n%s\n", (int)n, line, line + n + 1);
        }
    free(text);
}

#endif
