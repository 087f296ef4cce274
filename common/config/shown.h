/* Somebody's text inside a message: cut short at a UTF-8 boundary, so that the rest of the
 * sentence, which says what to do, still fits. */
#ifndef SYNCD_CONFIG_SHOWN_H
#define SYNCD_CONFIG_SHOWN_H

#include <string.h>

enum { SHOWN_BYTES = 60 };

struct shown {
    char text[SHOWN_BYTES + 4];
};

/* Returns to->text, for use as an argument of err_set(). */
static inline const char *shown(struct shown *to, const char *text)
{
    size_t n = strlen(text);

    if (n <= SHOWN_BYTES) {
        memcpy(to->text, text, n + 1);
        return to->text;
    }
    n = SHOWN_BYTES;
    while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
        n--;
    memcpy(to->text, text, n);
    memcpy(to->text + n, "...", 4);
    return to->text;
}

#endif
