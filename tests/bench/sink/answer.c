/* Answers, as DynamoDB would give them: every write is taken, tables are there and empty. The items
 * of META_TABLE are kept, so that the daemon finds its own markers again. */
#include <inttypes.h>

#include "sink.h"

static const char batch_answer[] = "{\"UnprocessedItems\":{}}";

static uint32_t crc32_of(const char *bytes, size_t n)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < n; i++) {
        crc ^= (unsigned char)bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xEDB88320) : 0);
    }
    return ~crc;
}

static const char *date_header(struct sink *s)
{
    time_t now = time(NULL);
    struct tm tm;

    if (now != s->date_of && gmtime_r(&now, &tm)) {
        strftime(s->date, sizeof s->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        s->date_of = now;
    }
    return s->date;
}

static void answer_bytes(struct conn *c, int status, const char *body, size_t n, uint32_t crc)
{
    struct sink *s = c->sink;

    buf_clear(&c->out);
    buf_printf(&c->out,
               "HTTP/1.1 %d %s\r\nServer: sink\r\nDate: %s\r\n"
               "Content-Type: application/x-amz-json-1.0\r\nContent-Length: %zu\r\n"
               "x-amzn-RequestId: SINK%048" PRIu64 "\r\nx-amz-crc32: %" PRIu32 "\r\n\r\n",
               status, status == 200 ? "OK" : "Bad Request", date_header(s), n, s->requests, crc);
    buf_append(&c->out, body, n);
}

static void answer(struct conn *c, const struct buf *body)
{
    answer_bytes(c, 200, body->data, body->len, crc32_of(body->data, body->len));
}

static void describe(struct conn *c, const char *table)
{
    static const char *const key_types[MAX_KEYS] = {"HASH", "RANGE"};
    static const struct key_part meta[] = {{"id", 'S'}, {"kind", 'S'}};
    const struct sink *s = c->sink;
    bool is_meta = strcmp(table, META_TABLE) == 0;
    const struct key_part *keys = is_meta ? meta : s->keys;
    size_t count = is_meta ? 2 : s->key_count;
    _cleanup_buf_ struct buf body = {0};

    buf_printf(&body, "{\"Table\":{\"TableName\":\"%s\",\"TableStatus\":\"ACTIVE\"", table);
    buf_printf(&body, ",\"TableId\":\"%s\",\"AttributeDefinitions\":[", table);
    for (size_t i = 0; i < count; i++)
        buf_printf(&body, "%s{\"AttributeName\":\"%s\",\"AttributeType\":\"%c\"}", i ? "," : "",
                   keys[i].name, keys[i].type);
    buf_lit(&body, "],\"KeySchema\":[");
    for (size_t i = 0; i < count; i++)
        buf_printf(&body, "%s{\"AttributeName\":\"%s\",\"KeyType\":\"%s\"}", i ? "," : "",
                   keys[i].name, key_types[i]);
    buf_lit(&body, "]}}");
    answer(c, &body);
}

static void keep_marker(struct sink *s, json_t *call)
{
    json_t *item = json_object_get(call, "Item"),
           *id = json_object_get(json_object_get(item, "id"), "S");

    if (!s->markers)
        s->markers = json_object();
    if (json_is_string(id))
        json_object_set(s->markers, json_string_value(id), item);
}

static void find_markers(struct conn *c, json_t *call)
{
    const char *key = "";
    json_t *value;
    _cleanup_buf_ struct buf body = {0};

    json_object_foreach(json_object_get(call, "ExpressionAttributeValues"), key, value)
    {
        json_t *item =
            json_object_get(c->sink->markers, json_string_value(json_object_get(value, "S")) ?: "");
        char *text = item ? json_dumps(item, JSON_COMPACT) : NULL;
        buf_printf(&body, "{\"Items\":[%s],\"Count\":%d,\"ScannedCount\":%d}", text ? text : "",
                   text != NULL, text != NULL);
        free(text);
        break;
    }
    answer(c, &body);
}

static void tell_stats(struct conn *c)
{
    const struct sink *s = c->sink;
    _cleanup_buf_ struct buf body = {0};

    buf_printf(&body,
               "{\"connections\":%" PRIu64 ",\"requests\":%" PRIu64 ",\"batches\":%" PRIu64
               ",\"items\":%" PRIu64 ",\"puts\":%" PRIu64 ",\"deletes\":%" PRIu64
               ",\"bytes\":%" PRIu64 ",\"first_ns\":%" PRIu64 ",\"last_ns\":%" PRIu64
               ",\"most_waiting\":%" PRIu64 "}",
               s->connections, s->requests, s->batches, s->puts + s->deletes, s->puts, s->deletes,
               s->bytes, s->first_ns, s->last_ns, s->most_waiting);
    answer(c, &body);
}

static void tell_arrivals(struct conn *c)
{
    const struct sink *s = c->sink;
    size_t n = s->recorded < s->ring_size ? s->recorded : s->ring_size;
    _cleanup_buf_ struct buf body = {0};

    buf_putc(&body, '[');
    for (size_t i = 0; i < n; i++) {
        const struct arrival *a = &s->ring[(s->recorded - n + i) % s->ring_size];
        buf_printf(&body, "%s[%" PRId64 ",%" PRIu64 "]", i ? "," : "", a->key, a->ns);
    }
    buf_putc(&body, ']');
    answer(c, &body);
}

static void refuse(struct conn *c)
{
    static const char body[] = "{\"__type\":\"com.amazon.coral.service#UnknownOperationException\","
                               "\"message\":\"the sink does not know this operation\"}";

    answer_bytes(c, 400, body, sizeof body - 1, crc32_of(body, sizeof body - 1));
}

/* Everything but writes of data: rare, so that a tree may be made of it. */
static void answer_rare(struct conn *c, const struct http_message *m)
{
    json_t *call = json_loadb(m->body, m->body_len, 0, NULL);
    const char *table = json_string_value(json_object_get(call, "TableName"));
    struct buf nothing = {.data = (char[]){"{}"}, .len = 2};
    struct buf empty = {.data = (char[]){"{\"Items\":[],\"Count\":0,\"ScannedCount\":0}"}};

    empty.len = strlen(empty.data);
    if (!table) {
        refuse(c);
    } else if (strcmp(m->operation, "DescribeTable") == 0) {
        describe(c, table);
    } else if (strcmp(m->operation, "PutItem") == 0) {
        keep_marker(c->sink, call);
        answer(c, &nothing);
    } else if (strcmp(m->operation, "Query") == 0) {
        find_markers(c, call);
    } else if (strcmp(m->operation, "Scan") == 0) {
        answer(c, &empty);
    } else if (strcmp(m->operation, "GetItem") == 0) {
        answer(c, &nothing);
    } else {
        refuse(c);
    }
    json_decref(call);
}

void answer_make(struct conn *c, const struct http_message *m)
{
    static uint32_t batch_crc;

    if (!batch_crc)
        batch_crc = crc32_of(batch_answer, sizeof batch_answer - 1);
    if (strcmp(m->operation, "BatchWriteItem") == 0)
        answer_bytes(c, 200, batch_answer, sizeof batch_answer - 1, batch_crc);
    else if (m->get && strcmp(m->path, "/stats") == 0)
        tell_stats(c);
    else if (m->get && strcmp(m->path, "/arrivals") == 0)
        tell_arrivals(c);
    else
        answer_rare(c, m);
}
