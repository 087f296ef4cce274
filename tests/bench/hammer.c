/* The simplest fast client there can be, to show how fast the sink is by itself.
 *
 *   hammer PORT CONNECTIONS ROUNDS
 *
 * One thread: a prepared BatchWriteItem of 25 items goes out on every connection, then every answer
 * is read; ROUNDS times. Nothing is signed, encoded or parsed, so that what holds it up is the sink
 * and the kernel. Prints items a second. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/buf.h"

enum { ITEMS = 25, MAX_CONNECTIONS = 64 };

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

static int send_all(int fd, const struct buf *b)
{
    for (size_t done = 0; done < b->len;) {
        ssize_t n = send(fd, b->data + done, b->len - done, MSG_NOSIGNAL);
        if (n <= 0)
            return -EPIPE;
        done += (size_t)n;
    }
    return 0;
}

/* An answer of the sink to a batch ends with its only double brace. */
static int read_answer(int fd)
{
    char in[4096];
    size_t len = 0;

    while (len < 2 || memcmp(in + len - 2, "}}", 2) != 0) {
        ssize_t n = len < sizeof in ? recv(fd, in + len, sizeof in - len, 0) : -1;
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

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int hammer(const int *fds, int connections, long rounds)
{
    _cleanup_buf_ struct buf request = {0};
    double began = seconds();
    int rc = 0;

    make_request(&request);
    for (long r = 0; rc == 0 && r < rounds; r++) {
        for (int i = 0; rc == 0 && i < connections; i++)
            rc = send_all(fds[i], &request);
        for (int i = 0; rc == 0 && i < connections; i++)
            rc = read_answer(fds[i]);
    }
    if (rc == 0)
        printf("%.0f\n", (double)rounds * connections * ITEMS / (seconds() - began));
    else
        fprintf(stderr, "hammer: the sink gave no usable answer\n");
    return rc == 0 ? 0 : 3;
}

int main(int argc, char **argv)
{
    int connections = argc == 4 ? atoi(argv[2]) : 0, fds[MAX_CONNECTIONS], open = 0, rc = 3;

    if (connections < 1 || connections > MAX_CONNECTIONS) {
        fprintf(stderr, "usage: hammer PORT CONNECTIONS ROUNDS\n");
        return 2;
    }
    while (open < connections && (fds[open] = connect_to((in_port_t)atoi(argv[1]))) >= 0)
        open++;
    if (open == connections)
        rc = hammer(fds, connections, atol(argv[3]));
    else
        fprintf(stderr, "hammer: nothing listens on port %s of 127.0.0.1\n", argv[1]);
    while (open > 0)
        close(fds[--open]);
    return rc;
}
