#include "aws/wire_reply.h"

#include <string.h>
#include <strings.h>

#include "aws/http_token.h"

enum { RESERVE_MOST = 1024 * 1024 }; /* for a body's announced length; more as it comes */

/* A header line "name: value", the white space around the value gone. */
struct header {
    const char *name, *value;
    size_t name_len, value_len;
};

void wire_reply_begin(struct wire_reply *r, size_t max_header_bytes, size_t max_body)
{
    struct buf body = r->body, line = r->line;

    buf_clear(&body);
    buf_clear(&line);
    *r = (struct wire_reply){
        .body = body, .line = line, .max_header_bytes = max_header_bytes, .max_body = max_body};
}

void wire_reply_forget(struct wire_reply *r, bool secret)
{
    enum { KEEP = 64 * 1024 };

    if (secret) {
        buf_wipe(&r->body);
        buf_wipe(&r->line);
    }
    if (r->body.cap > KEEP)
        buf_free(&r->body);
    if (r->line.cap > KEEP)
        buf_free(&r->line);
}

void wire_reply_free(struct wire_reply *r)
{
    buf_free(&r->body);
    buf_free(&r->line);
}

static enum wire_verdict bad(struct wire_reply *r, const char *problem)
{
    r->problem = problem;
    return WIRE_BAD;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "HTTP/1.1 200 OK", the phrase and the space before it optional. */
static enum wire_verdict take_status_line(struct wire_reply *r, const char *line, size_t n)
{
    if (n < 12 || memcmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1') ||
        line[8] != ' ')
        return bad(r, "it is not HTTP/1.1");
    const char *code = line + 9;
    if (!is_digit(code[0]) || !is_digit(code[1]) || !is_digit(code[2]) || code[0] < '1' ||
        code[0] > '5' || (n > 12 && line[12] != ' '))
        return bad(r, "its status line is broken");
    size_t header_bytes = r->header_bytes;
    wire_reply_begin(r, r->max_header_bytes,
                     r->max_body); /* an interim reply may have come before */
    r->header_bytes = header_bytes;
    r->started = true;
    r->status = (code[0] - '0') * 100 + (code[1] - '0') * 10 + (code[2] - '0');
    r->http_1_0 = line[7] == '0';
    r->keep_alive = !r->http_1_0;
    r->state = WIRE_HEADERS;
    return WIRE_MORE;
}

static bool named(const struct header *h, const char *name)
{
    return strncasecmp(h->name, name, h->name_len) == 0;
}

static void copy_text(const struct header *h, char *out, size_t room)
{
    size_t at = 0;

    for (size_t i = 0; i < h->value_len && at + 1 < room; i++)
        if (h->value[i] >= 0x20 && h->value[i] < 0x7f)
            out[at++] = h->value[i];
    out[at] = '\0';
}

/* Decimal digits and nothing else, not above `most`. */
static bool parse_number(const struct header *h, uint64_t most, uint64_t *out)
{
    uint64_t v = 0;

    if (h->value_len == 0 || h->value_len > 19)
        return false;
    for (size_t i = 0; i < h->value_len; i++) {
        if (!is_digit(h->value[i]))
            return false;
        v = v * 10 + (uint64_t)(h->value[i] - '0');
    }
    if (v > most)
        return false;
    *out = v;
    return true;
}

static enum wire_verdict take_length(struct wire_reply *r, const struct header *h)
{
    uint64_t length;

    if (!parse_number(h, INT64_MAX, &length))
        return bad(r, "its Content-Length is no number");
    if (r->has_length && r->left != length)
        return bad(r, "it has two lengths");
    r->has_length = true;
    r->left = length;
    return WIRE_MORE;
}

static enum wire_verdict take_coding(struct wire_reply *r, const struct header *h)
{
    if (r->chunked || h->value_len != 7 || strncasecmp(h->value, "chunked", 7) != 0)
        return bad(r, "its Transfer-Encoding is another than chunked");
    r->chunked = true;
    return WIRE_MORE;
}

/* A list of tokens; "close" is stronger than anything else. */
static void take_connection(struct wire_reply *r, const struct header *h)
{
    const char *at = h->value, *end = h->value + h->value_len;

    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma ? comma : end;
        while (at < stop && (*at == ' ' || *at == '\t'))
            at++;
        size_t n = (size_t)(stop - at);
        while (n && (at[n - 1] == ' ' || at[n - 1] == '\t'))
            n--;
        if (n == 5 && strncasecmp(at, "close", 5) == 0) {
            r->keep_alive = false;
            return;
        }
        if (n == 10 && strncasecmp(at, "keep-alive", 10) == 0)
            r->keep_alive = true;
        at = comma ? comma + 1 : end;
    }
}

/* The few that mean something here, told apart by length first. */
static enum wire_verdict take_header(struct wire_reply *r, const struct header *h)
{
    uint64_t number = 0;

    switch (h->name_len) {
    case 4:
        if (named(h, "date"))
            copy_text(h, r->date, sizeof r->date);
        break;
    case 10:
        if (named(h, "connection"))
            take_connection(r, h);
        break;
    case 11:
        if (named(h, "x-amz-crc32")) {
            r->has_crc32 = parse_number(h, UINT32_MAX, &number);
            r->crc32 = (uint32_t)number;
        }
        break;
    case 14:
        if (named(h, "content-length"))
            return take_length(r, h);
        break;
    case 16:
        if (named(h, "x-amzn-requestid"))
            copy_text(h, r->request_id, sizeof r->request_id);
        break;
    case 17:
        if (named(h, "x-amz-retry-after"))
            r->retry_after_ms = parse_number(h, UINT32_MAX, &number) ? (uint32_t)number : 0;
        else if (named(h, "transfer-encoding"))
            return take_coding(r, h);
        break;
    default:
        break;
    }
    return WIRE_MORE;
}

static bool clean(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (((unsigned char)text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f)
            return false;
    return true;
}

static bool split_header(const char *line, size_t n, struct header *h)
{
    size_t at = 0;

    while (at < n && http_is_token(line[at]))
        at++;
    if (at == 0 || at == n || line[at] != ':')
        return false;
    h->name = line;
    h->name_len = at++;
    while (at < n && (line[at] == ' ' || line[at] == '\t'))
        at++;
    while (n > at && (line[n - 1] == ' ' || line[n - 1] == '\t'))
        n--;
    h->value = line + at;
    h->value_len = n - at;
    return clean(h->value, h->value_len);
}

/* The head is over: what follows it? */
static enum wire_verdict end_head(struct wire_reply *r)
{
    if (r->status == 101)
        return bad(r, "it changes to another protocol");
    if (r->status < 200) {
        r->state = WIRE_STATUS_LINE;
        return WIRE_MORE;
    }
    if (r->chunked && (r->has_length || r->http_1_0))
        return bad(r, "it is chunked and should not be");
    if (r->status == 204 || r->status == 304)
        return WIRE_WHOLE;
    if (r->chunked) {
        r->state = WIRE_CHUNK_SIZE;
        return WIRE_MORE;
    }
    if (!r->has_length)
        return bad(r, "it does not say how long it is");
    if (r->left > r->max_body)
        return WIRE_TOO_LARGE;
    r->state = WIRE_BODY;
    if (!r->left)
        return WIRE_WHOLE;
    return buf_reserve(&r->body, r->left < RESERVE_MOST ? (size_t)r->left : RESERVE_MOST)
               ? WIRE_MORE
               : WIRE_NO_MEMORY;
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Hexadecimal digits, and an extension that means nothing to us. */
static enum wire_verdict take_chunk_size(struct wire_reply *r, const char *line, size_t n)
{
    uint64_t size = 0;
    size_t at = 0;

    for (; at < n && hex_value(line[at]) >= 0; at++) {
        if (size > UINT64_MAX >> 4)
            return bad(r, "a chunk's size is broken");
        size = size << 4 | (uint64_t)hex_value(line[at]);
    }
    size_t digits = at;
    while (at < n && (line[at] == ' ' || line[at] == '\t'))
        at++;
    if (digits == 0 || (at < n && line[at] != ';') || !clean(line + at, n - at))
        return bad(r, "a chunk's size is broken");
    if (size > r->max_body - r->body.len)
        return WIRE_TOO_LARGE;
    r->left = size;
    r->state = size ? WIRE_CHUNK_DATA : WIRE_TRAILERS;
    return WIRE_MORE;
}

static enum wire_verdict take_line(struct wire_reply *r, const char *line, size_t n)
{
    struct header h;

    if (n == 0 || line[n - 1] != '\r')
        return bad(r, "a line ends in another way than CR LF");
    n--;
    switch (r->state) {
    case WIRE_STATUS_LINE:
        return clean(line, n) ? take_status_line(r, line, n) : bad(r, "its status line is broken");
    case WIRE_HEADERS:
        if (n == 0)
            return end_head(r);
        return split_header(line, n, &h) ? take_header(r, &h) : bad(r, "a header line is broken");
    case WIRE_CHUNK_SIZE:
        return take_chunk_size(r, line, n);
    case WIRE_CHUNK_END:
        r->state = WIRE_CHUNK_SIZE;
        return n == 0 ? WIRE_MORE : bad(r, "a chunk is longer than it says");
    default: /* WIRE_TRAILERS */
        if (n == 0)
            return WIRE_WHOLE;
        return split_header(line, n, &h) ? WIRE_MORE : bad(r, "a trailer line is broken");
    }
}

/* A line, or a piece of one. The last `used` bytes are those that count. */
static enum wire_verdict take_line_bytes(struct wire_reply *r, const char *bytes, size_t n,
                                         size_t *used)
{
    const char *lf = memchr(bytes, '\n', n);
    size_t mine = lf ? (size_t)(lf - bytes) + 1 : n;
    size_t room = r->max_header_bytes - r->header_bytes;

    if (mine > room) {
        *used = room;
        return WIRE_TOO_LARGE;
    }
    *used = mine;
    r->header_bytes += mine;
    if (lf && r->line.len == 0)
        return take_line(r, bytes, mine - 1);
    buf_append(&r->line, bytes, lf ? mine - 1 : mine);
    if (!buf_ok(&r->line))
        return WIRE_NO_MEMORY;
    if (!lf)
        return WIRE_MORE;
    /* Out of the reply's hands while it is read: a status line begins the reply anew. */
    struct buf line = r->line;
    r->line = (struct buf){0};
    enum wire_verdict v = take_line(r, line.data, line.len);
    buf_clear(&line);
    r->line = line;
    return v;
}

static enum wire_verdict take_body_bytes(struct wire_reply *r, const char *bytes, size_t n,
                                         size_t *used)
{
    size_t mine = n < r->left ? n : (size_t)r->left;

    *used = mine;
    buf_append(&r->body, bytes, mine);
    if (!buf_ok(&r->body))
        return WIRE_NO_MEMORY;
    r->left -= mine;
    if (r->left)
        return WIRE_MORE;
    if (r->state == WIRE_BODY)
        return WIRE_WHOLE;
    r->state = WIRE_CHUNK_END;
    return WIRE_MORE;
}

enum wire_verdict wire_reply_take(struct wire_reply *r, const char *bytes, size_t n, size_t *used)
{
    enum wire_verdict v = r->state == WIRE_ENDED ? r->verdict : WIRE_MORE;
    size_t at = 0;

    r->started = r->started || n;
    while (v == WIRE_MORE && at < n) {
        size_t mine = 0;
        v = r->state == WIRE_BODY || r->state == WIRE_CHUNK_DATA
                ? take_body_bytes(r, bytes + at, n - at, &mine)
                : take_line_bytes(r, bytes + at, n - at, &mine);
        at += mine;
    }
    if (v != WIRE_MORE) {
        r->state = WIRE_ENDED;
        r->verdict = v;
    }
    *used = at;
    return v;
}
