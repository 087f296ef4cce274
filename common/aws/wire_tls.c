#include "aws/wire_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "aws/wire_link.h"

/* --- the socket under OpenSSL, which would raise SIGPIPE by itself
 * -------------------------------- */

static int bio_write(BIO *bio, const char *bytes, int n)
{
    ssize_t sent = wire_link_raw_write(BIO_get_data(bio), bytes, (size_t)n);

    BIO_clear_retry_flags(bio);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_write(bio);
    return (int)sent;
}

static int bio_read(BIO *bio, char *to, int room)
{
    ssize_t got = wire_link_raw_read(BIO_get_data(bio), to, (size_t)room);

    BIO_clear_retry_flags(bio);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_read(bio);
    return (int)got;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static BIO_METHOD *make_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "syncd connection");

    if (m && BIO_meth_set_write(m, bio_write) && BIO_meth_set_read(m, bio_read) &&
        BIO_meth_set_ctrl(m, bio_ctrl) && BIO_meth_set_create(m, bio_create))
        return m;
    BIO_meth_free(m);
    return NULL;
}

/* --- the context ------------------------------------------------------------------------------ */

void wire_session_forget(struct wire_session *s)
{
    SSL_SESSION_free(s->latest);
    s->latest = NULL;
}

/* 1: the session is ours to free now. */
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct wire_session *s = SSL_get_app_data(ssl);

    wire_session_forget(s);
    s->latest = session;
    return 1;
}

static bool trust(SSL_CTX *x, const char *ca_file)
{
    int r = ca_file ? SSL_CTX_load_verify_file(x, ca_file) : SSL_CTX_set_default_verify_paths(x);

    /* Whatever stands in the file is trusted, also what signed nothing but itself or is no root. */
    X509_STORE_set_flags(SSL_CTX_get_cert_store(x), X509_V_FLAG_PARTIAL_CHAIN);
    return r == 1;
}

static SSL_CTX *make_context(const char *ca_file, const char **problem)
{
    static const unsigned char protocols[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
    SSL_CTX *x = SSL_CTX_new(TLS_client_method());

    *problem = "out of memory";
    if (!x || !SSL_CTX_set_min_proto_version(x, TLS1_2_VERSION) ||
        SSL_CTX_set_alpn_protos(x, protocols, sizeof protocols) != 0) {
        SSL_CTX_free(x);
        return NULL;
    }
    SSL_CTX_set_options(x, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(x, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                            SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(x, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_read_ahead(x, 1); /* a record by one read, not by two */
    SSL_CTX_set_session_cache_mode(x, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(x, keep_session);
    if (trust(x, ca_file))
        return x;
    *problem = "the certificates of the authorities cannot be read";
    SSL_CTX_free(x);
    return NULL;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* The context there is stays in use while its file is away or broken. */
static bool refresh(struct wire_tls *t, const char **problem)
{
    struct stat now = {0};

    if (!t->method && !(t->method = make_method())) {
        *problem = "out of memory";
        return false;
    }
    if (t->context && (!t->ca_file || stat(t->ca_file, &now) < 0 || same_file(&now, &t->ca_stat)))
        return true;
    if (!t->context && t->ca_file)
        stat(t->ca_file, &now);
    SSL_CTX *x = make_context(t->ca_file, problem);
    if (!x)
        return t->context != NULL;
    SSL_CTX_free(t->context);
    t->context = x;
    t->made++;
    t->ca_stat = now;
    return true;
}

void wire_tls_free(struct wire_tls *t)
{
    SSL_CTX_free(t->context);
    BIO_meth_free(t->method);
    *t = (struct wire_tls){0};
}

/* --- a connection ----------------------------------------------------------------------------- */

static bool expect_host(SSL *ssl, const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    X509_VERIFY_PARAM *p = SSL_get0_param(ssl);

    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(p, host) == 1;
    size_t n = strlen(host);
    if (n && host[n - 1] == '.') /* a certificate's names have no dot at the end, nor has SNI */
        n--;
    char name[256];
    if (n >= sizeof name)
        return false;
    memcpy(name, host, n);
    name[n] = '\0';
    X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_host(p, name, n) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

SSL *wire_tls_open(struct wire_tls *t, struct wire_link *link, const char *host,
                   struct wire_session *session, const char **problem)
{
    ERR_clear_error();
    if (!refresh(t, problem))
        return NULL;
    if (session->made != t->made)
        wire_session_forget(session);
    session->made = t->made;
    SSL *ssl = SSL_new(t->context);
    BIO *bio = ssl ? BIO_new(t->method) : NULL;
    *problem = "out of memory";
    if (!bio) {
        SSL_free(ssl);
        return NULL;
    }
    BIO_set_data(bio, link);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_app_data(ssl, session);
    SSL_set_connect_state(ssl);
    if (!expect_host(ssl, host)) {
        SSL_free(ssl);
        return NULL;
    }
    if (session->latest)
        SSL_set_session(ssl, session->latest);
    return ssl;
}
