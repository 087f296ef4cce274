#include "mapping/value.h"

#include <errno.h>
#include <stdlib.h>

#include "base/text.h"
#include "mapping/number.h"

static const char *const kind_names[] = {"NULL", "INTEGER", "REAL", "TEXT", "BLOB"};

const char *value_kind_name(enum value_kind kind)
{
    return kind_names[kind];
}

/* One tag byte, then eight bytes of a number or a four-byte length and the bytes. Host byte order:
 * the encoding never leaves the machine. */
void value_encode(struct buf *out, const struct value *v)
{
    buf_putc(out, (char)v->kind);
    switch (v->kind) {
    case VALUE_NULL:
        break;
    case VALUE_INTEGER:
        buf_append(out, &v->integer, 8);
        break;
    case VALUE_REAL:
        buf_append(out, &v->real, 8);
        break;
    case VALUE_TEXT:
    case VALUE_BLOB: {
        uint32_t n = (uint32_t)v->len;
        buf_append(out, &n, 4);
        buf_append(out, v->bytes, n);
        break;
    }
    }
}

int value_decode(const void *bytes, size_t n, size_t *at, struct value *out)
{
    const char *p = (const char *)bytes + *at;
    size_t left = n - *at;
    struct value v;
    uint32_t len;

    if (left < 1 || (unsigned char)p[0] > VALUE_BLOB)
        return -EINVAL;
    v.kind = (enum value_kind)p[0];
    if (v.kind == VALUE_NULL) {
        *at += 1;
    } else if (v.kind == VALUE_INTEGER || v.kind == VALUE_REAL) {
        if (left < 9)
            return -EINVAL;
        if (v.kind == VALUE_INTEGER)
            memcpy(&v.integer, p + 1, 8);
        else
            memcpy(&v.real, p + 1, 8);
        *at += 9;
    } else {
        if (left < 5)
            return -EINVAL;
        memcpy(&len, p + 1, 4);
        if (left - 5 < len)
            return -EINVAL;
        v.bytes = p + 5;
        v.len = len;
        *at += 5 + (size_t)len;
    }
    *out = v;
    return 0;
}

int values_decode(const void *bytes, size_t n, struct value *out, size_t count)
{
    size_t at = 0;

    for (size_t i = 0; i < count; i++)
        if (value_decode(bytes, n, &at, &out[i]) < 0)
            return -EINVAL;
    return at == n ? 0 : -EINVAL;
}

void value_describe(struct buf *out, const struct value *v)
{
    enum { SHOWN = 60 };
    size_t n;

    switch (v->kind) {
    case VALUE_NULL:
        buf_lit(out, "NULL");
        break;
    case VALUE_INTEGER:
        buf_append_i64(out, v->integer);
        break;
    case VALUE_REAL:
        number_print_double(out, v->real);
        break;
    case VALUE_TEXT:
        n = v->len > SHOWN ? SHOWN : v->len;
        while (n > 0 && n < v->len && ((unsigned char)v->bytes[n] & 0xc0) == 0x80)
            n--;
        buf_putc(out, '\'');
        buf_append(out, v->bytes, n);
        buf_puts(out, n < v->len ? "…'" : "'");
        break;
    case VALUE_BLOB:
        n = v->len > SHOWN / 2 ? SHOWN / 2 : v->len;
        buf_lit(out, "x'");
        hex_append(out, v->bytes, n);
        buf_puts(out, n < v->len ? "…'" : "'");
        break;
    }
}

void value_from_number(const char *text, enum affinity affinity, struct value *out)
{
    char *end;
    const char *e = strchr(text, 'e');
    long exponent = e ? strtol(e + 1, NULL, 10) : 0;

    errno = 0;
    if (affinity != AFFINITY_REAL && exponent >= 0 && exponent < 19) {
        long long v = strtoll(text, &end, 10);
        bool fits = errno == 0;
        for (long i = 0; fits && i < exponent; i++)
            fits = !__builtin_mul_overflow(v, 10LL, &v);
        if (fits) {
            *out = (struct value){.kind = VALUE_INTEGER, .integer = v};
            return;
        }
    }
    *out = (struct value){.kind = VALUE_REAL, .real = strtod(text, NULL)};
}
