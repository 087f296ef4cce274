/* An HTTP/1.1 sink that answers as DynamoDB would, for the benches: it reads the whole body, counts
 * what is in it, and keeps nothing.
 *
 *   sink --key NAME:TYPE [--key NAME:TYPE] [--delay MS] [--record N]
 *
 * Prints the port it listens on (127.0.0.1) and serves until SIGTERM. --key is the key schema that
 * DescribeTable tells of every table. --delay answers each BatchWriteItem so many milliseconds
 * after it came. --record keeps the arrival of the last N items whose first key is a number.
 *
 *   GET /stats      counts, and when the first and the last BatchWriteItem had come in whole
 *   GET /arrivals   [[key, ns], ...] of the recorded items, oldest first
 *
 * Times are CLOCK_MONOTONIC in nanoseconds, taken when the last byte of the body was read. A client
 * must await each answer before its next request on a connection, as libcurl does. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include <uv.h>

#include "base/buf.h"
#include "base/cleanup.h"

enum { READ_CHUNK = 256 * 1024, MAX_HEAD = 16 * 1024, MAX_BODY = 17 * 1024 * 1024, MAX_KEYS = 2 };

static const char batch_answer[] = "{\"UnprocessedItems\":{}}";

struct arrival {
    int64_t key;
    uint64_t ns;
};

struct key_part {
    const char *name;
    char type;
};

struct sink {
    uv_loop_t loop;
    uv_tcp_t listener;
    uv_signal_t term;
    struct key_part keys[MAX_KEYS];
    size_t key_count;
    char key_mark[160]; /* what stands before the first key's digits in an item */
    unsigned delay_ms;
    uint64_t connections, requests, batches, puts, deletes, bytes, first_ns, last_ns;
    struct arrival *ring;
    size_t ring_size, recorded;
    time_t date_of;
    char date[40];
    uint32_t batch_crc;
};

struct conn {
    struct sink *sink;
    uv_tcp_t tcp;
    uv_timer_t delay;
    uv_write_t write;
    struct buf in, out;
    size_t consumed; /* bytes of `in` that the request being answered takes */
    bool answering;
    int open_handles;
};

struct http_message {
    const char *body;
    size_t body_len, total;
    bool get;
    char path[32], operation[32];
};

/* --- reading a request ------------------------------------------------------------------------ */

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

    snprintf(out, size, "%.*s", (int)(n < size ? n : size - 1), from);
}

/* 1: a whole request is there; 0: more must come; -1: this is none. */
static int parse(const struct buf *in, struct http_message *m)
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

/* --- counting --------------------------------------------------------------------------------- */

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

static void count_batch(struct sink *s, const struct http_message *m, uint64_t now)
{
    const char *end = m->body + m->body_len;

    s->batches++;
    s->bytes += m->body_len;
    s->puts += count(m->body, end, "{\"PutRequest\":");
    s->deletes += count(m->body, end, "{\"DeleteRequest\":");
    if (!s->first_ns)
        s->first_ns = now;
    s->last_ns = now;
    if (s->ring_size)
        record(s, m->body, end, now);
}

/* --- answering -------------------------------------------------------------------------------- */

static uint32_t crc32_of(const char *bytes, size_t n)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < n; i++) {
        crc ^= (unsigned char)bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xEDB88320) : 0);
    }
    return ~crc;
}

static const char *date_header(struct sink *s)
{
    time_t now = time(NULL);
    struct tm tm;

    if (now != s->date_of && gmtime_r(&now, &tm)) {
        strftime(s->date, sizeof s->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        s->date_of = now;
    }
    return s->date;
}

static void answer(struct conn *c, int status, const char *body, size_t n, uint32_t crc)
{
    struct sink *s = c->sink;

    buf_clear(&c->out);
    buf_printf(&c->out,
               "HTTP/1.1 %d %s\r\nServer: sink\r\nDate: %s\r\n"
               "Content-Type: application/x-amz-json-1.0\r\nContent-Length: %zu\r\n"
               "x-amzn-RequestId: SINK%048" PRIu64 "\r\nx-amz-crc32: %" PRIu32 "\r\n\r\n",
               status, status == 200 ? "OK" : "Bad Request", date_header(s), n, s->requests, crc);
    buf_append(&c->out, body, n);
}

static void describe(struct conn *c, const struct http_message *m)
{
    static const char *const key_types[MAX_KEYS] = {"HASH", "RANGE"};
    static const char mark[] = "\"TableName\":\"";
    const struct sink *s = c->sink;
    const char *name = m->body_len ? memmem(m->body, m->body_len, mark, sizeof mark - 1) : NULL;
    _cleanup_buf_ struct buf body = {0};

    name = name ? name + sizeof mark - 1 : "";
    buf_printf(&body, "{\"Table\":{\"TableName\":\"%.*s\",\"TableStatus\":\"ACTIVE\"",
               (int)strcspn(name, "\""), name);
    buf_lit(&body, ",\"AttributeDefinitions\":[");
    for (size_t i = 0; i < s->key_count; i++)
        buf_printf(&body, "%s{\"AttributeName\":\"%s\",\"AttributeType\":\"%c\"}", i ? "," : "",
                   s->keys[i].name, s->keys[i].type);
    buf_lit(&body, "],\"KeySchema\":[");
    for (size_t i = 0; i < s->key_count; i++)
        buf_printf(&body, "%s{\"AttributeName\":\"%s\",\"KeyType\":\"%s\"}", i ? "," : "",
                   s->keys[i].name, key_types[i]);
    buf_lit(&body, "]}}");
    answer(c, 200, body.data, body.len, crc32_of(body.data, body.len));
}

static void tell_stats(struct conn *c)
{
    const struct sink *s = c->sink;
    _cleanup_buf_ struct buf body = {0};

    buf_printf(&body,
               "{\"connections\":%" PRIu64 ",\"requests\":%" PRIu64 ",\"batches\":%" PRIu64
               ",\"items\":%" PRIu64 ",\"puts\":%" PRIu64 ",\"deletes\":%" PRIu64
               ",\"bytes\":%" PRIu64 ",\"first_ns\":%" PRIu64 ",\"last_ns\":%" PRIu64 "}",
               s->connections, s->requests, s->batches, s->puts + s->deletes, s->puts, s->deletes,
               s->bytes, s->first_ns, s->last_ns);
    answer(c, 200, body.data, body.len, crc32_of(body.data, body.len));
}

static void tell_arrivals(struct conn *c)
{
    const struct sink *s = c->sink;
    size_t n = s->recorded < s->ring_size ? s->recorded : s->ring_size;
    _cleanup_buf_ struct buf body = {0};

    buf_putc(&body, '[');
    for (size_t i = 0; i < n; i++) {
        const struct arrival *a = &s->ring[(s->recorded - n + i) % s->ring_size];
        buf_printf(&body, "%s[%" PRId64 ",%" PRIu64 "]", i ? "," : "", a->key, a->ns);
    }
    buf_putc(&body, ']');
    answer(c, 200, body.data, body.len, crc32_of(body.data, body.len));
}

static void refuse(struct conn *c)
{
    static const char body[] = "{\"__type\":\"com.amazon.coral.service#UnknownOperationException\","
                               "\"message\":\"the sink does not know this operation\"}";

    answer(c, 400, body, sizeof body - 1, crc32_of(body, sizeof body - 1));
}

/* --- connections ------------------------------------------------------------------------------ */

static void serve(struct conn *c);

static void on_closed(uv_handle_t *h)
{
    struct conn *c = h->data;

    if (--c->open_handles)
        return;
    buf_free(&c->in);
    buf_free(&c->out);
    free(c);
}

static void hang_up(struct conn *c)
{
    if (uv_is_closing((uv_handle_t *)&c->tcp))
        return;
    uv_close((uv_handle_t *)&c->tcp, on_closed);
    uv_close((uv_handle_t *)&c->delay, on_closed);
}

static void answered(struct conn *c)
{
    memmove(c->in.data, c->in.data + c->consumed, c->in.len - c->consumed);
    c->in.len -= c->consumed;
    c->in.data[c->in.len] = '\0';
    c->answering = false;
}

static void on_written(uv_write_t *w, int status)
{
    struct conn *c = w->data;

    answered(c);
    if (status < 0)
        hang_up(c);
    else
        serve(c);
}

/* Most answers leave at once; what does not fit into the socket follows. */
static bool send_answer(struct conn *c)
{
    uv_buf_t b = uv_buf_init(c->out.data, (unsigned)c->out.len);
    int n = buf_ok(&c->out) ? uv_try_write((uv_stream_t *)&c->tcp, &b, 1) : UV_ENOMEM;

    if (n == (int)b.len) {
        answered(c);
        return true;
    }
    if (n < 0 && n != UV_EAGAIN) {
        hang_up(c);
        return false;
    }
    n = n < 0 ? 0 : n;
    b = uv_buf_init(c->out.data + n, (unsigned)(c->out.len - (size_t)n));
    c->write.data = c;
    if (uv_write(&c->write, (uv_stream_t *)&c->tcp, &b, 1, on_written) < 0)
        hang_up(c);
    return false;
}

static void on_delay(uv_timer_t *t)
{
    struct conn *c = t->data;

    if (send_answer(c))
        serve(c);
}

/* Answer one request; false when the next one must wait for this answer to go out. */
static bool serve_one(struct conn *c, const struct http_message *m)
{
    struct sink *s = c->sink;
    bool batch = strcmp(m->operation, "BatchWriteItem") == 0;

    if (batch)
        count_batch(s, m, uv_hrtime());
    c->answering = true;
    c->consumed = m->total;
    s->requests += !m->get;
    if (batch)
        answer(c, 200, batch_answer, sizeof batch_answer - 1, s->batch_crc);
    else if (strcmp(m->operation, "DescribeTable") == 0)
        describe(c, m);
    else if (m->get && strcmp(m->path, "/stats") == 0)
        tell_stats(c);
    else if (m->get && strcmp(m->path, "/arrivals") == 0)
        tell_arrivals(c);
    else
        refuse(c);
    if (batch && s->delay_ms) {
        /* The loop's clock stands still while callbacks run; the delay counts from the arrival. */
        uv_update_time(&s->loop);
        uv_timer_start(&c->delay, on_delay, s->delay_ms, 0);
        return false;
    }
    return send_answer(c);
}

static void serve(struct conn *c)
{
    struct http_message m;
    int rc;

    while (!c->answering && (rc = parse(&c->in, &m)) != 0) {
        if (rc < 0) {
            hang_up(c);
            return;
        }
        if (!serve_one(c, &m))
            return;
    }
}

static void on_room(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
    struct conn *c = h->data;

    (void)suggested;
    *out = buf_reserve(&c->in, READ_CHUNK) ? uv_buf_init(c->in.data + c->in.len, READ_CHUNK)
                                           : uv_buf_init(NULL, 0);
}

static void on_bytes(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct conn *c = stream->data;

    (void)b;
    if (n < 0) {
        hang_up(c);
        return;
    }
    c->in.len += (size_t)n;
    c->in.data[c->in.len] = '\0';
    serve(c);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct sink *s = listener->data;
    struct conn *c = status < 0 ? NULL : calloc(1, sizeof *c);

    if (!c)
        return;
    c->sink = s;
    c->open_handles = 2;
    uv_tcp_init(&s->loop, &c->tcp);
    uv_timer_init(&s->loop, &c->delay);
    c->tcp.data = c->delay.data = c;
    s->connections++;
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) < 0 || uv_tcp_nodelay(&c->tcp, 1) < 0 ||
        uv_read_start((uv_stream_t *)&c->tcp, on_room, on_bytes) < 0)
        hang_up(c);
}

/* --- start and end ---------------------------------------------------------------------------- */

static void close_one(uv_handle_t *h, void *arg)
{
    struct sink *s = arg;

    if (uv_is_closing(h))
        return;
    bool own = h == (uv_handle_t *)&s->listener || h == (uv_handle_t *)&s->term;
    uv_close(h, own ? NULL : on_closed);
}

static void on_term(uv_signal_t *h, int signum)
{
    (void)signum;
    uv_walk(h->loop, close_one, h->data);
}

static int add_key(struct sink *s, char *text)
{
    char *colon = strrchr(text, ':');

    if (s->key_count == MAX_KEYS || !colon || !strchr("NSB", colon[1]) || strlen(colon) != 2)
        return -1;
    *colon = '\0';
    s->keys[s->key_count++] = (struct key_part){text, colon[1]};
    return 0;
}

static int options(struct sink *s, int argc, char **argv)
{
    static const struct option known[] = {{"key", required_argument, NULL, 'k'},
                                          {"delay", required_argument, NULL, 'd'},
                                          {"record", required_argument, NULL, 'r'},
                                          {0}};
    int o;

    while ((o = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (o == 'd')
            s->delay_ms = (unsigned)strtoul(optarg, NULL, 10);
        else if (o == 'r')
            s->ring_size = strtoul(optarg, NULL, 10);
        else if (o != 'k' || add_key(s, optarg) < 0)
            return -1;
    }
    if (s->key_count == 0 || optind < argc)
        return -1;
    snprintf(s->key_mark, sizeof s->key_mark, "\"%s\":{\"N\":\"", s->keys[0].name);
    s->batch_crc = crc32_of(batch_answer, sizeof batch_answer - 1);
    if (s->ring_size)
        s->ring = calloc(s->ring_size, sizeof *s->ring);
    return s->ring_size && !s->ring ? -1 : 0;
}

static int listen_on(struct sink *s)
{
    struct sockaddr_in at;
    int size = sizeof at, rc = uv_ip4_addr("127.0.0.1", 0, &at);

    uv_tcp_init(&s->loop, &s->listener);
    uv_signal_init(&s->loop, &s->term);
    s->listener.data = s->term.data = s;
    if (rc == 0)
        rc = uv_tcp_bind(&s->listener, (const struct sockaddr *)&at, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&s->listener, 128, on_connection);
    if (rc == 0)
        rc = uv_signal_start(&s->term, on_term, SIGTERM);
    if (rc == 0)
        rc = uv_tcp_getsockname(&s->listener, (struct sockaddr *)&at, &size);
    if (rc == 0 && (printf("%u\n", ntohs(at.sin_port)) < 0 || fflush(stdout) != 0))
        rc = UV_EIO;
    return rc;
}

int main(int argc, char **argv)
{
    struct sink s = {0};

    if (options(&s, argc, argv) < 0) {
        fprintf(stderr, "usage: sink --key NAME:TYPE [--key NAME:TYPE] [--delay MS] "
                        "[--record N]\n");
        free(s.ring);
        return 2;
    }
    int rc = uv_loop_init(&s.loop);
    if (rc == 0)
        rc = listen_on(&s);
    if (rc == 0) {
        uv_run(&s.loop, UV_RUN_DEFAULT);
        uv_loop_close(&s.loop);
    } else {
        fprintf(stderr, "sink: it cannot listen on 127.0.0.1: %s\n", uv_strerror(rc));
    }
    free(s.ring);
    return rc == 0 ? 0 : 3;
}
