#include "aws/wire_link.h"

#include <errno.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "aws/wire_tls.h"

ssize_t wire_link_raw_write(struct wire_link *l, const void *bytes, size_t n)
{
    ssize_t sent = send(l->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (sent > 0)
        l->handed += (size_t)sent;
    return sent;
}

ssize_t wire_link_raw_read(const struct wire_link *l, void *to, size_t room)
{
    return recv(l->fd, to, room, MSG_DONTWAIT);
}

static enum wire_io judge_errno(enum wire_io want)
{
    return errno == EAGAIN || errno == EINTR ? want : WIRE_IO_BROKEN;
}

/* What SSL_get_error() says is only true of an error queue that was empty before. */
static void clear_errors(void)
{
    if (ERR_peek_error() != 0)
        ERR_clear_error();
}

static enum wire_io judge_tls(const struct wire_link *l, int result)
{
    switch (SSL_get_error(l->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return WIRE_IO_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return WIRE_IO_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return WIRE_IO_END;
    default:
        return WIRE_IO_BROKEN;
    }
}

enum wire_io wire_link_shake(struct wire_link *l)
{
    clear_errors();
    int r = SSL_do_handshake(l->ssl);
    return r == 1 ? WIRE_IO_DONE : judge_tls(l, r);
}

static enum wire_io send_plain(struct wire_link *l, const struct wire_parts *p, size_t at,
                               size_t *sent)
{
    size_t head = at < p->head_len ? p->head_len - at : 0, body = at + head - p->head_len;
    struct iovec v[2] = {{(char *)p->head + (p->head_len - head), head},
                         {(char *)p->body + body, p->body_len - body}};
    struct msghdr m = {.msg_iov = v + (head == 0), .msg_iovlen = head == 0 ? 1 : 2};
    ssize_t n = sendmsg(l->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0)
        return judge_errno(WIRE_IO_WANT_WRITE);
    l->handed += (size_t)n;
    *sent = (size_t)n;
    return WIRE_IO_DONE;
}

/* Records of full size. What is tried again after WIRE_IO_WANT_WRITE begins with the same bytes, as
 * OpenSSL asks for: it depends on `at` alone. */
static enum wire_io send_tls(struct wire_link *l, const struct wire_parts *p, size_t at,
                             char *scratch, size_t *sent)
{
    const char *from = scratch;
    size_t n;

    if (at >= p->head_len) {
        from = p->body + (at - p->head_len);
        n = p->head_len + p->body_len - at;
    } else {
        size_t head = p->head_len - at < WIRE_RECORD ? p->head_len - at : WIRE_RECORD;
        size_t body = WIRE_RECORD - head < p->body_len ? WIRE_RECORD - head : p->body_len;
        memcpy(scratch, p->head + at, head);
        if (body)
            memcpy(scratch + head, p->body, body);
        n = head + body;
    }
    clear_errors();
    int r = SSL_write_ex(l->ssl, from, n, sent);
    enum wire_io io = r == 1 ? WIRE_IO_DONE : judge_tls(l, r);
    if (at < p->head_len)
        explicit_bzero(scratch, p->head_len - at < WIRE_RECORD ? p->head_len - at : WIRE_RECORD);
    return io;
}

enum wire_io wire_link_send(struct wire_link *l, const struct wire_parts *p, size_t at,
                            char *scratch, size_t *sent)
{
    return l->ssl ? send_tls(l, p, at, scratch, sent) : send_plain(l, p, at, sent);
}

enum wire_io wire_link_read(struct wire_link *l, char *to, size_t room, size_t *got)
{
    if (l->ssl) {
        clear_errors();
        int r = SSL_read_ex(l->ssl, to, room, got);
        return r == 1 ? WIRE_IO_DONE : judge_tls(l, r);
    }
    ssize_t n = wire_link_raw_read(l, to, room);
    if (n < 0)
        return judge_errno(WIRE_IO_WANT_READ);
    *got = (size_t)n;
    return n == 0 ? WIRE_IO_END : WIRE_IO_DONE;
}

bool wire_link_pending(const struct wire_link *l)
{
    return l->ssl && SSL_has_pending(l->ssl);
}

/* TLS is not troubled with what the kernel tells for less. */
static bool nothing_came(const struct wire_link *l)
{
    char first;

    return !wire_link_pending(l) && recv(l->fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
           errno == EAGAIN;
}

bool wire_link_quiet(struct wire_link *l, char *scratch, size_t room)
{
    size_t got;

    if (nothing_came(l))
        return true;
    enum wire_io io = wire_link_read(l, scratch, room, &got);

    return io == WIRE_IO_WANT_READ || io == WIRE_IO_WANT_WRITE;
}

void wire_link_free(struct wire_link *l, bool orderly)
{
    if (!l->ssl)
        return;
    clear_errors();
    if (orderly && SSL_is_init_finished(l->ssl))
        SSL_shutdown(l->ssl);
    SSL_free(l->ssl);
    l->ssl = NULL;
}

const char *wire_link_problem(const struct wire_link *l)
{
    long verified = SSL_get_verify_result(l->ssl);
    unsigned long code = ERR_peek_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;

    if (verified != X509_V_OK)
        return X509_verify_cert_error_string(verified);
    return reason ? reason : "the peer ended the connection";
}
