#include "dynamodb/templates.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

bool template_format_find(const char *word, enum template_format *out)
{
    static const char *const names[] = {"cloudformation", "terraform"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(word, names[i]) == 0) {
            *out = (enum template_format)i;
            return true;
        }
    return false;
}

/* A name that the object does not have yet: `base`, else with a number behind it. */
static void settle_name(const json_t *taken, struct buf *name)
{
    size_t n = name->len;

    for (unsigned i = 2; buf_ok(name) && json_object_get(taken, name->data); i++) {
        name->len = n;
        buf_printf(name, "%u", i);
    }
}

/* --- CloudFormation --------------------------------------------------------------------------- */

/* Logical IDs are letters and digits: app-chat_messages becomes AppChatMessages. */
static void logical_id(const char *table, struct buf *out)
{
    bool begins = true;

    for (const char *p = table; *p; p++) {
        if (!isalnum((unsigned char)*p)) {
            begins = true;
            continue;
        }
        if (!out->len && isdigit((unsigned char)*p))
            buf_lit(out, "Table");
        buf_putc(out, begins ? (char)toupper((unsigned char)*p) : *p);
        begins = false;
    }
    if (!out->len)
        buf_lit(out, "Table");
}

/* Its properties have the names and shapes of CreateTable's members. */
static json_t *cloudformation_table(const struct table_definition *d)
{
    _cleanup_buf_ struct buf body = {0};

    tables_create_body(&body, d);
    json_t *properties = buf_ok(&body) ? json_loadb(body.data, body.len, 0, NULL) : NULL;
    if (d->ttl_attribute)
        json_object_set_new(
            properties, "TimeToLiveSpecification",
            json_pack("{s:s, s:b}", "AttributeName", d->ttl_attribute, "Enabled", 1));
    if (d->point_in_time_recovery)
        json_object_set_new(properties, "PointInTimeRecoverySpecification",
                            json_pack("{s:b}", "PointInTimeRecoveryEnabled", 1));
    return json_pack("{s:s, s:s, s:s, s:o}", "Type", "AWS::DynamoDB::Table", "DeletionPolicy",
                     "Retain", "UpdateReplacePolicy", "Retain", "Properties", properties);
}

static json_t *cloudformation(const struct table_definition *const *tables, size_t count)
{
    json_t *resources = json_object();

    for (size_t i = 0; resources && i < count; i++) {
        _cleanup_buf_ struct buf id = {0};
        logical_id(tables[i]->table, &id);
        settle_name(resources, &id);
        if (!buf_ok(&id) ||
            json_object_set_new(resources, id.data, cloudformation_table(tables[i])) < 0) {
            json_decref(resources);
            return NULL;
        }
    }
    return json_pack("{s:s, s:s, s:o}", "AWSTemplateFormatVersion", "2010-09-09", "Description",
                     "DynamoDB tables that syncd mirrors SQLite into", "Resources", resources);
}

/* --- Terraform -------------------------------------------------------------------------------- */

/* Strings in its JSON syntax are templates: ${ and %{ would begin an expression. */
static json_t *literal(const char *text)
{
    _cleanup_buf_ struct buf b = {0};

    buf_append(&b, "", 0);
    for (const char *p = text; *p; p++) {
        if ((*p == '$' || *p == '%') && p[1] == '{')
            buf_putc(&b, *p);
        buf_putc(&b, *p);
    }
    return buf_ok(&b) ? json_stringn(b.data ? b.data : "", b.len) : NULL;
}

static void set_keys(json_t *to, const struct key_schema *s)
{
    json_object_set_new(to, "hash_key", literal(s->parts[0].name));
    if (s->count == 2)
        json_object_set_new(to, "range_key", literal(s->parts[1].name));
}

static void set_capacity(json_t *to, const struct table_capacity *c)
{
    if (!c->provisioned)
        return;
    json_object_set_new(to, "read_capacity", json_integer(c->read_units));
    json_object_set_new(to, "write_capacity", json_integer(c->write_units));
}

/* From CreateTable's own list, so that each attribute stands once. */
static json_t *terraform_attributes(const struct table_definition *d)
{
    _cleanup_buf_ struct buf text = {0};
    json_t *list = json_array();
    const json_t *a;
    size_t i;

    tables_attributes(&text, d);
    json_t *definitions = buf_ok(&text) ? json_loadb(text.data, text.len, 0, NULL) : NULL;
    json_array_foreach(definitions, i, a) json_array_append_new(
        list, json_pack("{s:o, s:O}", "name",
                        literal(json_string_value(json_object_get(a, "AttributeName"))), "type",
                        json_object_get(a, "AttributeType")));
    json_decref(definitions);
    return list;
}

static json_t *terraform_index(const struct table_definition *d, const struct plan_index *x)
{
    json_t *o = json_object();

    json_object_set_new(o, "name", literal(x->name));
    set_keys(o, &x->keys);
    json_object_set_new(o, "projection_type", json_string(plan_projection_name(x->projection)));
    if (x->include_count) {
        json_t *list = json_array();
        for (size_t i = 0; i < x->include_count; i++)
            json_array_append_new(list, literal(x->include[i]));
        json_object_set_new(o, "non_key_attributes", list);
    }
    set_capacity(o, &d->capacity);
    return o;
}

static json_t *terraform_table(const struct table_definition *d)
{
    json_t *o = json_object(), *indexes = json_array(), *tags = json_object();

    json_object_set_new(o, "name", literal(d->table));
    json_object_set_new(o, "billing_mode",
                        json_string(d->capacity.provisioned ? "PROVISIONED" : "PAY_PER_REQUEST"));
    set_capacity(o, &d->capacity);
    set_keys(o, &d->key);
    json_object_set_new(o, "attribute", terraform_attributes(d));
    for (size_t i = 0; i < d->index_count; i++)
        json_array_append_new(indexes, terraform_index(d, &d->indexes[i]));
    for (size_t i = 0; i < d->tag_count; i++)
        json_object_set_new(tags, d->tags[i].key, literal(d->tags[i].value));
    if (d->index_count)
        json_object_set(o, "global_secondary_index", indexes);
    if (d->tag_count)
        json_object_set(o, "tags", tags);
    json_decref(indexes);
    json_decref(tags);
    if (d->ttl_attribute)
        json_object_set_new(
            o, "ttl",
            json_pack("{s:o, s:b}", "attribute_name", literal(d->ttl_attribute), "enabled", 1));
    if (d->deletion_protection)
        json_object_set_new(o, "deletion_protection_enabled", json_true());
    if (d->point_in_time_recovery)
        json_object_set_new(o, "point_in_time_recovery", json_pack("{s:b}", "enabled", 1));
    /* As CloudFormation's Retain: a plan that would replace the table is refused. */
    json_object_set_new(o, "lifecycle", json_pack("{s:b}", "prevent_destroy", 1));
    return o;
}

/* Resource names are letters, digits, _ and -, and begin with no digit. */
static void resource_name(const char *table, struct buf *out)
{
    if (isdigit((unsigned char)table[0]) || table[0] == '-' || table[0] == '.')
        buf_lit(out, "table_");
    for (const char *p = table; *p; p++)
        buf_putc(out, *p == '.' ? '_' : *p);
}

static json_t *terraform(const struct table_definition *const *tables, size_t count)
{
    json_t *resources = json_object();

    for (size_t i = 0; resources && i < count; i++) {
        _cleanup_buf_ struct buf name = {0};
        resource_name(tables[i]->table, &name);
        settle_name(resources, &name);
        if (!buf_ok(&name) ||
            json_object_set_new(resources, name.data, terraform_table(tables[i])) < 0) {
            json_decref(resources);
            return NULL;
        }
    }
    return json_pack("{s:{s:o}}", "resource", "aws_dynamodb_table", resources);
}

int templates_print(enum template_format format, const struct table_definition *const *tables,
                    size_t count, struct buf *out)
{
    json_t *root =
        format == TEMPLATE_TERRAFORM ? terraform(tables, count) : cloudformation(tables, count);
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;

    json_decref(root);
    if (!text)
        return -ENOMEM;
    buf_puts(out, text);
    buf_putc(out, '\n');
    free(text);
    return buf_ok(out) ? 0 : -ENOMEM;
}
