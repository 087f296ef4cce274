/* An order of remote keys that is close to the one in which a table's rows are read. */
#include <string.h>

#include "mapping/item.h"

struct part {
    char type;
    const char *bytes;
    size_t len;
};

/* The next part of canonical bytes; an empty one at their end, or where they are none. */
static struct part next_part(const char **at, size_t *n)
{
    const unsigned char *p = (const unsigned char *)*at;
    size_t len = *n >= 3 ? (size_t)p[1] << 8 | p[2] : 0;
    struct part part = {.bytes = ""};

    if (*n < 3 || *n - 3 < len)
        len = *n < 3 ? 0 : *n - 3;
    if (*n >= 3)
        part = (struct part){(char)p[0], *at + 3, len};
    size_t whole = *n >= 3 ? 3 + len : *n;
    *at += whole;
    *n -= whole;
    return part;
}

static int by_bytes(const char *a, size_t an, const char *b, size_t bn)
{
    size_t less = an < bn ? an : bn;
    int c = less ? memcmp(a, b, less) : 0;

    return c ? c : (an > bn) - (an < bn);
}

/* A canonical number: sign, digits, and how many of these are before the point. */
struct decimal {
    bool negative;
    const char *digits;
    size_t count;
    long magnitude;
};

static struct decimal read_decimal(const struct part *p)
{
    struct decimal d = {.negative = p->len && p->bytes[0] == '-'};
    size_t at = d.negative;
    const char *e = memchr(p->bytes + at, 'e', p->len - at);
    long exponent = 0;
    bool minus = false;

    d.digits = p->bytes + at;
    d.count = e ? (size_t)(e - d.digits) : p->len - at;
    for (at += d.count + 1; at < p->len; at++) {
        if (p->bytes[at] == '-')
            minus = true;
        else if (exponent < 100000)
            exponent = exponent * 10 + (p->bytes[at] - '0');
    }
    d.magnitude = (long)d.count + (minus ? -exponent : exponent);
    return d;
}

static int by_value(const struct part *a, const struct part *b)
{
    struct decimal x = read_decimal(a), y = read_decimal(b);

    if (x.negative != y.negative)
        return x.negative ? -1 : 1;
    int c = (x.magnitude > y.magnitude) - (x.magnitude < y.magnitude);
    if (c == 0)
        c = by_bytes(x.digits, x.count, y.digits, y.count);
    return x.negative ? -c : c;
}

int item_key_order(const void *a, size_t an, const void *b, size_t bn)
{
    const char *x = a, *y = b;

    while (an && bn) {
        struct part p = next_part(&x, &an), q = next_part(&y, &bn);
        int c = (p.type > q.type) - (p.type < q.type);
        if (c == 0)
            c = p.type == ATTR_N ? by_value(&p, &q) : by_bytes(p.bytes, p.len, q.bytes, q.len);
        if (c)
            return c;
    }
    return (an > 0) - (bn > 0);
}
