/* Replies of any bytes: a class and clean words every time, and "written" only for a reply that can
 * be one. The first byte chooses the HTTP status, the rest is the body. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "dynamodb/batch.h"
#include "dynamodb/tables.h"
#include "mapping/item.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct key_schema number = {.parts = {{(char *)"id", ATTR_N}}, .count = 1};
static const struct key_schema pair = {.parts = {{(char *)"a", ATTR_S}, {(char *)"b", ATTR_B}},
                                       .count = 2};

enum { WRITES = 4 };

static void key_of_number(struct buf *key, const char *text)
{
    if (item_key_part(key, ATTR_N, text, strlen(text)) < 0)
        abort();
}

static void clean(const char *text, size_t size)
{
    if (strnlen(text, size) == size || !utf8_valid(text, strlen(text)))
        abort();
}

static void check_reply(const struct reply *r, int status)
{
    clean(r->code, sizeof r->code);
    clean(r->message, sizeof r->message);
    if (r->status != status || r->class < REPLY_OK || r->class > REPLY_UNEXPECTED)
        abort();
    if (r->class == REPLY_OK && (status != 200 || r->unprocessed >> WRITES))
        abort();
    if (r->class != REPLY_OK && (r->unprocessed || !(r->code[0] || r->message[0])))
        abort();
}

static void read_as_batch(const struct reply_bytes *b)
{
    _cleanup_buf_ struct buf hundred = {0}, fraction = {0}, both = {0};
    struct reply r = {.class = REPLY_OK}, again = {.class = REPLY_OK};

    key_of_number(&hundred, "100");
    key_of_number(&fraction, "-0.25");
    if (item_key_part(&both, ATTR_S, "x", 1) < 0 || item_key_part(&both, ATTR_B, "AP8=", 4) < 0)
        abort();
    const struct batch_write writes[WRITES] = {
        {.table = "one",
         .schema = &number,
         .put = true,
         .key = hundred.data,
         .key_len = hundred.len},
        {.table = "one", .schema = &number, .key = fraction.data, .key_len = fraction.len},
        {.table = "two", .schema = &pair, .put = true, .key = both.data, .key_len = both.len},
        {.table = "three", .schema = &number, .key = hundred.data, .key_len = hundred.len},
    };
    batch_reply(b, writes, WRITES, &r);
    check_reply(&r, b->status);
    batch_reply(b, writes, WRITES, &again);
    if (again.class != r.class || again.unprocessed != r.unprocessed)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int statuses[] = {200, 400, 403, 413, 429, 500, 503, 301};
    struct reply_bytes b = {.status = statuses[size ? data[0] % 8 : 0]};
    struct reply r = {.class = REPLY_OK};
    struct table_description table = {.status = TABLE_MISSING};
    struct err err = {.text = ""};

    b.body = size > 1 ? (const char *)data + 1 : NULL;
    b.len = size > 1 ? size - 1 : 0;
    read_as_batch(&b);
    reply_classify(&b, &r);
    clean(r.code, sizeof r.code);
    clean(r.message, sizeof r.message);
    if (r.class == REPLY_OK)
        abort();
    int rc = tables_read(b.body, b.len, "things", &pair, &table, &err);
    if ((rc < 0) != (err.text[0] != '\0') || (rc < 0) != (table.status == TABLE_MISSING))
        abort();
    return 0;
}
