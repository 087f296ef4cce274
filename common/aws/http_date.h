/* The time in a reply's Date header (RFC 9110, 5.6.7, the one form in use). */
#ifndef SYNCD_AWS_HTTP_DATE_H
#define SYNCD_AWS_HTTP_DATE_H

#include <errno.h>
#include <stdint.h>
#include <time.h>

/* Unix seconds of "Fri, 20 Nov 2026 01:02:03 GMT". 0 or -EINVAL. */
static inline int http_date_parse(const char *text, int64_t *out)
{
    struct tm tm = {0};

    if (!text[0] || !strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm))
        return -EINVAL;
    *out = timegm(&tm);
    return 0;
}

#endif
