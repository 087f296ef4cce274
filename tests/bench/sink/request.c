/* Requests: where they end, and what is in them. */
#include <stdlib.h>
#include <strings.h>

#include "sink.h"

/* The value of a header line, without the blanks before it; NULL when it is another header. */
static const char *header_value(const char *line, const char *name)
{
    size_t n = strlen(name);

    if (strncasecmp(line, name, n) != 0 || line[n] != ':')
        return NULL;
    return line + n + 1 + strspn(line + n + 1, " \t");
}

static void copy_token(char *out, size_t size, const char *from)
{
    size_t n = strcspn(from, " \r\n");

    n = n < size ? n : size - 1;
    memcpy(out, from, n);
    out[n] = '\0';
}

int request_parse(const struct buf *in, struct http_message *m)
{
    const char *end = in->len ? memmem(in->data, in->len, "\r\n\r\n", 4) : NULL;
    size_t length = 0;

    if (!end)
        return in->len > MAX_HEAD ? -1 : 0;
    *m = (struct http_message){.get = strncmp(in->data, "GET ", 4) == 0};
    if (!m->get && strncmp(in->data, "POST ", 5) != 0)
        return -1;
    copy_token(m->path, sizeof m->path, in->data + (m->get ? 4 : 5));
    for (const char *line = strstr(in->data, "\r\n") + 2; line < end;
         line = strstr(line, "\r\n") + 2) {
        const char *value = header_value(line, "Content-Length");
        if (value)
            length = strtoul(value, NULL, 10);
        value = header_value(line, "X-Amz-Target");
        if (value && strncmp(value, "DynamoDB_20120810.", 18) == 0)
            copy_token(m->operation, sizeof m->operation, value + 18);
    }
    if (length > MAX_BODY)
        return -1;
    m->body = end + 4;
    m->body_len = length;
    m->total = (size_t)(m->body - in->data) + length;
    return m->total <= in->len;
}

static uint64_t count(const char *at, const char *end, const char *word)
{
    size_t n = strlen(word);
    uint64_t found = 0;

    while ((at = memmem(at, (size_t)(end - at), word, n)) != NULL) {
        found++;
        at += n;
    }
    return found;
}

static void record(struct sink *s, const char *at, const char *end, uint64_t now)
{
    size_t n = strlen(s->key_mark);

    while ((at = memmem(at, (size_t)(end - at), s->key_mark, n)) != NULL) {
        at += n;
        s->ring[s->recorded++ % s->ring_size] = (struct arrival){strtoll(at, NULL, 10), now};
    }
}

/* SDKs write {"PutRequest": with blanks or without, and PutItem has one item. */
void request_count(struct sink *s, const struct http_message *m, uint64_t now)
{
    const char *end = m->body + m->body_len;

    s->batches++;
    s->bytes += m->body_len;
    s->puts += strcmp(m->operation, "PutItem") == 0 ? 1 : count(m->body, end, "\"PutRequest\"");
    s->deletes += count(m->body, end, "\"DeleteRequest\"");
    if (!s->first_ns)
        s->first_ns = now;
    s->last_ns = now;
    if (s->ring_size)
        record(s, m->body, end, now);
}
