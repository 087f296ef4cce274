/* The bytes of mapping/oversize.h, shared by writer and reader. */
#ifndef SYNCD_MAPPING_OVERSIZE_FORMAT_H
#define SYNCD_MAPPING_OVERSIZE_FORMAT_H

#include "mapping/oversize.h"

enum {
    FORMAT_VERSION = 1,
    FORMAT_ZSTD = 1,
    PACKED_HEADER = 36,
    CHUNK_HEADER = 22,
    COMPRESSION_LEVEL = 3, /* zstd's own default */
};

#define SUFFIX_MARK "~syncd~"
enum { SUFFIX_MARK_LEN = sizeof SUFFIX_MARK - 1, SUFFIX_DIGITS = 4 };

static inline void put_be(unsigned char *to, uint64_t v, size_t n)
{
    while (n-- > 0) {
        to[n] = (unsigned char)v;
        v >>= 8;
    }
}

static inline uint64_t get_be(const unsigned char *from, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++)
        v = v << 8 | from[i];
    return v;
}

#endif
