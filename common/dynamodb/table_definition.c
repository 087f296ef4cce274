#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "dynamodb/tables.h"

static int no_memory(struct err *err)
{
    return err_set(err, -ENOMEM, "out of memory");
}

static bool copy_schema(struct key_schema *to, const struct key_schema *from)
{
    *to = (struct key_schema){.count = from->count};
    for (size_t i = 0; i < from->count; i++) {
        to->parts[i].type = from->parts[i].type;
        if (!(to->parts[i].name = strdup(from->parts[i].name)))
            return false;
    }
    return true;
}

static void free_schema(struct key_schema *s)
{
    for (size_t i = 0; i < 2; i++)
        free(s->parts[i].name);
}

static void free_index(struct plan_index *x)
{
    for (size_t i = 0; i < x->include_count; i++)
        free(x->include[i]);
    free(x->include);
    free(x->name);
    free_schema(&x->keys);
}

struct table_definition *table_definition_new(const char *table, const struct key_schema *key)
{
    struct table_definition *d = calloc(1, sizeof *d);

    if (d && (d->table = strdup(table)) && copy_schema(&d->key, key))
        return d;
    table_definition_free(d);
    return NULL;
}

void table_definition_free(struct table_definition *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->index_count; i++)
        free_index(&d->indexes[i]);
    for (size_t i = 0; i < d->tag_count; i++) {
        free(d->tags[i].key);
        free(d->tags[i].value);
    }
    free(d->indexes);
    free(d->tags);
    free(d->ttl_attribute);
    free_schema(&d->key);
    free(d->table);
    free(d);
}

/* --- indexes ---------------------------------------------------------------------------------- */

static bool includes(const struct plan_index *x, const char *attribute)
{
    for (size_t i = 0; i < x->include_count; i++)
        if (strcmp(x->include[i], attribute) == 0)
            return true;
    return false;
}

static bool same_index(const struct plan_index *a, const struct plan_index *b)
{
    bool same = a->projection == b->projection && a->include_count == b->include_count &&
                key_schema_same(&a->keys, &b->keys);

    for (size_t i = 0; same && i < a->include_count; i++)
        same = includes(b, a->include[i]);
    return same;
}

static const struct key_attribute *in(const struct key_schema *s, const struct key_attribute *a)
{
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->parts[i].name, a->name) == 0)
            return &s->parts[i];
    return NULL;
}

/* An attribute has one type, whatever it is a key of. */
static int check_types(const struct table_definition *d, const struct plan_index *x,
                       struct err *err)
{
    for (size_t k = 0; k < x->keys.count; k++) {
        const struct key_attribute *a = &x->keys.parts[k], *other = in(&d->key, a);
        for (size_t i = 0; !other && i < d->index_count; i++)
            other = in(&d->indexes[i].keys, a);
        if (other && other->type != a->type)
            return err_set(err, -EINVAL,
                           "attribute %s of DynamoDB table %s would be a key of type %c and, in "
                           "index \"%s\", of type %c; give one of them another name",
                           a->name, d->table, (char)other->type, x->name, (char)a->type);
    }
    return 0;
}

static int check_limits(const struct table_definition *d, const struct plan_index *x,
                        struct err *err)
{
    size_t included = x->include_count;

    for (size_t i = 0; i < d->index_count; i++)
        included += d->indexes[i].include_count;
    if (d->index_count == TABLE_MAX_INDEXES)
        return err_set(err, -EINVAL, "DynamoDB table %s would have more than %d indexes", d->table,
                       TABLE_MAX_INDEXES);
    if (included > TABLE_MAX_INCLUDED)
        return err_set(err, -EINVAL,
                       "the indexes of DynamoDB table %s would INCLUDE %zu attributes in all; "
                       "DynamoDB takes %d: use ALL for some",
                       d->table, included, TABLE_MAX_INCLUDED);
    return 0;
}

static bool copy_index(struct plan_index *to, const struct plan_index *from)
{
    *to = (struct plan_index){.name = strdup(from->name), .projection = from->projection};
    if (!to->name || !copy_schema(&to->keys, &from->keys) ||
        !(to->include = calloc(from->include_count + 1, sizeof *to->include)))
        return false;
    for (; to->include_count < from->include_count; to->include_count++)
        if (!(to->include[to->include_count] = strdup(from->include[to->include_count])))
            return false;
    return true;
}

int table_definition_add_index(struct table_definition *d, const struct plan_index *x,
                               struct err *err)
{
    int rc;

    for (size_t i = 0; i < d->index_count; i++)
        if (strcmp(d->indexes[i].name, x->name) == 0)
            return same_index(&d->indexes[i], x)
                       ? 0
                       : err_set(err, -EINVAL,
                                 "index \"%s\" of DynamoDB table %s is defined twice, each time "
                                 "otherwise; give one of them another name",
                                 x->name, d->table);
    if ((rc = check_types(d, x, err)) < 0 || (rc = check_limits(d, x, err)) < 0)
        return rc;
    struct plan_index *grown = reallocarray(d->indexes, d->index_count + 1, sizeof *grown);
    if (!grown)
        return no_memory(err);
    d->indexes = grown;
    return copy_index(&grown[d->index_count++], x) ? 0 : no_memory(err);
}

/* --- TTL and tags ----------------------------------------------------------------------------- */

int table_definition_set_ttl(struct table_definition *d, const char *attribute, struct err *err)
{
    if (d->ttl_attribute && strcmp(d->ttl_attribute, attribute) != 0)
        return err_set(err, -EINVAL,
                       "DynamoDB table %s would expire its items by %s and by %s; it takes one "
                       "attribute: rename one of them",
                       d->table, d->ttl_attribute, attribute);
    if (!d->ttl_attribute && !(d->ttl_attribute = strdup(attribute)))
        return no_memory(err);
    return 0;
}

int table_definition_add_tag(struct table_definition *d, const char *key, const char *value,
                             struct err *err)
{
    if (d->tag_count == TABLE_MAX_TAGS)
        return err_set(err, -EINVAL, "a DynamoDB table takes %d tags; there are more",
                       TABLE_MAX_TAGS);
    struct table_tag *grown = reallocarray(d->tags, d->tag_count + 1, sizeof *grown);
    if (!grown)
        return no_memory(err);
    d->tags = grown;
    struct table_tag *t = &grown[d->tag_count++];
    t->key = strdup(key);
    t->value = strdup(value);
    return t->key && t->value ? 0 : no_memory(err);
}

int table_definition_copy(const struct table_definition *d, struct table_definition **out)
{
    struct table_definition *copy = table_definition_new(d->table, &d->key);
    int rc = copy ? 0 : -ENOMEM;

    for (size_t i = 0; rc == 0 && i < d->index_count; i++)
        rc = table_definition_add_index(copy, &d->indexes[i], NULL);
    for (size_t i = 0; rc == 0 && i < d->tag_count; i++)
        rc = table_definition_add_tag(copy, d->tags[i].key, d->tags[i].value, NULL);
    if (rc == 0 && d->ttl_attribute)
        rc = table_definition_set_ttl(copy, d->ttl_attribute, NULL);
    if (rc < 0) {
        table_definition_free(copy);
        return -ENOMEM;
    }
    copy->capacity = d->capacity;
    copy->deletion_protection = d->deletion_protection;
    copy->point_in_time_recovery = d->point_in_time_recovery;
    *out = copy;
    return 0;
}
