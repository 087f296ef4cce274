#include "dynamodb/batch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "mapping/item.h"

void batch_body(struct buf *out, const struct batch_write *writes, size_t n)
{
    const char *table = NULL;
    size_t room = 2 * BATCH_WRITE_OVERHEAD;

    for (size_t i = 0; i < n; i++)
        room += writes[i].json_len + BATCH_WRITE_OVERHEAD;
    buf_reserve(out, room); /* names of tables may take more */
    buf_lit(out, "{\"RequestItems\":{");
    for (size_t i = 0; i < n; i++) {
        const struct batch_write *w = &writes[i];
        if (!table || strcmp(table, w->table) != 0) {
            buf_puts(out, table ? "]," : "");
            table = w->table;
            json_append_string(out, table, strlen(table));
            buf_lit(out, ":[");
        } else {
            buf_putc(out, ',');
        }
        if (w->put)
            buf_lit(out, "{\"PutRequest\":{\"Item\":");
        else
            buf_lit(out, "{\"DeleteRequest\":{\"Key\":");
        buf_append(out, w->json, w->json_len);
        buf_lit(out, "}}");
    }
    buf_puts(out, table ? "]" : "");
    buf_lit(out, "},\"ReturnConsumedCapacity\":\"TOTAL\"}");
}

/* Canonical key of an item or key object in the reply. */
static int key_of(const json_t *attributes, const struct key_schema *schema, struct buf *key)
{
    buf_clear(key);
    for (size_t i = 0; i < schema->count; i++) {
        const char type[2] = {(char)schema->parts[i].type, '\0'};
        const json_t *attr = json_object_get(attributes, schema->parts[i].name);
        const json_t *v = json_object_get(attr, type);
        if (!json_is_string(v) || item_key_part(key, schema->parts[i].type, json_string_value(v),
                                                json_string_length(v)) < 0)
            return -EINVAL;
    }
    return buf_ok(key) ? 0 : -ENOMEM;
}

static const json_t *attributes_of(const json_t *request, bool *put)
{
    const json_t *item = json_object_get(json_object_get(request, "PutRequest"), "Item");

    *put = item != NULL;
    return item ? item : json_object_get(json_object_get(request, "DeleteRequest"), "Key");
}

/* Set the bit of the write that `request` of `table` is. */
static int mark_unprocessed(const char *table, const json_t *request,
                            const struct batch_write *writes, size_t n, struct buf *key,
                            uint32_t *mask)
{
    bool put;
    const json_t *attributes = attributes_of(request, &put);
    bool key_known = false;

    for (size_t i = 0; i < n; i++) {
        const struct batch_write *w = &writes[i];
        if (w->put != put || strcmp(w->table, table) != 0)
            continue;
        if (!key_known && key_of(attributes, w->schema, key) < 0)
            return -EINVAL;
        key_known = true;
        if (key->len == w->key_len && memcmp(key->data, w->key, w->key_len) == 0) {
            *mask |= UINT32_C(1) << i;
            return 0;
        }
    }
    return -EINVAL;
}

static int read_unprocessed(json_t *unprocessed, const struct batch_write *writes, size_t n,
                            uint32_t *mask)
{
    _cleanup_buf_ struct buf key = {0};
    const char *table;
    json_t *requests, *request;
    size_t i;

    json_object_foreach(unprocessed, table, requests)
    {
        if (!json_is_array(requests))
            return -EINVAL;
        json_array_foreach(requests, i, request)
        {
            int rc = mark_unprocessed(table, request, writes, n, &key, mask);
            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

static double read_units(const json_t *root)
{
    const json_t *list = json_object_get(root, "ConsumedCapacity"), *one;
    double units = 0;
    size_t i;

    json_array_foreach(list, i, one) units +=
        json_number_value(json_object_get(one, "CapacityUnits"));
    return units;
}

/* DynamoDB answers with both members, as they were asked for. A proxy's own JSON has neither, and
 * must not pass for "all written". */
static bool is_batch_reply(const json_t *root)
{
    return json_object_get(root, "UnprocessedItems") || json_object_get(root, "ConsumedCapacity");
}

int batch_unprocessed(json_t *reply, const struct batch_write *writes, size_t n, uint32_t *mask,
                      double *units)
{
    json_t *unprocessed = json_object_get(reply, "UnprocessedItems");
    uint32_t found = 0;

    if (!is_batch_reply(reply) || (unprocessed && !json_is_object(unprocessed)) ||
        read_unprocessed(unprocessed, writes, n, &found) < 0)
        return -EINVAL;
    *mask = found;
    *units = read_units(reply);
    return 0;
}

static void ambiguous(struct reply *out, const char *code, const char *message)
{
    out->class = REPLY_AMBIGUOUS;
    snprintf(out->code, sizeof out->code, "%s", code);
    snprintf(out->message, sizeof out->message, "%s", message);
}

void batch_reply(const struct reply_bytes *b, const struct batch_write *writes, size_t n,
                 struct reply *out)
{
    out->unprocessed = 0;
    out->write_units = 0;
    out->key_range = false;
    if (b->status != 200 || !reply_checksum_ok(b)) {
        reply_classify(b, out);
        return;
    }
    out->status = b->status;
    out->code[0] = out->message[0] = '\0';
    json_t *root = json_loadb(b->body, b->len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
    json_t *unprocessed = json_object_get(root, "UnprocessedItems");
    uint32_t mask = 0;
    if (!is_batch_reply(root) || (unprocessed && !json_is_object(unprocessed)))
        ambiguous(out, "bad_reply", "the reply with status 200 is not what BatchWriteItem answers");
    else if (read_unprocessed(unprocessed, writes, n, &mask) < 0)
        ambiguous(out, "bad_reply",
                  "the reply leaves items unprocessed that were not in the request");
    else {
        out->class = REPLY_OK;
        out->unprocessed = mask;
        out->write_units = read_units(root);
    }
    json_decref(root);
}
