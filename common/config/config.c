#include "config/config.h"

#include <string.h>

#include "config/lists.h"

const struct table_config *config_table(const struct config *c, const char *table)
{
    for (size_t i = 0; i < c->table_section_count; i++)
        if (same_name(c->table_sections[i].name, table))
            return &c->table_sections[i];
    return NULL;
}

static bool any_matches(const struct strlist *globs, const char *name)
{
    for (size_t i = 0; i < globs->count; i++)
        if (glob_match(globs->items[i], name))
            return true;
    return false;
}

bool config_covers_table(const struct config *c, const char *table)
{
    const struct table_config *section = config_table(c, table);

    if (section && !section->enabled)
        return false;
    return any_matches(&c->tables, table) && !any_matches(&c->exclude_tables, table);
}

/* Each side by itself, so that a star does not reach over the dot. A name may hold dots too: any of
 * the glob's may be the one between table and column. */
static bool column_glob_matches(const char *glob, const char *table, const char *column)
{
    for (const char *dot = strchr(glob, '.'); dot; dot = strchr(dot + 1, '.'))
        if (glob_match_n(glob, (size_t)(dot - glob), table) && glob_match(dot + 1, column))
            return true;
    return false;
}

bool config_excludes_column(const struct config *c, const char *table, const char *column)
{
    const struct table_config *section = config_table(c, table);

    if (section && any_matches(&section->exclude, column))
        return true;
    for (size_t i = 0; i < c->exclude_columns.count; i++)
        if (column_glob_matches(c->exclude_columns.items[i], table, column))
            return true;
    return false;
}
