#include "mirror/plans.h"

#include <string.h>

#include "base/buf.h"
#include "config/lists.h"
#include "mapping/naming.h"
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

/* The DynamoDB table that a section's table becomes items of. */
static void target_of(const struct config *c, const struct table_config *section, const char *table,
                      struct buf *out)
{
    if (section && *section->target)
        buf_puts(out, section->target);
    else
        naming_expand(out, c->table_name, table);
}

void plans_target(const struct config *c, const char *table, struct buf *out)
{
    target_of(c, config_table(c, table), table, out);
}

static bool same_target(const struct naming *n, const struct table_config *other)
{
    _cleanup_buf_ struct buf ours = {0}, theirs = {0};

    target_of(n->config, n->section, n->table, &ours);
    target_of(n->config, other, other->name, &theirs);
    return buf_ok(&ours) && buf_ok(&theirs) && ours.len == theirs.len &&
           memcmp(ours.data, theirs.data, ours.len) == 0;
}

/* Those of the table's own section, then those of others that share its target. */
static bool nth_index(void *arg, size_t i, struct plan_index_option *out)
{
    const struct naming *n = arg;
    const struct config *c = n->config;
    const struct pairlist *from = n->section ? &n->section->index : NULL;
    bool shared = false;

    for (size_t k = 0; !from || i >= from->count; k++) {
        i -= from ? from->count : 0;
        if (k == c->table_section_count)
            return false;
        const struct table_config *t = &c->table_sections[k];
        shared = true;
        from =
            t != n->section && t->index.count && t->enabled && same_target(n, t) ? &t->index : NULL;
    }
    *out = (struct plan_index_option){from->items[i].key, from->items[i].value, shared};
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
                             .added = added,
                             .index = nth_index};

    int orphans = section && section->orphans ? section->orphans - 1 : c->orphans;
    o.guarded = orphans != ORPHANS_REPORT;
    o.skips = orphans == ORPHANS_SKIP;
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
