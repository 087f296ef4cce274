#include "base/err.h"

#include <stdio.h>
#include <string.h>

/* A cut must not leave half a UTF-8 sequence: JSON and journald would refuse the text. */
static void trim_partial_utf8(char *text)
{
    size_t n = strlen(text), i = n;

    while (i > 0 && n - i < 4 && ((unsigned char)text[i - 1] & 0xc0) == 0x80)
        i--;
    if (i == 0)
        return;
    unsigned char lead = (unsigned char)text[i - 1];
    size_t want = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (n - (i - 1) < want)
        text[i - 1] = '\0';
}

int err_setv(struct err *err, int code, const char *fmt, va_list args)
{
    if (!err)
        return code;
    int n = vsnprintf(err->text, sizeof err->text, fmt, args);
    if (n >= (int)sizeof err->text)
        trim_partial_utf8(err->text);
    return code;
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    err_setv(err, code, fmt, args);
    va_end(args);
    return code;
}

int err_prefix(struct err *err, int code, const char *fmt, ...)
{
    struct err before, prefix;
    va_list args;

    if (!err)
        return code;
    before = *err;
    va_start(args, fmt);
    err_setv(&prefix, code, fmt, args);
    va_end(args);
    return err_set(err, code, "%s: %s", prefix.text, before.text);
}
