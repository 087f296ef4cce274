/* How a schema dump (source/schema_dump.h) lies in the meta table: key id (S), the database's, and
 * kind (S).
 *
 *     kind "schema"              the head: version, bytes, pieces, database, host, at; and, where
 *                                pieces is 0, the document itself as `text`
 *     kind "schema/VERSION/NNN"  a piece: text
 *     kind "schema/writing"      version, pieces: those being written; before, before_pieces: those
 *                                that go once they are
 *
 * A document that one item cannot hold (400 KB: Amazon DynamoDB Developer Guide, "Quotas") is cut.
 * Its pieces are named after its version and are all there before the head names it, and the ones
 * before it go only afterwards: whoever reads the head and then finds each piece has one version,
 * else he reads the head again. What an interrupted writer left is named by "schema/writing", and
 * goes at the next start. */
#ifndef SYNCD_DYNAMODB_SCHEMA_ITEMS_H
#define SYNCD_DYNAMODB_SCHEMA_ITEMS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

#define SCHEMA_KIND         "schema"
#define SCHEMA_WRITING_KIND "schema/writing"
enum { SCHEMA_PIECE_BYTES = 350000, SCHEMA_VERSION_BYTES = 64, SCHEMA_MAX_PIECES = 999 };

/* What a head, or a note of what is being written, names. "" and 0: nothing. */
struct schema_named {
    char version[SCHEMA_VERSION_BYTES], before[SCHEMA_VERSION_BYTES];
    unsigned pieces, before_pieces;
};

/* Borrowed; `text` is UTF-8. */
struct schema_kept {
    const char *table, *id; /* the meta table, the database's id */
    const char *version, *database, *host, *at;
    const char *text;
    size_t len;
};

/* Consistent GetItem of one kind. */
void schema_get_body(struct buf *out, const char *table, const char *id, const char *kind);
/* Kind of one piece, appended. */
void schema_piece_kind(struct buf *out, const char *version, unsigned piece);

/* From a GetItem reply. False: there is no such item. */
bool schema_read_named(const json_t *reply, struct schema_named *out);
/* The text of a head or piece in a GetItem reply; NULL: there is none. Borrowed from the reply. */
const char *schema_read_text(const json_t *reply, size_t *n);

/* The bodies of the BatchWriteItem requests that make `k` what is kept, in order, where `head` and
 * `writing` are there now; each must be carried out before the next is sent. free() the array,
 * buf_free() each. NULL: no memory. */
struct buf *schema_write_bodies(const struct schema_kept *k, const struct schema_named *head,
                                const struct schema_named *writing, size_t *count);

#endif
