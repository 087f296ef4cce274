#include "aws/endpoint_url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "aws/libcurl.h"
#include "aws/wire_url.h"
#include "base/cleanup.h"

static const struct aws_partition partitions[] = {
    {"cn-", "aws-cn", "amazonaws.com.cn", "api.amazonwebservices.com.cn", false},
    {"us-gov-", "aws-us-gov", "amazonaws.com", "api.aws", true},
    {"eusc-", "aws-eusc", "amazonaws.eu", "api.amazonwebservices.eu", false},
    {"us-iso-", "aws-iso", "c2s.ic.gov", "api.aws.ic.gov", false},
    {"us-isob-", "aws-iso-b", "sc2s.sgov.gov", "api.aws.scloud", false},
    {"eu-isoe-", "aws-iso-e", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk", false},
    {"us-isof-", "aws-iso-f", "csp.hci.ic.gov", "api.aws.hci.ic.gov", false},
    {"", "aws", "amazonaws.com", "api.aws", false},
};

enum { PARTITIONS = sizeof partitions / sizeof *partitions };

const struct aws_partition *aws_partition_of(const char *region)
{
    const struct aws_partition *p = partitions;

    while (strncmp(region, p->region_prefix, strlen(p->region_prefix)) != 0)
        p++;
    return p;
}

/* Each NULL when absent. Those of a plain URL have the query within the path. */
struct pieces {
    struct wire_url plain;
    CURLU *url; /* not a plain one: as libcurl understands it */
    const char *scheme, *host, *port, *path, *user, *password, *query, *fragment, *zone;
};

static void pieces_free(struct pieces *p)
{
    if (!p->url)
        return;
    const char *parts[] = {p->scheme,   p->host,  p->port,     p->path, p->user,
                           p->password, p->query, p->fragment, p->zone};

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        libcurl.free((char *)parts[i]);
    libcurl.url_cleanup(p->url);
}

/* A name, or four plain numbers: no form of an address that libcurl would put into another. */
static bool host_plain(const char *host)
{
    unsigned char v4[4];

    return isalpha((unsigned char)*host) ? !strchr(host, ':') : inet_pton(AF_INET, host, v4) == 1;
}

static bool split_plain(struct pieces *p, const char *text)
{
    struct wire_url *u = &p->plain;

    if (!wire_url_parse(text, u) || !host_plain(u->host) || *u->port == '0')
        return false;
    const char *path = text + u->authority_end;
    p->scheme = u->tls ? "https" : "http";
    p->host = u->host;
    p->port = strchr(u->authority, ':') ? u->port : NULL;
    p->path = *path ? path : "/";
    return true;
}

static bool take(struct pieces *p, CURLUPart part, unsigned flags, const char **out)
{
    char *text = NULL;

    if (libcurl.url_get(p->url, part, &text, flags) != CURLUE_OK)
        return false;
    *out = text;
    return true;
}

static bool split_any(struct pieces *p, const char *text)
{
    p->url = libcurl.url();
    if (!p->url || libcurl.url_set(p->url, CURLUPART_URL, text, 0) != CURLUE_OK ||
        !take(p, CURLUPART_SCHEME, 0, &p->scheme) || !take(p, CURLUPART_HOST, 0, &p->host) ||
        !take(p, CURLUPART_PATH, 0, &p->path))
        return false;
    take(p, CURLUPART_PORT, CURLU_NO_DEFAULT_PORT, &p->port);
    take(p, CURLUPART_USER, 0, &p->user);
    take(p, CURLUPART_PASSWORD, 0, &p->password);
    take(p, CURLUPART_QUERY, 0, &p->query);
    take(p, CURLUPART_FRAGMENT, 0, &p->fragment);
    take(p, CURLUPART_ZONEID, 0, &p->zone);
    return true;
}

/* 0; -EINVAL: it is no URL, and *err has no sentence yet; -ENOENT, -ENOMEM: libcurl says why. */
static int pieces_split(struct pieces *p, const char *text, struct err *err)
{
    if (split_plain(p, text))
        return 0;
    int rc = libcurl_load(err);
    if (rc < 0)
        return rc;
    return split_any(p, text) ? 0 : -EINVAL;
}

static bool loopback(const char *host)
{
    unsigned char v4[4];

    return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
           (inet_pton(AF_INET, host, v4) == 1 && v4[0] == 127);
}

static bool under(const char *host, const char *domain)
{
    size_t n = strlen(host), d = strlen(domain);

    if (n && host[n - 1] == '.')
        n--;
    return n >= d && strncasecmp(host + n - d, domain, d) == 0 &&
           (n == d || host[n - d - 1] == '.');
}

static bool belongs_to_aws(const char *host)
{
    for (size_t i = 0; i < PARTITIONS; i++)
        if (under(host, partitions[i].suffix) || under(host, partitions[i].dual_stack_suffix))
            return true;
    return false;
}

/* A host that could end the Host header, or the URL we build, early. */
static bool host_clean(const char *host)
{
    for (const char *c = host; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("-._[]:", *c))
            return false;
    return *host != '\0';
}

/* Plain http carries rows and signatures readable and changeable by anyone on the way. */
static int judge_plain_http(const char *text, const char *host, const char *where, bool allowed,
                            struct err *err)
{
    if (belongs_to_aws(host))
        return err_set(err, -EINVAL,
                       "%s is \"%s\": AWS is never spoken to over plain http; write "
                       "https://%s",
                       where, text, host);
    if (!loopback(host) && !allowed)
        return err_set(
            err, -EINVAL,
            "%s is \"%s\": plain http to a host that is not this machine; write https://, "
            "or allow_plain_http = yes under [dynamodb] if that network is private",
            where, text);
    return 0;
}

/* Where EC2, ECS and EKS hand out credentials (AWS SDKs and Tools Reference Guide, "Container
 * credential provider" and "IMDS credential provider"). */
static bool hands_out_credentials(const char *host)
{
    static const char *const hosts[] = {"169.254.169.254", "169.254.170.2", "169.254.170.23",
                                        "[fd00:ec2::254]", "[fd00:ec2::23]"};

    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
        if (strcasecmp(host, hosts[i]) == 0)
            return true;
    return false;
}

int endpoint_url_near(const char *text, const char *where, bool plain_http, struct err *err)
{
    _cleanup_(pieces_free) struct pieces p = {0};

    int r = pieces_split(&p, text, err);
    if (r < 0 && r != -EINVAL)
        return r;
    if (r < 0 || !host_clean(p.host) || p.zone || p.user || p.password)
        return err_set(err, -EINVAL, "%s is not a URL that can be used; write http://HOST/PATH",
                       where);
    if (strcmp(p.scheme, "https") == 0)
        return 0;
    if (strcmp(p.scheme, "http") == 0 && (loopback(p.host) || hands_out_credentials(p.host) ||
                                          (plain_http && !belongs_to_aws(p.host))))
        return 0;
    return err_set(err, -EINVAL,
                   "%s names the host %s without TLS: credentials are taken over plain http only "
                   "from this machine and from AWS's link-local addresses; write https://",
                   where, p.host);
}

static int check_pieces(const struct pieces *p, const char *text, const char *where,
                        struct err *err)
{
    /* Not quoted: what stands before the "@" is a secret. */
    if (p->user || p->password)
        return err_set(err, -EINVAL,
                       "%s holds a user name or password; write only "
                       "https://HOST or http://HOST:PORT there",
                       where);
    if (strcmp(p->scheme, "https") != 0 && strcmp(p->scheme, "http") != 0)
        return err_set(err, -EINVAL, "%s is \"%s\"; write https://HOST or http://HOST:PORT", where,
                       text);
    if (strcmp(p->path, "/") != 0 || p->query || p->fragment)
        return err_set(err, -EINVAL,
                       "%s is \"%s\": nothing may follow the host and port; write %s://%s%s%s",
                       where, text, p->scheme, p->host, p->port ? ":" : "", p->port ? p->port : "");
    if (!host_clean(p->host) || p->zone || (p->port && atoi(p->port) == 0))
        return err_set(err, -EINVAL,
                       "%s is \"%s\": the host or port is not one to connect to; write "
                       "https://HOST or http://HOST:PORT",
                       where, text);
    return 0;
}

int endpoint_url_parse(const char *text, const char *where, bool allow_plain_http,
                       struct endpoint *out, struct err *err)
{
    _cleanup_(pieces_free) struct pieces p = {0};
    struct endpoint e = *out;

    int r = pieces_split(&p, text, err);
    if (r < 0 && r != -EINVAL)
        return r;
    /* What stands before an "@" may be a password. */
    if (r < 0)
        return err_set(err, -EINVAL,
                       "%s is \"%s\", which is not a URL; write https://HOST or http://HOST:PORT",
                       where, strchr(text, '@') ? "..." : text);
    if ((r = check_pieces(&p, text, where, err)) < 0)
        return r;
    e.tls = strcmp(p.scheme, "https") == 0;
    if (!e.tls)
        r = judge_plain_http(text, p.host, where, allow_plain_http, err);
    if (r < 0)
        return r;
    int n =
        snprintf(e.host, sizeof e.host, "%s%s%s", p.host, p.port ? ":" : "", p.port ? p.port : "");
    for (char *c = e.host; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    int m = snprintf(e.url, sizeof e.url, "%s://%s/", p.scheme, e.host);
    if (n >= (int)sizeof e.host || m >= (int)sizeof e.url)
        return err_set(err, -EINVAL, "%s holds a host name of more than 300 characters; correct it",
                       where);
    *out = e;
    return 0;
}
