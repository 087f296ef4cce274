/* The simplest fast client there can be, to show how fast the sink is by itself.
 *
 *   hammer PORT CONNECTIONS ROUNDS [CERTIFICATE]
 *
 * One thread: a prepared BatchWriteItem of 25 items goes out on every connection, then every answer
 * is read; ROUNDS times. Nothing is signed, encoded or parsed, so that what holds it up is the sink
 * and the kernel. With CERTIFICATE it speaks TLS, and trusts that one. Prints items a second, how
 * much of a processor it took itself while it did so, and the microseconds that took an item. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include <openssl/ssl.h>

#include "base/buf.h"

enum { ITEMS = 25, MAX_CONNECTIONS = 64 };

struct line {
    int fd;
    SSL *tls; /* NULL: plain */
};

static void make_request(struct buf *out)
{
    _cleanup_buf_ struct buf body = {0};

    buf_lit(&body, "{\"RequestItems\":{\"bench\":[");
    for (int i = 0; i < ITEMS; i++)
        buf_printf(
            &body,
            "%s{\"PutRequest\":{\"Item\":{\"id\":{\"N\":\"%d\"},\"name\":{\"S\":\"Reader "
            "number %08d of the town "
            "library\"},\"mail\":{\"S\":\"reader%08d@example.org\"},\"city\":{\"S\":"
            "\"Winterthur-Seen, Switzerland\"},\"amount\":{\"N\":\"1234.56\"},\"quantity\":{\"N\":"
            "\"777\"},\"created_at\":{\"N\":\"1700000123456\"}}}}",
            i ? "," : "", 100000 + i, 100000 + i, 100000 + i);
    buf_lit(&body, "]},\"ReturnConsumedCapacity\":\"TOTAL\"}");
    buf_printf(out,
               "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n"
               "Content-Type: application/x-amz-json-1.0\r\n"
               "X-Amz-Target: DynamoDB_20120810.BatchWriteItem\r\nContent-Length: %zu\r\n\r\n",
               body.len);
    buf_append(out, body.data, body.len);
}

static int send_all(const struct line *l, const struct buf *b)
{
    if (l->tls)
        return SSL_write(l->tls, b->data, (int)b->len) == (int)b->len ? 0 : -EPIPE;
    for (size_t done = 0; done < b->len;) {
        ssize_t n = send(l->fd, b->data + done, b->len - done, MSG_NOSIGNAL);
        if (n <= 0)
            return -EPIPE;
        done += (size_t)n;
    }
    return 0;
}

/* An answer of the sink to a batch ends with its only double brace. */
static int read_answer(const struct line *l)
{
    char in[4096];
    size_t len = 0;

    while (len < 2 || memcmp(in + len - 2, "}}", 2) != 0) {
        size_t room = sizeof in - len;
        ssize_t n = room == 0 ? -1
                    : l->tls  ? SSL_read(l->tls, in + len, (int)room)
                              : recv(l->fd, in + len, room, 0);
        if (n <= 0)
            return -EPIPE;
        len += (size_t)n;
    }
    return strncmp(in, "HTTP/1.1 200 ", 13) == 0 ? 0 : -EPROTO;
}

static int connect_to(in_port_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof to) < 0) {
        close(fd);
        return -1;
    }
    if (fd >= 0)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static int open_line(struct line *l, const char *port, SSL_CTX *tls)
{
    l->tls = NULL;
    l->fd = connect_to((in_port_t)atoi(port));
    if (l->fd < 0 || !tls)
        return l->fd < 0 ? -1 : 0;
    l->tls = SSL_new(tls);
    if (l->tls && SSL_set_fd(l->tls, l->fd) == 1 && SSL_connect(l->tls) == 1)
        return 0;
    SSL_free(l->tls);
    close(l->fd);
    return -1;
}

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double used(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int hammer(const struct line *lines, int connections, long rounds)
{
    _cleanup_buf_ struct buf request = {0};
    double began = seconds(), busy = used();
    int rc = 0;

    make_request(&request);
    for (long r = 0; rc == 0 && r < rounds; r++) {
        for (int i = 0; rc == 0 && i < connections; i++)
            rc = send_all(&lines[i], &request);
        for (int i = 0; rc == 0 && i < connections; i++)
            rc = read_answer(&lines[i]);
    }
    double took = seconds() - began, items = (double)rounds * connections * ITEMS;
    busy = used() - busy;
    if (rc == 0)
        printf("%.0f %.3f %.3f\n", items / took, busy / took, busy * 1e6 / items);
    else
        fprintf(stderr, "hammer: the sink gave no usable answer\n");
    return rc == 0 ? 0 : 3;
}

static SSL_CTX *trust(const char *certificate)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

    if (tls && SSL_CTX_load_verify_file(tls, certificate) == 1) {
        SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
        return tls;
    }
    fprintf(stderr, "hammer: %s holds no certificate\n", certificate);
    SSL_CTX_free(tls);
    return NULL;
}

int main(int argc, char **argv)
{
    int connections = argc == 4 || argc == 5 ? atoi(argv[2]) : 0, open = 0, rc = 3;
    struct line lines[MAX_CONNECTIONS];

    if (connections < 1 || connections > MAX_CONNECTIONS) {
        fprintf(stderr, "usage: hammer PORT CONNECTIONS ROUNDS [CERTIFICATE]\n");
        return 2;
    }
    SSL_CTX *tls = argc == 5 ? trust(argv[4]) : NULL;
    if (argc == 5 && !tls)
        return 3;
    while (open < connections && open_line(&lines[open], argv[1], tls) == 0)
        open++;
    if (open == connections)
        rc = hammer(lines, connections, atol(argv[3]));
    else
        fprintf(stderr, "hammer: nothing usable listens on port %s of 127.0.0.1\n", argv[1]);
    while (open-- > 0) {
        SSL_free(lines[open].tls);
        close(lines[open].fd);
    }
    SSL_CTX_free(tls);
    return rc;
}
