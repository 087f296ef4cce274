/* Replies of HTTP of any bytes, cut into pieces of a size that the first byte chooses: the same
 * verdict, the same words and the same body as in one piece, and nothing past the bounds. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "aws/wire_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_HEADERS = 4096, MAX_BODY = 4096 };

static enum wire_verdict take(struct wire_reply *r, const char *bytes, size_t n, size_t piece,
                              size_t *used)
{
    enum wire_verdict v = WIRE_MORE;
    size_t at = 0;

    wire_reply_begin(r, MAX_HEADERS, MAX_BODY);
    while (at < n && v == WIRE_MORE) {
        size_t k = 0, want = piece < n - at ? piece : n - at;
        v = wire_reply_take(r, bytes + at, want, &k);
        if (k > want || (v == WIRE_MORE && k != want))
            abort();
        at += k;
    }
    *used = at;
    return v;
}

static void check_text(const char *text, size_t room)
{
    size_t n = strnlen(text, room);

    if (n == room)
        abort();
    for (size_t i = 0; i < n; i++)
        if (text[i] < 0x20 || text[i] > 0x7e)
            abort();
}

static void check(const struct wire_reply *r, enum wire_verdict v)
{
    check_text(r->request_id, sizeof r->request_id);
    check_text(r->date, sizeof r->date);
    if (r->body.len > MAX_BODY || r->header_bytes > MAX_HEADERS)
        abort();
    if (v == WIRE_WHOLE && (r->status < 200 || r->status > 599))
        abort();
    if ((v == WIRE_BAD) != (r->problem != NULL) || v == WIRE_NO_MEMORY)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_reply one = {0}, cut = {0};
    size_t used_one, used_cut;

    if (size < 1)
        return 0;
    const char *bytes = (const char *)data + 1;
    enum wire_verdict v = take(&one, bytes, size - 1, size, &used_one);
    check(&one, v);
    if (take(&cut, bytes, size - 1, (size_t)data[0] % 64 + 1, &used_cut) != v)
        abort();
    check(&cut, v);
    if (one.status != cut.status || one.keep_alive != cut.keep_alive || one.crc32 != cut.crc32 ||
        one.has_crc32 != cut.has_crc32 || one.retry_after_ms != cut.retry_after_ms ||
        one.body.len != cut.body.len || strcmp(one.request_id, cut.request_id) != 0 ||
        strcmp(one.date, cut.date) != 0 ||
        (one.body.len && memcmp(one.body.data, cut.body.data, one.body.len) != 0) ||
        (v == WIRE_WHOLE && used_one != used_cut))
        abort();
    wire_reply_free(&one);
    wire_reply_free(&cut);
    return 0;
}
