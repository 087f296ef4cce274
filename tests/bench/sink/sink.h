/* The sink's parts: connections (sink.c), what a request is and how it is counted (request.c), what
 * is said to it (answer.c), and TLS (tls.c). All of one thread. */
#ifndef SYNCD_BENCH_SINK_H
#define SYNCD_BENCH_SINK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <jansson.h>
#include <openssl/ssl.h>
#include <uv.h>

#include "base/buf.h"

enum { READ_CHUNK = 256 * 1024, MAX_HEAD = 16 * 1024, MAX_BODY = 17 * 1024 * 1024, MAX_KEYS = 2 };

#define META_TABLE "syncd-meta"

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
    uint64_t connections, requests, batches, puts, deletes, bytes, first_ns, last_ns;
    uint64_t most_waiting; /* answers held back at once: requests that were in flight together */
    struct arrival *ring;
    size_t ring_size, recorded;
    time_t date_of;
    char date[40];
    json_t *markers; /* items of META_TABLE by their id: {id: item} */
    SSL_CTX *tls;    /* NULL: plain HTTP */
    const char *certificate;
    char *raw; /* READ_CHUNK bytes: what came, still encrypted */

    /* Answers held back, in the order in which they are due: the delay is the same for all. */
    uint64_t delay_ns;
    int timer; /* timerfd */
    uv_poll_t due;
    struct conn *first_waiting, *last_waiting;
    size_t waiting;
};

struct conn {
    struct sink *sink;
    uv_tcp_t tcp;
    uv_write_t write;
    SSL *tls;
    struct buf in, out, left; /* left: what did not fit into the socket at once */
    size_t consumed;          /* bytes of `in` that the request being answered takes */
    bool answering, waiting, closed;
    uint64_t due; /* ns */
    struct conn *next_waiting;
};

struct http_message {
    const char *body;
    size_t body_len, total;
    bool get;
    char path[32], operation[32];
};

/* 1: a whole request is at the beginning of `in`; 0: more must come; -1: this is none. */
int request_parse(const struct buf *in, struct http_message *m);
/* Counts what is in a BatchWriteItem that had come in whole at `now`. */
void request_count(struct sink *s, const struct http_message *m, uint64_t now);
/* The answer to the request, in c->out. */
void answer_make(struct conn *c, const struct http_message *m);

/* A key and a certificate for 127.0.0.1, made now, the certificate in the file s->certificate as
 * well. false with a word on stderr. */
bool tls_start(struct sink *s);
void tls_end(struct sink *s);
/* false: no memory. */
bool tls_open(struct conn *c);
/* n bytes came: what they hold goes to c->in, and what TLS itself has to say to c->left. false:
 * this is no TLS. */
bool tls_take(struct conn *c, const char *bytes, size_t n);
/* c->out, encrypted, into c->left. */
bool tls_put(struct conn *c);

#endif
