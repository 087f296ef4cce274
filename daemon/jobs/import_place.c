/* A place in an import as the text that the database keeps of it. */
#include <string.h>

#include "base/text.h"
#include "jobs/import_internal.h"

bool import_place_from_json(const char *text, struct import_place *out)
{
    json_t *o = json_loads(text, 0, NULL);
    const char *digest = json_string_value(json_object_get(o, "digest"));
    _cleanup_buf_ struct buf bytes = {0};

    bool good = digest && hex_decode(&bytes, digest, strlen(digest)) == 0 &&
                bytes.len == READER_DIGEST && json_is_object(json_object_get(o, "counts"));
    if (good) {
        *out = (struct import_place){
            .batch = json_integer_value(json_object_get(o, "batch")),
            .file = (size_t)json_integer_value(json_object_get(o, "file")),
            .at = {.offset = json_integer_value(json_object_get(o, "offset")),
                   .line = json_integer_value(json_object_get(o, "line")),
                   .begun = json_is_true(json_object_get(o, "begun")),
                   .first = json_is_true(json_object_get(o, "first"))},
            .counts = json_incref(json_object_get(o, "counts")),
        };
        memcpy(out->at.digest, bytes.data, READER_DIGEST);
    }
    json_decref(o);
    return good;
}

char *import_place_to_json(const struct import_place *p)
{
    _cleanup_buf_ struct buf digest = {0};

    hex_append(&digest, p->at.digest, READER_DIGEST);
    json_t *o = json_pack("{sI sI sI sI sb sb ss sO}", "batch", (json_int_t)p->batch, "file",
                          (json_int_t)p->file, "offset", (json_int_t)p->at.offset, "line",
                          (json_int_t)p->at.line, "begun", p->at.begun, "first", p->at.first,
                          "digest", digest.data, "counts", p->counts);
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

    json_decref(o);
    return text;
}
