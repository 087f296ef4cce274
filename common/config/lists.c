#include "config/lists.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int strlist_add(struct strlist *l, const char *item)
{
    char *copy = strdup(item);
    char **items = copy ? realloc(l->items, (l->count + 1) * sizeof *items) : NULL;

    if (!items) {
        free(copy);
        return -ENOMEM;
    }
    l->items = items;
    l->items[l->count++] = copy;
    return 0;
}

void strlist_clear(struct strlist *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->items[i]);
    free(l->items);
    *l = (struct strlist){0};
}

bool strlist_equal(const struct strlist *a, const struct strlist *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->items[i], b->items[i]) != 0)
            return false;
    return true;
}

static struct pair *find_pair(const struct pairlist *l, const char *key, same_fn *same)
{
    for (size_t i = 0; i < l->count; i++)
        if (same(l->items[i].key, key))
            return &l->items[i];
    return NULL;
}

const char *pairlist_get(const struct pairlist *l, const char *key, same_fn *same)
{
    const struct pair *p = find_pair(l, key, same);

    return p ? p->value : NULL;
}

/* Values may be secrets of an environment file. */
static void free_text(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    free(s);
}

static void take_out(struct pairlist *l, struct pair *p)
{
    size_t at = (size_t)(p - l->items);

    free(p->key);
    free_text(p->value);
    memmove(p, p + 1, (l->count - at - 1) * sizeof *p);
    l->count--;
}

/* The new pair, its value still NULL; or NULL. */
static struct pair *append_pair(struct pairlist *l, const char *key)
{
    char *copy = strdup(key);
    struct pair *items = copy ? realloc(l->items, (l->count + 1) * sizeof *items) : NULL;

    if (!items) {
        free(copy);
        return NULL;
    }
    struct pair *added = &items[l->count++];
    l->items = items;
    added->key = copy;
    added->value = NULL;
    return added;
}

int pairlist_set(struct pairlist *l, const char *key, const char *value, same_fn *same)
{
    struct pair *p = find_pair(l, key, same);

    if (!value) {
        if (p)
            take_out(l, p);
        return 0;
    }
    char *copy = strdup(value);
    if (copy && !p)
        p = append_pair(l, key);
    if (!copy || !p) {
        free_text(copy);
        return -ENOMEM;
    }
    free_text(p->value);
    p->value = copy;
    return 0;
}

void pairlist_clear(struct pairlist *l)
{
    for (size_t i = 0; i < l->count; i++) {
        free(l->items[i].key);
        free_text(l->items[i].value);
    }
    free(l->items);
    *l = (struct pairlist){0};
}

bool pairlist_equal(const struct pairlist *a, const struct pairlist *b, same_fn *same)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        const char *other = pairlist_get(b, a->items[i].key, same);
        if (!other || strcmp(other, a->items[i].value) != 0)
            return false;
    }
    return true;
}

static char folded(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool same_name(const char *a, const char *b)
{
    while (*a && folded(*a) == folded(*b)) {
        a++;
        b++;
    }
    return folded(*a) == folded(*b);
}

bool same_text(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* Past one UTF-8 character. */
static const char *next_character(const char *p)
{
    p++;
    while (((unsigned char)*p & 0xc0) == 0x80)
        p++;
    return p;
}

bool glob_match_n(const char *glob, size_t n, const char *name)
{
    const char *end = glob + n, *star = NULL, *retry = NULL;

    while (*name) {
        if (glob < end && *glob == '*') {
            star = ++glob;
            retry = name;
        } else if (glob < end && *glob == '?') {
            glob++;
            name = next_character(name);
        } else if (glob < end && folded(*glob) == folded(*name)) {
            glob++;
            name++;
        } else if (star) { /* let the last star take one character more */
            glob = star;
            name = retry = next_character(retry);
        } else {
            return false;
        }
    }
    while (glob < end && *glob == '*')
        glob++;
    return glob == end;
}

bool glob_match(const char *glob, const char *name)
{
    return glob_match_n(glob, strlen(glob), name);
}
