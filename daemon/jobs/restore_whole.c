/* Rows that are too large for one item (mapping/oversize.h): what is read of them is put together
 * before it becomes a row. */
#include <errno.h>
#include <stdlib.h>

#include "base/text.h"
#include "jobs/call.h"
#include "jobs/restore_internal.h"
#include "mapping/oversize.h"

enum { TRIES = 5 };

static int get_item(struct connection *x, const char *target, const char *key, json_t **reply,
                    struct err *err)
{
    struct buf body = {0};

    buf_lit(&body, "{\"TableName\":");
    json_append_string_lossy(&body, target, strlen(target));
    buf_printf(&body, ",\"ConsistentRead\":true,\"Key\":%s}", key);
    return job_call_on(x, "GetItem", target, &body, reply, err);
}

static void drop_chunks(json_t **chunks, size_t n)
{
    for (size_t i = 0; chunks && i < n; i++)
        json_decref(chunks[i]);
    free(chunks);
}

/* 0 with NULL where there is no such chunk. */
static int get_chunk(struct connection *x, const char *target, const struct key_schema *schema,
                     const json_t *head, const struct oversize_info *info, unsigned i,
                     json_t **chunk, struct err *err)
{
    json_auto_t *key = oversize_chunk_key(schema, head, info, i);
    _cleanup_free_ char *text = key ? json_dumps(key, JSON_COMPACT) : NULL;
    json_t *reply = NULL;

    if (!text)
        return err_set(err, -ENOMEM, "out of memory");
    int rc = get_item(x, target, text, &reply, err);
    *chunk = rc == 0 ? json_incref(json_object_get(reply, "Item")) : NULL;
    json_decref(reply);
    return rc;
}

/* -EAGAIN: a chunk is missing, or of another version. */
static int join(struct connection *x, const char *target, const struct key_schema *schema,
                const json_t *head, const struct oversize_info *info, json_t **whole,
                struct err *err)
{
    json_t **chunks = calloc(info->count ? info->count : 1, sizeof *chunks);
    int rc = 0;

    if (!chunks)
        return err_set(err, -ENOMEM, "out of memory");
    for (unsigned i = 0; rc == 0 && i < info->count; i++)
        rc = get_chunk(x, target, schema, head, info, i, &chunks[i], err);
    if (rc == 0)
        rc = oversize_join(head, chunks, info->count, whole, err);
    drop_chunks(chunks, info->count);
    return rc;
}

int restore_whole(const json_t *item, json_t **whole, struct err *err)
{
    struct oversize_info info;

    oversize_look(item, &info);
    switch (info.kind) {
    case OVERSIZE_PLAIN:
        *whole = json_incref((json_t *)item);
        return RESTORE_WHOLE;
    case OVERSIZE_WHOLE: {
        int rc = oversize_join(item, NULL, 0, whole, err);
        return rc == 0 ? RESTORE_WHOLE : rc == -ENOMEM ? rc : RESTORE_DAMAGED;
    }
    case OVERSIZE_HEAD:
        return RESTORE_LATER;
    case OVERSIZE_PIECE:
        return RESTORE_PART;
    case OVERSIZE_BROKEN:
        break;
    }
    err_set(err, 0, "it has an attribute of syncd's that cannot be read");
    return RESTORE_DAMAGED;
}

int restore_fetch(struct connection *x, const char *target, const struct key_schema *schema,
                  const char *key, json_t **whole, struct err *err)
{
    int rc = -EAGAIN;

    for (int i = 0; i < TRIES && rc == -EAGAIN; i++) {
        struct oversize_info info;
        json_auto_t *reply = NULL;
        rc = get_item(x, target, key, &reply, err);
        const json_t *item = json_object_get(reply, "Item");
        if (rc < 0)
            return rc;
        if (!item)
            return RESTORE_PART; /* gone meanwhile */
        oversize_look(item, &info);
        if (info.kind != OVERSIZE_HEAD)
            return restore_whole(item, whole, err);
        rc = join(x, target, schema, item, &info, whole, err);
    }
    return rc == 0 ? RESTORE_WHOLE : rc == -EAGAIN || rc == -EBADMSG ? RESTORE_DAMAGED : rc;
}
