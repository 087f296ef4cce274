/* A web server for tests that misbehaves to order: raw sockets on 127.0.0.1, one thread a
 * connection.
 *
 * The script says, request by request in order of arrival, what happens; its last reaction stands
 * for all later requests. Counters may be read at any time. Everything ends with scripted_stop(),
 * which also ends connections that hang. Failures inside the threads abort the program. */
#ifndef SYNCD_TESTS_SCRIPTED_SERVER_H
#define SYNCD_TESTS_SCRIPTED_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum then { THEN_KEEP, THEN_CLOSE, THEN_RESET, THEN_HANG };

struct reaction {
    const char *reply; /* raw bytes; NULL for none */
    size_t filler;     /* so many 'x' after it */
    enum then then;
    bool at_once;       /* react after the head, the body unread */
    sem_t *wait_before; /* waited for between reply and `then` */
    sem_t *post_after;
    /* By TLS 1.3, between reply and `then`: another ticket; other keys, and the peer is asked for
     * others as well. */
    bool ticket, new_keys;
};

struct scripted {
    int listener, stop; /* stop: eventfd, readable for ever once written */
    int port;
    SSL_CTX *tls; /* NULL: plain */
    const struct reaction *script;
    size_t script_len;
    pthread_t acceptor;
    atomic_uint taken;              /* heads */
    atomic_uint accepted, requests; /* requests: heads with the whole body, or at_once */
    atomic_uint resumed;            /* TLS sessions that were taken up again */
    atomic_size_t body_bytes;
    char head[4096]; /* of the latest request */
};

struct scripted_connection {
    struct scripted *server;
    int fd;
    SSL *ssl;
    pthread_t thread;
};

#define SCRIPTED_MUST(condition)                                                                   \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            perror("scripted server: " #condition);                                                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* false once the test is over. */
static inline bool scripted_wait_readable(const struct scripted *s, int fd)
{
    struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = s->stop, .events = POLLIN}};

    SCRIPTED_MUST(poll(fds, 2, -1) > 0);
    return !(fds[1].revents & POLLIN);
}

static inline ssize_t scripted_read(struct scripted_connection *c, void *to, size_t n)
{
    if (!(c->ssl && SSL_pending(c->ssl)) && !scripted_wait_readable(c->server, c->fd))
        return 0;
    return c->ssl ? SSL_read(c->ssl, to, (int)n) : recv(c->fd, to, n, 0);
}

/* The peer may be gone: that is no fault of the server's. */
static inline void scripted_write(struct scripted_connection *c, const char *bytes, size_t n)
{
    while (n) {
        ssize_t k = c->ssl ? SSL_write(c->ssl, bytes, (int)n) : send(c->fd, bytes, n, MSG_NOSIGNAL);
        if (k <= 0)
            return;
        bytes += k;
        n -= (size_t)k;
    }
}

/* The head into server->head, where that of another connection may come over it at any time; how
 * much of the body came with it into *extra, and how long that is into *body. */
static inline bool scripted_read_head(struct scripted_connection *c, size_t *extra, size_t *body)
{
    char *head = c->server->head, text[sizeof c->server->head];
    size_t len = 0;

    for (;;) {
        ssize_t n = scripted_read(c, text + len, sizeof text - 1 - len);
        if (n <= 0)
            return false;
        len += (size_t)n;
        text[len] = '\0';
        char *end = strstr(text, "\r\n\r\n");
        if (end) {
            *extra = len - (size_t)(end + 4 - text);
            end[2] = '\0';
            const char *length = strcasestr(text, "\r\nContent-Length:");
            *body = length ? strtoul(strchr(length, ':') + 1, NULL, 10) : 0;
            memcpy(head, text, (size_t)(end + 3 - text));
            return true;
        }
        SCRIPTED_MUST(len < sizeof text - 1);
    }
}

static inline bool scripted_read_body(struct scripted_connection *c, size_t extra, size_t left)
{
    char bytes[16384];

    SCRIPTED_MUST(extra <= left);
    c->server->body_bytes += left;
    for (left -= extra; left;) {
        ssize_t n = scripted_read(c, bytes, left < sizeof bytes ? left : sizeof bytes);
        if (n <= 0)
            return false;
        left -= (size_t)n;
    }
    return true;
}

static inline void scripted_reply(struct scripted_connection *c, const struct reaction *r)
{
    char filler[4096];

    if (r->reply)
        scripted_write(c, r->reply, strlen(r->reply));
    memset(filler, 'x', sizeof filler);
    for (size_t left = r->filler; left;) {
        size_t n = left < sizeof filler ? left : sizeof filler;
        scripted_write(c, filler, n);
        left -= n;
    }
    if (r->wait_before)
        SCRIPTED_MUST(sem_wait(r->wait_before) == 0);
    if (r->ticket)
        SCRIPTED_MUST(SSL_new_session_ticket(c->ssl) == 1 && SSL_do_handshake(c->ssl) == 1);
    if (r->new_keys)
        SCRIPTED_MUST(SSL_key_update(c->ssl, SSL_KEY_UPDATE_REQUESTED) == 1 &&
                      SSL_do_handshake(c->ssl) == 1);
    if (r->ticket || r->new_keys)
        SCRIPTED_MUST(!r->post_after || sem_post(r->post_after) == 0);
}

static inline bool scripted_serve_one(struct scripted_connection *c)
{
    struct scripted *s = c->server;
    const struct linger abruptly = {.l_onoff = 1};
    size_t extra, body;
    char ignored[256];

    if (!scripted_read_head(c, &extra, &body))
        return false;
    unsigned nth = s->taken++; /* connections run side by side */
    const struct reaction *r = &s->script[nth < s->script_len ? nth : s->script_len - 1];
    if (!r->at_once && !scripted_read_body(c, extra, body))
        return false;
    s->requests++;
    scripted_reply(c, r);
    if (r->then == THEN_RESET)
        SCRIPTED_MUST(!setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &abruptly, sizeof abruptly));
    while (r->then == THEN_HANG && scripted_read(c, ignored, sizeof ignored) > 0)
        continue;
    return r->then == THEN_KEEP;
}

static inline sem_t *scripted_post_of(const struct scripted *s)
{
    unsigned n = s->requests;

    return n && n <= s->script_len ? s->script[n - 1].post_after : NULL;
}

static inline void *scripted_connection_main(void *arg)
{
    struct scripted_connection *c = arg;
    bool up = true;

    if (c->server->tls) {
        SCRIPTED_MUST((c->ssl = SSL_new(c->server->tls)) && SSL_set_fd(c->ssl, c->fd));
        up = scripted_wait_readable(c->server, c->fd) && SSL_accept(c->ssl) == 1;
        c->server->resumed += up && SSL_session_reused(c->ssl);
    }
    while (up && scripted_serve_one(c))
        continue;
    if (c->ssl && SSL_is_init_finished(c->ssl)) /* announce the end, as servers do */
        SSL_shutdown(c->ssl);
    SSL_free(c->ssl);
    close(c->fd);
    if (scripted_post_of(c->server))
        SCRIPTED_MUST(sem_post(scripted_post_of(c->server)) == 0);
    return NULL;
}

static inline void *scripted_acceptor_main(void *arg)
{
    enum { MOST = 64 };
    struct scripted *s = arg;
    struct scripted_connection *connections = calloc(MOST, sizeof *connections);
    size_t n = 0;

    SCRIPTED_MUST(connections);
    while (scripted_wait_readable(s, s->listener)) {
        SCRIPTED_MUST(n < MOST);
        struct scripted_connection *c = &connections[n++];
        c->server = s;
        SCRIPTED_MUST((c->fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0);
        /* A reply that waits for an acknowledgement would be lost with a reset. */
        SCRIPTED_MUST(!setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)));
        s->accepted++;
        SCRIPTED_MUST(pthread_create(&c->thread, NULL, scripted_connection_main, c) == 0);
    }
    while (n)
        pthread_join(connections[--n].thread, NULL);
    free(connections);
    return NULL;
}

/* A socket bound to a free port of 127.0.0.1. */
static inline int scripted_bind(int *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    SCRIPTED_MUST(fd >= 0 && bind(fd, (struct sockaddr *)&a, n) == 0 &&
                  getsockname(fd, (struct sockaddr *)&a, &n) == 0);
    *port = ntohs(a.sin_port);
    return fd;
}

/* `certificate` and `key` are PEM files, or NULL for plain HTTP. The script must outlive the
 * server. */
static inline struct scripted *scripted_start(const struct reaction *script, size_t n,
                                              const char *certificate, const char *key)
{
    struct scripted *s = calloc(1, sizeof *s);

    SCRIPTED_MUST(s);
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    s->script = script;
    s->script_len = n;
    if (certificate)
        SCRIPTED_MUST((s->tls = SSL_CTX_new(TLS_server_method())) &&
                      SSL_CTX_use_certificate_file(s->tls, certificate, SSL_FILETYPE_PEM) == 1 &&
                      SSL_CTX_use_PrivateKey_file(s->tls, key, SSL_FILETYPE_PEM) == 1);
    s->listener = scripted_bind(&s->port);
    SCRIPTED_MUST((s->stop = eventfd(0, EFD_CLOEXEC)) >= 0 && listen(s->listener, 64) == 0);
    SCRIPTED_MUST(pthread_create(&s->acceptor, NULL, scripted_acceptor_main, s) == 0);
    return s;
}

static inline void scripted_stop(struct scripted *s)
{
    SCRIPTED_MUST(eventfd_write(s->stop, 1) == 0);
    pthread_join(s->acceptor, NULL);
    close(s->listener);
    close(s->stop);
    SSL_CTX_free(s->tls);
    free(s);
}

#endif
