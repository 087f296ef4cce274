#include "aws/sigv4.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "base/text.h"

enum { HASH = 32, MAX_HEADERS = 64, DAY = 8, AMZ_DATE = 16 };

/* The secret itself is not kept: `secret_hash` tells whether it is still the one behind `key`. */
struct sigv4_signer {
    char *region, *service;
    EVP_MD *sha256;
    EVP_MD_CTX *md;
    EVP_MAC *hmac;
    EVP_MAC_CTX *mac;
    bool keyed;
    char day[DAY + 1];
    unsigned char secret_hash[HASH];
    unsigned char key[HASH];
};

struct sigv4_signer *sigv4_new(const char *region, const char *service)
{
    struct sigv4_signer *s = calloc(1, sizeof *s);
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};

    if (!s)
        return NULL;
    s->region = strdup(region);
    s->service = strdup(service);
    s->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    s->md = EVP_MD_CTX_new();
    s->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    s->mac = s->hmac ? EVP_MAC_CTX_new(s->hmac) : NULL;
    if (s->region && s->service && s->sha256 && s->md && s->mac &&
        EVP_MAC_CTX_set_params(s->mac, params))
        return s;
    sigv4_free(s);
    return NULL;
}

void sigv4_free(struct sigv4_signer *s)
{
    if (!s)
        return;
    EVP_MAC_CTX_free(s->mac);
    EVP_MAC_free(s->hmac);
    EVP_MD_CTX_free(s->md);
    EVP_MD_free(s->sha256);
    free(s->region);
    free(s->service);
    OPENSSL_cleanse(s, sizeof *s);
    free(s);
}

static int hash(EVP_MD_CTX *ctx, const EVP_MD *sha256, const void *bytes, size_t n,
                unsigned char out[HASH])
{
    if (!EVP_DigestInit_ex2(ctx, sha256, NULL) || !EVP_DigestUpdate(ctx, bytes, n) ||
        !EVP_DigestFinal_ex(ctx, out, NULL))
        return -ENOMEM;
    return 0;
}

static int hmac(EVP_MAC_CTX *ctx, const unsigned char *key, size_t key_len, const void *bytes,
                size_t n, unsigned char out[HASH])
{
    size_t len;

    if (!EVP_MAC_init(ctx, key, key_len, NULL) || !EVP_MAC_update(ctx, bytes, n) ||
        !EVP_MAC_final(ctx, out, &len, HASH) || len != HASH)
        return -ENOMEM;
    return 0;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

/* RFC 9110's token characters. */
static bool name_valid(const char *name)
{
    if (!*name)
        return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && !strchr("!#$%&'*+-.^_`|~", *name))
            return false;
    return true;
}

static bool request_valid(const struct sigv4_request *req)
{
    if (!*req->method || strpbrk(req->method, " \r\n") || req->path[0] != '/' ||
        strpbrk(req->path, " \r\n?") || strpbrk(req->query, " \r\n") ||
        req->header_count > MAX_HEADERS)
        return false;
    for (size_t i = 0; i < req->header_count; i++)
        if (!name_valid(req->headers[i].name) || strpbrk(req->headers[i].value, "\r\n"))
            return false;
    return true;
}

/* Insertion sort: a handful of headers, nearly sorted, and equal names must keep their order. */
static void sort_headers(const struct sigv4_request *req, const struct sigv4_header **sorted)
{
    for (size_t i = 0; i < req->header_count; i++) {
        size_t at = i;
        while (at > 0 && strcasecmp(sorted[at - 1]->name, req->headers[i].name) > 0) {
            sorted[at] = sorted[at - 1];
            at--;
        }
        sorted[at] = &req->headers[i];
    }
}

static void append_lower(struct buf *out, const char *name)
{
    size_t from = out->len;

    buf_puts(out, name);
    for (; from < out->len; from++) /* ASCII: name_valid() */
        out->data[from] = (char)tolower((unsigned char)out->data[from]);
}

/* Without blanks at either end, each run of blanks inside as one space. */
static void append_folded(struct buf *out, const char *value)
{
    while (blank(*value))
        value++;
    while (*value) {
        size_t n = strcspn(value, " \t");
        buf_append(out, value, n);
        value += n;
        while (blank(*value))
            value++;
        if (*value)
            buf_putc(out, ' ');
    }
}

static bool same_name(const struct sigv4_header *a, const struct sigv4_header *b)
{
    return strcasecmp(a->name, b->name) == 0;
}

static void append_signed_names(struct buf *out, const struct sigv4_header **sorted, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i && same_name(sorted[i - 1], sorted[i]))
            continue;
        if (i)
            buf_putc(out, ';');
        append_lower(out, sorted[i]->name);
    }
}

static void append_headers(struct buf *out, const struct sigv4_header **sorted, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i && same_name(sorted[i - 1], sorted[i])) {
            buf_putc(out, ',');
        } else {
            if (i)
                buf_putc(out, '\n');
            append_lower(out, sorted[i]->name);
            buf_putc(out, ':');
        }
        append_folded(out, sorted[i]->value);
    }
    if (n)
        buf_putc(out, '\n');
}

/* The canonical request into `out`, and the list of signed header names into `names`. */
static int canonical(EVP_MD_CTX *ctx, const EVP_MD *sha256, const struct sigv4_request *req,
                     struct buf *out, struct buf *names)
{
    const struct sigv4_header *sorted[MAX_HEADERS];
    unsigned char body[HASH];

    if (!request_valid(req))
        return -EINVAL;
    sort_headers(req, sorted);
    int r = hash(ctx, sha256, req->body_len ? req->body : "", req->body_len, body);
    if (r < 0)
        return r;
    append_signed_names(names, sorted, req->header_count);
    buf_puts(out, req->method);
    buf_putc(out, '\n');
    buf_puts(out, req->path);
    buf_putc(out, '\n');
    buf_puts(out, req->query);
    buf_putc(out, '\n');
    append_headers(out, sorted, req->header_count);
    buf_putc(out, '\n');
    buf_append(out, names->data ? names->data : "", names->len);
    buf_putc(out, '\n');
    hex_append(out, body, sizeof body);
    return buf_ok(out) && buf_ok(names) ? 0 : -ENOMEM;
}

int sigv4_canonical_request(const struct sigv4_request *req, struct buf *out)
{
    _cleanup_buf_ struct buf text = {0}, names = {0};
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int r = ctx ? canonical(ctx, EVP_sha256(), req, &text, &names) : -ENOMEM;

    EVP_MD_CTX_free(ctx);
    if (r < 0)
        return r;
    buf_append(out, text.data, text.len);
    return buf_ok(out) ? 0 : -ENOMEM;
}

static bool amz_date_valid(const char *date)
{
    if (strlen(date) != AMZ_DATE || date[DAY] != 'T' || date[AMZ_DATE - 1] != 'Z')
        return false;
    for (int i = 0; i < AMZ_DATE - 1; i++)
        if (i != DAY && !isdigit((unsigned char)date[i]))
            return false;
    return true;
}

static void append_scope(struct buf *out, const struct sigv4_signer *s, const char *amz_date)
{
    buf_append(out, amz_date, DAY);
    buf_putc(out, '/');
    buf_puts(out, s->region);
    buf_putc(out, '/');
    buf_puts(out, s->service);
    buf_lit(out, "/aws4_request");
}

int sigv4_string_to_sign(const struct sigv4_signer *s, const char *amz_date,
                         const char *canonical_text, size_t n, struct buf *out)
{
    unsigned char digest[HASH];

    if (!amz_date_valid(amz_date))
        return -EINVAL;
    int r = hash(s->md, s->sha256, canonical_text, n, digest);
    if (r < 0 || !buf_reserve(out, 256 + strlen(s->region) + strlen(s->service)))
        return -ENOMEM;
    buf_lit(out, "AWS4-HMAC-SHA256\n");
    buf_puts(out, amz_date);
    buf_putc(out, '\n');
    append_scope(out, s, amz_date);
    buf_putc(out, '\n');
    hex_append(out, digest, sizeof digest);
    return 0;
}

static int derive_key(struct sigv4_signer *s, const char *secret, const char *amz_date)
{
    static const char prefix[] = "AWS4";
    size_t n = strlen(secret), len = sizeof prefix - 1 + n;
    unsigned char k[HASH];
    unsigned char *start = OPENSSL_malloc(len);

    if (!start)
        return -ENOMEM;
    memcpy(start, prefix, sizeof prefix - 1);
    memcpy(start + sizeof prefix - 1, secret, n);
    int r = hmac(s->mac, start, len, amz_date, DAY, k);
    if (r == 0)
        r = hmac(s->mac, k, HASH, s->region, strlen(s->region), k);
    if (r == 0)
        r = hmac(s->mac, k, HASH, s->service, strlen(s->service), k);
    if (r == 0)
        r = hmac(s->mac, k, HASH, "aws4_request", strlen("aws4_request"), s->key);
    OPENSSL_cleanse(k, sizeof k);
    OPENSSL_clear_free(start, len);
    return r;
}

static int ensure_key(struct sigv4_signer *s, const char *secret, const char *amz_date)
{
    unsigned char secret_hash[HASH];
    int r = hash(s->md, s->sha256, secret, strlen(secret), secret_hash);

    if (r < 0)
        return r;
    if (s->keyed && memcmp(s->day, amz_date, DAY) == 0 &&
        CRYPTO_memcmp(s->secret_hash, secret_hash, HASH) == 0)
        return 0;
    s->keyed = false;
    r = derive_key(s, secret, amz_date);
    if (r < 0)
        return r;
    memcpy(s->day, amz_date, DAY);
    memcpy(s->secret_hash, secret_hash, HASH);
    s->keyed = true;
    return 0;
}

/* The id stands in the header beside '/' and ','; anything odd there is not a key id. */
static bool key_id_valid(const char *id)
{
    if (!*id)
        return false;
    for (; *id; id++)
        if (!isgraph((unsigned char)*id) || *id == '/' || *id == ',')
            return false;
    return true;
}

int sigv4_sign(struct sigv4_signer *s, const struct credentials *c, const struct sigv4_request *req,
               const char *amz_date, struct buf *out)
{
    _cleanup_buf_ struct buf text = {0}, names = {0}, to_sign = {0};
    unsigned char signature[HASH];

    if (!amz_date_valid(amz_date) || !key_id_valid(c->access_key_id) || !*c->secret_access_key)
        return -EINVAL;
    buf_reserve(&text, 1000); /* a failure of these stays with them */
    buf_reserve(&names, 200);
    int r = canonical(s->md, s->sha256, req, &text, &names);
    if (r == 0)
        r = sigv4_string_to_sign(s, amz_date, text.data, text.len, &to_sign);
    if (r == 0)
        r = ensure_key(s, c->secret_access_key, amz_date);
    if (r == 0)
        r = hmac(s->mac, s->key, HASH, to_sign.data, to_sign.len, signature);
    if (r < 0)
        return r;
    /* Untouched unless all of it fits. */
    if (!buf_reserve(out, 256 + strlen(c->access_key_id) + strlen(s->region) + strlen(s->service) +
                              names.len))
        return -ENOMEM;
    buf_lit(out, "AWS4-HMAC-SHA256 Credential=");
    buf_puts(out, c->access_key_id);
    buf_putc(out, '/');
    append_scope(out, s, amz_date);
    buf_lit(out, ", SignedHeaders=");
    buf_append(out, names.data ? names.data : "", names.len);
    buf_lit(out, ", Signature=");
    hex_append(out, signature, sizeof signature);
    return 0;
}

void sigv4_date(int64_t unix_seconds, char out[17])
{
    const int64_t last = INT64_C(253402300799); /* the end of year 9999 */
    time_t t = (time_t)(unix_seconds < 0 ? 0 : unix_seconds > last ? last : unix_seconds);
    struct tm tm;

    if (!gmtime_r(&t, &tm) || strftime(out, AMZ_DATE + 1, "%Y%m%dT%H%M%SZ", &tm) != AMZ_DATE)
        memcpy(out, "19700101T000000Z", AMZ_DATE + 1);
}
