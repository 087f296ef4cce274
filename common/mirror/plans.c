#include "mirror/plans.h"

#include "config/lists.h"
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

static const char *of_column(const struct pairlist *l, const char *column)
{
    return pairlist_get(l, column, same_name);
}

static const char *renamed(void *arg, const char *column)
{
    const struct naming *n = arg;

    return n->section ? of_column(&n->section->rename, column) : NULL;
}

static const char *converted(void *arg, const char *column)
{
    const struct naming *n = arg;

    return n->section ? of_column(&n->section->convert, column) : NULL;
}

static const char *defaulted(void *arg, const char *column)
{
    const struct naming *n = arg;

    return n->section ? of_column(&n->section->defaults, column) : NULL;
}

static bool added(void *arg, size_t i, const char **attribute, const char **text)
{
    const struct naming *n = arg;

    if (!n->section || i >= n->section->add.count)
        return false;
    *attribute = n->section->add.items[i].key;
    *text = n->section->add.items[i].value;
    return true;
}

int plans_make(const struct config *c, const struct table_info *t, struct table_plan **out,
               struct err *err)
{
    if (canary_is_table(t->name))
        return plan_make(t, &(struct plan_options){.target = c->meta_table}, out, err);
    const struct table_config *section = config_table(c, t->name);
    struct naming naming = {.config = c, .section = section, .table = t->name};
    struct plan_options o = {.table_name = c->table_name,
                             .source_id = c->source_id,
                             .arg = &naming,
                             .excludes = excludes,
                             .renamed = renamed,
                             .converted = converted,
                             .defaulted = defaulted,
                             .added = added};

    if (section) {
        o.target = section->target;
        o.partition_key = section->partition_key;
        o.sort_key = section->sort_key;
        o.partition_key_name = section->partition_key_name;
        o.sort_key_name = section->sort_key_name;
        o.write_null = section->null_policy == NULL_WRITE;
        o.compress = section->oversize != OVERSIZE_DEAD_LETTER;
        o.split = section->oversize == OVERSIZE_SPLIT;
        o.keep_key = section->keep_key;
        o.ttl_column = section->ttl_column;
    }
    return plan_make(t, &o, out, err);
}
