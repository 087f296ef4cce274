/* The control socket's routes for who compares both sides: what is known of an item, and mending.
 * Keys are hexadecimal, several in a call (`&row=…&row=…`), as many as a request can hold. */
#include <errno.h>
#include <stdlib.h>

#include "base/text.h"
#include "daemon.h"

enum { MAX_KEYS = 64 };

struct keys {
    struct buf bytes[MAX_KEYS];
    struct mirror_key keys[MAX_KEYS];
    size_t count;
};

static void keys_free(struct keys *k)
{
    for (size_t i = 0; i < k->count; i++)
        buf_free(&k->bytes[i]);
}

/* Every `name` of the call; false when one is no key, which is answered. */
static bool take_keys(struct control_call *call, const char *name, struct keys *out)
{
    const char *text;

    while (out->count < MAX_KEYS &&
           (text = control_query_nth(call, name, (unsigned)out->count)) != NULL) {
        size_t i = out->count++;
        out->bytes[i] = (struct buf){0};
        if (hex_decode(&out->bytes[i], text, strlen(text)) < 0 || !buf_ok(&out->bytes[i])) {
            control_reply_error(call, 400, "bad_argument", "a key is given in hexadecimal digits");
            return false;
        }
        out->keys[i] = (struct mirror_key){out->bytes[i].data, out->bytes[i].len};
    }
    return true;
}

static void reply_failure(struct control_call *call, int rc, const struct err *err)
{
    bool missing = rc == -ENOENT;

    control_reply_error(call, missing ? 404 : 503, missing ? "not_found" : "not_now", err->text);
}

void api_get_items(void *arg, struct control_call *call)
{
    static const char *const words[] = {"false", "true"};
    struct daemon *d = arg;
    const char *table = control_query(call, "table");
    struct keys keys = {.count = 0};
    struct buf body = {0};
    struct err err = {0};
    int rc = 0;

    if (!take_keys(call, "key", &keys)) {
        keys_free(&keys);
        return;
    }
    buf_lit(&body, "{\"items\":[");
    for (size_t i = 0; rc == 0 && i < keys.count; i++) {
        struct mirror_item item;
        rc = mirror_item_look(d->mirror, table ? table : "", keys.keys[i].bytes, keys.keys[i].len,
                              &item, &err);
        if (rc == 0)
            buf_printf(&body,
                       "%s{\"pending\":%s,\"unconfirmed\":%s,\"known\":%s,\"ours\":%s,\"live\":%s}",
                       i ? "," : "", words[item.pending], words[item.unconfirmed],
                       words[item.known], words[item.ours], words[item.live]);
    }
    buf_lit(&body, "]}");
    keys_free(&keys);
    if (rc == 0)
        control_reply(call, 200, NULL, &body);
    else
        reply_failure(call, rc, &err);
    buf_free(&body);
}

void api_post_verified(void *arg, struct control_call *call)
{
    struct daemon *d = arg;
    const char *table = control_query(call, "table"), *at = control_query(call, "at");
    struct buf body = {0};
    struct err err = {0};
    char *end = NULL;
    long long when = at ? strtoll(at, &end, 10) : 0;

    if (!at || *end || when <= 0 || when > clock_wall() / USEC_PER_SEC) {
        control_reply_error(call, 400, "bad_argument", "at is a time in the past, Unix seconds");
        return;
    }
    int rc = mirror_verified(d->mirror, table ? table : "", when, &err);
    if (rc < 0) {
        reply_failure(call, rc, &err);
        return;
    }
    buf_lit(&body, "{\"noted\":true}");
    control_reply(call, 200, NULL, &body);
}

static void mend(struct daemon *d, struct control_call *call, const struct keys *rows,
                 const struct keys *extra)
{
    const char *table = control_query(call, "table");
    struct buf body = {0};
    struct err err = {0};
    int rc;

    if (extra->count && rows->count != extra->count) {
        control_reply_error(call, 400, "bad_argument",
                            "an extra item is named with the row it would be of: as many row= as "
                            "extra=, empty ones if need be");
        return;
    }
    table = table ? table : "";
    rc = extra->count
             ? mirror_mend_extra(d->mirror, table, extra->keys, rows->keys, extra->count, &err)
             : mirror_mend_rows(d->mirror, table, rows->keys, rows->count, &err);
    daemon_pump(d);
    if (rc < 0) {
        reply_failure(call, rc, &err);
        return;
    }
    buf_printf(&body, "{\"taken\":%d}", rc);
    control_reply(call, 200, NULL, &body);
}

void api_post_repair(void *arg, struct control_call *call)
{
    struct keys rows = {.count = 0}, extra = {.count = 0};

    if (take_keys(call, "row", &rows) && take_keys(call, "extra", &extra))
        mend(arg, call, &rows, &extra);
    keys_free(&rows);
    keys_free(&extra);
}
