/* The lists of config.h, and how names of tables and columns compare. */
#ifndef SYNCD_CONFIG_LISTS_H
#define SYNCD_CONFIG_LISTS_H

#include <stdbool.h>

#include "config/config.h"

/* Append a copy. 0 or -ENOMEM. */
int strlist_add(struct strlist *l, const char *item);
void strlist_clear(struct strlist *l);
bool strlist_equal(const struct strlist *a, const struct strlist *b);

/* `same` decides which keys are one. */
typedef bool same_fn(const char *a, const char *b);
/* The value of a key, or NULL. */
const char *pairlist_get(const struct pairlist *l, const char *key, same_fn *same);
/* Set a key to a copy of `value`, or take it out when `value` is NULL. 0 or -ENOMEM. */
int pairlist_set(struct pairlist *l, const char *key, const char *value, same_fn *same);
void pairlist_clear(struct pairlist *l);
/* The same keys with the same values, in any order. */
bool pairlist_equal(const struct pairlist *a, const struct pairlist *b, same_fn *same);

/* As SQLite compares names: ASCII letters without case, every other byte exactly. */
bool same_name(const char *a, const char *b);
bool same_text(const char *a, const char *b);
/* * is any text, ? any one character; letters as in same_name(). */
bool glob_match(const char *glob, const char *name);
/* The same for a glob of `n` bytes. */
bool glob_match_n(const char *glob, size_t n, const char *name);

#endif
