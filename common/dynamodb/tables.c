#include "dynamodb/tables.h"

#include <errno.h>
#include <string.h>

#include <jansson.h>

#include "base/text.h"

static const char *const key_types[] = {"HASH", "RANGE"};

void tables_create_body(struct buf *out, const char *table, const struct key_schema *schema,
                        const struct table_capacity *capacity)
{
    buf_lit(out, "{\"TableName\":");
    json_append_string(out, table, strlen(table));
    buf_lit(out, ",\"AttributeDefinitions\":[");
    for (size_t i = 0; i < schema->count; i++) {
        buf_puts(out, i ? "," : "");
        buf_lit(out, "{\"AttributeName\":");
        json_append_string(out, schema->parts[i].name, strlen(schema->parts[i].name));
        buf_printf(out, ",\"AttributeType\":\"%c\"}", (char)schema->parts[i].type);
    }
    buf_lit(out, "],\"KeySchema\":[");
    for (size_t i = 0; i < schema->count; i++) {
        buf_puts(out, i ? "," : "");
        buf_lit(out, "{\"AttributeName\":");
        json_append_string(out, schema->parts[i].name, strlen(schema->parts[i].name));
        buf_printf(out, ",\"KeyType\":\"%s\"}", key_types[i]);
    }
    if (capacity->provisioned)
        buf_printf(out,
                   "],\"BillingMode\":\"PROVISIONED\",\"ProvisionedThroughput\":"
                   "{\"ReadCapacityUnits\":%lld,\"WriteCapacityUnits\":%lld}}",
                   (long long)capacity->read_units, (long long)capacity->write_units);
    else
        buf_lit(out, "],\"BillingMode\":\"PAY_PER_REQUEST\"}");
}

void tables_describe_body(struct buf *out, const char *table)
{
    buf_lit(out, "{\"TableName\":");
    json_append_string(out, table, strlen(table));
    buf_putc(out, '}');
}

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

static void describe_theirs(const json_t *keys, const json_t *definitions, struct buf *out)
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
    bool same = json_array_size(keys) == schema->count;

    for (size_t i = 0; same && i < schema->count; i++) {
        const char *name = member(key_element(keys, key_types[i]), "AttributeName");
        same = strcmp(name, schema->parts[i].name) == 0 &&
               type_of(definitions, name) == (char)schema->parts[i].type;
    }
    if (same)
        return 0;
    _cleanup_buf_ struct buf ours = {0}, theirs = {0};
    for (size_t i = 0; i < schema->count; i++)
        buf_printf(&ours, "%s%s (%c)", i ? ", " : "", schema->parts[i].name,
                   (char)schema->parts[i].type);
    describe_theirs(keys, definitions, &theirs);
    return err_set(err, -EEXIST,
                   "DynamoDB table %s has the key %s, but the mapping needs %s; set another target "
                   "or name the key in the configuration",
                   table, theirs.data ? theirs.data : "?", ours.data ? ours.data : "?");
}

int tables_read(const char *body, size_t n, const char *table, const struct key_schema *schema,
                struct table_description *out, struct err *err)
{
    json_t *root = json_loadb(body, n, 0, NULL);
    const json_t *description = json_object_get(root, "Table");
    int rc = 0;

    if (!description)
        description = json_object_get(root, "TableDescription");
    const char *word = member(description, "TableStatus");
    if (!description || !word[0])
        rc = err_set(err, -EPROTO, "the description of DynamoDB table %s is no such reply", table);
    else
        rc = compare_key(description, table, schema, err);
    if (rc == 0) {
        *out = (struct table_description){.status = TABLE_UNKNOWN};
        if (strcmp(word, "ACTIVE") == 0 || strcmp(word, "UPDATING") == 0)
            out->status = TABLE_ACTIVE;
        else if (strcmp(word, "CREATING") == 0)
            out->status = TABLE_CREATING;
        else if (strcmp(word, "DELETING") == 0)
            out->status = TABLE_DELETING;
        snprintf(out->identity, sizeof out->identity, "%s", member(description, "TableId"));
    }
    json_decref(root);
    return rc;
}
