#include "jobs/ddb_reply.h"

#include <stdio.h>
#include <string.h>

/* Every operation of DynamoDB answers with an object; a proxy that wants a login, with a page. */
static bool is_object(const struct http_reply *h)
{
    return h->body_len && h->body[strspn(h->body, " \t\r\n")] == '{';
}

void ddb_reply_read(const struct http_reply *h, struct reply *out)
{
    struct reply_bytes b = {.status = h->status,
                            .body = h->body,
                            .len = h->body_len,
                            .has_crc32 = h->has_crc32,
                            .crc32 = h->crc32};

    *out = (struct reply){.class = REPLY_OK, .status = h->status};
    snprintf(out->request_id, sizeof out->request_id, "%s", h->request_id);
    if (h->outcome != HTTP_REPLIED) {
        out->class = h->outcome == HTTP_NOT_SENT ? REPLY_NOT_SENT : REPLY_AMBIGUOUS;
        snprintf(out->code, sizeof out->code, "%s", h->code);
        snprintf(out->message, sizeof out->message, "%s", h->error);
    } else if (h->status != 200 || !reply_checksum_ok(&b) || !is_object(h)) {
        reply_classify(&b, out);
    }
}
