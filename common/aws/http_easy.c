#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>

#include "aws/http_libcurl.h"
#include "base/cleanup.h"

static size_t take_body(char *bytes, size_t one, size_t n, void *arg)
{
    struct libcurl_call *call = arg;

    (void)one; /* always 1 */
    if (n > call->client->setup.max_reply - call->body.len) {
        call->too_large = true;
        return 0;
    }
    buf_append(&call->body, bytes, n);
    call->no_memory = !buf_ok(&call->body);
    return call->no_memory ? 0 : n;
}

/* The value of header `name` when the line is that one: trimmed, printable, cut to `room`. */
static bool header_value(const char *line, size_t n, const char *name, char *out, size_t room)
{
    size_t len = strlen(name), at = 0;

    if (n <= len || line[len] != ':' || strncasecmp(line, name, len) != 0)
        return false;
    line += len + 1;
    n -= len + 1;
    while (n && (*line == ' ' || *line == '\t')) {
        line++;
        n--;
    }
    while (n && isspace((unsigned char)line[n - 1]))
        n--;
    for (size_t i = 0; i < n && at + 1 < room; i++)
        if (line[i] >= 0x20 && line[i] < 0x7f)
            out[at++] = line[i];
    out[at] = '\0';
    return true;
}

static bool parse_uint32(const char *text, uint32_t *out)
{
    uint64_t v = 0;
    size_t n = strlen(text);

    if (n == 0 || n > 10 || strspn(text, "0123456789") != n)
        return false;
    for (; *text; text++)
        v = v * 10 + (uint64_t)(*text - '0');
    if (v > UINT32_MAX)
        return false;
    *out = (uint32_t)v;
    return true;
}

static size_t take_header(char *line, size_t one, size_t n, void *arg)
{
    struct libcurl_call *call = arg;
    struct http_reply *r = &call->reply;
    char number[16];
    uint32_t msec;

    (void)one;
    call->header_bytes += n;
    if (call->header_bytes > HTTP_MAX_HEADER_BYTES) {
        call->too_large = true;
        return 0;
    }
    if (n >= 5 && memcmp(line, "HTTP/", 5) == 0) { /* an interim reply came before this one */
        *r = (struct http_reply){0};
        return n;
    }
    if (header_value(line, n, "x-amz-crc32", number, sizeof number))
        r->has_crc32 = parse_uint32(number, &r->crc32);
    else if (header_value(line, n, "x-amz-retry-after", number, sizeof number))
        r->retry_after = parse_uint32(number, &msec) ? msec * USEC_PER_MSEC : 0;
    else if (!header_value(line, n, "x-amzn-requestid", r->request_id, sizeof r->request_id))
        header_value(line, n, "date", r->date, sizeof r->date);
    return n;
}

/* Runs each time libcurl is about to send the request on a connection that is ready. The second
 * time it would repeat a request that may already have been carried out. A dead connection is not
 * written to at all, so that the outcome stays certain. */
static int before_send(void *arg, char *ip, char *local_ip, int port, int local_port)
{
    struct libcurl_call *call = arg;

    (void)ip;
    (void)local_ip;
    (void)port;
    if (call->sends == 0 && libcurl_loop_stale(call->client, local_port)) {
        call->stale = true;
        return CURL_PREREQFUNC_ABORT;
    }
    return ++call->sends > 1 ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (libcurl.easy_setopt(call->easy, (option), (value)) != CURLE_OK)                        \
            return -ENOMEM;                                                                        \
    } while (0)

static int set_connection_options(struct libcurl_call *call)
{
    struct libcurl_client *c = call->client;

    SET(CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075500
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
#else
    SET(CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
    /* Else giving up on a slow name server blocks the loop until that server has answered. */
    SET(CURLOPT_QUICK_EXIT, 1L);
#endif
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_TCP_NODELAY, 1L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    if (c->setup.ca_file) {
        SET(CURLOPT_CAINFO, c->setup.ca_file);
        /* With a directory set as well (Debian's default) libcurl parses the bundle anew for every
         * connection: 40 ms of processor time instead of 2. */
        SET(CURLOPT_CAPATH, NULL);
    }
    SET(CURLOPT_OPENSOCKETFUNCTION, libcurl_loop_open_socket);
    SET(CURLOPT_OPENSOCKETDATA, c);
    SET(CURLOPT_CLOSESOCKETFUNCTION, libcurl_loop_close_socket);
    SET(CURLOPT_CLOSESOCKETDATA, c);
    return 0;
}

int libcurl_call_prepare(struct libcurl_call *call)
{
    call->easy = libcurl.easy_init();
    if (!call->easy)
        return -ENOMEM;
    SET(CURLOPT_PRIVATE, call);
    SET(CURLOPT_ERRORBUFFER, call->curl_error);
    SET(CURLOPT_USERAGENT, "syncd/" SYNCD_VERSION);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, call);
    SET(CURLOPT_HEADERFUNCTION, take_header);
    SET(CURLOPT_HEADERDATA, call);
    SET(CURLOPT_PREREQFUNCTION, before_send);
    SET(CURLOPT_PREREQDATA, call);
    return set_connection_options(call);
}

static bool add_header(struct libcurl_call *call, const char *line)
{
    struct curl_slist *more = libcurl.slist_append(call->headers, line);

    if (more)
        call->headers = more;
    return more != NULL;
}

/* The caller's lines, and an end to what libcurl would add of its own. */
static int set_headers(struct libcurl_call *call, const struct http_request *req, struct err *err)
{
    bool has_type = false, ok = true;

    for (size_t i = 0; i < req->header_count; i++) {
        has_type = has_type || strncasecmp(req->headers[i], "content-type:", 13) == 0;
        ok = ok && add_header(call, req->headers[i]);
    }
    ok = ok && add_header(call, "Accept-Encoding: identity") && add_header(call, "Accept:") &&
         add_header(call, "Expect:") && (has_type || add_header(call, "Content-Type:"));
    if (!ok || libcurl.easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers) != CURLE_OK)
        return err_set(err, -ENOMEM, "out of memory while preparing a request");
    return 0;
}

static long milliseconds(usec given, usec otherwise)
{
    usec ms = ((given > 0 ? given : otherwise) + USEC_PER_MSEC - 1) / USEC_PER_MSEC;

    return ms > INT_MAX ? INT_MAX : (long)ms;
}

static int set_request(struct libcurl_call *call, const struct http_request *req)
{
    bool get = strcmp(req->method, "GET") == 0, post = strcmp(req->method, "POST") == 0;

    SET(CURLOPT_URL, req->url);
    SET(CURLOPT_TIMEOUT_MS, milliseconds(req->timeout, call->client->setup.timeout));
    SET(CURLOPT_CONNECTTIMEOUT_MS,
        milliseconds(req->connect_timeout, call->client->setup.connect_timeout));
    /* Plain http was allowed for a near host; a proxy would carry it elsewhere. */
    SET(CURLOPT_NOPROXY, req->no_proxy || strncasecmp(req->url, "http:", 5) == 0 ? "*" : NULL);
    SET(CURLOPT_CUSTOMREQUEST, get || post ? NULL : req->method);
    if (get) {
        SET(CURLOPT_HTTPGET, 1L);
        return 0;
    }
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->body_len);
    SET(CURLOPT_POSTFIELDS, req->body_len ? req->body : ""); /* NULL would read from stdin */
    return 0;
}

int libcurl_call_apply(struct libcurl_call *call, const struct http_request *req, struct err *err)
{
    call->sends = call->restarts = 0;
    call->stale = false;
    call->too_large = call->no_memory = false;
    call->header_bytes = 0;
    call->reply = (struct http_reply){0};
    call->curl_error[0] = '\0';
    buf_clear(&call->body);
    call->secret = req->secret;
    /* Growing would leave copies behind. */
    if (req->secret && !buf_reserve(&call->body, HTTP_SECRET_ROOM))
        return err_set(err, -ENOMEM, "out of memory while preparing a request");
    if (set_request(call, req) < 0)
        return err_set(err, -ENOMEM, "out of memory while preparing a request");
    return set_headers(call, req, err);
}

void libcurl_call_forget(struct libcurl_call *call)
{
    enum { KEEP = 64 * 1024 };

    libcurl.easy_setopt(call->easy, CURLOPT_HTTPHEADER, NULL);
    libcurl.easy_setopt(call->easy, CURLOPT_POSTFIELDS, "");
    libcurl.easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)0);
    for (struct curl_slist *h = call->headers; h; h = h->next)
        OPENSSL_cleanse(h->data, strlen(h->data));
    libcurl.slist_free_all(call->headers);
    call->headers = NULL;
    if (call->secret)
        buf_wipe(&call->body);
    else if (call->body.cap > KEEP)
        buf_free(&call->body);
}

struct verdict {
    const char *code, *phrase;
};

static struct verdict judge_unsent(CURLcode result)
{
    switch (result) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return (struct verdict){"resolve_failed", "the host's name cannot be resolved"};
    case CURLE_OPERATION_TIMEDOUT:
        return (struct verdict){"timeout", "no connection within the time allowed"};
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_USE_SSL_FAILED:
        return (struct verdict){"tls_failed", "no secure connection"};
    default:
        return (struct verdict){"connect_failed", "no connection"};
    }
}

static struct verdict judge_sent(const struct libcurl_call *call, CURLcode result)
{
    if (call->sends > 1)
        return (struct verdict){
            "resend_stopped", "the connection broke before a reply; the request was not repeated"};
    if (call->too_large)
        return (struct verdict){"too_large", "the reply is larger than allowed"};
    if (call->no_memory)
        return (struct verdict){"bad_reply", "out of memory for the reply"};
    switch (result) {
    case CURLE_OPERATION_TIMEDOUT:
        return (struct verdict){"timeout", "no whole reply within the time allowed"};
    case CURLE_PARTIAL_FILE:
        return (struct verdict){"connection_reset", "the reply was cut short"};
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_COULDNT_RESOLVE_HOST: /* these three: it broke, and so did the way to a new one */
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
        return (struct verdict){"connection_reset", "the connection broke"};
    default:
        return (struct verdict){"bad_reply", "the reply cannot be understood"};
    }
}

void libcurl_call_judge(struct libcurl_call *call, CURLcode result)
{
    struct http_reply *r = &call->reply;
    long status = 0;

    libcurl.easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    r->status = (int)status;
    r->body = call->body.data ? call->body.data : "";
    r->body_len = call->body.len;
    if (result == CURLE_OK) {
        r->outcome = HTTP_REPLIED;
        return;
    }
    r->outcome = call->sends ? HTTP_AMBIGUOUS : HTTP_NOT_SENT;
    struct verdict v = call->sends ? judge_sent(call, result) : judge_unsent(result);
    snprintf(r->code, sizeof r->code, "%s", v.code);
    snprintf(r->error, sizeof r->error, "%s (%.160s)", v.phrase,
             call->curl_error[0] ? call->curl_error : libcurl.easy_strerror(result));
}
