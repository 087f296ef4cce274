/* Somebody's text inside a sentence: cut short between characters, so that the rest fits. */
#ifndef SYNCD_EXPORT_CUT_H
#define SYNCD_EXPORT_CUT_H

#include "base/text.h"

enum { CUT_BYTES = 60 };

struct cut {
    char text[CUT_BYTES + 1];
};

/* Returns to->text, for use as an argument. */
static inline const char *cut_n(struct cut *to, const char *s, size_t n)
{
    char whole[CUT_BYTES + 8];

    /* Some bytes more, so that text_copy() sees where a character is cut. */
    n = n < sizeof whole - 1 ? n : sizeof whole - 1;
    memcpy(whole, s, n);
    whole[n] = '\0';
    text_copy(to->text, sizeof to->text, whole);
    return to->text;
}

static inline const char *cut(struct cut *to, const char *s)
{
    return cut_n(to, s, strlen(s));
}

#endif
