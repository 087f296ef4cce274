/* Rows whose item is larger than the 409,600 bytes that DynamoDB takes, in tables with
 * `oversize = compress` or `split`.
 *
 * The item as it ought to be, as DynamoDB's JSON without a space ({"id":{"N":"7"},…}; the *text*,
 * at most 16 MiB), is compressed to one zstd frame (RFC 8878; with its own checksum). What is then
 * written at the row's key is the *head*: the key attributes, those that an index or the expiry
 * needs, and instead of all the others one B attribute, `_syncd_packed`, of 36 bytes and the frame:
 *
 *     0   1   version of this format: 1
 *     1   1   how the text is compressed: 1 zstd
 *     2   2   number of chunks n; 0: the frame follows here
 *     4   8   length of the text
 *     12  8   length of the frame
 *     20  16  version of the item: the first 16 bytes of the frame's SHA-256
 *     36      the frame
 *
 * (numbers are unsigned, the highest byte first). With `split`, a frame that leaves the head too
 * large is cut in n pieces of 131,072 bytes, the last one shorter, each an item of its own, a
 * *chunk*. It has the head's partition key; as sort key the head's with `~syncd~`, the version in
 * 32 lower-case hex digits, `~` and the piece's number from 0 in four decimal digits behind it; the
 * head's expiry, if it has one; and one B attribute, `_syncd_chunk`, of 22 bytes and the piece:
 *
 *     0   1   version of this format: 1
 *     1   1   0
 *     2   2   the piece's number
 *     4   2   number of chunks
 *     6   16  version of the item
 *     22      the piece
 *
 * So a chunk's key tells what is in it: chunks of two versions of a row never meet, and one that is
 * written twice is the same. A head is written when all its chunks are there, and chunks that it
 * does not name go afterwards (mirror/split.h). Whoever finds one missing reads the head again.
 *
 * No row's own sort key may end as chunks' keys do: such a row is a dead letter, in every table.
 * The bytes depend on the text and on the release of libzstd alone; another release may make other
 * bytes of the same text, which costs a write where the row is sent again, and nothing else.
 *
 * Pure. */
#ifndef SYNCD_MAPPING_OVERSIZE_H
#define SYNCD_MAPPING_OVERSIZE_H

#include <jansson.h>

#include "base/err.h"
#include "mapping/item.h"

#define OVERSIZE_PACKED "_syncd_packed"
#define OVERSIZE_CHUNK  "_syncd_chunk"

enum {
    OVERSIZE_MAX_TEXT = 16 * 1024 * 1024,
    OVERSIZE_MAX_CHUNKS = 9999,
    OVERSIZE_SUFFIX = 44, /* bytes that a chunk's sort key has behind the head's */
};

/* An item larger than that is compressed, a frame cut in pieces of so many bytes. Test programs in
 * a simulated world lower both, so that small rows will do. */
#ifdef SYNCD_PLANTS
extern size_t oversize_item_limit, oversize_chunk_size;
#else
enum { oversize_item_limit = ITEM_MAX_SIZE, oversize_chunk_size = 128 * 1024 };
#endif

/* --- from a row's item ------------------------------------------------------------------------ */

/* What is written for one row. */
struct oversize {
    struct buf head; /* JSON of the item at the row's key … */
    size_t size;     /* … and its size as DynamoDB counts */
    struct buf frame;
    struct buf shared; /* JSON of what all chunks have beside key and piece: "" or `,"ttl":{…}` */
    size_t shared_size;
    uint8_t version[DIGEST_SIZE];
    unsigned count; /* of chunks; 0: the head has the frame */
};

/* May it be larger than DynamoDB takes before it is a dead letter? */
static inline size_t oversize_limit(const struct table_plan *p)
{
    return p->compress ? oversize_item_limit : ITEM_MAX_SIZE;
}

/* The sentence of a row that is too large whatever is done with it. */
int oversize_refuse(struct item_fault *fault, size_t size);

/* `text`: the item (item_encode_whole()) of a plan with `compress`; `key`: canonical, of the row.
 * 0; -EINVAL with the fault when it does not fit all the same; -ENOMEM, -EIO. *out is zero before
 * and is freed by oversize_free() in any case. */
int oversize_pack(const struct table_plan *p, const struct buf *text, const struct buf *key,
                  struct oversize *out, struct item_fault *fault);
void oversize_free(struct oversize *o);
/* Chunk `i`: its canonical key, its JSON (both appended to), its size as DynamoDB counts. 0,
 * -EINVAL, -ENOMEM. */
int oversize_chunk(const struct key_schema *s, const struct oversize *o, const struct buf *key,
                   unsigned i, struct buf *chunk_key, struct buf *json, size_t *size);

/* --- keys ------------------------------------------------------------------------------------- */

/* Does a sort key end as chunks' keys do? */
bool oversize_is_reserved(const void *sort_key, size_t n);

/* What a chunk's canonical key says. */
struct oversize_key {
    struct buf head; /* canonical key of the item that it belongs to: to be freed */
    uint8_t version[DIGEST_SIZE];
    unsigned index;
};
/* 1 when it is the key of a chunk (`out` may be NULL), 0 when not, -ENOMEM. */
int oversize_parse_key(const void *key, size_t n, struct oversize_key *out);
/* What the canonical keys of all chunks of a head begin with. 0; -EINVAL when it can have none;
 * -ENOMEM. */
int oversize_prefix(const struct buf *key, struct buf *out);

/* --- reading: items as jansson has them from DynamoDB's JSON (JSON_ALLOW_NUL) ------------------
 */

enum oversize_kind {
    OVERSIZE_PLAIN,  /* an item as any other */
    OVERSIZE_WHOLE,  /* compressed; oversize_join() opens it */
    OVERSIZE_HEAD,   /* compressed, and in chunks */
    OVERSIZE_PIECE,  /* a chunk: no row of its own */
    OVERSIZE_BROKEN, /* it has an attribute of ours that nobody can read */
};

struct oversize_info {
    enum oversize_kind kind;
    unsigned count, index;        /* chunks, and which one it is */
    uint64_t text_len, frame_len; /* not of a chunk */
    uint8_t version[DIGEST_SIZE];
};

void oversize_look(const json_t *item, struct oversize_info *out);

/* The key of chunk `i` of a head, for GetItem or BatchGetItem; a new reference. NULL: no memory, or
 * no key of that schema is in the item. */
json_t *oversize_chunk_key(const struct key_schema *s, const json_t *head,
                           const struct oversize_info *info, unsigned i);
/* The key of the item that a chunk belongs to; a new reference. NULL as above, or it is none. */
json_t *oversize_head_key(const struct key_schema *s, const json_t *chunk);

/* Put an item together: `chunks` are n items in any order, NULL among them is fine; other items'
 * and other versions' count as missing. A plain item comes back as it is. 0 with a new reference in
 * *item; -EAGAIN: a chunk is missing, or is of another version (read head and chunks again, with
 * ConsistentRead: the row may have changed in between; if it stays so the item is damaged);
 * -EBADMSG: it is damaged; -ENOMEM. The sentence names no key, which the caller knows. */
int oversize_join(const json_t *head, json_t *const *chunks, size_t n, json_t **item,
                  struct err *err);

#endif
