/* An HTTP/1.1 sink that answers as DynamoDB would, for the benches: it reads the whole body, counts
 * what is in it, and keeps nothing.
 *
 *   sink --key NAME:TYPE [--key NAME:TYPE] [--delay US] [--record N] [--tls FILE]
 *
 * Prints the port it listens on (127.0.0.1) and serves until SIGTERM. --key is the key schema that
 * DescribeTable tells of every table. --delay answers each write so many microseconds after it
 * came. --record keeps the arrival of the last N items whose first key is a number. --tls speaks
 * HTTPS with a certificate made at the start, which is written to FILE.
 *
 *   GET /stats      counts, and when the first and the last write had come in whole
 *   GET /arrivals   [[key, ns], ...] of the recorded items, oldest first
 *
 * Times are CLOCK_MONOTONIC in nanoseconds, taken when the last byte of the body was read. A client
 * must await each answer before its next request on a connection, as SDKs and libcurl do. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/timerfd.h>

#include "sink.h"

static void serve(struct conn *c);

/* --- connections ------------------------------------------------------------------------------ */

static void free_when_done(struct conn *c)
{
    if (!c->closed || c->waiting)
        return;
    SSL_free(c->tls);
    buf_free(&c->in);
    buf_free(&c->out);
    buf_free(&c->left);
    free(c);
}

static void on_closed(uv_handle_t *h)
{
    struct conn *c = h->data;

    c->closed = true;
    free_when_done(c);
}

static void hang_up(struct conn *c)
{
    if (!uv_is_closing((uv_handle_t *)&c->tcp))
        uv_close((uv_handle_t *)&c->tcp, on_closed);
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

    buf_clear(&c->left);
    if (status < 0) {
        hang_up(c);
        return;
    }
    if (c->answering)
        answered(c);
    serve(c);
}

/* All of `b` into the socket. true: it is out; false: what did not fit follows, or it has ended. */
static bool write_out(struct conn *c, struct buf *b)
{
    uv_buf_t all = uv_buf_init(b->data, (unsigned)b->len);
    int n = buf_ok(b) ? uv_try_write((uv_stream_t *)&c->tcp, &all, 1) : UV_ENOMEM;

    if (n == (int)b->len) {
        buf_clear(b);
        return true;
    }
    if (n < 0 && n != UV_EAGAIN) {
        hang_up(c);
        return false;
    }
    n = n < 0 ? 0 : n;
    all = uv_buf_init(b->data + n, (unsigned)(b->len - (size_t)n));
    c->write.data = c;
    if (uv_write(&c->write, (uv_stream_t *)&c->tcp, &all, 1, on_written) < 0)
        hang_up(c);
    return false;
}

static bool send_answer(struct conn *c)
{
    if (c->tls && !tls_put(c)) {
        hang_up(c);
        return false;
    }
    if (!write_out(c, c->tls ? &c->left : &c->out))
        return false;
    answered(c);
    return true;
}

/* --- answers held back ------------------------------------------------------------------------ */

static void set_timer(struct sink *s)
{
    uint64_t due = s->first_waiting ? s->first_waiting->due : 0;
    const struct itimerspec at = {
        .it_value = {.tv_sec = (time_t)(due / 1000000000), .tv_nsec = (long)(due % 1000000000)}};

    timerfd_settime(s->timer, TFD_TIMER_ABSTIME, &at, NULL);
}

static void hold_back(struct conn *c)
{
    struct sink *s = c->sink;

    c->due = uv_hrtime() + s->delay_ns;
    c->waiting = true;
    c->next_waiting = NULL;
    if (s->first_waiting)
        s->last_waiting->next_waiting = c;
    else
        s->first_waiting = c;
    s->last_waiting = c;
    if (++s->waiting > s->most_waiting)
        s->most_waiting = s->waiting;
    if (s->first_waiting == c)
        set_timer(s);
}

static void on_due(uv_poll_t *p, int status, int events)
{
    struct sink *s = p->data;
    uint64_t expired, now = uv_hrtime();

    (void)status;
    (void)events;
    (void)!read(s->timer, &expired, sizeof expired);
    while (s->first_waiting && s->first_waiting->due <= now) {
        struct conn *c = s->first_waiting;
        s->first_waiting = c->next_waiting;
        s->waiting--;
        c->waiting = false;
        if (uv_is_closing((uv_handle_t *)&c->tcp))
            free_when_done(c);
        else if (send_answer(c))
            serve(c);
    }
    set_timer(s);
}

/* --- requests --------------------------------------------------------------------------------- */

/* Answer one request; false when the next one must wait for this answer to go out. */
static bool serve_one(struct conn *c, const struct http_message *m)
{
    struct sink *s = c->sink;
    bool batch = strcmp(m->operation, "BatchWriteItem") == 0;
    bool write = batch || (strcmp(m->operation, "PutItem") == 0 &&
                           !memmem(m->body, m->body_len, META_TABLE, sizeof META_TABLE - 1));

    if (write)
        request_count(s, m, uv_hrtime());
    c->answering = true;
    c->consumed = m->total;
    s->requests += !m->get;
    answer_make(c, m);
    if (write && s->delay_ns) {
        hold_back(c);
        return false;
    }
    return send_answer(c);
}

static void serve(struct conn *c)
{
    struct http_message m;
    int rc;

    while (!c->answering && (rc = request_parse(&c->in, &m)) != 0) {
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
    if (c->tls)
        *out = uv_buf_init(c->sink->raw, READ_CHUNK);
    else
        *out = buf_reserve(&c->in, READ_CHUNK) ? uv_buf_init(c->in.data + c->in.len, READ_CHUNK)
                                               : uv_buf_init(NULL, 0);
}

static void on_bytes(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct conn *c = stream->data;

    if (n < 0 || (c->tls && !tls_take(c, b->base, (size_t)n))) {
        hang_up(c);
        return;
    }
    if (!c->tls) {
        c->in.len += (size_t)n;
        c->in.data[c->in.len] = '\0';
    } else if (c->left.len > 0 && !c->answering && !write_out(c, &c->left)) {
        return; /* a handshake that does not fit goes on when it is out */
    }
    serve(c);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct sink *s = listener->data;
    struct conn *c = status < 0 ? NULL : calloc(1, sizeof *c);

    if (!c)
        return;
    c->sink = s;
    uv_tcp_init(&s->loop, &c->tcp);
    c->tcp.data = c;
    s->connections++;
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) < 0 || uv_tcp_nodelay(&c->tcp, 1) < 0 ||
        (s->tls && !tls_open(c)) || uv_read_start((uv_stream_t *)&c->tcp, on_room, on_bytes) < 0)
        hang_up(c);
}

/* --- start and end ---------------------------------------------------------------------------- */

static void close_one(uv_handle_t *h, void *arg)
{
    struct sink *s = arg;

    if (uv_is_closing(h))
        return;
    bool own = h == (uv_handle_t *)&s->listener || h == (uv_handle_t *)&s->term ||
               h == (uv_handle_t *)&s->due;
    uv_close(h, own ? NULL : on_closed);
}

static void on_term(uv_signal_t *h, int signum)
{
    struct sink *s = h->data;

    (void)signum;
    for (struct conn *c = s->first_waiting; c; c = c->next_waiting)
        c->waiting = false;
    s->first_waiting = NULL;
    uv_walk(h->loop, close_one, s);
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
                                          {"tls", required_argument, NULL, 't'},
                                          {0}};
    int o;

    while ((o = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (o == 'd')
            s->delay_ns = strtoul(optarg, NULL, 10) * 1000;
        else if (o == 'r')
            s->ring_size = strtoul(optarg, NULL, 10);
        else if (o == 't')
            s->certificate = optarg;
        else if (o != 'k' || add_key(s, optarg) < 0)
            return -1;
    }
    if (s->key_count == 0 || optind < argc)
        return -1;
    snprintf(s->key_mark, sizeof s->key_mark, "\"%s\":{\"N\":\"", s->keys[0].name);
    if (s->ring_size)
        s->ring = calloc(s->ring_size, sizeof *s->ring);
    return s->ring_size && !s->ring ? -1 : 0;
}

static int watch(struct sink *s)
{
    int rc;

    s->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    rc = s->timer < 0 ? UV_EIO : uv_poll_init(&s->loop, &s->due, s->timer);
    uv_tcp_init(&s->loop, &s->listener);
    uv_signal_init(&s->loop, &s->term);
    s->listener.data = s->term.data = s->due.data = s;
    if (rc == 0)
        rc = uv_poll_start(&s->due, UV_READABLE, on_due);
    return rc == 0 ? uv_signal_start(&s->term, on_term, SIGTERM) : rc;
}

static int listen_on(struct sink *s)
{
    struct sockaddr_in at;
    int size = sizeof at, rc = watch(s);

    if (rc == 0)
        rc = uv_ip4_addr("127.0.0.1", 0, &at);
    if (rc == 0)
        rc = uv_tcp_bind(&s->listener, (const struct sockaddr *)&at, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&s->listener, 128, on_connection);
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
        fprintf(stderr, "usage: sink --key NAME:TYPE [--key NAME:TYPE] [--delay US] [--record N] "
                        "[--tls FILE]\n");
        free(s.ring);
        return 2;
    }
    int rc = s.certificate && !tls_start(&s) ? UV_EIO : uv_loop_init(&s.loop);
    if (rc == 0)
        rc = listen_on(&s);
    if (rc == 0) {
        uv_run(&s.loop, UV_RUN_DEFAULT);
        uv_loop_close(&s.loop);
    } else {
        fprintf(stderr, "sink: it cannot listen on 127.0.0.1: %s\n", uv_strerror(rc));
    }
    tls_end(&s);
    json_decref(s.markers);
    free(s.ring);
    return rc == 0 ? 0 : 3;
}
