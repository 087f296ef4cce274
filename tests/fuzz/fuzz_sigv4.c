/* Any headers and body through the canonicaliser and the signer: never a crash; the canonical
 * request keeps its shape (so no header can pass for another line of it), does not depend on the
 * order of different headers, and what is signed once is signed alike again. Input: "name:value"
 * lines, an empty line, the body. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "aws/sigv4.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DATE "20261120T010203Z"
enum { MOST = 70 };

struct input {
    char *text; /* the headers are cut out of it */
    struct sigv4_header headers[MOST], reversed[MOST];
    size_t count;
    const char *body;
    size_t body_len;
};

static void cut(struct input *in, size_t size)
{
    char *at = in->text, *end = in->text + size;

    while (at < end && in->count < MOST) {
        char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (!line_end || line_end == at) {
            at += line_end != NULL;
            break;
        }
        *line_end = '\0';
        char *colon = strchr(at, ':');
        if (colon)
            *colon = '\0';
        in->headers[in->count++] = (struct sigv4_header){at, colon ? colon + 1 : ""};
        at = line_end + 1;
    }
    in->body = at;
    in->body_len = (size_t)(end - at);
    for (size_t i = 0; i < in->count; i++)
        in->reversed[i] = in->headers[in->count - 1 - i];
}

static size_t distinct(const struct input *in)
{
    size_t n = 0;

    for (size_t i = 0; i < in->count; i++) {
        size_t j = 0;
        while (j < i && strcasecmp(in->headers[i].name, in->headers[j].name) != 0)
            j++;
        n += j == i;
    }
    return n;
}

static void check_shape(const struct input *in, const struct buf *canonical)
{
    size_t lines = 0;

    for (size_t i = 0; i < canonical->len; i++) {
        lines += canonical->data[i] == '\n';
        if (canonical->data[i] == '\r' || canonical->data[i] == '\0')
            abort();
    }
    if (lines != 5 + distinct(in))
        abort();
}

static void check(const struct input *in)
{
    struct sigv4_signer *s = sigv4_new("us-west-2", "dynamodb");
    const struct credentials c = {.access_key_id = (char *)"AKID",
                                  .secret_access_key = (char *)"secret"};
    struct sigv4_request req = {.method = "POST",
                                .path = "/",
                                .query = "",
                                .headers = in->headers,
                                .header_count = in->count,
                                .body = in->body,
                                .body_len = in->body_len};
    _cleanup_buf_ struct buf canonical = {0}, backwards = {0}, once = {0}, again = {0};

    if (!s)
        abort();
    int r = sigv4_canonical_request(&req, &canonical);
    if (r != sigv4_sign(s, &c, &req, DATE, &once) || r != sigv4_sign(s, &c, &req, DATE, &again) ||
        once.len != again.len || (r != 0 && (r != -EINVAL || canonical.len || once.len)))
        abort();
    if (r == 0) {
        if (memcmp(once.data, again.data, once.len) != 0)
            abort();
        check_shape(in, &canonical);
        req.headers = in->reversed;
        if (sigv4_canonical_request(&req, &backwards) != 0 || backwards.len != canonical.len)
            abort();
        if (distinct(in) == in->count && memcmp(canonical.data, backwards.data, canonical.len) != 0)
            abort();
    }
    sigv4_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {.text = malloc(size + 1)};

    if (!in.text)
        return 0;
    memcpy(in.text, data, size);
    in.text[size] = '\0';
    cut(&in, size);
    check(&in);
    free(in.text);
    return 0;
}
