#include "mirror/plans.h"

#include <strings.h>

#include "source/canary.h"

bool plans_covers(const struct config *c, const struct table_info *t)
{
    if (canary_is_table(t->name))
        return c->canary > 0;
    if (t->kind == TABLE_SHADOW || catalog_is_transient_name(t->name))
        return false;
    return config_covers_table(c, t->name);
}

struct naming {
    const struct config *config;
    const struct table_config *section;
    const char *table;
};

static bool excludes(void *arg, const char *column)
{
    const struct naming *n = arg;

    return config_excludes_column(n->config, n->table, column);
}

static const char *renamed(void *arg, const char *column)
{
    const struct naming *n = arg;

    for (size_t i = 0; n->section && i < n->section->rename.count; i++)
        if (strcasecmp(n->section->rename.items[i].key, column) == 0)
            return n->section->rename.items[i].value;
    return NULL;
}

int plans_make(const struct config *c, const struct table_info *t, struct table_plan **out,
               struct err *err)
{
    if (canary_is_table(t->name))
        return plan_make(t, &(struct plan_options){.target = c->meta_table}, out, err);
    const struct table_config *section = config_table(c, t->name);
    struct naming naming = {.config = c, .section = section, .table = t->name};
    struct plan_options o = {
        .table_name = c->table_name, .arg = &naming, .excludes = excludes, .renamed = renamed};

    if (section) {
        o.target = section->target;
        o.partition_key = section->partition_key;
        o.sort_key = section->sort_key;
        o.partition_key_name = section->partition_key_name;
        o.sort_key_name = section->sort_key_name;
        o.write_null = section->null_policy == NULL_WRITE;
        o.compress = section->oversize != OVERSIZE_DEAD_LETTER;
        o.split = section->oversize == OVERSIZE_SPLIT;
    }
    return plan_make(t, &o, out, err);
}
