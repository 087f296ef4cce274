/* Dead letters as the oracle compares them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"

void letters_add(struct letters *l, const char *table, const void *row_key, size_t n)
{
    struct buf *more = realloc(l->items, (l->count + 1) * sizeof *more);

    if (!more)
        abort();
    l->items = more;
    struct buf *b = &more[l->count++];
    *b = (struct buf){0};
    buf_append(b, table, strlen(table) + 1);
    buf_append(b, row_key, n);
}

int bufs_order(const void *a, const void *b)
{
    const struct buf *x = a, *y = b;
    int rc = memcmp(x->data, y->data, x->len < y->len ? x->len : y->len);

    return rc ? rc : x->len < y->len ? -1 : x->len > y->len;
}

void letters_sort(struct letters *l)
{
    size_t kept = 0;

    if (l->count)
        qsort(l->items, l->count, sizeof *l->items, bufs_order);
    for (size_t i = 0; i < l->count; i++) {
        if (kept && bufs_order(&l->items[kept - 1], &l->items[i]) == 0)
            buf_free(&l->items[i]);
        else
            l->items[kept++] = l->items[i];
    }
    l->count = kept;
}

void letters_free(struct letters *l)
{
    for (size_t i = 0; i < l->count; i++)
        buf_free(&l->items[i]);
    free(l->items);
}

void letters_kept(void *arg, const struct dead_letter *d)
{
    letters_add(arg, d->table, d->row_key, d->row_key_len);
}

void letters_describe(const struct buf *b, char *out, size_t size)
{
    size_t at = (size_t)snprintf(out, size, "%s:", b->data);

    for (size_t i = strlen(b->data) + 1; i < b->len && at + 3 < size; i++) {
        unsigned char c = (unsigned char)b->data[i];
        at += (size_t)snprintf(out + at, size - at, c > 32 && c < 127 ? "%c" : "\\%02x", c);
    }
}
