#include "ctl/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <grp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_ANSWER      ((size_t)64 << 20)
#define CONNECT_SECONDS 5L

DEFINE_CLEANUP(CURL *, curl_easy_cleanup)

static size_t on_bytes(char *bytes, size_t size, size_t n, void *arg)
{
    struct buf *body = arg;

    if (body->len + size * n > MAX_ANSWER)
        return 0;
    buf_append(body, bytes, size * n);
    return buf_ok(body) ? size * n : 0;
}

/* The group that may ask: the socket's, or that of the directory which hides it. */
static void name_group(const char *socket, struct buf *out)
{
    _cleanup_free_ char *dir = NULL;
    struct stat st;

    if (stat(socket, &st) != 0) {
        const char *slash = strrchr(socket, '/');
        dir = slash && slash > socket ? strndup(socket, (size_t)(slash - socket)) : NULL;
        if (!dir || stat(dir, &st) != 0)
            return;
    }
    const struct group *g = getgrgid(st.st_gid);
    if (g)
        buf_puts(out, g->gr_name);
    else
        buf_printf(out, "%ld", (long)st.st_gid);
}

static int explain_denied(const char *socket, struct err *err)
{
    _cleanup_buf_ struct buf group = {0};

    name_group(socket, &group);
    if (!group.len || !buf_ok(&group))
        return err_set(err, -EACCES, "%s may not be used by this user; ask as root (sudo)", socket);
    return err_set(err, -EACCES,
                   "%s may not be used by this user: join the group %s (usermod -aG %s USER, then "
                   "log in again) or ask as root (sudo)",
                   socket, group.data, group.data);
}

static int explain(const char *socket, CURLcode code, long os_error, const struct buf *body,
                   struct err *err)
{
    if (code == CURLE_COULDNT_CONNECT && (os_error == EACCES || os_error == EPERM))
        return explain_denied(socket, err);
    if (code == CURLE_COULDNT_CONNECT)
        return err_set(err, -ECONNREFUSED,
                       "no syncd answers on %s: is it running? (systemctl status syncd)", socket);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return err_set(err, -ETIMEDOUT,
                       "syncd on %s did not answer in time: is it stuck? (journalctl -u syncd)",
                       socket);
    if (code == CURLE_WRITE_ERROR && buf_ok(body))
        return err_set(err, -EIO, "the answer on %s is over 64 MiB: is it syncd?", socket);
    if (code == CURLE_WRITE_ERROR || code == CURLE_OUT_OF_MEMORY)
        return err_set(err, -EIO, "no memory for the answer of syncd on %s", socket);
    if (code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR ||
        code == CURLE_PARTIAL_FILE)
        return err_set(err, -EIO,
                       "syncd on %s hung up before it had answered: it may be stopping; try again",
                       socket);
    return err_set(err, -EIO, "cannot ask syncd on %s: %s", socket, curl_easy_strerror(code));
}

static void set_options(CURL *curl, const char *socket, const char *method, const char *url,
                        usec timeout, struct buf *body)
{
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(timeout / USEC_PER_MSEC));
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
    if (strcmp(method, "POST") == 0) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, 0L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
    }
}

int client_ask(const char *socket, const char *method, const char *target, usec timeout,
               int *status, struct buf *body, struct err *err)
{
    _cleanup_(curl_easy_cleanup_cleanup) CURL *curl = curl_easy_init();
    _cleanup_buf_ struct buf url = {0};
    long http = 0, os_error = 0;

    buf_printf(&url, "http://localhost%s", target);
    if (!curl || !buf_ok(&url))
        return err_set(err, -EIO, "no memory to ask syncd on %s", socket);
    set_options(curl, socket, method, url.data, timeout, body);
    CURLcode code = curl_easy_perform(curl);
    if (code != CURLE_OK) {
        curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &os_error);
        return explain(socket, code, os_error, body, err);
    }
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &http);
    *status = (int)http;
    return 0;
}

void client_escape(struct buf *out, const char *value)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";

    for (; *value; value++)
        if (strchr(plain, *value))
            buf_putc(out, *value);
        else
            buf_printf(out, "%%%02X", (unsigned)(unsigned char)*value);
}
