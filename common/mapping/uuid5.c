#include "mapping/uuid5.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/text.h"

int uuid5_make(const uint8_t space[UUID_BYTES], const void *name, size_t n, uint8_t out[UUID_BYTES])
{
    /* Fetched once: a fetch for every value would cost more than the hash. */
    static EVP_MD *sha1;
    static EVP_MD_CTX *ctx;
    unsigned char full[EVP_MAX_MD_SIZE];

    if (!sha1 && !(sha1 = EVP_MD_fetch(NULL, "SHA1", NULL)))
        return -EIO;
    if (!ctx && !(ctx = EVP_MD_CTX_new()))
        return -EIO;
    if (!EVP_DigestInit_ex2(ctx, sha1, NULL) || !EVP_DigestUpdate(ctx, space, UUID_BYTES) ||
        !EVP_DigestUpdate(ctx, name, n) || !EVP_DigestFinal_ex(ctx, full, NULL))
        return -EIO;
    memcpy(out, full, UUID_BYTES);
    out[6] = (uint8_t)((out[6] & 0x0f) | 0x50);
    out[8] = (uint8_t)((out[8] & 0x3f) | 0x80);
    return 0;
}

static bool dash_before(size_t byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void uuid_print(const uint8_t uuid[UUID_BYTES], char out[UUID_TEXT + 1])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < UUID_BYTES; i++) {
        if (dash_before(i))
            *out++ = '-';
        *out++ = digits[uuid[i] >> 4];
        *out++ = digits[uuid[i] & 0xf];
    }
    *out = '\0';
}

int uuid_parse(const char *s, size_t n, uint8_t out[UUID_BYTES])
{
    _cleanup_buf_ struct buf bytes = {0};

    if (n != UUID_TEXT)
        return -EINVAL;
    for (size_t i = 0; i < UUID_BYTES; i++) {
        if (dash_before(i) && *s++ != '-')
            return -EINVAL;
        if (hex_decode(&bytes, s, 2) < 0)
            return -EINVAL;
        s += 2;
    }
    if (!buf_ok(&bytes))
        return -EINVAL;
    memcpy(out, bytes.data, UUID_BYTES);
    return 0;
}

int uuid_space(const char *s, size_t n, uint8_t out[UUID_BYTES])
{
    static const char *const names[] = {"dns", "url", "oid", NULL, "x500"};
    uint8_t known[UUID_BYTES];

    if (uuid_parse(s, n, out) == 0)
        return 0;
    /* 6ba7b810-9dad-11d1-80b4-00c04fd430c8 and its neighbours. */
    if (uuid_parse("6ba7b810-9dad-11d1-80b4-00c04fd430c8", UUID_TEXT, known) < 0)
        return -EIO;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i] && strlen(names[i]) == n && strncmp(names[i], s, n) == 0) {
            known[3] = (uint8_t)(known[3] + i);
            memcpy(out, known, UUID_BYTES);
            return 0;
        }
    return uuid5_make(known, s, n, out);
}
