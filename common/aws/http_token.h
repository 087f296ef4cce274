/* The characters that a header's name is made of (RFC 9110, 5.6.2). */
#ifndef SYNCD_AWS_HTTP_TOKEN_H
#define SYNCD_AWS_HTTP_TOKEN_H

#include <stdbool.h>

static inline bool http_is_token(char c)
{
    static const bool token[256] = {
        ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['!'] = true,
        ['#'] = true,         ['$'] = true,         ['%'] = true,         ['&'] = true,
        ['\''] = true,        ['*'] = true,         ['+'] = true,         ['-'] = true,
        ['.'] = true,         ['^'] = true,         ['_'] = true,         ['`'] = true,
        ['|'] = true,         ['~'] = true};

    return token[(unsigned char)c];
}

#endif
