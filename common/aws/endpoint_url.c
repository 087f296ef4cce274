#include "aws/endpoint_url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

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

/* The pieces as libcurl understands them; each NULL when absent. */
struct pieces {
    CURLU *url;
    char *scheme, *host, *port, *path, *user, *password, *query, *fragment, *zone;
};

static void pieces_free(struct pieces *p)
{
    char *parts[] = {p->scheme,   p->host,  p->port,     p->path, p->user,
                     p->password, p->query, p->fragment, p->zone};

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        curl_free(parts[i]);
    curl_url_cleanup(p->url);
}

static bool pieces_split(struct pieces *p, const char *text)
{
    p->url = curl_url();
    if (!p->url || curl_url_set(p->url, CURLUPART_URL, text, 0) != CURLUE_OK ||
        curl_url_get(p->url, CURLUPART_SCHEME, &p->scheme, 0) != CURLUE_OK ||
        curl_url_get(p->url, CURLUPART_HOST, &p->host, 0) != CURLUE_OK ||
        curl_url_get(p->url, CURLUPART_PATH, &p->path, 0) != CURLUE_OK)
        return false;
    curl_url_get(p->url, CURLUPART_PORT, &p->port, CURLU_NO_DEFAULT_PORT);
    curl_url_get(p->url, CURLUPART_USER, &p->user, 0);
    curl_url_get(p->url, CURLUPART_PASSWORD, &p->password, 0);
    curl_url_get(p->url, CURLUPART_QUERY, &p->query, 0);
    curl_url_get(p->url, CURLUPART_FRAGMENT, &p->fragment, 0);
    curl_url_get(p->url, CURLUPART_ZONEID, &p->zone, 0);
    return true;
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

    if (!pieces_split(&p, text) || !host_clean(p.host) || p.zone || p.user || p.password)
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

    /* What stands before an "@" may be a password. */
    if (!pieces_split(&p, text))
        return err_set(err, -EINVAL,
                       "%s is \"%s\", which is not a URL; write https://HOST or http://HOST:PORT",
                       where, strchr(text, '@') ? "..." : text);
    int r = check_pieces(&p, text, where, err);
    if (r < 0)
        return r;
    for (char *c = p.host; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    e.tls = strcmp(p.scheme, "https") == 0;
    if (!e.tls)
        r = judge_plain_http(text, p.host, where, allow_plain_http, err);
    if (r < 0)
        return r;
    int n =
        snprintf(e.host, sizeof e.host, "%s%s%s", p.host, p.port ? ":" : "", p.port ? p.port : "");
    int m = snprintf(e.url, sizeof e.url, "%s://%s/", p.scheme, e.host);
    if (n >= (int)sizeof e.host || m >= (int)sizeof e.url)
        return err_set(err, -EINVAL, "%s holds a host name of more than 300 characters; correct it",
                       where);
    *out = e;
    return 0;
}
