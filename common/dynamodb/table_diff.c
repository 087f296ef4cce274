#include "dynamodb/table_diff.h"

#include <string.h>

#include "base/cleanup.h"

struct comparison {
    const struct table_definition *d;
    const struct table_facts *f;
    table_difference_fn *fn;
    void *arg;
    size_t count;
};

__attribute__((format(printf, 3, 4))) static void
tell(struct comparison *c, struct table_difference x, const char *fmt, ...)
{
    char text[600];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    x.text = text;
    c->count += !x.note;
    c->fn(c->arg, &x);
}

static const char *member(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s ? s : "";
}

static const json_t *by_name(const json_t *list, const char *key, const char *name)
{
    const json_t *x;
    size_t i;

    json_array_foreach(list, i, x) if (strcmp(member(x, key), name) == 0) return x;
    return NULL;
}

/* --- indexes ---------------------------------------------------------------------------------- */

static bool same_projection(const struct plan_index *x, const json_t *theirs)
{
    const json_t *included = json_object_get(theirs, "NonKeyAttributes");
    bool same =
        strcmp(member(theirs, "ProjectionType"), plan_projection_name(x->projection)) == 0 &&
        json_array_size(included) == x->include_count;

    for (size_t i = 0; same && i < x->include_count; i++) {
        const json_t *name;
        bool found = false;
        size_t k;
        json_array_foreach(included, k, name) found |=
            json_is_string(name) && strcmp(json_string_value(name), x->include[i]) == 0;
        same = found;
    }
    return same;
}

static void append_projection(const json_t *projection, struct buf *out)
{
    const json_t *name;
    size_t i;

    buf_puts(out, member(projection, "ProjectionType"));
    json_array_foreach(json_object_get(projection, "NonKeyAttributes"), i, name) buf_printf(
        out, "%s %s", i ? "," : "", json_is_string(name) ? json_string_value(name) : "?");
}

static void compare_index(struct comparison *c, const struct plan_index *x, const json_t *theirs)
{
    const json_t *keys = json_object_get(theirs, "KeySchema");
    const json_t *types = json_object_get(c->f->table, "AttributeDefinitions");
    const json_t *projection = json_object_get(theirs, "Projection");
    _cleanup_buf_ struct buf ours = {0}, has = {0};

    if (tables_same_key(keys, types, &x->keys) && same_projection(x, projection))
        return;
    plan_describe_index(x, &ours);
    tables_describe_key(keys, types, &has);
    buf_lit(&has, ", ");
    append_projection(projection, &has);
    tell(c, (struct table_difference){.aspect = ASPECT_INDEX},
         "index %s is by %.200s, and the configuration says: %.200s; an index cannot be changed: "
         "delete it, or choose another name",
         x->name, has.data ? has.data : "?", ours.data ? ours.data : "?");
}

static void compare_indexes(struct comparison *c)
{
    const json_t *list = json_object_get(c->f->table, "GlobalSecondaryIndexes"), *theirs;
    size_t i;

    for (i = 0; i < c->d->index_count; i++) {
        const struct plan_index *x = &c->d->indexes[i];
        theirs = by_name(list, "IndexName", x->name);
        if (theirs)
            compare_index(c, x, theirs);
        else
            tell(c, (struct table_difference){.aspect = ASPECT_INDEX, .index = x, .missing = true},
                 "index %s is missing", x->name);
    }
    json_array_foreach(list, i, theirs)
    {
        const char *name = member(theirs, "IndexName");
        bool known = false;
        for (size_t k = 0; k < c->d->index_count; k++)
            known |= strcmp(c->d->indexes[k].name, name) == 0;
        if (!known)
            tell(c, (struct table_difference){.aspect = ASPECT_INDEX, .note = true},
                 "index %s is there, of which the configuration says nothing", name);
    }
}

/* --- billing ---------------------------------------------------------------------------------- */

static void compare_billing(struct comparison *c)
{
    const json_t *summary = json_object_get(c->f->table, "BillingModeSummary");
    const json_t *units = json_object_get(c->f->table, "ProvisionedThroughput");
    bool provisioned = strcmp(member(summary, "BillingMode"), "PAY_PER_REQUEST") != 0;
    long long reads = json_integer_value(json_object_get(units, "ReadCapacityUnits"));
    long long writes = json_integer_value(json_object_get(units, "WriteCapacityUnits"));
    const struct table_capacity *want = &c->d->capacity;

    if (provisioned != want->provisioned)
        tell(c, (struct table_difference){.aspect = ASPECT_BILLING},
             "it is billed %s, and the configuration says billing_mode = %s",
             provisioned ? "PROVISIONED" : "PAY_PER_REQUEST",
             want->provisioned ? "PROVISIONED" : "PAY_PER_REQUEST");
    else if (provisioned && (reads != want->read_units || writes != want->write_units))
        tell(c, (struct table_difference){.aspect = ASPECT_BILLING, .note = true},
             "it has %lld read and %lld write units, and the configuration says %lld and %lld",
             reads, writes, (long long)want->read_units, (long long)want->write_units);
}

/* --- the rest --------------------------------------------------------------------------------- */

static void compare_ttl(struct comparison *c)
{
    const char *status = member(c->f->ttl, "TimeToLiveStatus");
    const char *theirs = member(c->f->ttl, "AttributeName"), *want = c->d->ttl_attribute;
    bool on = strcmp(status, "ENABLED") == 0 || strcmp(status, "ENABLING") == 0;

    if (!c->f->ttl || (!on && !want) || (on && want && strcmp(theirs, want) == 0))
        return;
    if (on && want)
        tell(c, (struct table_difference){.aspect = ASPECT_TTL},
             "its items expire by %s, and the configuration says %s; switch the old one off first, "
             "and wait an hour",
             theirs, want);
    else if (on)
        tell(c, (struct table_difference){.aspect = ASPECT_TTL},
             "its items expire by %s, of which the configuration says nothing: rows would be "
             "missing "
             "there; set ttl_column, or switch it off",
             theirs);
    else
        tell(c, (struct table_difference){.aspect = ASPECT_TTL, .missing = true},
             "its items do not expire, and the configuration says by %s", want);
}

static void compare_tags(struct comparison *c)
{
    for (size_t i = 0; c->f->tags && i < c->d->tag_count; i++) {
        const struct table_tag *t = &c->d->tags[i];
        const json_t *theirs = by_name(c->f->tags, "Key", t->key);
        const struct table_difference x = {.aspect = ASPECT_TAGS, .missing = true};
        if (!theirs)
            tell(c, x, "tag %s is missing", t->key);
        else if (strcmp(member(theirs, "Value"), t->value) != 0)
            tell(c, x, "tag %s is \"%.100s\", and the configuration says \"%.100s\"", t->key,
                 member(theirs, "Value"), t->value);
    }
}

static void compare_switches(struct comparison *c)
{
    const json_t *recovery = json_object_get(c->f->recovery, "PointInTimeRecoveryDescription");

    if (c->d->deletion_protection &&
        !json_is_true(json_object_get(c->f->table, "DeletionProtectionEnabled")))
        tell(c, (struct table_difference){.aspect = ASPECT_PROTECTION, .missing = true},
             "it is not protected against deletion");
    if (c->d->point_in_time_recovery && c->f->recovery &&
        strcmp(member(recovery, "PointInTimeRecoveryStatus"), "ENABLED") != 0)
        tell(c, (struct table_difference){.aspect = ASPECT_RECOVERY, .missing = true},
             "point-in-time recovery is off");
}

size_t table_compare(const struct table_definition *d, const struct table_facts *f,
                     table_difference_fn *fn, void *arg)
{
    struct comparison c = {.d = d, .f = f, .fn = fn, .arg = arg};

    compare_indexes(&c);
    compare_billing(&c);
    compare_ttl(&c);
    compare_tags(&c);
    compare_switches(&c);
    return c.count;
}

const char *table_aspect_name(enum table_aspect a)
{
    static const char *const names[] = {"index", "billing",    "ttl",
                                        "tags",  "protection", "recovery"};

    return names[a];
}
