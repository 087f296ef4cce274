#include "dynamodb/schema_items.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

enum { PIECES_A_REQUEST = 8, DELETES_A_REQUEST = 25 };

static void put_string(struct buf *out, const char *name, const char *text, size_t n)
{
    buf_printf(out, "\"%s\":{\"S\":", name);
    json_append_string_lossy(out, text, n);
    buf_putc(out, '}');
}

static void put_key(struct buf *out, const char *id, const char *kind)
{
    put_string(out, "id", id, strlen(id));
    buf_putc(out, ',');
    put_string(out, "kind", kind, strlen(kind));
}

void schema_get_body(struct buf *out, const char *table, const char *id, const char *kind)
{
    buf_lit(out, "{\"TableName\":");
    json_append_string_lossy(out, table, strlen(table));
    buf_lit(out, ",\"ConsistentRead\":true,\"Key\":{");
    put_key(out, id, kind);
    buf_lit(out, "}}");
}

void schema_piece_kind(struct buf *out, const char *version, unsigned piece)
{
    buf_printf(out, "schema/%s/%03u", version, piece);
}

static const char *attribute(const json_t *reply, const char *name, const char *type)
{
    const json_t *item = json_object_get(reply, "Item");

    return json_string_value(json_object_get(json_object_get(item, name), type));
}

static unsigned read_pieces(const json_t *reply, const char *name)
{
    const char *text = attribute(reply, name, "N");
    unsigned long n = text ? strtoul(text, NULL, 10) : 0;

    return n < SCHEMA_MAX_PIECES ? (unsigned)n : SCHEMA_MAX_PIECES;
}

bool schema_read_named(const json_t *reply, struct schema_named *out)
{
    const char *version = attribute(reply, "version", "S");
    const char *before = attribute(reply, "before", "S");

    *out = (struct schema_named){0};
    if (!version)
        return false;
    text_copy(out->version, sizeof out->version, version);
    text_copy(out->before, sizeof out->before, before ? before : "");
    out->pieces = read_pieces(reply, "pieces");
    out->before_pieces = read_pieces(reply, "before_pieces");
    return true;
}

const char *schema_read_text(const json_t *reply, size_t *n)
{
    const json_t *item = json_object_get(reply, "Item");
    const json_t *text = json_object_get(json_object_get(item, "text"), "S");

    *n = json_string_length(text);
    return json_string_value(text);
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Requests in the making. */
struct bodies {
    const char *table;
    struct buf *items;
    size_t count, room;
    unsigned in_last, limit;
    bool failed;
};

static void close_last(struct bodies *b)
{
    if (b->count && b->in_last)
        buf_lit(&b->items[b->count - 1], "]}}");
    b->in_last = 0;
}

/* Where one more request of a batch goes; NULL: no memory. */
static struct buf *next(struct bodies *b, unsigned limit)
{
    if (b->in_last && b->in_last < b->limit) {
        b->in_last++;
        buf_putc(&b->items[b->count - 1], ',');
        return &b->items[b->count - 1];
    }
    close_last(b);
    if (b->count == b->room) {
        struct buf *more = reallocarray(b->items, b->room + 8, sizeof *more);
        if (!more) {
            b->failed = true;
            return NULL;
        }
        b->items = more;
        b->room += 8;
    }
    struct buf *last = &b->items[b->count++];
    *last = (struct buf){0};
    b->in_last = 1;
    b->limit = limit;
    buf_lit(last, "{\"RequestItems\":{");
    json_append_string_lossy(last, b->table, strlen(b->table));
    buf_lit(last, ":[");
    return last;
}

static void put_named(struct buf *out, const char *version, unsigned pieces)
{
    buf_putc(out, ',');
    put_string(out, "version", version, strlen(version));
    buf_printf(out, ",\"pieces\":{\"N\":\"%u\"}", pieces);
}

static void put_head(struct bodies *b, const struct schema_kept *k, unsigned pieces)
{
    struct buf *out = next(b, 1);

    if (!out)
        return;
    buf_lit(out, "{\"PutRequest\":{\"Item\":{");
    put_key(out, k->id, SCHEMA_KIND);
    put_named(out, k->version, pieces);
    buf_printf(out, ",\"bytes\":{\"N\":\"%zu\"},", k->len);
    put_string(out, "database", k->database, strlen(k->database));
    buf_putc(out, ',');
    put_string(out, "host", k->host, strlen(k->host));
    buf_putc(out, ',');
    put_string(out, "at", k->at, strlen(k->at));
    if (!pieces) {
        buf_putc(out, ',');
        put_string(out, "text", k->text, k->len);
    }
    buf_lit(out, "}}}");
    close_last(b);
}

static void put_writing(struct bodies *b, const struct schema_kept *k, unsigned pieces,
                        const struct schema_named *head)
{
    struct buf *out = next(b, 1);

    if (!out)
        return;
    buf_lit(out, "{\"PutRequest\":{\"Item\":{");
    put_key(out, k->id, SCHEMA_WRITING_KIND);
    put_named(out, k->version, pieces);
    buf_putc(out, ',');
    put_string(out, "before", head->version, strlen(head->version));
    buf_printf(out, ",\"before_pieces\":{\"N\":\"%u\"}}}}", head->pieces);
    close_last(b);
}

/* The end of the piece that begins at `from`: between characters. */
static size_t piece_end(const struct schema_kept *k, size_t from)
{
    size_t end = k->len - from > SCHEMA_PIECE_BYTES ? from + SCHEMA_PIECE_BYTES : k->len;

    while (end < k->len && end > from && ((unsigned char)k->text[end] & 0xc0) == 0x80)
        end--;
    return end;
}

static unsigned count_pieces(const struct schema_kept *k)
{
    unsigned n = 0;

    for (size_t at = 0; at < k->len; at = piece_end(k, at))
        n++;
    return n;
}

static void put_pieces(struct bodies *b, const struct schema_kept *k)
{
    unsigned i = 0;

    for (size_t at = 0, end; at < k->len; at = end, i++) {
        _cleanup_buf_ struct buf kind = {0};
        struct buf *out = next(b, PIECES_A_REQUEST);
        end = piece_end(k, at);
        schema_piece_kind(&kind, k->version, i);
        if (!out || !buf_ok(&kind)) {
            b->failed = true;
            return;
        }
        buf_lit(out, "{\"PutRequest\":{\"Item\":{");
        put_key(out, k->id, kind.data);
        buf_putc(out, ',');
        put_string(out, "text", k->text + at, end - at);
        buf_lit(out, "}}}");
    }
    close_last(b);
}

static void delete_kind(struct bodies *b, const char *id, const char *kind)
{
    struct buf *out = next(b, DELETES_A_REQUEST);

    if (!out)
        return;
    buf_lit(out, "{\"DeleteRequest\":{\"Key\":{");
    put_key(out, id, kind);
    buf_lit(out, "}}}");
}

static void delete_pieces(struct bodies *b, const char *id, const char *version, unsigned pieces)
{
    for (unsigned i = 0; i < pieces && !b->failed; i++) {
        _cleanup_buf_ struct buf kind = {0};
        schema_piece_kind(&kind, version, i);
        if (buf_ok(&kind))
            delete_kind(b, id, kind.data);
        else
            b->failed = true;
    }
    close_last(b);
}

/* What an interrupted writer left and nobody needs. */
static void delete_leftover(struct bodies *b, const struct schema_kept *k, const char *version,
                            unsigned pieces, const struct schema_named *head)
{
    if (strcmp(version, k->version) != 0 && strcmp(version, head->version) != 0)
        delete_pieces(b, k->id, version, pieces);
}

struct buf *schema_write_bodies(const struct schema_kept *k, const struct schema_named *head,
                                const struct schema_named *writing, size_t *count)
{
    struct bodies b = {.table = k->table};
    unsigned pieces = k->len > SCHEMA_PIECE_BYTES ? count_pieces(k) : 0;
    bool another = strcmp(head->version, k->version) != 0;

    delete_leftover(&b, k, writing->version, writing->pieces, head);
    if (strcmp(writing->before, writing->version) != 0)
        delete_leftover(&b, k, writing->before, writing->before_pieces, head);
    if (pieces || (another && head->pieces))
        put_writing(&b, k, pieces, head);
    if (pieces)
        put_pieces(&b, k);
    put_head(&b, k, pieces);
    if (another)
        delete_pieces(&b, k->id, head->version, head->pieces);
    if (pieces || (another && head->pieces) || writing->version[0])
        delete_kind(&b, k->id, SCHEMA_WRITING_KIND);
    close_last(&b);
    for (size_t i = 0; i < b.count; i++)
        b.failed |= !buf_ok(&b.items[i]);
    if (!b.failed) {
        *count = b.count;
        return b.items;
    }
    for (size_t i = 0; i < b.count; i++)
        buf_free(&b.items[i]);
    free(b.items);
    return NULL;
}
