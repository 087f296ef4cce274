/* UUIDs made of names (RFC 4122, 4.3, version 5): SHA-1 over the namespace's 16 bytes and the name.
 */
#ifndef SYNCD_MAPPING_UUID5_H
#define SYNCD_MAPPING_UUID5_H

#include <stddef.h>
#include <stdint.h>

#include "mapping/convert.h"

/* 0, or -EIO when libcrypto fails. */
int uuid5_make(const uint8_t space[UUID_BYTES], const void *name, size_t n,
               uint8_t out[UUID_BYTES]);

/* 36 characters, lower case, and a NUL. */
void uuid_print(const uint8_t uuid[UUID_BYTES], char out[UUID_TEXT + 1]);
/* xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx, either case. 0 or -EINVAL. */
int uuid_parse(const char *s, size_t n, uint8_t out[UUID_BYTES]);

/* A namespace by what the configuration calls it: a UUID; dns, url, oid or x500 (RFC 4122, C); any
 * other text stands for the UUID of that text in dns. 0 or -EIO. */
int uuid_space(const char *s, size_t n, uint8_t out[UUID_BYTES]);

#endif
