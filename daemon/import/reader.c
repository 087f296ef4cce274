#include "import/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/cleanup.h"
#include "base/json_text.h"
#include "import/record.h"

struct reader {
    struct input *in;
    char *head; /* what the file was recognised by, until it is read */
    size_t head_at, head_len;
    struct format format;
    struct split split;
    EVP_MD_CTX *digest;
};

/* --- bytes ------------------------------------------------------------------------------------ */

static ssize_t next_bytes(void *arg, char *to, size_t n, struct err *err)
{
    struct reader *r = arg;
    size_t have = r->head_len - r->head_at;

    if (!have) {
        free(take_ptr(r->head));
        return input_read(r->in, to, n, err);
    }
    n = n < have ? n : have;
    memcpy(to, r->head + r->head_at, n);
    r->head_at += n;
    return (ssize_t)n;
}

static void passed(void *arg, const char *bytes, size_t n)
{
    struct reader *r = arg;

    EVP_DigestUpdate(r->digest, bytes, n);
}

/* --- opening ---------------------------------------------------------------------------------- */

static int read_head(struct reader *r, bool *whole, struct err *err)
{
    ssize_t n = 1;

    r->head = malloc(DETECT_BYTES);
    if (!r->head)
        return err_set(err, -ENOMEM, "out of memory");
    while (n > 0 && r->head_len < DETECT_BYTES) {
        n = input_read(r->in, r->head + r->head_len, DETECT_BYTES - r->head_len, err);
        if (n > 0)
            r->head_len += (size_t)n;
    }
    /* Data that is damaged further on is worth reading up to there: the same comes again then. */
    if (n < 0 && !r->head_len)
        return (int)n;
    *whole = n == 0;
    r->head_at = detect_mark(r->head, r->head_len);
    return 0;
}

static int recognise(struct reader *r, const char *format, struct err *err)
{
    bool whole = false;
    int rc = read_head(r, &whole, err);

    if (rc == 0)
        rc = detect_format(format, r->head + r->head_at, r->head_len - r->head_at, whole,
                           &r->format, err);
    if (rc < 0)
        return rc;
    split_init(&r->split, r->format.empty ? SPLIT_LINES : r->format.form, READER_LONGEST,
               next_bytes, passed, r);
    r->digest = EVP_MD_CTX_new();
    if (!r->digest || EVP_DigestInit_ex(r->digest, EVP_sha256(), NULL) != 1)
        return err_set(err, -ENOMEM, "out of memory");
    return 0;
}

int reader_open(const char *path, const char *format, struct reader **out, struct err *err)
{
    struct reader *r = calloc(1, sizeof *r);
    struct err why;

    if (!r)
        return err_set(err, -ENOMEM, "out of memory");
    int rc = input_open(path, &r->in, err);
    if (rc == 0 && (rc = recognise(r, format, &why)) < 0)
        err_set(err, rc, "%s: %s", path, why.text);
    if (rc < 0)
        reader_close(r);
    else
        *out = r;
    return rc;
}

void reader_close(struct reader *r)
{
    if (!r)
        return;
    split_free(&r->split);
    EVP_MD_CTX_free(r->digest);
    input_close(r->in);
    free(r->head);
    free(r);
}

const struct format *reader_format(const struct reader *r)
{
    return &r->format;
}

/* --- records ---------------------------------------------------------------------------------- */

/* {"Item": record}: the record. What is none stays as it is, and is refused where it is read. */
static void unwrap(struct split_record *record)
{
    struct json_text t = {.at = record->text, .end = record->text + record->len};
    const char *from;

    if (!json_take_char(&t, '{') || !json_take_char(&t, '"') || t.end - t.at < 5 ||
        memcmp(t.at, "Item\"", 5) != 0)
        return;
    t.at += 5;
    if (!json_take_char(&t, ':') || json_skip_value(&t, RECORD_MAX_DEPTH + 1, &from) < 0)
        return;
    size_t n = (size_t)(t.at - from);
    if (!json_take_char(&t, '}'))
        return;
    json_skip_space(&t);
    if (t.at != t.end)
        return;
    record->text = from;
    record->len = n;
}

enum split_result reader_next(struct reader *r, struct split_record *out, struct err *err)
{
    enum split_result result = split_next(&r->split, out, err);

    if (result == SPLIT_RECORD && r->format.item)
        unwrap(out);
    return result;
}

int64_t reader_position(const struct reader *r)
{
    /* What waits in the head was read, and not used. */
    return r->head ? 0 : input_position(r->in);
}

int64_t reader_size(const struct reader *r)
{
    return input_size(r->in);
}

/* --- places ----------------------------------------------------------------------------------- */

static int digest_now(const struct reader *r, unsigned char out[READER_DIGEST])
{
    EVP_MD_CTX *copy = EVP_MD_CTX_new();
    int rc =
        copy && EVP_MD_CTX_copy_ex(copy, r->digest) == 1 && EVP_DigestFinal_ex(copy, out, NULL) == 1
            ? 0
            : -ENOMEM;

    EVP_MD_CTX_free(copy);
    return rc;
}

int reader_place(const struct reader *r, struct reader_place *out)
{
    struct reader_place place = {.offset = r->split.offset,
                                 .line = r->split.line,
                                 .begun = r->split.begun,
                                 .first = r->split.first};
    int rc = digest_now(r, place.digest);

    if (rc == 0)
        *out = place;
    return rc;
}

int reader_go(struct reader *r, const struct reader_place *place, struct err *err)
{
    unsigned char digest[READER_DIGEST];
    char bytes[16 * 1024];

    for (int64_t left = place->offset; left > 0;) {
        ssize_t n =
            next_bytes(r, bytes, left < (int64_t)sizeof bytes ? (size_t)left : sizeof bytes, err);
        if (n < 0)
            return (int)n;
        if (n == 0)
            return 0;
        passed(r, bytes, (size_t)n);
        left -= n;
    }
    if (digest_now(r, digest) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    if (memcmp(digest, place->digest, sizeof digest) != 0)
        return 0;
    r->split.offset = place->offset;
    r->split.line = place->line;
    r->split.begun = place->begun;
    r->split.first = place->first;
    return 1;
}
