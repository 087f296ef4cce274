/* TLS 1.3 between memory and memory; the socket is sink.c's. AES-256-GCM and an RSA-2048
 * certificate, as AWS's endpoints have. */
#include <stdio.h>

#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include "sink.h"

static bool extend(X509 *x, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool good = e && X509_add_ext(x, e, -1) == 1;

    X509_EXTENSION_free(e);
    return good;
}

/* Its own authority, so that a client needs that one file to trust it. */
static X509 *make_certificate(EVP_PKEY *key)
{
    X509 *x = X509_new();
    X509_NAME *name = x ? X509_get_subject_name(x) : NULL;
    bool good = name && X509_set_version(x, 2) == 1 &&
                ASN1_INTEGER_set(X509_get_serialNumber(x), 1) == 1 &&
                X509_gmtime_adj(X509_getm_notBefore(x), -3600) &&
                X509_gmtime_adj(X509_getm_notAfter(x), 7 * 86400) &&
                X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"sink",
                                           -1, -1, 0) == 1 &&
                X509_set_issuer_name(x, name) == 1 && X509_set_pubkey(x, key) == 1 &&
                extend(x, NID_basic_constraints, "critical,CA:TRUE") &&
                extend(x, NID_key_usage, "critical,digitalSignature,keyEncipherment,keyCertSign") &&
                extend(x, NID_subject_key_identifier, "hash") &&
                extend(x, NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost") &&
                X509_sign(x, key, EVP_sha256()) > 0;

    if (!good) {
        X509_free(x);
        return NULL;
    }
    return x;
}

static bool write_certificate(const char *path, X509 *x)
{
    FILE *out = fopen(path, "we");
    bool good = out && PEM_write_X509(out, x) == 1;

    return out && fclose(out) == 0 && good;
}

bool tls_start(struct sink *s)
{
    EVP_PKEY *key = EVP_RSA_gen(2048);
    X509 *x = key ? make_certificate(key) : NULL;

    s->raw = malloc(READ_CHUNK);
    s->tls = SSL_CTX_new(TLS_server_method());
    bool good = s->raw && s->tls && x && SSL_CTX_use_certificate(s->tls, x) == 1 &&
                SSL_CTX_use_PrivateKey(s->tls, key) == 1 &&
                SSL_CTX_set_ciphersuites(s->tls, "TLS_AES_256_GCM_SHA384") == 1 &&
                write_certificate(s->certificate, x);
    EVP_PKEY_free(key);
    X509_free(x);
    if (!good)
        fprintf(stderr, "sink: no certificate could be made and written to %s\n", s->certificate);
    return good;
}

void tls_end(struct sink *s)
{
    SSL_CTX_free(s->tls);
    free(s->raw);
}

bool tls_open(struct conn *c)
{
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());

    c->tls = SSL_new(c->sink->tls);
    if (!c->tls || !in || !out) {
        BIO_free(in);
        BIO_free(out);
        return false;
    }
    SSL_set_bio(c->tls, in, out);
    SSL_set_accept_state(c->tls);
    return true;
}

static void collect(struct conn *c)
{
    BIO *out = SSL_get_wbio(c->tls);
    char *bytes = NULL;
    long n = BIO_get_mem_data(out, &bytes);

    if (n > 0)
        buf_append(&c->left, bytes, (size_t)n);
    (void)BIO_reset(out);
}

bool tls_take(struct conn *c, const char *bytes, size_t n)
{
    int got;

    if (BIO_write(SSL_get_rbio(c->tls), bytes, (int)n) != (int)n)
        return false;
    do {
        if (!buf_reserve(&c->in, SSL3_RT_MAX_PLAIN_LENGTH))
            return false;
        got = SSL_read(c->tls, c->in.data + c->in.len, SSL3_RT_MAX_PLAIN_LENGTH);
        if (got > 0)
            c->in.len += (size_t)got;
    } while (got > 0);
    if (c->in.data)
        c->in.data[c->in.len] = '\0';
    collect(c);
    return SSL_get_error(c->tls, got) == SSL_ERROR_WANT_READ && buf_ok(&c->left);
}

bool tls_put(struct conn *c)
{
    if (SSL_write(c->tls, c->out.data, (int)c->out.len) != (int)c->out.len)
        return false;
    collect(c);
    return buf_ok(&c->left);
}
