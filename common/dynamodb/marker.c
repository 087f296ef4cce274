#include "dynamodb/marker.h"

#include <errno.h>
#include <string.h>

#include <jansson.h>

#include "base/text.h"

#define KIND "owner"

static void append_string(struct buf *out, const char *s)
{
    json_append_string_lossy(out, s, strlen(s));
}

static void append_table(struct buf *out, const char *table)
{
    _cleanup_buf_ struct buf id = {0};

    buf_lit(&id, MARKER_PREFIX);
    buf_puts(&id, table);
    append_string(out, id.data ? id.data : "");
}

void marker_query_body(struct buf *out, const char *meta_table, const char *table)
{
    buf_lit(out, "{\"TableName\":");
    append_string(out, meta_table);
    buf_lit(out, ",\"ConsistentRead\":true,\"KeyConditionExpression\":\"#i = :t\","
                 "\"ExpressionAttributeNames\":{\"#i\":\"id\"},"
                 "\"ExpressionAttributeValues\":{\":t\":{\"S\":");
    append_table(out, table);
    buf_lit(out, "}}}");
}

static void append_attribute(struct buf *out, const char *name, const char *value)
{
    if (!value[0])
        return;
    buf_printf(out, ",\"%s\":{\"S\":", name);
    append_string(out, value);
    buf_putc(out, '}');
}

void marker_put_body(struct buf *out, const char *meta_table, const char *table,
                     const struct marker *x, const char *before)
{
    buf_lit(out, "{\"TableName\":");
    append_string(out, meta_table);
    buf_lit(out, ",\"Item\":{\"id\":{\"S\":");
    append_table(out, table);
    buf_lit(out, "},\"kind\":{\"S\":");
    _cleanup_buf_ struct buf kind = {0};
    buf_lit(&kind, KIND);
    if (x->source[0])
        buf_printf(&kind, "#%s", x->source);
    append_string(out, kind.data ? kind.data : "");
    buf_putc(out, '}');
    append_attribute(out, "database", x->database);
    append_attribute(out, "host", x->host);
    append_attribute(out, "hostname", x->hostname);
    append_attribute(out, "path", x->path);
    append_attribute(out, "generation", x->generation);
    append_attribute(out, "identity", x->identity);
    append_attribute(out, "source_id", x->source);
    append_attribute(out, "since", x->since);
    append_attribute(out, "state", x->handed_over ? "handed_over" : "active");
    buf_printf(out, ",\"alone\":{\"BOOL\":%s}},", x->alone ? "true" : "false");
    if (before[0]) {
        buf_lit(out, "\"ConditionExpression\":\"#g = :g\","
                     "\"ExpressionAttributeNames\":{\"#g\":\"generation\"},"
                     "\"ExpressionAttributeValues\":{\":g\":{\"S\":");
        append_string(out, before);
        buf_lit(out, "}}}");
    } else {
        buf_lit(out, "\"ConditionExpression\":\"attribute_not_exists(#i)\","
                     "\"ExpressionAttributeNames\":{\"#i\":\"id\"}}");
    }
}

/* --- reading ---------------------------------------------------------------------------------- */

static const char *attribute(const json_t *item, const char *name)
{
    const char *s = json_string_value(json_object_get(json_object_get(item, name), "S"));

    return s ? s : "";
}

static bool read_one(const json_t *item, struct marker *out)
{
    const char *kind = attribute(item, "kind");

    *out = (struct marker){0};
    if (strcmp(kind, KIND) != 0 && strncmp(kind, KIND "#", sizeof KIND) != 0)
        return false;
    text_copy(out->source, sizeof out->source, kind[sizeof KIND - 1] ? kind + sizeof KIND : "");
    text_copy(out->database, sizeof out->database, attribute(item, "database"));
    text_copy(out->host, sizeof out->host, attribute(item, "host"));
    text_copy(out->generation, sizeof out->generation, attribute(item, "generation"));
    text_copy(out->identity, sizeof out->identity, attribute(item, "identity"));
    text_copy(out->hostname, sizeof out->hostname, attribute(item, "hostname"));
    text_copy(out->path, sizeof out->path, attribute(item, "path"));
    text_copy(out->since, sizeof out->since, attribute(item, "since"));
    out->alone = json_is_true(json_object_get(json_object_get(item, "alone"), "BOOL"));
    out->handed_over = strcmp(attribute(item, "state"), "handed_over") == 0;
    return true;
}

int marker_read(const char *body, size_t n, struct marker *out, size_t *count)
{
    json_auto_t *root = json_loadb(body, n, JSON_ALLOW_NUL, NULL);
    const json_t *items = json_object_get(root, "Items"), *item;
    size_t i;

    if (!json_is_array(items))
        return -EPROTO;
    *count = 0;
    json_array_foreach(items, i,
                       item) if (*count < MARKER_MAX && read_one(item, &out[*count]))(*count)++;
    return 0;
}

/* --- judging ---------------------------------------------------------------------------------- */

const struct marker *marker_own(const struct marker *found, size_t count, const char *source)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(found[i].source, source) == 0)
            return &found[i];
    return NULL;
}

static enum marker_verdict judge_one(const struct marker *x, const struct marker_self *self)
{
    bool shared = x->source[0] && self->source[0];
    bool own = strcmp(x->source, self->source) == 0;

    if (shared && !own)
        return MARKER_NONE; /* another machine's share */
    /* Also of a table that was made anew since: whoever handed it over may have done that. */
    if (x->handed_over)
        return MARKER_HANDED_OVER;
    if (x->identity[0] && self->identity[0] && strcmp(x->identity, self->identity) != 0)
        return MARKER_NONE; /* of a table that is no more */
    if (self->knows(self->arg, x->generation))
        return own ? MARKER_OURS : MARKER_NONE;
    if (strcmp(x->database, self->database) != 0 || strcmp(x->host, self->host) != 0)
        return MARKER_OTHER;
    if (!own)
        return MARKER_NONE; /* ours, from before the configuration said how it is shared */
    return self->knows_lives ? MARKER_AHEAD : MARKER_OURS;
}

/* Where this database has its place, that decides: whoever else is there was known then. */
enum marker_verdict marker_judge(const struct marker *found, size_t count,
                                 const struct marker_self *self, const struct marker **which)
{
    enum marker_verdict worst = MARKER_NONE;

    *which = marker_own(found, count, self->source);
    if (*which && (worst = judge_one(*which, self)) != MARKER_NONE && worst != MARKER_OTHER)
        return worst;
    for (size_t i = 0; i < count; i++) {
        enum marker_verdict v = judge_one(&found[i], self);
        if (v > worst) {
            worst = v;
            *which = &found[i];
        }
    }
    return worst;
}
