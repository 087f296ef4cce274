#include "dynamodb/tables.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "dynamodb/table_diff.h"

static const char *const key_types[] = {"HASH", "RANGE"};

static void string(struct buf *out, const char *s)
{
    json_append_string_lossy(out, s, strlen(s));
}

/* --- pieces ----------------------------------------------------------------------------------- */

static void attribute(struct buf *out, const struct key_attribute *a, bool first)
{
    buf_puts(out, first ? "{\"AttributeName\":" : ",{\"AttributeName\":");
    string(out, a->name);
    buf_printf(out, ",\"AttributeType\":\"%c\"}", (char)a->type);
}

static bool in_schema(const struct key_schema *s, const char *name)
{
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->parts[i].name, name) == 0)
            return true;
    return false;
}

/* Exactly the attributes that are keys of something, each once. */
void tables_attributes(struct buf *out, const struct table_definition *d)
{
    buf_putc(out, '[');
    for (size_t i = 0; i < d->key.count; i++)
        attribute(out, &d->key.parts[i], i == 0);
    for (size_t i = 0; i < d->index_count; i++)
        for (size_t k = 0; k < d->indexes[i].keys.count; k++) {
            const struct key_attribute *a = &d->indexes[i].keys.parts[k];
            bool told = in_schema(&d->key, a->name);
            for (size_t j = 0; j < i; j++)
                told |= in_schema(&d->indexes[j].keys, a->name);
            if (!told)
                attribute(out, a, false);
        }
    buf_putc(out, ']');
}

void tables_key_schema(struct buf *out, const struct key_schema *s)
{
    buf_putc(out, '[');
    for (size_t i = 0; i < s->count; i++) {
        buf_puts(out, i ? ",{\"AttributeName\":" : "{\"AttributeName\":");
        string(out, s->parts[i].name);
        buf_printf(out, ",\"KeyType\":\"%s\"}", key_types[i]);
    }
    buf_putc(out, ']');
}

static void throughput(struct buf *out, const struct table_capacity *c)
{
    if (c->provisioned)
        buf_printf(out,
                   ",\"ProvisionedThroughput\":{\"ReadCapacityUnits\":%lld,"
                   "\"WriteCapacityUnits\":%lld}",
                   (long long)c->read_units, (long long)c->write_units);
}

static void index_body(struct buf *out, const struct table_definition *d,
                       const struct plan_index *x)
{
    buf_lit(out, "{\"IndexName\":");
    string(out, x->name);
    buf_lit(out, ",\"KeySchema\":");
    tables_key_schema(out, &x->keys);
    buf_printf(out, ",\"Projection\":{\"ProjectionType\":\"%s\"",
               plan_projection_name(x->projection));
    for (size_t i = 0; i < x->include_count; i++) {
        buf_puts(out, i ? "," : ",\"NonKeyAttributes\":[");
        string(out, x->include[i]);
    }
    buf_puts(out, x->include_count ? "]}" : "}");
    throughput(out, &d->capacity);
    buf_putc(out, '}');
}

void tables_indexes(struct buf *out, const struct table_definition *d)
{
    buf_putc(out, '[');
    for (size_t i = 0; i < d->index_count; i++) {
        buf_puts(out, i ? "," : "");
        index_body(out, d, &d->indexes[i]);
    }
    buf_putc(out, ']');
}

void tables_tags(struct buf *out, const struct table_definition *d)
{
    buf_putc(out, '[');
    for (size_t i = 0; i < d->tag_count; i++) {
        buf_puts(out, i ? ",{\"Key\":" : "{\"Key\":");
        string(out, d->tags[i].key);
        buf_lit(out, ",\"Value\":");
        string(out, d->tags[i].value);
        buf_putc(out, '}');
    }
    buf_putc(out, ']');
}

/* --- bodies ----------------------------------------------------------------------------------- */

static void begin(struct buf *out, const char *table)
{
    buf_lit(out, "{\"TableName\":");
    string(out, table);
}

void tables_create_body(struct buf *out, const struct table_definition *d)
{
    begin(out, d->table);
    buf_lit(out, ",\"AttributeDefinitions\":");
    tables_attributes(out, d);
    buf_lit(out, ",\"KeySchema\":");
    tables_key_schema(out, &d->key);
    buf_printf(out, ",\"BillingMode\":\"%s\"",
               d->capacity.provisioned ? "PROVISIONED" : "PAY_PER_REQUEST");
    throughput(out, &d->capacity);
    if (d->index_count) {
        buf_lit(out, ",\"GlobalSecondaryIndexes\":");
        tables_indexes(out, d);
    }
    if (d->tag_count) {
        buf_lit(out, ",\"Tags\":");
        tables_tags(out, d);
    }
    if (d->deletion_protection)
        buf_lit(out, ",\"DeletionProtectionEnabled\":true");
    buf_putc(out, '}');
}

void tables_name_body(struct buf *out, const char *table)
{
    begin(out, table);
    buf_putc(out, '}');
}

void tables_ttl_body(struct buf *out, const struct table_definition *d)
{
    begin(out, d->table);
    buf_lit(out, ",\"TimeToLiveSpecification\":{\"AttributeName\":");
    string(out, d->ttl_attribute);
    buf_lit(out, ",\"Enabled\":true}}");
}

void tables_recovery_body(struct buf *out, const struct table_definition *d)
{
    begin(out, d->table);
    buf_lit(out, ",\"PointInTimeRecoverySpecification\":{\"PointInTimeRecoveryEnabled\":true}}");
}

void tables_add_index_body(struct buf *out, const struct table_definition *d,
                           const struct plan_index *x)
{
    begin(out, d->table);
    buf_lit(out, ",\"AttributeDefinitions\":");
    tables_attributes(out, d);
    buf_lit(out, ",\"GlobalSecondaryIndexUpdates\":[{\"Create\":");
    index_body(out, d, x);
    buf_lit(out, "}]}");
}

void tables_protect_body(struct buf *out, const char *table)
{
    begin(out, table);
    buf_lit(out, ",\"DeletionProtectionEnabled\":true}");
}

void tables_list_tags_body(struct buf *out, const char *arn, const char *token)
{
    buf_lit(out, "{\"ResourceArn\":");
    string(out, arn);
    if (token) {
        buf_lit(out, ",\"NextToken\":");
        string(out, token);
    }
    buf_putc(out, '}');
}

void tables_tag_body(struct buf *out, const char *arn, const struct table_definition *d)
{
    buf_lit(out, "{\"ResourceArn\":");
    string(out, arn);
    buf_lit(out, ",\"Tags\":");
    tables_tags(out, d);
    buf_putc(out, '}');
}

/* --- replies ---------------------------------------------------------------------------------- */

static const char *member(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s ? s : "";
}

static char type_of(const json_t *definitions, const char *attribute)
{
    const json_t *d;
    size_t i;

    json_array_foreach(definitions, i, d) if (strcmp(member(d, "AttributeName"), attribute) ==
                                              0) return member(d, "AttributeType")[0];
    return '?';
}

/* The key element of KeyType `key_type`, or NULL. */
static const json_t *key_element(const json_t *keys, const char *key_type)
{
    const json_t *k;
    size_t i;

    json_array_foreach(keys, i, k) if (strcmp(member(k, "KeyType"), key_type) == 0) return k;
    return NULL;
}

bool tables_same_key(const json_t *keys, const json_t *definitions, const struct key_schema *schema)
{
    bool same = json_array_size(keys) == schema->count;

    for (size_t i = 0; same && i < schema->count; i++) {
        const char *name = member(key_element(keys, key_types[i]), "AttributeName");
        same = strcmp(name, schema->parts[i].name) == 0 &&
               type_of(definitions, name) == (char)schema->parts[i].type;
    }
    return same;
}

void tables_describe_key(const json_t *keys, const json_t *definitions, struct buf *out)
{
    for (size_t i = 0; i < 2; i++) {
        const json_t *k = key_element(keys, key_types[i]);
        if (k)
            buf_printf(out, "%s%s (%c)", i ? ", " : "", member(k, "AttributeName"),
                       type_of(definitions, member(k, "AttributeName")));
    }
}

static int compare_key(const json_t *description, const char *table,
                       const struct key_schema *schema, struct err *err)
{
    const json_t *keys = json_object_get(description, "KeySchema");
    const json_t *definitions = json_object_get(description, "AttributeDefinitions");

    if (tables_same_key(keys, definitions, schema))
        return 0;
    _cleanup_buf_ struct buf ours = {0}, theirs = {0};
    for (size_t i = 0; i < schema->count; i++)
        buf_printf(&ours, "%s%s (%c)", i ? ", " : "", schema->parts[i].name,
                   (char)schema->parts[i].type);
    tables_describe_key(keys, definitions, &theirs);
    return err_set(err, -EEXIST,
                   "DynamoDB table %s has the key %s, but the mapping needs %s; set another target "
                   "or name the key in the configuration",
                   table, theirs.data ? theirs.data : "?", ours.data ? ours.data : "?");
}

static enum table_status status_of(const char *word)
{
    static const struct {
        const char *word;
        enum table_status status;
    } words[] = {{"ACTIVE", TABLE_ACTIVE},
                 {"UPDATING", TABLE_ACTIVE},
                 {"CREATING", TABLE_CREATING},
                 {"DELETING", TABLE_DELETING}};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(word, words[i].word) == 0)
            return words[i].status;
    return TABLE_UNKNOWN;
}

const json_t *tables_description(const json_t *reply)
{
    const json_t *description = json_object_get(reply, "Table");

    return description ? description : json_object_get(reply, "TableDescription");
}

int tables_read_json(const json_t *reply, const char *table, const struct key_schema *schema,
                     struct table_description *out, struct err *err)
{
    const json_t *description = tables_description(reply), *x;
    const char *word = member(description, "TableStatus");
    size_t i;

    if (!description || !word[0])
        return err_set(err, -EPROTO, "the description of DynamoDB table %s is no such reply",
                       table);
    int rc = compare_key(description, table, schema, err);
    if (rc < 0)
        return rc;
    *out = (struct table_description){.status = status_of(word),
                                      .updating = strcmp(word, "UPDATING") == 0,
                                      .indexes_active = true};
    json_array_foreach(json_object_get(description, "GlobalSecondaryIndexes"), i, x)
    {
        const char *status = member(x, "IndexStatus");
        out->indexes_active &= strcmp(status, "CREATING") != 0 && strcmp(status, "DELETING") != 0;
    }
    snprintf(out->identity, sizeof out->identity, "%s", member(description, "TableId"));
    return 0;
}

int tables_read(const char *body, size_t n, const char *table, const struct key_schema *schema,
                struct table_description *out, struct err *err)
{
    json_t *reply = json_loadb(body, n, 0, NULL);
    int rc = tables_read_json(reply, table, schema, out, err);

    json_decref(reply);
    return rc;
}
