#include "aws/wire_url.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* How many of the leading characters are letters, digits or one of `others`. */
static size_t span(const char *s, const char *others)
{
    size_t n = 0;

    while (isalnum((unsigned char)s[n]) || (s[n] && strchr(others, s[n])))
        n++;
    return n;
}

/* The length of the host as it is written, brackets included; 0: none that is plain. */
static size_t host_length(const char *at)
{
    if (*at != '[')
        return span(at, "-._");
    size_t n = 1 + strspn(at + 1, "0123456789abcdefABCDEF:.");
    return n > 1 && at[n] == ']' ? n + 1 : 0;
}

static bool port_valid(const char *at, size_t n)
{
    if (n == 0 || n > 5 || strspn(at, "0123456789") != n)
        return false;
    int port = atoi(at);
    return port > 0 && port <= 65535;
}

static bool path_plain(const char *path)
{
    for (; *path; path++)
        if (*path <= 0x20 || *path >= 0x7f || *path == '#')
            return false;
    return true;
}

bool wire_url_parse(const char *url, struct wire_url *out)
{
    bool tls = strncasecmp(url, "https://", 8) == 0;

    if (!tls && strncasecmp(url, "http://", 7) != 0)
        return false;
    const char *host = url + (tls ? 8 : 7), *port = tls ? "443" : "80", *standard = port;
    size_t host_len = host_length(host), port_len = strlen(port);
    const char *end = host + host_len;
    if (host_len == 0 || host_len >= sizeof out->host)
        return false;
    if (*end == ':') {
        port = end + 1;
        port_len = strspn(port, "0123456789");
        end = port + port_len;
        if (!port_valid(port, port_len))
            return false;
    }
    if ((*end && *end != '/') || !path_plain(end))
        return false;
    bool usual = port_len == strlen(standard) && strncmp(port, standard, port_len) == 0;
    int bracket = *host == '[';
    *out = (struct wire_url){.tls = tls, .authority_end = (size_t)(end - url)};
    snprintf(out->host, sizeof out->host, "%.*s", (int)host_len - 2 * bracket, host + bracket);
    snprintf(out->port, sizeof out->port, "%.*s", (int)port_len, port);
    snprintf(out->authority, sizeof out->authority, "%.*s%s%s", (int)host_len, host,
             usual ? "" : ":", usual ? "" : out->port);
    return true;
}
