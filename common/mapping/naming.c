#include "mapping/naming.h"

#include <ctype.h>

static bool is_separator(char c)
{
    return c == '_' || c == '-' || c == ' ' || c == '.';
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static void append_camel(struct buf *out, const char *table)
{
    bool start = true;

    for (const char *p = table; *p; p++) {
        if (is_separator(*p)) {
            start = true;
            continue;
        }
        buf_putc(out, start && *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p);
        start = false;
    }
}

static void append_kebab(struct buf *out, const char *table)
{
    for (const char *p = table; *p; p++) {
        bool word = is_upper(*p) && p > table && !is_upper(p[-1]) && !is_separator(p[-1]);
        if (word)
            buf_putc(out, '-');
        if (is_separator(*p))
            buf_putc(out, '-');
        else
            buf_putc(out, is_upper(*p) ? (char)(*p + 32) : *p);
    }
}

void naming_expand(struct buf *out, const char *pattern, const char *table)
{
    static const char plain[] = "{table}", camel[] = "{Table}", kebab[] = "{table-kebab}";

    while (*pattern) {
        if (strncmp(pattern, plain, sizeof plain - 1) == 0) {
            buf_puts(out, table);
            pattern += sizeof plain - 1;
        } else if (strncmp(pattern, camel, sizeof camel - 1) == 0) {
            append_camel(out, table);
            pattern += sizeof camel - 1;
        } else if (strncmp(pattern, kebab, sizeof kebab - 1) == 0) {
            append_kebab(out, table);
            pattern += sizeof kebab - 1;
        } else {
            buf_putc(out, *pattern++);
        }
    }
}

bool naming_valid(const char *name)
{
    size_t n = strlen(name);

    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '_' && *p != '.' && *p != '-')
            return false;
    return n >= 3 && n <= 255;
}
