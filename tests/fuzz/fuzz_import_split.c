/* Records of any stream: what is told apart does not depend on how the bytes come, nothing is
 * passed over, and whoever goes on from a place between two records meets the same ones. The first
 * byte says which form, and in which steps. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "import/detect.h"
#include "import/record.h"
#include "import/split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LONGEST = 64 };

struct stream {
    const char *bytes;
    size_t len, at, step;
    size_t passed;
};

static void must(bool what)
{
    if (!what)
        abort();
}

static ssize_t give(void *arg, char *to, size_t n, struct err *err)
{
    struct stream *s = arg;
    size_t left = s->len - s->at;

    (void)err;
    n = n < s->step ? n : s->step;
    n = n < left ? n : left;
    memcpy(to, s->bytes + s->at, n);
    s->at += n;
    return (ssize_t)n;
}

static void pass(void *arg, const char *bytes, size_t n)
{
    struct stream *s = arg;

    must(s->passed + n <= s->len && memcmp(bytes, s->bytes + s->passed, n) == 0);
    s->passed += n;
}

/* What was met, from a place on: results, lines and lengths in one hash. */
static uint64_t from(enum split_form form, struct stream stream, const struct split *place)
{
    struct split s;
    struct split_record r;
    struct err err;
    enum split_result result;
    uint64_t hash = 7;

    split_init(&s, form, LONGEST, give, pass, &stream);
    if (place) {
        stream.at = stream.passed = (size_t)place->offset;
        s.begun = place->begun;
        s.first = place->first;
        s.offset = place->offset;
        s.line = place->line;
    }
    while ((result = split_next(&s, &r, &err)) == SPLIT_RECORD || result == SPLIT_TOO_LONG) {
        hash = hash * 31 + (uint64_t)r.line * 7 + (uint64_t)result;
        must(s.offset == (int64_t)stream.passed);
        if (result == SPLIT_RECORD) {
            must(r.len <= LONGEST);
            hash = hash * 31 + r.len;
        }
    }
    must(result != SPLIT_FAILED);
    must(result != SPLIT_END || stream.passed == stream.len);
    split_free(&s);
    return hash * 31 + (uint64_t)result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stream stream;
    struct split s;
    struct split_record r;
    struct format f;
    struct err err;

    if (size < 1)
        return 0;
    enum split_form form = (enum split_form)(data[0] % 4);
    stream =
        (struct stream){.bytes = (const char *)data + 1, .len = size - 1, .step = data[0] / 4 + 1u};
    uint64_t whole = from(form, stream, NULL);
    stream.step = size;
    must(from(form, stream, NULL) == whole);
    /* One place in the middle. */
    struct stream first = stream;
    struct record record = {0};
    split_init(&s, form, LONGEST, give, pass, &first);
    if (split_next(&s, &r, &err) == SPLIT_RECORD) {
        if (record_parse(&record, r.text, r.len, &err) == 0)
            for (size_t i = 0; i < record.count; i++)
                must(memchr(r.text, *record.fields[i].value, r.len) != NULL);
        from(form, stream, &s);
    }
    record_free(&record);
    split_free(&s);
    (void)detect_format(NULL, stream.bytes, stream.len, data[0] & 1, &f, &err);
    return 0;
}
