#include "base/buf.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

bool buf_reserve(struct buf *b, size_t more)
{
    if (b->failed)
        return false;
    if (more < b->cap - b->len && b->cap)
        return true;
    if (more > SIZE_MAX / 2 - b->len - 1) {
        b->failed = true;
        return false;
    }
    size_t want = b->len + more + 1;
    size_t cap = b->cap ? b->cap : 64;
    while (cap < want)
        cap *= 2;
    char *data = realloc(b->data, cap);
    if (!data) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->cap = cap;
    return true;
}

void buf_wipe(struct buf *b)
{
    if (b->data)
        explicit_bzero(b->data, b->cap);
    buf_free(b);
}

void buf_append_grown(struct buf *b, const void *bytes, size_t n)
{
    if (!buf_reserve(b, n))
        return;
    if (n)
        memcpy(b->data + b->len, bytes, n);
    b->len += n;
    b->data[b->len] = '\0';
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args, again;

    if (!buf_reserve(b, 64)) /* mostly enough, and then it is printed once */
        return;
    va_start(args, fmt);
    va_copy(again, args);
    size_t room = b->cap - b->len;
    int n = vsnprintf(b->data + b->len, room, fmt, args);
    va_end(args);
    if (n >= 0 && (size_t)n < room) {
        b->len += (size_t)n;
    } else {
        b->data[b->len] = '\0'; /* without what was cut */
        if (n < 0)
            b->failed = true;
        else if (buf_reserve(b, (size_t)n)) {
            vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
            b->len += (size_t)n;
        }
    }
    va_end(again);
}

static size_t digits_of(uint64_t v)
{
    size_t n = 1;

    for (;; v /= 10000, n += 4) {
        if (v < 10)
            return n;
        if (v < 100)
            return n + 1;
        if (v < 1000)
            return n + 2;
        if (v < 10000)
            return n + 3;
    }
}

/* Two digits at a time: a division is what a digit costs. */
size_t text_u64(char to[TEXT_U64], uint64_t v)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    size_t n = digits_of(v);
    char *at = to + n;

    for (; v >= 100; v /= 100)
        memcpy(at -= 2, pairs + 2 * (v % 100), 2);
    if (v >= 10)
        memcpy(at - 2, pairs + 2 * v, 2);
    else
        at[-1] = (char)('0' + v);
    return n;
}

size_t text_i64(char to[TEXT_I64], int64_t v)
{
    if (v >= 0)
        return text_u64(to, (uint64_t)v);
    *to = '-';
    return 1 + text_u64(to + 1, -(uint64_t)v);
}

void buf_append_u64(struct buf *b, uint64_t v)
{
    char *to = buf_room(b, TEXT_U64);

    if (to)
        buf_wrote(b, to + text_u64(to, v));
}

void buf_append_i64(struct buf *b, int64_t v)
{
    char *to = buf_room(b, TEXT_I64);

    if (to)
        buf_wrote(b, to + text_i64(to, v));
}
