/* A growable byte buffer.
 *
 * Appending never returns an error: after a failed allocation (or a length past SIZE_MAX / 2) the
 * buffer is `failed`, further appends do nothing, and the caller checks once at the end with
 * buf_ok(). The bytes are followed by a NUL that does not count, so `data` is a C string when the
 * content holds no NUL of its own. Zero-initialised is empty; buf_free() makes it empty again. */
#ifndef SYNCD_BASE_BUF_H
#define SYNCD_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"

struct buf {
    char *data;
    size_t len;
    size_t cap;
    bool failed;
};

/* Make room for `more` bytes past len (and the NUL); false when that failed. */
bool buf_reserve(struct buf *b, size_t more);
/* The same for secrets: the bytes are wiped first. Reserve room beforehand, for growing may leave a
 * copy behind. */
void buf_wipe(struct buf *b);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Decimal text without a NUL; how many bytes it is. */
enum { TEXT_U64 = 20, TEXT_I64 = 21 };
size_t text_u64(char to[TEXT_U64], uint64_t v);
size_t text_i64(char to[TEXT_I64], int64_t v);
void buf_append_u64(struct buf *b, uint64_t v);
void buf_append_i64(struct buf *b, int64_t v);

static inline void buf_free(struct buf *b)
{
    if (b->data) /* most that go out of scope are empty */
        free(b->data);
    *b = (struct buf){0};
}

static inline bool buf_ok(const struct buf *b)
{
    return !b->failed;
}

/* What does not fit, or cannot be had. */
void buf_append_grown(struct buf *b, const void *bytes, size_t n);

/* Inline for the many short pieces that an item is made of. GCC's analyzer cannot know that only no
 * bytes at all may be NULL. */
#ifndef __clang__
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wanalyzer-null-argument"
#endif
static inline void buf_append(struct buf *b, const void *bytes, size_t n)
{
    if (!b->data || b->failed || n >= b->cap - b->len) {
        buf_append_grown(b, bytes, n);
        return;
    }
    if (n)
        memcpy(b->data + b->len, bytes, n);
    b->len += n;
    b->data[b->len] = '\0';
}
#ifndef __clang__
#pragma GCC diagnostic pop
#endif

/* Where up to `n` bytes may be written, to be followed by buf_wrote() with the place behind the
 * last of them. NULL: failed. */
static inline char *buf_room(struct buf *b, size_t n)
{
    if (!b->data || b->failed || n >= b->cap - b->len)
        return buf_reserve(b, n) ? b->data + b->len : NULL;
    return b->data + b->len;
}

static inline void buf_wrote(struct buf *b, char *end)
{
    b->len = (size_t)(end - b->data);
    *end = '\0';
}

static inline void buf_clear(struct buf *b)
{
    b->len = 0;
    b->failed = false;
    if (b->data)
        b->data[0] = '\0';
}

static inline void buf_puts(struct buf *b, const char *s)
{
    buf_append(b, s, strlen(s));
}

static inline void buf_putc(struct buf *b, char c)
{
    buf_append(b, &c, 1);
}

/* A literal, its length known when compiled. */
#define buf_lit(b, s) buf_append((b), "" s, sizeof(s) - 1)

#define _cleanup_buf_ _cleanup_(buf_free)

#endif
