/* The perfect loop: the least that can be done to bring a table's rows to a service over HTTPS on
 * this machine, as the limit that the daemon is held against.
 *
 *   limit DATABASE PORT CONNECTIONS ITEM_BYTES [plain]
 *
 * Reads all columns of table "bench" in the order of its key, 2,500 rows a statement; copies
 * ITEM_BYTES for each row into a request of 25; hashes the body (SHA-256), encrypts it
 * (AES-256-GCM, in records of 16 KB; not with "plain"), writes as many bytes to the sink on the
 * port, which speaks plain HTTP, and reads its answer. Nothing is encoded, signed, parsed, checked
 * or remembered, and there is no loop, no HTTP and no TLS but these bytes. Requests take turns on
 * the connections.
 *
 * Prints items a second, and microseconds of processor time an item. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include <openssl/evp.h>
#include <sqlite3.h>

#include "base/buf.h"

enum { ITEMS = 25, MAX_CONNECTIONS = 64, PAGE = 2500, RECORD = 16 * 1024, MOST_ITEM = 400 * 1024 };

struct limit {
    sqlite3_stmt *rows;
    int fds[MAX_CONNECTIONS];
    bool waiting[MAX_CONNECTIONS];
    int connections, next;
    size_t item_bytes, head;
    long sum; /* of what was read, so that it is read */
    char *item, *request, *encrypted;
    EVP_MD *sha256;
    EVP_MD_CTX *digest;
    EVP_CIPHER_CTX *cipher; /* NULL: plain */
    long items;
};

static double seconds(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
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

static int write_all(int fd, const char *bytes, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t sent = send(fd, bytes + done, n - done, MSG_NOSIGNAL);
        if (sent <= 0)
            return -EPIPE;
        done += (size_t)sent;
    }
    return 0;
}

/* An answer of the sink ends with its only double brace. */
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

static int encrypt(struct limit *l, const char *bytes, size_t n)
{
    unsigned char tag[16];
    int out;

    for (size_t at = 0; at < n; at += RECORD) {
        int part = (int)(n - at < RECORD ? n - at : RECORD);
        if (EVP_EncryptInit_ex2(l->cipher, NULL, NULL, tag, NULL) != 1 ||
            EVP_EncryptUpdate(l->cipher, (unsigned char *)l->encrypted, &out,
                              (const unsigned char *)bytes + at, part) != 1 ||
            EVP_EncryptFinal_ex(l->cipher, tag, &out) != 1 ||
            EVP_CIPHER_CTX_ctrl(l->cipher, EVP_CTRL_AEAD_GET_TAG, sizeof tag, tag) != 1)
            return -EIO;
    }
    return 0;
}

static int send_request(struct limit *l, int count)
{
    size_t n = (size_t)count * l->item_bytes;
    unsigned char hash[EVP_MAX_MD_SIZE];
    char *body = l->request + l->head;
    int i = l->next, rc = 0;

    if (EVP_DigestInit_ex2(l->digest, l->sha256, NULL) != 1 ||
        EVP_DigestUpdate(l->digest, body, n) != 1 || EVP_DigestFinal_ex(l->digest, hash, NULL) != 1)
        return -EIO;
    if (l->cipher)
        rc = encrypt(l, body, n);
    l->next = (i + 1) % l->connections;
    if (rc == 0 && l->waiting[i])
        rc = read_answer(l->fds[i]);
    l->waiting[i] = true;
    return rc == 0 ? write_all(l->fds[i], l->request, l->head + n) : rc;
}

static void read_columns(struct limit *l)
{
    for (int i = sqlite3_data_count(l->rows); i-- > 0;) {
        int type = sqlite3_column_type(l->rows, i);
        if (type == SQLITE_INTEGER)
            l->sum += sqlite3_column_int64(l->rows, i);
        else if (type == SQLITE_FLOAT)
            l->sum += (long)sqlite3_column_double(l->rows, i);
        else
            l->sum +=
                *(const char *)sqlite3_column_blob(l->rows, i) + sqlite3_column_bytes(l->rows, i);
    }
}

static int all_rows(struct limit *l)
{
    sqlite3_int64 last = INT64_MIN;
    int rc = 0, read = PAGE, in_request = 0;

    while (rc == 0 && read == PAGE) {
        sqlite3_bind_int64(l->rows, 1, last);
        for (read = 0; rc == 0 && sqlite3_step(l->rows) == SQLITE_ROW; read++) {
            last = sqlite3_column_int64(l->rows, 0);
            read_columns(l);
            memcpy(l->request + l->head + (size_t)in_request * l->item_bytes, l->item,
                   l->item_bytes);
            l->items++;
            if (++in_request == ITEMS) {
                rc = send_request(l, in_request);
                in_request = 0;
            }
        }
        sqlite3_reset(l->rows);
    }
    if (rc == 0 && in_request)
        rc = send_request(l, in_request);
    for (int i = 0; rc == 0 && i < l->connections; i++)
        if (l->waiting[i])
            rc = read_answer(l->fds[i]);
    return rc;
}

/* Every request but the last has 25 items; the last one's head would tell another length, so the
 * rows must be a multiple of 25. */
static bool prepare(struct limit *l, bool plain)
{
    static const char mark[] = "{\"PutRequest\":{\"Item\":{\"id\":{\"N\":\"1\"}}}}";
    unsigned char key[32] = {1};
    char head[512];

    l->item = malloc(l->item_bytes);
    l->request = malloc(sizeof head + ITEMS * l->item_bytes);
    l->encrypted = malloc(RECORD + 64);
    l->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    l->digest = EVP_MD_CTX_new();
    if (!l->item || !l->request || !l->encrypted || !l->sha256 || !l->digest)
        return false;
    memset(l->item, ' ', l->item_bytes);
    memcpy(l->item, mark, sizeof mark - 1);
    /* As long as a signed request's. */
    l->head = (size_t)snprintf(head, sizeof head,
                               "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                               "Content-Type: application/x-amz-json-1.0\r\n"
                               "X-Amz-Target: DynamoDB_20120810.BatchWriteItem\r\n"
                               "X-Padding: %0200d\r\nContent-Length: %zu\r\n\r\n",
                               0, ITEMS * l->item_bytes);
    memcpy(l->request, head, l->head);
    if (plain)
        return true;
    l->cipher = EVP_CIPHER_CTX_new();
    return l->cipher && EVP_EncryptInit_ex2(l->cipher, EVP_aes_256_gcm(), key, key, NULL) == 1;
}

static int measure(struct limit *l)
{
    double began = seconds(CLOCK_MONOTONIC), busy = seconds(CLOCK_PROCESS_CPUTIME_ID);
    int rc = all_rows(l);

    if (rc == 0)
        printf("%.0f %.4f\n", (double)l->items / (seconds(CLOCK_MONOTONIC) - began),
               (seconds(CLOCK_PROCESS_CPUTIME_ID) - busy) * 1e6 / (double)l->items);
    else
        fprintf(stderr, "limit: the sink gave no usable answer: %s\n", strerror(-rc));
    return rc == 0 ? 0 : 3;
}

int main(int argc, char **argv)
{
    struct limit l = {0};
    sqlite3 *db = NULL;
    bool plain = argc == 6 && strcmp(argv[5], "plain") == 0;
    int open = 0, rc = 3;

    l.connections = argc == 5 || plain ? atoi(argv[3]) : 0;
    l.item_bytes = l.connections ? strtoul(argv[4], NULL, 10) : 0;
    if (l.connections < 1 || l.connections > MAX_CONNECTIONS || l.item_bytes < 64 ||
        l.item_bytes > MOST_ITEM) {
        fprintf(stderr, "usage: limit DATABASE PORT CONNECTIONS ITEM_BYTES [plain]\n");
        return 2;
    }
    while (open < l.connections && (l.fds[open] = connect_to((in_port_t)atoi(argv[2]))) >= 0)
        open++;
    if (open < l.connections)
        fprintf(stderr, "limit: nothing listens on port %s of 127.0.0.1\n", argv[2]);
    else if (!prepare(&l, plain))
        fprintf(stderr, "limit: libcrypto does not do what is needed\n");
    else if (sqlite3_open_v2(argv[1], &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK ||
             sqlite3_prepare_v2(db, "SELECT * FROM bench WHERE id > ?1 ORDER BY id LIMIT 2500", -1,
                                &l.rows, NULL) != SQLITE_OK)
        fprintf(stderr, "limit: %s cannot be read: %s\n", argv[1], sqlite3_errmsg(db));
    else
        rc = measure(&l);
    return rc;
}
