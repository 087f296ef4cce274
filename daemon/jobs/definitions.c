#include "jobs/definitions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"

const struct key_schema definition_meta_key = {
    .parts = {{.name = (char *)"id", .type = ATTR_S}, {.name = (char *)"kind", .type = ATTR_S}},
    .count = 2};

int definition_begin(const struct config *c, const char *target, const struct key_schema *key,
                     struct table_definition **out, struct err *err)
{
    struct table_definition *d = table_definition_new(target, key);
    int rc = d ? 0 : err_set(err, -ENOMEM, "out of memory");

    for (size_t i = 0; rc == 0 && i < c->tag.count; i++)
        rc = table_definition_add_tag(d, c->tag.items[i].key, c->tag.items[i].value, err);
    if (rc < 0) {
        table_definition_free(d);
        return rc;
    }
    d->capacity = (struct table_capacity){.provisioned = c->billing_mode == BILLING_PROVISIONED,
                                          .read_units = c->read_capacity,
                                          .write_units = c->write_capacity};
    d->deletion_protection = c->deletion_protection;
    d->point_in_time_recovery = c->point_in_time_recovery;
    *out = d;
    return 0;
}

int definition_add(struct table_definition *d, const struct table_plan *p, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < p->index_count; i++)
        rc = table_definition_add_index(d, &p->indexes[i], err);
    if (rc == 0 && p->ttl_attribute)
        rc = table_definition_set_ttl(d, p->ttl_attribute, err);
    return rc;
}

void definitions_free(struct definition_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        table_definition_free(l->items[i]);
    free(l->items);
    *l = (struct definition_list){0};
}

static struct table_definition *found(const struct definition_list *l, const char *target)
{
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->items[i]->table, target) == 0)
            return l->items[i];
    return NULL;
}

static int add_plan(const struct config *c, const struct table_plan *p, struct definition_list *l,
                    struct err *err)
{
    struct table_definition *d = found(l, p->target);

    if (!d) {
        int rc = definition_begin(c, p->target, &p->schema, &d, err);
        if (rc < 0)
            return rc;
        l->items[l->count++] = d;
    }
    int rc = definition_add(d, p, err);
    return rc < 0 ? err_prefix(err, rc, "table \"%s\"", p->table) : 0;
}

/* Does one of the tables that were named go into this one? */
static bool wanted(const struct plan_list *l, char *const *only, size_t n, const char *target)
{
    for (size_t i = 0; i < l->count; i++)
        for (size_t k = 0; l->plans[i] && k < n; k++)
            if (strcasecmp(l->plans[i]->table, only[k]) == 0 &&
                strcmp(l->plans[i]->target, target) == 0)
                return true;
    return n == 0;
}

static int check_names(const struct plan_list *l, char *const *only, size_t n, struct err *err)
{
    for (size_t k = 0; k < n; k++) {
        const char *why = "there is no such table";
        bool there = false;
        for (size_t i = 0; i < l->count; i++) {
            if (strcasecmp(l->catalog->tables[i].name, only[k]) != 0)
                continue;
            there = l->plans[i] != NULL;
            why = l->refusals[i] ? l->refusals[i] : "it is left out by the configuration";
        }
        if (!there)
            return err_set(err, -EINVAL, "table \"%s\" is not mirrored: %s; see `syncctl check`",
                           only[k], why);
    }
    return 0;
}

int definitions_make(const struct config *c, const struct plan_list *l, char *const *only,
                     size_t only_count, struct definition_list *out, struct err *err)
{
    struct definition_list made = {0};
    int rc = check_names(l, only, only_count, err);

    if (rc < 0)
        return rc;
    if (!(made.items = calloc(l->count ? l->count : 1, sizeof *made.items)))
        return err_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; rc == 0 && i < l->count; i++)
        if (l->plans[i] && wanted(l, only, only_count, l->plans[i]->target))
            rc = add_plan(c, l->plans[i], &made, err);
    if (rc < 0)
        definitions_free(&made);
    else
        *out = made;
    return rc;
}

int definitions_add_meta(const struct config *c, struct definition_list *l, struct err *err)
{
    if (found(l, c->meta_table))
        return 0;
    struct table_definition **grown = reallocarray(l->items, l->count + 1, sizeof *grown);
    if (!grown)
        return err_set(err, -ENOMEM, "out of memory");
    l->items = grown;
    int rc = definition_begin(c, c->meta_table, &definition_meta_key, &grown[l->count], err);
    l->count += rc == 0;
    return rc;
}
