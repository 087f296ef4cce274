#include "config/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/shown.h"

enum { HOST_MAX = 64 };

/* "127.0.0.1:80", "[::1]:80" or the same without a port: the host alone, and what follows. */
static bool split(const char *text, char host[HOST_MAX], const char **port)
{
    const char *begin = text, *end;

    if (*text == '[') {
        begin++;
        end = strchr(begin, ']');
        *port = end ? end + 1 : NULL;
    } else {
        end = strchr(begin, ':');
        end = end ? end : begin + strlen(begin);
        *port = end;
    }
    if (!end || end == begin || end - begin >= HOST_MAX)
        return false;
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    return true;
}

static bool is_loopback(const char *host, struct sockaddr_storage *addr, socklen_t *len)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    *addr = (struct sockaddr_storage){0};
    if (strcasecmp(host, "localhost") == 0)
        host = "127.0.0.1";
    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1 && ntohl(v4.sin_addr.s_addr) >> 24 == 127) {
        memcpy(addr, &v4, sizeof v4);
        *len = sizeof v4;
        return true;
    }
    if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1 && IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr)) {
        memcpy(addr, &v6, sizeof v6);
        *len = sizeof v6;
        return true;
    }
    return false;
}

/* 0 when it is none. */
static in_port_t parse_port(const char *text)
{
    char *end;

    if (*text != ':' || text[1] < '0' || text[1] > '9')
        return 0;
    errno = 0;
    unsigned long n = strtoul(text + 1, &end, 10);
    return errno || *end || n > 65535 ? 0 : htons((in_port_t)n);
}

int listen_parse(const char *text, struct sockaddr_storage *addr, socklen_t *len, struct err *err)
{
    struct sockaddr_storage a;
    char host[HOST_MAX];
    const char *port;
    socklen_t n = 0;
    struct shown shown_text;

    if (!split(text, host, &port) || !parse_port(port))
        return err_set(err, -EINVAL, "\"%s\" is not ADDRESS:PORT, such as 127.0.0.1:9847",
                       shown(&shown_text, text));
    if (!is_loopback(host, &a, &n))
        return err_set(err, -EINVAL,
                       "\"%s\" is not an address of the loopback, and nobody is asked there who "
                       "they are; write 127.0.0.1%s, and put a proxy before it for others",
                       shown(&shown_text, text), port);
    if (a.ss_family == AF_INET)
        ((struct sockaddr_in *)&a)->sin_port = parse_port(port);
    else
        ((struct sockaddr_in6 *)&a)->sin6_port = parse_port(port);
    *addr = a;
    *len = n;
    return 0;
}

bool listen_host_is_loopback(const char *text)
{
    struct sockaddr_storage addr;
    char host[HOST_MAX];
    const char *port;
    socklen_t len;

    return split(text, host, &port) && (!*port || parse_port(port)) &&
           is_loopback(host, &addr, &len);
}
