/* Whose else may items of a target be? Of tables that are not mirrored just now: left out, or
 * dropped. */
#include <string.h>
#include <strings.h>

#include "mapping/ours.h"
#include "mirror/internal.h"
#include "mirror/owned.h"
#include "mirror/plans.h"

static bool mirrored(struct mirror *m, const char *name)
{
    const struct table_slot *t = mirror_table_named(m, name);

    return t && t->plan;
}

struct others {
    struct mirror *m;
    const struct table_slot *heir; /* of all that is known of no table, or NULL */
    const char *target;
    bool any;
};

/* Would its items be another's? */
static bool is_other(const struct others *o, const char *name)
{
    return !mirrored(o->m, name) && !(o->heir && strcasecmp(o->heir->name, name) == 0);
}

static void look_for_others(void *arg, const struct store_table *t)
{
    struct others *o = arg;

    o->any |= strcmp(t->target, o->target) == 0 && is_other(o, t->name);
}

/* A section may go with its table, while the items stay. */
static void look_for_kept(void *arg, const struct store_table *t)
{
    struct others *o = arg;

    o->any |= strcmp(t->target, o->target) == 0 && !mirrored(o->m, t->name) &&
              dropped_kept_items(o->m, t->id);
}

/* Where the state file was lost, the configuration alone knows of it: of those that were dropped,
 * by their sections. */
bool others_may_be_there(struct mirror *m, uint32_t i)
{
    const struct config *c = m->config;
    struct others o = {.m = m,
                       .heir = dropped_heir(m, i),
                       .target = m->targets[i]->name,
                       .any = m->targets[i]->beside};

    for (size_t k = 0; k < c->table_section_count && !o.any; k++) {
        _cleanup_buf_ struct buf target = {0};
        if (!is_other(&o, c->table_sections[k].name))
            continue;
        plans_target(c, c->table_sections[k].name, &target);
        o.any = !buf_ok(&target) || (target.len && strcmp(target.data, o.target) == 0);
    }
    return o.any || store_tables(m->store, look_for_others, &o) < 0 || o.any ||
           store_tables_gone(m->store, look_for_kept, &o) < 0 || o.any;
}

/* Only sections have templates, and other keys tell nothing. */
bool others_make_key(struct mirror *m, uint32_t i, const void *key, size_t n)
{
    const struct config *c = m->config;
    const struct target_slot *t = m->targets[i];
    bool any = false;

    for (size_t k = 0; k < c->table_section_count && !any; k++) {
        const struct table_config *s = &c->table_sections[k];
        _cleanup_buf_ struct buf target = {0};
        if (mirrored(m, s->name) ||
            !templates_claim(s->partition_key, s->sort_key, &t->schema, key, n))
            continue;
        plans_target(c, s->name, &target);
        any = !buf_ok(&target) || (target.len && strcmp(target.data, t->name) == 0);
    }
    return any;
}
