#include "dynamodb/scan.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"

static int append_bytes(const char *bytes, size_t n, void *arg)
{
    buf_append(arg, bytes, n);
    return 0;
}

static void append_json(struct buf *out, const json_t *v)
{
    if (json_dump_callback(v, append_bytes, out, JSON_COMPACT | JSON_ENCODE_ANY) < 0)
        out->failed = true;
}

void scan_body(struct buf *out, const struct scan_request *r)
{
    buf_lit(out, "{\"TableName\":");
    json_append_string(out, r->table, strlen(r->table));
    if (r->segments > 1)
        buf_printf(out, ",\"Segment\":%u,\"TotalSegments\":%u", r->segment, r->segments);
    if (r->consistent)
        buf_lit(out, ",\"ConsistentRead\":true");
    if (r->limit)
        buf_printf(out, ",\"Limit\":%u", r->limit);
    if (r->projection) {
        buf_lit(out, ",\"ProjectionExpression\":");
        json_append_string(out, r->projection, strlen(r->projection));
    }
    if (r->names) {
        buf_lit(out, ",\"ExpressionAttributeNames\":");
        buf_puts(out, r->names);
    }
    if (r->start) {
        buf_lit(out, ",\"ExclusiveStartKey\":");
        append_json(out, r->start);
    }
    buf_lit(out, ",\"ReturnConsumedCapacity\":\"TOTAL\"}");
}

static bool all_objects(const json_t *array)
{
    const json_t *one;
    size_t i;

    json_array_foreach(array, i, one) if (!json_is_object(one)) return false;
    return true;
}

static double units_of(const json_t *consumed)
{
    const json_t *units = json_object_get(consumed, "CapacityUnits");

    return json_is_number(units) ? json_number_value(units) : -1;
}

int scan_read(json_t *reply, struct scan_page *out)
{
    json_t *items = json_object_get(reply, "Items");
    const json_t *last = json_object_get(reply, "LastEvaluatedKey");

    if (!json_is_array(items) || !all_objects(items) || (last && !json_is_object(last)))
        return -EPROTO;
    *out = (struct scan_page){
        .items = items,
        .last_key = json_object_size(last) ? last : NULL,
        .units = units_of(json_object_get(reply, "ConsumedCapacity")),
    };
    return 0;
}

void batch_get_body(struct buf *out, const char *table, const json_t *keys, bool consistent)
{
    buf_lit(out, "{\"RequestItems\":{");
    json_append_string(out, table, strlen(table));
    buf_lit(out, ":{\"Keys\":");
    append_json(out, keys);
    if (consistent)
        buf_lit(out, ",\"ConsistentRead\":true");
    buf_lit(out, "}},\"ReturnConsumedCapacity\":\"TOTAL\"}");
}

/* The list has one table's; of the engine that puts down nothing, nothing is known. */
static double batch_units(const json_t *reply)
{
    const json_t *list = json_object_get(reply, "ConsumedCapacity");

    return json_array_size(list) ? units_of(json_array_get(list, 0)) : -1;
}

int batch_get_read(json_t *reply, const char *table, struct batch_got *out)
{
    json_t *responses = json_object_get(reply, "Responses");
    json_t *items = json_object_get(responses, table);
    json_t *left = json_object_get(reply, "UnprocessedKeys");
    json_t *keys = json_object_get(json_object_get(left, table), "Keys");

    /* A table whose keys are all unprocessed may be missing among the responses. */
    if (!json_is_object(responses) || (left && !json_is_object(left)) ||
        (items && (!json_is_array(items) || !all_objects(items))) || (!items && !keys) ||
        (keys && (!json_is_array(keys) || !all_objects(keys))))
        return -EPROTO;
    *out = (struct batch_got){
        .items = items,
        .unprocessed = json_array_size(keys) ? keys : NULL,
        .units = batch_units(reply),
    };
    return 0;
}
